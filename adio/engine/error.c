/* error.c -- results as error classes of MPI, and as messages */
#include "engine.h"

#include <errno.h>

#include "core/error.h"

int engine_error(int rc)
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
	case -EILSEQ: /* of data representations */
		return MPI_ERR_CONVERSION;
	case -EPROTONOSUPPORT:
		return MPI_ERR_UNSUPPORTED_DATAREP;
	case -EOPNOTSUPP:
		return MPI_ERR_UNSUPPORTED_OPERATION;
	default: /* also -EMFILE and -ENFILE, as in ROMIO */
		return rc < 0 ? MPI_ERR_IO : MPI_SUCCESS;
	}
}

void engine_say_failed(const char *what, const char *path, int rc)
{
	if (rc == PMIO_EOTHER) /* logged, with the name of the other pool */
		return;
	switch (engine_error(rc)) {
	case MPI_ERR_NO_SUCH_FILE:
	case MPI_ERR_FILE_EXISTS:
	case MPI_ERR_ACCESS:
	case MPI_ERR_READ_ONLY:
		pmio_info("%s %s: %s", what, path, pmio_strerror(rc));
		break;
	default:
		pmio_err("%s %s: %s", what, path, pmio_strerror(rc));
	}
}
