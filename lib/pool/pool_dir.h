/*
 * pool_dir.h -- the files of a pool's directory, independent of their contents
 *
 * For the files of lib/pool only.  Every file is opened relative to a descriptor of the
 * checked directory; symbolic links are not followed.
 */
#ifndef PMIO_POOL_POOL_DIR_H
#define PMIO_POOL_POOL_DIR_H

#include "pool/pool.h"

/*
 * Files are made under these names, which nothing else uses, and renamed when they are
 * complete, `data` last; destroying renames `data` back first.  So a directory with
 * `data` is a complete pool, and one with PMIO_POOL_DATA_NEW is left from an
 * interrupted operation and may be removed.
 */
#define PMIO_POOL_CATALOG_NEW ".pmio-catalog.new"
#define PMIO_POOL_DATA_NEW ".pmio-data.new"

/* is there a file of any type with this name in the directory? */
bool pmio_pool_dir_has(int dir_fd, const char *name);

/*
 * pmio_pool_dir_file -- open a file of the pool for reading and writing
 *
 * Returns 0; -ENOENT, -EPERM (a symbolic link, another user's, or writable by
 * others), PMIO_ENOTPOOL (not a regular file), -EACCES, ...; logged.
 */
int pmio_pool_dir_file(int dir_fd, const char *dir, const char *name, int *fd);

/*
 * pmio_pool_dir_lock -- take the pool's lock
 *
 * create   make the lock file if it is missing; without it *fd is then -1, with result
 *          0
 * fd       out: holds the lock until closed
 *
 * Returns 0, -EBUSY (not logged: the caller knows what that means), -EPERM,
 * -EACCES, ...; logged.
 */
int pmio_pool_dir_lock(int dir_fd, const char *dir, bool create, int *fd);

/* of an open pool; borrowed: a dup() of it keeps the pool locked after the pool is closed */
int pmio_pool_lock_fd(const struct pmio_pool *pool);

/* write this process's identity into the lock file that it holds, or remove it; errors are ignored */
void pmio_pool_dir_sign(int lock_fd);
void pmio_pool_dir_unsign(int lock_fd);

/*
 * pmio_pool_reserve -- reserve space of a file, so that a full file system is an
 * error now and not a SIGBUS later
 *
 * step   NULL, or called after each of several steps with the offset reached
 *
 * Returns 0, -ENOSPC (also, before anything is reserved, if the file system says
 * that it has too little), -EFBIG, ...; not logged.
 */
int pmio_pool_reserve(int fd, uint64_t from, uint64_t to, void (*step)(uint64_t at, void *arg),
		      void *arg);

#endif
