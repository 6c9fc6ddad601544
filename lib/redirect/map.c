/*
 * map.c -- files in memory
 *
 * A private mapping is a copy, of a large file a mapping of the plain one, after a drain: others' later writes need not
 * show in it.  In a shared one they do, so it is refused where it could miss some.
 */
#include "redirect/redirect.h"

#include <sys/mman.h>
#include <unistd.h>

#define COPY_MAX (64u << 20) /* bytes */

static void *map_copy(struct redirect_file *f, void *addr, size_t len, int prot, int flags, off_t off)
{
	struct redirect_calm calm;
	struct iovec v;
	ssize_t n;
	long base = RAW(mmap, addr, len, PROT_READ | PROT_WRITE, (flags & ~MAP_TYPE) | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (base < 0 && base > -4096)
		return (void *)raw_result(base);
	v = (struct iovec){ (void *)base, len };
	redirect_enter(&calm);
	n = redirect_pool()->read(f->file, &v, 1, off);
	redirect_leave(&calm);
	if (n >= 0 && prot != (PROT_READ | PROT_WRITE))
		n = RAW(mprotect, base, len, prot);
	if (n >= 0)
		return (void *)base;
	RAW(munmap, base, len);
	redirect_result(n);
	return MAP_FAILED;
}

static void *map_plain(int fd, void *addr, size_t len, int prot, int flags, off_t off)
{
	int rc = redirect_settle_fd(fd);

	if (rc < 0) {
		redirect_result(rc);
		return MAP_FAILED;
	}
	return (void *)raw_result(RAW(mmap, addr, len, prot, flags, fd, off));
}

static void *refuse(int fd, const char *why)
{
	char name[PATH_MAX] = "a file";
	struct stat st;

	if (RAW(fstat, fd, &st) == 0)
		redirect_fd_name(fd, &st, name);
	redirect_error("mmap %s: %s", name, why);
	redirect_note('-', name, why);
	errno = ENODEV;
	return MAP_FAILED;
}

static void *map_file(struct redirect_file *f, int fd, void *addr, size_t len, int prot, int flags, off_t off)
{
	bool shared = (flags & MAP_TYPE) != MAP_PRIVATE;
	struct redirect_size known = { 0 };
	struct redirect_calm calm;
	int rc;

	if (f->access == O_WRONLY || (shared && (prot & PROT_WRITE) && f->access != O_RDWR)) {
		errno = EACCES;
		return MAP_FAILED;
	}
	if (len == 0 || off < 0 || off % sysconf(_SC_PAGESIZE)) {
		errno = EINVAL;
		return MAP_FAILED;
	}
	if (!shared)
		return len <= COPY_MAX ? map_copy(f, addr, len, prot, flags, off) : map_plain(fd, addr, len, prot, flags, off);
	if (prot & PROT_WRITE)
		return refuse(fd, "a redirected file cannot be mapped shared and writable");
	redirect_enter(&calm);
	rc = redirect_pool()->look(fd, &known);
	redirect_leave(&calm);
	if (rc == 0 && f->access == O_RDONLY && known.nr_handles == 1)
		return map_plain(fd, addr, len, prot, flags, off);
	return refuse(fd, "a redirected file that may be written to cannot be mapped shared");
}

void *redirect_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off);
void *redirect_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	struct redirect_file *f;
	int err = 0;
	void *p;

	f = flags & MAP_ANONYMOUS ? NULL : redirect_get(fd, REDIRECT_CALLER, &err);
	if (err < 0) {
		redirect_result(err);
		return MAP_FAILED;
	}
	if (!f)
		return (void *)raw_result(RAW(mmap, addr, len, prot, flags, fd, off));
	p = map_file(f, fd, addr, len, prot, flags, off);
	redirect_put(f);
	return p;
}
REDIRECT(mmap, redirect_mmap);
REDIRECT(mmap64, redirect_mmap);
