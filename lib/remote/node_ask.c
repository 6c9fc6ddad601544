/* node_ask.c -- whole calls: each enters the session, and is repeated if that was lost and the call is idempotent */
#include <errno.h>
#include <string.h>

#include "remote/node_impl.h"

static int ask_once(struct node *n, void *msg, size_t len, enum remote_op op, void *answer, size_t room,
		    size_t *answer_len)
{
	uint64_t generation;
	int rc = node_enter(n, &generation);

	if (rc < 0)
		return rc;
	node_header(n, msg, op, 0);
	rc = node_call(n, msg, len, answer, room, answer_len);
	node_leave(n, rc);
	return rc;
}

/* all but POINTER: it is unknown whether the target has moved it already */
static bool may_be_repeated(const void *msg)
{
	const struct remote_hdr_msg *h = msg;

	if (h->op == REMOTE_RELAY)
		h = (const struct remote_hdr_msg *)((const struct remote_relay_msg *)msg)->msg;
	return h->op != REMOTE_POINTER;
}

int node_ask(struct node *n, void *msg, size_t len, enum remote_op op, void *answer, size_t room, size_t *answer_len)
{
	int rc = ask_once(n, msg, len, op, answer, room, answer_len);

	/* not after a timeout, which was long enough */
	if (node_is_lost(rc) && rc != -ETIMEDOUT && may_be_repeated(msg)) {
		rc = ask_once(n, msg, len, op, answer, room, answer_len);
		if (rc == -ENOENT && (op == REMOTE_LEAVE || op == REMOTE_DELETE))
			rc = 0; /* the first try was carried out */
	}
	return node_is_lost(rc) ? -EIO : rc;
}

void node_relay_message(struct remote_relay_msg *m, const uint8_t layout[REMOTE_LAYOUT_ID], struct node *to, enum remote_op op)
{
	struct remote_hdr_msg h = { .version = REMOTE_VERSION, .op = (uint16_t)op };

	memset(m, 0, sizeof(*m));
	memcpy(m->layout, layout, sizeof(m->layout));
	node_newest(to, &m->to);
	memcpy(m->msg, &h, sizeof(h));
}

int node_claim(struct node *n, struct remote_claim_msg *m, struct remote_claim_answer_msg *a)
{
	size_t got;
	int rc = node_ask(n, m, sizeof(*m), REMOTE_CLAIM, a, sizeof(*a), &got);

	return rc == 0 && got != sizeof(*a) ? PMIO_EPROTO : rc;
}

int remote_pass_on(const struct pmio_settings *settings, const struct remote_endpoint *to, void *msg, size_t len, void *answer, size_t room,
		   size_t *answer_len)
{
	struct node *n = node_get(settings, to);

	return n ? node_ask(n, msg, len, ((const struct remote_hdr_msg *)msg)->op, answer, room, answer_len) : -ENOMEM;
}
