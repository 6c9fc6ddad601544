/*
 * load.c -- many at one target: strangers, and who has the key; for load.sh and tests/cli/crowded.sh
 *
 *   load strangers CARD NR [PORT]    NR connections, in turn to either port (fabric, or liveness: to that one alone), that say
 *                      nothing, or garbage, and come again when they are ended; without PORT also one that begins
 *                      handshakes.  Prints "there" when all are; until killed
 *   load honest CARD NR PROCESSES DIR MS  NR sessions, each with its own endpoint and liveness socket, that open a file below DIR
 *                      and stay until all have.  Prints how long that took; fails if one needed more than MS
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fabric/fabric_impl.h"
#include "remote/remote.h"
#include "remote/wire.h"

static struct remote_endpoint endpoint;

static _Noreturn void die(const char *what, int rc)
{
	fprintf(stderr, "load: %s: %s\n", what, pmio_strerror(rc));
	exit(EXIT_FAILURE);
}

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static struct sockaddr_in address_of(bool liveness)
{
	struct sockaddr_in at;

	memcpy(&at, endpoint.fabric.addr, sizeof(at));
	if (liveness)
		at.sin_port = htons(endpoint.liveness);
	return at;
}

static int connect_to(bool liveness, int flags)
{
	struct sockaddr_in at = address_of(liveness);
	int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	if (sock < 0)
		die("socket", -errno);
	if (connect(sock, (struct sockaddr *)&at, sizeof(at)) == 0 || errno == EINPROGRESS)
		return sock;
	close(sock);
	return -1;
}

/* ---- strangers ----------------------------------------------------------------------------- */

struct stranger {
	int sock;
	bool liveness, talks;
	uint64_t again_us;
};

static void talk(struct stranger *s)
{
	uint8_t bytes[200];
	ssize_t n;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)rand();
	if (s->talks && send(s->sock, bytes, 1 + (size_t)rand() % sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
	    errno != EAGAIN)
		bytes[0] = 0;
	n = recv(s->sock, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		close(s->sock);
		s->sock = -1;
		s->again_us = now_us() + 1000000;
	}
}

/* HELLOs with a nonce of their own each, and nothing else; the answers are not looked at */
static void begin_handshakes(void)
{
	static struct fabric_hello_msg m;
	struct pmio_fabric_config c = { .provider = endpoint.fabric.provider, .address = "127.0.0.1", .key = endpoint.key };
	struct fi_context2 ctx;
	struct fabric_ep ep;
	fi_addr_t to;

	if (fabric_ep_open(&ep, &c, NULL) < 0 ||
	    fabric_ep_add_addr(&ep, endpoint.fabric.addr, endpoint.fabric.addr_len, &to) < 0)
		die("endpoint", -EIO);
	fabric_msg_init(&m.hdr, FABRIC_HELLO, sizeof(m));
	m.addr_len = (uint32_t)ep.addr_len;
	memcpy(m.addr, ep.addr, ep.addr_len);
	for (;; m.hdr.number++) {
		struct fi_cq_msg_entry e;

		memcpy(m.nonce, &m.hdr.number, sizeof(m.hdr.number));
		if (fi_send(ep.ep, &m, sizeof(m), NULL, to, &ctx) == 0)
			fi_cq_sread(ep.cq, &e, 1, NULL, 1000);
		else
			fi_cq_read(ep.cq, &e, 1);
	}
}

static _Noreturn void be_strangers(unsigned nr, const char *only)
{
	struct stranger *s = calloc(nr, sizeof(*s));
	unsigned there = 0, rounds = 0;

	if (!s)
		die("strangers", -ENOMEM);
	for (unsigned i = 0; i < nr; i++) {
		s[i].sock = -1;
		s[i].liveness = only ? strcmp(only, "liveness") == 0 : i % 2;
		s[i].talks = i % 5 >= 3;
	}
	if (!only && fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		begin_handshakes();
	}
	for (;; rounds++) {
		for (unsigned i = 0; i < nr; i++) {
			if (s[i].sock >= 0) {
				talk(&s[i]);
			} else if (now_us() >= s[i].again_us) {
				s[i].sock = connect_to(s[i].liveness, SOCK_NONBLOCK);
				there += there < nr;
			}
		}
		if (there == nr && rounds) {
			puts("there");
			fflush(stdout);
			there++;
		}
		usleep(100000);
	}
}

/* ---- who has the key -------------------------------------------------------------------------- */

struct sums {
	atomic_uint_fast64_t slowest_us, sum_us;
	atomic_uint done, failed;
};

struct session {
	struct pmio_fabric_initiator *port;
	struct pmio_fabric_peer *peer;
	int liveness;
};

static int ask(struct session *s, uint64_t session, void *msg, size_t len, enum remote_op op, void *answer, size_t room)
{
	struct remote_hdr_msg *h = msg;
	struct pmio_fabric_exchange x = { .request = msg, .request_len = len, .answer = answer, .answer_room = room };

	h->version = REMOTE_VERSION;
	h->op = (uint16_t)op;
	h->session = session;
	return pmio_fabric_call(s->peer, &x);
}

static int open_file(struct session *s, uint64_t session, const char *path)
{
	union {
		struct remote_open_msg m;
		uint8_t bytes[sizeof(struct remote_open_msg) + PATH_MAX];
	} u;
	struct remote_open_answer_msg a;

	memset(&u, 0, sizeof(u));
	u.m.flags = PMIO_OPEN_READ | PMIO_OPEN_WRITE | PMIO_OPEN_CREATE;
	u.m.mode = 0600;
	snprintf(u.m.path, PATH_MAX, "%s", path);
	return ask(s, session, &u, sizeof(u.m) + strlen(path) + 1, REMOTE_OPEN, &a, sizeof(a));
}

/* as the first open of a process: 0, or what went wrong */
static int come(struct session *s, const char *path)
{
	struct pmio_fabric_config c = { .provider = endpoint.fabric.provider, .address = "127.0.0.1", .key = endpoint.key,
					.timeout_ms = 60000 };
	struct remote_hello_msg m = { .attempt = 1, .pid = (uint32_t)getpid(), .host = "load" };
	struct remote_hello_answer_msg a;
	uint8_t ack = 0;
	int rc;

	s->liveness = connect_to(true, 0);
	rc = s->liveness < 0 ? -ECONNREFUSED : pmio_fabric_initiator_new(&c, &s->port);
	if (rc == 0)
		rc = pmio_fabric_connect(s->port, &endpoint.fabric, NULL, &s->peer);
	if (rc == 0)
		rc = pmio_fabric_random(m.process, sizeof(m.process));
	if (rc == 0)
		rc = ask(s, 0, &m, sizeof(m), REMOTE_HELLO, &a, sizeof(a));
	if (rc == 0 && (write(s->liveness, &a.session, 8) != 8 || read(s->liveness, &ack, 1) != 1 || ack != REMOTE_LIVENESS_ACK))
		rc = -ECONNRESET;
	return rc < 0 ? rc : open_file(s, a.session, path);
}

static void note(struct sums *sums, int rc, uint64_t us)
{
	uint64_t slowest = atomic_load(&sums->slowest_us);

	if (rc < 0)
		fprintf(stderr, "load: a session: %s\n", pmio_strerror(rc));
	atomic_fetch_add(&sums->failed, rc < 0);
	atomic_fetch_add(&sums->sum_us, us);
	while (us > slowest && !atomic_compare_exchange_weak(&sums->slowest_us, &slowest, us))
		;
	atomic_fetch_add(&sums->done, 1);
}

static _Noreturn void be_process(struct sums *sums, unsigned nr, unsigned all, const char *path)
{
	struct session *s = calloc(nr, sizeof(*s));

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (unsigned i = 0; s && i < nr; i++) {
		uint64_t t0 = now_us();
		int rc = come(&s[i], path);

		note(sums, rc, now_us() - t0);
	}
	while (s && atomic_load(&sums->done) < all)
		usleep(10000);
	usleep(500000); /* for load.sh to look at the target with all of them */
	for (unsigned i = 0; s && i < nr; i++) {
		pmio_fabric_disconnect(&s[i].peer);
		pmio_fabric_initiator_delete(&s[i].port);
		close(s[i].liveness);
	}
	_exit(s ? 0 : 1);
}

static int be_honest(unsigned nr, unsigned processes, const char *dir, uint64_t ms)
{
	struct sums *sums = mmap(NULL, sizeof(*sums), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned each = nr / processes;
	int status, bad = 0;

	if (sums == MAP_FAILED || !pmio_fabric_version()) /* loads libfabric once for all */
		die("processes", -ENOMEM);
	for (unsigned i = 0; i < processes; i++) {
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "%s/file.%u", dir, i);
		if (fork() == 0)
			be_process(sums, each, each * processes, path);
	}
	while (wait(&status) > 0)
		bad += status != 0;
	printf("%u sessions, %u failed; an open took %.3f s, the slowest %.3f s\n", atomic_load(&sums->done),
	       atomic_load(&sums->failed), (double)atomic_load(&sums->sum_us) / 1e6 / each / processes,
	       (double)atomic_load(&sums->slowest_us) / 1e6);
	return bad || atomic_load(&sums->failed) || atomic_load(&sums->done) != each * processes ||
	       atomic_load(&sums->slowest_us) > ms * 1000;
}

int main(int argc, char **argv)
{
	struct rlimit r;
	int rc;

	if (argc < 4) {
		fputs("usage: load strangers CARD NR [fabric|liveness] | honest CARD NR PROCESSES DIR MS\n", stderr);
		return 2;
	}
	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
	rc = remote_endpoint_load(AT_FDCWD, argv[2], &endpoint);
	if (rc < 0)
		die(argv[2], rc);
	if (strcmp(argv[1], "honest") == 0 && argc == 7)
		return be_honest((unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]), argv[5], (uint64_t)atoi(argv[6]));
	be_strangers((unsigned)atoi(argv[3]), argc > 4 ? argv[4] : NULL);
}
