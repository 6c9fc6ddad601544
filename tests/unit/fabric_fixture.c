#include "fabric_fixture.h"

#include "lsan.h"

#include <netinet/in.h>
#include <pthread.h>
#include <sys/mman.h>

uint8_t key[PMIO_FABRIC_KEY_SIZE];
uint8_t *memory;
struct pmio_fabric_endpoint endpoint;
pid_t target_pid;
rlim_t target_fds;
struct pmio_fabric_initiator *port;
struct pmio_fabric_peer *peer;
unsigned nr_logged;

struct pmio_fabric_config config_of(const uint8_t *k, const char *service)
{
	struct pmio_fabric_config c = {
		.provider = getenv("TEST_PROVIDER"), .address = "127.0.0.1", .service = service, .key = k,
		.timeout_ms = TIMEOUT_MS,
	};

	return c;
}

uint64_t sum_of(const uint8_t *p, size_t len)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = sum * 31 + p[i];
	return sum;
}

/* ---- the target's process ------------------------------------------------------------ */

static struct pmio_fabric_target *target;

static struct pmio_fabric_call *held;
static uint64_t nr_echoed;

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

void handle(struct pmio_fabric_call *call, const void *msg, size_t len, void *arg)
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
		n = sum_of(memory + r->off, r->len);
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

void start_target(const char *service)
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

void stop_target(void)
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

int set_up(void **state)
{
	struct pmio_fabric_config c = config_of(key, NULL);

	(void)state;
	pmio_log_set_handler(count_lines);
	nr_logged = 0;
	start_target(NULL);
	return pmio_fabric_initiator_new(&c, &port) == 0 && pmio_fabric_connect(port, &endpoint, NULL, &peer) == 0 ? 0 : -1;
}

int tear_down(void **state)
{
	(void)state;
	pmio_fabric_disconnect(&peer);
	pmio_fabric_initiator_delete(&port);
	stop_target();
	return 0;
}

/* ---- asking ------------------------------------------------------------------------------- */

/* ---- asking ------------------------------------------------------------------------------- */

int ask(struct pmio_fabric_peer *p, struct request req, void *answer, size_t room)
{
	struct pmio_fabric_exchange x = { &req, sizeof(req), answer, room, 0 };

	return pmio_fabric_call(p, &x);
}

uint8_t *random_bytes(size_t len, unsigned seed)
{
	uint8_t *p = malloc(len);

	assert_non_null(p);
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1103515245 + 12345;
		p[i] = (uint8_t)(seed >> 16);
	}
	return p;
}

int begin(struct pmio_fabric_peer *p, struct request req, struct pmio_fabric_op **out)
{
	return pmio_fabric_begin(p, NULL, 0, &req, sizeof(req), out);
}

int end(struct pmio_fabric_op **op, void *answer, size_t room)
{
	struct pmio_fabric_exchange x = { .answer = answer, .answer_room = room };
	int rc = pmio_fabric_end(op, &x);

	assert_null(*op);
	return rc;
}

uint64_t nr_sessions(void)
{
	uint64_t n = 0;

	assert_int_equal(ask(peer, (struct request){ .what = SESSIONS }, &n, sizeof(n)), 0);
	return n;
}

void service_of(const struct pmio_fabric_endpoint *of, char service[8])
{
	struct sockaddr_in at;

	memcpy(&at, of->addr, sizeof(at));
	snprintf(service, 8, "%u", ntohs(at.sin_port));
}

uint64_t session_of(struct pmio_fabric_peer *p)
{
	uint64_t id = 0;

	assert_int_equal(ask(p, (struct request){ .what = WHO }, &id, sizeof(id)), 0);
	assert_int_not_equal(id, 0);
	return id;
}

int make_memory(void **state)
{
	(void)state;
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return memory == MAP_FAILED || pmio_fabric_new_key(key) < 0 ? -1 : 0;
}
