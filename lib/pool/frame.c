/*
 * frame.c -- the protocol of a frame's three bitmaps
 *
 * Clients change `dirty` and set `valid`; the agent does everything else.  Two races
 * have to be decided without locks, both like in Dekker's algorithm: each side first
 * announces what it does, then looks at the other's announcement, with a full barrier
 * between.  At least one of the two sees the other.
 *
 *   client overwrites a block          agent fills it
 *     set dirty                          set draining
 *     barrier                            barrier
 *     look at draining: -EAGAIN          look at dirty: busy
 *
 *   client writes a block              agent drains it
 *     store the bytes                    clear dirty
 *     barrier                            barrier
 *     look at dirty: set it again        read the bytes
 *
 * Visible is not durable: a client sees bits that another client has set and not
 * flushed yet.  A client that promises that bytes are durable therefore flushes the
 * bits that they depend on, even if another client has set them (write_end).
 *
 * Recovery of a file that was open drops blocks that are valid but neither dirty
 * nor draining (pool.c): no state may be durable in which such a block is the
 * only copy of bytes that were promised.
 */
#include "pool/frame.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

/* claim and free rely on it: stores to one line become durable in their order */
_Static_assert(offsetof(struct pmio_frame_df, dirty) <= PMIO_PM_LINE,
	       "owner, chunk and valid lie in one cache line");

/* ---- masks ----------------------------------------------------------------- */

void pmio_mask_set_range(struct pmio_mask *m, unsigned first, unsigned last)
{
	assert(first <= last && last < PMIO_CHUNK_BLOCKS);
	for (unsigned i = first / 64; i <= last / 64; i++)
		m->w[i] |= pmio_mask_bits(i, first, last);
}

void pmio_mask_range(struct pmio_mask *m, unsigned first, unsigned last)
{
	memset(m, 0, sizeof(*m));
	pmio_mask_set_range(m, first, last);
}

bool pmio_mask_empty(const struct pmio_mask *m)
{
	uint64_t any = 0;

	for (unsigned i = 0; i < PMIO_MASK_WORDS; i++)
		any |= m->w[i];
	return any == 0;
}

unsigned pmio_mask_count(const struct pmio_mask *m)
{
	unsigned n = 0;

	for (unsigned i = 0; i < PMIO_MASK_WORDS; i++)
		n += (unsigned)__builtin_popcountll(m->w[i]);
	return n;
}

bool pmio_mask_test(const struct pmio_mask *m, unsigned block)
{
	assert(block < PMIO_CHUNK_BLOCKS);
	return m->w[block / 64] >> block % 64 & 1;
}

/* the first block at or after from whose bit, xor'ed with flip, is set */
static unsigned next_bit(const struct pmio_mask *m, unsigned from, uint64_t flip)
{
	while (from < PMIO_CHUNK_BLOCKS) {
		uint64_t w = (m->w[from / 64] ^ flip) >> from % 64;

		if (w)
			return from + (unsigned)__builtin_ctzll(w);
		from = (from / 64 + 1) * 64;
	}
	return PMIO_CHUNK_BLOCKS;
}

unsigned pmio_mask_next_run(const struct pmio_mask *m, unsigned from, unsigned *len)
{
	unsigned first = next_bit(m, from, 0);

	*len = next_bit(m, first, ~0ULL) - first;
	return first;
}

/* ---- words ----------------------------------------------------------------- */

static struct pmio_frame_df *header(const struct pmio_view *v, uint64_t frame)
{
	assert(frame < v->nr_frames);
	return &v->headers[frame];
}

static void load_mask(struct pmio_mask *m, const uint64_t *map)
{
	for (unsigned i = 0; i < PMIO_MASK_WORDS; i++)
		m->w[i] = pmio_pm_load64(&map[i]);
}

/* set m's bits in map where they are clear; news: out, those that were clear */
static void set_bits(struct pmio_view *v, uint64_t *map, const struct pmio_mask *m,
		     struct pmio_mask *news)
{
	for (unsigned i = 0; i < PMIO_MASK_WORDS; i++) {
		news->w[i] = m->w[i] & ~pmio_pm_load64(&map[i]);
		if (news->w[i])
			news->w[i] = m->w[i] & ~pmio_pm_or64(v->pm, &map[i], m->w[i]);
	}
}

static void clear_bits(struct pmio_view *v, uint64_t *map, const struct pmio_mask *m)
{
	for (unsigned i = 0; i < PMIO_MASK_WORDS; i++)
		if (m->w[i])
			pmio_pm_and64(v->pm, &map[i], ~m->w[i]);
}

/* a bitmap lies in up to two lines: flush only those with bits of m */
static void flush_words(struct pmio_view *v, const uint64_t *map, const struct pmio_mask *m)
{
	unsigned first = 0, last = PMIO_MASK_WORDS;

	while (first < last && !m->w[first])
		first++;
	while (last > first && !m->w[last - 1])
		last--;
	pmio_pm_flush(v->pm, &map[first], (last - first) * sizeof(*map));
}

/* each call is a site that the mutation tests leave out */
#define flush_bits(v, map, m) PMIO_PM_SITE(PMIO_PM_FLUSHES, flush_words(v, map, m))

/* orders our store before our loads; atomic operations alone do so on x86 only */
static void full_barrier(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/*
 * Bits of valid or dirty are about to be cleared.  As above, a client that writes blocks without
 * setting their bits again:
 *
 *   client                             agent
 *     store the bytes                    change cleared
 *     barrier                            barrier
 *     look at cleared: set the bits      clear dirty, read the bytes
 *
 * If the client finds the old word, the bits were set when its bytes were there, and a thread
 * that clears them later sees the bytes.  Never flushed: clients of before a power cut are gone.
 */
static void announce_clearing(struct pmio_view *v, struct pmio_frame_df *h)
{
	uint64_t old;

	pmio_pm_add64(v->pm, &h->cleared, 1, UINT64_MAX, &old);
	full_barrier();
}

static struct pmio_mask and_not(struct pmio_mask a, const struct pmio_mask *b)
{
	for (unsigned i = 0; i < PMIO_MASK_WORDS; i++)
		a.w[i] &= ~b->w[i];
	return a;
}

static struct pmio_mask and(struct pmio_mask a, const struct pmio_mask *b)
{
	for (unsigned i = 0; i < PMIO_MASK_WORDS; i++)
		a.w[i] &= b->w[i];
	return a;
}

uint64_t pmio_frame_cleared(const struct pmio_view *v, uint64_t frame)
{
	return pmio_pm_load64(&header(v, frame)->cleared);
}

bool pmio_frame_valid(const struct pmio_view *v, uint64_t frame, const struct pmio_mask *m)
{
	const struct pmio_frame_df *h = header(v, frame);

	for (unsigned i = 0; i < PMIO_MASK_WORDS; i++)
		if (m->w[i] & ~pmio_pm_load64(&h->valid[i]))
			return false;
	return true;
}

void pmio_frame_get(const struct pmio_view *v, uint64_t frame, struct pmio_mask *valid,
		    struct pmio_mask *dirty, struct pmio_mask *draining)
{
	const struct pmio_frame_df *h = header(v, frame);

	load_mask(valid, h->valid);
	load_mask(dirty, h->dirty);
	load_mask(draining, h->draining);
}

/* ---- writing --------------------------------------------------------------- */

/* blocks of m that the agent is filling */
static struct pmio_mask being_filled(const struct pmio_frame_df *h, const struct pmio_mask *m)
{
	struct pmio_mask draining, valid;

	/*
	 * In this order: a fill that ends sets valid, then clears draining.  If
	 * draining is seen set, and after that valid is seen clear, the fill still
	 * runs.
	 */
	load_mask(&draining, h->draining);
	load_mask(&valid, h->valid);
	draining = and(draining, m);
	return and_not(draining, &valid);
}

int pmio_frame_write_begin(struct pmio_view *v, uint64_t frame, const struct pmio_mask *m)
{
	struct pmio_frame_df *h = header(v, frame);
	struct pmio_mask news, valid, clean, filling;

	/*
	 * P1 dirty is set, before a byte of the block is stored
	 * crash before P1: a clean block holds the PFS's bytes
	 * crash after:     a valid block is dirty, its bytes are old or new; a block
	 *                  that was not valid is empty
	 * Blocks that are not valid need no fence here: their dirty is fenced by the
	 * caller along with the bytes, before write_end sets valid.
	 */
	set_bits(v, h->dirty, m, &news);
	load_mask(&valid, h->valid);
	clean = and(news, &valid);
	if (!pmio_mask_empty(&news))
		flush_bits(v, h->dirty, &news);
	if (!pmio_mask_empty(&clean))
		pmio_pm_fence(v->pm); /* P1 */
	else
		full_barrier(); /* dirty before draining, see above */

	filling = being_filled(h, m);
	if (pmio_mask_empty(&filling))
		return 0;

	/*
	 * dirty stays, as another client may be overwriting the same block.  In the
	 * next call it is not new, and the block is valid: fence it now.
	 */
	pmio_pm_fence(v->pm);
	return -EAGAIN;
}

void pmio_frame_write_end(struct pmio_view *v, uint64_t frame, const struct pmio_mask *m)
{
	struct pmio_frame_df *h = header(v, frame);
	struct pmio_mask news;

	/*
	 * P1 the caller's fence before this call: the bytes, and dirty of blocks
	 *    that were not valid
	 * P2 valid
	 * P3 dirty again, where a drain took it between write_begin and here: it may
	 *    have read the bytes before they were all there
	 * P4 the caller's fence after this call: now the write is promised
	 * crash before P2 is durable: blocks that were not valid are empty
	 * crash between:              valid and dirty, or draining, which counts as
	 *                             dirty; or clean after a drain, where recovery
	 *                             drops the block and the PFS's bytes are seen
	 * crash after P4:             valid, dirty, and the bytes
	 */
	set_bits(v, h->valid, m, &news); /* P2 */
	full_barrier();			 /* our bytes and valid before their dirty */
	set_bits(v, h->dirty, m, &news); /* P3 */

	/* though we may have changed nothing: see "visible is not durable" */
	flush_bits(v, h->valid, m);
	flush_bits(v, h->dirty, m);
}

void pmio_frame_write_abort(struct pmio_view *v, uint64_t frame, const struct pmio_mask *m)
{
	struct pmio_frame_df *h = header(v, frame);
	struct pmio_mask valid, undo, news;

	load_mask(&valid, h->valid);
	undo = and_not(*m, &valid);
	clear_bits(v, h->dirty, &undo);
	full_barrier();

	/* another client may have ended its write of the same block just then */
	load_mask(&valid, h->valid);
	undo = and(undo, &valid);
	set_bits(v, h->dirty, &undo, &news);
	/* lost at a crash, the cleared bits mean nothing; the ones set again do */
	flush_bits(v, h->dirty, &undo);
}

/* ---- filling --------------------------------------------------------------- */

void pmio_frame_fill_begin(struct pmio_view *v, uint64_t frame, const struct pmio_mask *m,
			   struct pmio_mask *todo, struct pmio_mask *busy)
{
	struct pmio_frame_df *h = header(v, frame);
	struct pmio_mask valid, dirty, want, undo;

	/*
	 * Not flushed: after a crash draining of a block that is not valid means
	 * nothing.  set_bits leaves out blocks that another thread already fills.
	 */
	load_mask(&valid, h->valid);
	want = and_not(*m, &valid);
	set_bits(v, h->draining, &want, &want);
	full_barrier();

	load_mask(&dirty, h->dirty);
	load_mask(&valid, h->valid); /* after dirty: a write that ended is not busy */
	*busy = and(want, &dirty);
	*busy = and_not(*busy, &valid);
	*todo = and_not(want, busy);
	*todo = and_not(*todo, &valid);

	undo = and_not(want, todo);
	clear_bits(v, h->draining, &undo);
}

void pmio_frame_fill_end(struct pmio_view *v, uint64_t frame, const struct pmio_mask *todo, bool ok)
{
	struct pmio_frame_df *h = header(v, frame);
	struct pmio_mask news;

	/*
	 * P1 the bytes
	 * P2 valid, then draining cleared (being_filled() needs that order)
	 * crash before P2: empty
	 * crash after:     the PFS's bytes; if draining was left they are drained
	 *                  once for nothing
	 */
	if (ok) {
		pmio_pm_fence(v->pm); /* P1 */
		set_bits(v, h->valid, todo, &news);
		flush_bits(v, h->valid, todo); /* P2 */
	}
	clear_bits(v, h->draining, todo);
	flush_bits(v, h->draining, todo);
}

/* ---- draining -------------------------------------------------------------- */

void pmio_frame_drain_begin(struct pmio_view *v, uint64_t frame, struct pmio_mask *taken)
{
	struct pmio_frame_df *h = header(v, frame);
	struct pmio_mask valid;

	load_mask(taken, h->dirty);
	load_mask(&valid, h->valid);
	*taken = and(*taken, &valid);

	/*
	 * P1 draining
	 * P2 dirty cleared
	 * crash at any point: dirty or draining or both, so it is drained again
	 *
	 * set_bits leaves out blocks that are being drained or filled already: they
	 * stay dirty, for the next pass.
	 */
	set_bits(v, h->draining, taken, taken);
	flush_bits(v, h->draining, taken);
	pmio_pm_fence(v->pm); /* P1 */

	announce_clearing(v, h);
	clear_bits(v, h->dirty, taken);
	flush_bits(v, h->dirty, taken);
	pmio_pm_fence(v->pm); /* P2; and dirty is cleared before the bytes are read */
}

void pmio_frame_drain_end(struct pmio_view *v, uint64_t frame, const struct pmio_mask *taken, bool ok)
{
	struct pmio_frame_df *h = header(v, frame);
	struct pmio_mask news;

	/*
	 * P1 if it failed: dirty again, before draining is cleared
	 * P2 draining cleared
	 * crash before P2: draining, which counts as dirty: drained again
	 * crash after:     clean if all is on the PFS, else dirty
	 */
	if (!ok) {
		set_bits(v, h->dirty, taken, &news);
		flush_bits(v, h->dirty, taken);
		pmio_pm_fence(v->pm); /* P1 */
	}
	clear_bits(v, h->draining, taken);
	flush_bits(v, h->draining, taken); /* P2 */
}

void pmio_frame_redirty(struct pmio_view *v, uint64_t frame)
{
	struct pmio_frame_df *h = header(v, frame);
	struct pmio_mask valid, news;

	/*
	 * P1 dirty set
	 * crash before: as it was, and this is done again, as its reason is recorded
	 * elsewhere; after: drained again
	 */
	for (int i = 0; i < PMIO_MASK_WORDS; i++)
		valid.w[i] = pmio_pm_load64(&h->valid[i]);
	set_bits(v, h->dirty, &valid, &news);
	flush_bits(v, h->dirty, &valid); /* P1 */
}

/* ---- frames ---------------------------------------------------------------- */

void pmio_frame_drop(struct pmio_view *v, uint64_t frame, const struct pmio_mask *m)
{
	struct pmio_frame_df *h = header(v, frame);

	/*
	 * P1 not valid: empty, whatever else is set
	 * P2 the rest
	 * crash before P1 is durable: as it was; after: empty
	 * The other way round a dirty block could be found clean, with bytes that
	 * are not the PFS's.
	 */
	announce_clearing(v, h);
	clear_bits(v, h->valid, m);
	flush_bits(v, h->valid, m);
	pmio_pm_fence(v->pm); /* P1 */

	clear_bits(v, h->dirty, m);
	clear_bits(v, h->draining, m);
	flush_bits(v, h->dirty, m);
	flush_bits(v, h->draining, m); /* P2 */
}

static void claim(struct pmio_view *v, uint64_t frame, uint32_t slot, uint64_t generation,
		  uint64_t chunk, uint64_t valid)
{
	struct pmio_frame_df *h = header(v, frame);

	assert(pmio_pm_load64(&h->owner) == 0);
	assert(generation > 0 && slot < v->nr_slots);

	/*
	 * P1 chunk number and bitmaps, while no file owns the frame; and that it is
	 *    not zeroed, before a client stores a byte
	 * P2 the owner: one aligned 8-byte store
	 * crash before P2: a free frame; after: the file's, with no valid block,
	 *                  or with zeros in all of them
	 *
	 * That the frame was freed before P1 needs no fence: owner lies in the cache
	 * line of chunk and valid, and was stored first.
	 */
	announce_clearing(v, h);
	pmio_pm_store64(v->pm, &h->chunk, chunk);
	for (unsigned i = 0; i < PMIO_MASK_WORDS; i++) {
		pmio_pm_store64(v->pm, &h->valid[i], valid);
		pmio_pm_store64(v->pm, &h->dirty[i], 0);
		pmio_pm_store64(v->pm, &h->draining[i], 0);
	}
	pmio_pm_store64(v->pm, &h->zeroed, 0);
	pmio_pm_flush(v->pm, h, sizeof(*h));
	pmio_pm_fence(v->pm); /* P1 */

	pmio_pm_store64(v->pm, &h->owner, PMIO_OWNER(slot, generation));
	pmio_pm_flush(v->pm, &h->owner, sizeof(h->owner));
	pmio_pm_fence(v->pm); /* P2 */
}

void pmio_frame_claim(struct pmio_view *v, uint64_t frame, uint32_t slot, uint64_t generation,
		      uint64_t chunk)
{
	claim(v, frame, slot, generation, chunk, 0);
}

void pmio_frame_claim_zero(struct pmio_view *v, uint64_t frame, uint32_t slot, uint64_t generation,
			   uint64_t chunk)
{
	assert(pmio_frame_is_zeroed(v, frame));
	claim(v, frame, slot, generation, chunk, ~0ULL);
}

bool pmio_frame_is_zeroed(const struct pmio_view *v, uint64_t frame)
{
	return pmio_pm_load64(&header(v, frame)->zeroed) == 1;
}

void pmio_frame_set_zeroed(struct pmio_view *v, uint64_t frame)
{
	struct pmio_frame_df *h = header(v, frame);

	assert(pmio_pm_load64(&h->owner) == 0);
	pmio_pm_store64(v->pm, &h->zeroed, 1);
	pmio_pm_flush(v->pm, &h->zeroed, sizeof(h->zeroed));
}

void pmio_frame_free(struct pmio_view *v, uint64_t frame)
{
	struct pmio_frame_df *h = header(v, frame);

	pmio_pm_store64(v->pm, &h->owner, 0);
	pmio_pm_flush(v->pm, &h->owner, sizeof(h->owner));
}

/* ---- recovery -------------------------------------------------------------- */

/* the file's bytes in the frame: 0 .. chunk size */
static uint64_t bytes_inside(const struct pmio_view *v, uint64_t chunk, uint64_t file_size)
{
	uint64_t start;

	if (chunk > UINT64_MAX >> v->chunk_shift)
		return 0; /* no file is that long: the media cannot be trusted */
	start = chunk << v->chunk_shift;
	if (file_size <= start)
		return 0;
	return file_size - start < v->chunk_size ? file_size - start : v->chunk_size;
}

/* zero the rest of the last block if the file ends within it */
static void zero_tail(struct pmio_view *v, uint64_t frame, uint64_t inside)
{
	uint64_t rest = inside & (v->block_size - 1);
	struct pmio_mask last;

	if (rest == 0)
		return;
	pmio_mask_range(&last, (unsigned)(inside >> v->block_shift),
			(unsigned)(inside >> v->block_shift));
	if (!pmio_frame_valid(v, frame, &last))
		return;
	pmio_pm_zero(v->pm, pmio_view_frame(v, frame) + inside, v->block_size - rest);
}

void pmio_frame_recover(struct pmio_view *v, uint64_t frame, uint64_t file_size)
{
	struct pmio_frame_df *h = header(v, frame);
	uint64_t inside = bytes_inside(v, pmio_pm_load64(&h->chunk), file_size);
	unsigned nr = (unsigned)((inside + v->block_size - 1) >> v->block_shift);
	struct pmio_mask valid, dirty, draining, m, news;

	pmio_frame_get(v, frame, &valid, &dirty, &draining);

	/*
	 * P1 dirty, for blocks that were being drained
	 * P2 draining cleared, dirty cleared where it means nothing, the rest dropped
	 * P3 the caller's fence
	 * crash at any point: the next recovery comes to the same result
	 */
	m = and(draining, &valid);
	if (!pmio_mask_empty(&m)) {
		set_bits(v, h->dirty, &m, &news);
		flush_bits(v, h->dirty, &m);
		pmio_pm_fence(v->pm); /* P1 */
	}
	clear_bits(v, h->draining, &draining);
	flush_bits(v, h->draining, &draining);
	announce_clearing(v, h);
	m = and_not(dirty, &valid);
	clear_bits(v, h->dirty, &m);
	flush_bits(v, h->dirty, &m);

	if (nr < PMIO_CHUNK_BLOCKS) {
		pmio_mask_range(&m, nr, PMIO_CHUNK_BLOCKS - 1);
		pmio_frame_drop(v, frame, &m);
	}
	zero_tail(v, frame, inside);
}
