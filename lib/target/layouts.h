/*
 * layouts.h -- a target's table of layout sessions: of files of which several nodes have
 * pieces
 *
 * A layout session is the time from the first open to the last close of such a file.  Its id is
 * random.  The metadata server knows which processes have joined, and removes the layout
 * file when the last has left; each target knows the holders of the chunks for which it
 * is asked (claims).
 *
 * Threads: the caller has one lock for everything.
 */
#ifndef PMIO_TARGET_LAYOUTS_H
#define PMIO_TARGET_LAYOUTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "remote/remote.h"

struct layouts;	   /* all of a target */
struct member; /* a process's part in a layout session; a process has a list of them */

struct layouts *layouts_new(void); /* NULL: out of memory */

/* below, memberships is the list of the process that the call is for */

/* begin this layout session; it is kept until the process ends */
int layouts_create(struct layouts *all, struct member **memberships, const uint8_t id[REMOTE_LAYOUT_ID]);

/*
 * layouts_join -- the process joins the layout session
 *
 * number       identifies the join within the process: the same one twice counts once
 * layout_file  its name, if the layout session begins; otherwise NULL
 * Returns 0, -ENOENT (it has ended, or is unknown), -ENOMEM
 */
int layouts_join(struct layouts *all, struct member **memberships, const uint8_t id[REMOTE_LAYOUT_ID], uint64_t number,
		 const char *layout_file);

/* is there a process that has joined it and has not left? */
bool layouts_active(struct layouts *all, const uint8_t id[REMOTE_LAYOUT_ID]);

/*
 * layouts_leave -- the process leaves the layout session
 *
 * keep          data of it could not be drained, whatever other processes tell
 * *layout_file  out: its name, if no process uses it any more; the caller frees it.  It is to be
 *               removed, or kept if *kept
 * Returns 0 or -ENOENT.
 */
int layouts_leave(struct layouts *all, struct member **memberships, const uint8_t id[REMOTE_LAYOUT_ID], uint64_t number, bool keep,
		  char **layout_file, bool *kept);

/* the process has ended: returns one of the layout files to be removed; to be called until it returns NULL */
char *layouts_end(struct layouts *all, struct member **memberships, uint8_t id[REMOTE_LAYOUT_ID], bool *kept);

/*
 * the layout file of the at-th layout session that the process has joined; NULL: it has none or, if !*joined, there are
 * fewer
 */
const char *layouts_joined(const struct member *memberships, unsigned at, uint8_t id[REMOTE_LAYOUT_ID], bool *joined);
/* the layout file was removed by hand: remove the process, which cannot be reached, from that layout session */
void layouts_forget(struct layouts *all, struct member **memberships, const uint8_t id[REMOTE_LAYOUT_ID]);

/*
 * layouts_claim -- the holders of chunks first..first+nr-1
 *
 * Of the first `wanted`, those without a holder are given to `holder`.  holders: out,
 * REMOTE_NOBODY for chunks without one.  Returns 0, -ENOENT (the layout session is not known
 * here), -ENOMEM.
 */
int layouts_claim(struct layouts *all, const uint8_t id[REMOTE_LAYOUT_ID], uint64_t first, uint32_t nr, uint32_t wanted,
		  uint32_t holder, uint32_t *holders);

/*
 * layouts_pointer -- a shared file pointer of the layout session; it starts at 0 when it is first named
 *
 * END frees it.  *was: its previous value.  Returns 0, -ENOENT (the layout session is not known here), -ENOMEM,
 * -ENOSPC (it has too many).
 */
int layouts_pointer(struct layouts *all, const uint8_t id[REMOTE_LAYOUT_ID], uint64_t pointer, enum remote_pointer_how how, uint64_t value,
		    uint64_t *was);

#endif
