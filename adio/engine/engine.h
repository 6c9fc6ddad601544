/*
 * engine.h -- MPI-IO on libpmio, in standard MPI
 *
 * Nothing of ROMIO and nothing of any MPI's insides is known here: only mpi.h.  What brings
 * a program's calls here, and its results back, is an adapter: the ADIO driver (adio/romio)
 * with the Open MPI component around it (adio/openmpi), or the library over MPI_File_*
 * (adio/library).  An adapter keeps the handle that the program has, and knows its errors
 * and requests; all that is done to the file is done here.
 *
 * Results: 0 or a negative number as those of pmio.h, but where an MPI error class is said.
 */
#ifndef PMIO_ENGINE_H
#define PMIO_ENGINE_H

#include <mpi.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/client.h"

struct memory_place;

/* a file view: which bytes of the file are seen, in which order; see view.c */
struct view {
	int64_t disp;			/* bytes */
	const struct flat *fl;		/* of filetype; NULL: no gaps */
	MPI_Datatype etype, filetype;	/* duplicates of the program's own; MPI_DATATYPE_NULL: none yet */
	MPI_Count etype_size;
};

/* an open file, of one rank */
struct pmio_mpi_file {
	MPI_Comm comm;		 /* of all that opened it, for it alone; the adapter's */
	char *path;		 /* owned; without a prefix */
	int amode;
	int perm;		 /* of a new file; -1: as usual */
	struct pmio_settings settings;
	struct pmio_file *file;	 /* NULL before it is open */
	bool complete;		 /* all ranks have it open: a close is collective */
	bool atomic;
	struct pmio *pm;	 /* the pool of this node; not owned */
	struct exchange *exchange; /* owned; NULL: not needed yet */
	bool exchanges;		 /* collective calls use it; the same for all ranks */
	struct together *together; /* owned; NULL, on all ranks: collective calls do not wait for each other */
	struct view view;
	/* of adapters that make calls.c's calls; the ADIO driver has ROMIO's own */
	bool external;		 /* the view's representation is external32 */
	const struct datarep *rep; /* or one of the program's; NULL: it is not */
	pthread_mutex_t pos_lock;
	uint64_t pos;		 /* the individual pointer: bytes of the view's data; under pos_lock */
	bool shares;		 /* it is to have a shared pointer; set before it is opened, on all ranks */
	struct shared_pointer *shared; /* owned; NULL: alone, at the file's home, or by a window */
	uint64_t shared_home;	 /* its number at the file's home; 0: not there */
	MPI_Win shared_window;	 /* owned; MPI_WIN_NULL: not by that */
	_Atomic uint64_t shared_own; /* of one rank */
	uint64_t shared_start;	 /* where its word is 0 */
	unsigned split;		 /* which split call has begun, see SPLIT; 0: none */
	uint64_t split_done;	 /* bytes */
};

/* ---- what an adapter gives ---------------------------------------------------------- */

/* its own settings, on top of those from files and the environment */
void adapter_add_settings(struct pmio_settings *s);
/*
 * In a call that others of this process must not make at the same time: they may, until this
 * thread comes back.  Who waits for other ranks leaves: another thread of theirs, in a call on
 * another file, may wait for one of ours.
 */
void adapter_leave(void);
void adapter_enter(void);
/* what this process has to do for others that wait in MPI; comm: of the file that is waited at */
void adapter_progress(MPI_Comm comm);

/* ---- names.c: which files are ours, and the settings that all have in common ------------ */

/* "/path" of "pmem:/path", or a plain name that the setting `paths` selects; NULL: not one of ours */
const char *engine_path(const char *name);
/* on the first name of ours: settings are read anew, aloud; true: this was the first time since the start or engine_stop() */
bool engine_start(void);
/* when MPI ends: connections and settings go */
void engine_stop(void);
/* engine_start(), for adapters that nobody tells of MPI's end: all is given back in MPI_Finalize, and also() is called, if not NULL */
bool engine_start_until_finalize(void (*also)(void));
/* after engine_start() */
const struct pmio_settings *engine_settings(void);
/* the first of these that a launcher has set in the environment; NULL: none */
const char *engine_environment(const char *const *names);

/* ---- check.c: arguments ------------------------------------------------------------------- */

/* what a rank says of its access mode, and what comes of it: of each the largest of all ranks' (MPI_MAX) */
#define AMODE_SAYS 3
void engine_say_amode(int amode, int says[AMODE_SAYS]);
/* an MPI error class, the same on all ranks, also if only one's mode is bad */
int engine_hear_amode(MPI_Comm comm, const char *path, int amode, const int max[AMODE_SAYS]);
/* both; collective */
int engine_agree_amode(MPI_Comm comm, const char *path, int amode);
/* an MPI error class; that the types are committed the adapter knows */
int engine_check_view(int amode, MPI_Offset disp, MPI_Datatype etype, MPI_Datatype filetype);
/* an MPI error class; collective */
int engine_set_atomicity(struct pmio_mpi_file *f, int flag);

/* ---- error.c ------------------------------------------------------------------------------- */

/* a result as an MPI error class */
int engine_error(int rc);
/*
 * logs why an open or a delete failed.  What its error class says as well (there is
 * no such file, ...) is for the program to tell or not, as on other files: many
 * delete a file that may be there, and test suites take any output for a failure.
 */
void engine_say_failed(const char *what, const char *path, int rc);

/* ---- pools.c, hints.c ------------------------------------------------------------------------ */

/* the connection to a pool, kept until MPI ends */
int engine_pool(const struct pmio_settings *s, struct pmio **out);
void engine_disconnect_all(void);

/* hints of an MPI_Info on top of s; aloud: say which are not known or not valid, each once */
void engine_take_hints(struct pmio_settings *s, MPI_Info info, bool aloud);
/*
 * Without those that ROMIO ends the program over.  Returns info, or a copy, which the caller frees
 * if it is not info.
 */
MPI_Info engine_good_hints(MPI_Info info);
/* the settings in force, for MPI_File_get_info */
void engine_show_hints(const struct pmio_settings *s, MPI_Info info);

/* ---- open.c -------------------------------------------------------------------------------------- */

/*
 * engine_new -- a file that is not open yet, with the settings that hold for it
 *
 * plain: its name has no prefix, the setting `paths` has selected it.  NULL: no memory.
 */
struct pmio_mpi_file *engine_new(MPI_Comm comm, const char *path, bool plain, MPI_Info hints);
void engine_free(struct pmio_mpi_file *f);
/* all ranks come, f NULL where there was no memory; all get the same result.  What amode says was agreed upon */
int engine_open(MPI_Comm comm, struct pmio_mpi_file *f, int amode);
/* the same, where it was not; an MPI error class */
int engine_agree_and_open(MPI_Comm comm, const char *path, struct pmio_mpi_file *f, int amode);
/* this process alone */
int engine_open_alone(struct pmio_mpi_file *f, int amode);
/*
 * Collective where the file is complete.  The agent drains when the last handle goes: the result says
 * whether the data are on the PFS, and all ranks return it.  f stays, to be freed.
 */
int engine_close(struct pmio_mpi_file *f);
/* by path, without the prefix, in the pool that the hints name */
int engine_delete(const char *path, MPI_Info info);

/* ---- io.c ------------------------------------------------------------------------------------------ */

/* the byte of the view's data that an offset in elementary types is; UINT64_MAX: none that there can be */
uint64_t engine_position(const struct pmio_mpi_file *f, MPI_Offset offset);
/* count elements of type to or from the view's data from byte pos on; *done: bytes that were there */
int engine_transfer(struct pmio_mpi_file *f, const void *buf, int64_t count, MPI_Datatype type, uint64_t pos, bool write,
		    uint64_t *done);
/* the same, for a collective call: all ranks come */
int engine_transfer_all(struct pmio_mpi_file *f, const void *buf, int64_t count, MPI_Datatype type, uint64_t pos, bool write,
			uint64_t *done);
typedef int engine_transfer_fn(struct pmio_mpi_file *f, const void *buf, int64_t count, MPI_Datatype type, uint64_t pos, bool write,
			       uint64_t *done);
void engine_set_status(MPI_Status *status, uint64_t bytes);

/* ---- external.c ------------------------------------------------------------------------------------- */

/* one of the two above, with data that are external32 in the file */
int engine_transfer_external(struct pmio_mpi_file *f, engine_transfer_fn *by, const void *buf, int64_t count, MPI_Datatype type,
			     uint64_t pos, bool write, uint64_t *done);

/* ---- datarep.c -------------------------------------------------------------------------------------- */

/* what MPI_Register_datarep says */
struct datarep {
	struct datarep *next;
	char name[MPI_MAX_DATAREP_STRING];
	bool large;		/* its functions count by MPI_Count */
	union {
		MPI_Datarep_conversion_function *read; /* NULL: as it is in memory */
#ifdef HAVE_LARGE_COUNTS
		MPI_Datarep_conversion_function_c *read_large;
#endif
	};
	union {
		MPI_Datarep_conversion_function *write;
#ifdef HAVE_LARGE_COUNTS
		MPI_Datarep_conversion_function_c *write_large;
#endif
	};
	MPI_Datarep_extent_function *extent;
	void *extra;
};

/* an MPI error class: can it be registered? */
int engine_datarep_check(const struct datarep *how);
/* copied; an MPI error class */
int engine_datarep_add(const struct datarep *how);
/* NULL: there is none of that name */
const struct datarep *engine_datarep(const char *name);
/* 0; -EPROTONOSUPPORT: not with this type (logged); or an error */
int engine_datarep_fits(const struct datarep *r, MPI_Datatype type);
/* as engine_transfer_external(), with the program's functions */
int engine_transfer_user(struct pmio_mpi_file *f, engine_transfer_fn *by, const void *buf, int64_t count, MPI_Datatype type,
			 uint64_t pos, bool write, uint64_t *done);

/* ---- shared.c ---------------------------------------------------------------------------------------- */

/* its word in memory that all ranks share: rank 0 makes it, the others find it.  For engine_open(), whose messages say how that went */
void engine_shared_make(struct pmio_mpi_file *f, struct memory_place *at);
bool engine_shared_find(struct pmio_mpi_file *f, const struct memory_place *at);
/* of an open file: without such a word there is another one; start: where it is at first.  Collective */
void engine_shared_new(struct pmio_mpi_file *f, uint64_t start);
/* of one rank, when no other uses it any more, and it still has the file open */
void engine_shared_close(struct pmio_mpi_file *f);
/* collective, if it is one that was open */
void engine_shared_free(struct pmio_mpi_file *f);
/* was: where it was, in bytes of the view's data.  0, or an error of who has the word */
int engine_shared_add(struct pmio_mpi_file *f, uint64_t bytes, uint64_t *was);
/* the same; collective, and all have the same result; nobody uses it meanwhile */
int engine_shared_set(struct pmio_mpi_file *f, uint64_t pos, uint64_t *was);

/* ---- calls.c: whole calls, for adapters without ROMIO; all results are MPI error classes --------------- */

enum call_pointer { POINTER_NONE, POINTER_OWN, POINTER_SHARED };

/* a call that reads or writes */
struct call {
	enum call_pointer pointer; /* NONE: offset counts */
	bool all;		   /* collective; with the shared pointer: in the order of the ranks */
	bool write;
	MPI_Offset offset;	   /* elementary types of the view */
	void *buf;		   /* only read from by writes */
	MPI_Count count;
	MPI_Datatype type;
};
#define SPLIT(pointer, write) (1u + 2u * (unsigned)(pointer) + (write))

int call_open(MPI_Comm comm, const char *path, bool plain, int amode, MPI_Info info, struct pmio_mpi_file **out);
/* f is gone, whatever the result */
int call_close(struct pmio_mpi_file *f);
int call_transfer(struct pmio_mpi_file *f, const struct call *c, uint64_t *done);
int call_begin(struct pmio_mpi_file *f, const struct call *c);
int call_end(struct pmio_mpi_file *f, enum call_pointer pointer, bool write, MPI_Status *status);
/* one that is complete */
int call_request(uint64_t done, MPI_Request *request);
int call_seek(struct pmio_mpi_file *f, MPI_Offset offset, int whence);
int call_position(struct pmio_mpi_file *f, MPI_Offset *offset);
int call_seek_shared(struct pmio_mpi_file *f, MPI_Offset offset, int whence);
int call_position_shared(struct pmio_mpi_file *f, MPI_Offset *offset);
/* bad: what the adapter has against these types, an MPI error class; all ranks hear of it */
int call_set_view(struct pmio_mpi_file *f, MPI_Offset disp, MPI_Datatype etype, MPI_Datatype filetype, const char *rep, int bad);
int call_get_view(struct pmio_mpi_file *f, MPI_Offset *disp, MPI_Datatype *etype, MPI_Datatype *filetype, char *rep);
int call_set_size(struct pmio_mpi_file *f, MPI_Offset size);
int call_preallocate(struct pmio_mpi_file *f, MPI_Offset size);
int call_size(struct pmio_mpi_file *f, MPI_Offset *size);
int call_sync(struct pmio_mpi_file *f);

/* ---- size.c ------------------------------------------------------------------------------------------- */

/* also when others have only just begun to write what this rank has written with them */
int engine_size(struct pmio_mpi_file *f, off_t *size);
/* of one rank, while the others wait; never makes it shorter */
int engine_preallocate(struct pmio_mpi_file *f, MPI_Offset bytes);
/* collective: one rank does it */
int engine_resize(struct pmio_mpi_file *f, MPI_Offset size);
int engine_flush(struct pmio_mpi_file *f);
/* until all ranks have come; before what must not meet their writes */
void engine_meet(struct pmio_mpi_file *f);

/* ---- exchange.c: collective calls on files of several nodes ------------------------ */

/*
 * engine_choose_exchange -- does it pay with the view that is set?
 *
 * All ranks come, and all get the same: see the setting `collective`.  0, or -ENOMEM on all.
 */
int engine_choose_exchange(struct pmio_mpi_file *f);
void engine_exchange_free(struct exchange *x);
/* what the file reads and writes between these goes by it; all ranks come, and the second waits for all */
void engine_exchange_begin(struct exchange *x);
void engine_exchange_end(struct exchange *x);

/* ---- stray.c: names that were taken for what they are not -------------------------- */

/* in the working folder, once when a process opens a file and once when it closes one; one process for all of comm */
void engine_look_for_strays(MPI_Comm comm, bool closing);
/* a name that is none of ours, but looks as if it should be */
void engine_look_at_name(MPI_Comm comm, const char *name);

/* ---- memory.c ------------------------------------------------------------------------- */

/* where others find it; plain bytes */
struct memory_place {
	int64_t pid, fd;	/* fd < 0: there is none */
	uint64_t cookie[2];
	uint64_t lines, first;	/* of the arena that it is in, and its own first one */
};

/* zeros; NULL, and a place that says so: it cannot be had */
void *engine_memory_make(size_t size, struct memory_place *at);
/* the same in another process; NULL: this one cannot find it */
void *engine_memory_find(const struct memory_place *at);
/* of all ranks, if they are on one node and each wants it; NULL on all if not.  Collective */
void *engine_memory_new(MPI_Comm comm, size_t size, bool wanted);
/* when no rank uses it any more; NULL is none */
void engine_memory_free(void *memory, size_t size);
/* all of it */
void engine_memory_stop(void);

/* ---- together.c: collective calls begin together ----------------------------------- */

/* NULL: no memory */
struct together *engine_together_new(MPI_Comm comm);
void engine_together_free(struct together *t);
/* how they wait; the same on all ranks */
bool engine_together_by_mpi(const struct together *t);
/*
 * engine_together_begin -- wait until all ranks have called it
 *
 * one_node: all ranks are on one, and all know it.  grows: this rank may make the file longer; of
 * interest by MPI only.
 * Returns whether who then reads or writes has to call engine_together_end() afterwards; the
 * same on all ranks.  None of these before adapter_leave(): they wait.
 */
bool engine_together_begin(struct together *t, bool one_node, bool grows);
void engine_together_end(struct together *t);
/* until all ranks have ended the collective calls that this one has; they have begun them */
void engine_together_await_end(struct together *t);

/* ---- view.c: views ------------------------------------------------------------------ */

/* no types yet */
void engine_view_clear(struct view *v);
/* 0 or -ENOMEM; the types are duplicated.  etype's size is not 0 and divides filetype's. */
int engine_view_init(struct view *v, int64_t disp, MPI_Datatype etype, MPI_Datatype filetype);
void engine_view_fini(struct view *v);
/* duplicates of its types, which the caller frees but for named ones; 0 or -ENOMEM */
int engine_view_types(const struct view *v, MPI_Datatype *etype, MPI_Datatype *filetype);
/* where in the file byte pos of the view's data lies; 0, or -EFBIG */
int engine_view_place(const struct view *v, uint64_t pos, int64_t *place);
/* how many bytes of the view's data come before the first one that lies behind a file of that size */
uint64_t engine_view_bytes(const struct view *v, int64_t size);
/* MPI_File_get_byte_offset; an MPI error class */
int engine_byte_offset(const struct pmio_mpi_file *f, MPI_Offset offset, MPI_Offset *place);

/* ---- flat.c: datatypes as lists of pieces ------------------------------------------- */

struct flat_piece {
	int64_t off;	 /* bytes from the type's origin */
	uint64_t len;	 /* bytes, never 0 */
	uint64_t before; /* bytes of all pieces before it */
};

struct flat {
	_Atomic unsigned users; /* types that have it */
	struct flat_piece *pieces;
	MPI_Datatype *leaves; /* the basic type that each piece has elements of; NULL: not asked for */
	size_t nr;
	uint64_t size;	 /* bytes of data in one element */
	int64_t extent;	 /* bytes from one element to the next */
	bool dense;	 /* one piece, at 0, as long as the extent: elements follow without gaps */
};

/*
 * flat_get -- the pieces of one element of a datatype, in the order of its type map
 *
 * Kept with the type (as an attribute) until it is freed.  NULL: no memory.
 */
const struct flat *flat_get(MPI_Datatype type);
/* a byte of the data of elements of a type, one every extent bytes */
struct flat_at {
	int64_t base;	   /* origin of its element; where there are no gaps (flat NULL): its place */
	size_t piece;
	uint64_t in_piece; /* bytes of the piece before it */
};

/* byte pos of the data of elements that start at origin; fl: NULL, or with bytes.  0, or -EFBIG */
int flat_seek(const struct flat *fl, int64_t origin, uint64_t pos, struct flat_at *at);
/* the same, with leaves, and a piece for each run of elements of one basic type; owned by the caller */
struct flat *flat_with_leaves(MPI_Datatype type);
void flat_free(struct flat *fl);
bool flat_is_named(MPI_Datatype type);
/* free the attribute's key; before MPI_Finalize ends */
void flat_fini(void);

#endif
