/*
 * library.h -- libpmio-mpi: MPI_File_* for pmio files, in front of an MPI without loadable drivers
 *
 * The library is preloaded, or linked before the MPI, so that a program's MPI_File_* calls come here first
 * (dispatch.c, program.c): those on pmio files go to the engine (files.c), all others to the MPI, with unchanged
 * arguments.  One source, compiled for each MPI.
 *
 * The handle that a program gets is a real one of the MPI, on /dev/null (the "shadow"): error handlers,
 * Fortran's handles, hints and calls that are not known here are still handled by the MPI.
 */
#ifndef PMIO_LIBRARY_H
#define PMIO_LIBRARY_H

#include <stdbool.h>
#include <stdint.h>

/* X(name, form, pointer, collective, write), all calls that read or write; each except the ends also exists with _c */
#define LIBRARY_TRANSFERS(X) \
	X(read_at, AT, NONE, false, false) X(write_at, AT, NONE, false, true) \
	X(read_at_all, AT, NONE, true, false) X(write_at_all, AT, NONE, true, true) \
	X(iread_at, IAT, NONE, false, false) X(iwrite_at, IAT, NONE, false, true) \
	X(iread_at_all, IAT, NONE, false, false) X(iwrite_at_all, IAT, NONE, false, true) \
	X(read, HERE, OWN, false, false) X(write, HERE, OWN, false, true) \
	X(read_all, HERE, OWN, true, false) X(write_all, HERE, OWN, true, true) \
	X(iread, IHERE, OWN, false, false) X(iwrite, IHERE, OWN, false, true) \
	X(iread_all, IHERE, OWN, false, false) X(iwrite_all, IHERE, OWN, false, true) \
	X(read_shared, HERE, SHARED, false, false) X(write_shared, HERE, SHARED, false, true) \
	X(iread_shared, IHERE, SHARED, false, false) X(iwrite_shared, IHERE, SHARED, false, true) \
	X(read_ordered, HERE, SHARED, true, false) X(write_ordered, HERE, SHARED, true, true) \
	X(read_at_all_begin, BEGIN_AT, NONE, true, false) X(write_at_all_begin, BEGIN_AT, NONE, true, true) \
	X(read_all_begin, BEGIN_HERE, OWN, true, false) X(write_all_begin, BEGIN_HERE, OWN, true, true) \
	X(read_ordered_begin, BEGIN_HERE, SHARED, true, false) X(write_ordered_begin, BEGIN_HERE, SHARED, true, true)

/* X(name, pointer, write): the second halves */
#define LIBRARY_ENDS(X) \
	X(read_at_all_end, NONE, false) X(write_at_all_end, NONE, true) X(read_all_end, OWN, false) X(write_all_end, OWN, true) \
	X(read_ordered_end, SHARED, false) X(write_ordered_end, SHARED, true)

/* X(name): the rest, except open, close and delete */
#define LIBRARY_OTHERS(X) \
	X(set_size) X(preallocate) X(get_size) X(get_group) X(get_amode) X(set_info) X(get_info) X(set_view) X(get_view) X(seek) \
	X(get_position) X(get_byte_offset) X(seek_shared) X(get_position_shared) X(get_type_extent) X(set_atomicity) \
	X(get_atomicity) X(sync)

/* those of them that also exist with _c */
#define LIBRARY_OTHERS_C(X) X(get_type_extent)

enum library_call {
#define X(name, ...) LIBRARY_##name,
	X(open) X(close) X(delete) LIBRARY_TRANSFERS(X) LIBRARY_ENDS(X) LIBRARY_OTHERS(X)
#undef X
#ifdef HAVE_LARGE_COUNTS
#define X(name, ...) LIBRARY_##name##_c,
	LIBRARY_TRANSFERS(X) LIBRARY_OTHERS_C(X)
#undef X
#endif
	LIBRARY_NR_CALLS
};

/* any argument: none needs more than a register, and none is in a floating-point one */
typedef intptr_t word;
typedef int library_fn(word a, word b, word c, word d, word e, word f);

/* ---- program.c: the program's MPI -------------------------------------------------------- */

/*
 * does this library serve the program, i.e. is its MPI of this library's family?  The first call finds that out, and
 * reports it if not.  Any thread
 */
bool library_serves(void);
/* the MPI's own function, after library_serves(); profiled: the one with PMPI_.  NULL: it has none */
library_fn *library_next(bool profiled, enum library_call call);
extern const char *const library_names[LIBRARY_NR_CALLS];
/* known after the first intercepted call */
extern bool library_is_openmpi;
/* a symbol of the MPI, wherever it was loaded; NULL: there is none */
void *library_symbol(const char *name);
/* a function of the MPI that must exist, for memcpy() to a pointer of its type; logs and aborts if it does not */
void *library_function(const char *name);
/* a variable of the MPI, as the program sees it, which may have the only valid copy; it must exist */
void *library_variable(const char *name);

/* ---- handles.c: which handles belong to pmio files ---------------------------------------------------- */

struct shadow_handle {
	struct shadow_handle *next;
	word shadow;		   /* the handle that the program has */
	struct pmio_mpi_file *file; /* owned */
};

/* NULL: not of a pmio file; library_closed: it was, and has been closed */
struct shadow_handle *library_find(word shadow);
extern struct shadow_handle library_closed;
/* add h, to be found by its shadow; owned by the caller */
void library_add(struct shadow_handle *h);
void library_remove(struct shadow_handle *h);
/* the MPI has opened a file of its own with that handle */
void library_not_ours(word handle);

/* ---- fortran.c: functions of Fortran programs; only for MPIs that pass these as they are (MPICH) ----------- */

struct datarep;
#ifdef LIBRARY_FORTRAN
/* was the call of MPI_Register_datarep that is being served made by the MPI for Fortran, with Fortran's functions?  Asked once a call */
bool library_from_fortran(void);
/* replace these by C functions that call Fortran's; false: no memory */
bool library_call_fortran(struct datarep *r);
#else
static inline bool library_from_fortran(void)
{
	return false;
}

static inline bool library_call_fortran(struct datarep *r)
{
	(void)r;
	return false;
}
#endif

/* ---- files.c: the calls --------------------------------------------------------------------- */

/* is MPI initialized and not finalized? */
bool library_has_mpi(void);
/* is this a pmio name, in MPI_File_open or MPI_File_delete? */
bool library_wants(const char *name);
/* check a name that is not one, but looks as if it should be */
void library_look_at_name(word comm, word name);
int library_open(word comm, word name, word amode, word info, word *file);
int library_close(struct shadow_handle *h, word *file);
int library_delete(word name, word info);
/*
 * MPI_Register_datarep, or the one with _c: an error is an MPI error class, and the handler has been called; then the
 * MPI is not called.  fortran: the functions are Fortran's
 */
int library_register_datarep(bool large, bool fortran, word name, word read, word write, word extent, word extra);
/* a call on a closed handle: returns an error code, and logs a line */
int library_after_close(enum library_call call);
/* indexed by enum library_call: with a struct shadow_handle * in place of the MPI_File */
extern library_fn *const library_calls[LIBRARY_NR_CALLS];

#endif
