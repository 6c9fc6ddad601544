/* handshake.c -- the first call of a session */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>
#include <utlist.h>

#include "core/error.h"
#include "target/target_impl.h"

/* -EMFILE: the present sessions use all descriptors of this process; a known process replaces its own session */
static int look_for_room(struct server *s, const struct process *p)
{
	if (p->sessions || HASH_COUNT(s->sessions) < s->sessions_max)
		return 0;
	if (!s->warned_full)
		pmio_err("target: more than %u sessions: refusing others%s", s->sessions_max,
			 s->sessions_max < SESSIONS_MAX ? "; the limit of descriptors (ulimit -Hn) has no room for more" : "");
	s->warned_full = true;
	return -EMFILE;
}

static int new_session(struct server *s, struct process *p, const struct remote_hello_msg *m, struct session **out)
{
	struct session *n = calloc(1, sizeof(*n));
	int rc;

	if (!n)
		return -ENOMEM;
	do {
		rc = pmio_fabric_random(&n->id, sizeof(n->id));
		n->id &= ~ID_NEW;
	} while (rc == 0 && (n->id == 0 || n->id == ID_LISTEN || n->id == ID_SIGNAL || target_find_session(s, n->id)));
	if (rc < 0) {
		free(n);
		return rc;
	}
	n->liveness = -1;
	n->process = p;
	n->wanted_buffers = m->buffers;
	p->attempt = m->attempt;
	p->pid = m->pid;
	snprintf(p->host, sizeof(p->host), "%.*s", (int)sizeof(m->host) - 1, m->host);
	HASH_ADD(hh, s->sessions, id, sizeof(n->id), n);
	DL_APPEND(p->sessions, n);
	*out = n;
	return 0;
}

/*
 * Calls that the process has abandoned must not take effect after its later ones: no call of its earlier
 * sessions is accepted any more, and HELLO is answered when those that run have ended.  No thread waits
 * for that.
 */
static void end_earlier(struct server *s, struct session *successor)
{
	struct process *p = successor->process;
	struct session *n, *next;

	DL_FOREACH_SAFE(p->sessions, n, next) {
		if (n == successor)
			break;
		if (!n->ended)
			pmio_info("target: process %u of node %s replaces its session", p->pid, p->host);
		target_end_session(s, n, false);
	}
}

void target_take_hello(struct server *s, struct pmio_fabric_call *call, const void *msg, size_t len)
{
	const struct remote_hello_msg *m = msg;
	struct session *n = NULL;
	struct process *p = NULL;
	int rc = len == sizeof(*m) ? 0 : PMIO_EPROTO;

	if (rc == 0)
		p = target_get_process(s, m->process);
	if (rc == 0)
		rc = p ? look_for_room(s, p) : -ENOMEM;
	if (rc == 0 && (p->dead || m->attempt <= p->attempt))
		rc = -ESTALE; /* a later HELLO has arrived since then */
	if (rc == 0)
		rc = new_session(s, p, m, &n);
	if (rc < 0) {
		pmio_fabric_reply(call, rc, NULL, 0);
		if (p)
			target_put_process(s, p);
		return;
	}
	n->fabric = pmio_fabric_call_session(call);
	n->hello = call;
	if (p->warned_lost)
		pmio_warn("target: process %u of node %s has reconnected", p->pid, p->host);
	else if (n->prev == n)
		pmio_info("target: process %u of node %s has connected", p->pid, p->host);
	p->warned_lost = false;
	end_earlier(s, n);
	target_go_on(s, p);
}
