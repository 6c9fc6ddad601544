/*
 * test_frame.c -- the bitmaps of a frame: each transition, and clients and agent
 * at once in threads.  What crashes leave behind is tests/crash/.
 */
#include "scratch.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "pool/frame.h"

#define TEST_CHUNK (64u << 10)

#define FRAME 1
#define NR_BLOCKS PMIO_CHUNK_BLOCKS
#define SIZE (2u << 20 | 4u << 16)

struct fixture {
	struct pmio_view *v;
	struct pmio_frame_df *h;
};

/* a pool of a few frames with blocks of 256 bytes, in a file that has no name */
static int setup(void **state)
{
	const struct pmio_view_params params = {
		.chunk_size = TEST_CHUNK, .nr_slots = 4, .nr_clients = 2};
	struct fixture *f = calloc(1, sizeof(*f));
	int fd = memfd_create("pmio-test", MFD_CLOEXEC);
	struct pmio_pm *pm;

	scratch_catch_log();
	*state = f;
	if (fd < 0 || ftruncate(fd, SIZE) < 0 || pmio_pm_map(fd, &pm) < 0 ||
	    pmio_view_format(pm, &params) < 0 || pmio_view_new(pm, "test", &f->v) < 0)
		return -1;
	close(fd);
	f->h = &f->v->headers[FRAME];
	pmio_frame_claim(f->v, FRAME, 2, 5, 77);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	pmio_view_delete(&f->v);
	free(f);
	return 0;
}

static struct pmio_mask range(unsigned first, unsigned last)
{
	struct pmio_mask m;

	pmio_mask_range(&m, first, last);
	return m;
}

/* "vdD" of a block, '-' where a bit is not set */
static const char *block(const struct fixture *f, unsigned b)
{
	static char s[8][4];
	static unsigned turn;
	char *p = s[turn++ % 8];
	struct pmio_mask valid, dirty, draining;

	pmio_frame_get(f->v, FRAME, &valid, &dirty, &draining);
	p[0] = pmio_mask_test(&valid, b) ? 'v' : '-';
	p[1] = pmio_mask_test(&dirty, b) ? 'd' : '-';
	p[2] = pmio_mask_test(&draining, b) ? 'D' : '-';
	p[3] = '\0';
	return p;
}

#define assert_block(b, what) assert_string_equal(block(f, (b)), (what))

static void set_block(struct fixture *f, unsigned b, const char *what)
{
	uint64_t *maps[] = {f->h->valid, f->h->dirty, f->h->draining};

	for (unsigned i = 0; i < 3; i++) {
		maps[i][b / 64] &= ~(1ull << b % 64);
		if (what[i] != '-')
			maps[i][b / 64] |= 1ull << b % 64;
	}
}

static void write_blocks(struct fixture *f, unsigned first, unsigned last)
{
	struct pmio_mask m = range(first, last);

	assert_int_equal(pmio_frame_write_begin(f->v, FRAME, &m), 0);
	pmio_pm_fence(f->v->pm);
	pmio_frame_write_end(f->v, FRAME, &m);
	pmio_pm_fence(f->v->pm);
}

static void fill_blocks(struct fixture *f, unsigned first, unsigned last)
{
	struct pmio_mask m = range(first, last), todo, busy;

	pmio_frame_fill_begin(f->v, FRAME, &m, &todo, &busy);
	pmio_frame_fill_end(f->v, FRAME, &todo, true);
}

/* ---- masks ---------------------------------------------------------------------- */

static void mask__every_range(void **state)
{
	(void)state;
	for (unsigned first = 0; first < NR_BLOCKS; first += 3) {
		for (unsigned last = first; last < NR_BLOCKS; last++) {
			struct pmio_mask m = range(first, last);
			unsigned len, at;

			assert_int_equal(pmio_mask_count(&m), last - first + 1);
			assert_false(pmio_mask_empty(&m));
			assert_true(pmio_mask_test(&m, first) && pmio_mask_test(&m, last));
			at = pmio_mask_next_run(&m, 0, &len);
			assert_int_equal(at, first);
			assert_int_equal(len, last - first + 1);
			assert_int_equal(pmio_mask_next_run(&m, last + 1, &len), NR_BLOCKS);
			assert_int_equal(len, 0);
		}
	}
}

static void mask__runs(void **state)
{
	struct pmio_mask m = {{0}};
	unsigned len;

	(void)state;
	assert_true(pmio_mask_empty(&m));
	assert_int_equal(pmio_mask_next_run(&m, 0, &len), NR_BLOCKS);
	pmio_mask_set_range(&m, 3, 5);
	pmio_mask_set_range(&m, 60, 70);
	pmio_mask_set_range(&m, 255, 255);

	assert_int_equal(pmio_mask_next_run(&m, 0, &len), 3);
	assert_int_equal(len, 3);
	assert_int_equal(pmio_mask_next_run(&m, 4, &len), 4);
	assert_int_equal(len, 2);
	assert_int_equal(pmio_mask_next_run(&m, 6, &len), 60);
	assert_int_equal(len, 11);
	assert_int_equal(pmio_mask_next_run(&m, 71, &len), 255);
	assert_int_equal(len, 1);
	assert_int_equal(pmio_mask_count(&m), 15);
}

/* ---- write ------------------------------------------------------------------------ */

static void write__empty_blocks(void **state)
{
	struct fixture *f = *state;
	struct pmio_mask m = range(60, 130);

	assert_int_equal(pmio_frame_write_begin(f->v, FRAME, &m), 0);
	assert_block(59, "---");
	assert_block(60, "-d-");
	assert_block(130, "-d-");
	assert_false(pmio_frame_valid(f->v, FRAME, &m));

	pmio_pm_fence(f->v->pm);
	pmio_frame_write_end(f->v, FRAME, &m);
	assert_block(59, "---");
	assert_block(60, "vd-");
	assert_block(130, "vd-");
	assert_block(131, "---");
	assert_true(pmio_frame_valid(f->v, FRAME, &m));
}

static void write__clean_and_dirty_blocks(void **state)
{
	struct fixture *f = *state;

	set_block(f, 0, "v--");
	set_block(f, 1, "vd-");
	set_block(f, 2, "v-D");

	write_blocks(f, 0, 2);

	assert_block(0, "vd-");
	assert_block(1, "vd-");
	assert_block(2, "vdD"); /* a drain goes on; the block is drained once more after it */
}

static void write_begin__meets_a_fill(void **state)
{
	struct fixture *f = *state;
	struct pmio_mask fill = range(10, 20), m = range(20, 30), todo, busy;

	pmio_frame_fill_begin(f->v, FRAME, &fill, &todo, &busy);

	assert_int_equal(pmio_frame_write_begin(f->v, FRAME, &m), -EAGAIN);
	assert_block(20, "-dD");
	pmio_frame_fill_end(f->v, FRAME, &todo, true);
	assert_block(20, "vd-");
	assert_int_equal(pmio_frame_write_begin(f->v, FRAME, &m), 0);
	pmio_frame_write_end(f->v, FRAME, &m);
	assert_block(30, "vd-");
	assert_block(19, "v--");
}

static void write_begin__a_drain_is_no_fill(void **state)
{
	struct fixture *f = *state;
	struct pmio_mask m = range(0, 0);

	set_block(f, 0, "v-D");
	assert_int_equal(pmio_frame_write_begin(f->v, FRAME, &m), 0);
}

static void write_end__sets_dirty_again_after_a_drain(void **state)
{
	struct fixture *f = *state;
	struct pmio_mask m = range(5, 5), taken;

	set_block(f, 5, "v--");
	assert_int_equal(pmio_frame_write_begin(f->v, FRAME, &m), 0);
	pmio_frame_drain_begin(f->v, FRAME, &taken);
	assert_int_equal(pmio_mask_count(&taken), 1);
	pmio_frame_drain_end(f->v, FRAME, &taken, true);
	assert_block(5, "v--");

	pmio_frame_write_end(f->v, FRAME, &m);

	assert_block(5, "vd-");
}

static void write_abort__only_what_is_not_valid(void **state)
{
	struct fixture *f = *state;
	struct pmio_mask m = range(0, 3);

	set_block(f, 0, "-d-");
	set_block(f, 1, "vd-");
	set_block(f, 2, "v--");
	set_block(f, 3, "-dD");

	pmio_frame_write_abort(f->v, FRAME, &m);

	assert_block(0, "---");
	assert_block(1, "vd-");
	assert_block(2, "v--");
	assert_block(3, "--D");
}

/* ---- fill -------------------------------------------------------------------------- */

static void fill_begin__sorts_blocks(void **state)
{
	struct fixture *f = *state;
	struct pmio_mask m = range(0, 5), todo, busy;

	set_block(f, 1, "v--");
	set_block(f, 2, "-d-"); /* a client overwrites it */
	set_block(f, 3, "--D"); /* another thread fills it */
	set_block(f, 4, "vd-");

	pmio_frame_fill_begin(f->v, FRAME, &m, &todo, &busy);

	assert_int_equal(todo.w[0], 1 << 0 | 1 << 5);
	assert_int_equal(busy.w[0], 1 << 2);
	assert_block(0, "--D");
	assert_block(1, "v--");
	assert_block(2, "-d-");
	assert_block(3, "--D");
	assert_block(5, "--D");
	assert_block(6, "---");
}

static void fill_end__ok_and_failed(void **state)
{
	struct fixture *f = *state;
	struct pmio_mask a = range(0, 1), b = range(200, 201), todo, busy;

	pmio_frame_fill_begin(f->v, FRAME, &a, &todo, &busy);
	pmio_frame_fill_end(f->v, FRAME, &todo, true);
	pmio_frame_fill_begin(f->v, FRAME, &b, &todo, &busy);
	pmio_frame_fill_end(f->v, FRAME, &todo, false);

	assert_block(0, "v--");
	assert_block(1, "v--");
	assert_block(200, "---");
}

/* ---- drain ------------------------------------------------------------------------- */

static void drain__ok(void **state)
{
	struct fixture *f = *state;
	struct pmio_mask taken;

	write_blocks(f, 100, 140);
	fill_blocks(f, 0, 5);
	set_block(f, 7, "-d-");

	pmio_frame_drain_begin(f->v, FRAME, &taken);

	assert_int_equal(pmio_mask_count(&taken), 41);
	assert_block(100, "v-D");
	assert_block(0, "v--");
	assert_block(7, "-d-");
	pmio_frame_drain_end(f->v, FRAME, &taken, true);
	assert_block(100, "v--");
}

static void drain__failed(void **state)
{
	struct fixture *f = *state;
	struct pmio_mask taken;

	write_blocks(f, 255, 255);
	pmio_frame_drain_begin(f->v, FRAME, &taken);

	pmio_frame_drain_end(f->v, FRAME, &taken, false);

	assert_block(255, "vd-");
}

static void drain__second_one_at_once_takes_nothing(void **state)
{
	struct fixture *f = *state;
	struct pmio_mask first, taken;

	write_blocks(f, 1, 2);
	pmio_frame_drain_begin(f->v, FRAME, &first);
	write_blocks(f, 2, 3);

	pmio_frame_drain_begin(f->v, FRAME, &taken);

	assert_int_equal(taken.w[0], 1 << 3);
	assert_block(2, "vdD");
	pmio_frame_drain_end(f->v, FRAME, &first, true);
	assert_block(2, "vd-");
}

/* ---- frames -------------------------------------------------------------------------- */

static void drop__leaves_the_others(void **state)
{
	struct fixture *f = *state;
	struct pmio_mask m = range(64, 200);

	write_blocks(f, 0, 255);
	pmio_frame_drop(f->v, FRAME, &m);

	assert_block(63, "vd-");
	assert_block(64, "---");
	assert_block(200, "---");
	assert_block(201, "vd-");
}

static void claim__is_empty_whatever_was_there(void **state)
{
	struct fixture *f = *state;
	struct pmio_mask valid, dirty, draining;

	write_blocks(f, 0, 255);
	memset(f->h->draining, 0xff, sizeof(f->h->draining));
	pmio_frame_free(f->v, FRAME);
	assert_int_equal(f->h->owner, 0);

	pmio_frame_claim(f->v, FRAME, 3, 0xffffffffff, 1ull << 40);

	assert_int_equal(PMIO_OWNER_SLOT(f->h->owner), 3);
	assert_int_equal(PMIO_OWNER_GENERATION(f->h->owner), 0xffffffffff);
	assert_int_equal(f->h->chunk, 1ull << 40);
	pmio_frame_get(f->v, FRAME, &valid, &dirty, &draining);
	assert_true(pmio_mask_empty(&valid) && pmio_mask_empty(&dirty) && pmio_mask_empty(&draining));
}

/* ---- recovery -------------------------------------------------------------------------- */

#define START (77ull << 16) /* of the fixture's chunk in its file */

static void recover__every_combination(void **state)
{
	struct fixture *f = *state;
	static const char *const before[] = {"---", "-d-", "--D", "-dD", "v--", "vd-", "v-D", "vdD"};
	static const char *const after[] = {"---", "---", "---", "---", "v--", "vd-", "vd-", "vd-"};

	for (unsigned i = 0; i < 8; i++) {
		set_block(f, i, before[i]);
		set_block(f, 128 + i, before[i]);
	}

	pmio_frame_recover(f->v, FRAME, START + 65536);

	for (unsigned i = 0; i < 8; i++) {
		assert_block(i, after[i]);
		assert_block(128 + i, after[i]);
	}
}

static void recover__beyond_the_size_is_empty_and_zero(void **state)
{
	struct fixture *f = *state;
	uint8_t *p = pmio_view_frame(f->v, FRAME);

	memset(p, 'x', 65536);
	write_blocks(f, 0, 255);

	pmio_frame_recover(f->v, FRAME, START + 10 * 256 + 100);

	assert_block(9, "vd-");
	assert_block(10, "vd-");
	assert_block(11, "---");
	assert_block(255, "---");
	assert_int_equal(p[10 * 256 + 99], 'x');
	for (unsigned i = 100; i < 256; i++)
		assert_int_equal(p[10 * 256 + i], 0);
}

static void recover__size_on_a_boundary(void **state)
{
	struct fixture *f = *state;
	uint8_t *p = pmio_view_frame(f->v, FRAME);

	memset(p, 'x', 65536);
	write_blocks(f, 0, 255);

	pmio_frame_recover(f->v, FRAME, START + 256);

	assert_block(0, "vd-");
	assert_block(1, "---");
	assert_int_equal(p[255], 'x');
}

static void recover__whole_frame_beyond(void **state)
{
	struct fixture *f = *state;
	static const uint64_t sizes[] = {0, 1, START};

	for (unsigned i = 0; i < 3; i++) {
		write_blocks(f, 0, 255);

		pmio_frame_recover(f->v, FRAME, sizes[i]);

		assert_block(0, "---");
		assert_block(255, "---");
	}
}

static void recover__chunk_that_no_file_has(void **state)
{
	struct fixture *f = *state;

	f->h->chunk = UINT64_MAX;
	write_blocks(f, 0, 255);

	pmio_frame_recover(f->v, FRAME, INT64_MAX);

	assert_block(0, "---");
}

/* ---- at once -------------------------------------------------------------------------- */

#define ROUNDS 30000

struct race {
	struct fixture *f;
	atomic_bool done;
	uint64_t pfs[NR_BLOCKS]; /* what was drained last of each block */
};

static void put_block(struct pmio_view *v, unsigned b, uint64_t value)
{
	uint64_t words[32];

	for (unsigned i = 0; i < 32; i++)
		words[i] = value;
	pmio_pm_copy(v->pm, pmio_view_frame(v, FRAME) + b * 256, words, sizeof(words));
}

static uint64_t get_block(struct pmio_view *v, unsigned b)
{
	/* the last word is stored last */
	return pmio_pm_load64((uint64_t *)(pmio_view_frame(v, FRAME) + b * 256) + 31);
}

static void drain_once(struct race *r)
{
	struct pmio_view *v = r->f->v;
	struct pmio_mask taken;

	pmio_frame_drain_begin(v, FRAME, &taken);
	for (unsigned b = 0; b < NR_BLOCKS; b++)
		if (pmio_mask_test(&taken, b))
			r->pfs[b] = get_block(v, b);
	pmio_frame_drain_end(v, FRAME, &taken, true);
}

static void *drainer(void *arg)
{
	struct race *r = arg;

	while (!atomic_load(&r->done))
		drain_once(r);
	return NULL;
}

/* the drainer has nothing left to do with the block */
static bool is_clean(const struct fixture *f, unsigned b)
{
	struct pmio_mask valid, dirty, draining;

	/* twice: a drain clears dirty after it has set draining */
	pmio_frame_get(f->v, FRAME, &valid, &dirty, &draining);
	if (pmio_mask_test(&dirty, b))
		return false;
	pmio_frame_get(f->v, FRAME, &valid, &dirty, &draining);
	return !pmio_mask_test(&draining, b);
}

/* a write that returned reaches the PFS, however drains fall into it */
static void race__writes_against_drains(void **state)
{
	struct fixture *f = *state;
	struct race *r = calloc(1, sizeof(*r));
	pthread_t thread;

	r->f = f;
	fill_blocks(f, 0, 255);
	assert_int_equal(pthread_create(&thread, NULL, drainer, r), 0);

	for (uint64_t i = 1; i <= ROUNDS; i++) {
		unsigned b = (unsigned)(i * 7 % 5 + i % 3 * 64);
		struct pmio_mask m = range(b, b);

		assert_int_equal(pmio_frame_write_begin(f->v, FRAME, &m), 0);
		put_block(f->v, b, i);
		pmio_pm_fence(f->v->pm);
		pmio_frame_write_end(f->v, FRAME, &m);
		pmio_pm_fence(f->v->pm);

		while (!is_clean(f, b))
			sched_yield();
		assert_int_equal(r->pfs[b], i);
	}
	atomic_store(&r->done, true);
	pthread_join(thread, NULL);
	free(r);
}

static void *filler(void *arg)
{
	struct race *r = arg;
	struct pmio_mask all = range(0, 255), todo, busy;

	while (!atomic_load(&r->done)) {
		pmio_frame_fill_begin(r->f->v, FRAME, &all, &todo, &busy);
		for (unsigned b = 0; b < NR_BLOCKS; b++)
			if (pmio_mask_test(&todo, b))
				put_block(r->f->v, b, UINT64_MAX);
		pmio_frame_fill_end(r->f->v, FRAME, &todo, true);
	}
	return NULL;
}

/* bytes that were written are never overwritten by a fill */
static void race__writes_against_fills(void **state)
{
	struct fixture *f = *state;
	struct race *r = calloc(1, sizeof(*r));
	struct pmio_mask all = range(0, 255);
	pthread_t thread;

	r->f = f;
	for (uint64_t i = 1; i <= ROUNDS / 100; i++) {
		pmio_frame_drop(f->v, FRAME, &all);
		atomic_store(&r->done, false);
		assert_int_equal(pthread_create(&thread, NULL, filler, r), 0);

		for (unsigned b = 0; b < NR_BLOCKS; b += 3) {
			struct pmio_mask m = range(b, b);

			while (pmio_frame_write_begin(f->v, FRAME, &m) == -EAGAIN)
				sched_yield();
			put_block(f->v, b, i);
			pmio_pm_fence(f->v->pm);
			pmio_frame_write_end(f->v, FRAME, &m);
		}
		atomic_store(&r->done, true);
		pthread_join(thread, NULL);

		for (unsigned b = 0; b < NR_BLOCKS; b += 3) {
			assert_int_equal(get_block(f->v, b), i);
			assert_block(b, "vd-");
		}
	}
	free(r);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	static struct CMUnitTest tests[] = {
		T(mask__every_range),
		T(mask__runs),
		T(write__empty_blocks),
		T(write__clean_and_dirty_blocks),
		T(write_begin__meets_a_fill),
		T(write_begin__a_drain_is_no_fill),
		T(write_end__sets_dirty_again_after_a_drain),
		T(write_abort__only_what_is_not_valid),
		T(fill_begin__sorts_blocks),
		T(fill_end__ok_and_failed),
		T(drain__ok),
		T(drain__failed),
		T(drain__second_one_at_once_takes_nothing),
		T(drop__leaves_the_others),
		T(claim__is_empty_whatever_was_there),
		T(recover__every_combination),
		T(recover__beyond_the_size_is_empty_and_zero),
		T(recover__size_on_a_boundary),
		T(recover__whole_frame_beyond),
		T(recover__chunk_that_no_file_has),
		T(race__writes_against_drains),
		T(race__writes_against_fills),
	};

	return scratch_run("frame", tests);
}
