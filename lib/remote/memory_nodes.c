/*
 * memory_nodes.c -- files that are only on memory nodes: setting placement=remote, or drain=aggregate
 *
 * The first memory node of a file, its metadata server, follows from the file's name, so that these
 * are spread over the nodes; the others follow in the order of the setting `targets`.  So programs
 * with the same settings find the data that an earlier program has left there, or that were staged
 * in.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/backoff.h"
#include "core/fnv.h"
#include "core/path.h"
#include "remote/remote_impl.h"

#define BEGIN_TRIES 100

static bool is_drained_later(const struct pmio_settings *s)
{
	return s->num[PMIO_SET_DRAIN] == PMIO_DRAIN_ASYNC || s->num[PMIO_SET_DRAIN] == PMIO_DRAIN_AGGREGATE;
}

/* the same for all of its names except hard links; the file may not exist yet */
static int hash_name(const char *path, uint32_t *hash)
{
	char absolute[PATH_MAX], *real, *base;
	int rc = pmio_absolute(path, absolute, sizeof(absolute));

	if (rc < 0)
		return rc;
	real = realpath(absolute, NULL);
	if (real) {
		*hash = pmio_fnv(PMIO_FNV_INIT, real);
	} else {
		base = strrchr(absolute, '/');
		*base = '\0';
		real = realpath(*absolute ? absolute : "/", NULL);
		*hash = pmio_fnv(PMIO_FNV_INIT, real ? real : absolute);
		if (!real || strcmp(real, "/") != 0)
			*hash = pmio_fnv(*hash, "/");
		*hash = pmio_fnv(*hash, base + 1);
	}
	free(real);
	return 0;
}

/* the list of targets for a file */
static int list_nodes(const struct pmio_settings *s, const char *path, struct remote_layout *layout)
{
	bool aggregate = s->num[PMIO_SET_DRAIN] == PMIO_DRAIN_AGGREGATE;
	struct remote_endpoint *endpoints;
	uint32_t nr, first;
	int rc = remote_targets_load(s->str[PMIO_SET_TARGETS], &endpoints, &nr);

	if (rc == -EINVAL)
		pmio_err("open %s: %s, and the setting targets names no memory node", path,
			 aggregate ? "drain=aggregate" : "placement=remote");
	if (rc == 0)
		rc = hash_name(path, &first);
	if (rc < 0) {
		free(endpoints);
		return rc;
	}
	layout->endpoints = calloc(nr, sizeof(*endpoints));
	if (layout->endpoints) {
		first %= nr; /* the sum below must not overflow */
		for (layout->nr = 0; layout->nr < nr; layout->nr++)
			layout->endpoints[layout->nr] = endpoints[(first + layout->nr) % nr];
		layout->placement = placement_choose_on_memory(s, layout);
		if (layout->placement == PMIO_PLACE_SINGLE)
			layout->nr = 1;
		layout->nr_memory = layout->nr;
	}
	free(endpoints);
	return layout->endpoints ? 0 : -ENOMEM;
}

int remote_layout_begin_or_join(const struct pmio_settings *settings, const char *path, struct remote_layout *layout, bool *found)
{
	struct remote_layout other;
	int rc = -EEXIST;

	*found = false;
	for (int tries = 0; tries < BEGIN_TRIES && rc == -EEXIST; tries++) {
		rc = remote_layout_begin(settings, path, layout);
		if (rc != -EEXIST)
			return rc;
		rc = remote_layout_find(settings, path, &other);
		if (rc == 0) {
			remote_layout_fini(layout);
			*layout = other;
			*found = true;
		}
		if (rc == -ENOENT) /* the layout session has just ended */
			rc = -EEXIST;
	}
	return rc == -EEXIST ? -EBUSY : rc;
}

/* the file is created at its metadata server, and then opened with the list of targets */
int remote_memory_begin(const struct pmio_settings *settings, const char *path, const struct client_open *how,
			struct remote_layout *layout)
{
	struct pmio_file *made = NULL;
	bool found = false;
	int rc = list_nodes(settings, path, layout);

	/* marked at once, so that the mark exists after a crash */
	for (uint32_t i = 0; i < layout->nr && rc == 0; i++)
		layout->endpoints[i].dirty = is_drained_later(settings);
	if (rc == 0)
		rc = remote_open(settings, &layout->endpoints[0], path, how, &made);
	/* it is open as a file of one node: it must be closed before it is opened as a file of several */
	if (rc == 0)
		rc = pmio_close(&made);
	if (rc == 0)
		rc = remote_layout_begin_or_join(settings, path, layout, &found);
	return rc;
}

/* ---- staging in ------------------------------------------------------------------------ */

#define BUSY_WAIT_MS 20000

static int open_for_stage(struct pmio *pm, const struct pmio_settings *s, const char *path, struct pmio_file **out)
{
	const struct client_open how = { .flags = PMIO_OPEN_READ | client_settings_flags(s), .quiet = true };
	struct remote_layout layout = { .nr = 0 };
	int rc = remote_layout_find(s, path, &layout);

	if (rc == -ENOENT)
		rc = remote_memory_begin(s, path, &how, &layout);
	if (rc == 0)
		rc = remote_striped_open(pm, s, path, &how, &layout, true, out);
	if (rc < 0 && layout.joined)
		remote_layout_leave(s, &layout, layout.began ? REMOTE_KEEP_NOT : REMOTE_KEEP_IF_DIRTY);
	remote_layout_fini(&layout);
	return rc;
}

int remote_stage_in(struct pmio *pm, const struct pmio_settings *settings, const char *path,
		    _Atomic uint64_t *told, struct pmio_file **out)
{
	struct pmio_backoff b = PMIO_BACKOFF(10, BUSY_WAIT_MS, BUSY_WAIT_MS);
	int rc;

	while ((rc = open_for_stage(pm, settings, path, out)) == -EBUSY && pmio_backoff_sleep(&b))
		;
	if (rc == 0)
		rc = remote_striped_stage(*out, told);
	if (rc < 0)
		pmio_err("stage in %s: %s", path,
			 rc == -ENOSPC	? "the memory nodes have no room"
			 : rc == -EBUSY ? "it is in use by programs, whose nodes hold its data"
					: pmio_strerror(rc));
	if (rc < 0)
		pmio_close(out);
	return rc;
}
