/*
 * mesh.c -- mesh DIR ME NR ADDRESS SECONDS [LOST]: all processes write to and read from each other's memory
 *
 * Process ME of NR, 0 to NR - 1, each on some host.  Each offers memory (lib/fabric)
 * and puts its endpoint descriptor into DIR, which all share; then it writes random pieces into
 * its own part of all the others' memories, up to three of them at once, has the target
 * add up what came, reads it back, and compares.  Ends with 0 when every byte was right.
 *
 * LOST  the process that will be lost on the way: what is asked of it must fail from
 *       then on, each time within the timeout, and nothing else may
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/error.h"
#include "fabric/fabric.h"

#define MEMORY (16u << 20)
#define PROCESSES_MAX 32
#define BATCH_MAX 3
#define PIECE_MAX (300u << 10)
#define TIMEOUT_MS 8000
#define WAIT_LIMIT_MS 60000 /* for the others to be there */

static unsigned me, nr, part;
static int lost = -1;
static const char *dir;
static uint8_t *memory;
static uint8_t key[PMIO_FABRIC_KEY_SIZE];
static struct pmio_fabric_peer *peers[PROCESSES_MAX];
static bool is_down[PROCESSES_MAX];
static unsigned long nr_good, nr_failed;
static uint64_t rng;

static void die(const char *what, int rc)
{
	fprintf(stderr, "mesh %u: %s: %s\n", me, what, pmio_strerror(rc));
	exit(EXIT_FAILURE);
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* xorshift64: Marsaglia, "Xorshift RNGs", 2003 */
static unsigned draw(unsigned n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (unsigned)((rng >> 11) % n);
}

static uint64_t add_up(const uint8_t *p, size_t len)
{
	uint64_t sum = len;

	for (size_t i = 0; i < len; i++)
		sum = sum * 31 + p[i];
	return sum;
}

struct range {
	uint64_t off, len;
};

static void answer(struct pmio_fabric_call *call, const void *msg, size_t len, void *arg)
{
	const struct range *r = msg;
	uint64_t sum = 0;

	(void)arg;
	if (len != sizeof(*r) || r->off > MEMORY || r->len > MEMORY - r->off) {
		pmio_fabric_reply(call, -EINVAL, NULL, 0);
		return;
	}
	sum = add_up(memory + r->off, r->len);
	pmio_fabric_reply(call, 0, &sum, sizeof(sum));
}

/* ---- finding each other ------------------------------------------------------------------ */

static void publish(const char *name, const void *data, size_t size)
{
	char tmp[512], path[512];
	int fd;

	snprintf(tmp, sizeof(tmp), "%s/.%s.%u", dir, name, me);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size || close(fd) < 0 || rename(tmp, path) < 0)
		die(path, -errno);
}

static void await(const char *name, void *data, size_t size)
{
	uint64_t until = now_ms() + WAIT_LIMIT_MS;
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	while ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0) {
		if (now_ms() > until)
			die(path, -ETIMEDOUT);
		usleep(20000);
	}
	if (read(fd, data, size) != (ssize_t)size)
		die(path, -EIO);
	close(fd);
}

static void offer(const char *address)
{
	struct pmio_fabric_config c = { .address = address, .key = key, .timeout_ms = TIMEOUT_MS };
	struct pmio_fabric_target *target;
	struct pmio_fabric_endpoint endpoint;
	char name[32];
	int rc;

	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (memory == MAP_FAILED)
		die("memory", -errno);
	rc = pmio_fabric_target_new(&c, memory, MEMORY, answer, NULL, &target);
	if (rc < 0)
		die("target", rc);
	pmio_fabric_target_endpoint(target, &endpoint);
	snprintf(name, sizeof(name), "card.%u", me);
	publish(name, &endpoint, sizeof(endpoint));
}

static void connect_all(const char *address)
{
	struct pmio_fabric_config c = { .address = address, .key = key, .timeout_ms = TIMEOUT_MS };
	struct pmio_fabric_initiator *port;
	int rc = pmio_fabric_initiator_new(&c, &port);

	if (rc < 0)
		die("port", rc);
	for (unsigned i = 0; i < nr; i++) {
		struct pmio_fabric_endpoint endpoint;
		char name[32];

		snprintf(name, sizeof(name), "card.%u", i);
		await(name, &endpoint, sizeof(endpoint));
		rc = pmio_fabric_connect(port, &endpoint, NULL, &peers[i]);
		if (rc < 0)
			die(name, rc);
	}
}

/* nobody is lost, and nobody leaves, while another still connects or works */
static void meet(const char *what)
{
	char name[64], c = 'x';

	snprintf(name, sizeof(name), "%s.%u", what, me);
	publish(name, &c, 1);
	for (unsigned i = 0; i < nr; i++) {
		if ((int)i == lost && strcmp(what, "done") == 0)
			continue;
		snprintf(name, sizeof(name), "%s.%u", what, i);
		await(name, &c, 1);
	}
}

/* ---- work ----------------------------------------------------------------------------------- */

/* write up to four pieces; returns where they lie: from the first to the end of the last */
static struct range draw_pieces(struct pmio_fabric_piece *pieces, unsigned *n, uint8_t *buf)
{
	struct range r = { me * part + draw(part / 8), 0 };
	uint64_t at = r.off;

	*n = 1 + draw(4);
	for (unsigned i = 0; i < *n; i++) {
		size_t len = 1 + draw(draw(4) ? 5000 : PIECE_MAX / 4);

		pieces[i] = (struct pmio_fabric_piece){ at, buf + (at - r.off), len };
		at += len;
	}
	r.len = at - r.off;
	for (size_t i = 0; i < r.len; i++)
		buf[i] = (uint8_t)draw(256);
	return r;
}

struct try {
	unsigned to;
	uint8_t *buf, *back; /* PIECE_MAX bytes */
	struct range r;
	struct pmio_fabric_op *op;
	int rc;
};

static void begin(struct try *t)
{
	struct pmio_fabric_piece pieces[4];
	unsigned n;

	t->r = draw_pieces(pieces, &n, t->buf);
	t->rc = pmio_fabric_begin(peers[t->to], pieces, n, &t->r, sizeof(t->r), &t->op);
}

static void write_now(struct try *t, uint64_t *sum)
{
	struct pmio_fabric_piece pieces[4];
	struct pmio_fabric_exchange x = { &t->r, sizeof(t->r), sum, sizeof(*sum), 0 };
	unsigned n;

	t->r = draw_pieces(pieces, &n, t->buf);
	t->rc = pmio_fabric_write(peers[t->to], pieces, n, &x);
}

/* the rest of what was begun; or, if nothing was, all */
static void finish(struct try *t)
{
	uint64_t sum = 0;
	struct pmio_fabric_exchange x = { .answer = &sum, .answer_room = sizeof(sum) };
	struct pmio_fabric_piece in;

	if (t->op)
		t->rc = pmio_fabric_end(&t->op, &x);
	else if (t->rc == 0)
		write_now(t, &sum);
	if (t->rc < 0)
		return;
	if (sum != add_up(t->buf, t->r.len))
		die("the target has other bytes", -EIO);
	in = (struct pmio_fabric_piece){ t->r.off, t->back, t->r.len };
	t->rc = pmio_fabric_read(peers[t->to], &in, 1);
	if (t->rc == 0 && memcmp(t->buf, t->back, t->r.len) != 0)
		die("other bytes were read", -EIO);
}

static void judge(const struct try *t)
{
	if (t->rc == 0 && is_down[t->to])
		die("who was down is there again, unasked", -EPROTO);
	if (t->rc < 0 && (int)t->to != lost)
		die("a peer that is there", t->rc);
	is_down[t->to] |= t->rc < 0;
	nr_good += t->rc == 0;
	nr_failed += t->rc < 0;
}

/* one, or some under way at once, each to another process */
static void try(struct try *t)
{
	unsigned n = 1 + draw(BATCH_MAX), first = draw(nr);
	uint64_t begun = now_ms();

	if (n > nr)
		n = nr;
	for (unsigned i = 0; i < n; i++) {
		t[i].to = (first + i) % nr;
		t[i].rc = 0;
		if (n > 1)
			begin(&t[i]);
	}
	for (unsigned i = 0; i < n; i++)
		finish(&t[i]);
	for (unsigned i = 0; i < n; i++)
		judge(&t[i]);
	if (now_ms() - begun > n * TIMEOUT_MS + WAIT_LIMIT_MS) /* for whatever this machine does meanwhile */
		die("it has hung", -ETIMEDOUT);
}

static void work(unsigned seconds)
{
	struct try t[BATCH_MAX] = { 0 };
	uint64_t until = now_ms() + seconds * 1000;

	for (unsigned i = 0; i < BATCH_MAX; i++) {
		t[i].buf = malloc(PIECE_MAX);
		t[i].back = malloc(PIECE_MAX);
		if (!t[i].buf || !t[i].back)
			die("memory", -ENOMEM);
	}
	while (now_ms() < until)
		try(t);
	for (unsigned i = 0; i < BATCH_MAX; i++) {
		free(t[i].buf);
		free(t[i].back);
	}
}

int main(int argc, char **argv)
{
	if (argc < 6) {
		fputs("usage: mesh DIR ME NR ADDRESS SECONDS [LOST]\n", stderr);
		return 2;
	}
	dir = argv[1];
	me = (unsigned)strtoul(argv[2], NULL, 0);
	nr = (unsigned)strtoul(argv[3], NULL, 0);
	if (argc > 6)
		lost = (int)strtol(argv[6], NULL, 0);
	if (nr < 1 || nr > PROCESSES_MAX || me >= nr)
		return 2;
	part = MEMORY / nr;
	rng = 1000003 * (me + 1);
	if (me == 0) {
		if (pmio_fabric_new_key(key) < 0)
			return 1;
		publish("key", key, sizeof(key));
	}
	await("key", key, sizeof(key));
	offer(argv[4]);
	connect_all(argv[4]);
	meet("connected");
	work((unsigned)strtoul(argv[5], NULL, 0));
	meet("done");
	printf("mesh %u: %lu good, %lu failed\n", me, nr_good, nr_failed);
	return lost >= 0 && (int)me != lost && nr_failed == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
