/*
 * test_striped.c -- lib/remote: files of several nodes, appends to them, and a node that does not answer
 */
#include "sites.h"

#include <pthread.h>

static uint64_t drained_by(unsigned site)
{
	struct remote_stat_answer_msg st;

	assert_int_equal(remote_stat(settings, &sites[site].endpoint, &st), 0);
	return st.drained_bytes;
}

/* random requests by three handles against a model: of two nodes, and of a process that has no pool */
static void span_io(struct pmio_file *const f[3], uint8_t *model, size_t max, uint32_t seed)
{
	uint8_t *buf = malloc(max);
	size_t size = 0;
	off_t seen;

	assert_non_null(buf);
	for (int i = 0; i < 120; i++) {
		struct pmio_file *h = f[next_random(&seed) % 3];
		size_t off = next_random(&seed) % max, len = 1 + next_random(&seed) % (i % 3 ? 9000 : 3 * CHUNK);
		size_t there;

		if (len > max - off)
			len = max - off;
		there = off >= size ? 0 : len < size - off ? len : size - off;
		if (i % 2 == 0) {
			fill_pattern(buf, len, seed);
			memcpy(model + off, buf, len);
			size = off + len > size ? off + len : size;
			assert_int_equal(pmio_pwrite(h, buf, len, (off_t)off), len);
		} else {
			assert_int_equal(pmio_pread(h, buf, len, (off_t)off), there);
			assert_memory_equal(buf, model + off, there);
		}
		if (i == 77) {
			size /= 2;
			memset(model + size, 0, max - size);
			assert_int_equal(pmio_truncate(h, (off_t)size), 0);
		}
		assert_int_equal(pmio_size(f[next_random(&seed) % 3], &seen), 0);
		assert_int_equal(seen, size);
	}
	assert_int_equal(pmio_truncate(f[0], (off_t)max), 0);
	free(buf);
}

/* where: a bit for each site that then has had pieces of it */
static void striped_with(enum pmio_placement placement, const char *name, unsigned where)
{
	enum { MAX = 14 << 20 };
	struct client_open how = { .flags = RW };
	struct remote_layout layout = layout_of_all(placement);
	uint8_t *model = calloc(1, MAX);
	uint64_t before[SITES];
	struct pmio_file *f[3];

	assert_non_null(model);
	name_file(name);
	for (unsigned i = 0; i < SITES; i++)
		before[i] = drained_by(i);
	begin_layout(&layout);
	assert_int_equal(remote_striped_open(sites[0].pm, settings, path, &how, &layout, true, &f[0]), 0);
	assert_int_equal(remote_striped_open(sites[1].pm, settings, path, &how, &layout, false, &f[1]), 0);
	assert_int_equal(remote_striped_open(NULL, settings, path, &how, &layout, false, &f[2]), 0);
	assert_memory_equal(remote_layout_of(f[2])->id, layout.id, sizeof(layout.id));
	span_io(f, model, MAX, placement);
	assert_int_equal(pmio_sync(f[1]), 0);
	assert_int_equal(pmio_close(&f[2]), 0);
	assert_int_equal(pmio_close(&f[1]), 0);
	assert_int_equal(pmio_close(&f[0]), 0);
	assert_on_pfs(model, MAX);
	for (unsigned i = 0; i < SITES; i++)
		assert_int_equal(drained_by(i) > before[i], where >> i & 1);
	remote_layout_fini(&layout);
	free(model);
}

static void striped__striped(void **state)
{
	(void)state;
	striped_with(PMIO_PLACE_STRIPED, "striped", 7);
}

/* the process without a pool leaves its pieces to the one that it asks, the second site's */
static void striped__local(void **state)
{
	(void)state;
	striped_with(PMIO_PLACE_LOCAL, "local", 3);
}

/* 7 bytes at two places of a chunk; gap: between them */
static void put_two(struct pmio_file *f, uint64_t chunk, off_t gap)
{
	const struct pmio_piece p[] = {
		{ (off_t)chunk * CHUNK, (uint8_t[]){ "before" }, 7 }, { (off_t)chunk * CHUNK + 7 + gap, (uint8_t[]){ "behind" }, 7 },
	};

	assert_int_equal(pmio_writex(f, p, 2), 14);
}

/* the second node writes into a chunk of the first; then the first to the next windows: where are those bytes? */
static void share_chunks(const char *name, off_t gap, bool turns)
{
	struct client_open how = { .flags = RW };
	struct remote_layout layout = layout_of_all(PMIO_PLACE_LOCAL);
	uint64_t before[2];
	struct pmio_file *f[2];

	name_file(name);
	before[0] = drained_by(0);
	before[1] = drained_by(1);
	begin_layout(&layout);
	assert_int_equal(remote_striped_open(sites[0].pm, settings, path, &how, &layout, true, &f[0]), 0);
	assert_int_equal(remote_striped_open(sites[1].pm, settings, path, &how, &layout, false, &f[1]), 0);
	put_two(f[0], 0, gap);
	put_two(f[1], 0, gap);
	put_two(f[0], 16, gap); /* the second one's turn; the first one sees that it is, and takes the next one */
	put_two(f[1], 16, gap);
	put_two(f[1], 0, gap);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pmio_close(&f[1 - i]), 0);
	assert_int_equal(drained_by(1) > before[1], turns);
	assert_true(drained_by(0) > before[0]);
	remote_layout_fini(&layout);
}

/* by bytes of the first node only: without turns it has all chunks, with them those of every other window */
static void striped__turns_if_there_are_gaps(void **state)
{
	(void)state;
	share_chunks("with gaps", 100, true);
	share_chunks("without gaps", 0, false);
}

static void striped__single(void **state)
{
	(void)state;
	striped_with(PMIO_PLACE_SINGLE, "single", 2);
}

static void striped__threads_share_it(void **state)
{
	static const enum pmio_placement placements[] = { PMIO_PLACE_STRIPED, PMIO_PLACE_LOCAL };
	struct client_open how = { .flags = RW };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct remote_layout layout = layout_of_all(placements[i]);
		struct pmio_file *f;

		name_file(i ? "local threads" : "striped threads");
		begin_layout(&layout);
		assert_int_equal(remote_striped_open(sites[0].pm, settings, path, &how, &layout, true, &f), 0);
		let_threads_share(f);
		remote_layout_fini(&layout);
	}
}

/* the process's handles share each pointer; one that has ended is at 0 again, and other numbers are others */
static void striped__shared_pointers(void **state)
{
	const uint64_t a = 0x123456789abcdef0, b = 1;
	struct client_open how = { .flags = RW };
	struct remote_layout layout = layout_of_all(PMIO_PLACE_STRIPED);
	struct pmio_file *f[2];
	uint64_t was = 99;

	(void)state;
	name_file("pointers");
	begin_layout(&layout);
	assert_int_equal(remote_striped_open(sites[0].pm, settings, path, &how, &layout, true, &f[0]), 0);
	assert_int_equal(remote_striped_open(sites[1].pm, settings, path, &how, &layout, false, &f[1]), 0);
	for (uint64_t i = 0; i < 10; i++) {
		assert_int_equal(remote_striped_pointer(f[i % 2], a, REMOTE_POINTER_ADD, 1ull << 33, &was), 0);
		assert_int_equal(was, i << 33);
	}
	assert_int_equal(remote_striped_pointer(f[0], b, REMOTE_POINTER_ADD, 7, &was), 0);
	assert_int_equal(was, 0);
	assert_int_equal(remote_striped_pointer(f[1], a, REMOTE_POINTER_SET, 3, &was), 0);
	assert_int_equal(was, 10ull << 33);
	assert_int_equal(remote_striped_pointer(f[0], a, REMOTE_POINTER_END, 0, &was), 0);
	assert_int_equal(was, 3);
	assert_int_equal(remote_striped_pointer(f[1], a, REMOTE_POINTER_ADD, 0, &was), 0);
	assert_int_equal(was, 0);
	assert_int_equal(remote_striped_pointer(f[1], b, REMOTE_POINTER_ADD, 0, &was), 0);
	assert_int_equal(was, 7);
	assert_int_equal(remote_striped_pointer(f[1], b, (enum remote_pointer_how)99, 0, &was), PMIO_EPROTO);
	assert_int_equal(pmio_close(&f[1]), 0);
	assert_int_equal(pmio_close(&f[0]), 0);
	remote_layout_fini(&layout);
}

/* ---- appends, by processes of all nodes ------------------------------------------------------------ */

#define APPENDS 200
#define RECORD 37

struct appender {
	struct pmio_file *f;
	char name;
};

static void *append_records(void *arg)
{
	const struct appender *a = arg;
	char record[RECORD];
	intptr_t bad = 0;

	memset(record, a->name, sizeof(record));
	for (int i = 0; i < APPENDS; i++) {
		off_t at = -1;

		bad += pmio_append(a->f, record, sizeof(record), &at) != sizeof(record) || at % RECORD;
	}
	return (void *)bad;
}

/* f: owned by this.  The records of all are there, and none has lost a byte to another */
static void append_and_look(struct pmio_file *const f[SITES])
{
	struct appender a[SITES];
	pthread_t t[SITES];
	unsigned count[SITES] = { 0 };
	char *all = calloc(SITES * APPENDS, RECORD);
	off_t size, at = -1;

	assert_non_null(all);
	for (int i = 0; i < SITES; i++) {
		a[i] = (struct appender){ f[i], (char)('a' + i) };
		assert_int_equal(pthread_create(&t[i], NULL, append_records, &a[i]), 0);
	}
	for (int i = 0; i < SITES; i++) {
		void *bad;

		pthread_join(t[i], &bad);
		assert_int_equal((intptr_t)bad, 0);
	}
	assert_int_equal(pmio_size(f[2], &size), 0);
	assert_int_equal(size, SITES * APPENDS * RECORD);
	assert_int_equal(pmio_append(f[1], "", 0, &at), 0);
	assert_int_equal(at, size);
	assert_int_equal(pmio_pread(f[0], all, (size_t)size, 0), size);
	for (int i = 0; i < SITES * APPENDS; i++) {
		const char *record = all + i * RECORD;

		assert_true(*record >= 'a' && *record < 'a' + SITES);
		count[*record - 'a']++;
		for (int k = 1; k < RECORD; k++)
			assert_int_equal(record[k], *record);
	}
	for (int i = 0; i < SITES; i++)
		assert_int_equal(count[i], APPENDS);
	free(all);
}

static void append_in(enum pmio_placement placement, const char *name)
{
	struct client_open how = { .flags = RW };
	struct remote_layout layout = layout_of_all(placement);
	struct pmio_file *f[SITES];

	name_file(name);
	begin_layout(&layout);
	for (int i = 0; i < SITES; i++)
		assert_int_equal(remote_striped_open(sites[i].pm, settings, path, &how, &layout, i == 0, &f[i]), 0);
	append_and_look(f);
	for (int i = SITES; i-- > 0;)
		assert_int_equal(pmio_close(&f[i]), 0);
	remote_layout_fini(&layout);
}

static void striped__appends(void **state)
{
	(void)state;
	append_in(PMIO_PLACE_STRIPED, "append-striped");
	append_in(PMIO_PLACE_LOCAL, "append-local");
}

/* one by the pool, the others by its target */
static void file__appends(void **state)
{
	struct pmio_file *f[SITES];

	(void)state;
	name_file("append");
	assert_int_equal(pmio_open(sites[1].pm, path, O_RDWR | O_CREAT, 0644, &f[0]), 0);
	f[1] = open_at(1, RW);
	f[2] = open_at(1, RW);
	append_and_look(f);
	for (int i = SITES; i-- > 0;)
		assert_int_equal(pmio_close(&f[i]), 0);
	f[0] = open_at(1, PMIO_OPEN_READ);
	assert_int_equal(pmio_append(f[0], "x", 1, NULL), -EBADF);
	assert_int_equal(pmio_close(&f[0]), 0);
}

/* ---- one node that does not answer, and others that do ------------------------------------------------- */

struct slow {
	struct pmio_file *f;
	uint8_t *chunk;
	atomic_bool done;
};

static void *write_to_dead(void *arg)
{
	struct slow *w = arg;
	ssize_t n = pmio_pwrite(w->f, w->chunk, CHUNK, CHUNK); /* the second in the list */

	atomic_store(&w->done, true);
	return (void *)(intptr_t)n;
}

/* the next window's claim server does not answer: the request at hand does not need it */
static void striped__turn_at_a_dead_node(void **state)
{
	struct client_open how = { .flags = RW };
	struct remote_layout layout = layout_of_all(PMIO_PLACE_LOCAL);
	pid_t pid = target_of(2); /* the second one in the list */
	struct pmio_file *f[2];

	(void)state;
	name_file("dead-turn");
	begin_layout(&layout);
	assert_int_equal(remote_striped_open(sites[0].pm, settings, path, &how, &layout, true, &f[0]), 0);
	assert_int_equal(remote_striped_open(sites[1].pm, settings, path, &how, &layout, false, &f[1]), 0);
	put_two(f[0], 0, 100);
	scratch_catch_log();
	stop_process(pid);
	put_two(f[1], 0, 100);
	assert_true(scratch_nr_errors > 0); /* it was asked */
	kill(pid, SIGCONT);
	pmio_log_set_handler(NULL);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pmio_close(&f[1 - i]), 0);
	remote_layout_fini(&layout);
}

static void striped__dead_node_keeps_nobody_waiting(void **state)
{
	struct client_open how = { .flags = RW };
	struct remote_layout layout = layout_of_all(PMIO_PLACE_STRIPED);
	struct slow w = { .chunk = calloc(1, CHUNK) };
	pid_t pid = target_of(2);
	bool meanwhile = false;
	pthread_t t;
	void *n;

	(void)state;
	assert_non_null(w.chunk);
	name_file("one-dead");
	put_text(path, "", 0644);
	assert_int_equal(remote_layout_begin(settings, path, &layout), 0);
	assert_int_equal(remote_striped_open(NULL, settings, path, &how, &layout, true, &w.f), 0);
	assert_int_equal(pmio_pwrite(w.f, "live", 4, 0), 4);
	scratch_catch_log();
	stop_process(pid);
	assert_int_equal(pthread_create(&t, NULL, write_to_dead, &w), 0);
	usleep(300000);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(pmio_pwrite(w.f, "live", 4, i), 4);
		meanwhile |= !atomic_load(&w.done);
	}
	assert_true(meanwhile);
	pthread_join(t, &n);
	assert_int_equal((intptr_t)n, -EIO);
	kill(pid, SIGCONT);
	await(pmio_pwrite(w.f, "back", 4, CHUNK) == 4);
	/* now it is open there: what is on its way there takes buffers, but not all of them; and not for ever */
	stop_process(pid);
	for (int i = 0; i < 3; i++) {
		atomic_store(&w.done, false);
		assert_int_equal(pthread_create(&t, NULL, write_to_dead, &w), 0);
		usleep(300000);
		assert_int_equal(pmio_pwrite(w.f, w.chunk, CHUNK, 0), CHUNK);
		assert_int_equal(pmio_pread(w.f, w.chunk, CHUNK, 0), CHUNK);
		if (i == 0)
			assert_false(atomic_load(&w.done));
		pthread_join(t, &n);
		assert_int_equal((intptr_t)n, -EIO);
		usleep(1200000); /* else the next one fails without a try */
	}
	kill(pid, SIGCONT);
	pmio_log_set_handler(NULL);
	await(pmio_pwrite(w.f, w.chunk, CHUNK, CHUNK) == CHUNK);
	assert_int_equal(pmio_close(&w.f), 0);
	remote_layout_fini(&layout);
	free(w.chunk);
}

int main(void)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(striped__striped),
		cmocka_unit_test(striped__local),
		cmocka_unit_test(striped__turns_if_there_are_gaps),
		cmocka_unit_test(striped__single),
		cmocka_unit_test(striped__threads_share_it),
		cmocka_unit_test(striped__shared_pointers),
		cmocka_unit_test(file__appends),
		cmocka_unit_test(striped__appends),
		cmocka_unit_test(striped__turn_at_a_dead_node),
		cmocka_unit_test(striped__dead_node_keeps_nobody_waiting),
		test_relayed(striped__striped),
		test_relayed(striped__local),
		test_relayed(striped__turns_if_there_are_gaps),
		test_relayed(striped__threads_share_it),
		test_relayed(striped__shared_pointers),
		test_relayed(striped__appends),
		test_relayed(striped__turn_at_a_dead_node),
		test_relayed(striped__dead_node_keeps_nobody_waiting),
	};

	return sites_run("striped", tests);
}
