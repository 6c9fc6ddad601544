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
 *
 * Who has not proven himself is a stranger, and costs little.  Nothing is kept of his HELLO: what his proof has to
 * fit to is made of it (auth.c).  The address that it names may be somebody else's, whom libfabric would try to reach;
 * so it is answered if it is where the message came from.  libfabric says that only of addresses that it knew
 * when the message came, therefore ports say HELLO again soon: the first one makes the address known, for a while.
 * Where the two are different (several networks) the answer goes there all the same, but to few such addresses in a
 * time.
 */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "fabric/fabric_impl.h"

#define NR_RECVS 256
#define NR_SENDS 128
#define SESSIONS_MAX 65536
#define RETRY_MS 5	     /* of answers that find no room in the provider's queue */
#define NR_STRANGE 1024	     /* answers to strangers that wait or are under way; others get none */
#define STRANGE_EACH 2	     /* ... to one address */
#define STRANGE_SIZE 128     /* bytes: they are that small */
#define STRANGE_MS 2000	     /* they wait so long for room */
#define NR_HEARD 1024	     /* addresses of first HELLOs; the oldest goes */
#define HEARD_MS 100	     /* what comes later than that after the first HELLO has a source, if it is that address */
#define NR_DIALS 64	     /* addresses that are not those that messages came from, in DIAL_MS */
#define DIAL_MS 130000	     /* longer than Linux tries to connect (tcp_syn_retries) */
#define RENEW_AFTER 1000     /* refused accesses: sessions that begin then get another key to the memory */
#define REGIONS_MAX 8
#define SLOTS_KEY 1	     /* of our own buffers' registration, where they need one */
#define PROOF_MS(t) (2 * (uint64_t)(t)->timeout_ms) /* a challenge is good for so long */

struct addr {
	uint8_t bytes[PMIO_FABRIC_ADDR_MAX]; /* key */
	fi_addr_t fi;
	unsigned refs;
	unsigned nr_sessions;
	unsigned nr_strange;	/* answers that wait or are under way */
	uint64_t heard_ms;	/* first; 0: nobody unknown has named it */
	struct host *host;	/* while it has sessions */
	UT_hash_handle hh;
};

/* where somebody has proven himself */
struct host {
	uint8_t ip[16];	/* key */
	unsigned nr_addrs;
	UT_hash_handle hh;
};

/* the memory, under one key */
struct region {
	struct fid_mr *mr;
	uint64_t key;
	unsigned nr_sessions;	/* that know it */
	struct region *next;
};

struct session {
	uint64_t id; /* key; as random as a keyed hash */
	struct addr *addr;	/* NULL: it has ended, and its proof may not be said again */
	struct region *region;
	uint64_t until_ms;	/* as long as its proof would be good */
	struct session *prev, *next; /* of those that have ended */
	UT_hash_handle hh;
};

struct slot {
	struct fi_context2 ctx; /* first */
	bool sends;
	bool strange;
	uint8_t *buf; /* SLOT_SIZE bytes; strange: STRANGE_SIZE */
	struct addr *addr;
	struct slot *next; /* free */
};

/* an answer on its way to a slot */
struct out {
	struct out *prev, *next;
	uint64_t session;
	struct addr *addr; /* NULL: the session's */
	bool strange;	   /* to a stranger */
	uint64_t until_ms;
	size_t size;	   /* of all of the message */
	struct fabric_hdr_msg hdr;
	uint8_t rest[];
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
	uint8_t secret[PMIO_FABRIC_KEY_SIZE]; /* of challenges */
	uint64_t epoch, len;
	void *memory_base;
	uint64_t base;		/* what others add their offsets to */
	struct region *regions;	/* the first one is for new sessions */
	uint64_t renew_at;	/* refused accesses */
	uint64_t refused_before; /* ... of this process, when the target was made */
	atomic_uint_fast64_t nr_refused, nr_no_key;
	struct fid_mr *slots_mr;
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
	struct session *sessions, *ended;
	struct host *hosts;
	struct fabric_guard guard;
	struct addr *heard[NR_HEARD]; /* a ring; with a reference each */
	unsigned next_heard;
	uint64_t dials[NR_DIALS]; /* a ring: when */
	unsigned next_dial;
	struct out *waiting;	/* for room */
	unsigned nr_strange;
	struct slot slots[NR_RECVS + NR_SENDS + NR_STRANGE];
	struct slot *free_sends, *free_strange;
	uint8_t *memory;	/* owned; the slots' */
	struct pmio_note no_key, no_user, refused;
	bool said_full;
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

/* an address without its port */
static void ip_of(const void *sockaddr, uint8_t ip[16])
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} at;

	memcpy(&at, sockaddr, sizeof(at));
	memset(ip, 0, 16);
	if (at.sa.sa_family == AF_INET)
		memcpy(ip, &at.in.sin_addr, sizeof(at.in.sin_addr));
	else if (at.sa.sa_family == AF_INET6)
		memcpy(ip, &at.in6.sin6_addr, sizeof(at.in6.sin6_addr));
}

static struct host *find_host(struct pmio_fabric_target *t, const void *sockaddr)
{
	uint8_t ip[16];
	struct host *h;

	ip_of(sockaddr, ip);
	HASH_FIND(hh, t->hosts, ip, sizeof(ip), h);
	return h;
}

static void add_to_host(struct pmio_fabric_target *t, struct addr *a)
{
	struct host *h = find_host(t, a->bytes);

	if (!h) {
		h = calloc(1, sizeof(*h));
		if (!h)
			return; /* then it is a stranger's */
		ip_of(a->bytes, h->ip);
		HASH_ADD(hh, t->hosts, ip, sizeof(h->ip), h);
	}
	h->nr_addrs++;
	a->host = h;
}

static void leave_host(struct pmio_fabric_target *t, struct addr *a)
{
	struct host *h = a->host;

	a->host = NULL;
	if (!h || --h->nr_addrs)
		return;
	HASH_DEL(t->hosts, h);
	free(h);
}

static bool is_known(void *arg, const struct sockaddr *peer)
{
	return find_host(arg, peer) != NULL;
}

static void drop_region(struct pmio_fabric_target *t, struct region *r)
{
	if (r->nr_sessions || r == t->regions)
		return;
	LL_DELETE(t->regions, r);
	fi_close(&r->mr->fid);
	free(r);
}

static void forget_ended(struct pmio_fabric_target *t)
{
	uint64_t now = fabric_now_ms();

	while (t->ended && t->ended->until_ms < now) {
		struct session *s = t->ended;

		DL_DELETE(t->ended, s);
		HASH_DEL(t->sessions, s);
		free(s);
	}
}

/* of who has proven himself; NULL also for one that has ended */
static struct session *find_session(struct pmio_fabric_target *t, uint64_t id)
{
	struct session *s;

	HASH_FIND(hh, t->sessions, &id, sizeof(id), s);
	return s && s->addr ? s : NULL;
}

/* until its proof is good no more it is remembered, so that nobody says that again */
static void end_session(struct pmio_fabric_target *t, struct session *s)
{
	if (--s->addr->nr_sessions == 0)
		leave_host(t, s->addr);
	put_addr(t, s->addr);
	s->region->nr_sessions--;
	drop_region(t, s->region);
	s->addr = NULL;
	s->region = NULL;
	DL_APPEND(t->ended, s);
	atomic_fetch_sub(&t->nr_proven, 1);
	forget_ended(t);
}

/* the proof was good */
static struct session *begin_session(struct pmio_fabric_target *t, const struct fabric_proof_msg *m)
{
	struct session *s;

	forget_ended(t);
	if (atomic_load(&t->nr_proven) >= SESSIONS_MAX) {
		if (!t->said_full)
			pmio_err("fabric: more than %u sessions: refusing others", SESSIONS_MAX);
		t->said_full = true;
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (s)
		s->addr = get_addr(t, m->addr, m->addr_len);
	if (!s || !s->addr) {
		free(s);
		return NULL;
	}
	s->id = m->hdr.session;
	s->until_ms = m->time + PROOF_MS(t);
	s->region = t->regions;
	s->region->nr_sessions++;
	if (s->addr->nr_sessions++ == 0)
		add_to_host(t, s->addr);
	HASH_ADD(hh, t->sessions, id, sizeof(s->id), s);
	atomic_fetch_add(&t->nr_proven, 1);
	return s;
}

/* ---- sending --------------------------------------------------------------------------- */

static void *slots_desc(const struct pmio_fabric_target *t)
{
	return t->slots_mr ? fi_mr_desc(t->slots_mr) : NULL;
}

static void not_strange_any_more(struct pmio_fabric_target *t, struct addr *a)
{
	a->nr_strange--;
	t->nr_strange--;
}

static void free_out(struct pmio_fabric_target *t, struct out *o)
{
	if (o->addr && o->strange)
		not_strange_any_more(t, o->addr);
	put_addr(t, o->addr);
	free(o);
}

/* false: there is no room now */
static bool try_to_send(struct pmio_fabric_target *t, struct out *o)
{
	struct slot **list = o->strange ? &t->free_strange : &t->free_sends, *s = *list;
	ssize_t rc;

	if (!s)
		return false;
	memcpy(s->buf, &o->hdr, o->size);
	rc = fi_send(t->ep.ep, s->buf, o->size, slots_desc(t), o->addr->fi, &s->ctx);
	if (rc == -FI_EAGAIN)
		return false;
	if (rc == 0) {
		*list = s->next;
		s->addr = o->addr; /* with our reference, and its place among those to strangers */
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

/* a is libfabric's to know from now on: the next message from there says that it is */
static void hear_of(struct pmio_fabric_target *t, struct addr *a)
{
	struct addr **place = &t->heard[t->next_heard++ % NR_HEARD];

	a->heard_ms = fabric_now_ms();
	a->refs++;
	put_addr(t, *place);
	*place = a;
}

/* libfabric will try to reach an address that a stranger says is his */
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

/* takes o over, and a's reference */
static void send_to_stranger(struct pmio_fabric_target *t, struct out *o, struct addr *a, fi_addr_t from)
{
	if (!a || !may_answer(t, a, from)) {
		put_addr(t, a);
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

		if (s) {
			end_session(t, s);
			forget_answers(t, e->session);
		}
		free(e);
	}
}

/* ---- what ports say ------------------------------------------------------------------------ */

/* "are you still the one that I know?": the epoch says it, and the status whether we know the session */
static void take_probe(struct pmio_fabric_target *t, const struct fabric_hello_msg *m, fi_addr_t from)
{
	struct session *s = find_session(t, m->hdr.session);
	struct fabric_challenge_msg *c;
	struct out *o = new_out(m->hdr.session, FABRIC_CHALLENGE, m->hdr.number, sizeof(*c));

	if (!o)
		return;
	c = (struct fabric_challenge_msg *)&o->hdr;
	c->epoch = t->epoch;
	c->hdr.status = s ? 0 : -ENOTCONN;
	if (s)
		send_out(t, o);
	else
		send_to_stranger(t, o, get_addr(t, m->addr, m->addr_len), from);
}

static void take_hello(struct pmio_fabric_target *t, const struct fabric_hello_msg *m, fi_addr_t from)
{
	struct fabric_ticket ticket = { .time = fabric_now_ms(), .epoch = t->epoch, .addr_len = m->addr_len };
	struct fabric_challenge_msg *c;
	struct out *o = new_out(0, FABRIC_CHALLENGE, m->hdr.number, sizeof(*c));

	if (!o)
		return;
	memcpy(ticket.port_nonce, m->nonce, NONCE_SIZE);
	memcpy(ticket.addr, m->addr, m->addr_len);
	c = (struct fabric_challenge_msg *)&o->hdr;
	fabric_make_challenge(t->secret, &ticket, c->nonce, &c->hdr.session);
	c->epoch = t->epoch;
	c->time = ticket.time;
	c->munge = t->munge.policy;
	send_to_stranger(t, o, get_addr(t, m->addr, m->addr_len), from);
}

/* status: -EACCES: it does not know the key; -EPERM: it is not our user, because of why */
static void refuse(struct pmio_fabric_target *t, const struct fabric_proof_msg *m, struct out *o, int status,
		   const char *why)
{
	uint64_t nr = pmio_note(status == -EACCES ? &t->no_key : &t->no_user, 1);
	struct addr *a = get_addr(t, m->addr, m->addr_len);

	if (nr && status == -EACCES)
		pmio_warn("fabric: refused %llu that do not know the key", (unsigned long long)nr);
	else if (nr)
		pmio_warn("fabric: refused %llu, the last one because of munge: %s", (unsigned long long)nr, why);
	atomic_fetch_add(&t->nr_no_key, 1);
	o->hdr.status = status;
	send_to_stranger(t, o, a, a ? a->fi : FI_ADDR_NOTAVAIL); /* its challenge has come there */
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

/* is it the answer to a challenge of ours, and not an old one?  Then that is what both sides have said */
static bool fits(struct pmio_fabric_target *t, const struct fabric_proof_msg *m, struct fabric_transcript *said)
{
	struct fabric_ticket ticket = { .time = m->time, .epoch = t->epoch, .addr_len = m->addr_len };
	uint64_t now = fabric_now_ms();

	if (m->time > now || now - m->time > PROOF_MS(t))
		return false;
	memcpy(ticket.port_nonce, m->nonce, NONCE_SIZE);
	memcpy(ticket.addr, m->addr, m->addr_len);
	memset(said, 0, sizeof(*said));
	fabric_make_challenge(t->secret, &ticket, said->target_nonce, &said->session);
	memcpy(said->port_nonce, m->nonce, NONCE_SIZE);
	memcpy(said->addr, m->addr, m->addr_len);
	said->epoch = t->epoch;
	said->munge = t->munge.policy | (m->credential_len ? SENT_CREDENTIAL : 0);
	return said->session == m->hdr.session;
}

/* NULL: there is no session; the answer says why */
static struct session *check_proof(struct pmio_fabric_target *t, const struct fabric_proof_msg *m,
				   const struct fabric_transcript *said, struct out *o)
{
	struct session *s = NULL;
	const char *why;

	if (!fabric_mac_is_good(t->key, FABRIC_PROOF, said, m->mac))
		refuse(t, m, o, -EACCES, NULL);
	else if (!is_our_user(t, m, &why))
		refuse(t, m, o, -EPERM, why);
	else if ((s = begin_session(t, m)) == NULL)
		free(o);
	return s;
}

static void take_proof(struct pmio_fabric_target *t, const struct fabric_proof_msg *m)
{
	struct fabric_transcript said;
	struct fabric_welcome_msg *w;
	struct session *s;
	struct out *o;

	if (!fits(t, m, &said))
		return;
	HASH_FIND(hh, t->sessions, &m->hdr.session, sizeof(m->hdr.session), s);
	if (s)
		return; /* said again */
	o = new_out(m->hdr.session, FABRIC_WELCOME, m->hdr.number, sizeof(*w));
	if (!o)
		return;
	s = check_proof(t, m, &said, o);
	if (!s)
		return;
	w = (struct fabric_welcome_msg *)&o->hdr;
	w->key = said.key = s->region->key;
	w->base = said.base = t->base;
	w->len = said.len = t->len;
	fabric_mac(t->key, FABRIC_WELCOME, &said, w->mac);
	send_out(t, o);
}

static void take_call(struct pmio_fabric_target *t, const struct fabric_hdr_msg *m)
{
	struct pmio_fabric_call *call;
	struct session *s;

	take_endings(t);
	s = find_session(t, m->session);
	if (!s)
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

	if (s)
		end_session(t, s);
}

/* from: FI_ADDR_NOTAVAIL: not known */
static void take(struct pmio_fabric_target *t, const void *msg, size_t len, fi_addr_t from)
{
	const struct fabric_hdr_msg *h = msg;

	if (!fabric_msg_is_good(msg, len))
		return;
	switch (h->type) {
	case FABRIC_HELLO:
		if (h->session)
			take_probe(t, msg, from);
		else
			take_hello(t, msg, from);
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

static void sent(struct pmio_fabric_target *t, struct slot *s)
{
	struct slot **list = s->strange ? &t->free_strange : &t->free_sends;

	if (s->strange)
		not_strange_any_more(t, s->addr);
	put_addr(t, s->addr);
	s->addr = NULL;
	s->next = *list;
	*list = s;
}

static void slot_ended(struct pmio_fabric_target *t, struct slot *s, size_t len, fi_addr_t from)
{
	if (s->sends) {
		sent(t, s);
		return;
	}
	if (len)
		take(t, s->buf, len, from);
	if (post(t, s) < 0)
		pmio_err("fabric: a buffer for messages is lost");
}

static void take_error(struct pmio_fabric_target *t)
{
	struct fi_cq_err_entry e = { 0 };

	/* somebody has died; those that live are no worse off */
	if (fi_cq_readerr(t->ep.cq, &e, 0) > 0 && e.op_context)
		slot_ended(t, e.op_context, 0, FI_ADDR_NOTAVAIL);
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

static int make_region(struct pmio_fabric_target *t);

/* a key that somebody guesses at is not that of sessions to come.  Those that have it keep it: he must not end them */
static void look_at_refused(struct pmio_fabric_target *t)
{
	uint64_t nr = fabric_refused() - t->refused_before, more = nr - atomic_load(&t->nr_refused), told;
	struct region *r;
	unsigned nr_regions;

	atomic_store(&t->nr_refused, nr);
	told = pmio_note(&t->refused, more);
	if (told)
		pmio_warn("fabric: refused %llu reads and writes of memory, by a wrong key or beyond its end: somebody guesses, "
			  "or is out of order", (unsigned long long)told);
	if (nr < t->renew_at)
		return;
	t->renew_at = nr + RENEW_AFTER;
	LL_COUNT(t->regions, r, nr_regions);
	if (nr_regions < REGIONS_MAX && make_region(t) == 0)
		drop_region(t, t->regions->next);
}

/* how long it may sleep, ms */
static int look_around(struct pmio_fabric_target *t)
{
	int ms = fabric_guard_look(&t->guard, is_known, t);

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
			slot_ended(t, e[i].op_context, e[i].flags & FI_RECV ? e[i].len : 0, from[i]);
		if (n == -FI_EAVAIL)
			take_error(t);
		take_endings(t);
		take_queue(t);
		send_waiting(t);
	}
	return NULL;
}

/* ---- making and ending it -------------------------------------------------------------------------- */

static void free_slot(struct slot **list, struct slot *s)
{
	s->sends = true;
	s->next = *list;
	*list = s;
}

static int make_slots(struct pmio_fabric_target *t)
{
	const size_t nr = NR_RECVS + NR_SENDS, size = nr * SLOT_SIZE + NR_STRANGE * STRANGE_SIZE;
	uint8_t *p;
	int rc = 0;

	t->memory = p = calloc(1, size);
	if (!t->memory)
		return -ENOMEM;
	if (t->ep.info->domain_attr->mr_mode & FI_MR_LOCAL)
		rc = fabric_ep_register(&t->ep, t->memory, size, FI_SEND | FI_RECV, SLOTS_KEY, &t->slots_mr);
	for (size_t i = 0; i < nr + NR_STRANGE && rc == 0; i++) {
		struct slot *s = &t->slots[i];

		s->buf = p;
		s->strange = i >= nr;
		p += s->strange ? STRANGE_SIZE : SLOT_SIZE;
		if (i < NR_RECVS)
			rc = post(t, s);
		else
			free_slot(s->strange ? &t->free_strange : &t->free_sends, s);
	}
	return rc < 0 ? fabric_error(rc) : 0;
}

/* the memory, under another key: as many random bits as the provider takes */
static int make_region(struct pmio_fabric_target *t)
{
	struct region *r = calloc(1, sizeof(*r));
	uint64_t key = 0;
	int rc = r ? 0 : -ENOMEM;

	while (rc == 0 && key <= SLOTS_KEY) {
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

static int offer(struct pmio_fabric_target *t, void *base, size_t len)
{
	int rc = pmio_fabric_random(&t->epoch, sizeof(t->epoch));

	t->epoch |= !t->epoch; /* 0 is any */
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
	t->guard.spare_fd = -1;
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
		fabric_guard_init(&t->guard, &t->ep);
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
	struct host *h, *h_next;
	struct region *r, *r_next;

	HASH_ITER(hh, t->hosts, h, h_next) {
		HASH_DEL(t->hosts, h);
		free(h);
	}
	LL_FOREACH_SAFE(t->regions, r, r_next)
		free(r);
	t->regions = NULL;
	fabric_guard_fini(&t->guard);
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
	if (t->slots_mr)
		fi_close(&t->slots_mr->fid);
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

void pmio_fabric_target_refused(struct pmio_fabric_target *t, struct pmio_fabric_refused *out)
{
	out->accesses = atomic_load(&t->nr_refused);
	out->proofs = atomic_load(&t->nr_no_key);
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
