/*
 * test_pool.c -- pools: made, opened, damaged in every way, checked, removed
 */
#include "scratch.h"

#include <dirent.h>
#include <malloc.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>

#include "pmio.h"
#include "pool/pool.h"
#include "pool/recovery.h"

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

static unsigned count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static int setup_below(void **state, const char *below)
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

static int setup(void **state)
{
	return setup_below(state, "/dev/shm");
}

/* with a pool in f->dir */
static int setup_pool(void **state)
{
	int rc = setup(state);

	return rc < 0 ? rc : pmio_pool_create(((struct fixture *)*state)->dir, &params);
}

static int setup_pool_on_disk(void **state)
{
	int rc = setup_below(state, NULL);

	return rc < 0 ? rc : pmio_pool_create(((struct fixture *)*state)->dir, &params);
}

static int teardown(void **state)
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

/* ---- helpers ----------------------------------------------------------------- */

static const char *in_pool(const struct fixture *f, const char *name)
{
	static char path[4][PATH_MAX + 32];
	static unsigned turn;
	char *p = path[turn++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", f->dir, name);
	return p;
}

static bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static void put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void poke(const char *path, off_t off, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, len, off), (ssize_t)len);
	close(fd);
}

static void open_pool(struct fixture *f)
{
	scratch_catch_log();
	assert_int_equal(pmio_pool_open(f->dir, &f->pool), 0);
	assert_int_equal(scratch_nr_errors, 0);
}

static void reopen_pool(struct fixture *f)
{
	pmio_pool_close(&f->pool);
	assert_int_equal(pmio_pool_open(f->dir, &f->pool), 0);
}

static void assert_open_fails(struct fixture *f, int code)
{
	scratch_catch_log();
	assert_int_equal(pmio_pool_open(f->dir, &f->pool), code);
	assert_null(f->pool);
	if (scratch_nr_errors != 1)
		fail_msg("%u lines logged, the last: %s", scratch_nr_errors, scratch_last_error);
}

static uint32_t add_file(struct fixture *f, const char *path, enum pmio_file_state state,
			 uint64_t size)
{
	struct pmio_pool_file file = {.state = state, .mode = 0640};
	uint32_t slot;

	snprintf(file.path, sizeof(file.path), "%s", path);
	assert_int_equal(pmio_pool_file_add(f->pool, &file, size, &slot), 0);
	return slot;
}

static uint64_t get_frame(struct fixture *f, uint32_t slot, uint64_t chunk)
{
	uint64_t frame = pmio_pool_frame_get(f->pool, slot, chunk);

	assert_true(frame != PMIO_NO_FRAME);
	return frame;
}

/* block b of a frame: valid, and dirty if it says so */
static void set_block(struct fixture *f, uint64_t frame, unsigned b, bool dirty, bool draining)
{
	struct pmio_view *v = pmio_pool_view(f->pool);
	struct pmio_frame_df *h = &v->headers[frame];

	pmio_pm_or64(v->pm, &h->valid[b / 64], 1ull << b % 64);
	if (dirty)
		pmio_pm_or64(v->pm, &h->dirty[b / 64], 1ull << b % 64);
	if (draining)
		pmio_pm_or64(v->pm, &h->draining[b / 64], 1ull << b % 64);
}

static const struct pmio_frame_df *header(struct fixture *f, uint64_t frame)
{
	return &pmio_pool_view(f->pool)->headers[frame];
}

/* ---- create ------------------------------------------------------------------ */

static void create__makes_a_pool(void **state)
{
	static const char *const names[] = {PMIO_POOL_DATA, PMIO_POOL_CATALOG, PMIO_POOL_LOCK};
	struct fixture *f = *state;
	struct stat st;

	assert_int_equal(pmio_pool_create(f->dir, &params), 0);

	assert_int_equal(scratch_nr_errors, 0);
	assert_int_equal(stat(f->dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(st.st_nlink, 2);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(stat(in_pool(f, names[i]), &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
	assert_int_equal(stat(in_pool(f, PMIO_POOL_DATA), &st), 0);
	assert_int_equal(st.st_size, SIZE);
	assert_true(st.st_blocks * 512 >= SIZE); /* reserved */
	open_pool(f);
}

static void create__defaults(void **state)
{
	struct pmio_pool_params p = {.size = (16u << 20) + 12345};
	struct fixture *f = *state;

	assert_int_equal(pmio_pool_create(f->dir, &p), 0);

	open_pool(f);
	assert_int_equal(pmio_pool_view(f->pool)->chunk_size, PMIO_CHUNK_DEFAULT);
	assert_int_equal(pmio_pool_nr_slots(f->pool), PMIO_POOL_SLOTS_DEFAULT);
	assert_int_equal(pmio_pool_frames_free(f->pool), 14);
}

static void create__in_a_directory_with_other_things(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mkdir(f->dir, 0755), 0);
	put_file(in_pool(f, "notes"), "mine");

	assert_int_equal(pmio_pool_create(f->dir, &params), 0);

	assert_true(exists(in_pool(f, "notes")));
	open_pool(f);
}

static void create__there_is_one(void **state)
{
	struct fixture *f = *state;
	uint8_t uuid[16];

	open_pool(f);
	memcpy(uuid, pmio_pool_view(f->pool)->super->uuid, 16);
	pmio_pool_close(&f->pool);

	assert_int_equal(pmio_pool_create(f->dir, &params), -EEXIST);

	assert_logged_once();
	open_pool(f);
	assert_memory_equal(pmio_pool_view(f->pool)->super->uuid, uuid, 16);
	/* also while an agent has it */
	assert_int_equal(pmio_pool_create(f->dir, &params), -EEXIST);
}

static void create__our_names_are_taken(void **state)
{
	static const char *const names[] = {PMIO_POOL_DATA, PMIO_POOL_CATALOG};
	struct fixture *f = *state;

	assert_int_equal(mkdir(f->dir, 0700), 0);
	for (unsigned i = 0; i < 2; i++) {
		put_file(in_pool(f, names[i]), "not a pool");
		scratch_catch_log();

		assert_int_equal(pmio_pool_create(f->dir, &params), -EEXIST);

		assert_logged_once();
		assert_true(exists(in_pool(f, names[i])));
		unlink(in_pool(f, names[i]));
	}
}

static void create__no_parent(void **state)
{
	struct fixture *f = *state;

	strcat(f->dir, "/below");
	assert_int_equal(pmio_pool_create(f->dir, &params), -ENOENT);
	assert_logged_once();
}

static void create__not_a_directory(void **state)
{
	struct fixture *f = *state;

	put_file(f->dir, "");
	assert_int_equal(pmio_pool_create(f->dir, &params), -ENOTDIR);
	assert_logged_once();
	assert_true(exists(f->dir));
}

static void create__symbolic_link(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mkdir(scratch_file(&f->s, "real"), 0700), 0);
	assert_int_equal(symlink("real", f->dir), 0);

	assert_int_equal(pmio_pool_create(f->dir, &params), -EPERM);

	assert_logged_once();
	strcat(f->dir, "//");
	assert_int_equal(pmio_pool_create(f->dir, &params), -EPERM);
	assert_int_equal(rmdir(scratch_file(&f->s, "real")), 0); /* nothing in it */
}

static void create__writable_by_others(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mkdir(f->dir, 0700), 0);
	for (mode_t mode = 0020; mode; mode = mode == 0020 ? 0002 : 0) {
		assert_int_equal(chmod(f->dir, 0700 | mode), 0);
		scratch_catch_log();

		assert_int_equal(pmio_pool_create(f->dir, &params), -EPERM);

		assert_logged_once();
	}
	assert_int_equal(rmdir(f->dir), 0);
}

static void create__bad_params(void **state)
{
	struct fixture *f = *state;
	struct pmio_pool_params p[] = {params, params, params, params, params, params};

	p[0].size = 0;
	p[1].size = PMIO_POOL_SIZE_MIN - 1;
	p[2].chunk_size = 12345;
	p[3].chunk_size = PMIO_CHUNK_MAX * 2ull;
	p[4].nr_slots = PMIO_SLOTS_MAX + 1;
	p[5].chunk_size = 8u << 20; /* no frame fits beside the rest */
	for (unsigned i = 0; i < 6; i++) {
		scratch_catch_log();

		assert_int_equal(pmio_pool_create(f->dir, &p[i]), -EINVAL);

		assert_logged_once();
		assert_false(exists(f->dir));
	}
}

static void create__no_space(void **state)
{
	struct fixture *f = *state;
	struct pmio_pool_params p = params;
	struct statvfs fs;

	assert_int_equal(statvfs(f->s.path, &fs), 0);
	if (fs.f_blocks == 0)
		SKIP("the tmpfs has no limit");
	p.size = ((uint64_t)fs.f_blocks * fs.f_frsize) + (1u << 30);

	assert_int_equal(pmio_pool_create(f->dir, &p), -ENOSPC);

	assert_logged_once();
	assert_false(exists(f->dir));
}

static void limit_file_size(rlim_t bytes)
{
	struct rlimit limit;

	signal(SIGXFSZ, bytes == RLIM_INFINITY ? SIG_DFL : SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes == RLIM_INFINITY ? limit.rlim_max : bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void create__data_does_not_fit(void **state)
{
	struct fixture *f = *state;
	int rc;

	limit_file_size(1 << 20);
	rc = pmio_pool_create(f->dir, &params);
	limit_file_size(RLIM_INFINITY);

	assert_int_equal(rc, -EFBIG);
	assert_logged_once();
	assert_false(exists(f->dir));
}

static void create__catalog_does_not_fit(void **state)
{
	struct fixture *f = *state;
	int rc;

	/* in a directory that was there, and must stay as it was */
	assert_int_equal(mkdir(f->dir, 0700), 0);
	limit_file_size(SIZE + 4096);
	rc = pmio_pool_create(f->dir, &params);
	limit_file_size(RLIM_INFINITY);

	assert_int_equal(rc, -EFBIG);
	assert_logged_once();
	assert_int_equal(rmdir(f->dir), 0);
}

static void create__by_many_at_once(void **state)
{
	struct fixture *f = *state;
	unsigned made = 0, there = 0;
	int status;

	for (unsigned i = 0; i < 8; i++) {
		if (fork() == 0) {
			int rc = pmio_pool_create(f->dir, &params);

			_exit(rc == 0 ? 1 : rc == -EEXIST ? 2 : 3);
		}
	}
	while (wait(&status) > 0) {
		assert_true(WIFEXITED(status));
		made += WEXITSTATUS(status) == 1;
		there += WEXITSTATUS(status) == 2;
	}

	assert_int_equal(made, 1);
	assert_int_equal(there, 7);
	open_pool(f);
}

static pid_t start_create(const struct fixture *f)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(pmio_pool_create(f->dir, &params) ? 1 : 0);
	return pid;
}

/* how long a child takes to make a pool, in ns */
static long time_create(const struct fixture *f)
{
	struct timespec a, b;
	int status;

	clock_gettime(CLOCK_MONOTONIC, &a);
	assert_int_equal(waitpid(start_create(f), &status, 0) > 0 ? status : -1, 0);
	clock_gettime(CLOCK_MONOTONIC, &b);
	assert_int_equal(pmio_pool_destroy(f->dir), 0);
	return (b.tv_sec - a.tv_sec) * 1000000000L + b.tv_nsec - a.tv_nsec;
}

/* a pool, or none, but never half of one */
static void create__killed_at_any_time(void **state)
{
	struct fixture *f = *state;
	unsigned whole = 0, none = 0;
	long ns = time_create(f);

	for (unsigned i = 0; i < 30; i++) {
		const struct timespec delay = {.tv_nsec = ns / 22 * i % 1000000000L};
		pid_t pid = start_create(f);
		int rc;

		nanosleep(&delay, NULL);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);

		rc = pmio_pool_open(f->dir, &f->pool);
		if (rc == 0) {
			whole++;
		} else {
			none++;
			assert_int_equal(rc, -ENOENT);
			assert_int_equal(pmio_pool_create(f->dir, &params), 0);
			assert_int_equal(pmio_pool_open(f->dir, &f->pool), 0);
		}
		pmio_pool_close(&f->pool);
		assert_int_equal(pmio_pool_destroy(f->dir), 0);
		assert_false(exists(f->dir));
	}
	print_message("# %u whole, %u none\n", whole, none);
}

/* ---- open: the directory ---------------------------------------------------------- */

static void open__missing(void **state)
{
	struct fixture *f = *state;

	assert_open_fails(f, -ENOENT);
	f->dir[0] = '\0';
	assert_open_fails(f, -ENOENT);
}

static void open__name_too_long(void **state)
{
	struct fixture *f = *state;
	static char name[PATH_MAX + 10];

	memset(name, 'x', PATH_MAX + 5);
	assert_int_equal(pmio_pool_open(name, &f->pool), -ENAMETOOLONG);
	assert_logged_once();
}

static void open__empty_directory_stays_empty(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mkdir(f->dir, 0700), 0);
	assert_open_fails(f, -ENOENT);
	assert_int_equal(rmdir(f->dir), 0);
}

static void open__not_a_directory(void **state)
{
	struct fixture *f = *state;

	put_file(f->dir, "");
	assert_open_fails(f, -ENOTDIR);
}

static void open__symbolic_link(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(rename(f->dir, scratch_file(&f->s, "real")), 0);
	assert_int_equal(symlink("real", f->dir), 0);
	assert_open_fails(f, -EPERM);
	strcat(f->dir, "/");
	assert_open_fails(f, -EPERM);
}

static void open__writable_by_others(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(chmod(f->dir, 0770), 0);
	assert_open_fails(f, -EPERM);
	assert_int_equal(chmod(f->dir, 0702), 0);
	assert_open_fails(f, -EPERM);
	assert_int_equal(chmod(f->dir, 0755), 0);
	open_pool(f);
}

/* as nobody, which only root can become */
static int open_as_nobody(struct fixture *f)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct pmio_pool *pool;
		int rc = seteuid(65534) < 0 ? -EXDEV : pmio_pool_open(f->dir, &pool);

		_exit(-rc & 0xff);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return -WEXITSTATUS(status);
}

static void open__another_users(void **state)
{
	struct fixture *f = *state;

	if (geteuid() != 0)
		SKIP("only root can become another user");
	assert_int_equal(chmod(f->s.path, 0755), 0);
	assert_int_equal(open_as_nobody(f), -EACCES);
	assert_int_equal(chmod(f->dir, 0755), 0);
	assert_int_equal(open_as_nobody(f), -EPERM);
}

static void open__twice(void **state)
{
	struct fixture *f = *state;
	struct pmio_pool *second;
	uint64_t epoch;

	open_pool(f);
	epoch = pmio_pool_view(f->pool)->super->epoch;

	assert_int_equal(pmio_pool_open(f->dir, &second), -EBUSY);

	assert_null(second);
	assert_logged_once();
	assert_int_equal(pmio_pool_view(f->pool)->super->epoch, epoch);
}

static void open__after_its_agent_was_killed(void **state)
{
	struct fixture *f = *state;
	int ready[2], status;
	char c;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		if (pmio_pool_open(f->dir, &f->pool) == 0 && write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_open_fails(f, -EBUSY);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(ready[0]);
	close(ready[1]);

	open_pool(f);
}

/* ---- open: data ------------------------------------------------------------------- */

static void open__data_missing(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(unlink(in_pool(f, PMIO_POOL_DATA)), 0);
	assert_open_fails(f, -ENOENT);
}

static void open__data_is_not_ours(void **state)
{
	struct fixture *f = *state;
	const char *data = in_pool(f, PMIO_POOL_DATA);
	static char text[10000];

	put_file(data, "");
	assert_open_fails(f, PMIO_ENOTPOOL);
	put_file(data, "some results\n");
	assert_open_fails(f, PMIO_ENOTPOOL);
	memset(text, 'x', sizeof(text) - 1);
	put_file(data, text);
	assert_open_fails(f, PMIO_ENOTPOOL);
	assert_int_equal(unlink(data), 0);
	assert_int_equal(mkdir(data, 0700), 0);
	assert_open_fails(f, PMIO_ENOTPOOL);
	assert_int_equal(rmdir(data), 0);
	assert_int_equal(mkfifo(data, 0600), 0);
	assert_open_fails(f, PMIO_ENOTPOOL);
}

static void open__data_is_a_symbolic_link(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(rename(in_pool(f, PMIO_POOL_DATA), scratch_file(&f->s, "data")), 0);
	assert_int_equal(symlink("../data", in_pool(f, PMIO_POOL_DATA)), 0);
	assert_open_fails(f, -EPERM);
}

static void open__data_writable_by_others(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(chmod(in_pool(f, PMIO_POOL_DATA), 0660), 0);
	assert_open_fails(f, -EPERM);
}

static void open__data_of_another_version(void **state)
{
	struct fixture *f = *state;
	uint32_t version = PMIO_POOL_VERSION + 1;

	poke(in_pool(f, PMIO_POOL_DATA), offsetof(struct pmio_super_df, version), &version, 4);
	assert_open_fails(f, PMIO_EVERSION);
}

static void open__superblock_damaged(void **state)
{
	struct fixture *f = *state;

	poke(in_pool(f, PMIO_POOL_DATA), offsetof(struct pmio_super_df, nr_frames), "x", 1);
	assert_open_fails(f, PMIO_EDAMAGED);
}

static void open__data_truncated(void **state)
{
	static const off_t sizes[] = {SIZE - 1, SIZE - (64 << 10), 3 << 20, 8192, 4096, 4095, 1};
	struct fixture *f = *state;

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(truncate(in_pool(f, PMIO_POOL_DATA), sizes[i]), 0);
		assert_open_fails(f, sizes[i] < 4096 ? PMIO_ENOTPOOL : PMIO_EDAMAGED);
	}
}

static void open__slot_without_generation(void **state)
{
	struct fixture *f = *state;
	struct pmio_view *v;

	open_pool(f);
	v = pmio_pool_view(f->pool);
	pmio_pm_store64(v->pm, &v->slots[5].generation, 0);
	pmio_pool_close(&f->pool);
	assert_open_fails(f, PMIO_EDAMAGED);
}

static void open__file_size_that_no_file_has(void **state)
{
	struct fixture *f = *state;
	struct pmio_view *v;
	uint32_t slot;

	open_pool(f);
	v = pmio_pool_view(f->pool);
	slot = add_file(f, "/pfs/a", PMIO_FILE_CLEAN, 1);
	pmio_pm_store64(v->pm, &v->slots[slot].size, UINT64_MAX);
	pmio_pool_close(&f->pool);
	assert_open_fails(f, PMIO_EDAMAGED);
}

/* ---- open: catalog -------------------------------------------------------------------- */

static void open__catalog_missing(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(unlink(in_pool(f, PMIO_POOL_CATALOG)), 0);
	assert_open_fails(f, PMIO_EDAMAGED);
}

/* as by an agent that was killed and has not ended yet */
static void open__catalog_locked_for_a_moment(void **state)
{
	struct fixture *f = *state;
	int fds[2], status;
	pid_t pid;
	char c;

	assert_return_code(pipe(fds), errno);
	pid = fork();
	assert_return_code(pid, errno);
	if (pid == 0) {
		int fd = open(in_pool(f, PMIO_POOL_CATALOG), O_RDWR);

		if (flock(fd, LOCK_EX) < 0 || write(fds[1], "x", 1) != 1)
			_exit(1);
		usleep(300000);
		_exit(0);
	}
	assert_int_equal(read(fds[0], &c, 1), 1);
	open_pool(f);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(fds[0]);
	close(fds[1]);
}

static void open__catalog_is_not_one(void **state)
{
	struct fixture *f = *state;

	put_file(in_pool(f, PMIO_POOL_CATALOG), "");
	assert_open_fails(f, PMIO_EDAMAGED);
	/* what libpmemobj would follow to other files */
	put_file(in_pool(f, PMIO_POOL_CATALOG), "PMEMPOOLSET\n100M /etc/passwd\n");
	assert_open_fails(f, PMIO_EDAMAGED);
}

static void open__catalog_truncated(void **state)
{
	static const off_t sizes[] = {PMIO_POOL_CATALOG_SIZE - 4096, 16 << 20, 8 << 20, 1 << 20,
				      8192, 4096, 1};
	struct fixture *f = *state;

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(truncate(in_pool(f, PMIO_POOL_CATALOG), sizes[i]), 0);
		assert_open_fails(f, PMIO_EDAMAGED);
	}
}

static void open__catalog_damaged(void **state)
{
	struct fixture *f = *state;

	poke(in_pool(f, PMIO_POOL_CATALOG), 100, "xyz", 3); /* libpmemobj's own header */
	assert_open_fails(f, PMIO_EDAMAGED);
}

static void open__catalog_of_another_layout(void **state)
{
	struct fixture *f = *state;

	poke(in_pool(f, PMIO_POOL_CATALOG), 4096, "pmio-catalog-2", 14);
	assert_open_fails(f, PMIO_EVERSION);
}

static void open__catalog_of_another_pool(void **state)
{
	struct fixture *f = *state;
	const char *other = scratch_file(&f->s, "other");
	char theirs[PATH_MAX];

	assert_int_equal(pmio_pool_create(other, &params), 0);
	snprintf(theirs, sizeof(theirs), "%s/" PMIO_POOL_CATALOG, other);
	assert_int_equal(rename(theirs, in_pool(f, PMIO_POOL_CATALOG)), 0);
	assert_open_fails(f, PMIO_EDAMAGED);
}

static void open__lock_is_a_symbolic_link(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(unlink(in_pool(f, PMIO_POOL_LOCK)), 0);
	assert_int_equal(symlink("data", in_pool(f, PMIO_POOL_LOCK)), 0);
	assert_open_fails(f, -EPERM);
}

static void open__lock_missing_is_made(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(unlink(in_pool(f, PMIO_POOL_LOCK)), 0);
	open_pool(f);
	assert_true(exists(in_pool(f, PMIO_POOL_LOCK)));
}

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

/* ---- check -------------------------------------------------------------------------------------- */

static uint64_t hash_file(const char *path)
{
	uint64_t h = 14695981039346656037ull;
	static uint64_t buf[8192];
	int fd = open(path, O_RDONLY);
	ssize_t n;

	assert_true(fd >= 0);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < n / 8; i++)
			h = (h ^ buf[i]) * 1099511628211ull;
	close(fd);
	return h;
}

static void check__counts_and_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct pmio_pool_report r;
	uint64_t data, catalog, frame;
	uint32_t slot;

	open_pool(f);
	slot = add_file(f, "/pfs/dirty", PMIO_FILE_OPEN, 2 << 16);
	add_file(f, "/pfs/clean", PMIO_FILE_CLEAN, 0);
	frame = get_frame(f, slot, 0);
	set_block(f, frame, 1, true, false);
	set_block(f, frame, 2, false, true);
	set_block(f, frame, 3, false, false);
	get_frame(f, slot, 1);
	pmio_pool_close(&f->pool);
	data = hash_file(in_pool(f, PMIO_POOL_DATA));
	catalog = hash_file(in_pool(f, PMIO_POOL_CATALOG));
	unlink(in_pool(f, PMIO_POOL_LOCK));

	assert_int_equal(pmio_pool_check(f->dir, &r), 0);

	assert_int_equal(r.nr_problems, 0);
	assert_int_equal(scratch_nr_errors, 0);
	assert_int_equal(r.nr_files, 2);
	assert_int_equal(r.nr_dirty_files, 1);
	assert_int_equal(r.nr_used_frames, 2);
	assert_int_equal(r.dirty_bytes, 2 * 256);
	assert_true(r.nr_frames > 50);
	assert_false(exists(in_pool(f, PMIO_POOL_LOCK)));
	assert_true(hash_file(in_pool(f, PMIO_POOL_DATA)) == data);
	assert_true(hash_file(in_pool(f, PMIO_POOL_CATALOG)) == catalog);
}

static void check__while_an_agent_has_it(void **state)
{
	struct fixture *f = *state;
	struct pmio_pool_report r;

	open_pool(f);
	assert_int_equal(pmio_pool_check(f->dir, &r), -EBUSY);
	assert_logged_once();
}

static void check__no_pool(void **state)
{
	struct fixture *f = *state;
	struct pmio_pool_report r;

	assert_int_equal(pmio_pool_check(f->dir, &r), -ENOENT);
	assert_logged_once();
	assert_int_equal(mkdir(f->dir, 0700), 0);
	scratch_catch_log();
	assert_int_equal(pmio_pool_check(f->dir, &r), -ENOENT);
	assert_logged_once();
	assert_int_equal(rmdir(f->dir), 0);
}

static void check__damaged_superblock(void **state)
{
	struct fixture *f = *state;
	struct pmio_pool_report r;

	poke(in_pool(f, PMIO_POOL_DATA), offsetof(struct pmio_super_df, chunk_size), "x", 1);
	assert_int_equal(pmio_pool_check(f->dir, &r), PMIO_EDAMAGED);
	assert_logged_once();
}

static void check__damaged_catalog_is_a_problem(void **state)
{
	struct fixture *f = *state;
	struct pmio_pool_report r;

	poke(in_pool(f, PMIO_POOL_CATALOG), 100, "xyz", 3);
	assert_int_equal(pmio_pool_check(f->dir, &r), 0);
	assert_int_equal(r.nr_problems, 1);
	assert_logged_once();
}

static void check__slot_and_catalog_disagree(void **state)
{
	struct fixture *f = *state;
	struct pmio_pool_report r;
	struct pmio_view *v;
	uint32_t a, b;

	open_pool(f);
	v = pmio_pool_view(f->pool);
	a = add_file(f, "/pfs/a", PMIO_FILE_CLEAN, 0);
	b = add_file(f, "/pfs/b", PMIO_FILE_CLEAN, 0);
	pmio_pm_store64(v->pm, &v->slots[a].generation, 2); /* a removal that was cut off */
	pmio_pm_store64(v->pm, &v->slots[b].generation, 7);
	pmio_pool_close(&f->pool);

	scratch_catch_log();
	assert_int_equal(pmio_pool_check(f->dir, &r), 0);

	assert_int_equal(r.nr_problems, 1);
	assert_logged_once();
	assert_int_equal(r.nr_files, 0);
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

/* ---- destroy ------------------------------------------------------------------------------------- */

static void destroy__removes_all(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(pmio_pool_destroy(f->dir), 0);
	assert_false(exists(f->dir));
	scratch_catch_log();
	assert_int_equal(pmio_pool_destroy(f->dir), -ENOENT);
	assert_logged_once();
}

static void destroy__leaves_other_files(void **state)
{
	struct fixture *f = *state;

	put_file(in_pool(f, "notes"), "mine");
	assert_int_equal(pmio_pool_destroy(f->dir), 0);
	assert_true(exists(in_pool(f, "notes")));
	assert_int_equal(unlink(in_pool(f, "notes")), 0);
	assert_int_equal(rmdir(f->dir), 0);
}

static void destroy__not_a_pool(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mkdir(f->dir, 0700), 0);
	assert_int_equal(pmio_pool_destroy(f->dir), -ENOENT);
	put_file(in_pool(f, PMIO_POOL_DATA), "years of results");
	put_file(in_pool(f, PMIO_POOL_CATALOG), "of what");

	scratch_catch_log();
	assert_int_equal(pmio_pool_destroy(f->dir), PMIO_ENOTPOOL);

	assert_logged_once();
	assert_true(exists(in_pool(f, PMIO_POOL_DATA)));
	assert_true(exists(in_pool(f, PMIO_POOL_CATALOG)));
	assert_false(exists(in_pool(f, PMIO_POOL_LOCK)));
}

static void destroy__while_an_agent_has_it(void **state)
{
	struct fixture *f = *state;

	open_pool(f);
	assert_int_equal(pmio_pool_destroy(f->dir), -EBUSY);
	assert_logged_once();
	assert_true(exists(in_pool(f, PMIO_POOL_DATA)));
}

static void destroy__damaged_pool(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(truncate(in_pool(f, PMIO_POOL_DATA), 0), 0);
	assert_int_equal(pmio_pool_destroy(f->dir), 0);
	assert_false(exists(f->dir));
}

static void destroy__symbolic_link(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(rename(f->dir, scratch_file(&f->s, "real")), 0);
	assert_int_equal(symlink("real", f->dir), 0);
	assert_int_equal(pmio_pool_destroy(f->dir), -EPERM);
	assert_true(exists(scratch_file(&f->s, "real/data")));
}

/* ---- killed ---------------------------------------------------------------------------------------- */

/* files that come, change their names and go, as fast as they can */
static void churn(const struct fixture *f, unsigned seed, int ready)
{
	struct pmio_pool_file file = {.state = PMIO_FILE_HELD};
	uint32_t slots[32], nr = 0;
	struct pmio_pool *pool;

	if (pmio_pool_open(f->dir, &pool) < 0)
		_exit(1);
	for (uint32_t s = 0; s < pmio_pool_nr_slots(pool) && nr < 32; s++)
		if (pmio_pool_file_get(pool, s, &file) == 0)
			slots[nr++] = s;
	if (write(ready, "x", 1) != 1)
		_exit(1);
	for (unsigned i = seed;; i = i * 1103515245 + 12345) {
		uint32_t slot = nr ? slots[(i >> 8) % nr] : 0;
		uint64_t frame;

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
		const struct timespec delay = {.tv_nsec = i % 7 * 3000000L + i * 12345};
		struct pmio_pool_report r;
		struct pmio_pool_file file;
		int status, ready[2];
		pid_t pid;
		char c;

		assert_int_equal(pipe(ready), 0);
		pid = fork();
		if (pid == 0)
			churn(f, i, ready[1]);
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

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define P(test) cmocka_unit_test_setup_teardown(test, setup_pool, teardown)

int main(void)
{
	static struct CMUnitTest tests[] = {
		T(create__makes_a_pool),
		T(create__defaults),
		T(create__in_a_directory_with_other_things),
		P(create__there_is_one),
		T(create__our_names_are_taken),
		T(create__no_parent),
		T(create__not_a_directory),
		T(create__symbolic_link),
		T(create__writable_by_others),
		T(create__bad_params),
		T(create__no_space),
		T(create__data_does_not_fit),
		T(create__catalog_does_not_fit),
		T(create__by_many_at_once),
		T(create__killed_at_any_time),
		T(open__missing),
		T(open__name_too_long),
		T(open__empty_directory_stays_empty),
		T(open__not_a_directory),
		P(open__symbolic_link),
		P(open__writable_by_others),
		P(open__another_users),
		P(open__twice),
		P(open__after_its_agent_was_killed),
		P(open__data_missing),
		P(open__data_is_not_ours),
		P(open__data_is_a_symbolic_link),
		P(open__data_writable_by_others),
		P(open__data_of_another_version),
		P(open__superblock_damaged),
		P(open__data_truncated),
		P(open__slot_without_generation),
		P(open__file_size_that_no_file_has),
		P(open__catalog_missing),
		P(open__catalog_locked_for_a_moment),
		P(open__catalog_is_not_one),
		P(open__catalog_truncated),
		P(open__catalog_damaged),
		P(open__catalog_of_another_layout),
		P(open__catalog_of_another_pool),
		P(open__lock_is_a_symbolic_link),
		P(open__lock_missing_is_made),
		P(file__is_kept),
		P(file_set__changes_all),
		P(file__of_a_free_slot),
		P(file__that_makes_no_sense),
		P(file__longest_path),
		P(file_add__all_slots_used),
		T(file_add__catalog_full),
		P(file_remove__frees_its_frames_at_the_next_start),
		P(file_remove__cut_off_is_ended_at_the_next_start),
		P(frames__all_and_back),
		P(frames__new_ones_are_zeroed_and_used_ones_are_made_so),
		T(frames__reserve_of_zeroed_ones_is_filled_when_half_is_used),
		P(frames_each__stops),
		P(open__keeps_data_of_closed_files),
		P(open__drops_clean_blocks_of_open_files),
		P(open__two_frames_of_one_chunk),
		P(open__frames_that_make_no_sense_are_freed),
		P(open__new_epoch_and_no_intents),
		cmocka_unit_test_setup_teardown(disk__a_pool_on_an_ordinary_file_system,
						setup_pool_on_disk, teardown),
		P(check__counts_and_changes_nothing),
		P(check__while_an_agent_has_it),
		T(check__no_pool),
		P(check__damaged_superblock),
		P(check__damaged_catalog_is_a_problem),
		P(check__slot_and_catalog_disagree),
		T(recovery__many_slots_need_little_memory),
		P(destroy__removes_all),
		P(destroy__leaves_other_files),
		T(destroy__not_a_pool),
		P(destroy__while_an_agent_has_it),
		P(destroy__damaged_pool),
		P(destroy__symbolic_link),
		P(killed__at_any_time_leaves_a_whole_pool),
	};

	return scratch_run("pool", tests);
}
