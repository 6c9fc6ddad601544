/*
 * test_fabric_calls.c -- lib/fabric: calls to a target, and what they write into its memory
 */
#include "fabric_fixture.h"

#include <pthread.h>

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

int main(void)
{
	struct CMUnitTest tests[] = {
		WITH_TARGET(call__answer_comes_back),
		WITH_TARGET(call__answer_of_another_thread),
		WITH_TARGET(call__too_long),
		WITH_TARGET(write__is_there_before_its_request),
		WITH_TARGET(write__many_pieces),
		WITH_TARGET(write__not_in_its_memory),
		WITH_TARGET(threads__share_a_peer),
		WITH_TARGET(begin__more_than_the_buffers_hold),
		WITH_TARGET(begin_parts__answers_stay),
		WITH_TARGET(begin_parts__too_long),
		WITH_TARGET(wait__without_an_answer),
		WITH_TARGET(reply_room__is_sent_or_given_back),
		WITH_TARGET(begin__without_request_or_answer),
		WITH_TARGET(begin__ended_long_after),
		WITH_TARGET(begin__peer_goes_meanwhile),
		WITH_TARGET(begin__disconnected_meanwhile),
	};

	return scratch_run_with("fabric_calls", tests, make_memory, NULL);
}
