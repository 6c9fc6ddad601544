/*
 * append.c -- writing at the end of a file that other processes may extend at the same time
 *
 * A part of the file is reserved by one addition to its size; then the bytes are written there as by any other write.
 * So appends of all processes and threads get different parts, and none that another write has added to the file before.
 * The size need not be durable before the bytes: the write makes both durable.  The size of a file of several nodes is
 * kept by its metadata server (lib/remote), where the addition is made; the bytes go where those of any other write go.
 */
#include <errno.h>

#include "client/client.h"
#include "core/error.h"

struct append_place {
	bool taken;
	uint64_t at;
	uint32_t slot;
	uint64_t generation; /* of the slot: with the same one it is the same file */
};

/* with the current agent: epoch */
static int take(struct pmio_file *f, uint64_t len, bool settled, struct append_place *p)
{
	struct pmio_view *v = f->pm->view;
	uint32_t slot = f->slot;
	uint64_t generation = pmio_pm_load64(&v->slots[slot].generation);

	if (p->taken && p->slot == slot && p->generation == generation)
		return 0; /* the agent was replaced after this was reserved: the size is in the pool, and survives an agent's death */
	if (!settled && pmio_pm_load64(&v->slots[slot].growers) != PMIO_GROWERS_KNOWN)
		return -EAGAIN;
	if (!pmio_pm_add64(v->pm, &v->slots[slot].size, len, INT64_MAX, &p->at))
		return -EFBIG;
	p->taken = true;
	p->slot = slot;
	p->generation = generation;
	return 0;
}

int client_reserve(struct pmio_file *f, uint64_t len, bool settled, uint64_t *at)
{
	struct append_place p = { .taken = false };
	bool done = false;
	uint64_t epoch;
	int rc = 0;

	if (!(f->flags & PMIO_OPEN_WRITE))
		return -EBADF;
	if (f->ops)
		return f->ops->reserve(f, len, settled, at);

	for (int tries = 0; tries < CLIENT_AGENTS_MAX && rc == 0 && !done; tries++) {
		rc = client_begin_try(f, &epoch);
		if (rc == 0)
			rc = f->broken;
		if (rc == 0)
			rc = take(f, len, settled, &p);
		done = rc == 0 && client_is_agent(f, epoch);
	}
	*at = p.at;
	return rc < 0 || done ? rc : PMIO_EAGENT;
}

ssize_t pmio_append(struct pmio_file *f, const void *buf, size_t len, off_t *at)
{
	uint64_t start = 0;
	off_t size = 0;
	ssize_t n;
	int rc;

	if (!(f->flags & PMIO_OPEN_WRITE))
		return -EBADF;
	if (len > SSIZE_MAX)
		return -EINVAL;
	rc = len ? client_reserve(f, len, true, &start) : pmio_size(f, &size);
	if (rc < 0) {
		pmio_err("append to %s: %s", f->path, pmio_strerror(rc));
		return rc;
	}
	n = len ? pmio_pwrite(f, buf, len, (off_t)start) : 0;
	if (n >= 0 && at)
		*at = len ? (off_t)start : size;
	return n;
}
