/*
 * target_session.h -- addresses and sessions of a target; in its thread, except at its end
 */
#ifndef PMIO_FABRIC_TARGET_SESSION_H
#define PMIO_FABRIC_TARGET_SESSION_H

#include "fabric/target_state.h"

/* get a reference to the address; NULL: not an address of this provider, or out of memory */
struct addr *fabric_target_get_addr(struct pmio_fabric_target *t, const uint8_t *bytes, size_t len);
void fabric_target_put_addr(struct pmio_fabric_target *t, struct addr *a);
/* for fabric_connections_look(); arg: the target */
bool fabric_target_is_known(void *arg, const struct sockaddr *peer);
/* no session knows its key any more: free it, unless it is the one for new sessions */
void fabric_target_drop_region(struct pmio_fabric_target *t, struct region *r);
/* forget ended sessions with proofs that are not valid any more */
void fabric_target_forget_ended(struct pmio_fabric_target *t);
/* an authenticated session; NULL also for one that has ended */
struct fabric_session *fabric_target_find_session(struct pmio_fabric_target *t, uint64_t id);
/* it is remembered until its proof expires, so that the proof cannot be replayed */
void fabric_target_end_session(struct pmio_fabric_target *t, struct fabric_session *s);
/* the proof was valid: make the session */
struct fabric_session *fabric_target_begin_session(struct pmio_fabric_target *t, const struct fabric_proof_msg *m);

#endif
