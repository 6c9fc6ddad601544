/*
 * closefail.c -- closefail FILE HANDLER [CLASS]: writes 4 MiB and closes, where the
 * file system does not take them
 *
 * HANDLER is "user" (a handler of ours is called with that class of error, by default
 * MPI_ERR_NO_SPACE, on each rank), "fatal" (the program must not come to its end),
 * "return" (Open MPI says MPI_SUCCESS: it drops what a close returns) or "none" (no
 * handler is called).
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEN (4 << 20)

static int nr_calls, class_seen;

static void on_error(MPI_File *f, int *code, ...)
{
	(void)f;
	nr_calls++;
	MPI_Error_class(*code, &class_seen);
}

static int class_of(const char *name)
{
	static const struct {
		const char *name;
		int class;
	} known[] = {
		{ "MPI_ERR_NO_SPACE", MPI_ERR_NO_SPACE },
		{ "MPI_ERR_QUOTA", MPI_ERR_QUOTA },
		{ "MPI_ERR_IO", MPI_ERR_IO },
	};

	for (size_t i = 0; name && i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(known[i].name, name) == 0)
			return known[i].class;
	}
	return -1;
}

/* how often our handler should have been called, and with what */
static void check_calls(int rank, int calls, int class)
{
	if (nr_calls == calls && (calls == 0 || class_seen == class))
		return;
	fprintf(stderr, "rank %d: %d calls of the handler, class %d\n", rank, nr_calls, class_seen);
	MPI_Abort(MPI_COMM_WORLD, 4);
}

int main(int argc, char **argv)
{
	char *buf = calloc(1, LEN);
	MPI_Errhandler handler;
	MPI_File f;
	int rank, rc;

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	if ((argc != 3 && argc != 4) || !buf)
		MPI_Abort(MPI_COMM_WORLD, 2);
	if (MPI_File_open(MPI_COMM_WORLD, argv[1], MPI_MODE_CREATE | MPI_MODE_RDWR, MPI_INFO_NULL, &f) !=
	    MPI_SUCCESS)
		MPI_Abort(MPI_COMM_WORLD, 3);
	MPI_File_create_errhandler(on_error, &handler);
	if (strcmp(argv[2], "user") == 0 || strcmp(argv[2], "none") == 0)
		MPI_File_set_errhandler(f, handler);
	else if (strcmp(argv[2], "fatal") == 0)
		MPI_File_set_errhandler(f, MPI_ERRORS_ARE_FATAL);
	MPI_File_write_at(f, (MPI_Offset)rank * LEN, buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE);
	rc = MPI_File_close(&f);
#ifdef MPICH_VERSION /* Open MPI 4.1 drops it */
	if ((rc == MPI_SUCCESS) != (strcmp(argv[2], "none") == 0))
		MPI_Abort(MPI_COMM_WORLD, 5);
#endif
	(void)rc;
	if (strcmp(argv[2], "user") == 0)
		check_calls(rank, 1, argc == 4 ? class_of(argv[3]) : MPI_ERR_NO_SPACE);
	else
		check_calls(rank, 0, 0);
	MPI_Errhandler_free(&handler);
	free(buf);
	printf("rank %d went on\n", rank);
	MPI_Finalize();
	return 0;
}
