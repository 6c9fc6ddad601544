/* ops.c -- the handlers of the operations of proto.h */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uthash.h>

#include "agent/calls.h"
#include "agent/chunks.h"
#include "agent/claims.h"
#include "agent/close.h"
#include "agent/conn.h"
#include "agent/drain.h"
#include "agent/file.h"
#include "agent/fill.h"
#include "agent/mappings.h"
#include "agent/open.h"
#include "agent/ops.h"
#include "agent/pfs_fd.h"
#include "agent/reply.h"
#include "agent/request.h"
#include "agent/stage.h"
#include "agent/state.h"
#include "agent/throttle.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/log.h"

/* a handle of this connection */
static struct handle *find_handle(struct agent *a, struct conn *c, uint64_t id)
{
	struct handle *h;

	HASH_FIND(hh, a->handles, &id, sizeof(id), h);
	return h && h->conn == c ? h : NULL;
}

/* dispatch the request again when a job of the file has ended */
static void defer(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg)
{
	request_defer(a, &f->deferred, c, msg, -1);
}

static int take_client_record(struct agent *a)
{
	for (uint32_t i = 0; i < a->view->nr_clients; i++) {
		if (!a->client_used[i]) {
			a->client_used[i] = 1;
			pmio_pm_store64(a->view->pm, &a->view->clients[i].intent, 0);
			pmio_pm_zero(a->view->pm, &a->view->clients[i].counts,
				     sizeof(a->view->clients[i].counts));
			return (int)i;
		}
	}
	return -1;
}

static void op_hello(struct agent *a, struct conn *c, const union pmio_any_msg *msg)
{
	union pmio_any_msg reply;

	c->pid = msg->hello.pid;
	c->admin = msg->hello.admin != 0;
	if (!c->greeted)
		c->client = take_client_record(a);
	if (c->client < 0) {
		pmio_err("agent: process %u: more than %u clients", c->pid, a->view->nr_clients);
		agent_reply_status(a, c, &msg->hdr, -EUSERS);
		return;
	}
	c->greeted = true;
	pmio_proto_reply(&reply, &msg->hdr, 0);
	memcpy(reply.hello_reply.uuid, a->view->super->uuid, sizeof(reply.hello_reply.uuid));
	reply.hello_reply.epoch = pmio_pm_load64(&a->view->super->epoch);
	reply.hello_reply.client = (uint32_t)c->client;
	reply.hello_reply.agent_pid = (uint32_t)getpid();
	reply.hello_reply.kept = a->config->foreground;
	agent_reply(a, c, &reply, pmio_pool_data_fd(a->pool));
}

static void op_open(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int fd)
{
	/* the agent is about to exit: if a drain fails it stays and handles the request, else the next agent does */
	if (a->state == AGENT_RUNNING)
		files_open(a, c, msg, fd);
	else
		request_defer(a, &a->late, c, msg, fd);
}

static int claim_one(struct agent *a, struct handle *h, const struct pmio_claim_msg *m, uint32_t i,
		     int64_t *frame)
{
	bool optional = i >= m->needed;
	struct chunk *ch;
	int rc;

	if (i >= m->wanted) {
		ch = files_chunk(h->file, m->first + i);
		*frame = ch && ch->frame >= 0 ? ch->frame : PMIO_CLAIM_NONE;
		return 0;
	}
	ch = files_claim(a, h->file, m->first + i, m->how, h->flags & PMIO_OPEN_NO_PFS, optional, &rc);
	/* saves the client a FILL; chunks claimed ahead may still be overwritten as a whole */
	if (ch && (m->how & PMIO_CLAIM_ZERO) && !optional)
		fill_zeros(a, h->file, ch);
	if (ch)
		*frame = ch->frame;
	else if (rc == 0)
		*frame = PMIO_CLAIM_HOLE;
	else if (rc == -EBUSY && !optional)
		return rc;
	else if (optional)
		*frame = PMIO_CLAIM_NONE;
	else
		return rc;
	return 0;
}

static void op_claim(struct agent *a, struct conn *c, const union pmio_any_msg *msg)
{
	struct handle *h = find_handle(a, c, msg->claim.handle);
	union pmio_any_msg reply;
	int rc = 0;

	pmio_proto_reply(&reply, &msg->hdr, 0);
	if (!h || ((msg->claim.how & PMIO_CLAIM_WRITE) && !(h->flags & PMIO_OPEN_WRITE)))
		rc = -EBADF;
	for (uint32_t i = 0; i < PMIO_CLAIM_MAX; i++)
		reply.claim_reply.frame[i] = PMIO_CLAIM_NONE;
	for (uint32_t i = 0; i < msg->claim.nr && rc == 0; i++)
		rc = claim_one(a, h, &msg->claim, i, &reply.claim_reply.frame[i]);
	if (rc == -EBUSY) {
		drain_hurry(h->file);
		defer(a, c, h->file, msg);
		return;
	}
	reply.hdr.status = rc;
	agent_reply(a, c, &reply, -1);
}

static void op_fill(struct agent *a, struct conn *c, const union pmio_any_msg *msg)
{
	struct handle *h = find_handle(a, c, msg->fill.handle);
	struct chunk *ch = h ? files_chunk(h->file, msg->fill.chunk) : NULL;
	struct pmio_mask wanted;
	int rc;

	if (!ch || ch->frame < 0) {
		agent_reply_status(a, c, &msg->hdr, h ? -EINVAL : -EBADF);
		return;
	}
	_Static_assert(sizeof(wanted) == sizeof(msg->fill.blocks), "a bit for each block");
	memcpy(&wanted, msg->fill.blocks, sizeof(wanted));
	rc = ch->filling ? 1 : fill_start(a, h->file, ch, &wanted);
	if (rc > 0)
		defer(a, c, h->file, msg);
	else
		agent_reply_status(a, c, &msg->hdr, rc);
}

static void op_stage(struct agent *a, struct conn *c, const union pmio_any_msg *msg)
{
	struct handle *h = find_handle(a, c, msg->stage.handle);
	int rc = h ? stage_range(a, h->file, msg->stage.first, msg->stage.nr, msg->stage.step) : -EBADF;

	if (rc > 0)
		defer(a, c, h->file, msg);
	else
		agent_reply_status(a, c, &msg->hdr, rc);
}

static void op_sync(struct agent *a, struct conn *c, const union pmio_any_msg *msg)
{
	struct handle *h = find_handle(a, c, msg->handle.handle);

	if (h)
		calls_sync(a, c, h->file, msg);
	else
		agent_reply_status(a, c, &msg->hdr, -EBADF);
}

static void op_size(struct agent *a, struct conn *c, const union pmio_any_msg *msg)
{
	struct handle *h = find_handle(a, c, msg->handle.handle);
	union pmio_any_msg reply;

	pmio_proto_reply(&reply, &msg->hdr, h ? 0 : -EBADF);
	if (h)
		reply.size_reply.size = pmio_pool_file_size(a->pool, h->file->slot);
	agent_reply(a, c, &reply, -1);
}

static void op_map(struct agent *a, struct conn *c, const union pmio_any_msg *msg)
{
	struct handle *h = find_handle(a, c, msg->map.handle);
	bool may = h && (!(msg->map.how & PMIO_MAP_WRITE) || (h->flags & PMIO_OPEN_WRITE));

	if (may)
		maps_change(a, h, &msg->map);
	agent_reply_status(a, c, &msg->hdr, may ? 0 : -EBADF);
}

static void op_raise(struct agent *a, struct conn *c, const union pmio_any_msg *msg)
{
	struct handle *h = find_handle(a, c, msg->raise.handle);

	if (!h || !(h->flags & PMIO_OPEN_WRITE))
		agent_reply_status(a, c, &msg->hdr, -EBADF);
	else
		calls_raise(a, c, h->file, msg);
}

static void op_truncate(struct agent *a, struct conn *c, const union pmio_any_msg *msg)
{
	struct handle *h = find_handle(a, c, msg->truncate.handle);

	if (!h || !(h->flags & PMIO_OPEN_WRITE)) {
		agent_reply_status(a, c, &msg->hdr, -EBADF);
		return;
	}
	/* a drain would bring the cut bytes back, a fill would store into dropped blocks */
	drain_hurry(h->file);
	if (h->file->nr_jobs)
		defer(a, c, h->file, msg);
	else
		calls_truncate(a, c, h->file, msg);
}

/* the file of a slot, if it is still the same file */
static struct file *find_entry(struct agent *a, uint32_t slot, uint64_t generation)
{
	struct file *f = slot < a->view->nr_slots ? a->by_slot[slot] : NULL;

	return f && pmio_pm_load64(&a->view->slots[slot].generation) == generation ? f : NULL;
}

static void op_drain(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int fd)
{
	const struct pmio_drain_msg *m = &msg->drain;
	struct handle *h = m->handle ? find_handle(a, c, m->handle) : NULL;
	struct file *f = h ? h->file : NULL;

	if (!m->handle && (m->flags & PMIO_DRAIN_BY_FD) && fd >= 0) {
		files_drain_by_fd(a, c, msg, fd);
		return;
	}
	pfs_close(a, fd);
	if (!m->handle)
		f = find_entry(a, m->slot, m->generation);
	if (f)
		files_drain(a, c, f, msg);
	else
		agent_reply_status(a, c, &msg->hdr, m->handle ? -EBADF : -ESRCH);
}

static void op_forget(struct agent *a, struct conn *c, const union pmio_any_msg *msg)
{
	struct file *f = find_entry(a, msg->forget.slot, msg->forget.generation);

	if (f)
		files_give_up(a, c, f, msg);
	else
		agent_reply_status(a, c, &msg->hdr, -ESRCH);
}

static void op_close(struct agent *a, struct conn *c, const union pmio_any_msg *msg)
{
	struct handle *h = find_handle(a, c, msg->close.handle);

	if (!h) {
		agent_reply_status(a, c, &msg->hdr, -EBADF);
		return;
	}
	counts_add(&h->file->counts, &msg->close.counts);
	files_close(a, h, c, msg);
}

/* sums over all frames, files and clients */
static void add_sums(struct agent *a, struct pmio_stat_reply_msg *r)
{
	conn_sum_counts(a, &r->counts);
	for (struct file *f = a->files; f; f = f->hh.next) {
		uint64_t resident;

		r->dirty_bytes += files_dirty_bytes(a, f, &resident);
		r->resident_bytes += resident;
		r->drained_bytes += drain_written(f);
	}
}

static void op_stat(struct agent *a, struct conn *c, const union pmio_any_msg *msg)
{
	union pmio_any_msg reply;
	struct pmio_stat_reply_msg *r = &reply.stat_reply;

	pmio_proto_reply(&reply, &msg->hdr, 0);
	r->drained_bytes = a->drained_bytes;
	if (msg->stat.sums)
		add_sums(a, r);
	memcpy(r->uuid, a->view->super->uuid, sizeof(r->uuid));
	r->agent_pid = (uint32_t)getpid();
	r->nr_clients = HASH_COUNT(a->conns);
	r->nr_handles = HASH_COUNT(a->handles);
	r->granularity = pmio_pm_granularity(a->view->pm);
	r->chunk_size = a->view->chunk_size;
	r->nr_frames = a->view->nr_frames;
	r->nr_frames_free = pmio_pool_frames_free(a->pool);
	r->nr_files = HASH_COUNT(a->files);
	r->nr_slots = a->view->nr_slots;
	r->filled_bytes = a->filled_bytes;
	r->drain_ns = busy_ns(&a->draining);
	r->fill_ns = busy_ns(&a->filling);
	r->nr_draining = a->draining.nr;
	r->paused = atomic_load(&a->throttle.paused);
	r->drain_rate_limit = atomic_load(&a->throttle.rate);
	r->fallback_chunks = a->fallback_chunks;
	r->evicted_chunks = a->evicted_chunks;
	r->uptime_s = (pmio_now_ms() - a->started_ms) / 1000;
	r->idle_timeout_s = a->config->idle_timeout_s;
	agent_reply(a, c, &reply, -1);
}

/* it was closed while a job worked on it, and will be held at the job's end */
static bool will_be_held(const struct file *f, uint64_t dirty)
{
	return f->state == PMIO_FILE_OPEN && f->nr_handles == 0 && f->nr_jobs && file_is_on_hold(f) && dirty;
}

static enum pmio_drain_state drain_state(const struct file *f, uint64_t dirty)
{
	if (f->drain)
		return PMIO_STATE_DRAINING;
	if (f->no_inode && !f->nr_handles)
		return PMIO_STATE_GONE;
	if (f->error)
		return -f->error == PMIO_ECHANGED ? PMIO_STATE_CHANGED : PMIO_STATE_FAILED;
	if (f->state == PMIO_FILE_HELD || will_be_held(f, dirty))
		return PMIO_STATE_HELD;
	if (f->nr_handles && dirty)
		return PMIO_STATE_DIRTY;
	if (f->nr_writers)
		return PMIO_STATE_OPEN;
	return f->state == PMIO_FILE_OPEN ? PMIO_STATE_WAITING : PMIO_STATE_CLEAN;
}

static bool is_listed(const struct file *f)
{
	return f && (f->nr_handles || !file_is_removed(f)); /* false: it exists only in the pool */
}

static void op_stat_file(struct agent *a, struct conn *c, const union pmio_any_msg *msg)
{
	union pmio_any_msg reply;
	struct pmio_stat_file_reply_msg *r = &reply.stat_file_reply;
	uint32_t slot = msg->stat_file.slot;
	uint64_t written;
	struct file *f;

	while (slot < a->view->nr_slots && !is_listed(a->by_slot[slot]))
		slot++;
	if (slot >= a->view->nr_slots) {
		agent_reply_status(a, c, &msg->hdr, -ENOENT);
		return;
	}
	f = a->by_slot[slot];
	files_update_name(a, f);
	pmio_proto_reply(&reply, &msg->hdr, 0);
	r->slot = slot;
	r->generation = pmio_pm_load64(&a->view->slots[slot].generation);
	r->nr_handles = f->nr_handles;
	r->error = f->error;
	r->dev = f->key.dev;
	r->ino = f->key.ino;
	r->size = pmio_pool_file_size(a->pool, slot);
	r->pfs_size = f->on_pfs.size;
	written = drain_written(f);
	r->dirty_bytes = files_dirty_bytes(a, f, &r->resident_bytes);
	r->left_bytes = r->dirty_bytes > written ? r->dirty_bytes - written : 0;
	r->state = drain_state(f, r->dirty_bytes);
	r->drained_bytes = f->drained_bytes + written;
	r->filled_bytes = f->filled_bytes;
	r->drain_bytes = f->drain_bytes;
	r->drain_ns = f->drain_ns;
	r->counts = f->counts;
	snprintf(r->path, sizeof(r->path), "%s", f->path);
	agent_reply(a, c, &reply, -1);
}

static void op_stat_id(struct agent *a, struct conn *c, const union pmio_any_msg *msg)
{
	const struct pmio_pfs_id id = { msg->stat_id.dev, msg->stat_id.ino, msg->stat_id.birth_ns };
	struct file *f = files_find(a, &id);
	union pmio_any_msg reply;
	struct pmio_stat_id_reply_msg *r = &reply.stat_id_reply;

	if (!f || !is_listed(f)) {
		agent_reply_status(a, c, &msg->hdr, -ENOENT);
		return;
	}
	pmio_proto_reply(&reply, &msg->hdr, 0);
	r->slot = f->slot;
	r->generation = pmio_pm_load64(&a->view->slots[f->slot].generation);
	r->size = pmio_pool_file_size(a->pool, f->slot);
	r->nr_handles = f->nr_handles;
	r->pending = f->state != PMIO_FILE_CLEAN || f->drain || f->on_pfs.busy;
	r->written_ns = r->pending ? f->written_ns : 0;
	agent_reply(a, c, &reply, -1);
}

static void op_throttle(struct agent *a, struct conn *c, const union pmio_any_msg *msg)
{
	if (msg->throttle.what == PMIO_THROTTLE_RATE)
		throttle_set_rate(&a->throttle, msg->throttle.rate);
	else
		atomic_store(&a->throttle.paused, msg->throttle.what == PMIO_THROTTLE_PAUSE);
	pmio_info("agent: drains: %s, %llu bytes/s", atomic_load(&a->throttle.paused) ? "paused" : "running",
		  (unsigned long long)atomic_load(&a->throttle.rate));
	agent_reply_status(a, c, &msg->hdr, 0);
}

static void op_shutdown(struct agent *a, struct conn *c, const union pmio_any_msg *msg)
{
	unsigned others = conn_count_clients(a) - !c->admin;

	if (a->state != AGENT_RUNNING) {
		agent_reply_status(a, c, &msg->hdr, -EALREADY);
		return;
	}
	if (others && !msg->shutdown.force) {
		agent_reply_status(a, c, &msg->hdr, -EBUSY);
		return;
	}
	a->shutdown = request_new(a, c, msg, sizeof(*a->shutdown));
	if (!a->shutdown)
		return;
	a->forced = msg->shutdown.force != 0;
	a->state = a->forced || atomic_load(&a->throttle.paused) ? AGENT_LEAVING : AGENT_DRAINING;
}

void ops_dispatch(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int fd)
{
	static void (*const table[PMIO_NR_OPS])(struct agent *, struct conn *,
						const union pmio_any_msg *) = {
		[PMIO_OP_HELLO] = op_hello,	    [PMIO_OP_CLAIM] = op_claim,
		[PMIO_OP_FILL] = op_fill,	    [PMIO_OP_SYNC] = op_sync,
		[PMIO_OP_SIZE] = op_size,	    [PMIO_OP_TRUNCATE] = op_truncate,
		[PMIO_OP_CLOSE] = op_close,	    [PMIO_OP_REMOVED] = calls_removed,
		[PMIO_OP_STAT] = op_stat,	    [PMIO_OP_STAT_FILE] = op_stat_file,
		[PMIO_OP_STAT_ID] = op_stat_id,	    [PMIO_OP_MAP] = op_map,
		[PMIO_OP_SHUTDOWN] = op_shutdown,   [PMIO_OP_STAGE] = op_stage,
		[PMIO_OP_RAISE] = op_raise,
		[PMIO_OP_THROTTLE] = op_throttle,   [PMIO_OP_FORGET] = op_forget,
	};
	static void (*const with_fd[PMIO_NR_OPS])(struct agent *, struct conn *,
						  const union pmio_any_msg *, int) = {
		[PMIO_OP_OPEN] = op_open,
		[PMIO_OP_DRAIN] = op_drain,
		[PMIO_OP_REMOVE] = calls_remove,
	};

	if (with_fd[msg->hdr.op]) {
		with_fd[msg->hdr.op](a, c, msg, fd);
		return;
	}
	pfs_close(a, fd); /* a descriptor that the operation does not use */
	table[msg->hdr.op](a, c, msg);
}
