/*
 * pm_record.c -- persistent memory that remembers, for the tests
 *
 * The bytes live in ordinary memory.  Every store is cut into aligned 8-byte
 * words, the unit that becomes durable whole, and kept in a log with the flushes
 * and fences between them.  pmio_pm_record_images() plays the log back: a word is
 * pending from its store to the first fence after a flush of its line; a power
 * cut keeps, of each line's pending words, any first few.
 *
 * Threads: one.
 */
#include "pm/pm_ops.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define WORD sizeof(uint64_t)
#define LINE_WORDS (PMIO_PM_LINE / WORD)

enum op_kind { OP_STORE, OP_FLUSH, OP_FENCE };

struct op {
	enum op_kind kind;
	size_t word;	/* first word, for store and flush */
	size_t nr;	/* words */
	uint64_t *data; /* owned; what was stored */
};

struct record_pm {
	struct pmio_pm pm;
	uint8_t *start; /* the bytes when recording began: all durable */
	struct op *ops;
	size_t nr_ops, room;
	long nr_fences, nr_flushes;  /* asked for */
	long drop_fence, drop_flush; /* how many to go before one is dropped; -1: none */
};

static struct record_pm *self(struct pmio_pm *pm)
{
	return (struct record_pm *)pm;
}

/* ---- recording -------------------------------------------------------------- */

static void add_op(struct record_pm *r, enum op_kind kind, size_t word, size_t nr)
{
	struct op *op;

	if (r->nr_ops == r->room) {
		r->room = r->room ? 2 * r->room : 64;
		r->ops = realloc(r->ops, r->room * sizeof(*r->ops));
		assert(r->ops); /* a test that has no memory can tell nothing */
	}
	op = &r->ops[r->nr_ops++];
	*op = (struct op){.kind = kind, .word = word, .nr = nr};
	if (kind != OP_STORE)
		return;
	op->data = malloc(nr * WORD);
	assert(op->data);
	memcpy(op->data, r->pm.base + word * WORD, nr * WORD);
}

/* the words that [addr, addr+len) touches */
static void add_range(struct record_pm *r, enum op_kind kind, const void *addr, size_t len)
{
	size_t off = (size_t)((const uint8_t *)addr - r->pm.base);
	size_t first = off / WORD, end = (off + len + WORD - 1) / WORD;

	add_op(r, kind, first, end - first);
}

static void record_stored(struct pmio_pm *pm, const void *addr, size_t len)
{
	add_range(self(pm), OP_STORE, addr, len);
}

/* true: this one is to be forgotten */
static bool dropped(long *countdown)
{
	return *countdown >= 0 && (*countdown)-- == 0;
}

static void record_flush(struct pmio_pm *pm, const void *addr, size_t len)
{
	self(pm)->nr_flushes++;
	if (!dropped(&self(pm)->drop_flush))
		add_range(self(pm), OP_FLUSH, addr, len);
}

static void record_fence(struct pmio_pm *pm)
{
	self(pm)->nr_fences++;
	if (!dropped(&self(pm)->drop_fence))
		add_op(self(pm), OP_FENCE, 0, 0);
}

static void record_copy(struct pmio_pm *pm, void *dst, const void *src, size_t len)
{
	memmove(dst, src, len);
	add_range(self(pm), OP_STORE, dst, len);
	add_range(self(pm), OP_FLUSH, dst, len);
}

static void record_zero(struct pmio_pm *pm, void *dst, size_t len)
{
	memset(dst, 0, len);
	add_range(self(pm), OP_STORE, dst, len);
	add_range(self(pm), OP_FLUSH, dst, len);
}

static int record_sync(struct pmio_pm *pm, const void *addr, size_t len)
{
	record_flush(pm, addr, len);
	record_fence(pm);
	return 0;
}

static void record_read(struct pmio_pm *pm, void *dst, const void *src, size_t len)
{
	(void)pm;
	memcpy(dst, src, len);
}

static void record_populate(struct pmio_pm *pm, void *addr, size_t len)
{
	(void)pm, (void)addr, (void)len;
}

static void forget(struct record_pm *r)
{
	for (size_t i = 0; i < r->nr_ops; i++)
		free(r->ops[i].data);
	r->nr_ops = 0;
}

static void record_unmap(struct pmio_pm *pm)
{
	struct record_pm *r = self(pm);

	forget(r);
	free(r->ops);
	munmap(pm->base, pm->size);
	munmap(r->start, pm->size);
	free(r);
}

static const struct pmio_pm_ops record_ops = {
	.unmap = record_unmap,
	.copy = record_copy,
	.zero = record_zero,
	.flush = record_flush,
	.fence = record_fence,
	.sync = record_sync,
	.read = record_read,
	.populate = record_populate,
	.stored = record_stored,
};

static uint8_t *zero_pages(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

struct pmio_pm *pmio_pm_record_new(size_t size)
{
	struct record_pm *r = calloc(1, sizeof(*r));

	assert(size > 0 && size % PMIO_PM_LINE == 0);
	if (!r)
		return NULL;
	r->pm.ops = &record_ops;
	r->pm.size = size;
	r->pm.granularity = PMIO_PM_CACHE_LINE;
	r->drop_fence = r->drop_flush = -1;
	r->pm.base = zero_pages(size);
	r->start = zero_pages(size);
	if (r->pm.base && r->start)
		return &r->pm;
	if (r->pm.base)
		munmap(r->pm.base, size);
	if (r->start)
		munmap(r->start, size);
	free(r);
	return NULL;
}

/* most of an image is zeros, which new pages are already */
static void copy_sparse(uint8_t *dst, const uint8_t *src, size_t size)
{
	static const uint8_t zeros[4096];

	for (size_t off = 0; off < size; off += sizeof(zeros)) {
		size_t len = size - off < sizeof(zeros) ? size - off : sizeof(zeros);

		if (memcmp(src + off, zeros, len) != 0)
			memcpy(dst + off, src + off, len);
	}
}

struct pmio_pm *pmio_pm_record_from(const void *image, size_t size)
{
	struct pmio_pm *pm = pmio_pm_record_new(size);

	if (pm) {
		copy_sparse(pm->base, image, size);
		copy_sparse(self(pm)->start, image, size);
	}
	return pm;
}

void pmio_pm_record_reset(struct pmio_pm *pm)
{
	forget(self(pm));
	memcpy(self(pm)->start, pm->base, pm->size);
}

size_t pmio_pm_record_count(const struct pmio_pm *pm)
{
	return ((const struct record_pm *)pm)->nr_ops;
}

void pmio_pm_record_drop(struct pmio_pm *pm, long fence, long flush)
{
	self(pm)->drop_fence = fence;
	self(pm)->drop_flush = flush;
}

void pmio_pm_record_calls(const struct pmio_pm *pm, long *fences, long *flushes)
{
	*fences = ((const struct record_pm *)pm)->nr_fences;
	*flushes = ((const struct record_pm *)pm)->nr_flushes;
}

/* ---- images ------------------------------------------------------------------ */

struct pending {
	size_t word;
	uint64_t value;
	bool flushed; /* the next fence makes it durable */
};

/* a cache line with pending words, and how many of them one image keeps */
struct dirty_line {
	size_t line;
	size_t nr, keep;
};

struct replay {
	uint8_t *durable; /* what is there for sure */
	uint8_t *image;   /* the same, and in it the words that this image keeps */
	size_t size;
	struct pending *pending; /* in the order of their stores */
	size_t nr_pending, room;
	struct dirty_line *lines;
	size_t nr_lines;
	uint64_t random;
};

static int add_pending(struct replay *rp, const struct op *op)
{
	while (rp->nr_pending + op->nr > rp->room) {
		size_t room = rp->room ? 2 * rp->room : 256;
		struct pending *p = realloc(rp->pending, room * sizeof(*p));
		struct dirty_line *l;

		if (!p)
			return -ENOMEM;
		rp->pending = p;
		l = realloc(rp->lines, room * sizeof(*l)); /* never more lines than words */
		if (!l)
			return -ENOMEM;
		rp->lines = l;
		rp->room = room;
	}
	for (size_t i = 0; i < op->nr; i++)
		rp->pending[rp->nr_pending++] =
			(struct pending){.word = op->word + i, .value = op->data[i]};
	return 0;
}

static void put_word(uint8_t *bytes, size_t word, uint64_t value)
{
	memcpy(bytes + word * WORD, &value, WORD);
}

static void flush_pending(struct replay *rp, const struct op *op)
{
	size_t first = op->word / LINE_WORDS, last = (op->word + op->nr - 1) / LINE_WORDS;

	for (size_t i = 0; i < rp->nr_pending; i++) {
		size_t line = rp->pending[i].word / LINE_WORDS;

		if (line >= first && line <= last)
			rp->pending[i].flushed = true;
	}
}

static void fence_pending(struct replay *rp)
{
	size_t kept = 0;

	for (size_t i = 0; i < rp->nr_pending; i++) {
		struct pending *p = &rp->pending[i];

		if (!p->flushed) {
			rp->pending[kept++] = *p;
			continue;
		}
		put_word(rp->durable, p->word, p->value);
		put_word(rp->image, p->word, p->value);
	}
	rp->nr_pending = kept;
}

static struct dirty_line *line_of(struct replay *rp, size_t word)
{
	for (size_t i = 0; i < rp->nr_lines; i++)
		if (rp->lines[i].line == word / LINE_WORDS)
			return &rp->lines[i];
	rp->lines[rp->nr_lines] = (struct dirty_line){.line = word / LINE_WORDS};
	return &rp->lines[rp->nr_lines++];
}

/* how many images there are, or something above limit */
static size_t count_images(struct replay *rp, size_t limit)
{
	size_t n = 1;

	rp->nr_lines = 0;
	for (size_t i = 0; i < rp->nr_pending; i++)
		line_of(rp, rp->pending[i].word)->nr++;
	for (size_t i = 0; i < rp->nr_lines && n <= limit; i++)
		n *= rp->lines[i].nr + 1;
	return n;
}

static void keep_all(struct replay *rp)
{
	for (size_t i = 0; i < rp->nr_lines; i++)
		rp->lines[i].keep = rp->lines[i].nr;
}

static void keep_next(struct replay *rp)
{
	for (size_t i = 0; i < rp->nr_lines; i++) {
		if (rp->lines[i].keep++ < rp->lines[i].nr)
			return;
		rp->lines[i].keep = 0;
	}
}

static void keep_random(struct replay *rp)
{
	for (size_t i = 0; i < rp->nr_lines; i++) {
		/* xorshift64 */
		rp->random ^= rp->random << 13;
		rp->random ^= rp->random >> 7;
		rp->random ^= rp->random << 17;
		rp->lines[i].keep = rp->random % (rp->lines[i].nr + 1);
	}
}

typedef int image_fn(const void *image, size_t size, size_t cut, void *arg);

static int show_image(struct replay *rp, size_t cut, image_fn *fn, void *arg)
{
	int rc;

	/* later words of a line after earlier ones, so counting down keep is a prefix */
	for (size_t i = 0; i < rp->nr_lines; i++) {
		size_t left = rp->lines[i].keep;

		for (size_t j = 0; j < rp->nr_pending && left > 0; j++)
			if (rp->pending[j].word / LINE_WORDS == rp->lines[i].line) {
				put_word(rp->image, rp->pending[j].word, rp->pending[j].value);
				left--;
			}
	}
	rc = fn(rp->image, rp->size, cut, arg);
	for (size_t j = 0; j < rp->nr_pending; j++) {
		size_t off = rp->pending[j].word * WORD;

		memcpy(rp->image + off, rp->durable + off, WORD);
	}
	return rc;
}

static int show_images(struct replay *rp, size_t cut, size_t limit, image_fn *fn, void *arg)
{
	size_t n = count_images(rp, limit);
	int rc = 0;

	for (size_t i = 0; i < n && i < limit && rc == 0; i++) {
		rc = show_image(rp, cut, fn, arg);
		if (n <= limit)
			keep_next(rp);
		else if (i == 0)
			keep_all(rp);
		else
			keep_random(rp);
	}
	return rc;
}

static int replay(struct replay *rp, const struct record_pm *r, size_t limit, image_fn *fn,
		  void *arg)
{
	int rc = 0;

	for (size_t i = 0; i < r->nr_ops && rc == 0; i++) {
		const struct op *op = &r->ops[i];

		if (op->kind == OP_STORE)
			rc = add_pending(rp, op);
		else if (op->kind == OP_FLUSH)
			flush_pending(rp, op);
		else
			fence_pending(rp);
		if (rc == 0)
			rc = show_images(rp, i + 1, limit, fn, arg);
	}
	return rc;
}

int pmio_pm_record_images(const struct pmio_pm *pm, size_t limit, uint64_t seed, image_fn *fn,
			  void *arg)
{
	const struct record_pm *r = (const struct record_pm *)pm;
	struct replay rp = {.size = pm->size, .random = seed ? seed : 1};
	int rc = -ENOMEM;

	assert(limit >= 2);
	rp.durable = zero_pages(pm->size);
	rp.image = zero_pages(pm->size);
	if (rp.durable && rp.image) {
		copy_sparse(rp.durable, r->start, pm->size);
		copy_sparse(rp.image, r->start, pm->size);
		rc = replay(&rp, r, limit, fn, arg);
	}
	if (rp.durable)
		munmap(rp.durable, pm->size);
	if (rp.image)
		munmap(rp.image, pm->size);
	free(rp.pending);
	free(rp.lines);
	return rc;
}
