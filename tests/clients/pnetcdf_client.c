/*
 * pnetcdf_client.c -- PnetCDF: collective and independent data mode (in which each
 * rank opens the file a second time, alone), record variables, redefinition, reopen
 */
#include "../mpi/util.h"
#include <pnetcdf.h>

#define ROWS 50
#define COLS 40
#define RECORDS 5

#define nc(call) nc_at(__LINE__, #call, (call))
static void nc_at(int line, const char *call, int rc)
{
	if (rc != NC_NOERR)
		die(__FILE__, line, "%s: %s", call, ncmpi_strerror(rc));
}

static int buf[ROWS][COLS];

static int value(int var, int row, int col)
{
	return var * 1000000 + row * 1000 + col;
}

static void fill(int var, int row)
{
	for (int i = 0; i < ROWS; i++)
		for (int j = 0; j < COLS; j++)
			buf[i][j] = value(var, row + i, j);
}

static void check_rows(int var, int row, const char *what)
{
	for (int i = 0; i < ROWS; i++)
		for (int j = 0; j < COLS; j++)
			check(buf[i][j] == value(var, row + i, j), "%s: (%d, %d) is %d, should be %d", what, row + i, j, buf[i][j],
			      value(var, row + i, j));
}

static void rows_of(int rank, MPI_Offset start[2], MPI_Offset count[2])
{
	start[0] = (MPI_Offset)rank * ROWS;
	start[1] = 0;
	count[0] = ROWS;
	count[1] = COLS;
}

static void write_and_read(const char *url)
{
	int file, dim[3], coll, indep, rec, later, one = 1;
	MPI_Offset s[2], c[2], rs[3], rc[3];

	nc(ncmpi_create(MPI_COMM_WORLD, url, NC_CLOBBER | NC_64BIT_DATA, MPI_INFO_NULL, &file));
	nc(ncmpi_def_dim(file, "record", NC_UNLIMITED, &dim[0]));
	nc(ncmpi_def_dim(file, "row", (MPI_Offset)np * ROWS, &dim[1]));
	nc(ncmpi_def_dim(file, "col", COLS, &dim[2]));
	nc(ncmpi_def_var(file, "coll", NC_INT, 2, dim + 1, &coll));
	nc(ncmpi_def_var(file, "indep", NC_INT, 2, dim + 1, &indep));
	nc(ncmpi_def_var(file, "rec", NC_INT, 3, dim, &rec));
	nc(ncmpi_put_att_int(file, NC_GLOBAL, "number", NC_INT, 1, &one));
	nc(ncmpi_enddef(file));

	rows_of(me, s, c);
	fill(1, me * ROWS);
	nc(ncmpi_put_vara_int_all(file, coll, s, c, &buf[0][0]));

	/* independent: other ranks' collective data are read through the second handle */
	barrier();
	nc(ncmpi_begin_indep_data(file));
	fill(2, me * ROWS);
	nc(ncmpi_put_vara_int(file, indep, s, c, &buf[0][0]));
	rows_of((me + 1) % np, s, c);
	nc(ncmpi_get_vara_int(file, coll, s, c, &buf[0][0]));
	check_rows(1, (me + 1) % np * ROWS, "collective data, read independently");
	nc(ncmpi_end_indep_data(file));

	barrier();
	nc(ncmpi_get_vara_int_all(file, indep, s, c, &buf[0][0]));
	check_rows(2, (me + 1) % np * ROWS, "independent data, read collectively");

	for (int r = 0; r < RECORDS; r++) {
		rs[0] = r;
		rows_of(me, rs + 1, rc + 1);
		rc[0] = 1;
		fill(10 + r, me * ROWS);
		nc(ncmpi_put_vara_int_all(file, rec, rs, rc, &buf[0][0]));
	}

	/* the header grows: data move, which one rank reads and another writes */
	nc(ncmpi_redef(file));
	for (int i = 0; i < 30; i++) {
		char att[32];

		snprintf(att, sizeof(att), "a later attribute %d", i);
		nc(ncmpi_put_att_text(file, NC_GLOBAL, att, 100, "................................................................"
								 "...................................."));
	}
	nc(ncmpi_def_var(file, "later", NC_INT, 2, dim + 1, &later));
	nc(ncmpi_enddef(file));
	rows_of(me, s, c);
	fill(3, me * ROWS);
	nc(ncmpi_put_vara_int_all(file, later, s, c, &buf[0][0]));
	nc(ncmpi_close(file));
}

/* nonblocking puts of several variables, completed by one call; columns, so strided */
static void nonblocking(const char *url)
{
	int file, dim[2], var[3], req[3], st[3], *col = xmalloc((size_t)np * ROWS * sizeof(int));
	MPI_Offset s[2] = { 0, 0 }, c[2] = { (MPI_Offset)np * ROWS, 1 };

	nc(ncmpi_create(MPI_COMM_WORLD, url, NC_CLOBBER | NC_64BIT_OFFSET, MPI_INFO_NULL, &file));
	nc(ncmpi_def_dim(file, "row", (MPI_Offset)np * ROWS, &dim[0]));
	nc(ncmpi_def_dim(file, "col", np, &dim[1]));
	nc(ncmpi_def_var(file, "a", NC_INT, 2, dim, &var[0]));
	nc(ncmpi_def_var(file, "b", NC_INT, 2, dim, &var[1]));
	nc(ncmpi_def_var(file, "c", NC_INT, 2, dim, &var[2]));
	nc(ncmpi_enddef(file));
	s[1] = me;
	for (int i = 0; i < np * ROWS; i++)
		col[i] = value(7, i, me);
	for (int v = 0; v < 3; v++)
		nc(ncmpi_iput_vara_int(file, var[v], s, c, col, &req[v]));
	nc(ncmpi_wait_all(file, 3, req, st));
	for (int v = 0; v < 3; v++)
		nc(st[v]);
	barrier();
	s[1] = (me + 1) % np;
	for (int v = 0; v < 3; v++) {
		nc(ncmpi_get_vara_int_all(file, var[v], s, c, col));
		for (int i = 0; i < np * ROWS; i++)
			check_int(col[i], value(7, i, (me + 1) % np), "column of another rank");
	}
	nc(ncmpi_close(file));
	free(col);
}

static void reopen(const char *url)
{
	int file, var, number;
	MPI_Offset s[2], c[2], rs[3], rc[3], len;

	nc(ncmpi_open(MPI_COMM_WORLD, url, NC_NOWRITE, MPI_INFO_NULL, &file));
	nc(ncmpi_get_att_int(file, NC_GLOBAL, "number", &number));
	check_int(number, 1, "attribute");
	nc(ncmpi_inq_dimlen(file, 0, &len));
	check_int(len, RECORDS, "records");
	for (int v = 0; v < 3; v++) {
		static const char *const names[] = { "coll", "indep", "later" };

		nc(ncmpi_inq_varid(file, names[v], &var));
		rows_of((me + 1) % np, s, c);
		nc(ncmpi_get_vara_int_all(file, var, s, c, &buf[0][0]));
		check_rows(v + 1, (me + 1) % np * ROWS, names[v]);
	}
	nc(ncmpi_inq_varid(file, "rec", &var));
	for (int r = 0; r < RECORDS; r++) {
		rs[0] = r;
		rc[0] = 1;
		rows_of((me + 1) % np, rs + 1, rc + 1);
		nc(ncmpi_get_vara_int_all(file, var, rs, rc, &buf[0][0]));
		check_rows(10 + r, (me + 1) % np * ROWS, "record");
	}
	nc(ncmpi_close(file));
}

/* a second create over the file: PnetCDF truncates the path itself, behind MPI-IO's back */
static void create_again(const char *url)
{
	int file, dim, var, v = 5;
	MPI_Offset start = me, one = 1;

	for (int i = 0; i < 3; i++) {
		nc(ncmpi_create(MPI_COMM_WORLD, url, NC_CLOBBER, MPI_INFO_NULL, &file));
		nc(ncmpi_def_dim(file, "n", np, &dim));
		nc(ncmpi_def_var(file, "v", NC_INT, 1, &dim, &var));
		nc(ncmpi_enddef(file));
		v = 10 * i + me;
		nc(ncmpi_put_vara_int_all(file, var, &start, &one, &v));
		nc(ncmpi_close(file));
	}
	nc(ncmpi_open(MPI_COMM_WORLD, url, NC_WRITE, MPI_INFO_NULL, &file));
	start = (me + 1) % np;
	nc(ncmpi_get_vara_int_all(file, var, &start, &one, &v));
	check_int(v, 20 + (me + 1) % np, "value of the last create");
	nc(ncmpi_close(file));
}

int main(int argc, char **argv)
{
	const char *url;

	test_init(&argc, &argv);
	url = name(".nc");
	write_and_read(url);
	barrier();
	reopen(url);
	nonblocking(name(".nb.nc"));
	create_again(name(".again.nc"));
	return test_end();
}
