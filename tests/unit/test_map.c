/*
 * test_map.c -- mappings of files, and what of them is kept whoever dies
 */
#include "with_agent.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

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
	fd = open_plain(O_RDWR);
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
	int fd = open_plain(O_RDWR | O_CREAT);
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
	fd = open_plain(O_RDWR);
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
	fd = open_plain(O_RDWR);
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
	fd = open_plain(O_RDWR);
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

int main(void)
{
	struct CMUnitTest tests[] = {
		WITH_AGENT(map__same_bytes_as_reads_and_writes),
		WITH_AGENT(map__ends_while_it_is_drained),
		IN_SMALL_POOL(map__errors),
		WITH_AGENT(map__program_is_killed),
		IN_SMALL_POOL(map__child_has_it_last),
		IN_SMALL_POOL(map__agent_is_killed),
	};

	return scratch_run("map", tests);
}
