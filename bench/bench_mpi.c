/*
 * bench_mpi.c -- how fast MPI-IO is on a file, whatever component serves it
 *
 *	mpirun -n 2 bench_mpi FILE [MIB]
 *	mpirun -n 2 bench_mpi --mmap FILE [MIB]
 *	mpirun -n 2 bench_mpi --durable FILE [MIB]
 *	mpirun -n 1 bench_mpi --files FILE NAME
 *	mpirun -n 1 bench_mpi --threads FILE
 *
 * MIB is what each rank writes (default 64).  Each result is one line, "name
 * value unit", printed by rank 0; rates are of all ranks together.  Buffers come
 * from malloc(), as those of programs do.  bench/run calls it for each component
 * in turn and prints ratios.
 *
 * With --mmap no MPI-IO is called: the same pieces are copied by memcpy() to and from
 * a mapping of the file that all ranks share, its pages there already.  No
 * component can be much faster than that on the same machine.  --durable: the same by the functions of libpmem2
 * that make bytes durable, with one drain a request of 4 MiB (or of one small piece): the limit of a component
 * of which each write is durable when it returns.  In both, "write" is what comes first to pages that
 * were touched before, and "rewrite" the same once more.
 *
 * With --files each rank creates small files one after the other, FILE with a number behind it; NAME
 * is that of the result.
 *
 * BENCH_ONLY in the environment, words with commas between: of the first form only these sections, see there.  "overlap" is
 * run only if it is among them.
 *
 * With --threads one thread writes 4 KiB at a time, then two threads do, each in a file of its own: rates
 * of all threads together.
 */
#include <mpi.h>
#include <fcntl.h>
#include <libpmem2.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB (1024.0 * 1024.0)

static int rank, nr;
static const char *name;
static char *buf;
static size_t buf_size;

static void check(int rc, const char *what)
{
	char text[MPI_MAX_ERROR_STRING];
	int len;

	if (rc == MPI_SUCCESS)
		return;
	MPI_Error_string(rc, text, &len);
	fprintf(stderr, "bench_mpi: rank %d: %s: %s\n", rank, what, text);
	MPI_Abort(MPI_COMM_WORLD, 1);
}

static MPI_File open_file(int amode)
{
	MPI_File f;

	check(MPI_File_open(MPI_COMM_WORLD, name, amode, MPI_INFO_NULL, &f), "open");
	return f;
}

/* each page of the buffer once: in a virtual machine with shadow page tables an entry that was unused for a while may be gone */
static void touch_buffer(void)
{
	volatile char *p = buf;

	for (size_t at = 0; at < buf_size; at += 4096)
		p[at] = p[at];
}

static double start(void)
{
	touch_buffer();
	MPI_Barrier(MPI_COMM_WORLD);
	return MPI_Wtime();
}

static double stop(double t0)
{
	double t = MPI_Wtime() - t0, max;

	MPI_Allreduce(&t, &max, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
	return max;
}

static void report(const char *what, double value, const char *unit)
{
	if (rank == 0)
		printf("%s %.3f %s\n", what, value, unit);
}

/* pieces of 1 MiB, interleaved over the ranks, each followed by a sync */
static void independent(int mib)
{
	MPI_File f = open_file(MPI_MODE_CREATE | MPI_MODE_RDWR);
	size_t piece = 1 << 20;
	MPI_Status st;
	double t0;

	t0 = start();
	for (int i = 0; i < mib; i++) {
		MPI_Offset off = ((MPI_Offset)i * nr + rank) * (MPI_Offset)piece;

		check(MPI_File_write_at(f, off, buf + (size_t)i * piece, (int)piece, MPI_BYTE, &st), "write_at");
		check(MPI_File_sync(f), "sync");
	}
	report("write_sync_1MiB", mib * nr / stop(t0), "MiB/s");

	t0 = start();
	for (int i = 0; i < mib; i++) {
		MPI_Offset off = ((MPI_Offset)i * nr + (rank + 1) % nr) * (MPI_Offset)piece;

		check(MPI_File_read_at(f, off, buf + (size_t)i * piece, (int)piece, MPI_BYTE, &st), "read_at");
	}
	report("read_1MiB", mib * nr / stop(t0), "MiB/s");

	t0 = start();
	check(MPI_File_close(&f), "close");
	report("close_after_write", stop(t0) * 1e3, "ms");
}

static void set_interleaved_view(MPI_File f, int piece, int count, MPI_Datatype *type)
{
	MPI_Datatype vector;

	MPI_Type_vector(count, piece, piece * nr, MPI_BYTE, &vector);
	MPI_Type_create_resized(vector, 0, (MPI_Aint)piece * nr * count, type);
	MPI_Type_commit(type);
	MPI_Type_free(&vector);
	check(MPI_File_set_view(f, (MPI_Offset)rank * piece, MPI_BYTE, *type, "native", MPI_INFO_NULL),
	      "set_view");
}

static const char *const passes[] = { "write", "rewrite", "read" };
#define NR_PASSES 3
#define READ_PASS 2

/* pieces interleaved over the ranks through a view; one call moves 4 MiB a rank */
static void interleaved(int piece, int calls, int collective, const char *label)
{
	int bytes = 4 << 20;
	MPI_File f = open_file(MPI_MODE_CREATE | MPI_MODE_RDWR);
	MPI_Datatype type;
	char what[64];
	double t0;

	set_interleaved_view(f, piece, bytes / piece, &type);
	for (int pass = 0; pass < NR_PASSES; pass++) {
		MPI_Offset off = 0;

		t0 = start();
		for (int i = 0; i < calls; i++, off += bytes) {
			int rc;

			if (pass != READ_PASS)
				rc = collective ? MPI_File_write_at_all(f, off, buf, bytes, MPI_BYTE, MPI_STATUS_IGNORE)
						: MPI_File_write_at(f, off, buf, bytes, MPI_BYTE, MPI_STATUS_IGNORE);
			else
				rc = collective ? MPI_File_read_at_all(f, off, buf, bytes, MPI_BYTE, MPI_STATUS_IGNORE)
						: MPI_File_read_at(f, off, buf, bytes, MPI_BYTE, MPI_STATUS_IGNORE);
			check(rc, label);
		}
		snprintf(what, sizeof(what), "%s_%s", passes[pass], label);
		report(what, calls * (bytes / MIB) * nr / stop(t0), "MiB/s");
	}
	check(MPI_File_close(&f), "close");
	MPI_Type_free(&type);
}

static void delete_file(void)
{
	MPI_Barrier(MPI_COMM_WORLD);
	if (rank == 0)
		MPI_File_delete(name, MPI_INFO_NULL);
	MPI_Barrier(MPI_COMM_WORLD);
}

/* ---- what the machine can do ------------------------------------------------------------------------ */

/* a mapping of the file, and how bytes get there and back */
struct target {
	char *base;
	size_t size;
	struct pmem2_map *map; /* NULL: by memcpy() */
	pmem2_memcpy_fn copy;
	pmem2_drain_fn drain;
};

static void need(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	MPI_Abort(MPI_COMM_WORLD, 1);
}

static void map_durable(struct target *t, int fd)
{
	struct pmem2_config *config;
	struct pmem2_source *source;

	setenv("PMEM2_FORCE_GRANULARITY", "CACHE_LINE", 0); /* a tmpfs is as good as PMEM here */
	need(pmem2_config_new(&config) == 0 && pmem2_source_from_fd(&source, fd) == 0 &&
	     pmem2_config_set_required_store_granularity(config, PMEM2_GRANULARITY_CACHE_LINE) == 0 &&
	     pmem2_map_new(&t->map, config, source) == 0, pmem2_errormsg());
	pmem2_source_delete(&source);
	pmem2_config_delete(&config);
	t->base = pmem2_map_get_address(t->map);
	t->copy = pmem2_get_memcpy_fn(t->map);
	t->drain = pmem2_get_drain_fn(t->map);
}

static void map_target(struct target *t, size_t size, int durable)
{
	int fd = open(name, O_RDWR | O_CREAT, 0600);

	need(fd >= 0 && ftruncate(fd, (off_t)size) == 0, name);
	*t = (struct target){ .size = size };
	if (durable)
		map_durable(t, fd);
	else
		t->base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	need(t->base != MAP_FAILED, name);
	close(fd);
}

static void unmap_target(struct target *t)
{
	if (t->map)
		pmem2_map_delete(&t->map);
	else
		munmap(t->base, t->size);
	delete_file();
}

/* what interleaved() does, without MPI-IO; the compiler must not see that the size of a piece is known */
static __attribute__((noinline)) void copy_pieces(const struct target *t, size_t piece, int calls, int to_map)
{
	size_t bytes = 4 << 20;
	char *at = t->base + (size_t)rank * piece;

	for (int i = 0; i < calls; i++) {
		for (size_t done = 0; done < bytes; done += piece, at += piece * (size_t)nr) {
			if (!to_map)
				memcpy(buf + done, at, piece);
			else if (t->map)
				t->copy(at, buf + done, piece, PMEM2_F_MEM_NODRAIN);
			else
				memcpy(at, buf + done, piece);
		}
		if (to_map && t->map)
			t->drain();
	}
}

static void mapped(size_t piece, int calls, const char *label, int durable)
{
	struct target t;
	char what[64];
	double t0;

	map_target(&t, ((size_t)calls * (size_t)nr) << 22, durable);
	copy_pieces(&t, piece, calls, 1); /* touches this rank's pages */
	for (int pass = 0; pass < NR_PASSES; pass++) {
		t0 = start();
		copy_pieces(&t, piece, calls, pass != READ_PASS);
		snprintf(what, sizeof(what), "%s_%s", passes[pass], label);
		report(what, calls * 4.0 * nr / stop(t0), "MiB/s");
	}
	unmap_target(&t);
}

/* as write_own() */
static void copy_own(const struct target *t, int mib, const char *what, int to_map)
{
	char *base = t->base + ((size_t)rank * (size_t)mib << 20);
	double t0 = start();

	for (size_t i = 0; i < (size_t)mib << 20; i += 1 << 20) {
		if (!to_map)
			memcpy(buf + i, base + i, 1 << 20);
		else if (t->map)
			t->copy(base + i, buf + i, 1 << 20, 0);
		else
			memcpy(base + i, buf + i, 1 << 20);
	}
	report(what, mib * nr / stop(t0), "MiB/s");
}

/* as own_region() */
static void mapped_own(int mib, int durable)
{
	int nr_small = 2000;
	struct target t;
	char *base;
	double t0;

	map_target(&t, ((size_t)mib * (size_t)nr) << 20, durable);
	base = t.base + ((size_t)rank * (size_t)mib << 20);
	memset(base, 1, (size_t)mib << 20);
	copy_own(&t, mib, "own_write_1MiB", 1);
	copy_own(&t, mib, "own_rewrite_1MiB", 1);
	copy_own(&t, mib, "own_read_1MiB", 0);
	t0 = start();
	for (int i = 0; i < nr_small; i++) {
		char *at = base + (size_t)i * 7919 % ((size_t)mib * 256) * 4096;

		if (durable)
			t.copy(at, buf, 4096, 0);
		else
			memcpy(at, buf, 4096);
	}
	report("own_write_4KiB", stop(t0) / nr_small * 1e6, "us");
	unmap_target(&t);
}

static void limits(int mib, int durable)
{
	mapped(64, 1, "coll_64B", durable);
	mapped(1024, 2, "coll_1KiB", durable);
	mapped(65536, 8, "coll_64KiB", durable);
	mapped(4096, 4, "indep_4KiB", durable);
	mapped_own(mib, durable);
}

/* ---- MPI-IO in files of one kind or another ---------------------------------------------------------- */

static double write_own(MPI_File f, MPI_Offset base, int mib)
{
	double t0 = start();

	for (int i = 0; i < mib; i++)
		check(MPI_File_write_at(f, base + ((MPI_Offset)i << 20), buf + ((size_t)i << 20), 1 << 20, MPI_BYTE,
					MPI_STATUS_IGNORE), "write_at");
	return mib * nr / stop(t0);
}

/*
 * Each rank in a region of its own, as many programs write: first a file that grows with each write,
 * then what is there already; then small pieces anywhere in it once more.
 */
static void own_region(int mib)
{
	MPI_File f = open_file(MPI_MODE_CREATE | MPI_MODE_RDWR);
	MPI_Offset base = ((MPI_Offset)rank * mib) << 20;
	int nr_small = 2000;
	double t0;

	report("own_write_1MiB", write_own(f, base, mib), "MiB/s");
	report("own_rewrite_1MiB", write_own(f, base, mib), "MiB/s");

	t0 = start();
	for (int i = 0; i < mib; i++)
		check(MPI_File_read_at(f, base + ((MPI_Offset)i << 20), buf + ((size_t)i << 20), 1 << 20, MPI_BYTE,
				       MPI_STATUS_IGNORE), "read_at");
	report("own_read_1MiB", mib * nr / stop(t0), "MiB/s");

	t0 = start();
	for (int i = 0; i < nr_small; i++)
		check(MPI_File_write_at(f, base + (MPI_Offset)i * 7919 % (mib * 256) * 4096, buf, 4096, MPI_BYTE,
					MPI_STATUS_IGNORE), "write_at");
	report("own_write_4KiB", stop(t0) / nr_small * 1e6, "us");
	check(MPI_File_close(&f), "close");
}

/* seconds of work: by this thread, or by something else, as by an accelerator, while it sleeps */
static void work(double seconds, int elsewhere)
{
	double end = MPI_Wtime() + seconds;

	if (elsewhere && seconds > 0)
		usleep((useconds_t)(seconds * 1e6));
	while (MPI_Wtime() < end)
		;
}

/* seconds for all pieces of 1 MiB, with so much work for each while it is under way */
static double work_and_transfer(MPI_File f, MPI_Offset base, int mib, int write, double each, int elsewhere)
{
	double t0 = start();

	for (int i = 0; i < mib; i++) {
		MPI_Offset at = base + ((MPI_Offset)i << 20);
		void *piece = buf + ((size_t)i << 20);
		MPI_Request r;

		check(write ? MPI_File_iwrite_at(f, at, piece, 1 << 20, MPI_BYTE, &r) : MPI_File_iread_at(f, at, piece, 1 << 20, MPI_BYTE, &r),
		      "nonblocking call");
		work(each, elsewhere);
		check(MPI_Wait(&r, MPI_STATUS_IGNORE), "wait");
	}
	return stop(t0);
}

/* which part of the shorter of two times is hidden behind the other: as much work as a transfer takes */
static void overlap(int mib)
{
	MPI_File f = open_file(MPI_MODE_CREATE | MPI_MODE_RDWR);
	MPI_Offset base = ((MPI_Offset)rank * mib) << 20;

	write_own(f, base, mib);
	for (int k = 0; k < 4; k++) {
		int write = k % 2 == 0, elsewhere = k / 2;
		double alone = work_and_transfer(f, base, mib, write, 0, 0), both;
		char what[64];

		both = work_and_transfer(f, base, mib, write, alone / mib, elsewhere);
		snprintf(what, sizeof(what), "overlap_%s_1MiB_%s", write ? "write" : "read", elsewhere ? "asleep" : "busy");
		report(what, 100 * (2 * alone - both) / alone, "%");
	}
	check(MPI_File_close(&f), "close");
}

/* how long a collective call of 4 KiB a rank takes: in a file that grows, then written once more, and read */
static void collective_calls(int times)
{
	static const char *const labels[] = { "coll_call_grow_4KiB", "coll_call_write_4KiB", "coll_call_read_4KiB" };
	MPI_File f = open_file(MPI_MODE_CREATE | MPI_MODE_RDWR);

	for (int pass = 0; pass < 3; pass++) {
		double t0 = start();

		for (int i = 0; i < times; i++) {
			MPI_Offset off = ((MPI_Offset)i * nr + rank) << 12;

			check(pass < 2 ? MPI_File_write_at_all(f, off, buf, 4096, MPI_BYTE, MPI_STATUS_IGNORE)
				       : MPI_File_read_at_all(f, off, buf, 4096, MPI_BYTE, MPI_STATUS_IGNORE), labels[pass]);
		}
		report(labels[pass], stop(t0) / times * 1e6, "us");
	}
	check(MPI_File_close(&f), "close");
}

static void open_close(int times)
{
	MPI_File f = open_file(MPI_MODE_CREATE | MPI_MODE_RDWR);
	double t0;

	check(MPI_File_write_at(f, (MPI_Offset)rank << 12, buf, 4096, MPI_BYTE, MPI_STATUS_IGNORE), "write_at");
	check(MPI_File_close(&f), "close");
	t0 = start();
	for (int i = 0; i < times; i++) {
		f = open_file(MPI_MODE_RDONLY);
		check(MPI_File_close(&f), "close");
	}
	report("open_close", stop(t0) / times * 1e6, "us");
}

/* each is created, written and closed before the next one */
static void small_files(const char *what, int times)
{
	char path[4096];
	double t0 = start();
	MPI_File f;

	for (int i = 0; i < times; i++) {
		snprintf(path, sizeof(path), "%s.%d.%d", name, rank, i);
		check(MPI_File_open(MPI_COMM_SELF, path, MPI_MODE_CREATE | MPI_MODE_RDWR, MPI_INFO_NULL, &f), "open");
		check(MPI_File_write(f, "0123456789", 10, MPI_BYTE, MPI_STATUS_IGNORE), "write");
		check(MPI_File_close(&f), "close");
	}
	report(what, stop(t0) / times * 1e6, "us");
	for (int i = 0; i < times; i++) {
		snprintf(path, sizeof(path), "%s.%d.%d", name, rank, i);
		MPI_File_delete(path, MPI_INFO_NULL);
	}
}

/* a call of four bytes with the shared pointer, all ranks at once */
static void shared_calls(int times)
{
	MPI_File f = open_file(MPI_MODE_CREATE | MPI_MODE_RDWR);
	double t0 = start();

	for (int i = 0; i < times; i++)
		check(MPI_File_write_shared(f, &i, 1, MPI_INT, MPI_STATUS_IGNORE), "write_shared");
	report("write_shared_4B", stop(t0) / times * 1e6, "us");
	check(MPI_File_close(&f), "close");
}

/* ---- threads ------------------------------------------------------------------------------------ */

#define THREAD_CALLS 40000
#define THREAD_BLOCKS 4096 /* of 4 KiB: a file of 16 MiB, which is there before time is taken */

struct writer {
	pthread_t thread;
	MPI_File f;
	char path[4096], data[4096];
};

static void write_blocks(struct writer *w, int calls)
{
	for (int i = 0; i < calls; i++)
		check(MPI_File_write_at(w->f, (MPI_Offset)(i % THREAD_BLOCKS) * 4096, w->data, 4096, MPI_BYTE, MPI_STATUS_IGNORE),
		      "write_at");
}

static void *write_in_thread(void *writer)
{
	write_blocks(writer, THREAD_CALLS);
	return NULL;
}

static void run_threads(struct writer *w, int threads, const char *what)
{
	double t0 = start();

	for (int i = 0; i < threads; i++) {
		if (pthread_create(&w[i].thread, NULL, write_in_thread, &w[i]) != 0)
			MPI_Abort(MPI_COMM_WORLD, 1);
	}
	for (int i = 0; i < threads; i++)
		pthread_join(w[i].thread, NULL);
	report(what, threads * (THREAD_CALLS / 256.0) / stop(t0), "MiB/s");
}

static void threads(void)
{
	static struct writer w[2];

	for (int i = 0; i < 2; i++) {
		snprintf(w[i].path, sizeof(w[i].path), "%s.%d", name, i);
		check(MPI_File_open(MPI_COMM_SELF, w[i].path, MPI_MODE_CREATE | MPI_MODE_RDWR, MPI_INFO_NULL, &w[i].f), "open");
		write_blocks(&w[i], THREAD_BLOCKS);
	}
	run_threads(w, 1, "threads_1_4KiB");
	run_threads(w, 2, "threads_2_4KiB");
	for (int i = 0; i < 2; i++) {
		check(MPI_File_close(&w[i].f), "close");
		MPI_File_delete(w[i].path, MPI_INFO_NULL);
	}
}

static int is_asked(const char *section)
{
	const char *only = getenv("BENCH_ONLY"), *p = only;
	size_t len = strlen(section);

	if (!only)
		return 1;
	for (; (p = strstr(p, section)); p += len) {
		if ((p == only || p[-1] == ',') && (p[len] == ',' || p[len] == '\0'))
			return 1;
	}
	return 0;
}

static void run_section(const char *section, int mib)
{
	if (!is_asked(section) || (!getenv("BENCH_ONLY") && strcmp(section, "overlap") == 0))
		return;
	if (strcmp(section, "independent") == 0)
		independent(mib);
	else if (strcmp(section, "open") == 0)
		open_close(100);
	else if (strcmp(section, "coll_64B") == 0)
		interleaved(64, 1, 1, section);
	else if (strcmp(section, "coll_1KiB") == 0)
		interleaved(1024, 2, 1, section);
	else if (strcmp(section, "coll_64KiB") == 0)
		interleaved(65536, 8, 1, section);
	else if (strcmp(section, "indep_4KiB") == 0)
		interleaved(4096, 4, 0, section);
	else if (strcmp(section, "own") == 0)
		own_region(mib);
	else if (strcmp(section, "overlap") == 0)
		overlap(mib);
	else if (strcmp(section, "calls") == 0)
		collective_calls(4000);
	else if (strcmp(section, "shared") == 0)
		shared_calls(10000);
	delete_file();
}

/* --files and --threads; false: it is neither */
static int run_other(int argc, char **argv)
{
	int given;

	if (argc == 4 && strcmp(argv[1], "--files") == 0) {
		MPI_Init(&argc, &argv);
		name = argv[2];
		small_files(argv[3], 500);
	} else if (argc == 3 && strcmp(argv[1], "--threads") == 0) {
		MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &given);
		name = argv[2];
		threads();
	} else {
		return 0;
	}
	MPI_Finalize();
	return 1;
}

int main(int argc, char **argv)
{
	static const char *const sections[] = { "independent", "open", "coll_64B", "coll_1KiB", "coll_64KiB", "indep_4KiB", "own", "calls",
						"shared", "overlap" };
	int mib, only_map, durable;

	if (run_other(argc, argv))
		return 0;
	MPI_Init(&argc, &argv);
	durable = argc > 2 && strcmp(argv[1], "--durable") == 0;
	only_map = durable || (argc > 2 && strcmp(argv[1], "--mmap") == 0);
	mib = argc > 2 + only_map ? atoi(argv[2 + only_map]) : 64;
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &nr);
	if (argc < 2 || mib < 1) {
		fprintf(stderr, "usage: bench_mpi FILE [MIB] | --mmap FILE [MIB] | --durable FILE [MIB] | --files FILE NAME | --threads FILE\n");
		MPI_Abort(MPI_COMM_WORLD, 2);
	}
	name = argv[only_map ? 2 : 1];
	buf_size = (size_t)(mib < 4 ? 4 : mib) << 20;
	buf = malloc(buf_size);
	if (!buf)
		MPI_Abort(MPI_COMM_WORLD, 1);
	memset(buf, rank + 1, buf_size);

	if (only_map) {
		limits(mib, durable);
		free(buf);
		MPI_Finalize();
		return 0;
	}
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++)
		run_section(sections[i], mib);
	free(buf);
	MPI_Finalize();
	return 0;
}
