/*
 * layout_file.h -- format, locking and dirty marks of the layout file, which announces a layout session; shared by
 * layout_file.c and membership.c
 *
 * Threads: any; no state is kept between calls.
 */
#ifndef PMIO_REMOTE_LAYOUT_FILE_H
#define PMIO_REMOTE_LAYOUT_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "remote/remote_impl.h"

#define LAYOUT_FIND_TRIES 100
#define LAYOUT_LOCKED_TRIES 2000 /* for the holder of the lock to finish */
#define LAYOUT_FIND_WAIT_US 20000 /* for a file that is being written */

struct layout_names {
	char name[PATH_MAX];  /* of the layout file, links followed */
	char other[PATH_MAX]; /* the other one of its two possible names; "": that would be too long */
	char born[32];	      /* when the file was made; 0.0: not known */
};

/* find the layout file of a file on the PFS.  0; 1: one made by user *forger was ignored; or an error */
int layout_file_find(const char *path, struct layout_names *m, uid_t *forger);
/* the same, but 0 or an error only */
int layout_file_names(const char *path, struct layout_names *m);
/*
 * two processes that began at the same time may each have made a file, if another user's file was added or removed
 * meanwhile: a process that finds both removes its own
 */
bool layout_file_has_rival(const struct layout_names *m);
/* get the owner of a file; false: the file does not exist, or is not accessible */
bool layout_file_owner(const char *name, uid_t *uid);

/*
 * layout_file_lock -- lock the file, which only this user may access
 *
 * how  LOCK_EX; with LOCK_NB: -EAGAIN at once.  -ENOLCK: the file system has no locks; -ETIMEDOUT (both
 * logged)
 */
int layout_file_lock(int fd, const char *layout_file, int how);

/* write the text of this layout session into a file that was just made; not durable.  born: as for layout_file_parse() */
int layout_file_write_new(int fd, const char *path, const char *born, const struct remote_layout *layout);

/*
 * *text: to be wiped, as it contains keys, and freed by the caller; NULL with an error.  -EPERM: the file belongs to
 * another user
 */
int layout_file_read_text(int fd, char **text);
/*
 * 0, -ENOENT, -EAGAIN (not complete), -ESTALE, -EBUSY (see layout_file_parse()), -EACCES, -EPERM (another user's),
 * ... *fd is open except after -ENOENT and the errors from -EACCES on.  born: NULL: of any file
 */
int layout_file_read(const char *layout_file, const char *born, struct remote_layout *layout, int *fd);
/* the same under its lock; the caller calls layout_file_unlock() in any case */
int layout_file_lock_text(const char *layout_file, const char *born, struct remote_layout *layout, int *fd, char **text);
void layout_file_unlock(struct remote_layout *layout, int fd, char *text);

/* remove it if fd is still the file of that name; otherwise another process has removed or replaced it */
void layout_file_remove_this(const char *layout_file, int fd);

#endif
