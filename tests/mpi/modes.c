/*
 * modes.c -- access modes of MPI_File_open: append, exclusive, delete on close,
 * unique open, read only, write only; what get_amode and get_group say
 */
#include "util.h"

static char text[] = "0123456789abcdef";

static void write_text(MPI_File fh, MPI_Offset off)
{
	mpi(MPI_File_write_at(fh, off, text, 16, MPI_BYTE, MPI_STATUS_IGNORE));
}

static void check_text(MPI_File fh, MPI_Offset off)
{
	char got[16];
	MPI_Status st;

	mpi(MPI_File_read_at(fh, off, got, 16, MPI_BYTE, &st));
	check_bytes(&st, 16, "read");
	check_same(got, text, 16, (uint64_t)off, "text");
}

static void one_writer(const char *url)
{
	MPI_File fh = open_file(MPI_COMM_WORLD, url, RDWR_NEW);

	write_text(fh, 16 * me);
	mpi(MPI_File_close(&fh));
}

/* the file exists for all ranks: CREATE keeps what is in it */
static void create_existing(void)
{
	const char *url = name(".a");
	MPI_File fh;
	int amode;

	one_writer(url);
	fh = open_file(MPI_COMM_WORLD, url, RDWR_NEW);
	mpi(MPI_File_get_amode(fh, &amode));
	check_int(amode, RDWR_NEW, "amode");
	check_size(fh, 16 * np);
	for (int r = 0; r < np; r++)
		check_text(fh, 16 * r);
	mpi(MPI_File_close(&fh));
}

static void append(void)
{
	MPI_File fh = open_file(MPI_COMM_WORLD, name(".a"), MPI_MODE_RDWR | MPI_MODE_APPEND);
	MPI_Offset pos;

	mpi(MPI_File_get_position(fh, &pos));
	check_int(pos, 16 * np, "position of MPI_MODE_APPEND");
	mpi(MPI_File_get_position_shared(fh, &pos));
	check_int(pos, 16 * np, "shared position of MPI_MODE_APPEND");
	barrier();
	mpi(MPI_File_seek(fh, 16 * me, MPI_SEEK_CUR));
	mpi(MPI_File_write(fh, text, 16, MPI_BYTE, MPI_STATUS_IGNORE));
	barrier();
	check_size(fh, 32 * np);
	check_text(fh, 16 * (2 * np - 1));
	check_text(fh, 0);
	barrier();
	mpi(MPI_File_write_ordered(fh, text, 1 + me, MPI_BYTE, MPI_STATUS_IGNORE)); /* over it: from 16 np on */
	mpi(MPI_File_get_position_shared(fh, &pos));
	check_int(pos, 16 * np + np * (np + 1) / 2, "shared position after write_ordered");
	check_size(fh, 32 * np);
	mpi(MPI_File_close(&fh));
}

static void exclusive(void)
{
	const char *url = name(".x");
	MPI_File fh = open_file(MPI_COMM_WORLD, url, RDWR_NEW | MPI_MODE_EXCL);
	int rc;

	write_text(fh, 16 * me);
	mpi(MPI_File_close(&fh));
	rc = MPI_File_open(MPI_COMM_WORLD, url, RDWR_NEW | MPI_MODE_EXCL, MPI_INFO_NULL, &fh);
	check(rc != MPI_SUCCESS, "a second exclusive open: no error");
	if (ours || me == 0) /* other ranks of MPICH 5.0 get rank 0's error code, which says nothing there */
		check_int(error_class(rc), MPI_ERR_FILE_EXISTS, "error class of a second exclusive open");
	fh = open_file(MPI_COMM_WORLD, url, MPI_MODE_RDONLY);
	check_size(fh, 16 * np); /* the failed open left it alone */
	check_text(fh, 16 * (np - 1));
	mpi(MPI_File_close(&fh));
}

static void delete_on_close(void)
{
	const char *url = name(".d");
	MPI_File fh = open_file(MPI_COMM_WORLD, url, RDWR_NEW | MPI_MODE_DELETE_ON_CLOSE);

	write_text(fh, 16 * me);
	barrier();
	check_text(fh, 16 * ((me + 1) % np));
	mpi(MPI_File_close(&fh));
	barrier();
	check(!exists(url), "%s is there after its close", url);
	check_int(error_class(MPI_File_open(MPI_COMM_WORLD, url, MPI_MODE_RDONLY, MPI_INFO_NULL, &fh)),
		  MPI_ERR_NO_SUCH_FILE, "error class of opening it again");
	/* a new file of that name is empty */
	fh = open_file(MPI_COMM_WORLD, url, RDWR_NEW);
	check_size(fh, 0);
	barrier();
	write_text(fh, 5);
	barrier();
	check_size(fh, 21);
	mpi(MPI_File_close(&fh));
}

/* the file system has a name and nothing else, whatever is done to the file */
static void check_untouched(const char *url, const char *what)
{
	struct stat st;

	barrier();
	check(!stat(path(url), &st), "%s: %s", url, strerror(errno));
	check(st.st_size == 0 && st.st_blocks == 0, "%s, after %s, has %lld bytes in %lld blocks on the file system", url, what,
	      (long long)st.st_size, (long long)st.st_blocks);
	barrier();
}

static void delete_on_close_stays_in_the_pool(void)
{
	const char *url = name(".dd");
	MPI_File fh = open_file(MPI_COMM_WORLD, url, RDWR_NEW | MPI_MODE_DELETE_ON_CLOSE), second;
	MPI_Status st;
	char got[16];

	for (int i = 0; i < 20; i++)
		write_text(fh, 50000 * (np * i + me) + 3);
	check_untouched(url, "writing");
	mpi(MPI_File_sync(fh));
	check_untouched(url, "a sync");
	mpi(MPI_File_set_size(fh, 900000));
	mpi(MPI_File_set_size(fh, 100000 * np + 40));
	mpi(MPI_File_preallocate(fh, 2000000));
	check_size(fh, 2000000);
	check_untouched(url, "changes of its size");
	check_text(fh, 50000 * me + 3);
	mpi(MPI_File_read_at(fh, 1000000, got, 16, MPI_BYTE, &st)); /* cut off, for up to 9 ranks */
	check_bytes(&st, 16, "read");
	check_zero(got, 16, 1000000, "cut off");
	second = open_file(MPI_COMM_SELF, url, MPI_MODE_RDWR);
	write_text(second, 777000 + 16 * me);
	mpi(MPI_File_close(&second));
	check_untouched(url, "the close of another handle");
	check_text(fh, 777000 + 16 * ((me + 1) % np));
	barrier();
	mpi(MPI_File_close(&fh));
	barrier();
	check(!exists(url), "%s is there after its close", url);
	barrier();
}

/* an existing file, read and then removed; another handle still has its bytes, also for a rank that comes to them when others have closed */
static void delete_on_close_existing(void)
{
	const char *url = name(".de");
	MPI_File fh, other;

	one_writer(url);
	barrier();
	other = open_file(MPI_COMM_WORLD, url, MPI_MODE_RDONLY);
	fh = open_file(MPI_COMM_WORLD, url, MPI_MODE_RDONLY | MPI_MODE_DELETE_ON_CLOSE);
	if (me == 1) /* on several nodes its node holds them */
		check_text(fh, 0);
	barrier();
	check_text(fh, 16 * ((me + 1) % np));
	mpi(MPI_File_close(&fh));
	barrier();
	check(!exists(url), "%s is there after its close", url);
	if (me == 0)
		usleep(200000); /* the others are done with it first */
	check_text(other, 16 * ((me + 1) % np));
	mpi(MPI_File_close(&other));
	check(!exists(url), "%s has come back", url);
	barrier();
}

/* ---- sequential ---------------------------------------------------------------------- */

static void not_sequential(MPI_File fh, bool writes)
{
	char b[4] = "";

	if (!ours && !romio)
		return;
	if (writes) {
		check_int(error_class(MPI_File_write_at(fh, 0, b, 4, MPI_BYTE, MPI_STATUS_IGNORE)), MPI_ERR_UNSUPPORTED_OPERATION,
			  "write_at, sequential");
		check_int(error_class(MPI_File_write(fh, b, 4, MPI_BYTE, MPI_STATUS_IGNORE)), MPI_ERR_UNSUPPORTED_OPERATION,
			  "write, sequential");
	} else {
		check_int(error_class(MPI_File_read_at_all(fh, 0, b, 4, MPI_BYTE, MPI_STATUS_IGNORE)), MPI_ERR_UNSUPPORTED_OPERATION,
			  "read_at_all, sequential");
		check_int(error_class(MPI_File_read(fh, b, 4, MPI_BYTE, MPI_STATUS_IGNORE)), MPI_ERR_UNSUPPORTED_OPERATION,
			  "read, sequential");
	}
	check_int(error_class(MPI_File_seek(fh, 0, MPI_SEEK_SET)), MPI_ERR_UNSUPPORTED_OPERATION, "seek, sequential");
	check_int(error_class(MPI_File_seek_shared(fh, 0, MPI_SEEK_SET)), MPI_ERR_UNSUPPORTED_OPERATION, "seek_shared, sequential");
	barrier();
}

/* a header of chars, then from there on ints: the displacement is where the shared pointer stands */
static void sequential(void)
{
	const char *url = name(".seq");
	int v[8], sum = 0;
	char head[8];
	MPI_File fh;

	fh = open_file(MPI_COMM_WORLD, url, MPI_MODE_WRONLY | MPI_MODE_CREATE | MPI_MODE_SEQUENTIAL);
	not_sequential(fh, true);
	mpi(MPI_File_write_ordered(fh, text + me, 3, MPI_CHAR, MPI_STATUS_IGNORE));
	mpi(MPI_File_set_view(fh, MPI_DISPLACEMENT_CURRENT, MPI_INT, MPI_INT, "native", MPI_INFO_NULL));
	for (int i = 0; i < 4; i++) {
		v[0] = 100 * me + i;
		mpi(MPI_File_write_ordered(fh, v, 1, MPI_INT, MPI_STATUS_IGNORE));
	}
	v[0] = 1;
	mpi(MPI_File_write_shared(fh, v, 1, MPI_INT, MPI_STATUS_IGNORE));
	mpi(MPI_File_close(&fh));

	fh = open_file(MPI_COMM_WORLD, url, MPI_MODE_RDONLY | MPI_MODE_SEQUENTIAL);
	check_size(fh, 3 * np + 4 * 5 * np);
	not_sequential(fh, false);
	mpi(MPI_File_read_ordered(fh, head, 3, MPI_CHAR, MPI_STATUS_IGNORE));
	check_same(head, text + me, 3, 3 * (uint64_t)me, "header");
	mpi(MPI_File_set_view(fh, MPI_DISPLACEMENT_CURRENT, MPI_INT, MPI_INT, "native", MPI_INFO_NULL));
	for (int i = 0; i < 4; i++) {
		mpi(MPI_File_read_ordered(fh, v, 1, MPI_INT, MPI_STATUS_IGNORE));
		check_int(v[0], 100 * me + i, "int read in order");
	}
	mpi(MPI_File_read_shared(fh, v, 1, MPI_INT, MPI_STATUS_IGNORE));
	MPI_Allreduce(v, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
	check_int(sum, np, "sum of ints read with the shared pointer");
	mpi(MPI_File_close(&fh));
}

/* elsewhere nobody knows where "current" would be */
static void displacement_current(void)
{
	MPI_File fh = open_file(MPI_COMM_WORLD, name(".seq"), MPI_MODE_RDWR);

	if (ours || romio)
		check(MPI_File_set_view(fh, MPI_DISPLACEMENT_CURRENT, MPI_BYTE, MPI_BYTE, "native", MPI_INFO_NULL) != MPI_SUCCESS,
		      "MPI_DISPLACEMENT_CURRENT is taken without MPI_MODE_SEQUENTIAL");
	mpi(MPI_File_close(&fh));
}

static void read_only(void)
{
	MPI_File fh = open_file(MPI_COMM_WORLD, name(".x"), MPI_MODE_RDONLY);
	int rc = MPI_File_write_at(fh, 0, text, 4, MPI_BYTE, MPI_STATUS_IGNORE);
	int class = error_class(rc);

	check(class == MPI_ERR_READ_ONLY || (!ours && rc), "write to a read-only file: class %d", class);
	check(MPI_File_set_size(fh, 0) != MPI_SUCCESS, "set_size of a read-only file succeeds");
	check(MPI_File_write_at_all(fh, 0, text, 4, MPI_BYTE, MPI_STATUS_IGNORE) != MPI_SUCCESS,
	      "write_at_all to a read-only file succeeds");
	if (ours) {
		mpi(MPI_File_sync(fh)); /* ROMIO refuses */
		/* ROMIO does not look before these */
		check_int(error_class(MPI_File_preallocate(fh, 100)), MPI_ERR_READ_ONLY, "error class of preallocate of a read-only file");
		check_int(error_class(MPI_File_write_shared(fh, text, 4, MPI_BYTE, MPI_STATUS_IGNORE)), MPI_ERR_READ_ONLY,
			  "error class of write_shared to a read-only file");
		check_int(error_class(MPI_File_write_ordered(fh, text, 4, MPI_BYTE, MPI_STATUS_IGNORE)), MPI_ERR_READ_ONLY,
			  "error class of write_ordered to a read-only file");
	}
	check_size(fh, 16 * np);
	check_text(fh, 0);
	mpi(MPI_File_close(&fh));
}

/* write only, in pieces of blocks that exist: what is beside them must stay */
static void write_only(void)
{
	const char *url = name(".x");
	MPI_File fh = open_file(MPI_COMM_WORLD, url, MPI_MODE_WRONLY);
	MPI_Datatype v;
	char buf[16];
	int rc;

	rc = MPI_File_read_at(fh, 0, buf, 4, MPI_BYTE, MPI_STATUS_IGNORE);
	check(rc != MPI_SUCCESS, "read from a write-only file succeeds");
	if (ours)
		check_int(error_class(rc), MPI_ERR_ACCESS, "error class of a read from a write-only file");
	mpi(MPI_File_write_at(fh, 16 * me + 3, text + 3, 2, MPI_BYTE, MPI_STATUS_IGNORE));
	barrier();
	if (ours) { /* ROMIO has no strided writes here: data sieving wants to read */
		MPI_Type_vector(4, 1, 4, MPI_BYTE, &v);
		MPI_Type_commit(&v);
		mpi(MPI_File_set_view(fh, 16 * me, MPI_BYTE, v, "native", MPI_INFO_NULL));
		for (int i = 0; i < 4; i++)
			buf[i] = text[4 * i];
		mpi(MPI_File_write_at(fh, 0, buf, 4, MPI_BYTE, MPI_STATUS_IGNORE));
		mpi(MPI_File_write_at_all(fh, 0, buf, 4, MPI_BYTE, MPI_STATUS_IGNORE));
		MPI_Type_free(&v);
	}
	mpi(MPI_File_close(&fh));
	fh = open_file(MPI_COMM_WORLD, url, MPI_MODE_RDONLY | MPI_MODE_UNIQUE_OPEN);
	for (int r = 0; r < np; r++)
		check_text(fh, 16 * r);
	mpi(MPI_File_close(&fh));
}

/* what readers see after the close: where that does not wait for the drain, the plain file may still be behind */
static unsigned char *read_closed(const char *url, size_t *len)
{
	const char *drain = getenv("PMIO_DRAIN");
	unsigned char *all;
	MPI_Offset size;
	MPI_File fh;

	if (!ours || !drain || !strcmp(drain, "close"))
		return slurp(url, len);
	fh = open_file(MPI_COMM_SELF, url, MPI_MODE_RDONLY);
	mpi(MPI_File_get_size(fh, &size));
	all = xmalloc((size_t)size);
	mpi(MPI_File_read_at(fh, 0, all, (int)size, MPI_BYTE, MPI_STATUS_IGNORE));
	mpi(MPI_File_close(&fh));
	*len = (size_t)size;
	return all;
}

/* create, write only, on a new file, then sequential modes of one rank */
static void write_only_new(void)
{
	MPI_File fh = open_file(MPI_COMM_WORLD, name(".w"), MPI_MODE_WRONLY | MPI_MODE_CREATE | MPI_MODE_UNIQUE_OPEN);
	unsigned char *all;
	size_t len;

	mpi(MPI_File_write_at_all(fh, 16 * me + 8192, text, 16, MPI_BYTE, MPI_STATUS_IGNORE));
	mpi(MPI_File_close(&fh));
	if (me == 0) {
		all = read_closed(name(".w"), &len);
		check_int((long long)len, 8192 + 16 * np, "size after close");
		check_zero(all, 8192, 0, "hole");
		check_same(all + 8192, text, 16, 8192, "after close");
		free(all);
	}
	barrier();
}

static void groups(void)
{
	MPI_File fh = open_file(MPI_COMM_WORLD, name(".w"), MPI_MODE_RDWR);
	MPI_Group g, world;
	int result;

	mpi(MPI_File_get_group(fh, &g));
	MPI_Comm_group(MPI_COMM_WORLD, &world);
	MPI_Group_compare(g, world, &result);
	check_int(result, MPI_IDENT, "group");
	MPI_Group_free(&g);
	MPI_Group_free(&world);
	mpi(MPI_File_close(&fh));
}

/* permissions and MPI_File_delete */
static void deletes(void)
{
	struct stat st;

	if (me == 0) {
		check(stat(path(name(".w")), &st) == 0 && S_ISREG(st.st_mode), "no file");
		check((st.st_mode & 0600) == 0600, "mode is %o", st.st_mode & 0777);
		mpi(MPI_File_delete(name(".w"), MPI_INFO_NULL));
		check(!exists(name(".w")), "there after MPI_File_delete");
		check_int(error_class(MPI_File_delete(name(".w"), MPI_INFO_NULL)), MPI_ERR_NO_SUCH_FILE,
			  "error class of a second delete");
	}
	barrier();
}

int main(int argc, char **argv)
{
	test_init(&argc, &argv);
	create_existing();
	append();
	exclusive();
	delete_on_close();
	if (ours)
		delete_on_close_stays_in_the_pool();
	delete_on_close_existing();
	sequential();
	displacement_current();
	read_only();
	write_only();
	write_only_new();
	groups();
	deletes();
	return test_end();
}
