#include "core/path.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

int pmio_absolute(const char *path, char *out, size_t size)
{
	char cwd[PATH_MAX];
	int n;

	if (*path == '\0')
		return -ENOENT;
	if (*path == '/') {
		n = snprintf(out, size, "%s", path);
	} else {
		if (!getcwd(cwd, sizeof(cwd)))
			return -errno;
		n = snprintf(out, size, "%s/%s", cwd, path);
	}
	return n < (int)size ? 0 : -ENAMETOOLONG;
}
