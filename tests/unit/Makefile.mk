# tests of single modules, with cmocka
unit_tests = tests/unit/test_pm tests/unit/test_view tests/unit/test_frame tests/unit/test_pack \
	tests/unit/test_pool_create tests/unit/test_pool_open tests/unit/test_pool_files \
	tests/unit/test_proto tests/unit/test_settings \
	tests/unit/test_client tests/unit/test_client_files tests/unit/test_client_agent \
	tests/unit/test_fd tests/unit/test_names tests/unit/test_append tests/unit/test_map \
	tests/unit/test_fabric_calls tests/unit/test_fabric_sessions tests/unit/test_fabric_failures tests/unit/test_fabric_strangers \
	tests/unit/test_threads tests/unit/test_system tests/unit/test_text tests/unit/test_workers \
	tests/unit/test_endpoint tests/unit/test_remote_file tests/unit/test_remote_failure tests/unit/test_striped \
	tests/unit/test_target_sessions tests/unit/test_layout_file tests/unit/test_growth tests/unit/test_relay
if HAVE_OMPI_COMPONENT
unit_tests += tests/unit/test_abi
endif
check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)

tests_unit_test_pm_SOURCES = tests/unit/test_pm.c tests/unit/scratch.h lib/pm/pm_record.c
tests_unit_test_pm_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) -DPMIO_PM_SITES
tests_unit_test_pm_LDADD = libpmio_pm.la $(CMOCKA_LIBS)

tests_unit_test_view_SOURCES = tests/unit/test_view.c tests/unit/scratch.h lib/pm/pm_record.c
tests_unit_test_view_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(ZLIB_CFLAGS)
tests_unit_test_view_LDADD = libpmio_view.la $(CMOCKA_LIBS) $(ZLIB_LIBS)

tests_unit_test_frame_SOURCES = tests/unit/test_frame.c tests/unit/scratch.h
tests_unit_test_frame_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_frame_LDADD = libpmio_view.la $(CMOCKA_LIBS)

pool_fixture = tests/unit/pool_fixture.h tests/unit/scratch.h
tests_unit_test_pool_create_SOURCES = tests/unit/test_pool_create.c $(pool_fixture)
tests_unit_test_pool_create_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_pool_create_LDADD = libpmio_pool.la $(CMOCKA_LIBS)

tests_unit_test_pool_open_SOURCES = tests/unit/test_pool_open.c $(pool_fixture)
tests_unit_test_pool_open_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_pool_open_LDADD = libpmio_pool.la $(CMOCKA_LIBS)

tests_unit_test_pool_files_SOURCES = tests/unit/test_pool_files.c $(pool_fixture)
tests_unit_test_pool_files_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_pool_files_LDADD = libpmio_pool.la $(CMOCKA_LIBS)

tests_unit_test_pack_SOURCES = tests/unit/test_pack.c tests/unit/scratch.h
tests_unit_test_pack_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_pack_LDADD = libpmio_pool.la $(CMOCKA_LIBS)

fabric_fixture = tests/unit/fabric_fixture.c tests/unit/fabric_fixture.h tests/unit/lsan.h tests/unit/scratch.h
tests_unit_test_fabric_calls_SOURCES = tests/unit/test_fabric_calls.c $(fabric_fixture)
tests_unit_test_fabric_calls_CPPFLAGS = $(AM_CPPFLAGS) $(FABRIC_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_fabric_calls_LDADD = libpmio_fabric.la libpmio_core.la $(CMOCKA_LIBS)

tests_unit_test_fabric_sessions_SOURCES = tests/unit/test_fabric_sessions.c $(fabric_fixture)
tests_unit_test_fabric_sessions_CPPFLAGS = $(AM_CPPFLAGS) $(FABRIC_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_fabric_sessions_LDADD = libpmio_fabric.la libpmio_core.la $(CMOCKA_LIBS)

tests_unit_test_fabric_failures_SOURCES = tests/unit/test_fabric_failures.c $(fabric_fixture)
tests_unit_test_fabric_failures_CPPFLAGS = $(AM_CPPFLAGS) $(FABRIC_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_fabric_failures_LDADD = libpmio_fabric.la libpmio_core.la $(CMOCKA_LIBS)

tests_unit_test_fabric_strangers_SOURCES = tests/unit/test_fabric_strangers.c $(fabric_fixture)
tests_unit_test_fabric_strangers_CPPFLAGS = $(AM_CPPFLAGS) $(FABRIC_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_fabric_strangers_LDADD = libpmio_fabric.la libpmio_core.la $(CMOCKA_LIBS)

tests_unit_test_proto_SOURCES = tests/unit/test_proto.c
tests_unit_test_proto_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_proto_LDADD = libpmio_proto.la libpmio_core.la $(CMOCKA_LIBS)

tests_unit_test_settings_SOURCES = tests/unit/test_settings.c
tests_unit_test_settings_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_settings_LDADD = libpmio_core.la $(CMOCKA_LIBS)

tests_unit_test_text_SOURCES = tests/unit/test_text.c
tests_unit_test_text_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_text_LDADD = libpmio_core.la $(CMOCKA_LIBS)

tests_unit_test_workers_SOURCES = tests/unit/test_workers.c
tests_unit_test_workers_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_workers_LDADD = libpmio_daemon.la libpmio_core.la $(CMOCKA_LIBS)

tests_unit_test_system_SOURCES = tests/unit/test_system.c
tests_unit_test_system_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_system_LDADD = libpmio_core.la $(CMOCKA_LIBS)

# start an agent of their own
tests_unit_test_client_SOURCES = tests/unit/test_client.c tests/unit/with_agent.h tests/unit/scratch.h
tests_unit_test_client_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_client_LDADD = libpmio_client.la libpmio_pool.la $(CMOCKA_LIBS)

tests_unit_test_client_files_SOURCES = tests/unit/test_client_files.c tests/unit/with_agent.h tests/unit/scratch.h
tests_unit_test_client_files_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_client_files_LDADD = libpmio_client.la libpmio_pool.la $(CMOCKA_LIBS)

tests_unit_test_client_agent_SOURCES = tests/unit/test_client_agent.c tests/unit/with_agent.h tests/unit/scratch.h
tests_unit_test_client_agent_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_client_agent_LDADD = libpmio_client.la libpmio_pool.la $(CMOCKA_LIBS)

tests_unit_test_fd_SOURCES = tests/unit/test_fd.c tests/unit/with_agent.h tests/unit/scratch.h
tests_unit_test_fd_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_fd_LDADD = libpmio_client.la libpmio_pool.la $(CMOCKA_LIBS)

tests_unit_test_names_SOURCES = tests/unit/test_names.c tests/unit/with_agent.h tests/unit/scratch.h
tests_unit_test_names_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_names_LDADD = libpmio_client.la $(CMOCKA_LIBS)

tests_unit_test_append_SOURCES = tests/unit/test_append.c tests/unit/with_agent.h tests/unit/scratch.h
tests_unit_test_append_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_append_LDADD = libpmio_client.la $(CMOCKA_LIBS)

tests_unit_test_map_SOURCES = tests/unit/test_map.c tests/unit/with_agent.h tests/unit/scratch.h
tests_unit_test_map_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_map_LDADD = libpmio_client.la $(CMOCKA_LIBS)

tests_unit_test_threads_SOURCES = tests/unit/test_threads.c tests/unit/with_agent.h tests/unit/scratch.h
tests_unit_test_threads_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_threads_LDADD = libpmio_client.la $(CMOCKA_LIBS)

tests_unit_test_endpoint_SOURCES = tests/unit/test_endpoint.c tests/unit/sites.h tests/unit/lsan.h tests/unit/other_user.h tests/unit/scratch.h
tests_unit_test_endpoint_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_endpoint_LDADD = libpmio_remote.la $(CMOCKA_LIBS)

# start agents and targets of their own, on the loopback
tests_unit_test_remote_file_SOURCES = tests/unit/test_remote_file.c tests/unit/sites.h tests/unit/lsan.h tests/unit/scratch.h
tests_unit_test_remote_file_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_remote_file_LDADD = libpmio_remote.la $(CMOCKA_LIBS)

tests_unit_test_remote_failure_SOURCES = tests/unit/test_remote_failure.c tests/unit/sites.h tests/unit/lsan.h tests/unit/scratch.h
tests_unit_test_remote_failure_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_remote_failure_LDADD = libpmio_remote.la $(CMOCKA_LIBS)

tests_unit_test_striped_SOURCES = tests/unit/test_striped.c tests/unit/sites.h tests/unit/lsan.h tests/unit/scratch.h
tests_unit_test_striped_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_striped_LDADD = libpmio_remote.la $(CMOCKA_LIBS)

tests_unit_test_target_sessions_SOURCES = tests/unit/test_target_sessions.c tests/unit/sites.h tests/unit/lsan.h tests/unit/scratch.h
tests_unit_test_target_sessions_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_target_sessions_LDADD = libpmio_remote.la $(CMOCKA_LIBS)

tests_unit_test_layout_file_SOURCES = tests/unit/test_layout_file.c tests/unit/sites.h tests/unit/lsan.h tests/unit/other_user.h tests/unit/scratch.h
tests_unit_test_layout_file_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_layout_file_LDADD = libpmio_remote.la $(CMOCKA_LIBS)

tests_unit_test_relay_SOURCES = tests/unit/test_relay.c tests/unit/sites.h tests/unit/lsan.h tests/unit/scratch.h
tests_unit_test_relay_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_relay_LDADD = libpmio_remote.la $(CMOCKA_LIBS)

tests_unit_test_growth_SOURCES = tests/unit/test_growth.c tests/unit/sites.h tests/unit/lsan.h tests/unit/scratch.h
tests_unit_test_growth_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_growth_LDADD = libpmio_remote.la $(CMOCKA_LIBS)

tests_unit_test_abi_SOURCES = tests/unit/test_abi.c
tests_unit_test_abi_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/adio/romio $(OMPI_CPPFLAGS) $(CMOCKA_CFLAGS) \
	-DOMPI_PKGLIBDIR=\"$(OMPI_PKGLIBDIR)\"
tests_unit_test_abi_LDADD = $(OMPI_LIBS) $(CMOCKA_LIBS) -ldl

# of slurm/, in Lua
TESTS += tests/unit/directives.sh
EXTRA_DIST += tests/unit/directives.sh tests/unit/directives.lua
