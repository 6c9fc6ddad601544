/*
 * mount.h -- what `pmio mount` hands to the file system that it serves
 */
#ifndef PMIO_TOOLS_MOUNT_H
#define PMIO_TOOLS_MOUNT_H

#include "daemon/daemon.h"
#include "tools.h"

struct mount_request {
	char mountpoint[PATH_MAX]; /* this, and those below: absolute, without symbolic links */
	char source[PATH_MAX];
	char pool[PATH_MAX];
	const char *options; /* of -o; NULL: none */
	bool foreground;
};

/* was it built with libfuse3?  If not, it has been said */
bool mount_is_built(void);

/* does libfuse3 know the options?  If not, it has been said */
bool mount_options_valid(const struct mount_request *r);

/* serve until it is unmounted, or told to end; d is told when it is up.  Returns an exit status */
int mount_serve(const struct tool *tool, const struct mount_request *r, struct pmio_daemon *d);

#define MOUNT_LOG "mount.log" /* in the pool's directory; `pmio pool destroy` removes it */
/* attribute of the mount point: reading it ends the mount; "OPEN FAILED", files that were open and of which data wait */
#define MOUNT_END_NAME "user.pmio.unmount"

#endif
