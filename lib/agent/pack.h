/*
 * pack.h -- small files share frames (pack.c), and get their own again (unpack.c)
 */
#ifndef PMIO_AGENT_PACK_H
#define PMIO_AGENT_PACK_H

#include <stdbool.h>

#include "agent/file.h"

void pack_note(struct agent *a, struct file *f); /* it has pending data and is not open: it may be packed when frames are short */
bool pack_more(struct agent *a); /* pack files until one more frame is free; false: no file can be packed */

/* unpack.c: a program is to open f, which is packed; 0; UNPACK_WHEN_IDLE: again when the job on it has ended; or an error, logged */
#define UNPACK_WHEN_IDLE 1
int unpack_to_open(struct agent *a, struct file *f);

#endif
