/*
 * file.c -- the files that the agent knows: their table, the identity of each, and its entry in the catalog
 *
 * A file is known from its first open until its slot is given to another file.  idle.c decides what
 * happens to it when a program closes it or a job ends; file_state.c has the states.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>
#include <utlist.h>

#include "agent/file.h"
#include "agent/file_seen.h"
#include "agent/pfs_fd.h"
#include "agent/state.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/log.h"

#define CLOSE_MAX 32 /* descriptors at a time */

#define NO_INODE(slot) (UINT64_MAX - (slot)) /* in the catalog, with device 0: of a file that has no name any more */

/* ---- the table ------------------------------------------------------------------ */

/* ---- a file's life ------------------------------------------------------------ */

void files_leave_list(struct agent *a, struct file *f)
{
	switch (f->list) {
	case FILE_IN_NO_LIST:
		break;
	case FILE_IN_LRU:
		DL_DELETE(a->lru, f);
		break;
	case FILE_IN_MAY_PACK:
		DL_DELETE(a->may_pack, f);
		break;
	}
	f->list = FILE_IN_NO_LIST;
}

void files_lru_remove(struct agent *a, struct file *f)
{
	if (f->list == FILE_IN_LRU)
		files_leave_list(a, f);
}

void files_lru_add(struct agent *a, struct file *f)
{
	files_leave_list(a, f);
	DL_APPEND(a->lru, f);
	f->list = FILE_IN_LRU;
}

void files_pack_add(struct agent *a, struct file *f)
{
	files_leave_list(a, f);
	DL_APPEND(a->may_pack, f);
	f->list = FILE_IN_MAY_PACK;
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

void files_delete(struct agent *a, struct file *f)
{
	struct chunk *ch, *tmp;

	files_leave_list(a, f);
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

/* ---- the catalog ------------------------------------------------------------------ */

/* must the next agent complete its removal? */
static bool is_removing(const struct file *f)
{
	return file_is_unlinked(f) || f->removal == FILE_REMOVED;
}

static void to_entry(const struct file *f, struct pmio_pool_file *e)
{
	memset(e, 0, sizeof(*e));
	e->state = f->state;
	e->flags = (f->on_pfs.busy ? PMIO_FILE_PFS_BUSY : 0) | (is_removing(f) ? PMIO_FILE_REMOVING : 0) |
		   (f->on_pfs.cut_pending ? PMIO_FILE_CUT : 0) | (file_is_shared(f) ? PMIO_FILE_SHARED : 0) |
		   (f->is_new ? PMIO_FILE_NEW : 0) | (f->unsynced ? PMIO_FILE_UNSYNCED : 0);
	e->birth_ns = f->birth_ns;
	e->dev = f->no_inode ? 0 : f->key.dev;
	e->ino = f->no_inode ? NO_INODE(f->slot) : f->key.ino;
	e->pfs_size = f->on_pfs.size;
	e->mtime_s = f->on_pfs.seen.st_mtim.tv_sec;
	e->mtime_ns = f->on_pfs.seen.st_mtim.tv_nsec;
	e->ctime_s = f->on_pfs.seen.st_ctim.tv_sec;
	e->ctime_ns = f->on_pfs.seen.st_ctim.tv_nsec;
	e->mode = f->on_pfs.seen.st_mode & 07777;
	e->error = f->error;
	snprintf(e->path, sizeof(e->path), "%s", f->path);
}

int files_update_catalog(struct agent *a, struct file *f)
{
	struct pmio_pool_file e, old;

	to_entry(f, &e);
	memset(&old, 0, sizeof(old)); /* its path is only filled up to the end of the string */
	if (pmio_pool_file_get(a->pool, f->slot, &old) == 0) {
		e.generation = old.generation;
		if (memcmp(&e, &old, sizeof(e)) == 0)
			return 0;
	}
	return pmio_pool_file_set(a->pool, f->slot, &e);
}

/*
 * Clients of an agent that died may continue to store into the frames they know until
 * they notice: for some seconds after a recovery no frame is given to another file.
 */
bool files_frames_may_move(const struct agent *a)
{
	return pmio_now_ms() >= a->evict_not_before_ms;
}

int files_insert(struct agent *a, const char *path, uint32_t flags, const struct stat *st, int64_t birth_ns, struct file **out)
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
	rc = pmio_pool_file_add(a->pool, &e, (uint64_t)st->st_size, &f->slot);
	if (rc < 0)
		goto err;
	hash_file(a, f);
	a->by_slot[f->slot] = f;
	*out = f;
	return 0;
err:
	free(f->path);
	free(f);
	return rc;
}

/* ---- loading the files of an earlier agent ---------------------------------------- */

int files_load_entry(struct agent *a, uint32_t slot, const struct pmio_pool_file *e)
{
	struct file *f = calloc(1, sizeof(*f)), *twin;
	struct pmio_packed p;

	if (!f)
		return -ENOMEM;
	f->path = strdup(e->path);
	if (!f->path) {
		free(f);
		return -ENOMEM;
	}
	f->slot = slot;
	f->packed = pmio_pool_packed(a->pool, slot, &p);
	f->key.dev = e->dev;
	f->key.ino = e->ino;
	f->birth_ns = e->birth_ns;
	f->state = (enum pmio_file_state)e->state;
	f->error = e->error;
	f->is_new = e->flags & PMIO_FILE_NEW;
	f->unsynced = e->flags & PMIO_FILE_UNSYNCED;
	f->on_pfs.lost_sync = (f->is_new || f->unsynced) && pmio_pool_rebooted(a->pool);
	if (f->on_pfs.lost_sync && f->unsynced && f->state == PMIO_FILE_CLEAN)
		file_event(f, FILE_DRAIN_WANTED);
	f->on_pfs.changed = -f->error == PMIO_ECHANGED;
	f->on_pfs.marked = f->state != PMIO_FILE_CLEAN;
	f->hold = f->state == PMIO_FILE_HELD ? FILE_ON_HOLD : FILE_NO_HOLD;
	f->wrote = f->state != PMIO_FILE_CLEAN;
	f->recovered = f->state == PMIO_FILE_OPEN;
	f->on_pfs.seen_closed = true;
	f->policy.verify = a->config->verify;
	f->on_pfs.busy = e->flags & PMIO_FILE_PFS_BUSY;
	f->removal = e->flags & PMIO_FILE_REMOVING ? FILE_REMOVAL_RESUMED : FILE_STAYS;
	f->no_inode = e->dev == 0 && e->ino == NO_INODE(slot);
	if (f->no_inode && f->removal == FILE_STAYS)
		f->removal = FILE_KEPT_NAMELESS;
	f->on_pfs.size = e->pfs_size;
	f->sharing = e->flags & PMIO_FILE_SHARED ? FILE_SHARED : FILE_OF_ONE_NODE;
	/* what others have drained since must not be cut off */
	f->on_pfs.cut_pending = (e->flags & PMIO_FILE_CUT) && !file_is_shared(f);
	/* a truncation was interrupted: what the PFS file has beyond is no longer part of the file */
	if (f->on_pfs.busy && !file_is_shared(f) && f->on_pfs.size > pmio_pool_file_size(a->pool, slot)) {
		f->on_pfs.size = pmio_pool_file_size(a->pool, slot);
		f->on_pfs.cut_pending = true;
	}
	f->on_pfs.seen.st_size = (off_t)e->pfs_size;
	f->on_pfs.seen.st_mtim.tv_sec = e->mtime_s;
	f->on_pfs.seen.st_mtim.tv_nsec = e->mtime_ns;
	f->on_pfs.seen.st_ctim.tv_sec = e->ctime_s;
	f->on_pfs.seen.st_ctim.tv_nsec = e->ctime_ns;
	f->on_pfs.seen.st_mode = e->mode;
	HASH_FIND(hh, a->files, &f->key, sizeof(f->key), twin);
	if (twin)
		pmio_err("agent: %s and %s are the same file in the catalog", f->path, twin->path);
	hash_file(a, f);
	a->by_slot[f->slot] = f;
	return 0;
}

/* ---- identity and name ---------------------------------------------- */

/*
 * Network file systems and btrfs may have another device number after each mount:
 * the same inode, size and times under the same name are the same file.
 */
bool files_adopt_device(struct agent *a, struct file *f, const struct stat *st)
{
	struct file_key key = { st->st_dev, st->st_ino };
	struct file *twin;

	if (st->st_ino != f->key.ino || st->st_dev == f->key.dev ||
	    (!f->on_pfs.busy && !files_same_as_seen(f, st)))
		return false;
	HASH_FIND(hh, a->files, &key, sizeof(key), twin);
	if (twin)
		return false;
	pmio_info("agent: %s: its device number has changed", f->path);
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
	files_update_catalog(a, f);
}

void files_update_name(struct agent *a, struct file *f)
{
	char name[PATH_MAX];

	if (f->pfs && f->sees_names && pmio_pfs_name(f->pfs->fd, name) == 0)
		files_adopt_name(a, f, name);
}

void files_become(struct agent *a, struct file *f, const struct pmio_pfs_id *id, const struct stat *st)
{
	unhash_file(a, f);
	f->key = (struct file_key){ id->dev, id->ino };
	f->birth_ns = id->birth_ns;
	hash_file(a, f);
	files_set_seen(f, st);
	f->on_pfs.busy = f->on_pfs.cut_pending = f->on_pfs.changed = false;
	f->on_pfs.seen_closed = true;
}

void files_lose_inode(struct agent *a, struct file *f)
{
	unhash_file(a, f);
	f->key = (struct file_key){ 0, NO_INODE(f->slot) };
	hash_file(a, f);
	f->no_inode = true;
	pfs_put(a, &f->pfs);
}

bool files_pfs_can_as_much(const struct pfs_fd *new, const struct pfs_fd *old)
{
	return !old || (new->writes >= old->writes && new->reads >= old->reads);
}

void files_adopt_pfs(struct agent *a, struct file *f, struct pfs_fd **pfs)
{
	struct pfs_fd *old = f->pfs, *new = *pfs;
	bool more = !old || new->writes > old->writes || new->reads > old->reads;
	bool as_much = files_pfs_can_as_much(new, old);

	if (f->reopen ? !as_much : !more) {
		pfs_put(a, pfs);
		return;
	}
	f->pfs = *pfs;
	*pfs = NULL;
	f->reopen = false;
	pfs_put(a, &old); /* jobs that use it have their own reference */
}

/*
 * clients have descriptors of their own as long as a file is open, and files with pending data are found again by their
 * names
 */
unsigned files_close_some(struct agent *a)
{
	for (struct file *f = a->files; f && a->nr_closing < CLOSE_MAX; f = f->hh.next) {
		if (f->pfs && f->pfs->refs == 1 && !file_is_gone(f) && !file_is_busy(f))
			pfs_put(a, &f->pfs);
	}
	return a->nr_closing;
}
