/* start.c -- starting an agent, or a target, so that the program does not notice */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/client.h"
#include "core/error.h"
#include "core/system.h"

#define READY_FD 3
#define STACK_SIZE (64u << 10) /* bytes, of a process that only starts another */
#define STRING_OF(x) #x
#define STRING(x) STRING_OF(x)

extern char **environ;

/*
 * The agent reads environment and configuration file itself; settings with a higher
 * priority are put before them, where getenv() looks first.  nr_own: number of strings
 * at the start that are to be freed.
 */
static char **agent_environment(const struct pmio_settings *s, size_t *nr_own)
{
	size_t nr = 0, n = 0;
	char var[64], **env;

	/* if the program runs with other rights than its caller's, the agent ignores the environment, too */
	while (environ && environ[nr] && !getauxval(AT_SECURE))
		nr++;
	env = calloc(nr + PMIO_NR_SETTINGS + 1, sizeof(*env));
	for (int i = 0; i < PMIO_NR_SETTINGS && env; i++) {
		if (pmio_setting_info((enum pmio_setting)i)->hint || s->from[i] <= PMIO_FROM_ENVIRONMENT)
			continue;
		pmio_setting_variable((enum pmio_setting)i, var, sizeof(var));
		if (asprintf(&env[n], "%s=%s", var, s->str[i]) >= 0)
			n++;
	}
	if (env && nr)
		memcpy(env + n, environ, nr * sizeof(*env));
	*nr_own = n;
	return env;
}

static void free_environment(char **env, size_t nr_own)
{
	while (env && nr_own)
		free(env[--nr_own]);
	free(env);
}

/* data for the new process, in memory that it shares until it becomes the agent */
struct spawn {
	const char *program;
	char *const *argv, *const *env;
	int ready_fd;
	uid_t uid;
	gid_t gid;
	uint8_t *stack; /* two of them */
	volatile pid_t pid;
	volatile int error; /* errno */
};

/*
 * Memory is shared, not copied: programs may have much of it, and some may be registered with a network
 * card.  ThreadSanitizer's runtime does not support two processes in one memory, and then reports races
 * of its own.
 */
#ifdef __SANITIZE_THREAD__
#define IN_OUR_MEMORY 0
#else
#define IN_OUR_MEMORY CLONE_VM
#endif
#define ROOM 4096u /* for struct spawn, before the stacks */

/* the sanitizers would attribute the actions of these two to the waiting thread */
#define IN_ANOTHER_PROCESS __attribute__((no_sanitize("address", "thread")))

/*
 * The program may have changed its effective user, by seteuid() or a set-user-ID file: then the user who started it could
 * kill the agent, and code that checks real ids (access(2), used by libpmemobj) would treat the agent as that user's.  So
 * all ids are set; not by the C library's calls, which would change the program's threads.
 */
IN_ANOTHER_PROCESS static bool be_the_user(const struct spawn *s)
{
	return syscall(SYS_setresgid, s->gid, s->gid, s->gid) == 0 && syscall(SYS_setresuid, s->uid, s->uid, s->uid) == 0;
}

/* only calls that are allowed after a fork in a program with threads */
IN_ANOTHER_PROCESS static int become_agent(void *arg)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	struct spawn *s = arg;
	sigset_t none;

	/* signals to the job's group, session or terminal are not meant for the agent */
	setsid();
	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, &dfl, NULL); /* before signals are unblocked, as the handlers belong to the program */
	sigemptyset(&none);
	if (be_the_user(s) && dup2(s->ready_fd, READY_FD) >= 0) {
		sigprocmask(SIG_SETMASK, &none, NULL);
		execve(s->program, s->argv, s->env);
	}
	s->error = errno;
	_exit(EXIT_FAILURE);
}

/* after the end of this process init adopts its child */
IN_ANOTHER_PROCESS static int leave_agent(void *arg)
{
	struct spawn *s = arg;
	pid_t pid = clone(become_agent, s->stack + 2 * STACK_SIZE, IN_OUR_MEMORY | CLONE_VFORK | SIGCHLD, s);

	s->pid = pid;
	if (pid < 0)
		s->error = errno;
	_exit(EXIT_SUCCESS);
}

/*
 * The program must not notice the child: the end of a child raises SIGCHLD, shows in wait(), and
 * cannot be waited for here if the program ignores that signal.  A child without an exit signal
 * shows in none of these, only in a wait with __WCLONE.  It cannot be the agent itself, as
 * execve() restores the signal; so it only creates the agent, which is then not a child of the
 * program.
 */
static int spawn(struct spawn *s)
{
	struct spawn *shared;
	uint8_t *map;
	sigset_t all, before;
	int state, rc = 0;
	pid_t pid;

	map = mmap(NULL, ROOM + 2 * STACK_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return -errno;
	shared = (struct spawn *)map;
	*shared = *s;
	shared->stack = map + ROOM;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	/*
	 * its end flushes the program's files, which CLONE_FILES would avoid; but valgrind does not support that with the
	 * other flags
	 */
	pid = clone(leave_agent, shared->stack + STACK_SIZE, IN_OUR_MEMORY | CLONE_VFORK, shared);
	/* emulators of other processors (qemu-user) can only fork; there the program may notice that a child ended */
	if (pid < 0 && errno == EINVAL)
		pid = clone(leave_agent, shared->stack + STACK_SIZE, SIGCHLD, shared);
	if (pid < 0)
		rc = -errno;
	while (pid > 0 && waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
		;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_setcancelstate(state, NULL);
	s->pid = shared->pid;
	s->error = shared->error;
	munmap(map, ROOM + 2 * STACK_SIZE);
	return rc < 0 ? rc : -s->error;
}

static int spawn_agent(struct pmio *pm, const char *option, int ready_fd, pid_t *pid)
{
	const char *program = pm->settings.str[PMIO_SET_AGENT];
	bool is_default = *pm->settings.str[PMIO_SET_POOL] == '\0';
	char *argv[6] = { "pmiod", "--ready-fd=" STRING(READY_FD) };
	struct spawn s = { .program = program, .argv = argv, .ready_fd = ready_fd, .uid = geteuid(), .gid = getegid() };
	size_t nr_own;
	char **env = agent_environment(&pm->settings, &nr_own);
	int n = 2, rc;

	if (!is_default) {
		argv[n++] = "--pool";
		argv[n++] = pm->dir;
	}
	argv[n] = (char *)(uintptr_t)option;
	s.env = env;
	rc = env ? spawn(&s) : -ENOMEM;
	free_environment(env, nr_own);
	if (rc < 0) {
		pmio_err("cannot start the agent %s: %s", program, pmio_strerror(rc));
		return PMIO_EAGENT;
	}
	*pid = s.pid;
	return 0;
}

/*
 * Wait for the agent's report that its pool is open, or for its error, which it has logged.
 * CLIENT_LOST: it ended first.  Making a pool takes long, but an agent that was stopped is not
 * waited for.
 */
static int await_ready(const struct pmio *pm, int fd, pid_t pid)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	const char *stopped = NULL;
	int32_t status;
	ssize_t n;

	while (!stopped && poll(&p, 1, client_timeout_ms(pm)) <= 0)
		stopped = pmio_process_stopped(pid);
	if (stopped) {
		pmio_err("pool %s: its new agent, process %d, is %s", pm->dir, (int)pid, stopped);
		return PMIO_ESTUCK;
	}
	do
		n = read(fd, &status, sizeof(status));
	while (n < 0 && errno == EINTR);
	return n == sizeof(status) ? status : CLIENT_LOST;
}

/* one try; CLIENT_LOST: it ended before it reported that it was ready */
static int try_to_start(struct pmio *pm, const char *option)
{
	int fds[2], rc;
	pid_t pid = 0;

	/* above that number, so that the dup2 in the child always makes a copy without FD_CLOEXEC */
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	if (fds[1] <= READY_FD) {
		int fd = fcntl(fds[1], F_DUPFD_CLOEXEC, 10);

		close(fds[1]);
		fds[1] = fd;
	}
	rc = fds[1] < 0 ? -EMFILE : spawn_agent(pm, option, fds[1], &pid);
	if (fds[1] >= 0)
		close(fds[1]);
	if (rc == 0)
		rc = await_ready(pm, fds[0], pid);
	close(fds[0]);
	return rc;
}

int client_start(struct pmio *pm, const char *option)
{
	int rc = CLIENT_LOST;

	for (int tries = 0; tries < CLIENT_AGENTS_MAX && rc == CLIENT_LOST; tries++)
		rc = try_to_start(pm, option);
	if (rc != CLIENT_LOST)
		return rc;
	pmio_err("the agent %s exited before it was ready; see its log", pm->settings.str[PMIO_SET_AGENT]);
	return PMIO_EAGENT;
}
