# pretended hosts on this machine: `make check-cluster` (root, or user namespaces)
check_PROGRAMS += tests/cluster/mesh
tests_cluster_mesh_SOURCES = tests/cluster/mesh.c
tests_cluster_mesh_LDADD = libpmio_fabric.la libpmio_core.la

cluster_tests = tests/cluster/fabric.sh
EXTRA_DIST += $(cluster_tests) tests/cluster/hosts tests/cluster/on-host

check-cluster: all
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(cluster_tests)'
.PHONY: check-cluster
