/*
 * yielding_collectives.c -- MPI collectives that yield the processor while they wait
 *
 * A rank that waits in MPI polls for messages all the time (in MPICH and Open MPI, unless configured otherwise).
 * While rank 0 opens or closes a file, the ranks that wait for its answer would then keep the processors from the agent,
 * which has the work to do: with as many ranks as processors an open took until the scheduler's next tick.  Here a
 * rank that waits polls a few times, and then yields the processor between polls.
 */
#include "engine.h"
#include "yielding_collectives.h"

#include <sched.h>

#define LOOKS 100 /* polls before the processor is yielded; a message within a node takes fewer */

static int wait_for(int rc, MPI_Request *request)
{
	int done = 0;

	for (unsigned i = 0; rc == MPI_SUCCESS && !done; i++) {
		if (i > LOOKS)
			sched_yield();
		rc = PMPI_Test(request, &done, MPI_STATUS_IGNORE);
	}
	return rc;
}

int engine_bcast(void *buf, int count, MPI_Datatype type, int root, MPI_Comm comm)
{
	MPI_Request request;

	return wait_for(PMPI_Ibcast(buf, count, type, root, comm, &request), &request);
}

int engine_allreduce(const void *from, void *to, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm)
{
	MPI_Request request;

	return wait_for(PMPI_Iallreduce(from, to, count, type, op, comm, &request), &request);
}

int engine_reduce(const void *from, void *to, int count, MPI_Datatype type, MPI_Op op, int root, MPI_Comm comm)
{
	MPI_Request request;

	return wait_for(PMPI_Ireduce(from, to, count, type, op, root, comm, &request), &request);
}

int engine_barrier(MPI_Comm comm)
{
	MPI_Request request;

	return wait_for(PMPI_Ibarrier(comm, &request), &request);
}
