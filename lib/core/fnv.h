/*
 * fnv.h -- a hash of text that is the same on all machines: FNV-1a with 32 bits
 * (http://www.isthe.com/chongo/tech/comp/fnv/)
 */
#ifndef PMIO_CORE_FNV_H
#define PMIO_CORE_FNV_H

#include <stdint.h>

#define PMIO_FNV_INIT 2166136261u /* initial value */

/* extend the hash h by text */
static inline uint32_t pmio_fnv(uint32_t h, const char *text)
{
	while (*text)
		h = (h ^ (uint8_t)*text++) * 16777619u;
	return h;
}

#endif
