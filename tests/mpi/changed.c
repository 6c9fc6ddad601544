/*
 * changed.c -- the plain file is changed by others while nobody has it open: the next
 * open sees what they made of it; data that wait for a file that was changed are
 * reported and kept
 */
#include "util.h"
#include <sys/time.h>

#define LEN (2500000 + 123) /* some chunks, and a part of a block */

static unsigned char buf[LEN];
static char file[4096]; /* the plain one */

/* all ranks together write all of it, with sizes that have nothing to do with blocks */
static void written(const char *url, unsigned gen)
{
	MPI_File fh = open_file(MPI_COMM_WORLD, url, RDWR_NEW);
	size_t from = LEN / (size_t)np * (size_t)me, to = me == np - 1 ? LEN : LEN / (size_t)np * (size_t)(me + 1);

	pat_fill(buf, to - from, from, gen);
	mpi(MPI_File_set_size(fh, 0));
	mpi(MPI_File_write_at_all(fh, (MPI_Offset)from, buf, (int)(to - from), MPI_BYTE, MPI_STATUS_IGNORE));
	mpi(MPI_File_close(&fh));
	barrier();
}

/* what an open by pmem: shows, on every rank: len bytes of gen */
static void check_now(const char *url, size_t len, unsigned gen, const char *what)
{
	MPI_File fh = open_file(MPI_COMM_WORLD, url, MPI_MODE_RDONLY);
	MPI_Status st;

	check_size(fh, (MPI_Offset)len);
	memset(buf, 0, LEN);
	mpi(MPI_File_read_at_all(fh, 0, buf, LEN, MPI_BYTE, &st));
	check_bytes(&st, (int)len, what);
	check_pat(buf, len, 0, gen, what);
	mpi(MPI_File_close(&fh));
	barrier();
}

/* ---- what others do, on rank 0 ---------------------------------------------------------- */

static void put(const char *where, int oflags, size_t from, size_t to, unsigned gen)
{
	int fd = open(where, O_WRONLY | O_CREAT | oflags, 0666);

	check(fd >= 0, "%s: %s", where, strerror(errno));
	pat_fill(buf, to - from, from, gen);
	check(pwrite(fd, buf, to - from, (off_t)from) == (ssize_t)(to - from), "%s: %s", where, strerror(errno));
	check(!close(fd), "%s: %s", where, strerror(errno));
}

static void in_place(void)
{
	put(file, 0, 0, LEN, 2);
}

/* as rsync -t and tar do: size and mtime are as they were */
static void in_place_in_secret(void)
{
	struct timespec times[2];
	struct stat st;

	check(!stat(file, &st), "%s: %s", file, strerror(errno));
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	put(file, 0, 0, LEN, 2);
	check(!utimensat(AT_FDCWD, file, times, 0), "%s: %s", file, strerror(errno));
}

static void by_another_file(void)
{
	char temporary[sizeof(file) + 8];

	snprintf(temporary, sizeof(temporary), "%s.tmp", file);
	put(temporary, O_EXCL, 0, LEN, 2);
	check(!rename(temporary, file), "%s: %s", file, strerror(errno));
}

/* a new file, which may get the old one's inode number */
static void unlinked_and_made_again(void)
{
	check(!unlink(file), "%s: %s", file, strerror(errno));
	put(file, O_EXCL, 0, LEN, 2);
}

static void cut_and_written(void)
{
	put(file, O_TRUNC, 0, LEN, 2);
}

/* one byte of one block, far from the others */
static void one_byte(void)
{
	put(file, 0, LEN - 70000, LEN - 69999, 2);
}

static void cut(void)
{
	check(!truncate(file, 1500001), "%s: %s", file, strerror(errno));
}

static void cut_to_nothing(void)
{
	check(!truncate(file, 0), "%s: %s", file, strerror(errno));
}

static void cut_and_grown(void)
{
	check(!truncate(file, 1500001) && !truncate(file, LEN), "%s: %s", file, strerror(errno));
}

static void attributes_only(void)
{
	check(!chmod(file, 0640) && !utimes(file, NULL), "%s: %s", file, strerror(errno));
}

static void there_and_back(void)
{
	char other[sizeof(file) + 8];

	snprintf(other, sizeof(other), "%s.away", file);
	check(!rename(file, other) && !rename(other, file), "%s: %s", file, strerror(errno));
}

/* what is left of generation 1, and where it is something else */
struct change {
	const char *what;
	void (*change)(void);
	size_t len;
	size_t from, to; /* of generation gen */
	unsigned gen;	 /* 0: zeros */
};

static const struct change changes[] = {
	{ "overwritten in place", in_place, LEN, 0, LEN, 2 },
	{ "overwritten with the old mtime", in_place_in_secret, LEN, 0, LEN, 2 },
	{ "replaced by another file", by_another_file, LEN, 0, LEN, 2 },
	{ "unlinked and made again", unlinked_and_made_again, LEN, 0, LEN, 2 },
	{ "cut to nothing and written", cut_and_written, LEN, 0, LEN, 2 },
	{ "one byte", one_byte, LEN, LEN - 70000, LEN - 69999, 2 },
	{ "cut", cut, 1500001, 0, 0, 0 },
	{ "cut to nothing", cut_to_nothing, 0, 0, 0, 0 },
	{ "cut and grown", cut_and_grown, LEN, 1500001, LEN, 0 },
	{ "attributes only", attributes_only, LEN, 0, 0, 0 },
	{ "renamed, there and back", there_and_back, LEN, 0, 0, 0 },
};

/* the bytes between from and to are those of the change, the others as they were */
static void check_bytes_of(const unsigned char *bytes, const struct change *c)
{
	if (c->gen)
		check_pat(bytes + c->from, c->to - c->from, c->from, c->gen, c->what);
	else
		check_zero(bytes + c->from, c->to - c->from, c->from, c->what);
	check_pat(bytes, c->from, 0, 1, c->what);
	check_pat(bytes + c->to, c->len - c->to, c->to, 1, c->what);
}

static void check_change(const char *url, const struct change *c)
{
	MPI_File fh = open_file(MPI_COMM_WORLD, url, MPI_MODE_RDWR);
	MPI_Status st;

	check_size(fh, (MPI_Offset)c->len);
	mpi(MPI_File_read_at(fh, 0, buf, LEN, MPI_BYTE, &st));
	check_bytes(&st, (int)c->len, c->what);
	check_bytes_of(buf, c);
	barrier();
	/* and it can be written in part: the rest is what it is now */
	if (me == 0) {
		pat_fill(buf, 10, 777777, 9);
		mpi(MPI_File_write_at(fh, 777777, buf, 10, MPI_BYTE, MPI_STATUS_IGNORE));
	}
	mpi(MPI_File_close(&fh));
}

static void check_plain(const char *url, const struct change *c)
{
	size_t len, want = c->len < 777787 ? 777787 : c->len;
	unsigned char *all = slurp(url, &len);

	check_int((long long)len, (long long)want, "size after the next close");
	check_pat(all + 777777, 10, 777777, 9, "after the next close");
	pat_fill(all + 777777, 10, 777777, c->from < 777777 && c->gen ? c->gen : 1);
	if (c->len < 777787)
		return free(all); /* zeros around it are size.c's matter */
	check_bytes_of(all, c);
	free(all);
}

static void each_change(void)
{
	char url[4096];

	snprintf(url, sizeof(url), "%s.c", base);
	snprintf(file, sizeof(file), "%s", path(url));
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		written(url, 1);
		check_now(url, LEN, 1, "before the change"); /* so the pool has all of it */
		if (me == 0)
			changes[i].change();
		barrier();
		check_change(url, &changes[i]);
		barrier();
		check_plain(url, &changes[i]);
		barrier();
	}
}

/* again and again, with nothing between the close and the change that would take time */
static void in_quick_succession(void)
{
	for (unsigned i = 0; i < 40; i++) {
		const char *url = name(".q");
		MPI_File fh;

		if (me == 0)
			put(path(url), 0, 0, 9000, i);
		barrier();
		fh = open_file(MPI_COMM_WORLD, url, i % 3 ? MPI_MODE_RDONLY : MPI_MODE_RDWR);
		mpi(MPI_File_read_at(fh, 0, buf, 9000, MPI_BYTE, MPI_STATUS_IGNORE));
		check_pat(buf, 9000, 0, i, "changed a moment ago");
		if (i % 3 == 0) {
			barrier();
			mpi(MPI_File_write_at(fh, 100 * me, "abc", 3, MPI_BYTE, MPI_STATUS_IGNORE));
		}
		mpi(MPI_File_close(&fh));
	}
}

static void gone(void)
{
	const char *url = name(".g");
	MPI_File fh;

	written(url, 1);
	if (me == 0)
		check(!unlink(path(url)), "%s: %s", path(url), strerror(errno));
	barrier();
	check_int(error_class(MPI_File_open(MPI_COMM_WORLD, url, MPI_MODE_RDWR, MPI_INFO_NULL, &fh)), MPI_ERR_NO_SUCH_FILE,
		  "error class of opening a file that was unlinked");
	fh = open_file(MPI_COMM_WORLD, url, RDWR_NEW);
	check_size(fh, 0);
	mpi(MPI_File_close(&fh));
}

/*
 * Changed while it is open here: who has it open may see either, but the next open
 * sees what the plain file has.  writes: the handle writes another block meanwhile.
 */
static void while_it_is_open(bool writes)
{
	const char *url = name(".o");
	unsigned char *all;
	MPI_File fh;
	MPI_Status st;
	size_t len;

	written(url, 1);
	fh = open_file(MPI_COMM_WORLD, url, MPI_MODE_RDWR);
	mpi(MPI_File_read_at_all(fh, 0, buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
	if (writes && me == np - 1) {
		pat_fill(buf, 5000, 1200000, 3);
		mpi(MPI_File_write_at(fh, 1200000, buf, 5000, MPI_BYTE, MPI_STATUS_IGNORE));
	}
	barrier();
	if (me == 0)
		put(path(url), 0, 300000, 300100, 2);
	mpi(MPI_File_close(&fh));
	barrier();
	all = slurp(url, &len);
	check_int((long long)len, LEN, "size");
	check_pat(all, 300000, 0, 1, "before what others changed");
	check_pat(all + 300000, 100, 300000, 2, "what others changed while it was open");
	check_pat(all + 1200000, 5000, 1200000, writes ? 3 : 1, "what was written here meanwhile");
	fh = open_file(MPI_COMM_WORLD, url, MPI_MODE_RDONLY);
	mpi(MPI_File_read_at_all(fh, 0, buf, LEN, MPI_BYTE, &st));
	check_bytes(&st, LEN, "read");
	check_same(buf, all, LEN, 0, "pmem: after a change while it was open");
	mpi(MPI_File_close(&fh));
	free(all);
	barrier();
}

/*
 * The same, at moments that differ: the agent looks at a file that has been open for writing for
 * some 20 ms, and marks it; a change while it does, by the last that closes it or not, is seen as well.
 */
static void while_it_is_marked(void)
{
	const char *url = name(".m");

	for (unsigned i = 0; i < 50; i++) {
		MPI_File fh;

		if (me == 0)
			put(path(url), 0, 0, 9000, i);
		barrier();
		fh = open_file(MPI_COMM_WORLD, url, MPI_MODE_RDWR);
		mpi(MPI_File_read_at(fh, 0, buf, 9000, MPI_BYTE, MPI_STATUS_IGNORE));
		barrier();
		if (me == 0) {
			usleep(i / 2 * 1000);
			put(path(url), 0, 5000, 5100, i + 1);
		}
		if (i % 2)
			barrier();
		mpi(MPI_File_close(&fh));
		fh = open_file(MPI_COMM_WORLD, url, MPI_MODE_RDONLY);
		mpi(MPI_File_read_at(fh, 0, buf, 9000, MPI_BYTE, MPI_STATUS_IGNORE));
		check_pat(buf, 5000, 0, i, "before what was changed while it was marked");
		check_pat(buf + 5000, 100, 5000, i + 1, "changed while it was marked");
		mpi(MPI_File_close(&fh));
	}
}

/* ---- data that wait in the pool ------------------------------------------------------------- */

static MPI_File open_held(const char *url, int amode)
{
	MPI_File fh;
	MPI_Info info;

	MPI_Info_create(&info);
	MPI_Info_set(info, "pmem_drain", "hold");
	mpi(MPI_File_open(MPI_COMM_WORLD, url, amode, info, &fh));
	MPI_Info_free(&info);
	return fh;
}

/* 1000 bytes of generation 1 in a file that others see empty */
static void hold(const char *url)
{
	MPI_File fh = open_held(url, RDWR_NEW);

	pat_fill(buf, 1000, 0, 1);
	if (me == 0)
		mpi(MPI_File_write_at(fh, 0, buf, 1000, MPI_BYTE, MPI_STATUS_IGNORE));
	mpi(MPI_File_close(&fh));
	barrier();
}

static void check_held(const char *url, const char *what)
{
	MPI_File fh = open_held(url, MPI_MODE_RDWR);

	check_size(fh, 1000);
	mpi(MPI_File_read_at_all(fh, 0, buf, 1000, MPI_BYTE, MPI_STATUS_IGNORE));
	check_pat(buf, 1000, 0, 1, what);
	mpi(MPI_File_close(&fh));
	barrier();
}

static void refused(const char *url, int amode, const char *what)
{
	MPI_File fh;
	int rc = MPI_File_open(MPI_COMM_WORLD, url, amode, MPI_INFO_NULL, &fh);

	check(rc != MPI_SUCCESS, "%s: the open succeeds", what);
	check_int(error_class(rc), MPI_ERR_FILE_IN_USE, what);
	barrier();
}

/* rename and chmod are no change of the contents; a write is, and nobody merges the two */
static void waiting_data(void)
{
	const char *url = name(".w");
	unsigned char *all;
	MPI_File fh;
	size_t len;

	hold(url);
	check_held(url, "held");
	if (me == 0)
		check(!chmod(path(url), 0600), "%s: %s", path(url), strerror(errno));
	barrier();
	check_held(url, "held, with another mode");
	if (me == 0)
		put(path(url), 0, 0, 50, 7);
	barrier();
	refused(url, MPI_MODE_RDWR, "held, and the file was written");
	refused(url, MPI_MODE_RDONLY, "held, and the file was written");
	refused(url, RDWR_NEW, "held, and the file was written");
	all = slurp(url, &len);
	check_int((long long)len, 50, "size of what others wrote");
	check_pat(all, len, 0, 7, "what others wrote");
	free(all);
	barrier();
	if (me == 0)
		mpi(MPI_File_delete(url, MPI_INFO_NULL)); /* gives both up */
	barrier();
	check(!exists(url), "the file is there after it was deleted");
	check_int(error_class(MPI_File_open(MPI_COMM_WORLD, url, MPI_MODE_RDWR, MPI_INFO_NULL, &fh)), MPI_ERR_NO_SUCH_FILE,
		  "error class after it was deleted");
	barrier();
}

/* the file that data wait for has another name now: the old one is free for another file, which has nothing of it */
static void waiting_data_and_another_file(void)
{
	const char *url = name(".n");
	unsigned char *all;
	char away[4200];
	MPI_File fh;
	size_t len;

	snprintf(away, sizeof(away), "%s.away", path(url));
	hold(url);
	if (me == 0)
		check(!rename(path(url), away), "%s: %s", path(url), strerror(errno));
	barrier();
	mpi(MPI_File_open(MPI_COMM_WORLD, url, RDWR_NEW, MPI_INFO_NULL, &fh));
	check_size(fh, 0);
	barrier();
	pat_fill(buf, 300, 0, 2);
	if (me == 0)
		mpi(MPI_File_write_at(fh, 0, buf, 300, MPI_BYTE, MPI_STATUS_IGNORE));
	mpi(MPI_File_close(&fh));
	all = slurp(url, &len);
	check_int((long long)len, 300, "size of the new file");
	check_pat(all, len, 0, 2, "the new file");
	free(all);
	barrier();
	if (me == 0)
		check(!rename(away, path(url)), "%s: %s", path(url), strerror(errno));
	barrier();
	check_held(url, "held, and the file is back");
	if (me == 0)
		mpi(MPI_File_delete(url, MPI_INFO_NULL));
	barrier();
}

int main(int argc, char **argv)
{
	test_init(&argc, &argv);
	each_change();
	in_quick_succession();
	barrier();
	gone();
	barrier();
	while_it_is_open(false);
	while_it_is_open(true);
	while_it_is_marked();
	if (ours) {
		waiting_data();
		waiting_data_and_another_file();
	}
	return test_end();
}
