/*
 * system.h -- what the kernel says of processes, of cgroups and of memory
 *
 * All of it is read from /proc and the cgroups' file systems.  Where these say nothing (another
 * container's process, an old kernel) the answer is "unknown", never an error.
 */
#ifndef PMIO_CORE_SYSTEM_H
#define PMIO_CORE_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* where the answers are read; tests have files of their own */
struct pmio_system_files {
	const char *cgroup;    /* /proc/PID/cgroup */
	const char *mountinfo; /* /proc/self/mountinfo */
	const char *meminfo;   /* /proc/meminfo; NULL: do not look at the machine's memory */
};

/* the calling process's */
extern const struct pmio_system_files pmio_system;

struct pmio_memory_room {
	uint64_t bytes;	 /* that can still be had; UINT64_MAX: nothing limits them */
	uint64_t limit;	 /* bytes: of what has the least room, its limit */
	char what[4352]; /* and what that is */
};

/*
 * pmio_memory_room -- how much memory this process may still fill
 *
 * The least of what the memory cgroups leave, from its own up to the root, of both versions,
 * and of what the machine has.  Pages of files count as free, since the kernel takes them back;
 * those of a tmpfs do not.
 */
void pmio_memory_room(const struct pmio_system_files *files, struct pmio_memory_room *room);

/* the kernel's name for the time since it was started; false: not known, and id is unchanged */
bool pmio_boot_id(uint8_t id[16]);

/* the letter in /proc/PID/stat; 0: there is no such process, or it may not be looked at */
char pmio_process_state(pid_t pid);

/* why it does not run, if that is so for longer, and what helps: "stopped by a signal (...)"; else NULL */
const char *pmio_process_stopped(pid_t pid);

/* who holds a flock() on the file that is open as fd; 0: nobody, or it is not seen from here */
pid_t pmio_lock_holder(int fd);

/* it has that file open, as far as may be known */
bool pmio_process_has_open(pid_t pid, dev_t dev, ino_t ino);

/*
 * pmio_process_kill -- end a process that has this file open, a lock
 *
 * It is one's own, and on this machine: else it would not be seen that it has the file.  Waits
 * until it has ended, or for limit_ms.
 *
 * Returns 0; -ESRCH (no process of that number has the file open), -EPERM, or -EBUSY: it has
 * been killed, but has not ended yet, as a file system hangs, or as it is frozen.
 */
int pmio_process_kill(pid_t pid, dev_t dev, ino_t ino, int limit_ms);

/* the process whose cgroup file that is, by version 1's freezer or by version 2 */
bool pmio_cgroup_is_frozen(const struct pmio_system_files *files);

#endif
