/*
 * file_seen.c -- the PFS file as it was last seen, and as it is now: has another process changed it?
 */
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "agent/file.h"
#include "agent/file_seen.h"
#include "agent/state.h"
#include "core/error.h"
#include "core/log.h"

void files_set_seen(struct file *f, const struct stat *st)
{
	f->on_pfs.seen = *st;
	f->on_pfs.size = (uint64_t)st->st_size;
	if (f->on_pfs.stale) /* a time that no file has: the next open drops what is cached */
		f->on_pfs.seen.st_ctim = (struct timespec){ 0, 0 };
}

bool files_is_later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec > b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

bool files_same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* a rename or chmod changes only ctime */
bool files_same_content(const struct file *f, const struct stat *st)
{
	return (uint64_t)st->st_size == f->on_pfs.size && files_same_time(&st->st_mtim, &f->on_pfs.seen.st_mtim);
}

bool files_same_as_seen(const struct file *f, const struct stat *st)
{
	return files_same_content(f, st) && files_same_time(&st->st_ctim, &f->on_pfs.seen.st_ctim);
}

/*
 * While programs have it open through this agent, other programs may write to it, too: data that
 * they append are kept, and data that they overwrite are overwritten again by the drain.  But a
 * file that they have truncated cannot be restored.  Once it is closed no other process may
 * change it.
 */
bool files_was_changed(const struct file *f, const struct stat *st)
{
	if (f->on_pfs.busy || file_is_shared(f))
		return false;
	if (f->on_pfs.lost_sync && f->nr_handles == 0) /* it may be older, or as it was, but not newer */
		return files_is_later(&st->st_mtim, &f->on_pfs.seen.st_mtim);
	return f->nr_handles || !f->on_pfs.seen_closed ? (uint64_t)st->st_size < f->on_pfs.size : !files_same_content(f, st);
}

/*
 * If the file was empty before, only its times show it: truncate() and O_TRUNC set the time of the content to now, and do
 * not change that of the last access, which touch(1) sets too.
 */
bool files_was_emptied(const struct file *f, const struct stat *st)
{
	const struct timespec *m = &st->st_mtim, *a = &st->st_atim;

	if (f->on_pfs.busy || file_is_shared(f) || st->st_size != 0 || files_same_content(f, st))
		return false;
	return f->on_pfs.size != 0 || (files_is_later(m, &f->on_pfs.seen.st_mtim) && !files_same_time(m, a));
}

void files_notice_change(struct file *f, const struct stat *st)
{
	if (f->on_pfs.busy || f->on_pfs.stale || f->on_pfs.lost_sync || files_same_as_seen(f, st))
		return;
	pmio_info("agent: %s was changed on the file system while it was in use here", f->path);
	f->on_pfs.stale = true;
}

int files_say_changed(const struct file *f)
{
	pmio_err("agent: %s: %s", f->path, pmio_strerror(PMIO_ECHANGED));
	return PMIO_ECHANGED;
}

static void set_changed(struct file *f)
{
	f->on_pfs.changed = true;
	f->error = -PMIO_ECHANGED;
	files_say_changed(f);
}

bool files_look_closed(struct file *f, const struct stat *st)
{
	if (!files_was_changed(f, st))
		return false;
	set_changed(f);
	return true;
}

void files_see_closed(struct file *f, const struct stat *st)
{
	if (!files_look_closed(f, st) && !f->on_pfs.busy && !file_is_shared(f))
		files_set_seen(f, st);
	f->on_pfs.seen_closed = true; /* as far as it can be known */
}

/* one that closed before has reported the same: another program has written to the file, and not a drain of this agent */
static bool was_reported(const struct file *f, const struct stat *st)
{
	const struct stat *seen = &f->on_pfs.seen;

	return st->st_size == seen->st_size && files_same_time(&st->st_mtim, &seen->st_mtim);
}

/*
 * A process that closes a file reports the PFS file's state at that moment.  From the last close
 * on no other process may change it.  The report may be older than that of a process that closed
 * before, or than a drain of this agent that has ended since: then the drain itself has to detect changes.
 * Clocks of file systems are coarse: with the same time and another size the report may be from the middle
 * of such a drain, e.g. if an agent's successor drains while a client that is closing the file connects to it.
 */
void files_see_at_close(struct file *f, const struct pmio_close_msg *m)
{
	struct stat st = { .st_size = (off_t)m->pfs_size, .st_mode = f->on_pfs.seen.st_mode,
			   .st_mtim = { .tv_sec = m->mtime_s, .tv_nsec = m->mtime_ns } };
	bool is_old = !files_is_later(&st.st_mtim, &f->on_pfs.seen.st_mtim) && !files_same_content(f, &st) && !was_reported(f, &st);

	if (m->mtime_s == INT64_MIN || is_old || f->drain || f->busy == FILE_TRUNCATING || f->on_pfs.busy || file_is_shared(f))
		return;
	if (f->nr_handles > 1) {
		if (files_is_later(&st.st_mtim, &f->on_pfs.seen.st_mtim)) {
			files_notice_change(f, &st);
			f->on_pfs.seen.st_mtim = st.st_mtim;
			f->on_pfs.seen.st_size = st.st_size;
		}
		return;
	}
	if (files_same_content(f, &st))
		st.st_ctim = f->on_pfs.seen.st_ctim;
	files_see_closed(f, &st);
}
