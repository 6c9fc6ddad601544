/*
 * claim_cache.c -- which frame holds a chunk, from the agent's answers: per open file,
 * core/u64map.h
 *
 * All of an agent's answers are dropped when another agent has taken over.
 */
#include <errno.h>
#include <string.h>

#include "client/client.h"
#include "core/error.h"

#define POPULATE_MAX CLIENT_AHEAD_MAX /* chunks whose pages are mapped by one call */

void client_cache_clear(struct pmio_file *f)
{
	pmio_u64map_clear(&f->cache);
}

bool client_cache_get(struct pmio_file *f, uint64_t chunk, int64_t *frame, struct client_known *known)
{
	const struct cache_entry *e = pmio_u64map_find(&f->cache, sizeof(*e), chunk);

	if (!e)
		return false;
	*frame = e->frame;
	if (known)
		*known = e->known;
	return true;
}

void client_remember(struct pmio_file *f, uint64_t chunk, int64_t frame, const struct client_known *more)
{
	struct cache_entry *e;

	if (pthread_mutex_trylock(&f->lock) != 0)
		return;
	e = pmio_u64map_find(&f->cache, sizeof(*e), chunk);
	if (e && e->frame == frame) {
		if (e->known.word != more->word)
			e->known = *more;
		for (int i = 0; i < PMIO_MASK_WORDS; i++)
			e->known.blocks.w[i] |= more->blocks.w[i];
	}
	pthread_mutex_unlock(&f->lock);
}

int client_learn_frame(struct pmio_file *f, uint64_t chunk, int64_t frame)
{
	struct cache_entry *e;

	if (frame != PMIO_CLAIM_PFS && (frame < 0 || (uint64_t)frame >= f->pm->view->nr_frames))
		return PMIO_EPROTO;
	e = pmio_u64map_get(&f->cache, sizeof(*e), chunk);
	if (!e)
		return -ENOMEM;
	if (e->frame != frame)
		memset(&e->known, 0, sizeof(e->known));
	e->frame = frame;
	return 0;
}

void client_populate(struct pmio_file *f, uint64_t chunk, int64_t frame, uint64_t last)
{
	struct pmio_view *v = f->pm->view;
	uint64_t nr = 0;

	pthread_mutex_lock(&f->lock);
	for (; nr < POPULATE_MAX && chunk + nr <= last; nr++) {
		struct cache_entry *e = pmio_u64map_find(&f->cache, sizeof(*e), chunk + nr);

		if (!e || e->touched == UINT32_MAX || e->frame != frame + (int64_t)nr)
			break;
		e->touched = UINT32_MAX;
	}
	pthread_mutex_unlock(&f->lock);
	if (nr)
		pmio_pm_populate(v->pm, pmio_view_frame(v, (uint64_t)frame), nr << v->chunk_shift);
}

void client_populate_window(struct pmio_file *f, uint64_t chunk, int64_t frame, uint32_t byte)
{
	struct pmio_view *v = f->pm->view;
	uint32_t len = client_window(v), window = byte / len;
	struct cache_entry *e;
	bool is_new;

	pthread_mutex_lock(&f->lock);
	e = pmio_u64map_find(&f->cache, sizeof(*e), chunk);
	is_new = e && e->frame == frame && !(e->touched & 1u << window);
	if (is_new)
		e->touched |= 1u << window;
	pthread_mutex_unlock(&f->lock);
	if (is_new)
		pmio_pm_populate(v->pm, pmio_view_frame(v, (uint64_t)frame) + (size_t)window * len, len);
}
