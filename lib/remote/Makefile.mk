# files in the pools of other nodes; without the client, for those that have it in another library
noinst_LTLIBRARIES += libpmio_remote.la libpmio_remote_alone.la
libpmio_remote_alone_la_SOURCES = lib/remote/remote.h lib/remote/remote_impl.h lib/remote/wire.h \
	lib/remote/address.c lib/remote/descriptor_file.c lib/remote/node.c lib/remote/node_ask.c lib/remote/node_call.c lib/remote/node_joins.c lib/remote/node_liveness.c lib/remote/node_session.c lib/remote/node_impl.h lib/remote/file.c lib/remote/file_handle.c lib/remote/file_impl.h lib/remote/transfer.c lib/remote/own_target.c \
	lib/remote/membership.c lib/remote/memory_nodes.c lib/remote/layout_file.c lib/remote/layout_file.h lib/remote/striped_file.c lib/remote/striped_impl.h lib/remote/striped_size.c lib/remote/striped_targets.c lib/remote/placement.c \
	lib/remote/target_list.c lib/remote/independent_open.c
libpmio_remote_alone_la_CPPFLAGS = $(AM_CPPFLAGS) $(INIH_CFLAGS) $(SODIUM_CFLAGS)
libpmio_remote_alone_la_LIBADD = libpmio_fabric.la $(INIH_LIBS) $(SODIUM_LIBS)
libpmio_remote_la_SOURCES =
libpmio_remote_la_LIBADD = libpmio_remote_alone.la libpmio_client.la

# what adapters stand on, for those that are compiled elsewhere (adio/romio/mpich-tree): no interface for others, so each version has a name of its own
lib_LTLIBRARIES += libpmio-driver.la
libpmio_driver_la_SOURCES =
libpmio_driver_la_LIBADD = libpmio_remote.la
libpmio_driver_la_LDFLAGS = $(AM_LDFLAGS) -release $(PACKAGE_VERSION) -avoid-version \
	-Wl,--version-script=$(srcdir)/lib/remote/libpmio-driver.map
libpmio_driver_la_DEPENDENCIES = libpmio_remote.la $(srcdir)/lib/remote/libpmio-driver.map
EXTRA_DIST += lib/remote/libpmio-driver.map
