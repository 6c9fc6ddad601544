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

/* file: a descriptor in there, or -1 */
static int sync_folder(const char *path, size_t len, int file)
{
	char folder[PATH_MAX];
	int fd, rc = 0;

	snprintf(folder, sizeof(folder), "%.*s", (int)len, len ? path : "/");
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) /* one may create files in a folder that one may not read */
		return errno == EACCES && file >= 0 && syncfs(file) == 0 ? 0 : -errno;
	if (fsync(fd) < 0 && errno != EINVAL) /* some file systems know no such thing */
		rc = -errno;
	close(fd);
	return rc;
}

int pfs_sync_name(const char *path)
{
	return sync_folder(path, (size_t)(strrchr(path, '/') - path), -1);
}

/* it may be the target of a symbolic link that was created */
static int sync_new_name(const char *path, int file)
{
	char *real = realpath(path, NULL);
	int rc = real ? sync_folder(real, (size_t)(strrchr(real, '/') - real), file) : -errno;

	free(real);
	return rc;
}

/* what is written to it is durable in the pool: the file must not be gone after a power cut */
static int keep_new(const char *path, int fd)
{
	int rc = fsync(fd) < 0 ? -errno : sync_new_name(path, fd);

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
