#include "core/pattern.h"

#include <fnmatch.h>
#include <limits.h>
#include <locale.h>
#include <string.h>

/*
 * Bytes are compared, whatever the program's locale is.  In another locale fnmatch() may load the tables of the character set, and
 * locks glibc's locales for it: setlocale() has locked them when it opens its files, which is redirected like any open.
 */
static bool selects(const char *patterns, const char *name)
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

bool pmio_pattern_selects(const char *patterns, const char *name)
{
	locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0), before = c ? uselocale(c) : (locale_t)0;
	bool does = selects(patterns, name);

	if (before)
		uselocale(before);
	return does;
}
