#include "core/pattern.h"

#include <fnmatch.h>
#include <limits.h>
#include <string.h>

bool pmio_pattern_selects(const char *patterns, const char *name)
{
	const char *p = patterns;
	char pattern[PATH_MAX];

	while (*p) {
		size_t n = strcspn(p, ":");

		if (n > 0 && n < sizeof(pattern)) {
			memcpy(pattern, p, n);
			pattern[n] = '\0';
			if (fnmatch(pattern, name, 0) == 0)
				return true;
		}
		p += n + (p[n] == ':');
	}
	return false;
}
