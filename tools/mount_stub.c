/* mount_stub.c -- built without libfuse3 */
#include "config.h"

#include "core/log.h"
#include "mount.h"

bool mount_is_built(void)
{
	pmio_err("mount: this pmio was built without libfuse3");
	return false;
}

bool mount_options_valid(const struct mount_request *r)
{
	(void)r;
	return false;
}

int mount_serve(const struct tool *tool, const struct mount_request *r, struct pmio_daemon *d)
{
	(void)tool, (void)r, (void)d;
	return TOOL_FAILED;
}
