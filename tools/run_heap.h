/*
 * run_heap.h -- pmio run --heap
 */
#ifndef PMIO_TOOLS_RUN_HEAP_H
#define PMIO_TOOLS_RUN_HEAP_H

#include "tools.h"

struct run_heap {
	uint64_t size;	  /* bytes; 0: no heap */
	const char *full; /* "dram" or "fail", for PMIO_HEAP_FULL; NULL: as in the environment */
	const char *fork; /* "copy" or "refuse", for PMIO_HEAP_FORK; NULL: as in the environment */
};

/*
 * check that it is available, and set the environment; TOOL_DONE or, after one line, TOOL_RUN_FAILED.  The library is
 * not preloaded yet
 */
int run_heap(const struct tool *tool, const char *library, const struct run_heap *h);

#endif
