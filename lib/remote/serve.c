/*
 * serve.c -- the target: other nodes' processes, and what they want of the pool here
 *
 * Three kinds of threads:
 *
 *   lib/fabric's	takes calls, and makes each a job
 *   helpers		do the jobs; as many as there are jobs that wait for something
 *   the first one	looks after lifelines, after jobs that take long, and after the end
 *
 * Each session has a connection of its own to the agent, so nobody waits for another
 * one's drain.  When its lifeline ends the session does, the connection is closed, and
 * the agent closes the files.
 *
 * All is under one lock, `lock`, which is not held while a job is done.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <uthash.h>
#include <utlist.h>

#include "client/admin.h"
#include "core/daemon.h"
#include "core/error.h"
#include "remote/remote.h"
#include "remote/use.h"
#include "remote/wire.h"

#define NR_SLOTS 128	       /* of REMOTE_SLOT_SIZE bytes; memory only where they were used */
#define HELPERS_MAX 512
#define TICK_MS 250
#define FRESH_MAX 1024	       /* connections that have not said anything yet */
#define LIFELINE_MS 10000      /* for a new session to show its lifeline */
#define QUARANTINE_MS 1000000  /* of slots whose session broke: longer than TCP tries (tcp_retries2: 924 s) */
#define WATCHES_MAX 1024      /* files that are drained after their last close, each a thread */
#define WATCH_S 60	       /* at most between two tries to drain one */
#define LEAVE_MS 2000	       /* for sessions to end, after a signal */
#define KEEPALIVE_S 5	       /* a host that is gone is noticed in about 3 times that */
#define LOG_FILE "target.log"
#define LOG_FILE_MAX (1 << 20)

struct rhandle {
	uint64_t id;		/* key */
	struct pmio_file *file;
	unsigned users;		/* jobs */
	bool closing;
	UT_hash_handle hh;
};

struct session {
	uint64_t id;		/* key; random */
	uint64_t fabric;	/* lib/fabric's id of it */
	struct pmio *pm;
	struct rhandle *handles;
	struct member *uses;
	int lifeline;		/* -1: not there yet */
	uint64_t since_ms;
	unsigned nr_jobs;
	unsigned nr_heirs;	/* new sessions of its process, which wait for it to end */
	bool ended;		/* to be freed when its jobs are */
	bool clean;		/* it said goodbye: nothing of it is under way */
	uint32_t pid;
	char host[64];
	unsigned nr_slots;
	unsigned slot[REMOTE_SLOTS_MAX];
	UT_hash_handle hh;
};

/* a call that is carried out */
struct job {
	uint64_t id;		/* key; the ticket */
	struct job *prev, *next; /* that wait for a helper */
	struct session *session; /* NULL: HELLO */
	struct session *previous; /* HELLO: to be waited for */
	struct pmio_fabric_call *call; /* to be answered; NULL: has been told to ask again */
	uint64_t since_ms;	/* of the call */
	bool done;
	bool raised;		/* WRITE: the file got longer */
	uint64_t fabric;
	size_t len;		/* of msg */
	int status;
	size_t answer_len;
	union {
		struct remote_hdr_msg hdr;
		struct remote_hello_msg hello;
		struct remote_open_msg open;
		struct remote_io_msg io;
		struct remote_truncate_msg truncate;
		struct remote_stage_msg stage;
		struct remote_close_msg close;
		struct remote_path_msg path;
		struct remote_claim_msg claim;
		struct remote_join_msg join;
		uint8_t bytes[PMIO_FABRIC_MSG_MAX];
	} msg;
	union {
		struct remote_hello_answer_msg hello;
		struct remote_open_answer_msg open;
		struct remote_read_answer_msg read;
		struct remote_write_answer_msg write;
		struct remote_size_answer_msg size;
		struct remote_stat_answer_msg stat;
		struct remote_claim_answer_msg claim;
		uint8_t bytes[PMIO_FABRIC_MSG_MAX];
	} answer;
	UT_hash_handle hh;
};

/* a connection that has not said whose lifeline it is */
struct fresh {
	int sock;
	uint64_t since_ms;
	struct fresh *prev, *next; /* oldest first */
};

struct server {
	const struct remote_target_config *config;
	struct pmio_settings settings;
	struct remote_card card;
	struct pmio_fabric_target *target;
	uint8_t *memory;	/* the slots */
	int dir_fd, lock_fd, log_fd, epoll_fd, signal_fd, listen_fd;
	ino_t card_ino; /* of the card in the pool's directory */
	uint16_t port;		/* of lifelines */

	pthread_mutex_t lock;
	pthread_cond_t work, quiet; /* there is a job; a session's jobs have ended */
	struct job *queue, *jobs; /* waiting; all that are not answered in the end (hash) */
	unsigned nr_helpers, nr_idle, nr_queued; /* idle: also those that have been woken and do not run yet */
	unsigned nr_watches;
	struct watch *watches;
	uint64_t next_id;
	bool stop;
	struct session *sessions;
	struct uses *uses;
	uint64_t slot_free_ms[NR_SLOTS]; /* not before; UINT64_MAX: in use */
	uint64_t busy_ms;	/* when there was a session last */
	struct fresh *fresh;	/* the first thread's */
	unsigned nr_fresh;
};

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- owner's files that go ---------------------------------------------------------- */

struct removal {
	uint8_t id[USE_ID_SIZE];
	char *owner;		/* owned */
	bool keep;
};

static void *run_removal(void *arg)
{
	struct removal *r = arg;

	if (r->keep)
		remote_owner_keep(r->owner, r->id);
	else
		remote_owner_remove(r->owner, r->id, false);
	free(r->owner);
	free(r);
	return NULL;
}

/* the file system may hang: in a thread of its own.  Takes owner over */
static void remove_owner(char *owner, const uint8_t id[USE_ID_SIZE], bool keep)
{
	struct removal *r = malloc(sizeof(*r));
	pthread_t thread;

	if (!r) {
		free(owner);
		return;
	}
	memcpy(r->id, id, sizeof(r->id));
	r->owner = owner;
	r->keep = keep;
	if (pthread_create(&thread, NULL, run_removal, r) == 0)
		pthread_detach(thread);
	else
		run_removal(r);
}

/* ---- sessions; lock held ---------------------------------------------------------- */

static struct session *find_session(struct server *s, uint64_t id)
{
	struct session *n;

	HASH_FIND(hh, s->sessions, &id, sizeof(id), n);
	return n;
}

static void give_slots_back(struct server *s, struct session *n)
{
	for (unsigned i = 0; i < n->nr_slots; i++)
		s->slot_free_ms[n->slot[i]] = n->clean ? 0 : now_ms() + QUARANTINE_MS;
	n->nr_slots = 0;
}

static void take_slots(struct server *s, struct session *n, unsigned wanted)
{
	unsigned nr_free = 0;
	uint64_t now = now_ms();

	for (unsigned i = 0; i < NR_SLOTS; i++)
		nr_free += s->slot_free_ms[i] <= now;
	/* some are left for those that come later */
	if (wanted > 1 + nr_free / 8)
		wanted = 1 + nr_free / 8;
	if (wanted > REMOTE_SLOTS_MAX)
		wanted = REMOTE_SLOTS_MAX;
	for (unsigned i = 0; i < NR_SLOTS && n->nr_slots < wanted; i++) {
		if (s->slot_free_ms[i] > now)
			continue;
		s->slot_free_ms[i] = UINT64_MAX;
		n->slot[n->nr_slots++] = i;
	}
}

/* the connection goes, and with it all its files; nobody else has n any more */
static void free_session(struct session *n)
{
	struct rhandle *h, *next;

	HASH_ITER(hh, n->handles, h, next) {
		HASH_DEL(n->handles, h);
		free(h);
	}
	client_drop(&n->pm);
	if (n->lifeline >= 0)
		close(n->lifeline);
	free(n);
}

static void put_session(struct server *s, struct session *n)
{
	struct job *j, *next;
	uint8_t id[USE_ID_SIZE];
	char *owner;
	bool keep;

	pthread_cond_broadcast(&s->quiet);
	if (n->nr_jobs || n->nr_heirs || !n->ended)
		return;
	HASH_ITER(hh, s->jobs, j, next) {
		if (j->session != n)
			continue;
		HASH_DEL(s->jobs, j); /* done, and nobody will ask */
		free(j);
	}
	while ((owner = uses_end(s->uses, &n->uses, id, &keep)) != NULL)
		remove_owner(owner, id, keep);
	give_slots_back(s, n);
	HASH_DEL(s->sessions, n);
	pmio_fabric_target_end_session(s->target, n->fabric);
	free_session(n);
	s->busy_ms = now_ms();
}

static void end_session(struct server *s, struct session *n, bool clean)
{
	if (n->ended)
		return;
	n->ended = true;
	n->clean = clean;
	if (n->lifeline >= 0)
		epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, n->lifeline, NULL);
	put_session(s, n);
}

/* ---- files; no lock held but where said ----------------------------------------------- */

/* lock held; NULL also for one that is being closed */
static struct rhandle *find_handle(const struct session *n, uint64_t id)
{
	struct rhandle *h;

	HASH_FIND(hh, n->handles, &id, sizeof(id), h);
	return h && !h->closing ? h : NULL;
}

static struct rhandle *get_handle(struct server *s, struct session *n, uint64_t id, bool closing)
{
	struct rhandle *h;

	pthread_mutex_lock(&s->lock);
	h = find_handle(n, id);
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

/* a path that ends within the message */
static bool is_path(const struct job *j, const char *path)
{
	size_t room = j->len - (size_t)(path - (const char *)j->msg.bytes);

	return room > 1 && room <= PATH_MAX && *path == '/' && memchr(path, '\0', room) == path + room - 1;
}

static int do_open(struct server *s, struct job *j)
{
	struct client_open how = { .flags = j->msg.open.flags, .mode = j->msg.open.mode & 07777, .quiet = true };
	struct rhandle *h;
	off_t size = 0;
	int rc;

	if (j->len <= sizeof(j->msg.open) || !is_path(j, j->msg.open.path) ||
	    (how.flags & ~PMIO_OPEN_ALL) || !(how.flags & (PMIO_OPEN_READ | PMIO_OPEN_WRITE)))
		return PMIO_EPROTO;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	rc = client_open(j->session->pm, j->msg.open.path, &how, &h->file);
	if (rc == 0)
		rc = pmio_size(h->file, &size);
	if (rc < 0) {
		pmio_close(&h->file);
		free(h);
		return rc;
	}
	client_identity(h->file, &j->answer.open.dev, &j->answer.open.ino);
	j->answer.open.size = (uint64_t)size;
	pthread_mutex_lock(&s->lock);
	j->answer.open.handle = h->id = ++s->next_id;
	HASH_ADD(hh, j->session->handles, id, sizeof(h->id), h);
	pthread_mutex_unlock(&s->lock);
	j->answer_len = sizeof(j->answer.open);
	return 0;
}

/* where the list of pieces and the data are; false: they are not */
static bool look_at_io(struct server *s, struct job *j, const struct remote_desc **descs, uint8_t **data)
{
	const struct remote_io_msg *m = &j->msg.io;
	bool write = m->hdr.op == REMOTE_WRITE, has_slot = m->slot != REMOTE_NO_SLOT;
	size_t list = (size_t)m->nr * sizeof(**descs), want = sizeof(*m);
	uint8_t *slot = NULL;

	if (j->len < sizeof(*m) || m->nr == 0 || m->nr > REMOTE_DESCS_MAX || m->in_slot > has_slot ||
	    m->len > (has_slot ? REMOTE_DATA_MAX : REMOTE_INLINE_MAX) ||
	    (has_slot && m->slot >= j->session->nr_slots))
		return false;
	if (has_slot)
		slot = s->memory + (size_t)j->session->slot[m->slot] * REMOTE_SLOT_SIZE;
	want += m->in_slot ? 0 : list;
	want += write && !has_slot ? m->len : 0;
	if (j->len != want)
		return false;
	*descs = m->in_slot ? (const struct remote_desc *)slot : m->desc;
	if (has_slot)
		*data = slot + REMOTE_DATA_OFF;
	else
		*data = write ? j->msg.bytes + sizeof(*m) + list : j->answer.read.data;
	return true;
}

/* the list may be in memory that the peer can still write to: each number is read once */
static struct pmio_piece *make_pieces(const struct remote_io_msg *m, const struct remote_desc *descs, uint8_t *data)
{
	struct pmio_piece *p = malloc(m->nr * sizeof(*p));
	uint64_t sum = 0;

	for (uint32_t i = 0; p && i < m->nr; i++) {
		uint64_t off = __atomic_load_n(&descs[i].off, __ATOMIC_RELAXED);
		uint64_t len = __atomic_load_n(&descs[i].len, __ATOMIC_RELAXED);

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

/* at_once: -EAGAIN if it would have to wait for somebody */
static ssize_t copy(struct job *j, struct pmio_file *f, const struct pmio_piece *pieces, bool at_once)
{
	const struct remote_io_msg *m = &j->msg.io;

	if (m->hdr.op == REMOTE_WRITE)
		return at_once ? client_writex_at_once(f, pieces, m->nr, &j->raised)
			       : client_writex(f, pieces, m->nr, &j->raised);
	return at_once ? client_readx_at_once(f, pieces, m->nr, m->size) : client_readx(f, pieces, m->nr, m->size);
}

static int do_io(struct server *s, struct job *j, struct pmio_file *f, bool at_once)
{
	const struct remote_io_msg *m = &j->msg.io;
	const struct remote_desc *descs;
	struct pmio_piece *pieces;
	uint8_t *data;
	ssize_t n;

	if (!look_at_io(s, j, &descs, &data))
		return PMIO_EPROTO;
	pieces = make_pieces(m, descs, data);
	if (!pieces)
		return PMIO_EPROTO;
	n = copy(j, f, pieces, at_once);
	free(pieces);
	if (n < 0)
		return (int)n;
	if (m->hdr.op == REMOTE_READ) {
		j->answer.read.len = (uint64_t)n;
		j->answer_len = sizeof(j->answer.read) + (m->slot == REMOTE_NO_SLOT ? (size_t)n : 0);
	} else {
		j->answer.write.raised = j->raised;
		j->answer_len = sizeof(j->answer.write);
	}
	return 0;
}

static int do_file(struct server *s, struct job *j, struct pmio_file *f)
{
	off_t size;
	int rc;

	switch (j->msg.hdr.op) {
	case REMOTE_READ:
	case REMOTE_WRITE:
		return do_io(s, j, f, false);
	case REMOTE_SIZE:
		rc = pmio_size(f, &size);
		if (rc == 0) {
			j->answer.size.size = (uint64_t)size;
			j->answer_len = sizeof(j->answer.size);
		}
		return rc;
	case REMOTE_TRUNCATE:
		if (j->len != sizeof(j->msg.truncate) || j->msg.truncate.size > INT64_MAX)
			return PMIO_EPROTO;
		return pmio_truncate(f, (off_t)j->msg.truncate.size);
	case REMOTE_GROW:
		if (j->len != sizeof(j->msg.truncate) || j->msg.truncate.size > INT64_MAX)
			return PMIO_EPROTO;
		j->answer.size.size = j->msg.truncate.size;
		j->answer_len = sizeof(j->answer.size);
		return client_grow(f, &j->answer.size.size);
	case REMOTE_STAGE:
		if (j->len != sizeof(j->msg.stage)) /* the agent looks at the rest */
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

static int do_close(struct server *s, struct job *j, struct rhandle *h)
{
	int rc = 0;

	if (j->len != sizeof(j->msg.close) || (j->msg.close.flags & ~PMIO_CLOSE_DISCARD))
		return PMIO_EPROTO;
	rc = j->msg.close.flags & PMIO_CLOSE_DISCARD ? pmio_close_discard(&h->file) : pmio_close(&h->file);
	pthread_mutex_lock(&s->lock);
	HASH_DEL(j->session->handles, h);
	pthread_mutex_unlock(&s->lock);
	free(h);
	return rc;
}

static int do_handle(struct server *s, struct job *j)
{
	bool closing = j->msg.hdr.op == REMOTE_CLOSE;
	struct rhandle *h = get_handle(s, j->session, j->msg.hdr.handle, closing);
	int rc;

	if (!h)
		return -EBADF;
	if (closing)
		return do_close(s, j, h);
	rc = do_file(s, j, h->file);
	put_handle(s, h);
	return rc;
}

static int do_delete(struct job *j)
{
	if (j->len <= sizeof(j->msg.path) || !is_path(j, j->msg.path.path))
		return PMIO_EPROTO;
	return pmio_delete(j->session->pm, j->msg.path.path);
}

static int do_stat(struct server *s, struct job *j)
{
	struct remote_stat_answer_msg *a = &j->answer.stat;
	struct pmio_pool_stat st;
	int rc = pmio_stat_sums(j->session->pm, &st);

	if (rc < 0)
		return rc;
	memset(a, 0, sizeof(*a));
	a->chunk_size = st.chunk_size;
	a->nr_frames = st.nr_frames;
	a->nr_frames_free = st.nr_frames_free;
	a->nr_files = st.nr_files;
	a->dirty_bytes = st.dirty_bytes;
	a->drained_bytes = st.drained_bytes;
	pthread_mutex_lock(&s->lock);
	a->nr_sessions = HASH_COUNT(s->sessions);
	pthread_mutex_unlock(&s->lock);
	a->pid = (uint32_t)getpid();
	j->answer_len = sizeof(*a);
	return 0;
}

/* ---- files of several nodes ------------------------------------------------------------ */

static int do_join(struct server *s, struct job *j)
{
	const struct remote_join_msg *m = &j->msg.join;
	int rc;

	if (j->len < sizeof(*m) || m->create > 1 || (m->create && !is_path(j, m->path)))
		return PMIO_EPROTO;
	pthread_mutex_lock(&s->lock);
	rc = uses_join(s->uses, &j->session->uses, m->use, m->create ? m->path : NULL);
	pthread_mutex_unlock(&s->lock);
	return rc;
}

/* answered when the owner's file is gone */
static int do_leave(struct server *s, struct job *j)
{
	const struct remote_join_msg *m = &j->msg.join;
	char *owner = NULL;
	bool keep = false, others;
	int rc;

	if (j->len != sizeof(*m) || m->keep > REMOTE_KEEP_NOT)
		return PMIO_EPROTO;
	pthread_mutex_lock(&s->lock);
	rc = uses_leave(s->uses, &j->session->uses, m->use, m->keep == REMOTE_KEEP, &owner, &keep);
	others = uses_active(s->uses, m->use);
	pthread_mutex_unlock(&s->lock);
	if (owner && keep)
		remote_owner_keep(owner, m->use);
	else if (owner)
		remote_owner_remove(owner, m->use, m->keep == REMOTE_KEEP_NOT);
	free(owner);
	return rc == 0 && others ? 1 : rc;
}

/* until it is drained, however long that takes; the client's calls go to the log */
struct watch {
	struct server *s;
	bool again;		/* it has been closed once more; under the server's lock */
	struct watch *prev, *next;
	char path[];
};

static bool in_use(void *arg, const uint8_t id[USE_ID_SIZE])
{
	struct server *s = arg;
	bool active;

	pthread_mutex_lock(&s->lock);
	active = uses_active(s->uses, id);
	pthread_mutex_unlock(&s->lock);
	return active;
}

static int drain_once(void *arg)
{
	struct watch *w = arg;
	struct pmio *pm;
	int rc = client_connect(&w->s->settings, NULL, false, false, &pm);

	if (rc < 0)
		return rc;
	rc = pmio_drain_known(pm, w->path);
	pmio_disconnect(&pm);
	return rc;
}

static bool is_again(struct watch *w)
{
	bool again;

	pthread_mutex_lock(&w->s->lock);
	again = w->again;
	pthread_mutex_unlock(&w->s->lock);
	return again;
}

/* false: it goes on */
static bool end_watch(struct watch *w)
{
	struct server *s = w->s;
	bool again;

	pthread_mutex_lock(&s->lock);
	again = w->again;
	w->again = false;
	if (!again) {
		DL_DELETE(s->watches, w);
		s->nr_watches--;
	}
	pthread_mutex_unlock(&s->lock);
	return !again;
}

static void *run_watch(void *arg)
{
	struct watch *w = arg;

	do {
		unsigned wait_s = 1, settle_ms = 10;

		while (drain_once(w) < 0) {
			sleep(wait_s);
			wait_s = wait_s < WATCH_S ? wait_s * 2 : WATCH_S;
		}
		remote_owner_drained(w->path, w->s->card.uuid, drain_once, w);
		while (remote_owner_settle(w->path, w->s->card.uuid, in_use, w->s) == -EAGAIN && !is_again(w)) {
			usleep(settle_ms * 1000);
			settle_ms = settle_ms < 500 ? settle_ms * 2 : 1000;
		}
	} while (!end_watch(w));
	free(w);
	return NULL;
}

/* lock held; takes w over */
static int start_watch(struct server *s, struct watch *w)
{
	struct watch *other;
	pthread_t thread;
	int rc;

	DL_FOREACH(s->watches, other) {
		if (strcmp(other->path, w->path) == 0)
			break;
	}
	rc = other || s->nr_watches >= WATCHES_MAX ? EAGAIN : pthread_create(&thread, NULL, run_watch, w);
	if (other)
		other->again = true;
	if (rc) {
		free(w);
		return other ? 0 : -rc;
	}
	pthread_detach(thread);
	DL_APPEND(s->watches, w);
	s->nr_watches++;
	return 0;
}

static int watch_path(struct server *s, const char *path)
{
	struct watch *w = calloc(1, sizeof(*w) + strlen(path) + 1);
	int rc;

	if (!w)
		return -ENOMEM;
	w->s = s;
	strcpy(w->path, path);
	pthread_mutex_lock(&s->lock);
	rc = start_watch(s, w);
	pthread_mutex_unlock(&s->lock);
	return rc;
}

/* of a memory node that was started anew: what it has is drained, and is said to wait no more */
static void *watch_known(void *arg)
{
	struct server *s = arg;
	struct pmio_file_stat *st = malloc(sizeof(*st));
	struct pmio *pm = NULL;
	uint32_t cursor = 0;
	int rc = st ? client_connect(&s->settings, NULL, false, false, &pm) : -ENOMEM;

	while (rc == 0 && (rc = pmio_stat_next(pm, &cursor, st)) == 0)
		rc = st->state == PMIO_STATE_HELD ? 0 : watch_path(s, st->path);
	if (rc < 0 && rc != -ENOENT)
		pmio_warn("target: not all files that the pool has are watched: %s; marks next to them may stay",
			  pmio_strerror(rc));
	if (pm)
		client_drop(&pm);
	free(st);
	return NULL;
}

static int do_watch(struct server *s, struct job *j)
{
	if (j->len <= sizeof(j->msg.path) || !is_path(j, j->msg.path.path))
		return PMIO_EPROTO;
	return watch_path(s, j->msg.path.path);
}

static int do_claim(struct server *s, struct job *j)
{
	const struct remote_claim_msg *m = &j->msg.claim;
	int rc = 0;

	if (j->len != sizeof(*m) || m->nr > REMOTE_CLAIM_MAX || m->wanted > m->nr || m->create > 1 ||
	    m->first > INT64_MAX)
		return PMIO_EPROTO;
	memset(&j->answer.claim, 0, sizeof(j->answer.claim));
	pthread_mutex_lock(&s->lock);
	if (m->create)
		rc = uses_create(s->uses, &j->session->uses, m->use);
	if (rc == 0)
		rc = uses_claim(s->uses, m->use, m->first, m->nr, m->wanted, m->holder, j->answer.claim.holder);
	pthread_mutex_unlock(&s->lock);
	j->answer_len = sizeof(j->answer.claim);
	return rc;
}

/* ---- the first call of a session ---------------------------------------------------------- */

/* lock held: what its process has given up must not happen after what it does from now on */
static void await_previous(struct server *s, struct session *heir, struct job *j)
{
	struct session *n = find_session(s, j->msg.hello.previous);

	if (!n)
		return;
	if (!n->ended && n->lifeline >= 0)
		epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, n->lifeline, NULL);
	n->ended = true; /* no call of it is taken any more */
	n->nr_heirs++;
	while (n->nr_jobs)
		pthread_cond_wait(&s->quiet, &s->lock);
	n->nr_heirs--;
	/* the process is the same: what it has joined it still uses */
	uses_inherit(&heir->uses, &n->uses);
	put_session(s, n);
}

static int do_hello(struct server *s, struct job *j)
{
	struct session *n = j->len == sizeof(j->msg.hello) ? calloc(1, sizeof(*n)) : NULL;
	struct remote_hello_answer_msg *a = &j->answer.hello;
	int rc;

	if (!n)
		return j->len == sizeof(j->msg.hello) ? -ENOMEM : PMIO_EPROTO;
	n->lifeline = -1;
	n->fabric = j->fabric;
	n->since_ms = now_ms();
	n->pid = j->msg.hello.pid;
	snprintf(n->host, sizeof(n->host), "%.*s", (int)sizeof(j->msg.hello.host) - 1, j->msg.hello.host);
	rc = client_connect(&s->settings, NULL, false, false, &n->pm);
	if (rc < 0) {
		free(n);
		return rc;
	}
	memset(a, 0, sizeof(*a));
	pmio_pool_uuid(n->pm, a->uuid);
	a->chunk_size = n->pm->view->chunk_size;
	a->lifeline = s->port;
	snprintf(a->host, sizeof(a->host), "%s", s->card.host);
	pthread_mutex_lock(&s->lock);
	do
		rc = pmio_fabric_random(&n->id, sizeof(n->id));
	while (rc == 0 && (n->id == 0 || find_session(s, n->id)));
	if (rc == 0) {
		await_previous(s, n, j);
		take_slots(s, n, j->msg.hello.slots);
		a->nr_slots = (uint16_t)n->nr_slots;
		for (unsigned i = 0; i < n->nr_slots; i++)
			a->slot[i] = (uint64_t)n->slot[i] * REMOTE_SLOT_SIZE;
		a->session = n->id;
		HASH_ADD(hh, s->sessions, id, sizeof(n->id), n);
	}
	pthread_mutex_unlock(&s->lock);
	if (rc < 0) {
		client_drop(&n->pm);
		free(n);
		return rc;
	}
	pmio_info("target: process %u of node %s has come", n->pid, n->host);
	j->answer_len = sizeof(*a);
	return 0;
}

/* ---- jobs ------------------------------------------------------------------------------------ */

static int do_job(struct server *s, struct job *j)
{
	j->answer_len = 0;
	switch (j->msg.hdr.op) {
	case REMOTE_HELLO:
		return do_hello(s, j);
	case REMOTE_OPEN:
		return do_open(s, j);
	case REMOTE_DELETE:
		return do_delete(j);
	case REMOTE_STAT:
		return do_stat(s, j);
	case REMOTE_JOIN:
		return do_join(s, j);
	case REMOTE_LEAVE:
		return do_leave(s, j);
	case REMOTE_CLAIM:
		return do_claim(s, j);
	case REMOTE_WATCH:
		return do_watch(s, j);
	default:
		return do_handle(s, j);
	}
}

/* codes that say something of the session are not to be had from a file system */
static int own_error(int rc)
{
	return rc == -ETIMEDOUT || rc == -ECONNRESET || rc == -ESTALE || rc == -ENOTCONN || rc == -EINPROGRESS
		       ? -EIO
		       : rc;
}

/* lock held */
static void answer(struct server *s, struct job *j)
{
	struct pmio_fabric_call *call = j->call;

	j->done = true;
	if (!call)
		return; /* it will ask for it */
	HASH_DEL(s->jobs, j);
	pmio_fabric_reply(call, j->status, j->answer.bytes, j->status == 0 ? j->answer_len : 0);
	free(j);
}

static void *help(void *arg)
{
	struct server *s = arg;

	pthread_mutex_lock(&s->lock);
	while (!s->stop) {
		struct job *j = s->queue;
		struct session *n;

		if (!j) {
			s->nr_idle++;
			pthread_cond_wait(&s->work, &s->lock);
			s->nr_idle--;
			continue;
		}
		DL_DELETE(s->queue, j);
		s->nr_queued--;
		n = j->session;
		pthread_mutex_unlock(&s->lock);
		j->status = own_error(do_job(s, j));
		pthread_mutex_lock(&s->lock);
		answer(s, j);
		if (n) {
			n->nr_jobs--;
			put_session(s, n);
		}
	}
	s->nr_helpers--;
	pthread_cond_broadcast(&s->quiet);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* lock held */
static void start_helper(struct server *s)
{
	pthread_attr_t attr;
	pthread_t thread;

	if (s->nr_idle > s->nr_queued || s->nr_helpers == HELPERS_MAX)
		return;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attr, help, s) == 0)
		s->nr_helpers++;
	else if (!s->nr_helpers)
		pmio_err("target: no thread for a call");
	pthread_attr_destroy(&attr);
}

/* lock held: the call asks for the answer to an earlier one */
static void take_wait(struct server *s, struct session *n, struct pmio_fabric_call *call, uint64_t ticket)
{
	struct job *j;

	HASH_FIND(hh, s->jobs, &ticket, sizeof(ticket), j);
	if (!j || j->session != n || j->call) {
		pmio_fabric_reply(call, PMIO_EPROTO, NULL, 0);
		return;
	}
	j->call = call;
	j->since_ms = now_ms();
	if (j->done)
		answer(s, j);
}

static struct job *new_job(struct pmio_fabric_call *call, const void *msg, size_t len)
{
	struct job *j = malloc(sizeof(*j));

	if (!j)
		return NULL;
	memset(j, 0, offsetof(struct job, msg));
	j->call = call;
	j->len = len;
	j->since_ms = now_ms();
	j->fabric = pmio_fabric_call_session(call);
	memcpy(j->msg.bytes, msg, len);
	return j;
}

/*
 * lock held: a file gets longer with each write of some programs, whose ranks wait
 * for this; no helper's wake-up, if it is nothing but a store to the pool.
 */
static bool grow_at_once(struct session *n, struct pmio_fabric_call *call, const void *msg, size_t len)
{
	const struct remote_truncate_msg *m = msg;
	struct remote_size_answer_msg a = { 0 };
	struct rhandle *h;

	if (len != sizeof(*m) || m->size > INT64_MAX)
		return false;
	a.size = m->size;
	h = find_handle(n, m->hdr.handle);
	if (!h || !client_grow_at_once(h->file, &a.size))
		return false;
	pmio_fabric_reply(call, 0, &a, sizeof(a));
	return true;
}

/*
 * lock held: small pieces that come in the message, for frames that are known.  A helper's
 * wake-up, and another for the answer, cost more than to copy them here.
 */
static bool io_at_once(struct server *s, struct job *j)
{
	struct rhandle *h;
	int rc;

	if ((j->msg.hdr.op != REMOTE_WRITE && j->msg.hdr.op != REMOTE_READ) || j->len < sizeof(j->msg.io) ||
	    j->msg.io.slot != REMOTE_NO_SLOT)
		return false;
	h = find_handle(j->session, j->msg.hdr.handle);
	rc = h ? do_io(s, j, h->file, true) : -EAGAIN;
	if (rc == -EAGAIN)
		return false;
	pmio_fabric_reply(j->call, own_error(rc), j->answer.bytes, rc == 0 ? j->answer_len : 0);
	free(j);
	return true;
}

/* lib/fabric's thread: it must not wait */
static void take_call(struct pmio_fabric_call *call, const void *msg, size_t len, void *arg)
{
	const struct remote_hdr_msg *h = msg;
	struct server *s = arg;
	struct session *n = NULL;
	struct job *j;
	int rc = 0;

	if (len < sizeof(*h) || h->op == 0 || h->op >= REMOTE_NR_OPS)
		rc = PMIO_EPROTO;
	else if (h->version != REMOTE_VERSION)
		rc = PMIO_EVERSION;
	if (rc < 0) {
		pmio_fabric_reply(call, rc, NULL, 0);
		return;
	}
	pthread_mutex_lock(&s->lock);
	if (h->op != REMOTE_HELLO) {
		n = find_session(s, h->session);
		/* -ESTALE: to the caller its session is lost */
		rc = !n || n->ended || n->fabric != pmio_fabric_call_session(call) ? -ESTALE : 0;
	}
	if (rc == 0 && h->op == REMOTE_WAIT) {
		take_wait(s, n, call, h->handle);
		pthread_mutex_unlock(&s->lock);
		return;
	}
	if (rc == 0 && h->op == REMOTE_GROW && grow_at_once(n, call, msg, len)) {
		pthread_mutex_unlock(&s->lock);
		return;
	}
	j = rc == 0 ? new_job(call, msg, len) : NULL;
	if (j)
		j->session = n;
	if (j && io_at_once(s, j)) {
		/* it is answered */
	} else if (j) {
		j->id = ++s->next_id;
		HASH_ADD(hh, s->jobs, id, sizeof(j->id), j);
		if (n)
			n->nr_jobs++;
		start_helper(s);
		DL_APPEND(s->queue, j);
		s->nr_queued++;
		pthread_cond_signal(&s->work);
	} else {
		pmio_fabric_reply(call, rc < 0 ? rc : -ENOMEM, NULL, 0);
	}
	pthread_mutex_unlock(&s->lock);
}

/* ---- lifelines, and what is to be looked at now and then ---------------------------------------- */

enum { ID_LISTEN = 1, ID_SIGNAL }; /* else a session, or a socket that has not said which: ID_NEW | fd */
#define ID_NEW (1ULL << 63)

static int watch(struct server *s, int fd, uint64_t id)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = id };

	return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static void keep_alive(int sock)
{
	int on = 1, idle = KEEPALIVE_S, count = 2;

	setsockopt(sock, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(sock, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(sock, IPPROTO_TCP, TCP_KEEPINTVL, &idle, sizeof(idle));
	setsockopt(sock, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

static void forget_fresh(struct server *s, struct fresh *f)
{
	DL_DELETE(s->fresh, f);
	s->nr_fresh--;
	free(f);
}

/* those that say nothing, and if there are too many the oldest */
static void end_fresh(struct server *s)
{
	while (s->fresh && (s->nr_fresh > FRESH_MAX || now_ms() - s->fresh->since_ms > LIFELINE_MS)) {
		close(s->fresh->sock);
		forget_fresh(s, s->fresh);
	}
}

static void accept_lifeline(struct server *s)
{
	int sock = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct fresh *f = sock < 0 ? NULL : calloc(1, sizeof(*f));

	if (!f || watch(s, sock, ID_NEW | (unsigned)sock) < 0) {
		if (sock >= 0)
			close(sock);
		free(f);
		return;
	}
	keep_alive(sock);
	f->sock = sock;
	f->since_ms = now_ms();
	DL_APPEND(s->fresh, f);
	s->nr_fresh++;
	end_fresh(s);
}

/* lock held: it says whose lifeline it is, or goes */
static void take_lifeline(struct server *s, int sock)
{
	struct session *n;
	struct fresh *f;
	uint64_t id;

	DL_FOREACH(s->fresh, f) {
		if (f->sock == sock)
			break;
	}
	if (!f)
		return; /* was closed in this turn of the loop */
	forget_fresh(s, f);
	if (recv(sock, &id, sizeof(id), 0) != sizeof(id) || !(n = find_session(s, id)) || n->ended ||
	    n->lifeline >= 0) {
		close(sock); /* a stranger: it is let go of without a word */
		return;
	}
	epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, sock, NULL);
	n->lifeline = sock;
	if (watch(s, sock, n->id & ~ID_NEW) < 0)
		end_session(s, n, false);
}

static struct session *find_lifeline(struct server *s, uint64_t id)
{
	struct session *n;

	for (n = s->sessions; n; n = n->hh.next) {
		if ((n->id & ~ID_NEW) == id && n->lifeline >= 0)
			break;
	}
	return n;
}

static void take_event(struct server *s, uint64_t id)
{
	struct session *n;
	char byte;

	if (id & ID_NEW) {
		take_lifeline(s, (int)(id & ~ID_NEW));
		return;
	}
	n = find_lifeline(s, id);
	/* whatever it says, or that it says nothing any more */
	if (n && !n->ended && recv(n->lifeline, &byte, 1, 0) >= 0) {
		pmio_info("target: process %u of node %s has gone", n->pid, n->host);
		end_session(s, n, false);
	} else if (n && !n->ended && errno != EAGAIN && errno != EINTR) {
		pmio_info("target: process %u of node %s is lost: %s", n->pid, n->host, strerror(errno));
		end_session(s, n, false);
	}
}

/* lock held */
static void tick(struct server *s)
{
	uint64_t now = now_ms();
	struct session *n, *next;
	struct job *j;

	for (j = s->jobs; j; j = j->hh.next) {
		struct remote_ticket_msg t = { j->id };
		struct pmio_fabric_call *call = j->call;

		/* HELLO has no session that could ask again; its caller waits as long as it can */
		if (!call || j->done || !j->session || now - j->since_ms < REMOTE_ANSWER_MS)
			continue;
		j->call = NULL;
		pmio_fabric_reply(call, -EINPROGRESS, &t, sizeof(t));
	}
	HASH_ITER(hh, s->sessions, n, next) {
		if (n->lifeline < 0 && !n->ended && now - n->since_ms > LIFELINE_MS)
			end_session(s, n, false);
	}
	end_fresh(s);
	if (s->sessions || s->nr_watches)
		s->busy_ms = now;
}

/* who removes the card, or the pool, wants it to leave */
static bool is_unwanted(const struct server *s)
{
	struct stat st;

	return fstatat(s->dir_fd, REMOTE_CARD_FILE, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_ino != s->card_ino;
}

static bool is_idle(const struct server *s)
{
	uint64_t limit = s->settings.num[PMIO_SET_IDLE_TIMEOUT] * 1000;

	return !s->config->stay && limit && now_ms() - s->busy_ms >= limit;
}

static int loop(struct server *s)
{
	struct epoll_event ev[32];
	uint64_t leave_ms = UINT64_MAX;

	s->busy_ms = now_ms();
	for (;;) {
		int n = epoll_wait(s->epoll_fd, ev, 32, TICK_MS);

		if (n < 0 && errno != EINTR)
			return -errno;
		pthread_mutex_lock(&s->lock);
		for (int i = 0; i < n; i++) {
			if (ev[i].data.u64 == ID_LISTEN)
				accept_lifeline(s);
			else if (ev[i].data.u64 == ID_SIGNAL)
				leave_ms = leave_ms == UINT64_MAX ? now_ms() + LEAVE_MS : 0;
			else
				take_event(s, ev[i].data.u64);
		}
		tick(s);
		if (leave_ms == UINT64_MAX && is_unwanted(s))
			leave_ms = now_ms() + LEAVE_MS;
		n = leave_ms != UINT64_MAX && (!s->sessions || now_ms() >= leave_ms);
		if (n || is_idle(s)) {
			pmio_info("target: %s, leaving", n ? "told to" : "idle");
			pthread_mutex_unlock(&s->lock);
			return 0;
		}
		pthread_mutex_unlock(&s->lock);
		if (leave_ms != UINT64_MAX) { /* the signal stays to be read: once is enough */
			struct signalfd_siginfo info;

			if (read(s->signal_fd, &info, sizeof(info)) < 0 && errno != EAGAIN)
				return -errno;
		}
	}
}

/* ---- set-up ------------------------------------------------------------------------------------------ */

static int find_address(const struct server *s, char *address, size_t size, char *service, size_t service_size)
{
	char name[NI_MAXHOST] = "";
	int rc = 0;

	*service = '\0';
	if (s->config->listen)
		rc = remote_split_listen(s->config->listen, name, sizeof(name), service, service_size);
	return rc < 0 ? rc : remote_address(*name ? name : s->settings.str[PMIO_SET_ADDRESS], address, size);
}

static int lock_pool(struct server *s)
{
	s->lock_fd = openat(s->dir_fd, REMOTE_LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->lock_fd < 0)
		return -errno;
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	/* for who must end us by force */
	if (ftruncate(s->lock_fd, 0) < 0 || dprintf(s->lock_fd, "%d\n", (int)getpid()) < 0)
		pmio_dbg("target: lock: %s", strerror(errno));
	if (unlinkat(s->dir_fd, REMOTE_CARD_FILE, 0) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

/* at the address of the target, for the lifelines */
static int listen_at(struct server *s, const char *address, const char *service)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} at;
	socklen_t len = sizeof(at.in);
	int on = 1;

	memset(&at, 0, sizeof(at));
	if (inet_pton(AF_INET, address, &at.in.sin_addr) == 1) {
		at.in.sin_family = AF_INET;
	} else if (inet_pton(AF_INET6, address, &at.in6.sin6_addr) == 1) {
		at.in6.sin6_family = AF_INET6;
		len = sizeof(at.in6);
	} else {
		return -EINVAL;
	}
	s->listen_fd = socket(at.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* next to the other, so that who knows an earlier card finds it */
	if (*service)
		at.in.sin_port = htons((uint16_t)(atoi(service) + 1)); /* at the same place in both */
	if (s->listen_fd >= 0)
		setsockopt(s->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (s->listen_fd < 0 || bind(s->listen_fd, &at.sa, len) < 0 || listen(s->listen_fd, SOMAXCONN) < 0 ||
	    getsockname(s->listen_fd, &at.sa, &len) < 0)
		return -errno;
	s->port = s->card.lifeline = ntohs(at.in.sin_port);
	return watch(s, s->listen_fd, ID_LISTEN);
}

/* the key of the target before this one, so that who knew that finds this; else a new one */
static int take_key(struct server *s)
{
	struct remote_card old;
	int rc = s->config->card_file ? remote_card_load(AT_FDCWD, s->config->card_file, &old) : -ENOENT;

	if (rc < 0 && s->config->card_file && rc != -ENOENT)
		return rc;
	if (rc == 0)
		memcpy(s->card.key, old.key, sizeof(old.key));
	return rc == 0 ? 0 : pmio_fabric_new_key(s->card.key);
}

static int offer(struct server *s, const char *address, const char *service)
{
	struct pmio_fabric_config c = {
		.provider = s->settings.str[PMIO_SET_PROVIDER], .address = address,
		.service = *service ? service : NULL, .key = s->card.key,
		.timeout_ms = (unsigned)s->settings.num[PMIO_SET_TIMEOUT] * 1000, .munge = s->settings.str[PMIO_SET_MUNGE],
	};
	size_t size = NR_SLOTS * (size_t)REMOTE_SLOT_SIZE;
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int rc;

	if (p == MAP_FAILED)
		return -errno;
	s->memory = p;
	rc = pmio_fabric_target_new(&c, p, size, take_call, s, &s->target);
	if (rc == 0)
		pmio_fabric_target_card(s->target, &s->card.fabric);
	return rc;
}

static int catch_signals(struct server *s)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signal_fd < 0 ? -errno : watch(s, s->signal_fd, ID_SIGNAL);
}

/* the pool's uuid and chunk size are in the card: its agent tells, and recovers what a crash left */
static int look_at_pool(struct server *s)
{
	struct pmio *pm;
	int rc = client_connect(&s->settings, NULL, false, false, &pm);

	if (rc < 0)
		return rc;
	pmio_pool_uuid(pm, s->card.uuid);
	s->card.chunk_size = pm->view->chunk_size;
	pmio_disconnect(&pm);
	return 0;
}

static int open_log(struct server *s)
{
	const char *path = s->config->log_file;
	struct stat st;
	int fd;

	if (!path && s->config->foreground)
		return -1;
	fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)
		  : openat(s->dir_fd, LOG_FILE, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		pmio_err("target: log file %s: %s", path ? path : LOG_FILE, strerror(errno));
	else if (!path && fstat(fd, &st) == 0 && st.st_size > LOG_FILE_MAX && ftruncate(fd, 0) < 0)
		pmio_warn("target: log file: %s", strerror(errno));
	return fd;
}

static int set_up(struct server *s)
{
	struct stat st;
	const struct remote_target_config *c = s->config;
	char address[INET6_ADDRSTRLEN], service[8] = "";
	int rc = look_at_pool(s);

	if (rc < 0)
		return rc; /* has been logged */
	s->dir_fd = open(c->pool_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	rc = s->dir_fd < 0 ? -errno : lock_pool(s);
	if (rc == 0)
		rc = find_address(s, address, sizeof(address), service, sizeof(service));
	if (rc == 0 && gethostname(s->card.host, sizeof(s->card.host) - 1) < 0)
		rc = -errno;
	if (rc == 0) {
		s->log_fd = open_log(s);
		if (s->log_fd >= 0 && c->foreground)
			pmio_daemon_log(s->log_fd);
		s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
		rc = s->epoll_fd < 0 ? -errno : catch_signals(s);
	}
	if (rc == 0)
		rc = listen_at(s, address, service);
	if (rc == 0)
		rc = take_key(s);
	if (rc == 0)
		rc = offer(s, address, service);
	if (rc == 0 && c->card_file)
		rc = remote_card_save(AT_FDCWD, c->card_file, &s->card);
	if (rc == 0)
		rc = remote_card_save(s->dir_fd, REMOTE_CARD_FILE, &s->card);
	if (rc == 0 && fstatat(s->dir_fd, REMOTE_CARD_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0)
		s->card_ino = st.st_ino;
	if (rc < 0)
		pmio_err("target for %s: %s", c->pool_dir, pmio_strerror(rc));
	return rc;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* sessions that are left lose their connections, and the agent closes their files */
static void tear_down(struct server *s)
{
	if (s->card.chunk_size && s->lock_fd >= 0)
		unlinkat(s->dir_fd, REMOTE_CARD_FILE, 0);
	pmio_fabric_target_delete(&s->target);
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_broadcast(&s->work);
	pthread_mutex_unlock(&s->lock);
	close_fd(&s->listen_fd);
	close_fd(&s->signal_fd);
	close_fd(&s->epoll_fd);
	/* the settings stay: watches may be about to connect */
}

static int serve(struct pmio_daemon *d, void *arg)
{
	const struct remote_target_config *c = arg;
	struct server *s = calloc(1, sizeof(*s)); /* helpers may be in a call to the very end */
	pthread_t known;
	int rc;

	if (!s)
		return -ENOMEM;
	s->config = c;
	s->dir_fd = s->lock_fd = s->log_fd = s->epoll_fd = s->signal_fd = s->listen_fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->work, NULL);
	pthread_cond_init(&s->quiet, NULL);
	umask(0); /* clients say the mode of what they create */
	s->uses = uses_new();
	rc = s->uses ? pmio_settings_copy(&s->settings, c->settings) : -ENOMEM;
	if (rc == 0)
		rc = set_up(s);
	pmio_daemon_ready(d, rc);
	if (rc == 0) {
		if (!c->foreground)
			pmio_daemon_leave_terminal();
		if (s->log_fd >= 0)
			pmio_daemon_log(s->log_fd);
		pmio_info("target: offering %s as %s", c->pool_dir, s->card.host);
		if (c->card_file && pthread_create(&known, NULL, watch_known, s) == 0)
			pthread_detach(known);
		rc = loop(s);
	}
	tear_down(s);
	pmio_daemon_log(-1);
	/* threads that wait for a file system, and the lock, go with the process */
	fflush(NULL);
	_exit(rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}

int remote_target_run(const struct remote_target_config *config)
{
	struct remote_target_config c = *config;
	struct pmio_daemon d = { .foreground = c.foreground, .ready_fd = c.ready_fd };

	return pmio_daemon_run(&d, serve, &c);
}
