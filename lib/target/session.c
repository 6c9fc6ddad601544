/* session.c -- processes of other nodes, their sessions, bounce buffers and connections to the agent */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <uthash.h>
#include <utlist.h>

#include "core/clock.h"
#include "core/error.h"
#include "target/target_impl.h"

#define QUARANTINE_MS 1000000  /* reuse of a broken session's buffers: longer than TCP retransmits (tcp_retries2: 924 s) */

struct session *target_find_session(struct server *s, uint64_t id)
{
	struct session *n;

	HASH_FIND(hh, s->sessions, &id, sizeof(id), n);
	return n;
}

static void give_buffers_back(struct server *s, struct session *n)
{
	for (unsigned i = 0; i < n->nr_buffers; i++)
		s->buffer_free_ms[n->buffer[i]] = n->clean ? 0 : pmio_now_ms() + QUARANTINE_MS;
	n->nr_buffers = 0;
}

static void take_buffers(struct server *s, struct session *n, unsigned wanted)
{
	unsigned nr_free = 0;
	uint64_t now = pmio_now_ms();

	for (unsigned i = 0; i < NR_BUFFERS; i++)
		nr_free += s->buffer_free_ms[i] <= now;
	/* some are left for later sessions */
	if (wanted > 1 + nr_free / 8)
		wanted = 1 + nr_free / 8;
	if (wanted > REMOTE_BUFFERS_MAX)
		wanted = REMOTE_BUFFERS_MAX;
	for (unsigned i = 0; i < NR_BUFFERS && n->nr_buffers < wanted; i++) {
		if (s->buffer_free_ms[i] > now)
			continue;
		s->buffer_free_ms[i] = UINT64_MAX;
		n->buffer[n->nr_buffers++] = i;
	}
}

/* ---- connections to the agent; lock held -------------------------------------------- */

static void put_link(struct server *s, struct link *l)
{
	if (--l->nr_sessions)
		return;
	DL_DELETE(s->links, l);
	s->nr_links--;
	client_drop(&l->pm); /* the agent closes the open files */
	free(l);
}

/* make another one, without a session; releases the lock meanwhile */
static int make_link(struct server *s, struct link **out)
{
	struct link *l = calloc(1, sizeof(*l));
	int rc = -ENOMEM;

	*out = NULL;
	s->nr_links++;
	pthread_mutex_unlock(&s->lock);
	if (l)
		rc = client_connect(&s->settings, NULL, false, false, &l->pm);
	pthread_mutex_lock(&s->lock);
	if (rc < 0) {
		s->nr_links--;
		free(l);
		return rc;
	}
	DL_APPEND(s->links, l);
	*out = l;
	return 0;
}

static struct link *least_used_link(struct server *s)
{
	struct link *l, *best = NULL;

	DL_FOREACH(s->links, l) {
		if (!best || l->nr_sessions < best->nr_sessions)
			best = l;
	}
	if (best && !s->warned_links)
		pmio_info("target: sessions share connections to the agent from now on");
	s->warned_links |= best != NULL;
	return best;
}

int target_get_link(struct server *s, struct session *n)
{
	struct link *made = NULL, *l;
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	if (!n->link && s->nr_links < s->links_max)
		rc = make_link(s, &made);
	l = n->link ? n->link : made ? made : least_used_link(s);
	if (l && !n->link) {
		n->link = l;
		l->nr_sessions++;
	} else if (made) { /* another thread has made one meanwhile */
		made->nr_sessions++;
		put_link(s, made);
	}
	pthread_mutex_unlock(&s->lock);
	return l ? 0 : rc < 0 ? rc : -EAGAIN;
}

/* files of an ended session, on a connection that other sessions use */
struct closing {
	struct job job;		/* first */
	struct server *s;
	struct link *link;
	struct rhandle *handles; /* owned */
};

static void run_closing(struct job *job)
{
	struct closing *c = (struct closing *)job;
	struct rhandle *h, *next;

	for (h = c->handles; h; h = h->hh.next) {
		if (h->file->lock_fd >= 0)
			client_unlock(h->file);
	}
	HASH_ITER(hh, c->handles, h, next) {
		HASH_DEL(c->handles, h);
		pmio_close(&h->file); /* waits for the file's drain */
		free(h);
	}
	pthread_mutex_lock(&c->s->lock);
	put_link(c->s, c->link);
	pthread_mutex_unlock(&c->s->lock);
	free(c);
}

static void run_closing_relayed(struct job *job)
{
	struct rhandle *h = (struct rhandle *)job;

	relays_close(h->server->relays, h->relayed, 0);
	free(h);
}

static void close_relayed(struct server *s, struct session *n)
{
	struct rhandle *h, *next;

	HASH_ITER(hh, n->handles, h, next) {
		if (!h->relayed)
			continue;
		HASH_DEL(n->handles, h);
		h->server = s;
		h->job = (struct job){ .run = run_closing_relayed };
		workers_submit(s->workers, &h->job);
	}
}

static void close_handles(struct server *s, struct session *n)
{
	struct closing *c = n->handles && n->link->nr_sessions > 1 ? malloc(sizeof(*c)) : NULL;
	struct rhandle *h, *next;

	if (c) {
		*c = (struct closing){ .job.run = run_closing, .s = s, .link = n->link, .handles = n->handles };
		n->handles = NULL;
		n->link = NULL;
		workers_submit(s->workers, &c->job);
		return;
	}
	if (n->handles && n->link->nr_sessions > 1)
		pmio_err("target: files of process %u of node %s stay open: no memory to close them", n->process->pid,
			 n->process->host);
	HASH_ITER(hh, n->handles, h, next) {
		HASH_DEL(n->handles, h);
		free(h); /* the file belongs to the connection, and is closed with it */
	}
	if (n->link)
		put_link(s, n->link);
	n->link = NULL;
}

/* ---- removing layout files ---------------------------------------------------------- */

struct removal {
	struct job job;		/* first */
	uint8_t id[REMOTE_LAYOUT_ID];
	char *layout_file;	/* owned */
	bool keep;
};

static void run_removal(struct job *job)
{
	struct removal *r = (struct removal *)job;

	if (r->keep)
		remote_layout_file_keep(r->layout_file, r->id);
	else
		remote_layout_file_remove(r->layout_file, r->id, false);
	free(r->layout_file);
	free(r);
}

/* in a worker, as the file system may hang; frees layout_file */
static void remove_layout_file(struct server *s, char *layout_file, const uint8_t id[REMOTE_LAYOUT_ID], bool keep)
{
	struct removal *r = calloc(1, sizeof(*r));

	if (!r) {
		free(layout_file);
		return;
	}
	r->job.run = run_removal;
	memcpy(r->id, id, sizeof(r->id));
	r->layout_file = layout_file;
	r->keep = keep;
	workers_submit(s->workers, &r->job);
}

/* ---- processes and their sessions; lock held ------------------------------------------ */

struct process *target_get_process(struct server *s, const uint8_t id[16])
{
	struct process *p;

	HASH_FIND(hh, s->processes, id, sizeof(p->id), p);
	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	memcpy(p->id, id, sizeof(p->id));
	HASH_ADD(hh, s->processes, id, sizeof(p->id), p);
	return p;
}

static bool has_joined(const struct process *p)
{
	uint8_t id[REMOTE_LAYOUT_ID];
	bool joined;

	layouts_joined(p->memberships, 0, id, &joined);
	return joined;
}

void target_note_lost(struct server *s, struct process *p)
{
	const char *layout_file;
	uint8_t id[REMOTE_LAYOUT_ID];
	bool joined;

	if (p->warned_lost)
		return;
	p->warned_lost = true;
	for (unsigned i = 0; (layout_file = layouts_joined(p->memberships, i, id, &joined)) != NULL || joined; i++) {
		if (layout_file)
			pmio_warn("target: %s is kept for process %u of node %s, which may still have the file open; if that process "
				  "is certainly dead, remove this file", layout_file, p->pid, p->host);
	}
	s->keeper_wanted = true;
}

void target_put_process(struct server *s, struct process *p)
{
	uint8_t id[REMOTE_LAYOUT_ID];
	char *layout_file;
	bool keep;

	if (p->sessions)
		return;
	if (!p->dead && has_joined(p)) {
		target_note_lost(s, p);
		return;
	}
	while ((layout_file = layouts_end(s->layouts, &p->memberships, id, &keep)) != NULL)
		remove_layout_file(s, layout_file, id, keep);
	HASH_DEL(s->processes, p);
	free(p);
	s->busy_ms = pmio_now_ms();
}

static void answer_hello(struct server *s, struct session *n)
{
	struct pmio_fabric_call *call = n->hello;
	struct remote_hello_answer_msg a = { .session = n->id, .liveness = s->port, .chunk_size = s->endpoint.chunk_size };

	n->hello = NULL;
	n->since_ms = pmio_now_ms();
	take_buffers(s, n, n->wanted_buffers);
	a.vital = n->process->vital ? n->process->vital->id : 0;
	memcpy(a.uuid, s->endpoint.uuid, sizeof(a.uuid));
	snprintf(a.host, sizeof(a.host), "%s", s->endpoint.host);
	a.nr_buffers = (uint16_t)n->nr_buffers;
	for (unsigned i = 0; i < n->nr_buffers; i++)
		a.buffer[i] = (uint64_t)n->buffer[i] * REMOTE_BUFFER_SIZE;
	pmio_fabric_reply(call, 0, &a, sizeof(a));
}

void target_go_on(struct server *s, struct process *p)
{
	struct session *n, *last = p->sessions ? p->sessions->prev : NULL;

	if (!last || !last->hello)
		return;
	DL_FOREACH(p->sessions, n) {
		if (n != last && n->nr_jobs)
			return;
	}
	answer_hello(s, last);
}

/* close its files and everything else except the liveness socket */
static void close_session(struct server *s, struct session *n)
{
	struct remote_job *j, *next;

	HASH_ITER(hh, s->jobs, j, next) {
		if (j->session != n)
			continue;
		HASH_DEL(s->jobs, j); /* done, and no WAIT will come */
		free(j->data);
		free(j);
	}
	if (n->hello)
		pmio_fabric_reply(n->hello, -ESTALE, NULL, 0);
	n->hello = NULL;
	close_relayed(s, n);
	close_handles(s, n);
	give_buffers_back(s, n);
	pmio_fabric_target_end_session(s->target, n->fabric);
	n->closed = true;
}

void target_close_liveness(struct server *s, struct session *n)
{
	if (n->liveness >= 0) {
		epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, n->liveness, NULL);
		close(n->liveness);
	}
	n->liveness = -1;
	if (n->process->vital == n)
		n->process->vital = NULL;
}

void target_put_session(struct server *s, struct session *n)
{
	struct process *p = n->process;

	if (n->nr_jobs || !n->ended)
		return;
	if (!n->closed)
		close_session(s, n);
	if (p->vital != n || p->dead) {
		target_close_liveness(s, n);
		DL_DELETE(p->sessions, n);
		HASH_DEL(s->sessions, n);
		free(n);
		s->busy_ms = pmio_now_ms();
	}
	target_go_on(s, p);
	target_put_process(s, p);
}

void target_end_session(struct server *s, struct session *n, bool clean)
{
	if (n->ended)
		return;
	n->ended = true;
	n->clean = clean;
	target_put_session(s, n);
}

void target_end_process(struct server *s, struct process *p)
{
	struct session *n, *next;

	p->dead = true;
	DL_FOREACH_SAFE(p->sessions, n, next) {
		/* the last one frees p */
		n->ended = true;
		target_put_session(s, n);
	}
}
