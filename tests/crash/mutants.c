#include "mutants.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pm/pm.h"

static const struct {
	unsigned does;
	const char *name;
} kinds[] = {{PMIO_PM_FLUSHES, "flush"}, {PMIO_PM_FENCES, "fence"}};

/* from the top of the sources, wherever they were compiled */
static const char *file_of(const struct pmio_pm_site *s)
{
	const char *at = strstr(s->file, "lib/"), *next;

	while (at && (next = strstr(at + 1, "lib/")))
		at = next;
	return at ? at : s->file;
}

static int by_place(const void *a, const void *b)
{
	const struct pmio_pm_site *x = *(struct pmio_pm_site *const *)a;
	const struct pmio_pm_site *y = *(struct pmio_pm_site *const *)b;
	int c = strcmp(file_of(x), file_of(y));

	return c ? c : x->line - y->line;
}

/* names go by function and count in it: lines move with every change */
static void name_site(char *name, size_t len, struct pmio_pm_site *const *sites, size_t i,
		      unsigned kind)
{
	unsigned nth = 1;

	for (size_t j = 0; j < i; j++)
		nth += strcmp(sites[j]->function, sites[i]->function) == 0 &&
		       strcmp(file_of(sites[j]), file_of(sites[i])) == 0 &&
		       (sites[j]->does & kinds[kind].does);
	snprintf(name, len, "%s %s %s %u", file_of(sites[i]), sites[i]->function,
		 kinds[kind].name, nth);
}

static void leave_out(struct pmio_pm_site *site, unsigned does, const char *name,
		      bool (*finds)(char *why, size_t len))
{
	char why[300] = "";
	bool caught;

	site->calls = 0;
	pmio_pm_leave_out(site, does);
	caught = finds(why, sizeof(why));
	pmio_pm_leave_out(NULL, 0);
	printf("%s\t%s\t%s\n", name, caught ? "caught" : site->calls ? "survived" : "unreached", why);
	fflush(stdout);
}

void crash_mutants(const char *only, bool (*finds)(char *why, size_t len))
{
	size_t nr;
	struct pmio_pm_site *const *listed = pmio_pm_sites(&nr);
	struct pmio_pm_site **sites = calloc(nr, sizeof(*sites));

	memcpy(sites, listed, nr * sizeof(*sites));
	qsort(sites, nr, sizeof(*sites), by_place);
	for (size_t i = 0; i < nr; i++) {
		for (unsigned kind = 0; kind < 2; kind++) {
			char name[PATH_MAX];

			if (!(sites[i]->does & kinds[kind].does))
				continue;
			name_site(name, sizeof(name), sites, i, kind);
			if (!only || strstr(name, only))
				leave_out(sites[i], kinds[kind].does, name, finds);
		}
	}
	free(sites);
}
