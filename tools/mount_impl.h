/*
 * mount_impl.h -- internals of the file system of `pmio mount`, with its operations by subject
 *
 * A node is a file or directory that the kernel knows.  It holds the inode by a descriptor, so it stays the same file
 * whatever happens to its names, here or in the underlying file system.  The kernel caches nothing that could become
 * stale: no names, no attributes and, by direct I/O, no data; except for shared mappings, if these are wanted.
 *
 * Locks, in this order: mount->lock, node->lock, handle->lock.  Reads and writes hold handle->lock shared, so that its
 * pmio_file stays; it is held exclusively while that is opened or closed, which may take as long as a drain.  No thread
 * waits for it while it holds node->lock.
 *
 * Functions return 0 or a count, or a negative code of pmio.h; mount_errno() translates.
 */
#ifndef PMIO_TOOLS_MOUNT_IMPL_H
#define PMIO_TOOLS_MOUNT_IMPL_H

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <uthash.h>
#include <utlist.h>

#include "client/client.h"
#include "client/other_nodes.h"
#include "core/fds.h"
#include "mount.h"

/*
 * A connection serves one request at a time, and a close takes as long as its drain: names and sizes have a connection
 * of their own, and files share these.
 */
#define MOUNT_LINKS 4

struct mount_key {
	uint64_t dev, ino;
};

/* a file system below the source */
struct mount_device {
	struct mount_device *next;
	uint64_t dev;
	uint64_t salt;	 /* added to the inode numbers that the mount shows, as it may contain several file systems */
	bool is_mount;	 /* another mount of pmio */
	bool has_data;	 /* its files keep what was written to them: false for /proc, /sys, ... */
};

struct mount_node {
	UT_hash_handle hh;
	struct mount_key key;
	struct mount_device *device; /* borrowed */
	int fd;			 /* O_PATH */
	mode_t type;		 /* S_IFMT of its mode */
	uint64_t nr_lookups;	 /* under mount->lock */
	pthread_mutex_t lock;
	struct mount_handle *handles; /* under lock */
	struct mount_owner *owners;   /* under lock; of fcntl() locks */
	atomic_bool removed;	      /* its last name was removed, or is being removed, with the pool's data */
	struct pmio_file *kept;	      /* under lock; replaced by another file, kept open until the kernel forgets it */
	atomic_bool lost;	      /* pages of its shared mappings could not be written back; that was logged */
	_Atomic int64_t written_ns;   /* time of the last write here, since 1970; 0: the time of the underlying file is newer */
};

struct mount_handle {
	struct mount_handle *prev, *next; /* node->handles */
	struct mount_node *node;
	struct pmio *pm;	/* borrowed: its connection; NULL: its data do not go through the pool */
	uint32_t flags;		/* PMIO_OPEN_READ, PMIO_OPEN_WRITE */
	pthread_rwlock_t lock;
	struct pmio_file *file; /* under lock; NULL: closed at the last FLUSH, or none */
	int fd;			/* without pm: descriptor of the underlying file; else -1 */
	atomic_bool wrote;	/* since it was last closed or drained */
	int flock_fd;		/* -1: not locked so far; under node->lock */
};

/* what the kernel has in its cache, other than what it reads by itself (mount_page_cache.c) */
enum mount_caching {
	MOUNT_UNCACHED, /* nothing: there are no shared mappings */
	MOUNT_MAPPED,	/* shared mappings */
	MOUNT_CACHED,	/* shared mappings, and what is read and written */
};

struct mount {
	const struct pmio_settings *settings;
	const struct mount_request *request;
	struct fuse_session *session;
	struct pmio *names;		/* the connection for names and sizes */
	struct pmio *links[MOUNT_LINKS];
	atomic_uint next_link;
	pthread_mutex_t removal;	/* a connection has one removal at a time */
	pthread_mutex_t lock;
	struct mount_node *nodes;	/* under lock */
	struct mount_device *devices;	/* under lock; stay */
	struct mount_node root;
	/* where no lookup may lead: the mount itself, and the pool */
	uint64_t own_dev;
	struct mount_key parent, pool;	/* the mount point's directory; the pool's */
	char name[NAME_MAX + 1];	/* the mount point's name in `parent` */
	struct mount_waits *waits;
	struct mount_cached *cached;
	enum mount_caching caching;
	uint64_t init_unique;		/* the kernel's first request */
	atomic_ulong nr_times;		/* of mount_change_time() */
	pthread_key_t buffer;		/* of each thread, to read into */
	fuse_req_t ender;		/* under lock; the request that waits for the end of the mount, or NULL */
};

/* ---- mount_node.c: nodes ----------------------------------------------------------------- */

int mount_errno(int rc);
/* a name of an open file, on the stack of the caller */
#define MOUNT_PROC(fd) pmio_fd_name((char[PMIO_FD_NAME_LEN]){ 0 }, (fd))

int mount_root_open(struct mount *m);
struct mount_node *mount_node(struct mount *m, fuse_ino_t ino);
fuse_ino_t mount_ino(struct mount *m, struct mount_node *node);
/* get the node of fd (O_PATH), which it consumes; counts as a lookup */
int mount_node_of(struct mount *m, int fd, struct mount_node **out);
/* look up a name; -ELOOP if it leads to the mount itself or to the pool */
int mount_find(struct mount *m, struct mount_node *parent, const char *name, struct mount_node **out);
void mount_forget(struct mount *m, struct mount_node *node, uint64_t nr);
/* discard what mount_hold() keeps of a file that was replaced */
void mount_give_up(struct mount *m, struct mount_node *node);
/* the inode number that the mount shows for one of a file system */
uint64_t mount_shown_ino(const struct mount_device *device, uint64_t ino);
/*
 * mode and owner of files made in that folder.  For other users (allow_other): never the rights of this process; if it
 * is root, the user's own
 */
mode_t mount_mode(fuse_req_t req, const struct mount_node *parent, mode_t mode);
void mount_give(fuse_req_t req, int dir, const char *name);
bool mount_is_nameless(const struct mount_node *node);
/* and were its pending data discarded? */
bool mount_is_removed(const struct mount_node *node);

/* ---- mount_handle.c: open files --------------------------------------------------------------- */

int mount_connect(struct mount *m, const struct tool *tool);
void mount_disconnect(struct mount *m);
/* flags of open(2); is_new: it has just been made */
int mount_open(struct mount *m, struct mount_node *node, int flags, bool is_new, struct mount_handle **out);
/* for handles with pm: h->file stays open until mount_end(), which is not to be called after an error */
int mount_begin(struct mount_handle *h);
void mount_end(struct mount_handle *h);
void mount_note_written(struct mount_handle *h);
/* FLUSH: a program has closed one descriptor; others of the same handle may stay in use */
int mount_close(struct mount *m, struct mount_handle *h);
/* RELEASE: the last descriptor is closed */
int mount_release(struct mount *m, struct mount_handle *h);
/* reopen handles that were closed but may be used again, so that the data survive the removal of the last name */
int mount_keep(struct mount_node *node);
/* keep its pending data until the kernel forgets the node */
int mount_hold(struct mount *m, struct mount_node *node);
/* *nr: how many handles were open; *nr_failed: how many have pending data that should be on the file system */
void mount_close_all(struct mount *m, unsigned *nr, unsigned *nr_failed);

/* ---- mount_data.c ------------------------------------------------------------------------------ */

ssize_t mount_read(struct mount_handle *h, void *buf, size_t len, off_t off);
/* flags: of open(2), as they are now */
ssize_t mount_write(struct mount *m, struct mount_handle *h, const void *buf, size_t len, off_t off, int flags);
int mount_sync(struct mount *m, struct mount_handle *h, bool data_only);
int mount_resize(struct mount *m, struct mount_handle *h, off_t size);
/* fallocate(2) */
int mount_allocate(struct mount_handle *h, int mode, off_t off, off_t len);
/* truncate a file that is not open here, or only for reading */
int mount_cut(struct mount *m, struct mount_node *node, off_t size);
/* 1: the pool knows the size better than the file system; 0: it does not */
int mount_pool_size(struct mount *m, struct mount_node *node, off_t *size);
/* drain its pending data, also those on other nodes, to the file system */
int mount_settle(struct mount *m, struct mount_node *node);

/* ---- mount_attr.c ---------------------------------------------------------------------------- */

int mount_stat(struct mount *m, struct mount_node *node, struct stat *st);
/* answer a request that has made or found a node */
void mount_reply_entry(fuse_req_t req, struct mount *m, struct mount_node *node);
int mount_entry(struct mount *m, struct mount_node *node, struct fuse_entry_param *e);
void mount_op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void mount_op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int what, struct fuse_file_info *fi);
void mount_op_access(fuse_req_t req, fuse_ino_t ino, int mask);
void mount_op_statfs(fuse_req_t req, fuse_ino_t ino);

/* ---- mount_xattr.c ------------------------------------------------------------------------------ */

void mount_op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags);
void mount_op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void mount_op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void mount_op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);

/* ---- mount_names.c ---------------------------------------------------------------------------- */

void mount_op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void mount_op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nr);
void mount_op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void mount_op_readlink(fuse_req_t req, fuse_ino_t ino);
void mount_op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void mount_op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void mount_op_symlink(fuse_req_t req, const char *to, fuse_ino_t parent, const char *name);
void mount_op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name);
void mount_op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void mount_op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void mount_op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to_parent, const char *to,
		     unsigned flags);

/* ---- mount_dir.c --------------------------------------------------------------------------------- */

void mount_op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void mount_op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void mount_op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void mount_op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);

/* ---- mount_file.c ---------------------------------------------------------------------------------- */

void mount_op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi);
void mount_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void mount_op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void mount_op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi);
void mount_op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void mount_op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void mount_op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void mount_op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi);
void mount_op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);

/* ---- mount_lock.c ---------------------------------------------------------------------------------- */

int mount_locks_init(struct mount *m);
/* refuse the requests that wait for locks */
void mount_locks_end(struct mount *m);
void mount_op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *fl);
void mount_op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *fl, int sleep);
void mount_op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op);
/* a process has closed the file: release its fcntl() locks */
void mount_locks_drop(struct mount_node *node, uint64_t owner);
/* at RELEASE: release the locks of the handle */
void mount_locks_drop_all(const struct mount_handle *h);

/* ---- mount_page_cache.c ----------------------------------------------------------------------------------- */

/* also: the signals that end a process end the mount */
int mount_cached_init(struct mount *m);
/* the kernel has read pages of it into its cache */
void mount_cached_note(struct mount *m, fuse_ino_t ino);
/* let the session's loop end when the kernel has written back the pages of shared mappings */
void mount_want_end(struct mount *m);
/* and wait for the thread that did it; also if it has ended otherwise */
void mount_loop_ended(struct mount *m);

/* ---- mount_mappings.c -------------------------------------------------------------------------------------- */

/* after it is mounted, before the first request */
int mount_mappings_init(struct mount *m);
/* the kernel's first request was received: m->caching is known */
void mount_mappings_agreed(struct mount *m, struct fuse_conn_info *conn);
/* flags of open(2): do read() and write() bypass the kernel's cache? */
bool mount_is_direct(const struct mount *m, const struct mount_node *node, int flags);
/* another time of the last change than ever before, so that the kernel drops its pages */
void mount_change_time(struct mount *m, struct stat *st);
/* pages of a mapping: all of them, or an error, which is logged once */
int mount_write_back(struct mount *m, struct mount_handle *h, const char *buf, size_t len, off_t off);

#endif
