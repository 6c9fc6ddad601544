/*
 * drain.c -- dirty blocks to the PFS, and blocks from the PFS into frames
 *
 * A drain takes all blocks that are dirty when it starts, sorted by offset, cut
 * into as many parts as there are workers.  A worker merges neighbouring blocks,
 * also of neighbouring chunks, into pwritev(2)s of up to DRAIN_WRITE_MAX bytes.
 * The worker that ends last sets the PFS file's size and calls fdatasync(2).
 * Only then do the blocks count as clean (frame.h); if anything failed they all
 * stay dirty.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "agent/agent_impl.h"

#define DRAIN_WRITE_MAX (32u << 20) /* bytes of one pwritev */
#define DRAIN_IOVS 256		    /* pieces of one pwritev; IOV_MAX is 1024 */
#define DRAIN_PART_MIN 16	    /* chunks: a smaller part is not worth a thread */

struct taken {
	uint64_t chunk;
	uint64_t frame;
	struct pmio_mask mask;
};

struct drain {
	struct agent *agent;	/* workers read view only */
	struct file *file;
	int fd;
	uint64_t size;		/* bytes of the file when it started */
	bool may_cut;		/* nobody has it open: the PFS file may be longer for no reason */
	bool may_extend;	/* no client writes to the PFS file itself */
	struct taken *taken;	/* owned; sorted by chunk */
	size_t nr_taken;
	atomic_uint parts_left;
	_Atomic int error;	/* the first: -errno */
	atomic_uint_fast64_t bytes;
	uint64_t start_ns;
	struct part {
		struct job job;	/* first: a job is its part */
		struct drain *drain;
		size_t first, end;
	} *parts;		/* owned */
	unsigned nr_parts, nr_done;
};

/* ---- in the workers ---------------------------------------------------------- */

struct batch {
	struct iovec iov[DRAIN_IOVS];
	int nr;
	uint64_t off;	/* in the file */
	size_t len;
};

static int write_all(int fd, struct iovec *iov, int nr, uint64_t off)
{
	while (nr > 0) {
		ssize_t n = pwritev(fd, iov, nr, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		off += (uint64_t)n;
		while (nr > 0 && (size_t)n >= iov->iov_len) {
			n -= (ssize_t)iov->iov_len;
			iov++;
			nr--;
		}
		if (nr > 0) {
			iov->iov_base = (uint8_t *)iov->iov_base + n;
			iov->iov_len -= (size_t)n;
		}
	}
	return 0;
}

static int flush_batch(struct drain *d, struct batch *b)
{
	int rc = 0;

	if (b->nr) {
		rc = write_all(d->fd, b->iov, b->nr, b->off);
		if (rc == 0)
			atomic_fetch_add(&d->bytes, b->len);
	}
	b->nr = 0;
	b->len = 0;
	return rc;
}

/* add one run of blocks; it may be longer than a write should be */
static int add_run(struct drain *d, struct batch *b, uint64_t off, uint8_t *p, size_t len)
{
	while (len) {
		size_t n = len < DRAIN_WRITE_MAX ? len : DRAIN_WRITE_MAX;
		int rc = 0;

		if (b->nr == DRAIN_IOVS || (b->nr && b->off + b->len != off) ||
		    b->len + n > DRAIN_WRITE_MAX)
			rc = flush_batch(d, b);
		if (rc < 0)
			return rc;
		if (b->nr == 0)
			b->off = off;
		b->iov[b->nr].iov_base = p;
		b->iov[b->nr++].iov_len = n;
		b->len += n;
		off += n;
		p += n;
		len -= n;
	}
	return 0;
}

static int drain_chunk(struct drain *d, struct batch *b, const struct taken *t)
{
	const struct pmio_view *v = d->agent->view;
	unsigned run, len;
	int rc = 0;

	for (run = pmio_mask_next_run(&t->mask, 0, &len); run < PMIO_CHUNK_BLOCKS && rc == 0;
	     run = pmio_mask_next_run(&t->mask, run + len, &len)) {
		uint64_t in_chunk = (uint64_t)run << v->block_shift;
		uint64_t off = (t->chunk << v->chunk_shift) + in_chunk;
		size_t bytes = (size_t)len << v->block_shift;

		if (off >= d->size)
			break;
		if (bytes > d->size - off)
			bytes = (size_t)(d->size - off);
		rc = add_run(d, b, off, pmio_view_frame(v, t->frame) + in_chunk, bytes);
	}
	return rc;
}

static void fail(struct drain *d, int rc)
{
	int none = 0;

	atomic_compare_exchange_strong(&d->error, &none, rc);
}

static void finish_pfs(struct drain *d)
{
	struct stat st;
	bool set_size;

	if (atomic_load(&d->error))
		return;
	if (fstat(d->fd, &st) < 0) {
		fail(d, -errno);
		return;
	}
	set_size = (uint64_t)st.st_size < d->size ? d->may_extend
						  : (uint64_t)st.st_size > d->size && d->may_cut;
	if ((set_size && ftruncate(d->fd, (off_t)d->size) < 0) || fdatasync(d->fd) < 0)
		fail(d, -errno);
}

static void run_part(struct job *job)
{
	struct part *p = (struct part *)job;
	struct drain *d = p->drain;
	struct batch b = { .nr = 0 };
	int rc = 0;

	for (size_t i = p->first; i < p->end && rc == 0 && !atomic_load(&d->error); i++)
		rc = drain_chunk(d, &b, &d->taken[i]);
	if (rc == 0 && !atomic_load(&d->error))
		rc = flush_batch(d, &b);
	if (rc < 0)
		fail(d, rc);
	if (atomic_fetch_sub(&d->parts_left, 1) == 1)
		finish_pfs(d);
}

/* ---- in the loop --------------------------------------------------------------- */

static void free_drain(struct drain *d)
{
	free(d->parts);
	free(d->taken);
	free(d);
}

/* returns what to answer */
static int drain_result(struct agent *a, struct file *f, int rc)
{
	if (rc == 0 && f->nr_handles == 0)
		files_drop_pfs_chunks(f); /* they are durable, and the next open may find frames */
	if (rc == 0) {
		f->error = 0;
		if (f->state == PMIO_FILE_FAILED)
			f->state = PMIO_FILE_OPEN; /* an earlier try had failed */
		f->busy_on_media = f->nr_pfs_chunks != 0;
		rc = files_record(a, f, true);
	}
	if (rc < 0) {
		f->error = rc > PMIO_ENOTPOOL ? -rc : EIO;
		pmio_err("agent: drain %s: %s; the data stay in the pool", f->path, pmio_strerror(rc));
		if (f->nr_handles == 0)
			f->state = PMIO_FILE_FAILED;
		/* what the PFS file is now is known again, unless clients write there themselves */
		f->busy_on_media = f->nr_pfs_chunks != 0;
		if (files_record(a, f, true) < 0)
			f->busy_on_media = true;
	}
	return rc;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t drain_written(const struct file *f)
{
	return f->drain ? atomic_load(&f->drain->bytes) : 0;
}

uint64_t drain_busy_ns(const struct agent *a)
{
	return a->drain_ns + (a->nr_draining ? now_ns() - a->drain_since_ns : 0);
}

static void count_start(struct agent *a, struct drain *d)
{
	d->start_ns = now_ns();
	d->file->drain = d;
	if (a->nr_draining++ == 0)
		a->drain_since_ns = d->start_ns;
}

static void count_end(struct agent *a, const struct drain *d)
{
	struct file *f = d->file;

	f->drain = NULL;
	f->drain_bytes = atomic_load(&d->bytes);
	f->drain_ns = now_ns() - d->start_ns;
	f->drained_bytes += f->drain_bytes;
	a->drained_bytes += f->drain_bytes;
	a->drain_ns = drain_busy_ns(a);
	a->drain_since_ns = now_ns();
	a->nr_draining--;
}

static void drain_ended(struct agent *a, struct drain *d)
{
	struct file *f = d->file;
	struct parked *answered = f->drain_waiters;
	int rc = atomic_load(&d->error), next;

	for (size_t i = 0; i < d->nr_taken; i++)
		pmio_frame_drain_end(a->view, d->taken[i].frame, &d->taken[i].mask, rc == 0);
	pmio_pm_fence(a->view->pm);
	count_end(a, d);
	free_drain(d);

	f->draining = false;
	f->nr_jobs--;
	a->nr_jobs--;
	rc = drain_result(a, f, rc);
	f->drain_waiters = NULL;
	if (f->next_drain_waiters) {
		struct parked *waiters = f->next_drain_waiters;

		f->next_drain_waiters = NULL;
		next = drain_start(a, f, NULL);
		if (next == 0)
			f->drain_waiters = waiters;
		else
			parked_answer(a, &waiters, next);
	}
	parked_retry(a, &f->retries);
	files_settle(a, f);
	/* not before: who hears it may change the PFS file, and we must not look at it after that */
	parked_answer(a, &answered, rc);
}

static void part_done(struct agent *a, struct job *job)
{
	struct drain *d = ((struct part *)job)->drain;

	if (++d->nr_done == d->nr_parts)
		drain_ended(a, d);
}

static int by_chunk(const void *x, const void *y)
{
	const struct taken *a = x, *b = y;

	return (a->chunk > b->chunk) - (a->chunk < b->chunk);
}

static int take_dirty(struct agent *a, struct drain *d)
{
	size_t nr = HASH_COUNT(d->file->chunks);

	d->taken = calloc(nr ? nr : 1, sizeof(*d->taken));
	if (!d->taken)
		return -ENOMEM;
	for (struct chunk *ch = d->file->chunks; ch; ch = ch->hh.next) {
		struct taken *t = &d->taken[d->nr_taken];

		if (ch->frame < 0)
			continue;
		pmio_frame_drain_begin(a->view, (uint64_t)ch->frame, &t->mask);
		if (pmio_mask_empty(&t->mask))
			continue;
		t->chunk = ch->number;
		t->frame = (uint64_t)ch->frame;
		d->nr_taken++;
	}
	qsort(d->taken, d->nr_taken, sizeof(*d->taken), by_chunk);
	return 0;
}

static int make_parts(struct agent *a, struct drain *d)
{
	size_t nr = d->nr_taken / DRAIN_PART_MIN + 1;

	if (nr > a->config->drain_threads)
		nr = a->config->drain_threads;
	d->parts = calloc(nr, sizeof(*d->parts));
	if (!d->parts)
		return -ENOMEM;
	d->nr_parts = (unsigned)nr;
	atomic_store(&d->parts_left, d->nr_parts);
	for (size_t i = 0; i < nr; i++) {
		d->parts[i].job.run = run_part;
		d->parts[i].job.done = part_done;
		d->parts[i].drain = d;
		d->parts[i].first = d->nr_taken * i / nr;
		d->parts[i].end = d->nr_taken * (i + 1) / nr;
	}
	return 0;
}

static int begin(struct agent *a, struct file *f, struct drain **out)
{
	struct drain *d = calloc(1, sizeof(*d));
	int rc;

	if (!d)
		return -ENOMEM;
	d->agent = a;
	d->file = f;
	rc = files_reopen_pfs(a, f);
	if (rc < 0)
		goto err;
	d->fd = f->fd;
	files_notice_change(f);
	f->busy_on_media = true;
	rc = files_record(a, f, false);
	if (rc < 0)
		goto err;
	rc = take_dirty(a, d);
	if (rc < 0)
		goto err;
	/* after the blocks were taken: clients raise the size before they set dirty bits */
	d->size = pmio_pool_file_size(a->pool, f->slot);
	d->may_cut = f->nr_handles == 0;
	d->may_extend = f->nr_handles == 0 || f->nr_pfs_chunks == 0;
	rc = make_parts(a, d);
	if (rc < 0)
		goto err_taken;
	*out = d;
	return 0;

err_taken:
	for (size_t i = 0; i < d->nr_taken; i++)
		pmio_frame_drain_end(a->view, d->taken[i].frame, &d->taken[i].mask, false);
err:
	free_drain(d);
	return rc;
}

int drain_start(struct agent *a, struct file *f, struct parked *waiter)
{
	struct drain *d;
	int rc;

	if (f->draining) {
		if (waiter)
			DL_APPEND(f->next_drain_waiters, waiter);
		return 0;
	}
	rc = begin(a, f, &d);
	if (rc < 0)
		return rc;
	if (waiter)
		DL_APPEND(f->drain_waiters, waiter);
	count_start(a, d);
	f->draining = true;
	f->nr_jobs++;
	a->nr_jobs++;
	for (unsigned i = 0; i < d->nr_parts; i++)
		workers_submit(a->workers, &d->parts[i].job);
	return 0;
}

/* ---- filling ---------------------------------------------------------------------- */

struct fill {
	struct job job; /* first */
	struct agent *agent;
	struct file *file;
	struct chunk *chunk;
	uint64_t number, frame, pfs_size;
	struct pmio_mask todo;
	int fd;
	int error;
	uint64_t bytes;
};

/* one run of blocks: what the PFS has of it, zeros after that */
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

static void run_fill(struct job *job)
{
	struct fill *fl = (struct fill *)job;
	unsigned run, len;

	for (run = pmio_mask_next_run(&fl->todo, 0, &len); run < PMIO_CHUNK_BLOCKS && !fl->error;
	     run = pmio_mask_next_run(&fl->todo, run + len, &len))
		fl->error = fill_run(fl, run, len);
	pmio_pm_fence(fl->agent->view->pm);
}

static void fill_done(struct agent *a, struct job *job)
{
	struct fill *fl = (struct fill *)job;
	struct file *f = fl->file;

	pmio_frame_fill_end(a->view, fl->frame, &fl->todo, fl->error == 0);
	pmio_pm_fence(a->view->pm);
	a->filled_bytes += fl->bytes;
	f->filled_bytes += fl->bytes;
	fl->chunk->filling = false;
	f->nr_jobs--;
	a->nr_jobs--;
	if (fl->error) {
		pmio_err("agent: read %s: %s", f->path, pmio_strerror(fl->error));
		parked_answer_fills(a, &f->retries, fl->number, fl->error);
	}
	parked_retry(a, &f->retries);
	free(fl);
	files_settle(a, f);
}

int fill_start(struct agent *a, struct file *f, struct chunk *ch, unsigned first, unsigned last)
{
	struct fill *fl = calloc(1, sizeof(*fl));
	struct pmio_mask m, busy, wanted;
	bool zeros = ch->number << a->view->chunk_shift >= f->pfs_size;

	if (!fl)
		return -ENOMEM;
	pmio_mask_range(&wanted, first, last);
	/* zeros cost little: the whole chunk at once, and the next small write needs no message */
	pmio_mask_range(&m, zeros ? 0 : first, zeros ? PMIO_CHUNK_BLOCKS - 1 : last);
	pmio_frame_fill_begin(a->view, (uint64_t)ch->frame, &m, &fl->todo, &busy);
	fl->job.run = run_fill;
	fl->job.done = fill_done;
	fl->agent = a;
	fl->file = f;
	fl->chunk = ch;
	fl->number = ch->number;
	fl->frame = (uint64_t)ch->frame;
	fl->pfs_size = f->pfs_size;
	fl->fd = f->fd;
	if (pmio_mask_empty(&fl->todo) || zeros) {
		run_fill(&fl->job);
		pmio_frame_fill_end(a->view, fl->frame, &fl->todo, fl->error == 0);
		pmio_pm_fence(a->view->pm);
		free(fl);
		for (int i = 0; i < PMIO_MASK_WORDS; i++) {
			if (busy.w[i] & wanted.w[i])
				return -EAGAIN;
		}
		return 0;
	}
	if (!f->fd_reads) {
		pmio_err("agent: %s: no permission to read, and a block is written only in part", f->path);
		pmio_frame_fill_end(a->view, fl->frame, &fl->todo, false);
		free(fl);
		return -EACCES;
	}
	ch->filling = true;
	f->nr_jobs++;
	a->nr_jobs++;
	workers_submit(a->workers, &fl->job);
	return 1;
}

void fill_zeros(struct agent *a, struct file *f, struct chunk *ch)
{
	struct pmio_mask all;

	if (ch->frame < 0 || ch->filling || ch->number << a->view->chunk_shift < f->pfs_size)
		return;
	pmio_mask_range(&all, 0, PMIO_CHUNK_BLOCKS - 1);
	if (!pmio_frame_valid(a->view, (uint64_t)ch->frame, &all))
		fill_start(a, f, ch, 0, PMIO_CHUNK_BLOCKS - 1);
}
