#include "pool/view.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <isa-l/crc.h>

#include "core/log.h"
#include "pmio.h"

#define CLIENTS_MAX (1u << 20)

static uint32_t super_crc(const struct pmio_super_df *super)
{
	struct pmio_super_df copy;
	const size_t covered = offsetof(struct pmio_super_df, epoch);

	memcpy(&copy, super, covered);
	copy.crc = 0;
	return crc32_gzip_refl(0, (unsigned char *)&copy, covered); /* not zlib's crc32(): programs, as cksum of coreutils 9.7, have a function of that name: findings/cksum-crc32.sh */
}

static bool chunk_size_ok(uint64_t size)
{
	return size >= PMIO_CHUNK_MIN && size <= PMIO_CHUNK_MAX && (size & (size - 1)) == 0;
}

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

/* ---- format ---------------------------------------------------------------- */

static int check_params(const struct pmio_view_params *p)
{
	if (!chunk_size_ok(p->chunk_size)) {
		pmio_err("chunk size %" PRIu64 ": must be a power of two from %u to %u",
			 p->chunk_size, PMIO_CHUNK_MIN, PMIO_CHUNK_MAX);
		return -EINVAL;
	}
	if (p->nr_slots == 0 || p->nr_slots > PMIO_SLOTS_MAX) {
		pmio_err("%u file slots: must be 1 to %u", p->nr_slots, PMIO_SLOTS_MAX);
		return -EINVAL;
	}
	if (p->nr_clients == 0 || p->nr_clients > CLIENTS_MAX) {
		pmio_err("%u clients: must be 1 to %u", p->nr_clients, CLIENTS_MAX);
		return -EINVAL;
	}
	return 0;
}

/* all but magic and crc; -ENOSPC if there is not room for one frame */
int pmio_view_layout(struct pmio_super_df *s, const struct pmio_view_params *p, uint64_t size)
{
	uint64_t nr;

	s->version = PMIO_POOL_VERSION_PLAIN;
	memcpy(s->uuid, p->uuid, sizeof(s->uuid));
	s->chunk_size = p->chunk_size;
	s->data_size = size;
	s->nr_slots = p->nr_slots;
	s->nr_clients = p->nr_clients;
	s->created = (uint64_t)time(NULL);
	s->clients_off = sizeof(*s);
	s->slots_off = s->clients_off + (uint64_t)p->nr_clients * sizeof(struct pmio_client_df);
	s->headers_off = round_up(s->slots_off + (uint64_t)p->nr_slots * sizeof(struct pmio_slot_df),
				  sizeof(struct pmio_frame_df));

	/* an upper bound; the alignment of the frames is taken into account afterwards */
	nr = size > s->headers_off ? (size - s->headers_off) /
		(p->chunk_size + sizeof(struct pmio_frame_df)) : 0;
	s->frames_off = round_up(s->headers_off + nr * sizeof(struct pmio_frame_df),
				 PMIO_FRAME_ALIGN);
	if (size < s->frames_off || (size - s->frames_off) / p->chunk_size == 0)
		return -ENOSPC;
	if (nr > (size - s->frames_off) / p->chunk_size)
		nr = (size - s->frames_off) / p->chunk_size;
	s->nr_frames = nr;
	return 0;
}

int pmio_view_format(struct pmio_pm *pm, const struct pmio_view_params *params)
{
	struct pmio_super_df s = {0}, *super = pmio_pm_base(pm);
	struct pmio_slot_df *slots;
	struct pmio_frame_df *headers;
	int rc = check_params(params);

	if (rc == 0)
		rc = pmio_view_layout(&s, params, pmio_pm_size(pm));
	if (rc == -ENOSPC)
		pmio_err("%zu bytes are too few for one frame of %" PRIu64 " bytes", pmio_pm_size(pm),
			 params->chunk_size);
	if (rc < 0)
		return rc;

	/* the checksum is that of the finished superblock */
	s.magic = PMIO_POOL_MAGIC;
	s.crc = super_crc(&s);
	s.magic = 0;

	/*
	 * P1 superblock without magic, the slots, and that all frames are zeroed
	 * P2 the magic: one aligned 8-byte store
	 * crash before P2: no pool; after it: the whole pool
	 */
	pmio_pm_copy(pm, super, &s, sizeof(s));
	slots = (struct pmio_slot_df *)((uint8_t *)super + s.slots_off);
	for (uint32_t i = 0; i < s.nr_slots; i++)
		pmio_pm_store64(pm, &slots[i].generation, 1);
	headers = (struct pmio_frame_df *)((uint8_t *)super + s.headers_off);
	for (uint64_t i = 0; i < s.nr_frames; i++)
		pmio_pm_store64(pm, &headers[i].zeroed, 1);
	rc = pmio_pm_sync(pm, super, s.frames_off); /* P1 */
	if (rc < 0)
		return rc;

	pmio_pm_store64(pm, &super->magic, PMIO_POOL_MAGIC);
	return pmio_pm_sync(pm, super, sizeof(*super)); /* P2 */
}

/* ---- open ------------------------------------------------------------------ */

/* nr pieces of `each` bytes at off lie between from and end; no sum overflows */
static bool array_ok(uint64_t off, uint64_t nr, uint64_t each, uint64_t from, uint64_t end)
{
	return off % each == 0 && off >= from && off <= end && nr > 0 && nr <= (end - off) / each;
}

/* the flaw of a superblock with a correct checksum; NULL: it is valid */
static const char *layout_flaw(const struct pmio_super_df *s, uint64_t size)
{
	if (!chunk_size_ok(s->chunk_size))
		return "chunk size";
	if (s->data_size > size)
		return "it is shorter than when it was created";
	if (s->nr_slots > PMIO_SLOTS_MAX || s->nr_clients > CLIENTS_MAX)
		return "number of slots or clients";
	if (s->frames_off % PMIO_FRAME_ALIGN != 0 || s->frames_off > s->data_size)
		return "offset of frames";
	if (s->nr_frames == 0 || s->nr_frames > (s->data_size - s->frames_off) / s->chunk_size)
		return "number of frames";
	if (!array_ok(s->clients_off, s->nr_clients, sizeof(struct pmio_client_df), sizeof(*s),
		      s->slots_off))
		return "client records";
	if (!array_ok(s->slots_off, s->nr_slots, sizeof(struct pmio_slot_df), sizeof(*s),
		      s->headers_off))
		return "file slots";
	if (!array_ok(s->headers_off, s->nr_frames, sizeof(struct pmio_frame_df), sizeof(*s),
		      s->frames_off))
		return "frame headers";
	return NULL;
}

static bool version_ok(uint32_t version)
{
	return version >= PMIO_POOL_VERSION_PLAIN && version <= PMIO_POOL_VERSION;
}

const char *pmio_view_super_flaw(const struct pmio_super_df *s)
{
	if (s->magic != PMIO_POOL_MAGIC || !version_ok(s->version))
		return "not that of a pmio pool";
	return s->crc != super_crc(s) ? "its checksum is wrong" : layout_flaw(s, s->data_size);
}

static int check_super(const struct pmio_super_df *s, uint64_t size, const char *name)
{
	const char *flaw;

	if (s->magic != PMIO_POOL_MAGIC) {
		pmio_err("%s: not a pmio pool", name);
		return PMIO_ENOTPOOL;
	}
	/* before the checksum: another version may put it elsewhere */
	if (!version_ok(s->version)) {
		pmio_err("%s: made by another version of pmio (format %u, this one knows %u)", name,
			 s->version, PMIO_POOL_VERSION);
		return PMIO_EVERSION;
	}
	if (s->crc != super_crc(s)) {
		pmio_err("%s: damaged: the superblock's checksum is wrong", name);
		return PMIO_EDAMAGED;
	}
	flaw = layout_flaw(s, size);
	if (flaw) {
		pmio_err("%s: damaged: %s", name, flaw);
		return PMIO_EDAMAGED;
	}
	return 0;
}

int pmio_view_upgrade(struct pmio_view *v)
{
	struct pmio_super_df now;
	union {
		struct {
			uint32_t version, crc;
		} f;
		uint64_t word;
	} u;

	_Static_assert(offsetof(struct pmio_super_df, crc) == offsetof(struct pmio_super_df, version) + 4 &&
			       offsetof(struct pmio_super_df, version) % 8 == 0, "version and checksum are one aligned word");
	if (v->super->version == PMIO_POOL_VERSION)
		return 0;
	memcpy(&now, v->super, sizeof(now));
	now.version = PMIO_POOL_VERSION;
	u.f.version = now.version;
	u.f.crc = super_crc(&now);
	/*
	 * P1 version and checksum: one aligned 8-byte store
	 * crash before: the old version; after: the new one
	 */
	pmio_pm_store64(v->pm, (uint64_t *)(uintptr_t)&v->super->version, u.word);
	return pmio_pm_sync(v->pm, &v->super->version, sizeof(u.word)); /* P1 */
}

static void set_addresses(struct pmio_view *v, const struct pmio_super_df *s)
{
	uint8_t *base = pmio_pm_base(v->pm);

	v->super = (struct pmio_super_df *)base;
	v->clients = (struct pmio_client_df *)(base + s->clients_off);
	v->slots = (struct pmio_slot_df *)(base + s->slots_off);
	v->headers = (struct pmio_frame_df *)(base + s->headers_off);
	v->frames = base + s->frames_off;
	v->chunk_size = s->chunk_size;
	v->block_size = (uint32_t)(s->chunk_size / PMIO_CHUNK_BLOCKS);
	v->chunk_shift = (unsigned)__builtin_ctzll(s->chunk_size);
	v->block_shift = (unsigned)__builtin_ctz(v->block_size);
	v->nr_frames = s->nr_frames;
	v->nr_slots = s->nr_slots;
	v->nr_clients = s->nr_clients;
}

int pmio_view_new(struct pmio_pm *pm, const char *name, struct pmio_view **out)
{
	struct pmio_super_df s;
	struct pmio_view *v;
	int rc;

	*out = NULL;
	if (pmio_pm_size(pm) < sizeof(s)) {
		pmio_err("%s: not a pmio pool: only %zu bytes", name, pmio_pm_size(pm));
		return PMIO_ENOTPOOL;
	}
	/* a copy: the checked values must be the used ones, as other processes have it mapped */
	pmio_pm_read(pm, &s, pmio_pm_base(pm), sizeof(s));
	rc = check_super(&s, pmio_pm_size(pm), name);
	if (rc < 0)
		return rc;

	v = calloc(1, sizeof(*v));
	if (!v) {
		pmio_err("%s: %s", name, strerror(ENOMEM));
		return -ENOMEM;
	}
	v->pm = pm;
	set_addresses(v, &s);
	*out = v;
	return 0;
}

void pmio_view_delete(struct pmio_view **view)
{
	if (!*view)
		return;
	pmio_pm_unmap(&(*view)->pm);
	free(*view);
	*view = NULL;
}
