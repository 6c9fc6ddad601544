# the media: libpmem2, and the recorder that the tests use in its place
noinst_LTLIBRARIES += libpmio_pm.la
libpmio_pm_la_SOURCES = lib/pm/pm.h lib/pm/pm_sites.h lib/pm/small.h lib/pm/pm_ops.h lib/pm/pm.c lib/pm/pm_map.c lib/pm/pm_guard.c
libpmio_pm_la_CPPFLAGS = $(AM_CPPFLAGS) $(PMEM2_CFLAGS)
libpmio_pm_la_LIBADD = libpmio_core.la $(PMEM2_LIBS)
