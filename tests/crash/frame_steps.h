/*
 * frame_steps.h -- one frame, what agent and clients do to it step by step, and what an image of it shows
 */
#ifndef PMIO_TESTS_CRASH_FRAME_STEPS_H
#define PMIO_TESTS_CRASH_FRAME_STEPS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above it */
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "pool/frame.h"

#define TEST_CHUNK (64u << 10)

#define BLOCK 256u
#define SIZE (2u << 20 | 3u << 16) /* three frames of 64 KiB */
#define FRAME 1
#define CHUNK 7 /* of the file in its frame */
#define START ((uint64_t)CHUNK << 16)
#define WHOLE (START + 65536)
#define SLOT 1
#define GENERATION 1
#define LIMIT 48 /* images for one cut */

/* what the bytes of a block are */
#define PFS 'P'	  /* those of the file on the PFS */
#define OLD 'O'	  /* written and promised earlier, not drained */
#define NEW 'N'	  /* being written */
#define OTHER 'X' /* of another file */

/* one block in each cache line of a frame's header, as its dirty bit lies there */
extern const unsigned blocks[2];
/* which of the two a run uses */
enum use { LOW = 1, HIGH = 2, BOTH = 3 };

struct test {
	struct pmio_pm *pm;
	struct pmio_view *v;  /* of pm */
	struct pmio_view *re; /* the image under the looking glass */
	const struct sequence *seq;
	enum use use;
	size_t mark[3]; /* operations recorded when a sequence said so */
	unsigned nr_images;
	char flaw[200]; /* empty: none found */
};

struct sequence {
	const char *name;
	void (*setup)(struct test *t); /* before recording: durable */
	void (*run)(struct test *t);
	/* block b of an image after `cut` operations, recovered in t->re: what is wrong, or NULL */
	const char *(*look)(struct test *t, size_t cut, unsigned b);
	bool raw; /* as it is on media, not recovered */
};

/* every sequence, and how many there are (frame_sequences.c) */
extern const struct sequence sequences[];
extern const size_t nr_sequences;
/* of the one after which there may be no pool */
const char *look_format(struct test *t, size_t cut, unsigned b);

void mark(struct test *t, unsigned i);
/* the cut is after all that was recorded at the mark */
bool past(const struct test *t, size_t cut, unsigned i);

/* the thread that does it: a fence waits for the flushes of its own thread */
enum who { CLIENT, AGENT };
void by(struct test *t, enum who who);

/* the blocks that the run uses */
struct pmio_mask used(const struct test *t);
uint8_t *bytes(const struct pmio_view *v, unsigned b);
void put_one(struct test *t, unsigned b, char what);
void put(struct test *t, char what);
void fence(struct test *t);

/* the functions of frame.h, on the blocks that the run uses */
int write_begin(struct test *t);
void write_end(struct test *t);
void drain_begin(struct test *t);
void drain_end(struct test *t, bool ok);
void fill_begin(struct test *t);
void fill_end(struct test *t);

/* what the image shows of block b */
bool is_set(const uint64_t *map, unsigned b);
bool valid(const struct test *t, unsigned b);
bool dirty(const struct test *t, unsigned b);
/* every word of the block is one or the other */
bool holds(const struct test *t, unsigned b, char one_of, char or_of);
/* dirty with these bytes */
bool kept(const struct test *t, unsigned b, char what);
bool empty(const struct test *t, unsigned b);

#endif
