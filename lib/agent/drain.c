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
 * Before and after each of these steps a worker looks whether the PFS file is what the
 * drain itself has made of it.  If it is not, somebody else is writing to it: the drain
 * stops, and what it has is kept (PMIO_ECHANGED).  A change in the same moment as one of our
 * own writes is not seen if it leaves size and times as our write would have.
 *
 * The states of one drain, all in the loop, a job in a worker between them:
 *
 *   drain_start -> opened -> begin -> begin_writing -> part_done ... -> ended
 *                  (the PFS file is opened, where it has to be, and looked at;
 *                  and cut, where a truncation was cut off)
 *
 * or, of a small file that was just closed:
 *
 *   drain_start -> at_once_done -> ended
 *                  (the PFS file is looked at, and written if it is as it was
 *                  at the close; else -> opened, and on as above)
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
#define COMPARE_NS 200000000 /* so long may steps of several workers overlap before they make a pause for a look */
#define OPEN_TRIES 500
#define OPEN_WAIT_US 20000
#define SMALL_BLOCKS 16	/* of a file's first chunk, zeroed when it is claimed */
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
	char *path;		/* owned: for messages */
	struct pfs_look *look;	/* owned: opens it, if it is not; or NULL */
	struct pfs_fd *opened;	/* held */
	struct stat opened_st;
	bool nameless;
	struct pmio_pfs_id id;
	char *moved;		/* owned: of several names the one by which we knew it is gone; this is another */
	int open_rc;
	unsigned nr_tries;	/* without a descriptor */
	uint64_t cut_to;	/* size that the PFS file has to have first, if it is longer */

	struct agent *agent;	/* workers read view only */
	struct file *file;
	uint32_t slot;
	struct pfs_fd *pfs;	/* held */
	bool early;		/* of some chunks only (early.c) */
	bool may_extend;	/* no client writes to the PFS file itself */
	bool shared;		/* other agents write to it now */
	struct taken *taken;	/* owned; sorted by chunk */
	size_t nr_taken;
	atomic_size_t next;	/* in taken: the first that no worker has come to */
	atomic_bool stop;	/* take no more */
	struct part *parts;	/* owned */
	unsigned nr_parts, nr_done;
	bool differs;		/* nothing was written: what the look found has to be judged first */
	atomic_uint parts_left;
	_Atomic int error;	/* the first: -errno */
	atomic_uint_fast64_t bytes, end; /* written; and up to where in the file */
	uint64_t start_ns;
	/* is anybody else at it? */
	bool watches;		/* this can be told: nobody writes to the PFS file but we */
	bool may_lose;		/* nobody has it open: without a name it goes */
	bool marks;		/* nobody waits for the end: other pools are to see that data wait here */
	bool unmarks;		/* ... or did; the end takes that away */
	pthread_mutex_t lock;	/* of: */
	pthread_cond_t quiet;	/* nr_writing is 0 */
	unsigned nr_writing;	/* workers that are at a step now */
	uint64_t steps;		/* so far, begun and ended */
	struct stat now;	/* as our last step has left it, while nr_writing is 0 */
	uint64_t compared_ns;	/* when that was last compared */
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

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static bool is_same_content(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* d->lock held, and no step is under way */
static int compare(struct drain *d)
{
	struct stat st;

	d->compared_ns = now_ns();
	if (fstat(d->pfs->fd, &st) < 0)
		return -errno;
	if (d->may_lose && st.st_nlink == 0)
		return PMIO_EGONE;
	return is_same_content(&st, &d->now) ? 0 : PMIO_ECHANGED;
}

/* something is about to be written: is the file what we have made of it? */
static int step_begin(struct drain *d)
{
	int rc = 0;

	if (!d->watches)
		return 0;
	pthread_mutex_lock(&d->lock);
	while (d->nr_writing && now_ns() - d->compared_ns > COMPARE_NS)
		pthread_cond_wait(&d->quiet, &d->lock);
	if (d->nr_writing == 0)
		rc = compare(d);
	d->nr_writing += rc == 0;
	d->steps++;
	pthread_mutex_unlock(&d->lock);
	return rc;
}

static int step_end(struct drain *d, int rc)
{
	struct stat now;

	if (!d->watches)
		return rc;
	pthread_mutex_lock(&d->lock);
	d->steps++;
	if (--d->nr_writing == 0) {
		if (fstat(d->pfs->fd, &now) < 0 && rc == 0)
			rc = -errno;
		else if (rc == 0 && (uint64_t)now.st_size < atomic_load(&d->end))
			/* what we wrote has been cut off; or it never came to be */
			rc = is_same_content(&now, &d->now) ? -EIO : PMIO_ECHANGED;
		else
			d->now = now;
		pthread_cond_broadcast(&d->quiet);
	}
	pthread_mutex_unlock(&d->lock);
	return rc;
}

static int flush_batch(struct part *p, struct batch *b)
{
	int rc = 0;

	if (b->nr && (rc = step_begin(p->drain)) == 0) {
		rc = write_all(p, b->iov, b->nr, b->off);
		if (rc == -EFAULT)
			rc = write_readable(p, b);
		if (rc == 0)
			written(p->drain, b);
		rc = step_end(p->drain, rc);
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

	if (fstat(d->pfs->fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size < atomic_load(&d->end))
		return -EIO; /* it has taken what it has not got */
	if ((uint64_t)st.st_size >= size || !d->may_extend)
		return 0; /* longer than we know it: others have appended to it, and it is not ours to cut */
	/* not by ftruncate(): another agent may have made it longer since */
	if (d->shared && fallocate(d->pfs->fd, 0, (off_t)size - 1, 1) == 0)
		return 0;
	return ftruncate(d->pfs->fd, (off_t)size) < 0 ? -errno : 0;
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

	if (rc == 0)
		rc = step_begin(d);
	if (rc == 0) {
		if (is_whole(d))
			rc = set_size(d, size);
		rc = step_end(d, rc);
	}
	if (rc == 0)
		rc = flush(d->pfs->fd);
	if (rc == 0)
		rc = verify(d, job);
	if (rc == 0 && d->watches)
		rc = compare(d);
	if (rc == 0 && d->unmarks && is_whole(d))
		pmio_pfs_unmark(d->pfs->fd, d->agent->view->super->uuid);
	if (rc < 0)
		fail(d, rc);
	if (rc < 0 && d->may_lose && !d->shared) /* other pools are to see that data wait here */
		pmio_pfs_mark(d->pfs->fd, d->agent->view->super->uuid, pmio_pool_dir(d->agent->pool));
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

static void find_other_name(struct drain *d)
{
	char name[PATH_MAX];
	int fd;

	if (!d->opened || pmio_pfs_name(d->opened->fd, name) == 0 ||
	    pmio_pfs_find(d->path, &d->id, O_RDONLY, &fd, name) < 0)
		return;
	close(fd);
	d->moved = strdup(name);
}

static void run_opening(struct job *job)
{
	struct drain *d = (struct drain *)job;

	/* where it has failed it is opened anew, if it is found; else it has to do with what it has */
	if (d->nr_tries)
		usleep(OPEN_WAIT_US);
	if (d->look) {
		pfs_look_run(d->look);
		d->open_rc = d->look->rc;
		d->opened_st = d->look->st;
		d->nameless = d->look->nameless;
	}
	if (d->opened && (!d->look || d->open_rc < 0)) {
		d->open_rc = fstat(d->opened->fd, &d->opened_st) < 0 ? -errno : 0;
		d->nameless = d->open_rc == 0 && pmio_pfs_is_nameless(d->opened->fd, &d->opened_st);
	}
	if (d->open_rc == 0 && !d->nameless)
		find_other_name(d);
	if (d->marks && d->open_rc == 0 && !d->nameless)
		pmio_pfs_mark(d->look && d->look->pfs ? d->look->pfs->fd : d->opened->fd,
			      d->agent->view->super->uuid, pmio_pool_dir(d->agent->pool));
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return is_same_content(a, b) && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	       a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* the look and the only part; d->now is what the close has seen, until the part writes */
static void run_at_once(struct job *job)
{
	struct drain *d = ((struct part *)job)->drain;

	run_opening(&d->opening);
	d->differs = d->open_rc < 0 || d->nameless || d->moved || d->opened_st.st_dev != d->id.dev ||
		     !is_same(&d->opened_st, &d->now);
	if (!d->differs)
		run_part(job);
}

/* what is written next may make it longer, and must not bring back what was beyond */
static void run_cut_off(struct job *job)
{
	struct drain *d = (struct drain *)job;
	struct stat st;

	if (fstat(d->pfs->fd, &st) < 0 ||
	    ((uint64_t)st.st_size > d->cut_to && ftruncate(d->pfs->fd, (off_t)d->cut_to) < 0) ||
	    fstat(d->pfs->fd, &d->now) < 0)
		d->open_rc = -errno;
}

/* ---- in the loop: the end --------------------------------------------------------- */

static void free_drain(struct agent *a, struct drain *d)
{
	if (!d)
		return;
	pfs_put(a, &d->pfs);
	pfs_put(a, &d->opened);
	pfs_look_delete(a, &d->look);
	pthread_mutex_destroy(&d->lock);
	pthread_cond_destroy(&d->quiet);
	for (unsigned i = 0; d->parts && i < d->nr_parts; i++)
		verify_delete(&d->parts[i].verify);
	free(d->parts);
	free(d->taken);
	free(d->moved);
	free(d->path);
	free(d);
}

int drain_compare(const struct file *f, const struct stat *st, uint64_t *steps)
{
	struct drain *d = f->drain;
	uint64_t seen_in = *steps;
	int rc = -EAGAIN;

	if (!d || !d->pfs || !d->watches)
		return 0;
	/* a worker has it while the file system answers: that may take long */
	if (pthread_mutex_trylock(&d->lock) != 0)
		return rc;
	*steps = d->steps + 1;
	if (d->nr_writing == 0 && is_same_content(st, &d->now))
		rc = 0;
	else if (d->nr_writing == 0 && seen_in == *steps)
		rc = PMIO_ECHANGED;
	pthread_mutex_unlock(&d->lock);
	return rc;
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
	return rc == 0 || rc == -ENOSPC || rc == -EDQUOT || rc == -EFBIG || rc == PMIO_EGONE;
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
		f->error = rc > PMIO_ENOTPOOL || rc == PMIO_ECHANGED ? -rc : EIO;
		f->reopen = !is_orderly(rc) && rc != PMIO_ECHANGED;
		if (f->nr_handles == 0)
			f->state = PMIO_FILE_FAILED;
	}
	if (rc == 0 && d && d->unmarks && is_whole(d))
		f->marked = false;
	else if (rc < 0 && d && d->pfs && d->may_lose && !f->shared)
		f->marked = true;
	f->changed |= rc == PMIO_ECHANGED;
	if (rc == 0)
		f->cut_pending = f->force = f->was_held = f->changed = false;
	/* what others have appended is seen by those who open it next, anew */
	if (rc == 0 && known && is_whole(d) && f->nr_handles == 0 && !f->shared &&
	    (uint64_t)d->st.st_size > pmio_pool_file_size(a->pool, f->slot))
		f->foreign = true;
	if (known && !f->cut_pending)
		files_set_seen(f, &d->st);
	/* where nothing was begun, nothing has changed */
	if (rc == PMIO_ECHANGED)
		f->busy_on_media = false; /* what is recorded is what it should be, and is not */
	else if (d && d->pfs)
		f->busy_on_media = f->shared || !known || f->nr_pfs_chunks != 0 || f->cut_pending;
	rc_record = files_record(a, f);
	if (rc_record < 0)
		f->busy_on_media = true;
	return rc < 0 ? rc : rc_record;
}

/* d: NULL if there was no memory for it */
static void ended(struct agent *a, struct file *f, struct drain *d, int rc)
{
	bool whole = rc < 0 || is_whole(d), lost;

	if (rc == 0 && whole && f->nr_handles == 0)
		files_drop_pfs_chunks(f); /* they are durable, and the next open may find frames */
	lost = rc == PMIO_EGONE;
	if (!lost)
		rc = record(a, f, d, rc);
	f->lost |= lost;
	if (rc == PMIO_ECHANGED)
		files_say_changed(f);
	else if (rc < 0 && !lost)
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
		/* without a name its data are given up, as of any file; only what is held is kept */
		parked_answer(a, &f->drain_waiters, lost && !f->hold && !f->was_held ? 0 : rc);
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

/* the catalog says that we change the PFS file before we do */
static int prepare(struct agent *a, struct drain *d)
{
	struct file *f = d->file;
	int rc;

	f->busy_on_media = true;
	rc = files_record(a, f);
	if (rc == 0)
		rc = list_chunks(d);
	if (rc == 0)
		rc = make_parts(a, d);
	if (rc < 0)
		return rc;
	d->pfs = pfs_get(f->pfs);
	d->watches = !f->shared && !(f->nr_handles && f->nr_pfs_chunks);
	d->may_lose = f->nr_handles == 0;
	d->unmarks = f->nr_handles == 0 && f->marked;
	d->now = d->opened_st;
	d->may_extend = f->shared ? f->home : f->nr_handles == 0 || f->nr_pfs_chunks == 0;
	d->shared = f->shared;
	return 0;
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
	rc = prepare(a, d);
	if (rc < 0) {
		ended(a, f, d, rc);
		return;
	}
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

/* what the worker has seen: may it begin? */
static int judge(struct agent *a, struct drain *d)
{
	struct file *f = d->file;
	const struct stat *st = &d->opened_st;

	if (d->open_rc < 0)
		return d->nameless && f->nr_handles == 0 ? PMIO_EGONE : d->open_rc;
	if (st->st_dev != f->key.dev && !files_adopt_device(a, f, st))
		return PMIO_ECHANGED;
	if (d->look && d->look->pfs) {
		files_adopt_name(a, f, d->look->path);
		files_adopt_pfs(a, f, &d->look->pfs);
	}
	if (d->moved)
		files_adopt_name(a, f, d->moved);
	if (d->nameless && f->nr_handles == 0)
		return PMIO_EGONE;
	if ((f->changed || files_was_changed(f, st)) && !f->force)
		return PMIO_ECHANGED;
	files_notice_change(f, st);
	if (f->nr_handles == 0 && !f->seen_closed && !f->busy_on_media)
		files_set_seen(f, st);
	f->seen_closed = f->nr_handles == 0;
	return can_write(f) ? 0 : -EACCES;
}

static void opened(struct agent *a, struct job *job)
{
	struct drain *d = (struct drain *)job;
	struct file *f = d->file;
	int rc = judge(a, d);

	/* others have them all just now: a little later some are free again */
	if ((rc == -EMFILE || rc == -ENFILE) && d->nr_tries++ < OPEN_TRIES) {
		pfs_shrink(a);
		workers_submit(a->workers, &d->opening);
		return;
	}
	f->reopen = false;
	if (rc == -ENOENT)
		pmio_err("agent: drain %s: it is not there any more, nor found in the folders about: if it has another "
			 "name, `pmio drain` with that name goes on; else `pmio forget` gives up what the pool holds",
			 f->path);
	if (rc == 0)
		begin(a, d);
	else
		ended(a, f, d, rc);
}

/* ---- in the loop: a small file, in one job ------------------------------------------- */

/*
 * Its client has looked at it when it closed it, and there is nothing to decide if it still is like that.
 * Each change of threads takes longer than to write a few blocks.
 *
 * Not where it would wait for its turn: from prepare() on a crash makes the next agent take a
 * change by somebody else for our own.
 */
static bool goes_at_once(const struct agent *a, const struct drain *d)
{
	const struct file *f = d->file;

	return !d->look && !d->marks && !d->early && f->nr_handles == 0 && f->seen_closed && !f->shared &&
	       !f->busy_on_media && !f->cut_pending && !f->changed && !f->foreign &&
	       (!f->verify || f->pfs->reads) && HASH_COUNT(f->chunks) < DRAIN_PART_MIN &&
	       a->nr_draining <= a->config->drain_threads;
}

/* it is not as it was: as if nothing had been prepared, and nothing was written */
static void judge_first(struct agent *a, struct drain *d)
{
	struct file *f = d->file;
	int rc;

	f->busy_on_media = false;
	rc = files_record(a, f);
	pfs_put(a, &d->pfs);
	verify_delete(&d->parts[0].verify);
	free(d->parts);
	free(d->taken);
	d->parts = NULL;
	d->taken = NULL;
	d->nr_parts = 0;
	d->nr_taken = 0;
	d->differs = false;
	if (rc < 0)
		ended(a, f, d, rc);
	else
		opened(a, &d->opening);
}

static void at_once_done(struct agent *a, struct job *job)
{
	struct drain *d = ((struct part *)job)->drain;

	if (d->differs)
		judge_first(a, d);
	else
		part_done(a, job);
}

static int start_at_once(struct agent *a, struct drain *d)
{
	int rc;

	d->opened_st = d->file->seen;
	d->opened_st.st_size = (off_t)d->file->pfs_size;
	rc = prepare(a, d);
	if (rc < 0)
		return rc;
	d->parts[0].job.goes_on = false;
	d->parts[0].job.run = run_at_once;
	d->parts[0].job.done = at_once_done;
	workers_submit(a->workers, &d->parts[0].job);
	return 0;
}

static int start(struct agent *a, struct drain *d)
{
	struct file *f = d->file;

	d->path = strdup(f->path);
	if (!d->path)
		return -ENOMEM;
	d->id = files_id(f);
	d->marks = f->nr_handles == 0 && f->async && !f->shared && !f->marked;
	f->marked |= d->marks;
	if (can_write(f))
		d->opened = pfs_get(f->pfs);
	if (!d->opened || f->reopen) {
		d->look = pfs_look_new(f);
		if (!d->look)
			return -ENOMEM;
	}
	if (goes_at_once(a, d))
		return start_at_once(a, d);
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
		pthread_mutex_init(&f->drain->lock, NULL);
		pthread_cond_init(&f->drain->quiet, NULL);
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
	if ((f->discard || f->gone) && f->nr_handles == 0) {
		parked_answer(a, &f->next_drain_waiters, f->discard ? -ENOENT : PMIO_EGONE);
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

void drain_end(struct file *f)
{
	if (f->drain)
		atomic_store(&f->drain->stop, true);
}

void drain_stop_all(struct agent *a)
{
	for (struct file *f = a->files; f; f = f->hh.next)
		drain_end(f);
}

/* ---- filling ---------------------------------------------------------------------- */

struct fill {
	struct job job; /* first */
	struct agent *agent;
	struct file *file;
	struct chunk *chunk;
	uint64_t number, frame, pfs_size;
	struct pmio_mask todo;
	struct pfs_fd *pfs; /* held; NULL: zeros only, or look */
	struct pfs_look *look; /* owned; or NULL */
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
	if (!f->pfs)
		fl->look = pfs_look_new(f);
	if (f->pfs ? !f->pfs->reads : !fl->look) {
		pmio_err("agent: %s: no permission to read, and a block is written only in part", f->path);
		pmio_frame_fill_end(a->view, fl->frame, &fl->todo, false);
		free(fl);
		return -EACCES;
	}
	ch->filling = true;
	fl->pfs = f->pfs ? pfs_get(f->pfs) : NULL;
	fl->job.kind = JOB_BULK;
	fl->job.dev = f->key.dev;
	files_job_begin(a, f);
	workers_submit(a->workers, &fl->job);
	return 1;
}

/*
 * Of a file that has nothing yet only the first blocks: it may be a small one, and a chunk of zeros
 * costs more than all else that is done for that.  A larger one asks for the rest once.
 */
void fill_zeros(struct agent *a, struct file *f, struct chunk *ch)
{
	struct pmio_mask all, busy;

	if (ch->frame < 0 || ch->filling || ch->number << a->view->chunk_shift < f->pfs_size)
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
