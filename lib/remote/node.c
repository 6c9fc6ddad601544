/*
 * node.c -- sessions with the targets of other nodes
 *
 * There is one endpoint per process, and one session per target, shared by all threads and
 * files.  A session has a liveness socket: a TCP connection that carries its id, the
 * target's answer to that, and then nothing.  The kernel closes it when this process ends,
 * however it ends, and so the target learns that the process's files are to be closed.
 *
 * A session that failed is dropped, and the next call makes another one, in which HELLO
 * identifies the same process: its memberships do not belong to a session.  So the end of a
 * liveness socket has to mean the end of the process, and nothing else: that of a dropped session
 * stays open until the target has confirmed that it has the liveness socket of a later one.
 *
 * A target that was restarted knows no memberships.  The first session with it joins again, if the
 * layout file still exists and belongs to that layout session; otherwise other processes have treated
 * it as a leftover, and this process cannot continue with the file (node_is_member()).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "core/clock.h"
#include "remote/remote_impl.h"

#define SHOW_TRIES 5  /* tries to show a liveness socket */
#define RETRY_MS 1000 /* for this time after a failure further calls fail at once */
#define ENDING_MS 1000 /* a process that ends closes its sockets one after the other within this time */

static pthread_mutex_t nodes_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pmio_fabric_initiator *initiator; /* under nodes_lock, like everything here */
static struct node *nodes;
static _Atomic pid_t owner; /* also read without the lock */
static atomic_uint nr_ended; /* number of lost memberships */

bool node_is_lost(int rc)
{
	return rc == -ETIMEDOUT || rc == -ECONNRESET || rc == -ESTALE || rc == -ENOTCONN;
}

bool node_is_ours(void)
{
	pid_t pid = owner;

	return pid == 0 || pid == getpid();
}

/* ---- nodes ------------------------------------------------------------------------- */

static struct node *new_node(const struct pmio_settings *s, const struct remote_endpoint *endpoint)
{
	struct node *n = calloc(1, sizeof(*n));
	pthread_condattr_t attr;

	if (!n || pmio_fabric_random(n->process, sizeof(n->process)) < 0) {
		free(n);
		return NULL;
	}
	n->endpoint = n->news = *endpoint;
	n->endpoint.host[sizeof(n->endpoint.host) - 1] = '\0';
	n->timeout_ms = (unsigned)s->num[PMIO_SET_TIMEOUT] * 1000;
	n->liveness.sock = -1;
	pthread_mutex_init(&n->news_lock, NULL);
	pthread_mutex_init(&n->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&n->buffer_free, &attr);
	pthread_condattr_destroy(&attr);
	return n;
}

static int make_initiator(const struct pmio_settings *s, const struct remote_endpoint *endpoint)
{
	char address[INET6_ADDRSTRLEN];
	struct pmio_fabric_config c = {
		.provider = endpoint->fabric.provider, .address = address, .key = endpoint->key,
		.timeout_ms = (unsigned)s->num[PMIO_SET_TIMEOUT] * 1000, .munge = s->str[PMIO_SET_MUNGE],
	};
	int rc = remote_address(s->str[PMIO_SET_ADDRESS], address, sizeof(address));

	return rc < 0 ? rc : pmio_fabric_initiator_new(&c, &initiator);
}

/* the target has not closed the liveness socket; n->lock held */
static bool is_alive(const struct node *n)
{
	char byte;

	return n->peer && !n->lost && n->liveness.sock >= 0 &&
	       recv(n->liveness.sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EINTR);
}

/*
 * the target was restarted, perhaps on another node; or the endpoint descriptor is an old one from a leftover layout
 * file.  Does not wait
 */
static void take_news(struct node *n, const struct remote_endpoint *endpoint)
{
	pthread_mutex_lock(&n->news_lock);
	if (n->news.fabric.epoch != endpoint->fabric.epoch) {
		n->news = *endpoint;
		n->news.host[sizeof(n->news.host) - 1] = '\0';
		n->has_news = true;
	}
	pthread_mutex_unlock(&n->news_lock);
}

void node_newest(struct node *n, struct remote_endpoint *endpoint)
{
	pthread_mutex_lock(&n->news_lock);
	*endpoint = n->news;
	pthread_mutex_unlock(&n->news_lock);
}

/* n->lock held */
static void use_news(struct node *n)
{
	pthread_mutex_lock(&n->news_lock);
	if (n->has_news && n->endpoint.fabric.epoch != n->news.fabric.epoch && !is_alive(n)) {
		n->endpoint = n->news;
		n->lost = n->peer != NULL;
		n->retry_ms = 0;
	} else if (n->has_news) {
		n->news = n->endpoint; /* the same descriptor is accepted if it is received again */
	}
	n->has_news = false;
	pthread_mutex_unlock(&n->news_lock);
}

struct node *node_get(const struct pmio_settings *s, const struct remote_endpoint *endpoint)
{
	struct node *n = NULL;

	pthread_mutex_lock(&nodes_lock);
	if (!node_is_ours()) {
		pmio_err("a forked child cannot use its parent's connections to other nodes");
	} else if (initiator || make_initiator(s, endpoint) == 0) {
		owner = getpid();
		DL_FOREACH(nodes, n) {
			if (memcmp(n->endpoint.uuid, endpoint->uuid, sizeof(endpoint->uuid)) == 0)
				break;
		}
		if (!n) {
			n = new_node(s, endpoint);
			if (n)
				DL_APPEND(nodes, n);
		} else {
			take_news(n, endpoint);
		}
	}
	pthread_mutex_unlock(&nodes_lock);
	return n;
}

/* ---- sessions; the node's lock held ---------------------------------------------------- */

/* log how many calls it has received: that shows how the cost grows (doc/scaling.md) */
static void say_sent(const struct node *n)
{
	static const char *const names[REMOTE_NR_OPS] = {
		"", "hello", "wait", "open", "read", "write", "size", "truncate", "sync", "drain",
		"close", "delete", "lock", "unlock", "stat", "grow", "join", "leave", "claim", "watch",
		"stage", "pointer", "reserve", "raise", "relay",
	};
	char text[512] = "";
	size_t len = 0;

	for (int i = 0; i < REMOTE_NR_OPS && len < sizeof(text); i++) {
		if (n->sent[i])
			len += (size_t)snprintf(text + len, sizeof(text) - len, " %s=%u", names[i], n->sent[i]);
	}
	if (len)
		pmio_dbg("node %s: messages:%s", n->endpoint.host, text);
}

/* the target notices that it has ended */
static void close_liveness(struct liveness *l)
{
	if (l->sock >= 0) {
		shutdown(l->sock, SHUT_RDWR); /* a forked child may have the socket, too */
		close(l->sock);
	}
	l->sock = -1;
	l->session = 0;
}

/* close those of earlier sessions, except one: the target does not watch them any more */
static void close_earlier(struct node *n, uint64_t but)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n->nr_earlier; i++) {
		if (but && n->earlier[i].session == but)
			n->earlier[kept++] = n->earlier[i];
		else
			close_liveness(&n->earlier[i]);
	}
	n->nr_earlier = kept;
}

/* this process lives, so a liveness socket that the target may watch stays open */
static void end_session(struct node *n)
{
	if (n->liveness.session)
		n->earlier[n->nr_earlier++] = n->liveness; /* handshake() makes sure that there is room */
	else
		close_liveness(&n->liveness);
	n->liveness = (struct liveness){ .sock = -1 };
	pmio_fabric_disconnect(&n->peer);
	n->lost = false;
	n->nr_buffers = 0;
	memset(n->buffer_used, 0, sizeof(n->buffer_used));
	pthread_cond_broadcast(&n->buffer_free);
}

static int connect_within(int sock, const struct sockaddr *addr, socklen_t len, unsigned ms)
{
	struct pollfd p = { .fd = sock, .events = POLLOUT };
	int rc, error = 0;
	socklen_t size = sizeof(error);

	if (connect(sock, addr, len) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return -errno;
	do
		rc = poll(&p, 1, (int)ms);
	while (rc < 0 && errno == EINTR);
	if (rc == 0)
		return -ETIMEDOUT;
	if (rc < 0 || getsockopt(sock, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		return -errno;
	return -error;
}

/* a TCP connection to the target's address; the socket, or -errno */
static int connect_tcp(const struct remote_endpoint *endpoint, uint16_t tcp_port, unsigned timeout_ms)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} to;
	socklen_t len = sizeof(to.in);
	int rc, sock;

	memset(&to, 0, sizeof(to));
	memcpy(&to, endpoint->fabric.addr, endpoint->fabric.addr_len < sizeof(to) ? endpoint->fabric.addr_len : sizeof(to));
	if (to.sa.sa_family == AF_INET6) {
		to.in6.sin6_port = htons(tcp_port);
		len = sizeof(to.in6);
	} else if (to.sa.sa_family == AF_INET) {
		to.in.sin_port = htons(tcp_port);
	} else {
		return -EAFNOSUPPORT;
	}
	sock = socket(to.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sock < 0)
		return -errno;
	rc = connect_within(sock, &to.sa, len, timeout_ms);
	if (rc < 0)
		close(sock);
	return rc < 0 ? rc : sock;
}

int node_probe(const struct remote_endpoint *endpoint, unsigned timeout_ms)
{
	int sock = connect_tcp(endpoint, endpoint->liveness, timeout_ms);

	if (sock < 0)
		return sock;
	close(sock);
	return 0;
}

/* ---- memberships; the node's lock held ----------------------------------------------------- */

static void free_membership(struct node *n, struct membership *m)
{
	DL_DELETE(n->memberships, m);
	free(m->layout_file);
	free(m);
}

static struct membership *find_membership(struct node *n, uint64_t number)
{
	struct membership *m;

	DL_FOREACH(n->memberships, m) {
		if (m->number == number)
			break;
	}
	return m;
}

struct saying {
	struct node *n;
	const struct membership *m;
	bool begins;
};

size_t node_join_message(union node_join *u, const uint8_t layout[REMOTE_LAYOUT_ID], uint64_t number, const char *layout_file,
			 enum remote_keep keep)
{
	struct remote_join_msg *m = &u->m;

	memset(m, 0, sizeof(*m));
	memcpy(m->layout, layout, sizeof(m->layout));
	m->number = number;
	m->create = layout_file != NULL;
	m->keep = keep;
	if (!layout_file)
		return sizeof(*m);
	strcpy(m->path, layout_file);
	return sizeof(*m) + strlen(layout_file) + 1;
}

static int say_membership(void *arg)
{
	const struct saying *s = arg;
	union node_join u;
	size_t got, len = node_join_message(&u, s->m->layout, s->m->number, s->begins ? s->m->layout_file : NULL,
					    s->m->left ? s->m->keep : 0);

	node_header(s->n, &u.hdr, s->m->left ? REMOTE_LEAVE : REMOTE_JOIN, 0);
	return node_call(s->n, &u, len, NULL, 0, &got);
}

/* 0; or the error that prevents the start of the session */
static int join_one_again(struct node *n, struct membership *m)
{
	struct saying s = { .n = n, .m = m };
	int rc = say_membership(&s);

	if (m->left && !node_is_lost(rc)) {
		free_membership(n, m);
		return 0;
	}
	if (rc != -ENOENT)
		return rc;
	/* the target was restarted, or the layout file was removed by hand */
	s.begins = true;
	rc = layout_file_locked(m->layout_file, m->layout, &n->endpoint, say_membership, &s);
	if (rc != -ENOENT)
		return rc;
	pmio_err("%s: node %s was restarted, or considered this process dead, and others have opened the file since: "
		 "this process's handles of it are no longer valid", m->layout_file, n->endpoint.host);
	free_membership(n, m);
	atomic_fetch_add(&nr_ended, 1);
	return 0;
}

static int join_again(struct node *n)
{
	struct membership *m, *next;
	int rc = 0;

	DL_FOREACH_SAFE(n->memberships, m, next) {
		if (rc == 0)
			rc = join_one_again(n, m);
	}
	return rc;
}

/* ---- beginning a session; the node's lock held -------------------------------------------- */

static int show_once(struct node *n)
{
	struct pollfd p = { .events = POLLIN };
	uint8_t byte = 0;
	int rc;

	n->liveness.session = n->session;
	if (send(n->liveness.sock, &n->session, sizeof(n->session), MSG_NOSIGNAL) != sizeof(n->session))
		return -ECONNRESET;
	p.fd = n->liveness.sock;
	do
		rc = poll(&p, 1, (int)n->timeout_ms);
	while (rc < 0 && errno == EINTR);
	if (rc == 0)
		return -ETIMEDOUT;
	if (rc < 0 || recv(p.fd, &byte, 1, MSG_DONTWAIT) != 1)
		return -ECONNRESET;
	return byte == REMOTE_LIVENESS_ACK ? 0 : PMIO_EPROTO;
}

/*
 * until the target has confirmed it: from then on no calls of earlier sessions are under way there, and the end
 * of the liveness socket means the end of this process
 *
 * The target may have closed it before it was identified, if unauthenticated peers connect faster than sessions begin.
 */
static int show_liveness(struct node *n, uint16_t tcp_port)
{
	int rc = -ECONNRESET;

	for (int i = 0; i < SHOW_TRIES && rc == -ECONNRESET; i++) {
		if (i > 0)
			close_liveness(&n->liveness);
		if (n->liveness.sock < 0)
			n->liveness.sock = connect_tcp(&n->endpoint, tcp_port, n->timeout_ms);
		rc = n->liveness.sock < 0 ? n->liveness.sock : show_once(n);
	}
	return rc;
}

static int say_hello(struct node *n, struct remote_hello_answer_msg *a)
{
	struct remote_hello_msg m = { .attempt = ++n->attempt, .pid = (uint32_t)getpid(), .buffers = REMOTE_BUFFERS_MAX };
	size_t len;
	int rc;

	node_header(n, &m, REMOTE_HELLO, 0);
	m.hdr.session = 0;
	memcpy(m.process, n->process, sizeof(m.process));
	if (gethostname(m.host, sizeof(m.host) - 1) < 0)
		m.host[0] = '\0';
	rc = node_call(n, &m, sizeof(m), a, sizeof(*a), &len);
	return rc == 0 && (len != sizeof(*a) || a->nr_buffers > REMOTE_BUFFERS_MAX) ? PMIO_EPROTO : rc;
}

static int handshake(struct node *n)
{
	struct remote_hello_answer_msg a;
	int rc = n->nr_earlier < LIVENESS_MAX ? say_hello(n, &a) : -EMFILE;

	if (rc < 0)
		return rc;
	close_earlier(n, a.vital);
	/* an endpoint descriptor without a uuid was made from an address only */
	if (memcmp(n->endpoint.uuid, (const uint8_t[16]){ 0 }, 16) == 0)
		memcpy(n->endpoint.uuid, a.uuid, sizeof(a.uuid));
	if (memcmp(n->endpoint.uuid, a.uuid, sizeof(a.uuid)) != 0)
		return PMIO_ENOTPOOL;
	n->session = a.session;
	n->endpoint.chunk_size = a.chunk_size;
	n->nr_buffers = a.nr_buffers;
	memcpy(n->buffer, a.buffer, sizeof(n->buffer));
	rc = show_liveness(n, a.liveness);
	if (rc == 0)
		close_earlier(n, 0);
	return rc == 0 ? join_again(n) : rc;
}

static int begin_session(struct node *n)
{
	struct pmio_fabric_endpoint endpoint = n->endpoint.fabric;
	int rc;

	/* any epoch: a memory node that was restarted still has this process's data */
	endpoint.epoch = 0;
	/* TCP first, as the kernel reports at once if no process listens there; libfabric would report nothing */
	n->liveness.sock = n->endpoint.liveness ? connect_tcp(&n->endpoint, n->endpoint.liveness, n->timeout_ms) : -1;
	if (n->endpoint.liveness && n->liveness.sock < 0)
		return n->liveness.sock;
	rc = pmio_fabric_connect(initiator, &endpoint, n->endpoint.key, &n->peer);
	if (rc == 0)
		rc = handshake(n);
	if (rc < 0) {
		end_session(n);
		return rc;
	}
	n->generation++;
	n->warned = false;
	return 0;
}

/* the error for callers, who do not know about connections */
static int outwards(int rc)
{
	return rc == -EACCES || rc == -ENOMEM || rc == PMIO_ENOTPOOL || rc == PMIO_EVERSION ||
			       rc == PMIO_EPROTO
		       ? rc
		       : -EIO;
}

int node_enter(struct node *n, uint64_t *generation)
{
	int rc = 0;

	if (!node_is_ours())
		return PMIO_EAGENT;
	pthread_mutex_lock(&n->lock);
	use_news(n);
	if (n->lost && n->users == 0)
		end_session(n);
	if (!n->peer || n->lost) {
		/* calls that are still under way in the old session have to notice its end first */
		if (n->users || pmio_now_ms() < n->retry_ms)
			rc = n->last_error ? n->last_error : -EIO;
		else
			rc = begin_session(n);
	}
	if (rc < 0) {
		if (!n->warned)
			pmio_err("node %s: cannot be reached: %s", n->endpoint.host, pmio_strerror(rc));
		n->warned = true;
		n->last_error = rc;
		n->retry_ms = n->retry_ms > pmio_now_ms() ? n->retry_ms : pmio_now_ms() + RETRY_MS;
		rc = outwards(rc);
	} else {
		n->users++;
		*generation = n->generation;
	}
	pthread_mutex_unlock(&n->lock);
	return rc;
}

void node_leave(struct node *n, int rc)
{
	pthread_mutex_lock(&n->lock);
	if (node_is_lost(rc)) {
		if (!n->warned)
			pmio_err("node %s: lost: %s", n->endpoint.host,
				 rc == -ESTALE ? "its target was restarted" : pmio_strerror(rc));
		n->warned = n->lost = true;
		n->last_error = rc;
	}
	if (--n->users == 0 && n->lost)
		end_session(n);
	pthread_mutex_unlock(&n->lock);
}

/*
 * true: no call of that session is under way at the target, which closes the socket after the last one; or the target
 * has ended
 */
static bool is_closed(const struct liveness *l)
{
	struct pollfd p = { .fd = l->sock, .events = POLLIN };
	ssize_t got;
	char byte;

	if (!l->session)
		return true; /* it had no calls */
	poll(&p, 1, ENDING_MS);
	got = recv(l->sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	return got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
}

bool node_has_ended(struct node *n)
{
	bool ended;

	if (!node_is_ours())
		return false;
	pthread_mutex_lock(&n->lock);
	ended = is_closed(&n->liveness);
	for (unsigned i = 0; i < n->nr_earlier && ended; i++)
		ended = is_closed(&n->earlier[i]);
	pthread_mutex_unlock(&n->lock);
	return ended;
}

static void free_node(struct node *n)
{
	struct membership *m, *next;

	DL_FOREACH_SAFE(n->memberships, m, next)
		free_membership(n, m);
	pthread_cond_destroy(&n->buffer_free);
	pthread_mutex_destroy(&n->lock);
	pthread_mutex_destroy(&n->news_lock);
	explicit_bzero(n, sizeof(*n));
	free(n);
}

void remote_disconnect_all(void)
{
	struct node *n, *next;

	pthread_mutex_lock(&nodes_lock);
	if (node_is_ours()) {
		DL_FOREACH_SAFE(nodes, n, next) {
			pthread_mutex_lock(&n->lock);
			end_session(n);
			close_earlier(n, 0);
			say_sent(n);
			pthread_mutex_unlock(&n->lock);
			DL_DELETE(nodes, n);
			free_node(n);
		}
		pmio_fabric_initiator_delete(&initiator);
		owner = 0;
	}
	pthread_mutex_unlock(&nodes_lock);
}

void remote_forget(void)
{
	pthread_mutex_init(&nodes_lock, NULL);
	nodes = NULL;
	initiator = NULL;
	owner = 0;
	atomic_store(&nr_ended, 0);
}

int node_joined(struct node *n, const uint8_t layout[REMOTE_LAYOUT_ID], uint64_t number, const char *layout_file)
{
	struct membership *m = calloc(1, sizeof(*m));

	if (m)
		m->layout_file = strdup(layout_file);
	if (!m || !m->layout_file) {
		free(m);
		return -ENOMEM;
	}
	memcpy(m->layout, layout, sizeof(m->layout));
	m->number = number;
	pthread_mutex_lock(&n->lock);
	DL_APPEND(n->memberships, m);
	pthread_mutex_unlock(&n->lock);
	return 0;
}

void node_left(struct node *n, uint64_t number, bool known, enum remote_keep keep)
{
	struct membership *m;

	pthread_mutex_lock(&n->lock);
	m = find_membership(n, number);
	if (m && known) {
		free_membership(n, m);
	} else if (m) {
		m->left = true;
		m->keep = keep;
	}
	pthread_mutex_unlock(&n->lock);
}

bool node_forgot_any(void)
{
	return atomic_load(&nr_ended) != 0;
}

bool node_is_member(struct node *n, uint64_t number)
{
	bool is;

	pthread_mutex_lock(&n->lock);
	is = find_membership(n, number) != NULL;
	pthread_mutex_unlock(&n->lock);
	return is;
}

/* ---- calls ------------------------------------------------------------------------------ */

void node_header(struct node *n, void *msg, enum remote_op op, uint64_t handle)
{
	struct remote_hdr_msg *h = msg;

	n->sent[op]++;
	h->version = REMOTE_VERSION;
	h->op = (uint16_t)op;
	h->reserved = 0;
	h->session = n->session;
	h->handle = handle;
}

/* ask again until the call is done */
static int await(struct node *n, int rc, void *answer, size_t room, size_t *answer_len)
{
	while (rc == -EINPROGRESS && *answer_len == sizeof(struct remote_ticket_msg)) {
		struct remote_hdr_msg m;
		struct pmio_fabric_exchange x = {
			.request = &m, .request_len = sizeof(m), .answer = answer, .answer_room = room,
		};
		struct remote_ticket_msg t;

		memcpy(&t, answer, sizeof(t));
		node_header(n, &m, REMOTE_WAIT, t.ticket);
		rc = pmio_fabric_call(n->peer, &x);
		*answer_len = x.answer_len;
	}
	return rc;
}

int node_call(struct node *n, const void *msg, size_t len, void *answer, size_t room, size_t *answer_len)
{
	uint64_t ticket;
	bool small = room < sizeof(ticket);
	struct pmio_fabric_exchange x = {
		.request = msg, .request_len = len, .answer = small ? &ticket : answer,
		.answer_room = small ? sizeof(ticket) : room,
	};
	int rc = pmio_fabric_call(n->peer, &x);

	*answer_len = x.answer_len;
	return await(n, rc, x.answer, x.answer_room, answer_len);
}

static int ask_once(struct node *n, void *msg, size_t len, enum remote_op op, void *answer, size_t room,
		    size_t *answer_len)
{
	uint64_t generation;
	int rc = node_enter(n, &generation);

	if (rc < 0)
		return rc;
	node_header(n, msg, op, 0);
	rc = node_call(n, msg, len, answer, room, answer_len);
	node_leave(n, rc);
	return rc;
}

/* all but POINTER: it is unknown whether the target has moved it already */
static bool may_be_repeated(const void *msg)
{
	const struct remote_hdr_msg *h = msg;

	if (h->op == REMOTE_RELAY)
		h = (const struct remote_hdr_msg *)((const struct remote_relay_msg *)msg)->msg;
	return h->op != REMOTE_POINTER;
}

int node_ask(struct node *n, void *msg, size_t len, enum remote_op op, void *answer, size_t room, size_t *answer_len)
{
	int rc = ask_once(n, msg, len, op, answer, room, answer_len);

	/* not after a timeout, which was long enough */
	if (node_is_lost(rc) && rc != -ETIMEDOUT && may_be_repeated(msg)) {
		rc = ask_once(n, msg, len, op, answer, room, answer_len);
		if (rc == -ENOENT && (op == REMOTE_LEAVE || op == REMOTE_DELETE))
			rc = 0; /* the first try was carried out */
	}
	return node_is_lost(rc) ? -EIO : rc;
}

void node_relay_message(struct remote_relay_msg *m, const uint8_t layout[REMOTE_LAYOUT_ID], struct node *to, enum remote_op op)
{
	struct remote_hdr_msg h = { .version = REMOTE_VERSION, .op = (uint16_t)op };

	memset(m, 0, sizeof(*m));
	memcpy(m->layout, layout, sizeof(m->layout));
	node_newest(to, &m->to);
	memcpy(m->msg, &h, sizeof(h));
}

int node_claim(struct node *n, struct remote_claim_msg *m, struct remote_claim_answer_msg *a)
{
	size_t got;
	int rc = node_ask(n, m, sizeof(*m), REMOTE_CLAIM, a, sizeof(*a), &got);

	return rc == 0 && got != sizeof(*a) ? PMIO_EPROTO : rc;
}

int remote_note_endpoint(const struct pmio_settings *settings, const struct remote_endpoint *endpoint)
{
	return node_get(settings, endpoint) ? 0 : -ENOMEM;
}

int remote_pass_on(const struct pmio_settings *settings, const struct remote_endpoint *to, void *msg, size_t len, void *answer, size_t room,
		   size_t *answer_len)
{
	struct node *n = node_get(settings, to);

	return n ? node_ask(n, msg, len, ((const struct remote_hdr_msg *)msg)->op, answer, room, answer_len) : -ENOMEM;
}

int node_wait(struct node *n, struct pmio_fabric_op **op, const void **answer, size_t *len)
{
	int rc = pmio_fabric_wait(*op, answer, len);

	while (rc == -EINPROGRESS && *len == sizeof(struct remote_ticket_msg)) {
		struct remote_ticket_msg t;
		struct remote_hdr_msg m;

		memcpy(&t, *answer, sizeof(t));
		pmio_fabric_end(op, NULL);
		node_header(n, &m, REMOTE_WAIT, t.ticket);
		rc = pmio_fabric_begin(n->peer, NULL, 0, &m, sizeof(m), op);
		if (rc == 0)
			rc = pmio_fabric_wait(*op, answer, len);
		else
			*len = 0;
	}
	return rc;
}

int node_take_buffer(struct node *n, bool wait)
{
	unsigned i;

	pthread_mutex_lock(&n->lock);
	for (;;) {
		for (i = 0; i < n->nr_buffers && n->buffer_used[i]; i++)
			;
		if (i < n->nr_buffers || !wait || n->nr_buffers == 0)
			break;
		pthread_cond_wait(&n->buffer_free, &n->lock);
	}
	if (i < n->nr_buffers)
		n->buffer_used[i] = true;
	else
		i = REMOTE_NO_BUFFER;
	pthread_mutex_unlock(&n->lock);
	return (int)i;
}

void node_give_buffer(struct node *n, int buffer)
{
	pthread_mutex_lock(&n->lock);
	n->buffer_used[buffer] = false;
	pthread_cond_signal(&n->buffer_free);
	pthread_mutex_unlock(&n->lock);
}
