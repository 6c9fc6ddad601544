/*
 * nodes_ops.h -- the functions of libpmio-redirect-nodes.so that libpmio-redirect-pool.so calls
 *
 * libpmio-redirect-nodes.so contains lib/remote, and is loaded for the first file that is, or is to be, on other nodes.
 * It has no client of its own: it uses that of libpmio-redirect-pool.so.
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
/* as pool_nodes(), but NULL if the library has not been loaded */
const struct elsewhere_nodes *pool_nodes_loaded(void);
/* in a child of fork */
void pool_nodes_forget(void);

#endif
