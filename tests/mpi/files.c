/*
 * files.c -- thousands of files in one job, each process its own; several hundred
 * open at once; one file opened by one process again and again
 */
#include "util.h"
#include <sys/resource.h>

#define NR 3000	    /* files of all ranks together, one after the other */
#define AT_ONCE 300 /* open at the same time on each rank */
#define LEN 700

static unsigned char buf[LEN];

/* a file of this rank's; name() is this one's world for eight calls only */
static MPI_File mine(const char *what, int i, int amode)
{
	return open_file(MPI_COMM_SELF, name(".%s.%d.%d", what, me, i), amode);
}

static void write_one(MPI_File fh, int i)
{
	pat_fill(buf, LEN, (uint64_t)me, (unsigned)i);
	mpi(MPI_File_write(fh, buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
}

static void read_one(MPI_File fh, int i)
{
	MPI_Status st;

	memset(buf, 0, LEN);
	mpi(MPI_File_read_at(fh, 0, buf, LEN, MPI_BYTE, &st));
	check_bytes(&st, LEN, "read");
	check_pat(buf, LEN, (uint64_t)me, (unsigned)i, "a process's own file");
}

/* each is opened, written and closed, then all are read, half through a second open, half plainly */
static void one_after_the_other(void)
{
	unsigned char *all;
	MPI_File fh;
	size_t len;

	for (int i = 0; i < NR / np; i++) {
		fh = mine("n", i, RDWR_NEW | MPI_MODE_EXCL);
		write_one(fh, i);
		mpi(MPI_File_close(&fh));
	}
	for (int i = 0; i < NR / np; i++) {
		const char *url = name(".n.%d.%d", me, i);

		if (i % 2) {
			fh = mine("n", i, MPI_MODE_RDONLY);
			read_one(fh, i);
			mpi(MPI_File_close(&fh));
		} else {
			all = slurp(url, &len);
			check_int((long long)len, LEN, "size after close");
			check_pat(all, len, (uint64_t)me, (unsigned)i, "after close");
			free(all);
		}
		mpi(MPI_File_delete(url, MPI_INFO_NULL));
	}
}

/* the agent has a descriptor for each open file: as many as it may have, at most AT_ONCE a rank */
static int how_many(void)
{
	struct rlimit lim;
	long nr = AT_ONCE;

	if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_max != RLIM_INFINITY &&
	    ((long)lim.rlim_max - 100) / np < nr)
		nr = ((long)lim.rlim_max - 100) / np;
	return (int)nr;
}

static void at_once(void)
{
	static MPI_File fh[AT_ONCE];
	int nr = how_many();

	for (int i = 0; i < nr; i++) {
		fh[i] = mine("o", i, RDWR_NEW | (i % 3 ? 0 : MPI_MODE_DELETE_ON_CLOSE));
		write_one(fh[i], i);
	}
	for (int i = nr - 1; i >= 0; i--)
		read_one(fh[i], i);
	for (int i = 0; i < nr; i++)
		mpi(MPI_File_close(&fh[i]));
	for (int i = 0; i < nr; i++) {
		const char *url = name(".o.%d.%d", me, i);

		check(exists(url) == (i % 3 != 0), "%s is %s", url, i % 3 ? "gone" : "left");
		if (i % 3)
			mpi(MPI_File_delete(url, MPI_INFO_NULL));
	}
}

/* handles of one process on one file: each has its own pointer and view, all see the same bytes */
static void one_file_often(void)
{
	enum { HANDLES = 20 };
	MPI_File fh[HANDLES];
	MPI_Offset pos;
	int v, last;

	for (int i = 0; i < HANDLES; i++) {
		fh[i] = mine("twice", 0, RDWR_NEW);
		mpi(MPI_File_set_view(fh[i], 4 * i, MPI_INT, MPI_INT, "native", MPI_INFO_NULL));
	}
	for (int i = 0; i < HANDLES; i++) {
		v = 1000 * me + i;
		mpi(MPI_File_write(fh[i], &v, 1, MPI_INT, MPI_STATUS_IGNORE));
		mpi(MPI_File_get_position(fh[(i + 1) % HANDLES], &pos));
		check_int(pos, i + 1 == HANDLES, "position of the next handle");
		check_size(fh[HANDLES - 1 - i], 4 * (i + 1));
	}
	for (int i = 0; i < HANDLES; i++) { /* the first goes first, and the others still see its bytes */
		mpi(MPI_File_close(&fh[i]));
		if (i + 1 == HANDLES)
			break;
		last = HANDLES - 1;
		mpi(MPI_File_set_view(fh[last], 0, MPI_INT, MPI_INT, "native", MPI_INFO_NULL));
		mpi(MPI_File_read_at(fh[last], i, &v, 1, MPI_INT, MPI_STATUS_IGNORE));
		check_int(v, 1000 * me + i, "int of a closed handle");
	}
	mpi(MPI_File_delete(name(".twice.%d.0", me), MPI_INFO_NULL));
}

int main(int argc, char **argv)
{
	test_init(&argc, &argv);
	one_after_the_other();
	at_once();
	one_file_often();
	return test_end();
}
