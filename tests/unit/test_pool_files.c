/*
 * test_pool_files.c -- a pool's files and frames: kept, freed, and recovered after its agent was killed
 */
#include "pool_fixture.h"

#include <malloc.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "pool/recovery.h"

/* ---- files ------------------------------------------------------------------------------ */

static void file__is_kept(void **state)
{
	struct pmio_pool_file file = {
		.state = PMIO_FILE_HELD, .flags = PMIO_FILE_PFS_BUSY, .dev = 1, .ino = 2,
		.pfs_size = 3, .mtime_s = -4, .mtime_ns = 5, .ctime_s = 6, .ctime_ns = 7,
		.mode = 0644, .error = ENOSPC, .path = "/pfs/some/file"};
	struct fixture *f = *state;
	struct pmio_pool_file back;
	uint32_t slot;

	open_pool(f);
	assert_int_equal(pmio_pool_file_add(f->pool, &file, 12345, &slot), 0);
	assert_int_equal(file.generation, 1);
	reopen_pool(f);

	memset(&back, 0, sizeof(back));
	assert_int_equal(pmio_pool_file_get(f->pool, slot, &back), 0);
	assert_memory_equal(&back, &file, sizeof(file));
	assert_int_equal(pmio_pool_file_size(f->pool, slot), 12345);
}

static void file_set__changes_all(void **state)
{
	struct fixture *f = *state;
	struct pmio_pool_file file, back;
	uint32_t slot;

	open_pool(f);
	slot = add_file(f, "/pfs/a", PMIO_FILE_OPEN, 0);
	assert_int_equal(pmio_pool_file_get(f->pool, slot, &file), 0);
	strcpy(file.path, "/pfs/a/much/longer/name");
	file.state = PMIO_FILE_FAILED;
	file.error = EIO;

	assert_int_equal(pmio_pool_file_set(f->pool, slot, &file), 0);
	pmio_pool_file_set_size(f->pool, slot, 99);

	reopen_pool(f);
	assert_int_equal(pmio_pool_file_get(f->pool, slot, &back), 0);
	assert_string_equal(back.path, file.path);
	assert_int_equal(back.state, PMIO_FILE_FAILED);
	assert_int_equal(back.error, EIO);
	assert_int_equal(pmio_pool_file_size(f->pool, slot), 99);
}

static void file__of_a_free_slot(void **state)
{
	struct pmio_pool_file file = {.state = PMIO_FILE_OPEN, .path = "/pfs/a"};
	struct fixture *f = *state;

	open_pool(f);
	assert_int_equal(pmio_pool_file_get(f->pool, 3, &file), -ENOENT);
	assert_int_equal(pmio_pool_file_set(f->pool, 3, &file), -ENOENT);
	assert_int_equal(pmio_pool_file_remove(f->pool, 3), -ENOENT);
}

static void file__that_makes_no_sense(void **state)
{
	struct pmio_pool_file file = {.state = PMIO_FILE_OPEN};
	struct fixture *f = *state;
	uint32_t slot;

	open_pool(f);
	assert_int_equal(pmio_pool_file_add(f->pool, &file, 0, &slot), -EINVAL);
	memset(file.path, 'x', sizeof(file.path));
	assert_int_equal(pmio_pool_file_add(f->pool, &file, 0, &slot), -EINVAL);
	strcpy(file.path, "/pfs/a");
	file.state = PMIO_FILE_NONE;
	assert_int_equal(pmio_pool_file_add(f->pool, &file, 0, &slot), -EINVAL);
	file.state = 77;
	assert_int_equal(pmio_pool_file_add(f->pool, &file, 0, &slot), -EINVAL);
}

static void file__longest_path(void **state)
{
	struct fixture *f = *state;
	struct pmio_pool_file back;
	static char path[PATH_MAX];
	uint32_t slot;

	memset(path, 'x', PATH_MAX - 1);
	path[0] = '/';
	open_pool(f);
	slot = add_file(f, path, PMIO_FILE_CLEAN, 0);
	reopen_pool(f);

	assert_int_equal(pmio_pool_file_get(f->pool, slot, &back), 0);
	assert_string_equal(back.path, path);
}

static void file_add__all_slots_used(void **state)
{
	struct pmio_pool_file file = {.state = PMIO_FILE_CLEAN, .path = "/pfs/a"};
	struct fixture *f = *state;
	bool seen[64] = {false};
	uint32_t slot;

	open_pool(f);
	for (unsigned i = 0; i < 64; i++) {
		assert_int_equal(pmio_pool_file_add(f->pool, &file, 0, &slot), 0);
		assert_true(slot < 64 && !seen[slot]);
		seen[slot] = true;
	}

	assert_int_equal(pmio_pool_file_add(f->pool, &file, 0, &slot), -ENFILE);

	assert_int_equal(scratch_nr_errors, 0);
	assert_int_equal(pmio_pool_file_remove(f->pool, 40), 0);
	assert_int_equal(pmio_pool_file_add(f->pool, &file, 0, &slot), 0);
	assert_int_equal(slot, 40);
	assert_int_equal(file.generation, 2);
}

static void file_add__catalog_full(void **state)
{
	struct pmio_pool_params p = {.size = 16u << 20}; /* many slots */
	struct pmio_pool_file file = {.state = PMIO_FILE_CLEAN}, back;
	struct fixture *f = *state;
	uint32_t slot, nr = 0;
	int rc;

	memset(file.path, 'x', PATH_MAX - 1);
	assert_int_equal(pmio_pool_create(f->dir, &p), 0);
	open_pool(f);
	while ((rc = pmio_pool_file_add(f->pool, &file, 0, &slot)) == 0)
		nr++;

	assert_int_equal(rc, -ENOSPC);
	assert_int_equal(scratch_nr_errors, 0);
	assert_true(nr > 1000);
	assert_int_equal(pmio_pool_file_get(f->pool, 0, &file), 0);
	file.path[1] = 'y'; /* the new one is stored before the old one goes */
	assert_int_equal(pmio_pool_file_set(f->pool, 0, &file), -ENOSPC);
	assert_logged_once();
	assert_int_equal(pmio_pool_file_get(f->pool, nr, &back), -ENOENT);
	assert_int_equal(pmio_pool_file_remove(f->pool, 0), 0);
	assert_int_equal(pmio_pool_file_add(f->pool, &file, 0, &slot), 0);
}

static void file_remove__frees_its_frames_at_the_next_start(void **state)
{
	struct fixture *f = *state;
	struct pmio_pool_file back;
	uint64_t all;
	uint32_t slot;

	open_pool(f);
	all = pmio_pool_frames_free(f->pool);
	slot = add_file(f, "/pfs/a", PMIO_FILE_OPEN, 10 << 16);
	for (unsigned i = 0; i < 10; i++)
		set_block(f, get_frame(f, slot, i), 0, true, false);

	assert_int_equal(pmio_pool_file_remove(f->pool, slot), 0);

	assert_int_equal(pmio_pool_file_get(f->pool, slot, &back), -ENOENT);
	assert_int_equal(pmio_pool_frames_free(f->pool), all - 10);
	reopen_pool(f);
	assert_int_equal(pmio_pool_file_get(f->pool, slot, &back), -ENOENT);
	assert_int_equal(pmio_pool_frames_free(f->pool), all);
	assert_int_equal(pmio_pool_view(f->pool)->slots[slot].generation, 2);
}

/* the agent died between the two steps of a removal */
static void file_remove__cut_off_is_ended_at_the_next_start(void **state)
{
	struct fixture *f = *state;
	struct pmio_pool_file back;
	struct pmio_view *v;
	uint32_t slot;

	open_pool(f);
	v = pmio_pool_view(f->pool);
	slot = add_file(f, "/pfs/a", PMIO_FILE_CLEAN, 1 << 16);
	set_block(f, get_frame(f, slot, 0), 0, true, false);
	pmio_pm_store64(v->pm, &v->slots[slot].generation, 2);
	pmio_pool_close(&f->pool);

	open_pool(f);

	assert_int_equal(pmio_pool_file_get(f->pool, slot, &back), -ENOENT);
	assert_int_equal(pmio_pool_frames_free(f->pool), pmio_pool_view(f->pool)->nr_frames);
	assert_int_equal(add_file(f, "/pfs/b", PMIO_FILE_OPEN, 0), slot);
}

/* ---- frames ------------------------------------------------------------------------------- */

static int note_frame(uint64_t frame, uint32_t slot, uint64_t chunk, void *arg)
{
	uint64_t *sum = arg;

	sum[0]++;
	sum[1] += chunk;
	sum[2] += slot;
	return chunk == 1000 ? 42 : frame == PMIO_NO_FRAME;
}

static void frames__all_and_back(void **state)
{
	struct fixture *f = *state;
	uint64_t all, sum[3] = {0};
	uint64_t *frames;
	uint32_t slot;

	open_pool(f);
	all = pmio_pool_frames_free(f->pool);
	frames = calloc(all, sizeof(*frames));
	slot = add_file(f, "/pfs/a", PMIO_FILE_OPEN, 0);
	for (uint64_t i = 0; i < all; i++)
		frames[i] = get_frame(f, slot, i);

	assert_int_equal(pmio_pool_frames_free(f->pool), 0);
	assert_true(pmio_pool_frame_get(f->pool, slot, all) == PMIO_NO_FRAME);
	assert_int_equal(pmio_pool_frames_each(f->pool, note_frame, sum), 0);
	assert_int_equal(sum[0], all);
	assert_int_equal(sum[1], all * (all - 1) / 2);
	assert_int_equal(sum[2], all * slot);
	for (uint64_t i = 0; i < all; i++)
		pmio_pool_frame_put(f->pool, frames[i]);
	assert_int_equal(pmio_pool_frames_free(f->pool), all);
	free(frames);
}

static void frames__new_ones_are_zeroed_and_used_ones_are_made_so(void **state)
{
	struct fixture *f = *state;
	struct pmio_mask all;
	struct pmio_view *v;
	uint64_t nr, frame, *frames;
	uint32_t slot;

	open_pool(f);
	v = pmio_pool_view(f->pool);
	nr = pmio_pool_frames_free(f->pool);
	slot = add_file(f, "/pfs/a", PMIO_FILE_OPEN, 0);
	frames = calloc(nr, sizeof(*frames));
	pmio_mask_range(&all, 0, PMIO_CHUNK_BLOCKS - 1);
	assert_true(pmio_pool_zero_begin(f->pool) == PMIO_NO_FRAME);
	for (uint64_t i = 0; i < nr; i++) {
		frames[i] = pmio_pool_frame_get_zero(f->pool, slot, i);
		assert_true(frames[i] != PMIO_NO_FRAME);
		assert_true(pmio_frame_valid(v, frames[i], &all));
		assert_false(pmio_frame_is_zeroed(v, frames[i]));
		memset(pmio_view_frame(v, frames[i]), 7, v->chunk_size);
	}
	assert_true(pmio_pool_frame_get_zero(f->pool, slot, nr) == PMIO_NO_FRAME);
	for (uint64_t i = 0; i < nr; i++)
		pmio_pool_frame_put(f->pool, frames[i]);

	/* all but the last few, which somebody may want at once; also after a restart */
	assert_true(pmio_pool_frame_get_zero(f->pool, slot, nr) == PMIO_NO_FRAME);
	reopen_pool(f);
	v = pmio_pool_view(f->pool);
	for (uint64_t i = 0; i < nr - 16; i++) {
		frame = pmio_pool_zero_begin(f->pool);
		assert_true(frame != PMIO_NO_FRAME);
		assert_int_equal(pmio_pool_frames_free(f->pool), nr);
		pmio_pm_zero(v->pm, pmio_view_frame(v, frame), v->chunk_size);
		pmio_pool_zero_end(f->pool, frame, true);
	}
	assert_true(pmio_pool_zero_begin(f->pool) == PMIO_NO_FRAME);
	frame = pmio_pool_frame_get_zero(f->pool, slot, nr);
	assert_true(pmio_frame_valid(v, frame, &all));
	assert_int_equal(pmio_view_frame(v, frame)[1000], 0);
	free(frames);
}

static unsigned make_zeroed_ones(struct fixture *f)
{
	uint64_t frame;
	unsigned n = 0;

	while ((frame = pmio_pool_zero_begin(f->pool)) != PMIO_NO_FRAME) {
		pmio_pool_zero_end(f->pool, frame, true);
		n++;
	}
	return n;
}

/* a program that needs a few more frames is not disturbed by the making of others */
static void frames__reserve_of_zeroed_ones_is_filled_when_half_is_used(void **state)
{
	struct pmio_pool_params p = params;
	struct fixture *f = *state;
	uint32_t slot;
	uint64_t nr;

	p.size = 600ull * TEST_CHUNK;
	assert_int_equal(pmio_pool_create(f->dir, &p), 0);
	open_pool(f);
	slot = add_file(f, "/pfs/a", PMIO_FILE_OPEN, 0);
	nr = pmio_pool_frames_free(f->pool);
	assert_true(nr > 500);
	for (uint64_t i = 0; i < nr; i++)
		pmio_pool_frame_put(f->pool, pmio_pool_frame_get_zero(f->pool, slot, i));

	assert_int_equal(make_zeroed_ones(f), 256);
	for (uint64_t i = 0; i < 128; i++)
		assert_true(pmio_pool_frame_get_zero(f->pool, slot, i) != PMIO_NO_FRAME);
	assert_int_equal(make_zeroed_ones(f), 0);
	assert_true(pmio_pool_frame_get_zero(f->pool, slot, 128) != PMIO_NO_FRAME);
	assert_int_equal(make_zeroed_ones(f), 129);
}

static void frames_each__stops(void **state)
{
	struct fixture *f = *state;
	uint64_t sum[3] = {0};
	uint32_t slot;

	open_pool(f);
	slot = add_file(f, "/pfs/a", PMIO_FILE_OPEN, 0);
	get_frame(f, slot, 1000);
	get_frame(f, slot, 1000);

	assert_int_equal(pmio_pool_frames_each(f->pool, note_frame, sum), 42);
	assert_int_equal(sum[0], 1);
}

static void open__keeps_data_of_closed_files(void **state)
{
	struct fixture *f = *state;
	uint32_t clean, held;
	uint64_t a, b, c;

	open_pool(f);
	clean = add_file(f, "/pfs/clean", PMIO_FILE_CLEAN, 1 << 16);
	held = add_file(f, "/pfs/held", PMIO_FILE_HELD, 2 << 16);
	a = get_frame(f, clean, 0);
	b = get_frame(f, held, 0);
	c = get_frame(f, held, 1);
	set_block(f, a, 0, false, false);
	set_block(f, b, 1, true, false);
	set_block(f, b, 2, false, true);
	set_block(f, b, 3, false, false);
	reopen_pool(f);

	assert_int_equal(header(f, a)->valid[0], 1);
	assert_int_equal(header(f, a)->dirty[0], 0);
	assert_int_equal(header(f, b)->valid[0], 2 + 4 + 8);
	assert_int_equal(header(f, b)->dirty[0], 2 + 4);
	assert_int_equal(header(f, b)->draining[0], 0);
	assert_int_equal(header(f, c)->owner, 0); /* held nothing */
}

static void open__drops_clean_blocks_of_open_files(void **state)
{
	struct fixture *f = *state;
	uint32_t slot;
	uint64_t a, b;

	open_pool(f);
	slot = add_file(f, "/pfs/open", PMIO_FILE_OPEN, 2 << 16);
	a = get_frame(f, slot, 0);
	b = get_frame(f, slot, 1);
	set_block(f, a, 1, true, false);
	set_block(f, a, 2, false, true);
	set_block(f, a, 3, false, false);
	reopen_pool(f);

	assert_int_equal(header(f, a)->valid[0], 2 + 4);
	assert_int_equal(header(f, a)->dirty[0], 2 + 4);
	/* a client that outlived the agent may be about to write to it */
	assert_true(header(f, b)->owner != 0);
}

static void open__two_frames_of_one_chunk(void **state)
{
	struct fixture *f = *state;
	struct pmio_pool_report report;
	uint32_t slot;
	uint64_t a, b, c;

	open_pool(f);
	slot = add_file(f, "/pfs/a", PMIO_FILE_HELD, 8 << 16);
	a = get_frame(f, slot, 5);
	b = get_frame(f, slot, 5);
	c = get_frame(f, slot, 5);
	set_block(f, a, 0, false, false);
	set_block(f, b, 0, true, false);
	set_block(f, c, 0, true, false);
	pmio_pool_close(&f->pool);

	scratch_catch_log();
	assert_int_equal(pmio_pool_check(f->dir, &report), 0);
	assert_int_equal(report.nr_problems, 2);
	assert_int_equal(scratch_nr_errors, 2);
	assert_int_equal(pmio_pool_open(f->dir, &f->pool), 0);
	assert_int_equal(header(f, a)->owner, 0);
	assert_true(header(f, b < c ? b : c)->owner != 0);
	assert_int_equal(header(f, b < c ? c : b)->owner, 0);
}

static void open__frames_that_make_no_sense_are_freed(void **state)
{
	struct fixture *f = *state;
	struct pmio_view *v;
	uint32_t slot;
	uint64_t a, b;

	open_pool(f);
	v = pmio_pool_view(f->pool);
	slot = add_file(f, "/pfs/a", PMIO_FILE_HELD, 8 << 16);
	a = get_frame(f, slot, 0);
	b = get_frame(f, slot, 1);
	set_block(f, a, 0, true, false);
	set_block(f, b, 0, true, false);
	pmio_pm_store64(v->pm, &v->headers[a].owner, PMIO_OWNER(0xfffffe, 1));
	pmio_pm_store64(v->pm, &v->headers[b].chunk, UINT64_MAX);
	pmio_pool_close(&f->pool);

	scratch_catch_log();
	assert_int_equal(pmio_pool_open(f->dir, &f->pool), 0);

	assert_int_equal(scratch_nr_errors, 2);
	assert_int_equal(pmio_pool_frames_free(f->pool), pmio_pool_view(f->pool)->nr_frames);
}

static void open__new_epoch_and_no_intents(void **state)
{
	struct fixture *f = *state;
	struct pmio_view *v;
	uint64_t epoch;

	open_pool(f);
	v = pmio_pool_view(f->pool);
	epoch = v->super->epoch;
	assert_true(epoch != 0);
	pmio_pm_store64(v->pm, &v->clients[3].intent, 1ull << 63 | 77);
	reopen_pool(f);

	v = pmio_pool_view(f->pool);
	assert_true(v->super->epoch != 0 && v->super->epoch != epoch);
	assert_int_equal(v->clients[3].intent, 0);
}

/* ---- page granularity ----------------------------------------------------------------------- */

static void disk__a_pool_on_an_ordinary_file_system(void **state)
{
	struct fixture *f = *state;
	struct pmio_pool_file back;
	struct pmio_mask m;
	uint32_t slot;
	uint64_t frame;

	open_pool(f);
	slot = add_file(f, "/pfs/a", PMIO_FILE_HELD, 1000);
	frame = get_frame(f, slot, 0);
	pmio_mask_range(&m, 0, 3);
	assert_int_equal(pmio_frame_write_begin(pmio_pool_view(f->pool), frame, &m), 0);
	pmio_pm_copy(pmio_pool_view(f->pool)->pm, pmio_view_frame(pmio_pool_view(f->pool), frame),
		     "bytes", 5);
	pmio_frame_write_end(pmio_pool_view(f->pool), frame, &m);
	reopen_pool(f);

	assert_int_equal(pmio_pool_file_get(f->pool, slot, &back), 0);
	assert_int_equal(header(f, frame)->dirty[0], 15);
	assert_memory_equal(pmio_view_frame(pmio_pool_view(f->pool), frame), "bytes", 5);
}

/* ---- recovery ------------------------------------------------------------------------------------ */

/* names are as long as they are, not as long as they may be */
static void recovery__many_slots_need_little_memory(void **state)
{
	struct fixture *f = *state;
	const struct pmio_pool_params many = { .size = 32u << 20, .chunk_size = TEST_CHUNK, .nr_slots = 1u << 16 };
	struct pmio_recovery *s;
	struct pmio_recovery_file file;
	struct mallinfo2 before, after;
	uint32_t cursor = 0;
	char path[32];

	assert_int_equal(pmio_pool_create(f->dir, &many), 0);
	open_pool(f);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(path, sizeof(path), "/pfs/file %u", i);
		add_file(f, path, PMIO_FILE_HELD, 10 + i);
	}
	pmio_pool_close(&f->pool);
	before = mallinfo2();
	assert_int_equal(pmio_recovery_open(f->dir, &s), 0);
	after = mallinfo2();
	assert_true(after.uordblks + after.hblkhd - before.uordblks - before.hblkhd < (32u << 20));
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(pmio_recovery_next(s, &cursor, &file), 0);
		assert_memory_equal(file.path, "/pfs/file ", 10);
		assert_int_equal(file.size, 10 + strtoul(file.path + 10, NULL, 10));
	}
	assert_int_equal(pmio_recovery_next(s, &cursor, &file), -ENOENT);
	pmio_recovery_close(&s);
}

/* ---- killed ---------------------------------------------------------------------------------------- */

/* files that come, change their names and go, as fast as they can; ready after so many changes */
static void churn(const struct fixture *f, unsigned seed, unsigned changes, int ready)
{
	struct pmio_pool_file file = {.state = PMIO_FILE_HELD};
	uint32_t slots[32], nr = 0;
	struct pmio_pool *pool;

	if (pmio_pool_open(f->dir, &pool) < 0)
		_exit(1);
	for (uint32_t s = 0; s < pmio_pool_nr_slots(pool) && nr < 32; s++)
		if (pmio_pool_file_get(pool, s, &file) == 0)
			slots[nr++] = s;
	for (unsigned i = seed, done = 0;; i = i * 1103515245 + 12345, done++) {
		uint32_t slot = nr ? slots[(i >> 8) % nr] : 0;
		uint64_t frame;

		if (done == changes && write(ready, "x", 1) != 1)
			_exit(1);
		/* the inode and the name say the same: a torn entry shows */
		file.ino = i >> 4;
		file.state = PMIO_FILE_HELD;
		snprintf(file.path, sizeof(file.path), "/pfs/%lu%*s", (unsigned long)file.ino,
			 (int)(i >> 6) % 300, "");
		switch ((i >> 16) % 4) {
		case 0:
			if (nr < 32 && pmio_pool_file_add(pool, &file, file.ino, &slots[nr]) == 0)
				nr++;
			break;
		case 1:
			if (nr > 0 && pmio_pool_file_remove(pool, slot) == 0)
				slots[(i >> 8) % nr] = slots[nr - 1], nr--;
			break;
		case 2:
			frame = nr > 0 ? pmio_pool_frame_get(pool, slot, i >> 12) : PMIO_NO_FRAME;
			if (frame != PMIO_NO_FRAME && i % 3)
				pmio_pool_frame_put(pool, frame);
			break;
		default:
			if (nr > 0) {
				struct pmio_pool_file old;

				if (pmio_pool_file_get(pool, slot, &old) < 0)
					_exit(2);
				file.generation = old.generation;
				pmio_pool_file_set(pool, slot, &file);
			}
		}
	}
}

static void killed__at_any_time_leaves_a_whole_pool(void **state)
{
	struct fixture *f = *state;
	unsigned files = 0;

	for (unsigned i = 1; i <= 30; i++) {
		const struct timespec delay = {.tv_nsec = i % 7 * 3000000L + i * 12345}; /* as many more as it comes to */
		struct pmio_pool_report r;
		struct pmio_pool_file file;
		int status, ready[2];
		pid_t pid;
		char c;

		assert_int_equal(pipe(ready), 0);
		pid = fork();
		if (pid == 0)
			churn(f, i, i % 7 * 3, ready[1]);
		close(ready[1]);
		assert_int_equal(read(ready[0], &c, 1), 1);
		close(ready[0]);
		nanosleep(&delay, NULL);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));

		scratch_catch_log();
		assert_int_equal(pmio_pool_check(f->dir, &r), 0);
		assert_int_equal(r.nr_problems, 0);
		open_pool(f);
		for (uint32_t s = 0; s < 64; s++) {
			if (pmio_pool_file_get(f->pool, s, &file) < 0)
				continue;
			files++;
			assert_int_equal(strtoul(file.path + 5, NULL, 10), file.ino);
		}
		pmio_pool_close(&f->pool);
	}
	assert_true(files > 0);
}

int main(void)
{
	struct CMUnitTest tests[] = {
		WITH_POOL(file__is_kept),
		WITH_POOL(file_set__changes_all),
		WITH_POOL(file__of_a_free_slot),
		WITH_POOL(file__that_makes_no_sense),
		WITH_POOL(file__longest_path),
		WITH_POOL(file_add__all_slots_used),
		WITH_FOLDER(file_add__catalog_full),
		WITH_POOL(file_remove__frees_its_frames_at_the_next_start),
		WITH_POOL(file_remove__cut_off_is_ended_at_the_next_start),
		WITH_POOL(frames__all_and_back),
		WITH_POOL(frames__new_ones_are_zeroed_and_used_ones_are_made_so),
		WITH_FOLDER(frames__reserve_of_zeroed_ones_is_filled_when_half_is_used),
		WITH_POOL(frames_each__stops),
		WITH_POOL(open__keeps_data_of_closed_files),
		WITH_POOL(open__drops_clean_blocks_of_open_files),
		WITH_POOL(open__two_frames_of_one_chunk),
		WITH_POOL(open__frames_that_make_no_sense_are_freed),
		WITH_POOL(open__new_epoch_and_no_intents),
		cmocka_unit_test_setup_teardown(disk__a_pool_on_an_ordinary_file_system,
						setup_pool_on_disk, teardown),
		WITH_FOLDER(recovery__many_slots_need_little_memory),
		WITH_POOL(killed__at_any_time_leaves_a_whole_pool),
	};

	return scratch_run("pool_files", tests);
}
