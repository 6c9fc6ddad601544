/*
 * test_fabric_strangers.c -- lib/fabric: peers that do not keep to the protocol, or have no key: nothing they send or hold harms others
 */
#include "fabric_fixture.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <sys/socket.h>

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

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1 /* what was freed is kept by them */
#else
#define SANITIZED 0
#endif

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
		SKIP("the provider keeps, in memory without a limit, what comes faster than it is looked at");
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
	sleep(3); /* for as many of them as come */
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
		sleep(2); /* for all of them to come */
		honest_come_and_go(3);
		assert_true(session_of(peer) == mine);
		strangers_go(pid);
		honest_come_and_go(3);
	}
	for (int i = 0; i < 200 && nr_target_fds() > before + 8; i++)
		usleep(100000);
	assert_true(nr_target_fds() <= before + 8);
}

int main(void)
{
	struct CMUnitTest tests[] = {
		WITH_TARGET(garbage__is_ignored),
		WITH_TARGET(proof__said_again),
		WITH_TARGET(proof__of_no_challenge),
		WITH_TARGET(proof__too_late),
		WITH_TARGET(memory__key_cannot_be_guessed),
		WITH_TARGET(memory__refused_accesses_are_counted),
		WITH_TARGET(memory__key_is_renewed),
		WITH_TARGET(strangers__flood_of_hellos),
		WITH_TARGET(strangers__hellos_with_addresses_of_others),
		cmocka_unit_test_setup_teardown(strangers__idle_connections, set_up_few_fds, tear_down_few_fds),
	};

	return scratch_run_with("fabric_strangers", tests, make_memory, NULL);
}
