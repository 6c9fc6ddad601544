/*
 * lookup.h -- requests with a descriptor: which file is it?  For those that go on when that is known: open.c, drain requests
 */
#ifndef PMIO_AGENT_LOOKUP_H
#define PMIO_AGENT_LOOKUP_H

#include "agent/agent_impl.h"

struct lookup {
	struct job job;		/* first */
	struct parked *req;	/* owned */
	const char *path;	/* in req; its name, as the client saw it */
	uint32_t flags;		/* OPEN: PMIO_OPEN_* */
	uint64_t changes;	/* a->pfs_changes when st was asked for */
	struct pfs_fd *pfs;	/* owned */
	int rc;			/* 0, or why there is none of these: */
	struct stat st;
	struct pmio_pfs_id id;
	bool nameless;		/* its last name has gone */
	bool sees_names;	/* it has the same name for us */
	bool keeps;		/* the worker makes its name durable: there are too many that wait for that */
	unsigned nr_looks;
	uint64_t drain_steps;	/* of the drain of the file, when this look began; 0: not known */
	void (*go_on)(struct agent *a, struct conn *c, struct lookup *l);
};

/* takes fd over; path: in msg, or NULL; go_on answers, unless it keeps l->req (and clears it) or l->pfs */
void lookup_start(struct agent *a, struct conn *c, const union pmio_any_msg *msg, const char *path, int fd,
		  void (*go_on)(struct agent *a, struct conn *c, struct lookup *l));
/* NULL: not known.  What had the inode's number before has gone with its last name. */
struct file *lookup_find(struct agent *a, const struct lookup *l);

#endif
