/*
 * pool.c -- pmio pool create|resize|list|check|destroy
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "pm/pm.h"
#include "pool/pool.h"
#include "progress.h"
#include "proto/proto.h"
#include "tools.h"

#define AGENT_LOG "agent.log" /* in the pool's directory, as documented in pmiod(8) */
#define MOUNT_LOG "mount.log" /* the same, of pmio-mount(1) */

/* an argument DIR is the setting `pool`, given on the command line */
static error_t take_dir(struct tool *tool, char *arg, struct argp_state *state)
{
	if (state->arg_num > 0)
		argp_error(state, "only one DIR may be given");
	if (*arg == '\0')
		argp_error(state, "the directory's name is empty");
	tool_set(tool, state, PMIO_SET_POOL, arg);
	return 0;
}

/* pmio_pool_check() checks the superblock's version and checksum, not this function */
static int read_super(const char *dir, struct pmio_super_df *super)
{
	char path[PATH_MAX];
	ssize_t n;
	int fd;

	if (snprintf(path, sizeof(path), "%s/%s", dir, PMIO_POOL_DATA) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	n = pread(fd, super, sizeof(*super), 0);
	close(fd);
	if (n != (ssize_t)sizeof(*super) || super->magic != PMIO_POOL_MAGIC)
		return PMIO_ENOTPOOL;
	return 0;
}

/* pmio_pool_check() without messages */
static int check_silently(const char *dir, struct pmio_pool_report *report)
{
	enum pmio_log_level level = pmio_log_get_level();
	int rc;

	pmio_log_set_level(PMIO_LOG_NONE);
	rc = pmio_pool_check(dir, report);
	pmio_log_set_level(level);
	return rc;
}

/* ---- create ------------------------------------------------------------------ */

static error_t parse_create(int key, char *arg, struct argp_state *state)
{
	struct tool *tool = state->input;

	switch (key) {
	case 's':
		tool_set(tool, state, PMIO_SET_POOL_SIZE, arg);
		return 0;
	case 'c':
		tool_set(tool, state, PMIO_SET_CHUNK_SIZE, arg);
		return 0;
	case ARGP_KEY_ARG:
		return take_dir(tool, arg, state);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void show_created(uint64_t done, uint64_t size, void *arg)
{
	struct tool_progress *p = arg;

	p->bytes = size;
	p->bytes_done = done;
	tool_progress_show(p);
}

static int make_pool(const struct tool *tool, const char *dir, const char *command,
		     int (*make)(const char *dir, const struct pmio_pool_params *params),
		     struct pmio_super_df *super)
{
	struct tool_progress progress = { .tool = tool, .command = command };
	struct pmio_pool_params params = {
		.size = tool->settings.num[PMIO_SET_POOL_SIZE],
		.chunk_size = tool->settings.num[PMIO_SET_CHUNK_SIZE],
	};
	int rc;

	if (tool->settings.from[PMIO_SET_POOL_SIZE] == PMIO_FROM_DEFAULT)
		params.size = pmio_pool_default_size(dir, params.size);
	/* a command that prints a single JSON object at its end has no events */
	if (!tool->json) {
		tool_progress_start(&progress, dir);
		params.progress = show_created;
		params.progress_arg = &progress;
	}
	rc = make(dir, &params);
	if (rc == 0)
		progress.bytes_done = progress.bytes;
	if (!tool->json)
		tool_progress_end(&progress);
	return rc < 0 ? rc : read_super(dir, super);
}

/* report the result */
static int finish_make(const struct tool *tool, const char *dir, int rc, const struct pmio_super_df *super)
{
	if (rc < 0)
		return tool_failed(rc, "pool %s", dir);
	if (tool->json) {
		struct json_object *o = json_object_new_object();

		tool_add_string(o, "pool", dir);
		tool_add(o, "size", super->nr_frames * super->chunk_size);
		tool_add(o, "chunk_size", super->chunk_size);
		tool_print_json(o);
	} else if (!tool->quiet) {
		printf("pool ");
		tool_print_path(dir);
		printf(": room for %s in frames of %s\n",
		       TOOL_SIZE(super->nr_frames * super->chunk_size), TOOL_SIZE(super->chunk_size));
	}
	return TOOL_DONE;
}

static int create(struct tool *tool, int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "size", 's', "SIZE", 0, "Size of the pool, for example 64GiB or 1.5TiB (default: setting pool_size)", 0 },
		{ "chunk-size", 'c', "SIZE", 0, "Size of a frame, a power of two (default: setting chunk_size)", 0 },
		{ 0 },
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_create,
		.args_doc = "[DIR]",
		.doc = "make a pool; all its space is reserved now",
	};
	struct pmio_super_df super;
	char dir[PATH_MAX];
	int rc;

	tool_parse(tool, &argp, tool, argc, argv);
	if (tool->bad_settings)
		return TOOL_FAILED;
	rc = *tool->settings.str[PMIO_SET_POOL] ? 0 : pmio_default_pool_make(dir, sizeof(dir));
	if (rc < 0)
		return tool_failed(rc, "pool %s", dir);
	if (tool_pool_dir(tool, dir) != TOOL_DONE)
		return TOOL_FAILED;
	rc = make_pool(tool, dir, "pool create", pmio_pool_create, &super);
	return finish_make(tool, dir, rc, &super);
}

/* ---- resize ------------------------------------------------------------------ */

struct resize_args {
	struct tool *tool;
	bool has_size;
};

static error_t parse_resize(int key, char *arg, struct argp_state *state)
{
	struct resize_args *args = state->input;

	switch (key) {
	case 's':
		args->has_size = true;
		tool_set(args->tool, state, PMIO_SET_POOL_SIZE, arg);
		return 0;
	case ARGP_KEY_ARG:
		return take_dir(args->tool, arg, state);
	case ARGP_KEY_END:
		if (!args->has_size)
			argp_error(state, "which --size?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int resize(struct tool *tool, int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "size", 's', "SIZE", 0, "New size of the pool, for example 64GiB or 1.5TiB", 0 },
		{ 0 },
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_resize,
		.args_doc = "[DIR]",
		.doc = "change the size of a pool that has no agent and no waiting data; data that it "
		       "keeps for readers are discarded",
	};
	struct resize_args args = { .tool = tool };
	struct pmio_super_df super;
	char dir[PATH_MAX];
	int rc;

	tool_parse(tool, &argp, &args, argc, argv);
	if (tool->bad_settings || tool_pool_dir(tool, dir) != TOOL_DONE)
		return TOOL_FAILED;
	rc = make_pool(tool, dir, "pool resize", pmio_pool_resize, &super);
	return finish_make(tool, dir, rc, &super);
}

/* ---- list -------------------------------------------------------------------- */

struct listed {
	char dir[PATH_MAX];
	const char *state; /* "running", "idle", "missing" or an error */
	bool agent, usable;
	enum pmio_pm_granularity granularity;
	uint64_t size, free, dirty; /* bytes; 0 unless usable */
	uint64_t nr_files;
};

static void ask_agent(struct listed *l, struct pmio *pm)
{
	struct pmio_pool_stat st;

	l->agent = true;
	l->state = "running";
	if (pmio_stat_sums(pm, &st) < 0)
		return;
	l->usable = true;
	l->granularity = (enum pmio_pm_granularity)st.granularity;
	l->size = st.nr_frames * st.chunk_size;
	l->free = st.nr_frames_free * st.chunk_size;
	l->dirty = st.dirty_bytes;
	l->nr_files = st.nr_files;
}

static void look_at_media(struct listed *l)
{
	struct pmio_pool_report report;
	struct pmio_super_df super;
	int rc = pmio_pool_check_dir(l->dir, false, NULL);

	if (rc == 0)
		rc = check_silently(l->dir, &report);
	if (rc == 0)
		rc = read_super(l->dir, &super);
	if (rc == 0 && report.nr_problems)
		rc = PMIO_EDAMAGED;
	l->state = rc == 0 ? "idle" : rc == -ENOENT ? "missing" : pmio_strerror(rc);
	if (rc < 0)
		return;
	l->usable = true;
	l->granularity = report.granularity;
	l->size = report.nr_frames * super.chunk_size;
	l->free = (report.nr_frames - report.nr_used_frames) * super.chunk_size;
	l->dirty = report.dirty_bytes;
	l->nr_files = report.nr_files;
}

static void look_at(struct listed *l)
{
	struct pmio *pm;

	if (pmio_attach(l->dir, &pm) == 0) {
		ask_agent(l, pm);
		pmio_disconnect(&pm);
	} else {
		look_at_media(l);
	}
}

static struct json_object *listed_json(const struct listed *l)
{
	struct json_object *o = json_object_new_object();

	tool_add_string(o, "pool", l->dir);
	tool_add_string(o, "state", l->state);
	tool_add_bool(o, "agent", l->agent);
	tool_add_bool(o, "usable", l->usable);
	if (l->usable) {
		tool_add_string(o, "granularity", pmio_pm_granularity_name(l->granularity));
		tool_add(o, "size", l->size);
		tool_add(o, "free", l->free);
		tool_add(o, "dirty", l->dirty);
		tool_add(o, "files", l->nr_files);
	}
	return o;
}

static void print_listed(const struct listed *l)
{
	if (l->usable)
		printf("%-8s %-11s %10s %10s %10s %6llu  ", l->state,
		       pmio_pm_granularity_name(l->granularity), TOOL_SIZE(l->size),
		       TOOL_SIZE(l->free), TOOL_SIZE(l->dirty), (unsigned long long)l->nr_files);
	else
		printf("%-8s %-11s %10s %10s %10s %6s  ",
		       strcmp(l->state, "missing") ? "unusable" : l->state, "-", "-", "-", "-", "-");
	tool_print_path(l->dir);
	if (!l->usable && strcmp(l->state, "missing") != 0)
		printf(" (%s)", l->state);
	putchar('\n');
}

struct list {
	struct tool *tool;
	struct json_object *pools; /* NULL: no JSON */
	size_t nr_good, nr_bad;	   /* of the pools that were named */
};

/* the directory that this setting names */
static int list_one(struct list *list, const char *set, bool named)
{
	struct tool *tool = list->tool;
	struct listed l = { 0 };
	int rc = pmio_settings_set(&tool->settings, PMIO_SET_POOL, set, PMIO_FROM_COMMAND_LINE);

	if (rc < 0 || tool_pool_dir(tool, l.dir) != TOOL_DONE) {
		list->nr_bad++;
		return tool_failed(rc, "pool %s", set);
	}
	look_at(&l);
	if (list->pools)
		json_object_array_add(list->pools, listed_json(&l));
	else
		print_listed(&l);
	if (named && l.usable)
		list->nr_good++;
	else if (named)
		list->nr_bad++;
	return TOOL_DONE;
}

/* the pool in use, and the default one if that is another and exists */
static void list_known(struct list *list)
{
	struct tool *tool = list->tool;
	char dir[PATH_MAX], other[PATH_MAX];

	if (tool_pool_dir(tool, dir) != TOOL_DONE) {
		list->nr_bad++;
		return;
	}
	list_one(list, dir, false);
	if (pmio_settings_set(&tool->settings, PMIO_SET_POOL, "", PMIO_FROM_DEFAULT) < 0)
		return;
	if (tool_pool_dir(tool, other) == TOOL_DONE && strcmp(other, dir) != 0 &&
	    access(other, F_OK) == 0)
		list_one(list, other, false);
}

static int list_pools(struct tool *tool, int argc, char **argv)
{
	static const struct argp argp = {
		.parser = tool_parse_args,
		.args_doc = "[DIR...]",
		.doc = "list the pool in use, the default one in /dev/shm, and those given",
	};
	struct list list = { .tool = tool };
	struct tool_args args = { 0 };

	tool_parse(tool, &argp, &args, argc, argv);
	if (tool->bad_settings)
		return TOOL_FAILED;
	if (tool->json)
		list.pools = json_object_new_array();
	else if (!tool->quiet)
		printf("%-8s %-11s %10s %10s %10s %6s  %s\n", "STATE", "GRANULARITY", "SIZE", "FREE",
		       "DIRTY", "FILES", "POOL");
	list_known(&list);
	for (size_t i = 0; i < args.nr; i++)
		list_one(&list, args.v[i], true);
	if (list.pools) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "pools", list.pools);
		tool_print_json(o);
	}
	return tool_exit_of(list.nr_good, list.nr_bad);
}

/* ---- check ------------------------------------------------------------------- */

static error_t parse_check(int key, char *arg, struct argp_state *state)
{
	return key == ARGP_KEY_ARG ? take_dir(state->input, arg, state) : ARGP_ERR_UNKNOWN;
}

static void show_report(const struct tool *tool, const char *dir,
			const struct pmio_pool_report *report)
{
	if (tool->json) {
		struct json_object *o = json_object_new_object();

		tool_add_string(o, "pool", dir);
		tool_add(o, "problems", report->nr_problems);
		tool_add_string(o, "granularity", pmio_pm_granularity_name(report->granularity));
		tool_add(o, "files", report->nr_files);
		tool_add(o, "dirty_files", report->nr_dirty_files);
		tool_add(o, "frames", report->nr_frames);
		tool_add(o, "used_frames", report->nr_used_frames);
		tool_add(o, "dirty", report->dirty_bytes);
		tool_print_json(o);
	} else if (!tool->quiet) {
		printf("pool ");
		tool_print_path(dir);
		printf(": %llu problems; %llu of %llu frames used, %llu files, %llu of them with %s "
		       "not on the file system; granularity %s\n",
		       (unsigned long long)report->nr_problems,
		       (unsigned long long)report->nr_used_frames,
		       (unsigned long long)report->nr_frames, (unsigned long long)report->nr_files,
		       (unsigned long long)report->nr_dirty_files, TOOL_SIZE(report->dirty_bytes),
		       pmio_pm_granularity_name(report->granularity));
	}
}

static int check(struct tool *tool, int argc, char **argv)
{
	static const struct argp argp = {
		.parser = parse_check,
		.args_doc = "[DIR]",
		.doc = "verify a pool that has no agent; changes nothing.  Exit status 1 if "
		       "problems were found",
	};
	struct pmio_pool_report report;
	char dir[PATH_MAX];
	int rc;

	tool_parse(tool, &argp, tool, argc, argv);
	if (tool->bad_settings || tool_pool_dir(tool, dir) != TOOL_DONE)
		return TOOL_FAILED;
	rc = pmio_pool_check(dir, &report);
	if (rc < 0)
		return tool_failed(rc, "pool %s", dir);
	show_report(tool, dir, &report);
	return report.nr_problems ? TOOL_FAILED : TOOL_DONE;
}

/* ---- destroy ----------------------------------------------------------------- */

struct destroy_args {
	struct tool *tool;
	bool force;
};

static error_t parse_destroy(int key, char *arg, struct argp_state *state)
{
	struct destroy_args *args = state->input;

	switch (key) {
	case 'f':
		args->force = true;
		return 0;
	case ARGP_KEY_ARG:
		return take_dir(args->tool, arg, state);
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "missing DIR"); /* do not use the configured one by chance */
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* would data be lost that exist nowhere else, or is that unknown? */
static int refuse_to_destroy(const char *dir)
{
	struct pmio_pool_report report;
	int rc = check_silently(dir, &report);

	if (rc == PMIO_ENOTPOOL || rc == PMIO_EVERSION || rc == PMIO_EDAMAGED ||
	    (rc == 0 && report.nr_problems)) {
		pmio_err("pool %s: %s: cannot determine whether data wait in it; --force destroys it "
			 "anyway", dir, pmio_strerror(rc ? rc : PMIO_EDAMAGED));
		return TOOL_FAILED;
	}
	if (rc == 0 && report.nr_dirty_files) {
		pmio_err("pool %s: data of %llu files wait in it for the file system; use `pmio "
			 "drain --all`, or --force to discard them", dir,
			 (unsigned long long)report.nr_dirty_files);
		return TOOL_FAILED;
	}
	return TOOL_DONE; /* otherwise pmio_pool_destroy() reports the error */
}

/* the agent's files, which do not belong to the pool; then the directory, if it is empty */
static void remove_leftovers(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return; /* it was empty, and has been removed */
	unlinkat(fd, PMIO_SOCKET_NAME, 0);
	unlinkat(fd, AGENT_LOG, 0);
	unlinkat(fd, MOUNT_LOG, 0);
	close(fd);
	if (rmdir(dir) < 0 && errno != ENOTEMPTY)
		pmio_info("pool %s: the directory was not removed: %s", dir, strerror(errno));
}

static int destroy(struct tool *tool, int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "force", 'f', NULL, 0, "Also if data wait in it, or if it is damaged", 0 },
		{ 0 },
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_destroy,
		.args_doc = "DIR",
		.doc = "remove a pool that no agent has",
	};
	struct destroy_args args = { .tool = tool };
	char dir[PATH_MAX];
	int rc;

	tool_parse(tool, &argp, &args, argc, argv);
	if (tool->bad_settings || tool_pool_dir(tool, dir) != TOOL_DONE)
		return TOOL_FAILED;
	if (!args.force && refuse_to_destroy(dir) != TOOL_DONE)
		return TOOL_FAILED;
	rc = pmio_pool_destroy(dir);
	if (rc < 0)
		return tool_failed(rc, "pool %s", dir);
	remove_leftovers(dir);
	return TOOL_DONE;
}

int tool_pool(struct tool *tool, int argc, char **argv)
{
	static const struct tool_command commands[] = {
		{ "create", create, "create a pool" },
		{ "resize", resize, "change a pool's size" },
		{ "list", list_pools, "list pools" },
		{ "check", check, "verify a pool" },
		{ "destroy", destroy, "remove a pool" },
		{ NULL, NULL, NULL },
	};

	return tool_dispatch(tool, "make, resize, list, check and destroy pools", commands, argc, argv);
}
