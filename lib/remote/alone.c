/*
 * alone.c -- files of several nodes in a process that opens them by itself, as rank 0 of an MPI program does for all
 *
 * Where others have the file; on memory nodes, if the settings say so; or in the pool of this node, and found there by
 * processes of others.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/elsewhere.h"
#include "remote/remote_impl.h"
#include "remote/striped_impl.h"

/* the open has failed after all: a use that began with it has left no dirty data, whatever its marks say */
static void leave_failed(const struct pmio_settings *settings, const struct remote_use *use)
{
	remote_use_leave(settings, use, use->began ? REMOTE_KEEP_NOT : REMOTE_KEEP_IF_DIRTY);
}

/* ---- where it is ------------------------------------------------------------------------ */

static int begin_on_memory(const struct pmio_settings *settings, const char *path, const struct client_open *how, struct remote_use *use)
{
	int rc = remote_memory_begin(settings, path, how, use);

	if (rc < 0 && rc != -EBUSY && use->endpoints)
		pmio_err("open %s: %s", path, pmio_strerror(rc));
	return rc == -EBUSY ? -EAGAIN : rc;
}

int remote_open_elsewhere(struct pmio *pm, const struct pmio_settings *settings, const char *path, const struct client_open *how,
			  struct pmio_file **out)
{
	struct remote_use use;
	int rc = remote_use_find(settings, path, &use);

	*out = NULL;
	if (rc == -ENOENT && !client_wants_memory_nodes(settings))
		return 1;
	if (rc == -ENOENT)
		rc = begin_on_memory(settings, path, how, &use);
	if (rc == 0)
		rc = remote_striped_open(pm, settings, path, how, &use, true, out);
	if (rc < 0 && use.joined)
		leave_failed(settings, &use);
	remote_use_fini(&use);
	return rc;
}

/* ---- to be found by others ----------------------------------------------------------------- */

/* a user who cannot make a layout file there cannot keep others from the file either */
static bool cannot_be_marked(int rc)
{
	return rc == -EACCES || rc == -EROFS || rc == -EDQUOT || rc == -ENOSPC || rc == -ENAMETOOLONG;
}

/* before any process asks for their pieces */
static int serve(const struct pmio_settings *settings, const struct remote_use *use)
{
	int rc = 0;

	for (uint32_t i = 0; i < use->nr && use->placement == PMIO_PLACE_LOCAL && rc == 0; i++)
		rc = remote_use_serve(settings, &use->endpoints[i], use);
	return rc;
}

int remote_share(struct pmio *pm, const struct pmio_settings *settings, const char *path, const struct client_open *how, bool spill,
		 struct pmio_file **file, bool *found)
{
	struct remote_use use = { .nr = 1, .placement = PMIO_PLACE_SINGLE };
	struct pmio_file *shared = NULL;
	int rc;

	*found = false;
	use.endpoints = calloc(1, sizeof(*use.endpoints));
	rc = use.endpoints ? remote_advertise(pm, use.endpoints) : -ENOMEM;
	if (rc == 0 && spill)
		rc = remote_use_complete(settings, &use);
	if (rc == 0)
		rc = remote_use_begin_or_join(settings, path, &use, found);
	if (rc == 0) {
		/* what is open here must not conflict with that use */
		if (*found || use.nr > 1)
			rc = pmio_close(file);
		if (rc == 0 && !*found)
			rc = serve(settings, &use);
		if (rc == 0)
			rc = remote_striped_open(pm, settings, path, how, &use, true, &shared);
		if (rc < 0)
			leave_failed(settings, &use);
	}
	if (rc == 0) {
		pmio_close(file);
		*file = shared;
	} else if (!*found && *file && cannot_be_marked(rc)) {
		rc = 0;
	}
	remote_use_fini(&use);
	return rc;
}

/* ---- all of it -------------------------------------------------------------------------------- */

int remote_drain_all(struct pmio_file *f)
{
	const struct remote_use *use = remote_use_of(f);
	int rc = 0;

	if (!use)
		return pmio_drain(f);
	/* the metadata server last: it gives the file its final length */
	for (uint32_t i = use->nr; i-- > 0;) {
		struct pmio_file *target;
		int rc_one = striped_get_target((struct striped_file *)f, i, &target);

		if (rc_one == 0)
			rc_one = pmio_drain(target);
		rc = rc < 0 ? rc : rc_one;
	}
	return rc;
}

struct pmio_file *remote_whole_here(struct pmio_file *f)
{
	const struct remote_use *use = remote_use_of(f);
	struct pmio_file *only = NULL;

	if (use && use->nr == 1 && remote_striped_own(f) == 0 && striped_get_target((struct striped_file *)f, 0, &only) < 0)
		return NULL;
	return only;
}

const struct elsewhere_nodes remote_nodes = {
	.open = remote_open_elsewhere,
	.share = remote_share,
	.drain_all = remote_drain_all,
	.whole_here = remote_whole_here,
	.remove = remote_use_forget,
	.forget = remote_forget,
	.end = remote_disconnect_all,
};
