/*
 * error.h -- result codes of pmio
 *
 * Functions return 0 or a count on success, and a negative number on failure:
 * -errno, or one of the codes of pmio.h that no errno says (from -4096 down,
 * where no errno lies).  pmio_strerror() puts both into words.
 */
#ifndef PMIO_CORE_ERROR_H
#define PMIO_CORE_ERROR_H

#include "pmio.h"

#endif
