/*
 * test_fabric.c -- lib/fabric: a target in a process of its own, on this machine's loopback
 *
 * TEST_PROVIDER in the environment: another provider than the first that is there; TEST_FILTER: only some tests ("str*")
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
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
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1 /* what was freed is kept by them */
#else
#define SANITIZED 0
#endif
#define TIMEOUT_MS 2000 /* after so long a peer is down, in these tests */

/* requests that the target of the tests knows: a word */
enum { ECHO, ADD_UP, SLOWLY, NEVER, SESSIONS, WHO, END, HOLD, RELEASE, COUNT, REFUSED, LINES, FROM_ROOM, UNUSED_ROOM };

struct request {
	uint64_t what, off, len;
};

static uint8_t key[PMIO_FABRIC_KEY_SIZE];
static uint8_t *memory; /* shared with the target */
static struct pmio_fabric_endpoint endpoint;
static pid_t target_pid;
static rlim_t target_fds; /* its limit of descriptors; 0: ours */
static struct pmio_fabric_initiator *port;
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

static struct pmio_fabric_call *held;
static uint64_t nr_echoed;
static unsigned nr_logged;

struct later {
	struct pmio_fabric_call *call;
	uint64_t ms;
};

static void *answer_later(void *arg)
{
	struct later *l = arg;

	usleep((useconds_t)(l->ms ? l->ms : 100) * 1000);
	pmio_fabric_reply(l->call, 0, "late", 5);
	free(l);
	return NULL;
}

/* len bytes, or 0 bytes if there is a second room beside the first */
static void answer_from_room(struct pmio_fabric_call *call, size_t len)
{
	uint8_t *room = pmio_fabric_reply_room(call);

	if (!room) {
		pmio_fabric_reply(call, -ENOBUFS, NULL, 0);
		return;
	}
	memset(room, 0x5a, len);
	pmio_fabric_reply_from_room(call, 9, pmio_fabric_reply_room(call) ? 0 : len);
}

static void handle(struct pmio_fabric_call *call, const void *msg, size_t len, void *arg)
{
	const struct request *r = msg;
	struct pmio_fabric_refused refused;
	struct later *later;
	pthread_t thread;
	uint64_t n;

	(void)arg;
	if (len < sizeof(*r)) {
		pmio_fabric_reply(call, -EBADMSG, NULL, 0);
		return;
	}
	switch (r->what) {
	case ECHO:
		nr_echoed++;
		pmio_fabric_reply(call, 7, msg, len);
		break;
	case ADD_UP:
		n = add_up(r->off, r->len);
		pmio_fabric_reply(call, 0, &n, sizeof(n));
		break;
	case SLOWLY: /* after `len` ms */
		later = malloc(sizeof(*later));
		*later = (struct later){ call, r->len };
		pthread_create(&thread, NULL, answer_later, later);
		pthread_detach(thread);
		break;
	case SESSIONS:
		n = pmio_fabric_target_sessions(target);
		pmio_fabric_reply(call, 0, &n, sizeof(n));
		break;
	case WHO:
		n = pmio_fabric_call_session(call);
		pmio_fabric_reply(call, 0, &n, sizeof(n));
		break;
	case END: /* the session `off` */
		pmio_fabric_target_end_session(target, r->off);
		pmio_fabric_reply(call, 0, NULL, 0);
		break;
	case COUNT:
		pmio_fabric_reply(call, 0, &nr_echoed, sizeof(nr_echoed));
		break;
	case HOLD:
		held = call;
		break;
	case RELEASE:
		pmio_fabric_reply(held, 0, "held", 5);
		pmio_fabric_reply(call, 0, NULL, 0);
		break;
	case REFUSED:
		pmio_fabric_target_refused(target, &refused);
		pmio_fabric_reply(call, 0, &refused, sizeof(refused));
		break;
	case LINES: /* of the target's log */
		n = nr_logged;
		pmio_fabric_reply(call, 0, &n, sizeof(n));
		break;
	case NEVER:
		break;
	case FROM_ROOM:
		answer_from_room(call, r->len);
		break;
	case UNUSED_ROOM:
		n = pmio_fabric_reply_room(call) != NULL;
		pmio_fabric_reply(call, 0, &n, sizeof(n));
		break;
	}
}

static _Noreturn void be_target(const char *service, int out)
{
	struct pmio_fabric_config c = config_of(key, service);
	struct pmio_fabric_endpoint mine;
	struct rlimit limit = { target_fds, target_fds };
	int rc;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (target_fds && setrlimit(RLIMIT_NOFILE, &limit) < 0)
		_exit(errno);
	rc = pmio_fabric_target_new(&c, memory, MEMORY, handle, NULL, &target);
	if (rc < 0)
		_exit(-rc);
	pmio_fabric_target_endpoint(target, &mine);
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
	assert_int_equal(read(fds[0], &endpoint, sizeof(endpoint)), sizeof(endpoint));
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
	return pmio_fabric_initiator_new(&c, &port) == 0 && pmio_fabric_connect(port, &endpoint, NULL, &peer) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	pmio_fabric_disconnect(&peer);
	pmio_fabric_initiator_delete(&port);
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

/* ---- several at once from one thread ------------------------------------------------------------ */

static int begin(struct pmio_fabric_peer *p, struct request req, struct pmio_fabric_op **out)
{
	return pmio_fabric_begin(p, NULL, 0, &req, sizeof(req), out);
}

static int end(struct pmio_fabric_op **op, void *answer, size_t room)
{
	struct pmio_fabric_exchange x = { .answer = answer, .answer_room = room };
	int rc = pmio_fabric_end(op, &x);

	assert_null(*op);
	return rc;
}

/* together more than the port has buffers for; what they were made of is overwritten at once */
static void begin__more_than_the_buffers_hold(void **state)
{
	enum { NR = 19, LEN = 430000 };
	struct pmio_fabric_op *ops[NR];
	uint64_t want[NR], sum;

	(void)state;
	for (int round = 0; round < 3; round++) {
		for (unsigned i = 0; i < NR; i++) {
			uint8_t *buf = random_bytes(LEN, (unsigned)round * NR + i);
			struct pmio_fabric_piece pieces[2] = { { i * LEN, buf, 1000 }, { i * LEN + 1000, buf + 1000, LEN - 1000 } };
			struct request req = { ADD_UP, i * LEN, LEN };

			want[i] = sum_of(buf, LEN);
			assert_int_equal(pmio_fabric_begin(peer, pieces, 2, &req, sizeof(req), &ops[i]), 0);
			memset(buf, 0xee, LEN);
			memset(&req, 0xee, sizeof(req));
			free(buf);
		}
		for (unsigned i = NR; i-- > 0;) {
			assert_int_equal(end(&ops[i], &sum, sizeof(sum)), 0);
			assert_int_equal(sum, want[i]);
		}
	}
}

/* in parts, some of them empty; the answers stay as they are until the ops are ended, also of more ops than there are buffers */
static void begin_parts__answers_stay(void **state)
{
	enum { NR = 80, LEN = 50000 };
	struct pmio_fabric_op *ops[NR];
	const void *answers[NR];
	uint8_t *body = random_bytes(LEN + NR, 5);
	size_t len;

	(void)state;
	for (unsigned i = 0; i < NR; i++) {
		struct request req = { .what = ECHO, .off = i };
		const struct iovec parts[] = { { &req, sizeof(req) }, { body, 0 }, { body + i, 1000 }, { body + i + 1000, LEN - 1000 } };

		assert_int_equal(pmio_fabric_begin_parts(peer, parts, 4, &ops[i]), 0);
		memset(&req, 0xee, sizeof(req));
	}
	for (unsigned i = 0; i < NR; i++) {
		assert_int_equal(pmio_fabric_wait(ops[i], &answers[i], &len), 7);
		assert_int_equal(len, sizeof(struct request) + LEN);
	}
	/* others come to their answers meanwhile */
	assert_int_equal(ask(peer, (struct request){ .what = ECHO }, NULL, 0), -EMSGSIZE);
	for (unsigned i = 0; i < NR; i++) {
		assert_int_equal(((const struct request *)answers[i])->off, i);
		assert_memory_equal((const uint8_t *)answers[i] + sizeof(struct request), body + i, LEN);
		assert_int_equal(pmio_fabric_end(&ops[i], NULL), 7);
		assert_null(ops[i]);
	}
	free(body);
}

static void begin_parts__too_long(void **state)
{
	static uint8_t big[PMIO_FABRIC_MSG_MAX];
	const struct iovec parts[] = { { big, sizeof(big) }, { big, 1 } };
	struct pmio_fabric_op *op;

	(void)state;
	assert_int_equal(pmio_fabric_begin_parts(peer, parts, 2, &op), -EMSGSIZE);
	assert_null(op);
}

static void wait__without_an_answer(void **state)
{
	struct pmio_fabric_piece piece = { 4321, (uint8_t[]){ 77 }, 1 };
	struct pmio_fabric_op *op;
	const void *answer = memory;
	size_t len = 5;

	(void)state;
	assert_int_equal(pmio_fabric_begin(peer, &piece, 1, NULL, 0, &op), 0);
	assert_int_equal(pmio_fabric_wait(op, &answer, &len), 0);
	assert_null(answer);
	assert_int_equal(len, 0);
	assert_int_equal(pmio_fabric_end(&op, NULL), 0);
}

/* one at a time; it is given back in any case, or there would be none after some hundred calls */
static void reply_room__is_sent_or_given_back(void **state)
{
	static const size_t sizes[] = { 0, 1, 4096, PMIO_FABRIC_MSG_MAX };
	uint8_t *back = malloc(PMIO_FABRIC_MSG_MAX);

	(void)state;
	assert_non_null(back);
	for (unsigned i = 0; i < 300; i++) {
		uint64_t had = 0;
		size_t len = sizes[i % 4];
		struct request req = { .what = FROM_ROOM, .len = len };
		struct pmio_fabric_exchange x = { &req, sizeof(req), back, PMIO_FABRIC_MSG_MAX, 0 };

		assert_int_equal(pmio_fabric_call(peer, &x), 9);
		assert_int_equal(x.answer_len, len);
		for (size_t k = 0; k < len; k++)
			assert_int_equal(back[k], 0x5a);
		assert_int_equal(ask(peer, (struct request){ .what = UNUSED_ROOM }, &had, sizeof(had)), 0);
		assert_int_equal(had, 1);
	}
	free(back);
}

static void begin__without_request_or_answer(void **state)
{
	uint8_t byte = 77;
	struct pmio_fabric_piece piece = { 4321, &byte, 1 };
	struct pmio_fabric_exchange x = { .answer_len = 99 };
	struct pmio_fabric_op *op;

	(void)state;
	assert_int_equal(pmio_fabric_begin(peer, &piece, 1, NULL, 0, &op), 0);
	assert_int_equal(pmio_fabric_end(&op, &x), 0);
	assert_int_equal(x.answer_len, 0);
	assert_int_equal(memory[4321], 77);
	assert_int_equal(begin(peer, (struct request){ .what = ECHO }, &op), 0);
	assert_int_equal(pmio_fabric_end(&op, NULL), 7);
	assert_int_equal(begin(peer, (struct request){ .what = ECHO }, &op), 0);
	assert_int_equal(end(&op, &byte, 1), -EMSGSIZE);
	piece.off = MEMORY;
	assert_int_equal(pmio_fabric_begin(peer, &piece, 1, NULL, 0, &op), -EFAULT);
	assert_null(op);
	assert_int_equal(pmio_fabric_begin(peer, NULL, 0, memory, PMIO_FABRIC_MSG_MAX + 1, &op), -EMSGSIZE);
	assert_null(op);
}

/* what waits to be fetched is no sign of a dead peer */
static void begin__ended_long_after(void **state)
{
	struct pmio_fabric_op *a, *b, *c;
	char back[64];

	(void)state;
	assert_int_equal(begin(peer, (struct request){ .what = ECHO }, &a), 0);
	assert_int_equal(begin(peer, (struct request){ .what = SLOWLY }, &b), 0);
	assert_int_equal(begin(peer, (struct request){ .what = NEVER }, &c), 0);
	usleep((TIMEOUT_MS + 1000) * 1000);
	assert_int_equal(end(&b, back, sizeof(back)), 0);
	assert_string_equal(back, "late");
	assert_int_equal(end(&a, back, sizeof(back)), 7);
	assert_int_equal(nr_logged, 0);
	assert_int_equal(end(&c, back, sizeof(back)), -ETIMEDOUT);
	assert_int_equal(begin(peer, (struct request){ .what = ECHO }, &a), -ETIMEDOUT);
	assert_null(a);
}

static void begin__peer_goes_meanwhile(void **state)
{
	struct pmio_fabric_op *ops[4];
	char back[64];

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(begin(peer, (struct request){ .what = NEVER }, &ops[i]), 0);
	stop_target();
	for (int i = 0; i < 3; i++)
		assert_true(end(&ops[i], back, sizeof(back)) < 0);
	pmio_fabric_disconnect(&peer);
	assert_true(end(&ops[3], back, sizeof(back)) < 0);
}

static void begin__disconnected_meanwhile(void **state)
{
	struct pmio_fabric_op *op;
	char back[64];

	(void)state;
	assert_int_equal(begin(peer, (struct request){ .what = NEVER }, &op), 0);
	pmio_fabric_disconnect(&peer);
	assert_int_equal(end(&op, back, sizeof(back)), -ENOTCONN);
}

/* ---- who is accepted ---------------------------------------------------------------------------------- */

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
	struct pmio_fabric_initiator *other;
	struct pmio_fabric_peer *p;

	(void)state;
	memcpy(wrong, key, sizeof(key));
	wrong[31] ^= 1;
	assert_int_equal(pmio_fabric_initiator_new(&c, &other), 0);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(pmio_fabric_connect(other, &endpoint, NULL, &p), -EACCES);
		assert_null(p);
	}
	assert_int_equal(nr_logged, 5);
	pmio_fabric_initiator_delete(&other);
	assert_int_equal(nr_sessions(), 1);
}

/* two targets of one port, each with a key of its own; the port has none, or a wrong one */
static void connect__key_of_the_target(void **state)
{
	static uint8_t others_memory[4096];
	uint8_t others[PMIO_FABRIC_KEY_SIZE], wrong[PMIO_FABRIC_KEY_SIZE] = { 1 };
	struct pmio_fabric_config c = config_of(others, NULL);
	struct pmio_fabric_target *t;
	struct pmio_fabric_endpoint others_endpoint;
	uint8_t byte = 5;
	struct pmio_fabric_piece piece = { 100, &byte, 1 };

	(void)state;
	assert_int_equal(pmio_fabric_new_key(others), 0);
	assert_int_equal(pmio_fabric_target_new(&c, others_memory, sizeof(others_memory), handle, NULL, &t), 0);
	pmio_fabric_target_endpoint(t, &others_endpoint);
	for (int i = 0; i < 2; i++) {
		struct pmio_fabric_config port_c = config_of(i ? wrong : NULL, NULL);
		struct pmio_fabric_initiator *p;
		struct pmio_fabric_peer *a, *b, *bad;

		others_memory[100] = 0;
		assert_int_equal(pmio_fabric_initiator_new(&port_c, &p), 0);
		assert_int_equal(pmio_fabric_connect(p, &endpoint, NULL, &bad), i ? -EACCES : -EINVAL);
		assert_null(bad);
		assert_int_equal(pmio_fabric_connect(p, &endpoint, others, &bad), -EACCES);
		assert_int_equal(pmio_fabric_connect(p, &endpoint, key, &a), 0);
		assert_int_equal(pmio_fabric_connect(p, &others_endpoint, others, &b), 0);
		assert_int_equal(ask(a, (struct request){ .what = ECHO }, (char[64]){ 0 }, 64), 7);
		assert_int_equal(pmio_fabric_write(b, &piece, 1, NULL), 0);
		assert_int_equal(others_memory[100], 5);
		pmio_fabric_initiator_delete(&p);
	}
	pmio_fabric_target_delete(&t);
}

static void service_of(const struct pmio_fabric_endpoint *of, char service[8])
{
	struct sockaddr_in at;

	memcpy(&at, of->addr, sizeof(at));
	snprintf(service, 8, "%u", ntohs(at.sin_port));
}

static void endpoint_of__finds_whoever_is_there(void **state)
{
	static const char *const hosts[] = { "127.0.0.1", "localhost" };
	struct pmio_fabric_endpoint found;
	struct pmio_fabric_peer *p;
	char service[8], back[64];
	int rc;

	(void)state;
	service_of(&endpoint, service);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pmio_fabric_endpoint_of(port, hosts[i], service, &found), 0);
		assert_int_equal(found.epoch, 0);
		assert_int_equal(pmio_fabric_connect(port, &found, NULL, &p), 0);
		assert_int_equal(ask(p, (struct request){ .what = ECHO }, back, sizeof(back)), 7);
		pmio_fabric_disconnect(&p);
	}
	/* any epoch to begin with; this one when the port asks why an answer does not come; and no other one later */
	assert_int_equal(pmio_fabric_connect(port, &found, NULL, &p), 0);
	assert_int_equal(ask(p, (struct request){ SLOWLY, 0, 1500 }, back, sizeof(back)), 0);
	stop_target();
	start_target(service);
	rc = ask(p, (struct request){ .what = ECHO }, back, sizeof(back));
	assert_true(rc == -ESTALE || rc == -ECONNRESET);
	pmio_fabric_disconnect(&p);
	assert_int_equal(pmio_fabric_connect(port, &found, NULL, &p), 0);
	assert_int_equal(ask(p, (struct request){ .what = ECHO }, back, sizeof(back)), 7);
	pmio_fabric_disconnect(&p);
}

static void endpoint_of__no_such_host(void **state)
{
	struct pmio_fabric_endpoint found = { .epoch = 3 };

	(void)state;
	assert_int_equal(pmio_fabric_endpoint_of(port, "127.0.0.1", "no-such-service", &found), -ENOENT);
	assert_int_equal(pmio_fabric_endpoint_of(port, "::1", "7", &found), -ENOENT);
	assert_int_equal(nr_logged, 2);
	assert_int_equal(found.epoch, 3);
}

static uint64_t session_of(struct pmio_fabric_peer *p)
{
	uint64_t id = 0;

	assert_int_equal(ask(p, (struct request){ .what = WHO }, &id, sizeof(id)), 0);
	assert_int_not_equal(id, 0);
	return id;
}

/* the port has time, so that it is not this that ends the calls */
static void end_session__its_calls_fail(void **state)
{
	struct pmio_fabric_config c = config_of(key, NULL);
	struct pmio_fabric_initiator *other;
	struct pmio_fabric_peer *gone, *stays;
	struct pmio_fabric_op *op;
	uint64_t id;
	char back[64];

	(void)state;
	c.timeout_ms = 60000;
	assert_int_equal(pmio_fabric_initiator_new(&c, &other), 0);
	assert_int_equal(pmio_fabric_connect(other, &endpoint, NULL, &gone), 0);
	assert_int_equal(pmio_fabric_connect(other, &endpoint, NULL, &stays), 0);
	id = session_of(gone);
	assert_int_equal(session_of(gone), id);
	assert_int_not_equal(session_of(stays), id);
	assert_int_equal(nr_sessions(), 3);
	assert_int_equal(begin(gone, (struct request){ .what = HOLD }, &op), 0);
	assert_int_equal(session_of(gone), id); /* and so it is held by now */
	for (int i = 0; i < 2; i++) { /* the second time nobody has that session */
		assert_int_equal(ask(peer, (struct request){ END, id, 0 }, back, sizeof(back)), 0);
		assert_int_equal(nr_sessions(), 2);
	}
	assert_int_equal(ask(peer, (struct request){ .what = RELEASE }, back, sizeof(back)), 0);
	assert_int_equal(end(&op, back, sizeof(back)), -ECONNRESET);
	assert_int_equal(ask(gone, (struct request){ .what = ECHO }, back, sizeof(back)), -ECONNRESET);
	assert_int_equal(ask(stays, (struct request){ .what = ECHO }, back, sizeof(back)), 7);
	pmio_fabric_disconnect(&gone);
	assert_int_equal(pmio_fabric_connect(other, &endpoint, NULL, &gone), 0);
	assert_int_not_equal(session_of(gone), id);
	pmio_fabric_initiator_delete(&other);
}

/* by its own call: the answer goes nowhere, and what follows reaches no handler */
static void end_session__its_own(void **state)
{
	struct pmio_fabric_config c = config_of(key, NULL);
	struct pmio_fabric_initiator *other;
	struct pmio_fabric_peer *p;
	struct pmio_fabric_op *ops[9];
	uint64_t id, n;
	char back[64];

	(void)state;
	c.timeout_ms = 60000;
	assert_int_equal(pmio_fabric_initiator_new(&c, &other), 0);
	assert_int_equal(pmio_fabric_connect(other, &endpoint, NULL, &p), 0);
	id = session_of(p);
	kill(target_pid, SIGSTOP); /* so that they are there at once */
	assert_int_equal(begin(p, (struct request){ END, id, 0 }, &ops[0]), 0);
	for (int i = 1; i < 9; i++)
		assert_int_equal(begin(p, (struct request){ .what = ECHO }, &ops[i]), 0);
	kill(target_pid, SIGCONT);
	for (int i = 0; i < 9; i++)
		assert_int_equal(end(&ops[i], back, sizeof(back)), -ECONNRESET);
	assert_int_equal(nr_sessions(), 1);
	assert_int_equal(ask(peer, (struct request){ .what = COUNT }, &n, sizeof(n)), 0);
	assert_int_equal(n, 0);
	pmio_fabric_initiator_delete(&other);
}

static void connect__many_come_and_go(void **state)
{
	struct pmio_fabric_config c = config_of(key, NULL);

	(void)state;
	for (int i = 0; i < 20; i++) {
		struct pmio_fabric_initiator *other;
		struct pmio_fabric_peer *p, *q;

		assert_int_equal(pmio_fabric_initiator_new(&c, &other), 0);
		assert_int_equal(pmio_fabric_connect(other, &endpoint, NULL, &p), 0);
		assert_int_equal(pmio_fabric_connect(other, &endpoint, NULL, &q), 0);
		assert_int_equal(nr_sessions(), 3);
		pmio_fabric_disconnect(&p);
		assert_int_equal(ask(q, (struct request){ .what = ECHO }, (char[64]){ 0 }, 64), 7);
		pmio_fabric_disconnect(&q);
		pmio_fabric_initiator_delete(&other);
	}
	for (int i = 0; i < 100 && nr_sessions() != 1; i++)
		usleep(10000);
	assert_int_equal(nr_sessions(), 1);
}

/* ---- by hand ---------------------------------------------------------------------------------- */

struct raw {
	struct fabric_ep ep;
	fi_addr_t to;
	struct fi_context2 send, recv, rma;
	uint8_t nonce[NONCE_SIZE];
	union {
		struct fabric_hdr_msg hdr;
		struct fabric_challenge_msg challenge;
		struct fabric_welcome_msg welcome;
		uint8_t bytes[BUFFER_SIZE];
	} back;
	struct fabric_proof_msg proof;
};

static void raw_open(struct raw *r)
{
	struct pmio_fabric_config c = config_of(key, NULL);

	memset(r, 0, sizeof(*r));
	assert_int_equal(fabric_ep_open(&r->ep, &c, NULL), 0);
	assert_int_equal(fabric_ep_add_addr(&r->ep, endpoint.addr, endpoint.addr_len, &r->to), 0);
	assert_int_equal(fi_recv(r->ep.ep, r->back.bytes, BUFFER_SIZE, NULL, FI_ADDR_UNSPEC, &r->recv), 0);
}

/* false: it has ended with an error */
static bool raw_wait(struct raw *r, const void *ctx)
{
	struct fi_cq_msg_entry e;
	struct fi_cq_err_entry error = { 0 };
	ssize_t n;

	for (;;) {
		n = fi_cq_sread(r->ep.cq, &e, 1, NULL, 1000);
		if (n == 1 && e.op_context == ctx)
			return true;
		if (n == -FI_EAVAIL && fi_cq_readerr(r->ep.cq, &error, 0) > 0 && error.op_context == ctx)
			return false;
	}
}

static void raw_send(struct raw *r, const void *msg, size_t len)
{
	ssize_t rc;

	while ((rc = fi_send(r->ep.ep, msg, len, NULL, r->to, &r->send)) == -FI_EAGAIN)
		fi_cq_read(r->ep.cq, NULL, 0);
	assert_int_equal(rc, 0);
	assert_true(raw_wait(r, &r->send));
}

/* HELLO until there is a challenge: the proof is made */
static void raw_hello(struct raw *r)
{
	struct fabric_transcript t = { .session = 0 };
	struct fabric_hello_msg m;
	struct fabric_proof_msg *p = &r->proof;

	fabric_msg_init(&m.hdr, FABRIC_HELLO, sizeof(m));
	m.addr_len = (uint32_t)r->ep.addr_len;
	memcpy(m.addr, r->ep.addr, r->ep.addr_len);
	do {
		raw_send(r, &m, sizeof(m));
		usleep(10000);
		fi_cq_read(r->ep.cq, NULL, 0);
	} while (r->back.hdr.type != FABRIC_CHALLENGE);
	assert_true(raw_wait(r, &r->recv));
	assert_int_equal(r->back.hdr.type, FABRIC_CHALLENGE);
	memset(p, 0, sizeof(*p));
	fabric_msg_init(&p->hdr, FABRIC_PROOF, PROOF_SIZE);
	p->hdr.session = t.session = r->back.hdr.session;
	p->time = r->back.challenge.time;
	p->addr_len = m.addr_len;
	memcpy(p->addr, m.addr, sizeof(p->addr));
	memcpy(t.addr, m.addr, sizeof(t.addr));
	memcpy(t.target_nonce, r->back.challenge.nonce, NONCE_SIZE);
	t.epoch = r->back.challenge.epoch;
	t.munge = r->back.challenge.munge;
	fabric_mac(key, FABRIC_PROOF, &t, p->mac);
	assert_int_equal(fi_recv(r->ep.ep, r->back.bytes, BUFFER_SIZE, NULL, FI_ADDR_UNSPEC, &r->recv), 0);
}

static void raw_shake_hands(struct raw *r)
{
	raw_hello(r);
	raw_send(r, &r->proof, PROOF_SIZE);
	assert_true(raw_wait(r, &r->recv));
	assert_int_equal(r->back.hdr.type, FABRIC_WELCOME);
	assert_int_equal(r->back.hdr.status, 0);
}

/* a byte into the target's memory; false: it was refused */
static bool raw_write(struct raw *r, uint64_t off, uint64_t mr_key)
{
	static uint8_t byte = 42;
	struct iovec iov = { &byte, 1 };
	struct fi_rma_iov remote = { r->back.welcome.base + off, 1, mr_key };
	struct fi_msg_rma m = {
		.msg_iov = &iov, .iov_count = 1, .addr = r->to, .rma_iov = &remote, .rma_iov_count = 1, .context = &r->rma,
	};
	ssize_t rc;

	while ((rc = fi_writemsg(r->ep.ep, &m, FI_COMPLETION | FI_DELIVERY_COMPLETE)) == -FI_EAGAIN)
		fi_cq_read(r->ep.cq, NULL, 0);
	assert_int_equal(rc, 0);
	return raw_wait(r, &r->rma);
}

static struct pmio_fabric_refused refused_by_now(void)
{
	struct pmio_fabric_refused n = { 0 };

	assert_int_equal(ask(peer, (struct request){ .what = REFUSED }, &n, sizeof(n)), 0);
	return n;
}

/* until so many are counted; returns how many were tried: with some providers only an endpoint's first one gets there */
static uint64_t be_refused(uint64_t nr)
{
	static struct raw r;
	uint64_t tried = 0;

	for (int i = 0; refused_by_now().accesses < nr && i < 4000; i++) {
		raw_open(&r);
		raw_shake_hands(&r);
		for (uint64_t n = refused_by_now().accesses; n < nr && n < 100 * ((uint64_t)i + 1); n++, tried++)
			assert_false(raw_write(&r, 12, n));
		fabric_ep_close(&r.ep);
	}
	assert_true(refused_by_now().accesses >= nr);
	return tried;
}

/* a proof is good for one session */
static void proof__said_again(void **state)
{
	static struct raw r;
	struct fabric_hdr_msg bye;

	(void)state;
	raw_open(&r);
	raw_shake_hands(&r);
	assert_int_equal(nr_sessions(), 2);
	raw_send(&r, &r.proof, PROOF_SIZE);
	assert_int_equal(nr_sessions(), 2);
	fabric_msg_init(&bye, FABRIC_BYE, sizeof(bye));
	bye.session = r.proof.hdr.session;
	raw_send(&r, &bye, sizeof(bye));
	for (int i = 0; i < 10000 && nr_sessions() != 1; i++)
		usleep(1000);
	for (int i = 0; i < 3; i++) {
		raw_send(&r, &r.proof, PROOF_SIZE);
		assert_int_equal(nr_sessions(), 1);
	}
	fabric_ep_close(&r.ep);
}

/* what does not fit to any challenge of the target's is not even looked at: each of its numbers is in the challenge */
static void proof__of_no_challenge(void **state)
{
	static struct raw r;

	(void)state;
	raw_open(&r);
	raw_shake_hands(&r);
	for (int i = 0; i < 5; i++) {
		struct fabric_proof_msg p = r.proof;

		p.hdr.session ^= i == 0;
		p.time -= i == 1;
		p.time += i == 2 ? 1ULL << 40 : 0;
		p.nonce[7] ^= i == 3;
		p.addr[3] ^= i == 4;
		raw_send(&r, &p, PROOF_SIZE);
	}
	raw_send(&r, &r.proof, PROOF_SIZE - 1); /* not whole */
	assert_int_equal(nr_sessions(), 2);
	assert_int_equal(refused_by_now().proofs, 0);
	fabric_ep_close(&r.ep);
}

/* all the bits that the providers take */
static void memory__key_cannot_be_guessed(void **state)
{
	static struct raw r;
	uint64_t keys[4];

	(void)state;
	for (int i = 0; i < 4; i++) {
		if (i) {
			stop_target();
			start_target(NULL);
		}
		raw_open(&r);
		raw_shake_hands(&r);
		keys[i] = r.back.welcome.key;
		fabric_ep_close(&r.ep);
		assert_true(keys[i] > UINT32_MAX);
		for (int j = 0; j < i; j++)
			assert_int_not_equal(keys[i], keys[j]);
	}
}

static void proof__too_late(void **state)
{
	static struct raw r;

	(void)state;
	raw_open(&r);
	raw_hello(&r);
	usleep((2 * TIMEOUT_MS + 100) * 1000);
	raw_send(&r, &r.proof, PROOF_SIZE);
	assert_int_equal(nr_sessions(), 1);
	fabric_ep_close(&r.ep);
}

static void memory__refused_accesses_are_counted(void **state)
{
	static struct raw r;
	uint64_t lines, tried;

	(void)state;
	raw_open(&r);
	raw_shake_hands(&r);
	assert_true(raw_write(&r, 11, r.back.welcome.key));
	assert_int_equal(memory[11], 42);
	assert_int_equal(refused_by_now().accesses, 0);
	assert_false(raw_write(&r, 12, r.back.welcome.key + 1));
	assert_false(raw_write(&r, MEMORY, r.back.welcome.key));
	fabric_ep_close(&r.ep);
	tried = 2 + be_refused(22);
	assert_true(refused_by_now().accesses <= tried);
	assert_int_equal(ask(peer, (struct request){ .what = LINES }, &lines, sizeof(lines)), 0);
	assert_int_equal(lines, 1); /* a minute */
}

/* after a thousand those that come get another key; those that are there keep theirs */
static void memory__key_is_renewed(void **state)
{
	static struct raw r, old;
	uint8_t byte = 7;
	struct pmio_fabric_piece piece = { 99, &byte, 1 };

	(void)state;
	raw_open(&old);
	raw_shake_hands(&old);
	raw_open(&r);
	raw_shake_hands(&r);
	assert_int_equal(r.back.welcome.key, old.back.welcome.key);
	fabric_ep_close(&r.ep);
	be_refused(1000);
	raw_open(&r);
	raw_shake_hands(&r);
	assert_int_not_equal(r.back.welcome.key, old.back.welcome.key);
	assert_true(raw_write(&r, 13, r.back.welcome.key));
	assert_true(raw_write(&old, 14, old.back.welcome.key));
	assert_int_equal(memory[13] + memory[14], 84);
	assert_int_equal(pmio_fabric_write(peer, &piece, 1, NULL), 0);
	assert_int_equal(memory[99], 7);
	fabric_ep_close(&old.ep);
	fabric_ep_close(&r.ep);
}

static unsigned next_random(unsigned *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 8;
}

/* a message that is nearly right, with bytes turned; or of random bytes alone */
static size_t make_garbage(uint8_t *msg, const struct fabric_ep *ep, unsigned *seed)
{
	static const size_t sizes[] = { 0, 136, 88, 676, 88, 32, 4096, 32 };
	unsigned type = next_random(seed) % 8;
	size_t size = sizes[type] ? sizes[type] : 1 + next_random(seed) % BUFFER_SIZE;
	struct fabric_hello_msg *h = (struct fabric_hello_msg *)msg;

	for (size_t i = 0; i < size; i++)
		msg[i] = (uint8_t)next_random(seed);
	if (type == 0)
		return size;
	fabric_msg_init(&h->hdr, (enum fabric_type)type, sizeof(h->hdr));
	h->hdr.len = (uint32_t)(size - sizeof(h->hdr));
	h->hdr.session = next_random(seed);
	if (type == FABRIC_HELLO) { /* half of them begin a session that will never be proven, the others ask for one */
		h->hdr.session *= next_random(seed) & 1;
		h->addr_len = (uint32_t)ep->addr_len;
		memcpy(h->addr, ep->addr, ep->addr_len);
	}
	if (type == FABRIC_PROOF)
		((struct fabric_proof_msg *)msg)->credential_len = 500;
	for (unsigned n = next_random(seed) % 3; n > 0; n--)
		msg[next_random(seed) % size] ^= (uint8_t)(1u << next_random(seed) % 8);
	return size;
}

/* 4000 of them, thousands of half-open sessions among them: nobody else notices */
static void garbage__is_ignored(void **state)
{
	struct pmio_fabric_config c = config_of(key, NULL);
	static uint8_t msg[BUFFER_SIZE] __attribute__((aligned(8)));
	struct fabric_ep ep;
	fi_addr_t to;
	unsigned seed = 1;

	(void)state;
	assert_int_equal(fabric_ep_open(&ep, &c, NULL), 0);
	assert_int_equal(fabric_ep_add_addr(&ep, endpoint.addr, endpoint.addr_len, &to), 0);
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

/* ---- strangers: they have no key, and cost others nothing ------------------------------------------- */

/* a process of theirs, until strangers_go() */
static pid_t strangers_come(void (*what)(const void *arg), const void *arg)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		what(arg);
		_exit(0);
	}
	return pid;
}

static void strangers_go(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* kB of the target's process that are its own */
static long target_rss(void)
{
	char path[64], line[128];
	long kb = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)target_pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (kb < 0 && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "RssAnon: %ld", &kb) != 1)
			kb = -1;
	}
	fclose(f);
	assert_true(kb >= 0);
	return kb;
}

static unsigned nr_target_fds(void)
{
	char path[64];
	unsigned n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)target_pid);
	d = opendir(path);
	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2; /* . and .. */
}

/* somebody with the key has all the time that he wants */
static void honest_come_and_go(int nr)
{
	struct pmio_fabric_config c = config_of(key, NULL);

	c.timeout_ms = 30000;
	for (int i = 0; i < nr; i++) {
		struct pmio_fabric_initiator *other;
		struct pmio_fabric_peer *p;

		assert_int_equal(pmio_fabric_initiator_new(&c, &other), 0);
		assert_int_equal(pmio_fabric_connect(other, &endpoint, NULL, &p), 0);
		assert_int_equal(ask(p, (struct request){ .what = ECHO }, (char[64]){ 0 }, 64), 7);
		pmio_fabric_disconnect(&p);
		pmio_fabric_initiator_delete(&other);
	}
}

/* HELLOs; from: the n-th one's address, or NULL: that of the sender.  nr 0: for ever */
static void say_hellos(unsigned nr, void (*from)(unsigned n, uint8_t *addr))
{
	struct pmio_fabric_config c = config_of(key, NULL);
	static struct fabric_hello_msg m;
	struct fi_context2 ctx;
	struct fabric_ep ep;
	fi_addr_t to;

	if (fabric_ep_open(&ep, &c, NULL) < 0 || fabric_ep_add_addr(&ep, endpoint.addr, endpoint.addr_len, &to) < 0)
		_exit(1);
	fabric_msg_init(&m.hdr, FABRIC_HELLO, sizeof(m));
	m.addr_len = (uint32_t)ep.addr_len;
	memcpy(m.addr, ep.addr, ep.addr_len);
	for (unsigned i = 0; nr == 0 || i < nr; i++) {
		struct fi_cq_msg_entry e;

		if (from)
			from(i, m.addr);
		m.hdr.number = i;
		memcpy(m.nonce, &i, sizeof(i));
		while (fi_send(ep.ep, &m, sizeof(m), NULL, to, &ctx) == -FI_EAGAIN)
			fi_cq_read(ep.cq, NULL, 0);
		while (fi_cq_sread(ep.cq, &e, 1, NULL, 1000) == -FI_EAGAIN)
			;
	}
}

/* the sender takes no answer */
static void flood(const void *arg)
{
	(void)arg;
	say_hellos(0, NULL);
}

static void strangers__flood_of_hellos(void **state)
{
	long before = target_rss();
	pid_t pids[2];

	(void)state;
	if (strstr(endpoint.provider, "ofi_rxm"))
		skip(); /* it keeps, in memory without a limit, what comes faster than it is looked at */
	for (int i = 0; i < 2; i++)
		pids[i] = strangers_come(flood, NULL);
	sleep(2); /* so that answers have piled up, if they do */
	honest_come_and_go(10);
	if (!SANITIZED)
		assert_true(target_rss() - before < 64 << 10);
	for (int i = 0; i < 2; i++)
		strangers_go(pids[i]);
	assert_int_equal(nr_sessions(), 1);
}

/* nobody takes connections there */
static struct sockaddr_in deaf;

/* one of many addresses of that socket, twice */
static void lie(unsigned n, uint8_t *addr)
{
	struct sockaddr_in at = deaf;

	at.sin_addr.s_addr = htonl(0x7f010000u + n / 2);
	memcpy(addr, &at, sizeof(at));
}

static void lies(const void *arg)
{
	(void)arg;
	say_hellos(3000, lie);
	pause();
}

/* an answer goes to where the message comes from; few connections are tried elsewhere */
static void strangers__hellos_with_addresses_of_others(void **state)
{
	int sock = socket(AF_INET, SOCK_STREAM, 0), full[8];
	socklen_t len = sizeof(deaf);
	unsigned before = nr_target_fds();
	pid_t pid;

	(void)state;
	deaf = (struct sockaddr_in){ .sin_family = AF_INET };
	assert_int_equal(bind(sock, (struct sockaddr *)&deaf, sizeof(deaf)), 0);
	assert_int_equal(listen(sock, 0), 0);
	assert_int_equal(getsockname(sock, (struct sockaddr *)&deaf, &len), 0);
	deaf.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int i = 0; i < 8; i++) {
		full[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		assert_true(connect(full[i], (struct sockaddr *)&deaf, sizeof(deaf)) == 0 || errno == EINPROGRESS);
	}
	pid = strangers_come(lies, NULL);
	sleep(3);
	honest_come_and_go(3);
	assert_true(nr_target_fds() - before < 200);
	strangers_go(pid);
	for (int i = 0; i < 8; i++)
		close(full[i]);
	close(sock);
}

static const char garbage[] = "GET / HTTP/1.0\r\n\r\n";

/* connections to the target, and nothing more; every third one says something that is nothing */
static void connect_only(const void *arg)
{
	const int *nr = arg;
	struct sockaddr_in at;

	memcpy(&at, endpoint.addr, sizeof(at));
	for (int i = 0; i < *nr; i++) {
		int sock = socket(AF_INET, SOCK_STREAM, 0);

		if (sock < 0 || connect(sock, (struct sockaddr *)&at, sizeof(at)) < 0)
			_exit(1);
		if (i % 3 == 2 && send(sock, garbage, (size_t)i % sizeof(garbage), MSG_NOSIGNAL) < 0 && errno != ECONNRESET &&
		    errno != EPIPE)
			_exit(1);
	}
	pause();
}

static int set_up_few_fds(void **state)
{
	target_fds = 256;
	return set_up(state);
}

static int tear_down_few_fds(void **state)
{
	target_fds = 0;
	return tear_down(state);
}

/* more than there are descriptors.  Who was there before stays, and others come */
static void strangers__idle_connections(void **state)
{
	const int nr = 600;
	unsigned before = nr_target_fds();
	uint64_t mine = session_of(peer);
	pid_t pid;

	(void)state;
	for (int i = 0; i < 2; i++) {
		pid = strangers_come(connect_only, &nr);
		sleep(2);
		honest_come_and_go(3);
		assert_true(session_of(peer) == mine);
		strangers_go(pid);
		honest_come_and_go(3);
	}
	for (int i = 0; i < 200 && nr_target_fds() > before + 8; i++)
		usleep(100000);
	assert_true(nr_target_fds() <= before + 8);
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

static int listen_at(const char *service)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(service)), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

	assert_true(sock >= 0 && setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0);
	assert_return_code(bind(sock, (struct sockaddr *)&at, sizeof(at)), errno);
	assert_return_code(listen(sock, 5), errno);
	return sock;
}

struct connecting {
	struct pmio_fabric_endpoint to;
	struct pmio_fabric_peer *peer;
	int rc;
};

static void *connect_to(void *arg)
{
	struct connecting *c = arg;

	c->rc = pmio_fabric_connect(port, &c->to, NULL, &c->peer);
	return NULL;
}

/* as by a target that is crowded: the first connections are reset; then there is a target */
static void connection_reset__another_is_tried(void **state)
{
	const struct linger at_once = { 1, 0 };
	struct connecting c;
	char service[8], back[64];
	pthread_t thread;
	int sock;

	(void)state;
	service_of(&endpoint, service);
	pmio_fabric_disconnect(&peer);
	stop_target();
	sock = listen_at(service);
	assert_int_equal(pmio_fabric_endpoint_of(port, "127.0.0.1", service, &c.to), 0);
	assert_int_equal(pthread_create(&thread, NULL, connect_to, &c), 0);
	for (int i = 0; i < 2; i++) {
		int s = accept(sock, NULL, NULL);

		setsockopt(s, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		close(s);
	}
	close(sock);
	start_target(service);
	pthread_join(thread, NULL);
	assert_int_equal(c.rc, 0);
	assert_int_equal(ask(c.peer, (struct request){ .what = ECHO }, back, sizeof(back)), 7);
	pmio_fabric_disconnect(&c.peer);
	assert_int_equal(nr_logged, 0);
}

/* has the message's header, whatever the provider puts before it */
static bool is_proof(const uint8_t *bytes, size_t len)
{
	struct fabric_hdr_msg h;

	fabric_msg_init(&h, FABRIC_PROOF, sizeof(h));
	return memmem(bytes, len, &h, offsetof(struct fabric_hdr_msg, session)) != NULL;
}

/* pass on what comes at one end to the other; false: the end */
static bool pass_on(int from, int to, bool *cuts)
{
	static uint8_t bytes[1 << 20];
	ssize_t n = recv(from, bytes, sizeof(bytes), 0);

	if (n <= 0)
		return false;
	if (*cuts && is_proof(bytes, (size_t)n)) {
		*cuts = false;
		return false;
	}
	return send(to, bytes, (size_t)n, MSG_NOSIGNAL) == n;
}

/* between the port and a target at that service: the first connection is reset in place of passing on the proof */
static _Noreturn void be_between(int sock, const char *service)
{
	const struct linger at_once = { 1, 0 };
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(service)), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	bool cuts = true;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		int near = accept(sock, NULL, NULL), far = socket(AF_INET, SOCK_STREAM, 0);
		struct pollfd p[2] = { { near, POLLIN, 0 }, { far, POLLIN, 0 } };
		bool goes_on = connect(far, (struct sockaddr *)&at, sizeof(at)) == 0;

		while (goes_on && poll(p, 2, -1) > 0) {
			static bool never;

			goes_on = (!p[0].revents || pass_on(near, far, &cuts)) && (!p[1].revents || pass_on(far, near, &never));
		}
		setsockopt(near, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		setsockopt(far, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		close(near);
		close(far);
	}
}

static void proof_lost__is_repeated(void **state)
{
	struct pmio_fabric_config config = config_of(key, NULL);
	struct pmio_fabric_endpoint between;
	char service[8], back[64];
	struct pmio_fabric_initiator *fresh; /* a target has one connection with each */
	struct pmio_fabric_peer *p;
	struct sockaddr_in at;
	socklen_t len = sizeof(at);
	int sock;
	pid_t pid;

	(void)state;
	if (strcmp(endpoint.provider, "net") != 0)
		skip(); /* others look at the address that they are connected to */
	sock = listen_at("0");
	service_of(&endpoint, service);
	assert_return_code(getsockname(sock, (struct sockaddr *)&at, &len), errno);
	pid = fork();
	assert_return_code(pid, errno);
	if (pid == 0)
		be_between(sock, service);
	close(sock);
	between = endpoint;
	memcpy(between.addr, &at, sizeof(at));
	assert_int_equal(pmio_fabric_initiator_new(&config, &fresh), 0);
	assert_int_equal(pmio_fabric_connect(fresh, &between, NULL, &p), 0);
	assert_int_equal(ask(p, (struct request){ .what = ECHO }, back, sizeof(back)), 7);
	pmio_fabric_disconnect(&p);
	pmio_fabric_initiator_delete(&fresh);
	assert_int_equal(nr_logged, 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void target_restarted__is_another_one(void **state)
{
	char service[8], back[64];
	struct pmio_fabric_endpoint old = endpoint;
	struct pmio_fabric_peer *p;
	int rc;

	(void)state;
	service_of(&endpoint, service);
	stop_target();
	start_target(service);
	assert_int_equal(endpoint.addr_len, old.addr_len);
	assert_memory_equal(endpoint.addr, old.addr, old.addr_len);
	rc = ask(peer, (struct request){ .what = ECHO }, back, sizeof(back));
	assert_true(rc == -ESTALE || rc == -ECONNRESET);
	pmio_fabric_disconnect(&peer);
	assert_int_equal(pmio_fabric_connect(port, &old, NULL, &p), -ESTALE);
	assert_int_equal(pmio_fabric_connect(port, &endpoint, NULL, &peer), 0);
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
	assert_int_equal(pmio_fabric_connect(port, &endpoint, NULL, &again), 0);
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
			if (pmio_fabric_initiator_new(&c, &port) < 0 || pmio_fabric_connect(port, &endpoint, NULL, &peer) < 0)
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
	int rc;

	(void)state;
	stop_target();
	rc = pmio_fabric_connect(port, &endpoint, NULL, &p);
	assert_true(rc == -ETIMEDOUT || rc == -ECONNRESET);
	assert_null(p);
	memset(endpoint.addr, 0, sizeof(endpoint.addr));
	assert_int_equal(pmio_fabric_connect(port, &endpoint, NULL, &p), -EINVAL);
	strcpy(endpoint.provider, "none");
	assert_int_equal(pmio_fabric_connect(port, &endpoint, NULL, &p), -EPROTO);
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

static void munge__no_such_policy(void **state)
{
	struct pmio_fabric_config c = config_of(key, NULL);
	struct pmio_fabric_target *t;
	struct pmio_fabric_initiator *p;

	(void)state;
	c.munge = "aut";
	assert_int_equal(pmio_fabric_initiator_new(&c, &p), -EINVAL);
	assert_null(p);
	assert_int_equal(pmio_fabric_target_new(&c, memory, MEMORY, handle, NULL, &t), -EINVAL);
	assert_null(t);
	assert_int_equal(nr_logged, 2);
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
		T(begin__more_than_the_buffers_hold),
		T(begin_parts__answers_stay),
	T(begin_parts__too_long),
	T(wait__without_an_answer),
	T(reply_room__is_sent_or_given_back),
	T(begin__without_request_or_answer),
		T(begin__ended_long_after),
		T(begin__peer_goes_meanwhile),
		T(begin__disconnected_meanwhile),
		T(connect__with_another_key),
		T(connect__key_of_the_target),
		T(endpoint_of__finds_whoever_is_there),
		T(endpoint_of__no_such_host),
		T(end_session__its_calls_fail),
		T(end_session__its_own),
		T(connect__many_come_and_go),
		T(garbage__is_ignored),
		T(proof__said_again),
		T(proof__of_no_challenge),
		T(proof__too_late),
		T(memory__key_cannot_be_guessed),
		T(memory__refused_accesses_are_counted),
		T(memory__key_is_renewed),
		T(strangers__flood_of_hellos),
		T(strangers__hellos_with_addresses_of_others),
		cmocka_unit_test_setup_teardown(strangers__idle_connections, set_up_few_fds, tear_down_few_fds),
		T(connect__nobody_there),
		T(target_killed__is_an_error_at_once),
		T(connection_reset__another_is_tried),
		T(proof_lost__is_repeated),
		T(target_restarted__is_another_one),
		T(target_stopped_for_a_while__costs_time_only),
		T(target_does_not_answer__is_down_in_time),
		T(target_new__bad_address_or_provider),
		T(munge__no_such_policy),
		T(port_killed__target_goes_on),
	};

	cmocka_set_test_filter(getenv("TEST_FILTER"));
	return cmocka_run_group_tests_name("fabric", tests, make_memory, NULL);
}
