#include "pool/recovery.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "pmio.h"
#include "pool/catalog_copy.h"
#include "pool/packed.h"
#include "pool/pool_dir.h"

#define PAGE 4096	     /* bytes of headers and slots that are lost if one place is unreadable */
#define PIECE (1u << 20)     /* bytes copied at once */
#define LAYOUT_FIELDS_MIN 5 /* this number of fields of a damaged superblock must fit the rest of the pool */

/* a frame that belongs to a file; or, of a packed file, the unit of one */
struct held {
	uint64_t chunk, frame;
	uint32_t slot;
	bool packed;
};

/* there is one for each slot, so it does not have a buffer for the longest path */
struct known_file {
	char *path;		/* owned; NULL: neither this nor the following is in the catalog */
	uint32_t state, flags, mode;
	int32_t error;
	uint64_t ino, pfs_size;
	int64_t mtime_s, mtime_ns;
	bool listed;		/* the catalog or dirty frames have it */
	bool size_known, doubtful;
	bool packed;
	uint64_t generation;	/* of its frames; 0: not known */
	uint64_t size;
	size_t first, nr;	/* in held */
};

struct pmio_recovery {
	char *dir; /* owned */
	int dir_fd, lock_fd, fd;
	uint64_t file_size;
	struct pmio_super_df super;
	struct pmio_catalog_copy catalog;
	uint8_t *slots;	  /* owned; as on media */
	uint8_t *headers; /* owned */
	bool *slot_gone, *header_gone; /* owned; could not be read */
	struct known_file *files; /* owned; by slot */
	struct held *held;   /* owned; by slot and chunk */
	size_t nr_held;
	uint64_t nr_problems;
	bool doubtful;	  /* frames of unknown files may belong to any file */
	unsigned block_shift, chunk_shift;
};

static void problem(struct pmio_recovery *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void problem(struct pmio_recovery *s, const char *fmt, ...)
{
	char text[PATH_MAX + 128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	pmio_err("%s: damaged: %s", s->dir, text);
	s->nr_problems++;
}

/* ---- reading media ----------------------------------------------------------------- */

static bool read_piece(const struct pmio_recovery *s, uint64_t off, void *to, size_t len)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = pread(s->fd, (uint8_t *)to + done, len - done, (off_t)(off + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

/* nr things of `each` bytes, which divides PAGE; gone: those that could not be read */
static void read_array(const struct pmio_recovery *s, uint64_t off, uint64_t nr, size_t each, uint8_t *to,
		       bool *gone)
{
	uint64_t per_page = PAGE / each;

	for (uint64_t i = 0; i < nr; i += per_page) {
		uint64_t n = nr - i < per_page ? nr - i : per_page;

		if (read_piece(s, off + i * each, to + i * each, (size_t)(n * each)))
			continue;
		for (uint64_t k = i; k < i + n; k++)
			gone[k] = !read_piece(s, off + k * each, to + k * each, each);
	}
}

static struct pmio_slot_df slot_of(const struct pmio_recovery *s, uint32_t slot)
{
	struct pmio_slot_df df;

	memcpy(&df, s->slots + (size_t)slot * sizeof(df), sizeof(df));
	return df;
}

/* drained data that the file system may have lost in a power cut count as dirty */
static struct pmio_frame_df header_of(const struct pmio_recovery *s, uint64_t frame)
{
	struct pmio_frame_df df;
	uint32_t slot;

	memcpy(&df, s->headers + frame * sizeof(df), sizeof(df));
	slot = PMIO_OWNER_SLOT(df.owner);
	if (slot < s->super.nr_slots && (s->files[slot].flags & PMIO_FILE_UNSYNCED)) {
		for (int i = 0; i < PMIO_MASK_WORDS; i++)
			df.dirty[i] |= df.valid[i];
	}
	return df;
}

static bool packed_of(const struct pmio_recovery *s, uint32_t slot, struct pmio_packed *p)
{
	struct pmio_slot_df df = slot_of(s, slot);

	return pmio_packed_decode(df.packed, df.generation, s->super.nr_frames, p);
}

/* a packed file has no header: it has these blocks, as if it had the frame alone */
static struct pmio_frame_df header_held(const struct pmio_recovery *s, const struct held *h)
{
	struct pmio_packed p;

	if (!h->packed)
		return header_of(s, h->frame);
	packed_of(s, h->slot, &p);
	return (struct pmio_frame_df){ .chunk = h->chunk, .valid = { p.valid }, .dirty = { p.dirty } };
}

/* where the piece lies in the pool's data */
static uint64_t held_offset(const struct pmio_recovery *s, const struct held *h)
{
	uint64_t off = s->super.frames_off + (h->frame << s->chunk_shift);
	struct pmio_packed p;

	if (h->packed && packed_of(s, h->slot, &p))
		off += pmio_packed_offset(&p, s->block_shift);
	return off;
}

/* ---- the superblock ------------------------------------------------------------------ */

static bool generation_ok(uint64_t generation)
{
	return generation > 0 && generation <= PMIO_OWNER_GENERATION(UINT64_MAX);
}

static bool slot_ok(const struct pmio_slot_df *df)
{
	return generation_ok(df->generation) && df->size <= INT64_MAX && !(df->growers & ~PMIO_GROWERS_ALL) && is_zero(df->reserved, sizeof(df->reserved));
}

#define CLEARED_MAX (UINT64_MAX >> 16) /* more often than any pool is used */

static bool header_ok(const struct pmio_frame_df *df, uint32_t nr_slots)
{
	if (df->zeroed > 1 || df->cleared > CLEARED_MAX)
		return false;
	return df->owner == 0 || df->owner == PMIO_OWNER_PACK ||
	       (PMIO_OWNER_SLOT(df->owner) < nr_slots && PMIO_OWNER_GENERATION(df->owner) > 0);
}

/* are slots and headers plausible with this layout?  A few may be damaged, too */
static bool looks_right(struct pmio_recovery *s, const struct pmio_super_df *at)
{
	uint64_t bad = 0, empty = 0;

	for (uint32_t i = 0; i < at->nr_slots; i++) {
		struct pmio_slot_df df;

		bad += !read_piece(s, at->slots_off + (uint64_t)i * sizeof(df), &df, sizeof(df)) || !slot_ok(&df);
	}
	if (bad > at->nr_slots / 16)
		return false;
	bad = 0;
	for (uint64_t i = 0; i < at->nr_frames; i++) {
		struct pmio_frame_df df;

		bad += !read_piece(s, at->headers_off + i * sizeof(df), &df, sizeof(df)) ||
		       !header_ok(&df, at->nr_slots);
		empty += is_zero(&df, sizeof(df));
	}
	return bad <= at->nr_frames / 16 && empty < at->nr_frames;
}

/* the number of fields in which they agree */
static unsigned agreement(const struct pmio_super_df *a, const struct pmio_super_df *b)
{
	return (a->chunk_size == b->chunk_size) + (a->data_size == b->data_size) +
	       (a->clients_off == b->clients_off) + (a->slots_off == b->slots_off) +
	       (a->headers_off == b->headers_off) + (a->frames_off == b->frames_off) +
	       (a->nr_frames == b->nr_frames) + (a->nr_slots == b->nr_slots) + (a->nr_clients == b->nr_clients);
}

/*
 * A damaged superblock: the layout follows from four numbers.  Of all possible layouts,
 * choose the one that agrees with most fields of the superblock, and with the rest of
 * the pool.  If the file was cut off, its size is taken from the superblock.
 */
static int guess_layout(struct pmio_recovery *s)
{
	const struct pmio_super_df *old = &s->super;
	const uint64_t sizes[] = { s->file_size, old->data_size };
	const uint32_t slots[] = { old->nr_slots, s->catalog.nr_slots, PMIO_POOL_SLOTS_DEFAULT };
	const uint32_t clients[] = { old->nr_clients, PMIO_POOL_CLIENTS };
	struct pmio_super_df best = { 0 };
	unsigned best_agrees = 0;

	for (unsigned i = 0; i < 3 * 2 * 2; i++) {
		for (uint64_t chunk = PMIO_CHUNK_MIN; chunk <= PMIO_CHUNK_MAX; chunk *= 2) {
			struct pmio_super_df at = { .magic = PMIO_POOL_MAGIC };
			struct pmio_view_params p = { .chunk_size = chunk, .nr_slots = slots[i % 3],
						      .nr_clients = clients[i / 3 % 2] };
			uint64_t size = sizes[i / 6];

			if (p.nr_slots == 0 || p.nr_slots > PMIO_SLOTS_MAX || p.nr_clients == 0 ||
			    p.nr_clients > (1u << 20) || size < s->file_size || size > INT64_MAX ||
			    pmio_view_layout(&at, &p, size) < 0 || agreement(&at, old) <= best_agrees)
				continue;
			if (agreement(&at, old) >= LAYOUT_FIELDS_MIN && looks_right(s, &at)) {
				best = at;
				best_agrees = agreement(&at, old);
			}
		}
	}
	if (best_agrees == 0) {
		pmio_err("%s: damaged: too little of the superblock is left to locate the data", s->dir);
		return PMIO_EDAMAGED;
	}
	s->super = best;
	return 0;
}

static int read_super(struct pmio_recovery *s)
{
	const char *flaw;
	int rc;

	if (!read_piece(s, 0, &s->super, sizeof(s->super)))
		memset(&s->super, 0, sizeof(s->super));
	flaw = pmio_view_super_flaw(&s->super);
	if (flaw && s->super.magic == PMIO_POOL_MAGIC && s->super.version > PMIO_POOL_VERSION &&
	    s->super.version < 256) {
		pmio_err("%s: made by another version of pmio", s->dir);
		return PMIO_EVERSION;
	}
	rc = pmio_catalog_copy_read(s->dir_fd, s->dir, flaw ? NULL : s->super.uuid, &s->catalog);
	if (rc < 0)
		return rc;
	if (!s->catalog.sound)
		s->nr_problems++; /* it was logged */
	if (!flaw)
		return 0;
	problem(s, "superblock: %s", flaw);
	if (s->super.magic != PMIO_POOL_MAGIC && !s->catalog.nr_slots) {
		pmio_err("%s: not a pmio pool", s->dir);
		return PMIO_ENOTPOOL;
	}
	return guess_layout(s);
}

/* ---- slots and catalog ----------------------------------------------------------------- */

static int take_entry(struct known_file *f, const struct pmio_pool_file *e)
{
	f->path = strdup(e->path);
	f->state = e->state;
	f->flags = e->flags;
	f->mode = e->mode;
	f->error = e->error;
	f->ino = e->ino;
	f->pfs_size = e->pfs_size;
	f->mtime_s = e->mtime_s;
	f->mtime_ns = e->mtime_ns;
	return f->path ? 0 : -ENOMEM;
}

static int judge_slot(struct pmio_recovery *s, uint32_t slot)
{
	struct pmio_slot_df df = slot_of(s, slot);
	struct known_file *f = &s->files[slot];
	bool ok = !s->slot_gone[slot] && slot_ok(&df);
	struct pmio_pool_file e;
	int rc = pmio_catalog_copy_get(&s->catalog, slot, &e);

	f->generation = ok ? df.generation : 0;
	f->size_known = ok;
	f->size = ok ? df.size : 0;
	if (!ok)
		problem(s, "slot %u", slot);
	if (rc < 0) {
		if (rc == PMIO_EDAMAGED)
			problem(s, "catalog: entry %u", slot);
		return 0;
	}
	if (ok && e.generation + 1 == df.generation) /* its removal was interrupted */
		return 0;
	f->listed = true;
	if (ok && e.generation != df.generation) {
		problem(s, "catalog and data differ on %s", e.path);
		f->doubtful = true;
		f->size_known = false; /* it is in the damaged slot */
		f->size = 0;
	}
	f->generation = e.generation;
	return take_entry(f, &e);
}

static int judge_slots(struct pmio_recovery *s)
{
	int rc = 0;

	for (uint32_t slot = 0; slot < s->super.nr_slots && rc == 0; slot++)
		rc = judge_slot(s, slot);
	if (rc < 0)
		pmio_err("%s: %s", s->dir, strerror(-rc));
	return rc;
}

/* ---- frames ------------------------------------------------------------------------------ */

static struct pmio_mask dirty_mask(const struct pmio_frame_df *h)
{
	struct pmio_mask m;

	for (int i = 0; i < PMIO_MASK_WORDS; i++)
		m.w[i] = h->valid[i] & (h->dirty[i] | h->draining[i]);
	return m;
}

/* it is not known to which file its data belong: any file may lack them */
static void orphan(struct pmio_recovery *s, uint64_t frame)
{
	problem(s, "header of frame %" PRIu64 ": its owner cannot be determined (bytes %" PRIu64 " to %" PRIu64
		   " of the pool's data)", frame, s->super.frames_off + (frame << s->chunk_shift),
		s->super.frames_off + ((frame + 1) << s->chunk_shift) - 1);
	s->doubtful = true;
}

static void judge_frame(struct pmio_recovery *s, uint64_t frame)
{
	struct pmio_frame_df h = header_of(s, frame);
	uint64_t generation = PMIO_OWNER_GENERATION(h.owner);
	uint32_t slot = PMIO_OWNER_SLOT(h.owner);
	struct known_file *f;

	if (s->header_gone[frame] || !header_ok(&h, s->super.nr_slots)) {
		orphan(s, frame);
		return;
	}
	if (h.owner == 0 || h.owner == PMIO_OWNER_PACK)
		return;
	f = &s->files[slot];
	if (f->packed) /* its packing, or the reverse, was interrupted */
		return;
	if (f->generation == 0)
		f->generation = generation;
	if (generation < f->generation) /* of a file that was removed */
		return;
	if (generation > f->generation || h.chunk > (uint64_t)INT64_MAX >> s->chunk_shift) {
		orphan(s, frame);
		return;
	}
	s->held[s->nr_held++] = (struct held){ h.chunk, frame, slot, false };
}

static int by_slot(const void *x, const void *y)
{
	const struct held *a = x, *b = y;

	if (a->slot != b->slot)
		return a->slot < b->slot ? -1 : 1;
	return (a->chunk > b->chunk) - (a->chunk < b->chunk);
}

static const char *name_of(const struct known_file *f)
{
	return f->path ? f->path : "a file whose name is lost";
}

/* bytes of the chunk up to the end of its last dirty block */
static uint64_t dirty_end(const struct pmio_recovery *s, const struct held *h)
{
	struct pmio_frame_df df = header_held(s, h);
	struct pmio_mask m = dirty_mask(&df);
	uint64_t end = 0;

	for (unsigned i = 0; i < PMIO_CHUNK_BLOCKS; i++) {
		if (pmio_mask_test(&m, i))
			end = (h->chunk << s->chunk_shift) + ((uint64_t)(i + 1) << s->block_shift);
	}
	return end;
}

/* derive the file's state from all of its frames */
static void judge_file(struct pmio_recovery *s, uint32_t slot)
{
	struct known_file *f = &s->files[slot];

	for (size_t i = f->first; i < f->first + f->nr; i++) {
		struct held *h = &s->held[i];
		uint64_t end = dirty_end(s, h);

		if (end == 0)
			continue;
		f->listed = true; /* also if it is not in the catalog */
		if (!f->size_known && end > f->size)
			f->size = end;
		if (f->size_known && h->chunk << s->chunk_shift >= f->size) {
			problem(s, "frame %" PRIu64 " has data from beyond the end of %s", h->frame, name_of(f));
			f->doubtful = true;
		}
	}
	for (size_t i = f->first + 1; i < f->first + f->nr; i++) {
		if (s->held[i].chunk != s->held[i - 1].chunk || !f->listed)
			continue;
		problem(s, "frames %" PRIu64 " and %" PRIu64 " hold the same piece of %s", s->held[i - 1].frame,
			s->held[i].frame, name_of(f));
		f->doubtful = true;
	}
	if (f->listed && !f->path)
		problem(s, "the name of the file in slot %u is lost", slot);
}

static void judge_packed(struct pmio_recovery *s, uint32_t slot)
{
	struct known_file *f = &s->files[slot];
	struct pmio_slot_df df = slot_of(s, slot);
	struct pmio_packed p;

	if (s->slot_gone[slot] || df.generation != f->generation || !pmio_packed_counts(df.packed, df.generation))
		return;
	if (!packed_of(s, slot, &p) ||
	    df.size > pmio_packed_max(s->block_shift)) {
		problem(s, "invalid location of %s", name_of(f));
		f->doubtful = true;
		return;
	}
	f->packed = true;
	s->held[s->nr_held++] = (struct held){ 0, p.frame, slot, true };
}

static void judge_frames(struct pmio_recovery *s)
{
	for (uint32_t slot = 0; slot < s->super.nr_slots; slot++)
		judge_packed(s, slot);
	for (uint64_t i = 0; i < s->super.nr_frames; i++)
		judge_frame(s, i);
	qsort(s->held, s->nr_held, sizeof(*s->held), by_slot);
	for (size_t i = 0; i < s->nr_held; i++) {
		struct known_file *f = &s->files[s->held[i].slot];

		if (f->nr++ == 0)
			f->first = i;
	}
	for (uint32_t slot = 0; slot < s->super.nr_slots; slot++)
		judge_file(s, slot);
}

/* ---- open ------------------------------------------------------------------------------------ */

static int open_files(struct pmio_recovery *s)
{
	struct stat st;
	int rc = pmio_pool_check_dir(s->dir, true, &s->dir_fd);

	if (rc < 0)
		return rc;
	if (!pmio_pool_dir_has(s->dir_fd, PMIO_POOL_DATA)) {
		pmio_err("pool %s: there is no pool", s->dir);
		return -ENOENT;
	}
	rc = pmio_pool_dir_lock(s->dir_fd, s->dir, false, &s->lock_fd);
	if (rc == -EBUSY)
		pmio_err("pool %s: in use by an agent", s->dir);
	if (rc == 0)
		rc = pmio_pool_dir_file(s->dir_fd, s->dir, PMIO_POOL_DATA, &s->fd);
	if (rc == 0 && fstat(s->fd, &st) < 0)
		rc = -errno;
	if (rc == 0)
		s->file_size = (uint64_t)st.st_size;
	return rc;
}

static int read_tables(struct pmio_recovery *s)
{
	const struct pmio_super_df *super = &s->super;

	s->chunk_shift = (unsigned)__builtin_ctzll(super->chunk_size);
	s->block_shift = s->chunk_shift - 8;
	s->slots = calloc(super->nr_slots, sizeof(struct pmio_slot_df));
	s->slot_gone = calloc(super->nr_slots, sizeof(bool));
	s->files = calloc(super->nr_slots, sizeof(*s->files));
	s->headers = calloc(super->nr_frames, sizeof(struct pmio_frame_df));
	s->header_gone = calloc(super->nr_frames, sizeof(bool));
	s->held = calloc(super->nr_frames + super->nr_slots, sizeof(*s->held));
	if (!s->slots || !s->slot_gone || !s->files || !s->headers || !s->header_gone || !s->held) {
		pmio_err("%s: %s", s->dir, strerror(ENOMEM));
		return -ENOMEM;
	}
	if (s->file_size < super->data_size)
		problem(s, "%" PRIu64 " of %" PRIu64 " bytes of its data are cut off",
			super->data_size - s->file_size, super->data_size);
	read_array(s, super->slots_off, super->nr_slots, sizeof(struct pmio_slot_df), s->slots, s->slot_gone);
	read_array(s, super->headers_off, super->nr_frames, sizeof(struct pmio_frame_df), s->headers,
		   s->header_gone);
	return 0;
}

int pmio_recovery_open(const char *dir, struct pmio_recovery **out)
{
	struct pmio_recovery *s = calloc(1, sizeof(*s));
	int rc = -ENOMEM;

	*out = NULL;
	if (s) {
		s->dir_fd = s->lock_fd = s->fd = -1;
		s->dir = strdup(dir);
	}
	if (!s || !s->dir)
		pmio_err("%s: %s", dir, strerror(ENOMEM));
	else
		rc = open_files(s);
	if (rc == 0)
		rc = read_super(s);
	if (rc == 0)
		rc = read_tables(s);
	if (rc == 0)
		rc = judge_slots(s);
	if (rc < 0) {
		pmio_recovery_close(&s);
		return rc;
	}
	judge_frames(s);
	*out = s;
	return 0;
}

void pmio_recovery_close(struct pmio_recovery **recovery)
{
	struct pmio_recovery *s = *recovery;
	int *fds[] = { &s->fd, &s->lock_fd, &s->dir_fd };

	*recovery = NULL;
	if (!s)
		return;
	for (size_t i = 0; i < 3; i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
	}
	pmio_catalog_copy_fini(&s->catalog);
	for (uint32_t slot = 0; s->files && slot < s->super.nr_slots; slot++)
		free(s->files[slot].path);
	free(s->slots);
	free(s->slot_gone);
	free(s->headers);
	free(s->header_gone);
	free(s->files);
	free(s->held);
	free(s->dir);
	free(s);
}

uint64_t pmio_recovery_problems(const struct pmio_recovery *s)
{
	return s->nr_problems;
}

/* ---- files -------------------------------------------------------------------------------------- */

static uint64_t dirty_bytes(const struct pmio_recovery *s, const struct known_file *f)
{
	uint64_t nr = 0;

	for (size_t i = f->first; i < f->first + f->nr; i++) {
		struct pmio_frame_df h = header_held(s, &s->held[i]);
		struct pmio_mask m = dirty_mask(&h);

		nr += pmio_mask_count(&m);
	}
	return nr << s->block_shift;
}

static void describe(const struct pmio_recovery *s, uint32_t slot, struct pmio_recovery_file *out)
{
	const struct known_file *f = &s->files[slot];
	bool named = f->path != NULL, busy = f->flags & PMIO_FILE_PFS_BUSY;

	*out = (struct pmio_recovery_file){
		.slot = slot,
		.state = named ? f->state : PMIO_FILE_OPEN,
		.mode = f->mode,
		.error = f->error,
		.size = f->size,
		.size_known = f->size_known,
		/* while an agent was changing it, it may have had any size up to the file's */
		.pfs_known = named && !busy && s->catalog.sound,
		.pfs_size = named && !busy ? f->pfs_size : f->size,
		.mtime_s = f->mtime_s,
		.mtime_ns = f->mtime_ns,
		.ino = f->ino,
		.dirty_bytes = dirty_bytes(s, f),
		.doubtful = f->doubtful || s->doubtful || !s->catalog.sound || !f->size_known,
	};
	if (named)
		snprintf(out->path, sizeof(out->path), "%s", f->path);
	out->pending = out->dirty_bytes || !named || f->state != PMIO_FILE_CLEAN || out->size != f->pfs_size;
	/* of a clean file everything is on the file system, so nothing can be missing */
	if (named && f->state == PMIO_FILE_CLEAN && s->catalog.sound && !f->doubtful && f->size_known)
		out->doubtful = false;
}

int pmio_recovery_next(const struct pmio_recovery *s, uint32_t *cursor, struct pmio_recovery_file *file)
{
	while (*cursor < s->super.nr_slots) {
		uint32_t slot = (*cursor)++;

		if (s->files[slot].listed) {
			describe(s, slot, file);
			return 0;
		}
	}
	return -ENOENT;
}

/* ---- copy ----------------------------------------------------------------------------------------- */

struct copying {
	const struct pmio_recovery *s;
	const struct pmio_recovery_file *file;
	const struct pmio_recovery_target *t;
	uint64_t base_size;
	uint8_t *buf; /* PIECE bytes */
	struct {
		uint64_t from, to;
		const char *why; /* NULL: nothing is lost yet */
	} lost; /* reported when the lost range ends */
};

static void tell_lost(struct copying *c)
{
	if (c->lost.why)
		c->t->lost(c->lost.from, c->lost.to - 1, c->lost.why, c->t->arg);
	c->lost.why = NULL;
}

static void lose(struct copying *c, uint64_t from, uint64_t to, const char *why)
{
	if (from >= to)
		return;
	if (c->lost.why && (c->lost.to != from || strcmp(c->lost.why, why) != 0))
		tell_lost(c);
	if (!c->lost.why)
		c->lost.from = from;
	c->lost.to = to;
	c->lost.why = why;
}

static int write_piece(const struct copying *c, uint64_t off, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pwrite(c->t->fd, c->buf + done, len - done, (off_t)(off + done));

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			done += (size_t)n;
	}
	return 0;
}

/* copy from the file system; zeros stay holes */
static int copy_base(struct copying *c, uint64_t from, uint64_t to)
{
	int rc = 0;

	while (from < to && rc == 0) {
		size_t want = to - from < PIECE ? (size_t)(to - from) : PIECE;
		ssize_t n = pread(c->t->base, c->buf, want, (off_t)from);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0) {
			lose(c, from, to, "the file on the file system is too short");
			return 0;
		}
		if (!is_zero(c->buf, (size_t)n))
			rc = write_piece(c, from, (size_t)n);
		from += (uint64_t)n;
	}
	return rc;
}

/* write bytes that the pool does not have; doubtful: it may have had them */
static int copy_gap(struct copying *c, uint64_t from, uint64_t to, bool doubtful)
{
	const struct pmio_recovery_file *f = c->file;
	uint64_t end = f->pfs_known || c->t->base < 0 ? f->pfs_size : c->base_size;
	int rc = 0;

	end = end < from ? from : end > to ? to : end;
	if (c->t->base >= 0)
		rc = copy_base(c, from, end);
	if (doubtful)
		lose(c, from, to, "may have been in a frame that is lost");
	else if (c->t->base < 0)
		lose(c, from, end, "not in the pool, and the file on the file system is not available");
	return rc;
}

/* copy adjacent blocks of a frame */
static int copy_frame(struct copying *c, const struct held *h, unsigned run, unsigned len, bool dirty)
{
	const struct pmio_recovery *s = c->s;
	uint64_t at = (h->chunk << s->chunk_shift) + ((uint64_t)run << s->block_shift);
	uint64_t from = held_offset(s, h) + ((uint64_t)run << s->block_shift);
	uint64_t left = (uint64_t)len << s->block_shift;
	int rc = 0;

	if (at >= c->file->size)
		return 0;
	if (left > c->file->size - at)
		left = c->file->size - at;
	while (left > 0 && rc == 0) {
		size_t n = left < PIECE ? (size_t)left : PIECE;

		/* block by block if it cannot be read as a whole */
		if (!read_piece(s, from, c->buf, n)) {
			n = left < 1u << s->block_shift ? (size_t)left : 1u << s->block_shift;
			if (read_piece(s, from, c->buf, n))
				rc = write_piece(c, at, n);
			else
				lose(c, at, at + n, "cannot be read from the pool");
		} else {
			rc = write_piece(c, at, n);
		}
		if (dirty)
			c->t->progress(n, c->t->arg);
		at += n;
		from += n;
		left -= n;
	}
	return rc;
}

enum source { FROM_FRAME, FROM_FRAME_DIRTY, FROM_ELSEWHERE };

static enum source source_of(const struct copying *c, const struct pmio_frame_df *h, unsigned block)
{
	struct pmio_mask valid, dirty = dirty_mask(h);

	memcpy(valid.w, h->valid, sizeof(valid.w));
	if (pmio_mask_test(&dirty, block))
		return FROM_FRAME_DIRTY;
	return pmio_mask_test(&valid, block) && c->t->base < 0 ? FROM_FRAME : FROM_ELSEWHERE;
}

static int copy_chunk(struct copying *c, const struct held *held)
{
	struct pmio_frame_df h = header_held(c->s, held);
	uint64_t start = held->chunk << c->s->chunk_shift;
	unsigned run = 0;
	int rc = 0;

	while (run < PMIO_CHUNK_BLOCKS && rc == 0) {
		enum source from = source_of(c, &h, run);
		unsigned end = run + 1;

		while (end < PMIO_CHUNK_BLOCKS && source_of(c, &h, end) == from)
			end++;
		if (from == FROM_ELSEWHERE) {
			uint64_t a = start + ((uint64_t)run << c->s->block_shift);
			uint64_t b = start + ((uint64_t)end << c->s->block_shift);

			b = b < c->file->size ? b : c->file->size;
			rc = a < b ? copy_gap(c, a, b, false) : 0;
		} else {
			rc = copy_frame(c, held, run, end - run, from == FROM_FRAME_DIRTY);
		}
		run = end;
	}
	return rc;
}

static int copy_chunks(struct copying *c)
{
	const struct pmio_recovery *s = c->s;
	const struct known_file *f = &s->files[c->file->slot];
	uint64_t at = 0, size = c->file->size;
	int rc = 0;

	for (size_t i = f->first; i < f->first + f->nr && rc == 0;) {
		const struct held *h = &s->held[i];
		uint64_t start = h->chunk << s->chunk_shift, end = start + s->super.chunk_size;
		size_t same = 1;

		if (start >= size)
			break;
		end = end < size ? end : size;
		while (i + same < f->first + f->nr && s->held[i + same].chunk == h->chunk)
			same++;
		rc = copy_gap(c, at, start, c->file->doubtful);
		if (rc == 0 && same > 1)
			lose(c, start, end, "claimed by two frames");
		else if (rc == 0)
			rc = copy_chunk(c, h);
		at = end;
		i += same;
	}
	return rc < 0 || at >= size ? rc : copy_gap(c, at, size, c->file->doubtful);
}

int pmio_recovery_copy(const struct pmio_recovery *s, const struct pmio_recovery_file *file,
		      const struct pmio_recovery_target *target)
{
	struct copying c = { .s = s, .file = file, .t = target, .buf = malloc(PIECE) };
	struct stat st;
	int rc = 0;

	if (!c.buf)
		return -ENOMEM;
	if (target->base >= 0 && fstat(target->base, &st) < 0)
		rc = -errno;
	else if (target->base >= 0)
		c.base_size = (uint64_t)st.st_size;
	if (rc == 0 && ftruncate(target->fd, (off_t)file->size) < 0)
		rc = -errno;
	if (rc == 0)
		rc = copy_chunks(&c);
	tell_lost(&c);
	if (rc == 0 && !file->size_known)
		target->lost(file->size, INT64_MAX, "its size is not known", target->arg);
	if (rc == 0 && fsync(target->fd) < 0)
		rc = -errno;
	free(c.buf);
	return rc;
}
