/*
 * ops.h -- the requests of clients: which function handles which
 */
#ifndef PMIO_AGENT_OPS_H
#define PMIO_AGENT_OPS_H

#include "agent/request.h"

request_fn ops_dispatch;

#endif
