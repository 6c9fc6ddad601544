/* own_target.c -- finding, starting and stopping this node's target */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/backoff.h"
#include "core/system.h"
#include "remote/remote_impl.h"

#define START_LIMIT_MS 30000
#define STOP_LIMIT_MS 30000
#define KILL_LIMIT_MS 5000
#define RETRY_MS 20

static bool target_runs(int dir_fd)
{
	int fd = openat(dir_fd, REMOTE_LOCK_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool runs = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;

	if (fd >= 0)
		close(fd);
	return runs;
}

/* one of several processes starts it; this lock is not the one for starting an agent */
static int start_target(struct pmio *pm)
{
	int fd = openat(pm->dir_fd, "target.start", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int rc = 0;

	if (fd < 0)
		return -errno;
	while (flock(fd, LOCK_EX) < 0 && errno == EINTR)
		;
	if (!target_runs(pm->dir_fd))
		rc = client_start(pm, "--target");
	close(fd);
	return rc;
}

/* the session keeps it running */
static int hold_target(struct pmio *pm, const struct remote_endpoint *endpoint)
{
	struct node *n = node_get(&pm->settings, endpoint);
	uint64_t generation;
	int rc = n ? node_enter(n, &generation) : -ENOMEM;

	if (rc == 0)
		node_leave(n, 0);
	return rc;
}

int remote_advertise(struct pmio *pm, struct remote_endpoint *endpoint)
{
	struct pmio_backoff b = PMIO_BACKOFF(RETRY_MS, RETRY_MS, START_LIMIT_MS);
	int rc;

	do {
		if (!target_runs(pm->dir_fd)) {
			rc = start_target(pm);
			if (rc < 0 && rc != -EBUSY)
				return rc;
		}
		rc = remote_endpoint_load(pm->dir_fd, REMOTE_ENDPOINT_FILE, endpoint);
		if (rc == 0)
			rc = hold_target(pm, endpoint);
		if (rc == 0)
			return 0;
		if (rc != -ENOENT && rc != -EIO)
			break;
	} while (pmio_backoff_sleep(&b)); /* the target is about to start, or to end */
	pmio_err("pool %s: its target: %s", pm->dir, pmio_strerror(rc));
	return rc;
}

/* the process that its lock file names; 0: it names none */
static pid_t target_pid(int dir_fd, struct stat *st)
{
	int fd = openat(dir_fd, REMOTE_LOCK_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char text[16];
	ssize_t n = fd < 0 || fstat(fd, st) < 0 ? 0 : pread(fd, text, sizeof(text) - 1, 0);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return (pid_t)atoi(text);
}

/* 0: it has ended; -ESRCH: there is no need to kill it, or its process is not known */
static int kill_target(int dir_fd, bool late)
{
	struct stat st;
	pid_t pid = target_pid(dir_fd, &st);

	if (!late && !pmio_process_stopped(pid))
		return -ESRCH;
	return pmio_process_kill(pid, st.st_dev, st.st_ino, KILL_LIMIT_MS);
}

int remote_stop(const char *dir, bool force)
{
	struct pmio_backoff b = PMIO_BACKOFF(RETRY_MS, RETRY_MS, STOP_LIMIT_MS);
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	bool over = false;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	while (rc == 0 && target_runs(fd)) {
		/* each time: a target that is just starting may still write it */
		if (unlinkat(fd, REMOTE_ENDPOINT_FILE, 0) < 0 && errno != ENOENT)
			rc = -errno;
		else if (force && kill_target(fd, over) == 0)
			break;
		else if (over)
			rc = -ETIMEDOUT;
		else
			over = !pmio_backoff_sleep(&b);
	}
	close(fd);
	return rc;
}
