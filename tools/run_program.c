/*
 * run_program.c -- executing a program in place of pmio run, or as a child for which it waits
 */
#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/backoff.h"
#include "core/log.h"
#include "run.h"

/*
 * pmio's library comes last: some that are in the list already must be first (those of sanitizers), and all come before
 * the MPI
 */
int run_preload(const char *library)
{
	const char *before = getenv("LD_PRELOAD");
	size_t len = strlen(library);
	char *all;
	int rc;

	for (const char *p = before; p && (p = strstr(p, library)); p += len) { /* of a pmio run around this one */
		if ((p == before || strchr(" :", p[-1])) && strchr(" :", p[len]))
			return TOOL_DONE;
	}
	if (strpbrk(library, " :")) {
		pmio_err("run: %s cannot be preloaded: its path contains a space or a colon", library);
		return TOOL_RUN_FAILED;
	}
	if (asprintf(&all, "%s%s%s", before ? before : "", before && *before ? ":" : "", library) < 0)
		return TOOL_RUN_FAILED;
	rc = setenv("LD_PRELOAD", all, 1);
	free(all);
	return rc == 0 ? TOOL_DONE : TOOL_RUN_FAILED;
}

int run_become(const char *path, char **argv)
{
	struct pmio_backoff b = PMIO_BACKOFF_EXEC;
	int err;

	while (execvp(path, argv), errno == ETXTBSY && pmio_backoff_sleep(&b))
		;
	err = errno;
	pmio_err("run: %s: %s", path, strerror(err));
	return err == ENOENT ? TOOL_RUN_NOT_FOUND : TOOL_RUN_CANNOT;
}

/* ---- waiting for it ---------------------------------------------------------------------------- */

/* signals that are sent to pmio but meant for the program */
static const int passed_on[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT, SIGWINCH, SIGURG, SIGVTALRM };
#define NR_PASSED_ON (sizeof(passed_on) / sizeof(passed_on[0]))

/* signals from the terminal reach the program as well, by themselves */
static bool is_for_us_alone(const siginfo_t *info)
{
	return info->si_code <= 0;
}

static int wait_for(pid_t pid, const sigset_t *set)
{
	siginfo_t info;
	int status;

	for (;;) {
		pid_t ended = waitpid(pid, &status, WNOHANG);

		if (ended == pid)
			return status;
		if (ended < 0 && errno != EINTR)
			return EXIT_FAILURE << 8;
		if (sigwaitinfo(set, &info) > 0 && info.si_signo != SIGCHLD && is_for_us_alone(&info))
			kill(pid, info.si_signo);
	}
}

/* without a core file of this process */
static void end_by(int sig, const sigset_t *before)
{
	struct rlimit none = { 0, 0 };
	sigset_t one;

	setrlimit(RLIMIT_CORE, &none);
	signal(sig, SIG_DFL);
	sigprocmask(SIG_SETMASK, before, NULL);
	sigemptyset(&one);
	sigaddset(&one, sig);
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	raise(sig);
}

int run_child(const char *path, char **argv, void (*tell)(struct run_paths *r), struct run_paths *r)
{
	struct sigaction ignored, dfl = { .sa_handler = SIG_DFL };
	sigset_t set, before;
	int status;
	pid_t pid;

	/* a process that ignores this signal gets no exit status from waitpid() */
	sigaction(SIGCHLD, &dfl, &ignored);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < NR_PASSED_ON; i++)
		sigaddset(&set, passed_on[i]);
	sigprocmask(SIG_BLOCK, &set, &before);
	pid = fork();
	if (pid == 0) {
		sigprocmask(SIG_SETMASK, &before, NULL);
		sigaction(SIGCHLD, &ignored, NULL);
		_exit(run_become(path, argv));
	}
	if (pid < 0) {
		pmio_err("run: %s: %s", path, strerror(errno));
		return TOOL_RUN_FAILED;
	}
	status = wait_for(pid, &set);
	tell(r);
	if (WIFSIGNALED(status)) {
		end_by(WTERMSIG(status), &before);
		return 128 + WTERMSIG(status);
	}
	return WEXITSTATUS(status);
}
