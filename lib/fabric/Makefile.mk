# memory of other hosts; libfabric and libmunge are not linked, but loaded when they are needed
noinst_LTLIBRARIES += libpmio_fabric.la
libpmio_fabric_la_SOURCES = lib/fabric/fabric.h lib/fabric/fabric_impl.h \
	lib/fabric/load.c lib/fabric/auth.c lib/fabric/munge.c lib/fabric/provider.c lib/fabric/connections.c \
	lib/fabric/target_state.h lib/fabric/target.c lib/fabric/target_session.h lib/fabric/target_session.c \
	lib/fabric/target_send.h lib/fabric/target_send.c lib/fabric/target_admission.h lib/fabric/target_admission.c \
	lib/fabric/initiator_impl.h lib/fabric/initiator.c lib/fabric/request.c lib/fabric/transfer.c lib/fabric/handshake.c
libpmio_fabric_la_CPPFLAGS = $(AM_CPPFLAGS) $(FABRIC_CFLAGS) $(MUNGE_CFLAGS) $(SODIUM_CFLAGS)
# core comes with the libraries that link this: twice in one library it would clash
libpmio_fabric_la_LIBADD = $(SODIUM_LIBS) -ldl -lpthread
