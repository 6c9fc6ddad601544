# the commands, bad pools, agents and users; a program on the installed library
check_PROGRAMS += tests/cli/fileio
tests_cli_fileio_SOURCES = tests/cli/fileio.c
tests_cli_fileio_LDADD = libpmio.la

check_PROGRAMS += tests/cli/children tests/cli/older
tests_cli_children_SOURCES = tests/cli/children.c
tests_cli_children_LDADD = libpmio.la
tests_cli_older_SOURCES = tests/cli/older.c

cli_tests = tests/cli/commands.sh tests/cli/recover.sh tests/cli/byhand.sh tests/cli/salvage.sh tests/cli/resize.sh tests/cli/completion.sh tests/cli/stat.sh tests/cli/pace.sh tests/cli/stage.sh tests/cli/conf.sh tests/cli/pools.sh tests/cli/agents.sh \
	tests/cli/names.sh tests/cli/changed.sh tests/cli/pools2.sh tests/cli/caller.sh \
	tests/cli/crash.sh tests/cli/pfsfull.sh tests/cli/users.sh tests/cli/source.sh \
	tests/cli/inherited.sh tests/cli/stopped.sh tests/cli/memory.sh
TESTS += $(cli_tests)
EXTRA_DIST += $(cli_tests) tests/cli/lib.sh
