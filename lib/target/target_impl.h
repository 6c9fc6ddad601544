/*
 * target_impl.h -- shared by the files of a target
 *
 * All functions are called with server.lock held, except where noted.  The order of files: relay, layouts, watch < session <
 * file_ops, layout_ops, handshake, liveness < dispatch < target.
 */
#ifndef PMIO_TARGET_IMPL_H
#define PMIO_TARGET_IMPL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uthash.h>

#include "client/client.h"
#include "daemon/workers.h"
#include "remote/remote.h"
#include "remote/wire.h"
#include "target/target.h"
#include "target/layouts.h"
#include "target/relay.h"
#include "target/watch.h"

#define NR_BUFFERS 512	       /* of REMOTE_BUFFER_SIZE bytes; they take memory only when they are used */
#define SESSIONS_MAX 65536


/* epoll data: one of these; or a session's id; or an unidentified socket: ID_NEW | fd */
enum { ID_LISTEN = 1, ID_SIGNAL };
#define ID_NEW (1ULL << 63)

struct rhandle {
	struct job job;		/* first; closes a relayed one whose session has ended */
	uint64_t id;		/* key */
	struct pmio_file *file;
	struct relayed *relayed; /* it is open at another target, by relay.c; NULL: in this pool */
	unsigned users;		/* jobs */
	bool closing;
	struct server *server;	/* of a relayed one whose session has ended */
	UT_hash_handle hh;
};

/* a process of another node */
struct process {
	uint8_t id[16];		/* key; its own, random */
	uint64_t attempt;	/* number of the last HELLO */
	struct member *memberships; /* the layout sessions that it has joined */
	struct session *sessions; /* the last one is current; the others are ending */
	struct session *vital;	/* the one with the valid liveness socket, which ends when the process dies; NULL: none */
	bool dead;
	bool warned_lost;
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
	uint64_t fabric;	/* its id in lib/fabric */
	struct process *process;
	struct session *prev, *next; /* the process's */
	struct pmio_fabric_call *hello; /* to be answered when jobs of earlier sessions have ended; NULL: it was */
	struct link *link;	/* NULL: not needed yet */
	struct rhandle *handles;
	int liveness;		/* -1: not yet, or not any more */
	uint64_t since_ms, looked_ms;
	unsigned nr_jobs;
	bool ended;		/* accepts no calls; freed when its jobs have ended and its liveness socket is not vital */
	bool clean;		/* it left in good order: nothing of it is under way */
	bool closed;		/* nothing but its liveness socket is left */
	unsigned wanted_buffers, nr_buffers;
	unsigned buffer[REMOTE_BUFFERS_MAX];
	UT_hash_handle hh;
};

/* a call that is carried out */
struct remote_job {
	struct job job;		/* first */
	uint64_t id;		/* key; the ticket */
	struct server *server;
	struct session *session;
	struct pmio_fabric_call *call; /* to be answered; NULL: the client was told to ask again */
	uint64_t since_ms;	/* of the call */
	bool done;
	bool raised;		/* WRITE: the file got longer */
	int status;
	size_t answer_len;
	union {
		struct remote_open_answer_msg open;
		struct remote_read_answer_msg read;
		struct remote_write_answer_msg write;
		struct remote_growth_answer_msg growth;
		struct remote_size_answer_msg size;
		struct remote_stat_answer_msg stat;
		struct remote_claim_answer_msg claim;
		struct remote_pointer_answer_msg pointer;
	} answer;
	void *data;		/* owned: an answer with data; NULL: the one above */
	UT_hash_handle hh;
	size_t len;		/* of msg */
	union {			/* last: there is only as much memory as it takes */
		struct remote_hdr_msg hdr;
		struct remote_open_msg open;
		struct remote_io_msg io;
		struct remote_truncate_msg truncate;
		struct remote_grow_msg grow;
		struct remote_stage_msg stage;
		struct remote_close_msg close;
		struct remote_path_msg path;
		struct remote_join_msg join;
		struct remote_relay_msg relay;
		uint8_t bytes[PMIO_FABRIC_MSG_MAX];
	} msg;
};
#define JOB_MSG_MIN 320 /* bytes: all fixed parts of msg fit */

/* a READ or WRITE */
struct target_io {
	const struct remote_io_msg *m;
	size_t len;		/* of the message */
	bool at_once;		/* -EAGAIN if it would have to wait */
	bool raised;		/* in and out: it has made the file longer */
	void *answer;		/* room for the answer; of a READ without a bounce buffer with m->len bytes of data */
	size_t answer_len;	/* out */
};

/* work that is not a call's */
struct server_job {
	struct job job;		/* first; run: NULL until it was submitted */
	struct server *server;
};

/* a connection that has not identified itself as a liveness socket */
struct pending {
	int sock;
	uint64_t since_ms;
	struct pending *prev, *next; /* oldest first */
};

struct server {
	const struct remote_target_config *config;
	struct pmio_settings settings;
	struct remote_endpoint endpoint;
	struct pmio_fabric_target *target;
	uint8_t *memory;	/* the bounce buffers */
	int dir_fd, lock_fd, log_fd, epoll_fd, signal_fd, listen_fd;
	ino_t endpoint_ino; /* of the endpoint descriptor in the pool's directory */
	uint16_t port;		/* of liveness sockets */

	pthread_mutex_t lock;
	struct workers *workers;
	struct remote_job *jobs; /* all without a final answer (hash) */
	struct watches *watches;
	uint64_t next_id;
	unsigned sessions_max, links_max, pending_max; /* by the number of descriptors */
	int spare_fd;		/* for refusing connections when no descriptor is free */
	bool warned_full, warned_links;
	struct process *processes;
	struct session *sessions;
	struct link *links;
	unsigned nr_links;	/* including those that are being made */
	struct server_job keeper, watcher; /* liveness.c, layout_ops.c */
	struct relays *relays;
	bool keeper_wanted;
	struct layouts *layouts;
	uint64_t buffer_free_ms[NR_BUFFERS]; /* when it may be used again; UINT64_MAX: in use */
	uint64_t busy_ms;	/* when there last was a session */
	struct pending *pending;	/* of the first thread only */
	unsigned nr_pending;
};

/* ---- session.c ---- */

struct session *target_find_session(struct server *s, uint64_t id);
/*
 * without the lock, which it takes: get the link of a session, which stays as it has a job; if the agent accepts no
 * more, a shared one
 */
int target_get_link(struct server *s, struct session *n);
struct process *target_get_process(struct server *s, const uint8_t id[16]);
/* the process may be alive: its memberships stay.  Logs what a user can do about it */
void target_note_lost(struct server *s, struct process *p);
/* without a session, and so without a liveness socket, it is kept for its memberships, if it may be alive */
void target_put_process(struct server *s, struct process *p);
/* its earlier sessions have ended: the new one can begin */
void target_go_on(struct server *s, struct process *p);
void target_close_liveness(struct server *s, struct session *n);
/* may free n and its process */
void target_put_session(struct server *s, struct session *n);
void target_end_session(struct server *s, struct session *n, bool clean);
/* it is certain that the process has ended */
void target_end_process(struct server *s, struct process *p);

/* ---- file_ops.c: no lock held except where noted ---- */

/* lock held; NULL also for one that is being closed */
struct rhandle *target_find_handle(const struct session *n, uint64_t id);
/* does the path end within the message? */
bool target_is_path(const struct remote_job *j, const char *path);
int target_do_open(struct server *s, struct remote_job *j);
/* a call for another target: an open, or one that is passed on */
int target_do_relay(struct server *s, struct remote_job *j);
/* is the message valid? */
bool target_is_io(const struct session *n, const struct remote_io_msg *m, size_t len);
/* carry it out, after target_is_io() */
int target_do_io(struct server *s, const struct session *n, struct pmio_file *f, struct target_io *io);
int target_do_handle(struct server *s, struct remote_job *j);
/* is this message, a GROW, valid? */
bool target_is_grow(const struct remote_grow_msg *m, size_t len);
int target_do_delete(struct server *s, struct remote_job *j);
int target_do_stat(struct server *s, struct remote_job *j);

/* ---- layout_ops.c: no lock held except where noted ---- */

/* lock held */
int target_do_join(struct server *s, struct session *n, const struct remote_job *j);
/* answered when the layout file has been removed */
int target_do_leave(struct server *s, struct remote_job *j);
bool target_layout_active(void *arg, const uint8_t id[REMOTE_LAYOUT_ID]);
/* of a restarted memory node: drain what it has, and remove the marks */
void target_watch_known(struct server *s);
int target_do_watch(struct server *s, struct remote_job *j);
/* lock held; answers */
void target_take_claim(struct server *s, struct session *n, struct pmio_fabric_call *call, const void *msg, size_t len);
/* likewise */
void target_take_pointer(struct server *s, struct pmio_fabric_call *call, const void *msg, size_t len);

/* ---- handshake.c ---- */

/* answers, maybe later */
void target_take_hello(struct server *s, struct pmio_fabric_call *call, const void *msg, size_t len);

/* ---- dispatch.c ---- */

/* without the lock, in lib/fabric's thread: it must not wait */
void target_take_call(struct pmio_fabric_call *call, const void *msg, size_t len, void *arg);
/* tell clients that have waited long for a job to ask again */
void target_jobs_look(struct server *s, uint64_t now);

/* ---- liveness.c ---- */

void target_accept_liveness(struct server *s);
void target_take_event(struct server *s, uint64_t id);
/* find hosts that do not answer any more */
void target_liveness_look(struct server *s, uint64_t now);

#endif
