/*
 * request.c -- an initiator's requests, and the libfabric operations that they consist of: posting and completion
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "core/clock.h"
#include "fabric/initiator_impl.h"

#define EXTRAS_MAX 256		 /* to replace those held by peers that are down */
#define SLEEP_MS 100		 /* per sleep */
#define UNATTENDED_MS 200	 /* no thread has watched for this time: more than a sleeping thread that wakes up late */
#define RETRY_MS 2		 /* if the provider's queue is full, or it is still connecting */
#define PROBE_MS 1000		 /* without an answer: has the target been replaced? */
#define PROBE_AGAIN_MS 20	 /* the repetition: a target answers no first one of an unknown initiator (target.c) */
#define HELLO_TIMES 4		 /* factor for the next interval, up to PROBE_MS */

/* ---- requests; lock held ------------------------------------------------------------------ */

struct pmio_fabric_op *initiator_new_request(struct pmio_fabric_peer *peer)
{
	struct pmio_fabric_op *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->number = ++peer->initiator->number;
	r->peer = peer;
	r->refs = 1;
	r->alive_ms = r->probed_ms = fabric_now_ms();
	r->probe_ms = PROBE_MS;
	HASH_ADD(hh, peer->initiator->requests, number, sizeof(r->number), r);
	return r;
}

void initiator_put_request(struct pmio_fabric_op *r)
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
void initiator_put_on_list(struct pmio_fabric_initiator *initiator, struct posted_op *op)
{
	bool sends = op->kind == OP_SEND;
	struct posted_op **list = sends ? &initiator->free_sends : &initiator->free_bounces;

	op->next = *list;
	*list = op;
	if (sends)
		initiator->nr_free_sends++;
	else
		initiator->nr_free_bounces++;
}

static void give_back(struct pmio_fabric_initiator *initiator, struct posted_op *op)
{
	struct pmio_fabric_peer *peer = op->req->peer;

	if (op->kind == OP_SEND)
		peer->nr_sends--;
	else
		peer->nr_bounces--;
	op->req = NULL;
	initiator_put_on_list(initiator, op);
}

static bool add_extra(struct pmio_fabric_initiator *initiator, enum posted_kind kind)
{
	const size_t size = kind == OP_SEND ? BUFFER_SIZE : BOUNCE_SIZE;
	struct extra *e = initiator->nr_extras < EXTRAS_MAX ? calloc(1, sizeof(*e)) : NULL;
	int rc = 0;

	if (!e)
		return false;
	e->memory = malloc(size);
	if (e->memory && initiator->mr)
		rc = fabric_ep_register(&initiator->ep, e->memory, size, FI_SEND | FI_RECV | FI_READ | FI_WRITE,
					++initiator->next_key, &e->op.mr);
	if (!e->memory || rc < 0) {
		free(e->memory);
		free(e);
		return false;
	}
	e->op.buf = e->memory;
	e->op.kind = kind;
	initiator->nr_extras++;
	LL_PREPEND(initiator->extras, e);
	initiator_put_on_list(initiator, &e->op);
	return true;
}

/* buffers that the provider has not returned may be lost, and other peers need the same number */
static void replace_buffers(struct pmio_fabric_peer *peer)
{
	for (unsigned i = 0; i < peer->nr_sends; i++) {
		if (!add_extra(peer->initiator, OP_SEND))
			return;
	}
	for (unsigned i = 0; i < peer->nr_bounces; i++) {
		if (!add_extra(peer->initiator, OP_WRITE))
			return;
	}
}

void initiator_peer_is_down(struct pmio_fabric_peer *peer, int why)
{
	if (peer->down)
		return;
	peer->down = why;
	for (struct pmio_fabric_op *r = peer->initiator->requests; r; r = r->hh.next) {
		if (r->peer == peer)
			fail_request(r, why);
	}
	replace_buffers(peer);
}

/* ---- completions; lock held -------------------------------------------------------------------- */

/*
 * Answers are used where they are, as they may be long.  But requests whose end is not called for now must not keep all
 * buffers, or no other answer would arrive
 */
static void keep_answer(struct pmio_fabric_initiator *initiator, struct pmio_fabric_op *r, struct posted_op *op, size_t len)
{
	if (initiator->nr_kept < NR_RECVS / 2) {
		initiator->nr_kept++;
		r->kept = op;
		r->answer = (const struct fabric_hdr_msg *)op->buf;
		return;
	}
	r->copy = malloc(len);
	if (!r->copy) {
		fail_request(r, -ENOMEM);
		return;
	}
	memcpy(r->copy, op->buf, len);
	r->answer = r->copy;
}

/* op: a receive that has ended */
static void take_message(struct pmio_fabric_initiator *initiator, struct posted_op *op, size_t len)
{
	const struct fabric_hdr_msg *h = (const struct fabric_hdr_msg *)op->buf;
	struct pmio_fabric_op *r;

	if (!fabric_msg_is_good(h, len))
		return;
	HASH_FIND(hh, initiator->requests, &h->number, sizeof(h->number), r);
	if (!r || r->answered || !r->wants_answer)
		return;
	/* the answer to a probe: it is the known target, and the answer is still to come; or it is another one */
	if (h->type == FABRIC_CHALLENGE && r->peer->session) {
		if (((const struct fabric_challenge_msg *)h)->epoch != r->peer->epoch)
			initiator_peer_is_down(r->peer, -ESTALE);
		else if (h->status < 0)
			initiator_peer_is_down(r->peer, -ECONNRESET);
		return;
	}
	if (r->peer->session && (h->type != FABRIC_REPLY || h->session != r->peer->session))
		return;
	keep_answer(initiator, r, op, len);
	r->answered = r->answer != NULL;
	r->alive_ms = fabric_now_ms();
	r->forgiven_ms = 0;
}

int initiator_post_recv(struct pmio_fabric_initiator *initiator, struct posted_op *op)
{
	ssize_t rc;

	do
		rc = fi_recv(initiator->ep.ep, op->buf, BUFFER_SIZE, op->mr ? fi_mr_desc(op->mr) : NULL,
			     FI_ADDR_UNSPEC, &op->ctx);
	while (rc == -FI_EAGAIN && fi_cq_read(initiator->ep.cq, NULL, 0) != 0);
	return (int)rc;
}

static void post_again(struct pmio_fabric_initiator *initiator, struct posted_op *op)
{
	if (initiator_post_recv(initiator, op) < 0)
		pmio_err("fabric: lost a message buffer");
}

static void take_receive(struct pmio_fabric_initiator *initiator, struct posted_op *op, int rc, size_t len)
{
	unsigned before = initiator->nr_kept;

	if (rc == 0)
		take_message(initiator, op, len);
	if (initiator->nr_kept == before)
		post_again(initiator, op);
}

static void op_ended(struct pmio_fabric_initiator *initiator, struct posted_op *op, int rc, size_t len)
{
	struct pmio_fabric_op *r = op->req;

	if (op->kind == OP_RECV) {
		take_receive(initiator, op, rc, len);
		return;
	}
	r->nr_ops--;
	if (op->kind != OP_SEND) { /* a completed send does not show the state of the peer */
		r->alive_ms = fabric_now_ms();
		r->forgiven_ms = 0;
	}
	if (rc < 0) {
		fail_request(r, rc);
		if (rc == -ECONNRESET)
			initiator_peer_is_down(r->peer, rc);
	}
	if (op->kind == OP_READ && rc == 0 && r->refs > r->nr_ops + 1) {
		op->next = r->read; /* the waiting thread copies it */
		r->read = op;
	} else {
		give_back(initiator, op);
	}
	initiator_put_request(r);
}

static void take_error(struct pmio_fabric_initiator *initiator)
{
	struct fi_cq_err_entry e = { 0 };

	if (fi_cq_readerr(initiator->ep.cq, &e, 0) > 0 && e.op_context)
		op_ended(initiator, e.op_context, fabric_error(-e.err), 0);
}

static void wait_for_sleeper(struct pmio_fabric_initiator *initiator, unsigned ms)
{
	struct timespec until = pmio_timespec(pmio_now_ms() + ms);

	pthread_cond_timedwait(&initiator->changed, &initiator->lock, &until);
}

/* lock held, released meanwhile: sleep until something has changed, for at most ms */
static void sleep_for(struct pmio_fabric_initiator *initiator, unsigned ms)
{
	struct fi_cq_msg_entry e[16];
	uint64_t now;
	ssize_t n;

	if (initiator->somebody_sleeps) {
		wait_for_sleeper(initiator, ms);
		return;
	}
	initiator->somebody_sleeps = true;
	initiator->attended_ms = fabric_now_ms() + ms;
	pthread_mutex_unlock(&initiator->lock);
	n = fabric_ep_wait(&initiator->ep, e, NULL, 16, (int)ms);
	pthread_mutex_lock(&initiator->lock);
	initiator->somebody_sleeps = false;
	now = fabric_now_ms();
	if (now < initiator->attended_ms)
		initiator->attended_ms = now;
	for (ssize_t i = 0; i < n; i++)
		op_ended(initiator, e[i].op_context, 0, e[i].len);
	if (n == -FI_EAVAIL)
		take_error(initiator);
	pthread_cond_broadcast(&initiator->changed);
}

/* ---- posting; lock held ------------------------------------------------------------------------ */

/*
 * Answers that came while no thread watched are not known yet, so that time must not count against the peers.  A long
 * pause (a suspended process) is discounted completely; short ones (a loaded machine, on which sleeping threads wake
 * up late) by at most one timeout in all, or a request to a peer that has ended would take many times as long.
 */
static void skip_unattended(struct pmio_fabric_initiator *initiator, uint64_t now)
{
	uint64_t gap = now > initiator->attended_ms ? now - initiator->attended_ms : 0;

	if (gap < UNATTENDED_MS)
		return;
	initiator->attended_ms = now;
	for (struct pmio_fabric_op *r = initiator->requests; r; r = r->hh.next) {
		uint64_t left = initiator->timeout_ms - r->forgiven_ms, grant = gap;

		if (gap < initiator->timeout_ms / 2) {
			grant = gap < left ? gap : left;
			r->forgiven_ms += grant;
		}
		r->alive_ms = r->alive_ms + grant < now ? r->alive_ms + grant : now;
	}
}

static bool is_late(struct pmio_fabric_initiator *initiator, const struct pmio_fabric_op *r)
{
	uint64_t now = fabric_now_ms();

	skip_unattended(initiator, now);
	return now - r->alive_ms > initiator->timeout_ms;
}

/*
 * a peer that answers gives its buffers back; one that does not answer must leave as many for the next one as it has
 * itself
 */
static bool may_take(const struct pmio_fabric_initiator *initiator, const struct pmio_fabric_peer *peer, enum posted_kind kind)
{
	return kind == OP_SEND ? peer->nr_sends < initiator->nr_free_sends : peer->nr_bounces < initiator->nr_free_bounces;
}

static struct posted_op *take_op(struct pmio_fabric_initiator *initiator, struct pmio_fabric_op *r, enum posted_kind kind)
{
	struct posted_op **list = kind == OP_SEND ? &initiator->free_sends : &initiator->free_bounces;
	struct posted_op *op = *list;

	*list = op->next;
	op->kind = kind;
	op->req = r;
	if (kind == OP_SEND) {
		initiator->nr_free_sends--;
		r->peer->nr_sends++;
	} else {
		initiator->nr_free_bounces--;
		r->peer->nr_bounces++;
	}
	return op;
}

/* an operation of that kind; NULL: r has failed */
struct posted_op *initiator_get_op(struct pmio_fabric_initiator *initiator, struct pmio_fabric_op *r, enum posted_kind kind)
{
	while (!may_take(initiator, r->peer, kind) && r->rc == 0 && !r->read) {
		if (is_late(initiator, r))
			fail_request(r, -ETIMEDOUT);
		else
			sleep_for(initiator, SLEEP_MS);
	}
	return r->rc < 0 || !may_take(initiator, r->peer, kind) ? NULL : take_op(initiator, r, kind);
}

static ssize_t post_once(struct pmio_fabric_initiator *initiator, struct posted_op *op, uint64_t off)
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
		return fi_send(initiator->ep.ep, op->buf, op->len, desc, peer->fi, &op->ctx);
	/* without FI_DELIVERY_COMPLETE a write that the target has refused "succeeds" */
	if (op->kind == OP_WRITE)
		return fi_writemsg(initiator->ep.ep, &m, FI_COMPLETION | FI_DELIVERY_COMPLETE);
	return fi_readmsg(initiator->ep.ep, &m, FI_COMPLETION);
}

/* consumes op; r->rc has the error if it fails */
void initiator_post(struct pmio_fabric_initiator *initiator, struct posted_op *op, uint64_t off)
{
	struct pmio_fabric_op *r = op->req;
	ssize_t rc;

	r->nr_ops++;
	r->refs++;
	/* the peer is not there, the queue is full, or it is connecting: the provider returns the same code for all */
	while ((rc = post_once(initiator, op, off)) == -FI_EAGAIN && r->rc == 0) {
		if (is_late(initiator, r))
			fail_request(r, -ETIMEDOUT);
		else
			sleep_for(initiator, RETRY_MS);
	}
	if (rc == 0)
		return;
	if (rc != -FI_EAGAIN)
		fail_request(r, fabric_error(rc));
	r->nr_ops--;
	give_back(initiator, op);
	initiator_put_request(r);
}

void initiator_post_message(struct pmio_fabric_initiator *initiator, struct pmio_fabric_op *r, const struct fabric_hdr_msg *h,
			 const void *rest)
{
	struct posted_op *op = initiator_get_op(initiator, r, OP_SEND);

	if (!op)
		return;
	memcpy(op->buf, h, sizeof(*h));
	if (h->len)
		memcpy(op->buf + sizeof(*h), rest, h->len);
	op->len = sizeof(*h) + h->len;
	initiator_post(initiator, op, 0);
}

void initiator_post_hello(struct pmio_fabric_initiator *initiator, struct pmio_fabric_op *r, const uint8_t nonce[NONCE_SIZE])
{
	struct fabric_hello_msg m;

	fabric_msg_init(&m.hdr, FABRIC_HELLO, sizeof(m));
	m.hdr.number = r->number;
	m.hdr.session = r->peer->session;
	memcpy(m.nonce, nonce, NONCE_SIZE);
	m.addr_len = (uint32_t)initiator->ep.addr_len;
	memcpy(m.addr, initiator->ep.addr, initiator->ep.addr_len);
	initiator_post_message(initiator, r, &m.hdr, &m.hdr + 1);
	r->probed_ms = fabric_now_ms(); /* it may have had to connect first */
}

/* a target that was restarted, or has ended the session, does not answer earlier requests */
static void probe(struct pmio_fabric_initiator *initiator, struct pmio_fabric_op *r)
{
	static const uint8_t no_nonce[NONCE_SIZE];
	uint64_t now = fabric_now_ms();

	if ((!r->peer->session && !r->nonce && !r->again) || r->answered || now - r->probed_ms < r->probe_ms)
		return;
	if (!r->nonce && !r->again)
		r->probe_ms = r->probe_ms == PROBE_MS ? PROBE_AGAIN_MS : PROBE_MS;
	else
		r->probe_ms = r->probe_ms * HELLO_TIMES < PROBE_MS ? r->probe_ms * HELLO_TIMES : PROBE_MS;
	if (r->again) {
		initiator_post_message(initiator, r, r->again, r->again + 1);
		r->probed_ms = fabric_now_ms();
		return;
	}
	initiator_post_hello(initiator, r, r->nonce ? r->nonce : no_nonce);
}

/* copy r's reads that have ended to the caller; the lock is released meanwhile */
void initiator_copy_read(struct pmio_fabric_initiator *initiator, struct pmio_fabric_op *r)
{
	while (r->read) {
		struct posted_op *op = r->read;

		r->read = op->next;
		pthread_mutex_unlock(&initiator->lock);
		memcpy(op->to, op->buf, op->len);
		pthread_mutex_lock(&initiator->lock);
		give_back(initiator, op);
		pthread_cond_broadcast(&initiator->changed);
	}
}

/* until all of r has ended, or it has failed */
void initiator_wait_for(struct pmio_fabric_initiator *initiator, struct pmio_fabric_op *r)
{
	while (r->rc == 0 && (r->nr_ops || r->read || (r->wants_answer && !r->answered))) {
		if (r->read) {
			initiator_copy_read(initiator, r);
			continue;
		}
		if (is_late(initiator, r)) {
			pmio_err("fabric: a peer does not answer");
			initiator_peer_is_down(r->peer, -ETIMEDOUT);
			continue;
		}
		sleep_for(initiator, r->probe_ms < SLEEP_MS ? r->probe_ms : SLEEP_MS);
		if (r->rc == 0 && r->wants_answer)
			probe(initiator, r);
	}
	while (r->read) { /* only if it has failed */
		struct posted_op *op = r->read;

		r->read = op->next;
		give_back(initiator, op);
	}
}

static void drop_answer(struct pmio_fabric_initiator *initiator, struct pmio_fabric_op *r)
{
	if (r->kept) {
		initiator->nr_kept--;
		post_again(initiator, r->kept);
	}
	free(r->copy);
	r->kept = NULL;
	r->copy = NULL;
	r->answer = NULL;
}

/* r is no longer ours; returns its result */
int initiator_end_request(struct pmio_fabric_initiator *initiator, struct pmio_fabric_op *r)
{
	int rc = r->rc;

	drop_answer(initiator, r);
	HASH_DEL(initiator->requests, r);
	initiator_put_request(r);
	return rc;
}
