/*
 * pool_scan.h -- which frames belong to which file
 *
 * For the files of lib/pool only: opening a pool acts on the results, checking a pool
 * counts them.
 */
#ifndef PMIO_POOL_POOL_SCAN_H
#define PMIO_POOL_POOL_SCAN_H

#include "pool/catalog.h"

enum pmio_frame_class {
	PMIO_FRAME_FREE,
	PMIO_FRAME_USED,
	PMIO_FRAME_PACK, /* shared by packed files */
	PMIO_FRAME_LEFT, /* of a deleted file, or one with an interrupted creation */
	PMIO_FRAME_BAD,	 /* invalid contents, or a chunk that another frame also holds */
};

struct pmio_scan {
	uint8_t *state; /* by slot: enum pmio_file_state; NONE also if the entry is stale */
	bool *unsynced;	/* by slot: PMIO_FILE_UNSYNCED */
	bool *stale;	/* by slot: the catalog has an entry of an old generation */
	bool *packed;	/* by slot: it is a packed file */
	uint64_t *units; /* by frame: those that packed files have */
	uint8_t *frame; /* by frame: enum pmio_frame_class */
	uint64_t nr_problems; /* each logged as an error */
};

/*
 * pmio_scan_new -- look at all slots and frames; changes nothing
 *
 * cat   NULL: the catalog cannot be read; every slot counts as free
 * dir   for messages
 *
 * Returns 0 or -ENOMEM, logged.
 */
int pmio_scan_new(const struct pmio_view *v, const struct pmio_catalog *cat, const char *dir,
		  struct pmio_scan **out);
void pmio_scan_delete(struct pmio_scan **scan); /* takes a pointer to NULL */

#endif
