/*
 * name_survey.h -- names of files that may have been lost or moved
 */
#ifndef PMIO_AGENT_NAME_SURVEY_H
#define PMIO_AGENT_NAME_SURVEY_H

#include "agent/state.h"

int survey_wait_ms(const struct agent *a); /* until the next survey; -1: nothing to do */
void survey_look(struct agent *a);	    /* start one, if it is time */

/* run one soon: a request waits for its result */
static inline void survey_soon(struct agent *a)
{
	a->survey_hurries = true;
}

#endif
