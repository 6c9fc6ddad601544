/*
 * romio_tree.h -- the ROMIO in MPICH's tree, under the names that the driver uses for Open MPI's (romio321_abi.h)
 *
 * Its own headers are available, so no check at run time is needed.
 */
#ifndef PMIO_ROMIO_TREE_H
#define PMIO_ROMIO_TREE_H

#include "adio.h"

#define adio_file ADIOI_FileD

typedef ADIO_File adio_handle;
typedef ADIO_Offset adio_offset;
typedef ADIO_Fcntl_t adio_control;

enum {
	ADIO_SET_ATOMICITY = ADIO_FCNTL_SET_ATOMICITY,
	ADIO_SET_DISKSPACE = ADIO_FCNTL_SET_DISKSPACE,
	ADIO_GET_FSIZE = ADIO_FCNTL_GET_FSIZE,
	ADIO_HAS_SHARED_FP = ADIO_SHARED_FP,
	ADIO_HAS_ATOMIC_MODE = ADIO_ATOMIC_MODE,
	ADIO_HAS_SCALABLE_OPEN = ADIO_SCALABLE_OPEN,
	ADIO_HAS_UNLINK_AFTER_CLOSE = ADIO_UNLINK_AFTER_CLOSE,
	ADIO_HAS_SCALABLE_RESIZE = ADIO_SCALABLE_RESIZE,
	ADIO_HAS_IMMEDIATE_VISIBILITY = ADIO_IMMEDIATELY_VISIBLE,
	ADIO_DEFAULT_PERM = ADIO_PERM_NULL,
};

/* in ROMIO's list of file systems */
#define AD_PMEM_TABLE struct ADIOI_Fns_struct ADIO_PMEM_operations

/* ---- tree.c: called by ROMIO, as patched by mpich-tree --------------------------------------------------- */

/* does the setting `paths` select this name without a prefix? */
int ADIOI_PMEM_Selects(const char *filename);
/* ROMIO has set the view; collective */
void ADIOI_PMEM_Set_view(ADIO_File fd, int *error);
void ADIOI_PMEM_Get_shared_fp(ADIO_File fd, ADIO_Offset incr, ADIO_Offset *shared_fp, int *error);
void ADIOI_PMEM_Set_shared_fp(ADIO_File fd, ADIO_Offset offset, int *error);

#endif
