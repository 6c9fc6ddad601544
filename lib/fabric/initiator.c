/*
 * initiator.c -- access to the memory of targets
 *
 * A request (fabric.h's pmio_fabric_op) is a number of libfabric operations (remote writes or reads, and the
 * sending of a message) and perhaps an answer.  Data go through the initiator's own bounce buffers: an operation that
 * a dead peer never ends then does not refer to the caller's memory, which need not be registered with the
 * network card either.
 *
 * No peer gets more buffers than are left for others, and buffers that a peer that is down may hold forever are
 * replaced: so requests to other peers do not wait for it.
 *
 * An initiator has no thread: one of the waiting threads sleeps in the completion queue and distributes what it finds,
 * the others wait for it.  Everything is under `lock`, which is not held in that sleep, nor while bytes are
 * copied.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "fabric/initiator_impl.h"

/* detach the operations of a peer that is being deleted: those under way may still complete */
static void forget_peer(struct pmio_fabric_peer *peer)
{
	DL_DELETE(peer->initiator->peers, peer);
	free(peer);
}

static int make_ops(struct pmio_fabric_initiator *initiator)
{
	const size_t size = (NR_RECVS + NR_SENDS) * BUFFER_SIZE + NR_BOUNCES * (size_t)BOUNCE_SIZE;
	uint8_t *p;
	int rc = 0;

	initiator->memory = p = malloc(size);
	if (!p)
		return -ENOMEM;
	if (initiator->ep.info->domain_attr->mr_mode & FI_MR_LOCAL)
		rc = fabric_ep_register(&initiator->ep, p, size, FI_SEND | FI_RECV | FI_READ | FI_WRITE, ++initiator->next_key,
					&initiator->mr);
	for (size_t i = 0; i < NR_RECVS + NR_SENDS + NR_BOUNCES && rc == 0; i++) {
		struct posted_op *op = &initiator->ops[i];

		op->buf = p;
		op->mr = initiator->mr;
		p += i < NR_RECVS + NR_SENDS ? BUFFER_SIZE : BOUNCE_SIZE;
		op->kind = i < NR_RECVS ? OP_RECV : i < NR_RECVS + NR_SENDS ? OP_SEND : OP_WRITE;
		if (i < NR_RECVS)
			rc = initiator_post_recv(initiator, op);
		else
			initiator_put_on_list(initiator, op);
	}
	return rc < 0 ? fabric_error(rc) : 0;
}

int pmio_fabric_initiator_new(const struct pmio_fabric_config *config, struct pmio_fabric_initiator **out)
{
	struct pmio_fabric_initiator *initiator = calloc(1, sizeof(*initiator));
	pthread_condattr_t attr;
	int rc;

	*out = NULL;
	if (!initiator)
		return -ENOMEM;
	pthread_mutex_init(&initiator->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&initiator->changed, &attr);
	pthread_condattr_destroy(&attr);
	initiator->timeout_ms = config->timeout_ms ? config->timeout_ms : PMIO_FABRIC_TIMEOUT_MS;
	initiator->has_key = config->key != NULL;
	if (initiator->has_key)
		memcpy(initiator->key, config->key, sizeof(initiator->key));
	/* the numbers distinguish answers from those to an earlier initiator at the same address */
	rc = pmio_fabric_random(&initiator->number, sizeof(initiator->number));
	if (rc == 0)
		rc = fabric_munge_init(&initiator->munge, config);
	if (rc == 0)
		rc = fabric_ep_open(&initiator->ep, config, NULL);
	if (rc == 0)
		rc = make_ops(initiator);
	if (rc < 0) {
		pmio_fabric_initiator_delete(&initiator);
		return rc;
	}
	*out = initiator;
	return 0;
}

static void free_requests(struct pmio_fabric_initiator *initiator)
{
	for (size_t i = NR_RECVS; i < NR_RECVS + NR_SENDS + NR_BOUNCES; i++) {
		struct pmio_fabric_op *r = initiator->ops[i].req;

		if (r)
			initiator_put_request(r);
	}
	for (struct extra *e = initiator->extras; e; e = e->next) {
		if (e->op.req)
			initiator_put_request(e->op.req);
	}
}

static void free_extras(struct pmio_fabric_initiator *initiator)
{
	struct extra *e, *next;

	LL_FOREACH_SAFE(initiator->extras, e, next) {
		free(e->memory);
		free(e);
	}
	initiator->extras = NULL;
}

void pmio_fabric_initiator_delete(struct pmio_fabric_initiator **pp)
{
	struct pmio_fabric_initiator *initiator = *pp;

	*pp = NULL;
	if (!initiator)
		return;
	while (initiator->peers)
		forget_peer(initiator->peers);
	if (initiator->ep.ep)
		fi_close(&initiator->ep.ep->fid);
	initiator->ep.ep = NULL;
	if (initiator->mr)
		fi_close(&initiator->mr->fid);
	for (struct extra *e = initiator->extras; e; e = e->next) {
		if (e->op.mr)
			fi_close(&e->op.mr->fid);
	}
	if (initiator->ep.info)
		fabric_ep_close(&initiator->ep);
	free_requests(initiator);
	free_extras(initiator);
	fabric_munge_fini(&initiator->munge);
	free(initiator->memory);
	pthread_cond_destroy(&initiator->changed);
	pthread_mutex_destroy(&initiator->lock);
	free(initiator);
}
