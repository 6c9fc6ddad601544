/*
 * target_send.c -- a target's answers: all to sessions, few to strangers (see target.c)
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "fabric/target_send.h"
#include "fabric/target_session.h"
#include "fabric/target_state.h"

#define STRANGE_EACH 2	     /* ... to one address */
#define STRANGE_MS 2000	     /* how long they wait for room */
#define HEARD_MS 100	     /* after this time messages from the first HELLO's address have a known source */
#define DIAL_MS 130000	     /* longer than Linux tries to connect (tcp_syn_retries) */

/* ---- sending --------------------------------------------------------------------------- */

void *fabric_target_buffers_desc(const struct pmio_fabric_target *t)
{
	return t->buffers_mr ? fi_mr_desc(t->buffers_mr) : NULL;
}

void fabric_target_not_strange_any_more(struct pmio_fabric_target *t, struct addr *a)
{
	a->nr_strange--;
	t->nr_strange--;
}

static void free_out(struct pmio_fabric_target *t, struct out *o)
{
	if (o->addr && o->strange)
		fabric_target_not_strange_any_more(t, o->addr);
	fabric_target_put_addr(t, o->addr);
	free(o);
}

/* false: there is no room now */
static bool try_to_send(struct pmio_fabric_target *t, struct out *o)
{
	struct buffer **list = o->strange ? &t->free_strange : &t->free_sends, *s = *list;
	ssize_t rc;

	if (!s)
		return false;
	memcpy(s->buf, &o->hdr, o->size);
	rc = fi_send(t->ep.ep, s->buf, o->size, fabric_target_buffers_desc(t), o->addr->fi, &s->ctx);
	if (rc == -FI_EAGAIN)
		return false;
	if (rc == 0) {
		*list = s->next;
		s->addr = o->addr; /* with its reference, and its share of NR_STRANGE */
		o->addr = NULL;
	}
	return true;
}

/* ---- an answer that was made where it is sent from ---- */

void *pmio_fabric_reply_room(struct pmio_fabric_call *call)
{
	struct pmio_fabric_target *t = call->target;
	struct buffer *s = t->free_sends;

	if (!s || t->room)
		return NULL;
	t->free_sends = s->next;
	t->room = s;
	return s->buf + sizeof(struct fabric_hdr_msg);
}

void fabric_target_drop_room(struct pmio_fabric_target *t)
{
	struct buffer *s = t->room;

	if (!s)
		return;
	t->room = NULL;
	s->next = t->free_sends;
	t->free_sends = s;
}

/* the provider has no room now */
static void send_room_later(struct pmio_fabric_target *t, size_t size)
{
	const struct fabric_hdr_msg *h = (const struct fabric_hdr_msg *)t->room->buf;
	struct out *o = fabric_target_new_out(h->session, FABRIC_REPLY, h->number, size);

	if (!o)
		return; /* as if the message had been lost */
	memcpy(&o->hdr, h, size);
	fabric_target_send_out(t, o);
}

void fabric_target_send_room(struct pmio_fabric_target *t, uint64_t to, uint64_t number, int status, size_t len)
{
	struct fabric_session *session = fabric_target_find_session(t, to);
	const size_t size = sizeof(struct fabric_hdr_msg) + len;
	struct buffer *s = t->room;
	struct fabric_hdr_msg *h = (struct fabric_hdr_msg *)s->buf;
	ssize_t rc = -FI_EOTHER;

	fabric_msg_init(h, FABRIC_REPLY, sizeof(*h));
	h->len = (uint32_t)len;
	h->session = to;
	h->number = number;
	h->status = status;
	if (session) /* else the initiator that asked has left */
		rc = fi_send(t->ep.ep, s->buf, size, fabric_target_buffers_desc(t), session->addr->fi, &s->ctx);
	if (rc == 0) {
		s->addr = session->addr;
		s->addr->refs++;
		t->room = NULL;
		return;
	}
	if (rc == -FI_EAGAIN)
		send_room_later(t, size);
	fabric_target_drop_room(t);
}

/* answers that wait for long are dropped: their initiator has ended */
void fabric_target_send_waiting(struct pmio_fabric_target *t)
{
	uint64_t now = fabric_now_ms();
	struct out *o, *next;

	DL_FOREACH_SAFE(t->waiting, o, next) {
		if (!try_to_send(t, o) && now < o->until_ms)
			continue;
		DL_DELETE(t->waiting, o);
		free_out(t, o);
	}
}

/* takes o over; sends to its session's address, unless it has an address of its own */
void fabric_target_send_out(struct pmio_fabric_target *t, struct out *o)
{
	struct fabric_session *s = o->addr ? NULL : fabric_target_find_session(t, o->session);

	if (!o->addr && !s) {
		free(o); /* the initiator that asked has left */
		return;
	}
	if (s) {
		o->addr = s->addr;
		o->addr->refs++;
	}
	o->until_ms = fabric_now_ms() + t->timeout_ms;
	DL_APPEND(t->waiting, o);
}

struct out *fabric_target_new_out(uint64_t session, enum fabric_type type, uint64_t number, size_t size)
{
	struct out *o = malloc(sizeof(*o) - sizeof(o->hdr) + size);

	if (!o)
		return NULL;
	o->addr = NULL;
	o->strange = false;
	o->session = session;
	o->size = size;
	fabric_msg_init(&o->hdr, type, size);
	o->hdr.session = session;
	o->hdr.number = number;
	return o;
}

/* ---- strangers --------------------------------------------------------------------------- */

/* make a known to libfabric: the next message from there will have its source */
static void hear_of(struct pmio_fabric_target *t, struct addr *a)
{
	struct addr **place = &t->heard[t->next_heard++ % NR_HEARD];

	a->heard_ms = fabric_now_ms();
	a->refs++;
	fabric_target_put_addr(t, *place);
	*place = a;
}

/* may libfabric try to connect to an address that a stranger has named? */
static bool may_dial(struct pmio_fabric_target *t)
{
	uint64_t now = fabric_now_ms(), *oldest = &t->dials[t->next_dial % NR_DIALS];

	if (*oldest && now - *oldest < DIAL_MS)
		return false;
	*oldest = now;
	t->next_dial++;
	return true;
}

/* from: where the message came from */
static bool may_answer(struct pmio_fabric_target *t, struct addr *a, fi_addr_t from)
{
	if (a->nr_strange >= STRANGE_EACH || t->nr_strange >= NR_STRANGE)
		return false;
	if (!t->ep.has_source || a->nr_sessions || from == a->fi)
		return true;
	if (!a->heard_ms)
		hear_of(t, a);
	return fabric_now_ms() - a->heard_ms > HEARD_MS && may_dial(t);
}

/* takes over o, and the reference to a */
void fabric_target_send_to_stranger(struct pmio_fabric_target *t, struct out *o, struct addr *a, fi_addr_t from)
{
	if (!a || !may_answer(t, a, from)) {
		fabric_target_put_addr(t, a);
		free(o);
		return;
	}
	o->addr = a;
	o->strange = true;
	a->nr_strange++;
	t->nr_strange++;
	o->until_ms = fabric_now_ms() + STRANGE_MS;
	DL_APPEND(t->waiting, o);
}

/* ---- sessions that other threads end ------------------------------------------------------------------ */

static void forget_answers(struct pmio_fabric_target *t, uint64_t session)
{
	struct out *o, *next;

	DL_FOREACH_SAFE(t->waiting, o, next) {
		if (o->session != session)
			continue;
		DL_DELETE(t->waiting, o);
		free_out(t, o);
	}
}

void fabric_target_take_endings(struct pmio_fabric_target *t)
{
	struct ending *list, *e, *next;

	pthread_mutex_lock(&t->lock);
	list = t->endings;
	t->endings = NULL;
	pthread_mutex_unlock(&t->lock);
	LL_FOREACH_SAFE(list, e, next) {
		struct fabric_session *s = fabric_target_find_session(t, e->session);

		if (s) {
			fabric_target_end_session(t, s);
			forget_answers(t, e->session);
		}
		free(e);
	}
}
