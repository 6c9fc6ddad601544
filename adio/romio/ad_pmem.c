/* ad_pmem.c -- the driver's table: each call is decoded, carried out by the engine, and its result encoded */
#include "ad_pmem.h"

#include <errno.h>

/* ---- hints ------------------------------------------------------------------------- */

void ad_pmem_set_info(adio_handle fd, MPI_Info info, bool new, bool plain, int *error)
{
	MPI_Info good = engine_good_hints(info);

	romio_take_info(fd, good, error);
	if (good != info)
		PMPI_Info_free(&good);
	if (!new)
		return;
	if (!fd->fs_ptr)
		fd->fs_ptr = engine_new(fd->comm, fd->filename, plain, info);
	if (fd->fs_ptr) /* otherwise the open that follows reports it */
		engine_show_hints(&ad_pmem_file(fd)->settings, fd->info);
}

/* ---- open and close ------------------------------------------------------------------- */

void ad_pmem_free(adio_handle fd)
{
	engine_free(fd->fs_ptr);
	fd->fs_ptr = NULL;
}

static void take_perm(adio_handle fd)
{
	if (fd->fs_ptr && fd->perm != ADIO_DEFAULT_PERM)
		ad_pmem_file(fd)->perm = fd->perm;
}

void ad_pmem_open_coll(adio_handle fd, int access_mode, int *error)
{
	off_t size = 0;
	int rc, nr;

	PMPI_Comm_size(fd->comm, &nr);
	if (fd->fs_ptr) /* otherwise out of memory, which the open reports */
		ad_pmem_file(fd)->shares = nr > 1;
	fd->access_mode = access_mode;
	fd->fd_sys = -1;
	fd->blksize = 4096;
	take_perm(fd);
	rc = engine_open(fd->comm, fd->fs_ptr, access_mode);
	*error = engine_error(rc);
	if (rc < 0) {
		ad_pmem_free(fd);
		return;
	}
	fd->blksize = (long)ad_pmem_file(fd)->file->chunk_size;
	fd->is_open = 1;
	if ((access_mode & MPI_MODE_APPEND) && pmio_size(ad_pmem_file(fd)->file, &size) == 0)
		fd->fp_ind = size;
}

/* ROMIO itself only calls open_coll; this is for other callers that open with MPI_COMM_SELF */
static void open_alone(adio_handle fd, int *error)
{
	take_perm(fd);
	*error = engine_error(fd->fs_ptr ? engine_open_alone(fd->fs_ptr, fd->access_mode) : -ENOMEM);
}

static void close_file(adio_handle fd, int *error)
{
	*error = engine_error(engine_close(fd->fs_ptr));
	ad_pmem_free(fd);
}

/* ---- reading and writing ---------------------------------------------------------------- */

enum { BLOCKING, COLLECTIVE };

static int transfer(adio_handle fd, int how, const void *buf, int count, MPI_Datatype type, int fp_kind,
		    adio_offset offset, bool write, bool in_bytes, uint64_t *done)
{
	struct pmio_mpi_file *f = ad_pmem_file(fd);
	uint64_t pos = romio_position(fd, fp_kind, offset, in_bytes);
	int rc;

	rc = how == COLLECTIVE ? engine_transfer_all(f, buf, count, type, pos, write, done)
			       : engine_transfer(f, buf, count, type, pos, write, done);
	if (rc == 0 && fp_kind == ADIO_INDIVIDUAL)
		romio_advance(fd, pos + *done);
	return rc;
}

static void blocking(adio_handle fd, int how, const void *buf, int count, MPI_Datatype type, int fp_kind,
		     adio_offset offset, bool write, bool in_bytes, MPI_Status *status, int *error)
{
	uint64_t done;

	*error = engine_error(transfer(fd, how, buf, count, type, fp_kind, offset, write, in_bytes, &done));
	engine_set_status(status, done);
}

/* loads and stores have nothing to wait for: their request is complete when it is returned */
static void nonblocking(adio_handle fd, const void *buf, int count, MPI_Datatype type, int fp_kind,
			adio_offset offset, bool write, bool in_bytes, MPI_Request *request, int *error)
{
	bool own = fp_kind == ADIO_INDIVIDUAL;
	uint64_t done, pos = romio_position(fd, fp_kind, offset, in_bytes);
	int rc = engine_transfer_start(ad_pmem_file(fd), buf, count, type, pos, write, own, &done, request);

	if (own && (rc == 0 || rc == -EINPROGRESS))
		romio_advance(fd, pos + done);
	*error = rc == -EINPROGRESS ? MPI_SUCCESS : engine_error(rc);
	if (rc == -EINPROGRESS)
		return;
	if (*error == MPI_SUCCESS)
		romio_completed_request(fd, done, request, error);
	else
		*request = MPI_REQUEST_NULL;
}

static void read_contig(adio_handle fd, void *buf, int count, MPI_Datatype type, int fp_kind, adio_offset offset,
			MPI_Status *status, int *error)
{
	blocking(fd, BLOCKING, buf, count, type, fp_kind, offset, false, true, status, error);
}

static void write_contig(adio_handle fd, const void *buf, int count, MPI_Datatype type, int fp_kind,
			 adio_offset offset, MPI_Status *status, int *error)
{
	blocking(fd, BLOCKING, buf, count, type, fp_kind, offset, true, true, status, error);
}

static void read_strided(adio_handle fd, void *buf, int count, MPI_Datatype type, int fp_kind, adio_offset offset,
			 MPI_Status *status, int *error)
{
	blocking(fd, BLOCKING, buf, count, type, fp_kind, offset, false, false, status, error);
}

static void write_strided(adio_handle fd, const void *buf, int count, MPI_Datatype type, int fp_kind,
			  adio_offset offset, MPI_Status *status, int *error)
{
	blocking(fd, BLOCKING, buf, count, type, fp_kind, offset, true, false, status, error);
}

static void read_coll(adio_handle fd, void *buf, int count, MPI_Datatype type, int fp_kind, adio_offset offset,
		      MPI_Status *status, int *error)
{
	blocking(fd, COLLECTIVE, buf, count, type, fp_kind, offset, false, false, status, error);
}

static void write_coll(adio_handle fd, const void *buf, int count, MPI_Datatype type, int fp_kind,
		       adio_offset offset, MPI_Status *status, int *error)
{
	blocking(fd, COLLECTIVE, buf, count, type, fp_kind, offset, true, false, status, error);
}

static void iread_contig(adio_handle fd, void *buf, int count, MPI_Datatype type, int fp_kind, adio_offset offset,
			 MPI_Request *request, int *error)
{
	nonblocking(fd, buf, count, type, fp_kind, offset, false, true, request, error);
}

static void iwrite_contig(adio_handle fd, const void *buf, int count, MPI_Datatype type, int fp_kind,
			  adio_offset offset, MPI_Request *request, int *error)
{
	nonblocking(fd, buf, count, type, fp_kind, offset, true, true, request, error);
}

static void iread_strided(adio_handle fd, void *buf, int count, MPI_Datatype type, int fp_kind, adio_offset offset,
			  MPI_Request *request, int *error)
{
	nonblocking(fd, buf, count, type, fp_kind, offset, false, false, request, error);
}

static void iwrite_strided(adio_handle fd, const void *buf, int count, MPI_Datatype type, int fp_kind,
			   adio_offset offset, MPI_Request *request, int *error)
{
	nonblocking(fd, buf, count, type, fp_kind, offset, true, false, request, error);
}

/* ---- the rest --------------------------------------------------------------------------------- */

/* ROMIO asks before it uses locks, data sieving or two-phase I/O: none of them is needed */
static int feature(adio_handle fd, int flag)
{
	(void)fd;
	switch (flag) {
	case ADIO_HAS_SHARED_FP:
	case ADIO_HAS_ATOMIC_MODE:
	case ADIO_HAS_SCALABLE_OPEN: /* no deferred open: every rank has a handle */
	case ADIO_HAS_UNLINK_AFTER_CLOSE:
	case ADIO_HAS_SCALABLE_RESIZE:
	case ADIO_HAS_IMMEDIATE_VISIBILITY:
		return 1;
	default:
		return 0;
	}
}

static void control(adio_handle fd, int flag, adio_control *arg, int *error)
{
	struct pmio_mpi_file *f = ad_pmem_file(fd);
	int rc = 0;

	switch (flag) {
	case ADIO_GET_FSIZE:
		rc = romio_size(fd, &arg->fsize);
		break;
	case ADIO_SET_DISKSPACE: /* called by one rank, before a barrier */
		rc = engine_preallocate(f, arg->diskspace);
		break;
	case ADIO_SET_ATOMICITY:
		romio_set_atomicity(fd, arg->atomicity != 0);
		break;
	default:
		rc = -EINVAL;
	}
	*error = engine_error(rc);
}

AD_PMEM_TABLE = {
	.ADIOI_xxx_Open = open_alone,
	.ADIOI_xxx_OpenColl = romio_open_coll,
	.ADIOI_xxx_ReadContig = read_contig,
	.ADIOI_xxx_WriteContig = write_contig,
	.ADIOI_xxx_ReadStridedColl = read_coll,
	.ADIOI_xxx_WriteStridedColl = write_coll,
	.ADIOI_xxx_SeekIndividual = romio_seek_individual,
	.ADIOI_xxx_Fcntl = control,
	.ADIOI_xxx_SetInfo = romio_set_info,
	.ADIOI_xxx_ReadStrided = read_strided,
	.ADIOI_xxx_WriteStrided = write_strided,
	.ADIOI_xxx_Close = close_file,
	.ADIOI_xxx_IreadContig = iread_contig,
	.ADIOI_xxx_IwriteContig = iwrite_contig,
	.ADIOI_xxx_ReadDone = romio_io_done,
	.ADIOI_xxx_WriteDone = romio_io_done,
	.ADIOI_xxx_ReadComplete = romio_io_complete,
	.ADIOI_xxx_WriteComplete = romio_io_complete,
	.ADIOI_xxx_IreadStrided = iread_strided,
	.ADIOI_xxx_IwriteStrided = iwrite_strided,
	.ADIOI_xxx_Flush = romio_flush,
	.ADIOI_xxx_Resize = romio_resize,
	.ADIOI_xxx_Delete = romio_delete,
	.ADIOI_xxx_Feature = feature,
	.fsname = "PMEM: pmio, files in persistent memory",
	/* these must not wait for other ranks, so they never use the exchange */
	.ADIOI_xxx_IreadStridedColl = iread_strided,
	.ADIOI_xxx_IwriteStridedColl = iwrite_strided,
};
