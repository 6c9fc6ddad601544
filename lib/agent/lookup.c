/*
 * lookup.c -- requests with a descriptor: which file is it?
 *
 * A client has opened the file.  A worker looks at the descriptor; the loop then compares
 * what it saw with the files that we know.  What was seen before a change of our own to the
 * PFS had ended does not count: sizes and times are those of somebody else's change, or of none.
 *
 * A new file needs no worker: its client has just created it, and what the kernel knows of it is enough.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

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

#define LOOKS_MAX 20 /* while a drain goes on: it will see for itself */

/* ---- in a worker ---------------------------------------------------------------- */

/* asks no file system */
static void look_at_names(struct lookup *l)
{
	char name[PATH_MAX];

	l->nameless = pmio_pfs_is_nameless(l->pfs->fd, &l->st);
	l->sees_names = l->path && pmio_pfs_name(l->pfs->fd, name) == 0 && strcmp(name, l->path) == 0;
}

static void run_look(struct job *job)
{
	struct lookup *l = (struct lookup *)job;

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

static void looked(struct agent *a, struct job *job);

static void look(struct agent *a, struct lookup *l)
{
	a->nr_jobs++;
	l->changes = a->pfs_changes;
	l->job.kind = JOB_CALL;
	l->job.run = run_look;
	l->job.done = looked;
	workers_submit(a->workers, &l->job);
}

/* nobody has it open, and it is just being drained: by what we write ourselves it is not changed */
static int compare_with_drain(struct agent *a, struct lookup *l)
{
	struct file *f = files_find(a, &l->id);
	int rc;

	if (!f || f->nr_handles || !f->drain)
		return 0;
	rc = drain_compare(f, &l->st, &l->drain_steps);
	if (rc == PMIO_ECHANGED && l->rc == 0)
		l->rc = files_say_changed(f);
	return rc == -EAGAIN && ++l->nr_looks < LOOKS_MAX ? rc : 0;
}

static void end(struct agent *a, struct conn *c, struct lookup *l)
{
	if (c)
		l->go_on(a, c, l);
	pfs_put(a, &l->pfs);
	free(l->req);
	free(l);
}

static void looked(struct agent *a, struct job *job)
{
	struct lookup *l = (struct lookup *)job;
	struct conn *c = agent_conn(a, l->req->conn_id);

	a->nr_jobs--;
	if (c && l->rc == 0 && (l->changes != a->pfs_changes || compare_with_drain(a, l) == -EAGAIN)) {
		look(a, l);
		return;
	}
	end(a, c, l);
}

/*
 * A file that is empty, and that we do not know.  There is nothing to compare; all else is left to a worker,
 * which gets what the file system says, not what the kernel remembers.
 */
static bool look_at_new(struct agent *a, struct lookup *l)
{
	struct file *f;

	if (!l->path || (l->req->msg.open.flags & PMIO_OPEN_SHARED) ||
	    pmio_pfs_identify_cached(l->pfs->fd, &l->st, &l->id) < 0 || !S_ISREG(l->st.st_mode) ||
	    l->st.st_size != 0 || l->st.st_nlink != 1)
		return false;
	HASH_FIND(hh_ino, a->by_inode, &l->id.ino, sizeof(l->id.ino), f);
	if (f)
		return false;
	look_at_names(l);
	return true;
}

/* takes fd over */
static void start(struct agent *a, struct conn *c, const union pmio_any_msg *msg, const char *path, int fd,
		  void (*go_on)(struct agent *a, struct conn *c, struct lookup *l))
{
	struct lookup *l = calloc(1, sizeof(*l));
	int rc = -ENOMEM;

	if (l)
		l->pfs = pfs_adopt(a, fd, &rc);
	else
		pfs_close(a, fd);
	if (l && l->pfs)
		l->req = parked_new(c, msg);
	if (!l || !l->req) {
		if (l)
			pfs_put(a, &l->pfs);
		free(l);
		agent_reply_status(a, c, &msg->hdr, rc < 0 ? rc : -ENOMEM);
		return;
	}
	l->path = path ? (const char *)&l->req->msg + (path - (const char *)msg) : NULL;
	l->go_on = go_on;
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

/* NULL: not known.  What had the inode's number before has gone with its last name. */
static struct file *find_file(struct agent *a, const struct lookup *l)
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

/* ---- DRAIN -------------------------------------------------------------------------- */

static void drain_it(struct agent *a, struct conn *c, struct lookup *l)
{
	struct file *f = l->rc == 0 ? find_file(a, l) : NULL;

	if (!f) {
		agent_reply_status(a, c, &l->req->msg.hdr, l->rc < 0 ? l->rc : -ESRCH);
		return;
	}
	if (l->pfs->writes)
		files_adopt_pfs(a, f, &l->pfs);
	files_drain(a, c, f, &l->req->msg);
}

void lookup_drain(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int fd)
{
	start(a, c, msg, NULL, fd, drain_it);
}

#define WHEN_IDLE 1 /* from revalidate() */

/* ---- OPEN ---------------------------------------------------------------------------- */

/* we were cut off while we changed the PFS file: what we knew of it is old, or never came to be */
static void take_size(struct agent *a, struct file *f, const struct stat *st)
{
	uint64_t size = pmio_pool_file_size(a->pool, f->slot);

	if (f->on_pfs.cut_pending && f->on_pfs.size < size)
		size = f->on_pfs.size;
	f->on_pfs.size = (uint64_t)st->st_size < size ? (uint64_t)st->st_size : size;
}

/* data wait for it, and nobody has it open: is the PFS file still the one for which they are? */
static int revalidate_waiting(struct agent *a, struct file *f, const struct lookup *l)
{
	/* where births are not told, the same number under another name may be another file */
	bool is_it = f->pfs || (f->birth_ns && l->id.birth_ns) || strcmp(f->path, l->path) == 0;

	if (f->on_pfs.changed || (f->on_pfs.busy ? !is_it : !files_same_content(f, &l->st)))
		return files_say_changed(f);
	if (f->on_pfs.busy)
		take_size(a, f, &l->st);
	return 0;
}

/*
 * Nobody has the file open: is the PFS file still what we knew?  WHEN_IDLE: a job of ours has just
 * touched it, or somebody else has, and when the job has ended another look tells.  A drain that is
 * on its way has been told of a change by others, and at its end what is cached goes.
 */
static int revalidate(struct agent *a, struct lookup *l, struct file **pf)
{
	struct file *f = *pf;
	bool is_clean = f->state == PMIO_FILE_CLEAN, differs = !files_same_as_seen(f, &l->st);
	int rc;

	if (f->on_pfs.changed)
		return files_say_changed(f);
	if ((f->drain && f->on_pfs.stale) ||
	    (f->nr_jobs && is_clean && !f->drain && f->busy != FILE_CUTTING && !f->on_pfs.busy && differs))
		return WHEN_IDLE;
	/* our own: what we know is newer, unless it is from a catalog */
	if (f->drain || f->busy == FILE_CUTTING || (f->nr_jobs && is_clean)) {
		if (f->recovered && f->on_pfs.busy)
			take_size(a, f, &l->st);
		return 0;
	}
	if (!is_clean) {
		rc = revalidate_waiting(a, f, l);
		if (rc < 0)
			return rc;
	} else if (f->on_pfs.busy || file_is_removed(f) || differs) {
		if (!files_is_stale(f)) /* else it was said when it was seen */
			pmio_info("agent: %s was changed on the file system: dropping what the pool had of it",
				  f->path);
		files_forget(a, f);
		return files_new(a, l->path, l->flags, &l->st, l->id.birth_ns, pf);
	}
	files_adopt_name(a, f, l->path); /* it may have been renamed */
	return 0;
}

/* 0, WHEN_IDLE, or an error */
static int find_or_add(struct agent *a, struct lookup *l, struct file **out)
{
	*out = find_file(a, l);
	if (!*out)
		return files_new(a, l->path, l->flags, &l->st, l->id.birth_ns, out);
	return (*out)->nr_handles ? 0 : revalidate(a, l, out);
}

/* a small file is written right after it was created: that saves it a request */
static int64_t claim_first(struct agent *a, const struct handle *h)
{
	struct chunk *ch = NULL;
	int rc;

	if ((h->flags & PMIO_OPEN_FIRST) && (h->flags & PMIO_OPEN_WRITE) && !h->file->shared &&
	    pmio_pool_file_size(a->pool, h->file->slot) == 0)
		ch = files_claim(a, h->file, 0, PMIO_CLAIM_WRITE | PMIO_CLAIM_ZERO, true, true, &rc);
	if (!ch || ch->frame < 0)
		return PMIO_CLAIM_NONE;
	fill_zeros(a, h->file, ch);
	return ch->frame;
}

/* fd: the agent's own, -1: the client has one */
static void reply(struct agent *a, struct conn *c, const union pmio_any_msg *msg, const struct handle *h,
		  int error, int fd)
{
	union pmio_any_msg reply;

	pmio_proto_reply(&reply, &msg->hdr, 0);
	reply.open_reply.handle = h->id;
	reply.open_reply.size = pmio_pool_file_size(a->pool, h->file->slot);
	reply.open_reply.dev = h->file->key.dev;
	reply.open_reply.ino = h->file->key.ino;
	reply.open_reply.slot = h->file->slot;
	reply.open_reply.error = error;
	reply.open_reply.first = claim_first(a, h);
	agent_reply(a, c, &reply, fd);
}

static void attach(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg,
		   struct pfs_fd **pfs)
{
	bool has_fd = *pfs;
	int error = f->error; /* who attaches to write begins anew */
	struct handle *h;
	int rc = files_attach(a, c, f, &msg->open, pfs, &h);

	if (rc < 0) {
		pmio_dbg("agent: open %s for process %u: %s", msg->open.path, c->pid, pmio_strerror(rc));
		agent_reply_status(a, c, &msg->hdr, rc);
		return;
	}
	reply(a, c, msg, h, error, !has_fd && f->pfs ? f->pfs->fd : -1);
}

/* an earlier agent was cut off in its removal, which we have begun to end */
static bool is_just_going(struct agent *a, const struct lookup *l)
{
	struct file *f = files_find(a, &l->id);

	return f && f->removal == FILE_REMOVAL_RESUMED;
}

/* the request comes anew when the file's jobs have ended, with a descriptor as at first */
static int open_when_idle(struct agent *a, struct file *f, struct lookup *l)
{
	l->req->fd = fcntl(l->pfs->fd, F_DUPFD_CLOEXEC, 3);
	if (l->req->fd < 0)
		return pfs_shrink(a) ? -EAGAIN : -EMFILE;
	DL_APPEND(f->retries, l->req);
	l->req = NULL;
	return 0;
}

static void open_it(struct agent *a, struct conn *c, struct lookup *l)
{
	const union pmio_any_msg *msg = &l->req->msg;
	struct file *f = NULL;
	int rc = l->rc;

	if (rc == 0 && is_just_going(a, l)) {
		DL_APPEND(a->after_removals, l->req);
		l->req = NULL;
		return;
	}
	if (rc == 0)
		rc = find_or_add(a, l, &f);
	if (rc == WHEN_IDLE) {
		rc = open_when_idle(a, f, l);
		if (rc == 0)
			return;
	}
	if (rc < 0) {
		pmio_dbg("agent: open %s for process %u: %s", l->path, c->pid, pmio_strerror(rc));
		agent_reply_status(a, c, &msg->hdr, rc);
		return;
	}
	f->sees_names = l->sees_names;
	if (l->flags & PMIO_OPEN_NEW)
		syncs_later(a, f, true, false); /* attach() records it */
	attach(a, c, f, msg, &l->pfs);
}

/* a file of several nodes whose name has gone since: who has it open elsewhere comes to this node only now */
static void open_nameless(struct agent *a, struct conn *c, const union pmio_any_msg *msg)
{
	struct pfs_fd *none = NULL;
	struct file *f;

	for (f = a->files; f; f = f->hh.next) {
		if (f->shared && f->nr_handles && strcmp(f->path, msg->open.path) == 0)
			break;
	}
	if (f && (msg->open.flags & PMIO_OPEN_SHARED))
		attach(a, c, f, msg, &none);
	else
		agent_reply_status(a, c, &msg->hdr, -ENOENT);
}

/* what was closed since it came may have made room for a lower number */
static int lower_fd(struct agent *a, int fd)
{
	int lower = pfs_fd_is_reserved(fd) ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;

	if (lower < 0)
		return fd;
	pfs_close(a, fd);
	return lower;
}

void lookup_open(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int fd)
{
	if (fd == PMIO_FD_LOST) { /* the client has it yet */
		agent_reply_status(a, c, &msg->hdr, pfs_shrink(a) ? -EAGAIN : -EMFILE);
		return;
	}
	if (fd < 0) {
		open_nameless(a, c, msg);
		return;
	}
	fd = lower_fd(a, fd);
	if (!pfs_fd_is_reserved(fd)) {
		start(a, c, msg, msg->open.path, fd, open_it);
	} else if (pfs_shrink(a)) {
		parked_add(a, &a->no_fds, c, msg, fd);
	} else {
		pfs_close(a, fd);
		agent_reply_status(a, c, &msg->hdr, -EMFILE);
	}
}
