/*
 * nonblock.c -- nonblocking file requests, independent and collective, many at once,
 * mixed with point-to-point messages in Waitall, Waitany, Waitsome, Test and Testall
 */
#include "util.h"

#define PIECE 30011
#define NR 8

static unsigned char buf[NR][PIECE];

static MPI_Offset at(int r, int i)
{
	return ((MPI_Offset)i * np + r) * PIECE;
}

static void fill(unsigned gen)
{
	for (int i = 0; i < NR; i++)
		pat_fill(buf[i], PIECE, (uint64_t)at(me, i), gen);
}

static void check_all(MPI_File fh, unsigned gen, const char *what)
{
	unsigned char *all = xmalloc(PIECE);

	barrier();
	for (int i = 0; i < NR; i++)
		for (int r = 0; r < np; r++) {
			mpi(MPI_File_read_at(fh, at(r, i), all, PIECE, MPI_BYTE, MPI_STATUS_IGNORE));
			check_pat(all, PIECE, (uint64_t)at(r, i), gen, what);
		}
	barrier();
	free(all);
}

/* file writes and a ring of messages in one Waitall */
static void waitall(MPI_File fh, bool collective, unsigned gen)
{
	int next = (me + 1) % np, prev = (me + np - 1) % np, token = 1000 + me, got = -1;
	MPI_Request r[NR + 2];
	MPI_Status st[NR + 2];

	fill(gen);
	mpi(MPI_Irecv(&got, 1, MPI_INT, prev, 5, MPI_COMM_WORLD, &r[0]));
	for (int i = 0; i < NR; i++)
		if (collective)
			mpi(MPI_File_iwrite_at_all(fh, at(me, i), buf[i], PIECE, MPI_BYTE, &r[1 + i]));
		else
			mpi(MPI_File_iwrite_at(fh, at(me, i), buf[i], PIECE, MPI_BYTE, &r[1 + i]));
	mpi(MPI_Isend(&token, 1, MPI_INT, next, 5, MPI_COMM_WORLD, &r[NR + 1]));
	mpi(MPI_Waitall(NR + 2, r, st));
	check_int(got, 1000 + prev, "token");
	for (int i = 0; i < NR; i++) {
		check(r[1 + i] == MPI_REQUEST_NULL, "a request is left");
		check_bytes(&st[1 + i], PIECE, collective ? "iwrite_at_all" : "iwrite_at");
	}
	check_all(fh, gen, collective ? "iwrite_at_all" : "iwrite_at");
}

static void start_reads(MPI_File fh, bool collective, MPI_Request *r)
{
	int from = (me + 1) % np;

	memset(buf, 0, sizeof(buf));
	for (int i = 0; i < NR; i++)
		if (collective)
			mpi(MPI_File_iread_at_all(fh, at(from, i), buf[i], PIECE, MPI_BYTE, &r[i]));
		else
			mpi(MPI_File_iread_at(fh, at(from, i), buf[i], PIECE, MPI_BYTE, &r[i]));
}

static void check_read(int i, unsigned gen, const char *what)
{
	check_pat(buf[i], PIECE, (uint64_t)at((me + 1) % np, i), gen, what);
}

static void waitany(MPI_File fh, bool collective, unsigned gen)
{
	MPI_Request r[NR];
	MPI_Status st;
	int i, n = 0;

	start_reads(fh, collective, r);
	for (;;) {
		mpi(MPI_Waitany(NR, r, &i, &st));
		if (i == MPI_UNDEFINED)
			break;
		check_bytes(&st, PIECE, "Waitany");
		check_read(i, gen, "Waitany");
		n++;
	}
	check_int(n, NR, "requests from Waitany");
}

static void waitsome(MPI_File fh, bool collective, unsigned gen)
{
	int index[NR], n, done = 0;
	MPI_Request r[NR];
	MPI_Status st[NR];

	start_reads(fh, collective, r);
	while (done < NR) {
		mpi(MPI_Waitsome(NR, r, &n, index, st));
		check(n != MPI_UNDEFINED, "Waitsome knows no more requests after %d", done);
		for (int i = 0; i < n; i++) {
			check_bytes(&st[i], PIECE, "Waitsome");
			check_read(index[i], gen, "Waitsome");
		}
		done += n;
	}
}

static void testing(MPI_File fh, bool collective, unsigned gen)
{
	MPI_Request r[NR];
	MPI_Status st[NR];
	int flag = 0;

	start_reads(fh, collective, r);
	while (!flag)
		mpi(MPI_Testall(NR, r, &flag, st));
	for (int i = 0; i < NR; i++) {
		check_bytes(&st[i], PIECE, "Testall");
		check_read(i, gen, "Testall");
	}
	start_reads(fh, collective, r);
	for (int i = NR - 1; i >= 0; i--) {
		for (flag = 0; !flag;)
			mpi(MPI_Test(&r[i], &flag, &st[i]));
		check_read(i, gen, "Test");
	}
}

/* the individual pointer moves when the call is made, not when it completes */
static void pointers(MPI_File fh, bool collective, unsigned gen)
{
	MPI_Request r[NR];
	MPI_Offset pos;

	fill(gen);
	mpi(MPI_File_set_view(fh, 0, MPI_BYTE, MPI_BYTE, "native", MPI_INFO_NULL));
	for (int i = 0; i < NR; i++) {
		mpi(MPI_File_seek(fh, at(me, i), MPI_SEEK_SET));
		if (collective)
			mpi(MPI_File_iwrite_all(fh, buf[i], PIECE, MPI_BYTE, &r[i]));
		else
			mpi(MPI_File_iwrite(fh, buf[i], PIECE, MPI_BYTE, &r[i]));
		mpi(MPI_File_get_position(fh, &pos));
		check_int(pos, at(me, i) + PIECE, "position while a write is under way");
	}
	mpi(MPI_Waitall(NR, r, MPI_STATUSES_IGNORE));
	check_all(fh, gen, collective ? "iwrite_all" : "iwrite");
}

/* requests of two files at once, completed in the wrong order */
static void two_files(MPI_File fh, bool collective)
{
	MPI_File other = open_file(MPI_COMM_WORLD, name(".2"), RDWR_NEW);
	MPI_Request r[2];

	fill(90);
	if (collective) {
		mpi(MPI_File_iwrite_at_all(fh, at(me, 0), buf[0], PIECE, MPI_BYTE, &r[0]));
		mpi(MPI_File_iwrite_at_all(other, at(me, 0), buf[0], PIECE, MPI_BYTE, &r[1]));
	} else {
		mpi(MPI_File_iwrite_at(fh, at(me, 0), buf[0], PIECE, MPI_BYTE, &r[0]));
		mpi(MPI_File_iwrite_at(other, at(me, 0), buf[0], PIECE, MPI_BYTE, &r[1]));
	}
	mpi(MPI_Wait(&r[1], MPI_STATUS_IGNORE));
	mpi(MPI_Wait(&r[0], MPI_STATUS_IGNORE));
	barrier();
	mpi(MPI_File_read_at(fh, at((me + 1) % np, 0), buf[1], PIECE, MPI_BYTE, MPI_STATUS_IGNORE));
	check_pat(buf[1], PIECE, (uint64_t)at((me + 1) % np, 0), 90, "first file");
	mpi(MPI_File_read_at(other, at((me + 1) % np, 0), buf[1], PIECE, MPI_BYTE, MPI_STATUS_IGNORE));
	check_pat(buf[1], PIECE, (uint64_t)at((me + 1) % np, 0), 90, "second file");
	mpi(MPI_File_close(&other));
}

/*
 * A rank that starts a nonblocking collective call, and ends it, before the others
 * have begun: they wait for its message first.
 */
static void others_are_late(MPI_File fh)
{
	int token = 0;
	MPI_Request r;
	MPI_Status st;

	if (np == 1)
		return;
	for (int first = 0; first < np; first++) {
		fill(50 + (unsigned)first);
		if (me != first)
			mpi(MPI_Recv(&token, 1, MPI_INT, first, 6, MPI_COMM_WORLD, MPI_STATUS_IGNORE));
		for (int i = 0; i < NR; i++) {
			if (i % 2)
				mpi(MPI_File_iwrite_at_all(fh, at(me, i), buf[i], PIECE, MPI_BYTE, &r));
			else {
				mpi(MPI_File_seek(fh, at(me, i), MPI_SEEK_SET));
				mpi(MPI_File_iwrite_all(fh, buf[i], PIECE, MPI_BYTE, &r));
			}
			mpi(MPI_Wait(&r, &st));
			check_bytes(&st, PIECE, "before the others have begun");
		}
		mpi(MPI_File_iread_at_all(fh, at(me, 1), buf[0], PIECE, MPI_BYTE, &r));
		mpi(MPI_Wait(&r, &st));
		check_pat(buf[0], PIECE, (uint64_t)at(me, 1), 50 + (unsigned)first, "before the others have begun");
		for (int q = 0; q < np && me == first; q++)
			if (q != first)
				mpi(MPI_Send(&token, 1, MPI_INT, q, 6, MPI_COMM_WORLD));
		check_all(fh, 50 + (unsigned)first, "by one rank after the other");
	}
}

/* requests of MPI's own kinds, finished by others, between those of files */
static void mixed_requests(MPI_File fh)
{
	int next = (me + 1) % np, prev = (me + np - 1) % np, in = -1, sum = -1, one = 1;
	MPI_Request r[6];
	MPI_Status st[6];

	fill(70);
	mpi(MPI_Irecv(&in, 1, MPI_INT, prev, 8, MPI_COMM_WORLD, &r[0]));
	mpi(MPI_File_iwrite_at(fh, at(me, 0), buf[0], PIECE, MPI_BYTE, &r[1]));
	mpi(MPI_Ibarrier(MPI_COMM_WORLD, &r[2]));
	mpi(MPI_File_iwrite_at_all(fh, at(me, 1), buf[1], PIECE, MPI_BYTE, &r[3]));
	mpi(MPI_Iallreduce(&one, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD, &r[4]));
	mpi(MPI_Isend(&me, 1, MPI_INT, next, 8, MPI_COMM_WORLD, &r[5]));
	mpi(MPI_Waitall(6, r, st));
	check_int(in, prev, "message");
	check_int(sum, np, "sum");
	check_bytes(&st[1], PIECE, "iwrite_at among others");
	check_bytes(&st[3], PIECE, "iwrite_at_all among others");
	for (int i = 0; i < 6; i++)
		check(r[i] == MPI_REQUEST_NULL, "request %d is left", i);
	barrier();
	for (int i = 0; i < 2; i++) {
		mpi(MPI_File_iread_at(fh, at(next, i), buf[i], PIECE, MPI_BYTE, &r[0]));
		mpi(MPI_Request_free(&r[0])); /* nobody asks for its status */
		mpi(MPI_File_read_at(fh, at(next, i), buf[i], PIECE, MPI_BYTE, MPI_STATUS_IGNORE));
		check_pat(buf[i], PIECE, (uint64_t)at(next, i), 70, "written among other requests");
	}
	barrier();
}

/* a view of every np-th piece */
static MPI_Datatype every_np(void)
{
	MPI_Datatype piece, view;

	mpi(MPI_Type_contiguous(PIECE, MPI_BYTE, &piece));
	mpi(MPI_Type_create_resized(piece, 0, (MPI_Aint)np * PIECE, &view));
	mpi(MPI_Type_commit(&view));
	mpi(MPI_Type_free(&piece));
	return view;
}

/* what a request must not need any more: the view, datatypes, and the file's handle */
static void gone_before(unsigned gen)
{
	MPI_File fh = open_file(MPI_COMM_WORLD, name(".3"), RDWR_NEW);
	MPI_Datatype view = every_np(), gaps;
	MPI_Request r[NR];
	MPI_Status st[NR];
	unsigned char *spread = xmalloc(2 * PIECE);

	fill(gen);
	for (int i = 0; i < PIECE; i++)
		spread[2 * i] = buf[0][i];
	mpi(MPI_Type_create_resized(MPI_BYTE, 0, 2, &gaps));
	mpi(MPI_Type_commit(&gaps));
	mpi(MPI_File_set_view(fh, me * (MPI_Offset)PIECE, MPI_BYTE, view, "native", MPI_INFO_NULL));
	mpi(MPI_File_iwrite_at(fh, 0, spread, PIECE, gaps, &r[0]));
	mpi(MPI_Type_free(&gaps));
	for (int i = 1; i < NR / 2; i++)
		mpi(MPI_File_iwrite_at(fh, (MPI_Offset)i * PIECE, buf[i], PIECE, MPI_BYTE, &r[i]));
	mpi(MPI_Type_free(&view));
	mpi(MPI_File_set_view(fh, 0, MPI_BYTE, MPI_BYTE, "native", MPI_INFO_NULL));
	for (int i = NR / 2; i < NR; i++)
		mpi(MPI_File_iwrite_at(fh, at(me, i), buf[i], PIECE, MPI_BYTE, &r[i]));
	mpi(MPI_File_sync(fh));
	check_all(fh, gen, "before its request was completed"); /* durable, and so visible */
	fill(gen + 1);
	memcpy(spread, buf[0], PIECE);
	mpi(MPI_Waitall(NR, r, st));
	for (int i = 0; i < NR; i++) {
		check_bytes(&st[i], PIECE, "completed after a sync");
		mpi(MPI_File_iwrite_at(fh, at(me, i), i ? buf[i] : spread, PIECE, MPI_BYTE, &r[i]));
	}
	mpi(MPI_File_close(&fh));
	mpi(MPI_Waitall(NR, r, st));
	for (int i = 0; i < NR; i++)
		check_bytes(&st[i], PIECE, "completed after the close");
	mpi(MPI_File_open(MPI_COMM_WORLD, name(".3"), MPI_MODE_RDONLY, MPI_INFO_NULL, &fh));
	check_all(fh, gen + 1, "closed before its requests were completed");
	mpi(MPI_File_close(&fh));
	barrier();
	if (me == 0)
		mpi(MPI_File_delete(name(".3"), MPI_INFO_NULL)); /* others do not leave it */
	free(spread);
}

int main(int argc, char **argv)
{
	MPI_File fh;

	test_init(&argc, &argv);
	fh = open_file(MPI_COMM_WORLD, base, RDWR_NEW);
	for (int c = 0; c < (romio ? 1 : 2); c++) { /* plain ROMIO: a nonblocking collective ends it */
		unsigned gen = 1 + 10 * (unsigned)c;

		waitall(fh, c, gen);
		waitany(fh, c, gen);
		waitsome(fh, c, gen);
		testing(fh, c, gen);
		barrier();
		pointers(fh, c, gen + 1);
		two_files(fh, c);
	}
	if (ours) { /* OMPIO's wait for the others */
		others_are_late(fh);
		mixed_requests(fh);
		gone_before(30);
		fill(12); /* leaves what the others leave */
		for (int i = 0; i < NR; i++)
			mpi(MPI_File_write_at(fh, at(me, i), buf[i], PIECE, MPI_BYTE, MPI_STATUS_IGNORE));
		fill(90);
		mpi(MPI_File_write_at(fh, at(me, 0), buf[0], PIECE, MPI_BYTE, MPI_STATUS_IGNORE));
	}
	mpi(MPI_File_close(&fh));
	return test_end();
}
