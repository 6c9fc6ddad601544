/*
 * fabric_impl.h -- the insides of lib/fabric, shared by its own files only
 */
#ifndef PMIO_FABRIC_FABRIC_IMPL_H
#define PMIO_FABRIC_FABRIC_IMPL_H

#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_ext.h>
#include <rdma/fi_rma.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "core/error.h"
#include "core/log.h"
#include "core/spin.h"
#include "fabric/fabric.h"

/* ---- load.c: libfabric, loaded when it is needed ------------------------------------- */

struct fabric_lib {
	__typeof__(fi_getinfo) *getinfo;
	__typeof__(fi_freeinfo) *freeinfo;
	__typeof__(fi_dupinfo) *dupinfo;
	__typeof__(fi_fabric) *fabric;
	__typeof__(fi_strerror) *strerror;
	__typeof__(fi_version) *version;
	__typeof__(fi_open) *open; /* NULL: this version has none */
};

/* NULL: it cannot be loaded; logged once */
const struct fabric_lib *fabric_lib(void);

/*
 * fabric_refused -- number of remote reads and writes that libfabric has refused in this process: wrong key, or out of
 * bounds
 *
 * Counted from the first fabric_count_refused() on, for the providers in software: they report it only in libfabric's
 * log, which then goes nowhere else.  With FI_LOG_LEVEL in the environment the log goes to standard error, and nothing
 * is counted.
 */
void fabric_count_refused(void);
uint64_t fabric_refused(void);

/* ---- messages ------------------------------------------------------------------------- */

#define FABRIC_MAGIC 0x66496d70u /* "pmIf" */
#define FABRIC_VERSION 4
#define NONCE_SIZE 32
#define MAC_SIZE 32
#define CREDENTIAL_MAX 1024

enum fabric_type {
	FABRIC_HELLO = 1,	/* initiator: which target are you?  Or: still the same?  Repeated until answered */
	FABRIC_CHALLENGE,	/* target: its identity; prove that you know the key */
	FABRIC_PROOF,		/* initiator: the proof */
	FABRIC_WELCOME,		/* target: its own proof of the key, and its memory */
	FABRIC_CALL,		/* initiator */
	FABRIC_REPLY,		/* target */
	FABRIC_BYE,		/* initiator; not answered */
};

struct fabric_hdr_msg {
	uint32_t magic;
	uint16_t version, type;
	uint64_t session;	/* from the challenge on */
	uint64_t number;	/* of the request; the answer has the same number */
	uint32_t len;		/* bytes after this header */
	int32_t status;		/* of answers */
};

struct fabric_hello_msg {
	struct fabric_hdr_msg hdr;
	uint8_t nonce[NONCE_SIZE];
	uint32_t addr_len;
	uint32_t reserved;
	uint8_t addr[PMIO_FABRIC_ADDR_MAX]; /* the address for the answer */
};

struct fabric_challenge_msg {
	struct fabric_hdr_msg hdr;
	uint8_t nonce[NONCE_SIZE];
	uint64_t epoch;
	uint64_t time;	/* to be repeated in the proof */
	uint32_t munge; /* enum munge_policy: the target's */
	uint32_t reserved;
};

struct fabric_proof_msg {
	struct fabric_hdr_msg hdr;
	uint8_t mac[MAC_SIZE];
	uint8_t nonce[NONCE_SIZE]; /* these four repeat the hello and its challenge, which the target does not keep */
	uint64_t time;
	uint32_t addr_len;
	uint32_t credential_len; /* 0: none; the message ends with it */
	uint8_t addr[PMIO_FABRIC_ADDR_MAX];
	char credential[CREDENTIAL_MAX]; /* MUNGE's, of the MAC; not 0-terminated */
};

struct fabric_welcome_msg {
	struct fabric_hdr_msg hdr;
	uint8_t mac[MAC_SIZE];
	uint64_t key, base, len; /* of the memory; base: to be added to offsets */
};

#define PROOF_SIZE offsetof(struct fabric_proof_msg, credential) /* without a credential */

_Static_assert(sizeof(struct fabric_hdr_msg) == 32, "as on the wire");
_Static_assert(sizeof(struct fabric_hello_msg) == 136, "as on the wire");
_Static_assert(sizeof(struct fabric_challenge_msg) == 88, "as on the wire");
_Static_assert(PROOF_SIZE == 176, "as on the wire");
_Static_assert(sizeof(struct fabric_welcome_msg) == 88, "as on the wire");

#define BUFFER_SIZE (sizeof(struct fabric_hdr_msg) + PMIO_FABRIC_MSG_MAX)

/* is the header valid, and was the whole message received (len bytes)? */
bool fabric_msg_is_good(const void *msg, size_t len);
void fabric_msg_init(struct fabric_hdr_msg *h, enum fabric_type type, size_t size);

/* ---- auth.c ------------------------------------------------------------------------------- */

/* transcript of the handshake; all of it goes into the proofs */
struct fabric_transcript {
	uint8_t initiator_nonce[NONCE_SIZE], target_nonce[NONCE_SIZE];
	uint64_t session, epoch;
	uint64_t key, base, len; /* for a welcome, else 0 */
	uint64_t munge; /* the target's policy, and SENT_CREDENTIAL: so a man in the middle cannot remove it */
	uint8_t addr[PMIO_FABRIC_ADDR_MAX]; /* the initiator's */
};

#define SENT_CREDENTIAL 0x100

void fabric_mac(const uint8_t key[PMIO_FABRIC_KEY_SIZE], enum fabric_type type,
		const struct fabric_transcript *t, uint8_t mac[MAC_SIZE]);
bool fabric_mac_is_good(const uint8_t key[PMIO_FABRIC_KEY_SIZE], enum fabric_type type,
			const struct fabric_transcript *t, const uint8_t mac[MAC_SIZE]);

/* what a challenge is computed from, so that the target keeps no state until the proof comes */
struct fabric_ticket {
	uint64_t time, epoch, addr_len;
	uint8_t initiator_nonce[NONCE_SIZE], addr[PMIO_FABRIC_ADDR_MAX];
};

/* compute nonce and session of the challenge; secret: known only to the target */
void fabric_make_challenge(const uint8_t secret[PMIO_FABRIC_KEY_SIZE], const struct fabric_ticket *ticket,
			   uint8_t nonce[NONCE_SIZE], uint64_t *session);

/* ---- munge.c ------------------------------------------------------------------------------- */

enum munge_policy { MUNGE_OFF, MUNGE_AUTO, MUNGE_REQUIRE };

struct fabric_munge {
	enum munge_policy policy; /* MUNGE_OFF also if "auto" finds no daemon */
	char *socket;		  /* owned; NULL: libmunge's default */
};

/* set up m as configured; -EINVAL, -ENOSYS (it is required, and does not work), -ENOMEM */
int fabric_munge_init(struct fabric_munge *m, const struct pmio_fabric_config *config);
void fabric_munge_fini(struct fabric_munge *m);
/* returns the credential's length, or -EIO; why: static; not logged.  Waits for the host's daemon, as does the next one */
ssize_t fabric_munge_encode(const struct fabric_munge *m, const uint8_t mac[MAC_SIZE],
			    char credential[CREDENTIAL_MAX], const char **why);
/* 0; -EACCES: of another user, or of another handshake; -ENODATA: it proves nothing.  Not logged */
int fabric_munge_check(const struct fabric_munge *m, const uint8_t mac[MAC_SIZE], const char *credential,
		       size_t len, const char **why);

/* ---- provider.c ----------------------------------------------------------------------------- */

struct fabric_ep {
	struct fi_info *info;
	struct fid_fabric *fabric;
	struct fid_domain *domain;
	struct fid_av *av;
	struct fid_cq *cq;
	struct fid_ep *ep;
	uint8_t addr[PMIO_FABRIC_ADDR_MAX];
	size_t addr_len;
	bool has_source; /* completions have the source address of a message */
	struct pmio_spin spin; /* of the only thread that waits */
	atomic_bool woken;
};

/* provider: as configured; service: NULL: any port */
int fabric_ep_open(struct fabric_ep *ep, const struct pmio_fabric_config *config, const char *service);
void fabric_ep_close(struct fabric_ep *ep);
const char *fabric_ep_provider(const struct fabric_ep *ep);
/* is it one in software? */
bool fabric_ep_copies(const struct fabric_ep *ep);
/*
 * register memory for peers (access: FI_REMOTE_*) or for local use; key: the one to use if the provider lets us choose,
 * of that many bits
 */
int fabric_ep_register(struct fabric_ep *ep, void *base, size_t len, uint64_t access, uint64_t key,
		       struct fid_mr **mr);
uint64_t fabric_ep_key_mask(const struct fabric_ep *ep);
/* add an address as in its owner's fabric_ep; -EINVAL: not an address of this provider */
int fabric_ep_add_addr(struct fabric_ep *ep, const uint8_t *addr, size_t len, fi_addr_t *out);
/*
 * fabric_ep_wait -- wait for completions: their number; 0 or a negative libfabric code if there are none after ms
 * (-1: no limit)
 *
 * from: NULL, or, with has_source, the sources of the messages; FI_ADDR_NOTAVAIL: an address that has not been
 * added.  One thread at a time.  If the last waits were short it polls for up to LOOK_MAX_NS before it sleeps, and
 * lets other threads run meanwhile; a thread that waits longer uses no processor.
 */
ssize_t fabric_ep_wait(struct fabric_ep *ep, struct fi_cq_msg_entry *e, fi_addr_t *from, size_t nr, int ms);
/* make the thread that waits, or the next one, return */
void fabric_ep_wake(struct fabric_ep *ep);
/* convert a negative libfabric code to one of pmio */
int fabric_error(ssize_t rc);
uint64_t fabric_now_ms(void);

/* ---- connections.c: the sockets of a provider that accepts connections by itself ------------------------ */

struct connection;

struct fabric_connections {
	const struct fabric_ep *ep;
	unsigned limit;		/* of descriptors */
	int spare_fd;		/* to list descriptors with when none is free */
	uint64_t next_ms;
	struct connection *seen;	/* hash by descriptor */
};

void fabric_connections_init(struct fabric_connections *cs, const struct fabric_ep *ep);
void fabric_connections_fini(struct fabric_connections *cs);
/*
 * fabric_connections_look -- end unauthenticated connections ("strangers") when there are many
 *
 * is_known: has an initiator at that address (its TCP port differs) been authenticated? Only for the thread that
 * calls libfabric: no other thread closes these sockets.  Returns ms until it is to be called again, -1: never.
 */
int fabric_connections_look(struct fabric_connections *cs, bool (*is_known)(void *arg, const struct sockaddr *peer), void *arg);

#endif
