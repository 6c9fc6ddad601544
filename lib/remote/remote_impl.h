/*
 * remote_impl.h -- the asking side of lib/remote, shared by its own files only
 */
#ifndef PMIO_REMOTE_REMOTE_IMPL_H
#define PMIO_REMOTE_REMOTE_IMPL_H

#include <stdatomic.h>
#include <stdio.h>

#include "core/error.h"
#include "remote/remote.h"
#include "remote/wire.h"

/* a connection by whose end a target learns that this process has ended */
struct lifeline {
	int sock;		/* -1: none */
	uint64_t session;	/* that it was shown to be of; 0: of none, and nobody minds its end */
};
#define LIFELINES_MAX 8 /* that may be the one which the target looks at */

/* what this process has joined at a target */
struct membership {
	struct membership *prev, *next;
	uint8_t use[REMOTE_USE_ID];
	uint64_t number;
	char *owner;		/* owned: the owner's file */
	bool left;		/* this process has left; the target may not have been told yet */
	enum remote_keep keep;	/* what to tell it then */
};

/* a target, as this process knows it */
struct node {
	struct node *prev, *next;
	uint8_t process[16];	/* this process, as the target knows it */
	unsigned timeout_ms;
	pthread_mutex_t news_lock; /* of news and has_news; the last one to be taken */
	struct remote_card news; /* the target was started anew: the card to try next */
	bool has_news;
	pthread_mutex_t lock;	/* of all below */
	struct remote_card card;
	pthread_cond_t slot_free;
	struct pmio_fabric_peer *peer; /* NULL: there is no session */
	uint64_t session;	/* the target's id of it */
	uint64_t generation;	/* of sessions: handles of an earlier one are lost */
	uint64_t attempt;	/* to begin one */
	struct lifeline lifeline; /* of this session */
	struct lifeline earlier[LIFELINES_MAX]; /* of those before: they stay until the target has another one */
	unsigned nr_earlier;
	struct membership *members;
	uint64_t retry_ms;	/* not before */
	int why;		/* there is no session */
	unsigned users;		/* calls under way: the peer stays */
	bool lost;		/* the session is: let go of it when they have ended */
	unsigned nr_slots;
	uint64_t slot[REMOTE_SLOTS_MAX];
	bool slot_used[REMOTE_SLOTS_MAX];
	bool said;		/* that it is not to be reached */
	atomic_uint sent[REMOTE_NR_OPS]; /* messages of each kind, for the log */
};

/* ---- node.c -------------------------------------------------------------------- */

/* the node that the card is of; logs nothing; NULL: no memory, or a forked child */
struct node *node_get(const struct pmio_settings *settings, const struct remote_card *card);

/*
 * node_enter -- begin to use the node's session, making one where there is none
 *
 * Returns 0, or -EIO, -EACCES, ... (logged once for each time that it gets lost).  generation:
 * out.  After 0, node_leave() ends it; rc: a transport's error means that the session is lost.
 */
int node_enter(struct node *n, uint64_t *generation);
void node_leave(struct node *n, int rc);

/*
 * this process has joined a use at that target, or has left it; owner: of its owner's file; 0 or -ENOMEM
 *
 * What a session's end does to the target (it may be started anew) is mended with the next session: see node.c.
 */
int node_joined(struct node *n, const uint8_t use[REMOTE_USE_ID], uint64_t number, const char *owner);
/* known: the target knows it, too; else the next session tells it */
void node_left(struct node *n, uint64_t number, bool known, enum remote_keep keep);
/* false: the use has ended for the target, and others may have begun another one.  May wait for a session to begin */
bool node_is_member(struct node *n, uint64_t number);
/* is there any join of which that is so?  Does not wait */
bool node_forgot_any(void);

/* the errors of lib/fabric after which nothing is known of the peer */
bool node_is_lost(int rc);

/* between node_enter and node_leave: */
void node_header(struct node *n, void *msg, enum remote_op op, uint64_t handle);
/* ask and wait, however long it takes; returns the answer's status, or the transport's error */
int node_call(struct node *n, const void *msg, size_t len, void *answer, size_t room, size_t *answer_len);
/*
 * node_ask -- such a call of its own session's, from node_enter() to node_leave(); m's header is filled in here
 *
 * Once more, if the session turns out to have been lost meanwhile and it is something that can be done twice.  Returns the answer's
 * status; or an error, -EIO for the transport's.
 */
int node_ask(struct node *n, void *msg, size_t len, enum remote_op op, void *answer, size_t room, size_t *answer_len);
/* a call that was begun: as node_call() from there on */
int node_end(struct node *n, struct pmio_fabric_op **op, void *answer, size_t room, size_t *answer_len);
/* index of a slot, or -1: none is free; wait: for one, if the session has any */
int node_take_slot(struct node *n, bool wait);
void node_give_slot(struct node *n, int slot);

/* one try to reach its lifeline: 0, -ECONNREFUSED (nobody is there), -ETIMEDOUT, ...; the socket is closed */
int node_probe(const struct remote_card *card, unsigned timeout_ms);

/* ---- card.c ---------------------------------------------------------------------- */

#define REMOTE_CARD_WHOLE 255u /* all of remote_card_take()'s bits */

void remote_card_write(FILE *out, const struct remote_card *card);
/* one line of a card; returns a bit for it, or 0: it makes no sense */
unsigned remote_card_take(struct remote_card *card, const char *name, const char *value);
/* a whole card; 0 or PMIO_EPROTO */
int remote_card_parse(const char *text, struct remote_card *card);
/* digits alone, and not more than most; base: 10 or 16, then small letters */
bool remote_get_number(const char *text, int base, uint64_t most, uint64_t *number);
/* as many digits as bytes need, but not more than room; false: they are not that */
bool remote_get_hex(const char *text, uint8_t *bytes, size_t room, size_t *len);

/* ---- owner.c --------------------------------------------------------------------- */

/* the text of an owner's file.  born: as owner_parse() */
void owner_write(FILE *out, const char *path, const char *born, const struct remote_use *use);
/*
 * owner_parse -- read such a text
 *
 * born  when the file was made, as the text should say; NULL: it does not matter
 * Returns 0; -EBUSY: data wait; -ESTALE: of an earlier file; then use is to be ended.  Or -EAGAIN: it is not whole;
 * PMIO_EPROTO: it makes no sense; and use is empty.
 */
int owner_parse(const char *text, const char *born, struct remote_use *use);
/* where in it the answer is whether data wait at a target: 3 bytes; 0: nowhere */
off_t owner_answer_of(const char *text, uint32_t target);

/* for so long a lock on an owner's file is waited for */
extern unsigned owner_lock_ms;

/*
 * under the lock on an owner's file: if it still is of that use, home is its first target's card, and call
 *
 * home  of the same target, which may have been started anew
 * Waits for the lock for some seconds.  Returns what call returned; -ENOENT: it is not; -EAGAIN: somebody has the lock;
 * or an error
 */
int owner_locked(const char *owner, const uint8_t id[REMOTE_USE_ID], const struct remote_card *home,
		 int (*call)(void *arg), void *arg);

/* ---- joining ---------------------------------------------------------------------- */

/* a message that joins or leaves a use: a struct remote_join_msg with room for the name of an owner's file */
union node_join {
	struct remote_hdr_msg hdr;
	struct remote_join_msg m;
	uint8_t bytes[REMOTE_JOIN_SIZE];
};
/* all but the header; owner_file: of the file that says that the use begins, not longer than PATH_MAX; NULL: it does not.  Its length */
size_t node_join_message(union node_join *u, const uint8_t use[REMOTE_USE_ID], uint64_t number, const char *owner_file,
			 enum remote_keep keep);

/* ---- claims, uses ------------------------------------------------------------------- */

struct remote_claim_msg;
struct remote_claim_answer_msg;
/* ask the target that answers for chunk m->first; m's header is filled in here */
int node_claim(struct node *n, struct remote_claim_msg *m, struct remote_claim_answer_msg *a);

/* bring a file of memory nodes in, at all of them at a time; -EBUSY: it is not such a file; told as in remote_stage_in() */
int remote_striped_stage(struct pmio_file *f, _Atomic uint64_t *told);

/* the fork's child cannot go on with them */
bool node_is_ours(void);

#endif
