/*
 * messages.c -- lines for standard error, and for pmio run --check
 *
 * Standard error may be redirected itself: then log lines of libpmio are queued until the call leaves libpmio.
 */
#include "redirect/redirect.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PENDING_MAX 8192 /* bytes */

static char pending[PENDING_MAX];
static size_t nr_pending; /* under lock */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char check_file[PATH_MAX];
static ssize_t (*write_to)(int fd, const void *buf, size_t len);

void redirect_notes_init(const char *file, ssize_t (*output)(int fd, const void *buf, size_t len))
{
	write_to = output;
	if (file && strlen(file) < sizeof(check_file))
		strcpy(check_file, file);
}

bool redirect_stderr_matches(void)
{
	char name[PATH_MAX];
	struct stat st;

	return RAW(fstat, 2, &st) == 0 && S_ISREG(st.st_mode) && redirect_fd_name(2, &st, name) && redirect_matches(name);
}

void redirect_say(const char *line)
{
	char text[1200];
	int n = snprintf(text, sizeof(text), "%s\n", line);

	if (n >= (int)sizeof(text)) {
		n = sizeof(text) - 1;
		text[n - 1] = '\n';
	}
	if (!redirect_on || !redirect_stderr_matches()) {
		RAW(write, 2, text, n);
		return;
	}
	pthread_mutex_lock(&lock);
	if (nr_pending + (size_t)n <= sizeof(pending)) {
		memcpy(pending + nr_pending, text, (size_t)n);
		__atomic_store_n(&nr_pending, nr_pending + (size_t)n, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&lock);
}

static _Thread_local bool busy;

static int write_pending(void)
{
	char text[PENDING_MAX];
	size_t n;
	int before = errno;

	pthread_mutex_lock(&lock);
	n = nr_pending;
	memcpy(text, pending, n);
	nr_pending = 0;
	pthread_mutex_unlock(&lock);
	busy = true; /* notes about this write would cause further notes without end */
	if (n && write_to(2, text, n) < 0)
		errno = before;
	busy = false;
	errno = before;
	return 0;
}

void redirect_say_pending(void)
{
	if (__atomic_load_n(&nr_pending, __ATOMIC_RELAXED) != 0 && !busy && !redirect_inside)
		REDIRECT_ROOM(write_pending, 0);
}

static void say(const char *level, const char *fmt, va_list ap)
{
	char line[1024];
	int n = snprintf(line, sizeof(line), "pmio: %s: redirect: ", level);

	vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	redirect_say(line);
	redirect_say_pending();
}

void redirect_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("error", fmt, ap);
	va_end(ap);
}

void redirect_warning(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("warn", fmt, ap);
	va_end(ap);
}

/* the limit on the size of files is meant for the program's files: this one must not cause a SIGXFSZ */
static void write_note(int fd, const char *line, int n)
{
	static const uint64_t xfsz = 1ull << (SIGXFSZ - 1);
	static const struct timespec no_wait;
	uint64_t before;
	long done;

	RAW(rt_sigprocmask, SIG_BLOCK, &xfsz, &before, sizeof(before));
	done = RAW(write, fd, line, n);
	if (done == -EFBIG)
		RAW(rt_sigtimedwait, &xfsz, NULL, &no_wait, sizeof(xfsz));
	RAW(rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof(before));
	if (done != n)
		RAW(fchmod, fd, REDIRECT_CHECK_INCOMPLETE);
}

void redirect_note(char what, const char *name, const char *why)
{
	char line[PATH_MAX + 256];
	long fd;
	int n;

	if (!*check_file)
		return;
	n = snprintf(line, sizeof(line), "%c\t%d\t%s\t%s\t%s", what, (int)RAW(getpid), program_invocation_short_name, why, name);
	n = n < (int)sizeof(line) ? n + 1 : (int)sizeof(line); /* with the terminating null byte, as names may contain newlines */
	fd = RAW(openat, AT_FDCWD, check_file, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0);
	if (fd < 0)
		return;
	write_note((int)fd, line, n);
	RAW(close, fd);
}
