/*
 * target_list.c -- the targets of a file that processes of this and other nodes open: their own nodes, and memory nodes for
 * what finds no room there.  Which of them holds a chunk: placement.c
 */
#include <errno.h>
#include <stdlib.h>

#include "remote/remote_impl.h"

/* a memory node that is only for full pools must not prevent the open of the file */
static bool is_of_use(const struct pmio_settings *s, const struct remote_endpoint *memory, const struct remote_layout *layout)
{
	struct remote_stat_answer_msg st;
	int rc;

	if (memory->chunk_size != layout->endpoints[0].chunk_size) {
		pmio_warn("memory node %s is not used: its chunk size differs", memory->host);
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
	layout->placement = placement_choose(settings, layout);
	if (layout->placement == PMIO_PLACE_SINGLE)
		layout->nr = 1;
	else if (client_spills(settings))
		return add_memory_nodes(settings, layout);
	return 0;
}
