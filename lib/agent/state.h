/*
 * state.h -- the agent's state
 *
 * One thread, the loop, owns everything here.  Worker threads get a job and access
 * only that job, the frames it names and a descriptor of the PFS; the loop learns
 * through an eventfd that a job has ended.
 *
 * The PFS may hang, so the loop makes no call to it: no open, stat, unlink, not
 * even close.  Between a job's start and its end the loop serves other requests: what
 * it knew at the start has to be looked up again, except a file that the job holds
 * (files_job_begin).
 */
#ifndef PMIO_AGENT_STATE_H
#define PMIO_AGENT_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/agent.h"
#include "agent/batch.h"
#include "agent/conn.h"
#include "agent/file.h"
#include "agent/request.h"
#include "agent/throttle.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/log.h"
#include "daemon/workers.h"
#include "pool/pool.h"

enum agent_state {
	AGENT_RUNNING,
	AGENT_DRAINING, /* told to exit; it drains pending data */
	AGENT_LEAVING,
};

/* things of one kind that are under way, and the time in which any was */
struct busy {
	unsigned nr;
	uint64_t since_ns; /* CLOCK_MONOTONIC, while nr > 0 */
	uint64_t ns;	   /* before since_ns */
};

struct agent {
	const struct pmio_agent_config *config;
	struct pmio_pool *pool;
	struct pmio_view *view;
	struct workers *workers;
	int epoll_fd, listen_fd, signal_fd;
	int log_fd;			/* -1: standard error */
	enum agent_state state;
	bool forced;
	uint64_t clients_until_ns;	/* CLOCK_MONOTONIC: AGENT_DRAINING waits until then for clients to disconnect */
	struct request *shutdown;	/* the request to answer at the end */
	struct request *late;		/* OPENs that arrived in AGENT_DRAINING */
	struct request *after_removals;	/* OPENs of files that are being removed, deferred until the removal has ended */
	struct request *no_fds;		/* requests for which there was no free descriptor, deferred until one is closed */
	bool fd_closed;			/* one was closed since the loop last checked */
	unsigned nr_closing;		/* descriptors */
	int shutdown_status;

	struct conn *conns;		/* hash by id */
	struct handle *handles;		/* hash by id */
	struct file *files;		/* hash by key */
	struct file *by_inode;		/* the same by inode alone, as device numbers change */
	struct file **by_slot;		/* nr_slots pointers */
	struct file *may_pack;		/* pack.c: oldest first */
	struct file *lru;
	struct pmio_spin spin;		/* busy polling before the loop sleeps */
	request_fn *dispatch;		/* handles a request: ops_dispatch() */
	idle_fn *idle;		/* a file may have to change its state: files_idle() */
	uint64_t next_conn, next_handle;
	unsigned nr_background_handles; /* of writers with drain_early=on */
	uint64_t next_look_ms;		/* background.c, CLOCK_MONOTONIC */
	uint64_t next_survey_ms, next_orphan_ms; /* name_survey.c, orphan.c; the same */
	bool survey_wanted;		/* it may find files */
	bool survey_hurries;		/* a request waits for its result */
	bool surveying;			/* a survey is under way */
	bool orphaned;			/* the pool's folder was removed */
	unsigned nr_ghosts;		/* files that have one: mappings.c */
	uint64_t next_maps_ms;		/* CLOCK_MONOTONIC */
	struct batches marks, syncs;	/* marks.c, syncs.c */
	uint8_t *client_used;		/* one byte per client record */
	uint64_t started_ms, last_busy_ms; /* pmio_now_ms(); so is the next */
	uint64_t evict_not_before_ms;
	unsigned nr_jobs;
	struct zero_reserve {
		struct job job;
		struct pmio_view *view;
		uint64_t frame;
		int rc;
		bool running, hurry;
	} zero_reserve;			/* see zero_reserve.c */
	uint64_t pfs_changes;		/* number of ended drains and truncations: attributes that were read before are out of date */

	uint64_t drained_bytes, filled_bytes, fallback_chunks, evicted_chunks;
	struct throttle throttle;		/* of drains */
	struct busy draining;		/* files */
	struct busy filling;		/* jobs that read from the PFS */
	struct pmio_counts_df counts;	/* sums of clients that have disconnected */
};

static inline uint64_t busy_ns(const struct busy *b)
{
	return b->ns + (b->nr ? pmio_now_ns() - b->since_ns : 0);
}

static inline void busy_begin(struct busy *b)
{
	if (b->nr++ == 0)
		b->since_ns = pmio_now_ns();
}

static inline void busy_end(struct busy *b)
{
	b->ns = busy_ns(b);
	b->since_ns = pmio_now_ns();
	b->nr--;
}

static inline void counts_add(struct pmio_counts_df *sum, const struct pmio_counts_df *more)
{
	sum->read += more->read;
	sum->missed += more->missed;
	sum->pfs_read += more->pfs_read;
	sum->written += more->written;
	sum->pfs_written += more->pfs_written;
}

/* milliseconds from now until then_ms; 0: it is time */
static inline int agent_until_ms(uint64_t then_ms)
{
	uint64_t now = pmio_now_ms();

	return then_ms > now ? (int)(then_ms - now) : 0;
}

#endif
