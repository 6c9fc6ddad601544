/*
 * serve.c -- the target: other nodes' processes, and what they want of the pool here
 *
 * Threads:
 *
 *   lib/fabric's	takes calls; does what only needs memory, makes all else a job
 *   helpers		do the jobs; as many as there are jobs that wait for something
 *   the first one	looks after lifelines, after jobs that take long, and after the end
 *   the keeper		looks whether owner's files of processes that are lost have been removed
 *
 * A process has what it has joined (use.h), for as long as it lives.  What it has open, its locks and
 * its calls are its session's, of which it has one at a time.  A session ends with the next one, with
 * the process, or when its lifeline says nothing any more: a cable may be cut, or the host
 * has stopped.  Then its files are closed, but nothing is known of the process:
 *
 *   its lifeline ends	the kernel there has closed it: the process is dead
 *   ... is reset	there is no such connection at its host, which has been started anew: the same
 *   ... is silent	not known.  The lifeline stays for as long as TCP asks for it (some 2 hours); it says by
 *			its end that the process has died meanwhile, when its host can be reached again
 *   ... has timed out	not known for ever, until a session of the process comes, or somebody removes
 *			the owner's files of what it uses
 *
 * The first sessions have connections of their own to the agent (links), so nobody waits for another
 * one's drain; of more sessions than LINKS_MAX some share one.  When such a connection is
 * closed the agent closes the files.
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
#include <sys/resource.h>
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
#include "remote/watch.h"
#include "remote/wire.h"

#define NR_SLOTS 128	       /* of REMOTE_SLOT_SIZE bytes; memory only where they were used */
#define HELPERS_MAX 4096     /* each may wait for a file system that hangs */
#define STACK_SIZE (512u << 10) /* there may be many threads */
#define LINKS_MAX 256	       /* of 1024 clients that an agent takes */
#define FDS_LINK 2
#define SESSIONS_MAX 65536
#define FDS_EACH 2	       /* a session's lifeline, and its process's connection in libfabric */
#define FDS_OTHER 2048	       /* links, connections that have not said anything yet, files that the pool has no room for, and the rest */
#define TICK_MS 250
#define LIFELINE_MS 10000      /* for a new session to show its lifeline */
#define QUARANTINE_MS 1000000  /* of slots whose session broke: longer than TCP tries (tcp_retries2: 924 s) */
#define LEAVE_MS 2000	       /* for sessions to end, after a signal */
#define KEEPALIVE_S 5	       /* a host that is gone is noticed in about PROBES_LOST times that */
#define PROBES_LOST 3
#define PROBES_MAX 127	       /* what TCP takes */
#define KEEPALIVE_LOST_S 60    /* for a lost process's lifeline */
#define KEEPER_S 5
#define LOG_FILE "target.log"
#define LOG_FILE_MAX (1 << 20)

/* what epoll tells: one of these; or a session; or a socket that has not said which: ID_NEW | fd */
enum { ID_LISTEN = 1, ID_SIGNAL };
#define ID_NEW (1ULL << 63)

struct rhandle {
	uint64_t id;		/* key */
	struct pmio_file *file;
	unsigned users;		/* jobs */
	bool closing;
	UT_hash_handle hh;
};

/* a process of another node */
struct process {
	uint8_t id[16];		/* key; its own, random */
	uint64_t attempt;	/* the last HELLO's */
	struct member *uses;	/* what it has joined */
	struct session *sessions; /* the last one is its own; others end */
	struct session *vital;	/* whose lifeline says by its end that it is dead; NULL: nothing does */
	bool dead;
	bool said_lost;
	uint32_t pid;
	char host[64];
	UT_hash_handle hh;
};

/* a connection to the agent */
struct link {
	struct pmio *pm;
	unsigned nr_sessions;
	struct link *prev, *next;
};

struct session {
	uint64_t id;		/* key; random */
	uint64_t fabric;	/* lib/fabric's id of it */
	struct process *process;
	struct session *prev, *next; /* the process's */
	struct pmio_fabric_call *hello; /* to be answered when jobs of earlier sessions have ended; NULL: has been */
	struct link *link;	/* NULL: not needed yet */
	struct rhandle *handles;
	int lifeline;		/* -1: not there yet, or not any more */
	uint64_t since_ms, looked_ms;
	unsigned nr_jobs;
	bool ended;		/* no calls are taken; to be freed when its jobs have ended and its lifeline is not vital */
	bool clean;		/* it said goodbye: nothing of it is under way */
	bool closed;		/* nothing of it is left but its lifeline */
	unsigned wanted_slots, nr_slots;
	unsigned slot[REMOTE_SLOTS_MAX];
	UT_hash_handle hh;
};

/* a call that is carried out */
struct job {
	uint64_t id;		/* key; the ticket */
	struct job *prev, *next; /* that wait for a helper */
	struct session *session;
	struct pmio_fabric_call *call; /* to be answered; NULL: has been told to ask again */
	uint64_t since_ms;	/* of the call */
	bool done;
	bool raised;		/* WRITE: the file got longer */
	size_t len;		/* of msg */
	int status;
	size_t answer_len;
	union {
		struct remote_hdr_msg hdr;
		struct remote_open_msg open;
		struct remote_io_msg io;
		struct remote_truncate_msg truncate;
		struct remote_stage_msg stage;
		struct remote_close_msg close;
		struct remote_path_msg path;
		struct remote_join_msg join;
		uint8_t bytes[PMIO_FABRIC_MSG_MAX];
	} msg;
	union {
		struct remote_open_answer_msg open;
		struct remote_read_answer_msg read;
		struct remote_write_answer_msg write;
		struct remote_size_answer_msg size;
		struct remote_stat_answer_msg stat;
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
	pthread_cond_t work;	/* there is a job */
	struct job *queue, *jobs; /* waiting; all that are not answered in the end (hash) */
	unsigned nr_helpers, nr_idle, nr_queued; /* idle: also those that have been woken and do not run yet */
	struct watches *watches;
	uint64_t next_id;
	bool stop;
	unsigned sessions_max, links_max, fresh_max; /* as there are descriptors */
	int spare_fd;		/* to refuse connections with, when there are none */
	bool said_full, said_links;
	struct process *processes;
	struct session *sessions;
	struct link *links;
	unsigned nr_links;	/* and those that are being made */
	bool has_keeper;
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

/* ---- threads -------------------------------------------------------------------------- */

static int start_thread(void *(*run)(void *arg), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;
	int rc;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	rc = -pthread_create(&thread, &attr, run, arg);
	pthread_attr_destroy(&attr);
	return rc;
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

	if (!r) {
		free(owner);
		return;
	}
	memcpy(r->id, id, sizeof(r->id));
	r->owner = owner;
	r->keep = keep;
	if (start_thread(run_removal, r) < 0)
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

/* ---- connections to the agent; lock held -------------------------------------------- */

static void put_link(struct server *s, struct link *l)
{
	if (--l->nr_sessions)
		return;
	DL_DELETE(s->links, l);
	s->nr_links--;
	client_drop(&l->pm); /* the agent closes what is open */
	free(l);
}

/* one more, of no session yet; lock given up meanwhile */
static int make_link(struct server *s, struct link **out)
{
	struct link *l = calloc(1, sizeof(*l));
	int rc = -ENOMEM;

	*out = NULL;
	s->nr_links++;
	pthread_mutex_unlock(&s->lock);
	if (l)
		rc = client_connect(&s->settings, NULL, false, false, &l->pm);
	pthread_mutex_lock(&s->lock);
	if (rc < 0) {
		s->nr_links--;
		free(l);
		return rc;
	}
	DL_APPEND(s->links, l);
	*out = l;
	return 0;
}

static struct link *least_used_link(struct server *s)
{
	struct link *l, *best = NULL;

	DL_FOREACH(s->links, l) {
		if (!best || l->nr_sessions < best->nr_sessions)
			best = l;
	}
	if (best && !s->said_links)
		pmio_info("target: sessions share connections to the agent from now on");
	s->said_links |= best != NULL;
	return best;
}

/* the session's, which has a job, so it stays; where the agent takes no more, one of others */
static int get_link(struct server *s, struct session *n)
{
	struct link *made = NULL, *l;
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	if (!n->link && s->nr_links < s->links_max)
		rc = make_link(s, &made);
	l = n->link ? n->link : made ? made : least_used_link(s);
	if (l && !n->link) {
		n->link = l;
		l->nr_sessions++;
	} else if (made) { /* another thread was faster */
		made->nr_sessions++;
		put_link(s, made);
	}
	pthread_mutex_unlock(&s->lock);
	return l ? 0 : rc < 0 ? rc : -EAGAIN;
}

/* files of a session that is over, whose connection others use */
struct closing {
	struct server *s;
	struct link *link;
	struct rhandle *handles; /* owned */
};

static void *run_closing(void *arg)
{
	struct closing *c = arg;
	struct rhandle *h, *next;

	for (h = c->handles; h; h = h->hh.next) {
		if (h->file->lock_fd >= 0)
			client_unlock(h->file);
	}
	HASH_ITER(hh, c->handles, h, next) {
		HASH_DEL(c->handles, h);
		pmio_close(&h->file); /* waits for its drain */
		free(h);
	}
	pthread_mutex_lock(&c->s->lock);
	put_link(c->s, c->link);
	pthread_mutex_unlock(&c->s->lock);
	free(c);
	return NULL;
}

static void close_handles(struct server *s, struct session *n)
{
	struct closing *c = n->handles && n->link->nr_sessions > 1 ? malloc(sizeof(*c)) : NULL;
	struct rhandle *h, *next;

	if (c) {
		*c = (struct closing){ s, n->link, n->handles };
		if (start_thread(run_closing, c) == 0) {
			n->handles = NULL;
			n->link = NULL;
			return;
		}
		free(c);
	}
	if (n->handles && n->link->nr_sessions > 1)
		pmio_err("target: files of process %u of node %s stay open: no memory or thread to close them",
			 n->process->pid, n->process->host);
	HASH_ITER(hh, n->handles, h, next) {
		HASH_DEL(n->handles, h);
		free(h); /* the file is the connection's, and goes with it */
	}
	if (n->link)
		put_link(s, n->link);
	n->link = NULL;
}

/* ---- processes and their sessions; lock held ------------------------------------------ */

static struct process *get_process(struct server *s, const uint8_t id[16])
{
	struct process *p;

	HASH_FIND(hh, s->processes, id, sizeof(p->id), p);
	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	memcpy(p->id, id, sizeof(p->id));
	HASH_ADD(hh, s->processes, id, sizeof(p->id), p);
	return p;
}

static bool has_joined(const struct process *p)
{
	uint8_t id[USE_ID_SIZE];
	bool joined;

	uses_joined(p->uses, 0, id, &joined);
	return joined;
}

static void note_lost(struct server *s, struct process *p);

/* without a session, and so without a lifeline, it stays for what it has joined, if it may live */
static void put_process(struct server *s, struct process *p)
{
	uint8_t id[USE_ID_SIZE];
	char *owner;
	bool keep;

	if (p->sessions)
		return;
	if (!p->dead && has_joined(p)) {
		note_lost(s, p);
		return;
	}
	while ((owner = uses_end(s->uses, &p->uses, id, &keep)) != NULL)
		remove_owner(owner, id, keep);
	HASH_DEL(s->processes, p);
	free(p);
	s->busy_ms = now_ms();
}

static void answer_hello(struct server *s, struct session *n);

/* its earlier sessions have come to their end: the new one can begin */
static void go_on(struct server *s, struct process *p)
{
	struct session *n, *last = p->sessions ? p->sessions->prev : NULL;

	if (!last || !last->hello)
		return;
	DL_FOREACH(p->sessions, n) {
		if (n != last && n->nr_jobs)
			return;
	}
	answer_hello(s, last);
}

/* its files, and all else but the lifeline */
static void close_session(struct server *s, struct session *n)
{
	struct job *j, *next;

	HASH_ITER(hh, s->jobs, j, next) {
		if (j->session != n)
			continue;
		HASH_DEL(s->jobs, j); /* done, and nobody will ask */
		free(j);
	}
	if (n->hello)
		pmio_fabric_reply(n->hello, -ESTALE, NULL, 0);
	n->hello = NULL;
	close_handles(s, n);
	give_slots_back(s, n);
	pmio_fabric_target_end_session(s->target, n->fabric);
	n->closed = true;
}

static void close_lifeline(struct server *s, struct session *n)
{
	if (n->lifeline >= 0) {
		epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, n->lifeline, NULL);
		close(n->lifeline);
	}
	n->lifeline = -1;
	if (n->process->vital == n)
		n->process->vital = NULL;
}

/* n may be gone after it, and its process */
static void put_session(struct server *s, struct session *n)
{
	struct process *p = n->process;

	if (n->nr_jobs || !n->ended)
		return;
	if (!n->closed)
		close_session(s, n);
	if (p->vital != n || p->dead) {
		close_lifeline(s, n);
		DL_DELETE(p->sessions, n);
		HASH_DEL(s->sessions, n);
		free(n);
		s->busy_ms = now_ms();
	}
	go_on(s, p);
	put_process(s, p);
}

static void end_session(struct server *s, struct session *n, bool clean)
{
	if (n->ended)
		return;
	n->ended = true;
	n->clean = clean;
	put_session(s, n);
}

/* known for certain */
static void end_process(struct server *s, struct process *p)
{
	struct session *n, *next;

	p->dead = true;
	DL_FOREACH_SAFE(p->sessions, n, next) {
		/* the last one frees p */
		n->ended = true;
		put_session(s, n);
	}
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
	rc = get_link(s, j->session);
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

static int do_delete(struct server *s, struct job *j)
{
	int rc;

	if (j->len <= sizeof(j->msg.path) || !is_path(j, j->msg.path.path))
		return PMIO_EPROTO;
	rc = get_link(s, j->session);
	return rc < 0 ? rc : pmio_delete(j->session->link->pm, j->msg.path.path);
}

static int do_stat(struct server *s, struct job *j)
{
	struct remote_stat_answer_msg *a = &j->answer.stat;
	struct pmio_pool_stat st;
	struct session *n;
	int rc = get_link(s, j->session);

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
	pthread_mutex_lock(&s->lock);
	for (n = s->sessions; n; n = n->hh.next)
		a->nr_sessions += !n->ended;
	pthread_mutex_unlock(&s->lock);
	a->pid = (uint32_t)getpid();
	j->answer_len = sizeof(*a);
	return 0;
}

/* ---- files of several nodes ------------------------------------------------------------ */

/* lock held */
static int do_join(struct server *s, struct session *n, const struct job *j)
{
	const struct remote_join_msg *m = &j->msg.join;

	if (j->len < sizeof(*m) || !m->number || m->create > 1 || (m->create && !is_path(j, m->path)))
		return PMIO_EPROTO;
	return uses_join(s->uses, &n->process->uses, m->use, m->number, m->create ? m->path : NULL);
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
	rc = uses_leave(s->uses, &j->session->process->uses, m->use, m->number, m->keep == REMOTE_KEEP, &owner, &keep);
	others = uses_active(s->uses, m->use);
	pthread_mutex_unlock(&s->lock);
	if (owner && keep)
		remote_owner_keep(owner, m->use);
	else if (owner)
		remote_owner_remove(owner, m->use, m->keep == REMOTE_KEEP_NOT);
	free(owner);
	return rc == 0 && others ? 1 : rc;
}

static bool in_use(void *arg, const uint8_t id[USE_ID_SIZE])
{
	struct server *s = arg;
	bool active;

	pthread_mutex_lock(&s->lock);
	active = uses_active(s->uses, id);
	pthread_mutex_unlock(&s->lock);
	return active;
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
		rc = st->state == PMIO_STATE_HELD ? 0 : watches_add(s->watches, st->path);
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
	return watches_add(s->watches, j->msg.path.path);
}

/* lock held; answers */
static void take_claim(struct server *s, struct session *n, struct pmio_fabric_call *call, const void *msg, size_t len)
{
	const struct remote_claim_msg *m = msg;
	struct remote_claim_answer_msg a = { { 0 } };
	int rc = 0;

	if (len != sizeof(*m) || m->nr > REMOTE_CLAIM_MAX || m->wanted > m->nr || m->create > 1 ||
	    m->first > INT64_MAX)
		rc = PMIO_EPROTO;
	if (rc == 0 && m->create)
		rc = uses_create(s->uses, &n->process->uses, m->use);
	if (rc == 0)
		rc = uses_claim(s->uses, m->use, m->first, m->nr, m->wanted, m->holder, a.holder);
	pmio_fabric_reply(call, rc, &a, rc == 0 ? sizeof(a) : 0);
}

/* ---- the first call of a session; lock held ------------------------------------------------- */

/* -EMFILE: those that are there have all that this process may open; who comes again takes the place that he has */
static int look_for_room(struct server *s, const struct process *p)
{
	if (p->sessions || HASH_COUNT(s->sessions) < s->sessions_max)
		return 0;
	if (!s->said_full)
		pmio_err("target: more than %u sessions: refusing others%s", s->sessions_max,
			 s->sessions_max < SESSIONS_MAX ? "; the limit of descriptors (ulimit -Hn) has no room for more" : "");
	s->said_full = true;
	return -EMFILE;
}

static int new_session(struct server *s, struct process *p, const struct remote_hello_msg *m, struct session **out)
{
	struct session *n = calloc(1, sizeof(*n));
	int rc;

	if (!n)
		return -ENOMEM;
	do {
		rc = pmio_fabric_random(&n->id, sizeof(n->id));
		n->id &= ~ID_NEW;
	} while (rc == 0 && (n->id == 0 || n->id == ID_LISTEN || n->id == ID_SIGNAL || find_session(s, n->id)));
	if (rc < 0) {
		free(n);
		return rc;
	}
	n->lifeline = -1;
	n->process = p;
	n->wanted_slots = m->slots;
	p->attempt = m->attempt;
	p->pid = m->pid;
	snprintf(p->host, sizeof(p->host), "%.*s", (int)sizeof(m->host) - 1, m->host);
	HASH_ADD(hh, s->sessions, id, sizeof(n->id), n);
	DL_APPEND(p->sessions, n);
	*out = n;
	return 0;
}

static void answer_hello(struct server *s, struct session *n)
{
	struct pmio_fabric_call *call = n->hello;
	struct remote_hello_answer_msg a = { .session = n->id, .lifeline = s->port, .chunk_size = s->card.chunk_size };

	n->hello = NULL;
	n->since_ms = now_ms();
	take_slots(s, n, n->wanted_slots);
	a.vital = n->process->vital ? n->process->vital->id : 0;
	memcpy(a.uuid, s->card.uuid, sizeof(a.uuid));
	snprintf(a.host, sizeof(a.host), "%s", s->card.host);
	a.nr_slots = (uint16_t)n->nr_slots;
	for (unsigned i = 0; i < n->nr_slots; i++)
		a.slot[i] = (uint64_t)n->slot[i] * REMOTE_SLOT_SIZE;
	pmio_fabric_reply(call, 0, &a, sizeof(a));
}

/*
 * What the process has given up must not happen after what it does from now on: no call of its earlier
 * sessions is taken any more, and it is answered when those that run have ended.  No thread waits for that.
 */
static void end_earlier(struct server *s, struct session *heir)
{
	struct process *p = heir->process;
	struct session *n, *next;

	DL_FOREACH_SAFE(p->sessions, n, next) {
		if (n == heir)
			break;
		if (!n->ended)
			pmio_info("target: process %u of node %s has given a session up, and begins another one", p->pid, p->host);
		end_session(s, n, false);
	}
}

/* answers; maybe later */
static void take_hello(struct server *s, struct pmio_fabric_call *call, const void *msg, size_t len)
{
	const struct remote_hello_msg *m = msg;
	struct session *n = NULL;
	struct process *p = NULL;
	int rc = len == sizeof(*m) ? 0 : PMIO_EPROTO;

	if (rc == 0)
		p = get_process(s, m->process);
	if (rc == 0)
		rc = p ? look_for_room(s, p) : -ENOMEM;
	if (rc == 0 && (p->dead || m->attempt <= p->attempt))
		rc = -ESTALE; /* it has been said again since then */
	if (rc == 0)
		rc = new_session(s, p, m, &n);
	if (rc < 0) {
		pmio_fabric_reply(call, rc, NULL, 0);
		if (p)
			put_process(s, p);
		return;
	}
	n->fabric = pmio_fabric_call_session(call);
	n->hello = call;
	if (p->said_lost)
		pmio_warn("target: process %u of node %s is there again", p->pid, p->host);
	else if (n->prev == n)
		pmio_info("target: process %u of node %s has come", p->pid, p->host);
	p->said_lost = false;
	end_earlier(s, n);
	go_on(s, p);
}

/* ---- jobs ------------------------------------------------------------------------------------ */

static int do_job(struct server *s, struct job *j)
{
	j->answer_len = 0;
	switch (j->msg.hdr.op) {
	case REMOTE_OPEN:
		return do_open(s, j);
	case REMOTE_DELETE:
		return do_delete(s, j);
	case REMOTE_STAT:
		return do_stat(s, j);
	case REMOTE_LEAVE:
		return do_leave(s, j);
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
		n->nr_jobs--;
		put_session(s, n);
	}
	s->nr_helpers--;
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* lock held */
static void start_helper(struct server *s)
{
	if (s->nr_idle > s->nr_queued || s->nr_helpers == HELPERS_MAX)
		return;
	if (start_thread(help, s) == 0)
		s->nr_helpers++;
	else if (!s->nr_helpers)
		pmio_err("target: no thread for a call");
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

/* lock held; what needs nobody but us is answered even where all helpers wait for a file system */
static bool take_at_once(struct server *s, struct session *n, struct pmio_fabric_call *call, const void *msg, size_t len)
{
	const struct remote_hdr_msg *h = msg;

	switch (h->op) {
	case REMOTE_WAIT:
		take_wait(s, n, call, h->handle);
		return true;
	case REMOTE_CLAIM:
		take_claim(s, n, call, msg, len);
		return true;
	case REMOTE_GROW:
		return grow_at_once(n, call, msg, len);
	default:
		return false;
	}
}

/* lock held: one that is at hand at once */
static bool job_at_once(struct server *s, struct job *j)
{
	if (j->msg.hdr.op != REMOTE_JOIN)
		return io_at_once(s, j);
	pmio_fabric_reply(j->call, do_join(s, j->session, j), NULL, 0);
	free(j);
	return true;
}

/* lock held */
static void take_sessions_call(struct server *s, struct session *n, struct pmio_fabric_call *call, const void *msg,
			       size_t len)
{
	struct job *j;

	if (take_at_once(s, n, call, msg, len))
		return;
	j = new_job(call, msg, len);
	if (!j) {
		pmio_fabric_reply(call, -ENOMEM, NULL, 0);
		return;
	}
	j->session = n;
	if (job_at_once(s, j))
		return;
	j->id = ++s->next_id;
	HASH_ADD(hh, s->jobs, id, sizeof(j->id), j);
	n->nr_jobs++;
	start_helper(s);
	DL_APPEND(s->queue, j);
	s->nr_queued++;
	pthread_cond_signal(&s->work);
}

/* lib/fabric's thread: it must not wait */
static void take_call(struct pmio_fabric_call *call, const void *msg, size_t len, void *arg)
{
	const struct remote_hdr_msg *h = msg;
	struct server *s = arg;
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
	if (h->op == REMOTE_HELLO) {
		take_hello(s, call, msg, len);
	} else {
		struct session *n = find_session(s, h->session);

		/* -ESTALE: to the caller its session is lost */
		if (!n || n->ended || n->hello || n->fabric != pmio_fabric_call_session(call))
			pmio_fabric_reply(call, -ESTALE, NULL, 0);
		else
			take_sessions_call(s, n, call, msg, len);
	}
	pthread_mutex_unlock(&s->lock);
}

/* ---- lifelines, and what is to be looked at now and then ---------------------------------------- */

static int watch(struct server *s, int fd, uint64_t id)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = id };

	return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

/* TCP asks until it is told to stop; we look whether it is answered (look_at()) */
static void keep_alive(int sock, int interval)
{
	int on = 1, count = PROBES_MAX;

	setsockopt(sock, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(sock, IPPROTO_TCP, TCP_KEEPIDLE, &interval, sizeof(interval));
	setsockopt(sock, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
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
	while (s->fresh && (s->nr_fresh > s->fresh_max || now_ms() - s->fresh->since_ms > LIFELINE_MS)) {
		close(s->fresh->sock);
		forget_fresh(s, s->fresh);
	}
}

/* who is not taken would have the loop turn for ever */
static void turn_away(struct server *s)
{
	int sock;

	if (!s->said_full)
		pmio_err("target: out of descriptors (ulimit -Hn): refusing a process");
	s->said_full = true;
	close(s->spare_fd);
	sock = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (sock >= 0)
		close(sock);
	s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void accept_lifeline(struct server *s)
{
	int sock = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct fresh *f = sock < 0 ? NULL : calloc(1, sizeof(*f));

	if (sock < 0 && (errno == EMFILE || errno == ENFILE))
		turn_away(s);
	if (!f || watch(s, sock, ID_NEW | (unsigned)sock) < 0) {
		if (sock >= 0)
			close(sock);
		free(f);
		return;
	}
	keep_alive(sock, KEEPALIVE_S);
	f->sock = sock;
	f->since_ms = now_ms();
	DL_APPEND(s->fresh, f);
	s->nr_fresh++;
	end_fresh(s);
}

/* ---- processes that are lost ---- */

static bool is_lost(const struct process *p)
{
	const struct session *last = p->sessions ? p->sessions->prev : NULL;

	return !p->dead && (!last || last->ended);
}

/* the at-th use of lost processes, its owner's file owned by the caller; NULL: there are not so many */
static char *lost_use(struct server *s, unsigned at, uint8_t id[USE_ID_SIZE])
{
	bool joined;

	for (struct process *p = s->processes; p; p = p->hh.next) {
		for (unsigned i = 0; is_lost(p); i++) {
			const char *owner = uses_joined(p->uses, i, id, &joined);

			if (!joined)
				break;
			if (owner && at-- == 0)
				return strdup(owner);
		}
	}
	return NULL;
}

static void forget_use(struct server *s, const char *owner, const uint8_t id[USE_ID_SIZE])
{
	struct process *p, *next;

	HASH_ITER(hh, s->processes, p, next) {
		if (!is_lost(p))
			continue;
		uses_forget(s->uses, &p->uses, id);
		put_process(s, p);
	}
	pmio_warn("target: %s has been removed: it is kept no longer for a process that cannot be reached", owner);
}

/* somebody who removes an owner's file knows that the process is dead.  The file system may hang: a thread of its own */
static void *keep(void *arg)
{
	struct server *s = arg;
	uint8_t id[USE_ID_SIZE];
	char *owner;

	for (;;) {
		unsigned at = 0;

		sleep(KEEPER_S);
		pthread_mutex_lock(&s->lock);
		while ((owner = lost_use(s, at, id)) != NULL) {
			bool removed;

			pthread_mutex_unlock(&s->lock);
			removed = remote_owner_is_there(owner, id) == 0;
			pthread_mutex_lock(&s->lock);
			if (removed)
				forget_use(s, owner, id);
			else
				at++;
			free(owner);
		}
		pthread_mutex_unlock(&s->lock);
	}
	return NULL;
}

/* lock held */
static void start_keeper(struct server *s)
{
	s->has_keeper = s->has_keeper || start_thread(keep, s) == 0;
}

/* ---- lifelines of sessions ---- */

/* the process's from now on: the one before may end without a meaning */
static void take_vital(struct server *s, struct session *n, int sock)
{
	const uint8_t ack = REMOTE_LIFELINE_ACK;
	struct process *p = n->process;
	struct session *before = p->vital;

	n->lifeline = sock;
	p->vital = n;
	if (before) {
		close_lifeline(s, before);
		put_session(s, before); /* it has ended, since n has begun */
	}
	/* a lifeline that has been taken has room for a byte; and who does not get it tries again */
	if (send(sock, &ack, 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
		pmio_dbg("target: process %u of node %s: lifeline: %s", p->pid, p->host, strerror(errno));
}

/* lock held: it says whose lifeline it is, or goes */
static void take_lifeline(struct server *s, int sock)
{
	struct epoll_event ev = { .events = EPOLLIN };
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
	if (recv(sock, &id, sizeof(id), 0) != sizeof(id) || !(n = find_session(s, id)) || n->ended || n->hello ||
	    n->lifeline >= 0) {
		close(sock); /* a stranger: it is let go of without a word */
		return;
	}
	ev.data.u64 = n->id;
	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, sock, &ev) < 0) {
		close(sock);
		return;
	}
	take_vital(s, n, sock);
}

/* it may live: what it has joined stays.  Who must know it to do something about it is told what */
static void note_lost(struct server *s, struct process *p)
{
	const char *owner;
	uint8_t id[USE_ID_SIZE];
	bool joined;

	if (p->said_lost)
		return;
	p->said_lost = true;
	for (unsigned i = 0; (owner = uses_joined(p->uses, i, id, &joined)) != NULL || joined; i++) {
		if (owner)
			pmio_warn("target: %s stays for process %u of node %s, which may have the file open; if it is dead "
				  "for certain, remove that file", owner, p->pid, p->host);
	}
	start_keeper(s);
}

static void lose_session(struct server *s, struct session *n, const char *why)
{
	pmio_warn("target: process %u of node %s cannot be reached (%s): its session is given up", n->process->pid,
		  n->process->host, why);
	note_lost(s, n->process);
	end_session(s, n, false);
}

static void take_event(struct server *s, uint64_t id)
{
	struct session *n;
	char byte;

	if (id & ID_NEW) {
		take_lifeline(s, (int)(id & ~ID_NEW));
		return;
	}
	n = find_session(s, id);
	if (!n || n->lifeline < 0)
		return;
	/* whatever it says, or that it says nothing any more */
	if (recv(n->lifeline, &byte, 1, 0) >= 0 || errno == ECONNRESET || errno == EPIPE) {
		pmio_info("target: process %u of node %s has gone", n->process->pid, n->process->host);
		end_process(s, n->process);
	} else if (errno != EAGAIN && errno != EINTR) {
		const char *why = strerror(errno);

		close_lifeline(s, n);
		if (!n->ended)
			lose_session(s, n, why);
		else
			put_session(s, n); /* it was lost before; now nothing is known of it any more */
	}
}

/* lock held: does its host answer? */
static void look_at(struct server *s, struct session *n)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	memset(&info, 0, sizeof(info));
	if (getsockopt(n->lifeline, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 || info.tcpi_probes < PROBES_LOST)
		return;
	keep_alive(n->lifeline, KEEPALIVE_LOST_S);
	lose_session(s, n, "its host does not answer");
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

		if (!call || j->done || now - j->since_ms < REMOTE_ANSWER_MS)
			continue;
		j->call = NULL;
		pmio_fabric_reply(call, -EINPROGRESS, &t, sizeof(t));
	}
	HASH_ITER(hh, s->sessions, n, next) {
		if (n->ended || n->hello || now - n->looked_ms < KEEPALIVE_S * 1000)
			continue;
		n->looked_ms = now;
		if (n->lifeline >= 0)
			look_at(s, n);
		else if (now - n->since_ms > LIFELINE_MS)
			end_session(s, n, false);
	}
	end_fresh(s);
	if (s->processes || watches_count(s->watches))
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

/* as many descriptors as there may be, and what they are enough for */
static void limit_sessions(struct server *s)
{
	struct rlimit r = { 0, 0 };
	rlim_t all = (rlim_t)SESSIONS_MAX * FDS_EACH + FDS_OTHER, other;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &r) < 0)
			pmio_warn("target: limit of descriptors: %s", strerror(errno));
	}
	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < all)
		all = r.rlim_cur;
	/* where there are few, sessions get half of them */
	other = all / 2 < FDS_OTHER ? all / 2 : FDS_OTHER;
	s->sessions_max = (unsigned)((all - other) / FDS_EACH);
	s->links_max = other / 4 / FDS_LINK < LINKS_MAX ? (unsigned)(other / 4 / FDS_LINK) : LINKS_MAX;
	s->links_max += s->links_max == 0;
	s->fresh_max = (unsigned)(other / 4);
	s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int serve(struct pmio_daemon *d, void *arg)
{
	const struct remote_target_config *c = arg;
	struct server *s = calloc(1, sizeof(*s)); /* helpers may be in a call to the very end */
	int rc;

	if (!s)
		return -ENOMEM;
	s->config = c;
	s->dir_fd = s->lock_fd = s->log_fd = s->epoll_fd = s->signal_fd = s->listen_fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->work, NULL);
	umask(0); /* clients say the mode of what they create */
	s->uses = uses_new();
	s->watches = watches_new(&s->settings, s->card.uuid, in_use, s);
	rc = s->uses && s->watches ? pmio_settings_copy(&s->settings, c->settings) : -ENOMEM;
	limit_sessions(s);
	if (rc == 0)
		rc = set_up(s);
	pmio_daemon_ready(d, rc);
	if (rc == 0) {
		if (!c->foreground)
			pmio_daemon_leave_terminal();
		if (s->log_fd >= 0)
			pmio_daemon_log(s->log_fd);
		pmio_info("target: offering %s as %s", c->pool_dir, s->card.host);
		if (c->card_file && start_thread(watch_known, s) < 0)
			pmio_warn("target: no thread to watch what the pool has: marks next to its files may stay");
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
