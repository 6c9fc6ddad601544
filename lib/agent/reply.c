/* answers, the clients that get them, and deferred requests */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "agent/agent_impl.h"

struct conn *agent_conn(struct agent *a, uint64_t id)
{
	struct conn *c;

	HASH_FIND(hh, a->conns, &id, sizeof(id), c);
	return c && !c->dead ? c : NULL;
}

unsigned conn_count_clients(const struct agent *a)
{
	unsigned nr = 0;

	for (struct conn *c = a->conns; c; c = c->hh.next)
		nr += !c->dead && c->greeted && !c->admin; /* before HELLO it is not known what it is */
	return nr;
}

void conn_sum_counts(const struct agent *a, struct pmio_counts_df *sum)
{
	*sum = a->counts;
	for (struct conn *c = a->conns; c; c = c->hh.next) {
		if (c->client >= 0)
			counts_add(sum, &a->view->clients[c->client].counts);
	}
}

void agent_reply(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int fd)
{
	int rc;

	(void)a;
	if (c->dead)
		return;
	rc = pmio_proto_send(c->sock, msg, fd);
	if (rc < 0) {
		/* the client has gone, or does not read its answers: either ends the connection */
		if (rc != -EPIPE && rc != -ECONNRESET)
			pmio_err("agent: answer to process %u: %s", c->pid, pmio_strerror(rc));
		c->dead = true;
	}
}

void agent_reply_status(struct agent *a, struct conn *c, const struct pmio_hdr_msg *req, int status)
{
	union pmio_any_msg msg;

	pmio_proto_reply(&msg, req, status);
	agent_reply(a, c, &msg, -1);
}

struct deferred *deferred_new(struct conn *c, const union pmio_any_msg *msg)
{
	struct deferred *p = calloc(1, offsetof(struct deferred, msg) + msg->hdr.size);

	if (!p) {
		pmio_err("agent: out of memory");
		return NULL;
	}
	p->conn_id = c->id;
	p->fd = -1;
	memcpy(&p->msg, msg, msg->hdr.size);
	return p;
}

void deferred_add(struct agent *a, struct deferred **list, struct conn *c, const union pmio_any_msg *msg, int fd)
{
	struct deferred *p = deferred_new(c, msg);

	if (!p) {
		pfs_close(a, fd);
		agent_reply_status(a, c, &msg->hdr, -ENOMEM);
		return;
	}
	p->fd = fd;
	DL_APPEND(*list, p);
}

void deferred_answer(struct agent *a, struct deferred **list, int status)
{
	struct deferred *p, *tmp, *head = *list;

	*list = NULL;
	DL_FOREACH_SAFE(head, p, tmp) {
		struct conn *c = agent_conn(a, p->conn_id);

		if (c)
			agent_reply_status(a, c, &p->msg.hdr, status);
		DL_DELETE(head, p);
		pfs_close(a, p->fd);
		free(p);
	}
}

static bool waits_for_chunk(const struct deferred *p, uint64_t chunk)
{
	if (p->msg.hdr.op == PMIO_OP_FILL)
		return p->msg.fill.chunk == chunk;
	return p->msg.hdr.op == PMIO_OP_STAGE && chunk >= p->msg.stage.first &&
	       (chunk - p->msg.stage.first) % p->msg.stage.step == 0 &&
	       (chunk - p->msg.stage.first) / p->msg.stage.step < p->msg.stage.nr;
}

void deferred_answer_fills(struct agent *a, struct deferred **list, uint64_t chunk, int status)
{
	struct deferred *p, *tmp, *mine = NULL;

	DL_FOREACH_SAFE(*list, p, tmp) {
		if (!waits_for_chunk(p, chunk))
			continue;
		DL_DELETE(*list, p);
		DL_APPEND(mine, p);
	}
	deferred_answer(a, &mine, status);
}

void deferred_retry(struct agent *a, struct deferred **list)
{
	struct deferred *p, *tmp, *head = *list;

	*list = NULL; /* requests that must wait again go into a new list */
	DL_FOREACH_SAFE(head, p, tmp) {
		struct conn *c = agent_conn(a, p->conn_id);

		DL_DELETE(head, p);
		if (c)
			a->dispatch(a, c, &p->msg, p->fd);
		else
			pfs_close(a, p->fd);
		free(p);
	}
}
