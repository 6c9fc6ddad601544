/*
 * launcher.h -- information about a job that its launcher puts into the environment, also before MPI is initialized
 *
 * No mpi.h here: a library asks before it knows whether the program's MPI is its own.
 */
#ifndef PMIO_LAUNCHER_H
#define PMIO_LAUNCHER_H

#include <stdbool.h>

/* the first of these that a launcher has set in the environment; NULL: none */
const char *engine_environment(const char *const *names);
/*
 * is this the process of a job that prints messages which concern all?  By the launcher's variables, as MPI may not be
 * initialized, or may have a single rank
 */
bool engine_is_first_process(void);

#endif
