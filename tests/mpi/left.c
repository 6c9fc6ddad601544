/*
 * left.c -- a file that is open when MPI ends
 *
 *	left FILE pending	its writes are still under way
 *	left FILE open		they are done
 *	left FILE late		it is closed in MPI_Finalize, as HDF5 does it; after the adapter has been told of MPI's end
 *	left FILE check		FILE, a plain one, has what the others write
 *
 * Each rank writes every np-th piece of generation 1 first and then, in a second round, those of the next rank in
 * generation 2: so these go to another node if the ranks are on several.
 */
#include "util.h"

#define PIECE 1500000
#define PIECES 6 /* of each rank */

static MPI_Request requests[2 * PIECES];

static void write_round(MPI_File fh, int round, bool wait)
{
	for (int i = 0; i < PIECES; i++) {
		MPI_Offset at = (MPI_Offset)PIECE * (i * np + (me + round) % np);
		unsigned char *a = xmalloc(PIECE);

		pat_fill(a, PIECE, at, 1 + round);
		mpi(MPI_File_iwrite_at(fh, at, a, PIECE, MPI_BYTE, &requests[round * PIECES + i]));
	}
	if (wait)
		mpi(MPI_Waitall(PIECES, &requests[round * PIECES], MPI_STATUSES_IGNORE));
}

static int close_it(MPI_Comm comm, int key, void *value, void *extra)
{
	(void)comm;
	(void)key;
	(void)extra;
	mpi(MPI_File_close(value));
	return MPI_SUCCESS;
}

/* attributes go in the reverse order, so this is deleted after those that pmio makes at the open */
static void close_late(MPI_File *fh)
{
	int key;

	mpi(MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, close_it, &key, NULL));
	mpi(MPI_Comm_set_attr(MPI_COMM_SELF, key, fh));
}

static void check_file(const char *name, int ranks)
{
	size_t len = (size_t)PIECE * PIECES * (size_t)ranks;
	unsigned char *a = xmalloc(len + 1);
	FILE *f = fopen(name, "r");

	check(f, "%s: %s", name, strerror(errno));
	check_int(fread(a, 1, len + 1, f), len, "the file's length");
	check_pat(a, len, 0, 2, "the file");
	fclose(f);
	free(a);
}

int main(int argc, char **argv)
{
	static MPI_File fh;
	bool pending;

	test_init(&argc, &argv);
	check(argc >= 3, "usage: left FILE pending|open|late|check [RANKS]");
	if (!strcmp(argv[2], "check")) {
		check_file(base, atoi(argv[3]));
		return test_end();
	}
	pending = !strcmp(argv[2], "pending");
	if (!strcmp(argv[2], "late"))
		close_late(&fh);
	mpi(MPI_File_open(MPI_COMM_WORLD, base, MPI_MODE_CREATE | MPI_MODE_RDWR, MPI_INFO_NULL, &fh));
	write_round(fh, 0, true);
	barrier();
	write_round(fh, 1, !pending);
	MPI_Finalize(); /* without a barrier before */
	return 0;
}
