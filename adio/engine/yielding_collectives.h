/*
 * yielding_collectives.h -- collective calls of MPI, in which ranks that wait leave the processors to the agent; results: an MPI error code
 */
#ifndef PMIO_ENGINE_YIELDING_COLLECTIVES_H
#define PMIO_ENGINE_YIELDING_COLLECTIVES_H

#include <mpi.h>

int engine_bcast(void *buf, int count, MPI_Datatype type, int root, MPI_Comm comm);
int engine_allreduce(const void *from, void *to, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm);
int engine_reduce(const void *from, void *to, int count, MPI_Datatype type, MPI_Op op, int root, MPI_Comm comm);
int engine_barrier(MPI_Comm comm);

#endif
