/*
 * mount_mappings.c -- shared mappings that can be written to
 *
 * The pages of such a mapping are in the kernel's cache, and written back some time after the stores.  There are two
 * ways to permit them:
 *
 * MOUNT_MAPPED: Linux 6.6 and later permit them with direct I/O if the answer to the kernel's first request (INIT)
 * has a flag.  read() and write() bypass the cache, and the kernel first writes back the pages that they concern.
 * libfuse knows the flag from 3.17 on, by functions that differ between its versions; so it is added here to the answer
 * that libfuse sends.
 *
 * MOUNT_CACHED: older kernels do not.  Files are opened through the cache, and written through it.  For each read() the
 * kernel first requests the attributes, and drops its pages if the time of the last change is another one.  A write of
 * another process through the pool does not change that time, so each of these requests is answered with another one;
 * those of stat() get the right one.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/log.h"
#include "mount_impl.h"
#include "pfs/pfs.h"

#ifndef FUSE_DIRECT_IO_ALLOW_MMAP
#define FUSE_DIRECT_IO_ALLOW_MMAP (1ULL << 36)
#endif
#define ALLOW_MMAP ((uint32_t)(FUSE_DIRECT_IO_ALLOW_MMAP >> 32)) /* in flags2 */

/* ---- the flag ------------------------------------------------------------------------------- */

struct init_request {
	struct fuse_in_header header;
	struct fuse_init_in in;
};

static bool is_offered(const struct init_request *r, size_t len)
{
	return len >= offsetof(struct init_request, in.flags2) + sizeof(r->in.flags2) && r->header.opcode == FUSE_INIT &&
	       (r->in.flags & FUSE_INIT_EXT) && (r->in.flags2 & ALLOW_MMAP);
}

/* for tests: as if the kernel did not have it */
static bool is_declined(void)
{
	return secure_getenv("PMIO_MOUNT_CACHED") != NULL;
}

static ssize_t receive(int fd, void *buf, size_t len, void *arg)
{
	struct mount *m = arg;
	ssize_t n = read(fd, buf, len);

	if (n > 0 && !m->init_unique) {
		const struct init_request *r = buf;

		m->init_unique = r->header.unique;
		m->caching = is_offered(r, (size_t)n) && !is_declined() ? MOUNT_MAPPED : MOUNT_CACHED;
	}
	return n;
}

static ssize_t answer(int fd, struct iovec *iov, int count, void *arg)
{
	struct mount *m = arg;
	const struct fuse_out_header *header = iov[0].iov_base;

	if (m->caching == MOUNT_MAPPED && header->unique == m->init_unique && count > 1 && iov[1].iov_len >= sizeof(struct fuse_init_out)) {
		struct fuse_init_out *out = iov[1].iov_base;

		out->flags |= FUSE_INIT_EXT;
		out->flags2 |= ALLOW_MMAP;
	}
	return writev(fd, iov, count);
}

int mount_mappings_init(struct mount *m)
{
	static const struct fuse_custom_io io = { .read = receive, .writev = answer };

	if (!m->request->shared_mappings)
		return 0;
	return fuse_session_custom_io(m->session, &io, fuse_session_fd(m->session));
}

void mount_mappings_agreed(struct mount *m, struct fuse_conn_info *conn)
{
	if (m->caching != MOUNT_CACHED)
		return;
	conn->want |= conn->capable & FUSE_CAP_AUTO_INVAL_DATA;
	pmio_info("mount %s: this kernel permits shared mappings only if files are read and written through its cache",
		  m->request->mountpoint);
}

/* ---- files through the cache ---------------------------------------------------------------- */

/*
 * To the kernel files of /proc have no size.  It would store what is appended at the end that it knows, although others
 * may have appended meanwhile.
 */
bool mount_is_direct(const struct mount *m, const struct mount_node *node, int flags)
{
	return m->caching != MOUNT_CACHED || !node->device->has_data || (flags & O_APPEND);
}

void mount_change_time(struct mount *m, struct stat *st)
{
	st->st_mtim.tv_nsec = (long)(atomic_fetch_add(&m->nr_times, 1) % 1000000000);
}

/* ---- writing back ------------------------------------------------------------------------------- */

static void log_lost(struct mount_node *node, int rc)
{
	char name[PATH_MAX];

	if (atomic_exchange(&node->lost, true))
		return;
	if (pmio_pfs_name(node->fd, name) < 0)
		pmio_fd_name(name, node->fd);
	pmio_err("%s: what was stored in a shared mapping could not be written back, and is lost: %s", name, pmio_strerror(rc));
}

/* the kernel takes a short count for success */
int mount_write_back(struct mount *m, struct mount_handle *h, const char *buf, size_t len, off_t off)
{
	size_t done = 0;
	ssize_t n = 0;

	while (done < len) {
		n = mount_write(m, h, buf + done, len - done, off + (off_t)done, 0);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (done == len)
		return 0;
	n = n < 0 ? n : -EIO;
	log_lost(h->node, (int)n);
	return (int)n;
}
