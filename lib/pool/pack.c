/*
 * pack.c -- small files that share frames (format.h)
 *
 * A file is packed, and unpacked, while no program has it open, so only the agent accesses its bytes meanwhile.
 */
#include <errno.h>
#include <string.h>

#include "core/log.h"
#include "pool/pool_impl.h"

#define UNITS_ALL UINT64_MAX

_Static_assert(PMIO_PACK_UNITS == 64, "the units of a frame are the bits of one word");

static uint64_t generation_of(const struct pmio_view *v, uint32_t slot)
{
	return pmio_pm_load64(&v->slots[slot].generation);
}

static uint8_t *unit_data(const struct pmio_view *v, uint64_t frame, unsigned unit)
{
	const struct pmio_packed p = { .frame = frame, .unit = unit };

	return pmio_view_frame(v, frame) + pmio_packed_offset(&p, v->block_shift);
}

/* a file's word is durable when it returns */
static int set_word(struct pmio_view *v, uint32_t slot, uint64_t word)
{
	struct pmio_slot_df *df = &v->slots[slot];

	pmio_pm_store64(v->pm, &df->packed, word);
	return pmio_pm_sync(v->pm, &df->packed, sizeof(df->packed));
}

/* ---- units ------------------------------------------------------------------------------- */

static void take_unit(struct pmio_pool *pool, uint64_t frame, unsigned unit)
{
	pool->nr_packs += pool->packs[frame] == 0;
	pool->packs[frame] |= 1ULL << unit;
}

void pmio_pool_unit_put(struct pmio_pool *pool, uint64_t frame, unsigned unit)
{
	pool->packs[frame] &= ~(1ULL << unit);
	if (pool->packs[frame]) {
		pool->open_pack = frame;
		return;
	}
	pool->nr_packs--;
	if (pool->open_pack == frame)
		pool->open_pack = PMIO_NO_FRAME;
	pmio_pool_frame_put(pool, frame);
}

/* a frame with a free unit; PMIO_NO_FRAME: there is none */
static uint64_t find_pack(struct pmio_pool *pool)
{
	uint64_t nr = pool->view->nr_frames, at = pool->open_pack;

	if (at != PMIO_NO_FRAME && pool->packs[at] != UNITS_ALL)
		return at;
	for (uint64_t i = 0; i < nr && pool->nr_packs; i++) {
		at = at == PMIO_NO_FRAME || at + 1 == nr ? 0 : at + 1;
		if (pool->packs[at] != 0 && pool->packs[at] != UNITS_ALL)
			return pool->open_pack = at;
	}
	return PMIO_NO_FRAME;
}

/* make it a shared frame: neither the chunk of a file nor free */
static void own_pack(struct pmio_view *v, uint64_t frame)
{
	uint64_t *owner = &v->headers[frame].owner;

	if (pmio_pm_load64(owner) == PMIO_OWNER_PACK)
		return;
	pmio_pm_store64(v->pm, owner, PMIO_OWNER_PACK);
	pmio_pm_flush(v->pm, owner, sizeof(*owner));
}

/* ---- files --------------------------------------------------------------------------------- */

uint64_t pmio_pool_pack_max(const struct pmio_pool *pool)
{
	return pmio_packed_max(pool->view->block_shift);
}

bool pmio_pool_packed(const struct pmio_pool *pool, uint32_t slot, struct pmio_packed *p)
{
	const struct pmio_view *v = pool->view;

	return pmio_packed_decode(pmio_pm_load64(&v->slots[slot].packed), generation_of(v, slot), v->nr_frames, p);
}

uint8_t *pmio_pool_packed_data(const struct pmio_pool *pool, const struct pmio_packed *p)
{
	return unit_data(pool->view, p->frame, p->unit);
}

/* the word for the blocks that a frame has */
static uint64_t word_for(struct pmio_view *v, uint32_t slot, uint64_t from, uint64_t to, unsigned unit)
{
	struct pmio_mask valid, dirty, draining;
	const uint64_t all = (1u << PMIO_PACK_BLOCKS) - 1;

	pmio_frame_get(v, from, &valid, &dirty, &draining);
	return PMIO_PACKED(generation_of(v, slot), to, unit, valid.w[0] & all, valid.w[0] & (dirty.w[0] | draining.w[0]) & all);
}

int pmio_pool_pack(struct pmio_pool *pool, uint32_t slot, uint64_t frame)
{
	struct pmio_view *v = pool->view;
	uint64_t to = find_pack(pool);
	unsigned unit = to == PMIO_NO_FRAME ? 0 : (unsigned)__builtin_ctzll(~pool->packs[to]);
	int rc = v->nr_frames > PMIO_PACKED_FRAME_MAX ? -EOPNOTSUPP : pmio_view_upgrade(v);

	if (rc < 0)
		return rc;
	/*
	 * P1 the bytes, in the unit; not if the file's frame becomes the one that is shared, with the bytes as they are
	 * P2 the file's word
	 * P3 the file's frame is free, or has the owner word of shared ones
	 * crash before P2: as it was; between: the word counts, and recovery does P3
	 */
	if (to != PMIO_NO_FRAME) {
		pmio_pm_copy(v->pm, unit_data(v, to, unit), pmio_view_frame(v, frame), pmio_pool_pack_max(pool));
		rc = pmio_pm_sync(v->pm, unit_data(v, to, unit), pmio_pool_pack_max(pool)); /* P1 */
	}
	if (rc == 0)
		rc = set_word(v, slot, word_for(v, slot, frame, to == PMIO_NO_FRAME ? frame : to, unit)); /* P2 */
	if (rc < 0)
		return rc;
	if (to == PMIO_NO_FRAME) {
		own_pack(v, frame); /* P3 */
		pool->open_pack = to = frame;
	} else {
		pmio_pool_frame_put(pool, frame); /* P3 */
	}
	take_unit(pool, to, unit);
	return 0;
}

int pmio_pool_unpack(struct pmio_pool *pool, uint32_t slot, uint64_t *frame)
{
	struct pmio_view *v = pool->view;
	struct pmio_frame_df *h;
	struct pmio_packed p;
	int rc;

	if (!pmio_pool_packed(pool, slot, &p))
		return -ENOENT;
	*frame = pmio_pool_frame_get(pool, slot, 0);
	if (*frame == PMIO_NO_FRAME)
		return -ENOSPC;
	h = &v->headers[*frame];
	/*
	 * P1 the bytes
	 * P2 valid and dirty
	 * P3 the word is cleared
	 * crash before P3: it counts, and recovery frees the frame; after: the file has the frame
	 */
	pmio_pm_copy(v->pm, pmio_view_frame(v, *frame), unit_data(v, p.frame, p.unit), pmio_pool_pack_max(pool));
	rc = pmio_pm_sync(v->pm, pmio_view_frame(v, *frame), pmio_pool_pack_max(pool)); /* P1 */
	pmio_pm_store64(v->pm, &h->valid[0], p.valid);
	pmio_pm_store64(v->pm, &h->dirty[0], p.dirty);
	if (rc == 0)
		rc = pmio_pm_sync(v->pm, h, sizeof(*h)); /* P2 */
	if (rc == 0)
		rc = set_word(v, slot, 0); /* P3 */
	if (rc < 0) {
		pmio_pool_frame_put(pool, *frame);
		return rc;
	}
	pmio_pool_unit_put(pool, p.frame, p.unit);
	return 0;
}

int pmio_pool_packed_drop(struct pmio_pool *pool, uint32_t slot)
{
	struct pmio_packed p;
	int rc;

	if (!pmio_pool_packed(pool, slot, &p))
		return 0;
	/*
	 * P1 the word is cleared
	 * crash before P1: as it was; after: the file has no data in the pool, and the unit is free
	 */
	rc = set_word(pool->view, slot, 0); /* P1 */
	if (rc == 0)
		pmio_pool_unit_put(pool, p.frame, p.unit);
	return rc;
}

/* ---- recovery --------------------------------------------------------------------------------- */

void pmio_pool_packs_recover(struct pmio_pool *pool, const struct pmio_scan *scan)
{
	struct pmio_view *v = pool->view;
	struct pmio_packed p;

	for (uint32_t slot = 0; slot < v->nr_slots; slot++) {
		if (scan->state[slot] == PMIO_FILE_NONE || !pmio_pool_packed(pool, slot, &p) ||
		    scan->frame[p.frame] != PMIO_FRAME_PACK)
			continue;
		take_unit(pool, p.frame, p.unit);
		own_pack(v, p.frame);
	}
}
