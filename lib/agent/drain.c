/*
 * drain.c -- dirty blocks to the PFS, and blocks from the PFS into frames
 *
 * A drain goes through the chunks that a file has when it starts, sorted by
 * offset.  Workers take spans of them in that order; of each chunk they take the
 * blocks that are dirty at that moment, merge neighbouring blocks, also of
 * neighbouring chunks, and write them with pwritev(2)s of up to DRAIN_WRITE_MAX
 * bytes.  The worker that ends last sets the PFS file's size and calls
 * fsync(2).  Only then do the blocks count as clean (frame.h); if anything
 * failed they all stay dirty.
 *
 * The states of one drain, all in the loop, a job in a worker between them:
 *
 *   drain_start -> opened -> begin -> begin_writing -> part_done ... -> ended
 *                  (the PFS file is opened, where it has to be, and looked at;
 *                  and cut, where a truncation was cut off)
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent_impl.h"

#define DRAIN_WRITE_MAX (32u << 20) /* bytes of one pwritev, and of the chunks of a span */
#define DRAIN_IOVS 256		    /* pieces of one pwritev; IOV_MAX is 1024 */
#define DRAIN_PART_MIN 16	    /* chunks: for fewer a further thread is not worth it */

struct taken {
	uint64_t chunk;
	uint64_t frame;
	struct pmio_mask mask;	/* the blocks; empty: none, or no worker has come to it */
};

struct part {
	struct job job;		/* first: a job is its part */
	struct drain *drain;
	uint64_t size;		/* bytes of the file, when the last of its chunks was taken */
	struct verify *verify;	/* owned; NULL: not asked for */
};

struct drain {
	struct job opening;	/* first: the job that opens the PFS file, or looks at it, is its drain */
	char *path;		/* owned: to open, and for messages */
	struct stat opened_st;
	struct pfs_fd *opened;
	int open_rc;
	uint64_t cut_to;	/* size that the PFS file has to have first, if it is longer */

	struct agent *agent;	/* workers read view only */
	struct file *file;
	uint32_t slot;
	struct pfs_fd *pfs;	/* held */
	bool early;		/* of some chunks only (early.c) */
	bool may_cut;		/* nobody has it open: the PFS file may be longer for no reason */
	bool may_extend;	/* no client writes to the PFS file itself */
	bool shared;		/* other agents write to it now */
	struct taken *taken;	/* owned; sorted by chunk */
	size_t nr_taken;
	atomic_size_t next;	/* in taken: the first that no worker has come to */
	atomic_bool stop;	/* take no more */
	struct part *parts;	/* owned */
	unsigned nr_parts, nr_done;
	atomic_uint parts_left;
	_Atomic int error;	/* the first: -errno */
	atomic_uint_fast64_t bytes, end; /* written; and up to where in the file */
	uint64_t start_ns;
	/* when all parts have ended */
	struct stat st;		/* of the PFS file */
	bool have_st;
};

/* ---- in the workers ---------------------------------------------------------- */

struct batch {
	struct iovec iov[DRAIN_IOVS];
	int nr;
	uint64_t off;	/* in the file */
	size_t len;
};

static int write_plain(int fd, const struct iovec *pieces, int nr, uint64_t off)
{
	struct iovec left[DRAIN_IOVS], *iov = left;

	memcpy(left, pieces, (size_t)nr * sizeof(*left));
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

static void written(struct drain *d, const struct batch *b)
{
	uint64_t end = atomic_load(&d->end);

	atomic_fetch_add(&d->bytes, b->len);
	while (end < b->off + b->len && !atomic_compare_exchange_weak(&d->end, &end, b->off + b->len))
		;
}

static int write_all(const struct part *p, const struct iovec *iov, int nr, uint64_t off)
{
	int fd = p->drain->pfs->fd;

	return p->verify ? verify_write(p->verify, fd, iov, nr, off) : write_plain(fd, iov, nr, off);
}

/*
 * Some of the batch cannot be read from the pool's memory.  All else is written;
 * what is lost is named.  Returns -EIO, or what the file system says.
 */
static int write_readable(const struct part *p, const struct batch *b)
{
	const struct pmio_view *v = p->drain->agent->view;
	uint64_t off = b->off;
	int rc = 0, result = -EIO;

	for (int i = 0; i < b->nr && (rc == 0 || rc == -EFAULT); i++) {
		for (size_t at = 0, n; at < b->iov[i].iov_len && (rc == 0 || rc == -EFAULT); at += n, off += n) {
			struct iovec block = { (uint8_t *)b->iov[i].iov_base + at, b->iov[i].iov_len - at };

			if (block.iov_len > v->block_size)
				block.iov_len = v->block_size;
			n = block.iov_len;
			rc = write_all(p, &block, 1, off);
			if (rc == -EFAULT)
				pmio_err("agent: %s: bytes %llu to %llu cannot be read from the pool's memory",
					 p->drain->path, (unsigned long long)off, (unsigned long long)(off + n - 1));
		}
	}
	if (rc < 0 && rc != -EFAULT)
		result = rc;
	return result;
}

static int flush_batch(struct part *p, struct batch *b)
{
	int rc = 0;

	if (b->nr) {
		rc = write_all(p, b->iov, b->nr, b->off);
		if (rc == -EFAULT)
			rc = write_readable(p, b);
		if (rc == 0)
			written(p->drain, b);
		pace_charge(&p->drain->agent->pace, b->len);
		job_alive(&p->job);
	}
	b->nr = 0;
	b->len = 0;
	return rc;
}

/* add one run of blocks; it may be longer than a write should be */
static int add_run(struct part *p, struct batch *b, uint64_t off, uint8_t *from, size_t len)
{
	while (len) {
		size_t n = len < DRAIN_WRITE_MAX ? len : DRAIN_WRITE_MAX;
		int rc = 0;

		if (b->nr == DRAIN_IOVS || (b->nr && b->off + b->len != off) ||
		    b->len + n > DRAIN_WRITE_MAX)
			rc = flush_batch(p, b);
		if (rc < 0)
			return rc;
		if (b->nr == 0)
			b->off = off;
		b->iov[b->nr].iov_base = from;
		b->iov[b->nr++].iov_len = n;
		b->len += n;
		off += n;
		from += n;
		len -= n;
	}
	return 0;
}

static int drain_chunk(struct part *p, struct batch *b, struct taken *t)
{
	struct pmio_view *v = p->drain->agent->view;
	unsigned run, len;
	int rc = 0;

	pmio_frame_drain_begin(v, t->frame, &t->mask);
	if (pmio_mask_empty(&t->mask))
		return 0;
	/* after the blocks were taken: clients raise the size before they set dirty bits */
	p->size = pmio_pm_load64(&v->slots[p->drain->slot].size);
	for (run = pmio_mask_next_run(&t->mask, 0, &len); run < PMIO_CHUNK_BLOCKS && rc == 0;
	     run = pmio_mask_next_run(&t->mask, run + len, &len)) {
		uint64_t in_chunk = (uint64_t)run << v->block_shift;
		uint64_t off = (t->chunk << v->chunk_shift) + in_chunk;
		size_t bytes = (size_t)len << v->block_shift;

		if (off >= p->size)
			break;
		if (bytes > p->size - off)
			bytes = (size_t)(p->size - off);
		/* else the write takes a page fault for each page that we have not seen yet */
		pmio_pm_populate(v->pm, pmio_view_frame(v, t->frame) + in_chunk, bytes);
		rc = add_run(p, b, off, pmio_view_frame(v, t->frame) + in_chunk, bytes);
	}
	return rc;
}

static void fail(struct drain *d, int rc)
{
	int none = 0;

	atomic_compare_exchange_strong(&d->error, &none, rc);
}

/* all chunks were looked at */
static bool is_whole(const struct drain *d)
{
	return !d->early && atomic_load(&d->next) >= d->nr_taken;
}

static int set_size(const struct drain *d, uint64_t size)
{
	struct stat st;
	bool wrong;

	if (fstat(d->pfs->fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size < atomic_load(&d->end))
		return -EIO; /* it has taken what it has not got */
	/* not by ftruncate(): another agent may have made it longer since */
	if (d->shared && d->may_extend && (uint64_t)st.st_size < size &&
	    fallocate(d->pfs->fd, 0, (off_t)size - 1, 1) == 0)
		return 0;
	wrong = (uint64_t)st.st_size < size ? d->may_extend : (uint64_t)st.st_size > size && d->may_cut;
	return wrong && ftruncate(d->pfs->fd, (off_t)size) < 0 ? -errno : 0;
}

/*
 * fsync(2), not fdatasync(2): the times go into the catalog, and a file that has others
 * after a power cut is taken for changed.
 *
 * Some file systems report what they could not store when a descriptor is closed,
 * and not before; the close of a copy makes them say it while we can still listen.
 */
static int flush(int fd)
{
	int copy;

	if (fsync(fd) < 0)
		return -errno;
	copy = dup(fd);
	if (copy < 0)
		return -errno;
	return close(copy) < 0 && errno != EINTR ? -errno : 0;
}

/* all parts have written, and it is durable */
static int verify(struct drain *d, struct job *job)
{
	int rc = 0;

	for (unsigned i = 0; i < d->nr_parts && rc == 0; i++) {
		if (d->parts[i].verify)
			rc = verify_check(d->parts[i].verify, d->pfs->fd, d->path, job);
	}
	return rc;
}

/* by the worker that is the last to end */
static void finish(struct drain *d, struct job *job)
{
	uint64_t size = pmio_pm_load64(&d->agent->view->slots[d->slot].size);
	int rc = atomic_load(&d->error);

	if (rc == 0 && is_whole(d))
		rc = set_size(d, size);
	if (rc == 0)
		rc = flush(d->pfs->fd);
	if (rc == 0)
		rc = verify(d, job);
	if (rc < 0)
		fail(d, rc);
	d->have_st = fstat(d->pfs->fd, &d->st) == 0;
	if (rc == 0 && !d->have_st)
		fail(d, -errno);
}

/* chunks to take at a time */
static size_t next_span(const struct drain *d)
{
	size_t span = pace_bytes(&d->agent->pace, DRAIN_WRITE_MAX) >> d->agent->view->chunk_shift;

	return span ? span : 1;
}

static void run_part(struct job *job)
{
	struct part *p = (struct part *)job;
	struct drain *d = p->drain;
	struct batch b = { .nr = 0 };
	size_t i, end, span;
	int rc = 0;

	while (rc == 0 && !atomic_load(&d->error)) {
		pace_wait(&d->agent->pace, job, &d->stop);
		if (atomic_load(&d->stop))
			break;
		span = next_span(d);
		i = atomic_fetch_add(&d->next, span);
		if (i >= d->nr_taken)
			break;
		end = d->nr_taken - i < span ? d->nr_taken : i + span;
		for (; i < end && rc == 0; i++)
			rc = drain_chunk(p, &b, &d->taken[i]);
		if (rc == 0)
			rc = flush_batch(p, &b);
	}
	if (rc < 0)
		fail(d, rc);
	if (atomic_fetch_sub(&d->parts_left, 1) == 1)
		finish(d, job);
}

static void run_opening(struct job *job)
{
	struct drain *d = (struct drain *)job;

	if (!d->opened)
		d->open_rc = pfs_open(d->path, PMIO_OPEN_WRITE, 0, &d->opened_st, &d->opened);
	else
		d->open_rc = fstat(d->opened->fd, &d->opened_st) < 0 ? -errno : 0;
}

/* what is written next may make it longer, and must not bring back what was beyond */
static void run_cut_off(struct job *job)
{
	struct drain *d = (struct drain *)job;
	struct stat st;

	if (fstat(d->pfs->fd, &st) < 0 ||
	    ((uint64_t)st.st_size > d->cut_to && ftruncate(d->pfs->fd, (off_t)d->cut_to) < 0))
		d->open_rc = -errno;
}

/* ---- in the loop: the end --------------------------------------------------------- */

static void free_drain(struct agent *a, struct drain *d)
{
	if (!d)
		return;
	pfs_put(a, &d->pfs);
	pfs_put(a, &d->opened);
	for (unsigned i = 0; d->parts && i < d->nr_parts; i++)
		verify_delete(&d->parts[i].verify);
	free(d->parts);
	free(d->taken);
	free(d->path);
	free(d);
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
	if (a->nr_draining++ == 0)
		a->drain_since_ns = d->start_ns;
}

static void count_end(struct agent *a, const struct drain *d)
{
	struct file *f = d->file;

	f->drain_bytes = atomic_load(&d->bytes);
	f->drain_ns = now_ns() - d->start_ns;
	f->drained_bytes += f->drain_bytes;
	a->drained_bytes += f->drain_bytes;
	a->drain_ns = drain_busy_ns(a);
	a->drain_since_ns = now_ns();
	a->nr_draining--;
}

/* a file system that is merely full is otherwise in order, and fstat() tells what it has */
static bool is_orderly(int rc)
{
	return rc == 0 || rc == -ENOSPC || rc == -EDQUOT || rc == -EFBIG;
}

/*
 * What became of it, into the catalog.  Before blocks count as clean: a crash may
 * then find them dirty, but never find a PFS file that is shorter than they say.
 */
static int record(struct agent *a, struct file *f, const struct drain *d, int rc)
{
	bool known = is_orderly(rc) && d && d->have_st;
	int rc_record;

	if (rc == 0) {
		f->error = 0;
		if (f->state == PMIO_FILE_FAILED)
			f->state = PMIO_FILE_OPEN; /* an earlier try had failed */
	} else {
		f->error = rc > PMIO_ENOTPOOL ? -rc : EIO;
		f->reopen = true;
		if (f->nr_handles == 0)
			f->state = PMIO_FILE_FAILED;
	}
	if (rc == 0)
		f->cut_pending = false;
	if (known && !f->cut_pending)
		files_set_seen(f, &d->st);
	/* where nothing was begun, nothing has changed */
	if (d && d->pfs)
		f->busy_on_media = f->shared || !known || f->nr_pfs_chunks != 0 || f->cut_pending;
	rc_record = files_record(a, f);
	if (rc_record < 0)
		f->busy_on_media = true;
	return rc < 0 ? rc : rc_record;
}

/* d: NULL if there was no memory for it */
static void ended(struct agent *a, struct file *f, struct drain *d, int rc)
{
	bool whole = rc < 0 || is_whole(d);

	if (rc == 0 && whole && f->nr_handles == 0)
		files_drop_pfs_chunks(f); /* they are durable, and the next open may find frames */
	rc = record(a, f, d, rc);
	if (rc < 0)
		pmio_err("agent: drain %s: %s; the data stay in the pool", f->path, pmio_strerror(rc));
	for (size_t i = 0; d && i < d->nr_taken; i++) {
		if (!pmio_mask_empty(&d->taken[i].mask))
			pmio_frame_drain_end(a->view, d->taken[i].frame, &d->taken[i].mask, rc == 0);
	}
	pmio_pm_fence(a->view->pm);
	a->pfs_changes++;
	if (d)
		count_end(a, d);
	f->drain = NULL;
	free_drain(a, d);

	if (whole) {
		parked_answer(a, &f->drain_waiters, rc);
	} else {
		DL_CONCAT(f->drain_waiters, f->next_drain_waiters);
		f->next_drain_waiters = f->drain_waiters;
		f->drain_waiters = NULL;
	}
	files_job_end(a, f);
}

static void part_done(struct agent *a, struct job *job)
{
	struct drain *d = ((struct part *)job)->drain;

	if (++d->nr_done == d->nr_parts)
		ended(a, d->file, d, atomic_load(&d->error));
}

/* ---- in the loop: the start ------------------------------------------------------- */

static int by_chunk(const void *x, const void *y)
{
	const struct taken *a = x, *b = y;

	return (a->chunk > b->chunk) - (a->chunk < b->chunk);
}

static int list_chunks(struct drain *d)
{
	size_t nr = HASH_COUNT(d->file->chunks);

	d->taken = calloc(nr ? nr : 1, sizeof(*d->taken));
	if (!d->taken)
		return -ENOMEM;
	for (struct chunk *ch = d->file->chunks; ch; ch = ch->hh.next) {
		if (ch->frame < 0 || (d->early && !early_is_ripe(d->file, ch)))
			continue;
		if (d->early)
			ch->early_in = d->file->nr_opens;
		d->taken[d->nr_taken].chunk = ch->number;
		d->taken[d->nr_taken++].frame = (uint64_t)ch->frame;
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
		d->parts[i].job.kind = JOB_BULK;
		d->parts[i].job.dev = d->file->key.dev;
		d->parts[i].job.paced = true;
		d->parts[i].job.goes_on = true; /* else more and more files are open at once */
		d->parts[i].job.run = run_part;
		d->parts[i].job.done = part_done;
		d->parts[i].drain = d;
		if (d->file->verify && (d->parts[i].verify = verify_new(a->view)) == NULL)
			return -ENOMEM;
	}
	return 0;
}

static void begin_writing(struct agent *a, struct drain *d)
{
	for (unsigned i = 0; i < d->nr_parts; i++)
		workers_submit(a->workers, &d->parts[i].job);
}

static void was_cut(struct agent *a, struct job *job)
{
	struct drain *d = (struct drain *)job;

	if (d->open_rc < 0)
		ended(a, d->file, d, d->open_rc);
	else
		begin_writing(a, d);
}

static void begin(struct agent *a, struct drain *d)
{
	struct file *f = d->file;
	int rc;

	if (f->verify && !f->pfs->reads) {
		pmio_err("agent: %s: no permission to read, and it is to be verified", f->path);
		ended(a, f, d, -EACCES);
		return;
	}
	f->busy_on_media = true;
	rc = files_record(a, f);
	if (rc == 0)
		rc = list_chunks(d);
	if (rc == 0)
		rc = make_parts(a, d);
	if (rc < 0) {
		ended(a, f, d, rc);
		return;
	}
	d->pfs = pfs_get(f->pfs);
	d->may_cut = f->nr_handles == 0 && !f->shared;
	d->may_extend = f->shared ? f->home : f->nr_handles == 0 || f->nr_pfs_chunks == 0;
	d->shared = f->shared;
	if (!f->cut_pending) {
		begin_writing(a, d);
		return;
	}
	d->cut_to = f->pfs_size;
	d->opening.run = run_cut_off;
	d->opening.done = was_cut;
	workers_submit(a->workers, &d->opening);
}

static bool can_write(const struct file *f)
{
	return f->pfs && f->pfs->writes;
}

static void opened(struct agent *a, struct job *job)
{
	struct drain *d = (struct drain *)job;
	struct file *f = d->file;
	const struct stat *st = &d->opened_st;
	int rc = d->open_rc;

	if (rc == 0 && (st->st_dev != f->key.dev || st->st_ino != f->key.ino) &&
	    !files_adopt_device(a, f, st))
		rc = PMIO_ECHANGED;
	if (rc == 0) {
		files_adopt_pfs(a, f, &d->opened);
		files_notice_change(f, st);
	}
	f->reopen = false;
	if (rc == 0 || can_write(f))
		begin(a, d);
	else
		ended(a, f, d, rc);
}

static int start(struct agent *a, struct drain *d)
{
	struct file *f = d->file;

	d->path = strdup(f->path);
	if (!d->path)
		return -ENOMEM;
	if (can_write(f) && !f->reopen)
		d->opened = pfs_get(f->pfs);
	d->opening.kind = JOB_BULK;
	d->opening.dev = f->key.dev;
	d->opening.run = run_opening;
	d->opening.done = opened;
	workers_submit(a->workers, &d->opening);
	return 0;
}

/* nothing keeps it from starting */
static void start_now(struct agent *a, struct file *f, bool early)
{
	int rc = -ENOMEM;

	f->drain = calloc(1, sizeof(*f->drain));
	files_job_begin(a, f);
	if (f->drain) {
		f->drain->early = early;
		f->drain->agent = a;
		f->drain->file = f;
		f->drain->slot = f->slot;
		count_start(a, f->drain);
		rc = start(a, f->drain);
	}
	if (rc < 0)
		ended(a, f, f->drain, rc);
}

void drain_start(struct agent *a, struct file *f, struct parked *waiter)
{
	if (waiter)
		DL_APPEND(f->next_drain_waiters, waiter);
	if (f->drain || f->cutting || f->unlinking)
		return;
	if (f->discard && f->nr_handles == 0) {
		parked_answer(a, &f->next_drain_waiters, -ENOENT);
		return;
	}
	f->drain_waiters = f->next_drain_waiters;
	f->next_drain_waiters = NULL;
	start_now(a, f, false);
}

void drain_start_early(struct agent *a, struct file *f)
{
	start_now(a, f, true);
}

void drain_hurry(struct file *f)
{
	if (f->drain && f->drain->early)
		atomic_store(&f->drain->stop, true);
}

void drain_stop_all(struct agent *a)
{
	for (struct file *f = a->files; f; f = f->hh.next) {
		if (f->drain)
			atomic_store(&f->drain->stop, true);
	}
}

/* ---- filling ---------------------------------------------------------------------- */

struct fill {
	struct job job; /* first */
	struct agent *agent;
	struct file *file;
	struct chunk *chunk;
	uint64_t number, frame, pfs_size;
	struct pmio_mask todo;
	struct pfs_fd *pfs; /* held */
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
		n = pmio_pm_pread(v->pm, p, fl->pfs->fd, (size_t)want, (off_t)off);
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

	fl->error = (int)pmio_pm_guarded(fl->agent->view->pm, fill_runs, fl);
	if (fl->error == -EFAULT)
		fl->error = -EIO; /* the same, met by the kernel's copy */
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
	if (fl->error) {
		pmio_err("agent: read %s: %s", f->path, pmio_strerror(fl->error));
		parked_answer_fills(a, &f->retries, fl->number, fl->error);
	}
	pfs_put(a, &fl->pfs);
	free(fl);
	files_job_end(a, f);
}

int fill_start(struct agent *a, struct file *f, struct chunk *ch, const struct pmio_mask *wanted)
{
	struct fill *fl = calloc(1, sizeof(*fl));
	struct pmio_mask m = *wanted, busy;
	bool zeros = ch->number << a->view->chunk_shift >= f->pfs_size;

	if (!fl)
		return -ENOMEM;
	/* zeros cost little: the whole chunk at once, and the next small write needs no message */
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
	fl->pfs_size = f->pfs_size;
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
	if (!f->pfs || !f->pfs->reads) {
		pmio_err("agent: %s: no permission to read, and a block is written only in part", f->path);
		pmio_frame_fill_end(a->view, fl->frame, &fl->todo, false);
		free(fl);
		return -EACCES;
	}
	ch->filling = true;
	fl->pfs = pfs_get(f->pfs);
	fl->job.kind = JOB_BULK;
	fl->job.dev = f->key.dev;
	files_job_begin(a, f);
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
		fill_start(a, f, ch, &all);
}
