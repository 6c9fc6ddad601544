# what the processes that outlive their caller stand on: detaching, log, signals, threads for calls that may block.  Core comes with
# the programs that link this
noinst_LTLIBRARIES += libpmio_daemon.la
libpmio_daemon_la_SOURCES = lib/daemon/daemon.c lib/daemon/daemon.h lib/daemon/workers.c lib/daemon/workers.h
libpmio_daemon_la_LIBADD = -lpthread
