/*
 * links.c -- one file under many names: hard and symbolic links, "..", relative names,
 * at once and one after the other; what deleting one of them does
 */
#include "util.h"

#define LEN 5000

static unsigned char buf[LEN];
static char folder[4096]; /* where the file is, without prefix */
static const char *prefix;

enum { PLAIN, HARD, SOFT, DOTS, THROUGH_LINK, SLASHES, RELATIVE, NR_NAMES };

/* each is a name of folder/f */
static const char *one_of(int i)
{
	static char names[NR_NAMES][5000];
	static const char *const after[] = { "/f", "/hard", "/soft", "/sub/../f", "/folder/f", "//.//f", NULL };
	const char *where = folder;

	i %= NR_NAMES;
	if (i == RELATIVE)
		snprintf(names[i], sizeof(names[i]), "%s../f", prefix);
	else
		snprintf(names[i], sizeof(names[i]), "%s%s%s", prefix, where, after[i]);
	return names[i];
}

static void must_do(int rc, const char *what)
{
	check(rc == 0, "%s: %s", what, strerror(errno));
}

/* all ranks go there, so that "../f" is the file */
static void prepare(void)
{
	prefix = strncmp(base, "pmem:", 5) == 0 ? "pmem:" : "";
	snprintf(folder, sizeof(folder), "%s.links", path(base));
	if (me == 0) {
		must_do(mkdir(folder, 0777), "mkdir");
		must_do(chdir(folder), folder);
		must_do(mkdir("sub", 0777), "mkdir");
		must_do(close(open("f", O_WRONLY | O_CREAT, 0666)), "f");
		must_do(link("f", "hard"), "link");
		must_do(symlink("f", "soft"), "symlink");
		must_do(symlink(".", "folder"), "symlink");
		must_do(chdir("sub"), "sub");
	}
	barrier();
	if (me)
		must_do(chdir(folder) || chdir("sub"), folder);
}

static void write_at(MPI_File fh, MPI_Offset off, unsigned gen)
{
	pat_fill(buf, LEN, (uint64_t)off, gen);
	mpi(MPI_File_write_at(fh, off, buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
}

static void read_at(MPI_File fh, MPI_Offset off, unsigned gen, const char *what)
{
	MPI_Status st;

	memset(buf, 0, LEN);
	mpi(MPI_File_read_at(fh, off, buf, LEN, MPI_BYTE, &st));
	check_bytes(&st, LEN, what);
	check_pat(buf, LEN, (uint64_t)off, gen, what);
}

/* handles by all names are open together, and see what each writes */
static void together(void)
{
	MPI_File fh[NR_NAMES];

	for (int i = 0; i < NR_NAMES; i++)
		fh[i] = open_file(MPI_COMM_WORLD, one_of(i), MPI_MODE_RDWR);
	for (int i = 0; i < NR_NAMES; i++) {
		write_at(fh[i], LEN * (MPI_Offset)me, 1 + (unsigned)i);
		barrier();
		for (int k = 0; k < NR_NAMES; k++) {
			read_at(fh[k], LEN * (MPI_Offset)((me + 1) % np), 1 + (unsigned)i, one_of(i));
			check_size(fh[k], LEN * np);
		}
		barrier();
	}
	for (int i = 0; i < NR_NAMES; i++)
		mpi(MPI_File_close(&fh[(i + 3) % NR_NAMES]));
}

/* what one program wrote by one name, the next reads by another */
static void in_turn(void)
{
	MPI_File fh;

	for (int i = 0; i < NR_NAMES; i++) {
		fh = open_file(MPI_COMM_WORLD, one_of(i), MPI_MODE_RDWR);
		if (i)
			read_at(fh, LEN * (MPI_Offset)((me + 1) % np), 20 + (unsigned)i - 1, one_of(i));
		barrier();
		write_at(fh, LEN * (MPI_Offset)me, 20 + (unsigned)i);
		mpi(MPI_File_close(&fh));
	}
}

/* each rank of one open has another name; MPI asks that they mean one file, not that they are equal */
static void a_name_a_rank(void)
{
	MPI_File fh = open_file(MPI_COMM_WORLD, one_of(me), MPI_MODE_RDWR);

	write_at(fh, LEN * (MPI_Offset)me, 50);
	barrier();
	read_at(fh, LEN * (MPI_Offset)((me + 1) % np), 50, "another name on each rank");
	barrier();
	mpi(MPI_File_write_ordered(fh, buf, 1, MPI_BYTE, MPI_STATUS_IGNORE));
	mpi(MPI_File_close(&fh));
}

/* ranks whose names mean different files are told so, all of them */
static void different_files(void)
{
	char other[5000];
	MPI_File fh;

	if (np == 1 || !ours)
		return;
	snprintf(other, sizeof(other), "%s%s/other", prefix, folder);
	fh = open_file(MPI_COMM_SELF, other, RDWR_NEW);
	mpi(MPI_File_close(&fh));
	barrier();
	check(MPI_File_open(MPI_COMM_WORLD, me == np - 1 ? other : one_of(PLAIN), MPI_MODE_RDWR, MPI_INFO_NULL, &fh) != MPI_SUCCESS,
	      "one open of two files succeeds");
	barrier();
	if (me == 0)
		mpi(MPI_File_delete(other, MPI_INFO_NULL));
	barrier();
}

static void check_plain(const char *file, unsigned gen)
{
	size_t len;
	unsigned char *all = slurp(file, &len);

	check_int((long long)len, LEN * np, file);
	for (int r = 0; r < np; r++)
		check_pat(all + (size_t)LEN * (size_t)r, LEN, LEN * (uint64_t)r, gen, file);
	free(all);
}

/* a symbolic link goes and the file stays; then one of two hard links; also while it is open */
static void deleted_names(void)
{
	MPI_File fh = open_file(MPI_COMM_WORLD, one_of(PLAIN), MPI_MODE_RDWR);

	write_at(fh, LEN * (MPI_Offset)me, 60);
	barrier();
	if (me == 0) {
		mpi(MPI_File_delete(one_of(SOFT), MPI_INFO_NULL));
		mpi(MPI_File_delete(one_of(HARD), MPI_INFO_NULL));
		check(!exists(one_of(SOFT)) && !exists(one_of(HARD)), "a link is left");
		check(exists(one_of(PLAIN)), "the file went with its link");
	}
	barrier();
	read_at(fh, LEN * (MPI_Offset)((me + 1) % np), 60, "after names were deleted");
	mpi(MPI_File_close(&fh));
	check_plain(one_of(PLAIN), 60);
	barrier();
}

/* delete on close takes the name that was opened, and the file if that was its last */
static void delete_on_close(void)
{
	MPI_File fh;

	if (me == 0) {
		must_do(link("../f", "../hard"), "link");
		must_do(symlink("f", "../soft"), "symlink");
	}
	barrier();
	fh = open_file(MPI_COMM_WORLD, one_of(SOFT), MPI_MODE_RDWR | MPI_MODE_DELETE_ON_CLOSE);
	write_at(fh, LEN * (MPI_Offset)me, 70);
	mpi(MPI_File_close(&fh));
	barrier();
	check(access("../soft", F_OK) && exists(one_of(PLAIN)), "not the link was deleted on close, but the file or nothing");
	check_plain(one_of(PLAIN), 70);
	barrier();
	fh = open_file(MPI_COMM_WORLD, one_of(PLAIN), MPI_MODE_RDWR | MPI_MODE_DELETE_ON_CLOSE);
	write_at(fh, LEN * (MPI_Offset)me, 71);
	mpi(MPI_File_close(&fh));
	barrier();
	check(!exists(one_of(PLAIN)) && exists(one_of(HARD)), "delete on close took a wrong one of two links, or none");
	check_plain(one_of(HARD), 71);
	barrier();
}

/* renamed while it is open: the bytes go where the file went, and the old name is free */
static void renamed(void)
{
	MPI_File fh = open_file(MPI_COMM_WORLD, one_of(HARD), MPI_MODE_RDWR), other;
	char moved[5000];

	snprintf(moved, sizeof(moved), "%s%s/moved", prefix, folder);
	write_at(fh, LEN * (MPI_Offset)me, 80);
	barrier();
	if (me == 0)
		must_do(rename("../hard", "../moved"), "rename");
	barrier();
	other = open_file(MPI_COMM_WORLD, one_of(HARD), RDWR_NEW);
	check_size(other, 0);
	barrier();
	write_at(other, LEN * (MPI_Offset)me, 81);
	mpi(MPI_File_close(&fh));
	mpi(MPI_File_close(&other));
	barrier();
	check_plain(moved, 80);
	check_plain(one_of(HARD), 81);
	barrier();
	if (me == 0)
		must_do(unlink("../folder"), "unlink"); /* diff -r would go round in it */
}

int main(int argc, char **argv)
{
	test_init(&argc, &argv);
	prepare();
	together();
	in_turn();
	a_name_a_rank();
	different_files();
	deleted_names();
	delete_on_close();
	barrier();
	renamed();
	return test_end();
}
