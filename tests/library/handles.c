/* handles.c -- handles FILE [early]: what is done with handles that are closed, and before MPI is there; large counts */
#include "../mpi/util.h"

static void must_be_refused(int rc, const char *call)
{
	check(rc != MPI_SUCCESS, "%s succeeds on a handle that has been closed", call);
	check_int(error_class(rc), MPI_ERR_FILE, call);
}

static void closed(void)
{
	MPI_File fh = open_file(MPI_COMM_WORLD, base, RDWR_NEW), old = fh;
	MPI_Offset size;
	char c = 'x';

	mpi(MPI_File_write_at_all(fh, me, &c, 1, MPI_BYTE, MPI_STATUS_IGNORE));
	mpi(MPI_File_close(&fh));
	check(fh == MPI_FILE_NULL, "a closed handle is not MPI_FILE_NULL");
	must_be_refused(MPI_File_write_at(old, 0, &c, 1, MPI_BYTE, MPI_STATUS_IGNORE), "MPI_File_write_at");
	must_be_refused(MPI_File_get_size(old, &size), "MPI_File_get_size");
	fh = old;
	must_be_refused(MPI_File_close(&fh), "MPI_File_close");
}

/* the MPI gives its handles again, to files of others too */
static void again(void)
{
	for (int i = 0; i < 100; i++) {
		MPI_File fh = open_file(MPI_COMM_SELF, i % 2 ? name(".%d", me) : path(name(".plain.%d", me)), RDWR_NEW);
		char c = 'y';

		mpi(MPI_File_write_at(fh, i, &c, 1, MPI_BYTE, MPI_STATUS_IGNORE));
		mpi(MPI_File_close(&fh));
	}
	check(exists(name(".%d", me)) && exists(name(".plain.%d", me)), "a file is missing");
}

#if MPI_VERSION >= 4
/* ---- large counts ---------------------------------------------------------------------------- */

#define BYTES 4096

/* both leave the same bytes: pieces of memory one after the other, and in a view one after the other into its pieces */
static void compare(MPI_File fh, MPI_Datatype small, MPI_Datatype large, const char *what)
{
	unsigned char *mem = xmalloc(BYTES), *got[2];

	pat_fill(mem, BYTES, 0, 7);
	MPI_Type_commit(&small);
	MPI_Type_commit(&large);
	for (int i = 0; i < 2; i++) {
		MPI_Datatype t = i ? large : small;
		MPI_Status st;

		got[i] = xmalloc(2 * BYTES);
		memset(got[i], 0, 2 * BYTES);
		mpi(MPI_File_set_size(fh, 0));
		mpi(MPI_File_set_view(fh, 0, MPI_BYTE, MPI_BYTE, "native", MPI_INFO_NULL));
		mpi(MPI_File_write_at_c(fh, 0, mem, 2, t, MPI_STATUS_IGNORE));
		mpi(MPI_File_read_at_c(fh, 0, got[i], BYTES, MPI_BYTE, MPI_STATUS_IGNORE));
		mpi(MPI_File_set_size(fh, 0));
		mpi(MPI_File_set_view(fh, 0, MPI_INT, t, "native", MPI_INFO_NULL));
		mpi(MPI_File_write_at_all_c(fh, 0, mem, 64, MPI_BYTE, &st));
		check_bytes(&st, 64, what);
		mpi(MPI_File_set_view(fh, 0, MPI_BYTE, MPI_BYTE, "native", MPI_INFO_NULL));
		mpi(MPI_File_read_at_c(fh, 0, got[i] + BYTES, BYTES, MPI_BYTE, MPI_STATUS_IGNORE));
	}
	check_same(got[1], got[0], 2 * BYTES, 0, what);
	free(got[0]);
	free(got[1]);
	free(mem);
	MPI_Type_free(&small);
	MPI_Type_free(&large);
}

static void large_types(MPI_File fh)
{
	int n[] = { 2, 1, 3 }, at[] = { 1, 5, 8 }, sizes[] = { 6, 5 }, part[] = { 2, 3 }, start[] = { 1, 2 };
	MPI_Count nl[] = { 2, 1, 3 }, atl[] = { 1, 5, 8 }, sizesl[] = { 6, 5 }, partl[] = { 2, 3 }, startl[] = { 1, 2 };
	int how[] = { MPI_DISTRIBUTE_BLOCK, MPI_DISTRIBUTE_CYCLIC }, darg[] = { MPI_DISTRIBUTE_DFLT_DARG, 2 }, procs[] = { 2, 2 };
	MPI_Aint bytes[] = { 4, 24, 40 };
	MPI_Count bytesl[] = { 4, 24, 40 };
	MPI_Datatype types[] = { MPI_INT, MPI_FLOAT, MPI_INT }, s, l;

#define BOTH(name, small, large) \
	do { \
		MPI_Type_##small; \
		MPI_Type_##large; \
		compare(fh, s, l, name); \
	} while (0)
	BOTH("contiguous", contiguous(5, MPI_INT, &s), contiguous_c(5, MPI_INT, &l));
	BOTH("vector", vector(3, 2, 4, MPI_INT, &s), vector_c(3, 2, 4, MPI_INT, &l));
	BOTH("hvector", create_hvector(3, 2, 20, MPI_INT, &s), create_hvector_c(3, 2, 20, MPI_INT, &l));
	BOTH("indexed", indexed(3, n, at, MPI_INT, &s), indexed_c(3, nl, atl, MPI_INT, &l));
	BOTH("hindexed", create_hindexed(3, n, bytes, MPI_INT, &s), create_hindexed_c(3, nl, bytesl, MPI_INT, &l));
	BOTH("indexed_block", create_indexed_block(3, 2, at, MPI_INT, &s), create_indexed_block_c(3, 2, atl, MPI_INT, &l));
	BOTH("hindexed_block", create_hindexed_block(3, 2, bytes, MPI_INT, &s), create_hindexed_block_c(3, 2, bytesl, MPI_INT, &l));
	BOTH("struct", create_struct(3, n, bytes, types, &s), create_struct_c(3, nl, bytesl, types, &l));
	BOTH("resized", create_resized(MPI_INT, 0, 12, &s), create_resized_c(MPI_INT, 0, 12, &l));
	BOTH("subarray", create_subarray(2, sizes, part, start, MPI_ORDER_C, MPI_INT, &s),
	     create_subarray_c(2, sizesl, partl, startl, MPI_ORDER_C, MPI_INT, &l));
	BOTH("subarray, Fortran", create_subarray(2, sizes, part, start, MPI_ORDER_FORTRAN, MPI_INT, &s),
	     create_subarray_c(2, sizesl, partl, startl, MPI_ORDER_FORTRAN, MPI_INT, &l));
	for (int r = 0; r < 4; r++)
		BOTH("darray", create_darray(4, r, 2, sizes, how, darg, procs, MPI_ORDER_C, MPI_INT, &s),
		     create_darray_c(4, r, 2, sizesl, how, darg, procs, MPI_ORDER_C, MPI_INT, &l));
}

static void large_counts(void)
{
	MPI_File fh = open_file(MPI_COMM_SELF, name(".c.%d", me), RDWR_NEW);
	MPI_Count extent = 0;

	large_types(fh);
	mpi(MPI_File_get_type_extent_c(fh, MPI_INT, &extent));
	check_int(extent, 4, "extent");
	mpi(MPI_File_close(&fh));
}
#endif

int main(int argc, char **argv)
{
	MPI_File fh;

	if (argc > 2 && strcmp(argv[2], "early") == 0)
		return MPI_File_open(MPI_COMM_SELF, argv[1], RDWR_NEW, MPI_INFO_NULL, &fh);
	test_init(&argc, &argv);
	closed();
	again();
#if MPI_VERSION >= 4
	large_counts();
#endif
	return test_end();
}
