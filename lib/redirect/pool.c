/*
 * pool.c -- libpmio-redirect-pool.so: libpmio for redirected programs
 *
 * redirect_inside (redirect.h) is set in all calls of this library, so its own calls go to the kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/admin.h"
#include "client/client.h"
#include "client/other_nodes.h"
#include "core/fds.h"
#include "core/log.h"
#include "pfs/pfs.h"
#include "redirect/nodes_ops.h"
#include "redirect/pool_ops.h"

#define PIECES_MAX 64

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t removal = PTHREAD_MUTEX_INITIALIZER; /* a connection can have one removal at a time */
static struct pmio *connection;				     /* changed under lock */
static void (*say)(const char *line);
static _Atomic unsigned nr_elsewhere; /* open files of several nodes, and calls that may use sessions with other nodes */

static void say_line(enum pmio_log_level level, const char *line)
{
	char text[1200];

	snprintf(text, sizeof(text), "pmio: %s: %s", pmio_log_level_name(level), line);
	say(text);
}

static int start(void (*fn)(const char *line))
{
	say = fn;
	pmio_log_set_handler(say_line);
	elsewhere_init(pool_nodes);
	return 0;
}

static void forget(bool of_fork)
{
	if (!of_fork)
		client_in_copy();
	lock = removal = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	connection = NULL; /* its memory is not freed: threads of the parent may hold its locks */
	nr_elsewhere = 0;
	pool_nodes_forget();
}

/*
 * leave the sessions with other nodes: if the process just ended, their targets would have to find out which of its
 * calls may still be under way
 */
static void end(void)
{
	const struct elsewhere_nodes *n = pool_nodes_loaded();

	if (n && nr_elsewhere == 0)
		n->end();
}

static int get_connection(struct pmio **out)
{
	int rc = 0;

	pthread_mutex_lock(&lock);
	if (!connection)
		rc = pmio_connect(NULL, &connection);
	*out = connection;
	pthread_mutex_unlock(&lock);
	return rc;
}

/* ---- files ----------------------------------------------------------------------------------- */

/* may it be asked for more than the descriptor allows?  Then by its name */
static bool allows(int fd, int access)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && ((flags & O_ACCMODE) == O_RDWR || (flags & O_ACCMODE) == access);
}

static int open_file(int fd, const char *name, int access, bool is_new, struct pmio_file **out)
{
	struct client_open how = { .quiet = true, .notice = true, .name = name, .is_new = is_new, .fd = fd };
	struct pmio *pm;
	int rc = get_connection(&pm);

	*out = NULL;
	if (rc < 0)
		return rc;
	how.by_fd = allows(fd, access);
	how.flags = (access == O_WRONLY ? 0 : PMIO_OPEN_READ) | (access == O_RDONLY ? 0 : PMIO_OPEN_WRITE) |
		    client_settings_flags(&pm->settings);
	nr_elsewhere++;
	rc = elsewhere_open(pm, fd, name, &how, out);
	if (rc < 0 && rc != PMIO_EOTHER)
		pmio_err("open %s: %s", name, pmio_strerror(rc));
	if (rc < 0 || !(*out)->ops)
		nr_elsewhere--;
	return rc;
}

static bool is_elsewhere(const struct pmio_file *f)
{
	return f->ops != NULL;
}

static bool is_nameless(int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && st.st_nlink == 0;
}

static ssize_t read_at_once(struct pmio_file *f, const struct iovec *v, off_t off)
{
	struct pmio_piece piece = { off, v->iov_base, v->iov_len };

	return client_readx_at_once(f, &piece, 1, 0);
}

/* the loader maps libraries by its own system calls.  Without the right to read, the writer knows whether it is one */
static bool is_library(struct pmio_file *f, unsigned how)
{
	Elf64_Ehdr head;
	struct iovec v = { &head, sizeof(head) };

	if (how & REDIRECT_CLOSE_LOADS)
		return true;
	return (f->flags & PMIO_OPEN_READ) && read_at_once(f, &v, 0) == sizeof(head) && redirect_is_library(&head);
}

/*
 * the creator of a file may write to it although its mode forbids it, but only now: the agent could not drain it later
 */
static bool must_drain_now(struct pmio_file *f, unsigned how)
{
	char path[PMIO_FD_NAME_LEN];

	if (connection->settings.num[PMIO_SET_DRAIN] == PMIO_DRAIN_CLOSE)
		return false;
	return is_library(f, how) || faccessat(AT_FDCWD, f->ops ? f->path : pmio_fd_name(path, f->pfs_fd), W_OK, AT_EACCESS) < 0;
}

static int close_elsewhere(struct pmio_file *f, unsigned how)
{
	int rc = (how & REDIRECT_CLOSE_WROTE) && must_drain_now(f, how) ? elsewhere_drain(f) : 0, closed = pmio_close(&f);

	nr_elsewhere--;
	return rc < 0 ? rc : closed;
}

/* pending data of a nameless file are not needed, unless other processes have it open without the agent's knowledge */
static int close_file(struct pmio_file *f, unsigned how)
{
	struct pmio *pm = f->pm;
	struct pmio_id_stat st;
	int fd = f->pfs_fd, rc = 0, closed;
	bool left = false;

	if (f->ops)
		return close_elsewhere(f, how);
	if (is_nameless(fd)) {
		/* if the PFS has all of it, the agent no longer has it open, and could not open it without a name */
		if ((how & REDIRECT_CLOSE_SHARED) && pmio_stat_id(pm, fd, &st) == 0 && st.pending)
			rc = pmio_drain(f);
		left = rc == 0 && pmio_stat_id(pm, fd, &st) == 0 && st.nr_handles == 1;
	} else if ((how & REDIRECT_CLOSE_WROTE) && must_drain_now(f, how)) {
		rc = pmio_drain(f);
	}
	closed = pmio_close(&f);
	if (left)
		pmio_forget_entry(pm, &st.entry, "a file without a name");
	return rc < 0 ? rc : closed;
}

static ssize_t write_at_once(struct pmio_file *f, const struct iovec *v, off_t off)
{
	struct pmio_piece piece = { off, v->iov_base, v->iov_len };
	bool raised = false;

	return client_writex_at_once(f, &piece, 1, &raised);
}

static ssize_t transfer(struct pmio_file *f, const struct iovec *v, int nr, off_t off, bool write)
{
	struct pmio_piece pieces[PIECES_MAX];
	ssize_t sum = 0;

	while (nr > 0) {
		ssize_t n, want = 0;
		int i;

		for (i = 0; i < nr && i < PIECES_MAX; i++) {
			pieces[i] = (struct pmio_piece){ off, v[i].iov_base, v[i].iov_len };
			off += (off_t)v[i].iov_len;
			want += (ssize_t)v[i].iov_len;
		}
		n = write ? pmio_writex(f, pieces, (size_t)i) : pmio_readx(f, pieces, (size_t)i);
		if (n < 0)
			return sum ? sum : n;
		sum += n;
		if (n < want)
			break;
		v += i;
		nr -= i;
	}
	return sum;
}

static ssize_t read_file(struct pmio_file *f, const struct iovec *v, int nr, off_t off)
{
	return transfer(f, v, nr, off, false);
}

static ssize_t write_file(struct pmio_file *f, const struct iovec *v, int nr, off_t off)
{
	return transfer(f, v, nr, off, true);
}

/* as one piece, so that no bytes of other writers can come in between */
static ssize_t append_pieces(struct pmio_file *f, const struct iovec *v, int nr, off_t *at)
{
	size_t len = 0;
	uint8_t *all, *to;
	ssize_t n;

	for (int i = 0; i < nr; i++)
		len += v[i].iov_len;
	all = to = malloc(len);
	if (!all)
		return -ENOMEM;
	for (int i = 0; i < nr; i++) {
		memcpy(to, v[i].iov_base, v[i].iov_len);
		to += v[i].iov_len;
	}
	n = pmio_append(f, all, len, at);
	free(all);
	return n;
}

static ssize_t append(struct pmio_file *f, const struct iovec *v, int nr, off_t *at)
{
	return nr == 1 ? pmio_append(f, v->iov_base, v->iov_len, at) : append_pieces(f, v, nr, at);
}

static int sync_file(struct pmio_file *f)
{
	const uint64_t *num = connection->settings.num;
	bool drains = num[PMIO_SET_SYNC] == PMIO_SYNC_DRAIN ||
		     (num[PMIO_SET_SYNC] == PMIO_SYNC_AUTO && num[PMIO_SET_DRAIN] != PMIO_DRAIN_HOLD);

	return drains && (f->flags & PMIO_OPEN_WRITE) ? elsewhere_drain(f) : pmio_sync(f);
}

static int map(struct pmio_file *f, void *addr, size_t len, off_t off, bool writable)
{
	f = elsewhere_here(f);
	return f ? pmio_map(f, addr, len, off, writable) : -EOPNOTSUPP;
}

static int map_sync(struct pmio_file *f, off_t off, size_t len)
{
	f = elsewhere_here(f);
	return f ? pmio_map_sync(f, off, len) : -EOPNOTSUPP;
}

static int unmap(struct pmio_file *f, bool writable)
{
	f = elsewhere_here(f);
	return f ? pmio_unmap(f, NULL, 0, writable) : -EIO;
}

/* ---- files that need not be open ---------------------------------------------------------------- */

/* -ENOENT: the pool does not know it */
static int ask_after(int fd, struct pmio **pm, struct pmio_id_stat *st)
{
	int rc = get_connection(pm);

	return rc < 0 ? rc : pmio_stat_id(*pm, fd, st);
}

/* elsewhere_find() */
static int find(int fd, struct pmio_file **out)
{
	struct pmio *pm;
	int rc = get_connection(&pm);

	if (rc < 0)
		return 1;
	nr_elsewhere++;
	rc = elsewhere_find(pm, fd, true, out);
	if (rc)
		nr_elsewhere--;
	return rc;
}

/* close the file of find(); rc: the result of the query */
static int end_question(struct pmio_file *f, int rc)
{
	int closed = pmio_close(&f);

	nr_elsewhere--;
	return rc < 0 ? rc : closed;
}

static int look_elsewhere(int fd, struct redirect_size *out)
{
	struct pmio_file *f;
	off_t size = 0;
	int rc = find(fd, &f);

	out->elsewhere = rc <= 0;
	if (rc)
		return rc;
	rc = pmio_size(f, &size);
	*out = (struct redirect_size){ .size = (uint64_t)size, .nr_handles = 1, .pending = true, .elsewhere = true };
	return end_question(f, rc);
}

static int look(int fd, struct redirect_size *out)
{
	struct pmio_id_stat st;
	struct pmio *pm;
	int rc = look_elsewhere(fd, out);

	if (rc != 1)
		return rc;
	rc = ask_after(fd, &pm, &st);
	*out = (struct redirect_size){ .elsewhere = false };
	if (rc == 0)
		*out = (struct redirect_size){ st.size, st.nr_handles, st.pending, st.written_ns, false };
	return rc;
}

static int64_t written_ns(struct pmio_file *f)
{
	struct pmio_id_stat st;

	return !f->ops && pmio_stat_id(f->pm, f->pfs_fd, &st) == 0 ? st.written_ns : 0;
}

static int settle_elsewhere(int fd)
{
	struct pmio_file *f;
	int rc = find(fd, &f);

	return rc ? rc : end_question(f, elsewhere_drain(f));
}

static int settle(int fd, const char *name)
{
	struct pmio_id_stat st;
	struct pmio *pm;
	int rc = settle_elsewhere(fd);

	if (rc != 1)
		return rc;
	rc = ask_after(fd, &pm, &st);
	if (rc == -ENOENT || (rc == 0 && !st.pending && !st.nr_handles))
		return 0;
	if (rc == 0)
		rc = pmio_drain_entry(pm, &st.entry, name, 0);
	return rc == -ESRCH ? 0 : rc;
}

static int settle_all(bool (*matches)(const char *name))
{
	struct pmio *pm;
	int rc = get_connection(&pm);

	return rc < 0 ? rc : pmio_settle_matching(pm, matches);
}

static bool shared_by_nodes(int fd)
{
	char name[PATH_MAX];

	return elsewhere_has(fd, name, false);
}

static int remove_elsewhere(struct pmio *pm, const char *path)
{
	int rc;

	nr_elsewhere++;
	rc = elsewhere_remove(pm, path);
	nr_elsewhere--;
	return rc;
}

static int remove_file(int fd, const char *path)
{
	char name[PATH_MAX];
	struct pmio_id_stat st;
	struct pmio *pm;
	int rc = get_connection(&pm);

	if (rc == 0 && elsewhere_has(fd, name, false))
		rc = remove_elsewhere(pm, path);
	if (rc == 1)
		return 0;
	if (rc == 0)
		rc = ask_after(fd, &pm, &st);
	if (rc < 0)
		return rc;
	if (st.pending || st.nr_handles) {
		pthread_mutex_lock(&removal);
		rc = client_delete(pm, path, true);
		pthread_mutex_unlock(&removal);
		return rc;
	}
	/* all of it is on the file system: no data can be lost or reappear, so its name need not be removed durably */
	if (unlink(path) < 0)
		return -errno;
	pmio_forget_entry(pm, &st.entry, path);
	return 0;
}

static void give_up(int fd)
{
	struct pmio_id_stat st;
	struct pmio *pm;

	if (ask_after(fd, &pm, &st) == 0)
		pmio_unlinked(pm, fd);
}

extern const struct redirect_pool pmio_redirect_pool __attribute__((visibility("default")));
const struct redirect_pool pmio_redirect_pool = {
	.version = REDIRECT_POOL_VERSION,
	.start = start,
	.timed = pool_timed,
	.forget = forget,
	.end = end,
	.open = open_file,
	.close = close_file,
	.is_elsewhere = is_elsewhere,
	.read_at_once = read_at_once,
	.write_at_once = write_at_once,
	.read = read_file,
	.write = write_file,
	.append = append,
	.size = pmio_size,
	.written_ns = written_ns,
	.truncate = pmio_truncate,
	.allocate = client_allocate,
	.sync = sync_file,
	.drain = elsewhere_drain,
	.map = map,
	.map_sync = map_sync,
	.unmap = unmap,
	.look = look,
	.settle = settle,
	.settle_all = settle_all,
	.shared_by_nodes = shared_by_nodes,
	.remove = remove_file,
	.give_up = give_up,
};
