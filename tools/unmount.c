/*
 * unmount.c -- pmio unmount: drain the open files, and remove the mount
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "core/log.h"
#include "core/path.h"
#include "mount.h"
#include "pfs/pfs.h"

#define END_LIMIT_MS 60000 /* for the process, which has nothing left to do but to go */

extern char **environ;

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	const char **mountpoint = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		if (*mountpoint)
			argp_error(state, "one MOUNTPOINT only");
		*mountpoint = arg;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int detach_as_user(const char *path)
{
	char *argv[] = { (char *)"fusermount3", (char *)"-u", (char *)"-z", (char *)path, NULL };
	int status, err;
	pid_t pid;

	err = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
	if (err)
		return -err;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPERM;
}

/* for a mount whose process has ended */
static int detach(const struct tool *tool, const char *path)
{
	int rc = umount2(path, MNT_DETACH) == 0 ? 0 : -errno;

	if (rc == -EPERM)
		rc = detach_as_user(path);
	if (rc < 0)
		return tool_failed(rc, "unmount %s", path);
	if (!tool->quiet)
		pmio_warn("unmount %s: its process had ended; the agent closes the files that were open (see `pmio ls`)", path);
	return TOOL_DONE;
}

static bool is_mount_root(const char *path)
{
	struct statx stx;

	return statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, 0, &stx) == 0 && (stx.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

/* a pidfd of the process; negative: it is not visible from here, or has ended */
static int find_process(const char *path)
{
	char text[32];
	ssize_t n = getxattr(path, PMIO_PFS_MOUNT_NAME, text, sizeof(text) - 1);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	n = pidfd_open(atoi(text), 0);
	return n < 0 ? -ESRCH : (int)n;
}

static int await_end(int pidfd, const char *path)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	if (poll(&p, 1, END_LIMIT_MS) == 1)
		return TOOL_DONE;
	pmio_err("unmount %s: the mount's process does not exit", path);
	return TOOL_FAILED;
}

static int end_it(const char *path, int pidfd)
{
	char text[64];
	ssize_t n = getxattr(path, MOUNT_END_NAME, text, sizeof(text) - 1);
	unsigned nr_open = 0, nr_failed = 0;
	int status;

	if (n < 0)
		return tool_failed(-errno, "unmount %s", path);
	text[n] = '\0';
	if (sscanf(text, "%u %u", &nr_open, &nr_failed) != 2)
		return tool_failed(PMIO_EPROTO, "unmount %s", path);
	status = pidfd >= 0 ? await_end(pidfd, path) : TOOL_DONE;
	if (nr_failed == 0)
		return status;
	pmio_err("unmount %s: %u of %u open files could not be drained: their data are in the pool (see %s there)", path,
		 nr_failed, nr_open, MOUNT_LOG);
	return tool_exit_of(nr_open - nr_failed, nr_failed);
}

int tool_unmount(struct tool *tool, int argc, char **argv)
{
	static const struct argp argp = {
		.parser = parse_option,
		.args_doc = "MOUNTPOINT",
		.doc = "close and drain what is open in a mount of `pmio mount`, and remove the mount",
	};
	const char *mountpoint = NULL;
	char path[PATH_MAX];
	int rc, status;

	tool_parse(tool, &argp, &mountpoint, argc, argv);
	rc = pmio_absolute(mountpoint, path, sizeof(path));
	if (rc < 0)
		return tool_failed(rc, "unmount %s", mountpoint);
	rc = find_process(path);
	if (rc == -ENOTCONN || rc == -ECONNABORTED)
		return detach(tool, path);
	if (rc == -ENODATA || rc == -EOPNOTSUPP || (rc == -ESRCH || rc >= 0 ? !is_mount_root(path) : false)) {
		pmio_err("unmount %s: it is not a pmio mount", path);
		status = TOOL_FAILED;
	} else if (rc < 0 && rc != -ESRCH) {
		status = tool_failed(rc, "unmount %s", path);
	} else {
		status = end_it(path, rc);
	}
	if (rc >= 0)
		close(rc);
	return status;
}
