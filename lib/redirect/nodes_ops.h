/*
 * nodes_ops.h -- what libpmio-redirect-pool.so calls of libpmio-redirect-nodes.so
 *
 * The latter has lib/remote in it, and is loaded with the first file that is, or is to be, on other nodes.  It has no
 * client of its own: that of the former serves both.
 */
#ifndef PMIO_REDIRECT_NODES_OPS_H
#define PMIO_REDIRECT_NODES_OPS_H

#include "client/client.h"

#define REDIRECT_NODES_VERSION 1
#define REDIRECT_NODES_LIBRARY "libpmio-redirect-nodes.so"
#define REDIRECT_NODES_SYMBOL "pmio_redirect_nodes"

/* all as in remote/remote.h */
struct redirect_nodes {
	int version;
	int (*open)(struct pmio *pm, const struct pmio_settings *s, const char *path, const struct client_open *how, struct pmio_file **out);
	int (*share)(struct pmio *pm, const struct pmio_settings *s, const char *path, const struct client_open *how, bool spill,
		     struct pmio_file **file, bool *found);
	int (*drain_all)(struct pmio_file *f);
	struct pmio_file *(*whole_here)(struct pmio_file *f);
	bool (*remove)(const struct pmio_settings *s, const char *path, const uint8_t own[16]);
	void (*forget)(void);
	void (*end)(void);
};

/* ---- timed.c: of libpmio-redirect-pool.so; as in pool_ops.h ------------------------------------- */

struct redirect_pool;
const struct redirect_pool *pool_timed(const struct redirect_pool *pool, const char *file);

/* ---- pool_nodes.c: of libpmio-redirect-pool.so ------------------------------------------------ */

/* NULL: it cannot be loaded, which was logged */
const struct redirect_nodes *pool_nodes(void);
/* the same, if it was needed already */
const struct redirect_nodes *pool_nodes_loaded(void);
/* in a child of fork */
void pool_nodes_forget(void);
/* the file of this descriptor (O_PATH will do) has a layout file; name: out, PATH_MAX bytes.  ours: see pmio_pfs_has_layout() */
bool pool_nodes_has(int fd, char *name, bool ours);
/* open a file where it is: 0; 1: in this node's pool; -EAGAIN: not yet; or an error, logged */
int pool_nodes_open(struct pmio *pm, int fd, const char *name, const struct client_open *how, struct pmio_file **out);
/* what this process has just opened in this node's pool is to be found by others, if the settings say so */
int pool_nodes_share(struct pmio *pm, int fd, const char *name, const struct client_open *how, struct pmio_file **file);

#endif
