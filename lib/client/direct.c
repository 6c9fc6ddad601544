/*
 * direct.c -- chunks that are only on the PFS, as the pool is full: they are read and written there
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "client/client.h"
#include "core/error.h"

int client_pfs_write(struct pmio_file *f, const uint8_t *buf, size_t len, uint64_t off)
{
	atomic_store(&f->pfs_written, true);
	while (len) {
		ssize_t n = pwrite(f->pfs_fd, buf, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int rc = n < 0 ? -errno : -EIO;

			pmio_err("write %s: the pool is full, and the file system says: %s", f->path,
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
	while (len) {
		ssize_t n = pread(f->pfs_fd, buf, len, (off_t)off);

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
