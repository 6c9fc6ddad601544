/*
 * file.c -- a file in another node's pool: opening it, and all calls on it except reading and writing
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/backoff.h"
#include "core/path.h"
#include "remote/file_impl.h"

#define LOCK_WAIT_MIN_US 100
#define LOCK_WAIT_MAX_US 5000

/* ---- calls --------------------------------------------------------------------------- */

/* all requests but two are idempotent */
static int with_session(struct remote_file *r, int (*run)(const struct file_at *at, void *arg), void *arg)
{
	return file_in_sessions(r, FILE_SESSIONS_MAX, run, arg);
}

struct call {
	void *msg;
	size_t len;
	enum remote_op op;
	void *answer;
	size_t room;
};

static int run_call(const struct file_at *at, void *arg)
{
	struct call *c = arg;
	size_t got;
	int rc;

	node_header(at->node, c->msg, c->op, at->handle);
	rc = node_call(at->node, c->msg, c->len, c->answer, c->room, &got);
	return rc == 0 && got != c->room ? PMIO_EPROTO : rc;
}

static int call(struct remote_file *r, enum remote_op op, void *msg, size_t len, void *answer, size_t room)
{
	struct call c = { msg, len, op, answer, room };

	return with_session(r, run_call, &c);
}

static void say_failed(struct remote_file *r, const char *what, int rc)
{
	bool relayed;

	pthread_mutex_lock(&r->lock);
	relayed = r->relay != NULL;
	pthread_mutex_unlock(&r->lock);
	pmio_err("%s %s at node %s: %s%s", what, r->f.path, r->target->endpoint.host, pmio_strerror(rc),
		 relayed && rc == -EIO ? " (see target.log in this node's pool)" : "");
}

static int simple_call(struct remote_file *r, enum remote_op op, const char *what)
{
	struct remote_hdr_msg m;
	int rc = call(r, op, &m, sizeof(m), NULL, 0);

	if (rc < 0 && rc != -EAGAIN)
		say_failed(r, what, rc);
	return rc;
}

/* ---- the rest ------------------------------------------------------------------------------- */

static int remote_growth(struct pmio_file *f, struct client_growth *g)
{
	struct remote_file *r = file_of(f);
	struct remote_hdr_msg m;
	struct remote_growth_answer_msg a;
	int rc = call(r, REMOTE_SIZE, &m, sizeof(m), &a, sizeof(a));

	if (rc == 0 && a.size > INT64_MAX)
		rc = PMIO_EPROTO;
	if (rc < 0)
		say_failed(r, "size of", rc);
	else
		*g = (struct client_growth){ a.size, a.growers, a.cuts };
	return rc;
}

static int remote_size(struct pmio_file *f, off_t *size)
{
	struct client_growth g;
	int rc = remote_growth(f, &g);

	if (rc == 0)
		*size = (off_t)g.size;
	return rc;
}

static int remote_grow(struct pmio_file *f, uint64_t *size, uint64_t growers)
{
	struct remote_file *r = file_of(f);
	struct remote_grow_msg m = { .size = *size, .growers = growers };
	struct remote_size_answer_msg a;
	int rc = call(r, REMOTE_GROW, &m, sizeof(m), &a, sizeof(a));

	if (rc < 0)
		say_failed(r, "size of", rc);
	else
		*size = a.size;
	return rc;
}

/*
 * After the loss of a session it is unknown whether the target has extended the file: so the call is not repeated, as a
 * second extension would leave a part in the file that no process writes
 */
static int remote_reserve(struct pmio_file *f, uint64_t len, bool settled, uint64_t *at)
{
	struct remote_file *r = file_of(f);
	struct remote_grow_msg m = { .size = len, .settled = settled };
	struct remote_size_answer_msg a;
	struct call c = { &m, sizeof(m), REMOTE_RESERVE, &a, sizeof(a) };
	int rc = file_in_sessions(r, 1, run_call, &c);

	if (rc == 0)
		*at = a.size;
	return rc;
}

/*
 * not repeated in another session either: the file may have been truncated, and a new slot of the file may have begun to
 * count `cuts` from the same number
 */
static int remote_raise(struct pmio_file *f, uint64_t size, uint64_t cuts)
{
	struct remote_grow_msg m = { .size = size, .cuts = cuts };
	struct call c = { &m, sizeof(m), REMOTE_RAISE, NULL, 0 };

	return file_in_sessions(file_of(f), 1, run_call, &c);
}

static int remote_truncate(struct pmio_file *f, uint64_t size)
{
	struct remote_file *r = file_of(f);
	struct remote_truncate_msg m = { .size = size };
	int rc = call(r, REMOTE_TRUNCATE, &m, sizeof(m), NULL, 0);

	if (rc < 0)
		say_failed(r, "truncate", rc);
	return rc;
}

static int remote_sync(struct pmio_file *f)
{
	return simple_call(file_of(f), REMOTE_SYNC, "sync");
}

static int remote_drain(struct pmio_file *f)
{
	return simple_call(file_of(f), REMOTE_DRAIN, "drain");
}

static int remote_stage(struct pmio_file *f, uint64_t first, uint32_t nr, uint32_t step)
{
	struct remote_stage_msg m = { .first = first, .nr = nr, .step = step };

	return call(file_of(f), REMOTE_STAGE, &m, sizeof(m), NULL, 0);
}

static void free_remote(struct remote_file *r)
{
	pthread_mutex_destroy(&r->lock);
	free(r->f.path);
	free(r);
}

static int run_close(const struct file_at *at, void *arg)
{
	struct remote_close_msg m = { .flags = *(uint32_t *)arg };
	size_t got;

	node_header(at->node, &m, REMOTE_CLOSE, at->handle);
	return node_call(at->node, &m, sizeof(m), NULL, 0, &got);
}

static int remote_close(struct pmio_file *f, uint32_t flags)
{
	struct remote_file *r = file_of(f);
	int rc = with_session(r, run_close, &flags);

	if (rc < 0)
		say_failed(r, "close", rc);
	free_remote(r);
	return rc;
}

/* the target does not wait for locks: that would block threads that other calls need */
static int remote_lock(struct pmio_file *f)
{
	struct pmio_backoff b = { LOCK_WAIT_MIN_US, LOCK_WAIT_MAX_US, PMIO_BACKOFF_NO_LIMIT };
	int rc;

	while ((rc = simple_call(file_of(f), REMOTE_LOCK, "lock")) == -EAGAIN)
		pmio_backoff_sleep(&b);
	return rc;
}

static void remote_unlock(struct pmio_file *f)
{
	simple_call(file_of(f), REMOTE_UNLOCK, "unlock");
}

static const struct client_ops ops = {
	.readx = transfer_readx,
	.writex = transfer_writex,
	.begin = transfer_begin,
	.finish = transfer_finish,
	.grow = remote_grow,
	.growth = remote_growth,
	.raise = remote_raise,
	.reserve = remote_reserve,
	.size = remote_size,
	.truncate = remote_truncate,
	.sync = remote_sync,
	.drain = remote_drain,
	.end = remote_close,
	.lock = remote_lock,
	.unlock = remote_unlock,
	.stage = remote_stage,
};

/* ---- opening ------------------------------------------------------------------------------------ */

static int open_file(struct remote_file *r, const struct remote_endpoint *endpoint, const struct client_open *how, struct pmio_file **out)
{
	int rc = r->target ? file_open_at(r, how) : -ENOMEM;

	if (rc == 0) {
		r->f.chunk_size = r->target->endpoint.chunk_size;
		*out = &r->f;
		return 0;
	}
	if (!how->quiet)
		pmio_err("open %s at node %s: %s", r->f.path, endpoint->host, pmio_strerror(rc));
	free_remote(r);
	return rc;
}

static int new_file(const struct pmio_settings *settings, const struct remote_endpoint *endpoint, const char *path, uint32_t flags,
		    struct remote_file **out)
{
	char absolute[PATH_MAX];
	int rc = pmio_absolute(path, absolute, sizeof(absolute));
	struct remote_file *r = rc == 0 ? calloc(1, sizeof(*r)) : NULL;

	if (!r)
		return rc < 0 ? rc : -ENOMEM;
	pthread_mutex_init(&r->lock, NULL);
	r->f.ops = &ops;
	r->f.lock_fd = r->f.pfs_fd = -1;
	r->f.flags = flags & ~(PMIO_OPEN_CREATE | PMIO_OPEN_EXCL | PMIO_OPEN_BEGINS);
	r->f.path = strdup(absolute);
	r->target = r->f.path ? node_get(settings, endpoint) : NULL;
	*out = r;
	return 0;
}

int remote_open(const struct pmio_settings *settings, const struct remote_endpoint *endpoint, const char *path,
		const struct client_open *how, struct pmio_file **out)
{
	struct remote_file *r;
	int rc = new_file(settings, endpoint, path, how->flags, &r);

	*out = NULL;
	if (rc == 0)
		return open_file(r, endpoint, how, out);
	if (!how->quiet)
		pmio_err("open %s at node %s: %s", path, endpoint->host, pmio_strerror(rc));
	return rc;
}

int remote_open_relayed(const struct pmio_settings *settings, const struct remote_layout *layout, uint32_t own, uint32_t target, const char *path,
			const struct client_open *how, struct pmio_file **out)
{
	const struct remote_endpoint *endpoint = &layout->endpoints[target];
	struct remote_file *r;
	int rc = new_file(settings, endpoint, path, how->flags, &r);

	*out = NULL;
	if (rc < 0)
		return rc;
	memcpy(r->layout, layout->id, sizeof(r->layout));
	r->relay = node_get(settings, &layout->endpoints[own]); /* NULL: not relayed */
	return open_file(r, endpoint, how, out);
}

static int call_path(const struct pmio_settings *settings, const struct remote_endpoint *endpoint, enum remote_op op,
		     const char *what, const char *path)
{
	union {
		struct remote_path_msg m;
		uint8_t bytes[sizeof(struct remote_path_msg) + PATH_MAX];
	} u;
	struct node *n = node_get(settings, endpoint);
	size_t got;
	int rc = n ? pmio_absolute(path, u.m.path, PATH_MAX) : -ENOMEM;

	if (rc == 0)
		rc = node_ask(n, &u.m, sizeof(u.m) + strlen(u.m.path) + 1, op, NULL, 0, &got);
	if (rc < 0 && rc != -ENOENT)
		pmio_err("%s %s at node %s: %s", what, path, endpoint->host, pmio_strerror(rc));
	return rc;
}

int remote_delete(const struct pmio_settings *settings, const struct remote_endpoint *endpoint, const char *path)
{
	return call_path(settings, endpoint, REMOTE_DELETE, "delete", path);
}

int remote_watch(const struct pmio_settings *settings, const struct remote_endpoint *endpoint, const char *path)
{
	return call_path(settings, endpoint, REMOTE_WATCH, "watch the drain of", path);
}

int remote_stat(const struct pmio_settings *settings, const struct remote_endpoint *endpoint,
		struct remote_stat_answer_msg *st)
{
	struct node *n = node_get(settings, endpoint);
	struct remote_hdr_msg m;
	size_t got;
	int rc = n ? node_ask(n, &m, sizeof(m), REMOTE_STAT, st, sizeof(*st), &got) : -ENOMEM;

	return rc == 0 && got != sizeof(*st) ? PMIO_EPROTO : rc;
}
