# pmio run --heap
TESTS += tests/heap/heap.sh
EXTRA_DIST += tests/heap/heap.sh
check_PROGRAMS += tests/heap/values
tests_heap_values_SOURCES = tests/heap/values.c
# compilers know what malloc() does, and would leave out what is tested
tests_heap_values_CFLAGS = $(AM_CFLAGS) -fno-builtin
