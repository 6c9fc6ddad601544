/*
 * backoff.h -- repeat a request, with increasing sleeps in between
 *
 *	struct pmio_backoff b = PMIO_BACKOFF(1, 100, 5000);
 *
 *	while ((rc = ask()) == -EBUSY && pmio_backoff_sleep(&b))
 *		;
 *
 * The limit counts the time slept, not the time on the clock: on a loaded machine there are as many
 * repetitions.
 *
 * Threads: one at a time per backoff.
 */
#ifndef PMIO_CORE_BACKOFF_H
#define PMIO_CORE_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define PMIO_BACKOFF_NO_LIMIT UINT64_MAX

struct pmio_backoff {
	uint64_t next_us, max_us; /* a sleep is twice the one before, up to max_us */
	uint64_t left_us;
};

/* milliseconds: the first sleep, the longest, all together */
#define PMIO_BACKOFF(first_ms, max_ms, total_ms) \
	{ (uint64_t)(first_ms) * 1000, (uint64_t)(max_ms) * 1000, (uint64_t)(total_ms) * 1000 }

/*
 * to run a program that has just been drained: the agent closes it a moment after it has answered, and until then the kernel
 * says ETXTBSY
 */
#define PMIO_BACKOFF_EXEC { 200, 50000, 1600000 }

static inline void pmio_sleep_us(uint64_t us)
{
	struct timespec ts = { (time_t)(us / 1000000), (long)(us % 1000000) * 1000 };

	nanosleep(&ts, NULL);
}

/* how long to sleep now, for a caller that does it itself; 0: the total is used up */
static inline uint64_t pmio_backoff_next_us(struct pmio_backoff *b)
{
	uint64_t us = b->next_us < b->max_us ? b->next_us : b->max_us;

	if (us > b->left_us)
		us = b->left_us;
	if (b->left_us != PMIO_BACKOFF_NO_LIMIT)
		b->left_us -= us;
	b->next_us = us * 2;
	return us;
}

/* false, without a sleep: the total is used up */
static inline bool pmio_backoff_sleep(struct pmio_backoff *b)
{
	uint64_t us = pmio_backoff_next_us(b);

	if (us > 0)
		pmio_sleep_us(us);
	return us > 0;
}

#endif
