/*
 * chunks.h -- the chunks of one file that the pool has, or that are on the PFS only
 */
#ifndef PMIO_AGENT_CHUNKS_H
#define PMIO_AGENT_CHUNKS_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/file.h"

struct chunk *files_chunk(struct file *f, uint64_t number); /* NULL: not known */
struct chunk *files_add_chunk(struct file *f, uint64_t number, int64_t frame);
void files_del_chunk(struct agent *a, struct file *f, struct chunk *ch);
void files_del_all_chunks(struct agent *a, struct file *f);
/* forget which chunks are on the PFS only; no program may have the file open */
void files_drop_pfs_chunks(struct file *f);
uint64_t files_dirty_bytes(const struct agent *a, const struct file *f, uint64_t *resident);
bool files_any_dirty(const struct agent *a, const struct file *f);

/* of a packed file (pack.c).  p: out, its blocks; false: it is not packed */
bool files_packed_blocks(const struct agent *a, const struct file *f, struct pmio_packed *p);
/* drop the pool's data of a packed file: they are on the PFS, or are to be discarded */
void files_packed_drop(struct agent *a, struct file *f);

#endif
