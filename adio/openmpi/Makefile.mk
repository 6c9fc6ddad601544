# the components of Open MPI 4.1: io with the ADIO driver, and hook
if HAVE_OMPI_COMPONENT
ompicomp_LTLIBRARIES = mca_io_pmem.la mca_hook_pmem.la
endif
mca_io_pmem_la_SOURCES = adio/openmpi/mca_io_pmem.c
mca_io_pmem_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/adio $(OMPI_CPPFLAGS)
mca_io_pmem_la_LIBADD = libpmio_adio.la $(OMPI_LIBS) -ldl
# nodelete: Open MPI unloads it before the process ends, and a handler that was set after our SIGBUS handler may yet call it
mca_io_pmem_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -Wl,-z,nodelete \
	-export-symbols-regex '^mca_io_pmem_component$$'
mca_hook_pmem_la_SOURCES = adio/openmpi/mca_hook_pmem.c
mca_hook_pmem_la_CPPFLAGS = $(AM_CPPFLAGS) $(OMPI_CPPFLAGS)
mca_hook_pmem_la_LIBADD = libpmio_core.la $(OMPI_LIBS)
mca_hook_pmem_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared \
	-export-symbols-regex '^mca_hook_pmem_component$$'
