/* heap.h -- constants shared by `pmio run --heap` and the library that it loads */
#ifndef PMIO_HEAP_HEAP_H
#define PMIO_HEAP_HEAP_H

#include <stddef.h>

#define PMIO_HEAP_MIN ((size_t)32 << 20) /* bytes: room for memkind's own structures, and something to give out */

#endif
