# a cluster of Slurm on this machine: `make check-slurm` (root; packages: scripts/packages-slurm.txt)
slurm_tests = tests/slurm/directives.sh tests/slurm/jobs.sh tests/slurm/ends.sh tests/slurm/faults.sh tests/slurm/strangers.sh tests/slurm/steps.sh tests/slurm/memory.sh tests/slurm/guides.sh
EXTRA_DIST += $(slurm_tests) tests/slurm/lib.sh tests/slurm/cluster

# its program alone: a part of `make check`
TESTS += tests/slurm/unit.sh
EXTRA_DIST += tests/slurm/unit.sh tests/slurm/unit.py tests/slurm/unit/fakes.py tests/slurm/unit/test_memory.py \
	tests/slurm/unit/test_node.py tests/slurm/unit/test_stages.py tests/slurm/unit/test_text.py tests/slurm/unit/test_user.py

check-slurm: all
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(slurm_tests)'
.PHONY: check-slurm
