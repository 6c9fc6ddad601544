#include "pool/pool_scan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "pool/packed.h"

/* ---- slots --------------------------------------------------------------------- */

static bool generation_ok(uint64_t generation)
{
	return generation > 0 && generation <= PMIO_OWNER_GENERATION(UINT64_MAX);
}

static void scan_packed(struct pmio_scan *scan, const struct pmio_view *v, const char *dir, uint32_t slot, uint64_t size)
{
	uint64_t word = pmio_pm_load64(&v->slots[slot].packed), generation = pmio_pm_load64(&v->slots[slot].generation);
	struct pmio_packed p;

	if (!pmio_packed_counts(word, generation))
		return;
	if (!pmio_packed_decode(word, generation, v->nr_frames, &p) || size > pmio_packed_max(v->block_shift)) {
		pmio_err("%s: damaged: invalid location of the packed file in slot %u", dir, slot);
		scan->nr_problems++;
		return;
	}
	if (scan->units[p.frame] & 1ULL << p.unit) {
		pmio_err("%s: damaged: slot %u and another one have the same unit of frame %" PRIu64, dir, slot, p.frame);
		scan->nr_problems++;
		return;
	}
	scan->units[p.frame] |= 1ULL << p.unit;
	scan->packed[slot] = true;
}

static void scan_slot(struct pmio_scan *scan, const struct pmio_view *v,
		      const struct pmio_catalog *cat, const char *dir, uint32_t slot)
{
	uint64_t live = pmio_pm_load64(&v->slots[slot].generation);
	uint64_t size = pmio_pm_load64(&v->slots[slot].size);
	uint64_t generation;
	int state;

	if (!generation_ok(live)) {
		pmio_err("%s: damaged: invalid generation of slot %u", dir, slot);
		scan->nr_problems++;
		return;
	}
	state = pmio_catalog_state(cat, slot, &generation);
	if (state < 0)
		scan->nr_problems++;
	if (state <= PMIO_FILE_NONE)
		return;
	if (generation != live) {
		/* one ahead: a removal was interrupted after its commit point */
		scan->stale[slot] = true;
		if (generation + 1 != live) {
			pmio_err("%s: damaged: catalog and data differ on slot %u", dir, slot);
			scan->nr_problems++;
		}
		return;
	}
	if (size > INT64_MAX) {
		pmio_err("%s: damaged: invalid size of the file in slot %u", dir, slot);
		scan->nr_problems++;
		return;
	}
	scan->state[slot] = (uint8_t)state;
	scan->unsynced[slot] = pmio_catalog_flags(cat, slot) & PMIO_FILE_UNSYNCED;
	scan_packed(scan, v, dir, slot, size);
}

/* ---- frames --------------------------------------------------------------------- */

static enum pmio_frame_class classify(struct pmio_scan *scan, const struct pmio_view *v,
				      const char *dir, uint64_t frame)
{
	const struct pmio_frame_df *h = &v->headers[frame];
	uint64_t owner = pmio_pm_load64(&h->owner);
	uint32_t slot = PMIO_OWNER_SLOT(owner);

	if (scan->units[frame] && (owner == PMIO_OWNER_PACK || (slot < v->nr_slots && scan->packed[slot])))
		return PMIO_FRAME_PACK;
	if (scan->units[frame]) {
		pmio_err("%s: damaged: frame %" PRIu64 " has packed files, and another owner", dir, frame);
		scan->nr_problems++;
		return PMIO_FRAME_PACK;
	}
	if (owner == 0)
		return PMIO_FRAME_FREE;
	if (owner == PMIO_OWNER_PACK)
		return PMIO_FRAME_LEFT;
	if (slot >= v->nr_slots || PMIO_OWNER_GENERATION(owner) == 0) {
		pmio_err("%s: damaged: invalid owner of frame %" PRIu64, dir, frame);
		scan->nr_problems++;
		return PMIO_FRAME_BAD;
	}
	if (PMIO_OWNER_GENERATION(owner) != pmio_pm_load64(&v->slots[slot].generation) ||
	    scan->state[slot] == PMIO_FILE_NONE || scan->packed[slot])
		return PMIO_FRAME_LEFT;
	if (pmio_pm_load64(&h->chunk) > (uint64_t)INT64_MAX >> v->chunk_shift) {
		pmio_err("%s: damaged: invalid chunk number of frame %" PRIu64, dir, frame);
		scan->nr_problems++;
		return PMIO_FRAME_BAD;
	}
	return PMIO_FRAME_USED;
}

struct holder {
	uint64_t owner, chunk, frame;
	bool dirty;
};

static bool frame_dirty(const struct pmio_view *v, uint64_t frame)
{
	struct pmio_mask valid, dirty, draining;

	pmio_frame_get(v, frame, &valid, &dirty, &draining);
	for (unsigned i = 0; i < PMIO_MASK_WORDS; i++)
		if (valid.w[i] & (dirty.w[i] | draining.w[i]))
			return true;
	return false;
}

static int cmp64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* by chunk; within one, the frame to keep first */
static int cmp_holders(const void *pa, const void *pb)
{
	const struct holder *a = pa, *b = pb;
	int c = cmp64(a->owner, b->owner);

	if (c == 0)
		c = cmp64(a->chunk, b->chunk);
	if (c == 0)
		c = (int)b->dirty - (int)a->dirty;
	return c ? c : cmp64(a->frame, b->frame);
}

static void find_doubles(struct pmio_scan *scan, const struct pmio_view *v, const char *dir,
			 struct holder *held)
{
	uint64_t nr = 0;

	for (uint64_t i = 0; i < v->nr_frames; i++)
		if (scan->frame[i] == PMIO_FRAME_USED)
			held[nr++] = (struct holder){pmio_pm_load64(&v->headers[i].owner),
						     pmio_pm_load64(&v->headers[i].chunk), i,
						     frame_dirty(v, i)};
	qsort(held, nr, sizeof(*held), cmp_holders);

	for (uint64_t i = 1; i < nr; i++) {
		if (held[i].owner != held[i - 1].owner || held[i].chunk != held[i - 1].chunk)
			continue;
		pmio_err("%s: damaged: frames %" PRIu64 " and %" PRIu64
			 " hold chunk %" PRIu64 " of slot %u",
			 dir, held[i - 1].frame, held[i].frame, held[i].chunk,
			 PMIO_OWNER_SLOT(held[i].owner));
		scan->frame[held[i].frame] = PMIO_FRAME_BAD;
		scan->nr_problems++;
	}
}

/* ---- all --------------------------------------------------------------------------- */

int pmio_scan_new(const struct pmio_view *v, const struct pmio_catalog *cat, const char *dir,
		  struct pmio_scan **out)
{
	struct pmio_scan *scan = calloc(1, sizeof(*scan));
	struct holder *held = calloc(v->nr_frames, sizeof(*held));

	*out = scan;
	if (scan) {
		scan->state = calloc(v->nr_slots, sizeof(*scan->state));
		scan->stale = calloc(v->nr_slots, sizeof(*scan->stale));
		scan->unsynced = calloc(v->nr_slots, sizeof(*scan->unsynced));
		scan->packed = calloc(v->nr_slots, sizeof(*scan->packed));
		scan->units = calloc(v->nr_frames, sizeof(*scan->units));
		scan->frame = calloc(v->nr_frames, sizeof(*scan->frame));
	}
	if (!held || !scan || !scan->state || !scan->stale || !scan->unsynced || !scan->packed || !scan->units ||
	    !scan->frame) {
		pmio_err("%s: %s", dir, strerror(ENOMEM));
		free(held);
		pmio_scan_delete(out);
		return -ENOMEM;
	}

	for (uint32_t slot = 0; cat && slot < v->nr_slots; slot++)
		scan_slot(scan, v, cat, dir, slot);
	for (uint64_t i = 0; i < v->nr_frames; i++)
		scan->frame[i] = (uint8_t)classify(scan, v, dir, i);
	find_doubles(scan, v, dir, held);
	free(held);
	return 0;
}

void pmio_scan_delete(struct pmio_scan **scan)
{
	if (!*scan)
		return;
	free((*scan)->state);
	free((*scan)->stale);
	free((*scan)->unsynced);
	free((*scan)->packed);
	free((*scan)->units);
	free((*scan)->frame);
	free(*scan);
	*scan = NULL;
}
