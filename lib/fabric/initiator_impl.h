/*
 * initiator_impl.h -- shared by the files of an initiator: requests (request.c), data (transfer.c), the handshake (handshake.c),
 * and initiator.c, which creates and deletes it
 */
#ifndef PMIO_FABRIC_INITIATOR_IMPL_H
#define PMIO_FABRIC_INITIATOR_IMPL_H

#include <pthread.h>
#include <uthash.h>

#include "fabric/fabric_impl.h"

#define NR_RECVS 32		 /* of which ended requests keep at most half */
#define NR_SENDS 32
#define NR_BOUNCES 16		 /* of which one peer gets at most half */
#define BOUNCE_SIZE (64u << 10) /* bytes; from 72 KiB on writes to sockets sometimes take twice as long (bench_fabric) */

enum posted_kind { OP_RECV, OP_SEND, OP_WRITE, OP_READ };

struct posted_op {
	struct fi_context2 ctx; /* first */
	enum posted_kind kind;
	uint8_t *buf;
	struct fid_mr *mr;	/* of buf; NULL: not needed */
	struct pmio_fabric_op *req;	/* NULL: a receive */
	uint8_t *to;		/* OP_READ: the caller's; len bytes */
	size_t len;
	struct posted_op *next;	/* in the list of free ones, or of reads that are not copied yet */
};

/* an additional op, with a buffer of its own */
struct extra {
	struct posted_op op;		/* first */
	uint8_t *memory;	/* owned */
	struct extra *next;
};

/* a request */
struct pmio_fabric_op {
	uint64_t number; /* key */
	struct pmio_fabric_peer *peer;
	unsigned refs;		/* one for the waiting thread, and one for each operation under way */
	unsigned nr_ops;	/* under way */
	int rc;			/* the first error */
	bool wants_answer, answered;
	const uint8_t *nonce;	/* of a HELLO that is repeated until it is answered; otherwise NULL */
	const struct fabric_hdr_msg *again; /* likewise: the PROOF */
	uint64_t alive_ms, probed_ms;
	uint64_t forgiven_ms;	/* pauses to discount since alive_ms, when the peer last answered */
	unsigned probe_ms;	/* interval to the next one */
	struct posted_op *read;	/* OP_READs that have ended */
	const struct fabric_hdr_msg *answer; /* in the buffer of one of these two */
	struct posted_op *kept;	/* the receive, which is posted again with the request's end */
	void *copy;		/* owned; if too many are kept */
	UT_hash_handle hh;
};

struct pmio_fabric_peer {
	struct pmio_fabric_initiator *initiator;
	struct pmio_fabric_peer *prev, *next;
	fi_addr_t fi;
	uint8_t key[PMIO_FABRIC_KEY_SIZE];
	uint64_t epoch;		/* 0: any, until it has answered */
	uint64_t session;	/* 0: none yet */
	uint64_t mr_key, base, len;
	unsigned nr_sends, nr_bounces; /* its operations under way */
	int down;		/* why */
};

struct pmio_fabric_initiator {
	struct fabric_ep ep;
	uint8_t key[PMIO_FABRIC_KEY_SIZE];
	bool has_key;
	struct fabric_munge munge;
	unsigned timeout_ms;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool somebody_sleeps;	/* a thread sleeps in the completion queue */
	uint64_t attended_ms;	/* time until which a thread watches, or has watched, the queue */
	uint64_t number;
	unsigned nr_kept;	/* receives with an answer that is not used up */
	struct pmio_fabric_op *requests; /* hash: those that wait for an answer */
	struct pmio_fabric_peer *peers;
	struct posted_op ops[NR_RECVS + NR_SENDS + NR_BOUNCES];
	struct posted_op *free_sends, *free_bounces;
	unsigned nr_free_sends, nr_free_bounces;
	struct extra *extras;
	unsigned nr_extras;
	uint8_t *memory;	/* owned */
	struct fid_mr *mr;
	uint64_t next_key;	/* of registrations */
};

/* all with the lock held; some release it meanwhile */

/* ---- request.c ---- */

/* a new request, which the caller holds until initiator_end_request(); NULL: out of memory */
struct pmio_fabric_op *initiator_new_request(struct pmio_fabric_peer *peer);
void initiator_put_request(struct pmio_fabric_op *r);
/* make its buffer free for all peers */
void initiator_put_on_list(struct pmio_fabric_initiator *initiator, struct posted_op *op);
void initiator_peer_is_down(struct pmio_fabric_peer *peer, int why);
int initiator_post_recv(struct pmio_fabric_initiator *initiator, struct posted_op *op);
/* get an operation of that kind; NULL: r has failed */
struct posted_op *initiator_get_op(struct pmio_fabric_initiator *initiator, struct pmio_fabric_op *r, enum posted_kind kind);
/* takes op over; r->rc has the error if it fails */
void initiator_post(struct pmio_fabric_initiator *initiator, struct posted_op *op, uint64_t off);
void initiator_post_message(struct pmio_fabric_initiator *initiator, struct pmio_fabric_op *r, const struct fabric_hdr_msg *h, const void *rest);
void initiator_post_hello(struct pmio_fabric_initiator *initiator, struct pmio_fabric_op *r, const uint8_t nonce[NONCE_SIZE]);
/* copy r's ended reads to the caller's memory; releases the lock meanwhile */
void initiator_copy_read(struct pmio_fabric_initiator *initiator, struct pmio_fabric_op *r);
/* wait until all of r has ended, or it has failed */
void initiator_wait_for(struct pmio_fabric_initiator *initiator, struct pmio_fabric_op *r);
/* give r up; returns its result */
int initiator_end_request(struct pmio_fabric_initiator *initiator, struct pmio_fabric_op *r);

#endif
