/*
 * nodes_ops.h -- what libpmio-redirect-pool.so calls of libpmio-redirect-nodes.so
 *
 * The latter has lib/remote in it, and is loaded with the first file that is, or is to be, on other nodes.  It has no
 * client of its own: that of the former serves both.
 */
#ifndef PMIO_REDIRECT_NODES_OPS_H
#define PMIO_REDIRECT_NODES_OPS_H

#include "client/other_nodes.h"

#define REDIRECT_NODES_VERSION 2
#define REDIRECT_NODES_LIBRARY "libpmio-redirect-nodes.so"
#define REDIRECT_NODES_SYMBOL "pmio_redirect_nodes"

struct redirect_nodes {
	int version;
	const struct elsewhere_nodes *nodes;
};

/* ---- report_counters.c: of libpmio-redirect-pool.so; as in pool_ops.h ------------------------------------- */

struct redirect_pool;
const struct redirect_pool *pool_timed(const struct redirect_pool *pool, const char *file);

/* ---- pool_nodes.c: of libpmio-redirect-pool.so ------------------------------------------------ */

/* NULL: it cannot be loaded, which was logged */
const struct elsewhere_nodes *pool_nodes(void);
/* the same, if it was needed already */
const struct elsewhere_nodes *pool_nodes_loaded(void);
/* in a child of fork */
void pool_nodes_forget(void);

#endif
