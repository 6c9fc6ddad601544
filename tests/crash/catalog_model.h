/*
 * catalog_model.h -- a pool's catalog in memory, each change whole or not at all
 *
 * In place of lib/pool/catalog.c: libpmemobj's transactions are taken for what
 * they promise.
 */
#ifndef PMIO_TESTS_CRASH_CATALOG_MODEL_H
#define PMIO_TESTS_CRASH_CATALOG_MODEL_H

#include "pool/catalog.h"

struct catalog_model;

/* changes are ordered among what pm records: by its marks */
struct catalog_model *catalog_model_new(struct pmio_pm *pm, uint32_t nr_slots);
void catalog_model_delete(struct catalog_model **m);
/* the one that pmio_catalog_open() opens */
void catalog_model_use(struct catalog_model *m);
/* all is durable that has happened so far */
void catalog_model_reset(struct catalog_model *m);
/* as it was after so many recorded operations; pm: of the new one */
struct catalog_model *catalog_model_cut(const struct catalog_model *m, size_t cut, struct pmio_pm *pm);

#endif
