/*
 * run.c -- pmio run: runs a program with everything it needs to use pmio files
 *
 * It replaces itself with the program, so it can be put between a launcher and the program: mpirun -n 4 pmio run
 * --mpi -- ./a.out.  Only with --check and --report it waits for the program, to print a report at the end.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "mpis.h"
#include "run.h"
#include "run_heap.h"
#include "tools.h"

#define OPTION_DRAIN 256
#define OPTION_HEAP 300
#define OPTION_HEAP_FULL 301
#define OPTION_HEAP_FORK 302

struct run_args {
	struct tool *tool;
	struct run_paths paths;
	struct run_heap heap;
	bool mpi;
	const struct mpi_family *family; /* NULL: the one that the program is linked to */
	char **argv;			 /* the program's; ends with NULL */
};

static const struct argp_option options[] = {
	{ "mpi", 'm', "FAMILY", OPTION_ARG_OPTIONAL,
	  "Preload the library that the program's MPI needs, if any; give FAMILY (abi, mpich or openmpi) if the program is not linked to an MPI", 0 },
	{ "paths", 'P', "PATTERNS", 0,
	  "Redirect the files of the program and its children whose names match: their data are in the pool", 0 },
	{ "drain", OPTION_DRAIN, "WHEN", 0, "When redirected files are drained: close, async, hold or aggregate (as PMIO_DRAIN)", 0 },
	{ "check", 'c', NULL, 0, "At the end, list the redirected files of each process, and those that bypassed the pool", 0 },
	{ "report", 'r', NULL, 0, "At the end, report bytes to and from PMEM and the file system, the time saved, and data that wait", 0 },
	{ "heap", OPTION_HEAP, "SIZE", 0,
	  "Put memory that the program and its children get by malloc() into files of this size in the pool's directory", 0 },
	{ "heap-full", OPTION_HEAP_FULL, "WHAT", 0, "What to do when the heap is full: dram (use the system's memory, default) or fail", 0 },
	{ "heap-fork", OPTION_HEAP_FORK, "WHAT", 0, "What a child of fork() does: copy the heap (default), or refuse (exit)", 0 },
	{ 0 },
};

/* an option's argument, which is one of two words */
static const char *one_of(struct argp_state *state, const char *option, const char *arg, const char *first, const char *second)
{
	if (strcmp(arg, first) != 0 && strcmp(arg, second) != 0)
		argp_error(state, "%s=%s: say %s or %s", option, TOOL_PLAIN(arg), first, second);
	return arg;
}

/* the option can be given several times */
static error_t add_patterns(struct run_paths *r, const char *more)
{
	char *all;

	if (asprintf(&all, "%s%s%s", r->patterns ? r->patterns : "", r->patterns ? ":" : "", more) < 0)
		return ENOMEM;
	free(r->patterns);
	r->patterns = all;
	return 0;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct run_args *args = state->input;

	switch (key) {
	case 'm':
		args->mpi = true;
		args->family = arg ? mpi_family_named(arg) : NULL;
		if (arg && !args->family)
			argp_error(state, "--mpi=%s: unknown MPI family", TOOL_PLAIN(arg));
		return 0;
	case OPTION_HEAP:
		if (pmio_parse_size(arg, &args->heap.size) < 0 || !args->heap.size)
			argp_error(state, "--heap=%s: not a size, such as 2GiB", TOOL_PLAIN(arg));
		return 0;
	case OPTION_HEAP_FULL:
		args->heap.full = one_of(state, "--heap-full", arg, "dram", "fail");
		return 0;
	case OPTION_HEAP_FORK:
		args->heap.fork = one_of(state, "--heap-fork", arg, "copy", "refuse");
		return 0;
	case 'P':
		return add_patterns(&args->paths, arg);
	case OPTION_DRAIN:
		tool_set(args->tool, state, PMIO_SET_DRAIN, arg);
		return 0;
	case 'c':
		args->paths.check = true;
		return 0;
	case 'r':
		args->paths.report = true;
		return 0;
	case ARGP_KEY_ARG:
		args->argv = &state->argv[state->next - 1];
		state->next = state->argc; /* the rest belongs to the program */
		return 0;
	case ARGP_KEY_END:
		if (!args->argv)
			argp_error(state, "missing PROGRAM");
		if (!args->mpi && !args->paths.patterns && !args->heap.size)
			argp_error(state, "give --paths, --mpi or --heap");
		if ((args->paths.check || args->paths.report) && !args->paths.patterns)
			argp_error(state, "--check and --report need --paths");
		if ((args->heap.full || args->heap.fork) && !args->heap.size)
			argp_error(state, "--heap-full and --heap-fork need --heap");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int prepare_mpi(const char *path, const struct mpi_family *family)
{
	struct mpi_use use;
	int status = TOOL_DONE;

	mpi_of_program(path, family, &use);
	if (use.by == MPI_BY_NOTHING) {
		pmio_err("run: %s%s%s", use.version ? use.version : "", use.version ? ": " : "", use.why ? use.why : "no memory");
		status = TOOL_RUN_FAILED;
	} else if (use.by == MPI_BY_LIBRARY && !use.loaded) {
		pmio_info("run: %s: %s is preloaded", use.version, use.library);
		status = run_preload(use.library);
	}
	mpi_use_free(&use);
	return status;
}

static int prepare_heap(const struct tool *tool, const struct run_heap *h)
{
	char *library;
	int status = TOOL_RUN_FAILED;

	if (asprintf(&library, "%s/libpmio-heap.so", mpi_library_dir()) < 0)
		return status;
	status = run_heap(tool, library, h);
	if (status == TOOL_DONE)
		status = run_preload(library);
	free(library);
	return status;
}

/* an option has priority over the environment, also for the program */
static int pass_pool(const struct tool *tool)
{
	char dir[PATH_MAX];

	if (tool->settings.from[PMIO_SET_POOL] != PMIO_FROM_COMMAND_LINE)
		return TOOL_DONE;
	if (tool_pool_dir(tool, dir) != TOOL_DONE || setenv("PMIO_POOL", dir, 1) < 0)
		return TOOL_RUN_FAILED;
	return TOOL_DONE;
}

static int pass_drain(const struct tool *tool)
{
	if (tool->settings.from[PMIO_SET_DRAIN] != PMIO_FROM_COMMAND_LINE)
		return TOOL_DONE;
	return setenv("PMIO_DRAIN", tool->settings.str[PMIO_SET_DRAIN], 1) == 0 ? TOOL_DONE : TOOL_RUN_FAILED;
}

int tool_run(struct tool *tool, int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.args_doc = "[--] PROGRAM [ARGUMENT...]",
		.doc = "run a program with its files in the pool: those that match patterns, or those with pmem: names that it opens by MPI",
	};
	struct run_args args = { .tool = tool };
	int status;
	char *path;

	tool_parse_command(tool, &argp, &args, argc, argv);
	if (tool->bad_settings)
		return TOOL_RUN_FAILED; /* the same status as for the program itself */
	path = mpi_find_program(args.argv[0]);
	if (!path) {
		status = errno == ENOENT || errno == ENOTDIR ? TOOL_RUN_NOT_FOUND : TOOL_RUN_CANNOT;
		pmio_err("run: %s: %s", args.argv[0], strerror(errno));
		return status;
	}
	status = pass_pool(tool);
	if (status == TOOL_DONE)
		status = pass_drain(tool);
	if (status == TOOL_DONE && args.mpi)
		status = prepare_mpi(path, args.family);
	if (status == TOOL_DONE && args.paths.patterns)
		status = run_redirect(tool, path, &args.paths);
	if (status == TOOL_DONE && args.heap.size)
		status = prepare_heap(tool, &args.heap);
	if (status == TOOL_DONE && (args.paths.check || args.paths.report))
		status = run_child(path, args.argv, run_redirect_tell, &args.paths);
	else if (status == TOOL_DONE)
		status = run_become(path, args.argv);
	free(args.paths.patterns);
	free(path);
	return status;
}
