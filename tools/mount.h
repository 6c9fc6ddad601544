/*
 * mount.h -- interface between the command `pmio mount` and the file system that it serves
 */
#ifndef PMIO_TOOLS_MOUNT_H
#define PMIO_TOOLS_MOUNT_H

#include "daemon/daemon.h"
#include "tools.h"

struct mount_request {
	char mountpoint[PATH_MAX]; /* this and the next two: absolute, without symbolic links */
	char source[PATH_MAX];
	char pool[PATH_MAX];
	const char *options; /* of -o; NULL: none */
	bool foreground;
	bool shared_mappings; /* that can be written to */
};

/* was it built with libfuse3?  If not, that was logged */
bool mount_is_built(void);

/* does libfuse3 know the options?  If not, that was logged */
bool mount_options_valid(const struct mount_request *r);

/* serve until it is unmounted or ended; tells d when it is mounted.  Returns an exit status */
int mount_serve(const struct tool *tool, const struct mount_request *r, struct pmio_daemon *d);

#define MOUNT_LOG "mount.log" /* in the pool's directory; `pmio pool destroy` removes it */
/*
 * attribute of the mount point: reading it ends the mount; its value is "OPEN FAILED": numbers of files that were open,
 * and that have pending data
 */
#define MOUNT_END_NAME "user.pmio.unmount"

#endif
