/*
 * salvage.h -- recovery that only reads the pool, for recover.c
 */
#ifndef PMIO_TOOLS_SALVAGE_H
#define PMIO_TOOLS_SALVAGE_H

#include "tools.h"

/*
 * Save the files meant (none given: all of which data wait) to another place.
 *
 * to   a directory that exists, or ends with '/': below it each file gets its whole
 *      path; else the file to be made of the only one that is meant
 *
 * A file of which something is lost is called NAME.pmio-partial.  An exit status.
 */
int tool_salvage(const struct tool *tool, const char *dir, const char *to, const struct tool_args *paths);

/* show them only */
int tool_salvage_list(const struct tool *tool, const char *dir, const struct tool_args *paths);

#endif
