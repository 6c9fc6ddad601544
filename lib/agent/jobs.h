/*
 * jobs.h -- jobs of workers that hold a file, and steps of requests
 */
#ifndef PMIO_AGENT_JOBS_H
#define PMIO_AGENT_JOBS_H

#include "agent/request.h"

/* from _begin to _end the file stays; _end dispatches the requests again that waited for it */
void files_job_begin(struct agent *a, struct file *f);
void files_job_end(struct agent *a, struct file *f);
/* a worker calls run(), which must not wait for other jobs, and then the loop done(), which may start another step */
void request_step(struct agent *a, struct request *r, void (*run)(struct job *job),
		  void (*done)(struct agent *a, struct request *r));

#endif
