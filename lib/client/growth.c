/*
 * growth.c -- the size of a file of several nodes in its metadata server's slot, and which other slots may have a larger
 * one
 *
 * A node's writes raise the size in the slot of its own pool, durably.  Once that node is registered as a grower in the
 * metadata server's slot (client_grow() with its bit), these writes need not tell the metadata server: queries of the size
 * also ask the nodes that are registered there (lib/remote/striped_size.c).
 */
#include <errno.h>

#include "client/client.h"
#include "core/error.h"

int client_growth(struct pmio_file *f, struct client_growth *g)
{
	const struct pmio_slot_df *slot;

	if (f->ops)
		return f->ops->growth ? f->ops->growth(f, g) : -EOPNOTSUPP;
	slot = client_slot(f);
	/* before the size: a node that is not registered yet tells the metadata server its size when it registers */
	g->growers = pmio_pm_load64(&slot->growers);
	g->cuts = pmio_pm_load64(&slot->cuts);
	g->size = pmio_pm_load64(&slot->size);
	if (f->broken)
		return f->broken;
	return g->size > INT64_MAX ? PMIO_EDAMAGED : 0;
}

int client_raise(struct pmio_file *f, uint64_t size, uint64_t cuts)
{
	union pmio_any_msg msg, reply;

	if (f->ops)
		return f->ops->raise ? f->ops->raise(f, size, cuts) : -EOPNOTSUPP;
	pmio_proto_request(&msg, PMIO_OP_RAISE, 0);
	msg.raise.size = size;
	msg.raise.cuts = cuts;
	return client_file_call(f, &msg, &reply, NULL);
}
