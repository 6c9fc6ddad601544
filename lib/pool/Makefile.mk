# view and frame: agent and clients; pool: the agent only (libpmemobj)
noinst_LTLIBRARIES += libpmio_view.la libpmio_pool.la
libpmio_view_la_SOURCES = lib/pool/format.h \
	lib/pool/view.c lib/pool/view.h lib/pool/frame.c lib/pool/frame.h
libpmio_view_la_CPPFLAGS = $(AM_CPPFLAGS) $(ISAL_CFLAGS)
libpmio_view_la_LIBADD = libpmio_pm.la $(ISAL_LIBS)
libpmio_pool_la_SOURCES = lib/pool/pool.h lib/pool/pool_impl.h lib/pool/pool.c lib/pool/pool_frames.c lib/pool/packed.h lib/pool/pack.c lib/pool/pool_create.c \
	lib/pool/pool_dir.c lib/pool/pool_dir.h lib/pool/pool_scan.c lib/pool/pool_scan.h \
	lib/pool/recovery.c lib/pool/recovery.h lib/pool/catalog_copy.c lib/pool/catalog_copy.h \
	lib/pool/catalog.c lib/pool/catalog.h lib/pool/catalog_df.h lib/pm/pm_emulate.c
libpmio_pool_la_CPPFLAGS = $(AM_CPPFLAGS) $(PMEMOBJ_CFLAGS) $(UUID_CFLAGS)
libpmio_pool_la_LIBADD = libpmio_view.la $(PMEMOBJ_LIBS) $(UUID_LIBS)
