/*
 * watch.h -- a target's files that are drained after their last close, until they have no dirty mark any more
 *
 * Each is drained, its pool's mark in the layout file is removed and, at the file's metadata server, the layout
 * file.  Failed steps are repeated as long as the target runs.
 *
 * Threads: any.
 */
#ifndef PMIO_TARGET_WATCH_H
#define PMIO_TARGET_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "core/settings.h"
#include "daemon/workers.h"

struct watches;

/*
 * watches_new -- is_active: has a process joined that layout session?  Called in a worker
 *
 * workers, settings, uuid, arg  belong to the caller, and stay as long as the process lives.
 *                      NULL: out of memory
 */
struct watches *watches_new(struct workers *workers, const struct pmio_settings *settings, const uint8_t *uuid,
			    bool (*is_active)(void *arg, const uint8_t *id), void *arg);
/* also for a file that is in the list and was closed again; 0 or -ENOMEM */
int watches_add(struct watches *all, const char *path);
unsigned watches_count(struct watches *all);

#endif
