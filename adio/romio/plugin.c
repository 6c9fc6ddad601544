/* plugin.c -- the driver with the ROMIO of Open MPI 4.1, whose files the component has opened */
#include "ad_pmem.h"

_Thread_local bool ad_pmem_opening;
_Thread_local bool ad_pmem_plain_name;
_Thread_local bool ad_pmem_size_in_view;

const struct adio_ops *ad_pmem_ops(void)
{
	return &ADIO_PMEM_operations;
}

/* ROMIO calls this first for a new file, and again for views and MPI_File_set_info */
void romio_set_info(adio_handle fd, MPI_Info info, int *error)
{
	ad_pmem_set_info(fd, info, ad_pmem_opening, ad_pmem_plain_name, error);
}

void romio_take_info(adio_handle fd, MPI_Info info, int *error)
{
	romio_load()->set_info(fd, info, error);
}

void romio_open_coll(adio_handle fd, int rank, int access_mode, int *error)
{
	(void)rank;
	ad_pmem_open_coll(fd, access_mode, error);
}

/*
 * ROMIO calls this after the last close of a file with MPI_MODE_DELETE_ON_CLOSE.
 * The close has removed the name, and another process may have made a new file of that
 * name since.  (MPI_File_delete does not call this.)
 */
void romio_delete(const char *path, int *error)
{
	(void)path;
	*error = MPI_SUCCESS;
}

/* the component has made all ranks meet */
void romio_resize(adio_handle fd, adio_offset size, int *error)
{
	*error = engine_error(engine_resize(ad_pmem_file(fd), size));
}

void romio_flush(adio_handle fd, int *error)
{
	*error = engine_error(engine_flush(ad_pmem_file(fd)));
}

int romio_size(adio_handle fd, adio_offset *size)
{
	struct pmio_mpi_file *f = ad_pmem_file(fd);
	off_t bytes;
	int rc = engine_size(f, &bytes);

	*size = bytes;
	if (rc == 0 && ad_pmem_size_in_view)
		*size = (adio_offset)engine_view_bytes(&f->view, bytes);
	return rc;
}

/* the component keeps the flag where ROMIO does not see it */
void romio_set_atomicity(adio_handle fd, bool atomic)
{
	ad_pmem_file(fd)->atomic = atomic;
}

uint64_t romio_position(adio_handle fd, int fp_kind, adio_offset offset, bool in_bytes)
{
	if (fp_kind == ADIO_INDIVIDUAL)
		return (uint64_t)fd->fp_ind;
	return in_bytes ? (uint64_t)offset : engine_position(ad_pmem_file(fd), offset);
}

void romio_advance(adio_handle fd, uint64_t pos)
{
	fd->fp_ind = (adio_offset)pos;
}

adio_offset romio_seek_individual(adio_handle fd, adio_offset offset, int whence, int *error)
{
	return romio_load()->seek_individual(fd, offset, whence, error);
}

void romio_completed_request(adio_handle fd, uint64_t done, MPI_Request *request, int *error)
{
	romio_load()->completed_request(&fd, (MPI_Offset)done, error, request);
}

int romio_io_done(MPI_Request *request, MPI_Status *status, int *error)
{
	return romio_load()->io_done(request, status, error);
}

void romio_io_complete(MPI_Request *request, MPI_Status *status, int *error)
{
	romio_load()->io_complete(request, status, error);
}
