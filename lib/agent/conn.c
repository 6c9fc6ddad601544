/* connections: who talks to the agent, and the requests that wait for an answer */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/agent_impl.h"

struct conn *agent_conn(struct agent *a, uint64_t id)
{
	struct conn *c;

	HASH_FIND(hh, a->conns, &id, sizeof(id), c);
	return c && !c->dead ? c : NULL;
}

unsigned conn_count_clients(const struct agent *a)
{
	unsigned nr = 0;

	for (struct conn *c = a->conns; c; c = c->hh.next)
		nr += !c->dead && c->greeted && !c->admin; /* before HELLO nobody knows what it is */
	return nr;
}

void counts_add(struct pmio_counts_df *sum, const struct pmio_counts_df *more)
{
	sum->read += more->read;
	sum->missed += more->missed;
	sum->pfs_read += more->pfs_read;
	sum->written += more->written;
	sum->pfs_written += more->pfs_written;
}

void conn_sum_counts(const struct agent *a, struct pmio_counts_df *sum)
{
	*sum = a->counts;
	for (struct conn *c = a->conns; c; c = c->hh.next) {
		if (c->client >= 0)
			counts_add(sum, &a->view->clients[c->client].counts);
	}
}

/* only this user may come; the directory's mode says so too, this is the second lock */
static bool is_ours(int sock, pid_t *pid)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
		pmio_err("agent: SO_PEERCRED: %s", strerror(errno));
		return false;
	}
	if (cred.uid != geteuid()) {
		pmio_err("agent: refused process %d of user %u", (int)cred.pid, (unsigned)cred.uid);
		return false;
	}
	*pid = cred.pid;
	return true;
}

/* who waits at the door must not wait for ever */
static int turn_away(int sock)
{
	static bool said;

	if (!said)
		pmio_err("agent: out of file descriptors (ulimit -n): refusing a client");
	said = true;
	close(sock);
	return -EMFILE;
}

/*
 * A child of a client that is killed keeps the socket open, so its end alone does
 * not say that the client is gone.  Without a descriptor for the process (an old
 * kernel, a process in another container) it must do.
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

int conn_accept(struct agent *a)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct conn *c;
	pid_t pid;
	int sock = accept4(a->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (sock < 0)
		return -errno;
	if (pfs_fd_is_reserved(sock) && !pfs_shrink(a))
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

void agent_reply(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int fd)
{
	int rc;

	(void)a;
	if (c->dead)
		return;
	rc = pmio_proto_send(c->sock, msg, fd);
	if (rc < 0) {
		/* gone, or it does not read its answers: both end the connection */
		if (rc != -EPIPE && rc != -ECONNRESET)
			pmio_err("agent: answer to process %u: %s", c->pid, pmio_strerror(rc));
		c->dead = true;
	}
}

void agent_reply_status(struct agent *a, struct conn *c, const struct pmio_hdr_msg *req, int status)
{
	union pmio_any_msg msg;

	pmio_proto_reply(&msg, req, status);
	agent_reply(a, c, &msg, -1);
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
 * Its record is free for another.  If it died while overwriting whole blocks that
 * were not valid, nobody will finish them.
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

struct parked *parked_new(struct conn *c, const union pmio_any_msg *msg)
{
	struct parked *p = calloc(1, offsetof(struct parked, msg) + msg->hdr.size);

	if (!p) {
		pmio_err("agent: out of memory");
		return NULL;
	}
	p->conn_id = c->id;
	p->fd = -1;
	memcpy(&p->msg, msg, msg->hdr.size);
	return p;
}

void parked_add(struct agent *a, struct parked **list, struct conn *c, const union pmio_any_msg *msg, int fd)
{
	struct parked *p = parked_new(c, msg);

	if (!p) {
		pfs_close(a, fd);
		agent_reply_status(a, c, &msg->hdr, -ENOMEM);
		return;
	}
	p->fd = fd;
	DL_APPEND(*list, p);
}

void parked_answer(struct agent *a, struct parked **list, int status)
{
	struct parked *p, *tmp, *head = *list;

	*list = NULL;
	DL_FOREACH_SAFE(head, p, tmp) {
		struct conn *c = agent_conn(a, p->conn_id);

		if (c)
			agent_reply_status(a, c, &p->msg.hdr, status);
		DL_DELETE(head, p);
		pfs_close(a, p->fd);
		free(p);
	}
}

static bool waits_for_chunk(const struct parked *p, uint64_t chunk)
{
	if (p->msg.hdr.op == PMIO_OP_FILL)
		return p->msg.fill.chunk == chunk;
	return p->msg.hdr.op == PMIO_OP_STAGE && chunk >= p->msg.stage.first &&
	       (chunk - p->msg.stage.first) % p->msg.stage.step == 0 &&
	       (chunk - p->msg.stage.first) / p->msg.stage.step < p->msg.stage.nr;
}

void parked_answer_fills(struct agent *a, struct parked **list, uint64_t chunk, int status)
{
	struct parked *p, *tmp, *mine = NULL;

	DL_FOREACH_SAFE(*list, p, tmp) {
		if (!waits_for_chunk(p, chunk))
			continue;
		DL_DELETE(*list, p);
		DL_APPEND(mine, p);
	}
	parked_answer(a, &mine, status);
}

void parked_retry(struct agent *a, struct parked **list)
{
	struct parked *p, *tmp, *head = *list;

	*list = NULL; /* those that must wait again come into a new list */
	DL_FOREACH_SAFE(head, p, tmp) {
		struct conn *c = agent_conn(a, p->conn_id);

		DL_DELETE(head, p);
		if (c)
			ops_dispatch(a, c, &p->msg, p->fd);
		else
			pfs_close(a, p->fd);
		free(p);
	}
}
