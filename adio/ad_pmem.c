/* the driver's table, and the calls that are too small for a file of their own */
#include "ad_pmem.h"

#include <errno.h>

#include "core/error.h"

/* ROMIO asks before it uses locks, data sieving or two-phase I/O: we need none of them */
static int feature(struct adio_file *fd, int flag)
{
	(void)fd;
	switch (flag) {
	case ADIO_HAS_SHARED_FP:
	case ADIO_HAS_ATOMIC_MODE:
	case ADIO_HAS_SCALABLE_OPEN: /* no deferred open, please: every rank has a handle */
	case ADIO_HAS_UNLINK_AFTER_CLOSE:
	case ADIO_HAS_SCALABLE_RESIZE:
		return 1;
	default:
		return 0;
	}
}

static int get_size(struct adio_file *fd, adio_offset *out)
{
	struct ad_pmem *ad = fd->fs_ptr;
	off_t size = 0;
	int rc = pmio_size(ad->file, &size);

	*out = size;
	return rc;
}

/* called by one rank, before a barrier; a file never shrinks by this */
static int preallocate(struct adio_file *fd, adio_offset bytes)
{
	struct ad_pmem *ad = fd->fs_ptr;
	adio_offset size;
	int rc = get_size(fd, &size);

	if (rc < 0 || size >= bytes)
		return rc;
	return pmio_truncate(ad->file, bytes);
}

/* of collective calls that this rank has ended, and others may not have */
static void await_writers(struct adio_file *fd)
{
	const struct ad_pmem *ad = fd->fs_ptr;

	if (!ad->together)
		return;
	ad_pmem_leave_romio();
	ad_pmem_together_await_end(ad->together);
	ad_pmem_enter_romio();
}

static void control(struct adio_file *fd, int flag, struct adio_fcntl *arg, int *error)
{
	int rc = 0;

	switch (flag) {
	case ADIO_GET_FSIZE:
		await_writers(fd);
		rc = get_size(fd, &arg->fsize);
		if (rc == 0 && ad_pmem_size_in_view)
			arg->fsize = (adio_offset)ad_pmem_view_bytes(view_of(fd), arg->fsize);
		break;
	case ADIO_SET_DISKSPACE:
		rc = preallocate(fd, arg->diskspace);
		break;
	case ADIO_SET_ATOMICITY:
		((struct ad_pmem *)fd->fs_ptr)->atomic = arg->atomicity != 0;
		break;
	default:
		rc = -EINVAL;
	}
	*error = ad_pmem_error(rc);
}

/* all ranks come; the agent does it once */
static void resize(struct adio_file *fd, adio_offset size, int *error)
{
	struct ad_pmem *ad = fd->fs_ptr;
	int rank, rc = 0;

	PMPI_Comm_rank(fd->comm, &rank);
	if (rank == 0)
		rc = pmio_truncate(ad->file, size);
	PMPI_Bcast(&rc, 1, MPI_INT, 0, fd->comm);
	*error = ad_pmem_error(rc);
}

static void flush(struct adio_file *fd, int *error)
{
	struct ad_pmem *ad = fd->fs_ptr;

	if (ad->settings.num[PMIO_SET_SYNC] == PMIO_SYNC_DRAIN)
		*error = ad_pmem_error(pmio_drain(ad->file));
	else
		*error = ad_pmem_error(pmio_sync(ad->file));
}

/*
 * ROMIO calls this after the last close of a file with MPI_MODE_DELETE_ON_CLOSE.
 * The close has removed the name, and somebody may have made another file of that
 * name since.  (MPI_File_delete does not come this way.)
 */
static void delete(const char *path, int *error)
{
	(void)path;
	*error = MPI_SUCCESS;
}

static adio_offset seek_individual(struct adio_file *fd, adio_offset offset, int whence, int *error)
{
	return romio_load()->seek_individual(fd, offset, whence, error);
}

static int io_done(MPI_Request *request, MPI_Status *status, int *error)
{
	return romio_load()->io_done(request, status, error);
}

static void io_complete(MPI_Request *request, MPI_Status *status, int *error)
{
	romio_load()->io_complete(request, status, error);
}

static const struct adio_ops ops = {
	.open = ad_pmem_open,
	.open_coll = ad_pmem_open_coll,
	.read_contig = ad_pmem_read_contig,
	.write_contig = ad_pmem_write_contig,
	.read_strided_coll = ad_pmem_read_coll,
	.write_strided_coll = ad_pmem_write_coll,
	.seek_individual = seek_individual,
	.fcntl = control,
	.set_info = ad_pmem_set_info,
	.read_strided = ad_pmem_read_strided,
	.write_strided = ad_pmem_write_strided,
	.close = ad_pmem_close,
	.iread_contig = ad_pmem_iread_contig,
	.iwrite_contig = ad_pmem_iwrite_contig,
	.read_done = io_done,
	.write_done = io_done,
	.read_complete = io_complete,
	.write_complete = io_complete,
	.iread_strided = ad_pmem_iread_strided,
	.iwrite_strided = ad_pmem_iwrite_strided,
	.flush = flush,
	.resize = resize,
	.delete = delete,
	.feature = feature,
	.name = "PMEM: pmio, files in persistent memory",
	/* these must not wait for other ranks, so they never exchange */
	.iread_strided_coll = ad_pmem_iread_strided,
	.iwrite_strided_coll = ad_pmem_iwrite_strided,
};

const struct adio_ops *ad_pmem_ops(void)
{
	return &ops;
}

int ad_pmem_error(int rc)
{
	switch (rc) {
	case -ENOENT:
		return MPI_ERR_NO_SUCH_FILE;
	case -EACCES:
	case -EPERM:
		return MPI_ERR_ACCESS;
	case -EROFS:
		return MPI_ERR_READ_ONLY;
	case -EEXIST:
		return MPI_ERR_FILE_EXISTS;
	case -ENOSPC:
	case -EFBIG:
		return MPI_ERR_NO_SPACE;
	case -EDQUOT:
		return MPI_ERR_QUOTA;
	case -EISDIR:
	case -ENOTDIR:
	case -ENAMETOOLONG:
	case -ELOOP:
		return MPI_ERR_BAD_FILE;
	case -EINVAL:
		return MPI_ERR_ARG;
	case -EBUSY:
	case -ETXTBSY:
	case PMIO_ECHANGED:
	case PMIO_EOTHER:
		return MPI_ERR_FILE_IN_USE;
	case -EBADF:
		return MPI_ERR_FILE;
	case -ENOMEM:
		return MPI_ERR_NO_MEM;
	case -EOPNOTSUPP:
		return MPI_ERR_UNSUPPORTED_OPERATION;
	default: /* also -EMFILE and -ENFILE, as in ROMIO */
		return rc < 0 ? MPI_ERR_IO : MPI_SUCCESS;
	}
}
