#include "client/admin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/client.h"
#include "core/error.h"
#include "core/path.h"
#include "pfs/pfs.h"

static int stat_pool(struct pmio *pm, bool sums, struct pmio_pool_stat *st)
{
	union pmio_any_msg msg, reply;
	const struct pmio_stat_reply_msg *r = &reply.stat_reply;
	int rc;

	pmio_proto_request(&msg, PMIO_OP_STAT, 0);
	msg.stat.sums = sums;
	rc = client_pool_call(pm, &msg, -1, &reply);
	if (rc < 0) {
		pmio_err("pool %s: stat: %s", pm->dir, pmio_strerror(rc));
		return rc;
	}
	memcpy(st->uuid, r->uuid, sizeof(st->uuid));
	st->agent_pid = r->agent_pid;
	st->nr_clients = r->nr_clients;
	st->nr_handles = r->nr_handles;
	st->granularity = r->granularity;
	st->chunk_size = r->chunk_size;
	st->nr_frames = r->nr_frames;
	st->nr_frames_free = r->nr_frames_free;
	st->nr_files = r->nr_files;
	st->nr_slots = r->nr_slots;
	st->resident_bytes = r->resident_bytes;
	st->dirty_bytes = r->dirty_bytes;
	st->drained_bytes = r->drained_bytes;
	st->filled_bytes = r->filled_bytes;
	st->drain_ns = r->drain_ns;
	st->fill_ns = r->fill_ns;
	st->nr_draining = r->nr_draining;
	st->paused = r->paused != 0;
	st->drain_rate_limit = r->drain_rate_limit;
	st->counts = r->counts;
	st->fallback_chunks = r->fallback_chunks;
	st->evicted_chunks = r->evicted_chunks;
	st->uptime_s = r->uptime_s;
	st->idle_timeout_s = r->idle_timeout_s;
	return 0;
}

int pmio_stat_pool(struct pmio *pm, struct pmio_pool_stat *st)
{
	return stat_pool(pm, false, st);
}

int pmio_stat_sums(struct pmio *pm, struct pmio_pool_stat *st)
{
	return stat_pool(pm, true, st);
}

int pmio_stat_next(struct pmio *pm, uint32_t *cursor, struct pmio_file_stat *st)
{
	union pmio_any_msg msg, reply;
	const struct pmio_stat_file_reply_msg *r = &reply.stat_file_reply;
	int rc;

	pmio_proto_request(&msg, PMIO_OP_STAT_FILE, 0);
	msg.stat_file.slot = *cursor;
	rc = client_pool_call(pm, &msg, -1, &reply);
	if (rc < 0) {
		if (rc != -ENOENT)
			pmio_err("pool %s: list files: %s", pm->dir, pmio_strerror(rc));
		return rc;
	}
	st->entry = (struct pmio_entry){ r->slot, r->generation };
	st->state = r->state;
	st->nr_handles = r->nr_handles;
	st->error = r->error;
	st->dev = r->dev;
	st->ino = r->ino;
	st->size = r->size;
	st->pfs_size = r->pfs_size;
	st->resident_bytes = r->resident_bytes;
	st->dirty_bytes = r->dirty_bytes;
	st->left_bytes = r->left_bytes;
	st->drained_bytes = r->drained_bytes;
	st->filled_bytes = r->filled_bytes;
	st->drain_bytes = r->drain_bytes;
	st->drain_ns = r->drain_ns;
	st->counts = r->counts;
	snprintf(st->path, sizeof(st->path), "%.*s", PATH_MAX - 1, r->path);
	*cursor = r->slot + 1;
	return 0;
}

/* open with the rights that this process has, which the agent can then use; -1: it cannot be opened */
static int open_for_agent(const char *path)
{
	int fd, rc = pmio_pfs_open(path, O_WRONLY, 0, &fd, NULL);

	if (rc < 0)
		rc = pmio_pfs_open(path, O_RDONLY, 0, &fd, NULL);
	return rc < 0 ? -1 : fd;
}

int pmio_drain_entry(struct pmio *pm, const struct pmio_entry *e, const char *path, unsigned how)
{
	int rc, fd = how & PMIO_DRAIN_HERE ? open_for_agent(path) : -1;
	union pmio_any_msg msg, reply;

	pmio_proto_request(&msg, PMIO_OP_DRAIN, 0);
	msg.drain.slot = e->slot;
	msg.drain.generation = e->generation;
	msg.drain.flags = (how & PMIO_DRAIN_OVER ? PMIO_DRAIN_FORCE : 0) | (fd >= 0 ? PMIO_DRAIN_BY_FD : 0);
	rc = client_pool_call(pm, &msg, fd, &reply);
	if (fd >= 0)
		close(fd);
	if (rc == -ENOENT)
		pmio_err("drain %s: No such file or directory: the file is neither where it was nor in nearby directories; run "
			 "`pmio drain NEWNAME`, or `pmio forget` to discard its data in the pool", path);
	else if (rc < 0 && rc != -ESRCH)
		pmio_err("drain %s: %s", path, pmio_strerror(rc));
	return rc;
}

int pmio_forget_entry(struct pmio *pm, const struct pmio_entry *e, const char *path)
{
	union pmio_any_msg msg, reply;
	int rc;

	pmio_proto_request(&msg, PMIO_OP_FORGET, 0);
	msg.forget.slot = e->slot;
	msg.forget.generation = e->generation;
	rc = client_pool_call(pm, &msg, -1, &reply);
	if (rc < 0 && rc != -ESRCH && rc != -EBUSY)
		pmio_err("forget %s: %s", path, pmio_strerror(rc));
	return rc;
}

/* drain the file that has this name; -ESRCH: the pool does not know it, or there is no such file */
static int drain_by_fd(struct pmio *pm, const char *path)
{
	union pmio_any_msg msg, reply;
	int rc, fd = open_for_agent(path);

	if (fd < 0)
		return -ESRCH;
	pmio_proto_request(&msg, PMIO_OP_DRAIN, 0);
	msg.drain.flags = PMIO_DRAIN_BY_FD;
	rc = client_pool_call(pm, &msg, fd, &reply);
	close(fd);
	if (rc < 0 && rc != -ESRCH)
		pmio_err("drain %s: %s", path, pmio_strerror(rc));
	return rc;
}

/* drain all files that had this name when the pool last knew it */
static int drain_by_name(struct pmio *pm, const char *path)
{
	struct pmio_file_stat *st = malloc(sizeof(*st));
	uint32_t cursor = 0;
	int rc = st ? -ESRCH : -ENOMEM, one;

	while (st && pmio_stat_next(pm, &cursor, st) == 0) {
		if (strcmp(st->path, path) != 0)
			continue;
		one = pmio_drain_entry(pm, &st->entry, path, 0);
		if (one < 0 || rc == -ESRCH)
			rc = one;
	}
	free(st);
	return rc;
}

static int drain_path(struct pmio *pm, const char *path)
{
	char absolute[PATH_MAX];
	int rc = pmio_absolute(path, absolute, sizeof(absolute));

	if (rc == 0)
		rc = drain_by_fd(pm, absolute);
	return rc == -ESRCH ? drain_by_name(pm, absolute) : rc;
}

int pmio_drain_path(struct pmio *pm, const char *path)
{
	int rc = drain_path(pm, path);

	if (rc == -ESRCH)
		pmio_err("drain %s: not in the pool", path);
	return rc;
}

int pmio_drain_known(struct pmio *pm, const char *path)
{
	int rc = drain_path(pm, path);

	return rc == -ESRCH ? 0 : rc;
}

static bool can_be_settled(const struct pmio_file_stat *st)
{
	return (st->dirty_bytes || st->size > st->pfs_size || st->error) && st->state != PMIO_STATE_GONE && st->state != PMIO_STATE_CHANGED;
}

int pmio_settle_matching(struct pmio *pm, bool (*matches)(const char *path))
{
	struct pmio_file_stat *st = malloc(sizeof(*st));
	uint32_t cursor = 0;
	int rc = st ? 0 : -ENOMEM, one = rc;

	while (one == 0 && (one = pmio_stat_next(pm, &cursor, st)) == 0) {
		int drained = can_be_settled(st) && matches(st->path) ? pmio_drain_entry(pm, &st->entry, st->path, 0) : 0;

		if (drained < 0 && drained != -ESRCH && rc == 0)
			rc = drained;
	}
	free(st);
	return rc < 0 ? rc : one == -ENOENT ? 0 : one;
}

int pmio_stage_open(struct pmio *pm, const char *path, struct pmio_file **out, uint32_t *slot)
{
	const struct client_open how = { .flags = PMIO_OPEN_READ };
	int rc = client_open(pm, path, &how, out);

	if (rc == 0)
		*slot = (*out)->slot;
	return rc;
}

int client_stage(struct pmio_file *f, uint64_t first, uint32_t nr, uint32_t step)
{
	union pmio_any_msg msg, reply;

	if (f->ops)
		return f->ops->stage ? f->ops->stage(f, first, nr, step) : -EOPNOTSUPP;
	pmio_proto_request(&msg, PMIO_OP_STAGE, 0);
	msg.stage.first = first;
	msg.stage.nr = nr;
	msg.stage.step = step;
	return client_file_call(f, &msg, &reply, NULL);
}

int pmio_stage_in(struct pmio_file *f)
{
	uint64_t nr, size = pmio_pm_load64(&client_slot(f)->size);
	int rc = 0;

	nr = (size >> f->pm->view->chunk_shift) + 1;
	for (uint64_t at = 0; at < nr && rc == 0; at += PMIO_STAGE_MAX)
		rc = client_stage(f, at, nr - at < PMIO_STAGE_MAX ? (uint32_t)(nr - at) : PMIO_STAGE_MAX, 1);
	if (rc < 0)
		pmio_err("stage in %s: %s", f->path, rc == -ENOSPC ? "the pool is full" : pmio_strerror(rc));
	return rc;
}

int pmio_stage_release(struct pmio *pm, const char *path)
{
	const struct client_open how = { .flags = PMIO_OPEN_READ | PMIO_OPEN_DROP, .quiet = true };
	struct pmio_file *f;
	int rc = client_open(pm, path, &how, &f);

	return rc < 0 ? rc : pmio_close(&f);
}

static int set_throttle(struct pmio *pm, uint32_t what, uint64_t rate)
{
	union pmio_any_msg msg, reply;
	int rc;

	pmio_proto_request(&msg, PMIO_OP_THROTTLE, 0);
	msg.throttle.what = what;
	msg.throttle.rate = rate;
	rc = client_call(pm, &msg, &reply, NULL);
	if (rc < 0)
		pmio_err("the agent of %s: %s", pm->dir, pmio_strerror(rc));
	return rc;
}

int pmio_set_drain_rate(struct pmio *pm, uint64_t rate)
{
	return set_throttle(pm, PMIO_THROTTLE_RATE, rate);
}

int pmio_pause_drains(struct pmio *pm, bool pause)
{
	return set_throttle(pm, pause ? PMIO_THROTTLE_PAUSE : PMIO_THROTTLE_RESUME, 0);
}

int pmio_shutdown(struct pmio *pm, bool force)
{
	union pmio_any_msg msg, reply;
	int rc;

	pmio_proto_request(&msg, PMIO_OP_SHUTDOWN, 0);
	msg.shutdown.force = force;
	rc = client_call(pm, &msg, &reply, NULL);
	if (rc == -ECONNRESET || rc == -EPIPE)
		rc = 0; /* the agent ended before it could answer */
	if (rc < 0)
		pmio_err("stop the agent of %s: %s", pm->dir,
			 rc == -EBUSY ? "programs are using it" : pmio_strerror(rc));
	return rc;
}
