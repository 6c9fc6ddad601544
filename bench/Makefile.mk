# side by side with other components; `make bench` runs it (never part of the tests)
EXTRA_PROGRAMS = bench_mpi
bench_mpi_SOURCES = bench/bench_mpi.c
bench_mpi_CPPFLAGS = $(OMPI_CPPFLAGS) $(PMEM2_CFLAGS)
bench_mpi_LDADD = $(OMPI_LIBS) $(PMEM2_LIBS)
EXTRA_PROGRAMS += bench_touch
bench_touch_SOURCES = bench/bench_touch.c
EXTRA_DIST += bench/figure bench/run bench/table bench/warm.sh
CLEANFILES += bench_mpi bench_fabric bench_touch
.PHONY: bench
bench: all bench_mpi bench_touch
	top_builddir=$(top_builddir) $(srcdir)/bench/run

# make bench-mpich: the library on MPICH, side by side with MPICH's own ROMIO
bench_mpi_mpich: $(srcdir)/bench/bench_mpi.c
	$(AM_V_CC)$(CC) $(MPICH_CPPFLAGS) $(PMEM2_CFLAGS) $(CPPFLAGS) $(AM_CFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(MPICH_LIBS) $(PMEM2_LIBS) $(LIBS)
CLEANFILES += bench_mpi_mpich
.PHONY: bench-mpich
bench-mpich: all bench_mpi bench_mpi_mpich bench_touch
	top_builddir=$(top_builddir) $(srcdir)/bench/run --mpi=mpich

# make bench_fabric && ./bench_fabric 127.0.0.1
EXTRA_PROGRAMS += bench_fabric
bench_fabric_SOURCES = bench/bench_fabric.c
bench_fabric_CPPFLAGS = $(AM_CPPFLAGS) $(FABRIC_CFLAGS)
bench_fabric_LDADD = libpmio_fabric.la libpmio_core.la

# make bench-drain
EXTRA_PROGRAMS += bench_drain
bench_drain_SOURCES = bench/bench_drain.c
bench_drain_LDADD = libpmio.la
EXTRA_DIST += bench/drain
CLEANFILES += bench_drain
.PHONY: bench-drain
bench-drain: all bench_drain
	top_builddir=$(top_builddir) $(srcdir)/bench/drain

# make bench-remote
EXTRA_DIST += bench/remote
.PHONY: bench-remote
bench-remote: all bench_mpi bench_fabric bench_touch
	top_builddir=$(top_builddir) $(srcdir)/bench/remote

# make bench-messages: how many messages pretended hosts send each other; doc/scaling.md has the table
EXTRA_DIST += bench/messages
.PHONY: bench-messages
bench-messages: all tests/cluster/steady
	top_builddir=$(top_builddir) $(srcdir)/bench/messages

# make bench-fio, as root: fio's random mix on NFS, a disk, and PMEM by itself and through pmio
EXTRA_PROGRAMS += nfs_mount
nfs_mount_SOURCES = bench/fio/nfs_mount.c
nfs_mount_CPPFLAGS = $(FUSE3_CFLAGS) $(NFS_CFLAGS)
nfs_mount_LDADD = $(FUSE3_LIBS) $(NFS_LIBS)
CLEANFILES += nfs_mount
EXTRA_DIST += bench/fio/run bench/fio/randrw.inc bench/fio/nfs.fio bench/fio/ssd.fio bench/fio/pmem.fio
.PHONY: bench-fio
bench-fio: all nfs_mount
	top_builddir=$(top_builddir) $(srcdir)/bench/fio/run

# make bench-network-fs, as root: files of several nodes beside GlusterFS and NFS (without libnfs: GlusterFS only)
EXTRA_DIST += bench/network-fs
.PHONY: bench-network-fs
bench-network-fs: all bench_mpi bench_touch
	-[ -z '$(NFS_LIBS)' ] || $(MAKE) nfs_mount
	top_builddir=$(top_builddir) $(srcdir)/bench/network-fs

# make bench-memory: what an agent and a rank take
EXTRA_PROGRAMS += bench_memory
bench_memory_SOURCES = bench/bench_memory.c
bench_memory_CPPFLAGS = $(OMPI_CPPFLAGS)
bench_memory_LDADD = $(OMPI_LIBS)
EXTRA_DIST += bench/memory
CLEANFILES += bench_memory
.PHONY: bench-memory
bench-memory: all bench_memory
	top_builddir=$(top_builddir) $(srcdir)/bench/memory

# make bench-report: all of them, and doc/performance.md from what they measured; what cannot be built or run is left out
EXTRA_DIST += bench/report bench/page bench/performance.md
.PHONY: bench-report
bench-report: all
	-$(MAKE) -k bench_mpi bench_touch bench_fabric bench_drain bench_memory tests/cluster/steady
	-[ -z '$(MPICH_LIBS)' ] || $(MAKE) bench_mpi_mpich
	-[ -z '$(NFS_LIBS)' ] || $(MAKE) nfs_mount
	top_builddir=$(top_builddir) $(srcdir)/bench/report
