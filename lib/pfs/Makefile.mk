# files on the parallel file system: below client and agent
noinst_LTLIBRARIES += libpmio_pfs.la
libpmio_pfs_la_SOURCES = lib/pfs/pfs.h lib/pfs/attributes.h lib/pfs/attributes.c lib/pfs/file.c lib/pfs/identity.c lib/pfs/find.c lib/pfs/exclusion.c
libpmio_pfs_la_CPPFLAGS = $(AM_CPPFLAGS) $(UUID_CFLAGS)
