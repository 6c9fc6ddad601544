/*
 * node.c -- sessions with the targets of other nodes
 *
 * One endpoint a process, and one session a target, shared by all threads and files.
 * A session has a lifeline, a TCP connection that carries its id and then nothing:
 * the kernel closes it when this process ends, however that happens, and so the target
 * knows that its files are to be closed.
 *
 * A session that failed is let go of, and the next call makes another one.
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
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "remote/remote_impl.h"

#define RETRY_MS 1000 /* after a failure others fail at once for so long */

static pthread_mutex_t nodes_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pmio_fabric_port *port; /* under nodes_lock, as all here */
static struct node *nodes;
static _Atomic pid_t owner; /* changed under it */

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool node_is_lost(int rc)
{
	return rc == -ETIMEDOUT || rc == -ECONNRESET || rc == -ESTALE || rc == -ENOTCONN;
}

bool node_is_ours(void)
{
	return owner == 0 || owner == getpid();
}

/* ---- nodes ------------------------------------------------------------------------- */

static struct node *new_node(const struct pmio_settings *s, const struct remote_card *card)
{
	struct node *n = calloc(1, sizeof(*n));
	pthread_condattr_t attr;

	if (!n)
		return NULL;
	n->card = *card;
	n->card.host[sizeof(n->card.host) - 1] = '\0';
	n->timeout_ms = (unsigned)s->num[PMIO_SET_TIMEOUT] * 1000;
	n->lifeline = -1;
	pthread_mutex_init(&n->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&n->slot_free, &attr);
	pthread_condattr_destroy(&attr);
	return n;
}

static int make_port(const struct pmio_settings *s, const struct remote_card *card)
{
	char address[INET6_ADDRSTRLEN];
	struct pmio_fabric_config c = {
		.provider = card->fabric.provider, .address = address, .key = card->key,
		.timeout_ms = (unsigned)s->num[PMIO_SET_TIMEOUT] * 1000, .munge = s->str[PMIO_SET_MUNGE],
	};
	int rc = remote_address(s->str[PMIO_SET_ADDRESS], address, sizeof(address));

	return rc < 0 ? rc : pmio_fabric_port_new(&c, &port);
}

/* its process has not closed the lifeline; n->lock held */
static bool is_alive(const struct node *n)
{
	char byte;

	return n->peer && !n->lost && n->lifeline >= 0 &&
	       recv(n->lifeline, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EINTR);
}

struct node *node_get(const struct pmio_settings *s, const struct remote_card *card)
{
	struct node *n = NULL;

	pthread_mutex_lock(&nodes_lock);
	if (!node_is_ours()) {
		pmio_err("a forked child cannot use its parent's connections to other nodes");
	} else if (port || make_port(s, card) == 0) {
		owner = getpid();
		DL_FOREACH(nodes, n) {
			if (memcmp(n->card.uuid, card->uuid, sizeof(card->uuid)) == 0)
				break;
		}
		if (!n) {
			n = new_node(s, card);
			if (n)
				DL_APPEND(nodes, n);
		} else if (n->card.fabric.epoch != card->fabric.epoch) {
			/* it was started anew, and maybe elsewhere; or the card is an old one, left over with an owner's file */
			pthread_mutex_lock(&n->lock);
			if (!is_alive(n)) {
				n->card = *card;
				n->lost = true;
				n->retry_ms = 0;
			}
			pthread_mutex_unlock(&n->lock);
		}
	}
	pthread_mutex_unlock(&nodes_lock);
	return n;
}

/* ---- sessions; the node's lock held ---------------------------------------------------- */

/* how much was asked of it: that shows how cost grows (doc/scaling.md) */
static void say_sent(const struct node *n)
{
	static const char *const names[REMOTE_NR_OPS] = {
		"", "hello", "wait", "open", "read", "write", "size", "truncate", "sync", "drain",
		"close", "delete", "lock", "unlock", "stat", "grow", "join", "leave", "claim", "watch",
		"stage",
	};
	char text[512] = "";
	size_t len = 0;

	for (int i = 0; i < REMOTE_NR_OPS && len < sizeof(text); i++) {
		if (n->sent[i])
			len += (size_t)snprintf(text + len, sizeof(text) - len, " %s=%u", names[i], n->sent[i]);
	}
	if (len)
		pmio_dbg("node %s: messages:%s", n->card.host, text);
}

static void end_session(struct node *n)
{
	if (n->lifeline >= 0) {
		shutdown(n->lifeline, SHUT_RDWR); /* a forked child may have it too */
		close(n->lifeline);
	}
	n->lifeline = -1;
	pmio_fabric_disconnect(&n->peer);
	n->lost = false;
	n->nr_slots = 0;
	memset(n->slot_used, 0, sizeof(n->slot_used));
	pthread_cond_broadcast(&n->slot_free);
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
static int connect_tcp(const struct remote_card *card, uint16_t tcp_port, unsigned timeout_ms)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} to;
	socklen_t len = sizeof(to.in);
	int rc, sock;

	memset(&to, 0, sizeof(to));
	memcpy(&to, card->fabric.addr, card->fabric.addr_len < sizeof(to) ? card->fabric.addr_len : sizeof(to));
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

int node_probe(const struct remote_card *card, unsigned timeout_ms)
{
	int sock = connect_tcp(card, card->lifeline, timeout_ms);

	if (sock < 0)
		return sock;
	close(sock);
	return 0;
}

static int greet(struct node *n)
{
	struct remote_hello_msg m = {
		.previous = n->session, .pid = (uint32_t)getpid(), .slots = REMOTE_SLOTS_MAX,
	};
	struct remote_hello_answer_msg a;
	size_t len;
	int rc;

	node_header(n, &m, REMOTE_HELLO, 0);
	m.hdr.session = 0;
	if (gethostname(m.host, sizeof(m.host) - 1) < 0)
		m.host[0] = '\0';
	rc = node_call(n, &m, sizeof(m), &a, sizeof(a), &len);
	if (rc == 0 && (len != sizeof(a) || a.nr_slots > REMOTE_SLOTS_MAX))
		rc = PMIO_EPROTO;
	if (rc < 0)
		return rc;
	/* without a uuid the card was made from an address alone */
	if (memcmp(n->card.uuid, (const uint8_t[16]){ 0 }, 16) == 0)
		memcpy(n->card.uuid, a.uuid, sizeof(a.uuid));
	if (memcmp(n->card.uuid, a.uuid, sizeof(a.uuid)) != 0)
		return PMIO_ENOTPOOL;
	n->session = a.session;
	n->card.chunk_size = a.chunk_size;
	n->nr_slots = a.nr_slots;
	memcpy(n->slot, a.slot, sizeof(n->slot));
	if (n->lifeline < 0)
		n->lifeline = connect_tcp(&n->card, a.lifeline, n->timeout_ms);
	if (n->lifeline < 0)
		return n->lifeline;
	return send(n->lifeline, &n->session, sizeof(n->session), MSG_NOSIGNAL) == sizeof(n->session)
		       ? 0
		       : -ECONNRESET;
}

static int begin_session(struct node *n)
{
	struct pmio_fabric_card card = n->card.fabric;
	int rc;

	/* a memory node that was started anew has our data as its predecessor had */
	card.epoch = 0;
	/* first, for the kernel says at once if nobody is there; libfabric says nothing for ever */
	n->lifeline = n->card.lifeline ? connect_tcp(&n->card, n->card.lifeline, n->timeout_ms) : -1;
	if (n->card.lifeline && n->lifeline < 0)
		return n->lifeline;
	rc = pmio_fabric_connect(port, &card, n->card.key, &n->peer);
	if (rc == 0)
		rc = greet(n);
	if (rc < 0) {
		end_session(n);
		return rc;
	}
	n->generation++;
	n->said = false;
	return 0;
}

/* what callers are told: the program knows nothing of connections */
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
	if (n->lost && n->users == 0)
		end_session(n);
	if (!n->peer || n->lost) {
		/* calls that are still under way in the old session first find out that it has ended */
		if (n->users || now_ms() < n->retry_ms)
			rc = n->why ? n->why : -EIO;
		else
			rc = begin_session(n);
	}
	if (rc < 0) {
		if (!n->said)
			pmio_err("node %s: cannot be reached: %s", n->card.host, pmio_strerror(rc));
		n->said = true;
		n->why = rc;
		n->retry_ms = n->retry_ms > now_ms() ? n->retry_ms : now_ms() + RETRY_MS;
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
		if (!n->said)
			pmio_err("node %s: lost: %s", n->card.host,
				 rc == -ESTALE ? "its target was started anew" : pmio_strerror(rc));
		n->said = n->lost = true;
		n->why = rc;
	}
	if (--n->users == 0 && n->lost)
		end_session(n);
	pthread_mutex_unlock(&n->lock);
}

void remote_disconnect_all(void)
{
	struct node *n, *next;

	pthread_mutex_lock(&nodes_lock);
	if (node_is_ours()) {
		DL_FOREACH_SAFE(nodes, n, next) {
			pthread_mutex_lock(&n->lock);
			end_session(n);
			say_sent(n);
			pthread_mutex_unlock(&n->lock);
			DL_DELETE(nodes, n);
			pthread_cond_destroy(&n->slot_free);
			pthread_mutex_destroy(&n->lock);
			free(n);
		}
		pmio_fabric_port_delete(&port);
		owner = 0;
	}
	pthread_mutex_unlock(&nodes_lock);
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

/* it is not done yet: ask again, until it is */
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

int node_end(struct node *n, struct pmio_fabric_op **op, void *answer, size_t room, size_t *answer_len)
{
	struct pmio_fabric_exchange x = { .answer = answer, .answer_room = room };
	int rc = pmio_fabric_end(op, &x);

	*answer_len = x.answer_len;
	return await(n, rc, answer, room, answer_len);
}

int node_take_slot(struct node *n, bool wait)
{
	unsigned i;

	pthread_mutex_lock(&n->lock);
	for (;;) {
		for (i = 0; i < n->nr_slots && n->slot_used[i]; i++)
			;
		if (i < n->nr_slots || !wait || n->nr_slots == 0)
			break;
		pthread_cond_wait(&n->slot_free, &n->lock);
	}
	if (i < n->nr_slots)
		n->slot_used[i] = true;
	else
		i = REMOTE_NO_SLOT;
	pthread_mutex_unlock(&n->lock);
	return (int)i;
}

void node_give_slot(struct node *n, int slot)
{
	pthread_mutex_lock(&n->lock);
	n->slot_used[slot] = false;
	pthread_cond_signal(&n->slot_free);
	pthread_mutex_unlock(&n->lock);
}
