/*
 * view.c -- file views
 *
 * File pointers count bytes of the view's data, from 0 on; only this file knows their
 * offsets in the file.
 */
#include "engine.h"
#include "flat.h"
#include "view.h"

#include <errno.h>
#include <string.h>

static void drop_type(MPI_Datatype *type)
{
	if (*type != MPI_DATATYPE_NULL && !flat_is_named(*type))
		PMPI_Type_free(type);
	*type = MPI_DATATYPE_NULL;
}

void engine_view_clear(struct view *v)
{
	memset(v, 0, sizeof(*v));
	v->etype = v->filetype = MPI_DATATYPE_NULL;
	v->etype_size = 1;
}

void engine_view_fini(struct view *v)
{
	drop_type(&v->etype);
	drop_type(&v->filetype);
}

/* a duplicate shares the list of pieces */
static MPI_Datatype copy_type(MPI_Datatype type)
{
	MPI_Datatype copy = type;

	if (!flat_is_named(type) && PMPI_Type_dup(type, &copy) != MPI_SUCCESS)
		copy = MPI_DATATYPE_NULL;
	return copy;
}

int engine_view_init(struct view *v, int64_t disp, MPI_Datatype etype, MPI_Datatype filetype)
{
	const struct flat *fl = flat_get(filetype);

	v->disp = disp;
	PMPI_Type_size_x(etype, &v->etype_size);
	v->etype = copy_type(etype);
	v->filetype = copy_type(filetype);
	v->fl = fl && fl->dense && fl->size ? NULL : fl;
	if (fl && v->etype != MPI_DATATYPE_NULL && v->filetype != MPI_DATATYPE_NULL)
		return 0;
	engine_view_fini(v);
	return -ENOMEM;
}

int engine_view_types(const struct view *v, MPI_Datatype *etype, MPI_Datatype *filetype)
{
	MPI_Datatype e = copy_type(v->etype), f = copy_type(v->filetype);

	if (e == MPI_DATATYPE_NULL || f == MPI_DATATYPE_NULL) {
		drop_type(&e);
		drop_type(&f);
		return -ENOMEM;
	}
	*etype = e;
	*filetype = f;
	return 0;
}

int engine_view_place(const struct view *v, uint64_t pos, int64_t *place)
{
	struct flat_at at;
	const struct flat_piece *p;
	int rc;

	*place = v->disp;
	if (v->fl && v->fl->size == 0)
		return 0;
	rc = flat_seek(v->fl, v->disp, pos, &at);
	if (rc < 0)
		return rc;
	*place = at.base;
	if (!v->fl)
		return 0;
	p = &v->fl->pieces[at.piece];
	return __builtin_add_overflow(at.base, p->off + (int64_t)at.in_piece, place) ? -EFBIG : 0;
}

/* the first byte of the view's data at or after rel, relative to the displacement */
static uint64_t first_from(const struct flat *fl, int64_t rel)
{
	const struct flat_piece *last = &fl->pieces[fl->nr - 1];
	int64_t span = last->off + (int64_t)last->len;
	int64_t tile = fl->extent <= 0 || rel < span ? 0 : (rel - span) / fl->extent;

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

uint64_t engine_view_bytes(const struct view *v, int64_t size)
{
	if (size <= v->disp || (v->fl && v->fl->size == 0))
		return 0;
	return v->fl ? first_from(v->fl, size - v->disp) : (uint64_t)(size - v->disp);
}

int engine_byte_offset(const struct pmio_mpi_file *f, MPI_Offset offset, MPI_Offset *place)
{
	uint64_t pos;
	int64_t at;

	if (f->amode & MPI_MODE_SEQUENTIAL)
		return MPI_ERR_UNSUPPORTED_OPERATION;
	if (offset < 0 || __builtin_mul_overflow((uint64_t)offset, (uint64_t)f->view.etype_size, &pos) ||
	    engine_view_place(&f->view, pos, &at) < 0)
		return MPI_ERR_ARG;
	*place = at;
	return MPI_SUCCESS;
}
