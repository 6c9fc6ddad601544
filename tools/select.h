/*
 * select.h -- the files selected by a command's arguments
 *
 * An argument is a file, a directory (all files below it), or a pattern as in glob(7),
 * quoted so that the shell does not expand it.  If a file with exactly that name exists
 * it is used, even if the name looks like a pattern.
 */
#ifndef PMIO_TOOLS_SELECT_H
#define PMIO_TOOLS_SELECT_H

#include "transfer.h"

/* regular files of the file system, each once even if it is named several times */
void select_on_pfs(struct transfer_run *t, const struct tool_args *args);

/*
 * select_in_pool -- files that the pool knows
 *
 * args           nr 0: all
 * waiting_only   no files that are complete on the file system, unless an argument
 *                names the file itself
 *
 * An argument that exists on the file system may match nothing: then there is nothing
 * to do.  Returns 0 or an error, logged.
 */
int select_in_pool(struct transfer_run *t, struct pmio *pm, const struct tool_args *args,
		   bool waiting_only);

#endif
