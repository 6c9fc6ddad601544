/*
 * steady.c -- a job that writes on and on while something happens to it; and what must be there afterwards
 *
 *	steady run FILE FOLDER [LIMIT]	until FOLDER/stop exists; FOLDER has the files below
 *	steady verify FILE FOLDER	FILE has what was written, whatever name it goes by
 *	steady self FILE		each rank opens it for itself, and they write neighbouring bytes
 *	steady groups FILE		two halves of the ranks open it at the same time, again and again
 *	steady once FILE		each rank writes 16 MiB of its own, a MiB at a time
 *
 * FOLDER/state.R	what rank R wrote: a word for each of its blocks, so that it is known if R is killed
 * FOLDER/pid.R		made when all ranks write; its process number
 * FOLDER/failed.R	made when a call of R has failed
 * FOLDER/again.R	made when 40 in a row have succeeded after that: so all nodes are there
 *
 * Calls may fail, with MPI_ERR_IO and within LIMIT seconds; without LIMIT none may.  Of a block
 * whose last write returned all bytes must be those; of one whose last writes failed each byte may
 * be of any of these, or of the last that returned.
 */
#include "../mpi/util.h"

#include <sys/mman.h>
#include <time.h>

#define BLOCK 50000 /* so that blocks of several ranks are in one chunk, and some in two */
#define NR_BLOCKS 32 /* of each rank */
#define LONGEST_S 200
#define SELF_ROUNDS 150
#define GROUPS_ROUNDS 60

struct state {
	uint32_t nr_ranks;
	uint32_t done[NR_BLOCKS]; /* generation that is there; 0: nothing was written */
	uint32_t tried[NR_BLOCKS];
};

static unsigned char buf[BLOCK];
static const char *folder;
static double limit;
static unsigned nr_good, nr_failed, nr_in_a_row;

static const char *in_folder(const char *what, int rank)
{
	static char file[4200];

	if (rank >= 0)
		snprintf(file, sizeof(file), "%s/%s.%d", folder, what, rank);
	else
		snprintf(file, sizeof(file), "%s/%s", folder, what);
	return file;
}

static void say(const char *what)
{
	char tmp[4200];
	FILE *f;

	snprintf(tmp, sizeof(tmp), "%s", in_folder(".new", me));
	f = fopen(tmp, "w");
	check(f && fprintf(f, "%d\n", (int)getpid()) > 0 && fclose(f) == 0 &&
	      rename(tmp, in_folder(what, me)) == 0, "%s.%d: %s", what, me, strerror(errno));
}

static struct state *map_state(int rank, bool make)
{
	int fd = open(in_folder("state", rank), make ? O_RDWR | O_CREAT | O_EXCL : O_RDWR, 0666);
	struct state *s;

	if (fd < 0 && !make && errno == ENOENT)
		return NULL;
	check(fd >= 0 && (!make || ftruncate(fd, sizeof(*s)) == 0), "%s: %s", in_folder("state", rank), strerror(errno));
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check(s != MAP_FAILED, "%s: %s", in_folder("state", rank), strerror(errno));
	close(fd);
	return s;
}

static MPI_Offset block_at(int rank, int nr_ranks, int k)
{
	return ((MPI_Offset)k * nr_ranks + rank) * BLOCK;
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* counts, and says the first of each kind; rc: of what was begun then */
static bool judge(int rc, const char *what, double begun)
{
	double took = now_s() - begun;

	if (rc == MPI_SUCCESS) {
		nr_good++;
		if (nr_failed && ++nr_in_a_row == 40)
			say("again");
		return true;
	}
	if (!limit)
		die_mpi(__FILE__, __LINE__, what, rc);
	check_int(error_class(rc), MPI_ERR_IO, "class of the error");
	check(took <= limit, "%s failed after %.1f s", what, took);
	nr_in_a_row = 0;
	if (nr_failed++ == 0) {
		printf("rank %d: %s failed after %.1f s\n", me, what, took);
		fflush(stdout);
		say("failed");
	}
	return false;
}

/* of each byte: may it be there? */
static void check_block(const struct state *s, int rank, int k)
{
	uint64_t off = (uint64_t)block_at(rank, (int)s->nr_ranks, k);

	for (int i = 0; i < BLOCK; i++) {
		uint32_t gen = s->done[k];

		while (gen <= s->tried[k] && buf[i] != (gen ? pat(off + (uint64_t)i, gen) : 0))
			gen++;
		check(gen <= s->tried[k], "rank %d's block %d, byte %d (%llu of the file) is %#x, should be of generation %u to %u",
		      rank, k, i, (unsigned long long)off + (unsigned)i, buf[i], s->done[k], s->tried[k]);
	}
}

static void write_block(MPI_File fh, struct state *s, int k, uint32_t gen)
{
	MPI_Offset off = block_at(me, np, k);
	double begun = now_s();

	pat_fill(buf, BLOCK, (uint64_t)off, gen);
	__atomic_store_n(&s->tried[k], gen, __ATOMIC_SEQ_CST);
	if (judge(MPI_File_write_at(fh, off, buf, BLOCK, MPI_BYTE, MPI_STATUS_IGNORE), "write", begun))
		__atomic_store_n(&s->done[k], gen, __ATOMIC_SEQ_CST);
}

static void read_block(MPI_File fh, const struct state *s, int k)
{
	double begun = now_s();

	memset(buf, 0x55, sizeof(buf));
	if (judge(MPI_File_read_at(fh, block_at(me, np, k), buf, BLOCK, MPI_BYTE, MPI_STATUS_IGNORE), "read", begun))
		check_block(s, me, k);
}

static void run(void)
{
	struct state *s = map_state(me, true);
	MPI_File fh = open_file(MPI_COMM_WORLD, base, RDWR_NEW);
	double until = now_s() + LONGEST_S, begun;
	unsigned x = (unsigned)me * 7 + 1;
	uint32_t gen = 1;

	s->nr_ranks = (uint32_t)np;
	/* not all from the beginning: chunks of each, also where one host is faster than the other */
	for (int i = 0; i < NR_BLOCKS; i++) {
		if (i == NR_BLOCKS / np)
			barrier();
		write_block(fh, s, (i + me * NR_BLOCKS / np) % NR_BLOCKS, gen);
	}
	barrier();
	say("pid");
	while (access(in_folder("stop", -1), F_OK) != 0) {
		check(now_s() < until, "nobody stops us");
		x = x * 1103515245u + 12345u;
		write_block(fh, s, (int)(x >> 16) % NR_BLOCKS, ++gen);
		x = x * 1103515245u + 12345u;
		read_block(fh, s, (int)(x >> 16) % NR_BLOCKS);
		/* without a pause a rank that fails at once would have more tries than can be told apart */
		if (nr_failed)
			usleep(100000);
	}
	for (int k = 0; k < NR_BLOCKS; k++)
		read_block(fh, s, k);
	begun = now_s();
	/* each target is given its time */
	if (limit)
		limit *= 4;
	judge(MPI_File_close(&fh), "close", begun);
	printf("rank %d: %u good, %u failed\n", me, nr_good, nr_failed);
}

static void verify(void)
{
	MPI_File fh = open_file(MPI_COMM_WORLD, base, MPI_MODE_RDONLY);
	const struct state *s;
	MPI_Status st;
	int nr = 0;

	for (int r = me; (s = map_state(r, false)) != NULL; r += np) {
		for (int k = 0; k < NR_BLOCKS; k++, nr++) {
			memset(buf, 0, sizeof(buf));
			mpi(MPI_File_read_at(fh, block_at(r, (int)s->nr_ranks, k), buf, BLOCK, MPI_BYTE, &st));
			check_block(s, r, k);
		}
	}
	check(nr > 0 || me > 0, "%s: nothing to verify", folder);
	mpi(MPI_File_close(&fh));
}

/* each handle has a shared pointer of its own, whatever is opened elsewhere in the same second */
static void own_pointers(void)
{
	for (int i = 0; i < 6; i++) {
		MPI_File fh;

		barrier();
		fh = open_file(MPI_COMM_SELF, base, MPI_MODE_RDWR);
		for (int k = 0; k < 4; k++) {
			mpi(MPI_File_read_shared(fh, buf, 1, MPI_BYTE, MPI_STATUS_IGNORE));
			check_pat(buf, 1, (uint64_t)k, 1, "read by the shared pointer");
			barrier();
		}
		mpi(MPI_File_close(&fh));
	}
}

/* no collective open comes before: the first makes the layout session, the others find it */
static void self(void)
{
	unsigned char *all;
	MPI_File fh;
	size_t len;

	barrier();
	fh = open_file(MPI_COMM_SELF, base, RDWR_NEW);
	barrier();
	for (int i = 0; i < SELF_ROUNDS; i++) {
		MPI_Offset off = (MPI_Offset)i * np;

		pat_fill(buf, 1, (uint64_t)off + (uint64_t)me, 1);
		mpi(MPI_File_write_at(fh, off + me, buf, 1, MPI_BYTE, MPI_STATUS_IGNORE));
		barrier();
		mpi(MPI_File_read_at(fh, off, buf, np, MPI_BYTE, MPI_STATUS_IGNORE));
		check_pat(buf, (size_t)np, (uint64_t)off, 1, "bytes of all");
		check_size(fh, off + np);
		barrier();
	}
	own_pointers();
	/* one after the other: those that have it open still see all */
	for (int r = 0; r < np; r++) {
		if (r == me) {
			mpi(MPI_File_read_at(fh, 0, buf, SELF_ROUNDS * np, MPI_BYTE, MPI_STATUS_IGNORE));
			check_pat(buf, (size_t)(SELF_ROUNDS * np), 0, 1, "before the close");
			mpi(MPI_File_close(&fh));
		}
		barrier();
	}
	if (me == 0) {
		all = slurp(base, &len);
		check_int((long long)len, SELF_ROUNDS * np, "size after the last close");
		check_pat(all, len, 0, 1, "after the last close");
		free(all);
	}
}

/* one of them may find that the other has it open on one node, and is about to find more */
static void groups(void)
{
	unsigned char all[64];
	MPI_Comm half;

	check(np <= 64, "too many ranks");
	mpi(MPI_Comm_split(MPI_COMM_WORLD, me * 2 / np, me, &half));
	for (unsigned i = 1; i <= GROUPS_ROUNDS; i++) {
		MPI_File fh;

		barrier();
		usleep(me * 2 / np ? i * 377 % 5000 : 0);
		fh = open_file(half, base, RDWR_NEW);
		pat_fill(buf, 1, (uint64_t)me, i);
		mpi(MPI_File_write_at(fh, me, buf, 1, MPI_BYTE, MPI_STATUS_IGNORE));
		barrier();
		mpi(MPI_File_read_at(fh, 0, all, np, MPI_BYTE, MPI_STATUS_IGNORE));
		check_pat(all, (size_t)np, 0, i, "bytes of both");
		mpi(MPI_File_close(&fh));
	}
	mpi(MPI_Comm_free(&half));
}

static void once(void)
{
	MPI_File fh = open_file(MPI_COMM_WORLD, base, RDWR_NEW);
	unsigned char *mib = xmalloc(1 << 20);

	memset(mib, me, 1 << 20);
	for (int i = 0; i < 16; i++)
		mpi(MPI_File_write_at(fh, ((MPI_Offset)me * 16 + i) << 20, mib, 1 << 20, MPI_BYTE, MPI_STATUS_IGNORE));
	mpi(MPI_File_close(&fh));
	free(mib);
}

int main(int argc, char **argv)
{
	test_init(&argc, &argv);
	check(argc >= 3, "usage: steady run|verify|self|groups|once FILE [FOLDER [LIMIT]]");
	base = argv[2];
	ours = !strncmp(base, "pmem:", 5);
	folder = argc > 3 ? argv[3] : ".";
	limit = argc > 4 ? atof(argv[4]) : 0;
	if (strcmp(argv[1], "run") == 0)
		run();
	else if (strcmp(argv[1], "verify") == 0)
		verify();
	else if (strcmp(argv[1], "groups") == 0)
		groups();
	else if (strcmp(argv[1], "once") == 0)
		once();
	else
		self();
	return test_end();
}
