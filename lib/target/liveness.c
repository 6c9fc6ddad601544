/* liveness.c -- liveness sockets: which processes live, which have died, and which cannot be reached */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uthash.h>
#include <utlist.h>

#include "core/clock.h"
#include "daemon/daemon.h"
#include "core/error.h"
#include "target/target_impl.h"

#define LIVENESS_MS 10000      /* for a new session to show its liveness socket */
#define KEEPALIVE_S 5	       /* a dead host is noticed after about PROBES_LOST times this */
#define PROBES_LOST 3
#define PROBES_MAX 127	       /* the largest number that TCP accepts */
#define KEEPALIVE_LOST_S 60    /* for a lost process's liveness socket */
#define KEEPER_S 5

/* TCP sends probes without an end; look_at() checks whether they are answered */
static void keep_alive(int sock, int interval)
{
	int on = 1, count = PROBES_MAX;

	setsockopt(sock, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(sock, IPPROTO_TCP, TCP_KEEPIDLE, &interval, sizeof(interval));
	setsockopt(sock, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	setsockopt(sock, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

static void forget_pending(struct server *s, struct pending *f)
{
	DL_DELETE(s->pending, f);
	s->nr_pending--;
	free(f);
}

/* close connections that stay silent and, if there are too many, the oldest */
static void end_pending(struct server *s)
{
	while (s->pending && (s->nr_pending > s->pending_max || pmio_now_ms() - s->pending->since_ms > LIVENESS_MS)) {
		close(s->pending->sock);
		forget_pending(s, s->pending);
	}
}

/* a connection that is not accepted would keep the loop busy forever: close the oldest unidentified one, or this one */
static void turn_away(struct server *s)
{
	int sock;

	if (s->pending) {
		close(s->pending->sock);
		forget_pending(s, s->pending);
		return;
	}
	if (!s->warned_full)
		pmio_err("target: out of descriptors (ulimit -Hn): refusing a process");
	s->warned_full = true;
	close(s->spare_fd);
	sock = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (sock >= 0)
		close(sock);
	s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void target_accept_liveness(struct server *s)
{
	int sock = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct pending *f = sock < 0 ? NULL : calloc(1, sizeof(*f));

	if (sock < 0 && (errno == EMFILE || errno == ENFILE))
		turn_away(s);
	if (!f || pmio_daemon_watch(s->epoll_fd, sock, ID_NEW | (unsigned)sock) < 0) {
		if (sock >= 0)
			close(sock);
		free(f);
		return;
	}
	keep_alive(sock, KEEPALIVE_S);
	f->sock = sock;
	f->since_ms = pmio_now_ms();
	DL_APPEND(s->pending, f);
	s->nr_pending++;
	end_pending(s);
}

/* ---- lost processes ---- */

static bool is_lost(const struct process *p)
{
	const struct session *last = p->sessions ? p->sessions->prev : NULL;

	return !p->dead && (!last || last->ended);
}

/* the layout file of the at-th layout session of lost processes, freed by the caller; NULL: there are fewer */
static char *lost_layout(struct server *s, unsigned at, uint8_t id[REMOTE_LAYOUT_ID])
{
	bool joined;

	for (struct process *p = s->processes; p; p = p->hh.next) {
		for (unsigned i = 0; is_lost(p); i++) {
			const char *layout_file = layouts_joined(p->memberships, i, id, &joined);

			if (!joined)
				break;
			if (layout_file && at-- == 0)
				return strdup(layout_file);
		}
	}
	return NULL;
}

static void forget_layout(struct server *s, const char *layout_file, const uint8_t id[REMOTE_LAYOUT_ID])
{
	struct process *p, *next;

	HASH_ITER(hh, s->processes, p, next) {
		if (!is_lost(p))
			continue;
		layouts_forget(s->layouts, &p->memberships, id);
		target_put_process(s, p);
	}
	pmio_warn("target: %s was removed: forgetting the process that cannot be reached", layout_file);
}

/*
 * a user who removes a layout file confirms that the process is dead.  In a worker of its own, as the file system may
 * hang
 */
static void keep(struct job *job)
{
	struct server *s = ((struct server_job *)job)->server;
	uint8_t id[REMOTE_LAYOUT_ID];
	char *layout_file;

	for (;;) {
		unsigned at = 0;

		sleep(KEEPER_S);
		pthread_mutex_lock(&s->lock);
		while ((layout_file = lost_layout(s, at, id)) != NULL) {
			bool removed;

			pthread_mutex_unlock(&s->lock);
			removed = remote_layout_file_is_there(layout_file, id) == 0;
			pthread_mutex_lock(&s->lock);
			if (removed)
				forget_layout(s, layout_file, id);
			else
				at++;
			free(layout_file);
		}
		pthread_mutex_unlock(&s->lock);
	}
}

static void start_keeper(struct server *s)
{
	if (!s->keeper_wanted || s->keeper.job.run)
		return;
	s->keeper = (struct server_job){ .job.run = keep, .server = s };
	workers_submit(s->workers, &s->keeper.job);
}

/* ---- liveness sockets of sessions ---- */

/* from now on this is the process's liveness socket: the end of the previous one has no meaning */
static void take_vital(struct server *s, struct session *n, int sock)
{
	const uint8_t ack = REMOTE_LIVENESS_ACK;
	struct process *p = n->process;
	struct session *before = p->vital;

	n->liveness = sock;
	p->vital = n;
	if (before) {
		target_close_liveness(s, before);
		target_put_session(s, before); /* that session has ended, as n has begun */
	}
	/* a new connection has room for a byte; a client that does not get it tries again */
	if (send(sock, &ack, 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
		pmio_dbg("target: process %u of node %s: liveness socket: %s", p->pid, p->host, strerror(errno));
}

/* lock held: find the session of the new liveness socket, or close it */
static void take_liveness(struct server *s, int sock)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct session *n;
	struct pending *f;
	uint64_t id;

	DL_FOREACH(s->pending, f) {
		if (f->sock == sock)
			break;
	}
	if (!f)
		return; /* it was closed in this turn of the loop */
	forget_pending(s, f);
	if (recv(sock, &id, sizeof(id), 0) != sizeof(id) || !(n = target_find_session(s, id)) || n->ended || n->hello ||
	    n->liveness >= 0) {
		close(sock); /* an unidentified connection: closed without an answer */
		return;
	}
	ev.data.u64 = n->id;
	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, sock, &ev) < 0) {
		close(sock);
		return;
	}
	take_vital(s, n, sock);
}

static void lose_session(struct server *s, struct session *n, const char *why)
{
	pmio_warn("target: process %u of node %s cannot be reached (%s): ending its session", n->process->pid,
		  n->process->host, why);
	target_note_lost(s, n->process);
	target_end_session(s, n, false);
}

void target_take_event(struct server *s, uint64_t id)
{
	struct session *n;
	char byte;

	if (id & ID_NEW) {
		take_liveness(s, (int)(id & ~ID_NEW));
		return;
	}
	n = target_find_session(s, id);
	if (!n || n->liveness < 0)
		return;
	/* ignore data, and a connection that is silent: only the end of the connection matters */
	if (recv(n->liveness, &byte, 1, 0) >= 0 || errno == ECONNRESET || errno == EPIPE) {
		pmio_info("target: process %u of node %s has disconnected", n->process->pid, n->process->host);
		target_end_process(s, n->process);
	} else if (errno != EAGAIN && errno != EINTR) {
		const char *why = strerror(errno);

		target_close_liveness(s, n);
		if (!n->ended)
			lose_session(s, n, why);
		else
			target_put_session(s, n); /* it was lost before; now its liveness socket has ended, too */
	}
}

/* lock held: does the session's host answer? */
static void look_at(struct server *s, struct session *n)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	memset(&info, 0, sizeof(info));
	if (getsockopt(n->liveness, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 || info.tcpi_probes < PROBES_LOST)
		return;
	keep_alive(n->liveness, KEEPALIVE_LOST_S);
	lose_session(s, n, "its host does not answer");
}

void target_liveness_look(struct server *s, uint64_t now)
{
	struct session *n, *next;

	HASH_ITER(hh, s->sessions, n, next) {
		if (n->ended || n->hello || now - n->looked_ms < KEEPALIVE_S * 1000)
			continue;
		n->looked_ms = now;
		if (n->liveness >= 0)
			look_at(s, n);
		else if (now - n->since_ms > LIVENESS_MS)
			target_end_session(s, n, false);
	}
	end_pending(s);
	start_keeper(s);
}
