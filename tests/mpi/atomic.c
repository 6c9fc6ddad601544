/*
 * atomic.c -- atomic mode: writes of the same bytes by all ranks do not mix, and a
 * reader sees one of them whole; contiguous and strided; handles of one file as well
 */
#include "util.h"

#define LEN (2 << 20) /* long enough that the ranks' copies do overlap in time */
#define START ((1 << 20) - 4321)
#define ROUNDS 20

static unsigned char buf[LEN];

static void check_uniform(const char *what)
{
	if (!memcmp(buf, buf + 1, LEN - 1))
		return;
	for (int i = 1; i < LEN; i++)
		check(buf[i] == buf[0], "%s: byte %d is of writer %d, byte 0 of writer %d", what, i, buf[i], buf[0]);
}

static void everybody_writes(MPI_File fh, MPI_Offset off, const char *what)
{
	for (int i = 0; i < ROUNDS; i++) {
		memset(buf, 1 + me, LEN);
		barrier();
		mpi(MPI_File_write_at(fh, off, buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
		barrier();
		mpi(MPI_File_read_at(fh, off, buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
		check_uniform(what);
		check(buf[0] >= 1 && buf[0] <= np, "%s: bytes are %d", what, buf[0]);
		barrier();
	}
}

/* rank 0 writes 1, 2, 3, ... while the others read */
static void one_writes(MPI_File fh, MPI_Offset off, const char *what)
{
	for (int i = 0; i < ROUNDS * 3; i++)
		if (me == 0) {
			memset(buf, 1 + i, LEN);
			mpi(MPI_File_write_at(fh, off, buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
		} else {
			mpi(MPI_File_read_at(fh, off, buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
			check_uniform(what);
		}
	barrier();
}

static void strided_view(MPI_File fh)
{
	MPI_Datatype v, t;

	MPI_Type_contiguous(1000, MPI_BYTE, &v);
	MPI_Type_create_resized(v, 0, 3000, &t);
	MPI_Type_commit(&t);
	mpi(MPI_File_set_view(fh, START - 5000, MPI_BYTE, t, "native", MPI_INFO_NULL));
	MPI_Type_free(&v);
	MPI_Type_free(&t);
}

/*
 * Handles of one file exclude each other as ranks do: one that all ranks share, and a
 * second one of each rank.  Writes overlap in part; each byte is of one of the two
 * writers, and the part that both wrote is of one of them, whole.
 */
#define OVERLAP (LEN / 4)

static void write_all_of(MPI_File fh, MPI_Offset off, int what)
{
	memset(buf, what, LEN);
	mpi(MPI_File_write_at(fh, off, buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
}

static void check_part(MPI_Offset off, int len, int first, int last, const char *what)
{
	int writer = buf[off];

	check(writer >= first && writer <= last, "%s: byte %lld is of writer %d", what, (long long)off, writer);
	for (int i = 1; i < len; i++)
		check(buf[off + i] == writer, "%s: byte %lld is of writer %d, %d bytes before is of writer %d", what,
		      (long long)off + i, buf[off + i], i, writer);
}

static void two_handles(MPI_File fh, const char *url)
{
	MPI_File own = open_file(MPI_COMM_SELF, url, MPI_MODE_RDWR);

	mpi(MPI_File_set_atomicity(own, 1));
	for (int i = 0; i < ROUNDS; i++) {
		/* even ranks write at the start by the shared handle, odd ones further on by their own */
		barrier();
		if (me % 2 == 0)
			write_all_of(i % 2 ? own : fh, START, 1 + me);
		else
			write_all_of(i % 2 ? fh : own, START + LEN - OVERLAP, 1 + me);
		barrier();
		mpi(MPI_File_read_at(i % 3 ? fh : own, START, buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
		check_part(0, LEN - OVERLAP, 1, np, "written through two handles");
		check_part(LEN - OVERLAP, OVERLAP, 1, np, "where both handles wrote");
		barrier();
	}
	mpi(MPI_File_close(&own));
}

/* nonblocking and collective calls take turns as well */
static void other_calls(MPI_File fh)
{
	MPI_Request r;

	for (int i = 0; i < ROUNDS; i++) {
		memset(buf, 1 + me, LEN);
		barrier();
		if (i % 2) {
			mpi(MPI_File_write_at_all(fh, START, buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
		} else {
			mpi(MPI_File_iwrite_at(fh, START, buf, LEN, MPI_BYTE, &r));
			mpi(MPI_Wait(&r, MPI_STATUS_IGNORE));
		}
		barrier();
		mpi(MPI_File_read_at_all(fh, START, buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
		check_uniform(i % 2 ? "collective" : "nonblocking");
		barrier();
	}
}

/* what is left must not depend on who was last */
static void leave_the_same(MPI_File fh)
{
	int flag;

	mpi(MPI_File_set_atomicity(fh, 0));
	mpi(MPI_File_get_atomicity(fh, &flag));
	check_int(flag, 0, "atomicity");
	mpi(MPI_File_set_view(fh, 0, MPI_BYTE, MPI_BYTE, "native", MPI_INFO_NULL));
	barrier();
	mpi(MPI_File_set_size(fh, 0));
}

int main(int argc, char **argv)
{
	MPI_File fh;
	int flag = -1;

	test_init(&argc, &argv);
	fh = open_file(MPI_COMM_WORLD, base, RDWR_NEW);
	mpi(MPI_File_get_atomicity(fh, &flag));
	check_int(flag, 0, "atomicity of a new handle");
	mpi(MPI_File_set_atomicity(fh, 1));
	mpi(MPI_File_get_atomicity(fh, &flag));
	check_int(flag, 1, "atomicity");

	memset(buf, 1, LEN);
	if (me == 0)
		mpi(MPI_File_write_at(fh, START, buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
	barrier();
	everybody_writes(fh, START, "contiguous");
	one_writes(fh, START, "contiguous, read meanwhile");
	if (ours) { /* handles of ROMIO are locked by process, so not against each other in one */
		two_handles(fh, base);
		other_calls(fh);
	}

	strided_view(fh);
	memset(buf, 1, LEN);
	if (me == 0)
		mpi(MPI_File_write_at(fh, 0, buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
	barrier();
	everybody_writes(fh, 0, "strided");
	one_writes(fh, 0, "strided, read meanwhile");
	leave_the_same(fh);
	mpi(MPI_File_close(&fh));
	return test_end();
}
