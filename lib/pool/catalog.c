#include "pool/catalog.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/backoff.h"
#include "core/log.h"
#include "pmio.h"
#include "pool/catalog_df.h"
#include "pool/pool_dir.h"

/* type numbers of our objects; libpmemobj keeps lists by type */
enum { TYPE_ENTRIES = 1, TYPE_PATH = 2 };

struct pmio_catalog {
	PMEMobjpool *pop;
	struct entry_df *entries; /* in pop */
	uint64_t size;		  /* bytes of the file: no object is beyond it */
	uint32_t nr_slots;
	char *dir; /* owned; for messages */
};

/* libpmemobj accepts paths only; this one refers to the directory that was checked */
static void catalog_path(char path[64], int dir_fd, const char *name)
{
	snprintf(path, 64, "/proc/self/fd/%d/%s", dir_fd, name);
}

static int pmemobj_error(const char *dir, const char *what, int err)
{
	pmio_err("%s: catalog: %s: %s", dir, what, pmemobj_errormsg());
	return err > 0 ? -err : -EIO;
}

/* ---- transactions ----------------------------------------------------------- */

/*
 * Without libpmemobj's macros, which use longjmp: every call in between returns its
 * error, and the end commits or aborts.
 */
static int tx_begin(PMEMobjpool *pop)
{
	int err = pmemobj_tx_begin(pop, NULL, TX_PARAM_NONE);

	if (err)
		pmemobj_tx_end();
	return -err;
}

static int tx_end(int rc)
{
	int err;

	if (rc < 0)
		pmemobj_tx_abort(-rc);
	else
		pmemobj_tx_commit();
	err = pmemobj_tx_end();
	return rc < 0 ? rc : -err;
}

/* the whole of p is about to be changed */
static int tx_add(void *p, size_t len)
{
	return -pmemobj_tx_xadd_range_direct(p, len, POBJ_XADD_NO_ABORT);
}

/* allocate len zero bytes; *rc: the error */
static PMEMoid tx_alloc(size_t len, uint64_t type, int *rc)
{
	PMEMoid oid = pmemobj_tx_xalloc(len, type, POBJ_XALLOC_NO_ABORT | POBJ_XALLOC_ZERO);

	*rc = 0;
	if (OID_IS_NULL(oid))
		*rc = errno == ENOMEM ? -ENOSPC : -errno; /* libpmemobj's ENOMEM means a full pool */
	return oid;
}

static int tx_free(PMEMoid oid)
{
	return OID_IS_NULL(oid) ? 0 : -pmemobj_tx_xfree(oid, POBJ_XFREE_NO_ABORT);
}

/* ---- create ------------------------------------------------------------------ */

static int make_root(PMEMobjpool *pop, const uint8_t uuid[16], uint32_t nr_slots)
{
	PMEMoid oid = pmemobj_root(pop, sizeof(struct root_df));
	struct root_df *root;
	int rc;

	if (OID_IS_NULL(oid))
		return errno == ENOMEM ? -ENOSPC : -errno;
	root = pmemobj_direct(oid);

	rc = tx_begin(pop);
	if (rc < 0)
		return rc;
	rc = tx_add(root, sizeof(*root));
	if (rc == 0)
		root->entries = tx_alloc(nr_slots * sizeof(struct entry_df), TYPE_ENTRIES, &rc);
	if (rc == 0) {
		root->version = CATALOG_VERSION;
		root->nr_slots = nr_slots;
		memcpy(root->uuid, uuid, sizeof(root->uuid));
	}
	return tx_end(rc);
}

size_t pmio_catalog_file_size(uint32_t nr_slots)
{
	size_t size = (8u << 20) + nr_slots * (sizeof(struct entry_df) + 384);

	return size < PMIO_POOL_CATALOG_SIZE ? PMIO_POOL_CATALOG_SIZE : size;
}

/*
 * Without libpmemobj's shutdown state: on real PMEM that ties a pool to its device, and
 * a pool that was open at a power cut could then only be recovered there, not from a
 * copy or on a replacement device.
 */
int pmio_catalog_create(int dir_fd, const char *dir, const char *name, const uint8_t uuid[16],
			uint32_t nr_slots)
{
	int shutdown_state = 0;
	unsigned emulated;
	PMEMobjpool *pop;
	char path[64];
	int rc = 0;

	catalog_path(path, dir_fd, name);
	if (pmemobj_ctl_set(NULL, "sds.at_create", &shutdown_state) < 0)
		return pmemobj_error(dir, "shutdown state", errno);
	emulated = pmio_pm_emulate_begin(dir_fd);
	pop = pmemobj_create(path, PMIO_POOL_LAYOUT, pmio_catalog_file_size(nr_slots), 0600);
	if (!pop)
		rc = pmemobj_error(dir, "create", errno);
	pmio_pm_emulate_end(emulated);
	if (rc < 0)
		return rc;

	rc = make_root(pop, uuid, nr_slots);
	if (rc < 0)
		pmemobj_error(dir, "first entries", -rc);
	pmemobj_close(pop);
	return rc;
}

/* ---- open -------------------------------------------------------------------- */

/*
 * libpmemobj's files begin with its signature, and after one page comes the name of the
 * layout.  This distinguishes other files from other versions of pmio, for which
 * libpmemobj has one error.  Besides, libpmemobj must not open a file that is not one
 * of its pools: it reads text files as lists of pools.
 */
int pmio_catalog_probe(int fd)
{
	static const char family[] = "pmio-catalog-";
	char signature[8], layout[64];

	if (pread(fd, signature, sizeof(signature), 0) != sizeof(signature) ||
	    pread(fd, layout, sizeof(layout), 4096) != sizeof(layout) ||
	    memcmp(signature, "PMEMOBJ", sizeof(signature)) != 0 ||
	    strncmp(layout, family, strlen(family)) != 0)
		return PMIO_ENOTPOOL;
	return strncmp(layout, PMIO_POOL_LAYOUT, sizeof(layout)) == 0 ? 0 : PMIO_EVERSION;
}

static int check_layout(int fd, const char *dir)
{
	int rc = pmio_catalog_probe(fd);

	if (rc == PMIO_ENOTPOOL) {
		pmio_err("%s: catalog: damaged, or not a catalog", dir);
		return PMIO_EDAMAGED;
	}
	if (rc == PMIO_EVERSION)
		pmio_err("%s: catalog: made by another version of pmio", dir);
	return rc;
}

/* checks the file; its size is set */
static int check_file(struct pmio_catalog *cat, int dir_fd, const char *dir, uint32_t nr_slots)
{
	struct stat st;
	int fd, rc = pmio_pool_dir_file(dir_fd, dir, PMIO_POOL_CATALOG, &fd);

	if (rc < 0)
		return rc;
	rc = check_layout(fd, dir);
	if (rc == 0 && fstat(fd, &st) < 0) {
		rc = -errno;
		pmio_err("%s: catalog: fstat: %s", dir, strerror(-rc));
	}
	close(fd);
	if (rc < 0)
		return rc;

	/* before libpmemobj maps it and faults on missing pages */
	if ((uint64_t)st.st_size < pmio_catalog_file_size(nr_slots)) {
		pmio_err("%s: catalog: damaged: it is shorter than when it was created", dir);
		return PMIO_EDAMAGED;
	}
	cat->size = (uint64_t)st.st_size;
	return rc;
}

/*
 * libpmemobj locks the catalog, too.  Of an agent that was killed the kernel may release the pool's lock some time before
 * that one; and commands look at a pool for a moment
 */
#define LOCKED_MS 5000

static int open_error(const char *dir, int err)
{
	pmemobj_error(dir, "open", err);
	switch (err) {
	case EACCES:
	case EPERM:
	case ENOMEM:
	case EMFILE:
	case ENFILE:
		return -err;
	case EAGAIN: /* libpmemobj locks the file as well */
		return -EBUSY;
	default:
		return PMIO_EDAMAGED;
	}
}

static int open_pop(struct pmio_catalog *cat, int dir_fd, const char *dir,
		    enum pmio_catalog_mode mode)
{
	static pthread_mutex_t cow_lock = PTHREAD_MUTEX_INITIALIZER;
	struct pmio_backoff b = PMIO_BACKOFF(1, 100, LOCKED_MS);
	int cow = mode == PMIO_CATALOG_LOOK, no_cow = 0, rc = 0;
	unsigned emulated;
	char path[64];

	catalog_path(path, dir_fd, PMIO_POOL_CATALOG);
	/* the setting is process-wide */
	pthread_mutex_lock(&cow_lock);
	emulated = pmio_pm_emulate_begin(dir_fd);
	if (cow && pmemobj_ctl_set(NULL, "copy_on_write.at_open", &cow) < 0)
		rc = pmemobj_error(dir, "copy on write", errno);
	if (rc == 0) {
		do
			cat->pop = pmemobj_open(path, PMIO_POOL_LAYOUT);
		while (!cat->pop && errno == EAGAIN && pmio_backoff_sleep(&b));
		if (!cat->pop)
			rc = open_error(dir, errno);
	}
	if (cow)
		pmemobj_ctl_set(NULL, "copy_on_write.at_open", &no_cow);
	pmio_pm_emulate_end(emulated);
	pthread_mutex_unlock(&cow_lock);
	return rc;
}

/* is this one of the catalog's objects, with len bytes?  Does not look at the heap, which may be damaged */
static const void *object(const struct pmio_catalog *cat, PMEMoid oid, uint64_t len)
{
	if (OID_IS_NULL(oid) || pmemobj_pool_by_oid(oid) != cat->pop)
		return NULL;
	if (oid.off >= cat->size || len > cat->size - oid.off)
		return NULL;
	return (const uint8_t *)cat->pop + oid.off;
}

static const char *root_flaw(struct pmio_catalog *cat, const struct root_df *root,
			     const uint8_t uuid[16], uint32_t nr_slots)
{
	if (memcmp(root->uuid, uuid, sizeof(root->uuid)) != 0)
		return "it belongs to another pool";
	if (root->nr_slots != nr_slots)
		return "its number of slots differs from that of `data`";
	cat->entries = (struct entry_df *)(uintptr_t)object(
		cat, root->entries, (uint64_t)nr_slots * sizeof(struct entry_df));
	return cat->entries ? NULL : "it has no entries";
}

static int open_root(struct pmio_catalog *cat, const uint8_t uuid[16], uint32_t nr_slots)
{
	const struct root_df *root;
	const char *flaw;

	/* not pmemobj_root() at once: it would create a missing root */
	if (pmemobj_root_size(cat->pop) != sizeof(*root)) {
		pmio_err("%s: catalog: damaged: no root", cat->dir);
		return PMIO_EDAMAGED;
	}
	root = pmemobj_direct(pmemobj_root(cat->pop, sizeof(*root)));
	if (!root || root->version != CATALOG_VERSION) {
		pmio_err("%s: catalog: made by another version of pmio", cat->dir);
		return PMIO_EVERSION;
	}
	flaw = root_flaw(cat, root, uuid, nr_slots);
	if (flaw) {
		pmio_err("%s: catalog: damaged: %s", cat->dir, flaw);
		return PMIO_EDAMAGED;
	}
	cat->nr_slots = nr_slots;
	return 0;
}

int pmio_catalog_open(int dir_fd, const char *dir, const uint8_t uuid[16], uint32_t nr_slots,
		      enum pmio_catalog_mode mode, struct pmio_catalog **out)
{
	struct pmio_catalog *cat = calloc(1, sizeof(*cat));
	int rc = -ENOMEM;

	*out = NULL;
	if (cat)
		cat->dir = strdup(dir);
	if (!cat || !cat->dir)
		pmio_err("%s: catalog: %s", dir, strerror(ENOMEM));
	else
		rc = check_file(cat, dir_fd, dir, nr_slots);
	if (rc == 0)
		rc = open_pop(cat, dir_fd, dir, mode);
	if (rc == 0)
		rc = open_root(cat, uuid, nr_slots);
	if (rc < 0)
		pmio_catalog_close(&cat);
	*out = cat;
	return rc;
}

void pmio_catalog_close(struct pmio_catalog **cat)
{
	if (!*cat)
		return;
	if ((*cat)->pop)
		pmemobj_close((*cat)->pop);
	free((*cat)->dir);
	free(*cat);
	*cat = NULL;
}

int pmio_catalog_check(int dir_fd, const char *dir, uint32_t nr_slots)
{
	struct pmio_catalog cat;
	unsigned emulated;
	char path[64];
	int rc = check_file(&cat, dir_fd, dir, nr_slots);

	if (rc < 0)
		return rc;
	catalog_path(path, dir_fd, PMIO_POOL_CATALOG);
	emulated = pmio_pm_emulate_begin(dir_fd);
	rc = pmemobj_check(path, PMIO_POOL_LAYOUT);
	if (rc < 0)
		rc = open_error(dir, errno);
	else if (rc == 0) {
		pmio_err("%s: catalog: damaged: pmemobj_check finds it inconsistent", dir);
		rc = PMIO_EDAMAGED;
	} else {
		rc = 0;
	}
	pmio_pm_emulate_end(emulated);
	return rc;
}

/* ---- entries ------------------------------------------------------------------ */

/* the path of an entry in use, with its zero; NULL if the entry is not valid */
static const char *entry_path(const struct pmio_catalog *cat, const struct entry_df *e)
{
	const char *path;

	if (e->path_len == 0 || e->path_len >= PATH_MAX)
		return NULL;
	path = object(cat, e->path, e->path_len + 1);
	return path && strnlen(path, e->path_len + 1) == e->path_len ? path : NULL;
}

int pmio_catalog_state(const struct pmio_catalog *cat, uint32_t slot, uint64_t *generation)
{
	const struct entry_df *e = &cat->entries[slot];

	assert(slot < cat->nr_slots);
	*generation = e->generation;
	if (e->state == PMIO_FILE_NONE)
		return PMIO_FILE_NONE;
	if (e->state > PMIO_FILE_FAILED || !entry_path(cat, e)) {
		pmio_err("%s: catalog: damaged: entry %u", cat->dir, slot);
		return PMIO_EDAMAGED;
	}
	return (int)e->state;
}

uint32_t pmio_catalog_flags(const struct pmio_catalog *cat, uint32_t slot)
{
	assert(slot < cat->nr_slots);
	return cat->entries[slot].flags;
}

int pmio_catalog_get(const struct pmio_catalog *cat, uint32_t slot, struct pmio_pool_file *file)
{
	const struct entry_df *e = &cat->entries[slot];
	uint64_t generation;
	int state;

	state = pmio_catalog_state(cat, slot, &generation);
	if (state <= 0)
		return state < 0 ? state : -ENOENT;

	file->state = e->state;
	file->flags = e->flags;
	file->generation = e->generation;
	file->dev = e->dev;
	file->ino = e->ino;
	file->birth_ns = e->birth_ns;
	file->pfs_size = e->pfs_size;
	file->mtime_s = e->mtime_s;
	file->mtime_ns = e->mtime_ns;
	file->ctime_s = e->ctime_s;
	file->ctime_ns = e->ctime_ns;
	file->mode = e->mode;
	file->error = e->error;
	memcpy(file->path, entry_path(cat, e), e->path_len + 1);
	return 0;
}

/* in a transaction to which e was added: set all fields but the path */
static void set_fields(struct entry_df *e, const struct pmio_pool_file *file)
{
	e->state = file->state;
	e->flags = file->flags;
	e->generation = file->generation;
	e->dev = file->dev;
	e->ino = file->ino;
	e->birth_ns = file->birth_ns;
	e->pfs_size = file->pfs_size;
	e->mtime_s = file->mtime_s;
	e->mtime_ns = file->mtime_ns;
	e->ctime_s = file->ctime_s;
	e->ctime_ns = file->ctime_ns;
	e->mode = file->mode;
	e->error = file->error;
}

static int set_path(struct pmio_catalog *cat, struct entry_df *e, const char *path)
{
	const char *old = e->state == PMIO_FILE_NONE ? NULL : entry_path(cat, e);
	size_t len = strlen(path);
	PMEMoid oid;
	int rc;

	if (old && strcmp(old, path) == 0)
		return 0;
	oid = tx_alloc(len + 1, TYPE_PATH, &rc);
	if (rc == 0)
		rc = tx_free(e->path);
	if (rc < 0)
		return rc;
	/* fresh memory of this transaction: flushed when it commits */
	memcpy(pmemobj_direct(oid), path, len + 1);
	e->path = oid;
	e->path_len = (uint32_t)len;
	return 0;
}

static int check_new(const struct pmio_pool_file *file)
{
	size_t len = strnlen(file->path, PATH_MAX);

	if (len > 0 && len < PATH_MAX && file->state != PMIO_FILE_NONE &&
	    file->state <= PMIO_FILE_FAILED)
		return 0;
	pmio_err("catalog: a file without path or state");
	return -EINVAL;
}

int pmio_catalog_set(struct pmio_catalog *cat, uint32_t slot, const struct pmio_pool_file *file)
{
	struct entry_df *e = &cat->entries[slot];
	int rc = check_new(file);

	assert(slot < cat->nr_slots);
	if (rc < 0)
		return rc;
	rc = tx_begin(cat->pop);
	if (rc == 0) {
		rc = tx_add(e, sizeof(*e));
		if (rc == 0)
			rc = set_path(cat, e, file->path);
		if (rc == 0)
			set_fields(e, file);
		rc = tx_end(rc);
	}
	if (rc < 0 && rc != -ENOSPC)
		pmemobj_error(cat->dir, file->path, -rc);
	return rc;
}

int pmio_catalog_clear(struct pmio_catalog *cat, uint32_t slot)
{
	struct entry_df *e = &cat->entries[slot];
	int rc;

	assert(slot < cat->nr_slots);
	rc = tx_begin(cat->pop);
	if (rc == 0) {
		rc = tx_add(e, sizeof(*e));
		if (rc == 0)
			rc = tx_free(e->path);
		if (rc == 0)
			memset(e, 0, sizeof(*e));
		rc = tx_end(rc);
	}
	if (rc < 0)
		pmemobj_error(cat->dir, "clear an entry", -rc);
	return rc;
}
