/* request.c -- requests that are answered later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "agent/conn.h"
#include "agent/pfs_fd.h"
#include "agent/reply.h"
#include "agent/request.h"
#include "agent/state.h"
#include "core/log.h"

void *request_new(struct agent *a, struct conn *c, const union pmio_any_msg *msg, size_t size)
{
	struct request *r = calloc(1, size + (msg ? msg->hdr.size : 0));

	if (!r) {
		pmio_err("agent: out of memory");
		if (c)
			agent_reply_status(a, c, &msg->hdr, -ENOMEM);
		return NULL;
	}
	r->conn_id = c ? c->id : 0;
	r->fd = -1;
	if (msg)
		r->msg = memcpy((char *)r + size, msg, msg->hdr.size);
	return r;
}

void request_free(struct agent *a, struct request *r)
{
	pfs_close(a, r->fd);
	free(r);
}

void request_finish(struct agent *a, struct request *r, int status)
{
	struct conn *c = agent_conn(a, r->conn_id);

	if (c)
		agent_reply_status(a, c, &r->msg->hdr, status);
	request_free(a, r);
}

/* ---- deferred requests ----------------------------------------------------------- */

void request_defer(struct agent *a, struct request **list, struct conn *c, const union pmio_any_msg *msg, int fd)
{
	struct request *r = request_new(a, c, msg, sizeof(*r));

	if (!r) {
		pfs_close(a, fd);
		return;
	}
	r->fd = fd;
	DL_APPEND(*list, r);
}

void requests_finish(struct agent *a, struct request **list, int status)
{
	struct request *r, *tmp, *head = *list;

	*list = NULL;
	DL_FOREACH_SAFE(head, r, tmp) {
		DL_DELETE(head, r);
		request_finish(a, r, status);
	}
}

static bool waits_for_chunk(const struct request *r, uint64_t chunk)
{
	if (r->msg->hdr.op == PMIO_OP_FILL)
		return r->msg->fill.chunk == chunk;
	return r->msg->hdr.op == PMIO_OP_STAGE && chunk >= r->msg->stage.first &&
	       (chunk - r->msg->stage.first) % r->msg->stage.step == 0 &&
	       (chunk - r->msg->stage.first) / r->msg->stage.step < r->msg->stage.nr;
}

void requests_finish_fills(struct agent *a, struct request **list, uint64_t chunk, int status)
{
	struct request *r, *tmp, *mine = NULL;

	DL_FOREACH_SAFE(*list, r, tmp) {
		if (!waits_for_chunk(r, chunk))
			continue;
		DL_DELETE(*list, r);
		DL_APPEND(mine, r);
	}
	requests_finish(a, &mine, status);
}

void requests_retry(struct agent *a, struct request **list)
{
	struct request *r, *tmp, *head = *list;

	*list = NULL; /* requests that must wait again go into a new list */
	DL_FOREACH_SAFE(head, r, tmp) {
		struct conn *c = agent_conn(a, r->conn_id);

		DL_DELETE(head, r);
		if (c) {
			int fd = r->fd;

			r->fd = -1;
			a->dispatch(a, c, r->msg, fd);
		}
		request_free(a, r);
	}
}
