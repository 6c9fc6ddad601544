/*
 * disk.h -- a parallel file system in memory that loses what was not synced
 *
 * One directory, DISK_DIR, with a few regular files.  Agent and client, compiled
 * with calls.h, make their calls to it where a path lies in there or a descriptor
 * is one of its own; all others go to the system.
 *
 * A power cut keeps
 *   - bytes and sizes that an fdatasync or fsync of the file has covered,
 *   - its times, if that was an fsync,
 *   - names and their going, if the directory was synced;
 * of everything else any part (writes in up to DISK_PIECES pieces or so).
 */
#ifndef PMIO_TESTS_CRASH_DISK_H
#define PMIO_TESTS_CRASH_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "pm/pm.h"

#define DISK_DIR "/pfs"
#define DISK_SECTOR 512u /* bytes */
#define DISK_PIECES 3
#define DISK_DEV 7

struct disk;

/* what happens is ordered among what pm records: by its marks */
struct disk *disk_new(struct pmio_pm *pm);
void disk_delete(struct disk **disk); /* takes a pointer to NULL */

/* the thread that acts from now on, for the recorder */
void disk_thread(struct disk *disk, unsigned thread);

/* the one that calls go to; NULL: none */
void disk_use(struct disk *disk);
/* what is there now is durable; a file that is not yet there is made, with len bytes of this value */
void disk_put(struct disk *disk, const char *path, size_t len, uint8_t value);
/* all is durable that has happened so far */
void disk_reset(struct disk *disk);
/* nothing that is done happens; or it does again */
void disk_freeze(struct disk *disk, bool frozen);

/* the bytes under a name, and how many; NULL: no such file */
const uint8_t *disk_look(const struct disk *disk, const char *path, struct stat *st);

/* does it tell when a file was made (as not all file systems do)? */
void disk_tell_births(bool tell);
/* called in each call that changes a file or makes it durable, before it does; NULL: nothing */
void disk_set_hook(void (*hook)(const char *call));

/* how many choices a power cut after `cut` recorded operations leaves */
unsigned disk_choices(const struct disk *disk, size_t cut);

/*
 * disk_cut -- the file system after such a power cut
 *
 * survives   asked for each choice, in turn: did this one come through?
 * pm         of the new one
 */
struct disk *disk_cut(const struct disk *disk, size_t cut, bool (*survives)(void *arg), void *arg,
		      struct pmio_pm *pm);

/* ---- the calls ------------------------------------------------------------------ */

int disk_open(const char *path, int flags, ...);
int disk_close(int fd);
int disk_dup(int fd);
bool disk_has_fd(int fd); /* one of disk_open()'s */
int disk_fcntl(int fd, int how, ...); /* F_DUPFD_CLOEXEC only */
int disk_stat(const char *path, struct stat *st);
int disk_lstat(const char *path, struct stat *st);
int disk_fstat(int fd, struct stat *st);
ssize_t disk_pread(int fd, void *buf, size_t len, off_t off);
ssize_t disk_pwrite(int fd, const void *buf, size_t len, off_t off);
ssize_t disk_pwritev(int fd, const struct iovec *iov, int nr, off_t off);
ssize_t disk_pm_pread(struct pmio_pm *pm, void *dst, int fd, size_t len, off_t off);
int disk_ftruncate(int fd, off_t size);
int disk_fdatasync(int fd);
int disk_fsync(int fd);
int disk_unlink(const char *path);
char *disk_realpath(const char *path, char *buf);

#endif
