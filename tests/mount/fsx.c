/*
 * fsx.c -- random operations on a file in a mount, compared with the same on an ordinary one
 *
 *	fsx MOUNTED PLAIN REFERENCE SEED OPERATIONS [mappings]
 *
 * MOUNTED and PLAIN are two names of one file: in the mount, and below its source, which is opened through libpmio as
 * another program would.  Each operation is done to the file, in one of these ways, and to REFERENCE; what is read,
 * and every size, must be the same at once.  With mappings also by stores in a shared mapping, which is kept for some
 * operations; the file is not used through libpmio meanwhile.  Ends with 0, or with 1 and one line that says what differs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pmio.h"

#define SIZE_MAX_ (3 << 20) /* of the file */
#define PIECE_MAX (300 << 10)

struct world {
	const char *mounted, *plain;
	char moved[4096];
	int fd, ref;
	bool append; /* how fd is open */
	bool mappings;
	unsigned char *map; /* shared; NULL: none */
	size_t mapped;
	struct pmio *pm;
	struct pmio_file *file;
	unsigned long nr;
	const char *op;
};

static unsigned char buf[PIECE_MAX], other[PIECE_MAX];

static void fail(const struct world *w, const char *what, long is, long should)
{
	printf("operation %lu, %s: %s: is %ld, should be %ld\n", w->nr, w->op, what, is, should);
	exit(1);
}

static void must(const struct world *w, const char *what, long rc)
{
	if (rc < 0) {
		printf("operation %lu, %s: %s: %s\n", w->nr, w->op, what, rc == -1 ? strerror(errno) : pmio_strerror((int)rc));
		exit(1);
	}
}

static size_t below(size_t n)
{
	return n ? (size_t)random() % n : 0;
}

/* often where something ends: blocks, chunks */
static size_t place(size_t max)
{
	static const size_t units[] = { 1, 512, 4096, 65536, 1 << 20 };
	size_t unit = units[below(5)], at = below(max / unit + 1) * unit + below(3);

	at -= at && below(2);
	return at < max ? at : max;
}

static size_t length(void)
{
	return below(4) ? below(9000) + 1 : below(PIECE_MAX) + 1;
}

static size_t size_of(const struct world *w)
{
	struct stat st;

	must(w, "reference", fstat(w->ref, &st));
	return (size_t)st.st_size;
}

static void fill(size_t len)
{
	unsigned seed = (unsigned)random();

	for (size_t i = 0; i < len; i++)
		buf[i] = (unsigned char)(seed + i * 7 + (i >> 8));
}

static bool by_pool(const struct world *w)
{
	return w->file && !w->map && below(3) == 0;
}

static void open_mounted(struct world *w, int flags)
{
	if (w->fd >= 0)
		must(w, "close", close(w->fd));
	w->append = flags & O_APPEND;
	w->fd = open(w->mounted, O_RDWR | flags, 0644);
	must(w, "open", w->fd);
}

static void open_pool(struct world *w)
{
	if (w->file)
		must(w, "pmio_close", pmio_close(&w->file));
	else
		must(w, "pmio_open", pmio_open(w->pm, w->plain, O_RDWR, 0, &w->file));
}

/* ---- operations --------------------------------------------------------------------- */

static void op_write(struct world *w)
{
	size_t len = length(), off = w->append ? size_of(w) : place(SIZE_MAX_ - len);

	if (off + len > SIZE_MAX_)
		return;
	fill(len);
	if (pwrite(w->ref, buf, len, (off_t)off) != (ssize_t)len)
		fail(w, "reference", -1, (long)len);
	if (!w->append && by_pool(w)) {
		long n = pmio_pwrite(w->file, buf, len, (off_t)off);

		if (n != (long)len)
			fail(w, "pmio_pwrite", n, (long)len);
	} else {
		ssize_t n = w->append ? write(w->fd, buf, len) : pwrite(w->fd, buf, len, (off_t)off);

		if (n != (ssize_t)len)
			fail(w, "write", n < 0 ? -errno : n, (long)len);
	}
}

/* n: what was read into buf */
static void compare(struct world *w, ssize_t n, size_t off, size_t len)
{
	ssize_t should = pread(w->ref, other, len, (off_t)off);

	if (n != should)
		fail(w, "bytes read", n, should);
	for (ssize_t i = 0; i < n; i++) {
		if (buf[i] != other[i]) {
			printf("at %zu: ", off + (size_t)i);
			fail(w, "byte", buf[i], other[i]);
		}
	}
}

static void op_read(struct world *w)
{
	size_t len = length(), off = place(SIZE_MAX_);

	if (by_pool(w))
		compare(w, pmio_pread(w->file, buf, len, (off_t)off), off, len);
	else
		compare(w, pread(w->fd, buf, len, (off_t)off), off, len);
}

static void op_size(struct world *w)
{
	size_t should = size_of(w);
	struct stat st;
	off_t size;

	must(w, "stat", stat(w->mounted, &st));
	if (st.st_size != (off_t)should)
		fail(w, "stat", st.st_size, (long)should);
	must(w, "fstat", fstat(w->fd, &st));
	if (st.st_size != (off_t)should)
		fail(w, "fstat", st.st_size, (long)should);
	if (lseek(w->fd, 0, SEEK_END) != (off_t)should)
		fail(w, "lseek", lseek(w->fd, 0, SEEK_END), (long)should);
	if (w->file && pmio_size(w->file, &size) == 0 && size != (off_t)should)
		fail(w, "pmio_size", size, (long)should);
}

static void op_truncate(struct world *w)
{
	off_t size = (off_t)place(SIZE_MAX_);

	must(w, "reference", ftruncate(w->ref, size));
	switch (below(3)) {
	case 0:
		must(w, "truncate", truncate(w->mounted, size));
		break;
	case 1:
		if (w->file && !w->map) {
			must(w, "pmio_truncate", pmio_truncate(w->file, size));
			break;
		}
		/* fall through */
	default:
		must(w, "ftruncate", ftruncate(w->fd, size));
	}
}

static void op_reopen(struct world *w)
{
	bool cut = below(16) == 0;

	open_mounted(w, (cut ? O_TRUNC : 0) | (below(3) ? 0 : O_APPEND));
	if (cut)
		must(w, "reference", ftruncate(w->ref, 0));
}

/* one descriptor of two is closed, and the other goes on */
static void op_dup(struct world *w)
{
	int fd = dup(w->fd);

	must(w, "dup", fd);
	must(w, "close", close(w->fd));
	w->fd = fd;
}

static void op_pool(struct world *w)
{
	if (!w->map)
		open_pool(w);
}

static void op_sync(struct world *w)
{
	must(w, "fsync", below(2) ? fsync(w->fd) : fdatasync(w->fd));
}

static void op_rename(struct world *w)
{
	must(w, "rename", rename(w->mounted, w->moved));
	must(w, "rename", rename(w->moved, w->mounted));
}

static void op_times(struct world *w)
{
	const struct timespec ts[2] = { { 1000000000, 0 }, { (time_t)(1000000000 + below(1000)), 0 } };
	struct stat st;

	must(w, "futimens", futimens(w->fd, ts));
	must(w, "fstat", fstat(w->fd, &st));
	if (st.st_mtime != ts[1].tv_sec)
		fail(w, "mtime", st.st_mtime, ts[1].tv_sec);
}

/* the kernel reads these into its cache: right, at least, for who has just opened it */
static void op_map(struct world *w)
{
	size_t size = size_of(w), len = length(), off = place(SIZE_MAX_) & ~(size_t)4095;
	unsigned char *p;

	if (off >= size)
		return;
	len = len < size - off ? len : size - off;
	open_mounted(w, 0);
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, w->fd, (off_t)off);
	if (p == MAP_FAILED)
		fail(w, "mmap", -errno, 0);
	memcpy(buf, p, len);
	*p ^= 1; /* nobody's but ours */
	munmap(p, len);
	compare(w, (ssize_t)len, off, len);
}

static void unmap(struct world *w)
{
	if (w->map)
		must(w, "munmap", munmap(w->map, w->mapped));
	w->map = NULL;
}

/* at an open the kernel drops the pages that it has */
static bool map_shared(struct world *w)
{
	size_t size = size_of(w);

	if (w->map || size == 0)
		return w->map;
	open_mounted(w, 0);
	w->map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd, 0);
	if (w->map == MAP_FAILED)
		fail(w, "mmap", -errno, 0);
	w->mapped = size;
	return true;
}

static void op_store(struct world *w)
{
	size_t size, len = length(), off = place(SIZE_MAX_);

	if (!w->mappings || !map_shared(w))
		return;
	size = size_of(w) < w->mapped ? size_of(w) : w->mapped;
	if (off < size) {
		len = len < size - off ? len : size - off;
		fill(len);
		memcpy(w->map + off, buf, len);
		if (pwrite(w->ref, buf, len, (off_t)off) != (ssize_t)len)
			fail(w, "reference", -1, (long)len);
	}
	if (below(3) == 0)
		must(w, "msync", msync(w->map, w->mapped, MS_SYNC));
	if (below(2) == 0)
		unmap(w);
}

static void op_load(struct world *w)
{
	size_t size, len = length(), off = place(SIZE_MAX_);

	if (!w->mappings || !map_shared(w))
		return;
	size = size_of(w) < w->mapped ? size_of(w) : w->mapped;
	if (off >= size)
		return;
	len = len < size - off ? len : size - off;
	memcpy(buf, w->map + off, len);
	compare(w, (ssize_t)len, off, len);
}

static void op_sendfile(struct world *w)
{
	size_t size = size_of(w), len = length(), off = place(SIZE_MAX_);
	int pipe_fd[2];
	off_t at = (off_t)off;
	ssize_t n;

	if (off >= size)
		return;
	len = len < 60000 ? len : 60000; /* what a pipe takes */
	open_mounted(w, 0);
	must(w, "pipe", pipe(pipe_fd));
	n = sendfile(pipe_fd[1], w->fd, &at, len);
	must(w, "sendfile", n);
	close(pipe_fd[1]);
	for (ssize_t done = 0; done < n;)
		done += read(pipe_fd[0], buf + done, (size_t)(n - done));
	close(pipe_fd[0]);
	compare(w, n, off, (size_t)n);
}

static void run(struct world *w, unsigned long operations)
{
	static const struct {
		const char *name;
		unsigned share;
		void (*run)(struct world *w);
	} ops[] = {
		{ "write", 26, op_write },     { "read", 26, op_read },	 { "size", 10, op_size },
		{ "truncate", 6, op_truncate }, { "reopen", 4, op_reopen }, { "dup", 3, op_dup },
		{ "pool", 3, op_pool },	       { "sync", 2, op_sync },	 { "rename", 2, op_rename },
		{ "times", 1, op_times },      { "map", 4, op_map },	 { "sendfile", 5, op_sendfile },
		{ "store", 6, op_store },      { "load", 2, op_load },
	};

	for (w->nr = 0; w->nr < operations; w->nr++) {
		size_t n = below(100), i = 0;

		while (n >= ops[i].share)
			n -= ops[i++].share;
		w->op = ops[i].name;
		ops[i].run(w);
	}
}

int main(int argc, char **argv)
{
	struct world w = { .fd = -1, .op = "start" };

	if (argc < 6 || argc > 7) {
		fprintf(stderr, "usage: fsx MOUNTED PLAIN REFERENCE SEED OPERATIONS [mappings]\n");
		return 2;
	}
	w.mounted = argv[1];
	w.plain = argv[2];
	w.mappings = argc == 7;
	snprintf(w.moved, sizeof(w.moved), "%s.moved", w.mounted);
	srandom((unsigned)atoi(argv[4]));
	w.ref = open(argv[3], O_RDWR | O_CREAT | O_TRUNC, 0644);
	must(&w, "reference", w.ref);
	must(&w, "pmio_connect", pmio_connect(NULL, &w.pm));
	open_mounted(&w, O_CREAT | O_TRUNC);
	run(&w, strtoul(argv[5], NULL, 10));
	w.op = "end";
	unmap(&w);
	must(&w, "close", close(w.fd));
	must(&w, "pmio_close", pmio_close(&w.file));
	pmio_disconnect(&w.pm);
	return 0;
}
