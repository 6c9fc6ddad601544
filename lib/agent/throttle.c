/*
 * throttle.c -- limiting how fast drains may write: a rate that all of them share, and pauses
 *
 * A token bucket fills at the rate and holds the amount of BURST_MS.  The bytes that
 * were written are taken out of it afterwards, perhaps more than it holds: the
 * worker that takes the next chunks waits until the bucket is no longer overdrawn.  So
 * the rate is kept however large the writes are, and no chunk is taken before it may be
 * written.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "agent/throttle.h"
#include "core/backoff.h"
#include "core/clock.h"

#define BURST_MS 100
#define LOOK_MS 100	       /* longest time until a change is noticed */

void throttle_init(struct throttle *p, uint64_t rate)
{
	pthread_mutex_init(&p->lock, NULL);
	atomic_store(&p->rate, rate);
}

void throttle_set_rate(struct throttle *p, uint64_t rate)
{
	pthread_mutex_lock(&p->lock);
	atomic_store(&p->rate, rate);
	p->tokens = 0; /* a change of the rate resets an overdraft */
	p->filled_ns = pmio_now_ns();
	pthread_mutex_unlock(&p->lock);
}

size_t throttle_bytes(const struct throttle *p, size_t most)
{
	uint64_t rate = atomic_load(&p->rate), bytes = rate / 1000 * BURST_MS;

	return rate && bytes < most ? (size_t)bytes : most;
}

/* lock held */
static void fill_bucket(struct throttle *p, double rate)
{
	uint64_t now = pmio_now_ns();

	p->tokens += rate * (double)(now - p->filled_ns) / 1e9;
	if (p->tokens > rate * BURST_MS / 1000)
		p->tokens = rate * BURST_MS / 1000;
	p->filled_ns = now;
}

/* milliseconds to wait before calling it again; 0: continue */
static uint64_t wait_ms(struct throttle *p)
{
	uint64_t rate = atomic_load(&p->rate);
	double ms = 0;

	if (atomic_load(&p->paused))
		return LOOK_MS;
	if (rate == 0)
		return 0;
	pthread_mutex_lock(&p->lock);
	fill_bucket(p, (double)rate);
	if (p->tokens < 0)
		ms = -p->tokens * 1000 / (double)rate + 1;
	pthread_mutex_unlock(&p->lock);
	return ms > LOOK_MS ? LOOK_MS : (uint64_t)ms;
}

void throttle_wait(struct throttle *p, struct job *job, const atomic_bool *stop)
{
	uint64_t ms = wait_ms(p);

	if (ms == 0)
		return;
	job_resting(job, true);
	while (ms && !atomic_load(stop)) {
		pmio_sleep_us(ms * 1000);
		ms = wait_ms(p);
	}
	job_resting(job, false);
}

void throttle_charge(struct throttle *p, size_t bytes)
{
	if (atomic_load(&p->rate) == 0)
		return;
	pthread_mutex_lock(&p->lock);
	p->tokens -= (double)bytes;
	pthread_mutex_unlock(&p->lock);
}
