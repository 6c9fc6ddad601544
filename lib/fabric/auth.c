/*
 * auth.c -- proofs that a peer knows the key
 *
 * Each side sends a random nonce, and proves by an HMAC over the whole handshake that
 * it knows the key: the initiator first, then the target.  So a recorded handshake cannot be
 * replayed, and the address of the memory is told only to a peer that knows the key.
 *
 * The target keeps no state for an initiator before the proof: its nonce, and the session,
 * are a keyed hash of the initiator's message and of the time, which the proof repeats.
 *
 * HMAC-SHA-256 (RFC 2104, RFC 6234) by libsodium.
 */
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "fabric/fabric_impl.h"

_Static_assert(crypto_auth_hmacsha256_KEYBYTES == PMIO_FABRIC_KEY_SIZE, "the key's size");
_Static_assert(crypto_auth_hmacsha256_BYTES == MAC_SIZE, "the MAC's size");

int pmio_fabric_random(void *buf, size_t len)
{
	if (sodium_init() < 0) {
		pmio_err("fabric: libsodium cannot be used");
		return -ENOSYS;
	}
	randombytes_buf(buf, len);
	return 0;
}

int pmio_fabric_new_key(uint8_t key[PMIO_FABRIC_KEY_SIZE])
{
	return pmio_fabric_random(key, PMIO_FABRIC_KEY_SIZE);
}

/* the proof includes the role: an initiator's proof cannot serve as a target's */
struct proven {
	uint64_t type;
	struct fabric_transcript t;
};

_Static_assert(sizeof(struct proven) == 8 + 2 * NONCE_SIZE + 6 * 8 + PMIO_FABRIC_ADDR_MAX, "no gaps");

void fabric_mac(const uint8_t key[PMIO_FABRIC_KEY_SIZE], enum fabric_type type,
		const struct fabric_transcript *t, uint8_t mac[MAC_SIZE])
{
	struct proven p = { .type = type, .t = *t };

	crypto_auth_hmacsha256(mac, (const unsigned char *)&p, sizeof(p), key);
}

bool fabric_mac_is_good(const uint8_t key[PMIO_FABRIC_KEY_SIZE], enum fabric_type type,
			const struct fabric_transcript *t, const uint8_t mac[MAC_SIZE])
{
	struct proven p = { .type = type, .t = *t };

	return crypto_auth_hmacsha256_verify(mac, (const unsigned char *)&p, sizeof(p), key) == 0;
}

_Static_assert(sizeof(struct fabric_ticket) == 3 * 8 + NONCE_SIZE + PMIO_FABRIC_ADDR_MAX, "no gaps");

void fabric_make_challenge(const uint8_t secret[PMIO_FABRIC_KEY_SIZE], const struct fabric_ticket *ticket,
			   uint8_t nonce[NONCE_SIZE], uint64_t *session)
{
	uint8_t hash[NONCE_SIZE + sizeof(*session)];

	crypto_generichash(hash, sizeof(hash), (const unsigned char *)ticket, sizeof(*ticket), secret,
			   PMIO_FABRIC_KEY_SIZE);
	memcpy(nonce, hash, NONCE_SIZE);
	memcpy(session, hash + NONCE_SIZE, sizeof(*session));
	*session |= !*session; /* 0 is none */
}

static bool proof_is_whole(const struct fabric_proof_msg *m, size_t len)
{
	return len >= PROOF_SIZE && m->credential_len <= CREDENTIAL_MAX && len == PROOF_SIZE + m->credential_len &&
	       m->addr_len <= PMIO_FABRIC_ADDR_MAX;
}

static bool hello_is_whole(const struct fabric_hello_msg *m, size_t len)
{
	return len == sizeof(*m) && m->addr_len <= PMIO_FABRIC_ADDR_MAX;
}

bool fabric_msg_is_good(const void *msg, size_t len)
{
	static const size_t sizes[] = {
		[FABRIC_HELLO] = 0, /* see below */
		[FABRIC_CHALLENGE] = sizeof(struct fabric_challenge_msg),
		[FABRIC_PROOF] = 0,
		[FABRIC_WELCOME] = sizeof(struct fabric_welcome_msg),
		[FABRIC_CALL] = 0, /* any */
		[FABRIC_REPLY] = 0,
		[FABRIC_BYE] = sizeof(struct fabric_hdr_msg),
	};
	const struct fabric_hdr_msg *h = msg;

	if (len < sizeof(*h) || h->magic != FABRIC_MAGIC || h->version != FABRIC_VERSION ||
	    h->len != len - sizeof(*h) || h->len > PMIO_FABRIC_MSG_MAX)
		return false;
	if (h->type < FABRIC_HELLO || h->type > FABRIC_BYE)
		return false;
	if (h->type == FABRIC_HELLO)
		return hello_is_whole(msg, len);
	if (h->type == FABRIC_PROOF)
		return proof_is_whole(msg, len);
	return !sizes[h->type] || len == sizes[h->type];
}

void fabric_msg_init(struct fabric_hdr_msg *h, enum fabric_type type, size_t size)
{
	memset(h, 0, size);
	h->magic = FABRIC_MAGIC;
	h->version = FABRIC_VERSION;
	h->type = (uint16_t)type;
	h->len = (uint32_t)(size - sizeof(*h));
}
