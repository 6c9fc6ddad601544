/*
 * engine.h -- MPI-IO on libpmio, in standard MPI
 *
 * It depends neither on ROMIO nor on the internals of any MPI, only on mpi.h.  An adapter
 * passes a program's calls to the engine, and the results back: the ADIO driver
 * (adio/romio) with the Open MPI component around it (adio/openmpi), or the library over
 * MPI_File_* (adio/library).  An adapter has the program's handle, its errors and requests;
 * all operations on the file are done here.
 *
 * Results: 0 or a negative number as in pmio.h, except where an MPI error class is
 * mentioned.
 */
#ifndef PMIO_ENGINE_H
#define PMIO_ENGINE_H

#include <mpi.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/client.h"
#include "engine/view.h"

struct memory_place;

/* an open file, on one rank */
struct pmio_mpi_file {
	MPI_Comm comm;		 /* of the ranks that opened it, for this file only; owned by the adapter */
	char *path;		 /* owned; without a prefix */
	int amode;
	int perm;		 /* of a new file; -1: the default */
	struct pmio_settings settings;
	struct pmio_file *file;	 /* NULL before it is open */
	bool on_nodes;		 /* each rank has opened it as a file of several nodes; the same on all ranks, unlike remote_layout_of() */
	struct pmio_mpi_file *prev, *next; /* unclosed.c */
	bool listed;		 /* it is in the list of unclosed.c */
	int rank;		 /* of this process in comm */
	bool complete;		 /* all ranks have it open, so a close is collective */
	bool atomic;
	pthread_mutex_t atomic_lock; /* serializes this process's threads in atomic mode; taken before the file lock, which they share */
	struct pmio *pm;	 /* the pool of this node; not owned */
	struct exchange *exchange; /* owned; NULL: not needed yet */
	bool exchanges;		 /* collective calls use it; the same for all ranks */
	struct together *together; /* owned; NULL, on all ranks: ranks do not wait for each other in collective calls */
	struct view view;
	/* for adapters that use calls.c; the ADIO driver uses ROMIO's fields instead */
	bool external;		 /* the view's representation is external32 */
	const struct datarep *rep; /* or a user-defined one; NULL: it is not */
	pthread_mutex_t pos_lock;
	uint64_t pos;		 /* the individual pointer: bytes of the view's data; under pos_lock */
	bool shares;		 /* it needs a shared pointer; set before the open, on all ranks */
	struct shared_pointer *shared; /* owned; NULL: of one rank, at the file's metadata server, or in a window */
	uint64_t mds_pointer;	 /* its number at the file's metadata server; 0: not there */
	MPI_Win shared_window;	 /* owned; MPI_WIN_NULL: not in a window */
	_Atomic uint64_t shared_own; /* of one rank */
	uint64_t shared_start;	 /* the position at which its word is 0 */
	pthread_mutex_t later_lock;
	struct later *later;	 /* owned; NULL: no transfer had to wait yet; under later_lock, except while the file is closed */
	unsigned split;		 /* the split call that has begun, see SPLIT; 0: none */
	uint64_t split_done;	 /* bytes */
};

/* ---- functions that an adapter provides ---------------------------------------------------------- */

/* add its own settings to those from files and the environment */
void adapter_add_settings(struct pmio_settings *s);
/*
 * Within a call that only one thread of this process may make at a time: let other threads make
 * it until adapter_enter().  A thread that waits for other ranks calls this, as another of their
 * threads, in a call on another file, may wait for a thread of this process.
 */
void adapter_leave(void);
void adapter_enter(void);
/* make MPI progress for other processes that wait in MPI; comm: of the file of this wait */
void adapter_progress(MPI_Comm comm);

/* ---- names_settings.c: which files belong to pmio, and the settings that are common to all ------------ */

/* "/path" of "pmem:/path", or a plain name that the setting `paths` selects; NULL: not a pmio file */
const char *engine_path(const char *name);
/*
 * at the first pmio name: read the settings again, with messages; true: this was the first time since the start or
 * engine_stop()
 */
bool engine_start(void);
/* at MPI_Finalize: close files that are open, free connections and settings */
void engine_stop(void);
/*
 * engine_start(), for adapters that are not notified of MPI_Finalize: there everything is freed, and also() is called, if
 * not NULL.  If files are open then, which a library may close even later in MPI_Finalize, this is done at the end of the
 * process, without also()
 */
bool engine_start_until_finalize(void (*also)(void));
/* after engine_start() */
const struct pmio_settings *engine_settings(void);

/* ---- check.c: arguments ------------------------------------------------------------------- */

/* a rank's values for its access mode; the result is the maximum over all ranks of each (MPI_MAX) */
#define AMODE_SAYS 3
void engine_say_amode(int amode, int says[AMODE_SAYS]);
/* an MPI error class, the same on all ranks, even if only one rank's mode is invalid */
int engine_hear_amode(MPI_Comm comm, const char *path, int amode, const int max[AMODE_SAYS]);
/* both of them; collective */
int engine_agree_amode(MPI_Comm comm, const char *path, int amode);
/* an MPI error class; the adapter checks that the types are committed */
int engine_check_view(int amode, MPI_Offset disp, MPI_Datatype etype, MPI_Datatype filetype);
/* an MPI error class; collective */
int engine_set_atomicity(struct pmio_mpi_file *f, int flag);

/* ---- error.c ------------------------------------------------------------------------------- */

/* a result as an MPI error class */
int engine_error(int rc);
/*
 * log why an open or a delete failed.  Reasons that the error class shows, too (no
 * such file, ...), are left to the program, as for other files: many programs delete a
 * file that may not exist, and test suites treat any output as a failure.
 */
void engine_say_failed(const char *what, const char *path, int rc);

/* ---- pools.c, hints.c ------------------------------------------------------------------------ */

/* the connection to a pool, kept until MPI_Finalize */
int engine_pool(const struct pmio_settings *s, struct pmio **out);
void engine_disconnect_all(void);

/* add the hints of an MPI_Info to s; aloud: log those that are unknown or invalid, each once */
void engine_take_hints(struct pmio_settings *s, MPI_Info info, bool aloud);
/*
 * Remove hints with which ROMIO aborts the program.  Returns info, or a copy, which the caller
 * frees if it is not info.
 */
MPI_Info engine_good_hints(MPI_Info info);
/* the effective settings, for MPI_File_get_info */
void engine_show_hints(const struct pmio_settings *s, MPI_Info info);

/* ---- open.c -------------------------------------------------------------------------------------- */

/*
 * engine_new -- a file that is not open yet, with its settings
 *
 * plain: its name has no prefix, the setting `paths` has selected it.  NULL: out of
 * memory.
 */
struct pmio_mpi_file *engine_new(MPI_Comm comm, const char *path, bool plain, MPI_Info hints);
void engine_free(struct pmio_mpi_file *f);
/* collective, f is NULL on ranks that are out of memory; the same result on all ranks.  amode was agreed upon */
int engine_open(MPI_Comm comm, struct pmio_mpi_file *f, int amode);
/* the same if amode was not agreed upon yet; an MPI error class */
int engine_agree_and_open(MPI_Comm comm, const char *path, struct pmio_mpi_file *f, int amode);
/* only this process */
int engine_open_alone(struct pmio_mpi_file *f, int amode);
/*
 * Collective if the file is complete.  The agent drains when the last handle is closed: the result
 * tells whether the data are on the PFS, and all ranks return it.  The caller frees f.
 */
int engine_close(struct pmio_mpi_file *f);
/* by path, without the prefix, in the pool that the hints name */
int engine_delete(const char *path, MPI_Info info);

/* ---- unclosed.c: files that are not closed before MPI_Finalize ---------------------------------------- */

/* f was opened; f is about to be closed */
void engine_left_add(struct pmio_mpi_file *f);
void engine_left_remove(struct pmio_mpi_file *f);
/* wait for the transfers of files that are open; are there any? */
bool engine_left_wait(void);
/*
 * close all open files locally, with a message for each; each process by itself, without MPI, and handles are not freed
 */
void engine_left_close(void);

/* ---- io.c ------------------------------------------------------------------------------------------ */

/* an offset in elementary types as a byte of the view's data; UINT64_MAX: out of range */
uint64_t engine_position(const struct pmio_mpi_file *f, MPI_Offset offset);
/* transfer count elements of type to or from the view's data from byte pos on; *done: bytes transferred */
int engine_transfer(struct pmio_mpi_file *f, const void *buf, int64_t count, MPI_Datatype type, uint64_t pos, bool write,
		    uint64_t *done);
/* the same for a collective call, on all ranks */
int engine_transfer_all(struct pmio_mpi_file *f, const void *buf, int64_t count, MPI_Datatype type, uint64_t pos, bool write,
			uint64_t *done);
typedef int engine_transfer_fn(struct pmio_mpi_file *f, const void *buf, int64_t count, MPI_Datatype type, uint64_t pos, bool write,
			       uint64_t *done);
void engine_set_status(MPI_Status *status, uint64_t bytes);

/*
 * engine_transfer_prepare -- a transfer that can be made later, by any thread and without MPI
 *
 * It no longer needs the datatype and the view, but the buffer and the file; freed by the caller.
 * bytes: number of bytes, unless the file ends before
 * NULL: there is nothing to do (*rc is 0), or an error
 */
struct io_transfer *engine_transfer_prepare(struct pmio_mpi_file *f, const void *buf, int64_t count, MPI_Datatype type, uint64_t pos,
					   bool write, uint64_t *bytes, int *rc);
int engine_transfer_run(struct io_transfer *t, uint64_t *done);
/*
 * a read of a file of one node, if it need not wait; -EAGAIN: it would have to wait, so run the transfer from its start
 */
int engine_transfer_at_once(struct io_transfer *t, uint64_t *done);
void engine_transfer_free(struct io_transfer *t);

/* ---- request.c: nonblocking calls ------------------------------------------------------------------- */

/* a completed request; an MPI error code */
int engine_request_completed(uint64_t done, MPI_Request *request);
/*
 * engine_transfer_start -- a nonblocking transfer
 *
 * 0: it is done, *done bytes; -EINPROGRESS: *request will be completed, with the number of bytes or an error, and *done is
 * the distance by which a file pointer moves.  pointer: that distance is needed.
 */
int engine_transfer_start(struct pmio_mpi_file *f, const void *buf, int64_t count, MPI_Datatype type, uint64_t pos, bool write, bool pointer,
			  uint64_t *done, MPI_Request *request);
/* can this MPI complete requests of transfers that wait?  Any thread */
bool engine_requests_wait(void);
/* before MPI_Finalize ends */
void engine_requests_stop(void);

/* ---- external.c ------------------------------------------------------------------------------------- */

/* one of the two above, with data that are external32 in the file */
int engine_transfer_external(struct pmio_mpi_file *f, engine_transfer_fn *by, const void *buf, int64_t count, MPI_Datatype type,
			     uint64_t pos, bool write, uint64_t *done);

/* ---- datarep.c -------------------------------------------------------------------------------------- */

/* the arguments of MPI_Register_datarep */
struct datarep {
	struct datarep *next;
	char name[MPI_MAX_DATAREP_STRING];
	bool large;		/* its functions count by MPI_Count */
	union {
		MPI_Datarep_conversion_function *read; /* NULL: as in memory */
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

#define NATIVE_REP "native"
#define EXTERNAL_REP "external32"
/* names of MPI's own representations, as in ROMIO: capitals are allowed, and "internal" is another name of the native one */
bool engine_rep_is_predefined(const char *name);
bool engine_rep_is_external(const char *name);

/* an MPI error class: can it be registered? */
int engine_datarep_check(const struct datarep *how);
/* copied; an MPI error class */
int engine_datarep_add(const struct datarep *how);
/* NULL: there is none with that name */
const struct datarep *engine_datarep(const char *name);
/* 0; -EPROTONOSUPPORT: unsuitable for this type (logged); or an error */
int engine_datarep_fits(const struct datarep *r, MPI_Datatype type);
/* as engine_transfer_external(), with the program's functions */
int engine_transfer_user(struct pmio_mpi_file *f, engine_transfer_fn *by, const void *buf, int64_t count, MPI_Datatype type,
			 uint64_t pos, bool write, uint64_t *done);

/* ---- shared.c ---------------------------------------------------------------------------------------- */

/*
 * its word in memory shared by all ranks: rank 0 makes it, the others find it.  For engine_open(), whose messages carry
 * the result
 */
void engine_shared_make(struct pmio_mpi_file *f, struct memory_place *at);
bool engine_shared_find(struct pmio_mpi_file *f, const struct memory_place *at);
/* for an open file: if there is no such word make one elsewhere; start: its first value.  Collective */
void engine_shared_new(struct pmio_mpi_file *f, uint64_t start);
/* by one rank, when no other rank uses it any more, while the file is still open */
void engine_shared_close(struct pmio_mpi_file *f);
/* collective, if the file was open */
void engine_shared_free(struct pmio_mpi_file *f);
/* was: its previous value, in bytes of the view's data.  0, or an error of the process that has the word */
int engine_shared_add(struct pmio_mpi_file *f, uint64_t bytes, uint64_t *was);
/* set it; collective, with the same result on all ranks; no rank may use it meanwhile */
int engine_shared_set(struct pmio_mpi_file *f, uint64_t pos, uint64_t *was);

/* ---- calls.c: whole calls, for adapters without ROMIO; all results are MPI error classes --------------- */

enum call_pointer { POINTER_NONE, POINTER_OWN, POINTER_SHARED };

/* a call that reads or writes */
struct io_call {
	enum call_pointer pointer; /* NONE: use offset */
	bool all;		   /* collective; with the shared pointer: in the order of the ranks */
	bool write;
	MPI_Offset offset;	   /* elementary types of the view */
	void *buf;		   /* only read from by writes */
	MPI_Count count;
	MPI_Datatype type;
};
#define SPLIT(pointer, write) (1u + 2u * (unsigned)(pointer) + (write))

int call_open(MPI_Comm comm, const char *path, bool plain, int amode, MPI_Info info, struct pmio_mpi_file **out);
/* frees f, whatever the result */
int call_close(struct pmio_mpi_file *f);
int call_transfer(struct pmio_mpi_file *f, const struct io_call *c, uint64_t *done);
int call_begin(struct pmio_mpi_file *f, const struct io_call *c);
int call_end(struct pmio_mpi_file *f, enum call_pointer pointer, bool write, MPI_Status *status);
/* a nonblocking call: independent, also if its name ends with _all */
int call_start(struct pmio_mpi_file *f, const struct io_call *c, MPI_Request *request);
int call_seek(struct pmio_mpi_file *f, MPI_Offset offset, int whence);
int call_position(struct pmio_mpi_file *f, MPI_Offset *offset);
int call_seek_shared(struct pmio_mpi_file *f, MPI_Offset offset, int whence);
int call_position_shared(struct pmio_mpi_file *f, MPI_Offset *offset);
/* bad: the adapter's objection to these types, an MPI error class, which all ranks get */
int call_set_view(struct pmio_mpi_file *f, MPI_Offset disp, MPI_Datatype etype, MPI_Datatype filetype, const char *rep, int bad);
int call_get_view(struct pmio_mpi_file *f, MPI_Offset *disp, MPI_Datatype *etype, MPI_Datatype *filetype, char *rep);
int call_set_size(struct pmio_mpi_file *f, MPI_Offset size);
int call_preallocate(struct pmio_mpi_file *f, MPI_Offset size);
int call_size(struct pmio_mpi_file *f, MPI_Offset *size);
int call_sync(struct pmio_mpi_file *f);

/* ---- view.c ------------------------------------------------------------------------------------------- */

/* MPI_File_get_byte_offset; an MPI error class */
int engine_byte_offset(const struct pmio_mpi_file *f, MPI_Offset offset, MPI_Offset *place);

/* ---- size.c ------------------------------------------------------------------------------------------- */

/* correct also while other ranks are still in a collective write that this rank has ended */
int engine_size(struct pmio_mpi_file *f, off_t *size);
/* by one rank, while the others wait; never makes the file shorter */
int engine_preallocate(struct pmio_mpi_file *f, MPI_Offset bytes);
/* collective: one rank sets the size */
int engine_resize(struct pmio_mpi_file *f, MPI_Offset size);
int engine_flush(struct pmio_mpi_file *f);
/* a barrier after this rank's nonblocking writes, before operations that must not overlap with other ranks' writes */
void engine_meet(struct pmio_mpi_file *f);
/* the same for an operation of ROMIO: no barrier if the adapter's call, which calls ROMIO, was one just now */
void engine_meet_once(struct pmio_mpi_file *f);

/* ---- exchange.c: collective calls on files of several nodes ------------------------ */

/*
 * engine_choose_exchange -- is it worthwhile with the current view?
 *
 * Collective, with the same result on all ranks: see the setting `collective`.  0, or
 * -ENOMEM on all.
 */
int engine_choose_exchange(struct pmio_mpi_file *f);
void engine_exchange_free(struct exchange *x);
/* between these two the file's reads and writes use the exchange; collective, and the second waits for all ranks */
void engine_exchange_begin(struct exchange *x);
void engine_exchange_end(struct exchange *x);

/* ---- prefix_warning.c: pmio names that were used as ordinary names ---------------------------- */

/*
 * search the working folder, once when a process opens a file and once when it closes one; one process for all of comm
 */
void engine_look_for_strays(MPI_Comm comm, bool closing);
/* check a name that does not belong to pmio, but looks as if it should */
void engine_look_at_name(MPI_Comm comm, const char *name);

#endif
