/*
 * ls.c -- pmio ls: the files that the pool knows
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>

#include "tools.h"

static void print_row(const struct pmio_file_stat *st)
{
	printf("%-8s %10s %10s %10s %7u  ", tool_file_state(st), TOOL_SIZE(st->size),
	       TOOL_SIZE(st->resident_bytes), TOOL_SIZE(st->dirty_bytes), st->nr_handles);
	tool_print_path(st->path);
	tool_print_left(st);
	putchar('\n');
}

static int list(struct pmio *pm, struct json_object *files)
{
	struct pmio_file_stat st;
	uint32_t cursor = 0;
	int rc;

	while ((rc = pmio_stat_next(pm, &cursor, &st)) == 0) {
		if (files)
			json_object_array_add(files, tool_file_json(&st));
		else
			print_row(&st);
	}
	return rc == -ENOENT ? TOOL_DONE : tool_failed(rc, "ls");
}

int tool_ls(struct tool *tool, int argc, char **argv)
{
	static const struct argp argp = {
		.doc = "list the files that the pool knows: open ones, those of which data wait "
		       "for the file system, and those that it keeps for readers",
	};
	struct json_object *files = NULL, *o;
	struct pmio *pm;
	int status;

	tool_parse(tool, &argp, NULL, argc, argv);
	status = tool_connect(tool, &pm);
	if (status != TOOL_DONE)
		return status;
	if (tool->json)
		files = json_object_new_array();
	else if (!tool->quiet)
		printf("%-8s %10s %10s %10s %7s  %s\n", "STATE", "SIZE", "RESIDENT", "DIRTY",
		       "HANDLES", "PATH");
	status = list(pm, files);
	if (files) {
		o = json_object_new_object();
		tool_add_string(o, "pool", pmio_pool_path(pm));
		json_object_object_add(o, "files", files);
		tool_print_json(o);
	}
	pmio_disconnect(&pm);
	return status;
}
