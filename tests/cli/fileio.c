/*
 * fileio.c -- a program on libpmio, for the shell tests
 *
 *	fileio [-r] [-x] [-t] PATH [OPERATION...]
 *	fileio -c                 connect only
 *	fileio -p PATH check...   the plain file, without pmio
 *
 * -r opens for reading only, -x with O_EXCL, -t with O_TRUNC; else the file is
 * made if it is missing.  Operations, done one after the other:
 *
 *	write OFF LEN SEED     the pattern of that seed
 *	verify OFF LEN SEED    that it is there
 *	either OFF LEN A B     that each byte is of the one seed's or the other's
 *	zero OFF LEN           that all bytes are zero
 *	loop LEN SEED          write the pattern at 0 again and again, for ever
 *	same FILE LEN          that the first bytes are those of this plain file
 *	is SIZE                that the file has this size
 *	truncate SIZE, sync, drain
 *	delete OTHER           another file, with the same connection
 *	wait FILE              until FILE exists; says "waiting" first
 *	child FILE             make a child that lives until FILE exists; says "child PID"
 *
 * Ends with 0; with 1 and the error's name on standard output ("ENOENT"); with 3
 * if bytes or a size were wrong.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pmio.h"

#define PIECE (1 << 20)
#define WAIT_LIMIT_S 120

enum { STATUS_FAILED = 1, STATUS_USAGE = 2, STATUS_WRONG = 3 };

struct target {
	struct pmio *pm;
	struct pmio_file *file;
	int fd; /* with -p */
};

static uint8_t pattern(uint64_t off, unsigned seed)
{
	return (uint8_t)(off * 131 + (off >> 8) * 17 + (off >> 20) * 5 + seed);
}

static const char *name_of(int rc)
{
	static const char *const own[] = { "PMIO_ENOTPOOL", "PMIO_EVERSION", "PMIO_EDAMAGED",
					   "PMIO_EAGENT",   "PMIO_EPROTO",   "PMIO_ECHANGED",
					   "PMIO_EGONE",    "PMIO_EOTHER",   "PMIO_ESTUCK" };
	const char *name;

	if (rc <= PMIO_ENOTPOOL && rc >= PMIO_ESTUCK)
		return own[PMIO_ENOTPOOL - rc];
	name = strerrorname_np(-rc);
	return name ? name : "unknown";
}

static void check(long rc)
{
	if (rc >= 0)
		return;
	puts(name_of((int)rc));
	exit(STATUS_FAILED);
}

static void wrong(const char *what, uint64_t at, uint64_t is, uint64_t should)
{
	printf("%s at %llu: is %llu, should be %llu\n", what, (unsigned long long)at,
	       (unsigned long long)is, (unsigned long long)should);
	exit(STATUS_WRONG);
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t n = strtoull(text, &end, 0);

	if (*text == '\0' || *end != '\0') {
		fprintf(stderr, "fileio: %s is not a number\n", text);
		exit(STATUS_USAGE);
	}
	return n;
}

static long read_at(struct target *t, void *buf, size_t len, uint64_t off)
{
	ssize_t n;

	if (t->file)
		return pmio_pread(t->file, buf, len, (off_t)off);
	n = pread(t->fd, buf, len, (off_t)off);
	return n < 0 ? -errno : n;
}

static void write_pattern(struct target *t, uint64_t off, uint64_t len, unsigned seed)
{
	static uint8_t buf[PIECE];

	while (len) {
		size_t n = len < PIECE ? (size_t)len : PIECE;
		ssize_t done;

		for (size_t i = 0; i < n; i++)
			buf[i] = pattern(off + i, seed);
		done = pmio_pwrite(t->file, buf, n, (off_t)off);
		check(done);
		if ((size_t)done != n)
			wrong("count of a write", off, (uint64_t)done, n);
		off += n;
		len -= n;
	}
}

/* calls good(offset, byte, arg) for each byte */
static void each_byte(struct target *t, uint64_t off, uint64_t len,
		      void (*good)(uint64_t off, uint8_t byte, const unsigned *arg), const unsigned *arg)
{
	static uint8_t buf[PIECE];

	while (len) {
		size_t n = len < PIECE ? (size_t)len : PIECE;
		long done = read_at(t, buf, n, off);

		check(done);
		if ((size_t)done != n)
			wrong("count of a read", off, (uint64_t)done, n);
		for (size_t i = 0; i < n; i++)
			good(off + i, buf[i], arg);
		off += n;
		len -= n;
	}
}

static void is_one(uint64_t off, uint8_t byte, const unsigned *seed)
{
	if (byte != pattern(off, *seed))
		wrong("byte", off, byte, pattern(off, *seed));
}

static void is_either(uint64_t off, uint8_t byte, const unsigned *seeds)
{
	if (byte != pattern(off, seeds[0]) && byte != pattern(off, seeds[1]))
		wrong("byte", off, byte, pattern(off, seeds[1]));
}

static void is_zero(uint64_t off, uint8_t byte, const unsigned *unused)
{
	(void)unused;
	if (byte)
		wrong("byte", off, byte, 0);
}

static void op_write(struct target *t, char **a)
{
	write_pattern(t, number(a[0]), number(a[1]), (unsigned)number(a[2]));
}

static void op_verify(struct target *t, char **a)
{
	unsigned seed = (unsigned)number(a[2]);

	each_byte(t, number(a[0]), number(a[1]), is_one, &seed);
}

static void op_either(struct target *t, char **a)
{
	unsigned seeds[] = { (unsigned)number(a[2]), (unsigned)number(a[3]) };

	each_byte(t, number(a[0]), number(a[1]), is_either, seeds);
}

static void op_zero(struct target *t, char **a)
{
	each_byte(t, number(a[0]), number(a[1]), is_zero, NULL);
}

static void op_same(struct target *t, char **a)
{
	struct target plain = { .fd = open(a[0], O_RDONLY | O_CLOEXEC) };
	static uint8_t mine[PIECE], other[PIECE];
	uint64_t len = number(a[1]);

	check(plain.fd < 0 ? -errno : 0);
	for (uint64_t off = 0; off < len; off += PIECE) {
		size_t n = len - off < PIECE ? (size_t)(len - off) : PIECE;
		long done = read_at(t, mine, n, off);

		check(done);
		if ((size_t)done != n || read_at(&plain, other, n, off) != done)
			wrong("count of a read", off, (uint64_t)done, n);
		if (memcmp(mine, other, n) != 0)
			wrong("difference between files beyond", off, 0, 0);
	}
	close(plain.fd);
}

static void op_loop(struct target *t, char **a)
{
	puts("running");
	fflush(stdout);
	for (;;)
		write_pattern(t, 0, number(a[0]), (unsigned)number(a[1]));
}

static void op_is(struct target *t, char **a)
{
	off_t size = 0;

	if (t->file)
		check(pmio_size(t->file, &size));
	else
		size = lseek(t->fd, 0, SEEK_END);
	if ((uint64_t)size != number(a[0]))
		wrong("size", 0, (uint64_t)size, number(a[0]));
}

static void op_truncate(struct target *t, char **a)
{
	check(pmio_truncate(t->file, (off_t)number(a[0])));
}

static void op_sync(struct target *t, char **a)
{
	(void)a;
	check(pmio_sync(t->file));
}

static void op_drain(struct target *t, char **a)
{
	(void)a;
	check(pmio_drain(t->file));
}

static void op_delete(struct target *t, char **a)
{
	check(pmio_delete(t->pm, a[0]));
}

static void until_exists(const char *path)
{
	const struct timespec pause = { 0, 10000000 };

	for (int i = 0; access(path, F_OK) != 0; i++) {
		if (i == WAIT_LIMIT_S * 100)
			wrong("waited in vain", 0, 0, 0);
		nanosleep(&pause, NULL);
	}
}

static void op_wait(struct target *t, char **a)
{
	(void)t;
	puts("waiting");
	fflush(stdout);
	until_exists(a[0]);
}

static void op_child(struct target *t, char **a)
{
	pid_t pid = fork();

	(void)t;
	check(pid < 0 ? -errno : 0);
	if (pid) {
		printf("child %d\n", (int)pid);
		fflush(stdout);
		return;
	}
	until_exists(a[0]);
	_exit(0);
}

static const struct op {
	const char *name;
	int nr_args;
	bool plain; /* also without pmio */
	void (*run)(struct target *t, char **args);
} ops[] = {
	{ "write", 3, false, op_write },       { "verify", 3, true, op_verify },
	{ "either", 4, true, op_either },      { "zero", 2, true, op_zero },
	{ "same", 2, false, op_same },
	{ "loop", 2, false, op_loop },	       { "is", 1, true, op_is },
	{ "truncate", 1, false, op_truncate }, { "sync", 0, false, op_sync },
	{ "drain", 0, false, op_drain },       { "wait", 1, true, op_wait },
	{ "child", 1, true, op_child },	       { "delete", 1, false, op_delete },
};

static const struct op *find_op(const char *name, int nr_args, bool plain)
{
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		if (strcmp(ops[i].name, name) == 0 && nr_args >= ops[i].nr_args &&
		    (!plain || ops[i].plain))
			return &ops[i];
	}
	fprintf(stderr, "fileio: %s: no such operation, or too few arguments\n", name);
	exit(STATUS_USAGE);
}

static void run_ops(struct target *t, int argc, char **argv)
{
	while (argc) {
		const struct op *op = find_op(argv[0], argc - 1, !t->file);

		op->run(t, argv + 1);
		argc -= 1 + op->nr_args;
		argv += 1 + op->nr_args;
	}
}

static void run_plain(const char *path, int argc, char **argv)
{
	struct target t = { .fd = open(path, O_RDONLY | O_CLOEXEC) };

	check(t.fd < 0 ? -errno : 0);
	run_ops(&t, argc, argv);
	close(t.fd);
}

static void run_pmio(const char *path, int flags, int argc, char **argv)
{
	struct target t = { .fd = -1 };

	check(pmio_connect(NULL, &t.pm));
	if (path) {
		check(pmio_open(t.pm, path, flags, 0666, &t.file));
		run_ops(&t, argc, argv);
		check(pmio_close(&t.file));
	}
	pmio_disconnect(&t.pm);
}

int main(int argc, char **argv)
{
	int flags = O_RDWR | O_CREAT, opt;
	bool plain = false, connect_only = false;

	while ((opt = getopt(argc, argv, "+rxtcp")) != -1) {
		switch (opt) {
		case 'r':
			flags = O_RDONLY;
			break;
		case 'x':
			flags |= O_EXCL;
			break;
		case 't':
			flags |= O_TRUNC;
			break;
		case 'c':
			connect_only = true;
			break;
		case 'p':
			plain = true;
			break;
		default:
			return STATUS_USAGE;
		}
	}
	if (connect_only != (optind == argc))
		return STATUS_USAGE;
	if (plain)
		run_plain(argv[optind], argc - optind - 1, argv + optind + 1);
	else
		run_pmio(argv[optind], flags, argc - optind - 1, argv + optind + 1);
	return 0;
}
