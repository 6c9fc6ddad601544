/*
 * small.h -- copying many small pieces of one request to and from persistent memory
 *
 * For a piece of a cache line the calls on the way to libpmem2's copy cost several times
 * the copy itself.  Here whole lines are stored by the instructions that libpmem2 uses as
 * well (non-temporal stores; SSE2 is part of x86-64), without a call; parts of lines are
 * stored by the cache, and each line is flushed once, when the pieces have left it.
 * Larger pieces, other processors, and the recorder of the tests take pmio_pm_copy().
 *
 * Measured on EPYC (bench/run, rewrite_coll_64B against durable): 64-byte pieces at
 * 4 ns each, by pmem2_memcpy 10 to 18 ns.
 */
#ifndef PMIO_PM_SMALL_H
#define PMIO_PM_SMALL_H

#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "pm/pm.h"

#define PMIO_PM_STORE_SMALL 4096u /* bytes: above, a call costs little beside the copy */
#define PMIO_PM_LOAD_SMALL 2047u  /* bytes: memcpy() takes no rep movsb (glibc's threshold is 2 KiB and up) */

/* stores of one request: in any order, as long as none is needed durable before pmio_pm_stores_end() and a fence */
struct pmio_pm_stores {
	struct pmio_pm *pm;
	bool plain;	       /* the bytes may be stored by any instruction */
	uintptr_t start, end;  /* stored by the cache, and not flushed yet; equal: nothing */
};

static inline void pmio_pm_stores_begin(struct pmio_pm_stores *s, struct pmio_pm *pm)
{
	s->pm = pm;
	s->plain = pmio_pm_is_plain(pm);
	s->start = s->end = 0;
}

/* flushed, not fenced */
static inline void pmio_pm_stores_end(struct pmio_pm_stores *s)
{
	if (s->start < s->end)
		pmio_pm_flush(s->pm, (void *)s->start, s->end - s->start);
	s->start = s->end = 0;
}

/* whole lines, past the cache; false: not on this processor */
static inline bool pmio_pm_store_lines(void *dst, const void *src, size_t len)
{
#ifdef __SSE2__
	const char *from = src;
	char *to = dst;

	for (size_t i = 0; i < len; i += PMIO_PM_LINE) {
		__m128i a = _mm_loadu_si128((const __m128i *)(from + i));
		__m128i b = _mm_loadu_si128((const __m128i *)(from + i + 16));
		__m128i c = _mm_loadu_si128((const __m128i *)(from + i + 32));
		__m128i d = _mm_loadu_si128((const __m128i *)(from + i + 48));

		_mm_stream_si128((__m128i *)(to + i), a);
		_mm_stream_si128((__m128i *)(to + i + 16), b);
		_mm_stream_si128((__m128i *)(to + i + 32), c);
		_mm_stream_si128((__m128i *)(to + i + 48), d);
	}
	return true;
#else
	(void)dst, (void)src, (void)len;
	return false;
#endif
}

/* less than a line: others of the same line are likely to follow */
static inline void pmio_pm_store_part(struct pmio_pm_stores *s, void *dst, const void *src, size_t len)
{
	uintptr_t at = (uintptr_t)dst, next = ((s->end - 1) | (PMIO_PM_LINE - 1)) + 1; /* the line after the last one */

	if (at < s->start || at >= next + PMIO_PM_LINE) {
		pmio_pm_stores_end(s);
		s->start = at;
	}
	memcpy(dst, src, len);
	if (at + len > s->end)
		s->end = at + len;
}

/* as pmio_pm_copy(), but flushed only by pmio_pm_stores_end() */
static inline void pmio_pm_store(struct pmio_pm_stores *s, void *dst, const void *src, size_t len)
{
	if (!s->plain || len > PMIO_PM_STORE_SMALL)
		pmio_pm_copy(s->pm, dst, src, len);
	else if (len < PMIO_PM_LINE)
		pmio_pm_store_part(s, dst, src, len);
	else if (((uintptr_t)dst | len) % PMIO_PM_LINE || !pmio_pm_store_lines(dst, src, len))
		pmio_pm_copy(s->pm, dst, src, len);
}

/* as pmio_pm_read() */
static inline void pmio_pm_load(struct pmio_pm *pm, void *dst, const void *src, size_t len)
{
	if (len == PMIO_PM_LINE)
		memcpy(dst, src, PMIO_PM_LINE); /* without a call */
	else if (len <= PMIO_PM_LOAD_SMALL)
		memcpy(dst, src, len);
	else
		pmio_pm_read(pm, dst, src, len);
}

#endif
