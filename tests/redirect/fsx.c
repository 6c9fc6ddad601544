/*
 * fsx.c -- random calls on a redirected file and the same ones on a plain file, compared all the time
 *
 * fsx REDIRECTED PLAIN SEED NR: the two files are made.  All ways to a file are used: descriptors and copies of them,
 * stdio, mappings, children, other programs' appends, closing and opening it again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_MAX (3u << 20) /* bytes: several frames */
#define PIECE_MAX 200000u
#define COMPARE_EACH 500

struct side {
	const char *name;
	int fd;
	char *map; /* shared and writable, of map_len bytes; NULL: none */
	size_t map_len;
};

static struct side sides[2];
static uint64_t state, seed;
static unsigned long step;
static const char *what = "";
static uint8_t data[PIECE_MAX], got[2][PIECE_MAX];

static uint64_t next(uint64_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % n;
}

static void bad(const char *why)
{
	printf("seed %llu, step %lu, %s: %s\n", (unsigned long long)seed, step, what, why);
	exit(EXIT_FAILURE);
}

static void same(long a, long b)
{
	char why[80];

	if (a == b)
		return;
	snprintf(why, sizeof(why), "%ld redirected, %ld plain (errno %d)", a, b, errno);
	bad(why);
}

static off_t size_of(const struct side *s)
{
	struct stat st;

	if (fstat(s->fd, &st) < 0)
		bad("fstat");
	return st.st_size;
}

static void fill(size_t len)
{
	uint8_t first = (uint8_t)next(256);

	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(first + i * 7 + (i >> 8));
}

static void unmap(void)
{
	for (int i = 0; i < 2; i++) {
		if (sides[i].map && munmap(sides[i].map, sides[i].map_len) < 0)
			bad("munmap");
		sides[i].map = NULL;
	}
}

/* ---- what is done ---------------------------------------------------------------------------------- */

static void do_write(void)
{
	off_t off = (off_t)next(FILE_MAX - PIECE_MAX);
	size_t len = next(next(4) ? 5000 : PIECE_MAX);
	bool seek = next(2);
	long r[2];

	what = "write";
	fill(len);
	for (int i = 0; i < 2; i++) {
		if (seek)
			r[i] = lseek(sides[i].fd, off, SEEK_SET) < 0 ? -1 : write(sides[i].fd, data, len);
		else
			r[i] = pwrite(sides[i].fd, data, len, off);
	}
	same(r[0], r[1]);
}

static void do_read(void)
{
	off_t off = (off_t)next(FILE_MAX);
	size_t len = next(next(4) ? 5000 : PIECE_MAX);
	bool seek = next(2);
	long r[2];

	what = "read";
	for (int i = 0; i < 2; i++) {
		if (seek)
			r[i] = lseek(sides[i].fd, off, SEEK_SET) < 0 ? -1 : read(sides[i].fd, got[i], len);
		else
			r[i] = pread(sides[i].fd, got[i], len, off);
	}
	same(r[0], r[1]);
	if (r[0] > 0 && memcmp(got[0], got[1], (size_t)r[0]) != 0)
		bad("other bytes");
	same(lseek(sides[0].fd, 0, SEEK_CUR), lseek(sides[1].fd, 0, SEEK_CUR));
}

static void do_vector(void)
{
	struct iovec v[5];
	off_t off = (off_t)next(FILE_MAX - PIECE_MAX);
	size_t at = 0;
	long r[2];

	what = "writev";
	fill(PIECE_MAX);
	for (int i = 0; i < 5; i++) {
		v[i] = (struct iovec){ data + at, next(3000) };
		at += v[i].iov_len;
	}
	for (int i = 0; i < 2; i++)
		r[i] = pwritev(sides[i].fd, v, 5, off);
	same(r[0], r[1]);
}

static void do_truncate(void)
{
	off_t size = (off_t)next(FILE_MAX);
	bool by_name = next(2);

	what = "truncate";
	unmap(); /* what is beyond the end of a file must not be touched */
	same(by_name ? truncate(sides[0].name, size) : ftruncate(sides[0].fd, size), by_name ? truncate(sides[1].name, size) : ftruncate(sides[1].fd, size));
}

static void do_append(void)
{
	size_t len = 1 + next(3000);
	long r[2];

	what = "append";
	if (size_of(&sides[1]) + (off_t)len > FILE_MAX)
		return;
	fill(len);
	for (int i = 0; i < 2; i++) {
		int fd = open(sides[i].name, O_WRONLY | O_APPEND);

		r[i] = write(fd, data, len);
		if (lseek(fd, 0, SEEK_CUR) != size_of(&sides[i]) || close(fd) < 0)
			bad("where it ended");
	}
	same(r[0], r[1]);
}

static void do_stdio(void)
{
	long off = (long)next(FILE_MAX - 10000);
	long r[2];

	what = "stdio";
	fill(5000);
	for (int i = 0; i < 2; i++) {
		FILE *f = fopen(sides[i].name, "r+");

		if (!f || fseek(f, off, SEEK_SET) < 0 || fwrite(data, 1, 5000, f) != 5000 || fseek(f, off / 2, SEEK_SET) < 0)
			bad("fwrite");
		r[i] = (long)fread(got[i], 1, 5000, f);
		if (fclose(f) < 0)
			bad("fclose");
	}
	same(r[0], r[1]);
	if (memcmp(got[0], got[1], (size_t)r[0]) != 0)
		bad("other bytes");
}

static void do_map(void)
{
	size_t len = (size_t)size_of(&sides[1]);

	what = "mmap";
	unmap();
	if (len == 0)
		return;
	for (int i = 0; i < 2; i++) {
		sides[i].map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, sides[i].fd, 0);
		sides[i].map_len = len;
		if (sides[i].map == MAP_FAILED)
			bad("mmap");
	}
}

static void do_store(void)
{
	size_t len = next(9000), off;

	what = "store";
	if (!sides[0].map || sides[0].map_len <= len)
		return;
	off = next(sides[0].map_len - len);
	fill(len);
	for (int i = 0; i < 2; i++)
		memcpy(sides[i].map + off, data, len);
	off = next(sides[0].map_len - len);
	what = "load";
	if (memcmp(sides[0].map + off, sides[1].map + off, len) != 0)
		bad("other bytes");
	if (next(4) == 0 && msync(sides[0].map, sides[0].map_len, MS_SYNC) < 0)
		bad("msync");
}

static void do_private_map(void)
{
	size_t len = (size_t)size_of(&sides[1]);
	char *p[2];

	what = "private mmap";
	if (len == 0)
		return;
	for (int i = 0; i < 2; i++) {
		p[i] = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, sides[i].fd, 0);
		if (p[i] == MAP_FAILED)
			bad("mmap");
	}
	if (memcmp(p[0], p[1], len) != 0)
		bad("other bytes");
	p[0][0]++;
	for (int i = 0; i < 2; i++)
		munmap(p[i], len);
}

static void do_again(void)
{
	what = "open";
	if (next(2))
		unmap();
	for (int i = 0; i < 2; i++) {
		if (close(sides[i].fd) < 0)
			bad("close");
		sides[i].fd = open(sides[i].name, O_RDWR);
		if (sides[i].fd < 0)
			bad("open");
	}
}

static void do_duplicate(void)
{
	what = "dup";
	for (int i = 0; i < 2; i++) {
		int fd = dup(sides[i].fd);

		if (fd < 0 || lseek(fd, 77, SEEK_SET) != 77 || lseek(sides[i].fd, 0, SEEK_CUR) != 77 || close(sides[i].fd) < 0)
			bad("dup");
		sides[i].fd = fd;
	}
}

/* a child writes by the descriptor that it has inherited, and by the mapping */
static void do_child(void)
{
	size_t len = next(5000);
	off_t off = (off_t)next(FILE_MAX - 5000);
	int status;

	what = "child";
	fill(len);
	for (int i = 0; i < 2; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			bool good = pwrite(sides[i].fd, data, len, off) == (ssize_t)len;

			if (sides[i].map)
				memcpy(sides[i].map, "by a child", sides[i].map_len < 10 ? sides[i].map_len : 10);
			_exit(good && lseek(sides[i].fd, 5, SEEK_SET) == 5 ? 0 : 1);
		}
		if (waitpid(pid, &status, 0) != pid || status != 0 || lseek(sides[i].fd, 0, SEEK_CUR) != 5)
			bad("child");
	}
}

static void do_sync(void)
{
	what = "fsync";
	if (fsync(sides[0].fd) < 0)
		bad(strerror(errno));
}

static void compare(void)
{
	off_t size = size_of(&sides[0]);

	what = "compare";
	same(size, size_of(&sides[1]));
	for (off_t off = 0; off < size; off += PIECE_MAX) {
		ssize_t n = pread(sides[0].fd, got[0], PIECE_MAX, off);

		same(n, pread(sides[1].fd, got[1], PIECE_MAX, off));
		for (ssize_t i = 0; i < n; i++) {
			char why[80];

			if (got[0][i] == got[1][i])
				continue;
			snprintf(why, sizeof(why), "byte %ld is %d redirected, %d plain", (long)(off + i), got[0][i], got[1][i]);
			bad(why);
		}
	}
}

int main(int argc, char **argv)
{
	static void (*const all[])(void) = { do_write, do_write, do_write, do_read, do_read, do_read, do_vector, do_append, do_store, do_store,
					     do_store };
	static void (*const rare[])(void) = { do_truncate, do_truncate, do_stdio, do_map, do_map, do_private_map, do_again, do_duplicate, do_child, do_sync };
	unsigned long nr;

	if (argc != 5)
		return 2;
	seed = strtoull(argv[3], NULL, 10);
	state = seed * 0x9e3779b97f4a7c15u + 1;
	nr = strtoul(argv[4], NULL, 10);
	for (int i = 0; i < 2; i++) {
		sides[i].name = argv[1 + i];
		sides[i].fd = open(sides[i].name, O_RDWR | O_CREAT | O_TRUNC, 0644);
		if (sides[i].fd < 0)
			bad("open");
	}
	for (step = 1; step <= nr; step++) {
		if (next(8))
			all[next(sizeof(all) / sizeof(all[0]))]();
		else
			rare[next(sizeof(rare) / sizeof(rare[0]))]();
		if (step % COMPARE_EACH == 0)
			compare();
	}
	unmap();
	compare();
	return EXIT_SUCCESS;
}
