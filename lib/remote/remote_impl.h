/*
 * remote_impl.h -- the client's side of lib/remote, shared by its own files only
 */
#ifndef PMIO_REMOTE_REMOTE_IMPL_H
#define PMIO_REMOTE_REMOTE_IMPL_H

#include <stdatomic.h>
#include <stdio.h>

#include "core/error.h"
#include "remote/remote.h"
#include "remote/wire.h"

/* a liveness socket: its end tells a target that this process has ended */
struct liveness {
	int sock;		/* -1: none */
	uint64_t session;	/* the session that was identified on it; 0: none, so its end has no meaning */
};
#define LIVENESS_MAX 8 /* any of which may be the one that the target watches */

/* a layout session that this process has joined at a target */
struct membership {
	struct membership *prev, *next;
	uint8_t layout[REMOTE_LAYOUT_ID];
	uint64_t number;
	char *layout_file;	/* owned: its name */
	bool left;		/* this process has left; the target may not have been told yet */
	enum remote_keep keep;	/* argument of the LEAVE that may still have to be sent */
};

/* a target, as this process knows it */
struct node {
	struct node *prev, *next;
	uint8_t process[16];	/* this process, as the target knows it */
	struct pmio_fabric_initiator *initiator; /* of this process; not owned */
	unsigned timeout_ms;
	pthread_mutex_t newer_lock; /* of newer and has_newer; taken after all other locks */
	struct remote_endpoint newer; /* the target was restarted: the endpoint descriptor to try next */
	bool has_newer;
	pthread_mutex_t lock;	/* of all below */
	struct remote_endpoint endpoint;
	pthread_cond_t buffer_free;
	struct pmio_fabric_peer *peer; /* NULL: there is no session */
	uint64_t session;	/* the id that the target gave it */
	uint64_t generation;	/* counts sessions: handles of an earlier one are lost */
	uint64_t attempt;	/* counts attempts to begin a session */
	struct liveness liveness; /* of this session */
	struct liveness earlier[LIVENESS_MAX]; /* of earlier sessions: kept open until the target watches another one */
	unsigned nr_earlier;
	struct membership *memberships;
	uint64_t retry_ms;	/* no new attempt before this time */
	int last_error;		/* why there is no session */
	unsigned users;		/* calls under way: the peer stays */
	bool lost;		/* the session is lost: end it when the calls have ended */
	unsigned nr_buffers;
	uint64_t buffer[REMOTE_BUFFERS_MAX];
	bool buffer_used[REMOTE_BUFFERS_MAX];
	bool warned;		/* it was logged that the target cannot be reached */
	atomic_uint sent[REMOTE_NR_OPS]; /* messages of each kind, for the log */
};

/* ---- node*.c: targets of other nodes; node.c says which file does what --------------------- */

/* the node of that endpoint descriptor; logs nothing; NULL: out of memory, or a forked child */
struct node *node_get(const struct pmio_settings *settings, const struct remote_endpoint *endpoint);

/*
 * is it certain that no earlier call of this process can take effect at the node's target any more?  False if the target
 * was stopped by a signal: it may have received calls whose answers this process no longer waits for.  Waits briefly for a
 * target that is about to end
 */
bool node_has_ended(struct node *n);

/* its newest endpoint descriptor that this process knows, which may not be in use yet */
void node_newest(struct node *n, struct remote_endpoint *endpoint);

/*
 * node_enter -- begin to use the node's session; makes one if there is none
 *
 * Returns 0, or -EIO, -EACCES, ... (logged once each time that the session is lost).
 * generation: out.  After 0, node_leave() ends it; rc: an error of the transport means
 * that the session is lost.
 */
int node_enter(struct node *n, uint64_t *generation);
void node_leave(struct node *n, int rc);

/*
 * note that this process has joined a layout session at that target, or has left it; layout_file: its name; 0 or
 * -ENOMEM
 *
 * If the target has forgotten the join (it may have been restarted), the next session joins again: see node_joins.c.
 */
int node_joined(struct node *n, const uint8_t layout[REMOTE_LAYOUT_ID], uint64_t number, const char *layout_file);
/* known: the target knows that, too; otherwise the next session tells it */
void node_left(struct node *n, uint64_t number, bool known, enum remote_keep keep);
/*
 * false: the layout session has ended at the target, and other processes may have begun another one.  May wait for a
 * connection
 */
bool node_is_member(struct node *n, uint64_t number);
/* is that so for any join?  Does not wait */
bool node_forgot_any(void);

/* is rc an error of lib/fabric after which the state of the peer is unknown? */
bool node_is_lost(int rc);

/* between node_enter and node_leave: */
void node_header(struct node *n, void *msg, enum remote_op op, uint64_t handle);
/* send a call and wait for its answer without a time limit; returns the answer's status, or the transport's error */
int node_call(struct node *n, const void *msg, size_t len, void *answer, size_t room, size_t *answer_len);
/*
 * node_ask -- a call with its own node_enter() and node_leave(); m's header is filled in here
 *
 * Sent again if the session was lost meanwhile and the call is idempotent.  Returns the answer's status; or an error, -EIO
 * for one of the transport.
 */
int node_ask(struct node *n, void *msg, size_t len, enum remote_op op, void *answer, size_t room, size_t *answer_len);
/*
 * fill in a relayed call, except for the part of its message after the header, which follows m; the header of m itself is
 * filled in by node_header() or node_ask()
 */
void node_relay_message(struct remote_relay_msg *m, const uint8_t layout[REMOTE_LAYOUT_ID], struct node *to, enum remote_op op);
/*
 * wait for the end of a call; otherwise as node_call()
 *
 * answer  out: valid until pmio_fabric_end(op), which is to be called in any case if *op is not NULL
 */
int node_wait(struct node *n, struct pmio_fabric_op **op, const void **answer, size_t *len);
/* take a bounce buffer; its index, or -1: none is free; wait: until one is free, if the session has any */
int node_take_buffer(struct node *n, bool wait);
void node_give_buffer(struct node *n, int buffer);

/*
 * try once to connect to the target's port for liveness sockets: 0, -ECONNREFUSED (no process listens there),
 * -ETIMEDOUT, ...; the socket is closed
 */
int node_probe(const struct remote_endpoint *endpoint, unsigned timeout_ms);

/* ---- transfer.c ------------------------------------------------------------------ */

/* large pieces go through bounce buffers with any provider; for tests */
extern bool file_always_buffers;

/* ---- descriptor_file.c ------------------------------------------------------------------ */

#define REMOTE_ENDPOINT_WHOLE 255u /* all of remote_endpoint_take()'s bits */

void remote_endpoint_write(FILE *out, const struct remote_endpoint *endpoint);
/* parse one line of an endpoint descriptor; returns a bit for it, or 0: the line is not valid */
unsigned remote_endpoint_take(struct remote_endpoint *endpoint, const char *name, const char *value);
/* parse a whole endpoint descriptor; 0 or PMIO_EPROTO */
int remote_endpoint_parse(const char *text, struct remote_endpoint *endpoint);
/* parse digits only, of a number up to most; base: 10, or 16 with lower-case letters */
bool remote_get_number(const char *text, int base, uint64_t most, uint64_t *number);
/* a line "name = DIGITS" */
void remote_put_hex(FILE *out, const char *name, const uint8_t *bytes, size_t len);
/* parse hexadecimal digits, an even number of them, for up to room bytes; false: they are not that */
bool remote_get_hex(const char *text, uint8_t *bytes, size_t room, size_t *len);

/* ---- layout_file.c ---------------------------------------------------------------- */

/* write the text of a layout file.  born: as for layout_file_parse() */
void layout_file_write(FILE *out, const char *path, const char *born, const struct remote_layout *layout);
/*
 * layout_file_parse -- read such a text
 *
 * born  the file's creation time that the text should have; NULL: any
 * Returns 0; -EBUSY: it has a dirty mark; -ESTALE: it belongs to an earlier file; in these cases the caller frees layout.
 * Or -EAGAIN: it is not complete; PMIO_EPROTO: it is not valid; then layout is empty.
 */
int layout_file_parse(const char *text, const char *born, struct remote_layout *layout);
/* offset of a target's dirty mark in it, 3 bytes: "yes" or "no "; 0: there is none */
off_t layout_file_mark_of(const char *text, uint32_t target);

/* how long to wait for a lock on a layout file */
extern unsigned layout_file_lock_ms;

/*
 * under the lock on a layout file, if it still belongs to that layout session: write mds as its first target's descriptor,
 * and call
 *
 * mds  the endpoint descriptor of the same target, which may have been restarted
 * Waits for the lock for some seconds.  Returns what call returned; -ENOENT: it belongs to another layout session; -EAGAIN:
 * another process has the lock; or an error
 */
int layout_file_locked(const char *layout_file, const uint8_t id[REMOTE_LAYOUT_ID], const struct remote_endpoint *mds,
		 int (*call)(void *arg), void *arg);

/* ---- placement.c; the holders of chunks: striped_impl.h ---------------------------- */

/* of a file of these targets; SINGLE: it will have only the first one */
enum pmio_placement placement_choose(const struct pmio_settings *s, const struct remote_layout *layout);
/* the same of a file that is only on memory nodes */
enum pmio_placement placement_choose_on_memory(const struct pmio_settings *s, const struct remote_layout *layout);

/* ---- node_joins.c: messages that join and leave, for membership.c ------------------------------------------ */

/* a message that joins or leaves a layout session: a struct remote_join_msg with room for the name of a layout file */
union node_join {
	struct remote_hdr_msg hdr;
	struct remote_join_msg m;
	uint8_t bytes[REMOTE_JOIN_SIZE];
};
/*
 * fill in all but the header; layout_file: name of the layout file if the layout session begins, up to PATH_MAX; NULL: it
 * does not.  Returns the length
 */
size_t node_join_message(union node_join *u, const uint8_t layout[REMOTE_LAYOUT_ID], uint64_t number, const char *layout_file,
			 enum remote_keep keep);

/* ---- node_ask.c: claims; striped_file.c: staging ---------------------------------------- */

struct remote_claim_msg;
struct remote_claim_answer_msg;
/* ask the target that answers for chunk m->first; m's header is filled in here */
int node_claim(struct node *n, struct remote_claim_msg *m, struct remote_claim_answer_msg *a);

/*
 * stage in a file of memory nodes, on all of them at the same time; -EBUSY: it is not such a file; told: see
 * remote_stage_in()
 */
int remote_striped_stage(struct pmio_file *f, _Atomic uint64_t *told);

/* false in the child of a fork, which cannot use its parent's sessions */
bool node_is_ours(void);

#endif
