/*
 * handshake.c -- an initiator connects to a peer: which one is it, and does it know the same
 * key?
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/backoff.h"
#include "fabric/initiator_impl.h"

#define HELLO_MS 2 /* an unanswered HELLO is repeated after this time, then each time after HELLO_TIMES as long */
#define PROOF_MS 250  /* likewise for the PROOF: its target has more to do */
#define RESET_MS 2000 /* for connections that are ended before the target has answered */

/* ---- connecting; lock held --------------------------------------------------------------------------------- */

/* wait for the answer to the posted message; an error if it has another type */
static int await(struct pmio_fabric_initiator *initiator, struct pmio_fabric_op *r, enum fabric_type type)
{
	initiator_wait_for(initiator, r);
	if (r->rc < 0)
		return r->rc;
	return r->answer->type == type ? r->answer->status : -EPROTO;
}

/* time: of the challenge */
static int say_hello(struct pmio_fabric_peer *peer, struct fabric_transcript *t, uint64_t *time)
{
	struct pmio_fabric_initiator *initiator = peer->initiator;
	const struct fabric_challenge_msg *c;
	struct pmio_fabric_op *r = initiator_new_request(peer);
	int rc;

	if (!r)
		return -ENOMEM;
	r->wants_answer = true;
	r->nonce = t->initiator_nonce;
	r->probe_ms = HELLO_MS;
	initiator_post_hello(initiator, r, t->initiator_nonce);
	rc = await(initiator, r, FABRIC_CHALLENGE);
	c = (const struct fabric_challenge_msg *)r->answer;
	if (rc == 0 && peer->epoch && c->epoch != peer->epoch)
		rc = -ESTALE;
	if (rc == 0) {
		memcpy(t->target_nonce, c->nonce, NONCE_SIZE);
		t->session = c->hdr.session;
		t->epoch = peer->epoch = c->epoch;
		t->munge = c->munge;
		*time = c->time;
	}
	initiator_end_request(initiator, r);
	return rc;
}

/*
 * add a credential for this user, if both sides want that; releases the lock meanwhile.  -ENOTSUP: one side cannot, and
 * this one requires it
 */
static int add_credential(struct pmio_fabric_peer *peer, struct fabric_transcript *t, struct fabric_proof_msg *m)
{
	const struct fabric_munge *munge = &peer->initiator->munge;
	ssize_t len = -ENOTSUP;
	const char *why;

	if (munge->policy != MUNGE_OFF && t->munge != MUNGE_OFF) {
		t->munge |= SENT_CREDENTIAL;
		pthread_mutex_unlock(&peer->initiator->lock);
		fabric_mac(peer->key, FABRIC_PROOF, t, m->mac);
		len = fabric_munge_encode(munge, m->mac, m->credential, &why);
		if (len < 0)
			pmio_dbg("fabric: munge: %s", why);
		pthread_mutex_lock(&peer->initiator->lock);
	}
	if (len >= 0) {
		m->credential_len = (uint32_t)len;
		m->hdr.len += (uint32_t)len;
		return 0;
	}
	t->munge &= ~(uint64_t)SENT_CREDENTIAL;
	fabric_mac(peer->key, FABRIC_PROOF, t, m->mac);
	return munge->policy == MUNGE_REQUIRE ? -ENOTSUP : 0;
}

static int prove(struct pmio_fabric_peer *peer, struct fabric_transcript *t, uint64_t time)
{
	struct pmio_fabric_initiator *initiator = peer->initiator;
	const struct fabric_welcome_msg *w;
	struct fabric_proof_msg m;
	struct pmio_fabric_op *r;
	int rc;

	memset(&m, 0, sizeof(m));
	fabric_msg_init(&m.hdr, FABRIC_PROOF, PROOF_SIZE);
	memcpy(m.nonce, t->initiator_nonce, NONCE_SIZE);
	m.time = time;
	m.addr_len = (uint32_t)initiator->ep.addr_len;
	memcpy(m.addr, initiator->ep.addr, initiator->ep.addr_len);
	rc = add_credential(peer, t, &m);
	if (rc < 0)
		return rc;
	r = initiator_new_request(peer);
	if (!r)
		return -ENOMEM;
	m.hdr.number = r->number;
	m.hdr.session = t->session;
	r->wants_answer = true;
	r->again = &m.hdr;
	r->probe_ms = PROOF_MS;
	initiator_post_message(initiator, r, &m.hdr, &m.hdr + 1);
	rc = await(initiator, r, FABRIC_WELCOME);
	w = (const struct fabric_welcome_msg *)r->answer;
	if (rc == 0) {
		peer->mr_key = t->key = w->key;
		peer->base = t->base = w->base;
		peer->len = t->len = w->len;
		rc = fabric_mac_is_good(peer->key, FABRIC_WELCOME, t, w->mac) ? 0 : -EACCES;
	}
	initiator_end_request(initiator, r);
	return rc;
}

static int shake_hands(struct pmio_fabric_peer *peer)
{
	struct fabric_transcript t = { .session = 0 };
	uint64_t time = 0;
	int rc = pmio_fabric_random(t.initiator_nonce, sizeof(t.initiator_nonce));

	memcpy(t.addr, peer->initiator->ep.addr, peer->initiator->ep.addr_len);
	if (rc == 0)
		rc = say_hello(peer, &t, &time);
	if (rc == 0)
		rc = prove(peer, &t, time);
	if (rc == 0)
		peer->session = t.session;
	return rc;
}

static const char *why_not(int rc)
{
	switch (rc) {
	case -EACCES:
		return "the two sides have different keys";
	case -EPERM:
		return "it does not accept this process as its user (munge)";
	case -ENOTSUP:
		return "munge is required, but not available on both hosts";
	case -ESTALE:
		return "the target was restarted";
	default:
		return pmio_strerror(rc);
	}
}

static int resolve_error(const char *host, const char *service, int rc)
{
	int result = rc == EAI_SYSTEM ? -errno : rc == EAI_MEMORY ? -ENOMEM : rc == EAI_AGAIN ? -EAGAIN : -ENOENT;

	pmio_err("fabric: %s:%s: %s", host, service,
		 rc == EAI_SYSTEM ? pmio_strerror(result) : gai_strerror(rc));
	return result;
}

int pmio_fabric_endpoint_of(const struct pmio_fabric_initiator *initiator, const char *host, const char *service,
			    struct pmio_fabric_endpoint *out)
{
	const struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM };
	struct sockaddr_in ours;
	struct addrinfo *found;
	int rc;

	memcpy(&ours, initiator->ep.addr, sizeof(ours));
	if (initiator->ep.addr_len != sizeof(ours) || ours.sin_family != AF_INET) {
		pmio_err("fabric: %s:%s: provider %s does not use IPv4 addresses", host, service,
			 fabric_ep_provider(&initiator->ep));
		return -EINVAL;
	}
	rc = getaddrinfo(host, service, &hints, &found);
	if (rc != 0)
		return resolve_error(host, service, rc);
	memset(out, 0, sizeof(*out));
	strncpy(out->provider, fabric_ep_provider(&initiator->ep), sizeof(out->provider) - 1);
	out->addr_len = sizeof(ours);
	memcpy(out->addr, found->ai_addr, sizeof(ours));
	freeaddrinfo(found);
	return 0;
}

/* lock held; *out: NULL on failure */
static int try_to_connect(struct pmio_fabric_initiator *initiator, const struct pmio_fabric_endpoint *endpoint, const uint8_t *key,
			  struct pmio_fabric_peer **out)
{
	struct pmio_fabric_peer *peer = calloc(1, sizeof(*peer));
	int rc;

	if (!peer)
		return -ENOMEM;
	peer->initiator = initiator;
	peer->epoch = endpoint->epoch;
	memcpy(peer->key, key ? key : initiator->key, sizeof(peer->key));
	if (strncmp(endpoint->provider, fabric_ep_provider(&initiator->ep), sizeof(endpoint->provider)) != 0)
		rc = -EPROTO;
	else
		rc = fabric_ep_add_addr(&initiator->ep, endpoint->addr, endpoint->addr_len, &peer->fi);
	/* operations under way refer to it: it is freed with the initiator */
	DL_APPEND(initiator->peers, peer);
	if (rc == 0)
		rc = shake_hands(peer);
	if (rc < 0)
		initiator_peer_is_down(peer, rc);
	else
		*out = peer;
	return rc;
}

/*
 * A target with many connections of strangers ends some of those that have not proved to know the key yet (connections.c): on
 * a slow machine, this one's, too.  Messages that were lost with it are repeated (request.c)
 */
int pmio_fabric_connect(struct pmio_fabric_initiator *initiator, const struct pmio_fabric_endpoint *endpoint, const uint8_t *key,
			struct pmio_fabric_peer **out)
{
	struct pmio_backoff b = PMIO_BACKOFF(20, 500, initiator->timeout_ms < RESET_MS ? initiator->timeout_ms : RESET_MS);
	int rc;

	*out = NULL;
	if (!key && !initiator->has_key) {
		pmio_err("fabric: connect: no key");
		return -EINVAL;
	}
	do {
		pthread_mutex_lock(&initiator->lock);
		rc = try_to_connect(initiator, endpoint, key, out);
		pthread_mutex_unlock(&initiator->lock);
	} while (rc == -ECONNRESET && pmio_backoff_sleep(&b));
	if (rc == -ENOMEM)
		return rc;
	if (rc < 0)
		pmio_err("fabric: connect: %s", why_not(rc));
	return rc == -EPERM || rc == -ENOTSUP ? -EACCES : rc;
}

void pmio_fabric_disconnect(struct pmio_fabric_peer **pp)
{
	struct pmio_fabric_peer *peer = *pp;
	struct pmio_fabric_initiator *initiator;
	struct fabric_hdr_msg h;
	struct pmio_fabric_op *r;

	*pp = NULL;
	if (!peer)
		return;
	initiator = peer->initiator;
	pthread_mutex_lock(&initiator->lock);
	r = peer->down ? NULL : initiator_new_request(peer);
	if (r) {
		fabric_msg_init(&h, FABRIC_BYE, sizeof(h));
		h.session = peer->session;
		initiator_post_message(initiator, r, &h, NULL);
		initiator_wait_for(initiator, r);
		initiator_end_request(initiator, r);
	}
	initiator_peer_is_down(peer, -ENOTCONN);
	pthread_mutex_unlock(&initiator->lock);
}

uint64_t pmio_fabric_peer_size(const struct pmio_fabric_peer *peer)
{
	return peer->len;
}
