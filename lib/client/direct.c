/*
 * direct.c -- chunks that are only on the PFS, as the pool is full: they are read and written there
 *
 * A program's own descriptor (pmio_open_fd) may have unsuitable flags, so the file is opened again on first use.  The
 * new descriptor keeps its number: moving it would close a descriptor of the file, by which the process would lose its
 * POSIX locks on the file.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "client/client.h"
#include "core/error.h"
#include "pfs/pfs.h"

static int get_fd(struct pmio_file *f)
{
	int fd;

	if (!(f->flags & PMIO_OPEN_BY_FD))
		return f->pfs_fd;
	pthread_mutex_lock(&f->lock);
	if (f->direct_fd < 0)
		f->direct_fd = pmio_pfs_open_anew(f->pfs_fd);
	fd = f->direct_fd;
	pthread_mutex_unlock(&f->lock);
	if (fd < 0)
		pmio_err("reopen %s, as the pool is full: %s", f->path, pmio_strerror(fd));
	return fd;
}

int client_pfs_write(struct pmio_file *f, const uint8_t *buf, size_t len, uint64_t off)
{
	int fd = get_fd(f);

	if (fd < 0)
		return fd;
	atomic_store(&f->pfs_written, true);
	while (len) {
		ssize_t n = pwrite(fd, buf, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int rc = n < 0 ? -errno : -EIO;

			pmio_err("write %s: the pool is full, and writing to the file system failed: %s", f->path,
				 pmio_strerror(rc));
			return rc;
		}
		buf += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int client_pfs_read(struct pmio_file *f, uint8_t *buf, size_t len, uint64_t off)
{
	int fd = get_fd(f);

	if (fd < 0)
		return fd;
	while (len) {
		ssize_t n = pread(fd, buf, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int rc = -errno;

			pmio_err("read %s: %s", f->path, pmio_strerror(rc));
			return rc;
		}
		if (n == 0) {
			memset(buf, 0, len);
			return 0;
		}
		buf += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}
