/* provider.c -- common to target and initiator: one endpoint, its addresses and completions */
#include <errno.h>
#include <netdb.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "fabric/fabric_impl.h"

#define API FI_VERSION(1, 9) /* everything used here exists since then */
#define CQ_SIZE 1024
#define LOOK_MAX_NS 500000

/*
 * `net` of libfabric 1.17 is `tcp` from 1.18 on; the `tcp` before that has no RDM
 * endpoints of its own and is found as "tcp;ofi_rxm".
 */
static const char *const ladder[] = { "net", "tcp", "tcp;ofi_rxm" };

int fabric_error(ssize_t rc)
{
	switch (-rc) {
	case FI_ECANCELED:
	case FI_ENOTCONN:
	case FI_ECONNABORTED:
	case FI_ECONNRESET:
	case FI_ECONNREFUSED:
	case FI_EIO:
		return -ECONNRESET;
	default:
		/* smaller codes are those of the system */
		return -rc < FI_EOTHER ? (int)rc : -EIO;
	}
}

static int failed(const char *what, ssize_t rc)
{
	pmio_err("fabric: %s: %s", what, fabric_lib()->strerror((int)-rc));
	return fabric_error(rc);
}

/* ways to ask: keys that the provider counts from 1 on only if it does not accept ours */
static const struct way {
	uint64_t caps, mr_mode;
} ways[] = {
	{ FI_SOURCE, 0 }, { 0, 0 }, { FI_SOURCE, FI_MR_PROV_KEY }, { 0, FI_MR_PROV_KEY },
};

#define NR_WAYS (sizeof(ways) / sizeof(ways[0]))

static struct fi_info *make_hints(const char *provider, const struct way *way)
{
	struct fi_info *h = fabric_lib()->dupinfo(NULL); /* an empty one */

	if (!h)
		return NULL;
	h->caps = FI_MSG | FI_RMA | way->caps;
	h->ep_attr->type = FI_EP_RDM;
	h->fabric_attr->prov_name = strdup(provider);
	h->domain_attr->mr_mode = FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_ENDPOINT | way->mr_mode;
	h->domain_attr->threading = FI_THREAD_SAFE;
	h->domain_attr->control_progress = FI_PROGRESS_MANUAL;
	h->domain_attr->data_progress = FI_PROGRESS_MANUAL;
	/* a request that goes with a write arrives after it */
	h->tx_attr->msg_order = FI_ORDER_SAW;
	h->rx_attr->msg_order = FI_ORDER_SAW;
	return h;
}

/* 0, or libfabric's code; not logged */
static int find_way(const struct pmio_fabric_config *config, const char *service, const char *provider,
		    const struct way *way, struct fi_info **out)
{
	struct fi_info *hints = make_hints(provider, way);
	int rc;

	if (!hints)
		return -ENOMEM;
	rc = fabric_lib()->getinfo(API, config->address, service, FI_SOURCE, hints, out);
	fabric_lib()->freeinfo(hints);
	/* for `tcp`, 1.17 returns the layered provider, which has its own entry in the list */
	if (rc == 0 && strcmp((*out)->fabric_attr->prov_name, provider) != 0) {
		fabric_lib()->freeinfo(*out);
		*out = NULL;
		rc = -FI_ENODATA;
	}
	return rc;
}

static int find(const struct pmio_fabric_config *config, const char *service, const char *provider,
		struct fi_info **out)
{
	int rc = -FI_ENODATA;

	for (size_t i = 0; i < NR_WAYS && rc < 0; i++)
		rc = find_way(config, service, provider, &ways[i], out);
	return rc;
}

static int find_provider(const struct pmio_fabric_config *config, const char *service,
			 struct fi_info **out)
{
	int rc = -FI_ENODATA;

	*out = NULL;
	if (config->provider && *config->provider)
		return find(config, service, config->provider, out);
	for (size_t i = 0; i < sizeof(ladder) / sizeof(ladder[0]) && rc < 0; i++)
		rc = find(config, service, ladder[i], out);
	return rc;
}

static int open_all(struct fabric_ep *e)
{
	struct fi_av_attr av = { .type = FI_AV_TABLE };
	struct fi_cq_attr cq = { .format = FI_CQ_FORMAT_MSG, .size = CQ_SIZE, .wait_obj = FI_WAIT_UNSPEC };
	int rc = fabric_lib()->fabric(e->info->fabric_attr, &e->fabric, NULL);

	if (rc == 0)
		rc = fi_domain(e->fabric, e->info, &e->domain, NULL);
	if (rc == 0)
		rc = fi_av_open(e->domain, &av, &e->av, NULL);
	if (rc == 0)
		rc = fi_cq_open(e->domain, &cq, &e->cq, NULL);
	if (rc == 0)
		rc = fi_endpoint(e->domain, e->info, &e->ep, NULL);
	if (rc == 0)
		rc = fi_ep_bind(e->ep, &e->av->fid, 0);
	if (rc == 0)
		rc = fi_ep_bind(e->ep, &e->cq->fid, FI_TRANSMIT | FI_RECV);
	if (rc == 0)
		rc = fi_enable(e->ep);
	e->has_source = e->info->caps & FI_SOURCE;
	e->addr_len = sizeof(e->addr);
	if (rc == 0)
		rc = fi_getname(&e->ep->fid, e->addr, &e->addr_len);
	return rc;
}

int fabric_ep_open(struct fabric_ep *e, const struct pmio_fabric_config *config, const char *service)
{
	int rc;

	memset(e, 0, sizeof(*e));
	e->spin.max_ns = LOOK_MAX_NS;
	if (!fabric_lib())
		return -ENOSYS;
	rc = find_provider(config, service, &e->info);
	if (rc < 0) {
		pmio_err("fabric: provider %s at %s: %s",
			 config->provider && *config->provider ? config->provider : "net, tcp or tcp;ofi_rxm",
			 config->address, fabric_lib()->strerror(-rc));
		return rc == -FI_ENODATA ? -ENODATA : fabric_error(rc);
	}
	rc = open_all(e);
	if (rc < 0) {
		rc = failed(fabric_ep_provider(e), rc);
		fabric_ep_close(e);
	}
	return rc;
}

static void close_fid(struct fid *fid)
{
	int rc = fid ? fi_close(fid) : 0;

	if (rc < 0)
		pmio_dbg("fabric: close: %s", fabric_lib()->strerror(-rc));
}

void fabric_ep_close(struct fabric_ep *e)
{
	close_fid(e->ep ? &e->ep->fid : NULL);
	close_fid(e->cq ? &e->cq->fid : NULL);
	close_fid(e->av ? &e->av->fid : NULL);
	close_fid(e->domain ? &e->domain->fid : NULL);
	close_fid(e->fabric ? &e->fabric->fid : NULL);
	if (e->info)
		fabric_lib()->freeinfo(e->info);
	memset(e, 0, sizeof(*e));
}

const char *fabric_ep_provider(const struct fabric_ep *e)
{
	return e->info->fabric_attr->prov_name;
}

bool fabric_ep_copies(const struct fabric_ep *e)
{
	static const char *const layers[] = { "net", "tcp", "udp", "sockets" };
	const char *name = fabric_ep_provider(e);
	size_t len = strcspn(name, ";"); /* length of the name without layers, as in tcp;ofi_rxm */

	for (size_t i = 0; i < sizeof(layers) / sizeof(layers[0]); i++) {
		if (strlen(layers[i]) == len && strncmp(name, layers[i], len) == 0)
			return true;
	}
	return false;
}

int fabric_ep_register(struct fabric_ep *e, void *base, size_t len, uint64_t access, uint64_t key,
		       struct fid_mr **mr)
{
	int rc = fi_mr_reg(e->domain, base, len, access, 0, key, 0, mr, NULL);

	if (rc == 0 && (e->info->domain_attr->mr_mode & FI_MR_ENDPOINT)) {
		rc = fi_mr_bind(*mr, &e->ep->fid, 0);
		if (rc == 0)
			rc = fi_mr_enable(*mr);
	}
	return rc < 0 ? failed("register memory", rc) : 0;
}

uint64_t fabric_ep_key_mask(const struct fabric_ep *e)
{
	size_t bits = e->info->domain_attr->mr_key_size * 8;

	return bits >= 64 ? UINT64_MAX : bits ? (1ULL << bits) - 1 : UINT32_MAX;
}

int fabric_ep_add_addr(struct fabric_ep *e, const uint8_t *addr, size_t len, fi_addr_t *out)
{
	/* our own address shows the format: its size, and the family in its first bytes */
	if (len != e->addr_len || memcmp(addr, e->addr, sizeof(((struct sockaddr *)0)->sa_family)) != 0)
		return -EINVAL;
	return fi_av_insert(e->av, addr, 1, out, 0, NULL) == 1 ? 0 : -EINVAL;
}

/* ---- waiting ---------------------------------------------------------------------------------- */

static ssize_t read_cq(struct fabric_ep *ep, struct fi_cq_msg_entry *e, fi_addr_t *from, size_t nr)
{
	return from ? fi_cq_readfrom(ep->cq, e, nr, from) : fi_cq_read(ep->cq, e, nr);
}

ssize_t fabric_ep_wait(struct fabric_ep *ep, struct fi_cq_msg_entry *e, fi_addr_t *from, size_t nr, int ms)
{
	uint64_t start = 0, now = 0;
	ssize_t n;

	do {
		n = read_cq(ep, e, from, nr);
		if (n != -FI_EAGAIN || atomic_exchange(&ep->woken, false))
			return n;
		now = pmio_now_ns();
		start = start ? start : now;
		if (ep->spin.ns)
			sched_yield();
	} while (now - start < ep->spin.ns);
	n = from ? fi_cq_sreadfrom(ep->cq, e, nr, from, NULL, ms) : fi_cq_sread(ep->cq, e, nr, NULL, ms);
	pmio_spin_learn(&ep->spin, pmio_now_ns() - start);
	return n;
}

void fabric_ep_wake(struct fabric_ep *ep)
{
	atomic_store(&ep->woken, true);
	fi_cq_signal(ep->cq);
}
