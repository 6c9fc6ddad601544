/*
 * node_impl.h -- a target as this process knows it: what only the files node*.c share
 *
 * n->lock is held by the callers of all functions here, except where it is said.
 */
#ifndef PMIO_REMOTE_NODE_IMPL_H
#define PMIO_REMOTE_NODE_IMPL_H

#include "remote/remote_impl.h"

/* ---- node_call.c --------------------------------------------------------------------------- */

/* log how many messages of each kind it has received: that shows how the cost grows (doc/scaling.md) */
void node_log_sent(const struct node *n);

/* ---- node_liveness.c ----------------------------------------------------------------------- */

/* a TCP connection to the target's address: the socket, or -errno; needs no lock */
int node_liveness_connect(const struct remote_endpoint *endpoint, uint16_t tcp_port, unsigned timeout_ms);
/*
 * connect the session's liveness socket unless that was done, and identify the session on it, until the target has confirmed
 * it: from then on no calls of earlier sessions are under way there, and the end of the liveness socket means the end of this
 * process.  0, or -errno
 */
int node_liveness_identify(struct node *n, uint16_t tcp_port);
/* the target notices that it has ended; no effect if there is none */
void node_liveness_close(struct liveness *l);
/* close those of earlier sessions, except for that of one session: the target does not watch the others any more; 0: none */
void node_liveness_close_earlier(struct node *n, uint64_t but);
/* has the target not closed it?  Does not wait */
bool node_liveness_is_open(const struct liveness *l);
/* has the target closed all of them?  Waits briefly for a target that is about to end */
bool node_liveness_all_closed(const struct node *n);

/* ---- node_joins.c -------------------------------------------------------------------------- */

/* in a new session: join again where the target knows no membership any more; 0, or what prevents the start of the session */
int node_join_again(struct node *n);
/* needs no lock: nothing else uses the node any more */
void node_free_memberships(struct node *n);
/* in a child of fork(): the parent's losses are none of it */
void node_forget_lost_memberships(void);

/* ---- node_session.c; these take n->lock themselves ------------------------------------------ */

/* the process that has the sessions; 0: none */
void node_set_owner(pid_t pid);
/*
 * the next session uses this endpoint descriptor if the present one is of no use: the target was restarted, perhaps on
 * another node; or the descriptor is an old one from a leftover layout file.  Does not wait
 */
void node_take_descriptor(struct node *n, const struct remote_endpoint *endpoint);
/* end the session and all that belongs to it, as this process ends or needs no other nodes any more */
void node_end(struct node *n);

#endif
