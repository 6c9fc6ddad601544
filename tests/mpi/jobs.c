/*
 * jobs.c -- jobs FILE FOLDER first|second: two jobs on one node use one file at the
 * same time; what one wrote the other reads, told so by files in FOLDER
 */
#include "util.h"

#define LEN 1200000 /* each job writes so much, in parts, the second over a half of the first's */
#define HALF (LEN / 2)

static unsigned char buf[LEN];
static const char *folder;

static const char *flag(const char *what)
{
	static char file[4200];

	snprintf(file, sizeof(file), "%s/%s", folder, what);
	return file;
}

static void say(const char *what)
{
	barrier();
	if (me == 0)
		check(close(open(flag(what), O_WRONLY | O_CREAT, 0666)) == 0, "%s: %s", flag(what), strerror(errno));
}

static void await(const char *what)
{
	for (int i = 0; access(flag(what), F_OK) != 0; i++) {
		check(i < 6000, "the other job never said \"%s\"", what);
		usleep(10000);
	}
	barrier();
}

static void write_parts(MPI_File fh, size_t from, unsigned gen)
{
	size_t part = LEN / (size_t)np, off = part * (size_t)me, len = me == np - 1 ? LEN - off : part;

	pat_fill(buf, len, from + off, gen);
	mpi(MPI_File_write_at(fh, (MPI_Offset)(from + off), buf, (int)len, MPI_BYTE, MPI_STATUS_IGNORE));
}

static void check_range(MPI_File fh, size_t from, size_t len, unsigned gen, const char *what)
{
	MPI_Status st;

	memset(buf, 0, len);
	mpi(MPI_File_read_at(fh, (MPI_Offset)from, buf, (int)len, MPI_BYTE, &st));
	check_bytes(&st, (int)len, what);
	check_pat(buf, len, from, gen, what);
}

static void first(void)
{
	MPI_File fh = open_file(MPI_COMM_WORLD, base, RDWR_NEW);

	write_parts(fh, 0, 1);
	say("a");
	await("b");
	check_size(fh, HALF + LEN);
	check_range(fh, 0, HALF, 1, "not overwritten by the second job");
	check_range(fh, HALF, LEN, 2, "written by the second job");
	barrier();
	write_parts(fh, LEN, 3);
	say("c");
	await("d");
	check_size(fh, 100);
	mpi(MPI_File_close(&fh));
	say("e");
}

static void second(void)
{
	unsigned char *all;
	MPI_File fh;
	size_t len;

	await("a");
	fh = open_file(MPI_COMM_WORLD, base, MPI_MODE_RDWR);
	check_size(fh, LEN);
	check_range(fh, 0, LEN, 1, "written by the first job");
	barrier();
	write_parts(fh, HALF, 2);
	say("b");
	await("c");
	check_size(fh, 2 * LEN);
	check_range(fh, HALF, HALF, 2, "not overwritten by the first job");
	check_range(fh, LEN, LEN, 3, "written by the first job over ours");
	barrier();
	mpi(MPI_File_set_size(fh, 100));
	say("d");
	await("e"); /* the first has closed the file: nothing of ours goes with it */
	write_parts(fh, 0, 4);
	mpi(MPI_File_close(&fh));
	all = slurp(base, &len);
	check_int((long long)len, LEN, "size after the last close");
	check_pat(all, len, 0, 4, "after the last close");
	free(all);
}

int main(int argc, char **argv)
{
	test_init(&argc, &argv);
	check(argc == 4, "usage: jobs FILE FOLDER first|second");
	folder = argv[2];
	if (!strcmp(argv[3], "first"))
		first();
	else
		second();
	return test_end();
}
