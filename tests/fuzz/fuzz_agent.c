/*
 * fuzz_agent.c -- any messages to a live agent: libFuzzer target
 *
 * An agent runs in a thread, with a pool of a few frames and a folder as its PFS,
 * both removed at the end. Each input is a connection: messages of any kind and
 * content, in which handles and paths are put right more often than not, so that
 * what lies behind them is reached. Then the agent must still answer.
 *
 * Input, message after message: operation, flags (see FIX_*), a byte for the path,
 * a byte for the length of what follows: bytes to lay over the message's body.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "core/log.h"
#include "proto/proto.h"

#define ANSWER_MS 60000
#define FILES 6

enum {
	FIX_HANDLE = 1,	 /* the last handle that an open gave */
	FIX_PATH = 2,	 /* a path below the folder */
	FIX_SMALL = 4,	 /* small numbers where chunks, blocks and sizes stand */
	CUT_SHORT = 128, /* not the whole message, if the next byte is odd */
};

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char top[] = "/tmp/pmio-fuzz.XXXXXX";
static char pool[64], pfs[64], address[96];
static int pool_fd;
static pthread_t agent;
static uint64_t number, last_handle;
static int last_status; /* of the answer that request() waited for */
static bool throttled; /* by this input */

static void die(const char *what)
{
	fprintf(stderr, "fuzz_agent: %s: %s\n", what, strerror(errno));
	abort();
}

static void *run_agent(void *arg)
{
	(void)arg;
	struct pmio_agent_config cfg = {
		.pool_dir = pool, .make_dir = true, .pool_size = 16u << 20, .chunk_size = 64u << 10,
		.drain_threads = 2, .ready_fd = -1, .foreground = true,
	};

	pmio_agent_run(&cfg);
	return NULL;
}

static int dial(void)
{
	int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un addr;

	pmio_proto_address(pool_fd, &addr);
	if (s < 0 || connect(s, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		die("connect");
	return s;
}

/* the agent's answers; 0 when the one with this number was among them, or the agent has hung up */
static int drink(int sock, uint64_t until, int ms)
{
	struct pollfd p = {.fd = sock, .events = POLLIN};
	union pmio_any_msg m;
	int fd;

	while (poll(&p, 1, ms) > 0) {
		ssize_t n = pmio_proto_recv(sock, &m, &fd);

		if (fd >= 0)
			close(fd);
		if (n <= 0)
			return 0;
		if ((size_t)n == sizeof(m.open_reply) && m.hdr.op == PMIO_OP_OPEN && m.hdr.status == 0)
			last_handle = m.open_reply.handle;
		if (m.hdr.number == until) {
			last_status = m.hdr.status;
			return 0;
		}
	}
	return -1;
}

static void request(int sock, enum pmio_op op)
{
	union pmio_any_msg m;

	pmio_proto_request(&m, op, ++number);
	if (op == PMIO_OP_HELLO)
		m.hello.pid = (uint32_t)getpid();
	if (pmio_proto_send(sock, &m, -1) == 0 && drink(sock, number, ANSWER_MS) < 0)
		die("the agent does not answer");
}

/* drains that wait for ever are no answer to anything */
static void undo_throttle(void)
{
	static const uint32_t what[] = {PMIO_THROTTLE_RATE, PMIO_THROTTLE_RESUME};
	union pmio_any_msg m;
	int sock = dial();

	request(sock, PMIO_OP_HELLO);
	for (int i = 0; i < 2; i++) {
		pmio_proto_request(&m, PMIO_OP_THROTTLE, ++number);
		m.throttle.what = what[i];
		if (pmio_proto_send(sock, &m, -1) < 0 || drink(sock, number, ANSWER_MS) < 0)
			die("the agent does not answer");
	}
	close(sock);
}

static void leave(void)
{
	const struct timespec ms = {.tv_nsec = 1000000};
	char cmd[128];
	int sock = dial();

	request(sock, PMIO_OP_HELLO);
	for (int i = 0; i < ANSWER_MS; i++) { /* it may have yet to notice that others have gone */
		last_status = 0;	      /* also when it hangs up without an answer */
		request(sock, PMIO_OP_SHUTDOWN);
		if (last_status != -EBUSY)
			break;
		nanosleep(&ms, NULL);
	}
	if (last_status < 0) {
		errno = -last_status;
		die("the agent does not leave");
	}
	close(sock);
	pthread_join(agent, NULL);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", top);
	if (system(cmd) != 0)
		perror(cmd);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const struct timespec ms = {.tv_nsec = 1000000};

	(void)argc;
	(void)argv;
	pmio_log_set_level(PMIO_LOG_NONE);
	if (!mkdtemp(top))
		die("mkdtemp");
	snprintf(pool, sizeof(pool), "%s/pool", top);
	snprintf(pfs, sizeof(pfs), "%s/pfs", top);
	snprintf(address, sizeof(address), "%s/" PMIO_SOCKET_NAME, pool);
	if (mkdir(pfs, 0700) < 0 || pthread_create(&agent, NULL, run_agent, NULL) != 0)
		die("the agent does not start");
	for (int i = 0; i < ANSWER_MS && access(address, F_OK) < 0; i++)
		nanosleep(&ms, NULL); /* it closes what descriptors it finds: open none before */
	pool_fd = open(pool, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (pool_fd < 0)
		die(pool);
	atexit(leave);
	return 0;
}

static void put_path(char *path, uint8_t which)
{
	static const char *const odd[] = {"", "/none/x", "/.", "/f0/x"};

	if (which < 200)
		snprintf(path, PATH_MAX, "%s/f%d", pfs, which % FILES);
	else
		snprintf(path, PATH_MAX, "%s%s", pfs, odd[which % 4]);
}

/* whatever the input says, no file but those below our folder may be named */
static void no_other_path(char *path)
{
	if (*path == '/')
		*path = 'x';
}

static void fix(union pmio_any_msg *m, unsigned flags, uint8_t which)
{
	bool small = flags & FIX_SMALL;

	switch (m->hdr.op) {
	case PMIO_OP_OPEN:
		no_other_path(m->open.path);
		if (flags & FIX_PATH)
			put_path(m->open.path, which);
		if (small) {
			m->open.flags = (m->open.flags & PMIO_OPEN_ALL) | PMIO_OPEN_READ | PMIO_OPEN_WRITE;
		}
		return;
	case PMIO_OP_REMOVE:
		no_other_path(m->remove.path);
		if (flags & FIX_PATH)
			put_path(m->remove.path, which);
		if (small)
			m->remove.is_last &= 1;
		return;
	case PMIO_OP_DRAIN:
		if (small) {
			m->drain.flags &= PMIO_DRAIN_ALL;
			m->drain.slot %= 8;
			m->drain.generation %= 8;
		}
		break;
	case PMIO_OP_FORGET:
		if (small) {
			m->forget.slot %= 8;
			m->forget.generation %= 8;
		}
		return;
	case PMIO_OP_REMOVED:
		if (small && m->removed.status > 0)
			m->removed.status = 0;
		return;
	case PMIO_OP_CLAIM:
		if (!small)
			break;
		m->claim.first %= 400;
		m->claim.nr = m->claim.nr % PMIO_CLAIM_MAX + 1;
		m->claim.wanted = m->claim.wanted % m->claim.nr + 1;
		m->claim.needed = m->claim.needed % m->claim.wanted + 1;
		m->claim.how %= PMIO_CLAIM_ALL + 1;
		break;
	case PMIO_OP_FILL:
		if (small) {
			m->fill.chunk %= 400;
			m->fill.blocks[0] |= 1; /* none is refused */
		}
		break;
	case PMIO_OP_THROTTLE:
		throttled = true;
		if (small)
			m->throttle.what = 1u << m->throttle.what % 3;
		return;
	case PMIO_OP_TRUNCATE:
		if (small)
			m->truncate.size %= 30u << 20;
		break;
	default:
		break;
	}
	/* in all these messages the handle is what follows the header */
	if ((flags & FIX_HANDLE) && pmio_op_request_size(m->hdr.op) >= sizeof(m->handle))
		m->handle.handle = last_handle;
}

/* a descriptor of a file of ours, or something that no client sends; -1: none */
static int descriptor(const union pmio_any_msg *m, uint8_t which)
{
	static const int odd[] = {O_RDONLY, O_WRONLY | O_CREAT | O_APPEND, O_PATH, O_RDONLY | O_DIRECTORY};
	char path[PATH_MAX];

	if (m->hdr.op != PMIO_OP_OPEN && m->hdr.op != PMIO_OP_DRAIN && m->hdr.op != PMIO_OP_REMOVE && which % 64)
		return -1;
	if (which % 32 == 31)
		return -1;
	put_path(path, which);
	if (which % 16 == 15)
		return open(which & 16 ? pfs : path, odd[which >> 6] | O_CLOEXEC, 0600);
	return open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

/* one message; returns how much of the input it took */
static size_t send_one(int sock, const uint8_t *data, size_t size)
{
	union pmio_any_msg m;
	size_t len = data[3], took, body;
	unsigned op = data[0] % PMIO_NR_OPS;
	int fd;

	took = 4 + (len < size - 4 ? len : size - 4);
	if (op == PMIO_OP_SHUTDOWN || pmio_op_request_size(op) == 0)
		return took;
	pmio_proto_request(&m, (enum pmio_op)op, ++number);
	body = m.hdr.size - sizeof(m.hdr);
	memcpy((uint8_t *)&m + sizeof(m.hdr), data + 4, took - 4 < body ? took - 4 : body);
	fix(&m, data[1], data[2]);
	if ((data[1] & CUT_SHORT) && (data[2] & 1)) {
		m.hdr.size = (uint32_t)sizeof(m.hdr) + data[3];
		if (m.hdr.size > sizeof(m))
			m.hdr.size = sizeof(m);
	}
	fd = descriptor(&m, data[2]);
	pmio_proto_send(sock, &m, fd); /* EPIPE: it has hung up, as it may */
	if (fd >= 0)
		close(fd);
	drink(sock, number, 2);	       /* an open's answer gives a handle; others may come later */
	return took;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int sock = dial();

	request(sock, PMIO_OP_HELLO);
	for (int i = 0; size >= 4 && i < 32; i++) {
		size_t took = send_one(sock, data, size);

		data += took;
		size -= took;
	}
	request(sock, PMIO_OP_STAT);
	close(sock);
	if (throttled)
		undo_throttle();
	throttled = false;
	return 0;
}
