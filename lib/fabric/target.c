/*
 * target.c -- memory that peers write to and read from, and their calls
 *
 * One thread sleeps in the completion queue: it serves remote reads and writes as well as messages, as providers in
 * software move bytes only while a thread is in a call.  Everything belongs to that thread except `queue` and
 * `endings`, with which other threads send answers and end sessions.
 *
 * An answer must not go to an address that is not in the address vector (libfabric 1.17 crashes then), so an address
 * stays there as long as a session, an answer that waits or one under way has it.
 *
 * An initiator that is not authenticated is a stranger, and costs little.  Nothing is kept of its HELLO: the proof is
 * checked against values computed from it (auth.c).  The address in it may belong to another host, to which libfabric
 * would then try to connect; so the HELLO is answered if the message came from that address.  libfabric tells the
 * source only for addresses that it knew when the message came; therefore initiators repeat the HELLO soon: the first
 * one makes the address known, for a while.  If the two differ (several networks) the answer is sent nevertheless, but
 * only to few such addresses per unit of time.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "fabric/target_admission.h"
#include "fabric/target_send.h"
#include "fabric/target_session.h"
#include "fabric/target_state.h"

#define RETRY_MS 5	     /* for answers that find no room in the provider's queue */
#define RENEW_AFTER 1000     /* refused accesses, after which new sessions get another key to the memory */
#define REGIONS_MAX 8
#define BUFFERS_KEY 1	     /* for the registration of the target's own buffers, if they need one */

/* ---- the thread ------------------------------------------------------------------------------- */

static int post(struct pmio_fabric_target *t, struct buffer *s)
{
	ssize_t rc;

	do
		rc = fi_recv(t->ep.ep, s->buf, BUFFER_SIZE, fabric_target_buffers_desc(t), FI_ADDR_UNSPEC, &s->ctx);
	while (rc == -FI_EAGAIN && fi_cq_read(t->ep.cq, NULL, 0) != 0);
	return (int)rc;
}

static void sent(struct pmio_fabric_target *t, struct buffer *s)
{
	struct buffer **list = s->strange ? &t->free_strange : &t->free_sends;

	if (s->strange)
		fabric_target_not_strange_any_more(t, s->addr);
	fabric_target_put_addr(t, s->addr);
	s->addr = NULL;
	s->next = *list;
	*list = s;
}

static void buffer_ended(struct pmio_fabric_target *t, struct buffer *s, size_t len, fi_addr_t from)
{
	if (s->sends) {
		sent(t, s);
		return;
	}
	if (len)
		fabric_target_take(t, s->buf, len, from);
	if (post(t, s) < 0)
		pmio_err("fabric: lost a message buffer");
}

static void take_error(struct pmio_fabric_target *t)
{
	struct fi_cq_err_entry e = { 0 };

	/* a peer has died, which does not affect the others */
	if (fi_cq_readerr(t->ep.cq, &e, 0) > 0 && e.op_context)
		buffer_ended(t, e.op_context, 0, FI_ADDR_NOTAVAIL);
}

static void take_queue(struct pmio_fabric_target *t)
{
	struct out *list, *o, *next;

	pthread_mutex_lock(&t->lock);
	list = t->queue;
	t->queue = NULL;
	pthread_mutex_unlock(&t->lock);
	DL_FOREACH_SAFE(list, o, next) {
		DL_DELETE(list, o);
		fabric_target_send_out(t, o);
	}
}

static int make_region(struct pmio_fabric_target *t);

/*
 * if a peer tries to guess the key, new sessions get another one.  Existing sessions keep theirs: the guessing must not
 * end them
 */
static void look_at_refused(struct pmio_fabric_target *t)
{
	uint64_t nr = fabric_refused() - t->refused_before, more = nr - atomic_load(&t->nr_refused), told;
	struct region *r;
	unsigned nr_regions;

	atomic_store(&t->nr_refused, nr);
	told = pmio_note(&t->refused, more);
	if (told)
		pmio_warn("fabric: refused %llu accesses to memory (wrong key, or out of bounds): a peer is faulty, or is guessing keys",
			  (unsigned long long)told);
	if (nr < t->renew_at)
		return;
	t->renew_at = nr + RENEW_AFTER;
	LL_COUNT(t->regions, r, nr_regions);
	if (nr_regions < REGIONS_MAX && make_region(t) == 0)
		fabric_target_drop_region(t, t->regions->next);
}

/* regular work; returns how long the thread may sleep, in ms */
static int look_around(struct pmio_fabric_target *t)
{
	int ms = fabric_connections_look(&t->connections, fabric_target_is_known, t);

	look_at_refused(t);
	if (t->waiting && (ms < 0 || ms > RETRY_MS))
		ms = RETRY_MS;
	return ms;
}

static void *serve(void *arg)
{
	struct pmio_fabric_target *t = arg;
	struct fi_cq_msg_entry e[16];
	fi_addr_t from[16];

	for (size_t i = 0; i < 16; i++)
		from[i] = FI_ADDR_NOTAVAIL;
	while (!atomic_load(&t->stop)) {
		ssize_t n = fabric_ep_wait(&t->ep, e, t->ep.has_source ? from : NULL, 16, look_around(t));

		for (ssize_t i = 0; i < n; i++)
			buffer_ended(t, e[i].op_context, e[i].flags & FI_RECV ? e[i].len : 0, from[i]);
		if (n == -FI_EAVAIL)
			take_error(t);
		fabric_target_take_endings(t);
		take_queue(t);
		fabric_target_send_waiting(t);
	}
	return NULL;
}

/* ---- making and ending it -------------------------------------------------------------------------- */

static void free_buffer(struct buffer **list, struct buffer *s)
{
	s->sends = true;
	s->next = *list;
	*list = s;
}

static int make_buffers(struct pmio_fabric_target *t)
{
	const size_t nr = NR_RECVS + NR_SENDS, size = nr * BUFFER_SIZE + NR_STRANGE * STRANGE_SIZE;
	uint8_t *p;
	int rc = 0;

	t->memory = p = calloc(1, size);
	if (!t->memory)
		return -ENOMEM;
	if (t->ep.info->domain_attr->mr_mode & FI_MR_LOCAL)
		rc = fabric_ep_register(&t->ep, t->memory, size, FI_SEND | FI_RECV, BUFFERS_KEY, &t->buffers_mr);
	for (size_t i = 0; i < nr + NR_STRANGE && rc == 0; i++) {
		struct buffer *s = &t->buffers[i];

		s->buf = p;
		s->strange = i >= nr;
		p += s->strange ? STRANGE_SIZE : BUFFER_SIZE;
		if (i < NR_RECVS)
			rc = post(t, s);
		else
			free_buffer(s->strange ? &t->free_strange : &t->free_sends, s);
	}
	return rc < 0 ? fabric_error(rc) : 0;
}

/* register the memory under another key: as many random bits as the provider takes */
static int make_region(struct pmio_fabric_target *t)
{
	struct region *r = calloc(1, sizeof(*r));
	uint64_t key = 0;
	int rc = r ? 0 : -ENOMEM;

	while (rc == 0 && key <= BUFFERS_KEY) {
		rc = pmio_fabric_random(&key, sizeof(key));
		key &= fabric_ep_key_mask(&t->ep);
	}
	if (rc == 0)
		rc = fabric_ep_register(&t->ep, t->memory_base, t->len, FI_REMOTE_READ | FI_REMOTE_WRITE, key, &r->mr);
	if (rc < 0) {
		free(r);
		return rc;
	}
	r->key = fi_mr_key(r->mr);
	LL_PREPEND(t->regions, r);
	return 0;
}

static int advertise(struct pmio_fabric_target *t, void *base, size_t len)
{
	int rc = pmio_fabric_random(&t->epoch, sizeof(t->epoch));

	t->epoch |= !t->epoch; /* 0 means any */
	if (rc == 0)
		rc = pmio_fabric_random(t->secret, sizeof(t->secret));
	t->memory_base = base;
	t->len = len;
	t->base = t->ep.info->domain_attr->mr_mode & FI_MR_VIRT_ADDR ? (uint64_t)(uintptr_t)base : 0;
	fabric_count_refused();
	t->refused_before = fabric_refused();
	t->renew_at = RENEW_AFTER;
	return rc < 0 ? rc : make_region(t);
}

/* lock held; unlocks */
static void put_target(struct pmio_fabric_target *t)
{
	bool last = --t->refs == 0;

	pthread_mutex_unlock(&t->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&t->lock);
	free(t);
}

int pmio_fabric_target_new(const struct pmio_fabric_config *config, void *base, size_t len,
			   pmio_fabric_handler *handler, void *arg, struct pmio_fabric_target **out)
{
	struct pmio_fabric_target *t = calloc(1, sizeof(*t));
	int rc;

	*out = NULL;
	if (!t)
		return -ENOMEM;
	pthread_mutex_init(&t->lock, NULL);
	t->refs = 1;
	t->connections.spare_fd = -1;
	t->timeout_ms = config->timeout_ms ? config->timeout_ms : PMIO_FABRIC_TIMEOUT_MS;
	t->handler = handler;
	t->arg = arg;
	memcpy(t->key, config->key, sizeof(t->key));
	rc = fabric_munge_init(&t->munge, config);
	if (rc == 0)
		rc = fabric_ep_open(&t->ep, config, config->service);
	if (rc == 0)
		rc = advertise(t, base, len);
	if (rc == 0)
		rc = make_buffers(t);
	if (rc == 0) {
		fabric_connections_init(&t->connections, &t->ep);
		*out = t; /* handlers, which may be called at once, use it */
		pthread_mutex_lock(&t->lock);
		rc = -pthread_create(&t->thread, NULL, serve, t);
		t->has_thread = rc == 0;
		pthread_mutex_unlock(&t->lock);
	}
	if (rc < 0) {
		pmio_fabric_target_delete(&t);
		*out = NULL;
	}
	return rc;
}

static void free_all(struct pmio_fabric_target *t)
{
	struct fabric_session *s, *s_next;
	struct addr *a, *a_next;
	struct out *o, *o_next;
	struct ending *e, *e_next;
	struct host *h, *h_next;
	struct region *r, *r_next;

	HASH_ITER(hh, t->hosts, h, h_next) {
		HASH_DEL(t->hosts, h);
		free(h);
	}
	LL_FOREACH_SAFE(t->regions, r, r_next)
		free(r);
	t->regions = NULL;
	fabric_connections_fini(&t->connections);
	HASH_ITER(hh, t->sessions, s, s_next) {
		HASH_DEL(t->sessions, s);
		free(s);
	}
	HASH_ITER(hh, t->addrs, a, a_next) {
		HASH_DEL(t->addrs, a);
		free(a);
	}
	DL_FOREACH_SAFE(t->waiting, o, o_next)
		free(o);
	DL_FOREACH_SAFE(t->queue, o, o_next)
		free(o);
	LL_FOREACH_SAFE(t->endings, e, e_next)
		free(e);
	t->waiting = t->queue = NULL;
	t->endings = NULL;
	free(t->memory);
	t->memory = NULL;
}

void pmio_fabric_target_delete(struct pmio_fabric_target **pt)
{
	struct pmio_fabric_target *t = *pt;

	*pt = NULL;
	if (!t)
		return;
	atomic_store(&t->stop, true);
	if (t->has_thread) {
		fabric_ep_wake(&t->ep);
		pthread_join(t->thread, NULL);
	}
	pthread_mutex_lock(&t->lock);
	t->closed = true;
	pthread_mutex_unlock(&t->lock);
	if (t->ep.ep)
		fi_close(&t->ep.ep->fid);
	t->ep.ep = NULL;
	for (struct region *r = t->regions; r; r = r->next)
		fi_close(&r->mr->fid);
	if (t->buffers_mr)
		fi_close(&t->buffers_mr->fid);
	if (t->ep.info)
		fabric_ep_close(&t->ep);
	free_all(t);
	fabric_munge_fini(&t->munge);
	pthread_mutex_lock(&t->lock);
	put_target(t);
}

bool pmio_fabric_target_has_munge(const struct pmio_fabric_target *t)
{
	return t->munge.policy != MUNGE_OFF;
}

void pmio_fabric_target_endpoint(const struct pmio_fabric_target *t, struct pmio_fabric_endpoint *endpoint)
{
	memset(endpoint, 0, sizeof(*endpoint));
	strncpy(endpoint->provider, fabric_ep_provider(&t->ep), sizeof(endpoint->provider) - 1);
	endpoint->epoch = t->epoch;
	endpoint->addr_len = (uint16_t)t->ep.addr_len;
	memcpy(endpoint->addr, t->ep.addr, t->ep.addr_len);
}

unsigned pmio_fabric_target_sessions(struct pmio_fabric_target *t)
{
	return atomic_load(&t->nr_proven);
}

void pmio_fabric_target_refused(struct pmio_fabric_target *t, struct pmio_fabric_refused *out)
{
	out->accesses = atomic_load(&t->nr_refused);
	out->proofs = atomic_load(&t->nr_no_key);
}

uint64_t pmio_fabric_call_session(const struct pmio_fabric_call *call)
{
	return call->session;
}

/* lock held: make the target's thread process what this thread has queued */
static void wake(struct pmio_fabric_target *t)
{
	if (!t->has_thread || !pthread_equal(pthread_self(), t->thread))
		fabric_ep_wake(&t->ep);
}

void pmio_fabric_target_end_session(struct pmio_fabric_target *t, uint64_t session)
{
	struct ending *e = malloc(sizeof(*e));

	if (!e) {
		pmio_err("fabric: cannot end a session: %s", pmio_strerror(-ENOMEM));
		return;
	}
	e->session = session;
	pthread_mutex_lock(&t->lock);
	LL_PREPEND(t->endings, e);
	wake(t);
	pthread_mutex_unlock(&t->lock);
}

void pmio_fabric_reply_from_room(struct pmio_fabric_call *call, int status, size_t len)
{
	struct pmio_fabric_target *t = call->target;

	fabric_target_send_room(t, call->session, call->number, status, len);
	free(call);
	pthread_mutex_lock(&t->lock);
	put_target(t);
}

void pmio_fabric_reply(struct pmio_fabric_call *call, int status, const void *msg, size_t len)
{
	struct pmio_fabric_target *t = call->target;
	struct out *o = fabric_target_new_out(call->session, FABRIC_REPLY, call->number, sizeof(struct fabric_hdr_msg) + len);

	if (o) {
		o->hdr.status = status;
		if (len)
			memcpy(&o->hdr + 1, msg, len);
	}
	free(call);
	pthread_mutex_lock(&t->lock);
	if (o && !t->closed) {
		DL_APPEND(t->queue, o);
		wake(t);
		o = NULL;
	}
	put_target(t);
	free(o);
}
