/*
 * mpi.h -- Open MPI's mpi.h, except for its handles: MPI_COMM_WORLD, MPI_INT, ... are addresses of its variables
 *
 * The library is not linked to an MPI, so these are looked up at their first use.  As symbols of the library they
 * would be looked up when it is loaded: in a program without an MPI they would not be found, and it would not
 * start.
 */
#include_next <mpi.h>

#ifndef PMIO_LIBRARY_OPENMPI_MPI_H
#define PMIO_LIBRARY_OPENMPI_MPI_H

#include <stdatomic.h>

void *library_variable(const char *name); /* as in library.h, which the engine does not include */

#undef OMPI_PREDEFINED_GLOBAL
#define OMPI_PREDEFINED_GLOBAL(type, global) \
	({ \
		static void *_Atomic known_; \
		void *found_ = atomic_load_explicit(&known_, memory_order_relaxed); \
		if (!found_) { \
			found_ = library_variable(#global); \
			atomic_store_explicit(&known_, found_, memory_order_relaxed); \
		} \
		(type)found_; \
	})

#endif
