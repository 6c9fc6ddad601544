/*
 * test_client.c -- libpmio against an agent of its own: what is written is what every handle reads, and what is in the file in the end
 */
#include "with_agent.h"

static void write__visible_to_another_handle_at_once(void **state)
{
	struct pmio_file *a = must_open(O_RDWR | O_CREAT), *b = must_open(O_RDONLY);
	char buf[8] = "";
	off_t size;

	(void)state;
	assert_int_equal(pmio_pwrite(a, "hello", 5, 10), 5);
	assert_int_equal(pmio_pread(b, buf, 8, 10), 5);
	assert_memory_equal(buf, "hello", 5);
	assert_int_equal(pmio_size(b, &size), 0);
	assert_int_equal(size, 15);
	assert_int_equal(pmio_pread(b, buf, 8, 15), 0);
	assert_int_equal(pmio_pread(b, buf, 8, 1 << 20), 0);
	assert_int_equal(pmio_close(&a), 0);
	assert_int_equal(pmio_close(&b), 0);
	assert_null(b);
}

/* random reads and writes against a copy in memory; then the drained file */
static void random_io(size_t max, unsigned seed, size_t start_size)
{
	uint8_t *model = calloc(1, max), *buf = malloc(max);
	size_t size = start_size;
	struct pmio_file *f[2];

	assert_true(model && buf);
	unlink(path); /* of an earlier round: the next file may get its inode number */
	fill_pattern(model, start_size, 99);
	if (start_size)
		put_on_pfs(model, start_size);
	f[0] = must_open(O_RDWR | O_CREAT);
	f[1] = must_open(O_RDWR);
	srandom(seed);
	for (int i = 0; i < 400; i++) {
		size_t off = (size_t)random() % max, len = (size_t)random() % (i % 3 ? 3 * BLOCK : CHUNK);
		struct pmio_file *h = f[random() % 2];

		if (i % 5 == 0)
			off &= ~(size_t)(BLOCK - 1);
		if (len > max - off)
			len = max - off;
		if (i % 2) {
			fill_pattern(buf, len, (unsigned)i);
			assert_int_equal(pmio_pwrite(h, buf, len, (off_t)off), len);
			memcpy(model + off, buf, len);
			if (len && off + len > size)
				size = off + len;
		} else {
			size_t want = off >= size ? 0 : len < size - off ? len : size - off;

			assert_int_equal(pmio_pread(h, buf, len, (off_t)off), want);
			assert_memory_equal(buf, model + off, want);
		}
	}
	assert_int_equal(pmio_close(&f[0]), 0);
	assert_int_equal(pmio_close(&f[1]), 0);
	assert_on_pfs(model, size);
	free(model);
	free(buf);
}

static void random__new_file(void **state)
{
	(void)state;
	random_io(5 * CHUNK + 777, 1, 0);
}

static void random__existing_file(void **state)
{
	(void)state;
	random_io(4 * CHUNK, 2, 3 * CHUNK + 1234);
}

/* most chunks find no room: they are read and written on the file system */
static void random__larger_than_the_pool(void **state)
{
	struct pmio_pool_stat st;

	(void)state;
	random_io(24 * CHUNK, 3, 10 * CHUNK + 5);
	assert_int_equal(pmio_stat_pool(pm, &st), 0);
	assert_true(st.fallback_chunks > 0);
	random_io(20 * CHUNK, 4, 0);
}

static void write__full_pool_without_fallback(void **state)
{
	uint8_t *buf = calloc(1, 16 * CHUNK);
	struct pmio_file *f;
	struct pmio *other;

	(void)state;
	setenv("PMIO_FALLBACK", "error", 1);
	assert_int_equal(pmio_connect(pool, &other), 0);
	assert_int_equal(pmio_open(other, path, O_RDWR | O_CREAT, 0666, &f), 0);
	assert_int_equal(pmio_pwrite(f, buf, 2 * CHUNK, 0), 2 * CHUNK);
	assert_int_equal(pmio_pwrite(f, buf, 16 * CHUNK, 0), -ENOSPC);
	assert_int_equal(pmio_close(&f), 0);
	pmio_disconnect(&other);
	free(buf);
}

static void write__block_that_is_covered_reads_nothing(void **state)
{
	uint8_t *buf = malloc(4 * CHUNK);
	struct pmio_pool_stat st;
	struct pmio_file *f;

	(void)state;
	fill_pattern(buf, 4 * CHUNK, 1);
	put_on_pfs(buf, 4 * CHUNK);
	f = must_open(O_RDWR);
	fill_pattern(buf + CHUNK, BLOCK, 2);
	assert_int_equal(pmio_pwrite(f, buf + CHUNK, BLOCK, CHUNK), BLOCK);
	assert_int_equal(pmio_stat_pool(pm, &st), 0);
	assert_int_equal(st.filled_bytes, 0);
	buf[2 * CHUNK + 5] ^= 1;
	assert_int_equal(pmio_pwrite(f, buf + 2 * CHUNK + 5, 1, 2 * CHUNK + 5), 1);
	assert_int_equal(pmio_stat_pool(pm, &st), 0);
	assert_int_equal(st.filled_bytes, BLOCK);
	assert_int_equal(pmio_close(&f), 0);
	assert_int_equal(pmio_stat_pool(pm, &st), 0);
	assert_int_equal(st.drained_bytes, 2 * BLOCK);
	assert_on_pfs(buf, 4 * CHUNK);
	free(buf);
}

static void pieces__many_in_one_call(void **state)
{
	enum { NR = 1000, LEN = 64 };
	static uint8_t out[NR][LEN], in[NR][LEN];
	struct pmio_piece w[NR], r[NR];
	struct pmio_file *f = must_open(O_RDWR | O_CREAT);

	(void)state;
	fill_pattern(&out[0][0], sizeof(out), 5);
	for (int i = 0; i < NR; i++) {
		w[i] = (struct pmio_piece){ i * 3000L, out[i], LEN };
		r[i] = (struct pmio_piece){ i * 3000L, in[i], LEN };
	}
	assert_int_equal(pmio_writex(f, w, NR), sizeof(out));
	assert_int_equal(pmio_readx(f, r, NR), sizeof(in));
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(pmio_readx(f, &r[NR - 1], 1), LEN);
	r[0].off = (NR - 1) * 3000L + LEN - 10; /* meets the end: what follows is not read */
	assert_int_equal(pmio_readx(f, r, 2), 10);
	assert_int_equal(pmio_close(&f), 0);
}

/* what small.h and the groups of write.c tell apart: parts of lines, lines, blocks, chunks; empty pieces; any order */
static size_t random_pieces(struct pmio_piece *p, size_t max, uint8_t *buf, size_t size)
{
	static const uint32_t lengths[] = { 0, 1, 8, 63, 64, 65, 128, 512, 576, BLOCK - 64, BLOCK, BLOCK + 64, 2 * BLOCK, CHUNK - 1, CHUNK + 128 };
	static const uint32_t aligned[] = { 1, 8, 64, BLOCK, CHUNK };
	size_t nr = 1 + (size_t)rand() % max, len = lengths[(size_t)rand() % 15], off = 0, gap = (size_t)rand() % 2 * len;
	uint32_t align = aligned[rand() % 5];
	bool in_order = rand() % 2, same = rand() % 2;
	size_t room = 3 * CHUNK;

	for (size_t i = 0; i < nr; i++) {
		if (!same)
			len = lengths[(size_t)rand() % 12];
		if (!in_order || off + len > size)
			off = (size_t)rand() % (size - 2 * CHUNK) / align * align;
		if (len > room)
			return i;
		room -= len;
		p[i] = (struct pmio_piece){ (off_t)off, buf, len };
		buf += len;
		off += len + gap;
	}
	return nr;
}

static void pieces__random_ones_against_a_model(void **state)
{
	enum { NR = 300, SIZE = 6 * CHUNK };
	uint8_t *model = calloc(1, SIZE), *buf = malloc(3 * CHUNK), *in = malloc(SIZE);
	struct pmio_file *f = must_open(O_RDWR | O_CREAT);
	struct pmio_piece p[NR];

	(void)state;
	assert_int_equal(pmio_pwrite(f, model, SIZE, 0), SIZE);
	srand(7);
	for (int i = 0; i < 400; i++) {
		size_t nr, sum = 0, done = 0;

		fill_pattern(buf, 3 * CHUNK, (unsigned)i);
		nr = random_pieces(p, NR, buf, SIZE);
		for (size_t k = 0; k < nr; k++) {
			memcpy(model + p[k].off, p[k].buf, p[k].len); /* in their order, where they overlap */
			sum += p[k].len;
		}
		assert_int_equal(pmio_writex(f, p, nr), sum);
		memset(buf, 0, 3 * CHUNK);
		assert_int_equal(pmio_readx(f, p, nr), sum);
		for (size_t k = 0; k < nr; k++) {
			assert_memory_equal(p[k].buf, model + p[k].off, p[k].len);
			done += p[k].len;
		}
		assert_int_equal(done, sum);
		if (i % 20 == 0) {
			assert_int_equal(pmio_pread(f, in, SIZE, 0), SIZE);
			assert_memory_equal(in, model, SIZE);
			if (i % 40 == 0)
				assert_int_equal(pmio_truncate(f, 0), 0);
			if (i % 40 == 0) /* blocks that are not valid, and lie behind the end */
				memset(model, 0, SIZE);
			assert_int_equal(pmio_truncate(f, SIZE), 0);
		}
	}
	assert_int_equal(pmio_close(&f), 0);
	assert_on_pfs(model, SIZE);
	free(model);
	free(buf);
	free(in);
}

static void hole__reads_zero_and_takes_no_frame(void **state)
{
	struct pmio_file *f = must_open(O_RDWR | O_CREAT);
	struct pmio_pool_stat before, after;
	uint8_t buf[100], zero[100] = { 0 };
	off_t far = 1LL << 62, size;

	(void)state;
	assert_int_equal(pmio_pwrite(f, "x", 1, far), 1);
	assert_int_equal(pmio_size(f, &size), 0);
	assert_true(size == far + 1);
	assert_int_equal(pmio_stat_pool(pm, &before), 0);
	memset(buf, 1, sizeof(buf));
	assert_int_equal(pmio_pread(f, buf, sizeof(buf), far / 2), sizeof(buf));
	assert_memory_equal(buf, zero, sizeof(buf));
	assert_int_equal(pmio_pread(f, buf, 50, far - 9), 10);
	assert_memory_equal(buf, zero, 9);
	assert_int_equal(buf[9], 'x');
	assert_int_equal(pmio_stat_pool(pm, &after), 0);
	assert_true(before.nr_frames_free - after.nr_frames_free <= 1);
	assert_int_equal(pmio_pwrite(f, "xy", 2, INT64_MAX - 1), -EFBIG);
	assert_int_equal(pmio_close_discard(&f), 0);
	assert_int_equal(access(path, F_OK), -1);
}

/* ---- size ----------------------------------------------------------------------------------- */

static void truncate__shrunk_data_do_not_come_back(void **state)
{
	uint8_t *buf = malloc(3 * CHUNK);
	struct pmio_file *f = must_open(O_RDWR | O_CREAT);
	off_t size;

	(void)state;
	fill_pattern(buf, 3 * CHUNK, 3);
	assert_int_equal(pmio_pwrite(f, buf, 3 * CHUNK, 0), 3 * CHUNK);
	assert_int_equal(pmio_drain(f), 0);
	assert_int_equal(pmio_truncate(f, CHUNK + 100), 0);
	assert_int_equal(pmio_truncate(f, 2 * CHUNK + 50), 0);
	memset(buf + CHUNK + 100, 0, CHUNK - 50);
	assert_int_equal(pmio_size(f, &size), 0);
	assert_int_equal(size, 2 * CHUNK + 50);
	assert_int_equal(pmio_close(&f), 0);
	assert_on_pfs(buf, 2 * CHUNK + 50);
	f = must_open(O_RDWR | O_TRUNC);
	assert_int_equal(pmio_size(f, &size), 0);
	assert_int_equal(size, 0);
	assert_int_equal(pmio_close(&f), 0);
	assert_on_pfs(buf, 0);
	free(buf);
}

int main(void)
{
	struct CMUnitTest tests[] = {
		WITH_AGENT(write__visible_to_another_handle_at_once),
		WITH_AGENT(random__new_file),
		WITH_AGENT(random__existing_file),
		IN_SMALL_POOL(random__larger_than_the_pool),
		IN_SMALL_POOL(write__full_pool_without_fallback),
		WITH_AGENT(write__block_that_is_covered_reads_nothing),
		WITH_AGENT(pieces__many_in_one_call),
		WITH_AGENT(pieces__random_ones_against_a_model),
		WITH_AGENT(hole__reads_zero_and_takes_no_frame),
		WITH_AGENT(truncate__shrunk_data_do_not_come_back),
	};

	return scratch_run("client", tests);
}
