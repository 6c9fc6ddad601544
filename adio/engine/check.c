/* check.c -- arguments of calls, and arguments that must be the same on all ranks */
#include "engine.h"
#include "yielding_collectives.h"

/* MPI's rules for access modes (MPI 3.1, 13.2.1) */
static int check_amode(int amode)
{
	int access = !!(amode & MPI_MODE_RDONLY) + !!(amode & MPI_MODE_RDWR) + !!(amode & MPI_MODE_WRONLY);

	if (access != 1)
		return MPI_ERR_AMODE;
	if ((amode & MPI_MODE_RDONLY) && (amode & (MPI_MODE_CREATE | MPI_MODE_EXCL)))
		return MPI_ERR_AMODE;
	if ((amode & MPI_MODE_RDWR) && (amode & MPI_MODE_SEQUENTIAL))
		return MPI_ERR_AMODE;
	return MPI_SUCCESS;
}

void engine_say_amode(int amode, int says[AMODE_SAYS])
{
	says[0] = amode;
	says[1] = -amode;
	says[2] = check_amode(amode);
}

int engine_hear_amode(MPI_Comm comm, const char *path, int amode, const int max[AMODE_SAYS])
{
	int rank;

	PMPI_Comm_rank(comm, &rank);
	if (max[0] != -max[1]) {
		if (rank == 0)
			pmio_err("open %s: the ranks pass different access modes", path);
		return MPI_ERR_NOT_SAME;
	}
	if (max[2] != MPI_SUCCESS && rank == 0)
		pmio_info("open %s: access mode %#x is not one that MPI allows", path, (unsigned)amode);
	return max[2];
}

int engine_agree_amode(MPI_Comm comm, const char *path, int amode)
{
	int says[AMODE_SAYS];

	engine_say_amode(amode, says);
	engine_allreduce(MPI_IN_PLACE, says, AMODE_SAYS, MPI_INT, MPI_MAX, comm);
	return engine_hear_amode(comm, path, amode, says);
}

/* MPI's rules for the pieces of an etype or filetype (MPI 3.1, 13.3): ROMIO from 4.1 on, and ompio, refuse others as well */
static int check_pieces(int amode, MPI_Datatype type)
{
	bool writes = amode & (MPI_MODE_WRONLY | MPI_MODE_RDWR);
	const struct flat *fl = flat_get(type);
	int64_t from = 0;

	if (!fl)
		return MPI_ERR_NO_MEM;
	for (size_t i = 0; i < fl->nr; i++) {
		const struct flat_piece *p = &fl->pieces[i];

		if (p->off < from)
			return MPI_ERR_IO;
		from = p->off + (writes ? (int64_t)p->len : 0);
	}
	return MPI_SUCCESS;
}

int engine_check_view(int amode, MPI_Offset disp, MPI_Datatype etype, MPI_Datatype filetype)
{
	MPI_Count esize, fsize;
	int rc;

	if ((disp == MPI_DISPLACEMENT_CURRENT) != !!(amode & MPI_MODE_SEQUENTIAL) ||
	    (disp < 0 && disp != MPI_DISPLACEMENT_CURRENT) || etype == MPI_DATATYPE_NULL ||
	    filetype == MPI_DATATYPE_NULL)
		return MPI_ERR_ARG;
	PMPI_Type_size_x(etype, &esize);
	PMPI_Type_size_x(filetype, &fsize);
	if (esize <= 0 || fsize % esize != 0)
		return MPI_ERR_ARG;
	rc = check_pieces(amode, etype);
	return rc == MPI_SUCCESS ? check_pieces(amode, filetype) : rc;
}

int engine_set_atomicity(struct pmio_mpi_file *f, int flag)
{
	int mine[2] = { !!flag, -!!flag }, max[2];

	PMPI_Allreduce(mine, max, 2, MPI_INT, MPI_MAX, f->comm);
	if (max[0] != -max[1])
		return MPI_ERR_NOT_SAME;
	f->atomic = flag != 0;
	return MPI_SUCCESS;
}
