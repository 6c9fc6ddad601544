/* attributes.c -- also compiled into lib/redirect, which is not linked to other parts of pmio */
#include "pfs/attributes.h"

#include <string.h>

#define PREFIX "user.pmio."

bool pmio_pfs_is_own_attribute(const char *name)
{
	return strncmp(name, PREFIX, sizeof(PREFIX) - 1) == 0;
}

size_t pmio_pfs_hide_own_attributes(char *list, size_t len)
{
	char *to = list;

	for (char *p = list, *next; p < list + len; p = next) {
		size_t n = strlen(p) + 1;

		next = p + n;
		if (pmio_pfs_is_own_attribute(p))
			continue;
		memmove(to, p, n);
		to += n;
	}
	return (size_t)(to - list);
}
