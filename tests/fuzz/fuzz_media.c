/*
 * fuzz_media.c -- any bytes as the headers of a pool: libFuzzer target
 *
 * A small pool is made in memory, then the input is laid over its superblock,
 * slots and frame headers.  Whatever pmio_view_new() lets pass is scanned and
 * recovered as the agent would; nothing may reach outside of the mapping.
 *
 * Input: pairs of a 16-bit place (in words of 8 bytes, among the headers) and the
 * 8 bytes to store there; the first byte says whether the checksum is made right.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "core/log.h"
#include "pm/pm_ops.h"
#include "pool/frame.h"
#include "pool/pool_scan.h"

#define TEST_CHUNK (64u << 10)

#define SIZE (2u << 20 | 8u << 16) /* eight frames of 64 KiB */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *fresh; /* what lies before the frames in a new pool, */
static size_t headers; /* and so many bytes of it are in use */
static struct pmio_pm *pm;

/* ---- plain memory, so that the sanitizer sees each step beyond it ---------------- */

static void plain_copy(struct pmio_pm *p, void *dst, const void *src, size_t len)
{
	(void)p;
	memcpy(dst, src, len);
}

static void plain_zero(struct pmio_pm *p, void *dst, size_t len)
{
	(void)p;
	memset(dst, 0, len);
}

static void plain_flush(struct pmio_pm *p, const void *addr, size_t len)
{
	(void)p;
	(void)addr;
	(void)len;
}

static void plain_fence(struct pmio_pm *p)
{
	(void)p;
}

static int plain_sync(struct pmio_pm *p, const void *addr, size_t len)
{
	plain_flush(p, addr, len);
	return 0;
}

static const struct pmio_pm_ops plain_ops = {
	.copy = plain_copy, .read = plain_copy, .zero = plain_zero, .flush = plain_flush, .fence = plain_fence, .sync = plain_sync,
};

/* ---- the target -------------------------------------------------------------------- */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const struct pmio_view_params p = {.chunk_size = TEST_CHUNK, .nr_slots = 16, .nr_clients = 4};
	struct pmio_view *v;

	(void)argc;
	(void)argv;
	pmio_log_set_level(PMIO_LOG_NONE);
	pm = calloc(1, sizeof(*pm));
	if (!pm)
		abort();
	pm->ops = &plain_ops;
	pm->size = SIZE;
	pm->granularity = PMIO_PM_CACHE_LINE;
	pm->base = aligned_alloc(4096, SIZE);
	if (!pm->base)
		abort();
	memset(pm->base, 0, SIZE);
	if (pmio_view_format(pm, &p) < 0 || pmio_view_new(pm, "fuzz", &v) < 0)
		abort();
	pmio_frame_claim(v, 2, 3, 1, 5);
	pmio_frame_claim_zero(v, 4, 3, 1, 6);
	headers = (size_t)((uint8_t *)&v->headers[v->nr_frames] - pm->base);
	free(v); /* but not the mapping */
	fresh = malloc(headers);
	if (!fresh)
		abort();
	memcpy(fresh, pm->base, headers);
	return 0;
}

static void recover(struct pmio_view *v, const struct pmio_scan *scan)
{
	for (uint64_t i = 0; i < v->nr_frames; i++) {
		uint32_t slot = PMIO_OWNER_SLOT(v->headers[i].owner);

		if (scan->frame[i] == PMIO_FRAME_USED)
			pmio_frame_recover(v, i, v->slots[slot].size);
		else if (scan->frame[i] != PMIO_FRAME_FREE)
			pmio_frame_free(v, i);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *base = pmio_pm_base(pm);
	struct pmio_super_df *super = (struct pmio_super_df *)base;
	struct pmio_scan *scan;
	struct pmio_view *v;

	memcpy(base, fresh, headers);
	for (size_t i = 1; i + 10 <= size; i += 10) {
		size_t word = (size_t)(data[i] | data[i + 1] << 8) % (headers / 8);

		memcpy(base + word * 8, data + i + 2, 8);
	}
	if (size && (data[0] & 1)) {
		super->crc = 0;
		super->crc = (uint32_t)crc32(0, base, offsetof(struct pmio_super_df, epoch));
	}
	if (pmio_view_new(pm, "fuzz", &v) == 0) {
		if (pmio_scan_new(v, NULL, "fuzz", &scan) == 0) {
			/* as if all slots were files of their generation */
			for (uint64_t f = 0; f < v->nr_frames; f++)
				if (v->headers[f].owner && scan->frame[f] == PMIO_FRAME_LEFT &&
				    PMIO_OWNER_SLOT(v->headers[f].owner) < v->nr_slots)
					scan->frame[f] = PMIO_FRAME_USED;
			recover(v, scan);
			pmio_scan_delete(&scan);
		}
		free(v);
	}
	return 0;
}
