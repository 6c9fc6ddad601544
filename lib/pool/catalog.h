/*
 * catalog.h -- a pool's file `catalog`: the metadata of the file in each slot
 *
 * A libpmemobj pool with one array of entries, one per slot.  Every change is a
 * transaction: all fields or none.  For the files of lib/pool only.
 *
 * Threads: one at a time.
 */
#ifndef PMIO_POOL_CATALOG_H
#define PMIO_POOL_CATALOG_H

#include "pool/pool.h"

struct pmio_catalog;

/*
 * pmio_catalog_create -- make the file `name` in the directory dir_fd
 *
 * dir   of dir_fd, for messages
 *
 * Returns 0, -ENOSPC, -EEXIST, ...; logged.  Durable when it returns 0; the
 * directory entry is not.
 */
int pmio_catalog_create(int dir_fd, const char *dir, const char *name, const uint8_t uuid[16],
			uint32_t nr_slots);

/* is this file a catalog of pmio, of any version?  0, PMIO_EVERSION or PMIO_ENOTPOOL; not logged */
int pmio_catalog_probe(int fd);

enum pmio_catalog_mode {
	PMIO_CATALOG_OWN,  /* to change it */
	PMIO_CATALOG_LOOK, /* changes are not written to the file */
};

/*
 * pmio_catalog_open -- open PMIO_POOL_CATALOG in dir_fd
 *
 * uuid, nr_slots   as the superblock has them
 *
 * Returns 0, -ENOENT, -EPERM, -EACCES, -EBUSY, -ENOMEM, PMIO_EVERSION or
 * PMIO_EDAMAGED (not a catalog, cut off, inconsistent, or of another pool); logged.
 */
int pmio_catalog_open(int dir_fd, const char *dir, const uint8_t uuid[16], uint32_t nr_slots,
		      enum pmio_catalog_mode mode, struct pmio_catalog **out);
void pmio_catalog_close(struct pmio_catalog **cat); /* takes a pointer to NULL */

/* pmemobj_check() on it; 0, or as pmio_catalog_open() */
int pmio_catalog_check(int dir_fd, const char *dir, uint32_t nr_slots);

/* an enum pmio_file_state and the entry's generation, or PMIO_EDAMAGED, logged */
int pmio_catalog_state(const struct pmio_catalog *cat, uint32_t slot, uint64_t *generation);

/* PMIO_FILE_* flags of a slot that pmio_catalog_state() has found in use */
uint32_t pmio_catalog_flags(const struct pmio_catalog *cat, uint32_t slot);

/* 0, -ENOENT (slot free), PMIO_EDAMAGED */
int pmio_catalog_get(const struct pmio_catalog *cat, uint32_t slot, struct pmio_pool_file *file);

/* 0, -EINVAL (state, or a path that is empty or has no end), -ENOSPC (not logged); durable */
int pmio_catalog_set(struct pmio_catalog *cat, uint32_t slot, const struct pmio_pool_file *file);

/* make the slot free; 0 or libpmemobj's error; durable */
int pmio_catalog_clear(struct pmio_catalog *cat, uint32_t slot);

#endif
