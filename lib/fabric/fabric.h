/*
 * fabric.h -- memory of other hosts, by libfabric
 *
 * Two roles, which share nothing (one domain for both is two to three times
 * slower):
 *
 *   target     a process that lets others write to and read from its memory, and that answers their calls: an agent.
 *              It has one thread of its own, which sleeps when nothing has come for 0.5 ms.
 *   initiator  a process that accesses the memory of targets; each target is one of its peers
 *
 * An initiator proves that it knows the session's key before a target tells it where its memory is, or takes a call
 * (auth.c).  The data on the wire are not secret.
 *
 * With MUNGE it can also prove that it belongs to the target's user (munge.c).
 *
 * libfabric is loaded by the first pmio_fabric_target_new() or pmio_fabric_initiator_new(), not before: loading takes a
 * few tenths of a second.
 *
 * Durable: nothing by itself.  A write's bytes are in the target's memory when the call has returned 0; the
 * message that goes with it asks the target to flush them.
 *
 * Time: no call waits longer than the configuration's timeout for something to
 * happen.  A peer that did not answer in time, or has ended, is down: all calls on it fail until it is connected
 * again.  XXX Writes that were under way then may still reach its memory later, until its process ends.
 *
 * Errors: negative codes as in pmio.h, logged where they are found.
 */
#ifndef PMIO_FABRIC_FABRIC_H
#define PMIO_FABRIC_FABRIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define PMIO_FABRIC_MSG_MAX 65536 /* bytes of a request or an answer; providers in software slow down from 72 KiB on */
#define PMIO_FABRIC_KEY_SIZE 32
#define PMIO_FABRIC_ADDR_MAX 64
#define PMIO_FABRIC_TIMEOUT_MS 10000

struct pmio_fabric_config {
	const char *provider;	/* libfabric's name; NULL or "": the first available one of net, tcp, tcp;ofi_rxm */
	const char *address;	/* numeric IP address of this host */
	const char *service;	/* target: a port's number; NULL: any */
	const uint8_t *key;	/* PMIO_FABRIC_KEY_SIZE bytes, copied; initiator: NULL: each connect brings one */
	unsigned timeout_ms;	/* 0: PMIO_FABRIC_TIMEOUT_MS */
	/*
	 * Whether initiators also prove their user through MUNGE's daemon: "off" or NULL; "require";
	 * "auto": if both sides can, which does not keep out an initiator that gives no credential.
	 */
	const char *munge;
	const char *munge_socket; /* the daemon's; NULL: libmunge's default */
};

/* the endpoint descriptor of a target: where to find it; plain bytes, to be passed on to others */
struct pmio_fabric_endpoint {
	char provider[24];	/* 0-terminated */
	uint64_t epoch;		/* of the target: random, different each time it is made; 0: any */
	uint16_t addr_len;
	uint8_t addr[PMIO_FABRIC_ADDR_MAX];
};

/* libfabric's file name here, and its version; NULL: it cannot be loaded */
const char *pmio_fabric_version(void);

/* make a new random key */
int pmio_fabric_new_key(uint8_t key[PMIO_FABRIC_KEY_SIZE]);

/* get cryptographically secure random bytes; 0 or -EIO */
int pmio_fabric_random(void *buf, size_t len);

/* ---- target --------------------------------------------------------------------- */

struct pmio_fabric_target;
struct pmio_fabric_call; /* a request that has to be answered, once */

/*
 * Handles a call; runs in the target's thread, which serves nothing else meanwhile: the
 * call may be answered later, from any thread.  msg is aligned to 8 bytes, and is valid until the handler returns.
 */
typedef void pmio_fabric_handler(struct pmio_fabric_call *call, const void *msg, size_t len, void *arg);

/*
 * pmio_fabric_target_new -- make memory available to others
 *
 * base, len  the memory; must stay mapped as long as the target exists.  All its pages
 *            must be allocated: on a full file system, a write by a peer would cause a
 *            SIGBUS
 *
 * Returns 0, -ENOSYS (no libfabric; or munge is required and does not work), -EINVAL
 * (the configuration), -ENODATA (no such provider or address),
 * -EADDRINUSE, -ENOMEM, ...
 */
int pmio_fabric_target_new(const struct pmio_fabric_config *config, void *base, size_t len,
			   pmio_fabric_handler *handler, void *arg, struct pmio_fabric_target **out);

/* no handler runs after it returns; open calls still have to be answered, but their answers go nowhere */
void pmio_fabric_target_delete(struct pmio_fabric_target **target);

void pmio_fabric_target_endpoint(const struct pmio_fabric_target *target, struct pmio_fabric_endpoint *endpoint);

/* are credentials of MUNGE checked? */
bool pmio_fabric_target_has_munge(const struct pmio_fabric_target *target);

/* number of initiators that are authenticated and have not left */
unsigned pmio_fabric_target_sessions(struct pmio_fabric_target *target);

/* counters of refusals since the target was made; both are also logged, at most one line a minute */
struct pmio_fabric_refused {
	uint64_t accesses; /* reads and writes of its memory, if the provider reports them (those in software do) */
	uint64_t proofs;   /* of the key, or the user */
};
void pmio_fabric_target_refused(struct pmio_fabric_target *target, struct pmio_fabric_refused *out);

/* answer; frees call.  status: 0 or a negative code; len up to PMIO_FABRIC_MSG_MAX */
void pmio_fabric_reply(struct pmio_fabric_call *call, int status, const void *msg, size_t len);

/*
 * pmio_fabric_reply_room -- a buffer in which an answer can be built without another copy
 *
 * For the handler only, before it answers or returns; one at a time.  It has PMIO_FABRIC_MSG_MAX bytes, is aligned to 8 bytes,
 * and is gone when the handler has returned.  NULL: there is none now.
 */
void *pmio_fabric_reply_room(struct pmio_fabric_call *call);
/* as pmio_fabric_reply(), with the first len bytes of that buffer */
void pmio_fabric_reply_from_room(struct pmio_fabric_call *call, int status, size_t len);

/* the session that the call came through, not 0: a new one each time an initiator connects */
uint64_t pmio_fabric_call_session(const struct pmio_fabric_call *call);

/*
 * pmio_fabric_target_end_session -- end the session of an initiator that is known to be dead
 *
 * When it returns, no handler begins with a call of that session any more; answers to
 * earlier ones go nowhere.  An initiator that is still there gets -ECONNRESET from a call
 * after about a second, when it probes for the answer.  XXX Its writes may still
 * arrive: only the target's end stops that.
 * Unknown sessions are ignored.  Threads: any, also the handler's.
 */
void pmio_fabric_target_end_session(struct pmio_fabric_target *target, uint64_t session);

/* ---- initiator ------------------------------------------------------------------------- */

struct pmio_fabric_initiator;
struct pmio_fabric_peer;

/* returns as pmio_fabric_target_new() */
int pmio_fabric_initiator_new(const struct pmio_fabric_config *config, struct pmio_fabric_initiator **out);

/* also deletes its peers; no call may be running, and each op that was begun must have been ended */
void pmio_fabric_initiator_delete(struct pmio_fabric_initiator **initiator);

/*
 * pmio_fabric_endpoint_of -- the endpoint descriptor of any target at a host's port
 *
 * host, service  names or numbers; IPv4, the first address that the name has
 * out            with the epoch 0; untouched on failure
 *
 * Returns 0, -EINVAL (the initiator's provider has other addresses), -ENOENT (no such host
 * or service), -EAGAIN (the name service does not answer), -ENOMEM, ... Time: as long
 * as the system's name service takes.
 */
int pmio_fabric_endpoint_of(const struct pmio_fabric_initiator *initiator, const char *host, const char *service,
			    struct pmio_fabric_endpoint *out);

/*
 * pmio_fabric_connect -- connect to a target
 *
 * endpoint  its epoch may be 0: any target that is there now
 * key   the target's, PMIO_FABRIC_KEY_SIZE bytes, copied; NULL: the initiator's
 *
 * Returns 0, -EACCES (the two sides do not have the same key; or the target does not
 * accept this process as its user; or this side requires MUNGE and the target does not
 * ask for it), -ESTALE (there is another target now: its epoch is not the descriptor's),
 * -EINVAL (no key; not an address of this provider), -ETIMEDOUT, -EPROTO (another
 * provider's descriptor), ...
 * Threads: any, as for all calls below; calls on one peer may run at once.
 */
int pmio_fabric_connect(struct pmio_fabric_initiator *initiator, const struct pmio_fabric_endpoint *endpoint, const uint8_t *key,
			struct pmio_fabric_peer **out);

/* *peer may be NULL; no call on it may be running; ops that were begun fail (-ENOTCONN) when they are ended */
void pmio_fabric_disconnect(struct pmio_fabric_peer **peer);

/* the size of the peer's memory, bytes */
uint64_t pmio_fabric_peer_size(const struct pmio_fabric_peer *peer);

/* is its provider one in software, so that writes and reads of the peer's memory are copied by both hosts' processors, like messages? */
bool pmio_fabric_peer_copies(const struct pmio_fabric_peer *peer);

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
 * pmio_fabric_call -- send a request, and wait for the answer
 *
 * Returns the answer's status; or -ETIMEDOUT, -ESTALE (another target answers at that
 * address), -ECONNRESET (its process has ended, or it has ended the session),
 * -EMSGSIZE: then it is not known what the peer did.
 */
int pmio_fabric_call(struct pmio_fabric_peer *peer, struct pmio_fabric_exchange *x);

/*
 * pmio_fabric_write -- write pieces, and then send a request
 *
 * The request is sent along; the peer gets it when all bytes are in its memory.
 * x: NULL: no request.  Returns as pmio_fabric_call, and -EFAULT (a piece is not within
 * the peer's memory).  0 only if each byte arrived and the answer said so.
 */
int pmio_fabric_write(struct pmio_fabric_peer *peer, const struct pmio_fabric_piece *pieces, size_t nr,
		      struct pmio_fabric_exchange *x);

/*
 * pmio_fabric_begin -- as pmio_fabric_write, but it does not wait for the end
 *
 * Several ops, also on different peers, can be under way from one thread.
 * request  NULL: none
 * out      to be given to pmio_fabric_end(), also when the peer is down by then
 *
 * The caller may reuse its memory when this returns.  It may wait until earlier ops, of any thread, have
 * made progress: the initiator's buffers for data that are written or read have 1 MiB.  One peer gets at most
 * half of what other peers have left, so peers that answer do not wait for one that does not.
 * Returns 0, or the error that prevents the op from the start, and then *out is NULL: the error of other
 * calls on a peer that is down, -EFAULT, -EMSGSIZE, -ENOMEM.  pmio_fabric_end() returns errors that occur
 * later.
 * XXX Most providers move bytes only while a thread is in a call of this initiator; time without such a thread
 * does not count for the timeout.
 */
struct pmio_fabric_op;
int pmio_fabric_begin(struct pmio_fabric_peer *peer, const struct pmio_fabric_piece *pieces, size_t nr,
		      const void *request, size_t request_len, struct pmio_fabric_op **out);

/* the same for a request in several parts, of PMIO_FABRIC_MSG_MAX bytes in all, and no pieces */
int pmio_fabric_begin_parts(struct pmio_fabric_peer *peer, const struct iovec *parts, size_t nr, struct pmio_fabric_op **out);

/*
 * pmio_fabric_wait -- wait for all of an op, which is still to be ended then
 *
 * answer, len  out: the answer, valid until pmio_fabric_end(); NULL, 0: none.  Returns as pmio_fabric_end().
 */
int pmio_fabric_wait(struct pmio_fabric_op *op, const void **answer, size_t *len);

/*
 * pmio_fabric_end -- wait for all of an op
 *
 * x: receives the answer; x->request is not used; NULL: only the status is wanted.
 * Returns as pmio_fabric_write.  Frees *op and clears it in any case.
 * Threads: any, also one that did not begin the op; ops in any order.
 */
int pmio_fabric_end(struct pmio_fabric_op **op, struct pmio_fabric_exchange *x);

int pmio_fabric_read(struct pmio_fabric_peer *peer, const struct pmio_fabric_piece *pieces, size_t nr);

#endif
