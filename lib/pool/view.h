/*
 * view.h -- a pool's `data` as agent and clients see it
 *
 * A view is a mapping with a checked superblock, and the addresses of its parts.
 * frame.h has the operations on blocks.
 *
 * Threads: a view does not change after pmio_view_new().
 */
#ifndef PMIO_POOL_VIEW_H
#define PMIO_POOL_VIEW_H

#include "pm/pm.h"
#include "pool/format.h"

struct pmio_view {
	struct pmio_pm *pm;	/* owned */
	struct pmio_super_df *super;
	struct pmio_client_df *clients;
	struct pmio_slot_df *slots;
	struct pmio_frame_df *headers;
	uint8_t *frames;
	uint64_t chunk_size;	/* bytes */
	uint32_t block_size;	/* bytes: chunk_size / PMIO_CHUNK_BLOCKS */
	unsigned chunk_shift;
	unsigned block_shift;
	uint64_t nr_frames;
	uint32_t nr_slots;
	uint32_t nr_clients;
};

struct pmio_view_params {
	uint64_t chunk_size;	/* bytes; power of two, PMIO_CHUNK_MIN..PMIO_CHUNK_MAX */
	uint32_t nr_slots;	/* 1..PMIO_SLOTS_MAX */
	uint32_t nr_clients;
	uint8_t uuid[16];
};

/*
 * pmio_view_format -- write a new pool's superblock, slots and headers
 *
 * The mapping must read as zeros.  The magic is stored last: after interrupted
 * formatting the mapping is not a pool.
 *
 * Returns 0, -EINVAL (a parameter is out of bounds) or -ENOSPC (not room for
 * one frame); logged.
 * Durable: when it returns 0, on every granularity.
 */
int pmio_view_format(struct pmio_pm *pm, const struct pmio_view_params *params);

/* the flaw of a superblock (NULL: it is valid), also of one with a wrong checksum; not logged */
const char *pmio_view_super_flaw(const struct pmio_super_df *super);

/* what pmio_view_format() would write for data of this size; -ENOSPC; not logged */
int pmio_view_layout(struct pmio_super_df *super, const struct pmio_view_params *params, uint64_t size);

/*
 * pmio_view_new -- check a mapping's superblock and make a view of it
 *
 * pm     owned by the view from now on if this succeeds
 * name   for messages
 *
 * Returns 0, -ENOMEM, PMIO_ENOTPOOL (no pool in there), PMIO_EVERSION (made by
 * another version) or PMIO_EDAMAGED (checksum, size or offsets are wrong);
 * logged with name.
 */
int pmio_view_new(struct pmio_pm *pm, const char *name, struct pmio_view **out);

/* agent: from now on files may be packed (format.h), and releases that do not know these refuse the pool; durable; 0 or -errno */
int pmio_view_upgrade(struct pmio_view *v);

/* unmaps; takes a pointer to NULL */
void pmio_view_delete(struct pmio_view **view);

static inline uint8_t *pmio_view_frame(const struct pmio_view *v, uint64_t frame)
{
	return v->frames + (frame << v->chunk_shift);
}

#endif
