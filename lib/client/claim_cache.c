/*
 * claim_cache.c -- which frame holds a chunk, from the agent's answers: per open file,
 * core/u64map.h
 *
 * All of an agent's answers are dropped when another agent has taken over.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "core/error.h"

#define POPULATE_MAX CLIENT_AHEAD_MAX /* chunks whose pages are mapped by one call */

/*
 * Size of what client_remember() keeps of the chunks written last: at most 14 KiB a file.  Files may have tens of
 * thousands of chunks, but repeated small writes to the same blocks concern few of them.
 */
#define REMEMBERED 256

struct remembered {
	uint64_t chunk;		/* chunks that differ by a multiple of REMEMBERED have one entry */
	int64_t frame;
	struct client_known known; /* no blocks: empty */
};

void client_cache_clear(struct pmio_file *f)
{
	pmio_u64map_clear(&f->cache);
	free(f->remembered);
	f->remembered = NULL;
}

bool client_cache_get(struct pmio_file *f, uint64_t chunk, int64_t *frame, struct client_known *known)
{
	const struct cache_entry *e = pmio_u64map_find(&f->cache, sizeof(*e), chunk);
	const struct remembered *r = known && f->remembered ? &f->remembered[chunk % REMEMBERED] : NULL;

	if (!e)
		return false;
	*frame = e->frame;
	if (r && r->chunk == chunk && r->frame == e->frame)
		*known = r->known;
	else if (known)
		memset(known, 0, sizeof(*known));
	return true;
}

void client_remember(struct pmio_file *f, uint64_t chunk, int64_t frame, const struct client_known *more)
{
	struct remembered *r;

	if (pthread_mutex_trylock(&f->lock) != 0)
		return;
	if (!f->remembered)
		f->remembered = calloc(REMEMBERED, sizeof(*f->remembered));
	r = f->remembered ? &f->remembered[chunk % REMEMBERED] : NULL;
	if (r && (r->chunk != chunk || r->frame != frame || r->known.word != more->word))
		*r = (struct remembered){ chunk, frame, { .word = more->word } };
	for (int i = 0; r && i < PMIO_MASK_WORDS; i++)
		r->known.blocks.w[i] |= more->blocks.w[i];
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
