/*
 * test_fabric_failures.c -- lib/fabric: targets, ports and connections that fail, and what cannot be configured
 */
#include "fabric_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

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
		SKIP("other providers look at the address that they are connected to");
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

int main(void)
{
	struct CMUnitTest tests[] = {
		WITH_TARGET(connect__nobody_there),
		WITH_TARGET(target_killed__is_an_error_at_once),
		WITH_TARGET(connection_reset__another_is_tried),
		WITH_TARGET(proof_lost__is_repeated),
		WITH_TARGET(target_restarted__is_another_one),
		WITH_TARGET(target_stopped_for_a_while__costs_time_only),
		WITH_TARGET(target_does_not_answer__is_down_in_time),
		WITH_TARGET(target_new__bad_address_or_provider),
		WITH_TARGET(munge__no_such_policy),
		WITH_TARGET(port_killed__target_goes_on),
	};

	return scratch_run_with("fabric_failures", tests, make_memory, NULL);
}
