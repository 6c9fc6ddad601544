/*
 * mpi.h -- Open MPI's own, but for its handles: MPI_COMM_WORLD, MPI_INT, ... are addresses of its variables
 *
 * The library is linked to no MPI, so those are looked up when they are first used.  As symbols of the library they
 * would be looked up when it is loaded: in a program without an MPI they cannot be found, and it would not start.
 */
#include_next <mpi.h>

#ifndef PMIO_LIBRARY_OPENMPI_MPI_H
#define PMIO_LIBRARY_OPENMPI_MPI_H

#include <stdatomic.h>

void *library_variable(const char *name); /* as in library.h, of which the engine knows nothing */

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
