/* descriptors of files on the parallel file system */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
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

/* where its name stands; it may be a symbolic link's target that was created */
static int open_parent(const char *path)
{
	char *real = realpath(path, NULL);
	int fd, err;

	if (!real)
		return -1;
	*strrchr(real, '/') = '\0';
	fd = open(*real ? real : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = errno;
	free(real);
	errno = err;
	return fd;
}

static int sync_parent(const char *path, int file)
{
	int fd = open_parent(path), rc = 0;

	if (fd < 0) /* one may create files in a folder that one may not read */
		return errno == EACCES && syncfs(file) == 0 ? 0 : -errno;
	if (fsync(fd) < 0 && errno != EINVAL) /* some file systems know no such thing */
		rc = -errno;
	close(fd);
	return rc;
}

/* what is written to it is durable in the pool: the file must not be gone after a power cut */
static int keep_new(const char *path, int fd)
{
	int rc = fsync(fd) < 0 ? -errno : sync_parent(path, fd);

	if (rc < 0)
		pmio_err("agent: create %s: fsync: %s", path, strerror(-rc));
	return rc;
}

/* *is_new: it was not there; a link that leads nowhere is not there, and yet exists */
static int open_or_create(const char *path, int oflags, uint32_t flags, mode_t mode, bool *is_new)
{
	bool creates = flags & PMIO_OPEN_CREATE, excl = creates && (flags & PMIO_OPEN_EXCL);
	int fd = excl ? -1 : open(path, oflags);

	*is_new = excl || (fd < 0 && errno == ENOENT && creates);
	if (!*is_new)
		return fd;
	return open(path, oflags | O_CREAT | (excl ? O_EXCL : 0), mode);
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
	int oflags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY, fd, rc;
	bool reads = true, is_new;
	struct pfs_fd *p;

	*out = NULL;
	oflags |= flags & PMIO_OPEN_WRITE ? O_RDWR : O_RDONLY;
	fd = open_or_create(path, oflags, flags, mode, &is_new);
	if (fd < 0 && errno == EACCES && (flags & PMIO_OPEN_WRITE) && !(flags & PMIO_OPEN_READ)) {
		fd = open_or_create(path, (oflags & ~O_ACCMODE) | O_WRONLY, flags, mode, &is_new);
		reads = false;
	}
	if (fd < 0)
		return -errno;
	rc = is_new ? keep_new(path, fd) : 0;
	if (rc == 0)
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
