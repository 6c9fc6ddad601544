/*
 * u64map.h -- a small map from 64-bit numbers to values, by open addressing with linear probing
 *
 * An entry is any struct whose first member is a uint64_t: the key plus one, 0 where the entry is empty.
 * Entries are never removed one by one.  The table is at most half full, and its size a power of two; the
 * multiplier is 2^64 divided by the golden ratio (Knuth, The Art of Computer Programming, vol. 3, 6.4).
 *
 * Threads: the caller's lock.  Owned by the map: entries; pmio_u64map_clear() frees them.
 */
#ifndef PMIO_CORE_U64MAP_H
#define PMIO_CORE_U64MAP_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct pmio_u64map {
	void *entries;	   /* NULL: nothing has been added yet */
	size_t size, used; /* entries */
};

/* the place of the key's entry, existing or not; len: of an entry, bytes */
static inline void *pmio_u64map_probe(const struct pmio_u64map *m, size_t len, uint64_t key)
{
	size_t i = (size_t)((key * 0x9e3779b97f4a7c15ULL) >> 20) & (m->size - 1);
	uint64_t *e = (uint64_t *)((char *)m->entries + i * len);

	while (*e && *e != key + 1) {
		i = (i + 1) & (m->size - 1);
		e = (uint64_t *)((char *)m->entries + i * len);
	}
	return e;
}

/* NULL: there is none */
static inline void *pmio_u64map_find(const struct pmio_u64map *m, size_t len, uint64_t key)
{
	uint64_t *e = m->size ? pmio_u64map_probe(m, len, key) : NULL;

	return e && *e ? e : NULL;
}

static inline int pmio_u64map_grow(struct pmio_u64map *m, size_t len)
{
	struct pmio_u64map more = { .size = m->size ? m->size * 2 : 64, .used = m->used };

	more.entries = calloc(more.size, len);
	if (!more.entries)
		return -ENOMEM;
	for (size_t i = 0; i < m->size; i++) {
		const uint64_t *e = (const uint64_t *)((const char *)m->entries + i * len);

		if (*e)
			memcpy(pmio_u64map_probe(&more, len, *e - 1), e, len);
	}
	free(m->entries);
	*m = more;
	return 0;
}

/* the key's entry, which is made if there is none: its other members are 0 then; NULL: out of memory */
static inline void *pmio_u64map_get(struct pmio_u64map *m, size_t len, uint64_t key)
{
	uint64_t *e;

	if ((m->used + 1) * 4 > m->size * 3 && pmio_u64map_grow(m, len) < 0)
		return NULL;
	e = pmio_u64map_probe(m, len, key);
	m->used += *e == 0;
	*e = key + 1;
	return e;
}

static inline void pmio_u64map_clear(struct pmio_u64map *m)
{
	free(m->entries);
	memset(m, 0, sizeof(*m));
}

#endif
