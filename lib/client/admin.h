/*
 * admin.h -- requests of the command `pmio` to an agent (not installed)
 *
 * All return 0 or a negative code (pmio.h); errors have been logged.
 */
#ifndef PMIO_CLIENT_ADMIN_H
#define PMIO_CLIENT_ADMIN_H

#include <limits.h>
#include <stdbool.h>

#include "pmio.h"
#include "pool/format.h"

struct pmio_pool_stat {
	uint8_t uuid[16];
	uint32_t agent_pid;
	uint32_t nr_clients;		/* connections, this one included */
	uint32_t nr_handles;		/* open file handles */
	uint32_t granularity;		/* enum pmio_pm_granularity */
	uint64_t chunk_size;		/* bytes */
	uint64_t nr_frames, nr_frames_free;
	uint64_t nr_files;		/* known: open, cached, or with pending data */
	uint64_t nr_slots;
	uint64_t resident_bytes;	/* a sum: whole blocks that are valid */
	uint64_t dirty_bytes;		/* a sum: not yet on the PFS, or not known to be */
	uint64_t drained_bytes;		/* since the agent started; without sums: by drains that have ended */
	uint64_t filled_bytes;		/* read from the PFS since then */
	uint64_t drain_ns;		/* nanoseconds since then in which a drain ran */
	uint64_t fill_ns;		/* nanoseconds since then in which bytes of filled_bytes were read */
	uint32_t nr_draining;		/* files */
	bool paused;			/* drains wait */
	uint64_t drain_rate_limit;	/* bytes per second of all drains; 0: none */
	struct pmio_counts_df counts;	/* sums: of all clients since then */
	uint64_t fallback_chunks;	/* chunks for which there was no frame, since then */
	uint64_t evicted_chunks;
	uint64_t uptime_s;
	uint64_t idle_timeout_s;	/* 0: never leaves */
};

/* identifies a file that a pool knows, whatever its name; unique as long as the pool exists */
struct pmio_entry {
	uint32_t slot;
	uint64_t generation;
};

struct pmio_file_stat {
	char path[PATH_MAX];		/* its current name, as far as the agent knows */
	struct pmio_entry entry;
	uint32_t state;			/* enum pmio_drain_state (proto.h) */
	uint32_t nr_handles;
	int32_t error;			/* errno of the last drain if that failed, or -PMIO_ECHANGED, otherwise 0 */
	uint64_t dev, ino;		/* the PFS file */
	uint64_t size;			/* bytes, as seen through pmio */
	uint64_t pfs_size;		/* bytes on the PFS */
	uint64_t resident_bytes;	/* whole blocks that are valid in the pool */
	uint64_t dirty_bytes;		/* not yet on the PFS, or not known to be */
	uint64_t left_bytes;		/* of these, not yet written by the running drain */
	uint64_t drained_bytes;		/* since the agent started, including a running drain */
	uint64_t filled_bytes;		/* read from the PFS since then */
	uint64_t drain_bytes, drain_ns;	/* of the last drain that ended; 0: there was none */
	struct pmio_counts_df counts;	/* of handles closed since then */
};

/*
 * pmio_stage_open -- open a file for staging it in
 *
 * As long as the handle is open the file keeps its frames.  slot: for pmio_stat_next()
 */
int pmio_stage_open(struct pmio *pm, const char *path, struct pmio_file **out, uint32_t *slot);

/* bring in the data that are not in the pool yet; -ENOSPC: the pool has no room (data already brought in stay) */
int pmio_stage_in(struct pmio_file *file);

/* release the frames of a file; it keeps them while a program has it open or it is not drained */
int pmio_stage_release(struct pmio *pm, const char *path);

/* connect to a running agent; never starts one: PMIO_EAGENT if there is none (not logged) */
int pmio_attach(const char *pool, struct pmio **out);

/*
 * pmio_stat_pool, pmio_stat_sums -- a pool and its agent
 *
 * The first takes the agent a constant time, for callers that ask often; values marked
 * as sums are 0 then.  For the second the agent visits each frame in use.
 */
int pmio_stat_pool(struct pmio *pm, struct pmio_pool_stat *st);
int pmio_stat_sums(struct pmio *pm, struct pmio_pool_stat *st);

/* the next file at or after slot *cursor; sets *cursor for the next call; -ENOENT: there is none */
int pmio_stat_next(struct pmio *pm, uint32_t *cursor, struct pmio_file_stat *st);

/* what the pool has of a PFS file, also if other processes have it open */
struct pmio_id_stat {
	struct pmio_entry entry;
	uint64_t size;		/* bytes, as seen through pmio */
	uint32_t nr_handles;
	bool pending;		/* the PFS does not have all of its data, or is not known to have them */
	int64_t written_ns;	/* real time of the last close after a write, if its data are pending; 0: not known */
};

/*
 * pmio_stat_id -- the same for the file to which this descriptor refers; O_PATH suffices
 *
 * Takes the agent a constant time.  Returns 0, -ENOENT (not logged: the pool does not know it), or an error.
 */
int pmio_stat_id(struct pmio *pm, int fd, struct pmio_id_stat *st);

#define PMIO_DRAIN_OVER 1u
#define PMIO_DRAIN_HERE 2u

/*
 * pmio_drain_entry -- drain the file of a slot, whatever its name is now
 *
 * path   for messages
 * how    PMIO_DRAIN_OVER: overwrite what others have changed in the file since;
 *        PMIO_DRAIN_HERE: the file has the name path now, which the agent may not know
 * Returns 0; -ESRCH (not logged): the pool no longer knows it, so it has no pending data; PMIO_EGONE;
 * PMIO_ECHANGED; or the error of the drain.
 */
int pmio_drain_entry(struct pmio *pm, const struct pmio_entry *e, const char *path, unsigned how);

/* discard the pool's data of a file that no program has open; -ESRCH and -EBUSY are not logged */
int pmio_forget_entry(struct pmio *pm, const struct pmio_entry *e, const char *path);

/*
 * pmio_settle_matching -- drain the pending data of all files whose names match
 *
 * matches  gets the name that the agent knows.  Files that were changed or removed on the PFS are left as they are.
 * Returns 0, or the first error, after all others were drained; each is logged.
 */
int pmio_settle_matching(struct pmio *pm, bool (*matches)(const char *path));

/* drain one file by its path (absolute or relative), open or not; -ESRCH: the pool does not know it */
int pmio_drain_path(struct pmio *pm, const char *path);
/* the same for a file that the pool knew a moment ago: 0 if it no longer knows it, as then no data are pending */
int pmio_drain_known(struct pmio *pm, const char *path);

/* limit the rate of all drains together, in bytes per second, until the agent exits; 0: no limit */
int pmio_set_drain_rate(struct pmio *pm, uint64_t rate);
/* pause or resume drains */
int pmio_pause_drains(struct pmio *pm, bool pause);

/*
 * pmio_shutdown -- tell the agent to exit
 *
 * It refuses with -EBUSY while other clients are connected, and first drains pending data;
 * if that fails it continues to run, and the result is the error.  force: it exits in any
 * case; data stay in the pool.
 * Returns when the agent has released the pool.
 */
int pmio_shutdown(struct pmio *pm, bool force);

#endif
