/*
 * work.h -- processes that use files through pmio, and a ledger of what they were promised
 *
 * Workers use files in one folder, as ranks of a job do, and write into a ledger
 * what they are about to do and what has returned.  Whoever dies: a worker that
 * is started anew first looks at what its predecessor left.  What had returned must
 * be there, what was under way may be there in part, nothing else.  Workers whose
 * agent was killed go on; any error that they meet is one too many.
 *
 * Two kinds of files:
 *   shared    cells of CELL bytes, each written by one worker only; neighbours
 *             share blocks.  Version v of a cell has a pattern made from v.
 *   private   a worker's own: it appends records, cuts the file, removes it
 *
 * A failure ends the process with EXIT_WRONG and a line on standard error.
 */
#ifndef PMIO_TESTS_KILL_WORK_H
#define PMIO_TESTS_KILL_WORK_H

#include <stdint.h>
#include <sys/types.h>

#define WORKERS_MAX 8
#define EXIT_WRONG 3

struct work {
	const char *dir;	/* of the files, on the PFS */
	const char *ledger;	/* a file that outlives all; NULL: in memory */
	uint64_t seed;
	unsigned nr_workers;
};

/* once, before the workers are forked; an empty ledger is a fresh start */
void work_init(const struct work *w);

/* a worker's process, number `life` of all that were started; returns it */
pid_t work_start(unsigned worker, unsigned life);

/* operations of all workers, in all their lives */
uint64_t work_operations(void);

/* workers close their files and end, when they have done what they are at */
void work_stop(void);

/*
 * Plain files against the ledger, without pmio.  How much must be there:
 *   WORK_DURABLE   what drains and closes that returned have promised; no agent
 *                  has seen the pool since the machine went down
 *   WORK_DRAINED   all that had returned; what was under way, in part
 *   WORK_CLOSED    all: the workers have ended
 */
enum work_state { WORK_DURABLE, WORK_DRAINED, WORK_CLOSED };
void work_compare_plain(enum work_state state);

_Noreturn void work_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* xorshift64 (Marsaglia, "Xorshift RNGs", 2003), one state a process; 0..n-1 */
void work_seed_rng(uint64_t s);
unsigned work_draw(unsigned n);

#endif
