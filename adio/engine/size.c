/* size.c -- the file's size, and preallocation and sync */
#include "engine.h"
#include "collective_order.h"
#include "deferred.h"
#include "yielding_collectives.h"

int engine_size(struct pmio_mpi_file *f, off_t *size)
{
	/* wait for collective calls that this rank has ended, and others may not have */
	if (f->together) {
		adapter_leave();
		engine_together_await_end(f->together);
		adapter_enter();
	}
	*size = 0;
	return pmio_size(f->file, size);
}

int engine_preallocate(struct pmio_mpi_file *f, MPI_Offset bytes)
{
	off_t size = 0;
	int rc = pmio_size(f->file, &size);

	if (rc < 0 || size >= bytes)
		return rc;
	return pmio_truncate(f->file, bytes);
}

int engine_resize(struct pmio_mpi_file *f, MPI_Offset size)
{
	int rank, rc = 0;

	PMPI_Comm_rank(f->comm, &rank);
	if (rank == 0)
		rc = pmio_truncate(f->file, size);
	engine_bcast(&rc, 1, MPI_INT, 0, f->comm);
	return rc;
}

int engine_flush(struct pmio_mpi_file *f)
{
	return f->settings.num[PMIO_SET_SYNC] == PMIO_SYNC_DRAIN ? pmio_drain(f->file) : pmio_sync(f->file);
}

void engine_meet(struct pmio_mpi_file *f)
{
	engine_later_wait(f);
	if (f->together)
		engine_together_meet(f->together, !f->file->ops);
}

void engine_meet_once(struct pmio_mpi_file *f)
{
	if (f->together && engine_together_has_met(f->together))
		engine_later_wait(f);
	else
		engine_meet(f);
}
