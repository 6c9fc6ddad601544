/*
 * read.c -- reading: copies from frames into the caller's memory
 *
 * For small pieces everything but the copy costs time: as long as pieces lie in the chunk of the
 * previous one, in blocks that are known to be valid, nothing else is checked.
 */
#include <errno.h>
#include <string.h>

#include "client/io.h"
#include "core/error.h"
#include "pm/small.h"

#define FILL_UNIT 16	    /* blocks: the minimum that a random read brings in */
#define POPULATE_PIECES 64 /* pieces of a request that is likely to be a part of a larger one */

/* the chunk of the last piece: the next one is likely to be there as well */
struct reader {
	struct pmio_file *f;
	struct pmio_view *v;
	uint64_t chunk;
	int64_t frame;
	struct pmio_mask valid; /* blocks known to be valid */
	bool here;		/* the fields above are set */
	bool at_once;		/* return -EAGAIN instead of waiting */
	bool populates;		/* the request is long enough to map pages in advance */
	bool armed;		/* the guard */
	uint64_t next;		/* where the last piece ended: one that begins here is read in sequence */
	struct pmio_pm_guard *guard;
};

static void arm(struct reader *r, bool armed)
{
	if (r->armed != armed)
		pmio_pm_guard_arm(r->guard, armed);
	r->armed = armed;
}

static int enter_chunk(struct reader *r, uint64_t chunk, uint64_t needed)
{
	struct pmio_mask dirty, draining;
	int rc;

	if (r->here && r->chunk == chunk)
		return 0;
	r->here = false;
	rc = r->at_once ? io_get_frame_at_once(r->f, chunk, &r->frame, NULL)
			  : io_get_frame(r->f, chunk, needed, 0, &r->frame, NULL);
	if (rc < 0)
		return rc;
	r->chunk = chunk;
	r->here = true;
	if (r->frame < 0)
		return 0;
	pmio_frame_get(r->v, (uint64_t)r->frame, &r->valid, &dirty, &draining);
	if (r->populates)
		client_populate(r->f, chunk, r->frame, chunk + needed - 1);
	return 0;
}

/* len: bytes to be read there */
static int make_valid(struct reader *r, size_t len, unsigned first, unsigned last, bool sequential)
{
	struct pmio_mask m;
	int rc = 0;

	if (pmio_mask_has_range(&r->valid, first, last))
		return 0;
	pmio_mask_range(&m, first, last);
	if (!pmio_frame_valid(r->v, (uint64_t)r->frame, &m)) {
		struct pmio_mask more = m;

		if (r->at_once)
			return -EAGAIN;
		pmio_mask_set_range(&more, first, sequential ? PMIO_CHUNK_BLOCKS - 1 : last | (FILL_UNIT - 1));
		io_count(r->f, missed, len);
		rc = io_fill(r->f, r->chunk, r->frame, &more, &m);
	}
	if (rc == 0)
		pmio_mask_set_range(&r->valid, first, last);
	return rc;
}

/* the part of a read that lies in one chunk */
static int read_chunk(struct reader *r, uint8_t *buf, uint64_t off, size_t len, uint64_t needed,
		      bool sequential)
{
	uint64_t start = off & (r->v->chunk_size - 1);
	int rc = enter_chunk(r, off >> r->v->chunk_shift, needed);

	if (rc < 0)
		return rc;
	if (r->frame == PMIO_CLAIM_HOLE) {
		memset(buf, 0, len);
		return 0;
	}
	if (r->frame == PMIO_CLAIM_PFS) {
		io_count(r->f, pfs_read, len);
		return client_pfs_read(r->f, buf, len, off);
	}
	rc = make_valid(r, len, (unsigned)(start >> r->v->block_shift),
			(unsigned)((start + len - 1) >> r->v->block_shift), sequential);
	if (rc < 0)
		return rc;
	arm(r, true);
	pmio_pm_load(r->v->pm, buf, pmio_view_frame(r->v, (uint64_t)r->frame) + start, len);
	arm(r, false);
	return 0;
}

static int read_piece(struct reader *r, uint8_t *buf, uint64_t off, uint64_t end)
{
	bool sequential = off == r->next;
	int rc = 0;

	while (off < end && rc == 0) {
		uint64_t len = r->v->chunk_size - (off & (r->v->chunk_size - 1));
		uint64_t needed = ((end - 1) >> r->v->chunk_shift) - (off >> r->v->chunk_shift) + 1;

		if (len > end - off)
			len = end - off;
		rc = read_chunk(r, buf, off, (size_t)len, needed, sequential);
		buf += len;
		off += len;
	}
	return rc;
}

/*
 * read pieces as long as they are in the chunk of the last one, and within size; returns how many; *sum is increased by
 * their bytes
 */
static size_t read_near(struct reader *r, const struct pmio_piece *pieces, size_t nr, uint64_t size, ssize_t *sum)
{
	uint64_t base, room;
	const uint8_t *frame;
	size_t i;

	if (!r->here || r->frame < 0)
		return 0;
	base = r->chunk << r->v->chunk_shift;
	room = size < base ? 0 : size - base < r->v->chunk_size ? size - base : r->v->chunk_size;
	frame = pmio_view_frame(r->v, (uint64_t)r->frame);
	for (i = 0; i < nr; i++) {
		uint64_t start = (uint64_t)pieces[i].off - base; /* very large where it is before the chunk */
		size_t len = pieces[i].len;

		if (start >= room || len > room - start || !len)
			break;
		if (!pmio_mask_has_range(&r->valid, (unsigned)(start >> r->v->block_shift),
					 (unsigned)((start + len - 1) >> r->v->block_shift)))
			break;
		arm(r, true);
		pmio_pm_load(r->v->pm, pieces[i].buf, frame + start, len);
		*sum += (ssize_t)len;
	}
	arm(r, false);
	if (i > 0)
		r->next = (uint64_t)pieces[i - 1].off + pieces[i - 1].len;
	return i;
}

struct read_request {
	struct pmio_file *f;
	const struct pmio_piece *pieces;
	size_t nr;
	size_t bytes;	/* of all pieces */
	uint64_t size; /* the file is known to have at least this size */
	bool at_once;
};

/* returns bytes read or an error */
static ssize_t read_pieces(struct pmio_pm_guard *guard, void *arg)
{
	const struct read_request *req = arg;
	const struct pmio_piece *pieces = req->pieces;
	uint64_t size = pmio_pm_load64(&client_slot(req->f)->size);
	struct reader r = { .f = req->f, .v = req->f->pm->view, .guard = guard, .at_once = req->at_once,
			    .populates = !req->at_once && (req->bytes >= POPULATE_MIN || req->nr >= POPULATE_PIECES),
			    .next = atomic_load_explicit(&req->f->next_read, memory_order_relaxed) };
	ssize_t sum = 0;
	int rc = 0;

	if (size < req->size)
		size = req->size;
	for (size_t i = 0; i < req->nr && rc == 0;) {
		uint64_t off, end;

		i += read_near(&r, &pieces[i], req->nr - i, size, &sum);
		if (i == req->nr)
			break;
		off = (uint64_t)pieces[i].off;
		end = off + pieces[i].len;
		if (end > size)
			end = size;
		if (off < end) {
			rc = read_piece(&r, pieces[i].buf, off, end);
			r.next = end;
			sum += (ssize_t)(end - off);
		}
		if (end < off + pieces[i].len)
			break;
		i++;
	}
	atomic_store_explicit(&req->f->next_read, r.next, memory_order_relaxed);
	return rc < 0 ? rc : sum;
}

ssize_t client_readx(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr, uint64_t size)
{
	ssize_t n = io_check_pieces(pieces, nr);
	struct read_request req = { f, pieces, nr, (size_t)n, size, false };
	bool done = false;
	uint64_t epoch;

	if (!(f->flags & PMIO_OPEN_READ))
		return -EBADF;
	if (n <= 0)
		return n;
	if (f->ops)
		return f->ops->readx(f, pieces, nr, size);
	for (int tries = 0; tries < REDO_MAX && !done; tries++) {
		n = client_begin_try(f, &epoch);
		if (n < 0)
			break;
		n = pmio_pm_guarded(f->pm->view->pm, read_pieces, &req);
		done = client_is_agent(f, epoch);
	}
	if (n >= 0 && !done)
		return io_never_done(f, "read");
	if (n < 0)
		pmio_err("read %s: %s", f->path, pmio_strerror((int)n));
	else
		io_count(f, read, (uint64_t)n);
	return n;
}

ssize_t client_readx_at_once(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr, uint64_t size)
{
	ssize_t n = io_check_pieces(pieces, nr);
	struct read_request req = { f, pieces, nr, (size_t)n, size, true };
	uint64_t epoch;

	if (n <= 0 || !io_is_ready(f, PMIO_OPEN_READ, &epoch))
		return -EAGAIN;
	n = pmio_pm_guarded(f->pm->view->pm, read_pieces, &req);
	if (n < 0 || !client_is_agent(f, epoch))
		return -EAGAIN;
	io_count(f, read, (uint64_t)n);
	return n;
}

ssize_t pmio_readx(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr)
{
	return client_readx(f, pieces, nr, 0);
}

ssize_t pmio_pread(struct pmio_file *f, void *buf, size_t len, off_t off)
{
	struct pmio_piece p = { off, buf, len };

	return pmio_readx(f, &p, 1);
}
