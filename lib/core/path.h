#ifndef PMIO_CORE_PATH_H
#define PMIO_CORE_PATH_H

#include <stddef.h>

/*
 * pmio_absolute -- a path as seen from the working directory; links are not resolved
 *
 * Returns 0, -ENOENT (empty), -ENAMETOOLONG or getcwd()'s error; not logged.
 */
int pmio_absolute(const char *path, char *out, size_t size);

#endif
