# errors, log, paths, settings: what every part of pmio stands on
noinst_LTLIBRARIES += libpmio_core.la
libpmio_core_la_SOURCES = lib/core/backoff.h lib/core/clock.h lib/core/fnv.h lib/core/spin.h lib/core/signals.h lib/core/u64map.h \
	lib/core/default_pool.c \
	lib/core/error.c lib/core/error.h \
	lib/core/fds.c lib/core/fds.h \
	lib/core/log.c lib/core/log.h \
	lib/core/path.c lib/core/path.h \
	lib/core/pattern.c lib/core/pattern.h \
	lib/core/settings.c lib/core/settings.h \
	lib/core/system.c lib/core/system.h \
	lib/core/text.c lib/core/text.h
libpmio_core_la_CPPFLAGS = $(AM_CPPFLAGS) $(INIH_CFLAGS) $(UUID_CFLAGS)
libpmio_core_la_LIBADD = $(INIH_LIBS) $(UUID_LIBS) -lm
