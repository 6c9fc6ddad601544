/*
 * with_agent.h -- for the unit tests of libpmio: a pool with an agent of its own, and a file beside it
 */
#ifndef PMIO_TESTS_UNIT_WITH_AGENT_H
#define PMIO_TESTS_UNIT_WITH_AGENT_H

#include "scratch.h"

#include <signal.h>

#include "client/admin.h"
#include "client/client.h"
#include "pmio.h"

#define CHUNK (1 << 20)
#define BLOCK 4096

static struct scratch root;
static char pool[PATH_MAX], agent[PATH_MAX], path[PATH_MAX];
static struct pmio *pm;

/* all but the connection */
static inline int prepare(const char *pool_size)
{
	if (!scratch_init(&root, "/dev/shm"))
		return -1;
	snprintf(pool, sizeof(pool), "%s/pool", root.path);
	snprintf(path, sizeof(path), "%s/file", root.path);
	snprintf(agent, sizeof(agent), "%s/pmiod", getenv("top_builddir") ? getenv("top_builddir") : ".");
	setenv("PMIO_AGENT", agent, 1);
	setenv("PMIO_CONF", "/dev/null", 1);
	setenv("PMIO_POOL_SIZE", pool_size, 1);
	setenv("PMIO_IDLE_TIMEOUT", "20", 1);
	return mkdir(pool, 0700);
}

static inline int start_with(const char *pool_size)
{
	return prepare(pool_size) < 0 ? -1 : pmio_connect(pool, &pm);
}

static inline int set_up(void **state)
{
	(void)state;
	return start_with("32MiB");
}

static inline int set_up_small(void **state)
{
	(void)state;
	return start_with("8MiB");
}

static inline int tear_down(void **state)
{
	struct pmio *admin;

	(void)state;
	pmio_disconnect(&pm);
	unsetenv("PMIO_DRAIN");
	unsetenv("PMIO_FALLBACK");
	unsetenv("PMIO_TIMEOUT");
	if (pmio_attach(pool, &admin) == 0) {
		pmio_shutdown(admin, true);
		pmio_disconnect(&admin);
	}
	scratch_fini(&root);
	return 0;
}

#define WITH_AGENT(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define IN_SMALL_POOL(name) cmocka_unit_test_setup_teardown(name, set_up_small, tear_down)

/* in a child */
#define MUST(what)                           \
	do {                                 \
		if (!(what))                 \
			_exit(__LINE__ % 255 + 1); \
	} while (0)

/* ---- the agent ------------------------------------------------------------------------ */

/* its process number; one that is not there is started */
static inline pid_t agent_process(void)
{
	struct pmio_pool_stat st;

	assert_int_equal(pmio_stat_pool(pm, &st), 0);
	return (pid_t)st.agent_pid;
}

/* by a connection of its own, which starts no other one; its process number, 0: there is none */
static inline pid_t kill_agent_if_any(void)
{
	struct pmio_pool_stat st;
	struct pmio *admin;
	pid_t pid = 0;

	if (pmio_attach(pool, &admin) < 0)
		return 0;
	if (pmio_stat_pool(admin, &st) == 0 && kill((pid_t)st.agent_pid, SIGKILL) == 0)
		pid = (pid_t)st.agent_pid;
	pmio_disconnect(&admin);
	return pid;
}

/* the process has ended, with all of its threads; nobody may have waited for it yet */
static inline bool is_gone(pid_t pid)
{
	char name[32], line[128], state = 0;
	unsigned threads = 0;
	FILE *f;

	snprintf(name, sizeof(name), "/proc/%d/status", (int)pid);
	f = fopen(name, "r");
	if (!f)
		return true;
	while (fgets(line, sizeof(line), f)) {
		sscanf(line, "State: %c", &state);
		sscanf(line, "Threads: %u", &threads);
	}
	fclose(f);
	return state == 'Z' && threads <= 1;
}

/* the one before may just have been killed, and the next one not be there yet */
static inline void kill_agent(void)
{
	pid_t pid = 0;

	for (int i = 0; i < 60000 && (pid = kill_agent_if_any()) == 0; i++)
		usleep(1000);
	assert_true(pid > 0);
	for (int i = 0; i < 30000 && !is_gone(pid); i++)
		usleep(2000);
	assert_true(is_gone(pid));
}

static inline uint64_t frames_free(void)
{
	struct pmio_pool_stat st;

	assert_int_equal(pmio_stat_pool(pm, &st), 0);
	return st.nr_frames_free;
}

/* as soon as no worker has the file any more, as to mark it */
static inline void assert_frames_free(uint64_t want)
{
	for (int i = 0; i < 300 && frames_free() != want; i++)
		usleep(100000);
	assert_int_equal(frames_free(), want);
}

/* ---- the file -------------------------------------------------------------------------- */

static inline struct pmio_file *must_open_name(const char *name, int flags)
{
	struct pmio_file *f;

	assert_int_equal(pmio_open(pm, name, flags, 0666, &f), 0);
	return f;
}

static inline struct pmio_file *must_open(int flags)
{
	return must_open_name(path, flags);
}

static inline struct pmio_file *must_open_fd(int fd, int flags)
{
	struct pmio_file *f;

	assert_int_equal(pmio_open_fd(pm, fd, NULL, flags, &f), 0);
	return f;
}

/* on the file system, as a program without pmio does */
static inline int open_plain(int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	return fd;
}

static inline void fill_pattern(uint8_t *buf, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)((i * 2654435761u + seed * 40503u) >> 13);
}

/* the file of a descriptor, whole */
static inline void assert_fd_has(int fd, const void *want, size_t len)
{
	uint8_t *have = malloc(len + 1);

	assert_non_null(have);
	assert_int_equal(pread(fd, have, len + 1, 0), len);
	assert_memory_equal(have, want, len);
	free(have);
}

/* the file on the file system, whole */
static inline void assert_on_pfs(const void *want, size_t len)
{
	int fd = open_plain(O_RDONLY);

	assert_fd_has(fd, want, len);
	close(fd);
}

static inline void put_on_pfs(const void *buf, size_t len)
{
	int fd = open_plain(O_WRONLY | O_CREAT | O_TRUNC);

	assert_int_equal(write(fd, buf, len), len);
	close(fd);
}

#endif
