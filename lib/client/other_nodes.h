/*
 * other_nodes.h -- files that other nodes have, or may have, for processes that open them one by one by descriptors
 *
 * lib/remote does what concerns other nodes.  It is above this, and not in every process: so whoever uses this says how it
 * is got, and what does not need it costs a look for a layout file.
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

/* before all others; get: NULL if they cannot be had, which is logged */
void elsewhere_init(const struct elsewhere_nodes *(*get)(void));

/*
 * elsewhere_open -- open the file of a descriptor, on this node or where others have it, and let others find it if the
 * settings say so
 *
 * fd    O_PATH will do without how->by_fd.  name: the file's
 * how   without no_wait
 * Waits some seconds for a file that others are opening in another way.  Returns 0; or an error, not logged but for PMIO_EOTHER.
 */
int elsewhere_open(struct pmio *pm, int fd, const char *name, const struct client_open *how, struct pmio_file **out);

/* the file of this descriptor (O_PATH will do) has a layout file; name: out, PATH_MAX bytes.  ours: see pmio_pfs_has_layout() */
bool elsewhere_has(int fd, char *name, bool ours);

/*
 * elsewhere_find -- open it for reading only if other nodes have something of it
 *
 * fd     O_PATH will do
 * marks  the mark that data wait in another pool counts, too: it is waited for a moment, as it may be about to go
 * Returns 0: all of it is open as *out; 1: other nodes have nothing of it; or an error, logged.
 */
int elsewhere_find(struct pmio *pm, int fd, bool marks, struct pmio_file **out);

/* pmio_drain() of all pieces, on all nodes; of any open file */
int elsewhere_drain(struct pmio_file *f);
/* the file whose frames can be mapped here; NULL: pieces of it are on other nodes */
struct pmio_file *elsewhere_here(struct pmio_file *f);
/*
 * elsewhere_remove -- the file is about to lose its last name: what other nodes have of it goes
 *
 * path  absolute.  Returns 0; 1: another node has removed that name, too; or an error, logged.
 */
int elsewhere_remove(struct pmio *pm, const char *path);

#endif
