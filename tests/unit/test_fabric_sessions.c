/*
 * test_fabric_sessions.c -- lib/fabric: who gets a session at a target, and what ends it
 */
#include "fabric_fixture.h"

static void connect__with_another_key(void **state)
{
	uint8_t wrong[PMIO_FABRIC_KEY_SIZE] = { 0 };
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
	uint8_t others[PMIO_FABRIC_KEY_SIZE] = { 0 }, wrong[PMIO_FABRIC_KEY_SIZE] = { 1 };
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

int main(void)
{
	struct CMUnitTest tests[] = {
		WITH_TARGET(connect__with_another_key),
		WITH_TARGET(connect__key_of_the_target),
		WITH_TARGET(endpoint_of__finds_whoever_is_there),
		WITH_TARGET(endpoint_of__no_such_host),
		WITH_TARGET(end_session__its_calls_fail),
		WITH_TARGET(end_session__its_own),
		WITH_TARGET(connect__many_come_and_go),
	};

	return scratch_run_with("fabric_sessions", tests, make_memory, NULL);
}
