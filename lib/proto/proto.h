/*
 * proto.h -- the messages between clients and the agent of one node
 *
 * They go over a SOCK_SEQPACKET Unix socket in the pool's directory: a message is one
 * packet, of the exact size that its operation has in the table below.  A client sends
 * a request and gets one reply with the same operation and number; it may send more
 * requests before the reply comes.  All integers are in native byte order: both ends
 * are on one machine.
 *
 * Nothing here is trusted: pmio_proto_check_request() checks every message first, and
 * the agent checks what the numbers refer to.
 */
#ifndef PMIO_PROTO_PROTO_H
#define PMIO_PROTO_PROTO_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/spin.h"
#include "pool/format.h"

#define PMIO_PROTO_VERSION 14
#define PMIO_SOCKET_NAME "agent.sock" /* in the pool's directory */
#define PMIO_CLAIM_MAX 64	      /* chunks of one claim */

/* a frame's number, or one of these */
#define PMIO_CLAIM_NONE (-1) /* it has no frame, and none was requested */
#define PMIO_CLAIM_HOLE (-2) /* reading: neither pool nor PFS has it, so it is zero; not to be cached */
#define PMIO_CLAIM_PFS (-3)  /* the pool is full: read and write this chunk on the PFS */

enum pmio_op {
	PMIO_OP_HELLO = 1,
	PMIO_OP_OPEN,
	PMIO_OP_CLAIM,
	PMIO_OP_FILL,
	PMIO_OP_SYNC,
	PMIO_OP_SIZE,
	PMIO_OP_TRUNCATE,
	PMIO_OP_DRAIN,
	PMIO_OP_CLOSE,
	PMIO_OP_REMOVE,
	PMIO_OP_REMOVED,
	PMIO_OP_STAT,
	PMIO_OP_STAT_FILE,
	PMIO_OP_SHUTDOWN,
	PMIO_OP_STAGE,
	PMIO_OP_THROTTLE,
	PMIO_OP_FORGET,
	PMIO_OP_STAT_ID,
	PMIO_OP_MAP,
	PMIO_OP_RAISE,
	PMIO_NR_OPS,
};

struct pmio_hdr_msg {
	uint32_t size;	 /* of the whole message, bytes */
	uint16_t op;	 /* enum pmio_op */
	uint16_t version;
	uint64_t number; /* chosen by the client; the reply has the same */
	int32_t status;	 /* replies: 0 or a negative code; the rest is valid only if 0 */
	uint32_t pad;
};

/* HELLO: first message of a connection.  The reply carries the descriptor of `data`. */
struct pmio_hello_msg {
	struct pmio_hdr_msg hdr;
	uint32_t pid;
	uint32_t admin;	   /* 1: a command of `pmio`, does not keep the agent running */
};
struct pmio_hello_reply_msg {
	struct pmio_hdr_msg hdr;
	uint8_t uuid[16];
	uint64_t epoch;	   /* the agent's; also in the superblock */
	uint32_t client;   /* index of this connection's record */
	uint32_t agent_pid;
	uint32_t kept;	   /* 1: the agent runs in the foreground; it is not replaced by another */
	uint32_t zero;
};

#define PMIO_OPEN_READ 1u
#define PMIO_OPEN_WRITE 2u
#define PMIO_OPEN_CREATE 4u /* handled by the client, as EXCL */
#define PMIO_OPEN_EXCL 8u
#define PMIO_OPEN_HOLD 16u    /* drain=hold */
#define PMIO_OPEN_DROP 32u    /* cache=drop */
#define PMIO_OPEN_NO_PFS 64u  /* fallback=error */
#define PMIO_OPEN_VERIFY 128u /* verify=drain */
#define PMIO_OPEN_ASYNC 256u  /* drain=async */
#define PMIO_OPEN_EARLY 512u  /* drain_early=on */
#define PMIO_OPEN_SHARED 1024u /* agents of other nodes also have pieces of the file */
#define PMIO_OPEN_MDS 2048u    /* ... and this one has its size: it belongs to the metadata server (lib/remote) */
#define PMIO_OPEN_NEW 4096u	       /* the client has just created it: its name is not durable yet */
#define PMIO_OPEN_SYNC_LATER 8192u /* drain_sync */
#define PMIO_OPEN_FIRST 16384u      /* the file is empty: its first chunk will be written, in pieces */
#define PMIO_OPEN_BY_FD 32768u      /* the descriptor is a program's own: the agent opens the file anew with it */
#define PMIO_OPEN_MAPPED 65536u     /* opened again with another agent: the program has mapped the file's frames */
#define PMIO_OPEN_BEGINS 131072u    /* with MDS: a layout session of the file begins with this open */
#define PMIO_OPEN_ALL 262143u

/*
 * OPEN: the client has opened the file on the PFS, and passes the descriptor along; so
 * names, rights, groups, umask and mount namespace are the client's.  Without one: a
 * file of several nodes that has lost its name, and is open here.  -EAGAIN: the file is
 * being removed, a removal that an earlier agent had begun; open it again.  PMIO_EOTHER, with
 * BY_FD: another pool has the file; without BY_FD the client itself has checked that.
 */
struct pmio_open_msg {
	struct pmio_hdr_msg hdr;
	uint32_t flags;	   /* PMIO_OPEN_* */
	uint32_t map_lock; /* with MAPPED: as in MAP */
	char path[PATH_MAX]; /* absolute: its current name, for later searches */
};
/* the reply carries the agent's own descriptor if the request had none */
struct pmio_open_reply_msg {
	struct pmio_hdr_msg hdr;
	uint64_t handle;
	uint64_t size;
	uint64_t dev, ino; /* the PFS file */
	uint32_t slot;
	int32_t error;	   /* of a failed drain after an earlier program's close, as in STAT_FILE, or 0 */
	int64_t first;	   /* frame of the first chunk, if requested; or PMIO_CLAIM_NONE */
};

#define PMIO_CLAIM_WRITE 1u /* they will be written: a hole also gets a frame */
#define PMIO_CLAIM_ZERO 2u  /* with WRITE: in parts of blocks: zero the blocks beyond the PFS file's end */
#define PMIO_CLAIM_WHOLE 4u /* with WRITE: in whole blocks and long pieces: a zeroed frame would have no benefit */
#define PMIO_CLAIM_ALL 7u

/* CLAIM: which frames hold chunks first..first+nr-1 */
struct pmio_claim_msg {
	struct pmio_hdr_msg hdr;
	uint64_t handle;
	uint64_t first;
	uint32_t nr;	   /* 1..PMIO_CLAIM_MAX: the number of chunks to answer for */
	uint32_t wanted;   /* 1..nr: the number of chunks that may get a frame if they have none */
	uint32_t needed;   /* 1..wanted: the number that must get one, or the call fails */
	uint32_t how;	   /* PMIO_CLAIM_* flags */
};
struct pmio_claim_reply_msg {
	struct pmio_hdr_msg hdr;
	int64_t frame[PMIO_CLAIM_MAX];
};

/*
 * FILL: make blocks of a resident chunk valid.  The reply is sent when they are,
 * or with -EAGAIN if another client is overwriting one of them.
 */
struct pmio_fill_msg {
	struct pmio_hdr_msg hdr;
	uint64_t handle;
	uint64_t chunk;
	uint64_t blocks[4]; /* a bit for each of the chunk's 256 */
};

/* SYNC, SIZE: they need only a handle */
struct pmio_handle_msg {
	struct pmio_hdr_msg hdr;
	uint64_t handle;
};

struct pmio_size_reply_msg {
	struct pmio_hdr_msg hdr;
	uint64_t size;
};

struct pmio_truncate_msg {
	struct pmio_hdr_msg hdr;
	uint64_t handle;
	uint64_t size;
};

/*
 * RAISE: at the file's metadata server: raise the size to one that was read from another target's slot; -EAGAIN: it was
 * truncated since `cuts` was read from its slot here
 */
struct pmio_raise_msg {
	struct pmio_hdr_msg hdr;
	uint64_t handle;
	uint64_t size;
	uint64_t cuts;
};

/*
 * CLOSE: with the PFS file's attributes as the client sees them; if data are pending, no other process may change it
 * from then on
 */
struct pmio_close_msg {
	struct pmio_hdr_msg hdr;
	uint64_t handle;
	uint64_t pfs_size;
	int64_t mtime_s;   /* INT64_MIN: not known */
	int64_t mtime_ns;
	struct pmio_counts_df counts; /* the handle's */
};

#define PMIO_DRAIN_FORCE 1u   /* overwrite changes that other programs made to the file */
#define PMIO_DRAIN_BY_FD 2u   /* handle 0: the file of the descriptor in the message; -ESRCH: not known */
#define PMIO_DRAIN_ALL 3u

/*
 * DRAIN: of a handle; or, with handle 0, of the file in a slot, with that generation
 * (-ESRCH: there is no such file any more); or of a descriptor, through which the agent writes
 * if it has none
 */
struct pmio_drain_msg {
	struct pmio_hdr_msg hdr;
	uint64_t handle;
	uint64_t generation;
	uint32_t slot;
	uint32_t flags;	   /* PMIO_DRAIN_* */
};

/* FORGET: discard the pool's data of a file that no program has open (else -EBUSY); the PFS file is not changed */
struct pmio_forget_msg {
	struct pmio_hdr_msg hdr;
	uint64_t generation;
	uint32_t slot;
	uint32_t pad;
};

/*
 * REMOVE: the client is about to remove a name of the file of this descriptor (O_PATH
 * suffices), or has removed its last one, unannounced; at the reply this is recorded in the catalog.
 * REMOVED: it has removed it (0), or has not (negative).  If the client disconnects in between, the agent checks
 * whether the name still exists.
 */
struct pmio_remove_msg {
	struct pmio_hdr_msg hdr;
	uint32_t is_last;  /* 1: the file has no other name */
	uint32_t pad;
	char path[PATH_MAX];
};
struct pmio_removed_msg {
	struct pmio_hdr_msg hdr;
	int32_t status;
	uint32_t pad;
};

struct pmio_reply_msg {
	struct pmio_hdr_msg hdr;
};

/*
 * STAT: without sums it takes the agent a constant time, for any number of frames, files
 * and clients; resident_bytes, dirty_bytes and counts are 0 then, and drained_bytes lacks
 * the bytes of running drains.
 */
struct pmio_stat_msg {
	struct pmio_hdr_msg hdr;
	uint32_t sums;		/* 0 or 1 */
	uint32_t pad;
};
struct pmio_stat_reply_msg {
	struct pmio_hdr_msg hdr;
	uint8_t uuid[16];
	uint32_t agent_pid, nr_clients, nr_handles, granularity;
	uint64_t chunk_size, nr_frames, nr_frames_free, nr_files, nr_slots;
	uint64_t resident_bytes, dirty_bytes, drained_bytes, filled_bytes;
	uint64_t drain_ns;	   /* time in which at least one drain ran */
	uint64_t fill_ns;	   /* time in which at least one read from the PFS into frames ran */
	uint64_t fallback_chunks, evicted_chunks, uptime_s, idle_timeout_s;
	uint32_t nr_draining;	   /* files */
	uint32_t paused;	   /* 1: drains wait */
	uint64_t drain_rate_limit; /* bytes per second of all drains; 0: none */
	struct pmio_counts_df counts; /* of all clients since the agent started */
};

/* STAT_FILE: the progress of a file's data to the file system */
enum pmio_drain_state {
	PMIO_STATE_CLEAN = 1, /* all are there */
	PMIO_STATE_OPEN,      /* all are there; programs have it open for writing */
	PMIO_STATE_DIRTY,     /* programs have it open, and not all are there */
	PMIO_STATE_HELD,      /* closed; they wait until a drain is requested */
	PMIO_STATE_WAITING,   /* closed; they will be drained */
	PMIO_STATE_DRAINING,
	PMIO_STATE_FAILED,    /* the last drain failed; see error */
	PMIO_STATE_CHANGED,   /* as FAILED: another process has changed the PFS file since it was closed */
	PMIO_STATE_GONE,      /* held, and the PFS file has been removed */
};

struct pmio_stat_file_msg {
	struct pmio_hdr_msg hdr;
	uint32_t slot;	   /* the first file at or after this slot; -ENOENT: none */
	uint32_t pad;
};
struct pmio_stat_file_reply_msg {
	struct pmio_hdr_msg hdr;
	uint32_t slot, state;	   /* enum pmio_drain_state */
	uint32_t nr_handles;
	int32_t error;		   /* errno of the last drain, if that failed; 4101: PMIO_ECHANGED */
	uint64_t generation;	   /* of the slot: a later file in the slot has another one */
	uint64_t dev, ino;	   /* the PFS file */
	uint64_t size, pfs_size, resident_bytes, dirty_bytes;
	uint64_t left_bytes;	   /* dirty, and not yet written by the running drain */
	uint64_t drained_bytes, filled_bytes; /* since the agent started; including a running drain */
	uint64_t drain_bytes, drain_ns;	      /* of the last drain that ended */
	struct pmio_counts_df counts;	      /* of handles closed since then */
	char path[PATH_MAX];
};

/* what the pool has of a file that need not be open; -ENOENT: it does not know it */
struct pmio_stat_id_msg {
	struct pmio_hdr_msg hdr;
	uint64_t dev, ino; /* the PFS file */
	int64_t birth_ns;  /* 0: not known */
};
struct pmio_stat_id_reply_msg {
	struct pmio_hdr_msg hdr;
	uint64_t generation; /* of the slot */
	uint64_t size;
	uint32_t slot;
	uint32_t nr_handles;
	uint32_t pending;    /* the PFS does not have all data, or is not known to have them */
	uint32_t pad;
	int64_t written_ns;  /* real time of the last close after a write that is pending; 0: none, or not known */
};

#define PMIO_MAP_READ 1u
#define PMIO_MAP_WRITE 2u
#define PMIO_MAP_ALL 3u
#define PMIO_MAP_LOCKS (1u << 24) /* of a slot */
/* the offset in `data` of a handle's lock, which a program's mappings have as long as they exist */
#define PMIO_MAP_LOCK(slot, lock) (((off_t)1 << 50) + (off_t)(slot) * PMIO_MAP_LOCKS + (off_t)(lock))

/*
 * MAP: the program is about to map these chunks, all of which have frames, and valid blocks where they
 * are mapped; for writing: their valid blocks count as dirty until the end.  how 0: this handle has no
 * mapping any more
 */
struct pmio_map_msg {
	struct pmio_hdr_msg hdr;
	uint64_t handle;
	uint64_t first, nr;
	uint32_t how;	   /* PMIO_MAP_* */
	uint32_t lock;	   /* below PMIO_MAP_LOCKS */
};

#define PMIO_STAGE_MAX 16 /* chunks of one request: fills for others can come in between */

/*
 * STAGE: make nr chunks resident and valid, each step-th from first on, as far as the PFS
 * file reaches.  The reply is sent when they are, or with -ENOSPC: there are no frames
 * except those of files that are open or not drained.
 */
struct pmio_stage_msg {
	struct pmio_hdr_msg hdr;
	uint64_t handle;
	uint64_t first;
	uint32_t nr;	   /* 1..PMIO_STAGE_MAX */
	uint32_t step;	   /* 1.. */
};

#define PMIO_THROTTLE_RATE 1u
#define PMIO_THROTTLE_PAUSE 2u
#define PMIO_THROTTLE_RESUME 4u
#define PMIO_THROTTLE_ALL 7u

/* THROTTLE: the rate limit of drains, until the agent exits */
struct pmio_throttle_msg {
	struct pmio_hdr_msg hdr;
	uint32_t what;	   /* one of PMIO_THROTTLE_* */
	uint32_t pad;
	uint64_t rate;	   /* PMIO_THROTTLE_RATE: bytes per second of all drains; 0: no limit */
};

struct pmio_shutdown_msg {
	struct pmio_hdr_msg hdr;
	uint32_t force;
	uint32_t pad;
};

union pmio_any_msg {
	struct pmio_hdr_msg hdr;
	struct pmio_hello_msg hello;
	struct pmio_hello_reply_msg hello_reply;
	struct pmio_open_msg open;
	struct pmio_open_reply_msg open_reply;
	struct pmio_claim_msg claim;
	struct pmio_claim_reply_msg claim_reply;
	struct pmio_fill_msg fill;
	struct pmio_handle_msg handle;
	struct pmio_size_reply_msg size_reply;
	struct pmio_truncate_msg truncate;
	struct pmio_raise_msg raise;
	struct pmio_close_msg close;
	struct pmio_drain_msg drain;
	struct pmio_forget_msg forget;
	struct pmio_remove_msg remove;
	struct pmio_removed_msg removed;
	struct pmio_reply_msg reply;
	struct pmio_stat_msg stat;
	struct pmio_stat_reply_msg stat_reply;
	struct pmio_stat_file_msg stat_file;
	struct pmio_stat_file_reply_msg stat_file_reply;
	struct pmio_stat_id_msg stat_id;
	struct pmio_stat_id_reply_msg stat_id_reply;
	struct pmio_shutdown_msg shutdown;
	struct pmio_stage_msg stage;
	struct pmio_map_msg map;
	struct pmio_throttle_msg throttle;
};

const char *pmio_op_name(unsigned op);
size_t pmio_op_request_size(unsigned op); /* 0: no such operation */
size_t pmio_op_reply_size(unsigned op);

/* fill in the header of a request; the rest of msg is zeroed */
void pmio_proto_request(union pmio_any_msg *msg, enum pmio_op op, uint64_t number);
/* a reply to req; the rest of msg is zeroed */
void pmio_proto_reply(union pmio_any_msg *msg, const struct pmio_hdr_msg *req, int status);

/*
 * pmio_proto_check_request -- is this packet a valid request?
 *
 * Checks size, operation, version, that paths are absolute and terminated, and that
 * numbers are within the protocol's bounds (not whether they refer to anything).
 * Returns 0, PMIO_EVERSION (hdr is right, the version is not) or PMIO_EPROTO.
 */
int pmio_proto_check_request(const union pmio_any_msg *msg, size_t len);
/* the same for a reply to the operation op with that number */
int pmio_proto_check_reply(const union pmio_any_msg *msg, size_t len, enum pmio_op op,
			   uint64_t number);

/*
 * pmio_proto_send -- send one message
 *
 * fd   a descriptor to pass along, or -1
 * Returns 0, -EAGAIN (non-blocking socket, full), -EPIPE, -ECONNRESET, ...
 */
int pmio_proto_send(int sock, const union pmio_any_msg *msg, int fd);

/*
 * pmio_proto_recv -- receive one message
 *
 * fd   out: a descriptor that came with it, otherwise -1, also on errors; owned by the
 *      caller; may be NULL (then a descriptor is closed).  PMIO_FD_LOST: one came, but
 *      this process has reached its limit
 * Returns its length, 0 (the other end is gone) or -errno.
 */
#define PMIO_FD_LOST (-2)
ssize_t pmio_proto_recv(int sock, union pmio_any_msg *msg, int *fd);

/*
 * pmio_proto_soon -- can something be read from fd within spin->ns (core/spin.h)?
 *
 * It polls without sleeping, but yields the processor to others, as waking up takes longer than answering most
 * requests.  spin->max_ns is PMIO_SPIN_REQUEST_NS; the caller calls pmio_spin_learn() after each wait.
 */
#define PMIO_SPIN_REQUEST_NS 100000
bool pmio_proto_soon(int fd, const struct pmio_spin *spin);

/*
 * pmio_proto_address -- the socket's address for a pool directory
 *
 * Through /proc/self/fd, so that directories with long names work.
 */
struct sockaddr_un;
void pmio_proto_address(int dir_fd, struct sockaddr_un *addr);

/* a change here needs another version of the protocol: programs and agents of two versions meet during an upgrade */
_Static_assert(sizeof(struct pmio_hdr_msg) == 24, "as it is sent");
_Static_assert(sizeof(struct pmio_hello_msg) == 32, "as it is sent");
_Static_assert(sizeof(struct pmio_hello_reply_msg) == 64, "as it is sent");
_Static_assert(sizeof(struct pmio_open_msg) == 4128, "as it is sent");
_Static_assert(sizeof(struct pmio_open_reply_msg) == 72, "as it is sent");
_Static_assert(sizeof(struct pmio_claim_msg) == 56, "as it is sent");
_Static_assert(sizeof(struct pmio_claim_reply_msg) == 536, "as it is sent");
_Static_assert(sizeof(struct pmio_fill_msg) == 72, "as it is sent");
_Static_assert(sizeof(struct pmio_handle_msg) == 32, "as it is sent");
_Static_assert(sizeof(struct pmio_size_reply_msg) == 32, "as it is sent");
_Static_assert(sizeof(struct pmio_truncate_msg) == 40, "as it is sent");
_Static_assert(sizeof(struct pmio_close_msg) == 96, "as it is sent");
_Static_assert(sizeof(struct pmio_drain_msg) == 48, "as it is sent");
_Static_assert(sizeof(struct pmio_forget_msg) == 40, "as it is sent");
_Static_assert(sizeof(struct pmio_remove_msg) == 4128, "as it is sent");
_Static_assert(sizeof(struct pmio_removed_msg) == 32, "as it is sent");
_Static_assert(sizeof(struct pmio_reply_msg) == 24, "as it is sent");
_Static_assert(sizeof(struct pmio_stat_msg) == 32, "as it is sent");
_Static_assert(sizeof(struct pmio_stat_reply_msg) == 232, "as it is sent");
_Static_assert(sizeof(struct pmio_stat_file_msg) == 32, "as it is sent");
_Static_assert(sizeof(struct pmio_stat_file_reply_msg) == 4272, "as it is sent");
_Static_assert(sizeof(struct pmio_stat_id_msg) == 48, "as it is sent");
_Static_assert(sizeof(struct pmio_stat_id_reply_msg) == 64, "as it is sent");
_Static_assert(sizeof(struct pmio_stage_msg) == 48, "as it is sent");
_Static_assert(sizeof(struct pmio_map_msg) == 56, "as it is sent");
_Static_assert(sizeof(struct pmio_throttle_msg) == 40, "as it is sent");
_Static_assert(sizeof(struct pmio_shutdown_msg) == 32, "as it is sent");

#endif
