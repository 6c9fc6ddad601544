/*
 * shared.c -- the shared file pointer: write_shared and read_shared, each record to
 * one rank; ordered calls in rank order; seek_shared, nonblocking and split forms
 */
#include "util.h"

#define PER_RANK 20
#define RECORD 512 /* ints: rank, number, then what follows from both */

static void record_fill(int *v, int r, int i)
{
	v[0] = r;
	v[1] = i;
	for (int k = 2; k < RECORD; k++)
		v[k] = r * 1000 + i * 7 + k;
}

static void record_check(const int *v)
{
	for (int k = 2; k < RECORD; k++)
		check(v[k] == v[0] * 1000 + v[1] * 7 + k, "a record of rank %d, number %d, is damaged at int %d", v[0], v[1], k);
}

/* each record of each rank is there once, whole, in whatever order */
static void check_complete(MPI_File fh)
{
	int *all = xmalloc((size_t)np * PER_RANK * RECORD * 4);
	char *seen = calloc((size_t)np, PER_RANK);

	mpi(MPI_File_read_at(fh, 0, all, np * PER_RANK * RECORD, MPI_INT, MPI_STATUS_IGNORE));
	for (int i = 0; i < np * PER_RANK; i++) {
		const int *v = all + (size_t)i * RECORD;

		check(v[0] >= 0 && v[0] < np && v[1] >= 0 && v[1] < PER_RANK, "record %d is none (%d, %d)", i, v[0], v[1]);
		check(!seen[v[0] * PER_RANK + v[1]], "record %d of rank %d is there twice", v[1], v[0]);
		seen[v[0] * PER_RANK + v[1]] = 1;
		record_check(v);
	}
	free(all);
	free(seen);
}

static void write_records(MPI_File fh)
{
	MPI_Request req;
	MPI_Status st;
	int v[RECORD];

	for (int i = 0; i < PER_RANK; i++) {
		record_fill(v, me, i);
		if (i % 2) {
			mpi(MPI_File_iwrite_shared(fh, v, RECORD, MPI_INT, &req));
			mpi(MPI_Wait(&req, &st));
		} else {
			mpi(MPI_File_write_shared(fh, v, RECORD, MPI_INT, &st));
		}
		check_bytes(&st, RECORD * 4, "write_shared");
	}
}

/* all ranks together read each record once */
static void read_records(MPI_File fh)
{
	int mine = 0, sum, v[RECORD];
	MPI_Status st;
	int count;

	mpi(MPI_File_seek_shared(fh, 0, MPI_SEEK_SET));
	barrier();
	for (;;) {
		mpi(MPI_File_read_shared(fh, v, RECORD, MPI_INT, &st));
		MPI_Get_count(&st, MPI_INT, &count);
		if (count == 0)
			break;
		check_int(count, RECORD, "ints read");
		record_check(v);
		mine++;
	}
	MPI_Allreduce(&mine, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
	check_int(sum, np * PER_RANK, "records that all ranks read");
}

static void shared(void)
{
	MPI_File fh = open_file(MPI_COMM_WORLD, name(".shared"), RDWR_NEW);
	MPI_Offset pos;

	write_records(fh);
	barrier();
	check_size(fh, (MPI_Offset)np * PER_RANK * RECORD * 4);
	mpi(MPI_File_get_position_shared(fh, &pos));
	check_int(pos, (long long)np * PER_RANK * RECORD * 4, "shared position");
	check_complete(fh);
	barrier();
	read_records(fh);
	mpi(MPI_File_close(&fh));
	/* the records' order is nobody's business: do not leave the file to compare */
	if (me == 0)
		mpi(MPI_File_delete(name(".shared"), MPI_INFO_NULL));
	barrier();
}

/* rank r's share of round i has i + r ints, so that offsets are no multiples of anything */
static MPI_Offset ordered_at(int r, int round)
{
	MPI_Offset off = 0;

	for (int i = 0; i <= round; i++)
		for (int q = 0; q < (i == round ? r : np); q++)
			off += i + q;
	return off;
}

static void ordered_write(MPI_File fh, int round)
{
	int v[64], n = round + me;

	for (int k = 0; k < n; k++)
		v[k] = me * 100000 + round * 100 + k;
	if (round % 2) {
		mpi(MPI_File_write_ordered_begin(fh, v, n, MPI_INT));
		mpi(MPI_File_write_ordered_end(fh, v, MPI_STATUS_IGNORE));
	} else {
		mpi(MPI_File_write_ordered(fh, v, n, MPI_INT, MPI_STATUS_IGNORE));
	}
}

static void ordered_check(const int *v, int r, int round, const char *what)
{
	for (int k = 0; k < round + r; k++)
		check(v[k] == r * 100000 + round * 100 + k, "%s: int %d of rank %d in round %d is %d", what, k, r, round, v[k]);
}

#define ROUNDS 10

static void ordered(void)
{
	MPI_File fh = open_file(MPI_COMM_WORLD, name(".ordered"), RDWR_NEW);
	int v[64];

	/* a view that all ranks share, as MPI demands for the shared pointer */
	mpi(MPI_File_set_view(fh, 8, MPI_INT, MPI_INT, "native", MPI_INFO_NULL));
	for (int i = 0; i < ROUNDS; i++)
		ordered_write(fh, i);
	barrier();
	for (int i = 0; i < ROUNDS; i++)
		for (int r = 0; r < np; r++) {
			mpi(MPI_File_read_at(fh, ordered_at(r, i), v, i + r, MPI_INT, MPI_STATUS_IGNORE));
			ordered_check(v, r, i, "read_at");
		}
	mpi(MPI_File_seek_shared(fh, 0, MPI_SEEK_SET));
	for (int i = 0; i < ROUNDS; i++) {
		mpi(MPI_File_read_ordered(fh, v, i + me, MPI_INT, MPI_STATUS_IGNORE));
		ordered_check(v, me, i, "read_ordered");
	}
	mpi(MPI_File_close(&fh));
}

int main(int argc, char **argv)
{
	test_init(&argc, &argv);
	shared();
	ordered();
	return test_end();
}
