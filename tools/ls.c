/*
 * ls.c -- pmio ls: the files that the pool knows
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/proto.h"
#include "tools.h"

const char *tool_file_state(const struct pmio_file_stat *st)
{
	static const char *const names[] = {
		[PMIO_STATE_CLEAN] = "clean",	[PMIO_STATE_OPEN] = "open",
		[PMIO_STATE_DIRTY] = "dirty",	[PMIO_STATE_HELD] = "held",
		[PMIO_STATE_WAITING] = "waiting", [PMIO_STATE_DRAINING] = "draining",
		[PMIO_STATE_FAILED] = "failed", [PMIO_STATE_CHANGED] = "changed",
		[PMIO_STATE_GONE] = "gone",
	};
	const char *name = st->state < sizeof(names) / sizeof(names[0]) ? names[st->state] : NULL;

	return name ? name : "unknown";
}

bool tool_waits(const struct pmio_file_stat *st)
{
	return st->dirty_bytes || st->error || st->size > st->pfs_size ||
	       (st->state != PMIO_STATE_CLEAN && st->nr_handles == 0);
}

void tool_print_left(const struct pmio_file_stat *st)
{
	if (st->error || st->state == PMIO_STATE_GONE)
		printf(" (%s; %s left)", pmio_strerror(st->state == PMIO_STATE_GONE ? PMIO_EGONE : -st->error), TOOL_SIZE(st->left_bytes));
	else if (st->state == PMIO_STATE_DRAINING)
		printf(" (%s left)", TOOL_SIZE(st->left_bytes));
}

struct json_object *tool_file_json(const struct pmio_file_stat *st)
{
	struct json_object *o = json_object_new_object();

	tool_add_string(o, "path", st->path);
	tool_add_string(o, "state", tool_file_state(st));
	if (st->error) {
		const char *name = st->state == PMIO_STATE_CHANGED ? "PMIO_ECHANGED" : strerrorname_np(st->error);

		tool_add_string(o, "error", pmio_strerror(-st->error));
		tool_add_string(o, "errno", name ? name : "?");
	}
	tool_add(o, "size", st->size);
	tool_add(o, "pfs_size", st->pfs_size);
	tool_add(o, "resident", st->resident_bytes);
	tool_add(o, "dirty", st->dirty_bytes);
	tool_add(o, "left", st->left_bytes);
	tool_add(o, "handles", st->nr_handles);
	tool_add(o, "slot", st->entry.slot);
	return o;
}

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
