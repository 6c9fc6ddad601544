/*
 * file.h -- a file that the agent knows: its state, and the table of all
 */
#ifndef PMIO_AGENT_FILE_H
#define PMIO_AGENT_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <uthash.h>

#include "agent/pfs_fd.h"
#include "pfs/pfs.h"
#include "pool/pool.h"
#include "proto/proto.h"

struct agent;
struct conn;
struct drain;
struct request;

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
	uint32_t mapped, map_lock; /* mappings.c: PMIO_MAP_*; of these mappings */
	UT_hash_handle hh;	/* agent->handles */
};

/* decides what becomes of a file that no program has open and no job works on; it may free the file */
typedef void idle_fn(struct agent *a, struct file *f);

/* background.c: a chunk that is full at this number of looks in a row is ripe for a drain */
#define RIPE_LOOKS 2

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

enum file_removal_event {
	FILE_REMOVAL_BEGINS,	/* a client is about to remove its last name */
	FILE_REMOVAL_DONE,	/* by the client, or by the agent after a crash */
	FILE_REMOVAL_FAILED,	/* ... or it was cancelled: the name is still there */
	FILE_FOUND_NAMELESS,	/* by a drain */
	FILE_KEPT,		/* it has no name any more, and its data stay */
	FILE_DROPPED,		/* it has no name any more, and its data go with it */
	FILE_FORGOTTEN,		/* `pmio forget`; or it has no name, and no program can ask for its data any more */
	FILE_NR_REMOVAL_EVENTS
};

/* files_load_entry() has the first state of a file that is in the catalog.  The caller records the new one */
void file_removal_event(struct file *f, enum file_removal_event event);

/* the job that works on the file and keeps a drain from starting; a drain itself is in file->drain */
enum file_busy {
	FILE_NOT_BUSY,
	FILE_MARKING,		/* marks.c */
	FILE_TRUNCATING,	/* calls.c: it truncates the PFS file */
	FILE_RECREATING,	/* recover.c: it creates a file again that a power cut has taken */
};

enum file_busy_event {
	FILE_MARK_BEGINS,
	FILE_MARK_ENDS,
	FILE_TRUNCATION_BEGINS,
	FILE_TRUNCATION_ENDS,
	FILE_RECREATION_BEGINS,
	FILE_RECREATION_ENDS,
	FILE_NR_BUSY_EVENTS
};

void file_busy_event(struct file *f, enum file_busy_event event);

/* are its data to stay in the pool after the last close?  enum pmio_file_state says whether they do */
enum file_hold {
	FILE_NO_HOLD,
	FILE_ON_HOLD,		/* drain=hold; or the setting `recover`, or it has no name any more */
	FILE_HOLD_RELEASED,	/* a drain was asked for, and none has succeeded yet */
};

enum file_hold_event {
	FILE_HOLD_BEGINS,
	FILE_HOLD_ENDS,
	FILE_RELEASE_WANTED,	/* by a command, or for a program that opens it */
	FILE_RELEASE_DONE,	/* a drain has succeeded, also one of a file that is open */
	FILE_NR_HOLD_EVENTS
};

void file_hold_event(struct file *f, enum file_hold_event event);

/* do agents of other nodes also write to the PFS file?  The opens say so, all that are in use at a time the same */
enum file_sharing {
	FILE_OF_ONE_NODE,
	FILE_SHARED,		/* they do: PMIO_OPEN_SHARED */
	FILE_SHARED_SETS_SIZE,	/* ... and this agent sets its size there: PMIO_OPEN_MDS */
};

enum file_sharing_event {
	FILE_OPENED_ALONE,
	FILE_OPENED_SHARED,
	FILE_OPENED_AT_MDS,
	FILE_NR_SHARING_EVENTS
};

/* the caller records the new state */
void file_sharing_event(struct file *f, enum file_sharing_event event);

/* as the last opens have asked for it: the settings of these names */
struct file_policy {
	bool async;		/* drain=async */
	bool background;	/* drain_early=on */
	bool drop_cache;	/* cache=drop */
	bool verify;		/* verify=drain */
	bool sync_later;	/* drain_sync: a close need not wait until the data it drains are durable */
};

/*
 * file_seen.c: the PFS file, as far as the agent knows it
 *
 * The flags are independent of each other.  `busy` says that the recorded times are not those of the PFS file, `cut_pending`
 * what the next drain does first, also after a drain or a removal has cleared `busy`.  `stale` is about blocks that are
 * clean, and lasts until the file is forgotten, `changed` about data that wait, until a user decides; a drain of changed data
 * by `pmio drain --force` makes the file stale, too.
 */
struct file_on_pfs {
	uint64_t size;		/* size in bytes; anything beyond is zero */
	struct stat seen;	/* as last recorded in the catalog: size, mtime, ctime and mode */
	bool seen_closed;	/* `seen` was taken after the last close */
	bool busy;		/* PMIO_FILE_PFS_BUSY is set in the catalog: we are changing it */
	bool cut_pending;	/* PMIO_FILE_CUT is set in the catalog: the next drain first truncates it */
	bool recent;		/* when it was opened on several nodes it was just modified: times may not tell the next change */
	bool stale;		/* others changed it while it was open here: clean blocks may be out of date */
	bool changed;		/* others have changed it since it was closed, and no user has decided yet what to do */
	bool marked;		/* it has the mark that tells other pools that data wait here (lib/pfs/exclusion.c) */
	bool lost_sync;		/* syncs.c: it was unsynced at a power cut: it is as it was then, or at any time before */
};

/* the agent's list that a file is in, oldest first; the functions below move it */
enum file_list {
	FILE_IN_NO_LIST,
	FILE_IN_LRU,		/* agent->lru: closed and clean, so its frames can be evicted */
	FILE_IN_MAY_PACK,	/* agent->may_pack: its data waited when it was closed (pack.c) */
};

/* mappings.c: a mapping without a handle, which counts as one.  It only ever gets more rights, until it ends */
enum file_ghost {
	FILE_NO_GHOST,
	FILE_GHOST_READS,
	FILE_GHOST_WRITES,	/* ... and counts as a writer */
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
	bool no_inode;		/* its last name was removed: in the catalog it has no inode any more; `removal` says more */
	uint32_t slot;
	char *path;		/* owned; absolute: its last known name */
	bool sees_names;	/* the name of pfs is the same here as where it was opened */
	bool seen_nameless;	/* by the last survey, whatever has become of it since */
	struct pfs_fd *pfs;	/* while it is open or drained, or its data wait and there are enough descriptors */
	bool reopen;		/* a drain failed: open the PFS file again for the next one */
	struct file_on_pfs on_pfs;

	unsigned nr_handles;
	unsigned nr_writers;
	unsigned nr_mapped;	/* of the writers: those that have frames mapped, whose blocks stay dirty: mappings.c */
	enum file_ghost ghost;
	uint64_t nr_opens;	/* number of opens that found it closed */
	bool wrote;		/* it was open for writing since it was last clean */
	int64_t written_ns;	/* real time of the last close of a handle that had written; 0: none since the agent started */
	bool recovered;		/* it was open when the last agent ended */
	enum file_sharing sharing;
	struct file_policy policy;

	struct chunk *chunks;	/* hash by number */
	uint64_t nr_pfs_chunks;
	bool packed;		/* pack.c: its bytes are in a frame that others share, and it has no chunks; whatever `list` is */

	enum pmio_file_state state;
	enum file_removal removal;
	enum file_busy busy;
	int error;		/* errno of the last drain, or 0 */
	enum file_hold hold;
	bool force;		/* the next drain may overwrite the changes that others made to the PFS file; whatever `hold` is */

	/* marks.c */
	struct batch_entry mark; /* in agent->marks: it is to get a mark, or to lose it */
	struct request *mark_waiters; /* answered when it has no mark */
	/* syncs.c: two flags of the catalog, and a worker at work: any of them can begin and end without the others */
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

	enum file_list list;
	struct file *prev, *next; /* in that list */
	UT_hash_handle hh, hh_ino;
};

static inline bool chunk_is_ripe(const struct file *f, const struct chunk *ch)
{
	return ch->full_looks >= RIPE_LOOKS && ch->background_in != f->nr_opens;
}

static inline bool file_is_on_hold(const struct file *f)
{
	return f->hold == FILE_ON_HOLD;
}

static inline bool file_is_shared(const struct file *f)
{
	return f->sharing != FILE_OF_ONE_NODE;
}

/* of a shared file */
static inline bool file_sets_size(const struct file *f)
{
	return f->sharing == FILE_SHARED_SETS_SIZE;
}

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

/* a writer with these PMIO_OPEN_* flags: are its data drained while the file is open? */
static inline bool handle_drains_in_background(uint32_t flags)
{
	return (flags & PMIO_OPEN_WRITE) && (flags & PMIO_OPEN_EARLY);
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

/* ---- file.c: the table -------------------------------------------------------- */

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
/* move it to the end of the list; it leaves the other one */
void files_lru_add(struct agent *a, struct file *f);
void files_pack_add(struct agent *a, struct file *f);
/* it stays in agent->may_pack, if it is there */
void files_lru_remove(struct agent *a, struct file *f);
void files_leave_list(struct agent *a, struct file *f);
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
/* few descriptors are left: close some, of files that can be opened again by name; returns how many closes are under way */
unsigned files_close_some(struct agent *a);

#endif
