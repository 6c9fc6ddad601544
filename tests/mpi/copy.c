/*
 * copy.c -- copy FILE OTHER: what MPI-IO reads of FILE, from a process that does not know who wrote it,
 * goes to a plain file; or, through MPI-IO and by all ranks in turn, to pmem:OTHER
 */
#include "util.h"

static unsigned char buf[1 << 20];

/* rank 0 alone writes to a plain file */
static bool is_mine(MPI_Offset at, bool shared)
{
	return shared ? at / (MPI_Offset)sizeof(buf) % np == me : me == 0;
}

static int get(MPI_File fh, MPI_Offset at, MPI_Offset size)
{
	int n = (int)(size - at < (MPI_Offset)sizeof(buf) ? size - at : (MPI_Offset)sizeof(buf)), got = 0;
	MPI_Status st;

	check(MPI_File_read_at(fh, at, buf, n, MPI_BYTE, &st) == MPI_SUCCESS, "read");
	MPI_Get_count(&st, MPI_BYTE, &got);
	check(got == n, "%d of %d bytes at %lld", got, n, (long long)at);
	return n;
}

static void put(FILE *plain, MPI_File fh, MPI_Offset at, int n)
{
	MPI_Status st;
	int put = 0;

	if (plain) {
		put = (int)fwrite(buf, 1, (size_t)n, plain);
	} else {
		check(MPI_File_write_at(fh, at, buf, n, MPI_BYTE, &st) == MPI_SUCCESS, "write");
		MPI_Get_count(&st, MPI_BYTE, &put);
	}
	check(put == n, "%d of %d bytes at %lld", put, n, (long long)at);
}

int main(int argc, char **argv)
{
	MPI_File in, out = MPI_FILE_NULL;
	FILE *plain = NULL;
	MPI_Offset size;
	bool shared;

	MPI_Init(&argc, &argv);
	if (argc != 3) {
		fprintf(stderr, "usage: copy FILE OTHER\n");
		MPI_Abort(MPI_COMM_WORLD, 2);
	}
	MPI_Comm_rank(MPI_COMM_WORLD, &me);
	MPI_Comm_size(MPI_COMM_WORLD, &np);
	shared = !strncmp(argv[2], "pmem:", 5);
	check(MPI_File_open(MPI_COMM_WORLD, argv[1], MPI_MODE_RDONLY, MPI_INFO_NULL, &in) == MPI_SUCCESS, "open");
	check(MPI_File_get_size(in, &size) == MPI_SUCCESS, "size");
	if (shared)
		check(MPI_File_open(MPI_COMM_WORLD, argv[2], MPI_MODE_CREATE | MPI_MODE_WRONLY, MPI_INFO_NULL, &out) ==
			      MPI_SUCCESS, "open %s", argv[2]);
	else if (me == 0)
		check((plain = fopen(argv[2], "w")) != NULL, "%s: %s", argv[2], strerror(errno));
	for (MPI_Offset at = 0; at < size; at += (MPI_Offset)sizeof(buf)) {
		if (is_mine(at, shared))
			put(plain, out, at, get(in, at, size));
	}
	check(!plain || fclose(plain) == 0, "%s: %s", argv[2], strerror(errno));
	check(MPI_File_close(&in) == MPI_SUCCESS, "close");
	check(!shared || MPI_File_close(&out) == MPI_SUCCESS, "close %s", argv[2]);
	MPI_Finalize();
	return 0;
}
