/*
 * test_threads.c -- one program's threads on one handle and on many, with an agent that
 * dies meanwhile; what each thread wrote is what it reads, and what is on the file system
 * in the end.  For `make check-tsan` too, which sees races that did no harm today.
 */
#include "with_agent.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#define NR_THREADS 6
#define ROUNDS 120
#define FILE_SIZE (12u << 20) /* more than the small pool has room for */
#define PIECE 3000u	      /* bytes of a thread, then the next one's: no multiple of blocks */
#define KILL_EVERY 150u	      /* operations of all threads */

static char cut_path[PATH_MAX];

struct worker {
	pthread_t thread;
	unsigned number;
	struct pmio_file *f, *cut; /* may be other threads' as well */
	uint8_t *model;		   /* all write to it, each its own pieces */
	char error[256];	   /* empty: none */
};

static atomic_uint nr_done; /* operations of all */

static int start_threads_with(const char *pool_size)
{
	int rc = start_with(pool_size);

	snprintf(cut_path, sizeof(cut_path), "%s/cut", root.path);
	nr_done = 0;
	return rc;
}

static int set_up_roomy(void **state)
{
	(void)state;
	return start_threads_with("64MiB");
}

static int set_up_tight(void **state)
{
	(void)state;
	return start_threads_with("8MiB");
}

/* ---- what a thread does -------------------------------------------------------------------- */

/* cmocka's assertions are for the first thread only */
#define CHECK(w, what)                                                                        \
	do {                                                                                  \
		if (!(what) && !(w)->error[0])                                                \
			snprintf((w)->error, sizeof((w)->error), "thread %u: %s", (w)->number, #what); \
	} while (0)

static unsigned random_below(unsigned *seed, unsigned n)
{
	*seed = *seed * 1103515245u + 12345u;
	return (*seed >> 8) % n;
}

/* the pieces of this thread that lie in some length of the file, one call for all of them */
static void write_pieces(struct worker *w, unsigned *seed)
{
	unsigned stride = NR_THREADS * PIECE, nr = 1 + random_below(seed, 40);
	unsigned first = random_below(seed, FILE_SIZE / stride - 40);
	struct pmio_piece p[40];
	ssize_t sum = 0;

	for (unsigned i = 0; i < nr; i++) {
		size_t off = (size_t)(first + i) * stride + w->number * PIECE;

		memset(w->model + off, (int)(1 + random_below(seed, 255)), PIECE);
		p[i] = (struct pmio_piece){ .off = (off_t)off, .buf = w->model + off, .len = PIECE };
		sum += PIECE;
	}
	CHECK(w, pmio_writex(w->f, p, nr) == sum);
}

static void read_piece(struct worker *w, unsigned *seed)
{
	unsigned stride = NR_THREADS * PIECE;
	size_t off = (size_t)random_below(seed, FILE_SIZE / stride) * stride + w->number * PIECE;
	uint8_t in[PIECE];

	CHECK(w, pmio_pread(w->f, in, PIECE, (off_t)off) == PIECE);
	CHECK(w, memcmp(in, w->model + off, PIECE) == 0);
}

/* a file that all make longer and shorter: whatever is read is what somebody wrote, or zero */
static void cut(struct worker *w, unsigned *seed)
{
	uint8_t buf[5000];
	off_t size, off = random_below(seed, 3u << 20);
	ssize_t n;

	switch (random_below(seed, 4)) {
	case 0:
		CHECK(w, pmio_truncate(w->cut, off) == 0);
		break;
	case 1:
		memset(buf, 'c', sizeof(buf));
		CHECK(w, pmio_pwrite(w->cut, buf, sizeof(buf), off) == sizeof(buf));
		break;
	case 2:
		CHECK(w, pmio_size(w->cut, &size) == 0 && size <= (3 << 20) + (off_t)sizeof(buf));
		break;
	default:
		n = pmio_pread(w->cut, buf, sizeof(buf), off);
		CHECK(w, n >= 0);
		for (ssize_t i = 0; i < n; i++)
			CHECK(w, buf[i] == 'c' || buf[i] == 0);
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;
	unsigned seed = 7 * w->number + 1;

	for (unsigned i = 0; i < ROUNDS && !w->error[0]; i++) {
		switch (random_below(&seed, 10)) {
		case 0:
			CHECK(w, pmio_sync(w->f) == 0);
			break;
		case 1:
			CHECK(w, pmio_drain(w->f) == 0);
			break;
		case 2:
		case 3:
			cut(w, &seed);
			break;
		case 4:
		case 5:
		case 6:
			read_piece(w, &seed);
			break;
		default:
			write_pieces(w, &seed);
		}
		nr_done++;
	}
	return NULL;
}

/* files of its own, while the others work */
static void *open_and_close(void *arg)
{
	struct worker *w = arg;
	char own[PATH_MAX + 64], in[8];

	snprintf(own, sizeof(own), "%s.%u", path, w->number);
	for (unsigned i = 0; i < ROUNDS / 4 && !w->error[0]; i++) {
		struct pmio_file *f;
		int rc = pmio_open(pm, own, O_RDWR | O_CREAT, 0666, &f);

		CHECK(w, rc == 0);
		if (rc < 0)
			break;
		CHECK(w, pmio_pwrite(f, "content", 8, 100) == 8);
		CHECK(w, pmio_pread(f, in, 8, 100) == 8 && memcmp(in, "content", 8) == 0);
		CHECK(w, pmio_close(&f) == 0);
	}
	return NULL;
}

/* ---- all together ------------------------------------------------------------------------------ */

static void *kill_agents(void *arg)
{
	for (unsigned next = KILL_EVERY; next < NR_THREADS * ROUNDS; next += KILL_EVERY) {
		while (nr_done < next && !atomic_load((atomic_bool *)arg))
			usleep(1000);
		kill_agent_if_any(); /* else this would wait for one when all have ended */
	}
	return NULL;
}

static void run(unsigned nr_handles, bool opener, bool killer)
{
	uint8_t *model = calloc(1, FILE_SIZE);
	struct pmio_file *f[NR_THREADS], *cuts[NR_THREADS];
	struct worker w[NR_THREADS + 1] = { { 0 } };
	atomic_bool ended = false;
	const unsigned nr = NR_THREADS + (opener ? 1 : 0);
	pthread_t kills;

	assert_non_null(model);
	for (unsigned i = 0; i < nr_handles; i++) {
		f[i] = must_open_name(path, O_RDWR | O_CREAT);
		cuts[i] = must_open_name(cut_path, O_RDWR | O_CREAT);
	}
	assert_int_equal(pmio_pwrite(f[0], "", 1, FILE_SIZE - 1), 1);
	for (unsigned i = 0; i < nr; i++) {
		w[i].number = i;
		w[i].f = f[i % nr_handles];
		w[i].cut = cuts[i % nr_handles];
		w[i].model = model;
		assert_int_equal(pthread_create(&w[i].thread, NULL, i < NR_THREADS ? work : open_and_close, &w[i]), 0);
	}
	if (killer)
		assert_int_equal(pthread_create(&kills, NULL, kill_agents, &ended), 0);
	for (unsigned i = 0; i < nr; i++)
		pthread_join(w[i].thread, NULL);
	ended = true;
	if (killer)
		pthread_join(kills, NULL);
	for (unsigned i = 0; i < nr; i++)
		assert_string_equal(w[i].error, "");
	for (unsigned i = 0; i < nr_handles; i++) {
		assert_int_equal(pmio_close(&cuts[i]), 0);
		assert_int_equal(pmio_close(&f[i]), 0);
	}
	assert_on_pfs(model, FILE_SIZE);
	free(model);
}

static void threads__on_one_handle(void **state)
{
	(void)state;
	run(1, true, false);
}

static void threads__with_a_handle_each(void **state)
{
	(void)state;
	run(NR_THREADS, true, false);
}

static void threads__in_a_pool_too_small(void **state)
{
	(void)state;
	run(2, true, false);
}

static void threads__while_agents_are_killed(void **state)
{
	(void)state;
	run(1, true, true);
}

static void threads__while_agents_of_many_handles_are_killed(void **state)
{
	(void)state;
	run(3, true, true);
}

int main(void)
{
#define T(name, up) cmocka_unit_test_setup_teardown(name, up, tear_down)
	const struct CMUnitTest tests[] = {
		T(threads__on_one_handle, set_up_roomy),
		T(threads__with_a_handle_each, set_up_roomy),
		T(threads__in_a_pool_too_small, set_up_tight),
		T(threads__while_agents_are_killed, set_up_roomy),
		T(threads__while_agents_of_many_handles_are_killed, set_up_roomy),
	};

	cmocka_set_test_filter(getenv("PMIO_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
