/*
 * fabric.h -- memory of other hosts, by libfabric
 *
 * Two roles, which share nothing (one domain for both is two to three times
 * slower):
 *
 *   target   a process whose memory others write to and read from, and that
 *            answers their calls: an agent.  One thread of its own, asleep while
 *            nobody wants anything.
 *   port     a process that does so with others' memory, each of which is a peer
 *
 * A port proves that it knows the session's key before a target tells it where
 * its memory is, or takes a call (auth.c).  What goes over the wire is not secret.
 *
 * libfabric is loaded by the first pmio_fabric_target_new() or _port_new(), not
 * before: that takes a few tenths of a second.
 *
 * Durable: nothing by itself.  A write's bytes are in the target's memory when the
 * call returned 0; the message that goes with it asks the target to flush them.
 *
 * Time: no call waits longer than the configuration's timeout.  A peer that did not
 * answer in time, or whose process has ended, is down: all that is asked of it fails
 * until it is connected anew.  XXX What was being written to it then may still reach
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
	const uint8_t *key;	/* PMIO_FABRIC_KEY_SIZE bytes */
	unsigned timeout_ms;	/* 0: PMIO_FABRIC_TIMEOUT_MS */
};

/* where a target is to be found; plain bytes, for others to be told */
struct pmio_fabric_card {
	char provider[24];	/* 0-terminated */
	uint64_t epoch;		/* of the target: random, another one each time it is made */
	uint16_t addr_len;
	uint8_t addr[PMIO_FABRIC_ADDR_MAX];
};

/* what libfabric is called here, and its version; NULL: it cannot be loaded */
const char *pmio_fabric_version(void);

/* a key that nobody else knows */
int pmio_fabric_new_key(uint8_t key[PMIO_FABRIC_KEY_SIZE]);

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
 * Returns 0, -ENOSYS (no libfabric), -ENODATA (no such provider or address),
 * -EADDRINUSE, -ENOMEM, ...
 */
int pmio_fabric_target_new(const struct pmio_fabric_config *config, void *base, size_t len,
			   pmio_fabric_handler *handler, void *arg, struct pmio_fabric_target **out);

/* no handler runs after it; calls that are not answered yet must be, and their answers go nowhere */
void pmio_fabric_target_delete(struct pmio_fabric_target **target);

void pmio_fabric_target_card(const struct pmio_fabric_target *target, struct pmio_fabric_card *card);

/* ports that have proven themselves and have not left */
unsigned pmio_fabric_target_sessions(struct pmio_fabric_target *target);

/* answer; call is gone.  status: 0 or a negative code; len up to PMIO_FABRIC_MSG_MAX */
void pmio_fabric_reply(struct pmio_fabric_call *call, int status, const void *msg, size_t len);

/* ---- port ------------------------------------------------------------------------- */

struct pmio_fabric_port;
struct pmio_fabric_peer;

int pmio_fabric_port_new(const struct pmio_fabric_config *config, struct pmio_fabric_port **out);

/* and all its peers; nobody may be in a call */
void pmio_fabric_port_delete(struct pmio_fabric_port **port);

/*
 * pmio_fabric_connect -- get to know a target
 *
 * Returns 0, -EACCES (it does not know our key, or we not its), -ESTALE (there is
 * another target now: its epoch is not the card's), -ETIMEDOUT, -EPROTO, ...
 * Threads: any, as for all calls below; calls on one peer may run at once.
 */
int pmio_fabric_connect(struct pmio_fabric_port *port, const struct pmio_fabric_card *card,
			struct pmio_fabric_peer **out);

/* takes a pointer to NULL; nobody may be in a call on it */
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
 * that address), -ECONNRESET (its process has ended), -EMSGSIZE: then nothing is
 * known of what the peer did.
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

int pmio_fabric_read(struct pmio_fabric_peer *peer, const struct pmio_fabric_piece *pieces, size_t nr);

#endif
