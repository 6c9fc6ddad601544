/*
 * session.c -- requests that outlive an agent, and the files that are open through it
 *
 * If the agent is gone, the client connects to another one, or starts it, and opens all open files
 * again with it before it sends the request again.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include <utlist.h>

#include "client/client.h"
#include "core/error.h"
#include "pfs/pfs.h"

void client_present_name(const struct pmio_file *f, char *name)
{
	if (f->pfs_fd < 0 || pmio_pfs_name(f->pfs_fd, name) < 0)
		snprintf(name, PATH_MAX, "%s", f->path);
}

/* pm->lock held: open f again; its claims are asked for again.  0, also if f is broken, or CLIENT_LOST */
static int reopen(struct pmio *pm, struct pmio_file *f)
{
	union pmio_any_msg msg, reply;
	int rc;

	f->handle = 0;
	if (f->broken)
		return 0;
	pmio_proto_request(&msg, PMIO_OP_OPEN, 0);
	msg.open.flags = f->flags;
	msg.open.map_lock = f->map_lock;
	client_present_name(f, msg.open.path);
	rc = client_call_with_fd(pm, &msg, f->pfs_fd, &reply, NULL);
	if (rc == CLIENT_LOST || rc == PMIO_ESTUCK)
		return rc;
	if (rc == 0 && (reply.open_reply.dev != f->dev || reply.open_reply.ino != f->ino))
		rc = -ESTALE;
	if (rc < 0) {
		pmio_err("open %s again with a new agent: %s", f->path, pmio_strerror(rc));
		f->broken = rc;
		return 0;
	}
	f->handle = reply.open_reply.handle;
	f->slot = reply.open_reply.slot;
	return 0;
}

/* pm->lock held */
static int reconnect(struct pmio *pm)
{
	struct pmio_file *f;
	int rc;

	if (client_is_forked(pm))
		return -EBADF;
	for (int tries = 0; tries < CLIENT_AGENTS_MAX; tries++) {
		client_drop_connection(pm);
		pmio_warn("pool %s: the agent is gone; starting another", pm->dir);
		rc = client_reach(pm, false);
		DL_FOREACH(pm->files, f) {
			if (rc == 0)
				rc = reopen(pm, f);
		}
		if (rc == PMIO_ESTUCK) /* not all files were reopened: the next call tries again */
			client_drop_connection(pm);
		if (rc != CLIENT_LOST)
			return rc;
	}
	return PMIO_EAGENT;
}

/* pm->lock held: repeat until an agent lives long enough to answer.  f: the file whose handle is filled in; NULL: none */
static int call_any_agent(struct pmio *pm, struct pmio_file *f, union pmio_any_msg *msg, int send_fd, union pmio_any_msg *reply, int *fd)
{
	int rc;

	for (int tries = 0;; tries++) {
		if (f && f->broken)
			return f->broken;
		if (f)
			msg->handle.handle = f->handle; /* at the same offset in all requests that have one */
		rc = client_call_with_fd(pm, msg, send_fd, reply, fd);
		if (rc != CLIENT_LOST)
			return rc;
		if (tries == CLIENT_AGENTS_MAX)
			return PMIO_EAGENT;
		rc = reconnect(pm);
		if (rc < 0)
			return rc;
	}
}

int client_file_call(struct pmio_file *f, union pmio_any_msg *msg, union pmio_any_msg *reply, int *fd)
{
	int rc;

	pthread_mutex_lock(&f->pm->lock);
	rc = call_any_agent(f->pm, f, msg, -1, reply, fd);
	pthread_mutex_unlock(&f->pm->lock);
	return rc;
}

int client_pool_call(struct pmio *pm, union pmio_any_msg *msg, int fd, union pmio_any_msg *reply)
{
	int rc;

	pthread_mutex_lock(&pm->lock);
	rc = call_any_agent(pm, NULL, msg, fd, reply, NULL);
	pthread_mutex_unlock(&pm->lock);
	return rc;
}

static int take_open_reply(struct pmio_file *f, const struct pmio_open_reply_msg *r)
{
	if (r->slot >= f->pm->view->nr_slots)
		return PMIO_EPROTO;
	f->handle = r->handle;
	f->slot = r->slot;
	f->dev = r->dev;
	f->ino = r->ino;
	f->cache_epoch = f->pm->epoch;
	return r->first == PMIO_CLAIM_NONE ? 0 : client_learn_frame(f, 0, r->first);
}

int client_attach(struct pmio_file *f, union pmio_any_msg *msg, union pmio_any_msg *reply)
{
	struct pmio *pm = f->pm;
	int rc, fd = -1;

	pthread_mutex_lock(&pm->lock);
	rc = call_any_agent(pm, NULL, msg, f->pfs_fd, reply, &fd);
	if (rc == 0)
		rc = take_open_reply(f, &reply->open_reply);
	if (rc == 0)
		client_add_file(f);
	pthread_mutex_unlock(&pm->lock);
	if (f->pfs_fd < 0)
		f->pfs_fd = fd;
	else if (fd >= 0)
		close(fd);
	return rc;
}

int client_detach(struct pmio_file *f, union pmio_any_msg *msg, union pmio_any_msg *reply)
{
	struct pmio *pm = f->pm;
	int rc;

	pthread_mutex_lock(&pm->lock);
	rc = call_any_agent(pm, f, msg, -1, reply, NULL);
	client_remove_file(f);
	pthread_mutex_unlock(&pm->lock);
	return rc;
}

int client_check_epoch(struct pmio_file *f, uint64_t *epoch)
{
	struct pmio *pm = f->pm;
	int rc = 0;

	pthread_mutex_lock(&pm->lock);
	if (pmio_pm_load64(&pm->view->super->epoch) != pm->epoch)
		rc = reconnect(pm);
	if (rc == 0)
		rc = f->broken;
	*epoch = pm->epoch;
	pthread_mutex_unlock(&pm->lock);
	return rc;
}
