/*
 * children.c -- a program with children of its own, which starts an agent
 *
 *	children handler|ignore|wait PATH
 *
 * handler  counts SIGCHLD, and has no children: there must be none
 * ignore   has SIGCHLD ignored, so that the system reaps children by itself
 * wait     a thread waits for any child, while the agent is started: it must find the program's alone
 *
 * PATH is written and closed.  Ends with 0, or with 1 and a line that says what was wrong.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pmio.h"

static volatile sig_atomic_t nr_signals;

static void on_child(int sig)
{
	(void)sig;
	nr_signals++;
}

static void fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	exit(1);
}

static void start_agent(const char *path)
{
	struct pmio_file *f;
	struct pmio *pm;
	int rc = pmio_connect(NULL, &pm);

	if (rc == 0)
		rc = pmio_open(pm, path, O_RDWR | O_CREAT, 0666, &f);
	if (rc == 0 && pmio_pwrite(f, "x", 1, 0) != 1)
		rc = -EIO;
	if (rc == 0)
		rc = pmio_close(&f);
	if (rc < 0)
		fail("%s", pmio_strerror(rc));
	pmio_disconnect(&pm);
}

static void no_child_is_left(void)
{
	pid_t pid = waitpid(-1, NULL, WNOHANG);

	if (pid >= 0 || errno != ECHILD)
		fail("waitpid(): %d", (int)pid);
}

static void *wait_for_any(void *arg)
{
	pid_t own = *(pid_t *)arg, pid;
	unsigned nr = 0;

	while ((pid = wait(NULL)) >= 0) {
		if (pid != own)
			fail("process %d is not the program's child", (int)pid);
		nr++;
	}
	if (nr != 1)
		fail("%u children ended", nr);
	return NULL;
}

static void beside_a_child(const char *path)
{
	pid_t own = fork();
	pthread_t thread;

	if (own == 0) {
		pause();
		_exit(0);
	}
	if (own < 0 || pthread_create(&thread, NULL, wait_for_any, &own) != 0)
		fail("%s", strerror(errno));
	start_agent(path);
	kill(own, SIGKILL);
	pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	if (strcmp(argv[1], "wait") == 0) {
		beside_a_child(argv[2]);
		return 0;
	}
	signal(SIGCHLD, strcmp(argv[1], "ignore") == 0 ? SIG_IGN : on_child);
	start_agent(argv[2]);
	no_child_is_left();
	if (nr_signals)
		fail("%d times SIGCHLD", (int)nr_signals);
	return 0;
}
