/*
 * prefix_warning.c -- warn if pmio names were used as ordinary names
 *
 * A library that creates, searches or writes a file by POSIX in addition to MPI-IO takes
 * "pmem:/dir/x" literally: data end up in a subfolder "pmem:" of the working folder or, if
 * options are split at ':', in a file "pmem", without an error.  Such an entry is a sure
 * sign; so is a name that begins with "PMEM:".
 */
#include "engine.h"
#include "launcher.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ENTRIES_MAX 4096 /* maximum number of entries of a folder to check */
#define PREFIX "pmem:"

/* one of the processes that open the file, and at most one of a node's processes for all files */
static bool is_speaker(MPI_Comm comm)
{
	static const char *const in_node[] = { "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID", NULL };
	const char *local = engine_environment(in_node);
	int rank;

	PMPI_Comm_rank(comm, &rank);
	return rank == 0 && (!local || strcmp(local, "0") == 0);
}

static bool is_stray(const char *entry)
{
	return strncmp(entry, PREFIX, strlen(PREFIX)) == 0 || strcmp(entry, "pmem") == 0;
}

/* returns whether there was something to report; threads that search at the same time report it once */
static bool look(void)
{
	static atomic_flag said = ATOMIC_FLAG_INIT;
	DIR *dir = opendir(".");
	const struct dirent *e;
	bool found = false;

	for (int i = 0; dir && !found && i < ENTRIES_MAX && (e = readdir(dir)); i++) {
		found = is_stray(e->d_name);
		if (found && !atomic_flag_test_and_set(&said))
			pmio_warn("the working directory contains \"%s\": a library has probably used a name \"pmem:/...\" literally; "
				  "select such files with the setting `paths` instead (see pmio(7), Names)", e->d_name);
	}
	if (dir)
		closedir(dir);
	return found;
}

void engine_look_for_strays(MPI_Comm comm, bool closing)
{
	static atomic_flag opened = ATOMIC_FLAG_INIT, closed = ATOMIC_FLAG_INIT;

	/* once at an open; and again at a close, as libraries create such entries later, too */
	if (!is_speaker(comm) || atomic_flag_test_and_set(closing ? &closed : &opened))
		return;
	if (look())
		atomic_flag_test_and_set(&closed);
}

void engine_look_at_name(MPI_Comm comm, const char *name)
{
	static atomic_flag said = ATOMIC_FLAG_INIT;

	if (strncasecmp(name, PREFIX, strlen(PREFIX)) != 0 || strncmp(name, PREFIX, strlen(PREFIX)) == 0 || !is_speaker(comm) ||
	    atomic_flag_test_and_set(&said))
		return;
	pmio_warn("%s: only names that begin with exactly \"" PREFIX "\" are handled by pmio; this one is used literally", name);
}
