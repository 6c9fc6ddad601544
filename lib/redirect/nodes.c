/* nodes.c -- libpmio-redirect-nodes.so: files of redirected programs on other nodes */
#include "redirect/nodes_ops.h"
#include "remote/remote.h"

extern const struct redirect_nodes pmio_redirect_nodes __attribute__((visibility("default")));
const struct redirect_nodes pmio_redirect_nodes = {
	.version = REDIRECT_NODES_VERSION,
	.open = remote_open_elsewhere,
	.share = remote_share,
	.drain_all = remote_drain_all,
	.whole_here = remote_whole_here,
	.remove = remote_use_forget,
	.forget = remote_forget,
	.end = remote_disconnect_all,
};
