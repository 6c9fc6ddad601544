/*
 * requests.c FILE -- what nonblocking calls and their requests say, one line each: for library.sh, which compares
 * the lines with those of MPICH's own calls on a plain file
 */
#include "../mpi/util.h"

#define N 1000 /* ints in the file */

static int buf[2 * N], handled[2];

static void first(MPI_File *fh, int *rc, ...)
{
	(void)fh, (void)rc;
	handled[0]++;
}

static void second(MPI_File *fh, int *rc, ...)
{
	(void)fh, (void)rc;
	handled[1]++;
}

static const char *word(int n)
{
	static char text[4][32];
	static int next;

	next = (next + 1) % 4;
	snprintf(text[next], sizeof(text[next]), n == MPI_UNDEFINED ? "undefined" : "%d", n);
	return text[next];
}

static void say(const char *what, MPI_Status *st)
{
	int bytes, ints, pairs, elements, cancelled;
	MPI_Datatype pair;

	mpi(MPI_Type_contiguous(2, MPI_INT, &pair));
	mpi(MPI_Type_commit(&pair));
	mpi(MPI_Get_count(st, MPI_BYTE, &bytes));
	mpi(MPI_Get_count(st, MPI_INT, &ints));
	mpi(MPI_Get_count(st, pair, &pairs));
	mpi(MPI_Get_elements(st, pair, &elements));
	mpi(MPI_Test_cancelled(st, &cancelled));
	mpi(MPI_Type_free(&pair));
	printf("%s: %s bytes, %s ints, %s pairs, %s elements%s\n", what, word(bytes), word(ints), word(pairs), word(elements),
	       cancelled ? ", cancelled" : "");
}

/* each way to hear of a request's end */
static void ends(MPI_File fh)
{
	MPI_Request r[3];
	MPI_Status st[3];
	int flag = 0, i;

	mpi(MPI_File_iread_at(fh, 0, buf, 7, MPI_INT, &r[0]));
	mpi(MPI_Wait(&r[0], &st[0]));
	printf("wait: %s\n", r[0] == MPI_REQUEST_NULL ? "gone" : "there");
	say("wait", &st[0]);
	if (ours) { /* MPICH 4.0's own request never gets complete by it */
		mpi(MPI_File_iread_at(fh, 0, buf, 9, MPI_INT, &r[0]));
		mpi(MPI_Request_get_status(r[0], &flag, &st[0]));
		check(flag && r[0] != MPI_REQUEST_NULL, "MPI_Request_get_status: %d", flag);
		check_bytes(&st[0], 36, "MPI_Request_get_status");
		mpi(MPI_Wait(&r[0], MPI_STATUS_IGNORE));
	}
	for (i = 0; i < 3; i++)
		mpi(MPI_File_iread_at(fh, 0, buf, 10 + i, MPI_INT, &r[i]));
	mpi(MPI_Waitall(3, r, st));
	for (i = 0; i < 3; i++)
		say("waitall", &st[i]);
	mpi(MPI_File_iread_at(fh, 0, buf, 5, MPI_INT, &r[0]));
	mpi(MPI_Waitall(1, r, MPI_STATUSES_IGNORE));
	mpi(MPI_File_iwrite_at(fh, 0, buf, 3, MPI_INT, &r[0]));
	mpi(MPI_Request_free(&r[0]));
	printf("free: %s\n", r[0] == MPI_REQUEST_NULL ? "gone" : "there");
}

/* what is there of what was asked for: the file has N ints */
static void counts(MPI_File fh)
{
	MPI_Request r;
	MPI_Status st;
	MPI_Offset pos;

	mpi(MPI_File_iread_at(fh, N - 3, buf, 8, MPI_INT, &r));
	mpi(MPI_Wait(&r, &st));
	say("iread_at at the end", &st);
	mpi(MPI_File_iread_at(fh, N, buf, 8, MPI_INT, &r));
	mpi(MPI_Wait(&r, &st));
	say("iread_at behind the end", &st);
	mpi(MPI_File_iwrite_at(fh, 5, buf, 0, MPI_INT, &r));
	mpi(MPI_Wait(&r, &st));
	say("iwrite_at of nothing", &st);
	mpi(MPI_File_seek(fh, N - 5, MPI_SEEK_SET));
	mpi(MPI_File_iread(fh, buf, 9, MPI_INT, &r));
	mpi(MPI_Wait(&r, &st));
	say("iread at the end", &st);
	mpi(MPI_File_seek(fh, 3, MPI_SEEK_SET));
	mpi(MPI_File_iwrite(fh, buf, 9, MPI_INT, &r));
	mpi(MPI_Wait(&r, &st));
	mpi(MPI_File_get_position(fh, &pos));
	say("iwrite", &st);
	printf("position %d\n", (int)pos);
}

/* whose handler was called; MPICH 4.0 calls it twice, and 5.0's calls return MPI_SUCCESS after it */
static void say_error(const char *what, int rc, int class)
{
	printf("%s: handler %s%s\n", what, handled[0] ? "first" : "", handled[1] ? "second" : "");
	check(!ours || error_class(rc) == class, "%s: class %d, and not %d", what, error_class(rc), class);
	check(!ours || handled[0] + handled[1] == 1, "%s: handlers were called %d times", what, handled[0] + handled[1]);
	handled[0] = handled[1] = 0;
}

/* errors come from the call, by the handler of its file alone */
static void errors(MPI_File fh, const char *name)
{
	MPI_Errhandler h[2], now;
	MPI_Request r;
	MPI_File other;

	mpi(MPI_File_open(MPI_COMM_SELF, name, MPI_MODE_RDONLY, MPI_INFO_NULL, &other));
	mpi(MPI_File_create_errhandler(first, &h[0]));
	mpi(MPI_File_create_errhandler(second, &h[1]));
	mpi(MPI_File_set_errhandler(fh, h[0]));
	mpi(MPI_File_set_errhandler(other, h[1]));
	say_error("iwrite_at of a file to be read", MPI_File_iwrite_at(other, 0, buf, 1, MPI_INT, &r), MPI_ERR_READ_ONLY);
	say_error("iread_at of -1", MPI_File_iread_at(fh, 0, buf, -1, MPI_INT, &r), MPI_ERR_COUNT);
	say_error("iread_at at -1", MPI_File_iread_at(fh, -1, buf, 1, MPI_INT, &r), MPI_ERR_ARG);
	mpi(MPI_File_get_errhandler(other, &now));
	printf("handler %s\n", now == h[1] ? "kept" : "changed");
	mpi(MPI_Errhandler_free(&now));
	mpi(MPI_Errhandler_free(&h[0]));
	mpi(MPI_Errhandler_free(&h[1]));
	mpi(MPI_File_close(&other));
}

int main(int argc, char **argv)
{
	MPI_File fh;

	test_init(&argc, &argv);
	for (int i = 0; i < 2 * N; i++)
		buf[i] = i;
	mpi(MPI_File_open(MPI_COMM_SELF, argv[1], RDWR_NEW, MPI_INFO_NULL, &fh));
	mpi(MPI_File_write(fh, buf, N, MPI_INT, MPI_STATUS_IGNORE));
	mpi(MPI_File_set_view(fh, 0, MPI_INT, MPI_INT, "native", MPI_INFO_NULL));
	ends(fh);
	counts(fh);
	errors(fh, argv[1]);
	mpi(MPI_File_close(&fh));
	return test_end();
}
