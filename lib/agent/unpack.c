/* unpack.c -- giving a packed file (pack.c) its own frame before a program opens it */
#include <errno.h>
#include <stdlib.h>
#include <uthash.h>

#include "agent/chunks.h"
#include "agent/claims.h"
#include "agent/drain.h"
#include "agent/file.h"
#include "agent/pack.h"
#include "agent/state.h"
#include "core/error.h"
#include "core/log.h"

static int unpack(struct agent *a, struct file *f)
{
	struct chunk *ch = files_add_chunk(f, 0, 0);
	uint64_t frame;
	int rc;

	if (!ch)
		return -ENOMEM;
	do
		rc = pmio_pool_unpack(a->pool, f->slot, &frame);
	while (rc == -ENOSPC && claims_make_room(a));
	if (rc < 0) {
		HASH_DEL(f->chunks, ch);
		free(ch);
		return rc;
	}
	ch->frame = (int64_t)frame;
	f->packed = false;
	return 0;
}

int unpack_to_open(struct agent *a, struct file *f)
{
	int rc;

	if (f->nr_jobs)
		return UNPACK_WHEN_IDLE;
	rc = unpack(a, f);
	if (rc == -ENOSPC && !f->error) {
		pmio_info("agent: %s: no frame is free: draining it before the open", f->path);
		file_hold_event(f, FILE_RELEASE_WANTED);
		file_event(f, FILE_DRAIN_WANTED);
		drain_start(a, f, NULL);
		return UNPACK_WHEN_IDLE;
	}
	if (rc < 0)
		pmio_err("agent: open %s: %s", f->path, rc == -ENOSPC ? "the pool is full, and the last drain of the file has failed" : pmio_strerror(rc));
	return rc;
}
