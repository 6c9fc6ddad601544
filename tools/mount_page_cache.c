/*
 * mount_page_cache.c -- pages that the kernel reads into its cache, and the request to end the mount
 *
 * Data bypass the kernel's cache, but sendfile(), splice(), private mappings and the start of a program read into it,
 * and would later find pages there that other processes have overwritten since.  So these pages are dropped shortly
 * after they were read, and those of shared mappings written back; the kernel itself drops them when they are
 * overwritten through the mount, and when the file is opened again.
 *
 * This is done by a thread of its own, as it waits for pages that are being read or written back.  The kernel reads and
 * writes by requests, and one that arrives while libfuse's loop ends is never answered.  So it is this thread that ends
 * the loop, after it has dropped all pages: otherwise it could wait for ever, and the process would not end.
 */
#include "config.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>

#include "core/backoff.h"
#include "core/log.h"
#include "mount_impl.h"

#define KEPT_US 100000
#define WAKE_US 10000
#define NOTED_MIN 64 /* files */

struct mount_cached {
	struct mount *mount;
	pthread_t thread, server; /* server: in fuse_session_loop_mt() */
	sem_t any;		  /* a file was noted, or the end is wanted */
	atomic_bool end_wanted;
	atomic_bool loop_ended;
	pthread_mutex_t lock;
	fuse_ino_t *noted; /* under lock; it does no harm if the kernel forgets one meanwhile */
	size_t nr, room;   /* under lock */
};

/* a page that is in use by the kernel is left, and dropped the next time */
static void drop(struct mount_cached *c, const fuse_ino_t *inos, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		if (fuse_lowlevel_notify_inval_inode(c->mount->session, inos[i], 0, 0) == -EBUSY)
			mount_cached_note(c->mount, inos[i]);
	}
}

static void drop_noted(struct mount_cached *c)
{
	fuse_ino_t *inos;
	size_t nr;

	pthread_mutex_lock(&c->lock);
	inos = c->noted;
	nr = c->nr;
	c->noted = NULL;
	c->nr = c->room = 0;
	pthread_mutex_unlock(&c->lock);
	drop(c, inos, nr);
	free(inos);
}

/* ---- the end ------------------------------------------------------------------------------ */

/* regular files, which the caller has to forget; their number */
static size_t get_files(struct mount *m, struct mount_node ***out)
{
	struct mount_node *node, *tmp;
	size_t nr = 0;

	pthread_mutex_lock(&m->lock);
	*out = calloc(HASH_COUNT(m->nodes) + 1, sizeof(**out));
	HASH_ITER(hh, m->nodes, node, tmp) {
		if (!*out || node->type != S_IFREG)
			continue;
		node->nr_lookups++;
		(*out)[nr++] = node;
	}
	pthread_mutex_unlock(&m->lock);
	if (!*out)
		pmio_err("mount %s: no memory to write shared mappings back", m->request->mountpoint);
	return nr;
}

static void drop_file(struct mount *m, struct mount_node *node)
{
	struct pmio_backoff b = PMIO_BACKOFF(1, 100, 2000);

	while (fuse_lowlevel_notify_inval_inode(m->session, mount_ino(m, node), 0, 0) == -EBUSY) {
		if (!pmio_backoff_sleep(&b)) {
			pmio_err("mount %s: pages of a file are in use, and may not have been written back", m->request->mountpoint);
			return;
		}
	}
}

static void drop_all(struct mount *m)
{
	struct mount_node **files;
	size_t nr = get_files(m, &files);

	for (size_t i = 0; i < nr; i++) {
		drop_file(m, files[i]);
		mount_forget(m, files[i], 1);
	}
	free(files);
}

static void end_loop(struct mount_cached *c)
{
	if (c->mount->caching != MOUNT_UNCACHED && !atomic_load(&c->loop_ended))
		drop_all(c->mount);
	while (!atomic_load(&c->loop_ended)) { /* a signal that comes before the server waits has no effect */
		fuse_session_exit(c->mount->session);
		pthread_kill(c->server, SIGTERM);
		pmio_sleep_us(WAKE_US);
	}
}

static void want_end(struct mount_cached *c)
{
	atomic_store(&c->end_wanted, true);
	sem_post(&c->any);
}

void mount_want_end(struct mount *m)
{
	want_end(m->cached);
}

void mount_loop_ended(struct mount *m)
{
	atomic_store(&m->cached->loop_ended, true);
	want_end(m->cached);
	pthread_join(m->cached->thread, NULL);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void *drop_them(void *arg)
{
	struct mount_cached *c = arg;

	for (;;) {
		while (sem_wait(&c->any) < 0)
			;
		while (sem_trywait(&c->any) == 0)
			;
		if (atomic_load(&c->end_wanted))
			break;
		pmio_sleep_us(KEPT_US);
		drop_noted(c);
	}
	end_loop(c);
	return NULL;
}

static struct mount_cached *signalled;

static void on_signal(int sig)
{
	(void)sig;
	want_end(signalled);
}

/* unless the caller has it ignored, as nohup does with SIGHUP; it interrupts the server's wait */
static void catch(int sig, void (*handler)(int))
{
	struct sigaction act = { .sa_handler = handler }, old;

	sigemptyset(&act.sa_mask);
	if (sigaction(sig, NULL, &old) == 0 && old.sa_handler == SIG_DFL)
		sigaction(sig, &act, NULL);
}

/* the process ends as by `pmio unmount` */
static void catch_signals(void)
{
	catch(SIGHUP, on_signal);
	catch(SIGINT, on_signal);
	catch(SIGTERM, on_signal);
	catch(SIGPIPE, SIG_IGN);
}

int mount_cached_init(struct mount *m)
{
	struct mount_cached *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	c->mount = m;
	c->server = pthread_self();
	sem_init(&c->any, 0, 0);
	pthread_mutex_init(&c->lock, NULL);
	m->cached = signalled = c;
	err = pthread_create(&c->thread, NULL, drop_them, c);
	if (!err)
		catch_signals();
	return -err;
}

static bool is_noted(const struct mount_cached *c, fuse_ino_t ino)
{
	for (size_t i = c->nr; i > 0; i--) {
		if (c->noted[i - 1] == ino)
			return true;
	}
	return false;
}

static bool has_room(struct mount_cached *c)
{
	size_t room = c->room ? 2 * c->room : NOTED_MIN;
	fuse_ino_t *grown;

	if (c->nr < c->room)
		return true;
	grown = realloc(c->noted, room * sizeof(*grown));
	if (!grown)
		return false;
	c->noted = grown;
	c->room = room;
	return true;
}

void mount_cached_note(struct mount *m, fuse_ino_t ino)
{
	struct mount_cached *c = m->cached;
	bool noted = true;

	pthread_mutex_lock(&c->lock);
	if (!is_noted(c, ino)) {
		noted = has_room(c);
		if (noted)
			c->noted[c->nr++] = ino;
		sem_post(&c->any);
	}
	pthread_mutex_unlock(&c->lock);
	if (!noted)
		pmio_err("mount %s: no memory to note a file whose pages are to be dropped", m->request->mountpoint);
}
