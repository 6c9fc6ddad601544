# malloc() in persistent memory, for pmio run --heap; it loads memkind itself, and is linked to nothing of pmio
if HAVE_MEMKIND
lib_LTLIBRARIES += libpmio-heap.la
libpmio_heap_la_SOURCES = lib/heap/heap.c lib/heap/heap.h
# compilers must not make a call to calloc() of calloc()'s own code
libpmio_heap_la_CFLAGS = $(AM_CFLAGS) $(MEMKIND_CFLAGS) -fno-builtin-malloc -fno-builtin-calloc -fvisibility=hidden
libpmio_heap_la_LIBADD = -ldl
libpmio_heap_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -Wl,-z,nodelete
endif
EXTRA_DIST += lib/heap/heap.c lib/heap/heap.h
