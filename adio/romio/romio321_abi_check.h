/*
 * romio321_abi_check.h -- is this ROMIO the one that romio321_abi.h describes?
 *
 * Used at configure time and at load time, and by a test that passes wrong tables.
 */
#ifndef PMIO_ROMIO321_ABI_CHECK_H
#define PMIO_ROMIO321_ABI_CHECK_H

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "romio321_abi.h"

/* the position of each exported function of ROMIO in its table for Unix file systems */
static const struct pmio_romio_entry {
	const char *symbol;
	size_t offset;
} pmio_romio_entries[] = {
	{ "ADIOI_UFS_Open", offsetof(struct adio_ops, ADIOI_xxx_Open) },
	{ "ADIOI_GEN_OpenColl", offsetof(struct adio_ops, ADIOI_xxx_OpenColl) },
	{ "ADIOI_GEN_ReadContig", offsetof(struct adio_ops, ADIOI_xxx_ReadContig) },
	{ "ADIOI_GEN_WriteContig", offsetof(struct adio_ops, ADIOI_xxx_WriteContig) },
	{ "ADIOI_GEN_ReadStridedColl", offsetof(struct adio_ops, ADIOI_xxx_ReadStridedColl) },
	{ "ADIOI_GEN_WriteStridedColl", offsetof(struct adio_ops, ADIOI_xxx_WriteStridedColl) },
	{ "ADIOI_GEN_SeekIndividual", offsetof(struct adio_ops, ADIOI_xxx_SeekIndividual) },
	{ "ADIOI_GEN_Fcntl", offsetof(struct adio_ops, ADIOI_xxx_Fcntl) },
	{ "ADIOI_GEN_SetInfo", offsetof(struct adio_ops, ADIOI_xxx_SetInfo) },
	{ "ADIOI_GEN_ReadStrided", offsetof(struct adio_ops, ADIOI_xxx_ReadStrided) },
	{ "ADIOI_GEN_WriteStrided", offsetof(struct adio_ops, ADIOI_xxx_WriteStrided) },
	{ "ADIOI_GEN_Close", offsetof(struct adio_ops, ADIOI_xxx_Close) },
	{ "ADIOI_GEN_IODone", offsetof(struct adio_ops, ADIOI_xxx_ReadDone) },
	{ "ADIOI_GEN_IODone", offsetof(struct adio_ops, ADIOI_xxx_WriteDone) },
	{ "ADIOI_GEN_IOComplete", offsetof(struct adio_ops, ADIOI_xxx_ReadComplete) },
	{ "ADIOI_GEN_IOComplete", offsetof(struct adio_ops, ADIOI_xxx_WriteComplete) },
	{ "ADIOI_GEN_IreadStrided", offsetof(struct adio_ops, ADIOI_xxx_IreadStrided) },
	{ "ADIOI_GEN_IwriteStrided", offsetof(struct adio_ops, ADIOI_xxx_IwriteStrided) },
	{ "ADIOI_GEN_Flush", offsetof(struct adio_ops, ADIOI_xxx_Flush) },
	{ "ADIOI_GEN_Resize", offsetof(struct adio_ops, ADIOI_xxx_Resize) },
	{ "ADIOI_GEN_Delete", offsetof(struct adio_ops, ADIOI_xxx_Delete) },
	{ "ADIOI_GEN_Feature", offsetof(struct adio_ops, ADIOI_xxx_Feature) },
};

#define PMIO_ROMIO_NR_ENTRIES (sizeof(pmio_romio_entries) / sizeof(pmio_romio_entries[0]))

/*
 * The table's entries must be the functions of those names, and its name string
 * must follow them.  so: handle of mca_io_romio321.so.  Returns 0, or -1 with the
 * reason in why.
 */
static inline int pmio_romio_check_table(void *so, const void *table, char *why, size_t size)
{
	const char *name;

	if (!table) {
		snprintf(why, size, "no table ADIO_UFS_operations");
		return -1;
	}
	for (size_t i = 0; i < PMIO_ROMIO_NR_ENTRIES; i++) {
		const struct pmio_romio_entry *e = &pmio_romio_entries[i];
		void *want = dlsym(so, e->symbol), *have;

		memcpy(&have, (const char *)table + e->offset, sizeof(have));
		if (!want || want != have) {
			snprintf(why, size, "%s %s", e->symbol,
				 want ? "is not where it should be in ROMIO's table" : "is not exported");
			return -1;
		}
	}
	memcpy(&name, (const char *)table + offsetof(struct adio_ops, fsname), sizeof(name));
	if (!name || strncmp(name, "UFS:", 4) != 0) {
		snprintf(why, size, "the name in ROMIO's table is not where it should be");
		return -1;
	}
	return 0;
}

/*
 * After an open: the values passed to it must be where they are expected.  Returns 0,
 * or -1 with the reason in why.
 */
static inline int pmio_romio_check_file(const struct adio_file *fd, MPI_Comm comm,
					const struct adio_ops *ops, const char *filename,
					char *why, size_t size)
{
	const char *what = NULL;

	if (fd->cookie != ADIO_COOKIE)
		what = "cookie";
	else if (fd->ops != ops)
		what = "table of functions";
	else if (fd->comm != comm)
		what = "communicator";
	else if (fd->file_system != ADIO_UFS_TYPE)
		what = "type of file system";
	else if (!fd->filename || strcmp(fd->filename, filename) != 0)
		what = "file name";
	else if (fd->etype != MPI_BYTE || fd->filetype != MPI_BYTE || fd->etype_size != 1)
		what = "view";
	else if (fd->perm != ADIO_DEFAULT_PERM || fd->fortran_handle != -1 || fd->atomicity != 0)
		what = "state";
	else if (fd->io_buf_window != MPI_WIN_NULL || fd->io_buf_put_amounts_window != MPI_WIN_NULL)
		what = "last fields";
	if (!what)
		return 0;
	snprintf(why, size, "the %s of an open file is not where it should be", what);
	return -1;
}

#endif
