/*
 * workers.h -- threads for calls that may block: of a daemon's loop, or of threads that must not wait
 *
 * Threads: any, except where noted.
 */
#ifndef PMIO_DAEMON_WORKERS_H
#define PMIO_DAEMON_WORKERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum job_kind {
	JOB_CALL, /* one call that a client waits for; it never waits for other jobs */
	JOB_BULK, /* moves bytes; a limited number of them run at a time */
};

/* work for another thread; embedded in what it works on */
struct job {
	void (*run)(struct job *job);		     /* in a worker */
	void (*done)(void *daemon, struct job *job); /* in workers_reap(); frees it; or NULL */
	/*
	 * in the worker, after run(), when the job no longer counts as running: frees it, or submits it again; done is
	 * NULL then.  If both are NULL, of a JOB_CALL, run() frees it.
	 */
	void (*ended)(struct job *job);
	enum job_kind kind;
	uint64_t dev;		/* JOB_BULK: the device of the PFS file */
	bool throttled;		/* JOB_BULK: subject to the drain rate (agent/throttle.c) */
	bool high_priority;	/* JOB_BULK: part of a drain that has begun; runs before drains that have not */
	/* private to workers.c */
	struct job *prev, *next;
	int64_t due_ms;
	atomic_int_fast64_t alive_ms;
	atomic_bool resting;
	atomic_uint share;	/* of a processor that it needs, in thousandths; 0: not known yet */
	uint64_t since_ns, needed_ns; /* of its thread, when that was last looked at */
};

/*
 * called in run() of a JOB_BULK when it makes progress; a job that does not call this for a while counts as stuck.  This
 * also measures the share of a processor that the job needs
 */
void job_alive(struct job *job);
/* the job is about to sleep voluntarily: another job may run in its place */
void job_resting(struct job *job, bool resting);

struct workers_config {
	const char *daemon;	/* its name in messages */
	unsigned nr_bulk;	/* JOB_BULKs that run at a time, and are not stuck; as processors are counted: */
	unsigned most_bulk;	/* up to so many, if they wait for the file system most of the time; not above nr_bulk: no more */
	unsigned nr_stuck;	/* limit of stuck jobs: beyond it no further JOB_BULK of their devices is begun */
	unsigned nr_idle;	/* threads that are kept for further jobs */
	size_t stack_size;	/* bytes */
};

struct workers;

/* the threads have the signal mask of the caller: signals that the daemon takes from a descriptor are blocked before */
int workers_new(const struct workers_config *config, struct workers **out);
/*
 * Waits up to limit_ms for the jobs that run; queued jobs are dropped.  Returns false
 * if some still run: they may use their jobs for as long as the process lives.
 */
bool workers_delete(struct workers **w, unsigned limit_ms);
void workers_submit(struct workers *w, struct job *job);
/* submit after a delay; jobs with equal delays keep their order */
void workers_submit_after(struct workers *w, struct job *job, unsigned delay_ms);
int workers_event_fd(const struct workers *w); /* readable when jobs with done() have ended */
/* call done() of these; one thread */
void workers_reap(struct workers *w, void *daemon);

#endif
