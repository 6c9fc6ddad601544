# libFuzzer targets, built by clang from the sources: `make check-fuzzers`, and a short run in `make check`
fuzzers = tests/fuzz/fuzz_messages tests/fuzz/fuzz_media tests/fuzz/fuzz_endpoints tests/fuzz/fuzz_agent tests/fuzz/fuzz_fabric
if HAVE_LUA
fuzzers += tests/fuzz/fuzz_directives
endif
FUZZ_RUNS = 10000000
FUZZ_AGENT_SECONDS = 600
TESTS += tests/fuzz/fuzz.sh
EXTRA_DIST += tests/fuzz/fuzz.sh tests/fuzz/fuzz_messages.c tests/fuzz/fuzz_media.c tests/fuzz/fuzz_endpoints.c tests/fuzz/fuzz_agent.c \
	tests/fuzz/fuzz_fabric.c
EXTRA_DIST += tests/fuzz/fuzz_directives.c tests/fuzz/fuzz_directives.lua tests/fuzz/directives.dict
CLEANFILES += $(fuzzers)

if HAVE_LIBFUZZER
check_DATA = $(fuzzers)
endif

fuzz_cc = $(MKDIR_P) tests/fuzz && $(CLANG) -g -O1 -std=gnu11 -Wall -Wextra \
	-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
	-I. $(AM_CPPFLAGS) $(INIH_CFLAGS) $(PMEM2_CFLAGS) $(PMEMOBJ_CFLAGS) $(UUID_CFLAGS) $(ZLIB_CFLAGS) $(ISAL_CFLAGS)
fuzz_libs = $(INIH_LIBS) $(PMEM2_LIBS) $(PMEMOBJ_LIBS) $(UUID_LIBS) $(ZLIB_LIBS) $(ISAL_LIBS) -lm -lpthread
fuzz_core = $(libpmio_core_la_SOURCES) $(libpmio_proto_la_SOURCES)
fuzz_pool = $(fuzz_core) $(libpmio_pm_la_SOURCES) $(libpmio_view_la_SOURCES) $(libpmio_pool_la_SOURCES)
fuzz_endpoints = $(fuzz_core) lib/remote/descriptor_file.c lib/remote/layout_file.c
fuzz_all = $(fuzz_pool) $(libpmio_pfs_la_SOURCES) $(libpmio_daemon_la_SOURCES) $(libpmio_agent_la_SOURCES)
fuzz_c = $$(cd $(srcdir) && ls $(1) | sed -n 's|^.*\.c$$|$(srcdir)/&|p')

tests/fuzz/fuzz_messages: tests/fuzz/fuzz_messages.c $(fuzz_core)
	$(AM_V_CC)$(fuzz_cc) -o $@ $(srcdir)/tests/fuzz/fuzz_messages.c $(call fuzz_c,$(fuzz_core)) $(fuzz_libs)
tests/fuzz/fuzz_media: tests/fuzz/fuzz_media.c $(fuzz_pool)
	$(AM_V_CC)$(fuzz_cc) -o $@ $(srcdir)/tests/fuzz/fuzz_media.c $(call fuzz_c,$(fuzz_pool)) $(fuzz_libs)
tests/fuzz/fuzz_endpoints: tests/fuzz/fuzz_endpoints.c $(fuzz_endpoints)
	$(AM_V_CC)$(fuzz_cc) -o $@ $(srcdir)/tests/fuzz/fuzz_endpoints.c $(call fuzz_c,$(fuzz_endpoints)) $(SODIUM_LIBS) $(fuzz_libs)
tests/fuzz/fuzz_agent: tests/fuzz/fuzz_agent.c $(fuzz_all)
	$(AM_V_CC)$(fuzz_cc) -o $@ $(srcdir)/tests/fuzz/fuzz_agent.c $(call fuzz_c,$(fuzz_all)) $(fuzz_libs)
tests/fuzz/fuzz_directives: tests/fuzz/fuzz_directives.c
	$(AM_V_CC)$(fuzz_cc) $(LUA_CFLAGS) -o $@ $(srcdir)/tests/fuzz/fuzz_directives.c $(LUA_LIBS)

# it has target.c in itself
fuzz_fabric = lib/fabric/target_session.c lib/fabric/target_send.c lib/fabric/target_admission.c lib/fabric/auth.c $(fuzz_core)
tests/fuzz/fuzz_fabric: tests/fuzz/fuzz_fabric.c lib/fabric/target.c lib/fabric/target_state.h $(fuzz_fabric)
	$(AM_V_CC)$(fuzz_cc) $(FABRIC_CFLAGS) $(SODIUM_CFLAGS) -o $@ $(srcdir)/tests/fuzz/fuzz_fabric.c \
		$(call fuzz_c,$(fuzz_fabric)) $(SODIUM_LIBS) $(fuzz_libs)

check-fuzzers: $(fuzzers)
	$(AM_TESTS_ENVIRONMENT) $(SHELL) $(srcdir)/tests/fuzz/fuzz.sh $(FUZZ_RUNS) $(FUZZ_AGENT_SECONDS)
.PHONY: check-fuzzers
