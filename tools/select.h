/*
 * select.h -- which files the arguments of a command mean
 *
 * An argument is a file, a directory (all files below it), or a pattern as
 * glob(7) has them, quoted so that the shell leaves it alone.  What exists under
 * the very name is taken as that, even if it looks like a pattern.
 */
#ifndef PMIO_TOOLS_SELECT_H
#define PMIO_TOOLS_SELECT_H

#include "transfer.h"

/* regular files of the file system, each once however often it is named */
void select_on_pfs(struct transfer *t, const struct tool_args *args);

/*
 * select_in_pool -- files that the pool knows
 *
 * args           nr 0: all
 * waiting_only   no files that are complete on the file system, unless an
 *                argument is the very file
 *
 * An argument that exists on the file system may match nothing: there is nothing
 * to do then.  Returns 0 or an error, logged.
 */
int select_in_pool(struct transfer *t, struct pmio *pm, const struct tool_args *args,
		   bool waiting_only);

#endif
