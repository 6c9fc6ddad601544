/* jobs.c -- what a job of a worker holds while it runs: its file, and the agent */
#include "agent/file.h"
#include "agent/jobs.h"
#include "agent/request.h"
#include "agent/state.h"

void files_job_begin(struct agent *a, struct file *f)
{
	files_lru_remove(a, f); /* its frames cannot be evicted now */
	f->nr_jobs++;
	a->nr_jobs++;
}

void files_job_end(struct agent *a, struct file *f)
{
	f->nr_jobs--;
	a->nr_jobs--;
	/* first the requests that a drain would delay again */
	requests_retry(a, &f->deferred);
	a->idle(a, f);
}

static void step_done(void *agent, struct job *job)
{
	struct agent *a = agent;
	struct request *r = (struct request *)job;
	struct file *f = r->file;

	r->done(a, r); /* which may free it */
	if (f)
		files_job_end(a, f);
	else
		a->nr_jobs--;
}

void request_step(struct agent *a, struct request *r, void (*run)(struct job *job),
		  void (*done)(struct agent *a, struct request *r))
{
	if (r->file)
		files_job_begin(a, r->file);
	else
		a->nr_jobs++;
	r->done = done;
	r->job.kind = JOB_CALL;
	r->job.run = run;
	r->job.done = step_done;
	workers_submit(a->workers, &r->job);
}
