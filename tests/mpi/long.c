/* long.c -- names as long as the system takes, PATH_MAX - 1 bytes behind the prefix: data, shared pointer, delete */
#include "util.h"
#include <limits.h>

#define PART_MAX 200 /* of a folder's name */

/* a name of len bytes whose last part has some of them; its folders are made by rank 0.  NULL: base is too long for that */
static const char *make_name(size_t len, size_t last)
{
	static char url[PATH_MAX + 16];
	const size_t prefix = (size_t)(path(base) - base);
	size_t at = strlen(base), end = prefix + len - last;

	if (at + 1 + PART_MAX > end)
		return NULL;
	strcpy(url, base);
	if (me == 0)
		mkdir(path(url), 0777);
	while (at < end - 1) {
		size_t n = end - 1 - at - 1;

		if (n > PART_MAX)
			n = n <= PART_MAX + 1 ? PART_MAX / 2 : PART_MAX; /* never a slash alone */
		url[at++] = '/';
		memset(url + at, 'd', n);
		at += n;
		url[at] = '\0';
		if (me == 0)
			check(mkdir(path(url), 0777) == 0 || errno == EEXIST, "mkdir: %s", strerror(errno));
	}
	url[at++] = '/';
	memset(url + at, 'f', last);
	url[at + last] = '\0';
	check_int((long long)strlen(path(url)), (long long)len, "length of the name");
	barrier();
	return url;
}

static void use_name(const char *url)
{
	char mine = (char)('a' + me), *all;
	size_t len;
	MPI_File fh, again;

	fh = open_file(MPI_COMM_WORLD, url, RDWR_NEW | MPI_MODE_EXCL);
	mpi(MPI_File_write_at_all(fh, me, &mine, 1, MPI_BYTE, MPI_STATUS_IGNORE));
	again = open_file(MPI_COMM_WORLD, url, MPI_MODE_RDONLY);
	mpi(MPI_File_seek_shared(fh, np, MPI_SEEK_SET)); /* two handles have two pointers */
	mpi(MPI_File_read_ordered(again, &mine, 1, MPI_BYTE, MPI_STATUS_IGNORE));
	check_int(mine, 'a' + me, "ordered read");
	mpi(MPI_File_write_ordered(fh, &mine, 1, MPI_BYTE, MPI_STATUS_IGNORE));
	mpi(MPI_File_close(&again));
	mpi(MPI_File_close(&fh));
	if (me == 0) {
		all = (char *)slurp(url, &len);
		check_int((long long)len, np * 2, "size");
		for (size_t i = 0; i < len; i++)
			check_int(all[i], 'a' + (int)i % np, "byte");
		free(all);
		mpi(MPI_File_delete(url, MPI_INFO_NULL));
		check(!exists(url), "it is left");
	}
	barrier();
}

int main(int argc, char **argv)
{
	const size_t limit = PATH_MAX - 1;
	const char *url;
	MPI_File fh;
	int rc;

	test_init(&argc, &argv);
	for (size_t len = limit - 70; len <= limit; len += len + 10 < limit ? 10 : 1) {
		url = make_name(len, 100);
		if (!url)
			test_skip("the folder of the test has too long a name");
		use_name(url);
	}
	use_name(make_name(limit, 2));
	use_name(make_name(limit, 33));
	/* one more is one too many */
	url = make_name(limit, 100);
	strcat((char *)url, "f");
	rc = MPI_File_open(MPI_COMM_WORLD, url, RDWR_NEW, MPI_INFO_NULL, &fh);
	check_int(error_class(rc), MPI_ERR_BAD_FILE, "error class of a name that is too long");
	return test_end();
}
