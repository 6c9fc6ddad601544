/* start.c -- deciding at the start whether this process is redirected */
#include "redirect/redirect.h"

#include <stdlib.h>
#include <string.h>

/* pmio's own programs use the pool by other means, and must see the plain files */
static bool is_command(void)
{
	static const char *const names[] = { "pmio", "pmiod" };
	char path[PATH_MAX];
	long n = RAW(readlinkat, AT_FDCWD, "/proc/self/exe", path, sizeof(path) - 1);
	const char *name;

	if (n <= 0)
		return false;
	path[n] = '\0';
	name = strrchr(path, '/');
	for (size_t i = 0; name && i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(name + 1, names[i]) == 0)
			return true;
	}
	return false;
}

/* files are identified by the names that the kernel shows there */
static bool has_proc(void)
{
	if (RAW(faccessat, AT_FDCWD, "/proc/self/fd", X_OK) == 0)
		return true;
	redirect_warning("/proc is not available, so no file of this process is redirected");
	return false;
}

__attribute__((constructor)) static void start(void)
{
	const char *paths = secure_getenv("PMIO_REDIRECT_PATHS"), *how = secure_getenv("PMIO_REDIRECT");

	if (!paths || is_command() || redirect_names_init(paths) < 0)
		return;
	redirect_state_begin(redirect_in_copy);
	if (!has_proc())
		return;
	redirect_notes_init(secure_getenv("PMIO_REDIRECT_CHECK"), redirect_write);
	redirect_time_calls(secure_getenv("PMIO_REDIRECT_TIMES"));
	redirect_process_init();
	redirect_environ_init();
	redirect_limit_init();
	redirect_files_init(redirect_forget_maps);
	if (!how || strcmp(how, "symbols") != 0)
		redirect_patch();
	redirect_on = true;
}
