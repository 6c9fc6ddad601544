/*
 * romio321_abi.h -- the few structures of Open MPI 4.1's ROMIO that pmio uses
 *
 * ROMIO's headers are never installed, so the interface is declared here, from facts:
 * order and types of fields in the ROMIO that Open MPI 4.1.x has as component
 * "romio321" (its version is 3.2.1; its driver interface is ADIO).  The names are
 * pmio's.  None of this is trusted: romio321_abi_check.h compares it with the running
 * library before its use.
 */
#ifndef PMIO_ROMIO321_ABI_H
#define PMIO_ROMIO321_ABI_H

#include <mpi.h>

struct adio_file;
struct adio_ops;

typedef struct adio_file *adio_handle;
typedef struct adio_fcntl adio_control;
typedef long long adio_offset; /* bytes, or etypes where mentioned */

/* access modes are MPI's MPI_MODE_* */

enum { ADIO_EXPLICIT = 100, ADIO_INDIVIDUAL = 101 };	   /* kinds of file pointers */
enum { ADIO_UFS_TYPE = 152 };				   /* "a Unix file system" */
enum { ADIO_SET_ATOMICITY = 180, ADIO_SET_DISKSPACE = 188, ADIO_GET_FSIZE = 200 };
enum {							   /* features that ROMIO asks a driver for */
	ADIO_HAS_LOCKS = 300,
	ADIO_HAS_SHARED_FP = 301,
	ADIO_HAS_ATOMIC_MODE = 302,
	ADIO_HAS_SIEVING_WRITES = 303,
	ADIO_HAS_SCALABLE_OPEN = 304,
	ADIO_HAS_UNLINK_AFTER_CLOSE = 305,
	ADIO_HAS_TWO_PHASE = 306,
	ADIO_HAS_SCALABLE_RESIZE = 307,
	ADIO_HAS_IMMEDIATE_VISIBILITY = 308, /* asked only by later versions */
};
enum { ADIO_COOKIE = 2487376 };
enum { ADIO_DEFAULT_PERM = -1 };

/* an open file, as ROMIO's common code sees it */
struct adio_file {
	int cookie;
	int fd_sys;
	int null_fd;
	int fd_direct;
	int direct_read;
	int direct_write;
	unsigned d_mem;
	unsigned d_miniosz;
	long blksize;
	adio_offset fp_ind;	/* individual file pointer: absolute, bytes */
	adio_offset fp_sys_posn;
	const struct adio_ops *ops;
	MPI_Comm comm;
	int is_open;
	int is_agg;
	char *filename;
	int file_system;
	int access_mode;
	int orig_access_mode;
	adio_offset disp;	/* of the view, bytes */
	MPI_Datatype etype;
	MPI_Datatype filetype;
	MPI_Count etype_size;	/* bytes */
	void *hints;
	MPI_Info info;
	int split_coll_count;
	MPI_Status split_status;
	MPI_Datatype split_datatype;
	char *shared_fp_fname;
	struct adio_file *shared_fp_fd;
	int async_count;
	int perm;
	int atomicity;
	int fortran_handle;
	MPI_Errhandler err_handler;
	void *fs_ptr;		/* the driver's own */
	adio_offset *file_realm_st_offs;
	MPI_Datatype *file_realm_types;
	int my_cb_nodes_index;
	char *io_buf;
	MPI_Win io_buf_window;
	int *io_buf_put_amounts;
	MPI_Win io_buf_put_amounts_window;
	int is_external32;
};

struct adio_fcntl {
	adio_offset disp;
	MPI_Datatype etype;
	MPI_Datatype filetype;
	MPI_Info info;
	int atomicity;
	adio_offset fsize;	/* ADIO_GET_FSIZE */
	adio_offset diskspace;	/* ADIO_SET_DISKSPACE */
};

/* reading and writing have the same types except for const */
typedef void adio_read_fn(struct adio_file *fd, void *buf, int count, MPI_Datatype type, int fp_kind,
			  adio_offset offset, MPI_Status *status, int *error);
typedef void adio_write_fn(struct adio_file *fd, const void *buf, int count, MPI_Datatype type,
			   int fp_kind, adio_offset offset, MPI_Status *status, int *error);
typedef void adio_iread_fn(struct adio_file *fd, void *buf, int count, MPI_Datatype type, int fp_kind,
			   adio_offset offset, MPI_Request *request, int *error);
typedef void adio_iwrite_fn(struct adio_file *fd, const void *buf, int count, MPI_Datatype type,
			    int fp_kind, adio_offset offset, MPI_Request *request, int *error);
typedef int adio_done_fn(MPI_Request *request, MPI_Status *status, int *error);
typedef void adio_complete_fn(MPI_Request *request, MPI_Status *status, int *error);

/* a driver; ROMIO's names, as the same table is compiled in MPICH's tree (romio_tree.h) */
struct adio_ops {
	void (*ADIOI_xxx_Open)(struct adio_file *fd, int *error);
	void (*ADIOI_xxx_OpenColl)(struct adio_file *fd, int rank, int access_mode, int *error);
	adio_read_fn *ADIOI_xxx_ReadContig;
	adio_write_fn *ADIOI_xxx_WriteContig;
	adio_read_fn *ADIOI_xxx_ReadStridedColl;
	adio_write_fn *ADIOI_xxx_WriteStridedColl;
	adio_offset (*ADIOI_xxx_SeekIndividual)(struct adio_file *fd, adio_offset offset, int whence, int *error);
	void (*ADIOI_xxx_Fcntl)(struct adio_file *fd, int flag, struct adio_fcntl *arg, int *error);
	void (*ADIOI_xxx_SetInfo)(struct adio_file *fd, MPI_Info info, int *error);
	adio_read_fn *ADIOI_xxx_ReadStrided;
	adio_write_fn *ADIOI_xxx_WriteStrided;
	void (*ADIOI_xxx_Close)(struct adio_file *fd, int *error);
	adio_iread_fn *ADIOI_xxx_IreadContig;
	adio_iwrite_fn *ADIOI_xxx_IwriteContig;
	adio_done_fn *ADIOI_xxx_ReadDone;
	adio_done_fn *ADIOI_xxx_WriteDone;
	adio_complete_fn *ADIOI_xxx_ReadComplete;
	adio_complete_fn *ADIOI_xxx_WriteComplete;
	adio_iread_fn *ADIOI_xxx_IreadStrided;
	adio_iwrite_fn *ADIOI_xxx_IwriteStrided;
	void (*ADIOI_xxx_Flush)(struct adio_file *fd, int *error);
	void (*ADIOI_xxx_Resize)(struct adio_file *fd, adio_offset size, int *error);
	void (*ADIOI_xxx_Delete)(const char *filename, int *error);
	int (*ADIOI_xxx_Feature)(struct adio_file *fd, int flag);
	const char *fsname;
	adio_iread_fn *ADIOI_xxx_IreadStridedColl;
	adio_iwrite_fn *ADIOI_xxx_IwriteStridedColl;
};

/* functions called in mca_io_romio321.so */
typedef struct adio_file *adio_open_fn(MPI_Comm orig_comm, MPI_Comm comm, const char *filename,
				       int file_system, const struct adio_ops *ops, int access_mode,
				       adio_offset disp, MPI_Datatype etype, MPI_Datatype filetype,
				       MPI_Info info, int perm, int *error);

#endif
