/* mount_names.c -- operations on names, which are carried out in the underlying directory */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "mount_impl.h"

void mount_op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mount *m = fuse_req_userdata(req);
	struct mount_node *node;
	int rc = mount_find(m, mount_node(m, parent), name, &node);

	if (rc < 0)
		fuse_reply_err(req, mount_errno(rc));
	else
		mount_reply_entry(req, m, node);
}

void mount_op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nr)
{
	struct mount *m = fuse_req_userdata(req);

	mount_forget(m, mount_node(m, ino), nr);
	fuse_reply_none(req);
}

void mount_op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	struct mount *m = fuse_req_userdata(req);

	for (size_t i = 0; i < count; i++)
		mount_forget(m, mount_node(m, forgets[i].ino), forgets[i].nlookup);
	fuse_reply_none(req);
}

void mount_op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct mount *m = fuse_req_userdata(req);
	char to[PATH_MAX + 1];
	ssize_t n = readlinkat(mount_node(m, ino)->fd, "", to, sizeof(to));

	if (n < 0 || n == (ssize_t)sizeof(to)) {
		fuse_reply_err(req, n < 0 ? errno : ENAMETOOLONG);
		return;
	}
	to[n] = '\0';
	fuse_reply_readlink(req, to);
}

/* ---- making them ------------------------------------------------------------------------- */

/* look up a name and answer with its node; result: of the call that made the name */
static void reply_found(fuse_req_t req, fuse_ino_t parent, const char *name, int result)
{
	struct mount *m = fuse_req_userdata(req);
	struct mount_node *node;
	int rc = result < 0 ? -errno : mount_find(m, mount_node(m, parent), name, &node);

	if (rc < 0)
		fuse_reply_err(req, mount_errno(rc));
	else
		mount_reply_entry(req, m, node);
}

/* the same for a new file or directory, which first gets the owner that it should have */
static void reply_made(fuse_req_t req, fuse_ino_t parent, const char *name, int result)
{
	struct mount *m = fuse_req_userdata(req);

	if (result >= 0)
		mount_give(req, mount_node(m, parent)->fd, name);
	reply_found(req, parent, name, result);
}

void mount_op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct mount *m = fuse_req_userdata(req);

	reply_made(req, parent, name, mknodat(mount_node(m, parent)->fd, name, mount_mode(req, mount_node(m, parent), mode), rdev));
}

void mount_op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct mount *m = fuse_req_userdata(req);

	reply_made(req, parent, name, mkdirat(mount_node(m, parent)->fd, name, mount_mode(req, mount_node(m, parent), mode)));
}

void mount_op_symlink(fuse_req_t req, const char *to, fuse_ino_t parent, const char *name)
{
	struct mount *m = fuse_req_userdata(req);

	reply_made(req, parent, name, symlinkat(to, mount_node(m, parent)->fd, name));
}

void mount_op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	struct mount *m = fuse_req_userdata(req);
	struct mount_node *node = mount_node(m, ino);
	int rc;

	if (node->type == S_IFLNK) /* its name in /proc would be followed to its target */
		rc = linkat(node->fd, "", mount_node(m, parent)->fd, name, AT_EMPTY_PATH);
	else
		rc = linkat(AT_FDCWD, MOUNT_PROC(node->fd), mount_node(m, parent)->fd, name, AT_SYMLINK_FOLLOW);
	reply_found(req, parent, name, rc);
}

/* ---- removing them ----------------------------------------------------------------------------- */

/* a regular file whose last name this is: O_PATH descriptor, or -1 */
static int open_last(struct mount_node *parent, const char *name)
{
	int fd = openat(parent->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat now;

	if (fd >= 0 && (fstat(fd, &now) < 0 || !S_ISREG(now.st_mode) || now.st_nlink != 1)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* the same, only if the pool knows the file */
static int open_known(struct mount *m, struct mount_node *parent, const char *name, struct pmio_id_stat *st)
{
	int fd = open_last(parent, name);

	if (fd >= 0 && pmio_stat_id(m->names, fd, st) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* the node of a file, until mount_forget(); NULL: the kernel does not know it */
static struct mount_node *known_node(struct mount *m, int fd)
{
	struct mount_key key;
	struct mount_node *node;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return NULL;
	key = (struct mount_key){ st.st_dev, st.st_ino };
	pthread_mutex_lock(&m->lock);
	HASH_FIND(hh, m->nodes, &key, sizeof(key), node);
	if (node)
		node->nr_lookups++;
	pthread_mutex_unlock(&m->lock);
	return node;
}

/* removing the last name discards the file's data: the agent removes the name, as for `pmio rm` */
static int remove_known(struct mount *m, struct mount_node *parent, const char *name, int fd)
{
	char path[PMIO_FD_NAME_LEN + NAME_MAX + 2];
	struct mount_node *node = known_node(m, fd);
	/* handles that were closed but may be used again must have the file open before its name is removed */
	int rc = node ? mount_keep(node) : 0;

	if (rc == 0) {
		if (node)
			atomic_store(&node->removed, true);
		snprintf(path, sizeof(path), "%s/%s", MOUNT_PROC(parent->fd), name);
		pthread_mutex_lock(&m->removal);
		rc = client_delete(m->names, path, true);
		pthread_mutex_unlock(&m->removal);
		if (node && rc < 0)
			atomic_store(&node->removed, false);
	}
	if (node)
		mount_forget(m, node, 1);
	return rc;
}

/* remove what other nodes have of it: 0; 1: one of them has removed the name, too; or an error */
static int remove_there(struct mount *m, struct mount_node *parent, const char *name)
{
	int fd = open_last(parent, name), rc = 0;
	char path[PATH_MAX];

	if (fd >= 0 && elsewhere_has(fd, path, false))
		rc = elsewhere_remove(m->names, path);
	if (fd >= 0)
		close(fd);
	return rc;
}

static int remove_here(struct mount *m, struct mount_node *parent, const char *name)
{
	struct pmio_id_stat st;
	int fd = open_known(m, parent, name, &st), rc;

	if (fd < 0)
		return unlinkat(parent->fd, name, 0) < 0 ? -errno : 0;
	/* all of it is on the file system: no data can be lost or reappear, so its name need not be removed durably */
	if (!st.pending && !st.nr_handles && pmio_forget_entry(m->names, &st.entry, name) != -EBUSY)
		rc = unlinkat(parent->fd, name, 0) < 0 ? -errno : 0;
	else
		rc = remove_known(m, parent, name, fd);
	close(fd);
	return rc;
}

void mount_op_unlink(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct mount *m = fuse_req_userdata(req);
	struct mount_node *parent = mount_node(m, ino);
	int rc = remove_there(m, parent, name);

	if (rc == 0)
		rc = remove_here(m, parent, name);
	fuse_reply_err(req, rc < 0 ? mount_errno(rc) : 0);
}

void mount_op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mount *m = fuse_req_userdata(req);

	fuse_reply_err(req, unlinkat(mount_node(m, parent)->fd, name, AT_REMOVEDIR) < 0 ? errno : 0);
}

/* a layout file is in the folder of its file, and other nodes know the file by its name.  moves: to another folder */
static int allow_rename(struct mount *m, struct mount_node *parent, const char *name, bool moves)
{
	struct mount_node *node;
	char path[PATH_MAX];
	int rc = mount_find(m, parent, name, &node);

	if (rc < 0)
		return rc;
	if (elsewhere_has(node->fd, path, false)) {
		rc = mount_settle(m, node);
		if (rc == 0 && moves && elsewhere_has(node->fd, path, false))
			rc = -EXDEV;
	}
	mount_forget(m, node, 1);
	return rc;
}

static bool has_lost_name(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_nlink == 0;
}

/*
 * The agent is not told before the rename that a file is to lose its name: after a crash in between it would complete
 * the removal, and the name would not exist at all.  The data of a file that has lost its name so are discarded
 * afterwards: if it is open, at its close (mount_release); if it may be about to be opened, when the kernel has
 * forgotten the node.
 */
void mount_op_rename(fuse_req_t req, fuse_ino_t ino, const char *name, fuse_ino_t to_ino, const char *to,
		     unsigned flags)
{
	struct mount *m = fuse_req_userdata(req);
	struct mount_node *parent = mount_node(m, ino), *to_parent = mount_node(m, to_ino), *node = NULL;
	struct pmio_id_stat st;
	int rc = allow_rename(m, parent, name, parent != to_parent), fd = rc == 0 ? open_known(m, to_parent, to, &st) : -1;

	if (rc == 0 && fd >= 0)
		node = known_node(m, fd);
	if (node)
		rc = mount_keep(node);
	if (rc == 0 && node && (st.pending || st.nr_handles))
		mount_hold(m, node); /* after an error the data are lost only for processes that are about to open it */
	if (rc == 0 && renameat2(parent->fd, name, to_parent->fd, to, flags) < 0)
		rc = -errno;
	if (rc == 0 && !node && fd >= 0 && st.nr_handles == 0 && has_lost_name(fd)) {
		node = known_node(m, fd); /* it may have been looked up meanwhile */
		if (!node || mount_hold(m, node) < 0)
			pmio_forget_entry(m->names, &st.entry, to);
	}
	if (node)
		mount_forget(m, node, 1);
	if (fd >= 0)
		close(fd);
	fuse_reply_err(req, rc < 0 ? mount_errno(rc) : 0);
}
