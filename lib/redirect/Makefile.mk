# any program's files in the pool: a small library that is preloaded, what it loads with the first file, and with the first of other nodes
lib_LTLIBRARIES += libpmio-redirect.la libpmio-redirect-pool.la libpmio-redirect-nodes.la
libpmio_redirect_la_SOURCES = lib/redirect/redirect.h lib/redirect/pool_ops.h lib/redirect/raw.h lib/redirect/cancel.h \
	lib/redirect/start.c lib/redirect/state.c lib/redirect/libc_patch.c lib/redirect/libc_writes.c lib/redirect/patterns.c lib/redirect/messages.c lib/redirect/files.c \
	lib/redirect/open.c lib/redirect/data.c lib/redirect/size.c lib/redirect/attr.c lib/redirect/rename.c lib/redirect/copy.c \
	lib/redirect/map.c lib/redirect/aio.c lib/redirect/vfork_helper.c lib/redirect/environ.c lib/redirect/file_size_limit.c lib/redirect/fd_limit.c lib/redirect/stack_room.c lib/redirect/prefix.c lib/redirect/process.c lib/redirect/by_number.c lib/core/pattern.h lib/core/pattern.c lib/pfs/attributes.h lib/pfs/attributes.c
# what it takes the place of must be called by nothing here, so compilers must not make such calls of others
libpmio_redirect_la_CFLAGS = $(AM_CFLAGS) -U_FORTIFY_SOURCE
libpmio_redirect_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -Wl,-z,nodelete -Wl,-z,now \
	-Wl,--version-script=$(srcdir)/lib/redirect/libpmio-redirect.map
libpmio_redirect_la_DEPENDENCIES = $(srcdir)/lib/redirect/libpmio-redirect.map

# the library for other nodes uses its client: calls within it go to no other library, whatever a program exports
libpmio_redirect_pool_la_SOURCES = lib/redirect/pool_ops.h lib/redirect/nodes_ops.h lib/redirect/pool.c lib/redirect/pool_nodes.c lib/redirect/report_counters.c
libpmio_redirect_pool_la_LIBADD = libpmio_client.la -ldl
libpmio_redirect_pool_la_LDFLAGS = $(AM_LDFLAGS) -avoid-version -shared -Wl,-z,nodelete -Wl,-Bsymbolic \
	-Wl,--version-script=$(srcdir)/lib/redirect/libpmio-redirect-pool.map
libpmio_redirect_pool_la_DEPENDENCIES = libpmio_client.la $(srcdir)/lib/redirect/libpmio-redirect-pool.map

libpmio_redirect_nodes_la_SOURCES = lib/redirect/nodes_ops.h lib/redirect/nodes.c
libpmio_redirect_nodes_la_LIBADD = libpmio_remote_alone.la libpmio-redirect-pool.la
libpmio_redirect_nodes_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -Wl,-z,nodelete -Wl,-z,now -Wl,--no-undefined \
	-Wl,--version-script=$(srcdir)/lib/redirect/libpmio-redirect-nodes.map
libpmio_redirect_nodes_la_DEPENDENCIES = libpmio_remote_alone.la libpmio-redirect-pool.la $(srcdir)/lib/redirect/libpmio-redirect-nodes.map
EXTRA_DIST += lib/redirect/libpmio-redirect.map lib/redirect/libpmio-redirect-pool.map lib/redirect/libpmio-redirect-nodes.map
