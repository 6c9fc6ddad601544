/*
 * write.c -- writing: copies of the caller's pieces into frames
 *
 * The pieces of a request are divided into groups of pieces that are consecutive in the request
 * and lie in the same chunk; each group is one write of frame.h.  A group is a part of the
 * caller's array: there may be tens of thousands of small pieces, which are not copied.
 */
#include <errno.h>
#include <limits.h>

#include "client/io.h"
#include "core/error.h"
#include "pm/small.h"

#define FILL_TRIES 1000 /* for a block that is being filled when it is to be overwritten */
#define LONG_PIECE 32768 /* a record of what is being written costs less than a frame that was zeroed before; measured: 4 KiB is too short */

struct group {
	struct pmio_file *f;
	struct pmio_view *v;
	uint64_t epoch;	 /* of the agent that gave the frame */
	uint64_t chunk;
	uint64_t base;	 /* of the chunk in the file, bytes */
	uint64_t needed; /* chunks of the request from this one on */
	int64_t frame;
	const struct pmio_piece *pieces; /* the first and the last may lie in other chunks as well; none is empty */
	size_t nr;
	uint32_t end;	 /* byte in the chunk */
	struct pmio_mask touched; /* blocks */
	struct pmio_mask partial; /* those of them that the pieces do not cover as a whole */
	bool raised;	 /* the file's size was raised, and is not flushed yet */
	bool at_once;	 /* return -EAGAIN instead of waiting */
	struct client_known known;
	uint64_t word;	 /* pmio_frame_cleared(), before a byte was stored */
	/* the bytes are stored; after the next fence: */
	enum { DONE, COMPARE, /* the short cut of frame.h: is the word still the same? */
	       REMEMBER,      /* if it is, the next write may take that */
	} then;
};

/* the part of a piece that lies in a group */
struct extent {
	uint8_t *buf;
	uint32_t start;	/* byte in the chunk */
	uint32_t len;
};

static inline struct extent extent_of(const struct group *g, size_t i)
{
	const struct pmio_piece *p = &g->pieces[i];
	uint64_t off = (uint64_t)p->off, from = off < g->base ? g->base : off;
	uint64_t to = off + p->len, limit = g->base + g->v->chunk_size;

	if (to > limit)
		to = limit;
	return (struct extent){ (uint8_t *)p->buf + (from - off), (uint32_t)(from - g->base), (uint32_t)(to - from) };
}

/* ---- groups ----------------------------------------------------------------------------------- */

/* extents without a gap between them: together they may cover whole blocks */
struct run {
	uint32_t start, end;
	unsigned known;		/* the last block that is in the group's mask already: many small extents are in the same block */
	struct pmio_mask whole;
};

static void end_run(struct group *g, struct run *r)
{
	unsigned shift = g->v->block_shift, first = r->start >> shift, last = (r->end - 1) >> shift;
	unsigned up = (r->start + g->v->block_size - 1) >> shift, down = r->end >> shift;

	if (first != last || first != r->known)
		pmio_mask_set_range(&g->touched, first, last);
	r->known = last;
	if (up < down)
		pmio_mask_set_range(&r->whole, up, down - 1);
}

/* a part of the previous run's block, which is in the mask already, and not a whole block */
static inline bool is_known(const struct group *g, const struct run *r)
{
	unsigned shift = g->v->block_shift;

	return r->start >> shift == r->known && (r->end - 1) >> shift == r->known && r->end - r->start != g->v->block_size;
}

/*
 * Take the pieces, from the first one on, that lie in g's chunk; the first does.  Returns how many; the last one may
 * continue in the next chunk.
 */
static size_t take_pieces(struct group *g, const struct pmio_piece *pieces, size_t nr)
{
	struct run r = { .known = UINT_MAX };
	struct extent e;
	size_t i;

	g->pieces = pieces;
	g->touched = (struct pmio_mask){ { 0 } };
	e = extent_of(g, 0);
	r.start = e.start;
	r.end = g->end = e.start + e.len;
	for (i = 1; i < nr && r.end < g->v->chunk_size; i++) {
		uint64_t start = (uint64_t)pieces[i].off - g->base; /* very large where it is before the chunk */

		if (start >= g->v->chunk_size || !pieces[i].len)
			break;
		if (start != r.end) {
			if (!is_known(g, &r))
				end_run(g, &r);
			r.start = (uint32_t)start;
		}
		r.end = pieces[i].len > g->v->chunk_size - start ? (uint32_t)g->v->chunk_size : (uint32_t)(start + pieces[i].len);
		if (r.end > g->end)
			g->end = r.end;
	}
	end_run(g, &r);
	for (int w = 0; w < PMIO_MASK_WORDS; w++)
		g->partial.w[w] = g->touched.w[w] & ~r.whole.w[w];
	return g->nr = i;
}

/*
 * The size is raised before blocks become dirty, or bytes reach the PFS: a drain
 * that finds them must find a size that includes them.
 */
static void raise_size(struct group *g, uint32_t end)
{
	g->raised |= pmio_pm_max64(g->v->pm, &client_slot(g->f)->size, g->base + end);
}

static void copy_in(struct group *g, size_t first, size_t nr)
{
	uint8_t *frame = pmio_view_frame(g->v, (uint64_t)g->frame);
	struct pmio_pm_stores s;

	pmio_pm_stores_begin(&s, g->v->pm);
	for (size_t i = first; i < first + nr; i++) {
		struct extent e = extent_of(g, i);

		pmio_pm_store(&s, frame + e.start, e.buf, e.len);
	}
	pmio_pm_stores_end(&s);
}

/*
 * The steps of a write as in frame.h, except the last fence, of nr pieces of the group; end: byte in the chunk;
 * touched: their blocks
 */
static int store(struct group *g, size_t first, size_t nr, uint32_t end, const struct pmio_mask *touched)
{
	int rc;

	for (int tries = 0; pmio_frame_write_begin(g->v, (uint64_t)g->frame, touched) == -EAGAIN; tries++) {
		if (g->at_once) {
			pmio_frame_write_abort(g->v, (uint64_t)g->frame, touched);
			return -EAGAIN;
		}
		rc = io_fill(g->f, g->chunk, g->frame, touched, NULL);
		if (!client_is_agent(g->f, g->epoch)) /* then everything is redone */
			rc = PMIO_EAGENT;
		/* read errors of the fill do not matter: these blocks are overwritten as a whole */
		if (rc < 0 && (rc == PMIO_EAGENT || g->f->broken || tries == FILL_TRIES)) {
			pmio_frame_write_abort(g->v, (uint64_t)g->frame, touched);
			return rc;
		}
	}
	copy_in(g, first, nr);
	raise_size(g, end);
	pmio_pm_fence(g->v->pm);
	pmio_frame_write_end(g->v, (uint64_t)g->frame, touched);
	return 0;
}

/* ---- blocks that are not valid yet ---------------------------------------------------------------- */

/* pieces without a gap, bytes start to end of the chunk, with whole blocks: record that first, in case this process dies */
static int store_fresh(struct group *g, size_t first_piece, size_t nr, uint32_t start, uint32_t end)
{
	struct pmio *pm = g->f->pm;
	struct pmio_client_df *record = client_record(pm);
	uint64_t *intent = &record->intent;
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
	rc = store(g, first_piece, nr, end, &m);
	/* another agent may have given this record to another process, whose writes it then describes */
	if (client_record(pm) == record)
		pmio_pm_store64(g->v->pm, intent, 0);
	pthread_mutex_unlock(&pm->intent_lock);
	return rc;
}

static int store_runs(struct group *g)
{
	int rc = 0;

	for (size_t i = 0, n; i < g->nr && rc == 0; i += n) {
		struct extent e = extent_of(g, i);
		uint32_t start = e.start, end = e.start + e.len;

		for (n = 1; i + n < g->nr; n++) {
			e = extent_of(g, i + n);
			if (e.start != end)
				break;
			end += e.len;
		}
		rc = store_fresh(g, i, n, start, end);
	}
	return rc;
}

/* ---- a group ---------------------------------------------------------------------------------------- */

static int write_to_pfs(struct group *g)
{
	int rc = 0;

	raise_size(g, g->end);
	for (size_t i = 0; i < g->nr && rc == 0; i++) {
		struct extent e = extent_of(g, i);

		rc = client_pfs_write(g->f, e.buf, e.len, g->base + e.start);
		if (rc == 0)
			io_count(g->f, pfs_written, e.len);
	}
	return rc;
}

/* last chunk of the request, as far as it is known */
static uint64_t last_chunk(const struct group *g)
{
	uint64_t last = g->chunk + g->needed - 1, expected = g->f->expect_chunk;

	return expected > last ? expected : last;
}

/* are the bits of these blocks set and durable? */
static bool is_durable(const struct client_known *known, uint64_t word, const struct pmio_mask *blocks)
{
	uint64_t missing = known->word ^ word;

	for (int i = 0; i < PMIO_MASK_WORDS; i++)
		missing |= blocks->w[i] & ~known->blocks.w[i];
	return missing == 0;
}

/* the pages that this group, or the next ones of a sequential writer, will touch; bytes: of the first piece */
static void map_pages(struct group *g, uint32_t bytes)
{
	uint32_t start = g->end - bytes, window = client_window(g->v);

	if (g->nr > 1 || bytes >= POPULATE_MIN)
		client_populate(g->f, g->chunk, g->frame, last_chunk(g));
	else if (g->base + start == atomic_load_explicit(&g->f->next_write, memory_order_relaxed) && g->end < g->v->chunk_size &&
		 (start % window == 0 || start / window != g->end / window))
		client_populate_window(g->f, g->chunk, g->frame, g->end);
}

static int write_group(struct group *g)
{
	uint32_t how = PMIO_CLAIM_WRITE, bytes = extent_of(g, 0).len;
	int rc;

	/* the partial blocks of a single long piece are filled when it reaches them: the rest needs no zeros */
	if ((g->nr > 1 || g->needed == 1) && !pmio_mask_empty(&g->partial))
		how |= PMIO_CLAIM_ZERO;
	if (bytes >= LONG_PIECE && pmio_mask_empty(&g->partial))
		how |= PMIO_CLAIM_WHOLE;
	rc = g->at_once ? io_get_frame_at_once(g->f, g->chunk, &g->frame, &g->known)
			: io_get_frame(g->f, g->chunk, g->needed, how, &g->frame, &g->known);
	if (rc < 0)
		return rc;
	if (g->frame == PMIO_CLAIM_PFS)
		return write_to_pfs(g);
	g->word = pmio_frame_cleared(g->v, (uint64_t)g->frame);
	if (is_durable(&g->known, g->word, &g->touched)) {
		copy_in(g, 0, g->nr);
		raise_size(g, g->end);
		g->then = COMPARE;
		return 0;
	}
	if (!g->at_once)
		map_pages(g, bytes);
	if (!pmio_mask_empty(&g->partial) && !pmio_frame_valid(g->v, (uint64_t)g->frame, &g->partial)) {
		rc = g->at_once ? -EAGAIN : io_fill(g->f, g->chunk, g->frame, &g->partial, &g->partial);
		if (rc < 0)
			return rc;
	}
	rc = pmio_frame_valid(g->v, (uint64_t)g->frame, &g->touched) ? store(g, 0, g->nr, g->end, &g->touched) : store_runs(g);
	g->then = REMEMBER;
	return rc;
}

/* after the fence of a group whose bytes are stored; true: its bits had to be set again, and another fence is needed */
static bool end_group(struct group *g)
{
	bool same = g->then != DONE && pmio_frame_cleared(g->v, (uint64_t)g->frame) == g->word, again = g->then == COMPARE && !same;

	if (again)
		pmio_frame_write_end(g->v, (uint64_t)g->frame, &g->touched);
	if (g->then == REMEMBER && same)
		client_remember(g->f, g->chunk, g->frame, &(struct client_known){ g->word, g->touched });
	g->then = DONE;
	return again;
}

/* the same before the next group, which has a fence of its own for what this one still needs */
static void end_inner_group(struct group *g)
{
	if (g->then == COMPARE) {
		pmio_pm_fence(g->v->pm);
		end_group(g);
	}
	g->then = DONE;
}

/* ---- requests --------------------------------------------------------------------------------------- */

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
	pmio_pm_fence(pm); /* the whole request is durable from here on */
	if (must)
		atomic_store_explicit(&f->size_flushed, size, memory_order_release);
}

/* the pieces up to the end of the request, or to an empty one; *done: how many; *end: the last byte's offset, plus one */
static int write_groups(struct group *g, const struct pmio_piece *pieces, size_t nr, size_t *done, uint64_t *end)
{
	uint64_t at = (uint64_t)pieces->off;
	int rc = 0;

	for (*done = 0; rc == 0 && *done < nr && pieces[*done].len;) {
		const struct pmio_piece *p = &pieces[*done], *last;

		g->chunk = at >> g->v->chunk_shift;
		g->base = g->chunk << g->v->chunk_shift;
		g->needed = (((uint64_t)p->off + p->len - 1) >> g->v->chunk_shift) - g->chunk + 1;
		end_inner_group(g);
		*done += take_pieces(g, p, nr - *done);
		rc = write_group(g);
		if (g->base + g->end > *end)
			*end = g->base + g->end;
		last = &pieces[*done - 1];
		at = g->base + g->v->chunk_size;
		if ((uint64_t)last->off + last->len > at)
			(*done)--; /* the next group begins with the rest of it */
		else if (*done < nr)
			at = (uint64_t)pieces[*done].off;
	}
	return rc;
}

/* epoch: from client_begin_try() */
static int write_pieces(struct pmio_file *f, uint64_t epoch, const struct pmio_piece *pieces, size_t nr,
			bool at_once, bool *raised)
{
	struct group g = { .f = f, .v = f->pm->view, .epoch = epoch, .at_once = at_once, .then = DONE };
	struct pmio_slot_df *slot = client_slot(f);
	uint64_t end = 0;
	size_t done;
	int rc = 0;

	for (size_t i = 0; i < nr && rc == 0; i += done + 1) /* an empty piece, if there is one, is left out */
		rc = write_groups(&g, &pieces[i], nr - i, &done, &end);
	*raised |= g.raised;
	if (rc < 0)
		return rc;
	g.raised |= pmio_pm_max64(g.v->pm, &slot->size, end);
	*raised |= g.raised;
	flush_size(f, slot, end, g.raised);
	if (end_group(&g))
		pmio_pm_fence(g.v->pm);
	atomic_store_explicit(&f->next_write, end, memory_order_relaxed);
	return 0;
}

ssize_t client_writex(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr, bool *raised)
{
	ssize_t sum = io_check_pieces(pieces, nr);
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
		return io_never_done(f, "write");
	if (rc < 0) {
		pmio_err("write %s: %s", f->path, pmio_strerror(rc));
		return rc;
	}
	io_count(f, written, (uint64_t)sum);
	return sum;
}

ssize_t client_writex_at_once(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr, bool *raised)
{
	ssize_t sum = io_check_pieces(pieces, nr);
	uint64_t epoch;
	int rc;

	if (sum <= 0 || !io_is_ready(f, PMIO_OPEN_WRITE, &epoch))
		return -EAGAIN;
	rc = write_pieces(f, epoch, pieces, nr, true, raised);
	if (rc < 0 || !client_is_agent(f, epoch))
		return -EAGAIN;
	io_count(f, written, (uint64_t)sum);
	return sum;
}

ssize_t pmio_writex(struct pmio_file *f, const struct pmio_piece *pieces, size_t nr)
{
	bool raised = false;
	ssize_t n = client_writex(f, pieces, nr, &raised);
	int rc = n >= 0 && f->syncs ? pmio_sync(f) : 0;

	return rc < 0 ? rc : n;
}

bool client_grow_at_once(struct pmio_file *f, uint64_t *size, uint64_t growers)
{
	struct pmio_slot_df *slot;
	struct pmio_view *v;
	uint64_t epoch;

	if (!io_is_ready(f, PMIO_OPEN_WRITE, &epoch))
		return false;
	v = f->pm->view;
	slot = client_slot(f);
	if (growers)
		pmio_pm_or64(v->pm, &slot->growers, growers);
	pmio_pm_max64(v->pm, &slot->size, *size);
	pmio_pm_flush(v->pm, slot, sizeof(*slot));
	pmio_pm_fence(v->pm);
	if (!client_is_agent(f, epoch))
		return false;
	*size = pmio_pm_load64(&slot->size);
	return true;
}

int client_grow(struct pmio_file *f, uint64_t *size, uint64_t growers)
{
	uint64_t epoch;
	int rc;

	if (f->ops)
		return f->ops->grow ? f->ops->grow(f, size, growers) : -EOPNOTSUPP;
	if (!(f->flags & PMIO_OPEN_WRITE))
		return -EBADF;
	for (int tries = 0; tries < REDO_MAX; tries++) {
		if (client_grow_at_once(f, size, growers))
			return 0;
		rc = client_begin_try(f, &epoch);
		if (rc == 0)
			rc = f->broken;
		if (rc < 0)
			return rc;
	}
	return (int)io_never_done(f, "grow");
}

ssize_t pmio_pwrite(struct pmio_file *f, const void *buf, size_t len, off_t off)
{
	struct pmio_piece p = { off, (void *)(uintptr_t)buf, len };

	return pmio_writex(f, &p, 1);
}
