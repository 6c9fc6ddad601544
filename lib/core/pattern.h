#ifndef PMIO_CORE_PATTERN_H
#define PMIO_CORE_PATTERN_H

#include <stdbool.h>

/*
 * pmio_pattern_selects -- does one of the patterns select this name?
 *
 * patterns  fnmatch(3)'s, separated by ':'; a star matches slashes, too, and a question mark one byte
 * name      absolute
 */
bool pmio_pattern_selects(const char *patterns, const char *name);

#endif
