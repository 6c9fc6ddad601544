/*
 * kills.c -- processes die by SIGKILL at random moments; what was promised stays
 *
 *	kills DIR [--kills N] [--seed S] [--workers N]
 *
 * Kills a worker (work.h), the agent, both, or all at once, and starts the workers
 * anew.  At the end they close their files, and the plain files are compared with
 * the ledger.  It is the reaper of the agents, so it knows them all, also those that
 * are only starting.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "work.h"

static unsigned nr_kills = 20;
static struct work work = { .seed = 1, .nr_workers = 3 };

static pid_t workers[WORKERS_MAX];
static unsigned lives;

static void start_worker(unsigned worker)
{
	workers[worker] = work_start(worker, ++lives);
}

static _Noreturn void give_up(void)
{
	for (unsigned w = 0; w < work.nr_workers; w++) {
		if (workers[w] > 0)
			kill(workers[w], SIGKILL);
	}
	exit(EXIT_FAILURE);
}

/* wait for a worker; was it killed by us, or has it ended as it should? */
static void reap_worker(unsigned worker, bool killed)
{
	int status;

	if (waitpid(workers[worker], &status, 0) < 0)
		work_fail("waitpid: %s", strerror(errno));
	workers[worker] = 0;
	if (WIFSIGNALED(status) ? killed && WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0)
		return;
	fprintf(stderr, "kills: worker %u ended with %s %d\n", worker,
		WIFSIGNALED(status) ? "signal" : "status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	give_up();
}

static void kill_worker(unsigned worker)
{
	kill(workers[worker], SIGKILL);
}

static bool is_agent(pid_t pid)
{
	char path[64], name[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (!fgets(name, sizeof(name), f))
		name[0] = '\0';
	fclose(f);
	return strcmp(name, "pmiod\n") == 0;
}

/* kill the agents among the children of a process, and below them */
static unsigned kill_agents_below(pid_t parent)
{
	char path[64];
	unsigned nr = 0;
	int pid;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)parent, (int)parent);
	f = fopen(path, "re");
	if (!f)
		return 0; /* it has just ended, and what it had is ours now */
	while (fscanf(f, "%d", &pid) == 1) {
		if (is_agent(pid)) {
			nr += kill_agents_below(pid);
			nr += kill(pid, SIGKILL) == 0;
		}
	}
	fclose(f);
	return nr;
}

/* an agent becomes our child when the process that started it has ended, or when it has detached from it */
static unsigned kill_agents(void)
{
	unsigned nr = kill_agents_below(getpid());

	for (unsigned w = 0; w < work.nr_workers; w++)
		nr += kill_agents_below(workers[w]);
	return nr;
}

/* take what has ended: agents, which we may have killed; workers should be there */
static void look_around(void)
{
	siginfo_t info = { .si_pid = 0 };

	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid) {
		for (unsigned w = 0; w < work.nr_workers; w++) {
			if (workers[w] == info.si_pid)
				reap_worker(w, false);
			if (workers[w] == 0) {
				fprintf(stderr, "kills: worker %u has left\n", w);
				give_up();
			}
		}
		waitpid(info.si_pid, NULL, 0);
		info.si_pid = 0;
	}
}

static void nap(unsigned ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&ts, NULL);
}

/* returns how many processes it killed */
static unsigned kill_some(void)
{
	unsigned what = work_draw(10), first = work_draw(work.nr_workers), nr = 1, killed = 0;

	if (what >= 7 || (what >= 3 && work_draw(2)))
		killed += kill_agents();
	if (what >= 3 && what < 7) /* the agent alone: nobody else may notice */
		return killed;
	if (what == 9)
		nr = work.nr_workers;
	for (unsigned i = 0; i < nr; i++)
		kill_worker((first + i) % work.nr_workers);
	for (unsigned i = 0; i < nr; i++) {
		reap_worker((first + i) % work.nr_workers, true);
		killed++;
	}
	for (unsigned i = 0; i < nr; i++)
		start_worker((first + i) % work.nr_workers);
	return killed;
}

static void arguments(int argc, char **argv)
{
	work.dir = argc > 1 ? argv[1] : NULL;
	for (int i = 2; i + 1 < argc; i += 2) {
		unsigned long n = strtoul(argv[i + 1], NULL, 0);

		if (!strcmp(argv[i], "--kills"))
			nr_kills = (unsigned)n;
		else if (!strcmp(argv[i], "--seed"))
			work.seed = n;
		else if (!strcmp(argv[i], "--workers"))
			work.nr_workers = (unsigned)n;
		else
			work.dir = NULL;
	}
	if (!work.dir || work.nr_workers < 1 || work.nr_workers > WORKERS_MAX) {
		fputs("usage: kills DIR [--kills N] [--seed S] [--workers N]\n", stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	unsigned killed = 0;

	arguments(argc, argv);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		work_fail("prctl: %s", strerror(errno));
	work_init(&work);
	for (unsigned w = 0; w < work.nr_workers; w++)
		start_worker(w);
	work_seed_rng(work.seed);
	while (killed < nr_kills) {
		/* mostly in full run, at times while they still start or recover */
		nap(work_draw(4) ? 20 + work_draw(120) : work_draw(20));
		look_around();
		killed += kill_some();
	}
	nap(200);
	look_around();
	work_stop();
	for (unsigned w = 0; w < work.nr_workers; w++)
		reap_worker(w, false);
	work_compare_plain(WORK_CLOSED);
	printf("%u kills, %u lives of workers, %llu operations in full\n", killed, lives,
	       (unsigned long long)work_operations());
	return 0;
}
