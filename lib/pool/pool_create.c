/*
 * pool_create.c -- making pools and removing them
 */
#include "pool/pool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>
#include <uuid.h>

#include "core/backoff.h"
#include "core/log.h"
#include "core/system.h"
#include "pmio.h"
#include "pool/catalog.h"
#include "pool/pool_dir.h"

#define CREATE_WAIT_MS 10000 /* for another process that is making the same pool */
#define CREATE_POLL_MS 10
#define RESERVE_STEP (1ULL << 30)  /* bytes */
#define PREFAULT_STEP (16u << 20) /* bytes */
#define RAMFS 0x858458f6 /* f_type; linux/magic.h */

/* ---- memory -------------------------------------------------------------------- */

static bool is_memory(int dir_fd)
{
	struct statfs fs;

	return pmio_pm_fd_is_tmpfs(dir_fd) ||
	       (fstatfs(dir_fd, &fs) == 0 && (unsigned long)fs.f_type == RAMFS);
}

/* the share of the memory that a pool may have: the rest is for the programs that use it */
static uint64_t share_of(uint64_t room)
{
	return room == UINT64_MAX ? room : room - room / 8;
}

/*
 * A pool on a tmpfs is memory, filled when it is made.  Exceeding a cgroup's limit is not an
 * error: the kernel kills a process, which may be the program.
 */
static int check_memory(int dir_fd, const char *dir, uint64_t size, uint64_t besides)
{
	struct pmio_memory_room room;

	if (!is_memory(dir_fd))
		return 0;
	pmio_memory_room(&pmio_system, &room);
	if (size <= UINT64_MAX - besides && size + besides <= share_of(room.bytes))
		return 0;
	pmio_err("pool %s: %" PRIu64 " MiB of memory, and %" PRIu64 " MiB for its catalog, are too much: %s, of %" PRIu64
		 " MiB, has %" PRIu64 " MiB left, of which a pool may use %" PRIu64 " MiB", dir, size >> 20,
		 besides >> 20, room.what, room.limit >> 20, room.bytes >> 20, share_of(room.bytes) >> 20);
	return -ENOSPC;
}

/* ---- data ---------------------------------------------------------------------- */

/* progress of the creation of `data`: reserving is one half of it, prefaulting the other */
struct steps {
	const struct pmio_pool_params *params; /* as the caller gave them */
	uint64_t size;			       /* bytes */
};

static void show_step(const struct steps *s, uint64_t reserved, uint64_t prefaulted)
{
	if (s->params->progress)
		s->params->progress(reserved / 2 + prefaulted / 2, s->size, s->params->progress_arg);
}

/*
 * Bytes that are free for this user; UINT64_MAX: the file system does not tell.  Asked
 * first, since space is reserved in steps: a pool that does not fit must not fill a
 * tmpfs, which is memory, completely before that is noticed.
 */
static uint64_t free_bytes(int fd)
{
	struct statvfs st;

	if (fstatvfs(fd, &st) < 0 || st.f_blocks == 0)
		return UINT64_MAX;
	return (uint64_t)(geteuid() == 0 ? st.f_bfree : st.f_bavail) * st.f_frsize;
}

/* posix_fallocate() is interrupted by signals */
static int reserve_step(int fd, uint64_t at, uint64_t len)
{
	int err;

	do {
		err = posix_fallocate(fd, (off_t)at, (off_t)len);
	} while (err == EINTR);
	return -err;
}

int pmio_pool_reserve(int fd, uint64_t from, uint64_t to,
		      void (*step)(uint64_t at, void *arg), void *arg)
{
	struct rlimit lim;
	int rc = 0;

	if (to > from && to - from > free_bytes(fd))
		return -ENOSPC;
	/* the kernel would also send a signal that kills this process */
	if (getrlimit(RLIMIT_FSIZE, &lim) == 0 && lim.rlim_cur != RLIM_INFINITY && to > lim.rlim_cur)
		return -EFBIG;
	for (uint64_t at = from; at < to && rc == 0; at += RESERVE_STEP) {
		rc = reserve_step(fd, at, to - at < RESERVE_STEP ? to - at : RESERVE_STEP);
		if (step)
			step(at, arg);
	}
	return rc;
}

static void show_reserved(uint64_t at, void *arg)
{
	show_step(arg, at, 0);
}

/*
 * Reserved pages are not allocated yet: at the first store to a page the kernel zeroes
 * it, at a fraction of the speed of later stores.  Better now than in a program. (On an
 * ordinary file system that would only make the page cache dirty.)
 */
static void prefault(struct pmio_pm *pm, const struct steps *steps)
{
	uint8_t *base = pmio_pm_base(pm);
	size_t size = pmio_pm_size(pm);

	if (pmio_pm_granularity(pm) == PMIO_PM_PAGE)
		return;
	for (size_t at = 0; at < size; at += PREFAULT_STEP) {
		pmio_pm_populate(pm, base + at, size - at < PREFAULT_STEP ? size - at : PREFAULT_STEP);
		show_step(steps, size, at);
	}
}

static int format_data(int fd, const struct pmio_view_params *params, const struct steps *steps)
{
	struct pmio_pm *pm;
	int rc = pmio_pm_map(fd, &pm);

	if (rc == 0)
		rc = pmio_view_format(pm, params);
	if (rc == 0)
		prefault(pm, steps);
	pmio_pm_unmap(&pm);
	/* all space is reserved, so this is not a lack of space */
	return rc == -ENOSPC ? -EINVAL : rc;
}

static void say_no_room(int fd, const char *dir, uint64_t size, int rc)
{
	uint64_t room = free_bytes(fd);
	struct rlimit lim;

	if (rc == -EFBIG && getrlimit(RLIMIT_FSIZE, &lim) == 0 && lim.rlim_cur < size)
		pmio_err("pool %s: cannot reserve %" PRIu64 " bytes: the limit on the size of files (ulimit -f) is %"
			 PRIu64 " bytes", dir, size, (uint64_t)lim.rlim_cur);
	else if (rc == -ENOSPC && room < size)
		pmio_err("pool %s: cannot reserve %" PRIu64 " bytes: %s: %" PRIu64 " are free there", dir, size,
			 strerror(-rc), room);
	else
		pmio_err("pool %s: cannot reserve %" PRIu64 " bytes: %s", dir, size, strerror(-rc));
}

static int create_data(int dir_fd, const char *dir, const struct steps *steps,
		       const struct pmio_view_params *params)
{
	int rc, fd = openat(dir_fd, PMIO_POOL_DATA_NEW,
			    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0) {
		rc = -errno;
		pmio_err("pool %s: data: %s", dir, strerror(-rc));
		return rc;
	}
	rc = pmio_pool_reserve(fd, 0, steps->size, show_reserved, (void *)(uintptr_t)steps);
	if (rc < 0)
		say_no_room(fd, dir, steps->size, rc);
	else
		rc = format_data(fd, params, steps);
	if (rc == 0 && fsync(fd) < 0) {
		rc = -errno;
		pmio_err("pool %s: data: fsync: %s", dir, strerror(-rc));
	}
	close(fd);
	return rc;
}

static int sync_file(int dir_fd, const char *dir, const char *name)
{
	int rc = 0, fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0) {
		rc = -errno;
		pmio_err("pool %s: %s: fsync: %s", dir, name, strerror(-rc));
	}
	if (fd >= 0)
		close(fd);
	return rc;
}

static int rename_new(int dir_fd, const char *dir, const char *from, const char *to)
{
	int rc;

	if (renameat(dir_fd, from, dir_fd, to) == 0)
		return 0;
	rc = -errno;
	pmio_err("pool %s: rename %s: %s", dir, from, strerror(-rc));
	return rc;
}

/* ---- create ---------------------------------------------------------------------- */

/* is there a pool, or something else with the names of its files? */
static bool occupied(int dir_fd)
{
	return pmio_pool_dir_has(dir_fd, PMIO_POOL_DATA) ||
	       (pmio_pool_dir_has(dir_fd, PMIO_POOL_CATALOG) &&
		!pmio_pool_dir_has(dir_fd, PMIO_POOL_DATA_NEW));
}

/* under the lock, and not occupied: remove leftovers of an interrupted creation or removal */
static void clear_leftovers(int dir_fd)
{
	unlinkat(dir_fd, PMIO_POOL_CATALOG, 0);
	unlinkat(dir_fd, PMIO_POOL_CATALOG_NEW, 0);
	unlinkat(dir_fd, PMIO_POOL_DATA_NEW, 0);
}

/* the holder of the lock is making the pool, or has opened it: then there is `data` */
static int lock_new(int dir_fd, const char *dir, int *lock_fd)
{
	struct pmio_backoff b = PMIO_BACKOFF(CREATE_POLL_MS, CREATE_POLL_MS, CREATE_WAIT_MS);
	int rc;

	for (;;) {
		if (occupied(dir_fd)) {
			pmio_err("pool %s: a pool exists there already", dir);
			return -EEXIST;
		}
		rc = pmio_pool_dir_lock(dir_fd, dir, true, lock_fd);
		if (rc != -EBUSY)
			break;
		if (!pmio_backoff_sleep(&b)) {
			pmio_err("pool %s: another process holds the lock", dir);
			return rc;
		}
	}
	if (rc == 0 && occupied(dir_fd)) {
		pmio_err("pool %s: a pool exists there already", dir);
		close(*lock_fd);
		return -EEXIST;
	}
	return rc;
}

/*
 * P1 both files are complete and durable under their new names
 * P2 catalog, then data, get their final names
 * crash before data's name is durable: no pool, and data.new shows that the
 * files may be removed; after: the pool
 */
static int create_files(int dir_fd, const char *dir, const struct steps *steps,
			const struct pmio_view_params *params)
{
	int rc;

	clear_leftovers(dir_fd);
	/* data first: while it has that name the rest counts as leftovers */
	rc = create_data(dir_fd, dir, steps, params);
	if (rc == 0)
		rc = pmio_catalog_create(dir_fd, dir, PMIO_POOL_CATALOG_NEW, params->uuid,
					 params->nr_slots);
	if (rc == 0)
		rc = sync_file(dir_fd, dir, PMIO_POOL_CATALOG_NEW);
	if (rc == 0)
		rc = sync_file(dir_fd, dir, "."); /* P1 */

	if (rc == 0)
		rc = rename_new(dir_fd, dir, PMIO_POOL_CATALOG_NEW, PMIO_POOL_CATALOG);
	if (rc == 0)
		rc = sync_file(dir_fd, dir, ".");
	if (rc == 0)
		rc = rename_new(dir_fd, dir, PMIO_POOL_DATA_NEW, PMIO_POOL_DATA);
	if (rc == 0)
		rc = sync_file(dir_fd, dir, "."); /* P2 */
	if (rc < 0) {
		unlinkat(dir_fd, PMIO_POOL_DATA, 0);
		clear_leftovers(dir_fd);
	}
	return rc;
}

/* by its name; the catalog gets its final name before the data do */
static bool is_leftover(const char *name, bool cut_off)
{
	return strcmp(name, PMIO_POOL_LOCK) == 0 || strcmp(name, PMIO_POOL_CATALOG_NEW) == 0 ||
	       strcmp(name, PMIO_POOL_DATA_NEW) == 0 ||
	       (strcmp(name, PMIO_POOL_CATALOG) == 0 && cut_off);
}

int pmio_pool_vacant(const char *dir, const char *besides)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	bool cut_off;
	int vacant = 1;

	if (!d)
		return -errno;
	cut_off = pmio_pool_dir_has(dirfd(d), PMIO_POOL_DATA_NEW);
	while (vacant && (e = readdir(d)) != NULL) {
		vacant = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
			 strcmp(e->d_name, besides) == 0 || is_leftover(e->d_name, cut_off);
	}
	closedir(d);
	return vacant;
}

static int check_params(const char *dir, const struct pmio_pool_params *params,
			struct pmio_view_params *vp, uint64_t *size)
{
	vp->chunk_size = params->chunk_size ? params->chunk_size : PMIO_CHUNK_DEFAULT;
	vp->nr_slots = params->nr_slots ? params->nr_slots : PMIO_POOL_SLOTS_DEFAULT;
	vp->nr_clients = PMIO_POOL_CLIENTS;
	uuid_generate(vp->uuid);

	if (vp->chunk_size < PMIO_CHUNK_MIN || vp->chunk_size > PMIO_CHUNK_MAX ||
	    (vp->chunk_size & (vp->chunk_size - 1)) != 0) {
		pmio_err("pool %s: chunk size %" PRIu64 ": must be a power of two from %u to %u",
			 dir, vp->chunk_size, PMIO_CHUNK_MIN, PMIO_CHUNK_MAX);
		return -EINVAL;
	}
	if (vp->nr_slots > PMIO_SLOTS_MAX) {
		pmio_err("pool %s: %u files: at most %u", dir, vp->nr_slots, PMIO_SLOTS_MAX);
		return -EINVAL;
	}
	*size = params->size / vp->chunk_size * vp->chunk_size;
	if (*size < PMIO_POOL_SIZE_MIN || *size > INT64_MAX) {
		pmio_err("pool %s: size %" PRIu64 ": must be %u bytes or more", dir, params->size,
			 PMIO_POOL_SIZE_MIN);
		return -EINVAL;
	}
	return 0;
}

/* 1: it existed already */
static int make_dir(const char *dir)
{
	int rc;

	if (mkdir(dir, 0700) == 0)
		return 0;
	if (errno == EEXIST)
		return 1;
	rc = -errno;
	pmio_err("pool %s: mkdir: %s", dir, strerror(-rc));
	return rc;
}

/* the new directory's own name; a failure only means that a crash may forget the pool, so none is reported.  Others: pmio_pfs_sync_name() */
static void sync_parent(const char *dir)
{
	char copy[PATH_MAX];
	int fd;

	snprintf(copy, sizeof(copy), "%s", dir);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		pmio_dbg("pool %s: parent directory: fsync: %s", dir, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static int create_in(int dir_fd, const char *dir, const struct steps *steps,
		     const struct pmio_view_params *params)
{
	int lock_fd, rc = lock_new(dir_fd, dir, &lock_fd);

	if (rc < 0)
		return rc;
	rc = create_files(dir_fd, dir, steps, params);
	if (rc < 0)
		unlinkat(dir_fd, PMIO_POOL_LOCK, 0);
	close(lock_fd);
	return rc;
}

int pmio_pool_create(const char *dir, const struct pmio_pool_params *params)
{
	struct steps steps = { .params = params };
	struct pmio_view_params vp;
	int rc, made, dir_fd;

	rc = check_params(dir, params, &vp, &steps.size);
	if (rc < 0)
		return rc;
	made = make_dir(dir);
	if (made < 0)
		return made;

	rc = pmio_pool_check_dir(dir, true, &dir_fd);
	if (rc == 0) {
		rc = check_memory(dir_fd, dir, steps.size, PMIO_POOL_CATALOG_SIZE);
		if (rc == 0)
			rc = create_in(dir_fd, dir, &steps, &vp);
		close(dir_fd);
	}
	if (made == 0 && rc == 0)
		sync_parent(dir);
	/* fails if another process has put something into it meanwhile */
	if (made == 0 && rc < 0)
		rmdir(dir);
	return rc;
}

/* an existing directory on the file system of one that is yet to be made */
static int open_nearest(const char *dir)
{
	char copy[PATH_MAX];
	int fd;

	snprintf(copy, sizeof(copy), "%s", dir);
	fd = open(copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 || errno != ENOENT ? fd : open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

uint64_t pmio_pool_default_size(const char *dir, uint64_t size)
{
	uint64_t room, least = 2 * PMIO_POOL_SIZE_MIN;
	struct pmio_memory_room memory;
	int fd = open_nearest(dir);

	if (fd < 0 || !is_memory(fd)) {
		if (fd >= 0)
			close(fd);
		return size;
	}
	pmio_memory_room(&pmio_system, &memory);
	room = free_bytes(fd);
	close(fd);
	if (room < memory.bytes) {
		memory.bytes = memory.limit = room;
		snprintf(memory.what, sizeof(memory.what), "the file system of %.*s", PATH_MAX - 1, dir);
	}
	room = memory.bytes / 2 >> 20 << 20;
	if (memory.bytes == UINT64_MAX || room >= size + PMIO_POOL_CATALOG_SIZE || size <= least)
		return size;
	/* if that is too much as well, the creation reports it */
	room = room < least + PMIO_POOL_CATALOG_SIZE ? least : room - PMIO_POOL_CATALOG_SIZE;
	pmio_warn("pool %s: %" PRIu64 " MiB instead of %" PRIu64 " (see pool_size in pmio(7)): %s has %" PRIu64
		  " MiB left", dir, room >> 20, size >> 20, memory.what, memory.bytes >> 20);
	return room;
}

/* ---- resize ---------------------------------------------------------------------- */

/* the pool to be replaced, locked */
struct old_pool {
	int dir_fd, lock_fd;
	struct pmio_view_params params;
	uint64_t size; /* bytes */
};

static int check_nothing_waits(struct pmio_pool *pool, const char *dir)
{
	struct pmio_pool_file file;
	uint32_t nr = 0;

	for (uint32_t slot = 0; slot < pmio_pool_nr_slots(pool); slot++)
		nr += pmio_pool_file_get(pool, slot, &file) == 0 && 
		      (file.state != PMIO_FILE_CLEAN || (file.flags & PMIO_FILE_UNSYNCED));
	if (nr == 0)
		return 0;
	pmio_err("pool %s: data of %u files wait in it; use `pmio drain --all` first", dir, nr);
	return -EBUSY;
}

/* called before any part of the old pool is removed */
static int check_room(const struct old_pool *old, const char *dir, uint64_t size)
{
	uint64_t room = free_bytes(old->dir_fd);

	if (size <= old->size)
		return 0;
	if (room == UINT64_MAX || size - old->size <= room)
		return check_memory(old->dir_fd, dir, size - old->size, 0);
	pmio_err("pool %s: %s: there is room for %" PRIu64 " bytes more", dir, strerror(ENOSPC), room);
	return -ENOSPC;
}

/* a damaged pool is refused: opening it would drop invalid data */
static int take_old(const char *dir, struct old_pool *old)
{
	struct pmio_pool_report report;
	struct pmio_pool *pool;
	struct pmio_view *v;
	int rc = pmio_pool_check(dir, &report);

	if (rc == 0 && report.nr_problems)
		rc = PMIO_EDAMAGED; /* each was logged */
	if (rc == 0)
		rc = pmio_pool_open(dir, &pool);
	if (rc < 0)
		return rc;
	v = pmio_pool_view(pool);
	rc = check_nothing_waits(pool, dir);
	old->size = v->super->data_size;
	old->params = (struct pmio_view_params){ .chunk_size = v->chunk_size, .nr_slots = v->nr_slots,
						 .nr_clients = PMIO_POOL_CLIENTS };
	old->dir_fd = dup(pmio_pool_dir_fd(pool));
	old->lock_fd = dup(pmio_pool_lock_fd(pool));
	if (rc == 0 && (old->dir_fd < 0 || old->lock_fd < 0)) {
		rc = -errno;
		pmio_err("pool %s: %s", dir, strerror(-rc));
	}
	pmio_pool_close(&pool);
	return rc;
}

static int make_anew(const struct old_pool *old, const char *dir, const struct pmio_pool_params *params,
		     uint64_t size)
{
	struct steps steps = { .params = params, .size = size };
	struct pmio_view_params vp = old->params;
	/* crash after this: no pool, and what is left may be cleared away */
	int rc = rename_new(old->dir_fd, dir, PMIO_POOL_DATA, PMIO_POOL_DATA_NEW);

	if (rc == 0)
		rc = sync_file(old->dir_fd, dir, ".");
	if (rc < 0)
		return rc;
	uuid_generate(vp.uuid);
	rc = create_files(old->dir_fd, dir, &steps, &vp);
	if (rc == 0)
		return 0;
	steps.size = old->size;
	if (create_files(old->dir_fd, dir, &steps, &vp) < 0)
		pmio_err("pool %s: it could not be created with its old size either; there is no pool now", dir);
	return rc;
}

int pmio_pool_resize(const char *dir, const struct pmio_pool_params *params)
{
	struct old_pool old = { .dir_fd = -1, .lock_fd = -1 };
	struct pmio_pool_params p = *params;
	struct pmio_view_params unused;
	uint64_t size;
	int rc = take_old(dir, &old);

	if (rc == 0) {
		p.chunk_size = old.params.chunk_size;
		p.nr_slots = old.params.nr_slots;
		rc = check_params(dir, &p, &unused, &size);
	}
	if (rc == 0)
		rc = check_room(&old, dir, size);
	if (rc == 0 && size != old.size)
		rc = make_anew(&old, dir, &p, size);
	if (old.dir_fd >= 0)
		close(old.dir_fd);
	if (old.lock_fd >= 0)
		close(old.lock_fd);
	return rc;
}

/* ---- destroy --------------------------------------------------------------------- */

static int unlink_all(int dir_fd, const char *dir)
{
	/* all but the last may be missing; the lock file is removed while it is locked */
	static const char *const names[] = {PMIO_POOL_CATALOG, PMIO_POOL_CATALOG_NEW,
					    PMIO_POOL_DATA_NEW, PMIO_POOL_LOCK};
	int rc = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (unlinkat(dir_fd, names[i], 0) < 0 && errno != ENOENT && rc == 0) {
			rc = -errno;
			pmio_err("pool %s: remove %s: %s", dir, names[i], strerror(-rc));
		}
	}
	return rc;
}

static bool probe(int dir_fd, const char *name, bool (*looks_like_ours)(int fd))
{
	int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	bool ours = fd >= 0 && looks_like_ours(fd);

	if (fd >= 0)
		close(fd);
	return ours;
}

static bool data_is_ours(int fd)
{
	uint64_t magic;

	return pread(fd, &magic, sizeof(magic), offsetof(struct pmio_super_df, magic)) ==
		       sizeof(magic) && magic == PMIO_POOL_MAGIC;
}

static bool catalog_is_ours(int fd)
{
	return pmio_catalog_probe(fd) != PMIO_ENOTPOOL;
}

/* `data` and `catalog` are common names: at least one of them must be a pool's file */
static int check_ours(int dir_fd, const char *dir)
{
	bool data = pmio_pool_dir_has(dir_fd, PMIO_POOL_DATA);
	bool catalog = pmio_pool_dir_has(dir_fd, PMIO_POOL_CATALOG);

	if (pmio_pool_dir_has(dir_fd, PMIO_POOL_DATA_NEW))
		return 0;
	if (!data && !catalog) {
		pmio_err("pool %s: there is no pool", dir);
		return -ENOENT;
	}
	if (probe(dir_fd, PMIO_POOL_DATA, data_is_ours) ||
	    probe(dir_fd, PMIO_POOL_CATALOG, catalog_is_ours))
		return 0;
	pmio_err("pool %s: not a pmio pool", dir);
	return PMIO_ENOTPOOL;
}

static int destroy_in(int dir_fd, const char *dir)
{
	int lock_fd, rc = check_ours(dir_fd, dir);

	if (rc < 0)
		return rc;
	rc = pmio_pool_dir_lock(dir_fd, dir, true, &lock_fd);
	if (rc == -EBUSY)
		pmio_err("pool %s: in use by an agent", dir);
	if (rc < 0)
		return rc;

	/* crash after this: no pool, and what is left may be cleared away */
	if (renameat(dir_fd, PMIO_POOL_DATA, dir_fd, PMIO_POOL_DATA_NEW) < 0 && errno != ENOENT) {
		rc = -errno;
		pmio_err("pool %s: rename data: %s", dir, strerror(-rc));
	}
	if (rc == 0)
		rc = unlink_all(dir_fd, dir);
	close(lock_fd);
	return rc;
}

int pmio_pool_destroy(const char *dir)
{
	int dir_fd, rc = pmio_pool_check_dir(dir, true, &dir_fd);

	if (rc < 0)
		return rc;
	rc = destroy_in(dir_fd, dir);
	close(dir_fd);
	if (rc == 0 && rmdir(dir) < 0 && errno != ENOTEMPTY && errno != EEXIST)
		pmio_info("pool %s: the directory was not removed: %s", dir, strerror(errno));
	return rc;
}
