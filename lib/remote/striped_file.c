/*
 * striped_file.c -- a file whose pieces are on several targets
 *
 * A request is split by the holders of its chunks (placement.c), and each gets its part: other nodes by messages, all
 * at the same time, and the pool of this node by loads and stores, meanwhile.
 *
 * The file's first target is its metadata server (mds): it keeps the file's size (striped_size.c).
 * A reader first takes what the holder has; it needs to know the size only if that is less than it asked for.
 *
 * The file is opened at each target when it is first needed there, and the target's agent drains its pieces after
 * the last close there.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/path.h"
#include "client/admin.h"
#include "remote/striped_impl.h"

#define HOLDERS_MAX 16	     /* other nodes to which requests are under way at a time */
#define TRANSPORT_MAX 8192u  /* pieces that are handed to a transport before the next ones are examined */

/* the transport of this thread's calls on one file; see remote_striped_use_transport() */
static _Thread_local struct {
	const struct striped_file *s;
	const struct remote_transport *ops;
	void *arg;
} transport;

/* ---- splitting requests -------------------------------------------------------------------- */

struct cut {
	struct pmio_piece *pieces; /* owned */
	uint32_t *holders;	   /* owned; one for each piece */
	size_t nr;
	struct pmio_piece *some;   /* owned: room for the same number; those of the holders one after the other */
	size_t nr_some;		   /* taken so far */
	bool gaps;		   /* between pieces in a chunk */
};

static void cut_fini(struct cut *c)
{
	free(c->pieces);
	free(c->holders);
	free(c->some);
}

/* split into pieces that lie within one run of chunks of one holder; zero lengths are left out */
static size_t count_chunks(const struct striped_file *s, const struct pmio_piece *pieces, size_t nr)
{
	size_t n = 0;

	for (size_t i = 0; i < nr; i++) {
		uint64_t first = (uint64_t)pieces[i].off >> s->chunk_shift;

		if (pieces[i].len)
			n += (((uint64_t)pieces[i].off + pieces[i].len - 1) >> s->chunk_shift) - first + 1;
	}
	return n;
}

static int cut_piece(struct striped_file *s, struct cut *c, const struct pmio_piece *p)
{
	uint64_t off = (uint64_t)p->off, end = off + p->len;
	uint8_t *buf = p->buf;

	while (off < end) {
		uint64_t chunk = off >> s->chunk_shift, next = (chunk + 1) << s->chunk_shift;
		uint64_t len = (next < end ? next : end) - off;
		struct pmio_piece *last = c->nr ? &c->pieces[c->nr - 1] : NULL;
		uint32_t holder;

		/* small pieces of one chunk are often consecutive */
		if (last && (uint64_t)last->off >> s->chunk_shift == chunk) {
			holder = c->holders[c->nr - 1];
		} else {
			int rc = striped_holder_of(s, chunk, ((end - 1) >> s->chunk_shift) - chunk + 1, c->gaps, &holder);

			if (rc < 0)
				return rc;
		}
		if (last && c->holders[c->nr - 1] == holder && (uint64_t)last->off + last->len == off &&
		    (uint8_t *)last->buf + last->len == buf) {
			last->len += len;
		} else {
			c->pieces[c->nr] = (struct pmio_piece){ (off_t)off, buf, len };
			c->holders[c->nr++] = holder;
		}
		buf += len;
		off += len;
	}
	return 0;
}

/* the first two pieces are enough to see it */
static bool have_gaps(const struct striped_file *s, const struct pmio_piece *pieces, size_t nr)
{
	return nr > 1 && pieces[1].off > pieces[0].off + (off_t)pieces[0].len &&
	       pieces[1].off >> s->chunk_shift == pieces[0].off >> s->chunk_shift;
}

static int cut_init(struct striped_file *s, struct cut *c, const struct pmio_piece *pieces, size_t nr)
{
	size_t room = count_chunks(s, pieces, nr);
	int rc = -ENOMEM;

	memset(c, 0, sizeof(*c));
	c->gaps = have_gaps(s, pieces, nr);
	c->pieces = malloc((room ? room : 1) * sizeof(*c->pieces));
	c->holders = malloc((room ? room : 1) * sizeof(*c->holders));
	c->some = malloc((room ? room : 1) * sizeof(*c->some));
	if (c->pieces && c->holders && c->some)
		rc = 0;
	for (size_t i = 0; i < nr && rc == 0; i++)
		rc = cut_piece(s, c, &pieces[i]);
	if (rc < 0)
		cut_fini(c);
	return rc;
}

/*
 * take one holder's pieces out of the rest, those of `last` after all others, to the place from c->nr_some on; returns their
 * number, 0: none are left
 */
static size_t take_holder(struct cut *c, uint32_t last, uint32_t *holder)
{
	struct pmio_piece *some = c->some + c->nr_some;
	size_t nr = 0, i = 0;

	while (i < c->nr && (c->holders[i] == REMOTE_NOBODY || c->holders[i] == last))
		i++;
	*holder = i < c->nr ? c->holders[i] : last;
	for (i = i < c->nr ? i : 0; i < c->nr && *holder != REMOTE_NOBODY; i++) {
		if (c->holders[i] != *holder)
			continue;
		some[nr++] = c->pieces[i];
		c->holders[i] = REMOTE_NOBODY;
	}
	return nr;
}

static uint64_t bytes_of(const struct pmio_piece *pieces, size_t nr)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < nr; i++)
		sum += pieces[i].len;
	return sum;
}

/* ---- reading and writing ----------------------------------------------------------------------- */

/* requests to other nodes that are under way while this thread continues with those to further nodes and to its own */
struct begun {
	struct pmio_file *f;
	void *op;
	uint64_t bytes;
};
struct striped_request {
	uint64_t size;	/* see client_readx() */
	bool *raised;	/* NULL to read */
	struct begun begun[HOLDERS_MAX];
	unsigned nr;
};

/* 0; 1: less than all; or an error */
static int outcome(ssize_t done, uint64_t bytes)
{
	return done < 0 ? (int)done : (uint64_t)done < bytes;
}

/* the caller keeps the pieces until the request ends; last: no pieces follow */
static int at_target(struct striped_request *q, struct pmio_file *f, const struct pmio_piece *pieces, size_t nr, bool last)
{
	const uint64_t bytes = bytes_of(pieces, nr);
	void *op = NULL;

	if (!last && f->ops && f->ops->begin && q->nr < HOLDERS_MAX)
		op = f->ops->begin(f, pieces, nr, q->size, q->raised != NULL);
	if (op) {
		q->begun[q->nr++] = (struct begun){ f, op, bytes };
		return 0;
	}
	return outcome(q->raised ? client_writex(f, pieces, nr, q->raised) : client_readx(f, pieces, nr, q->size), bytes);
}

/* end all that is under way; rc: the outcome so far */
static int finish(struct striped_request *q, int rc)
{
	for (unsigned i = 0; i < q->nr; i++) {
		const struct begun *b = &q->begun[i];
		int rc_one = outcome(b->f->ops->finish(b->op, q->raised), b->bytes);

		rc = rc < 0 || rc_one == 0 ? rc : rc_one;
	}
	return rc;
}

/* one holder's pieces, n of them, the next ones in c->some; as at_target() */
static int at_holder(struct striped_file *s, struct striped_request *q, struct cut *c, size_t n, uint32_t holder)
{
	struct pmio_piece *some = c->some + c->nr_some;
	struct pmio_file *f;
	int rc = -EOPNOTSUPP;

	c->nr_some += n;
	if (transport.s == s && holder != s->own)
		rc = transport.ops->post(transport.arg, holder, some, n, bytes_of(some, n), q->raised != NULL);
	if (rc != -EOPNOTSUPP)
		return rc;
	rc = striped_get_target(s, holder, &f);
	return rc < 0 ? rc : at_target(q, f, some, n, c->nr_some == c->nr);
}

static int at_some(struct striped_file *s, const struct pmio_piece *pieces, size_t nr, uint64_t size, bool *raised)
{
	struct striped_request q = { .size = size, .raised = raised };
	struct cut c;
	uint32_t holder;
	size_t n;
	int rc = cut_init(s, &c, pieces, nr);

	if (rc < 0)
		return rc;
	while (rc == 0 && (n = take_holder(&c, s->own, &holder)) > 0)
		rc = at_holder(s, &q, &c, n, holder);
	rc = finish(&q, rc);
	cut_fini(&c);
	return rc;
}

/* pieces that a transport takes are under way while this node's own pieces are copied; returns as at_holder() */
static int at_all(struct striped_file *s, const struct pmio_piece *pieces, size_t nr, uint64_t size, bool *raised)
{
	int rc = 0, rc_carried;
	size_t done = 0, n;

	if (transport.s != s)
		return at_some(s, pieces, nr, size, raised);
	for (; done < nr && rc == 0; done += n) {
		n = nr - done < TRANSPORT_MAX ? nr - done : TRANSPORT_MAX;
		rc = at_some(s, pieces + done, n, size, raised);
	}
	rc_carried = transport.ops->finish(transport.arg);
	return rc < 0 || rc_carried == 0 ? rc : rc_carried;
}

/* limit the pieces to the file's size; *sum: their bytes */
static size_t clamp(const struct pmio_piece *pieces, size_t nr, uint64_t size, struct pmio_piece *out, uint64_t *sum)
{
	size_t n = 0;

	*sum = 0;
	for (size_t i = 0; i < nr; i++) {
		uint64_t off = (uint64_t)pieces[i].off, end = off + pieces[i].len;
		uint64_t to = end < size ? end : size;

		if (off < to) {
			out[n] = pieces[i];
			out[n].len = to - off;
			*sum += out[n++].len;
		}
		if (to < end && pieces[i].len)
			break;
	}
	return n;
}

static ssize_t striped_readx(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr, uint64_t size)
{
	struct striped_file *s = striped_of(f);
	struct pmio_piece *inside;
	uint64_t sum;
	off_t now;
	size_t n;
	int rc;

	if (!striped_is_shared(s)) {
		struct pmio_file *only;

		rc = striped_get_target(s, 0, &only);
		return rc < 0 ? rc : client_readx(only, pieces, nr, size);
	}
	rc = at_all(s, pieces, nr, size, NULL);
	if (rc <= 0)
		return rc < 0 ? rc : (ssize_t)bytes_of(pieces, nr);
	rc = striped_size(f, &now);
	if (rc < 0)
		return rc;
	inside = malloc(nr * sizeof(*inside));
	if (!inside)
		return -ENOMEM;
	n = clamp(pieces, nr, (uint64_t)now > size ? (uint64_t)now : size, inside, &sum);
	rc = n ? at_all(s, inside, n, (uint64_t)now > size ? (uint64_t)now : size, NULL) : 0;
	free(inside);
	return rc < 0 ? rc : rc > 0 ? -EIO : (ssize_t)sum;
}

static ssize_t striped_writex(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr, bool *raised)
{
	struct striped_file *s = striped_of(f);
	struct pmio_file *target;
	uint64_t end = 0;
	int rc;

	if (!striped_is_shared(s)) {
		rc = striped_get_target(s, 0, &target);
		return rc < 0 ? rc : client_writex(target, pieces, nr, raised);
	}
	rc = at_all(s, pieces, nr, 0, raised);
	for (size_t i = 0; i < nr; i++) {
		if (pieces[i].len && (uint64_t)pieces[i].off + pieces[i].len > end)
			end = (uint64_t)pieces[i].off + pieces[i].len;
	}
	if (rc == 0)
		rc = striped_tell_size(s, end, *raised);
	return rc < 0 ? rc : (ssize_t)bytes_of(pieces, nr);
}

/* ---- the rest -------------------------------------------------------------------------------------- */

/* call it for all targets that are open here; returns the first error */
static int with_each(struct striped_file *s, int (*call)(struct pmio_file *f))
{
	int rc = 0;

	for (uint32_t i = s->layout.nr; i-- > 0;) {
		struct pmio_file *target;
		int rc_one;

		target = striped_opened(s, i);
		rc_one = target ? call(target) : 0;
		rc = rc < 0 ? rc : rc_one;
	}
	return rc;
}

static int striped_sync(struct pmio_file *f)
{
	return with_each(striped_of(f), pmio_sync);
}

static int striped_drain(struct pmio_file *f)
{
	return with_each(striped_of(f), pmio_drain);
}

static int striped_lock(struct pmio_file *f)
{
	struct pmio_file *mds;
	int rc = striped_get_target(striped_of(f), 0, &mds);

	return rc < 0 ? rc : client_lock(mds);
}

static void striped_unlock(struct pmio_file *f)
{
	struct pmio_file *mds;

	if (striped_get_target(striped_of(f), 0, &mds) == 0)
		client_unlock(mds);
}

/* ---- staging in ---- */

struct stager {
	pthread_t thread;
	struct striped_file *s;
	uint32_t target;
	uint64_t nr_chunks;
	_Atomic uint64_t *told;
	int rc;
};

/* in a striped file a target holds every nr-th chunk: see striped_holder_of() */
static void *stage_target(void *arg)
{
	struct stager *st = arg;
	uint32_t step = st->s->layout.nr;
	struct pmio_file *f;

	st->rc = striped_get_target(st->s, st->target, &f);
	for (uint64_t at = st->target; at < st->nr_chunks && st->rc == 0; at += (uint64_t)step * PMIO_STAGE_MAX) {
		uint64_t left = (st->nr_chunks - at + step - 1) / step;
		uint32_t nr = left < PMIO_STAGE_MAX ? (uint32_t)left : PMIO_STAGE_MAX;

		st->rc = client_stage(f, at, nr, step);
		if (st->rc == 0)
			atomic_fetch_add(st->told, (uint64_t)nr << st->s->chunk_shift);
	}
	return NULL;
}

int remote_striped_stage(struct pmio_file *f, _Atomic uint64_t *told)
{
	struct striped_file *s = striped_of(f);
	struct stager *st;
	uint32_t started = 0;
	off_t size;
	int rc = 0;

	if (s->layout.nr_memory != s->layout.nr || remote_placement_has_claims(&s->layout))
		return -EBUSY;
	rc = striped_size(f, &size);
	st = rc == 0 ? calloc(s->layout.nr, sizeof(*st)) : NULL;
	if (!st)
		return rc < 0 ? rc : -ENOMEM;
	for (; started < s->layout.nr && rc == 0; started += rc == 0) {
		st[started] = (struct stager){ .s = s, .target = started, .told = told,
					       .nr_chunks = ((uint64_t)size + s->f.chunk_size - 1) >> s->chunk_shift };
		rc = -pthread_create(&st[started].thread, NULL, stage_target, &st[started]);
	}
	for (uint32_t i = 0; i < started; i++) {
		pthread_join(st[i].thread, NULL);
		rc = rc < 0 ? rc : st[i].rc;
	}
	free(st);
	return rc;
}

static void free_striped(struct striped_file *s)
{
	remote_layout_fini(&s->layout);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->opened);
	free(s->targets);
	pmio_u64map_clear(&s->claims);
	free(s->f.path);
	free(s);
}

/* do its memory nodes drain it after the last close? */
static bool is_async(const struct striped_file *s)
{
	return (s->f.flags & PMIO_OPEN_ASYNC) && s->layout.nr_memory == s->layout.nr;
}

static int close_at(struct striped_target *t, uint32_t flags)
{
	int rc = 0;

	for (int use = 0; use < STRIPED_USES; use++) {
		int rc_one = flags & PMIO_CLOSE_DISCARD ? pmio_close_discard(&t->file[use]) : pmio_close(&t->file[use]);

		rc = rc < 0 ? rc : rc_one;
	}
	return rc;
}

/* the metadata server last: its close gives the file on the PFS its final length */
static int striped_close(struct pmio_file *f, uint32_t flags)
{
	struct striped_file *s = striped_of(f);
	bool may_stay_dirty = is_async(s) && s->joined && !(flags & PMIO_CLOSE_DISCARD);
	bool deleted = false, lost = striped_is_lost(s);
	int rc = 0, rc_leave;

	/* before the close: a process that finds no member in the layout session must see the marks */
	if (may_stay_dirty && !lost)
		rc = remote_layout_file_mark_all(s->f.path, s->layout.id);
	if (rc == -ENOENT)
		deleted = true; /* no data of it can be drained any more */
	else if (rc < 0)
		pmio_err("close %s: cannot mark its layout file: %s; until a drain others may read what the file system has",
			 s->f.path, pmio_strerror(rc));
	rc = lost ? -EIO : 0;
	for (uint32_t i = s->layout.nr; i-- > 0;) {
		int rc_one = close_at(&s->targets[i], flags);

		rc = rc < 0 ? rc : rc_one;
		/* if this fails, the metadata server notes it, for all nodes */
		if (rc_one < 0 && !(flags & PMIO_CLOSE_DISCARD))
			remote_layout_file_mark(s->f.path, s->layout.id, i);
	}
	if (s->joined) {
		enum remote_keep keep = REMOTE_KEEP_IF_DIRTY;

		if (deleted || (flags & PMIO_CLOSE_DISCARD))
			keep = REMOTE_KEEP_NOT;
		else if (rc < 0 || s->keep)
			keep = REMOTE_KEEP;
		rc_leave = remote_layout_leave(s->settings, &s->layout, keep);
		if (rc_leave < 0)
			pmio_err("close %s: could not tell node %s about the close: %s", s->f.path,
				 s->layout.endpoints[0].host, pmio_strerror(rc_leave));
		may_stay_dirty = may_stay_dirty && !deleted && !lost && rc_leave == 0; /* else the last member does it */
	}
	for (uint32_t i = 0; i < s->layout.nr && may_stay_dirty; i++)
		remote_watch(s->settings, &s->layout.endpoints[i], s->f.path);
	free_striped(s);
	return rc;
}

static const struct client_ops ops = {
	.readx = striped_readx,
	.writex = striped_writex,
	.grow = striped_grow,
	.reserve = striped_reserve,
	.size = striped_size,
	.truncate = striped_truncate,
	.sync = striped_sync,
	.drain = striped_drain,
	.end = striped_close,
	.lock = striped_lock,
	.unlock = striped_unlock,
};

void remote_striped_keep(struct pmio_file *f)
{
	if (f->ops == &ops)
		striped_of(f)->keep = true;
}

uint32_t remote_striped_own(const struct pmio_file *f)
{
	return ((const struct striped_file *)f)->own;
}

int remote_striped_pointer(struct pmio_file *f, uint64_t pointer, enum remote_pointer_how how, uint64_t value, uint64_t *was)
{
	struct striped_file *s = striped_of(f);
	struct remote_pointer_msg m = { .pointer = pointer, .how = how, .value = value };
	struct remote_pointer_answer_msg a;
	int rc;

	if (striped_is_lost(s))
		return -EIO;
	memcpy(m.layout, s->layout.id, sizeof(m.layout));
	rc = striped_ask(s, 0, &m, sizeof(m), REMOTE_POINTER, &a, sizeof(a));
	if (rc == -ENOENT) {
		pmio_err("%s: node %s was restarted: the shared file pointer is lost", s->f.path, s->layout.endpoints[0].host);
		rc = -EIO;
	}
	if (rc == 0)
		*was = a.was;
	return rc;
}

void remote_striped_use_transport(const struct pmio_file *f, const struct remote_transport *how, void *arg)
{
	transport.s = (const struct striped_file *)f;
	transport.ops = how;
	transport.arg = arg;
}

const struct remote_layout *remote_layout_of(const struct pmio_file *f)
{
	return f->ops == &ops ? &((const struct striped_file *)f)->layout : NULL;
}

/* ---- opening ----------------------------------------------------------------------------------------- */

static int copy_layout(struct remote_layout *to, const struct remote_layout *from)
{
	*to = *from;
	to->endpoints = malloc(from->nr * sizeof(*to->endpoints));
	if (!to->endpoints)
		return -ENOMEM;
	memcpy(to->endpoints, from->endpoints, from->nr * sizeof(*to->endpoints));
	return 0;
}

static struct striped_file *new_striped(struct pmio *pm, const struct pmio_settings *settings, const char *path,
			     const struct remote_layout *layout)
{
	struct striped_file *s = calloc(1, sizeof(*s));
	uint8_t uuid[16] = { 0 };

	if (!s)
		return NULL;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->opened, NULL);
	s->f.ops = &ops;
	s->f.lock_fd = s->f.pfs_fd = -1;
	s->f.path = strdup(path);
	s->targets = calloc(layout->nr, sizeof(*s->targets));
	if (!s->f.path || !s->targets || copy_layout(&s->layout, layout) < 0) {
		s->layout.endpoints = NULL;
		free_striped(s);
		return NULL;
	}
	s->fd = -1;
	s->pm = pm;
	s->settings = settings;
	s->own = REMOTE_NOBODY;
	if (pm)
		pmio_pool_uuid(pm, uuid);
	for (uint32_t i = 0; i < layout->nr && pm; i++) {
		if (memcmp(layout->endpoints[i].uuid, uuid, sizeof(uuid)) == 0)
			s->own = i;
	}
	s->f.chunk_size = layout->endpoints[0].chunk_size;
	while (1ULL << s->chunk_shift < s->f.chunk_size)
		s->chunk_shift++;
	return s;
}

/* a program's descriptor: other nodes must have the same file under its name; on this node the descriptor suffices */
static int take_fd(struct striped_file *s, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	s->f.ino = st.st_ino;
	s->fd = fd;
	return 0;
}

int remote_striped_open(struct pmio *pm, const struct pmio_settings *settings, const char *path,
		     const struct client_open *how, const struct remote_layout *layout, bool joined,
		     struct pmio_file **out)
{
	char absolute[PATH_MAX];
	struct pmio_file *mds, *mine;
	struct striped_file *s;
	int rc = pmio_absolute(path, absolute, sizeof(absolute));

	*out = NULL;
	s = rc == 0 ? new_striped(pm, settings, absolute, layout) : NULL;
	if (!s)
		return rc < 0 ? rc : -ENOMEM;
	s->f.flags = how->flags & ~(PMIO_OPEN_CREATE | PMIO_OPEN_EXCL);
	/* pieces in several pools are drained together; those on memory nodes can be found meanwhile */
	if (striped_is_shared(s))
		s->f.flags &= ~(PMIO_OPEN_HOLD | (layout->nr_memory < layout->nr ? PMIO_OPEN_ASYNC : 0));
	if (how->by_fd) {
		rc = take_fd(s, how->fd);
		if (rc < 0) {
			free_striped(s);
			return rc;
		}
	}
	/* at the metadata server even if only local pieces are needed; and on this node while the file still has a name */
	rc = striped_get_control(s, 0, &mds);
	s->layout.began = false; /* a second open there, for its bytes, must not begin it again: PMIO_OPEN_BEGINS */
	if (rc == 0 && striped_is_shared(s) && s->own != REMOTE_NOBODY && s->own != 0) {
		s->f.ino = mds->ino;
		rc = striped_get_target(s, s->own, &mine);
		if (rc < 0)
			close_at(&s->targets[0], 0);
	}
	if (rc < 0) {
		free_striped(s);
		return rc;
	}
	s->fd = -1;
	s->f.dev = mds->dev;
	s->f.ino = mds->ino;
	s->joined = joined;
	*out = &s->f;
	return 0;
}
