/*
 * pool_nodes.c -- which files are for other nodes, and the library for these
 *
 * A process that has nothing to do with other nodes pays for that by a look for a layout file at each open.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "pfs/pfs.h"
#include "redirect/nodes_ops.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const struct redirect_nodes *nodes; /* changed under lock */

/* ---- the library -------------------------------------------------------------------------- */

static const struct redirect_nodes *load(void)
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
	return n;
}

const struct redirect_nodes *pool_nodes(void)
{
	const struct redirect_nodes *n = pool_nodes_loaded();

	if (n)
		return n;
	pthread_mutex_lock(&lock);
	if (!nodes)
		__atomic_store_n(&nodes, load(), __ATOMIC_RELEASE);
	n = nodes;
	pthread_mutex_unlock(&lock);
	return n;
}

const struct redirect_nodes *pool_nodes_loaded(void)
{
	return __atomic_load_n(&nodes, __ATOMIC_ACQUIRE);
}

void pool_nodes_forget(void)
{
	lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	if (nodes)
		nodes->forget();
}

/* ---- files ------------------------------------------------------------------------------------ */

bool pool_nodes_has(int fd, char *name, bool ours)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && pmio_pfs_name(fd, name) == 0 && pmio_pfs_has_layout(name, st.st_ino, ours);
}

int pool_nodes_open(struct pmio *pm, int fd, const char *name, const struct client_open *how, struct pmio_file **out)
{
	const struct redirect_nodes *n;
	struct stat st;
	int rc;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!client_wants_memory_nodes(&pm->settings) && !pmio_pfs_has_layout(name, st.st_ino, false))
		return 1;
	n = pool_nodes();
	if (!n)
		return -EIO;
	/* from now on others may rely on it: so it has to be there after a power cut */
	rc = how->is_new ? pmio_pfs_keep(fd, name) : 0;
	return rc < 0 ? rc : n->open(pm, &pm->settings, name, how, out);
}

/* where no layout file can be made MPI programs have no other choice either, but say so each time */
static bool can_be_marked(const char *name)
{
	char folder[PATH_MAX];

	snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(name, '/') - name) + 1, name);
	return faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) == 0;
}

int pool_nodes_share(struct pmio *pm, int fd, const char *name, const struct client_open *how, struct pmio_file **file)
{
	const struct redirect_nodes *n;
	bool spill = client_spills(&pm->settings), found;
	struct stat st;

	if ((!spill && !client_wants_mark(&pm->settings)) || fstat(fd, &st) < 0 || st.st_nlink == 0 || !can_be_marked(name))
		return 0;
	n = pool_nodes();
	return n ? n->share(pm, &pm->settings, name, how, spill, file, &found) : -EIO;
}
