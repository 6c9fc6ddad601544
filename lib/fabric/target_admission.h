/*
 * target_admission.h -- messages of initiators that have no session yet: these are authenticated
 */
#ifndef PMIO_FABRIC_TARGET_ADMISSION_H
#define PMIO_FABRIC_TARGET_ADMISSION_H

#include "fabric/target_state.h"

/* from: FI_ADDR_NOTAVAIL: not known */
void fabric_target_take(struct pmio_fabric_target *t, const void *msg, size_t len, fi_addr_t from);

#endif
