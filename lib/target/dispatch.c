/* dispatch.c -- the operations of calls: carried out at once, or as a job of a worker */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <uthash.h>

#include "core/clock.h"
#include "core/error.h"
#include "target/target_impl.h"

static int do_job(struct server *s, struct remote_job *j)
{
	j->answer_len = 0;
	switch (j->msg.hdr.op) {
	case REMOTE_OPEN:
		return target_do_open(s, j);
	case REMOTE_DELETE:
		return target_do_delete(s, j);
	case REMOTE_STAT:
		return target_do_stat(s, j);
	case REMOTE_LEAVE:
		return target_do_leave(s, j);
	case REMOTE_WATCH:
		return target_do_watch(s, j);
	case REMOTE_RELAY:
		return target_do_relay(s, j);
	default:
		return target_do_handle(s, j);
	}
}

/* an error of a file system must not look like one of the session */
static int own_error(int rc)
{
	return rc == -ETIMEDOUT || rc == -ECONNRESET || rc == -ESTALE || rc == -ENOTCONN || rc == -EINPROGRESS
		       ? -EIO
		       : rc;
}

/* lock held */
static void answer(struct server *s, struct remote_job *j)
{
	struct pmio_fabric_call *call = j->call;

	j->done = true;
	if (!call)
		return; /* the client will ask for the result */
	HASH_DEL(s->jobs, j);
	pmio_fabric_reply(call, j->status, j->data ? j->data : &j->answer, j->status == 0 ? j->answer_len : 0);
	free(j->data);
	free(j);
}

static void run_job(struct job *job)
{
	struct remote_job *j = (struct remote_job *)job;
	struct server *s = j->server;
	struct session *n = j->session;

	j->status = own_error(do_job(s, j));
	pthread_mutex_lock(&s->lock);
	answer(s, j);
	n->nr_jobs--;
	target_put_session(s, n);
	pthread_mutex_unlock(&s->lock);
}

/* lock held: WAIT asks for the answer to an earlier call */
static void take_wait(struct server *s, struct session *n, struct pmio_fabric_call *call, uint64_t ticket)
{
	struct remote_job *j;

	HASH_FIND(hh, s->jobs, &ticket, sizeof(ticket), j);
	if (!j || j->session != n || j->call) {
		pmio_fabric_reply(call, PMIO_EPROTO, NULL, 0);
		return;
	}
	j->call = call;
	j->since_ms = pmio_now_ms();
	if (j->done)
		answer(s, j);
}

static struct remote_job *new_job(struct pmio_fabric_call *call, const void *msg, size_t len)
{
	struct remote_job *j = malloc(offsetof(struct remote_job, msg) + (len > JOB_MSG_MIN ? len : JOB_MSG_MIN));

	if (!j)
		return NULL;
	memset(j, 0, offsetof(struct remote_job, msg));
	j->call = call;
	j->len = len;
	j->since_ms = pmio_now_ms();
	memcpy(j->msg.bytes, msg, len);
	return j;
}

/*
 * lock held: GROW without a worker if it is only a store to the pool: in some programs
 * each write makes the file longer, and the ranks wait for this.
 */
static bool grow_at_once(struct session *n, struct pmio_fabric_call *call, const void *msg, size_t len)
{
	const struct remote_grow_msg *m = msg;
	struct remote_size_answer_msg a = { 0 };
	struct rhandle *h;

	if (!target_is_grow(m, len))
		return false;
	a.size = m->size;
	h = target_find_handle(n, m->hdr.handle);
	if (!h || !client_grow_at_once(h->file, &a.size, m->growers))
		return false;
	pmio_fabric_reply(call, 0, &a, sizeof(a));
	return true;
}

/* lock held: SIZE, which only loads */
static bool size_at_once(struct session *n, struct pmio_fabric_call *call, const struct remote_hdr_msg *m)
{
	struct rhandle *h = target_find_handle(n, m->handle);
	struct remote_growth_answer_msg a;
	struct client_growth g = { 0 };
	int rc;

	if (h && h->relayed)
		return false;
	rc = h ? client_growth(h->file, &g) : -EBADF;
	a = (struct remote_growth_answer_msg){ g.size, g.growers, g.cuts };
	pmio_fabric_reply(call, own_error(rc), &a, rc == 0 ? sizeof(a) : 0);
	return true;
}

/*
 * lock held: pieces within the message, for known frames, without a worker: waking it up, and another wake-up for the
 * answer, cost more than copying them here.  They are copied directly between the provider's buffer and the pool.
 * raised: out: it has made the file longer before it had to wait
 */
static bool io_at_once(struct server *s, struct session *n, struct pmio_fabric_call *call, const void *msg, size_t len, bool *raised)
{
	struct target_io io = { .m = msg, .len = len, .at_once = true };
	struct rhandle *h;
	int rc;

	if ((io.m->hdr.op != REMOTE_WRITE && io.m->hdr.op != REMOTE_READ) || !target_is_io(n, io.m, len) ||
	    io.m->buffer != REMOTE_NO_BUFFER)
		return false;
	h = target_find_handle(n, io.m->hdr.handle);
	io.answer = h ? pmio_fabric_reply_room(call) : NULL;
	rc = io.answer ? target_do_io(s, n, h->file, &io) : -EAGAIN;
	*raised = io.raised;
	if (rc == -EAGAIN)
		return false;
	pmio_fabric_reply_from_room(call, own_error(rc), rc == 0 ? io.answer_len : 0);
	return true;
}

/* lock held; calls that need neither agent nor file system are answered even if all workers wait for a file system */
static bool take_at_once(struct server *s, struct session *n, struct pmio_fabric_call *call, const void *msg, size_t len)
{
	const struct remote_hdr_msg *h = msg;

	switch (h->op) {
	case REMOTE_WAIT:
		take_wait(s, n, call, h->handle);
		return true;
	case REMOTE_CLAIM:
		target_take_claim(s, n, call, msg, len);
		return true;
	case REMOTE_POINTER:
		target_take_pointer(s, call, msg, len);
		return true;
	case REMOTE_GROW:
		return grow_at_once(n, call, msg, len);
	case REMOTE_SIZE:
		return size_at_once(n, call, msg);
	default:
		return false;
	}
}


/* lock held */
static void take_sessions_call(struct server *s, struct session *n, struct pmio_fabric_call *call, const void *msg,
			       size_t len)
{
	struct remote_job *j;
	bool raised = false;

	if (take_at_once(s, n, call, msg, len) || io_at_once(s, n, call, msg, len, &raised))
		return;
	j = new_job(call, msg, len);
	if (!j) {
		pmio_fabric_reply(call, -ENOMEM, NULL, 0);
		return;
	}
	j->job.run = run_job;
	j->server = s;
	j->session = n;
	j->raised = raised;
	if (j->msg.hdr.op == REMOTE_JOIN) {
		pmio_fabric_reply(call, target_do_join(s, n, j), NULL, 0);
		free(j);
		return;
	}
	j->id = ++s->next_id;
	HASH_ADD(hh, s->jobs, id, sizeof(j->id), j);
	n->nr_jobs++;
	workers_submit(s->workers, &j->job);
}

void target_take_call(struct pmio_fabric_call *call, const void *msg, size_t len, void *arg)
{
	const struct remote_hdr_msg *h = msg;
	struct server *s = arg;
	int rc = 0;

	if (len < sizeof(*h) || h->op == 0 || h->op >= REMOTE_NR_OPS)
		rc = PMIO_EPROTO;
	else if (h->version != REMOTE_VERSION)
		rc = PMIO_EVERSION;
	if (rc < 0) {
		pmio_fabric_reply(call, rc, NULL, 0);
		return;
	}
	pthread_mutex_lock(&s->lock);
	if (h->op == REMOTE_HELLO) {
		target_take_hello(s, call, msg, len);
	} else {
		struct session *n = target_find_session(s, h->session);

		/* -ESTALE tells the client that its session is lost */
		if (!n || n->ended || n->hello || n->fabric != pmio_fabric_call_session(call))
			pmio_fabric_reply(call, -ESTALE, NULL, 0);
		else
			take_sessions_call(s, n, call, msg, len);
	}
	pthread_mutex_unlock(&s->lock);
}

void target_jobs_look(struct server *s, uint64_t now)
{
	for (struct remote_job *j = s->jobs; j; j = j->hh.next) {
		struct remote_ticket_msg t = { j->id };
		struct pmio_fabric_call *call = j->call;

		if (!call || j->done || now - j->since_ms < REMOTE_ANSWER_MS)
			continue;
		j->call = NULL;
		pmio_fabric_reply(call, -EINPROGRESS, &t, sizeof(t));
	}
}
