#include "pool/pool_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "core/backoff.h"
#include "core/log.h"
#include "core/system.h"
#include "pmio.h"
#include "pool/pool_dir.h"

#define LOCK_WAIT_MS 100 /* for a creation that has just renamed `data` and still holds it */
#define LOCK_POLL_MS 5

/* ---- open: descriptors, mapping, catalog ------------------------------------------ */

static int lock_pool(struct pmio_pool *pool)
{
	struct pmio_backoff b = PMIO_BACKOFF(LOCK_POLL_MS, LOCK_POLL_MS, LOCK_WAIT_MS);
	int rc;

	do
		rc = pmio_pool_dir_lock(pool->dir_fd, pool->dir, true, &pool->lock_fd);
	while (rc == -EBUSY && pmio_backoff_sleep(&b));
	if (rc == -EBUSY)
		pmio_err("pool %s: in use by another agent", pool->dir);
	return rc;
}

static int open_view(int data_fd, const char *dir, struct pmio_view **out)
{
	struct pmio_pm *pm;
	int rc;

	/* libpmem2's message for this is less clear */
	if (lseek(data_fd, 0, SEEK_END) < (off_t)sizeof(struct pmio_super_df)) {
		pmio_err("pool %s: data: not a pmio pool: too short", dir);
		return PMIO_ENOTPOOL;
	}
	rc = pmio_pm_map(data_fd, &pm);
	if (rc < 0)
		return rc;
	rc = pmio_view_new(pm, dir, out);
	if (rc < 0)
		pmio_pm_unmap(&pm);
	return rc;
}

static int open_files(struct pmio_pool *pool)
{
	int rc = pmio_pool_check_dir(pool->dir, true, &pool->dir_fd);

	if (rc < 0)
		return rc;
	/* first, so that no lock file is made where there is no pool */
	if (!pmio_pool_dir_has(pool->dir_fd, PMIO_POOL_DATA)) {
		pmio_err("pool %s: there is no pool", pool->dir);
		return -ENOENT;
	}
	rc = lock_pool(pool);
	if (rc == 0)
		rc = pmio_pool_dir_file(pool->dir_fd, pool->dir, PMIO_POOL_DATA, &pool->data_fd);
	if (rc == 0)
		rc = open_view(pool->data_fd, pool->dir, &pool->view);
	if (rc == 0)
		rc = pmio_catalog_open(pool->dir_fd, pool->dir, pool->view->super->uuid,
				       pool->view->nr_slots, PMIO_CATALOG_OWN, &pool->catalog);
	/* data without catalog: it was a pool */
	return rc == -ENOENT && pool->view ? PMIO_EDAMAGED : rc;
}

/* ---- open: recovery --------------------------------------------------------------- */

/*
 * Before anything else is changed: clients of the previous agent may still run.  They
 * learn from the epoch that there is a new one, and then record new intents.
 */
static void start_epoch(struct pmio_view *v)
{
	uint64_t epoch = 0;

	while (epoch == 0 || epoch == pmio_pm_load64(&v->super->epoch))
		if (getrandom(&epoch, sizeof(epoch), 0) != sizeof(epoch))
			epoch = (uint64_t)time(NULL) << 20 ^ (uint64_t)getpid();

	for (uint32_t i = 0; i < v->nr_clients; i++)
		pmio_pm_store64(v->pm, &v->clients[i].intent, 0);
	pmio_pm_flush(v->pm, v->clients, v->nr_clients * sizeof(*v->clients));
	pmio_pm_store64(v->pm, &v->super->epoch, epoch);
	pmio_pm_flush(v->pm, &v->super->epoch, sizeof(v->super->epoch));
}

/*
 * The recovery relies on the sizes that are seen here.  The client that stored them may
 * have been killed before they were durable: a power cut must not bring back others.
 */
static void keep_slots(struct pmio_view *v)
{
	pmio_pm_flush(v->pm, v->slots, v->nr_slots * sizeof(*v->slots));
	pmio_pm_fence(v->pm);
}

static int recover_slots(struct pmio_pool *pool, const struct pmio_scan *scan)
{
	int rc;

	/* downwards, so that slots are given from 0 up */
	for (uint32_t slot = pool->view->nr_slots; slot-- > 0;) {
		if (scan->stale[slot]) {
			rc = pmio_catalog_clear(pool->catalog, slot);
			if (rc < 0)
				return rc;
		}
		if (scan->state[slot] == PMIO_FILE_NONE)
			pool->free_slots[pool->nr_free_slots++] = slot;
	}
	return 0;
}

/* may drained data that were not yet durable on the PFS have been lost in a power cut? */
/* boot: out, zeros if it is not known */
static bool lost_power(const struct pmio_view *v, uint8_t boot[16])
{
	memset(boot, 0, sizeof(v->super->boot));
	return !pmio_boot_id(boot) || memcmp(v->super->boot, boot, sizeof(v->super->boot)) != 0;
}

/* last of all: after a crash in a recovery, the next one must still see that the machine was rebooted */
static int keep_boot(struct pmio_view *v, const uint8_t boot[16])
{
	if (memcmp(v->super->boot, boot, sizeof(v->super->boot)) == 0)
		return 0;
	pmio_pm_copy(v->pm, v->super->boot, boot, sizeof(v->super->boot));
	return pmio_pm_sync(v->pm, v->super->boot, sizeof(v->super->boot));
}

/*
 * A client writes into a block that a drain has just made clean, and sets dirty
 * again only after its bytes: a crash between leaves new bytes in a clean block.
 * These bytes were not promised, and would differ from those on the PFS without limit.
 */
static void drop_clean(struct pmio_view *v, uint64_t frame)
{
	struct pmio_mask valid, dirty, draining;

	pmio_frame_get(v, frame, &valid, &dirty, &draining);
	for (unsigned i = 0; i < PMIO_MASK_WORDS; i++)
		valid.w[i] &= ~(dirty.w[i] | draining.w[i]);
	if (!pmio_mask_empty(&valid))
		pmio_frame_drop(v, frame, &valid);
}

/*
 * false: the frame is empty and can be freed.  Not if its file was open: the clients
 * may have outlived the agent, and be writing into frames that were claimed for them.
 */
static bool recover_frame(const struct pmio_pool *pool, const struct pmio_scan *scan, uint64_t frame)
{
	struct pmio_view *v = pool->view;
	uint32_t slot = PMIO_OWNER_SLOT(pmio_pm_load64(&v->headers[frame].owner));
	struct pmio_mask valid, dirty, draining;

	pmio_frame_recover(v, frame, pmio_pm_load64(&v->slots[slot].size));
	if (pool->rebooted && scan->unsynced[slot])
		pmio_frame_redirty(v, frame);
	if (scan->state[slot] == PMIO_FILE_OPEN) {
		drop_clean(v, frame);
		return true;
	}
	pmio_frame_get(v, frame, &valid, &dirty, &draining);
	return !pmio_mask_empty(&valid);
}

static void recover_frames(struct pmio_pool *pool, const struct pmio_scan *scan)
{
	struct pmio_view *v = pool->view;

	pmio_pool_packs_recover(pool, scan);
	for (uint64_t i = v->nr_frames; i-- > 0;) {
		if (scan->frame[i] == PMIO_FRAME_PACK || (scan->frame[i] == PMIO_FRAME_USED && recover_frame(pool, scan, i)))
			continue;
		if (scan->frame[i] != PMIO_FRAME_FREE)
			pmio_frame_free(v, i);
		if (pmio_frame_is_zeroed(v, i))
			pool->zeroed_frames[pool->nr_zeroed_frames++] = i;
		else
			pool->free_frames[pool->nr_free_frames++] = i;
	}
}

/* on page granularity nothing of the recovery is durable before this */
static int sync_all(struct pmio_view *v)
{
	pmio_pm_fence(v->pm);
	if (pmio_pm_granularity(v->pm) != PMIO_PM_PAGE)
		return 0;
	return pmio_pm_sync(v->pm, pmio_pm_base(v->pm), pmio_pm_size(v->pm));
}

/* a slot with invalid words cannot be used, and its data cannot be identified: refuse */
static int check_slots(const struct pmio_pool *pool, const struct pmio_scan *scan)
{
	const struct pmio_view *v = pool->view;
	uint64_t generation;

	for (uint32_t slot = 0; slot < v->nr_slots; slot++) {
		uint64_t live = pmio_pm_load64(&v->slots[slot].generation);

		if (live == 0 || live > PMIO_OWNER_GENERATION(UINT64_MAX))
			return PMIO_EDAMAGED;
		if (scan->state[slot] != PMIO_FILE_NONE || scan->stale[slot])
			continue;
		if (pmio_catalog_state(pool->catalog, slot, &generation) != PMIO_FILE_NONE)
			return PMIO_EDAMAGED;
	}
	return 0;
}

static int recover(struct pmio_pool *pool)
{
	struct pmio_view *v = pool->view;
	struct pmio_scan *scan;
	uint8_t boot[16];
	int rc = -ENOMEM;

	pool->free_frames = calloc(v->nr_frames, sizeof(*pool->free_frames));
	pool->zeroed_frames = calloc(v->nr_frames, sizeof(*pool->zeroed_frames));
	pool->free_slots = calloc(v->nr_slots, sizeof(*pool->free_slots));
	pool->packs = calloc(v->nr_frames, sizeof(*pool->packs));
	pool->open_pack = PMIO_NO_FRAME;
	if (!pool->free_frames || !pool->zeroed_frames || !pool->free_slots || !pool->packs) {
		pmio_err("pool %s: %s", pool->dir, strerror(ENOMEM));
		return rc;
	}
	rc = pmio_scan_new(v, pool->catalog, pool->dir, &scan);
	if (rc < 0)
		return rc;

	rc = scan->nr_problems > 0 ? check_slots(pool, scan) : 0;
	if (rc == 0) {
		keep_slots(v);
		start_epoch(v);
		rc = recover_slots(pool, scan);
	}
	if (rc == 0) {
		pool->rebooted = lost_power(v, boot);
		recover_frames(pool, scan);
		rc = sync_all(v);
	}
	if (rc == 0)
		rc = keep_boot(v, boot);
	pmio_scan_delete(&scan);
	return rc;
}

/* ---- open and close ---------------------------------------------------------------- */

static int init_pool(struct pmio_pool *pool, const char *dir)
{
	memset(pool, 0, sizeof(*pool));
	pool->dir_fd = pool->lock_fd = pool->data_fd = -1;
	pool->dir = strdup(dir);
	if (pool->dir)
		return 0;
	pmio_err("pool %s: %s", dir, strerror(ENOMEM));
	return -ENOMEM;
}

static void fini_pool(struct pmio_pool *pool)
{
	pmio_catalog_close(&pool->catalog);
	pmio_view_delete(&pool->view);
	if (pool->data_fd >= 0)
		close(pool->data_fd);
	if (pool->lock_fd >= 0)
		close(pool->lock_fd); /* last: this unlocks */
	if (pool->dir_fd >= 0)
		close(pool->dir_fd);
	free(pool->free_frames);
	free(pool->zeroed_frames);
	free(pool->free_slots);
	free(pool->packs);
	free(pool->dir);
}

int pmio_pool_open(const char *dir, struct pmio_pool **out)
{
	struct pmio_pool *pool = calloc(1, sizeof(*pool));
	int rc;

	*out = NULL;
	if (!pool) {
		pmio_err("pool %s: %s", dir, strerror(ENOMEM));
		return -ENOMEM;
	}
	rc = init_pool(pool, dir);
	if (rc == 0)
		rc = open_files(pool);
	if (rc == 0)
		rc = recover(pool);
	if (rc < 0) {
		fini_pool(pool);
		free(pool);
		return rc;
	}
	pmio_pool_dir_sign(pool->lock_fd);
	*out = pool;
	return 0;
}

void pmio_pool_close(struct pmio_pool **pool)
{
	if (!*pool)
		return;
	sync_all((*pool)->view); /* it has logged errors; they cannot be returned */
	pmio_pool_dir_unsign((*pool)->lock_fd);
	fini_pool(*pool);
	free(*pool);
	*pool = NULL;
}

bool pmio_pool_rebooted(const struct pmio_pool *pool)
{
	return pool->rebooted;
}

struct pmio_view *pmio_pool_view(struct pmio_pool *pool)
{
	return pool->view;
}

const char *pmio_pool_dir(const struct pmio_pool *pool)
{
	return pool->dir;
}

int pmio_pool_data_fd(const struct pmio_pool *pool)
{
	return pool->data_fd;
}

int pmio_pool_lock_fd(const struct pmio_pool *pool)
{
	return pool->lock_fd;
}

int pmio_pool_dir_fd(const struct pmio_pool *pool)
{
	return pool->dir_fd;
}

/* ---- check ------------------------------------------------------------------------- */

/* all: all valid blocks, as the PFS may have lost them */
static uint64_t dirty_blocks(const struct pmio_view *v, uint64_t frame, bool all)
{
	struct pmio_mask valid, dirty, draining;

	pmio_frame_get(v, frame, &valid, &dirty, &draining);
	for (unsigned i = 0; i < PMIO_MASK_WORDS; i++)
		valid.w[i] &= all ? UINT64_MAX : dirty.w[i] | draining.w[i];
	return pmio_mask_count(&valid);
}

/* one byte per slot: does it have dirty blocks? */
static void count(const struct pmio_view *v, const struct pmio_scan *scan, uint8_t *dirty,
		  struct pmio_pool_report *report)
{
	uint8_t boot[16];
	bool lost = lost_power(v, boot);
	uint32_t slot;

	report->nr_problems += scan->nr_problems;
	report->granularity = pmio_pm_granularity(v->pm);
	report->nr_frames = v->nr_frames;
	for (uint64_t i = 0; i < v->nr_frames; i++) {
		uint64_t nr;

		report->nr_used_frames += scan->frame[i] == PMIO_FRAME_PACK;
		if (scan->frame[i] != PMIO_FRAME_USED)
			continue;
		slot = PMIO_OWNER_SLOT(pmio_pm_load64(&v->headers[i].owner));
		nr = dirty_blocks(v, i, lost && scan->unsynced[slot]);
		report->nr_used_frames++;
		report->dirty_bytes += nr * v->block_size;
		if (nr > 0)
			dirty[slot] = 1;
	}
	for (slot = 0; slot < v->nr_slots; slot++) {
		if (scan->packed[slot])
			report->dirty_bytes += (uint64_t)__builtin_popcountll(pmio_pm_load64(&v->slots[slot].packed) & 0xf) * v->block_size;
		report->nr_files += scan->state[slot] != PMIO_FILE_NONE;
		/* of an empty or shortened file only the size waits */
		report->nr_dirty_files += dirty[slot] || scan->state[slot] > PMIO_FILE_CLEAN;
	}
}

/* an unreadable catalog is one problem; the data are checked nevertheless */
static int check_catalog(const struct pmio_pool *pool, struct pmio_catalog **cat,
			 struct pmio_pool_report *report)
{
	const struct pmio_view *v = pool->view;
	int rc = pmio_catalog_check(pool->dir_fd, pool->dir, v->nr_slots);

	if (rc == 0)
		rc = pmio_catalog_open(pool->dir_fd, pool->dir, v->super->uuid, v->nr_slots,
				       PMIO_CATALOG_LOOK, cat);
	if (rc == PMIO_EDAMAGED || rc == -ENOENT) {
		report->nr_problems++;
		return 0;
	}
	return rc;
}

static int check_all(const struct pmio_pool *pool, struct pmio_pool_report *report)
{
	const struct pmio_view *v = pool->view;
	struct pmio_catalog *cat = NULL;
	struct pmio_scan *scan = NULL;
	uint8_t *dirty = calloc(v->nr_slots, 1);
	int rc = check_catalog(pool, &cat, report);

	if (rc == 0)
		rc = pmio_scan_new(v, cat, pool->dir, &scan);
	if (rc == 0 && !dirty) {
		pmio_err("pool %s: %s", pool->dir, strerror(ENOMEM));
		rc = -ENOMEM;
	}
	if (rc == 0)
		count(v, scan, dirty, report);
	pmio_scan_delete(&scan);
	pmio_catalog_close(&cat);
	free(dirty);
	return rc;
}

int pmio_pool_check(const char *dir, struct pmio_pool_report *report)
{
	struct pmio_pool pool;
	int rc = init_pool(&pool, dir);

	memset(report, 0, sizeof(*report));
	if (rc == 0)
		rc = pmio_pool_check_dir(dir, true, &pool.dir_fd);
	if (rc == 0 && !pmio_pool_dir_has(pool.dir_fd, PMIO_POOL_DATA)) {
		pmio_err("pool %s: there is no pool", dir);
		rc = -ENOENT;
	}
	/* no lock file: no agent can have the pool, and none is made */
	if (rc == 0) {
		rc = pmio_pool_dir_lock(pool.dir_fd, dir, false, &pool.lock_fd);
		if (rc == -EBUSY)
			pmio_err("pool %s: in use by an agent", dir);
	}
	if (rc == 0)
		rc = pmio_pool_dir_file(pool.dir_fd, dir, PMIO_POOL_DATA, &pool.data_fd);
	if (rc == 0)
		rc = open_view(pool.data_fd, dir, &pool.view);
	if (rc == 0)
		rc = check_all(&pool, report);
	fini_pool(&pool);
	return rc;
}

/* ---- files --------------------------------------------------------------------------- */

int pmio_pool_file_add(struct pmio_pool *pool, struct pmio_pool_file *file, uint64_t size,
		       uint32_t *slot)
{
	struct pmio_view *v = pool->view;
	struct pmio_slot_df *df;
	uint32_t s;
	int rc;

	if (pool->nr_free_slots == 0)
		return -ENFILE;
	s = pool->free_slots[pool->nr_free_slots - 1];
	df = &v->slots[s];

	/*
	 * P1 the size, and that it is not packed, as an earlier file of the slot may have been
	 * P2 the catalog's entry, with the slot's generation
	 * crash before P2: the slot is free, its size means nothing
	 */
	pmio_pm_store64(v->pm, &df->size, size);
	pmio_pm_store64(v->pm, &df->packed, 0);
	pmio_pm_store64(v->pm, &df->growers, 0);
	rc = pmio_pm_sync(v->pm, df, sizeof(*df)); /* P1 */
	if (rc < 0)
		return rc;
	file->generation = pmio_pm_load64(&df->generation);
	rc = pmio_catalog_set(pool->catalog, s, file); /* P2 */
	if (rc < 0)
		return rc;

	pool->nr_free_slots--;
	*slot = s;
	return 0;
}

int pmio_pool_file_get(struct pmio_pool *pool, uint32_t slot, struct pmio_pool_file *file)
{
	return pmio_catalog_get(pool->catalog, slot, file);
}

int pmio_pool_file_set(struct pmio_pool *pool, uint32_t slot, const struct pmio_pool_file *file)
{
	uint64_t generation;
	int rc, state = pmio_catalog_state(pool->catalog, slot, &generation);

	if (state <= PMIO_FILE_NONE)
		return state < 0 ? state : -ENOENT;
	rc = pmio_catalog_set(pool->catalog, slot, file);
	if (rc == -ENOSPC)
		pmio_err("pool %s: catalog: no room for %s", pool->dir, file->path);
	return rc;
}

int pmio_pool_file_remove(struct pmio_pool *pool, uint32_t slot)
{
	struct pmio_slot_df *df = &pool->view->slots[slot];
	struct pmio_pm *pm = pool->view->pm;
	bool was_packed;
	struct pmio_packed p;
	uint64_t generation, next;
	int rc, state = pmio_catalog_state(pool->catalog, slot, &generation);

	if (state <= PMIO_FILE_NONE)
		return state < 0 ? state : -ENOENT;
	was_packed = pmio_pool_packed(pool, slot, &p);

	/*
	 * P1 the slot's next generation: no frame belongs to the file any more
	 * P2 the catalog's entry is removed
	 * crash before P1: the file exists; between: the entry has an old generation,
	 * and is removed at the next start
	 */
	next = pmio_pm_load64(&df->generation) + 1;
	if (next > PMIO_OWNER_GENERATION(UINT64_MAX))
		next = 1; /* after 2^40 files no frame of the first one is left */
	pmio_pm_store64(pm, &df->generation, next);
	rc = pmio_pm_sync(pm, df, sizeof(*df)); /* P1 */
	if (rc < 0)
		return rc;
	if (was_packed) /* its word does not count any more */
		pmio_pool_unit_put(pool, p.frame, p.unit);

	/* if it fails, the file is removed nevertheless, and the slot is unused until the next start */
	if (pmio_catalog_clear(pool->catalog, slot) == 0) /* P2 */
		pool->free_slots[pool->nr_free_slots++] = slot;
	return 0;
}

uint64_t pmio_pool_file_size(struct pmio_pool *pool, uint32_t slot)
{
	assert(slot < pool->view->nr_slots);
	return pmio_pm_load64(&pool->view->slots[slot].size);
}

void pmio_pool_file_set_size(struct pmio_pool *pool, uint32_t slot, uint64_t size)
{
	struct pmio_slot_df *df = &pool->view->slots[slot];

	assert(slot < pool->view->nr_slots);
	pmio_pm_store64(pool->view->pm, &df->size, size);
	pmio_pm_sync(pool->view->pm, df, sizeof(*df)); /* logs errors */
}

uint32_t pmio_pool_nr_slots(const struct pmio_pool *pool)
{
	return pool->view->nr_slots;
}
