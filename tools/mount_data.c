/* mount_data.c -- operations on the data of files, and their sizes */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "client/client.h"
#include "mount_impl.h"
#include "pfs/pfs.h"

ssize_t mount_read(struct mount_handle *h, void *buf, size_t len, off_t off)
{
	ssize_t n;

	if (!h->pm) {
		n = pread(h->fd, buf, len, off);
		return n < 0 ? -errno : n;
	}
	n = mount_begin(h);
	if (n < 0)
		return n;
	n = pmio_pread(h->file, buf, len, off);
	mount_end(h);
	return n;
}

static ssize_t write_plain(struct mount_handle *h, const void *buf, size_t len, off_t off, int flags)
{
	struct iovec iov = { (void *)(uintptr_t)buf, len };
	ssize_t n = pwritev2(h->fd, &iov, 1, off, flags & O_APPEND ? RWF_APPEND : 0);

	return n < 0 ? -errno : n;
}

/* fsync(), whose meaning depends on the setting drain */
static int sync_file(const struct mount *m, struct mount_handle *h)
{
	const uint64_t *num = m->settings->num;
	bool drain = num[PMIO_SET_SYNC] == PMIO_SYNC_DRAIN ||
		     (num[PMIO_SET_SYNC] == PMIO_SYNC_AUTO && num[PMIO_SET_DRAIN] != PMIO_DRAIN_HOLD);

	return drain ? elsewhere_drain(h->file) : pmio_sync(h->file);
}

ssize_t mount_write(struct mount *m, struct mount_handle *h, const void *buf, size_t len, off_t off, int flags)
{
	ssize_t n;
	off_t at;

	if (!h->pm)
		return write_plain(h, buf, len, off, flags);
	n = mount_begin(h);
	if (n < 0)
		return n;
	n = flags & O_APPEND ? pmio_append(h->file, buf, len, &at) : pmio_pwrite(h->file, buf, len, off);
	mount_note_written(h);
	if (n >= 0 && (flags & O_DSYNC)) {
		int rc = sync_file(m, h);

		n = rc < 0 ? rc : n;
	}
	mount_end(h);
	return n;
}

int mount_sync(struct mount *m, struct mount_handle *h, bool data_only)
{
	int rc;

	if (!h->pm)
		return (data_only ? fdatasync(h->fd) : fsync(h->fd)) < 0 ? -errno : 0;
	rc = mount_begin(h);
	if (rc < 0)
		return rc;
	rc = sync_file(m, h);
	mount_end(h);
	return rc;
}

/* ---- sizes ------------------------------------------------------------------------------------- */

int mount_resize(struct mount *m, struct mount_handle *h, off_t size)
{
	int rc;

	if (!h->pm)
		return ftruncate(h->fd, size) < 0 ? -errno : 0;
	rc = h->flags & PMIO_OPEN_WRITE ? mount_begin(h) : mount_cut(m, h->node, size);
	if (rc < 0 || !(h->flags & PMIO_OPEN_WRITE))
		return rc;
	rc = pmio_truncate(h->file, size);
	mount_note_written(h);
	mount_end(h);
	return rc;
}

int mount_allocate(struct mount_handle *h, int mode, off_t off, off_t len)
{
	int rc;

	if (!h->pm)
		return fallocate(h->fd, mode, off, len) < 0 ? -errno : 0;
	rc = mount_begin(h);
	if (rc < 0)
		return rc;
	rc = client_allocate(h->file, mode, off, len);
	mount_note_written(h);
	mount_end(h);
	return rc;
}

int mount_cut(struct mount *m, struct mount_node *node, off_t size)
{
	struct mount_handle *h;
	int rc = mount_open(m, node, O_WRONLY, false, &h), closed;

	if (rc < 0)
		return rc;
	rc = mount_resize(m, h, size);
	closed = mount_close(m, h);
	mount_release(m, h);
	return rc < 0 ? rc : closed;
}

/* 1: the size of a file that is open here, without asking the agent; 0: it is not open here */
static int open_size(struct mount_node *node, off_t *size)
{
	struct mount_handle *h;
	int rc = 0;

	pthread_mutex_lock(&node->lock);
	DL_FOREACH(node->handles, h) {
		if (!h->pm || pthread_rwlock_tryrdlock(&h->lock) != 0)
			continue;
		if (h->file)
			rc = pmio_size(h->file, size) < 0 ? 0 : 1;
		pthread_rwlock_unlock(&h->lock);
		if (rc)
			break;
	}
	pthread_mutex_unlock(&node->lock);
	return rc;
}

/* 1, or an error */
static int size_there(struct pmio_file *f, off_t *size)
{
	int rc = pmio_size(f, size);

	pmio_close(&f);
	return rc < 0 ? rc : 1;
}

int mount_pool_size(struct mount *m, struct mount_node *node, off_t *size)
{
	struct pmio_id_stat st;
	struct pmio_file *f;
	int rc;

	if (node->type != S_IFREG || !node->device->has_data)
		return 0;
	if (open_size(node, size))
		return 1;
	rc = elsewhere_find(m->names, node->fd, false, &f);
	if (rc == 0)
		return size_there(f, size);
	if (rc < 0)
		return rc;
	rc = pmio_stat_id(m->names, node->fd, &st);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	*size = (off_t)st.size;
	return st.pending || st.nr_handles;
}

static int settle_there(struct pmio_file *f)
{
	int rc = elsewhere_drain(f), closed = pmio_close(&f);

	return rc < 0 ? rc : closed;
}

int mount_settle(struct mount *m, struct mount_node *node)
{
	struct pmio_id_stat st;
	struct pmio_file *f;
	char name[PATH_MAX];
	struct pmio *pm = m->links[atomic_fetch_add(&m->next_link, 1) % MOUNT_LINKS];
	int rc;

	if (node->type != S_IFREG || !node->device->has_data)
		return 0;
	rc = elsewhere_find(pm, node->fd, false, &f);
	if (rc <= 0)
		return rc < 0 ? rc : settle_there(f);
	rc = pmio_stat_id(m->names, node->fd, &st);
	if (rc == -ENOENT || (rc == 0 && !st.pending && !st.nr_handles))
		return 0;
	if (rc == 0 && pmio_pfs_name(node->fd, name) < 0)
		pmio_fd_name(name, node->fd);
	if (rc == 0)
		rc = pmio_drain_entry(pm, &st.entry, name, 0);
	return rc == -ESRCH ? 0 : rc;
}
