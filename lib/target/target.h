/*
 * target.h -- run the target of a pool: the process through which other nodes' processes
 * use it
 */
#ifndef PMIO_TARGET_H
#define PMIO_TARGET_H

#include <stdbool.h>

#include "core/settings.h"

struct remote_target_config {
	const struct pmio_settings *settings;
	const char *pool_dir;	/* absolute */
	const char *listen;	/* NULL: setting `address`; otherwise as for remote_split_listen() */
	const char *endpoint_file; /* NULL: only in the pool's directory */
	const char *log_file;	/* NULL: target.log in the pool's directory, unless foreground */
	bool stay;		/* run also without sessions; otherwise it exits after the setting `idle_timeout` */
	bool foreground;
	int ready_fd;		/* -1, or as in daemon.h */
};

/* run the target until it is idle or told to end; returns twice, like pmio_daemon_run() */
int remote_target_run(const struct remote_target_config *config);

#endif
