# the ADIO driver and Open MPI component; the only folder that includes mpi.h
ompicomp_LTLIBRARIES = mca_io_pmem.la mca_hook_pmem.la
# convenience library, so that tests can link the driver's insides
noinst_LTLIBRARIES += libpmio_adio.la
libpmio_adio_la_SOURCES = \
	adio/ad_pmem.h adio/ad_pmem.c adio/ad_pmem_open.c adio/ad_pmem_stray.c adio/ad_pmem_together.c adio/ad_pmem_view.c adio/ad_pmem_io.c adio/ad_pmem_exchange.c adio/ad_pmem_flat.c \
	adio/romio.c adio/romio321_abi.h adio/romio321_abi_check.h
libpmio_adio_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/adio $(OMPI_CPPFLAGS)
libpmio_adio_la_LIBADD = libpmio_remote.la
mca_io_pmem_la_SOURCES = adio/mca_io_pmem.c
mca_io_pmem_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/adio $(OMPI_CPPFLAGS)
mca_io_pmem_la_LIBADD = libpmio_adio.la $(OMPI_LIBS) -ldl
# nodelete: Open MPI unloads it before the process ends, and whoever took our SIGBUS handler for his next may yet call it
mca_io_pmem_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -Wl,-z,nodelete \
	-export-symbols-regex '^mca_io_pmem_component$$'
mca_hook_pmem_la_SOURCES = adio/mca_hook_pmem.c
mca_hook_pmem_la_CPPFLAGS = $(AM_CPPFLAGS) $(OMPI_CPPFLAGS)
mca_hook_pmem_la_LIBADD = libpmio_core.la $(OMPI_LIBS)
mca_hook_pmem_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared \
	-export-symbols-regex '^mca_hook_pmem_component$$'
