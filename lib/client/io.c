/*
 * io.c -- reading and writing: copies between the caller's memory and frames
 *
 * A request is split at chunks.  For each chunk the private cache (or the agent) tells
 * which frame holds it; then bytes are copied, as described in pool/frame.h.  A request
 * is redone if the agent was replaced meanwhile: the new one may have given the frames
 * to others before it knew this client (which it avoids for some seconds after its
 * start).  Meanwhile means: since the epoch was read, which comes before the first
 * frame is looked up; other threads may already use the new agent, and their epoch is
 * not that of these frames.
 */
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/client.h"
#include "core/backoff.h"
#include "core/error.h"

#define EXTENTS_MAX 512	    /* pieces of one chunk that are handled at once */
#define FILL_UNIT 16	    /* blocks: the minimum that a random read brings in */
#define POPULATE_MIN (64u << 10) /* bytes: below this, a few page faults cost less than a call */
#define REDO_MAX 10 /* how often the agent may be replaced during a request */
#define FILL_TRIES 1000 /* for a block that is being filled when it is to be overwritten */

/* a piece of a request within one chunk */
struct extent {
	uint8_t *buf;
	uint32_t start;	/* byte in the chunk */
	uint32_t len;
};

/* ---- counting ---------------------------------------------------------------------- */

/*
 * For `pmio stat`: in the handle, and in the client's record, which the agent sees
 * at any time.  Loads and stores, no locked additions, as each request does this.
 */
static void add_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

#define count(f, what, n)                                                          \
	do {                                                                       \
		add_count(&(f)->counts.what, n);                                   \
		add_count(&client_record((f)->pm)->counts.what, n);                \
	} while (0)

/* ---- answers of which agent? ---------------------------------------------------------- */

bool client_is_agent(const struct pmio_file *f, uint64_t epoch)
{
	return pmio_pm_load64(&f->pm->view->super->epoch) == epoch;
}

static int take_claims(struct pmio_file *f, uint64_t first, const struct pmio_claim_reply_msg *r,
		       uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		int64_t frame = r->frame[i];
		int rc;

		if (frame == PMIO_CLAIM_NONE || frame == PMIO_CLAIM_HOLE)
			continue; /* final answers only */
		rc = client_learn_frame(f, first + i, frame);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/*
 * How many chunks beyond the needed ones a writer will want next: it grows while the
 * writer moves forward (also in steps, like ranks that write in turn).
 */
static uint32_t ahead_of(struct pmio_file *f, uint64_t chunk, uint64_t needed)
{
	bool forward = chunk >= f->next_write_chunk && chunk - f->next_write_chunk < CLIENT_AHEAD_MAX;

	f->next_write_chunk = chunk + needed;
	f->claim_ahead = !forward ? 0 : f->claim_ahead ? f->claim_ahead * 2 : 1;
	if (f->claim_ahead > CLIENT_AHEAD_MAX)
		f->claim_ahead = CLIENT_AHEAD_MAX;
	return f->claim_ahead;
}

void client_expect(struct pmio_file *f, uint64_t first, uint64_t last, uint64_t pieces)
{
	bool touches_all = pieces > 1 && last > first && (last - first) / pieces <= f->chunk_size;

	if (f->ops)
		return;
	pthread_mutex_lock(&f->lock);
	atomic_store_explicit(&f->expect_chunk, touches_all ? last >> f->pm->view->chunk_shift : 0, memory_order_relaxed);
	pthread_mutex_unlock(&f->lock);
}

/* how many chunks to ask for; f->lock held */
static uint64_t chunks_wanted(struct pmio_file *f, uint64_t chunk, uint64_t needed, uint32_t how)
{
	uint64_t known = needed, expected = f->expect_chunk;

	if (!(how & PMIO_CLAIM_WRITE))
		return needed;
	if (expected >= chunk + needed)
		known = expected - chunk + 1;
	if (known > PMIO_CLAIM_MAX)
		known = PMIO_CLAIM_MAX;
	return known + ahead_of(f, chunk, known);
}

/* f->lock held; needed: chunks of this request from here on */
static int claim(struct pmio_file *f, uint64_t chunk, uint64_t needed, uint32_t how, int64_t *frame)
{
	union pmio_any_msg msg, reply;
	uint64_t wanted;
	int rc;

	if (needed > PMIO_CLAIM_MAX)
		needed = PMIO_CLAIM_MAX;
	wanted = chunks_wanted(f, chunk, needed, how);
	if (wanted > PMIO_CLAIM_MAX)
		wanted = PMIO_CLAIM_MAX;
	pmio_proto_request(&msg, PMIO_OP_CLAIM, 0);
	msg.claim.first = chunk;
	msg.claim.nr = PMIO_CLAIM_MAX; /* answers about chunks that others have claimed cost nothing */
	msg.claim.wanted = (uint32_t)wanted;
	msg.claim.needed = (uint32_t)needed;
	msg.claim.how = how;
	rc = client_file_call(f, &msg, &reply, NULL);
	if (rc < 0)
		return rc;
	rc = take_claims(f, chunk, &reply.claim_reply, PMIO_CLAIM_MAX);
	if (rc < 0)
		return rc;
	*frame = reply.claim_reply.frame[0];
	return *frame == PMIO_CLAIM_NONE ? PMIO_EPROTO : 0;
}

/* without asking the agent, or waiting for a thread that does; -EAGAIN: it is not known, or there is none */
static int get_frame_at_once(struct pmio_file *f, uint64_t chunk, int64_t *frame)
{
	bool found;

	if (pthread_mutex_trylock(&f->lock) != 0)
		return -EAGAIN;
	found = client_cache_get(f, chunk, frame);
	pthread_mutex_unlock(&f->lock);
	return found && *frame >= 0 ? 0 : -EAGAIN;
}

static int get_frame(struct pmio_file *f, uint64_t chunk, uint64_t needed, uint32_t how, int64_t *frame)
{
	int rc = 0;

	pthread_mutex_lock(&f->lock);
	if (!client_cache_get(f, chunk, frame))
		rc = claim(f, chunk, needed, how, frame);
	pthread_mutex_unlock(&f->lock);
	return rc;
}

/* ---- filling --------------------------------------------------------------------------- */

static void wait_a_little(unsigned tries)
{
	if (tries < 20)
		sched_yield();
	else
		pmio_sleep_us(50);
}

/*
 * Ask the agent to make blocks valid.  -EAGAIN from it: another process is
 * overwriting one of them whole at this moment; it will be valid soon, or, if
 * that process dies, the agent fills it.
 */
static int fill(struct pmio_file *f, uint64_t chunk, int64_t frame, const struct pmio_mask *blocks,
		const struct pmio_mask *until)
{
	union pmio_any_msg msg, reply;
	int rc;

	for (unsigned tries = 0;; tries++) {
		if (until && pmio_frame_valid(f->pm->view, (uint64_t)frame, until))
			return 0;
		if (tries % 16 == 0) {
			pmio_proto_request(&msg, PMIO_OP_FILL, 0);
			msg.fill.chunk = chunk;
			memcpy(msg.fill.blocks, blocks->w, sizeof(msg.fill.blocks));
			rc = client_file_call(f, &msg, &reply, NULL);
			if (rc != -EAGAIN)
				return rc;
			if (!until)
				return 0;
		}
		wait_a_little(tries);
	}
}

int client_make_resident(struct pmio_file *f, uint64_t chunk, uint64_t needed, bool writable, int64_t *frame)
{
	struct pmio_mask all;
	int rc = get_frame(f, chunk, needed, writable ? PMIO_CLAIM_WRITE : 0, frame);

	if (rc == 0 && *frame < 0)
		rc = *frame == PMIO_CLAIM_PFS ? -ENOSPC : -ENODATA;
	if (rc < 0)
		return rc;
	pmio_mask_range(&all, 0, PMIO_CHUNK_BLOCKS - 1);
	return pmio_frame_valid(f->pm->view, (uint64_t)*frame, &all) ? 0 : fill(f, chunk, *frame, &all, &all);
}

/* ---- writing ------------------------------------------------------------------------------ */

struct group {
	struct pmio_file *f;
	struct pmio_view *v;
	uint64_t epoch;	 /* of the agent that gave the frame */
	uint64_t chunk;
	uint64_t needed; /* chunks of the request from this one on */
	int64_t frame;
	struct extent extents[EXTENTS_MAX];
	unsigned nr;
	bool raised;	 /* the file's size was raised, and is not flushed yet */
	bool at_once;	 /* return -EAGAIN instead of waiting */
};

/*
 * The size goes up before blocks become dirty, or bytes reach the PFS: a drain
 * that finds them must find the size that they are within.
 */
static void raise_size(struct group *g, const struct extent *extents, unsigned nr)
{
	uint64_t end = 0;

	for (unsigned i = 0; i < nr; i++) {
		if (extents[i].start + (uint64_t)extents[i].len > end)
			end = extents[i].start + (uint64_t)extents[i].len;
	}
	end += g->chunk << g->v->chunk_shift;
	g->raised |= pmio_pm_max64(g->v->pm, &client_slot(g->f)->size, end);
}

/* the number of extents from s on without a gap: together they may cover whole blocks */
static unsigned touching(const struct extent *s, unsigned nr)
{
	unsigned n = 1;

	while (n < nr && s[n].start == s[n - 1].start + s[n - 1].len)
		n++;
	return n;
}

/* of adjacent extents */
static uint32_t end_of(const struct extent *s, unsigned nr)
{
	return s[nr - 1].start + s[nr - 1].len;
}

/* blocks that the extents touch, and those of them that no extent covers whole */
static void extent_masks(const struct pmio_view *v, const struct extent *extents, unsigned nr,
		       struct pmio_mask *touched, struct pmio_mask *partial)
{
	struct pmio_mask whole = { { 0 } };
	unsigned known = UINT_MAX; /* the block of the last one: most of many small extents are in the same */

	memset(touched, 0, sizeof(*touched));
	for (unsigned i = 0, n; i < nr; i += n) {
		uint32_t start = extents[i].start, end;
		unsigned first = start >> v->block_shift, last, up, down;

		n = touching(&extents[i], nr - i);
		end = end_of(&extents[i], n);
		last = (end - 1) >> v->block_shift;
		up = (start + v->block_size - 1) >> v->block_shift;
		down = end >> v->block_shift;
		if (first != last || first != known)
			pmio_mask_set_range(touched, first, last);
		known = last;
		if (up < down)
			pmio_mask_set_range(&whole, up, down - 1);
	}
	for (int i = 0; i < PMIO_MASK_WORDS; i++)
		partial->w[i] = touched->w[i] & ~whole.w[i];
}

static void copy_in(struct group *g, const struct extent *extents, unsigned nr)
{
	uint8_t *frame = pmio_view_frame(g->v, (uint64_t)g->frame);

	for (unsigned i = 0; i < nr; i++)
		pmio_pm_copy(g->v->pm, frame + extents[i].start, extents[i].buf, extents[i].len);
}

/* the steps of a write as in frame.h, except the last fence */
static int store(struct group *g, const struct extent *extents, unsigned nr, const struct pmio_mask *touched)
{
	int rc;

	for (int tries = 0; pmio_frame_write_begin(g->v, (uint64_t)g->frame, touched) == -EAGAIN; tries++) {
		if (g->at_once) {
			pmio_frame_write_abort(g->v, (uint64_t)g->frame, touched);
			return -EAGAIN;
		}
		rc = fill(g->f, g->chunk, g->frame, touched, NULL);
		if (!client_is_agent(g->f, g->epoch)) /* then everything is redone */
			rc = PMIO_EAGENT;
		/* read errors of the fill do not matter: these blocks are overwritten whole */
		if (rc < 0 && (rc == PMIO_EAGENT || g->f->broken || tries == FILL_TRIES)) {
			pmio_frame_write_abort(g->v, (uint64_t)g->frame, touched);
			return rc;
		}
	}
	copy_in(g, extents, nr);
	raise_size(g, extents, nr);
	pmio_pm_fence(g->v->pm);
	pmio_frame_write_end(g->v, (uint64_t)g->frame, touched);
	return 0;
}

/* adjacent extents with whole blocks that are not valid yet: record that first, in case this process dies */
static int store_fresh(struct group *g, const struct extent *s, unsigned nr)
{
	struct pmio *pm = g->f->pm;
	struct pmio_client_df *record = client_record(pm);
	uint64_t *intent = &record->intent;
	uint32_t start = s->start, end = end_of(s, nr);
	unsigned first = start >> g->v->block_shift, last = (end - 1) >> g->v->block_shift;
	struct pmio_mask m = { { 0 } };
	int rc;

	pmio_mask_set_range(&m, first, last);
	if (!g->at_once)
		pthread_mutex_lock(&pm->intent_lock);
	else if (pthread_mutex_trylock(&pm->intent_lock) != 0)
		return -EAGAIN;
	pmio_pm_store64(g->v->pm, intent,
			1ULL << 63 | (uint64_t)g->frame << 16 | (uint64_t)first << 8 | last);
	rc = store(g, s, nr, &m);
	/* with another agent this record may belong to another process, and describe its writes */
	if (client_record(pm) == record)
		pmio_pm_store64(g->v->pm, intent, 0);
	pthread_mutex_unlock(&pm->intent_lock);
	return rc;
}

static int write_to_pfs(struct group *g)
{
	uint64_t start = g->chunk << g->v->chunk_shift;
	int rc = 0;

	raise_size(g, g->extents, g->nr);
	for (unsigned i = 0; i < g->nr && rc == 0; i++)
		rc = client_pfs_write(g->f, g->extents[i].buf, g->extents[i].len, start + g->extents[i].start);
	for (unsigned i = 0; i < g->nr && rc == 0; i++)
		count(g->f, pfs_written, g->extents[i].len);
	return rc;
}

/* last chunk of the request, as far as it is known */
static uint64_t last_chunk(const struct group *g)
{
	uint64_t last = g->chunk + g->needed - 1, expected = g->f->expect_chunk;

	return expected > last ? expected : last;
}

static int write_group(struct group *g)
{
	struct pmio_mask touched, partial;
	uint32_t how = PMIO_CLAIM_WRITE;
	int rc;

	extent_masks(g->v, g->extents, g->nr, &touched, &partial);
	/* the partial blocks of a single long piece are filled when it reaches them: the rest needs no zeros */
	if ((g->nr > 1 || g->needed == 1) && !pmio_mask_empty(&partial))
		how |= PMIO_CLAIM_ZERO;
	if (g->nr == 1 && g->extents[0].len == g->v->chunk_size)
		how |= PMIO_CLAIM_WHOLE;
	rc = g->at_once ? get_frame_at_once(g->f, g->chunk, &g->frame)
			: get_frame(g->f, g->chunk, g->needed, how, &g->frame);
	if (rc < 0)
		return rc;
	if (g->frame == PMIO_CLAIM_PFS)
		return write_to_pfs(g);
	if (!g->at_once && (g->nr > 1 || g->extents[0].len >= POPULATE_MIN))
		client_populate(g->f, g->chunk, g->frame, last_chunk(g));
	if (!pmio_mask_empty(&partial) && !pmio_frame_valid(g->v, (uint64_t)g->frame, &partial)) {
		rc = g->at_once ? -EAGAIN : fill(g->f, g->chunk, g->frame, &partial, &partial);
		if (rc < 0)
			return rc;
	}
	if (pmio_frame_valid(g->v, (uint64_t)g->frame, &touched))
		return store(g, g->extents, g->nr, &touched);
	for (unsigned i = 0, n; i < g->nr && rc == 0; i += n) {
		n = touching(&g->extents[i], g->nr - i);
		rc = store_fresh(g, &g->extents[i], n);
	}
	return rc;
}

/* add a piece to the group; write the group out at the end of a chunk or when it is full */
static int add_piece(struct group *g, const struct pmio_piece *p)
{
	uint64_t off = (uint64_t)p->off, end = off + p->len;
	uint8_t *buf = p->buf;

	while (off < end) {
		uint64_t chunk = off >> g->v->chunk_shift;
		uint64_t start = off & (g->v->chunk_size - 1);
		uint64_t len = g->v->chunk_size - start;
		int rc;

		if (len > end - off)
			len = end - off;
		if (g->nr && (chunk != g->chunk || g->nr == EXTENTS_MAX)) {
			rc = write_group(g);
			if (rc < 0)
				return rc;
			g->nr = 0;
		}
		if (g->nr == 0) {
			g->chunk = chunk;
			g->needed = ((end - 1) >> g->v->chunk_shift) - chunk + 1;
		}
		g->extents[g->nr].buf = buf;
		g->extents[g->nr].start = (uint32_t)start;
		g->extents[g->nr++].len = (uint32_t)len;
		buf += len;
		off += len;
	}
	return 0;
}

/*
 * Make the size durable, if this handle has not done so yet: with the fence that
 * follows anyway, and only then may other threads rely on it.  A size below the flushed
 * one is new: the file was truncated.  raised: this request has raised it
 */
static void flush_size(struct pmio_file *f, struct pmio_slot_df *slot, uint64_t end, bool raised)
{
	struct pmio_pm *pm = f->pm->view->pm;
	uint64_t size = pmio_pm_load64(&slot->size);
	uint64_t flushed = atomic_load_explicit(&f->size_flushed, memory_order_acquire);
	/* also a size that another process raised: it may not have flushed it yet */
	bool must = raised || end > flushed || size < flushed;

	if (must)
		pmio_pm_flush(pm, &slot->size, sizeof(slot->size));
	pmio_pm_fence(pm); /* all of the request is durable from here on */
	if (must)
		atomic_store_explicit(&f->size_flushed, size, memory_order_release);
}

/* epoch: from client_begin_try() */
static int write_pieces(struct pmio_file *f, uint64_t epoch, const struct pmio_piece *pieces, size_t nr,
			bool at_once, bool *raised)
{
	struct group g;
	struct pmio_slot_df *slot = client_slot(f);
	uint64_t end = 0;
	int rc = 0;

	/* not by an initializer, which would clear the extents, several times the bytes of a small request */
	g.f = f;
	g.v = f->pm->view;
	g.epoch = epoch;
	g.nr = 0;
	g.raised = false;
	g.at_once = at_once;
	for (size_t i = 0; i < nr && rc == 0; i++) {
		if (!pieces[i].len)
			continue;
		rc = add_piece(&g, &pieces[i]);
		if ((uint64_t)pieces[i].off + pieces[i].len > end)
			end = (uint64_t)pieces[i].off + pieces[i].len;
	}
	if (rc == 0 && g.nr)
		rc = write_group(&g);
	*raised |= g.raised;
	if (rc < 0)
		return rc;
	g.raised |= pmio_pm_max64(g.v->pm, &slot->size, end);
	*raised |= g.raised;
	flush_size(f, slot, end, g.raised);
	return 0;
}

/* ---- trying with the current agent ------------------------------------------------- */

static int take_new_agent(struct pmio_file *f, uint64_t *epoch)
{
	int rc;

	pthread_mutex_lock(&f->lock);
	rc = client_check_epoch(f, epoch);
	if (rc == 0 && f->cache_epoch != *epoch) { /* otherwise another thread was here first */
		client_cache_clear(f);
		f->size_flushed = 0;
		f->cache_epoch = *epoch; /* last: a thread that sees it finds no answer of an older agent */
	}
	pthread_mutex_unlock(&f->lock);
	return rc;
}

int client_begin_try(struct pmio_file *f, uint64_t *epoch)
{
	*epoch = f->cache_epoch;
	return client_is_agent(f, *epoch) ? 0 : take_new_agent(f, epoch);
}

/* the request failed on every try, as the agent was replaced each time */
static ssize_t never_done(const struct pmio_file *f, const char *what)
{
	pmio_err("%s %s: the agent was replaced %d times meanwhile", what, f->path, REDO_MAX);
	return PMIO_EAGENT;
}

static ssize_t check_pieces(const struct pmio_piece *pieces, size_t nr)
{
	size_t sum = 0;

	for (size_t i = 0; i < nr; i++) {
		if (pieces[i].off < 0)
			return -EINVAL;
		if (pieces[i].len > (uint64_t)INT64_MAX - (uint64_t)pieces[i].off)
			return -EFBIG;
		sum += pieces[i].len;
		if (sum > SSIZE_MAX)
			return -EINVAL;
	}
	return (ssize_t)sum;
}

ssize_t client_writex(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr, bool *raised)
{
	ssize_t sum = check_pieces(pieces, nr);
	bool done = false;
	uint64_t epoch;
	int rc = -EBADF;

	if (!(f->flags & PMIO_OPEN_WRITE))
		return rc;
	if (sum <= 0)
		return sum;
	if (f->ops)
		return f->ops->writex(f, pieces, nr, raised);
	for (int tries = 0; tries < REDO_MAX && !done; tries++) {
		rc = client_begin_try(f, &epoch);
		if (rc < 0)
			break;
		rc = write_pieces(f, epoch, pieces, nr, false, raised);
		done = client_is_agent(f, epoch);
	}
	if (rc == 0 && !done)
		return never_done(f, "write");
	if (rc < 0) {
		pmio_err("write %s: %s", f->path, pmio_strerror(rc));
		return rc;
	}
	count(f, written, (uint64_t)sum);
	return sum;
}

/* is this handle's knowledge of its frames that of the current agent?  epoch: see client_begin_try() */
static bool is_ready(const struct pmio_file *f, uint32_t flag, uint64_t *epoch)
{
	*epoch = f->cache_epoch;
	return !f->ops && (f->flags & flag) && !f->broken && client_is_agent(f, *epoch);
}

ssize_t client_writex_at_once(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr, bool *raised)
{
	ssize_t sum = check_pieces(pieces, nr);
	uint64_t epoch;
	int rc;

	if (sum <= 0 || !is_ready(f, PMIO_OPEN_WRITE, &epoch))
		return -EAGAIN;
	rc = write_pieces(f, epoch, pieces, nr, true, raised);
	if (rc < 0 || !client_is_agent(f, epoch))
		return -EAGAIN;
	count(f, written, (uint64_t)sum);
	return sum;
}

ssize_t pmio_writex(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr)
{
	bool raised = false;
	ssize_t n = client_writex(f, pieces, nr, &raised);
	int rc = n >= 0 && f->syncs ? pmio_sync(f) : 0;

	return rc < 0 ? rc : n;
}

bool client_grow_at_once(struct pmio_file *f, uint64_t *size)
{
	struct pmio_slot_df *slot;
	struct pmio_view *v;
	uint64_t epoch;

	if (!is_ready(f, PMIO_OPEN_WRITE, &epoch))
		return false;
	v = f->pm->view;
	slot = client_slot(f);
	pmio_pm_max64(v->pm, &slot->size, *size);
	pmio_pm_flush(v->pm, &slot->size, sizeof(slot->size));
	pmio_pm_fence(v->pm);
	if (!client_is_agent(f, epoch))
		return false;
	*size = pmio_pm_load64(&slot->size);
	return true;
}

int client_grow(struct pmio_file *f, uint64_t *size)
{
	uint64_t epoch;
	int rc;

	if (f->ops)
		return f->ops->grow ? f->ops->grow(f, size) : -EOPNOTSUPP;
	if (!(f->flags & PMIO_OPEN_WRITE))
		return -EBADF;
	for (int tries = 0; tries < REDO_MAX; tries++) {
		if (client_grow_at_once(f, size))
			return 0;
		rc = client_begin_try(f, &epoch);
		if (rc == 0)
			rc = f->broken;
		if (rc < 0)
			return rc;
	}
	return (int)never_done(f, "grow");
}

ssize_t pmio_pwrite(struct pmio_file *f, const void *buf, size_t len, off_t off)
{
	struct pmio_piece p = { off, (void *)(uintptr_t)buf, len };

	return pmio_writex(f, &p, 1);
}

/* ---- reading ------------------------------------------------------------------------------ */

/* the chunk of the last piece: the next one is likely to be there as well */
struct reader {
	struct pmio_file *f;
	uint64_t chunk;
	int64_t frame;
	struct pmio_mask valid; /* blocks known to be valid */
	bool here;		/* the fields above are set */
	bool at_once;		/* return -EAGAIN instead of waiting */
	struct pmio_pm_guard *guard;
};

static int enter_chunk(struct reader *r, uint64_t chunk, uint64_t needed)
{
	struct pmio_mask dirty, draining;
	int rc;

	if (r->here && r->chunk == chunk)
		return 0;
	r->here = false;
	rc = r->at_once ? get_frame_at_once(r->f, chunk, &r->frame) : get_frame(r->f, chunk, needed, 0, &r->frame);
	if (rc < 0)
		return rc;
	r->chunk = chunk;
	r->here = true;
	if (r->frame >= 0)
		pmio_frame_get(r->f->pm->view, (uint64_t)r->frame, &r->valid, &dirty, &draining);
	return 0;
}

/* len: bytes to be read there */
static int make_valid(struct reader *r, size_t len, unsigned first, unsigned last, bool sequential)
{
	struct pmio_view *v = r->f->pm->view;
	struct pmio_mask m;
	int rc = 0;

	if (first == last && pmio_mask_test(&r->valid, first))
		return 0;
	pmio_mask_range(&m, first, last);
	if (!pmio_frame_valid(v, (uint64_t)r->frame, &m)) {
		struct pmio_mask more = m;

		if (r->at_once)
			return -EAGAIN;
		pmio_mask_set_range(&more, first, sequential ? PMIO_CHUNK_BLOCKS - 1 : last | (FILL_UNIT - 1));
		count(r->f, missed, len);
		rc = fill(r->f, r->chunk, r->frame, &more, &m);
	}
	if (rc == 0)
		pmio_mask_set_range(&r->valid, first, last);
	return rc;
}

/* the part of a read that lies in one chunk */
static int read_chunk(struct reader *r, uint8_t *buf, uint64_t off, size_t len, uint64_t needed,
		      bool sequential)
{
	struct pmio_view *v = r->f->pm->view;
	uint64_t start = off & (v->chunk_size - 1);
	int rc = enter_chunk(r, off >> v->chunk_shift, needed);

	if (rc < 0)
		return rc;
	if (r->frame == PMIO_CLAIM_HOLE) {
		memset(buf, 0, len);
		return 0;
	}
	if (r->frame == PMIO_CLAIM_PFS) {
		count(r->f, pfs_read, len);
		return client_pfs_read(r->f, buf, len, off);
	}
	rc = make_valid(r, len, (unsigned)(start >> v->block_shift),
			(unsigned)((start + len - 1) >> v->block_shift), sequential);
	if (rc < 0)
		return rc;
	if (len >= POPULATE_MIN && !r->at_once)
		client_populate(r->f, r->chunk, r->frame, r->chunk + needed - 1);
	pmio_pm_guard_arm(r->guard, true);
	pmio_pm_read(v->pm, buf, pmio_view_frame(v, (uint64_t)r->frame) + start, len);
	pmio_pm_guard_arm(r->guard, false);
	return 0;
}

static int read_piece(struct reader *r, uint8_t *buf, uint64_t off, uint64_t end)
{
	struct pmio_view *v = r->f->pm->view;
	bool sequential = off == atomic_load_explicit(&r->f->next_read, memory_order_relaxed);
	int rc = 0;

	while (off < end && rc == 0) {
		uint64_t len = v->chunk_size - (off & (v->chunk_size - 1));
		uint64_t needed = ((end - 1) >> v->chunk_shift) - (off >> v->chunk_shift) + 1;

		if (len > end - off)
			len = end - off;
		rc = read_chunk(r, buf, off, (size_t)len, needed, sequential);
		buf += len;
		off += len;
	}
	atomic_store_explicit(&r->f->next_read, end, memory_order_relaxed);
	return rc;
}

struct request {
	struct pmio_file *f;
	const struct pmio_piece *pieces;
	size_t nr;
	uint64_t size; /* the file is known to have at least this size */
	bool at_once;
};

/* returns bytes read or an error */
static ssize_t read_pieces(struct pmio_pm_guard *guard, void *arg)
{
	const struct request *req = arg;
	const struct pmio_piece *pieces = req->pieces;
	uint64_t size = pmio_pm_load64(&client_slot(req->f)->size);
	struct reader r = { .f = req->f, .guard = guard, .at_once = req->at_once };
	ssize_t sum = 0;

	if (size < req->size)
		size = req->size;
	for (size_t i = 0; i < req->nr; i++) {
		uint64_t off = (uint64_t)pieces[i].off, end = off + pieces[i].len;
		int rc;

		if (end > size)
			end = size;
		if (off < end) {
			rc = read_piece(&r, pieces[i].buf, off, end);
			if (rc < 0)
				return rc;
			sum += (ssize_t)(end - off);
		}
		if (end < off + pieces[i].len)
			break;
	}
	return sum;
}

ssize_t client_readx(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr, uint64_t size)
{
	struct request req = { f, pieces, nr, size, false };
	ssize_t n = check_pieces(pieces, nr);
	bool done = false;
	uint64_t epoch;

	if (!(f->flags & PMIO_OPEN_READ))
		return -EBADF;
	if (n <= 0)
		return n;
	if (f->ops)
		return f->ops->readx(f, pieces, nr, size);
	for (int tries = 0; tries < REDO_MAX && !done; tries++) {
		n = client_begin_try(f, &epoch);
		if (n < 0)
			break;
		n = pmio_pm_guarded(f->pm->view->pm, read_pieces, &req);
		done = client_is_agent(f, epoch);
	}
	if (n >= 0 && !done)
		return never_done(f, "read");
	if (n < 0)
		pmio_err("read %s: %s", f->path, pmio_strerror((int)n));
	else
		count(f, read, (uint64_t)n);
	return n;
}

ssize_t client_readx_at_once(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr, uint64_t size)
{
	struct request req = { f, pieces, nr, size, true };
	uint64_t epoch;
	ssize_t n;

	if (check_pieces(pieces, nr) <= 0 || !is_ready(f, PMIO_OPEN_READ, &epoch))
		return -EAGAIN;
	n = pmio_pm_guarded(f->pm->view->pm, read_pieces, &req);
	if (n < 0 || !client_is_agent(f, epoch))
		return -EAGAIN;
	count(f, read, (uint64_t)n);
	return n;
}

ssize_t pmio_readx(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr)
{
	return client_readx(f, pieces, nr, 0);
}

ssize_t pmio_pread(struct pmio_file *f, void *buf, size_t len, off_t off)
{
	struct pmio_piece p = { off, buf, len };

	return pmio_readx(f, &p, 1);
}
