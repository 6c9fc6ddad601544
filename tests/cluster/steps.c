/*
 * steps.c -- an MPI program that does what it is told with one file, while other programs do something with it, too
 *
 * steps FILE STEP...
 *
 *	write:OFFSET:TEXT	rank 0 writes there
 *	last:OFFSET:TEXT	the last rank does
 *	sync			collective
 *	close, open		collective
 *	say:PATH		rank 0 makes that file
 *	await:PATH		until that file is there
 *	print:PATH		rank 0 writes what it reads of all of the file to that one
 *
 * All ranks do the steps together.  Exit status 0: no call failed.
 */
#include <fcntl.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static MPI_File file;
static const char *name;
static int rank, nr;

static void check(int rc, const char *step)
{
	char text[MPI_MAX_ERROR_STRING];
	int len;

	if (rc == MPI_SUCCESS)
		return;
	MPI_Error_string(rc, text, &len);
	fprintf(stderr, "steps: rank %d: %s: %s\n", rank, step, text);
	MPI_Abort(MPI_COMM_WORLD, 1);
}

static void write_text(const char *arg, int by, const char *step)
{
	char *text;
	long off = strtol(arg, &text, 10);

	text++;
	if (rank == by)
		check(MPI_File_write_at(file, off, text, (int)strlen(text), MPI_CHAR, MPI_STATUS_IGNORE), step);
}

static void say(const char *path)
{
	int fd = rank == 0 ? open(path, O_CREAT | O_WRONLY, 0644) : -1;

	if (fd >= 0)
		close(fd);
}

static void print(const char *path, const char *step)
{
	MPI_Offset size;
	FILE *out;
	char *buf;

	check(MPI_File_get_size(file, &size), step);
	if (rank != 0)
		return;
	buf = malloc((size_t)size + 1);
	out = fopen(path, "w");
	if (!buf || !out)
		MPI_Abort(MPI_COMM_WORLD, 1);
	check(MPI_File_read_at(file, 0, buf, (int)size, MPI_CHAR, MPI_STATUS_IGNORE), step);
	fwrite(buf, 1, (size_t)size, out);
	fclose(out);
	free(buf);
}

static void open_file(const char *step)
{
	check(MPI_File_open(MPI_COMM_WORLD, name, MPI_MODE_RDWR | MPI_MODE_CREATE, MPI_INFO_NULL, &file), step);
}

static void do_step(const char *step)
{
	const char *arg = strchr(step, ':');

	arg = arg ? arg + 1 : "";
	if (strncmp(step, "write:", 6) == 0)
		write_text(arg, 0, step);
	else if (strncmp(step, "last:", 5) == 0)
		write_text(arg, nr - 1, step);
	else if (strcmp(step, "sync") == 0)
		check(MPI_File_sync(file), step);
	else if (strcmp(step, "close") == 0)
		check(MPI_File_close(&file), step);
	else if (strcmp(step, "open") == 0)
		open_file(step);
	else if (strncmp(step, "say:", 4) == 0)
		say(arg);
	else if (strncmp(step, "print:", 6) == 0)
		print(arg, step);
	else if (strncmp(step, "await:", 6) == 0)
		while (access(arg, F_OK) < 0)
			usleep(10000);
	else
		check(MPI_ERR_ARG, step);
	MPI_Barrier(MPI_COMM_WORLD);
}

int main(int argc, char **argv)
{
	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &nr);
	MPI_File_set_errhandler(MPI_FILE_NULL, MPI_ERRORS_RETURN);
	name = argv[1];
	open_file("open");
	for (int i = 2; i < argc; i++)
		do_step(argv[i]);
	if (file != MPI_FILE_NULL)
		check(MPI_File_close(&file), "close");
	MPI_Finalize();
	return 0;
}
