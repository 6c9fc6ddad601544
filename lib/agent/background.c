/*
 * background.c -- background write-back: chunks go to the PFS while the program computes
 * (setting `drain_early`)
 *
 * A chunk is ripe when all of its blocks have been dirty for one or two scans: a writer
 * that moves forward has left it.  A later overwrite cannot be foreseen, as all bits
 * are set already; it makes blocks dirty again, which are then drained a second time.
 * To limit that, a chunk is drained in the background only once while the file is open.
 *
 * A background drain is a drain of some chunks: it does not set the file's size, and
 * no request waits for it.  After a failure the file is not drained in the background
 * any more, and the last close tries again and reports the error.
 */
#include <time.h>

#include "agent/background.h"
#include "agent/drain.h"
#include "agent/file.h"
#include "agent/state.h"
#include "core/clock.h"

#define LOOK_MS 500    /* between scans */
#define CHUNKS_MIN 16	  /* ripe ones: fewer are not worth an fsync */

static bool is_full(const struct agent *a, const struct chunk *ch)
{
	struct pmio_mask valid, dirty, draining;
	uint64_t all = ~0ULL;

	if (ch->frame < 0)
		return false;
	pmio_frame_get(a->view, (uint64_t)ch->frame, &valid, &dirty, &draining);
	for (int i = 0; i < PMIO_MASK_WORDS; i++)
		all &= valid.w[i] & dirty.w[i];
	return all == ~0ULL;
}

/* data that clients write to the PFS themselves must not wait for drains; otherwise the rules of a close apply */
static bool may_drain(const struct file *f)
{
	return f->policy.background && f->nr_writers && !file_is_on_hold(f) && !f->error && !f->nr_pfs_chunks && !f->drain &&
	       f->busy != FILE_TRUNCATING && !file_is_unlinked(f) && !file_is_removed(f) && f->pfs && f->pfs->writes;
}

static void look_at(struct agent *a, struct file *f)
{
	size_t nr_ripe = 0;

	for (struct chunk *ch = f->chunks; ch; ch = ch->hh.next) {
		if (ch->background_in == f->nr_opens)
			continue;
		if (!is_full(a, ch))
			ch->full_looks = 0;
		else if (ch->full_looks < RIPE_LOOKS)
			ch->full_looks++;
		nr_ripe += chunk_is_ripe(f, ch);
	}
	if (nr_ripe >= CHUNKS_MIN)
		drain_start_background(a, f);
}

int background_wait_ms(const struct agent *a)
{
	if (!a->nr_background_handles)
		return -1;
	return agent_until_ms(a->next_look_ms);
}

void background_look(struct agent *a)
{
	if (background_wait_ms(a) != 0)
		return;
	for (struct file *f = a->files; f; f = f->hh.next) {
		if (may_drain(f))
			look_at(a, f);
	}
	a->next_look_ms = pmio_now_ms() + LOOK_MS;
}
