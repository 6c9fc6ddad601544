/*
 * owner.h -- the owner's file, for who begins, joins and ends the use that it stands for: owner.c, membership.c
 *
 * Threads: any; none of these keeps anything between calls.
 */
#ifndef PMIO_REMOTE_OWNER_H
#define PMIO_REMOTE_OWNER_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "remote/remote_impl.h"

#define OWNER_FIND_TRIES 100
#define OWNER_LOCKED_TRIES 2000 /* for who holds the lock */
#define OWNER_FIND_WAIT_US 20000 /* for a file that is being written */

struct owner_mark {
	char name[PATH_MAX];  /* of the owner's file, links followed */
	char other[PATH_MAX]; /* of its two names the one that it has not; "": that would be too long */
	char born[32];	      /* when the file was made; 0.0: not known */
};

/* the mark of a file on the PFS.  0, 1: a mark of *forger's was passed over, or an error */
int owner_find_mark(const char *path, struct owner_mark *m, uid_t *forger);
/* the same, 0 or an error */
int owner_name_mark(const char *path, struct owner_mark *m);
/* two that began at once may each have made one, as a stranger's mark came or went: who sees both takes his back */
bool owner_has_rival(const struct owner_mark *m);
/* whose a file is; false: it is not there, or cannot be seen */
bool owner_whose(const char *name, uid_t *uid);

/*
 * owner_lock -- lock the file, which is ours alone
 *
 * how  LOCK_EX, and LOCK_NB: -EAGAIN at once.  -ENOLCK: the file system has none; -ETIMEDOUT (both logged)
 */
int owner_lock(int fd, const char *owner, int how);

/* the text of this use into a file that was just made; not durable.  born: as owner_parse() */
int owner_write_use(int fd, const char *path, const char *born, const struct remote_use *use);
/* its name is there after a crash of the file system's server, too */
int owner_sync_folder(const char *owner);

/* *text: to be freed, and wiped before that: it has keys; NULL with an error.  -EPERM: it is another user's */
int owner_read_text(int fd, char **text);
/*
 * 0, -ENOENT, -EAGAIN (not whole), -ESTALE, -EBUSY (see owner_parse()), -EACCES, -EPERM (another user's), ...
 * *fd is open after all but the last and -ENOENT.  born: NULL: of whatever file
 */
int owner_read(const char *owner, const char *born, struct remote_use *use, int *fd);
/* the same under its lock; owner_unlock() ends it in any case */
int owner_lock_text(const char *owner, const char *born, struct remote_use *use, int *fd, char **text);
void owner_unlock(struct remote_use *use, int fd, char *text);

/* fd is what the name is of; else somebody was faster */
void owner_remove_this(const char *owner, int fd);

#endif
