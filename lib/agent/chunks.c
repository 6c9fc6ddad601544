/* chunks.c -- the chunks of a file that the agent knows, and their frames */
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "agent/chunks.h"
#include "agent/file.h"
#include "agent/state.h"

struct chunk *files_chunk(struct file *f, uint64_t number)
{
	struct chunk *ch;

	HASH_FIND(hh, f->chunks, &number, sizeof(number), ch);
	return ch;
}

struct chunk *files_add_chunk(struct file *f, uint64_t number, int64_t frame)
{
	struct chunk *ch = calloc(1, sizeof(*ch));

	if (!ch)
		return NULL;
	ch->number = number;
	ch->frame = frame;
	HASH_ADD(hh, f->chunks, number, sizeof(ch->number), ch);
	if (frame == PMIO_CLAIM_PFS)
		f->nr_pfs_chunks++;
	return ch;
}

void files_del_chunk(struct agent *a, struct file *f, struct chunk *ch)
{
	if (ch->frame >= 0)
		pmio_pool_frame_put(a->pool, (uint64_t)ch->frame);
	else
		f->nr_pfs_chunks--;
	HASH_DEL(f->chunks, ch);
	free(ch);
}

void files_drop_pfs_chunks(struct file *f)
{
	struct chunk *ch, *tmp;

	HASH_ITER(hh, f->chunks, ch, tmp) {
		if (ch->frame >= 0)
			continue;
		f->nr_pfs_chunks--;
		HASH_DEL(f->chunks, ch);
		free(ch);
	}
}

void files_del_all_chunks(struct agent *a, struct file *f)
{
	struct chunk *ch, *tmp;

	HASH_ITER(hh, f->chunks, ch, tmp)
		files_del_chunk(a, f, ch);
}

bool files_packed_blocks(const struct agent *a, const struct file *f, struct pmio_packed *p)
{
	return f->packed && pmio_pool_packed(a->pool, f->slot, p);
}

void files_packed_drop(struct agent *a, struct file *f)
{
	if (f->packed && pmio_pool_packed_drop(a->pool, f->slot) == 0)
		f->packed = false;
}

/* the part of the chunk's blocks m that lies before the file's end, in bytes */
static uint64_t bytes_before_end(const struct agent *a, const struct chunk *ch, const struct pmio_mask *m,
				 uint64_t size)
{
	const struct pmio_view *v = a->view;
	uint64_t start = ch->number << v->chunk_shift, inside = size > start ? size - start : 0;
	uint64_t rest = inside & (v->block_size - 1);
	struct pmio_mask whole;
	unsigned nr;

	if (inside >= v->chunk_size)
		return (uint64_t)pmio_mask_count(m) << v->block_shift;
	nr = (unsigned)(inside >> v->block_shift);
	memset(&whole, 0, sizeof(whole));
	if (nr > 0)
		pmio_mask_range(&whole, 0, nr - 1);
	for (int i = 0; i < PMIO_MASK_WORDS; i++)
		whole.w[i] &= m->w[i];
	return ((uint64_t)pmio_mask_count(&whole) << v->block_shift) + (pmio_mask_test(m, nr) ? rest : 0);
}

/* the same for one of the file's first blocks */
static uint64_t block_before_end(const struct agent *a, unsigned block, uint64_t size)
{
	uint64_t start = (uint64_t)block << a->view->block_shift, left = size > start ? size - start : 0;

	return left < a->view->block_size ? left : a->view->block_size;
}

/* bytes of the file that are dirty or being drained; resident: of whole blocks that are valid */
uint64_t files_dirty_bytes(const struct agent *a, const struct file *f, uint64_t *resident)
{
	uint64_t size = pmio_pool_file_size(a->pool, f->slot), dirty_bytes = 0, nr_valid = 0;
	struct pmio_packed p;

	for (struct chunk *ch = f->chunks; ch; ch = ch->hh.next) {
		struct pmio_mask valid, dirty, draining;

		if (ch->frame < 0)
			continue;
		pmio_frame_get(a->view, (uint64_t)ch->frame, &valid, &dirty, &draining);
		for (int i = 0; i < PMIO_MASK_WORDS; i++)
			dirty.w[i] = (dirty.w[i] | draining.w[i]) & valid.w[i];
		nr_valid += pmio_mask_count(&valid);
		dirty_bytes += bytes_before_end(a, ch, &dirty, size);
	}
	if (files_packed_blocks(a, f, &p)) {
		nr_valid += (unsigned)__builtin_popcount(p.valid);
		for (unsigned i = 0; i < PMIO_PACK_BLOCKS; i++)
			dirty_bytes += p.dirty & 1u << i ? block_before_end(a, i, size) : 0;
	}
	if (resident)
		*resident = nr_valid << a->view->block_shift;
	return dirty_bytes;
}

bool files_any_dirty(const struct agent *a, const struct file *f)
{
	struct pmio_packed p;

	if (files_packed_blocks(a, f, &p) && p.dirty)
		return true;
	for (struct chunk *ch = f->chunks; ch; ch = ch->hh.next) {
		struct pmio_mask valid, dirty, draining;

		if (ch->frame < 0)
			continue;
		pmio_frame_get(a->view, (uint64_t)ch->frame, &valid, &dirty, &draining);
		for (int i = 0; i < PMIO_MASK_WORDS; i++) {
			if ((dirty.w[i] | draining.w[i]) & valid.w[i])
				return true;
		}
	}
	return false;
}
