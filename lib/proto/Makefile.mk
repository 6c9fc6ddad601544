# messages between client and agent, one copy for both ends
# (no LIBADD: its users have core through libpmio_view.la, and libtool would add it twice)
noinst_LTLIBRARIES += libpmio_proto.la
libpmio_proto_la_SOURCES = lib/proto/proto.c lib/proto/proto.h
