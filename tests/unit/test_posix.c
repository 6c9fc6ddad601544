/*
 * what programs need that know nothing of pools, only of descriptors: files opened by one, appends, forks, and
 * numbers that stay free
 */
#include "with_agent.h"

#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "pool/pool.h"

#define BLOCK 4096

static int must_open(int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	return fd;
}

static struct pmio_file *must_open_fd(int fd, int flags)
{
	struct pmio_file *f;

	assert_int_equal(pmio_open_fd(pm, fd, NULL, flags, &f), 0);
	return f;
}

static void kill_agent(void)
{
	struct pmio_pool_stat st;
	struct pmio *admin;
	int rc;

	while ((rc = pmio_attach(pool, &admin)) == PMIO_EAGENT) /* the one before may just have been killed */
		usleep(1000);
	assert_int_equal(rc, 0);
	assert_int_equal(pmio_stat_pool(admin, &st), 0);
	pmio_disconnect(&admin);
	assert_int_equal(kill((pid_t)st.agent_pid, SIGKILL), 0);
}

/* in a child */
#define MUST(what)                           \
	do {                                 \
		if (!(what))                 \
			_exit(__LINE__ % 255 + 1); \
	} while (0)

/* ---- by descriptor ---------------------------------------------------------------- */

static void open_fd__is_the_file_of_the_name(void **state)
{
	int fd = must_open(O_RDWR | O_CREAT);
	struct pmio_file *f = must_open_fd(fd, O_RDWR | O_CREAT), *g;
	char buf[8] = "";

	(void)state;
	assert_int_equal(pmio_pwrite(f, "hello", 5, 0), 5);
	assert_int_equal(pmio_open(pm, path, O_RDONLY, 0, &g), 0);
	assert_int_equal(pmio_pread(g, buf, sizeof(buf), 0), 5);
	assert_memory_equal(buf, "hello", 5);
	assert_int_equal(pmio_close(&g), 0);
	close(fd); /* the caller's */
	assert_int_equal(pmio_pwrite(f, "again", 5, 5), 5);
	assert_int_equal(pmio_close(&f), 0);
	fd = must_open(O_RDONLY);
	assert_fd_has(fd, "helloagain", 10);
	close(fd);
}

/* a drain with the program's own descriptor would append, and be told to align */
static void open_fd__its_flags_do_not_matter(void **state)
{
	static char buf[3 * BLOCK + 7];
	int fd = must_open(O_RDWR | O_CREAT), ap;
	struct pmio_file *f;

	(void)state;
	memset(buf, 'o', sizeof(buf));
	assert_int_equal(write(fd, buf, sizeof(buf)), sizeof(buf));
	ap = must_open(O_WRONLY | O_APPEND | O_DIRECT);
	f = must_open_fd(ap, O_WRONLY | O_APPEND | O_DIRECT | O_NONBLOCK | O_NOFOLLOW | O_DSYNC);
	memcpy(buf + BLOCK + 3, "new", 3);
	assert_int_equal(pmio_pwrite(f, "new", 3, BLOCK + 3), 3);
	assert_int_equal(pmio_close(&f), 0);
	assert_fd_has(fd, buf, sizeof(buf));
	assert_int_equal(fcntl(ap, F_GETFL) & (O_APPEND | O_DIRECT), O_APPEND | O_DIRECT);

	/* also if they are set later */
	f = must_open_fd(fd, O_RDWR);
	assert_int_equal(fcntl(fd, F_SETFL, O_APPEND), 0);
	memcpy(buf + 5, "later", 5);
	assert_int_equal(pmio_pwrite(f, "later", 5, 5), 5);
	assert_int_equal(pmio_close(&f), 0);
	assert_fd_has(fd, buf, sizeof(buf));
	close(ap);
	close(fd);
}

/* what does not fit goes to the file system at once, not with a descriptor that appends */
static void open_fd__appending_one_in_a_full_pool(void **state)
{
	enum { LEN = 24 << 20 };
	uint8_t *buf = malloc(LEN);
	int ap = must_open(O_WRONLY | O_CREAT | O_APPEND), fd = must_open(O_RDONLY);
	struct pmio_file *f = must_open_fd(ap, O_WRONLY);

	(void)state;
	assert_non_null(buf);
	for (size_t i = 0; i < LEN; i++)
		buf[i] = (uint8_t)(i * 2654435761u >> 13);
	assert_int_equal(pmio_pwrite(f, buf + LEN / 2, LEN / 2, LEN / 2), LEN / 2);
	assert_int_equal(pmio_pwrite(f, buf, LEN / 2, 0), LEN / 2);
	assert_true(f->counts.pfs_written > 0);
	assert_int_equal(pmio_close(&f), 0);
	assert_fd_has(fd, buf, LEN);
	close(ap);
	close(fd);
	free(buf);
}

static void open_fd__rights_are_the_descriptor_s(void **state)
{
	int fd = must_open(O_RDWR | O_CREAT), rd = must_open(O_RDONLY), wr = must_open(O_WRONLY), up;
	struct pmio_file *f = NULL;

	(void)state;
	scratch_catch_log();
	assert_int_equal(pmio_open_fd(pm, rd, NULL, O_RDWR, &f), -EBADF);
	assert_logged_once();
	assert_int_equal(pmio_open_fd(pm, rd, NULL, O_WRONLY, &f), -EBADF);
	assert_int_equal(pmio_open_fd(pm, wr, NULL, O_RDONLY, &f), -EBADF);
	assert_int_equal(pmio_open_fd(pm, -1, path, O_RDONLY, &f), -EBADF);
	up = must_open(O_PATH);
	assert_int_equal(pmio_open_fd(pm, up, NULL, O_RDONLY, &f), -EBADF);
	close(up);
	up = open(root.path, O_RDONLY | O_DIRECTORY);
	assert_int_equal(pmio_open_fd(pm, up, NULL, O_RDONLY, &f), -EISDIR);
	close(up);
	up = open("/dev/null", O_RDWR);
	assert_int_equal(pmio_open_fd(pm, up, NULL, O_RDWR, &f), -EINVAL);
	close(up);
	assert_int_equal(pmio_open_fd(pm, fd, NULL, O_RDWR | O_DIRECTORY, &f), -EINVAL);
	assert_null(f);
	assert_int_equal(scratch_nr_errors, 8);
	pmio_log_set_handler(NULL);

	f = must_open_fd(fd, O_RDONLY); /* less than it could */
	assert_int_equal(pmio_pwrite(f, "x", 1, 0), -EBADF);
	assert_int_equal(pmio_close(&f), 0);
	close(fd);
	close(rd);
	close(wr);
}

/* a program may make a file that it could not open again */
static void open_fd__mode_that_allows_no_other_open(void **state)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0);
	struct pmio_file *f;

	(void)state;
	assert_true(fd >= 0);
	f = must_open_fd(fd, O_RDWR | O_CREAT | O_EXCL);
	assert_int_equal(pmio_pwrite(f, "secret", 6, 0), 6);
	assert_int_equal(pmio_close(&f), 0);
	assert_fd_has(fd, "secret", 6);
	close(fd);
}

/* from here on this process is nobody, with this group besides; 0: none */
static void be_nobody(gid_t group)
{
	MUST(setgroups(group != 0, &group) == 0);
	MUST(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
	MUST(setenv("HOME", "/", 1) == 0);
}

/* the agent is not in the group that gives the program its rights */
static void open_fd__rights_that_the_agent_has_not(void **state)
{
	enum { GROUP = 4711 };
	struct pmio_file *f;
	int fd, status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		SKIP("only root has other groups at will");
	assert_int_equal(chmod(root.path, 0755), 0);
	snprintf(pool + strlen(pool), 8, "2");
	assert_int_equal(mkdir(pool, 0700), 0);
	assert_int_equal(chown(pool, 65534, 65534), 0);
	fd = must_open(O_RDWR | O_CREAT);
	assert_int_equal(write(fd, "old", 3), 3);
	assert_int_equal(fchown(fd, 0, GROUP), 0);
	assert_int_equal(fchmod(fd, 0660), 0);
	for (int with = 0; with < 2; with++) {
		pid = fork();
		if (pid == 0) {
			be_nobody(with ? GROUP : 0);
			if (access(agent, X_OK) < 0)
				_exit(77);
			MUST(pmio_connect(pool, &pm) == 0);
			MUST(with || open(path, O_WRONLY) < 0);
			if (!with)
				_exit(0); /* the agent goes on */
			fd = open(path, O_WRONLY | O_APPEND);
			MUST(fd >= 0);
			MUST(pmio_open_fd(pm, fd, NULL, O_WRONLY, &f) == 0);
			MUST(pmio_pwrite(f, "new", 3, 2) == 3);
			MUST(pmio_close(&f) == 0);
			pmio_disconnect(&pm);
			MUST(pmio_attach(pool, &pm) == 0);
			MUST(pmio_shutdown(pm, true) == 0);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
			close(fd);
			pool[strlen(pool) - 1] = '\0';
			SKIP("another user cannot run the agent from here");
		}
		assert_int_equal(status, 0);
	}
	assert_fd_has(fd, "olnew", 5);
	close(fd);
	pool[strlen(pool) - 1] = '\0';
}

static uint64_t frames_free(void)
{
	struct pmio_pool_stat st;

	assert_int_equal(pmio_stat_pool(pm, &st), 0);
	return st.nr_frames_free;
}

/* as soon as no worker has the file any more, as to mark it */
static void assert_frames_free(uint64_t want)
{
	for (int i = 0; i < 300 && frames_free() != want; i++)
		usleep(100000);
	assert_int_equal(frames_free(), want);
}

/* also after another agent has come; its data go with the last handle */
static void open_fd__no_name_any_more(void **state)
{
	uint64_t before = frames_free();
	int fd = must_open(O_RDWR | O_CREAT);
	struct pmio_file *f, *g;
	char buf[8] = "";

	(void)state;
	assert_int_equal(unlink(path), 0);
	f = must_open_fd(fd, O_RDWR);
	assert_int_equal(pmio_pwrite(f, "hello", 5, BLOCK), 5);
	kill_agent();
	g = must_open_fd(fd, O_RDONLY);
	assert_int_equal(pmio_pread(g, buf, sizeof(buf), BLOCK), 5);
	assert_memory_equal(buf, "hello", 5);
	assert_int_equal(pmio_close(&f), 0);
	assert_int_equal(pmio_close(&g), 0);
	assert_frames_free(before);
	close(fd);
}

/* a lock of ours would be in the way of the program's own, or go with them */
static void open_fd__locks_of_the_program_stay(void **state)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 << 20 }, is = whole;
	int fd = must_open(O_RDWR | O_CREAT), pid, status;
	struct pmio_file *f;

	(void)state;
	assert_int_equal(fcntl(fd, F_SETLK, &whole), 0);
	f = must_open_fd(fd, O_RDWR);
	pid = fork();
	if (pid == 0)
		_exit(fcntl(fd, F_GETLK, &is) == 0 && is.l_type == F_WRLCK && is.l_pid == getppid() ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(pmio_close(&f), 0);
	close(fd);
}

static void open_fd__another_pool_has_it(void **state)
{
	char other[PATH_MAX];
	int fd = must_open(O_RDWR | O_CREAT);
	struct pmio_file *f = must_open_fd(fd, O_RDWR), *g;
	struct pmio *first = pm;

	(void)state;
	snprintf(other, sizeof(other), "%s/other", root.path);
	assert_int_equal(mkdir(other, 0700), 0);
	setenv("PMIO_TIMEOUT", "5", 1);
	assert_int_equal(pmio_connect(other, &pm), 0);
	scratch_catch_log();
	assert_int_equal(pmio_open_fd(pm, fd, NULL, O_RDWR, &g), PMIO_EOTHER);
	assert_logged_once();
	assert_int_equal(pmio_open(pm, path, O_RDWR, 0, &g), PMIO_EOTHER);
	pmio_log_set_handler(NULL);
	assert_int_equal(pmio_close(&f), 0);
	g = must_open_fd(fd, O_RDWR);
	assert_int_equal(pmio_close(&g), 0);
	pmio_disconnect(&pm);
	pm = first;
	unsetenv("PMIO_TIMEOUT");
	if (pmio_attach(other, &first) == 0) {
		pmio_shutdown(first, true);
		pmio_disconnect(&first);
	}
	close(fd);
}

static void open__flags_of_programs(void **state)
{
	struct pmio_file *f;
	char link[PATH_MAX + 8];

	(void)state;
	assert_int_equal(pmio_open(pm, path, O_RDWR | O_CREAT | O_APPEND | O_SYNC | O_DIRECT | O_NONBLOCK | O_NOFOLLOW | O_NOATIME,
				   0644, &f), 0);
	assert_int_equal(pmio_pwrite(f, "ab", 2, 0), 2);
	assert_int_equal(pmio_pwrite(f, "c", 1, 1), 1); /* where it is told */
	assert_int_equal(pmio_close(&f), 0);
	snprintf(link, sizeof(link), "%s.link", path);
	assert_int_equal(symlink(path, link), 0);
	assert_int_equal(pmio_open(pm, link, O_RDONLY, 0, &f), 0);
	assert_int_equal(pmio_close(&f), 0);
	scratch_catch_log();
	assert_int_equal(pmio_open(pm, link, O_RDONLY | O_NOFOLLOW, 0, &f), -ELOOP);
	assert_logged_once();
	pmio_log_set_handler(NULL);
}

/* ---- names ------------------------------------------------------------------------- */

static void stat_fd__size_through_pmio(void **state)
{
	int fd = must_open(O_RDWR | O_CREAT), path_fd = must_open(O_PATH);
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
	fd = must_open(O_RDWR | O_CREAT);
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
	fd = must_open(O_RDWR | O_CREAT);
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
	fd = must_open(O_RDONLY);
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
		fd = must_open(O_RDWR | O_CREAT | O_EXCL);
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

/* ---- appending ---------------------------------------------------------------------- */

enum { RECORD = 100, WRITERS = 4 };

/* record i of writer w: its letter, and its number among them, in letters as well, for no byte of it is zero */
static void make_record(char r[RECORD], unsigned w, unsigned i)
{
	char number[16];

	memset(r, (int)('a' + w), RECORD);
	snprintf(number, sizeof(number), "%08u", i);
	memcpy(r + 1, number, 8);
}

/* in a process of its own */
static void append_records(unsigned w, unsigned nr)
{
	struct pmio_file *f;
	char r[RECORD];
	off_t at = -1;

	if (pmio_connect(pool, &pm) < 0 || pmio_open(pm, path, O_WRONLY | O_APPEND, 0, &f) < 0)
		_exit(2);
	for (unsigned i = 0; i < nr; i++) {
		make_record(r, w, i);
		if (pmio_append(f, r, RECORD, &at) != RECORD || at % RECORD)
			_exit(3);
	}
	_exit(pmio_close(&f) == 0 ? 0 : 4);
}

static void start_writers(pid_t pid[WRITERS], unsigned nr)
{
	for (unsigned w = 0; w < WRITERS; w++) {
		pid[w] = fork();
		if (pid[w] == 0)
			append_records(w, nr);
	}
}

/* looks at whole records from *at on; counts those of each writer, which are in its order, and those with zeros */
static void check_records(struct pmio_file *f, off_t *at, unsigned next[WRITERS], unsigned *torn)
{
	static char buf[1024 * RECORD];
	char r[RECORD];
	ssize_t n;

	while ((n = pmio_pread(f, buf, sizeof(buf), *at)) >= RECORD) {
		for (char *p = buf; p + RECORD <= buf + n; p += RECORD, *at += RECORD) {
			unsigned w = *p ? (unsigned)(*p - 'a') : WRITERS, i = 0;

			if (w < WRITERS && sscanf(p + 1, "%8u", &i) == 1)
				make_record(r, w, i);
			if (w < WRITERS && memcmp(r, p, RECORD) == 0) {
				assert_int_equal(i, next[w]);
				next[w] = i + 1;
				continue;
			}
			(*torn)++;
			for (int j = 0; j < RECORD; j++) /* what is not there yet is zero, and never another's */
				assert_true(p[j] == 0 || (w < WRITERS && (p[j] == 'a' + (int)w || (p[j] >= '0' && p[j] <= '9'))));
		}
	}
	assert_true(n >= 0);
}

static void append__nobody_s_bytes_are_another_s(void **state)
{
	enum { EACH = 3000 };
	struct pmio_file *f;
	pid_t pid[WRITERS];
	unsigned next[WRITERS] = { 0 }, torn = 0, early = 0;
	off_t at = 0, size;
	int status;

	(void)state;
	assert_int_equal(pmio_open(pm, path, O_RDWR | O_CREAT, 0644, &f), 0);
	start_writers(pid, EACH);
	for (unsigned w = 0; w < WRITERS; w++) {
		unsigned seen[WRITERS];

		/* a reader in between: bytes that are not there yet are zeros */
		while (waitpid(pid[w], &status, WNOHANG) == 0) {
			off_t from = 0;

			memset(seen, 0, sizeof(seen));
			assert_int_equal(pmio_size(f, &size), 0);
			from = size > 50 * RECORD ? size - size % RECORD - 50 * RECORD : 0;
			for (char c[RECORD]; from + RECORD <= size; from += RECORD, early++) {
				char letter = 0;

				assert_int_equal(pmio_pread(f, c, RECORD, from), RECORD);
				for (int j = 0; j < RECORD; j++) {
					if (c[j] < 'a')
						continue;
					assert_true(!letter || c[j] == letter);
					letter = c[j];
				}
			}
		}
		assert_int_equal(status, 0);
	}
	check_records(f, &at, next, &torn);
	assert_int_equal(torn, 0);
	assert_int_equal(at, (off_t)WRITERS * EACH * RECORD);
	for (unsigned w = 0; w < WRITERS; w++)
		assert_int_equal(next[w], EACH);
	assert_true(early > 0);
	assert_int_equal(pmio_size(f, &size), 0);
	assert_int_equal(size, at);
	assert_int_equal(pmio_close(&f), 0);
}

/* beside writes that make the file longer: an append begins behind those that have returned */
static void append__behind_what_is_there(void **state)
{
	struct pmio_file *f, *g;
	char buf[16] = "";
	off_t at;

	(void)state;
	assert_int_equal(pmio_open(pm, path, O_RDWR | O_CREAT, 0644, &f), 0);
	assert_int_equal(pmio_open(pm, path, O_RDONLY, 0, &g), 0);
	assert_int_equal(pmio_append(f, "abc", 3, &at), 3);
	assert_int_equal(at, 0);
	assert_int_equal(pmio_pwrite(f, "x", 1, (3 << 20) + 5), 1);
	assert_int_equal(pmio_append(f, "def", 3, NULL), 3);
	assert_int_equal(pmio_append(f, "", 0, &at), 0);
	assert_int_equal(at, (3 << 20) + 9);
	assert_int_equal(pmio_pread(g, buf, sizeof(buf), (3 << 20) + 4), 5);
	assert_memory_equal(buf, "\0xdef", 5);
	assert_int_equal(pmio_truncate(f, 2), 0);
	assert_int_equal(pmio_append(f, "g", 1, &at), 1);
	assert_int_equal(at, 2);
	assert_int_equal(pmio_append(g, "h", 1, &at), -EBADF);
	assert_int_equal(pmio_truncate(f, INT64_MAX - 1), 0);
	scratch_catch_log();
	assert_int_equal(pmio_append(f, "ij", 2, &at), -EFBIG);
	assert_logged_once();
	pmio_log_set_handler(NULL);
	assert_int_equal(pmio_truncate(f, 3), 0);
	assert_int_equal(pmio_close(&g), 0);
	assert_int_equal(pmio_close(&f), 0);
}

/* one dies at any moment: of its last record there may be zeros; those of the others are whole */
static void append__writers_die(void **state)
{
	enum { EACH = 2000 };

	(void)state;
	for (unsigned round = 0; round < 5; round++) {
		unsigned next[WRITERS] = { 0 }, torn = 0, whole = 0;
		struct pmio_file *f;
		pid_t pid[WRITERS];
		off_t at = 0;
		int status;

		assert_int_equal(pmio_open(pm, path, O_RDWR | O_CREAT | O_TRUNC, 0644, &f), 0);
		start_writers(pid, EACH);
		do
			assert_int_equal(pmio_size(f, &at), 0);
		while (at < (off_t)(round + 1) * 500 * RECORD);
		at = 0;
		kill(pid[0], SIGKILL);
		kill(pid[1], SIGKILL);
		for (unsigned w = 0; w < WRITERS; w++) {
			assert_int_equal(waitpid(pid[w], &status, 0), pid[w]);
			assert_true(w < 2 || status == 0);
		}
		check_records(f, &at, next, &torn);
		for (unsigned w = 0; w < WRITERS; w++)
			whole += next[w];
		assert_int_equal(next[2], EACH);
		assert_int_equal(next[3], EACH);
		assert_true(torn <= 2);
		assert_int_equal(at, (off_t)(whole + torn) * RECORD);
		assert_int_equal(pmio_close(&f), 0);
	}
}

/* what was reserved with one agent is so with the next: nothing is there twice, and nothing is missing */
static void append__agent_dies(void **state)
{
	enum { EACH = 40000, KILLS = 3 };
	unsigned next[WRITERS] = { 0 }, torn = 0;
	struct pmio_file *f;
	pid_t pid[WRITERS];
	off_t at = 0;
	int status;

	(void)state;
	assert_int_equal(pmio_open(pm, path, O_RDWR | O_CREAT, 0644, &f), 0);
	start_writers(pid, EACH);
	for (int i = 0; i < KILLS; i++) {
		do
			assert_int_equal(pmio_size(f, &at), 0);
		while (at < (off_t)WRITERS * EACH * RECORD / (KILLS + 1) * i);
		kill_agent();
	}
	assert_true(at < (off_t)WRITERS * EACH * RECORD); /* they were not yet done */
	for (unsigned w = 0; w < WRITERS; w++) {
		assert_int_equal(waitpid(pid[w], &status, 0), pid[w]);
		assert_int_equal(status, 0);
	}
	at = 0;
	check_records(f, &at, next, &torn);
	assert_int_equal(torn, 0);
	assert_int_equal(at, (off_t)WRITERS * EACH * RECORD);
	assert_int_equal(pmio_close(&f), 0);
}

/* ---- mappings --------------------------------------------------------------------------- */

#define MIB (1 << 20)

/* room for a mapping */
static uint8_t *reserve(size_t len)
{
	void *at = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(at != MAP_FAILED);
	return at;
}

static void map__same_bytes_as_reads_and_writes(void **state)
{
	enum { LEN = 4 * MIB + 3000, OFF = 8 * BLOCK };
	static uint8_t want[LEN], have[LEN];
	uint8_t *p = reserve(LEN), *q = reserve(LEN);
	struct pmio_file *f;
	int fd;

	(void)state;
	fill_pattern(want, LEN, 1);
	put_on_pfs(want, LEN);
	fd = must_open(O_RDWR);
	f = must_open_fd(fd, O_RDWR);
	assert_int_equal(pmio_pwrite(f, "early", 5, 2 * MIB - 2), 5);
	memcpy(want + 2 * MIB - 2, "early", 5);
	assert_int_equal(pmio_map(f, p, LEN - OFF, OFF, 1), 0);
	assert_int_equal(pmio_map(f, q, LEN, 0, 0), 0);
	assert_memory_equal(p, want + OFF, LEN - OFF);
	assert_memory_equal(q, want, LEN);
	for (size_t at = OFF; at < LEN; at += 333 * 1000) {
		p[at - OFF] ^= 0x5a;
		want[at] ^= 0x5a;
	}
	assert_int_equal(pmio_pwrite(f, "late", 4, 3 * MIB + 1), 4);
	memcpy(want + 3 * MIB + 1, "late", 4);
	assert_memory_equal(q, want, LEN);
	assert_int_equal(pmio_pread(f, have, LEN, 0), LEN);
	assert_memory_equal(have, want, LEN);
	assert_int_equal(pmio_map_sync(f, 0, LEN), 0);
	/* a drain does not see what comes after it: the end does */
	assert_int_equal(pmio_drain(f), 0);
	assert_fd_has(fd, want, LEN);
	p[LEN - OFF - 1] = want[LEN - 1] = 'e';
	p[MIB] = want[MIB + OFF] = 'm';
	assert_int_equal(pmio_drain(f), 0);
	assert_fd_has(fd, want, LEN);
	p[7] = want[OFF + 7] = 'x';
	assert_int_equal(mprotect(q, BLOCK, PROT_READ | PROT_WRITE), -1);
	assert_int_equal(munmap(p, LEN - OFF), 0);
	assert_int_equal(pmio_unmap(f, NULL, 0, 1), 0);
	assert_memory_equal(q, want, LEN);
	assert_int_equal(pmio_unmap(f, q, LEN, 0), 0);
	assert_int_equal(pmio_unmap(f, q, LEN, 0), -EINVAL);
	assert_int_equal(pmio_close(&f), 0);
	assert_fd_has(fd, want, LEN);
	close(fd);
}

struct drainer {
	struct pmio_file *file;
	atomic_bool stop;
};

static void *drain_always(void *arg)
{
	struct drainer *d = arg;

	while (!atomic_load(&d->stop))
		pmio_drain(d->file);
	return NULL;
}

/* a drain that has just read a block must not be the last, if the mapping ends before the drain does */
static void map__ends_while_it_is_drained(void **state)
{
	enum { LEN = 2 * MIB };
	static uint8_t have[LEN];
	int fd = must_open(O_RDWR | O_CREAT);
	struct pmio_file *f = must_open_fd(fd, O_RDWR);
	struct drainer d = { .stop = false };
	struct pmio *second;
	uint8_t *p = reserve(LEN);
	pthread_t thread;

	(void)state;
	assert_int_equal(pmio_connect(pool, &second), 0); /* the requests of one connection wait for each other */
	assert_int_equal(pmio_open_fd(second, fd, NULL, O_RDWR, &d.file), 0);
	assert_int_equal(pmio_truncate(f, LEN), 0);
	assert_int_equal(pthread_create(&thread, NULL, drain_always, &d), 0);
	for (unsigned i = 1; i < 300; i++) {
		assert_int_equal(pmio_map(f, p, LEN, 0, 1), 0);
		usleep(i % 7 * 300);
		for (size_t at = 0; at < LEN; at += BLOCK)
			memcpy(p + at, &i, sizeof(i));
		assert_int_equal(pmio_unmap(f, p, LEN, 1), 0);
		assert_int_equal(pmio_drain(f), 0);
		assert_int_equal(pread(fd, have, LEN, 0), LEN);
		for (size_t at = 0; at < LEN; at += BLOCK)
			assert_memory_equal(have + at, &i, sizeof(i));
	}
	atomic_store(&d.stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(pmio_close(&d.file), 0);
	pmio_disconnect(&second);
	assert_int_equal(pmio_close(&f), 0);
	close(fd);
}

static void map__errors(void **state)
{
	uint8_t *p = reserve(32 * MIB);
	struct pmio_file *f, *r;

	(void)state;
	assert_int_equal(pmio_open(pm, path, O_RDWR | O_CREAT, 0644, &f), 0);
	assert_int_equal(pmio_open(pm, path, O_RDONLY, 0644, &r), 0);
	scratch_catch_log();
	assert_int_equal(pmio_map(f, p, BLOCK, 0, 1), -EINVAL); /* it is empty */
	assert_logged_once();
	assert_int_equal(pmio_truncate(f, 3 * BLOCK + 1), 0);
	assert_int_equal(pmio_map(f, p, 4 * BLOCK + 1, 0, 1), -EINVAL);
	assert_int_equal(pmio_map(f, p, BLOCK, 100, 1), -EINVAL);
	assert_int_equal(pmio_map(f, p + 1, BLOCK, 0, 1), -EINVAL);
	assert_int_equal(pmio_map(f, p, 0, 0, 1), -EINVAL);
	assert_int_equal(pmio_map(r, p, BLOCK, 0, 1), -EACCES);
	assert_int_equal(pmio_truncate(f, 5 * MIB), 0);
	assert_int_equal(pmio_map(r, p, BLOCK, 4 * MIB, 0), -ENODATA); /* an answer, which is not logged */
	assert_int_equal(pmio_truncate(f, 3 * BLOCK + 1), 0);
	assert_int_equal(pmio_map(f, p, 4 * BLOCK, 0, 1), 0);
	assert_int_equal(p[3 * BLOCK], 0);
	p[3 * BLOCK] = 'z';
	assert_int_equal(pmio_truncate(f, 20 * MIB), 0);
	assert_int_equal(pmio_map(f, p + MIB, 20 * MIB, 0, 1), -ENOSPC);
	assert_int_equal(scratch_nr_errors, 7);
	pmio_log_set_handler(NULL);
	assert_int_equal(p[3 * BLOCK], 'z');
	assert_int_equal(pmio_unmap(f, p, 4 * BLOCK, 1), 0);
	assert_int_equal(pmio_close(&r), 0);
	assert_int_equal(pmio_close(&f), 0);
}

/* stores by a process that is gone: nobody has told the agent of them */
static void map__program_is_killed(void **state)
{
	static uint8_t want[2 * MIB];
	struct pmio_file *f;
	int fd, ready[2], status;
	pid_t pid;
	char c;

	(void)state;
	fill_pattern(want, sizeof(want), 2);
	put_on_pfs(want, sizeof(want));
	fd = must_open(O_RDWR);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		uint8_t *p = reserve(sizeof(want));

		MUST(pmio_connect(pool, &pm) == 0);
		MUST(pmio_open_fd(pm, fd, NULL, O_RDWR, &f) == 0);
		MUST(pmio_map(f, p, sizeof(want), 0, 1) == 0);
		MUST(pmio_drain(f) == 0);
		memcpy(p + MIB - 10, "killed in the middle", 20);
		MUST(write(ready[1], "x", 1) == 1);
		pause();
	}
	memcpy(want + MIB - 10, "killed in the middle", 20);
	assert_int_equal(read(ready[0], &c, 1), 1);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	f = must_open_fd(fd, O_RDWR);
	assert_int_equal(pmio_close(&f), 0);
	assert_fd_has(fd, want, sizeof(want));
	close(ready[0]);
	close(ready[1]);
	close(fd);
}

/* waits until the file on the file system has these bytes */
static bool comes_to_pfs(int fd, const uint8_t *want, size_t len)
{
	uint8_t *have = malloc(len);
	bool is = false;

	assert_non_null(have);
	for (int i = 0; i < 100 && !is; i++) {
		is = pread(fd, have, len, 0) == (ssize_t)len && memcmp(have, want, len) == 0;
		if (!is)
			usleep(100000);
	}
	free(have);
	return is;
}

/* a child has the mapping when its parent is gone: its frames stay, and what it stores is drained at the end */
static void map__child_has_it_last(void **state)
{
	static uint8_t want[2 * MIB], other[24 * MIB];
	struct pmio_file *f;
	int fd, ready[2], go[2], status;
	pid_t pid;
	char c;

	(void)state;
	fill_pattern(want, sizeof(want), 3);
	put_on_pfs(want, sizeof(want));
	fd = must_open(O_RDWR);
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(go), 0);
	pid = fork();
	if (pid == 0) {
		uint8_t *p = reserve(sizeof(want));

		MUST(pmio_connect(pool, &pm) == 0);
		MUST(pmio_open_fd(pm, fd, NULL, O_RDWR, &f) == 0);
		MUST(pmio_map(f, p, sizeof(want), 0, 1) == 0);
		pid = fork();
		if (pid) {
			MUST(pmio_unmap(f, p, sizeof(want), 1) == 0);
			MUST(pmio_close(&f) == 0);
			_exit(pid < 0);
		}
		close(go[1]);
		MUST(write(ready[1], "x", 1) == 1);
		while (read(go[0], &c, 1) == 1) {
			memcpy(p + MIB - 10, "by the child's child", 20);
			MUST(write(ready[1], memcmp(p, want, 1000) ? "n" : "y", 1) == 1);
		}
		_exit(0);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	/* another file takes all frames that it can get */
	snprintf(path + strlen(path), 8, ".other");
	assert_int_equal(pmio_open(pm, path, O_RDWR | O_CREAT, 0644, &f), 0);
	assert_int_equal(pmio_pwrite(f, other, sizeof(other), 0), sizeof(other));
	assert_int_equal(pmio_pwrite(f, other, sizeof(other), sizeof(other)), sizeof(other));
	assert_int_equal(pmio_close(&f), 0);
	assert_int_equal(write(go[1], "x", 1), 1);
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(c, 'y');
	memcpy(want + MIB - 10, "by the child's child", 20);
	close(go[1]);
	assert_true(comes_to_pfs(fd, want, sizeof(want)));
	close(ready[0]);
	close(ready[1]);
	close(go[0]);
	close(fd);
}

/*
 * The agent is killed, and the program makes no request.  The next agent may neither give its frames to others, nor take
 * what it drained before for all.
 */
static void map__agent_is_killed(void **state)
{
	static uint8_t want[3 * MIB], other[24 * MIB];
	uint8_t *p = reserve(sizeof(want));
	struct pmio *second;
	struct pmio_file *f, *g;
	int fd;

	(void)state;
	fill_pattern(want, sizeof(want), 4);
	put_on_pfs(want, sizeof(want));
	fd = must_open(O_RDWR);
	f = must_open_fd(fd, O_RDWR);
	assert_int_equal(pmio_map(f, p, sizeof(want), 0, 1), 0);
	memcpy(p, "before", 6);
	memcpy(want, "before", 6);
	assert_int_equal(pmio_drain(f), 0);
	memcpy(p + MIB, "between", 7);
	memcpy(want + MIB, "between", 7);
	kill_agent();
	assert_int_equal(pmio_connect(pool, &second), 0);
	memcpy(p + 2 * MIB, "after", 5);
	memcpy(want + 2 * MIB, "after", 5);
	sleep(11); /* from then on frames may move */
	snprintf(path + strlen(path), 8, ".other");
	assert_int_equal(pmio_open(second, path, O_RDWR | O_CREAT, 0644, &g), 0);
	assert_int_equal(pmio_pwrite(g, other, sizeof(other), 0), sizeof(other));
	assert_int_equal(pmio_pwrite(g, other, sizeof(other), sizeof(other)), sizeof(other));
	assert_int_equal(pmio_close(&g), 0);
	assert_memory_equal(p, want, sizeof(want));
	memcpy(p + 2 * MIB + 10, "at last", 7);
	memcpy(want + 2 * MIB + 10, "at last", 7);
	assert_int_equal(pmio_unmap(f, p, sizeof(want), 1), 0);
	assert_int_equal(pmio_close(&f), 0);
	assert_true(comes_to_pfs(fd, want, sizeof(want))); /* within a second of the close */
	pmio_disconnect(&second);
	close(fd);
}

/* ---- fork and numbers ----------------------------------------------------------------- */

struct busy {
	struct pmio_file *file;
	atomic_bool stop;
};

/* what another thread does while the process forks: it holds each of the locks now and then */
static void *be_busy(void *arg)
{
	struct busy *b = arg;
	char buf[3 * BLOCK] = "busy";
	struct pmio_file *f;

	for (unsigned i = 0; !atomic_load(&b->stop); i++) {
		pmio_pwrite(b->file, buf, sizeof(buf), (off_t)(i % 500) * 1000);
		pmio_pread(b->file, buf, sizeof(buf), (off_t)(i % 300) * 1000);
		if (pmio_open(pm, path, O_RDWR, 0, &f) == 0) {
			pmio_append(f, buf, 10, NULL);
			pmio_close(&f);
		}
	}
	return NULL;
}

static void no_log(enum pmio_log_level level, const char *line)
{
	(void)level, (void)line;
}

/* in the child */
static void use_what_is_the_parent_s(struct pmio_file *f)
{
	struct pmio_file *g;
	char c[10] = "child";
	off_t n;

	pmio_log_set_handler(no_log);
	for (int i = 0; i < 2; i++) {
		MUST(pmio_pwrite(f, c, 5, 0) == -EBADF);
		MUST(pmio_pread(f, c, 5, 0) == -EBADF);
		MUST(pmio_append(f, c, 5, &n) == -EBADF);
	}
	MUST(pmio_size(f, &n) == -EBADF);
	MUST(pmio_sync(f) == -EBADF);
	MUST(pmio_drain(f) == -EBADF);
	MUST(pmio_truncate(f, 0) == -EBADF);
	MUST(client_lock(f) == -EBADF);
	MUST(pmio_open(pm, path, O_RDWR, 0, &g) == -EBADF);
	MUST(pmio_delete(pm, path) == -EBADF);
	MUST(pmio_close(&f) == -EBADF);
	pmio_disconnect(&pm); /* other files of it are open */
}

static void fork__child_connects_anew(void **state)
{
	struct pmio_file *f, *other;
	struct busy b = { .stop = false };
	pthread_t thread;
	char buf[4];

	(void)state;
	assert_int_equal(pmio_open(pm, path, O_RDWR | O_CREAT, 0644, &f), 0);
	assert_int_equal(pmio_open(pm, path, O_RDWR, 0644, &other), 0);
	assert_int_equal(client_lock(other), 0);
	b.file = other;
	for (unsigned i = 0; i < 200; i++) {
		int status = -1;
		pid_t pid;

		if (i == 1) /* at first the file is empty */
			assert_int_equal(pthread_create(&thread, NULL, be_busy, &b), 0);
		pid = fork();
		if (pid == 0) {
			struct pmio_file *g;

			alarm(30); /* it hangs */
			use_what_is_the_parent_s(f);
			MUST(pmio_connect(pool, &pm) == 0);
			MUST(pmio_open(pm, path, O_RDWR, 0, &g) == 0);
			MUST(pmio_pwrite(g, &i, 4, 8 << 20) == 4);
			MUST(pmio_close(&g) == 0);
			pmio_disconnect(&pm);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		assert_int_equal(pmio_pread(f, buf, 4, 8 << 20), 4);
		assert_memory_equal(buf, &i, 4);
	}
	atomic_store(&b.stop, true);
	pthread_join(thread, NULL);
	client_unlock(other);
	assert_int_equal(pmio_close(&other), 0);
	assert_int_equal(pmio_close(&f), 0);
}

/* the descriptors that are open now */
static size_t list_fds(bool is_open[1024])
{
	size_t nr = 0;

	for (int fd = 0; fd < 1024; fd++) {
		is_open[fd] = fcntl(fd, F_GETFD) >= 0;
		nr += is_open[fd];
	}
	return nr;
}

static void fds__high_and_closed_by_exec(void **state)
{
	static bool before[1024], now[1024];
	struct pmio_file *f;
	size_t nr;
	int fd;

	(void)state;
	pmio_disconnect(&pm);
	fd = must_open(O_RDWR | O_CREAT);
	nr = list_fds(before);
	assert_int_equal(pmio_connect(pool, &pm), 0);
	f = must_open_fd(fd, O_RDWR | O_CREAT);
	assert_int_equal(client_lock(f), 0);
	assert_int_equal(pmio_pwrite(f, "x", 1, 0), 1);
	kill_agent(); /* another connection */
	assert_int_equal(pmio_truncate(f, 5), 0);
	assert_true(list_fds(now) >= nr + 4);
	for (int i = 0; i < 512; i++)
		assert_int_equal(now[i], before[i]);
	for (int i = 512; i < 1024; i++) {
		if (now[i] && !before[i])
			assert_int_equal(fcntl(i, F_GETFD), FD_CLOEXEC);
	}
	client_unlock(f);
	assert_int_equal(pmio_close(&f), 0);
	pmio_disconnect(&pm);
	assert_int_equal(list_fds(now), nr);
	close(fd);
}

/* as shells and daemons do */
static void fds__program_closes_the_low_ones(void **state)
{
	struct pmio_file *f;
	char buf[4] = "";
	int fd = must_open(O_RDWR | O_CREAT), status;
	pid_t pid;

	(void)state;
	pid = fork();
	if (pid == 0) {
		MUST(pmio_connect(pool, &pm) == 0);
		MUST(pmio_open_fd(pm, fd, path, O_RDWR, &f) == 0);
		for (int i = 3; i < 256; i++)
			close(i);
		MUST(open("/dev/null", O_RDONLY) == 3);
		MUST(pmio_pwrite(f, "low", 3, 2 << 20) == 3);
		MUST(pmio_drain(f) == 0);
		MUST(pmio_close(&f) == 0);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(pread(fd, buf, 4, 2 << 20), 3);
	assert_string_equal(buf, "low");
	close(fd);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define SMALL(name) cmocka_unit_test_setup_teardown(name, set_up_small, tear_down)
	struct CMUnitTest tests[] = {
		T(open_fd__is_the_file_of_the_name),
		T(open_fd__its_flags_do_not_matter),
		SMALL(open_fd__appending_one_in_a_full_pool),
		T(open_fd__rights_are_the_descriptor_s),
		T(open_fd__mode_that_allows_no_other_open),
		T(open_fd__rights_that_the_agent_has_not),
		T(open_fd__no_name_any_more),
		T(open_fd__locks_of_the_program_stay),
		T(open_fd__another_pool_has_it),
		T(open__flags_of_programs),
		T(stat_fd__size_through_pmio),
		T(unlinked__gives_its_frames_back),
		T(unlinked__file_without_a_name),
		T(rename__replaced_file_gives_its_frames_back),
		cmocka_unit_test_setup_teardown(small_files__ten_thousand_in_256_MiB, set_up_many, tear_down_many),
		T(append__nobody_s_bytes_are_another_s),
		T(append__behind_what_is_there),
		T(append__writers_die),
		T(append__agent_dies),
		T(map__same_bytes_as_reads_and_writes),
		T(map__ends_while_it_is_drained),
		SMALL(map__errors),
		T(map__program_is_killed),
		SMALL(map__child_has_it_last),
		SMALL(map__agent_is_killed),
		T(fork__child_connects_anew),
		T(fds__high_and_closed_by_exec),
		T(fds__program_closes_the_low_ones),
	};

	return scratch_run("posix", tests);
}
