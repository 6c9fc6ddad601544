/* drain_work.c -- what the workers of a drain do: take chunks, write, and check whether another process changes the file */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "agent/drain_impl.h"
#include "agent/pfs_fd.h"
#include "agent/pfs_lookup.h"
#include "agent/state.h"
#include "agent/throttle.h"
#include "agent/verify.h"
#include "core/backoff.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/log.h"

#define DRAIN_WRITE_MAX (32u << 20) /* bytes of one pwritev, and of the chunks taken at once */
#define DRAIN_IOVS 256		    /* pieces of one pwritev; IOV_MAX is 1024 */
#define COMPARE_NS 200000000 /* the longest time for which steps of several workers may overlap before a pause for a check */
#define OPEN_WAIT_US 20000

struct write_run {
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

static void written(struct drain *d, const struct write_run *b)
{
	uint64_t end = atomic_load(&d->end);

	atomic_fetch_add(&d->bytes, b->len);
	while (end < b->off + b->len && !atomic_compare_exchange_weak(&d->end, &end, b->off + b->len))
		;
}

static int write_all(const struct drain_part *p, const struct iovec *iov, int nr, uint64_t off)
{
	int fd = p->drain->pfs->fd;

	return p->verify ? verify_write(p->verify, fd, iov, nr, off) : write_plain(fd, iov, nr, off);
}

/*
 * Part of the batch cannot be read from the pool's memory.  The rest is written; the lost
 * bytes are logged.  Returns -EIO, or the error of the file system.
 */
static int write_readable(const struct drain_part *p, const struct write_run *b)
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

bool drain_is_same_content(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* d->lock held, and no step is under way */
static int compare(struct drain *d)
{
	struct stat st;

	d->compared_ns = pmio_now_ns();
	if (fstat(d->pfs->fd, &st) < 0)
		return -errno;
	if (d->may_lose && st.st_nlink == 0)
		return PMIO_EGONE;
	return drain_is_same_content(&st, &d->now) ? 0 : PMIO_ECHANGED;
}

/* called before a write: is the file still as the drain has left it? */
static int step_begin(struct drain *d)
{
	int rc = 0;

	if (!d->watches)
		return 0;
	pthread_mutex_lock(&d->lock);
	while (d->nr_writing && pmio_now_ns() - d->compared_ns > COMPARE_NS)
		pthread_cond_wait(&d->idle_cond, &d->lock);
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
			/* another process has cut off the drained data; or they were not stored at all */
			rc = drain_is_same_content(&now, &d->now) ? -EIO : PMIO_ECHANGED;
		else
			d->now = now;
		pthread_cond_broadcast(&d->idle_cond);
	}
	pthread_mutex_unlock(&d->lock);
	return rc;
}

static int flush_batch(struct drain_part *p, struct write_run *b)
{
	int rc = 0;

	if (b->nr && (rc = step_begin(p->drain)) == 0) {
		rc = write_all(p, b->iov, b->nr, b->off);
		if (rc == -EFAULT)
			rc = write_readable(p, b);
		if (rc == 0)
			written(p->drain, b);
		rc = step_end(p->drain, rc);
		throttle_charge(&p->drain->agent->throttle, b->len);
		job_alive(&p->job);
	}
	b->nr = 0;
	b->len = 0;
	return rc;
}

/* add a run of blocks; it may be longer than one write should be */
static int add_run(struct drain_part *p, struct write_run *b, uint64_t off, uint8_t *from, size_t len)
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

/* where the chunk's bytes are; takes its dirty blocks */
static uint8_t *take_blocks(const struct drain *d, struct taken *t)
{
	struct pmio_view *v = d->agent->view;
	struct pmio_packed packed;

	if (t->frame != PMIO_NO_FRAME) {
		pmio_frame_drain_begin(v, t->frame, &t->mask);
		return pmio_view_frame(v, t->frame);
	}
	/* stable: a packed file is not open in any program */
	if (!pmio_pool_packed(d->agent->pool, d->slot, &packed))
		return NULL;
	t->mask.w[0] = packed.dirty;
	return pmio_pool_packed_data(d->agent->pool, &packed);
}

static int drain_chunk(struct drain_part *p, struct write_run *b, struct taken *t)
{
	struct pmio_view *v = p->drain->agent->view;
	uint8_t *data = take_blocks(p->drain, t);
	unsigned run, len;
	int rc = 0;

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
		/* otherwise the write takes a page fault for each page that this process has not touched yet */
		pmio_pm_populate(v->pm, data + in_chunk, bytes);
		rc = add_run(p, b, off, data + in_chunk, bytes);
	}
	return rc;
}

static void fail(struct drain *d, int rc)
{
	int none = 0;

	atomic_compare_exchange_strong(&d->error, &none, rc);
}

bool drain_is_whole(const struct drain *d)
{
	return !d->background && atomic_load(&d->next) >= d->nr_taken;
}

static int set_size(const struct drain *d, uint64_t size)
{
	struct stat st;

	if (fstat(d->pfs->fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size < atomic_load(&d->end))
		return -EIO; /* the file system has lost bytes that it accepted */
	if ((uint64_t)st.st_size >= size || !d->may_extend)
		return 0; /* longer than expected: other programs have appended to it, and these data must not be cut off */
	/* not by ftruncate(): another agent may have made it longer since */
	if (d->shared && fallocate(d->pfs->fd, 0, (off_t)size - 1, 1) == 0)
		return 0;
	return ftruncate(d->pfs->fd, (off_t)size) < 0 ? -errno : 0;
}

/*
 * fsync(2), not fdatasync(2): the times go into the catalog, and a file that has other
 * times after a power cut counts as changed.
 *
 * Some file systems report only at the close of a descriptor that they could not store data;
 * the close of a duplicate makes them report it while the drain can still fail.
 */
static int flush(const struct drain *d)
{
	int copy, fd = d->pfs->fd, rc;

	if (fsync(fd) < 0)
		return -errno;
	rc = d->is_new ? pmio_pfs_keep(fd, d->path) : 0;
	if (rc < 0)
		return rc;
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

/* called by the worker that ends last */
static void finish(struct drain *d, struct job *job)
{
	uint64_t size = pmio_pm_load64(&d->agent->view->slots[d->slot].size);
	int rc = atomic_load(&d->error);

	if (rc == 0)
		rc = step_begin(d);
	if (rc == 0) {
		if (drain_is_whole(d))
			rc = set_size(d, size);
		rc = step_end(d, rc);
	}
	if (rc == 0 && !d->later)
		rc = flush(d);
	if (rc == 0)
		rc = verify(d, job);
	if (rc == 0 && d->watches)
		rc = compare(d);
	if (rc == 0 && d->unmarks && drain_is_whole(d))
		pmio_pfs_unmark(d->pfs->fd, d->agent->view->super->uuid);
	if (rc < 0)
		fail(d, rc);
	if (rc < 0 && d->may_lose && !d->shared) /* leave a dirty mark for other pools */
		pmio_pfs_mark(d->pfs->fd, d->agent->view->super->uuid, pmio_pool_dir(d->agent->pool));
	d->have_st = fstat(d->pfs->fd, &d->st) == 0;
	if (rc == 0 && !d->have_st)
		fail(d, -errno);
}

/* chunks to take at a time */
static size_t chunks_at_once(const struct drain *d)
{
	size_t nr = throttle_bytes(&d->agent->throttle, DRAIN_WRITE_MAX) >> d->agent->view->chunk_shift;

	return nr ? nr : 1;
}

void drain_run_part(struct job *job)
{
	struct drain_part *p = (struct drain_part *)job;
	struct drain *d = p->drain;
	struct write_run b = { .nr = 0 };
	size_t i, end, nr;
	int rc = 0;

	while (rc == 0 && !atomic_load(&d->error)) {
		throttle_wait(&d->agent->throttle, job, &d->stop);
		if (atomic_load(&d->stop))
			break;
		nr = chunks_at_once(d);
		i = atomic_fetch_add(&d->next, nr);
		if (i >= d->nr_taken)
			break;
		end = d->nr_taken - i < nr ? d->nr_taken : i + nr;
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

void drain_run_opening(struct job *job)
{
	struct drain *d = (struct drain *)job;

	/* after a failure the file is opened again, if it is found; otherwise the open descriptor is used */
	if (d->nr_tries)
		pmio_sleep_us(OPEN_WAIT_US);
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
	return drain_is_same_content(a, b) && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	       a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

void drain_run_at_once(struct job *job)
{
	struct drain *d = ((struct drain_part *)job)->drain;

	drain_run_opening(&d->opening);
	d->differs = d->open_rc < 0 || d->nameless || d->moved || d->opened_st.st_dev != d->id.dev ||
		     !is_same(&d->opened_st, &d->now);
	if (!d->differs)
		drain_run_part(job);
}

void drain_run_cut_off(struct job *job)
{
	struct drain *d = (struct drain *)job;
	struct stat st;

	if (fstat(d->pfs->fd, &st) < 0 ||
	    ((uint64_t)st.st_size > d->cut_to && ftruncate(d->pfs->fd, (off_t)d->cut_to) < 0) ||
	    fstat(d->pfs->fd, &d->now) < 0)
		d->open_rc = -errno;
}
