/*
 * independent_open.c -- files of several nodes in a process that opens them by itself, as rank 0 of an MPI program does for all
 *
 * The file is opened where other nodes have it; else on memory nodes, if the settings require that; else in the pool of
 * this node, with a layout file by which processes of other nodes find it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/other_nodes.h"
#include "remote/remote_impl.h"
#include "remote/striped_impl.h"

/* the open has failed: a layout session that began with it has left no dirty data, whatever its marks show */
static void leave_failed(const struct pmio_settings *settings, const struct remote_layout *layout)
{
	remote_layout_leave(settings, layout, layout->began ? REMOTE_KEEP_NOT : REMOTE_KEEP_IF_DIRTY);
}

/* ---- finding it --------------------------------------------------------------------------- */

static int begin_on_memory(const struct pmio_settings *settings, const char *path, const struct client_open *how, struct remote_layout *layout)
{
	int rc = remote_memory_begin(settings, path, how, layout);

	if (rc < 0 && rc != -EBUSY && layout->endpoints)
		pmio_err("open %s: %s", path, pmio_strerror(rc));
	return rc == -EBUSY ? -EAGAIN : rc;
}

int remote_open_elsewhere(struct pmio *pm, const struct pmio_settings *settings, const char *path, const struct client_open *how,
			  struct pmio_file **out)
{
	struct remote_layout layout;
	int rc = remote_layout_find(settings, path, &layout);

	*out = NULL;
	if (rc == -ENOENT && !client_wants_memory_nodes(settings))
		return 1;
	if (rc == -ENOENT)
		rc = begin_on_memory(settings, path, how, &layout);
	if (rc == 0)
		rc = remote_striped_open(pm, settings, path, how, &layout, true, out);
	if (rc < 0 && layout.joined)
		leave_failed(settings, &layout);
	remote_layout_fini(&layout);
	return rc;
}

/* ---- announcing it to other nodes ---------------------------------------------------------- */

/*
 * for these errors the open continues without a layout file: a user who cannot make one cannot keep others from the
 * file either
 */
static bool cannot_be_marked(int rc)
{
	return rc == -EACCES || rc == -EROFS || rc == -EDQUOT || rc == -ENOSPC || rc == -ENAMETOOLONG;
}

/* let the targets answer claims, before any process asks for pieces */
static int serve(const struct pmio_settings *settings, const struct remote_layout *layout)
{
	return remote_placement_has_claims(layout) ? remote_layout_serve_all(settings, layout, 0, 1) : 0;
}

int remote_share(struct pmio *pm, const struct pmio_settings *settings, const char *path, const struct client_open *how, bool spill,
		 struct pmio_file **file, bool *found)
{
	struct remote_layout layout = { .nr = 1, .placement = PMIO_PLACE_SINGLE };
	struct pmio_file *shared = NULL;
	int rc;

	*found = false;
	layout.endpoints = calloc(1, sizeof(*layout.endpoints));
	rc = layout.endpoints ? remote_advertise(pm, layout.endpoints) : -ENOMEM;
	if (rc == 0 && spill)
		rc = remote_layout_complete(settings, &layout);
	if (rc == 0)
		rc = remote_layout_begin_or_join(settings, path, &layout, found);
	if (rc == 0) {
		/* the open here must not conflict with that layout session */
		if (*found || layout.nr > 1)
			rc = pmio_close(file);
		if (rc == 0 && !*found)
			rc = serve(settings, &layout);
		if (rc == 0)
			rc = remote_striped_open(pm, settings, path, how, &layout, true, &shared);
		if (rc < 0)
			leave_failed(settings, &layout);
	}
	if (rc == 0) {
		pmio_close(file);
		*file = shared;
	} else if (!*found && *file && cannot_be_marked(rc)) {
		rc = 0;
	}
	remote_layout_fini(&layout);
	return rc;
}

/* ---- draining --------------------------------------------------------------------------------- */

int remote_drain_all(struct pmio_file *f)
{
	const struct remote_layout *layout = remote_layout_of(f);
	int rc = 0;

	if (!layout)
		return pmio_drain(f);
	/* the metadata server last: it gives the file its final length */
	for (uint32_t i = layout->nr; i-- > 0;) {
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
	const struct remote_layout *layout = remote_layout_of(f);
	struct pmio_file *only = NULL;

	if (layout && layout->nr == 1 && remote_striped_own(f) == 0 && striped_get_target((struct striped_file *)f, 0, &only) < 0)
		return NULL;
	return only;
}

const struct elsewhere_nodes remote_nodes = {
	.open = remote_open_elsewhere,
	.share = remote_share,
	.drain_all = remote_drain_all,
	.whole_here = remote_whole_here,
	.remove = remote_layout_forget,
	.forget = remote_forget,
	.end = remote_disconnect_all,
};
