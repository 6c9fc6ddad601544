/*
 * mappings.h -- frames that programs have mapped
 */
#ifndef PMIO_AGENT_MAPPINGS_H
#define PMIO_AGENT_MAPPINGS_H

#include <stdint.h>

#include "agent/file.h"

void maps_opened(struct handle *h, uint32_t lock); /* a new handle: with another agent it had mappings */
void maps_leave(struct agent *a, struct handle *h); /* it has none any more; or the handle goes */
void maps_change(struct agent *a, struct handle *h, const struct pmio_map_msg *m);
void maps_load(struct agent *a, struct file *f); /* of an earlier agent: may there still be mappings? */
int maps_wait_ms(const struct agent *a);	  /* until the next look; -1: nothing to do */
void maps_look(struct agent *a);		  /* if it is time */

#endif
