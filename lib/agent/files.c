/*
 * files.c -- the files that the agent knows
 *
 * A file is known from its first open until its slot is given to another one:
 *
 *   open      has handles
 *   busy      no handles, but a drain or fill is under way
 *   waiting   no handles, dirty: held because that was asked for, or a drain failed
 *   cached    no handles, clean; in the agent's LRU list, its frames can be taken
 *
 * files_settle() moves it from one to the next when it has no handle and no job.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent_impl.h"

#define FRESH_S 2 /* see is_fresh() */
#define NO_INODE(slot) (UINT64_MAX - (slot)) /* in the catalog, with device 0: of a file whose last name has gone */

/* ---- a file's life ------------------------------------------------------------ */

static void lru_remove(struct agent *a, struct file *f)
{
	if (f->in_lru)
		DL_DELETE(a->lru, f);
	f->in_lru = false;
}

static void lru_add(struct agent *a, struct file *f)
{
	lru_remove(a, f);
	DL_APPEND(a->lru, f);
	f->in_lru = true;
}

static void hash_file(struct agent *a, struct file *f)
{
	HASH_ADD(hh, a->files, key, sizeof(f->key), f);
	HASH_ADD(hh_ino, a->by_inode, key.ino, sizeof(f->key.ino), f);
}

static void unhash_file(struct agent *a, struct file *f)
{
	HASH_DEL(a->files, f);
	HASH_DELETE(hh_ino, a->by_inode, f);
}

static void free_file(struct agent *a, struct file *f)
{
	struct chunk *ch, *tmp;

	lru_remove(a, f);
	syncs_drop(a, f);
	marks_drop(a, f);
	pfs_put(a, &f->pfs);
	HASH_ITER(hh, f->chunks, ch, tmp) {
		HASH_DEL(f->chunks, ch);
		free(ch);
	}
	unhash_file(a, f);
	a->by_slot[f->slot] = NULL;
	free(f->path);
	free(f);
}

/* the slot goes first, in one store; then its frames are free for others */
void files_forget(struct agent *a, struct file *f)
{
	pmio_pool_file_remove(a->pool, f->slot);
	files_del_all_chunks(a, f);
	free_file(a, f);
}

struct file *files_find(struct agent *a, const struct pmio_pfs_id *id)
{
	struct file_key key = { id->dev, id->ino };
	struct pmio_pfs_id known;
	struct file *f;

	HASH_FIND(hh, a->files, &key, sizeof(key), f);
	if (!f)
		return NULL;
	known = files_id(f);
	return pmio_pfs_same(&known, id) ? f : NULL;
}

void files_set_seen(struct file *f, const struct stat *st)
{
	f->seen = *st;
	f->pfs_size = (uint64_t)st->st_size;
	if (f->foreign) /* what no file has: the next open drops what is cached */
		f->seen.st_ctim = (struct timespec){ 0, 0 };
}

bool files_same_as_seen(const struct file *f, const struct stat *st)
{
	return (uint64_t)st->st_size == f->pfs_size &&
	       st->st_mtim.tv_sec == f->seen.st_mtim.tv_sec &&
	       st->st_mtim.tv_nsec == f->seen.st_mtim.tv_nsec &&
	       st->st_ctim.tv_sec == f->seen.st_ctim.tv_sec &&
	       st->st_ctim.tv_nsec == f->seen.st_ctim.tv_nsec;
}

/* a rename or chmod changes only ctime */
bool files_same_content(const struct file *f, const struct stat *st)
{
	return (uint64_t)st->st_size == f->pfs_size && st->st_mtim.tv_sec == f->seen.st_mtim.tv_sec &&
	       st->st_mtim.tv_nsec == f->seen.st_mtim.tv_nsec;
}

bool files_is_later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec > b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

/*
 * Programs that have it open through us may have company: what others append stays, and what they
 * overwrite is overwritten by what was written here, later.  But what was cut off cannot be put
 * together again.  Once it is closed nobody else may touch it.
 */
bool files_was_changed(const struct file *f, const struct stat *st)
{
	if (f->busy_on_media || f->shared)
		return false;
	if (f->lost_sync && f->nr_handles == 0) /* older, or as it was; but not newer */
		return files_is_later(&st->st_mtim, &f->seen.st_mtim);
	return f->nr_handles || !f->seen_closed ? (uint64_t)st->st_size < f->pfs_size : !files_same_content(f, st);
}

void files_notice_change(struct file *f, const struct stat *st)
{
	if (f->busy_on_media || f->foreign || f->lost_sync || files_same_as_seen(f, st))
		return;
	pmio_info("agent: %s was changed on the file system while it was in use here", f->path);
	f->foreign = true;
}

static void to_entry(const struct file *f, struct pmio_pool_file *e)
{
	memset(e, 0, sizeof(*e));
	e->state = f->state;
	e->flags = (f->busy_on_media ? PMIO_FILE_PFS_BUSY : 0) | (f->removing ? PMIO_FILE_REMOVING : 0) |
		   (f->cut_pending ? PMIO_FILE_CUT : 0) | (f->shared ? PMIO_FILE_SHARED : 0) |
		   (f->is_new ? PMIO_FILE_NEW : 0) | (f->unsynced ? PMIO_FILE_UNSYNCED : 0);
	e->birth_ns = f->birth_ns;
	e->dev = f->gone ? 0 : f->key.dev;
	e->ino = f->gone ? NO_INODE(f->slot) : f->key.ino;
	e->pfs_size = f->pfs_size;
	e->mtime_s = f->seen.st_mtim.tv_sec;
	e->mtime_ns = f->seen.st_mtim.tv_nsec;
	e->ctime_s = f->seen.st_ctim.tv_sec;
	e->ctime_ns = f->seen.st_ctim.tv_nsec;
	e->mode = f->seen.st_mode & 07777;
	e->error = f->error;
	snprintf(e->path, sizeof(e->path), "%s", f->path);
}

int files_record(struct agent *a, struct file *f)
{
	struct pmio_pool_file e, old;

	to_entry(f, &e);
	memset(&old, 0, sizeof(old)); /* its path is filled up to the end of the string only */
	if (pmio_pool_file_get(a->pool, f->slot, &old) == 0) {
		e.generation = old.generation;
		if (memcmp(&e, &old, sizeof(e)) == 0)
			return 0;
	}
	return pmio_pool_file_set(a->pool, f->slot, &e);
}

/*
 * Clients of an agent that died may go on storing into the frames they know until
 * they notice: for some seconds after a recovery no frame goes to another file.
 */
bool files_frames_may_move(const struct agent *a)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec >= a->evict_not_before;
}

/* make room in the table of slots: the file longest unused goes */
static bool evict_file(struct agent *a)
{
	struct file *f = a->lru;

	if (!f || !files_frames_may_move(a))
		return false;
	files_forget(a, f);
	return true;
}

int files_new(struct agent *a, const char *path, uint32_t flags, const struct stat *st, int64_t birth_ns, struct file **out)
{
	struct pmio_pool_file e;
	struct file *f = calloc(1, sizeof(*f));
	int rc = -ENOMEM;

	if (!f)
		return rc;
	f->path = strdup(path);
	if (!f->path)
		goto err;
	f->key.dev = st->st_dev;
	f->key.ino = st->st_ino;
	f->birth_ns = birth_ns;
	f->state = flags & PMIO_OPEN_WRITE ? PMIO_FILE_OPEN : PMIO_FILE_CLEAN; /* saves attaching another record */
	f->is_new = flags & PMIO_OPEN_NEW;
	files_set_seen(f, st);
	to_entry(f, &e);
	do
		rc = pmio_pool_file_add(a->pool, &e, (uint64_t)st->st_size, &f->slot);
	while ((rc == -ENFILE || rc == -ENOSPC) && evict_file(a));
	if (rc < 0) {
		pmio_err("agent: %s: no room in the pool's catalog, which has %u files: %s", path,
			 HASH_COUNT(a->files), pmio_strerror(rc));
		goto err;
	}
	hash_file(a, f);
	a->by_slot[f->slot] = f;
	*out = f;
	return 0;
err:
	free(f->path);
	free(f);
	return rc;
}

/* ---- loading what an earlier agent left ------------------------------------------ */

static int load_file(struct agent *a, uint32_t slot, const struct pmio_pool_file *e)
{
	struct file *f = calloc(1, sizeof(*f)), *twin;

	if (!f)
		return -ENOMEM;
	f->path = strdup(e->path);
	if (!f->path) {
		free(f);
		return -ENOMEM;
	}
	f->slot = slot;
	f->key.dev = e->dev;
	f->key.ino = e->ino;
	f->birth_ns = e->birth_ns;
	f->state = (enum pmio_file_state)e->state;
	f->error = e->error;
	f->is_new = e->flags & PMIO_FILE_NEW;
	f->unsynced = e->flags & PMIO_FILE_UNSYNCED;
	f->lost_sync = (f->is_new || f->unsynced) && pmio_pool_rebooted(a->pool);
	if (f->lost_sync && f->unsynced && f->state == PMIO_FILE_CLEAN)
		f->state = PMIO_FILE_OPEN; /* it is drained once more */
	f->changed = -f->error == PMIO_ECHANGED;
	f->marked = f->state != PMIO_FILE_CLEAN;
	f->hold = f->state == PMIO_FILE_HELD;
	f->wrote = f->state != PMIO_FILE_CLEAN;
	f->recovered = f->state == PMIO_FILE_OPEN;
	f->seen_closed = true;
	f->verify = a->config->verify;
	f->busy_on_media = e->flags & PMIO_FILE_PFS_BUSY;
	f->removing = e->flags & PMIO_FILE_REMOVING;
	f->gone = e->dev == 0 && e->ino == NO_INODE(slot);
	f->pfs_size = e->pfs_size;
	f->shared = e->flags & PMIO_FILE_SHARED;
	/* what others have drained since must not be cut */
	f->cut_pending = (e->flags & PMIO_FILE_CUT) && !f->shared;
	/* a truncation was cut off: what the PFS file has beyond is no longer the file's */
	if (f->busy_on_media && !f->shared && f->pfs_size > pmio_pool_file_size(a->pool, slot)) {
		f->pfs_size = pmio_pool_file_size(a->pool, slot);
		f->cut_pending = true;
	}
	f->seen.st_size = (off_t)e->pfs_size;
	f->seen.st_mtim.tv_sec = e->mtime_s;
	f->seen.st_mtim.tv_nsec = e->mtime_ns;
	f->seen.st_ctim.tv_sec = e->ctime_s;
	f->seen.st_ctim.tv_nsec = e->ctime_ns;
	f->seen.st_mode = e->mode;
	HASH_FIND(hh, a->files, &f->key, sizeof(f->key), twin);
	if (twin)
		pmio_err("agent: %s and %s are the same file in the catalog", f->path, twin->path);
	hash_file(a, f);
	a->by_slot[f->slot] = f;
	return 0;
}

static int load_frame(uint64_t frame, uint32_t slot, uint64_t chunk, void *arg)
{
	struct agent *a = arg;

	return a->by_slot[slot] && files_add_chunk(a->by_slot[slot], chunk, (int64_t)frame) ? 0 : -ENOMEM;
}

/* data that are not on the file system yet: say so, in the log and at the start */
static void report_waiting(struct agent *a, const struct file *f)
{
	uint64_t dirty = files_dirty_bytes(a, f, NULL);
	const char *next = a->config->recover_hold ? "`pmio drain` writes them" : "draining them";

	if (f->recovered)
		pmio_warn("agent: recovered %s: %" PRIu64 " bytes wait to be drained; %s", f->path, dirty,
			  next);
	else if (f->state == PMIO_FILE_FAILED)
		pmio_warn("agent: %s: %" PRIu64 " bytes wait since a drain failed: %s; %s", f->path, dirty,
			  pmio_strerror(-f->error), next);
	else if (f->state == PMIO_FILE_HELD)
		pmio_info("agent: %s: %" PRIu64 " bytes are held until `pmio drain`", f->path, dirty);
}

/*
 * Files that were open when the last agent ended, or whose drain failed, go on
 * to the PFS now, or wait as the setting `recover` has it.
 */
static void settle_loaded(struct agent *a)
{
	uint32_t nr = pmio_pool_nr_slots(a->pool);

	for (uint32_t slot = 0; slot < nr; slot++) {
		struct file *f = a->by_slot[slot];

		if (!f)
			continue;
		if (!f->removing)
			report_waiting(a, f);
		if (f->recovered) {
			struct timespec now;

			/* clients of the old agent may still store into its frames until they notice */
			clock_gettime(CLOCK_MONOTONIC, &now);
			a->evict_not_before = now.tv_sec + 10;
		}
		/* before anybody makes the file longer again */
		if (f->cut_pending && files_record(a, f) < 0)
			pmio_err("agent: %s: a truncation that was cut off is not ended", f->path);
		if (f->state == PMIO_FILE_HELD)
			marks_want_again(a, f);
		if (f->removing && calls_end_removal(a, f) == 0)
			continue;
		if (f->lost_sync && f->is_new && !f->gone && syncs_remake(a, f) == 0)
			continue;
		if ((f->is_new || f->unsynced) && !f->lost_sync && !f->gone) /* else its drain does it */
			syncs_later(a, f, false, false);
		if (a->config->recover_hold)
			f->hold = true;
		else if (f->state == PMIO_FILE_FAILED)
			f->state = PMIO_FILE_OPEN;
		files_settle(a, f);
	}
}

int files_load(struct agent *a)
{
	uint32_t nr = pmio_pool_nr_slots(a->pool);
	struct pmio_pool_file e;
	int rc;

	a->by_slot = calloc(nr, sizeof(*a->by_slot));
	if (!a->by_slot)
		return -ENOMEM;
	for (uint32_t slot = 0; slot < nr; slot++) {
		if (pmio_pool_file_get(a->pool, slot, &e) < 0)
			continue;
		rc = load_file(a, slot, &e);
		if (rc < 0)
			return rc;
	}
	rc = pmio_pool_frames_each(a->pool, load_frame, a);
	if (rc < 0)
		return rc;
	settle_loaded(a);
	return 0;
}

static void free_handle(struct agent *a, struct handle *h)
{
	HASH_DEL(a->handles, h);
	free(h);
}

void files_free(struct agent *a)
{
	struct handle *h, *next;
	struct file *f, *tmp;

	HASH_ITER(hh, a->handles, h, next)
		free_handle(a, h);
	HASH_ITER(hh, a->files, f, tmp)
		free_file(a, f);
	free(a->by_slot);
	a->by_slot = NULL;
}

/* ---- open ------------------------------------------------------------------------ */

/*
 * Network file systems and btrfs may have another device number after each mount:
 * the same inode, size and times under the same name are the same file.
 */
bool files_adopt_device(struct agent *a, struct file *f, const struct stat *st)
{
	struct file_key key = { st->st_dev, st->st_ino };
	struct file *twin;

	if (st->st_ino != f->key.ino || st->st_dev == f->key.dev ||
	    (!f->busy_on_media && !files_same_as_seen(f, st)))
		return false;
	HASH_FIND(hh, a->files, &key, sizeof(key), twin);
	if (twin)
		return false;
	pmio_info("agent: %s is on another device now", f->path);
	unhash_file(a, f);
	f->key = key;
	hash_file(a, f);
	f->reopen = true;
	return true;
}

void files_adopt_name(struct agent *a, struct file *f, const char *path)
{
	char *copy = strcmp(path, f->path) == 0 ? NULL : strdup(path);

	if (!copy)
		return;
	free(f->path);
	f->path = copy;
	files_record(a, f);
}

void files_become(struct agent *a, struct file *f, const struct pmio_pfs_id *id, const struct stat *st)
{
	unhash_file(a, f);
	f->key = (struct file_key){ id->dev, id->ino };
	f->birth_ns = id->birth_ns;
	hash_file(a, f);
	files_set_seen(f, st);
	f->busy_on_media = f->cut_pending = f->changed = false;
	f->seen_closed = true;
}

static bool can_as_much(const struct pfs_fd *new, const struct pfs_fd *old)
{
	return !old || (new->writes >= old->writes && new->reads >= old->reads);
}

void files_adopt_pfs(struct agent *a, struct file *f, struct pfs_fd **pfs)
{
	struct pfs_fd *old = f->pfs, *new = *pfs;
	bool more = !old || new->writes > old->writes || new->reads > old->reads;
	bool as_much = can_as_much(new, old);

	if (f->reopen ? !as_much : !more) {
		pfs_put(a, pfs);
		return;
	}
	f->pfs = *pfs;
	*pfs = NULL;
	f->reopen = false;
	pfs_put(a, &old); /* jobs that use it have their own reference */
}

static bool is_early(uint32_t flags)
{
	return (flags & PMIO_OPEN_WRITE) && (flags & PMIO_OPEN_EARLY);
}

/* so recently changed that another change may get the same time: clocks tick every 10 ms at most, and may differ a little */
static bool is_fresh(const struct stat *st)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return st->st_ctim.tv_sec + FRESH_S >= now.tv_sec;
}

static int add_handle(struct agent *a, struct conn *c, struct file *f, uint32_t flags, struct handle **out)
{
	struct handle *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	h->id = ++a->next_handle;
	h->conn = c;
	h->file = f;
	h->flags = flags;
	HASH_ADD(hh, a->handles, id, sizeof(h->id), h);
	lru_remove(a, f);
	f->nr_opens += f->nr_handles == 0;
	f->nr_handles++;
	f->recovered = f->seen_closed = false;
	if (flags & PMIO_OPEN_WRITE) {
		f->nr_writers++;
		f->wrote = true;
		f->hold = flags & PMIO_OPEN_HOLD;
		f->was_held = false;
		f->async = flags & PMIO_OPEN_ASYNC;
		f->early = flags & PMIO_OPEN_EARLY;
		a->nr_early_handles += is_early(flags);
		f->verify = flags & PMIO_OPEN_VERIFY;
		f->sync_later = flags & PMIO_OPEN_SYNC_LATER;
	}
	f->drop_cache = flags & PMIO_OPEN_DROP;
	if ((flags & PMIO_OPEN_SHARED) && (f->nr_handles == 1 || !f->shared))
		f->fresh = is_fresh(&f->seen);
	f->shared = flags & PMIO_OPEN_SHARED;
	f->home = f->shared && (f->home || (flags & PMIO_OPEN_HOME));
	if (flags & PMIO_OPEN_WRITE)
		marks_want(a, f);
	*out = h;
	return 0;
}

/*
 * A file of several nodes has its pieces in several pools: who knows only this one would
 * miss the others.
 */
static int refuse_mixed(const struct file *f)
{
	/* not yet an error: who asks tries again for a while, and then says so */
	pmio_info("agent: %s is open %s: refusing to open it %s", f->path,
		 f->shared ? "on several nodes" : "by programs of this node alone",
		 f->shared ? "for this node alone" : "for several nodes");
	return -EBUSY;
}

int files_say_changed(const struct file *f)
{
	pmio_err("agent: %s: %s", f->path, pmio_strerror(PMIO_ECHANGED));
	return PMIO_ECHANGED;
}

int files_attach(struct agent *a, struct conn *c, struct file *f, const struct pmio_open_msg *m,
		 struct pfs_fd **pfs, struct handle **out)
{
	int rc;

	*out = NULL;
	/* the old one has a lock for its own use (lib/pfs/guard.c): one node's, or several nodes' */
	if (*pfs && f->nr_handles == 0 && can_as_much(*pfs, f->pfs))
		pfs_put(a, &f->pfs);
	if (*pfs)
		files_adopt_pfs(a, f, pfs);
	if (f->nr_handles && f->shared != !!(m->flags & PMIO_OPEN_SHARED))
		return refuse_mixed(f);
	rc = add_handle(a, c, f, m->flags, out);
	if (rc == 0 && (((m->flags & PMIO_OPEN_WRITE) && f->state != PMIO_FILE_OPEN) ||
			(m->flags & PMIO_OPEN_NEW) || (f->shared && !f->busy_on_media))) {
		if (m->flags & PMIO_OPEN_WRITE) {
			f->state = PMIO_FILE_OPEN;
			f->error = 0;
		}
		f->busy_on_media |= f->shared; /* its times say nothing while others drain */
		rc = files_record(a, f);
	}
	if (rc < 0 && *out) {
		files_close(a, *out, NULL, NULL);
		*out = NULL;
	} else if (rc < 0) {
		files_settle(a, f);
	}
	return rc;
}

/* ---- close ------------------------------------------------------------------------- */

static bool needs_drain(struct agent *a, struct file *f)
{
	/* of a file of several nodes we know our pieces, and at home the size */
	if (f->shared)
		return f->wrote && (f->nr_pfs_chunks || f->cut_pending || files_any_dirty(a, f) ||
				    (f->home && pmio_pool_file_size(a->pool, f->slot) > f->pfs_size));
	/*
	 * What clients wrote to the PFS themselves is made durable by a drain, too; and
	 * where we were cut off while we changed the PFS file, it is put in order.
	 */
	return f->wrote && (f->nr_pfs_chunks || f->busy_on_media || f->cut_pending || files_any_dirty(a, f) ||
			    pmio_pool_file_size(a->pool, f->slot) > f->pfs_size);
}

/* frames without a valid block, or behind the file's end, were claimed ahead and never used */
static void trim_chunks(struct agent *a, struct file *f)
{
	uint64_t size = pmio_pool_file_size(a->pool, f->slot);
	struct chunk *ch, *tmp;

	HASH_ITER(hh, f->chunks, ch, tmp) {
		struct pmio_mask valid, dirty, draining;

		if (ch->frame >= 0) {
			pmio_frame_get(a->view, (uint64_t)ch->frame, &valid, &dirty, &draining);
			if (!pmio_mask_empty(&valid) && ch->number << a->view->chunk_shift < size)
				continue;
		}
		files_del_chunk(a, f, ch); /* chunks on the PFS get another chance at the next open */
	}
}

static void cache_or_forget(struct agent *a, struct file *f)
{
	/*
	 * Another node may write to what is cached here, as soon as it is closed.  Where nobody
	 * has written through this pool, the PFS file's times, as they were before it was
	 * opened, tell whether somebody has since.
	 */
	if (f->shared && (f->wrote || f->fresh)) {
		f->drop_cache = f->foreign = true;
		f->seen.st_ctim = (struct timespec){ 0, 0 };
	}
	if (f->busy_on_media || f->wrote || f->state != PMIO_FILE_CLEAN) {
		f->state = PMIO_FILE_CLEAN;
		f->error = 0;
		f->busy_on_media = false;
		if (files_record(a, f) < 0)
			f->drop_cache = true; /* what the catalog says would be wrong */
	}
	f->wrote = false;
	f->recovered = false;
	if (files_frames_may_move(a))
		trim_chunks(a, f);
	marks_want_none(a, f);
	if (!f->mark_listed)
		pfs_put(a, &f->pfs);
	if (f->unsynced)
		return; /* its frames stay, until it is durable: syncs.c */
	if (f->drop_cache && !f->mark_listed && files_frames_may_move(a))
		files_forget(a, f);
	else
		lru_add(a, f);
}

/* its clients may have outlived another agent: what they store into must not be others' frames */
static void forget_removed(struct agent *a, struct file *f)
{
	if (!f->recovered || files_frames_may_move(a)) {
		files_forget(a, f);
		return;
	}
	f->state = PMIO_FILE_CLEAN;
	pfs_put(a, &f->pfs);
	lru_add(a, f);
}

void files_settle(struct agent *a, struct file *f)
{
	if (f->nr_handles || f->nr_jobs)
		return;
	if (f->lost && !f->discard) {
		f->lost = false;
		files_lost_name(a, f);
		return;
	}
	if (f->discard) {
		forget_removed(a, f);
		return;
	}
	a->survey_wanted |= f->state != PMIO_FILE_CLEAN;
	if (f->gone)
		return;
	if (f->pfs && f->state != PMIO_FILE_CLEAN && f->hold && pfs_fd_is_high(f->pfs->fd))
		pfs_put(a, &f->pfs); /* it is found again by its name */
	if (f->state == PMIO_FILE_FAILED) {
		if (f->reopen) /* the file system may be gone: we must not keep it from being mounted anew */
			pfs_put(a, &f->pfs);
		return;
	}
	if (!needs_drain(a, f)) {
		cache_or_forget(a, f);
		return;
	}
	if (f->hold && !a->orphaned) {
		f->state = PMIO_FILE_HELD;
		files_update_name(a, f);
		files_record(a, f);
		marks_want(a, f);
		return;
	}
	drain_start(a, f, NULL);
}

void files_update_name(struct agent *a, struct file *f)
{
	char name[PATH_MAX];

	if (f->pfs && f->sees_names && pmio_pfs_name(f->pfs->fd, name) == 0)
		files_adopt_name(a, f, name);
}

void files_lost_name(struct agent *a, struct file *f)
{
	bool held = (f->hold || f->was_held) && !f->discard && needs_drain(a, f);

	if (f->nr_handles || f->unlinking || f->gone || f->discard)
		return;
	if (held || f->state != PMIO_FILE_CLEAN)
		pmio_warn("agent: %s was removed on the file system: %s", f->path,
			  held ? "what is held of it stays until `pmio forget`" : "its data are given up");
	/* its number may be another's at once */
	unhash_file(a, f);
	f->key = (struct file_key){ 0, NO_INODE(f->slot) };
	hash_file(a, f);
	f->gone = true;
	pfs_put(a, &f->pfs);
	syncs_drop(a, f);
	marks_drop(a, f);
	if (held) {
		f->state = PMIO_FILE_HELD;
		f->hold = true;
		f->error = 0;
		files_record(a, f);
		return;
	}
	f->discard = true;
	f->removing = true; /* where it cannot be forgotten now the next agent does it */
	files_record(a, f);
	files_settle(a, f);
}

static void answer(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int status)
{
	if (c)
		agent_reply_status(a, c, &msg->hdr, status);
}

/* does the last close not wait for the drain? */
static bool waits_not(const struct file *f)
{
	return f->discard || f->hold || f->async || f->state == PMIO_FILE_FAILED;
}

/* what stays in the pool after the close must be durable there, and what went past it on the PFS */
static bool needs_sync(const struct agent *a, const struct file *f)
{
	return f->state == PMIO_FILE_OPEN && !f->discard &&
	       (f->nr_pfs_chunks || pmio_pm_granularity(a->view->pm) == PMIO_PM_PAGE);
}

/* where no more than the PFS has to be synced, that may follow */
static bool syncs_instead(struct agent *a, struct file *f)
{
	if (!f->sync_later || f->nr_pfs_chunks > SYNC_CHUNKS_MAX || !syncs_has_room(a) ||
	    pmio_pm_granularity(a->view->pm) == PMIO_PM_PAGE)
		return false;
	syncs_later(a, f, false, false);
	return true;
}

static void set_changed(struct file *f)
{
	f->changed = true;
	f->error = -PMIO_ECHANGED;
	files_say_changed(f);
}

bool files_look_closed(struct file *f, const struct stat *st)
{
	if (!files_was_changed(f, st))
		return false;
	set_changed(f);
	return true;
}

void files_see_closed(struct file *f, const struct stat *st)
{
	if (!files_look_closed(f, st) && !f->busy_on_media && !f->shared)
		files_set_seen(f, st);
	f->seen_closed = true; /* as well as it can be */
}

/*
 * A process that closes a file tells how the PFS file was then.  From the last close on nobody
 * else may change it.  Its look may be older than that of a process that closed before it, or than
 * a drain of our own that has ended since: then the drain has to find out.
 */
static void see_at_close(struct file *f, const struct pmio_close_msg *m)
{
	struct stat st = { .st_size = (off_t)m->pfs_size, .st_mode = f->seen.st_mode,
			   .st_mtim = { .tv_sec = m->mtime_s, .tv_nsec = m->mtime_ns } };
	bool is_old = files_is_later(&f->seen.st_mtim, &st.st_mtim);

	if (m->mtime_s == INT64_MIN || is_old || f->drain || f->cutting || f->busy_on_media || f->shared)
		return;
	if (f->nr_handles > 1) {
		if (files_is_later(&st.st_mtim, &f->seen.st_mtim)) {
			files_notice_change(f, &st);
			f->seen.st_mtim = st.st_mtim;
		}
		return;
	}
	if (files_same_content(f, &st))
		st.st_ctim = f->seen.st_ctim;
	files_see_closed(f, &st);
}

void files_close(struct agent *a, struct handle *h, struct conn *c, const union pmio_any_msg *msg)
{
	struct file *f = h->file;
	struct parked *p;

	if (msg)
		see_at_close(f, &msg->close);
	f->nr_handles--;
	f->nr_writers -= !!(h->flags & PMIO_OPEN_WRITE);
	a->nr_early_handles -= is_early(h->flags);
	free_handle(a, h);
	/* the last close answers when the data are on the PFS, or are known not to get there */
	if (c && !f->nr_handles && waits_not(f) && needs_sync(a, f) && !syncs_instead(a, f)) {
		calls_sync(a, c, f, msg);
		files_settle(a, f); /* at its end, if it could begin */
		return;
	}
	if (!c || f->nr_handles || waits_not(f) || (!f->nr_jobs && !needs_drain(a, f))) {
		answer(a, c, msg, 0);
		files_settle(a, f);
		return;
	}
	p = parked_new(c, msg);
	if (!p)
		answer(a, c, msg, -ENOMEM);
	drain_start(a, f, p);
}

/* ---- jobs on a file --------------------------------------------------------------- */

void files_drain(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg)
{
	struct parked *p;

	if (f->nr_handles == 0 && f->state == PMIO_FILE_CLEAN && f->sync_listed && !f->discard && !f->gone) {
		parked_add(a, &f->sync_waiters, c, msg, -1);
		return;
	}
	if (f->nr_handles == 0 && (f->state == PMIO_FILE_CLEAN || f->discard || f->gone)) {
		agent_reply_status(a, c, &msg->hdr, f->gone && !f->discard ? PMIO_EGONE : 0);
		return;
	}
	p = parked_new(c, msg);
	if (!p) {
		agent_reply_status(a, c, &msg->hdr, -ENOMEM);
		return;
	}
	if (f->nr_handles == 0) {
		f->was_held |= f->hold;
		f->hold = false;
		f->state = PMIO_FILE_OPEN;
	}
	f->force |= !!(msg->drain.flags & PMIO_DRAIN_FORCE);
	drain_start(a, f, p);
}

void files_give_up(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg)
{
	if (f->nr_handles || f->unlinking) {
		agent_reply_status(a, c, &msg->hdr, -EBUSY);
		return;
	}
	if (f->nr_jobs) {
		drain_end(f);
		parked_add(a, &f->retries, c, msg, -1);
		return;
	}
	calls_forget(a, c, f, msg);
}

void files_job_begin(struct agent *a, struct file *f)
{
	lru_remove(a, f); /* who needs its frames must look for others */
	f->nr_jobs++;
	a->nr_jobs++;
}

void files_job_end(struct agent *a, struct file *f)
{
	f->nr_jobs--;
	a->nr_jobs--;
	/* first those that a drain would keep waiting once more */
	parked_retry(a, &f->retries);
	if (f->next_drain_waiters)
		drain_start(a, f, NULL);
	files_settle(a, f);
}
