/*
 * scratch.h -- for the unit tests: a folder of one's own, and what was logged
 */
#ifndef PMIO_TESTS_UNIT_SCRATCH_H
#define PMIO_TESTS_UNIT_SCRATCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above it */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"

struct scratch {
	char path[PATH_MAX / 2];
};

static inline int scratch_remove_one(const char *path, const struct stat *st, int type,
				     struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static inline void scratch_fini(struct scratch *s)
{
	nftw(s->path, scratch_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* below: NULL is $TMPDIR or /tmp; false: there is no such folder to write to */
static inline bool scratch_init(struct scratch *s, const char *below)
{
	if (!below)
		below = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
	snprintf(s->path, sizeof(s->path), "%s/pmio-unit.XXXXXX", below);
	return mkdtemp(s->path) != NULL;
}

/* what lies in it; good until the next but seven call */
static inline const char *scratch_file(const struct scratch *s, const char *name)
{
	static char path[8][PATH_MAX];
	static unsigned turn;
	char *p = path[turn++ % 8];

	snprintf(p, PATH_MAX, "%s/%s", s->path, name);
	return p;
}

/* ---- skipping ------------------------------------------------------------- */

/*
 * cmocka's skip() prints "not ok N # SKIP", which is a failure in TAP.
 * What it prints of a test that passed is its name: give that the directive.
 */
static struct CMUnitTest *scratch_tests;
static size_t scratch_nr_tests;

static inline void scratch_skip(const char *name, const char *why)
{
	static char names[8][256];
	static unsigned turn;
	char *p = names[turn++ % 8];

	snprintf(p, sizeof(names[0]), "%s # SKIP %s", name, why);
	for (size_t i = 0; i < scratch_nr_tests; i++)
		if (strcmp(scratch_tests[i].name, name) == 0)
			scratch_tests[i].name = p;
}

/* in a test: this cannot be tried here, for this reason */
#define SKIP(why) \
	do { \
		scratch_skip(__func__, why); \
		return; \
	} while (0)

/* PMIO_TEST_FILTER: only tests with such names (* and ?) */
#define scratch_run_with(group, tests, set_up_all, tear_down_all) \
	(scratch_tests = (tests), scratch_nr_tests = sizeof(tests) / sizeof((tests)[0]), \
	 cmocka_set_test_filter(getenv("PMIO_TEST_FILTER")), \
	 cmocka_run_group_tests_name(group, tests, set_up_all, tear_down_all))
#define scratch_run(group, tests) scratch_run_with(group, tests, NULL, NULL)

/* ---- the log -------------------------------------------------------------- */

static unsigned scratch_nr_errors;
static char scratch_last_error[1024];

static void scratch_note_line(enum pmio_log_level level, const char *line)
{
	if (level != PMIO_LOG_ERROR)
		return;
	scratch_nr_errors++;
	snprintf(scratch_last_error, sizeof(scratch_last_error), "%s", line);
}

/* what is wrong is logged once: count it instead of showing it */
static inline void scratch_catch_log(void)
{
	scratch_nr_errors = 0;
	scratch_last_error[0] = '\0';
	pmio_log_set_handler(scratch_note_line);
}

#define assert_logged_once() assert_int_equal(scratch_nr_errors, 1)

#endif
