/*
 * ad_pmem.h -- the ADIO driver: passes ROMIO's calls on pmio files to the engine
 *
 * ROMIO's front end calls the driver's table of functions (ad_pmem.c) for all operations on a pmio
 * file.  How it gets the table, and what its file pointers are, differs between
 *  - the ROMIO that Open MPI 4.1 has as a plug-in (plugin.c), which is unmodified: the component
 *    (adio/openmpi) opens files in its place, and gives it a view of bytes from 0 on;
 *  - the ROMIO in MPICH's own tree (tree.c), which this is compiled into (mpich-tree).
 *
 * Threads: both let one thread at a time into ROMIO, except for opens and between adapter_leave()
 * and adapter_enter().
 */
#ifndef PMIO_AD_PMEM_H
#define PMIO_AD_PMEM_H

#ifdef PMIO_IN_ROMIO
#include "romio_tree.h"
#else
#include "plugin.h"
#endif
#include "engine/engine.h"

static inline struct pmio_mpi_file *ad_pmem_file(const struct adio_file *fd)
{
	return fd->fs_ptr;
}

/* ---- ad_pmem.c ------------------------------------------------------------------------------- */

/*
 * for a file that a program opens; new: at its open, the only place where pmio's hints are used; plain: its name has no
 * prefix
 */
void ad_pmem_set_info(adio_handle fd, MPI_Info info, bool new, bool plain, int *error);
void ad_pmem_open_coll(adio_handle fd, int access_mode, int *error);
void ad_pmem_free(adio_handle fd);

/* ---- of each ROMIO: plugin.c, tree.c ------------------------------------------------------------ */

void romio_set_info(adio_handle fd, MPI_Info info, int *error);
void romio_open_coll(adio_handle fd, int rank, int access_mode, int *error);
void romio_flush(adio_handle fd, int *error);
void romio_resize(adio_handle fd, adio_offset size, int *error);
void romio_delete(const char *path, int *error);
adio_offset romio_seek_individual(adio_handle fd, adio_offset offset, int whence, int *error);
int romio_io_done(MPI_Request *request, MPI_Status *status, int *error);
void romio_io_complete(MPI_Request *request, MPI_Status *status, int *error);
/* ROMIO's own function, for its own hints */
void romio_take_info(adio_handle fd, MPI_Info info, int *error);
void romio_completed_request(adio_handle fd, uint64_t done, MPI_Request *request, int *error);
/*
 * the byte of the view's data at which a call begins; offset: in bytes, or elementary types of the view; unused if the
 * file's pointer is used
 */
uint64_t romio_position(adio_handle fd, int fp_kind, adio_offset offset, bool in_bytes);
/* move the file's pointer there */
void romio_advance(adio_handle fd, uint64_t pos);
/* 0 or a negative number; *size as ROMIO expects it */
int romio_size(adio_handle fd, adio_offset *size);
void romio_set_atomicity(adio_handle fd, bool atomic);

#endif
