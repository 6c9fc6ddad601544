/*
 * test_crash_world.c -- power cuts in what the agent and clients do
 *
 * Each sequence runs in a world of its own (world.h).  All that a power cut could
 * leave of pool, catalog and file system is given to the next agent, which drains;
 * in some of these recoveries the power goes once more.  Then
 *   - what was promised is in the files, and nothing of other files;
 *   - what had not returned is done or not, a truncation or deletion whole;
 *   - what the catalog calls clean is durable on the file system.
 *
 *   --mutants [PART-OF-A-NAME]   leave out each flush, fence and sync (mutants.h)
 *   --sequence NAME              only this one
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above it */
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mutants.h"
#include "proto/proto.h"
#include "world.h"

#define A "/pfs/a"
#define B "/pfs/b"
#define READ PMIO_OPEN_READ
#define WRITE (PMIO_OPEN_READ | PMIO_OPEN_WRITE)
#define CREATE (WRITE | PMIO_OPEN_CREATE)
#define BLOCK WORLD_BLOCK
#define CHUNK WORLD_CHUNK

static struct pmio_file *f, *g; /* of clients 0 and 1 */

/* ---- new files -------------------------------------------------------------------- */

static void create_only(void)
{
	world_start();
	f = world_open(0, A, CREATE);
	world_close(&f);
}

static void write_new(void)
{
	world_start();
	f = world_open(0, A, CREATE);
	world_write(f, 0, 2 * BLOCK);
	world_write(f, 2 * BLOCK, 100); /* a block in part */
	world_write(f, 50, BLOCK);
	world_close(&f);
}

/* a block across two chunks, and one beyond a hole */
static void write_chunks(void)
{
	world_start();
	f = world_open(0, A, CREATE);
	world_write(f, CHUNK - BLOCK - 10, 2 * BLOCK + 30);
	world_write(f, 2 * CHUNK + 5 * BLOCK, BLOCK);
	world_close(&f);
}

/* ---- files that are there ------------------------------------------------------------ */

static void overwrite(void)
{
	world_put(A, 5 * BLOCK + 77);
	world_start();
	f = world_open(0, A, WRITE);
	world_write(f, BLOCK, BLOCK);
	world_write(f, 2 * BLOCK + 3, 2 * BLOCK);
	world_write(f, 5 * BLOCK + 70, 20);
	world_close(&f);
	f = world_open(0, A, WRITE);
	world_write(f, 10, 10); /* cached by now */
	world_close(&f);
}

static void write_more(void)
{
	world_write(g, BLOCK, BLOCK);	  /* what is being drained */
	world_write(g, 7 * BLOCK, BLOCK); /* beyond the end */
}

/* another client rewrites what a drain has just taken */
static void rewrite_while_draining(void)
{
	static const char *const calls[] = { "pwritev", "ftruncate", "fdatasync", "fsync" };

	world_put(A, BLOCK);
	world_start();
	f = world_open(0, A, WRITE);
	g = world_open(1, A, WRITE);
	for (unsigned i = 0; i < 4; i++) {
		world_write(f, BLOCK, 3 * BLOCK + 9);
		world_during(calls[i], 1, write_more);
		world_drain(f);
	}
	world_close(&f);
	world_close(&g);
}

static void sync_and_drain(void)
{
	world_start();
	f = world_open(0, A, CREATE);
	world_write(f, 0, BLOCK);
	world_sync(f);
	world_drain(f);
	world_write(f, 0, BLOCK);
	world_drain(f);
	world_close(&f);
}

static void two_files(void)
{
	world_put(A, 3 * BLOCK);
	world_start();
	f = world_open(0, A, WRITE);
	g = world_open(1, B, CREATE);
	world_write(f, 2 * BLOCK, 2 * BLOCK);
	world_write(g, 0, 3 * BLOCK);
	world_close(&f);
	world_write(g, 100, 50);
	world_close(&g);
}

/* ---- held: closed, and not drained ---------------------------------------------------- */

static void hold(void)
{
	world_put(B, 3 * BLOCK);
	world_start();
	f = world_open(0, A, CREATE | PMIO_OPEN_HOLD);
	g = world_open(1, B, WRITE | PMIO_OPEN_HOLD);
	world_write(f, 0, 3 * BLOCK);
	world_write(g, 2 * BLOCK, 3 * BLOCK);
	world_close(&f);
	world_close(&g);
	f = world_open(0, A, WRITE | PMIO_OPEN_HOLD);
	world_write(f, BLOCK, BLOCK);
	world_close(&f);
	f = world_open(0, A, WRITE);
	world_close(&f);
}

/* ---- sizes ------------------------------------------------------------------------------ */

static void truncate_down(void)
{
	world_put(A, 6 * BLOCK);
	world_start();
	f = world_open(0, A, WRITE);
	world_write(f, 2 * BLOCK, 2 * BLOCK);
	world_truncate(f, 3 * BLOCK + 50);
	world_truncate(f, BLOCK - 9);
	world_close(&f);
}

/* what was cut off does not come back with what makes the file longer again */
static void truncate_and_grow(void)
{
	world_put(A, 6 * BLOCK);
	world_start();
	f = world_open(0, A, WRITE);
	world_write(f, 2 * BLOCK, 2 * BLOCK);
	world_truncate(f, BLOCK + 20);
	world_truncate(f, 8 * BLOCK);
	world_close(&f);
	f = world_open(0, A, WRITE);
	world_truncate(f, 3 * BLOCK);
	world_write(f, 7 * BLOCK, BLOCK);
	world_close(&f);
}

static void truncate_new(void)
{
	world_start();
	f = world_open(0, A, CREATE);
	world_write(f, 0, 4 * BLOCK);
	world_truncate(f, 0);
	world_write(f, 2 * BLOCK, 10);
	world_close(&f);
}

static void truncate_across_chunks(void)
{
	world_put(A, 2 * CHUNK + 3 * BLOCK);
	world_start();
	f = world_open(0, A, WRITE);
	world_write(f, CHUNK - BLOCK, 2 * BLOCK);
	world_write(f, 2 * CHUNK, BLOCK);
	world_truncate(f, CHUNK - 20);
	world_truncate(f, 2 * CHUNK);
	world_close(&f);
}

/* ---- files that go ------------------------------------------------------------------------ */

static void delete_cached(void)
{
	world_put(A, 3 * BLOCK);
	world_start();
	f = world_open(0, A, WRITE);
	world_write(f, BLOCK, BLOCK);
	world_close(&f);
	world_delete(0, A);
}

static void delete_unknown(void)
{
	world_put(A, 3 * BLOCK);
	world_start();
	world_delete(0, A);
}

static void delete_held(void)
{
	world_put(A, 3 * BLOCK);
	world_start();
	f = world_open(0, A, WRITE | PMIO_OPEN_HOLD);
	world_write(f, BLOCK, 4 * BLOCK);
	world_close(&f);
	world_delete(0, A);
}

static void delete_open(void)
{
	world_put(A, 3 * BLOCK);
	world_start();
	f = world_open(0, A, WRITE);
	world_write(f, BLOCK, 4 * BLOCK);
	world_delete(1, A);
	world_close(&f);
}

static void discard(void)
{
	world_start();
	f = world_open(0, A, CREATE);
	world_write(f, 0, 2 * BLOCK);
	world_discard(&f);
}

static void delete_and_create(void)
{
	world_start();
	f = world_open(0, A, CREATE);
	world_write(f, 0, 4 * BLOCK);
	world_close(&f);
	world_delete(0, A);
	f = world_open(0, A, CREATE);
	world_write(f, 2 * BLOCK, BLOCK);
	world_close(&f);
}

/* ---- a pool too small ------------------------------------------------------------------------ */

/* a file that is closed gives its frames to another */
static void evict(void)
{
	world_put(A, CHUNK + BLOCK);
	world_start();
	f = world_open(0, A, WRITE);
	world_write(f, CHUNK - BLOCK, 2 * BLOCK);
	world_close(&f);
	g = world_open(1, B, CREATE);
	world_write(g, 0, 2 * CHUNK + BLOCK);
	world_close(&g);
}

/* and its slot */
static void evict_slots(void)
{
	world_start();
	f = world_open(0, A, CREATE);
	world_write(f, 0, BLOCK);
	world_close(&f);
	f = world_open(0, B, CREATE);
	world_write(f, 0, BLOCK);
	world_close(&f);
}

/* no frame for the third chunk: it is written to the file system */
static void fall_back(void)
{
	world_put(A, 2 * CHUNK);
	world_promise_late();
	world_start();
	f = world_open(0, A, WRITE);
	world_write(f, CHUNK - BLOCK, CHUNK + 2 * BLOCK);
	world_sync(f);
	world_write(f, 2 * CHUNK + 100, BLOCK);
	world_sync(f);
	world_truncate(f, 2 * CHUNK + 10);
	world_close(&f);
}

static void read_and_write(void)
{
	world_put(A, CHUNK + 3 * BLOCK + 5);
	world_put(B, 2 * BLOCK);
	world_start();
	f = world_open(0, A, WRITE);
	world_read(f);
	world_write(f, CHUNK + BLOCK, 10);
	world_read(f);
	g = world_open(1, B, READ);
	world_read(g);
	world_close(&f);
	world_close(&g);
}

/* frames that were used are made blank, and taken for what is new */
static void blank_frames(void)
{
	world_put(A, 3 * CHUNK);
	world_start();
	f = world_open(0, A, READ | PMIO_OPEN_DROP);
	world_read(f);
	world_close(&f);
	world_idle();
	g = world_open(1, B, CREATE);
	world_write(g, 10, 20);
	world_write(g, 3 * BLOCK, BLOCK);
	world_close(&g);
}

struct sequence {
	const char *name;
	struct world_params params;
	void (*run)(void);
};

static const struct sequence sequences[] = {
	{ "create", { 3, 3 }, create_only },
	{ "write, new file", { 3, 3 }, write_new },
	{ "write, chunks", { 4, 3 }, write_chunks },
	{ "overwrite", { 3, 3 }, overwrite },
	{ "rewrite while draining", { 3, 3 }, rewrite_while_draining },
	{ "sync and drain", { 3, 3 }, sync_and_drain },
	{ "two files", { 3, 3 }, two_files },
	{ "hold", { 3, 3 }, hold },
	{ "truncate down", { 3, 3 }, truncate_down },
	{ "truncate and grow", { 3, 3 }, truncate_and_grow },
	{ "truncate, new file", { 3, 3 }, truncate_new },
	{ "truncate across chunks", { 4, 3 }, truncate_across_chunks },
	{ "delete, cached", { 3, 3 }, delete_cached },
	{ "delete, unknown", { 3, 3 }, delete_unknown },
	{ "delete, held", { 3, 3 }, delete_held },
	{ "delete, open", { 3, 3 }, delete_open },
	{ "discard", { 3, 3 }, discard },
	{ "delete and create", { 3, 3 }, delete_and_create },
	{ "evict", { 3, 3 }, evict },
	{ "evict slots", { 3, 1 }, evict_slots },
	{ "fall back", { 2, 3 }, fall_back },
	{ "read and write", { 4, 3 }, read_and_write },
	{ "blank frames", { 24, 3 }, blank_frames },
};

#define NR_SEQUENCES (sizeof(sequences) / sizeof(sequences[0]))

/* ---- one run ------------------------------------------------------------------------ */

static unsigned long nr_looks;

/* what is wrong, or NULL; good until the next run */
static const char *run(const struct sequence *s, const struct world_limits *limits)
{
	static char why[600];
	const char *flaw;

	world_begin(&s->params);
	s->run();
	flaw = world_cut(limits, &nr_looks);
	if (flaw)
		snprintf(why, sizeof(why), "%s: %s", s->name, flaw);
	world_end();
	return flaw ? why : NULL;
}

static void crash__every_sequence(void **state)
{
	const struct world_limits limits = {
		.images = 6, .variants = 4, .looks = 3000, .nested = 50, .seed = 1 };
	const char *only = *state;
	unsigned nr_bad = 0;

	for (size_t i = 0; i < NR_SEQUENCES; i++) {
		unsigned long before = nr_looks;
		const char *flaw;

		if (only && strcmp(only, sequences[i].name) != 0)
			continue;
		flaw = run(&sequences[i], &limits);
		print_message("# %s: %lu looks%s%s\n", sequences[i].name, nr_looks - before,
			      flaw ? ": " : "", flaw ? flaw : "");
		nr_bad += flaw != NULL;
	}
	assert_int_equal(nr_bad, 0);
}

/* ---- without one fence, flush or sync -------------------------------------------------- */

static bool finds_fault(char *why, size_t len)
{
	const struct world_limits limits = {
		.images = 6, .variants = 4, .looks = 2000, .seed = 1 };

	for (size_t i = 0; i < NR_SEQUENCES; i++) {
		const char *flaw = run(&sequences[i], &limits);

		if (!flaw)
			continue;
		snprintf(why, len, "%s", flaw);
		return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(crash__every_sequence,
					  strcmp(what, "--sequence") == 0 ? argv[2] : NULL),
	};

	if (strcmp(what, "--mutants") == 0) {
		crash_mutants(argc > 2 ? argv[2] : NULL, finds_fault);
		return 0;
	}
	return cmocka_run_group_tests_name("crash world", tests, NULL, NULL);
}
