/*
 * perm.c -- no permission: the error class is MPI_ERR_ACCESS (a file system that is
 * mounted read-only says MPI_ERR_READ_ONLY), the file stays as it was
 */
#include "util.h"

static void make(const char *url, mode_t mode)
{
	int fd;

	if (me == 0) {
		fd = open(path(url), O_WRONLY | O_CREAT, 0666);
		check(fd >= 0 && write(fd, "data", 4) == 4, "%s: %s", path(url), strerror(errno));
		close(fd);
		chmod(path(url), mode);
	}
	barrier();
}

static void must_fail(const char *url, int amode, const char *what)
{
	MPI_File fh;
	int rc = MPI_File_open(MPI_COMM_WORLD, url, amode, MPI_INFO_NULL, &fh);

	check(rc != MPI_SUCCESS, "opening %s succeeds", what);
	check_int(error_class(rc), MPI_ERR_ACCESS, what);
}

static void files(void)
{
	const char *url = name(".read");
	MPI_File fh;
	char got[5] = "";

	make(url, 0444);
	must_fail(url, MPI_MODE_RDWR, "a read-only file to read and write");
	must_fail(url, MPI_MODE_WRONLY, "a read-only file to write");
	must_fail(url, RDWR_NEW, "a read-only file to create");
	fh = open_file(MPI_COMM_WORLD, url, MPI_MODE_RDONLY);
	mpi(MPI_File_read_at(fh, 0, got, 4, MPI_BYTE, MPI_STATUS_IGNORE));
	check_same(got, "data", 4, 0, "read-only file");
	mpi(MPI_File_close(&fh));

	url = name(".write");
	make(url, 0222);
	must_fail(url, MPI_MODE_RDONLY, "a write-only file to read");
	must_fail(url, MPI_MODE_RDWR, "a write-only file to read and write");
}

static void folders(void)
{
	if (me == 0) {
		mkdir(path(name(".ro")), 0777);
		chmod(path(name(".ro")), 0555);
		mkdir(path(name(".closed")), 0000);
	}
	barrier();
	must_fail(name(".ro/new"), RDWR_NEW, "a new file in a read-only folder");
	must_fail(name(".closed/new"), RDWR_NEW, "a new file in a folder that may not be entered");
	must_fail(name(".closed/old"), MPI_MODE_RDONLY, "a file in a folder that may not be entered");
	barrier();
	if (me == 0) {
		chmod(path(name(".closed")), 0700);
		rmdir(path(name(".closed")));
		chmod(path(name(".ro")), 0700);
		check(!rmdir(path(name(".ro"))), "a failed open left a file in a read-only folder");
	}
}

int main(int argc, char **argv)
{
	test_init(&argc, &argv);
	make(name(".probe"), 0);
	if (access(path(name(".probe")), R_OK) == 0)
		test_skip("this user may read and write anything");
	files();
	folders();
	return test_end();
}
