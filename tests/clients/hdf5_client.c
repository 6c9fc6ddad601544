/*
 * hdf5_client.c -- what parallel HDF5 asks of the layer below: fill values of one
 * rank under data of others, metadata of all, files that grow, reads of what others
 * wrote with a barrier between and no flush
 *
 * The argument is a name; files NAME.h5 and NAME.old.h5 are left, with all times off.
 */
#include "../mpi/util.h"
#include <hdf5.h>

#define ROWS 96 /* rows of a rank */
#define COLS 70
#define NR_SETS (sizeof(sets) / sizeof(sets[0]))

static int data[ROWS][COLS];

static const struct {
	const char *name;
	hsize_t chunk[2]; /* 0: contiguous */
	H5FD_mpio_xfer_t write, read;
	int rows_first; /* rows interleaved: rank r has rows r, r + np, ... */
} sets[] = {
	{ "contiguous_coll", { 0, 0 }, H5FD_MPIO_COLLECTIVE, H5FD_MPIO_INDEPENDENT, 0 },
	{ "contiguous_ind", { 0, 0 }, H5FD_MPIO_INDEPENDENT, H5FD_MPIO_COLLECTIVE, 0 },
	{ "contiguous_rows", { 0, 0 }, H5FD_MPIO_COLLECTIVE, H5FD_MPIO_COLLECTIVE, 1 },
	{ "contiguous_rows_ind", { 0, 0 }, H5FD_MPIO_INDEPENDENT, H5FD_MPIO_INDEPENDENT, 1 },
	{ "chunked_coll", { 40, 32 }, H5FD_MPIO_COLLECTIVE, H5FD_MPIO_INDEPENDENT, 0 },
	{ "chunked_ind", { 40, 32 }, H5FD_MPIO_INDEPENDENT, H5FD_MPIO_COLLECTIVE, 0 },
	{ "chunked_rows", { 7, 70 }, H5FD_MPIO_COLLECTIVE, H5FD_MPIO_COLLECTIVE, 1 },
	{ "chunked_rows_ind", { 16, 16 }, H5FD_MPIO_INDEPENDENT, H5FD_MPIO_INDEPENDENT, 1 },
};

#define h5(call) h5_at(__LINE__, #call, (call))
static hid_t h5_at(int line, const char *call, hid_t id)
{
	if (id < 0)
		die(__FILE__, line, "%s fails", call);
	return id;
}

static int value(int set, int row, int col, int gen)
{
	return gen * 100000000 + set * 10000000 + row * 1000 + col;
}

static hid_t access_plist(void)
{
	hid_t p = h5(H5Pcreate(H5P_FILE_ACCESS));

	h5(H5Pset_fapl_mpio(p, MPI_COMM_WORLD, MPI_INFO_NULL));
	return p;
}

static hid_t create_set(hid_t file, size_t s)
{
	hsize_t dims[2] = { (hsize_t)np * ROWS, COLS }, max[2] = { H5S_UNLIMITED, COLS };
	int fill = -99;
	hid_t space = h5(H5Screate_simple(2, dims, sets[s].chunk[0] ? max : NULL));
	hid_t p = h5(H5Pcreate(H5P_DATASET_CREATE)), set;

	if (sets[s].chunk[0])
		h5(H5Pset_chunk(p, 2, sets[s].chunk));
	h5(H5Pset_fill_value(p, H5T_NATIVE_INT, &fill));
	h5(H5Pset_fill_time(p, H5D_FILL_TIME_ALLOC));
	h5(H5Pset_obj_track_times(p, 0));
	set = h5(H5Dcreate(file, sets[s].name, H5T_NATIVE_INT, space, H5P_DEFAULT, p, H5P_DEFAULT));
	H5Pclose(p);
	H5Sclose(space);
	return set;
}

static int row_of(size_t s, int rank, int i)
{
	return sets[s].rows_first ? i * np + rank : rank * ROWS + i;
}

static void transfer(hid_t set, size_t s, int rank, bool write, H5FD_mpio_xfer_t mode)
{
	hsize_t start[2] = { (hsize_t)row_of(s, rank, 0), 0 }, count[2] = { ROWS, COLS };
	hsize_t stride[2] = { sets[s].rows_first ? (hsize_t)np : 1, 1 };
	hid_t space = h5(H5Dget_space(set)), mem = h5(H5Screate_simple(2, count, NULL));
	hid_t p = h5(H5Pcreate(H5P_DATASET_XFER));

	h5(H5Pset_dxpl_mpio(p, mode));
	h5(H5Sselect_hyperslab(space, H5S_SELECT_SET, start, stride, count, NULL));
	if (write)
		h5(H5Dwrite(set, H5T_NATIVE_INT, mem, space, p, data));
	else
		h5(H5Dread(set, H5T_NATIVE_INT, mem, space, p, data));
	H5Pclose(p);
	H5Sclose(mem);
	H5Sclose(space);
}

static void write_set(hid_t set, size_t s, int gen)
{
	for (int i = 0; i < ROWS; i++)
		for (int j = 0; j < COLS; j++)
			data[i][j] = value((int)s, row_of(s, me, i), j, gen);
	transfer(set, s, me, true, sets[s].write);
}

static void check_set(hid_t set, size_t s, int rank, int gen, H5FD_mpio_xfer_t mode)
{
	memset(data, 0, sizeof(data));
	transfer(set, s, rank, false, mode);
	for (int i = 0; i < ROWS; i++)
		for (int j = 0; j < COLS; j++) {
			int want = gen ? value((int)s, row_of(s, rank, i), j, gen) : -99;

			check(data[i][j] == want, "%s: (%d, %d) is %d, should be %d", sets[s].name, row_of(s, rank, i), j,
			      data[i][j], want);
		}
}

/* groups and attributes: metadata that HDF5 has different ranks write */
static void metadata(hid_t file)
{
	hid_t p = h5(H5Pcreate(H5P_GROUP_CREATE)), scalar = h5(H5Screate(H5S_SCALAR));

	h5(H5Pset_obj_track_times(p, 0));
	for (int i = 0; i < 40; i++) {
		char group[32];
		hid_t g, a;

		snprintf(group, sizeof(group), "group%d", i);
		g = h5(H5Gcreate(file, group, H5P_DEFAULT, p, H5P_DEFAULT));
		a = h5(H5Acreate(g, "number", H5T_NATIVE_INT, scalar, H5P_DEFAULT, H5P_DEFAULT));
		h5(H5Awrite(a, H5T_NATIVE_INT, &i));
		H5Aclose(a);
		H5Gclose(g);
	}
	H5Pclose(p);
	H5Sclose(scalar);
}

static void check_metadata(hid_t file)
{
	for (int i = 0; i < 40; i++) {
		char group[32];
		hid_t a;
		int got = -1;

		snprintf(group, sizeof(group), "group%d", i);
		a = h5(H5Aopen_by_name(file, group, "number", H5P_DEFAULT, H5P_DEFAULT));
		h5(H5Aread(a, H5T_NATIVE_INT, &got));
		check_int(got, i, group);
		H5Aclose(a);
	}
}

/* the first open: fill values first, then data, read back at once by other ranks */
static void first(const char *url)
{
	hid_t access = access_plist(), file = h5(H5Fcreate(url, H5F_ACC_TRUNC, H5P_DEFAULT, access)), set[NR_SETS];

	for (size_t s = 0; s < NR_SETS; s++) {
		set[s] = create_set(file, s);
		barrier();
		check_set(set[s], s, (me + 1) % np, 0, sets[s].read);
		barrier();
		write_set(set[s], s, 1);
		barrier();
		check_set(set[s], s, (me + 1) % np, 1, sets[s].read);
	}
	metadata(file);
	h5(H5Fflush(file, H5F_SCOPE_GLOBAL));
	barrier();
	for (size_t s = 0; s < NR_SETS; s++) {
		write_set(set[s], s, 2);
		barrier();
		check_set(set[s], s, (me + np - 1) % np, 2, sets[s].write);
		barrier();
		H5Dclose(set[s]);
	}
	check_metadata(file);
	h5(H5Fclose(file));
	H5Pclose(access);
}

/* chunked sets grow by a rank's rows, of fill values; some of the old data change */
static void second(const char *url)
{
	hid_t access = access_plist(), file = h5(H5Fopen(url, H5F_ACC_RDWR, access));

	check_metadata(file);
	for (size_t s = 0; s < NR_SETS; s++) {
		hid_t set = h5(H5Dopen(file, sets[s].name, H5P_DEFAULT));
		hsize_t dims[2] = { (hsize_t)(np + 1) * ROWS, COLS };

		check_set(set, s, (me + 2) % np, 2, sets[s].read);
		if (sets[s].chunk[0]) {
			h5(H5Dset_extent(set, dims));
			barrier();
			if (!sets[s].rows_first)
				check_set(set, s, np, 0, sets[s].read);
		}
		barrier();
		if (s % 2 == 0)
			write_set(set, s, 3);
		barrier();
		check_set(set, s, (me + 1) % np, s % 2 ? 2 : 3, sets[s].read);
		H5Dclose(set);
	}
	h5(H5Fclose(file));
	H5Pclose(access);
}

static void third(const char *url)
{
	hid_t access = access_plist(), file = h5(H5Fopen(url, H5F_ACC_RDONLY, access));

	check_metadata(file);
	for (size_t s = 0; s < NR_SETS; s++) {
		hid_t set = h5(H5Dopen(file, sets[s].name, H5P_DEFAULT));

		for (int r = 0; r < np; r++)
			check_set(set, s, r, s % 2 ? 2 : 3, H5FD_MPIO_INDEPENDENT);
		H5Dclose(set);
	}
	h5(H5Fclose(file));
	H5Pclose(access);
}

/* a longer file of that name must not shine through one that is created over it */
static void over_an_old_one(const char *url)
{
	MPI_File fh = open_file(MPI_COMM_WORLD, url, RDWR_NEW);
	unsigned char *junk = xmalloc(3 << 20);
	hid_t access, file, set;

	memset(junk, 0xee, 3 << 20);
	mpi(MPI_File_write_at_all(fh, (MPI_Offset)me * (3 << 20), junk, 3 << 20, MPI_BYTE, MPI_STATUS_IGNORE));
	mpi(MPI_File_close(&fh));
	free(junk);
	access = access_plist();
	file = h5(H5Fcreate(url, H5F_ACC_TRUNC, H5P_DEFAULT, access));
	set = create_set(file, 4);
	barrier();
	check_set(set, 4, me, 0, H5FD_MPIO_COLLECTIVE);
	barrier();
	write_set(set, 4, 1);
	barrier();
	check_set(set, 4, (me + 1) % np, 1, H5FD_MPIO_INDEPENDENT);
	H5Dclose(set);
	h5(H5Fclose(file));
	H5Pclose(access);
}

/* not there, and there although it should not be: HDF5 sees errors, and goes on */
static void errors(const char *url)
{
	hid_t access = access_plist();

	H5E_BEGIN_TRY
	{
		check(H5Fopen(name(".none.h5"), H5F_ACC_RDONLY, access) < 0, "a missing file is opened");
		check(H5Fcreate(url, H5F_ACC_EXCL, H5P_DEFAULT, access) < 0, "a file that exists is created with EXCL");
	}
	H5E_END_TRY
	H5Pclose(access);
}

int main(int argc, char **argv)
{
	const char *url;

	test_init(&argc, &argv);
	url = name(".h5");
	first(url);
	second(url);
	third(url);
	errors(url);
	over_an_old_one(name(".old.h5"));
	return test_end();
}
