/*
 * other_nodes.h -- files that may be open or stored on other nodes, for processes that open files one at a time by
 * descriptor (redirected programs, mounts)
 *
 * lib/remote is a layer above this one and is not loaded in every process: the function given to elsewhere_init() loads it
 * when it is needed.  For a file that is not on other nodes the cost is one lookup of a layout file.
 */
#ifndef PMIO_CLIENT_OTHER_NODES_H
#define PMIO_CLIENT_OTHER_NODES_H

#include "client/client.h"

/* functions of remote/remote.h */
struct elsewhere_nodes {
	int (*open)(struct pmio *pm, const struct pmio_settings *s, const char *path, const struct client_open *how, struct pmio_file **out);
	int (*share)(struct pmio *pm, const struct pmio_settings *s, const char *path, const struct client_open *how, bool spill,
		     struct pmio_file **file, bool *found);
	int (*drain_all)(struct pmio_file *f);
	struct pmio_file *(*whole_here)(struct pmio_file *f);
	bool (*remove)(const struct pmio_settings *s, const char *path, const uint8_t own[16]);
	void (*forget)(void);
	void (*end)(void);
};

/* to be called first; get: returns NULL if the functions are not available, which is logged */
void elsewhere_init(const struct elsewhere_nodes *(*get)(void));

/*
 * elsewhere_open -- open the file of a descriptor, on this node or where other nodes have it, and let other nodes find it
 * if the settings require that
 *
 * fd    may be O_PATH unless how->by_fd is set.  name: the file's
 * how   no_wait must not be set
 * Waits some seconds for a file that other processes are opening in another way.  Returns 0; or an error, which is not
 * logged, except for PMIO_EOTHER.
 */
int elsewhere_open(struct pmio *pm, int fd, const char *name, const struct client_open *how, struct pmio_file **out);

/*
 * does the file of this descriptor (O_PATH suffices) have a layout file?  name: out, PATH_MAX bytes.  ours: see
 * pmio_pfs_has_layout()
 */
bool elsewhere_has(int fd, char *name, bool ours);

/*
 * elsewhere_find -- open it, for reading only, if other nodes have data of it
 *
 * fd     O_PATH suffices
 * marks  also if it has a dirty mark of another pool, which is polled briefly, as it may be removed soon
 * Returns 0: all of it is open as *out; 1: other nodes have no data of it; or an error, logged.
 */
int elsewhere_find(struct pmio *pm, int fd, bool marks, struct pmio_file **out);

/* pmio_drain() of all pieces, on all nodes; for any open file */
int elsewhere_drain(struct pmio_file *f);
/* the file whose frames can be mapped on this node; NULL: pieces of it are on other nodes */
struct pmio_file *elsewhere_here(struct pmio_file *f);
/*
 * elsewhere_remove -- the file is about to lose its last name: discard the data that other nodes have of it
 *
 * path  absolute.  Returns 0; 1: another node has removed that name, too; or an error, logged.
 */
int elsewhere_remove(struct pmio *pm, const char *path);

#endif
