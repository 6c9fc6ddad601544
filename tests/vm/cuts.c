/*
 * cuts.c -- in the virtual machine: works until the power goes, and looks at what the last cut left
 *
 *	cuts look durable|drained|closed DIR LEDGER
 *	cuts work DIR LEDGER SEED [OPERATIONS]
 *
 * The ledger lies on the emulated NVDIMM, mapped with DAX: a store to it is in the
 * host's file when it was executed, so it knows what had returned when the machine
 * was killed.  `look` compares plain files with it (work.h).  `work` prints the number
 * of operations whenever it has grown, as a line "@work N", by which the host chooses
 * its moment; after OPERATIONS the workers close their files and all is compared.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "../kill/work.h"

static struct work work = { .nr_workers = 3 };

static _Noreturn void usage(void)
{
	fputs("usage: cuts look durable|drained|closed DIR LEDGER\n"
	      "       cuts work DIR LEDGER SEED [OPERATIONS]\n", stderr);
	exit(2);
}

static int look(const char *state)
{
	work_init(&work);
	if (!strcmp(state, "durable"))
		work_compare_plain(WORK_DURABLE);
	else if (!strcmp(state, "drained"))
		work_compare_plain(WORK_DRAINED);
	else if (!strcmp(state, "closed"))
		work_compare_plain(WORK_CLOSED);
	else
		usage();
	return 0;
}

/* a worker that has left before it was told to has failed, and said why */
static void still_there(void)
{
	if (waitpid(-1, NULL, WNOHANG) > 0)
		work_fail("a worker has left");
}

static void work_until(uint64_t limit)
{
	struct timespec nap = { .tv_nsec = 50000000 };
	uint64_t before = work_operations(), said = UINT64_MAX;

	for (;;) {
		uint64_t now = work_operations() - before;

		if (now != said)
			printf("@work %llu\n", (unsigned long long)now);
		fflush(stdout);
		said = now;
		still_there();
		if (limit && now >= limit)
			return;
		nanosleep(&nap, NULL);
	}
}

static int work_on(uint64_t limit)
{
	unsigned life;
	int status;

	work_init(&work);
	life = (unsigned)work_operations();
	for (unsigned w = 0; w < work.nr_workers; w++)
		work_start(w, life);
	work_until(limit);
	work_stop();
	for (unsigned w = 0; w < work.nr_workers; w++)
		if (wait(&status) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
			work_fail("a worker ended with status %#x", (unsigned)status);
	work_compare_plain(WORK_CLOSED);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 5)
		usage();
	if (!strcmp(argv[1], "look") && argc == 5) {
		work.dir = argv[3];
		work.ledger = argv[4];
		return look(argv[2]);
	}
	if (strcmp(argv[1], "work") || argc > 6)
		usage();
	work.dir = argv[2];
	work.ledger = argv[3];
	work.seed = strtoull(argv[4], NULL, 0);
	return work_on(argc == 6 ? strtoull(argv[5], NULL, 0) : 0);
}
