# manual pages; design.md is for those who change pmio, the scripts are the README's commands
dist_man_MANS += doc/man/pmio.1 doc/man/pmio-agent.1 doc/man/pmio-mount.1 doc/man/pmio-pool.1 doc/man/pmio-recover.1 doc/man/pmio-run.1 doc/man/pmio-stage.1 doc/man/pmio-stat.1 doc/man/pmio-slurm.7 doc/man/pmio.7 doc/man/pmiod.8 doc/man/pmio.h.3
# written by make bench-report
performance_page = doc/performance.md doc/performance-one-node.svg doc/performance-one-node-small.svg doc/performance-ordinary-pages.svg \
	doc/performance-several-nodes.svg doc/performance-network-fs.svg doc/performance-fio.svg
EXTRA_DIST += doc/building.md doc/design.md doc/glossary.md doc/guarantees.md doc/limits.md doc/mpis.md doc/scaling.md doc/workflows.md doc/settings.md doc/speed.svg $(performance_page) doc/troubleshooting.md doc/security.md doc/slurm-admin.md doc/slurm-user.md scripts/quickstart scripts/run-tests scripts/packages.txt scripts/packages-optional.txt scripts/packages-distro.txt scripts/packages-fuzz.txt scripts/packages-mpich.txt scripts/packages-slurm.txt scripts/packages-vm.txt scripts/packages-clients.txt scripts/packages-bench.txt

# pages that tell of several commands, by the names of these
man_links = unmount:mount mpi-info:run stage-in:stage stage-out:stage drain:stage ls:stat
install-data-hook:
	for l in $(man_links); do \
		$(LN_S) -f pmio-$${l#*:}.1 '$(DESTDIR)$(man1dir)'/pmio-$${l%:*}.1 || exit 1; \
	done
uninstall-hook:
	for l in $(man_links); do rm -f '$(DESTDIR)$(man1dir)'/pmio-$${l%:*}.1; done
