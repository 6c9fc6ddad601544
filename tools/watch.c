/*
 * watch.c -- pmio stat --watch: activity in a pool, one line per interval
 */
#include "config.h"

#include <stdio.h>
#include <time.h>

#include "progress.h"
#include "stat.h"
#include "core/backoff.h"

#define HEADER_EVERY 20 /* lines */

/* what was done between two samples */
struct delta {
	double seconds;
	struct pmio_counts_df counts;
	uint64_t drained, filled;
};

/* another agent counts from 0 */
static uint64_t grown(uint64_t before, uint64_t now)
{
	return now > before ? now - before : 0;
}

static void get_delta(struct delta *d, const struct pmio_pool_stat *a, const struct pmio_pool_stat *b)
{
	d->counts.read = grown(a->counts.read, b->counts.read);
	d->counts.missed = grown(a->counts.missed, b->counts.missed);
	d->counts.pfs_read = grown(a->counts.pfs_read, b->counts.pfs_read);
	d->counts.written = grown(a->counts.written, b->counts.written);
	d->counts.pfs_written = grown(a->counts.pfs_written, b->counts.pfs_written);
	d->drained = grown(a->drained_bytes, b->drained_bytes);
	d->filled = grown(a->filled_bytes, b->filled_bytes);
}

static uint64_t per_second(uint64_t bytes, const struct delta *d)
{
	return (uint64_t)((double)bytes / d->seconds);
}

static void print_header(void)
{
	printf("%11s %11s %6s %11s %11s %10s %10s %7s\n", "WRITTEN/s", "READ/s", "HITS", "TO PFS/s",
	       "FROM PFS/s", "DIRTY", "FREE", "CLIENTS");
}

static void print_line(const struct delta *d, const struct pmio_pool_stat *st)
{
	char hits[16] = "-";

	if (d->counts.read)
		snprintf(hits, sizeof(hits), "%.1f%%", tool_hit_rate(&d->counts) * 100);
	printf("%11s %11s %6s %11s %11s %10s %10s %7u\n", TOOL_SIZE(per_second(d->counts.written, d)),
	       TOOL_SIZE(per_second(d->counts.read, d)), hits,
	       TOOL_SIZE(per_second(d->drained + d->counts.pfs_written, d)),
	       TOOL_SIZE(per_second(d->filled + d->counts.pfs_read, d)), TOOL_SIZE(st->dirty_bytes),
	       TOOL_SIZE(st->nr_frames_free * st->chunk_size), st->nr_clients - 1); /* without this one */
}

static void print_json(const struct delta *d, const struct pmio_pool_stat *st, const char *dir)
{
	struct json_object *o = tool_pool_json(st, dir);

	json_object_object_add(o, "interval_s", json_object_new_double(d->seconds));
	tool_add(o, "write_rate", per_second(d->counts.written, d));
	tool_add(o, "read_rate", per_second(d->counts.read, d));
	tool_add(o, "pfs_write_rate", per_second(d->drained + d->counts.pfs_written, d));
	tool_add(o, "pfs_read_rate", per_second(d->filled + d->counts.pfs_read, d));
	tool_print_event(o);
}

static void sleep_s(double seconds)
{
	pmio_sleep_us((uint64_t)(seconds * 1e6));
}

int tool_watch_pool(const struct tool *tool, struct pmio *pm, double interval_s, unsigned long count)
{
	struct pmio_pool_stat before, now;
	double then = tool_now();
	int rc = pmio_stat_sums(pm, &before);

	for (unsigned long i = 0; rc == 0 && (count == 0 || i < count); i++) {
		struct delta d;

		sleep_s(interval_s);
		rc = pmio_stat_sums(pm, &now);
		if (rc < 0)
			break;
		d.seconds = tool_now() - then;
		then += d.seconds;
		get_delta(&d, &before, &now);
		before = now;
		if (tool->json) {
			print_json(&d, &now, pmio_pool_path(pm));
			continue;
		}
		if (i % HEADER_EVERY == 0 && !tool->quiet)
			print_header();
		print_line(&d, &now);
		fflush(stdout);
	}
	return rc < 0 ? tool_failed(rc, "stat") : TOOL_DONE;
}
