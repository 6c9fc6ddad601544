/*
 * owner.h -- the layout file ("owner's file"), for the code that begins, joins and ends the use that it stands
 * for: owner.c, membership.c
 *
 * Threads: any; no state is kept between calls.
 */
#ifndef PMIO_REMOTE_OWNER_H
#define PMIO_REMOTE_OWNER_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "remote/remote_impl.h"

#define OWNER_FIND_TRIES 100
#define OWNER_LOCKED_TRIES 2000 /* for the holder of the lock to finish */
#define OWNER_FIND_WAIT_US 20000 /* for a file that is being written */

struct owner_mark {
	char name[PATH_MAX];  /* of the owner's file, links followed */
	char other[PATH_MAX]; /* the one of its two names that it does not have; "": that would be too long */
	char born[32];	      /* when the file was made; 0.0: not known */
};

/* find the owner's file of a file on the PFS.  0; 1: one made by user *forger was ignored; or an error */
int owner_find_mark(const char *path, struct owner_mark *m, uid_t *forger);
/* the same, but 0 or an error only */
int owner_name_mark(const char *path, struct owner_mark *m);
/*
 * two processes that began at the same time may each have made a file, if another user's came or went: one that sees
 * both removes its own
 */
bool owner_has_rival(const struct owner_mark *m);
/* get the owner of a file; false: the file is not there, or cannot be seen */
bool owner_whose(const char *name, uid_t *uid);

/*
 * owner_lock -- lock the file, which only this user may access
 *
 * how  LOCK_EX; with LOCK_NB: -EAGAIN at once.  -ENOLCK: the file system has no locks; -ETIMEDOUT (both
 * logged)
 */
int owner_lock(int fd, const char *owner, int how);

/* write the text of this use into a file that was just made; not durable.  born: as for owner_parse() */
int owner_write_use(int fd, const char *path, const char *born, const struct remote_use *use);
/* make its name durable, so that it survives a crash of the file system's server, too */
int owner_sync_folder(const char *owner);

/* *text: the caller wipes and frees it, as it has keys; NULL with an error.  -EPERM: the file belongs to another user */
int owner_read_text(int fd, char **text);
/*
 * 0, -ENOENT, -EAGAIN (not complete), -ESTALE, -EBUSY (see owner_parse()), -EACCES, -EPERM (another user's),
 * ... *fd is open except after -ENOENT and the errors from -EACCES on.  born: NULL: of any file
 */
int owner_read(const char *owner, const char *born, struct remote_use *use, int *fd);
/* the same under its lock; the caller calls owner_unlock() in any case */
int owner_lock_text(const char *owner, const char *born, struct remote_use *use, int *fd, char **text);
void owner_unlock(struct remote_use *use, int fd, char *text);

/* remove it if fd is still the file of that name; otherwise another process was faster */
void owner_remove_this(const char *owner, int fd);

#endif
