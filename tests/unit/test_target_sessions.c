/*
 * test_target_sessions.c -- a target and its sessions, by peers that this program takes apart
 */
#include "sites.h"

#include <pthread.h>
#include <sys/resource.h>

/* a process of another node, taken apart: what it says to site 1 */
struct peer {
	uint8_t process[16];
	uint64_t attempt;
	struct pmio_fabric_peer *fabric;
	struct remote_hello_answer_msg hello;
	int liveness;
};

static struct pmio_fabric_initiator *new_port(void)
{
	const struct remote_endpoint *endpoint = &sites[1].endpoint;
	struct pmio_fabric_config c = { .provider = endpoint->fabric.provider, .address = "127.0.0.1", .key = endpoint->key,
					.timeout_ms = (unsigned)atoi(TIMEOUT_S) * 1000 };
	struct pmio_fabric_initiator *port;

	assert_int_equal(pmio_fabric_initiator_new(&c, &port), 0);
	return port;
}

static int peer_ask(struct peer *p, void *msg, size_t len, enum remote_op op, void *answer, size_t room)
{
	uint64_t ticket[64];
	struct remote_hdr_msg *h = msg;
	struct pmio_fabric_exchange x = { .request = msg, .request_len = len, .answer = room ? answer : ticket,
					  .answer_room = room ? room : sizeof(ticket) };

	h->version = REMOTE_VERSION;
	h->op = (uint16_t)op;
	h->session = op == REMOTE_HELLO ? 0 : p->hello.session;
	return pmio_fabric_call(p->fabric, &x);
}

static int peer_hello(struct peer *p, uint64_t attempt)
{
	struct remote_hello_msg m = { .attempt = attempt, .pid = 7, .buffers = 1, .host = "elsewhere" };
	struct remote_hello_answer_msg a;
	int rc;

	memcpy(m.process, p->process, sizeof(m.process));
	rc = peer_ask(p, &m, sizeof(m), REMOTE_HELLO, &a, sizeof(a));
	if (rc == 0)
		p->hello = a;
	return rc;
}

static void peer_show(struct peer *p)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(p->hello.liveness),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct timeval limit = { .tv_sec = PATIENCE_MS / 1000 };
	uint8_t ack = 0;

	p->liveness = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(p->liveness >= 0);
	setsockopt(p->liveness, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	assert_int_equal(connect(p->liveness, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(write(p->liveness, &p->hello.session, 8), 8);
	assert_int_equal(read(p->liveness, &ack, 1), 1);
	assert_int_equal(ack, REMOTE_LIVENESS_ACK);
}

static struct peer peer_come(struct pmio_fabric_initiator *port)
{
	struct peer p = { .liveness = -1 };

	assert_int_equal(pmio_fabric_random(p.process, sizeof(p.process)), 0);
	assert_int_equal(pmio_fabric_connect(port, &sites[1].endpoint.fabric, NULL, &p.fabric), 0);
	assert_int_equal(peer_hello(&p, ++p.attempt), 0);
	peer_show(&p);
	return p;
}

static void peer_go(struct peer *p)
{
	if (p->liveness >= 0)
		close(p->liveness);
	pmio_fabric_disconnect(&p->fabric);
}

/* the same process, in another session */
static struct peer peer_again(struct pmio_fabric_initiator *port, const struct peer *p, uint64_t attempt)
{
	struct peer q = *p;

	q.liveness = -1;
	q.attempt = attempt;
	assert_int_equal(pmio_fabric_connect(port, &sites[1].endpoint.fabric, NULL, &q.fabric), 0);
	return q;
}

static int peer_join(struct peer *p, enum remote_op op, uint64_t number, const char *layout_file)
{
	union {
		struct remote_join_msg m;
		uint8_t bytes[sizeof(struct remote_join_msg) + PATH_MAX];
	} u;

	memset(&u, 0, sizeof(u));
	memset(u.m.layout, 0x77, sizeof(u.m.layout));
	u.m.number = number;
	u.m.create = layout_file != NULL;
	if (layout_file)
		strcpy(u.m.path, layout_file);
	return peer_ask(p, &u, sizeof(u.m) + (layout_file ? strlen(layout_file) + 1 : 0), op, NULL, 0);
}

/* the answer to a HELLO was lost: it is said again, and the one before finds nobody */
static void hello__said_twice(void **state)
{
	struct pmio_fabric_initiator *port = new_port();
	struct peer p = peer_come(port), q = peer_again(port, &p, 2), r = peer_again(port, &p, 3);
	char none[PATH_MAX + 32];

	(void)state;
	snprintf(none, sizeof(none), "%s/.pmio-owner.none", root.path);
	assert_int_equal(peer_join(&p, REMOTE_JOIN, 1, none), 0);
	assert_int_equal(peer_join(&p, REMOTE_JOIN, 1, none), 0);
	assert_int_equal(peer_hello(&q, 2), 0);
	assert_int_equal(q.hello.vital, p.hello.session);
	assert_int_equal(peer_hello(&r, 3), 0);
	assert_int_equal(r.hello.vital, p.hello.session);
	assert_true(peer_join(&p, REMOTE_JOIN, 2, NULL) < 0);
	assert_true(peer_join(&q, REMOTE_JOIN, 2, NULL) < 0);
	assert_int_equal(peer_hello(&r, 2), -ESTALE); /* it was on its way for long */
	peer_show(&r);
	close(p.liveness); /* the target does not look at it any more */
	p.liveness = -1;
	usleep(300000);
	/* joined once, however often that was said */
	assert_int_equal(peer_join(&r, REMOTE_JOIN, 2, NULL), 0);
	assert_int_equal(peer_join(&r, REMOTE_LEAVE, 2, NULL), 1);
	assert_int_equal(peer_join(&r, REMOTE_LEAVE, 1, NULL), 0);
	assert_int_equal(peer_join(&r, REMOTE_LEAVE, 1, NULL), -ENOENT);
	assert_int_equal(peer_join(&r, REMOTE_JOIN, 3, NULL), -ENOENT);
	pmio_fabric_disconnect(&p.fabric);
	pmio_fabric_disconnect(&q.fabric);
	peer_go(&r);
	pmio_fabric_initiator_delete(&port);
}

/* an earlier session's liveness socket, as long as the target has no later one: its end is the process's */
static void liveness__ends_before_another_is_shown(void **state)
{
	struct pmio_fabric_initiator *port = new_port();
	struct peer p = peer_come(port), q = peer_again(port, &p, 2);
	unsigned before = sessions_of(1);

	(void)state;
	assert_int_equal(peer_hello(&q, 2), 0);
	assert_int_equal(sessions_of(1), before);
	close(p.liveness);
	p.liveness = -1;
	await(sessions_of(1) == before - 1);
	pmio_fabric_disconnect(&p.fabric);
	peer_go(&q);
	pmio_fabric_initiator_delete(&port);
}

struct opening {
	struct peer p;
	int rc;
};

static int peer_open(struct peer *p, const char *name, uint64_t *handle)
{
	union {
		struct remote_open_msg m;
		uint8_t bytes[sizeof(struct remote_open_msg) + PATH_MAX];
	} u;
	struct remote_open_answer_msg a = { 0 };
	int rc;

	memset(&u.m, 0, sizeof(u.m));
	u.m.flags = RW;
	strcpy(u.m.path, name);
	rc = peer_ask(p, &u, sizeof(u.m) + strlen(name) + 1, REMOTE_OPEN, &a, sizeof(a));
	*handle = a.handle;
	return rc;
}

static void *open_it(void *arg)
{
	struct opening *o = arg;
	uint64_t handle;

	o->rc = peer_open(&o->p, path, &handle);
	return NULL;
}

static void *say_hello(void *arg)
{
	struct opening *o = arg;

	o->rc = peer_hello(&o->p, o->p.attempt);
	return NULL;
}

/* the agent stands still, and the clients that wait for it come again and again: others are answered, and in the end he is */
static void agent_stopped__others_are_answered(void **state)
{
	struct pmio_fabric_initiator *port = new_port(), *ports[4];
	struct opening first = { .p = peer_come(port) }, again[4];
	pid_t agent = agent_of(1);
	pthread_t t, more[4];
	struct peer other;
	char none[PATH_MAX + 32];

	(void)state;
	name_file("stands");
	put_text(path, "x", 0644);
	snprintf(none, sizeof(none), "%s/.pmio-owner.none", root.path);
	stop_process(agent);
	assert_int_equal(pthread_create(&t, NULL, open_it, &first), 0);
	usleep(300000);
	for (unsigned i = 0; i < 4; i++) {
		ports[i] = new_port();
		again[i].p = peer_again(ports[i], &first.p, i + 2);
		assert_int_equal(pthread_create(&more[i], NULL, say_hello, &again[i]), 0);
		usleep(100000);
	}
	other = peer_come(port);
	assert_int_equal(peer_join(&other, REMOTE_JOIN, 1, none), 0);
	assert_int_equal(peer_join(&other, REMOTE_LEAVE, 1, NULL), 0);
	kill(agent, SIGCONT);
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(more[i], NULL);
		/* only the last one counts */
		assert_int_equal(again[i].rc == 0, i == 3);
	}
	pthread_join(t, NULL);
	peer_go(&other);
	for (unsigned i = 0; i < 4; i++) {
		pmio_fabric_disconnect(&again[i].p.fabric);
		pmio_fabric_initiator_delete(&ports[i]);
	}
	peer_go(&first.p);
	pmio_fabric_initiator_delete(&port);
}

enum { PEERS = 2000, PORTS = 250 };

static size_t stat_size(const char *name)
{
	struct stat st;

	return stat(name, &st) == 0 ? (size_t)st.st_size : 0;
}

static void peer_write(struct peer *p, uint64_t handle, uint32_t i)
{
	struct {
		struct remote_io_msg m;
		struct remote_desc desc;
		uint32_t data;
	} w = { .m = { .hdr = { .handle = handle }, .buffer = REMOTE_NO_BUFFER, .nr = 1, .len = sizeof(i) },
		.desc = { i * sizeof(i), sizeof(i) }, .data = i };
	struct remote_write_answer_msg a;

	assert_int_equal(peer_ask(p, &w, offsetof(__typeof__(w), data) + sizeof(i), REMOTE_WRITE, &a, sizeof(a)), 0);
}

/* more than an agent has records of clients, and than the target's first limit of descriptors: each has the file open */
static void sessions__two_thousand(void **state)
{
	struct rlimit before, all;
	struct pmio_fabric_initiator *ports[PORTS];
	struct peer *p = calloc(PEERS, sizeof(*p));
	uint64_t *handles = calloc(PEERS, sizeof(*handles));
	uint32_t *model = calloc(PEERS, sizeof(*model));
	unsigned sessions, now;

	(void)state;
	assert_true(p && handles && model);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	if (before.rlim_max < 8192)
		SKIP("needs 8192 descriptors");
	all = before;
	all.rlim_cur = all.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
	name_file("many");
	put_text(path, "", 0644);
	sessions = sessions_of(1);
	for (unsigned i = 0; i < PORTS; i++)
		ports[i] = new_port();
	for (uint32_t i = 0; i < PEERS; i++) {
		p[i] = peer_come(ports[i % PORTS]);
		assert_int_equal(peer_open(&p[i], path, &handles[i]), 0);
		model[i] = i;
	}
	/* one of an earlier test's may end meanwhile */
	now = sessions_of(1);
	assert_true(now >= PEERS && now <= sessions + PEERS);
	for (uint32_t i = 0; i < PEERS; i++)
		peer_write(&p[i], handles[i], i);
	for (unsigned i = 0; i < PEERS; i++)
		peer_go(&p[i]);
	for (unsigned i = 0; i < PORTS; i++)
		pmio_fabric_initiator_delete(&ports[i]);
	await(sessions_of(1) <= sessions);
	/* nobody has closed it but the target: the last of them drains it */
	await(stat_size(path) == PEERS * sizeof(*model));
	assert_on_pfs((uint8_t *)model, PEERS * sizeof(*model));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	free(p);
	free(handles);
	free(model);
}

/* more than there could be threads for */
static void watch__many_files(void **state)
{
	pid_t agent = agent_of(1);

	(void)state;
	stop_process(agent);
	for (unsigned i = 0; i < 1500; i++) {
		char name[32];

		snprintf(name, sizeof(name), "watched.%u", i);
		name_file(name);
		assert_int_equal(remote_watch(settings, &sites[1].endpoint, path), 0);
	}
	kill(agent, SIGCONT);
}

static rlim_t limit_of_descriptors(void)
{
	struct rlimit r;

	return getrlimit(RLIMIT_NOFILE, &r) == 0 ? r.rlim_max : 256;
}

int main(void)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(hello__said_twice),
		cmocka_unit_test(liveness__ends_before_another_is_shown),
		cmocka_unit_test(agent_stopped__others_are_answered),
		cmocka_unit_test(sessions__two_thousand),
		cmocka_unit_test(watch__many_files),
	};
	const struct rlimit few = { 256, limit_of_descriptors() };

	setrlimit(RLIMIT_NOFILE, &few); /* targets that are started here have to see to more */
	return sites_run("target_sessions", tests);
}
