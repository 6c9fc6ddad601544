/*
 * test_fabric.c -- lib/fabric: a target in a process of its own, on this machine's loopback
 *
 * TEST_PROVIDER in the environment: another provider than the first that is there
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/log.h"
#include "fabric/fabric_impl.h"

/* libfabric's `net` keeps what it had of connections that end with their endpoint; only LeakSanitizer asks */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libfabric.so";
}

const char *__lsan_default_options(void);
const char *__lsan_default_options(void)
{
	return "print_suppressions=0";
}

#define MEMORY (8u << 20)
#define TIMEOUT_MS 2000 /* after so long a peer is down, in these tests */

/* requests that the target of the tests knows: a word */
enum { ECHO, ADD_UP, SLOWLY, NEVER, SESSIONS };

struct request {
	uint64_t what, off, len;
};

static uint8_t key[PMIO_FABRIC_KEY_SIZE];
static uint8_t *memory; /* shared with the target */
static struct pmio_fabric_card card;
static pid_t target_pid;
static struct pmio_fabric_port *port;
static struct pmio_fabric_peer *peer;

static struct pmio_fabric_config config_of(const uint8_t *k, const char *service)
{
	struct pmio_fabric_config c = {
		.provider = getenv("TEST_PROVIDER"), .address = "127.0.0.1", .service = service, .key = k,
		.timeout_ms = TIMEOUT_MS,
	};

	return c;
}

/* ---- the target's process ------------------------------------------------------------ */

static struct pmio_fabric_target *target;

static uint64_t add_up(uint64_t off, uint64_t len)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < len; i++)
		sum = sum * 31 + memory[off + i];
	return sum;
}

static void *answer_later(void *arg)
{
	usleep(100000);
	pmio_fabric_reply(arg, 0, "late", 5);
	return NULL;
}

static void handle(struct pmio_fabric_call *call, const void *msg, size_t len, void *arg)
{
	const struct request *r = msg;
	pthread_t thread;
	uint64_t n;

	(void)arg;
	if (len < sizeof(*r)) {
		pmio_fabric_reply(call, -EBADMSG, NULL, 0);
		return;
	}
	switch (r->what) {
	case ECHO:
		pmio_fabric_reply(call, 7, msg, len);
		break;
	case ADD_UP:
		n = add_up(r->off, r->len);
		pmio_fabric_reply(call, 0, &n, sizeof(n));
		break;
	case SLOWLY:
		pthread_create(&thread, NULL, answer_later, call);
		pthread_detach(thread);
		break;
	case SESSIONS:
		n = pmio_fabric_target_sessions(target);
		pmio_fabric_reply(call, 0, &n, sizeof(n));
		break;
	case NEVER:
		break;
	}
}

static _Noreturn void be_target(const char *service, int out)
{
	struct pmio_fabric_config c = config_of(key, service);
	struct pmio_fabric_card mine;
	int rc;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	rc = pmio_fabric_target_new(&c, memory, MEMORY, handle, NULL, &target);
	if (rc < 0)
		_exit(-rc);
	pmio_fabric_target_card(target, &mine);
	if (write(out, &mine, sizeof(mine)) != sizeof(mine))
		_exit(1);
	for (;;)
		pause();
}

static void start_target(const char *service)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	target_pid = fork();
	assert_true(target_pid >= 0);
	if (target_pid == 0)
		be_target(service, fds[1]);
	close(fds[1]);
	assert_int_equal(read(fds[0], &card, sizeof(card)), sizeof(card));
	close(fds[0]);
}

static void stop_target(void)
{
	if (target_pid <= 0)
		return;
	kill(target_pid, SIGKILL);
	waitpid(target_pid, NULL, 0);
	target_pid = 0;
}

static unsigned nr_logged;

static void count_lines(enum pmio_log_level level, const char *line)
{
	(void)line;
	nr_logged += level <= PMIO_LOG_WARN;
}

static int set_up(void **state)
{
	struct pmio_fabric_config c = config_of(key, NULL);

	(void)state;
	pmio_log_set_handler(count_lines);
	nr_logged = 0;
	start_target(NULL);
	return pmio_fabric_port_new(&c, &port) == 0 && pmio_fabric_connect(port, &card, &peer) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	pmio_fabric_disconnect(&peer);
	pmio_fabric_port_delete(&port);
	stop_target();
	return 0;
}

/* ---- asking ------------------------------------------------------------------------------- */

static int ask(struct pmio_fabric_peer *p, struct request req, void *answer, size_t room)
{
	struct pmio_fabric_exchange x = { &req, sizeof(req), answer, room, 0 };

	return pmio_fabric_call(p, &x);
}

static uint64_t sum_of(const uint8_t *p, size_t len)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = sum * 31 + p[i];
	return sum;
}

static uint8_t *random_bytes(size_t len, unsigned seed)
{
	uint8_t *p = malloc(len);

	assert_non_null(p);
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1103515245 + 12345;
		p[i] = (uint8_t)(seed >> 16);
	}
	return p;
}

static void call__answer_comes_back(void **state)
{
	uint8_t big[PMIO_FABRIC_MSG_MAX] = { 0 }, back[PMIO_FABRIC_MSG_MAX];
	struct pmio_fabric_exchange x = { big, sizeof(big), back, sizeof(back), 0 };

	(void)state;
	for (size_t i = sizeof(struct request); i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 7);
	assert_int_equal(pmio_fabric_call(peer, &x), 7);
	assert_int_equal(x.answer_len, sizeof(big));
	assert_memory_equal(back, big, sizeof(big));
	x.request_len = 1;
	assert_int_equal(pmio_fabric_call(peer, &x), -EBADMSG);
	assert_int_equal(x.answer_len, 0);
}

static void call__answer_of_another_thread(void **state)
{
	char late[8];

	(void)state;
	assert_int_equal(ask(peer, (struct request){ .what = SLOWLY }, late, sizeof(late)), 0);
	assert_string_equal(late, "late");
}

static void call__too_long(void **state)
{
	static uint8_t big[PMIO_FABRIC_MSG_MAX + 1];
	struct pmio_fabric_exchange x = { big, sizeof(big), big, sizeof(big), 0 };

	(void)state;
	assert_int_equal(pmio_fabric_call(peer, &x), -EMSGSIZE);
	x.request_len = sizeof(struct request);
	x.answer_room = 3;
	assert_int_equal(pmio_fabric_call(peer, &x), -EMSGSIZE);
	x.answer_room = sizeof(big);
	assert_int_equal(pmio_fabric_call(peer, &x), 7);
}

/* the request sees all bytes that were written with it */
static void write__is_there_before_its_request(void **state)
{
	const size_t sizes[] = { 1, 13, 4096, 65537, 256 << 10, (1 << 20) + 5, 5 << 20 };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint8_t *buf = random_bytes(sizes[i], (unsigned)i);
		struct pmio_fabric_piece piece = { 1000 + i, buf, sizes[i] };
		struct request req = { ADD_UP, 1000 + i, sizes[i] };
		uint64_t sum = 0;
		struct pmio_fabric_exchange x = { &req, sizeof(req), &sum, sizeof(sum), 0 };

		assert_int_equal(pmio_fabric_write(peer, &piece, 1, &x), 0);
		assert_int_equal(sum, sum_of(buf, sizes[i]));
		assert_memory_equal(memory + 1000 + i, buf, sizes[i]);
		memset(buf, 0, sizes[i]);
		assert_int_equal(pmio_fabric_read(peer, &piece, 1), 0);
		assert_int_equal(sum_of(buf, sizes[i]), sum);
		free(buf);
	}
}

/* neighbours that go together, some that do not, and empty ones */
static void write__many_pieces(void **state)
{
	enum { NR = 500, LEN = 700 };
	uint8_t *buf = random_bytes(NR * LEN, 99), *in = calloc(NR, LEN), *want = calloc(1, MEMORY);
	struct pmio_fabric_piece *out = calloc(NR, sizeof(*out)), *back = calloc(NR, sizeof(*back));

	(void)state;
	memset(memory, 0, MEMORY);
	for (size_t i = 0; i < NR; i++) {
		size_t len = i % 5 == 3 ? 0 : LEN;

		out[i] = (struct pmio_fabric_piece){ i * LEN + i / 10 * 64, buf + i * LEN, len };
		back[i] = (struct pmio_fabric_piece){ i * LEN + i / 10 * 64, in + i * LEN, len };
		memcpy(want + out[i].off, out[i].buf, len);
	}
	assert_int_equal(pmio_fabric_write(peer, out, NR, NULL), 0);
	assert_memory_equal(memory, want, MEMORY);
	assert_int_equal(pmio_fabric_read(peer, back, NR), 0);
	for (size_t i = 0; i < NR; i++)
		assert_memory_equal(back[i].buf, out[i].buf, out[i].len);
	free(buf);
	free(in);
	free(want);
	free(out);
	free(back);
}

static void write__not_in_its_memory(void **state)
{
	uint8_t byte = 1;
	struct pmio_fabric_piece piece = { MEMORY, &byte, 1 };

	(void)state;
	assert_int_equal(pmio_fabric_peer_size(peer), MEMORY);
	assert_int_equal(pmio_fabric_write(peer, &piece, 1, NULL), -EFAULT);
	piece.off = UINT64_MAX;
	assert_int_equal(pmio_fabric_read(peer, &piece, 1), -EFAULT);
	piece = (struct pmio_fabric_piece){ 1, &byte, SIZE_MAX };
	assert_int_equal(pmio_fabric_write(peer, &piece, 1, NULL), -EFAULT);
}

enum { THREADS = 6, PART = MEMORY / THREADS };

static void *mesh(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;
	intptr_t bad = 0;

	for (unsigned i = 0; i < 60; i++) {
		size_t len = 1 + (i * 7919 + me * 104729) % (i % 4 ? 9000 : 400000);
		uint8_t *buf = random_bytes(len, me * 1000 + i);
		struct pmio_fabric_piece piece = { me * PART + i, buf, len };
		struct request req = { ADD_UP, me * PART + i, len };
		uint64_t sum = 0, want = sum_of(buf, len);
		struct pmio_fabric_exchange x = { &req, sizeof(req), &sum, sizeof(sum), 0 };

		bad += pmio_fabric_write(peer, &piece, 1, &x) != 0 || sum != want;
		memset(buf, 0, len);
		bad += pmio_fabric_read(peer, &piece, 1) != 0 || sum_of(buf, len) != want;
		free(buf);
	}
	return (void *)bad;
}

static void threads__share_a_peer(void **state)
{
	pthread_t t[THREADS];
	void *bad;

	(void)state;
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, mesh, (void *)(uintptr_t)i), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(t[i], &bad);
		assert_null(bad);
	}
}

/* ---- who may ---------------------------------------------------------------------------------- */

static uint64_t nr_sessions(void)
{
	uint64_t n = 0;

	assert_int_equal(ask(peer, (struct request){ .what = SESSIONS }, &n, sizeof(n)), 0);
	return n;
}

static void connect__with_another_key(void **state)
{
	uint8_t wrong[PMIO_FABRIC_KEY_SIZE];
	struct pmio_fabric_config c = config_of(wrong, NULL);
	struct pmio_fabric_port *other;
	struct pmio_fabric_peer *p;

	(void)state;
	memcpy(wrong, key, sizeof(key));
	wrong[31] ^= 1;
	assert_int_equal(pmio_fabric_port_new(&c, &other), 0);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(pmio_fabric_connect(other, &card, &p), -EACCES);
		assert_null(p);
	}
	assert_int_equal(nr_logged, 5);
	pmio_fabric_port_delete(&other);
	assert_int_equal(nr_sessions(), 1);
}

static void connect__many_come_and_go(void **state)
{
	struct pmio_fabric_config c = config_of(key, NULL);

	(void)state;
	for (int i = 0; i < 20; i++) {
		struct pmio_fabric_port *other;
		struct pmio_fabric_peer *p, *q;

		assert_int_equal(pmio_fabric_port_new(&c, &other), 0);
		assert_int_equal(pmio_fabric_connect(other, &card, &p), 0);
		assert_int_equal(pmio_fabric_connect(other, &card, &q), 0);
		assert_int_equal(nr_sessions(), 3);
		pmio_fabric_disconnect(&p);
		assert_int_equal(ask(q, (struct request){ .what = ECHO }, (char[64]){ 0 }, 64), 7);
		pmio_fabric_disconnect(&q);
		pmio_fabric_port_delete(&other);
	}
	for (int i = 0; i < 100 && nr_sessions() != 1; i++)
		usleep(10000);
	assert_int_equal(nr_sessions(), 1);
}

static unsigned next_random(unsigned *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 8;
}

/* a message that is nearly right, with bytes turned; or of random bytes alone */
static size_t make_garbage(uint8_t *msg, const struct fabric_ep *ep, unsigned *seed)
{
	static const size_t sizes[] = { 0, 136, 72, 64, 88, 32, 4096, 32 };
	unsigned type = next_random(seed) % 8;
	size_t size = sizes[type] ? sizes[type] : 1 + next_random(seed) % SLOT_SIZE;
	struct fabric_hello_msg *h = (struct fabric_hello_msg *)msg;

	for (size_t i = 0; i < size; i++)
		msg[i] = (uint8_t)next_random(seed);
	if (type == 0)
		return size;
	fabric_msg_init(&h->hdr, (enum fabric_type)type, sizeof(h->hdr));
	h->hdr.len = (uint32_t)(size - sizeof(h->hdr));
	h->hdr.session = next_random(seed);
	if (type == FABRIC_HELLO) { /* each begins a session that will never be proven */
		h->addr_len = (uint32_t)ep->addr_len;
		memcpy(h->addr, ep->addr, ep->addr_len);
	}
	for (unsigned n = next_random(seed) % 3; n > 0; n--)
		msg[next_random(seed) % size] ^= (uint8_t)(1u << next_random(seed) % 8);
	return size;
}

/* 4000 of them, thousands of half-open sessions among them: nobody else notices */
static void garbage__is_ignored(void **state)
{
	struct pmio_fabric_config c = config_of(key, NULL);
	static uint8_t msg[SLOT_SIZE] __attribute__((aligned(8)));
	struct fabric_ep ep;
	fi_addr_t to;
	unsigned seed = 1;

	(void)state;
	assert_int_equal(fabric_ep_open(&ep, &c, NULL), 0);
	assert_int_equal(fabric_ep_add_addr(&ep, card.addr, card.addr_len, &to), 0);
	for (int i = 0; i < 4000; i++) {
		struct fi_cq_msg_entry e;
		struct fi_context2 ctx;
		size_t size = make_garbage(msg, &ep, &seed);

		while (fi_send(ep.ep, msg, size, NULL, to, &ctx) == -FI_EAGAIN)
			fi_cq_read(ep.cq, NULL, 0);
		while (fi_cq_sread(ep.cq, &e, 1, NULL, 1000) == -FI_EAGAIN)
			;
		if (i % 200 == 0)
			assert_int_equal(ask(peer, (struct request){ .what = ECHO }, (char[64]){ 0 }, 64), 7);
	}
	fabric_ep_close(&ep);
	assert_int_equal(nr_sessions(), 1);
}

/* ---- failure ------------------------------------------------------------------------------------- */

static void target_killed__is_an_error_at_once(void **state)
{
	uint8_t *buf = random_bytes(1 << 20, 3);
	struct pmio_fabric_piece piece = { 0, buf, 1 << 20 };
	int rc;

	(void)state;
	stop_target();
	rc = pmio_fabric_write(peer, &piece, 1, NULL);
	assert_true(rc == -ECONNRESET || rc == -ETIMEDOUT);
	assert_int_equal(ask(peer, (struct request){ .what = ECHO }, buf, 64), rc);
	free(buf);
}

static void target_restarted__is_another_one(void **state)
{
	struct sockaddr_in at;
	char service[8], back[64];
	struct pmio_fabric_card old = card;
	struct pmio_fabric_peer *p;
	int rc;

	(void)state;
	memcpy(&at, card.addr, sizeof(at));
	snprintf(service, sizeof(service), "%u", ntohs(at.sin_port));
	stop_target();
	start_target(service);
	assert_int_equal(card.addr_len, old.addr_len);
	assert_memory_equal(card.addr, old.addr, old.addr_len);
	rc = ask(peer, (struct request){ .what = ECHO }, back, sizeof(back));
	assert_true(rc == -ESTALE || rc == -ECONNRESET);
	pmio_fabric_disconnect(&peer);
	assert_int_equal(pmio_fabric_connect(port, &old, &p), -ESTALE);
	assert_int_equal(pmio_fabric_connect(port, &card, &peer), 0);
	assert_int_equal(ask(peer, (struct request){ .what = ECHO }, back, sizeof(back)), 7);
}

static void target_stopped_for_a_while__costs_time_only(void **state)
{
	uint8_t *buf = random_bytes(300000, 5);
	struct pmio_fabric_piece piece = { 5, buf, 300000 };

	(void)state;
	kill(target_pid, SIGSTOP);
	if (fork() == 0) {
		usleep(400000);
		kill(target_pid, SIGCONT);
		_exit(0);
	}
	assert_int_equal(pmio_fabric_write(peer, &piece, 1, NULL), 0);
	assert_memory_equal(memory + 5, buf, 300000);
	wait(NULL);
	free(buf);
}

static void target_does_not_answer__is_down_in_time(void **state)
{
	struct pmio_fabric_peer *again;
	char back[64];

	(void)state;
	assert_int_equal(ask(peer, (struct request){ .what = NEVER }, back, sizeof(back)), -ETIMEDOUT);
	assert_int_equal(nr_logged, 1);
	assert_int_equal(ask(peer, (struct request){ .what = ECHO }, back, sizeof(back)), -ETIMEDOUT);
	assert_int_equal(pmio_fabric_connect(port, &card, &again), 0);
	assert_int_equal(ask(again, (struct request){ .what = ECHO }, back, sizeof(back)), 7);
}

static void port_killed__target_goes_on(void **state)
{
	uint8_t *buf = random_bytes(4 << 20, 8);

	(void)state;
	for (int i = 0; i < 8; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			struct pmio_fabric_config c = config_of(key, NULL);
			struct pmio_fabric_piece piece = { 4 << 20, buf, 4 << 20 };

			/* what was forked from the parent is not used */
			if (pmio_fabric_port_new(&c, &port) < 0 || pmio_fabric_connect(port, &card, &peer) < 0)
				_exit(1);
			for (;;)
				pmio_fabric_write(peer, &piece, 1, NULL);
		}
		usleep(50000 + (unsigned)i * 7000);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		assert_int_equal(ask(peer, (struct request){ .what = ECHO }, (char[64]){ 0 }, 64), 7);
	}
	free(buf);
}

static void connect__nobody_there(void **state)
{
	struct pmio_fabric_peer *p;

	(void)state;
	stop_target();
	assert_int_equal(pmio_fabric_connect(port, &card, &p), -ETIMEDOUT);
	assert_null(p);
	memset(card.addr, 0, sizeof(card.addr));
	assert_int_equal(pmio_fabric_connect(port, &card, &p), -EINVAL);
	strcpy(card.provider, "none");
	assert_int_equal(pmio_fabric_connect(port, &card, &p), -EPROTO);
}

static void target_new__bad_address_or_provider(void **state)
{
	struct pmio_fabric_config c = config_of(key, NULL);
	struct pmio_fabric_target *t;

	(void)state;
	c.provider = "no-such";
	assert_int_equal(pmio_fabric_target_new(&c, memory, MEMORY, handle, NULL, &t), -ENODATA);
	c = config_of(key, NULL);
	c.address = "203.0.113.1"; /* for documentation only: nobody has it (RFC 5737) */
	assert_true(pmio_fabric_target_new(&c, memory, MEMORY, handle, NULL, &t) < 0);
	assert_null(t);
}

static int make_memory(void **state)
{
	(void)state;
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return memory == MAP_FAILED || pmio_fabric_new_key(key) < 0 ? -1 : 0;
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(call__answer_comes_back),
		T(call__answer_of_another_thread),
		T(call__too_long),
		T(write__is_there_before_its_request),
		T(write__many_pieces),
		T(write__not_in_its_memory),
		T(threads__share_a_peer),
		T(connect__with_another_key),
		T(connect__many_come_and_go),
		T(garbage__is_ignored),
		T(connect__nobody_there),
		T(target_killed__is_an_error_at_once),
		T(target_restarted__is_another_one),
		T(target_stopped_for_a_while__costs_time_only),
		T(target_does_not_answer__is_down_in_time),
		T(target_new__bad_address_or_provider),
		T(port_killed__target_goes_on),
	};

	return cmocka_run_group_tests_name("fabric", tests, make_memory, NULL);
}
