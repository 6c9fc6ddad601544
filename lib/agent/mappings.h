/*
 * mappings.h -- frames that programs have mapped
 */
#ifndef PMIO_AGENT_MAPPINGS_H
#define PMIO_AGENT_MAPPINGS_H

#include <stdint.h>

#include "agent/file.h"

void maps_opened(struct handle *h, uint32_t lock); /* a new handle: re-register mappings that it made under an earlier agent */
void maps_leave(struct agent *a, struct handle *h); /* its last mapping has ended, or the handle is closed */
void maps_change(struct agent *a, struct handle *h, const struct pmio_map_msg *m);
void maps_load(struct agent *a, struct file *f); /* at the start: may there still be mappings from the time of an earlier agent? */
int maps_wait_ms(const struct agent *a);	  /* until the next check; -1: nothing to do */
void maps_look(struct agent *a);		  /* check for mappings that have ended, if it is time */

#endif
