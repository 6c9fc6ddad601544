/*
 * netcdf4_client.c -- parallel NetCDF-4 (so HDF5 below): a chunked variable written
 * collectively, one independently, an unlimited one; read by others, reopened
 */
#include "../mpi/util.h"
#include <netcdf.h>
#include <netcdf_par.h>

#define ROWS 40
#define COLS 30
#define RECORDS 3

#define nc(call) nc_at(__LINE__, #call, (call))
static void nc_at(int line, const char *call, int rc)
{
	if (rc != NC_NOERR)
		die(__FILE__, line, "%s: %s", call, nc_strerror(rc));
}

static int buf[ROWS][COLS];

static int value(int var, int row, int col)
{
	return var * 1000000 + row * 1000 + col;
}

static void put(int file, int var, int v)
{
	size_t start[2] = { (size_t)me * ROWS, 0 }, count[2] = { ROWS, COLS };

	for (int i = 0; i < ROWS; i++)
		for (int j = 0; j < COLS; j++)
			buf[i][j] = value(v, me * ROWS + i, j);
	nc(nc_put_vara_int(file, var, start, count, &buf[0][0]));
}

static void get(int file, int var, int v, int rank)
{
	size_t start[2] = { (size_t)rank * ROWS, 0 }, count[2] = { ROWS, COLS };

	nc(nc_get_vara_int(file, var, start, count, &buf[0][0]));
	for (int i = 0; i < ROWS; i++)
		for (int j = 0; j < COLS; j++)
			check(buf[i][j] == value(v, rank * ROWS + i, j), "variable %d: (%d, %d) is %d", v, rank * ROWS + i, j,
			      buf[i][j]);
}

static void put_records(int file, int var)
{
	for (size_t r = 0; r < RECORDS; r++) {
		size_t start[2] = { r, (size_t)me * COLS }, count[2] = { 1, COLS };

		for (int j = 0; j < COLS; j++)
			buf[0][j] = value(9, (int)r, me * COLS + j);
		nc(nc_put_vara_int(file, var, start, count, &buf[0][0]));
	}
}

static void get_records(int file, int var, int rank)
{
	for (size_t r = 0; r < RECORDS; r++) {
		size_t start[2] = { r, (size_t)rank * COLS }, count[2] = { 1, COLS };

		nc(nc_get_vara_int(file, var, start, count, &buf[0][0]));
		for (int j = 0; j < COLS; j++)
			check_int(buf[0][j], value(9, (int)r, rank * COLS + j), "record");
	}
}

static void create(const char *url)
{
	size_t chunk[2] = { 16, 30 };
	int file, dim[4], var[3], next = (me + 1) % np;

	nc(nc_create_par(url, NC_NETCDF4 | NC_CLOBBER, MPI_COMM_WORLD, MPI_INFO_NULL, &file));
	nc(nc_def_dim(file, "row", (size_t)np * ROWS, &dim[0]));
	nc(nc_def_dim(file, "col", COLS, &dim[1]));
	nc(nc_def_dim(file, "record", NC_UNLIMITED, &dim[2]));
	nc(nc_def_dim(file, "wide", (size_t)np * COLS, &dim[3]));
	nc(nc_def_var(file, "chunked", NC_INT, 2, dim, &var[0]));
	nc(nc_def_var_chunking(file, var[0], NC_CHUNKED, chunk));
	nc(nc_def_var(file, "contiguous", NC_INT, 2, dim, &var[1]));
	nc(nc_def_var_chunking(file, var[1], NC_CONTIGUOUS, NULL));
	nc(nc_def_var(file, "records", NC_INT, 2, dim + 2, &var[2]));
	nc(nc_enddef(file));
	nc(nc_var_par_access(file, var[0], NC_COLLECTIVE));
	nc(nc_var_par_access(file, var[1], NC_INDEPENDENT));
	nc(nc_var_par_access(file, var[2], NC_COLLECTIVE));
	put(file, var[0], 1);
	put(file, var[1], 2);
	put_records(file, var[2]);
	barrier();
	get(file, var[0], 1, next);
	get(file, var[1], 2, next);
	get_records(file, var[2], next);
	nc(nc_close(file));
}

static void reopen(const char *url)
{
	int file, var, next = (me + 2) % np;

	nc(nc_open_par(url, NC_NOWRITE, MPI_COMM_WORLD, MPI_INFO_NULL, &file));
	nc(nc_inq_varid(file, "chunked", &var));
	get(file, var, 1, next);
	nc(nc_inq_varid(file, "contiguous", &var));
	nc(nc_var_par_access(file, var, NC_COLLECTIVE));
	get(file, var, 2, next);
	nc(nc_inq_varid(file, "records", &var));
	get_records(file, var, next);
	nc(nc_close(file));
}

/*
 * An existing file that is not to be overwritten is left alone.  NetCDF finds out by fopen(), so not
 * with a prefix: then HDF5 hears MPI_ERR_FILE_EXISTS, and netCDF says of whatever HDF5 says "permission denied"
 */
static void not_overwritten(const char *url)
{
	int id, rc = nc_create_par(url, NC_NETCDF4 | NC_NOCLOBBER, MPI_COMM_WORLD, MPI_INFO_NULL, &id);

	check_int(rc, ours ? EACCES : NC_EEXIST, "error of NC_NOCLOBBER for a file that exists");
	barrier();
}

int main(int argc, char **argv)
{
	const char *url;

	test_init(&argc, &argv);
	url = name(".nc4");
	create(url);
	barrier();
	reopen(url);
	barrier();
	not_overwritten(url);
	reopen(url);
	return test_end();
}
