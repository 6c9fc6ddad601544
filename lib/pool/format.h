/*
 * format.h -- the layout on media of a pool's file `data`
 *
 * Little-endian, fixed width, sizes asserted; reserved bytes are zero.  A change
 * of anything here is a new PMIO_POOL_VERSION.
 *
 *   offset 0        superblock, 4 KiB
 *   clients_off     client records, 64 B each: volatile, cleared at each start
 *   slots_off       file slots, 64 B each
 *   headers_off     frame headers, 128 B each
 *   frames_off      frames, from a 2 MiB boundary
 *
 * A frame belongs to a file when its header's owner word names a slot and that
 * slot's generation.  The owner word is one aligned 8-byte store, so a claim is atomic,
 * and deleting a file is one 8-byte store (the slot's next generation), independent of
 * its number of frames.
 */
#ifndef PMIO_POOL_FORMAT_H
#define PMIO_POOL_FORMAT_H

#include <assert.h>
#include <stdint.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "the format on media is that of little-endian machines");

#define PMIO_POOL_MAGIC 0x314c4f4f504f494dULL /* "MIOPOOL1" */
#define PMIO_POOL_VERSION 2	  /* some file is packed, or was */
#define PMIO_POOL_VERSION_PLAIN 1 /* none ever was: releases that do not know packed files can use the pool, too */
#define PMIO_POOL_LAYOUT "pmio-catalog-1" /* libpmemobj layout of `catalog` */

#define PMIO_CHUNK_BLOCKS 256 /* blocks of a chunk: bits of one bitmap */
#define PMIO_MASK_WORDS (PMIO_CHUNK_BLOCKS / 64)
#define PMIO_FRAME_ALIGN (2u << 20) /* frames start at a huge-page boundary */

#define PMIO_CHUNK_MIN (16u << 10)   /* bytes: blocks of 64 bytes, a cache line */
#define PMIO_CHUNK_MAX (64u << 20)   /* bytes: blocks of 256 KiB */
#define PMIO_CHUNK_DEFAULT (1u << 20) /* bytes: blocks of 4 KiB */

struct pmio_super_df {
	uint64_t magic;
	uint32_t version;
	uint32_t crc;		/* CRC-32 (zlib) of this struct with crc = 0 */
	uint8_t uuid[16];	/* the same in `catalog` */
	uint64_t chunk_size;	/* bytes, a power of two */
	uint64_t data_size;	/* bytes of the whole file */
	uint64_t clients_off;	/* offsets in bytes from the start of the file */
	uint64_t slots_off;
	uint64_t headers_off;
	uint64_t frames_off;
	uint64_t nr_frames;
	uint32_t nr_slots;
	uint32_t nr_clients;
	uint64_t created;	/* seconds since 1970 */
	uint8_t reserved[4096 - 104 - 64];
	/* below: not covered by crc, changed while the pool is in use */
	uint64_t epoch;		/* the running agent's; a new one at each start */
	uint8_t boot[16];	/* the kernel's boot id when an agent last opened the pool; 0: not known */
	uint8_t reserved2[40];
};
_Static_assert(sizeof(struct pmio_super_df) == 4096, "superblock");

/*
 * What a client has transferred, in bytes.  Only the client stores here, without atomic
 * additions, so threads that share a client may lose a few counts.
 */
struct pmio_counts_df {
	uint64_t read;		/* all that it read */
	uint64_t missed;	/* of that: blocks that had to be filled from the PFS first */
	uint64_t pfs_read;	/* of that: read from the PFS, as the pool had no room */
	uint64_t written;	/* all that it wrote */
	uint64_t pfs_written;	/* of that: written to the PFS, as the pool had no room */
};

/*
 * One client's record.  `intent` names the blocks that it is overwriting as a whole
 * while they are not valid yet, so that the agent can release them if the client dies:
 * frame << 16 | first block << 8 | last block, plus one in bit 63; 0 is none.  `counts`
 * begin at 0 with each connection; they are never flushed, since no process reads them
 * after a crash.
 */
struct pmio_client_df {
	uint64_t intent;
	struct pmio_counts_df counts;
	uint8_t reserved[16];
};
_Static_assert(sizeof(struct pmio_client_df) == 64, "client record");

struct pmio_slot_df {
	uint64_t size;		/* bytes of the file; clients raise it (atomic max) */
	uint64_t generation;	/* 1 and up; only the agent changes it */
	uint64_t packed;	/* where the bytes of a small file are, PMIO_PACKED(); 0: in frames of its own */
	/* of a file of several nodes, at its metadata server (lib/remote): */
	uint64_t growers;	/* PMIO_GROWERS_*; clients set bits */
	uint64_t cuts;		/* incremented at each truncation; only the agent changes it */
	uint8_t reserved[24];
};
_Static_assert(sizeof(struct pmio_slot_df) == 64, "file slot");

/*
 * The targets of a file, by their indices in its list, whose slots may have a size that its metadata server's has not: bit i.
 * Without KNOWN, as in a new slot, any of them may.
 */
#define PMIO_GROWERS_KNOWN (1ULL << 63)
#define PMIO_GROWERS_MAX 32u /* indices from here on tell the metadata server each time */
#define PMIO_GROWERS_ALL (PMIO_GROWERS_KNOWN | ((1ULL << PMIO_GROWERS_MAX) - 2))

/* owner word: generation (40 bits) << 24 | slot (24 bits); 0 is a free frame */
#define PMIO_OWNER(slot, generation) (((uint64_t)(generation) << 24) | (uint64_t)(slot))
#define PMIO_OWNER_SLOT(owner) ((uint32_t)((owner) & 0xffffff))
#define PMIO_OWNER_GENERATION(owner) ((owner) >> 24)
#define PMIO_SLOTS_MAX (1u << 20)

/*
 * Packed files: when frames are short, small files that no program has open, and whose data wait, share frames.  Such a
 * frame has an owner word of its own, and consists of units; a file has one of these and no frame.  Packed word:
 *
 *   bit 63      1
 *   bits 48-62  the low bits of the slot's generation; with another one the word means nothing
 *   bits 16-47  the frame
 *   bits 8-15   the unit in it
 *   bits 4-7    valid blocks, the first one in the lowest bit
 *   bits 0-3    dirty blocks
 *
 * The word is one aligned 8-byte store.  As long as it is there it holds, whatever the frames' owner words say.
 */
#define PMIO_PACK_BLOCKS 4u /* of a unit */
#define PMIO_PACK_UNITS (PMIO_CHUNK_BLOCKS / PMIO_PACK_BLOCKS)
#define PMIO_OWNER_PACK PMIO_OWNER(0xffffffu, 1)
#define PMIO_PACKED(generation, frame, unit, valid, dirty) \
	(1ULL << 63 | ((uint64_t)(generation) & 0x7fff) << 48 | (uint64_t)(frame) << 16 | (uint64_t)(unit) << 8 | \
	 (uint64_t)(valid) << 4 | (uint64_t)(dirty))
#define PMIO_PACKED_FRAME_MAX UINT32_MAX

/*
 * Blocks of a frame, a bit of each map a block:
 *
 *   valid dirty draining
 *     0     0      0      empty: neither zero nor the PFS's bytes; fill before use
 *     0     1      0      a client is overwriting the whole block now
 *     0     *      1      the agent is filling it
 *     1     0      0      as on the PFS (or zero, beyond the PFS file's end)
 *     1     1      *      to be drained
 *     1     0      1      being drained
 *
 * After a crash: draining counts as dirty where valid; where not valid, dirty
 * and draining mean nothing.
 */
struct pmio_frame_df {
	uint64_t owner;
	uint64_t chunk;		/* number of the chunk in its file; set before owner */
	uint64_t valid[PMIO_MASK_WORDS];
	uint64_t dirty[PMIO_MASK_WORDS];
	uint64_t draining[PMIO_MASK_WORDS];
	uint64_t zeroed;	/* 1: of a free frame, all bytes are zero */
	uint64_t cleared;	/* how often bits of valid or dirty were cleared; only compared, and means nothing after a crash */
};
_Static_assert(sizeof(struct pmio_frame_df) == 128, "frame header");

#endif
