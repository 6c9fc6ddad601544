/*
 * ad_pmem_io.c -- reading and writing through views and datatypes
 *
 * One engine for all calls: two cursors, one over the caller's memory (buffer x
 * datatype), one over the file (view), walk side by side and yield pieces (file
 * offset, address, length), which libpmio copies in batches.  No data sieving,
 * no buffer of the request's size, no exchange between ranks: each copies its
 * own pieces, in collective calls too.
 */
#include "ad_pmem.h"

#include <errno.h>
#include <stdio.h>

#include "core/error.h"

#define BATCH 256 /* pieces handed to libpmio at once */

/* ---- cursors --------------------------------------------------------------------------- */

/* elements of a type, one every extent bytes, from an origin; runs of bytes come out */
struct cursor {
	const struct flat *fl;	/* NULL: no gaps, ever */
	int64_t base;		/* origin of the current element */
	size_t piece;
	uint64_t in_piece;	/* bytes of the piece that are done */
	int64_t left;		/* elements left; -1: no end (a view) */
};

/* the run that comes next: its place; returns its length, 0 at the end */
static uint64_t cursor_run(const struct cursor *c, int64_t *place)
{
	const struct flat_piece *p;

	if (!c->fl) {
		*place = c->base;
		return c->left < 0 ? INT64_MAX - (uint64_t)c->base : (uint64_t)c->left;
	}
	if (c->left == 0)
		return 0;
	p = &c->fl->pieces[c->piece];
	*place = c->base + p->off + (int64_t)c->in_piece;
	return p->len - c->in_piece;
}

/* n bytes of the run are done; n is not more than it has */
static void cursor_advance(struct cursor *c, uint64_t n)
{
	if (!c->fl) {
		c->base += (int64_t)n;
		if (c->left > 0)
			c->left -= (int64_t)n;
		return;
	}
	c->in_piece += n;
	if (c->in_piece < c->fl->pieces[c->piece].len)
		return;
	c->in_piece = 0;
	if (++c->piece < c->fl->nr)
		return;
	c->piece = 0;
	c->base += c->fl->extent;
	if (c->left > 0)
		c->left--;
}

/* stand at byte pos of the data of elements that start at origin; 0, or -EFBIG */
static int cursor_seek(struct cursor *c, int64_t origin, uint64_t pos)
{
	uint64_t in_element;
	size_t lo = 0, hi;
	int64_t skip = (int64_t)pos;

	if (pos > INT64_MAX)
		return -EFBIG;
	if (c->fl && __builtin_mul_overflow((int64_t)(pos / c->fl->size), c->fl->extent, &skip))
		return -EFBIG;
	if (__builtin_add_overflow(origin, skip, &c->base))
		return -EFBIG;
	if (!c->fl)
		return 0;
	in_element = pos % c->fl->size;
	for (hi = c->fl->nr; hi - lo > 1;) {
		size_t mid = lo + (hi - lo) / 2;

		if (c->fl->pieces[mid].before <= in_element)
			lo = mid;
		else
			hi = mid;
	}
	c->piece = lo;
	c->in_piece = in_element - c->fl->pieces[lo].before;
	return 0;
}

/* ---- the individual file pointer ----------------------------------------------------------- */

/*
 * ROMIO keeps it as an absolute offset in bytes.  Which byte of the view's data
 * is that?  The first piece, tile by tile, that ends behind it.
 */
static uint64_t position_of(const struct adio_file *fd, const struct flat *fl)
{
	int64_t rel = fd->fp_ind - fd->disp, tile;

	if (!fl)
		return (uint64_t)rel;
	if (fl->extent <= 0)
		tile = 0;
	else {
		const struct flat_piece *last = &fl->pieces[fl->nr - 1];
		int64_t span = last->off + (int64_t)last->len;

		tile = rel < span ? 0 : (rel - span) / fl->extent;
	}
	for (;; tile++) {
		for (size_t i = 0; i < fl->nr; i++) {
			const struct flat_piece *p = &fl->pieces[i];
			int64_t start = tile * fl->extent + p->off;

			if (rel < start + (int64_t)p->len) {
				uint64_t skip = rel > start ? (uint64_t)(rel - start) : 0;

				return (uint64_t)tile * fl->size + p->before + skip;
			}
		}
		if (fl->extent <= 0)
			return fl->size;
	}
}

/* UINT64_MAX: beyond what there is */
static uint64_t start_position(struct adio_file *fd, const struct flat *fl, int fp_kind,
			       adio_offset offset)
{
	struct ad_pmem *ad = fd->fs_ptr;
	uint64_t pos;

	if (fp_kind == ADIO_EXPLICIT)
		return __builtin_mul_overflow((uint64_t)offset, (uint64_t)fd->etype_size, &pos) ? UINT64_MAX
												: pos;
	if (ad->pos_known && ad->fp == fd->fp_ind)
		return ad->pos;
	return position_of(fd, fl);
}

static void move_pointer(struct adio_file *fd, const struct flat *fl, uint64_t pos)
{
	struct ad_pmem *ad = fd->fs_ptr;
	struct cursor c = { .fl = fl, .left = -1 };
	int64_t place;

	if (cursor_seek(&c, fd->disp, pos) < 0)
		return; /* at the very end of what offsets can say: nothing can follow */
	cursor_run(&c, &place);
	fd->fp_ind = place;
	ad->fp = place;
	ad->pos = pos;
	ad->pos_known = true;
}

/*
 * ROMIO has set the pointer to the first byte of a new view as it takes the file
 * type apart, which is wrong for some types whose lower bound is not 0.
 */
void ad_pmem_view_changed(struct adio_file *fd)
{
	const struct flat *fl = flat_get(fd->filetype);

	if (fl && fl->size)
		move_pointer(fd, fl->dense ? NULL : fl, 0);
}

/* ---- the engine ------------------------------------------------------------------------------- */

struct batch {
	struct pmio_file *file;
	bool write;
	struct pmio_piece pieces[BATCH];
	size_t nr;
	size_t bytes;	/* in pieces */
	uint64_t done;	/* bytes transferred */
	bool at_end;	/* a read met the end of the file */
};

static int run_batch(struct batch *b)
{
	ssize_t n = b->write ? pmio_writex(b->file, b->pieces, b->nr)
			     : pmio_readx(b->file, b->pieces, b->nr);

	if (n < 0)
		return (int)n;
	b->done += (uint64_t)n;
	b->at_end = (size_t)n < b->bytes;
	b->nr = 0;
	b->bytes = 0;
	return 0;
}

static int transfer_pieces(struct batch *b, struct cursor *mem, struct cursor *file)
{
	int rc = 0;

	while (rc == 0 && !b->at_end) {
		int64_t address = 0, off = 0;
		uint64_t n = cursor_run(mem, &address), m;

		if (n == 0)
			break;
		m = cursor_run(file, &off);
		if (m == 0)
			return -EFBIG;
		if (n > m)
			n = m;
		b->pieces[b->nr].buf = (void *)(intptr_t)address;
		b->pieces[b->nr].off = off;
		b->pieces[b->nr++].len = n;
		b->bytes += n;
		cursor_advance(mem, n);
		cursor_advance(file, n);
		if (b->nr == BATCH)
			rc = run_batch(b);
	}
	if (rc == 0 && b->nr && !b->at_end)
		rc = run_batch(b);
	return rc;
}

/* a cursor over the caller's memory; 0, or -ENOMEM */
static int memory_cursor(struct cursor *c, const void *buf, int count, MPI_Datatype type)
{
	const struct flat *fl = flat_get(type);

	if (!fl)
		return -ENOMEM;
	c->base = (int64_t)(intptr_t)buf;
	c->piece = 0;
	c->in_piece = 0;
	c->fl = fl->dense ? NULL : fl;
	c->left = fl->dense ? count * (int64_t)fl->size : count;
	return 0;
}

/* contiguous memory and file: no cursors needed, and the offset counts bytes */
static int transfer(struct adio_file *fd, const void *buf, int count, MPI_Datatype type, int fp_kind,
		    adio_offset offset, bool write, bool offset_in_bytes, uint64_t *done)
{
	struct ad_pmem *ad = fd->fs_ptr;
	struct batch b = { .file = ad->file, .write = write };
	struct cursor mem, file = { .left = -1 };
	const struct flat *fl = flat_get(fd->filetype);
	uint64_t pos;
	int rc;

	*done = 0;
	if (!fl)
		return -ENOMEM;
	rc = memory_cursor(&mem, buf, count, type);
	if (rc < 0)
		return rc;
	if (fl->size == 0 || count == 0)
		return 0; /* a view without a byte */
	fl = fl->dense ? NULL : fl;
	file.fl = fl;
	if (offset_in_bytes && fp_kind == ADIO_EXPLICIT)
		pos = (uint64_t)(offset - fd->disp);
	else
		pos = start_position(fd, fl, fp_kind, offset);
	rc = cursor_seek(&file, fd->disp, pos);
	if (rc == 0 && ad->atomic)
		rc = client_lock(ad->file);
	if (rc == 0)
		rc = transfer_pieces(&b, &mem, &file);
	if (ad->atomic)
		client_unlock(ad->file);
	if (rc == 0 && fp_kind == ADIO_INDIVIDUAL)
		move_pointer(fd, fl, pos + b.done);
	*done = b.done;
	return rc;
}

static void set_status(MPI_Status *status, uint64_t bytes)
{
	if (status == MPI_STATUS_IGNORE)
		return;
	PMPI_Status_set_elements_x(status, MPI_BYTE, (MPI_Count)bytes);
	PMPI_Status_set_cancelled(status, 0);
}

static void blocking(struct adio_file *fd, const void *buf, int count, MPI_Datatype type, int fp_kind,
		     adio_offset offset, bool write, bool in_bytes, MPI_Status *status, int *error)
{
	uint64_t done;

	*error = ad_pmem_error(transfer(fd, buf, count, type, fp_kind, offset, write, in_bytes, &done));
	set_status(status, done);
}

/* loads and stores have nothing to wait for: the request is complete when we return it */
static void nonblocking(struct adio_file *fd, const void *buf, int count, MPI_Datatype type, int fp_kind,
			adio_offset offset, bool write, bool in_bytes, MPI_Request *request, int *error)
{
	uint64_t done;

	*error = ad_pmem_error(transfer(fd, buf, count, type, fp_kind, offset, write, in_bytes, &done));
	if (*error == MPI_SUCCESS)
		romio_load()->completed_request(&fd, (MPI_Offset)done, error, request);
	else
		*request = MPI_REQUEST_NULL;
}

void ad_pmem_read_contig(struct adio_file *fd, void *buf, int count, MPI_Datatype type, int fp_kind,
			 adio_offset offset, MPI_Status *status, int *error)
{
	blocking(fd, buf, count, type, fp_kind, offset, false, true, status, error);
}

void ad_pmem_write_contig(struct adio_file *fd, const void *buf, int count, MPI_Datatype type,
			  int fp_kind, adio_offset offset, MPI_Status *status, int *error)
{
	blocking(fd, buf, count, type, fp_kind, offset, true, true, status, error);
}

void ad_pmem_read_strided(struct adio_file *fd, void *buf, int count, MPI_Datatype type, int fp_kind,
			  adio_offset offset, MPI_Status *status, int *error)
{
	blocking(fd, buf, count, type, fp_kind, offset, false, false, status, error);
}

void ad_pmem_write_strided(struct adio_file *fd, const void *buf, int count, MPI_Datatype type,
			   int fp_kind, adio_offset offset, MPI_Status *status, int *error)
{
	blocking(fd, buf, count, type, fp_kind, offset, true, false, status, error);
}

void ad_pmem_iread_contig(struct adio_file *fd, void *buf, int count, MPI_Datatype type, int fp_kind,
			  adio_offset offset, MPI_Request *request, int *error)
{
	nonblocking(fd, buf, count, type, fp_kind, offset, false, true, request, error);
}

void ad_pmem_iwrite_contig(struct adio_file *fd, const void *buf, int count, MPI_Datatype type,
			   int fp_kind, adio_offset offset, MPI_Request *request, int *error)
{
	nonblocking(fd, buf, count, type, fp_kind, offset, true, true, request, error);
}

void ad_pmem_iread_strided(struct adio_file *fd, void *buf, int count, MPI_Datatype type, int fp_kind,
			   adio_offset offset, MPI_Request *request, int *error)
{
	nonblocking(fd, buf, count, type, fp_kind, offset, false, false, request, error);
}

void ad_pmem_iwrite_strided(struct adio_file *fd, const void *buf, int count, MPI_Datatype type,
			    int fp_kind, adio_offset offset, MPI_Request *request, int *error)
{
	nonblocking(fd, buf, count, type, fp_kind, offset, true, false, request, error);
}
