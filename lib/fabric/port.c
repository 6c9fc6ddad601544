/*
 * port.c -- reaching the memory of others
 *
 * A request (fabric.h's pmio_fabric_op) is a number of operations of libfabric's
 * (remote writes or reads, and the sending of a message) and perhaps an answer.  Bytes go through buffers of the
 * port's own: an operation that a dead peer never ends then has nothing of the
 * caller's, and network cards need no memory of the caller registered.
 *
 * Of the buffers no peer gets more than there are left for others, and those that a peer which is
 * down may hold for ever are replaced: so what is asked of others does not wait for it.
 *
 * There is no thread here: of those that wait one sleeps in the completion queue and
 * hands out what it finds, the others wait for it.  All is under `lock`, which is
 * not held in that sleep, nor while bytes are copied.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "fabric/fabric_impl.h"

#define NR_RECVS 64
#define NR_SENDS 64
#define NR_BOUNCES 16		 /* of which one peer gets half */
#define EXTRAS_MAX 256		 /* in place of those that peers which are down hold */
#define BOUNCE_SIZE (64u << 10) /* bytes; from 72 KiB on writes through sockets take twice as long, now and then (bench_fabric) */
#define SLEEP_MS 100		 /* at a time */
#define UNATTENDED_MS 200	 /* nobody has looked for so long: not only one who sleeps, and wakes up late */
#define RETRY_MS 2		 /* when the provider's queue is full, or it still connects */
#define PROBE_MS 1000		 /* without an answer: is it another one by now? */
#define PROBE_AGAIN_MS 20	 /* once more: a target that does not know us answers no first one (target.c) */
#define HELLO_MS 2		 /* so a HELLO is said again after so long; */
#define HELLO_TIMES 4		 /* then after so many times as long, up to PROBE_MS */

enum op_kind { OP_RECV, OP_SEND, OP_WRITE, OP_READ };

struct op {
	struct fi_context2 ctx; /* first */
	enum op_kind kind;
	uint8_t *buf;
	struct fid_mr *mr;	/* of buf; NULL: needs none */
	struct pmio_fabric_op *req;	/* NULL: a receive */
	uint8_t *to;		/* OP_READ: the caller's; len bytes */
	size_t len;
	struct op *next;	/* free, or read and not copied yet */
};

/* one more, with a buffer of its own */
struct extra {
	struct op op;		/* first */
	uint8_t *memory;	/* owned */
	struct extra *next;
};

/* a request */
struct pmio_fabric_op {
	uint64_t number; /* key */
	struct pmio_fabric_peer *peer;
	unsigned refs;		/* who waits, and each operation under way */
	unsigned nr_ops;	/* under way */
	int rc;			/* the first error */
	bool wants_answer, answered;
	const uint8_t *nonce;	/* of a HELLO that is to be said again until it is answered; else NULL */
	uint64_t alive_ms, probed_ms;
	uint64_t forgiven_ms;	/* of pauses since alive_ms was last said by the peer */
	unsigned probe_ms;	/* after so long again */
	struct op *read;	/* OP_READs that have ended */
	size_t answer_len;
	union {
		struct fabric_hdr_msg hdr;
		uint8_t bytes[SLOT_SIZE];
	} answer;
	UT_hash_handle hh;
};

struct pmio_fabric_peer {
	struct pmio_fabric_port *port;
	struct pmio_fabric_peer *prev, *next;
	fi_addr_t fi;
	uint8_t key[PMIO_FABRIC_KEY_SIZE];
	uint64_t epoch;		/* 0: any, until it has said which */
	uint64_t session;	/* 0: none yet */
	uint64_t mr_key, base, len;
	unsigned nr_sends, nr_bounces; /* that it has */
	int down;		/* why */
};

struct pmio_fabric_port {
	struct fabric_ep ep;
	uint8_t key[PMIO_FABRIC_KEY_SIZE];
	bool has_key;
	struct fabric_munge munge;
	unsigned timeout_ms;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool somebody_sleeps;	/* in the completion queue */
	uint64_t attended_ms;	/* until when somebody looks, or has looked, at it */
	uint64_t number;
	struct pmio_fabric_op *requests; /* hash: those that wait for an answer */
	struct pmio_fabric_peer *peers;
	struct op ops[NR_RECVS + NR_SENDS + NR_BOUNCES];
	struct op *free_sends, *free_bounces;
	unsigned nr_free_sends, nr_free_bounces;
	struct extra *extras;
	unsigned nr_extras;
	uint8_t *memory;	/* owned */
	struct fid_mr *mr;
	uint64_t next_key;	/* of registrations */
};

/* ---- requests; lock held ------------------------------------------------------------------ */

static struct pmio_fabric_op *new_request(struct pmio_fabric_peer *peer)
{
	struct pmio_fabric_op *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->number = ++peer->port->number;
	r->peer = peer;
	r->refs = 1;
	r->alive_ms = r->probed_ms = fabric_now_ms();
	r->probe_ms = PROBE_MS;
	HASH_ADD(hh, peer->port->requests, number, sizeof(r->number), r);
	return r;
}

static void put_request(struct pmio_fabric_op *r)
{
	if (--r->refs == 0)
		free(r);
}

static void fail_request(struct pmio_fabric_op *r, int rc)
{
	if (r->rc == 0)
		r->rc = rc;
}

/* its buffer is free for all */
static void put_on_list(struct pmio_fabric_port *port, struct op *op)
{
	bool sends = op->kind == OP_SEND;
	struct op **list = sends ? &port->free_sends : &port->free_bounces;

	op->next = *list;
	*list = op;
	if (sends)
		port->nr_free_sends++;
	else
		port->nr_free_bounces++;
}

static void give_back(struct pmio_fabric_port *port, struct op *op)
{
	struct pmio_fabric_peer *peer = op->req->peer;

	if (op->kind == OP_SEND)
		peer->nr_sends--;
	else
		peer->nr_bounces--;
	op->req = NULL;
	put_on_list(port, op);
}

static bool add_extra(struct pmio_fabric_port *port, enum op_kind kind)
{
	const size_t size = kind == OP_SEND ? SLOT_SIZE : BOUNCE_SIZE;
	struct extra *e = port->nr_extras < EXTRAS_MAX ? calloc(1, sizeof(*e)) : NULL;
	int rc = 0;

	if (!e)
		return false;
	e->memory = malloc(size);
	if (e->memory && port->mr)
		rc = fabric_ep_register(&port->ep, e->memory, size, FI_SEND | FI_RECV | FI_READ | FI_WRITE,
					++port->next_key, &e->op.mr);
	if (!e->memory || rc < 0) {
		free(e->memory);
		free(e);
		return false;
	}
	e->op.buf = e->memory;
	e->op.kind = kind;
	port->nr_extras++;
	LL_PREPEND(port->extras, e);
	put_on_list(port, &e->op);
	return true;
}

/* what the provider does not give back may never come, and others need as many */
static void replace_buffers(struct pmio_fabric_peer *peer)
{
	for (unsigned i = 0; i < peer->nr_sends; i++) {
		if (!add_extra(peer->port, OP_SEND))
			return;
	}
	for (unsigned i = 0; i < peer->nr_bounces; i++) {
		if (!add_extra(peer->port, OP_WRITE))
			return;
	}
}

static void peer_is_down(struct pmio_fabric_peer *peer, int why)
{
	if (peer->down)
		return;
	peer->down = why;
	for (struct pmio_fabric_op *r = peer->port->requests; r; r = r->hh.next) {
		if (r->peer == peer)
			fail_request(r, why);
	}
	replace_buffers(peer);
}

/* ---- what comes; lock held -------------------------------------------------------------------- */

static void take_message(struct pmio_fabric_port *port, const void *msg, size_t len)
{
	const struct fabric_hdr_msg *h = msg;
	struct pmio_fabric_op *r;

	if (!fabric_msg_is_good(msg, len))
		return;
	HASH_FIND(hh, port->requests, &h->number, sizeof(h->number), r);
	if (!r || r->answered || !r->wants_answer)
		return;
	/* the answer to a probe: it is the one that we know, and the answer is still to come; or it is not */
	if (h->type == FABRIC_CHALLENGE && r->peer->session) {
		if (((const struct fabric_challenge_msg *)msg)->epoch != r->peer->epoch)
			peer_is_down(r->peer, -ESTALE);
		else if (h->status < 0)
			peer_is_down(r->peer, -ECONNRESET);
		return;
	}
	if (r->peer->session && (h->type != FABRIC_REPLY || h->session != r->peer->session))
		return;
	memcpy(r->answer.bytes, msg, len);
	r->answer_len = len;
	r->answered = true;
	r->alive_ms = fabric_now_ms();
	r->forgiven_ms = 0;
}

static int post_recv(struct pmio_fabric_port *port, struct op *op)
{
	ssize_t rc;

	do
		rc = fi_recv(port->ep.ep, op->buf, SLOT_SIZE, op->mr ? fi_mr_desc(op->mr) : NULL,
			     FI_ADDR_UNSPEC, &op->ctx);
	while (rc == -FI_EAGAIN && fi_cq_read(port->ep.cq, NULL, 0) != 0);
	return (int)rc;
}

static void op_ended(struct pmio_fabric_port *port, struct op *op, int rc, size_t len)
{
	struct pmio_fabric_op *r = op->req;

	if (op->kind == OP_RECV) {
		if (rc == 0)
			take_message(port, op->buf, len);
		if (post_recv(port, op) < 0)
			pmio_err("fabric: a buffer for messages is lost");
		return;
	}
	r->nr_ops--;
	if (op->kind != OP_SEND) { /* that says nothing of the peer */
		r->alive_ms = fabric_now_ms();
		r->forgiven_ms = 0;
	}
	if (rc < 0) {
		fail_request(r, rc);
		if (rc == -ECONNRESET)
			peer_is_down(r->peer, rc);
	}
	if (op->kind == OP_READ && rc == 0 && r->refs > r->nr_ops + 1) {
		op->next = r->read; /* who waits copies it */
		r->read = op;
	} else {
		give_back(port, op);
	}
	put_request(r);
}

static void take_error(struct pmio_fabric_port *port)
{
	struct fi_cq_err_entry e = { 0 };

	if (fi_cq_readerr(port->ep.cq, &e, 0) > 0 && e.op_context)
		op_ended(port, e.op_context, fabric_error(-e.err), 0);
}

static void wait_for_sleeper(struct pmio_fabric_port *port, unsigned ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)ms * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_cond_timedwait(&port->changed, &port->lock, &until);
}

/* lock held, given up meanwhile: until something has changed, but not longer than ms */
static void sleep_for(struct pmio_fabric_port *port, unsigned ms)
{
	struct fi_cq_msg_entry e[16];
	uint64_t now;
	ssize_t n;

	if (port->somebody_sleeps) {
		wait_for_sleeper(port, ms);
		return;
	}
	port->somebody_sleeps = true;
	port->attended_ms = fabric_now_ms() + ms;
	pthread_mutex_unlock(&port->lock);
	n = fabric_ep_wait(&port->ep, e, NULL, 16, (int)ms);
	pthread_mutex_lock(&port->lock);
	port->somebody_sleeps = false;
	now = fabric_now_ms();
	if (now < port->attended_ms)
		port->attended_ms = now;
	for (ssize_t i = 0; i < n; i++)
		op_ended(port, e[i].op_context, 0, e[i].len);
	if (n == -FI_EAVAIL)
		take_error(port);
	pthread_cond_broadcast(&port->changed);
}

/* ---- what goes; lock held ------------------------------------------------------------------------ */

/*
 * What came while nobody looked is not known yet: that time is not the peers'.  A long pause (a process that
 * was suspended) counts for nothing; short ones (a loaded machine, which wakes who sleeps late each time) for no more
 * than one timeout in all, or a request to who is gone would take many times as long.
 */
static void skip_unattended(struct pmio_fabric_port *port, uint64_t now)
{
	uint64_t gap = now > port->attended_ms ? now - port->attended_ms : 0;

	if (gap < UNATTENDED_MS)
		return;
	port->attended_ms = now;
	for (struct pmio_fabric_op *r = port->requests; r; r = r->hh.next) {
		uint64_t left = port->timeout_ms - r->forgiven_ms, grant = gap;

		if (gap < port->timeout_ms / 2) {
			grant = gap < left ? gap : left;
			r->forgiven_ms += grant;
		}
		r->alive_ms = r->alive_ms + grant < now ? r->alive_ms + grant : now;
	}
}

static bool is_late(struct pmio_fabric_port *port, const struct pmio_fabric_op *r)
{
	uint64_t now = fabric_now_ms();

	skip_unattended(port, now);
	return now - r->alive_ms > port->timeout_ms;
}

/* a peer that answers gives back what it has; one that does not leaves as many to each next one as it has itself */
static bool may_take(const struct pmio_fabric_port *port, const struct pmio_fabric_peer *peer, enum op_kind kind)
{
	return kind == OP_SEND ? peer->nr_sends < port->nr_free_sends : peer->nr_bounces < port->nr_free_bounces;
}

static struct op *take_op(struct pmio_fabric_port *port, struct pmio_fabric_op *r, enum op_kind kind)
{
	struct op **list = kind == OP_SEND ? &port->free_sends : &port->free_bounces;
	struct op *op = *list;

	*list = op->next;
	op->kind = kind;
	op->req = r;
	if (kind == OP_SEND) {
		port->nr_free_sends--;
		r->peer->nr_sends++;
	} else {
		port->nr_free_bounces--;
		r->peer->nr_bounces++;
	}
	return op;
}

/* an operation of that kind; NULL: r has failed */
static struct op *get_op(struct pmio_fabric_port *port, struct pmio_fabric_op *r, enum op_kind kind)
{
	while (!may_take(port, r->peer, kind) && r->rc == 0 && !r->read) {
		if (is_late(port, r))
			fail_request(r, -ETIMEDOUT);
		else
			sleep_for(port, SLEEP_MS);
	}
	return r->rc < 0 || !may_take(port, r->peer, kind) ? NULL : take_op(port, r, kind);
}

static ssize_t post_once(struct pmio_fabric_port *port, struct op *op, uint64_t off)
{
	struct pmio_fabric_peer *peer = op->req->peer;
	void *desc = op->mr ? fi_mr_desc(op->mr) : NULL;
	struct iovec iov = { op->buf, op->len };
	struct fi_rma_iov remote = { peer->base + off, op->len, peer->mr_key };
	struct fi_msg_rma m = {
		.msg_iov = &iov, .desc = &desc, .iov_count = 1, .addr = peer->fi,
		.rma_iov = &remote, .rma_iov_count = 1, .context = &op->ctx,
	};

	if (op->kind == OP_SEND)
		return fi_send(port->ep.ep, op->buf, op->len, desc, peer->fi, &op->ctx);
	/* without FI_DELIVERY_COMPLETE a write "succeeds" that the target has refused */
	if (op->kind == OP_WRITE)
		return fi_writemsg(port->ep.ep, &m, FI_COMPLETION | FI_DELIVERY_COMPLETE);
	return fi_readmsg(port->ep.ep, &m, FI_COMPLETION);
}

/* takes op over; r->rc says if it went wrong */
static void post(struct pmio_fabric_port *port, struct op *op, uint64_t off)
{
	struct pmio_fabric_op *r = op->req;
	ssize_t rc;

	r->nr_ops++;
	r->refs++;
	/* not there, the queue is full, or it connects: the provider says the same to all */
	while ((rc = post_once(port, op, off)) == -FI_EAGAIN && r->rc == 0) {
		if (is_late(port, r))
			fail_request(r, -ETIMEDOUT);
		else
			sleep_for(port, RETRY_MS);
	}
	if (rc == 0)
		return;
	if (rc != -FI_EAGAIN)
		fail_request(r, fabric_error(rc));
	r->nr_ops--;
	give_back(port, op);
	put_request(r);
}

static void post_message(struct pmio_fabric_port *port, struct pmio_fabric_op *r, const struct fabric_hdr_msg *h,
			 const void *rest)
{
	struct op *op = get_op(port, r, OP_SEND);

	if (!op)
		return;
	memcpy(op->buf, h, sizeof(*h));
	if (h->len)
		memcpy(op->buf + sizeof(*h), rest, h->len);
	op->len = sizeof(*h) + h->len;
	post(port, op, 0);
}

static void post_hello(struct pmio_fabric_port *port, struct pmio_fabric_op *r, const uint8_t nonce[NONCE_SIZE])
{
	struct fabric_hello_msg m;

	fabric_msg_init(&m.hdr, FABRIC_HELLO, sizeof(m));
	m.hdr.number = r->number;
	m.hdr.session = r->peer->session;
	memcpy(m.nonce, nonce, NONCE_SIZE);
	m.addr_len = (uint32_t)port->ep.addr_len;
	memcpy(m.addr, port->ep.addr, port->ep.addr_len);
	post_message(port, r, &m.hdr, &m.hdr + 1);
	r->probed_ms = fabric_now_ms(); /* it may have had to connect first */
}

/* a target that was started anew, or has ended our session, answers nothing that was asked before */
static void probe(struct pmio_fabric_port *port, struct pmio_fabric_op *r)
{
	static const uint8_t no_nonce[NONCE_SIZE];
	uint64_t now = fabric_now_ms();

	if ((!r->peer->session && !r->nonce) || r->answered || now - r->probed_ms < r->probe_ms)
		return;
	if (!r->nonce)
		r->probe_ms = r->probe_ms == PROBE_MS ? PROBE_AGAIN_MS : PROBE_MS;
	else
		r->probe_ms = r->probe_ms * HELLO_TIMES < PROBE_MS ? r->probe_ms * HELLO_TIMES : PROBE_MS;
	post_hello(port, r, r->nonce ? r->nonce : no_nonce);
}

/* r's reads that have ended, to the caller; lock given up meanwhile */
static void copy_read(struct pmio_fabric_port *port, struct pmio_fabric_op *r)
{
	while (r->read) {
		struct op *op = r->read;

		r->read = op->next;
		pthread_mutex_unlock(&port->lock);
		memcpy(op->to, op->buf, op->len);
		pthread_mutex_lock(&port->lock);
		give_back(port, op);
		pthread_cond_broadcast(&port->changed);
	}
}

/* until all of r has ended, or it has failed */
static void wait_for(struct pmio_fabric_port *port, struct pmio_fabric_op *r)
{
	while (r->rc == 0 && (r->nr_ops || r->read || (r->wants_answer && !r->answered))) {
		if (r->read) {
			copy_read(port, r);
			continue;
		}
		if (is_late(port, r)) {
			pmio_err("fabric: a peer does not answer");
			peer_is_down(r->peer, -ETIMEDOUT);
			continue;
		}
		sleep_for(port, r->probe_ms < SLEEP_MS ? r->probe_ms : SLEEP_MS);
		if (r->rc == 0 && r->wants_answer)
			probe(port, r);
	}
	while (r->read) { /* it has failed otherwise */
		struct op *op = r->read;

		r->read = op->next;
		give_back(port, op);
	}
}

/* r is no longer ours; returns its result */
static int end_request(struct pmio_fabric_port *port, struct pmio_fabric_op *r)
{
	int rc = r->rc;

	HASH_DEL(port->requests, r);
	put_request(r);
	return rc;
}

/* ---- writing and reading ----------------------------------------------------------------------------- */

static int check_pieces(const struct pmio_fabric_peer *peer, const struct pmio_fabric_piece *pieces, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		if (pieces[i].len > peer->len || pieces[i].off > peer->len - pieces[i].len)
			return -EFAULT;
	}
	return 0;
}

static void copy_unlocked(struct pmio_fabric_port *port, void *to, const void *from, size_t len)
{
	pthread_mutex_unlock(&port->lock);
	memcpy(to, from, len);
	pthread_mutex_lock(&port->lock);
}

/* where in the pieces a request is */
struct cursor {
	const struct pmio_fabric_piece *p, *end;
	size_t done; /* of *p */
};

/* as many bytes as follow each other on the peer and fit: into op; returns their offset there */
static uint64_t fill_bounce(struct pmio_fabric_port *port, struct op *op, struct cursor *c)
{
	uint64_t off = c->p->off + c->done;

	op->len = 0;
	while (c->p < c->end && op->len < BOUNCE_SIZE && c->p->off + c->done == off + op->len) {
		size_t n = c->p->len - c->done;

		if (n > BOUNCE_SIZE - op->len)
			n = BOUNCE_SIZE - op->len;
		copy_unlocked(port, op->buf + op->len, (const uint8_t *)c->p->buf + c->done, n);
		op->len += n;
		c->done += n;
		if (c->done == c->p->len) {
			c->p++;
			c->done = 0;
		}
	}
	return off;
}

static uint64_t take_read(struct op *op, struct cursor *c)
{
	uint64_t off = c->p->off + c->done;

	op->len = c->p->len - c->done;
	if (op->len > BOUNCE_SIZE)
		op->len = BOUNCE_SIZE;
	op->to = (uint8_t *)c->p->buf + c->done;
	c->done += op->len;
	if (c->done == c->p->len) {
		c->p++;
		c->done = 0;
	}
	return off;
}

static void transfer(struct pmio_fabric_port *port, struct pmio_fabric_op *r, enum op_kind kind,
		     const struct pmio_fabric_piece *pieces, size_t nr)
{
	struct cursor c = { pieces, pieces + nr, 0 };

	while (r->rc == 0 && c.p < c.end) {
		struct op *op;
		uint64_t off;

		if (c.p->len == 0) {
			c.p++;
			continue;
		}
		copy_read(port, r);
		op = get_op(port, r, kind);
		if (!op)
			continue;
		off = kind == OP_WRITE ? fill_bounce(port, op, &c) : take_read(op, &c);
		post(port, op, off);
	}
}

static void ask(struct pmio_fabric_port *port, struct pmio_fabric_op *r, const struct pmio_fabric_exchange *x)
{
	struct fabric_hdr_msg h;

	fabric_msg_init(&h, FABRIC_CALL, sizeof(h));
	h.len = (uint32_t)x->request_len;
	h.session = r->peer->session;
	h.number = r->number;
	r->wants_answer = true;
	post_message(port, r, &h, x->request);
}

/* x: NULL: only the status is wanted */
static int take_answer(const struct pmio_fabric_op *r, struct pmio_fabric_exchange *x)
{
	size_t len = r->wants_answer ? r->answer.hdr.len : 0;

	if (x && len > x->answer_room)
		return -EMSGSIZE;
	if (x && len)
		memcpy(x->answer, r->answer.bytes + sizeof(r->answer.hdr), len);
	if (x)
		x->answer_len = len;
	return r->wants_answer ? r->answer.hdr.status : 0;
}

/* x: the request; NULL: none */
static int begin(struct pmio_fabric_peer *peer, enum op_kind kind, const struct pmio_fabric_piece *pieces, size_t nr,
		 const struct pmio_fabric_exchange *x, struct pmio_fabric_op **out)
{
	struct pmio_fabric_port *port = peer->port;
	struct pmio_fabric_op *r;
	int rc = check_pieces(peer, pieces, nr);

	*out = NULL;
	if (rc == 0 && x && x->request_len > PMIO_FABRIC_MSG_MAX)
		rc = -EMSGSIZE;
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&port->lock);
	r = peer->down ? NULL : new_request(peer);
	if (!r) {
		rc = peer->down ? peer->down : -ENOMEM;
		pthread_mutex_unlock(&port->lock);
		return rc;
	}
	transfer(port, r, kind, pieces, nr);
	if (x && r->rc == 0)
		ask(port, r, x);
	pthread_mutex_unlock(&port->lock);
	*out = r;
	return 0;
}

static int end(struct pmio_fabric_op *r, struct pmio_fabric_exchange *x)
{
	struct pmio_fabric_port *port = r->peer->port;
	int rc;

	pthread_mutex_lock(&port->lock);
	wait_for(port, r);
	if (r->rc == 0)
		r->rc = take_answer(r, x);
	rc = end_request(port, r);
	pthread_mutex_unlock(&port->lock);
	return rc;
}

static int run(struct pmio_fabric_peer *peer, enum op_kind kind, const struct pmio_fabric_piece *pieces,
	       size_t nr, struct pmio_fabric_exchange *x)
{
	struct pmio_fabric_op *r;
	int rc = begin(peer, kind, pieces, nr, x, &r);

	return rc < 0 ? rc : end(r, x);
}

int pmio_fabric_call(struct pmio_fabric_peer *peer, struct pmio_fabric_exchange *x)
{
	return run(peer, OP_WRITE, NULL, 0, x);
}

int pmio_fabric_write(struct pmio_fabric_peer *peer, const struct pmio_fabric_piece *pieces, size_t nr,
		      struct pmio_fabric_exchange *x)
{
	return run(peer, OP_WRITE, pieces, nr, x);
}

int pmio_fabric_read(struct pmio_fabric_peer *peer, const struct pmio_fabric_piece *pieces, size_t nr)
{
	return run(peer, OP_READ, pieces, nr, NULL);
}

int pmio_fabric_begin(struct pmio_fabric_peer *peer, const struct pmio_fabric_piece *pieces, size_t nr,
		      const void *request, size_t request_len, struct pmio_fabric_op **out)
{
	const struct pmio_fabric_exchange x = { .request = request, .request_len = request_len };

	return begin(peer, OP_WRITE, pieces, nr, request ? &x : NULL, out);
}

int pmio_fabric_end(struct pmio_fabric_op **op, struct pmio_fabric_exchange *x)
{
	struct pmio_fabric_op *r = *op;

	*op = NULL;
	return end(r, x);
}

/* ---- connecting; lock held --------------------------------------------------------------------------------- */

/* the answer to what was posted has this type; else an error */
static int await(struct pmio_fabric_port *port, struct pmio_fabric_op *r, enum fabric_type type)
{
	wait_for(port, r);
	if (r->rc < 0)
		return r->rc;
	return r->answer.hdr.type == type ? r->answer.hdr.status : -EPROTO;
}

/* time: of the challenge */
static int say_hello(struct pmio_fabric_peer *peer, struct fabric_transcript *t, uint64_t *time)
{
	struct pmio_fabric_port *port = peer->port;
	const struct fabric_challenge_msg *c;
	struct pmio_fabric_op *r = new_request(peer);
	int rc;

	if (!r)
		return -ENOMEM;
	r->wants_answer = true;
	r->nonce = t->port_nonce;
	r->probe_ms = HELLO_MS;
	post_hello(port, r, t->port_nonce);
	rc = await(port, r, FABRIC_CHALLENGE);
	c = (const struct fabric_challenge_msg *)&r->answer;
	if (rc == 0 && peer->epoch && c->epoch != peer->epoch)
		rc = -ESTALE;
	if (rc == 0) {
		memcpy(t->target_nonce, c->nonce, NONCE_SIZE);
		t->session = c->hdr.session;
		t->epoch = peer->epoch = c->epoch;
		t->munge = c->munge;
		*time = c->time;
	}
	end_request(port, r);
	return rc;
}

/* who we are, if both sides want that; lock given up meanwhile.  -ENOTSUP: one of them cannot, and we insist */
static int add_credential(struct pmio_fabric_peer *peer, struct fabric_transcript *t, struct fabric_proof_msg *m)
{
	const struct fabric_munge *munge = &peer->port->munge;
	ssize_t len = -ENOTSUP;
	const char *why;

	if (munge->policy != MUNGE_OFF && t->munge != MUNGE_OFF) {
		t->munge |= SENT_CREDENTIAL;
		pthread_mutex_unlock(&peer->port->lock);
		fabric_mac(peer->key, FABRIC_PROOF, t, m->mac);
		len = fabric_munge_encode(munge, m->mac, m->credential, &why);
		if (len < 0)
			pmio_dbg("fabric: munge: %s", why);
		pthread_mutex_lock(&peer->port->lock);
	}
	if (len >= 0) {
		m->credential_len = (uint32_t)len;
		m->hdr.len += (uint32_t)len;
		return 0;
	}
	t->munge &= ~(uint64_t)SENT_CREDENTIAL;
	fabric_mac(peer->key, FABRIC_PROOF, t, m->mac);
	return munge->policy == MUNGE_REQUIRE ? -ENOTSUP : 0;
}

static int prove(struct pmio_fabric_peer *peer, struct fabric_transcript *t, uint64_t time)
{
	struct pmio_fabric_port *port = peer->port;
	const struct fabric_welcome_msg *w;
	struct fabric_proof_msg m;
	struct pmio_fabric_op *r;
	int rc;

	memset(&m, 0, sizeof(m));
	fabric_msg_init(&m.hdr, FABRIC_PROOF, PROOF_SIZE);
	memcpy(m.nonce, t->port_nonce, NONCE_SIZE);
	m.time = time;
	m.addr_len = (uint32_t)port->ep.addr_len;
	memcpy(m.addr, port->ep.addr, port->ep.addr_len);
	rc = add_credential(peer, t, &m);
	if (rc < 0)
		return rc;
	r = new_request(peer);
	if (!r)
		return -ENOMEM;
	m.hdr.number = r->number;
	m.hdr.session = t->session;
	r->wants_answer = true;
	post_message(port, r, &m.hdr, &m.hdr + 1);
	rc = await(port, r, FABRIC_WELCOME);
	w = (const struct fabric_welcome_msg *)&r->answer;
	if (rc == 0) {
		peer->mr_key = t->key = w->key;
		peer->base = t->base = w->base;
		peer->len = t->len = w->len;
		rc = fabric_mac_is_good(peer->key, FABRIC_WELCOME, t, w->mac) ? 0 : -EACCES;
	}
	end_request(port, r);
	return rc;
}

static int shake_hands(struct pmio_fabric_peer *peer)
{
	struct fabric_transcript t = { .session = 0 };
	uint64_t time = 0;
	int rc = pmio_fabric_random(t.port_nonce, sizeof(t.port_nonce));

	memcpy(t.addr, peer->port->ep.addr, peer->port->ep.addr_len);
	if (rc == 0)
		rc = say_hello(peer, &t, &time);
	if (rc == 0)
		rc = prove(peer, &t, time);
	if (rc == 0)
		peer->session = t.session;
	return rc;
}

/* those of a peer that goes: what is under way may still come */
static void forget_peer(struct pmio_fabric_peer *peer)
{
	DL_DELETE(peer->port->peers, peer);
	free(peer);
}

static const char *why_not(int rc)
{
	switch (rc) {
	case -EACCES:
		return "it and we do not know the same key";
	case -EPERM:
		return "it does not take us for its user (munge)";
	case -ENOTSUP:
		return "munge is required, and it or our host's daemon does not take part";
	case -ESTALE:
		return "it was started anew";
	default:
		return pmio_strerror(rc);
	}
}

static int resolve_error(const char *host, const char *service, int rc)
{
	int result = rc == EAI_SYSTEM ? -errno : rc == EAI_MEMORY ? -ENOMEM : rc == EAI_AGAIN ? -EAGAIN : -ENOENT;

	pmio_err("fabric: %s:%s: %s", host, service,
		 rc == EAI_SYSTEM ? pmio_strerror(result) : gai_strerror(rc));
	return result;
}

int pmio_fabric_card_of(const struct pmio_fabric_port *port, const char *host, const char *service,
			struct pmio_fabric_card *out)
{
	const struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM };
	struct sockaddr_in ours;
	struct addrinfo *found;
	int rc;

	memcpy(&ours, port->ep.addr, sizeof(ours));
	if (port->ep.addr_len != sizeof(ours) || ours.sin_family != AF_INET) {
		pmio_err("fabric: %s:%s: the addresses of provider %s are not of that kind", host, service,
			 fabric_ep_provider(&port->ep));
		return -EINVAL;
	}
	rc = getaddrinfo(host, service, &hints, &found);
	if (rc != 0)
		return resolve_error(host, service, rc);
	memset(out, 0, sizeof(*out));
	strncpy(out->provider, fabric_ep_provider(&port->ep), sizeof(out->provider) - 1);
	out->addr_len = sizeof(ours);
	memcpy(out->addr, found->ai_addr, sizeof(ours));
	freeaddrinfo(found);
	return 0;
}

int pmio_fabric_connect(struct pmio_fabric_port *port, const struct pmio_fabric_card *card, const uint8_t *key,
			struct pmio_fabric_peer **out)
{
	struct pmio_fabric_peer *peer;
	int rc;

	*out = NULL;
	if (!key && !port->has_key) {
		pmio_err("fabric: connect: no key");
		return -EINVAL;
	}
	peer = calloc(1, sizeof(*peer));
	if (!peer)
		return -ENOMEM;
	peer->port = port;
	peer->epoch = card->epoch;
	memcpy(peer->key, key ? key : port->key, sizeof(peer->key));
	pthread_mutex_lock(&port->lock);
	if (strncmp(card->provider, fabric_ep_provider(&port->ep), sizeof(card->provider)) != 0)
		rc = -EPROTO;
	else
		rc = fabric_ep_add_addr(&port->ep, card->addr, card->addr_len, &peer->fi);
	DL_APPEND(port->peers, peer);
	if (rc == 0)
		rc = shake_hands(peer);
	if (rc < 0) {
		pmio_err("fabric: connect: %s", why_not(rc));
		rc = rc == -EPERM || rc == -ENOTSUP ? -EACCES : rc;
		peer_is_down(peer, rc);
	} else {
		*out = peer;
	}
	/* operations under way know it: it goes with the port */
	pthread_mutex_unlock(&port->lock);
	return rc;
}

void pmio_fabric_disconnect(struct pmio_fabric_peer **pp)
{
	struct pmio_fabric_peer *peer = *pp;
	struct pmio_fabric_port *port;
	struct fabric_hdr_msg h;
	struct pmio_fabric_op *r;

	*pp = NULL;
	if (!peer)
		return;
	port = peer->port;
	pthread_mutex_lock(&port->lock);
	r = peer->down ? NULL : new_request(peer);
	if (r) {
		fabric_msg_init(&h, FABRIC_BYE, sizeof(h));
		h.session = peer->session;
		post_message(port, r, &h, NULL);
		wait_for(port, r);
		end_request(port, r);
	}
	peer_is_down(peer, -ENOTCONN);
	pthread_mutex_unlock(&port->lock);
}

uint64_t pmio_fabric_peer_size(const struct pmio_fabric_peer *peer)
{
	return peer->len;
}

/* ---- making and ending it ------------------------------------------------------------------------------------ */

static int make_ops(struct pmio_fabric_port *port)
{
	const size_t size = (NR_RECVS + NR_SENDS) * SLOT_SIZE + NR_BOUNCES * (size_t)BOUNCE_SIZE;
	uint8_t *p;
	int rc = 0;

	port->memory = p = malloc(size);
	if (!p)
		return -ENOMEM;
	if (port->ep.info->domain_attr->mr_mode & FI_MR_LOCAL)
		rc = fabric_ep_register(&port->ep, p, size, FI_SEND | FI_RECV | FI_READ | FI_WRITE, ++port->next_key,
					&port->mr);
	for (size_t i = 0; i < NR_RECVS + NR_SENDS + NR_BOUNCES && rc == 0; i++) {
		struct op *op = &port->ops[i];

		op->buf = p;
		op->mr = port->mr;
		p += i < NR_RECVS + NR_SENDS ? SLOT_SIZE : BOUNCE_SIZE;
		op->kind = i < NR_RECVS ? OP_RECV : i < NR_RECVS + NR_SENDS ? OP_SEND : OP_WRITE;
		if (i < NR_RECVS)
			rc = post_recv(port, op);
		else
			put_on_list(port, op);
	}
	return rc < 0 ? fabric_error(rc) : 0;
}

int pmio_fabric_port_new(const struct pmio_fabric_config *config, struct pmio_fabric_port **out)
{
	struct pmio_fabric_port *port = calloc(1, sizeof(*port));
	pthread_condattr_t attr;
	int rc;

	*out = NULL;
	if (!port)
		return -ENOMEM;
	pthread_mutex_init(&port->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&port->changed, &attr);
	pthread_condattr_destroy(&attr);
	port->timeout_ms = config->timeout_ms ? config->timeout_ms : PMIO_FABRIC_TIMEOUT_MS;
	port->has_key = config->key != NULL;
	if (port->has_key)
		memcpy(port->key, config->key, sizeof(port->key));
	/* numbers tell answers from those to an earlier port at the same address */
	rc = pmio_fabric_random(&port->number, sizeof(port->number));
	if (rc == 0)
		rc = fabric_munge_init(&port->munge, config);
	if (rc == 0)
		rc = fabric_ep_open(&port->ep, config, NULL);
	if (rc == 0)
		rc = make_ops(port);
	if (rc < 0) {
		pmio_fabric_port_delete(&port);
		return rc;
	}
	*out = port;
	return 0;
}

static void free_requests(struct pmio_fabric_port *port)
{
	for (size_t i = NR_RECVS; i < NR_RECVS + NR_SENDS + NR_BOUNCES; i++) {
		struct pmio_fabric_op *r = port->ops[i].req;

		if (r)
			put_request(r);
	}
	for (struct extra *e = port->extras; e; e = e->next) {
		if (e->op.req)
			put_request(e->op.req);
	}
}

static void free_extras(struct pmio_fabric_port *port)
{
	struct extra *e, *next;

	LL_FOREACH_SAFE(port->extras, e, next) {
		free(e->memory);
		free(e);
	}
	port->extras = NULL;
}

void pmio_fabric_port_delete(struct pmio_fabric_port **pp)
{
	struct pmio_fabric_port *port = *pp;

	*pp = NULL;
	if (!port)
		return;
	while (port->peers)
		forget_peer(port->peers);
	if (port->ep.ep)
		fi_close(&port->ep.ep->fid);
	port->ep.ep = NULL;
	if (port->mr)
		fi_close(&port->mr->fid);
	for (struct extra *e = port->extras; e; e = e->next) {
		if (e->op.mr)
			fi_close(&e->op.mr->fid);
	}
	if (port->ep.info)
		fabric_ep_close(&port->ep);
	free_requests(port);
	free_extras(port);
	fabric_munge_fini(&port->munge);
	free(port->memory);
	pthread_cond_destroy(&port->changed);
	pthread_mutex_destroy(&port->lock);
	free(port);
}
