#include "pm/pm_ops.h"

#include <assert.h>
#include <errno.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef TMPFS_MAGIC
#define TMPFS_MAGIC 0x01021994 /* linux/magic.h */
#endif

bool pmio_pm_fd_is_tmpfs(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
}

void pmio_pm_unmap(struct pmio_pm **pm)
{
	if (*pm)
		(*pm)->ops->unmap(*pm);
	*pm = NULL;
}

void *pmio_pm_base(const struct pmio_pm *pm)
{
	return pm->base;
}

size_t pmio_pm_size(const struct pmio_pm *pm)
{
	return pm->size;
}

enum pmio_pm_granularity pmio_pm_granularity(const struct pmio_pm *pm)
{
	return pm->granularity;
}

const char *pmio_pm_granularity_name(enum pmio_pm_granularity g)
{
	switch (g) {
	case PMIO_PM_BYTE:
		return "byte";
	case PMIO_PM_CACHE_LINE:
		return "cache line";
	case PMIO_PM_PAGE:
		return "page";
	}
	return "?";
}

bool pmio_pm_is_plain(const struct pmio_pm *pm)
{
	return pm->plain;
}

/* only a bug, not media or users, can lead to an address outside */
static void assert_inside(const struct pmio_pm *pm, const void *addr, size_t len)
{
	const uint8_t *p = addr;

	(void)pm, (void)p, (void)len; /* with NDEBUG */
	assert(p >= pm->base && len <= pm->size && (size_t)(p - pm->base) <= pm->size - len);
}

void pmio_pm_copy(struct pmio_pm *pm, void *dst, const void *src, size_t len)
{
	assert_inside(pm, dst, len);
	if (len > 0)
		pm->ops->copy(pm, dst, src, len);
}

void pmio_pm_zero(struct pmio_pm *pm, void *dst, size_t len)
{
	assert_inside(pm, dst, len);
	if (len > 0)
		pm->ops->zero(pm, dst, len);
}

static void stored(struct pmio_pm *pm, const void *addr, size_t len)
{
	if (pm->ops->stored)
		pm->ops->stored(pm, addr, len);
}

ssize_t pmio_pm_pread(struct pmio_pm *pm, void *dst, int fd, size_t len, off_t off)
{
	size_t done = 0;
	ssize_t n = 0;

	assert_inside(pm, dst, len);
	while (done < len) {
		n = pread(fd, (uint8_t *)dst + done, len - done, off + (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (n < 0)
		n = -errno;

	/* bytes read before the error are in the cache nevertheless */
	if (done > 0) {
		stored(pm, dst, done);
		pmio_pm_flush(pm, dst, done);
	}
	return n < 0 ? n : (ssize_t)done;
}

void pmio_pm_store64(struct pmio_pm *pm, uint64_t *dst, uint64_t value)
{
	assert_inside(pm, dst, sizeof(*dst));
	__atomic_store_n(dst, value, __ATOMIC_SEQ_CST);
	stored(pm, dst, sizeof(*dst));
}

uint64_t pmio_pm_or64(struct pmio_pm *pm, uint64_t *dst, uint64_t bits)
{
	uint64_t old;

	assert_inside(pm, dst, sizeof(*dst));
	old = __atomic_fetch_or(dst, bits, __ATOMIC_SEQ_CST);
	stored(pm, dst, sizeof(*dst));
	return old;
}

uint64_t pmio_pm_and64(struct pmio_pm *pm, uint64_t *dst, uint64_t bits)
{
	uint64_t old;

	assert_inside(pm, dst, sizeof(*dst));
	old = __atomic_fetch_and(dst, bits, __ATOMIC_SEQ_CST);
	stored(pm, dst, sizeof(*dst));
	return old;
}

bool pmio_pm_max64(struct pmio_pm *pm, uint64_t *dst, uint64_t value)
{
	uint64_t old;

	assert_inside(pm, dst, sizeof(*dst));
	old = __atomic_load_n(dst, __ATOMIC_SEQ_CST);
	do {
		if (old >= value)
			return false;
	} while (!__atomic_compare_exchange_n(dst, &old, value, false, __ATOMIC_SEQ_CST,
					      __ATOMIC_SEQ_CST));
	stored(pm, dst, sizeof(*dst));
	return true;
}

bool pmio_pm_add64(struct pmio_pm *pm, uint64_t *dst, uint64_t n, uint64_t most, uint64_t *old)
{
	assert_inside(pm, dst, sizeof(*dst));
	*old = __atomic_load_n(dst, __ATOMIC_SEQ_CST);
	do {
		if (*old > most || n > most - *old)
			return false;
	} while (!__atomic_compare_exchange_n(dst, old, *old + n, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
	stored(pm, dst, sizeof(*dst));
	return true;
}

uint64_t pmio_pm_load64(const uint64_t *src)
{
	return __atomic_load_n(src, __ATOMIC_ACQUIRE);
}

void pmio_pm_flush(struct pmio_pm *pm, const void *addr, size_t len)
{
	assert_inside(pm, addr, len);
	if (len > 0)
		pm->ops->flush(pm, addr, len);
}

void pmio_pm_fence(struct pmio_pm *pm)
{
	pm->ops->fence(pm);
	/*
	 * The fence that drains flushes (sfence) orders stores only.  Callers that read
	 * other processes' bits after it need loads ordered after it, too.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

int pmio_pm_sync(struct pmio_pm *pm, const void *addr, size_t len)
{
	assert_inside(pm, addr, len);
	return len > 0 ? pm->ops->sync(pm, addr, len) : 0;
}

void pmio_pm_read(struct pmio_pm *pm, void *dst, const void *src, size_t len)
{
	assert_inside(pm, src, len);
	if (len > 0)
		pm->ops->read(pm, dst, src, len);
}

void pmio_pm_populate(struct pmio_pm *pm, void *addr, size_t len)
{
	assert_inside(pm, addr, len);
	if (len > 0)
		pm->ops->populate(pm, addr, len);
}
