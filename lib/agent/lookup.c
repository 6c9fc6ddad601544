/*
 * lookup.c -- requests that name a path: which file is it?
 *
 * A worker looks at the path; the loop then compares what it saw with the files
 * that we know.  If that needs a look at another name, the worker is sent again.
 * What was seen before a change of our own to the PFS had ended does not count:
 * sizes and times are those of somebody else's change, or of none.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent_impl.h"

/* answers beside 0 and errors */
enum {
	LOOK_AT_OTHER = 1, /* a worker has to look at another name first */
	FIND_AGAIN,	   /* a file's key has changed */
};

struct lookup {
	struct job job;		/* first */
	struct parked *req;	/* owned */
	const char *path;	/* in req */
	uint64_t changes;	/* a->pfs_changes when st was asked for */
	int rc;			/* 0, or why there is no st */
	struct stat st;		/* of path, links followed */
	struct pfs_fd *pfs;	/* OPEN: owned */
	bool must_exist;	/* OPEN: data wait for a file of this name, which is not another, new one */
	char *other;		/* owned: another name, and what it leads to */
	struct stat other_st;
	int other_rc;
	int (*go_on)(struct agent *a, struct conn *c, struct lookup *l); /* LOOK_AT_OTHER: not done */
};

/* ---- in a worker ---------------------------------------------------------------- */

static void run_open(struct job *job)
{
	struct lookup *l = (struct lookup *)job;
	const struct pmio_open_msg *m = &l->req->msg.open;

	l->rc = pfs_open(l->path, l->must_exist ? m->flags & ~(uint32_t)PMIO_OPEN_CREATE : m->flags, m->mode,
			 &l->st, &l->pfs);
}

static void run_stat(struct job *job)
{
	struct lookup *l = (struct lookup *)job;

	l->rc = (l->pfs ? fstat(l->pfs->fd, &l->st) : stat(l->path, &l->st)) < 0 ? -errno : 0;
}

static void run_stat_other(struct job *job)
{
	struct lookup *l = (struct lookup *)job;

	l->other_rc = stat(l->other, &l->other_st) < 0 ? -errno : 0;
}

/* ---- in the loop ------------------------------------------------------------------ */

/* data wait for a file of this name that is no longer there: do not open another one beside it */
static struct file *find_waiting(struct agent *a, const char *path)
{
	struct file *f;

	for (f = a->files; f; f = f->hh.next) {
		if (f->nr_handles == 0 && f->state != PMIO_FILE_CLEAN && strcmp(f->path, path) == 0)
			break;
	}
	return f;
}

static void looked(struct agent *a, struct job *job);

static void look(struct agent *a, struct lookup *l, void (*run)(struct job *job))
{
	a->nr_jobs++;
	if (run != run_stat_other)
		l->changes = a->pfs_changes;
	l->job.kind = JOB_CALL;
	l->job.run = run;
	l->job.done = looked;
	workers_submit(a->workers, &l->job);
}

static void looked(struct agent *a, struct job *job)
{
	struct lookup *l = (struct lookup *)job;
	struct conn *c = agent_conn(a, l->req->conn_id);

	a->nr_jobs--;
	if (c && l->rc == 0 && l->changes != a->pfs_changes) {
		look(a, l, run_stat);
		return;
	}
	if (c && l->rc == -ENOENT && l->must_exist && !find_waiting(a, l->path)) {
		l->must_exist = false; /* what waited has come through, or was given up */
		look(a, l, run_open);
		return;
	}
	if (c && l->rc == -EMFILE && a->nr_closing) {
		DL_APPEND(a->no_fds, l->req);
		l->req = NULL;
	} else if (c && l->go_on(a, c, l) == LOOK_AT_OTHER) {
		look(a, l, run_stat_other);
		return;
	}
	pfs_put(a, &l->pfs);
	free(l->other);
	free(l->req);
	free(l);
}

static void start(struct agent *a, struct conn *c, const union pmio_any_msg *msg, const char *path,
		  bool must_exist, void (*run)(struct job *job),
		  int (*go_on)(struct agent *a, struct conn *c, struct lookup *l))
{
	struct lookup *l = calloc(1, sizeof(*l));

	if (l)
		l->req = parked_new(c, msg);
	if (!l || !l->req) {
		free(l);
		agent_reply_status(a, c, &msg->hdr, -ENOMEM);
		return;
	}
	l->path = (const char *)&l->req->msg + (path - (const char *)msg);
	l->must_exist = must_exist;
	l->go_on = go_on;
	look(a, l, run);
}

/* the path led to f.  Does the name by which we know it still do so, too? */
static int has_its_name(struct agent *a, struct lookup *l, struct file *f, bool *has)
{
	*has = strcmp(f->path, l->path) == 0;
	if (*has)
		return 0;
	if (!l->other || strcmp(l->other, f->path) != 0) {
		free(l->other);
		l->other = strdup(f->path);
		return l->other ? LOOK_AT_OTHER : -ENOMEM;
	}
	if (l->other_rc == 0 && l->other_st.st_dev == f->key.dev)
		*has = l->other_st.st_ino == f->key.ino;
	else if (l->other_rc == 0 && files_adopt_device(a, f, &l->other_st))
		return FIND_AGAIN; /* and what the path leads to now has its old number */
	return 0;
}

static struct file *find_name(struct agent *a, const char *path)
{
	struct file *f;

	for (f = a->files; f; f = f->hh.next) {
		if (strcmp(f->path, path) == 0)
			break;
	}
	return f;
}

/* by what the path leads to; NULL: not known */
static struct file *find_inode(struct agent *a, const struct lookup *l)
{
	struct file_key key = { l->st.st_dev, l->st.st_ino };
	struct file *f;

	HASH_FIND(hh, a->files, &key, sizeof(key), f);
	if (f)
		return f;
	f = find_name(a, l->path);
	return f && files_adopt_device(a, f, &l->st) ? f : NULL;
}

/* ---- DRAIN -------------------------------------------------------------------------- */

static int find_known(struct agent *a, struct lookup *l, struct file **out, bool *has_name)
{
	int rc;

	*has_name = true;
	do {
		*out = l->rc == 0 ? find_inode(a, l) : NULL;
		rc = *out ? has_its_name(a, l, *out, has_name) : 0;
	} while (rc == FIND_AGAIN);
	if (!*out)
		*out = find_name(a, l->path);
	return rc == 0 && !*out ? -ESRCH : rc;
}

static int drain_it(struct agent *a, struct conn *c, struct lookup *l)
{
	struct file *f;
	bool has_name;
	int rc = find_known(a, l, &f, &has_name);

	if (rc == LOOK_AT_OTHER)
		return rc;
	if (rc < 0) {
		agent_reply_status(a, c, &l->req->msg.hdr, rc);
		return 0;
	}
	if (!has_name)
		files_adopt_name(a, f, l->path); /* it was renamed */
	files_drain(a, c, f, &l->req->msg);
	return 0;
}

void lookup_drain(struct agent *a, struct conn *c, const union pmio_any_msg *msg)
{
	start(a, c, msg, msg->path.path, false, run_stat, drain_it);
}

/* ---- OPEN ---------------------------------------------------------------------------- */

/* what waits was written to this very content; a rename or chmod changes only ctime */
static bool same_content(const struct file *f, const struct stat *st)
{
	return (uint64_t)st->st_size == f->pfs_size &&
	       st->st_mtim.tv_sec == f->seen.st_mtim.tv_sec &&
	       st->st_mtim.tv_nsec == f->seen.st_mtim.tv_nsec;
}

static int refuse_changed(const struct file *f)
{
	pmio_err("agent: %s was changed on the file system, but data for it wait in the pool: "
		 "`pmio drain` writes them over it, `pmio rm` gives them up", f->path);
	return PMIO_ECHANGED;
}

/* we were cut off while we changed the PFS file: what we knew of it is old, or never came to be */
static void take_size(struct agent *a, struct file *f, const struct stat *st)
{
	uint64_t size = pmio_pool_file_size(a->pool, f->slot);

	if (f->cut_pending && f->pfs_size < size)
		size = f->pfs_size;
	f->pfs_size = (uint64_t)st->st_size < size ? (uint64_t)st->st_size : size;
}

/* data wait for it, and nobody has it open: is the PFS file still the one for which they are? */
static int revalidate_waiting(struct agent *a, struct file *f, const struct stat *st, bool has_name)
{
	if (f->busy_on_media ? !has_name : !same_content(f, st))
		return refuse_changed(f);
	if (f->busy_on_media)
		take_size(a, f, st);
	return 0;
}

/* nobody has the file open: is the PFS file still what we knew? */
static int revalidate(struct agent *a, struct lookup *l, struct file **pf)
{
	struct file *f = *pf;
	bool has_name;
	int rc;

	if (f->nr_jobs) { /* our own: what we know is newer, unless it is from a catalog */
		if (f->recovered && f->busy_on_media)
			take_size(a, f, &l->st);
		return 0;
	}
	rc = has_its_name(a, l, f, &has_name);
	if (rc)
		return rc;
	if (f->state != PMIO_FILE_CLEAN) {
		rc = revalidate_waiting(a, f, &l->st, has_name);
		if (rc < 0)
			return rc;
	} else if (f->busy_on_media || f->discard || !files_same_as_seen(f, &l->st)) {
		pmio_info("agent: %s was changed on the file system: dropping what the pool had of it",
			  f->path);
		files_forget(a, f);
		return files_new(a, l->path, &l->st, pf);
	}
	if (!has_name)
		files_adopt_name(a, f, l->path); /* it was renamed */
	return 0;
}

static int find_or_add(struct agent *a, struct lookup *l, struct file **out)
{
	struct file *f;
	int rc = FIND_AGAIN;

	while (rc == FIND_AGAIN && (*out = find_inode(a, l)) != NULL)
		rc = (*out)->nr_handles ? 0 : revalidate(a, l, out);
	if (rc != FIND_AGAIN)
		return rc;
	f = find_waiting(a, l->path);
	if (f)
		return refuse_changed(f);
	return files_new(a, l->path, &l->st, out);
}

static void reply(struct agent *a, struct conn *c, const union pmio_any_msg *msg, const struct handle *h,
		  int error)
{
	union pmio_any_msg reply;

	pmio_proto_reply(&reply, &msg->hdr, 0);
	reply.open_reply.handle = h->id;
	reply.open_reply.size = pmio_pool_file_size(a->pool, h->file->slot);
	reply.open_reply.dev = h->file->key.dev;
	reply.open_reply.ino = h->file->key.ino;
	reply.open_reply.slot = h->file->slot;
	reply.open_reply.error = error;
	agent_reply(a, c, &reply, -1);
}

/* a file of several nodes whose name has gone since: who has it open elsewhere comes to this node only now */
static struct file *find_nameless(struct agent *a, const struct lookup *l)
{
	struct file *f;

	if (l->rc != -ENOENT || !(l->req->msg.open.flags & PMIO_OPEN_SHARED))
		return NULL;
	for (f = a->files; f; f = f->hh.next) {
		if (f->shared && f->nr_handles && strcmp(f->path, l->path) == 0)
			break;
	}
	return f;
}

static int open_it(struct agent *a, struct conn *c, struct lookup *l)
{
	const union pmio_any_msg *msg = &l->req->msg;
	struct file *f = NULL;
	struct handle *h = NULL;
	int error, rc = l->rc;

	f = find_nameless(a, l);
	if (f)
		rc = 0;
	else if (rc == 0)
		rc = find_or_add(a, l, &f);
	else if (rc == -ENOENT && l->must_exist)
		rc = refuse_changed(find_waiting(a, l->path));
	if (rc == LOOK_AT_OTHER)
		return rc;
	error = rc == 0 ? f->error : 0; /* who attaches to write begins anew */
	if (rc == 0)
		rc = files_attach(a, c, f, &msg->open, &l->pfs, &h);
	if (rc < 0) {
		pmio_dbg("agent: open %s for process %u: %s", l->path, c->pid, pmio_strerror(rc));
		agent_reply_status(a, c, &msg->hdr, rc);
		return 0;
	}
	reply(a, c, msg, h, error);
	return 0;
}

/* by us, where an earlier agent was cut off: what is made under that name now could be taken for it */
static bool is_being_removed(struct agent *a, const char *path)
{
	struct file *f;

	for (f = a->nr_ending ? a->files : NULL; f; f = f->hh.next) {
		if (f->ending && strcmp(f->path, path) == 0)
			return true;
	}
	return false;
}

void lookup_open(struct agent *a, struct conn *c, const union pmio_any_msg *msg)
{
	struct parked *p;
	bool must_exist;

	if (is_being_removed(a, msg->open.path)) {
		p = parked_new(c, msg);
		if (p)
			DL_APPEND(a->after_removals, p);
		else
			agent_reply_status(a, c, &msg->hdr, -ENOMEM);
		return;
	}
	/* what is created now is another file, and what waits would have to go before it */
	must_exist = (msg->open.flags & PMIO_OPEN_CREATE) && find_waiting(a, msg->open.path);

	start(a, c, msg, msg->open.path, must_exist, run_open, open_it);
}
