# support for Slurm: scripts that slurm.conf names; see pmio-slurm(7)
slurmdir = $(pkgdatadir)/slurm
dist_slurm_SCRIPTS = slurm/pmio-slurm slurm/prolog slurm/epilog
dist_slurm_DATA = slurm/burst_buffer.lua slurm/job_submit.lua slurm/pmio_directives.lua
# the package of the program pmio-slurm, beside it
slurmpythondir = $(slurmdir)/pmio_slurm
dist_slurmpython_DATA = \
	slurm/pmio_slurm/__init__.py slurm/pmio_slurm/buffer.py slurm/pmio_slurm/clock.py slurm/pmio_slurm/commands.py \
	slurm/pmio_slurm/config.py slurm/pmio_slurm/errors.py slurm/pmio_slurm/files.py slurm/pmio_slurm/job.py \
	slurm/pmio_slurm/lease.py slurm/pmio_slurm/main.py slurm/pmio_slurm/memory.py slurm/pmio_slurm/memory_nodes.py \
	slurm/pmio_slurm/memory_pool.py slurm/pmio_slurm/node.py slurm/pmio_slurm/pool.py slurm/pmio_slurm/processes.py \
	slurm/pmio_slurm/quota.py slurm/pmio_slurm/retry.py slurm/pmio_slurm/stages.py slurm/pmio_slurm/status.py \
	slurm/pmio_slurm/text.py slurm/pmio_slurm/user.py
slurm_DATA = slurm/pmio-slurm.conf slurm/pmio-target@.service slurm/pmio-memory.service

$(slurm_DATA): %: %.in Makefile
	$(AM_V_GEN)$(MKDIR_P) slurm && $(SED) -e 's|@bindir[@]|$(bindir)|' -e 's|@sbindir[@]|$(sbindir)|' \
		-e 's|@slurmdir[@]|$(slurmdir)|' -e 's|@libdir[@]|$(libdir)|' '$(srcdir)/$@.in' >$@.tmp && mv $@.tmp $@
EXTRA_DIST += slurm/pmio-slurm.conf.in slurm/pmio-target@.service.in slurm/pmio-memory.service.in
CLEANFILES += $(slurm_DATA)

if HAVE_SPANK
pkglib_LTLIBRARIES = spank_pmem.la
endif
spank_pmem_la_SOURCES = slurm/spank_pmem.c
spank_pmem_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared
spank_pmem_la_LIBADD = -lm
