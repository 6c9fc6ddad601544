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
 * passed to the handler that was there before.
 *
 * Threads: any thread may call any function, but must not use a handle that another
 * thread is closing.
 *
 * Processes: connections and handles are those of the process that made them.  In a child of
 * fork() they are useless: calls with them fail with -EBADF, at once, and their descriptors are
 * closed; pmio_close() and pmio_disconnect() free them there, and nothing else happens.  It may
 * connect again.  (So after fork(3), which runs the handlers of pthread_atfork(3); a child of
 * vfork(2), or of clone(2) without these, must leave them alone.)
 *
 * Descriptors: all are close-on-exec, and have numbers from 512 on (in the last quarter, where
 * `ulimit -n` is less), except those of pmio_open()'s own files on the PFS.  A program that closes
 * descriptors that it has not opened must spare those.
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

/* codes without an errno */
#define PMIO_ENOTPOOL (-4096) /* the directory or file is not a pmio pool */
#define PMIO_EVERSION (-4097) /* made by, or using, another version of pmio */
#define PMIO_EDAMAGED (-4098) /* checksum or structure of a pool is wrong */
#define PMIO_EAGENT (-4099)   /* the agent cannot be started or reached */
#define PMIO_EPROTO (-4100)   /* a message was not valid */
#define PMIO_ECHANGED (-4101) /* the PFS file was changed while data for it wait in the pool */
#define PMIO_EGONE (-4102)    /* the PFS file was removed, and the pool holds data of it */
#define PMIO_EOTHER (-4103)   /* another pool has the file in use, or holds data for it */
#define PMIO_ESTUCK (-4104)   /* the agent is stopped, or does not answer for another reason */

/* the text of a code; valid for ever */
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
 *        accepted and change nothing: O_APPEND (pmio_append() appends, pmio_pwrite() writes where
 *        it is told), O_DIRECT, O_NONBLOCK, O_NOATIME, O_NOCTTY, O_CLOEXEC
 * mode   permissions of a new file; the process's umask applies
 *
 * Returns 0; -ENOENT, -EACCES, -EEXIST, -EISDIR, -ENOTDIR, -ELOOP, -EROFS, -ENOSPC,
 * -EINVAL (flags, or not a regular file), -ENFILE (the pool's table of files is full),
 * PMIO_ECHANGED (data of an earlier program wait in the pool, and the PFS file was
 * changed since: see pmio(1), drain), PMIO_EOTHER (another pool has it in use, also as one of
 * several nodes: MPI programs, `pmio run --paths` and `pmio mount` join these), PMIO_EAGENT.
 */
int pmio_open(struct pmio *pm, const char *path, int flags, mode_t mode,
	      struct pmio_file **out);

/*
 * pmio_open_fd -- open the file that a descriptor of the program is of
 *
 * fd     of a regular file; it stays the caller's, who may close it at any time.  It proves the
 *        rights: it must be open for what flags asks for
 * path   for messages; NULL: the name that the kernel has for fd
 * flags  as of pmio_open(); O_CREAT: fd's open(2) may just have made the file, so its name is made
 *        durable
 *
 * There is no race of names, and the file may have none any more: then its data go with its last
 * handle.  What fd has of flags (O_APPEND, O_DIRECT), locks and position is neither used nor
 * changed.  The handle's own descriptor has a high number and is closed with the handle: as with
 * each close of a descriptor, the process then loses its POSIX locks on the file (fcntl(2)).
 * As long as the file is in use the agent has a shared lock on a byte of it beyond 2^62: an
 * exclusive lock that reaches so far (l_len 0) would wait for that.
 *
 * Returns as pmio_open(); -EBADF: fd is not open, or not for that; -EACCES: fd has O_APPEND or
 * O_DIRECT, and the file's mode does not allow this process to open it anew; -EINVAL, -EISDIR: not a regular
 * file.
 */
int pmio_open_fd(struct pmio *pm, int fd, const char *path, int flags, struct pmio_file **out);

/*
 * pmio_close -- close a handle; clears *file whatever happens
 *
 * The last handle's close drains the file: when it returns 0 all data are
 * durable on the PFS.  -ENOSPC, -EDQUOT, -EIO, ...: draining failed; the data
 * are kept in the pool, `pmio drain` tries again.
 */
int pmio_close(struct pmio_file **file);

/* close, and if it is the last handle forget the data and remove the name (delete on close) */
int pmio_close_discard(struct pmio_file **file);

/*
 * pmio_pread, pmio_pwrite -- as pread(2) and pwrite(2), but never short before
 * the end of the file (pread) or at all (pwrite)
 *
 * Returns the bytes read or written; -EBADF (not open for that), -EFBIG (end
 * beyond 2^63-1), -EIO (also: poisoned PMEM), -ENOSPC, ...: it is not known what was
 * transferred.
 */
ssize_t pmio_pread(struct pmio_file *file, void *buf, size_t len, off_t off);
ssize_t pmio_pwrite(struct pmio_file *file, const void *buf, size_t len, off_t off);

/*
 * pmio_append -- write at the end of the file, whatever others write at the same time
 *
 * at   out: the offset at which the bytes are now; may be NULL
 *
 * The file first gets longer by len, in one step: no two appends of any process get the same
 * bytes, also from other nodes, nor does an append those of a write that made the file longer
 * before.  Until it returns others read zeros there or what has been written already, and that
 * remains if the process dies or an error is returned: the file is len bytes longer then.
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
 * readx stops at the first piece that meets the end of file.  Both return the
 * bytes transferred, or as pmio_pread and pmio_pwrite.
 */
ssize_t pmio_readx(struct pmio_file *file, const struct pmio_piece *pieces, size_t nr);
ssize_t pmio_writex(struct pmio_file *file, const struct pmio_piece *pieces, size_t nr);

/* the file's size in bytes, all processes' writes included; 0 or an error */
int pmio_size(struct pmio_file *file, off_t *size);

/* set the size; bytes beyond it are removed, added bytes read as zeros */
int pmio_truncate(struct pmio_file *file, off_t size);

/*
 * pmio_map -- map a part of the file shared, in the place of what is at addr
 *
 * addr      a multiple of the page size, as off.  mmap(2) with MAP_FIXED: what was mapped there is
 *           gone, also if it fails
 * len       not beyond the page in which the file ends
 * writable  0: for reading; it cannot be made writable by mprotect(2)
 *
 * It shows and takes the same bytes as all other access by pmio on this node.  All of it is
 * brought into the pool now.  Blocks of a writable mapping are drained as long as it exists and
 * once more at its end, whoever ends it: also if the process, its agent, or both are killed, and
 * also if it is a child's (fork(2)) that has it last.  Closing the handle does not end it: the agent finds
 * out when it has ended, and the data are drained after that, and not by the close.
 *
 * Returns 0; -EACCES (not open for that), -EINVAL (addr, off, or beyond the end); -ENOSPC: the pool
 * has no room; -ENODATA: only for reading, a part beyond the end of the file on the PFS to which
 * nothing has been written; -EOPNOTSUPP: a file of several nodes, or frames that are smaller than
 * a page.
 */
int pmio_map(struct pmio_file *file, void *addr, size_t len, off_t off, int writable);

/*
 * pmio_unmap -- end a mapping; writable as it was made
 *
 * munmap(2) of addr and len; with len 0 the caller has already done that, for the whole or in pieces.
 * Once for each pmio_map().  Returns 0, -EINVAL, ...
 */
int pmio_unmap(struct pmio_file *file, void *addr, size_t len, int writable);

/* msync(2) of a part of the file that is mapped: what was stored there is durable in PMEM */
int pmio_map_sync(struct pmio_file *file, off_t off, size_t len);

/* make the data that this and other processes wrote to the file durable in PMEM */
int pmio_sync(struct pmio_file *file);

/* copy to the PFS now and make durable there, while the file stays open */
int pmio_drain(struct pmio_file *file);

/*
 * pmio_delete -- remove a file and the pool's data of it
 *
 * Open handles keep working; their data are removed with the last of them.
 * Returns 0, -ENOENT, -EACCES, -EISDIR, ...
 */
int pmio_delete(struct pmio *pm, const char *path);

/*
 * pmio_rename -- as rename(2); a file that has the name `to` and no other loses its data in the pool
 *
 * Open handles of both files keep working; the data of the replaced one are removed with the last
 * of its own.  Returns 0, -ENOENT, -EXDEV, ...
 */
int pmio_rename(struct pmio *pm, const char *from, const char *to);

/*
 * pmio_unlinked -- the file of a descriptor has lost a name by unlink(2), rename(2), ...
 *
 * fd   as of pmio_open_fd(), but O_PATH suffices
 *
 * If that was the last one, the pool's data of it are removed, with the last handle if it is
 * open.  Otherwise nothing happens.  Without this call the agent finds out some time later, and
 * data that are held stay for ever (`pmio forget`).  A power cut soon after may bring the name
 * back, but not the data, unless its folder was synced before.
 * Returns 0 or an error.
 */
int pmio_unlinked(struct pmio *pm, int fd);

/*
 * pmio_stat_fd -- the size of the file of a descriptor as a program has it through pmio
 *
 * fd   as of pmio_open_fd(), but O_PATH suffices
 *
 * Asks this pool only, opens nothing and waits for no other request's end.  Returns 0; -ENOENT
 * (not logged): the pool has nothing of it that the file system has not, so fstat(2) is right; or
 * an error.
 */
int pmio_stat_fd(struct pmio *pm, int fd, off_t *size);

#ifdef __cplusplus
}
#endif

#endif
