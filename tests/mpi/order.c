/*
 * order.c -- what collective calls have written is seen by, and overwritten by, later
 * ones on other ranks, without a barrier between: in each test one rank comes late.
 * ROMIO does it so; what it leaves to chance is asked for only where `ours` is true.
 * The ranks that are not late are ahead for LATE_US, so a test without order fails
 * always, and one with it never, however slow the machine is.
 */
#include "util.h"

#define LATE_US 100000
#define PART 5003	/* bytes of a rank */
#define LARGE (24 << 20) /* takes longer to write than others take to ask for the size */
#define TILE 64

static unsigned char buf[PART];
static int late; /* who is, this time */

/* kinds of blocking and split collective calls */
enum kind { AT_ALL, ALL, AT_ALL_BEGIN, ALL_BEGIN, ORDERED, ORDERED_BEGIN, KINDS };

static MPI_Offset part(int rank)
{
	return (MPI_Offset)((rank + np) % np) * PART;
}

static void come_late(void)
{
	barrier();
	if (me == late)
		usleep(LATE_US);
}

static void next_late(void)
{
	barrier();
	late = (late + 1) % np;
}

static void write_kind(MPI_File fh, enum kind kind, MPI_Offset off, const void *from, int len)
{
	if (kind == ALL || kind == ALL_BEGIN)
		mpi(MPI_File_seek(fh, off, MPI_SEEK_SET));
	switch (kind) {
	case AT_ALL:
		mpi(MPI_File_write_at_all(fh, off, from, len, MPI_BYTE, MPI_STATUS_IGNORE));
		break;
	case ALL:
		mpi(MPI_File_write_all(fh, from, len, MPI_BYTE, MPI_STATUS_IGNORE));
		break;
	case AT_ALL_BEGIN:
		mpi(MPI_File_write_at_all_begin(fh, off, from, len, MPI_BYTE));
		mpi(MPI_File_write_at_all_end(fh, from, MPI_STATUS_IGNORE));
		break;
	case ALL_BEGIN:
		mpi(MPI_File_write_all_begin(fh, from, len, MPI_BYTE));
		mpi(MPI_File_write_all_end(fh, from, MPI_STATUS_IGNORE));
		break;
	case ORDERED:
		mpi(MPI_File_write_ordered(fh, from, len, MPI_BYTE, MPI_STATUS_IGNORE));
		break;
	default:
		mpi(MPI_File_write_ordered_begin(fh, from, len, MPI_BYTE));
		mpi(MPI_File_write_ordered_end(fh, from, MPI_STATUS_IGNORE));
	}
}

static void read_kind(MPI_File fh, enum kind kind, MPI_Offset off, void *to, int len)
{
	if (kind == ALL || kind == ALL_BEGIN)
		mpi(MPI_File_seek(fh, off, MPI_SEEK_SET));
	switch (kind) {
	case AT_ALL:
		mpi(MPI_File_read_at_all(fh, off, to, len, MPI_BYTE, MPI_STATUS_IGNORE));
		break;
	case ALL:
		mpi(MPI_File_read_all(fh, to, len, MPI_BYTE, MPI_STATUS_IGNORE));
		break;
	case AT_ALL_BEGIN:
		mpi(MPI_File_read_at_all_begin(fh, off, to, len, MPI_BYTE));
		mpi(MPI_File_read_at_all_end(fh, to, MPI_STATUS_IGNORE));
		break;
	case ALL_BEGIN:
		mpi(MPI_File_read_all_begin(fh, to, len, MPI_BYTE));
		mpi(MPI_File_read_all_end(fh, to, MPI_STATUS_IGNORE));
		break;
	case ORDERED:
		mpi(MPI_File_read_ordered(fh, to, len, MPI_BYTE, MPI_STATUS_IGNORE));
		break;
	default:
		mpi(MPI_File_read_ordered_begin(fh, to, len, MPI_BYTE));
		mpi(MPI_File_read_ordered_end(fh, to, MPI_STATUS_IGNORE));
	}
}

/* rank r's part for the shared pointer: it goes from rank to rank in any case */
static int other(enum kind kind)
{
	return kind >= ORDERED ? me : (me + 1) % np;
}

static void rewind_shared(MPI_File fh, enum kind kind)
{
	if (kind >= ORDERED)
		mpi(MPI_File_seek_shared(fh, 0, MPI_SEEK_SET));
}

/* write, then read the next rank's part */
static void read_after_write(MPI_File fh, unsigned *gen)
{
	for (int w = 0; w < KINDS; w++) {
		for (int r = 0; r < ORDERED; r++) {
			int from = (me + 1) % np;

			rewind_shared(fh, (enum kind)w);
			pat_fill(buf, PART, (uint64_t)part(me), ++*gen);
			come_late();
			write_kind(fh, (enum kind)w, part(me), buf, PART);
			memset(buf, 0, PART);
			read_kind(fh, (enum kind)r, part(from), buf, PART);
			check_pat(buf, PART, (uint64_t)part(from), *gen, "read after a collective write");
			next_late();
		}
	}
}

/* ordered reads of what the next rank wrote: ranks write each other's parts */
static void ordered_reads(MPI_File fh, unsigned *gen)
{
	for (int r = ORDERED; r < KINDS; r++) {
		rewind_shared(fh, (enum kind)r);
		pat_fill(buf, PART, (uint64_t)part(me + 1), ++*gen);
		come_late();
		write_kind(fh, AT_ALL, part(me + 1), buf, PART);
		memset(buf, 0, PART);
		read_kind(fh, (enum kind)r, 0, buf, PART);
		check_pat(buf, PART, (uint64_t)part(me), *gen, "ordered read after a collective write");
		next_late();
	}
}

/* each writes its own part, then the next rank's: that one stays */
static void write_after_write(MPI_File fh, unsigned *gen)
{
	for (int w = 0; w < KINDS; w++) {
		for (int again = 0; again < KINDS; again++) {
			int to = other((enum kind)again);

			rewind_shared(fh, (enum kind)w);
			if (w >= ORDERED && again >= ORDERED)
				continue; /* the same parts again */
			/* the second call must overwrite what the late rank writes in the first */
			if (again >= ORDERED) {
				pat_fill(buf, PART, (uint64_t)part(me + 1), *gen + 1);
				come_late();
				write_kind(fh, (enum kind)w, part(me + 1), buf, PART);
				rewind_shared(fh, (enum kind)again);
			} else {
				pat_fill(buf, PART, (uint64_t)part(me), *gen + 1);
				come_late();
				write_kind(fh, (enum kind)w, part(me), buf, PART);
			}
			*gen += 2;
			pat_fill(buf, PART, (uint64_t)part(to), *gen);
			write_kind(fh, (enum kind)again, part(to), buf, PART);
			barrier();
			mpi(MPI_File_read_at(fh, part(me), buf, PART, MPI_BYTE, MPI_STATUS_IGNORE));
			check_pat(buf, PART, (uint64_t)part(me), *gen, "overwritten by a later collective write");
			next_late();
		}
	}
}

/* ranks without data come as well: to the write, to the read, and to a call of which nobody wants anything */
static void zero_counts(MPI_File fh, unsigned *gen)
{
	for (int i = 0; i < 3 * np; i++) {
		bool writes = i % 3 != 1 || me == late, reads = me != late;

		pat_fill(buf, PART, (uint64_t)part(me), ++*gen);
		come_late();
		mpi(MPI_File_write_at_all(fh, part(me), buf, writes ? PART : 0, MPI_BYTE, MPI_STATUS_IGNORE));
		memset(buf, 0, PART);
		if (i % 3 == 2) {
			mpi(MPI_File_read_at_all(fh, 0, buf, 0, MPI_BYTE, MPI_STATUS_IGNORE));
			mpi(MPI_File_read_at(fh, part(late), buf, PART, MPI_BYTE, MPI_STATUS_IGNORE));
			reads = true;
		} else {
			mpi(MPI_File_read_at_all(fh, part(late), buf, reads ? PART : 0, MPI_BYTE, MPI_STATUS_IGNORE));
		}
		if (reads)
			check_pat(buf, PART, (uint64_t)part(late), *gen, "read beside ranks without data");
		if ((i + 1) % 3 == 0)
			next_late();
		barrier();
	}
}

/* small pieces of all ranks in turn; between two handles, each with a view of its own */
static void views(unsigned *gen)
{
	MPI_File mine = open_file(MPI_COMM_WORLD, name(".views"), RDWR_NEW);
	MPI_File next = open_file(MPI_COMM_WORLD, name(".views"), MPI_MODE_RDWR);
	unsigned char tiles[100 * TILE], want[100 * TILE];
	MPI_Datatype tile, view;

	MPI_Type_contiguous(TILE, MPI_BYTE, &tile);
	MPI_Type_create_resized(tile, 0, TILE * (MPI_Aint)np, &view);
	MPI_Type_commit(&view);
	mpi(MPI_File_set_view(mine, me * TILE, MPI_BYTE, view, "native", MPI_INFO_NULL));
	mpi(MPI_File_set_view(next, (me + 1) % np * TILE, MPI_BYTE, view, "native", MPI_INFO_NULL));
	for (int i = 0; i < 2 * np; i++) {
		pat_fill(tiles, sizeof(tiles), (uint64_t)me * sizeof(tiles), ++*gen);
		pat_fill(want, sizeof(want), (uint64_t)((me + 1) % np) * sizeof(want), *gen);
		come_late();
		mpi(MPI_File_write_at_all(mine, 0, tiles, sizeof(tiles), MPI_BYTE, MPI_STATUS_IGNORE));
		memset(tiles, 0, sizeof(tiles));
		mpi(MPI_File_read_at_all(next, 0, tiles, sizeof(tiles), MPI_BYTE, MPI_STATUS_IGNORE));
		check_same(tiles, want, sizeof(want), 0, "view of another rank's pieces");
		next_late();
	}
	MPI_Type_free(&tile);
	MPI_Type_free(&view);
	mpi(MPI_File_close(&mine));
	mpi(MPI_File_close(&next));
}

/* no plain run has left it, with which the files are compared */
static void close_ours(MPI_File fh, const char *url)
{
	mpi(MPI_File_close(&fh));
	barrier();
	if (me == 0)
		mpi(MPI_File_delete(url, MPI_INFO_NULL));
}

/* the late rank's data are the last of the file: whoever comes back from the write knows the size */
static void sizes(void)
{
	MPI_File fh = open_file(MPI_COMM_WORLD, name(".size"), RDWR_NEW);
	unsigned char *large = xmalloc(LARGE);
	MPI_Offset end = 0, got;

	memset(large, 1, LARGE);
	for (int w = 0; w < KINDS; w++) {
		int len = me == late ? w == AT_ALL ? LARGE : LARGE / 4 : me % 2 * 100;
		int all = (w == AT_ALL ? LARGE : LARGE / 4), sum = 0;

		for (int r = 0; r < np; r++)
			sum += r == late ? all : r % 2 * 100;
		mpi(MPI_File_seek_shared(fh, end, MPI_SEEK_SET));
		come_late();
		write_kind(fh, (enum kind)w, me == late ? end + sum - len : end, large, len);
		end += sum;
		mpi(MPI_File_get_size(fh, &got));
		check_int(got, end, "size after a collective write");
		mpi(MPI_File_seek(fh, 0, MPI_SEEK_END));
		mpi(MPI_File_get_position(fh, &got));
		check_int(got, end, "end after a collective write");
		next_late();
	}
	/* and who cuts the file, or asks for room, does so after the writes */
	come_late();
	mpi(MPI_File_write_at_all(fh, end + me, large, 1, MPI_BYTE, MPI_STATUS_IGNORE));
	mpi(MPI_File_set_size(fh, 1000));
	barrier();
	mpi(MPI_File_get_size(fh, &got));
	check_int(got, 1000, "size that was set after a collective write");
	next_late();
	come_late();
	mpi(MPI_File_write_at_all(fh, 5000 + me, large, 1, MPI_BYTE, MPI_STATUS_IGNORE));
	mpi(MPI_File_preallocate(fh, 3000));
	barrier();
	mpi(MPI_File_get_size(fh, &got));
	check_int(got, 5000 + np, "size after a collective write and preallocate");
	free(large);
	close_ours(fh, name(".size"));
}

static MPI_File open_with(const char *url, const char *key, const char *value)
{
	MPI_File fh;
	MPI_Info info;

	MPI_Info_create(&info);
	MPI_Info_set(info, key, value);
	mpi(MPI_File_open(MPI_COMM_WORLD, url, RDWR_NEW, info, &fh));
	MPI_Info_free(&info);
	return fh;
}

/* with pmem_sync=drain the plain file has what all have written before */
static void plain_after_sync(void)
{
	MPI_File fh = open_with(name(".sync"), "pmem_sync", "drain");
	unsigned char *all;
	size_t len;

	pat_fill(buf, PART, (uint64_t)part(me), 1);
	come_late();
	mpi(MPI_File_write_at_all(fh, part(me), buf, PART, MPI_BYTE, MPI_STATUS_IGNORE));
	mpi(MPI_File_sync(fh));
	all = slurp(name(".sync"), &len);
	check_int((long long)len, (long long)np * PART, "size of the plain file after a sync");
	check_pat(all, len, 0, 1, "the plain file after a sync");
	free(all);
	next_late();
	close_ours(fh, name(".sync"));
}

/* who waits in a collective call still does what a message of others needs of it */
static void messages(MPI_File fh)
{
	const int large = 1 << 20;
	char *out = xmalloc((size_t)large), *in = xmalloc((size_t)large);
	MPI_Request request;

	memset(out, 1, (size_t)large);
	for (int i = 0; i < 5; i++) {
		mpi(MPI_Irecv(in, large, MPI_BYTE, (me + 1) % np, 2, MPI_COMM_WORLD, &request));
		if (me == late) /* the others are in the call below, or soon will be */
			usleep(LATE_US / 5);
		if (me == late && np > 1)
			mpi(MPI_Send(out, large, MPI_BYTE, (me + np - 1) % np, 2, MPI_COMM_WORLD));
		mpi(MPI_File_write_at_all(fh, part(me), buf, PART, MPI_BYTE, MPI_STATUS_IGNORE));
		if (me != late || np == 1)
			mpi(MPI_Send(out, large, MPI_BYTE, (me + np - 1) % np, 2, MPI_COMM_WORLD));
		mpi(MPI_Wait(&request, MPI_STATUS_IGNORE));
	}
	free(out);
	free(in);
	next_late();
}

/* the late rank comes when all others have been through: these calls must not wait */
static void come_last(bool last)
{
	for (int r = 0; r < np; r++) {
		if (me == late && last && r != late)
			MPI_Recv(NULL, 0, MPI_BYTE, r, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
	}
	if (me != late && !last)
		MPI_Send(NULL, 0, MPI_BYTE, late, 1, MPI_COMM_WORLD);
}

static void nonblocking(MPI_File fh, unsigned gen)
{
	MPI_Request request;

	for (int i = 0; i < 2; i++) {
		pat_fill(buf, PART, (uint64_t)part(me), gen + (unsigned)i);
		come_last(true);
		if (i == 0)
			mpi(MPI_File_iwrite_at_all(fh, part(me), buf, PART, MPI_BYTE, &request));
		else
			mpi(MPI_File_iread_at_all(fh, part(me), buf, PART, MPI_BYTE, &request));
		mpi(MPI_Wait(&request, MPI_STATUS_IGNORE));
		come_last(false);
		next_late();
	}
	/* but a blocking one sees what they wrote */
	pat_fill(buf, PART, (uint64_t)part(me), gen + 2);
	come_late();
	mpi(MPI_File_iwrite_at_all(fh, part(me), buf, PART, MPI_BYTE, &request));
	mpi(MPI_Wait(&request, MPI_STATUS_IGNORE));
	mpi(MPI_File_read_at_all(fh, part(me + 1), buf, PART, MPI_BYTE, MPI_STATUS_IGNORE));
	check_pat(buf, PART, (uint64_t)part(me + 1), gen + 2, "read after a nonblocking collective write");
	next_late();
}

static void without_order(void)
{
	MPI_File fh = open_with(name(".off"), "pmem_collective_order", "off");

	for (int w = 0; w < ORDERED; w++) {
		pat_fill(buf, PART, (uint64_t)part(me), 1);
		come_last(true);
		write_kind(fh, (enum kind)w, part(me), buf, PART);
		read_kind(fh, (enum kind)w, part(me), buf, PART);
		come_last(false);
		check_pat(buf, PART, (uint64_t)part(me), 1, "read without order");
		next_late();
	}
	/* rounds of ordered calls still do not run into each other */
	for (int i = 0; i < 3; i++) {
		pat_fill(buf, 100, (uint64_t)(i * np + me) * 100, 2);
		come_late();
		write_kind(fh, i % 2 ? ORDERED_BEGIN : ORDERED, 0, buf, 100);
	}
	barrier();
	mpi(MPI_File_read_at(fh, 0, buf, 300 * np, MPI_BYTE, MPI_STATUS_IGNORE));
	check_pat(buf, 300 * (size_t)np, 0, 2, "ordered writes without order");
	close_ours(fh, name(".off"));
}

/* one rank is enough to ask for it */
static void one_asks(unsigned gen)
{
	MPI_File fh = open_with(name(".one"), "pmem_collective_order", me == np - 1 ? "on" : "off");

	pat_fill(buf, PART, (uint64_t)part(me), gen);
	come_late();
	mpi(MPI_File_write_at_all(fh, part(me), buf, PART, MPI_BYTE, MPI_STATUS_IGNORE));
	mpi(MPI_File_read_at_all(fh, part(me + 1), buf, PART, MPI_BYTE, MPI_STATUS_IGNORE));
	check_pat(buf, PART, (uint64_t)part(me + 1), gen, "read where one rank asks for order");
	next_late();
	close_ours(fh, name(".one"));
}

/* who is alone waits for nobody */
static void alone(void)
{
	MPI_File fh = open_file(MPI_COMM_SELF, name(".self.%d", me), RDWR_NEW);

	come_last(true);
	write_kind(fh, AT_ALL, 0, buf, PART);
	read_kind(fh, ALL_BEGIN, 0, buf, PART);
	come_last(false);
	next_late();
	mpi(MPI_File_close(&fh));
}

int main(int argc, char **argv)
{
	unsigned gen = 0;
	MPI_File fh;

	test_init(&argc, &argv);
	late = np - 1;
	fh = open_file(MPI_COMM_WORLD, base, RDWR_NEW);
	read_after_write(fh, &gen);
	ordered_reads(fh, &gen);
	write_after_write(fh, &gen);
	zero_counts(fh, &gen);
	views(&gen);
	alone();
	mpi(MPI_File_close(&fh));
	if (ours) {
		fh = open_file(MPI_COMM_WORLD, name(".ours"), RDWR_NEW);
		messages(fh);
		nonblocking(fh, gen);
		mpi(MPI_File_set_atomicity(fh, 1));
		zero_counts(fh, &gen);
		close_ours(fh, name(".ours"));
		plain_after_sync();
		sizes();
		without_order();
		one_asks(gen);
	}
	return test_end();
}
