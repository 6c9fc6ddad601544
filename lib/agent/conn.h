/*
 * conn.h -- connections of clients
 */
#ifndef PMIO_AGENT_CONN_H
#define PMIO_AGENT_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "proto/proto.h"

struct agent;
struct pfs_call;

struct conn {
	uint64_t id;		/* key */
	int sock;
	int pid_fd;		/* readable when the process has ended; -1: not available */
	uint32_t pid;
	bool greeted;
	bool admin;
	int client;		/* index of its record, -1: none */
	struct pfs_call *removal;	/* the client is removing a name: REMOVE was answered; NULL: it is not */
	bool dead;		/* to be freed at the end of this turn of the loop */
	UT_hash_handle hh;
};

#define ID_LISTEN 0 /* of its event; connections count from 1 */
int conn_listen(struct agent *a); /* also again, if the socket's name was removed */
int conn_accept(struct agent *a);
void conn_readable(struct agent *a, struct conn *c);
void conn_remove(struct agent *a, struct conn *c);
void conn_free(struct conn *c); /* closes the socket; c is in no table any more */

#endif
