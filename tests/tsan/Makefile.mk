# what has threads, once more in a build with the sanitizer for races, below tsan/; from a copy of the
# sources, as sanitize/.  No MPI programs: Open MPI is not built with it, so what its locks and
# messages put in order would all be reported
tsan_tests = $(addprefix tests/unit/test_,threads client client_files client_agent \
		endpoint remote_file remote_failure striped target_sessions layout_file \
		fabric_calls fabric_sessions fabric_failures fabric_strangers \
		pool_create pool_open pool_files pm view proto settings) \
	$(addprefix tests/cli/,stat.sh throttle.sh stage.sh recover.sh crash.sh) \
	$(addprefix tests/fuse/,errors.sh async.sh early.sh state.sh) tests/kill/kills.sh
EXTRA_DIST += tests/tsan/check.sh tests/tsan/suppressions.txt

check-tsan:
	@$(MKDIR_P) tsan
	$(MAKE) $(AM_MAKEFLAGS) distdir distdir=tsan/source
	+MAKE='$(MAKE)' $(SHELL) $(srcdir)/tests/tsan/check.sh '$(abs_builddir)' $(tsan_tests)
.PHONY: check-tsan

clean-local: clean-tsan
clean-tsan:
	rm -rf tsan
.PHONY: clean-tsan
