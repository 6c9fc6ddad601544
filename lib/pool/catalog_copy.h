/*
 * catalog_copy.h -- the catalog of a pool that must not be changed, and may be damaged
 *
 * A copy of the file in memory.  libpmemobj repairs it, as after a crash, in a child
 * process, which may fail or crash on damaged data; the result is then read without
 * libpmemobj.  For the files of lib/pool only.
 */
#ifndef PMIO_POOL_CATALOG_COPY_H
#define PMIO_POOL_CATALOG_COPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pool/pool.h"

static inline bool is_zero(const void *p, size_t len)
{
	const uint8_t *b = p;

	while (len > 0 && *b == 0) {
		b++;
		len--;
	}
	return len == 0;
}

struct pmio_catalog_copy {
	uint8_t *bytes;	 /* owned */
	uint64_t size;	 /* bytes; 0: there is no catalog */
	uint64_t entries; /* offset */
	uint32_t nr_slots; /* 0: no entries were found */
	uint64_t pool_id; /* libpmemobj's */
	bool sound;	 /* libpmemobj found nothing wrong */
};

/*
 * pmio_catalog_copy_read -- read as much of it as possible
 *
 * uuid   the pool's; NULL: not known
 *
 * Returns 0, also if nothing could be read, or -ENOMEM, logged.
 */
int pmio_catalog_copy_read(int dir_fd, const char *dir, const uint8_t *uuid,
			   struct pmio_catalog_copy *copy);
void pmio_catalog_copy_fini(struct pmio_catalog_copy *copy);

/* 0, -ENOENT (slot free, or no entries), PMIO_EDAMAGED; not logged */
int pmio_catalog_copy_get(const struct pmio_catalog_copy *copy, uint32_t slot,
			  struct pmio_pool_file *file);

#endif
