/*
 * io.c -- reading and writing through views and datatypes
 *
 * One engine for all calls: two cursors, one over the caller's memory (buffer x
 * datatype), one over the file (view), advance together and yield pieces (file offset,
 * address, length), which libpmio copies in batches.  No data sieving, no buffer of the
 * request's size, and no exchange between ranks of a node: each copies its own pieces,
 * in collective calls too.
 */
#include "engine.h"
#include "collective_order.h"
#include "flat.h"
#include "view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"

#define BATCH 512	   /* pieces passed to libpmio at once */
#define BATCH_FAR 65536	   /* for a file of several nodes, where each batch takes at least one message */

/* called for each piece, and a call may have 65,536: a function call would be a good part of the cost */
#define ALWAYS_INLINE __attribute__((always_inline))

/* ---- cursors --------------------------------------------------------------------------- */

/* elements of a type, one every extent bytes, from an origin; yields runs of bytes */
struct elements {
	const struct flat *fl;	/* NULL: no gaps at all */
	struct flat_at at;	/* the next byte */
	int64_t left;		/* elements left; -1: no end (a view) */
};

struct io_transfer {
	struct pmio_mpi_file *f;
	struct elements mem, file; /* users of their lists of pieces */
	bool write;
};

/* the next run: its offset; returns its length, 0 at the end */
static inline ALWAYS_INLINE uint64_t cursor_run(const struct elements *c, int64_t *place)
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

/* all bytes of the caller's memory */
static uint64_t cursor_bytes(const struct elements *c)
{
	return (uint64_t)c->left * (c->fl ? c->fl->size : 1);
}

/* n bytes of the run are done; n is not more than it has */
static inline ALWAYS_INLINE void cursor_advance(struct elements *c, uint64_t n)
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

struct piece_batch {
	struct pmio_file *file;
	bool write;
	bool at_once;	/* a read that is not to wait */
	struct pmio_piece near[BATCH];
	struct pmio_piece *pieces; /* near, or owned */
	size_t nr, room, most;
	size_t bytes;	/* in pieces */
	uint64_t done;	/* bytes transferred */
	bool at_end;	/* a read met the end of the file */
};

/* not by an initializer, which would clear all of its 12 KiB: that takes as long as copying 4 KiB */
static void batch_init(struct piece_batch *b, struct pmio_file *file, bool write)
{
	b->file = file;
	b->write = write;
	b->at_once = false;
	b->pieces = b->near;
	b->nr = 0;
	b->room = BATCH;
	b->most = file->ops ? BATCH_FAR : BATCH;
	b->bytes = 0;
	b->done = 0;
	b->at_end = false;
}

static int run_batch(struct piece_batch *b)
{
	ssize_t n = b->write	? pmio_writex(b->file, b->pieces, b->nr)
		    : b->at_once ? client_readx_at_once(b->file, b->pieces, b->nr, 0)
				 : pmio_readx(b->file, b->pieces, b->nr);

	if (n < 0)
		return (int)n;
	b->done += (uint64_t)n;
	b->at_end = (size_t)n < b->bytes;
	b->nr = 0;
	b->bytes = 0;
	return 0;
}

/* if there is no memory the batches are smaller */
static void make_room(struct piece_batch *b)
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

/*
 * Memory without gaps, and a view of equal pieces at equal distances, as most views of many pieces are: whole pieces up to
 * the end of the view's element, without reading the list, which is larger than the data if the pieces are small.
 */
static inline ALWAYS_INLINE size_t add_strided(struct pmio_piece *p, size_t room, struct elements *m, struct elements *f)
{
	uint64_t len = f->fl->pieces[0].len;
	int64_t stride = f->fl->stride, off = f->at.base + f->fl->pieces[0].off + (int64_t)f->at.piece * stride;
	size_t nr = f->fl->nr - f->at.piece, most = (uint64_t)m->left / len;

	nr = nr < room ? nr : room;
	nr = nr < most ? nr : most;
	for (size_t i = 0; i < nr; i++) {
		p[i].buf = (void *)(intptr_t)(m->at.base + (int64_t)(i * len));
		p[i].off = off + (int64_t)i * stride;
		p[i].len = len;
	}
	m->at.base += (int64_t)(nr * len);
	m->left -= (int64_t)(nr * len);
	f->at.piece += nr;
	if (f->at.piece == f->fl->nr) {
		f->at.piece = 0;
		f->at.base += f->fl->extent;
	}
	return nr;
}

/* add pieces until the batch is full, or the request ends (*over) */
static int add_pieces(struct piece_batch *b, struct elements *mem, struct elements *file, bool *over)
{
	struct pmio_piece *p = b->pieces + b->nr, *full = b->pieces + b->room;
	struct elements m = *mem, f = *file; /* their addresses are not passed on, so they stay in registers */
	int64_t address = 0, off = 0;
	size_t bytes = 0;
	uint64_t n = 1, in_file = 1; /* 0: that cursor is at its end; a batch may be full already */
	bool strided = !m.fl && f.fl && f.fl->stride;

	while (p < full) {
		if (strided && f.at.in_piece == 0) {
			size_t added = add_strided(p, (size_t)(full - p), &m, &f);

			p += added;
			bytes += added * f.fl->pieces[0].len;
			if (added)
				continue;
		}
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
		p++->len = n;
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

static int transfer_pieces(struct piece_batch *b, struct elements *mem, struct elements *file)
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
 * Announces the range of a write of many pieces (by the average length of the view's
 * pieces); true: it did, and client_expect() has to be ended.
 */
static bool announce(const struct pmio_mpi_file *f, uint64_t pos, uint64_t bytes)
{
	const struct flat *fl = f->view.fl;
	uint64_t pieces = fl ? bytes / (fl->size / fl->nr) : 1;
	int64_t first, last;

	if (pieces <= 1 || engine_view_place(&f->view, pos, &first) < 0 ||
	    engine_view_place(&f->view, pos + bytes - 1, &last) < 0 || first < 0)
		return false;
	client_expect(f->file, (uint64_t)first, (uint64_t)last, pieces);
	return true;
}

/* a cursor over the caller's memory; 0, -ENOMEM, or -EFBIG */
static int memory_cursor(struct elements *c, const void *buf, int64_t count, MPI_Datatype type)
{
	const struct flat *fl = flat_get(type);

	if (!fl)
		return -ENOMEM;
	c->at.base = (int64_t)(intptr_t)buf;
	c->at.piece = 0;
	c->at.in_piece = 0;
	c->fl = fl->dense ? NULL : fl;
	c->left = count;
	return fl->dense && __builtin_mul_overflow(count, (int64_t)fl->size, &c->left) ? -EFBIG : 0;
}

uint64_t engine_position(const struct pmio_mpi_file *f, MPI_Offset offset)
{
	uint64_t pos;

	return __builtin_mul_overflow((uint64_t)offset, (uint64_t)f->view.etype_size, &pos) ? UINT64_MAX : pos;
}

/* 1: there is nothing to do, or the view has no data; 0, or an error */
static int prepare(struct io_transfer *t, struct pmio_mpi_file *f, const void *buf, int64_t count, MPI_Datatype type, uint64_t pos,
		   bool write)
{
	int rc = memory_cursor(&t->mem, buf, count, type);

	t->f = f;
	t->write = write;
	t->file.fl = f->view.fl;
	t->file.left = -1;
	if (rc < 0)
		return rc;
	if (count == 0 || (t->file.fl && t->file.fl->size == 0))
		return 1;
	return flat_seek(t->file.fl, f->view.disp, pos, &t->file.at);
}

/* consumes t; at_once: only if it need not wait */
static int run(struct io_transfer *t, bool at_once, uint64_t *done)
{
	struct piece_batch b;
	int rc;

	batch_init(&b, t->f->file, t->write);
	b.at_once = at_once;
	rc = transfer_pieces(&b, &t->mem, &t->file);
	if (b.pieces != b.near)
		free(b.pieces);
	*done = b.done;
	if (rc == -EBADF) /* the handle does not permit this access; not all adapters have checked that */
		rc = t->write ? -EROFS : -EACCES;
	return rc;
}

/* lock out other threads, and other handles; 0, or an error */
static int lock_all(struct pmio_mpi_file *f)
{
	int rc;

	pthread_mutex_lock(&f->atomic_lock);
	rc = client_lock(f->file);
	if (rc < 0)
		pthread_mutex_unlock(&f->atomic_lock);
	return rc;
}

static void unlock_all(struct pmio_mpi_file *f)
{
	client_unlock(f->file);
	pthread_mutex_unlock(&f->atomic_lock);
}

int engine_transfer(struct pmio_mpi_file *f, const void *buf, int64_t count, MPI_Datatype type, uint64_t pos, bool write,
		    uint64_t *done)
{
	struct io_transfer t;
	bool announced;
	int rc = prepare(&t, f, buf, count, type, pos, write);

	*done = 0;
	if (rc == 0 && f->atomic)
		rc = lock_all(f);
	if (rc)
		return rc < 0 ? rc : 0;
	announced = write && announce(f, pos, cursor_bytes(&t.mem));
	rc = run(&t, false, done);
	if (announced)
		client_expect(f->file, 0, 0, 0);
	if (f->atomic)
		unlock_all(f);
	return rc;
}

/* ---- the same in two steps, for nonblocking calls ---------------------------------------------- */

struct io_transfer *engine_transfer_prepare(struct pmio_mpi_file *f, const void *buf, int64_t count, MPI_Datatype type, uint64_t pos,
					    bool write, uint64_t *bytes, int *rc)
{
	struct io_transfer *t = malloc(sizeof(*t));

	*bytes = 0;
	*rc = t ? prepare(t, f, buf, count, type, pos, write) : -ENOMEM;
	if (*rc) {
		*rc = *rc < 0 ? *rc : 0;
		free(t);
		return NULL;
	}
	*bytes = cursor_bytes(&t->mem);
	t->mem.fl = t->mem.fl ? flat_keep(t->mem.fl) : NULL;
	t->file.fl = t->file.fl ? flat_keep(t->file.fl) : NULL;
	return t;
}

void engine_transfer_free(struct io_transfer *t)
{
	flat_free((struct flat *)(uintptr_t)t->mem.fl); /* NULL is allowed */
	flat_free((struct flat *)(uintptr_t)t->file.fl);
	free(t);
}

int engine_transfer_run(struct io_transfer *t, uint64_t *done)
{
	return run(t, false, done);
}

int engine_transfer_at_once(struct io_transfer *t, uint64_t *done)
{
	struct io_transfer copy = *t;

	return run(&copy, true, done);
}

void engine_set_status(MPI_Status *status, uint64_t bytes)
{
	if (status == MPI_STATUS_IGNORE)
		return;
	PMPI_Status_set_elements_x(status, MPI_BYTE, (MPI_Count)bytes);
	PMPI_Status_set_cancelled(status, 0);
}

/* ---- collective calls ---------------------------------------------------------------------- */

/* may this rank's write make the file longer?  Yes if another node would have to be asked */
static bool may_grow(const struct pmio_mpi_file *f, int64_t count, MPI_Datatype type, uint64_t pos)
{
	uint64_t last;
	struct elements mem = { .fl = NULL };
	int64_t place;
	off_t size;

	if (memory_cursor(&mem, NULL, count, type) < 0 || cursor_bytes(&mem) == 0)
		return false;
	return f->file->ops || __builtin_add_overflow(pos, cursor_bytes(&mem) - 1, &last) ||
	       engine_view_place(&f->view, last, &place) < 0 || pmio_size(f->file, &size) < 0 || place >= size;
}

/* returns whether end_together() has to be called */
static bool begin_together(const struct pmio_mpi_file *f, int64_t count, MPI_Datatype type, uint64_t pos, bool write)
{
	bool grows = write && engine_together_by_mpi(f->together) && may_grow(f, count, type, pos), ends;

	adapter_leave();
	ends = engine_together_begin(f->together, !f->file->ops, grows);
	adapter_enter();
	return ends;
}

static void end_together(const struct pmio_mpi_file *f)
{
	adapter_leave();
	engine_together_end(f->together);
	adapter_enter();
}

int engine_transfer_all(struct pmio_mpi_file *f, const void *buf, int64_t count, MPI_Datatype type, uint64_t pos, bool write,
			uint64_t *done)
{
	bool ends = f->together && begin_together(f, count, type, pos, write);
	int rc;

	if (f->exchanges && !f->atomic) {
		adapter_leave();
		engine_exchange_begin(f->exchange);
		rc = engine_transfer(f, buf, count, type, pos, write, done);
		engine_exchange_end(f->exchange); /* this waits for all ranks */
		adapter_enter();
		return rc;
	}
	rc = engine_transfer(f, buf, count, type, pos, write, done);
	if (ends)
		end_together(f);
	return rc;
}
