/*
 * mount_node.c -- nodes: files and directories that the kernel has looked up, until it forgets them
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "core/log.h"
#include "mount_impl.h"
#include "pfs/pfs.h"

#ifndef PSTOREFS_MAGIC
#define PSTOREFS_MAGIC 0x6165676C
#endif

int mount_errno(int rc)
{
	switch (rc) {
	case PMIO_EOTHER:
		return EBUSY;
	case PMIO_ECHANGED:
	case PMIO_EGONE:
		return ESTALE;
	case PMIO_ESTUCK:
		return ETIMEDOUT;
	default:
		return rc < 0 && rc > PMIO_ENOTPOOL ? -rc : EIO;
	}
}

/* ---- file systems ---------------------------------------------------------------------- */

/* false: the file system generates the contents of its files when they are read, whatever their size */
static bool has_data(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return true;
	switch ((unsigned long)fs.f_type) {
	case PROC_SUPER_MAGIC:
	case SYSFS_MAGIC:
	case CGROUP_SUPER_MAGIC:
	case CGROUP2_SUPER_MAGIC:
	case DEBUGFS_MAGIC:
	case TRACEFS_MAGIC:
	case SECURITYFS_MAGIC:
	case SELINUX_MAGIC:
	case BPF_FS_MAGIC:
	case EFIVARFS_MAGIC:
	case PSTOREFS_MAGIC:
	case DEVPTS_SUPER_MAGIC:
		return false;
	default:
		return true;
	}
}

/* mount->lock held; *nr: number of devices */
static struct mount_device *search_device(const struct mount *m, uint64_t dev, uint64_t *nr)
{
	struct mount_device *d;

	*nr = 0;
	LL_FOREACH(m->devices, d) {
		if (d->dev == dev)
			break;
		(*nr)++;
	}
	return d;
}

/*
 * NULL: no memory.  fd: of a file there; queried without a lock, as the file system may hang.  The first device has no
 * salt
 */
static struct mount_device *find_device(struct mount *m, uint64_t dev, int fd)
{
	struct mount_device *d, *made = NULL;
	uint64_t nr;

	pthread_mutex_lock(&m->lock);
	d = search_device(m, dev, &nr);
	pthread_mutex_unlock(&m->lock);
	if (!d)
		made = calloc(1, sizeof(*made));
	if (!made)
		return d;
	made->dev = dev;
	made->has_data = has_data(fd);
	made->is_mount = pmio_pfs_fd_in_mount(fd);
	pthread_mutex_lock(&m->lock);
	d = search_device(m, dev, &nr);
	if (!d) {
		made->salt = nr << 48;
		LL_PREPEND(m->devices, made);
		d = made;
		made = NULL;
	}
	pthread_mutex_unlock(&m->lock);
	free(made);
	return d;
}

uint64_t mount_shown_ino(const struct mount_device *device, uint64_t ino)
{
	return ino ^ device->salt;
}

/* ---- nodes -------------------------------------------------------------------------------- */

static void init_node(struct mount_node *node, struct mount_device *device, const struct stat *st, int fd)
{
	node->key.dev = st->st_dev;
	node->key.ino = st->st_ino;
	node->device = device;
	node->type = st->st_mode & S_IFMT;
	node->fd = fd;
	node->nr_lookups = 1;
	pthread_mutex_init(&node->lock, NULL);
}

static void free_node(struct mount_node *node)
{
	close(node->fd);
	pthread_mutex_destroy(&node->lock);
	free(node);
}

int mount_root_open(struct mount *m)
{
	struct stat st;
	int fd = open(m->request->source, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0) {
		close(fd);
		return -errno;
	}
	init_node(&m->root, find_device(m, st.st_dev, fd), &st, fd);
	return m->root.device ? 0 : -ENOMEM;
}

struct mount_node *mount_node(struct mount *m, fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? &m->root : (struct mount_node *)(uintptr_t)ino;
}

fuse_ino_t mount_ino(struct mount *m, struct mount_node *node)
{
	return node == &m->root ? FUSE_ROOT_ID : (fuse_ino_t)(uintptr_t)node;
}

/* mount->lock held */
static struct mount_node *add_node(struct mount *m, struct mount_device *device, const struct stat *st, int fd)
{
	struct mount_node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	init_node(node, device, st, fd);
	HASH_ADD(hh, m->nodes, key, sizeof(node->key), node);
	return node;
}

/* as long as the node exists its descriptor is open, so no other file can have its inode number */
static int get_node(struct mount *m, struct mount_device *device, const struct stat *st, int fd, struct mount_node **out)
{
	const struct mount_key key = { st->st_dev, st->st_ino };
	struct mount_node *node;

	pthread_mutex_lock(&m->lock);
	HASH_FIND(hh, m->nodes, &key, sizeof(key), node);
	if (node) {
		node->nr_lookups++;
		close(fd);
	} else {
		node = add_node(m, device, st, fd);
	}
	pthread_mutex_unlock(&m->lock);
	*out = node;
	return node ? 0 : -ENOMEM;
}

int mount_node_of(struct mount *m, int fd, struct mount_node **out)
{
	struct mount_device *device = NULL;
	struct stat st;
	int rc = fstat(fd, &st) < 0 ? -errno : 0;

	*out = NULL;
	if (rc == 0) {
		device = find_device(m, st.st_dev, fd);
		rc = !device ? -ENOMEM : device->is_mount ? -ELOOP : get_node(m, device, &st, fd, out);
	}
	if (rc < 0)
		close(fd);
	return rc;
}

void mount_give_up(struct mount *m, struct mount_node *node)
{
	struct pmio_id_stat st;
	bool left;

	if (!node->kept)
		return;
	left = mount_is_nameless(node) && pmio_stat_id(m->names, node->fd, &st) == 0 && st.nr_handles == 1;
	pmio_close(&node->kept);
	if (left)
		pmio_forget_entry(m->names, &st.entry, "a file without a name");
}

void mount_forget(struct mount *m, struct mount_node *node, uint64_t nr)
{
	bool last;

	if (node == &m->root)
		return;
	pthread_mutex_lock(&m->lock);
	node->nr_lookups -= nr;
	last = node->nr_lookups == 0;
	if (last)
		HASH_DEL(m->nodes, node);
	pthread_mutex_unlock(&m->lock);
	if (last) {
		mount_give_up(m, node);
		free_node(node);
	}
}

/* ---- lookups -------------------------------------------------------------------------------- */

static bool is_key(const struct mount_key *key, uint64_t dev, uint64_t ino)
{
	return key->dev == dev && key->ino == ino;
}

/*
 * is it a file of this mount?  To be checked before any query of the file, which this process would have to answer
 * itself
 */
static bool is_own(const struct mount *m, int fd)
{
	struct statx stx;

	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &stx) == 0 &&
	       makedev(stx.stx_dev_major, stx.stx_dev_minor) == m->own_dev;
}

#define LOST_MAX 100 /* files to which the name resolved, one after the other, and which had lost it */

/* it may have lost its name before the code that discards its data then could know the node */
static bool has_lost_name(const struct mount_node *node)
{
	return node->type == S_IFREG && mount_is_nameless(node);
}

static int find_once(struct mount *m, struct mount_node *parent, const char *name, struct mount_node **out)
{
	int fd, rc;

	*out = NULL;
	fd = openat(parent->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (is_own(m, fd)) {
		close(fd);
		return -ELOOP;
	}
	rc = mount_node_of(m, fd, out);
	if (rc == 0 && is_key(&m->pool, (*out)->key.dev, (*out)->key.ino)) {
		mount_forget(m, *out, 1);
		*out = NULL;
		rc = -ELOOP;
	}
	return rc;
}

int mount_find(struct mount *m, struct mount_node *parent, const char *name, struct mount_node **out)
{
	int rc;

	*out = NULL;
	if (is_key(&parent->key, m->parent.dev, m->parent.ino) && strcmp(name, m->name) == 0)
		return -ELOOP;
	rc = find_once(m, parent, name, out);
	for (int tries = 0; rc == 0 && has_lost_name(*out) && tries < LOST_MAX; tries++) {
		mount_forget(m, *out, 1);
		rc = find_once(m, parent, name, out);
	}
	return rc;
}

/* a default access control list of the folder replaces the program's umask */
mode_t mount_mode(fuse_req_t req, const struct mount_node *parent, mode_t mode)
{
	if (getxattr(MOUNT_PROC(parent->fd), "system.posix_acl_default", NULL, 0) <= 0)
		mode &= ~fuse_req_ctx(req)->umask;
	return fuse_req_ctx(req)->uid == geteuid() ? mode : mode & ~(mode_t)(S_ISUID | S_ISGID);
}

void mount_give(fuse_req_t req, int dir, const char *name)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	if (ctx->uid != geteuid() && geteuid() == 0 && fchownat(dir, name, ctx->uid, ctx->gid, AT_SYMLINK_NOFOLLOW) < 0)
		pmio_warn("mount: %s belongs to root, and cannot be given to its creator: %s", name, strerror(errno));
}

bool mount_is_nameless(const struct mount_node *node)
{
	struct stat st;

	return fstat(node->fd, &st) == 0 && pmio_pfs_is_nameless(node->fd, &st);
}

bool mount_is_removed(const struct mount_node *node)
{
	return atomic_load(&node->removed) && mount_is_nameless(node);
}
