/*
 * fortran.c -- MPI_Register_datarep from Fortran, where the MPI passes Fortran's functions to MPI_Register_datarep of C as
 * they are: MPICH, and what is made of it (Open MPI passes C functions of its own)
 *
 * Fortran functions take every argument by reference, so a call by C's convention would crash.  These names intercept the
 * program's call and pass it on; the call of C that the MPI makes meanwhile, in the same thread, gets C functions that call
 * Fortran's.  The MPI does the rest: the blanks of the name, MPI_CONVERSION_FN_NULL, the error code.
 *
 * A type(MPI_Datatype) of mpi_f08 is a structure of one integer, so its address is as good as that of an integer.
 */
#include "engine/engine.h"

#include <stdlib.h>
#include <string.h>

#include "library.h"

#define EXPORT __attribute__((visibility("default")))

/* Fortran's MPI_Datarep_conversion_function, with the handle and the count by reference, and MPI_Datarep_extent_function */
typedef void convert_fn(void *userbuf, MPI_Fint *type, void *count, void *filebuf, MPI_Offset *position, MPI_Aint *extra, MPI_Fint *rc);
typedef void extent_fn(MPI_Fint *type, MPI_Aint *extent, MPI_Aint *extra, MPI_Fint *rc);

/* a representation of a Fortran program; never freed, as MPI has no call to unregister one */
struct functions {
	convert_fn *read, *write; /* NULL: as in memory */
	extent_fn *extent;
	MPI_Aint extra; /* the value at the call: the program's variable may be gone when a function is called */
};

static _Thread_local bool called; /* by Fortran, and the MPI has not called C's function yet */

bool library_from_fortran(void)
{
	bool was = called;

	called = false;
	return was;
}

/* ---- C functions that call Fortran's ----------------------------------------------------------------------- */

static int call_convert(convert_fn *fn, void *userbuf, MPI_Datatype type, void *count, void *filebuf, MPI_Offset position, void *extra)
{
	struct functions *by = extra;
	MPI_Fint t = PMPI_Type_c2f(type), rc = MPI_SUCCESS;

	fn(userbuf, &t, count, filebuf, &position, &by->extra, &rc);
	return (int)rc;
}

static int call_read(void *userbuf, MPI_Datatype type, int count, void *filebuf, MPI_Offset position, void *extra)
{
	MPI_Fint n = count;

	return call_convert(((struct functions *)extra)->read, userbuf, type, &n, filebuf, position, extra);
}

static int call_write(void *userbuf, MPI_Datatype type, int count, void *filebuf, MPI_Offset position, void *extra)
{
	MPI_Fint n = count;

	return call_convert(((struct functions *)extra)->write, userbuf, type, &n, filebuf, position, extra);
}

static int call_read_large(void *userbuf, MPI_Datatype type, MPI_Count count, void *filebuf, MPI_Offset position, void *extra)
{
	return call_convert(((struct functions *)extra)->read, userbuf, type, &count, filebuf, position, extra);
}

static int call_write_large(void *userbuf, MPI_Datatype type, MPI_Count count, void *filebuf, MPI_Offset position, void *extra)
{
	return call_convert(((struct functions *)extra)->write, userbuf, type, &count, filebuf, position, extra);
}

static int call_extent(MPI_Datatype type, MPI_Aint *extent, void *extra)
{
	struct functions *by = extra;
	MPI_Fint t = PMPI_Type_c2f(type), rc = MPI_SUCCESS;

	by->extent(&t, extent, &by->extra, &rc);
	return (int)rc;
}

bool library_call_fortran(struct datarep *r)
{
	struct functions *by = malloc(sizeof(*by));

	if (!by)
		return false;
	/* what MPI passed as C functions */
	by->read = (convert_fn *)(void (*)(void))r->read;
	by->write = (convert_fn *)(void (*)(void))r->write;
	by->extent = (extent_fn *)(void (*)(void))r->extent;
	by->extra = *(MPI_Aint *)r->extra;
	if (r->large) {
		r->read_large = by->read ? call_read_large : NULL;
		r->write_large = by->write ? call_write_large : NULL;
	} else {
		r->read = by->read ? call_read : NULL;
		r->write = by->write ? call_write : NULL;
	}
	r->extent = call_extent;
	r->extra = by;
	return true;
}

/* ---- the names ----------------------------------------------------------------------------------------------- */

/* the name, the three functions, the extra state, the error code, and the name's length */
typedef void register_fn(word name, word read, word write, word extent, word extra, word rc, word len);

static void call_register(const char *symbol, word name, word read, word write, word extent, word extra, word rc, word len)
{
	void *p = library_function(symbol);
	register_fn *next;

	memcpy(&next, &p, sizeof(next));
	called = true;
	next(name, read, write, extent, extra, rc, len);
	called = false;
}

#define DEFINE(symbol) \
	EXPORT register_fn symbol; \
	void symbol(word a, word b, word c, word d, word e, word f, word g) \
	{ \
		call_register(#symbol, a, b, c, d, e, f, g); \
	}

/* as compilers spell it in mpif.h and use mpi, then for mpi_f08: by MPICH itself only, so as gfortran does */
DEFINE(mpi_register_datarep_)
DEFINE(mpi_register_datarep)
DEFINE(mpi_register_datarep__)
DEFINE(MPI_REGISTER_DATAREP)
DEFINE(pmpi_register_datarep_)
DEFINE(pmpi_register_datarep)
DEFINE(pmpi_register_datarep__)
DEFINE(PMPI_REGISTER_DATAREP)
DEFINE(mpi_register_datarep_f08_)
DEFINE(pmpir_register_datarep_f08_)
DEFINE(mpi_register_datarep_c_f08_)
DEFINE(pmpir_register_datarep_c_f08_)
