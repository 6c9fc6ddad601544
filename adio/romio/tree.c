/*
 * tree.c -- the driver in MPICH's own ROMIO
 *
 * Here ROMIO's front end is unchanged: it opens files, knows their views, and its file pointers are offsets in the
 * file.  mpich-tree adds three calls to it that are only for this driver: one after a view has been set, and two for
 * the shared file pointer, which is a word in memory and not a hidden file.
 */
#include "ad_pmem.h"
#include "engine/yielding_collectives.h"

#include "mpioimpl.h"

/* ---- functions that the engine needs from an adapter ------------------------------------------------- */

void adapter_add_settings(struct pmio_settings *s)
{
	(void)s; /* there are only files and the environment */
}

/*
 * ROMIO may query a file's size with or without its lock: the lock is kept then.  This is safe, as all ranks have begun
 * the calls that it waits for
 */
static _Thread_local bool stays;

void adapter_leave(void)
{
	if (!stays) {
		ROMIO_THREAD_CS_EXIT();
	}
}

void adapter_enter(void)
{
	if (!stays) {
		ROMIO_THREAD_CS_ENTER();
	}
}

void adapter_progress(MPI_Comm comm)
{
	int found;

	PMPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, comm, &found, MPI_STATUS_IGNORE);
}

/* ---- opening and deleting ----------------------------------------------------------------- */

static _Thread_local bool plain_name; /* of the file that this thread is about to open */

int ADIOI_PMEM_Selects(const char *filename)
{
	plain_name = engine_path(filename) == filename;
	return plain_name;
}

/* ROMIO calls this first for a new file, and again for views and MPI_File_set_info */
void romio_set_info(adio_handle fd, MPI_Info info, int *error)
{
	bool new = !fd->fs_ptr;

	if (new)
		engine_start_until_finalize(NULL);
	ad_pmem_set_info(fd, info, new, plain_name, error);
}

void romio_take_info(adio_handle fd, MPI_Info info, int *error)
{
	ADIOI_GEN_SetInfo(fd, info, error);
}

/*
 * with MPI_MODE_DELETE_ON_CLOSE ROMIO itself deletes after the close, and could then delete another process's new file
 * of that name
 */
void romio_open_coll(adio_handle fd, int rank, int access_mode, int *error)
{
	struct pmio_mpi_file *f;

	(void)rank;
	ad_pmem_open_coll(fd, access_mode, error);
	if (*error != MPI_SUCCESS)
		return;
	f = ad_pmem_file(fd);
	fd->access_mode &= ~ADIO_DELETE_ON_CLOSE;
	f->complete = true;
	(void)engine_view_init(&f->view, 0, MPI_BYTE, MPI_BYTE); /* named types take no memory */
	engine_shared_new(f, 0);
	engine_look_for_strays(fd->comm, false);
}

void romio_delete(const char *path, int *error)
{
	engine_start_until_finalize(NULL);
	*error = engine_error(engine_delete(path, MPI_INFO_NULL));
}

/* ---- views ------------------------------------------------------------------------------------ */

static int make_view(ADIO_File fd, struct view *next)
{
	/* ROMIO has handled the displacement: in sequential mode it is not the program's value any more */
	int amode = ad_pmem_file(fd)->amode | MPI_MODE_SEQUENTIAL;
	int rc = engine_check_view(amode, MPI_DISPLACEMENT_CURRENT, fd->etype, fd->filetype);

	return rc == MPI_SUCCESS ? engine_error(engine_view_init(next, fd->disp, fd->etype, fd->filetype)) : rc;
}

/* if one rank's view is invalid, all ranks learn of it */
void ADIOI_PMEM_Set_view(ADIO_File fd, int *error)
{
	struct pmio_mpi_file *f = ad_pmem_file(fd);
	struct view next;
	uint64_t was;
	int mine;

	engine_view_clear(&next);
	mine = make_view(fd, &next);
	engine_allreduce(&mine, error, 1, MPI_INT, MPI_MAX, fd->comm);
	if (*error != MPI_SUCCESS) {
		engine_view_fini(&next);
		return;
	}
	engine_view_fini(&f->view);
	f->view = next;
	*error = engine_error(engine_shared_set(f, 0, &was));
	if (*error == MPI_SUCCESS)
		*error = engine_error(engine_choose_exchange(f));
}

/* offsets in bytes are offsets in the file, like the individual pointer */
uint64_t romio_position(adio_handle fd, int fp_kind, adio_offset offset, bool in_bytes)
{
	const struct pmio_mpi_file *f = ad_pmem_file(fd);

	if (fp_kind == ADIO_INDIVIDUAL)
		return engine_view_bytes(&f->view, fd->fp_ind);
	return in_bytes ? engine_view_bytes(&f->view, offset) : engine_position(f, offset);
}

void romio_advance(adio_handle fd, uint64_t pos)
{
	int64_t place;

	if (engine_view_place(&ad_pmem_file(fd)->view, pos, &place) == 0)
		fd->fp_ind = place;
}

/* ---- shared file pointers: in elementary types of the view, for ROMIO -------------------------------- */

void ADIOI_PMEM_Get_shared_fp(ADIO_File fd, ADIO_Offset incr, ADIO_Offset *shared_fp, int *error)
{
	struct pmio_mpi_file *f = ad_pmem_file(fd);
	uint64_t size = (uint64_t)f->view.etype_size, was;

	*error = engine_error(engine_shared_add(f, (uint64_t)incr * size, &was));
	*shared_fp = (ADIO_Offset)(was / size);
}

/* called by one rank, while the others wait */
void ADIOI_PMEM_Set_shared_fp(ADIO_File fd, ADIO_Offset offset, int *error)
{
	struct pmio_mpi_file *f = ad_pmem_file(fd);
	uint64_t was;
	int rc = engine_shared_add(f, 0, &was);

	if (rc == 0)
		rc = engine_shared_add(f, (uint64_t)offset * (uint64_t)f->view.etype_size - was, &was);
	*error = engine_error(rc);
}

/* ---- the rest ----------------------------------------------------------------------------------------- */

/* collective; it must not overlap with other ranks' writes */
void romio_resize(adio_handle fd, adio_offset size, int *error)
{
	engine_meet_once(ad_pmem_file(fd));
	*error = engine_error(engine_resize(ad_pmem_file(fd), size));
}

void romio_flush(adio_handle fd, int *error)
{
	engine_meet_once(ad_pmem_file(fd));
	*error = engine_error(engine_flush(ad_pmem_file(fd)));
}

int romio_size(adio_handle fd, adio_offset *size)
{
	off_t bytes;
	int rc;

	stays = true;
	rc = engine_size(ad_pmem_file(fd), &bytes);
	stays = false;
	*size = bytes;
	return rc;
}

void romio_set_atomicity(adio_handle fd, bool atomic)
{
	ad_pmem_file(fd)->atomic = atomic;
	fd->atomicity = atomic; /* the flag that MPI_File_get_atomicity returns */
}

adio_offset romio_seek_individual(adio_handle fd, adio_offset offset, int whence, int *error)
{
	return ADIOI_GEN_SeekIndividual(fd, offset, whence, error);
}

void romio_completed_request(adio_handle fd, uint64_t done, MPI_Request *request, int *error)
{
	MPIO_Completed_request_create(&fd, (MPI_Offset)done, error, request);
}

int romio_io_done(MPI_Request *request, MPI_Status *status, int *error)
{
	return ADIOI_FAKE_IODone(request, status, error);
}

void romio_io_complete(MPI_Request *request, MPI_Status *status, int *error)
{
	ADIOI_FAKE_IOComplete(request, status, error);
}
