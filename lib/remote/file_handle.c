/*
 * file_handle.c -- the handle of a file in another node's pool, which is opened again in each session with that node
 *
 * The calls of a relayed file go to this node's own target, which makes them at the other node for all processes of its
 * node.  If that target has ended, the calls go directly to the other node from then on.  A target that merely does not
 * answer is not bypassed: it might later carry out calls that it has received, such as a truncation, after others were
 * made without it; and it would keep the file open.
 */
#include <errno.h>
#include <string.h>

#include "remote/file_impl.h"

/* r->lock held, or no other thread knows r */
static struct node *node_of(const struct remote_file *r)
{
	return r->relay ? r->relay : r->target;
}

/* returns the epoch of the target's descriptor in the message */
static uint64_t relay_message(struct remote_relay_msg *m, const struct remote_file *r, enum remote_op op)
{
	node_relay_message(m, r->layout, r->target, op);
	return m->to.fabric.epoch;
}

/* send OPEN to the node that has the session, r->lock held; returns the target's answer, or an error */
static int say_open(struct remote_file *r, uint32_t flags, mode_t mode, struct remote_open_answer_msg *a)
{
	union {
		struct remote_hdr_msg hdr;
		struct remote_open_msg open;
		struct remote_relay_msg relay;
		uint8_t bytes[sizeof(struct remote_relay_msg) + sizeof(struct remote_open_msg) + PATH_MAX];
	} u;
	struct remote_open_msg *m = r->relay ? (struct remote_open_msg *)u.relay.msg : &u.open;
	size_t len = strlen(r->f.path) + 1, got;
	struct node *n = node_of(r);
	int rc;

	if (r->relay)
		r->epoch = relay_message(&u.relay, r, REMOTE_OPEN);
	node_header(n, &u.hdr, r->relay ? REMOTE_RELAY : REMOTE_OPEN, 0);
	m->flags = flags;
	m->mode = mode;
	memcpy(m->path, r->f.path, len);
	rc = node_call(n, &u, (size_t)(m->path - (char *)u.bytes) + len, a, sizeof(*a), &got);
	return rc == 0 && got != sizeof(*a) ? PMIO_EPROTO : rc;
}

/* if the session has changed since the handle was opened, open it again; 1: another thread has abandoned the relay */
static int reopen(struct remote_file *r, uint64_t generation, struct file_at *at)
{
	struct remote_open_answer_msg a;
	int rc = 0;

	pthread_mutex_lock(&r->lock);
	if (at->node != node_of(r)) {
		rc = 1;
	} else if (r->generation != generation) {
		rc = say_open(r, r->f.flags, 0, &a);
		if (rc == 0 && (a.dev != r->dev || a.ino != r->ino))
			rc = -ESTALE;
		if (rc == 0) {
			r->handle = a.handle;
			r->generation = generation;
		}
		if (rc < 0)
			pmio_err("open %s again at node %s: %s", r->f.path, r->target->endpoint.host,
				 rc == -ESTALE ? "it is another file now" : pmio_strerror(rc));
	}
	at->handle = r->handle;
	pthread_mutex_unlock(&r->lock);
	/* for the caller this is a file that cannot be opened, not a lost session */
	return rc == -ESTALE ? -EIO : rc;
}

/* begin to use a session, without the file's handle in it */
static int enter(struct remote_file *r, struct node **n, uint64_t *generation)
{
	struct node *relay;
	int rc;

	pthread_mutex_lock(&r->lock);
	relay = r->relay;
	*n = node_of(r);
	pthread_mutex_unlock(&r->lock);
	rc = node_enter(*n, generation);
	if (rc == 0 || !relay || !node_has_ended(relay))
		return rc;
	pthread_mutex_lock(&r->lock);
	if (r->relay) {
		pmio_warn("%s: this node's target has ended: calling node %s directly", r->f.path, r->target->endpoint.host);
		r->relay = NULL;
		r->generation = 0; /* not opened in any session */
	}
	pthread_mutex_unlock(&r->lock);
	*n = r->target;
	return node_enter(*n, generation);
}

int file_enter(struct remote_file *r, struct file_at *at)
{
	uint64_t generation;
	int rc;

	do {
		rc = enter(r, &at->node, &generation);
		if (rc < 0)
			return rc;
		rc = reopen(r, generation, at);
		if (rc != 0)
			node_leave(at->node, rc < 0 ? rc : 0);
	} while (rc > 0);
	return rc;
}

/* tell the relay a newer descriptor of the target, if this process knows one that the relay may not know */
static void tell_news(struct remote_file *r)
{
	union {
		struct remote_relay_msg m;
		uint8_t bytes[sizeof(struct remote_relay_msg) + sizeof(struct remote_hdr_msg)];
	} u;
	struct node *relay;
	uint64_t epoch;
	size_t got;
	bool news;

	pthread_mutex_lock(&r->lock);
	relay = r->relay;
	epoch = relay ? relay_message(&u.m, r, REMOTE_HELLO) : r->epoch;
	news = r->epoch != epoch;
	r->epoch = epoch;
	pthread_mutex_unlock(&r->lock);
	if (news)
		node_ask(relay, &u, sizeof(u), REMOTE_RELAY, NULL, 0, &got);
}

int file_in_sessions(struct remote_file *r, int most, int (*run)(const struct file_at *at, void *arg), void *arg)
{
	int rc = -EIO;

	for (int tries = 0; tries < most; tries++) {
		struct file_at at = { .node = NULL };

		tell_news(r);
		rc = file_enter(r, &at);
		if (rc == 0) {
			rc = run(&at, arg);
			node_leave(at.node, rc);
		}
		if (!node_is_lost(rc))
			return rc;
		/* do not wait a second time, unless the first wait was for a relay that has ended */
		if (rc == -ETIMEDOUT && (at.node == r->target || !node_has_ended(at.node)))
			break;
	}
	return -EIO;
}

int file_open_at(struct remote_file *r, const struct client_open *how)
{
	struct remote_open_answer_msg a;
	uint64_t generation = 0;
	struct node *n;
	int rc = enter(r, &n, &generation);

	if (rc < 0)
		return rc;
	rc = say_open(r, how->flags, how->flags & PMIO_OPEN_CREATE ? client_apply_umask(how->mode) : 0, &a);
	if (rc == 0) {
		r->handle = a.handle;
		r->dev = r->f.dev = a.dev;
		r->ino = r->f.ino = a.ino;
		r->generation = generation;
	}
	node_leave(n, rc);
	return node_is_lost(rc) ? -EIO : rc;
}
