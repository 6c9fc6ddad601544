/*
 * relay.h -- calls at other targets, made by this one for the processes of its node
 *
 * Threads: any; all but relays_look() may wait for the other target.
 */
#ifndef PMIO_TARGET_RELAY_H
#define PMIO_TARGET_RELAY_H

#include <stddef.h>
#include <stdint.h>

#include "client/client.h"
#include "daemon/workers.h"
#include "remote/wire.h"

struct relays;
/* a file that is open at another target, for one or several handles */
struct relayed;

/* NULL: out of memory; for as long as the server lives */
struct relays *relays_new(const struct pmio_settings *settings, const uint8_t own[16]);
/*
 * a CLAIM or POINTER for another target, or a HELLO that only has its endpoint descriptor; len: of m, at least that of a header
 * in it
 *
 * answer  room bytes; *answer_len: of the answer, unchanged by a HELLO
 * Returns the answer's status; PMIO_EPROTO: the message is not valid
 */
int relays_pass_on(struct relays *r, struct remote_relay_msg *m, size_t len, void *answer, size_t room, size_t *answer_len);
/* an OPEN; shared with other handles of the same layout session, target and flags; to be closed by relays_close() */
int relays_open(struct relays *r, const struct remote_relay_msg *m, size_t len, struct relayed **out);
struct pmio_file *relays_file(struct relayed *f);
/* flags: PMIO_CLOSE_*; the last handle's close is that of the file, and returns its errors */
int relays_close(struct relays *r, struct relayed *f, uint32_t flags);
/* client_grow() for a relayed file; no message if this node is registered as a grower there */
int relays_grow(struct relays *r, struct relayed *f, uint64_t *size, uint64_t growers);
/* end sessions with other targets that were not needed for a while; to be called regularly; does not wait */
void relays_look(struct relays *r, struct workers *w, uint64_t now);

#endif
