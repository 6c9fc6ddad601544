/*
 * calls.c -- calls that programs make on files, checked against what a plain file gives; redirected or not
 *
 * calls DIRECTORY TEST...: exit status 0, or a line about what is wrong
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/openat2.h>
#include <locale.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"

/* programs have functions of names that libraries have, too: cksum this one.  It must not be called by libpmio */
void *crc32(void);
void *crc32(void)
{
	abort();
}

int make(const char *name, const char *text)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);

	must(fd >= 0);
	must(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	must(lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

void is(const char *name, const char *text)
{
	char buf[4096];
	int fd = open(name, O_RDONLY);
	ssize_t n;

	must(fd >= 0);
	n = read(fd, buf, sizeof(buf));
	must(n >= 0);
	if ((size_t)n != strlen(text) || memcmp(buf, text, (size_t)n) != 0) {
		printf("%s is \"%.*s\", should be \"%s\"\n", name, (int)n, buf, text);
		exit(EXIT_FAILURE);
	}
	must(close(fd) == 0);
}

int wait_for(pid_t pid)
{
	int status;

	must(waitpid(pid, &status, 0) > 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

volatile sig_atomic_t nr_signals;
void count(int sig)
{
	(void)sig;
	nr_signals++;
}

/* ---- data ------------------------------------------------------------------------------------ */

static void test_vectors(void)
{
	char a[3], b[10];
	struct iovec w[2] = { { "abc", 3 }, { "defgh", 5 } }, r[2] = { { a, 3 }, { b, 10 } };
	int fd = make("v", "");

	must(writev(fd, w, 2) == 8 && pwritev(fd, w, 2, 10) == 8 && lseek(fd, 0, SEEK_CUR) == 8);
	must(preadv(fd, r, 2, 0) == 13 && memcmp(a, "abc", 3) == 0 && memcmp(b, "defgh\0\0abc", 10) == 0);
	must(lseek(fd, 0, SEEK_SET) == 0 && readv(fd, r, 1) == 3 && lseek(fd, 0, SEEK_CUR) == 3);
	must(preadv2(fd, r, 1, -1, 0) == 3 && memcmp(a, "def", 3) == 0);
	must(pwritev2(fd, w, 1, 0, RWF_APPEND) == 3);
	must(pread(fd, b, 10, 15) == 6 && memcmp(b, "fghabc", 6) == 0);
	must(pread(fd, b, 10, 100) == 0 && pwrite(fd, b, 0, 200) == 0 && lseek(fd, 0, SEEK_END) == 21);
	must_fail(pread(fd, b, 1, -1), EINVAL);
	must(close(fd) == 0);
}

static void test_rights(void)
{
	int r = make("r", "text"), w;
	char c;

	must(close(r) == 0);
	r = open("r", O_RDONLY);
	w = open("r", O_WRONLY);
	must_fail(write(r, "x", 1), EBADF);
	must_fail(read(w, &c, 1), EBADF);
	must_fail(ftruncate(r, 0), EINVAL);
	must_fail(lseek(r, -1, SEEK_SET), EINVAL);
	must_fail(open("r", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
	must_fail(open("none/r", O_RDWR | O_CREAT, 0600), ENOENT);
	must(close(r) == 0 && close(w) == 0);
	must_fail(write(w, "x", 1), EBADF);
	must(close(make("rt", "text")) == 0);
	r = open("rt", O_RDONLY | O_TRUNC);
	must(r >= 0 && read(r, &c, 1) == 0 && close(r) == 0);
	is("rt", "");
	r = open("/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	must(r >= 0 && write(r, "x", 1) == 1 && close(r) == 0);
	/* who may write at its creation may do so though the mode says no */
	w = open("ro", O_WRONLY | O_CREAT | O_EXCL, 0444);
	must(w >= 0 && write(w, "data", 4) == 4 && close(w) == 0);
	is("ro", "data");
}

static void test_seek(void)
{
	int fd = make("s", "0123456789");

	must(lseek(fd, -3, SEEK_END) == 7 && lseek(fd, 1, SEEK_CUR) == 8);
	must(lseek(fd, 2, SEEK_DATA) == 2 && lseek(fd, 2, SEEK_HOLE) == 10);
	must_fail(lseek(fd, 10, SEEK_DATA), ENXIO);
	must_fail(lseek(fd, -11, SEEK_END), EINVAL);
	must(lseek(fd, 100, SEEK_SET) == 100 && write(fd, "x", 1) == 1 && lseek(fd, 0, SEEK_END) == 101);
	must(close(fd) == 0);
}

static void test_sizes(void)
{
	int fd = make("t", "0123456789");
	struct statx x;
	struct stat st;
	char b[8];

	must(fstat(fd, &st) == 0 && st.st_size == 10 && stat("t", &st) == 0 && st.st_size == 10);
	must(truncate("t", 4) == 0 && fstat(fd, &st) == 0 && st.st_size == 4);
	must(ftruncate(fd, 8) == 0 && pread(fd, b, 8, 0) == 8 && memcmp(b, "0123\0\0\0\0", 8) == 0);
	must(posix_fallocate(fd, 0, 100) == 0 && fstat(fd, &st) == 0 && st.st_size == 100);
	must(posix_fallocate(fd, 0, 50) == 0 && fstatat(AT_FDCWD, "t", &st, 0) == 0 && st.st_size == 100);
	must(statx(AT_FDCWD, "t", 0, STATX_SIZE, &x) == 0 && x.stx_size == 100);
	must(statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &x) == 0 && x.stx_size == 100);
	must(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1, 2) == 0 && pread(fd, b, 4, 0) == 4 && memcmp(b, "0\0\0003", 4) == 0);
	must(close(fd) == 0 && lstat("t", &st) == 0 && st.st_size == 100);
	must(fsync(make("u", "x")) == 0 && truncate("none", 1) == -1);
}

/* how long a file may become */
static void test_limit(void)
{
	const struct rlimit limit = { 10, RLIM_INFINITY }, none = { RLIM_INFINITY, RLIM_INFINITY };
	int fd = make("li", "");

	signal(SIGXFSZ, count);
	nr_signals = 0;
	must(setrlimit(RLIMIT_FSIZE, &limit) == 0 && write(fd, "0123456789abc", 13) == 10 && nr_signals == 0);
	must_fail(write(fd, "x", 1), EFBIG);
	must_fail(pwrite(fd, "x", 1, 12), EFBIG);
	must(pwrite(fd, "xyz", 3, 8) == 2);
	must_fail(ftruncate(fd, 11), EFBIG);
	must(posix_fallocate(fd, 0, 11) == EFBIG && nr_signals == 4 && ftruncate(fd, 9) == 0);
	must(fcntl(fd, F_SETFL, O_APPEND) == 0 && write(fd, "ends", 4) == 1 && close(fd) == 0);
	must(setrlimit(RLIMIT_FSIZE, &none) == 0);
	is("li", "01234567xe");
}

static void test_append(void)
{
	int a = make("a", "start "), b = open("a", O_WRONLY | O_APPEND), c = open("a", O_WRONLY | O_APPEND);

	must(write(b, "b", 1) == 1 && write(c, "c", 1) == 1 && write(b, "B", 1) == 1);
	must(lseek(b, 0, SEEK_CUR) == 9 && pwrite(b, "p", 1, 0) == 1);
	must(fcntl(b, F_SETFL, 0) == 0 && lseek(b, 0, SEEK_SET) == 0 && write(b, "S", 1) == 1);
	must(fcntl(a, F_SETFL, O_APPEND) == 0 && write(a, ".", 1) == 1);
	must(close(a) == 0 && close(b) == 0 && close(c) == 0);
	is("a", "Start bcBp.");
}

static void test_copies(void)
{
	int from = make("from", "0123456789"), to = make("to", ""), p[2];
	off_t off = 2, at = 1;
	char b[16];

	must(copy_file_range(from, &off, to, &at, 4, 0) == 4 && off == 6 && at == 5);
	must(copy_file_range(from, NULL, to, NULL, 100, 0) == 10 && copy_file_range(from, NULL, to, NULL, 100, 0) == 0);
	off = 7;
	must(sendfile(to, from, &off, 100) == 3 && off == 10);
	must(close(to) == 0);
	is("to", "0123456789789");
	must(pipe(p) == 0 && lseek(from, 0, SEEK_SET) == 0);
	must(splice(from, NULL, p[1], NULL, 10, 0) == 10 && lseek(from, 0, SEEK_CUR) == 10);
	must(read(p[0], b, 16) == 10 && memcmp(b, "0123456789", 10) == 0);
	off = 3;
	to = make("spliced", "");
	must(splice(from, &off, p[1], NULL, 4, 0) == 4 && off == 7);
	at = 2;
	must(splice(p[0], NULL, to, &at, 100, 0) == 4 && at == 6 && lseek(to, 0, SEEK_CUR) == 0);
	must_fail(splice(p[0], NULL, to, NULL, 100, SPLICE_F_NONBLOCK), EAGAIN);
	must_fail(splice(from, NULL, to, NULL, 100, 0), EINVAL);
	must(close(to) == 0);
	is("to", "0123456789789");
	must(close(from) == 0);
}

/* ---- descriptors -------------------------------------------------------------------------------- */

/* a descriptor that another process gets by a socket, of a file without a name */
static void test_passed(void)
{
	int fd = make("pa", "passed"), pair[2];
	char control[CMSG_SPACE(sizeof(int))] = "", c = 'x', b[16];
	struct iovec v = { &c, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *head = CMSG_FIRSTHDR(&m);

	must(unlink("pa") == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	if (fork() == 0) {
		must(close(fd) == 0 && close(pair[0]) == 0 && recvmsg(pair[1], &m, 0) == 1 && CMSG_FIRSTHDR(&m));
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
		must(read(pair[1], &c, 1) == 1);
		_exit(pread(fd, b, 16, 0) == 6 && memcmp(b, "passed", 6) == 0 ? 0 : 1);
	}
	must(close(pair[1]) == 0);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &fd, sizeof(fd));
	must(sendmsg(pair[0], &m, 0) == 1 && close(fd) == 0 && write(pair[0], "y", 1) == 1 && wait_for(-1) == 0);
	must(close(pair[0]) == 0);
}

static void test_duplicates(void)
{
	int a = make("d", ""), b = dup(a), c = fcntl(a, F_DUPFD_CLOEXEC, 100), d = open("other", O_WRONLY | O_CREAT, 0600);

	must(b >= 0 && c >= 100 && d >= 0);
	must(write(a, "a", 1) == 1 && write(b, "b", 1) == 1 && write(c, "c", 1) == 1);
	must(close(a) == 0 && write(b, "d", 1) == 1 && dup2(b, d) == d && write(d, "e", 1) == 1);
	must(dup3(b, d, O_CLOEXEC) == d && fcntl(d, F_GETFD) == FD_CLOEXEC && dup2(d, d) == d);
	must_fail(dup3(b, b, 0), EINVAL);
	must_fail(dup2(a, d), EBADF);
	must(write(d, "f", 1) == 1 && close(b) == 0 && close(c) == 0 && write(d, "g", 1) == 1 && close(d) == 0);
	is("d", "abcdefg");
	is("other", "");
}

static void test_close_range(void)
{
	int a = make("cr", "x"), sock[2];

	for (int i = a + 1; i < a + 5; i++)
		must(dup2(a, i) == i);
	must(close_range((unsigned)a, ~0u, 0) == 0);
	must_fail(write(a, "x", 1), EBADF);
	/* numbers are free for others, as they always are */
	must(pipe(sock) == 0 && sock[0] == a && write(sock[1], "pipe", 4) == 4);
	is("cr", "x");
	for (int i = 3; i < 1024; i++)
		close(i);
	is("cr", "x");
}

static void test_reuse(void)
{
	for (int i = 0; i < 50; i++) {
		int fd = make("re", "file"), p[2];

		must(close(fd) == 0 && pipe(p) == 0 && p[0] == fd && write(p[1], "p", 1) == 1);
		must(close(p[0]) == 0 && close(p[1]) == 0);
	}
	is("re", "file");
}

static void test_stdio(void)
{
	FILE *f = fopen("io", "w+");
	char line[64];
	int fd;

	must(f && fprintf(f, "one\ntwo\n") == 8 && fflush(f) == 0 && fseek(f, 4, SEEK_SET) == 0 && fgets(line, 64, f) && strcmp(line, "two\n") == 0);
	must(fputs("three\n", f) >= 0 && ftell(f) == 14 && fclose(f) == 0);
	f = fopen("io", "a");
	must(f && fputs("four\n", f) >= 0 && fclose(f) == 0);
	is("io", "one\ntwo\nthree\nfour\n");
	f = freopen("io2", "w", fopen("io", "r"));
	must(f && fputs("five", f) >= 0 && fclose(f) == 0);
	is("io2", "five");
	fd = make("io3", "fd");
	f = fdopen(fd, "r+");
	must(f && fgetc(f) == 'f' && fseek(f, 0, SEEK_END) == 0 && fputs("open", f) >= 0 && fclose(f) == 0);
	is("io3", "fdopen");
	f = tmpfile();
	must(f && fclose(f) == 0);
}

/* ---- names ------------------------------------------------------------------------------------------ */

static void test_nameless(void)
{
	int fd = make("n", "first"), other, closed[2];
	struct stat st;
	char b[16];

	must(unlink("n") == 0 && access("n", F_OK) == -1 && fstat(fd, &st) == 0 && st.st_nlink == 0 && st.st_size == 5);
	must(lseek(fd, 0, SEEK_END) == 5 && write(fd, "more", 4) == 4 && pread(fd, b, 16, 0) == 9 && memcmp(b, "firstmore", 9) == 0);
	other = make("n", "new");
	must(pread(fd, b, 16, 0) == 9 && pread(other, b, 16, 0) == 3);
	must(pipe(closed) == 0);
	if (fork() == 0) { /* a child that has it, and its parent no longer */
		close(closed[1]);
		_exit(read(closed[0], b, 1) == 0 && pread(fd, b, 16, 0) == 9 && memcmp(b, "firstmore", 9) == 0 ? 0 : 1);
	}
	must(close(fd) == 0 && close(other) == 0 && close(closed[0]) == 0 && close(closed[1]) == 0 && wait_for(-1) == 0);
	is("n", "new");
}

static void test_rename(void)
{
	int a = make("ra", "a"), b = make("rb", "b");
	char c;

	must(rename("ra", "rb") == 0 && write(a, "A", 1) == 1 && pread(b, &c, 1, 0) == 1 && c == 'b');
	is("rb", "A");
	must(close(a) == 0 && close(b) == 0 && link("rb", "rc") == 0 && unlink("rb") == 0);
	is("rc", "A");
	must(remove("rc") == 0 && mkdir("rd", 0700) == 0 && remove("rd") == 0);
	must_fail(unlink("rc"), ENOENT);
}

/* two files change their names, and one of the two is outside then */
static void test_exchange(void)
{
	char b[16];
	int fd;

	must(close(make("xa", "a")) == 0 && close(make("xb", "bb")) == 0 && close(make("../../outside", "out")) == 0);
	must(renameat2(AT_FDCWD, "xa", AT_FDCWD, "xb", RENAME_EXCHANGE) == 0);
	is("xa", "bb");
	must_fail(renameat2(AT_FDCWD, "xa", AT_FDCWD, "xb", RENAME_NOREPLACE), EEXIST);
	must(renameat2(AT_FDCWD, "xb", AT_FDCWD, "../../outside", RENAME_EXCHANGE) == 0);
	is("xb", "out");
	is("../../outside", "a");
	fd = open("xb", O_WRONLY | O_TRUNC);
	must(fd >= 0 && write(fd, "new", 3) == 3 && close(fd) == 0);
	must(renameat2(AT_FDCWD, "../../outside", AT_FDCWD, "xb", RENAME_EXCHANGE) == 0);
	is("../../outside", "new");
	must(unlink("../../outside") == 0);
	/* and a folder */
	must(mkdir("xd", 0700) == 0 && mkdir("xd/xe", 0700) == 0 && close(make("xd/xe/f", "below")) == 0);
	must(rename("xd", "../../outside") == 0);
	is("../../outside/xe/f", "below");
	must(rename("../../outside", "xf") == 0);
	fd = open("xf/xe/f", O_RDONLY);
	must(fd >= 0 && read(fd, b, sizeof(b)) == 5 && close(fd) == 0);
}

static void test_times(void)
{
	const struct timespec ts[2] = { { 1300000000, 5 }, { 1300000001, 7 } };
	const struct timeval tv[2] = { { 1300000002, 0 }, { 1300000003, 0 } };
	int fd = make("tm", "times");
	struct stat st;

	must(futimens(fd, ts) == 0 && fstat(fd, &st) == 0 && st.st_mtim.tv_sec == 1300000001 && st.st_mtim.tv_nsec == 7);
	must(close(fd) == 0 && stat("tm", &st) == 0 && st.st_mtim.tv_sec == 1300000001);
	must(utimes("tm", tv) == 0 && stat("tm", &st) == 0 && st.st_mtim.tv_sec == 1300000003);
	must(utimensat(AT_FDCWD, "tm", ts, 0) == 0 && stat("tm", &st) == 0 && st.st_mtim.tv_sec == 1300000001);
	must(chmod("tm", 0600) == 0 && chown("tm", (uid_t)-1, (gid_t)-1) == 0 && fchmodat(AT_FDCWD, "tm", 0640, 0) == 0 && stat("tm", &st) == 0 && (st.st_mode & 07777) == 0640);
	is("tm", "times");
}

/* ---- locks and memory ----------------------------------------------------------------------------------------- */

static void test_locks(void)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET }, end = { .l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -5, .l_len = 5 };
	int fd = make("l", "0123456789");
	pid_t pid;

	must(fcntl(fd, F_SETLK, &whole) == 0);
	pid = fork();
	if (pid == 0) {
		struct flock look = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

		must(fcntl(fd, F_SETLK, &end) == -1 && (errno == EAGAIN || errno == EACCES));
		must(fcntl(fd, F_GETLK, &look) == 0 && look.l_type == F_WRLCK && look.l_start == 0 && look.l_len == 0 && look.l_pid == getppid());
		_exit(0);
	}
	must(wait_for(pid) == 0);
	whole.l_type = F_UNLCK;
	must(fcntl(fd, F_SETLK, &whole) == 0 && lockf(fd, F_LOCK, 0) == 0 && lockf(fd, F_ULOCK, 0) == 0);
	must(fcntl(fd, F_OFD_SETLK, &(struct flock){ .l_type = F_WRLCK }) == 0 && close(fd) == 0);
}

static void test_private_map(void)
{
	int fd = make("m", "0123456789");
	char *p = mmap(NULL, 10, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0), *q;

	must(p != MAP_FAILED && memcmp(p, "0123456789", 10) == 0);
	p[0] = 'x';
	must(p[9] == '9' && madvise(p, 10, MADV_DONTNEED) == 0 && p[0] == '0'); /* given back, it is as it was */
	must(munmap(p, 10) == 0 && close(fd) == 0);
	is("m", "0123456789");
	fd = open("m", O_RDONLY);
	q = mmap(NULL, 10, PROT_READ, MAP_SHARED, fd, 0);
	must(q != MAP_FAILED && memcmp(q, "0123456789", 10) == 0 && munmap(q, 10) == 0 && close(fd) == 0);
}

#define MAP_LEN (3 << 20)

static void test_shared_map(void)
{
	int fd = make("sm", ""), other;
	char *p, *q, b[8];

	must(ftruncate(fd, MAP_LEN) == 0);
	other = open("sm", O_RDWR);
	p = mmap(NULL, MAP_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	q = mmap(NULL, 8192, PROT_READ, MAP_SHARED, other, 1 << 20);
	must(p != MAP_FAILED && q != MAP_FAILED && close(fd) == 0);
	memcpy(p + (1 << 20), "stored", 6);
	must(memcmp(q, "stored", 6) == 0 && pread(other, b, 6, 1 << 20) == 6 && memcmp(b, "stored", 6) == 0);
	must(pwrite(other, "written", 7, (1 << 20) + 4000) == 7 && memcmp(p + (1 << 20) + 4000, "written", 7) == 0 && memcmp(q + 4000, "written", 7) == 0);
	must(msync(p, MAP_LEN, MS_SYNC) == 0 && munmap(q, 8192) == 0);
	if (fork() == 0) {
		memcpy(p + 100, "child", 5);
		_exit(0);
	}
	must(wait_for(-1) == 0 && memcmp(p + 100, "child", 5) == 0);
	/* it ends in pieces */
	must(munmap(p + (1 << 20), 1 << 20) == 0);
	memcpy(p, "first", 5);
	memcpy(p + MAP_LEN - 4, "last", 4);
	must(munmap(p, 1 << 20) == 0 && munmap(p + (2 << 20), 1 << 20) == 0);
	must(pread(other, b, 4, MAP_LEN - 4) == 4 && memcmp(b, "last", 4) == 0 && close(other) == 0);
}

static void test_maps(void)
{
	int fd = make("ms", "0123456789"), other;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *p, *q, *at;

	must(mmap(NULL, 10, PROT_READ, MAP_SHARED, open("ms", O_WRONLY), 0) == MAP_FAILED && errno == EACCES);
	must(mmap(NULL, 10, PROT_READ | PROT_WRITE, MAP_SHARED, open("ms", O_RDONLY), 0) == MAP_FAILED && errno == EACCES);
	must(mmap(NULL, 0, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EINVAL);
	must(mmap(NULL, 10, PROT_READ, MAP_SHARED, fd, 1) == MAP_FAILED && errno == EINVAL);
	at = mmap(NULL, 4 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	p = mmap(at + page, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	must(p == at + page && memcmp(p, "0123456789", 10) == 0);
	p[0] = 'm';
	/* a range with two files, memory before and between them, and in the end nothing */
	other = make("ms2", "9876543210");
	q = mmap(at + 3 * page, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, other, 0);
	must(q == at + 3 * page && q[0] == '9' && close(other) == 0);
	q[0] = 'n';
	must(msync(at, 4 * page, MS_SYNC) == 0 && msync(at, 4 * page, MS_ASYNC) == 0);
	must(msync(at + page, page, MS_SYNC | MS_ASYNC) == -1 && errno == EINVAL && msync(p + 1, page, MS_SYNC) == -1 && errno == EINVAL);
	must(munmap(at + 2 * page, page) == 0 && msync(at, 4 * page, MS_SYNC) == -1 && errno == ENOMEM);
	must(mmap(at, 4 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at);
	is("ms2", "n876543210");
	p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(p != MAP_FAILED && p[0] == 'm' && ftruncate(fd, (off_t)(3 * page)) == 0);
	p = mremap(p, page, 3 * page, MREMAP_MAYMOVE);
	must(p != MAP_FAILED && p[0] == 'm');
	p[2 * page] = 'g';
	must(close(fd) == 0);
	/* and one that is there at the end */
}

static sigjmp_buf no_such_page;
static void on_bus(int sig)
{
	(void)sig;
	siglongjmp(no_such_page, 1);
}

/* more of a file is mapped than there is, and it grows: by this process, and by another */
static void test_grown_map(void)
{
	const size_t len = 64u << 20;
	int fd = open("gm", O_RDWR | O_CREAT, 0644);
	char *p = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0), *w, b[8];

	must(fd >= 0 && p != MAP_FAILED && pwrite(fd, "first", 5, 0) == 5 && memcmp(p, "first", 5) == 0);
	must(pwrite(fd, "far", 3, 3 << 20) == 3 && memcmp(p + (3 << 20), "far", 3) == 0 && memcmp(p, "first", 5) == 0);
	if (fork() == 0) {
		int other = open("gm", O_WRONLY);

		_exit(pwrite(other, "child", 5, 5 << 20) == 5 ? 0 : 1);
	}
	must(wait_for(-1) == 0 && memcmp(p + (5 << 20), "child", 5) == 0);
	signal(SIGBUS, on_bus);
	if (sigsetjmp(no_such_page, 1) == 0) {
		printf("beyond the end is %d\n", *(volatile char *)(p + (8 << 20)));
		exit(EXIT_FAILURE);
	}
	signal(SIGBUS, SIG_DFL);
	must(ftruncate(fd, 10 << 20) == 0 && p[8 << 20] == 0);
	w = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(w != MAP_FAILED && ftruncate(fd, 12 << 20) == 0);
	memcpy(w + (11 << 20), "grown", 5);
	must(pread(fd, b, 5, 11 << 20) == 5 && memcmp(b, "grown", 5) == 0 && memcmp(p + (11 << 20), "grown", 5) == 0);
	must(munmap(p, len) == 0 && munmap(w, len) == 0 && close(fd) == 0);
}

static void *wait_for_event(void *arg)
{
	struct io_event *e = arg;

	return (void *)(intptr_t)syscall(SYS_io_getevents, (aio_context_t)e->data, 1L, 2L, e, NULL);
}

/* a thread waits in the kernel for what another one submits */
static void test_events(void)
{
	int fd = make("ev", "0123456789");
	char b[8];
	aio_context_t context = 0;
	struct iocb c = { .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = (uint32_t)fd, .aio_buf = (uintptr_t)b, .aio_nbytes = 4, .aio_offset = 3, .aio_data = 7 };
	struct iocb *v = &c;
	struct io_event e[2];
	void *result;
	pthread_t t;

	must(syscall(SYS_io_setup, 8, &context) == 0);
	for (int i = 0; i < 3; i++) {
		e[0].data = context;
		must(pthread_create(&t, NULL, wait_for_event, e) == 0);
		usleep(100000);
		must(syscall(SYS_io_submit, context, 1L, &v) == 1 && pthread_join(t, &result) == 0 && result == (void *)1);
		must(e[0].data == 7 && e[0].res == 4 && e[0].obj == (uintptr_t)&c && memcmp(b, "3456", 4) == 0);
	}
	must(syscall(SYS_io_submit, context, 1L, &v) == 1 && syscall(SYS_io_getevents, context, 0L, 2L, e, NULL) == 1);
	must(syscall(SYS_io_getevents, context, 0L, 2L, e, NULL) == 0 && syscall(SYS_io_destroy, context) == 0 && close(fd) == 0);
}

static void test_syscall(void)
{
	int fd = make("sc", "");
	char c;

	must(syscall(SYS_write, fd, "by number", 9) == 9 && syscall(SYS_lseek, fd, 0, SEEK_SET) == 0 && syscall(SYS_read, fd, &c, 1) == 1 && c == 'b');
	must(syscall(SYS_close, fd) == 0);
	is("sc", "by number");
}

static void test_vectors_by_number(void)
{
	struct iovec v = { "text", 4 }, other = { "TEXT", 4 };
	char b[9] = "";
	int fd = make("vn", "");

	must(syscall(SYS_pwritev, fd, &v, 1L, 0L, 0L) == 4 && syscall(SYS_pwritev2, fd, &other, 1L, 4L, 0L, 0L) == 4);
	v = (struct iovec){ b, 8 };
	must(syscall(SYS_preadv, fd, &v, 1L, 0L, 0L) == 8 && strcmp(b, "textTEXT") == 0);
	must(syscall(SYS_preadv2, fd, &v, 1L, 4L, 0L, 0L) == 4 && strcmp(b, "TEXTTEXT") == 0);
	must(close(fd) == 0);
}

static void test_names_by_number(void)
{
	const struct timespec past[2] = { { 1300000000, 0 }, { 1300000000, 0 } };
	struct stat st;
	int fd = make("nn", "text");

	must(syscall(SYS_utimensat, AT_FDCWD, "nn", past, 0L) == 0 && stat("nn", &st) == 0 && st.st_mtime == past[1].tv_sec);
	must(write(fd, "more", 4) == 4 && syscall(SYS_utimensat, fd, NULL, past, 0L) == 0 && close(fd) == 0);
	must(stat("nn", &st) == 0 && st.st_mtime == past[1].tv_sec);
	must(syscall(SYS_fchmodat, AT_FDCWD, "nn", 0600L) == 0 && stat("nn", &st) == 0 && (st.st_mode & 0777) == 0600);
	must(syscall(SYS_renameat, AT_FDCWD, "nn", AT_FDCWD, "nn2") == 0);
	is("nn2", "more");
#ifdef SYS_creat
	fd = (int)syscall(SYS_creat, "nn2", 0644L);
	must(fd >= 0 && write(fd, "new", 3) == 3 && close(fd) == 0);
	is("nn2", "new");
#endif
}

/* with the arguments of openat2(); -1 and errno, also ENOSYS of an old kernel */
static int open_how(const char *name, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct open_how how = { flags, mode, resolve };

	return (int)syscall(SYS_openat2, AT_FDCWD, name, &how, sizeof(how));
}

static void test_openat2(void)
{
	int fd = open_how(".", O_RDONLY | O_DIRECTORY, 0, 0);

	if (fd < 0)
		return;
	must(close(fd) == 0 && close(make("o2", "old text")) == 0);
	fd = open_how("o2", O_WRONLY | O_TRUNC, 0, RESOLVE_BENEATH);
	must(fd >= 0 && write(fd, "new", 3) == 3 && close(fd) == 0);
	is("o2", "new");
	fd = open_how("o3", O_CREAT | O_EXCL | O_RDWR, 0600, 0);
	must(fd >= 0 && write(fd, "three", 5) == 5 && close(fd) == 0);
	is("o3", "three");
	must_fail(open_how("../openat2/o2", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
	must_fail(open_how("o2", O_RDONLY, 0600, 0), EINVAL);
	must_fail(open_how("o3", O_CREAT | O_EXCL | O_RDWR, 0600, 0), EEXIST);
}

/* a descriptor of O_PATH has the file's size, and leads to it */
static void test_path_only(void)
{
	const struct timespec past[2] = { { 1300000000, 0 }, { 1300000000, 0 } };
	struct stat st;
	char name[40];
	int fd, p, q;

	must(close(make("po", "text")) == 0);
	p = open("po", O_PATH);
	must(p >= 0 && fstat(p, &st) == 0 && st.st_size == 4 && fstatat(p, "", &st, AT_EMPTY_PATH) == 0 && st.st_size == 4);
	q = dup(p);
	must(q >= 0 && fstat(q, &st) == 0 && st.st_size == 4 && close(q) == 0);
	must_fail(write(p, "x", 1), EBADF);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", p);
	fd = open(name, O_WRONLY | O_APPEND);
	must(fd >= 0 && write(fd, "more", 4) == 4 && fstat(p, &st) == 0 && st.st_size == 8 && close(fd) == 0);
	if (syscall(SYS_utimensat, p, "", past, (long)AT_EMPTY_PATH) == 0) /* Linux 5.8 */
		must(stat("po", &st) == 0 && st.st_mtime == past[1].tv_sec);
	must(close(p) == 0);
	is("po", "textmore");
}

/* setlocale() opens files while it has locked the locales, and of this program no character set is loaded yet */
static void test_locales(void)
{
	static const int categories[] = { LC_CTYPE, LC_COLLATE, LC_MESSAGES, LC_MONETARY, LC_NUMERIC, LC_TIME };
	static const char *const names[] = { "C.utf8", "C" };
	char here[PATH_MAX];

	if (access("/usr/lib/locale/C.utf8", R_OK) < 0)
		return; /* other systems have it elsewhere */
	must(getcwd(here, sizeof(here)) && setenv("LOCPATH", here, 1) == 0 && system("cp -r /usr/lib/locale/C.utf8 .") == 0);
	alarm(60);
	for (size_t i = 0; i < 2; i++) {
		for (size_t k = 0; k < sizeof(categories) / sizeof(categories[0]); k++)
			must(setlocale(categories[k], names[i]) != NULL);
	}
	alarm(0);
}

#if defined(__x86_64__)
/*
 * UCX and Open MPI learn so of memory that is unmapped: the function begins with a jump to one of theirs, which comes by
 * number for what has been overwritten
 */
static unsigned nr_unmapped;

static void *their_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, off);
}

static int their_munmap(void *addr, size_t len)
{
	nr_unmapped++;
	return (int)syscall(SYS_munmap, addr, len);
}

static void overwrite(const char *name, uint64_t to)
{
	static const uint8_t jump[6] = { 0xff, 0x25, 0, 0, 0, 0 }; /* jmp *0(%rip); the address follows */
	uint8_t *at = dlsym(RTLD_DEFAULT, name);
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = (uintptr_t)at & ~(page - 1);

	must(at && mprotect((void *)first, 2 * page, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
	memcpy(at, jump, sizeof(jump));
	memcpy(at + sizeof(jump), &to, sizeof(to));
}

static void test_overwritten(void)
{
	int fd = make("ow", "");
	void *volatile large; /* or the compiler leaves it out */
	char *p;

	overwrite("mmap", (uint64_t)(uintptr_t)their_mmap);
	overwrite("munmap", (uint64_t)(uintptr_t)their_munmap);
	must(ftruncate(fd, MAP_LEN) == 0);
	p = mmap(NULL, MAP_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(p != MAP_FAILED);
	memcpy(p + MAP_LEN - 4, "last", 4);
	must(munmap(p, MAP_LEN) == 0 && nr_unmapped == 1 && close(fd) == 0);
	/* the C library's own calls are seen, too */
	large = malloc(64 << 20);
	must(large != NULL);
	memset(large, 1, 64 << 20);
	free(large);
	must(nr_unmapped == 2);
}
#else
static void test_overwritten(void)
{
}
#endif

/* ---- all of them ------------------------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "vectors", test_vectors }, { "rights", test_rights }, { "seek", test_seek }, { "sizes", test_sizes },
	{ "limit", test_limit }, { "append", test_append }, { "copies", test_copies }, { "passed", test_passed }, { "duplicates", test_duplicates }, { "close_range", test_close_range },
	{ "reuse", test_reuse }, { "stdio", test_stdio }, { "nameless", test_nameless }, { "rename", test_rename }, { "exchange", test_exchange },
	{ "times", test_times }, { "fork", test_fork }, { "clone", test_clone }, { "exec", test_exec }, { "late", test_late }, { "threads", test_threads }, { "small_stacks", test_small_stacks },
	{ "thread_attributes", test_thread_attributes },
	{ "cancel", test_cancel }, { "signals", test_signals }, { "locks", test_locks }, { "private_map", test_private_map },
	{ "shared_map", test_shared_map }, { "maps", test_maps }, { "grown_map", test_grown_map }, { "events", test_events },
	{ "syscall", test_syscall }, { "vectors_by_number", test_vectors_by_number }, { "names_by_number", test_names_by_number },
	{ "openat2", test_openat2 }, { "path_only", test_path_only }, { "locales", test_locales }, { "overwritten", test_overwritten },
};
#define NR_TESTS (sizeof(tests) / sizeof(tests[0]))

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--list") == 0) {
		for (size_t i = 0; i < NR_TESTS; i++)
			puts(tests[i].name);
		return EXIT_SUCCESS;
	}
	if (argc != 3 || chdir(argv[1]) < 0)
		return 2;
	for (size_t i = 0; i < NR_TESTS; i++) {
		if (strcmp(tests[i].name, argv[2]) == 0) {
			tests[i].run();
			return EXIT_SUCCESS;
		}
	}
	return 2;
}
