/*
 * mappings.c -- files whose frames programs have mapped
 *
 * A program stores to a mapping without notifying the agent.  So all blocks that are mapped for writing are dirty as long
 * as they are mapped: drains write them, and leave them dirty; and they are made dirty once more at the end, when a drain
 * may just have taken them.  So a client that dies needs no clean-up.
 *
 * Frames of open files do not move.  But a mapping may outlive the handle: a child of fork() may have it, or the program
 * continues after the agent was killed, without a request by which the next agent would learn of it.  Therefore each
 * program maps with a descriptor of `data` that has a lock, at PMIO_MAP_LOCK; the kernel releases the lock with the last
 * mapping.  As long as there is a lock without a handle the file counts as open: this is called a ghost.
 */
#include <fcntl.h>
#include <uthash.h>

#include "agent/file.h"
#include "agent/idle.h"
#include "agent/mappings.h"
#include "agent/state.h"
#include "core/clock.h"

#define EVERY_MS 500

/* nr: 1, or the number of all locks that a file can have */
static bool is_locked(const struct agent *a, uint32_t slot, uint32_t lock, uint32_t nr)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = PMIO_MAP_LOCK(slot, lock), .l_len = nr };

	return fcntl(pmio_pool_data_fd(a->pool), F_OFD_GETLK, &fl) == 0 && fl.l_type != F_UNLCK;
}

static void make_dirty(struct agent *a, struct file *f, uint64_t first, uint64_t nr)
{
	for (struct chunk *ch = f->chunks; ch; ch = ch->hh.next) {
		if (ch->frame >= 0 && ch->number >= first && ch->number - first < nr)
			pmio_frame_redirty(a->view, (uint64_t)ch->frame);
	}
	pmio_pm_fence(a->view->pm);
}

static void add_ghost(struct agent *a, struct file *f, bool writes)
{
	if (f->ghost == FILE_NO_GHOST) {
		files_lru_remove(a, f);
		f->nr_handles++;
		a->nr_ghosts++;
		a->next_maps_ms = pmio_now_ms() + EVERY_MS;
	}
	if (writes && f->ghost != FILE_GHOST_WRITES) {
		f->nr_writers++;
		f->nr_mapped++;
	}
	if (writes || f->ghost == FILE_NO_GHOST)
		f->ghost = writes ? FILE_GHOST_WRITES : FILE_GHOST_READS;
}

static void end_ghost(struct agent *a, struct file *f)
{
	if (f->ghost == FILE_GHOST_WRITES) {
		make_dirty(a, f, 0, UINT64_MAX);
		f->nr_mapped--;
		f->nr_writers--;
	}
	f->ghost = FILE_NO_GHOST;
	f->nr_handles--;
	a->nr_ghosts--;
	files_idle(a, f);
}

void maps_opened(struct handle *h, uint32_t lock)
{
	if (!(h->flags & PMIO_OPEN_MAPPED))
		return;
	h->mapped = PMIO_MAP_READ | (h->flags & PMIO_OPEN_WRITE ? PMIO_MAP_WRITE : 0);
	h->map_lock = lock;
	h->file->nr_mapped += !!(h->mapped & PMIO_MAP_WRITE);
}

void maps_leave(struct agent *a, struct handle *h)
{
	bool writes = h->mapped & PMIO_MAP_WRITE;
	struct file *f = h->file;

	if (!h->mapped)
		return;
	h->mapped = 0;
	if (writes) {
		make_dirty(a, f, 0, UINT64_MAX);
		f->nr_mapped--;
	}
	if (is_locked(a, f->slot, h->map_lock, 1))
		add_ghost(a, f, writes);
}

void maps_change(struct agent *a, struct handle *h, const struct pmio_map_msg *m)
{
	if (!m->how) {
		maps_leave(a, h);
		return;
	}
	h->file->nr_mapped += (m->how & PMIO_MAP_WRITE) && !(h->mapped & PMIO_MAP_WRITE);
	h->mapped |= m->how;
	h->map_lock = m->lock;
	if (m->how & PMIO_MAP_WRITE)
		make_dirty(a, h->file, m->first, m->nr);
}

void maps_load(struct agent *a, struct file *f)
{
	if (is_locked(a, f->slot, 0, PMIO_MAP_LOCKS))
		add_ghost(a, f, f->recovered);
}

int maps_wait_ms(const struct agent *a)
{
	return a->nr_ghosts ? agent_until_ms(a->next_maps_ms) : -1;
}

void maps_look(struct agent *a)
{
	struct file *f, *tmp;

	if (maps_wait_ms(a) != 0)
		return;
	a->next_maps_ms = pmio_now_ms() + EVERY_MS;
	HASH_ITER(hh, a->files, f, tmp) {
		if (f->ghost != FILE_NO_GHOST && !is_locked(a, f->slot, 0, PMIO_MAP_LOCKS))
			end_ghost(a, f);
	}
}
