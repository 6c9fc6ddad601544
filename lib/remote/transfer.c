/*
 * transfer.c -- reading and writing a file in another node's pool
 *
 * A request is split into parts: small pieces go in messages, large ones through bounce buffers of the session, unless
 * the provider is one in software, where a message is as good, and saves one copy and one switch of threads.  Several
 * parts are under way at a time, so that the target copies one while the next one is in the network.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "remote/file_impl.h"

#define BUFFER_MIN (64u << 10) /* bytes: pieces of at least this average length go through bounce buffers */
#define CUT_ALIGN 64u	       /* bytes: pieces are cut at lines, which are flushed as a whole */
#define BUFFER_PIECES 256u     /* in a bounce buffer: more than occur in practice if pieces are large */
#define PARTS_MAX 16	       /* parts under way: as many as lib/fabric sends to one peer at a time */

bool file_always_buffers;

/* a position in the caller's pieces */
struct cursor {
	const struct pmio_piece *p, *end;
	size_t done; /* of *p */
};

/* the part of a request that one call carries */
struct part {
	struct cursor from;	/* its first byte */
	uint32_t nr, len;	/* pieces, bytes */
	int buffer;		/* -1: in the message */
	struct pmio_fabric_op *op;
};

struct transfer {
	struct remote_file *r;
	struct file_at at;	/* the session in which it is tried */
	const struct pmio_piece *pieces;
	size_t nr;
	bool write;
	bool large;		/* its pieces are large, so they go through bounce buffers */
	bool raised;		/* writes: the file got longer */
	uint64_t size;		/* reads: the file is known to have at least this size */
	uint64_t done;
	struct cursor next;	/* begin of the part that is not under way yet */
	bool at_end;		/* a read met the end of the file */
	/* owned: room for the longest list */
	struct remote_desc *descs;
	struct pmio_fabric_piece *moves;
	struct iovec *iov;
	struct part parts[PARTS_MAX];
	unsigned first, nr_parts; /* under way: parts[first % MAX] is the oldest */
};

/* a part has at most `bytes` bytes, counting `each` more for each piece, and at most `pieces` pieces */
struct limit {
	uint32_t bytes, each, pieces;
};

/* if only `room` of the bytes at off fit: how many of them to take */
static size_t cut_off(uint64_t off, size_t room)
{
	size_t over = (off + room) % CUT_ALIGN;

	return over < room ? room - over : room;
}

/* advance the cursor by a part, in which there is at least one piece; descs: the pieces that the part covers */
static void cut_part(struct cursor *c, struct part *part, const struct limit *most, struct remote_desc *descs)
{
	part->from = *c;
	part->nr = part->len = 0;
	while (c->p < c->end && part->nr < most->pieces && part->len + (part->nr + 1) * most->each < most->bytes) {
		size_t n = c->p->len - c->done, room = most->bytes - part->len - (part->nr + 1) * most->each;

		if (n > room && part->nr && n <= most->bytes / 4)
			break; /* a small piece stays whole */
		if (n > room)
			n = cut_off((uint64_t)c->p->off + c->done, room);
		if (n) {
			descs[part->nr].off = (uint64_t)c->p->off + c->done;
			descs[part->nr++].len = n;
		}
		part->len += (uint32_t)n;
		c->done += n;
		if (c->done < c->p->len)
			break;
		c->p++;
		c->done = 0;
	}
}

/* the memory of a part, after `nr` others in the list; returns the number in the list then */
static size_t part_memory(const struct part *part, struct iovec *iov, size_t nr)
{
	struct cursor c = part->from;
	size_t len = part->len;

	while (len) {
		size_t n = c.p->len - c.done;

		if (n > len)
			n = len;
		if (n) {
			iov[nr].iov_base = (uint8_t *)c.p->buf + c.done;
			iov[nr++].iov_len = n;
		}
		len -= n;
		c.p++;
		c.done = 0;
	}
	return nr;
}

/* the first len bytes of it as a list of moves from or to the peer's memory at off */
static size_t part_moves(struct transfer *t, const struct part *part, uint64_t off, size_t len)
{
	size_t nr = part_memory(part, t->iov, 0), i;

	for (i = 0; i < nr && len; i++) {
		size_t n = t->iov[i].iov_len < len ? t->iov[i].iov_len : len;

		t->moves[i] = (struct pmio_fabric_piece){ .off = off, .buf = t->iov[i].iov_base, .len = n };
		off += n;
		len -= n;
	}
	return i;
}

static void copy_to_part(const struct part *part, const uint8_t *row, size_t len)
{
	struct cursor c = part->from;

	while (len) {
		size_t n = c.p->len - c.done;

		if (n > len)
			n = len;
		memcpy((uint8_t *)c.p->buf + c.done, row, n);
		row += n;
		len -= n;
		c.p++;
		c.done = 0;
	}
}

static void fill_header(const struct transfer *t, const struct part *part, struct remote_io_msg *m)
{
	node_header(t->at.node, m, t->write ? REMOTE_WRITE : REMOTE_READ, t->at.handle);
	m->buffer = part->buffer < 0 ? REMOTE_NO_BUFFER : (uint32_t)part->buffer;
	m->nr = part->nr;
	m->reserved = 0;
	m->len = part->len;
	m->size = t->size;
}

/* with the list, and the data of a write, in the message */
static int begin_inline(struct transfer *t, struct part *part)
{
	struct remote_io_msg m;
	size_t nr = 2;

	fill_header(t, part, &m);
	t->iov[0] = (struct iovec){ &m, sizeof(m) };
	t->iov[1] = (struct iovec){ t->descs, part->nr * sizeof(*t->descs) };
	if (t->write)
		nr = part_memory(part, t->iov, nr);
	return pmio_fabric_begin_parts(t->at.node->peer, t->iov, nr, &part->op);
}

static int begin_in_buffer(struct transfer *t, struct part *part)
{
	union {
		struct remote_io_msg m;
		uint8_t bytes[sizeof(struct remote_io_msg) + BUFFER_PIECES * sizeof(struct remote_desc)];
	} u;
	size_t list = part->nr * sizeof(*t->descs), nr = 0;

	fill_header(t, part, &u.m);
	memcpy(u.m.desc, t->descs, list);
	if (t->write)
		nr = part_moves(t, part, t->at.node->buffer[part->buffer], part->len);
	return pmio_fabric_begin(t->at.node->peer, t->moves, nr, &u.m, sizeof(u.m) + list, &part->op);
}

static int begin_part(struct transfer *t, struct part *part)
{
	part->op = NULL;
	return part->buffer < 0 ? begin_inline(t, part) : begin_in_buffer(t, part);
}

/* bring the data that a READ has put into the bounce buffer, or into its answer, to the caller */
static int fetch(struct transfer *t, const struct part *part, const uint8_t *data, size_t len)
{
	if (part->buffer < 0)
		copy_to_part(part, data, len);
	else if (len)
		return pmio_fabric_read(t->at.node->peer, t->moves, part_moves(t, part, t->at.node->buffer[part->buffer], len));
	return 0;
}

static int end_read(struct transfer *t, const struct part *part, const struct remote_read_answer_msg *a,
		    size_t got)
{
	uint64_t len = got >= sizeof(*a) ? a->len : UINT64_MAX;
	int rc;

	if (len > part->len || got != sizeof(*a) + (part->buffer < 0 ? len : 0))
		return PMIO_EPROTO;
	rc = fetch(t, part, a->data, len);
	t->at_end = len < part->len;
	t->done += rc == 0 ? len : 0;
	return rc;
}

/* end the oldest part; rc: an earlier error: then its result is not needed */
static int end_part(struct transfer *t, int rc)
{
	struct part *part = &t->parts[t->first++ % PARTS_MAX];
	const struct remote_write_answer_msg *written;
	const void *answer;
	size_t got;
	int status;

	t->nr_parts--;
	status = node_wait(t->at.node, &part->op, &answer, &got);
	written = answer;
	if (status == 0 && t->write && got != sizeof(*written)) {
		status = PMIO_EPROTO;
	} else if (status == 0 && t->write) {
		t->raised |= written->raised != 0;
		t->done += part->len;
	} else if (status == 0 && !t->at_end && rc == 0) {
		status = end_read(t, part, answer, got);
	}
	if (part->op)
		pmio_fabric_end(&part->op, NULL);
	if (part->buffer >= 0)
		node_give_buffer(t->at.node, part->buffer);
	return rc < 0 && !node_is_lost(status) ? rc : status;
}

static bool uses_buffers(const struct transfer *t)
{
	return t->large && t->at.node->nr_buffers && (file_always_buffers || !pmio_fabric_peer_copies(t->at.node->peer));
}

/* prepare the next part and choose where its data go; false: not before the oldest has ended */
static bool next_part(struct transfer *t, struct part *part, struct cursor *c)
{
	static const struct limit in_buffer = { REMOTE_BUFFER_SIZE, 0, BUFFER_PIECES };
	static const struct limit of_read = { REMOTE_ANSWER_MAX, 0, REMOTE_DESCS_MAX };
	static const struct limit of_write = { REMOTE_INLINE_MAX, sizeof(struct remote_desc), REMOTE_DESCS_MAX };

	part->buffer = -1;
	if (uses_buffers(t)) {
		part->buffer = node_take_buffer(t->at.node, t->nr_parts == 0);
		if (part->buffer < 0 && t->nr_parts)
			return false;
	}
	cut_part(c, part, part->buffer >= 0 ? &in_buffer : t->write ? &of_write : &of_read, t->descs);
	return true;
}

/* post parts until the maximum is under way, or none is left */
static int post_parts(struct transfer *t)
{
	struct cursor *c = &t->next;
	int rc = 0;

	while (rc == 0 && c->p < c->end && !t->at_end && t->nr_parts < PARTS_MAX) {
		struct part *part = &t->parts[(t->first + t->nr_parts) % PARTS_MAX];

		if (c->p->len == c->done) {
			c->p++;
			c->done = 0;
			continue;
		}
		if (!next_part(t, part, c))
			break;
		t->nr_parts++;
		rc = begin_part(t, part);
		if (rc < 0) { /* it was not posted */
			t->nr_parts--;
			if (part->buffer >= 0)
				node_give_buffer(t->at.node, part->buffer);
		}
	}
	return rc;
}

static int end_parts(struct transfer *t, int rc)
{
	while (t->nr_parts)
		rc = end_part(t, rc);
	return rc;
}

/* the rest of the request; rc: an earlier error */
static int go_on(struct transfer *t, int rc)
{
	while (rc == 0) {
		rc = post_parts(t);
		if (t->nr_parts == 0)
			break;
		rc = end_part(t, rc);
	}
	return end_parts(t, rc);
}

static void start_transfer(struct transfer *t)
{
	t->next = (struct cursor){ t->pieces, t->pieces + t->nr, 0 };
	t->at_end = false;
	t->done = 0;
	t->first = t->nr_parts = 0;
}

static int run_transfer(const struct file_at *at, void *arg)
{
	struct transfer *t = arg;

	t->at = *at;
	start_transfer(t);
	return go_on(t, 0);
}

static bool are_large(const struct pmio_piece *pieces, size_t nr)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < nr; i++)
		sum += pieces[i].len;
	return sum / (nr ? nr : 1) >= BUFFER_MIN;
}

static void transfer_fini(struct transfer *t)
{
	free(t->descs);
	free(t->moves);
	free(t->iov);
}

static int transfer_init(struct transfer *t, struct remote_file *r, const struct pmio_piece *pieces, size_t nr, uint64_t size, bool write)
{
	size_t room = nr < REMOTE_DESCS_MAX ? nr : REMOTE_DESCS_MAX;

	*t = (struct transfer){ .r = r, .pieces = pieces, .nr = nr, .write = write, .size = size, .large = are_large(pieces, nr) };
	t->descs = malloc(room * sizeof(*t->descs));
	t->moves = t->large ? malloc(BUFFER_PIECES * sizeof(*t->moves)) : NULL;
	t->iov = malloc((room + 2) * sizeof(*t->iov));
	if (t->descs && (t->moves || !t->large) && t->iov)
		return 0;
	transfer_fini(t);
	return -ENOMEM;
}

/* rc: its result.  Returns that of the call */
static ssize_t transfer_result(const struct transfer *t, int rc, bool *raised)
{
	if (t->write)
		*raised |= t->raised;
	if (rc < 0)
		pmio_err("%s %s at node %s: %s", t->write ? "write" : "read", t->r->f.path, t->r->target->endpoint.host,
			 pmio_strerror(rc));
	return rc < 0 ? rc : (ssize_t)t->done;
}

static ssize_t transfer(struct remote_file *r, const struct pmio_piece *pieces, size_t nr, uint64_t size,
			bool *raised)
{
	struct transfer t;
	int rc = transfer_init(&t, r, pieces, nr, size, raised != NULL);
	bool inited = rc == 0;
	ssize_t n;

	if (inited)
		rc = file_in_sessions(r, FILE_SESSIONS_MAX, run_transfer, &t);
	n = transfer_result(&t, rc, raised);
	if (inited)
		transfer_fini(&t);
	return n;
}

/* begin it in a session, which it uses until it is finished; after an error no part is under way */
static int begin_transfer(struct transfer *t)
{
	int rc = file_enter(t->r, &t->at);

	if (rc < 0)
		return rc;
	/*
	 * no bounce buffers: two processes that each hold buffers of one node while they wait for another's could deadlock
	 */
	if (uses_buffers(t))
		rc = -EOPNOTSUPP;
	start_transfer(t);
	if (rc == 0)
		rc = post_parts(t);
	if (rc < 0)
		rc = end_parts(t, rc);
	if (rc < 0)
		node_leave(t->at.node, rc);
	return rc;
}

void *transfer_begin(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr, uint64_t size, bool write)
{
	struct transfer *t = malloc(sizeof(*t));

	if (!t || transfer_init(t, file_of(f), pieces, nr, size, write) < 0) {
		free(t);
		return NULL;
	}
	if (begin_transfer(t) == 0)
		return t;
	transfer_fini(t);
	free(t);
	return NULL;
}

ssize_t transfer_finish(void *op, bool *raised)
{
	struct transfer *t = op;
	int rc = go_on(t, 0);
	ssize_t n;

	node_leave(t->at.node, rc);
	/* as file_in_sessions() */
	if (node_is_lost(rc))
		rc = rc == -ETIMEDOUT ? -EIO : file_in_sessions(t->r, FILE_SESSIONS_MAX - 1, run_transfer, t);
	n = transfer_result(t, rc, raised);
	transfer_fini(t);
	free(t);
	return n;
}

ssize_t transfer_readx(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr, uint64_t size)
{
	return transfer(file_of(f), pieces, nr, size, NULL);
}

ssize_t transfer_writex(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr, bool *raised)
{
	return transfer(file_of(f), pieces, nr, 0, raised);
}
