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
	{ "pool", tool_pool, "make, resize, list, check and destroy pools" },
	{ "ls", tool_ls, "list the files that the pool knows" },
	{ "stat", tool_stat, "show the pool's state, or a file's" },
	{ "stage-in", tool_stage_in, "bring files into the pool before they are read" },
	{ "stage-out", tool_stage_out, "copy to the file system and give up what the pool holds" },
	{ "drain", tool_drain, "copy what waits in the pool to the file system" },
	{ "recover", tool_recover, "bring what was left in a pool to the file system, by hand" },
	{ "rm", tool_rm, "remove files, and what the pool holds of them" },
	{ "forget", tool_forget, "give up what the pool holds of files, and leave the file system alone" },
	{ "agent", tool_agent, "start, stop and ask after the pool's agent" },
	{ "target", tool_target, "memory nodes: list, stat" },
	{ "conf", tool_conf, "show every setting, its value and where it came from" },
	{ "mpi-info", tool_mpi_info, "show which MPIs can use pmem: names, by what, or why not" },
	{ "run", tool_run, "run an MPI program with what it needs for pmem: names" },
	{ "mount", tool_mount, "show the files of a directory elsewhere, with their data in the pool" },
	{ "unmount", tool_unmount, "drain what is open in such a mount, and take it away" },
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
		pmio_err("there is no option \"%s\"", pmio_odd_option(argc, argv));
		return TOOL_USAGE;
	}
	tool.bad_settings = pmio_settings_init(&tool.settings) < 0;
	argv[0] = (char *)"pmio";
	status = tool_dispatch(&tool, "look after files in persistent memory", commands, argc, argv);
	pmio_settings_fini(&tool.settings);
	return close_stdout(status);
}
