/*
 * node_joins.c -- which layout sessions this process has joined at a target
 *
 * A target that was restarted knows no memberships.  The first session with it joins again, if the layout file still
 * exists and belongs to that layout session; otherwise other processes have treated it as a leftover, and this process
 * cannot continue with the file (node_is_member()).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "remote/node_impl.h"

static atomic_uint nr_ended; /* number of lost memberships */

static void free_membership(struct node *n, struct membership *m)
{
	DL_DELETE(n->memberships, m);
	free(m->layout_file);
	free(m);
}

static struct membership *find_membership(struct node *n, uint64_t number)
{
	struct membership *m;

	DL_FOREACH(n->memberships, m) {
		if (m->number == number)
			break;
	}
	return m;
}

struct membership_call {
	struct node *n;
	const struct membership *m;
	bool begins;
};

size_t node_join_message(union node_join *u, const uint8_t layout[REMOTE_LAYOUT_ID], uint64_t number, const char *layout_file,
			 enum remote_keep keep)
{
	struct remote_join_msg *m = &u->m;

	memset(m, 0, sizeof(*m));
	memcpy(m->layout, layout, sizeof(m->layout));
	m->number = number;
	m->create = layout_file != NULL;
	m->keep = keep;
	if (!layout_file)
		return sizeof(*m);
	strcpy(m->path, layout_file);
	return sizeof(*m) + strlen(layout_file) + 1;
}

static int send_membership(void *arg)
{
	const struct membership_call *s = arg;
	union node_join u;
	size_t got, len = node_join_message(&u, s->m->layout, s->m->number, s->begins ? s->m->layout_file : NULL,
					    s->m->left ? s->m->keep : 0);

	node_header(s->n, &u.hdr, s->m->left ? REMOTE_LEAVE : REMOTE_JOIN, 0);
	return node_call(s->n, &u, len, NULL, 0, &got);
}

/* 0; or the error that prevents the start of the session */
static int join_one_again(struct node *n, struct membership *m)
{
	struct membership_call s = { .n = n, .m = m };
	int rc = send_membership(&s);

	if (m->left && !node_is_lost(rc)) {
		free_membership(n, m);
		return 0;
	}
	if (rc != -ENOENT)
		return rc;
	/* the target was restarted, or the layout file was removed by hand */
	s.begins = true;
	rc = layout_file_locked(m->layout_file, m->layout, &n->endpoint, send_membership, &s);
	if (rc != -ENOENT)
		return rc;
	pmio_err("%s: node %s was restarted, or considered this process dead, and others have opened the file since: "
		 "this process's handles of it are no longer valid", m->layout_file, n->endpoint.host);
	free_membership(n, m);
	atomic_fetch_add(&nr_ended, 1);
	return 0;
}

int node_join_again(struct node *n)
{
	struct membership *m, *next;
	int rc = 0;

	DL_FOREACH_SAFE(n->memberships, m, next) {
		if (rc == 0)
			rc = join_one_again(n, m);
	}
	return rc;
}

int node_joined(struct node *n, const uint8_t layout[REMOTE_LAYOUT_ID], uint64_t number, const char *layout_file)
{
	struct membership *m = calloc(1, sizeof(*m));

	if (m)
		m->layout_file = strdup(layout_file);
	if (!m || !m->layout_file) {
		free(m);
		return -ENOMEM;
	}
	memcpy(m->layout, layout, sizeof(m->layout));
	m->number = number;
	pthread_mutex_lock(&n->lock);
	DL_APPEND(n->memberships, m);
	pthread_mutex_unlock(&n->lock);
	return 0;
}

void node_left(struct node *n, uint64_t number, bool known, enum remote_keep keep)
{
	struct membership *m;

	pthread_mutex_lock(&n->lock);
	m = find_membership(n, number);
	if (m && known) {
		free_membership(n, m);
	} else if (m) {
		m->left = true;
		m->keep = keep;
	}
	pthread_mutex_unlock(&n->lock);
}

bool node_forgot_any(void)
{
	return atomic_load(&nr_ended) != 0;
}

bool node_is_member(struct node *n, uint64_t number)
{
	bool is;

	pthread_mutex_lock(&n->lock);
	is = find_membership(n, number) != NULL;
	pthread_mutex_unlock(&n->lock);
	return is;
}

void node_free_memberships(struct node *n)
{
	struct membership *m, *next;

	DL_FOREACH_SAFE(n->memberships, m, next)
		free_membership(n, m);
}

void node_forget_lost_memberships(void)
{
	atomic_store(&nr_ended, 0);
}
