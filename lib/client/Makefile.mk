# the installed library
lib_LTLIBRARIES += libpmio.la
noinst_LTLIBRARIES += libpmio_client.la
libpmio_client_la_SOURCES = \
	lib/client/client.h lib/client/connect.c lib/client/start.c lib/client/fork.c lib/client/session.c lib/client/file.c lib/client/claim_cache.c lib/client/direct.c lib/client/remove_rename.c \
	lib/client/io.c lib/client/read.c lib/client/write.c lib/client/append.c lib/client/growth.c lib/client/allocate.c lib/client/node_settings.c lib/client/other_nodes.h lib/client/other_nodes.c lib/client/map.c lib/client/pool.c \
	lib/client/admin.c lib/client/admin.h lib/client/io.h
libpmio_client_la_LIBADD = libpmio_proto.la libpmio_pfs.la libpmio_view.la
libpmio_la_SOURCES =
libpmio_la_LIBADD = libpmio_client.la
libpmio_la_LDFLAGS = $(AM_LDFLAGS) -version-info 0:0:0 -Wl,--version-script=$(srcdir)/lib/client/libpmio.map
libpmio_la_DEPENDENCIES = libpmio_client.la $(srcdir)/lib/client/libpmio.map
EXTRA_DIST += lib/client/libpmio.map
