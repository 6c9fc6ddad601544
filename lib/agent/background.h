/*
 * background.h -- which chunks of open files are drained in the background
 */
#ifndef PMIO_AGENT_BACKGROUND_H
#define PMIO_AGENT_BACKGROUND_H

#include <stdbool.h>

#include "agent/file.h"

int background_wait_ms(const struct agent *a); /* until the next scan; -1: no file needs it */
void background_look(struct agent *a);	   /* scan, if it is time */

#endif
