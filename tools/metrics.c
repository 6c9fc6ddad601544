/*
 * metrics.c -- pmio stat --prometheus: metrics in its text exposition format
 *
 * Version 0.0.4: for each metric a line # HELP, a line # TYPE, then its samples.
 * Counters start at 0 with each agent, as Prometheus expects after restarts.
 */
#include "config.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "stat.h"

static void print_label(const char *name, const char *value)
{
	char *plain = malloc(PMIO_PLAIN_SIZE(strlen(value)));

	printf("%s=\"", name);
	/* a newline has an escape of its own in this format, but one for all is simpler */
	for (value = plain ? pmio_plain(plain, PMIO_PLAIN_SIZE(strlen(value)), value) : ""; *value; value++) {
		if (*value == '\\' || *value == '"')
			printf("\\%c", *value);
		else
			putchar(*value);
	}
	putchar('"');
	free(plain);
}

static void head(const char *name, const char *type, const char *help)
{
	printf("# HELP pmio_%s %s\n# TYPE pmio_%s %s\n", name, help, name, type);
}

/* name{pool="dir",key="of"} ; key may be NULL */
static void sample(const char *name, const char *dir, const char *key, const char *of)
{
	printf("pmio_%s{", name);
	print_label("pool", dir);
	if (key) {
		putchar(',');
		print_label(key, of);
	}
	fputs("} ", stdout);
}

struct metric {
	const char *name, *type, *help;
	size_t at; /* offset of a uint64_t in the struct that is shown */
};

static uint64_t number(const struct metric *m, const void *from)
{
	uint64_t n;

	memcpy(&n, (const char *)from + m->at, sizeof(n));
	return n;
}

/* ---- the pool ------------------------------------------------------------------- */

/* all of one type, so that one table describes them */
struct pool_numbers {
	uint64_t size, free, resident, dirty, files_max, draining, clients, handles, uptime;
	uint64_t paused, rate_limit;
	uint64_t read, missed, written, drained, filled, pfs_read, pfs_written, fallback, evicted;
};

static const struct metric pool_metrics[] = {
#define M(field, name, type, help) { name, type, help, offsetof(struct pool_numbers, field) }
	M(size, "pool_size_bytes", "gauge", "Bytes of all frames of the pool."),
	M(free, "pool_free_bytes", "gauge", "Bytes of free frames."),
	M(resident, "pool_resident_bytes", "gauge", "Bytes of files that are in the pool."),
	M(dirty, "pool_dirty_bytes", "gauge", "Bytes that are not on the file system yet."),
	M(files_max, "pool_files_max", "gauge", "Files that the pool can know at once."),
	M(draining, "pool_draining_files", "gauge", "Files that are being drained."),
	M(paused, "drain_paused", "gauge", "1 if drains wait for pmio agent resume."),
	M(rate_limit, "drain_rate_limit_bytes", "gauge", "Bytes per second that drains may write; 0: no limit."),
	M(clients, "clients", "gauge", "Connections to the agent."),
	M(handles, "open_handles", "gauge", "Open handles of files."),
	M(uptime, "agent_uptime_seconds", "gauge", "Age of the agent."),
	M(read, "read_bytes_total", "counter", "Bytes that programs read."),
	M(missed, "read_missed_bytes_total", "counter",
	  "Bytes that programs read and that had to be fetched from the file system first."),
	M(written, "written_bytes_total", "counter", "Bytes that programs wrote."),
	M(drained, "drained_bytes_total", "counter", "Bytes that drains wrote to the file system."),
	M(filled, "filled_bytes_total", "counter", "Bytes that were brought in from the file system."),
	M(pfs_read, "pfs_read_bytes_total", "counter",
	  "Bytes read on the file system, also where the pool had no room."),
	M(pfs_written, "pfs_written_bytes_total", "counter",
	  "Bytes written to the file system, also where the pool had no room."),
	M(fallback, "fallback_chunks_total", "counter", "Chunks that found no room in the pool."),
	M(evicted, "evicted_chunks_total", "counter", "Chunks that made room for others."),
#undef M
};

static void get_numbers(const struct pmio_pool_stat *st, struct pool_numbers *n)
{
	*n = (struct pool_numbers){
		.size = st->nr_frames * st->chunk_size,
		.free = st->nr_frames_free * st->chunk_size,
		.resident = st->resident_bytes,
		.dirty = st->dirty_bytes,
		.files_max = st->nr_slots,
		.draining = st->nr_draining,
		.paused = st->paused,
		.rate_limit = st->drain_rate_limit,
		.clients = st->nr_clients,
		.handles = st->nr_handles,
		.uptime = st->uptime_s,
		.read = st->counts.read,
		.missed = st->counts.missed,
		.written = st->counts.written,
		.drained = st->drained_bytes,
		.filled = st->filled_bytes,
		.pfs_read = st->filled_bytes + st->counts.pfs_read,
		.pfs_written = st->drained_bytes + st->counts.pfs_written,
		.fallback = st->fallback_chunks,
		.evicted = st->evicted_chunks,
	};
}

static void show_seconds(const char *name, const char *help, const char *dir, uint64_t ns)
{
	head(name, "counter", help);
	sample(name, dir, NULL, NULL);
	printf("%.9f\n", (double)ns / 1e9);
}

static void show_pool(const struct pmio_pool_stat *st, const char *dir)
{
	struct pool_numbers n;

	get_numbers(st, &n);
	for (size_t i = 0; i < sizeof(pool_metrics) / sizeof(pool_metrics[0]); i++) {
		const struct metric *m = &pool_metrics[i];

		head(m->name, m->type, m->help);
		sample(m->name, dir, NULL, NULL);
		printf("%llu\n", (unsigned long long)number(m, &n));
	}
	show_seconds("drain_seconds_total", "Time in which at least one drain ran.", dir, st->drain_ns);
	show_seconds("fill_seconds_total", "Time in which something was brought in from the file system.", dir, st->fill_ns);
}

/* ---- files by their state --------------------------------------------------------- */

#define STATES_MAX 16

static int show_states(struct pmio *pm, const char *dir)
{
	struct {
		const char *name;
		unsigned long nr;
	} states[STATES_MAX] = { { NULL, 0 } };
	struct pmio_file_stat st;
	uint32_t cursor = 0;
	int rc;

	while ((rc = pmio_stat_next(pm, &cursor, &st)) == 0) {
		const char *name = tool_file_state(&st);
		int i = 0;

		while (i < STATES_MAX - 1 && states[i].name && strcmp(states[i].name, name) != 0)
			i++;
		states[i].name = name;
		states[i].nr++;
	}
	head("pool_files", "gauge", "Files that the pool knows, by their state.");
	for (int i = 0; i < STATES_MAX && states[i].name; i++) {
		sample("pool_files", dir, "state", states[i].name);
		printf("%lu\n", states[i].nr);
	}
	return rc == -ENOENT ? 0 : rc;
}

/* ---- files by their names --------------------------------------------------------- */

static const struct metric file_metrics[] = {
#define M(field, name, type, help) { name, type, help, offsetof(struct pmio_file_stat, field) }
	M(size, "file_size_bytes", "gauge", "Size of the file as seen through the pool."),
	M(pfs_size, "file_pfs_size_bytes", "gauge", "Size of the file on the file system."),
	M(resident_bytes, "file_resident_bytes", "gauge", "Bytes of the file in the pool."),
	M(dirty_bytes, "file_dirty_bytes", "gauge", "Bytes that are not on the file system yet."),
	M(drained_bytes, "file_drained_bytes_total", "counter", "Bytes drained of the file."),
	M(filled_bytes, "file_filled_bytes_total", "counter", "Bytes of the file brought in."),
	M(counts.read, "file_read_bytes_total", "counter", "Bytes read through handles that are closed now."),
	M(counts.written, "file_written_bytes_total", "counter",
	  "Bytes written through handles that are closed now."),
#undef M
};

/* a sample may appear only once */
static bool seen(const struct pmio_file_stat *st, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		if (st[i].entry.slot == st[nr].entry.slot)
			return true;
	}
	return false;
}

static int show_files(struct pmio *pm, const char *dir, const struct tool_args *paths)
{
	struct pmio_file_stat *st = calloc(paths->nr, sizeof(*st));
	size_t nr = 0, nr_failed = 0;

	if (!st)
		return tool_failed(-ENOMEM, "stat");
	for (size_t i = 0; i < paths->nr; i++) {
		int rc = tool_find_file(pm, paths->v[i], &st[nr]);

		if (rc < 0) {
			tool_failed(rc, "%s: not known to the pool", paths->v[i]);
			nr_failed++;
		} else if (!seen(st, nr)) {
			nr++;
		}
	}
	for (size_t i = 0; i < sizeof(file_metrics) / sizeof(file_metrics[0]) && nr; i++) {
		const struct metric *m = &file_metrics[i];

		head(m->name, m->type, m->help);
		for (size_t k = 0; k < nr; k++) {
			sample(m->name, dir, "path", st[k].path);
			printf("%llu\n", (unsigned long long)number(m, &st[k]));
		}
	}
	free(st);
	return tool_exit_of(nr, nr_failed);
}

int tool_show_metrics(struct pmio *pm, const char *dir, const struct tool_args *paths)
{
	struct pmio_pool_stat st;
	int rc = pm ? pmio_stat_sums(pm, &st) : 0;

	if (rc < 0)
		return tool_failed(rc, "stat");
	head("up", "gauge", "1 if an agent has the pool.");
	sample("up", dir, NULL, NULL);
	printf("%d\n", pm ? 1 : 0);
	if (!pm)
		return TOOL_DONE;
	show_pool(&st, dir);
	rc = show_states(pm, dir);
	if (rc < 0)
		return tool_failed(rc, "stat");
	return paths->nr ? show_files(pm, dir, paths) : TOOL_DONE;
}
