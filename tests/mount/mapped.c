/*
 * mapped.c -- a program with a shared mapping of a file
 *
 *	mapped FILE STEP...
 *
 * The steps are done one after the other.  Numbers are decimal, and bytes are text:
 *
 *	open:r | open:rw | open:w | open:a	open, creating it; a: for reading and appending
 *	size:N			make it N bytes long
 *	map:OFF:LEN | map_ro:OFF:LEN		map this range of it; offsets of put and get count from the file's start
 *	put:OFF:TEXT, get:OFF:LEN		by the mapping
 *	fill:OFF:LEN:TEXT			put TEXT (one letter) everywhere
 *	write:OFF:TEXT, append:TEXT, read:OFF:LEN	by the descriptor
 *	msync, fsync, unmap, close
 *	say:PATH		make a file
 *	until:PATH		wait until there is one
 *	get_until:OFF:TEXT, read_until:OFF:TEXT	wait until these bytes are there
 *	storm			store to all pages, again and again
 *	kill			die by SIGKILL
 *
 * What get and read have found is a line, and so is the name of the error of a step; after an error the next step
 * follows.  SIGBUS is an error of get and put.  Ends with 0 if all steps could be done, else with 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TEXT_MAX 4096
#define POLL_US 10000

static const char *path;
static int fd = -1;
static char *mapping; /* of the byte `start` of the file */
static size_t start, mapped;
static sigjmp_buf at_fault;

static void fault(int sig)
{
	(void)sig;
	siglongjmp(at_fault, 1);
}

struct step {
	const char *name;
	long off, len;
	const char *text;
};

static int do_open(const struct step *s)
{
	const char *how = s->text;
	int flags = strcmp(how, "r") == 0 ? O_RDONLY : strcmp(how, "w") == 0 ? O_WRONLY : O_RDWR;

	fd = open(path, flags | (flags == O_RDONLY ? 0 : O_CREAT) | (*how == 'a' ? O_APPEND : 0), 0644);
	return fd;
}

static int do_map(const struct step *s, int prot)
{
	void *p = mmap(NULL, (size_t)s->len, prot, MAP_SHARED, fd, s->off);

	if (p == MAP_FAILED)
		return -1;
	mapping = p;
	start = (size_t)s->off;
	mapped = (size_t)s->len;
	return 0;
}

static int show(const char *bytes, ssize_t n)
{
	if (n < 0)
		return -1;
	for (ssize_t i = 0; i < n; i++)
		putchar(bytes[i] ? bytes[i] : '.');
	putchar('\n');
	return 0;
}

static int do_get(const struct step *s)
{
	return show(mapping + s->off - start, s->len);
}

static int do_put(const struct step *s)
{
	memcpy(mapping + s->off - start, s->text, strlen(s->text));
	return 0;
}

static int do_fill(const struct step *s)
{
	memset(mapping + s->off - start, *s->text, (size_t)s->len);
	return 0;
}

static int do_read(const struct step *s)
{
	static char bytes[TEXT_MAX];

	return show(bytes, pread(fd, bytes, (size_t)s->len, s->off));
}

static int do_write(const struct step *s)
{
	size_t n = strlen(s->text);

	return pwrite(fd, s->text, n, s->off) == (ssize_t)n ? 0 : -1;
}

static int do_append(const struct step *s)
{
	size_t n = strlen(s->text);

	return write(fd, s->text, n) == (ssize_t)n ? 0 : -1;
}

static int storm(void)
{
	for (unsigned i = 0;; i++) {
		mapping[i * 4096UL % mapped] = (char)i;
		if (i % 1000 == 0)
			msync(mapping, mapped, MS_SYNC);
	}
	return 0;
}

static int until_there(const char *name)
{
	while (access(name, F_OK) < 0)
		usleep(POLL_US);
	return 0;
}

static int get_until(const struct step *s)
{
	while (memcmp(mapping + s->off - start, s->text, strlen(s->text)) != 0)
		usleep(POLL_US);
	return 0;
}

static int read_until(const struct step *s)
{
	char bytes[TEXT_MAX];
	size_t n = strlen(s->text);

	while (pread(fd, bytes, n, s->off) != (ssize_t)n || memcmp(bytes, s->text, n) != 0)
		usleep(POLL_US);
	return 0;
}

static int say(const char *name)
{
	int made = open(name, O_WRONLY | O_CREAT, 0644);

	return made < 0 ? -1 : close(made);
}

static int do_close(void)
{
	int old = fd;

	fd = -1;
	return close(old);
}

static bool needs_mapping(const char *name)
{
	return strcmp(name, "put") == 0 || strcmp(name, "fill") == 0 || strcmp(name, "storm") == 0 || strncmp(name, "get", 3) == 0;
}

static int run(const struct step *s)
{
	static const struct {
		const char *name;
		int (*run)(const struct step *s);
	} steps[] = {
		{ "open", do_open }, { "put", do_put }, { "get", do_get }, { "fill", do_fill }, { "read", do_read }, { "write", do_write },
		{ "append", do_append }, { "get_until", get_until }, { "read_until", read_until },
	};

	if (needs_mapping(s->name) && !mapping) {
		errno = EFAULT;
		return -1;
	}
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		if (strcmp(s->name, steps[i].name) == 0)
			return steps[i].run(s);
	}
	if (strcmp(s->name, "size") == 0)
		return ftruncate(fd, s->off);
	if (strcmp(s->name, "map") == 0)
		return do_map(s, PROT_READ | PROT_WRITE);
	if (strcmp(s->name, "map_ro") == 0)
		return do_map(s, PROT_READ);
	if (strcmp(s->name, "msync") == 0)
		return msync(mapping, mapped, MS_SYNC);
	if (strcmp(s->name, "fsync") == 0)
		return fsync(fd);
	if (strcmp(s->name, "unmap") == 0)
		return munmap(mapping, mapped);
	if (strcmp(s->name, "close") == 0)
		return do_close();
	if (strcmp(s->name, "say") == 0)
		return say(s->text);
	if (strcmp(s->name, "until") == 0)
		return until_there(s->text);
	if (strcmp(s->name, "storm") == 0)
		return storm();
	if (strcmp(s->name, "kill") == 0)
		return raise(SIGKILL);
	fprintf(stderr, "mapped: %s is no step\n", s->name);
	exit(2);
}

/* NAME, NAME:TEXT, NAME:OFF, NAME:OFF:LEN, NAME:OFF:TEXT or NAME:OFF:LEN:TEXT */
static struct step parse(char *arg)
{
	struct step s = { .name = strsep(&arg, ":"), .text = "" };

	if (!arg)
		return s;
	s.text = arg;
	if (*arg < '0' || *arg > '9')
		return s;
	s.off = strtol(arg, &arg, 10);
	s.text = *arg ? ++arg : arg;
	if (strcmp(s.name, "put") == 0 || strcmp(s.name, "write") == 0 || strstr(s.name, "until"))
		return s;
	s.len = strtol(arg, &arg, 10);
	s.text = *arg ? ++arg : arg;
	return s;
}

int main(int argc, char **argv)
{
	static volatile bool failed;
	struct sigaction act = { .sa_handler = fault, .sa_flags = SA_NODEFER };

	if (argc < 3) {
		fprintf(stderr, "usage: mapped FILE STEP...\n");
		return 2;
	}
	path = argv[1];
	sigaction(SIGBUS, &act, NULL);
	for (volatile int i = 2; i < argc; i++) {
		struct step s = parse(argv[i]);

		if (sigsetjmp(at_fault, 1)) {
			printf("%s SIGBUS\n", argv[i]);
			failed = true;
		} else if (run(&s) < 0) {
			printf("%s %s\n", s.name, strerrorname_np(errno));
			failed = true;
		}
		fflush(stdout);
	}
	return failed;
}
