/*
 * by_number.c -- calls that programs make by syscall()
 *
 * Libraries do so where they expect a C library that does not have the function yet (libuv, gnulib, Rust's rustix).
 * Calls whose arguments are those of the function of the same name are in a table.
 */
#include "redirect/redirect.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

/* is_int: the function returns an int, and otherwise a long */
static const struct {
	long nr;
	const char *name;
	bool is_int;
} by_number[] = {
	{ SYS_read, "read", false },
	{ SYS_write, "write", false },
	{ SYS_close, "close", true },
	{ SYS_pread64, "pread64", false },
	{ SYS_pwrite64, "pwrite64", false },
	{ SYS_preadv, "preadv", false },
	{ SYS_pwritev, "pwritev", false },
	{ SYS_readv, "readv", false },
	{ SYS_writev, "writev", false },
	{ SYS_lseek, "lseek", false },
	{ SYS_fsync, "fsync", true },
	{ SYS_fdatasync, "fdatasync", true },
	{ SYS_ftruncate, "ftruncate", true },
	{ SYS_truncate, "truncate", true },
	{ SYS_fallocate, "fallocate", true },
	{ SYS_copy_file_range, "copy_file_range", false },
	{ SYS_sendfile, "sendfile", false },
	{ SYS_splice, "splice", false },
	{ SYS_statx, "statx", true },
	{ SYS_fstat, "fstat", true },
	{ SYS_newfstatat, "fstatat", true },
	{ SYS_unlinkat, "unlinkat", true },
	{ SYS_renameat2, "renameat2", true },
	{ SYS_renameat, "renameat", true },
	{ SYS_linkat, "linkat", true },
	{ SYS_close_range, "close_range", true },
	{ SYS_dup, "dup", true },
	{ SYS_dup3, "dup3", true },
	{ SYS_fcntl, "fcntl", true },
	{ SYS_ioctl, "ioctl", true },
	{ SYS_mmap, "mmap", false },
	{ SYS_munmap, "munmap", true },
	{ SYS_mremap, "mremap", false },
	{ SYS_msync, "msync", true },
	{ SYS_prlimit64, "prlimit", true },
	{ SYS_setrlimit, "setrlimit", true },
	{ SYS_fstatfs, "fstatfs", true },
	{ SYS_sendmsg, "sendmsg", false },
	{ SYS_sendmmsg, "sendmmsg", true },
	{ SYS_fchmod, "fchmod", true },
	{ SYS_fchown, "fchown", true },
	{ SYS_fchownat, "fchownat", true },
	{ SYS_setxattr, "setxattr", true },
	{ SYS_lsetxattr, "lsetxattr", true },
	{ SYS_fsetxattr, "fsetxattr", true },
	{ SYS_removexattr, "removexattr", true },
	{ SYS_lremovexattr, "lremovexattr", true },
	{ SYS_fremovexattr, "fremovexattr", true },
	{ SYS_listxattr, "listxattr", false },
	{ SYS_llistxattr, "llistxattr", false },
	{ SYS_flistxattr, "flistxattr", false },
	{ SYS_execve, "execve", true },
	{ SYS_execveat, "execveat", true },
#ifdef SYS_dup2
	{ SYS_dup2, "dup2", true },
	{ SYS_stat, "stat", true },
	{ SYS_lstat, "lstat", true },
	{ SYS_unlink, "unlink", true },
	{ SYS_rename, "rename", true },
	{ SYS_link, "link", true },
	{ SYS_chmod, "chmod", true },
	{ SYS_chown, "chown", true },
	{ SYS_lchown, "lchown", true },
	{ SYS_utime, "utime", true },
	{ SYS_utimes, "utimes", true },
	{ SYS_futimesat, "futimesat", true },
#endif
};

extern const struct redirect_entry __start_redirect_entries[], __stop_redirect_entries[] __attribute__((visibility("hidden")));

static void *function_named(const char *name)
{
	for (const struct redirect_entry *e = __start_redirect_entries; e < __stop_redirect_entries; e++) {
		if (strcmp(e->name, name) == 0)
			return e->function;
	}
	return NULL;
}

static long call_named(const char *name, bool is_int, const long a[6])
{
	void *fn = function_named(name);

	if (is_int)
		return ((int (*)(long, long, long, long, long, long))fn)(a[0], a[1], a[2], a[3], a[4], a[5]);
	return ((long (*)(long, long, long, long, long, long))fn)(a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* the call in which a descriptor without a name is a function of its own */
static long set_times(const long a[6])
{
	const long of_fd[6] = { a[0], a[2] };

	return a[1] || a[3] ? call_named("utimensat", true, a) : call_named("futimens", true, of_fd);
}

/* the kernel's call has the upper half of the offset, which is 0, as an argument of its own */
static long with_flags(const char *name, const long a[6])
{
	const long without_half[6] = { a[0], a[1], a[2], a[3], a[5] };

	return call_named(name, false, without_half);
}

static long change_mode(const long a[6], long flags)
{
	const long with_flags[6] = { a[0], a[1], a[2], flags };

	return call_named("fchmodat", true, with_flags);
}

static long call_by_number(long nr, const long a[6], const void *caller)
{
	switch (nr) {
#ifdef SYS_open
	case SYS_open:
		return redirect_open_at(AT_FDCWD, (const char *)a[0], (int)a[1], (mode_t)a[2], caller);
	case SYS_creat:
		return redirect_open_at(AT_FDCWD, (const char *)a[0], O_CREAT | O_WRONLY | O_TRUNC, (mode_t)a[1], caller);
#endif
	case SYS_openat:
		return redirect_open_at((int)a[0], (const char *)a[1], (int)a[2], (mode_t)a[3], caller);
	case SYS_openat2:
		return redirect_open_how((int)a[0], (const char *)a[1], (const struct open_how *)a[2], (size_t)a[3], caller);
	case SYS_preadv2:
		return with_flags("preadv2", a);
	case SYS_pwritev2:
		return with_flags("pwritev2", a);
	case SYS_utimensat:
		return set_times(a);
	case SYS_fchmodat:
		return change_mode(a, 0);
	case SYS_fchmodat2:
		return change_mode(a, a[3]);
	case SYS_io_uring_setup: /* programs fall back on calls that come here */
		return raw_result(-ENOSYS);
	case SYS_io_submit:
	case SYS_io_getevents:
	case SYS_io_pgetevents:
	case SYS_io_destroy:
		return raw_result(redirect_aio_by_number(nr, a, caller));
	case SYS_exit_group:
		return call_named("_exit", true, a);
	default:
		break;
	}
	for (size_t i = 0; i < sizeof(by_number) / sizeof(by_number[0]); i++) {
		if (by_number[i].nr == nr)
			return call_named(by_number[i].name, by_number[i].is_int, a);
	}
	return raw_result(raw_call(nr, a[0], a[1], a[2], a[3], a[4], a[5]));
}

long redirect_syscall(long nr, ...);
long redirect_syscall(long nr, ...)
{
	long a[6];
	va_list ap;

	va_start(ap, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (!redirect_on || redirect_inside)
		return raw_result(raw_call(nr, a[0], a[1], a[2], a[3], a[4], a[5]));
	return call_by_number(nr, a, REDIRECT_CALLER);
}
REDIRECT(syscall, redirect_syscall);
