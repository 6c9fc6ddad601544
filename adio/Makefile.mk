# MPI-IO on libpmio: the engine (adio/engine), and adapters; the only folder that includes mpi.h
include $(srcdir)/adio/engine/Makefile.mk
include $(srcdir)/adio/romio/Makefile.mk
include $(srcdir)/adio/openmpi/Makefile.mk
include $(srcdir)/adio/library/Makefile.mk
