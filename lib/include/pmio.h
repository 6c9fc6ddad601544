/*
 * pmio.h -- files in persistent memory, drained to a parallel file system
 *
 * A file is identified by its path on the parallel file system (PFS).  Its data are in
 * a pool of this node's PMEM; an agent process (pmiod, started when needed) owns the
 * pool and drains written data to the PFS when the file's last handle is closed.  MPI
 * programs use this through names "pmem:/path"; this header is for programs without
 * MPI.
 *
 *	struct pmio *pm;
 *	struct pmio_file *f;
 *
 *	if (pmio_connect(NULL, &pm) == 0 &&
 *	    pmio_open(pm, "/pfs/out", O_RDWR | O_CREAT, 0666, &f) == 0) {
 *		pmio_pwrite(f, buf, len, 0);
 *		pmio_close(&f);
 *	}
 *	pmio_disconnect(&pm);
 *
 * Results: 0 or a count, or a negative number: -errno, or one of the codes
 * below.  The cause has then been logged once, on standard error unless the
 * settings say otherwise (PMIO_LOG).
 *
 * Signals: from the first pmio_connect() to the last pmio_disconnect() SIGBUS has a
 * handler, which turns poisoned PMEM into an error of the read; all other faults are
 * passed to the previous handler.
 *
 * Threads: any thread may call any function, but must not use a handle that another
 * thread is closing.
 *
 * Processes: connections and handles belong to the process that made them.  In a child of
 * fork() they cannot be used: calls with them fail at once with -EBADF, and their descriptors
 * are closed; pmio_close() and pmio_disconnect() only free them there.  The child may connect
 * again.  (This applies to fork(3), which runs the handlers of pthread_atfork(3); a child of
 * vfork(2), or of clone(2) without these, must not use or free them.)
 *
 * Descriptors: all are close-on-exec, and have numbers from 512 on (in the last quarter, where
 * `ulimit -n` is less), except those of pmio_open()'s own files on the PFS.  A program that closes
 * descriptors that it has not opened must not close these.
 *
 * Visible: a write that has returned is seen by every later read of the file through
 * pmio on this node, by any process and handle.
 * Durable: in PMEM when a write returns, if the pool's granularity is byte or
 * cache line (DAX; a tmpfs counts as such, but lives only until the machine
 * goes down), otherwise when pmio_sync() returns.  On the PFS when the last
 * close of the file returned 0 (with the setting drain=close).
 */
#ifndef PMIO_H
#define PMIO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PMIO_VERSION_MAJOR 0
#define PMIO_VERSION_MINOR 1

/* error codes that have no errno */
#define PMIO_ENOTPOOL (-4096) /* the directory or file is not a pmio pool */
#define PMIO_EVERSION (-4097) /* made by, or using, another version of pmio */
#define PMIO_EDAMAGED (-4098) /* checksum or structure of a pool is wrong */
#define PMIO_EAGENT (-4099)   /* the agent cannot be started or reached */
#define PMIO_EPROTO (-4100)   /* a message was not valid */
#define PMIO_ECHANGED (-4101) /* the PFS file was changed while data for it are pending in the pool */
#define PMIO_EGONE (-4102)    /* the PFS file was removed, and the pool holds data of it */
#define PMIO_EOTHER (-4103)   /* another pool has the file in use, or holds data for it */
#define PMIO_ESTUCK (-4104)   /* the agent is stopped, or does not answer for another reason */

/* the description of a code; a static string */
const char *pmio_strerror(int code);

/* the library's version, "0.1.0" */
const char *pmio_version(void);

struct pmio;	  /* a connection to the agent of one pool */
struct pmio_file; /* an open file */

/*
 * pmio_connect -- connect to the agent of a pool, starting it if it does not run
 *
 * pool   the pool's directory; NULL: setting `pool` ($PMIO_POOL, configuration
 *        file) or a pool in /dev/shm, made now if it is missing
 * out    NULL on failure
 *
 * Returns 0; -ENOENT, -EACCES, -EPERM (not this user's, or writable by others),
 * -ENOSPC (no room to make the default pool), PMIO_ENOTPOOL, PMIO_EVERSION,
 * PMIO_EDAMAGED, PMIO_EAGENT.
 */
int pmio_connect(const char *pool, struct pmio **out);

/* closes files that are still open (draining them, result lost); *pm may be NULL */
void pmio_disconnect(struct pmio **pm);

/* the pool's directory; lives as long as pm */
const char *pmio_pool_path(const struct pmio *pm);

/* the 16 bytes that identify this pool */
void pmio_pool_uuid(const struct pmio *pm, uint8_t uuid[16]);

/*
 * pmio_open -- open a file
 *
 * path   on the PFS; relative ones start at the working directory
 * flags  O_RDONLY, O_WRONLY or O_RDWR; O_CREAT, O_EXCL, O_TRUNC, O_NOFOLLOW; O_SYNC, O_DSYNC: a
 *        write is durable in PMEM when it returns, with any granularity of the pool.  These are
 *        accepted and have no effect: O_APPEND (pmio_append() appends, pmio_pwrite() writes at the
 *        given offset), O_DIRECT, O_NONBLOCK, O_NOATIME, O_NOCTTY, O_CLOEXEC
 * mode   permissions of a new file; the process's umask applies
 *
 * Returns 0; -ENOENT, -EACCES, -EEXIST, -EISDIR, -ENOTDIR, -ELOOP, -EROFS, -ENOSPC,
 * -EINVAL (flags, or not a regular file), -ENFILE (the pool's table of files is full),
 * PMIO_ECHANGED (data of an earlier program are pending in the pool, and the PFS file was
 * changed since: see pmio(1), drain), PMIO_EOTHER (another pool has it in use, perhaps as a file
 * of several nodes, which MPI programs, `pmio run --paths` and `pmio mount` join), PMIO_EAGENT.
 */
int pmio_open(struct pmio *pm, const char *path, int flags, mode_t mode,
	      struct pmio_file **out);

/*
 * pmio_open_fd -- open the file to which a descriptor of the program refers
 *
 * fd     of a regular file; still owned by the caller, who may close it at any time.  It must
 *        permit the access that flags requests
 * path   for messages; NULL: the name that the kernel has for fd
 * flags  as of pmio_open(); O_CREAT: fd's open(2) may just have made the file, so its name is made
 *        durable
 *
 * No path is resolved, so there is no race with renames; the file may even have no name any more:
 * then its data are discarded with its last handle.  Flags (O_APPEND, O_DIRECT), locks and position
 * of fd are neither used nor changed.  The handle's own descriptor has a high number and is closed
 * with the handle: as with each close of a descriptor, the process then loses its POSIX locks on
 * the file (fcntl(2)).  As long as the file is in use the agent has a shared lock on a byte of it
 * beyond 2^62: an exclusive lock that includes that byte (l_len 0) would block.
 *
 * Returns as pmio_open(); -EBADF: fd is not open, or not for that access; -EACCES: fd has O_APPEND
 * or O_DIRECT, and the file's mode does not permit this process to open it again; -EINVAL, -EISDIR:
 * not a regular file.
 */
int pmio_open_fd(struct pmio *pm, int fd, const char *path, int flags, struct pmio_file **out);

/*
 * pmio_close -- close a handle; clears *file in any case
 *
 * The last handle's close drains the file: when it returns 0 all data are
 * durable on the PFS.  -ENOSPC, -EDQUOT, -EIO, ...: draining failed; the data
 * are kept in the pool, `pmio drain` tries again.
 */
int pmio_close(struct pmio_file **file);

/* close, and if it is the last handle discard the data and remove the name (delete on close) */
int pmio_close_discard(struct pmio_file **file);

/*
 * pmio_pread, pmio_pwrite -- as pread(2) and pwrite(2), but never short before
 * the end of the file (pread) or at all (pwrite)
 *
 * Returns the bytes read or written; -EBADF (not open for that access), -EFBIG (end
 * beyond 2^63-1), -EIO (also: poisoned PMEM), -ENOSPC, ...: after an error it is not
 * known which bytes were transferred.
 */
ssize_t pmio_pread(struct pmio_file *file, void *buf, size_t len, off_t off);
ssize_t pmio_pwrite(struct pmio_file *file, const void *buf, size_t len, off_t off);

/*
 * pmio_append -- write at the end of the file, also while other processes write to it
 *
 * at   out: the offset of the appended bytes; may be NULL
 *
 * The file is first extended by len, atomically: no two appends, on any node, get the same range,
 * nor does an append get a range of a write that has extended the file before.  Until it returns
 * other processes read zeros there, or the bytes written so far.  If the process dies, or an error
 * is returned, that remains, and the file is len bytes longer.
 *
 * Returns len or as pmio_pwrite().
 */
ssize_t pmio_append(struct pmio_file *file, const void *buf, size_t len, off_t *at);

/* a piece of a request: len bytes of memory at buf, at offset off of the file */
struct pmio_piece {
	off_t off;
	void *buf; /* only read from by pmio_writex */
	size_t len;
};

/*
 * pmio_readx, pmio_writex -- many pieces in one request
 *
 * The pieces are in any order; those of a write should not overlap.  A write is
 * made durable once for all of them, so this is faster than one by one.
 *
 * readx stops at the first piece that reaches the end of file.  Both return the
 * bytes transferred, or as pmio_pread and pmio_pwrite.
 */
ssize_t pmio_readx(struct pmio_file *file, const struct pmio_piece *pieces, size_t nr);
ssize_t pmio_writex(struct pmio_file *file, const struct pmio_piece *pieces, size_t nr);

/* the file's size in bytes, all processes' writes included; 0 or an error */
int pmio_size(struct pmio_file *file, off_t *size);

/* set the size; bytes beyond it are removed, added bytes read as zeros */
int pmio_truncate(struct pmio_file *file, off_t size);

/*
 * pmio_map -- map a part of the file, shared, replacing what is mapped at addr
 *
 * addr      a multiple of the page size, as off.  As mmap(2) with MAP_FIXED: the previous mapping
 *           is lost even if this fails
 * len       not beyond the page in which the file ends
 * writable  0: for reading; it cannot be made writable by mprotect(2)
 *
 * The mapping is coherent with all other access through pmio on this node.  All of it is brought
 * into the pool now.  Blocks of a writable mapping are drained as long as it exists and once more
 * when it ends, however it ends: also if the process, its agent, or both are killed, and also if a
 * child process (fork(2)) is the last to have it.  Closing the handle does not end it: the agent
 * detects the end of the mapping, and the data are drained after that, and not by the close.
 *
 * Returns 0; -EACCES (not open for that access), -EINVAL (addr, off, or beyond the end); -ENOSPC:
 * the pool has no room; -ENODATA: only for reading, a part beyond the end of the file on the PFS to
 * which no data have been written; -EOPNOTSUPP: a file of several nodes, or frames that are smaller
 * than a page.
 */
int pmio_map(struct pmio_file *file, void *addr, size_t len, off_t off, int writable);

/*
 * pmio_unmap -- end a mapping; writable: as for its pmio_map()
 *
 * Calls munmap(2) with addr and len; len 0: the caller has unmapped it already, as a whole or in
 * pieces.  To be called once for each pmio_map().  Returns 0, -EINVAL, ...
 */
int pmio_unmap(struct pmio_file *file, void *addr, size_t len, int writable);

/* make stores to a mapped part of the file durable in PMEM (msync(2)) */
int pmio_map_sync(struct pmio_file *file, off_t off, size_t len);

/* make the data that this and other processes wrote to the file durable in PMEM */
int pmio_sync(struct pmio_file *file);

/* copy the data to the PFS now and make them durable there, while the file stays open */
int pmio_drain(struct pmio_file *file);

/*
 * pmio_delete -- remove a file and its data in the pool
 *
 * Open handles keep working; their data are removed with the last of them.
 * Returns 0, -ENOENT, -EACCES, -EISDIR, ...
 */
int pmio_delete(struct pmio *pm, const char *path);

/*
 * pmio_rename -- as rename(2); the pool's data of a replaced file that has no other name are discarded
 *
 * Open handles of both files keep working; the data of the replaced one are removed with its last
 * handle.  Returns 0, -ENOENT, -EXDEV, ...
 */
int pmio_rename(struct pmio *pm, const char *from, const char *to);

/*
 * pmio_unlinked -- tell pmio that the file of a descriptor has lost a name by unlink(2), rename(2), ...
 *
 * fd   as of pmio_open_fd(), but O_PATH suffices
 *
 * If that was the last name, the pool's data of the file are removed, with the last handle if it
 * is open.  Otherwise nothing happens.  Without this call the agent finds out some time later, and
 * data that are held stay without limit (`pmio forget` removes them).  A power cut soon after this
 * may bring the name back, but not the data, unless its directory was synced before.
 * Returns 0 or an error.
 */
int pmio_unlinked(struct pmio *pm, int fd);

/*
 * pmio_stat_fd -- the size, through pmio, of the file to which a descriptor refers
 *
 * fd   as of pmio_open_fd(), but O_PATH suffices
 *
 * Asks this pool only, opens no file and does not wait for other requests.  Returns 0; -ENOENT
 * (not logged): the file system has all of its data, so fstat(2) is right; or an error.
 */
int pmio_stat_fd(struct pmio *pm, int fd, off_t *size);

#ifdef __cplusplus
}
#endif

#endif
