/* connect.c -- connecting to the agent, starting it, and continuing when it has been replaced */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "client/admin.h"
#include "client/client.h"
#include "core/backoff.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/fds.h"
#include "core/system.h"
#include "pfs/pfs.h"

#define START_LIMIT_MS 30000 /* a large pool is scanned before its agent answers */
#define RETRY_MS 10
#define LOCK_POLL_MS 50
#define LOCK_LIMIT_MS 5000
#define NOFILE_ENOUGH 4096
#define AGENTS_MAX CLIENT_AGENTS_MAX
#define LOST CLIENT_LOST
#define SILENT_MAX 3 /* an agent that is not stopped may be silent for this many times `timeout` */

/* ---- the connection ------------------------------------------------------------- */

static int open_pool_dir(struct pmio *pm)
{
	struct stat st;

	pm->dir_fd = open(pm->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (pm->dir_fd < 0) {
		int rc = -errno;

		/* a symbolic link could be redirected to another user's directory */
		return lstat(pm->dir, &st) == 0 && S_ISLNK(st.st_mode) ? -EPERM : rc;
	}
	pm->dir_fd = pmio_fd_move_high(pm->dir_fd);
	if (fstat(pm->dir_fd, &st) < 0)
		return -errno;
	if (st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return -EPERM;
	return 0;
}

static int64_t now_ms(void)
{
	return (int64_t)pmio_now_ms();
}

/* one try without waiting: -EAGAIN if the queue of an agent that does not accept connections is full */
static int connect_once(struct pmio *pm, int *out)
{
	struct sockaddr_un addr;
	int rc = 0, sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (sock < 0)
		return -errno;
	pmio_proto_address(pm->dir_fd, &addr);
	if (connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		rc = -errno;
		close(sock);
		return rc;
	}
	*out = sock;
	return 0;
}

/* the same, and wait for up to limit_ms for room in the queue */
static int connect_within(struct pmio *pm, int limit_ms, int *out)
{
	struct pmio_backoff b = PMIO_BACKOFF(RETRY_MS, RETRY_MS, limit_ms);
	int rc;

	do
		rc = connect_once(pm, out);
	while (rc == -EAGAIN && pmio_backoff_sleep(&b));
	return rc;
}

/* check that the agent belongs to the right user, and get its process */
static int check_peer(int sock, pid_t *pid)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	*pid = cred.pid;
	return cred.uid == geteuid() ? 0 : -EPERM;
}

/* 0: connected; -ECONNREFUSED or -ENOENT: no agent; else another error */
static int try_connect(struct pmio *pm)
{
	int sock, rc = connect_within(pm, client_timeout_ms(pm), &sock);

	if (rc == -EAGAIN) {
		pmio_err("pool %s: its agent accepts no connections; `pmio agent stop --force` ends it, and the "
			 "data stay in the pool", pm->dir);
		return PMIO_ESTUCK;
	}
	if (rc < 0)
		return rc;
	rc = check_peer(sock, &pm->agent_pid);
	if (rc == 0 && fcntl(sock, F_SETFL, 0) < 0)
		rc = -errno;
	if (rc < 0) {
		close(sock);
		return rc;
	}
	pm->sock = pmio_fd_move_high(sock);
	pm->owed = false;
	return 0;
}

void client_drop_connection(struct pmio *pm)
{
	if (pm->sock >= 0) {
		/* a forked child may have a copy; and if this is the child, the parent continues to use it */
		if (!client_is_forked(pm))
			shutdown(pm->sock, SHUT_RDWR);
		close(pm->sock);
	}
	pm->sock = -1;
}

static int transport_error(ssize_t rc)
{
	return rc == 0 || rc == -EPIPE || rc == -ECONNRESET || rc == -ENOTCONN ? LOST : (int)rc;
}

/* ---- waiting for an answer ------------------------------------------------------ */

static bool readable(int sock, int ms)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };
	int64_t until = now_ms() + ms;
	int n;

	do
		n = poll(&p, 1, ms);
	while (n < 0 && errno == EINTR && (ms = (int)(until - now_ms())) > 0);
	return n > 0;
}

/*
 * A close waits for its drain, however long that takes, and an open for the file system.  But
 * an agent that is alive answers a HELLO on a new connection at once.  One that is exiting
 * accepts no connection, but it ends this connection, too.
 */
static bool agent_is_there(struct pmio *pm, int ms)
{
	int64_t until = now_ms() + ms;
	union pmio_any_msg msg, reply;
	bool there = false;
	int sock, rc = connect_within(pm, ms, &sock);

	if (rc < 0) /* true also if this process lacks the resources to ask */
		return rc != -EAGAIN && !pmio_process_stopped(pm->agent_pid);
	pmio_proto_request(&msg, PMIO_OP_HELLO, 1);
	msg.hello.pid = (uint32_t)getpid();
	msg.hello.admin = true;
	rc = pmio_proto_send(sock, &msg, -1);
	ms = (int)(until - now_ms());
	if (rc < 0 || readable(sock, ms > 0 ? ms : 0))
		there = rc < 0 || pmio_proto_recv(sock, &reply, NULL) != -EAGAIN;
	close(sock);
	return there;
}

static int say_stuck(const struct pmio *pm, enum pmio_op op, const char *why)
{
	pmio_err("pool %s: no answer to %s from the agent (process %d), which %s%s; `pmio agent stop --force` ends it, and "
		 "the data stay in the pool", pm->dir, pmio_op_name(op), (int)pm->agent_pid,
		 why ? "is " : "does not respond", why ? why : "");
	return PMIO_ESTUCK;
}

static int sleep_until_answer(struct pmio *pm, enum pmio_op op)
{
	int limit = client_timeout_ms(pm), silent = 0, wait = limit / 2;

	while (!readable(pm->sock, wait)) {
		const char *stopped;

		if (agent_is_there(pm, limit / 2)) {
			wait = limit;
			silent = 0;
			continue;
		}
		wait = limit / 2;
		stopped = pmio_process_stopped(pm->agent_pid);
		if (stopped && !readable(pm->sock, 0))
			return say_stuck(pm, op, stopped);
		/* on a loaded machine an agent is slow, but answers in the end */
		if (++silent > SILENT_MAX)
			return say_stuck(pm, op, NULL);
	}
	return 0;
}

/* 0: there is something to read; PMIO_ESTUCK: no answer will come */
static int await_answer(struct pmio *pm, enum pmio_op op)
{
	uint64_t start = pmio_now_ns();
	int rc = pmio_proto_soon(pm->sock, &pm->spin) ? 0 : sleep_until_answer(pm, op);

	pmio_spin_learn(&pm->spin, pmio_now_ns() - start);
	return rc;
}

/* receive the answer to the last request; no other can be under way */
static int take_answer(struct pmio *pm, enum pmio_op op, union pmio_any_msg *reply, int *fd)
{
	ssize_t n;
	int rc = await_answer(pm, op);

	pm->owed = rc < 0;
	pm->owed_op = op;
	if (rc < 0)
		return rc;
	n = pmio_proto_recv(pm->sock, reply, fd);
	if (n <= 0)
		return transport_error(n);
	rc = pmio_proto_check_reply(reply, (size_t)n, op, pm->number);
	if (rc < 0)
		pmio_err("answer of the agent to %s: %s", pmio_op_name(op), pmio_strerror(rc));
	return rc;
}

/* send_fd is sent with it, -1: none */
static int ask(struct pmio *pm, union pmio_any_msg *msg, int send_fd, union pmio_any_msg *reply, int *fd)
{
	enum pmio_op op = (enum pmio_op)msg->hdr.op;
	int rc;

	msg->hdr.number = ++pm->number;
	rc = pmio_proto_send(pm->sock, msg, send_fd);
	return rc < 0 ? transport_error(rc) : take_answer(pm, op, reply, fd);
}

/*
 * An agent that resumes still answers the request for which the client no longer waits.  The
 * connection is kept for that: without it, the agent would close this client's files, and give
 * their frames to other clients while this one writes into them.  A file that was opened by this
 * late answer is closed again.
 */
static int take_owed(struct pmio *pm)
{
	union pmio_any_msg msg, reply;
	int rc = take_answer(pm, pm->owed_op, &reply, NULL);

	if (rc < 0 || reply.hdr.status < 0)
		return rc;
	if (pm->owed_op == PMIO_OP_OPEN) {
		pmio_proto_request(&msg, PMIO_OP_CLOSE, 0);
		msg.close.handle = reply.open_reply.handle;
		return ask(pm, &msg, -1, &reply, NULL);
	}
	if (pm->owed_op == PMIO_OP_REMOVE) { /* the name was not removed */
		pmio_proto_request(&msg, PMIO_OP_REMOVED, 0);
		msg.removed.status = -ECANCELED;
		return ask(pm, &msg, -1, &reply, NULL);
	}
	return 0;
}

/* pm->lock held */
int client_call_with_fd(struct pmio *pm, union pmio_any_msg *msg, int send_fd, union pmio_any_msg *reply, int *fd)
{
	int rc;

	if (fd)
		*fd = -1;
	if (client_is_forked(pm)) { /* its answers would go to the parent */
		pmio_err("a forked child cannot use its parent's connection");
		return -EBADF;
	}
	if (pm->sock < 0)
		return LOST;
	rc = pm->owed ? take_owed(pm) : 0;
	if (rc == 0)
		rc = ask(pm, msg, send_fd, reply, fd);
	return rc < 0 ? rc : reply->hdr.status;
}

static int call_locked(struct pmio *pm, union pmio_any_msg *msg, union pmio_any_msg *reply, int *fd)
{
	return client_call_with_fd(pm, msg, -1, reply, fd);
}

int client_call(struct pmio *pm, union pmio_any_msg *msg, union pmio_any_msg *reply, int *fd)
{
	int rc;

	pthread_mutex_lock(&pm->lock);
	rc = call_locked(pm, msg, reply, fd);
	pthread_mutex_unlock(&pm->lock);
	return rc == LOST ? -ECONNRESET : rc;
}

/* ---- starting an agent -------------------------------------------------------------- */

/*
 * is the pool still locked by an agent that is exiting, or by another process that uses its files?  *pid: by which; 0:
 * not known
 */
static bool pool_is_taken(struct pmio *pm, pid_t *pid)
{
	int fd = openat(pm->dir_fd, "lock", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool taken = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
	char text[320];
	ssize_t n = taken ? pread(fd, text, sizeof(text) - 1, 0) : 0;

	text[n > 0 ? n : 0] = '\0';
	if (sscanf(text, "%*s %d", pid) != 1)
		*pid = 0;
	if (fd >= 0)
		close(fd); /* which releases the lock if we got it */
	return taken;
}

/*
 * under the lock on the directory; -EBUSY: not yet, as another process has the pool.  After the time limit it tries
 * nevertheless, so that the agent logs its message
 */
static int start_if_free(struct pmio *pm, int waited_ms)
{
	const char *stopped;
	pid_t pid;

	if (!pool_is_taken(pm, &pid) || waited_ms >= START_LIMIT_MS)
		return client_start(pm, NULL);
	stopped = waited_ms < client_timeout_ms(pm) ? NULL : pmio_process_stopped(pid);
	if (!stopped)
		return -EBUSY;
	pmio_err("pool %s: in use by process %d, which is %s; `pmio agent stop --force` ends it, and the data stay "
		 "in the pool", pm->dir, (int)pid, stopped);
	return PMIO_ESTUCK;
}

/*
 * An agent is started, or told to exit, only under this lock, so that many clients do not start one each.  If the lock
 * cannot be obtained in time the client proceeds without it, which is safe, as an agent ends if another one has its pool.
 * And it is needed: the start closes copies of the holder's descriptors, and one of these files may be on a `pmio mount`,
 * which needs an agent before it can answer.  For a suspended holder the client waits as long as for an agent.
 */
static int lock_dir(struct pmio *pm)
{
	const int most_ms = client_timeout_ms(pm), each_ms = most_ms < LOCK_LIMIT_MS ? most_ms : LOCK_LIMIT_MS;
	const struct pmio_backoff first = PMIO_BACKOFF(1, LOCK_POLL_MS, each_ms);
	struct pmio_backoff b = first;
	int waited_ms = 0, rc;
	pid_t pid, has_pool;

	while (flock(pm->dir_fd, LOCK_EX | LOCK_NB) < 0) {
		const char *stopped;

		if (errno != EWOULDBLOCK && errno != EINTR) {
			rc = -errno;
			pmio_err("pool %s: no agent can be started, as the directory cannot be locked: %s", pm->dir, strerror(-rc));
			return rc;
		}
		if (pmio_backoff_sleep(&b))
			continue;
		b = first;
		waited_ms += each_ms;
		pid = pmio_lock_holder(pm->dir_fd);
		stopped = pid ? pmio_process_stopped(pid) : NULL;
		if (stopped && waited_ms >= most_ms) {
			pmio_err("pool %s: process %d, which was starting its agent, is %s", pm->dir, (int)pid,
				 stopped);
			return PMIO_ESTUCK;
		}
		if (!stopped && !pool_is_taken(pm, &has_pool)) {
			pmio_info("pool %s: process %d has not started its agent for %d s: starting one from this process", pm->dir,
				  (int)pid, waited_ms / 1000);
			return 0;
		}
	}
	return 0;
}

/* was the folder removed?  An agent that has it continues, but no other can be started in it */
static bool is_removed(const struct pmio *pm)
{
	struct stat st;

	return fstat(pm->dir_fd, &st) == 0 && st.st_nlink == 0;
}

/*
 * Connect; if no agent answers, the client that gets the lock on the directory starts
 * one.  The others wait for the lock and then find the agent.
 */
static int connect_or_start(struct pmio *pm)
{
	struct pmio_backoff b = PMIO_BACKOFF(RETRY_MS, RETRY_MS, START_LIMIT_MS);
	int rc, started = 0;

	for (;;) {
		rc = try_connect(pm);
		if (rc != -ECONNREFUSED && rc != -ENOENT)
			return rc;
		if (pm->attach_only)
			return PMIO_EAGENT;
		if (is_removed(pm)) {
			pmio_err("pool %s was removed while it was in use, and its agent has ended", pm->dir);
			return PMIO_EAGENT;
		}
		rc = lock_dir(pm);
		if (rc < 0)
			return rc;
		rc = try_connect(pm);
		if (rc == -ECONNREFUSED || rc == -ENOENT)
			rc = start_if_free(pm, START_LIMIT_MS - (int)(b.left_us / 1000));
		flock(pm->dir_fd, LOCK_UN);
		if (pm->sock >= 0 || (rc < 0 && rc != -EBUSY))
			return rc;
		/* -EBUSY: an agent that is exiting still has the pool, or another one is starting */
		if (rc == 0 && ++started < AGENTS_MAX)
			continue;
		if (!pmio_backoff_sleep(&b))
			return rc < 0 ? rc : PMIO_EAGENT;
	}
}

/* ---- handshake ------------------------------------------------------------------------- */

static int map_pool(struct pmio *pm, int fd)
{
	struct pmio_pm *map;
	int rc = pmio_pm_map(fd, &map);

	if (rc < 0)
		return rc;
	rc = pmio_view_new(map, pm->dir, &pm->view);
	if (rc < 0)
		pmio_pm_unmap(&map);
	return rc;
}

/* the reason why the descriptor in an answer was not received */
static int no_descriptor(void)
{
	int fd = open("/", O_PATH | O_CLOEXEC);

	if (fd < 0)
		return -errno; /* this process has reached its limit of descriptors */
	close(fd);
	return PMIO_EPROTO;
}

/* pm->lock held, or pm not yet known to other threads */
static int handshake(struct pmio *pm, bool admin)
{
	union pmio_any_msg msg, reply;
	int rc, fd;

	pmio_proto_request(&msg, PMIO_OP_HELLO, 0);
	msg.hello.pid = (uint32_t)getpid();
	msg.hello.admin = admin;
	rc = call_locked(pm, &msg, &reply, &fd);
	if (rc == 0 && pm->view && memcmp(pm->uuid, reply.hello_reply.uuid, sizeof(pm->uuid)) != 0) {
		pmio_err("pool %s: replaced by another pool while it was in use", pm->dir);
		rc = PMIO_ENOTPOOL;
	}
	if (rc == 0 && fd < 0)
		rc = no_descriptor();
	if (rc == 0 && !pm->view) { /* once: other threads read it without the lock */
		memcpy(pm->uuid, reply.hello_reply.uuid, sizeof(pm->uuid));
		rc = map_pool(pm, fd);
	}
	if (rc == 0 && reply.hello_reply.client >= pm->view->nr_clients)
		rc = PMIO_EPROTO;
	if (fd >= 0)
		close(fd);
	if (rc < 0)
		return rc;
	pm->epoch = reply.hello_reply.epoch;
	pm->client = reply.hello_reply.client;
	pm->agent_kept = reply.hello_reply.kept != 0;
	return 0;
}

/* ---- an agent with lower limits than ours ------------------------------------------- */

/*
 * An agent has the limits of the job that started it, since hard limits cannot be raised, and
 * with these the drains of the next job could fail.  An agent that this process starts would
 * have this process's limits.  An agent with some lower and some higher limits is kept: so each
 * replacement raises limits, and replacements end.
 */
static const char *lower_limit(const struct pmio *pm)
{
	/* limits above `enough` count as `enough`: so an agent that a batch system has started is kept */
	static const struct {
		int which;
		rlim_t enough;
		const char *name;
	} limits[] = {
		{ RLIMIT_FSIZE, RLIM_INFINITY, "the size of files (ulimit -f)" },
		{ RLIMIT_AS, RLIM_INFINITY, "address space (ulimit -v)" },
		{ RLIMIT_DATA, RLIM_INFINITY, "data (ulimit -d)" },
		{ RLIMIT_CPU, RLIM_INFINITY, "processor time (ulimit -t)" },
		{ RLIMIT_NOFILE, NOFILE_ENOUGH, "open files (ulimit -n)" },
	};
	const char *name = NULL;
	struct rlimit its, ours;

	if (pm->agent_pid <= 0 || pm->agent_kept)
		return NULL;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		__rlimit_resource_t which = (__rlimit_resource_t)limits[i].which;

		if (prlimit(pm->agent_pid, which, NULL, &its) < 0 || getrlimit(which, &ours) < 0 ||
		    (its.rlim_max > ours.rlim_max && ours.rlim_max < limits[i].enough))
			return NULL;
		if (its.rlim_max < ours.rlim_max && its.rlim_max < limits[i].enough && !name)
			name = limits[i].name;
	}
	return name;
}

/* its clients continue with the next one: they cannot start it while this process has the lock, so this process does */
static int replace_agent(struct pmio *pm)
{
	union pmio_any_msg msg, reply;
	const char *limit;
	int rc;

	client_drop_connection(pm);
	rc = lock_dir(pm);
	if (rc < 0)
		return rc;
	rc = try_connect(pm);
	if (rc == 0)
		rc = handshake(pm, true);
	limit = rc == 0 ? lower_limit(pm) : NULL; /* another client may have replaced it */
	if (limit) {
		pmio_warn("pool %s: the agent, process %d, has a lower limit on %s than this program: "
			  "starting another", pm->dir, (int)pm->agent_pid, limit);
		pmio_proto_request(&msg, PMIO_OP_SHUTDOWN, 0);
		msg.shutdown.force = 1;
		rc = call_locked(pm, &msg, &reply, NULL);
		if (rc == 0)
			rc = client_start(pm, NULL);
	}
	client_drop_connection(pm);
	flock(pm->dir_fd, LOCK_UN);
	/* another agent is starting; if not, the next connect will detect that */
	return rc == PMIO_ESTUCK || rc == PMIO_EAGENT ? rc : 0;
}

/* an agent that exits during the handshake is not an error: try the next one */
int client_reach(struct pmio *pm, bool admin)
{
	int rc = 0;

	for (int tries = 0; tries < AGENTS_MAX; tries++) {
		rc = connect_or_start(pm);
		if (rc < 0)
			return rc;
		rc = handshake(pm, admin);
		if (rc == 0 && !admin && lower_limit(pm)) {
			rc = replace_agent(pm);
			if (rc == 0)
				rc = LOST;
		}
		if (rc != LOST)
			break;
		client_drop_connection(pm);
	}
	if (rc < 0)
		client_drop_connection(pm);
	return rc == LOST ? PMIO_EAGENT : rc;
}

/* ---- pmio_connect ------------------------------------------------------------------------ */

void client_free(struct pmio *pm)
{
	client_drop_connection(pm);
	pmio_view_delete(&pm->view);
	if (pm->dir_fd >= 0)
		close(pm->dir_fd);
	pmio_settings_fini(&pm->settings);
	pthread_mutex_destroy(&pm->lock);
	pthread_mutex_destroy(&pm->intent_lock);
	free(pm);
}

static void say_no_pool(const struct pmio *pm, int rc)
{
	struct stat st;

	if (rc == -EPERM && lstat(pm->dir, &st) == 0 && st.st_uid != geteuid())
		pmio_err("pool %s: it belongs to user %u; a pool must be a directory that belongs to you and that only you can write to",
			 pm->dir, (unsigned)st.st_uid);
	else
		pmio_err("pool %s: %s", pm->dir,
			 rc == -EPERM ? "a pool must be a directory that belongs to you and that only you can write to" : pmio_strerror(rc));
}

static int connect_pool(struct pmio *pm, bool admin)
{
	bool is_default = *pm->settings.str[PMIO_SET_POOL] == '\0';
	int rc;

	if (is_default && !pm->attach_only)
		rc = pmio_default_pool_make(pm->dir, sizeof(pm->dir));
	else
		rc = pmio_settings_pool_dir(&pm->settings, pm->dir, sizeof(pm->dir));
	if (rc == 0)
		rc = open_pool_dir(pm);
	if (rc < 0) {
		if (!pm->attach_only)
			say_no_pool(pm, rc);
		return rc;
	}
	return client_reach(pm, admin);
}

int client_connect(const struct pmio_settings *settings, const char *pool, bool attach_only,
		   bool admin, struct pmio **out)
{
	struct pmio *pm = calloc(1, sizeof(*pm));
	int rc;

	*out = NULL;
	if (!pm)
		return -ENOMEM;
	pthread_mutex_init(&pm->lock, NULL);
	pthread_mutex_init(&pm->intent_lock, NULL);
	pm->dir_fd = pm->sock = -1;
	pm->spin.max_ns = PMIO_SPIN_REQUEST_NS;
	pm->pid = getpid();
	pm->attach_only = attach_only;
	rc = pmio_settings_copy(&pm->settings, settings);
	if (rc == 0)
		rc = pmio_settings_fix_agent(&pm->settings);
	if (rc == 0 && pool)
		rc = pmio_settings_set(&pm->settings, PMIO_SET_POOL, pool, PMIO_FROM_COMMAND_LINE);
	if (rc == 0)
		rc = connect_pool(pm, admin);
	if (rc < 0) {
		client_free(pm);
		return rc;
	}
	client_add(pm);
	*out = pm;
	return 0;
}
