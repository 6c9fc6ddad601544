/*
 * recover.c -- files that an earlier agent left in the pool, and names that the file system lost in a power cut
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/calls.h"
#include "agent/chunks.h"
#include "agent/file.h"
#include "agent/idle.h"
#include "agent/mappings.h"
#include "agent/marks.h"
#include "agent/pfs_fd.h"
#include "agent/pfs_lookup.h"
#include "agent/recover.h"
#include "agent/state.h"
#include "agent/syncs.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/log.h"

#define STORES_END_MS 10000 /* by then clients have noticed that another agent has the pool */

/* ---- after a power cut: files whose names were lost -------------------------------- */

struct remake {
	struct job job;		/* first */
	struct file *file;	/* held */
	struct pfs_look *look;	/* owned */
	mode_t mode;
	bool made;
	struct pmio_pfs_id id;
	struct stat st;
	int rc;
};

static void run_remake(struct job *job)
{
	struct remake *r = (struct remake *)job;
	int fd;

	pfs_look_run(r->look);
	if (r->look->rc != -ENOENT)
		return;
	fd = open(r->look->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, r->mode);
	if (fd < 0) {
		r->rc = -errno;
		return;
	}
	r->rc = pmio_pfs_keep(fd, r->look->path);
	if (r->rc == 0)
		r->rc = pmio_pfs_identify(fd, &r->st, &r->id);
	r->made = r->rc == 0;
	close(fd);
}

/* another file has its name, or the folder was removed: keep the pool's data until a user decides */
static void not_made(struct agent *a, struct file *f, int rc)
{
	pmio_err("agent: %s: it was lost in a power cut and cannot be created again: %s; its data stay in the pool", f->path,
		 pmio_strerror(rc));
	file_hold_event(f, FILE_HOLD_BEGINS);
	files_lost_name(a, f);
}

static void remade(void *agent, struct job *job)
{
	struct agent *a = agent;
	struct remake *r = (struct remake *)job;
	struct file *f = r->file;

	file_busy_event(f, FILE_RECREATION_ENDS);
	f->nr_jobs--;
	a->nr_jobs--;
	if (r->made) {
		pmio_warn("agent: %s: it was lost in a power cut; created again", f->path);
		files_become(a, f, &r->id, &r->st);
		syncs_done(a, f);
		files_update_catalog(a, f);
	} else if (r->rc < 0) {
		not_made(a, f, r->rc);
	} else {
		syncs_later(a, f, true, false);
	}
	pfs_look_delete(a, &r->look);
	free(r);
	files_idle(a, f);
}

static int remake(struct agent *a, struct file *f)
{
	struct remake *r = calloc(1, sizeof(*r));

	if (r)
		r->look = pfs_look_new(f);
	if (!r || !r->look) {
		free(r);
		return -ENOMEM;
	}
	r->file = f;
	r->mode = f->on_pfs.seen.st_mode & 07777;
	r->job.kind = JOB_CALL;
	r->job.run = run_remake;
	r->job.done = remade;
	f->nr_jobs++;
	a->nr_jobs++;
	file_busy_event(f, FILE_RECREATION_BEGINS);
	workers_submit(a->workers, &r->job);
	return 0;
}

/* ---- at the start ------------------------------------------------------------------ */

static int load_frame(uint64_t frame, uint32_t slot, uint64_t chunk, void *arg)
{
	struct agent *a = arg;

	return a->by_slot[slot] && files_add_chunk(a->by_slot[slot], chunk, (int64_t)frame) ? 0 : -ENOMEM;
}

/* data are not on the file system yet: report it, in the log and at the start */
static void report_waiting(struct agent *a, const struct file *f)
{
	uint64_t dirty = files_dirty_bytes(a, f, NULL);
	const char *next = a->config->recover_hold ? "`pmio drain` writes them" : "draining them";

	if (f->recovered)
		pmio_warn("agent: recovered %s: %" PRIu64 " bytes wait to be drained; %s", f->path, dirty,
			  next);
	else if (f->state == PMIO_FILE_FAILED)
		pmio_warn("agent: %s: %" PRIu64 " bytes wait because a drain failed: %s; %s", f->path, dirty,
			  pmio_strerror(-f->error), next);
	else if (f->state == PMIO_FILE_HELD)
		pmio_info("agent: %s: %" PRIu64 " bytes are held until `pmio drain`", f->path, dirty);
}

/*
 * Files that were open when the last agent ended, or whose drain failed, are drained now
 * or held, according to the setting `recover`.
 */
static void go_on_with_loaded(struct agent *a)
{
	uint32_t nr = pmio_pool_nr_slots(a->pool);

	for (uint32_t slot = 0; slot < nr; slot++) {
		struct file *f = a->by_slot[slot];

		if (!f)
			continue;
		if (f->removal != FILE_REMOVAL_RESUMED)
			report_waiting(a, f);
		maps_load(a, f);
		if (f->recovered) /* clients of the old agent may still store into its frames until they notice */
			a->evict_not_before_ms = pmio_now_ms() + STORES_END_MS;
		/* before a client makes the file longer again */
		if (f->on_pfs.cut_pending && files_update_catalog(a, f) < 0)
			pmio_err("agent: %s: an interrupted truncation could not be completed", f->path);
		if (f->state == PMIO_FILE_HELD)
			marks_want_again(a, f);
		if (f->removal == FILE_REMOVAL_RESUMED) {
			if (calls_end_removal(a, f) == 0)
				continue;
			pmio_err("agent: remove %s: out of memory; the file was not removed", f->path);
			file_removal_event(f, FILE_REMOVAL_FAILED);
		}
		if (f->on_pfs.lost_sync && f->is_new && !f->no_inode && remake(a, f) == 0)
			continue;
		if ((f->is_new || f->unsynced) && !f->on_pfs.lost_sync && !f->no_inode) /* otherwise its drain does it */
			syncs_later(a, f, false, false);
		if (a->config->recover_hold)
			file_hold_event(f, FILE_HOLD_BEGINS);
		else if (f->state == PMIO_FILE_FAILED)
			file_event(f, FILE_DRAIN_WANTED);
		files_idle(a, f);
	}
}

int files_load(struct agent *a)
{
	uint32_t nr = pmio_pool_nr_slots(a->pool);
	struct pmio_pool_file e;
	int rc;

	a->by_slot = calloc(nr, sizeof(*a->by_slot));
	if (!a->by_slot)
		return -ENOMEM;
	for (uint32_t slot = 0; slot < nr; slot++) {
		if (pmio_pool_file_get(a->pool, slot, &e) < 0)
			continue;
		rc = files_load_entry(a, slot, &e);
		if (rc < 0)
			return rc;
	}
	rc = pmio_pool_frames_each(a->pool, load_frame, a);
	if (rc < 0)
		return rc;
	go_on_with_loaded(a);
	return 0;
}
