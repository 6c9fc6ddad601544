/*
 * fuzz.c -- random MPI-IO programs, compared with a model in memory
 *
 * fuzz_run FILE [--seed S] [--count N] [--seconds N] [--steps N] [--trace]
 *
 * Program k is made from seed S + k alone (and the number of ranks).  Every rank
 * makes the whole of it, so knows what all ranks do; it applies all writes to its
 * own model of the file and works out what its own reads and statuses must be.
 * Between two steps there is a barrier and nothing else.  Within a step, accesses
 * of different ranks that conflict are made empty.  When no rank has the file
 * open any more, rank 0 compares the file as open(2) shows it with the model.
 *
 * A difference is reported with the seed, the step and the operation; the same
 * seed with the same number of ranks does the same again.
 *
 * Bugs that were planted, and the first program that found them on 1, 2, 3 ranks
 * (seeds from 1 on; 100 programs on 2 ranks take some 8 s):
 *	a write does not set the dirty bit of its last block		1, 1, 1
 *	a fill takes one byte less from the PFS				6, 11, 11
 *	a block counts as overwritten whole but for its last byte	38, 208, 66
 *	a short read counts one byte too many				6, 7, 2
 *	a cursor in a view stands one piece too early			1, 1, 1
 *	a type's extent is where its data end				1, 1, 1
 */
#include "util.h"
#include "fuzz_type.h"

#include <signal.h>
#include <time.h>

#define RANKS_MAX 8
#define HANDLES_MAX 4
#define OPS_MAX 64	 /* in a step */
#define GUARD 64	 /* bytes around a buffer */
#define LIMIT_S 100	 /* for one program */

static struct rng R; /* of the program: every rank draws the same from it */
static uint64_t seed;
static int step, nr_steps = 20;
static bool tracing;
static uint64_t serial;	 /* of writes: what they write */
static uint64_t total_steps, total_ops;
static char doing[6000]; /* the operation at hand */
struct op;
static const struct op *doing_op; /* if not NULL, it is this one */

static void describe(const struct op *o);

/* fmt...: what differs */
static _Noreturn __attribute__((format(printf, 1, 2))) void fail(const char *fmt, ...)
{
	char why[1000];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	if (doing_op)
		describe(doing_op);
	fprintf(stderr, "rank %d of %d, seed %llu, step %d: %s\n\tin %s\n", me, np,
		(unsigned long long)seed, step, why, doing);
	fflush(stderr);
	MPI_Abort(MPI_COMM_WORLD, 1);
	abort();
}

static void must(int rc, const char *call)
{
	char msg[MPI_MAX_ERROR_STRING];
	int len;

	if (rc == MPI_SUCCESS)
		return;
	MPI_Error_string(rc, msg, &len);
	fail("%s: %s", call, msg);
}

#define CALL(call) must(call, #call)

static void trace(void)
{
	if (tracing && me == 0)
		printf("# %d: %s\n", step, doing);
	fflush(stdout);
}

/* the program hangs or crashes: not a place to call printf from, but better than silence */
static void caught(int sig)
{
	if (doing_op)
		describe(doing_op);
	fprintf(stderr, "rank %d of %d, seed %llu, step %d: %s\n\tin %s\n", me, np,
		(unsigned long long)seed, step, sig == SIGALRM ? "takes too long" : strsignal(sig), doing);
	_exit(1);
}

/* ---- the model: pages of the file that were ever written --------------------------------- */

#define PAGE 4096

struct page {
	int64_t index;
	unsigned char data[PAGE];
};

static struct page **pages;
static size_t nr_pages, room_pages;
static int64_t size;
static bool exists_now;

static struct page **page_slot(int64_t index)
{
	size_t i = mix64((uint64_t)index) & (room_pages - 1);

	while (pages[i] && pages[i]->index != index)
		i = (i + 1) & (room_pages - 1);
	return &pages[i];
}

static void more_pages(void)
{
	struct page **old = pages;
	size_t room = room_pages;

	room_pages = room ? room * 2 : 1024;
	pages = calloc(room_pages, sizeof(struct page *));
	check(pages, "no memory");
	for (size_t i = 0; i < room; i++)
		if (old[i])
			*page_slot(old[i]->index) = old[i];
	free(old);
}

static unsigned char *page_of(int64_t index, bool make)
{
	struct page **p;

	if (nr_pages * 2 >= room_pages)
		more_pages();
	p = page_slot(index);
	if (!*p && make) {
		*p = calloc(1, sizeof(**p));
		check(*p, "no memory");
		(*p)->index = index;
		nr_pages++;
	}
	return *p ? (*p)->data : NULL;
}

static void model_write(int64_t off, const unsigned char *buf, int64_t len)
{
	if (len && off + len > size)
		size = off + len;
	while (len) {
		int64_t n = PAGE - off % PAGE < len ? PAGE - off % PAGE : len;

		memcpy(page_of(off / PAGE, true) + off % PAGE, buf, (size_t)n);
		off += n;
		buf += n;
		len -= n;
	}
}

static void model_read(int64_t off, unsigned char *buf, int64_t len)
{
	while (len) {
		int64_t n = PAGE - off % PAGE < len ? PAGE - off % PAGE : len;
		const unsigned char *p = page_of(off / PAGE, false);

		if (p)
			memcpy(buf, p + off % PAGE, (size_t)n);
		else
			memset(buf, 0, (size_t)n);
		off += n;
		buf += n;
		len -= n;
	}
}

static void model_resize(int64_t to)
{
	for (size_t i = 0; i < room_pages && to < size; i++) {
		int64_t start = pages[i] ? pages[i]->index * PAGE : 0;

		if (pages[i] && start + PAGE > to)
			memset(pages[i]->data + (to > start ? to - start : 0), 0,
			       (size_t)(to > start ? start + PAGE - to : PAGE));
	}
	size = to;
}

static void model_clear(void)
{
	for (size_t i = 0; i < room_pages; i++)
		free(pages[i]);
	free(pages);
	pages = NULL;
	nr_pages = room_pages = 0;
	size = 0;
}

/* byte i of write number w */
static void pattern(unsigned char *buf, uint64_t w, int64_t from, int64_t len)
{
	for (int64_t i = 0; i < len; i++) {
		int64_t at = from + i;

		if (at % 8 == 0 && len - i >= 8) {
			uint64_t x = mix64(w << 36 ^ (uint64_t)at >> 3 ^ 0x5bd1e995ull);

			memcpy(buf + i, &x, 8);
			i += 7;
		} else {
			uint64_t x = mix64(w << 36 ^ (uint64_t)at >> 3 ^ 0x5bd1e995ull);

			buf[i] = ((unsigned char *)&x)[at % 8];
		}
	}
}

/* ---- handles and views ------------------------------------------------------------------------ */

struct view {
	int64_t disp;
	struct ty *etype, *filetype;
};

/* ranks of one colour have one MPI_File; -1: not in it */
struct group {
	int color[RANKS_MAX];
	int order[RANKS_MAX]; /* world ranks, in the communicator's order */
	int nr;		      /* of colours */
	MPI_Comm comm;
	const char *name;
};

static struct group groups[8];
static int nr_groups;

struct handle {
	bool open;
	MPI_File fh;
	const struct group *g;
	int amode;
	struct view view[RANKS_MAX];
	int64_t pos[RANKS_MAX];	   /* individual pointers, bytes of the view's data */
	int64_t shared[RANKS_MAX]; /* of a colour, in etypes */
	bool one_view[RANKS_MAX];  /* of a colour: all its ranks have the same */
};

static struct handle handles[HANDLES_MAX];
static int64_t limit; /* files go this far beyond 0 and beyond `far` */
static int64_t far;   /* 0, or where the second part of the file begins */

static bool member(const struct handle *h, int rank)
{
	return h->g->color[rank] >= 0;
}

static bool in_it(const struct handle *h)
{
	return member(h, me);
}

typedef void range_fn(void *arg, int64_t off, int64_t len);

/* the file's ranges of bytes [pos, pos + n) of a view's data */
static void walk(const struct view *v, int64_t pos, int64_t n, range_fn *fn, void *arg)
{
	size_t nr;
	const struct ty_piece *p = ty_pieces(v->filetype, &nr);
	int64_t tile = pos / ty_size(v->filetype), skip = pos % ty_size(v->filetype);

	if (ty_dense(v->filetype)) {
		fn(arg, v->disp + pos, n);
		return;
	}
	for (; n > 0; tile++) {
		for (size_t i = 0; i < nr && n > 0; i++) {
			int64_t len = p[i].len - skip;

			if (len <= 0) {
				skip -= p[i].len;
				continue;
			}
			len = len < n ? len : n;
			fn(arg, v->disp + tile * ty_extent(v->filetype) + p[i].off + skip, len);
			skip = 0;
			n -= len;
		}
	}
}

/* how many bytes of a view's data lie before a byte of the file */
static int64_t bytes_before(const struct view *v, int64_t off)
{
	size_t nr;
	const struct ty_piece *p = ty_pieces(v->filetype, &nr);
	int64_t rel = off - v->disp, extent = ty_extent(v->filetype);
	int64_t end = p[nr - 1].off + p[nr - 1].len, tile, n;

	if (rel <= 0)
		return 0;
	tile = rel > end ? (rel - end) / extent : 0;
	for (n = tile * ty_size(v->filetype);; tile++) {
		for (size_t i = 0; i < nr; i++) {
			int64_t start = tile * extent + p[i].off;

			if (start >= rel)
				return n;
			n += rel - start < p[i].len ? rel - start : p[i].len;
		}
	}
}

static void first_byte(void *arg, int64_t off, int64_t len)
{
	(void)len;
	*(int64_t *)arg = off;
}

static int64_t byte_of(const struct view *v, int64_t pos)
{
	int64_t off = -1;

	walk(v, pos, 1, first_byte, &off);
	return off;
}

static int64_t etype_size(const struct handle *h, int rank)
{
	return ty_size(h->view[rank].etype);
}

static void set_model_view(struct handle *h, int rank, int64_t disp, struct ty *etype, struct ty *filetype)
{
	ty_free(h->view[rank].etype);
	ty_free(h->view[rank].filetype);
	h->view[rank] = (struct view){ disp, etype, filetype };
	h->pos[rank] = 0;
	h->shared[h->g->color[rank]] = 0;
}

/* a byte of the file, with borders made likely */
static int64_t random_offset(void)
{
	int64_t part = far && rng_chance(&R, 60) ? far : 0, what = rng_below(&R, 100);
	int64_t near = rng_chance(&R, 40) ? 0 : rng_range(&R, -3, 3), off;

	if (what < 20)
		off = rng_below(&R, 300);
	else if (what < 45)
		off = rng_below(&R, limit / 4096 + 1) * 4096 + near;
	else if (what < 65)
		off = rng_range(&R, 1, limit / (1 << 20) + 1) * (1 << 20) + near;
	else if (what < 80)
		return size + near > 0 ? size + near : 0;
	else
		off = rng_below(&R, limit);
	if (off > limit)
		off %= limit;
	return part + (off > 0 ? off : 0);
}

/* where a view ends for us: no access goes beyond */
static int64_t ceiling(int64_t off)
{
	return off <= limit + (1 << 20) ? limit + (1 << 20) : far + limit + (1 << 20);
}

/* ---- what a step does: a list of accesses, the same on all ranks -------------------------------- */

enum sync { BLOCKING, NONBLOCKING, COLLECTIVE, ICOLLECTIVE, SPLIT };
enum pointer { EXPLICIT, INDIVIDUAL, SHARED };

static const char *const sync_names[] = { "", "i", "_all", "i_all", "_all begin/end" };
static const char *const pointer_names[] = { "_at", "", "_shared/ordered" };

struct op {
	struct handle *h;
	int rank;
	enum sync sync;
	enum pointer ptr;
	bool write;
	int64_t offset; /* etypes; EXPLICIT */
	int64_t pos;	/* bytes of the view's data, where it begins */
	int64_t bytes;	/* asked for */
	int64_t got;	/* bytes that will be transferred */
	uint64_t serial;
	uint64_t memory_seed;
	/* ranges of the file, going up, for conflicts */
	struct ty_piece *ranges;
	size_t nr_ranges, room;
	bool saw_end, extends;
	/* on its own rank */
	struct ty *type;
	int count;
	MPI_Datatype mpi_type;
	MPI_Request request;
	MPI_Status status;
	unsigned char *all, *want, *expect; /* buffer, what must be in it at the end; the file's bytes */
	int64_t all_len, origin;	    /* the buffer's length, and its address 0 */
};

static struct op ops[OPS_MAX];
static int nr_ops;
static int64_t size_at_start; /* of the step */

static void describe(const struct op *o)
{
	const struct view *v = &o->h->view[o->rank];
	int n;

	n = snprintf(doing, sizeof(doing),
		     "%s%s%s on handle %d (%s), rank %d: offset %lld (byte %lld of the view, byte %lld of the file), "
		     "%lld bytes, of which %lld; ",
		     o->write ? "write" : "read", pointer_names[o->ptr], sync_names[o->sync],
		     (int)(o->h - handles), o->h->g->name, o->rank, (long long)o->offset, (long long)o->pos,
		     (long long)byte_of(v, o->pos), (long long)o->bytes, (long long)o->got);
	if (o->type)
		n += snprintf(doing + n, sizeof(doing) - (size_t)n, "memory %d x %.1500s; ", o->count,
			      ty_text(o->type));
	n += snprintf(doing + n, sizeof(doing) - (size_t)n, "view %lld, %.300s, ", (long long)v->disp,
		      ty_text(v->etype));
	snprintf(doing + n, sizeof(doing) - (size_t)n, "%.1500s; file size %lld", ty_text(v->filetype),
		 (long long)size);
}

static void add_range(void *arg, int64_t off, int64_t len)
{
	struct op *o = arg;

	if (o->nr_ranges == o->room) {
		o->room = o->room * 2 + 16;
		o->ranges = realloc(o->ranges, o->room * sizeof(*o->ranges));
		check(o->ranges, "no memory");
	}
	o->ranges[o->nr_ranges++] = (struct ty_piece){ off, len };
}

static int64_t ranges_end(const struct op *o)
{
	return o->nr_ranges ? o->ranges[o->nr_ranges - 1].off + o->ranges[o->nr_ranges - 1].len : 0;
}

static bool meet(const struct op *a, const struct op *b)
{
	size_t i = 0, k = 0;

	if (!a->nr_ranges || !b->nr_ranges || ranges_end(a) <= b->ranges[0].off ||
	    ranges_end(b) <= a->ranges[0].off)
		return false;
	while (i < a->nr_ranges && k < b->nr_ranges) {
		const struct ty_piece *p = &a->ranges[i], *q = &b->ranges[k];

		if (p->off + p->len <= q->off)
			i++;
		else if (q->off + q->len <= p->off)
			k++;
		else
			return true;
	}
	return false;
}

/* may the two happen in any order, or in one that is known? */
static bool conflict(const struct op *a, const struct op *b)
{
	bool in_flight = a->sync == NONBLOCKING || a->sync == ICOLLECTIVE;

	if (a->rank == b->rank && !in_flight)
		return false;
	if (!a->write && !b->write)
		return false;
	if ((a->saw_end && b->extends) || (b->saw_end && a->extends))
		return true;
	return meet(a, b);
}

static void find_ranges(struct op *o)
{
	const struct view *v = &o->h->view[o->rank];

	o->nr_ranges = 0;
	o->got = o->bytes;
	if (!o->write) {
		int64_t have = bytes_before(v, size) - o->pos;

		o->got = have < 0 ? 0 : have < o->bytes ? have : o->bytes;
	}
	if (o->got)
		walk(v, o->pos, o->got, add_range, o);
	o->extends = o->write && ranges_end(o) > size_at_start;
	o->saw_end = !o->write && o->bytes && bytes_before(v, size_at_start) - o->pos < o->bytes;
}

struct transfer {
	unsigned char *buf;
	int64_t at;
};

static void write_range(void *arg, int64_t off, int64_t len)
{
	struct transfer *t = arg;

	model_write(off, t->buf + t->at, len);
	t->at += len;
}

static void read_range(void *arg, int64_t off, int64_t len)
{
	struct transfer *t = arg;

	model_read(off, t->buf + t->at, len);
	t->at += len;
}

/* do it in the model; what our own will transfer is kept in expect */
static void apply(struct op *o)
{
	const struct view *v = &o->h->view[o->rank];
	struct transfer t = { xmalloc((size_t)o->got), 0 };

	if (o->write) {
		pattern(t.buf, o->serial, 0, o->got);
		walk(v, o->pos, o->got, write_range, &t);
	} else if (o->rank == me) {
		walk(v, o->pos, o->got, read_range, &t);
	}
	if (o->rank == me)
		o->expect = t.buf;
	else
		free(t.buf);
}

static int64_t random_bytes(int64_t unit)
{
	int64_t what = rng_below(&R, 100), n;

	if (what < 6)
		return 0;
	if (what < 55)
		n = rng_range(&R, 1, 400);
	else if (what < 75)
		n = 4096 * rng_range(&R, 1, 4) + rng_range(&R, -2, 2) * unit;
	else if (what < 94)
		n = rng_range(&R, 1, 60000);
	else
		n = rng_range(&R, 1, limit < 1500000 ? limit : 1500000);
	n -= n % unit;
	return n > 0 ? n : unit;
}

/* a place for an explicit offset or a seek: about a byte of the file, in etypes of the view */
static int64_t random_place(const struct handle *h, int rank)
{
	int64_t es = etype_size(h, rank), pos = bytes_before(&h->view[rank], random_offset()) / es;

	return pos + (rng_chance(&R, 20) ? rng_range(&R, 0, 3) : 0);
}

/* bytes from pos to about the end of some block */
static int64_t to_border(const struct view *v, int64_t pos, int64_t es)
{
	int64_t end = byte_of(v, pos) + rng_below(&R, 20000), bytes;

	end += 4096 - end % 4096 + rng_range(&R, -2, 2);
	bytes = bytes_before(v, end) - pos;
	bytes -= bytes % es;
	return bytes > 0 ? bytes : es;
}

static struct op *draw_op(struct handle *h, int rank, enum sync sync, enum pointer ptr, bool write)
{
	struct op *o = &ops[nr_ops];
	const struct view *v = &h->view[rank];
	int64_t es = ty_size(v->etype), room;

	if (nr_ops == OPS_MAX)
		return NULL;
	nr_ops++;
	memset(o, 0, sizeof(*o));
	o->h = h;
	o->rank = rank;
	o->sync = sync;
	o->ptr = ptr;
	o->write = write;
	o->serial = ++serial;
	o->memory_seed = rng_next(&R);
	o->offset = random_place(h, rank);
	o->bytes = random_bytes(es);
	o->pos = ptr == EXPLICIT ? o->offset * es : ptr == INDIVIDUAL ? h->pos[rank]
								      : h->shared[h->g->color[rank]] * es;
	if (o->bytes > 8 && rng_chance(&R, 35))
		o->bytes = to_border(v, o->pos, es);
	room = bytes_before(v, ceiling(byte_of(v, o->pos))) - o->pos;
	room -= room % es;
	if (o->bytes > room)
		o->bytes = room > 0 ? room : 0;
	find_ranges(o);
	for (int i = 0; i < nr_ops - 1; i++)
		if (conflict(o, &ops[i])) {
			o->bytes = 0;
			find_ranges(o);
			break;
		}
	if (ptr == INDIVIDUAL)
		h->pos[rank] += o->got;
	else if (ptr == SHARED)
		h->shared[h->g->color[rank]] += o->bytes / es;
	apply(o);
	total_ops++;
	return o;
}

/* ---- doing it ------------------------------------------------------------------------------------- */

/* the file's bytes, put where the memory type says */
static void scatter(const struct op *o, unsigned char *buf)
{
	size_t nr;
	const struct ty_piece *p = ty_pieces(o->type, &nr);
	int64_t done = 0;

	for (int64_t i = 0; i < o->count && done < o->got; i++)
		for (size_t k = 0; k < nr && done < o->got; k++) {
			int64_t n = p[k].len < o->got - done ? p[k].len : o->got - done;

			memcpy(buf + o->origin + i * ty_extent(o->type) + p[k].off, o->expect + done, (size_t)n);
			done += n;
		}
}

static void make_memory(struct op *o)
{
	struct rng r = { o->memory_seed };
	const struct ty_piece *p;
	int64_t lo = 0, hi = 0;
	const char *why;
	size_t nr;

	o->type = ty_random_memory(&r, o->bytes, &o->count);
	p = ty_pieces(o->type, &nr);
	for (size_t i = 0; i < nr; i++) {
		lo = p[i].off < lo ? p[i].off : lo;
		hi = p[i].off + p[i].len > hi ? p[i].off + p[i].len : hi;
	}
	if (o->count > 1)
		hi += (o->count - 1) * ty_extent(o->type);
	o->origin = GUARD - lo;
	o->all_len = hi - lo + 2 * GUARD;
	o->all = xmalloc((size_t)o->all_len);
	o->want = xmalloc((size_t)o->all_len);
	memset(o->all, 0x5e, (size_t)o->all_len);
	memset(o->want, 0x5e, (size_t)o->all_len);
	scatter(o, o->want);
	if (o->write)
		memcpy(o->all, o->want, (size_t)o->all_len);
	why = ty_make(o->type, &o->mpi_type);
	if (why)
		fail("memory type, MPI's and ours: %s", why);
}

#define ARGS o->all + o->origin, o->count, o->mpi_type

static void start_explicit(struct op *o, MPI_File f)
{
	switch (o->sync) {
	case BLOCKING:
		if (o->write)
			CALL(MPI_File_write_at(f, o->offset, ARGS, &o->status));
		else
			CALL(MPI_File_read_at(f, o->offset, ARGS, &o->status));
		break;
	case NONBLOCKING:
		if (o->write)
			CALL(MPI_File_iwrite_at(f, o->offset, ARGS, &o->request));
		else
			CALL(MPI_File_iread_at(f, o->offset, ARGS, &o->request));
		break;
	case COLLECTIVE:
		if (o->write)
			CALL(MPI_File_write_at_all(f, o->offset, ARGS, &o->status));
		else
			CALL(MPI_File_read_at_all(f, o->offset, ARGS, &o->status));
		break;
	case ICOLLECTIVE:
		if (o->write)
			CALL(MPI_File_iwrite_at_all(f, o->offset, ARGS, &o->request));
		else
			CALL(MPI_File_iread_at_all(f, o->offset, ARGS, &o->request));
		break;
	case SPLIT:
		if (o->write) {
			CALL(MPI_File_write_at_all_begin(f, o->offset, ARGS));
			CALL(MPI_File_write_at_all_end(f, o->all + o->origin, &o->status));
		} else {
			CALL(MPI_File_read_at_all_begin(f, o->offset, ARGS));
			CALL(MPI_File_read_at_all_end(f, o->all + o->origin, &o->status));
		}
		break;
	}
}

static void start_individual(struct op *o, MPI_File f)
{
	switch (o->sync) {
	case BLOCKING:
		if (o->write)
			CALL(MPI_File_write(f, ARGS, &o->status));
		else
			CALL(MPI_File_read(f, ARGS, &o->status));
		break;
	case NONBLOCKING:
		if (o->write)
			CALL(MPI_File_iwrite(f, ARGS, &o->request));
		else
			CALL(MPI_File_iread(f, ARGS, &o->request));
		break;
	case COLLECTIVE:
		if (o->write)
			CALL(MPI_File_write_all(f, ARGS, &o->status));
		else
			CALL(MPI_File_read_all(f, ARGS, &o->status));
		break;
	case ICOLLECTIVE:
		if (o->write)
			CALL(MPI_File_iwrite_all(f, ARGS, &o->request));
		else
			CALL(MPI_File_iread_all(f, ARGS, &o->request));
		break;
	case SPLIT:
		if (o->write) {
			CALL(MPI_File_write_all_begin(f, ARGS));
			CALL(MPI_File_write_all_end(f, o->all + o->origin, &o->status));
		} else {
			CALL(MPI_File_read_all_begin(f, ARGS));
			CALL(MPI_File_read_all_end(f, o->all + o->origin, &o->status));
		}
		break;
	}
}

static void start_shared(struct op *o, MPI_File f)
{
	switch (o->sync) {
	case BLOCKING:
		if (o->write)
			CALL(MPI_File_write_shared(f, ARGS, &o->status));
		else
			CALL(MPI_File_read_shared(f, ARGS, &o->status));
		break;
	case NONBLOCKING:
		if (o->write)
			CALL(MPI_File_iwrite_shared(f, ARGS, &o->request));
		else
			CALL(MPI_File_iread_shared(f, ARGS, &o->request));
		break;
	case COLLECTIVE:
	case ICOLLECTIVE:
		if (o->write)
			CALL(MPI_File_write_ordered(f, ARGS, &o->status));
		else
			CALL(MPI_File_read_ordered(f, ARGS, &o->status));
		break;
	case SPLIT:
		if (o->write) {
			CALL(MPI_File_write_ordered_begin(f, ARGS));
			CALL(MPI_File_write_ordered_end(f, o->all + o->origin, &o->status));
		} else {
			CALL(MPI_File_read_ordered_begin(f, ARGS));
			CALL(MPI_File_read_ordered_end(f, o->all + o->origin, &o->status));
		}
		break;
	}
}

static void check_status(const struct op *o)
{
	int64_t whole = o->got % ty_size(o->type) ? MPI_UNDEFINED : o->got / ty_size(o->type);
	int64_t want = ty_elements(o->type, o->got);
	MPI_Count elements;
	int n;

	MPI_Get_elements_x(&o->status, MPI_BYTE, &elements);
	if (elements != o->got)
		fail("the status says %lld bytes, should be %lld", (long long)elements, (long long)o->got);
	MPI_Get_count(&o->status, o->mpi_type, &n);
	if (n != whole)
		fail("MPI_Get_count is %d, should be %lld", n, (long long)whole);
#ifdef MPICH_VERSION /* 4.0 leaves out a part of an element, and ends the program over some types */
	return;
#endif
	MPI_Get_elements_x(&o->status, o->mpi_type, &elements);
	if (want < 0)
		want = MPI_UNDEFINED;
	if (elements != want)
		fail("MPI_Get_elements_x is %lld, should be %lld", (long long)elements, (long long)want);
}

/* the file's byte that went to byte `at` of the buffer, or -1 */
static int64_t file_byte(const struct op *o, int64_t at)
{
	size_t nr;
	const struct ty_piece *p = ty_pieces(o->type, &nr);
	int64_t done = 0;

	for (int64_t i = 0; i < o->count; i++)
		for (size_t k = 0; k < nr; k++) {
			int64_t from = o->origin + i * ty_extent(o->type) + p[k].off;

			if (at >= from && at < from + p[k].len)
				return byte_of(&o->h->view[o->rank], o->pos + done + at - from);
			done += p[k].len;
		}
	return -1;
}

static void finish(struct op *o)
{
	doing_op = o;
	check_status(o);
	for (int64_t i = 0; i < o->all_len && memcmp(o->all, o->want, (size_t)o->all_len) != 0; i++)
		if (o->all[i] != o->want[i])
			fail("byte %lld of the buffer (byte %lld of the file) is %#x, should be %#x",
			     (long long)(i - o->origin), (long long)file_byte(o, i), o->all[i], o->want[i]);
	ty_unmake(o->type, &o->mpi_type);
	ty_free(o->type);
	o->type = NULL;
	free(o->all);
	free(o->want);
	free(o->expect);
}

static void start(struct op *o)
{
	doing_op = o;
	make_memory(o);
	o->request = MPI_REQUEST_NULL;
	memset(&o->status, 0xa5, sizeof(o->status));
	if (o->ptr == EXPLICIT)
		start_explicit(o, o->h->fh);
	else if (o->ptr == INDIVIDUAL)
		start_individual(o, o->h->fh);
	else
		start_shared(o, o->h->fh);
}

static void wait_all(void)
{
	for (int i = 0; i < nr_ops; i++) {
		struct op *o = &ops[i];

		if (o->rank != me || (o->sync != NONBLOCKING && o->sync != ICOLLECTIVE))
			continue;
		doing_op = o;
		CALL(MPI_Wait(&o->request, &o->status));
	}
}

/* own accesses in their order; those that use a shared pointer alone take turns */
static void run_ops(bool turns)
{
	for (int i = 0; i < nr_ops; i++) {
		if (tracing && me == 0) {
			describe(&ops[i]);
			trace();
		}
		if (ops[i].rank == me) {
			start(&ops[i]);
			if (ops[i].sync != NONBLOCKING && ops[i].sync != ICOLLECTIVE)
				finish(&ops[i]);
		}
		if (turns)
			barrier();
	}
	wait_all();
	for (int i = 0; i < nr_ops; i++) {
		if (ops[i].rank == me && (ops[i].sync == NONBLOCKING || ops[i].sync == ICOLLECTIVE))
			finish(&ops[i]);
		free(ops[i].ranges);
	}
	nr_ops = 0;
	doing_op = NULL;
}

/* ---- steps ------------------------------------------------------------------------------------------ */

static bool may(const struct handle *h, bool write)
{
	return !(h->amode & (write ? MPI_MODE_RDONLY : MPI_MODE_WRONLY));
}

static bool draw_write(const struct handle *h)
{
	return may(h, true) && (!may(h, false) || rng_chance(&R, 50));
}

/* a pointer between two etypes, after a short read: nothing can be said of it */
static bool pointer_lost(const struct handle *h, int rank)
{
	return h->pos[rank] % etype_size(h, rank) != 0;
}

static bool any_lost(const struct handle *h)
{
	for (int r = 0; r < np; r++)
		if (member(h, r) && pointer_lost(h, r))
			return true;
	return false;
}

static enum pointer draw_pointer(const struct handle *h)
{
	int64_t what = rng_below(&R, 100);
	bool shared = true;

	for (int c = 0; c < h->g->nr; c++)
		shared &= h->one_view[c];
	if (h->amode & MPI_MODE_SEQUENTIAL)
		return SHARED;
	if (what < 25 && shared)
		return SHARED;
	return what < 60 && !any_lost(h) ? INDIVIDUAL : EXPLICIT;
}

static void data_step(struct handle *h)
{
	enum sync sync = (enum sync)rng_below(&R, 5);
	enum pointer ptr = draw_pointer(h);
	bool turns = false, write = draw_write(h);
	int rounds = (int)rng_range(&R, 1, 3);

	size_at_start = size;
	if (ptr == SHARED && sync == ICOLLECTIVE)
		sync = COLLECTIVE;
	turns = ptr == SHARED && (sync == BLOCKING || sync == NONBLOCKING);
	for (int k = 0; k < rounds; k++) {
		for (int i = 0; i < np; i++) {
			int r = h->g->order[i];

			if (!member(h, r))
				continue;
			if (sync == BLOCKING || sync == NONBLOCKING) {
				if (rng_chance(&R, 20))
					continue;
				write = draw_write(h);
			}
			if (ptr == INDIVIDUAL && pointer_lost(h, r) && sync != COLLECTIVE &&
			    sync != ICOLLECTIVE && sync != SPLIT)
				continue;
			draw_op(h, r, sync, ptr, write);
		}
		if (ptr == INDIVIDUAL && any_lost(h))
			break;
		if (rng_chance(&R, 50))
			write = draw_write(h);
	}
	run_ops(turns);
}

static bool has_shared_family(const struct handle *h)
{
	return rng_chance(&R, h->g->nr < np ? 35 : 55);
}

/* views of one kind that interleave, the same for all, or any */
static void draw_views(struct handle *h)
{
	bool sequential = h->amode & MPI_MODE_SEQUENTIAL;
	bool family = has_shared_family(h) && !sequential;
	bool same = rng_chance(&R, 40) || sequential, bytes = rng_chance(&R, 25);
	struct view views[RANKS_MAX];
	struct rng etype = { rng_next(&R) }, all = { rng_next(&R) };
	int64_t disp = rng_chance(&R, 35) ? (far && rng_chance(&R, 50) ? far : 0) : random_offset();

	if (rng_chance(&R, 15)) { /* behind what was just written, as after a header */
		int r = h->g->order[0];

		if (member(h, r) && byte_of(&h->view[r], h->pos[r]) < limit)
			disp = byte_of(&h->view[r], h->pos[r]);
	}
	for (int r = 0; r < np; r++) {
		struct rng e = etype, f = all, own = { rng_next(&R) };
		struct ty *et = bytes ? ty_byte() : ty_random_etype(&e), *ft;
		int64_t shift = 0, where = random_offset();

		if (!member(h, r)) {
			ty_free(et);
			continue;
		}
		h->one_view[h->g->color[r]] = (same && !family) || h->g->nr == np;
		if (family)
			ft = ty_shared_file(&f, et, r, np, &shift);
		else
			ft = ty_random_file(same ? &f : &own, et);
		if (h->amode & MPI_MODE_SEQUENTIAL) /* MPI_DISPLACEMENT_CURRENT */
			where = byte_of(&h->view[r], h->shared[h->g->color[r]] * etype_size(h, r));
		else if (family || same)
			where = disp + shift;
		views[r] = (struct view){ where, et, ft };
	}
	for (int r = 0; r < np; r++)
		if (member(h, r))
			set_model_view(h, r, views[r].disp, views[r].etype, views[r].filetype);
}

static void view_step(struct handle *h)
{
	const struct view *v = &h->view[me];
	MPI_Datatype etype, filetype;
	MPI_Offset disp;
	const char *why;
	int n;

	draw_views(h);
	n = snprintf(doing, sizeof(doing), "set_view on handle %d (%s)", (int)(h - handles), h->g->name);
	if (!in_it(h))
		return;
	n += snprintf(doing + n, sizeof(doing) - (size_t)n, " %lld, %.300s, ", (long long)v->disp,
		      ty_text(v->etype));
	snprintf(doing + n, sizeof(doing) - (size_t)n, "%.3000s", ty_text(v->filetype));
	trace();
	why = ty_make(v->etype, &etype);
	if (why)
		fail("etype, MPI's and ours: %s", why);
	why = ty_make(v->filetype, &filetype);
	if (why)
		fail("filetype, MPI's and ours: %s", why);
	disp = h->amode & MPI_MODE_SEQUENTIAL ? MPI_DISPLACEMENT_CURRENT : v->disp;
	CALL(MPI_File_set_view(h->fh, disp, etype, filetype, "native", MPI_INFO_NULL));
	ty_unmake(v->filetype, &filetype);
	ty_unmake(v->etype, &etype);
}

/* where MPI_SEEK_END is: the first etype that is not in the file whole */
static int64_t end_of(const struct handle *h, int rank)
{
	int64_t es = etype_size(h, rank);

	return (bytes_before(&h->view[rank], size) + es - 1) / es;
}

static void seek_step(struct handle *h)
{
	for (int r = 0; r < np; r++) {
		int64_t to, how = rng_below(&R, 3), es;

		if (!member(h, r) || rng_chance(&R, 20))
			continue;
		es = etype_size(h, r);
		to = random_place(h, r);
		snprintf(doing, sizeof(doing),
			 "seek %lld on handle %d (%s) of rank %d to %lld of view %lld, %.3000s; file size %lld",
			 (long long)how, (int)(h - handles), h->g->name, r, (long long)to,
			 (long long)h->view[r].disp, ty_text(h->view[r].filetype), (long long)size);
		trace();
		if (r == me && (how == 0 || pointer_lost(h, r)))
			CALL(MPI_File_seek(h->fh, to, MPI_SEEK_SET));
		else if (r == me && how == 1)
			CALL(MPI_File_seek(h->fh, to - h->pos[r] / es, MPI_SEEK_CUR));
		else if (r == me)
			CALL(MPI_File_seek(h->fh, to - end_of(h, r), MPI_SEEK_END));
		h->pos[r] = to * es;
	}
}

static void seek_shared_step(struct handle *h)
{
	for (int c = 0; c < h->g->nr; c++) {
		int first = -1;
		int64_t to;

		for (int r = 0; r < np && first < 0; r++)
			if (h->g->color[r] == c)
				first = r;
		if (first < 0 || !h->one_view[c])
			continue;
		to = random_place(h, first);
		snprintf(doing, sizeof(doing), "seek_shared to %lld on handle %d (%s)", (long long)to,
			 (int)(h - handles), h->g->name);
		trace();
		if (h->g->color[me] == c)
			CALL(MPI_File_seek_shared(h->fh, to, MPI_SEEK_SET));
		h->shared[c] = to;
	}
}

static void check_type(MPI_Datatype type, const struct ty *t, const char *what)
{
	MPI_Count bytes, lb, extent;
	int ni, na, nd, combiner;

	MPI_Type_size_x(type, &bytes);
	MPI_Type_get_extent_x(type, &lb, &extent);
	if (bytes != ty_size(t) || extent != ty_extent(t))
		fail("the %s has %lld bytes, extent %lld, should have %lld and %lld", what, (long long)bytes,
		     (long long)extent, (long long)ty_size(t), (long long)ty_extent(t));
	MPI_Type_get_envelope(type, &ni, &na, &nd, &combiner);
	if (combiner != MPI_COMBINER_NAMED)
		MPI_Type_free(&type);
}

static void check_view(const struct handle *h)
{
	const struct view *v = &h->view[me];
	MPI_Datatype etype, filetype;
	char rep[MPI_MAX_DATAREP_STRING];
	MPI_Offset disp;

	CALL(MPI_File_get_view(h->fh, &disp, &etype, &filetype, rep));
	if (disp != v->disp || strcmp(rep, "native") != 0)
		fail("the view says %lld, %s", (long long)disp, rep);
	check_type(etype, v->etype, "view's etype");
	check_type(filetype, v->filetype, "view's filetype");
}

/* what can be asked of a handle */
static void query_step(const struct handle *h)
{
	int64_t at = 0, place[RANKS_MAX];
	MPI_Offset got;

	for (int r = 0; r < np; r++)
		place[r] = member(h, r) ? random_place(h, r) : 0;
	if (!in_it(h))
		return;
	snprintf(doing, sizeof(doing), "queries on handle %d (%s), view %lld, %.3000s", (int)(h - handles),
		 h->g->name, (long long)h->view[me].disp, ty_text(h->view[me].filetype));
	trace();
	CALL(MPI_File_get_size(h->fh, &got));
	if (got != size)
		fail("size is %lld, should be %lld", (long long)got, (long long)size);
	check_view(h);
	if (!(h->amode & MPI_MODE_SEQUENTIAL)) {
		if (!pointer_lost(h, me)) {
			CALL(MPI_File_get_position(h->fh, &got));
			if (got != h->pos[me] / etype_size(h, me))
				fail("position is %lld, should be %lld", (long long)got,
				     (long long)(h->pos[me] / etype_size(h, me)));
		}
		at = byte_of(&h->view[me], place[me] * etype_size(h, me));
		CALL(MPI_File_get_byte_offset(h->fh, place[me], &got));
		if (got != at)
			fail("byte offset of %lld is %lld, should be %lld", (long long)place[me], (long long)got,
			     (long long)at);
	}
	if (!(h->amode & MPI_MODE_SEQUENTIAL) && h->one_view[h->g->color[me]]) {
		CALL(MPI_File_get_position_shared(h->fh, &got));
		if (got != h->shared[h->g->color[me]])
			fail("shared position is %lld, should be %lld", (long long)got,
			     (long long)h->shared[h->g->color[me]]);
	}
}

/* one colour changes the size */
static void size_step(struct handle *h)
{
	int c = (int)rng_below(&R, h->g->nr);
	bool grow = !far && rng_chance(&R, 30);
	int64_t to = random_offset();

	if (!may(h, true) || (h->amode & MPI_MODE_SEQUENTIAL))
		return;
	snprintf(doing, sizeof(doing), "%s to %lld on handle %d (%s, colour %d), from %lld",
		 grow ? "preallocate" : "set_size", (long long)to, (int)(h - handles), h->g->name, c,
		 (long long)size);
	trace();
	if (grow && to > size)
		size = to;
	else if (!grow)
		model_resize(to);
	if (h->g->color[me] != c)
		return;
	if (grow)
		CALL(MPI_File_preallocate(h->fh, to));
	else
		CALL(MPI_File_set_size(h->fh, to));
}

static void misc_step(struct handle *h)
{
	bool sync = rng_chance(&R, 60), atomic = rng_chance(&R, 50);

	snprintf(doing, sizeof(doing), "%s on handle %d (%s)", sync ? "sync" : atomic ? "atomic on" : "atomic off",
		 (int)(h - handles), h->g->name);
	trace();
	if (!in_it(h))
		return;
	if (sync)
		CALL(MPI_File_sync(h->fh));
	else
		CALL(MPI_File_set_atomicity(h->fh, atomic));
}

/* ---- opening and closing --------------------------------------------------------------------------------- */

static char url[4096];

static int nr_open(void)
{
	int n = 0;

	for (int i = 0; i < HANDLES_MAX; i++)
		n += handles[i].open;
	return n;
}

static int draw_amode(bool first)
{
	static const int modes[] = { MPI_MODE_RDWR, MPI_MODE_RDWR, MPI_MODE_RDWR, MPI_MODE_RDWR,
				     MPI_MODE_WRONLY, MPI_MODE_RDONLY };
	int amode = modes[rng_below(&R, exists_now ? 6 : 5)];

	if (amode != MPI_MODE_RDONLY && (!exists_now || rng_chance(&R, 50)))
		amode |= MPI_MODE_CREATE;
	if (!exists_now && first && rng_chance(&R, 30))
		amode |= MPI_MODE_EXCL;
	if (rng_chance(&R, 15))
		amode |= MPI_MODE_APPEND;
	if (!(amode & MPI_MODE_RDWR) && rng_chance(&R, 20))
		amode |= MPI_MODE_SEQUENTIAL;
	return amode;
}

/* returns whether a view should be set at once */
static bool open_step(struct handle *h)
{
	bool first = nr_open() == 0, drop = rng_chance(&R, 20), with_view = rng_chance(&R, 60);
	MPI_Info info = MPI_INFO_NULL;

	h->g = &groups[rng_chance(&R, 50) ? 0 : rng_below(&R, nr_groups)];
	h->amode = draw_amode(first && h->g->nr == 1);
	/* several colours come at different times: the first may create it, so none may insist */
	if (h->g->nr > 1 && (h->amode & MPI_MODE_EXCL))
		h->amode &= ~MPI_MODE_EXCL;
	h->open = true;
	snprintf(doing, sizeof(doing), "open %s, mode %#x, by %s as handle %d", url, (unsigned)h->amode,
		 h->g->name, (int)(h - handles));
	trace();
	for (int r = 0; r < np; r++) {
		if (!member(h, r))
			continue;
		set_model_view(h, r, 0, ty_byte(), ty_byte());
		h->one_view[h->g->color[r]] = true;
		if (h->amode & MPI_MODE_APPEND)
			h->pos[r] = h->shared[h->g->color[r]] = size;
	}
	exists_now = true;
	if (!in_it(h))
		return with_view;
	if (drop) {
		MPI_Info_create(&info);
		MPI_Info_set(info, "pmem_cache", "drop");
	}
	CALL(MPI_File_open(h->g->comm, url, h->amode, info, &h->fh));
	MPI_File_set_errhandler(h->fh, MPI_ERRORS_RETURN);
	if (drop)
		MPI_Info_free(&info);
	return with_view;
}

static void compare_bytes(int64_t off, const unsigned char *got, int64_t len)
{
	static unsigned char want[1 << 16];

	while (len) {
		int64_t n = len < (int64_t)sizeof(want) ? len : (int64_t)sizeof(want);

		model_read(off, want, n);
		for (int64_t i = 0; i < n && memcmp(got, want, (size_t)n) != 0; i++)
			if (got[i] != want[i])
				fail("byte %lld of the file on the PFS is %#x, should be %#x",
				     (long long)(off + i), got[i], want[i]);
		off += n;
		got += n;
		len -= n;
	}
}

static void compare_part(int fd, int64_t off, int64_t len)
{
	static unsigned char buf[1 << 16];

	while (len > 0) {
		ssize_t n = pread(fd, buf, len < (int64_t)sizeof(buf) ? (size_t)len : sizeof(buf), off);

		if (n <= 0)
			fail("read at %lld: %s", (long long)off, n ? strerror(errno) : "the file ends");
		compare_bytes(off, buf, n);
		off += n;
		len -= n;
	}
}

/* rank 0: the file as all the world sees it */
static void compare_file(void)
{
	int fd = open(path(url), O_RDONLY);
	struct stat st;

	snprintf(doing, sizeof(doing), "comparing the file on the PFS");
	if (fd < 0 || fstat(fd, &st) < 0)
		fail("%s: %s", path(url), strerror(errno));
	if (st.st_size != size)
		fail("the file on the PFS has %lld bytes, should have %lld", (long long)st.st_size,
		     (long long)size);
	for (int64_t off = 0, end; off < size; off = end) {
		off = lseek(fd, off, SEEK_DATA);
		if (off < 0)
			break;
		end = lseek(fd, off, SEEK_HOLE);
		compare_part(fd, off, end - off);
	}
	for (size_t i = 0; i < room_pages; i++) {
		int64_t off = pages[i] ? pages[i]->index * PAGE : 0;

		if (pages[i] && off < size)
			compare_part(fd, off, size - off < PAGE ? size - off : PAGE);
	}
	close(fd);
}

static void close_step(struct handle *h)
{
	snprintf(doing, sizeof(doing), "close handle %d (%s)", (int)(h - handles), h->g->name);
	trace();
	for (int r = 0; r < np; r++) {
		ty_free(h->view[r].etype);
		ty_free(h->view[r].filetype);
		h->view[r] = (struct view){ 0, NULL, NULL };
	}
	if (in_it(h))
		CALL(MPI_File_close(&h->fh));
	h->open = false;
	barrier();
	if (nr_open() == 0 && me == 0)
		compare_file();
}

/* ---- others, while nobody has it open ------------------------------------------------------------------------ */

static void write_outside(int fd, int64_t off, int64_t len)
{
	unsigned char *buf = xmalloc((size_t)len);

	pattern(buf, ++serial, 0, len);
	model_write(off, buf, len);
	if (me == 0 && pwrite(fd, buf, (size_t)len, off) != len)
		fail("pwrite: %s", strerror(errno));
	free(buf);
}

static void outside_step(bool whole)
{
	int nr = (int)rng_range(&R, 1, 3), fd = -1;
	bool cut = rng_chance(&R, 30);
	struct timespec tick = { 0, 10000000 };

	snprintf(doing, sizeof(doing), "the file is changed by open(2) and pwrite(2)");
	trace();
	if (me == 0) {
		nanosleep(&tick, NULL); /* or its times would be the same as after the drain */
		fd = open(path(url), O_RDWR | O_CREAT, 0666);
		if (fd < 0)
			fail("%s: %s", path(url), strerror(errno));
	}
	exists_now = true;
	for (int i = 0; i < nr; i++) {
		int64_t off = random_offset();

		write_outside(fd, off, rng_chance(&R, 30) ? rng_range(&R, 1, limit < 300000 ? limit : 300000)
							   : rng_range(&R, 1, 5000));
	}
	if (whole) /* no zeros: what should be there and is not shows */
		write_outside(fd, 0, limit < 3000000 ? limit : 3000000);
	if (cut) {
		int64_t to = random_offset();

		model_resize(to);
		if (me == 0 && ftruncate(fd, to) < 0)
			fail("ftruncate: %s", strerror(errno));
	}
	if (me == 0)
		close(fd);
}

static void delete_step(void)
{
	bool by_mpi = rng_chance(&R, 60);

	if (!exists_now)
		return;
	snprintf(doing, sizeof(doing), "delete by %s", by_mpi ? "MPI" : "unlink(2)");
	trace();
	model_clear();
	exists_now = false;
	if (me == 0 && by_mpi)
		CALL(MPI_File_delete(url, MPI_INFO_NULL));
	else if (me == 0 && unlink(path(url)) < 0)
		fail("unlink: %s", strerror(errno));
	if (me == 0 && access(path(url), F_OK) == 0)
		fail("the file is still there");
}

/* ---- programs -------------------------------------------------------------------------------------------------- */

static struct handle *any_open(void)
{
	int n = (int)rng_below(&R, nr_open());

	for (int i = 0;; i++)
		if (handles[i].open && n-- == 0)
			return &handles[i];
}

static void one_step(void)
{
	int64_t what = rng_below(&R, 100);
	struct handle *h;

	if (nr_open() == 0) {
		if (what < 12)
			delete_step();
		else if (what < 30)
			outside_step(rng_chance(&R, 40));
		else if (open_step(&handles[0]))
			view_step(&handles[0]);
		return;
	}
	if (what < 5 && nr_open() < HANDLES_MAX) {
		for (h = handles; h->open;)
			h++;
		if (open_step(h))
			view_step(h);
		return;
	}
	h = any_open();
	if (what < 9)
		close_step(h);
	else if (what < 25)
		view_step(h);
	else if (what < 31 && !(h->amode & MPI_MODE_SEQUENTIAL))
		seek_step(h);
	else if (what < 33 && !(h->amode & MPI_MODE_SEQUENTIAL))
		seek_shared_step(h);
	else if (what < 38)
		size_step(h);
	else if (what < 40)
		misc_step(h);
	else if (what < 47)
		query_step(h);
	else
		data_step(h);
}

static void draw_sizes(void)
{
	static const int64_t limits[] = { 9000, 70000, 300000, 1100000, 2200000, 3300000, 12 << 20 };
	static const int64_t fars[] = { (1ll << 31) - 70000, (1ll << 31) - (1 << 20), (1ll << 32) - 5000,
					(1ll << 32) - (2 << 20), (3ll << 32) + 17 };

	limit = limits[rng_below(&R, 7)];
	far = rng_chance(&R, 12) ? fars[rng_below(&R, 5)] : 0;
}

static void program(void)
{
	R.s = mix64(seed + 1);
	serial = 0;
	step = 0;
	draw_sizes();
	snprintf(url, sizeof(url), "%s.%d", base, (int)rng_below(&R, 3));
	alarm(LIMIT_S);
	if (rng_chance(&R, 50))
		outside_step(rng_chance(&R, 70));
	barrier();
	for (step = 1; step <= nr_steps; step++) {
		one_step();
		barrier();
	}
	for (int i = 0; i < HANDLES_MAX; i++)
		if (handles[i].open) {
			close_step(&handles[i]);
			barrier();
		}
	delete_step();
	model_clear();
	alarm(0);
	total_steps += (uint64_t)nr_steps;
	barrier();
}

static void add_group(const char *name, int nr, const int *color, const int *key)
{
	struct group *g = &groups[nr_groups++];
	int n = 0;

	g->name = name;
	g->nr = nr;
	memcpy(g->color, color, sizeof(g->color));
	MPI_Comm_split(MPI_COMM_WORLD, color[me] < 0 ? MPI_UNDEFINED : color[me], key[me], &g->comm);
	for (int k = 0; k < np; k++) /* keys are 0 .. np - 1 */
		for (int r = 0; r < np; r++)
			if (key[r] == k)
				g->order[n++] = r;
}

static void make_groups(void)
{
	int zero[RANKS_MAX] = { 0 }, self[RANKS_MAX], parity[RANKS_MAX], last[RANKS_MAX];
	int up[RANKS_MAX], down[RANKS_MAX];

	for (int r = 0; r < RANKS_MAX; r++) {
		self[r] = up[r] = r;
		parity[r] = r % 2;
		last[r] = r == np - 1 ? 0 : -1;
		down[r] = np - 1 - r;
	}
	add_group("all", 1, zero, up);
	add_group("all backwards", 1, zero, down);
	add_group("each alone", np, self, up);
	add_group("even and odd", np > 1 ? 2 : 1, parity, up);
	add_group("the last rank", 1, last, up);
}

static uint64_t number(const char *arg)
{
	check(arg, "a number is missing");
	return strtoull(arg, NULL, 0);
}

int main(int argc, char **argv)
{
	static const int signals[] = { SIGALRM, SIGSEGV, SIGBUS, SIGFPE, SIGABRT };
	uint64_t first = 1, count = 1, seconds = 0, n = 0;
	double begin;
	int more = 1;

	test_init(&argc, &argv);
	for (int i = 2; i < argc; i++) {
		if (!strcmp(argv[i], "--seed"))
			first = number(argv[++i]);
		else if (!strcmp(argv[i], "--count"))
			count = number(argv[++i]);
		else if (!strcmp(argv[i], "--seconds"))
			seconds = number(argv[++i]);
		else if (!strcmp(argv[i], "--steps"))
			nr_steps = (int)number(argv[++i]);
		else if (!strcmp(argv[i], "--trace"))
			tracing = true;
		else
			die(__FILE__, __LINE__, "what is %s?", argv[i]);
	}
	check(np <= RANKS_MAX, "at most %d ranks", RANKS_MAX);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], caught);
	make_groups();
	begin = MPI_Wtime();
	for (seed = first; more; seed++) {
		program();
		n++;
		more = seconds ? MPI_Wtime() - begin < (double)seconds : n < count;
		MPI_Bcast(&more, 1, MPI_INT, 0, MPI_COMM_WORLD);
	}
	if (me == 0)
		printf("%llu programs, seeds %llu to %llu, %llu steps, %llu accesses, %.1f s: no difference\n",
		       (unsigned long long)n, (unsigned long long)first, (unsigned long long)(seed - 1),
		       (unsigned long long)total_steps, (unsigned long long)total_ops, MPI_Wtime() - begin);
	for (int i = 0; i < nr_groups; i++)
		if (groups[i].comm != MPI_COMM_NULL)
			MPI_Comm_free(&groups[i].comm);
	return test_end();
}
