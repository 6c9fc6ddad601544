/*
 * exclusion.c -- preventing that one file is modified through two pools
 *
 * A process that has a file open in a pool holds a lock on a byte of the file at an offset without
 * data:
 *
 *   1 << 62 | use << 32 | 32 bits of the pool's uuid
 *
 * It belongs to the open file description, which client and agent share, so it exists as long
 * as one of them has the file open.  Pools that read do not exclude each other, nor do those of
 * one layout session (lib/remote); all others do.  On file systems without locks there is no
 * exclusion.
 *
 * While a pool has pending data and no process has the file open, an extended attribute (the dirty
 * mark) shows where they are, as the agent may have ended: text, "1 UUID INODE HOST BOOT DIR".  The
 * inode number distinguishes the file from a copy to which the attribute was copied, too.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <uuid.h>

#include "core/error.h"
#include "core/fds.h"
#include "core/log.h"
#include "core/system.h"
#include "pfs/pfs.h"
#include "pool/format.h"

#define REGION(use) ((off_t)1 << 62 | (off_t)(use) << 32)
#define REGION_LEN ((off_t)1 << 32)

/* ---- in use ------------------------------------------------------------------- */

static off_t place(const uint8_t uuid[16])
{
	uint32_t n;

	memcpy(&n, uuid, sizeof(n));
	return (off_t)n;
}

/* 1: there is a lock; 0: there is none; or -errno */
static int is_locked(int fd, off_t start, off_t len)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = len };

	if (len == 0) /* to fcntl(2) 0 means up to the end */
		return 0;
	if (fcntl(fd, F_OFD_GETLK, &fl) < 0)
		return -errno;
	return fl.l_type != F_UNLCK;
}

/* is it in use by another pool? */
static int is_used(int fd, enum pmio_pfs_use use, off_t own)
{
	int rc = is_locked(fd, REGION(use), own);

	return rc ? rc : is_locked(fd, REGION(use) + own + 1, REGION_LEN - own - 1);
}

static void unlock(int fd, enum pmio_pfs_use use, off_t own)
{
	struct flock fl = { .l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = REGION(use) + own, .l_len = 1 };

	fcntl(fd, F_OFD_SETLK, &fl);
}

/* does the file system have no locks, or not of this kind? */
static bool has_no_locks(int err)
{
	return err == ENOLCK || err == ENOSYS || err == EOPNOTSUPP || err == EINVAL || err == EPERM;
}

int pmio_pfs_take(int fd, const uint8_t uuid[16], enum pmio_pfs_use use)
{
	/* conflict table: the uses by other pools that each use excludes */
	static const bool excludes[3][3] = {
		[PMIO_PFS_READS] = { [PMIO_PFS_WRITES] = true, [PMIO_PFS_SHARES] = true },
		[PMIO_PFS_WRITES] = { true, true, true },
		[PMIO_PFS_SHARES] = { [PMIO_PFS_READS] = true, [PMIO_PFS_WRITES] = true },
	};
	off_t own = place(uuid);
	struct flock fl = { .l_whence = SEEK_SET, .l_start = REGION(use) + own, .l_len = 1 };
	int rc = 0, any;

	fl.l_type = pmio_pfs_access(fd) == O_WRONLY ? F_WRLCK : F_RDLCK;
	/* a holder of this byte belongs to the same pool */
	if (fcntl(fd, F_OFD_SETLK, &fl) < 0 && errno != EAGAIN && errno != EACCES)
		return has_no_locks(errno) ? 0 : -errno;
	/* usually there is no lock at all: one call instead of six */
	any = is_locked(fd, REGION(0), 3 * REGION_LEN);
	for (int other = 0; other < 3 && any && rc == 0; other++) {
		if (excludes[use][other])
			rc = is_used(fd, (enum pmio_pfs_use)other, own);
	}
	if (rc)
		unlock(fd, use, own);
	return rc > 0 ? -EBUSY : rc < 0 && !has_no_locks(-rc) ? rc : 0;
}

bool pmio_pfs_is_taken(int fd)
{
	return is_locked(fd, REGION(0), 3 * REGION_LEN) > 0;
}

/* ---- in use by several nodes ----------------------------------------------------------- */

static bool is_layout(const char *name, bool ours)
{
	struct stat st;

	return lstat(name, &st) == 0 && (!ours || st.st_uid == geteuid());
}

bool pmio_pfs_has_layout(const char *name, uint64_t ino, bool ours)
{
	const char *slash = strrchr(name, '/');
	char layout[PATH_MAX];
	int n = slash ? snprintf(layout, sizeof(layout), "%.*s/" PMIO_PFS_LAYOUT "%" PRIu64, (int)(slash - name), name, ino) : -1;
	size_t len = (size_t)n;

	if (n < 0 || len >= sizeof(layout)) /* the name would be too long, so no process can make one */
		return false;
	if (is_layout(layout, ours))
		return true;
	n = snprintf(layout + len, sizeof(layout) - len, ".%u", (unsigned)geteuid());
	return (size_t)n < sizeof(layout) - len && is_layout(layout, true);
}

/* ---- the holder ------------------------------------------------------------------- */

/* does the process have this file open? */
static bool process_has(const char *pid, const struct stat *file)
{
	char path[PATH_MAX];
	struct dirent *e;
	bool has = false;
	struct stat st;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	d = opendir(path);
	while (d && !has && (e = readdir(d)) != NULL) {
		if (!isdigit((unsigned char)*e->d_name))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/fd/%s", pid, e->d_name);
		has = stat(path, &st) == 0 && st.st_dev == file->st_dev && st.st_ino == file->st_ino;
	}
	if (d)
		closedir(d);
	return has;
}

/* is it an agent?  Its pool is in its arguments, if given there */
static bool is_agent(const char *pid, char *pool, size_t size)
{
	char path[64], args[PATH_MAX + 256];
	const char *at;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%.20s/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, args, sizeof(args) - 1) : -1;
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return false;
	args[n] = '\0';
	if (!strstr(args, "pmiod"))
		return false;
	snprintf(pool, size, "%s", "the default pool");
	for (at = args; at < args + n; at += strlen(at) + 1) {
		if (strcmp(at, "--pool") == 0 && at + 7 < args + n)
			snprintf(pool, size, "pool %s", at + 7);
	}
	return true;
}

void pmio_pfs_holder(int fd, char *who, size_t size)
{
	char pool[PATH_MAX];
	struct dirent *e;
	struct stat st;
	DIR *d = opendir("/proc");

	snprintf(who, size, "%s", "a pool of another node, container or user");
	while (d && fstat(fd, &st) == 0 && (e = readdir(d)) != NULL) {
		if (!isdigit((unsigned char)*e->d_name) || !is_agent(e->d_name, pool, sizeof(pool)) ||
		    !process_has(e->d_name, &st))
			continue;
		snprintf(who, size, "%s (agent: process %s)", pool, e->d_name);
		break;
	}
	if (d)
		closedir(d);
}

/* ---- dirty marks ---------------------------------------------------------------------- */

#define BOOT_LEN 40

/* the kernel's boot id */
static void read_boot(char boot[BOOT_LEN])
{
	uint8_t id[16];

	strcpy(boot, "?");
	if (pmio_boot_id(id))
		uuid_unparse_lower(id, boot);
}

static void to_hex(const uint8_t uuid[16], char hex[33])
{
	for (int i = 0; i < 16; i++)
		snprintf(hex + 2 * i, 3, "%02x", uuid[i]);
}

int pmio_pfs_mark(int fd, const uint8_t uuid[16], const char *dir)
{
	char text[PATH_MAX + 400], hex[33], host[256] = "?", boot[BOOT_LEN];
	struct stat st;
	int n;

	if (fstat(fd, &st) < 0)
		return -errno;
	to_hex(uuid, hex);
	gethostname(host, sizeof(host) - 1);
	read_boot(boot);
	n = snprintf(text, sizeof(text), "1 %s %" PRIu64 " %s %s %s", hex, (uint64_t)st.st_ino, host, boot, dir);
	return fsetxattr(fd, PMIO_PFS_MARK_NAME, text, (size_t)n, 0) < 0 ? -errno : 0;
}

struct mark {
	char hex[33], host[256], boot[BOOT_LEN], dir[PATH_MAX];
};

/* false: there is no mark, or it belongs to another file */
static bool read_mark(int fd, struct mark *m)
{
	char text[PATH_MAX + 400];
	ssize_t n = fgetxattr(fd, PMIO_PFS_MARK_NAME, text, sizeof(text) - 1);
	uint64_t ino;
	struct stat st;
	int at = 0;

	if (n <= 0 || fstat(fd, &st) < 0)
		return false;
	text[n] = '\0';
	if (sscanf(text, "1 %32[0-9a-f] %" SCNu64 " %255s %39s %n", m->hex, &ino, m->host, m->boot, &at) != 4 || at == 0 ||
	    strlen(text + at) >= PATH_MAX || ino != st.st_ino)
		return false;
	snprintf(m->dir, sizeof(m->dir), "%s", text + at);
	return true;
}

void pmio_pfs_unmark(int fd, const uint8_t uuid[16])
{
	struct mark m;
	char own[33];

	to_hex(uuid, own);
	if (read_mark(fd, &m) && strcmp(m.hex, own) == 0)
		fremovexattr(fd, PMIO_PFS_MARK_NAME);
}

/* for a pool on this machine: does it still exist? */
static bool pool_exists(const char *dir, const char *hex)
{
	char path[PATH_MAX + 8], there[33];
	struct pmio_super_df super;
	bool is_it = false;
	int fd;

	snprintf(path, sizeof(path), "%s/data", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno != ENOENT && errno != ENOTDIR; /* another user's: it may exist */
	if (pread(fd, &super, sizeof(super), 0) == (ssize_t)sizeof(super)) {
		to_hex(super.uuid, there);
		is_it = strcmp(there, hex) == 0;
	}
	close(fd);
	return is_it;
}

/* usually there is no mark: one call to the file system */
bool pmio_pfs_dirty_elsewhere(int fd, const uint8_t uuid[16])
{
	char name[PMIO_FD_NAME_LEN], own[33];
	struct mark m;
	bool dirty;

	if (getxattr(pmio_fd_name(name, fd), PMIO_PFS_MARK_NAME, NULL, 0) <= 0)
		return false;
	fd = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return false; /* then the file itself cannot be opened to read outdated data, either */
	to_hex(uuid, own);
	dirty = read_mark(fd, &m) && strcmp(m.hex, own) != 0;
	close(fd);
	return dirty;
}

int pmio_pfs_check_mark(int fd, const uint8_t uuid[16], const char *path)
{
	char own[33], here[256] = "?", boot[BOOT_LEN];
	struct mark m;
	bool is_here;

	to_hex(uuid, own);
	if (!read_mark(fd, &m) || strcmp(m.hex, own) == 0)
		return 0;
	gethostname(here, sizeof(here) - 1);
	is_here = strcmp(m.host, here) == 0 && !pool_exists(m.dir, m.hex);
	read_boot(boot);
	if (is_here && strcmp(m.boot, boot) != 0) {
		pmio_warn("open %s: data for it were in pool %s, which a reboot of %s has cleared: they are lost",
			  path, m.dir, here);
		fremovexattr(fd, PMIO_PFS_MARK_NAME);
		return 0;
	}
	if (is_here)
		pmio_err("open %s: data for it wait in pool %s of %s, which does not exist here: if it was removed, and is not in "
			 "another container, `pmio forget %s` discards them", path, m.dir, m.host, path);
	else
		pmio_err("open %s: data for it wait in pool %s on %s: `pmio drain --pool=%s %s` there writes them, "
			 "`pmio forget` discards them", path, m.dir, m.host, m.dir, path);
	return PMIO_EOTHER;
}

int pmio_pfs_clear_mark(const char *path)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), rc = 0;

	if (fd < 0)
		return -errno;
	if (fremovexattr(fd, PMIO_PFS_MARK_NAME) < 0)
		rc = errno == ENODATA ? -ENOENT : -errno;
	close(fd);
	return rc;
}
