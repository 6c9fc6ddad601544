/*
 * pool_frames.c -- free and zeroed frames, and the owners of frames in use
 */
#include <assert.h>

#include "pool/pool_impl.h"

#define ZERO_RESERVE 256 /* zeroed frames kept ready */
#define ZERO_SPARE 16	  /* free frames that are not zeroed: a claim must find some that are not being worked on */

uint64_t pmio_pool_frame_get(struct pmio_pool *pool, uint32_t slot, uint64_t chunk)
{
	struct pmio_view *v = pool->view;
	uint64_t frame;

	if (pool->nr_free_frames > 0)
		frame = pool->free_frames[--pool->nr_free_frames];
	else if (pool->nr_zeroed_frames > 0)
		frame = pool->zeroed_frames[--pool->nr_zeroed_frames];
	else
		return PMIO_NO_FRAME;
	pmio_frame_claim(v, frame, slot, pmio_pm_load64(&v->slots[slot].generation), chunk);
	return frame;
}

uint64_t pmio_pool_frame_get_zero(struct pmio_pool *pool, uint32_t slot, uint64_t chunk)
{
	struct pmio_view *v = pool->view;
	uint64_t frame;

	if (pool->nr_zeroed_frames == 0)
		return PMIO_NO_FRAME;
	frame = pool->zeroed_frames[--pool->nr_zeroed_frames];
	pmio_frame_claim_zero(v, frame, slot, pmio_pm_load64(&v->slots[slot].generation), chunk);
	return frame;
}

uint64_t pmio_pool_zero_begin(struct pmio_pool *pool)
{
	if (pool->nr_zeroed_frames >= ZERO_RESERVE)
		pool->zero_more = false;
	else if (pool->nr_zeroed_frames < ZERO_RESERVE / 2)
		pool->zero_more = true;
	if (!pool->zero_more || pool->nr_free_frames <= ZERO_SPARE)
		return PMIO_NO_FRAME;
	pool->nr_zeroing++;
	return pool->free_frames[--pool->nr_free_frames];
}

bool pmio_pool_zero_is_short(const struct pmio_pool *pool)
{
	return pool->nr_zeroed_frames < ZERO_RESERVE / 4;
}

void pmio_pool_zero_end(struct pmio_pool *pool, uint64_t frame, bool is_zeroed)
{
	pool->nr_zeroing--;
	if (!is_zeroed)
		return;
	pmio_frame_set_zeroed(pool->view, frame);
	pool->zeroed_frames[pool->nr_zeroed_frames++] = frame;
}

void pmio_pool_frame_put(struct pmio_pool *pool, uint64_t frame)
{
	/* a frame that is put twice would be given to two files */
	assert(pmio_pm_load64(&pool->view->headers[frame].owner) != 0);
	pmio_frame_free(pool->view, frame);
	pool->free_frames[pool->nr_free_frames++] = frame;
}

uint64_t pmio_pool_frames_free(const struct pmio_pool *pool)
{
	return pool->nr_free_frames + pool->nr_zeroed_frames + pool->nr_zeroing;
}

int pmio_pool_frames_each(struct pmio_pool *pool,
			  int (*fn)(uint64_t frame, uint32_t slot, uint64_t chunk, void *arg),
			  void *arg)
{
	const struct pmio_view *v = pool->view;
	int rc = 0;

	for (uint64_t i = 0; i < v->nr_frames && rc == 0; i++) {
		uint64_t owner = pmio_pm_load64(&v->headers[i].owner);
		uint32_t slot = PMIO_OWNER_SLOT(owner);

		/* not frames of a removed file that are not put yet */
		if (owner == 0 || owner == PMIO_OWNER_PACK ||
		    PMIO_OWNER_GENERATION(owner) != pmio_pm_load64(&v->slots[slot].generation))
			continue;
		rc = fn(i, slot, pmio_pm_load64(&v->headers[i].chunk), arg);
	}
	return rc;
}
