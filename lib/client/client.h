/*
 * client.h -- the insides of libpmio, shared by its own files and adio/
 *
 * Locks: pm->lock guards the socket and everything that a reconnection changes; a
 * file's lock guards its chunk cache and is taken before pm->lock.  intent_lock is held
 * while blocks are overwritten that were not valid before (frame.h): a process has one
 * record of what it does there.  Order: intent_lock, file lock, pm->lock.  No lock is
 * held while bytes are copied, except intent_lock.  A field that is read without its
 * lock, or is only a hint, is atomic.
 */
#ifndef PMIO_CLIENT_CLIENT_H
#define PMIO_CLIENT_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "core/log.h"
#include "core/settings.h"
#include "core/u64map.h"
#include "pmio.h"
#include "pool/frame.h"
#include "proto/proto.h"

#define PMIO_LOCK_FILE "data" /* in the pool's directory */
#define CLIENT_AHEAD_MAX 16	/* chunks claimed ahead of a sequential writer */
#define CLIENT_AGENTS_MAX 10 /* how many agents may be lost during one request before it fails */
/* the connection is lost: not an errno, as the agent may answer with any error of a file system */
#define CLIENT_LOST (PMIO_ESTUCK - 1)

struct pmio {
	pthread_mutex_t lock;
	pthread_mutex_t intent_lock;
	struct pmio_settings settings;
	char dir[PATH_MAX];	/* the pool's */
	int dir_fd;
	int sock;		/* under lock; -1: no connection */
	pid_t agent_pid;	/* the peer's process, by the kernel; 0: in another container */
	bool agent_kept;	/* the agent runs in the foreground, with limits chosen by its user: it is not replaced */
	bool owed;		/* under lock: the agent still owes an answer that no call waits for */
	enum pmio_op owed_op;	/* the request that it belongs to */
	bool attach_only;	/* never start an agent */
	struct pmio_spin spin;	/* under lock; busy polling before it sleeps until an answer */
	pid_t pid;		/* the process that connected; a forked child differs */
	uint64_t number;	/* under lock; of the last request */
	uint8_t uuid[16];
	_Atomic uint64_t epoch;	/* of the agent that knows our handles; changed under lock */
	_Atomic uint32_t client; /* index of our record in view; changed under lock */
	struct pmio_view *view;	/* kept when another agent takes over */
	struct pmio_file *files; /* under lock; changed by fork.c only */
	struct pmio *prev, *next; /* fork.c */
};

static inline int client_timeout_ms(const struct pmio *pm)
{
	return (int)pm->settings.num[PMIO_SET_TIMEOUT] * 1000;
}

/* is this a child of the process that connected?  Then calls fail with -EBADF */
static inline bool client_is_forked(const struct pmio *pm)
{
	return getpid() != pm->pid;
}

struct cache_entry {
	uint64_t chunk;		/* plus one; 0 is an empty entry */
	int64_t frame;
	uint32_t touched;	/* a bit for each window whose pages were mapped here */
};

/* blocks of a chunk whose bits are known to be set and durable, as long as the frame's word is this: pmio_frame_cleared() */
struct client_known {
	uint64_t word;
	struct pmio_mask blocks;
};

/* bytes of a chunk whose pages are mapped at once for a writer of small pieces; at most 32 in a chunk */
static inline uint32_t client_window(const struct pmio_view *v)
{
	uint32_t least = v->chunk_size < 64u << 10 ? (uint32_t)v->chunk_size : 64u << 10;

	return v->chunk_size / 32 > least ? (uint32_t)(v->chunk_size / 32) : least;
}

#define PMIO_CLOSE_DISCARD 1u /* delete on close */

struct client_growth;

/*
 * The operations of a file that is not, or not only, in the pool of this node
 * (lib/remote).  The arguments are those of the calls of pmio.h and below, already
 * checked.
 */
struct client_ops {
	ssize_t (*readx)(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr, uint64_t size);
	ssize_t (*writex)(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr, bool *raised);
	/*
	 * Both may be NULL.  begin starts a readx, or writex if write is set, of which as much as possible is under way when
	 * it returns, so that those of several files run at the same time.  It returns NULL if it has not started it: then
	 * readx or writex has to do it.  finish returns as these do, frees op, and is to be called by the same thread
	 */
	void *(*begin)(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr, uint64_t size, bool write);
	ssize_t (*finish)(void *op, bool *raised);
	int (*grow)(struct pmio_file *f, uint64_t *size, uint64_t growers); /* may be NULL, as the next two */
	int (*growth)(struct pmio_file *f, struct client_growth *g);
	int (*raise)(struct pmio_file *f, uint64_t size, uint64_t cuts);
	int (*reserve)(struct pmio_file *f, uint64_t len, bool settled, uint64_t *at); /* client_reserve() */
	int (*size)(struct pmio_file *f, off_t *size);
	int (*truncate)(struct pmio_file *f, uint64_t size);
	int (*sync)(struct pmio_file *f);
	int (*drain)(struct pmio_file *f);
	int (*end)(struct pmio_file *f, uint32_t flags); /* close, PMIO_CLOSE_*; f is freed */
	int (*lock)(struct pmio_file *f);
	void (*unlock)(struct pmio_file *f);
	int (*stage)(struct pmio_file *f, uint64_t first, uint32_t nr, uint32_t step); /* may be NULL */
};

struct pmio_file {
	const struct client_ops *ops; /* NULL: the file is in the pool of pm, and everything below is used */
	struct pmio *pm;
	struct pmio_file *prev, *next; /* pm->files */
	char *path;
	uint32_t flags;		/* PMIO_OPEN_*, without CREATE and EXCL */
	uint64_t chunk_size;	/* bytes */
	uint64_t handle;	/* under pm->lock; 0: lost with its agent */
	uint64_t dev, ino;
	_Atomic uint32_t slot;	/* changed under pm->lock: the next agent may give it another */
	_Atomic int broken;	/* error of the last re-open, or 0; changed under pm->lock */

	pthread_mutex_t lock;
	struct pmio_u64map cache; /* of struct cache_entry */
	struct remembered *remembered; /* owned; claim_cache.c; NULL: nothing yet */
	_Atomic uint64_t cache_epoch; /* epoch of the agent that gave these answers; changed under lock */
	_Atomic uint64_t next_read, next_write; /* where a sequential reader or writer would continue; hints, without the lock */
	_Atomic uint64_t size_flushed; /* the file's size, as this handle last made it durable; without the lock */
	uint64_t next_write_chunk;
	uint32_t claim_ahead;	/* chunks; grows while access is sequential */
	_Atomic uint64_t expect_chunk; /* the end of the current request, which comes in parts; see client_expect() */
	int lock_fd;		/* -1: not locked so far */
	int pfs_fd;		/* of the file on the PFS, for as long as it is open here; -1: with ops */
	int direct_fd;		/* under lock; direct.c; -1: pfs_fd suffices, or it was not needed yet */
	bool syncs;		/* O_SYNC: a write is durable when it returns */
	int map_fd[2];		/* map.c: of the pool's `data`, to map for reading, for writing; -1: none */
	uint32_t map_lock;	/* the lock that these have */
	unsigned nr_maps[2];
	atomic_bool pfs_written; /* by this handle, bypassing the pool */
	struct pmio_counts_df counts; /* of this handle; see count() */
};

/*
 * The record of the file's size, and this process's own record, by their current index.
 * With explicit loads: gcc 12 does not accept an atomic as the index of an array.
 */
static inline struct pmio_slot_df *client_slot(const struct pmio_file *f)
{
	return &f->pm->view->slots[atomic_load_explicit(&f->slot, memory_order_acquire)];
}

static inline struct pmio_client_df *client_record(const struct pmio *pm)
{
	return &pm->view->clients[atomic_load_explicit(&pm->client, memory_order_acquire)];
}

/* node_settings.c: settings about other nodes (lib/remote) */
/* do files go to memory nodes alone? */
bool client_wants_memory_nodes(const struct pmio_settings *s);
/* may pieces go to memory nodes if the pool is full? */
bool client_spills(const struct pmio_settings *s);
/* setting `owner`: must other nodes be able to find a file that is open on this node only? */
bool client_wants_mark(const struct pmio_settings *s);

/* fork.c: all connections and their files, which a child of fork() forgets */
void client_add(struct pmio *pm);
void client_remove(struct pmio *pm);
void client_add_file(struct pmio_file *f); /* f->pm->lock held */
void client_remove_file(struct pmio_file *f);
/* in a child that was made by clone(), with a copy of the memory: do what the handler of fork() does in its child */
void client_in_copy(void);

/* connect.c */
int client_connect(const struct pmio_settings *settings, const char *pool, bool attach_only,
		   bool admin, struct pmio **out);
/* one request and its reply; no reconnection.  fd as for pmio_proto_recv */
int client_call(struct pmio *pm, union pmio_any_msg *msg, union pmio_any_msg *reply, int *fd);
/* the same, pm->lock held; send_fd is sent with it, -1: none.  CLIENT_LOST: the agent is gone */
int client_call_with_fd(struct pmio *pm, union pmio_any_msg *msg, int send_fd, union pmio_any_msg *reply, int *fd);
/* pm->lock held: connect to the pool's agent, and start one if there is none; 0, an error, or CLIENT_LOST */
int client_reach(struct pmio *pm, bool admin);
void client_drop_connection(struct pmio *pm);
/* free the connection, and everything except its files */
void client_free(struct pmio *pm);

/* pool.c: disconnect without a message: the agent closes the open files.  *pm may be NULL */
void client_drop(struct pmio **pm);

/*
 * start.c: start the program that serves this pool, with an additional option or NULL; returns when the program has
 * reported that it is ready
 */
int client_start(struct pmio *pm, const char *option);

/* session.c */
/*
 * send a request for a file: the handle is filled in; if the agent is gone, another is
 * started, all files are opened again, and the request is sent again
 */
int client_file_call(struct pmio_file *f, union pmio_any_msg *msg, union pmio_any_msg *reply,
		     int *fd);
/* send a request that does not concern a file; also sent again to another agent; fd is sent with it, -1: none */
int client_pool_call(struct pmio *pm, union pmio_any_msg *msg, int fd, union pmio_any_msg *reply);
/*
 * client_attach -- OPEN, with f->pfs_fd; f is one of pm's files when it returns 0
 *
 * All under one lock, since another thread may notice the agent's end at any time and open all of
 * pm's files again: a handle from the old agent would belong to another file with the next one.
 */
int client_attach(struct pmio_file *f, union pmio_any_msg *msg, union pmio_any_msg *reply);
/* CLOSE; f is not one of pm's files any more, whatever happens */
int client_detach(struct pmio_file *f, union pmio_any_msg *msg, union pmio_any_msg *reply);
/* f's current name on the PFS; PATH_MAX bytes */
void client_present_name(const struct pmio_file *f, char *name);
/*
 * if the agent is not the one that gave out f's handle: reconnect; 0 or an error.  epoch: of the agent that knows the
 * handle now
 */
int client_check_epoch(struct pmio_file *f, uint64_t *epoch);

/* claim_cache.c: the frames of chunks, from an agent's answers; f->lock held, or f not yet known to other threads */
/* 0, PMIO_EPROTO, -ENOMEM */
int client_learn_frame(struct pmio_file *f, uint64_t chunk, int64_t frame);
/* false: the chunk is not in the cache; known may be NULL */
bool client_cache_get(struct pmio_file *f, uint64_t chunk, int64_t *frame, struct client_known *known);
/* add known blocks, if the chunk still has this frame; a hint: done only if f->lock is free */
void client_remember(struct pmio_file *f, uint64_t chunk, int64_t frame, const struct client_known *more);
void client_cache_clear(struct pmio_file *f);
/*
 * Map the pages of a chunk's frame that this handle has not used yet, and of the
 * frames that follow it for the chunks up to last: one call instead of many faults.
 * Takes f->lock.
 */
void client_populate(struct pmio_file *f, uint64_t chunk, int64_t frame, uint64_t last);
/* the same for a writer of small pieces: only the window around this byte of the chunk */
void client_populate_window(struct pmio_file *f, uint64_t chunk, int64_t frame, uint32_t byte);

/* direct.c: access to a chunk that is only on the PFS; 0 or an error, which is logged */
int client_pfs_write(struct pmio_file *f, const uint8_t *buf, size_t len, uint64_t off);
/* bytes that the PFS file does not have are zero: the caller knows that they are within the file's size */
int client_pfs_read(struct pmio_file *f, uint8_t *buf, size_t len, uint64_t off);

/* io.c: is the agent still the one with this epoch? */
bool client_is_agent(const struct pmio_file *f, uint64_t epoch);
/* to be called before any frame is looked up; the work is valid if client_is_agent(*epoch) is still true after it */
int client_begin_try(struct pmio_file *f, uint64_t *epoch);

/*
 * get a frame with all blocks valid; -ENOSPC: there is none, as the pool is full; -ENODATA: none, and the file has no
 * data there
 */
int client_make_resident(struct pmio_file *f, uint64_t chunk, uint64_t needed, bool writable, int64_t *frame);

/* file.c: also used by adio/, with separate settings for each file */
struct client_open {
	uint32_t flags;		/* PMIO_OPEN_* */
	mode_t mode;		/* as given; the umask is applied to it */
	bool quiet;		/* do not log why it failed */
	bool no_wait;		/* if another pool has it fail at once with -EBUSY; else wait briefly, then log which (PMIO_EOTHER) */
	const char *name;	/* for messages; NULL: the path */
	bool is_new;		/* the caller has just made it */
	bool no_follow;		/* O_NOFOLLOW */
	bool by_fd;		/* open the file of fd, a program's own descriptor; path is for messages */
	int fd;
	bool notice;		/* log it if a drain of an earlier program's data has failed */
};
/* the PMIO_OPEN_* that follow from settings */
uint32_t client_settings_flags(const struct pmio_settings *s);
int client_open(struct pmio *pm, const char *path, const struct client_open *how,
		struct pmio_file **out);
/* the file's mode after the process's umask */
mode_t client_apply_umask(mode_t mode);
/* as pmio_readx(), for a file that has at least the given size: missing bytes read as zeros */
ssize_t client_readx(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr, uint64_t size);
/* as pmio_writex(); *raised becomes true if the file became longer in its pool */
ssize_t client_writex(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr, bool *raised);
/*
 * the same if no waiting is needed: by loads and stores, in known frames
 *
 * Otherwise -EAGAIN, also for requests that would fail; some pieces of a write may have been
 * written then, and *raised may be true.
 */
ssize_t client_readx_at_once(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr, uint64_t size);
ssize_t client_writex_at_once(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr, bool *raised);
/*
 * make the file at least *size bytes long; out: its size there.  growers: bits to be set before in the slot of the metadata
 * server of a file of several nodes; 0: none
 */
int client_grow(struct pmio_file *f, uint64_t *size, uint64_t growers);
/* allocate.c: fallocate(); -EOPNOTSUPP: a mode that is not supported */
int client_allocate(struct pmio_file *f, int mode, off_t off, off_t len);
/* the same as client_grow() if no waiting is necessary: stores to the pool and a flush; otherwise false */
bool client_grow_at_once(struct pmio_file *f, uint64_t *size, uint64_t growers);
/* words of a slot */
struct client_growth {
	uint64_t size, growers, cuts;
};
/* growth.c: those of a file at its metadata server */
int client_growth(struct pmio_file *f, struct client_growth *g);
/*
 * raise the size to a value that was read from another slot, after `cuts` was read here; -EAGAIN: truncated since then
 */
int client_raise(struct pmio_file *f, uint64_t size, uint64_t cuts);
/*
 * client_reserve -- extend the file by len bytes, atomically for all processes; append.c
 *
 * settled  other slots have been asked for larger sizes; otherwise -EAGAIN if another slot may have one
 * at       out: where these bytes begin.  They are zeros until they are written
 * Not to be repeated if it fails: it is then unknown whether a file of another node was extended.  Not logged.
 */
int client_reserve(struct pmio_file *f, uint64_t len, bool settled, uint64_t *at);
/*
 * client_stage -- bring in nr chunks of the PFS file, each step-th from first on
 *
 * nr  1..PMIO_STAGE_MAX.  Returns 0 when they are in the pool; -ENOSPC: the pool has no room; not logged
 */
int client_stage(struct pmio_file *f, uint64_t first, uint32_t nr, uint32_t step);
/*
 * client_expect -- a hint: the following writes belong to one request of this many
 * pieces between the bytes first and last (included)
 *
 * If the request is likely to touch all chunks there, they are claimed with one message.
 * client_expect(f, 0, 0, 0) ends it.
 */
void client_expect(struct pmio_file *f, uint64_t first, uint64_t last, uint64_t pieces);

/*
 * client_lock -- lock out all other handles of the file, in any process
 *
 * Waits.  For atomic mode: a lock on the slot's byte of the pool's `data`, held by an
 * open file description, so the kernel releases it if the holder dies.  Not for use by
 * two threads with one handle.
 */
int client_lock(struct pmio_file *f);
void client_unlock(struct pmio_file *f);
/* the same without waiting: -EAGAIN if another handle has the lock; not for files with ops */
int client_try_lock(struct pmio_file *f);
/* frees the file without a message to the agent */
void client_free_file(struct pmio_file *f);
/* remove_rename.c: as pmio_delete(), for one name of the file to which fd refers (O_PATH suffices); not logged */
int client_remove_name(struct pmio *pm, const char *path, int fd);
/* remove_rename.c: pmio_unlinked(), if the file has no more than `most` handles */
int client_unlinked(struct pmio *pm, int fd, uint32_t most);
/* pmio_delete(); quiet: do not log why it failed */
int client_delete(struct pmio *pm, const char *path, bool quiet);
void client_identity(const struct pmio_file *f, uint64_t *dev, uint64_t *ino);

#endif
