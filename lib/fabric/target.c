/*
 * target.c -- memory that others write to and read from, and their calls
 *
 * One thread sleeps in the completion queue: it serves remote reads and writes as
 * well as messages, for providers without hardware move bytes only while somebody
 * is there.  All is that thread's but `queue` and `endings`, by which other threads
 * send answers and end sessions.
 *
 * Nobody is answered whose address is not in the address vector (libfabric 1.17
 * falls over that), so an address stays there as long as a session, an answer
 * that waits or one under way has it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "fabric/fabric_impl.h"

#define NR_RECVS 256
#define NR_SENDS 128
#define HALF_OPEN_MAX 64     /* sessions that have not proven themselves; the oldest goes */
#define SESSIONS_MAX 65536
#define RETRY_MS 5	     /* of answers that find no room in the provider's queue */

struct addr {
	uint8_t bytes[PMIO_FABRIC_ADDR_MAX]; /* key */
	fi_addr_t fi;
	unsigned refs;
	UT_hash_handle hh;
};

struct session {
	uint64_t id; /* key; random */
	struct addr *addr;
	bool proven;
	uint64_t since_ms;
	struct fabric_transcript said;
	struct session *prev, *next; /* half_open, oldest first */
	UT_hash_handle hh;
};

struct slot {
	struct fi_context2 ctx; /* first */
	bool sends;
	uint8_t *buf; /* SLOT_SIZE bytes */
	struct addr *addr;
	struct slot *next; /* free */
};

/* an answer on its way to a slot */
struct out {
	struct out *prev, *next;
	uint64_t session;
	struct addr *addr; /* NULL: the session's */
	uint64_t until_ms;
	size_t size;
	union {
		struct fabric_hdr_msg hdr;
		uint8_t bytes[SLOT_SIZE];
	};
};

/* a session that somebody wants to be ended */
struct ending {
	uint64_t session;
	struct ending *next;
};

struct pmio_fabric_target {
	struct fabric_ep ep;
	uint8_t key[PMIO_FABRIC_KEY_SIZE];
	struct fabric_munge munge;
	unsigned timeout_ms;
	uint64_t epoch, mr_key, base, len;
	struct fid_mr *mr, *slots_mr;
	pmio_fabric_handler *handler;
	void *arg;
	pthread_t thread;
	bool has_thread;
	atomic_bool stop;
	atomic_uint nr_proven;

	pthread_mutex_t lock;	/* of these */
	unsigned refs;		/* its owner's, and each call's */
	bool closed;
	struct out *queue;
	struct ending *endings;

	struct addr *addrs;
	struct session *sessions, *half_open;
	unsigned nr_half_open;
	struct out *waiting;	/* for room */
	struct slot slots[NR_RECVS + NR_SENDS];
	struct slot *free_sends;
	uint8_t *memory;	/* owned; the slots' */
	bool said_no_key, said_no_user, said_full;
};

struct pmio_fabric_call {
	struct pmio_fabric_target *target;
	uint64_t session, number;
	uint64_t msg[]; /* aligned */
};

/* ---- addresses and sessions --------------------------------------------------------- */

static struct addr *get_addr(struct pmio_fabric_target *t, const uint8_t *bytes, size_t len)
{
	uint8_t key[PMIO_FABRIC_ADDR_MAX] = { 0 };
	struct addr *a;

	if (len > sizeof(key))
		return NULL;
	memcpy(key, bytes, len);
	HASH_FIND(hh, t->addrs, key, sizeof(key), a);
	if (a) {
		a->refs++;
		return a;
	}
	a = calloc(1, sizeof(*a));
	if (!a || fabric_ep_add_addr(&t->ep, bytes, len, &a->fi) < 0) {
		free(a);
		return NULL;
	}
	memcpy(a->bytes, key, sizeof(key));
	a->refs = 1;
	HASH_ADD(hh, t->addrs, bytes, sizeof(a->bytes), a);
	return a;
}

static void put_addr(struct pmio_fabric_target *t, struct addr *a)
{
	if (!a || --a->refs)
		return;
	fi_av_remove(t->ep.av, &a->fi, 1, 0);
	HASH_DEL(t->addrs, a);
	free(a);
}

static void end_session(struct pmio_fabric_target *t, struct session *s)
{
	if (s->proven) {
		atomic_fetch_sub(&t->nr_proven, 1);
	} else {
		DL_DELETE(t->half_open, s);
		t->nr_half_open--;
	}
	HASH_DEL(t->sessions, s);
	put_addr(t, s->addr);
	free(s);
}

static struct session *find_session(struct pmio_fabric_target *t, uint64_t id)
{
	struct session *s;

	HASH_FIND(hh, t->sessions, &id, sizeof(id), s);
	return s;
}

/* those that say no more, and if there are too many the oldest */
static void end_half_open(struct pmio_fabric_target *t)
{
	uint64_t now = fabric_now_ms();

	while (t->half_open && (t->nr_half_open >= HALF_OPEN_MAX ||
				now - t->half_open->since_ms > t->timeout_ms))
		end_session(t, t->half_open);
}

static struct session *begin_session(struct pmio_fabric_target *t, const struct fabric_hello_msg *m)
{
	struct session *s;

	end_half_open(t);
	if (HASH_COUNT(t->sessions) >= SESSIONS_MAX) {
		if (!t->said_full)
			pmio_err("fabric: more than %u sessions: refusing others", SESSIONS_MAX);
		t->said_full = true;
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->addr = get_addr(t, m->addr, m->addr_len);
	if (!s->addr || pmio_fabric_random(&s->id, sizeof(s->id)) < 0 || !s->id || find_session(t, s->id) ||
	    pmio_fabric_random(s->said.target_nonce, NONCE_SIZE) < 0) {
		put_addr(t, s->addr);
		free(s);
		return NULL;
	}
	memcpy(s->said.port_nonce, m->nonce, NONCE_SIZE);
	memcpy(s->said.addr, m->addr, m->addr_len);
	s->said.session = s->id;
	s->said.epoch = t->epoch;
	s->since_ms = fabric_now_ms();
	HASH_ADD(hh, t->sessions, id, sizeof(s->id), s);
	DL_APPEND(t->half_open, s);
	t->nr_half_open++;
	return s;
}

/* ---- sending --------------------------------------------------------------------------- */

static void *slots_desc(const struct pmio_fabric_target *t)
{
	return t->slots_mr ? fi_mr_desc(t->slots_mr) : NULL;
}

static void free_out(struct pmio_fabric_target *t, struct out *o)
{
	put_addr(t, o->addr);
	free(o);
}

/* false: there is no room now */
static bool try_to_send(struct pmio_fabric_target *t, struct out *o)
{
	struct slot *s = t->free_sends;
	ssize_t rc;

	if (!s)
		return false;
	memcpy(s->buf, o->bytes, o->size);
	rc = fi_send(t->ep.ep, s->buf, o->size, slots_desc(t), o->addr->fi, &s->ctx);
	if (rc == -FI_EAGAIN)
		return false;
	if (rc == 0) {
		t->free_sends = s->next;
		s->addr = o->addr; /* with our reference */
		o->addr = NULL;
	}
	return true;
}

/* what waits for long is for somebody who is no longer there */
static void send_waiting(struct pmio_fabric_target *t)
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

/* takes o over; its session's address, unless it has one */
static void send_out(struct pmio_fabric_target *t, struct out *o)
{
	struct session *s = o->addr ? NULL : find_session(t, o->session);

	if (!o->addr && !s) {
		free(o); /* who asked has left */
		return;
	}
	if (s) {
		o->addr = s->addr;
		o->addr->refs++;
	}
	o->until_ms = fabric_now_ms() + t->timeout_ms;
	DL_APPEND(t->waiting, o);
}

static struct out *new_out(uint64_t session, enum fabric_type type, uint64_t number, size_t size)
{
	struct out *o = malloc(sizeof(*o));

	if (!o)
		return NULL;
	o->addr = NULL;
	o->session = session;
	o->size = size;
	fabric_msg_init(&o->hdr, type, size);
	o->hdr.session = session;
	o->hdr.number = number;
	return o;
}

/* ---- sessions that others end ------------------------------------------------------------------ */

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

static void take_endings(struct pmio_fabric_target *t)
{
	struct ending *list, *e, *next;

	pthread_mutex_lock(&t->lock);
	list = t->endings;
	t->endings = NULL;
	pthread_mutex_unlock(&t->lock);
	LL_FOREACH_SAFE(list, e, next) {
		struct session *s = find_session(t, e->session);

		if (s && s->proven) {
			end_session(t, s);
			forget_answers(t, e->session);
		}
		free(e);
	}
}

/* ---- what ports say ------------------------------------------------------------------------ */

/* "are you still the one that I know?": the epoch says it, and the status whether we know the session */
static void take_probe(struct pmio_fabric_target *t, const struct fabric_hello_msg *m)
{
	struct session *s = find_session(t, m->hdr.session);
	struct fabric_challenge_msg *c;
	struct out *o = new_out(m->hdr.session, FABRIC_CHALLENGE, m->hdr.number, sizeof(*c));

	if (!o)
		return;
	c = (struct fabric_challenge_msg *)&o->hdr;
	c->epoch = t->epoch;
	c->hdr.status = s && s->proven ? 0 : -ENOTCONN;
	o->addr = get_addr(t, m->addr, m->addr_len);
	if (o->addr)
		send_out(t, o);
	else
		free(o);
}

static void take_hello(struct pmio_fabric_target *t, const struct fabric_hello_msg *m)
{
	struct session *s = begin_session(t, m);
	struct fabric_challenge_msg *c;
	struct out *o = s ? new_out(s->id, FABRIC_CHALLENGE, m->hdr.number, sizeof(*c)) : NULL;

	if (!o)
		return;
	c = (struct fabric_challenge_msg *)&o->hdr;
	memcpy(c->nonce, s->said.target_nonce, NONCE_SIZE);
	c->epoch = t->epoch;
	c->munge = t->munge.policy;
	send_out(t, o);
}

/* status: -EACCES: it does not know the key; -EPERM: it is not our user, because of why */
static void refuse(struct pmio_fabric_target *t, struct session *s, struct out *o, int status, const char *why)
{
	bool *said = status == -EACCES ? &t->said_no_key : &t->said_no_user;

	if (!*said && status == -EACCES)
		pmio_warn("fabric: refused a peer that does not know the key");
	else if (!*said)
		pmio_warn("fabric: refused a peer: munge: %s", why);
	*said = true;
	o->hdr.status = status;
	o->addr = s->addr;
	o->addr->refs++;
	end_session(t, s);
	send_out(t, o);
}

/* XXX the daemon is asked in this thread: that takes it about a millisecond */
static bool is_our_user(struct pmio_fabric_target *t, const struct fabric_proof_msg *m, const char **why)
{
	int rc = -ENODATA;

	*why = "no credential";
	if (t->munge.policy == MUNGE_OFF)
		return true;
	if (m->credential_len)
		rc = fabric_munge_check(&t->munge, m->mac, m->credential, m->credential_len, why);
	return rc == 0 || (rc == -ENODATA && t->munge.policy == MUNGE_AUTO);
}

static void take_proof(struct pmio_fabric_target *t, const struct fabric_proof_msg *m)
{
	struct session *s = find_session(t, m->hdr.session);
	struct fabric_welcome_msg *w;
	const char *why;
	struct out *o;

	if (!s || s->proven)
		return;
	o = new_out(s->id, FABRIC_WELCOME, m->hdr.number, sizeof(*w));
	if (!o)
		return;
	s->said.munge = t->munge.policy | (m->credential_len ? SENT_CREDENTIAL : 0);
	if (!fabric_mac_is_good(t->key, FABRIC_PROOF, &s->said, m->mac)) {
		refuse(t, s, o, -EACCES, NULL);
		return;
	}
	if (!is_our_user(t, m, &why)) {
		refuse(t, s, o, -EPERM, why);
		return;
	}
	DL_DELETE(t->half_open, s);
	t->nr_half_open--;
	s->proven = true;
	atomic_fetch_add(&t->nr_proven, 1);
	w = (struct fabric_welcome_msg *)&o->hdr;
	w->key = s->said.key = t->mr_key;
	w->base = s->said.base = t->base;
	w->len = s->said.len = t->len;
	fabric_mac(t->key, FABRIC_WELCOME, &s->said, w->mac);
	send_out(t, o);
}

static void take_call(struct pmio_fabric_target *t, const struct fabric_hdr_msg *m)
{
	struct pmio_fabric_call *call;
	struct session *s;

	take_endings(t);
	s = find_session(t, m->session);
	if (!s || !s->proven)
		return;
	call = malloc(sizeof(*call) + m->len);
	if (!call)
		return; /* as if it had been lost */
	call->target = t;
	call->session = s->id;
	call->number = m->number;
	memcpy(call->msg, m + 1, m->len);
	pthread_mutex_lock(&t->lock);
	t->refs++;
	pthread_mutex_unlock(&t->lock);
	t->handler(call, call->msg, m->len, t->arg);
}

static void take_bye(struct pmio_fabric_target *t, const struct fabric_hdr_msg *m)
{
	struct session *s = find_session(t, m->session);

	if (s && s->proven)
		end_session(t, s);
}

static void take(struct pmio_fabric_target *t, const void *msg, size_t len)
{
	const struct fabric_hdr_msg *h = msg;

	if (!fabric_msg_is_good(msg, len))
		return;
	switch (h->type) {
	case FABRIC_HELLO:
		if (h->session)
			take_probe(t, msg);
		else
			take_hello(t, msg);
		break;
	case FABRIC_PROOF:
		take_proof(t, msg);
		break;
	case FABRIC_CALL:
		take_call(t, msg);
		break;
	case FABRIC_BYE:
		take_bye(t, msg);
		break;
	}
}

/* ---- the thread ------------------------------------------------------------------------------- */

static int post(struct pmio_fabric_target *t, struct slot *s)
{
	ssize_t rc;

	do
		rc = fi_recv(t->ep.ep, s->buf, SLOT_SIZE, slots_desc(t), FI_ADDR_UNSPEC, &s->ctx);
	while (rc == -FI_EAGAIN && fi_cq_read(t->ep.cq, NULL, 0) != 0);
	return (int)rc;
}

static void slot_ended(struct pmio_fabric_target *t, struct slot *s, size_t len)
{
	if (s->sends) {
		put_addr(t, s->addr);
		s->addr = NULL;
		s->next = t->free_sends;
		t->free_sends = s;
		return;
	}
	if (len)
		take(t, s->buf, len);
	if (post(t, s) < 0)
		pmio_err("fabric: a buffer for messages is lost");
}

static void take_error(struct pmio_fabric_target *t)
{
	struct fi_cq_err_entry e = { 0 };

	/* somebody has died; those that live are no worse off */
	if (fi_cq_readerr(t->ep.cq, &e, 0) > 0 && e.op_context)
		slot_ended(t, e.op_context, 0);
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
		send_out(t, o);
	}
}

static void *serve(void *arg)
{
	struct pmio_fabric_target *t = arg;
	struct fi_cq_msg_entry e[16];

	while (!atomic_load(&t->stop)) {
		ssize_t n = fabric_ep_wait(&t->ep, e, 16, t->waiting ? RETRY_MS : -1);

		for (ssize_t i = 0; i < n; i++)
			slot_ended(t, e[i].op_context, e[i].flags & FI_RECV ? e[i].len : 0);
		if (n == -FI_EAVAIL)
			take_error(t);
		take_endings(t);
		take_queue(t);
		send_waiting(t);
	}
	return NULL;
}

/* ---- making and ending it -------------------------------------------------------------------------- */

static int make_slots(struct pmio_fabric_target *t)
{
	const size_t nr = NR_RECVS + NR_SENDS;
	int rc = 0;

	t->memory = calloc(nr, SLOT_SIZE);
	if (!t->memory)
		return -ENOMEM;
	if (t->ep.info->domain_attr->mr_mode & FI_MR_LOCAL)
		rc = fabric_ep_register(&t->ep, t->memory, nr * SLOT_SIZE, FI_SEND | FI_RECV, 1, &t->slots_mr);
	for (size_t i = 0; i < nr && rc == 0; i++) {
		struct slot *s = &t->slots[i];

		s->buf = t->memory + i * SLOT_SIZE;
		s->sends = i >= NR_RECVS;
		if (s->sends) {
			s->next = t->free_sends;
			t->free_sends = s;
		} else {
			rc = post(t, s);
		}
	}
	return rc < 0 ? fabric_error(rc) : 0;
}

static int offer(struct pmio_fabric_target *t, void *base, size_t len)
{
	uint64_t key;
	int rc = pmio_fabric_random(&key, sizeof(key));

	if (rc == 0)
		rc = pmio_fabric_random(&t->epoch, sizeof(t->epoch));
	t->epoch |= !t->epoch; /* 0 is any */
	/* 32 bits: what all providers take; not 1, which the slots have */
	key = (key & 0x7fffffff) | 2;
	if (rc == 0)
		rc = fabric_ep_register(&t->ep, base, len, FI_REMOTE_READ | FI_REMOTE_WRITE, key, &t->mr);
	if (rc < 0)
		return rc;
	t->mr_key = fi_mr_key(t->mr);
	t->base = t->ep.info->domain_attr->mr_mode & FI_MR_VIRT_ADDR ? (uint64_t)(uintptr_t)base : 0;
	t->len = len;
	return 0;
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
	t->timeout_ms = config->timeout_ms ? config->timeout_ms : PMIO_FABRIC_TIMEOUT_MS;
	t->handler = handler;
	t->arg = arg;
	memcpy(t->key, config->key, sizeof(t->key));
	rc = fabric_munge_init(&t->munge, config);
	if (rc == 0)
		rc = fabric_ep_open(&t->ep, config, config->service);
	if (rc == 0)
		rc = offer(t, base, len);
	if (rc == 0)
		rc = make_slots(t);
	if (rc == 0) {
		*out = t; /* handlers, which may be called at once, look there */
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
	struct session *s, *s_next;
	struct addr *a, *a_next;
	struct out *o, *o_next;
	struct ending *e, *e_next;

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
	if (t->mr)
		fi_close(&t->mr->fid);
	if (t->slots_mr)
		fi_close(&t->slots_mr->fid);
	if (t->ep.info)
		fabric_ep_close(&t->ep);
	free_all(t);
	fabric_munge_fini(&t->munge);
	pthread_mutex_lock(&t->lock);
	put_target(t);
}

void pmio_fabric_target_card(const struct pmio_fabric_target *t, struct pmio_fabric_card *card)
{
	memset(card, 0, sizeof(*card));
	strncpy(card->provider, fabric_ep_provider(&t->ep), sizeof(card->provider) - 1);
	card->epoch = t->epoch;
	card->addr_len = (uint16_t)t->ep.addr_len;
	memcpy(card->addr, t->ep.addr, t->ep.addr_len);
}

unsigned pmio_fabric_target_sessions(struct pmio_fabric_target *t)
{
	return atomic_load(&t->nr_proven);
}

uint64_t pmio_fabric_call_session(const struct pmio_fabric_call *call)
{
	return call->session;
}

/* lock held: for what was put there by another thread */
static void wake(struct pmio_fabric_target *t)
{
	if (!t->has_thread || !pthread_equal(pthread_self(), t->thread))
		fabric_ep_wake(&t->ep);
}

void pmio_fabric_target_end_session(struct pmio_fabric_target *t, uint64_t session)
{
	struct ending *e = malloc(sizeof(*e));

	if (!e) {
		pmio_err("fabric: a session is not ended: %s", pmio_strerror(-ENOMEM));
		return;
	}
	e->session = session;
	pthread_mutex_lock(&t->lock);
	LL_PREPEND(t->endings, e);
	wake(t);
	pthread_mutex_unlock(&t->lock);
}

void pmio_fabric_reply(struct pmio_fabric_call *call, int status, const void *msg, size_t len)
{
	struct pmio_fabric_target *t = call->target;
	struct out *o = new_out(call->session, FABRIC_REPLY, call->number, sizeof(struct fabric_hdr_msg) + len);

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
