/* clock.h -- monotonic time: CLOCK_MONOTONIC, the same for all processes of a machine */
#ifndef PMIO_CORE_CLOCK_H
#define PMIO_CORE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t pmio_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline uint64_t pmio_now_ms(void)
{
	return pmio_now_ns() / 1000000;
}

/* a time of pmio_now_ms() for pthread_cond_timedwait(), with a condition of that clock */
static inline struct timespec pmio_timespec(uint64_t ms)
{
	return (struct timespec){ .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000 * 1000000) };
}

#endif
