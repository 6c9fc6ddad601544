# memory of other hosts; libfabric is not linked, but loaded when it is needed
noinst_LTLIBRARIES += libpmio_fabric.la
libpmio_fabric_la_SOURCES = lib/fabric/fabric.h lib/fabric/fabric_impl.h \
	lib/fabric/load.c lib/fabric/auth.c lib/fabric/endpoint.c lib/fabric/target.c lib/fabric/port.c
libpmio_fabric_la_CPPFLAGS = $(AM_CPPFLAGS) $(FABRIC_CFLAGS) $(SODIUM_CFLAGS)
# core comes with whoever links this: twice in one library it would clash
libpmio_fabric_la_LIBADD = $(SODIUM_LIBS) -ldl -lpthread
