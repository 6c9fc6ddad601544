/*
 * test_pool_create.c -- pools that are made and removed
 */
#include "pool_fixture.h"

#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>

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

int main(void)
{
	struct CMUnitTest tests[] = {
		WITH_FOLDER(create__makes_a_pool),
		WITH_FOLDER(create__defaults),
		WITH_FOLDER(create__in_a_directory_with_other_things),
		WITH_POOL(create__there_is_one),
		WITH_FOLDER(create__our_names_are_taken),
		WITH_FOLDER(create__no_parent),
		WITH_FOLDER(create__not_a_directory),
		WITH_FOLDER(create__symbolic_link),
		WITH_FOLDER(create__writable_by_others),
		WITH_FOLDER(create__bad_params),
		WITH_FOLDER(create__no_space),
		WITH_FOLDER(create__data_does_not_fit),
		WITH_FOLDER(create__catalog_does_not_fit),
		WITH_FOLDER(create__by_many_at_once),
		WITH_FOLDER(create__killed_at_any_time),
		WITH_POOL(destroy__removes_all),
		WITH_POOL(destroy__leaves_other_files),
		WITH_FOLDER(destroy__not_a_pool),
		WITH_POOL(destroy__while_an_agent_has_it),
		WITH_POOL(destroy__damaged_pool),
		WITH_POOL(destroy__symbolic_link),
	};

	return scratch_run("pool_create", tests);
}
