/*
 * calls.h -- included before the sources of agent, client and pool for the crash
 * tests: their calls go to the world of the tests (disk.h, world.h)
 *
 * Each sync of the file system is a place that can be left out, as flushes are
 * (pm_sites.h).
 */
#ifndef PMIO_TESTS_CRASH_CALLS_H
#define PMIO_TESTS_CRASH_CALLS_H

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "disk.h"
#include "world.h"

#define open(...) disk_open(__VA_ARGS__)
#define close(fd) disk_close(fd)
#define dup(fd) disk_dup(fd)
#define fcntl(fd, ...) (disk_has_fd(fd) ? disk_fcntl(fd, __VA_ARGS__) : fcntl(fd, __VA_ARGS__))
#define stat(path, st) disk_stat(path, st)
#define lstat(path, st) disk_lstat(path, st)
#define fstat(fd, st) disk_fstat(fd, st)
#define pread(fd, buf, len, off) disk_pread(fd, buf, len, off)
#define pwrite(fd, buf, len, off) disk_pwrite(fd, buf, len, off)
#define pwritev(fd, iov, nr, off) disk_pwritev(fd, iov, nr, off)
#define ftruncate(fd, size) disk_ftruncate(fd, size)
#define unlink(path) disk_unlink(path)
#define realpath(path, buf) disk_realpath(path, buf)
#define fdatasync(fd) PMIO_PM_SITE(PMIO_PM_FENCES, disk_fdatasync(fd))
#define fsync(fd) PMIO_PM_SITE(PMIO_PM_FENCES, disk_fsync(fd))
#undef pmio_pm_pread
#define pmio_pm_pread(pm, dst, fd, len, off) \
	PMIO_PM_SITE(PMIO_PM_FLUSHES, disk_pm_pread(pm, dst, fd, len, off))

#define pmio_pm_map(fd, out) world_map(fd, out)
#define pmio_proto_send(sock, msg, fd) world_send(sock, msg, fd)

#endif
