/*
 * node.c -- the targets of other nodes that this process knows
 *
 * There is one endpoint of the fabric per process, and one struct node per target, shared by all threads and files.  The
 * parts of a node, each above the one before:
 *   node_call.c      messages within a session
 *   node_liveness.c  sockets whose end means the end of this process
 *   node_joins.c     layout sessions that this process has joined
 *   node_session.c   beginning a session, using it, and making another one after it was lost
 *   node.c           the list of nodes
 *   node_ask.c       calls that make a session if there is none
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "remote/node_impl.h"

static pthread_mutex_t nodes_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pmio_fabric_initiator *initiator; /* under nodes_lock, like everything here */
static struct node *nodes;

static struct node *new_node(const struct pmio_settings *s, const struct remote_endpoint *endpoint)
{
	struct node *n = calloc(1, sizeof(*n));
	pthread_condattr_t attr;

	if (!n || pmio_fabric_random(n->process, sizeof(n->process)) < 0) {
		free(n);
		return NULL;
	}
	n->endpoint = n->newer = *endpoint;
	n->endpoint.host[sizeof(n->endpoint.host) - 1] = '\0';
	n->initiator = initiator;
	n->timeout_ms = (unsigned)s->num[PMIO_SET_TIMEOUT] * 1000;
	n->liveness.sock = -1;
	pthread_mutex_init(&n->newer_lock, NULL);
	pthread_mutex_init(&n->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&n->buffer_free, &attr);
	pthread_condattr_destroy(&attr);
	return n;
}

static int make_initiator(const struct pmio_settings *s, const struct remote_endpoint *endpoint)
{
	char address[INET6_ADDRSTRLEN];
	struct pmio_fabric_config c = {
		.provider = endpoint->fabric.provider, .address = address, .key = endpoint->key,
		.timeout_ms = (unsigned)s->num[PMIO_SET_TIMEOUT] * 1000, .munge = s->str[PMIO_SET_MUNGE],
	};
	int rc = remote_address(s->str[PMIO_SET_ADDRESS], address, sizeof(address));

	return rc < 0 ? rc : pmio_fabric_initiator_new(&c, &initiator);
}

struct node *node_get(const struct pmio_settings *s, const struct remote_endpoint *endpoint)
{
	struct node *n = NULL;

	pthread_mutex_lock(&nodes_lock);
	if (!node_is_ours()) {
		pmio_err("a forked child cannot use its parent's connections to other nodes");
	} else if (initiator || make_initiator(s, endpoint) == 0) {
		node_set_owner(getpid());
		DL_FOREACH(nodes, n) {
			if (memcmp(n->endpoint.uuid, endpoint->uuid, sizeof(endpoint->uuid)) == 0)
				break;
		}
		if (!n) {
			n = new_node(s, endpoint);
			if (n)
				DL_APPEND(nodes, n);
		} else {
			node_take_descriptor(n, endpoint);
		}
	}
	pthread_mutex_unlock(&nodes_lock);
	return n;
}

int remote_note_endpoint(const struct pmio_settings *settings, const struct remote_endpoint *endpoint)
{
	return node_get(settings, endpoint) ? 0 : -ENOMEM;
}

static void free_node(struct node *n)
{
	node_free_memberships(n);
	pthread_cond_destroy(&n->buffer_free);
	pthread_mutex_destroy(&n->lock);
	pthread_mutex_destroy(&n->newer_lock);
	explicit_bzero(n, sizeof(*n));
	free(n);
}

void remote_disconnect_all(void)
{
	struct node *n, *next;

	pthread_mutex_lock(&nodes_lock);
	if (node_is_ours()) {
		DL_FOREACH_SAFE(nodes, n, next) {
			node_end(n);
			DL_DELETE(nodes, n);
			free_node(n);
		}
		pmio_fabric_initiator_delete(&initiator);
		node_set_owner(0);
	}
	pthread_mutex_unlock(&nodes_lock);
}

void remote_forget(void)
{
	pthread_mutex_init(&nodes_lock, NULL);
	nodes = NULL;
	initiator = NULL;
	node_set_owner(0);
	node_forget_lost_memberships();
}
