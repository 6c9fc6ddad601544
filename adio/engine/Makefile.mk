# compiled once for each MPI, as its mpi.h differs
engine_sources = adio/engine/engine.h adio/engine/flat.h adio/engine/deferred.h adio/engine/launcher.h adio/engine/shared_memory.h adio/engine/collective_order.h adio/engine/view.h adio/engine/yielding_collectives.h \
	adio/engine/calls.c adio/engine/check.c adio/engine/datarep.c adio/engine/error.c adio/engine/exchange.c adio/engine/external.c adio/engine/flat.c adio/engine/hints.c adio/engine/io.c \
	adio/engine/deferred.c adio/engine/launcher.c adio/engine/unclosed.c adio/engine/shared_memory.c adio/engine/names_settings.c adio/engine/open.c adio/engine/pools.c adio/engine/request.c adio/engine/shared.c adio/engine/size.c adio/engine/prefix_warning.c adio/engine/collective_order.c adio/engine/yielding_collectives.c \
	adio/engine/view.c
