/*
 * blank.c -- a reserve of free frames whose bytes are zero
 *
 * A chunk that is written in pieces must read as zero between them. With a blank
 * frame it does from the start; else the agent zeroes the frame while the writer
 * waits. One frame is made blank at a time, after the workers' other jobs.
 */
#include <stdlib.h>

#include "agent/agent_impl.h"

struct blank_job {
	struct job job;
	struct pmio_view *view;
	uint64_t frame;
};

static void run(struct job *job)
{
	struct blank_job *b = (struct blank_job *)job;

	pmio_pm_zero(b->view->pm, pmio_view_frame(b->view, b->frame), b->view->chunk_size);
	pmio_pm_fence(b->view->pm);
}

static void done(struct agent *a, struct job *job)
{
	struct blank_job *b = (struct blank_job *)job;

	pmio_pool_blank_end(a->pool, b->frame);
	free(b);
	a->blanking = NULL;
	blank_more(a);
}

void blank_more(struct agent *a)
{
	struct blank_job *b;

	/* after a start, clients of the last agent may yet write to frames that it freed */
	if (a->blanking || a->state != AGENT_RUNNING || a->nr_jobs || !files_frames_may_move(a))
		return;
	b = calloc(1, sizeof(*b));
	if (!b)
		return;
	b->job.run = run;
	b->job.done = done;
	b->view = a->view;
	b->frame = pmio_pool_blank_begin(a->pool);
	if (b->frame == PMIO_NO_FRAME) {
		free(b);
		return;
	}
	a->blanking = b;
	workers_submit(a->workers, &b->job);
}
