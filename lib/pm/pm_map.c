/*
 * pm_map.c -- persistent memory mapped by libpmem2, or a tmpfs in its place
 */
#include "pm/pm_ops.h"

#include <errno.h>
#include <inttypes.h>
#include <libpmem2.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "pm/small.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

#define HUGE_PAGE (2ul << 20)   /* bytes */
#define READ_PAST_CACHE (256u << 10) /* bytes */

struct map_pm {
	struct pmio_pm pm;
	struct pmem2_map *map; /* NULL: mapped by this file */
	pmem2_memcpy_fn memcpy_fn;
	pmem2_memset_fn memset_fn;
	pmem2_flush_fn flush_fn;
	pmem2_drain_fn drain_fn;
	unsigned store_flags; /* for memcpy_fn and memset_fn */
	uintptr_t page_mask;  /* bytes of a page - 1 */
};

/* ---- operations ------------------------------------------------------------ */

static struct map_pm *self(struct pmio_pm *pm)
{
	return (struct map_pm *)pm;
}

static void map_unmap(struct pmio_pm *pm)
{
	if (!self(pm)->map)
		munmap(pm->base, pm->size);
	else if (pmem2_map_delete(&self(pm)->map) != 0)
		pmio_warn("cannot unmap persistent memory: %s", pmem2_errormsg());
	free(pm);
	pm_guard_put();
}

static void map_copy(struct pmio_pm *pm, void *dst, const void *src, size_t len)
{
	unsigned flags = self(pm)->store_flags;

	/* whole lines bypass the cache: they need not be read first, nor written back afterwards */
	if (len >= PMIO_PM_LINE)
		flags |= PMEM2_F_MEM_NONTEMPORAL;
	self(pm)->memcpy_fn(dst, src, len, flags);
}

static void map_zero(struct pmio_pm *pm, void *dst, size_t len)
{
	self(pm)->memset_fn(dst, 0, len, self(pm)->store_flags);
}

/* on page granularity libpmem2's flush is an msync(), which only _sync promises */
static void map_flush(struct pmio_pm *pm, const void *addr, size_t len)
{
	if (pm->granularity != PMIO_PM_PAGE)
		self(pm)->flush_fn(addr, len);
}

static void map_fence(struct pmio_pm *pm)
{
	self(pm)->drain_fn();
}

/* the pages of [addr, addr+len); returns their address */
static void *page_range(struct pmio_pm *pm, const void *addr, size_t *len)
{
	uintptr_t skip = (uintptr_t)addr & self(pm)->page_mask;

	*len += skip;
	return (void *)((uintptr_t)addr - skip);
}

/* not libpmem2's persist function, which ends the process if msync() fails */
static int map_sync(struct pmio_pm *pm, const void *addr, size_t len)
{
	int rc;

	if (pm->granularity != PMIO_PM_PAGE) {
		map_flush(pm, addr, len);
		map_fence(pm);
		return 0;
	}

	addr = page_range(pm, addr, &len);
	do {
		rc = msync((void *)(uintptr_t)addr, len, MS_SYNC) < 0 ? -errno : 0;
	} while (rc == -EINTR);
	if (rc < 0)
		pmio_err("msync of %zu bytes: %s", len, strerror(-rc));
	return rc;
}

/*
 * dst is not PMEM, but libpmem2's copy uses vector loads and stores.  Pieces that would
 * fill a good part of a cache bypass it: 1.3 to 1.5 times as fast for 1 MiB on EPYC
 * (bench/run, read_1MiB), as dst's lines need not be read first.
 */
static void map_read(struct pmio_pm *pm, void *dst, const void *src, size_t len)
{
	unsigned flags = PMEM2_F_MEM_NOFLUSH | PMEM2_F_MEM_NODRAIN;

	if (len <= PMIO_PM_LOAD_SMALL) {
		memcpy(dst, src, len);
		return;
	}
	/* fenced, so that another thread may read dst; on PAGE, "flush" would be msync() */
	if (len >= READ_PAST_CACHE && pm->granularity != PMIO_PM_PAGE)
		flags = PMEM2_F_MEM_NONTEMPORAL;
	self(pm)->memcpy_fn(dst, src, len, flags);
}

/*
 * A tmpfs has nothing to do before a page's first store, so there a page that is mapped for reading is writable as well; and for
 * reading the kernel maps 16 ordinary pages at once: 0.6 us a page, for writing 1.2 us, by faults 1.8 us (Linux 6.18, EPYC,
 * in a virtual machine).  Other file systems want to know of the first store.
 */
static void map_populate(struct pmio_pm *pm, void *addr, size_t len)
{
	int saved = errno;

	/* an old kernel refuses: then the first store faults, as without this call */
	addr = page_range(pm, addr, &len);
	madvise(addr, len, self(pm)->map ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
	errno = saved;
}

static const struct pmio_pm_ops map_ops = {
	.unmap = map_unmap,
	.copy = map_copy,
	.zero = map_zero,
	.flush = map_flush,
	.fence = map_fence,
	.sync = map_sync,
	.read = map_read,
	.populate = map_populate,
};

/* ---- mapping --------------------------------------------------------------- */

/* libpmem2's own codes are -100000 and below; it does not export their translation */
static int pmem2_error(const char *what, int rc)
{
	pmio_err("cannot map persistent memory: %s: %s", what, pmem2_errormsg());
	switch (rc) {
	case PMEM2_E_NO_ACCESS:
	case PMEM2_E_INVALID_FILE_HANDLE: /* not open for reading and writing */
		return -EACCES;
	case PMEM2_E_INVALID_FILE_TYPE:
	case PMEM2_E_SOURCE_EMPTY:
		return -EINVAL;
	case PMEM2_E_NOSUPP:
		return -ENOTSUP;
	default:
		return rc > PMEM2_E_UNKNOWN ? rc : -EIO;
	}
}

static void take_functions(struct map_pm *m, struct pmem2_map *map)
{
	m->memcpy_fn = pmem2_get_memcpy_fn(map);
	m->memset_fn = pmem2_get_memset_fn(map);
	m->flush_fn = pmem2_get_flush_fn(map);
	m->drain_fn = pmem2_get_drain_fn(map);
}

/*
 * A tmpfs counts as cache-line granular.  libpmem2 learns that from the environment, or
 * with a mapping made by the caller, as here: a library must not change the environment,
 * which other threads of the program may be reading.
 *
 * There is one such mapping per process, of one page, which provides libpmem2's
 * functions: libpmem2 1.12 leaks 144 bytes for each that is deleted.
 */
static struct pmem2_map *cache_line_map; /* NULL: it could not be made */

static void make_cache_line_map(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *at = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct pmem2_source *src;

	if (at == MAP_FAILED)
		return;
	if (pmem2_source_from_anon(&src, page) < 0) {
		munmap(at, page);
		return;
	}
	if (pmem2_map_from_existing(&cache_line_map, src, at, page, PMEM2_GRANULARITY_CACHE_LINE) < 0) {
		cache_line_map = NULL;
		munmap(at, page);
	}
	pmem2_source_delete(&src);
}

static bool is_ours_to_map(int fd)
{
	return pmio_pm_fd_is_tmpfs(fd) && !secure_getenv("PMEM2_FORCE_GRANULARITY");
}

/* at a huge-page boundary, like libpmem2, as frames begin at such boundaries */
static void *map_aligned(int fd, size_t size)
{
	size_t room = size + HUGE_PAGE, page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *at = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *start, *end;

	if (at == MAP_FAILED)
		return MAP_FAILED;
	start = (uint8_t *)(((uintptr_t)at + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1));
	if (mmap(start, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
		int saved = errno;

		munmap(at, room);
		errno = saved;
		return MAP_FAILED;
	}
	end = (uint8_t *)(((uintptr_t)start + size + page - 1) & ~(page - 1));
	if (start > at)
		munmap(at, (size_t)(start - at));
	if (end < at + room)
		munmap(end, (size_t)(at + room - end));
	return start;
}

/* the most likely reason, which the system does not report */
static bool no_address_space(int rc, uint64_t size)
{
	struct rlimit lim;

	if (rc != -ENOMEM || getrlimit(RLIMIT_AS, &lim) < 0 || lim.rlim_cur == RLIM_INFINITY)
		return false;
	pmio_err("cannot map persistent memory: %" PRIu64 " MiB do not fit into the limit on address space "
		 "(ulimit -v), which is %" PRIu64 " MiB", size >> 20, (uint64_t)lim.rlim_cur >> 20);
	return true;
}

static int map_by_us(struct map_pm *m, int fd, size_t size)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	void *at;

	pthread_once(&once, make_cache_line_map);
	at = cache_line_map ? map_aligned(fd, size) : MAP_FAILED;
	if (at == MAP_FAILED) {
		int rc = cache_line_map ? -errno : -ENOMEM;

		if (!no_address_space(rc, size))
			pmio_err("cannot map persistent memory: %s", strerror(-rc));
		return rc;
	}
	m->pm.base = at;
	m->pm.size = size;
	m->pm.granularity = PMIO_PM_CACHE_LINE;
	take_functions(m, cache_line_map);
	return 0;
}

static enum pmio_pm_granularity granularity_of(struct pmem2_map *map)
{
	switch (pmem2_map_get_store_granularity(map)) {
	case PMEM2_GRANULARITY_BYTE:
		return PMIO_PM_BYTE;
	case PMEM2_GRANULARITY_CACHE_LINE:
		return PMIO_PM_CACHE_LINE;
	default:
		return PMIO_PM_PAGE;
	}
}

static int map_by_libpmem2(struct map_pm *m, struct pmem2_source *src, uint64_t size)
{
	struct pmem2_config *cfg;
	int rc = pmem2_config_new(&cfg);

	if (rc < 0)
		return pmem2_error("configuration", rc);

	rc = pmem2_config_set_required_store_granularity(cfg, PMEM2_GRANULARITY_PAGE);
	if (rc == 0)
		rc = pmem2_config_set_sharing(cfg, PMEM2_SHARED);
	if (rc == 0)
		rc = pmem2_map_new(&m->map, cfg, src);
	if (rc < 0 && !no_address_space(rc, size))
		rc = pmem2_error("mapping", rc);
	pmem2_config_delete(&cfg);
	if (rc < 0)
		return rc;
	m->pm.base = pmem2_map_get_address(m->map);
	m->pm.size = pmem2_map_get_size(m->map);
	m->pm.granularity = granularity_of(m->map);
	take_functions(m, m->map);
	return 0;
}

static int map_fd(struct map_pm *m, int fd)
{
	struct pmem2_source *src;
	struct stat st;
	int rc;

	if (fstat(fd, &st) < 0) {
		rc = -errno;
		pmio_err("cannot map persistent memory: fstat: %s", strerror(-rc));
		return rc;
	}
	if (S_ISREG(st.st_mode) && st.st_size == 0) {
		pmio_err("cannot map persistent memory: the file is empty");
		return -EINVAL;
	}

	rc = pmem2_source_from_fd(&src, fd);
	if (rc < 0)
		return pmem2_error("source", rc);
	rc = is_ours_to_map(fd) ? map_by_us(m, fd, (size_t)st.st_size) : map_by_libpmem2(m, src, (uint64_t)st.st_size);
	pmem2_source_delete(&src);
	return rc;
}

int pmio_pm_map(int fd, struct pmio_pm **out)
{
	struct map_pm *m = calloc(1, sizeof(*m));
	int rc;

	*out = NULL;
	if (!m) {
		pmio_err("cannot map persistent memory: %s", strerror(ENOMEM));
		return -ENOMEM;
	}
	rc = map_fd(m, fd);
	if (rc < 0) {
		free(m);
		return rc;
	}

	m->pm.ops = &map_ops;
	m->pm.plain = true;
	m->page_mask = (uintptr_t)sysconf(_SC_PAGESIZE) - 1;
	/* NOFLUSH there: a plain vector copy, without an msync() for each piece */
	m->store_flags = PMEM2_F_MEM_NODRAIN;
	if (m->pm.granularity == PMIO_PM_PAGE)
		m->store_flags |= PMEM2_F_MEM_NOFLUSH;

	pm_guard_get();
	*out = &m->pm;
	return 0;
}
