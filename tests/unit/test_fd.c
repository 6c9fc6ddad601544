/*
 * test_fd.c -- what programs need that know only descriptors: files opened by one, forks, and numbers that stay free
 */
#include "with_agent.h"

#include <grp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/wait.h>

/* ---- by descriptor ---------------------------------------------------------------- */

static void open_fd__is_the_file_of_the_name(void **state)
{
	int fd = open_plain(O_RDWR | O_CREAT);
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
	fd = open_plain(O_RDONLY);
	assert_fd_has(fd, "helloagain", 10);
	close(fd);
}

/* a drain with the program's own descriptor would append, and be told to align */
static void open_fd__its_flags_do_not_matter(void **state)
{
	static char buf[3 * BLOCK + 7];
	int fd = open_plain(O_RDWR | O_CREAT), ap;
	struct pmio_file *f;

	(void)state;
	memset(buf, 'o', sizeof(buf));
	assert_int_equal(write(fd, buf, sizeof(buf)), sizeof(buf));
	ap = open_plain(O_WRONLY | O_APPEND | O_DIRECT);
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
	int ap = open_plain(O_WRONLY | O_CREAT | O_APPEND), fd = open_plain(O_RDONLY);
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
	int fd = open_plain(O_RDWR | O_CREAT), rd = open_plain(O_RDONLY), wr = open_plain(O_WRONLY), up;
	struct pmio_file *f = NULL;

	(void)state;
	scratch_catch_log();
	assert_int_equal(pmio_open_fd(pm, rd, NULL, O_RDWR, &f), -EBADF);
	assert_logged_once();
	assert_int_equal(pmio_open_fd(pm, rd, NULL, O_WRONLY, &f), -EBADF);
	assert_int_equal(pmio_open_fd(pm, wr, NULL, O_RDONLY, &f), -EBADF);
	assert_int_equal(pmio_open_fd(pm, -1, path, O_RDONLY, &f), -EBADF);
	up = open_plain(O_PATH);
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
	fd = open_plain(O_RDWR | O_CREAT);
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

/* also after another agent has come; its data go with the last handle */
static void open_fd__no_name_any_more(void **state)
{
	uint64_t before = frames_free();
	int fd = open_plain(O_RDWR | O_CREAT);
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
	int fd = open_plain(O_RDWR | O_CREAT), pid, status;
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
	int fd = open_plain(O_RDWR | O_CREAT);
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
	fd = open_plain(O_RDWR | O_CREAT);
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
	int fd = open_plain(O_RDWR | O_CREAT), status;
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
	struct CMUnitTest tests[] = {
		WITH_AGENT(open_fd__is_the_file_of_the_name),
		WITH_AGENT(open_fd__its_flags_do_not_matter),
		IN_SMALL_POOL(open_fd__appending_one_in_a_full_pool),
		WITH_AGENT(open_fd__rights_are_the_descriptor_s),
		WITH_AGENT(open_fd__mode_that_allows_no_other_open),
		WITH_AGENT(open_fd__rights_that_the_agent_has_not),
		WITH_AGENT(open_fd__no_name_any_more),
		WITH_AGENT(open_fd__locks_of_the_program_stay),
		WITH_AGENT(open_fd__another_pool_has_it),
		WITH_AGENT(open__flags_of_programs),
		WITH_AGENT(fork__child_connects_anew),
		WITH_AGENT(fds__high_and_closed_by_exec),
		WITH_AGENT(fds__program_closes_the_low_ones),
	};

	return scratch_run("fd", tests);
}
