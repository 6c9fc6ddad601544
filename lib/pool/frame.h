/*
 * frame.h -- what clients and the agent do to the blocks of a frame
 *
 * Clients write without a request, while the agent may fill or drain the same frame.
 * The three bitmaps of struct pmio_frame_df coordinate them; this module is the only
 * one that changes them.  Each function's comment in frame.c says what a crash leaves
 * behind.
 *
 * A write of bytes is:
 *   1. blocks written in part must be valid (else ask the agent to fill them);
 *   2. pmio_frame_write_begin() with all blocks touched;
 *   3. copy the bytes (pmio_pm_copy);
 *   4. pmio_pm_fence(), then pmio_frame_write_end() with the same blocks;
 *   5. raise the file's size if it grew, then pmio_pm_fence(): now durable.
 *
 * Threads: every function may run at the same time in any number of processes, but
 * _fill_ and _drain_ and _drop and _claim and _recover only in the agent.
 */
#ifndef PMIO_POOL_FRAME_H
#define PMIO_POOL_FRAME_H

#include "pool/view.h"

struct pmio_mask {
	uint64_t w[PMIO_MASK_WORDS];
};

/* blocks first..last, both included */
void pmio_mask_set_range(struct pmio_mask *m, unsigned first, unsigned last);
void pmio_mask_range(struct pmio_mask *m, unsigned first, unsigned last);
bool pmio_mask_empty(const struct pmio_mask *m);
unsigned pmio_mask_count(const struct pmio_mask *m);
bool pmio_mask_test(const struct pmio_mask *m, unsigned block);
/* the bits of first..last in word i, which has some of them */
static inline uint64_t pmio_mask_bits(unsigned i, unsigned first, unsigned last)
{
	uint64_t from = i == first / 64 ? ~0ULL << first % 64 : ~0ULL;

	return i == last / 64 ? from & ~0ULL >> (63 - last % 64) : from;
}

/* are all of first..last set? */
static inline bool pmio_mask_has_range(const struct pmio_mask *m, unsigned first, unsigned last)
{
	for (unsigned i = first / 64; i <= last / 64; i++)
		if (pmio_mask_bits(i, first, last) & ~m->w[i])
			return false;
	return true;
}

/* next set block at or after from, PMIO_CHUNK_BLOCKS if none; *len: length of the run that it begins */
unsigned pmio_mask_next_run(const struct pmio_mask *m, unsigned from, unsigned *len);

/* are all blocks of m valid? */
bool pmio_frame_valid(const struct pmio_view *v, uint64_t frame, const struct pmio_mask *m);
void pmio_frame_get(const struct pmio_view *v, uint64_t frame, struct pmio_mask *valid,
		    struct pmio_mask *dirty, struct pmio_mask *draining);

/*
 * pmio_frame_write_begin -- before the first byte of a write is stored
 *
 * m   all blocks that the write touches; those not valid will be overwritten whole
 *
 * Returns 0, or -EAGAIN: the agent is filling one of them; ask it to fill these
 * blocks (it answers when that is done) and call again.
 */
int pmio_frame_write_begin(struct pmio_view *v, uint64_t frame, const struct pmio_mask *m);

/*
 * pmio_frame_cleared -- for a short cut: a word that changes before any bit of valid or dirty is cleared
 *
 * A client that has written blocks (1. to 5. above), and finds the word after 5. as it was before 2., knows that
 * their bits are durable.  As long as the word stays the same it may write them again by
 *   1. copy the bytes;
 *   2. raise the file's size if it grew, then pmio_pm_fence();
 *   3. compare the word.  It is the same: durable.  It is not: pmio_frame_write_end(), then pmio_pm_fence().
 */
uint64_t pmio_frame_cleared(const struct pmio_view *v, uint64_t frame);

/* after the write's bytes were flushed and fenced; flushed, not fenced */
void pmio_frame_write_end(struct pmio_view *v, uint64_t frame, const struct pmio_mask *m);

/* release blocks that write_begin took and that will not be written (a client died) */
void pmio_frame_write_abort(struct pmio_view *v, uint64_t frame, const struct pmio_mask *m);

/*
 * pmio_frame_fill_begin -- agent: take the blocks of m that are empty for filling
 *
 * todo   out: the blocks taken
 * busy   out: blocks of m that clients are overwriting now
 */
void pmio_frame_fill_begin(struct pmio_view *v, uint64_t frame, const struct pmio_mask *m,
			   struct pmio_mask *todo, struct pmio_mask *busy);

/* agent: todo's bytes were stored and flushed by this thread (ok), or could not be read (!ok) */
void pmio_frame_fill_end(struct pmio_view *v, uint64_t frame, const struct pmio_mask *todo, bool ok);

/* agent: take all dirty blocks for draining; out: which.  Fenced when it returns. */
void pmio_frame_drain_begin(struct pmio_view *v, uint64_t frame, struct pmio_mask *taken);

/* agent: taken's blocks are durable on the PFS (ok), or stay dirty (!ok) */
void pmio_frame_drain_end(struct pmio_view *v, uint64_t frame, const struct pmio_mask *taken, bool ok);

/*
 * agent: the valid blocks are to be drained again, as the PFS may have lost them.  Clients may use
 * the frame.  Flushed, not fenced.
 */
void pmio_frame_redirty(struct pmio_view *v, uint64_t frame);

/* agent: forget the contents of blocks m (truncation): they are empty again */
void pmio_frame_drop(struct pmio_view *v, uint64_t frame, const struct pmio_mask *m);

/* agent: give a free frame to a file: bitmaps cleared, then owner stored; durable on return */
void pmio_frame_claim(struct pmio_view *v, uint64_t frame, uint32_t slot, uint64_t generation,
		      uint64_t chunk);
/* the same for a zeroed frame, and a chunk that is zero in the file: all blocks are valid at once */
void pmio_frame_claim_zero(struct pmio_view *v, uint64_t frame, uint32_t slot, uint64_t generation,
			   uint64_t chunk);
/* agent: free a frame; flushed, not fenced */
void pmio_frame_free(struct pmio_view *v, uint64_t frame);

/*
 * Zeroed frames: free ones with all bytes zero.  A claim of such a frame needs no fill,
 * and the gaps between a writer's pieces read as zeros.
 */
bool pmio_frame_is_zeroed(const struct pmio_view *v, uint64_t frame);
/* agent: mark a free frame whose bytes were stored as zeros, flushed and fenced; flushed, not fenced */
void pmio_frame_set_zeroed(struct pmio_view *v, uint64_t frame);

/*
 * pmio_frame_recover -- agent: repair a frame after a crash
 *
 * Blocks that were being drained are dirty again, blocks that were being filled
 * or overwritten are empty, blocks wholly beyond the file's size are empty, and
 * bytes of the last block beyond it are zero.  Flushed, not fenced.
 */
void pmio_frame_recover(struct pmio_view *v, uint64_t frame, uint64_t file_size);

#endif
