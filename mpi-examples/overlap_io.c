/*
 * overlap_io.c -- write the last result while the next one is computed
 *
 *	mpicc -o overlap_io overlap_io.c
 *	mpirun -n 4 ./overlap_io pmem:/path/on/the/parallel/fs/frames.dat
 *
 * Every rank has each nr_ranks-th column of a matrix, so its part of the file is
 * many small pieces; a vector view describes them.  Two buffers take turns: one is
 * being written by MPI_File_iwrite_at_all while the other is filled.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

#define ROWS 500
#define COLS 8	 /* columns of each rank */
#define FRAMES 6 /* matrices, one after another in the file */

static int rank, nr_ranks;
static double frame[2][ROWS * COLS];

static void try(int rc, const char *what)
{
	char text[MPI_MAX_ERROR_STRING];
	int len;

	if (rc == MPI_SUCCESS)
		return;
	MPI_Error_string(rc, text, &len);
	fprintf(stderr, "overlap_io: %s: %s\n", what, text);
	MPI_Abort(MPI_COMM_WORLD, 1);
}

/* the matrix's number at (row, col) of frame f; col counts all ranks' columns */
static double value(int f, int row, int col)
{
	return f * 1e6 + row * 1e3 + col;
}

static void compute(int f, double *out)
{
	for (int i = 0; i < ROWS; i++)
		for (int j = 0; j < COLS; j++)
			out[i * COLS + j] = value(f, i, j * nr_ranks + rank);
}

static void write_frames(MPI_File file)
{
	MPI_Request request = MPI_REQUEST_NULL;

	for (int f = 0; f < FRAMES; f++) {
		compute(f, frame[f % 2]);		 /* while the last frame is written */
		try(MPI_Wait(&request, MPI_STATUS_IGNORE), "wait"); /* its buffer is the next to be filled */
		try(MPI_File_iwrite_at_all(file, (MPI_Offset)f * ROWS * COLS, frame[f % 2], ROWS * COLS, MPI_DOUBLE, &request),
		    "iwrite_at_all");
	}
	try(MPI_Wait(&request, MPI_STATUS_IGNORE), "wait");
}

/* whole rows, so all ranks' columns, without the view */
static void check_frames(MPI_File file)
{
	int width = COLS * nr_ranks;
	double *row = malloc((size_t)width * sizeof(*row));

	for (int i = rank; i < ROWS * FRAMES; i += nr_ranks) {
		try(MPI_File_read_at(file, (MPI_Offset)i * width * 8, row, width, MPI_DOUBLE, MPI_STATUS_IGNORE), "read_at");
		for (int j = 0; j < width; j++)
			if (row[j] != value(i / ROWS, i % ROWS, j)) {
				fprintf(stderr, "overlap_io: frame %d, row %d, column %d is %g\n", i / ROWS, i % ROWS, j, row[j]);
				MPI_Abort(MPI_COMM_WORLD, 1);
			}
	}
	free(row);
}

int main(int argc, char **argv)
{
	MPI_Datatype column, view;
	MPI_File file;

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &nr_ranks);
	if (argc != 2) {
		fprintf(stderr, "usage: overlap_io FILE\n");
		MPI_Abort(MPI_COMM_WORLD, 2);
	}

	/* one double, then room for those of the other ranks */
	MPI_Type_contiguous(1, MPI_DOUBLE, &column);
	MPI_Type_create_resized(column, 0, (MPI_Aint)nr_ranks * (MPI_Aint)sizeof(double), &view);
	MPI_Type_commit(&view);

	try(MPI_File_open(MPI_COMM_WORLD, argv[1], MPI_MODE_RDWR | MPI_MODE_CREATE, MPI_INFO_NULL, &file), argv[1]);
	try(MPI_File_set_size(file, 0), "set_size");
	try(MPI_File_set_view(file, (MPI_Offset)rank * 8, MPI_DOUBLE, view, "native", MPI_INFO_NULL), "set_view");
	write_frames(file);
	try(MPI_File_set_view(file, 0, MPI_BYTE, MPI_BYTE, "native", MPI_INFO_NULL), "set_view");
	MPI_Barrier(MPI_COMM_WORLD); /* all ranks' pieces are written */
	check_frames(file);
	try(MPI_File_close(&file), "close");

	if (rank == 0)
		printf("%d frames of %d x %d written to %s and checked\n", FRAMES, ROWS, COLS * nr_ranks, argv[1]);
	MPI_Type_free(&column);
	MPI_Type_free(&view);
	MPI_Finalize();
	return 0;
}
