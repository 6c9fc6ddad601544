/*
 * test_names.c -- files whose names are removed or changed while they are open, and many small files
 */
#include "with_agent.h"

static void stat_fd__size_through_pmio(void **state)
{
	int fd = open_plain(O_RDWR | O_CREAT), path_fd = open_plain(O_PATH);
	struct pmio_file *f;
	off_t size = -1;

	(void)state;
	assert_int_equal(pmio_stat_fd(pm, fd, &size), -ENOENT);
	setenv("PMIO_DRAIN", "hold", 1);
	pmio_disconnect(&pm);
	assert_int_equal(pmio_connect(pool, &pm), 0);
	f = must_open_fd(fd, O_RDWR);
	assert_int_equal(pmio_pwrite(f, "x", 1, 9999), 1);
	assert_int_equal(pmio_stat_fd(pm, path_fd, &size), 0);
	assert_int_equal(size, 10000);
	assert_int_equal(pmio_close(&f), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), 0); /* it is held */
	size = -1;
	assert_int_equal(pmio_stat_fd(pm, fd, &size), 0);
	assert_int_equal(size, 10000);
	f = must_open_fd(fd, O_RDWR);
	assert_int_equal(pmio_drain(f), 0);
	assert_int_equal(pmio_close(&f), 0);
	assert_int_equal(pmio_stat_fd(pm, fd, &size), -ENOENT);
	assert_int_equal(lseek(fd, 0, SEEK_END), 10000);
	close(path_fd);
	close(fd);
}

static void unlinked__gives_its_frames_back(void **state)
{
	uint64_t before = frames_free();
	char other[PATH_MAX + 8], buf[8] = "";
	struct pmio_file *f;
	int fd;

	(void)state;
	setenv("PMIO_DRAIN", "hold", 1);
	pmio_disconnect(&pm);
	assert_int_equal(pmio_connect(pool, &pm), 0);
	snprintf(other, sizeof(other), "%s.other", path);
	fd = open_plain(O_RDWR | O_CREAT);
	assert_int_equal(pmio_unlinked(pm, fd), 0); /* not known */
	f = must_open_fd(fd, O_RDWR);
	assert_int_equal(pmio_pwrite(f, "data", 4, 0), 4);
	assert_int_equal(link(path, other), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(pmio_unlinked(pm, fd), 0); /* it has another name */
	assert_int_equal(pmio_close(&f), 0);
	assert_frames_free(before - 1);
	f = must_open_fd(fd, O_RDWR);
	assert_int_equal(unlink(other), 0);
	assert_int_equal(pmio_unlinked(pm, fd), 0);
	assert_int_equal(pmio_pread(f, buf, sizeof(buf), 0), 4); /* as long as it is open */
	assert_memory_equal(buf, "data", 4);
	assert_int_equal(pmio_pwrite(f, "more", 4, 5 << 20), 4);
	assert_int_equal(pmio_close(&f), 0);
	assert_frames_free(before);
	close(fd);

	/* closed and held */
	fd = open_plain(O_RDWR | O_CREAT);
	f = must_open_fd(fd, O_RDWR);
	assert_int_equal(pmio_pwrite(f, "data", 4, 0), 4);
	assert_int_equal(pmio_close(&f), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(pmio_unlinked(pm, fd), 0);
	assert_frames_free(before);
	close(fd);
}

/* files that never had a name, or lost it before they were opened here, do not stay, though they would be held */
static void unlinked__file_without_a_name(void **state)
{
	uint64_t before = frames_free();
	char name[64];
	struct pmio_file *f, *g;
	struct stat st;
	int fd;

	(void)state;
	setenv("PMIO_DRAIN", "hold", 1);
	pmio_disconnect(&pm);
	assert_int_equal(pmio_connect(pool, &pm), 0);
	fd = open(root.path, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (fd < 0)
		SKIP("no O_TMPFILE here");
	f = must_open_fd(fd, O_RDWR);
	assert_int_equal(pmio_pwrite(f, "data", 4, 0), 4);
	assert_int_equal(pmio_close(&f), 0);
	assert_frames_free(before);

	/* it gets one while another has it open */
	f = must_open_fd(fd, O_RDWR);
	g = must_open_fd(fd, O_RDWR);
	assert_int_equal(pmio_pwrite(f, "data", 4, 0), 4);
	assert_int_equal(pmio_close(&f), 0);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	assert_int_equal(linkat(AT_FDCWD, name, AT_FDCWD, path, AT_SYMLINK_FOLLOW), 0);
	assert_int_equal(pmio_drain(g), 0);
	assert_int_equal(pmio_close(&g), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 4);
	assert_fd_has(fd, "data", 4);
	close(fd);
}

/* as editors and sed -i do it: the file that is replaced was open, and was not drained */
static void rename__replaced_file_gives_its_frames_back(void **state)
{
	uint64_t before = frames_free();
	char new[PATH_MAX + 8], folder[PATH_MAX + 8], buf[8] = "";
	struct pmio_file *f, *g;
	int fd;

	(void)state;
	setenv("PMIO_DRAIN", "hold", 1);
	pmio_disconnect(&pm);
	assert_int_equal(pmio_connect(pool, &pm), 0);
	snprintf(new, sizeof(new), "%s.new", path);
	snprintf(folder, sizeof(folder), "%s.d", path);
	assert_int_equal(pmio_open(pm, path, O_RDWR | O_CREAT, 0644, &f), 0);
	assert_int_equal(pmio_pwrite(f, "old", 3, 0), 3);
	assert_int_equal(pmio_close(&f), 0);
	assert_int_equal(pmio_open(pm, path, O_RDWR, 0644, &f), 0);
	assert_int_equal(pmio_open(pm, new, O_RDWR | O_CREAT, 0644, &g), 0);
	assert_int_equal(pmio_pwrite(g, "newer", 5, 0), 5);
	assert_int_equal(pmio_rename(pm, new, path), 0);
	assert_int_equal(pmio_pread(f, buf, sizeof(buf), 0), 3);
	assert_memory_equal(buf, "old", 3);
	assert_int_equal(pmio_close(&f), 0);
	assert_int_equal(pmio_open(pm, path, O_RDONLY, 0, &f), 0);
	assert_int_equal(pmio_pread(f, buf, sizeof(buf), 0), 5);
	assert_memory_equal(buf, "newer", 5);
	assert_int_equal(pmio_close(&f), 0);
	assert_int_equal(pmio_close(&g), 0);
	assert_frames_free(before - 1); /* at once, though it was held */
	assert_int_equal(pmio_open(pm, path, O_RDWR, 0, &f), 0);
	assert_int_equal(pmio_drain(f), 0);
	assert_int_equal(pmio_close(&f), 0);
	fd = open_plain(O_RDONLY);
	assert_fd_has(fd, "newer", 5);
	close(fd);

	/* what loses no file */
	assert_int_equal(pmio_rename(pm, path, path), 0);
	assert_int_equal(link(path, new), 0);
	assert_int_equal(pmio_rename(pm, new, path), 0); /* of one file: nothing happens */
	assert_int_equal(pmio_open(pm, path, O_RDONLY, 0, &f), 0);
	assert_int_equal(pmio_pread(f, buf, sizeof(buf), 0), 5);
	assert_int_equal(pmio_close(&f), 0);
	scratch_catch_log();
	assert_int_equal(mkdir(folder, 0755), 0);
	assert_int_equal(pmio_rename(pm, folder, path), -ENOTDIR); /* it stays */
	assert_logged_once();
	pmio_log_set_handler(NULL);
	assert_int_equal(pmio_open(pm, path, O_RDONLY, 0, &f), 0);
	assert_int_equal(pmio_pread(f, buf, sizeof(buf), 0), 5);
	assert_memory_equal(buf, "newer", 5);
	assert_int_equal(pmio_close(&f), 0);
	assert_int_equal(unlink(new), 0);
}

/* ---- small files ----------------------------------------------------------------- */

static int set_up_many(void **state)
{
	(void)state;
	setenv("PMIO_CHUNK_SIZE", "16KiB", 1);
	setenv("PMIO_DRAIN", "hold", 1);
	return start_with("256MiB");
}

static int tear_down_many(void **state)
{
	unsetenv("PMIO_CHUNK_SIZE");
	return tear_down(state);
}

/* a pool with small frames holds as many small files as it has frames, also after another agent has come */
static void small_files__ten_thousand_in_256_MiB(void **state)
{
	enum { FILES = 10000 };
	uint8_t want[BLOCK], have[BLOCK + 1];
	struct pmio_pool_stat st;
	struct pmio_file *f;
	size_t len = strlen(path);
	struct stat now;

	(void)state;
	for (unsigned i = 0; i < FILES; i++) {
		int fd;

		snprintf(path + len, sizeof(path) - len, "%u", i);
		fd = open_plain(O_RDWR | O_CREAT | O_EXCL);
		f = must_open_fd(fd, O_RDWR | O_CREAT | O_EXCL);
		memset(want, (int)i % 251 + 1, BLOCK);
		assert_int_equal(pmio_pwrite(f, want, BLOCK, 0), BLOCK);
		assert_int_equal(pmio_close(&f), 0);
		close(fd);
	}
	assert_int_equal(pmio_stat_sums(pm, &st), 0);
	assert_int_equal(st.fallback_chunks, 0);
	assert_int_equal(st.drained_bytes, 0);
	assert_int_equal(st.dirty_bytes, (uint64_t)FILES * BLOCK);
	assert_true(st.nr_frames - st.nr_frames_free == FILES);
	kill_agent();
	for (unsigned i = 0; i < FILES; i += 7) {
		snprintf(path + len, sizeof(path) - len, "%u", i);
		assert_int_equal(stat(path, &now), 0);
		assert_int_equal(now.st_size, 0);
		assert_int_equal(pmio_open(pm, path, O_RDONLY, 0, &f), 0);
		memset(want, (int)i % 251 + 1, BLOCK);
		assert_int_equal(pmio_pread(f, have, sizeof(have), 0), BLOCK);
		assert_memory_equal(have, want, BLOCK);
		assert_int_equal(pmio_close(&f), 0);
	}
}

int main(void)
{
	struct CMUnitTest tests[] = {
		WITH_AGENT(stat_fd__size_through_pmio),
		WITH_AGENT(unlinked__gives_its_frames_back),
		WITH_AGENT(unlinked__file_without_a_name),
		WITH_AGENT(rename__replaced_file_gives_its_frames_back),
		cmocka_unit_test_setup_teardown(small_files__ten_thousand_in_256_MiB, set_up_many, tear_down_many),
	};

	return scratch_run("names", tests);
}
