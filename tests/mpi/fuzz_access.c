/* accesses: what they do in the model, and in the file; see fuzz.h */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct handle handles[HANDLES_MAX];
int64_t limit; /* files go this far beyond 0 and beyond `far` */
int64_t far; /* 0, or where the second part of the file begins */

bool member(const struct handle *h, int rank)
{
	return h->g->color[rank] >= 0;
}

bool in_it(const struct handle *h)
{
	return member(h, my_rank);
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
int64_t bytes_before(const struct view *v, int64_t off)
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

int64_t byte_of(const struct view *v, int64_t pos)
{
	int64_t off = -1;

	walk(v, pos, 1, first_byte, &off);
	return off;
}

int64_t etype_size(const struct handle *h, int rank)
{
	return ty_size(h->view[rank].etype);
}

void set_model_view(struct handle *h, int rank, int64_t disp, struct ty *etype, struct ty *filetype)
{
	ty_free(h->view[rank].etype);
	ty_free(h->view[rank].filetype);
	h->view[rank] = (struct view){ disp, etype, filetype };
	h->pos[rank] = 0;
	h->shared[h->g->color[rank]] = 0;
}

/* a byte of the file, with borders made likely */
int64_t random_offset(void)
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

static const char *const sync_names[] = { "", "i", "_all", "i_all", "_all begin/end" };
static const char *const pointer_names[] = { "_at", "", "_shared/ordered" };

static struct op ops[OPS_MAX];
static int nr_ops;
int64_t size_at_start; /* of the step */

void describe(const struct op *o)
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

static void *xmalloc(size_t len)
{
	void *p = malloc(len ? len : 1);

	if (!p)
		fail("no memory (%zu bytes)", len);
	return p;
}

static void add_range(void *arg, int64_t off, int64_t len)
{
	struct op *o = arg;

	if (o->nr_ranges == o->room) {
		o->room = o->room * 2 + 16;
		o->ranges = realloc(o->ranges, o->room * sizeof(*o->ranges));
		if (!o->ranges)
			fail("no memory");
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
	} else if (o->rank == my_rank) {
		walk(v, o->pos, o->got, read_range, &t);
	}
	if (o->rank == my_rank)
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
int64_t random_place(const struct handle *h, int rank)
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

struct op *draw_op(struct handle *h, int rank, enum sync sync, enum pointer ptr, bool write)
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

		if (o->rank != my_rank || (o->sync != NONBLOCKING && o->sync != ICOLLECTIVE))
			continue;
		doing_op = o;
		CALL(MPI_Wait(&o->request, &o->status));
	}
}

/* own accesses in their order; those that use a shared pointer alone take turns */
void run_ops(bool turns)
{
	for (int i = 0; i < nr_ops; i++) {
		if (tracing && my_rank == 0) {
			describe(&ops[i]);
			trace();
		}
		if (ops[i].rank == my_rank) {
			start(&ops[i]);
			if (ops[i].sync != NONBLOCKING && ops[i].sync != ICOLLECTIVE)
				finish(&ops[i]);
		}
		if (turns)
			MPI_Barrier(MPI_COMM_WORLD);
	}
	wait_all();
	for (int i = 0; i < nr_ops; i++) {
		if (ops[i].rank == my_rank && (ops[i].sync == NONBLOCKING || ops[i].sync == ICOLLECTIVE))
			finish(&ops[i]);
		free(ops[i].ranges);
	}
	nr_ops = 0;
	doing_op = NULL;
}
