#!/bin/bash
# libfabric 1.17.0 (Debian 12, libfabric1 1.17.0-3), provider `net`: an endpoint that is closed leaves some of the heap behind
#
# expected  what fi_endpoint() and fi_enable() took is given back by fi_close(), as the provider `sockets` does it
# seen      some 770 bytes of the heap stay for each endpoint of `net` that is opened, enabled and closed with its domain and
#           fabric, without a message or a peer; none with `sockets`
#
# Ends with 0 while that is so, with 1 when it changes, with 77 if the packages cannot be had.
set -u
version=1.17.0-3
T=$(mktemp -d) || exit 77
trap 'rm -rf "$T"' EXIT
cd "$T" || exit 77
[ "$(dpkg-query -W -f '${Version}' libfabric1 2>/dev/null)" = $version ] && [ "$(dpkg-query -W -f '${Version}' libfabric-dev 2>/dev/null)" = $version ] ||
	apt-get -q install -y --no-install-recommends libfabric1=$version libfabric-dev=$version >/dev/null 2>&1 ||
	{ echo "libfabric $version cannot be had here"; exit 77; }
cat >leak.c <<'END'
#include <malloc.h>
#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 200

static void must(int rc)
{
	if (rc)
		exit(2);
}

static void come_and_go(struct fi_info *info)
{
	struct fi_av_attr names = { .type = FI_AV_TABLE };
	struct fi_cq_attr queue = { .format = FI_CQ_FORMAT_MSG, .size = 64 };
	struct fid_fabric *fabric;
	struct fid_domain *domain;
	struct fid_av *av;
	struct fid_cq *cq;
	struct fid_ep *ep;

	must(fi_fabric(info->fabric_attr, &fabric, NULL));
	must(fi_domain(fabric, info, &domain, NULL));
	must(fi_av_open(domain, &names, &av, NULL));
	must(fi_cq_open(domain, &queue, &cq, NULL));
	must(fi_endpoint(domain, info, &ep, NULL));
	must(fi_ep_bind(ep, &av->fid, 0));
	must(fi_ep_bind(ep, &cq->fid, FI_TRANSMIT | FI_RECV));
	must(fi_enable(ep));
	must(fi_close(&ep->fid));
	must(fi_close(&cq->fid));
	must(fi_close(&av->fid));
	must(fi_close(&domain->fid));
	must(fi_close(&fabric->fid));
}

int main(int argc, char **argv)
{
	struct fi_info *hints = fi_allocinfo(), *info;
	size_t before;

	(void)argc;
	hints->caps = FI_MSG;
	hints->ep_attr->type = FI_EP_RDM;
	hints->fabric_attr->prov_name = strdup(argv[1]);
	hints->domain_attr->mr_mode = FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY;
	must(fi_getinfo(FI_VERSION(1, 9), "127.0.0.1", NULL, FI_SOURCE, hints, &info));
	for (int i = 0; i < 20; i++)
		come_and_go(info);
	before = mallinfo2().uordblks;
	for (int i = 0; i < ROUNDS; i++)
		come_and_go(info);
	printf("%ld\n", ((long)mallinfo2().uordblks - (long)before) / ROUNDS);
	return 0;
}
END
gcc leak.c -o leak -lfabric || exit 77
net=$(MALLOC_ARENA_MAX=1 timeout 60 ./leak net) && sockets=$(MALLOC_ARENA_MAX=1 timeout 60 ./leak sockets) || { echo "an endpoint cannot be opened here"; exit 77; }
echo "libfabric $version: bytes that stay for each endpoint: net $net, sockets $sockets"
[ "$net" -ge 400 ] && [ "$net" -le 1500 ] && [ "$sockets" -lt 50 ] || { echo "that was some 770, and none; it has changed"; exit 1; }
