# the ADIO driver in the ROMIO of Open MPI 4.1; a convenience library, so that tests can link its insides
if HAVE_OMPI_COMPONENT
noinst_LTLIBRARIES += libpmio_adio.la
endif
libpmio_adio_la_SOURCES = $(engine_sources) \
	adio/romio/ad_pmem.h adio/romio/ad_pmem.c adio/romio/plugin.h adio/romio/plugin.c adio/romio/romio.c adio/romio/romio321_abi.h adio/romio/romio321_abi_check.h
libpmio_adio_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/adio $(OMPI_CPPFLAGS)
libpmio_adio_la_LIBADD = libpmio_remote.la
# the same in MPICH's own tree: compiled there
EXTRA_DIST += adio/romio/mpich-tree adio/romio/romio_tree.h adio/romio/tree.c
