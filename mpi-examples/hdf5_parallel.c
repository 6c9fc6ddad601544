/*
 * hdf5_parallel.c -- parallel HDF5: datasets that all ranks write, read by others
 *
 *	mpicc -o hdf5_parallel hdf5_parallel.c $(pkg-config --cflags --libs hdf5-openmpi)
 *	mpirun -n 4 ./hdf5_parallel pmem:/path/on/the/parallel/fs/out.h5
 *
 * HDF5 hands the name to MPI_File_open, so "pmem:" works as it does for MPI-IO.  The
 * file is an ordinary HDF5 file after it is closed: h5dump, h5py, ... read it.
 */
#include <hdf5.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

#define ROWS 200 /* rows of each rank */
#define COLS 150

static int rank, nr_ranks;
static int data[ROWS][COLS];

static void fail(const char *what)
{
	fprintf(stderr, "hdf5_parallel: rank %d: %s\n", rank, what);
	MPI_Abort(MPI_COMM_WORLD, 1);
}

/* all HDF5 calls return something negative when they fail, and have said why */
static hid_t try(hid_t id, const char *what)
{
	if (id < 0)
		fail(what);
	return id;
}

static int value(int set, int row, int col)
{
	return set * 100000000 + row * 1000 + col;
}

/* dataset of all ranks' rows; chunked if chunk_rows is not 0 */
static hid_t create(hid_t file, const char *name, hsize_t chunk_rows)
{
	hsize_t dims[2] = { (hsize_t)nr_ranks * ROWS, COLS }, chunk[2] = { chunk_rows, 64 };
	hid_t space = try(H5Screate_simple(2, dims, NULL), "H5Screate_simple");
	hid_t plist = try(H5Pcreate(H5P_DATASET_CREATE), "H5Pcreate");
	hid_t set;

	if (chunk_rows)
		try(H5Pset_chunk(plist, 2, chunk), "H5Pset_chunk");
	H5Pset_obj_track_times(plist, 0); /* so that two runs write the same bytes */
	set = try(H5Dcreate(file, name, H5T_NATIVE_INT, space, H5P_DEFAULT, plist, H5P_DEFAULT), name);
	H5Pclose(plist);
	H5Sclose(space);
	return set;
}

/* the rows of rank r, all of this rank's `data`, in one call */
static void transfer(hid_t set, int r, int write, H5FD_mpio_xfer_t mode)
{
	hsize_t start[2] = { (hsize_t)r * ROWS, 0 }, count[2] = { ROWS, COLS };
	hid_t space = try(H5Dget_space(set), "H5Dget_space");
	hid_t memory = try(H5Screate_simple(2, count, NULL), "H5Screate_simple");
	hid_t plist = try(H5Pcreate(H5P_DATASET_XFER), "H5Pcreate");

	H5Pset_dxpl_mpio(plist, mode);
	H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL);
	if (write)
		try(H5Dwrite(set, H5T_NATIVE_INT, memory, space, plist, data), "H5Dwrite");
	else
		try(H5Dread(set, H5T_NATIVE_INT, memory, space, plist, data), "H5Dread");
	H5Pclose(plist);
	H5Sclose(memory);
	H5Sclose(space);
}

static void write_rows(hid_t set, int nr, H5FD_mpio_xfer_t mode)
{
	for (int i = 0; i < ROWS; i++)
		for (int j = 0; j < COLS; j++)
			data[i][j] = value(nr, rank * ROWS + i, j);
	transfer(set, rank, 1, mode);
}

static void check_rows(hid_t set, int nr, int r, H5FD_mpio_xfer_t mode)
{
	transfer(set, r, 0, mode);
	for (int i = 0; i < ROWS; i++)
		for (int j = 0; j < COLS; j++)
			if (data[i][j] != value(nr, r * ROWS + i, j))
				fail("a dataset does not hold what was written");
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "contiguous", "chunked", "independent" };
	static const H5FD_mpio_xfer_t modes[] = { H5FD_MPIO_COLLECTIVE, H5FD_MPIO_COLLECTIVE, H5FD_MPIO_INDEPENDENT };
	static const hsize_t chunk_rows[] = { 0, 48, 64 };
	hid_t access, file, set[3];

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &nr_ranks);
	if (argc != 2)
		fail("usage: hdf5_parallel FILE");

	access = try(H5Pcreate(H5P_FILE_ACCESS), "H5Pcreate");
	try(H5Pset_fapl_mpio(access, MPI_COMM_WORLD, MPI_INFO_NULL), "H5Pset_fapl_mpio");
	file = try(H5Fcreate(argv[1], H5F_ACC_TRUNC, H5P_DEFAULT, access), argv[1]);
	for (int i = 0; i < 3; i++) {
		set[i] = create(file, names[i], chunk_rows[i]);
		write_rows(set[i], i, modes[i]);
	}

	/* in the same open, without a flush: each rank reads what others wrote */
	MPI_Barrier(MPI_COMM_WORLD);
	for (int i = 0; i < 3; i++) {
		check_rows(set[i], i, (rank + 1) % nr_ranks, H5FD_MPIO_INDEPENDENT);
		check_rows(set[i], i, nr_ranks - 1 - rank, H5FD_MPIO_COLLECTIVE);
		try(H5Dclose(set[i]), "H5Dclose");
	}
	try(H5Fclose(file), "H5Fclose");

	file = try(H5Fopen(argv[1], H5F_ACC_RDONLY, access), argv[1]);
	for (int i = 0; i < 3; i++) {
		set[i] = try(H5Dopen(file, names[i], H5P_DEFAULT), names[i]);
		check_rows(set[i], i, (rank + 2) % nr_ranks, modes[i]);
		try(H5Dclose(set[i]), "H5Dclose");
	}
	try(H5Fclose(file), "H5Fclose");
	H5Pclose(access);

	if (rank == 0)
		printf("3 datasets of %d x %d ints written to %s, read back and checked\n", nr_ranks * ROWS, COLS, argv[1]);
	MPI_Finalize();
	return 0;
}
