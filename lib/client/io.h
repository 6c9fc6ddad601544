/*
 * io.h -- functions of io.c that read.c and write.c share
 *
 * A request is split at chunks.  For each chunk the private cache (or the agent) tells
 * which frame holds it; then bytes are copied, as described in pool/frame.h.  A request
 * is redone if the agent was replaced meanwhile: the new one may have given the frames
 * to other clients before it knew this one (which it avoids for some seconds after its
 * start).  Meanwhile means: since the epoch was read, which is done before the first
 * frame is looked up; other threads may already use the new agent, and their epoch is
 * not that of these frames.
 */
#ifndef PMIO_CLIENT_IO_H
#define PMIO_CLIENT_IO_H

#include "client/client.h"

#define POPULATE_MIN (64u << 10) /* bytes: below this, a few page faults cost less than a call */
#define REDO_MAX 10 /* how often the agent may be replaced during a request */

/*
 * For `pmio stat`: in the handle, and in the client's record, which the agent sees
 * at any time.  Loads and stores, no locked additions, as each request does this.
 */
static inline void io_add_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

#define io_count(f, what, n)                                                          \
	do {                                                                          \
		io_add_count(&(f)->counts.what, n);                                   \
		io_add_count(&client_record((f)->pm)->counts.what, n);                \
	} while (0)

/* the bytes of all pieces; -EINVAL, -EFBIG: there cannot be such a request */
ssize_t io_check_pieces(const struct pmio_piece *pieces, size_t nr);

/*
 * the chunk's frame, or PMIO_CLAIM_*; needed: number of chunks of this request, starting here; how: PMIO_CLAIM_WRITE...;
 * known: out, may be NULL
 */
int io_get_frame(struct pmio_file *f, uint64_t chunk, uint64_t needed, uint32_t how, int64_t *frame, struct client_known *known);
/* without asking the agent, or waiting for a thread that does; -EAGAIN: the frame is not known, or there is none */
int io_get_frame_at_once(struct pmio_file *f, uint64_t chunk, int64_t *frame, struct client_known *known);

/*
 * Ask the agent to make blocks valid; until: not needed once these are valid (may be NULL).  If the agent returns
 * -EAGAIN, another process is just overwriting one of them as a whole: it will be valid soon or, if that process
 * dies, the agent fills it.
 */
int io_fill(struct pmio_file *f, uint64_t chunk, int64_t frame, const struct pmio_mask *blocks, const struct pmio_mask *until);

/* the request failed on every try, as the agent was replaced each time: logs it */
ssize_t io_never_done(const struct pmio_file *f, const char *what);

/*
 * are the frames that this handle knows those of the current agent?  flag: PMIO_OPEN_*; epoch: see client_begin_try()
 */
bool io_is_ready(const struct pmio_file *f, uint32_t flag, uint64_t *epoch);

#endif
