/*
 * lookup.c -- requests with a descriptor: which file is it?
 *
 * A client has opened the file.  A worker reads the attributes of the descriptor; the loop then compares
 * them with the known files.  Attributes that were read before the end of one of the agent's own changes
 * to the PFS are not used: sizes and times may belong to any moment of that change.
 *
 * A new file needs no worker: its client has just created it, and the attributes that the kernel has
 * cached suffice.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uthash.h>
#include <utlist.h>

#include "agent/conn.h"
#include "agent/drain.h"
#include "agent/file.h"
#include "agent/file_seen.h"
#include "agent/idle.h"
#include "agent/jobs.h"
#include "agent/lookup.h"
#include "agent/pfs_fd.h"
#include "agent/reply.h"
#include "agent/request.h"
#include "agent/state.h"
#include "agent/syncs.h"
#include "core/error.h"

#define LOOKS_MAX 20 /* attempts during a drain: then the drain itself has to detect changes */

/* ---- in a worker ---------------------------------------------------------------- */

/* makes no call to a file system */
static void look_at_names(struct lookup *l)
{
	char name[PATH_MAX];

	l->nameless = pmio_pfs_is_nameless(l->pfs->fd, &l->st);
	l->sees_names = l->path && pmio_pfs_name(l->pfs->fd, name) == 0 && strcmp(name, l->path) == 0;
}

/*
 * Open the file again, keep the old descriptor's number, and take the lock that shows other pools this one: a client
 * takes it with descriptors of its own, but the locks of this one are the program's
 */
static int open_anew(struct lookup *l)
{
	int fd = pmio_pfs_open_anew(l->pfs->fd), rc;

	if (fd < 0)
		return fd;
	rc = dup3(fd, l->pfs->fd, O_CLOEXEC) < 0 ? -errno : 0;
	close(fd);
	if (rc < 0)
		return rc;
	l->anew = false;
	l->pfs->reads = pmio_pfs_rights(l->pfs->fd) != O_WRONLY;
	rc = pmio_pfs_take(l->pfs->fd, l->uuid, pmio_pfs_use_of(l->flags & PMIO_OPEN_WRITE, l->flags & PMIO_OPEN_SHARED));
	return rc == -EBUSY ? PMIO_EOTHER : rc;
}

static void run_look(struct job *job)
{
	struct lookup *l = (struct lookup *)job;

	l->rc = l->anew ? open_anew(l) : 0;
	if (l->rc < 0)
		return;
	l->rc = pmio_pfs_identify(l->pfs->fd, &l->st, &l->id);
	if (l->rc < 0)
		return;
	if (!S_ISREG(l->st.st_mode))
		l->rc = S_ISDIR(l->st.st_mode) ? -EISDIR : -EINVAL;
	look_at_names(l);
	if (l->rc == 0 && l->keeps)
		l->rc = pmio_pfs_keep(l->pfs->fd, l->path);
}

/* ---- in the loop ------------------------------------------------------------------ */

static void looked(struct agent *a, struct request *r);

static void look(struct agent *a, struct lookup *l)
{
	l->changes = a->pfs_changes;
	request_step(a, &l->req, run_look, looked);
}

/* no program has it open, and it is being drained: the drain's own writes do not count as a change */
static int compare_with_drain(struct agent *a, struct lookup *l)
{
	struct file *f = files_find(a, &l->id);
	int rc;

	if (!f || f->nr_handles || !f->drain)
		return 0;
	rc = drain_compare(f, &l->st, &l->drain_steps);
	if (rc == PMIO_ECHANGED && l->rc == 0 && (l->flags & PMIO_OPEN_WRITE) && l->st.st_size == 0)
		f->on_pfs.stale = true; /* the drain will stop, and then revalidate() decides */
	else if (rc == PMIO_ECHANGED && l->rc == 0)
		l->rc = files_say_changed(f);
	return rc == -EAGAIN && ++l->nr_looks < LOOKS_MAX ? rc : 0;
}

static void end(struct agent *a, struct conn *c, struct lookup *l)
{
	if (c && l->go_on(a, c, l))
		return;
	pfs_put(a, &l->pfs);
	request_free(a, &l->req);
}

void lookup_defer(struct agent *a, struct request **list, struct lookup *l)
{
	pfs_put(a, &l->pfs);
	DL_APPEND(*list, &l->req);
}

static void looked(struct agent *a, struct request *r)
{
	struct lookup *l = (struct lookup *)r;
	struct conn *c = agent_conn(a, r->conn_id);

	if (c && l->rc == 0 && (l->changes != a->pfs_changes || compare_with_drain(a, l) == -EAGAIN)) {
		look(a, l);
		return;
	}
	end(a, c, l);
}

/*
 * An empty file that is not known: there is nothing to compare.  Every other file is left to a worker, which
 * gets the file system's answer, not the kernel's cached one.
 */
static bool look_at_new(struct agent *a, struct lookup *l)
{
	struct file *f;

	if (!l->path || l->anew || (l->req.msg->open.flags & PMIO_OPEN_SHARED) ||
	    pmio_pfs_identify_cached(l->pfs->fd, &l->st, &l->id) < 0 || !S_ISREG(l->st.st_mode) ||
	    l->st.st_size != 0 || l->st.st_nlink != 1)
		return false;
	HASH_FIND(hh_ino, a->by_inode, &l->id.ino, sizeof(l->id.ino), f);
	if (f)
		return false;
	look_at_names(l);
	return true;
}

void lookup_start(struct agent *a, struct conn *c, const union pmio_any_msg *msg, const char *path, int fd,
		  bool (*go_on)(struct agent *a, struct conn *c, struct lookup *l))
{
	struct lookup *l = request_new(a, c, msg, sizeof(*l));
	int rc;

	if (!l) {
		pfs_close(a, fd);
		return;
	}
	l->anew = path && (msg->open.flags & PMIO_OPEN_BY_FD);
	l->pfs = pfs_adopt(a, fd, l->anew, &rc);
	if (!l->pfs) {
		request_finish(a, &l->req, rc);
		return;
	}
	l->path = path ? (const char *)l->req.msg + (path - (const char *)msg) : NULL;
	l->go_on = go_on;
	memcpy(l->uuid, a->view->super->uuid, sizeof(l->uuid));
	l->flags = path ? msg->open.flags : 0;
	if ((l->flags & PMIO_OPEN_NEW) && !syncs_has_room(a)) {
		l->keeps = true;
		l->flags &= ~PMIO_OPEN_NEW;
	}
	if (!l->keeps && look_at_new(a, l))
		end(a, c, l);
	else
		look(a, l);
}

struct file *lookup_find(struct agent *a, const struct lookup *l)
{
	struct file_key key = { l->id.dev, l->id.ino };
	struct file *f = files_find(a, &l->id), *old;

	if (f)
		return f;
	HASH_FIND(hh, a->files, &key, sizeof(key), old);
	if (old) {
		files_lost_name(a, old);
		return NULL;
	}
	HASH_FIND(hh_ino, a->by_inode, &key.ino, sizeof(key.ino), f);
	return f && f->nr_handles == 0 && files_adopt_device(a, f, &l->st) ? f : NULL;
}
