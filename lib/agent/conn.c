/* conn.c -- connections of clients, and clean-up after a client has ended */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include <uthash.h>

#include "agent/calls.h"
#include "agent/close.h"
#include "agent/conn.h"
#include "agent/file.h"
#include "agent/ops.h"
#include "agent/pfs_fd.h"
#include "agent/reply.h"
#include "agent/state.h"
#include "core/error.h"
#include "core/log.h"

#define BACKLOG 512

/* refused processes may try again without limit: log only a few of these events */
static void say_refused(const struct ucred *cred)
{
	static struct pmio_note refused;
	uint64_t nr = pmio_note(&refused, 1);

	if (nr > 1)
		pmio_err("agent: refused process %d of user %u, and %" PRIu64 " more since the last such message", (int)cred->pid,
			 (unsigned)cred->uid, nr - 1);
	else if (nr)
		pmio_err("agent: refused process %d of user %u", (int)cred->pid, (unsigned)cred->uid);
}

/* only this user may connect; the directory's mode already ensures that, this is the second check */
static bool is_ours(int sock, pid_t *pid)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
		pmio_err("agent: SO_PEERCRED: %s", strerror(errno));
		return false;
	}
	if (cred.uid != geteuid()) {
		say_refused(&cred);
		return false;
	}
	*pid = cred.pid;
	return true;
}

/* a connection that cannot be served must not wait without limit: refuse it */
static int turn_away(int sock)
{
	static bool warned;

	if (!warned)
		pmio_err("agent: out of file descriptors (ulimit -n): refusing a client");
	warned = true;
	close(sock);
	return -EMFILE;
}

/*
 * A child of a client that is killed keeps the socket open, so the end of the
 * connection does not reliably show that of the client.  Without a pidfd of the process
 * (an old kernel, a process in another container) the end of the connection has to suffice.
 */
static void watch_process(struct agent *a, struct conn *c, pid_t pid)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = c->id };

	c->pid_fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	if (c->pid_fd >= 0 && (pfs_fd_is_reserved(c->pid_fd) ||
			       epoll_ctl(a->epoll_fd, EPOLL_CTL_ADD, c->pid_fd, &ev) < 0)) {
		close(c->pid_fd);
		c->pid_fd = -1;
	}
}

static bool process_ended(const struct conn *c)
{
	struct pollfd p = { .fd = c->pid_fd, .events = POLLIN };

	return c->pid_fd >= 0 && poll(&p, 1, 0) > 0;
}

/* this agent holds the pool's lock, so an existing socket is a leftover */
int conn_listen(struct agent *a)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = ID_LISTEN };
	struct sockaddr_un addr;
	int dir = pmio_pool_dir_fd(a->pool);

	if (a->listen_fd >= 0)
		close(a->listen_fd);
	a->listen_fd = -1;
	if (unlinkat(dir, PMIO_SOCKET_NAME, 0) < 0 && errno != ENOENT)
		return -errno;
	pmio_proto_address(dir, &addr);
	a->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* the bound socket takes its mode from this descriptor; umask() would also affect our threads */
	if (a->listen_fd < 0 || fchmod(a->listen_fd, 0600) < 0 || bind(a->listen_fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(a->listen_fd, BACKLOG) < 0)
		return -errno;
	return epoll_ctl(a->epoll_fd, EPOLL_CTL_ADD, a->listen_fd, &ev) < 0 ? -errno : 0;
}

int conn_accept(struct agent *a)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct conn *c;
	pid_t pid;
	int sock = accept4(a->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (sock < 0)
		return -errno;
	if (pfs_fd_is_reserved(sock) && !files_close_some(a))
		return turn_away(sock);
	if (!is_ours(sock, &pid)) {
		close(sock);
		return -EPERM;
	}
	c = calloc(1, sizeof(*c));
	if (!c) {
		close(sock);
		return -ENOMEM;
	}
	c->id = ++a->next_conn;
	c->sock = sock;
	c->client = -1;
	ev.data.u64 = c->id;
	if (epoll_ctl(a->epoll_fd, EPOLL_CTL_ADD, sock, &ev) < 0) {
		int rc = -errno;

		pmio_err("agent: epoll: %s", strerror(errno));
		close(sock);
		free(c);
		return rc;
	}
	watch_process(a, c, pid);
	HASH_ADD(hh, a->conns, id, sizeof(c->id), c);
	return 0;
}

void conn_readable(struct agent *a, struct conn *c)
{
	union pmio_any_msg msg;
	int rc, fd;
	ssize_t n = pmio_proto_recv(c->sock, &msg, &fd);

	/* what it sent before its end has been read by then */
	if (n == -EAGAIN && !process_ended(c))
		return;
	if (n <= 0) {
		pfs_close(a, fd);
		c->dead = true;
		return;
	}
	rc = pmio_proto_check_request(&msg, (size_t)n);
	if (rc == 0 && !c->greeted && msg.hdr.op != PMIO_OP_HELLO)
		rc = PMIO_EPROTO;
	if (rc < 0) {
		pmio_err("agent: process %u: %s", c->pid, pmio_strerror(rc));
		if (rc == PMIO_EVERSION && pmio_op_reply_size(msg.hdr.op))
			agent_reply_status(a, c, &msg.hdr, rc);
		pfs_close(a, fd);
		c->dead = true;
		return;
	}
	ops_dispatch(a, c, &msg, fd);
}

/*
 * Free the client's record for another client.  If the client died while it overwrote whole
 * blocks that were not valid, these would stay incomplete.
 */
static void release_record(struct agent *a, struct conn *c)
{
	struct pmio_client_df *rec = &a->view->clients[c->client];
	uint64_t intent = pmio_pm_load64(&rec->intent);
	uint64_t frame = (intent & ~(1ULL << 63)) >> 16;
	unsigned first = (intent >> 8) & 0xff, last = intent & 0xff;

	if (intent && frame < a->view->nr_frames && first <= last) {
		struct pmio_mask m;

		pmio_mask_range(&m, first, last);
		pmio_frame_write_abort(a->view, frame, &m);
	}
	pmio_pm_store64(a->view->pm, &rec->intent, 0);
	counts_add(&a->counts, &rec->counts);
	a->client_used[c->client] = 0;
}

void conn_free(struct conn *c)
{
	if (c->pid_fd >= 0)
		close(c->pid_fd);
	close(c->sock);
	free(c);
}

void conn_remove(struct agent *a, struct conn *c)
{
	struct handle *h, *tmp;

	c->dead = true;
	if (c->client >= 0)
		release_record(a, c);
	if (c->removal)
		calls_abandon_removal(a, c);
	HASH_ITER(hh, a->handles, h, tmp) {
		if (h->conn == c)
			files_close(a, h, NULL, NULL);
	}
	HASH_DEL(a->conns, c);
	conn_free(c);
}
