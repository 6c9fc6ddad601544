/*
 * pfs_fd.h -- descriptors of PFS files: shared by jobs and files; the loop does not open, close or examine them
 */
#ifndef PMIO_AGENT_PFS_FD_H
#define PMIO_AGENT_PFS_FD_H

#include <stdbool.h>

#include "daemon/workers.h"

struct agent;

/*
 * pfs_limit_fds -- raise the limit of descriptors as far as the system allows; call it
 * before the others
 *
 * Each rank and each open file takes one.  Some are reserved: one for each drain, which
 * needs it while it ends, and one for refusing clients.
 */
void pfs_limit_fds(unsigned nr_drains);
bool pfs_fd_is_reserved(int fd);
/*
 * the upper half of the descriptors is for programs and their open files: a file that is not open keeps none of these
 */
bool pfs_fd_is_high(int fd);

/* an open PFS file, shared by jobs and the file */
struct pfs_fd {
	struct job job;		/* first; closes it */
	int fd;
	bool writes, reads;	/* the access it was opened for */
	unsigned refs;		/* counted by the loop */
};

struct pfs_fd *pfs_wrap(int fd); /* NULL: out of memory, and fd is closed */
/*
 * a descriptor that a client has passed, or NULL with *rc: not usable, or out of memory; fd is closed then.
 * anew: open the file again through it
 */
struct pfs_fd *pfs_adopt(struct agent *a, int fd, bool anew, int *rc);
struct pfs_fd *pfs_get(struct pfs_fd *p);
/* in the loop; clears *p; *p may be NULL.  When the last reference goes, a worker closes the descriptor. */
void pfs_put(struct agent *a, struct pfs_fd **p);
void pfs_close(struct agent *a, int fd); /* the same for a bare descriptor; -1: none */

#endif
