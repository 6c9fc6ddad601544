/*
 * target_send.h -- answers of a target; in its thread, except at its end
 */
#ifndef PMIO_FABRIC_TARGET_SEND_H
#define PMIO_FABRIC_TARGET_SEND_H

#include "fabric/target_state.h"

void *fabric_target_buffers_desc(const struct pmio_fabric_target *t);
void fabric_target_not_strange_any_more(struct pmio_fabric_target *t, struct addr *a);
/* send waiting answers; those that have waited for long are dropped, as their initiator has ended */
void fabric_target_send_waiting(struct pmio_fabric_target *t);
/* send the answer of len bytes in t->room to a session; the room is released */
void fabric_target_send_room(struct pmio_fabric_target *t, uint64_t to, uint64_t number, int status, size_t len);
/* the handler has not used it */
void fabric_target_drop_room(struct pmio_fabric_target *t);
/* takes o over; sends to its session's address, unless it has an address of its own */
void fabric_target_send_out(struct pmio_fabric_target *t, struct out *o);
struct out *fabric_target_new_out(uint64_t session, enum fabric_type type, uint64_t number, size_t size);
/* takes over o, and the reference to a */
void fabric_target_send_to_stranger(struct pmio_fabric_target *t, struct out *o, struct addr *a, fi_addr_t from);
/* end the sessions that other threads want to end */
void fabric_target_take_endings(struct pmio_fabric_target *t);

#endif
