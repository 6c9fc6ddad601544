/*
 * membership.c -- beginning, joining and leaving the layout session of a file by several nodes
 *
 * The layout file (layout_file.c) announces it.  A process joins at the first target in that file, the file's metadata
 * server (mds), and is a member until it leaves; node_joins.c joins again for it after a session was lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pfs/pfs.h"
#include "remote/layout_file.h"
#include "remote/remote_impl.h"
#include "remote/wire.h"
#include "core/backoff.h"

#define ANNOUNCERS_MAX 15 /* threads, in addition to the calling one */

/* a call without an answer may have been carried out: both are idempotent */
static int say(struct node *n, const struct remote_layout *layout, enum remote_op op, const char *layout_file, enum remote_keep keep)
{
	union node_join u;
	size_t got, len = node_join_message(&u, layout->id, layout->number, layout_file, keep);

	return node_ask(n, &u, len, op, NULL, 0, &got);
}

/* begins: the layout session begins, or continues after its last close */
static int say_join(const struct pmio_settings *settings, struct remote_layout *layout, const char *layout_file, bool begins)
{
	static _Atomic uint64_t joins;
	struct node *n = node_get(settings, &layout->endpoints[0]);
	int rc = n ? 0 : -ENOMEM;

	layout->number = atomic_fetch_add(&joins, 1) + 1;
	if (rc == 0)
		rc = say(n, layout, REMOTE_JOIN, begins ? layout_file : NULL, REMOTE_KEEP_IF_DIRTY);
	if (rc == 0)
		rc = node_joined(n, layout->id, layout->number, layout_file);
	layout->joined = rc == 0;
	return rc;
}

/* the file that was just made, fd, becomes the layout file of this layout session */
static int begin(const struct pmio_settings *settings, const char *path, const struct layout_names *m, struct remote_layout *layout, int fd)
{
	int rc;

	if (layout_file_has_rival(m)) {
		unlink(m->name);
		return -EEXIST;
	}
	/* before the first join it looks like a leftover */
	rc = layout_file_lock(fd, m->name, LOCK_EX);
	if (rc < 0) { /* no other process can change it either */
		unlink(m->name);
		return rc;
	}
	rc = layout_file_write_new(fd, path, m->born, layout);
	if (rc == 0)
		rc = pmio_pfs_sync_name(m->name, -1); /* so that it survives a crash of the file system's server, too */
	if (rc == 0)
		rc = say_join(settings, layout, m->name, true);
	layout->began = rc == 0;
	if (rc < 0) {
		pmio_err("%s: %s", m->name, pmio_strerror(rc));
		layout_file_remove_this(m->name, fd);
	}
	return rc;
}

int remote_layout_begin(const struct pmio_settings *settings, const char *path, struct remote_layout *layout)
{
	struct layout_names m;
	int fd, rc = layout_file_names(path, &m);

	if (rc == 0)
		rc = pmio_fabric_random(layout->id, sizeof(layout->id));
	if (rc < 0)
		return rc;
	fd = open(m.name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		rc = -errno;
		if (rc != -EEXIST)
			pmio_err("cannot create the layout file %s, which marks %s as open on several nodes: %s", m.name, path,
				 pmio_strerror(rc));
		return rc;
	}
	rc = begin(settings, path, &m, layout, fd);
	close(fd);
	return rc;
}

int remote_layout_leave(const struct pmio_settings *settings, const struct remote_layout *layout, enum remote_keep keep)
{
	struct node *n = node_get(settings, &layout->endpoints[0]);
	int rc = n ? say(n, layout, REMOTE_LEAVE, NULL, keep) : -ENOMEM;

	if (n)
		node_left(n, layout->number, rc >= 0 || rc == -ENOENT, keep);
	return rc;
}

int remote_layout_serve(const struct pmio_settings *settings, const struct remote_endpoint *mine,
			const struct remote_layout *layout)
{
	struct remote_claim_msg m = { .create = 1 };
	struct remote_claim_answer_msg a;
	struct node *n = node_get(settings, mine);

	memcpy(m.layout, layout->id, sizeof(m.layout));
	return n ? node_claim(n, &m, &a) : -ENOMEM;
}

struct announcement {
	const struct pmio_settings *settings;
	const struct remote_layout *layout;
	uint32_t step;
	_Atomic uint64_t next;	/* index of the next target to be told */
	atomic_int rc;		/* the first error */
};

static void *announce(void *arg)
{
	struct announcement *a = arg;
	uint64_t i;

	while (atomic_load(&a->rc) == 0 && (i = atomic_fetch_add(&a->next, a->step)) < a->layout->nr) {
		int rc = remote_layout_serve(a->settings, &a->layout->endpoints[i], a->layout), none = 0;

		if (rc < 0)
			atomic_compare_exchange_strong(&a->rc, &none, rc);
	}
	return NULL;
}

/* by several threads, as most of the time is spent waiting for sessions and answers */
int remote_layout_serve_all(const struct pmio_settings *settings, const struct remote_layout *layout, uint32_t first, uint32_t step)
{
	struct announcement a = { .settings = settings, .layout = layout, .step = step, .next = first };
	pthread_t threads[ANNOUNCERS_MAX];
	sigset_t all, before;
	unsigned nr = 0;

	sigfillset(&all); /* signals are for the program's threads */
	pthread_sigmask(SIG_BLOCK, &all, &before);
	while (nr < ANNOUNCERS_MAX && first + (uint64_t)(nr + 1) * step < layout->nr && pthread_create(&threads[nr], NULL, announce, &a) == 0)
		nr++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	announce(&a); /* if no threads could be started, this does all */
	while (nr > 0)
		pthread_join(threads[--nr], NULL);
	return atomic_load(&a.rc);
}

/* 0: joined; -ENOENT: it is a leftover, or has just been removed; -EBUSY */
static int join(const struct pmio_settings *settings, const char *layout_file, struct remote_layout *layout)
{
	const struct remote_endpoint *mds = &layout->endpoints[0];
	int rc = node_probe(mds, (unsigned)settings->num[PMIO_SET_TIMEOUT] * 1000);

	if (rc == -ECONNREFUSED)
		return -ENOENT; /* the host runs, but not the target */
	if (rc == 0)
		rc = say_join(settings, layout, layout_file, false);
	if (rc == 0 || rc == -ENOENT)
		return rc;
	pmio_err("%s: the file is in use on node %s, which cannot be reached (%s); if its job has ended, "
		 "remove this file", layout_file, mds->host, pmio_strerror(rc));
	return -EBUSY;
}

/* log which nodes have dirty data */
static void say_kept(const char *layout_file, const struct remote_layout *layout)
{
	char hosts[512] = "";
	size_t len = 0;

	for (uint32_t i = 0; i < layout->nr && len < sizeof(hosts) - 70; i++) {
		if (layout->endpoints[i].dirty)
			len += (size_t)snprintf(hosts + len, sizeof(hosts) - len, "%s%s", len ? ", " : "",
						layout->endpoints[i].host);
	}
	pmio_err("%s: data that could not be drained wait in the pool of %s: run `pmio drain FILE` there", layout_file,
		 hosts);
}

/*
 * Memory nodes have dirty data, and may have begun to drain them.  The holders of pieces do not depend on
 * claims there, so the layout session continues with its list of targets.  Under the lock, as the file may be about to
 * be removed.
 */
static int take_up(const struct pmio_settings *settings, const char *layout_file, const char *born,
		   struct remote_layout *layout)
{
	struct remote_layout now;
	struct stat st;
	char *text;
	int fd, rc = layout_file_lock_text(layout_file, born, &now, &fd, &text);

	if (rc == -EBUSY && fstat(fd, &st) == 0 && st.st_nlink && memcmp(now.id, layout->id, REMOTE_LAYOUT_ID) == 0)
		rc = say_join(settings, layout, layout_file, true);
	else if (rc != -ETIMEDOUT)
		rc = -EAGAIN;
	layout_file_unlock(&now, fd, text);
	return rc;
}

/* the file is not in use, and has a dirty mark */
static int find_dirty(const struct pmio_settings *settings, const char *layout_file, const char *born,
		      struct remote_layout *layout)
{
	int rc = layout->nr_memory == layout->nr ? take_up(settings, layout_file, born, layout) : -EBUSY;

	if (rc < 0 && rc != -EAGAIN) {
		say_kept(layout_file, layout);
		rc = -EBUSY;
	}
	return rc;
}

/*
 * It looks like a leftover.  Its writer holds the lock until it has joined, so under the lock it
 * cannot belong to a slow process.  0: it is in use after all, and this process has joined;
 * -ENOENT: removed; -EAGAIN, -EBUSY
 */
static int remove_left_over(const struct pmio_settings *settings, const char *layout_file, const char *born,
			    struct remote_layout *layout, int fd)
{
	char *text;
	int rc;

	rc = layout_file_lock(fd, layout_file, LOCK_EX | LOCK_NB);
	if (rc < 0)
		return rc;
	remote_layout_fini(layout);
	rc = layout_file_read_text(fd, &text);
	if (rc == 0)
		rc = layout_file_parse(text, born, layout);
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
	if (rc == -EBUSY)
		return -EAGAIN; /* not a leftover any more */
	if (rc == 0)
		rc = join(settings, layout_file, layout);
	layout->joined = rc == 0;
	if (rc != -ENOENT && rc != -EAGAIN && rc != -ESTALE)
		return rc;
	pmio_info("%s: removed, as it was left over", layout_file);
	layout_file_remove_this(layout_file, fd);
	return -ENOENT;
}

static void say_in_use(const char *layout_file, int rc)
{
	uid_t uid;

	if (layout_file_owner(layout_file, &uid) && uid != geteuid())
		pmio_err("%s: the file is in use on several nodes by user %u", layout_file, (unsigned)uid);
	else
		pmio_err("%s: the file is in use on several nodes by other processes: %s", layout_file, pmio_strerror(rc));
}

/* one try; -EAGAIN: try again a little later */
static int try_to_find(const struct pmio_settings *settings, const char *layout_file, const char *born,
		       struct remote_layout *layout, bool last)
{
	int fd, rc = layout_file_read(layout_file, born, layout, &fd);
	bool left_over = rc == -ESTALE || (rc == -EAGAIN && last);

	if (rc == 0 || rc == -EBUSY) {
		bool dirty = rc == -EBUSY;

		rc = join(settings, layout_file, layout);
		if (rc == -ENOENT && dirty)
			rc = find_dirty(settings, layout_file, born, layout);
		layout->joined = rc == 0;
		/* maybe its writer has not joined yet */
		if (rc == -ENOENT && !last)
			rc = -EAGAIN;
		left_over = rc == -ENOENT;
	} else if (rc == -EPERM || rc == -EACCES || rc == PMIO_EPROTO) {
		say_in_use(layout_file, rc);
		rc = -EBUSY;
	}
	if (left_over)
		rc = remove_left_over(settings, layout_file, born, layout, fd);
	if (fd >= 0)
		close(fd);
	if (rc < 0)
		remote_layout_fini(layout);
	return rc;
}

int remote_layout_find(const struct pmio_settings *settings, const char *path, struct remote_layout *layout)
{
	uid_t forger;
	struct layout_names m;
	int rc = layout_file_find(path, &m, &forger);

	memset(layout, 0, sizeof(*layout));
	if (rc < 0)
		return -ENOENT; /* the open reports the error */
	if (rc == 1)
		pmio_warn("%s was created by user %u, who cannot write the file: it is ignored", m.other, (unsigned)forger);
	for (int tries = 0; tries < LAYOUT_LOCKED_TRIES; tries++) {
		rc = try_to_find(settings, m.name, m.born, layout, tries >= LAYOUT_FIND_TRIES);
		if (rc != -EAGAIN)
			return rc;
		pmio_sleep_us(LAYOUT_FIND_WAIT_US);
	}
	pmio_err("%s: another process is opening the file on several nodes and has not finished", m.name);
	return -EBUSY;
}

bool remote_layout_forget(const struct pmio_settings *settings, const char *path, const uint8_t own[16])
{
	struct remote_layout layout;
	struct layout_names m;
	bool deleted = false;
	int fd, rc = layout_file_names(path, &m);

	if (rc < 0)
		return false;
	rc = layout_file_read(m.name, m.born, &layout, &fd);
	for (uint32_t i = 0; i < layout.nr && rc == -EBUSY; i++) {
		if (memcmp(layout.endpoints[i].uuid, own, 16) != 0)
			/* it logs errors; the layout file is removed nevertheless */
			deleted |= remote_delete(settings, &layout.endpoints[i], path) == 0;
	}
	/*
	 * everything has been drained, and the layout file is about to be removed; or a process has the file open, and
	 * its close removes the layout file
	 */
	if (rc == 0 && layout.nr_memory == layout.nr && join(settings, m.name, &layout) == 0)
		remote_layout_leave(settings, &layout, REMOTE_KEEP_NOT);
	else if (rc == 0 && layout.nr_memory == layout.nr)
		rc = layout_file_lock(fd, m.name, LOCK_EX | LOCK_NB) < 0 ? 0 : -ESTALE;
	if (rc == -EBUSY || rc == -ESTALE)
		layout_file_remove_this(m.name, fd);
	remote_layout_fini(&layout);
	if (fd >= 0)
		close(fd);
	return deleted;
}
