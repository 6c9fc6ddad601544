# files in the pools of other nodes
noinst_LTLIBRARIES += libpmio_remote.la
libpmio_remote_la_SOURCES = lib/remote/remote.h lib/remote/remote_impl.h lib/remote/wire.h \
	lib/remote/address.c lib/remote/card.c lib/remote/node.c lib/remote/file.c lib/remote/offer.c \
	lib/remote/memory.c lib/remote/owner.c lib/remote/span.c lib/remote/use.c lib/remote/use.h lib/remote/watch.c \
	lib/remote/watch.h lib/remote/serve.c
libpmio_remote_la_CPPFLAGS = $(AM_CPPFLAGS) $(INIH_CFLAGS)
libpmio_remote_la_LIBADD = libpmio_client.la libpmio_fabric.la $(INIH_LIBS)
