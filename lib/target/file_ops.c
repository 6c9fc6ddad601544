/* file_ops.c -- calls on files: open, read, write, sizes, close, delete, stat */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>

#include "client/admin.h"
#include "target/target_impl.h"

struct rhandle *target_find_handle(const struct session *n, uint64_t id)
{
	struct rhandle *h;

	HASH_FIND(hh, n->handles, &id, sizeof(id), h);
	return h && !h->closing ? h : NULL;
}

static struct rhandle *get_handle(struct server *s, struct session *n, uint64_t id, bool closing)
{
	struct rhandle *h;

	pthread_mutex_lock(&s->lock);
	h = target_find_handle(n, id);
	if (h && closing && h->users)
		h = NULL;
	if (h) {
		h->users++;
		h->closing = closing;
	}
	pthread_mutex_unlock(&s->lock);
	return h;
}

static void put_handle(struct server *s, struct rhandle *h)
{
	pthread_mutex_lock(&s->lock);
	h->users--;
	pthread_mutex_unlock(&s->lock);
}

bool target_is_path(const struct remote_job *j, const char *path)
{
	size_t room = j->len - (size_t)(path - (const char *)j->msg.bytes);

	return room > 1 && room <= PATH_MAX && *path == '/' && memchr(path, '\0', room) == path + room - 1;
}

/* the handle becomes one of the session's */
static void add_handle(struct server *s, struct remote_job *j, struct rhandle *h)
{
	client_identity(h->file, &j->answer.open.dev, &j->answer.open.ino);
	pthread_mutex_lock(&s->lock);
	j->answer.open.handle = h->id = ++s->next_id;
	HASH_ADD(hh, j->session->handles, id, sizeof(h->id), h);
	pthread_mutex_unlock(&s->lock);
	j->answer_len = sizeof(j->answer.open);
}

int target_do_open(struct server *s, struct remote_job *j)
{
	struct client_open how = { .flags = j->msg.open.flags, .mode = j->msg.open.mode & 07777, .quiet = true };
	struct rhandle *h;
	off_t size = 0;
	int rc;

	if (j->len <= sizeof(j->msg.open) || !target_is_path(j, j->msg.open.path) ||
	    (how.flags & ~PMIO_OPEN_ALL) || !(how.flags & (PMIO_OPEN_READ | PMIO_OPEN_WRITE)))
		return PMIO_EPROTO;
	rc = target_get_link(s, j->session);
	if (rc < 0)
		return rc;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	rc = client_open(j->session->link->pm, j->msg.open.path, &how, &h->file);
	if (rc == 0)
		rc = pmio_size(h->file, &size);
	if (rc < 0) {
		pmio_close(&h->file);
		free(h);
		return rc;
	}
	j->answer.open.size = (uint64_t)size;
	add_handle(s, j, h);
	return 0;
}

int target_do_relay(struct server *s, struct remote_job *j)
{
	struct remote_relay_msg *m = &j->msg.relay;
	struct rhandle *h;
	int rc;

	if (j->len < sizeof(*m) + sizeof(struct remote_hdr_msg))
		return PMIO_EPROTO;
	if (((const struct remote_hdr_msg *)m->msg)->op != REMOTE_OPEN)
		return relays_pass_on(s->relays, m, j->len, &j->answer, sizeof(j->answer), &j->answer_len);
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	rc = relays_open(s->relays, m, j->len, &h->relayed);
	if (rc < 0) {
		free(h);
		return rc;
	}
	h->file = relays_file(h->relayed);
	j->answer.open.size = 0; /* clients query it when they need it */
	add_handle(s, j, h);
	return 0;
}

/* find the list of pieces and the data; false: the message is not valid */
bool target_is_io(const struct session *n, const struct remote_io_msg *m, size_t len)
{
	bool write = m->hdr.op == REMOTE_WRITE, has_buffer = m->buffer != REMOTE_NO_BUFFER;
	size_t want = sizeof(*m);

	if (len < sizeof(*m) || m->nr == 0 || m->nr > REMOTE_DESCS_MAX ||
	    m->len > (has_buffer ? REMOTE_BUFFER_SIZE : REMOTE_ANSWER_MAX) || (has_buffer && m->buffer >= n->nr_buffers))
		return false;
	want += (size_t)m->nr * sizeof(m->desc[0]);
	want += write && !has_buffer ? m->len : 0;
	return len == want;
}

/* where the data are, or where they are to be put */
static uint8_t *find_data(struct server *s, const struct session *n, const struct target_io *io)
{
	const struct remote_io_msg *m = io->m;

	if (m->buffer != REMOTE_NO_BUFFER)
		return s->memory + (size_t)n->buffer[m->buffer] * REMOTE_BUFFER_SIZE;
	return m->hdr.op == REMOTE_WRITE ? (uint8_t *)(uintptr_t)&m->desc[m->nr]
					 : ((struct remote_read_answer_msg *)io->answer)->data;
}

static struct pmio_piece *make_pieces(const struct remote_io_msg *m, uint8_t *data)
{
	struct pmio_piece *p = malloc(m->nr * sizeof(*p));
	uint64_t sum = 0;

	for (uint32_t i = 0; p && i < m->nr; i++) {
		uint64_t off = m->desc[i].off, len = m->desc[i].len;

		if (off > INT64_MAX || len > m->len - sum) {
			free(p);
			return NULL;
		}
		p[i].off = (off_t)off;
		p[i].buf = data + sum;
		p[i].len = len;
		sum += len;
	}
	if (p && sum != m->len) {
		free(p);
		return NULL;
	}
	return p;
}

static ssize_t copy(struct target_io *io, struct pmio_file *f, const struct pmio_piece *pieces)
{
	const struct remote_io_msg *m = io->m;

	if (m->hdr.op == REMOTE_WRITE)
		return io->at_once ? client_writex_at_once(f, pieces, m->nr, &io->raised)
				   : client_writex(f, pieces, m->nr, &io->raised);
	return io->at_once ? client_readx_at_once(f, pieces, m->nr, m->size) : client_readx(f, pieces, m->nr, m->size);
}

int target_do_io(struct server *s, const struct session *session, struct pmio_file *f, struct target_io *io)
{
	struct pmio_piece *pieces = make_pieces(io->m, find_data(s, session, io));
	ssize_t n;

	if (!pieces)
		return PMIO_EPROTO;
	n = copy(io, f, pieces);
	free(pieces);
	if (n < 0)
		return (int)n;
	if (io->m->hdr.op == REMOTE_READ) {
		((struct remote_read_answer_msg *)io->answer)->len = (uint64_t)n;
		io->answer_len = sizeof(struct remote_read_answer_msg) + (io->m->buffer == REMOTE_NO_BUFFER ? (size_t)n : 0);
	} else {
		((struct remote_write_answer_msg *)io->answer)->raised = io->raised;
		io->answer_len = sizeof(struct remote_write_answer_msg);
	}
	return 0;
}

static int do_io(struct server *s, struct remote_job *j, struct pmio_file *f)
{
	struct target_io io = { .m = &j->msg.io, .len = j->len, .raised = j->raised, .answer = &j->answer };
	int rc;

	if (!target_is_io(j->session, io.m, io.len))
		return PMIO_EPROTO;
	if (io.m->hdr.op == REMOTE_READ && io.m->buffer == REMOTE_NO_BUFFER) {
		io.answer = j->data = malloc(sizeof(j->answer.read) + io.m->len);
		if (!j->data)
			return -ENOMEM;
	}
	rc = target_do_io(s, j->session, f, &io);
	j->answer_len = io.answer_len;
	return rc;
}

bool target_is_grow(const struct remote_grow_msg *m, size_t len)
{
	return len == sizeof(*m) && m->size <= INT64_MAX && !(m->growers & (PMIO_GROWERS_KNOWN | ~PMIO_GROWERS_ALL));
}

static int do_size(struct remote_job *j, struct pmio_file *f)
{
	struct client_growth g = { 0 };
	int rc = client_growth(f, &g);

	j->answer.growth = (struct remote_growth_answer_msg){ g.size, g.growers, g.cuts };
	j->answer_len = sizeof(j->answer.growth);
	return rc;
}

static int do_file(struct server *s, struct remote_job *j, struct pmio_file *f)
{
	switch (j->msg.hdr.op) {
	case REMOTE_READ:
	case REMOTE_WRITE:
		return do_io(s, j, f);
	case REMOTE_SIZE:
		return do_size(j, f);
	case REMOTE_TRUNCATE:
		if (j->len != sizeof(j->msg.truncate) || j->msg.truncate.size > INT64_MAX)
			return PMIO_EPROTO;
		return pmio_truncate(f, (off_t)j->msg.truncate.size);
	case REMOTE_GROW:
		if (!target_is_grow(&j->msg.grow, j->len))
			return PMIO_EPROTO;
		j->answer.size.size = j->msg.grow.size;
		j->answer_len = sizeof(j->answer.size);
		return client_grow(f, &j->answer.size.size, j->msg.grow.growers);
	case REMOTE_RESERVE:
		if (j->len != sizeof(j->msg.grow) || j->msg.grow.size > INT64_MAX || j->msg.grow.settled > 1)
			return PMIO_EPROTO;
		j->answer_len = sizeof(j->answer.size);
		return client_reserve(f, j->msg.grow.size, j->msg.grow.settled, &j->answer.size.size);
	case REMOTE_RAISE:
		if (j->len != sizeof(j->msg.grow) || j->msg.grow.size > INT64_MAX)
			return PMIO_EPROTO;
		return client_raise(f, j->msg.grow.size, j->msg.grow.cuts);
	case REMOTE_STAGE:
		if (j->len != sizeof(j->msg.stage)) /* the agent checks the rest */
			return PMIO_EPROTO;
		return client_stage(f, j->msg.stage.first, j->msg.stage.nr, j->msg.stage.step);
	case REMOTE_SYNC:
		return pmio_sync(f);
	case REMOTE_DRAIN:
		return pmio_drain(f);
	case REMOTE_LOCK:
		return client_try_lock(f);
	case REMOTE_UNLOCK:
		client_unlock(f);
		return 0;
	default:
		return PMIO_EPROTO;
	}
}

/* a call on a relayed file, which other handles may share */
static int do_relayed(struct server *s, struct remote_job *j, struct rhandle *h)
{
	switch (j->msg.hdr.op) {
	case REMOTE_READ:
	case REMOTE_WRITE:
	case REMOTE_TRUNCATE:
	case REMOTE_LOCK:
	case REMOTE_UNLOCK:
		return PMIO_EPROTO; /* these are not relayed: a process sends them in its own sessions */
	case REMOTE_GROW:
		if (!target_is_grow(&j->msg.grow, j->len))
			return PMIO_EPROTO;
		j->answer.size.size = j->msg.grow.size;
		j->answer_len = sizeof(j->answer.size);
		return relays_grow(s->relays, h->relayed, &j->answer.size.size, j->msg.grow.growers);
	default:
		return do_file(s, j, h->file);
	}
}

static int do_close(struct server *s, struct remote_job *j, struct rhandle *h)
{
	int rc = 0;

	if (j->len != sizeof(j->msg.close) || (j->msg.close.flags & ~PMIO_CLOSE_DISCARD))
		return PMIO_EPROTO;
	if (h->relayed)
		rc = relays_close(s->relays, h->relayed, j->msg.close.flags);
	else
		rc = j->msg.close.flags & PMIO_CLOSE_DISCARD ? pmio_close_discard(&h->file) : pmio_close(&h->file);
	pthread_mutex_lock(&s->lock);
	HASH_DEL(j->session->handles, h);
	pthread_mutex_unlock(&s->lock);
	free(h);
	return rc;
}

int target_do_handle(struct server *s, struct remote_job *j)
{
	bool closing = j->msg.hdr.op == REMOTE_CLOSE;
	struct rhandle *h = get_handle(s, j->session, j->msg.hdr.handle, closing);
	int rc;

	if (!h)
		return -EBADF;
	if (closing)
		return do_close(s, j, h);
	rc = h->relayed ? do_relayed(s, j, h) : do_file(s, j, h->file);
	put_handle(s, h);
	return rc;
}

int target_do_delete(struct server *s, struct remote_job *j)
{
	int rc;

	if (j->len <= sizeof(j->msg.path) || !target_is_path(j, j->msg.path.path))
		return PMIO_EPROTO;
	rc = target_get_link(s, j->session);
	return rc < 0 ? rc : pmio_delete(j->session->link->pm, j->msg.path.path);
}

int target_do_stat(struct server *s, struct remote_job *j)
{
	struct remote_stat_answer_msg *a = &j->answer.stat;
	struct pmio_pool_stat st;
	struct pmio_fabric_refused refused;
	struct session *n;
	int rc = target_get_link(s, j->session);

	if (rc == 0)
		rc = pmio_stat_sums(j->session->link->pm, &st);
	if (rc < 0)
		return rc;
	memset(a, 0, sizeof(*a));
	a->chunk_size = st.chunk_size;
	a->nr_frames = st.nr_frames;
	a->nr_frames_free = st.nr_frames_free;
	a->nr_files = st.nr_files;
	a->dirty_bytes = st.dirty_bytes;
	a->drained_bytes = st.drained_bytes;
	pmio_fabric_target_refused(s->target, &refused);
	a->nr_refused_accesses = refused.accesses;
	a->nr_refused_proofs = refused.proofs;
	pthread_mutex_lock(&s->lock);
	for (n = s->sessions; n; n = n->hh.next)
		a->nr_sessions += !n->ended;
	pthread_mutex_unlock(&s->lock);
	a->pid = (uint32_t)getpid();
	j->answer_len = sizeof(*a);
	return 0;
}
