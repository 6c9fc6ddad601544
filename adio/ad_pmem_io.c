/*
 * ad_pmem_io.c -- reading and writing through views and datatypes
 *
 * One engine for all calls: two cursors, one over the caller's memory (buffer x
 * datatype), one over the file (view), walk side by side and yield pieces (file
 * offset, address, length), which libpmio copies in batches.  No data sieving,
 * no buffer of the request's size, and no exchange between ranks of a node: each
 * copies its own pieces, in collective calls too.
 */
#include "ad_pmem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"

#define BATCH 512	   /* pieces handed to libpmio at once */
#define BATCH_FAR 65536	   /* of a file of several nodes, to which each batch is a message at least */

/* ---- cursors --------------------------------------------------------------------------- */

/* elements of a type, one every extent bytes, from an origin; runs of bytes come out */
struct cursor {
	const struct flat *fl;	/* NULL: no gaps, ever */
	struct flat_at at;	/* what comes next */
	int64_t left;		/* elements left; -1: no end (a view) */
};

/* the run that comes next: its place; returns its length, 0 at the end */
static uint64_t cursor_run(const struct cursor *c, int64_t *place)
{
	const struct flat_piece *p;

	if (!c->fl) {
		*place = c->at.base;
		return c->left < 0 ? INT64_MAX - (uint64_t)c->at.base : (uint64_t)c->left;
	}
	if (c->left == 0)
		return 0;
	p = &c->fl->pieces[c->at.piece];
	*place = c->at.base + p->off + (int64_t)c->at.in_piece;
	return p->len - c->at.in_piece;
}

/* all bytes of memory that there are */
static uint64_t cursor_bytes(const struct cursor *c)
{
	return (uint64_t)c->left * (c->fl ? c->fl->size : 1);
}

/* n bytes of the run are done; n is not more than it has */
static void cursor_advance(struct cursor *c, uint64_t n)
{
	if (!c->fl) {
		c->at.base += (int64_t)n;
		if (c->left > 0)
			c->left -= (int64_t)n;
		return;
	}
	c->at.in_piece += n;
	if (c->at.in_piece < c->fl->pieces[c->at.piece].len)
		return;
	c->at.in_piece = 0;
	if (++c->at.piece < c->fl->nr)
		return;
	c->at.piece = 0;
	c->at.base += c->fl->extent;
	if (c->left > 0)
		c->left--;
}

/* ---- the engine ------------------------------------------------------------------------------- */

struct batch {
	struct pmio_file *file;
	bool write;
	struct pmio_piece near[BATCH];
	struct pmio_piece *pieces; /* near, or owned */
	size_t nr, room, most;
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

/* without memory it is sent in smaller batches */
static void make_room(struct batch *b)
{
	struct pmio_piece *more = malloc(b->most * sizeof(*more));

	if (more) {
		memcpy(more, b->near, b->nr * sizeof(*more));
		b->pieces = more;
		b->room = b->most;
	} else {
		b->most = b->room;
	}
}

/* pieces until the batch is full or the request ends, which *over tells */
static int add_pieces(struct batch *b, struct cursor *mem, struct cursor *file, bool *over)
{
	struct pmio_piece *p = b->pieces + b->nr, *full = b->pieces + b->room;
	struct cursor m = *mem, f = *file; /* nobody else has their address: they stay in registers */
	int64_t address = 0, off = 0;
	size_t bytes = 0;
	uint64_t n = 1, in_file = 1; /* 0: the end of that one; a batch may be full already */

	for (; p < full; p++) {
		n = cursor_run(&m, &address);
		if (n == 0)
			break;
		in_file = cursor_run(&f, &off);
		if (in_file == 0)
			break;
		if (n > in_file)
			n = in_file;
		p->buf = (void *)(intptr_t)address;
		p->off = off;
		p->len = n;
		bytes += n;
		cursor_advance(&m, n);
		cursor_advance(&f, n);
	}
	*mem = m;
	*file = f;
	b->nr = (size_t)(p - b->pieces);
	b->bytes += bytes;
	*over = n == 0;
	return in_file ? 0 : -EFBIG;
}

static int transfer_pieces(struct batch *b, struct cursor *mem, struct cursor *file)
{
	bool over = false;
	int rc = 0;

	while (rc == 0 && !over && !b->at_end) {
		rc = add_pieces(b, mem, file, &over);
		if (b->nr == b->room && b->room < b->most)
			make_room(b);
		else if (rc == 0 && b->nr)
			rc = run_batch(b);
	}
	return rc;
}

/*
 * A write of many pieces (as long as the view's are on average) says how far it
 * reaches; true: it did, and client_expect() is to be ended.
 */
static bool announce(const struct ad_pmem *ad, uint64_t pos, uint64_t bytes)
{
	const struct flat *fl = ad->view.fl;
	uint64_t pieces = fl ? bytes / (fl->size / fl->nr) : 1;
	int64_t first, last;

	if (pieces <= 1 || ad_pmem_view_place(&ad->view, pos, &first) < 0 ||
	    ad_pmem_view_place(&ad->view, pos + bytes - 1, &last) < 0 || first < 0)
		return false;
	client_expect(ad->file, (uint64_t)first, (uint64_t)last, pieces);
	return true;
}

/* a cursor over the caller's memory; 0, or -ENOMEM */
static int memory_cursor(struct cursor *c, const void *buf, int count, MPI_Datatype type)
{
	const struct flat *fl = flat_get(type);

	if (!fl)
		return -ENOMEM;
	c->at.base = (int64_t)(intptr_t)buf;
	c->at.piece = 0;
	c->at.in_piece = 0;
	c->fl = fl->dense ? NULL : fl;
	c->left = fl->dense ? count * (int64_t)fl->size : count;
	return 0;
}

/* offset: bytes or elementary types of the view's data; for ADIO_INDIVIDUAL the pointer counts */
static uint64_t start_position(const struct adio_file *fd, int fp_kind, adio_offset offset, bool in_bytes)
{
	uint64_t pos;

	if (fp_kind == ADIO_INDIVIDUAL)
		return (uint64_t)fd->fp_ind;
	if (in_bytes)
		return (uint64_t)offset;
	return __builtin_mul_overflow((uint64_t)offset, (uint64_t)fd->etype_size, &pos) ? UINT64_MAX : pos;
}

static int transfer(struct adio_file *fd, const void *buf, int count, MPI_Datatype type, int fp_kind,
		    adio_offset offset, bool write, bool offset_in_bytes, uint64_t *done)
{
	struct ad_pmem *ad = fd->fs_ptr;
	struct batch b = { .file = ad->file, .write = write, .room = BATCH, .most = ad->file->ops ? BATCH_FAR : BATCH };
	struct cursor mem, file = { .fl = ad->view.fl, .left = -1 };
	uint64_t pos = start_position(fd, fp_kind, offset, offset_in_bytes);
	bool announced;
	int rc = memory_cursor(&mem, buf, count, type);

	*done = 0;
	if (rc < 0 || count == 0 || (file.fl && file.fl->size == 0))
		return rc; /* nothing to do, or a view without a byte */
	rc = flat_seek(file.fl, ad->view.disp, pos, &file.at);
	if (rc == 0 && ad->atomic)
		rc = client_lock(ad->file);
	if (rc < 0)
		return rc;
	announced = write && announce(ad, pos, cursor_bytes(&mem));
	b.pieces = b.near;
	rc = transfer_pieces(&b, &mem, &file);
	if (b.pieces != b.near)
		free(b.pieces);
	if (announced)
		client_expect(ad->file, 0, 0, 0);
	if (ad->atomic)
		client_unlock(ad->file);
	if (rc == 0 && fp_kind == ADIO_INDIVIDUAL)
		fd->fp_ind = (adio_offset)(pos + b.done);
	*done = b.done;
	if (rc == -EBADF) /* a handle for the other; ROMIO asks before most calls, but not in those with the shared pointer */
		rc = write ? -EROFS : -EACCES;
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

/* ---- collective calls ---------------------------------------------------------------------- */

/* may this rank's write make the file longer?  Where that would be a question to another node: yes */
static bool may_grow(const struct adio_file *fd, int count, MPI_Datatype type, int fp_kind, adio_offset offset)
{
	const struct ad_pmem *ad = fd->fs_ptr;
	uint64_t pos = start_position(fd, fp_kind, offset, false), last;
	struct cursor mem;
	int64_t place;
	off_t size;

	if (memory_cursor(&mem, NULL, count, type) < 0 || cursor_bytes(&mem) == 0)
		return false;
	return ad->file->ops || __builtin_add_overflow(pos, cursor_bytes(&mem) - 1, &last) ||
	       ad_pmem_view_place(&ad->view, last, &place) < 0 || pmio_size(ad->file, &size) < 0 || place >= size;
}

/* returns whether end_together() is to be called */
static bool begin_together(struct adio_file *fd, int count, MPI_Datatype type, int fp_kind, adio_offset offset, bool write)
{
	const struct ad_pmem *ad = fd->fs_ptr;
	bool grows = write && ad_pmem_together_by_mpi(ad->together) && may_grow(fd, count, type, fp_kind, offset), ends;

	ad_pmem_leave_romio();
	ends = ad_pmem_together_begin(ad->together, !ad->file->ops, grows);
	ad_pmem_enter_romio();
	return ends;
}

static void end_together(struct adio_file *fd)
{
	const struct ad_pmem *ad = fd->fs_ptr;

	ad_pmem_leave_romio();
	ad_pmem_together_end(ad->together);
	ad_pmem_enter_romio();
}

static void collective(struct adio_file *fd, const void *buf, int count, MPI_Datatype type, int fp_kind,
		       adio_offset offset, bool write, MPI_Status *status, int *error)
{
	const struct ad_pmem *ad = fd->fs_ptr;
	bool ends = ad->together && begin_together(fd, count, type, fp_kind, offset, write);

	if (ad->exchanges && !ad->atomic) {
		ad_pmem_leave_romio();
		ad_pmem_exchange_begin(ad->exchange);
		blocking(fd, buf, count, type, fp_kind, offset, write, false, status, error);
		ad_pmem_exchange_end(ad->exchange); /* that waits for all */
		ad_pmem_enter_romio();
		return;
	}
	blocking(fd, buf, count, type, fp_kind, offset, write, false, status, error);
	if (ends)
		end_together(fd);
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

void ad_pmem_read_coll(struct adio_file *fd, void *buf, int count, MPI_Datatype type, int fp_kind,
		       adio_offset offset, MPI_Status *status, int *error)
{
	collective(fd, buf, count, type, fp_kind, offset, false, status, error);
}

void ad_pmem_write_coll(struct adio_file *fd, const void *buf, int count, MPI_Datatype type, int fp_kind,
			adio_offset offset, MPI_Status *status, int *error)
{
	collective(fd, buf, count, type, fp_kind, offset, true, status, error);
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
