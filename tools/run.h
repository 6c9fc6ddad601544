/*
 * run.h -- the parts of pmio run
 */
#ifndef PMIO_TOOLS_RUN_H
#define PMIO_TOOLS_RUN_H

#include "tools.h"

struct run_paths {
	char *patterns; /* NULL: no files are redirected */
	bool check, report;
	char check_file[PATH_MAX], times_file[PATH_MAX]; /* empty: none */
	struct pmio *pm;	   /* for the report; NULL: none */
	struct pmio_pool_stat before;
};

/* run_program.c: append a library to LD_PRELOAD; TOOL_DONE or, after one line, TOOL_RUN_FAILED */
int run_preload(const char *library);
/* returns only an exit status, after one line */
int run_become(const char *path, char **argv);
/* run it, wait for it, and pass on signals to it; returns its exit status as in shells, or ends by the same signal */
int run_child(const char *path, char **argv, void (*tell)(struct run_paths *r), struct run_paths *r);

/*
 * run_redirect.c: prepare the environment for the program in that file, and start an agent; TOOL_DONE or, after one
 * line, TOOL_RUN_FAILED
 */
int run_redirect(const struct tool *tool, const char *path, struct run_paths *r);
/* after the program has ended */
void run_redirect_tell(struct run_paths *r);

/* run_report.c: what was done since `before`, when the pool's agent had counted that; times_file: a struct redirect_times */
void run_report_tell(struct pmio *pm, const struct pmio_pool_stat *before, const char *times_file);

#endif
