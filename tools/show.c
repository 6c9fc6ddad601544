/*
 * show.c -- a pool and its files as text and as JSON, the same in all commands
 */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/path.h"
#include "pm/pm.h"
#include "proto/proto.h"
#include "stat.h"
#include "tools.h"

/* ---- a file ------------------------------------------------------------------- */

const char *tool_file_state(const struct pmio_file_stat *st)
{
	static const char *const names[] = {
		[PMIO_STATE_CLEAN] = "clean",	[PMIO_STATE_OPEN] = "open",
		[PMIO_STATE_DIRTY] = "dirty",	[PMIO_STATE_HELD] = "held",
		[PMIO_STATE_WAITING] = "waiting", [PMIO_STATE_DRAINING] = "draining",
		[PMIO_STATE_FAILED] = "failed", [PMIO_STATE_CHANGED] = "changed",
		[PMIO_STATE_GONE] = "gone",
	};
	const char *name = st->state < sizeof(names) / sizeof(names[0]) ? names[st->state] : NULL;

	return name ? name : "unknown";
}

bool tool_is_pending(const struct pmio_file_stat *st)
{
	return st->dirty_bytes || st->error || st->size > st->pfs_size ||
	       (st->state != PMIO_STATE_CLEAN && st->nr_handles == 0);
}

void tool_print_left(const struct pmio_file_stat *st)
{
	if (st->error || st->state == PMIO_STATE_GONE)
		printf(" (%s; %s left)", pmio_strerror(st->state == PMIO_STATE_GONE ? PMIO_EGONE : -st->error), TOOL_SIZE(st->left_bytes));
	else if (st->state == PMIO_STATE_DRAINING)
		printf(" (%s left)", TOOL_SIZE(st->left_bytes));
}

struct json_object *tool_file_json(const struct pmio_file_stat *st)
{
	struct json_object *o = json_object_new_object();

	tool_add_string(o, "path", st->path);
	tool_add_string(o, "state", tool_file_state(st));
	if (st->error) {
		const char *name = st->state == PMIO_STATE_CHANGED ? "PMIO_ECHANGED" : strerrorname_np(st->error);

		tool_add_string(o, "error", pmio_strerror(-st->error));
		tool_add_string(o, "errno", name ? name : "?");
	}
	tool_add(o, "size", st->size);
	tool_add(o, "pfs_size", st->pfs_size);
	tool_add(o, "resident", st->resident_bytes);
	tool_add(o, "dirty", st->dirty_bytes);
	tool_add(o, "left", st->left_bytes);
	tool_add(o, "handles", st->nr_handles);
	tool_add(o, "slot", st->entry.slot);
	return o;
}

int tool_find_file(struct pmio *pm, const char *path, struct pmio_file_stat *st)
{
	char absolute[PATH_MAX];
	struct stat named;
	bool is_there = stat(path, &named) == 0;
	uint32_t cursor = 0;
	int rc = pmio_absolute(path, absolute, sizeof(absolute));

	while (rc == 0 && (rc = pmio_stat_next(pm, &cursor, st)) == 0) {
		/* like the agent: by the current file's identity, otherwise by the name */
		if (is_there && st->dev == named.st_dev && st->ino == named.st_ino)
			return 0;
		if (!is_there && strcmp(st->path, absolute) == 0)
			return 0;
	}
	return rc;
}

/* ---- the pool ----------------------------------------------------------------- */

double tool_hit_rate(const struct pmio_counts_df *c)
{
	uint64_t missed = c->missed + c->pfs_read;

	if (c->read == 0)
		return -1;
	return missed < c->read ? (double)(c->read - missed) / (double)c->read : 0;
}

double tool_rate(uint64_t bytes, uint64_t ns)
{
	return ns ? (double)bytes * 1e9 / (double)ns : 0;
}

void tool_counts_json(struct json_object *o, const struct pmio_counts_df *c)
{
	double hits = tool_hit_rate(c);

	tool_add(o, "written", c->written);
	tool_add(o, "written_to_pfs", c->pfs_written);
	tool_add(o, "read", c->read);
	tool_add(o, "read_missed", c->missed);
	tool_add(o, "read_from_pfs", c->pfs_read);
	json_object_object_add(o, "hit_rate", hits < 0 ? NULL : json_object_new_double(hits));
}

struct json_object *tool_pool_json(const struct pmio_pool_stat *st, const char *dir)
{
	struct json_object *o = json_object_new_object();
	char uuid[TOOL_UUID_LEN];

	tool_add_string(o, "pool", dir);
	tool_add_string(o, "uuid", tool_uuid(uuid, st->uuid));
	tool_add_string(o, "granularity",
			pmio_pm_granularity_name((enum pmio_pm_granularity)st->granularity));
	tool_add(o, "chunk_size", st->chunk_size);
	tool_add(o, "size", st->nr_frames * st->chunk_size);
	tool_add(o, "free", st->nr_frames_free * st->chunk_size);
	tool_add(o, "resident", st->resident_bytes);
	tool_add(o, "dirty", st->dirty_bytes);
	tool_add(o, "files", st->nr_files);
	tool_add(o, "files_max", st->nr_slots);
	tool_add(o, "files_draining", st->nr_draining);
	tool_add_bool(o, "paused", st->paused);
	tool_add(o, "drain_rate_limit", st->drain_rate_limit);
	tool_add(o, "agent_pid", st->agent_pid);
	tool_add(o, "uptime_s", st->uptime_s);
	tool_add(o, "clients", st->nr_clients);
	tool_add(o, "handles", st->nr_handles);
	tool_counts_json(o, &st->counts);
	tool_add(o, "drained", st->drained_bytes);
	tool_add(o, "drain_rate", (uint64_t)tool_rate(st->drained_bytes, st->drain_ns));
	tool_add(o, "filled", st->filled_bytes);
	tool_add(o, "fill_rate", (uint64_t)tool_rate(st->filled_bytes, st->fill_ns));
	tool_add(o, "pfs_written", st->drained_bytes + st->counts.pfs_written);
	tool_add(o, "pfs_read", st->filled_bytes + st->counts.pfs_read);
	tool_add(o, "fallback_chunks", st->fallback_chunks);
	tool_add(o, "evicted_chunks", st->evicted_chunks);
	return o;
}
