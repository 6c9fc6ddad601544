/*
 * packed.h -- where the bytes of a packed file are (format.h)
 */
#ifndef PMIO_POOL_PACKED_H
#define PMIO_POOL_PACKED_H

#include <stdbool.h>

#include "pool/format.h"

struct pmio_packed {
	uint64_t frame;
	unsigned unit;		/* 0..PMIO_PACK_UNITS - 1 */
	unsigned valid, dirty;	/* a bit for each of the unit's blocks, the first one in the lowest bit */
};

/* bytes; a larger file cannot be packed */
static inline uint64_t pmio_packed_max(unsigned block_shift)
{
	return (uint64_t)PMIO_PACK_BLOCKS << block_shift;
}

/* is it a word of the slot's present file?  One of an earlier file means nothing */
static inline bool pmio_packed_counts(uint64_t word, uint64_t generation)
{
	return word >> 63 && (word >> 48 & 0x7fff) == (generation & 0x7fff);
}

/* false: the file is not packed; or the word is not a valid one */
static inline bool pmio_packed_decode(uint64_t word, uint64_t generation, uint64_t nr_frames, struct pmio_packed *p)
{
	*p = (struct pmio_packed){ word >> 16 & PMIO_PACKED_FRAME_MAX, word >> 8 & 0xff, word >> 4 & 0xf, word & 0xf };
	return pmio_packed_counts(word, generation) && p->frame < nr_frames && p->unit < PMIO_PACK_UNITS && !(p->dirty & ~p->valid);
}

/* bytes from the start of the frame */
static inline uint64_t pmio_packed_offset(const struct pmio_packed *p, unsigned block_shift)
{
	return (uint64_t)(p->unit * PMIO_PACK_BLOCKS) << block_shift;
}

#endif
