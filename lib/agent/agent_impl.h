/*
 * agent_impl.h -- the insides of the agent, shared by its own files only
 *
 * One thread, the loop, owns everything here.  Worker threads get a job and touch
 * nothing but that job, the frames it names and a descriptor of the PFS; the loop
 * learns through an eventfd that a job has ended.
 *
 * The PFS may hang, so the loop makes no call to it: no open, stat, unlink, not
 * even close.  Between a job's start and its end the loop serves other requests: what
 * it knew at the start has to be looked up again, except a file that the job holds
 * (files_job_begin).
 */
#ifndef PMIO_AGENT_IMPL_H
#define PMIO_AGENT_IMPL_H

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <uthash.h>
#include <utlist.h>

#include "agent/agent.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/log.h"
#include "daemon/workers.h"
#include "pfs/pfs.h"
#include "pool/pool.h"
#include "proto/proto.h"

struct agent;
struct pfs_call;
struct conn;
struct drain;
struct file;
struct verify;

/* ---- throttle.c ----------------------------------------------------------------- */

struct throttle {
	_Atomic uint64_t rate;	/* bytes per second of all drains; 0: no limit */
	atomic_bool paused;
	pthread_mutex_t lock;	/* of the rest */
	double tokens;		/* bytes that may be written now; below 0: overdrawn */
	uint64_t filled_ns;	/* CLOCK_MONOTONIC: the time up to which the bucket was filled */
};

void throttle_init(struct throttle *p, uint64_t rate);
void throttle_set_rate(struct throttle *p, uint64_t rate);
/* how many bytes to write at a time: `most` or fewer */
size_t throttle_bytes(const struct throttle *p, size_t most);
/* in a worker: sleeps until more may be written, or *stop is set */
void throttle_wait(struct throttle *p, struct job *job, const atomic_bool *stop);
/* this number of bytes was written */
void throttle_charge(struct throttle *p, size_t bytes);

/* ---- pfs.c ------------------------------------------------------------------ */

/*
 * pfs_limit_fds -- raise the limit of descriptors as far as the system allows; call it
 * before the others
 *
 * Each rank and each open file takes one.  Some are reserved: one for each drain, which
 * needs it while it ends, and one for refusing clients.
 */
void pfs_limit_fds(unsigned nr_drains);
bool pfs_fd_is_reserved(int fd);
/*
 * the upper half of the descriptors is for programs and their open files: a file that only waits for its drain keeps
 * none of these
 */
bool pfs_fd_is_high(int fd);

/* an open PFS file, shared by jobs and the file */
struct pfs_fd {
	struct job job;		/* first; closes it */
	int fd;
	bool writes, reads;	/* the access it was opened for */
	unsigned refs;		/* counted by the loop */
};

struct pfs_fd *pfs_wrap(int fd); /* NULL: out of memory, and fd is closed */
/*
 * a descriptor that a client has passed, or NULL with *rc: not usable, or out of memory; fd is closed then.
 * anew: the file is to be opened anew with it
 */
struct pfs_fd *pfs_adopt(struct agent *a, int fd, bool anew, int *rc);
/* few descriptors are left: close some, of files that can be opened again by name; returns how many closes are under way */
unsigned pfs_shrink(struct agent *a);
struct pfs_fd *pfs_get(struct pfs_fd *p);
/* in the loop; clears *p; *p may be NULL.  When the last reference goes, a worker closes the descriptor. */
void pfs_put(struct agent *a, struct pfs_fd **p);
void pfs_close(struct agent *a, int fd); /* the same for a bare descriptor; -1: none */

/* how a worker opens a file that no client has opened: by its name, and then it compares the identity */
struct pfs_look {
	char path[PATH_MAX];	/* in: the last known name; out: the name it was found under */
	struct pmio_pfs_id id;	/* in */
	struct pfs_fd *pfs;	/* out, owned: NULL if rc < 0 */
	struct stat st;		/* out: of pfs */
	bool nameless;		/* out: its last name was removed; with rc < 0 the file does not exist any more */
	int rc;			/* 0; -ENOENT: not found; or the error of the open */
};

/* f's name and identity now, for a worker; NULL: out of memory */
struct pfs_look *pfs_look_new(const struct file *f);
/* in a worker: opens it for writing or, if that is not permitted, for reading */
void pfs_look_run(struct pfs_look *l);
/* in a worker: the descriptor of held or, if that is NULL, the one that l opens; 0 or -errno */
int pfs_look_hold(struct pfs_look *l, struct pfs_fd *held, int *fd);
void pfs_look_delete(struct agent *a, struct pfs_look **l); /* takes a pointer to NULL */

/* ---- files ------------------------------------------------------------------ */

struct chunk {
	uint64_t number;	/* key */
	int64_t frame;		/* the frame's number, or PMIO_CLAIM_PFS */
	bool filling;		/* a fill job is under way */
	unsigned full_looks;	/* background.c: consecutive looks that found it full */
	uint64_t background_in;	/* file->nr_opens when a background drain took it; 0: none has */
	UT_hash_handle hh;
};

struct handle {
	uint64_t id;		/* key; unique while the agent runs */
	struct conn *conn;
	struct file *file;
	uint32_t flags;		/* PMIO_OPEN_* */
	uint32_t mapped, map_lock; /* maps.c: PMIO_MAP_*; of these mappings */
	UT_hash_handle hh;	/* agent->handles */
};

/* handles a request; fd came with it, -1: none; it is taken over */
typedef void request_fn(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int fd);

/* decides what becomes of a file that no program has open and no job works on; it may free the file */
typedef void idle_fn(struct agent *a, struct file *f);

/*
 * a request that is not answered yet: it is deferred, in a list, until it can be answered or dispatched again; or workers
 * take steps for it (request_step), and then it is the first member of a struct with what they need
 */
struct request {
	struct job job;		/* first; the step that is under way */
	void (*done)(struct agent *a, struct request *r); /* in the loop, after the step */
	struct file *file;	/* held during a step; NULL: none */
	uint64_t conn_id;	/* 0: no client waits for an answer */
	int fd;			/* owned: came with the request; -1: none */
	struct request *prev, *next;
	const union pmio_any_msg *msg; /* a copy, allocated with the request; NULL: the agent's own request */
};

struct file_key {
	uint64_t dev, ino;
};

/* ---- file_state.c: the states of a file -------------------------------------- */

/* events that change a file's state (enum pmio_file_state, pool/pool.h) */
enum file_event {
	FILE_WRITER_OPENS,
	FILE_DRAIN_WANTED,	/* a program, a command or the recovery asks for a drain of the waiting data */
	FILE_DRAINED,
	FILE_DRAIN_FAILED,	/* and no program has it open */
	FILE_SYNC_FAILED,	/* drained data did not become durable, and a program has it open */
	FILE_IS_HELD,		/* no program has it open, and its data are to stay */
	FILE_COMPLETE,		/* no program has it open, and the PFS file has all of its data */
	FILE_NR_EVENTS
};

/* the pool's catalog has the new state once files_update_catalog() is called */
void file_event(struct file *f, enum file_event event);

/* the file's last name is removed, or its data are given up */
enum file_removal {
	FILE_STAYS,
	FILE_NAME_LOST,		/* a job has seen that it has no name any more: decided when no job works on it */
	FILE_KEPT_NAMELESS,	/* it has no name, and it was held: its data stay until `pmio forget` */
	FILE_BEING_REMOVED,	/* a client is taking its last name: no drain may start */
	FILE_REMOVAL_RESUMED,	/* the agent completes a removal that was cut off: no drain, and no open either */
	FILE_REMOVED,		/* its data are forgotten at the last close */
	FILE_GIVEN_UP,		/* the same, but its name stays */
};

/* the job that works on the file and keeps a drain from starting; a drain itself is in file->drain */
enum file_busy {
	FILE_NOT_BUSY,
	FILE_MARKING,	/* marks.c */
	FILE_CUTTING,	/* calls.c: it truncates the PFS file */
	FILE_REMAKING,	/* recover.c: it creates a file again that a power cut has taken */
};

/* as the last opens have asked for it: the settings of these names */
struct file_policy {
	bool hold, async;	/* drain=hold, drain=async */
	bool background;	/* drain_early=on */
	bool drop_cache;	/* cache=drop */
	bool verify;		/* verify=drain */
	bool sync_later;	/* drain_sync: a close need not wait until the data it drains are durable */
};

/* file_seen.c: the PFS file, as far as the agent knows it */
struct file_on_pfs {
	uint64_t size;		/* size in bytes; anything beyond is zero */
	struct stat seen;	/* as last recorded in the catalog: size, mtime, ctime and mode */
	bool seen_closed;	/* `seen` was taken after the last close */
	bool busy;		/* PMIO_FILE_PFS_BUSY is set in the catalog: we are changing it */
	bool cut_pending;	/* PMIO_FILE_CUT is set in the catalog: the next drain first truncates it */
	bool recent;		/* open on several nodes, and just modified: times may not tell the next change */
	bool stale;		/* others changed it while it was open here: clean blocks may be out of date */
	bool changed;		/* others have changed it since it was closed, and no user has decided yet what to do */
	bool marked;		/* it has the mark that tells other pools that data wait here (lib/pfs/exclusion.c) */
	bool lost_sync;		/* syncs.c: it was unsynced at a power cut: it is as it was then, or at any time before */
};

/* a file in a list of batch.h */
struct batch_entry {
	bool listed;
	struct file *file;
	struct batch_entry *prev, *next;
};

struct file {
	struct file_key key;
	int64_t birth_ns;	/* birth time of the inode; 0: not known */
	bool no_inode;		/* its last name was removed: in the catalog it has no inode any more */
	uint32_t slot;
	char *path;		/* owned; absolute: its last known name */
	bool sees_names;	/* the name of pfs is the same here as where it was opened */
	bool seen_nameless;	/* by the last survey */
	struct pfs_fd *pfs;	/* while it is open or drained, or its data wait and there are enough descriptors */
	bool reopen;		/* a drain failed: open the PFS file again for the next one */
	struct file_on_pfs on_pfs;

	unsigned nr_handles;
	unsigned nr_writers;
	unsigned nr_mapped;	/* of the writers: those that have frames mapped, whose blocks stay dirty: maps.c */
	bool ghost, ghost_writes; /* one of the handles is a mapping without one, and one of the writers */
	uint64_t nr_opens;	/* number of opens that found it closed */
	bool wrote;		/* it was open for writing since it was last clean */
	int64_t written_ns;	/* real time of the last close of a handle that had written; 0: none since the agent started */
	bool recovered;		/* it was open when the last agent ended */
	bool shared;		/* PMIO_OPEN_SHARED: agents of other nodes also write to the PFS file */
	bool sets_size;	/* ... and this agent sets its size there */
	struct file_policy policy;

	struct chunk *chunks;	/* hash by number */
	uint64_t nr_pfs_chunks;
	bool packed;		/* pack.c: its bytes are in a frame that others share, and it has no chunks */
	bool may_pack;		/* in agent->may_pack */
	struct file *pack_prev, *pack_next;

	enum pmio_file_state state;
	enum file_removal removal;
	enum file_busy busy;
	int error;		/* errno of the last drain, or 0 */
	bool force;		/* the next drain may overwrite the changes that others made to the PFS file */
	bool was_held;		/* it was held until the drain that is to come was asked for */

	/* marks.c */
	struct batch_entry mark; /* in agent->marks: it is to get a mark, or to lose it */
	struct request *mark_waiters; /* answered when it has no mark */
	/* syncs.c */
	bool is_new;		/* PMIO_FILE_NEW is set in the catalog */
	bool unsynced;		/* PMIO_FILE_UNSYNCED is set in the catalog */
	struct batch_entry sync; /* in agent->syncs: it is to be made durable */
	bool syncing;		/* a worker is making it durable */
	uint64_t sync_change;	/* counts the times that there was something new to make durable */
	struct pfs_fd *sync_pfs; /* held; NULL: too many are open already */
	struct request *sync_waiters; /* answered when the file is durable */

	unsigned nr_jobs;	/* under way, of any kind */
	struct drain *drain;	/* the running one, or NULL */
	struct request *drain_waiters;	   /* answered when the running drain ends */
	struct request *next_drain_waiters; /* came too late for the running drain: answered by the next one */
	struct request *deferred;		   /* dispatched again when a job ends */

	/* for `pmio stat`, since the agent started */
	uint64_t drained_bytes, filled_bytes;
	uint64_t drain_bytes, drain_ns;	   /* of the last drain that ended */
	struct pmio_counts_df counts;	   /* of closed handles */

	bool in_lru;
	struct file *prev, *next; /* agent->lru: closed and clean, oldest first */
	UT_hash_handle hh, hh_ino;
};

/* its data are forgotten at the last close */
static inline bool file_is_removed(const struct file *f)
{
	return f->removal == FILE_REMOVED || f->removal == FILE_GIVEN_UP;
}

/* it has no name any more, or its data are forgotten: nothing of it goes to the PFS once it is closed */
static inline bool file_is_gone(const struct file *f)
{
	return f->no_inode || file_is_removed(f);
}

/* its last name is being removed */
static inline bool file_is_unlinked(const struct file *f)
{
	return f->removal == FILE_BEING_REMOVED || f->removal == FILE_REMOVAL_RESUMED;
}

/* no drain of the whole file may start */
static inline bool file_is_busy(const struct file *f)
{
	return f->busy != FILE_NOT_BUSY || file_is_unlinked(f);
}

struct conn {
	uint64_t id;		/* key */
	int sock;
	int pid_fd;		/* readable when the process has ended; -1: not available */
	uint32_t pid;
	bool greeted;
	bool admin;
	int client;		/* index of its record, -1: none */
	struct pfs_call *removal;	/* the client is removing a name: REMOVE was answered; NULL: it is not */
	bool dead;		/* to be freed at the end of this turn of the loop */
	UT_hash_handle hh;
};

/* batch.h: one kind of work for many files; its entries are in the files */
#define BUSY_DEVS_MAX 8
struct batches {
	struct batch_entry *list; /* files that wait for their turn, or whose work is not done */
	unsigned nr;
	uint64_t next_ms;	/* CLOCK_MONOTONIC */
	struct busy_devs {	/* file systems that have a batch under way */
		uint64_t dev[BUSY_DEVS_MAX];
		unsigned nr;
	} busy;
};

enum agent_state {
	AGENT_RUNNING,
	AGENT_DRAINING, /* told to leave; it drains what waits */
	AGENT_LEAVING,
};

/* things of one kind that are under way, and the time in which any was */
struct busy {
	unsigned nr;
	uint64_t since_ns; /* CLOCK_MONOTONIC, while nr > 0 */
	uint64_t ns;	   /* before since_ns */
};

struct agent {
	const struct pmio_agent_config *config;
	struct pmio_pool *pool;
	struct pmio_view *view;
	struct workers *workers;
	int epoll_fd, listen_fd, signal_fd;
	int log_fd;			/* -1: standard error */
	enum agent_state state;
	bool forced;
	uint64_t clients_until_ns;	/* CLOCK_MONOTONIC: AGENT_DRAINING waits until then for clients to leave */
	struct request *shutdown;	/* the request to answer when leaving */
	struct request *late;		/* opens that came while the agent drains before it leaves */
	struct request *after_removals;	/* OPENs of files that are being removed, until the removal has ended */
	struct request *no_fds;		/* requests that found no free descriptor, until one is closed */
	bool fd_closed;			/* one was closed since the loop last looked */
	unsigned nr_closing;		/* descriptors */
	int shutdown_status;

	struct conn *conns;		/* hash by id */
	struct handle *handles;		/* hash by id */
	struct file *files;		/* hash by key */
	struct file *by_inode;		/* the same by inode alone, as device numbers change */
	struct file **by_slot;		/* nr_slots pointers */
	struct file *may_pack;		/* pack.c: oldest first */
	struct file *lru;
	struct pmio_spin spin;		/* busy polling before the loop sleeps */
	request_fn *dispatch;		/* handles a request: ops_dispatch() */
	idle_fn *idle;		/* a file may have to change its state: files_idle() */
	uint64_t next_conn, next_handle;
	unsigned nr_background_handles; /* of writers with drain_early=on */
	uint64_t next_look_ms;		/* background.c, CLOCK_MONOTONIC */
	uint64_t next_survey_ms, next_orphan_ms; /* survey.c, orphan.c; the same */
	bool survey_wanted;		/* there may be files for it */
	bool survey_hurries;		/* a request waits for what it may find */
	bool surveying;			/* a survey is under way */
	bool orphaned;			/* the pool's folder was removed */
	unsigned nr_ghosts;		/* files for maps.c */
	uint64_t next_maps_ms;		/* CLOCK_MONOTONIC */
	struct batches marks, syncs;	/* marks.c, syncs.c */
	uint8_t *client_used;		/* one byte per client record */
	uint64_t started_ms, last_busy_ms; /* pmio_now_ms(); so is the next */
	uint64_t evict_not_before_ms;
	unsigned nr_jobs;
	struct zero_reserve {
		struct job job;
		struct pmio_view *view;
		uint64_t frame;
		int rc;
		bool running;
	} zero_reserve;			/* see zero_reserve.c */
	uint64_t pfs_changes;		/* number of ended drains and truncations: older looks at the PFS are out of date */

	uint64_t drained_bytes, filled_bytes, fallback_chunks, evicted_chunks;
	struct throttle throttle;		/* of drains */
	struct busy draining;		/* files */
	struct busy filling;		/* jobs that read from the PFS */
	struct pmio_counts_df counts;	/* of clients that have gone */
};

static inline uint64_t busy_ns(const struct busy *b)
{
	return b->ns + (b->nr ? pmio_now_ns() - b->since_ns : 0);
}

static inline void busy_begin(struct busy *b)
{
	if (b->nr++ == 0)
		b->since_ns = pmio_now_ns();
}

static inline void busy_end(struct busy *b)
{
	b->ns = busy_ns(b);
	b->since_ns = pmio_now_ns();
	b->nr--;
}

static inline void counts_add(struct pmio_counts_df *sum, const struct pmio_counts_df *more)
{
	sum->read += more->read;
	sum->missed += more->missed;
	sum->pfs_read += more->pfs_read;
	sum->written += more->written;
	sum->pfs_written += more->pfs_written;
}

/* conn.c */
#define ID_LISTEN 0 /* of its event; connections count from 1 */
int conn_listen(struct agent *a); /* also anew, if the socket's name was removed */
int conn_accept(struct agent *a);
void conn_readable(struct agent *a, struct conn *c);
void conn_remove(struct agent *a, struct conn *c);
void conn_free(struct conn *c); /* closes the socket; c is in no table any more */

/* reply.c */
void agent_reply(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int fd);
void agent_reply_status(struct agent *a, struct conn *c, const struct pmio_hdr_msg *req, int status);
struct conn *agent_conn(struct agent *a, uint64_t id); /* NULL: gone */
/* what clients have transferred since the agent started, including those that have left */
void conn_sum_counts(const struct agent *a, struct pmio_counts_df *sum);
unsigned conn_count_clients(const struct agent *a); /* those that keep the agent here */

/* request.c */
/*
 * size: that of the struct which the request is the first member of; the rest of it is 0.  Without c and msg the agent
 * itself asks.  NULL: out of memory, and c was told so
 */
void *request_new(struct agent *a, struct conn *c, const union pmio_any_msg *msg, size_t size);
/* answer, if the client is still there, and free it */
void request_finish(struct agent *a, struct request *r, int status);
void request_free(struct agent *a, struct request *r); /* it was answered, or is not to be */
/* a new request, deferred; fd came with it, -1: none; it is taken over */
void request_defer(struct agent *a, struct request **list, struct conn *c, const union pmio_any_msg *msg, int fd);
/* all of a list, which is empty then */
void requests_finish(struct agent *a, struct request **list, int status);
/* those that wait for one chunk: FILLs and STAGEs */
void requests_finish_fills(struct agent *a, struct request **list, uint64_t chunk, int status);
/* dispatch all of a list again */
void requests_retry(struct agent *a, struct request **list);

/* jobs.c */
/* from _begin to _end the file stays; _end dispatches the requests again that waited for it */
void files_job_begin(struct agent *a, struct file *f);
void files_job_end(struct agent *a, struct file *f);
/* a worker calls run(), which must not wait for other jobs, and then the loop done(), which may start another step */
void request_step(struct agent *a, struct request *r, void (*run)(struct job *job),
		  void (*done)(struct agent *a, struct request *r));

/* ops.c */
request_fn ops_dispatch;

/* chunks.c: of one file */
struct chunk *files_chunk(struct file *f, uint64_t number); /* NULL: not known */
struct chunk *files_add_chunk(struct file *f, uint64_t number, int64_t frame);
void files_del_chunk(struct agent *a, struct file *f, struct chunk *ch);
void files_del_all_chunks(struct agent *a, struct file *f);
/* forget which chunks are on the PFS only; no program may have the file open */
void files_drop_pfs_chunks(struct file *f);
uint64_t files_dirty_bytes(const struct agent *a, const struct file *f, uint64_t *resident);
bool files_any_dirty(const struct agent *a, const struct file *f);

/* of a packed file (pack.c).  p: out, its blocks; false: it is not packed */
bool files_packed_blocks(const struct agent *a, const struct file *f, struct pmio_packed *p);
/* what the pool has of it is on the PFS, or is not wanted */
void files_packed_drop(struct agent *a, struct file *f);

/* pack.c */
void pack_note(struct agent *a, struct file *f); /* no program has it open, and its data wait: it may be packed when frames are short */
bool pack_more(struct agent *a); /* pack files until one more frame is free; false: no file can be packed */

/* unpack.c: a program is to open f, which is packed; 0; UNPACK_WHEN_IDLE: again when the job on it has ended; or an error, logged */
#define UNPACK_WHEN_IDLE 1
int unpack_to_open(struct agent *a, struct file *f);

/* claims.c */
/* make a frame free, if files that no program has open can do with fewer */
bool claims_make_room(struct agent *a);
/* the chunk's place; NULL with *rc: -ENOSPC, -EBUSY (ask again when a job has ended),
   or 0 and a hole (how without PMIO_CLAIM_WRITE) */
struct chunk *files_claim(struct agent *a, struct file *f, uint64_t number, uint32_t how, bool no_pfs,
			  bool optional, int *rc);

/* file.c: the table */
static inline struct pmio_pfs_id files_id(const struct file *f)
{
	return (struct pmio_pfs_id){ f->key.dev, f->key.ino, f->birth_ns };
}
struct file *files_find(struct agent *a, const struct pmio_pfs_id *id); /* NULL: not known */
/* add a new file, also to the catalog; -ENFILE, -ENOSPC: there is no room; files_new() makes room */
int files_insert(struct agent *a, const char *path, uint32_t flags, const struct stat *st, int64_t birth_ns, struct file **out);
/* add a file that is in the catalog */
int files_load_entry(struct agent *a, uint32_t slot, const struct pmio_pool_file *e);
/* remove it from all tables and free it; its slot in the pool and its frames stay as they are */
void files_delete(struct agent *a, struct file *f);
/* write f's state into the catalog */
int files_update_catalog(struct agent *a, struct file *f);
/* add: no program has it open, and it is clean, so its frames can be evicted; remove: that is over */
void files_lru_add(struct agent *a, struct file *f);
void files_lru_remove(struct agent *a, struct file *f);
/* the same for those that may be packed: pack_note() */
void files_pack_add(struct agent *a, struct file *f);
void files_pack_remove(struct agent *a, struct file *f);
bool files_frames_may_move(const struct agent *a);
/* is it the same file with another device number, as after a new mount?  true: the number was adopted */
bool files_adopt_device(struct agent *a, struct file *f, const struct stat *st);
void files_adopt_name(struct agent *a, struct file *f, const char *path);
/* find out its name now, as far as possible without a call to the file system */
void files_update_name(struct agent *a, struct file *f);
/* its last name was removed: another file may get its inode number at once.  The caller records it */
void files_lose_inode(struct agent *a, struct file *f);
/* from now on f is this file, which was just created; the caller records it */
void files_become(struct agent *a, struct file *f, const struct pmio_pfs_id *id, const struct stat *st);
/* of f's descriptor and this one keep the one that permits more or, if f's is doubtful, the newer; takes *pfs over */
void files_adopt_pfs(struct agent *a, struct file *f, struct pfs_fd **pfs);
bool files_pfs_can_as_much(const struct pfs_fd *new, const struct pfs_fd *old);

/* file_seen.c */
/*
 * record what the PFS file is now; only right after a change of our own, as changes by others must be seen at the next
 * open
 */
void files_set_seen(struct file *f, const struct stat *st);
/* the next open drops what is cached of it: this agent or an earlier one has seen that others have changed it */
static inline bool files_is_stale(const struct file *f)
{
	return f->on_pfs.stale || f->on_pfs.seen.st_ctim.tv_sec == 0; /* see files_set_seen() */
}
/* called before the agent changes the PFS file, which is st now: has another process changed it? */
void files_notice_change(struct file *f, const struct stat *st);
/* another process has changed it in such a way that the data that wait here cannot be written to it any more */
bool files_was_emptied(const struct file *f, const struct stat *st); /* truncated to nothing since it was last seen */
bool files_was_changed(const struct file *f, const struct stat *st);
/* it was closed by all: from this state (st) on no other process may change it */
void files_see_closed(struct file *f, const struct stat *st);
/* the same where its state at the close is known; true: it was changed since, and that was logged */
bool files_look_closed(struct file *f, const struct stat *st);
/* a program that closes it reports its state at that moment */
void files_see_at_close(struct file *f, const struct pmio_close_msg *m);
bool files_same_content(const struct file *f, const struct stat *st);
bool files_is_later(const struct timespec *a, const struct timespec *b); /* is a later than b? */
/* its size and times are those that were last seen */
bool files_same_as_seen(const struct file *f, const struct stat *st);
/* logs that it was changed, with the same words everywhere; returns PMIO_ECHANGED */
int files_say_changed(const struct file *f);

/* idle.c */
idle_fn files_idle; /* drain, hold, cache or forget it */
bool files_needs_drain(struct agent *a, struct file *f);
/*
 * its last name was removed, and no program has it open: its data are given up, as those of any
 * file; but held data stay until a user gives them up.  It may free f
 */
void files_lost_name(struct agent *a, struct file *f);
/* what waits for it does not belong to what the PFS file is now, which becomes another file here; no jobs.  f may be freed */
void files_set_aside(struct agent *a, struct file *f);
/* makes its slot and its frames free for other files; nobody may use it */
void files_forget(struct agent *a, struct file *f);

/* open.c */
/* are written data drained while the file is open? */
static inline bool open_drains_in_background(uint32_t flags)
{
	return (flags & PMIO_OPEN_WRITE) && (flags & PMIO_OPEN_EARLY);
}
/* OPEN with a descriptor, which is taken over; answers */
void files_open(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int fd);

/* close.c */
/* frees the handle; answers the request, if there is one: that of the last close when the file is drained */
void files_close(struct agent *a, struct handle *h, struct conn *c, const union pmio_any_msg *msg);
/* DRAIN; answers */
void files_drain(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg);
/* the same for the file of a descriptor, which is taken over */
void files_drain_by_fd(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int fd);
/* FORGET; answers */
void files_give_up(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg);
void files_free(struct agent *a); /* all handles and files */

/* recover.c */
int files_load(struct agent *a); /* from the catalog, at start */

/* calls.c: requests that are one call to the PFS; each answers */
/* fd: a descriptor of the file that has the name; taken over */
void calls_remove(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int fd);
void calls_removed(struct agent *a, struct conn *c, const union pmio_any_msg *msg);
/* the client has left before the removal ended */
void calls_abandon_removal(struct agent *a, struct conn *c);
/* FORGET: removes the mark, and then what the pool has of the file; no program may have it open */
void calls_forget(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg);
/* complete a removal that was cut off; -ENOMEM */
int calls_end_removal(struct agent *a, struct file *f);
/* RAISE: in the loop, so that no truncation comes between the look at cuts and the new size */
void calls_raise(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg);
/* no job may work on the file */
void calls_truncate(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg);
void calls_sync(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg);

/* zero_reserve.c: zero another free frame, if there is nothing else to do; the loop calls it after events */
void zero_reserve_more(struct agent *a);

/* milliseconds from now until then_ms; 0: it is time */
static inline int agent_until_ms(uint64_t then_ms)
{
	uint64_t now = pmio_now_ms();

	return then_ms > now ? (int)(then_ms - now) : 0;
}

/* survey.c, orphan.c: in the loop, after events */
int survey_wait_ms(const struct agent *a); /* until the next survey; -1: nothing to do */
void survey_look(struct agent *a);	    /* if it is time */
/* a request could use what it may find */
static inline void survey_soon(struct agent *a)
{
	a->survey_hurries = true;
}
int orphan_wait_ms(const struct agent *a);
void orphan_look(struct agent *a);
void orphan_leave(const struct agent *a); /* everything is drained */

/* marks.c */
void marks_want(struct agent *a, struct file *f);	/* f is open for writing, or has data that wait */
void marks_want_again(struct agent *a, struct file *f); /* ... and an earlier agent may or may not have made the mark */
/* it has no data that wait, or is in use on several nodes; at once if requests wait for it, and then as a job */
void marks_want_none(struct agent *a, struct file *f);
/* answer the request when the file has no mark; files_idle(), which is to follow, has it removed.  false: nothing to wait for */
bool marks_defer(struct agent *a, struct file *f, struct conn *c, const union pmio_any_msg *msg);
void marks_drop(struct agent *a, struct file *f);	/* something else sees to its mark */
int marks_wait_ms(const struct agent *a);		/* until the next batch; -1: nothing to do */
void marks_look(struct agent *a);			/* if it is time */

/* maps.c: frames that programs have mapped */
void maps_opened(struct handle *h, uint32_t lock); /* a new handle: with another agent it had mappings */
void maps_leave(struct agent *a, struct handle *h); /* it has none any more; or the handle goes */
void maps_change(struct agent *a, struct handle *h, const struct pmio_map_msg *m);
void maps_load(struct agent *a, struct file *f); /* of an earlier agent: may there still be mappings? */
int maps_wait_ms(const struct agent *a);	  /* until the next look; -1: nothing to do */
void maps_look(struct agent *a);		  /* if it is time */

/* syncs.c */
#define DRAIN_DEPTH 16 /* drains and fills under way for each of drain_threads, if they mostly wait for the file system */
#define SYNC_CHUNKS_MAX 4 /* of a small file */
bool syncs_has_room(const struct agent *a);		      /* is there room for one more file? */
bool syncs_may_wait(const struct agent *a, const struct file *f); /* ... and for what was drained of f? */
/* f was created or written, and is to be made durable later; the caller records it */
void syncs_later(struct agent *a, struct file *f, bool is_new, bool is_written);
void syncs_done(struct agent *a, struct file *f); /* it is durable; the caller records it */
void syncs_drop(struct agent *a, struct file *f); /* the file is forgotten */
int syncs_wait_ms(const struct agent *a);	  /* until the next batch; -1: nothing to do */
void syncs_look(struct agent *a);		  /* if it is time */

/* background.c */
int background_wait_ms(const struct agent *a); /* until the next look; -1: no file needs it */
void background_look(struct agent *a);	   /* if it is time */
#define RIPE_LOOKS 2 /* a chunk that is full at this number of looks in a row is ripe */
static inline bool background_is_ripe(const struct file *f, const struct chunk *ch)
{
	return ch->full_looks >= RIPE_LOOKS && ch->background_in != f->nr_opens;
}

/* drain.c */
/*
 * Start a drain, or have one follow the job that keeps it from starting.  The waiter,
 * which may be NULL, is answered when everything written before this call is on the
 * PFS, or is known not to get there.
 */
void drain_start(struct agent *a, struct file *f, struct request *waiter);
/* start a drain of the chunks that are ripe (background.c) */
void drain_start_background(struct agent *a, struct file *f);
/* end a background drain soon: a request waits for its end */
void drain_hurry(struct file *f);
/* end the running drain, if there is one, early: it is not wanted any more */
void drain_end(struct file *f);
/* the same for all files: the agent leaves */
void drain_stop_all(struct agent *a);
/*
 * Of a running drain that has the file to itself: is the PFS file, as it was seen, what the
 * drain has made of it?  *steps, in and out, counts the steps of drains; only a look within one
 * step counts.
 * Returns 0, -EAGAIN (the drain has gone on since, or is in a step: look again) or PMIO_ECHANGED.
 */
int drain_compare(const struct file *f, const struct stat *st, uint64_t *steps);
/* bytes that the running drain, if there is one, has written so far */
uint64_t drain_written(const struct file *f);
/* fill blocks; returns 0: done; -EAGAIN: a writer is writing them; 1: a job was started, retry later */
int fill_start(struct agent *a, struct file *f, struct chunk *ch, const struct pmio_mask *wanted);

/* verify.c: in workers; each part of a drain has one if the file is to be verified */
struct verify *verify_new(struct pmio_view *view);
void verify_delete(struct verify **v); /* takes a pointer to NULL */
/* write pieces of frames, consecutive in the file, from copies; 0 or -errno; -EFAULT: a frame cannot be read */
int verify_write(struct verify *v, int fd, const struct iovec *iov, int nr, uint64_t off);
/* read back what was written: 0, -EIO (it differs) or -errno; logged.  fd: open for reading too */
int verify_check(struct verify *v, int fd, const char *path, struct job *job);

/* stage.c: 0: all chunks are valid; 1: fills run, look again when one has ended; or an error */
int stage_range(struct agent *a, struct file *f, uint64_t first, uint32_t nr, uint32_t step);

/* make a chunk valid that lies beyond the PFS file's end, which needs no job */
void fill_zeros(struct agent *a, struct file *f, struct chunk *ch);

#endif
