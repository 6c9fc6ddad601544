/*
 * attributes.h -- extended attributes of PFS files that are pmio's own: not for programs, which would copy them with the data
 *
 * Threads: any.  No calls of the file system.
 */
#ifndef PMIO_PFS_ATTRIBUTES_H
#define PMIO_PFS_ATTRIBUTES_H

#include <stdbool.h>
#include <stddef.h>

bool pmio_pfs_is_own_attribute(const char *name);
/* take these out of a list as listxattr(2) returns it, of len bytes; returns how many are left */
size_t pmio_pfs_hide_own_attributes(char *list, size_t len);

#endif
