/*
 * copy.c -- copy FILE PLAIN: what MPI-IO reads of FILE, from a process that does not know who wrote it,
 * goes to a plain file
 */
#include "util.h"

int main(int argc, char **argv)
{
	static unsigned char buf[1 << 20];
	MPI_Offset size, at = 0;
	MPI_File fh;
	FILE *out;
	int n;

	MPI_Init(&argc, &argv);
	if (argc != 3) {
		fprintf(stderr, "usage: copy FILE PLAIN\n");
		MPI_Abort(MPI_COMM_WORLD, 2);
	}
	MPI_Comm_rank(MPI_COMM_WORLD, &me);
	check(MPI_File_open(MPI_COMM_WORLD, argv[1], MPI_MODE_RDONLY, MPI_INFO_NULL, &fh) == MPI_SUCCESS, "open");
	check(MPI_File_get_size(fh, &size) == MPI_SUCCESS, "size");
	out = me == 0 ? fopen(argv[2], "w") : NULL;
	check(me != 0 || out, "%s: %s", argv[2], strerror(errno));
	for (; at < size && out; at += n) {
		MPI_Status st;

		check(MPI_File_read_at(fh, at, buf, sizeof(buf), MPI_BYTE, &st) == MPI_SUCCESS, "read");
		MPI_Get_count(&st, MPI_BYTE, &n);
		check(n > 0 && fwrite(buf, 1, (size_t)n, out) == (size_t)n, "%d bytes at %lld", n, (long long)at);
	}
	check(!out || fclose(out) == 0, "%s: %s", argv[2], strerror(errno));
	check(MPI_File_close(&fh) == MPI_SUCCESS, "close");
	MPI_Finalize();
	return 0;
}
