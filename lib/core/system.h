/*
 * system.h -- information from the kernel about processes, cgroups and memory
 *
 * All of it is read from /proc and the cgroups' file systems.  If these tell nothing (another
 * container's process, an old kernel) the answer is "unknown", never an error.
 */
#ifndef PMIO_CORE_SYSTEM_H
#define PMIO_CORE_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* the files to read; tests use their own */
struct pmio_system_files {
	const char *cgroup;    /* /proc/PID/cgroup */
	const char *mountinfo; /* /proc/self/mountinfo */
	const char *meminfo;   /* /proc/meminfo; NULL: do not look at the machine's memory */
};

/* the calling process's */
extern const struct pmio_system_files pmio_system;

struct pmio_memory_room {
	uint64_t bytes;	 /* that are still available; UINT64_MAX: no limit */
	uint64_t limit;	 /* bytes: the limit with the least room left */
	char what[4352]; /* and its description */
};

/*
 * pmio_memory_room -- how much memory this process may still fill
 *
 * The minimum of what the memory cgroups leave, from its own up to the root, of both versions,
 * and of what the machine has.  Pages of files count as free, since the kernel reclaims them;
 * those of a tmpfs do not.
 */
void pmio_memory_room(const struct pmio_system_files *files, struct pmio_memory_room *room);

/* the kernel's boot id; false: not known, and id is unchanged */
bool pmio_boot_id(uint8_t id[16]);

/* the state letter in /proc/PID/stat; 0: there is no such process, or it is not accessible */
char pmio_process_state(pid_t pid);

/* why the process is permanently not running, and how to resume it: "stopped by a signal (...)"; NULL if it runs */
const char *pmio_process_stopped(pid_t pid);

/* the process that holds a flock() on the file open as fd; 0: none, or it is not visible from here */
pid_t pmio_lock_holder(int fd);

/* does it have that file open, as far as is known? */
bool pmio_process_has_open(pid_t pid, dev_t dev, ino_t ino);

/*
 * pmio_process_kill -- kill a process that has this file, a lock file, open
 *
 * It belongs to the caller's user, and runs on this machine: otherwise it would not be visible
 * that it has the file.  Waits until it has ended, or for limit_ms.
 *
 * Returns 0; -ESRCH (no process with that number has the file open), -EPERM, or -EBUSY: it was
 * killed, but has not ended yet, as a file system hangs, or as it is frozen.
 */
int pmio_process_kill(pid_t pid, dev_t dev, ino_t ino, int limit_ms);

/* is the process of that cgroup file frozen, by version 1's freezer or by version 2? */
bool pmio_cgroup_is_frozen(const struct pmio_system_files *files);

#endif
