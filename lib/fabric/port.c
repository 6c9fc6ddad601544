/*
 * port.c -- access to the memory of targets
 *
 * A request (fabric.h's pmio_fabric_op) is a number of libfabric operations (remote writes or reads, and the
 * sending of a message) and perhaps an answer.  Data go through the port's own bounce buffers: an operation that
 * a dead peer never ends then does not refer to the caller's memory, which need not be registered with the
 * network card either.
 *
 * No peer gets more buffers than are left for others, and buffers that a peer that is down may hold for ever are
 * replaced: so requests to other peers do not wait for it.
 *
 * A port has no thread: one of the waiting threads sleeps in the completion queue and distributes what it finds,
 * the others wait for it.  Everything is under `lock`, which is not held in that sleep, nor while bytes are
 * copied.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "fabric/port_impl.h"

/* detach the operations of a peer that is being deleted: those under way may still complete */
static void forget_peer(struct pmio_fabric_peer *peer)
{
	DL_DELETE(peer->port->peers, peer);
	free(peer);
}

static int make_ops(struct pmio_fabric_port *port)
{
	const size_t size = (NR_RECVS + NR_SENDS) * SLOT_SIZE + NR_BOUNCES * (size_t)BOUNCE_SIZE;
	uint8_t *p;
	int rc = 0;

	port->memory = p = malloc(size);
	if (!p)
		return -ENOMEM;
	if (port->ep.info->domain_attr->mr_mode & FI_MR_LOCAL)
		rc = fabric_ep_register(&port->ep, p, size, FI_SEND | FI_RECV | FI_READ | FI_WRITE, ++port->next_key,
					&port->mr);
	for (size_t i = 0; i < NR_RECVS + NR_SENDS + NR_BOUNCES && rc == 0; i++) {
		struct op *op = &port->ops[i];

		op->buf = p;
		op->mr = port->mr;
		p += i < NR_RECVS + NR_SENDS ? SLOT_SIZE : BOUNCE_SIZE;
		op->kind = i < NR_RECVS ? OP_RECV : i < NR_RECVS + NR_SENDS ? OP_SEND : OP_WRITE;
		if (i < NR_RECVS)
			rc = port_post_recv(port, op);
		else
			port_put_on_list(port, op);
	}
	return rc < 0 ? fabric_error(rc) : 0;
}

int pmio_fabric_port_new(const struct pmio_fabric_config *config, struct pmio_fabric_port **out)
{
	struct pmio_fabric_port *port = calloc(1, sizeof(*port));
	pthread_condattr_t attr;
	int rc;

	*out = NULL;
	if (!port)
		return -ENOMEM;
	pthread_mutex_init(&port->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&port->changed, &attr);
	pthread_condattr_destroy(&attr);
	port->timeout_ms = config->timeout_ms ? config->timeout_ms : PMIO_FABRIC_TIMEOUT_MS;
	port->has_key = config->key != NULL;
	if (port->has_key)
		memcpy(port->key, config->key, sizeof(port->key));
	/* the numbers distinguish answers from those to an earlier port at the same address */
	rc = pmio_fabric_random(&port->number, sizeof(port->number));
	if (rc == 0)
		rc = fabric_munge_init(&port->munge, config);
	if (rc == 0)
		rc = fabric_ep_open(&port->ep, config, NULL);
	if (rc == 0)
		rc = make_ops(port);
	if (rc < 0) {
		pmio_fabric_port_delete(&port);
		return rc;
	}
	*out = port;
	return 0;
}

static void free_requests(struct pmio_fabric_port *port)
{
	for (size_t i = NR_RECVS; i < NR_RECVS + NR_SENDS + NR_BOUNCES; i++) {
		struct pmio_fabric_op *r = port->ops[i].req;

		if (r)
			port_put_request(r);
	}
	for (struct extra *e = port->extras; e; e = e->next) {
		if (e->op.req)
			port_put_request(e->op.req);
	}
}

static void free_extras(struct pmio_fabric_port *port)
{
	struct extra *e, *next;

	LL_FOREACH_SAFE(port->extras, e, next) {
		free(e->memory);
		free(e);
	}
	port->extras = NULL;
}

void pmio_fabric_port_delete(struct pmio_fabric_port **pp)
{
	struct pmio_fabric_port *port = *pp;

	*pp = NULL;
	if (!port)
		return;
	while (port->peers)
		forget_peer(port->peers);
	if (port->ep.ep)
		fi_close(&port->ep.ep->fid);
	port->ep.ep = NULL;
	if (port->mr)
		fi_close(&port->mr->fid);
	for (struct extra *e = port->extras; e; e = e->next) {
		if (e->op.mr)
			fi_close(&e->op.mr->fid);
	}
	if (port->ep.info)
		fabric_ep_close(&port->ep);
	free_requests(port);
	free_extras(port);
	fabric_munge_fini(&port->munge);
	free(port->memory);
	pthread_cond_destroy(&port->changed);
	pthread_mutex_destroy(&port->lock);
	free(port);
}
