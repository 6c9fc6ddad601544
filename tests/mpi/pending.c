/*
 * pending.c -- nonblocking reads that wait for the file system
 *
 *	pending FILE FLAGS hang		FILE's reads hang: no request may be complete, until FLAGS/go
 *	pending FILE FLAGS answer	they do not hang: the same results
 *	pending FILE FLAGS fail		they fail: the requests' errors are of class MPI_ERR_IO
 *	pending FILE FLAGS make		FILE, a plain one, gets what the others expect
 *
 * FILE has LEN bytes of the pattern of generation 3.  FLAGS is a folder; in it pending.R is made by rank R when it has seen its requests wait.
 */
#include "util.h"

#include <time.h>

#define LEN 3000000
#define PIECE 40000
#define LOOKS 40

static void nap(long ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

static bool is_there(const char *folder, const char *what)
{
	char path[4200];

	snprintf(path, sizeof(path), "%s/%s", folder, what);
	return access(path, F_OK) == 0;
}

static void say_pending(const char *folder)
{
	char path[4200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/pending.%d", folder, me);
	f = fopen(path, "w");
	check(f && fclose(f) == 0, "%s: %s", path, strerror(errno));
}

/* every second byte of memory: with a datatype that is freed before its request is complete */
static void start_strided(MPI_File fh, unsigned char *spread, MPI_Request *r)
{
	MPI_Datatype t;

	mpi(MPI_Type_create_resized(MPI_BYTE, 0, 2, &t));
	mpi(MPI_Type_commit(&t));
	mpi(MPI_File_iread_at(fh, 2 * PIECE, spread, PIECE, t, r));
	mpi(MPI_Type_free(&t));
}

static void none_is_complete(MPI_Request *r, int nr)
{
	int flag;

	for (int i = 0; i < LOOKS; i++) {
		for (int k = 0; k < nr; k++) {
			mpi(MPI_Test(&r[k], &flag, MPI_STATUS_IGNORE));
			check(!flag, "request %d is complete", k);
		}
		nap(2);
	}
}

static void read_parts(MPI_File fh, const char *flags, bool hang)
{
	unsigned char *near = xmalloc(PIECE), *spread = xmalloc(2 * PIECE), *last = xmalloc(PIECE);
	MPI_Request r[4];
	MPI_Status st[4];
	MPI_Offset pos;

	memset(spread, 0xee, 2 * PIECE);
	mpi(MPI_File_iread_at(fh, 0, near, PIECE, MPI_BYTE, &r[0]));
	start_strided(fh, spread, &r[1]);
	mpi(MPI_File_seek(fh, LEN - 100, MPI_SEEK_SET));
	mpi(MPI_File_iread(fh, last, PIECE, MPI_BYTE, &r[2])); /* beyond the end */
	mpi(MPI_File_get_position(fh, &pos));
	check_int(pos, LEN, "the pointer, while a read beyond the end waits");
	mpi(MPI_File_iread_at(fh, LEN + 5, last, PIECE, MPI_BYTE, &r[3]));
	if (hang) {
		none_is_complete(r, 3);
		say_pending(flags);
		while (!is_there(flags, "go"))
			nap(10);
	}
	mpi(MPI_Waitall(4, r, st));
	check_bytes(&st[0], PIECE, "a piece");
	check_bytes(&st[1], PIECE, "with gaps in memory");
	check_bytes(&st[2], 100, "at the end");
	check_bytes(&st[3], 0, "beyond the end");
	check_pat(near, PIECE, 0, 3, "a piece");
	check_pat(last, 100, LEN - 100, 3, "at the end");
	for (int i = 0; i < PIECE; i++) {
		check(spread[2 * i + 1] == 0xee, "a gap in memory was written");
		spread[i] = spread[2 * i];
	}
	check_pat(spread, PIECE, 2 * PIECE, 3, "with gaps in memory");
	free(near);
	free(spread);
	free(last);
}

static void class_is(MPI_File fh, int class)
{
	unsigned char *a = xmalloc(2 * PIECE);
	MPI_Request r[2];
	MPI_Status st[2] = { { .MPI_ERROR = -1 }, { .MPI_ERROR = -1 } };
	int rc, is;

	mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN)); /* a request belongs to no file */
	mpi(MPI_File_iread_at(fh, 0, a, PIECE, MPI_BYTE, &r[0]));
	rc = MPI_Wait(&r[0], &st[0]);
	mpi(MPI_Error_class(rc, &is));
	check_int(is, class, "the class of the error of MPI_Wait");
	check(r[0] == MPI_REQUEST_NULL, "a request is left");
	for (int i = 0; i < 2; i++)
		mpi(MPI_File_iread_at(fh, i * 2 * PIECE, a + i * PIECE, PIECE, MPI_BYTE, &r[i]));
	rc = MPI_Waitall(2, r, st);
	mpi(MPI_Error_class(rc, &is));
	check_int(is, MPI_ERR_IN_STATUS, "the class of the error of MPI_Waitall");
	for (int i = 0; i < 2; i++) {
		mpi(MPI_Error_class(st[i].MPI_ERROR, &is));
#ifdef MPICH_VERSION
		/* 4.0.2 makes the first of any error of a generalized request, and does not look at those behind it */
		if (is == MPI_ERR_PENDING)
			mpi(MPI_Error_class(MPI_Wait(&r[i], MPI_STATUS_IGNORE), &is));
		else if (is == MPI_ERR_OTHER)
			continue;
#endif
		check_int(is, class, "the class of the error in a status");
	}
	free(a);
}

static void make(void)
{
	unsigned char *a = xmalloc(LEN);
	FILE *f = fopen(base, "w");

	pat_fill(a, LEN, 0, 3);
	check(f && fwrite(a, 1, LEN, f) == LEN && fclose(f) == 0, "%s: %s", base, strerror(errno));
	free(a);
}

int main(int argc, char **argv)
{
	MPI_File fh;

	test_init(&argc, &argv);
	check(argc == 4, "usage: pending FILE FLAGS hang|answer|fail|make");
	if (!strcmp(argv[3], "make")) {
		if (me == 0)
			make();
		return test_end();
	}
	mpi(MPI_File_open(MPI_COMM_WORLD, base, MPI_MODE_RDONLY, MPI_INFO_NULL, &fh));
	if (strcmp(argv[3], "fail"))
		read_parts(fh, argv[2], !strcmp(argv[3], "hang"));
	else
		class_is(fh, MPI_ERR_IO);
	mpi(MPI_File_close(&fh));
	return test_end();
}
