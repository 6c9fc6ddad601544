/*
 * wire.h -- what processes ask of another node's target, over lib/fabric
 *
 * Each message is a call of lib/fabric and its answer.  The target carries it out on
 * the files of its node's pool as any process there would, through libpmio.
 *
 * Bytes to be written or read travel in the message if they are few; else they go
 * through slots, memory of the target that a session has been given: written there
 * ahead of the call, or fetched from there after it.  So no peer ever has a key to
 * the pool: what a cable or a stopped process delivers too late falls into a slot
 * that nobody looks at any more, and not into a file.
 *
 * Calls that take longer (drains) are answered -EINPROGRESS with a ticket, by which
 * WAIT asks again: who is alive answers within REMOTE_ANSWER_MS.
 *
 * Integers are native: hosts of a job have one architecture, and the version is
 * another one where that is not so.
 *
 * Nothing here is trusted but that the peer knows the key: sizes and numbers are
 * looked at before anything else is.
 */
#ifndef PMIO_REMOTE_WIRE_H
#define PMIO_REMOTE_WIRE_H

#include <limits.h>
#include <stdint.h>

#include "fabric/fabric.h"

#define REMOTE_VERSION 4
#define REMOTE_ANSWER_MS 2000
#define REMOTE_SLOTS_MAX 4		/* of a session */
#define REMOTE_DESCS_MAX 16384u		/* pieces of a call whose list is in a slot */
#define REMOTE_DATA_MAX (1u << 20)	/* bytes of a call in a slot */
#define REMOTE_DATA_OFF (REMOTE_DESCS_MAX * sizeof(struct remote_desc)) /* in a slot; the list is at 0 */
#define REMOTE_SLOT_SIZE (REMOTE_DATA_OFF + REMOTE_DATA_MAX)
#define REMOTE_NO_SLOT UINT32_MAX
#define REMOTE_CLAIM_MAX 64		/* chunks of one claim */
#define REMOTE_LIFELINE_ACK 1		/* the byte by which the target says that it has a lifeline; it says nothing else there */

enum remote_op {
	REMOTE_HELLO = 1, /* first of a session */
	REMOTE_WAIT,
	REMOTE_OPEN,
	REMOTE_READ,
	REMOTE_WRITE,
	REMOTE_SIZE,
	REMOTE_TRUNCATE,
	REMOTE_SYNC,
	REMOTE_DRAIN,
	REMOTE_CLOSE,
	REMOTE_DELETE,
	REMOTE_LOCK,
	REMOTE_UNLOCK,
	REMOTE_STAT,
	REMOTE_GROW,
	REMOTE_JOIN,
	REMOTE_LEAVE,
	REMOTE_CLAIM,
	REMOTE_WATCH, /* path: take the mark in its owner's file away when the pool has drained it */
	REMOTE_STAGE, /* chunks that are to be there before anybody reads them */
	REMOTE_POINTER,
	REMOTE_NR_OPS,
};

struct remote_hdr_msg {
	uint16_t version;
	uint16_t op;	  /* enum remote_op */
	uint32_t reserved;
	uint64_t session; /* of HELLO's answer; HELLO: 0 */
	uint64_t handle;  /* of OPEN's answer; WAIT: the ticket; else 0 */
};

/*
 * HELLO says which process it is, and may be said again: what the process had joined it still has, and
 * nothing of its earlier sessions happens any more once the answer is sent.  Which of them was the last
 * to come through is the target's to say.
 */
struct remote_hello_msg {
	struct remote_hdr_msg hdr;
	uint8_t process[16]; /* random: the asker, as this target knows it */
	uint64_t attempt; /* one more each time; an earlier one that comes later is refused */
	uint32_t pid;	  /* for messages, as the host */
	uint32_t slots;	  /* so many are wanted */
	char host[64];	  /* 0-terminated */
};
struct remote_hello_answer_msg {
	uint64_t session; /* random; also what the lifeline begins with */
	uint64_t vital;	  /* the session of this process whose lifeline the target looks at until it gets the new one; 0: none */
	uint8_t uuid[16]; /* the pool's */
	uint64_t chunk_size;
	uint16_t lifeline; /* TCP port at the target's address */
	uint16_t nr_slots;
	uint32_t reserved;
	uint64_t slot[REMOTE_SLOTS_MAX]; /* offsets in the target's memory */
	char host[64];
};

struct remote_ticket_msg { /* with -EINPROGRESS */
	uint64_t ticket;
};

struct remote_open_msg {
	struct remote_hdr_msg hdr;
	uint32_t flags;	  /* PMIO_OPEN_* */
	uint32_t mode;	  /* the umask has been applied */
	char path[];	  /* absolute, 0-terminated */
};
struct remote_open_answer_msg {
	uint64_t handle, size, dev, ino;
};

struct remote_desc {
	uint64_t off, len; /* of the file */
};
/* READ, WRITE: pieces in the order of their data */
struct remote_io_msg {
	struct remote_hdr_msg hdr;
	uint32_t slot;	   /* index of the session's; REMOTE_NO_SLOT: data are in the message */
	uint32_t nr;	   /* pieces */
	uint32_t in_slot;  /* 1: so is their list */
	uint32_t len;	   /* bytes of data */
	uint64_t size;	   /* READ: the file has at least so many bytes */
	struct remote_desc desc[]; /* unless in_slot; then the data of a write without a slot */
};
struct remote_read_answer_msg {
	uint64_t len;	   /* read: less where the file ends */
	uint8_t data[];	   /* without a slot */
};

struct remote_write_answer_msg {
	uint64_t raised;   /* 1: the file got longer in its pool */
};

/* SIZE, GROW */
struct remote_size_answer_msg {
	uint64_t size;
};

/* TRUNCATE, GROW */
struct remote_truncate_msg {
	struct remote_hdr_msg hdr;
	uint64_t size;
};

struct remote_stage_msg {
	struct remote_hdr_msg hdr;
	uint64_t first;	   /* chunk; and each step-th behind it */
	uint32_t nr, step; /* 1..PMIO_STAGE_MAX; 1.. */
};

struct remote_close_msg {
	struct remote_hdr_msg hdr;
	uint32_t flags;	   /* PMIO_CLOSE_* */
	uint32_t reserved;
};

struct remote_path_msg {
	struct remote_hdr_msg hdr;
	char path[];
};

/*
 * JOIN, LEAVE: who uses a file of several nodes says so to its first target, which removes the
 * owner's file (owner.c) when nobody does any more.  JOIN: -ENOENT: this use has ended.
 * LEAVE: 1: others use it yet; -ENOENT: it had not joined, or has left.  Both can be said twice.
 */
struct remote_join_msg {
	struct remote_hdr_msg hdr;
	uint8_t use[16];
	uint64_t number;   /* of the process's joins: each has its own, not 0 */
	uint32_t create;   /* JOIN: 1: this use begins */
	uint32_t keep;	   /* LEAVE: enum remote_keep */
	char path[];	   /* JOIN, create: of the owner's file */
};
#define REMOTE_JOIN_SIZE (sizeof(struct remote_join_msg) + PATH_MAX)

/* STAT */
struct remote_stat_answer_msg {
	uint64_t chunk_size, nr_frames, nr_frames_free, nr_files, dirty_bytes, drained_bytes;
	uint64_t nr_refused_accesses, nr_refused_proofs; /* struct pmio_fabric_refused */
	uint32_t nr_sessions, pid;
};

/* CLAIM: who holds chunks first..first+nr-1 of a file */
struct remote_claim_msg {
	struct remote_hdr_msg hdr;
	uint8_t use[16];
	uint64_t first;
	uint32_t nr;	   /* 0..REMOTE_CLAIM_MAX: answer for so many */
	uint32_t wanted;   /* 0..nr: those that nobody has become the asker's */
	uint32_t holder;   /* the asker's index in the file's list of targets */
	uint32_t create;   /* 1: this use begins; it ends with the process */
};
struct remote_claim_answer_msg {
	uint32_t holder[REMOTE_CLAIM_MAX]; /* REMOTE_NOBODY: nobody has it */
};

/* POINTER: a shared file pointer, at the first target of a file; each collective open of the file has its own */
struct remote_pointer_msg {
	struct remote_hdr_msg hdr;
	uint8_t use[16];
	uint64_t pointer;  /* which; random.  One that is not known is at 0 */
	uint64_t value;
	uint32_t how;	   /* enum remote_pointer_how */
	uint32_t reserved;
};
struct remote_pointer_answer_msg {
	uint64_t was;
};

#define REMOTE_INLINE_MAX (PMIO_FABRIC_MSG_MAX - sizeof(struct remote_io_msg)) /* list and data */

/* as they are on the wire: a change here is another version of it */
_Static_assert(sizeof(struct remote_hdr_msg) == 24, "as on the wire");
_Static_assert(sizeof(struct remote_hello_msg) == 120, "as on the wire");
_Static_assert(sizeof(struct remote_hello_answer_msg) == 144, "as on the wire");
_Static_assert(sizeof(struct remote_ticket_msg) == 8, "as on the wire");
_Static_assert(sizeof(struct remote_open_msg) == 32, "as on the wire");
_Static_assert(sizeof(struct remote_open_answer_msg) == 32, "as on the wire");
_Static_assert(sizeof(struct remote_desc) == 16, "as on the wire");
_Static_assert(sizeof(struct remote_io_msg) == 48, "as on the wire");
_Static_assert(sizeof(struct remote_read_answer_msg) == 8, "as on the wire");
_Static_assert(sizeof(struct remote_write_answer_msg) == 8, "as on the wire");
_Static_assert(sizeof(struct remote_size_answer_msg) == 8, "as on the wire");
_Static_assert(sizeof(struct remote_truncate_msg) == 32, "as on the wire");
_Static_assert(sizeof(struct remote_stage_msg) == 40, "as on the wire");
_Static_assert(sizeof(struct remote_close_msg) == 32, "as on the wire");
_Static_assert(sizeof(struct remote_path_msg) == 24, "as on the wire");
_Static_assert(sizeof(struct remote_join_msg) == 56, "as on the wire");
_Static_assert(sizeof(struct remote_stat_answer_msg) == 72, "as on the wire");
_Static_assert(sizeof(struct remote_claim_msg) == 64, "as on the wire");
_Static_assert(sizeof(struct remote_claim_answer_msg) == 256, "as on the wire");
_Static_assert(sizeof(struct remote_pointer_msg) == 64, "as on the wire");
_Static_assert(sizeof(struct remote_pointer_answer_msg) == 8, "as on the wire");
_Static_assert(sizeof(struct remote_open_msg) + PATH_MAX <= PMIO_FABRIC_MSG_MAX, "a path fits");

#endif
