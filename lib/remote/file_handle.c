/* file_handle.c -- the handle of a file in another node's pool: in each session with that node it is opened anew */
#include <errno.h>
#include <string.h>

#include "remote/file_impl.h"

static int say_open(struct remote_file *r, uint32_t flags, mode_t mode, struct remote_open_answer_msg *a)
{
	union {
		struct remote_open_msg m;
		uint8_t bytes[sizeof(struct remote_open_msg) + PATH_MAX];
	} u;
	size_t len = strlen(r->f.path) + 1, got;
	int rc;

	node_header(r->node, &u.m, REMOTE_OPEN, 0);
	u.m.flags = flags;
	u.m.mode = mode;
	memcpy(u.m.path, r->f.path, len);
	rc = node_call(r->node, &u.m, sizeof(u.m) + len, a, sizeof(*a), &got);
	return rc == 0 && got != sizeof(*a) ? PMIO_EPROTO : rc;
}

/* the session has changed since the handle was opened: open it again */
static int reopen(struct remote_file *r, uint64_t generation, uint64_t *handle)
{
	struct remote_open_answer_msg a;
	int rc = 0;

	pthread_mutex_lock(&r->lock);
	if (r->generation != generation) {
		rc = say_open(r, r->f.flags, 0, &a);
		if (rc == 0 && (a.dev != r->dev || a.ino != r->ino))
			rc = -ESTALE;
		if (rc == 0) {
			r->handle = a.handle;
			r->generation = generation;
		}
		if (rc < 0)
			pmio_err("open %s again at node %s: %s", r->f.path, r->node->endpoint.host,
				 rc == -ESTALE ? "it is another file now" : pmio_strerror(rc));
	}
	*handle = r->handle;
	pthread_mutex_unlock(&r->lock);
	/* for the caller this is a file that cannot be opened, not a lost session */
	return rc == -ESTALE ? -EIO : rc;
}

int file_enter(struct remote_file *r, struct file_at *at)
{
	uint64_t generation;
	int rc;

	at->node = r->node;
	rc = node_enter(at->node, &generation);
	if (rc < 0)
		return rc;
	rc = reopen(r, generation, &at->handle);
	if (rc < 0)
		node_leave(at->node, rc);
	return rc;
}

int file_in_sessions(struct remote_file *r, int most, int (*run)(struct remote_file *r, const struct file_at *at, void *arg), void *arg)
{
	int rc = -EIO;

	for (int tries = 0; tries < most; tries++) {
		struct file_at at;

		rc = file_enter(r, &at);
		if (rc == 0) {
			rc = run(r, &at, arg);
			node_leave(at.node, rc);
		}
		if (!node_is_lost(rc))
			return rc;
		if (rc == -ETIMEDOUT) /* do not wait a second time */
			break;
	}
	return -EIO;
}

int file_open_at(struct remote_file *r, const struct client_open *how)
{
	struct remote_open_answer_msg a;
	uint64_t generation = 0;
	int rc = node_enter(r->node, &generation);

	if (rc < 0)
		return rc;
	rc = say_open(r, how->flags, how->flags & PMIO_OPEN_CREATE ? client_apply_umask(how->mode) : 0, &a);
	if (rc == 0) {
		r->handle = a.handle;
		r->dev = r->f.dev = a.dev;
		r->ino = r->f.ino = a.ino;
		r->generation = generation;
	}
	node_leave(r->node, rc);
	return node_is_lost(rc) ? -EIO : rc;
}
