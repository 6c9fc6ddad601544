/*
 * libc_writes.c -- what the C library writes by system calls of its own, in the middle of functions that cannot be replaced
 *
 * The message about a fatal error (damaged heap or stack) has reached the plain file, and not the pool, when abort() is
 * called; so abort() has it written once more.  A profile (gcc -pg) is written to the plain file as a whole.
 */
#include "redirect/redirect.h"

#include <alloca.h>
#include <dlfcn.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/fds.h"

#define MESSAGE_MAX 4096

/* ---- messages about fatal errors ------------------------------------------------------------ */

/* what __abort_msg of the C library points to */
struct message {
	unsigned size; /* of the memory */
	char text[];
};
static const struct message *const *last_message; /* &__abort_msg, or NULL */

void redirect_fatal_init(const void *abort_msg)
{
	last_message = abort_msg;
}

/*
 * Is the text the last that was written to the plain file, at the descriptor's offset?  Then take it back: the offset is
 * set before it, or where every write is at the end, the file is shortened.  assert() writes by stdio, to the pool.
 */
static bool take_back(const char *text, size_t len)
{
	char name[PMIO_FD_NAME_LEN], there[MESSAGE_MAX];
	off_t at = RAW(lseek, STDERR_FILENO, 0, SEEK_CUR) - (off_t)len;
	long fd = RAW(openat, AT_FDCWD, pmio_fd_name(name, STDERR_FILENO), O_RDONLY | O_CLOEXEC, 0), n;

	if (fd < 0)
		return false;
	n = at < 0 ? at : RAW(pread64, fd, there, len, at);
	RAW(close, fd);
	if (n != (long)len || memcmp(there, text, len) != 0)
		return false;
	if (RAW(fcntl, STDERR_FILENO, F_GETFL, 0) & O_APPEND)
		return RAW(ftruncate, STDERR_FILENO, at) == 0;
	return RAW(lseek, STDERR_FILENO, at, SEEK_SET) == at;
}

static void be_cat(const char *text, size_t len)
{
	char *argv[] = { "cat", NULL };
	struct redirect_environment e;
	char **env;
	int ends[2];

	if (RAW(pipe2, ends, 0) < 0 || RAW(write, ends[1], text, len) != (long)len)
		return;
	RAW(dup3, ends[0], STDIN_FILENO, 0);
	RAW(dup3, STDERR_FILENO, STDOUT_FILENO, 0);
	RAW(close, ends[0]);
	RAW(close, ends[1]);
	redirect_environment(environ, &e);
	env = alloca(e.size);
	redirect_make_environment(&e, env);
	RAW(execve, "/bin/cat", argv, env);
}

/* by another program: libpmio may not work with this one's heap, and this thread may have locked it */
static void write_by_cat(const char *text, size_t len)
{
	long pid = RAW(clone, 0, 0, 0, 0, 0);

	if (pid == 0) {
		be_cat(text, len);
		RAW(exit_group, 1);
	}
	while (pid > 0 && RAW(wait4, pid, NULL, __WALL, NULL) == -EINTR)
		;
}

static void write_last_message(void)
{
	const struct message *m = last_message ? __atomic_load_n(last_message, __ATOMIC_ACQUIRE) : NULL;
	size_t len = m ? strnlen(m->text, m->size - sizeof(*m)) : 0;

	if (len && len <= MESSAGE_MAX && redirect_stderr_matches() && take_back(m->text, len))
		write_by_cat(m->text, len);
}

static void raise_abort(void)
{
	long pid = RAW(getpid), tid = RAW(gettid);

	RAW(tgkill, pid, tid, SIGABRT);
}

void redirect_abort(void) __attribute__((noreturn));
void redirect_abort(void)
{
	static bool once;
	sigset_t only;

	if (redirect_on && redirect_ours() && !__atomic_exchange_n(&once, true, __ATOMIC_RELAXED))
		write_last_message();
	sigemptyset(&only);
	sigaddset(&only, SIGABRT);
	pthread_sigmask(SIG_UNBLOCK, &only, NULL);
	raise_abort();
	signal(SIGABRT, SIG_DFL); /* the program's handler has returned */
	raise_abort();
	for (;;)
		RAW(exit_group, 127);
}
REDIRECT(abort, redirect_abort);

/* ---- profiles --------------------------------------------------------------------------------- */

/* gcrt1.o has this called at the end of a program that was compiled with -pg */
void redirect_mcleanup(void);
void redirect_mcleanup(void)
{
	void (*next)(void) = (void (*)(void))dlsym(RTLD_NEXT, "_mcleanup");

	if (redirect_on && !redirect_inside)
		redirect_settle_at(AT_FDCWD, "gmon.out", true);
	redirect_inside++;
	if (next)
		next();
	redirect_inside--;
}
__asm__(".weak _mcleanup\n.type _mcleanup, %function\n.set _mcleanup, redirect_mcleanup");
