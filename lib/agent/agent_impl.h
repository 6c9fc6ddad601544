/*
 * agent_impl.h -- the insides of the agent, shared by its own files only
 *
 * One thread, the loop, owns everything here.  Worker threads get a job and
 * touch nothing but that job, the frames it names and a descriptor of the PFS; a
 * job's end comes back to the loop through an eventfd.
 *
 * The PFS may hang, so the loop makes no call to it: no open, stat, unlink, not
 * even close.  Between a job's start and its end the loop serves others: what it
 * knew at the start has to be looked up again, except a file that the job holds
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
#include "pfs/pfs.h"
#include "pool/pool.h"
#include "proto/proto.h"

struct agent;
struct call;
struct conn;
struct drain;
struct file;
struct verify;

/* ---- workers.c ------------------------------------------------------------ */

enum job_kind {
	JOB_CALL, /* one call that a client waits for: never waits for other jobs */
	JOB_BULK, /* moves bytes: setting drain_threads of them at a time */
};

/* work for another thread; embedded in what it works on */
struct job {
	void (*run)(struct job *job);			   /* in a worker */
	void (*done)(struct agent *agent, struct job *job); /* in the loop; frees it */
	enum job_kind kind;
	uint64_t dev;		/* JOB_BULK: the device of the PFS file */
	bool paced;		/* JOB_BULK: subject to the drain rate (pace.c) */
	bool goes_on;		/* JOB_BULK: continues a drain that has begun: runs before drains that have not */
	/* the workers' */
	struct job *prev, *next;
	atomic_int_fast64_t alive_ms;
	atomic_bool resting;
};

/* in run(), of JOB_BULK: it gets on; who does not for a while is taken for stuck */
void job_alive(struct job *job);
/* it waits, for a while that it chose itself: others may run in its place */
void job_resting(struct job *job, bool resting);

struct workers;

/* limit: JOB_BULKs at a time */
int workers_new(unsigned limit, struct workers **out);
/*
 * Waits for jobs that run, so long; those that wait are dropped.  Returns false if
 * some still run: they may go on using their jobs for as long as the process lives.
 */
bool workers_delete(struct workers **w, unsigned limit_ms);
int workers_event_fd(const struct workers *w); /* readable when jobs are done */
void workers_submit(struct workers *w, struct job *job);
/* call done() of all finished jobs */
void workers_reap(struct workers *w, struct agent *agent);

/* ---- pace.c ----------------------------------------------------------------- */

struct pace {
	_Atomic uint64_t rate;	/* bytes per second of all drains; 0: no limit */
	atomic_bool paused;
	pthread_mutex_t lock;	/* of the rest */
	double tokens;		/* bytes that may be written now; below 0: owed */
	uint64_t filled_ns;	/* CLOCK_MONOTONIC: up to when the bucket was filled */
};

void pace_init(struct pace *p, uint64_t rate);
void pace_set_rate(struct pace *p, uint64_t rate);
/* bytes to take at a time, at most so many */
size_t pace_bytes(const struct pace *p, size_t most);
/* in a worker: rests until more may be taken, or *stop */
void pace_wait(struct pace *p, struct job *job, const atomic_bool *stop);
/* so many were written */
void pace_charge(struct pace *p, size_t bytes);

/* ---- pfs.c ------------------------------------------------------------------ */

/*
 * pfs_limit_fds -- as many descriptors as the system lets us have; before all else here
 *
 * Each rank and each open file takes one.  Some are kept: one for each drain, which
 * takes it while it ends, and one to refuse clients with.
 */
void pfs_limit_fds(unsigned nr_drains);
bool pfs_fd_is_reserved(int fd);
/* half of them are for programs and what they have open: files that only wait keep no such one */
bool pfs_fd_is_high(int fd);

/* an open PFS file, shared by jobs and the file */
struct pfs_fd {
	struct job job;		/* first; closes it */
	int fd;
	bool writes, reads;	/* what it was opened for */
	unsigned refs;		/* the loop's */
};

struct pfs_fd *pfs_wrap(int fd); /* NULL: no memory, and fd is closed */
/* a descriptor that a client has handed over, or NULL with *rc: of no use, or no memory; fd is closed then */
struct pfs_fd *pfs_adopt(struct agent *a, int fd, int *rc);
/* there are few descriptors left: close some of files that can be opened again by their names; how many are on their way */
unsigned pfs_shrink(struct agent *a);
struct pfs_fd *pfs_get(struct pfs_fd *p);
/* in the loop; clears *p; takes a pointer to NULL.  The last one has a worker close it. */
void pfs_put(struct agent *a, struct pfs_fd **p);
void pfs_close(struct agent *a, int fd); /* the same of a descriptor; -1: none */

/* a file as a worker opens it, without a client that has: by its name, compared with its identity */
struct pfs_look {
	char path[PATH_MAX];	/* in: as it was known; out: where it was found */
	struct pmio_pfs_id id;	/* in */
	struct pfs_fd *pfs;	/* out, owned: NULL if rc < 0 */
	struct stat st;		/* out: of pfs */
	bool nameless;		/* out: its last name has gone; with rc < 0 it does not exist any more */
	int rc;			/* 0, -ENOENT: not found, or of the opening */
};

/* what f is now, for a worker; NULL: no memory */
struct pfs_look *pfs_look_new(const struct file *f);
/* in a worker: opens it for writing, or if that is not allowed for reading */
void pfs_look_run(struct pfs_look *l);
/* in a worker: *held, or if that is NULL what is opened by l; 0 or -errno */
int pfs_look_hold(struct pfs_look *l, struct pfs_fd *held, int *fd);
void pfs_look_delete(struct agent *a, struct pfs_look **l); /* takes a pointer to NULL */

/* ---- files ------------------------------------------------------------------ */

struct chunk {
	uint64_t number;	/* key */
	int64_t frame;		/* or PMIO_CLAIM_PFS */
	bool filling;		/* a fill job is under way */
	unsigned full_looks;	/* early.c: that have found it full, one after the other */
	uint64_t early_in;	/* file->nr_opens when it was drained early; 0: was not */
	UT_hash_handle hh;
};

struct handle {
	uint64_t id;		/* key; unique in the agent's life */
	struct conn *conn;
	struct file *file;
	uint32_t flags;		/* PMIO_OPEN_* */
	UT_hash_handle hh;	/* agent->handles */
};

/* what a request does; fd came along, -1: none; it is taken over */
typedef void request_fn(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int fd);

/* nobody may have the file open, and no job may work on it: what now?  The file may be no more afterwards */
typedef void settle_fn(struct agent *a, struct file *f);

/* a request that waits: its answer is known later, or it must be looked at again later */
struct parked {
	uint64_t conn_id;
	int fd;			/* owned: came with it; -1: none */
	struct parked *prev, *next;
	union pmio_any_msg msg;	/* allocated to the size of the message */
};

struct file_key {
	uint64_t dev, ino;
};

/* ---- file_state.c: the states of a file -------------------------------------- */

/* what happens to a file whose state enum pmio_file_state is (pool/pool.h) */
enum file_event {
	FILE_WRITER_OPENS,
	FILE_DRAIN_WANTED,	/* a program, a command or the recovery asks for a drain of what waits */
	FILE_DRAINED,
	FILE_DRAIN_FAILED,	/* and nobody has it open */
	FILE_SYNC_FAILED,	/* what was drained did not become durable, and a program has it open */
	FILE_IS_HELD,		/* nobody has it open, and what it has is to wait */
	FILE_COMPLETE,		/* nobody has it open, and the PFS file has all of it */
	FILE_NR_EVENTS
};

/* in the pool's catalog it stands when files_record() is called */
void file_event(struct file *f, enum file_event event);

/* its last name goes, or its data are given up */
enum file_removal {
	FILE_STAYS,
	FILE_NAME_LOST,		/* a job has seen that it has no name any more: judged when no job works on it */
	FILE_KEPT_NAMELESS,	/* it has none, and it was held: its data stay until `pmio forget` */
	FILE_BEING_REMOVED,	/* a client is taking its last name: no drain may start */
	FILE_REMOVAL_RESUMED,	/* the agent ends a removal that was cut off: nor may it be opened */
	FILE_REMOVED,		/* its data are forgotten at the last close */
	FILE_GIVEN_UP,		/* the same, but its name stays */
};

/* a job that works on the file so that no drain may start; a drain is in file->drain */
enum file_busy {
	FILE_NOT_BUSY,
	FILE_MARKING,	/* marks.c */
	FILE_CUTTING,	/* calls.c: truncates the PFS file */
	FILE_REMAKING,	/* recover.c: makes anew what a power cut has taken */
};

/* as those who opened it last have asked for it: settings of these names */
struct file_policy {
	bool hold, async;	/* drain=hold, drain=async */
	bool early;		/* drain_early=on */
	bool drop_cache;	/* cache=drop */
	bool verify;		/* verify=drain */
	bool sync_later;	/* drain_sync: a close need not wait for what it drains to be durable */
};

/* file_seen.c: the PFS file, as far as the agent knows it */
struct file_on_pfs {
	uint64_t size;		/* bytes that it has; beyond is zero */
	struct stat seen;	/* as last recorded in the catalog: size, mtime, ctime, mode */
	bool seen_closed;	/* `seen` is from after the last close */
	bool busy;		/* PMIO_FILE_PFS_BUSY is set in the catalog: we are changing it */
	bool cut_pending;	/* PMIO_FILE_CUT is set in the catalog: the next drain cuts it first */
	bool recent;		/* of several nodes: it had just been changed when it was opened: times may not tell the next change */
	bool stale;		/* others changed it while we had it: what is clean here may be old */
	bool changed;		/* others have changed it since it was closed, and nobody has decided what to do */
	bool marked;		/* other pools see on it that data wait here (lib/pfs/guard.c) */
	bool lost_sync;		/* syncs.c: it was unsynced, and the power was cut: it is what it was then, or any time before */
};

struct file {
	struct file_key key;
	int64_t birth_ns;	/* of the inode; 0: not known */
	bool no_inode;		/* its last name has gone: in the catalog it has no inode any more */
	uint32_t slot;
	char *path;		/* owned; absolute: its last known name */
	bool sees_names;	/* what pfs is called here is what it is called where it was opened */
	struct pfs_fd *pfs;	/* while it is open, drained, or data of it wait, if there are descriptors enough */
	bool reopen;		/* a drain failed: open the PFS file anew for the next */
	struct file_on_pfs on_pfs;

	unsigned nr_handles;
	unsigned nr_writers;
	uint64_t nr_opens;	/* times that it was opened after nobody had it open */
	bool wrote;		/* was open for writing since it was last clean */
	bool recovered;		/* was open when the last agent ended */
	bool shared;		/* PMIO_OPEN_SHARED: agents of other nodes write to the PFS file, too */
	bool home;		/* ... and this one sets its size */
	struct file_policy policy;

	struct chunk *chunks;	/* hash by number */
	uint64_t nr_pfs_chunks;

	enum pmio_file_state state;
	enum file_removal removal;
	enum file_busy busy;
	int error;		/* of the last drain: errno, else 0 */
	bool force;		/* the next drain may write over what others have made of the PFS file */
	bool was_held;		/* held, until somebody asked for the drain that is to come */

	/* marks.c */
	bool mark_listed;	/* in agent->to_mark */
	struct file *mark_prev, *mark_next;
	/* syncs.c */
	bool is_new;		/* PMIO_FILE_NEW is set in the catalog */
	bool unsynced;		/* PMIO_FILE_UNSYNCED is set in the catalog */
	bool sync_listed;	/* in agent->unsynced */
	bool syncing;		/* a worker is at it */
	uint64_t sync_change;	/* times that there was something new to be made durable */
	struct pfs_fd *sync_pfs; /* held; NULL: as many are open already */
	struct parked *sync_waiters; /* answered when it is durable */
	struct file *sync_prev, *sync_next;

	unsigned nr_jobs;	/* under way, of any kind */
	struct drain *drain;	/* the running one, or NULL */
	struct parked *drain_waiters;	   /* answered when the running drain ends */
	struct parked *next_drain_waiters; /* came too late for it: answered by the next */
	struct parked *retries;		   /* looked at again when a job ends */

	/* for `pmio stat`, since the agent started */
	uint64_t drained_bytes, filled_bytes;
	uint64_t drain_bytes, drain_ns;	   /* of the last drain that ended */
	struct pmio_counts_df counts;	   /* of handles that were closed */

	bool in_lru;
	struct file *prev, *next; /* agent->lru: closed and clean, oldest first */
	UT_hash_handle hh, hh_ino;
};

/* its data are forgotten at the last close */
static inline bool file_is_removed(const struct file *f)
{
	return f->removal == FILE_REMOVED || f->removal == FILE_GIVEN_UP;
}

/* somebody is taking its last name */
static inline bool file_is_unlinked(const struct file *f)
{
	return f->removal == FILE_BEING_REMOVED || f->removal == FILE_REMOVAL_RESUMED;
}

/* no drain, of the whole file, may start */
static inline bool file_is_busy(const struct file *f)
{
	return f->busy != FILE_NOT_BUSY || file_is_unlinked(f);
}

struct conn {
	uint64_t id;		/* key */
	int sock;
	int pid_fd;		/* readable when the process has ended; -1: not to be had */
	uint32_t pid;
	bool greeted;
	bool admin;
	int client;		/* index of its record, -1: none */
	struct call *removal;	/* it is removing a name: REMOVE was answered; NULL: none */
	bool dead;		/* to be removed at the end of this turn of the loop */
	UT_hash_handle hh;
};

/* file systems that a worker is in just now for a batch: one that hangs keeps no other one waiting */
#define BUSY_DEVS_MAX 8
struct busy_devs {
	uint64_t dev[BUSY_DEVS_MAX];
	unsigned nr;
};

static inline bool busy_devs_take(struct busy_devs *b, uint64_t dev)
{
	for (unsigned i = 0; i < b->nr; i++) {
		if (b->dev[i] == dev)
			return false;
	}
	if (b->nr == BUSY_DEVS_MAX)
		return false;
	b->dev[b->nr++] = dev;
	return true;
}

static inline void busy_devs_leave(struct busy_devs *b, uint64_t dev)
{
	for (unsigned i = 0; i < b->nr; i++) {
		if (b->dev[i] == dev) {
			b->dev[i] = b->dev[--b->nr];
			return;
		}
	}
}

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
	int log_fd;			/* -1: standard error */
	enum agent_state state;
	bool forced;
	uint64_t clients_until_ns;	/* CLOCK_MONOTONIC: AGENT_DRAINING waits so long for clients to go */
	struct parked *shutdown;	/* the request to answer when leaving */
	struct parked *late;		/* opens that came while draining before leaving */
	struct parked *after_removals;	/* OPENs of files that are being removed, until that has ended */
	struct parked *no_fds;		/* requests for which there was no descriptor: until one is closed */
	bool fd_closed;			/* one was, since the loop looked */
	unsigned nr_closing;		/* descriptors */
	int shutdown_status;

	struct conn *conns;		/* hash by id */
	struct handle *handles;		/* hash by id */
	struct file *files;		/* hash by key */
	struct file *by_inode;		/* the same by inode alone: devices change their numbers */
	struct file **by_slot;		/* nr_slots pointers */
	struct file *lru;
	struct pmio_spin spin;		/* before it sleeps */
	request_fn *dispatch;		/* what a request does: ops_dispatch() */
	settle_fn *settle;		/* a file may have to go on: files_settle() */
	uint64_t next_conn, next_handle;
	unsigned nr_early_handles;	/* of writers with drain_early=on */
	uint64_t next_look_ms;		/* early.c, CLOCK_MONOTONIC */
	uint64_t next_survey_ms, next_orphan_ms; /* survey.c, orphan.c; the same */
	bool survey_wanted;		/* there may be files for it */
	bool survey_hurries;		/* somebody waits for what it may find */
	bool surveying;			/* one is under way */
	bool orphaned;			/* the pool's folder was removed */
	struct file *to_mark;		/* files for marks.c */
	uint64_t next_mark_ms;		/* CLOCK_MONOTONIC */
	struct busy_devs marking;
	struct file *unsynced;		/* files for syncs.c */
	unsigned nr_unsynced;
	uint64_t next_sync_ms;		/* CLOCK_MONOTONIC */
	struct busy_devs syncing;
	uint8_t *client_used;		/* a byte a client record */
	struct timespec started, last_busy;
	time_t evict_not_before;	/* CLOCK_MONOTONIC seconds */
	unsigned nr_jobs;
	struct blank {
		struct job job;
		struct pmio_view *view;
		uint64_t frame;
		int rc;
		bool running;
	} blank;			/* see blank.c */
	uint64_t pfs_changes;		/* drains and cuts that have ended: what was seen of the PFS before is old */

	uint64_t drained_bytes, filled_bytes, fallback_chunks, evicted_chunks;
	struct pace pace;		/* of drains */
	unsigned nr_draining;		/* files */
	uint64_t drain_since_ns;	/* CLOCK_MONOTONIC, while nr_draining > 0 */
	uint64_t drain_ns;		/* in which drains ran, before that */
	struct pmio_counts_df counts;	/* of clients that have gone */
};

static inline void counts_add(struct pmio_counts_df *sum, const struct pmio_counts_df *more)
{
	sum->read += more->read;
	sum->missed += more->missed;
	sum->pfs_read += more->pfs_read;
	sum->written += more->written;
	sum->pfs_written += more->pfs_written;
}

/* conn.c */
int conn_accept(struct agent *a);
void conn_readable(struct agent *a, struct conn *c);
void conn_remove(struct agent *a, struct conn *c);
void conn_free(struct conn *c); /* closes the socket; c is in no table any more */

/* reply.c */
void agent_reply(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int fd);
void agent_reply_status(struct agent *a, struct conn *c, const struct pmio_hdr_msg *req, int status);
struct conn *agent_conn(struct agent *a, uint64_t id); /* NULL: gone */
/* what clients have transferred since the agent started, those that are gone included */
void conn_sum_counts(const struct agent *a, struct pmio_counts_df *sum);
unsigned conn_count_clients(const struct agent *a); /* those that keep the agent here */

/* parked requests */
struct parked *parked_new(struct conn *c, const union pmio_any_msg *msg);
/* the same, with a descriptor that came along, which goes with it, or is closed if there is no memory (answered) */
void parked_add(struct agent *a, struct parked **list, struct conn *c, const union pmio_any_msg *msg, int fd);
/* answer all of the list with status, and free it */
void parked_answer(struct agent *a, struct parked **list, int status);
/* answer those that wait for one chunk: FILLs and STAGEs */
void parked_answer_fills(struct agent *a, struct parked **list, uint64_t chunk, int status);
/* hand all of the list to a->dispatch again */
void parked_retry(struct agent *a, struct parked **list);

/* ops.c */
request_fn ops_dispatch;

/* chunks.c: of one file */
struct chunk *files_chunk(struct file *f, uint64_t number); /* NULL: not known */
struct chunk *files_add_chunk(struct file *f, uint64_t number, int64_t frame);
void files_del_chunk(struct agent *a, struct file *f, struct chunk *ch);
void files_del_all_chunks(struct agent *a, struct file *f);
/* forget which chunks live on the PFS; nobody may have the file open */
void files_drop_pfs_chunks(struct file *f);
uint64_t files_dirty_bytes(const struct agent *a, const struct file *f, uint64_t *resident);
bool files_any_dirty(const struct agent *a, const struct file *f);

/* claims.c */
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
/* a new one, in the catalog; -ENFILE, -ENOSPC: there is no room; files_new() makes some */
int files_insert(struct agent *a, const char *path, uint32_t flags, const struct stat *st, int64_t birth_ns, struct file **out);
/* one that the catalog has */
int files_load_entry(struct agent *a, uint32_t slot, const struct pmio_pool_file *e);
/* out of all tables, and freed; its slot in the pool stays as it is, and its frames */
void files_delete(struct agent *a, struct file *f);
/* write what f says into the catalog */
int files_record(struct agent *a, struct file *f);
/* nobody has it open, and it is clean: its frames can be taken, or not any more */
void files_lru_add(struct agent *a, struct file *f);
void files_lru_remove(struct agent *a, struct file *f);
bool files_frames_may_move(const struct agent *a);
/* the same file on a device with another number, as after a new mount; true: adopted */
bool files_adopt_device(struct agent *a, struct file *f, const struct stat *st);
void files_adopt_name(struct agent *a, struct file *f, const char *path);
/* what it is called now, as far as can be said without a call to the file system */
void files_update_name(struct agent *a, struct file *f);
/* its last name has gone: its inode's number may be another's at once.  The caller records it */
void files_lose_inode(struct agent *a, struct file *f);
/* it is this file from now on, which has just been made; the caller records it */
void files_become(struct agent *a, struct file *f, const struct pmio_pfs_id *id, const struct stat *st);
/* keep the one of f's and this that can do more, or is newer if f's is doubtful; takes *pfs over */
void files_adopt_pfs(struct agent *a, struct file *f, struct pfs_fd **pfs);
bool files_pfs_can_as_much(const struct pfs_fd *new, const struct pfs_fd *old);
/* from _begin to _end the file stays; at the end those that waited for it come again */
void files_job_begin(struct agent *a, struct file *f);
void files_job_end(struct agent *a, struct file *f);

/* file_seen.c */
/* what the PFS file is now: right after a change of our own, as what others did must be seen at the next open */
void files_set_seen(struct file *f, const struct stat *st);
/* what is cached of it goes at the next open: others have changed it, as this agent or an earlier one has seen */
static inline bool files_is_stale(const struct file *f)
{
	return f->on_pfs.stale || f->on_pfs.seen.st_ctim.tv_sec == 0; /* see files_set_seen() */
}
/* before the agent changes the PFS file, which is st: has somebody else done so? */
void files_notice_change(struct file *f, const struct stat *st);
/* somebody else has, so that what waits here cannot be written to it any more */
bool files_was_changed(const struct file *f, const struct stat *st);
/* nobody has it open any more: from how it is now on nobody else may change it */
void files_see_closed(struct file *f, const struct stat *st);
/* the same, where it is known how it was at the close; true: it was changed since, which is said */
bool files_look_closed(struct file *f, const struct stat *st);
/* a program that closes it tells how it was then */
void files_see_at_close(struct file *f, const struct pmio_close_msg *m);
bool files_same_content(const struct file *f, const struct stat *st);
bool files_is_later(const struct timespec *a, const struct timespec *b); /* than b */
/* size and times are those that we last saw there */
bool files_same_as_seen(const struct file *f, const struct stat *st);
/* the words for it are the same everywhere; returns PMIO_ECHANGED */
int files_say_changed(const struct file *f);

/* settle.c */
settle_fn files_settle; /* drain, hold, cache or forget it */
bool files_needs_drain(struct agent *a, struct file *f);
/*
 * its last name has gone, and nobody has it open: its data are given up, as those of
 * any file; but what is held stays until somebody gives it up.  f may be no more afterwards
 */
void files_lost_name(struct agent *a, struct file *f);
/* its slot and its frames are free for others; nobody may use it */
void files_forget(struct agent *a, struct file *f);

/* open.c */
/* what is written is drained early */
static inline bool open_is_early(uint32_t flags)
{
	return (flags & PMIO_OPEN_WRITE) && (flags & PMIO_OPEN_EARLY);
}
/* OPEN, with a descriptor, which is taken over; answers */
void files_open(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int fd);

/* close.c */
/* the handle goes; the request, if there is one, is answered: by the last close when it is drained */
void files_close(struct agent *a, struct handle *h, struct conn *c, const union pmio_any_msg *msg);
/* DRAIN; answers */
void files_drain(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg);
/* the same of what the descriptor, which is taken over, is of */
void files_drain_by_fd(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int fd);
/* FORGET; answers */
void files_give_up(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg);
void files_free(struct agent *a); /* all handles and files */

/* recover.c */
int files_load(struct agent *a); /* from the catalog, at start */

/* calls.c: requests that are one call to the PFS; each answers */
/* fd: of what has the name, taken over */
void calls_remove(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int fd);
void calls_removed(struct agent *a, struct conn *c, const union pmio_any_msg *msg);
/* the client has gone in between */
void calls_abandon_removal(struct agent *a, struct conn *c);
/* FORGET: the mark goes, and then what the pool has of it; nobody may have it open */
void calls_forget(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg);
/* its removal was cut off; -ENOMEM */
int calls_end_removal(struct agent *a, struct file *f);
/* no job may work on the file */
void calls_truncate(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg);
void calls_sync(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg);

/* blank.c: make another free frame blank, if there is nothing better to do; the loop calls it after events */
void blank_more(struct agent *a);

/* milliseconds from now until then; 0: it is time */
static inline int agent_until_ms(uint64_t then_ms)
{
	uint64_t now = pmio_now_ms();

	return then_ms > now ? (int)(then_ms - now) : 0;
}

/* survey.c, orphan.c: in the loop, after events */
int survey_wait_ms(const struct agent *a); /* until the next; -1: nothing to do */
void survey_look(struct agent *a);	    /* if it is time */
/* somebody would like to have what it may find */
static inline void survey_soon(struct agent *a)
{
	a->survey_hurries = true;
}
int orphan_wait_ms(const struct agent *a);
void orphan_look(struct agent *a);
void orphan_leave(const struct agent *a); /* all is done */

/* marks.c */
void marks_want(struct agent *a, struct file *f);	/* f is open for writing, or has data that wait */
void marks_want_again(struct agent *a, struct file *f); /* ... and an earlier agent may have made the mark, or not */
void marks_want_none(struct agent *a, struct file *f);	/* it has none */
void marks_drop(struct agent *a, struct file *f);	/* others see to it */
int marks_wait_ms(const struct agent *a);		/* until the next batch; -1: nothing to do */
void marks_look(struct agent *a);			/* if it is time */

/* syncs.c */
#define SYNC_CHUNKS_MAX 4 /* of a file: it is small */
bool syncs_has_room(const struct agent *a);		      /* for one more file */
bool syncs_may_wait(const struct agent *a, const struct file *f); /* ... and with what was drained of f */
/* f was created, or written, and is to be made durable; the caller records it */
void syncs_later(struct agent *a, struct file *f, bool is_new, bool is_written);
void syncs_done(struct agent *a, struct file *f); /* it is durable; the caller records it */
void syncs_drop(struct agent *a, struct file *f); /* it is forgotten */
int syncs_wait_ms(const struct agent *a);	  /* until the next batch; -1: nothing to do */
void syncs_look(struct agent *a);		  /* if it is time */

/* early.c */
int early_wait_ms(const struct agent *a); /* until the next look; -1: nobody wants it */
void early_look(struct agent *a);	   /* if it is time */
#define EARLY_RIPE_LOOKS 2 /* full at so many in a row */
static inline bool early_is_ripe(const struct file *f, const struct chunk *ch)
{
	return ch->full_looks >= EARLY_RIPE_LOOKS && ch->early_in != f->nr_opens;
}

/* drain.c */
/*
 * Start a drain, or have one follow the job that keeps it from starting.  The
 * waiter, which may be NULL, is answered when all is on the PFS that was written
 * before this call, or it is known that it does not get there.
 */
void drain_start(struct agent *a, struct file *f, struct parked *waiter);
/* of the chunks that are ripe (early.c) */
void drain_start_early(struct agent *a, struct file *f);
/* an early drain ends soon: somebody waits for it */
void drain_hurry(struct file *f);
/* the drain that runs, if one does, ends soon, and early: nobody wants it any more */
void drain_end(struct file *f);
/* the same of all files: the agent leaves */
void drain_stop_all(struct agent *a);
/*
 * The drain that runs, and has the file to itself: is what was seen of the PFS file what it has
 * made of it?  *steps: in and out, of drains; what was seen in the same one counts.
 * Returns 0, -EAGAIN (it has gone on since, or is at it: look again) or PMIO_ECHANGED.
 */
int drain_compare(const struct file *f, const struct stat *st, uint64_t *steps);
/* bytes that the drain that runs, if one does, has written so far */
uint64_t drain_written(const struct file *f);
/* nanoseconds in which drains ran since the agent started */
uint64_t drain_busy_ns(const struct agent *a);
/* fill blocks; returns 0: done, -EAGAIN: a writer is busy there, 1: a job was started, retry later */
int fill_start(struct agent *a, struct file *f, struct chunk *ch, const struct pmio_mask *wanted);

/* verify.c: in workers; a drain's parts have one each, if the file is to be verified */
struct verify *verify_new(struct pmio_view *view);
void verify_delete(struct verify **v); /* takes a pointer to NULL */
/* write pieces of frames, which lie one after the other in the file, by copies; 0 or -errno, -EFAULT: of a frame */
int verify_write(struct verify *v, int fd, const struct iovec *iov, int nr, uint64_t off);
/* read back what was written: 0, -EIO (other bytes), -errno; logged.  fd: open for reading too */
int verify_check(struct verify *v, int fd, const char *path, struct job *job);

/* stage.c: 0: all chunks are valid; 1: fills run, look again when one has ended; or an error */
int stage_range(struct agent *a, struct file *f, uint64_t first, uint32_t nr, uint32_t step);

/* make a chunk valid that lies beyond the PFS file's end: no job is needed for that */
void fill_zeros(struct agent *a, struct file *f, struct chunk *ch);

#endif
