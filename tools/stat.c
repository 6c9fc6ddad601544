/*
 * stat.c -- pmio stat: a pool's numbers, or a file's
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pm/pm.h"
#include "tools.h"

static void print_pool(const struct pmio_pool_stat *st, const char *dir)
{
	char uuid[TOOL_UUID_LEN];
	uint64_t used = st->nr_frames - st->nr_frames_free;

	printf("pool          ");
	tool_print_path(dir);
	printf("\nuuid          %s\n", tool_uuid(uuid, st->uuid));
	printf("granularity   %s\n",
	       pmio_pm_granularity_name((enum pmio_pm_granularity)st->granularity));
	printf("size          %s in %llu frames of %s\n", TOOL_SIZE(st->nr_frames * st->chunk_size),
	       (unsigned long long)st->nr_frames, TOOL_SIZE(st->chunk_size));
	printf("used          %s\n", TOOL_SIZE(used * st->chunk_size));
	printf("free          %s\n", TOOL_SIZE(st->nr_frames_free * st->chunk_size));
	printf("dirty         %s\n", TOOL_SIZE(st->dirty_bytes));
	printf("files         %llu of at most %llu\n", (unsigned long long)st->nr_files,
	       (unsigned long long)st->nr_slots);
	printf("agent         process %u, up %llu s\n", st->agent_pid,
	       (unsigned long long)st->uptime_s);
	printf("clients       %u, with %u open handles\n", st->nr_clients, st->nr_handles);
	printf("since its start:\n");
	printf("  drained     %s\n", TOOL_SIZE(st->drained_bytes));
	printf("  filled      %s\n", TOOL_SIZE(st->filled_bytes));
	printf("  no room for %llu chunks\n", (unsigned long long)st->fallback_chunks);
	printf("  evicted     %llu chunks\n", (unsigned long long)st->evicted_chunks);
}

static struct json_object *pool_json(const struct pmio_pool_stat *st, const char *dir)
{
	struct json_object *o = json_object_new_object();
	char uuid[TOOL_UUID_LEN];

	tool_add_string(o, "pool", dir);
	tool_add_string(o, "uuid", tool_uuid(uuid, st->uuid));
	tool_add_string(o, "granularity",
			pmio_pm_granularity_name((enum pmio_pm_granularity)st->granularity));
	tool_add(o, "chunk_size", st->chunk_size);
	tool_add(o, "size", st->nr_frames * st->chunk_size);
	tool_add(o, "free", st->nr_frames_free * st->chunk_size);
	tool_add(o, "dirty", st->dirty_bytes);
	tool_add(o, "files", st->nr_files);
	tool_add(o, "files_max", st->nr_slots);
	tool_add(o, "agent_pid", st->agent_pid);
	tool_add(o, "uptime_s", st->uptime_s);
	tool_add(o, "clients", st->nr_clients);
	tool_add(o, "handles", st->nr_handles);
	tool_add(o, "drained", st->drained_bytes);
	tool_add(o, "filled", st->filled_bytes);
	tool_add(o, "fallback_chunks", st->fallback_chunks);
	tool_add(o, "evicted_chunks", st->evicted_chunks);
	return o;
}

static int show_pool(const struct tool *tool, struct pmio *pm)
{
	struct pmio_pool_stat st;
	int rc = pmio_stat_pool(pm, &st);

	if (rc < 0)
		return tool_failed(rc, "stat");
	if (tool->json)
		tool_print_json(pool_json(&st, pmio_pool_path(pm)));
	else
		print_pool(&st, pmio_pool_path(pm));
	return TOOL_DONE;
}

/* ---- files ------------------------------------------------------------------ */

/* the file that this path names now, else one that was opened by it, as the agent looks for it */
static bool is_it(const struct pmio_file_stat *st, const char *path, const struct stat *named)
{
	struct stat known;

	if (named && stat(st->path, &known) == 0)
		return known.st_dev == named->st_dev && known.st_ino == named->st_ino;
	return strcmp(st->path, path) == 0;
}

static int find(struct pmio *pm, const char *path, struct pmio_file_stat *st)
{
	char cwd[PATH_MAX], absolute[PATH_MAX];
	struct stat named;
	bool is_there = stat(path, &named) == 0;
	uint32_t cursor = 0;
	int rc;

	if (!getcwd(cwd, sizeof(cwd)))
		return -errno;
	if (snprintf(absolute, sizeof(absolute), "%s%s%s", *path == '/' ? "" : cwd,
		     *path == '/' ? "" : "/", path) >= (int)sizeof(absolute))
		return -ENAMETOOLONG;
	while ((rc = pmio_stat_next(pm, &cursor, st)) == 0) {
		if (is_it(st, absolute, is_there ? &named : NULL))
			return 0;
	}
	return rc;
}

static void print_file(const struct pmio_file_stat *st)
{
	printf("path          ");
	tool_print_path(st->path);
	printf("\nstate         %s", tool_file_state(st));
	if (st->error)
		printf(" (%s)", strerror(st->error));
	printf("\nsize          %s", TOOL_SIZE(st->size));
	printf(" (on the file system: %s)\n", TOOL_SIZE(st->pfs_size));
	printf("resident      %s\n", TOOL_SIZE(st->resident_bytes));
	printf("dirty         %s\n", TOOL_SIZE(st->dirty_bytes));
	printf("open handles  %u\n", st->nr_handles);
}

static int show_files(const struct tool *tool, struct pmio *pm, const struct tool_args *args)
{
	struct json_object *files = tool->json ? json_object_new_array() : NULL;
	size_t nr_failed = 0;

	for (size_t i = 0; i < args->nr; i++) {
		struct pmio_file_stat st;
		int rc = find(pm, args->v[i], &st);

		if (rc < 0) {
			tool_failed(rc, "%s: not known to the pool", args->v[i]);
			nr_failed++;
		} else if (files) {
			json_object_array_add(files, tool_file_json(&st));
		} else {
			print_file(&st);
		}
	}
	if (files) {
		struct json_object *o = json_object_new_object();

		tool_add_string(o, "pool", pmio_pool_path(pm));
		json_object_object_add(o, "files", files);
		tool_print_json(o);
	}
	return tool_exit_of(args->nr - nr_failed, nr_failed);
}

int tool_stat(struct tool *tool, int argc, char **argv)
{
	static const struct argp argp = {
		.parser = tool_parse_args,
		.args_doc = "[PATH...]",
		.doc = "show the state of the pool, or of files that it knows",
	};
	struct tool_args args = { 0 };
	struct pmio *pm;
	int status;

	tool_parse(tool, &argp, &args, argc, argv);
	status = tool_connect(tool, &pm);
	if (status != TOOL_DONE)
		return status;
	status = args.nr ? show_files(tool, pm, &args) : show_pool(tool, pm);
	pmio_disconnect(&pm);
	return status;
}
