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
#include "fuzz.h"

#include <signal.h>
#include <time.h>

#define LIMIT_S 100	 /* for one program */

struct rng R; /* of the program: every rank draws the same from it */
static uint64_t seed;
static int step, nr_steps = 20;
bool tracing;
uint64_t serial;	 /* of writes: what they write */
static uint64_t total_steps;
uint64_t total_ops;
char doing[6000]; /* the operation at hand */
const struct op *doing_op;
int my_rank;

static struct group groups[8];
static int nr_groups;

_Noreturn void fail(const char *fmt, ...)
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

void must(int rc, const char *call)
{
	char msg[MPI_MAX_ERROR_STRING];
	int len;

	if (rc == MPI_SUCCESS)
		return;
	MPI_Error_string(rc, msg, &len);
	fail("%s: %s", call, msg);
}

void trace(void)
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
		compare_file(path(url));
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
	my_rank = me;
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
