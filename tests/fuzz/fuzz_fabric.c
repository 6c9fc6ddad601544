/*
 * fuzz_fabric.c -- any messages to a target, HELLO and PROOF above all: libFuzzer target
 *
 * The target is lib/fabric's own, over a provider that is made here and has no network: addresses are numbers, what is sent
 * is looked at and forgotten.  An input is a list of messages; some are made by its words, so that handshakes come about.
 * Nobody without the key may get a session, a call or an answer that is not small; a proof is good for one session,
 * and when all have gone nothing is kept for strangers.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fabric/target.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NR_PEERS 8 /* addresses that input chooses among; some more come about */
#define NR_KNOWN 8192

static void need(bool good)
{
	if (!good)
		abort();
}

/* ---- a provider ------------------------------------------------------------------------------------ */

static uint64_t now_ms = 1000;
static bool room;		/* its queues have */
static unsigned nr_addrs;	/* in the address vector */
static bool known[NR_KNOWN];
static struct buffer *under_way[NR_SENDS + NR_STRANGE];
static unsigned nr_under_way;
static struct fabric_challenge_msg challenge; /* the last one that was sent */
static bool has_challenge;
static uint64_t nr_proven, nr_called, nr_welcomes;

uint64_t fabric_now_ms(void)
{
	return now_ms;
}

int fabric_ep_add_addr(struct fabric_ep *ep, const uint8_t *addr, size_t len, fi_addr_t *out)
{
	if (len != ep->addr_len || memcmp(addr, ep->addr, 2) != 0)
		return -EINVAL;
	for (*out = 0; known[*out]; ++*out)
		need(*out < NR_KNOWN - 1);
	known[*out] = true;
	nr_addrs++;
	return 0;
}

static int av_remove(struct fid_av *av, fi_addr_t *fi, size_t count, uint64_t flags)
{
	(void)av;
	(void)flags;
	need(count == 1 && nr_addrs > 0);
	known[*fi] = false;
	nr_addrs--;
	return 0;
}

static ssize_t send_msg(struct fid_ep *ep, const void *buf, size_t len, void *desc, fi_addr_t to, void *context)
{
	const struct fabric_hdr_msg *h = buf;

	(void)ep;
	(void)desc;
	need(known[to] && fabric_msg_is_good(buf, len)); /* libfabric falls over addresses that it does not know */
	if (!room)
		return -FI_EAGAIN;
	if (h->type == FABRIC_CHALLENGE) {
		memcpy(&challenge, buf, sizeof(challenge));
		has_challenge = true;
	}
	nr_welcomes += h->type == FABRIC_WELCOME && h->status == 0;
	need(nr_under_way < NR_SENDS + NR_STRANGE);
	under_way[nr_under_way++] = context;
	return 0;
}

int fabric_ep_register(struct fabric_ep *ep, void *base, size_t len, uint64_t access, uint64_t key, struct fid_mr **mr)
{
	(void)ep;
	(void)base;
	(void)len;
	(void)access;
	*mr = calloc(1, sizeof(**mr));
	need(*mr != NULL);
	(*mr)->key = key;
	return 0;
}

int fabric_ep_open(struct fabric_ep *e, const struct pmio_fabric_config *config, const char *service)
{
	(void)e;
	(void)config;
	(void)service;
	return -ENOSYS;
}

void fabric_ep_close(struct fabric_ep *e) { (void)e; }
void fabric_ep_wake(struct fabric_ep *e) { (void)e; }
const char *fabric_ep_provider(const struct fabric_ep *e) { (void)e; return "none"; }
uint64_t fabric_ep_key_mask(const struct fabric_ep *e) { (void)e; return UINT64_MAX; }
int fabric_error(ssize_t rc) { return (int)rc; }
void fabric_count_refused(void) { }
uint64_t fabric_refused(void) { return 0; }
void fabric_connections_init(struct fabric_connections *g, const struct fabric_ep *ep) { (void)g; (void)ep; }
void fabric_connections_fini(struct fabric_connections *g) { (void)g; }
int fabric_munge_init(struct fabric_munge *m, const struct pmio_fabric_config *c) { (void)m; (void)c; return 0; }
void fabric_munge_fini(struct fabric_munge *m) { (void)m; }
int fabric_munge_check(const struct fabric_munge *m, const uint8_t mac[MAC_SIZE], const char *credential, size_t len,
		       const char **why)
{
	(void)m;
	(void)mac;
	*why = "of nobody";
	return len && credential[0] == 'g' ? 0 : -EACCES;
}

ssize_t fabric_ep_wait(struct fabric_ep *ep, struct fi_cq_msg_entry *e, fi_addr_t *from, size_t nr, int ms)
{
	(void)ep;
	(void)e;
	(void)from;
	(void)nr;
	(void)ms;
	return 0;
}

int fabric_connections_look(struct fabric_connections *g, bool (*is_known)(void *arg, const struct sockaddr *peer), void *arg)
{
	(void)g;
	(void)is_known;
	(void)arg;
	return -1;
}

/* ---- the target -------------------------------------------------------------------------------------- */

static struct pmio_fabric_target *target;
static uint8_t key[PMIO_FABRIC_KEY_SIZE];

static void handle(struct pmio_fabric_call *call, const void *msg, size_t len, void *arg)
{
	(void)arg;
	need(nr_proven > 0);
	nr_called++;
	pmio_fabric_reply(call, 0, msg, len);
}

static void make_target(void)
{
	static struct fi_ops_av av_ops = { .size = sizeof(av_ops), .remove = av_remove };
	static struct fid_av av = { .ops = &av_ops };
	static struct fi_ops_msg msg_ops = { .size = sizeof(msg_ops), .send = send_msg };
	static struct fid_ep ep = { .msg = &msg_ops };
	static uint8_t memory[4096];
	struct pmio_fabric_target *t = target = calloc(1, sizeof(*t));
	uint8_t *p = calloc(1, NR_SENDS * BUFFER_SIZE + NR_STRANGE * STRANGE_SIZE);

	need(t && p && pmio_fabric_new_key(key) == 0 && pmio_fabric_random(t->secret, sizeof(t->secret)) == 0);
	pthread_mutex_init(&t->lock, NULL);
	t->refs = 1;
	t->has_thread = true;
	t->thread = pthread_self();
	t->timeout_ms = 10;
	t->handler = handle;
	t->epoch = 77;
	t->len = sizeof(memory);
	t->memory_base = memory;
	memcpy(t->key, key, sizeof(key));
	t->ep.av = &av;
	t->ep.ep = &ep;
	t->ep.has_source = true;
	t->ep.addr[0] = 2;
	t->ep.addr_len = 16;
	t->memory = p;
	for (size_t i = 0; i < NR_SENDS + NR_STRANGE; i++) {
		struct buffer *s = &t->buffers[NR_RECVS + i];

		s->buf = p;
		s->strange = i >= NR_SENDS;
		p += s->strange ? STRANGE_SIZE : BUFFER_SIZE;
		free_buffer(s->strange ? &t->free_strange : &t->free_sends, s);
	}
	need(make_region(t) == 0);
}

static void all_sent(void)
{
	while (nr_under_way)
		sent(target, under_way[--nr_under_way]);
}

/* ---- inputs -------------------------------------------------------------------------------------------- */

struct input {
	const uint8_t *p, *end;
};

static uint8_t byte_of(struct input *in)
{
	return in->p < in->end ? *in->p++ : 0;
}

static void bytes_of(struct input *in, void *to, size_t len)
{
	size_t have = (size_t)(in->end - in->p) < len ? (size_t)(in->end - in->p) : len;

	memset(to, 0, len);
	memcpy(to, in->p, have);
	in->p += have;
}

static void set_addr(uint8_t *addr, uint8_t n)
{
	memset(addr, 0, PMIO_FABRIC_ADDR_MAX);
	addr[0] = 2;
	addr[3] = n % NR_PEERS;
}

static uint8_t msg[BUFFER_SIZE] __attribute__((aligned(8)));

static size_t make_hello(struct input *in)
{
	struct fabric_hello_msg *m = (struct fabric_hello_msg *)msg;
	uint8_t n = byte_of(in);

	fabric_msg_init(&m->hdr, FABRIC_HELLO, sizeof(*m));
	m->hdr.session = n & 0x80 ? challenge.hdr.session : 0;
	m->hdr.number = n;
	m->addr_len = 16;
	set_addr(m->addr, n);
	return sizeof(*m);
}

static bool with_key;

/* of the last challenge */
static size_t make_proof(struct input *in)
{
	struct fabric_proof_msg *m = (struct fabric_proof_msg *)msg;
	struct fabric_transcript t = { .session = challenge.hdr.session, .epoch = target->epoch };
	uint8_t n = byte_of(in), how = byte_of(in);

	fabric_msg_init(&m->hdr, FABRIC_PROOF, sizeof(*m));
	m->hdr.session = challenge.hdr.session;
	m->time = challenge.time;
	m->addr_len = 16;
	set_addr(m->addr, n);
	m->credential_len = how & 2 ? byte_of(in) : 0;
	m->hdr.len = (uint32_t)(PROOF_SIZE - sizeof(m->hdr)) + m->credential_len;
	bytes_of(in, m->credential, m->credential_len);
	memcpy(t.target_nonce, challenge.nonce, NONCE_SIZE);
	set_addr(t.addr, n);
	t.munge = target->munge.policy | (m->credential_len ? SENT_CREDENTIAL : 0);
	with_key = how & 1;
	if (with_key)
		fabric_mac(key, FABRIC_PROOF, &t, m->mac);
	else
		bytes_of(in, m->mac, sizeof(m->mac));
	return PROOF_SIZE + m->credential_len;
}

static size_t make_short(struct input *in, enum fabric_type type)
{
	struct fabric_hdr_msg *h = (struct fabric_hdr_msg *)msg;
	size_t len = type == FABRIC_CALL ? byte_of(in) : 0;

	fabric_msg_init(h, type, sizeof(*h) + len);
	h->session = challenge.hdr.session;
	return sizeof(*h) + len;
}

static size_t make_bytes(struct input *in)
{
	size_t len = (size_t)byte_of(in) * 4;

	bytes_of(in, msg, len);
	return len;
}

static void take_one(struct input *in)
{
	struct pmio_fabric_target *t = target;
	uint8_t what = byte_of(in);
	unsigned before = pmio_fabric_target_sessions(t);
	fi_addr_t from = what & 0x10 ? (fi_addr_t)(what >> 5) : FI_ADDR_NOTAVAIL;
	size_t len;

	with_key = false;
	switch (what & 7) {
	case 0:
		len = make_hello(in);
		break;
	case 1:
		len = make_proof(in);
		break;
	case 2:
		len = make_short(in, FABRIC_CALL);
		break;
	case 3:
		len = make_short(in, FABRIC_BYE);
		break;
	case 4:
		len = make_bytes(in);
		break;
	case 5:
		now_ms += (uint64_t)byte_of(in) * (what & 8 ? 1000 : 1);
		return;
	case 6:
		room = what & 8;
		return;
	default:
		all_sent();
		return;
	}
	if (what & 8 && len) { /* bits turned */
		size_t at = (size_t)byte_of(in) * len / 256;

		msg[at] ^= byte_of(in);
	}
	fabric_target_take(t, msg, len, from != FI_ADDR_NOTAVAIL && known[from] ? from : FI_ADDR_NOTAVAIL);
	nr_proven = pmio_fabric_target_sessions(t);
	need(nr_proven <= before || (with_key && nr_proven == before + 1)); /* a MAC of bytes alone is never good */
	fabric_target_take_endings(t);
	take_queue(t);
	fabric_target_send_waiting(t);
	need(t->nr_strange <= NR_STRANGE);
}

/* all sessions end, and time goes by: what strangers have said has left nothing but addresses, and of those few */
static void end_all(void)
{
	struct pmio_fabric_target *t = target;
	struct fabric_session *s = t->sessions;

	while (s) {
		if (s->addr) {
			fabric_target_end_session(t, s); /* and others are forgotten */
			s = t->sessions;
		} else {
			s = s->hh.next;
		}
	}
	now_ms += 1000000;
	fabric_target_forget_ended(t);
	fabric_target_send_waiting(t);
	all_sent();
	need(!t->waiting && t->nr_strange == 0 && HASH_COUNT(t->sessions) == 0 && !t->hosts && !t->ended);
	need(pmio_fabric_target_sessions(t) == 0 && HASH_COUNT(t->addrs) <= NR_HEARD && nr_addrs == HASH_COUNT(t->addrs));
	need(t->refs == 1);
	for (size_t i = 0; i < NR_HEARD; i++) {
		fabric_target_put_addr(t, t->heard[i]);
		t->heard[i] = NULL;
	}
	t->next_heard = t->next_dial = 0;
	memset(t->dials, 0, sizeof(t->dials));
	need(nr_addrs == 0 && !t->addrs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };

	if (!target) {
		pmio_log_set_level(PMIO_LOG_NONE);
		make_target();
	}
	room = true;
	target->munge.policy = (enum munge_policy)(byte_of(&in) % 3);
	while (in.p < in.end)
		take_one(&in);
	end_all();
	return 0;
}
