# one program a subject; run.sh runs each on 1, 2, 3 and 4 ranks (the extension chooses it)
mpi_tests = \
	tests/mpi/atomic.mpi \
	tests/mpi/changed.mpi \
	tests/mpi/coll.mpi \
	tests/mpi/contig.mpi \
	tests/mpi/datarep.mpi \
	tests/mpi/errors.mpi \
	tests/mpi/exchange.mpi \
	tests/mpi/files.mpi \
	tests/mpi/fork.mpi \
	tests/mpi/info.mpi \
	tests/mpi/large.mpi \
	tests/mpi/links.mpi \
	tests/mpi/long.mpi \
	tests/mpi/many.mpi \
	tests/mpi/modes.mpi \
	tests/mpi/names.mpi \
	tests/mpi/nonblock.mpi \
	tests/mpi/order.mpi \
	tests/mpi/perm.mpi \
	tests/mpi/seek.mpi \
	tests/mpi/shared.mpi \
	tests/mpi/size.mpi \
	tests/mpi/split.mpi \
	tests/mpi/status.mpi \
	tests/mpi/sync.mpi \
	tests/mpi/threads.mpi \
	tests/mpi/views.mpi \
	tests/mpi/visible.mpi
EXTRA_DIST += tests/mpi/run.sh
# without the component they, and the scripts below, are skipped with the reason
if HAVE_OPENMPI
check_PROGRAMS += $(mpi_tests)
TESTS += $(mpi_tests)
endif

# random programs against a model: some in `make check`, more with `make check-fuzz`
if HAVE_OPENMPI
check_PROGRAMS += tests/mpi/fuzz_run
endif
TESTS += tests/mpi/fuzz.sh
EXTRA_DIST += tests/mpi/fuzz.sh
FUZZ_SECONDS = 600

check-fuzz: all tests/mpi/fuzz_run
	$(AM_TESTS_ENVIRONMENT) $(SHELL) $(srcdir)/tests/mpi/fuzz.sh --seconds $(FUZZ_SECONDS)
.PHONY: check-fuzz

mpi_test_CPPFLAGS = $(AM_CPPFLAGS) $(OMPI_CPPFLAGS)

tests_mpi_atomic_mpi_SOURCES = tests/mpi/atomic.c tests/mpi/util.h
tests_mpi_atomic_mpi_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_atomic_mpi_LDADD = $(OMPI_LIBS)
tests_mpi_changed_mpi_SOURCES = tests/mpi/changed.c tests/mpi/util.h
tests_mpi_changed_mpi_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_changed_mpi_LDADD = $(OMPI_LIBS)
tests_mpi_coll_mpi_SOURCES = tests/mpi/coll.c tests/mpi/util.h
tests_mpi_coll_mpi_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_coll_mpi_LDADD = $(OMPI_LIBS)
tests_mpi_contig_mpi_SOURCES = tests/mpi/contig.c tests/mpi/util.h
tests_mpi_contig_mpi_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_contig_mpi_LDADD = $(OMPI_LIBS)
tests_mpi_datarep_mpi_SOURCES = tests/mpi/datarep.c tests/mpi/util.h
tests_mpi_datarep_mpi_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_datarep_mpi_LDADD = $(OMPI_LIBS)
tests_mpi_exchange_mpi_SOURCES = tests/mpi/exchange.c tests/mpi/util.h
tests_mpi_exchange_mpi_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_exchange_mpi_LDADD = $(OMPI_LIBS)
tests_mpi_errors_mpi_SOURCES = tests/mpi/errors.c tests/mpi/util.h
tests_mpi_errors_mpi_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_errors_mpi_LDADD = $(OMPI_LIBS)
tests_mpi_files_mpi_SOURCES = tests/mpi/files.c tests/mpi/util.h
tests_mpi_files_mpi_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_files_mpi_LDADD = $(OMPI_LIBS)
tests_mpi_fork_mpi_SOURCES = tests/mpi/fork.c tests/mpi/util.h
tests_mpi_fork_mpi_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_fork_mpi_LDADD = $(OMPI_LIBS)
tests_mpi_fuzz_run_SOURCES = tests/mpi/fuzz.c tests/mpi/fuzz.h tests/mpi/fuzz_file.c tests/mpi/fuzz_access.c \
	tests/mpi/fuzz_type.c tests/mpi/fuzz_type_random.c tests/mpi/fuzz_type.h tests/mpi/fuzz_type_impl.h tests/mpi/util.h
tests_mpi_fuzz_run_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_fuzz_run_LDADD = $(OMPI_LIBS)
tests_mpi_info_mpi_SOURCES = tests/mpi/info.c tests/mpi/util.h
tests_mpi_info_mpi_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_info_mpi_LDADD = $(OMPI_LIBS)
tests_mpi_large_mpi_SOURCES = tests/mpi/large.c tests/mpi/util.h
tests_mpi_large_mpi_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_large_mpi_LDADD = $(OMPI_LIBS)
tests_mpi_links_mpi_SOURCES = tests/mpi/links.c tests/mpi/util.h
tests_mpi_links_mpi_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_links_mpi_LDADD = $(OMPI_LIBS)
tests_mpi_long_mpi_SOURCES = tests/mpi/long.c tests/mpi/util.h
tests_mpi_long_mpi_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_long_mpi_LDADD = $(OMPI_LIBS)
tests_mpi_many_mpi_SOURCES = tests/mpi/many.c tests/mpi/util.h
tests_mpi_many_mpi_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_many_mpi_LDADD = $(OMPI_LIBS)
tests_mpi_modes_mpi_SOURCES = tests/mpi/modes.c tests/mpi/util.h
tests_mpi_modes_mpi_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_modes_mpi_LDADD = $(OMPI_LIBS)
tests_mpi_names_mpi_SOURCES = tests/mpi/names.c tests/mpi/util.h
tests_mpi_names_mpi_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_names_mpi_LDADD = $(OMPI_LIBS)
tests_mpi_nonblock_mpi_SOURCES = tests/mpi/nonblock.c tests/mpi/util.h
tests_mpi_nonblock_mpi_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_nonblock_mpi_LDADD = $(OMPI_LIBS)
tests_mpi_order_mpi_SOURCES = tests/mpi/order.c tests/mpi/util.h
tests_mpi_order_mpi_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_order_mpi_LDADD = $(OMPI_LIBS)
tests_mpi_perm_mpi_SOURCES = tests/mpi/perm.c tests/mpi/util.h
tests_mpi_perm_mpi_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_perm_mpi_LDADD = $(OMPI_LIBS)
tests_mpi_seek_mpi_SOURCES = tests/mpi/seek.c tests/mpi/util.h
tests_mpi_seek_mpi_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_seek_mpi_LDADD = $(OMPI_LIBS)
tests_mpi_shared_mpi_SOURCES = tests/mpi/shared.c tests/mpi/util.h
tests_mpi_shared_mpi_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_shared_mpi_LDADD = $(OMPI_LIBS)
tests_mpi_size_mpi_SOURCES = tests/mpi/size.c tests/mpi/util.h
tests_mpi_size_mpi_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_size_mpi_LDADD = $(OMPI_LIBS)
tests_mpi_split_mpi_SOURCES = tests/mpi/split.c tests/mpi/util.h
tests_mpi_split_mpi_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_split_mpi_LDADD = $(OMPI_LIBS)
tests_mpi_status_mpi_SOURCES = tests/mpi/status.c tests/mpi/util.h
tests_mpi_status_mpi_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_status_mpi_LDADD = $(OMPI_LIBS)
tests_mpi_sync_mpi_SOURCES = tests/mpi/sync.c tests/mpi/util.h
tests_mpi_sync_mpi_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_sync_mpi_LDADD = $(OMPI_LIBS)
tests_mpi_threads_mpi_SOURCES = tests/mpi/threads.c tests/mpi/util.h
tests_mpi_threads_mpi_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_threads_mpi_LDADD = $(OMPI_LIBS)
tests_mpi_views_mpi_SOURCES = tests/mpi/views.c tests/mpi/util.h
tests_mpi_views_mpi_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_views_mpi_LDADD = $(OMPI_LIBS)
tests_mpi_visible_mpi_SOURCES = tests/mpi/visible.c tests/mpi/util.h
tests_mpi_visible_mpi_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_visible_mpi_LDADD = $(OMPI_LIBS)

# what Open MPI or a rank's death does around us
if HAVE_OPENMPI
check_PROGRAMS += tests/mpi/answers tests/mpi/killed tests/mpi/closefail tests/mpi/hints tests/mpi/copy \
	tests/mpi/jobs tests/mpi/left tests/mpi/locked tests/mpi/nospace tests/mpi/pending tests/mpi/update
endif
tests_mpi_answers_SOURCES = tests/mpi/answers.c tests/mpi/util.h
tests_mpi_answers_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_answers_LDADD = $(OMPI_LIBS)
tests_mpi_killed_SOURCES = tests/mpi/killed.c
tests_mpi_killed_CPPFLAGS = $(AM_CPPFLAGS) $(OMPI_CPPFLAGS)
tests_mpi_killed_LDADD = $(OMPI_LIBS)
tests_mpi_closefail_SOURCES = tests/mpi/closefail.c
tests_mpi_closefail_CPPFLAGS = $(AM_CPPFLAGS) $(OMPI_CPPFLAGS)
tests_mpi_closefail_LDADD = $(OMPI_LIBS)
tests_mpi_hints_SOURCES = tests/mpi/hints.c tests/mpi/util.h
tests_mpi_hints_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_hints_LDADD = $(OMPI_LIBS)
tests_mpi_copy_SOURCES = tests/mpi/copy.c tests/mpi/util.h
tests_mpi_copy_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_copy_LDADD = $(OMPI_LIBS)

tests_mpi_jobs_SOURCES = tests/mpi/jobs.c tests/mpi/util.h
tests_mpi_jobs_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_jobs_LDADD = $(OMPI_LIBS)
tests_mpi_left_SOURCES = tests/mpi/left.c tests/mpi/util.h
tests_mpi_left_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_left_LDADD = $(OMPI_LIBS)
tests_mpi_locked_SOURCES = tests/mpi/locked.c tests/mpi/util.h
tests_mpi_locked_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_locked_LDADD = $(OMPI_LIBS)
tests_mpi_nospace_SOURCES = tests/mpi/nospace.c tests/mpi/util.h
tests_mpi_nospace_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_nospace_LDADD = $(OMPI_LIBS)
tests_mpi_pending_SOURCES = tests/mpi/pending.c tests/mpi/util.h
tests_mpi_pending_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_pending_LDADD = $(OMPI_LIBS)
tests_mpi_update_SOURCES = tests/mpi/update.c tests/mpi/util.h
tests_mpi_update_CPPFLAGS = $(mpi_test_CPPFLAGS)
tests_mpi_update_LDADD = $(OMPI_LIBS)
mpi_scripts = tests/mpi/answers.sh tests/mpi/trap.sh tests/mpi/killed.sh tests/mpi/closefail.sh tests/mpi/nodes.sh tests/mpi/hints.sh \
	tests/mpi/left.sh tests/mpi/locked.sh tests/mpi/jobs.sh tests/mpi/together.sh tests/mpi/pool.sh tests/mpi/nospace.sh tests/mpi/pending.sh
TESTS += $(mpi_scripts)
EXTRA_DIST += $(mpi_scripts)
