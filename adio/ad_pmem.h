/*
 * ad_pmem.h -- the ADIO driver and the Open MPI component around it
 *
 * A name "pmem:/path" comes to the component (mca_io_pmem.c), which lets ROMIO
 * open it with our table of functions (ad_pmem.c).  ROMIO's front end then calls
 * those for all that it does to the file.
 *
 * Threads: Open MPI lets one thread at a time into ROMIO, but for opening and where
 * ad_pmem_leave_romio() says so.
 */
#ifndef PMIO_AD_PMEM_H
#define PMIO_AD_PMEM_H

#include <stdbool.h>
#include <stdint.h>

#include "client/client.h"
#include "romio321_abi.h"

/* what we use of ROMIO, found at run time */
struct romio {
	void *so;
	const struct adio_ops *ufs;
	adio_open_fn *open;
	void (*shfp_fname)(struct adio_file *fd, int rank, int *error);
	void (*set_shared_fp)(struct adio_file *fd, adio_offset offset, int *error);
	void (*init)(int *error);
	void (*completed_request)(struct adio_file **fd, MPI_Offset nbytes, int *error,
				  MPI_Request *request);
	void (*set_info)(struct adio_file *fd, MPI_Info info, int *error);
	adio_offset (*seek_individual)(struct adio_file *fd, adio_offset offset, int whence, int *error);
	adio_done_fn *io_done;
	adio_complete_fn *io_complete;
	void *component, *module, *mutex; /* Open MPI's, around it */
};

/*
 * romio_load -- find ROMIO in this Open MPI and check that it is the one we know
 *
 * Returns it, the same each time, or NULL: the reason has been logged once.
 */
const struct romio *romio_load(void);
/* the opened handle is not as we know it: never use ROMIO again; logs */
void romio_refuse(const char *why);

/*
 * In a call that came through ROMIO: others may call it, until this thread comes back.
 * Who waits for other ranks leaves: another thread of theirs, in a call on another file,
 * may wait for one of ours.
 */
void ad_pmem_leave_romio(void);
void ad_pmem_enter_romio(void);

/* our driver's table; needs romio_load() to have succeeded */
const struct adio_ops *ad_pmem_ops(void);

/* a file view: which bytes of the file are seen, in which order; see ad_pmem_view.c */
struct view {
	int64_t disp;			/* bytes */
	const struct flat *fl;		/* of filetype; NULL: no gaps */
	MPI_Datatype etype, filetype;	/* duplicates of the program's own */
};

/* what a file has in fs_ptr */
struct ad_pmem {
	struct pmio_settings settings;
	struct pmio_file *file;	 /* NULL before it is open */
	bool complete;		 /* all ranks have it open: a close is collective */
	bool atomic;		 /* MPI_File_set_atomicity; ROMIO's own flag stays off, see mca_io_pmem.c */
	struct pmio *pm;	 /* the pool of this node; not owned */
	struct exchange *exchange; /* owned; NULL: not needed yet */
	bool exchanges;		 /* collective calls use it; the same for all ranks */
	struct together *together; /* owned; NULL, on all ranks: collective calls do not wait for each other */
	struct view view;	 /* the handle's disp is 0, and its fp_ind counts bytes of the view's data */
};

/*
 * Set around ADIO_Open for files that a program opens: ROMIO also opens a hidden
 * file for the shared file pointer through our table, and that one is not ours.
 */
extern _Thread_local bool ad_pmem_opening;
/* beside it: the program's name has no prefix, the setting `paths` has selected it */
extern _Thread_local bool ad_pmem_plain_name;

/* settings from Open MPI parameters, on top of the rest; NULL before registration */
const struct pmio_settings *ad_pmem_base_settings(void);

/* the connection to a pool, kept until MPI ends; 0 or an error */
int ad_pmem_pool(const struct pmio_settings *s, struct pmio **out);
void ad_pmem_disconnect_all(void);

/* hints of an MPI_Info on top of s; aloud: say which are not known or not valid, each once */
void ad_pmem_take_hints(struct pmio_settings *s, MPI_Info info, bool aloud);

/* a pmio result as an MPI error class */
int ad_pmem_error(int rc);
/*
 * logs why an open or a delete failed.  What its error class says as well (there is
 * no such file, ...) is for the program to tell or not, as on other files: many
 * delete a file that may be there, and test suites take any output for a failure.
 */
void ad_pmem_say_failed(const char *what, const char *path, int rc);

/* delete by path, without the prefix, in the pool that the hints name; an MPI error class */
int ad_pmem_delete_path(const char *path, MPI_Info info);

/* ad_pmem_open.c */
void ad_pmem_open(struct adio_file *fd, int *error);
void ad_pmem_open_coll(struct adio_file *fd, int rank, int access_mode, int *error);
void ad_pmem_close(struct adio_file *fd, int *error);
void ad_pmem_set_info(struct adio_file *fd, MPI_Info info, int *error);

/* ad_pmem_io.c */
adio_read_fn ad_pmem_read_contig, ad_pmem_read_strided, ad_pmem_read_coll;
adio_write_fn ad_pmem_write_contig, ad_pmem_write_strided, ad_pmem_write_coll;
adio_iread_fn ad_pmem_iread_contig, ad_pmem_iread_strided;
adio_iwrite_fn ad_pmem_iwrite_contig, ad_pmem_iwrite_strided;

/* ---- ad_pmem_exchange.c: collective calls on files of several nodes --------------- */

/*
 * ad_pmem_choose_exchange -- does it pay with the view that is set?
 *
 * All ranks come, and all get the same: see the setting `collective`.  0, or -ENOMEM on all.
 */
int ad_pmem_choose_exchange(struct adio_file *fd);
void ad_pmem_exchange_free(struct exchange *x);
/* what the file reads and writes between these goes by it; all ranks come, and the second waits for all */
void ad_pmem_exchange_begin(struct exchange *x);
void ad_pmem_exchange_end(struct exchange *x);

/* ---- ad_pmem_stray.c: names that were taken for what they are not ----------------- */

/* in the working folder, once when a process opens a file and once when it closes one; one process for all of comm */
void ad_pmem_look_for_strays(MPI_Comm comm, bool closing);
/* a name that is none of ours, but looks as if it should be */
void ad_pmem_look_at_name(MPI_Comm comm, const char *name);

/* ---- ad_pmem_together.c: collective calls begin together -------------------------- */

/* NULL: no memory */
struct together *ad_pmem_together_new(MPI_Comm comm);
void ad_pmem_together_free(struct together *t);
/* how they wait; the same on all ranks */
bool ad_pmem_together_by_mpi(const struct together *t);
/*
 * ad_pmem_together_begin -- wait until all ranks have called it
 *
 * one_node: all ranks are on one, and all know it.  grows: this rank may make the file longer; of
 * interest by MPI only.
 * Returns whether who then reads or writes has to call ad_pmem_together_end() afterwards; the
 * same on all ranks.  None of these with the lock on ROMIO held: they wait.
 */
bool ad_pmem_together_begin(struct together *t, bool one_node, bool grows);
void ad_pmem_together_end(struct together *t);
/* until all ranks have ended the collective calls that this one has; they have begun them */
void ad_pmem_together_await_end(struct together *t);
/* what this process has to do for others that wait in MPI */
void ad_pmem_progress(void);

/* ---- ad_pmem_view.c: views -------------------------------------------------------- */

/* 0 or -ENOMEM; the types are duplicated.  etype's size is not 0 and divides filetype's. */
int ad_pmem_view_init(struct view *v, int64_t disp, MPI_Datatype etype, MPI_Datatype filetype);
void ad_pmem_view_fini(struct view *v);
/* duplicates of its types, which the caller frees but for named ones; 0 or -ENOMEM */
int ad_pmem_view_types(const struct view *v, MPI_Datatype *etype, MPI_Datatype *filetype);
/* where in the file byte pos of the view's data lies; 0, or -EFBIG */
int ad_pmem_view_place(const struct view *v, uint64_t pos, int64_t *place);
/* how many bytes of the view's data come before the first one that lies behind a file of that size */
uint64_t ad_pmem_view_bytes(const struct view *v, int64_t size);

static inline struct view *view_of(const struct adio_file *fd)
{
	return &((struct ad_pmem *)fd->fs_ptr)->view;
}

/* set while ROMIO asks for the file's size to seek from its end: it counts in the view then */
extern _Thread_local bool ad_pmem_size_in_view;

/* ---- ad_pmem_flat.c: datatypes as lists of pieces ------------------------------ */

struct flat_piece {
	int64_t off;	 /* bytes from the type's origin */
	uint64_t len;	 /* bytes, never 0 */
	uint64_t before; /* bytes of all pieces before it */
};

struct flat {
	_Atomic unsigned users; /* types that have it */
	struct flat_piece *pieces;
	size_t nr;
	uint64_t size;	 /* bytes of data in one element */
	int64_t extent;	 /* bytes from one element to the next */
	bool dense;	 /* one piece, at 0, as long as the extent: elements follow without gaps */
};

/*
 * flat_get -- the pieces of one element of a datatype, in the order of its type map
 *
 * Kept with the type (as an attribute) until it is freed.  NULL: out of memory.
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
bool flat_is_named(MPI_Datatype type);
/* free the attribute's key; before MPI_Finalize ends */
void flat_fini(void);

#endif
