/*
 * node_settings.c -- do files concern other nodes, according to the settings?  lib/remote does the rest
 */
#include <stdlib.h>
#include <string.h>

#include "client/client.h"

bool client_wants_memory_nodes(const struct pmio_settings *s)
{
	return s->num[PMIO_SET_PLACEMENT] == PMIO_PLACE_REMOTE || s->num[PMIO_SET_DRAIN] == PMIO_DRAIN_AGGREGATE;
}

bool client_spills(const struct pmio_settings *s)
{
	return *s->str[PMIO_SET_TARGETS] && s->num[PMIO_SET_PLACEMENT] == PMIO_PLACE_AUTO && s->num[PMIO_SET_DRAIN] == PMIO_DRAIN_CLOSE;
}

static const char *first_of(const char *a, const char *b)
{
	const char *value = secure_getenv(a);

	return value ? value : secure_getenv(b);
}

bool client_wants_mark(const struct pmio_settings *s)
{
	const char *local = first_of("OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"), *world = first_of("OMPI_COMM_WORLD_SIZE", "PMI_SIZE");
	const char *nodes = secure_getenv("SLURM_STEP_NUM_NODES");

	if (s->num[PMIO_SET_OWNER] != PMIO_OWNER_AUTO)
		return s->num[PMIO_SET_OWNER] == PMIO_OWNER_ALWAYS;
	if (local && world)
		return strcmp(local, world) != 0;
	return nodes && strcmp(nodes, "1") != 0;
}
