/*
 * pool_nodes.c -- loading the library for files of other nodes, when the first one is found
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "redirect/nodes_ops.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const struct elsewhere_nodes *nodes; /* changed under lock */

/* ---- the library -------------------------------------------------------------------------- */

static const struct elsewhere_nodes *load(void)
{
	const struct redirect_nodes *n;
	char path[PATH_MAX];
	Dl_info info;
	void *lib;
	int len;

	if (!dladdr(&lock, &info) || !strrchr(info.dli_fname, '/'))
		return NULL;
	len = (int)(strrchr(info.dli_fname, '/') - info.dli_fname);
	if (snprintf(path, sizeof(path), "%.*s/%s", len, info.dli_fname, REDIRECT_NODES_LIBRARY) >= (int)sizeof(path))
		return NULL;
	lib = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	n = lib ? dlsym(lib, REDIRECT_NODES_SYMBOL) : NULL;
	if (!n || n->version != REDIRECT_NODES_VERSION) {
		pmio_err("%s: %s", path, n ? "it is of another version of pmio" : dlerror());
		return NULL;
	}
	return n->nodes;
}

const struct elsewhere_nodes *pool_nodes(void)
{
	const struct elsewhere_nodes *n = pool_nodes_loaded();

	if (n)
		return n;
	pthread_mutex_lock(&lock);
	if (!nodes)
		__atomic_store_n(&nodes, load(), __ATOMIC_RELEASE);
	n = nodes;
	pthread_mutex_unlock(&lock);
	return n;
}

const struct elsewhere_nodes *pool_nodes_loaded(void)
{
	return __atomic_load_n(&nodes, __ATOMIC_ACQUIRE);
}

void pool_nodes_forget(void)
{
	lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	if (nodes)
		nodes->forget();
}
