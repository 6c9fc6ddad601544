# in a virtual machine with an emulated NVDIMM: tests on true DAX, power cuts
check_PROGRAMS += tests/vm/cuts
tests_vm_cuts_SOURCES = tests/vm/cuts.c tests/kill/work.c tests/kill/work.h
tests_vm_cuts_LDADD = libpmio.la

EXTRA_DIST += tests/vm/vm.sh tests/vm/image.sh tests/vm/guest.sh tests/vm/init

VM_CUTS = 3
vm_programs = tests/vm/cuts tests/unit/test_pm tests/unit/test_pool_files tests/unit/test_client_agent $(mpi_tests)
check-vm: all
	VM_CUTS='$(VM_CUTS)' $(MAKE) $(AM_MAKEFLAGS) check TESTS=tests/vm/vm.sh
.PHONY: check-vm
