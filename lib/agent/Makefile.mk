# the agent: all of it but main()
noinst_LTLIBRARIES += libpmio_agent.la
libpmio_agent_la_SOURCES = $(agent_sources) lib/agent/agent.h lib/agent/agent.c \
	lib/agent/survey.c lib/agent/orphan.c
# without loop and threads: the crash tests have their own
agent_sources = \
	lib/agent/agent_impl.h lib/agent/conn.c lib/agent/reply.c lib/agent/request.c lib/agent/jobs.c \
	lib/agent/chunks.c lib/agent/pack.c lib/agent/unpack.c lib/agent/claims.c lib/agent/file.c lib/agent/file_seen.c lib/agent/file_state.c \
	lib/agent/open.c lib/agent/close.c lib/agent/idle.c lib/agent/recover.c lib/agent/calls.c lib/agent/lookup.h lib/agent/lookup.c lib/agent/pfs.c \
	lib/agent/drain_impl.h lib/agent/drain.c lib/agent/drain_work.c lib/agent/fill.c lib/agent/batch.h lib/agent/batch.c lib/agent/syncs.c lib/agent/marks.c lib/agent/maps.c lib/agent/background.c lib/agent/throttle.c lib/agent/zero_reserve.c lib/agent/ops.c lib/agent/stage.c lib/agent/verify.c
libpmio_agent_la_CPPFLAGS = $(AM_CPPFLAGS) $(ISAL_CFLAGS)
libpmio_agent_la_LIBADD = libpmio_daemon.la libpmio_proto.la libpmio_pfs.la libpmio_pool.la $(ISAL_LIBS)
