/*
 * target_state.h -- a target: its addresses, sessions, buffers and answers; the thread of the target owns what no lock is named for
 */
#ifndef PMIO_FABRIC_TARGET_STATE_H
#define PMIO_FABRIC_TARGET_STATE_H

#include <pthread.h>
#include <uthash.h>

#include "fabric/fabric_impl.h"

#define NR_RECVS 32	     /* more of them and each message would come into one that is in no cache */
#define NR_SENDS 64
#define NR_STRANGE 1024	     /* answers to strangers that wait or are under way; others get none */
#define STRANGE_SIZE 128     /* bytes: enough for these answers */
#define NR_HEARD 1024	     /* addresses of first HELLOs; a new one replaces the oldest */
#define NR_DIALS 64	     /* limit, per DIAL_MS, of addresses that differ from the source of the message */
#define PROOF_MS(t) (2 * (uint64_t)(t)->timeout_ms) /* how long a challenge is valid */

struct addr {
	uint8_t bytes[PMIO_FABRIC_ADDR_MAX]; /* key */
	fi_addr_t fi;
	unsigned refs;
	unsigned nr_sessions;
	unsigned nr_strange;	/* answers that wait or are under way */
	uint64_t heard_ms;	/* when a HELLO first named it; 0: no stranger has */
	struct host *host;	/* while it has sessions */
	UT_hash_handle hh;
};

/* a host from which an initiator has been authenticated */
struct host {
	uint8_t ip[16];	/* key */
	unsigned nr_addrs;
	UT_hash_handle hh;
};

/* the memory, under one key */
struct region {
	struct fid_mr *mr;
	uint64_t key;
	unsigned nr_sessions;	/* that know its key */
	struct region *next;
};

struct fabric_session {
	uint64_t id; /* key; unguessable, by a keyed hash */
	struct addr *addr;	/* NULL: it has ended, and its proof must not be accepted again */
	struct region *region;
	uint64_t until_ms;	/* as long as its proof would be valid */
	struct fabric_session *prev, *next; /* of those that have ended */
	UT_hash_handle hh;
};

struct buffer {
	struct fi_context2 ctx; /* first */
	bool sends;
	bool strange;
	uint8_t *buf; /* BUFFER_SIZE bytes; strange: STRANGE_SIZE */
	struct addr *addr;
	struct buffer *next; /* free */
};

/* an answer that waits for a buffer */
struct out {
	struct out *prev, *next;
	uint64_t session;
	struct addr *addr; /* NULL: the session's */
	bool strange;	   /* to a stranger */
	uint64_t until_ms;
	size_t size;	   /* of the whole message */
	struct fabric_hdr_msg hdr;
	uint8_t rest[];
};

/* a session that another thread wants to end */
struct ending {
	uint64_t session;
	struct ending *next;
};

struct pmio_fabric_target {
	struct fabric_ep ep;
	uint8_t key[PMIO_FABRIC_KEY_SIZE];
	struct fabric_munge munge;
	unsigned timeout_ms;
	uint8_t secret[PMIO_FABRIC_KEY_SIZE]; /* of challenges */
	uint64_t epoch, len;
	void *memory_base;
	uint64_t base;		/* the base of the peers' offsets */
	struct region *regions;	/* the first one is for new sessions */
	uint64_t renew_at;	/* refused accesses */
	uint64_t refused_before; /* ... of this process, when the target was made */
	atomic_uint_fast64_t nr_refused, nr_no_key;
	struct fid_mr *buffers_mr;
	pmio_fabric_handler *handler;
	void *arg;
	pthread_t thread;
	bool has_thread;
	atomic_bool stop;
	atomic_uint nr_proven;

	pthread_mutex_t lock;	/* of these */
	unsigned refs;		/* one of its owner, and one of each call */
	bool closed;
	struct out *queue;
	struct ending *endings;

	struct addr *addrs;
	struct fabric_session *sessions, *ended;
	struct host *hosts;
	struct fabric_connections connections;
	struct addr *heard[NR_HEARD]; /* a ring; with a reference each */
	unsigned next_heard;
	uint64_t dials[NR_DIALS]; /* a ring: when */
	unsigned next_dial;
	struct out *waiting;	/* for room */
	struct buffer *room;	/* handed out by pmio_fabric_reply_room(); NULL: none */
	unsigned nr_strange;
	struct buffer buffers[NR_RECVS + NR_SENDS + NR_STRANGE];
	struct buffer *free_sends, *free_strange;
	uint8_t *memory;	/* owned; the buffers' */
	struct pmio_note no_key, no_user, refused;
	bool warned_full;
};

struct pmio_fabric_call {
	struct pmio_fabric_target *target;
	uint64_t session, number;
};

#endif
