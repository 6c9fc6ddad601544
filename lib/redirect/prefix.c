/*
 * prefix.c -- names with pmem: in calls that do not concern a file's data
 */
#include "redirect/redirect.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define PLAIN(path) redirect_plain_path(AT_FDCWD, path)

/* what the kernel does with a name */
#define BY_NAME(type, name, parameters, call)                                                                    \
	type redirect_##name parameters;                                                                           \
	type redirect_##name parameters                                                                            \
	{                                                                                                          \
		return (type)raw_result(call);                                                                     \
	}                                                                                                          \
	REDIRECT(name, redirect_##name)

BY_NAME(int, mkdir, (const char *path, mode_t mode), RAW(mkdirat, AT_FDCWD, PLAIN(path), mode));
BY_NAME(int, mkdirat, (int dir, const char *path, mode_t mode), RAW(mkdirat, dir, redirect_plain_path(dir, path), mode));
BY_NAME(int, mkfifo, (const char *path, mode_t mode), RAW(mknodat, AT_FDCWD, PLAIN(path), S_IFIFO | (mode & ~S_IFMT), 0));
BY_NAME(int, mkfifoat, (int dir, const char *path, mode_t mode), RAW(mknodat, dir, redirect_plain_path(dir, path), S_IFIFO | (mode & ~S_IFMT), 0));
BY_NAME(int, mknod, (const char *path, mode_t mode, dev_t dev), RAW(mknodat, AT_FDCWD, PLAIN(path), mode, dev));
BY_NAME(int, mknodat, (int dir, const char *path, mode_t mode, dev_t dev), RAW(mknodat, dir, redirect_plain_path(dir, path), mode, dev));
BY_NAME(int, rmdir, (const char *path), RAW(unlinkat, AT_FDCWD, PLAIN(path), AT_REMOVEDIR));
BY_NAME(int, chdir, (const char *path), RAW(chdir, PLAIN(path)));
BY_NAME(int, symlink, (const char *to, const char *path), RAW(symlinkat, PLAIN(to), AT_FDCWD, PLAIN(path)));
BY_NAME(int, symlinkat, (const char *to, int dir, const char *path), RAW(symlinkat, PLAIN(to), dir, redirect_plain_path(dir, path)));
BY_NAME(ssize_t, readlink, (const char *path, char *buf, size_t size), RAW(readlinkat, AT_FDCWD, PLAIN(path), buf, size));
BY_NAME(ssize_t, readlinkat, (int dir, const char *path, char *buf, size_t size), RAW(readlinkat, dir, redirect_plain_path(dir, path), buf, size));
BY_NAME(int, statfs, (const char *path, struct statfs *st), RAW(statfs, PLAIN(path), st));
BY_NAME(int, statfs64, (const char *path, struct statfs64 *st), RAW(statfs, PLAIN(path), st));
BY_NAME(ssize_t, getxattr, (const char *path, const char *attr, void *value, size_t size), RAW(getxattr, PLAIN(path), attr, value, size));
BY_NAME(ssize_t, lgetxattr, (const char *path, const char *attr, void *value, size_t size), RAW(lgetxattr, PLAIN(path), attr, value, size));

/* the C library's function, which asks the kernel for each part of the name */
char *redirect_realpath(const char *path, char *out);
char *redirect_realpath(const char *path, char *out)
{
	static char *(*real)(const char *, char *);

	if (!real)
		real = (char *(*)(const char *, char *))dlsym(RTLD_NEXT, "realpath");
	if (!real) {
		errno = ENOSYS;
		return NULL;
	}
	return real(PLAIN(path), out);
}
__asm__(".weak realpath\n.type realpath, %function\n.set realpath, redirect_realpath");
