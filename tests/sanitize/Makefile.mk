# tests once more in a build with sanitizers, below sanitize/; from a copy of the sources, since
# those may be configured in place.  Not those that take long and bring the agent nothing new, and not units.sh, whose processes are traced:
# leaks are looked for by tracing.
sanitize_not = $(addprefix tests/cli/,agents.sh byhand.sh completion.sh conf.sh throttle.sh resize.sh recover_to.sh source.sh \
	stage.sh stat.sh units.sh) $(addprefix tests/fuse/,async.sh early.sh hang.sh) tests/unit/test_frame
if HAVE_OPENMPI
sanitize_mpi = $(addprefix tests/mpi/,atomic.mpi coll.mpi modes.mpi nonblock.mpi shared.mpi threads.mpi fuzz.sh closefail.sh nospace.sh)
endif
SANITIZE_TESTS = $(filter-out $(sanitize_not),$(unit_tests)) tests/crash/test_crash_frame $(filter-out $(sanitize_not),$(cli_tests) $(fuse_tests)) $(sanitize_mpi)
EXTRA_DIST += tests/sanitize/check.sh

check-sanitize:
	@$(MKDIR_P) sanitize
	$(MAKE) $(AM_MAKEFLAGS) distdir distdir=sanitize/source
	+MAKE='$(MAKE)' $(SHELL) $(srcdir)/tests/sanitize/check.sh '$(abs_builddir)' $(SANITIZE_TESTS)
.PHONY: check-sanitize

clean-local: clean-sanitize
clean-sanitize:
	rm -rf sanitize
.PHONY: clean-sanitize
