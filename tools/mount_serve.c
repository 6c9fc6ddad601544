/*
 * mount_serve.c -- the process that serves a mount: its start and its end
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "core/log.h"
#include "mount_impl.h"

#define THREADS_MAX 100 /* each close that waits for a drain occupies one */
#define THREADS_IDLE 10
#define WRITE_MAX (1u << 20) /* bytes: maximum of one request of the kernel */

bool mount_is_built(void)
{
	return true;
}

static void op_init(void *arg, struct fuse_conn_info *conn)
{
	/* the pool is memory: data that arrive through a pipe would be copied once more */
	conn->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
	conn->want |= conn->capable & (FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS |
				       FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ASYNC_DIO | FUSE_CAP_DONT_MASK);
	if (conn->max_write > WRITE_MAX)
		conn->max_write = WRITE_MAX;
	mount_mappings_agreed(arg, conn);
	conn->max_background = conn->congestion_threshold = THREADS_MAX;
}

static const struct fuse_lowlevel_ops operations = {
	.init = op_init,
	.lookup = mount_op_lookup,
	.forget = mount_op_forget,
	.forget_multi = mount_op_forget_multi,
	.getattr = mount_op_getattr,
	.setattr = mount_op_setattr,
	.access = mount_op_access,
	.statfs = mount_op_statfs,
	.readlink = mount_op_readlink,
	.mknod = mount_op_mknod,
	.mkdir = mount_op_mkdir,
	.symlink = mount_op_symlink,
	.link = mount_op_link,
	.unlink = mount_op_unlink,
	.rmdir = mount_op_rmdir,
	.rename = mount_op_rename,
	.create = mount_op_create,
	.open = mount_op_open,
	.read = mount_op_read,
	.write = mount_op_write,
	.flush = mount_op_flush,
	.release = mount_op_release,
	.fsync = mount_op_fsync,
	.fallocate = mount_op_fallocate,
	.lseek = mount_op_lseek,
	.opendir = mount_op_opendir,
	.readdir = mount_op_readdir,
	.releasedir = mount_op_releasedir,
	.fsyncdir = mount_op_fsyncdir,
	.setxattr = mount_op_setxattr,
	.getxattr = mount_op_getxattr,
	.listxattr = mount_op_listxattr,
	.removexattr = mount_op_removexattr,
	.getlk = mount_op_getlk,
	.setlk = mount_op_setlk,
	.flock = mount_op_flock,
};

/* ---- libfuse's session ------------------------------------------------------------------------- */

static void log_fuse(enum fuse_log_level level, const char *fmt, va_list args)
{
	char line[512];
	size_t n;

	vsnprintf(line, sizeof(line), fmt, args);
	n = strcspn(line, "\n");
	line[n] = '\0';
	pmio_log(level <= FUSE_LOG_ERR ? PMIO_LOG_ERROR : PMIO_LOG_INFO, "mount: %s", line);
}

static bool has_option(const char *options, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = options ? options : ""; *p; p += strcspn(p, ","), p += *p == ',') {
		if (strncmp(p, name, n) == 0 && strchr(",", p[n]))
			return true;
	}
	return false;
}

/* for other users the kernel has to check permissions, as this process may have more rights than they */
static struct fuse_session *new_session(const struct mount_request *r, struct mount *m)
{
	const char *allow = has_option(r->options, "allow_other") ? ",default_permissions" : "";
	struct fuse_session *session = NULL;
	char *options;

	fuse_set_log_func(log_fuse);
	if (asprintf(&options, "fsname=pmio,subtype=pmio%s%s%s", allow, r->options ? "," : "",
		     r->options ? r->options : "") >= 0) {
		char *argv[] = { (char *)"pmio", (char *)"-o", options, NULL };
		struct fuse_args args = FUSE_ARGS_INIT(3, argv);

		session = fuse_session_new(&args, &operations, sizeof(operations), m);
		fuse_opt_free_args(&args);
		free(options);
	}
	return session;
}

bool mount_options_valid(const struct mount_request *r)
{
	struct fuse_session *session = new_session(r, NULL);

	if (session)
		fuse_session_destroy(session);
	return session;
}

/* ---- start ------------------------------------------------------------------------------------------ */

static int identify(const char *path, struct mount_key *key)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	*key = (struct mount_key){ st.st_dev, st.st_ino };
	return 0;
}

/* before it is mounted: find the places where no lookup may lead */
static int find_places(struct mount *m)
{
	char path[PATH_MAX];
	const char *name;
	int rc = identify(m->request->pool, &m->pool);

	if (rc < 0)
		return rc;
	name = strrchr(m->request->mountpoint, '/') + 1;
	snprintf(m->name, sizeof(m->name), "%.*s", NAME_MAX, name);
	snprintf(path, sizeof(path), "%s", m->request->mountpoint);
	return identify(dirname(path), &m->parent);
}

/* by a query that the kernel answers itself: the file system does not answer yet */
static int find_own_device(struct mount *m)
{
	struct statx stx;

	if (statx(AT_FDCWD, m->request->mountpoint, AT_STATX_DONT_SYNC, 0, &stx) < 0)
		return -errno;
	m->own_dev = makedev(stx.stx_dev_major, stx.stx_dev_minor);
	return 0;
}

/* each node has a descriptor */
static void raise_nofile(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* with signals blocked: they are for the thread that waits for the session's end */
static int start_threads(struct mount *m)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	rc = mount_locks_init(m);
	if (rc == 0)
		rc = mount_cached_init(m);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

static int set_up(struct mount *m, const struct tool *tool)
{
	int rc;

	pthread_mutex_init(&m->lock, NULL);
	pthread_mutex_init(&m->removal, NULL);
	raise_nofile();
	rc = -pthread_key_create(&m->buffer, free);
	if (rc == 0)
		rc = mount_root_open(m);
	if (rc == 0)
		rc = find_places(m);
	if (rc < 0) {
		pmio_err("mount %s: %s", m->request->mountpoint, pmio_strerror(rc));
		return rc;
	}
	return mount_connect(m, tool);
}

static int mount_it(struct mount *m)
{
	int rc = 0;

	m->session = new_session(m->request, m);
	if (!m->session)
		return -EINVAL;
	rc = start_threads(m);
	if (rc == 0 && fuse_session_mount(m->session, m->request->mountpoint) < 0)
		rc = -EPERM; /* libfuse has logged why */
	if (rc == 0)
		rc = mount_mappings_init(m);
	if (rc == 0)
		rc = find_own_device(m);
	if (rc < 0) {
		pmio_err("mount %s: %s", m->request->mountpoint, rc == -EPERM ? "it cannot be mounted there" : strerror(-rc));
		fuse_session_unmount(m->session);
	}
	return rc;
}

/* ---- end ------------------------------------------------------------------------------------------------ */

static void answer_ender(struct mount *m, unsigned nr, unsigned nr_failed)
{
	char text[64];
	fuse_req_t req;

	pthread_mutex_lock(&m->lock);
	req = m->ender;
	m->ender = NULL;
	pthread_mutex_unlock(&m->lock);
	if (!req)
		return;
	snprintf(text, sizeof(text), "%u %u", nr, nr_failed);
	fuse_reply_buf(req, text, strlen(text));
}

/* the session is not freed: threads that notify it may run until the process ends */
static int end(struct mount *m)
{
	unsigned nr, nr_failed;

	mount_locks_end(m);
	mount_close_all(m, &nr, &nr_failed);
	mount_disconnect(m);
	if (nr_failed)
		pmio_err("mount %s: %u of %u open files could not be drained: their data are in the pool",
			 m->request->mountpoint, nr_failed, nr);
	answer_ender(m, nr, nr_failed);
	fuse_session_unmount(m->session);
	pmio_info("mount %s: ended", m->request->mountpoint);
	return tool_exit_of(nr - nr_failed, nr_failed);
}

static int loop(struct mount *m)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int rc = -ENOMEM;

	if (config) {
		fuse_loop_cfg_set_max_threads(config, THREADS_MAX);
		fuse_loop_cfg_set_idle_threads(config, THREADS_IDLE);
		rc = fuse_session_loop_mt(m->session, config);
		fuse_loop_cfg_destroy(config);
	}
	return rc;
}

static int open_log(const struct mount *m)
{
	int dir = open(m->request->pool, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;

	if (dir >= 0) {
		fd = pmio_daemon_open_log("mount", NULL, dir, MOUNT_LOG, m->request->foreground);
		close(dir);
	}
	return fd;
}

int mount_serve(const struct tool *tool, const struct mount_request *r, struct pmio_daemon *d)
{
	struct mount *m = calloc(1, sizeof(*m));
	int rc = m ? 0 : -ENOMEM;

	if (rc == 0) {
		m->settings = &tool->settings;
		m->request = r;
		rc = set_up(m, tool);
	}
	if (rc == 0)
		rc = mount_it(m);
	if (rc < 0) {
		pmio_daemon_ready(d, rc);
		return TOOL_FAILED;
	}
	umask(0); /* mount_mode() applies the program's umask */
	pmio_info("mount %s: %s, with data in pool %s", r->mountpoint, r->source, r->pool);
	pmio_daemon_is_up(r->foreground, open_log(m));
	pmio_daemon_ready(d, 0);
	rc = loop(m);
	if (rc < 0)
		pmio_err("mount %s: %s", r->mountpoint, strerror(-rc));
	mount_loop_ended(m);
	rc = end(m);
	return rc;
}
