/* test_workers.c -- jobs of a daemon's threads: later ones, ones that are submitted again, ones that hang */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/backoff.h"
#include "core/clock.h"
#include "daemon/workers.h"

#define NR 5
#define LIMIT_MS 60000

struct fixture;

struct task {
	struct job job;		/* first */
	struct fixture *f;
	unsigned again;		/* so often it is submitted again */
	unsigned delay_ms;
	bool hangs;
	bool waits, computes;	/* until it is released, and says that it makes progress */
	uint64_t due_ms;	/* it may not run before */
	atomic_bool early;	/* it has */
	atomic_uint nr_begun, nr_ended;
};

struct fixture {
	struct workers *w;
	struct task t[NR];
	pthread_mutex_t lock;
	pthread_cond_t released;
	bool is_released;
	unsigned order[NR], nr; /* as they ran */
	atomic_uint nr_done;
};

static void make_progress(struct task *t)
{
	uint64_t end = pmio_now_ms() + 10;

	if (t->waits)
		pmio_sleep_us(10000);
	while (t->computes && pmio_now_ms() < end)
		;
	job_alive(&t->job);
}

static void run(struct job *job)
{
	struct task *t = (struct task *)job;
	struct fixture *f = t->f;

	if (pmio_now_ms() < t->due_ms)
		t->early = true;
	t->nr_begun++;
	pthread_mutex_lock(&f->lock);
	if (f->nr < NR)
		f->order[f->nr++] = (unsigned)(t - f->t);
	while (t->hangs && !f->is_released)
		pthread_cond_wait(&f->released, &f->lock);
	while ((t->waits || t->computes) && !f->is_released) {
		pthread_mutex_unlock(&f->lock);
		make_progress(t);
		pthread_mutex_lock(&f->lock);
	}
	pthread_mutex_unlock(&f->lock);
}

static void submit(struct task *t)
{
	t->due_ms = pmio_now_ms() + t->delay_ms;
	workers_submit_after(t->f->w, &t->job, t->delay_ms);
}

static void ended(struct job *job)
{
	struct task *t = (struct task *)job;

	if (t->again) {
		t->again--;
		submit(t);
	} else {
		t->nr_ended++;
	}
}

static void done(void *daemon, struct job *job)
{
	(void)job;
	((struct fixture *)daemon)->nr_done++;
}

static struct fixture *begin_with(unsigned nr_bulk, unsigned most_bulk, unsigned nr_stuck)
{
	const struct workers_config c = { .daemon = "test", .nr_bulk = nr_bulk, .most_bulk = most_bulk, .nr_stuck = nr_stuck, .nr_idle = 1, .stack_size = 256u << 10 };
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->released, NULL);
	assert_int_equal(workers_new(&c, &f->w), 0);
	for (unsigned i = 0; i < NR; i++) {
		f->t[i].f = f;
		f->t[i].job = (struct job){ .run = run, .ended = ended, .kind = JOB_BULK };
	}
	return f;
}

static struct fixture *begin(unsigned nr_bulk, unsigned nr_stuck)
{
	return begin_with(nr_bulk, 0, nr_stuck);
}

static void release(struct fixture *f)
{
	pthread_mutex_lock(&f->lock);
	f->is_released = true;
	pthread_cond_broadcast(&f->released);
	pthread_mutex_unlock(&f->lock);
}

static void end(struct fixture *f)
{
	release(f);
	assert_true(workers_delete(&f->w, LIMIT_MS));
	free(f);
}

static void until(const atomic_uint *n, unsigned wanted)
{
	struct pmio_backoff b = PMIO_BACKOFF(1, 20, LIMIT_MS);

	while (atomic_load(n) < wanted)
		assert_true(pmio_backoff_sleep(&b));
}

static int by_due(const void *a, const void *b)
{
	const struct task *x = *(struct task *const *)a, *y = *(struct task *const *)b;

	return x->job.due_ms != y->job.due_ms ? (x->job.due_ms > y->job.due_ms) - (x->job.due_ms < y->job.due_ms) : (x > y) - (x < y);
}

static void after__in_the_order_of_their_times(void **state)
{
	static const unsigned delay[NR] = { 60, 20, 60, 0, 40 };
	struct fixture *f = begin(1, 100);
	struct task *sorted[NR];

	(void)state;
	for (unsigned i = 0; i < NR; i++) {
		f->t[i].delay_ms = delay[i];
		submit(&f->t[i]);
		sorted[i] = &f->t[i];
	}
	qsort(sorted, NR, sizeof(sorted[0]), by_due);
	for (unsigned i = 0; i < NR; i++) {
		until(&f->t[i].nr_ended, 1);
		assert_false(f->t[i].early);
	}
	for (unsigned i = 0; i < NR; i++)
		assert_ptr_equal(&f->t[f->order[i]], sorted[i]);
	end(f);
}

static void after__submitted_again_when_it_has_ended(void **state)
{
	struct fixture *f = begin(2, 100);

	(void)state;
	for (unsigned i = 0; i < NR; i++) {
		f->t[i].again = 20;
		f->t[i].delay_ms = i;
		submit(&f->t[i]);
	}
	for (unsigned i = 0; i < NR; i++) {
		until(&f->t[i].nr_ended, 1);
		assert_int_equal(f->t[i].nr_begun, 21);
		assert_false(f->t[i].early);
	}
	end(f);
}

/* a job that waits for its time holds no thread, and ends with the workers */
static void after__others_run_meanwhile_and_it_is_dropped(void **state)
{
	static struct fixture *f; /* the job is never run, and would look like leaked memory */

	(void)state;
	f = begin(1, 100);
	f->t[0].delay_ms = 3600 * 1000;
	submit(&f->t[0]);
	workers_submit(f->w, &f->t[1].job);
	f->t[2].job = (struct job){ .run = run, .done = done, .kind = JOB_CALL };
	workers_submit(f->w, &f->t[2].job);
	until(&f->t[1].nr_ended, 1);
	while (f->nr_done == 0) {
		pmio_sleep_us(1000);
		workers_reap(f->w, f);
	}
	assert_true(workers_delete(&f->w, LIMIT_MS));
	assert_int_equal(f->t[0].nr_begun, 0);
}

/* a job that hangs counts no longer: one more may begin, of the same device only up to the limit */
static void stuck__others_run_up_to_the_limit(void **state)
{
	struct fixture *f = begin(1, 2);

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		f->t[i].hangs = true;
	f->t[3].job.dev = 1;
	for (unsigned i = 0; i < 4; i++)
		workers_submit(f->w, &f->t[i].job);
	until(&f->t[0].nr_begun, 1);
	until(&f->t[3].nr_ended, 1); /* before those of the device that hangs */
	until(&f->t[1].nr_begun, 1);
	workers_submit(f->w, &f->t[4].job);
	f->t[3].nr_begun = f->t[3].nr_ended = 0;
	workers_submit(f->w, &f->t[3].job);
	until(&f->t[3].nr_ended, 1); /* when both are stuck */
	assert_int_equal(f->t[2].nr_begun + f->t[4].nr_begun, 0);
	release(f);
	until(&f->t[2].nr_ended, 1);
	until(&f->t[4].nr_ended, 1);
	end(f);
}

/* jobs that wait for something else than a processor are joined by others, up to the limit */
static void depth__more_run_while_they_wait(void **state)
{
	struct fixture *f = begin_with(1, 4, 100);

	(void)state;
	if (access("/proc/thread-self/schedstat", R_OK) < 0)
		skip();
	for (unsigned i = 0; i < NR; i++) {
		f->t[i].waits = true;
		workers_submit(f->w, &f->t[i].job);
	}
	for (unsigned i = 0; i < 4; i++)
		until(&f->t[i].nr_begun, 1);
	pmio_sleep_us(300000);
	assert_int_equal(f->t[4].nr_begun, 0);
	release(f);
	until(&f->t[4].nr_ended, 1);
	end(f);
}

/* those that compute are not, also where they wait for a processor */
static void depth__no_more_run_while_they_compute(void **state)
{
	struct fixture *f = begin_with(1, 4, 100);

	(void)state;
	for (unsigned i = 0; i < NR; i++) {
		f->t[i].computes = true;
		workers_submit(f->w, &f->t[i].job);
	}
	until(&f->t[0].nr_begun, 1);
	pmio_sleep_us(500000);
	for (unsigned i = 1; i < NR; i++)
		assert_int_equal(f->t[i].nr_begun, 0);
	release(f);
	for (unsigned i = 0; i < NR; i++)
		until(&f->t[i].nr_ended, 1);
	end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(after__in_the_order_of_their_times),
		cmocka_unit_test(after__submitted_again_when_it_has_ended),
		cmocka_unit_test(after__others_run_meanwhile_and_it_is_dropped),
		cmocka_unit_test(stuck__others_run_up_to_the_limit),
		cmocka_unit_test(depth__more_run_while_they_wait),
		cmocka_unit_test(depth__no_more_run_while_they_compute),
	};

	return cmocka_run_group_tests_name("workers", tests, NULL, NULL);
}
