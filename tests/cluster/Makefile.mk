# pretended hosts on this machine: `make check-cluster` (root, or user namespaces)
check_PROGRAMS += tests/cluster/mesh tests/cluster/credential
if HAVE_OPENMPI
check_PROGRAMS += tests/cluster/steady tests/cluster/steps
endif
tests_cluster_mesh_SOURCES = tests/cluster/mesh.c
tests_cluster_mesh_LDADD = libpmio_fabric.la libpmio_core.la
tests_cluster_credential_SOURCES = tests/cluster/credential.c
tests_cluster_credential_CPPFLAGS = $(AM_CPPFLAGS) $(FABRIC_CFLAGS) $(MUNGE_CFLAGS)
tests_cluster_credential_LDADD = libpmio_fabric.la libpmio_core.la $(MUNGE_LIBS)
tests_cluster_steady_SOURCES = tests/cluster/steady.c tests/mpi/util.h
tests_cluster_steady_CPPFLAGS = $(AM_CPPFLAGS) $(OMPI_CPPFLAGS)
tests_cluster_steady_LDADD = $(OMPI_LIBS)
tests_cluster_steps_SOURCES = tests/cluster/steps.c
tests_cluster_steps_CPPFLAGS = $(AM_CPPFLAGS) $(OMPI_CPPFLAGS)
tests_cluster_steps_LDADD = $(OMPI_LIBS)

cluster_tests = tests/cluster/fabric.sh tests/cluster/munge.sh tests/cluster/nodes.sh \
	tests/cluster/redirect.sh tests/cluster/failures.sh
EXTRA_DIST += $(cluster_tests) tests/cluster/lib.sh tests/cluster/hosts tests/cluster/on-host

check-cluster: all
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(cluster_tests)'
.PHONY: check-cluster
