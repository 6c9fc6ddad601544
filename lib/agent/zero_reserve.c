/*
 * zero_reserve.c -- a reserve of free frames whose bytes are zero
 *
 * A chunk that is written in pieces must read as zero between them.  In a zeroed frame
 * it does from the start; otherwise the agent zeroes the frame while the writer waits.
 * Frames are zeroed one at a time, after the workers' other jobs, with rests between them: the scheduler prefers an agent
 * that has slept, so if ranks use all processors one of them would stand still until all frames are zeroed (6 ms were
 * measured); and writers need the medium's bandwidth more.  Half of the time is work if few zeroed frames are left, else
 * one thirty-second of it.
 */
#include "agent/file.h"
#include "agent/state.h"
#include "agent/zero_reserve.h"
#include "core/backoff.h"
#include "core/clock.h"
#include "core/log.h"

static ssize_t make_zero(struct pmio_pm_guard *guard, void *arg)
{
	struct zero_reserve *b = arg;

	pmio_pm_guard_arm(guard, true);
	pmio_pm_zero(b->view->pm, pmio_view_frame(b->view, b->frame), b->view->chunk_size);
	pmio_pm_fence(b->view->pm);
	return 0;
}

static void run(struct job *job)
{
	struct zero_reserve *b = (struct zero_reserve *)job;
	uint64_t begun = pmio_now_ns();

	b->rc = (int)pmio_pm_guarded(b->view->pm, make_zero, b);
	pmio_sleep_us((pmio_now_ns() - begun) / 1000 * (b->hurry ? 1 : 31));
}

static void done(void *agent, struct job *job)
{
	struct agent *a = agent;
	(void)job;
	pmio_pool_zero_end(a->pool, a->zero_reserve.frame, a->zero_reserve.rc == 0);
	if (a->zero_reserve.rc < 0)
		pmio_err("agent: cannot write to frame %llu of the pool; it is no longer used",
			 (unsigned long long)a->zero_reserve.frame);
	a->zero_reserve.running = false;
}

void zero_reserve_more(struct agent *a)
{
	struct zero_reserve *b = &a->zero_reserve;

	/* after a start, clients of the last agent may still write to frames that are free now */
	if (b->running || a->state != AGENT_RUNNING || a->nr_jobs || !files_frames_may_move(a))
		return;
	b->frame = pmio_pool_zero_begin(a->pool);
	if (b->frame == PMIO_NO_FRAME)
		return;
	b->hurry = pmio_pool_zero_is_short(a->pool);
	b->job.run = run;
	b->job.done = done;
	b->view = a->view;
	b->running = true;
	workers_submit(a->workers, &b->job);
}
