/*
 * connections.c -- connections of unauthenticated peers ("strangers") to a provider's own port
 *
 * Providers in software accept any connection to their port, and keep it until the peer closes it: a few hundred idle
 * connections then use all descriptors of the process, and no other peer can connect.  libfabric has no call to
 * prevent that.  But this process can inspect its sockets: those with the endpoint's address at this end are the ones
 * that it has accepted.  A connection is a stranger's if it has carried too few bytes for a proof, or comes from a
 * host from which no initiator has been authenticated.  When a quarter of the descriptors is in use the oldest
 * strangers' connections are ended.
 *
 * Their descriptors are not closed, as libfabric owns them: the connections are shut down, and libfabric notices that
 * as if the peer had done it.
 *
 * XXX A stranger that speaks libfabric's protocol from a host with authenticated initiators is not found, and
 * libfabric itself parses what strangers send: its port is for trusted networks.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uthash.h>

#include "fabric/fabric_impl.h"

#define PROVEN_BYTES (sizeof(struct fabric_hello_msg) + PROOF_SIZE) /* bytes that an authenticated peer has sent at least */
#define SILENT_BYTES 32	  /* less than the first bytes of any libfabric connection */
#define PROOF_MS 10000	  /* for a proof to come, when there are many connections */
#define FORGOTTEN_MS 5000 /* libfabric's `net` no longer uses a socket that it has not closed within this time */
#define LOOK_MS 1000
#define LOOK_OFTEN_MS 250

struct connection {
	int fd;			/* key */
	uint64_t cookie;	/* the kernel's number of the socket */
	uint64_t since_ms, ended_ms; /* ended_ms: 0: it was not ended */
	uint64_t received;		/* bytes */
	bool here, stranger;
	UT_hash_handle hh;
};

union name {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

void fabric_connections_init(struct fabric_connections *cs, const struct fabric_ep *ep)
{
	struct rlimit r;

	*cs = (struct fabric_connections){ .ep = ep, .spare_fd = -1 };
	if (((const struct sockaddr *)ep->addr)->sa_family != AF_INET &&
	    ((const struct sockaddr *)ep->addr)->sa_family != AF_INET6)
		return; /* its connections cannot be seen here */
	if (getrlimit(RLIMIT_NOFILE, &r) == 0)
		cs->limit = r.rlim_cur < INT32_MAX ? (unsigned)r.rlim_cur : INT32_MAX;
	cs->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void forget(struct fabric_connections *cs, bool all)
{
	struct connection *s, *next;

	HASH_ITER(hh, cs->seen, s, next) {
		if (s->here && !all)
			continue;
		HASH_DEL(cs->seen, s);
		free(s);
	}
}

void fabric_connections_fini(struct fabric_connections *cs)
{
	forget(cs, true);
	if (cs->spare_fd >= 0)
		close(cs->spare_fd);
	cs->spare_fd = -1;
}

/* the lowest free descriptor: are too many below it in use? */
static bool is_crowded(const struct fabric_connections *cs)
{
	int fd = fcntl(cs->spare_fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return true;
	close(fd);
	return (unsigned)fd >= cs->limit / 4;
}

/* is it a connection that was made to the endpoint? */
static bool is_accepted(const struct fabric_connections *cs, int fd)
{
	union name at, ours;
	socklen_t len = sizeof(at), size = sizeof(int);
	int listens = 0;

	memcpy(&ours, cs->ep->addr, cs->ep->addr_len < sizeof(ours) ? cs->ep->addr_len : sizeof(ours));
	if (getsockname(fd, &at.sa, &len) < 0 || at.sa.sa_family != ours.sa.sa_family)
		return false;
	if (at.sa.sa_family == AF_INET ? at.in.sin_port != ours.in.sin_port ||
						 at.in.sin_addr.s_addr != ours.in.sin_addr.s_addr
				       : at.in6.sin6_port != ours.in6.sin6_port ||
						 memcmp(&at.in6.sin6_addr, &ours.in6.sin6_addr, 16) != 0)
		return false;
	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && !listens;
}

static struct connection *get_connection(struct fabric_connections *cs, int fd)
{
	struct connection *s;
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len);
	HASH_FIND_INT(cs->seen, &fd, s);
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return NULL;
		s->fd = fd;
		HASH_ADD_INT(cs->seen, fd, s);
	}
	if (s->cookie != cookie || !s->since_ms) {
		s->cookie = cookie;
		s->since_ms = fabric_now_ms();
		s->ended_ms = 0;
	}
	return s;
}

static void look_at(struct fabric_connections *cs, int fd, bool (*is_known)(void *arg, const struct sockaddr *peer), void *arg)
{
	struct connection *s = is_accepted(cs, fd) ? get_connection(cs, fd) : NULL;
	socklen_t len = sizeof(struct tcp_info), name_len = sizeof(union name);
	struct tcp_info info;
	union name peer;

	if (!s)
		return;
	memset(&info, 0, sizeof(info));
	s->here = true;
	s->received = PROVEN_BYTES; /* Linux before 4.1 does not report it */
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	    len >= offsetof(struct tcp_info, tcpi_bytes_received) + sizeof(info.tcpi_bytes_received))
		s->received = info.tcpi_bytes_received;
	s->stranger = s->received < PROVEN_BYTES || getpeername(fd, &peer.sa, &name_len) < 0 || !is_known(arg, &peer.sa);
}

/* look at all open descriptors; false: they cannot be listed */
static bool look_at_all(struct fabric_connections *cs, bool (*is_known)(void *arg, const struct sockaddr *peer), void *arg)
{
	struct dirent *e;
	struct connection *s;
	DIR *d;

	if (cs->spare_fd >= 0)
		close(cs->spare_fd); /* listing takes one */
	d = opendir("/proc/self/fd");
	for (s = cs->seen; s; s = s->hh.next)
		s->here = s->stranger = false;
	while (d && (e = readdir(d)) != NULL) {
		if (e->d_name[0] != '.' && atoi(e->d_name) != dirfd(d))
			look_at(cs, atoi(e->d_name), is_known, arg);
	}
	if (d)
		closedir(d);
	cs->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	forget(cs, false);
	return d != NULL;
}

static void end(struct fabric_connections *cs, struct connection *s)
{
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };

	if (!s->ended_ms) {
		s->ended_ms = fabric_now_ms();
		/* the end of a silent connection: `net` always notices an error at once, but not always an end of file */
		if (s->received >= SILENT_BYTES || connect(s->fd, &nobody, sizeof(nobody)) < 0)
			shutdown(s->fd, SHUT_RDWR);
	} else if (fabric_now_ms() - s->ended_ms > FORGOTTEN_MS && s->received < SILENT_BYTES &&
		   strcmp(fabric_ep_provider(cs->ep), "net") == 0) {
		/* libfabric 1.17 forgets a connection that ends before anything was sent, and leaks its socket */
		close(s->fd);
		HASH_DEL(cs->seen, s);
		free(s);
	}
}

static int by_age(const struct connection *a, const struct connection *b)
{
	if (a->since_ms != b->since_ms)
		return a->since_ms < b->since_ms ? -1 : 1;
	return a->cookie < b->cookie ? -1 : a->cookie > b->cookie;
}

static void end_strangers(struct fabric_connections *cs)
{
	const uint64_t now = fabric_now_ms();
	unsigned nr = 0, ended = 0, most = cs->limit / 4 - cs->limit / 16; /* so that not each new one needs this */
	struct connection *s, *next;

	for (s = cs->seen; s; s = s->hh.next)
		nr += s->stranger;
	if (nr <= cs->limit / 4)
		most = nr;
	HASH_SORT(cs->seen, by_age);
	HASH_ITER(hh, cs->seen, s, next) {
		if (!s->stranger || (nr <= most && now - s->since_ms <= PROOF_MS && !s->ended_ms))
			continue;
		ended += !s->ended_ms;
		nr -= nr > 0;
		end(cs, s);
	}
	if (ended)
		pmio_dbg("fabric: %u connections of strangers were ended", ended);
}

int fabric_connections_look(struct fabric_connections *cs, bool (*is_known)(void *arg, const struct sockaddr *peer), void *arg)
{
	uint64_t now = fabric_now_ms();
	bool crowded;

	if (!cs->limit)
		return -1;
	if (now < cs->next_ms)
		return (int)(cs->next_ms - now);
	crowded = is_crowded(cs);
	if ((crowded || cs->seen) && look_at_all(cs, is_known, arg))
		end_strangers(cs);
	if (!crowded) { /* after a crowded time, continue until no stranger's connection is left */
		struct connection *s = cs->seen;

		while (s && !s->stranger)
			s = s->hh.next;
		if (!s)
			forget(cs, true);
	}
	cs->next_ms = now + (crowded ? LOOK_OFTEN_MS : LOOK_MS);
	return (int)(cs->next_ms - now);
}
