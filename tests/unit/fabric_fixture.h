/*
 * fabric_fixture.h -- for the tests of lib/fabric: a target in a process of its own, on this machine's loopback
 *
 * TEST_PROVIDER in the environment: another provider than the first that is there
 */
#ifndef PMIO_TESTS_UNIT_FABRIC_FIXTURE_H
#define PMIO_TESTS_UNIT_FABRIC_FIXTURE_H

#include "scratch.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "fabric/fabric_impl.h"

#define MEMORY (8u << 20)
#define TIMEOUT_MS 2000 /* after so long a peer is down, in these tests */

/* requests that the target of the tests knows: a word */
enum { ECHO, ADD_UP, SLOWLY, NEVER, SESSIONS, WHO, END, HOLD, RELEASE, COUNT, REFUSED, LINES, FROM_ROOM, UNUSED_ROOM };

struct request {
	uint64_t what, off, len;
};

extern uint8_t key[PMIO_FABRIC_KEY_SIZE];
extern uint8_t *memory; /* shared with the target */
extern struct pmio_fabric_endpoint endpoint;
extern pid_t target_pid;
extern rlim_t target_fds; /* its limit of descriptors; 0: ours */
extern struct pmio_fabric_initiator *port;
extern struct pmio_fabric_peer *peer;
extern unsigned nr_logged; /* warnings and errors; in the target, its own */

struct pmio_fabric_config config_of(const uint8_t *k, const char *service);

/* what the target of the tests does with a request */
void handle(struct pmio_fabric_call *call, const void *msg, size_t len, void *arg);
void start_target(const char *service);
void stop_target(void);

/* of a group: the memory and the key */
int make_memory(void **state);
/* of a test: the target, and a peer that is connected to it */
int set_up(void **state);
int tear_down(void **state);
#define WITH_TARGET(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int ask(struct pmio_fabric_peer *p, struct request req, void *answer, size_t room);
/* without waiting: several at once from one thread */
int begin(struct pmio_fabric_peer *p, struct request req, struct pmio_fabric_op **out);
int end(struct pmio_fabric_op **op, void *answer, size_t room);
uint64_t nr_sessions(void);
uint64_t session_of(struct pmio_fabric_peer *p);
/* its port, as text */
void service_of(const struct pmio_fabric_endpoint *of, char service[8]);

/* owned by the caller */
uint8_t *random_bytes(size_t len, unsigned seed);
/* what ADD_UP answers */
uint64_t sum_of(const uint8_t *p, size_t len);

#endif
