/* descriptors of files on the parallel file system */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/agent_impl.h"

#define RESERVE_MAX 16 /* besides one for each drain: for messages that carry descriptors, and for refusing clients */
#define SHRINK_MAX 32  /* closed at a time */

static int fds_usable = INT_MAX;

void pfs_limit_fds(unsigned nr_drains)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return;
	if (lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
	if (lim.rlim_cur < INT_MAX) {
		int all = (int)lim.rlim_cur, reserve = all / 16;

		fds_usable = all - (int)nr_drains - 1 - (reserve < RESERVE_MAX ? reserve : RESERVE_MAX);
	}
}

bool pfs_fd_is_reserved(int fd)
{
	return fd >= fds_usable;
}

bool pfs_fd_is_high(int fd)
{
	return fd >= fds_usable / 2;
}

struct pfs_fd *pfs_wrap(int fd)
{
	struct pfs_fd *p = calloc(1, sizeof(*p));

	if (!p) {
		close(fd);
		return NULL;
	}
	p->fd = fd;
	p->refs = 1;
	return p;
}

struct pfs_fd *pfs_adopt(struct agent *a, int fd, bool anew, int *rc)
{
	int access_mode = anew ? pmio_pfs_rights(fd) : pmio_pfs_access(fd);
	struct pfs_fd *p;

	if (access_mode < 0) {
		pfs_close(a, fd);
		*rc = access_mode;
		return NULL;
	}
	p = pfs_wrap(fd);
	*rc = p ? 0 : -ENOMEM;
	if (p) {
		p->reads = access_mode != O_WRONLY;
		p->writes = access_mode != O_RDONLY;
	}
	return p;
}

struct pfs_fd *pfs_get(struct pfs_fd *p)
{
	p->refs++;
	return p;
}

/* at a close network file systems may write back, or ask their server */
static void run_close(struct job *job)
{
	close(((struct pfs_fd *)job)->fd);
}

static void closed(void *agent, struct job *job)
{
	struct agent *a = agent;
	a->nr_closing--;
	a->fd_closed = true;
	free(job);
}

void pfs_close(struct agent *a, int fd)
{
	struct pfs_fd *p = fd >= 0 ? pfs_wrap(fd) : NULL;

	pfs_put(a, &p);
}

/* clients have descriptors of their own as long as a file is open, and files that wait are found again by their names */
unsigned pfs_shrink(struct agent *a)
{
	for (struct file *f = a->files; f && a->nr_closing < SHRINK_MAX; f = f->hh.next) {
		if (f->pfs && f->pfs->refs == 1 && !file_is_gone(f) && !file_is_busy(f))
			pfs_put(a, &f->pfs);
	}
	return a->nr_closing;
}

void pfs_put(struct agent *a, struct pfs_fd **pp)
{
	struct pfs_fd *p = *pp;

	*pp = NULL;
	if (!p || --p->refs)
		return;
	p->job.kind = JOB_CALL;
	p->job.run = run_close;
	p->job.done = closed;
	if (!a->workers) {
		free(p); /* the agent is leaving: the end of the process closes it */
		return;
	}
	a->nr_closing++;
	workers_submit(a->workers, &p->job);
}

/* ---- by name ------------------------------------------------------------------- */

struct pfs_look *pfs_look_new(const struct file *f)
{
	struct pfs_look *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	snprintf(l->path, sizeof(l->path), "%s", f->path);
	l->id = files_id(f);
	l->rc = -ENOENT;
	return l;
}

/* open it under its known name; the device may have another number after a new mount, about which the loop decides */
static int open_known_name(struct pfs_look *l, int flags, int *fd)
{
	struct pmio_pfs_id id;
	struct stat st;

	if (stat(l->path, &st) < 0)
		return errno == ENOTDIR ? -ENOENT : -errno;
	if (!S_ISREG(st.st_mode) || st.st_ino != l->id.ino)
		return -ENOENT;
	l->rc = pmio_pfs_open(l->path, flags, 0, fd, NULL);
	if (l->rc < 0)
		return l->rc;
	id = l->id;
	if (pmio_pfs_identify(*fd, &st, &id) == 0) {
		bool same_dev = id.dev == l->id.dev;

		id.dev = l->id.dev;
		if (pmio_pfs_same(&id, &l->id))
			return 0;
		if (same_dev) { /* another file has its inode number */
			close(*fd);
			return PMIO_EGONE;
		}
	}
	close(*fd);
	return -ENOENT;
}

static int open_somewhere(struct pfs_look *l, int flags, int *fd)
{
	char found[PATH_MAX];
	int rc = open_known_name(l, flags, fd);

	if (rc != -ENOENT)
		return rc;
	rc = pmio_pfs_find(l->path, &l->id, flags, fd, found);
	if (rc == 0)
		memcpy(l->path, found, sizeof(l->path));
	return rc;
}

void pfs_look_run(struct pfs_look *l)
{
	bool writes = true;
	int fd;

	l->rc = open_somewhere(l, O_WRONLY, &fd);
	if (l->rc == -EACCES || l->rc == -EROFS) {
		writes = false;
		l->rc = open_somewhere(l, O_RDONLY, &fd);
	}
	if (l->rc == PMIO_EGONE) {
		l->nameless = true;
		l->rc = -ENOENT;
	}
	if (l->rc < 0)
		return;
	if (pfs_fd_is_reserved(fd) || fstat(fd, &l->st) < 0) {
		l->rc = pfs_fd_is_reserved(fd) ? -EMFILE : -errno;
		close(fd);
		return;
	}
	l->nameless = pmio_pfs_is_nameless(fd, &l->st);
	l->pfs = pfs_wrap(fd);
	if (!l->pfs) {
		l->rc = -ENOMEM;
		return;
	}
	l->pfs->reads = pmio_pfs_access(fd) != O_WRONLY;
	l->pfs->writes = writes;
}

int pfs_look_hold(struct pfs_look *l, struct pfs_fd *held, int *fd)
{
	if (!held && l) {
		pfs_look_run(l);
		held = l->pfs;
	}
	*fd = held ? held->fd : -1;
	return held ? 0 : l ? l->rc : -EBADF;
}

void pfs_look_delete(struct agent *a, struct pfs_look **pl)
{
	struct pfs_look *l = *pl;

	*pl = NULL;
	if (l)
		pfs_put(a, &l->pfs);
	free(l);
}
