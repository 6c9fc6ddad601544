/*
 * pool_fixture.h -- for the tests of lib/pool: a folder with a pool, or for one
 */
#ifndef PMIO_TESTS_UNIT_POOL_FIXTURE_H
#define PMIO_TESTS_UNIT_POOL_FIXTURE_H

#include "scratch.h"

#include <dirent.h>

#include "pmio.h"
#include "pool/pool.h"

#define TEST_CHUNK (64u << 10)
#define SIZE (8u << 20)

struct fixture {
	struct scratch s;
	char dir[PATH_MAX]; /* of the pool, in s; not made */
	struct pmio_pool *pool;
	unsigned nr_fds;
};

static const struct pmio_pool_params params = {
	.size = SIZE, .chunk_size = TEST_CHUNK, .nr_slots = 64};

static inline unsigned count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static inline int setup_below(void **state, const char *below)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	umask(022);
	scratch_catch_log();
	if (!scratch_init(&f->s, below) && !scratch_init(&f->s, NULL))
		return -1;
	snprintf(f->dir, sizeof(f->dir), "%s/pool", f->s.path);
	f->nr_fds = count_fds();
	return 0;
}

static inline int setup(void **state)
{
	return setup_below(state, "/dev/shm");
}

/* with a pool in f->dir */
static inline int setup_pool(void **state)
{
	int rc = setup(state);

	return rc < 0 ? rc : pmio_pool_create(((struct fixture *)*state)->dir, &params);
}

static inline int setup_pool_on_disk(void **state)
{
	int rc = setup_below(state, NULL);

	return rc < 0 ? rc : pmio_pool_create(((struct fixture *)*state)->dir, &params);
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;
	int leak;

	pmio_pool_close(&f->pool);
	leak = count_fds() != f->nr_fds;
	if (leak)
		print_error("descriptors: %u before, %u after\n", f->nr_fds, count_fds());
	scratch_fini(&f->s);
	free(f);
	return leak ? -1 : 0;
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define WITH_POOL(test) cmocka_unit_test_setup_teardown(test, setup_pool, teardown)

/* ---- what tests do ----------------------------------------------------------------- */

static inline const char *in_pool(const struct fixture *f, const char *name)
{
	static char path[4][PATH_MAX + 32];
	static unsigned turn;
	char *p = path[turn++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", f->dir, name);
	return p;
}

static inline bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static inline void put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static inline void poke(const char *path, off_t off, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, len, off), (ssize_t)len);
	close(fd);
}

static inline void open_pool(struct fixture *f)
{
	scratch_catch_log();
	assert_int_equal(pmio_pool_open(f->dir, &f->pool), 0);
	assert_int_equal(scratch_nr_errors, 0);
}

static inline void reopen_pool(struct fixture *f)
{
	pmio_pool_close(&f->pool);
	assert_int_equal(pmio_pool_open(f->dir, &f->pool), 0);
}

static inline void assert_open_fails(struct fixture *f, int code)
{
	scratch_catch_log();
	assert_int_equal(pmio_pool_open(f->dir, &f->pool), code);
	assert_null(f->pool);
	if (scratch_nr_errors != 1)
		fail_msg("%u lines logged, the last: %s", scratch_nr_errors, scratch_last_error);
}

static inline uint32_t add_file(struct fixture *f, const char *path, enum pmio_file_state state,
			 uint64_t size)
{
	struct pmio_pool_file file = {.state = state, .mode = 0640};
	uint32_t slot;

	snprintf(file.path, sizeof(file.path), "%s", path);
	assert_int_equal(pmio_pool_file_add(f->pool, &file, size, &slot), 0);
	return slot;
}

static inline uint64_t get_frame(struct fixture *f, uint32_t slot, uint64_t chunk)
{
	uint64_t frame = pmio_pool_frame_get(f->pool, slot, chunk);

	assert_true(frame != PMIO_NO_FRAME);
	return frame;
}

/* block b of a frame: valid, and dirty if it says so */
static inline void set_block(struct fixture *f, uint64_t frame, unsigned b, bool dirty, bool draining)
{
	struct pmio_view *v = pmio_pool_view(f->pool);
	struct pmio_frame_df *h = &v->headers[frame];

	pmio_pm_or64(v->pm, &h->valid[b / 64], 1ull << b % 64);
	if (dirty)
		pmio_pm_or64(v->pm, &h->dirty[b / 64], 1ull << b % 64);
	if (draining)
		pmio_pm_or64(v->pm, &h->draining[b / 64], 1ull << b % 64);
}

static inline const struct pmio_frame_df *header(struct fixture *f, uint64_t frame)
{
	return &pmio_pool_view(f->pool)->headers[frame];
}

#endif
