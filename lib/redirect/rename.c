/* rename.c -- removing, replacing and adding names */
#include "redirect/redirect.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- removed --------------------------------------------------------------------------------- */

/*
 * A file's data are discarded with its last name, and the agent is told before.  But a file that other processes may
 * have open without the agent's knowledge (a descriptor that a child has inherited) keeps its data, on the PFS.
 */
static long remove_known(int fd, const struct stat *st, const char *name)
{
	struct redirect_file *f = redirect_find(st->st_dev, st->st_ino);
	bool shared = f && atomic_load(&f->shared);
	struct redirect_calm calm;
	int rc;

	if (f)
		redirect_put(f);
	if (shared || !redirect_pool())
		return -ENOENT;
	redirect_enter(&calm);
	rc = redirect_pool()->remove(fd, name);
	redirect_leave(&calm);
	return rc;
}

static int remove_name(int dir, const char *path, int flags)
{
	const char *plain = redirect_plain_path(dir, path);
	char name[PATH_MAX];
	struct stat st;
	long rc = -ENOENT;
	int fd = flags & AT_REMOVEDIR ? -1 : redirect_path_fd(dir, plain, false, &st, name);

	if (fd >= 0) {
		if (st.st_nlink == 1)
			rc = remove_known(fd, &st, name);
		RAW(close, fd);
	}
	if (rc != -ENOENT)
		return (int)redirect_result(rc);
	return (int)raw_result(RAW(unlinkat, dir, plain, flags));
}

int redirect_unlinkat(int dir, const char *path, int flags);
int redirect_unlinkat(int dir, const char *path, int flags)
{
	return (int)REDIRECT_ROOM(remove_name, dir, path, flags);
}
REDIRECT(unlinkat, redirect_unlinkat);

int redirect_unlink(const char *path);
int redirect_unlink(const char *path)
{
	return redirect_unlinkat(AT_FDCWD, path, 0);
}
REDIRECT(unlink, redirect_unlink);

int redirect_remove(const char *path);
int redirect_remove(const char *path)
{
	int rc = redirect_unlinkat(AT_FDCWD, path, 0);

	if (rc == 0 || (errno != EISDIR && errno != EPERM))
		return rc;
	return (int)raw_result(RAW(unlinkat, AT_FDCWD, redirect_plain_path(AT_FDCWD, path), AT_REMOVEDIR));
}
REDIRECT(remove, redirect_remove);

/* ---- added and replaced --------------------------------------------------------------------------- */

#define LISTED 1024 /* bytes of names per call */

/* to: the folder's new name; both are modified meanwhile, and restored when this returns */
static int settle_below(char from[PATH_MAX], char to[PATH_MAX])
{
	char names[LISTED] __attribute__((aligned(8)));
	size_t from_len = strlen(from), to_len = strlen(to);
	long fd = REDIRECT_ABOVE(RAW(openat, AT_FDCWD, from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0)), n;
	int rc = 0;

	if (fd < 0)
		return 0;
	while (rc == 0 && (n = RAW(getdents64, fd, names, sizeof(names))) > 0) {
		for (long at = 0; at < n && rc == 0;) {
			const struct dirent64 *d = (const struct dirent64 *)(names + at);
			size_t len = strlen(d->d_name) + 2;

			at += d->d_reclen;
			if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0 || from_len + len > PATH_MAX || to_len + len > PATH_MAX)
				continue;
			snprintf(from + from_len, len, "/%s", d->d_name);
			snprintf(to + to_len, len, "/%s", d->d_name);
			if (d->d_type == DT_DIR || d->d_type == DT_UNKNOWN)
				rc = settle_below(from, to);
			if (rc == 0 && d->d_type != DT_DIR && redirect_matches(from) && !redirect_matches(to))
				rc = redirect_settle_at(AT_FDCWD, from, false);
		}
	}
	RAW(close, fd);
	from[from_len] = to[to_len] = '\0';
	return rc;
}

static int settle_folder(int dir, const char *path, int to_dir, const char *to)
{
	char from[PATH_MAX], name[PATH_MAX], inside[PATH_MAX];
	long fd = REDIRECT_ABOVE(RAW(openat, dir, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0));
	struct stat st;
	bool known;

	if (fd < 0)
		return 0;
	known = RAW(fstat, fd, &st) == 0 && redirect_device_may(st.st_dev) && redirect_fd_name((int)fd, &st, from) && redirect_absolute(to_dir, to, name);
	RAW(close, fd);
	if (!known || snprintf(inside, sizeof(inside), "%s/x", name) >= (int)sizeof(inside) || redirect_matches(inside))
		return 0; /* most patterns match everything below a folder, or nothing */
	return settle_below(from, name);
}

/* if the new name is not redirected, drain the file, or all files of the folder, to the PFS */
static int settle_for(int dir, const char *path, bool follow, int to_dir, const char *to)
{
	struct stat st;

	if (!redirect_on || redirect_inside || !redirect_ours() || !path || !to)
		return 0;
	if (!follow && RAW(newfstatat, dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
		return settle_folder(dir, path, to_dir, to);
	return redirect_may_match(to_dir, to) ? 0 : redirect_settle_at(dir, path, follow);
}

/*
 * A layout file is in the same folder as its file: if the file was moved to another folder, other nodes would not find
 * it.  It is removed once all of the file is on the file system and no process has it open.  Until then the rename
 * fails, and programs copy the file (mv).  A file that is replaced may have a layout file, too.
 */
static int settle_shared(int dir, const char *path, bool moves)
{
	char name[PATH_MAX];
	struct stat st;
	int fd = redirect_path_fd(dir, path, false, &st, name), rc = 0;
	const struct redirect_pool *pool = fd >= 0 ? redirect_pool() : NULL;
	struct redirect_calm calm;

	if (pool) {
		redirect_enter(&calm);
		if (pool->shared_by_nodes(fd)) {
			rc = pool->settle(fd, name);
			if (rc == 0 && moves && pool->shared_by_nodes(fd))
				rc = -EXDEV;
		}
		redirect_leave(&calm);
	}
	if (fd >= 0)
		RAW(close, fd);
	if (rc == -EXDEV)
		redirect_warning("%s: in use by other processes, possibly on other nodes: it cannot be moved to another directory", name);
	return rc;
}

static bool is_same_folder(int dir, const char *path, int to_dir, const char *to)
{
	char a[PATH_MAX], b[PATH_MAX];
	size_t n;

	if (!redirect_absolute(dir, path, a) || !redirect_absolute(to_dir, to, b))
		return false;
	n = (size_t)(strrchr(a, '/') - a);
	return n == (size_t)(strrchr(b, '/') - b) && memcmp(a, b, n) == 0;
}

/* a file whose name was given to another file: its pending data are no longer needed */
static void give_up(int fd)
{
	struct redirect_calm calm;
	struct redirect_file *f;
	struct stat st;

	if (RAW(fstat, fd, &st) < 0 || st.st_nlink)
		return;
	f = redirect_find(st.st_dev, st.st_ino);
	if (f) { /* done at its close */
		redirect_put(f);
	} else if (redirect_pool()) {
		redirect_enter(&calm);
		redirect_pool()->give_up(fd);
		redirect_leave(&calm);
	}
}

static long rename_file(int dir, const char *path, int to_dir, const char *to, unsigned flags)
{
	if (flags)
		return RAW(renameat2, dir, path, to_dir, to, flags);
	return RAW(renameat, dir, path, to_dir, to);
}

static int change_name(int dir, const char *path, int to_dir, const char *to, unsigned flags)
{
	const char *from = redirect_plain_path(dir, path), *plain_to = redirect_plain_path(to_dir, to);
	char name[PATH_MAX];
	struct stat st;
	long rc = settle_for(dir, from, false, to_dir, plain_to);
	int fd;

	if (rc == 0 && redirect_on && !redirect_inside && from && plain_to)
		rc = settle_shared(dir, from, !is_same_folder(dir, from, to_dir, plain_to));
	if (rc == 0 && redirect_on && !redirect_inside && from && plain_to)
		rc = settle_shared(to_dir, plain_to, false);
	if (rc == 0 && (flags & RENAME_EXCHANGE))
		rc = settle_for(to_dir, plain_to, false, dir, from);
	if (rc < 0)
		return (int)redirect_result(rc);
	fd = redirect_path_fd(to_dir, plain_to, false, &st, name);
	rc = rename_file(dir, from, to_dir, plain_to, flags);
	if (fd >= 0) {
		if (rc == 0)
			give_up(fd);
		RAW(close, fd);
	}
	return (int)raw_result(rc);
}

int redirect_renameat2(int dir, const char *path, int to_dir, const char *to, unsigned flags);
int redirect_renameat2(int dir, const char *path, int to_dir, const char *to, unsigned flags)
{
	return (int)REDIRECT_ROOM(change_name, dir, path, to_dir, to, flags);
}
REDIRECT(renameat2, redirect_renameat2);

int redirect_renameat(int dir, const char *path, int to_dir, const char *to);
int redirect_renameat(int dir, const char *path, int to_dir, const char *to)
{
	return redirect_renameat2(dir, path, to_dir, to, 0);
}
REDIRECT(renameat, redirect_renameat);

int redirect_rename(const char *path, const char *to);
int redirect_rename(const char *path, const char *to)
{
	return redirect_renameat2(AT_FDCWD, path, AT_FDCWD, to, 0);
}
REDIRECT(rename, redirect_rename);

int redirect_linkat(int dir, const char *path, int to_dir, const char *to, int flags);
int redirect_linkat(int dir, const char *path, int to_dir, const char *to, int flags)
{
	const char *from = redirect_plain_path(dir, path), *plain_to = redirect_plain_path(to_dir, to);
	int rc = flags & AT_EMPTY_PATH ? 0 : (int)REDIRECT_ROOM(settle_for, dir, from, (flags & AT_SYMLINK_FOLLOW) != 0, to_dir, plain_to);

	return (int)(rc < 0 ? redirect_result(rc) : raw_result(RAW(linkat, dir, from, to_dir, plain_to, flags)));
}
REDIRECT(linkat, redirect_linkat);

int redirect_link(const char *path, const char *to);
int redirect_link(const char *path, const char *to)
{
	return redirect_linkat(AT_FDCWD, path, AT_FDCWD, to, 0);
}
REDIRECT(link, redirect_link);

/* only for names with pmem: */
int redirect_faccessat(int dir, const char *path, int mode, int flags);
int redirect_faccessat(int dir, const char *path, int mode, int flags)
{
	path = redirect_plain_path(dir, path);
	return (int)raw_result(flags ? RAW(faccessat2, dir, path, mode, flags) : RAW(faccessat, dir, path, mode));
}
REDIRECT(faccessat, redirect_faccessat);

int redirect_access(const char *path, int mode);
int redirect_access(const char *path, int mode)
{
	return (int)raw_result(RAW(faccessat, AT_FDCWD, redirect_plain_path(AT_FDCWD, path), mode));
}
REDIRECT(access, redirect_access);
