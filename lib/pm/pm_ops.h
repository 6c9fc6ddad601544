/*
 * pm_ops.h -- what an implementation of persistent memory provides
 *
 * For the files of lib/pm only.  pm.c turns the calls of pm.h into these; the atomic
 * 8-byte operations and reading from files are the same for all and are in pm.c.
 */
#ifndef PMIO_PM_PM_OPS_H
#define PMIO_PM_PM_OPS_H

#include "pm/pm.h"

struct pmio_pm_ops {
	void (*unmap)(struct pmio_pm *pm); /* frees pm too */
	void (*copy)(struct pmio_pm *pm, void *dst, const void *src, size_t len);
	void (*zero)(struct pmio_pm *pm, void *dst, size_t len);
	void (*flush)(struct pmio_pm *pm, const void *addr, size_t len);
	void (*fence)(struct pmio_pm *pm);
	int (*sync)(struct pmio_pm *pm, const void *addr, size_t len);
	void (*read)(struct pmio_pm *pm, void *dst, const void *src, size_t len);
	void (*populate)(struct pmio_pm *pm, void *addr, size_t len);
	/* called for every store that pm.c itself made; NULL: not needed */
	void (*stored)(struct pmio_pm *pm, const void *addr, size_t len);
};

/* install the handler for SIGBUS as long as there is a mapping of a file (pm_guard.c) */
void pm_guard_get(void);
void pm_guard_put(void);

/* the first member of each implementation's own struct */
struct pmio_pm {
	const struct pmio_pm_ops *ops;
	uint8_t *base;
	size_t size; /* bytes */
	enum pmio_pm_granularity granularity;
	bool plain; /* see small.h */
};

#endif
