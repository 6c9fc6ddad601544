/* mount_file.c -- open files */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "mount_impl.h"

#define LAYOUT_MODE (S_IRUSR | S_IWUSR)

static struct mount_handle *handle_of(const struct fuse_file_info *fi)
{
	return (struct mount_handle *)(uintptr_t)fi->fh;
}

static void reply_done(fuse_req_t req, int rc)
{
	fuse_reply_err(req, rc < 0 ? mount_errno(rc) : 0);
}

/* ---- open ----------------------------------------------------------------------------------- */

/* bypass the kernel's page cache if possible: other processes write to the file, too */
static void set_handle(const struct mount *m, struct fuse_file_info *fi, struct mount_handle *h)
{
	fi->fh = (uintptr_t)h;
	fi->direct_io = mount_is_direct(m, h->node, fi->flags);
	fi->keep_cache = 0;
}

void mount_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	struct mount_handle *h;
	int rc = mount_open(m, mount_node(m, ino), fi->flags, false, &h);

	if (rc < 0) {
		reply_done(req, rc);
		return;
	}
	set_handle(m, fi, h);
	if (fuse_reply_open(req, fi) == -ENOENT) /* the open was interrupted */
		mount_release(m, h);
}

/*
 * the creator has the access that the open requests, even if the mode forbids it; libpmio and the agent are bound by
 * the mode
 */
static int make(fuse_req_t req, struct mount_node *parent, const char *name, mode_t mode, int flags,
		struct mount_node **node, struct mount_handle **h)
{
	struct mount *m = fuse_req_userdata(req);
	int fd = openat(parent->fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode | LAYOUT_MODE);
	int path, rc;

	if (fd < 0)
		return -errno;
	mount_give(req, parent->fd, name);
	path = open(MOUNT_PROC(fd), O_PATH | O_CLOEXEC);
	rc = path < 0 ? -errno : mount_node_of(m, path, node);
	if (rc == 0) {
		rc = mount_open(m, *node, flags & ~O_TRUNC, true, h);
		if (rc < 0)
			mount_forget(m, *node, 1);
	}
	if (rc == 0 && (mode & LAYOUT_MODE) != LAYOUT_MODE)
		fchmod(fd, mode);
	if (rc < 0)
		unlinkat(parent->fd, name, 0);
	close(fd);
	return rc;
}

static int make_or_open(fuse_req_t req, struct mount_node *parent, const char *name, mode_t mode, int flags,
			struct mount_node **node, struct mount_handle **h)
{
	struct mount *m = fuse_req_userdata(req);
	int rc = make(req, parent, name, mode, flags, node, h);

	if (rc != -EEXIST || (flags & O_EXCL))
		return rc;
	rc = mount_find(m, parent, name, node);
	if (rc < 0)
		return rc;
	rc = (*node)->type == S_IFREG ? mount_open(m, *node, flags, false, h) : -EEXIST;
	if (rc < 0)
		mount_forget(m, *node, 1);
	return rc;
}

void mount_op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	struct fuse_entry_param e;
	struct mount_handle *h;
	struct mount_node *node;
	int rc = make_or_open(req, mount_node(m, parent), name, mount_mode(req, mount_node(m, parent), mode & 07777), fi->flags, &node, &h);

	if (rc < 0) {
		reply_done(req, rc);
		return;
	}
	rc = mount_entry(m, node, &e);
	set_handle(m, fi, h);
	if (rc == 0 && fuse_reply_create(req, &e, fi) != -ENOENT)
		return;
	if (rc < 0)
		reply_done(req, rc);
	mount_release(m, h);
	mount_forget(m, node, 1);
}

/* ---- data ------------------------------------------------------------------------------------- */

struct kept_buffer {
	size_t size;
	char data[];
};

/* a buffer that the thread keeps: a new one of a megabyte would have no pages yet.  NULL: no memory */
static char *thread_buffer(struct mount *m, size_t size)
{
	struct kept_buffer *b = pthread_getspecific(m->buffer);

	if (b && b->size >= size)
		return b->data;
	free(b);
	b = malloc(sizeof(*b) + size);
	if (b)
		b->size = size;
	pthread_setspecific(m->buffer, b);
	return b ? b->data : NULL;
}

void mount_op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	char *buf = thread_buffer(m, size);
	ssize_t n = buf ? mount_read(handle_of(fi), buf, size, off) : -ENOMEM;

	if (n < 0)
		reply_done(req, (int)n);
	else
		fuse_reply_buf(req, buf, (size_t)n);
	if (fi->lock_owner == 0) /* not a program's read(2): see mount_page_cache.c */
		mount_cached_note(m, ino);
}

void mount_op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	ssize_t n;

	if (fi->writepage) {
		int rc = mount_write_back(m, handle_of(fi), buf, size, off);

		n = rc < 0 ? rc : (ssize_t)size;
	} else {
		n = mount_write(m, handle_of(fi), buf, size, off, fi->flags);
	}
	if (n < 0)
		reply_done(req, (int)n);
	else
		fuse_reply_write(req, (size_t)n);
	if (m->caching == MOUNT_CACHED && !fi->writepage)
		mount_cached_note(m, ino);
}

void mount_op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);

	(void)ino;
	reply_done(req, mount_sync(m, handle_of(fi), datasync));
}

void mount_op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);

	mount_locks_drop(mount_node(m, ino), fi->lock_owner);
	reply_done(req, mount_close(m, handle_of(fi)));
}

void mount_op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	struct mount_handle *h = handle_of(fi);

	(void)ino;
	mount_locks_drop_all(h);
	/* errors cannot be returned to the program; they were logged */
	if (h->pm)
		mount_close(m, h); /* what a mapping has written back since the last FLUSH */
	mount_release(m, h);
	fuse_reply_err(req, 0);
}

/* ---- holes -------------------------------------------------------------------------------------- */

void mount_op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	int rc = mount_allocate(handle_of(fi), mode, off, len);

	(void)ino;
	fuse_reply_err(req, rc < 0 ? mount_errno(rc) : 0);
}

/* a file in the pool has no holes: all is data, up to its end */
static off_t seek_pooled(struct mount *m, struct mount_node *node, off_t off, int whence)
{
	struct stat st;
	int rc = mount_stat(m, node, &st);

	if (rc < 0)
		return rc;
	if (off < 0 || off >= st.st_size)
		return -ENXIO;
	return whence == SEEK_DATA ? off : st.st_size;
}

void mount_op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	struct mount_handle *h = handle_of(fi);
	off_t at;

	if (whence != SEEK_DATA && whence != SEEK_HOLE) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	if (h->pm) {
		at = seek_pooled(m, mount_node(m, ino), off, whence);
	} else {
		at = lseek(h->fd, off, whence);
		at = at < 0 ? -errno : at;
	}
	if (at < 0)
		reply_done(req, (int)at);
	else
		fuse_reply_lseek(req, at);
}
