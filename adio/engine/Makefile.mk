# compiled once for each MPI, as its mpi.h differs
engine_sources = adio/engine/engine.h adio/engine/flat.h adio/engine/later.h adio/engine/launcher.h adio/engine/memory.h adio/engine/together.h adio/engine/view.h adio/engine/wait.h \
	adio/engine/calls.c adio/engine/check.c adio/engine/datarep.c adio/engine/error.c adio/engine/exchange.c adio/engine/external.c adio/engine/flat.c adio/engine/hints.c adio/engine/io.c \
	adio/engine/later.c adio/engine/launcher.c adio/engine/left.c adio/engine/memory.c adio/engine/names.c adio/engine/open.c adio/engine/pools.c adio/engine/request.c adio/engine/shared.c adio/engine/size.c adio/engine/stray.c adio/engine/together.c adio/engine/wait.c \
	adio/engine/view.c
