# side by side with other components; `make bench` runs it (never part of the tests)
EXTRA_PROGRAMS = bench_mpi
bench_mpi_SOURCES = bench/bench_mpi.c
bench_mpi_CPPFLAGS = $(OMPI_CPPFLAGS)
bench_mpi_LDADD = $(OMPI_LIBS)
EXTRA_DIST += bench/run
CLEANFILES += bench_mpi
.PHONY: bench
bench: all bench_mpi
	top_builddir=$(top_builddir) $(srcdir)/bench/run
