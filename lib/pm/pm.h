/*
 * pm.h -- persistent memory: the only code of pmio that stores to media
 *
 * A mapping is a range of bytes with a few primitives.  Two implementations
 * stand behind them: pm_map.c maps a file with libpmem2, pm_record.c keeps the
 * bytes in memory and records each store, flush and fence, so that tests can
 * build every image that a power cut could leave behind.
 *
 * Visible and durable are two things.  A store is visible to every process that
 * maps the file at once.  It is durable
 *   - on byte and cache-line granularity: when a flush of its bytes was followed
 *     by a fence of the same thread (on byte granularity the flush does nothing);
 *   - on page granularity (an ordinary file system): when pmio_pm_sync() of its
 *     range returned; flush does nothing there, a fence only orders.
 * A store may become durable at any earlier time.
 *
 * tmpfs counts as cache-line granularity here, in this one place: tests,
 * benchmarks and the default pool in /dev/shm then use the same code path as on DAX.
 * Its contents last as long as the machine is up.  PMEM2_FORCE_GRANULARITY is respected
 * if the user has set it.
 *
 * Threads: all functions on one mapping may run in any thread; the 64-bit
 * operations are atomic and sequentially consistent between processes too.
 */
#ifndef PMIO_PM_PM_H
#define PMIO_PM_PM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct pmio_pm;

enum pmio_pm_granularity {
	PMIO_PM_BYTE,
	PMIO_PM_CACHE_LINE,
	PMIO_PM_PAGE,
};

#define PMIO_PM_LINE 64 /* bytes of a cache line, the unit of flushing */

/*
 * pmio_pm_map -- map the whole of a file, shared, for reading and writing
 *
 * fd    open for reading and writing; not owned, may be closed after the call
 * out   NULL on failure
 *
 * Returns 0, -EINVAL (empty file), -EACCES (fd not writable) or libpmem2's error as
 * -errno; the reason has been logged.
 */
int pmio_pm_map(int fd, struct pmio_pm **out);

/* unmaps and clears *pm; takes a pointer to NULL */
void pmio_pm_unmap(struct pmio_pm **pm);

void *pmio_pm_base(const struct pmio_pm *pm);
size_t pmio_pm_size(const struct pmio_pm *pm); /* bytes */
enum pmio_pm_granularity pmio_pm_granularity(const struct pmio_pm *pm);
const char *pmio_pm_granularity_name(enum pmio_pm_granularity g);

/* may small.h store to it by instructions of its own?  (Not to the recorder, nor to a processor without them.) */
bool pmio_pm_is_plain(const struct pmio_pm *pm);

/* copy len bytes to dst in the mapping; flushed, not fenced */
void pmio_pm_copy(struct pmio_pm *pm, void *dst, const void *src, size_t len);

/* zero len bytes at dst in the mapping; flushed, not fenced */
void pmio_pm_zero(struct pmio_pm *pm, void *dst, size_t len);

/*
 * pmio_pm_pread -- fill memory of the mapping from a file; flushed, not fenced
 *
 * Reads up to len bytes at off until len bytes or the file's end are reached.
 * Returns the bytes read (less than len only at the end of file) or -errno.
 */
ssize_t pmio_pm_pread(struct pmio_pm *pm, void *dst, int fd, size_t len, off_t off);

/*
 * Aligned 8-byte operations: atomic in visibility and in durability.  Neither flushed
 * nor fenced.
 */
void pmio_pm_store64(struct pmio_pm *pm, uint64_t *dst, uint64_t value);
uint64_t pmio_pm_or64(struct pmio_pm *pm, uint64_t *dst, uint64_t bits);   /* returns the old value */
uint64_t pmio_pm_and64(struct pmio_pm *pm, uint64_t *dst, uint64_t bits);  /* returns the old value */
/* dst becomes at least value; returns true if it changed dst */
bool pmio_pm_max64(struct pmio_pm *pm, uint64_t *dst, uint64_t value);
/* dst grows by n, unless it would exceed most: then false.  old: out, its value before */
bool pmio_pm_add64(struct pmio_pm *pm, uint64_t *dst, uint64_t n, uint64_t most, uint64_t *old);
uint64_t pmio_pm_load64(const uint64_t *src); /* acquire */

/* start writing the cache lines of [addr, addr+len) back to the media */
void pmio_pm_flush(struct pmio_pm *pm, const void *addr, size_t len);

/* wait until this thread's flushes are durable; also a full memory barrier */
void pmio_pm_fence(struct pmio_pm *pm);

/* durable on every granularity when it returns; 0 or -errno */
int pmio_pm_sync(struct pmio_pm *pm, const void *addr, size_t len);

/*
 * pmio_pm_read -- copy out of a mapping into ordinary memory
 *
 * Uses vector loads and stores for any alignment: memcpy's "rep movsb" drops to a tenth
 * of its speed when source and destination differ by a few bytes modulo the page size,
 * as they do for large malloc() buffers.
 */
void pmio_pm_read(struct pmio_pm *pm, void *dst, const void *src, size_t len);

/*
 * pmio_pm_guarded -- call fn; unreadable or unwritable media do not kill the process
 *
 * A load from poisoned PMEM, or from beyond the end of a file that was truncated,
 * raises SIGBUS.  If that happens in fn, at an address of the mapping, while the guard
 * is armed, fn is left and the result is -EIO.  So between arming and disarming fn must
 * hold no lock and own nothing.  A guard is not armed when fn is called.  Anything else
 * that raises SIGBUS goes to the handler that was there before the first pmio_pm_map().
 * (The kernel's own copies, as in pwrite(2), end with EFAULT.)
 *
 * Returns what fn returned, or -EIO; not logged.
 * Threads: any; guards of one thread may be nested, the innermost counts.
 */
struct pmio_pm_guard;
ssize_t pmio_pm_guarded(const struct pmio_pm *pm, ssize_t (*fn)(struct pmio_pm_guard *g, void *arg), void *arg);
void pmio_pm_guard_arm(struct pmio_pm_guard *g, bool armed);

/* around fork(), in the parent, and the latter also in the child: no other thread maps or unmaps meanwhile */
void pmio_pm_before_fork(void);
void pmio_pm_after_fork(void);

/* ask the kernel to map these pages now, so that the copy does not fault */
void pmio_pm_populate(struct pmio_pm *pm, void *addr, size_t len);

/* does it lie on a tmpfs? */
bool pmio_pm_fd_is_tmpfs(int fd);

/*
 * pmio_pm_emulate_begin, _end -- around calls of libpmemobj, which maps PMEM by itself
 *
 * If fd is on a tmpfs, sets the environment variables that make libpmemobj treat it as
 * cache-line granular PMEM, unless the user has set them, and unsets them again.  As
 * this changes the environment, it must not happen in users' programs (pm_emulate.c is
 * linked with lib/pool's catalog only). pmio_pm_map() does not need it.
 *
 * _begin returns the argument for _end; it must be called for any fd.
 * Threads: from _begin to _end others wait in _begin; none may read the environment.
 *
 * XXX libpmemobj reads them once per process: one that first opened a pool on a tmpfs
 * does not msync() the catalog of a second one on page granularity.
 */
unsigned pmio_pm_emulate_begin(int fd);
void pmio_pm_emulate_end(unsigned set);

/* ------------------------------------------------------------------------- */
/* The recording implementation; linked into tests only.                      */

/* a mapping of `size` zero bytes in memory, which records from now on; NULL: out of memory */
struct pmio_pm *pmio_pm_record_new(size_t size);

/* a recording mapping whose first bytes are this image (for reopening it) */
struct pmio_pm *pmio_pm_record_from(const void *image, size_t size);

/* the same, for an image that pmio_pm_record_images() shows of `of`: copies what is not zeros */
struct pmio_pm *pmio_pm_record_like(const struct pmio_pm *of, const void *image);

/* add an owner of the mapping: it is freed when all have unmapped it */
struct pmio_pm *pmio_pm_record_get(struct pmio_pm *pm);

/* forget the recorded operations: all current bytes count as durable */
void pmio_pm_record_reset(struct pmio_pm *pm);

/* stop recording, or resume; stores in between are in no image before the next reset */
void pmio_pm_record_pause(struct pmio_pm *pm, bool pause);

/* operations (stores, flushes, fences, marks) recorded since the last reset */
size_t pmio_pm_record_count(const struct pmio_pm *pm);

/* the following operations are by this thread, 0..31: a fence waits for the flushes of its own thread */
void pmio_pm_record_thread(struct pmio_pm *pm, unsigned thread);

/* something outside this media has happened: a power cut may come just before or after it */
void pmio_pm_record_mark(struct pmio_pm *pm);

/* fn is called when an operation has been recorded, and need not return; NULL: stop that */
void pmio_pm_record_watch(struct pmio_pm *pm, void (*fn)(void *arg), void *arg);

/*
 * pmio_pm_record_images -- the images that a power cut could leave
 *
 * For a cut after each recorded operation: bytes covered by a flush and a fence of one
 * thread are there; any other stored 8-byte word may be there or not, but words of one
 * cache line in the order of their stores (as on x86).  fn gets each image; if there
 * are more than `limit` images for one cut, `limit` of them are drawn with the given
 * seed, always including "none of the pending words" and "all of them".  There is no
 * cut after a flush: it would leave the same images as one before it.
 *
 * Where a site is left out (pm_sites.h), only cuts after its first call are shown.
 *
 * fn   returns 0 to continue; another value stops and is returned
 * Returns 0, -ENOMEM or fn's value.
 */
int pmio_pm_record_images(const struct pmio_pm *pm, size_t limit, uint64_t seed,
			  int (*fn)(const void *image, size_t size, size_t cut, void *arg),
			  void *arg);

#include "pm/pm_sites.h"

#endif
