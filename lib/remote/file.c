/*
 * file.c -- a file in another node's pool
 *
 * A request goes in parts: small pieces within messages, large ones through bounce buffers of the session, unless the
 * provider is one in software, for which a message is as good, and takes one copy and a switch of threads less.  Several
 * parts are under way at a time, so that the target copies one while the next one is on the cable.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/backoff.h"
#include "core/path.h"
#include "remote/remote_impl.h"

#define BUFFER_MIN (64u << 10) /* bytes: pieces of at least this average length go through bounce buffers */
#define CUT_ALIGN 64u	       /* bytes: pieces are cut at lines, which are flushed as a whole */
#define BUFFER_PIECES 256u     /* in a bounce buffer: more than large ones are in practice */
#define PARTS_MAX 16	       /* under way: as many as lib/fabric sends to one peer at a time */
#define ENTER_TRIES 2	       /* number of sessions in which a request is tried */
#define LOCK_WAIT_MIN_US 100
#define LOCK_WAIT_MAX_US 5000

bool file_always_buffers;

struct remote_file {
	struct pmio_file f;	/* first */
	struct node *node;
	pthread_mutex_t lock;	/* of handle and generation */
	uint64_t handle, generation;
	uint64_t dev, ino;
};

static struct remote_file *remote_of(struct pmio_file *f)
{
	return (struct remote_file *)f;
}

/* ---- calls --------------------------------------------------------------------------- */

static int say_open(struct remote_file *r, uint32_t flags, mode_t mode, struct remote_open_answer_msg *a)
{
	union {
		struct remote_open_msg m;
		uint8_t bytes[sizeof(struct remote_open_msg) + PATH_MAX];
	} u;
	size_t len = strlen(r->f.path) + 1, got;
	int rc;

	node_header(r->node, &u.m, REMOTE_OPEN, 0);
	u.m.flags = flags;
	u.m.mode = mode;
	memcpy(u.m.path, r->f.path, len);
	rc = node_call(r->node, &u.m, sizeof(u.m) + len, a, sizeof(*a), &got);
	return rc == 0 && got != sizeof(*a) ? PMIO_EPROTO : rc;
}

/* the session has changed since the handle was opened: open it again */
static int reopen(struct remote_file *r, uint64_t generation)
{
	struct remote_open_answer_msg a;
	int rc = 0;

	pthread_mutex_lock(&r->lock);
	if (r->generation != generation) {
		rc = say_open(r, r->f.flags, 0, &a);
		if (rc == 0 && (a.dev != r->dev || a.ino != r->ino))
			rc = -ESTALE;
		if (rc == 0) {
			r->handle = a.handle;
			r->generation = generation;
		}
		if (rc < 0)
			pmio_err("open %s again at node %s: %s", r->f.path, r->node->endpoint.host,
				 rc == -ESTALE ? "it is another file now" : pmio_strerror(rc));
	}
	pthread_mutex_unlock(&r->lock);
	/* for the caller this is a file that cannot be opened, not a lost session */
	return rc == -ESTALE ? -EIO : rc;
}

/* call run() with a session and the file's handle in it, in at most that many sessions */
static int in_sessions(struct remote_file *r, int most, int (*run)(struct remote_file *r, void *arg), void *arg)
{
	int rc = -EIO;

	for (int tries = 0; tries < most; tries++) {
		uint64_t generation;

		rc = node_enter(r->node, &generation);
		if (rc < 0)
			return rc;
		rc = reopen(r, generation);
		if (rc == 0)
			rc = run(r, arg);
		node_leave(r->node, rc);
		if (!node_is_lost(rc))
			return rc;
		if (rc == -ETIMEDOUT) /* do not wait a second time */
			break;
	}
	return -EIO;
}

/* again if the session is lost and a new one can be made: all requests but one are idempotent */
static int with_session(struct remote_file *r, int (*run)(struct remote_file *r, void *arg), void *arg)
{
	return in_sessions(r, ENTER_TRIES, run, arg);
}

struct call {
	void *msg;
	size_t len;
	enum remote_op op;
	void *answer;
	size_t room;
};

static int run_call(struct remote_file *r, void *arg)
{
	struct call *c = arg;
	size_t got;
	int rc;

	node_header(r->node, c->msg, c->op, r->handle);
	rc = node_call(r->node, c->msg, c->len, c->answer, c->room, &got);
	return rc == 0 && got != c->room ? PMIO_EPROTO : rc;
}

static int call(struct remote_file *r, enum remote_op op, void *msg, size_t len, void *answer, size_t room)
{
	struct call c = { msg, len, op, answer, room };

	return with_session(r, run_call, &c);
}

static int simple_call(struct remote_file *r, enum remote_op op, const char *what)
{
	struct remote_hdr_msg m;
	int rc = call(r, op, &m, sizeof(m), NULL, 0);

	if (rc < 0 && rc != -EAGAIN)
		pmio_err("%s %s at node %s: %s", what, r->f.path, r->node->endpoint.host, pmio_strerror(rc));
	return rc;
}

/* ---- reading and writing ---------------------------------------------------------------- */

/* where in the caller's pieces a request is */
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
	const struct pmio_piece *pieces;
	size_t nr;
	bool write;
	bool large;		/* its pieces, so that they go through bounce buffers */
	bool raised;		/* writes: the file got longer */
	uint64_t size;		/* reads: the file is known to have at least this size */
	uint64_t done;
	struct cursor next;	/* what is not under way yet */
	bool at_end;		/* a read met the end of the file */
	/* owned: room for the longest list */
	struct remote_desc *descs;
	struct pmio_fabric_piece *moves;
	struct iovec *iov;
	struct part parts[PARTS_MAX];
	unsigned first, nr_parts; /* under way: parts[first % MAX] is the oldest */
};

/* a part has at most that many bytes, with `each` more for each piece, and pieces */
struct limit {
	uint32_t bytes, each, pieces;
};

/* how many of more than `room` bytes at off go there */
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

static void fill_header(struct remote_file *r, const struct transfer *t, const struct part *part, struct remote_io_msg *m)
{
	node_header(r->node, m, t->write ? REMOTE_WRITE : REMOTE_READ, r->handle);
	m->buffer = part->buffer < 0 ? REMOTE_NO_BUFFER : (uint32_t)part->buffer;
	m->nr = part->nr;
	m->reserved = 0;
	m->len = part->len;
	m->size = t->size;
}

/* the list, and the data of a write, go in the message */
static int begin_inline(struct remote_file *r, struct transfer *t, struct part *part)
{
	struct remote_io_msg m;
	size_t nr = 2;

	fill_header(r, t, part, &m);
	t->iov[0] = (struct iovec){ &m, sizeof(m) };
	t->iov[1] = (struct iovec){ t->descs, part->nr * sizeof(*t->descs) };
	if (t->write)
		nr = part_memory(part, t->iov, nr);
	return pmio_fabric_begin_parts(r->node->peer, t->iov, nr, &part->op);
}

static int begin_in_buffer(struct remote_file *r, struct transfer *t, struct part *part)
{
	union {
		struct remote_io_msg m;
		uint8_t bytes[sizeof(struct remote_io_msg) + BUFFER_PIECES * sizeof(struct remote_desc)];
	} u;
	size_t list = part->nr * sizeof(*t->descs), nr = 0;

	fill_header(r, t, part, &u.m);
	memcpy(u.m.desc, t->descs, list);
	if (t->write)
		nr = part_moves(t, part, r->node->buffer[part->buffer], part->len);
	return pmio_fabric_begin(r->node->peer, t->moves, nr, &u.m, sizeof(u.m) + list, &part->op);
}

static int begin_part(struct remote_file *r, struct transfer *t, struct part *part)
{
	part->op = NULL;
	return part->buffer < 0 ? begin_inline(r, t, part) : begin_in_buffer(r, t, part);
}

/* bring the data that a READ has put into the bounce buffer, or into its answer, to the caller */
static int fetch(struct remote_file *r, struct transfer *t, const struct part *part, const uint8_t *data, size_t len)
{
	if (part->buffer < 0)
		copy_to_part(part, data, len);
	else if (len)
		return pmio_fabric_read(r->node->peer, t->moves, part_moves(t, part, r->node->buffer[part->buffer], len));
	return 0;
}

static int end_read(struct remote_file *r, struct transfer *t, const struct part *part, const struct remote_read_answer_msg *a,
		    size_t got)
{
	uint64_t len = got >= sizeof(*a) ? a->len : UINT64_MAX;
	int rc;

	if (len > part->len || got != sizeof(*a) + (part->buffer < 0 ? len : 0))
		return PMIO_EPROTO;
	rc = fetch(r, t, part, a->data, len);
	t->at_end = len < part->len;
	t->done += rc == 0 ? len : 0;
	return rc;
}

/* end the oldest part; rc: an earlier error: then its result is not needed */
static int end_part(struct remote_file *r, struct transfer *t, int rc)
{
	struct part *part = &t->parts[t->first++ % PARTS_MAX];
	const struct remote_write_answer_msg *written;
	const void *answer;
	size_t got;
	int status;

	t->nr_parts--;
	status = node_wait(r->node, &part->op, &answer, &got);
	written = answer;
	if (status == 0 && t->write && got != sizeof(*written)) {
		status = PMIO_EPROTO;
	} else if (status == 0 && t->write) {
		t->raised |= written->raised != 0;
		t->done += part->len;
	} else if (status == 0 && !t->at_end && rc == 0) {
		status = end_read(r, t, part, answer, got);
	}
	if (part->op)
		pmio_fabric_end(&part->op, NULL);
	if (part->buffer >= 0)
		node_give_buffer(r->node, part->buffer);
	return rc < 0 && !node_is_lost(status) ? rc : status;
}

static bool uses_buffers(const struct remote_file *r, const struct transfer *t)
{
	return t->large && r->node->nr_buffers && (file_always_buffers || !pmio_fabric_peer_copies(r->node->peer));
}

/* prepare the next part and choose where its data go; false: not before the oldest has ended */
static bool next_part(struct remote_file *r, struct transfer *t, struct part *part, struct cursor *c)
{
	static const struct limit in_buffer = { REMOTE_BUFFER_SIZE, 0, BUFFER_PIECES };
	static const struct limit of_read = { REMOTE_ANSWER_MAX, 0, REMOTE_DESCS_MAX };
	static const struct limit of_write = { REMOTE_INLINE_MAX, sizeof(struct remote_desc), REMOTE_DESCS_MAX };

	part->buffer = -1;
	if (uses_buffers(r, t)) {
		part->buffer = node_take_buffer(r->node, t->nr_parts == 0);
		if (part->buffer < 0 && t->nr_parts)
			return false;
	}
	cut_part(c, part, part->buffer >= 0 ? &in_buffer : t->write ? &of_write : &of_read, t->descs);
	return true;
}

/* post parts until as many are under way as can be, or none is left */
static int post_parts(struct remote_file *r, struct transfer *t)
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
		if (!next_part(r, t, part, c))
			break;
		t->nr_parts++;
		rc = begin_part(r, t, part);
		if (rc < 0) { /* nothing of it is under way */
			t->nr_parts--;
			if (part->buffer >= 0)
				node_give_buffer(r->node, part->buffer);
		}
	}
	return rc;
}

static int end_parts(struct remote_file *r, struct transfer *t, int rc)
{
	while (t->nr_parts)
		rc = end_part(r, t, rc);
	return rc;
}

/* what is left of it; rc: an earlier error */
static int go_on(struct remote_file *r, struct transfer *t, int rc)
{
	while (rc == 0) {
		rc = post_parts(r, t);
		if (t->nr_parts == 0)
			break;
		rc = end_part(r, t, rc);
	}
	return end_parts(r, t, rc);
}

static void start_transfer(struct transfer *t)
{
	t->next = (struct cursor){ t->pieces, t->pieces + t->nr, 0 };
	t->at_end = false;
	t->done = 0;
	t->first = t->nr_parts = 0;
}

static int run_transfer(struct remote_file *r, void *arg)
{
	start_transfer(arg);
	return go_on(r, arg, 0);
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
		pmio_err("%s %s at node %s: %s", t->write ? "write" : "read", t->r->f.path, t->r->node->endpoint.host,
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
		rc = with_session(r, run_transfer, &t);
	n = transfer_result(&t, rc, raised);
	if (inited)
		transfer_fini(&t);
	return n;
}

/* begin it in the node's session, which it uses until it is finished; an error: nothing is under way */
static int begin_transfer(struct remote_file *r, struct transfer *t)
{
	uint64_t generation;
	int rc = node_enter(r->node, &generation);

	if (rc < 0)
		return rc;
	rc = reopen(r, generation);
	/* it must have no bounce buffers: a process that waits for those of another node could have those that we wait for */
	if (rc == 0 && uses_buffers(r, t))
		rc = -EOPNOTSUPP;
	start_transfer(t);
	if (rc == 0)
		rc = post_parts(r, t);
	if (rc < 0)
		rc = end_parts(r, t, rc);
	if (rc < 0)
		node_leave(r->node, rc);
	return rc;
}

static void *remote_begin(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr, uint64_t size, bool write)
{
	struct transfer *t = malloc(sizeof(*t));

	if (!t || transfer_init(t, remote_of(f), pieces, nr, size, write) < 0) {
		free(t);
		return NULL;
	}
	if (begin_transfer(remote_of(f), t) == 0)
		return t;
	transfer_fini(t);
	free(t);
	return NULL;
}

static ssize_t remote_finish(void *op, bool *raised)
{
	struct transfer *t = op;
	int rc = go_on(t->r, t, 0);
	ssize_t n;

	node_leave(t->r->node, rc);
	/* as with_session() */
	if (node_is_lost(rc))
		rc = rc == -ETIMEDOUT ? -EIO : in_sessions(t->r, ENTER_TRIES - 1, run_transfer, t);
	n = transfer_result(t, rc, raised);
	transfer_fini(t);
	free(t);
	return n;
}

static ssize_t remote_readx(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr, uint64_t size)
{
	return transfer(remote_of(f), pieces, nr, size, NULL);
}

static ssize_t remote_writex(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr, bool *raised)
{
	return transfer(remote_of(f), pieces, nr, 0, raised);
}

/* ---- the rest ------------------------------------------------------------------------------- */

static int remote_growth(struct pmio_file *f, struct client_growth *g)
{
	struct remote_file *r = remote_of(f);
	struct remote_hdr_msg m;
	struct remote_growth_answer_msg a;
	int rc = call(r, REMOTE_SIZE, &m, sizeof(m), &a, sizeof(a));

	if (rc == 0 && a.size > INT64_MAX)
		rc = PMIO_EPROTO;
	if (rc < 0)
		pmio_err("size of %s at node %s: %s", f->path, r->node->endpoint.host, pmio_strerror(rc));
	else
		*g = (struct client_growth){ a.size, a.growers, a.cuts };
	return rc;
}

static int remote_size(struct pmio_file *f, off_t *size)
{
	struct client_growth g;
	int rc = remote_growth(f, &g);

	if (rc == 0)
		*size = (off_t)g.size;
	return rc;
}

static int remote_grow(struct pmio_file *f, uint64_t *size, uint64_t growers)
{
	struct remote_file *r = remote_of(f);
	struct remote_grow_msg m = { .size = *size, .growers = growers };
	struct remote_size_answer_msg a;
	int rc = call(r, REMOTE_GROW, &m, sizeof(m), &a, sizeof(a));

	if (rc < 0)
		pmio_err("size of %s at node %s: %s", f->path, r->node->endpoint.host, pmio_strerror(rc));
	else
		*size = a.size;
	return rc;
}

/*
 * After the loss of a session nobody knows whether the target has done it already: then it is not asked once more, or a
 * part that nobody writes would be left in the file
 */
static int remote_reserve(struct pmio_file *f, uint64_t len, bool settled, uint64_t *at)
{
	struct remote_file *r = remote_of(f);
	struct remote_grow_msg m = { .size = len, .settled = settled };
	struct remote_size_answer_msg a;
	struct call c = { &m, sizeof(m), REMOTE_RESERVE, &a, sizeof(a) };
	int rc = in_sessions(r, 1, run_call, &c);

	if (rc == 0)
		*at = a.size;
	return rc;
}

/* not in another session either: a truncation may have come in between, and the next bounce buffer may count from the same number */
static int remote_raise(struct pmio_file *f, uint64_t size, uint64_t cuts)
{
	struct remote_grow_msg m = { .size = size, .cuts = cuts };
	struct call c = { &m, sizeof(m), REMOTE_RAISE, NULL, 0 };

	return in_sessions(remote_of(f), 1, run_call, &c);
}

static int remote_truncate(struct pmio_file *f, uint64_t size)
{
	struct remote_file *r = remote_of(f);
	struct remote_truncate_msg m = { .size = size };
	int rc = call(r, REMOTE_TRUNCATE, &m, sizeof(m), NULL, 0);

	if (rc < 0)
		pmio_err("truncate %s at node %s: %s", f->path, r->node->endpoint.host, pmio_strerror(rc));
	return rc;
}

static int remote_sync(struct pmio_file *f)
{
	return simple_call(remote_of(f), REMOTE_SYNC, "sync");
}

static int remote_drain(struct pmio_file *f)
{
	return simple_call(remote_of(f), REMOTE_DRAIN, "drain");
}

static int remote_stage(struct pmio_file *f, uint64_t first, uint32_t nr, uint32_t step)
{
	struct remote_stage_msg m = { .first = first, .nr = nr, .step = step };

	return call(remote_of(f), REMOTE_STAGE, &m, sizeof(m), NULL, 0);
}

static void free_remote(struct remote_file *r)
{
	pthread_mutex_destroy(&r->lock);
	free(r->f.path);
	free(r);
}

static int run_close(struct remote_file *r, void *arg)
{
	struct remote_close_msg m = { .flags = *(uint32_t *)arg };
	size_t got;

	node_header(r->node, &m, REMOTE_CLOSE, r->handle);
	return node_call(r->node, &m, sizeof(m), NULL, 0, &got);
}

static int remote_close(struct pmio_file *f, uint32_t flags)
{
	struct remote_file *r = remote_of(f);
	int rc = with_session(r, run_close, &flags);

	if (rc < 0)
		pmio_err("close %s at node %s: %s", f->path, r->node->endpoint.host, pmio_strerror(rc));
	free_remote(r);
	return rc;
}

/* the target does not wait for locks: that would block threads that other calls need */
static int remote_lock(struct pmio_file *f)
{
	struct pmio_backoff b = { LOCK_WAIT_MIN_US, LOCK_WAIT_MAX_US, PMIO_BACKOFF_NO_LIMIT };
	int rc;

	while ((rc = simple_call(remote_of(f), REMOTE_LOCK, "lock")) == -EAGAIN)
		pmio_backoff_sleep(&b);
	return rc;
}

static void remote_unlock(struct pmio_file *f)
{
	simple_call(remote_of(f), REMOTE_UNLOCK, "unlock");
}

static const struct client_ops ops = {
	.readx = remote_readx,
	.writex = remote_writex,
	.begin = remote_begin,
	.finish = remote_finish,
	.grow = remote_grow,
	.growth = remote_growth,
	.raise = remote_raise,
	.reserve = remote_reserve,
	.size = remote_size,
	.truncate = remote_truncate,
	.sync = remote_sync,
	.drain = remote_drain,
	.end = remote_close,
	.lock = remote_lock,
	.unlock = remote_unlock,
	.stage = remote_stage,
};

/* ---- opening ------------------------------------------------------------------------------------ */

static int open_at(struct remote_file *r, const struct client_open *how)
{
	struct remote_open_answer_msg a;
	uint64_t generation = 0;
	int rc = node_enter(r->node, &generation);

	if (rc < 0)
		return rc;
	rc = say_open(r, how->flags, how->flags & PMIO_OPEN_CREATE ? client_apply_umask(how->mode) : 0, &a);
	if (rc == 0) {
		r->handle = a.handle;
		r->dev = r->f.dev = a.dev;
		r->ino = r->f.ino = a.ino;
		r->generation = generation;
	}
	node_leave(r->node, rc);
	return node_is_lost(rc) ? -EIO : rc;
}

int remote_open(const struct pmio_settings *settings, const struct remote_endpoint *endpoint, const char *path,
		const struct client_open *how, struct pmio_file **out)
{
	char absolute[PATH_MAX];
	struct remote_file *r = NULL;
	int rc = pmio_absolute(path, absolute, sizeof(absolute));

	*out = NULL;
	if (rc == 0) {
		rc = -ENOMEM;
		r = calloc(1, sizeof(*r));
	}
	if (r) {
		pthread_mutex_init(&r->lock, NULL);
		r->f.ops = &ops;
		r->f.lock_fd = r->f.pfs_fd = -1;
		r->f.flags = how->flags & ~(PMIO_OPEN_CREATE | PMIO_OPEN_EXCL | PMIO_OPEN_BEGINS);
		r->f.path = strdup(absolute);
		r->node = r->f.path ? node_get(settings, endpoint) : NULL;
		if (r->node)
			rc = open_at(r, how);
	}
	if (rc == 0) {
		r->f.chunk_size = r->node->endpoint.chunk_size;
		*out = &r->f;
		return 0;
	}
	if (!how->quiet)
		pmio_err("open %s at node %s: %s", path, endpoint->host, pmio_strerror(rc));
	if (r)
		free_remote(r);
	return rc;
}

static int call_path(const struct pmio_settings *settings, const struct remote_endpoint *endpoint, enum remote_op op,
		     const char *what, const char *path)
{
	union {
		struct remote_path_msg m;
		uint8_t bytes[sizeof(struct remote_path_msg) + PATH_MAX];
	} u;
	struct node *n = node_get(settings, endpoint);
	size_t got;
	int rc = n ? pmio_absolute(path, u.m.path, PATH_MAX) : -ENOMEM;

	if (rc == 0)
		rc = node_ask(n, &u.m, sizeof(u.m) + strlen(u.m.path) + 1, op, NULL, 0, &got);
	if (rc < 0 && rc != -ENOENT)
		pmio_err("%s %s at node %s: %s", what, path, endpoint->host, pmio_strerror(rc));
	return rc;
}

int remote_delete(const struct pmio_settings *settings, const struct remote_endpoint *endpoint, const char *path)
{
	return call_path(settings, endpoint, REMOTE_DELETE, "delete", path);
}

int remote_watch(const struct pmio_settings *settings, const struct remote_endpoint *endpoint, const char *path)
{
	return call_path(settings, endpoint, REMOTE_WATCH, "watch the drain of", path);
}

int remote_stat(const struct pmio_settings *settings, const struct remote_endpoint *endpoint,
		struct remote_stat_answer_msg *st)
{
	struct node *n = node_get(settings, endpoint);
	struct remote_hdr_msg m;
	size_t got;
	int rc = n ? node_ask(n, &m, sizeof(m), REMOTE_STAT, st, sizeof(*st), &got) : -ENOMEM;

	return rc == 0 && got != sizeof(*st) ? PMIO_EPROTO : rc;
}
