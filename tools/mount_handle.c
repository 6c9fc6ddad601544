/*
 * mount_handle.c -- open files: through the pool or, for files that do not belong there, from the underlying file system
 *
 * Each handle of the kernel has a libpmio file of its own, so that a close has the same meaning in both.  The kernel
 * sends FLUSH whenever a descriptor of the handle is closed, although other descriptors of the same handle, in that
 * process or a child, may still be in use; it sends RELEASE later, when errors can no longer be returned.  So a file
 * that was written to is closed at the first FLUSH, and opened again if the handle is used after that.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "mount_impl.h"
#include "pfs/pfs.h"
#include "remote/remote.h"

static const struct elsewhere_nodes *nodes(void)
{
	return &remote_nodes;
}

int mount_connect(struct mount *m, const struct tool *tool)
{
	int status = tool_start(tool, &m->names);

	elsewhere_init(nodes);
	for (int i = 0; i < MOUNT_LINKS && status == TOOL_DONE; i++)
		status = tool_start(tool, &m->links[i]);
	return status == TOOL_DONE ? 0 : PMIO_EAGENT;
}

void mount_disconnect(struct mount *m)
{
	remote_disconnect_all();
	pmio_disconnect(&m->names);
	for (int i = 0; i < MOUNT_LINKS; i++)
		pmio_disconnect(&m->links[i]);
}

/* ---- which files -------------------------------------------------------------------------- */

/* 1: through the pool; 0: not through the pool; -1: not open here */
static int is_open_how(struct mount_node *node)
{
	int how;

	pthread_mutex_lock(&node->lock);
	how = !node->handles ? -1 : node->handles->pm ? 1 : 0;
	pthread_mutex_unlock(&node->lock);
	return how;
}

/*
 * the same for all handles of a file; true also for a file that `paths` does not select while the pool has data of it
 */
static int goes_through_pool(struct mount *m, struct mount_node *node)
{
	char name[PATH_MAX];
	struct pmio_id_stat st;
	int rc;

	if (!node->device->has_data)
		return 0;
	if (*m->settings->str[PMIO_SET_PATHS] == '\0')
		return 1;
	rc = is_open_how(node);
	if (rc >= 0)
		return rc;
	if (pmio_pfs_name(node->fd, name) == 0 && (pmio_settings_path_selected(m->settings, name) || elsewhere_has(node->fd, name, true)))
		return 1;
	rc = pmio_stat_id(m->names, node->fd, &st);
	return rc == -ENOENT ? 0 : rc < 0 ? rc : st.pending || st.nr_handles;
}

/* ---- opening ------------------------------------------------------------------------------ */

/* handle->lock held exclusively, or no other thread knows the handle */
static int open_file(struct mount_handle *h, bool is_new)
{
	char name[PATH_MAX];
	struct client_open how = { .flags = h->flags | client_settings_flags(&h->pm->settings), .quiet = true,
				   .notice = true, .name = name, .is_new = is_new };
	int rc;

	if (pmio_pfs_name(h->node->fd, name) == 0) {
		rc = elsewhere_open(h->pm, h->node->fd, name, &how, &h->file);
	} else {
		pmio_fd_name(name, h->node->fd);
		rc = client_open(h->pm, MOUNT_PROC(h->node->fd), &how, &h->file);
	}
	if (rc <= PMIO_ENOTPOOL && rc != PMIO_EOTHER) /* the errno that the program gets does not explain it */
		pmio_err("open %s: %s", name, pmio_strerror(rc));
	return rc;
}

static int open_plain(struct mount_handle *h, int flags)
{
	/* each write has O_APPEND in its own flags; the buffers are not aligned for O_DIRECT */
	h->fd = open(MOUNT_PROC(h->node->fd), (flags & ~(O_CREAT | O_EXCL | O_NOFOLLOW | O_APPEND | O_DIRECT)) | O_CLOEXEC);
	return h->fd < 0 ? -errno : 0;
}

static struct mount_handle *new_handle(struct mount_node *node, int flags)
{
	struct mount_handle *h = calloc(1, sizeof(*h));
	bool reads = (flags & O_ACCMODE) != O_WRONLY;
	bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC); /* the kernel refuses writes that are not permitted */

	if (!h)
		return NULL;
	h->node = node;
	h->fd = h->flock_fd = -1;
	h->flags = (reads ? PMIO_OPEN_READ : 0) | (writes ? PMIO_OPEN_WRITE : 0);
	pthread_rwlock_init(&h->lock, NULL);
	return h;
}

static int free_handle(struct mount_handle *h)
{
	int rc = pmio_close(&h->file);

	if (h->fd >= 0 && close(h->fd) < 0)
		rc = -errno;
	if (h->flock_fd >= 0)
		close(h->flock_fd);
	pthread_rwlock_destroy(&h->lock);
	free(h);
	return rc;
}

void mount_note_written(struct mount_handle *h)
{
	struct timespec now;

	/* the clock of file systems: a drain must not give the file an earlier time */
	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	atomic_store(&h->node->written_ns, (int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
	atomic_store(&h->wrote, true);
}

static int open_handle(struct mount *m, struct mount_handle *h, int flags, bool is_new)
{
	int rc = goes_through_pool(m, h->node);

	if (rc < 0)
		return rc;
	if (rc == 0)
		return open_plain(h, flags);
	h->pm = m->links[atomic_fetch_add(&m->next_link, 1) % MOUNT_LINKS];
	rc = open_file(h, is_new);
	if (rc == 0 && (flags & O_TRUNC)) {
		rc = pmio_truncate(h->file, 0);
		mount_note_written(h);
	}
	return rc;
}

/* has the file lost its last name, and is this its last handle?  Then its pending data are no longer needed */
static bool is_left(struct mount *m, const struct mount_handle *h, struct pmio_id_stat *st)
{
	return h->file && !h->file->ops && mount_is_nameless(h->node) && pmio_stat_id(m->names, h->node->fd, st) == 0 && st->nr_handles == 1;
}

/* it was removed after it was looked up, and its pending data were not kept: the kernel then looks its name up again */
static bool is_too_late(struct mount_node *node)
{
	return is_open_how(node) < 0 && mount_is_removed(node);
}

int mount_open(struct mount *m, struct mount_node *node, int flags, bool is_new, struct mount_handle **out)
{
	struct mount_handle *h = new_handle(node, flags);
	struct pmio_id_stat st;
	int rc = h ? open_handle(m, h, flags, is_new) : -ENOMEM;

	*out = NULL;
	if (rc == 0 && is_too_late(node)) {
		bool left = is_left(m, h, &st);

		free_handle(h);
		if (left)
			pmio_forget_entry(m->names, &st.entry, "a file without a name");
		return -ESTALE;
	}
	if (rc < 0) {
		if (h)
			free_handle(h);
		return rc;
	}
	pthread_mutex_lock(&node->lock);
	DL_APPEND(node->handles, h);
	pthread_mutex_unlock(&node->lock);
	*out = h;
	return 0;
}

int mount_begin(struct mount_handle *h)
{
	int rc = 0;

	for (;;) {
		pthread_rwlock_rdlock(&h->lock);
		if (h->file)
			return 0;
		pthread_rwlock_unlock(&h->lock);
		pthread_rwlock_wrlock(&h->lock);
		if (!h->file)
			rc = open_file(h, false);
		pthread_rwlock_unlock(&h->lock);
		if (rc < 0)
			return rc;
	}
}

void mount_end(struct mount_handle *h)
{
	pthread_rwlock_unlock(&h->lock);
}

/* ---- closing ------------------------------------------------------------------------------- */

/*
 * a process that has written gets the result of the drain, even if other processes, which may only read, still have the
 * file open; handle->lock held exclusively
 */
static int close_file(struct mount *m, struct mount_handle *h)
{
	struct pmio_id_stat st;
	int drained = 0, closed;

	if (m->settings->num[PMIO_SET_DRAIN] == PMIO_DRAIN_CLOSE &&
	    (h->file->ops || (pmio_stat_id(m->names, h->node->fd, &st) == 0 && st.nr_handles > 1)))
		drained = elsewhere_drain(h->file);
	closed = pmio_close(&h->file);
	return drained < 0 ? drained : closed;
}

int mount_close(struct mount *m, struct mount_handle *h)
{
	int rc = 0;

	if (!h->pm) {
		int fd = dup(h->fd);

		return fd < 0 || close(fd) < 0 ? -errno : 0;
	}
	if (!atomic_load(&h->wrote))
		return 0;
	pthread_rwlock_wrlock(&h->lock);
	/* the data of a nameless file exist only as long as it is open */
	if (h->file && !mount_is_nameless(h->node) && atomic_exchange(&h->wrote, false))
		rc = close_file(m, h);
	pthread_rwlock_unlock(&h->lock);
	return rc;
}

/* keep the file open until the kernel forgets the node */
static bool keep(struct mount_node *node, struct pmio_file **file)
{
	bool is_first;

	pthread_mutex_lock(&node->lock);
	is_first = !node->kept;
	if (is_first) {
		node->kept = *file;
		*file = NULL;
	}
	pthread_mutex_unlock(&node->lock);
	return is_first;
}

int mount_release(struct mount *m, struct mount_handle *h)
{
	struct mount_node *node = h->node;
	struct pmio_id_stat st;

	pthread_mutex_lock(&node->lock);
	DL_DELETE(node->handles, h);
	pthread_mutex_unlock(&node->lock);
	if (is_left(m, h, &st))
		keep(node, &h->file);
	return free_handle(h);
}

int mount_hold(struct mount *m, struct mount_node *node)
{
	struct mount_handle *h;
	int rc = mount_open(m, node, O_RDONLY, false, &h);

	if (rc < 0)
		return rc;
	pthread_mutex_lock(&node->lock);
	DL_DELETE(node->handles, h);
	pthread_mutex_unlock(&node->lock);
	if (h->file && !h->file->ops)
		keep(node, &h->file);
	return free_handle(h);
}

int mount_keep(struct mount_node *node)
{
	struct mount_handle *h;
	int rc = 0;

	pthread_mutex_lock(&node->lock);
	DL_FOREACH(node->handles, h) {
		if (!h->pm || pthread_rwlock_trywrlock(&h->lock) != 0) /* a request uses it: it is open, or about to be closed */
			continue;
		if (!h->file)
			rc = open_file(h, false);
		pthread_rwlock_unlock(&h->lock);
		if (rc < 0)
			break;
	}
	pthread_mutex_unlock(&node->lock);
	return rc;
}

void mount_close_all(struct mount *m, unsigned *nr, unsigned *nr_failed)
{
	struct mount_node *node, *tmp;

	*nr = *nr_failed = 0;
	HASH_ITER(hh, m->nodes, node, tmp) {
		while (node->handles) {
			struct mount_handle *h = node->handles;
			int rc = mount_close(m, h);

			if (mount_release(m, h) < 0 || rc < 0)
				(*nr_failed)++;
			(*nr)++;
		}
		mount_give_up(m, node);
	}
}
