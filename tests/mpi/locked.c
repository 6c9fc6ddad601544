/*
 * locked.c -- locked FILE loop: writes in atomic mode until it is killed;
 * locked FILE once: writes and reads in atomic mode, once
 */
#include "util.h"

#define LEN (8 << 20)

int main(int argc, char **argv)
{
	char *buf = xmalloc(LEN);
	bool loop;
	MPI_File fh;

	test_init(&argc, &argv);
	check(argc == 3, "usage: locked FILE loop|once");
	loop = !strcmp(argv[2], "loop");
	fh = open_file(MPI_COMM_WORLD, base, RDWR_NEW);
	mpi(MPI_File_set_atomicity(fh, 1));
	memset(buf, loop ? 'l' : 'o', LEN);
	printf("pid %d\n", (int)getpid());
	fflush(stdout);
	do
		mpi(MPI_File_write_at(fh, 0, buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
	while (loop);
	mpi(MPI_File_read_at(fh, 0, buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
	for (int i = 0; i < LEN; i++)
		check(buf[i] == 'o', "byte %d is %c", i, buf[i]);
	mpi(MPI_File_close(&fh));
	free(buf);
	return test_end();
}
