/* node_call.c -- messages to a target within a session, and the session's bounce buffers */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "remote/node_impl.h"

bool node_is_lost(int rc)
{
	return rc == -ETIMEDOUT || rc == -ECONNRESET || rc == -ESTALE || rc == -ENOTCONN;
}

void node_header(struct node *n, void *msg, enum remote_op op, uint64_t handle)
{
	struct remote_hdr_msg *h = msg;

	n->sent[op]++;
	h->version = REMOTE_VERSION;
	h->op = (uint16_t)op;
	h->reserved = 0;
	h->session = n->session;
	h->handle = handle;
}

/* ask again until the call is done */
static int await(struct node *n, int rc, void *answer, size_t room, size_t *answer_len)
{
	while (rc == -EINPROGRESS && *answer_len == sizeof(struct remote_ticket_msg)) {
		struct remote_hdr_msg m;
		struct pmio_fabric_exchange x = {
			.request = &m, .request_len = sizeof(m), .answer = answer, .answer_room = room,
		};
		struct remote_ticket_msg t;

		memcpy(&t, answer, sizeof(t));
		node_header(n, &m, REMOTE_WAIT, t.ticket);
		rc = pmio_fabric_call(n->peer, &x);
		*answer_len = x.answer_len;
	}
	return rc;
}

int node_call(struct node *n, const void *msg, size_t len, void *answer, size_t room, size_t *answer_len)
{
	uint64_t ticket;
	bool small = room < sizeof(ticket);
	struct pmio_fabric_exchange x = {
		.request = msg, .request_len = len, .answer = small ? &ticket : answer,
		.answer_room = small ? sizeof(ticket) : room,
	};
	int rc = pmio_fabric_call(n->peer, &x);

	*answer_len = x.answer_len;
	return await(n, rc, x.answer, x.answer_room, answer_len);
}

int node_wait(struct node *n, struct pmio_fabric_op **op, const void **answer, size_t *len)
{
	int rc = pmio_fabric_wait(*op, answer, len);

	while (rc == -EINPROGRESS && *len == sizeof(struct remote_ticket_msg)) {
		struct remote_ticket_msg t;
		struct remote_hdr_msg m;

		memcpy(&t, *answer, sizeof(t));
		pmio_fabric_end(op, NULL);
		node_header(n, &m, REMOTE_WAIT, t.ticket);
		rc = pmio_fabric_begin(n->peer, NULL, 0, &m, sizeof(m), op);
		if (rc == 0)
			rc = pmio_fabric_wait(*op, answer, len);
		else
			*len = 0;
	}
	return rc;
}

/* ---- bounce buffers ---------------------------------------------------------------------- */

int node_take_buffer(struct node *n, bool wait)
{
	unsigned i;

	pthread_mutex_lock(&n->lock);
	for (;;) {
		for (i = 0; i < n->nr_buffers && n->buffer_used[i]; i++)
			;
		if (i < n->nr_buffers || !wait || n->nr_buffers == 0)
			break;
		pthread_cond_wait(&n->buffer_free, &n->lock);
	}
	if (i < n->nr_buffers)
		n->buffer_used[i] = true;
	else
		i = REMOTE_NO_BUFFER;
	pthread_mutex_unlock(&n->lock);
	return (int)i;
}

void node_give_buffer(struct node *n, int buffer)
{
	pthread_mutex_lock(&n->lock);
	n->buffer_used[buffer] = false;
	pthread_cond_signal(&n->buffer_free);
	pthread_mutex_unlock(&n->lock);
}

/* ---- the log ----------------------------------------------------------------------------- */

void node_log_sent(const struct node *n)
{
	static const char *const names[REMOTE_NR_OPS] = {
		"", "hello", "wait", "open", "read", "write", "size", "truncate", "sync", "drain",
		"close", "delete", "lock", "unlock", "stat", "grow", "join", "leave", "claim", "watch",
		"stage", "pointer", "reserve", "raise", "relay",
	};
	char text[512] = "";
	size_t len = 0;

	for (int i = 0; i < REMOTE_NR_OPS && len < sizeof(text); i++) {
		if (n->sent[i])
			len += (size_t)snprintf(text + len, sizeof(text) - len, " %s=%u", names[i], n->sent[i]);
	}
	if (len)
		pmio_dbg("node %s: messages:%s", n->endpoint.host, text);
}
