/*
 * pfs.h -- files on the parallel file system (PFS), for clients and agents
 *
 * A file is identified by its inode, not by the path that it once had: other programs may
 * rename, replace and remove paths at any time.  So clients open a file and pass
 * the descriptor to the agent; if only a path is left (a crash), the file found there
 * is compared with the recorded identity.
 *
 * Any thread may call these functions.  They may wait as long as the file system does.
 */
#ifndef PMIO_PFS_PFS_H
#define PMIO_PFS_PFS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#define PMIO_PFS_MARK_NAME "user.pmio.waits"  /* attribute of a file: exclusion.c */
#define PMIO_PFS_MOUNT_NAME "user.pmio.mount" /* attribute of a file in a mount: the number of the process that serves it */

/* ---- file.c ----------------------------------------------------------------- */

/*
 * pmio_pfs_open -- open a regular file
 *
 * flags   O_RDONLY, O_WRONLY or O_RDWR, with O_CREAT, O_EXCL, O_NOFOLLOW.  A file for writing is also
 *         opened for reading where permitted: the rest of a partly written block has to be read
 * mode    of a new file; the process's umask applies
 * fd      out; close-on-exec; -1 on errors
 * is_new  out: it was created, and the caller must call pmio_pfs_keep(); NULL without O_CREAT
 *
 * Returns 0 or -errno (-EISDIR; -EINVAL: not a regular file), or PMIO_EOTHER (logged): the path leads through a
 * `pmio mount`, all files of which have PMIO_PFS_MOUNT_NAME.
 */
int pmio_pfs_open(const char *path, int flags, mode_t mode, int *fd, bool *is_new);

/* can the file be pooled?  0, or an error as of pmio_pfs_open(); path: for messages */
int pmio_pfs_check(int fd, const char *path);

/*
 * pmio_pfs_open_anew -- open the file of a descriptor again, even if it has no name
 *
 * All duplicates of a program's descriptor share its flags (O_APPEND: each pwrite(2) appends; O_DIRECT) and locks.
 * Returns a descriptor of the same access, and for reading where permitted; a duplicate of fd if the file cannot be
 * opened (its mode), and neither flag is set; or -errno.
 */
int pmio_pfs_open_anew(int fd);

/* make a newly created file and its name durable; 0 or -errno */
int pmio_pfs_keep(int fd, const char *path);

/*
 * is it on a file system that accepts a write only if it has room for it, keeps it visible for all readers,
 * and needs a disk to make it durable?  Those are this machine's, except in memory: ext2 to ext4, XFS, btrfs,
 * F2FS
 */
bool pmio_pfs_is_local_disk(int fd);
/* does that name lead through a `pmio mount`? */
bool pmio_pfs_in_mount(const char *path);
bool pmio_pfs_fd_in_mount(int fd); /* the same for a descriptor, also one of O_PATH */

/*
 * pmio_pfs_sync_name -- make the creation or removal of a name durable: fsync of its directory
 *
 * file  a descriptor of a file in it; -1: none
 * Returns 0 or -errno.  Two errors are none: EINVAL, as a file system that cannot sync directories has made the name durable
 * already, or cannot do so; and, with file, EACCES, as users may create files in directories that they may not read: then
 * the whole file system is synced.
 */
int pmio_pfs_sync_name(const char *path, int file);

/* remove a name, durably if asked; 0 or -errno (-EISDIR) */
int pmio_pfs_unlink(const char *path, bool durably);

/* ---- identity.c ---------------------------------------------------------------- */

struct pmio_pfs_id {
	uint64_t dev, ino;
	int64_t birth_ns;	/* birth time, since 1970; 0: not known */
};

/* identify the descriptor's file; birth_ns is 0 if the file system does not report it */
int pmio_pfs_identify(int fd, struct stat *st, struct pmio_pfs_id *id);
/* the same from the kernel's cache, without a call to the file system, which may hang; -EAGAIN: the cache is not complete */
int pmio_pfs_identify_cached(int fd, struct stat *st, struct pmio_pfs_id *id);

/* are they the same file?  File systems reuse inode numbers: such files differ in birth time */
bool pmio_pfs_same(const struct pmio_pfs_id *a, const struct pmio_pfs_id *b);

/* O_RDONLY, O_WRONLY or O_RDWR; -EINVAL: not usable (O_APPEND, O_PATH) */
int pmio_pfs_access(int fd);
/* the same, for opening it again; -EBADF: O_PATH, or not open */
int pmio_pfs_rights(int fd);

/*
 * pmio_pfs_name -- the current name of an open file, as this process sees it
 *
 * name   PATH_MAX bytes; absolute, without symbolic links
 *
 * Makes no call to the file system: a rename on another node may be missed.
 * Returns 0 or -ENOENT: it has no name, or the name is not known (the file had several, and the one that was
 * used was removed).
 */
int pmio_pfs_name(int fd, char *name);

/*
 * has an open file (st: its attributes) lost its last name?  Also true if it was only
 * hidden, as NFS and FUSE do with open files: it is removed with the last descriptor
 */
bool pmio_pfs_is_nameless(int fd, const struct stat *st);

/* ---- exclusion.c ---------------------------------------------------------------- */

enum pmio_pfs_use {
	PMIO_PFS_READS,	 /* from one pool */
	PMIO_PFS_WRITES, /* to one pool */
	PMIO_PFS_SHARES, /* one of the pools of a use on several nodes */
};

static inline enum pmio_pfs_use pmio_pfs_use_of(bool writes, bool shares)
{
	return shares ? PMIO_PFS_SHARES : writes ? PMIO_PFS_WRITES : PMIO_PFS_READS;
}

/*
 * pmio_pfs_take -- lock a file for a pool, as long as this open file description exists
 *
 * Returns 0 (also if the file system has no locks); -EBUSY: another pool has it in a
 * conflicting way; or -errno.  Not logged.
 */
int pmio_pfs_take(int fd, const uint8_t uuid[16], enum pmio_pfs_use use);

/* is it locked by any pool? */
bool pmio_pfs_is_taken(int fd);

/* describe the likely holder, from the processes of this machine */
void pmio_pfs_holder(int fd, char *who, size_t size);

/*
 * mark the file: a pool has pending data for it, and no process has it open; -errno if that is impossible (no extended
 * attributes)
 */
int pmio_pfs_mark(int fd, const uint8_t uuid[16], const char *dir);
/* remove this pool's mark */
void pmio_pfs_unmark(int fd, const uint8_t uuid[16]);
/* remove the mark of any pool, whose data are discarded; -ENOENT: there is no mark */
int pmio_pfs_clear_mark(const char *path);
/* does it have a dirty mark of another pool?  fd: O_PATH suffices */
bool pmio_pfs_dirty_elsewhere(int fd, const uint8_t uuid[16]);
/* PMIO_EOTHER: another pool has pending data for it (logged); otherwise 0.  path: for messages */
int pmio_pfs_check_mark(int fd, const uint8_t uuid[16], const char *path);

/*
 * a file that several nodes have open, or that is on memory nodes, has a layout file beside it (lib/remote/layout_file.c): this,
 * the file's inode number, and perhaps "." and its user
 */
#define PMIO_PFS_LAYOUT ".pmio-owner."
/*
 * does the file have one?  name: absolute, without symbolic links; ours: ignore layout files of other users, which may be
 * forgeries
 */
bool pmio_pfs_has_layout(const char *name, uint64_t ino, bool ours);

/* ---- find.c ----------------------------------------------------------------- */

/*
 * pmio_pfs_find -- open a file by its identity and a name that it had
 *
 * path    its last known name
 * flags   O_RDONLY or O_RDWR (then, if reading is not allowed, O_WRONLY)
 * name    out: PATH_MAX bytes; where it was found
 *
 * Tries the name, then searches its folder, then searches for the rest of the path below
 * other folders, as one of the folders above it may have been renamed.
 * Returns 0; -ENOENT: it is not found there (it may be elsewhere, or not exist any more);
 * PMIO_EGONE: another file has its number, so it does not exist any more;
 * or the -errno of opening the file that was found.
 */
int pmio_pfs_find(const char *path, const struct pmio_pfs_id *id, int flags, int *fd, char *name);

#endif
