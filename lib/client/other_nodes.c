/* other_nodes.c -- finding out which files concern other nodes, and operations on these */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "client/other_nodes.h"
#include "core/backoff.h"
#include "core/clock.h"
#include "core/fds.h"
#include "pfs/pfs.h"

#define BUSY_WAIT_MS 20000 /* for a file that others are opening in another way, as MPI programs wait */
#define MARK_WAIT_MS 1300  /* for the mark that data wait, of a file that nobody has open: it may be about to go */

static const struct elsewhere_nodes *(*get_nodes)(void);

void elsewhere_init(const struct elsewhere_nodes *(*get)(void))
{
	get_nodes = get;
}

bool elsewhere_has(int fd, char *name, bool ours)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && pmio_pfs_name(fd, name) == 0 && pmio_pfs_has_layout(name, st.st_ino, ours);
}

/* ---- opening -------------------------------------------------------------------------------- */

/* make a new file durable: from now on other nodes may rely on it, so it has to exist after a power cut */
static int keep(int fd, const char *name, bool path_only)
{
	char path[PMIO_FD_NAME_LEN];
	int own = path_only ? open(pmio_fd_name(path, fd), O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -1;
	int rc = pmio_pfs_keep(own >= 0 ? own : fd, name);

	if (own >= 0)
		close(own);
	return rc;
}

/* 0: opened where other nodes have it; 1: to be opened in this node's pool; -EAGAIN: not yet; or an error, logged */
static int open_there(struct pmio *pm, int fd, const char *name, const struct client_open *how, struct pmio_file **out)
{
	const struct elsewhere_nodes *n;
	struct stat st;
	int rc;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!client_wants_memory_nodes(&pm->settings) && !pmio_pfs_has_layout(name, st.st_ino, false))
		return 1;
	n = get_nodes();
	if (!n)
		return -EIO;
	rc = how->is_new ? keep(fd, name, !how->by_fd) : 0;
	return rc < 0 ? rc : n->open(pm, &pm->settings, name, how, out);
}

/* if no layout file can be made the file is opened without one, as MPI programs do, which log that each time */
static bool can_be_marked(const char *name)
{
	char folder[PATH_MAX];

	snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(name, '/') - name) + 1, name);
	return faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) == 0;
}

/* let other nodes find the file that this process has just opened in this node's pool, if the settings require that */
static int share(struct pmio *pm, int fd, const char *name, const struct client_open *how, struct pmio_file **file)
{
	const struct elsewhere_nodes *n;
	bool spill = client_spills(&pm->settings), found;
	struct stat st;

	if ((!spill && !client_wants_mark(&pm->settings)) || fstat(fd, &st) < 0 || st.st_nlink == 0 || !can_be_marked(name))
		return 0;
	n = get_nodes();
	return n ? n->share(pm, &pm->settings, name, how, spill, file, &found) : -EIO;
}

/*
 * A file that is open in another pool is marked, too.  The process that has it there may share it or close it shortly:
 * then it can be opened there, or in this pool.  since: the time of the first question
 */
static bool may_change_soon(const struct pmio *pm, int fd, uint64_t since)
{
	return pmio_pfs_dirty_elsewhere(fd, pm->uuid) && (pmio_pfs_is_taken(fd) || pmio_now_ms() - since < MARK_WAIT_MS);
}

/* -EAGAIN: another pool has it, and it is not shared yet */
static int try_to_open(struct pmio *pm, int fd, const char *name, const struct client_open *how, uint64_t since, struct pmio_file **out)
{
	char path[PMIO_FD_NAME_LEN];
	int rc = open_there(pm, fd, name, how, out);

	if (rc != 1)
		return rc;
	if (how->no_wait && may_change_soon(pm, fd, since))
		return -EAGAIN;
	rc = client_open(pm, how->by_fd ? name : pmio_fd_name(path, fd), how, out);
	if (rc < 0)
		return rc == -EBUSY ? -EAGAIN : rc;
	rc = share(pm, fd, name, how, out);
	if (rc < 0)
		pmio_close(out);
	return rc;
}

int elsewhere_open(struct pmio *pm, int fd, const char *name, const struct client_open *how, struct pmio_file **out)
{
	struct pmio_backoff b = PMIO_BACKOFF(10, 500, BUSY_WAIT_MS);
	struct client_open now = *how;
	uint64_t since = pmio_now_ms();
	int rc;

	*out = NULL;
	now.no_wait = true;
	while ((rc = try_to_open(pm, fd, name, &now, since, out)) == -EAGAIN && pmio_backoff_sleep(&b))
		;
	if (rc == -EAGAIN) { /* it was not shared: try again, and log which pool has it */
		now.no_wait = false;
		rc = try_to_open(pm, fd, name, &now, since, out);
	}
	return rc == -EAGAIN ? -EBUSY : rc;
}

/* ---- files that need not be open ------------------------------------------------------------ */

/* log that data are pending in another pool, as an open would */
static int say_waiting(struct pmio *pm, int fd, const char *name)
{
	char path[PMIO_FD_NAME_LEN];
	int rc, own = open(pmio_fd_name(path, fd), O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (own < 0)
		return -errno;
	rc = pmio_pfs_check_mark(own, pm->uuid, name);
	close(own);
	return rc < 0 ? rc : 1;
}

/*
 * Data may be pending without a layout file: on the memory nodes where programs with these settings look for them, or in
 * a pool from which they cannot be read.
 */
int elsewhere_find(struct pmio *pm, int fd, bool marks, struct pmio_file **out)
{
	struct client_open how = { .quiet = true, .flags = PMIO_OPEN_READ };
	struct pmio_backoff b = PMIO_BACKOFF(10, 100, MARK_WAIT_MS);
	bool memory = client_wants_memory_nodes(&pm->settings), has, pending;
	char name[PATH_MAX];
	int rc;

	*out = NULL;
	if (pmio_pfs_name(fd, name) < 0)
		return 1;
	do {
		has = elsewhere_has(fd, name, true);
		pending = !has && (marks || memory) && pmio_pfs_dirty_elsewhere(fd, pm->uuid);
	} while (pending && !memory && pmio_backoff_sleep(&b)); /* see may_change_soon() */
	if (!has && !pending)
		return 1;
	how.flags |= client_settings_flags(&pm->settings);
	rc = has || memory ? open_there(pm, fd, name, &how, out) : say_waiting(pm, fd, name);
	if (rc == -EAGAIN)
		rc = -EBUSY;
	if (rc < 0 && rc != PMIO_EOTHER)
		pmio_err("%s: %s", name, pmio_strerror(rc));
	return rc;
}

int elsewhere_remove(struct pmio *pm, const char *path)
{
	const struct elsewhere_nodes *n = get_nodes();

	return !n ? -EIO : n->remove(&pm->settings, path, pm->uuid); /* it has logged any failure */
}

/* ---- open files --------------------------------------------------------------------------------- */

int elsewhere_drain(struct pmio_file *f)
{
	return f->ops ? get_nodes()->drain_all(f) : pmio_drain(f);
}

struct pmio_file *elsewhere_here(struct pmio_file *f)
{
	return f->ops ? get_nodes()->whole_here(f) : f;
}
