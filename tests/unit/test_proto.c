/* proto: what a request must look like before anything else looks at it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/error.h"
#include "proto/proto.h"

static void request__each_op(void **state)
{
	union pmio_any_msg msg;

	(void)state;
	for (unsigned op = PMIO_OP_HELLO; op < PMIO_NR_OPS; op++) {
		pmio_proto_request(&msg, (enum pmio_op)op, 7);
		assert_int_equal(msg.hdr.size, pmio_op_request_size(op));
		assert_int_equal(msg.hdr.number, 7);
		assert_true(pmio_op_reply_size(op) >= sizeof(struct pmio_hdr_msg));
	}
}

static void check__good_open(void **state)
{
	union pmio_any_msg msg;

	(void)state;
	pmio_proto_request(&msg, PMIO_OP_OPEN, 1);
	msg.open.flags = PMIO_OPEN_READ;
	strcpy(msg.open.path, "/a");
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), 0);
}

static void check__wrong_size(void **state)
{
	union pmio_any_msg msg;

	(void)state;
	pmio_proto_request(&msg, PMIO_OP_STAT, 1);
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size - 1), PMIO_EPROTO);
	assert_int_equal(pmio_proto_check_request(&msg, 3), PMIO_EPROTO);
	assert_int_equal(pmio_proto_check_request(&msg, 0), PMIO_EPROTO);
	msg.hdr.size++;
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), PMIO_EPROTO);
}

static void check__unknown_op(void **state)
{
	union pmio_any_msg msg;

	(void)state;
	pmio_proto_request(&msg, PMIO_OP_STAT, 1);
	msg.hdr.op = 0;
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), PMIO_EPROTO);
	msg.hdr.op = PMIO_NR_OPS;
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), PMIO_EPROTO);
}

static void check__other_version(void **state)
{
	union pmio_any_msg msg;

	(void)state;
	pmio_proto_request(&msg, PMIO_OP_STAT, 1);
	msg.hdr.version++;
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), PMIO_EVERSION);
}

static void check__bad_paths(void **state)
{
	union pmio_any_msg msg;

	(void)state;
	pmio_proto_request(&msg, PMIO_OP_OPEN, 1);
	msg.open.flags = PMIO_OPEN_READ;
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), PMIO_EPROTO); /* empty */
	strcpy(msg.open.path, "relative");
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), PMIO_EPROTO);
	memset(msg.open.path, '/', sizeof(msg.open.path)); /* does not end */
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), PMIO_EPROTO);
	pmio_proto_request(&msg, PMIO_OP_REMOVE, 1);
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), PMIO_EPROTO);
}

static void check__bad_open_flags(void **state)
{
	union pmio_any_msg msg;

	(void)state;
	pmio_proto_request(&msg, PMIO_OP_OPEN, 1);
	strcpy(msg.open.path, "/a");
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), PMIO_EPROTO); /* neither */
	msg.open.flags = PMIO_OPEN_READ | (PMIO_OPEN_ALL + 1);
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), PMIO_EPROTO);
	msg.open.flags = PMIO_OPEN_READ;
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), 0);
	pmio_proto_request(&msg, PMIO_OP_DRAIN, 1);
	msg.drain.flags = PMIO_DRAIN_ALL + 1;
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), PMIO_EPROTO);
	pmio_proto_request(&msg, PMIO_OP_REMOVED, 1);
	msg.removed.status = 1;
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), PMIO_EPROTO);
}

static void check__bad_stat(void **state)
{
	union pmio_any_msg msg;

	(void)state;
	pmio_proto_request(&msg, PMIO_OP_STAT, 1);
	msg.stat.sums = 1;
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), 0);
	msg.stat.sums = 2;
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), PMIO_EPROTO);
}

static void check__bad_claims(void **state)
{
	static const struct {
		uint64_t first;
		uint32_t nr, wanted, needed, how;
		int rc;
	} t[] = {
		{ 0, 1, 1, 1, 0, 0 },
		{ 0, PMIO_CLAIM_MAX, 2, 1, 1, 0 },
		{ 0, 0, 0, 0, 0, PMIO_EPROTO },
		{ 0, PMIO_CLAIM_MAX + 1, 1, 1, 0, PMIO_EPROTO },
		{ 0, 1, 2, 1, 0, PMIO_EPROTO },
		{ 0, 2, 1, 2, 0, PMIO_EPROTO },
		{ 0, 2, 1, 0, 0, PMIO_EPROTO },
		{ 0, 1, 1, 1, PMIO_CLAIM_ALL + 1, PMIO_EPROTO },
		{ UINT64_MAX, 1, 1, 1, 0, PMIO_EPROTO },
	};
	union pmio_any_msg msg;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		pmio_proto_request(&msg, PMIO_OP_CLAIM, 1);
		msg.claim.first = t[i].first;
		msg.claim.nr = t[i].nr;
		msg.claim.wanted = t[i].wanted;
		msg.claim.needed = t[i].needed;
		msg.claim.how = t[i].how;
		assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), t[i].rc);
	}
}

static void check__bad_truncate_and_fill(void **state)
{
	union pmio_any_msg msg;

	(void)state;
	pmio_proto_request(&msg, PMIO_OP_TRUNCATE, 1);
	msg.truncate.size = (uint64_t)INT64_MAX + 1;
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), PMIO_EPROTO);
	pmio_proto_request(&msg, PMIO_OP_FILL, 1);
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), PMIO_EPROTO);
	msg.fill.blocks[3] = 1ULL << 63;
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), 0);
}

static void check__bad_stage(void **state)
{
	union pmio_any_msg msg;

	(void)state;
	pmio_proto_request(&msg, PMIO_OP_STAGE, 1);
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), PMIO_EPROTO);
	msg.stage.nr = PMIO_STAGE_MAX;
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), PMIO_EPROTO);
	msg.stage.step = 1;
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), 0);
	msg.stage.nr = PMIO_STAGE_MAX + 1;
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), PMIO_EPROTO);
	msg.stage.step = UINT32_MAX;
	msg.stage.nr = 2;
	msg.stage.first = INT64_MAX - UINT32_MAX;
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), PMIO_EPROTO);
	msg.stage.nr = msg.stage.step = 1;
	msg.stage.first = INT64_MAX;
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), PMIO_EPROTO);
}

static void check__bad_throttle(void **state)
{
	union pmio_any_msg msg;

	(void)state;
	pmio_proto_request(&msg, PMIO_OP_THROTTLE, 1);
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), PMIO_EPROTO);
	msg.throttle.what = PMIO_THROTTLE_PAUSE | PMIO_THROTTLE_RESUME;
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), PMIO_EPROTO);
	msg.throttle.what = PMIO_THROTTLE_ALL + 1;
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), PMIO_EPROTO);
	msg.throttle.what = PMIO_THROTTLE_RATE;
	msg.throttle.rate = INT64_MAX;
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), 0);
	msg.throttle.rate++;
	assert_int_equal(pmio_proto_check_request(&msg, msg.hdr.size), PMIO_EPROTO);
}

/* whatever bytes come, the answer is one of three */
static void check__random_bytes(void **state)
{
	union pmio_any_msg msg;

	(void)state;
	memset(&msg, 0, sizeof(msg));
	srandom(1);
	for (int i = 0; i < 100000; i++) {
		size_t len = (size_t)random() % (sizeof(msg) + 1);
		int rc;

		for (size_t j = 0; j < sizeof(msg) && j < 256; j++)
			((uint8_t *)&msg)[j] = (uint8_t)random();
		if (random() % 2) { /* let it come past the header */
			msg.hdr.op = (uint16_t)(random() % (PMIO_NR_OPS + 1));
			len = pmio_op_request_size(msg.hdr.op);
			msg.hdr.size = (uint32_t)len;
			msg.hdr.version = PMIO_PROTO_VERSION;
		}
		rc = pmio_proto_check_request(&msg, len);
		assert_true(rc == 0 || rc == PMIO_EPROTO || rc == PMIO_EVERSION);
	}
}

static void check_reply__not_the_answer(void **state)
{
	union pmio_any_msg req, msg;

	(void)state;
	pmio_proto_request(&req, PMIO_OP_CLOSE, 5);
	pmio_proto_reply(&msg, &req.hdr, -5);
	assert_int_equal(pmio_proto_check_reply(&msg, msg.hdr.size, PMIO_OP_CLOSE, 5), 0);
	assert_int_equal(pmio_proto_check_reply(&msg, msg.hdr.size, PMIO_OP_CLOSE, 6), PMIO_EPROTO);
	assert_int_equal(pmio_proto_check_reply(&msg, msg.hdr.size, PMIO_OP_OPEN, 5), PMIO_EPROTO);
	msg.hdr.status = 1;
	assert_int_equal(pmio_proto_check_reply(&msg, msg.hdr.size, PMIO_OP_CLOSE, 5), PMIO_EPROTO);
}

static void send_recv__with_descriptor(void **state)
{
	union pmio_any_msg out, in;
	int sv[2], fd, pipe_fd[2];
	char c;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv), 0);
	assert_int_equal(pipe(pipe_fd), 0);
	pmio_proto_request(&out, PMIO_OP_HELLO, 9);
	out.hello.pid = 42;

	assert_int_equal(pmio_proto_send(sv[0], &out, pipe_fd[1]), 0);
	assert_int_equal(pmio_proto_recv(sv[1], &in, &fd), out.hdr.size);

	assert_memory_equal(&in, &out, out.hdr.size);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(read(pipe_fd[0], &c, 1), 1);
	close(fd);
	close(sv[0]);
	assert_int_equal(pmio_proto_recv(sv[1], &in, &fd), 0); /* the other end is gone */
	close(sv[1]);
	fd = pipe_fd[0];
	assert_int_equal(pmio_proto_recv(sv[1], &in, &fd), -EBADF);
	assert_int_equal(fd, -1); /* no descriptor that the caller would close */
	close(pipe_fd[0]);
	close(pipe_fd[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(request__each_op),
		cmocka_unit_test(check__good_open),
		cmocka_unit_test(check__wrong_size),
		cmocka_unit_test(check__unknown_op),
		cmocka_unit_test(check__other_version),
		cmocka_unit_test(check__bad_paths),
		cmocka_unit_test(check__bad_open_flags),
		cmocka_unit_test(check__bad_stat),
		cmocka_unit_test(check__bad_claims),
		cmocka_unit_test(check__bad_truncate_and_fill),
		cmocka_unit_test(check__bad_stage),
		cmocka_unit_test(check__bad_throttle),
		cmocka_unit_test(check__random_bytes),
		cmocka_unit_test(check_reply__not_the_answer),
		cmocka_unit_test(send_recv__with_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
