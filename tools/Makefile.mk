# the command and the agent's main()
bin_PROGRAMS += pmio
pmio_SOURCES = tools/pmio.c tools/tools.h tools/options.c tools/output.c tools/pool_connect.c \
	tools/progress.c tools/progress.h tools/transfer.c tools/transfer.h tools/select.c tools/select.h \
	tools/pool.c tools/show.c tools/ls.c tools/stat.c tools/stat.h tools/watch.c tools/metrics.c \
	tools/drain.c tools/recover.c tools/recover_to.c tools/recover_to.h tools/stage_in.c tools/rm.c tools/agent.c tools/target.c tools/conf.c \
	tools/mpis.h tools/families.c tools/mpis.c tools/mpi_query.c tools/program.h tools/program.c tools/mpi_info.c tools/run.h tools/run.c tools/run_program.c tools/run_redirect.c tools/run_report.c tools/run_heap.h tools/run_heap.c \
	tools/mount.h tools/mount.c tools/unmount.c
if HAVE_FUSE3
pmio_SOURCES += tools/mount_impl.h tools/mount_serve.c tools/mount_file.c tools/mount_names.c tools/mount_dir.c tools/mount_attr.c \
	tools/mount_xattr.c tools/mount_lock.c tools/mount_page_cache.c tools/mount_mappings.c tools/mount_handle.c tools/mount_data.c tools/mount_node.c
else
pmio_SOURCES += tools/mount_stub.c
endif
pmio_CPPFLAGS = $(AM_CPPFLAGS) $(JSON_CFLAGS) $(UUID_CFLAGS) $(ELF_CFLAGS) $(FUSE3_CFLAGS) -DPMIO_LIBDIR=\"$(libdir)\"
pmio_LDADD = libpmio_daemon.la libpmio_remote.la libpmio_client.la libpmio_pool.la $(UUID_LIBS) $(JSON_LIBS) $(ELF_LIBS) $(FUSE3_LIBS) -ldl

sbin_PROGRAMS += pmiod
pmiod_SOURCES = tools/pmiod.c
pmiod_LDADD = libpmio_agent.la libpmio_target.la

# bash-completion looks for a file with the command's name
EXTRA_DIST += tools/pmio.bash
install-data-local:
	$(MKDIR_P) '$(DESTDIR)$(bashcompdir)'
	$(INSTALL_DATA) $(srcdir)/tools/pmio.bash '$(DESTDIR)$(bashcompdir)/pmio'
uninstall-local:
	rm -f '$(DESTDIR)$(bashcompdir)/pmio'
