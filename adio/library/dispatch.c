/*
 * dispatch.c -- the functions that a program calls, and where each call goes
 *
 * No mpi.h here: a call is passed on with its arguments unchanged if it is not for pmio, also if the
 * program's MPI is of another family than the one that the library was compiled for, with handles of
 * other types and sizes.
 *
 * The names with PMPI_ are intercepted, too: Fortran's wrappers call either (MPICH's for use mpi_f08 open a
 * file by PMPI_File_open).  Each is passed on to the same name, so a profiling library, before or after
 * this one, sees the same calls as without it.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "library.h"

#define EXPORT __attribute__((visibility("default")))

/* ---- calls ----------------------------------------------------------------------------------- */

static int go_on(enum library_call call, bool profiled, word a, word b, word c, word d, word e, word f)
{
	library_fn *fn = library_next(profiled, call);

	if (fn)
		return fn(a, b, c, d, e, f);
	pmio_err("%s: this program's MPI has no such function", library_names[call]);
	abort();
}

static int on_file(enum library_call call, bool profiled, word a, word b, word c, word d, word e, word f)
{
	struct shadow_handle *h = library_serves() ? library_find(a) : NULL;

	if (!h)
		return go_on(call, profiled, a, b, c, d, e, f);
	return h == &library_closed ? library_after_close(call) : library_calls[call]((word)h, b, c, d, e, f);
}

static int on_open(bool profiled, word comm, word name, word amode, word info, word file, word f)
{
	int rc;

	if (library_serves() && library_wants((const char *)name))
		return library_open(comm, name, amode, info, (word *)file);
	if (library_serves())
		library_look_at_name(comm, name);
	rc = go_on(LIBRARY_open, profiled, comm, name, amode, info, file, f);
	if (library_serves() && rc == 0)
		library_not_ours(*(word *)file);
	return rc;
}

static int on_close(bool profiled, word file, word b, word c, word d, word e, word f)
{
	struct shadow_handle *h = library_serves() ? library_find(*(word *)file) : NULL;

	if (!h)
		return go_on(LIBRARY_close, profiled, file, b, c, d, e, f);
	return h == &library_closed ? library_after_close(LIBRARY_close) : library_close(h, (word *)file);
}

static int on_delete(bool profiled, word name, word info, word c, word d, word e, word f)
{
	if (library_serves() && library_wants((const char *)name))
		return library_delete(name, info);
	return go_on(LIBRARY_delete, profiled, name, info, c, d, e, f);
}

/*
 * A representation without functions is also registered with the MPI, which supports it.  It would refuse others, as no
 * MPI's ROMIO has conversions: so its error appears when the program sets a view on one of the MPI's files.
 */
static int on_register_datarep(const char *symbol, bool large, word name, word read, word write, word extent, word extra)
{
	bool serves = library_serves(), fortran = library_from_fortran();
	void *p = library_function(symbol);
	library_fn *fn;
	int rc;

	memcpy(&fn, &p, sizeof(fn));
	if (!serves || !library_has_mpi())
		return fn(name, read, write, extent, extra, 0);
	rc = library_register_datarep(large, fortran, name, read, write, extent, extra);
	/* for plain names, too; the MPI's result is ignored, as Open MPI's ompio refuses every representation */
	if (rc == 0 && !read && !write)
		(void)fn(name, read, write, extent, extra, 0);
	return rc;
}

/* ---- the names -------------------------------------------------------------------------------------- */

#define DEFINE(symbol, call) \
	EXPORT library_fn symbol; \
	int symbol(word a, word b, word c, word d, word e, word f) \
	{ \
		return call; \
	}
#define X(name, ...) \
	DEFINE(MPI_File_##name, on_file(LIBRARY_##name, false, a, b, c, d, e, f)) \
	DEFINE(PMPI_File_##name, on_file(LIBRARY_##name, true, a, b, c, d, e, f))

LIBRARY_TRANSFERS(X)
LIBRARY_ENDS(X)
LIBRARY_OTHERS(X)
#undef X
#ifdef HAVE_LARGE_COUNTS
#define X(name, ...) \
	DEFINE(MPI_File_##name##_c, on_file(LIBRARY_##name##_c, false, a, b, c, d, e, f)) \
	DEFINE(PMPI_File_##name##_c, on_file(LIBRARY_##name##_c, true, a, b, c, d, e, f))
LIBRARY_TRANSFERS(X)
LIBRARY_OTHERS_C(X)
#undef X
#endif
DEFINE(MPI_Register_datarep, ((void)f, on_register_datarep("MPI_Register_datarep", false, a, b, c, d, e)))
DEFINE(PMPI_Register_datarep, ((void)f, on_register_datarep("PMPI_Register_datarep", false, a, b, c, d, e)))
#ifdef HAVE_LARGE_COUNTS
DEFINE(MPI_Register_datarep_c, ((void)f, on_register_datarep("MPI_Register_datarep_c", true, a, b, c, d, e)))
DEFINE(PMPI_Register_datarep_c, ((void)f, on_register_datarep("PMPI_Register_datarep_c", true, a, b, c, d, e)))
#endif
DEFINE(MPI_File_open, on_open(false, a, b, c, d, e, f))
DEFINE(PMPI_File_open, on_open(true, a, b, c, d, e, f))
DEFINE(MPI_File_close, on_close(false, a, b, c, d, e, f))
DEFINE(PMPI_File_close, on_close(true, a, b, c, d, e, f))
DEFINE(MPI_File_delete, on_delete(false, a, b, c, d, e, f))
DEFINE(PMPI_File_delete, on_delete(true, a, b, c, d, e, f))
