/*
 * rm.c -- pmio rm: remove files, on the file system and in the pool
 */
#include "config.h"

#include <stdio.h>

#include "tools.h"

static error_t parse(int key, char *arg, struct argp_state *state)
{
	if (key == ARGP_KEY_NO_ARGS) {
		argp_error(state, "which file?");
		return 0;
	}
	return tool_parse_args(key, arg, state);
}

static void add_result(struct json_object *files, const char *path, int rc)
{
	struct json_object *o = json_object_new_object();

	tool_add_string(o, "path", path);
	tool_add_bool(o, "removed", rc == 0);
	if (rc < 0)
		tool_add_string(o, "error", pmio_strerror(rc));
	json_object_array_add(files, o);
}

int tool_rm(struct tool *tool, int argc, char **argv)
{
	static const struct argp argp = {
		.parser = parse,
		.args_doc = "PATH...",
		.doc = "remove files, and what the pool holds of them",
	};
	struct json_object *files = NULL, *o;
	struct tool_args args = { 0 };
	size_t nr_failed = 0;
	struct pmio *pm;
	int rc;

	tool_parse(tool, &argp, &args, argc, argv);
	if (tool_connect(tool, &pm) != TOOL_DONE)
		return TOOL_FAILED;
	if (tool->json)
		files = json_object_new_array();
	for (size_t i = 0; i < args.nr; i++) {
		rc = pmio_delete(pm, args.v[i]);
		if (rc < 0) {
			tool_failed(rc, "%s", args.v[i]);
			nr_failed++;
		}
		if (files)
			add_result(files, args.v[i], rc);
	}
	if (files) {
		o = json_object_new_object();
		tool_add_string(o, "pool", pmio_pool_path(pm));
		json_object_object_add(o, "files", files);
		tool_print_json(o);
	}
	pmio_disconnect(&pm);
	return tool_exit_of(args.nr - nr_failed, nr_failed);
}
