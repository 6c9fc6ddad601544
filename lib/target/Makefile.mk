# the target: other nodes' processes, and what they want of the pool here
noinst_LTLIBRARIES += libpmio_target.la
libpmio_target_la_SOURCES = lib/target/target.h lib/target/target_impl.h lib/target/target.c \
	lib/target/dispatch.c lib/target/file_ops.c lib/target/handshake.c lib/target/liveness.c \
	lib/target/layout_ops.c lib/target/relay.c lib/target/relay.h lib/target/session.c lib/target/layouts.c lib/target/layouts.h lib/target/watch.c lib/target/watch.h
libpmio_target_la_LIBADD = libpmio_daemon.la libpmio_remote.la
