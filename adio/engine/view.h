/*
 * view.h -- file views
 */
#ifndef PMIO_ENGINE_VIEW_H
#define PMIO_ENGINE_VIEW_H

#include <mpi.h>
#include <stdint.h>

#include "engine/flat.h"

/* a file view: which bytes of the file are visible, in which order; see view.c */
struct view {
	int64_t disp;			/* bytes */
	const struct flat *fl;		/* of filetype; NULL: it has no gaps */
	MPI_Datatype etype, filetype;	/* duplicates of the program's types; MPI_DATATYPE_NULL: none yet */
	MPI_Count etype_size;
};

/* no types yet */
void engine_view_clear(struct view *v);
/* 0 or -ENOMEM; the types are duplicated.  etype's size is not 0 and divides filetype's. */
int engine_view_init(struct view *v, int64_t disp, MPI_Datatype etype, MPI_Datatype filetype);
void engine_view_fini(struct view *v);
/* duplicates of its types, which the caller frees except named ones; 0 or -ENOMEM */
int engine_view_types(const struct view *v, MPI_Datatype *etype, MPI_Datatype *filetype);
/* the offset in the file of byte pos of the view's data; 0, or -EFBIG */
int engine_view_place(const struct view *v, uint64_t pos, int64_t *place);
/* the number of bytes of the view's data before the first one beyond the end of a file of that size */
uint64_t engine_view_bytes(const struct view *v, int64_t size);

#endif
