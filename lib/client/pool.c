/*
 * pool.c -- a pool as programs see it: connecting to its agent, and disconnecting
 */
#include <string.h>
#include <utlist.h>

#include "client/admin.h"
#include "client/client.h"
#include "core/error.h"

static int connect_with_settings(const char *pool, bool attach_only, bool admin, struct pmio **out)
{
	struct pmio_settings s;
	int rc = pmio_settings_init(&s);

	*out = NULL;
	if (rc == 0) {
		pmio_log_set_level((enum pmio_log_level)s.num[PMIO_SET_LOG]);
		rc = client_connect(&s, pool, attach_only, admin, out);
	}
	pmio_settings_fini(&s);
	return rc;
}

int pmio_connect(const char *pool, struct pmio **out)
{
	return connect_with_settings(pool, false, false, out);
}

int pmio_attach(const char *pool, struct pmio **out)
{
	return connect_with_settings(pool, true, true, out);
}

void pmio_disconnect(struct pmio **ppm)
{
	struct pmio *pm = *ppm;

	if (pm && client_is_forked(pm)) {
		client_drop(ppm);
		return;
	}
	*ppm = NULL;
	if (!pm)
		return;
	while (pm->files) {
		struct pmio_file *f = pm->files;

		pmio_close(&f);
	}
	client_remove(pm);
	client_free(pm);
}

void client_drop(struct pmio **ppm)
{
	struct pmio *pm = *ppm;
	struct pmio_file *f, *next;

	*ppm = NULL;
	if (!pm)
		return;
	DL_FOREACH_SAFE(pm->files, f, next) {
		client_remove_file(f);
		client_free_file(f);
	}
	client_remove(pm);
	client_free(pm);
}

const char *pmio_pool_path(const struct pmio *pm)
{
	return pm->dir;
}

void pmio_pool_uuid(const struct pmio *pm, uint8_t uuid[16])
{
	memcpy(uuid, pm->uuid, 16);
}
