/*
 * test_crash_frame.c -- power cuts in every sequence of lib/pool/frame.c, and in
 * pmio_view_format()
 *
 * Each sequence runs on the recorder (pm_record.c).  All images that a power cut
 * could leave are opened and recovered as the next agent would, and looked at:
 *   - bytes that were promised are there, and dirty until they are on the PFS;
 *   - a clean block holds the PFS's bytes, so never another file's;
 *   - a claim is whole or not there at all.
 *
 * Then the tests are tested: each flush and each fence of each sequence is left
 * out in turn, and the same looks must find fault with it.  Where they cannot, the
 * table `redundant` below says why the flush or fence is not needed, or what it is
 * there for that a power cut does not show.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above it */
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/log.h"
#include "pool/frame.h"

#define BLOCK 256u
#define SIZE (2u << 20 | 3u << 16) /* three frames of 64 KiB */
#define FRAME 1
#define CHUNK 7 /* of the file in its frame */
#define START ((uint64_t)CHUNK << 16)
#define SLOT 1
#define GENERATION 1
#define LIMIT 96 /* images for one cut */

/* what the bytes of a block are */
#define PFS 'P'	  /* those of the file on the PFS */
#define OLD 'O'	  /* written and promised earlier, not drained */
#define NEW 'N'	  /* being written */
#define OTHER 'X' /* of another file */

/* blocks that sequences use: each in another cache line of the bitmaps */
#define LOW 3u
#define HIGH 200u

struct test {
	struct pmio_pm *pm;
	struct pmio_view *v;  /* of pm */
	struct pmio_view *re; /* the image under the looking glass */
	const struct sequence *seq;
	size_t mark[3]; /* operations recorded when a sequence said so */
	unsigned nr_images;
	char flaw[200]; /* empty: none found */
};

struct sequence {
	const char *name;
	void (*setup)(struct test *t); /* before recording: durable */
	void (*run)(struct test *t);
	/* an image after `cut` operations, recovered in t->re; what is wrong or NULL */
	const char *(*look)(struct test *t, size_t cut);
	bool raw; /* do not open or recover the image: look does */
};

static void mark(struct test *t, unsigned i)
{
	t->mark[i] = pmio_pm_record_count(t->pm);
}

/* the cut is after all that was recorded at the mark */
static bool past(const struct test *t, size_t cut, unsigned i)
{
	return cut >= t->mark[i];
}

static struct pmio_mask one(unsigned b)
{
	struct pmio_mask m;

	pmio_mask_range(&m, b, b);
	return m;
}

static struct pmio_mask both(void)
{
	struct pmio_mask m = one(LOW);

	pmio_mask_set_range(&m, HIGH, HIGH);
	return m;
}

static uint8_t *bytes(const struct pmio_view *v, unsigned b)
{
	return pmio_view_frame(v, FRAME) + b * BLOCK;
}

static void put(struct test *t, unsigned b, char what)
{
	uint8_t buf[BLOCK];

	memset(buf, what, sizeof(buf));
	pmio_pm_copy(t->v->pm, bytes(t->v, b), buf, sizeof(buf));
}

/* ---- looking ------------------------------------------------------------------ */

static bool is_set(const uint64_t *map, unsigned b)
{
	return map[b / 64] >> b % 64 & 1;
}

static bool valid(const struct test *t, unsigned b)
{
	return is_set(t->re->headers[FRAME].valid, b);
}

static bool dirty(const struct test *t, unsigned b)
{
	return is_set(t->re->headers[FRAME].dirty, b);
}

/* every word of the block is one or the other */
static bool holds(const struct test *t, unsigned b, char one_of, char or_of)
{
	const uint8_t *p = bytes(t->re, b);

	for (unsigned w = 0; w < BLOCK; w += 8) {
		bool first = true, second = true;

		for (unsigned i = w; i < w + 8; i++) {
			first = first && p[i] == one_of;
			second = second && p[i] == or_of;
		}
		if (!first && !second)
			return false;
	}
	return true;
}

/* dirty with these bytes */
static bool kept(const struct test *t, unsigned b, char what)
{
	return valid(t, b) && dirty(t, b) && holds(t, b, what, what);
}

static bool empty(const struct test *t, unsigned b)
{
	return !valid(t, b) && !dirty(t, b);
}

/* ---- write of whole blocks that were empty ----------------------------------------- */

static void raise_size(struct test *t, uint64_t size)
{
	uint64_t *df = &t->v->slots[SLOT].size;

	if (pmio_pm_max64(t->pm, df, size))
		pmio_pm_flush(t->pm, df, sizeof(*df));
}

static void write_both(struct test *t)
{
	struct pmio_mask m = both();

	assert_int_equal(pmio_frame_write_begin(t->v, FRAME, &m), 0);
	put(t, LOW, NEW);
	put(t, HIGH, NEW);
	pmio_pm_fence(t->pm);
	pmio_frame_write_end(t->v, FRAME, &m);
	pmio_pm_fence(t->pm);
	mark(t, 0);
}

static const char *look_fresh_block(struct test *t, size_t cut, unsigned b)
{
	if (past(t, cut, 0) && !kept(t, b, NEW))
		return "the write is lost";
	if (!empty(t, b) && !kept(t, b, NEW))
		return "valid without the bytes, or not dirty";
	return NULL;
}

static const char *look_fresh(struct test *t, size_t cut)
{
	const char *flaw = look_fresh_block(t, cut, LOW);

	return flaw ? flaw : look_fresh_block(t, cut, HIGH);
}

static void setup_empty(struct test *t)
{
	raise_size(t, START + 65536);
}

/* ---- write that makes the file longer ----------------------------------------------- */

static void setup_short(struct test *t)
{
	raise_size(t, START);
}

static void append(struct test *t)
{
	struct pmio_mask m = one(0);

	assert_int_equal(pmio_frame_write_begin(t->v, FRAME, &m), 0);
	put(t, 0, NEW);
	pmio_pm_fence(t->pm);
	pmio_frame_write_end(t->v, FRAME, &m);
	raise_size(t, START + 100);
	pmio_pm_fence(t->pm);
	mark(t, 0);
}

static const char *look_append(struct test *t, size_t cut)
{
	uint64_t size = t->re->slots[SLOT].size;

	if (size != START && size != START + 100)
		return "size is neither";
	if (past(t, cut, 0) && size != START + 100)
		return "size is lost";
	if (size == START)
		return empty(t, 0) ? NULL : "bytes beyond the end";
	if (past(t, cut, 0) && !(valid(t, 0) && dirty(t, 0)))
		return "the write is lost";
	if (valid(t, 0) && (bytes(t->re, 0)[99] != NEW || bytes(t->re, 0)[100] != 0))
		return "wrong bytes";
	return NULL;
}

/* ---- write to blocks that are clean, dirty ------------------------------------------- */

static void make_valid(struct test *t, char what, bool is_dirty)
{
	struct pmio_mask m = both(), todo, busy;

	setup_empty(t);
	pmio_frame_fill_begin(t->v, FRAME, &m, &todo, &busy);
	put(t, LOW, what);
	put(t, HIGH, what);
	pmio_frame_fill_end(t->v, FRAME, &todo, true);
	if (!is_dirty)
		return;
	assert_int_equal(pmio_frame_write_begin(t->v, FRAME, &m), 0);
	pmio_frame_write_end(t->v, FRAME, &m);
}

static void setup_clean(struct test *t)
{
	make_valid(t, PFS, false);
}

static void setup_dirty(struct test *t)
{
	make_valid(t, OLD, true);
}

static const char *look_over_block(struct test *t, size_t cut, unsigned b, char old, bool was_dirty)
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

static const char *look_over_clean(struct test *t, size_t cut)
{
	const char *flaw = look_over_block(t, cut, LOW, PFS, false);

	return flaw ? flaw : look_over_block(t, cut, HIGH, PFS, false);
}

static const char *look_over_dirty(struct test *t, size_t cut)
{
	const char *flaw = look_over_block(t, cut, LOW, OLD, true);

	return flaw ? flaw : look_over_block(t, cut, HIGH, OLD, true);
}

/* ---- bits that another client has set, and not flushed --------------------------------- */

/* valid already, by a fill whose flush has not come yet; dirty by another writer's */
static void setup_visible_only(struct test *t)
{
	setup_empty(t);
	put(t, LOW, PFS);
	put(t, HIGH, PFS);
}

static void write_on_visible_only(struct test *t)
{
	struct pmio_mask m = both();

	for (unsigned i = 0; i < PMIO_MASK_WORDS; i++) {
		if (!m.w[i])
			continue;
		pmio_pm_or64(t->pm, &t->v->headers[FRAME].valid[i], m.w[i]);
		pmio_pm_or64(t->pm, &t->v->headers[FRAME].dirty[i], m.w[i]);
	}
	write_both(t);
}

/* of a file that was open, recovery drops what is clean: only promises count */
static const char *look_promise(struct test *t, size_t cut)
{
	if (past(t, cut, 0) && !(kept(t, LOW, NEW) && kept(t, HIGH, NEW)))
		return "the write is lost";
	return NULL;
}

/* ---- drain ---------------------------------------------------------------------------- */

/* mark 1: the bytes are on the PFS; mark 2: all is over, fenced, and the file clean */
static void drain(struct test *t, bool ok)
{
	struct pmio_mask taken;

	pmio_frame_drain_begin(t->v, FRAME, &taken);
	assert_int_equal(pmio_mask_count(&taken), 2);
	mark(t, 1);
	pmio_frame_drain_end(t->v, FRAME, &taken, ok);
	pmio_pm_fence(t->pm);
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

static const char *look_drain_block(struct test *t, size_t cut, unsigned b, bool ok)
{
	if (!valid(t, b) || !holds(t, b, OLD, OLD))
		return "bytes are lost";
	if (!(ok && cut > t->mark[1]) && !dirty(t, b))
		return "clean before it is on the PFS";
	/* would overwrite what others do to the PFS file later on */
	if (ok && past(t, cut, 2) && dirty(t, b))
		return "dirty after all is over";
	return NULL;
}

static const char *look_drain(struct test *t, size_t cut)
{
	const char *flaw = look_drain_block(t, cut, LOW, true);

	return flaw ? flaw : look_drain_block(t, cut, HIGH, true);
}

static const char *look_drain_failed(struct test *t, size_t cut)
{
	const char *flaw = look_drain_block(t, cut, LOW, false);

	return flaw ? flaw : look_drain_block(t, cut, HIGH, false);
}

/* ---- a drain that falls into a write ---------------------------------------------------- */

/* between write_begin and the bytes: the drain takes the old ones */
static void drain_in_write(struct test *t)
{
	struct pmio_mask m = both(), taken;

	assert_int_equal(pmio_frame_write_begin(t->v, FRAME, &m), 0);
	pmio_frame_drain_begin(t->v, FRAME, &taken);
	put(t, LOW, NEW);
	put(t, HIGH, NEW);
	pmio_pm_fence(t->pm);
	mark(t, 1);
	pmio_frame_drain_end(t->v, FRAME, &taken, true);
	pmio_frame_write_end(t->v, FRAME, &m);
	pmio_pm_fence(t->pm);
	mark(t, 0);
}

/* the drain ends only after the write */
static void drain_around_write(struct test *t)
{
	struct pmio_mask m = both(), taken;

	assert_int_equal(pmio_frame_write_begin(t->v, FRAME, &m), 0);
	pmio_frame_drain_begin(t->v, FRAME, &taken);
	put(t, LOW, NEW);
	put(t, HIGH, NEW);
	pmio_pm_fence(t->pm);
	pmio_frame_write_end(t->v, FRAME, &m);
	pmio_pm_fence(t->pm);
	mark(t, 0);
	mark(t, 1);
	pmio_frame_drain_end(t->v, FRAME, &taken, true);
	pmio_pm_fence(t->pm);
}

static const char *look_mixed_block(struct test *t, size_t cut, unsigned b)
{
	if (!valid(t, b) || !holds(t, b, OLD, NEW))
		return "bytes are lost";
	if (past(t, cut, 0) && !kept(t, b, NEW))
		return "the write is lost";
	/* till the drain is over the old bytes are nowhere else */
	if (!(cut > t->mark[1]) && !dirty(t, b))
		return "clean before it is on the PFS";
	return NULL;
}

static const char *look_mixed(struct test *t, size_t cut)
{
	const char *flaw = look_mixed_block(t, cut, LOW);

	return flaw ? flaw : look_mixed_block(t, cut, HIGH);
}

/* ---- fill -------------------------------------------------------------------------------- */

static void setup_fill(struct test *t)
{
	setup_empty(t);
	put(t, LOW, OTHER);
	put(t, HIGH, OTHER);
}

static void fill(struct test *t)
{
	struct pmio_mask m = both(), todo, busy;

	pmio_frame_fill_begin(t->v, FRAME, &m, &todo, &busy);
	put(t, LOW, PFS);
	put(t, HIGH, PFS);
	pmio_frame_fill_end(t->v, FRAME, &todo, true);
	pmio_pm_fence(t->pm);
	mark(t, 0);
}

static const char *look_fill(struct test *t, size_t cut)
{
	if (valid(t, LOW) && !holds(t, LOW, PFS, PFS))
		return "another file's bytes";
	if (valid(t, HIGH) && !holds(t, HIGH, PFS, PFS))
		return "another file's bytes";
	if (past(t, cut, 0) && !(valid(t, LOW) && valid(t, HIGH)))
		return "filled for nothing";
	if (past(t, cut, 0) && (dirty(t, LOW) || dirty(t, HIGH)))
		return "would be drained for nothing";
	return NULL;
}

/* a client wants to overwrite what is being filled, waits, and then does */
static void write_after_fill(struct test *t)
{
	struct pmio_mask m = both(), todo, busy;

	pmio_frame_fill_begin(t->v, FRAME, &m, &todo, &busy);
	put(t, LOW, PFS);
	put(t, HIGH, PFS);
	assert_int_equal(pmio_frame_write_begin(t->v, FRAME, &m), -EAGAIN);
	pmio_frame_fill_end(t->v, FRAME, &todo, true);
	write_both(t);
}

static const char *look_after_fill_block(struct test *t, size_t cut, unsigned b)
{
	if (past(t, cut, 0) && !kept(t, b, NEW))
		return "the write is lost";
	if (valid(t, b) && !holds(t, b, PFS, NEW))
		return "another file's bytes";
	if (valid(t, b) && !dirty(t, b) && !holds(t, b, PFS, PFS))
		return "clean, but not the PFS's bytes";
	return NULL;
}

static const char *look_after_fill(struct test *t, size_t cut)
{
	const char *flaw = look_after_fill_block(t, cut, LOW);

	return flaw ? flaw : look_after_fill_block(t, cut, HIGH);
}

/* ---- abort ------------------------------------------------------------------------------------ */

/* mark 0: one client's write of LOW was promised; another's of LOW and HIGH is given up */
static void abort_beside_write(struct test *t)
{
	struct pmio_mask m = both(), low = one(LOW);

	assert_int_equal(pmio_frame_write_begin(t->v, FRAME, &m), 0);
	assert_int_equal(pmio_frame_write_begin(t->v, FRAME, &low), 0);
	put(t, LOW, NEW);
	pmio_pm_fence(t->pm);
	pmio_frame_write_end(t->v, FRAME, &low);
	pmio_pm_fence(t->pm);
	mark(t, 0);
	pmio_frame_write_abort(t->v, FRAME, &m);
	pmio_pm_fence(t->pm);
}

static const char *look_abort(struct test *t, size_t cut)
{
	const char *flaw = look_fresh_block(t, cut, LOW);

	return flaw ? flaw : empty(t, HIGH) ? NULL : "a block that nobody wrote";
}

/* ---- drop, claim, free ---------------------------------------------------------------------------- */

static void drop(struct test *t)
{
	struct pmio_mask m = both();

	pmio_frame_drop(t->v, FRAME, &m);
	pmio_pm_fence(t->pm);
	mark(t, 0);
}

static const char *look_drop_block(struct test *t, size_t cut, unsigned b)
{
	if (past(t, cut, 0))
		return empty(t, b) ? NULL : "still there";
	return empty(t, b) || kept(t, b, OLD) ? NULL : "clean, but not the PFS's bytes";
}

static const char *look_drop(struct test *t, size_t cut)
{
	const char *flaw = look_drop_block(t, cut, LOW);

	if (!flaw)
		flaw = look_drop_block(t, cut, HIGH);
	return flaw;
}

/* the bits as they are on media: recovery would hide some of them */
static const char *look_drop_raw(struct test *t, size_t cut)
{
	const struct pmio_frame_df *h = &t->re->headers[FRAME];
	const unsigned blocks[] = {LOW, HIGH};

	for (unsigned i = 0; i < 2; i++) {
		unsigned b = blocks[i];

		if (past(t, cut, 0) && (is_set(h->dirty, b) || is_set(h->draining, b)))
			return "bits that a fill would give a meaning";
	}
	return NULL;
}

static void setup_draining(struct test *t)
{
	struct pmio_mask m = both(), taken;

	setup_dirty(t);
	pmio_frame_drain_begin(t->v, FRAME, &taken);
	assert_int_equal(pmio_frame_write_begin(t->v, FRAME, &m), 0);
	pmio_frame_write_end(t->v, FRAME, &m);
}

static void claim_again(struct test *t)
{
	pmio_frame_free(t->v, FRAME);
	pmio_frame_claim(t->v, FRAME, SLOT, GENERATION + 1, CHUNK + 1);
	mark(t, 0);
}

static void setup_claim(struct test *t)
{
	setup_dirty(t);
	put(t, LOW, OTHER);
	put(t, HIGH, OTHER);
}

static const char *look_claim(struct test *t, size_t cut)
{
	const struct pmio_frame_df *h = &t->re->headers[FRAME];

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
	pmio_frame_free(t->v, FRAME);
	pmio_pm_fence(t->pm);
	mark(t, 0);
}

static const char *look_free(struct test *t, size_t cut)
{
	uint64_t owner = t->re->headers[FRAME].owner;

	if (owner != 0 && owner != PMIO_OWNER(SLOT, GENERATION))
		return "half an owner";
	return past(t, cut, 0) && owner != 0 ? "not free" : NULL;
}

/* ---- recovery, cut off and done again ------------------------------------------------------------------ */

#define RECOVER_SIZE (START + 100 * BLOCK + 50)

static void setup_recover(struct test *t)
{
	struct pmio_frame_df *h = &t->v->headers[FRAME];

	/* blocks 0..7, and the same at 192: each combination of bits */
	for (unsigned w = 0; w < PMIO_MASK_WORDS; w += 3) {
		pmio_pm_store64(t->pm, &h->valid[w], 0xf0);
		pmio_pm_store64(t->pm, &h->dirty[w], 0xaa);
		pmio_pm_store64(t->pm, &h->draining[w], 0xcc);
	}
	/* the last block of the file, valid and dirty */
	pmio_pm_store64(t->pm, &h->valid[1], 1ull << (100 - 64));
	pmio_pm_store64(t->pm, &h->dirty[1], 1ull << (100 - 64));
	put(t, 100, NEW);
	pmio_pm_max64(t->pm, &t->v->slots[SLOT].size, RECOVER_SIZE);
}

static void recover(struct test *t)
{
	pmio_frame_recover(t->v, FRAME, RECOVER_SIZE);
	pmio_pm_fence(t->pm);
	mark(t, 0);
}

/* recovered once more: as if the first one had not been cut off */
static const char *look_recovered(struct test *t, size_t cut)
{
	const struct pmio_frame_df *h = &t->re->headers[FRAME];

	(void)cut;
	if (h->valid[0] != 0xf0 || h->dirty[0] != 0xe0 || h->draining[0])
		return "dirty is lost, or an empty block is not";
	if (h->valid[1] != 1ull << 36 || h->dirty[1] != 1ull << 36)
		return "the last block is lost";
	if (h->valid[3] | h->dirty[3] | h->draining[3])
		return "blocks beyond the end";
	if (bytes(t->re, 100)[49] != NEW || bytes(t->re, 100)[50] || bytes(t->re, 100)[255])
		return "bytes beyond the end";
	return NULL;
}

/* what recovery left on media, not recovered again */
static const char *look_recovered_raw(struct test *t, size_t cut)
{
	return past(t, cut, 0) ? look_recovered(t, cut) : NULL;
}

/* ---- format ------------------------------------------------------------------------------------------------ */

static void format(struct test *t)
{
	const struct pmio_view_params p = {
		.chunk_size = PMIO_CHUNK_MIN, .nr_slots = 40, .nr_clients = 1};

	assert_int_equal(pmio_view_format(t->pm, &p), 0);
	mark(t, 0);
}

static void setup_unformatted(struct test *t)
{
	pmio_pm_zero(t->pm, pmio_pm_base(t->pm), SIZE);
}

/* t->re is NULL where there is no pool */
static const char *look_format(struct test *t, size_t cut)
{
	if (!t->re)
		return past(t, cut, 0) ? "no pool" : NULL;
	for (unsigned i = 0; i < t->re->nr_slots; i++)
		if (t->re->slots[i].generation != 1)
			return "a pool with half its slots";
	return NULL;
}

/* ---- all -------------------------------------------------------------------------------------------------------- */

static const struct sequence sequences[] = {
	{"write, empty", setup_empty, write_both, look_fresh, false},
	{"write, append", setup_short, append, look_append, false},
	{"write, clean", setup_clean, write_both, look_over_clean, false},
	{"write, dirty", setup_dirty, write_both, look_over_dirty, false},
	{"write, visible only", setup_visible_only, write_on_visible_only, look_promise, false},
	{"drain", setup_dirty, drain_ok, look_drain, false},
	{"drain, failed", setup_dirty, drain_failed, look_drain_failed, false},
	{"drain in write", setup_dirty, drain_in_write, look_mixed, false},
	{"drain around write", setup_dirty, drain_around_write, look_mixed, false},
	{"fill", setup_fill, fill, look_fill, false},
	{"write after fill", setup_fill, write_after_fill, look_after_fill, false},
	{"abort", setup_empty, abort_beside_write, look_abort, false},
	{"drop", setup_dirty, drop, look_drop, false},
	{"drop, raw", setup_draining, drop, look_drop_raw, true},
	{"claim", setup_claim, claim_again, look_claim, true},
	{"free", setup_dirty, free_only, look_free, true},
	{"recover", setup_recover, recover, look_recovered, false},
	{"recover, raw", setup_recover, recover, look_recovered_raw, true},
	{"format", setup_unformatted, format, look_format, true},
};

#define NR_SEQUENCES (sizeof(sequences) / sizeof(sequences[0]))

enum kind { FENCE, FLUSH };

/* the nth fence or flush of a sequence, whose loss no image shows */
static const struct redundant {
	const char *sequence;
	enum kind kind;
	long nth;
	const char *why;
} redundant[] = {
	{NULL, FENCE, 0, NULL},
};

#define NR_REDUNDANT (sizeof(redundant) / sizeof(redundant[0]))

/* ---- the machine -------------------------------------------------------------------------------------------------- */

/*
 * The image goes into one mapping that is used again and again; most of it is
 * zeros that no sequence touches.
 */
static struct pmio_pm *glass;

static void take_image(const void *image)
{
	const size_t headers = 64 << 10, frame = (2u << 20) + (FRAME << 16);

	memcpy(pmio_pm_base(glass), image, headers);
	memcpy((uint8_t *)pmio_pm_base(glass) + frame, (const uint8_t *)image + frame, 1 << 16);
}

static int look(const void *image, size_t size, size_t cut, void *arg)
{
	struct test *t = arg;
	const char *flaw;

	(void)size;
	t->nr_images++;
	take_image(image);
	if (pmio_view_new(glass, "image", &t->re) < 0)
		t->re = NULL;
	if (!t->re && t->seq->look != look_format) {
		flaw = "no pool";
	} else {
		if (!t->seq->raw)
			pmio_frame_recover(t->re, FRAME, t->re->slots[SLOT].size);
		flaw = t->seq->look(t, cut);
	}
	free(t->re); /* but not the mapping */
	t->re = NULL;
	if (!flaw)
		return 0;
	snprintf(t->flaw, sizeof(t->flaw), "%s: cut after %zu operations: %s", t->seq->name, cut,
		 flaw);
	return 1;
}

/* drop: which fence or flush to leave out, -1: none; returns how many there are */
static void run(struct test *t, const struct sequence *seq, long fence, long flush)
{
	const struct pmio_view_params p = {
		.chunk_size = PMIO_CHUNK_MIN, .nr_slots = 4, .nr_clients = 2};

	memset(t, 0, sizeof(*t));
	t->seq = seq;
	t->pm = pmio_pm_record_new(SIZE);
	assert_non_null(t->pm);
	assert_int_equal(pmio_view_format(t->pm, &p), 0);
	assert_int_equal(pmio_view_new(t->pm, "recorded", &t->v), 0);
	pmio_frame_claim(t->v, FRAME, SLOT, GENERATION, CHUNK);
	seq->setup(t);
	pmio_pm_record_reset(t->pm);

	pmio_pm_record_drop(t->pm, fence, flush);
	seq->run(t);
	assert_true(pmio_pm_record_images(t->pm, LIMIT, 1, look, t) >= 0);
	pmio_view_delete(&t->v);
}

static void crash__every_sequence(void **state)
{
	unsigned images = 0;
	struct test t;

	(void)state;
	for (size_t i = 0; i < NR_SEQUENCES; i++) {
		run(&t, &sequences[i], -1, -1);
		if (t.flaw[0])
			fail_msg("%s", t.flaw);
		assert_true(t.nr_images > 2);
		images += t.nr_images;
	}
	print_message("# %u images\n", images);
}

static const struct redundant *known(const char *sequence, enum kind kind, long nth)
{
	for (size_t i = 0; i < NR_REDUNDANT; i++)
		if (redundant[i].sequence && strcmp(redundant[i].sequence, sequence) == 0 &&
		    redundant[i].kind == kind && redundant[i].nth == nth)
			return &redundant[i];
	return NULL;
}

/* counts the flushes and fences that a run makes: what it records when one is dropped is less */
static size_t operations(const struct sequence *seq, long fence, long flush)
{
	const struct pmio_view_params p = {
		.chunk_size = PMIO_CHUNK_MIN, .nr_slots = 4, .nr_clients = 2};
	struct test t = {.seq = seq, .pm = pmio_pm_record_new(SIZE)};
	size_t n;

	assert_int_equal(pmio_view_format(t.pm, &p), 0);
	assert_int_equal(pmio_view_new(t.pm, "recorded", &t.v), 0);
	pmio_frame_claim(t.v, FRAME, SLOT, GENERATION, CHUNK);
	seq->setup(&t);
	pmio_pm_record_reset(t.pm);
	pmio_pm_record_drop(t.pm, fence, flush);
	seq->run(&t);
	n = pmio_pm_record_count(t.pm);
	pmio_view_delete(&t.v);
	return n;
}

static unsigned drop_each(const struct sequence *seq, enum kind kind)
{
	size_t all = operations(seq, -1, -1);
	unsigned wrong = 0;
	struct test t;

	for (long n = 0;; n++) {
		long fence = kind == FENCE ? n : -1, flush = kind == FLUSH ? n : -1;
		const struct redundant *r = known(seq->name, kind, n);

		if (operations(seq, fence, flush) == all)
			return wrong; /* there was no n-th */
		run(&t, seq, fence, flush);
		if ((t.flaw[0] == '\0') == (r != NULL))
			continue;
		wrong++;
		print_error("%s, %s %ld: %s\n", seq->name, kind == FENCE ? "fence" : "flush", n,
			    r ? "listed as redundant, but it is missed"
			      : "nobody missed it");
	}
}

static void crash__each_fence_and_flush_is_missed(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < NR_SEQUENCES; i++) {
		wrong += drop_each(&sequences[i], FENCE);
		wrong += drop_each(&sequences[i], FLUSH);
	}
	assert_int_equal(wrong, 0);
}

/* ------------------------------------------------------------------------------------------------------------------ */

static void ignore_line(enum pmio_log_level level, const char *line)
{
	(void)level, (void)line;
}

static int group_setup(void **state)
{
	int fd = memfd_create("pmio-image", MFD_CLOEXEC);

	(void)state;
	pmio_log_set_handler(ignore_line); /* images that are no pool say so */
	if (fd < 0 || ftruncate(fd, SIZE) < 0 || pmio_pm_map(fd, &glass) < 0)
		return -1;
	close(fd);
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	pmio_pm_unmap(&glass);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crash__every_sequence),
		cmocka_unit_test(crash__each_fence_and_flush_is_missed),
	};

	return cmocka_run_group_tests_name("crash frame", tests, group_setup, group_teardown);
}
