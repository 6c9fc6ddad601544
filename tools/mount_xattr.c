/*
 * mount_xattr.c -- extended attributes: those of the underlying file, except pmio's own, which must not be copied
 *
 * If a descriptor refers to a symbolic link, its name in /proc leads to the link itself.
 */
#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "mount_impl.h"
#include "pfs/attributes.h"
#include "pfs/pfs.h"

static void reply_text(fuse_req_t req, const char *text, size_t size)
{
	size_t len = strlen(text);

	if (size == 0)
		fuse_reply_xattr(req, len);
	else if (len > size)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, text, len);
}

/* mount_serve.c answers when all files are closed */
static void end_mount(fuse_req_t req, struct mount *m)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	bool taken;

	if (ctx->uid != geteuid() && ctx->uid != 0) {
		fuse_reply_err(req, EPERM);
		return;
	}
	pthread_mutex_lock(&m->lock);
	taken = m->ender;
	if (!taken)
		m->ender = req;
	pthread_mutex_unlock(&m->lock);
	if (taken)
		fuse_reply_err(req, EALREADY);
	else
		mount_want_end(m);
}

static void get_own(fuse_req_t req, struct mount *m, struct mount_node *node, const char *name, size_t size)
{
	char pid[32];

	if (strcmp(name, PMIO_PFS_MOUNT_NAME) == 0) {
		snprintf(pid, sizeof(pid), "%d", (int)getpid());
		reply_text(req, pid, size);
	} else if (strcmp(name, MOUNT_END_NAME) == 0 && node == &m->root && size > 0) {
		end_mount(req, m);
	} else {
		fuse_reply_err(req, ENODATA);
	}
}

/* answers with at most `size` bytes; the buffers have the maximum size of the kernel */
static void reply_list(fuse_req_t req, ssize_t n, const char *buf, size_t size)
{
	if (n < 0)
		fuse_reply_err(req, errno);
	else if (size == 0)
		fuse_reply_xattr(req, (size_t)n);
	else if ((size_t)n > size)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, buf, (size_t)n);
}

void mount_op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct mount *m = fuse_req_userdata(req);
	struct mount_node *node = mount_node(m, ino);
	char *buf;

	if (pmio_pfs_is_own_attribute(name)) {
		get_own(req, m, node, name, size);
		return;
	}
	buf = malloc(size + 1);
	if (!buf)
		fuse_reply_err(req, ENOMEM);
	else
		reply_list(req, getxattr(MOUNT_PROC(node->fd), name, buf, size), buf, size);
	free(buf);
}

void mount_op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct mount *m = fuse_req_userdata(req);
	struct mount_node *node = mount_node(m, ino);
	char *buf = malloc(XATTR_LIST_MAX);
	ssize_t n;

	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	n = listxattr(MOUNT_PROC(node->fd), buf, XATTR_LIST_MAX);
	reply_list(req, n > 0 ? (ssize_t)pmio_pfs_hide_own_attributes(buf, (size_t)n) : n, buf, size);
	free(buf);
}

/* a later write would remove capabilities, and with other rights the agent may not be permitted to write */
static int settle_for(struct mount *m, struct mount_node *node, const char *name)
{
	return strncmp(name, "system.", 7) == 0 || strncmp(name, "security.", 9) == 0 ? mount_settle(m, node) : 0;
}

void mount_op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
	struct mount *m = fuse_req_userdata(req);
	struct mount_node *node = mount_node(m, ino);
	int rc = pmio_pfs_is_own_attribute(name) ? -EPERM : settle_for(m, node, name);

	if (rc == 0 && setxattr(MOUNT_PROC(node->fd), name, value, size, flags) < 0)
		rc = -errno;
	fuse_reply_err(req, rc < 0 ? mount_errno(rc) : 0);
}

void mount_op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct mount *m = fuse_req_userdata(req);
	struct mount_node *node = mount_node(m, ino);
	int rc = pmio_pfs_is_own_attribute(name) ? -ENODATA : settle_for(m, node, name);

	if (rc == 0 && removexattr(MOUNT_PROC(node->fd), name) < 0)
		rc = -errno;
	fuse_reply_err(req, rc < 0 ? mount_errno(rc) : 0);
}
