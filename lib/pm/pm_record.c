/*
 * pm_record.c -- persistent memory that records its operations, for the tests
 *
 * The bytes live in ordinary memory.  Every store is split into aligned 8-byte words,
 * the unit that becomes durable atomically, and kept in a log with the flushes and
 * fences between them.  pmio_pm_record_images() replays the log: a word is pending from
 * its store to the first fence of a thread that has flushed its line; a power cut keeps
 * any prefix of each line's pending words.
 *
 * Threads: one, which may play several (pmio_pm_record_thread).
 */
#include "pm/pm_ops.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define WORD sizeof(uint64_t)
#define LINE_WORDS (PMIO_PM_LINE / WORD)
#define PAGE 4096u /* bytes; the unit in which stores are tracked */

enum record_kind { OP_STORE, OP_FLUSH, OP_FENCE, OP_MARK };

struct op {
	enum record_kind kind;
	unsigned thread;
	size_t word;	/* first word, for store and flush */
	size_t nr;	/* words */
	uint64_t *data; /* owned; what was stored */
};

struct record_pm {
	struct pmio_pm pm;
	uint8_t *start; /* the bytes when recording began: all durable */
	bool *touched;	/* by page: the others are zeros, here and in start */
	struct op *ops;
	size_t nr_ops, room;
	unsigned refs;
	unsigned thread; /* the acting thread */
	bool paused;
	void (*watch)(void *arg); /* NULL: none */
	void *watch_arg;
	size_t left_out; /* operations before the first that was left out; SIZE_MAX: none */
};

static struct record_pm *self(struct pmio_pm *pm)
{
	return (struct record_pm *)pm;
}

/* ---- what is left out ------------------------------------------------------- */

/* from the linker; weak, since a program may have none */
extern struct pmio_pm_site *const __start_pmio_pm_site_list[] __attribute__((weak));
extern struct pmio_pm_site *const __stop_pmio_pm_site_list[] __attribute__((weak));

static const struct pmio_pm_site *mutant; /* NULL: none */
static unsigned mutant_does_not;
static unsigned leaving_out; /* PMIO_PM_FLUSHES, PMIO_PM_FENCES: within the mutant's call */

struct pmio_pm_site *const *pmio_pm_sites(size_t *nr)
{
	*nr = (size_t)(__stop_pmio_pm_site_list - __start_pmio_pm_site_list);
	return __start_pmio_pm_site_list;
}

void pmio_pm_leave_out(const struct pmio_pm_site *site, unsigned what)
{
	mutant = site;
	mutant_does_not = what;
	leaving_out = 0;
}

struct pmio_pm_site *pmio_pm_site_enter(struct pmio_pm_site *site)
{
	site->calls++;
	if (site == mutant)
		leaving_out = mutant_does_not;
	return site;
}

void pmio_pm_site_leave(struct pmio_pm_site **site)
{
	if (*site == mutant)
		leaving_out = 0;
}

/* ---- recording -------------------------------------------------------------- */

static bool is_left_out(struct record_pm *r, enum record_kind kind)
{
	unsigned does = kind == OP_FLUSH ? PMIO_PM_FLUSHES : kind == OP_FENCE ? PMIO_PM_FENCES : 0;

	if (!(leaving_out & does))
		return false;
	if (r->left_out == SIZE_MAX)
		r->left_out = r->nr_ops;
	return true;
}

static void add_op(struct record_pm *r, enum record_kind kind, size_t word, size_t nr)
{
	struct op *op;

	if (r->paused || is_left_out(r, kind))
		return;
	if (r->nr_ops == r->room) {
		r->room = r->room ? 2 * r->room : 64;
		r->ops = realloc(r->ops, r->room * sizeof(*r->ops));
		assert(r->ops); /* without memory a test has no result */
	}
	op = &r->ops[r->nr_ops++];
	*op = (struct op){.kind = kind, .thread = r->thread, .word = word, .nr = nr};
	if (kind == OP_STORE) {
		op->data = malloc(nr * WORD);
		assert(op->data);
		memcpy(op->data, r->pm.base + word * WORD, nr * WORD);
	}
	if (r->watch)
		r->watch(r->watch_arg);
}

static size_t nr_pages(size_t size)
{
	return (size + PAGE - 1) / PAGE;
}

/* copy the pages of r that were ever stored to */
static void copy_touched(const struct record_pm *r, uint8_t *dst, const uint8_t *src)
{
	for (size_t i = 0; i < nr_pages(r->pm.size); i++) {
		size_t off = i * PAGE, left = r->pm.size - off;

		if (r->touched[i])
			memcpy(dst + off, src + off, left < PAGE ? left : PAGE);
	}
}

/* the words that [addr, addr+len) touches */
static void add_range(struct record_pm *r, enum record_kind kind, const void *addr, size_t len)
{
	size_t off = (size_t)((const uint8_t *)addr - r->pm.base);
	size_t first = off / WORD, end = (off + len + WORD - 1) / WORD;

	if (kind == OP_STORE)
		memset(r->touched + off / PAGE, true, (off + len - 1) / PAGE - off / PAGE + 1);
	add_op(r, kind, first, end - first);
}

static void record_stored(struct pmio_pm *pm, const void *addr, size_t len)
{
	add_range(self(pm), OP_STORE, addr, len);
}

static void record_flush(struct pmio_pm *pm, const void *addr, size_t len)
{
	add_range(self(pm), OP_FLUSH, addr, len);
}

static void record_fence(struct pmio_pm *pm)
{
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
	r->left_out = SIZE_MAX;
}

static void record_unmap(struct pmio_pm *pm)
{
	struct record_pm *r = self(pm);

	if (--r->refs > 0)
		return;
	forget(r);
	free(r->ops);
	munmap(pm->base, pm->size);
	munmap(r->start, pm->size);
	free(r->touched);
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
	r->refs = 1;
	r->left_out = SIZE_MAX;
	r->pm.base = zero_pages(size);
	r->start = zero_pages(size);
	r->touched = calloc(nr_pages(size), sizeof(*r->touched));
	if (r->pm.base && r->start && r->touched)
		return &r->pm;
	if (r->pm.base)
		munmap(r->pm.base, size);
	if (r->start)
		munmap(r->start, size);
	free(r->touched);
	free(r);
	return NULL;
}

/* make r's bytes this image, in which unmarked pages are zeros */
static void take_image(struct record_pm *r, const uint8_t *image)
{
	copy_touched(r, r->pm.base, image);
	copy_touched(r, r->start, image);
}

struct pmio_pm *pmio_pm_record_from(const void *image, size_t size)
{
	struct pmio_pm *pm = pmio_pm_record_new(size);

	if (pm) {
		memset(self(pm)->touched, true, nr_pages(size));
		take_image(self(pm), image);
	}
	return pm;
}

struct pmio_pm *pmio_pm_record_like(const struct pmio_pm *of, const void *image)
{
	struct pmio_pm *pm = pmio_pm_record_new(of->size);

	if (pm) {
		memcpy(self(pm)->touched, ((const struct record_pm *)of)->touched,
		       nr_pages(of->size));
		take_image(self(pm), image);
	}
	return pm;
}

struct pmio_pm *pmio_pm_record_get(struct pmio_pm *pm)
{
	self(pm)->refs++;
	return pm;
}

void pmio_pm_record_reset(struct pmio_pm *pm)
{
	forget(self(pm));
	copy_touched(self(pm), self(pm)->start, pm->base);
}

void pmio_pm_record_pause(struct pmio_pm *pm, bool pause)
{
	self(pm)->paused = pause;
}

size_t pmio_pm_record_count(const struct pmio_pm *pm)
{
	return ((const struct record_pm *)pm)->nr_ops;
}

void pmio_pm_record_thread(struct pmio_pm *pm, unsigned thread)
{
	assert(thread < 32);
	self(pm)->thread = thread;
}

void pmio_pm_record_mark(struct pmio_pm *pm)
{
	add_op(self(pm), OP_MARK, 0, 0);
}

void pmio_pm_record_watch(struct pmio_pm *pm, void (*fn)(void *arg), void *arg)
{
	self(pm)->watch = fn;
	self(pm)->watch_arg = arg;
}

/* ---- images ------------------------------------------------------------------ */

struct pending_word {
	size_t word;
	uint64_t value;
	uint32_t flushed; /* by these threads: a bit per thread; their next fence makes it durable */
};

/* a cache line with pending words, and how many of them one image keeps */
struct dirty_line {
	size_t line;
	size_t nr, keep, left;
};

struct replay {
	uint8_t *durable; /* the bytes that are certainly there */
	uint8_t *image;   /* the same, plus the words that this image keeps */
	size_t size;
	struct pending_word *pending; /* in the order of their stores */
	size_t nr_pending, room;
	struct dirty_line *lines;
	size_t nr_lines;
	uint32_t *line_at; /* by line of the mapping: its place in lines, plus one, or 0 */
	uint64_t random;
};

static int add_pending(struct replay *rp, const struct op *op)
{
	while (rp->nr_pending + op->nr > rp->room) {
		size_t room = rp->room ? 2 * rp->room : 256;
		struct pending_word *p = realloc(rp->pending, room * sizeof(*p));
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
			(struct pending_word){.word = op->word + i, .value = op->data[i]};
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
			rp->pending[i].flushed |= 1u << op->thread;
	}
}

static void fence_pending(struct replay *rp, const struct op *op)
{
	size_t kept = 0;

	for (size_t i = 0; i < rp->nr_pending; i++) {
		struct pending_word *p = &rp->pending[i];

		if (!(p->flushed & 1u << op->thread)) {
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
	return &rp->lines[rp->line_at[word / LINE_WORDS] - 1];
}

static void find_lines(struct replay *rp)
{
	for (size_t i = 0; i < rp->nr_lines; i++)
		rp->line_at[rp->lines[i].line] = 0;
	rp->nr_lines = 0;
	for (size_t i = 0; i < rp->nr_pending; i++) {
		size_t line = rp->pending[i].word / LINE_WORDS;

		if (!rp->line_at[line]) {
			rp->lines[rp->nr_lines] = (struct dirty_line){.line = line};
			rp->line_at[line] = (uint32_t)++rp->nr_lines;
		}
		rp->lines[rp->line_at[line] - 1].nr++;
	}
}

/* the number of images, or any number above limit */
static size_t count_images(struct replay *rp, size_t limit)
{
	size_t n = 1;

	find_lines(rp);
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

	for (size_t i = 0; i < rp->nr_lines; i++)
		rp->lines[i].left = rp->lines[i].keep;
	for (size_t i = 0; i < rp->nr_pending; i++) {
		struct dirty_line *l = line_of(rp, rp->pending[i].word);

		if (l->left > 0) {
			l->left--;
			put_word(rp->image, rp->pending[i].word, rp->pending[i].value);
		}
	}
	rc = fn(rp->image, rp->size, cut, arg);
	for (size_t i = 0; i < rp->nr_pending; i++) {
		size_t off = rp->pending[i].word * WORD;

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
	/* before the first call that is left out the images would be the same */
	size_t first = mutant ? r->left_out : 0;
	int rc = 0;

	for (size_t i = 0; i < r->nr_ops && rc == 0; i++) {
		const struct op *op = &r->ops[i];

		if (op->kind == OP_STORE)
			rc = add_pending(rp, op);
		else if (op->kind == OP_FLUSH)
			flush_pending(rp, op);
		else if (op->kind == OP_FENCE)
			fence_pending(rp, op);
		if (rc == 0 && op->kind != OP_FLUSH && i >= first)
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
	rp.line_at = calloc(pm->size / PMIO_PM_LINE, sizeof(*rp.line_at));
	if (rp.durable && rp.image && rp.line_at) {
		copy_touched(r, rp.durable, r->start);
		copy_touched(r, rp.image, r->start);
		rc = replay(&rp, r, limit, fn, arg);
	}
	if (rp.durable)
		munmap(rp.durable, pm->size);
	if (rp.image)
		munmap(rp.image, pm->size);
	free(rp.pending);
	free(rp.lines);
	free(rp.line_at);
	return rc;
}
