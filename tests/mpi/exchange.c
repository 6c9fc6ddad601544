/*
 * exchange.c -- small pieces of collective calls, whoever holds them: the same with each value of
 * the hint pmem_collective.  On one node it changes nothing; run on several (tests/cluster/nodes.sh).
 *
 * exchange FILE           all of that
 * exchange FILE --full    the pool has no room and may not use the file system: ranks hear of it, and none waits
 */
#include "util.h"

#define MIB (1 << 20)
#define PIECE 100
#define TIMES 12000 /* pieces of each rank: more than go into one message, or are looked at in one go */

static MPI_File open_with(const char *url, const char *how, bool full)
{
	MPI_Info info;
	MPI_File fh;

	MPI_Info_create(&info);
	MPI_Info_set(info, "pmem_collective", how);
	if (full)
		MPI_Info_set(info, "pmem_fallback", "error");
	mpi(MPI_File_open(MPI_COMM_WORLD, url, RDWR_NEW, info, &fh));
	MPI_Info_free(&info);
	return fh;
}

static void check_hint(MPI_File fh, const char *how)
{
	char value[32] = "";
	MPI_Info info;
	int flag;

	mpi(MPI_File_get_info(fh, &info));
	MPI_Info_get(info, "pmem_collective", (int)sizeof(value) - 1, value, &flag);
	MPI_Info_free(&info);
	check(flag && strcmp(value, how) == 0, "pmem_collective is \"%s\", should be \"%s\"", value, how);
}

/* pieces of the ranks in turn, from disp on */
static void set_turns(MPI_File fh, MPI_Offset disp, int piece)
{
	MPI_Datatype one, turns;

	MPI_Type_contiguous(piece, MPI_BYTE, &one);
	MPI_Type_create_resized(one, 0, (MPI_Aint)piece * np, &turns);
	MPI_Type_commit(&turns);
	mpi(MPI_File_set_view(fh, disp + (MPI_Offset)me * piece, MPI_BYTE, turns, "native", MPI_INFO_NULL));
	MPI_Type_free(&one);
	MPI_Type_free(&turns);
}

/* this rank's bytes of such a view */
static void fill_turns(unsigned char *buf, MPI_Offset disp, int piece, int times, unsigned gen)
{
	for (int i = 0; i < times; i++)
		pat_fill(buf + (size_t)i * (size_t)piece, (size_t)piece,
			 (uint64_t)(disp + ((MPI_Offset)i * np + me) * piece), gen);
}

static void check_turns(const unsigned char *buf, MPI_Offset disp, int piece, int times, unsigned gen, const char *what)
{
	for (int i = 0; i < times; i++)
		check_pat(buf + (size_t)i * (size_t)piece, (size_t)piece,
			  (uint64_t)(disp + ((MPI_Offset)i * np + me) * piece), gen, what);
}

/* by calls that no other rank takes part in */
static void check_all(MPI_File fh, MPI_Offset disp, size_t len, unsigned gen, const char *what)
{
	unsigned char *all = xmalloc(len);
	MPI_Status st;

	mpi(MPI_File_set_view(fh, 0, MPI_BYTE, MPI_BYTE, "native", MPI_INFO_NULL));
	mpi(MPI_File_read_at(fh, disp, all, (int)len, MPI_BYTE, &st));
	check_bytes(&st, (int)len, what);
	check_pat(all, len, (uint64_t)disp, gen, what);
	free(all);
}

static void small_pieces(MPI_File fh)
{
	const int len = PIECE * TIMES;
	unsigned char *buf = xmalloc((size_t)len);
	MPI_Status st;

	set_turns(fh, 77, PIECE);
	fill_turns(buf, 77, PIECE, TIMES, 1);
	mpi(MPI_File_write_all(fh, buf, len, MPI_BYTE, &st));
	check_bytes(&st, len, "collective write in turns");
	barrier();
	check_all(fh, 77, (size_t)len * (size_t)np, 1, "written in turns");
	set_turns(fh, 77, PIECE);
	memset(buf, 0, (size_t)len);
	mpi(MPI_File_read_at_all(fh, 0, buf, len, MPI_BYTE, &st));
	check_bytes(&st, len, "collective read in turns");
	check_turns(buf, 77, PIECE, TIMES, 1, "read in turns");
	free(buf);
}

/* all chunks are where rank 0 is, and the last ranks have nothing to do */
static void of_one_node(MPI_File fh)
{
	const int len = PIECE * TIMES;
	const MPI_Offset disp = 40 * (MPI_Offset)MIB;
	unsigned char *buf = xmalloc((size_t)len * (size_t)np);
	MPI_Status st;
	int mine;

	mpi(MPI_File_set_view(fh, 0, MPI_BYTE, MPI_BYTE, "native", MPI_INFO_NULL));
	pat_fill(buf, (size_t)len * (size_t)np, (uint64_t)disp, 2);
	if (me == 0)
		mpi(MPI_File_write_at(fh, disp, buf, len * np, MPI_BYTE, MPI_STATUS_IGNORE));
	barrier();
	set_turns(fh, disp, PIECE);
	mine = me >= (np + 1) / 2 ? 0 : len;
	memset(buf, 0, (size_t)len);
	mpi(MPI_File_read_at_all(fh, 0, buf, mine, MPI_BYTE, &st));
	check_bytes(&st, mine, "collective read of one node's");
	check_turns(buf, disp, PIECE, mine / PIECE, 2, "one node's, read in turns");
	fill_turns(buf, disp, PIECE, TIMES, 3);
	mpi(MPI_File_write_at_all(fh, 0, buf, len, MPI_BYTE, &st));
	check_bytes(&st, len, "collective write to one node's");
	barrier();
	check_all(fh, disp, (size_t)len * (size_t)np, 3, "one node's, written in turns");
	free(buf);
}

/* behind the end of the file: each rank gets what there is, and pieces that are not there stay as they were */
static void across_the_end(MPI_File fh)
{
	const MPI_Offset disp = 64 * (MPI_Offset)MIB, whole = 500 * (MPI_Offset)np * PIECE;
	unsigned char buf[600 * PIECE];
	MPI_Status st;
	int want = 500 * PIECE + (me == 0 ? 33 : 0); /* rank 0's last piece is cut */

	mpi(MPI_File_set_view(fh, 0, MPI_BYTE, MPI_BYTE, "native", MPI_INFO_NULL));
	mpi(MPI_File_set_size(fh, disp + whole + 33));
	set_turns(fh, disp, PIECE);
	memset(buf, 0xee, sizeof(buf));
	mpi(MPI_File_read_at_all(fh, 0, buf, (int)sizeof(buf), MPI_BYTE, &st));
	check_bytes(&st, want, "collective read across the end");
	check_zero(buf, (size_t)want, 0, "never written");
	for (size_t i = (size_t)want; i < sizeof(buf); i++)
		check_int(buf[i], 0xee, "a byte that the file does not have");
}

/* short and long pieces in one view, and memory with gaps; the type's extent is not what they cover */
static void mixed_pieces(MPI_File fh)
{
	const MPI_Offset disp = 80 * (MPI_Offset)MIB;
	const int lens[3] = { 10, 2 * MIB, 500 };
	const size_t sum = 10 + 2 * MIB + 500, mem = 2 * sum;
	unsigned char *buf = xmalloc(2 * mem), *got = xmalloc(2 * mem);
	int at[3] = { 0, 20, 2 * MIB + 600 };
	MPI_Datatype pieces, view, gaps;
	MPI_Status st;

	MPI_Type_indexed(3, lens, at, MPI_BYTE, &pieces);
	MPI_Type_create_resized(pieces, 0, 4 * (MPI_Aint)MIB * np, &view);
	MPI_Type_commit(&view);
	MPI_Type_vector((int)sum, 1, 2, MPI_BYTE, &gaps);
	MPI_Type_commit(&gaps);
	mpi(MPI_File_set_view(fh, disp + 4 * (MPI_Offset)MIB * me, MPI_BYTE, view, "native", MPI_INFO_NULL));
	pat_fill(buf, 2 * mem, (uint64_t)me, 4);
	mpi(MPI_File_write_all(fh, buf, 1, gaps, &st));
	check_bytes(&st, (int)sum, "collective write from memory with gaps");
	memset(got, 0, 2 * mem);
	mpi(MPI_File_read_at_all(fh, 0, got, (int)sum, MPI_BYTE, &st));
	check_bytes(&st, (int)sum, "collective read of it");
	for (size_t i = 0; i < sum; i++)
		check(got[i] == buf[2 * i], "byte %zu of short and long pieces is %#x, should be %#x", i, got[i], buf[2 * i]);
	MPI_Type_free(&pieces);
	MPI_Type_free(&view);
	MPI_Type_free(&gaps);
	free(buf);
	free(got);
}

/* nonblocking collective calls wait for nobody: the others come later, or for something else */
static void nobody_waits(MPI_File fh)
{
	unsigned char buf[PIECE * 10];
	MPI_Request r;

	set_turns(fh, 120 * (MPI_Offset)MIB, PIECE);
	fill_turns(buf, 120 * (MPI_Offset)MIB, PIECE, 10, 5);
	for (int turn = 0; turn < np; turn++) {
		if (turn == me) {
			mpi(MPI_File_iwrite_at_all(fh, 0, buf, (int)sizeof(buf), MPI_BYTE, &r));
			mpi(MPI_Wait(&r, MPI_STATUS_IGNORE));
		}
		barrier();
	}
	check_all(fh, 120 * (MPI_Offset)MIB, sizeof(buf) * (size_t)np, 5, "written one after the other");
}

/* in collective calls all find out, whoever has the pool without room; then there is room again */
static void full(const char *how)
{
	const int len = 2 * MIB, piece = 512;
	MPI_File fh = open_with(name(".full.%s", how), how, true);
	unsigned char *buf = xmalloc((size_t)len);
	int failed = 0, any = 0, rc, i = 0;

	set_turns(fh, 0, piece);
	for (; i < 100 && !any; i++) {
		fill_turns(buf, (MPI_Offset)i * len * np, piece, len / piece, 1);
		rc = MPI_File_write_at_all(fh, (MPI_Offset)i * len, buf, len, MPI_BYTE, MPI_STATUS_IGNORE);
		if (rc != MPI_SUCCESS) {
			check_int(error_class(rc), MPI_ERR_NO_SPACE, "error class of a collective write without room");
			failed = 1;
		}
		MPI_Allreduce(&failed, &any, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
	}
	check(any, "all was written: there was room");
	check(i > 1, "there was no room at all");
	check_all(fh, 0, (size_t)len * (size_t)np, 1, "written before there was no room");
	mpi(MPI_File_set_size(fh, 0));
	set_turns(fh, 0, piece);
	fill_turns(buf, 0, piece, 100, 2);
	mpi(MPI_File_write_at_all(fh, 0, buf, 100 * piece, MPI_BYTE, MPI_STATUS_IGNORE));
	barrier();
	check_all(fh, 0, 100 * (size_t)piece * (size_t)np, 2, "written when there was room again");
	free(buf);
	mpi(MPI_File_close(&fh));
}

int main(int argc, char **argv)
{
	static const char *const hows[] = { "auto", "direct", "aggregate" };

	test_init(&argc, &argv);
	for (int i = 0; i < 3; i++) {
		MPI_File fh;

		if (argc > 2 && strcmp(argv[2], "--full") == 0) {
			full(hows[i]);
			continue;
		}
		fh = open_with(name(".%s", hows[i]), hows[i], false);
		if (ours)
			check_hint(fh, hows[i]);
		small_pieces(fh);
		of_one_node(fh);
		if (ours) /* others' statuses say that they have read it all */
			across_the_end(fh);
		mixed_pieces(fh);
		nobody_waits(fh);
		mpi(MPI_File_close(&fh));
	}
	return test_end();
}
