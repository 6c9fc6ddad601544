/* the sequences of lib/pool/frame.c and pmio_view_format() that power is cut in; see frame_steps.h */
#include "frame_steps.h"

#include <errno.h>

/* ---- write of whole blocks that were empty ----------------------------------------- */

static void raise_size(struct test *t, uint64_t size)
{
	uint64_t *df = &t->v->slots[SLOT].size;

	if (pmio_pm_max64(t->pm, df, size))
		pmio_pm_flush(t->pm, df, sizeof(*df));
}

/* mark 0: the write has returned */
static void write_used(struct test *t)
{
	assert_int_equal(write_begin(t), 0);
	put(t, NEW);
	fence(t);
	write_end(t);
	fence(t);
	mark(t, 0);
}

static void setup_empty(struct test *t)
{
	raise_size(t, WHOLE);
}

static const char *look_fresh(struct test *t, size_t cut, unsigned b)
{
	if (past(t, cut, 0) && !kept(t, b, NEW))
		return "the write is lost";
	if (!empty(t, b) && !kept(t, b, NEW))
		return "valid without the bytes, or not dirty";
	return NULL;
}

/* ---- write that makes the file longer ----------------------------------------------- */

static void setup_short(struct test *t)
{
	raise_size(t, START);
}

static void append(struct test *t)
{
	unsigned last = t->use & HIGH ? blocks[1] : blocks[0];

	assert_int_equal(write_begin(t), 0);
	put(t, NEW);
	fence(t);
	write_end(t);
	raise_size(t, START + last * BLOCK + 100);
	fence(t);
	mark(t, 0);
}

static const char *look_append(struct test *t, size_t cut, unsigned b)
{
	unsigned last = t->use & HIGH ? blocks[1] : blocks[0];
	uint64_t size = t->re->slots[SLOT].size;

	if (size != START && size != START + last * BLOCK + 100)
		return "size is neither";
	if (size == START && past(t, cut, 0))
		return "size is lost";
	if (size == START)
		return empty(t, b) ? NULL : "bytes beyond the end";
	if (past(t, cut, 0) && !(valid(t, b) && dirty(t, b)))
		return "the write is lost";
	if (valid(t, b) && bytes(t->re, b)[99] != NEW)
		return "wrong bytes";
	if (valid(t, b) && b == last && bytes(t->re, b)[100] != 0)
		return "bytes beyond the end";
	return NULL;
}

/* ---- write to blocks that are clean, dirty ------------------------------------------- */

static void make_valid(struct test *t, char what, bool is_dirty)
{
	setup_empty(t);
	fill_begin(t);
	put(t, what);
	fill_end(t);
	if (is_dirty) {
		assert_int_equal(write_begin(t), 0);
		write_end(t);
	}
}

static void setup_clean(struct test *t)
{
	make_valid(t, PFS, false);
}

static void setup_dirty(struct test *t)
{
	make_valid(t, OLD, true);
}

static const char *look_over(struct test *t, size_t cut, unsigned b, char old, bool was_dirty)
{
	if (!valid(t, b))
		return "a valid block is lost";
	if (past(t, cut, 0) && !kept(t, b, NEW))
		return "the write is lost";
	if (!holds(t, b, old, NEW))
		return "bytes of nowhere";
	if (!dirty(t, b) && was_dirty)
		return "dirty is lost";
	if (!dirty(t, b) && !holds(t, b, PFS, PFS))
		return "clean, but not the PFS's bytes";
	return NULL;
}

static const char *look_over_clean(struct test *t, size_t cut, unsigned b)
{
	return look_over(t, cut, b, PFS, false);
}

static const char *look_over_dirty(struct test *t, size_t cut, unsigned b)
{
	return look_over(t, cut, b, OLD, true);
}

/* ---- bits that another client has set, and not flushed --------------------------------- */

static void setup_visible_only(struct test *t)
{
	setup_empty(t);
	put(t, PFS);
}

/* valid by a fill whose flush has not come yet; dirty by another writer's, the same */
static void write_on_visible_only(struct test *t)
{
	struct pmio_mask m = used(t);

	for (unsigned i = 0; i < PMIO_MASK_WORDS; i++) {
		if (!m.w[i])
			continue;
		pmio_pm_or64(t->pm, &t->v->headers[FRAME].valid[i], m.w[i]);
		pmio_pm_or64(t->pm, &t->v->headers[FRAME].dirty[i], m.w[i]);
	}
	write_used(t);
}

/* of a file that was open, recovery drops what is clean: only promises count */
static const char *look_promise(struct test *t, size_t cut, unsigned b)
{
	return past(t, cut, 0) && !kept(t, b, NEW) ? "the write is lost" : NULL;
}

/* ---- drain ---------------------------------------------------------------------------- */

/* mark 1: the bytes are on the PFS; mark 2: all is over, fenced, and the file clean */
static void drain(struct test *t, bool ok)
{
	drain_begin(t);
	mark(t, 1);
	drain_end(t, ok);
	fence(t);
	mark(t, 2);
}

static void drain_ok(struct test *t)
{
	drain(t, true);
}

static void drain_failed(struct test *t)
{
	drain(t, false);
}

static const char *look_drain(struct test *t, size_t cut, unsigned b)
{
	if (!valid(t, b) || !holds(t, b, OLD, OLD))
		return "bytes are lost";
	if (cut <= t->mark[1] && !dirty(t, b))
		return "clean before it is on the PFS";
	/* would overwrite what others do to the PFS file later on */
	if (past(t, cut, 2) && dirty(t, b))
		return "dirty after all is over";
	return NULL;
}

static const char *look_drain_failed(struct test *t, size_t cut, unsigned b)
{
	(void)cut;
	return kept(t, b, OLD) ? NULL : "clean, and never was on the PFS";
}

/* ---- a drain that falls into a write ---------------------------------------------------- */

/* between write_begin and the bytes: the drain takes the old ones */
static void drain_in_write(struct test *t)
{
	assert_int_equal(write_begin(t), 0);
	drain_begin(t);
	by(t, CLIENT);
	put(t, NEW);
	fence(t);
	mark(t, 1);
	drain_end(t, true);
	write_end(t);
	fence(t);
	mark(t, 0);
}

/* the drain ends only after the write */
static void drain_around_write(struct test *t)
{
	assert_int_equal(write_begin(t), 0);
	drain_begin(t);
	by(t, CLIENT);
	put(t, NEW);
	fence(t);
	write_end(t);
	fence(t);
	mark(t, 0);
	mark(t, 1);
	drain_end(t, true);
	fence(t);
}

static const char *look_mixed(struct test *t, size_t cut, unsigned b)
{
	if (!valid(t, b) || !holds(t, b, OLD, NEW))
		return "bytes are lost";
	if (past(t, cut, 0) && !kept(t, b, NEW))
		return "the write is lost";
	/* till the drain is over the old bytes are nowhere else */
	if (cut <= t->mark[1] && !dirty(t, b))
		return "clean before it is on the PFS";
	return NULL;
}

/* ---- blocks written again, without setting their bits (frame.h's short cut) --------------- */

/* from the bytes on; word: as it was before they were written the last time.  mark 0: the write has returned */
static void end_again(struct test *t, uint64_t word, bool is_same)
{
	by(t, CLIENT);
	put(t, NEW);
	fence(t);
	assert_int_equal(pmio_frame_cleared(t->v, FRAME) == word, is_same);
	if (!is_same) {
		mark(t, 1);
		write_end(t);
		fence(t);
	}
	mark(t, 0);
}

static void write_again(struct test *t)
{
	end_again(t, pmio_frame_cleared(t->v, FRAME), true);
}

/* then the drain takes the new bytes */
static void drain_after_again(struct test *t)
{
	write_again(t);
	drain_begin(t);
	assert_true(pmio_frame_cleared(t->v, FRAME) != 0);
	mark(t, 1);
	drain_end(t, true);
}

static void drain_in_again(struct test *t)
{
	uint64_t word = pmio_frame_cleared(t->v, FRAME);

	drain_begin(t);
	end_again(t, word, false);
	drain_end(t, true);
	fence(t);
}

static void drain_before_again(struct test *t)
{
	uint64_t word = pmio_frame_cleared(t->v, FRAME);

	drain_begin(t);
	drain_end(t, true);
	fence(t);
	end_again(t, word, false);
}

/* the drain has begun before the new bytes: the old ones are in the file only when it has ended */
static const char *look_drained_before(struct test *t, size_t cut, unsigned b)
{
	if (past(t, cut, 0) && !kept(t, b, NEW))
		return "the write is lost";
	return valid(t, b) && holds(t, b, OLD, NEW) ? NULL : "bytes are lost";
}

static const char *look_drained_after(struct test *t, size_t cut, unsigned b)
{
	if (!valid(t, b) || !holds(t, b, OLD, NEW))
		return "bytes are lost";
	if (past(t, cut, 0) && !holds(t, b, NEW, NEW))
		return "the write is lost";
	return cut <= t->mark[1] && !dirty(t, b) ? "clean before it is on the PFS" : NULL;
}

/* a truncation that drops the blocks, between the bytes and the look at the word: it is noticed */
static void drop_in_again(struct test *t)
{
	uint64_t word = pmio_frame_cleared(t->v, FRAME);
	struct pmio_mask m = used(t);

	by(t, AGENT);
	pmio_frame_drop(t->v, FRAME, &m);
	fence(t);
	end_again(t, word, false);
}

/* ---- fill -------------------------------------------------------------------------------- */

static void setup_fill(struct test *t)
{
	setup_empty(t);
	put(t, OTHER);
}

static void fill(struct test *t)
{
	fill_begin(t);
	put(t, PFS);
	fill_end(t);
	fence(t);
	mark(t, 0);
}

static const char *look_fill(struct test *t, size_t cut, unsigned b)
{
	if (valid(t, b) && !holds(t, b, PFS, PFS))
		return "another file's bytes";
	if (past(t, cut, 0) && !valid(t, b))
		return "filled for nothing";
	if (past(t, cut, 0) && dirty(t, b))
		return "would be drained for nothing";
	return NULL;
}

/* a client wants to overwrite what is being filled, waits, and then does */
static void write_after_fill(struct test *t)
{
	fill_begin(t);
	put(t, PFS);
	assert_int_equal(write_begin(t), -EAGAIN);
	fill_end(t);
	write_used(t);
}

static const char *look_after_fill(struct test *t, size_t cut, unsigned b)
{
	if (past(t, cut, 0) && !kept(t, b, NEW))
		return "the write is lost";
	if (valid(t, b) && !holds(t, b, PFS, NEW))
		return "another file's bytes";
	if (valid(t, b) && !dirty(t, b) && !holds(t, b, PFS, PFS))
		return "clean, but not the PFS's bytes";
	return NULL;
}

/* ---- abort ---------------------------------------------------------------------------------- */

/* a client died that overwrote one more block than the other, whose write counts */
#define ABORTED 100u

static void abort_beside_write(struct test *t)
{
	struct pmio_mask m = used(t);

	pmio_mask_set_range(&m, ABORTED, ABORTED);
	assert_int_equal(pmio_frame_write_begin(t->v, FRAME, &m), 0);
	write_used(t);
	pmio_frame_write_abort(t->v, FRAME, &m);
	fence(t);
}

static const char *look_abort(struct test *t, size_t cut, unsigned b)
{
	return empty(t, ABORTED) ? look_fresh(t, cut, b) : "a block that nobody wrote";
}

/* ---- drop ------------------------------------------------------------------------------------ */

static void drop(struct test *t)
{
	struct pmio_mask m = used(t);

	by(t, AGENT);
	pmio_frame_drop(t->v, FRAME, &m);
	fence(t);
	mark(t, 0);
}

static const char *look_drop(struct test *t, size_t cut, unsigned b)
{
	if (past(t, cut, 0))
		return empty(t, b) ? NULL : "still there";
	return empty(t, b) || kept(t, b, OLD) ? NULL : "clean, but not the PFS's bytes";
}

/* the PFS has lost what was drained */
static void redirty(struct test *t)
{
	by(t, AGENT);
	pmio_frame_redirty(t->v, FRAME);
	fence(t);
	mark(t, 0);
}

static const char *look_redirty(struct test *t, size_t cut, unsigned b)
{
	if (!valid(t, b) || !holds(t, b, PFS, PFS))
		return "bytes are lost";
	return past(t, cut, 0) && !dirty(t, b) ? "clean, and nowhere else" : NULL;
}

/* dirty, and being drained too */
static void setup_draining(struct test *t)
{
	setup_dirty(t);
	drain_begin(t);
	assert_int_equal(write_begin(t), 0);
	write_end(t);
}

/* bits left behind would get a meaning when the block is filled again */
static const char *look_drop_raw(struct test *t, size_t cut, unsigned b)
{
	const struct pmio_frame_df *h = &t->re->headers[FRAME];

	if (past(t, cut, 0) && (is_set(h->valid, b) || is_set(h->dirty, b) || is_set(h->draining, b)))
		return "bits are left";
	return NULL;
}

/* ---- claim, free ------------------------------------------------------------------------------ */

static void setup_claim(struct test *t)
{
	setup_draining(t);
	put(t, OTHER);
}

static void claim(struct test *t)
{
	by(t, AGENT);
	pmio_frame_free(t->v, FRAME);
	pmio_frame_claim(t->v, FRAME, SLOT, GENERATION + 1, CHUNK + 1);
	mark(t, 0);
}

static const char *look_claim(struct test *t, size_t cut, unsigned b)
{
	const struct pmio_frame_df *h = &t->re->headers[FRAME];

	(void)b;
	if (h->owner == 0)
		return past(t, cut, 0) ? "the claim is lost" : NULL;
	if (h->owner == PMIO_OWNER(SLOT, GENERATION)) {
		if (past(t, cut, 0))
			return "the old owner is back";
		return h->chunk == CHUNK ? NULL : "the old owner's frame has a new chunk number";
	}
	if (h->owner != PMIO_OWNER(SLOT, GENERATION + 1) || h->chunk != CHUNK + 1)
		return "half a claim";
	for (unsigned i = 0; i < PMIO_MASK_WORDS; i++)
		if (h->valid[i] | h->dirty[i] | h->draining[i])
			return "another file's bytes";
	return NULL;
}

static void free_only(struct test *t)
{
	by(t, AGENT);
	pmio_frame_free(t->v, FRAME);
	fence(t);
	mark(t, 0);
}

static const char *look_free(struct test *t, size_t cut, unsigned b)
{
	uint64_t owner = t->re->headers[FRAME].owner;

	(void)b;
	if (owner != 0 && owner != PMIO_OWNER(SLOT, GENERATION))
		return "half an owner";
	return past(t, cut, 0) && owner != 0 ? "not free" : NULL;
}

/* a frame with another file's bytes is zeroed, claimed so, and written to */
static void setup_zeroed(struct test *t)
{
	setup_dirty(t);
	put(t, OTHER);
	pmio_frame_free(t->v, FRAME);
	pmio_pm_fence(t->pm);
}

static void zeroed(struct test *t)
{
	for (unsigned i = 0; i < 2; i++)
		pmio_pm_zero(t->pm, bytes(t->v, blocks[i]), BLOCK);
	fence(t);
	pmio_frame_set_zeroed(t->v, FRAME);
	fence(t);
	mark(t, 0);
	pmio_frame_claim_zero(t->v, FRAME, SLOT, GENERATION + 1, CHUNK + 1);
	mark(t, 1);
	put(t, NEW);
	fence(t);
}

static const char *look_zeroed(struct test *t, size_t cut, unsigned b)
{
	const struct pmio_frame_df *h = &t->re->headers[FRAME];
	const uint8_t *p = bytes(t->re, b);
	bool only_new = true, zero = true;

	for (unsigned i = 0; i < BLOCK; i++) {
		zero &= p[i] == 0;
		only_new &= p[i] == 0 || p[i] == NEW;
	}
	if (h->zeroed && !zero)
		return "a zeroed frame has bytes";
	if (cut == t->mark[0] && !h->zeroed)
		return "the mark is lost";
	if (h->owner == 0)
		return past(t, cut, 1) ? "the claim is lost" : NULL;
	if (h->owner != PMIO_OWNER(SLOT, GENERATION + 1) || h->chunk != CHUNK + 1 || !is_set(h->valid, b) ||
	    is_set(h->dirty, b) || is_set(h->draining, b))
		return "half a claim";
	return only_new ? NULL : "another file's bytes";
}

/* ---- recovery, cut off and done again --------------------------------------------------------- */

#define LAST 100u /* the file's last block, of which it has 50 bytes */

/* in each line of the header: eight blocks with every combination of bits */
static void setup_combinations(struct test *t)
{
	struct pmio_frame_df *h = &t->v->headers[FRAME];

	for (unsigned w = 0; w < PMIO_MASK_WORDS; w += 3) {
		if (!(t->use & (w == 0 ? LOW : HIGH)))
			continue;
		pmio_pm_store64(t->pm, &h->valid[w], 0xf0);
		pmio_pm_store64(t->pm, &h->dirty[w], 0xaa);
		pmio_pm_store64(t->pm, &h->draining[w], 0xcc);
	}
	raise_size(t, WHOLE);
}

static void setup_last_block(struct test *t)
{
	struct pmio_frame_df *h = &t->v->headers[FRAME];

	pmio_pm_store64(t->pm, &h->valid[LAST / 64], 1ull << LAST % 64);
	pmio_pm_store64(t->pm, &h->dirty[LAST / 64], 1ull << LAST % 64);
	put_one(t, LAST, NEW);
	/* and what a write beyond left, whose size was not durable */
	pmio_pm_store64(t->pm, &h->valid[3], ~0ull);
	pmio_pm_store64(t->pm, &h->dirty[3], ~0ull);
	raise_size(t, START + LAST * BLOCK + 50);
}

static void recover(struct test *t)
{
	by(t, AGENT);
	pmio_frame_recover(t->v, FRAME, t->v->slots[SLOT].size);
	fence(t);
	mark(t, 0);
}

static const char *look_combinations(struct test *t, size_t cut, unsigned b)
{
	const struct pmio_frame_df *h = &t->re->headers[FRAME];
	unsigned w = b / 64;

	(void)cut;
	if (h->valid[w] != 0xf0)
		return "valid has changed";
	return h->dirty[w] == 0xe0 && h->draining[w] == 0 ? NULL : "dirty is not as it should be";
}

static const char *look_last_block(struct test *t, size_t cut, unsigned b)
{
	const struct pmio_frame_df *h = &t->re->headers[FRAME];
	const uint8_t *p = bytes(t->re, LAST);

	(void)cut, (void)b;
	if (!valid(t, LAST) || !dirty(t, LAST) || p[0] != NEW || p[49] != NEW)
		return "the last block is lost";
	if (h->valid[3] | h->dirty[3] | h->draining[3])
		return "blocks beyond the end";
	for (unsigned i = 50; i < BLOCK; i++)
		if (p[i] != 0)
			return "bytes beyond the end";
	return NULL;
}

static const char *look_combinations_raw(struct test *t, size_t cut, unsigned b)
{
	return past(t, cut, 0) ? look_combinations(t, cut, b) : NULL;
}

static const char *look_last_block_raw(struct test *t, size_t cut, unsigned b)
{
	return past(t, cut, 0) ? look_last_block(t, cut, b) : NULL;
}

/* ---- format ----------------------------------------------------------------------------------- */

static void setup_unformatted(struct test *t)
{
	pmio_pm_zero(t->pm, pmio_pm_base(t->pm), SIZE);
}

static void format(struct test *t)
{
	const struct pmio_view_params p = {
		.chunk_size = TEST_CHUNK, .nr_slots = 40, .nr_clients = 1};

	assert_int_equal(pmio_view_format(t->pm, &p), 0);
	mark(t, 0);
}

/* t->re is NULL where there is no pool */
const char *look_format(struct test *t, size_t cut, unsigned b)
{
	(void)b;
	if (!t->re)
		return past(t, cut, 0) ? "no pool" : NULL;
	for (unsigned i = 0; i < t->re->nr_slots; i++)
		if (t->re->slots[i].generation != 1)
			return "a pool with half its slots";
	return NULL;
}

const struct sequence sequences[] = {
	{"write, empty", setup_empty, write_used, look_fresh, false},
	{"write, append", setup_short, append, look_append, false},
	{"write, clean", setup_clean, write_used, look_over_clean, false},
	{"write, dirty", setup_dirty, write_used, look_over_dirty, false},
	{"write, visible only", setup_visible_only, write_on_visible_only, look_promise, false},
	{"drain", setup_dirty, drain_ok, look_drain, false},
	{"drain, failed", setup_dirty, drain_failed, look_drain_failed, false},
	{"drain in write", setup_dirty, drain_in_write, look_mixed, false},
	{"drain around write", setup_dirty, drain_around_write, look_mixed, false},
	{"write again", setup_dirty, write_again, look_over_dirty, false},
	{"drain after write again", setup_dirty, drain_after_again, look_drained_after, false},
	{"drain in write again", setup_dirty, drain_in_again, look_mixed, false},
	{"drain before write again", setup_dirty, drain_before_again, look_drained_before, false},
	{"drop in write again", setup_dirty, drop_in_again, look_promise, false},
	{"fill", setup_fill, fill, look_fill, false},
	{"write after fill", setup_fill, write_after_fill, look_after_fill, false},
	{"abort", setup_empty, abort_beside_write, look_abort, false},
	{"drop", setup_dirty, drop, look_drop, false},
	{"redirty", setup_clean, redirty, look_redirty, false},
	{"drop, raw", setup_draining, drop, look_drop_raw, true},
	{"claim", setup_claim, claim, look_claim, true},
	{"zeroed", setup_zeroed, zeroed, look_zeroed, true},
	{"free", setup_dirty, free_only, look_free, true},
	{"recover", setup_combinations, recover, look_combinations, false},
	{"recover, raw", setup_combinations, recover, look_combinations_raw, true},
	{"recover, last block", setup_last_block, recover, look_last_block, false},
	{"recover, last block, raw", setup_last_block, recover, look_last_block_raw, true},
	{"format", setup_unformatted, format, look_format, true},
};

const size_t nr_sequences = sizeof(sequences) / sizeof(sequences[0]);
