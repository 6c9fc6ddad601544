/*
 * wire.h -- messages between processes and another node's target, over lib/fabric
 *
 * Each message is a call of lib/fabric and its answer.  The target carries out the call
 * on the files of its node's pool as any process there would, through libpmio.
 *
 * Bytes to be written or read travel in messages if the pieces are small; large pieces go
 * through bounce buffers in the target's memory that are assigned to a session: they are
 * written there before the call, or fetched from there after it.  So no peer has a key to
 * the pool at any time: bytes that arrive late (from the network, or from a process that was
 * stopped and continues) end up in a bounce buffer that is no longer used, and not in a file.
 *
 * Calls that take longer (drains) are answered -EINPROGRESS with a ticket, with which
 * WAIT asks again: a target that is alive answers within REMOTE_ANSWER_MS.
 *
 * Integers are in native byte order: the hosts of a job have one architecture, and on
 * any other the version does not match.
 *
 * Nothing is trusted except that the peer knows the key: sizes and numbers are checked
 * first.
 */
#ifndef PMIO_REMOTE_WIRE_H
#define PMIO_REMOTE_WIRE_H

#include <limits.h>
#include <stdint.h>

#include "fabric/fabric.h"
#include "remote/remote.h"

#define REMOTE_VERSION 8
#define REMOTE_ANSWER_MS 2000
#define REMOTE_BUFFERS_MAX 4		/* of a session */
#define REMOTE_BUFFER_SIZE (256u << 10)	/* bytes of a call in a bounce buffer */
#define REMOTE_NO_BUFFER UINT32_MAX
#define REMOTE_CLAIM_MAX 64		/* chunks of one claim */
#define REMOTE_LIVENESS_ACK 1		/* the byte by which the target confirms a liveness socket; it sends nothing else there */

enum remote_op {
	REMOTE_HELLO = 1, /* the first call of a session */
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
	REMOTE_WATCH, /* path: remove the mark in its layout file when the pool has drained it */
	REMOTE_STAGE, /* stage in chunks before a program reads them */
	REMOTE_POINTER,
	REMOTE_RESERVE, /* append: extend the file by this many bytes */
	REMOTE_RAISE, /* raise the size to one that was read at another target */
	REMOTE_RELAY, /* a call for another target */
	REMOTE_NR_OPS,
};

struct remote_hdr_msg {
	uint16_t version;
	uint16_t op;	  /* enum remote_op */
	uint32_t reserved;
	uint64_t session; /* from HELLO's answer; HELLO: 0 */
	uint64_t handle;  /* from OPEN's answer; WAIT: the ticket; otherwise 0 */
};

/*
 * HELLO identifies the process, and may be repeated: the process keeps its memberships, and once the
 * answer is sent no call of its earlier sessions has an effect any more.  The target decides which of
 * several was the last.
 */
struct remote_hello_msg {
	struct remote_hdr_msg hdr;
	uint8_t process[16]; /* random: the client process, as this target knows it */
	uint64_t attempt; /* incremented with each HELLO; an earlier one that arrives later is refused */
	uint32_t pid;	  /* for log messages, like the host */
	uint32_t buffers; /* number of bounce buffers wanted */
	char host[64];	  /* 0-terminated */
};
struct remote_hello_answer_msg {
	uint64_t session; /* random; also the first bytes sent on the liveness socket */
	uint64_t vital;	  /* the target watches the liveness socket of this session until it gets the new one; 0: none */
	uint8_t uuid[16]; /* the pool's */
	uint64_t chunk_size;
	uint16_t liveness; /* TCP port at the target's address */
	uint16_t nr_buffers;
	uint32_t reserved;
	uint64_t buffer[REMOTE_BUFFERS_MAX]; /* offsets in the target's memory */
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
	uint32_t buffer;   /* index in the session's bounce buffers; REMOTE_NO_BUFFER: data are in the message */
	uint32_t nr;	   /* pieces */
	uint32_t reserved;
	uint32_t len;	   /* bytes of data */
	uint64_t size;	   /* READ: the file is known to have at least this size */
	struct remote_desc desc[]; /* then the data of a write without a bounce buffer */
};
struct remote_read_answer_msg {
	uint64_t len;	   /* read: less at the end of the file */
	uint8_t data[];	   /* without a bounce buffer */
};

struct remote_write_answer_msg {
	uint64_t raised;   /* 1: the file became longer in its pool */
};

/* SIZE: as struct client_growth */
struct remote_growth_answer_msg {
	uint64_t size, growers, cuts;
};
/* GROW, RESERVE */
struct remote_size_answer_msg {
	uint64_t size;
};

struct remote_truncate_msg {
	struct remote_hdr_msg hdr;
	uint64_t size;
};
/*
 * GROW: growers: bits to be set first.  RESERVE: size: the bytes by which the file is extended (the answer has its size
 * before); settled: 1: other targets have been asked for larger sizes.  RAISE: cuts: as in struct client_growth
 */
struct remote_grow_msg {
	struct remote_hdr_msg hdr;
	uint64_t size;
	union {
		uint64_t growers, settled, cuts;
	};
};

struct remote_stage_msg {
	struct remote_hdr_msg hdr;
	uint64_t first;	   /* first chunk; and each step-th after it */
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
 * JOIN, LEAVE: a process that uses a file of several nodes joins its layout session at its
 * metadata server, and leaves it there; after the last one the server removes the layout file
 * (layout_file.c).  JOIN: -ENOENT: this layout session has ended.  LEAVE: 1: others still use it;
 * -ENOENT: it had not joined, or has left.  Both are idempotent.
 */
struct remote_join_msg {
	struct remote_hdr_msg hdr;
	uint8_t layout[16];
	uint64_t number;   /* identifies the join within the process; not 0 */
	uint32_t create;   /* JOIN: 1: this layout session begins */
	uint32_t keep;	   /* LEAVE: enum remote_keep */
	char path[];	   /* JOIN, create: the layout file */
};
#define REMOTE_JOIN_SIZE (sizeof(struct remote_join_msg) + PATH_MAX)

/* STAT */
struct remote_stat_answer_msg {
	uint64_t chunk_size, nr_frames, nr_frames_free, nr_files, dirty_bytes, drained_bytes;
	uint64_t nr_refused_accesses, nr_refused_proofs; /* struct pmio_fabric_refused */
	uint32_t nr_sessions, pid;
};

/* CLAIM: the holders of chunks first..first+nr-1 of a file */
struct remote_claim_msg {
	struct remote_hdr_msg hdr;
	uint8_t layout[16];
	uint64_t first;
	uint32_t nr;	   /* 0..REMOTE_CLAIM_MAX: the number of chunks to answer for */
	uint32_t wanted;   /* 0..nr: of these, chunks without a holder become the client's */
	uint32_t holder;   /* the client's index in the file's list of targets */
	uint32_t create;   /* 1: this layout session begins; it ends with the process */
};
struct remote_claim_answer_msg {
	uint32_t holder[REMOTE_CLAIM_MAX]; /* REMOTE_NOBODY: the chunk has no holder */
};

/* POINTER: a shared file pointer, at the metadata server of a file; each collective open of the file has its own */
struct remote_pointer_msg {
	struct remote_hdr_msg hdr;
	uint8_t layout[16];
	uint64_t pointer;  /* which one; random.  The value of an unknown one is 0 */
	uint64_t value;
	uint32_t how;	   /* enum remote_pointer_how */
	uint32_t reserved;
};
struct remote_pointer_answer_msg {
	uint64_t was;
};

/*
 * RELAY: a call that the target makes at another target for a process of its own node: so a node has one session there, and
 * not one for each of its processes.  The message in it is
 *
 *   OPEN	the handle is one of this session, and its calls are passed on, too
 *   CLAIM, POINTER  the answer is that of the other target
 *   HELLO  only the header: announces the endpoint descriptor, as the other target may have been restarted
 *
 * Processes with the same layout session, target and flags share the file that is open there.
 */
struct remote_relay_msg {
	struct remote_hdr_msg hdr;
	uint8_t layout[16];
	struct remote_endpoint to;
	uint8_t msg[];	   /* whole; session and handle are 0 */
};

#define REMOTE_INLINE_MAX (PMIO_FABRIC_MSG_MAX - sizeof(struct remote_io_msg)) /* list and data */
#define REMOTE_ANSWER_MAX (PMIO_FABRIC_MSG_MAX - sizeof(struct remote_read_answer_msg)) /* data that are read */
#define REMOTE_DESCS_MAX (REMOTE_INLINE_MAX / sizeof(struct remote_desc))

/* sizes on the wire: a change here needs another version */
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
_Static_assert(sizeof(struct remote_growth_answer_msg) == 24, "as on the wire");
_Static_assert(sizeof(struct remote_truncate_msg) == 32, "as on the wire");
_Static_assert(sizeof(struct remote_grow_msg) == 40, "as on the wire");
_Static_assert(sizeof(struct remote_stage_msg) == 40, "as on the wire");
_Static_assert(sizeof(struct remote_close_msg) == 32, "as on the wire");
_Static_assert(sizeof(struct remote_path_msg) == 24, "as on the wire");
_Static_assert(sizeof(struct remote_join_msg) == 56, "as on the wire");
_Static_assert(sizeof(struct remote_stat_answer_msg) == 72, "as on the wire");
_Static_assert(sizeof(struct remote_claim_msg) == 64, "as on the wire");
_Static_assert(sizeof(struct remote_claim_answer_msg) == 256, "as on the wire");
_Static_assert(sizeof(struct remote_pointer_msg) == 64, "as on the wire");
_Static_assert(sizeof(struct remote_pointer_answer_msg) == 8, "as on the wire");
_Static_assert(sizeof(struct remote_endpoint) == 232, "as on the wire");
_Static_assert(sizeof(struct remote_relay_msg) == 40 + sizeof(struct remote_endpoint), "as on the wire");
_Static_assert(sizeof(struct remote_relay_msg) + sizeof(struct remote_open_msg) + PATH_MAX <= PMIO_FABRIC_MSG_MAX, "a path fits");

#endif
