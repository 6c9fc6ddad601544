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
 *   --random SEED COUNT          random sequences, from this one on
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
#define C "/pfs/c"
#define D "/pfs/d"
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

/* another node has written beyond what this one knows of */
static void grow(void)
{
	world_start();
	f = world_open(0, A, CREATE | PMIO_OPEN_HOLD);
	world_write(f, 0, BLOCK);
	world_grow(f, 2 * BLOCK + 5);
	world_write(f, BLOCK, 10);
	world_grow(f, 4 * BLOCK);
	world_close(&f);
	f = world_open(0, A, WRITE);
	world_grow(f, 5 * BLOCK);
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

/* a close that does not drain makes what found no frame durable all the same */
static void fall_back_with(uint32_t flag)
{
	world_promise_late();
	world_start();
	f = world_open(0, A, CREATE | flag);
	world_write(f, CHUNK - BLOCK, 2 * BLOCK);
	world_close(&f);
}

static void fall_back_hold(void)
{
	fall_back_with(PMIO_OPEN_HOLD);
}

static void fall_back_async(void)
{
	fall_back_with(PMIO_OPEN_ASYNC);
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

static void held_small(const char *path, size_t len)
{
	f = world_open(0, path, CREATE | PMIO_OPEN_HOLD);
	world_write(f, 0, len);
	world_close(&f);
}

/* small files that are held share a frame; then one is rewritten, one grows, one goes, and one is drained */
static void pack(void)
{
	world_put(B, 2 * BLOCK);
	world_start();
	held_small(A, 3 * BLOCK);
	f = world_open(0, B, WRITE | PMIO_OPEN_HOLD);
	world_write(f, 10, BLOCK);
	world_close(&f);
	held_small(C, BLOCK + 5);
	held_small(D, 2 * BLOCK); /* which packs the others */
	f = world_open(0, A, WRITE | PMIO_OPEN_HOLD);
	world_read(f);
	world_write(f, BLOCK, 4 * BLOCK);
	world_close(&f);
	f = world_open(0, B, WRITE);
	world_read(f);
	world_write(f, 0, 20);
	world_close(&f);
	world_delete(0, C);
	held_small(C, 10);
	world_delete(0, D);
	f = world_open(0, A, READ);
	world_read(f);
	world_close(&f);
}

/* one that is packed is opened, and no frame is free: it is drained */
static void pack_and_drain(void)
{
	world_promise_late();
	world_start();
	held_small(A, 2 * BLOCK);
	held_small(B, BLOCK);
	g = world_open(1, C, CREATE);
	world_write(g, 0, BLOCK);
	world_write(g, CHUNK, BLOCK);
	f = world_open(0, A, WRITE | PMIO_OPEN_HOLD);
	world_read(f);
	world_write(f, 100, BLOCK);
	world_close(&f);
	world_close(&g);
	world_delete(0, B);
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

/* the end of a chunk's last block is cut off, and what comes after it finds no frame */
static void truncate_and_fall_back(void)
{
	world_put(A, CHUNK);
	world_promise_late();
	world_start();
	f = world_open(0, A, WRITE);
	world_write(f, CHUNK - BLOCK, BLOCK);
	world_truncate(f, CHUNK - 20);
	world_write(f, CHUNK + 10, 100);
	world_sync(f);
	world_close(&f);
}

/* ---- agent and clients killed, and then the power goes -------------------------------------- */

static void write_beyond(void)
{
	world_write(f, BLOCK, 4 * BLOCK);
}

static void write_some_more(void)
{
	world_write(f, 3 * BLOCK, 30);
	world_truncate(f, 2 * BLOCK);
	world_drain(f);
	world_write(f, 7 * BLOCK, BLOCK);
}

static unsigned kill_after;

/* what the dead have left, and recovery has put in order, does not come back either */
static void killed_in(void (*fn)(void))
{
	world_put(A, 2 * BLOCK + 9);
	world_start();
	f = world_open(0, A, WRITE);
	world_write(f, 0, 10);
	world_kill_in(kill_after, fn, false);
	f = world_open(0, A, WRITE);
	world_write(f, 8 * BLOCK, BLOCK);
	world_close(&f);
}

static void cut_off(void)
{
	world_truncate(f, 3 * BLOCK + 50);
}

/* the next agent does the rest of it, durably: nothing of it comes back with a write beyond */
static void killed_in_truncate(void)
{
	world_put(A, 6 * BLOCK);
	world_start();
	f = world_open(0, A, WRITE);
	world_write(f, 2 * BLOCK, 4 * BLOCK);
	world_kill_in(kill_after, cut_off, true);
	f = world_open(0, A, WRITE | PMIO_OPEN_HOLD);
	world_write(f, 5 * BLOCK, 2 * BLOCK);
	world_close(&f);
}

static void killed_in_write(void)
{
	killed_in(write_beyond);
}

static void killed_later(void)
{
	killed_in(write_some_more);
}

/* frames that were used are zeroed, and taken for what is new */
static void zeroed_frames(void)
{
	world_put(A, BLOCK);
	world_start();
	f = world_open(0, A, WRITE | PMIO_OPEN_DROP);
	for (unsigned i = 0; i < 18; i++) /* more than the agent leaves alone */
		world_write(f, i * CHUNK, BLOCK);
	world_close(&f);
	world_idle();
	g = world_open(1, B, CREATE);
	world_write(g, 10, 20);
	world_write(g, 3 * BLOCK, BLOCK);
	world_close(&g);
}

/* ---- anything ------------------------------------------------------------------------------------ */

static uint64_t random_state;
static bool small; /* the pool is: some chunks find no frame */

static unsigned draw(unsigned below)
{
	random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)((random_state >> 33) % below);
}

static uint64_t draw_offset(void)
{
	static const uint64_t places[] = { 0, BLOCK, 4 * BLOCK, CHUNK - BLOCK, CHUNK, CHUNK + 2 * BLOCK };

	return places[draw(6)] + (draw(2) ? 0 : draw(3 * BLOCK));
}

static size_t draw_len(void)
{
	return draw(3) == 0 ? 1 + draw(40) : draw(2) ? BLOCK * (1 + draw(4)) : 1 + draw(3 * BLOCK);
}

static uint32_t draw_flags(void)
{
	static const uint32_t flags[] = { 0, 0, 0, PMIO_OPEN_HOLD, PMIO_OPEN_DROP, PMIO_OPEN_ASYNC };

	return CREATE | flags[draw(6)];
}

static const char *draw_path(void)
{
	return draw(3) ? A : draw(3) ? B : C;
}

/* by client 1, while client 0 waits for the file system */
static void disturb(void)
{
	if (!g)
		g = world_open(1, draw_path(), draw_flags());
	else if (draw(4) == 0)
		world_close(&g);
	else
		world_write(g, draw_offset(), draw_len());
}

static void step_with_file(void)
{
	static const char *const calls[] = { "pwritev", "ftruncate", "fsync", "unlink", "pwrite" };

	if (draw(3) == 0)
		world_during(calls[draw(5)], 1, disturb);
	switch (draw(10)) {
	case 0:
	case 1:
		world_close(&f);
		break;
	case 2:
		world_truncate(f, draw(4) ? draw_offset() : 0);
		break;
	case 3:
		world_drain(f);
		break;
	case 4:
		world_read(f);
		break;
	case 5:
		world_idle();
		break;
	default:
		world_write(f, draw_offset(), draw_len());
	}
	world_during("", 0, NULL);
}

static void step(void)
{
	const char *path = draw_path();

	if (f)
		step_with_file();
	else if (draw(5) == 0 && world_has(path))
		world_delete(0, path);
	else
		f = world_open(0, path, draw_flags());
}

static void anything(void)
{
	f = g = NULL;
	if (small)
		world_promise_late();
	if (draw(2))
		world_put(A, draw(2) ? draw(6 * BLOCK) : CHUNK + draw(4 * BLOCK));
	world_start();
	for (unsigned i = 0, nr = 4 + draw(10); i < nr; i++)
		step();
}

struct sequence {
	const char *name;
	struct world_params params;
	void (*run)(void);
	unsigned kill_after; /* operations; of those that are killed */
};

static const struct sequence sequences[] = {
	{ "create", { 3, 3 }, create_only, 0 },
	{ "write, new file", { 3, 3 }, write_new, 0 },
	{ "write, chunks", { 4, 3 }, write_chunks, 0 },
	{ "overwrite", { 3, 3 }, overwrite, 0 },
	{ "rewrite while draining", { 3, 3 }, rewrite_while_draining, 0 },
	{ "sync and drain", { 3, 3 }, sync_and_drain, 0 },
	{ "two files", { 3, 3 }, two_files, 0 },
	{ "hold", { 3, 3 }, hold, 0 },
	{ "truncate down", { 3, 3 }, truncate_down, 0 },
	{ "truncate and grow", { 3, 3 }, truncate_and_grow, 0 },
	{ "truncate, new file", { 3, 3 }, truncate_new, 0 },
	{ "grow", { 3, 3 }, grow, 0 },
	{ "truncate across chunks", { 4, 3 }, truncate_across_chunks, 0 },
	{ "delete, cached", { 3, 3 }, delete_cached, 0 },
	{ "delete, unknown", { 3, 3 }, delete_unknown, 0 },
	{ "delete, held", { 3, 3 }, delete_held, 0 },
	{ "delete, open", { 3, 3 }, delete_open, 0 },
	{ "discard", { 3, 3 }, discard, 0 },
	{ "delete and create", { 3, 3 }, delete_and_create, 0 },
	{ "evict", { 3, 3 }, evict, 0 },
	{ "evict slots", { 3, 1 }, evict_slots, 0 },
	{ "fall back", { 2, 3 }, fall_back, 0 },
	{ "fall back, hold", { 1, 3 }, fall_back_hold, 0 },
	{ "fall back, async", { 1, 3 }, fall_back_async, 0 },
	{ "pack", { 3, 5 }, pack, 0 },
	{ "pack, slots are used again", { 3, 4 }, pack, 0 },
	{ "pack and drain", { 2, 3 }, pack_and_drain, 0 },
	{ "read and write", { 4, 3 }, read_and_write, 0 },
	{ "truncate and fall back", { 1, 3 }, truncate_and_fall_back, 0 },
	{ "zeroed frames", { 22, 3 }, zeroed_frames, 0 },
	{ "killed in a truncation", { 3, 3 }, killed_in_truncate, 2 },
	{ "killed in a truncation", { 3, 3 }, killed_in_truncate, 5 },
	{ "killed in a truncation", { 3, 3 }, killed_in_truncate, 10 },
	{ "killed in a truncation", { 3, 3 }, killed_in_truncate, 20 },
	{ "killed in a write", { 3, 3 }, killed_in_write, 2 },
	{ "killed in a write", { 3, 3 }, killed_in_write, 5 },
	{ "killed in a write", { 3, 3 }, killed_in_write, 8 },
	{ "killed in a write", { 3, 3 }, killed_in_write, 11 },
	{ "killed later", { 3, 3 }, killed_later, 10 },
	{ "killed later", { 3, 3 }, killed_later, 20 },
	{ "killed later", { 3, 3 }, killed_later, 30 },
	{ "killed later", { 3, 3 }, killed_later, 45 },
};

static const struct sequence random_sequences[] = {
	{ "anything", { 6, 3 }, anything, 0 },
	{ "anything, small pool", { 2, 3 }, anything, 0 },
};

#define NR_SEQUENCES (sizeof(sequences) / sizeof(sequences[0]))

/* ---- one run ------------------------------------------------------------------------ */

static unsigned long nr_looks, nr_given_up;

/* what is wrong, or NULL; good until the next run */
static const char *run(const struct sequence *s, const struct world_limits *limits)
{
	static char why[600];
	unsigned long looks = 0; /* the draws depend on it, and not on what other sequences do */
	const char *flaw;

	world_begin(&s->params);
	kill_after = s->kill_after;
	s->run();
	flaw = world_cut(limits, &looks);
	nr_looks += looks;
	if (world_gave_up()) {
		nr_given_up++;
		flaw = NULL;
	}
	if (flaw)
		snprintf(why, sizeof(why), "%s (%u): %s", s->name, s->kill_after, flaw);
	world_end();
	return flaw ? why : NULL;
}

static void crash__every_sequence(void **state)
{
	const struct world_limits limits = {
		.images = 6, .variants = 4, .looks = 2000, .nested = 50, .seed = 1 };
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
		.images = 10, .variants = 4, .looks = 3000, .seed = 1 };

	for (size_t i = 0; i < NR_SEQUENCES; i++) {
		const char *flaw = run(&sequences[i], &limits);

		if (!flaw)
			continue;
		snprintf(why, len, "%s", flaw);
		return true;
	}
	return false;
}

/* ---- random sequences --------------------------------------------------------------------- */

static int run_random(uint64_t seed, unsigned long count)
{
	struct world_limits limits = { .images = 6, .variants = 4, .looks = 400, .nested = 20 };
	unsigned long nr_bad = 0;

	printf("1..1\n");
	for (unsigned long i = 0; i < count; i++, seed++) {
		const char *flaw;

		random_state = limits.seed = seed;
		small = seed % 3 == 0;
		flaw = run(&random_sequences[small], &limits);
		if (flaw)
			printf("# --random %llu 1: %s\n", (unsigned long long)seed, flaw);
		nr_bad += flaw != NULL;
	}
	if (nr_given_up > count / 100 + 1)
		nr_bad++;
	printf("# %lu were given up: two clients wait for each other in one thread\n", nr_given_up);
	printf("%s 1 - %lu random sequences, %lu looks\n", nr_bad ? "not ok" : "ok", count, nr_looks);
	return nr_bad != 0;
}

/* with sanitizers: what is killed frees nothing */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
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
	if (strcmp(what, "--random") == 0 && argc == 4)
		return run_random(strtoull(argv[2], NULL, 0), strtoul(argv[3], NULL, 0));
	return cmocka_run_group_tests_name("crash world", tests, NULL, NULL);
}
