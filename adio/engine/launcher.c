/* launcher.c -- what the launcher says of a job in the environment */
#include "engine.h"
#include "launcher.h"

#include <stdlib.h>
#include <string.h>

const char *engine_environment(const char *const *names)
{
	const char *value = NULL;

	for (; *names && !value; names++)
		value = secure_getenv(*names);
	return value;
}

bool engine_is_first_process(void)
{
	static const char *const ranks[] = { "PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID", NULL };
	const char *rank = engine_environment(ranks);

	return !rank || strcmp(rank, "0") == 0;
}

/*
 * A program started by another MPI's launcher runs as that many programs of one rank each, and ends with success.  With
 * the MPI-5.0 ABI, finding the other MPI's library under the common name is enough for that.
 */
void engine_check_launcher(void)
{
	static const char *const sizes[] = { "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS", NULL };
	const char *started = engine_environment(sizes);
	int nr;

	PMPI_Comm_size(MPI_COMM_WORLD, &nr);
	if (nr == 1 && started && atoi(started) > 1 && engine_is_first_process())
		pmio_warn("%s processes were started together, but each is alone for its MPI: is the launcher another MPI's?", started);
}
