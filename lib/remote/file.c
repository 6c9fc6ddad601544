/*
 * file.c -- a file in another node's pool
 *
 * A request goes in parts: within a message if it is small, otherwise up to 1 MiB at a
 * time through a slot of the session.  As many parts are under way as there are slots,
 * so that the target copies one while the next one is on the cable.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/backoff.h"
#include "core/path.h"
#include "remote/remote_impl.h"

#define DIRECT_MIN (64u << 10) /* bytes: pieces of at least this average length are read without a slot */
#define ENTER_TRIES 2	       /* number of sessions in which a request is tried */
#define LOCK_WAIT_MIN_US 100
#define LOCK_WAIT_MAX_US 5000

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
			pmio_err("open %s again at node %s: %s", r->f.path, r->node->card.host,
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
		pmio_err("%s %s at node %s: %s", what, r->f.path, r->node->card.host, pmio_strerror(rc));
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
	int slot;		/* -1: in the message */
	struct pmio_fabric_op *op;
	struct remote_read_answer_msg *answer; /* reads: owned; has room for the data if slot is -1 */
};

struct transfer {
	const struct pmio_piece *pieces;
	size_t nr;
	bool write;
	bool raised;		/* writes: the file got longer */
	uint64_t size;		/* reads: the file is known to have at least this size */
	uint64_t done;
	/* owned: room for the longest list */
	struct remote_desc *descs;
	struct pmio_fabric_piece *moves;
	uint8_t *buf;		/* reads of small pieces; NULL: not needed yet */
	struct part parts[REMOTE_SLOTS_MAX];
	unsigned first, nr_parts; /* under way: parts[first % MAX] is the oldest */
};

/* advance the cursor by a part of at most this many bytes and pieces; descs: the pieces that the part covers */
static void cut_part(struct cursor *c, struct part *part, uint32_t bytes, uint32_t pieces, struct remote_desc *descs)
{
	part->from = *c;
	part->nr = part->len = 0;
	while (c->p < c->end && part->len < bytes && part->nr < pieces) {
		size_t n = c->p->len - c->done;

		if (n > bytes - part->len)
			n = bytes - part->len;
		if (n) {
			descs[part->nr].off = (uint64_t)c->p->off + c->done;
			descs[part->nr++].len = n;
		}
		part->len += (uint32_t)n;
		c->done += n;
		if (c->done == c->p->len) {
			c->p++;
			c->done = 0;
		}
	}
}

/* the memory of a part as a list of moves from or to the peer's memory at off */
static size_t part_moves(const struct part *part, uint64_t off, size_t len, struct pmio_fabric_piece *moves)
{
	struct cursor c = part->from;
	size_t nr = 0;

	while (len) {
		size_t n = c.p->len - c.done;

		if (n > len)
			n = len;
		if (n) {
			moves[nr].off = off;
			moves[nr].buf = (uint8_t *)c.p->buf + c.done;
			moves[nr++].len = n;
		}
		off += n;
		len -= n;
		c.p++;
		c.done = 0;
	}
	return nr;
}

/* copy the part's bytes from or to contiguous memory */
static void copy_part(const struct part *part, uint8_t *row, size_t len, bool to_row)
{
	struct cursor c = part->from;

	while (len) {
		size_t n = c.p->len - c.done;
		uint8_t *mem = (uint8_t *)c.p->buf + c.done;

		if (n > len)
			n = len;
		memcpy(to_row ? row : mem, to_row ? mem : row, n);
		row += n;
		len -= n;
		c.p++;
		c.done = 0;
	}
}

/* the list, and the data of a write, go in the message */
static int begin_inline(struct remote_file *r, struct transfer *t, struct part *part)
{
	union {
		struct remote_io_msg m;
		uint8_t bytes[PMIO_FABRIC_MSG_MAX];
	} u;
	size_t len = sizeof(u.m) + part->nr * sizeof(*t->descs);

	node_header(r->node, &u.m, t->write ? REMOTE_WRITE : REMOTE_READ, r->handle);
	u.m.slot = REMOTE_NO_SLOT;
	u.m.nr = part->nr;
	u.m.in_slot = 0;
	u.m.len = part->len;
	u.m.size = t->size;
	memcpy(u.m.desc, t->descs, part->nr * sizeof(*t->descs));
	if (t->write) {
		copy_part(part, u.bytes + len, part->len, true);
		len += part->len;
	}
	return pmio_fabric_begin(r->node->peer, NULL, 0, &u.m, len, &part->op);
}

static int begin_in_slot(struct remote_file *r, struct transfer *t, struct part *part)
{
	union {
		struct remote_io_msg m;
		uint8_t bytes[PMIO_FABRIC_MSG_MAX];
	} u;
	size_t len = sizeof(u.m), list = part->nr * sizeof(*t->descs), nr = 0;
	uint64_t slot = r->node->slot[part->slot];

	node_header(r->node, &u.m, t->write ? REMOTE_WRITE : REMOTE_READ, r->handle);
	u.m.slot = (uint32_t)part->slot;
	u.m.nr = part->nr;
	u.m.in_slot = list > REMOTE_INLINE_MAX;
	u.m.len = part->len;
	u.m.size = t->size;
	if (u.m.in_slot) {
		t->moves[nr].off = slot;
		t->moves[nr].buf = t->descs;
		t->moves[nr++].len = list;
	} else {
		memcpy(u.m.desc, t->descs, list);
		len += list;
	}
	if (t->write)
		nr += part_moves(part, slot + REMOTE_DATA_OFF, part->len, t->moves + nr);
	return pmio_fabric_begin(r->node->peer, t->moves, nr, &u.m, len, &part->op);
}

static int begin_part(struct remote_file *r, struct transfer *t, struct part *part)
{
	size_t room = sizeof(*part->answer) + (part->slot < 0 && !t->write ? part->len : 0);

	part->op = NULL;
	/* a ticket must fit as well */
	part->answer = malloc(room > sizeof(struct remote_ticket_msg) ? room : sizeof(struct remote_ticket_msg));
	if (!part->answer)
		return -ENOMEM;
	return part->slot < 0 ? begin_inline(r, t, part) : begin_in_slot(r, t, part);
}

/* bring the data that a READ has put into the slot to the caller */
static int fetch(struct remote_file *r, struct transfer *t, const struct part *part, size_t len)
{
	uint64_t off = r->node->slot[part->slot] + REMOTE_DATA_OFF;
	struct pmio_fabric_piece row = { .off = off, .len = len };
	int rc;

	if (part->len / part->nr >= DIRECT_MIN)
		return pmio_fabric_read(r->node->peer, t->moves, part_moves(part, off, len, t->moves));
	if (!t->buf)
		t->buf = malloc(REMOTE_DATA_MAX);
	if (!t->buf)
		return -ENOMEM;
	row.buf = t->buf;
	rc = pmio_fabric_read(r->node->peer, &row, 1);
	if (rc == 0)
		copy_part(part, t->buf, len, false);
	return rc;
}

/* end the oldest part; rc: an earlier error: then its result is not needed */
static int end_part(struct remote_file *r, struct transfer *t, int rc, bool *at_end)
{
	struct part *part = &t->parts[t->first++ % REMOTE_SLOTS_MAX];
	size_t room = sizeof(*part->answer) + (part->slot < 0 && !t->write ? part->len : 0), got = 0;
	int status;

	t->nr_parts--;
	status = node_end(r->node, &part->op, part->answer,
			  room > sizeof(struct remote_ticket_msg) ? room : sizeof(struct remote_ticket_msg), &got);
	if (status == 0 && !t->write && !*at_end && rc == 0) {
		uint64_t len = got >= sizeof(*part->answer) ? part->answer->len : UINT64_MAX;

		if (len > part->len || got != sizeof(*part->answer) + (part->slot < 0 ? len : 0))
			status = PMIO_EPROTO;
		else if (part->slot < 0)
			copy_part(part, part->answer->data, len, false);
		else if (len)
			status = fetch(r, t, part, len);
		*at_end = len < part->len;
		t->done += status == 0 ? len : 0;
	} else if (status == 0 && t->write) {
		t->raised |= part->answer->len != 0; /* struct remote_write_answer_msg */
		t->done += part->len;
	}
	free(part->answer);
	if (part->slot >= 0)
		node_give_slot(r->node, part->slot);
	return rc < 0 && !node_is_lost(status) ? rc : status;
}

/* prepare the next part and choose where its data go; false: not before the oldest has ended */
static bool next_part(struct remote_file *r, struct transfer *t, struct part *part, struct cursor *c)
{
	uint32_t bytes = REMOTE_INLINE_MAX, pieces = REMOTE_INLINE_MAX / sizeof(*t->descs);
	size_t left = 0;

	for (const struct pmio_piece *p = c->p; p < c->end && left <= REMOTE_INLINE_MAX; p++)
		left += p->len - (p == c->p ? c->done : 0) + sizeof(*t->descs);
	part->slot = -1;
	if (left > REMOTE_INLINE_MAX) {
		part->slot = node_take_slot(r->node, t->nr_parts == 0);
		if (part->slot < 0 && t->nr_parts && r->node->nr_slots)
			return false;
		/* without slots, list and data share the message */
		bytes = part->slot < 0 ? REMOTE_INLINE_MAX / 2 : REMOTE_DATA_MAX;
		pieces = part->slot < 0 ? pieces / 2 : REMOTE_DESCS_MAX;
	}
	cut_part(c, part, bytes, pieces, t->descs);
	return true;
}

static int run_transfer(struct remote_file *r, void *arg)
{
	struct transfer *t = arg;
	struct cursor c = { t->pieces, t->pieces + t->nr, 0 };
	bool at_end = false;
	int rc = 0;

	t->done = 0;
	t->first = t->nr_parts = 0;
	while (rc == 0 && c.p < c.end && !at_end) {
		struct part *part = &t->parts[(t->first + t->nr_parts) % REMOTE_SLOTS_MAX];

		if (c.p->len == c.done) {
			c.p++;
			c.done = 0;
			continue;
		}
		if (t->nr_parts == REMOTE_SLOTS_MAX || !next_part(r, t, part, &c)) {
			rc = end_part(r, t, 0, &at_end);
			continue;
		}
		t->nr_parts++;
		rc = begin_part(r, t, part);
		if (rc < 0) { /* nothing is under way */
			t->nr_parts--;
			free(part->answer);
			if (part->slot >= 0)
				node_give_slot(r->node, part->slot);
		}
	}
	while (t->nr_parts)
		rc = end_part(r, t, rc, &at_end);
	return rc;
}

static ssize_t transfer(struct remote_file *r, const struct pmio_piece *pieces, size_t nr, uint64_t size,
			bool *raised)
{
	bool write = raised != NULL;
	struct transfer t = { .pieces = pieces, .nr = nr, .write = write, .size = size };
	size_t room = nr < REMOTE_DESCS_MAX ? nr : REMOTE_DESCS_MAX;
	int rc = -ENOMEM;

	t.descs = malloc(room * sizeof(*t.descs));
	t.moves = malloc((room + 2) * sizeof(*t.moves));
	if (t.descs && t.moves)
		rc = with_session(r, run_transfer, &t);
	if (write)
		*raised |= t.raised;
	free(t.descs);
	free(t.moves);
	free(t.buf);
	if (rc < 0)
		pmio_err("%s %s at node %s: %s", write ? "write" : "read", r->f.path, r->node->card.host,
			 pmio_strerror(rc));
	return rc < 0 ? rc : (ssize_t)t.done;
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

static int remote_size(struct pmio_file *f, off_t *size)
{
	struct remote_file *r = remote_of(f);
	struct remote_hdr_msg m;
	struct remote_size_answer_msg a;
	int rc = call(r, REMOTE_SIZE, &m, sizeof(m), &a, sizeof(a));

	if (rc == 0 && a.size > INT64_MAX)
		rc = PMIO_EPROTO;
	if (rc < 0)
		pmio_err("size of %s at node %s: %s", f->path, r->node->card.host, pmio_strerror(rc));
	else
		*size = (off_t)a.size;
	return rc;
}

static int remote_grow(struct pmio_file *f, uint64_t *size)
{
	struct remote_file *r = remote_of(f);
	struct remote_truncate_msg m = { .size = *size };
	struct remote_size_answer_msg a;
	int rc = call(r, REMOTE_GROW, &m, sizeof(m), &a, sizeof(a));

	if (rc < 0)
		pmio_err("size of %s at node %s: %s", f->path, r->node->card.host, pmio_strerror(rc));
	else
		*size = a.size;
	return rc;
}

/*
 * After the loss of a session nobody knows whether the target has done it already: then it is not asked once more, or a
 * part that nobody writes would be left in the file
 */
static int remote_reserve(struct pmio_file *f, uint64_t len, uint64_t *at)
{
	struct remote_file *r = remote_of(f);
	struct remote_truncate_msg m = { .size = len };
	struct remote_size_answer_msg a;
	struct call c = { &m, sizeof(m), REMOTE_RESERVE, &a, sizeof(a) };
	int rc = in_sessions(r, 1, run_call, &c);

	if (rc == 0)
		*at = a.size;
	return rc;
}

static int remote_truncate(struct pmio_file *f, uint64_t size)
{
	struct remote_file *r = remote_of(f);
	struct remote_truncate_msg m = { .size = size };
	int rc = call(r, REMOTE_TRUNCATE, &m, sizeof(m), NULL, 0);

	if (rc < 0)
		pmio_err("truncate %s at node %s: %s", f->path, r->node->card.host, pmio_strerror(rc));
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
		pmio_err("close %s at node %s: %s", f->path, r->node->card.host, pmio_strerror(rc));
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
	.grow = remote_grow,
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

int remote_open(const struct pmio_settings *settings, const struct remote_card *card, const char *path,
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
		r->f.flags = how->flags & ~(PMIO_OPEN_CREATE | PMIO_OPEN_EXCL);
		r->f.path = strdup(absolute);
		r->node = r->f.path ? node_get(settings, card) : NULL;
		if (r->node)
			rc = open_at(r, how);
	}
	if (rc == 0) {
		r->f.chunk_size = r->node->card.chunk_size;
		*out = &r->f;
		return 0;
	}
	if (!how->quiet)
		pmio_err("open %s at node %s: %s", path, card->host, pmio_strerror(rc));
	if (r)
		free_remote(r);
	return rc;
}

static int call_path(const struct pmio_settings *settings, const struct remote_card *card, enum remote_op op,
		     const char *what, const char *path)
{
	union {
		struct remote_path_msg m;
		uint8_t bytes[sizeof(struct remote_path_msg) + PATH_MAX];
	} u;
	struct node *n = node_get(settings, card);
	size_t got;
	int rc = n ? pmio_absolute(path, u.m.path, PATH_MAX) : -ENOMEM;

	if (rc == 0)
		rc = node_ask(n, &u.m, sizeof(u.m) + strlen(u.m.path) + 1, op, NULL, 0, &got);
	if (rc < 0 && rc != -ENOENT)
		pmio_err("%s %s at node %s: %s", what, path, card->host, pmio_strerror(rc));
	return rc;
}

int remote_delete(const struct pmio_settings *settings, const struct remote_card *card, const char *path)
{
	return call_path(settings, card, REMOTE_DELETE, "delete", path);
}

int remote_watch(const struct pmio_settings *settings, const struct remote_card *card, const char *path)
{
	return call_path(settings, card, REMOTE_WATCH, "watch the drain of", path);
}

int remote_stat(const struct pmio_settings *settings, const struct remote_card *card,
		struct remote_stat_answer_msg *st)
{
	struct node *n = node_get(settings, card);
	struct remote_hdr_msg m;
	size_t got;
	int rc = n ? node_ask(n, &m, sizeof(m), REMOTE_STAT, st, sizeof(*st), &got) : -ENOMEM;

	return rc == 0 && got != sizeof(*st) ? PMIO_EPROTO : rc;
}
