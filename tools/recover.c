/*
 * recover.c -- pmio recover: data that were left in a pool, by a crash or by another
 * machine
 *
 * If the pool's agent runs, it drains.  Otherwise one is started that drains only the
 * requested files, and exits afterwards.  With --to files are saved to another place,
 * without an agent, by recover_to.c.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/backoff.h"
#include "core/log.h"
#include "pool/pool.h"
#include "recover_to.h"
#include "select.h"

struct recover_args {
	struct transfer_args files;
	const char *to;	/* NULL: to their original names */
	bool dry_run, force;
};

/* ---- the owner of the pool ------------------------------------------------------------ */

/* the lock of an agent on another machine may be invisible here */
static int check_owner(const char *dir, bool force)
{
	struct pmio_pool_owner owner;
	char here[sizeof(owner.host)] = "";
	int rc = pmio_pool_owner(dir, &owner);

	if (rc < 0)
		return tool_failed(rc, "pool %s", dir);
	if (owner.locked) {
		pmio_err("pool %s: in use by process %u on %s, which cannot be reached", dir, owner.pid,
			 owner.host[0] ? owner.host : "an unknown machine");
		return TOOL_FAILED;
	}
	gethostname(here, sizeof(here) - 1);
	if (force || owner.host[0] == '\0' || strcmp(owner.host, here) == 0)
		return TOOL_DONE;
	pmio_err("pool %s: the agent on %s (process %u) has not released it; if neither it nor a "
		 "program runs there any longer, use --force", dir, owner.host, owner.pid);
	return TOOL_FAILED;
}

/* a pool that is written to must be intact */
static int check_intact(const char *dir)
{
	struct pmio_pool_report report;
	int rc = pmio_pool_check(dir, &report);

	if (rc < 0)
		return tool_failed(rc, "pool %s", dir);
	if (report.nr_problems == 0)
		return TOOL_DONE;
	pmio_err("pool %s: damaged; nothing was changed; --to DIR saves what can be read", dir);
	return TOOL_FAILED;
}

/* ---- through an agent -------------------------------------------------------------- */

static int drain(struct pmio *pm, struct transfer_file *f)
{
	int rc = tool_drain_entry(pm, &f->entry, &f->path, f->is_here ? PMIO_DRAIN_HERE : 0);

	f->slot = -1;
	return rc;
}

static uint64_t drained(const struct pmio_file_stat *st)
{
	return st->drained_bytes;
}

static int drain_all(struct tool *tool, const struct recover_args *args, struct pmio *pm)
{
	struct transfer_run t = { .tool = tool, .command = "recover", .done_word = "recovered",
			      .nr_jobs = args->files.nr_jobs, .move = drain, .counter = drained };

	if (select_in_pool(&t, pm, &args->files.paths, true) < 0)
		return TOOL_FAILED;
	if (t.nr == 0 && !t.refused && !tool->json && !tool->quiet)
		puts("recover: no data to recover");
	return transfer_run(&t, pm);
}

/*
 * The agent was started for this command; programs that have connected meanwhile keep
 * it running.  This command's other connections may still count for a moment.
 */
static void end_agent(struct pmio *pm)
{
	struct pmio_backoff b = PMIO_BACKOFF(10, 10, 2000);
	struct pmio_pool_stat st;

	while (pmio_stat_pool(pm, &st) == 0) {
		if (st.nr_clients <= 1) {
			pmio_shutdown(pm, true);
			return;
		}
		if (!pmio_backoff_sleep(&b))
			return;
	}
}

/* a running agent; PMIO_EAGENT: there is none */
static int reach(const char *dir, struct pmio **pm)
{
	struct pmio_backoff b = PMIO_BACKOFF(10, 10, 3000);
	struct pmio_pool_owner owner;
	int rc;

	/* an agent has the pool, but does not listen yet, or not any more */
	do
		rc = pmio_attach(dir, pm);
	while (rc == PMIO_EAGENT && pmio_pool_owner(dir, &owner) >= 0 && owner.locked && pmio_backoff_sleep(&b));
	return rc;
}

static int recover_in_place(struct tool *tool, const struct recover_args *args, const char *dir)
{
	struct pmio *pm;
	int status, rc = reach(dir, &pm);
	bool is_ours = rc == PMIO_EAGENT;

	if (is_ours) {
		if (check_owner(dir, args->force) != TOOL_DONE || check_intact(dir) != TOOL_DONE)
			return TOOL_FAILED;
		setenv("PMIO_RECOVER", "hold", 1); /* other files stay where they are */
		rc = pmio_connect(dir, &pm); /* it, or the agent, reports errors */
		if (rc < 0)
			return TOOL_FAILED;
	}
	if (rc < 0)
		return tool_failed(rc, "pool %s", dir);
	status = drain_all(tool, args, pm);
	if (is_ours)
		end_agent(pm);
	pmio_disconnect(&pm);
	return status;
}

/* ---- only showing ---------------------------------------------------------------------- */

static void show_one(const struct transfer_file *f, struct json_object *files)
{
	struct json_object *o;

	if (files) {
		o = json_object_new_object();
		tool_add_string(o, "path", f->path);
		tool_add_bool(o, "name_lost", false);
		tool_add(o, "size", f->size);
		tool_add(o, "dirty", f->bytes);
		json_object_array_add(files, o);
		return;
	}
	printf("%10s %10s  ", TOOL_SIZE(f->size), TOOL_SIZE(f->bytes));
	tool_print_path(f->path);
	putchar('\n');
}

/* the files that a running agent knows */
static int show_known(const struct tool *tool, const struct recover_args *args, struct pmio *pm)
{
	struct json_object *files = tool->json ? json_object_new_array() : NULL, *o;
	struct transfer_run t = { .tool = tool };
	int rc = select_in_pool(&t, pm, &args->files.paths, true), status;

	if (!files && !tool->quiet)
		printf("%10s %10s  %s\n", "SIZE", "DIRTY", "PATH");
	for (size_t i = 0; i < t.nr; i++)
		show_one(&t.files[i], files);
	if (files) {
		o = json_object_new_object();
		tool_add_string(o, "pool", pmio_pool_path(pm));
		tool_add(o, "problems", 0);
		json_object_object_add(o, "files", files);
		tool_print_json(o);
	}
	status = rc < 0 ? TOOL_FAILED : tool_exit_of(t.nr, t.refused != NULL);
	transfer_free(&t);
	return status;
}

static int show(const struct tool *tool, const struct recover_args *args, const char *dir)
{
	struct pmio *pm;
	int status, rc = reach(dir, &pm);

	if (rc == PMIO_EAGENT)
		return tool_recover_list(tool, dir, &args->files.paths);
	if (rc < 0)
		return tool_failed(rc, "pool %s", dir);
	status = show_known(tool, args, pm);
	pmio_disconnect(&pm);
	return status;
}

/* ---- the command --------------------------------------------------------------------- */

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct recover_args *args = state->input;

	switch (key) {
	case 'f':
		args->force = true;
		return 0;
	case 't':
		if (*arg == '\0')
			argp_error(state, "--to: no name given");
		args->to = arg;
		return 0;
	case 'n':
		args->dry_run = true;
		return 0;
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &args->files;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int tool_recover(struct tool *tool, int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "to", 't', "PATH", 0,
		  "Save the files to this directory or file instead; only reads the pool, which may be damaged", 0 },
		{ "dry-run", 'n', NULL, 0, "Show the files, but do nothing", 0 },
		{ "force", 'f', NULL, 0, "Also if an agent on another machine has not released the pool", 0 },
		{ 0 },
	};
	static const struct argp_child children[] = { { &transfer_argp, 0, NULL, 0 }, { 0 } };
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "[PATH...]",
		.doc = "drain data that were left in a pool, all or the given files; "
		       "also from a pool that belongs to another machine and is mounted here",
		.children = children,
	};
	struct recover_args args = { .files = { .nr_jobs = TRANSFER_JOBS } };
	char dir[PATH_MAX];

	tool_parse(tool, &argp, &args, argc, argv);
	if (tool->bad_settings || tool_pool_dir(tool, dir) != TOOL_DONE)
		return TOOL_FAILED;
	if (args.dry_run)
		return show(tool, &args, dir);
	if (args.to)
		return check_owner(dir, args.force) != TOOL_DONE ? TOOL_FAILED
								 : tool_recover_to(tool, dir, args.to, &args.files.paths);
	return recover_in_place(tool, &args, dir);
}
