/*
 * catalog_df.h -- the contents of a catalog, as objects of libpmemobj
 *
 * For the files of lib/pool only.
 */
#ifndef PMIO_POOL_CATALOG_DF_H
#define PMIO_POOL_CATALOG_DF_H

#include <assert.h>
#include <libpmemobj.h>
#include <stddef.h>
#include <stdint.h>

#define CATALOG_VERSION 1

struct root_df {
	uint32_t version; /* 0: creation was cut off */
	uint32_t nr_slots;
	uint8_t uuid[16]; /* the same in `data` */
	PMEMoid entries;  /* array of nr_slots struct entry_df */
	uint8_t reserved[24];
};
_Static_assert(sizeof(struct root_df) == 64, "root of the catalog");

struct entry_df {
	PMEMoid path; /* path_len bytes and a zero; null in a free slot */
	uint32_t state;
	uint32_t flags;
	uint64_t generation;
	uint64_t dev, ino;
	uint64_t pfs_size;
	int64_t mtime_s, mtime_ns, ctime_s, ctime_ns;
	uint32_t mode;
	int32_t error;
	uint32_t path_len; /* bytes, without the zero */
	uint32_t reserved;
	int64_t birth_ns;  /* 0: not known, as in pools of earlier versions */
	uint8_t reserved2[16];
};
_Static_assert(sizeof(struct entry_df) == 128, "entry of the catalog");

/* room for the entries, for paths of ordinary length and for libpmemobj's own data */
size_t pmio_catalog_file_size(uint32_t nr_slots);

#endif
