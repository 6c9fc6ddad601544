/*
 * credential.c -- a target or a port with MUNGE, for munge.sh
 *
 *   credential target POLICY SOCKET FILE     offer memory until killed; its endpoint descriptor and key go into FILE
 *   credential port POLICY SOCKET FILE       connect and ask; prints "ok" or the error
 *   credential forge HOW SOCKET FILE         shake hands by hand; prints the status that the target gives:
 *              none        no credential
 *              good        one as it should be
 *              replayed    the same, which its user has decoded before
 *              other       one of another payload
 *              cut         the first half of one
 *              open        one that anybody may decode
 *              stripped    one that was taken out on the way
 *
 * SOCKET  of the daemon; "-": libmunge's own
 */
#include <errno.h>
#include <fcntl.h>
#include <munge.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fabric/fabric_impl.h"

struct published {
	struct pmio_fabric_endpoint endpoint;
	uint8_t key[PMIO_FABRIC_KEY_SIZE];
};

static const char *socket_name;

static void die(const char *what, int rc)
{
	fprintf(stderr, "credential: %s: %s\n", what, pmio_strerror(rc));
	exit(EXIT_FAILURE);
}

static struct pmio_fabric_config config_of(const struct published *p, const char *policy)
{
	return (struct pmio_fabric_config){
		.address = "127.0.0.1", .key = p->key, .munge = policy,
		.munge_socket = strcmp(socket_name, "-") != 0 ? socket_name : NULL,
	};
}

static void answer(struct pmio_fabric_call *call, const void *msg, size_t len, void *arg)
{
	(void)arg;
	pmio_fabric_reply(call, 0, msg, len);
}

static _Noreturn void be_target(const char *policy, const char *file)
{
	static uint8_t memory[4096];
	struct pmio_fabric_target *target;
	struct published p = { .key = { 0 } };
	struct pmio_fabric_config c = config_of(&p, policy);
	char tmp[512];
	int rc, fd;

	if (pmio_fabric_new_key(p.key) < 0)
		exit(EXIT_FAILURE);
	rc = pmio_fabric_target_new(&c, memory, sizeof(memory), answer, NULL, &target);
	if (rc < 0)
		die("target", rc);
	pmio_fabric_target_endpoint(target, &p.endpoint);
	snprintf(tmp, sizeof(tmp), "%s.new", file);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644); /* for the other user, who knows the key here */
	if (fd < 0 || write(fd, &p, sizeof(p)) != sizeof(p) || close(fd) < 0 || rename(tmp, file) < 0)
		die(file, -errno);
	for (;;)
		pause();
}

static void read_published(const char *file, struct published *p)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, p, sizeof(*p)) != sizeof(*p))
		die(file, -EIO);
	close(fd);
}

static int be_port(const char *policy, const struct published *p)
{
	struct pmio_fabric_config c = config_of(p, policy);
	struct pmio_fabric_initiator *port;
	struct pmio_fabric_peer *peer;
	char back[8];
	struct pmio_fabric_exchange x = { "hello", 6, back, sizeof(back), 0 };
	int rc = pmio_fabric_initiator_new(&c, &port);

	if (rc < 0)
		return rc;
	rc = pmio_fabric_connect(port, &p->endpoint, NULL, &peer);
	if (rc == 0)
		rc = pmio_fabric_call(peer, &x);
	if (rc == 0 && strcmp(back, "hello") != 0)
		rc = -EIO;
	pmio_fabric_initiator_delete(&port);
	return rc;
}

/* ---- by hand ---------------------------------------------------------------------------- */

static struct fabric_ep ep;
static fi_addr_t to;
static struct fi_context2 recv_ctx, send_ctx;

static void send_once(const void *msg, size_t len)
{
	ssize_t rc;

	while ((rc = fi_send(ep.ep, msg, len, NULL, to, &send_ctx)) == -FI_EAGAIN)
		fi_cq_read(ep.cq, NULL, 0);
	if (rc < 0)
		die("send", fabric_error(rc));
}

static void wait_for(const void *ctx, struct fi_cq_msg_entry *e)
{
	do {
		if (fi_cq_sread(ep.cq, e, 1, NULL, 30000) < 1)
			die("an answer", -ETIMEDOUT);
	} while (e->op_context != ctx);
}

/* send, and wait for what comes back */
static void exchange(const void *msg, size_t len, void *back)
{
	struct fi_cq_msg_entry e = { 0 };

	if (fi_recv(ep.ep, back, BUFFER_SIZE, NULL, FI_ADDR_UNSPEC, &recv_ctx) < 0)
		die("receive", -EIO);
	send_once(msg, len);
	wait_for(&recv_ctx, &e);
	if (!fabric_msg_is_good(back, e.len))
		die("an answer", -EPROTO);
}

static void make_credential(const char *how, struct fabric_proof_msg *m)
{
	munge_ctx_t ctx = munge_ctx_create();
	uint8_t payload[MAC_SIZE];
	char *made;
	size_t len;

	memcpy(payload, m->mac, sizeof(payload));
	payload[3] ^= strcmp(how, "other") == 0;
	munge_ctx_set(ctx, MUNGE_OPT_SOCKET, socket_name);
	if (strcmp(how, "open") != 0)
		munge_ctx_set(ctx, MUNGE_OPT_UID_RESTRICTION, geteuid());
	if (munge_encode(&made, ctx, payload, sizeof(payload)) != EMUNGE_SUCCESS)
		die("encode", -EIO);
	if (strcmp(how, "replayed") == 0 && munge_decode(made, ctx, NULL, NULL, NULL, NULL) != EMUNGE_SUCCESS)
		die("decode", -EIO);
	len = strlen(made);
	if (strcmp(how, "cut") == 0)
		len /= 2;
	memcpy(m->credential, made, len);
	m->credential_len = (uint32_t)len;
	free(made);
	munge_ctx_destroy(ctx);
}

static int forge(const char *how, const struct published *p)
{
	static union {
		struct fabric_hdr_msg hdr;
		struct fabric_challenge_msg challenge;
		uint8_t bytes[BUFFER_SIZE];
	} back;
	struct pmio_fabric_config c = config_of(p, NULL);
	struct fabric_transcript t = { .session = 0 };
	struct fabric_hello_msg hello;
	struct fabric_proof_msg proof;
	struct fi_cq_msg_entry e;

	if (fabric_ep_open(&ep, &c, NULL) < 0 || fabric_ep_add_addr(&ep, p->endpoint.addr, p->endpoint.addr_len, &to) < 0)
		die("endpoint", -EIO);
	fabric_msg_init(&hello.hdr, FABRIC_HELLO, sizeof(hello));
	hello.addr_len = (uint32_t)ep.addr_len;
	memcpy(hello.addr, ep.addr, ep.addr_len);
	send_once(&hello, sizeof(hello)); /* the first one is not answered */
	wait_for(&send_ctx, &e);
	sleep(1); /* for the target to have it */
	exchange(&hello, sizeof(hello), &back);
	memcpy(t.addr, ep.addr, ep.addr_len);
	memcpy(t.target_nonce, back.challenge.nonce, NONCE_SIZE);
	t.session = back.hdr.session;
	t.epoch = back.challenge.epoch;
	t.munge = back.challenge.munge | (strcmp(how, "none") != 0 ? SENT_CREDENTIAL : 0);
	fabric_msg_init(&proof.hdr, FABRIC_PROOF, PROOF_SIZE);
	memset(proof.nonce, 0, sizeof(proof.nonce)); /* as the hello's */
	memset(proof.addr, 0, sizeof(proof.addr));
	memcpy(proof.addr, ep.addr, ep.addr_len);
	proof.addr_len = hello.addr_len;
	proof.time = back.challenge.time;
	proof.credential_len = 0;
	proof.hdr.session = t.session;
	fabric_mac(p->key, FABRIC_PROOF, &t, proof.mac);
	if (strcmp(how, "none") != 0 && strcmp(how, "stripped") != 0)
		make_credential(how, &proof);
	proof.hdr.len += proof.credential_len;
	exchange(&proof, PROOF_SIZE + proof.credential_len, &back);
	fabric_ep_close(&ep);
	return back.hdr.status;
}

int main(int argc, char **argv)
{
	struct published p;
	int rc;

	if (argc != 5) {
		fputs("usage: credential target|port POLICY SOCKET FILE | forge HOW SOCKET FILE\n", stderr);
		return 2;
	}
	socket_name = argv[3];
	if (strcmp(argv[1], "target") == 0)
		be_target(argv[2], argv[4]);
	read_published(argv[4], &p);
	rc = strcmp(argv[1], "forge") == 0 ? forge(argv[2], &p) : be_port(argv[2], &p);
	printf("%s\n", rc == 0 ? "ok" : rc == -EACCES ? "EACCES" : rc == -EPERM ? "EPERM" : pmio_strerror(rc));
	return 0;
}
