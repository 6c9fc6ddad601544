/*
 * pool.h -- a pool: one directory on PMEM, owned by one agent at a time
 *
 *   catalog   libpmemobj: which file has which slot; changed in transactions
 *   data      superblock, slots, frame headers, frames (format.h)
 *   lock      flock()ed by the agent for as long as it runs; names the agent, until it
 *             leaves in good order
 *
 * What may be wrong with a pool directory (and is refused): missing, not a
 * directory, a symbolic link, another user's, writable by group or others,
 * without our files, files of another version, shorter than the superblock
 * says, damaged, catalog and data of different pools.
 *
 * Threads: one thread per pool, except pmio_pool_view(), whose result any thread
 * may use.
 */
#ifndef PMIO_POOL_POOL_H
#define PMIO_POOL_POOL_H

#include <limits.h>

#include "pool/frame.h"
#include "pool/packed.h"
#include "pool/view.h"

#define PMIO_POOL_CATALOG "catalog"
#define PMIO_POOL_DATA "data"
#define PMIO_POOL_LOCK "lock"
#define PMIO_POOL_CATALOG_SIZE (32u << 20) /* bytes of the catalog's file */
#define PMIO_POOL_SLOTS_DEFAULT 16384
#define PMIO_POOL_CLIENTS 1024
#define PMIO_POOL_SIZE_MIN (8u << 20) /* bytes of `data`; and one frame must fit */

struct pmio_pool;

struct pmio_pool_params {
	uint64_t size;		/* bytes of `data`; rounded down to whole frames */
	uint64_t chunk_size;	/* bytes; 0: PMIO_CHUNK_DEFAULT */
	uint32_t nr_slots;	/* files that can be known at once; 0: the default */
	/* NULL, or called now and then while space is reserved and pages are made */
	void (*progress)(uint64_t done, uint64_t size, void *arg);
	void *progress_arg;
};

/* a file's state in the catalog */
enum pmio_file_state {
	PMIO_FILE_NONE,		/* the slot is free */
	PMIO_FILE_CLEAN,	/* closed; the PFS file is complete */
	PMIO_FILE_OPEN,		/* has or had a writer; may have dirty blocks */
	PMIO_FILE_HELD,		/* closed, not drained yet, on request */
	PMIO_FILE_FAILED,	/* closed, and the drain failed: see error */
};

#define PMIO_FILE_PFS_BUSY 1u	/* flag: the agent is changing the PFS file */
#define PMIO_FILE_REMOVING 2u	/* flag: its last name is being removed, and then the file and its frames */
#define PMIO_FILE_SHARED 8u	/* flag: other pools also have pieces of the file */
#define PMIO_FILE_CUT 4u	/* flag: the PFS file's bytes beyond pfs_size no longer belong to the file */
#define PMIO_FILE_NEW 16u	/* flag: it was created, and its name may not be durable yet on the PFS */
#define PMIO_FILE_UNSYNCED 32u	/* flag: its drained data may not be durable yet on the PFS */

struct pmio_pool_file {
	uint32_t state;		/* enum pmio_file_state */
	uint32_t flags;
	uint64_t generation;	/* of the slot when this was written */
	uint64_t dev, ino;	/* the PFS file; 0 and UINT64_MAX - slot: it has no name any more */
	int64_t birth_ns;	/* its birth time, since 1970; 0: not known */
	uint64_t pfs_size;	/* bytes; as seen when the agent last changed or read it */
	int64_t mtime_s, mtime_ns, ctime_s, ctime_ns;
	uint32_t mode;		/* permission bits */
	int32_t error;		/* of a failed drain: errno, else 0 */
	char path[PATH_MAX];	/* absolute, 0-terminated */
};

/*
 * pmio_pool_create -- make a pool
 *
 * dir   is made (mode 0700) if it is missing; must not have any of a pool's files
 *
 * All space is reserved now, so that a full file system is an error here and not a
 * SIGBUS later; on a tmpfs that is memory, and some must be left for others.  On
 * failure nothing of the pool is left.
 *
 * Returns 0, -EEXIST (there is a pool), -EINVAL (size too small for one frame, or
 * a bad chunk size), -ENOSPC, -EACCES, -ENOENT (no parent), ...; logged.
 * Durable: when it returns 0.
 */
int pmio_pool_create(const char *dir, const struct pmio_pool_params *params);

/*
 * pmio_pool_default_size -- the size of a pool without a size chosen by the user
 *
 * On a tmpfs it is at most half of the memory that is left, and then a line is logged; else size.
 */
uint64_t pmio_pool_default_size(const char *dir, uint64_t size);

/*
 * pmio_pool_vacant -- may a pool be made there without an explicit request?
 *
 * Returns 1: nothing is there except perhaps a file `besides` and leftovers of an
 * interrupted creation or removal of a pool; 0: there is more; or -errno; not logged.
 */
int pmio_pool_vacant(const char *dir, const char *besides);

/*
 * pmio_pool_open -- lock a pool, and recover it
 *
 * Returns 0; -ENOENT (no such directory, or no pool in it), -EBUSY (another agent
 * has it), -EPERM (another user's, or writable by others, or a symbolic link),
 * -ENOTDIR, -EACCES, PMIO_ENOTPOOL, PMIO_EVERSION, PMIO_EDAMAGED; logged.
 * Afterwards frames of deleted files are free, and every other frame was recovered by
 * pmio_frame_recover().
 */
int pmio_pool_open(const char *dir, struct pmio_pool **out);

/* makes everything durable (page granularity), unlocks; *pool may be NULL */
void pmio_pool_close(struct pmio_pool **pool);

/* remove the pool's files, and the directory if that leaves it empty; -EBUSY while an agent has it */
int pmio_pool_destroy(const char *dir);

/*
 * pmio_pool_resize -- change the size of a pool that no agent has
 *
 * params   size and progress as for creation; chunk_size and nr_slots stay as they are
 *
 * A new pool is made in its place, so no data may wait in it; its cached data are given
 * up.  A crash leaves the old pool, the new one, or none, like an interrupted creation.
 * If the new one cannot be made, one of the old size is.
 *
 * Returns 0, -EBUSY (an agent has it, or data wait), -ENOSPC, -EINVAL, PMIO_EDAMAGED,
 * or as pmio_pool_open(); logged.
 */
int pmio_pool_resize(const char *dir, const struct pmio_pool_params *params);

/* can this directory be a pool?  0 or as pmio_pool_open; logs if complain.
   dir_fd: out, may be NULL: an O_DIRECTORY descriptor, owned by the caller */
int pmio_pool_check_dir(const char *dir, bool complain, int *dir_fd);

struct pmio_pool_report {
	uint64_t nr_files, nr_dirty_files; /* known files; files of which data, or only a new size, wait */
	uint64_t nr_frames, nr_used_frames;
	uint64_t dirty_bytes;	/* whole blocks */
	uint64_t nr_problems;	/* each was logged as an error */
	enum pmio_pm_granularity granularity; /* of the pool at its current place */
};

/*
 * pmio_pool_check -- verify a pool that no agent has: superblock, catalog
 * (pmemobj_check), agreement of slots and catalog, and that no two frames hold the same
 * chunk
 *
 * Changes nothing.  Returns 0 (also with problems: see the report), or as pmio_pool_open.
 */
int pmio_pool_check(const char *dir, struct pmio_pool_report *report);

/* the agent that has a pool, or had it and did not release it as it was killed, or by a power cut */
struct pmio_pool_owner {
	char host[256]; /* empty: none */
	unsigned pid;
	bool locked;	/* it still has the pool, as far as its lock is visible here */
};

/*
 * pmio_pool_owner -- read it
 *
 * A lock on a network file system may be invisible to other machines; this is visible.
 * Returns 0 or as pmio_pool_check_dir(), logged.
 */
int pmio_pool_owner(const char *dir, struct pmio_pool_owner *owner);

/*
 * pmio_pool_kill_owner -- kill the process that has the pool, in any state
 *
 * No data in the pool are lost: the next agent finds them, as after any death of an agent.
 * Returns 0 (also if no process has it), -ESRCH, -EBUSY (it ends later), -EPERM, ...; logged.
 */
int pmio_pool_kill_owner(const char *dir, int limit_ms);

/*
 * pmio_pool_rebooted -- has this machine been started since an agent last opened the pool?
 *
 * Then data that the PFS had not made durable may be lost.  All valid blocks of files that are
 * PMIO_FILE_UNSYNCED are dirty again in that case.  True also if it is not known.
 */
bool pmio_pool_rebooted(const struct pmio_pool *pool);

struct pmio_view *pmio_pool_view(struct pmio_pool *pool); /* borrowed */
const char *pmio_pool_dir(const struct pmio_pool *pool);  /* borrowed */
int pmio_pool_data_fd(const struct pmio_pool *pool);      /* borrowed */
int pmio_pool_dir_fd(const struct pmio_pool *pool);       /* borrowed */

/* ---- files: slots and catalog ------------------------------------------- */

/*
 * pmio_pool_file_add -- give a file a slot of the given size
 *
 * file   generation is set by this call
 * slot   out
 *
 * Returns 0, -ENFILE (no free slot) or -ENOSPC (catalog full); neither is logged:
 * the caller may have files to evict.
 * Durable: when it returns 0; a crash before leaves the slot free.
 */
int pmio_pool_file_add(struct pmio_pool *pool, struct pmio_pool_file *file, uint64_t size,
		       uint32_t *slot);

/* the catalog's entry; -ENOENT if the slot is free */
int pmio_pool_file_get(struct pmio_pool *pool, uint32_t slot, struct pmio_pool_file *file);

/* change a slot's entry, all fields or none (path too, if it differs); 0, -ENOENT, -ENOSPC */
int pmio_pool_file_set(struct pmio_pool *pool, uint32_t slot, const struct pmio_pool_file *file);

/*
 * pmio_pool_file_remove -- forget a file: one 8-byte store frees its frames
 *
 * The caller gives the frames back with pmio_pool_frame_put() (it has the list).
 * Durable: when it returns; a crash before leaves the file as it was.
 */
int pmio_pool_file_remove(struct pmio_pool *pool, uint32_t slot);

uint64_t pmio_pool_file_size(struct pmio_pool *pool, uint32_t slot); /* bytes */
/* set (not raise) the size; durable on return */
void pmio_pool_file_set_size(struct pmio_pool *pool, uint32_t slot, uint64_t size);

uint32_t pmio_pool_nr_slots(const struct pmio_pool *pool);

/* ---- frames --------------------------------------------------------------- */

#define PMIO_NO_FRAME UINT64_MAX

/* a free frame, given to a file (pmio_frame_claim); PMIO_NO_FRAME if none is free */
uint64_t pmio_pool_frame_get(struct pmio_pool *pool, uint32_t slot, uint64_t chunk);
/* a zeroed one (pmio_frame_claim_zero), for a chunk that is zero; PMIO_NO_FRAME if there is none */
uint64_t pmio_pool_frame_get_zero(struct pmio_pool *pool, uint32_t slot, uint64_t chunk);
/* free a frame; no client may be using it */
void pmio_pool_frame_put(struct pmio_pool *pool, uint64_t frame);
uint64_t pmio_pool_frames_free(const struct pmio_pool *pool); /* including those being zeroed */

/*
 * Packed files (format.h): several small files in one frame.  While a file is packed it has no frame of its own, no client
 * may have it open, and its size does not change.  All are durable on return, on every granularity.
 */
/* bytes; a larger file cannot be packed */
uint64_t pmio_pool_pack_max(const struct pmio_pool *pool);
/* is it?  p: out; valid until it is not any more */
bool pmio_pool_packed(const struct pmio_pool *pool, uint32_t slot, struct pmio_packed *p);
uint8_t *pmio_pool_packed_data(const struct pmio_pool *pool, const struct pmio_packed *p); /* pmio_pool_pack_max() bytes */
/*
 * pmio_pool_pack -- pack a file
 *
 * frame  the file's only frame, of its chunk 0; no client and no job uses it.  The caller does not release it.
 * The frame becomes free or, if no shared frame has room, a shared one.  0; or an error: nothing has changed.
 */
int pmio_pool_pack(struct pmio_pool *pool, uint32_t slot, uint64_t frame);
/* give it a frame for its chunk 0; -ENOSPC: none is free; or an error: nothing has changed */
int pmio_pool_unpack(struct pmio_pool *pool, uint32_t slot, uint64_t *frame);
/* discard the data of a packed file; 0 also if it is not packed */
int pmio_pool_packed_drop(struct pmio_pool *pool, uint32_t slot);

/*
 * A reserve of zeroed frames, filled by the agent when it is otherwise idle:
 * only when half of it is used, so that this work rarely competes with writers.
 * _zero_begin takes a free frame that is not zeroed out of the lists, for the caller to
 * zero and fence; PMIO_NO_FRAME: there are enough, or too few free ones. _zero_end
 * marks it and puts it back, the mark is flushed, not fenced; a frame that could not be
 * zeroed is not used any more, until the pool is opened again.  _zero_is_short: a writer may soon find none.
 */
bool pmio_pool_zero_is_short(const struct pmio_pool *pool);
uint64_t pmio_pool_zero_begin(struct pmio_pool *pool);
void pmio_pool_zero_end(struct pmio_pool *pool, uint64_t frame, bool is_zeroed);

/* calls fn for each frame in use; stops at the first result other than 0 and returns it */
int pmio_pool_frames_each(struct pmio_pool *pool,
			  int (*fn)(uint64_t frame, uint32_t slot, uint64_t chunk, void *arg),
			  void *arg);

#endif
