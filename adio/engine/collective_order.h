/*
 * collective_order.h -- collective calls begin together
 */
#ifndef PMIO_ENGINE_COLLECTIVE_ORDER_H
#define PMIO_ENGINE_COLLECTIVE_ORDER_H

#include <mpi.h>
#include <stdbool.h>

/* NULL: out of memory */
struct together *engine_together_new(MPI_Comm comm);
void engine_together_free(struct together *t);
/* do they wait by MPI?  The same on all ranks */
bool engine_together_by_mpi(const struct together *t);
/*
 * engine_together_begin -- wait until all ranks have called it
 *
 * one_node: all ranks are on one node, and all know it.  grows: this rank may make the file
 * longer; used only when they wait by MPI.
 * Returns whether a rank that then reads or writes has to call engine_together_end() afterwards;
 * the same on all ranks.  Call adapter_leave() before any of these, as they wait.
 */
bool engine_together_begin(struct together *t, bool one_node, bool grows);
void engine_together_end(struct together *t);
/* the same for a call that moves no data: nothing follows */
void engine_together_meet(struct together *t, bool one_node);
/* was the last of these calls a meeting?  The same on all ranks */
bool engine_together_has_met(const struct together *t);
/* wait until all ranks have ended the collective calls that this one has ended; they have begun them */
void engine_together_await_end(struct together *t);

#endif
