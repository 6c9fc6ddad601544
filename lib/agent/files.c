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
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent_impl.h"

/* ---- chunks ----------------------------------------------------------------- */

struct chunk *files_chunk(struct file *f, uint64_t number)
{
	struct chunk *ch;

	HASH_FIND(hh, f->chunks, &number, sizeof(number), ch);
	return ch;
}

static struct chunk *add_chunk(struct file *f, uint64_t number, int64_t frame)
{
	struct chunk *ch = calloc(1, sizeof(*ch));

	if (!ch)
		return NULL;
	ch->number = number;
	ch->frame = frame;
	HASH_ADD(hh, f->chunks, number, sizeof(ch->number), ch);
	if (frame == PMIO_CLAIM_PFS)
		f->nr_pfs_chunks++;
	return ch;
}

static void del_chunk(struct agent *a, struct file *f, struct chunk *ch)
{
	if (ch->frame >= 0)
		pmio_pool_frame_put(a->pool, (uint64_t)ch->frame);
	else
		f->nr_pfs_chunks--;
	HASH_DEL(f->chunks, ch);
	free(ch);
}

void files_drop_pfs_chunks(struct file *f)
{
	struct chunk *ch, *tmp;

	HASH_ITER(hh, f->chunks, ch, tmp) {
		if (ch->frame >= 0)
			continue;
		f->nr_pfs_chunks--;
		HASH_DEL(f->chunks, ch);
		free(ch);
	}
}

static void del_all_chunks(struct agent *a, struct file *f)
{
	struct chunk *ch, *tmp;

	HASH_ITER(hh, f->chunks, ch, tmp)
		del_chunk(a, f, ch);
}

/* bytes of whole blocks that are dirty or being drained; also those that are valid */
uint64_t files_dirty_bytes(const struct agent *a, const struct file *f, uint64_t *resident)
{
	uint64_t nr_dirty = 0, nr_valid = 0;

	for (struct chunk *ch = f->chunks; ch; ch = ch->hh.next) {
		struct pmio_mask valid, dirty, draining;

		if (ch->frame < 0)
			continue;
		pmio_frame_get(a->view, (uint64_t)ch->frame, &valid, &dirty, &draining);
		for (int i = 0; i < PMIO_MASK_WORDS; i++)
			dirty.w[i] = (dirty.w[i] | draining.w[i]) & valid.w[i];
		nr_valid += pmio_mask_count(&valid);
		nr_dirty += pmio_mask_count(&dirty);
	}
	if (resident)
		*resident = nr_valid << a->view->block_shift;
	return nr_dirty << a->view->block_shift;
}

bool files_any_dirty(const struct agent *a, const struct file *f)
{
	for (struct chunk *ch = f->chunks; ch; ch = ch->hh.next) {
		struct pmio_mask valid, dirty, draining;

		if (ch->frame < 0)
			continue;
		pmio_frame_get(a->view, (uint64_t)ch->frame, &valid, &dirty, &draining);
		for (int i = 0; i < PMIO_MASK_WORDS; i++) {
			if ((dirty.w[i] | draining.w[i]) & valid.w[i])
				return true;
		}
	}
	return false;
}

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

static void close_pfs(struct file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	f->fd_reads = f->fd_writes = false;
}

static void free_file(struct agent *a, struct file *f)
{
	struct chunk *ch, *tmp;

	lru_remove(a, f);
	close_pfs(f);
	HASH_ITER(hh, f->chunks, ch, tmp) {
		HASH_DEL(f->chunks, ch);
		free(ch);
	}
	HASH_DEL(a->files, f);
	a->by_slot[f->slot] = NULL;
	free(f->path);
	free(f);
}

/* the slot goes first, in one store; then its frames are free for others */
static void forget(struct agent *a, struct file *f)
{
	pmio_pool_file_remove(a->pool, f->slot);
	del_all_chunks(a, f);
	free_file(a, f);
}

static void set_seen(struct file *f, const struct stat *st)
{
	f->seen = *st;
	f->pfs_size = (uint64_t)st->st_size;
	if (f->foreign) /* what no file has: the next open drops what is cached */
		f->seen.st_ctim = (struct timespec){ 0, 0 };
}

static bool same_as_seen(const struct file *f, const struct stat *st)
{
	return (uint64_t)st->st_size == f->pfs_size &&
	       st->st_mtim.tv_sec == f->seen.st_mtim.tv_sec &&
	       st->st_mtim.tv_nsec == f->seen.st_mtim.tv_nsec &&
	       st->st_ctim.tv_sec == f->seen.st_ctim.tv_sec &&
	       st->st_ctim.tv_nsec == f->seen.st_ctim.tv_nsec;
}

void files_notice_change(struct file *f)
{
	struct stat st;

	if (f->busy_on_media || f->foreign || fstat(f->fd, &st) < 0 || same_as_seen(f, &st))
		return;
	pmio_info("agent: %s was changed on the file system while it was in use here", f->path);
	f->foreign = true;
}

static void to_entry(const struct file *f, struct pmio_pool_file *e)
{
	memset(e, 0, sizeof(*e));
	e->state = f->state;
	e->flags = f->busy_on_media ? PMIO_FILE_PFS_BUSY : 0;
	e->dev = f->key.dev;
	e->ino = f->key.ino;
	e->pfs_size = f->pfs_size;
	e->mtime_s = f->seen.st_mtim.tv_sec;
	e->mtime_ns = f->seen.st_mtim.tv_nsec;
	e->ctime_s = f->seen.st_ctim.tv_sec;
	e->ctime_ns = f->seen.st_ctim.tv_nsec;
	e->mode = f->seen.st_mode & 07777;
	e->error = f->error;
	snprintf(e->path, sizeof(e->path), "%s", f->path);
}

int files_record(struct agent *a, struct file *f, bool refresh)
{
	struct pmio_pool_file e, old;
	struct stat st;

	if (refresh && f->fd >= 0) {
		if (fstat(f->fd, &st) < 0)
			return -errno;
		set_seen(f, &st);
	}
	to_entry(f, &e);
	if (pmio_pool_file_get(a->pool, f->slot, &old) == 0) {
		e.generation = old.generation;
		if (memcmp(&e, &old, sizeof(e)) == 0)
			return 0;
	}
	return pmio_pool_file_set(a->pool, f->slot, &e);
}

static void hash_file(struct agent *a, struct file *f)
{
	HASH_ADD(hh, a->files, key, sizeof(f->key), f);
	a->by_slot[f->slot] = f;
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
	forget(a, f);
	return true;
}

static int new_file(struct agent *a, const char *path, const struct stat *st, struct file **out)
{
	struct pmio_pool_file e;
	struct file *f = calloc(1, sizeof(*f));
	int rc = -ENOMEM;

	if (!f)
		return rc;
	f->path = strdup(path);
	if (!f->path)
		goto err;
	f->fd = -1;
	f->key.dev = st->st_dev;
	f->key.ino = st->st_ino;
	f->state = PMIO_FILE_CLEAN;
	set_seen(f, st);
	to_entry(f, &e);
	do
		rc = pmio_pool_file_add(a->pool, &e, (uint64_t)st->st_size, &f->slot);
	while ((rc == -ENFILE || rc == -ENOSPC) && evict_file(a));
	if (rc < 0) {
		pmio_err("agent: %s: no room in the pool's catalog: %s", path, pmio_strerror(rc));
		goto err;
	}
	hash_file(a, f);
	*out = f;
	return 0;
err:
	free(f->path);
	free(f);
	return rc;
}

/* ---- loading what an earlier agent left ------------------------------------------ */

/*
 * Network file systems and btrfs may have another device number after each mount:
 * the same name, inode, size and times are the same file.
 */
static void adopt_device(struct file *f)
{
	struct stat st;

	if (stat(f->path, &st) < 0 || st.st_ino != f->key.ino || st.st_dev == f->key.dev)
		return;
	if (!f->busy_on_media && !same_as_seen(f, &st))
		return;
	pmio_info("agent: %s is on another device now", f->path);
	f->key.dev = st.st_dev;
}

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
	f->fd = -1;
	f->slot = slot;
	f->key.dev = e->dev;
	f->key.ino = e->ino;
	f->state = (enum pmio_file_state)e->state;
	f->error = e->error;
	f->hold = f->state == PMIO_FILE_HELD;
	f->wrote = f->state != PMIO_FILE_CLEAN;
	f->recovered = f->state == PMIO_FILE_OPEN;
	f->busy_on_media = e->flags & PMIO_FILE_PFS_BUSY;
	f->pfs_size = e->pfs_size;
	f->seen.st_size = (off_t)e->pfs_size;
	f->seen.st_mtim.tv_sec = e->mtime_s;
	f->seen.st_mtim.tv_nsec = e->mtime_ns;
	f->seen.st_ctim.tv_sec = e->ctime_s;
	f->seen.st_ctim.tv_nsec = e->ctime_ns;
	f->seen.st_mode = e->mode;
	adopt_device(f);
	HASH_FIND(hh, a->files, &f->key, sizeof(f->key), twin);
	if (twin)
		pmio_err("agent: %s and %s are the same file in the catalog", f->path, twin->path);
	hash_file(a, f);
	return 0;
}

static int load_frame(uint64_t frame, uint32_t slot, uint64_t chunk, void *arg)
{
	struct agent *a = arg;

	return a->by_slot[slot] && add_chunk(a->by_slot[slot], chunk, (int64_t)frame) ? 0 : -ENOMEM;
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
			  strerror(f->error), next);
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
		report_waiting(a, f);
		if (f->recovered) {
			struct timespec now;

			/* clients of the old agent may still store into its frames until they notice */
			clock_gettime(CLOCK_MONOTONIC, &now);
			a->evict_not_before = now.tv_sec + 10;
		}
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

void files_free(struct agent *a)
{
	struct file *f, *tmp;

	HASH_ITER(hh, a->files, f, tmp)
		free_file(a, f);
	free(a->by_slot);
	a->by_slot = NULL;
}

/* ---- open ------------------------------------------------------------------------ */

static int pfs_flags(uint32_t flags)
{
	int oflags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

	/* partly written blocks need the rest of them: so read, too, where that is allowed */
	oflags |= flags & PMIO_OPEN_WRITE ? O_RDWR : O_RDONLY;
	if (flags & PMIO_OPEN_CREATE)
		oflags |= O_CREAT;
	if (flags & PMIO_OPEN_EXCL)
		oflags |= O_EXCL;
	return oflags;
}

static int open_pfs(const char *path, uint32_t flags, mode_t mode, struct stat *st, bool *reads)
{
	int oflags = pfs_flags(flags);
	int fd = open(path, oflags, mode);

	*reads = true;
	if (fd < 0 && errno == EACCES && (flags & PMIO_OPEN_WRITE) && !(flags & PMIO_OPEN_READ)) {
		fd = open(path, (oflags & ~O_ACCMODE) | O_WRONLY, mode);
		*reads = false;
	}
	if (fd < 0)
		return -errno;
	if (fstat(fd, st) < 0) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	if (!S_ISREG(st->st_mode)) {
		close(fd);
		return S_ISDIR(st->st_mode) ? -EISDIR : -EINVAL;
	}
	return fd;
}

/* is this path a name of the file? */
static bool names(const struct file *f, const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && st.st_dev == f->key.dev && st.st_ino == f->key.ino;
}

/* it was found under this name; if the one that we know is no longer its, it was renamed */
static void adopt_name(struct agent *a, struct file *f, const char *path)
{
	char *copy;

	if (strcmp(f->path, path) == 0 || names(f, f->path))
		return;
	copy = strdup(path);
	if (!copy)
		return;
	free(f->path);
	f->path = copy;
	files_record(a, f, false);
}

/* what waits was written to this very content; a rename or chmod changes only ctime */
static bool fits_waiting_data(const struct file *f, const struct stat *st)
{
	if (f->busy_on_media)
		return names(f, f->path); /* we changed it ourselves when we were cut off */
	return (uint64_t)st->st_size == f->pfs_size &&
	       st->st_mtim.tv_sec == f->seen.st_mtim.tv_sec &&
	       st->st_mtim.tv_nsec == f->seen.st_mtim.tv_nsec;
}

static int refuse_changed(const struct file *f)
{
	pmio_err("agent: %s was changed on the file system, but data for it wait in the pool: "
		 "`pmio drain` writes them over it, `pmio rm` gives them up", f->path);
	return PMIO_ECHANGED;
}

/* nobody has the file open: is the PFS file still what we knew? */
static int revalidate(struct agent *a, struct file *f, const char *path, const struct stat *st,
		      struct file **out)
{
	*out = f;
	if (f->draining || f->nr_jobs)
		return 0;
	if (f->state != PMIO_FILE_CLEAN) {
		if (!fits_waiting_data(f, st))
			return refuse_changed(f);
		adopt_name(a, f, path);
		return 0;
	}
	if (!f->busy_on_media && same_as_seen(f, st)) {
		adopt_name(a, f, path);
		return 0;
	}
	pmio_info("agent: %s was changed on the file system: dropping what the pool had of it", f->path);
	forget(a, f);
	return new_file(a, path, st, out);
}

/* data wait for a file of this name that is no longer there: do not open another one beside it */
static struct file *find_waiting(struct agent *a, const char *path)
{
	struct file *f;

	for (f = a->files; f; f = f->hh.next) {
		if (f->nr_handles == 0 && f->state != PMIO_FILE_CLEAN && strcmp(f->path, path) == 0)
			break;
	}
	return f;
}

static int find_or_add(struct agent *a, const char *path, const struct stat *st, struct file **out)
{
	struct file_key key = { st->st_dev, st->st_ino };
	struct file *f;

	HASH_FIND(hh, a->files, &key, sizeof(key), f);
	if (!f) {
		f = find_waiting(a, path);
		return f ? refuse_changed(f) : new_file(a, path, st, out);
	}
	if (f->nr_handles == 0)
		return revalidate(a, f, path, st, out);
	*out = f;
	return 0;
}

/* keep the descriptor that can do more */
static void adopt_fd(struct file *f, int fd, bool writes, bool reads)
{
	if (f->fd >= 0 && (f->fd_writes || !writes) && (f->fd_reads || !reads)) {
		close(fd);
		return;
	}
	if (f->draining || f->nr_jobs) {
		/* workers use the old one: let the number stay, and mean the new file description */
		if (dup3(fd, f->fd, O_CLOEXEC) < 0)
			pmio_err("agent: %s: dup: %s", f->path, strerror(errno));
		close(fd);
	} else {
		close_pfs(f);
		f->fd = fd;
	}
	f->fd_writes = writes;
	f->fd_reads = reads;
}

static int add_handle(struct agent *a, struct conn *c, struct file *f, const char *path,
		      uint32_t flags, struct handle **out)
{
	struct handle *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	if (strcmp(path, f->path) != 0) {
		h->path = strdup(path);
		if (!h->path) {
			free(h);
			return -ENOMEM;
		}
	}
	h->id = ++a->next_handle;
	h->conn = c;
	h->file = f;
	h->flags = flags;
	HASH_ADD(hh, a->handles, id, sizeof(h->id), h);
	lru_remove(a, f);
	f->nr_handles++;
	f->recovered = false;
	if (flags & PMIO_OPEN_WRITE) {
		f->nr_writers++;
		f->wrote = true;
		f->hold = flags & PMIO_OPEN_HOLD;
	}
	f->drop_cache = flags & PMIO_OPEN_DROP;
	*out = h;
	return 0;
}

int files_open(struct agent *a, struct conn *c, const struct pmio_open_msg *m, struct handle **out)
{
	struct file *f = NULL;
	struct stat st;
	bool reads;
	int rc, fd;

	if ((m->flags & PMIO_OPEN_CREATE) && access(m->path, F_OK) < 0 && errno == ENOENT) {
		f = find_waiting(a, m->path);
		if (f)
			return refuse_changed(f);
	}
	fd = open_pfs(m->path, m->flags, m->mode, &st, &reads);
	if (fd < 0)
		return fd;
	rc = find_or_add(a, m->path, &st, &f);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	adopt_fd(f, fd, m->flags & PMIO_OPEN_WRITE, reads);
	rc = add_handle(a, c, f, m->path, m->flags, out);
	if (rc == 0 && (m->flags & PMIO_OPEN_WRITE) && f->state != PMIO_FILE_OPEN) {
		f->state = PMIO_FILE_OPEN;
		f->error = 0;
		rc = files_record(a, f, false);
	}
	if (rc < 0 && *out) {
		int ignored;

		files_close(a, *out, false, NULL, NULL, &ignored);
		*out = NULL;
	} else if (rc < 0) {
		files_settle(a, f);
	}
	return rc;
}

/* ---- close ------------------------------------------------------------------------- */

static bool needs_drain(struct agent *a, struct file *f)
{
	/* what clients wrote to the PFS themselves is made durable by a drain, too */
	return f->wrote && (f->nr_pfs_chunks || files_any_dirty(a, f) ||
			    pmio_pool_file_size(a->pool, f->slot) != f->pfs_size);
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
		del_chunk(a, f, ch); /* chunks on the PFS get another chance at the next open */
	}
}

static void cache_or_forget(struct agent *a, struct file *f)
{
	if (f->busy_on_media || f->wrote || f->state != PMIO_FILE_CLEAN) {
		f->state = PMIO_FILE_CLEAN;
		f->error = 0;
		f->busy_on_media = false;
		if (files_record(a, f, false) < 0)
			f->drop_cache = true; /* what the catalog says would be wrong */
	}
	f->wrote = false;
	f->recovered = false;
	if (files_frames_may_move(a))
		trim_chunks(a, f);
	close_pfs(f);
	if (f->drop_cache && files_frames_may_move(a))
		forget(a, f);
	else
		lru_add(a, f);
}

/*
 * Delete on close: the name goes with the close that asked for it, be it a symbolic
 * link; the data go with the last handle if no other name is left.
 */
static void remove_name(struct file *f, const char *path)
{
	struct stat st;

	if (names(f, path) && unlink(path) < 0)
		pmio_err("agent: remove %s: %s", path, strerror(errno));
	if (f->fd >= 0 && fstat(f->fd, &st) == 0 && st.st_nlink == 0)
		f->discard = true;
}

/* a drain could not even begin: the data wait for the next try */
static void drain_failed(struct agent *a, struct file *f, int rc)
{
	f->state = PMIO_FILE_FAILED;
	f->error = rc > PMIO_ENOTPOOL ? -rc : EIO;
	files_record(a, f, false);
	close_pfs(f);
}

void files_settle(struct agent *a, struct file *f)
{
	int rc;

	if (f->nr_handles || f->nr_jobs)
		return;
	if (f->discard) {
		forget(a, f);
		return;
	}
	if (f->state == PMIO_FILE_FAILED) {
		close_pfs(f);
		return;
	}
	if (!needs_drain(a, f)) {
		cache_or_forget(a, f);
		return;
	}
	if (f->hold) {
		f->state = PMIO_FILE_HELD;
		files_record(a, f, f->nr_pfs_chunks != 0); /* clients wrote to it themselves */
		close_pfs(f);
		return;
	}
	rc = drain_start(a, f, NULL);
	if (rc < 0)
		drain_failed(a, f, rc);
}

bool files_close(struct agent *a, struct handle *h, bool discard_it, struct conn *c,
		 const union pmio_any_msg *msg, int *status)
{
	struct file *f = h->file;
	struct parked *p;

	if (discard_it)
		remove_name(f, h->path ? h->path : f->path);
	f->nr_handles--;
	f->nr_writers -= !!(h->flags & PMIO_OPEN_WRITE);
	HASH_DEL(a->handles, h);
	free(h->path);
	free(h);
	if (f->nr_handles || !c) {
		files_settle(a, f);
		return false;
	}
	/* the last close answers when the data are on the PFS, or are known not to get there */
	if (f->discard || f->hold || f->state == PMIO_FILE_FAILED ||
	    (!f->nr_jobs && !needs_drain(a, f))) {
		files_settle(a, f);
		return false;
	}
	p = parked_new(c, msg);
	if (!p) {
		*status = -ENOMEM;
		files_settle(a, f);
		return false;
	}
	*status = drain_start(a, f, p);
	if (*status == 0)
		return true;
	free(p);
	drain_failed(a, f, *status);
	return false;
}

/* ---- the rest ------------------------------------------------------------------------ */

struct file *files_find_path(struct agent *a, const char *path)
{
	struct stat st;
	struct file *f;

	if (stat(path, &st) == 0) {
		struct file_key key = { st.st_dev, st.st_ino };

		HASH_FIND(hh, a->files, &key, sizeof(key), f);
		if (f) {
			adopt_name(a, f, path);
			return f;
		}
	}
	for (f = a->files; f; f = f->hh.next) {
		if (strcmp(f->path, path) == 0)
			return f;
	}
	return NULL;
}

int files_delete(struct agent *a, const char *path)
{
	struct file *f = files_find_path(a, path);
	struct stat st;
	bool whole; /* the name is the file: no symbolic link to it, no other hard link */
	int rc = 0;

	whole = lstat(path, &st) < 0 || (S_ISREG(st.st_mode) && st.st_nlink <= 1);
	if (unlink(path) < 0)
		rc = errno == EPERM && S_ISDIR(st.st_mode) ? -EISDIR : -errno;
	if (rc == -ENOENT && f && f->nr_handles == 0 && strcmp(f->path, path) == 0)
		rc = 0; /* the PFS file was gone already; what waits for it goes now */
	if (rc < 0 || !f || !whole)
		return rc;
	f->discard = true;
	files_settle(a, f);
	return 0;
}

/* blocks wholly beyond size become empty; what is left of the last one becomes zero */
static void cut_chunk(struct agent *a, struct chunk *ch, uint64_t size)
{
	struct pmio_view *v = a->view;
	uint64_t start = ch->number << v->chunk_shift, end = size > start ? size - start : 0;
	unsigned first = (unsigned)((end + v->block_size - 1) >> v->block_shift);
	struct pmio_mask m;

	if (ch->frame < 0 || end >= v->chunk_size)
		return;
	if (end & (v->block_size - 1)) {
		uint8_t *p = pmio_view_frame(v, (uint64_t)ch->frame) + end;

		pmio_pm_zero(v->pm, p, v->block_size - (end & (v->block_size - 1)));
		pmio_pm_fence(v->pm);
	}
	if (first < PMIO_CHUNK_BLOCKS) {
		pmio_mask_range(&m, first, PMIO_CHUNK_BLOCKS - 1);
		pmio_frame_drop(v, (uint64_t)ch->frame, &m);
	}
}

/*
 * Crash table: T1 the catalog says that we change the PFS file; T2 the slot's
 * size; T3 blocks beyond are empty; T4 the PFS file is cut; T5 recorded.
 * before T2: as it was.  After T2: the new size; recovery empties what T3 did
 * not, and the drain that follows cuts the PFS file (sizes differ).
 */
int files_truncate(struct agent *a, struct file *f, uint64_t size)
{
	uint64_t old = pmio_pool_file_size(a->pool, f->slot);
	int rc;

	if (size >= old) { /* at least: a client may be raising it further at this moment */
		struct pmio_slot_df *slot = &a->view->slots[f->slot];

		pmio_pm_max64(a->view->pm, &slot->size, size);
		pmio_pm_flush(a->view->pm, &slot->size, sizeof(slot->size));
		pmio_pm_fence(a->view->pm);
		return 0;
	}
	f->busy_on_media = true;
	rc = files_record(a, f, false);
	if (rc < 0)
		return rc;
	pmio_pool_file_set_size(a->pool, f->slot, size);
	for (struct chunk *ch = f->chunks; ch; ch = ch->hh.next)
		cut_chunk(a, ch, size);
	if ((size < f->pfs_size || f->nr_pfs_chunks) && ftruncate(f->fd, (off_t)size) < 0) {
		rc = -errno;
		pmio_err("agent: %s: ftruncate: %s", f->path, strerror(errno));
		return rc;
	}
	return files_record(a, f, true);
}

/* the frames of the closed, clean file that was longest unused */
static bool evict_frames(struct agent *a)
{
	struct file *f = a->lru;

	if (!f || !files_frames_may_move(a))
		return false;
	a->evicted_chunks += HASH_COUNT(f->chunks);
	forget(a, f);
	return true;
}

/* blank frames are for chunks that are written in pieces: others gain nothing by them */
static uint64_t take_frame(struct agent *a, struct file *f, uint64_t number, uint32_t how)
{
	uint64_t frame = PMIO_NO_FRAME;

	if ((how & PMIO_CLAIM_WRITE) && !(how & PMIO_CLAIM_WHOLE) &&
	    number << a->view->chunk_shift >= f->pfs_size)
		frame = pmio_pool_frame_get_zero(a->pool, f->slot, number);
	return frame != PMIO_NO_FRAME ? frame : pmio_pool_frame_get(a->pool, f->slot, number);
}

static struct chunk *claim_new(struct agent *a, struct file *f, uint64_t number, uint32_t how,
			       bool no_pfs, bool optional, int *rc)
{
	uint64_t frame;
	struct chunk *ch;

	do
		frame = take_frame(a, f, number, how);
	while (frame == PMIO_NO_FRAME && !optional && evict_frames(a));
	if (frame == PMIO_NO_FRAME && (optional || no_pfs)) {
		*rc = -ENOSPC;
		if (!optional)
			pmio_err("agent: %s: the pool is full, and fallback=error", f->path);
		return NULL;
	}
	if (frame == PMIO_NO_FRAME && f->draining) {
		*rc = -EBUSY;
		return NULL;
	}
	if (frame == PMIO_NO_FRAME) {
		if (a->fallback_chunks++ == 0)
			pmio_warn("agent: the pool is full: going on with the file system for what "
				  "does not fit");
		if (!f->busy_on_media && f->wrote) {
			f->busy_on_media = true;
			files_record(a, f, false);
		}
	}
	ch = add_chunk(f, number, frame == PMIO_NO_FRAME ? PMIO_CLAIM_PFS : (int64_t)frame);
	if (!ch) {
		*rc = -ENOMEM;
		if (frame != PMIO_NO_FRAME)
			pmio_pool_frame_put(a->pool, frame);
	}
	return ch;
}

struct chunk *files_claim(struct agent *a, struct file *f, uint64_t number, uint32_t how, bool no_pfs,
			  bool optional, int *rc)
{
	struct chunk *ch = files_chunk(f, number);

	*rc = 0;
	/* a drain sets the PFS file's size at its end: nobody else may change it meanwhile */
	if (ch && ch->frame == PMIO_CLAIM_PFS && f->draining) {
		*rc = -EBUSY;
		return NULL;
	}
	if (ch)
		return ch;
	if (number > (uint64_t)INT64_MAX >> a->view->chunk_shift) {
		*rc = -EFBIG;
		return NULL;
	}
	if (!(how & PMIO_CLAIM_WRITE) && number << a->view->chunk_shift >= f->pfs_size)
		return NULL;
	/* frames claimed ahead must not crowd out what is needed now */
	if (optional && pmio_pool_frames_free(a->pool) < a->view->nr_frames / 8) {
		*rc = -ENOSPC;
		return NULL;
	}
	return claim_new(a, f, number, how, no_pfs, optional, rc);
}

int files_reopen_pfs(struct agent *a, struct file *f)
{
	struct stat st;
	bool reads;
	int fd;

	(void)a;
	if (f->fd >= 0 && f->fd_writes)
		return 0;
	fd = open_pfs(f->path, PMIO_OPEN_WRITE, 0, &st, &reads);
	if (fd < 0) {
		pmio_err("agent: drain %s: %s", f->path, pmio_strerror(fd));
		return fd;
	}
	if (st.st_dev != f->key.dev || st.st_ino != f->key.ino) {
		pmio_err("agent: drain %s: another file has that name now", f->path);
		close(fd);
		return PMIO_ECHANGED;
	}
	adopt_fd(f, fd, true, reads);
	return 0;
}
