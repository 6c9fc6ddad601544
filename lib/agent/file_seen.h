/*
 * file_seen.h -- has another process changed the PFS file?
 */
#ifndef PMIO_AGENT_FILE_SEEN_H
#define PMIO_AGENT_FILE_SEEN_H

#include <stdbool.h>
#include <sys/stat.h>
#include <time.h>

#include "agent/file.h"

/*
 * record the present state of the PFS file; only right after a change by this agent, as changes by other programs must be
 * detected at the next open
 */
void files_set_seen(struct file *f, const struct stat *st);
/* the next open drops its cached data: this agent or an earlier one has seen that another program has changed it */
static inline bool files_is_stale(const struct file *f)
{
	return f->on_pfs.stale || f->on_pfs.seen.st_ctim.tv_sec == 0; /* see files_set_seen() */
}
/* called before the agent changes the PFS file, which is st now: has another process changed it? */
void files_notice_change(struct file *f, const struct stat *st);
/* another process has changed it so that its pending data can no longer be written to it */
bool files_was_emptied(const struct file *f, const struct stat *st); /* truncated to nothing since it was last seen */
bool files_was_changed(const struct file *f, const struct stat *st);
/* all programs have closed it: from this state (st) on no other process may change it */
void files_see_closed(struct file *f, const struct stat *st);
/* the same if its state at the close is known; true: it was changed since, which was logged */
bool files_look_closed(struct file *f, const struct stat *st);
/* a program that closes it reports its state at that moment */
void files_see_at_close(struct file *f, const struct pmio_close_msg *m);
bool files_same_content(const struct file *f, const struct stat *st);
bool files_is_later(const struct timespec *a, const struct timespec *b); /* is a later than b? */
bool files_same_time(const struct timespec *a, const struct timespec *b);
/* are its size and times those that were last seen? */
bool files_same_as_seen(const struct file *f, const struct stat *st);
/* log that it was changed; returns PMIO_ECHANGED */
int files_say_changed(const struct file *f);

#endif
