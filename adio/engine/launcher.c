/* launcher.c -- information about a job that its launcher puts into the environment */
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
