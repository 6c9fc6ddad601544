/*
 * drain.c -- pmio drain, pmio stage-out: drain pending data to the file system now; a
 * stage-out also frees their room in the pool
 */
#include "config.h"

#include "core/log.h"
#include "pfs/pfs.h"
#include "remote/remote.h"
#include "select.h"

static bool force; /* --force */

static int drain(struct pmio *pm, struct transfer_file *f)
{
	int rc = tool_drain_entry(pm, &f->entry, &f->path, (force ? PMIO_DRAIN_OVER : 0) | (f->is_here ? PMIO_DRAIN_HERE : 0));

	f->slot = -1;
	return rc;
}

static int stage_out(struct pmio *pm, struct transfer_file *f)
{
	int rc = f->pending ? drain(pm, f) : 0;

	/* a file that is open, or not readable, keeps its frames; it is drained nevertheless */
	if (rc == 0)
		pmio_stage_release(pm, f->path);
	return rc;
}

static uint64_t drained(const struct pmio_file_stat *st)
{
	return st->drained_bytes;
}

struct drain_args {
	struct transfer_args files;
	bool all;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct drain_args *args = state->input;

	switch (key) {
	case 'a':
		args->all = true;
		return 0;
	case 'f':
		force = true;
		return 0;
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &args->files;
		return 0;
	case ARGP_KEY_END:
		if (args->all == (args->files.paths.nr > 0))
			argp_error(state, "give either paths or --all");
		return 0;
	default:
		(void)arg;
		return ARGP_ERR_UNKNOWN;
	}
}

static void warn_paused(struct pmio *pm)
{
	struct pmio_pool_stat st;

	if (pmio_stat_pool(pm, &st) == 0 && st.paused)
		pmio_warn("drains are paused: this waits for `pmio agent resume`");
}

/* for files that the pool no longer knows, too: its agent may have drained them by itself */
static void nothing_waits(struct pmio *pm, const struct tool_args *paths)
{
	uint8_t uuid[16];

	pmio_pool_uuid(pm, uuid);
	for (size_t i = 0; i < paths->nr; i++)
		remote_layout_file_drained(paths->v[i], uuid, NULL, NULL);
}

/*
 * the pool knows a file by its name outside of a mount, and would not find it by one in the mount: that must not count
 * as success
 */
static bool in_mount(const struct tool_args *paths)
{
	bool found = false;

	for (size_t i = 0; i < paths->nr; i++) {
		if (!pmio_pfs_in_mount(paths->v[i]))
			continue;
		pmio_err("drain %s: it is in a `pmio mount`; use the path that the file has outside of the mount", paths->v[i]);
		found = true;
	}
	return found;
}

static int run(struct tool *tool, struct transfer_run *t, bool waiting_only, const char *doc, int argc,
	       char **argv)
{
	static const struct argp_option options[] = {
		{ "all", 'a', NULL, 0, "All files that the pool knows", 0 },
		{ "force", 'f', NULL, 0, "Overwrite what others have changed in a file since it was closed", 0 },
		{ 0 },
	};
	static const struct argp_child children[] = { { &transfer_argp, 0, NULL, 0 }, { 0 } };
	const struct argp argp = { .options = options, .parser = parse, .args_doc = "PATH...\n--all",
				   .doc = doc, .children = children };
	struct drain_args args = { .files = { .nr_jobs = TRANSFER_JOBS } };
	struct pmio *pm;
	int status;

	tool_parse(tool, &argp, &args, argc, argv);
	if (in_mount(&args.files.paths))
		return TOOL_FAILED;
	status = tool_connect(tool, &pm);
	if (status != TOOL_DONE)
		return status;
	warn_paused(pm);
	t->nr_jobs = args.files.nr_jobs;
	if (select_in_pool(t, pm, &args.files.paths, waiting_only) < 0)
		status = TOOL_FAILED;
	else
		status = transfer_run(t, pm);
	if (status == TOOL_DONE)
		nothing_waits(pm, &args.files.paths);
	pmio_disconnect(&pm);
	return status;
}

int tool_drain(struct tool *tool, int argc, char **argv)
{
	struct transfer_run t = { .tool = tool, .command = "drain", .done_word = "drained",
			      .move = drain, .counter = drained };

	return run(tool, &t, true,
		   "copy data that wait in the pool to the file system; returns when they are durable "
		   "there.  A PATH is a file, a directory with everything below it, or a pattern in quotes",
		   argc, argv);
}

int tool_stage_out(struct tool *tool, int argc, char **argv)
{
	struct transfer_run t = { .tool = tool, .command = "stage-out", .done_word = "staged out",
			      .move = stage_out, .counter = drained, .moved_only = true };

	return run(tool, &t, false,
		   "copy data that wait in the pool to the file system, and release the pool's copy "
		   "of these files.  A PATH is a file, a directory with everything below it, or a pattern in "
		   "quotes", argc, argv);
}
