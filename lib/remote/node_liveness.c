/*
 * node_liveness.c -- liveness sockets
 *
 * A liveness socket is a TCP connection that carries the id of a session, the target's answer to that, and then
 * nothing.  The kernel closes it when this process ends, however it ends, and so the target learns that the process's
 * files are to be closed.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "remote/node_impl.h"

#define IDENTIFY_TRIES 5
#define ENDING_MS 1000 /* a process that ends closes its sockets one after the other within this time */

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

int node_liveness_connect(const struct remote_endpoint *endpoint, uint16_t tcp_port, unsigned timeout_ms)
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
	int sock = node_liveness_connect(endpoint, endpoint->liveness, timeout_ms);

	if (sock < 0)
		return sock;
	close(sock);
	return 0;
}

void node_liveness_close(struct liveness *l)
{
	if (l->sock >= 0) {
		shutdown(l->sock, SHUT_RDWR); /* a forked child may have the socket, too */
		close(l->sock);
	}
	l->sock = -1;
	l->session = 0;
}

void node_liveness_close_earlier(struct node *n, uint64_t but)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n->nr_earlier; i++) {
		if (but && n->earlier[i].session == but)
			n->earlier[kept++] = n->earlier[i];
		else
			node_liveness_close(&n->earlier[i]);
	}
	n->nr_earlier = kept;
}

static int identify_once(struct node *n)
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

/* the target may have closed it before it was identified, if unauthenticated peers connect faster than sessions begin */
int node_liveness_identify(struct node *n, uint16_t tcp_port)
{
	int rc = -ECONNRESET;

	for (int i = 0; i < IDENTIFY_TRIES && rc == -ECONNRESET; i++) {
		if (i > 0)
			node_liveness_close(&n->liveness);
		if (n->liveness.sock < 0)
			n->liveness.sock = node_liveness_connect(&n->endpoint, tcp_port, n->timeout_ms);
		rc = n->liveness.sock < 0 ? n->liveness.sock : identify_once(n);
	}
	return rc;
}

bool node_liveness_is_open(const struct liveness *l)
{
	char byte;

	return l->sock >= 0 && recv(l->sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EINTR);
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

bool node_liveness_all_closed(const struct node *n)
{
	bool closed = is_closed(&n->liveness);

	for (unsigned i = 0; i < n->nr_earlier && closed; i++)
		closed = is_closed(&n->earlier[i]);
	return closed;
}
