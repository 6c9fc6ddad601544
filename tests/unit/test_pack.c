/*
 * test_pack.c -- small files that share frames: packed, unpacked, found again at the next start, and damaged
 *
 * What power cuts leave is in tests/crash.
 */
#include "scratch.h"

#include "pmio.h"
#include "pool/pool.h"
#include "pool/recovery.h"

#define CHUNK (64u << 10)
#define BLOCK (CHUNK / PMIO_CHUNK_BLOCKS)
#define LEN (2 * BLOCK + 7) /* of each file */

struct fixture {
	struct scratch s;
	char dir[PATH_MAX];
	struct pmio_pool *pool;
};

static int setup(void **state)
{
	const struct pmio_pool_params params = { .size = 8u << 20, .chunk_size = CHUNK, .nr_slots = 200 };
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	scratch_catch_log();
	if (!f || (!scratch_init(&f->s, "/dev/shm") && !scratch_init(&f->s, NULL)))
		return -1;
	snprintf(f->dir, sizeof(f->dir), "%s/pool", f->s.path);
	if (pmio_pool_create(f->dir, &params) < 0)
		return -1;
	return pmio_pool_open(f->dir, &f->pool);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	pmio_pool_close(&f->pool);
	scratch_fini(&f->s);
	free(f);
	return 0;
}

static void reopen(struct fixture *f)
{
	pmio_pool_close(&f->pool);
	assert_int_equal(pmio_pool_open(f->dir, &f->pool), 0);
}

/* a held file with its frame: blocks 0 and 2 are dirty, 1 is valid */
static uint32_t add(struct fixture *f, uint8_t value, uint64_t *frame)
{
	struct pmio_pool_file file = { .state = PMIO_FILE_HELD, .mode = 0640, .pfs_size = 2 * BLOCK };
	struct pmio_view *v = pmio_pool_view(f->pool);
	uint32_t slot;

	snprintf(file.path, sizeof(file.path), "/pfs/%u", value);
	assert_int_equal(pmio_pool_file_add(f->pool, &file, LEN, &slot), 0);
	*frame = pmio_pool_frame_get(f->pool, slot, 0);
	assert_true(*frame != PMIO_NO_FRAME);
	memset(pmio_view_frame(v, *frame), value, LEN);
	pmio_pm_store64(v->pm, &v->headers[*frame].valid[0], 7);
	pmio_pm_store64(v->pm, &v->headers[*frame].dirty[0], 5);
	return slot;
}

static uint32_t add_packed(struct fixture *f, uint8_t value)
{
	uint64_t frame;
	uint32_t slot = add(f, value, &frame);

	assert_int_equal(pmio_pool_pack(f->pool, slot, frame), 0);
	return slot;
}

static void assert_packed(struct fixture *f, uint32_t slot, uint8_t value)
{
	struct pmio_packed p;

	assert_true(pmio_pool_packed(f->pool, slot, &p));
	assert_int_equal(p.valid, 7);
	assert_int_equal(p.dirty, 5);
	for (unsigned i = 0; i < LEN; i++)
		assert_int_equal(pmio_pool_packed_data(f->pool, &p)[i], value);
}

static void assert_in_frame(struct fixture *f, uint64_t frame, uint8_t value)
{
	struct pmio_view *v = pmio_pool_view(f->pool);

	assert_int_equal(v->headers[frame].valid[0], 7);
	assert_int_equal(v->headers[frame].dirty[0], 5);
	for (unsigned i = 0; i < LEN; i++)
		assert_int_equal(pmio_view_frame(v, frame)[i], value);
}

/* ---- in an open pool ----------------------------------------------------------------------- */

static void pack__files_share_a_frame(void **state)
{
	struct fixture *f = *state;
	uint64_t all = pmio_pool_frames_free(f->pool);
	uint32_t slots[PMIO_PACK_UNITS + 1];

	assert_int_equal(pmio_pool_pack_max(f->pool), PMIO_PACK_BLOCKS * BLOCK);
	for (unsigned i = 0; i <= PMIO_PACK_UNITS; i++) {
		slots[i] = add_packed(f, (uint8_t)(i + 1));
		assert_int_equal(pmio_pool_frames_free(f->pool), i < PMIO_PACK_UNITS ? all - 1 : all - 2);
	}
	for (unsigned i = 0; i <= PMIO_PACK_UNITS; i++)
		assert_packed(f, slots[i], (uint8_t)(i + 1));
	/* units that become free are used again */
	assert_int_equal(pmio_pool_packed_drop(f->pool, slots[5]), 0);
	assert_int_equal(pmio_pool_file_remove(f->pool, slots[6]), 0);
	slots[5] = add_packed(f, 100);
	slots[6] = add_packed(f, 101);
	assert_int_equal(pmio_pool_frames_free(f->pool), all - 2);
	assert_packed(f, slots[5], 100);
	assert_packed(f, slots[6], 101);
	/* and so are frames */
	for (unsigned i = 0; i <= PMIO_PACK_UNITS; i++)
		assert_int_equal(pmio_pool_packed_drop(f->pool, slots[i]), 0);
	assert_int_equal(pmio_pool_frames_free(f->pool), all);
	assert_int_equal(pmio_pool_packed_drop(f->pool, slots[0]), 0); /* it is not packed any more */
}

static void unpack__the_file_has_a_frame_again(void **state)
{
	struct fixture *f = *state;
	uint64_t all = pmio_pool_frames_free(f->pool), frame;
	uint32_t a = add_packed(f, 1), b = add_packed(f, 2);

	assert_int_equal(pmio_pool_unpack(f->pool, a, &frame), 0);
	assert_in_frame(f, frame, 1);
	assert_packed(f, b, 2);
	assert_int_equal(pmio_pool_frames_free(f->pool), all - 2);
	assert_int_equal(pmio_pool_unpack(f->pool, a, &frame), -ENOENT);
	assert_int_equal(pmio_pool_unpack(f->pool, b, &frame), 0);
	assert_in_frame(f, frame, 2);
	assert_int_equal(pmio_pool_frames_free(f->pool), all - 2);
}

static void unpack__no_frame_is_free(void **state)
{
	struct fixture *f = *state;
	uint32_t a = add_packed(f, 1), other;
	uint64_t frame, last = PMIO_NO_FRAME;

	other = add(f, 2, &frame);
	for (uint64_t i = 1; (frame = pmio_pool_frame_get(f->pool, other, i)) != PMIO_NO_FRAME; i++)
		last = frame;
	assert_int_equal(pmio_pool_unpack(f->pool, a, &frame), -ENOSPC);
	assert_packed(f, a, 1);
	pmio_pool_frame_put(f->pool, last);
	assert_int_equal(pmio_pool_unpack(f->pool, a, &frame), 0);
	assert_in_frame(f, frame, 1);
}

/* a slot is used again: what an earlier file had there is not the next one's */
static void removed__its_slot_is_not_packed(void **state)
{
	struct fixture *f = *state;
	uint64_t all = pmio_pool_frames_free(f->pool), frame;
	uint32_t a = add_packed(f, 1), b;
	struct pmio_packed p;

	assert_int_equal(pmio_pool_file_remove(f->pool, a), 0);
	assert_int_equal(pmio_pool_frames_free(f->pool), all);
	assert_false(pmio_pool_packed(f->pool, a, &p));
	b = add(f, 2, &frame);
	assert_int_equal(a, b);
	assert_false(pmio_pool_packed(f->pool, b, &p));
	assert_in_frame(f, frame, 2);
}

/* ---- at the next start ------------------------------------------------------------------------ */

static int none_in_use(uint64_t frame, uint32_t slot, uint64_t chunk, void *arg)
{
	(void)frame, (void)slot, (void)chunk, (void)arg;
	return 1;
}

static void open__finds_packed_files(void **state)
{
	struct fixture *f = *state;
	struct pmio_pool_report report;
	uint64_t all = pmio_pool_frames_free(f->pool);
	uint32_t a = add_packed(f, 1), b = add_packed(f, 2), c;

	assert_int_equal(pmio_pool_view(f->pool)->super->version, PMIO_POOL_VERSION);
	reopen(f);
	assert_packed(f, a, 1);
	assert_packed(f, b, 2);
	assert_int_equal(pmio_pool_frames_free(f->pool), all - 1);
	assert_int_equal(pmio_pool_frames_each(f->pool, none_in_use, NULL), 0);
	c = add_packed(f, 3); /* not over the others */
	assert_packed(f, a, 1);
	assert_packed(f, b, 2);
	assert_packed(f, c, 3);
	assert_int_equal(scratch_nr_errors, 0);
	pmio_pool_close(&f->pool);
	assert_int_equal(pmio_pool_check(f->dir, &report), 0);
	assert_int_equal(report.nr_problems, 0);
	assert_int_equal(report.nr_files, 3);
	assert_int_equal(report.nr_dirty_files, 3);
	assert_int_equal(report.nr_used_frames, 1);
	assert_int_equal(report.dirty_bytes, 3 * 2 * BLOCK);
}

/* without packed files older releases can use the pool */
static void open__version_of_a_pool_without(void **state)
{
	struct fixture *f = *state;
	uint64_t frame;

	add(f, 1, &frame);
	assert_int_equal(pmio_pool_view(f->pool)->super->version, PMIO_POOL_VERSION_PLAIN);
	reopen(f);
	assert_in_frame(f, frame, 1);
}

static void open__a_frame_without_packed_files_is_freed(void **state)
{
	struct fixture *f = *state;
	uint64_t all = pmio_pool_frames_free(f->pool);
	struct pmio_view *v = pmio_pool_view(f->pool);
	uint32_t a = add_packed(f, 1);

	pmio_pm_store64(v->pm, &v->slots[a].packed, 0);
	reopen(f);
	assert_int_equal(pmio_pool_frames_free(f->pool), all);
	assert_int_equal(scratch_nr_errors, 0);
}

/* ---- damage --------------------------------------------------------------------------------------- */

static void assert_damaged(struct fixture *f, const char *what)
{
	struct pmio_pool_report report;

	pmio_pool_close(&f->pool);
	scratch_catch_log();
	assert_int_equal(pmio_pool_check(f->dir, &report), 0);
	assert_int_equal(report.nr_problems, 1);
	assert_non_null(strstr(scratch_last_error, what));
}

static void damaged__no_such_place(void **state)
{
	struct fixture *f = *state;
	struct pmio_view *v = pmio_pool_view(f->pool);
	uint32_t a = add_packed(f, 1);

	pmio_pm_store64(v->pm, &v->slots[a].packed, v->slots[a].packed | (uint64_t)UINT32_MAX << 16);
	assert_damaged(f, "invalid location of the packed file in slot");
	assert_int_equal(pmio_pool_open(f->dir, &f->pool), 0);
}

static void damaged__file_too_large(void **state)
{
	struct fixture *f = *state;
	uint32_t a = add_packed(f, 1);

	pmio_pool_file_set_size(f->pool, a, pmio_pool_pack_max(f->pool) + 1);
	assert_damaged(f, "invalid location of the packed file in slot");
}

static void damaged__two_files_in_one_unit(void **state)
{
	struct fixture *f = *state;
	struct pmio_view *v = pmio_pool_view(f->pool);
	uint32_t a = add_packed(f, 1), b = add_packed(f, 2);

	pmio_pm_store64(v->pm, &v->slots[b].packed, v->slots[a].packed);
	assert_damaged(f, "the same unit");
}

static void damaged__frame_of_another_file(void **state)
{
	struct fixture *f = *state;
	struct pmio_view *v = pmio_pool_view(f->pool);
	struct pmio_packed p;
	uint64_t frame;
	uint32_t a = add_packed(f, 1), other = add(f, 2, &frame);

	assert_true(pmio_pool_packed(f->pool, a, &p));
	pmio_pm_store64(v->pm, &v->headers[p.frame].owner, PMIO_OWNER(other, 1));
	pmio_pm_store64(v->pm, &v->headers[p.frame].chunk, 7);
	assert_damaged(f, "another owner");
}

/* ---- read-only recovery ------------------------------------------------------------------------------ */

static void lost(uint64_t from, uint64_t to, const char *why, void *arg)
{
	(void)from, (void)to, (void)why;
	++*(unsigned *)arg;
}

static void progress(uint64_t bytes, void *arg)
{
	(void)bytes, (void)arg;
}

static void assert_copies(struct fixture *f, unsigned nr, bool named)
{
	struct pmio_recovery *s;
	struct pmio_recovery_file file;
	uint8_t bytes[3 * BLOCK];
	uint32_t cursor = 0;
	unsigned nr_lost = 0;

	assert_int_equal(pmio_recovery_open(f->dir, &s), 0);
	for (unsigned i = 0; i < nr; i++) {
		int fd = open(scratch_file(&f->s, "copy"), O_RDWR | O_CREAT | O_TRUNC, 0600);
		struct pmio_recovery_target t = { .fd = fd, .base = -1, .lost = lost, .progress = progress, .arg = &nr_lost };

		assert_true(fd >= 0);
		assert_int_equal(pmio_recovery_next(s, &cursor, &file), 0);
		assert_int_equal(file.size, LEN);
		assert_int_equal(file.dirty_bytes, 2 * BLOCK);
		assert_true(file.pending);
		assert_int_equal(file.path[0] != '\0', named);
		assert_int_equal(pmio_recovery_copy(s, &file, &t), 0);
		assert_int_equal(pread(fd, bytes, sizeof(bytes), 0), LEN);
		for (unsigned k = 1; k < LEN; k++)
			assert_int_equal(bytes[k], bytes[0]);
		if (named)
			assert_int_equal(bytes[0], strtoul(file.path + 5, NULL, 10));
		close(fd);
	}
	assert_int_equal(pmio_recovery_next(s, &cursor, &file), -ENOENT);
	assert_int_equal(nr_lost, 0);
	pmio_recovery_close(&s);
}

static void recovery__copies_packed_files(void **state)
{
	struct fixture *f = *state;
	uint64_t frame;

	add_packed(f, 1);
	add_packed(f, 2);
	add(f, 3, &frame);
	pmio_pool_close(&f->pool);
	assert_copies(f, 3, true);
	assert_int_equal(scratch_nr_errors, 0);
}

static void recovery__without_their_names(void **state)
{
	struct fixture *f = *state;
	char path[PATH_MAX + 16];

	add_packed(f, 1);
	add_packed(f, 2);
	pmio_pool_close(&f->pool);
	snprintf(path, sizeof(path), "%s/catalog", f->dir);
	assert_int_equal(truncate(path, 100), 0);
	assert_copies(f, 2, false);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	struct CMUnitTest tests[] = {
		TEST(pack__files_share_a_frame),
		TEST(unpack__the_file_has_a_frame_again),
		TEST(unpack__no_frame_is_free),
		TEST(removed__its_slot_is_not_packed),
		TEST(open__finds_packed_files),
		TEST(open__version_of_a_pool_without),
		TEST(open__a_frame_without_packed_files_is_freed),
		TEST(damaged__no_such_place),
		TEST(damaged__file_too_large),
		TEST(damaged__two_files_in_one_unit),
		TEST(damaged__frame_of_another_file),
		TEST(recovery__copies_packed_files),
		TEST(recovery__without_their_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
