/* fill.c -- blocks from the PFS into frames */
#include <errno.h>
#include <stdlib.h>

#include "agent/file.h"
#include "agent/fill.h"
#include "agent/jobs.h"
#include "agent/pfs_fd.h"
#include "agent/pfs_lookup.h"
#include "agent/request.h"
#include "agent/state.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/log.h"

#define SMALL_BLOCKS 16	/* of a file's first chunk, zeroed when it is claimed */

struct fill {
	struct job job; /* first */
	struct agent *agent;
	struct file *file;
	struct chunk *chunk;
	uint64_t number, frame, pfs_size;
	struct pmio_mask todo;
	struct pfs_fd *pfs; /* held; NULL: zeros only, or look opens it */
	struct pfs_look *look; /* owned; or NULL */
	int fd;
	int error;
	uint64_t bytes;
};

/* fill one run of blocks: with the bytes that the PFS has, and zeros after them */
static int fill_run(struct fill *fl, unsigned run, unsigned len)
{
	struct pmio_view *v = fl->agent->view;
	uint64_t in_chunk = (uint64_t)run << v->block_shift;
	uint64_t off = (fl->number << v->chunk_shift) + in_chunk;
	size_t bytes = (size_t)len << v->block_shift;
	uint8_t *p = pmio_view_frame(v, fl->frame) + in_chunk;
	uint64_t want = off >= fl->pfs_size ? 0 : fl->pfs_size - off;
	ssize_t n = 0;

	if (want > bytes)
		want = bytes;
	if (want) {
		n = pmio_pm_pread(v->pm, p, fl->fd, (size_t)want, (off_t)off);
		if (n < 0)
			return (int)n;
		fl->bytes += (uint64_t)n;
	}
	pmio_pm_zero(v->pm, p + n, bytes - (size_t)n);
	return 0;
}

static ssize_t fill_runs(struct pmio_pm_guard *guard, void *arg)
{
	struct fill *fl = arg;
	unsigned run, len;

	pmio_pm_guard_arm(guard, true);
	for (run = pmio_mask_next_run(&fl->todo, 0, &len); run < PMIO_CHUNK_BLOCKS && !fl->error;
	     run = pmio_mask_next_run(&fl->todo, run + len, &len))
		fl->error = fill_run(fl, run, len);
	pmio_pm_fence(fl->agent->view->pm);
	return fl->error;
}

static void run_fill(struct job *job)
{
	struct fill *fl = (struct fill *)job;

	fl->error = fl->pfs || fl->look ? pfs_look_hold(fl->look, fl->pfs, &fl->fd) : 0;
	if (fl->error < 0)
		return;
	fl->error = (int)pmio_pm_guarded(fl->agent->view->pm, fill_runs, fl);
	if (fl->error == -EFAULT)
		fl->error = -EIO; /* the same, found by the kernel while it copied */
}

static void fill_done(void *agent, struct job *job)
{
	struct agent *a = agent;
	struct fill *fl = (struct fill *)job;
	struct file *f = fl->file;

	pmio_frame_fill_end(a->view, fl->frame, &fl->todo, fl->error == 0);
	pmio_pm_fence(a->view->pm);
	busy_end(&a->filling);
	a->filled_bytes += fl->bytes;
	f->filled_bytes += fl->bytes;
	fl->chunk->filling = false;
	if (fl->error) {
		pmio_err("agent: read %s: %s", f->path, pmio_strerror(fl->error));
		requests_finish_fills(a, &f->deferred, fl->number, fl->error);
	}
	if (fl->look && fl->look->pfs)
		files_adopt_pfs(a, f, &fl->look->pfs);
	pfs_look_delete(a, &fl->look);
	pfs_put(a, &fl->pfs);
	free(fl);
	files_job_end(a, f);
}

int fill_start(struct agent *a, struct file *f, struct chunk *ch, const struct pmio_mask *wanted)
{
	struct fill *fl = calloc(1, sizeof(*fl));
	struct pmio_mask m = *wanted, busy;
	bool zeros = ch->number << a->view->chunk_shift >= f->on_pfs.size;

	if (!fl)
		return -ENOMEM;
	/* zeros cost little: the whole chunk is filled at once, so the next small write needs no message */
	if (zeros)
		pmio_mask_range(&m, 0, PMIO_CHUNK_BLOCKS - 1);
	pmio_frame_fill_begin(a->view, (uint64_t)ch->frame, &m, &fl->todo, &busy);
	fl->job.run = run_fill;
	fl->job.done = fill_done;
	fl->agent = a;
	fl->file = f;
	fl->chunk = ch;
	fl->number = ch->number;
	fl->frame = (uint64_t)ch->frame;
	fl->pfs_size = f->on_pfs.size;
	if (pmio_mask_empty(&fl->todo) || zeros) {
		run_fill(&fl->job);
		pmio_frame_fill_end(a->view, fl->frame, &fl->todo, fl->error == 0);
		pmio_pm_fence(a->view->pm);
		free(fl);
		for (int i = 0; i < PMIO_MASK_WORDS; i++) {
			if (busy.w[i] & wanted->w[i])
				return -EAGAIN;
		}
		return 0;
	}
	if (!f->pfs)
		fl->look = pfs_look_new(f);
	if (f->pfs ? !f->pfs->reads : !fl->look) {
		pmio_err("agent: %s: a block is written only in part, which needs permission to read the file", f->path);
		pmio_frame_fill_end(a->view, fl->frame, &fl->todo, false);
		free(fl);
		return -EACCES;
	}
	ch->filling = true;
	fl->pfs = f->pfs ? pfs_get(f->pfs) : NULL;
	fl->job.kind = JOB_BULK;
	fl->job.dev = f->key.dev;
	files_job_begin(a, f);
	busy_begin(&a->filling);
	workers_submit(a->workers, &fl->job);
	return 1;
}

/*
 * In a file that has no data yet only the first blocks are zeroed: it may be a small file, for which a
 * chunk of zeros costs more than everything else.  For a larger one the rest is requested once.
 */
void fill_zeros(struct agent *a, struct file *f, struct chunk *ch)
{
	struct pmio_mask all, busy;

	if (ch->frame < 0 || ch->filling || ch->number << a->view->chunk_shift < f->on_pfs.size)
		return;
	if (ch->number == 0 && pmio_pool_file_size(a->pool, f->slot) == 0) {
		struct fill fl = { .agent = a, .frame = (uint64_t)ch->frame };

		pmio_mask_range(&all, 0, SMALL_BLOCKS - 1);
		pmio_pm_populate(a->view->pm, pmio_view_frame(a->view, fl.frame), SMALL_BLOCKS << a->view->block_shift);
		pmio_frame_fill_begin(a->view, fl.frame, &all, &fl.todo, &busy);
		run_fill(&fl.job);
		pmio_frame_fill_end(a->view, fl.frame, &fl.todo, fl.error == 0);
		pmio_pm_fence(a->view->pm);
		return;
	}
	pmio_mask_range(&all, 0, PMIO_CHUNK_BLOCKS - 1);
	if (!pmio_frame_valid(a->view, (uint64_t)ch->frame, &all))
		fill_start(a, f, ch, &all);
}
