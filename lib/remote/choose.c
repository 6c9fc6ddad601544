/*
 * choose.c -- the targets of a file that processes of this and other nodes open: their own nodes, and memory nodes for
 * data that do not fit there
 */
#include <errno.h>
#include <stdlib.h>

#include "remote/remote_impl.h"

/* pieces on several nodes would be drained at different times; a held file has to stay together */
static enum pmio_placement choose_placement(const struct pmio_settings *s, const struct remote_layout *layout)
{
	enum pmio_placement p = (enum pmio_placement)s->num[PMIO_SET_PLACEMENT];

	for (uint32_t i = 1; i < layout->nr; i++) {
		if (layout->endpoints[i].chunk_size != layout->endpoints[0].chunk_size)
			return PMIO_PLACE_SINGLE; /* the chunks' bounds would differ */
	}
	if (s->num[PMIO_SET_DRAIN] != PMIO_DRAIN_CLOSE)
		return PMIO_PLACE_SINGLE;
	return p == PMIO_PLACE_AUTO ? PMIO_PLACE_LOCAL : p;
}

/* can this memory node be used?  One that is needed only when pools are full must not make the open fail */
static bool is_of_use(const struct pmio_settings *s, const struct remote_endpoint *memory, const struct remote_layout *layout)
{
	struct remote_stat_answer_msg st;
	int rc;

	if (memory->chunk_size != layout->endpoints[0].chunk_size) {
		pmio_warn("memory node %s is not used: its chunks have another size", memory->host);
		return false;
	}
	rc = remote_stat(s, memory, &st);
	if (rc < 0)
		pmio_warn("memory node %s is not used: %s", memory->host, pmio_strerror(rc));
	return rc == 0;
}

/* append the memory nodes of the setting `targets` to the compute nodes; their chunk size must be the same */
static int add_memory_nodes(const struct pmio_settings *s, struct remote_layout *layout)
{
	struct remote_endpoint *memory, *all;
	uint32_t nr;
	int rc = remote_targets_load(s->str[PMIO_SET_TARGETS], &memory, &nr);

	if (rc < 0)
		return rc;
	all = reallocarray(layout->endpoints, layout->nr + nr, sizeof(*all));
	if (all)
		layout->endpoints = all;
	for (uint32_t i = 0; i < nr && all; i++) {
		if (is_of_use(s, &memory[i], layout)) {
			all[layout->nr++] = memory[i];
			layout->nr_memory++;
		}
	}
	free(memory);
	return all ? 0 : -ENOMEM;
}

int remote_layout_complete(const struct pmio_settings *settings, struct remote_layout *layout)
{
	layout->placement = choose_placement(settings, layout);
	if (layout->placement == PMIO_PLACE_SINGLE)
		layout->nr = 1;
	else if (client_spills(settings))
		return add_memory_nodes(settings, layout);
	return 0;
}
