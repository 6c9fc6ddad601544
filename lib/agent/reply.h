/*
 * reply.h -- answers to clients, and sums over all clients
 */
#ifndef PMIO_AGENT_REPLY_H
#define PMIO_AGENT_REPLY_H

#include <stdint.h>

#include "proto/proto.h"

struct agent;
struct conn;

void agent_reply(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int fd);
void agent_reply_status(struct agent *a, struct conn *c, const struct pmio_hdr_msg *req, int status);
struct conn *agent_conn(struct agent *a, uint64_t id); /* NULL: it has ended */
/* what clients have transferred since the agent started, including those that have disconnected */
void conn_sum_counts(const struct agent *a, struct pmio_counts_df *sum);
unsigned conn_count_clients(const struct agent *a); /* those that keep the agent running */

#endif
