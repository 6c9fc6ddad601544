# support for Slurm: scripts that slurm.conf names; see pmio-slurm(7)
slurmdir = $(pkgdatadir)/slurm
dist_slurm_SCRIPTS = slurm/pmio-slurm slurm/prolog slurm/epilog
dist_slurm_DATA = slurm/stages.sh slurm/pools.sh slurm/nodes.sh slurm/memory.sh slurm/burst_buffer.lua slurm/job_submit.lua slurm/pmio_directives.lua
slurm_DATA = slurm/pmio-slurm.conf slurm/pmio-target@.service slurm/pmio-memory.service

$(slurm_DATA): %: %.in Makefile
	$(AM_V_GEN)$(MKDIR_P) slurm && $(SED) -e 's|@bindir[@]|$(bindir)|' -e 's|@sbindir[@]|$(sbindir)|' \
		-e 's|@slurmdir[@]|$(slurmdir)|' '$(srcdir)/$@.in' >$@.tmp && mv $@.tmp $@
EXTRA_DIST += slurm/pmio-slurm.conf.in slurm/pmio-target@.service.in slurm/pmio-memory.service.in
CLEANFILES += $(slurm_DATA)

if HAVE_SPANK
pkglib_LTLIBRARIES = spank_pmem.la
endif
spank_pmem_la_SOURCES = slurm/spank_pmem.c
spank_pmem_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared
spank_pmem_la_LIBADD = -lm
