/*
 * pm_map.c -- persistent memory as libpmem2 maps it, and tmpfs in its place
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
#include <sys/vfs.h>
#include <unistd.h>

#include "core/log.h"

#ifndef TMPFS_MAGIC
#define TMPFS_MAGIC 0x01021994 /* linux/magic.h */
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

#define READ_PAST_CACHE (256u << 10) /* bytes */
#define READ_SMALL 512u /* bytes: memcpy() takes no rep movsb (glibc's threshold is 2 KiB and up) */

struct map_pm {
	struct pmio_pm pm;
	struct pmem2_map *map;
	pmem2_memcpy_fn memcpy_fn;
	pmem2_memset_fn memset_fn;
	pmem2_flush_fn flush_fn;
	pmem2_drain_fn drain_fn;
	unsigned store_flags; /* for memcpy_fn and memset_fn */
	uintptr_t page_mask;  /* bytes of a page - 1 */
};

/* ---- tmpfs ----------------------------------------------------------------- */

/*
 * What libpmem2 and libpmemobj read.  The first does so in each pmem2_map_new(),
 * the second once a process, when it maps its first pool.
 */
static const struct {
	const char *name, *value;
} emulation[] = {
	{"PMEM2_FORCE_GRANULARITY", "CACHE_LINE"},
	{"PMEM_IS_PMEM_FORCE", "1"},
};

#define NR_EMULATION (sizeof(emulation) / sizeof(emulation[0]))

/* held from _begin to _end: no other thread of ours may map with our variables set */
static pthread_mutex_t emulation_lock = PTHREAD_MUTEX_INITIALIZER;

bool pmio_pm_fd_is_tmpfs(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
}

unsigned pmio_pm_emulate_begin(int fd)
{
	unsigned set = 0;

	pthread_mutex_lock(&emulation_lock);
	if (!pmio_pm_fd_is_tmpfs(fd))
		return 0;
	for (size_t i = 0; i < NR_EMULATION; i++)
		if (!getenv(emulation[i].name) &&
		    setenv(emulation[i].name, emulation[i].value, 1) == 0)
			set |= 1u << i;
	return set;
}

void pmio_pm_emulate_end(unsigned set)
{
	for (size_t i = 0; i < NR_EMULATION; i++)
		if (set & (1u << i))
			unsetenv(emulation[i].name);
	pthread_mutex_unlock(&emulation_lock);
}

/* ---- operations ------------------------------------------------------------ */

static struct map_pm *self(struct pmio_pm *pm)
{
	return (struct map_pm *)pm;
}

static void map_unmap(struct pmio_pm *pm)
{
	if (pmem2_map_delete(&self(pm)->map) != 0)
		pmio_warn("cannot unmap persistent memory: %s", pmem2_errormsg());
	free(pm);
	pm_guard_put();
}

static void map_copy(struct pmio_pm *pm, void *dst, const void *src, size_t len)
{
	unsigned flags = self(pm)->store_flags;

	/* whole lines past the cache: they need not be read first, nor written back after */
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

/* the pages that [addr, addr+len) lies in; returns their address */
static void *page_range(struct pmio_pm *pm, const void *addr, size_t *len)
{
	uintptr_t skip = (uintptr_t)addr & self(pm)->page_mask;

	*len += skip;
	return (void *)((uintptr_t)addr - skip);
}

/* not libpmem2's persist function: where msync() fails, that ends the process */
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
 * dst is no PMEM, but libpmem2's copy is one of vector loads and stores.  Pieces
 * that are a good part of a cache go past it: 1.3 to 1.5 times as fast for 1 MiB
 * on EPYC (bench/run, read_1MiB), as dst's lines need not be read first.
 */
static void map_read(struct pmio_pm *pm, void *dst, const void *src, size_t len)
{
	unsigned flags = PMEM2_F_MEM_NOFLUSH | PMEM2_F_MEM_NODRAIN;

	if (len <= READ_SMALL) {
		memcpy(dst, src, len);
		return;
	}
	/* fenced, so that another thread may read dst; on PAGE, "flush" would be msync() */
	if (len >= READ_PAST_CACHE && pm->granularity != PMIO_PM_PAGE)
		flags = PMEM2_F_MEM_NONTEMPORAL;
	self(pm)->memcpy_fn(dst, src, len, flags);
}

static void map_populate(struct pmio_pm *pm, void *addr, size_t len)
{
	int saved = errno;

	/* an old kernel refuses: then the first store faults, as it would have */
	addr = page_range(pm, addr, &len);
	madvise(addr, len, MADV_POPULATE_WRITE);
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

/* libpmem2's own codes lie from -100000 down; it does not export what translates them */
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

/* the most likely reason, which libpmem2 does not know */
static bool no_address_space(int rc, uint64_t size)
{
	struct rlimit lim;

	if (rc != -ENOMEM || getrlimit(RLIMIT_AS, &lim) < 0 || lim.rlim_cur == RLIM_INFINITY)
		return false;
	pmio_err("cannot map persistent memory: %" PRIu64 " MiB do not fit into the limit on address space "
		 "(ulimit -v), which is %" PRIu64 " MiB", size >> 20, (uint64_t)lim.rlim_cur >> 20);
	return true;
}

static int map_source(struct pmem2_source *src, int fd, uint64_t size, struct pmem2_map **map)
{
	struct pmem2_config *cfg;
	unsigned emulated;
	int rc = pmem2_config_new(&cfg);

	if (rc < 0)
		return pmem2_error("configuration", rc);

	rc = pmem2_config_set_required_store_granularity(cfg, PMEM2_GRANULARITY_PAGE);
	if (rc == 0)
		rc = pmem2_config_set_sharing(cfg, PMEM2_SHARED);
	if (rc == 0) {
		emulated = pmio_pm_emulate_begin(fd);
		rc = pmem2_map_new(map, cfg, src);
		pmio_pm_emulate_end(emulated);
	}
	if (rc < 0 && !no_address_space(rc, size))
		rc = pmem2_error("mapping", rc);
	pmem2_config_delete(&cfg);
	return rc;
}

static int map_fd(int fd, struct pmem2_map **map)
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
	rc = map_source(src, fd, (uint64_t)st.st_size, map);
	pmem2_source_delete(&src);
	return rc;
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

int pmio_pm_map(int fd, struct pmio_pm **out)
{
	struct map_pm *m = calloc(1, sizeof(*m));
	int rc;

	*out = NULL;
	if (!m) {
		pmio_err("cannot map persistent memory: %s", strerror(ENOMEM));
		return -ENOMEM;
	}
	rc = map_fd(fd, &m->map);
	if (rc < 0) {
		free(m);
		return rc;
	}

	m->pm.ops = &map_ops;
	m->pm.base = pmem2_map_get_address(m->map);
	m->pm.size = pmem2_map_get_size(m->map);
	m->pm.granularity = granularity_of(m->map);
	m->memcpy_fn = pmem2_get_memcpy_fn(m->map);
	m->memset_fn = pmem2_get_memset_fn(m->map);
	m->flush_fn = pmem2_get_flush_fn(m->map);
	m->drain_fn = pmem2_get_drain_fn(m->map);
	m->page_mask = (uintptr_t)sysconf(_SC_PAGESIZE) - 1;
	/* NOFLUSH there: a plain vector copy, without an msync() for each piece */
	m->store_flags = PMEM2_F_MEM_NODRAIN;
	if (m->pm.granularity == PMIO_PM_PAGE)
		m->store_flags |= PMEM2_F_MEM_NOFLUSH;

	pm_guard_get();
	*out = &m->pm;
	return 0;
}
