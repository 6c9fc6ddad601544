/*
 * lookup.h -- requests with a descriptor: which file is it?  Used by open.c and drain requests, which continue when that is
 * known
 */
#ifndef PMIO_AGENT_LOOKUP_H
#define PMIO_AGENT_LOOKUP_H

#include "agent/request.h"
#include "agent/state.h"

struct lookup {
	struct request req;	/* first */
	const char *path;	/* in req; the file's name as the client saw it */
	uint32_t flags;		/* OPEN: PMIO_OPEN_* */
	uint64_t changes;	/* a->pfs_changes when st was asked for */
	struct pfs_fd *pfs;	/* owned */
	uint8_t uuid[16];	/* the pool's */
	bool anew;		/* pfs is a program's own descriptor: open the file again */
	int rc;			/* 0, or the error why the following are not set: */
	struct stat st;
	struct pmio_pfs_id id;
	bool nameless;		/* its last name was removed */
	bool sees_names;	/* the file has the same name for the agent */
	bool keeps;		/* the worker itself makes the name durable, as too many files wait for that */
	unsigned nr_looks;
	uint64_t drain_steps;	/* steps of the file's drain when this attempt began; 0: not known */
	bool (*go_on)(struct agent *a, struct conn *c, struct lookup *l); /* answers; true: it has deferred the request instead */
};

/* takes fd over; path: in msg, or NULL */
void lookup_start(struct agent *a, struct conn *c, const union pmio_any_msg *msg, const char *path, int fd,
		  bool (*go_on)(struct agent *a, struct conn *c, struct lookup *l));
/* defer the request; everything else is released */
void lookup_defer(struct agent *a, struct request **list, struct lookup *l);
/* NULL: not known.  An earlier file with this inode number is handled as one that has lost its last name. */
struct file *lookup_find(struct agent *a, const struct lookup *l);

#endif
