/* reply.c -- answers, and the clients that get them */
#include <errno.h>
#include <uthash.h>

#include "agent/conn.h"
#include "agent/reply.h"
#include "agent/state.h"
#include "core/error.h"
#include "core/log.h"

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
		nr += !c->dead && c->greeted && !c->admin; /* before HELLO its kind is not known */
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
		/* the client has disconnected, or does not read its answers: both end the connection */
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
