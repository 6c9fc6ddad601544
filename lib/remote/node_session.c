/*
 * node_session.c -- the session with a target: beginning it, using it, and ending it
 *
 * There is one session per process and target, shared by all threads and files; it has a liveness socket.
 *
 * A session that failed is dropped, and the next call makes another one, in which HELLO identifies the same process: its
 * memberships do not belong to a session.  So the end of a liveness socket has to mean the end of the process, and nothing
 * else: that of a dropped session stays open until the target has confirmed that it has the liveness socket of a later one.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "remote/node_impl.h"

#define RETRY_MS 1000 /* for this time after a failure further calls fail at once */

static _Atomic pid_t owner; /* the process that has the sessions; 0: there are none */

void node_set_owner(pid_t pid)
{
	owner = pid;
}

bool node_is_ours(void)
{
	pid_t pid = owner;

	return pid == 0 || pid == getpid();
}

/* ---- the endpoint descriptor ------------------------------------------------------------- */

void node_take_descriptor(struct node *n, const struct remote_endpoint *endpoint)
{
	pthread_mutex_lock(&n->newer_lock);
	if (n->newer.fabric.epoch != endpoint->fabric.epoch) {
		n->newer = *endpoint;
		n->newer.host[sizeof(n->newer.host) - 1] = '\0';
		n->has_newer = true;
	}
	pthread_mutex_unlock(&n->newer_lock);
}

void node_newest(struct node *n, struct remote_endpoint *endpoint)
{
	pthread_mutex_lock(&n->newer_lock);
	*endpoint = n->newer;
	pthread_mutex_unlock(&n->newer_lock);
}

/* n->lock held */
static bool is_alive(const struct node *n)
{
	return n->peer && !n->lost && node_liveness_is_open(&n->liveness);
}

/* n->lock held */
static void use_newer_descriptor(struct node *n)
{
	pthread_mutex_lock(&n->newer_lock);
	if (n->has_newer && n->endpoint.fabric.epoch != n->newer.fabric.epoch && !is_alive(n)) {
		n->endpoint = n->newer;
		n->lost = n->peer != NULL;
		n->retry_ms = 0;
	} else if (n->has_newer) {
		n->newer = n->endpoint; /* the same descriptor is accepted if it is received again */
	}
	n->has_newer = false;
	pthread_mutex_unlock(&n->newer_lock);
}

/* ---- beginning and ending; the node's lock held ------------------------------------------- */

/* this process lives, so a liveness socket that the target may watch stays open */
static void end_session(struct node *n)
{
	if (n->liveness.session)
		n->earlier[n->nr_earlier++] = n->liveness; /* handshake() makes sure that there is room */
	else
		node_liveness_close(&n->liveness);
	n->liveness = (struct liveness){ .sock = -1 };
	pmio_fabric_disconnect(&n->peer);
	n->lost = false;
	n->nr_buffers = 0;
	memset(n->buffer_used, 0, sizeof(n->buffer_used));
	pthread_cond_broadcast(&n->buffer_free);
}

static int send_hello(struct node *n, struct remote_hello_answer_msg *a)
{
	struct remote_hello_msg m = { .attempt = ++n->attempt, .pid = (uint32_t)getpid(), .buffers = REMOTE_BUFFERS_MAX };
	size_t len;
	int rc;

	node_header(n, &m, REMOTE_HELLO, 0);
	m.hdr.session = 0;
	memcpy(m.process, n->process, sizeof(m.process));
	if (gethostname(m.host, sizeof(m.host) - 1) < 0)
		m.host[0] = '\0';
	rc = node_call(n, &m, sizeof(m), a, sizeof(*a), &len);
	return rc == 0 && (len != sizeof(*a) || a->nr_buffers > REMOTE_BUFFERS_MAX) ? PMIO_EPROTO : rc;
}

static int handshake(struct node *n)
{
	struct remote_hello_answer_msg a;
	int rc = n->nr_earlier < LIVENESS_MAX ? send_hello(n, &a) : -EMFILE;

	if (rc < 0)
		return rc;
	node_liveness_close_earlier(n, a.vital);
	/* an endpoint descriptor without a uuid was made from an address only */
	if (memcmp(n->endpoint.uuid, (const uint8_t[16]){ 0 }, 16) == 0)
		memcpy(n->endpoint.uuid, a.uuid, sizeof(a.uuid));
	if (memcmp(n->endpoint.uuid, a.uuid, sizeof(a.uuid)) != 0)
		return PMIO_ENOTPOOL;
	n->session = a.session;
	n->endpoint.chunk_size = a.chunk_size;
	n->nr_buffers = a.nr_buffers;
	memcpy(n->buffer, a.buffer, sizeof(n->buffer));
	rc = node_liveness_identify(n, a.liveness);
	if (rc == 0)
		node_liveness_close_earlier(n, 0);
	return rc == 0 ? node_join_again(n) : rc;
}

static int begin_session(struct node *n)
{
	struct pmio_fabric_endpoint endpoint = n->endpoint.fabric;
	int rc;

	/* any epoch: a memory node that was restarted still has this process's data */
	endpoint.epoch = 0;
	/* TCP first, as the kernel reports at once if no process listens there; libfabric would report nothing */
	n->liveness.sock = n->endpoint.liveness ? node_liveness_connect(&n->endpoint, n->endpoint.liveness, n->timeout_ms) : -1;
	if (n->endpoint.liveness && n->liveness.sock < 0)
		return n->liveness.sock;
	rc = pmio_fabric_connect(n->initiator, &endpoint, n->endpoint.key, &n->peer);
	if (rc == 0)
		rc = handshake(n);
	if (rc < 0) {
		end_session(n);
		return rc;
	}
	n->generation++;
	n->warned = false;
	return 0;
}

/* ---- using it ----------------------------------------------------------------------------- */

/* the error for callers, who do not know about connections */
static int outwards(int rc)
{
	return rc == -EACCES || rc == -ENOMEM || rc == PMIO_ENOTPOOL || rc == PMIO_EVERSION ||
			       rc == PMIO_EPROTO
		       ? rc
		       : -EIO;
}

int node_enter(struct node *n, uint64_t *generation)
{
	int rc = 0;

	if (!node_is_ours())
		return PMIO_EAGENT;
	pthread_mutex_lock(&n->lock);
	use_newer_descriptor(n);
	if (n->lost && n->users == 0)
		end_session(n);
	if (!n->peer || n->lost) {
		/* calls that are still under way in the old session have to notice its end first */
		if (n->users || pmio_now_ms() < n->retry_ms)
			rc = n->last_error ? n->last_error : -EIO;
		else
			rc = begin_session(n);
	}
	if (rc < 0) {
		if (!n->warned)
			pmio_err("node %s: cannot be reached: %s", n->endpoint.host, pmio_strerror(rc));
		n->warned = true;
		n->last_error = rc;
		n->retry_ms = n->retry_ms > pmio_now_ms() ? n->retry_ms : pmio_now_ms() + RETRY_MS;
		rc = outwards(rc);
	} else {
		n->users++;
		*generation = n->generation;
	}
	pthread_mutex_unlock(&n->lock);
	return rc;
}

void node_leave(struct node *n, int rc)
{
	pthread_mutex_lock(&n->lock);
	if (node_is_lost(rc)) {
		if (!n->warned)
			pmio_err("node %s: lost: %s", n->endpoint.host,
				 rc == -ESTALE ? "its target was restarted" : pmio_strerror(rc));
		n->warned = n->lost = true;
		n->last_error = rc;
	}
	if (--n->users == 0 && n->lost)
		end_session(n);
	pthread_mutex_unlock(&n->lock);
}

bool node_has_ended(struct node *n)
{
	bool ended;

	if (!node_is_ours())
		return false;
	pthread_mutex_lock(&n->lock);
	ended = node_liveness_all_closed(n);
	pthread_mutex_unlock(&n->lock);
	return ended;
}

void node_end(struct node *n)
{
	pthread_mutex_lock(&n->lock);
	end_session(n);
	node_liveness_close_earlier(n, 0);
	node_log_sent(n);
	pthread_mutex_unlock(&n->lock);
}
