#include "pool/catalog_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/fds.h"
#include "core/log.h"
#include "pmio.h"
#include "pool/catalog_df.h"

#define PIECE 4096	 /* bytes that are lost with one unreadable place */
#define MEND_LIMIT_S 60
#define SIZE_MAX_SANE (1ULL << 32) /* bytes: more than for PMIO_SLOTS_MAX files */

/* unreadable bytes become zero; false: there were some */
static bool read_all(int fd, uint8_t *to, uint64_t size)
{
	bool all = true;

	for (uint64_t at = 0; at < size; at += PIECE) {
		size_t len = size - at < PIECE ? (size_t)(size - at) : PIECE;

		if (pread(fd, to + at, len, (off_t)at) != (ssize_t)len) {
			memset(to + at, 0, len);
			all = false;
		}
	}
	return all;
}

/* in a child process: never returns */
static void mend(int fd, uint64_t size)
{
	char path[PMIO_FD_NAME_LEN];

	alarm(MEND_LIMIT_S);
	if (freopen("/dev/null", "w", stderr) == NULL || size < PIECE)
		_exit(EXIT_FAILURE);
	pmio_fd_name(path, fd);
	pmio_pm_emulate_begin(fd);
	if (pmemobj_check(path, PMIO_POOL_LAYOUT) == 0)
		_exit(EXIT_FAILURE);
	PMEMobjpool *pop = pmemobj_open(path, PMIO_POOL_LAYOUT);
	if (!pop)
		_exit(EXIT_FAILURE);
	pmemobj_close(pop);
	_exit(EXIT_SUCCESS);
}

/* let libpmemobj undo or redo in the file of this descriptor */
static bool mended(int fd, uint64_t size)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		mend(fd, size);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
}

/* the catalog's root has a form that nothing else in the file has */
static bool is_root(const struct pmio_catalog_copy *c, const struct root_df *r, const uint8_t *uuid)
{
	if (r->version != CATALOG_VERSION || r->nr_slots == 0 || r->nr_slots > PMIO_SLOTS_MAX ||
	    !is_zero(r->reserved, sizeof(r->reserved)) || OID_IS_NULL(r->entries))
		return false;
	if (uuid && memcmp(r->uuid, uuid, sizeof(r->uuid)) != 0)
		return false;
	return r->entries.off % 8 == 0 && r->entries.off < c->size &&
	       (uint64_t)r->nr_slots * sizeof(struct entry_df) <= c->size - r->entries.off;
}

static void find_root(struct pmio_catalog_copy *c, const uint8_t *uuid)
{
	struct root_df r;

	for (uint64_t at = 0; at + sizeof(r) <= c->size; at += 8) {
		uint32_t version;

		memcpy(&version, c->bytes + at, sizeof(version));
		if (version != CATALOG_VERSION)
			continue;
		memcpy(&r, c->bytes + at, sizeof(r));
		if (!is_root(c, &r, uuid))
			continue;
		c->entries = r.entries.off;
		c->pool_id = r.entries.pool_uuid_lo;
		c->nr_slots = r.nr_slots;
		return;
	}
}

static int take_copy(int from, const char *dir, struct pmio_catalog_copy *c)
{
	struct stat st;
	int fd = memfd_create("pmio-catalog", MFD_CLOEXEC);
	bool all;

	if (fd < 0 || fstat(from, &st) < 0 || st.st_size == 0 || (uint64_t)st.st_size > SIZE_MAX_SANE ||
	    ftruncate(fd, st.st_size) < 0)
		goto none;
	c->size = (uint64_t)st.st_size;
	c->bytes = mmap(NULL, c->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (c->bytes == MAP_FAILED) {
		c->bytes = NULL;
		c->size = 0;
		close(fd);
		pmio_err("%s: catalog: %s", dir, strerror(errno));
		return -ENOMEM;
	}
	all = read_all(from, c->bytes, c->size);
	c->sound = mended(fd, c->size) && all;
	/* a half-done repair is worse than none */
	if (!c->sound)
		read_all(from, c->bytes, c->size);
none:
	if (fd >= 0)
		close(fd);
	return 0;
}

int pmio_catalog_copy_read(int dir_fd, const char *dir, const uint8_t *uuid, struct pmio_catalog_copy *c)
{
	int rc, fd = openat(dir_fd, PMIO_POOL_CATALOG, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

	memset(c, 0, sizeof(*c));
	if (fd < 0) {
		pmio_err("%s: catalog: %s", dir, strerror(errno));
		return 0;
	}
	rc = take_copy(fd, dir, c);
	close(fd);
	if (rc == 0)
		find_root(c, uuid);
	if (c->nr_slots == 0 || c->size < pmio_catalog_file_size(c->nr_slots))
		c->sound = false;
	if (rc == 0 && !c->sound)
		pmio_err("%s: catalog: damaged%s", dir, c->nr_slots ? "" : ": the names of files are lost");
	return rc;
}

void pmio_catalog_copy_fini(struct pmio_catalog_copy *c)
{
	if (c->bytes)
		munmap(c->bytes, c->size);
	memset(c, 0, sizeof(*c));
}

static int get_path(const struct pmio_catalog_copy *c, const struct entry_df *e, char path[PATH_MAX])
{
	uint64_t len = e->path_len, off = e->path.off;

	if (len == 0 || len >= PATH_MAX || e->path.pool_uuid_lo != c->pool_id || off >= c->size ||
	    len + 1 > c->size - off)
		return PMIO_EDAMAGED;
	memcpy(path, c->bytes + off, len + 1);
	return path[0] == '/' && strnlen(path, len + 1) == len ? 0 : PMIO_EDAMAGED;
}

int pmio_catalog_copy_get(const struct pmio_catalog_copy *c, uint32_t slot, struct pmio_pool_file *file)
{
	struct entry_df e;

	if (slot >= c->nr_slots)
		return -ENOENT;
	memcpy(&e, c->bytes + c->entries + (uint64_t)slot * sizeof(e), sizeof(e));
	if (e.state == PMIO_FILE_NONE)
		return is_zero(&e, sizeof(e)) ? -ENOENT : PMIO_EDAMAGED;
	if (e.state > PMIO_FILE_FAILED || e.reserved || !is_zero(e.reserved2, sizeof(e.reserved2)))
		return PMIO_EDAMAGED;
	*file = (struct pmio_pool_file){
		.state = e.state,
		.flags = e.flags,
		.generation = e.generation,
		.dev = e.dev,
		.ino = e.ino,
		.pfs_size = e.pfs_size,
		.mtime_s = e.mtime_s,
		.mtime_ns = e.mtime_ns,
		.ctime_s = e.ctime_s,
		.ctime_ns = e.ctime_ns,
		.mode = e.mode,
		.error = e.error,
	};
	return get_path(c, &e, file->path);
}
