/*
 * unclosed.c -- files that a program has not closed before MPI_Finalize
 *
 * MPI does not allow that, but other implementations tolerate it.  A library (HDF5) may also close its files in
 * MPI_Finalize, after pmio was notified of it.  So there only the transfers under way are awaited; files that are still
 * open when the process ends, or when Open MPI closes the component, are closed by each process by itself, without MPI.
 */
#include "engine.h"
#include "deferred.h"

#include <stdlib.h>
#include <unistd.h>
#include <utlist.h>

static struct pmio_mpi_file *opened; /* under lock */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pid_t owner; /* process that opened the files; a child has its parent's list, but must not use it */

void engine_left_add(struct pmio_mpi_file *f)
{
	PMPI_Comm_rank(f->comm, &f->rank);
	pthread_mutex_lock(&lock);
	if (owner != getpid())
		opened = NULL;
	owner = getpid();
	DL_APPEND(opened, f);
	f->listed = true;
	pthread_mutex_unlock(&lock);
}

void engine_left_remove(struct pmio_mpi_file *f)
{
	pthread_mutex_lock(&lock);
	if (f->listed && owner == getpid())
		DL_DELETE(opened, f);
	f->listed = false;
	pthread_mutex_unlock(&lock);
}

/* no other thread opens or closes files any more, so neither of these keeps the lock while it waits */
static struct pmio_mpi_file *first_left(void)
{
	struct pmio_mpi_file *f;

	pthread_mutex_lock(&lock);
	f = owner == getpid() ? opened : NULL;
	pthread_mutex_unlock(&lock);
	return f;
}

bool engine_left_wait(void)
{
	struct pmio_mpi_file *f, *first = first_left();

	DL_FOREACH(first, f)
		engine_later_wait(f);
	return first != NULL;
}

void engine_left_close(void)
{
	struct pmio_mpi_file *f;

	while ((f = first_left())) {
		engine_left_remove(f);
		if (f->rank == 0)
			pmio_warn("%s: the program did not close it before the end of MPI; each process now closes it on its own", f->path);
		engine_later_end(f);
		pmio_close(&f->file); /* logs why, if it fails; the data are in the pool then */
	}
}
