# the agent: all of it but main()
noinst_LTLIBRARIES += libpmio_agent.la
libpmio_agent_la_SOURCES = $(agent_sources) lib/agent/agent.h lib/agent/agent.c \
	lib/agent/orphan.h lib/agent/orphan.c lib/agent/name_survey.c
# without loop and threads: the crash tests have their own
agent_sources = lib/agent/state.h \
	lib/agent/background.h lib/agent/background.c lib/agent/batch.h lib/agent/batch.c lib/agent/calls.h lib/agent/calls.c \
	lib/agent/chunks.h lib/agent/chunks.c lib/agent/claims.h lib/agent/claims.c lib/agent/close.h lib/agent/close.c \
	lib/agent/conn.h lib/agent/conn.c lib/agent/drain.h lib/agent/drain_impl.h lib/agent/drain.c lib/agent/drain_work.c \
	lib/agent/file.h lib/agent/file.c lib/agent/file_state.c lib/agent/file_seen.h lib/agent/file_seen.c lib/agent/fill.h lib/agent/fill.c \
	lib/agent/idle.h lib/agent/idle.c lib/agent/jobs.h lib/agent/jobs.c lib/agent/lookup.h lib/agent/lookup.c \
	lib/agent/mappings.h lib/agent/mappings.c lib/agent/marks.h lib/agent/marks.c lib/agent/open.h lib/agent/open.c lib/agent/ops.h lib/agent/ops.c \
	lib/agent/pack.h lib/agent/pack.c lib/agent/unpack.c lib/agent/pfs_fd.h lib/agent/pfs_fd.c lib/agent/pfs_lookup.h lib/agent/pfs_lookup.c \
	lib/agent/recover.h lib/agent/recover.c \
	lib/agent/reply.h lib/agent/reply.c lib/agent/request.h lib/agent/request.c lib/agent/stage.h lib/agent/stage.c lib/agent/name_survey.h \
	lib/agent/syncs.h lib/agent/syncs.c lib/agent/throttle.h lib/agent/throttle.c lib/agent/verify.h lib/agent/verify.c \
	lib/agent/zero_reserve.h lib/agent/zero_reserve.c
libpmio_agent_la_CPPFLAGS = $(AM_CPPFLAGS) $(ISAL_CFLAGS)
libpmio_agent_la_LIBADD = libpmio_daemon.la libpmio_proto.la libpmio_pfs.la libpmio_pool.la $(ISAL_LIBS)
