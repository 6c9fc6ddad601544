/*
 * mount.c -- pmio mount: a file system whose files have their data in the pool
 *
 * The arguments are checked here, in the process that was called; another process serves the file system.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "core/path.h"
#include "mount.h"
#include "pfs/pfs.h"

struct mount_args {
	const char *source, *mountpoint, *options;
	bool foreground, shared_mappings;
};

static const struct argp_option options[] = {
	{ "source", 's', "DIR", 0, "The directory whose files are seen below MOUNTPOINT (default: /)", 0 },
	{ "foreground", 'f', NULL, 0, "Run in the foreground", 0 },
	{ "shared-mappings", 'm', NULL, 0, "Permit shared mappings that can be written to: their stores reach others later", 0 },
	{ "options", 'o', "OPTIONS", 0, "Options of FUSE, separated by commas: ro, allow_other, ...", 0 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct mount_args *args = state->input;

	switch (key) {
	case 's':
		args->source = arg;
		return 0;
	case 'f':
		args->foreground = true;
		return 0;
	case 'm':
		args->shared_mappings = true;
		return 0;
	case 'o':
		args->options = arg;
		return 0;
	case ARGP_KEY_ARG:
		if (args->mountpoint)
			argp_error(state, "one MOUNTPOINT only");
		args->mountpoint = arg;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "where?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* ---- what is refused --------------------------------------------------------------- */

static int refuse(const char *path, const char *why)
{
	pmio_err("mount %s: %s", path, why);
	return TOOL_FAILED;
}

/* is path equal to dir, or below it? */
static bool is_within(const char *path, const char *dir)
{
	size_t n = strcmp(dir, "/") == 0 ? 0 : strlen(dir);

	return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

static int find_dir(const char *arg, char out[PATH_MAX])
{
	struct stat st;

	if (!realpath(arg, out) || stat(out, &st) < 0)
		return refuse(arg, errno == ENOTCONN ? "a stale mount is there; remove it with `pmio unmount`"
						     : strerror(errno));
	return S_ISDIR(st.st_mode) ? TOOL_DONE : refuse(arg, strerror(ENOTDIR));
}

static int check_not_ours(const char *path)
{
	return pmio_pfs_in_mount(path) ? refuse(path, "it is in a mount of pmio already") : TOOL_DONE;
}

static int check_mountpoint(const char *path)
{
	if (check_not_ours(path) != TOOL_DONE)
		return TOOL_FAILED;
	return access(path, W_OK) < 0 ? refuse(path, strerror(errno)) : TOOL_DONE;
}

/*
 * The agent and programs open the pool and the files of the source by their names: these must not lead through the
 * mount, which needs the agent.
 */
static int check_places(const struct mount_request *r)
{
	if (is_within(r->mountpoint, r->pool) || is_within(r->pool, r->mountpoint))
		return refuse(r->mountpoint, "the mount would hide the pool");
	if (is_within(r->source, r->mountpoint))
		return refuse(r->mountpoint, "the mount would hide the files of its source");
	if (is_within(r->source, r->pool))
		return refuse(r->source, "this is the pool");
	return TOOL_DONE;
}

/* the program that mounts for users other than root */
static bool has_fusermount(void)
{
	static const char name[] = "fusermount3";
	const char *dirs = getenv("PATH");
	char path[PATH_MAX];

	if (!dirs)
		dirs = "/usr/local/bin:/usr/bin:/bin";
	for (const char *p = dirs; *p; p += strcspn(p, ":"), p += *p == ':') {
		snprintf(path, sizeof(path), "%.*s/%s", (int)strcspn(p, ":"), p, name);
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

static int check_system(const char *mountpoint)
{
	if (access("/dev/fuse", geteuid() ? F_OK : R_OK | W_OK) < 0)
		return refuse(mountpoint, "/dev/fuse is not available");
	if (geteuid() && !has_fusermount())
		return refuse(mountpoint, "fusermount3 (package fuse3) is needed to mount as a user");
	return TOOL_DONE;
}

/* the default pool may not exist yet */
static int find_pool(const struct tool *tool, char pool[PATH_MAX])
{
	struct pmio *pm;
	char dir[PATH_MAX];

	if (tool_start(tool, &pm) != TOOL_DONE)
		return TOOL_FAILED;
	snprintf(dir, sizeof(dir), "%s", pmio_pool_path(pm));
	pmio_disconnect(&pm);
	return realpath(dir, pool) ? TOOL_DONE : refuse(dir, strerror(errno));
}

/* ---- the command ------------------------------------------------------------------------- */

struct served {
	const struct tool *tool;
	const struct mount_request *request;
};

static int serve(struct pmio_daemon *d, void *arg)
{
	const struct served *s = arg;

	return mount_serve(s->tool, s->request, d);
}

static int run(const struct tool *tool, const struct mount_request *r)
{
	struct pmio_daemon d = { .foreground = r->foreground, .ready_fd = -1 };
	struct served s = { tool, r };
	pid_t caller = getpid();
	int status = pmio_daemon_run(&d, serve, &s);

	if (r->foreground || getpid() != caller)
		return status;
	return status == 0 ? TOOL_DONE : TOOL_FAILED; /* already logged */
}

int tool_mount(struct tool *tool, int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.args_doc = "MOUNTPOINT",
		.doc = "show the files of a directory below MOUNTPOINT, with their data in the pool: for programs that "
		       "cannot be redirected",
	};
	struct mount_args args = { .source = "/" };
	static struct mount_request r;

	tool_parse(tool, &argp, &args, argc, argv);
	r.options = args.options;
	r.foreground = args.foreground;
	r.shared_mappings = args.shared_mappings;
	if (tool->bad_settings || !mount_is_built() || find_dir(args.mountpoint, r.mountpoint) != TOOL_DONE ||
	    find_dir(args.source, r.source) != TOOL_DONE || check_not_ours(r.source) != TOOL_DONE || check_mountpoint(r.mountpoint) != TOOL_DONE ||
	    check_system(r.mountpoint) != TOOL_DONE)
		return TOOL_FAILED;
	if (!mount_options_valid(&r))
		return TOOL_USAGE;
	if (find_pool(tool, r.pool) != TOOL_DONE || check_places(&r) != TOOL_DONE)
		return TOOL_FAILED;
	return run(tool, &r);
}
