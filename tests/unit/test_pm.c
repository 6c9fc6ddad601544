/*
 * test_pm.c -- lib/pm: mapping, copying, and the recorder that the crash tests use
 */
#include "scratch.h"

#include <signal.h>
#include <sys/mman.h>

#include "pm/pm.h"

#define SIZE (3u << 20)

struct fixture {
	struct scratch dir;
	bool have_dir;
	int fd;
	struct pmio_pm *pm;
};

static int teardown(void **state)
{
	struct fixture *f = *state;

	pmio_pm_unmap(&f->pm);
	if (f->fd >= 0)
		close(f->fd);
	if (f->have_dir)
		scratch_fini(&f->dir);
	free(f);
	return 0;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	unsetenv("PMEM2_FORCE_GRANULARITY");
	unsetenv("PMEM_IS_PMEM_FORCE");
	scratch_catch_log();
	f->fd = memfd_create("pmio-test", MFD_CLOEXEC); /* a tmpfs without a name */
	*state = f;
	return f->fd >= 0 && ftruncate(f->fd, SIZE) == 0 ? 0 : -1;
}

/* a file of SIZE on a file system that is no tmpfs, instead of the memfd */
static bool use_disk(struct fixture *f)
{
	f->have_dir = scratch_init(&f->dir, NULL);
	if (!f->have_dir)
		return false;
	close(f->fd);
	f->fd = open(scratch_file(&f->dir, "file"), O_RDWR | O_CREAT, 0600);
	return f->fd >= 0 && ftruncate(f->fd, SIZE) == 0 && !pmio_pm_fd_is_tmpfs(f->fd);
}

/* ---- map -------------------------------------------------------------------- */

static void map__tmpfs_is_cache_line_granular(void **state)
{
	struct fixture *f = *state;
	int rc;

	rc = pmio_pm_map(f->fd, &f->pm);

	assert_int_equal(rc, 0);
	assert_int_equal(pmio_pm_granularity(f->pm), PMIO_PM_CACHE_LINE);
	assert_int_equal(pmio_pm_size(f->pm), SIZE);
	assert_null(getenv("PMEM2_FORCE_GRANULARITY"));
	assert_null(getenv("PMEM_IS_PMEM_FORCE"));
}

static void map__begins_at_a_huge_page_and_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	unsigned char there[SIZE / 4096];
	uint8_t *base;

	assert_int_equal(ftruncate(f->fd, SIZE - 4096), 0);
	assert_int_equal(pmio_pm_map(f->fd, &f->pm), 0);
	base = pmio_pm_base(f->pm);
	assert_int_equal((uintptr_t)base & ((2 << 20) - 1), 0);
	assert_int_equal(mincore(base, SIZE - 4096, there), 0);

	pmio_pm_unmap(&f->pm);

	for (size_t at = 0; at < SIZE; at += 4096)
		assert_int_equal(mincore(base + at, 4096, there), -1);
}

static void map__users_granularity_is_respected(void **state)
{
	struct fixture *f = *state;
	int rc;

	setenv("PMEM2_FORCE_GRANULARITY", "BYTE", 1);

	rc = pmio_pm_map(f->fd, &f->pm);

	assert_int_equal(rc, 0);
	assert_int_equal(pmio_pm_granularity(f->pm), PMIO_PM_BYTE);
	assert_string_equal(getenv("PMEM2_FORCE_GRANULARITY"), "BYTE");
	unsetenv("PMEM2_FORCE_GRANULARITY");
}

static void map__other_file_systems_are_page_granular(void **state)
{
	struct fixture *f = *state;
	int rc;

	if (!use_disk(f))
		SKIP("TMPDIR is a tmpfs, or not writable");

	rc = pmio_pm_map(f->fd, &f->pm);

	assert_int_equal(rc, 0);
	/* or better, if TMPDIR is on real PMEM */
	assert_true(pmio_pm_granularity(f->pm) <= PMIO_PM_PAGE);
	assert_null(getenv("PMEM2_FORCE_GRANULARITY"));
}

static void map__empty_file(void **state)
{
	struct fixture *f = *state;
	int rc;

	assert_int_equal(ftruncate(f->fd, 0), 0);

	rc = pmio_pm_map(f->fd, &f->pm);

	assert_int_equal(rc, -EINVAL);
	assert_null(f->pm);
	assert_logged_once();
}

static void map__read_only_descriptor(void **state)
{
	struct fixture *f = *state;
	char path[64];
	int rc, fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);

	rc = pmio_pm_map(fd, &f->pm);

	assert_int_equal(rc, -EACCES);
	assert_null(f->pm);
	assert_logged_once();
	close(fd);
}

static void map__directory(void **state)
{
	struct fixture *f = *state;
	int rc, fd = open("/", O_RDONLY | O_DIRECTORY);

	rc = pmio_pm_map(fd, &f->pm);

	assert_true(rc < 0);
	assert_null(f->pm);
	assert_logged_once();
	close(fd);
}

static void map__bad_descriptor(void **state)
{
	struct fixture *f = *state;
	int rc;

	rc = pmio_pm_map(-1, &f->pm);

	assert_int_equal(rc, -EBADF);
	assert_logged_once();
}

static void map__descriptor_may_be_closed(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(pmio_pm_map(f->fd, &f->pm), 0);
	close(f->fd);
	f->fd = -1;

	pmio_pm_zero(f->pm, pmio_pm_base(f->pm), SIZE);
	pmio_pm_fence(f->pm);

	assert_int_equal(*(char *)pmio_pm_base(f->pm), 0);
}

static void unmap__of_nothing(void **state)
{
	struct pmio_pm *pm = NULL;

	(void)state;
	pmio_pm_unmap(&pm);
	assert_null(pm);
}

/* ---- copy, zero, read ----------------------------------------------------------- */

static void fill_pattern(uint8_t *p, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(i * 7 + seed + i / 251);
}

/* around the thresholds of libpmem2's copies, at every offset in a line */
static const size_t lengths[] = {1, 7, 8, 63, 64, 65, 255, 256, 257, 4096, 5000, 70001};

#define NR_LENGTHS (sizeof(lengths) / sizeof(lengths[0]))
#define MAX_LENGTH 70001

static void try_copies(struct pmio_pm *pm)
{
	uint8_t *src = malloc(MAX_LENGTH + 64), *back = malloc(MAX_LENGTH + 64);
	uint8_t *base = pmio_pm_base(pm);

	fill_pattern(src, MAX_LENGTH + 64, 3);
	for (size_t i = 0; i < NR_LENGTHS; i++) {
		for (size_t skew = 0; skew < 64; skew += 7) {
			size_t len = lengths[i];
			uint8_t *dst = base + 4096 + skew;

			memset(base, 0xee, 4096 + 2 * MAX_LENGTH);
			pmio_pm_copy(pm, dst, src + skew / 2, len);
			pmio_pm_fence(pm);
			assert_memory_equal(dst, src + skew / 2, len);
			assert_int_equal(dst[-1], 0xee);
			assert_int_equal(dst[len], 0xee);

			memset(back, 0xdd, MAX_LENGTH + 64);
			pmio_pm_read(pm, back + 16, dst, len);
			assert_memory_equal(back + 16, dst, len);
			assert_int_equal(back[15], 0xdd);
			assert_int_equal(back[16 + len], 0xdd);

			pmio_pm_zero(pm, dst, len);
			pmio_pm_fence(pm);
			for (size_t j = 0; j < len; j++)
				assert_int_equal(dst[j], 0);
			assert_int_equal(dst[-1], 0xee);
			assert_int_equal(dst[len], 0xee);
		}
	}
	free(src);
	free(back);
}

static void copy__any_alignment(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(pmio_pm_map(f->fd, &f->pm), 0);
	try_copies(f->pm);
}

static void copy__any_alignment_byte_granularity(void **state)
{
	struct fixture *f = *state;

	setenv("PMEM2_FORCE_GRANULARITY", "BYTE", 1);
	assert_int_equal(pmio_pm_map(f->fd, &f->pm), 0);
	unsetenv("PMEM2_FORCE_GRANULARITY");
	try_copies(f->pm);
}

static void copy__any_alignment_page_granularity(void **state)
{
	struct fixture *f = *state;

	if (!use_disk(f))
		SKIP("TMPDIR is a tmpfs, or not writable");
	assert_int_equal(pmio_pm_map(f->fd, &f->pm), 0);
	try_copies(f->pm);
}

static void copy__nothing(void **state)
{
	struct fixture *f = *state;
	uint8_t *end;

	assert_int_equal(pmio_pm_map(f->fd, &f->pm), 0);
	end = (uint8_t *)pmio_pm_base(f->pm) + SIZE;

	pmio_pm_copy(f->pm, end, "x", 0);
	pmio_pm_zero(f->pm, end, 0);
	pmio_pm_flush(f->pm, end, 0);
	pmio_pm_populate(f->pm, end, 0);
	assert_int_equal(pmio_pm_sync(f->pm, end, 0), 0);
}

static void sync__page_granularity_reaches_the_file(void **state)
{
	struct fixture *f = *state;
	char back[6];
	int rc;

	if (!use_disk(f))
		SKIP("TMPDIR is a tmpfs, or not writable");
	assert_int_equal(pmio_pm_map(f->fd, &f->pm), 0);
	pmio_pm_copy(f->pm, (uint8_t *)pmio_pm_base(f->pm) + 5001, "sync'd", 6);

	rc = pmio_pm_sync(f->pm, (uint8_t *)pmio_pm_base(f->pm) + 5001, 6);

	assert_int_equal(rc, 0);
	assert_int_equal(pread(f->fd, back, 6, 5001), 6);
	assert_memory_equal(back, "sync'd", 6);
}

/* the pages under the mapping go: what an msync() that fails looks like */
static void sync__failure_is_an_error_not_the_end(void **state)
{
	struct fixture *f = *state;
	int rc;

	setenv("PMEM2_FORCE_GRANULARITY", "PAGE", 1);
	assert_int_equal(pmio_pm_map(f->fd, &f->pm), 0);
	unsetenv("PMEM2_FORCE_GRANULARITY");
	assert_int_equal(munmap((uint8_t *)pmio_pm_base(f->pm) + (1 << 20), 4096), 0);

	rc = pmio_pm_sync(f->pm, (uint8_t *)pmio_pm_base(f->pm) + (1 << 20), 8);

	assert_int_equal(rc, -ENOMEM);
	assert_logged_once();
}

static void populate__changes_no_byte(void **state)
{
	struct fixture *f = *state;
	uint8_t *base;

	assert_int_equal(pmio_pm_map(f->fd, &f->pm), 0);
	base = pmio_pm_base(f->pm);
	memset(base, 0x5a, 10000);

	pmio_pm_populate(f->pm, base + 100, SIZE - 100);

	for (size_t i = 0; i < 10000; i++)
		assert_int_equal(base[i], 0x5a);
	assert_int_equal(base[10000], 0);
}

/* ---- pread ------------------------------------------------------------------------ */

static void pread__stops_at_the_files_end(void **state)
{
	struct fixture *f = *state;
	int fd = memfd_create("source", MFD_CLOEXEC);
	ssize_t n;

	assert_int_equal(pmio_pm_map(f->fd, &f->pm), 0);
	assert_int_equal(write(fd, "0123456789", 10), 10);

	n = pmio_pm_pread(f->pm, pmio_pm_base(f->pm), fd, 100, 4);

	assert_int_equal(n, 6);
	assert_memory_equal(pmio_pm_base(f->pm), "456789\0", 7);
	close(fd);
}

static void pread__collects_short_reads(void **state)
{
	struct fixture *f = *state;
	int fd = memfd_create("source", MFD_CLOEXEC);
	uint8_t *want = malloc(SIZE);
	ssize_t n;

	fill_pattern(want, SIZE, 1);
	assert_int_equal(pmio_pm_map(f->fd, &f->pm), 0);
	assert_int_equal(write(fd, want, SIZE), SIZE);

	n = pmio_pm_pread(f->pm, pmio_pm_base(f->pm), fd, SIZE, 0);

	assert_int_equal(n, SIZE);
	assert_memory_equal(pmio_pm_base(f->pm), want, SIZE);
	free(want);
	close(fd);
}

static void pread__error(void **state)
{
	struct fixture *f = *state;
	int fds[2];
	ssize_t n;

	assert_int_equal(pmio_pm_map(f->fd, &f->pm), 0);
	assert_int_equal(pipe(fds), 0);

	n = pmio_pm_pread(f->pm, pmio_pm_base(f->pm), fds[0], 10, 0);

	assert_int_equal(n, -ESPIPE);
	close(fds[0]);
	close(fds[1]);
}

/* ---- words -------------------------------------------------------------------------- */

/* a mapping whose second third, and third, are no longer there */
static void map_cut(struct fixture *f)
{
	assert_int_equal(pmio_pm_map(f->fd, &f->pm), 0);
	memset(pmio_pm_base(f->pm), 'x', SIZE);
	assert_int_equal(ftruncate(f->fd, SIZE / 3), 0);
}

static ssize_t read_what_was_cut(struct pmio_pm_guard *g, void *arg)
{
	struct pmio_pm *pm = arg;
	char c = 0;

	pmio_pm_guard_arm(g, true);
	pmio_pm_read(pm, &c, (char *)pmio_pm_base(pm) + SIZE / 2, 1);
	pmio_pm_guard_arm(g, false);
	return c;
}

static ssize_t read_the_rest_after_a_fault(struct pmio_pm_guard *g, void *arg)
{
	struct pmio_pm *pm = arg;
	char c;

	assert_int_equal(pmio_pm_guarded(pm, read_what_was_cut, pm), -EIO);
	pmio_pm_guard_arm(g, true);
	pmio_pm_read(pm, &c, pmio_pm_base(pm), 1);
	return c;
}

static void guard__what_cannot_be_read_is_an_error(void **state)
{
	struct fixture *f = *state;

	map_cut(f);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pmio_pm_guarded(f->pm, read_what_was_cut, f->pm), -EIO);
	assert_int_equal(pmio_pm_guarded(f->pm, read_the_rest_after_a_fault, f->pm), 'x');
}

static sigjmp_buf mine;

static void jump_back(int sig)
{
	siglongjmp(mine, sig);
}

static ssize_t read_elsewhere(struct pmio_pm_guard *g, void *arg)
{
	pmio_pm_guard_arm(g, true);
	return *(volatile char *)arg;
}

/* far enough down the stack that the signal's frame spares what lies between */
static char __attribute__((noinline)) read_deep_below(const volatile char *p)
{
	volatile char room[1 << 15];

	room[0] = 0;
	return (char)(room[0] + *p);
}

/* a fault of the program's own goes to the program's handler */
static void guard__others_faults_are_not_ours(void **state)
{
	struct sigaction act = { .sa_handler = jump_back }, old, now;
	struct fixture *f = *state;
	char *other;
	int fd = memfd_create("pmio-test", MFD_CLOEXEC);

	assert_true(fd >= 0 && ftruncate(fd, SIZE) == 0);
	other = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
	assert_true(other != MAP_FAILED);
	assert_int_equal(ftruncate(fd, 0), 0);
	close(fd);
	assert_int_equal(sigaction(SIGBUS, &act, &old), 0);
	map_cut(f);
	if (sigsetjmp(mine, 1) == 0) {
		pmio_pm_guarded(f->pm, read_elsewhere, other);
		fail_msg("no SIGBUS");
	}
	if (sigsetjmp(mine, 1) == 0) { /* in the mapping, but not guarded */
		read_deep_below((char *)pmio_pm_base(f->pm) + SIZE / 2);
		fail_msg("no SIGBUS");
	}
	pmio_pm_unmap(&f->pm);
	assert_int_equal(sigaction(SIGBUS, &old, &now), 0);
	assert_ptr_equal(now.sa_handler, jump_back);
	munmap(other, SIZE);
}

static void words__do_what_they_say(void **state)
{
	struct fixture *f = *state;
	uint64_t *w;

	assert_int_equal(pmio_pm_map(f->fd, &f->pm), 0);
	w = pmio_pm_base(f->pm);

	pmio_pm_store64(f->pm, w, 0xf0);
	assert_int_equal(pmio_pm_or64(f->pm, w, 0x0f), 0xf0);
	assert_int_equal(pmio_pm_and64(f->pm, w, 0x3c), 0xff);
	assert_int_equal(pmio_pm_load64(w), 0x3c);
	assert_false(pmio_pm_max64(f->pm, w, 0x3c));
	assert_false(pmio_pm_max64(f->pm, w, 1));
	assert_true(pmio_pm_max64(f->pm, w, UINT64_MAX));
	assert_true(pmio_pm_load64(w) == UINT64_MAX);
}

/* ---- the recorder -------------------------------------------------------------------- */

struct seen {
	size_t nr;
	size_t a[4], b[4]; /* by what was found: 0, 1, 2, anything else */
	size_t both_new, b_without_a;
	size_t last_cut;
};

/* the images' words at 0 and 8 (one line), or at 0 and 64 */
static size_t second;

static int look(const void *image, size_t size, size_t cut, void *arg)
{
	struct seen *s = arg;
	uint64_t a, b;

	assert_int_equal(size, 4096);
	memcpy(&a, image, 8);
	memcpy(&b, (const uint8_t *)image + second, 8);
	s->nr++;
	s->a[a < 3 ? a : 3]++;
	s->b[b < 3 ? b : 3]++;
	s->both_new += a && b;
	s->b_without_a += b && !a;
	s->last_cut = cut;
	return 0;
}

static uint64_t *record(struct pmio_pm **pm)
{
	*pm = pmio_pm_record_new(4096);
	assert_non_null(*pm);
	return pmio_pm_base(*pm);
}

static void record__what_is_not_flushed_may_be_lost(void **state)
{
	struct fixture *f = *state;
	uint64_t *w = record(&f->pm);
	struct seen s = {0};

	pmio_pm_store64(f->pm, w, 1);
	pmio_pm_fence(f->pm);
	second = 64;

	assert_int_equal(pmio_pm_record_images(f->pm, 10, 1, look, &s), 0);

	assert_int_equal(s.nr, 4); /* with and without, after each operation */
	assert_int_equal(s.a[0], 2);
	assert_int_equal(s.a[1], 2);
}

static void record__what_is_flushed_and_fenced_stays(void **state)
{
	struct fixture *f = *state;
	uint64_t *w = record(&f->pm);
	struct seen s = {0};

	pmio_pm_store64(f->pm, w, 1);
	pmio_pm_flush(f->pm, w, 8);
	pmio_pm_fence(f->pm);
	pmio_pm_record_reset(f->pm);
	pmio_pm_store64(f->pm, w + 8, 1);
	second = 64;

	assert_int_equal(pmio_pm_record_images(f->pm, 10, 1, look, &s), 0);

	assert_int_equal(pmio_pm_record_count(f->pm), 1);
	assert_int_equal(s.nr, 2);
	assert_int_equal(s.a[1], 2);
}

static void record__store_after_the_flush_may_be_lost(void **state)
{
	struct fixture *f = *state;
	uint64_t *w = record(&f->pm);
	struct seen s = {0};

	pmio_pm_store64(f->pm, w, 1);
	pmio_pm_flush(f->pm, w, 8);
	pmio_pm_store64(f->pm, w, 2);
	pmio_pm_fence(f->pm);
	second = 64;

	assert_int_equal(pmio_pm_record_images(f->pm, 10, 1, look, &s), 0);

	/* after the fence: 1 for sure, or 2 already; no cut after the flush */
	assert_int_equal(s.nr, 2 + 3 + 2);
	assert_int_equal(s.a[0], 2);
	assert_int_equal(s.a[1], 3);
	assert_int_equal(s.a[2], 2);
}

static void record__one_line_keeps_its_order_two_do_not(void **state)
{
	struct fixture *f = *state;
	uint64_t *w = record(&f->pm);
	struct seen one = {0}, two = {0};

	pmio_pm_store64(f->pm, w, 1);
	pmio_pm_store64(f->pm, w + 1, 1);
	second = 8;
	assert_int_equal(pmio_pm_record_images(f->pm, 10, 1, look, &one), 0);
	pmio_pm_unmap(&f->pm);
	w = record(&f->pm);
	pmio_pm_store64(f->pm, w, 1);
	pmio_pm_store64(f->pm, w + 8, 1);
	second = 64;
	assert_int_equal(pmio_pm_record_images(f->pm, 10, 1, look, &two), 0);

	assert_int_equal(one.nr, 2 + 3);
	assert_int_equal(one.b_without_a, 0);
	assert_int_equal(one.both_new, 1);
	assert_int_equal(two.nr, 2 + 4);
	assert_int_equal(two.b_without_a, 1);
}

static void record__limit_keeps_nothing_and_all(void **state)
{
	struct fixture *f = *state;
	uint64_t *w = record(&f->pm);
	struct seen s = {0};

	for (size_t i = 0; i < 512; i++)
		pmio_pm_store64(f->pm, w + i, 1);
	second = 4088;

	assert_int_equal(pmio_pm_record_images(f->pm, 5, 1, look, &s), 0);

	assert_int_equal(s.last_cut, 512);
	assert_true(s.nr >= 5 * 500 && s.nr <= 5 * 512);
	assert_true(s.a[0] > 0 && s.both_new > 0);
}

static void record__a_fence_is_for_its_own_thread(void **state)
{
	struct fixture *f = *state;
	uint64_t *w = record(&f->pm);
	struct seen s = {0};

	pmio_pm_store64(f->pm, w, 1);
	pmio_pm_flush(f->pm, w, 8);
	pmio_pm_record_thread(f->pm, 1);
	pmio_pm_fence(f->pm);
	pmio_pm_record_thread(f->pm, 0);
	pmio_pm_fence(f->pm);
	second = 64;

	assert_int_equal(pmio_pm_record_images(f->pm, 10, 1, look, &s), 0);

	assert_int_equal(s.nr, 2 + 2 + 1);
	assert_int_equal(s.a[0], 2);
}

static void record__a_mark_is_a_place_to_cut(void **state)
{
	struct fixture *f = *state;
	uint64_t *w = record(&f->pm);
	struct seen s = {0};

	pmio_pm_record_mark(f->pm);
	pmio_pm_store64(f->pm, w, 1);
	pmio_pm_record_mark(f->pm);
	pmio_pm_record_pause(f->pm, true);
	pmio_pm_store64(f->pm, w, 2);
	pmio_pm_record_mark(f->pm);
	second = 64;

	assert_int_equal(pmio_pm_record_images(f->pm, 10, 1, look, &s), 0);

	assert_int_equal(pmio_pm_record_count(f->pm), 3);
	assert_int_equal(s.nr, 1 + 2 + 2);
	assert_int_equal(s.a[2], 0);
}

static void count_call(void *arg)
{
	++*(unsigned *)arg;
}

static void record__who_watches_is_called_after_each(void **state)
{
	struct fixture *f = *state;
	uint64_t *w = record(&f->pm);
	unsigned nr = 0;

	pmio_pm_record_watch(f->pm, count_call, &nr);
	pmio_pm_store64(f->pm, w, 1);
	pmio_pm_flush(f->pm, w, 8);
	pmio_pm_fence(f->pm);
	pmio_pm_record_mark(f->pm);

	assert_int_equal(nr, 4);
}

static void record__lives_until_its_last_owner_is_gone(void **state)
{
	struct fixture *f = *state;
	uint64_t *w = record(&f->pm);
	struct pmio_pm *other = pmio_pm_record_get(f->pm);

	pmio_pm_store64(f->pm, w, 7);
	pmio_pm_unmap(&f->pm);

	assert_int_equal(pmio_pm_load64(w), 7);
	pmio_pm_unmap(&other);
}

/* the calls that the next test leaves out: this file is compiled with PMIO_PM_SITES */
static void put_durable(struct pmio_pm *pm, uint64_t *w, uint64_t value)
{
	pmio_pm_store64(pm, w, value);
	pmio_pm_flush(pm, w, 8);
	pmio_pm_fence(pm);
}

static const struct pmio_pm_site *site_in(const char *function, unsigned does)
{
	size_t nr;
	struct pmio_pm_site *const *sites = pmio_pm_sites(&nr);

	for (size_t i = 0; i < nr; i++)
		if (strcmp(sites[i]->function, function) == 0 && (sites[i]->does & does))
			return sites[i];
	return NULL;
}

static void record__without_one_flush_or_fence(void **state)
{
	static const unsigned what[] = {PMIO_PM_FLUSHES, PMIO_PM_FENCES};
	struct fixture *f = *state;

	second = 64;
	for (unsigned i = 0; i < 2; i++) {
		const struct pmio_pm_site *site = site_in("put_durable", what[i]);
		uint64_t *w = record(&f->pm);
		struct seen s = {0};

		assert_non_null(site);
		put_durable(f->pm, w, 1);
		pmio_pm_leave_out(site, what[i]);
		put_durable(f->pm, w, 2);
		pmio_pm_leave_out(NULL, 0);
		pmio_pm_record_mark(f->pm);

		assert_int_equal(pmio_pm_record_images(f->pm, 10, 1, look, &s), 0);

		assert_int_equal(pmio_pm_record_count(f->pm), 3 + 2 + 1);
		assert_int_equal(s.last_cut, 6);
		/* 2 may be lost to the end: at each of its cuts there is an image without */
		assert_int_equal(s.a[1], 2 + (what[i] == PMIO_PM_FLUSHES ? 3 : 2));
		assert_int_equal(s.a[2], what[i] == PMIO_PM_FLUSHES ? 3 : 2);
		pmio_pm_unmap(&f->pm);
	}
}

static void record__without_a_sync(void **state)
{
	static const unsigned what[] = {PMIO_PM_FLUSHES, PMIO_PM_FENCES};
	struct fixture *f = *state;

	for (unsigned i = 0; i < 2; i++) {
		uint64_t *w = record(&f->pm);

		pmio_pm_store64(f->pm, w, 1);
		pmio_pm_leave_out(site_in(__func__, PMIO_PM_FLUSHES | PMIO_PM_FENCES), what[i]);
		assert_int_equal(pmio_pm_sync(f->pm, w, 8), 0);
		pmio_pm_leave_out(NULL, 0);

		assert_int_equal(pmio_pm_record_count(f->pm), 1 + 1);
		pmio_pm_unmap(&f->pm);
	}
}

static void record__copies_and_images_reopen(void **state)
{
	struct fixture *f = *state;
	uint8_t *base = (uint8_t *)record(&f->pm);
	struct pmio_pm *re;

	pmio_pm_copy(f->pm, base + 61, "unaligned", 9);
	re = pmio_pm_record_from(base, 4096);

	assert_int_equal(pmio_pm_record_count(f->pm), 2);
	assert_int_equal(pmio_pm_record_count(re), 0);
	assert_memory_equal((uint8_t *)pmio_pm_base(re) + 61, "unaligned", 9);
	pmio_pm_unmap(&re);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	static struct CMUnitTest tests[] = {
		T(map__tmpfs_is_cache_line_granular),
		T(map__begins_at_a_huge_page_and_leaves_nothing),
		T(map__users_granularity_is_respected),
		T(map__other_file_systems_are_page_granular),
		T(map__empty_file),
		T(map__read_only_descriptor),
		T(map__directory),
		T(map__bad_descriptor),
		T(map__descriptor_may_be_closed),
		T(unmap__of_nothing),
		T(copy__any_alignment),
		T(copy__any_alignment_byte_granularity),
		T(copy__any_alignment_page_granularity),
		T(copy__nothing),
		T(sync__page_granularity_reaches_the_file),
		T(sync__failure_is_an_error_not_the_end),
		T(populate__changes_no_byte),
		T(pread__stops_at_the_files_end),
		T(pread__collects_short_reads),
		T(pread__error),
		T(guard__what_cannot_be_read_is_an_error),
		T(guard__others_faults_are_not_ours),
		T(words__do_what_they_say),
		T(record__what_is_not_flushed_may_be_lost),
		T(record__what_is_flushed_and_fenced_stays),
		T(record__store_after_the_flush_may_be_lost),
		T(record__one_line_keeps_its_order_two_do_not),
		T(record__limit_keeps_nothing_and_all),
		T(record__a_fence_is_for_its_own_thread),
		T(record__a_mark_is_a_place_to_cut),
		T(record__who_watches_is_called_after_each),
		T(record__lives_until_its_last_owner_is_gone),
		T(record__without_one_flush_or_fence),
		T(record__without_a_sync),
		T(record__copies_and_images_reopen),
	};

	return scratch_run("pm", tests);
}
