/*
 * run_heap.c -- pmio run --heap: malloc() in the pool's file system, by a library that is preloaded
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/log.h"
#include "heap/heap.h"
#include "run_heap.h"

/* is there room for it now?  Other processes may take it, so the library checks, too */
static int check_room(const char *dir, uint64_t size)
{
	struct statvfs fs;
	struct stat st;
	uint64_t room;

	if (stat(dir, &st) < 0) {
		pmio_err("run: --heap: pool %s: %s; `pmio pool create` creates one", dir, strerror(errno));
		return TOOL_RUN_FAILED;
	}
	if (access(dir, R_OK | W_OK | X_OK) < 0 || statvfs(dir, &fs) < 0) {
		pmio_err("run: --heap: cannot create a file in %s: %s", dir, strerror(errno));
		return TOOL_RUN_FAILED;
	}
	room = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (room >= size)
		return TOOL_DONE;
	pmio_err("run: --heap: %llu MiB requested, but the file system of %s has only %llu MiB free",
		 (unsigned long long)size >> 20, dir, (unsigned long long)room >> 20);
	return TOOL_RUN_FAILED;
}

static int set(const char *name, const char *value)
{
	return !value || setenv(name, value, 1) == 0 ? TOOL_DONE : TOOL_RUN_FAILED;
}

int run_heap(const struct tool *tool, const char *library, const struct run_heap *h)
{
	char dir[PATH_MAX], bytes[24];
	int status;

	if (access(library, R_OK) < 0) {
		pmio_err("run: --heap: %s: %s: pmio was built without memkind (Debian 12: libmemkind-dev)", library, strerror(errno));
		return TOOL_RUN_FAILED;
	}
	if (h->size < PMIO_HEAP_MIN) {
		pmio_err("run: --heap: at least %zu MiB", PMIO_HEAP_MIN >> 20);
		return TOOL_RUN_FAILED;
	}
	status = tool_pool_dir(tool, dir) == TOOL_DONE ? check_room(dir, h->size) : TOOL_RUN_FAILED;
	if (status != TOOL_DONE)
		return status;
	snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)h->size);
	/* Python has an allocator of its own, which takes anonymous memory; a user may have chosen one */
	if (set("PMIO_HEAP_DIR", dir) != TOOL_DONE || set("PMIO_HEAP_SIZE", bytes) != TOOL_DONE ||
	    set("PMIO_HEAP_FULL", h->full) != TOOL_DONE || set("PMIO_HEAP_FORK", h->fork) != TOOL_DONE ||
	    setenv("PYTHONMALLOC", "malloc", 0) < 0)
		return TOOL_RUN_FAILED;
	return TOOL_DONE;
}
