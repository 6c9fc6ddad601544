/*
 * orphan.c -- the pool's folder, or the socket in it, is removed while the agent uses it
 *
 * The files in /dev/shm are removed when their user logs out of the machine (RemoveIPC of
 * systemd-logind), or when an administrator cleans up.  The mapping outlives the names, so
 * nothing is lost yet; but no later agent can find the data.  So all pending data are drained
 * now, also those of held files, and programs that have files open continue until they close
 * them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>
#include <uthash.h>

#include "agent/chunks.h"
#include "agent/conn.h"
#include "agent/file.h"
#include "agent/idle.h"
#include "agent/orphan.h"
#include "agent/state.h"
#include "core/clock.h"
#include "core/log.h"
#include "daemon/daemon.h"

#define EVERY_MS 1000
#define AGAIN_MS 10000 /* after a drain that failed */

static bool is_there(const struct agent *a)
{
	struct stat named, open;

	if (fstat(pmio_pool_data_fd(a->pool), &open) < 0)
		return true; /* the error does not tell whether the folder was removed */
	if (open.st_nlink == 0)
		return false;
	return fstatat(pmio_pool_dir_fd(a->pool), PMIO_POOL_DATA, &named, AT_SYMLINK_NOFOLLOW) == 0 ||
	       errno != ENOENT;
}

/* create the folder again, with only a log in it: a new pool can still be made there */
static void log_anew(struct agent *a)
{
	char path[PATH_MAX];
	int fd;

	if (a->config->foreground || a->config->log_file ||
	    snprintf(path, sizeof(path), "%s/agent.log", a->config->pool_dir) >= (int)sizeof(path))
		return;
	if (mkdir(a->config->pool_dir, 0700) < 0 && errno != EEXIST)
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return;
	pmio_daemon_log(fd);
	if (a->log_fd >= 0)
		close(a->log_fd);
	a->log_fd = fd;
}

/*
 * a cleaner of old files may remove only the socket, without which no client can connect to the agent, or start another
 * one
 */
static void look_at_socket(struct agent *a)
{
	struct stat st;
	int rc;

	if (fstatat(pmio_pool_dir_fd(a->pool), PMIO_SOCKET_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT)
		return;
	rc = conn_listen(a);
	if (rc == 0) {
		pmio_warn("agent: pool %s: its socket was removed; created it again", a->config->pool_dir);
		return;
	}
	pmio_err("agent: pool %s: its socket was removed, and cannot be created again: %s", a->config->pool_dir, strerror(-rc));
	a->next_orphan_ms = pmio_now_ms() + AGAIN_MS;
}

static void release(struct agent *a, struct file *f)
{
	if (f->nr_handles || f->nr_jobs || file_is_removed(f) || f->state == PMIO_FILE_CLEAN)
		return;
	file_hold_event(f, FILE_HOLD_ENDS);
	if (f->no_inode)
		file_removal_event(f, FILE_FORGOTTEN); /* no client can ask for it any more */
	file_event(f, FILE_DRAIN_WANTED);
	files_idle(a, f);
}

static void begin(struct agent *a)
{
	uint64_t dirty = 0;
	struct file *f, *tmp;

	for (f = a->files; f; f = f->hh.next)
		dirty += files_dirty_bytes(a, f, NULL);
	log_anew(a);
	pmio_err("agent: pool %s was removed while it was in use: draining %llu bytes to the file system now, "
		 "regardless of the setting `drain`", a->config->pool_dir, (unsigned long long)dirty);
	openlog("pmiod", LOG_PID, LOG_USER);
	syslog(LOG_ERR, "pool %s was removed while it was in use: %llu bytes are drained to the file system now",
	       a->config->pool_dir, (unsigned long long)dirty);
	closelog();
	a->orphaned = true;
	HASH_ITER(hh, a->files, f, tmp)
		release(a, f);
}

void orphan_leave(const struct agent *a)
{
	if (a->orphaned)
		pmio_warn("agent: pool %s, which was removed: all data are on the file system; exiting",
			  a->config->pool_dir);
}

int orphan_wait_ms(const struct agent *a)
{
	return agent_until_ms(a->next_orphan_ms);
}

void orphan_look(struct agent *a)
{
	struct file *f, *tmp;

	if (orphan_wait_ms(a) != 0)
		return;
	a->next_orphan_ms = pmio_now_ms() + EVERY_MS;
	if (!a->orphaned && !is_there(a))
		begin(a);
	if (!a->orphaned) {
		if (a->state == AGENT_RUNNING)
			look_at_socket(a);
		return;
	}
	/* failed drains are tried again: no other agent can */
	a->next_orphan_ms = pmio_now_ms() + AGAIN_MS;
	HASH_ITER(hh, a->files, f, tmp)
		release(a, f);
}
