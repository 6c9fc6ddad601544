/*
 * recover_to.h -- recovery that only reads the pool, for recover.c
 */
#ifndef PMIO_TOOLS_RECOVER_TO_H
#define PMIO_TOOLS_RECOVER_TO_H

#include "tools.h"

/*
 * Save the selected files (none given: all with data that wait) to another place.
 *
 * to   a directory that exists, or ends with '/': below it each file gets its whole
 *      path; otherwise the name of the new file, if a single one is selected
 *
 * A file with lost data is called NAME.pmio-partial.  Returns an exit status.
 */
int tool_recover_to(const struct tool *tool, const char *dir, const char *to, const struct tool_args *paths);

/* only show them */
int tool_recover_list(const struct tool *tool, const char *dir, const struct tool_args *paths);

#endif
