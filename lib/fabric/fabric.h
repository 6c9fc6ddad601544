/*
 * fabric.h -- memory of other hosts, by libfabric
 *
 * Two roles, which share nothing (one domain for both is two to three times
 * slower):
 *
 *   target   a process whose memory others write to and read from, and that
 *            answers their calls: an agent.  One thread of its own, asleep while
 *            nobody wants anything for longer than 0.5 ms.
 *   port     a process that does so with others' memory, each of which is a peer
 *
 * A port proves that it knows the session's key before a target tells it where
 * its memory is, or takes a call (auth.c).  What goes over the wire is not secret.
 *
 * Where MUNGE is, it can also prove to be of the target's user (munge.c).
 *
 * libfabric is loaded by the first pmio_fabric_target_new() or _port_new(), not
 * before: that takes a few tenths of a second.
 *
 * Durable: nothing by itself.  A write's bytes are in the target's memory when the
 * call returned 0; the message that goes with it asks the target to flush them.
 *
 * Time: no call waits longer than the configuration's timeout for something to
 * happen.  A peer that did not answer in time, or whose process has ended, is down:
 * all that is asked of it fails until it is connected anew.  XXX What was being written to it then may still reach
 * its memory later, until its process ends.
 *
 * Errors: negative codes as in pmio.h, logged where they are found.
 */
#ifndef PMIO_FABRIC_FABRIC_H
#define PMIO_FABRIC_FABRIC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PMIO_FABRIC_MSG_MAX 8192 /* bytes of a request or an answer */
#define PMIO_FABRIC_KEY_SIZE 32
#define PMIO_FABRIC_ADDR_MAX 64
#define PMIO_FABRIC_TIMEOUT_MS 10000

struct pmio_fabric_config {
	const char *provider;	/* libfabric's name of it; NULL or "": the first of net, tcp, tcp;ofi_rxm that is there */
	const char *address;	/* of this host: a numeric IP address */
	const char *service;	/* target: a port's number; NULL: any */
	const uint8_t *key;	/* PMIO_FABRIC_KEY_SIZE bytes, copied; port: NULL: each connect brings one */
	unsigned timeout_ms;	/* 0: PMIO_FABRIC_TIMEOUT_MS */
	/*
	 * Whether ports also prove whose they are, by MUNGE's daemon: "off" or NULL; "require";
	 * "auto": where both sides can, which keeps nobody out who does not say who he is.
	 */
	const char *munge;
	const char *munge_socket; /* the daemon's; NULL: libmunge's own */
};

/* where a target is to be found; plain bytes, for others to be told */
struct pmio_fabric_card {
	char provider[24];	/* 0-terminated */
	uint64_t epoch;		/* of the target: random, another one each time it is made; 0: any */
	uint16_t addr_len;
	uint8_t addr[PMIO_FABRIC_ADDR_MAX];
};

/* what libfabric is called here, and its version; NULL: it cannot be loaded */
const char *pmio_fabric_version(void);

/* a key that nobody else knows */
int pmio_fabric_new_key(uint8_t key[PMIO_FABRIC_KEY_SIZE]);

/* bytes that nobody can guess; 0 or -EIO */
int pmio_fabric_random(void *buf, size_t len);

/* ---- target --------------------------------------------------------------------- */

struct pmio_fabric_target;
struct pmio_fabric_call; /* a request that has to be answered, once */

/*
 * What a target does with a call; in the target's thread, which serves nobody else
 * meanwhile: it may be answered later, from any thread.  msg is the call's own, aligned
 * to 8 bytes, and lives until the answer.
 */
typedef void pmio_fabric_handler(struct pmio_fabric_call *call, const void *msg, size_t len, void *arg);

/*
 * pmio_fabric_target_new -- offer memory to others
 *
 * base, len  the memory; must stay as long as the target.  All its pages must be
 *            there: where a file system is full, a write of others would be a SIGBUS
 *
 * Returns 0, -ENOSYS (no libfabric; or munge is required and does not work), -EINVAL
 * (the configuration), -ENODATA (no such provider or address),
 * -EADDRINUSE, -ENOMEM, ...
 */
int pmio_fabric_target_new(const struct pmio_fabric_config *config, void *base, size_t len,
			   pmio_fabric_handler *handler, void *arg, struct pmio_fabric_target **out);

/* no handler runs after it; calls that are not answered yet must be, and their answers go nowhere */
void pmio_fabric_target_delete(struct pmio_fabric_target **target);

void pmio_fabric_target_card(const struct pmio_fabric_target *target, struct pmio_fabric_card *card);

/* are credentials of MUNGE looked at? */
bool pmio_fabric_target_has_munge(const struct pmio_fabric_target *target);

/* ports that have proven themselves and have not left */
unsigned pmio_fabric_target_sessions(struct pmio_fabric_target *target);

/* who was refused since the target was made; both are also in the log, a line a minute at most */
struct pmio_fabric_refused {
	uint64_t accesses; /* reads and writes of its memory; as far as the provider says so (those in software do) */
	uint64_t proofs;   /* of the key, or the user */
};
void pmio_fabric_target_refused(struct pmio_fabric_target *target, struct pmio_fabric_refused *out);

/* answer; call is gone.  status: 0 or a negative code; len up to PMIO_FABRIC_MSG_MAX */
void pmio_fabric_reply(struct pmio_fabric_call *call, int status, const void *msg, size_t len);

/* the session that the call came by, not 0: one for each time that a port connects */
uint64_t pmio_fabric_call_session(const struct pmio_fabric_call *call);

/*
 * pmio_fabric_target_end_session -- a port is known to be gone
 *
 * When it returns, no handler begins with a call of that session any more; answers to
 * earlier ones go nowhere.  A port that is still there gets -ECONNRESET from a call
 * after a second or so, when it asks what has become of it.  XXX What it wrote may
 * still come: only the target's end stops that.
 * Unknown sessions are none.  Threads: any, the handler among them.
 */
void pmio_fabric_target_end_session(struct pmio_fabric_target *target, uint64_t session);

/* ---- port ------------------------------------------------------------------------- */

struct pmio_fabric_port;
struct pmio_fabric_peer;

/* returns as pmio_fabric_target_new() */
int pmio_fabric_port_new(const struct pmio_fabric_config *config, struct pmio_fabric_port **out);

/* and all its peers; nobody may be in a call, and each begun op must have been ended */
void pmio_fabric_port_delete(struct pmio_fabric_port **port);

/*
 * pmio_fabric_card_of -- the card of whatever target is at a host's port
 *
 * host, service  names or numbers; IPv4, the first address that the name has
 * out            with the epoch 0; untouched on failure
 *
 * Returns 0, -EINVAL (the port's provider has another kind of addresses), -ENOENT
 * (no such host or service), -EAGAIN (the name service does not answer), -ENOMEM, ...
 * Time: as long as the system's name service takes.
 */
int pmio_fabric_card_of(const struct pmio_fabric_port *port, const char *host, const char *service,
			struct pmio_fabric_card *out);

/*
 * pmio_fabric_connect -- get to know a target
 *
 * card  its epoch 0: whatever target is there now is right
 * key   the target's, PMIO_FABRIC_KEY_SIZE bytes, copied; NULL: the port's
 *
 * Returns 0, -EACCES (it does not know our key, or we not its; or it does not take us
 * for its user; or we insist on that and it does not ask), -ESTALE (there is
 * another target now: its epoch is not the card's), -EINVAL (no key; not an address of
 * this provider), -ETIMEDOUT, -EPROTO (another provider's card), ...
 * Threads: any, as for all calls below; calls on one peer may run at once.
 */
int pmio_fabric_connect(struct pmio_fabric_port *port, const struct pmio_fabric_card *card, const uint8_t *key,
			struct pmio_fabric_peer **out);

/* takes a pointer to NULL; nobody may be in a call on it; ops that were begun fail (-ENOTCONN) when they are ended */
void pmio_fabric_disconnect(struct pmio_fabric_peer **peer);

/* the size of the peer's memory, bytes */
uint64_t pmio_fabric_peer_size(const struct pmio_fabric_peer *peer);

struct pmio_fabric_piece {
	uint64_t off;	/* in the peer's memory */
	void *buf;	/* only read by a write */
	size_t len;
};

/* a request and its answer */
struct pmio_fabric_exchange {
	const void *request;
	size_t request_len;	/* up to PMIO_FABRIC_MSG_MAX */
	void *answer;		/* room for answer_room bytes */
	size_t answer_room;
	size_t answer_len;	/* out */
};

/*
 * pmio_fabric_call -- ask, and wait for the answer
 *
 * Returns the answer's status; or -ETIMEDOUT, -ESTALE (another target answers at
 * that address), -ECONNRESET (its process has ended, or it has ended our session),
 * -EMSGSIZE: then nothing is known of what the peer did.
 */
int pmio_fabric_call(struct pmio_fabric_peer *peer, struct pmio_fabric_exchange *x);

/*
 * pmio_fabric_write -- write pieces, and then ask
 *
 * The request is sent along; the peer gets it when all bytes are in its memory.
 * x: NULL: no request.  Returns as pmio_fabric_call, and -EFAULT (a piece is not within
 * the peer's memory).  0 only if each byte arrived and the answer said so.
 */
int pmio_fabric_write(struct pmio_fabric_peer *peer, const struct pmio_fabric_piece *pieces, size_t nr,
		      struct pmio_fabric_exchange *x);

/*
 * pmio_fabric_begin -- as pmio_fabric_write, but not until it is done
 *
 * Several ops, also on different peers, can be under way from one thread.
 * request  NULL: none
 * out      to be given to pmio_fabric_end(), also when the peer is down by then
 *
 * The caller's memory is his again when it returns.  It may wait until earlier ops have
 * moved on, whoever began them: the port's buffers for what is written or read take 1 MiB.  One
 * peer gets at most half of what others have left, so those that answer do not wait for one that does not.
 * Returns 0, or what makes it impossible from the start, and then *out is NULL: what
 * peers say to other calls while they are down, -EFAULT, -EMSGSIZE, -ENOMEM.
 * Other failures, of what went on the way, are pmio_fabric_end()'s to tell.
 * XXX Most providers move bytes only while somebody is in a call of this port; time
 * that nobody is does not count for the timeout.
 */
struct pmio_fabric_op;
int pmio_fabric_begin(struct pmio_fabric_peer *peer, const struct pmio_fabric_piece *pieces, size_t nr,
		      const void *request, size_t request_len, struct pmio_fabric_op **out);

/*
 * pmio_fabric_end -- wait for all of an op
 *
 * x: where the answer goes to; x->request is not used; NULL: only its status is wanted.
 * Returns as pmio_fabric_write.  Takes *op and clears it, whatever it returns.
 * Threads: any, the one that began it or another; ops in any order.
 */
int pmio_fabric_end(struct pmio_fabric_op **op, struct pmio_fabric_exchange *x);

int pmio_fabric_read(struct pmio_fabric_peer *peer, const struct pmio_fabric_piece *pieces, size_t nr);

#endif
