/*
 * with_agent.h -- for the unit tests of libpmio: a pool with an agent of its own, and a file beside it
 */
#ifndef PMIO_TESTS_UNIT_WITH_AGENT_H
#define PMIO_TESTS_UNIT_WITH_AGENT_H

#include "scratch.h"

#include "client/admin.h"
#include "client/client.h"
#include "pmio.h"

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
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_fd_has(fd, want, len);
	close(fd);
}

static inline void put_on_pfs(const void *buf, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, buf, len), len);
	close(fd);
}

#endif
