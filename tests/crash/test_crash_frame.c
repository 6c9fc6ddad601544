/*
 * test_crash_frame.c -- power cuts in every sequence of lib/pool/frame.c, and in
 * pmio_view_format()
 *
 * Each sequence runs on the recorder (pm_record.c).  All images that a power cut
 * could leave are opened and recovered as the next agent would, and looked at:
 *   - bytes that were promised are there, and dirty until they are on the PFS;
 *   - a clean block holds the PFS's bytes, so never another file's;
 *   - a claim is whole or not there at all.
 *
 * With --mutants each flush and fence of frame.c and view.c is left out in turn:
 * see mutants.h.
 */
#include "frame_steps.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/log.h"
#include "mutants.h"

/* ---- one run ------------------------------------------------------------------------------------ */

/*
 * The image goes into one mapping that is used again and again; the rest of it is
 * zeros that no sequence touches.
 */
static struct pmio_pm *glass;

static void take_image(const void *image)
{
	const size_t headers = 64 << 10, frame = (2u << 20) + (FRAME << 16);

	memcpy(pmio_pm_base(glass), image, headers);
	memcpy((uint8_t *)pmio_pm_base(glass) + frame, (const uint8_t *)image + frame, 1 << 16);
}

static const char *look_blocks(struct test *t, size_t cut)
{
	const char *flaw = NULL;

	if (!t->re && t->seq->look != look_format)
		return "no pool";
	if (!t->seq->raw)
		pmio_frame_recover(t->re, FRAME, t->re->slots[SLOT].size);
	for (unsigned i = 0; i < 2 && !flaw; i++)
		if (t->use & 1u << i)
			flaw = t->seq->look(t, cut, blocks[i]);
	return flaw;
}

static int look(const void *image, size_t size, size_t cut, void *arg)
{
	struct test *t = arg;
	const char *flaw;

	(void)size;
	t->nr_images++;
	take_image(image);
	if (pmio_view_new(glass, "image", &t->re) < 0)
		t->re = NULL;
	flaw = look_blocks(t, cut);
	free(t->re); /* but not the mapping */
	t->re = NULL;
	if (!flaw)
		return 0;
	snprintf(t->flaw, sizeof(t->flaw), "%s, blocks %d: cut after %zu operations: %s",
		 t->seq->name, t->use, cut, flaw);
	return 1;
}

static void run(struct test *t, const struct sequence *seq, enum use use)
{
	const struct pmio_view_params p = {
		.chunk_size = TEST_CHUNK, .nr_slots = 4, .nr_clients = 2};

	memset(t, 0, sizeof(*t));
	t->seq = seq;
	t->use = use;
	t->pm = pmio_pm_record_new(SIZE);
	assert_non_null(t->pm);
	assert_int_equal(pmio_view_format(t->pm, &p), 0);
	assert_int_equal(pmio_view_new(t->pm, "recorded", &t->v), 0);
	pmio_frame_claim(t->v, FRAME, SLOT, GENERATION, CHUNK);
	seq->setup(t);
	pmio_pm_record_reset(t->pm);

	seq->run(t);
	pmio_pm_record_mark(t->pm);
	assert_true(pmio_pm_record_images(t->pm, LIMIT, 1, look, t) >= 0);
	pmio_view_delete(&t->v);
}

static void crash__every_sequence(void **state)
{
	unsigned images = 0;
	struct test t;

	(void)state;
	for (size_t i = 0; i < nr_sequences; i++) {
		for (enum use use = LOW; use <= BOTH; use++) {
			run(&t, &sequences[i], use);
			if (t.flaw[0])
				fail_msg("%s", t.flaw);
			assert_true(t.nr_images > 2);
			images += t.nr_images;
		}
	}
	print_message("# %u images\n", images);
}

/* ---- without one fence or flush ------------------------------------------------------------------ */

static bool finds_fault(char *why, size_t len)
{
	struct test t;

	for (size_t i = 0; i < nr_sequences; i++) {
		for (enum use use = LOW; use <= BOTH; use++) {
			run(&t, &sequences[i], use);
			if (!t.flaw[0])
				continue;
			snprintf(why, len, "%s", t.flaw);
			return true;
		}
	}
	return false;
}

static int group_setup(void **state);
static int group_teardown(void **state);

static int mutants(const char *only)
{
	if (group_setup(NULL) < 0)
		return 1;
	crash_mutants(only, finds_fault);
	group_teardown(NULL);
	return 0;
}

/* ---- main -------------------------------------------------------------------------------------- */

static void ignore_line(enum pmio_log_level level, const char *line)
{
	(void)level, (void)line;
}

static int group_setup(void **state)
{
	int fd = memfd_create("pmio-image", MFD_CLOEXEC);

	(void)state;
	pmio_log_set_handler(ignore_line); /* images that are no pool say so */
	if (fd < 0 || ftruncate(fd, SIZE) < 0 || pmio_pm_map(fd, &glass) < 0)
		return -1;
	close(fd);
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	pmio_pm_unmap(&glass);
	return 0;
}

/* [--mutants [PART-OF-A-SITES-NAME]] */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crash__every_sequence),
	};

	if (argc > 1 && strcmp(argv[1], "--mutants") == 0)
		return mutants(argc > 2 ? argv[2] : NULL);
	return cmocka_run_group_tests_name("crash frame", tests, group_setup, group_teardown);
}
