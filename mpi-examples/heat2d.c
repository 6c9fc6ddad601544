/*
 * heat2d.c -- checkpoint and restart of a small solver for heat in two dimensions
 *
 *	mpicc -o heat2d heat2d.c
 *	mpirun -n 4 ./heat2d --steps 200 pmem:/scratch/a.dat
 *	mpirun -n 2 ./heat2d --steps 100 pmem:/scratch/b.dat
 *	mpirun -n 4 ./heat2d --steps 100 --restart-from pmem:/scratch/b.dat pmem:/scratch/c.dat
 *
 * a.dat and c.dat are then the same, byte for byte, on any number of ranks: the file
 * is the whole grid in row order, behind a header of 16 bytes (rows, columns, steps
 * done).  Each rank has a tile of the grid; a subarray file view says where it lies,
 * and one collective call writes or reads all tiles.
 */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 250 /* neither is a multiple of much: tiles differ in size */
#define COLS 310
#define HEADER 16

struct tile {
	MPI_Comm comm;	 /* the process grid */
	int row, nr_rows; /* first row and rows of this rank */
	int col, nr_cols;
	int up, down, left, right; /* neighbours */
	double *now, *next;	   /* (nr_rows + 2) x (nr_cols + 2): a frame of neighbours' values around it */
};

static void try(int rc, const char *what)
{
	char text[MPI_MAX_ERROR_STRING];
	int len;

	if (rc == MPI_SUCCESS)
		return;
	MPI_Error_string(rc, text, &len);
	fprintf(stderr, "heat2d: %s: %s\n", what, text);
	MPI_Abort(MPI_COMM_WORLD, 1);
}

static size_t at(const struct tile *t, int i, int j)
{
	return (size_t)(i + 1) * (size_t)(t->nr_cols + 2) + (size_t)(j + 1);
}

static void tile_init(struct tile *t)
{
	int dims[2] = { 0, 0 }, periods[2] = { 0, 0 }, coords[2], rank, n;
	size_t len;

	MPI_Comm_size(MPI_COMM_WORLD, &n);
	MPI_Dims_create(n, 2, dims);
	MPI_Cart_create(MPI_COMM_WORLD, 2, dims, periods, 0, &t->comm);
	MPI_Comm_rank(t->comm, &rank);
	MPI_Cart_coords(t->comm, rank, 2, coords);
	MPI_Cart_shift(t->comm, 0, 1, &t->up, &t->down);
	MPI_Cart_shift(t->comm, 1, 1, &t->left, &t->right);
	t->row = ROWS * coords[0] / dims[0];
	t->nr_rows = ROWS * (coords[0] + 1) / dims[0] - t->row;
	t->col = COLS * coords[1] / dims[1];
	t->nr_cols = COLS * (coords[1] + 1) / dims[1] - t->col;
	len = (size_t)(t->nr_rows + 2) * (size_t)(t->nr_cols + 2);
	t->now = calloc(len, sizeof(double)); /* the frame stays 0 at the grid's edge */
	t->next = calloc(len, sizeof(double));
	if (!t->now || !t->next)
		MPI_Abort(MPI_COMM_WORLD, 1);
}

/* a hot spot in a corner, and a slope */
static void start(struct tile *t)
{
	for (int i = 0; i < t->nr_rows; i++)
		for (int j = 0; j < t->nr_cols; j++) {
			int r = t->row + i, c = t->col + j;

			t->now[at(t, i, j)] = r < 60 && c < 90 ? 100.0 : r * 0.01 + c * 0.02;
		}
}

static void exchange(struct tile *t)
{
	MPI_Datatype column;
	double *v = t->now;
	int m = t->nr_rows, n = t->nr_cols;

	MPI_Type_vector(m, 1, n + 2, MPI_DOUBLE, &column);
	MPI_Type_commit(&column);
	MPI_Sendrecv(v + at(t, 0, 0), n, MPI_DOUBLE, t->up, 0, v + at(t, m, 0), n, MPI_DOUBLE, t->down, 0, t->comm,
		     MPI_STATUS_IGNORE);
	MPI_Sendrecv(v + at(t, m - 1, 0), n, MPI_DOUBLE, t->down, 1, v + at(t, -1, 0), n, MPI_DOUBLE, t->up, 1, t->comm,
		     MPI_STATUS_IGNORE);
	MPI_Sendrecv(v + at(t, 0, 0), 1, column, t->left, 2, v + at(t, 0, n), 1, column, t->right, 2, t->comm,
		     MPI_STATUS_IGNORE);
	MPI_Sendrecv(v + at(t, 0, n - 1), 1, column, t->right, 3, v + at(t, 0, -1), 1, column, t->left, 3, t->comm,
		     MPI_STATUS_IGNORE);
	MPI_Type_free(&column);
}

static void step(struct tile *t)
{
	double *swap = t->now, *v = t->now;

	exchange(t);
	for (int i = 0; i < t->nr_rows; i++)
		for (int j = 0; j < t->nr_cols; j++)
			t->next[at(t, i, j)] = 0.25 * ((v[at(t, i - 1, j)] + v[at(t, i + 1, j)]) +
						       (v[at(t, i, j - 1)] + v[at(t, i, j + 1)]));
	t->now = t->next;
	t->next = swap;
}

/* where the tile lies in memory (without its frame) and in the file */
static void tile_types(const struct tile *t, MPI_Datatype *memory, MPI_Datatype *view)
{
	int framed[2] = { t->nr_rows + 2, t->nr_cols + 2 }, grid[2] = { ROWS, COLS };
	int own[2] = { t->nr_rows, t->nr_cols }, inside[2] = { 1, 1 }, place[2] = { t->row, t->col };

	MPI_Type_create_subarray(2, framed, own, inside, MPI_ORDER_C, MPI_DOUBLE, memory);
	MPI_Type_commit(memory);
	MPI_Type_create_subarray(2, grid, own, place, MPI_ORDER_C, MPI_DOUBLE, view);
	MPI_Type_commit(view);
}

static void checkpoint(struct tile *t, const char *name, int64_t steps)
{
	int64_t header[2] = { (int64_t)ROWS << 32 | COLS, steps };
	MPI_Datatype memory, view;
	MPI_File file;
	int rank;

	MPI_Comm_rank(t->comm, &rank);
	tile_types(t, &memory, &view);
	try(MPI_File_open(t->comm, name, MPI_MODE_RDWR | MPI_MODE_CREATE, MPI_INFO_NULL, &file), name);
	try(MPI_File_set_size(file, 0), "set_size");
	if (rank == 0)
		try(MPI_File_write_at(file, 0, header, HEADER, MPI_BYTE, MPI_STATUS_IGNORE), "write of the header");
	try(MPI_File_set_view(file, HEADER, MPI_DOUBLE, view, "native", MPI_INFO_NULL), "set_view");
	try(MPI_File_write_all(file, t->now, 1, memory, MPI_STATUS_IGNORE), "write_all");
	try(MPI_File_close(&file), "close");
	MPI_Type_free(&memory);
	MPI_Type_free(&view);
}

/* returns the steps that the file has behind it */
static int64_t restart(struct tile *t, const char *name)
{
	MPI_Datatype memory, view;
	int64_t header[2];
	MPI_Status status;
	MPI_File file;
	int count;

	tile_types(t, &memory, &view);
	try(MPI_File_open(t->comm, name, MPI_MODE_RDONLY, MPI_INFO_NULL, &file), name);
	try(MPI_File_read_at_all(file, 0, header, HEADER, MPI_BYTE, MPI_STATUS_IGNORE), "read of the header");
	if (header[0] != ((int64_t)ROWS << 32 | COLS)) {
		fprintf(stderr, "heat2d: %s is no checkpoint of a %d x %d grid\n", name, ROWS, COLS);
		MPI_Abort(MPI_COMM_WORLD, 1);
	}
	try(MPI_File_set_view(file, HEADER, MPI_DOUBLE, view, "native", MPI_INFO_NULL), "set_view");
	try(MPI_File_read_all(file, t->now, 1, memory, &status), "read_all");
	MPI_Get_elements(&status, MPI_DOUBLE, &count);
	if (count != t->nr_rows * t->nr_cols) {
		fprintf(stderr, "heat2d: %s ends too early\n", name);
		MPI_Abort(MPI_COMM_WORLD, 1);
	}
	try(MPI_File_close(&file), "close");
	MPI_Type_free(&memory);
	MPI_Type_free(&view);
	return header[1];
}

int main(int argc, char **argv)
{
	const char *from = NULL, *name = NULL;
	int64_t done = 0;
	struct tile t;
	int steps = 100, rank;

	MPI_Init(&argc, &argv);
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], "--steps") && i + 1 < argc)
			steps = atoi(argv[++i]);
		else if (!strcmp(argv[i], "--restart-from") && i + 1 < argc)
			from = argv[++i];
		else
			name = argv[i];
	if (!name) {
		fprintf(stderr, "usage: heat2d [--steps N] [--restart-from FILE] FILE\n");
		MPI_Abort(MPI_COMM_WORLD, 2);
	}

	tile_init(&t);
	if (from)
		done = restart(&t, from);
	else
		start(&t);
	for (int i = 0; i < steps; i++)
		step(&t);
	checkpoint(&t, name, done + steps);

	MPI_Comm_rank(t.comm, &rank);
	if (rank == 0)
		printf("%lld steps done, %s written\n", (long long)(done + steps), name);
	free(t.now);
	free(t.next);
	MPI_Comm_free(&t.comm);
	MPI_Finalize();
	return 0;
}
