/*
 * pfs.h -- files on the parallel file system (PFS), as clients and agents deal with them
 *
 * A file is its inode, not the path that it once had: paths are renamed, replaced and
 * removed by others at any time.  So clients open a file and hand the descriptor to the
 * agent; where only a path was left (a crash), what is found there is compared with the
 * identity that was recorded.
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

/* ---- file.c ----------------------------------------------------------------- */

/*
 * pmio_pfs_open -- open a regular file
 *
 * flags   O_RDONLY, O_WRONLY or O_RDWR, with O_CREAT, O_EXCL.  Who writes also reads
 *         where that is allowed: blocks that are written in part need the rest of them
 * mode    of a new file; the process's umask applies
 * fd      out; close-on-exec; -1 on errors
 * is_new  out: it was created, and pmio_pfs_keep() is the caller's business; NULL without O_CREAT
 *
 * Returns 0 or -errno (-EISDIR; -EINVAL: not a regular file).
 */
int pmio_pfs_open(const char *path, int flags, mode_t mode, int *fd, bool *is_new);

/* a file that was created is durable when this returns, and its name; 0 or -errno */
int pmio_pfs_keep(int fd, const char *path);

/*
 * is it on a file system that takes a write only if it has room for it, keeps it for all who may look, and
 * needs a disk to make it durable?  Those of this machine, that are no memory: ext2 to ext4, XFS, btrfs, F2FS
 */
bool pmio_pfs_is_local_disk(int fd);

/*
 * what became of a name, or of what was one, is durable; 0 or -errno.  file: a descriptor in that folder, which
 * helps where the folder may not be read; -1: none
 */
int pmio_pfs_sync_name(const char *path, int file);

/* remove a name, durably if asked; 0 or -errno (-EISDIR) */
int pmio_pfs_unlink(const char *path, bool durably);

/* ---- names.c ---------------------------------------------------------------- */

struct pmio_pfs_id {
	uint64_t dev, ino;
	int64_t birth_ns;	/* when it was made, since 1970; 0: not known */
};

/* what the descriptor is of; birth_ns is 0 where the file system does not tell */
int pmio_pfs_identify(int fd, struct stat *st, struct pmio_pfs_id *id);
/* what the kernel knows of it without asking the file system, which may hang; -EAGAIN: that is not all */
int pmio_pfs_identify_cached(int fd, struct stat *st, struct pmio_pfs_id *id);

/* a file system gives an inode's number to another file in time: they differ in birth */
bool pmio_pfs_same(const struct pmio_pfs_id *a, const struct pmio_pfs_id *b);

/* O_RDONLY, O_WRONLY or O_RDWR; -EINVAL: of no use (O_APPEND, O_PATH) */
int pmio_pfs_access(int fd);

/*
 * pmio_pfs_name -- the present name of an open file, as this process sees it
 *
 * name   PATH_MAX bytes; absolute, without symbolic links
 *
 * Makes no call to the file system: a rename on another node may be missed.
 * Returns 0 or -ENOENT: there is none, or it is not known (of several the one that was used is gone).
 */
int pmio_pfs_name(int fd, char *name);

/*
 * has an open file, which is st, lost its last name?  Also where it was only hidden,
 * as NFS and FUSE do with files that are open: it goes with the last descriptor
 */
bool pmio_pfs_is_nameless(int fd, const struct stat *st);

/* ---- guard.c ---------------------------------------------------------------- */

enum pmio_pfs_use {
	PMIO_PFS_READS,	 /* from one pool */
	PMIO_PFS_WRITES, /* to one pool */
	PMIO_PFS_SHARES, /* one of the pools of a use on several nodes */
};

/*
 * pmio_pfs_take -- have a file in a pool, as long as this open file description is there
 *
 * Returns 0 (also where the file system has no locks); -EBUSY: another pool has it, in a
 * way that does not go together with this; or -errno.  Not logged.
 */
int pmio_pfs_take(int fd, const uint8_t uuid[16], enum pmio_pfs_use use);

/* who may that be, in words; looks at processes of this machine */
void pmio_pfs_holder(int fd, char *who, size_t size);

/* data for it wait in a pool, and nobody has it open; -errno where that cannot be said (no extended attributes) */
int pmio_pfs_mark(int fd, const uint8_t uuid[16], const char *dir);
/* not in this one any more */
void pmio_pfs_unmark(int fd, const uint8_t uuid[16]);
/* nobody shall wait for them any more, wherever they are; -ENOENT: there is no mark */
int pmio_pfs_clear_mark(const char *path);
/* PMIO_EOTHER: data for it wait in another pool (logged); else 0.  path: for messages */
int pmio_pfs_check_mark(int fd, const uint8_t uuid[16], const char *path);

/* ---- find.c ----------------------------------------------------------------- */

/*
 * pmio_pfs_find -- open a file that is known by its identity, and by a name that it had
 *
 * path    its name as it was last known
 * flags   O_RDONLY or O_RDWR (then, if reading is not allowed, O_WRONLY)
 * name    out: PATH_MAX bytes; where it was found
 *
 * Looks at the name, then in its folder, then for the rest of the path below other
 * folders, where one of those above it may have been renamed.
 * Returns 0; -ENOENT: it is not found there (it may be elsewhere, or not exist any more);
 * PMIO_EGONE: another file has its number, so it does not exist any more;
 * or the -errno of opening what was found.
 */
int pmio_pfs_find(const char *path, const struct pmio_pfs_id *id, int flags, int *fd, char *name);

#endif
