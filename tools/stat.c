/*
 * stat.c -- pmio stat: a pool's numbers, or a file's
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/log.h"
#include "core/path.h"
#include "pm/pm.h"
#include "stat.h"
#include "tools.h"

static void print_counts(const struct pmio_counts_df *c, const char *indent)
{
	printf("%swritten     %s", indent, TOOL_SIZE(c->written));
	if (c->pfs_written)
		printf(", %s of it straight to the file system", TOOL_SIZE(c->pfs_written));
	printf("\n%sread        %s", indent, TOOL_SIZE(c->read));
	if (c->read)
		printf(", %.1f %% of that from PMEM", tool_hit_rate(c) * 100);
	if (c->pfs_read)
		printf("; %s straight from the file system", TOOL_SIZE(c->pfs_read));
	putchar('\n');
}

/* ---- the pool ----------------------------------------------------------------- */

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
	printf("resident      %s\n", TOOL_SIZE(st->resident_bytes));
	printf("dirty         %s\n", TOOL_SIZE(st->dirty_bytes));
	printf("files         %llu of at most %llu, %u being drained\n",
	       (unsigned long long)st->nr_files, (unsigned long long)st->nr_slots, st->nr_draining);
	if (st->paused || st->drain_rate_limit)
		printf("drains        ");
	if (st->paused)
		printf("paused%s", st->drain_rate_limit ? ", " : "\n");
	if (st->drain_rate_limit)
		printf("at most %s/s\n", TOOL_SIZE(st->drain_rate_limit));
	printf("agent         process %u, up %llu s\n", st->agent_pid,
	       (unsigned long long)st->uptime_s);
	printf("clients       %u, with %u open handles\n", st->nr_clients, st->nr_handles);
	printf("since its start:\n");
	print_counts(&st->counts, "  ");
	printf("  drained     %s", TOOL_SIZE(st->drained_bytes));
	if (st->drain_ns)
		printf(", at %s/s", TOOL_SIZE((uint64_t)tool_rate(st->drained_bytes, st->drain_ns)));
	printf("\n  filled      %s", TOOL_SIZE(st->filled_bytes));
	if (st->fill_ns)
		printf(", at %s/s", TOOL_SIZE((uint64_t)tool_rate(st->filled_bytes, st->fill_ns)));
	printf("\n  no room for %llu chunks\n", (unsigned long long)st->fallback_chunks);
	printf("  evicted     %llu chunks\n", (unsigned long long)st->evicted_chunks);
}

static int show_pool(const struct tool *tool, struct pmio *pm)
{
	struct pmio_pool_stat st;
	int rc = pmio_stat_sums(pm, &st);

	if (rc < 0)
		return tool_failed(rc, "stat");
	if (tool->json)
		tool_print_json(tool_pool_json(&st, pmio_pool_path(pm)));
	else
		print_pool(&st, pmio_pool_path(pm));
	return TOOL_DONE;
}

/* ---- files ------------------------------------------------------------------ */

static void print_file(const struct pmio_file_stat *st)
{
	printf("path          ");
	tool_print_path(st->path);
	printf("\nstate         %s", tool_file_state(st));
	tool_print_left(st);
	printf("\nsize          %s", TOOL_SIZE(st->size));
	printf(" (on the file system: %s)\n", TOOL_SIZE(st->pfs_size));
	printf("resident      %s\n", TOOL_SIZE(st->resident_bytes));
	printf("dirty         %s\n", TOOL_SIZE(st->dirty_bytes));
	printf("open handles  %u\n", st->nr_handles);
	printf("since the agent's start, by handles that are closed:\n");
	print_counts(&st->counts, "  ");
	printf("  drained     %s", TOOL_SIZE(st->drained_bytes));
	if (st->drain_ns)
		printf(", lastly %s at %s/s", TOOL_SIZE(st->drain_bytes),
		       TOOL_SIZE((uint64_t)tool_rate(st->drain_bytes, st->drain_ns)));
	printf("\n  filled      %s\n", TOOL_SIZE(st->filled_bytes));
}

static struct json_object *file_json(const struct pmio_file_stat *st)
{
	struct json_object *o = tool_file_json(st);

	tool_counts_json(o, &st->counts);
	tool_add(o, "drained", st->drained_bytes);
	tool_add(o, "drain_rate", (uint64_t)tool_rate(st->drain_bytes, st->drain_ns));
	tool_add(o, "filled", st->filled_bytes);
	return o;
}

static int show_files(const struct tool *tool, struct pmio *pm, const struct tool_args *args)
{
	struct json_object *files = tool->json ? json_object_new_array() : NULL;
	size_t nr_failed = 0;

	for (size_t i = 0; i < args->nr; i++) {
		struct pmio_file_stat st;
		int rc = tool_find_file(pm, args->v[i], &st);

		if (rc < 0) {
			tool_failed(rc, "%s: not known to the pool", args->v[i]);
			nr_failed++;
		} else if (files) {
			json_object_array_add(files, file_json(&st));
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

/* ---- the command ---------------------------------------------------------------- */

enum { KEY_PROMETHEUS = 1000, KEY_COUNT };

struct stat_args {
	struct tool_args paths;
	struct tool *tool;
	double interval_s;	/* 0: do not watch */
	unsigned long count;	/* of samples; 0: without limit */
	bool prometheus;
};

static double parse_seconds(const char *text, struct argp_state *state)
{
	char *end;
	double seconds = strtod(text, &end);

	if (!isdigit((unsigned char)*text) || *end != '\0' || !(seconds >= 0.01 && seconds <= 86400))
		argp_error(state, "--watch: \"%s\" is not a number of seconds from 0.01 to 86400", TOOL_PLAIN(text));
	return seconds;
}

/* "--watch 5" as well as "--watch=5"; a file of that name is ./5 */
static void take_interval(struct stat_args *args, char *arg, struct argp_state *state)
{
	if (!arg && state->next < state->argc && isdigit((unsigned char)state->argv[state->next][0]))
		arg = state->argv[state->next++];
	args->interval_s = arg ? parse_seconds(arg, state) : 1;
}

static void take_count(struct stat_args *args, const char *arg, struct argp_state *state)
{
	char *end;

	args->count = strtoul(arg, &end, 10);
	if (!isdigit((unsigned char)*arg) || *end != '\0' || args->count == 0)
		argp_error(state, "--count: \"%s\" is not a number above 0", TOOL_PLAIN(arg));
}

static void check_combination(const struct stat_args *args, struct argp_state *state)
{
	if (args->interval_s > 0 && args->paths.nr)
		argp_error(state, "--watch is for the pool, not for files");
	if (args->count && args->interval_s == 0)
		argp_error(state, "--count needs --watch");
	if (args->prometheus && (args->interval_s > 0 || args->tool->json))
		argp_error(state, "--prometheus cannot be combined with --watch or --json");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct stat_args *args = state->input;

	switch (key) {
	case 'w':
		take_interval(args, arg, state);
		return 0;
	case KEY_COUNT:
		take_count(args, arg, state);
		return 0;
	case KEY_PROMETHEUS:
		args->prometheus = true;
		return 0;
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &args->paths;
		return 0;
	case ARGP_KEY_END:
		check_combination(args, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* --watch starts no agent: there would be nothing to see */
static int watch(const struct tool *tool, const struct stat_args *args)
{
	char dir[PATH_MAX];
	struct pmio *pm;
	int rc, status;

	if (tool->bad_settings || tool_pool_dir(tool, dir) != TOOL_DONE)
		return TOOL_FAILED;
	rc = pmio_attach(dir, &pm);
	if (args->prometheus && (rc == 0 || rc == PMIO_EAGENT || rc == -ENOENT)) {
		status = tool_show_metrics(rc == 0 ? pm : NULL, dir, &args->paths);
	} else if (rc == PMIO_EAGENT) {
		pmio_err("pool %s: no agent runs", dir);
		return TOOL_FAILED;
	} else if (rc < 0) {
		return tool_failed(rc, "pool %s", dir);
	} else {
		status = tool_watch_pool(tool, pm, args->interval_s, args->count);
	}
	if (rc == 0)
		pmio_disconnect(&pm);
	return status;
}

int tool_stat(struct tool *tool, int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "watch", 'w', "SECONDS", OPTION_ARG_OPTIONAL,
		  "Print a line about the pool's activity every SECONDS (default: 1)", 0 },
		{ "count", KEY_COUNT, "N", 0, "With --watch: exit after N lines", 0 },
		{ "prometheus", KEY_PROMETHEUS, NULL, 0,
		  "Print metrics in the text format of Prometheus; starts no agent", 0 },
		{ 0 },
	};
	static const struct argp paths_argp = { .parser = tool_parse_args };
	static const struct argp_child children[] = { { &paths_argp, 0, NULL, 0 }, { 0 } };
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "[PATH...]",
		.doc = "show the state of the pool, or of files that it knows",
		.children = children,
	};
	struct stat_args args = { .tool = tool };
	struct pmio *pm;
	int status;

	tool_parse(tool, &argp, &args, argc, argv);
	if (args.prometheus || args.interval_s > 0)
		return watch(tool, &args);
	status = tool_connect(tool, &pm);
	if (status != TOOL_DONE)
		return status;
	status = args.paths.nr ? show_files(tool, pm, &args.paths) : show_pool(tool, pm);
	pmio_disconnect(&pm);
	return status;
}
