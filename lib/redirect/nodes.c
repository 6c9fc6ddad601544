/* nodes.c -- libpmio-redirect-nodes.so: files of redirected programs on other nodes */
#include "redirect/nodes_ops.h"
#include "remote/remote.h"

extern const struct redirect_nodes pmio_redirect_nodes __attribute__((visibility("default")));
const struct redirect_nodes pmio_redirect_nodes = {
	.version = REDIRECT_NODES_VERSION,
	.nodes = &remote_nodes,
};
