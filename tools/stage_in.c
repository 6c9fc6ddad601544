/*
 * stage_in.c -- pmio stage-in: brings files into the pool before a program reads them
 *
 * Each file stays open until all are in: so room for one is not taken from another, and
 * files that do not fit are reported.  Data that are already in the pool are not read
 * again, so an interrupted run can be continued by running it again.
 */
#include "config.h"

#include <errno.h>
#include <sys/stat.h>

#include "remote/remote.h"
#include "select.h"

/* connections for files of memory nodes, which outlive the threads that open them */
static struct {
	struct pmio *pm;
	const struct pmio_settings *settings;
} memory;

static int move_to_memory(struct pmio *pm, struct transfer_file *f)
{
	struct stat st;

	(void)pm;
	if (stat(f->path, &st) < 0) {
		int rc = -errno;

		pmio_err("stage in %s: %s", f->path, pmio_strerror(rc));
		return rc;
	}
	f->bytes = (uint64_t)st.st_size;
	return remote_stage_in(memory.pm, memory.settings, f->path, &f->told, &f->kept);
}

static void end_at_memory(struct transfer_file *f)
{
	pmio_close(&f->kept);
}

static int move(struct pmio *pm, struct transfer_file *f)
{
	struct pmio_file *file;
	struct pmio_file_stat st;
	uint32_t slot, cursor;
	int rc = pmio_stage_open(pm, f->path, &file, &slot);

	if (rc < 0)
		return rc;
	cursor = slot;
	rc = pmio_stat_next(pm, &cursor, &st);
	if (rc == 0) {
		f->bytes = st.pfs_size > st.resident_bytes ? st.pfs_size - st.resident_bytes : 0;
		f->before = st.filled_bytes;
		f->slot = slot;
		rc = pmio_stage_in(file);
	}
	f->slot = -1;
	if (rc < 0)
		pmio_close(&file);
	return rc; /* otherwise the connection keeps it open */
}

static uint64_t filled(const struct pmio_file_stat *st)
{
	return st->filled_bytes;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct transfer_args *args = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = args;
		return 0;
	case ARGP_KEY_END:
		if (args->paths.nr == 0)
			argp_error(state, "missing PATH");
		return 0;
	default:
		(void)arg;
		return ARGP_ERR_UNKNOWN;
	}
}

int tool_stage_in(struct tool *tool, int argc, char **argv)
{
	static const struct argp_child children[] = { { &transfer_argp, 0, NULL, 0 }, { 0 } };
	static const struct argp argp = {
		.parser = parse,
		.args_doc = "PATH...",
		.doc = "bring files into the pool before a program reads them: files, directories "
		       "with everything below them, patterns in quotes.  Data already in the pool are not "
		       "read again",
		.children = children,
	};
	struct transfer_args args = { .nr_jobs = TRANSFER_JOBS };
	struct transfer_run t = { .tool = tool, .command = "stage-in", .done_word = "staged in",
			      .move = move, .counter = filled };
	struct pmio *pm;
	int status;

	tool_parse(tool, &argp, &args, argc, argv);
	if (tool->bad_settings)
		return TOOL_FAILED;
	/* like a program that reads: without a pool it makes the default one */
	if (tool_start(tool, &pm) != TOOL_DONE)
		return TOOL_FAILED;
	t.nr_jobs = args.nr_jobs;
	if (client_wants_memory_nodes(&tool->settings)) { /* where the programs will look */
		memory.pm = pm;
		memory.settings = &tool->settings;
		t.move = move_to_memory;
		t.end = end_at_memory;
	}
	select_on_pfs(&t, &args.paths);
	status = transfer_run(&t, pm);
	pmio_disconnect(&pm);
	remote_disconnect_all();
	return status;
}
