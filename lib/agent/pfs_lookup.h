/*
 * pfs_lookup.h -- a worker opens a file that no client has open, by its name, and compares its identity
 */
#ifndef PMIO_AGENT_PFS_LOOKUP_H
#define PMIO_AGENT_PFS_LOOKUP_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "agent/pfs_fd.h"
#include "pfs/pfs.h"

struct agent;
struct file;

struct pfs_look {
	char path[PATH_MAX];	/* in: the last known name; out: the name it was found under */
	struct pmio_pfs_id id;	/* in */
	struct pfs_fd *pfs;	/* out, owned: NULL if rc < 0 */
	struct stat st;		/* out: of pfs */
	bool nameless;		/* out: its last name was removed; with rc < 0 the file does not exist any more */
	int rc;			/* 0; -ENOENT: not found; or the error of the open */
};

/* f's name and identity now, for a worker; NULL: out of memory */
struct pfs_look *pfs_look_new(const struct file *f);
/* in a worker: opens it for writing or, if that is not permitted, for reading */
void pfs_look_run(struct pfs_look *l);
/* in a worker: the descriptor of held or, if that is NULL, the one that l opens; 0 or -errno */
int pfs_look_hold(struct pfs_look *l, struct pfs_fd *held, int *fd);
void pfs_look_delete(struct agent *a, struct pfs_look **l); /* takes a pointer to NULL */

#endif
