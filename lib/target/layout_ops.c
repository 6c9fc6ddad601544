/* layout_ops.c -- calls of files of several nodes: joining, leaving, claims, shared pointers, drain watches */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "client/admin.h"
#include "core/error.h"
#include "target/target_impl.h"

int target_do_join(struct server *s, struct session *n, const struct remote_job *j)
{
	const struct remote_join_msg *m = &j->msg.join;

	if (j->len < sizeof(*m) || !m->number || m->create > 1 || (m->create && !target_is_path(j, m->path)))
		return PMIO_EPROTO;
	return layouts_join(s->layouts, &n->process->memberships, m->layout, m->number, m->create ? m->path : NULL);
}

int target_do_leave(struct server *s, struct remote_job *j)
{
	const struct remote_join_msg *m = &j->msg.join;
	char *layout_file = NULL;
	bool keep = false, others;
	int rc;

	if (j->len != sizeof(*m) || m->keep > REMOTE_KEEP_NOT)
		return PMIO_EPROTO;
	pthread_mutex_lock(&s->lock);
	rc = layouts_leave(s->layouts, &j->session->process->memberships, m->layout, m->number, m->keep == REMOTE_KEEP, &layout_file, &keep);
	others = layouts_active(s->layouts, m->layout);
	pthread_mutex_unlock(&s->lock);
	if (layout_file && keep)
		remote_layout_file_keep(layout_file, m->layout);
	else if (layout_file)
		remote_layout_file_remove(layout_file, m->layout, m->keep == REMOTE_KEEP_NOT);
	free(layout_file);
	return rc == 0 && others ? 1 : rc;
}

bool target_layout_active(void *arg, const uint8_t id[REMOTE_LAYOUT_ID])
{
	struct server *s = arg;
	bool active;

	pthread_mutex_lock(&s->lock);
	active = layouts_active(s->layouts, id);
	pthread_mutex_unlock(&s->lock);
	return active;
}

static void watch_known(struct job *job)
{
	struct server *s = ((struct server_job *)job)->server;
	struct pmio_file_stat *st = malloc(sizeof(*st));
	struct pmio *pm = NULL;
	uint32_t cursor = 0;
	int rc = st ? client_connect(&s->settings, NULL, false, false, &pm) : -ENOMEM;

	while (rc == 0 && (rc = pmio_stat_next(pm, &cursor, st)) == 0)
		rc = st->state == PMIO_STATE_HELD ? 0 : watches_add(s->watches, st->path);
	if (rc < 0 && rc != -ENOENT)
		pmio_warn("target: cannot watch all files of the pool: %s; marks next to them may stay",
			  pmio_strerror(rc));
	if (pm)
		client_drop(&pm);
	free(st);
}

void target_watch_known(struct server *s)
{
	s->watcher = (struct server_job){ .job.run = watch_known, .server = s };
	workers_submit(s->workers, &s->watcher.job);
}

int target_do_watch(struct server *s, struct remote_job *j)
{
	if (j->len <= sizeof(j->msg.path) || !target_is_path(j, j->msg.path.path))
		return PMIO_EPROTO;
	return watches_add(s->watches, j->msg.path.path);
}

void target_take_claim(struct server *s, struct session *n, struct pmio_fabric_call *call, const void *msg, size_t len)
{
	const struct remote_claim_msg *m = msg;
	struct remote_claim_answer_msg a = { { 0 } };
	int rc = 0;

	if (len != sizeof(*m) || m->nr > REMOTE_CLAIM_MAX || m->wanted > m->nr || m->create > 1 ||
	    m->first > INT64_MAX)
		rc = PMIO_EPROTO;
	if (rc == 0 && m->create)
		rc = layouts_create(s->layouts, &n->process->memberships, m->layout);
	if (rc == 0)
		rc = layouts_claim(s->layouts, m->layout, m->first, m->nr, m->wanted, m->holder, a.holder);
	pmio_fabric_reply(call, rc, &a, rc == 0 ? sizeof(a) : 0);
}

void target_take_pointer(struct server *s, struct pmio_fabric_call *call, const void *msg, size_t len)
{
	const struct remote_pointer_msg *m = msg;
	struct remote_pointer_answer_msg a = { .was = 0 };
	int rc = PMIO_EPROTO;

	if (len == sizeof(*m) && m->how <= REMOTE_POINTER_END)
		rc = layouts_pointer(s->layouts, m->layout, m->pointer, (enum remote_pointer_how)m->how, m->value, &a.was);
	pmio_fabric_reply(call, rc, &a, rc == 0 ? sizeof(a) : 0);
}
