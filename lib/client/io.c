/* io.c -- frames for requests: claims, filling of blocks, and answers that are invalid after a change of the agent */
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "client/io.h"
#include "core/backoff.h"
#include "core/error.h"

/* ---- validity of answers --------------------------------------------------------------- */

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

/* f->lock held; needed: number of chunks of this request, starting here */
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
	msg.claim.nr = PMIO_CLAIM_MAX; /* ask about further chunks, too: frames that exist already are reported at no cost */
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

int io_get_frame_at_once(struct pmio_file *f, uint64_t chunk, int64_t *frame, struct client_known *known)
{
	bool found;

	if (pthread_mutex_trylock(&f->lock) != 0)
		return -EAGAIN;
	found = client_cache_get(f, chunk, frame, known);
	pthread_mutex_unlock(&f->lock);
	return found && *frame >= 0 ? 0 : -EAGAIN;
}

int io_get_frame(struct pmio_file *f, uint64_t chunk, uint64_t needed, uint32_t how, int64_t *frame, struct client_known *known)
{
	int rc = 0;

	pthread_mutex_lock(&f->lock);
	if (!client_cache_get(f, chunk, frame, known)) {
		if (known)
			memset(known, 0, sizeof(*known));
		rc = claim(f, chunk, needed, how, frame);
	}
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

int io_fill(struct pmio_file *f, uint64_t chunk, int64_t frame, const struct pmio_mask *blocks, const struct pmio_mask *until)
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
	int rc = io_get_frame(f, chunk, needed, writable ? PMIO_CLAIM_WRITE : 0, frame, NULL);

	if (rc == 0 && *frame < 0)
		rc = *frame == PMIO_CLAIM_PFS ? -ENOSPC : -ENODATA;
	if (rc < 0)
		return rc;
	pmio_mask_range(&all, 0, PMIO_CHUNK_BLOCKS - 1);
	return pmio_frame_valid(f->pm->view, (uint64_t)*frame, &all) ? 0 : io_fill(f, chunk, *frame, &all, &all);
}

/* ---- trying with the current agent ------------------------------------------------- */

static int take_new_agent(struct pmio_file *f, uint64_t *epoch)
{
	int rc;

	pthread_mutex_lock(&f->lock);
	rc = client_check_epoch(f, epoch);
	if (rc == 0 && f->cache_epoch != *epoch) { /* otherwise another thread has done this */
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

ssize_t io_never_done(const struct pmio_file *f, const char *what)
{
	pmio_err("%s %s: given up, as the agent was replaced %d times meanwhile", what, f->path, REDO_MAX);
	return PMIO_EAGENT;
}

ssize_t io_check_pieces(const struct pmio_piece *pieces, size_t nr)
{
	uint64_t sum = 0, bad = 0; /* the highest bit of bad: an offset, length, end or sum was beyond INT64_MAX */

	for (size_t i = 0; i < nr; i++) {
		uint64_t off = (uint64_t)pieces[i].off;

		sum += pieces[i].len;
		bad |= off | pieces[i].len | (off + pieces[i].len) | sum;
	}
	if (bad >> 63 == 0)
		return (ssize_t)sum;
	for (size_t i = 0; i < nr; i++) {
		if (pieces[i].off < 0)
			return -EINVAL;
		if (pieces[i].len > (uint64_t)INT64_MAX - (uint64_t)pieces[i].off)
			return -EFBIG;
	}
	return -EINVAL;
}

bool io_is_ready(const struct pmio_file *f, uint32_t flag, uint64_t *epoch)
{
	*epoch = f->cache_epoch;
	return !f->ops && (f->flags & flag) && !f->broken && client_is_agent(f, *epoch);
}

