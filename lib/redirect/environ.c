/*
 * environ.c -- the environment of other programs
 *
 * A program that is started with an empty environment (env -i) would see the plain files while its parents see the
 * pool: so it gets the variables that redirect it.  A caller that removes only LD_PRELOAD wants a program that is not
 * redirected.
 */
#include "redirect/redirect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATHS_VARIABLE "PMIO_REDIRECT_PATHS="
#define PRELOAD_VARIABLE "LD_PRELOAD="
#define ENVIRONMENT_MAX 2048 /* strings, as the new environment is built on the stack of a thread */
#define KEPT_MAX 64
#define KEPT_ROOM 8192 /* bytes */

extern char **environ;

/*
 * of this process at its start: LD_PRELOAD, and variables that begin with PMIO_; copies, as a program may overwrite the
 * originals
 */
static const char *kept[KEPT_MAX];
static size_t nr_kept;

static bool begins(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

void redirect_environ_init(void)
{
	static char text[KEPT_ROOM];
	size_t used = 0;

	for (char **e = environ; e && *e && nr_kept < KEPT_MAX; e++) {
		size_t len = strlen(*e) + 1;

		if ((!begins(*e, "PMIO_") && !begins(*e, PRELOAD_VARIABLE)) || len > sizeof(text) - used)
			continue;
		memcpy(text + used, *e, len);
		kept[nr_kept++] = text + used;
		used += len;
	}
}

static bool is_bare(char *const envp[])
{
	for (size_t i = 0; envp && envp[i]; i++) {
		if (begins(envp[i], PRELOAD_VARIABLE) || begins(envp[i], PATHS_VARIABLE))
			return false;
	}
	return true;
}

void redirect_environment(char *const envp[], struct redirect_environment *e)
{
	size_t n = 0;

	while (envp && envp[n])
		n++;
	*e = (struct redirect_environment){ .from = envp, .size = (n + 1) * sizeof(char *) };
	if (redirect_inside || n >= ENVIRONMENT_MAX)
		return;
	e->patterns = redirect_patterns_changed();
	e->bare = is_bare(envp);
	e->size += nr_kept * sizeof(char *) + (e->patterns ? strlen(e->patterns) + sizeof(PATHS_VARIABLE) : 0);
}

static bool is_in(char *const *all, size_t n, const char *string)
{
	size_t len = strcspn(string, "=") + 1;

	for (size_t i = 0; i < n; i++) {
		if (strncmp(all[i], string, len) == 0)
			return true;
	}
	return false;
}

/* with the patterns that names with pmem: have added here.  The agent that libpmio starts gets none of the variables */
void redirect_make_environment(const struct redirect_environment *e, char **out)
{
	size_t n = 0;

	for (size_t i = 0; e->from && e->from[i]; i++) {
		if (!redirect_inside || (!begins(e->from[i], "PMIO_REDIRECT") && !begins(e->from[i], PRELOAD_VARIABLE)))
			out[n++] = e->from[i];
	}
	for (size_t i = 0; e->bare && i < nr_kept; i++) {
		if (!is_in(out, n, kept[i]))
			out[n++] = (char *)(uintptr_t)kept[i];
	}
	out[n] = NULL;
	if (!e->patterns)
		return;
	for (size_t i = 0; i < n; i++) {
		if (begins(out[i], PATHS_VARIABLE)) {
			char *text = (char *)(out + n + 1);

			out[i] = strcat(strcpy(text, PATHS_VARIABLE), e->patterns);
		}
	}
}
