/*
 * plugin.h -- the ROMIO that Open MPI 4.1 has as a plug-in
 *
 * A name "pmem:/path" comes to the Open MPI component (adio/openmpi), which lets ROMIO open it with pmio's
 * table of functions.  The handle's disp is 0 for every view, and its fp_ind counts bytes of the view's data.
 */
#ifndef PMIO_ROMIO_PLUGIN_H
#define PMIO_ROMIO_PLUGIN_H

#include <stdbool.h>

#include "romio321_abi.h"

/* the parts of ROMIO that are used, found at run time */
struct romio {
	void *so;
	const struct adio_ops *ufs;
	adio_open_fn *open;
	char *(*strdup)(const char *text);
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
 * romio_load -- find ROMIO in this Open MPI and check that it is the known one
 *
 * Returns it, the same each time, or NULL: the reason has been logged once.
 */
const struct romio *romio_load(void);
/* the opened handle is not as expected: never use ROMIO again; logs */
void romio_refuse(const char *why);

/* the driver's table: ad_pmem.c */
#define AD_PMEM_TABLE const struct adio_ops ADIO_PMEM_operations
extern AD_PMEM_TABLE;
const struct adio_ops *ad_pmem_ops(void);

/* set around ADIO_Open: the file is new */
extern _Thread_local bool ad_pmem_opening;
/* with it: the program's name has no prefix, the setting `paths` has selected it */
extern _Thread_local bool ad_pmem_plain_name;
/* set while ROMIO gets the file's size to seek from its end: then the size is that of the view */
extern _Thread_local bool ad_pmem_size_in_view;

#endif
