/*
 * error.h -- result codes of pmio
 *
 * Functions return 0 or a count on success, and a negative number on failure:
 * -errno, or one of the codes of pmio.h that have no errno (-4096 and below, where
 * there are no errnos). pmio_strerror() returns the text of both.
 */
#ifndef PMIO_CORE_ERROR_H
#define PMIO_CORE_ERROR_H

#include "pmio.h"

#endif
