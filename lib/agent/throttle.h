/*
 * throttle.h -- the rate limit of all drains together, which can also pause them
 */
#ifndef PMIO_AGENT_THROTTLE_H
#define PMIO_AGENT_THROTTLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/workers.h"

struct throttle {
	_Atomic uint64_t rate;	/* bytes per second of all drains; 0: no limit */
	atomic_bool paused;
	pthread_mutex_t lock;	/* protects the fields below */
	double tokens;		/* bytes that may be written now; below 0: overdrawn */
	uint64_t filled_ns;	/* CLOCK_MONOTONIC: the time up to which the bucket was filled */
};

void throttle_init(struct throttle *p, uint64_t rate);
void throttle_set_rate(struct throttle *p, uint64_t rate);
/* max. bytes of the next write: `most` or fewer */
size_t throttle_bytes(const struct throttle *p, size_t most);
/* in a worker: sleeps until more may be written, or *stop is set */
void throttle_wait(struct throttle *p, struct job *job, const atomic_bool *stop);
/* this number of bytes was written */
void throttle_charge(struct throttle *p, size_t bytes);

#endif
