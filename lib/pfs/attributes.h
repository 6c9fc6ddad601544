/*
 * attributes.h -- pmio's own extended attributes of PFS files: hidden from programs, which would copy them with the data
 *
 * Threads: any.  No calls of the file system.
 */
#ifndef PMIO_PFS_ATTRIBUTES_H
#define PMIO_PFS_ATTRIBUTES_H

#include <stdbool.h>
#include <stddef.h>

bool pmio_pfs_is_own_attribute(const char *name);
/* remove these from a list of len bytes, as listxattr(2) returns it; returns how many bytes are left */
size_t pmio_pfs_hide_own_attributes(char *list, size_t len);

#endif
