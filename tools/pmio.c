/*
 * pmio.c -- the command `pmio`
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "tools.h"

const char *argp_program_version = PACKAGE_STRING;

static const struct tool_command commands[] = {
	{ "pool", tool_pool, "create, resize, list, check and destroy pools" },
	{ "ls", tool_ls, "list the files that the pool knows" },
	{ "stat", tool_stat, "show the pool's state, or a file's" },
	{ "stage-in", tool_stage_in, "bring files into the pool before they are read" },
	{ "stage-out", tool_stage_out, "copy to the file system, and release the pool's copy" },
	{ "drain", tool_drain, "copy data that wait in the pool to the file system" },
	{ "recover", tool_recover, "drain data that were left in a pool, by hand" },
	{ "rm", tool_rm, "remove files, and their data in the pool" },
	{ "forget", tool_forget, "discard the pool's data of files; the file system is not touched" },
	{ "agent", tool_agent, "start, stop and query the pool's agent" },
	{ "target", tool_target, "list and query memory nodes" },
	{ "conf", tool_conf, "show every setting, its value and the source of that" },
	{ "mpi-info", tool_mpi_info, "show the installed MPIs, and how their programs can use pmem: names" },
	{ "run", tool_run, "run a program with its MPI-IO, its files or its heap in the pool" },
	{ "mount", tool_mount, "show the files of a directory at a mount point, with their data in the pool" },
	{ "unmount", tool_unmount, "drain what is open in such a mount, and remove it" },
	{ NULL, NULL, NULL },
};

/* a full disk or a closed pipe is a failure, too, though only the last write shows it */
static int close_stdout(int status)
{
	if (ferror(stdout) || fflush(stdout) != 0)
		return tool_failed(-errno, "standard output");
	return status;
}

int main(int argc, char **argv)
{
	struct tool tool = { 0 };
	int status;

	argp_err_exit_status = TOOL_USAGE;
	tool_log_init();
	if (pmio_odd_option(argc, argv)) {
		pmio_err("unknown option \"%s\"", pmio_odd_option(argc, argv));
		return TOOL_USAGE;
	}
	tool.bad_settings = pmio_settings_init(&tool.settings) < 0;
	argv[0] = (char *)"pmio";
	status = tool_dispatch(&tool, "manage files in persistent memory", commands, argc, argv);
	pmio_settings_fini(&tool.settings);
	return close_stdout(status);
}
