/*
 * util.h -- what the MPI tests share
 *
 * A test is one program.  Its argument is the name of a file that does not yet
 * exist, with or without "pmem:"; more files take names that begin with it.  It
 * exits 0; or 77 after a line "skip: why"; anything else is a failure, and the
 * rank that saw it has said what differed.
 *
 * The same programs run on plain names, with the ROMIO or OMPIO of Open MPI, to
 * have files to compare with and to see that the tests themselves are right.
 * What those two get wrong is asked for only where `ours` is true.
 */
#ifndef PMIO_TEST_UTIL_H
#define PMIO_TEST_UTIL_H

#include <mpi.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))

static int me, np;	  /* rank and size of MPI_COMM_WORLD */
static const char *base; /* the argument */
static bool ours;	  /* base is a pmem: name */
static bool romio UNUSED; /* base is a plain name, and --mca io romio321 was given */

/* a failure ends all ranks, so that none waits for one that gave up */
UNUSED static _Noreturn __attribute__((format(printf, 3, 4)))
void die(const char *file, int line, const char *fmt, ...)
{
	const char *slash = strrchr(file, '/');
	char msg[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	fprintf(stderr, "rank %d: %s:%d: %s\n", me, slash ? slash + 1 : file, line, msg);
	fflush(stderr);
	MPI_Abort(MPI_COMM_WORLD, 1);
	abort();
}

UNUSED static _Noreturn void die_mpi(const char *file, int line, const char *call, int rc)
{
	char text[MPI_MAX_ERROR_STRING];
	int len;

	MPI_Error_string(rc, text, &len);
	die(file, line, "%s: %s", call, text);
}

#define check(cond, ...)                                       \
	do {                                                   \
		if (!(cond))                                   \
			die(__FILE__, __LINE__, __VA_ARGS__);  \
	} while (0)

#define mpi(call)                                                \
	do {                                                     \
		int rc_ = (call);                                \
		if (rc_ != MPI_SUCCESS)                          \
			die_mpi(__FILE__, __LINE__, #call, rc_); \
	} while (0)

#define check_int(got, want, what)                                            \
	do {                                                                  \
		long long got_ = (got), want_ = (want);                       \
		if (got_ != want_)                                            \
			die(__FILE__, __LINE__, "%s is %lld, should be %lld", \
			    what, got_, want_);                               \
	} while (0)

UNUSED static void test_begin(int argc, char **argv)
{
	const char *io = getenv("OMPI_MCA_io");

	MPI_Comm_rank(MPI_COMM_WORLD, &me);
	MPI_Comm_size(MPI_COMM_WORLD, &np);
	check(argc >= 2, "usage: %s FILE", argv[0]);
	base = argv[1];
	/* with the driver in an MPI's own ROMIO no more can be asked for than of that, as what is above a driver is ROMIO's */
	ours = !strncmp(base, "pmem:", 5) && !getenv("PMIO_TEST_TREE");
	romio = !ours && (getenv("PMIO_TEST_TREE") || (io && strstr(io, "romio")));
}

UNUSED static void test_init(int *argc, char ***argv)
{
	MPI_Init(argc, argv);
	test_begin(*argc, *argv);
}

UNUSED static int test_end(void)
{
	MPI_Barrier(MPI_COMM_WORLD);
	MPI_Finalize();
	return 0;
}

/* every rank calls this */
UNUSED static _Noreturn void test_skip(const char *why)
{
	if (me == 0)
		printf("skip: %s\n", why);
	fflush(stdout);
	MPI_Finalize();
	exit(77);
}

UNUSED static void barrier(void)
{
	MPI_Barrier(MPI_COMM_WORLD);
}

/* base with something appended; good until eight calls later */
UNUSED static __attribute__((format(printf, 1, 2)))
const char *name(const char *fmt, ...)
{
	static char names[8][4096];
	static unsigned next;
	char *s = names[next++ % 8];
	size_t len;
	va_list ap;

	len = (size_t)snprintf(s, sizeof(names[0]), "%s", base);
	va_start(ap, fmt);
	vsnprintf(s + len, sizeof(names[0]) - len, fmt, ap);
	va_end(ap);
	return s;
}

/* the same file for open(2) */
UNUSED static const char *path(const char *url)
{
	return strncmp(url, "pmem:", 5) ? url : url + 5;
}

#define RDWR_NEW (MPI_MODE_RDWR | MPI_MODE_CREATE)

#define open_file(comm, url, amode) open_file_at(__FILE__, __LINE__, comm, url, amode)
UNUSED static MPI_File open_file_at(const char *file, int line, MPI_Comm comm,
				    const char *url, int amode)
{
	MPI_File fh;
	int rc = MPI_File_open(comm, url, amode, MPI_INFO_NULL, &fh);

	if (rc != MPI_SUCCESS)
		die_mpi(file, line, url, rc);
	return fh;
}

UNUSED static int error_class(int rc)
{
	int class;

	MPI_Error_class(rc, &class);
	return class;
}

/* ---- patterns ----------------------------------------------------------------- */

/* the byte that generation `gen` of a file has at `off` */
UNUSED static unsigned char pat(uint64_t off, unsigned gen)
{
	uint64_t x = (off + 1) * 0x9e3779b97f4a7c15ull + gen * 0xc2b2ae3d27d4eb4full;

	x ^= x >> 29;
	x *= 0xbf58476d1ce4e5b9ull;
	return (unsigned char)(x >> 48);
}

UNUSED static void pat_fill(void *buf, size_t len, uint64_t off, unsigned gen)
{
	for (size_t i = 0; i < len; i++)
		((unsigned char *)buf)[i] = pat(off + i, gen);
}

#define check_same(got, want, len, off, what) \
	check_same_at(__FILE__, __LINE__, got, want, len, off, what)
UNUSED static void check_same_at(const char *file, int line, const void *got, const void *want,
				 size_t len, uint64_t off, const char *what)
{
	const unsigned char *g = got, *w = want;

	for (size_t i = 0; i < len; i++)
		if (g[i] != w[i])
			die(file, line, "%s: byte %llu is %#x, should be %#x", what,
			    (unsigned long long)(off + i), g[i], w[i]);
}

#define check_pat(got, len, off, gen, what) \
	check_pat_at(__FILE__, __LINE__, got, len, off, gen, what)
UNUSED static void check_pat_at(const char *file, int line, const void *got, size_t len,
				uint64_t off, unsigned gen, const char *what)
{
	const unsigned char *g = got;

	for (size_t i = 0; i < len; i++)
		if (g[i] != pat(off + i, gen))
			die(file, line, "%s: byte %llu is %#x, should be %#x (generation %u)", what,
			    (unsigned long long)(off + i), g[i], pat(off + i, gen), gen);
}

#define check_zero(got, len, off, what) check_zero_at(__FILE__, __LINE__, got, len, off, what)
UNUSED static void check_zero_at(const char *file, int line, const void *got, size_t len,
				 uint64_t off, const char *what)
{
	const unsigned char *g = got;

	for (size_t i = 0; i < len; i++)
		if (g[i])
			die(file, line, "%s: byte %llu is %#x, should be zero", what,
			    (unsigned long long)(off + i), g[i]);
}

/* ---- statuses, sizes, whole files ----------------------------------------------- */

#define check_bytes(status, want, what) check_bytes_at(__FILE__, __LINE__, status, want, what)
UNUSED static void check_bytes_at(const char *file, int line, const MPI_Status *status, int want,
				  const char *what)
{
	int got;

	MPI_Get_count(status, MPI_BYTE, &got);
	if (romio && want == 0)
		return; /* leaves the status as it was */
	if (got != want)
		die(file, line, "%s: the status says %d bytes, should be %d", what, got, want);
}

#define check_size(fh, want) check_size_at(__FILE__, __LINE__, fh, want)
UNUSED static void check_size_at(const char *file, int line, MPI_File fh, MPI_Offset want)
{
	MPI_Offset got = -1;
	int rc = MPI_File_get_size(fh, &got);

	if (rc != MPI_SUCCESS)
		die_mpi(file, line, "MPI_File_get_size", rc);
	if (got != want)
		die(file, line, "size is %lld, should be %lld", (long long)got, (long long)want);
}

UNUSED static void *xmalloc(size_t len)
{
	void *p = malloc(len ? len : 1);

	check(p, "no memory (%zu bytes)", len);
	return p;
}

/* after the last close: the file as any program without MPI sees it; free() it */
UNUSED static unsigned char *slurp(const char *url, size_t *len)
{
	int fd = open(path(url), O_RDONLY);
	unsigned char *buf;
	struct stat st;
	size_t got = 0;

	check(fd >= 0, "%s: %s", path(url), strerror(errno));
	check(!fstat(fd, &st), "%s: %s", path(url), strerror(errno));
	buf = xmalloc((size_t)st.st_size);
	while (got < (size_t)st.st_size) {
		ssize_t n = read(fd, buf + got, (size_t)st.st_size - got);

		check(n > 0, "%s: %s", path(url), n ? strerror(errno) : "shorter than its size");
		got += (size_t)n;
	}
	close(fd);
	*len = got;
	return buf;
}

UNUSED static bool exists(const char *url)
{
	return access(path(url), F_OK) == 0;
}

#endif
