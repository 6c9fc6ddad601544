/*
 * use.h -- what a target knows of files that several nodes have pieces of
 *
 * A use is the time from the first open to the last close of such a file.  Its id is
 * random.  At its first target it knows who joined it, and removes the owner's file when
 * nobody has any more; at each it knows who holds those chunks for which this target
 * is asked (claims).
 *
 * Threads: the caller has one lock for all of this.
 */
#ifndef PMIO_TARGET_USE_H
#define PMIO_TARGET_USE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "remote/remote.h"


struct uses;   /* all of a target */
struct member; /* what a process has to do with them */

struct uses *uses_new(void); /* NULL: no memory */

/* this use begins; it is kept until the process ends */
int uses_create(struct uses *u, struct member **process, const uint8_t id[REMOTE_USE_ID]);

/*
 * uses_join -- the process uses the file
 *
 * number  of its joins: the same one twice counts once
 * owner   of a use that begins: the owner's file; else NULL
 * Returns 0, -ENOENT (it has ended, or was never heard of), -ENOMEM
 */
int uses_join(struct uses *u, struct member **process, const uint8_t id[REMOTE_USE_ID], uint64_t number,
	      const char *owner);

/* has anybody joined it who has not left? */
bool uses_active(struct uses *u, const uint8_t id[REMOTE_USE_ID]);

/*
 * uses_leave -- it does so no longer
 *
 * keep    data of it wait: whatever others say
 * *owner  out: the owner's file, if nobody uses it any more; the caller frees it.  To be removed,
 *         or to be kept: *kept
 * Returns 0 or -ENOENT.
 */
int uses_leave(struct uses *u, struct member **process, const uint8_t id[REMOTE_USE_ID], uint64_t number, bool keep,
	       char **owner, bool *kept);

/* the process has ended: one of the owner's files to be removed, or NULL; to be called until it is NULL */
char *uses_end(struct uses *u, struct member **process, uint8_t id[REMOTE_USE_ID], bool *kept);

/* the at-th use that the process has joined: its owner's file, or NULL: it has none, and there is none if !*joined */
const char *uses_joined(const struct member *process, unsigned at, uint8_t id[REMOTE_USE_ID], bool *joined);
/* somebody has taken away the owner's file of a use: the process, which cannot be asked, has nothing to do with it any more */
void uses_forget(struct uses *u, struct member **process, const uint8_t id[REMOTE_USE_ID]);

/*
 * uses_claim -- who holds chunks first..first+nr-1
 *
 * The first `wanted` of them become holder's if nobody has them.  holders: out, REMOTE_NOBODY
 * for those without one.  Returns 0, -ENOENT (the use is not known here), -ENOMEM.
 */
int uses_claim(struct uses *u, const uint8_t id[REMOTE_USE_ID], uint64_t first, uint32_t nr, uint32_t wanted,
	       uint32_t holder, uint32_t *holders);

/*
 * uses_pointer -- a shared file pointer of the use, which is at 0 when it is first named
 *
 * END forgets it.  *was: where it was.  Returns 0, -ENOENT (the use is not known here), -ENOMEM, -ENOSPC (it has too many).
 */
int uses_pointer(struct uses *u, const uint8_t id[REMOTE_USE_ID], uint64_t pointer, enum remote_pointer_how how, uint64_t value,
		 uint64_t *was);

#endif
