/*
 * test_pool_open.c -- pools that are opened and checked, damaged in every way
 */
#include "pool_fixture.h"

#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

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

int main(void)
{
	struct CMUnitTest tests[] = {
		WITH_FOLDER(open__missing),
		WITH_FOLDER(open__name_too_long),
		WITH_FOLDER(open__empty_directory_stays_empty),
		WITH_FOLDER(open__not_a_directory),
		WITH_POOL(open__symbolic_link),
		WITH_POOL(open__writable_by_others),
		WITH_POOL(open__another_users),
		WITH_POOL(open__twice),
		WITH_POOL(open__after_its_agent_was_killed),
		WITH_POOL(open__data_missing),
		WITH_POOL(open__data_is_not_ours),
		WITH_POOL(open__data_is_a_symbolic_link),
		WITH_POOL(open__data_writable_by_others),
		WITH_POOL(open__data_of_another_version),
		WITH_POOL(open__superblock_damaged),
		WITH_POOL(open__data_truncated),
		WITH_POOL(open__slot_without_generation),
		WITH_POOL(open__file_size_that_no_file_has),
		WITH_POOL(open__catalog_missing),
		WITH_POOL(open__catalog_locked_for_a_moment),
		WITH_POOL(open__catalog_is_not_one),
		WITH_POOL(open__catalog_truncated),
		WITH_POOL(open__catalog_damaged),
		WITH_POOL(open__catalog_of_another_layout),
		WITH_POOL(open__catalog_of_another_pool),
		WITH_POOL(open__lock_is_a_symbolic_link),
		WITH_POOL(open__lock_missing_is_made),
		WITH_POOL(check__counts_and_changes_nothing),
		WITH_POOL(check__while_an_agent_has_it),
		WITH_FOLDER(check__no_pool),
		WITH_POOL(check__damaged_superblock),
		WITH_POOL(check__damaged_catalog_is_a_problem),
		WITH_POOL(check__slot_and_catalog_disagree),
	};

	return scratch_run("pool_open", tests);
}
