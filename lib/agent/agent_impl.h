/*
 * agent_impl.h -- the insides of the agent, shared by its own files only
 *
 * One thread, the loop, owns everything here.  Worker threads get a job and
 * touch nothing but that job, the bytes of frames it names and a descriptor of
 * the PFS; a job's end comes back to the loop through an eventfd.
 */
#ifndef PMIO_AGENT_IMPL_H
#define PMIO_AGENT_IMPL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>
#include <uthash.h>
#include <utlist.h>

#include "agent/agent.h"
#include "core/error.h"
#include "core/log.h"
#include "pool/pool.h"
#include "proto/proto.h"

struct agent;
struct conn;
struct drain;
struct file;

/* ---- workers.c ------------------------------------------------------------ */

/* work for another thread; embedded in what it works on */
struct job {
	void (*run)(struct job *job);			   /* in a worker */
	void (*done)(struct agent *agent, struct job *job); /* in the loop; frees it */
	struct job *next;
};

struct workers;

int workers_new(unsigned nr, struct workers **out);
void workers_delete(struct workers **w); /* waits for jobs that run */
int workers_event_fd(const struct workers *w); /* readable when jobs are done */
void workers_submit(struct workers *w, struct job *job);
/* call done() of all finished jobs */
void workers_reap(struct workers *w, struct agent *agent);

/* ---- files ------------------------------------------------------------------ */

struct chunk {
	uint64_t number;	/* key */
	int64_t frame;		/* or PMIO_CLAIM_PFS */
	bool filling;		/* a fill job is under way */
	UT_hash_handle hh;
};

struct handle {
	uint64_t id;		/* key; unique in the agent's life */
	struct conn *conn;
	struct file *file;
	char *path;		/* owned: the name it was opened by; NULL: the file's path */
	uint32_t flags;		/* PMIO_OPEN_* */
	UT_hash_handle hh;	/* agent->handles */
};

/* a request that waits: its answer is known later, or it must be looked at again later */
struct parked {
	uint64_t conn_id;
	struct parked *prev, *next;
	union pmio_any_msg msg;	/* allocated to the size of the message */
};

struct file_key {
	uint64_t dev, ino;
};

struct file {
	struct file_key key;
	uint32_t slot;
	char *path;		/* owned; absolute */
	int fd;			/* of the PFS file while it is open or drained, else -1 */
	bool fd_writes, fd_reads;
	unsigned nr_handles;
	unsigned nr_writers;
	struct chunk *chunks;	/* hash by number */
	uint64_t nr_pfs_chunks;
	uint64_t pfs_size;	/* bytes that the PFS file has; beyond is zero */

	enum pmio_file_state state;
	int error;		/* of the last drain: errno, else 0 */
	bool hold;		/* drain=hold */
	bool drop_cache;	/* cache=drop */
	bool discard;		/* its last name is gone: forget the data at the last close */
	bool wrote;		/* was open for writing since it was last clean */
	bool recovered;		/* was open when the last agent ended */
	bool busy_on_media;	/* PMIO_FILE_PFS_BUSY is set in the catalog */
	bool foreign;		/* others changed the PFS file while we had it: what is clean may be old */

	/* as last recorded in the catalog */
	struct stat seen;	/* size, mtime, ctime, mode */

	unsigned nr_jobs;	/* fills and drains under way */
	bool draining;
	struct parked *drain_waiters;	   /* answered when the running drain ends */
	struct parked *next_drain_waiters; /* came too late for it: answered by the next */
	struct parked *retries;		   /* looked at again when a job ends */

	/* for `pmio stat`, since the agent started */
	struct drain *drain;		   /* that runs; NULL: none */
	uint64_t drained_bytes, filled_bytes;
	uint64_t drain_bytes, drain_ns;	   /* of the last drain that ended */
	struct pmio_counts_df counts;	   /* of handles that were closed */

	bool in_lru;
	struct file *prev, *next; /* agent->lru: closed and clean, oldest first */
	UT_hash_handle hh;
};

struct conn {
	uint64_t id;		/* key */
	int sock;
	int pid_fd;		/* readable when the process has ended; -1: not to be had */
	uint32_t pid;
	bool greeted;
	bool admin;
	int client;		/* index of its record, -1: none */
	bool dead;		/* to be removed at the end of this turn of the loop */
	UT_hash_handle hh;
};

enum agent_state {
	AGENT_RUNNING,
	AGENT_DRAINING, /* told to go; draining what waits */
	AGENT_LEAVING,
};

struct agent {
	const struct pmio_agent_config *config;
	struct pmio_pool *pool;
	struct pmio_view *view;
	struct workers *workers;
	int epoll_fd, listen_fd, signal_fd;
	int spare_fd;			/* given up for a moment when descriptors run out */
	enum agent_state state;
	bool forced;
	struct parked *shutdown;	/* the request to answer when leaving */
	struct parked *late;		/* opens that came while draining before leaving */
	int shutdown_status;

	struct conn *conns;		/* hash by id */
	struct handle *handles;		/* hash by id */
	struct file *files;		/* hash by key */
	struct file **by_slot;		/* nr_slots pointers */
	struct file *lru;
	uint64_t next_conn, next_handle;
	uint8_t *client_used;		/* a byte a client record */
	struct timespec started, last_busy;
	time_t evict_not_before;	/* CLOCK_MONOTONIC seconds */
	unsigned nr_jobs;
	struct blank {
		struct job job;
		struct pmio_view *view;
		uint64_t frame;
		bool running;
	} blank;			/* see blank.c */

	uint64_t drained_bytes, filled_bytes, fallback_chunks, evicted_chunks;
	unsigned nr_draining;		/* files */
	uint64_t drain_since_ns;	/* CLOCK_MONOTONIC, while nr_draining > 0 */
	uint64_t drain_ns;		/* in which drains ran, before that */
	struct pmio_counts_df counts;	/* of clients that have gone */
};

/* conn.c */
void agent_reply(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int fd);
void agent_reply_status(struct agent *a, struct conn *c, const struct pmio_hdr_msg *req, int status);
struct conn *agent_conn(struct agent *a, uint64_t id); /* NULL: gone */
int conn_accept(struct agent *a);
void conn_readable(struct agent *a, struct conn *c);
void conn_remove(struct agent *a, struct conn *c);
void conn_free(struct conn *c); /* closes the socket; c is in no table any more */
/* what clients have transferred since the agent started, those that are gone included */
void conn_sum_counts(const struct agent *a, struct pmio_counts_df *sum);
void counts_add(struct pmio_counts_df *sum, const struct pmio_counts_df *more);
unsigned conn_count_clients(const struct agent *a); /* those that keep the agent here */

/* parked requests */
struct parked *parked_new(struct conn *c, const union pmio_any_msg *msg);
/* answer all of the list with status, and free it */
void parked_answer(struct agent *a, struct parked **list, int status);
/* answer those that wait for one chunk: FILLs and STAGEs */
void parked_answer_fills(struct agent *a, struct parked **list, uint64_t chunk, int status);
/* hand all of the list to the dispatcher again */
void parked_retry(struct agent *a, struct parked **list);

/* ops.c */
void ops_dispatch(struct agent *a, struct conn *c, const union pmio_any_msg *msg);

/* files.c */
int files_load(struct agent *a); /* from the catalog, at start */
void files_free(struct agent *a);
int files_open(struct agent *a, struct conn *c, const struct pmio_open_msg *m, struct handle **out);
/* a handle is gone; *status: unchanged, or set if the close had to wait (then returns true) */
bool files_close(struct agent *a, struct handle *h, bool discard, struct conn *c,
		 const union pmio_any_msg *msg, int *status);
bool files_frames_may_move(const struct agent *a);
struct file *files_find_path(struct agent *a, const char *path);
int files_delete(struct agent *a, const char *path);
int files_truncate(struct agent *a, struct file *f, uint64_t size);
/* the chunk's place; NULL with *rc: -ENOSPC, -EBUSY (ask again when the drain has ended),
   or 0 and a hole (how without PMIO_CLAIM_WRITE) */
struct chunk *files_claim(struct agent *a, struct file *f, uint64_t number, uint32_t how, bool no_pfs,
			  bool optional, int *rc);
struct chunk *files_chunk(struct file *f, uint64_t number);
/* forget which chunks live on the PFS; nobody may have the file open */
void files_drop_pfs_chunks(struct file *f);
uint64_t files_dirty_bytes(const struct agent *a, const struct file *f, uint64_t *resident);
bool files_any_dirty(const struct agent *a, const struct file *f);
/* nobody has it open and nothing works on it: drain, hold, cache or forget it */
void files_settle(struct agent *a, struct file *f);
/* open the PFS file for writing by its path, for a drain without a handle */
int files_reopen_pfs(struct agent *a, struct file *f);
/* before the agent changes the PFS file: has somebody else done so? */
void files_notice_change(struct file *f);
/*
 * Write what f says into the catalog; refresh: look at the PFS file first.  Only right
 * after a change of our own: what others changed must still be seen at the next open.
 */
int files_record(struct agent *a, struct file *f, bool refresh);

/* blank.c: make another free frame blank, if there is nothing better to do; the loop calls it after events */
void blank_more(struct agent *a);

/* drain.c */
/* start (or queue behind the running one) a drain; waiter may be NULL; 0 or an error (not started) */
int drain_start(struct agent *a, struct file *f, struct parked *waiter);
/* bytes that the drain that runs, if one does, has written so far */
uint64_t drain_written(const struct file *f);
/* nanoseconds in which drains ran since the agent started */
uint64_t drain_busy_ns(const struct agent *a);
/* fill blocks; returns 0: done, -EAGAIN: a writer is busy there, 1: a job was started, retry later */
int fill_start(struct agent *a, struct file *f, struct chunk *ch, unsigned first, unsigned last);

/* stage.c: 0: all chunks are valid; 1: fills run, look again when one has ended; or an error */
int stage_range(struct agent *a, struct file *f, uint64_t first, uint32_t nr);

/* make a chunk valid that lies beyond the PFS file's end: no job is needed for that */
void fill_zeros(struct agent *a, struct file *f, struct chunk *ch);

#endif
