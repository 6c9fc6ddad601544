/*
 * transfer.c -- data and calls: a request's pieces through the initiator's bounce buffers, and its answer
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "fabric/initiator_impl.h"

/* ---- writing and reading ----------------------------------------------------------------------------- */

static int check_pieces(const struct pmio_fabric_peer *peer, const struct pmio_fabric_piece *pieces, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		if (pieces[i].len > peer->len || pieces[i].off > peer->len - pieces[i].len)
			return -EFAULT;
	}
	return 0;
}

static void copy_unlocked(struct pmio_fabric_initiator *initiator, void *to, const void *from, size_t len)
{
	pthread_mutex_unlock(&initiator->lock);
	memcpy(to, from, len);
	pthread_mutex_lock(&initiator->lock);
}

/* where in the pieces a request is */
struct piece_cursor {
	const struct pmio_fabric_piece *p, *end;
	size_t done; /* of *p */
};

/* put into op as many bytes as are contiguous on the peer and fit; returns their offset there */
static uint64_t fill_bounce(struct pmio_fabric_initiator *initiator, struct posted_op *op, struct piece_cursor *c)
{
	uint64_t off = c->p->off + c->done;

	op->len = 0;
	while (c->p < c->end && op->len < BOUNCE_SIZE && c->p->off + c->done == off + op->len) {
		size_t n = c->p->len - c->done;

		if (n > BOUNCE_SIZE - op->len)
			n = BOUNCE_SIZE - op->len;
		copy_unlocked(initiator, op->buf + op->len, (const uint8_t *)c->p->buf + c->done, n);
		op->len += n;
		c->done += n;
		if (c->done == c->p->len) {
			c->p++;
			c->done = 0;
		}
	}
	return off;
}

static uint64_t take_read(struct posted_op *op, struct piece_cursor *c)
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

static void transfer(struct pmio_fabric_initiator *initiator, struct pmio_fabric_op *r, enum posted_kind kind,
		     const struct pmio_fabric_piece *pieces, size_t nr)
{
	struct piece_cursor c = { pieces, pieces + nr, 0 };

	while (r->rc == 0 && c.p < c.end) {
		struct posted_op *op;
		uint64_t off;

		if (c.p->len == 0) {
			c.p++;
			continue;
		}
		initiator_copy_read(initiator, r);
		op = initiator_get_op(initiator, r, kind);
		if (!op)
			continue;
		off = kind == OP_WRITE ? fill_bounce(initiator, op, &c) : take_read(op, &c);
		initiator_post(initiator, op, off);
	}
}

/* the parts of a request */
struct request_parts {
	const struct iovec *parts;
	size_t nr;
	size_t len; /* of all */
};

/* lock released while the parts are copied: they may be long */
static void ask(struct pmio_fabric_initiator *initiator, struct pmio_fabric_op *r, const struct request_parts *q)
{
	struct posted_op *op = initiator_get_op(initiator, r, OP_SEND);
	struct fabric_hdr_msg *h;
	uint8_t *p;

	r->wants_answer = true;
	if (!op)
		return;
	h = (struct fabric_hdr_msg *)op->buf;
	fabric_msg_init(h, FABRIC_CALL, sizeof(*h));
	h->len = (uint32_t)q->len;
	h->session = r->peer->session;
	h->number = r->number;
	p = op->buf + sizeof(*h);
	op->len = sizeof(*h) + q->len;
	pthread_mutex_unlock(&initiator->lock);
	for (size_t i = 0; i < q->nr; i++) {
		memcpy(p, q->parts[i].iov_base, q->parts[i].iov_len);
		p += q->parts[i].iov_len;
	}
	pthread_mutex_lock(&initiator->lock);
	initiator_post(initiator, op, 0);
}

/* x: NULL: only the status is wanted */
static int take_answer(const struct pmio_fabric_op *r, struct pmio_fabric_exchange *x)
{
	size_t len = r->wants_answer ? r->answer->len : 0;

	if (x && len > x->answer_room)
		return -EMSGSIZE;
	if (x && len)
		memcpy(x->answer, r->answer + 1, len);
	if (x)
		x->answer_len = len;
	return r->wants_answer ? r->answer->status : 0;
}

/* q: NULL: none */
static int begin(struct pmio_fabric_peer *peer, enum posted_kind kind, const struct pmio_fabric_piece *pieces, size_t nr,
		 const struct request_parts *q, struct pmio_fabric_op **out)
{
	struct pmio_fabric_initiator *initiator = peer->initiator;
	struct pmio_fabric_op *r;
	int rc = check_pieces(peer, pieces, nr);

	*out = NULL;
	if (rc == 0 && q && q->len > PMIO_FABRIC_MSG_MAX)
		rc = -EMSGSIZE;
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&initiator->lock);
	r = peer->down ? NULL : initiator_new_request(peer);
	if (!r) {
		rc = peer->down ? peer->down : -ENOMEM;
		pthread_mutex_unlock(&initiator->lock);
		return rc;
	}
	transfer(initiator, r, kind, pieces, nr);
	if (q && r->rc == 0)
		ask(initiator, r, q);
	pthread_mutex_unlock(&initiator->lock);
	*out = r;
	return 0;
}

static int end(struct pmio_fabric_op *r, struct pmio_fabric_exchange *x)
{
	struct pmio_fabric_initiator *initiator = r->peer->initiator;
	int rc;

	pthread_mutex_lock(&initiator->lock);
	initiator_wait_for(initiator, r);
	if (r->rc == 0)
		r->rc = take_answer(r, x);
	rc = initiator_end_request(initiator, r);
	pthread_mutex_unlock(&initiator->lock);
	return rc;
}

static int run(struct pmio_fabric_peer *peer, enum posted_kind kind, const struct pmio_fabric_piece *pieces,
	       size_t nr, struct pmio_fabric_exchange *x)
{
	struct pmio_fabric_op *r;
	const struct iovec part = { x ? (void *)(uintptr_t)x->request : NULL, x ? x->request_len : 0 };
	const struct request_parts q = { &part, part.iov_len != 0, part.iov_len };
	int rc = begin(peer, kind, pieces, nr, x ? &q : NULL, &r);

	return rc < 0 ? rc : end(r, x);
}

bool pmio_fabric_peer_copies(const struct pmio_fabric_peer *peer)
{
	return fabric_ep_copies(&peer->initiator->ep);
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
	const struct iovec part = { (void *)(uintptr_t)request, request_len };
	const struct request_parts q = { &part, request_len != 0, request_len };

	return begin(peer, OP_WRITE, pieces, nr, request ? &q : NULL, out);
}

int pmio_fabric_begin_parts(struct pmio_fabric_peer *peer, const struct iovec *parts, size_t nr, struct pmio_fabric_op **out)
{
	struct request_parts q = { .parts = parts, .nr = nr };

	for (size_t i = 0; i < nr; i++)
		q.len += parts[i].iov_len;
	return begin(peer, OP_WRITE, NULL, 0, &q, out);
}

int pmio_fabric_wait(struct pmio_fabric_op *op, const void **answer, size_t *len)
{
	struct pmio_fabric_initiator *initiator = op->peer->initiator;
	int rc;

	*answer = NULL;
	*len = 0;
	pthread_mutex_lock(&initiator->lock);
	initiator_wait_for(initiator, op);
	rc = op->rc;
	if (rc == 0 && op->wants_answer) {
		*answer = op->answer + 1;
		*len = op->answer->len;
		rc = op->answer->status;
	}
	pthread_mutex_unlock(&initiator->lock);
	return rc;
}

int pmio_fabric_end(struct pmio_fabric_op **op, struct pmio_fabric_exchange *x)
{
	struct pmio_fabric_op *r = *op;

	*op = NULL;
	return end(r, x);
}
