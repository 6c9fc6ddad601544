/*
 * pool_impl.h -- an open pool, shared by pool.c, pool_frames.c and pack.c
 */
#ifndef PMIO_POOL_POOL_IMPL_H
#define PMIO_POOL_POOL_IMPL_H

#include "pool/catalog.h"
#include "pool/pool.h"
#include "pool/pool_scan.h"

struct pmio_pool {
	char *dir; /* owned; as given */
	int dir_fd, lock_fd, data_fd;
	struct pmio_view *view;
	struct pmio_catalog *catalog;
	/* stacks of free frames and slots; on media these are frames without owner,
	   slots without entry */
	uint64_t *free_frames, *zeroed_frames;
	uint64_t nr_free_frames, nr_zeroed_frames;
	bool zero_more;      /* the reserve is being filled */
	unsigned nr_zeroing; /* being zeroed: in neither of the two stacks */
	bool rebooted;
	uint64_t *packs;	/* by frame: the units in use of one that packed files share; 0: it is not one */
	uint64_t nr_packs;
	uint64_t open_pack;	/* one that may have free units; PMIO_NO_FRAME: none */
	uint32_t *free_slots;
	uint32_t nr_free_slots;
};

/* ---- pack.c ---- */

/* at the open: the frames of packed files, of which the scan has found them; not fenced */
void pmio_pool_packs_recover(struct pmio_pool *pool, const struct pmio_scan *scan);
/* no word names this unit any more, durably: it is free, and its frame if that was the last one */
void pmio_pool_unit_put(struct pmio_pool *pool, uint64_t frame, unsigned unit);

#endif
