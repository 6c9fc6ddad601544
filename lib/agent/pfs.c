/* descriptors of files on the parallel file system */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/agent_impl.h"

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
	if (lim.rlim_cur < INT_MAX)
		fds_usable = (int)lim.rlim_cur - (int)nr_drains - 1;
}

bool pfs_fd_is_reserved(int fd)
{
	return fd >= fds_usable;
}

static int open_flags(uint32_t flags)
{
	int oflags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

	oflags |= flags & PMIO_OPEN_WRITE ? O_RDWR : O_RDONLY;
	if (flags & PMIO_OPEN_CREATE)
		oflags |= O_CREAT;
	if (flags & PMIO_OPEN_EXCL)
		oflags |= O_EXCL;
	return oflags;
}

static int check_fd(int fd, struct stat *st)
{
	if (pfs_fd_is_reserved(fd))
		return -EMFILE;
	if (fstat(fd, st) < 0)
		return -errno;
	if (S_ISREG(st->st_mode))
		return 0;
	return S_ISDIR(st->st_mode) ? -EISDIR : -EINVAL;
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

int pfs_open(const char *path, uint32_t flags, mode_t mode, struct stat *st, struct pfs_fd **out)
{
	int oflags = open_flags(flags), fd, rc;
	struct pfs_fd *p;
	bool reads = true;

	*out = NULL;
	fd = open(path, oflags, mode);
	if (fd < 0 && errno == EACCES && (flags & PMIO_OPEN_WRITE) && !(flags & PMIO_OPEN_READ)) {
		fd = open(path, (oflags & ~O_ACCMODE) | O_WRONLY, mode);
		reads = false;
	}
	if (fd < 0)
		return -errno;
	rc = check_fd(fd, st);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	p = pfs_wrap(fd);
	if (!p)
		return -ENOMEM;
	p->reads = reads;
	p->writes = flags & PMIO_OPEN_WRITE;
	*out = p;
	return 0;
}

struct pfs_fd *pfs_get(struct pfs_fd *p)
{
	p->refs++;
	return p;
}

/* network file systems may write back here, or ask their server */
static void run_close(struct job *job)
{
	close(((struct pfs_fd *)job)->fd);
}

static void closed(struct agent *a, struct job *job)
{
	a->nr_closing--;
	parked_retry(a, &a->no_fds);
	free(job);
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
		free(p); /* we are leaving: it closes with the process */
		return;
	}
	a->nr_closing++;
	workers_submit(a->workers, &p->job);
}
