/*
 * stat.h -- shared by the files of pmio stat: show.c, stat.c, watch.c, metrics.c
 */
#ifndef PMIO_TOOLS_STAT_H
#define PMIO_TOOLS_STAT_H

#include "tools.h"

/* the fraction of read bytes that did not come from the file system, 0 to 1; -1: nothing was read */
double tool_hit_rate(const struct pmio_counts_df *c);

/* bytes per second */
double tool_rate(uint64_t bytes, uint64_t ns);

void tool_counts_json(struct json_object *o, const struct pmio_counts_df *c);
struct json_object *tool_pool_json(const struct pmio_pool_stat *st, const char *dir);

/* the pool's entry for a path; -ENOENT */
int tool_find_file(struct pmio *pm, const char *path, struct pmio_file_stat *st);

/* a line per interval, count times (0: until the agent leaves); returns an exit status */
int tool_watch_pool(const struct tool *tool, struct pmio *pm, double interval_s,
		    unsigned long count);

/* in the text format of Prometheus; pm is NULL if no agent runs; returns an exit status */
int tool_show_metrics(struct pmio *pm, const char *dir, const struct tool_args *paths);

#endif
