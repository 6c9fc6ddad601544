/*
 * drain.c -- pmio drain: what waits in the pool goes to the file system now
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>

#include "tools.h"

struct drain_args {
	struct tool_args paths;
	bool all;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct drain_args *args = state->input;

	switch (key) {
	case 'a':
		args->all = true;
		return 0;
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &args->paths;
		return 0;
	case ARGP_KEY_END:
		if (args->all == (args->paths.nr > 0))
			argp_error(state, "give either paths or --all");
		return 0;
	default:
		(void)arg;
		return ARGP_ERR_UNKNOWN;
	}
}

struct result {
	struct json_object *files; /* NULL: not wanted */
	size_t nr_done, nr_failed;
};

static void drain_one(const struct tool *tool, struct pmio *pm, const char *path, struct result *res)
{
	int rc = pmio_drain_path(pm, path);

	if (rc < 0)
		tool_failed(rc, "%s", path);
	if (rc < 0)
		res->nr_failed++;
	else
		res->nr_done++;

	if (res->files) {
		struct json_object *o = json_object_new_object();

		tool_add_string(o, "path", path);
		tool_add_bool(o, "drained", rc == 0);
		if (rc < 0)
			tool_add_string(o, "error", pmio_strerror(rc));
		json_object_array_add(res->files, o);
	} else if (rc == 0 && !tool->quiet) {
		printf("drained ");
		tool_print_path(path);
		putchar('\n');
	}
}

static void drain_all(const struct tool *tool, struct pmio *pm, struct result *res)
{
	struct pmio_file_stat st;
	uint32_t cursor = 0;
	int rc;

	while ((rc = pmio_stat_next(pm, &cursor, &st)) == 0) {
		/* of an empty or shortened file the size waits, and no block */
		if (st.dirty_bytes || st.error || st.size != st.pfs_size)
			drain_one(tool, pm, st.path, res);
	}
	if (rc != -ENOENT) {
		tool_failed(rc, "drain");
		res->nr_failed++;
	}
}

int tool_drain(struct tool *tool, int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "all", 'a', NULL, 0, "All files of which data wait", 0 },
		{ 0 },
	};
	static const struct argp paths_argp = { .parser = tool_parse_args };
	static const struct argp_child children[] = { { &paths_argp, 0, NULL, 0 }, { 0 } };
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "PATH...\n--all",
		.doc = "copy data that wait in the pool to the file system; returns when they are "
		       "durable there",
		.children = children,
	};
	struct drain_args args = { 0 };
	struct result res = { 0 };
	struct pmio *pm;
	int status;

	tool_parse(tool, &argp, &args, argc, argv);
	status = tool_connect(tool, &pm);
	if (status != TOOL_DONE)
		return status;
	if (tool->json)
		res.files = json_object_new_array();
	if (args.all)
		drain_all(tool, pm, &res);
	for (size_t i = 0; i < args.paths.nr; i++)
		drain_one(tool, pm, args.paths.v[i], &res);
	if (res.files) {
		struct json_object *o = json_object_new_object();

		tool_add_string(o, "pool", pmio_pool_path(pm));
		json_object_object_add(o, "files", res.files);
		tool_print_json(o);
	}
	pmio_disconnect(&pm);
	return tool_exit_of(res.nr_done, res.nr_failed);
}
