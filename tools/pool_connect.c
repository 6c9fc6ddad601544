/*
 * pool_connect.c -- from the command line to a pool and its agent
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "remote/remote.h"
#include "tools.h"

int tool_pool_dir(const struct tool *tool, char dir[PATH_MAX])
{
	int rc = pmio_settings_pool_dir(&tool->settings, dir, PATH_MAX);

	return rc < 0 ? tool_failed(rc, "pool %s", tool->settings.str[PMIO_SET_POOL]) : TOOL_DONE;
}

int tool_start(const struct tool *tool, struct pmio **out)
{
	bool is_default = *tool->settings.str[PMIO_SET_POOL] == '\0';
	char dir[PATH_MAX];

	if (tool->bad_settings || tool_pool_dir(tool, dir) != TOOL_DONE)
		return TOOL_FAILED;
	/* the library, or the agent that it starts, reports errors */
	return pmio_connect(is_default ? NULL : dir, out) < 0 ? TOOL_FAILED : TOOL_DONE;
}

int tool_connect(const struct tool *tool, struct pmio **out)
{
	char dir[PATH_MAX];
	int rc;

	if (tool->bad_settings || tool_pool_dir(tool, dir) != TOOL_DONE)
		return TOOL_FAILED;
	rc = pmio_attach(dir, out);
	if (rc == PMIO_EAGENT) {
		/* it, or the agent that it starts, reports errors */
		return pmio_connect(dir, out) < 0 ? TOOL_FAILED : TOOL_DONE;
	}
	return rc < 0 ? tool_failed(rc, "pool %s", dir) : TOOL_DONE;
}

/* the agent has reported that all data are there; check that none wait, and get the file's current name */
static int check_drained(struct pmio *pm, const struct pmio_entry *e, char **path)
{
	struct pmio_file_stat *st = malloc(sizeof(*st));
	uint32_t cursor = e->slot;
	int rc = st ? 0 : -ENOMEM;

	if (st && pmio_stat_next(pm, &cursor, st) == 0 && st->entry.slot == e->slot &&
	    st->entry.generation == e->generation) {
		char *name = strdup(st->path);

		if (name) {
			free(*path);
			*path = name;
		}
		if (st->nr_handles == 0 && tool_is_pending(st)) {
			pmio_err("drain %s: not all data were drained: state %s", *path, tool_file_state(st));
			rc = -EBUSY;
		}
	}
	free(st);
	return rc;
}

int tool_drain_entry(struct pmio *pm, const struct pmio_entry *e, char **path, unsigned how)
{
	int rc = pmio_drain_entry(pm, e, *path, how);
	uint8_t uuid[16];

	if (rc == 0)
		rc = check_drained(pm, e, path);
	if (rc == -ESRCH) /* it was drained meanwhile, or its data were discarded */
		rc = 0;
	if (rc == 0) {
		pmio_pool_uuid(pm, uuid);
		remote_layout_file_drained(*path, uuid, NULL, NULL);
	}
	return rc;
}
