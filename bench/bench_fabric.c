/*
 * bench_fabric.c -- lib/fabric beside a plain loop of libfabric calls, one host's loopback or between two
 *
 *	bench_fabric ADDRESS [MIB]           target in a child, on this host
 *	bench_fabric --serve ADDRESS         a target; prints its endpoint descriptor and the key
 *	bench_fabric --to CARD-AND-KEY ADDRESS [MIB]
 *
 * Each line: what, the plain loop, lib/fabric, and the second's share of the first's
 * speed.  The two take turns, ROUNDS times; medians.
 *
 *   write 1 MiB   one at a time, complete at the target when it counts
 *   write 4 KiB   with a message that is answered, both posted at once
 *   read          as written
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fabric/fabric_impl.h"

#define MEMORY (64u << 20)
#define ROUNDS 9
#define PLAIN_MSG 64 /* bytes of the plain loop's message */

struct public {
	struct pmio_fabric_endpoint endpoint;
	uint8_t key[PMIO_FABRIC_KEY_SIZE];
	/* for the plain loop, which proves nothing */
	uint8_t addr[PMIO_FABRIC_ADDR_MAX];
	uint64_t addr_len, mr_key, base;
};

static void die(const char *what, int rc)
{
	fprintf(stderr, "bench_fabric: %s: %s\n", what, pmio_strerror(rc));
	exit(EXIT_FAILURE);
}

static void good(int rc, const char *what)
{
	if (rc < 0)
		die(what, rc);
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- the plain target: a thread's loop that answers messages ------------------------------- */

static void serve_plain(struct fabric_ep *ep)
{
	static uint8_t in[PLAIN_MSG + PMIO_FABRIC_ADDR_MAX], out[PLAIN_MSG];
	struct fi_context2 rx, tx;
	struct fi_cq_msg_entry e;
	fi_addr_t from = FI_ADDR_UNSPEC;

	fi_recv(ep->ep, in, sizeof(in), NULL, FI_ADDR_UNSPEC, &rx);
	for (;;) {
		ssize_t n = fi_cq_sread(ep->cq, &e, 1, NULL, -1);

		if (n == -FI_EAVAIL) {
			struct fi_cq_err_entry err = { 0 };

			fi_cq_readerr(ep->cq, &err, 0);
		}
		if (n != 1 || !(e.flags & FI_RECV))
			continue;
		if (e.len > PLAIN_MSG) /* the first one says where answers go */
			fabric_ep_add_addr(ep, in + PLAIN_MSG, e.len - PLAIN_MSG, &from);
		fi_recv(ep->ep, in, sizeof(in), NULL, FI_ADDR_UNSPEC, &rx);
		while (fi_send(ep->ep, out, sizeof(out), NULL, from, &tx) == -FI_EAGAIN)
			fi_cq_read(ep->cq, NULL, 0);
	}
}

static void answer(struct pmio_fabric_call *call, const void *msg, size_t len, void *arg)
{
	(void)arg;
	pmio_fabric_reply(call, 0, msg, len);
}

static _Noreturn void serve(const char *address, int out)
{
	struct public p = { .mr_key = 0 };
	struct pmio_fabric_config c = { .address = address, .key = p.key };
	uint8_t *memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	struct pmio_fabric_target *target;
	struct fabric_ep plain;
	struct fid_mr *mr;

	good(pmio_fabric_new_key(p.key), "key");
	good(pmio_fabric_target_new(&c, memory, MEMORY, answer, NULL, &target), "target");
	pmio_fabric_target_endpoint(target, &p.endpoint);
	good(fabric_ep_open(&plain, &c, NULL), "endpoint");
	good(fabric_ep_register(&plain, memory, MEMORY, FI_REMOTE_READ | FI_REMOTE_WRITE, 77, &mr), "memory");
	memcpy(p.addr, plain.addr, plain.addr_len);
	p.addr_len = plain.addr_len;
	p.mr_key = fi_mr_key(mr);
	p.base = plain.info->domain_attr->mr_mode & FI_MR_VIRT_ADDR ? (uint64_t)(uintptr_t)memory : 0;
	if (out == STDOUT_FILENO) {
		for (size_t i = 0; i < sizeof(p); i++)
			printf("%02x", ((uint8_t *)&p)[i]);
		putchar('\n');
		fflush(stdout);
	} else if (write(out, &p, sizeof(p)) != sizeof(p)) {
		exit(EXIT_FAILURE);
	}
	serve_plain(&plain);
	exit(EXIT_SUCCESS);
}

/* ---- the plain port ---------------------------------------------------------------------------- */

struct plain {
	struct fabric_ep ep;
	const struct public *p;
	fi_addr_t to;
	uint8_t in[PLAIN_MSG], out[PLAIN_MSG + PMIO_FABRIC_ADDR_MAX];
	struct fi_context2 rx, tx, rma;
};

static void plain_wait(struct plain *q, unsigned nr)
{
	struct fi_cq_msg_entry e[8];

	while (nr) {
		ssize_t n = fi_cq_sread(q->ep.cq, e, nr, NULL, 1000);

		if (n > 0)
			nr -= (unsigned)n;
		else if (n != -FI_EAGAIN)
			die("plain loop", fabric_error(n));
	}
}

static void plain_post_rma(struct plain *q, int reads, void *buf, size_t len, uint64_t off)
{
	struct iovec iov = { buf, len };
	struct fi_rma_iov remote = { q->p->base + off, len, q->p->mr_key };
	struct fi_msg_rma m = {
		.msg_iov = &iov, .iov_count = 1, .addr = q->to, .rma_iov = &remote, .rma_iov_count = 1,
		.context = &q->rma,
	};
	ssize_t rc;

	do {
		rc = reads ? fi_readmsg(q->ep.ep, &m, FI_COMPLETION)
			   : fi_writemsg(q->ep.ep, &m, FI_COMPLETION | FI_DELIVERY_COMPLETE);
		if (rc == -FI_EAGAIN)
			fi_cq_read(q->ep.cq, NULL, 0);
	} while (rc == -FI_EAGAIN);
	good(fabric_error(rc), "post");
}

/* a message; its sending and its answer are two completions */
static void plain_post_message(struct plain *q, size_t len)
{
	fi_recv(q->ep.ep, q->in, sizeof(q->in), NULL, FI_ADDR_UNSPEC, &q->rx);
	while (fi_send(q->ep.ep, q->out, len, NULL, q->to, &q->tx) == -FI_EAGAIN)
		fi_cq_read(q->ep.cq, NULL, 0);
}

static void plain_open(struct plain *q, const struct public *p, const char *address)
{
	struct pmio_fabric_config c = { .address = address };

	q->p = p;
	good(fabric_ep_open(&q->ep, &c, NULL), "endpoint");
	good(fabric_ep_add_addr(&q->ep, p->addr, p->addr_len, &q->to), "address");
	memcpy(q->out + PLAIN_MSG, q->ep.addr, q->ep.addr_len);
	plain_post_message(q, PLAIN_MSG + q->ep.addr_len);
	plain_wait(q, 2);
}

/* ---- what is measured ------------------------------------------------------------------------------ */

struct bench {
	struct plain plain;
	struct pmio_fabric_peer *peer;
	uint8_t *buf;
	size_t total; /* bytes a round */
};

enum { WRITES, READS, ASKS };

static double run_plain(struct bench *b, int what, size_t size)
{
	double t0 = now_s();

	for (size_t at = 0; at < b->total; at += size) {
		plain_post_rma(&b->plain, what == READS, b->buf + at % MEMORY, size, at % MEMORY);
		if (what == ASKS)
			plain_post_message(&b->plain, PLAIN_MSG);
		plain_wait(&b->plain, what == ASKS ? 3 : 1);
	}
	return now_s() - t0;
}

static double run_ours(struct bench *b, int what, size_t size)
{
	uint8_t msg[PLAIN_MSG] = { 0 }, back[PLAIN_MSG];
	struct pmio_fabric_exchange x = { msg, sizeof(msg), back, sizeof(back), 0 };
	double t0 = now_s();

	for (size_t at = 0; at < b->total; at += size) {
		struct pmio_fabric_piece piece = { at % MEMORY, b->buf + at % MEMORY, size };

		good(what == READS ? pmio_fabric_read(b->peer, &piece, 1)
				   : pmio_fabric_write(b->peer, &piece, 1, what == ASKS ? &x : NULL),
		     "lib/fabric");
	}
	return now_s() - t0;
}

static int by_value(const void *x, const void *y)
{
	double a = *(const double *)x, b = *(const double *)y;

	return (a > b) - (a < b);
}

static void compare(struct bench *b, const char *name, int what, size_t size, size_t total)
{
	double plain[ROUNDS], ours[ROUNDS];

	b->total = total;
	for (int i = 0; i < ROUNDS; i++) {
		plain[i] = run_plain(b, what, size);
		ours[i] = run_ours(b, what, size);
	}
	qsort(plain, ROUNDS, sizeof(*plain), by_value);
	qsort(ours, ROUNDS, sizeof(*ours), by_value);
	printf("%-28s %9.1f %9.1f us  %5.0f %%\n", name, plain[ROUNDS / 2] * 1e6 * (double)size / (double)total,
	       ours[ROUNDS / 2] * 1e6 * (double)size / (double)total, 100 * plain[ROUNDS / 2] / ours[ROUNDS / 2]);
}

static void measure(const struct public *p, const char *address, size_t mib)
{
	struct pmio_fabric_config c = { .address = address, .key = p->key };
	struct pmio_fabric_initiator *port;
	struct bench b = { .buf = malloc(MEMORY) };

	memset(b.buf, 'x', MEMORY);
	plain_open(&b.plain, p, address);
	good(pmio_fabric_initiator_new(&c, &port), "port");
	good(pmio_fabric_connect(port, &p->endpoint, NULL, &b.peer), "connect");
	printf("# %s, provider %s, median of %d; time of one\n", pmio_fabric_version(), p->endpoint.provider, ROUNDS);
	printf("%-28s %9s %9s     speed of lib/fabric\n", "", "plain", "lib/fabric");
	compare(&b, "write 1 MiB", WRITES, 1 << 20, mib << 20);
	compare(&b, "read 1 MiB", READS, 1 << 20, mib << 20);
	compare(&b, "write 4 KiB", WRITES, 4096, 2000 * 4096);
	compare(&b, "write 4 KiB and message", ASKS, 4096, 2000 * 4096);
	compare(&b, "read 4 KiB", READS, 4096, 2000 * 4096);
	pmio_fabric_disconnect(&b.peer);
	pmio_fabric_initiator_delete(&port);
	free(b.buf);
}

static void parse_public(const char *hex, struct public *p)
{
	for (size_t i = 0; i < sizeof(*p); i++) {
		unsigned byte;

		if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
			die("endpoint descriptor and key", -EINVAL);
		((uint8_t *)p)[i] = (uint8_t)byte;
	}
}

static void measure_here(const char *address, size_t mib)
{
	struct public p;
	int fds[2];
	pid_t pid;

	if (pipe(fds) < 0)
		die("pipe", -errno);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(address, fds[1]);
	}
	if (pid < 0 || read(fds[0], &p, sizeof(p)) != sizeof(p))
		die("target", PMIO_EAGENT);
	measure(&p, address, mib);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
	struct public p;

	if (argc == 3 && !strcmp(argv[1], "--serve"))
		serve(argv[2], STDOUT_FILENO);
	if (argc >= 4 && !strcmp(argv[1], "--to")) {
		parse_public(argv[2], &p);
		measure(&p, argv[3], argc > 4 ? strtoul(argv[4], NULL, 0) : 256);
		return 0;
	}
	if (argc < 2 || argv[1][0] == '-') {
		fputs("usage: bench_fabric [--serve | --to CARD-AND-KEY] ADDRESS [MIB]\n", stderr);
		return 2;
	}
	measure_here(argv[1], argc > 2 ? strtoul(argv[2], NULL, 0) : 256);
	return 0;
}
