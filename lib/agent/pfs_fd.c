/* pfs_fd.c -- descriptors of files on the parallel file system */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/pfs_fd.h"
#include "agent/state.h"
#include "core/error.h"

#define RESERVE_MAX 16 /* besides one for each drain: for messages that carry descriptors, and for refusing clients */

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
		free(p); /* the agent is exiting: the end of the process closes it */
		return;
	}
	a->nr_closing++;
	workers_submit(a->workers, &p->job);
}
