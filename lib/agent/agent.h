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
	uint64_t pool_size;	  /* bytes; of a pool that is made */
	bool size_is_default;	  /* nobody has asked for that: less, where memory is short */
	uint64_t chunk_size;	  /* bytes; of a pool that is made */
	unsigned idle_timeout_s;  /* leave after so long without clients and dirty data; 0: never */
	unsigned drain_threads;	  /* 1..64 */
	bool verify;		  /* read back also what a crash left */
	uint64_t drain_rate;	  /* bytes per second of all drains; 0: no limit */
	bool recover_hold;	  /* what a crash left waits until somebody asks for its drain */
	int ready_fd;		  /* -1, or: gets an int32_t when that is known: 0 or the error */
	bool foreground;	  /* do not detach; log to standard error unless log_file is set */
	const char *log_file;	  /* NULL: agent.log in the pool's directory when detached */
};

/*
 * pmio_agent_run -- be the agent until there is nothing left to do
 *
 * Opens (and recovers) the pool, listens, serves.  Detaches from its caller
 * unless foreground is set: then it returns twice, 0 in the caller's process once
 * the agent is ready, and in the agent's own, a child, when that has left.
 *
 * Returns 0 when it left because it was idle or told to; -EBUSY if another agent
 * has the pool; or what pmio_pool_open() says.
 */
int pmio_agent_run(const struct pmio_agent_config *config);

#endif
