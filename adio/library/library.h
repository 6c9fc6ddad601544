/*
 * library.h -- libpmio-mpi: MPI_File_* for files of ours, in front of an MPI that takes no drivers
 *
 * The library is preloaded, or linked before the MPI, so that a program's MPI_File_* calls come here
 * first (dispatch.c, program.c): those on files of ours go to the engine (files.c), all others on to the MPI, with
 * the arguments as they came.  One source, compiled for each MPI.
 *
 * The handle that a program gets is a real one of the MPI, on /dev/null: error handlers, Fortran's
 * handles, hints and calls that are not known here are the MPI's own business, and stay so.
 */
#ifndef PMIO_LIBRARY_H
#define PMIO_LIBRARY_H

#include <stdbool.h>
#include <stdint.h>

/* X(name, form, pointer, collective, write), all that read or write; each but the ends has a twin with _c */
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

/* X(name): the rest, but for open, close and delete */
#define LIBRARY_OTHERS(X) \
	X(set_size) X(preallocate) X(get_size) X(get_group) X(get_amode) X(set_info) X(get_info) X(set_view) X(get_view) X(seek) \
	X(get_position) X(get_byte_offset) X(seek_shared) X(get_position_shared) X(get_type_extent) X(set_atomicity) \
	X(get_atomicity) X(sync)

/* those of them that have a twin with _c */
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

/* an argument, whatever it is: none needs more than a register, and none is in a floating-point one */
typedef intptr_t word;
typedef int library_fn(word a, word b, word c, word d, word e, word f);

/* ---- program.c: the program's MPI -------------------------------------------------------- */

/* this library serves the program: its MPI is of our family; the first call finds it out, and says it if not.  Any thread */
bool library_serves(void);
/* the MPI's own function, after library_serves(); profiled: by the name with PMPI_.  NULL: it has none */
library_fn *library_next(bool profiled, enum library_call call);
extern const char *const library_names[LIBRARY_NR_CALLS];
/* one process of a job says what all could say: by the launcher, as MPI may not be there, or be alone */
bool library_is_first_process(void);
/* known after the first call that comes here */
extern bool library_is_openmpi;
/* a symbol of the MPI's, wherever it was loaded; NULL: there is none */
void *library_symbol(const char *name);
/* a variable of the MPI's, as the program sees it, which may have the only copy that counts; it must be there */
void *library_variable(const char *name);

/* ---- handles.c: which handles are ours ---------------------------------------------------- */

struct handle {
	struct handle *next;
	word shadow;		   /* the handle that the program has */
	struct pmio_mpi_file *file; /* owned */
};

/* NULL: none of ours; library_closed: it was, and has been closed */
struct handle *library_find(word shadow);
extern struct handle library_closed;
/* h becomes known, and is found by its shadow; owned by the caller */
void library_add(struct handle *h);
void library_remove(struct handle *h);
/* the MPI has opened a file of its own: that handle is its */
void library_not_ours(word handle);

/* ---- files.c: the calls --------------------------------------------------------------------- */

/* MPI has begun, and not ended */
bool library_has_mpi(void);
/* whether MPI_File_open or MPI_File_delete with this name is ours */
bool library_wants(const char *name);
/* one that is not, but looks as if it should be */
void library_look_at_name(word comm, word name);
int library_open(word comm, word name, word amode, word info, word *file);
int library_close(struct handle *h, word *file);
int library_delete(word name, word info);
/* MPI_Register_datarep, or the one with _c: an MPI error class, and the handler has been called; then the MPI is not asked */
int library_register_datarep(bool large, word name, word read, word write, word extent, word extra);
/* a call on a handle that has been closed: an error code, and a line */
int library_after_close(enum library_call call);
/* by enum library_call: with a struct handle * in place of the MPI_File */
extern library_fn *const library_calls[LIBRARY_NR_CALLS];

#endif
