/* mount_attr.c -- attributes: those of the underlying file, except those that the pool knows better */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "mount_impl.h"

#define SECTOR 512 /* bytes: what st_blocks counts */
#define TIMES (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW)

/* the underlying file gets this time, or a later one, when its data are drained */
static void raise_time(struct timespec *ts, int64_t ns)
{
	struct timespec at = { ns / 1000000000, ns % 1000000000 };

	if (at.tv_sec > ts->tv_sec || (at.tv_sec == ts->tv_sec && at.tv_nsec > ts->tv_nsec))
		*ts = at;
}

int mount_stat(struct mount *m, struct mount_node *node, struct stat *st)
{
	off_t size;
	int64_t written = atomic_load(&node->written_ns);
	/* before fstat(): a drain may end in between */
	int rc = mount_pool_size(m, node, &size);

	if (rc < 0)
		return rc;
	if (fstat(node->fd, st) < 0)
		return -errno;
	st->st_ino = mount_shown_ino(node->device, st->st_ino);
	if (rc == 0)
		return mount_is_removed(node) ? -ESTALE : 0;
	st->st_size = size;
	if (st->st_blocks < (size + SECTOR - 1) / SECTOR) /* otherwise the pending part would look like a hole */
		st->st_blocks = (size + SECTOR - 1) / SECTOR;
	raise_time(&st->st_mtim, written);
	raise_time(&st->st_ctim, written);
	return 0;
}

int mount_entry(struct mount *m, struct mount_node *node, struct fuse_entry_param *e)
{
	memset(e, 0, sizeof(*e));
	e->ino = mount_ino(m, node);
	return mount_stat(m, node, &e->attr);
}

void mount_reply_entry(fuse_req_t req, struct mount *m, struct mount_node *node)
{
	struct fuse_entry_param e;
	int rc = mount_entry(m, node, &e);

	if (rc < 0) {
		mount_forget(m, node, 1);
		fuse_reply_err(req, mount_errno(rc));
	} else if (fuse_reply_entry(req, &e) == -ENOENT) {
		mount_forget(m, node, 1); /* the request was interrupted: the kernel does not keep the node */
	}
}

/* for_read: the kernel asks before a read() through its cache */
static void reply_attr(fuse_req_t req, struct mount *m, struct mount_node *node, bool for_read)
{
	struct stat st;
	int rc = mount_stat(m, node, &st);

	if (rc == 0 && for_read && m->caching == MOUNT_CACHED)
		mount_change_time(m, &st);
	if (rc < 0)
		fuse_reply_err(req, mount_errno(rc));
	else
		fuse_reply_attr(req, &st, 0);
}

void mount_op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);

	reply_attr(req, m, mount_node(m, ino), fi);
}

/* ---- changing them ----------------------------------------------------------------------- */

static int set_mode(struct mount_node *node, mode_t mode)
{
	return chmod(MOUNT_PROC(node->fd), mode) < 0 ? -errno : 0;
}

static int set_owner(struct mount_node *node, const struct stat *st, int what)
{
	uid_t uid = what & FUSE_SET_ATTR_UID ? st->st_uid : (uid_t)-1;
	gid_t gid = what & FUSE_SET_ATTR_GID ? st->st_gid : (gid_t)-1;

	return fchownat(node->fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int set_size(struct mount *m, struct mount_node *node, off_t size, struct fuse_file_info *fi)
{
	if (fi)
		return mount_resize(m, (struct mount_handle *)(uintptr_t)fi->fh, size);
	return mount_cut(m, node, size);
}

static struct timespec time_to_set(const struct timespec *ts, int what, int set, int now)
{
	if (what & now)
		return (struct timespec){ 0, UTIME_NOW };
	return what & set ? *ts : (struct timespec){ 0, UTIME_OMIT };
}

/*
 * Pending data are drained first: a later drain would change the times again.  If the file is open, the agent is then
 * made to re-read its times, which it would otherwise attribute to another process
 */
static int set_times(struct mount *m, struct mount_node *node, const struct stat *st, int what)
{
	const struct timespec ts[2] = {
		time_to_set(&st->st_atim, what, FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW),
		time_to_set(&st->st_mtim, what, FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW),
	};
	int rc = ts[1].tv_nsec == UTIME_OMIT ? 0 : mount_settle(m, node);

	if (rc < 0)
		return rc;
	if (node->type == S_IFLNK)
		rc = utimensat(node->fd, "", ts, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
	else
		rc = utimensat(AT_FDCWD, MOUNT_PROC(node->fd), ts, 0);
	if (rc < 0)
		return -errno;
	if (ts[1].tv_nsec == UTIME_OMIT)
		return 0;
	atomic_store(&node->written_ns, 0);
	return mount_settle(m, node);
}

static int set_attr(struct mount *m, struct mount_node *node, struct stat *st, int what, struct fuse_file_info *fi)
{
	/* later the agent may not be permitted to write, and a write would remove the set-user-ID bit */
	int rc = what & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID) ? mount_settle(m, node) : 0;

	if (rc == 0 && (what & FUSE_SET_ATTR_MODE))
		rc = set_mode(node, st->st_mode);
	if (rc == 0 && (what & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)))
		rc = set_owner(node, st, what);
	if (rc == 0 && (what & FUSE_SET_ATTR_SIZE)) {
		rc = set_size(m, node, st->st_size, fi);
		/* the kernel requests the new time of a truncate(), but that sets it by itself */
		if (what & FUSE_SET_ATTR_MTIME_NOW)
			what &= ~TIMES;
	}
	if (rc == 0 && (what & TIMES))
		rc = set_times(m, node, st, what);
	return rc;
}

void mount_op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int what, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	struct mount_node *node = mount_node(m, ino);
	int rc = set_attr(m, node, st, what, fi);

	if (rc < 0)
		fuse_reply_err(req, mount_errno(rc));
	else
		reply_attr(req, m, node, false);
}

void mount_op_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	struct mount *m = fuse_req_userdata(req);

	fuse_reply_err(req, access(MOUNT_PROC(mount_node(m, ino)->fd), mask) < 0 ? errno : 0);
}

void mount_op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct mount *m = fuse_req_userdata(req);
	struct statvfs fs;

	if (fstatvfs(mount_node(m, ino)->fd, &fs) < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_statfs(req, &fs);
}
