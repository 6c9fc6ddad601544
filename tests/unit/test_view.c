/*
 * test_view.c -- a pool's superblock: what is written, and that nothing on media
 * can lead outside of the mapping
 */
#include "scratch.h"

#include <inttypes.h>
#include <zlib.h>

#include "pmio.h"
#include "pool/view.h"

#define TEST_CHUNK (64u << 10)

#define SIZE ((4u << 20) + 12345 / 64 * 64)

struct fixture {
	struct pmio_pm *pm; /* NULL once a view has it */
	struct pmio_view *view;
	struct pmio_super_df *super;
};

static const struct pmio_view_params params = {
	.chunk_size = TEST_CHUNK, .nr_slots = 100, .nr_clients = 7, .uuid = "0123456789abcde",
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	scratch_catch_log();
	f->pm = pmio_pm_record_new(SIZE);
	f->super = pmio_pm_base(f->pm);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	pmio_pm_unmap(&f->pm);
	pmio_view_delete(&f->view);
	free(f);
	return 0;
}

static void format(struct fixture *f)
{
	assert_int_equal(pmio_view_format(f->pm, &params), 0);
}

/* as whoever knows the format, and wants to do harm, would */
static void fix_crc(struct pmio_super_df *s)
{
	s->crc = 0;
	s->crc = (uint32_t)crc32(crc32(0, NULL, 0), (const Bytef *)s,
				 offsetof(struct pmio_super_df, epoch));
}

static int open_view(struct fixture *f)
{
	int rc = pmio_view_new(f->pm, "test", &f->view);

	if (rc == 0)
		f->pm = NULL;
	return rc;
}

/* ---- format ------------------------------------------------------------------- */

static void format__then_new(void **state)
{
	struct fixture *f = *state;
	struct pmio_view *v;

	format(f);

	assert_int_equal(open_view(f), 0);
	v = f->view;
	assert_int_equal(v->chunk_size, 65536);
	assert_int_equal(v->chunk_shift, 16);
	assert_int_equal(v->block_size, 256);
	assert_int_equal(v->block_shift, 8);
	assert_int_equal(v->nr_slots, 100);
	assert_int_equal(v->nr_clients, 7);
	assert_int_equal(v->nr_frames, (SIZE - PMIO_FRAME_ALIGN) / 65536);
	assert_memory_equal(v->super->uuid, params.uuid, 16);
	assert_int_equal((v->frames - (uint8_t *)v->super) % PMIO_FRAME_ALIGN, 0);
	assert_ptr_equal(pmio_view_frame(v, 3), v->frames + 3 * 65536);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(v->slots[i].generation, 1);
}

static void format__frames_do_not_overlap_headers(void **state)
{
	struct fixture *f = *state;
	struct pmio_view_params p = params;

	/* so many slots that slots and headers take more than 8 MiB */
	pmio_pm_unmap(&f->pm);
	f->pm = pmio_pm_record_new(16u << 20);
	p.nr_slots = 140000;
	assert_int_equal(pmio_view_format(f->pm, &p), 0);

	assert_int_equal(open_view(f), 0);

	assert_true((uint8_t *)(f->view->slots + p.nr_slots) <= (uint8_t *)f->view->headers);
	assert_true((uint8_t *)(f->view->headers + f->view->nr_frames) <= f->view->frames);
	assert_int_equal(f->view->nr_frames, 6u << 20 >> 16);
}

static void format__bad_params(void **state)
{
	struct fixture *f = *state;
	struct pmio_view_params p[] = {params, params, params, params, params, params, params};

	p[0].chunk_size = 0;
	p[1].chunk_size = PMIO_CHUNK_MIN / 2;
	p[2].chunk_size = PMIO_CHUNK_MAX * 2ull;
	p[3].chunk_size = 100000;
	p[4].nr_slots = 0;
	p[5].nr_slots = PMIO_SLOTS_MAX + 1;
	p[6].nr_clients = 0;
	for (size_t i = 0; i < 7; i++) {
		scratch_nr_errors = 0;

		assert_int_equal(pmio_view_format(f->pm, &p[i]), -EINVAL);

		assert_logged_once();
		assert_int_equal(f->super->magic, 0);
	}
}

static void format__too_small_for_a_frame(void **state)
{
	static const size_t sizes[] = {64, 4096, 1 << 20, (2 << 20), (2 << 20) + 65472};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct pmio_pm *pm = pmio_pm_record_new(sizes[i]);

		assert_int_equal(pmio_view_format(pm, &params), -ENOSPC);
		pmio_pm_unmap(&pm);
	}
}

/* ---- new ------------------------------------------------------------------------ */

static void new__zeros(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(open_view(f), PMIO_ENOTPOOL);
	assert_null(f->view);
	assert_logged_once();
}

static void new__shorter_than_a_superblock(void **state)
{
	struct fixture *f = *state;

	pmio_pm_unmap(&f->pm);
	f->pm = pmio_pm_record_new(64);

	assert_int_equal(open_view(f), PMIO_ENOTPOOL);
	assert_logged_once();
}

static void new__another_version(void **state)
{
	struct fixture *f = *state;

	format(f);
	f->super->version = PMIO_POOL_VERSION + 1;

	assert_int_equal(open_view(f), PMIO_EVERSION);
	assert_logged_once();
}

static void new__any_flipped_bit_is_noticed(void **state)
{
	struct fixture *f = *state;
	uint8_t *bytes;

	format(f);
	bytes = (uint8_t *)f->super;
	for (size_t bit = 0; bit < 8 * offsetof(struct pmio_super_df, epoch); bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);

		assert_true(open_view(f) < 0);

		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(open_view(f), 0);
}

static void new__epoch_is_not_in_the_checksum(void **state)
{
	struct fixture *f = *state;

	format(f);
	f->super->epoch = 12345;

	assert_int_equal(open_view(f), 0);
}

static void new__truncated(void **state)
{
	struct fixture *f = *state;
	struct pmio_pm *cut;

	format(f);
	cut = pmio_pm_record_from(f->super, SIZE - 4096);

	assert_int_equal(pmio_view_new(cut, "test", &f->view), PMIO_EDAMAGED);
	assert_null(f->view);
	pmio_pm_unmap(&cut);
}

/* one field with a value that makes no sense, and the right checksum */
static void try_field(struct fixture *f, size_t off, size_t len, uint64_t value)
{
	struct pmio_super_df save = *f->super;

	memcpy((uint8_t *)f->super + off, &value, len);
	fix_crc(f->super);
	if (pmio_view_new(f->pm, "test", &f->view) != PMIO_EDAMAGED)
		fail_msg("offset %zu, value %#" PRIx64 ": taken", off, value);
	*f->super = save;
}

static void new__fields_out_of_bounds(void **state)
{
	struct fixture *f = *state;
#define FIELD(name, value) \
	try_field(f, offsetof(struct pmio_super_df, name), sizeof(f->super->name), (value))

	format(f);
	FIELD(chunk_size, 0);
	FIELD(chunk_size, 3);
	FIELD(chunk_size, PMIO_CHUNK_MIN / 2);
	FIELD(chunk_size, 1ull << 63);
	FIELD(data_size, SIZE + 1);
	FIELD(data_size, UINT64_MAX);
	FIELD(data_size, 0);
	FIELD(clients_off, 0);
	FIELD(clients_off, 4095);
	FIELD(clients_off, 4097);
	FIELD(clients_off, UINT64_MAX - 63);
	FIELD(slots_off, 4096);
	FIELD(slots_off, f->super->slots_off + 8);
	FIELD(slots_off, f->super->headers_off);
	FIELD(slots_off, UINT64_MAX - 63);
	FIELD(headers_off, f->super->slots_off);
	FIELD(headers_off, f->super->headers_off + 64);
	FIELD(headers_off, f->super->frames_off);
	FIELD(headers_off, UINT64_MAX - 127);
	FIELD(frames_off, 0);
	FIELD(frames_off, PMIO_FRAME_ALIGN + 4096);
	FIELD(frames_off, 2 * PMIO_FRAME_ALIGN);
	FIELD(frames_off, 0 - (uint64_t)PMIO_FRAME_ALIGN);
	FIELD(nr_frames, 0);
	FIELD(nr_frames, f->super->nr_frames + 1);
	FIELD(nr_frames, 1ull << 48); /* times the chunk size: 0 */
	FIELD(nr_frames, UINT64_MAX);
	FIELD(nr_slots, 0);
	FIELD(nr_slots, PMIO_SLOTS_MAX);
	FIELD(nr_slots, UINT32_MAX);
	FIELD(nr_clients, 0);
	FIELD(nr_clients, UINT32_MAX);
	assert_int_equal(open_view(f), 0);
}

/* touches the first and last byte of all that a view points to */
static void walk(const struct pmio_view *v, const uint8_t *base, size_t size)
{
	const uint8_t *end = base + size;

	assert_true((uint8_t *)v->clients >= base + sizeof(*v->super));
	assert_true((uint8_t *)(v->clients + v->nr_clients) <= (uint8_t *)v->slots);
	assert_true((uint8_t *)(v->slots + v->nr_slots) <= (uint8_t *)v->headers);
	assert_true((uint8_t *)(v->headers + v->nr_frames) <= v->frames);
	assert_true(v->frames < end);
	assert_true(pmio_view_frame(v, v->nr_frames - 1) + v->chunk_size <= end);
}

static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* values near those that matter are found sooner than any 64 bits */
static uint64_t strange(uint64_t *x, const struct pmio_super_df *s)
{
	const uint64_t seeds[] = {0, 64, 128, 4096, s->slots_off, s->headers_off, s->frames_off,
				  s->data_size, s->nr_frames, PMIO_FRAME_ALIGN, 1ull << 32,
				  1ull << 47, 1ull << 63, UINT64_MAX};
	uint64_t value = seeds[next_random(x) % (sizeof(seeds) / sizeof(seeds[0]))];

	switch (next_random(x) % 4) {
	case 0:
		return value;
	case 1:
		return value + 64 * (next_random(x) % 5) - 128;
	case 2:
		return value << next_random(x) % 8;
	default:
		return next_random(x) >> next_random(x) % 64;
	}
}

static void new__fuzzed_superblock_never_leads_outside(void **state)
{
	struct fixture *f = *state;
	struct pmio_super_df good;
	uint64_t x = 88172645463325252ull;
	unsigned taken = 0;

	format(f);
	good = *f->super;
	for (unsigned i = 0; i < 200000; i++) {
		*f->super = good;
		for (unsigned n = 1 + next_random(&x) % 3; n > 0; n--) {
			/* from chunk_size to nr_clients, as 8-byte words */
			size_t word = 4 + next_random(&x) % 8;

			((uint64_t *)f->super)[word] = strange(&x, &good);
		}
		fix_crc(f->super);
		if (pmio_view_new(f->pm, "fuzz", &f->view) < 0)
			continue;
		taken++;
		walk(f->view, (uint8_t *)f->super, SIZE);
		free(f->view); /* but not the mapping */
		f->view = NULL;
	}
	assert_true(taken > 0);
}

static void delete__of_nothing(void **state)
{
	struct pmio_view *v = NULL;

	(void)state;
	pmio_view_delete(&v);
	assert_null(v);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	static struct CMUnitTest tests[] = {
		T(format__then_new),
		T(format__frames_do_not_overlap_headers),
		T(format__bad_params),
		T(format__too_small_for_a_frame),
		T(new__zeros),
		T(new__shorter_than_a_superblock),
		T(new__another_version),
		T(new__any_flipped_bit_is_noticed),
		T(new__epoch_is_not_in_the_checksum),
		T(new__truncated),
		T(new__fields_out_of_bounds),
		T(new__fuzzed_superblock_never_leads_outside),
		T(delete__of_nothing),
	};

	return scratch_run("view", tests);
}
