/*
 * agent.h -- the agent: the process, one per node and user, that owns a pool
 *
 * It alone allocates frames, changes the catalog and calls the PFS.  Clients connect
 * through the socket in the pool's directory (proto.h).
 */
#ifndef PMIO_AGENT_AGENT_H
#define PMIO_AGENT_AGENT_H

#include <stdbool.h>
#include <stdint.h>

struct pmio_agent_config {
	const char *pool_dir;	  /* absolute; an empty directory becomes a pool */
	bool make_dir;		  /* make pool_dir if it is missing (the default pool) */
	uint64_t pool_size;	  /* bytes; of a new pool */
	bool size_is_default;	  /* pool_size was not chosen by the user: reduce it if memory is short */
	uint64_t chunk_size;	  /* bytes; of a new pool */
	unsigned idle_timeout_s;  /* exit after this time without clients and dirty data; 0: never */
	unsigned drain_threads;	  /* 1..64 */
	bool verify;		  /* also read back data that were drained after a crash */
	uint64_t drain_rate;	  /* bytes per second of all drains; 0: no limit */
	bool recover_hold;	  /* after a crash, drain data only on request */
	int ready_fd;		  /* -1, or a descriptor that gets an int32_t: 0 when it is ready, or the error */
	bool foreground;	  /* do not detach; log to standard error unless log_file is set */
	const char *log_file;	  /* NULL: agent.log in the pool's directory when detached */
};

/*
 * pmio_agent_run -- run as the agent until it is idle or told to exit
 *
 * Opens (and recovers) the pool, listens, serves.  Unless foreground is set it detaches
 * from its caller, and returns twice: 0 in the caller's process once the agent is
 * ready, and in the agent's process, a child, when that is about to exit.
 *
 * Returns 0 if it exits because it was idle or told to; -EBUSY if another agent
 * has the pool; or an error of pmio_pool_open().
 */
int pmio_agent_run(const struct pmio_agent_config *config);

#endif
