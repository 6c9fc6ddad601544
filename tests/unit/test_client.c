/*
 * libpmio against an agent of its own: what is written is what is read, by every
 * handle, and what lies on the file system after the last close
 */
#include "with_agent.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include "core/log.h"
#include "pool/pool.h"

#define CHUNK (1 << 20)
#define BLOCK 4096

static int set_up_impatient(void **state)
{
	setenv("PMIO_TIMEOUT", "2", 1);
	return set_up(state);
}

enum { FEW_SLOTS = 8 };

/* a pool that knows only a few files at once */
static int set_up_few_slots(void **state)
{
	struct pmio_pool_params params = { .size = 32u << 20, .nr_slots = FEW_SLOTS };
	int rc = set_up(state);
	struct pmio *admin;

	if (rc < 0)
		return rc;
	pmio_disconnect(&pm);
	rc = pmio_attach(pool, &admin);
	if (rc == 0) {
		rc = pmio_shutdown(admin, true);
		pmio_disconnect(&admin);
	}
	if (rc == 0)
		rc = nftw(pool, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
	if (rc == 0)
		rc = pmio_pool_create(pool, &params);
	return rc < 0 ? rc : pmio_connect(pool, &pm);
}

/* for the agent as well; the last test, for not all users can take it back.  In the foreground it keeps its limits */
static int set_up_few_descriptors(void **state)
{
	const struct timespec wait = { .tv_nsec = 100000000 };
	struct rlimit lim = { 40, 40 };
	int rc = PMIO_EAGENT;
	struct pmio *admin;

	(void)state;
	if (setrlimit(RLIMIT_NOFILE, &lim) < 0 || prepare("32MiB") < 0)
		return -1;
	if (fork() == 0) {
		execl(agent, "pmiod", "--foreground", "--pool", pool, (char *)NULL);
		_exit(EXIT_FAILURE);
	}
	for (int tries = 0; rc == PMIO_EAGENT && tries < 600; tries++) {
		nanosleep(&wait, NULL);
		rc = pmio_attach(pool, &admin);
	}
	if (rc < 0)
		return rc;
	pmio_disconnect(&admin);
	return pmio_connect(pool, &pm);
}

static struct pmio_file *must_open(int flags)
{
	struct pmio_file *f;

	assert_int_equal(pmio_open(pm, path, flags, 0666, &f), 0);
	return f;
}

/* ---- reading and writing -------------------------------------------------------------- */

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

/* ---- open, close, delete ---------------------------------------------------------------------- */

static void open__errors(void **state)
{
	struct pmio_file *f = (struct pmio_file *)&f;
	char missing[PATH_MAX + 64];

	(void)state;
	assert_int_equal(pmio_open(pm, path, O_RDWR, 0, &f), -ENOENT);
	assert_null(f);
	assert_int_equal(pmio_open(pm, root.path, O_RDWR, 0, &f), -EISDIR);
	assert_int_equal(pmio_open(pm, root.path, O_RDONLY, 0, &f), -EISDIR);
	snprintf(missing, sizeof(missing), "%s/no/file", root.path);
	assert_int_equal(pmio_open(pm, missing, O_RDWR | O_CREAT, 0666, &f), -ENOENT);
	assert_int_equal(pmio_open(pm, path, O_RDWR | O_DIRECTORY, 0666, &f), -EINVAL);
	assert_int_equal(pmio_open(pm, path, O_RDONLY | O_TRUNC, 0666, &f), -EINVAL);
	assert_int_equal(pmio_open(pm, "", O_RDONLY, 0, &f), -ENOENT);
	assert_int_equal(pmio_open(pm, "/dev/null", O_RDWR, 0, &f), -EINVAL);
	f = must_open(O_RDWR | O_CREAT | O_EXCL);
	assert_int_equal(pmio_close(&f), 0);
	assert_int_equal(pmio_open(pm, path, O_RDWR | O_CREAT | O_EXCL, 0666, &f), -EEXIST);
	assert_int_equal(pmio_delete(pm, path), 0);
	assert_int_equal(pmio_delete(pm, path), -ENOENT);
}

/* a name without a folder: that of the current one is made durable */
static void delete__in_the_current_folder(void **state)
{
	const char *name = strrchr(path, '/') + 1;
	int here = open(".", O_RDONLY | O_DIRECTORY);
	struct pmio_file *f = must_open(O_RDWR | O_CREAT);

	(void)state;
	assert_int_equal(pmio_close(&f), 0);
	assert_int_equal(chdir(root.path), 0);
	scratch_catch_log();
	assert_int_equal(pmio_delete(pm, name), 0);
	pmio_log_set_handler(NULL);
	assert_int_equal(fchdir(here), 0);
	close(here);
	assert_string_equal(scratch_last_error, "");
	assert_int_equal(access(path, F_OK), -1);
}

static void open__mode_and_umask(void **state)
{
	mode_t old = umask(027);
	struct pmio_file *f = must_open(O_RDWR | O_CREAT);
	struct stat st;

	(void)state;
	umask(old);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(pmio_close(&f), 0);
}

static void handles__only_what_they_were_opened_for(void **state)
{
	struct pmio_file *w = must_open(O_WRONLY | O_CREAT), *r = must_open(O_RDONLY);
	char c = 'c';

	(void)state;
	assert_int_equal(pmio_pread(w, &c, 1, 0), -EBADF);
	assert_int_equal(pmio_pwrite(r, &c, 1, 0), -EBADF);
	assert_int_equal(pmio_truncate(r, 0), -EBADF);
	assert_int_equal(pmio_pwrite(w, &c, 1, -1), -EINVAL);
	assert_int_equal(pmio_close(&w), 0);
	assert_int_equal(pmio_close(&r), 0);
}

static void names__one_file_through_links(void **state)
{
	struct pmio_file *a = must_open(O_RDWR | O_CREAT), *b, *c;
	char hard[PATH_MAX + 64], soft[PATH_MAX + 64], c1 = 0;

	(void)state;
	snprintf(hard, sizeof(hard), "%s/hard", root.path);
	snprintf(soft, sizeof(soft), "%s/../%s/soft", root.path, strrchr(root.path, '/') + 1);
	assert_int_equal(link(path, hard), 0);
	assert_int_equal(symlink("file", soft), 0);
	assert_int_equal(pmio_pwrite(a, "Q", 1, 3), 1);
	assert_int_equal(pmio_open(pm, hard, O_RDONLY, 0, &b), 0);
	assert_int_equal(pmio_open(pm, soft, O_RDONLY, 0, &c), 0);
	assert_int_equal(pmio_pread(b, &c1, 1, 3), 1);
	assert_int_equal(c1, 'Q');
	assert_int_equal(pmio_pread(c, &c1, 1, 3), 1);
	assert_int_equal(c1, 'Q');
	assert_int_equal(pmio_close(&a), 0);
	assert_int_equal(pmio_close(&b), 0);
	assert_int_equal(pmio_close(&c), 0);
}

static void close__cached_file_is_not_read_again(void **state)
{
	uint8_t *buf = malloc(2 * CHUNK), *in = malloc(2 * CHUNK);
	struct pmio_pool_stat st;
	struct pmio_file *f = must_open(O_RDWR | O_CREAT);

	(void)state;
	fill_pattern(buf, 2 * CHUNK, 8);
	assert_int_equal(pmio_pwrite(f, buf, 2 * CHUNK, 0), 2 * CHUNK);
	assert_int_equal(pmio_close(&f), 0);
	f = must_open(O_RDONLY);
	assert_int_equal(pmio_pread(f, in, 2 * CHUNK, 0), 2 * CHUNK);
	assert_memory_equal(in, buf, 2 * CHUNK);
	assert_int_equal(pmio_close(&f), 0);
	assert_int_equal(pmio_stat_pool(pm, &st), 0);
	assert_int_equal(st.filled_bytes, 0);
	fill_pattern(buf, 2 * CHUNK, 9); /* behind our back: the cache is stale */
	put_on_pfs(buf, CHUNK + 7);
	f = must_open(O_RDONLY);
	assert_int_equal(pmio_pread(f, in, 2 * CHUNK, 0), CHUNK + 7);
	assert_memory_equal(in, buf, CHUNK + 7);
	assert_int_equal(pmio_close(&f), 0);
	free(buf);
	free(in);
}

static void stat__sums_are_for_who_asks(void **state)
{
	struct pmio_file *f = must_open(O_RDWR | O_CREAT);
	struct pmio_pool_stat quick, sums;
	uint8_t buf[3 * BLOCK] = { 1 };

	(void)state;
	assert_int_equal(pmio_pwrite(f, buf, sizeof(buf), 0), sizeof(buf));
	assert_int_equal(pmio_pwrite(f, buf, 10, 5 * CHUNK), 10);
	assert_int_equal(pmio_stat_pool(pm, &quick), 0);
	assert_int_equal(pmio_stat_sums(pm, &sums), 0);
	assert_int_equal(sums.dirty_bytes, 3 * BLOCK + 10);
	assert_true(sums.resident_bytes >= 4 * BLOCK);
	assert_int_equal(sums.counts.written, 3 * BLOCK + 10);
	assert_int_equal(quick.dirty_bytes | quick.resident_bytes | quick.counts.written, 0);
	assert_int_equal(quick.nr_frames_free, sums.nr_frames_free);
	assert_true(quick.nr_frames - quick.nr_frames_free >= 2);
	assert_int_equal(quick.agent_pid, sums.agent_pid);
	assert_int_equal(pmio_close(&f), 0);
}

static void stat_id__open_held_and_unknown(void **state)
{
	int fd = open(root.path, O_PATH | O_CLOEXEC);
	struct pmio_id_stat st;
	struct pmio *other;
	struct pmio_file *f;

	(void)state;
	assert_int_equal(pmio_stat_id(pm, fd, &st), -ENOENT);
	close(fd);
	setenv("PMIO_DRAIN", "hold", 1);
	assert_int_equal(pmio_connect(pool, &other), 0);
	assert_int_equal(pmio_open(other, path, O_RDWR | O_CREAT, 0666, &f), 0);
	assert_int_equal(pmio_pwrite(f, "held", 4, 0), 4);
	fd = open(path, O_PATH | O_CLOEXEC);
	assert_int_equal(pmio_stat_id(pm, fd, &st), 0);
	assert_int_equal(st.size, 4);
	assert_int_equal(st.nr_handles, 1);
	assert_int_equal(pmio_close(&f), 0);
	assert_int_equal(pmio_stat_id(pm, fd, &st), 0);
	assert_int_equal(st.size, 4);
	assert_int_equal(st.nr_handles, 0);
	assert_true(st.pending);
	assert_int_equal(pmio_drain_entry(pm, &st.entry, path, 0), 0);
	assert_int_equal(pmio_stat_id(pm, fd, &st), 0);
	assert_false(st.pending);
	assert_int_equal(pmio_delete(pm, path), 0);
	assert_int_equal(pmio_stat_id(pm, fd, &st), -ENOENT);
	close(fd);
	pmio_disconnect(&other);
}

/* as one has it that has only a descriptor */
static void open__by_a_name_of_a_descriptor(void **state)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	char proc[64], moved[PATH_MAX + 64];
	const struct client_open how = { .flags = PMIO_OPEN_READ | PMIO_OPEN_WRITE, .name = path, .is_new = true };
	struct pmio_file *f;

	(void)state;
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	snprintf(moved, sizeof(moved), "%s.moved", path);
	assert_int_equal(rename(path, moved), 0);
	assert_int_equal(client_open(pm, proc, &how, &f), 0);
	assert_int_equal(pmio_pwrite(f, "text", 4, 0), 4);
	assert_int_equal(pmio_close(&f), 0);
	assert_int_equal(rename(moved, path), 0);
	assert_on_pfs((const uint8_t *)"text", 4);
	close(fd);
}

static void delete__open_file_goes_on(void **state)
{
	struct pmio_file *f = must_open(O_RDWR | O_CREAT);
	char c = 0;

	(void)state;
	assert_int_equal(pmio_pwrite(f, "A", 1, 0), 1);
	assert_int_equal(pmio_delete(pm, path), 0);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(pmio_pread(f, &c, 1, 0), 1);
	assert_int_equal(c, 'A');
	assert_int_equal(pmio_close(&f), 0);
	assert_int_equal(access(path, F_OK), -1);
}

static struct pmio_file *open_nr(unsigned nr, int want)
{
	struct pmio_file *f;
	char name[PATH_MAX + 64];

	snprintf(name, sizeof(name), "%s/%u", root.path, nr);
	assert_int_equal(pmio_open(pm, name, O_RDWR | O_CREAT, 0666, &f), want);
	return f;
}

/* error lines in the agent's log */
static unsigned errors_logged(void)
{
	char name[PATH_MAX + 64], line[1024];
	unsigned nr = 0;
	FILE *log;

	snprintf(name, sizeof(name), "%s/agent.log", pool);
	log = fopen(name, "r");
	assert_non_null(log);
	while (fgets(line, sizeof(line), log))
		nr += strstr(line, ": error: ") != NULL;
	fclose(log);
	return nr;
}

/* closed files make room for others; open ones cannot, and a file that finds none does no harm */
static void slots__more_files_than_the_pool_knows(void **state)
{
	struct pmio_file *f[FEW_SLOTS], *one;
	char c;

	(void)state;
	for (unsigned i = 0; i < 10 * FEW_SLOTS; i++) {
		one = open_nr(i, 0);
		assert_int_equal(pmio_pwrite(one, &(char){ (char)i }, 1, 0), 1);
		assert_int_equal(pmio_close(&one), 0);
	}
	for (unsigned i = 0; i < FEW_SLOTS; i++)
		f[i] = open_nr(10 * i, 0);
	assert_int_equal(errors_logged(), 0);
	assert_null(open_nr(1, -ENFILE));
	assert_int_equal(errors_logged(), 1);
	one = open_nr(10, 0); /* known already */
	assert_int_equal(pmio_close(&one), 0);
	for (unsigned i = 0; i < FEW_SLOTS; i++) {
		assert_int_equal(pmio_pread(f[i], &c, 1, 0), 1);
		assert_int_equal(c, (char)(10 * i));
	}
	assert_int_equal(pmio_close(&f[3]), 0);
	f[3] = open_nr(1, 0);
	assert_int_equal(pmio_pread(f[3], &c, 1, 0), 1);
	assert_int_equal(c, 1);
	for (unsigned i = 0; i < FEW_SLOTS; i++)
		assert_int_equal(pmio_close(&f[i]), 0);
}

/* the agent has one for each open file: whom it has none left for is told so, and the others go on */
static void descriptors__none_left(void **state)
{
	struct pmio_file *f[64];
	char name[PATH_MAX + 64], c;
	unsigned nr = 0;
	int rc = 0;

	(void)state;
	for (; nr < 64 && rc == 0; nr += rc == 0) {
		snprintf(name, sizeof(name), "%s/%u", root.path, nr);
		rc = pmio_open(pm, name, O_RDWR | O_CREAT, 0666, &f[nr]);
		if (rc == 0)
			assert_int_equal(pmio_pwrite(f[nr], &(char){ (char)nr }, 1, 0), 1);
	}
	assert_int_equal(rc, -EMFILE);
	assert_true(nr > 4);
	for (unsigned i = 0; i < nr; i++) {
		assert_int_equal(pmio_pread(f[i], &c, 1, 0), 1);
		assert_int_equal(c, (char)i);
	}
	assert_int_equal(pmio_close(&f[0]), 0);
	f[0] = open_nr(1000, 0);
	for (unsigned i = 0; i < nr; i++)
		assert_int_equal(pmio_close(&f[i]), 0);
}

static void hold__stays_in_the_pool_until_asked(void **state)
{
	struct pmio *other;
	struct pmio_file *f;
	struct stat st;

	(void)state;
	setenv("PMIO_DRAIN", "hold", 1);
	assert_int_equal(pmio_connect(pool, &other), 0);
	assert_int_equal(pmio_open(other, path, O_RDWR | O_CREAT, 0666, &f), 0);
	assert_int_equal(pmio_pwrite(f, "held", 4, 0), 4);
	assert_int_equal(pmio_close(&f), 0);
	pmio_disconnect(&other);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(pmio_drain_path(pm, path), 0);
	assert_on_pfs((const uint8_t *)"held", 4);
	assert_int_equal(pmio_drain_path(pm, "/no/such"), -ESRCH);
}

static void hold__changed_behind_our_back_is_reported(void **state)
{
	struct pmio *other;
	struct pmio_file *f;

	(void)state;
	setenv("PMIO_DRAIN", "hold", 1);
	assert_int_equal(pmio_connect(pool, &other), 0);
	assert_int_equal(pmio_open(other, path, O_RDWR | O_CREAT, 0666, &f), 0);
	assert_int_equal(pmio_pwrite(f, "held", 4, 0), 4);
	assert_int_equal(pmio_close(&f), 0);
	put_on_pfs((const uint8_t *)"others", 6);
	assert_int_equal(pmio_open(other, path, O_RDWR, 0666, &f), PMIO_ECHANGED);
	pmio_disconnect(&other);
	assert_on_pfs((const uint8_t *)"others", 6);
}

static void rename__held_file_can_be_drained(void **state)
{
	struct pmio *other;
	struct pmio_file *f;

	(void)state;
	setenv("PMIO_DRAIN", "hold", 1);
	assert_int_equal(pmio_connect(pool, &other), 0);
	assert_int_equal(pmio_open(other, path, O_RDWR | O_CREAT, 0666, &f), 0);
	assert_int_equal(pmio_pwrite(f, "held", 4, 0), 4);
	assert_int_equal(pmio_close(&f), 0);
	pmio_disconnect(&other);
	snprintf(path, sizeof(path), "%s/renamed", root.path);
	{
		char old[PATH_MAX + 64];

		snprintf(old, sizeof(old), "%s/file", root.path);
		assert_int_equal(rename(old, path), 0);
	}
	assert_int_equal(pmio_drain_path(pm, path), 0);
	assert_on_pfs((const uint8_t *)"held", 4);
}

static void discard__spares_a_file_made_later(void **state)
{
	struct pmio_file *a = must_open(O_RDWR | O_CREAT), *b = must_open(O_RDWR), *c;

	(void)state;
	assert_int_equal(pmio_pwrite(a, "old", 3, 0), 3);
	assert_int_equal(pmio_close_discard(&a), 0);
	c = must_open(O_RDWR | O_CREAT | O_EXCL); /* the name is free at once */
	assert_int_equal(pmio_pwrite(c, "later", 5, 0), 5);
	assert_int_equal(pmio_close(&c), 0);
	assert_int_equal(pmio_close(&b), 0);
	assert_on_pfs((const uint8_t *)"later", 5);
}

struct drainer {
	struct pmio *pm;
	_Atomic bool stop;
	_Atomic unsigned rounds;
};

static void *drain_again_and_again(void *arg)
{
	struct drainer *d = arg;

	while (!d->stop) {
		pmio_drain_path(d->pm, path);
		d->rounds++;
	}
	return NULL;
}

/* one long write that extends the file, and drains that begin in the middle of it */
static void drain_beside_write(size_t len)
{
	uint8_t *buf = malloc(len);
	struct drainer d = { .rounds = 0 };
	struct pmio_file *f = must_open(O_RDWR | O_CREAT);
	pthread_t t;

	assert_non_null(buf);
	fill_pattern(buf, len, 6);
	assert_int_equal(pmio_connect(pool, &d.pm), 0);
	assert_int_equal(pthread_create(&t, NULL, drain_again_and_again, &d), 0);
	while (d.rounds == 0) /* on a busy machine it may take a while until it runs */
		usleep(1000);
	assert_int_equal(pmio_pwrite(f, buf, len, 0), len);
	d.stop = true;
	pthread_join(t, NULL);
	assert_int_equal(pmio_close(&f), 0);
	assert_on_pfs(buf, len);
	pmio_disconnect(&d.pm);
	free(buf);
}

static void drain__beside_an_extending_write(void **state)
{
	(void)state;
	drain_beside_write(24 * CHUNK + 17);
}

static void drain__beside_an_extending_write_in_a_full_pool(void **state)
{
	(void)state;
	drain_beside_write(48 * CHUNK + 17);
}

/* ---- the agent dies ---------------------------------------------------------------------------- */

static void kill_agent(void)
{
	struct pmio_pool_stat st;

	assert_int_equal(pmio_stat_pool(pm, &st), 0);
	assert_int_equal(kill((pid_t)st.agent_pid, SIGKILL), 0);
	for (int i = 0; i < 1000 && kill((pid_t)st.agent_pid, 0) == 0; i++)
		usleep(2000);
}

static off_t find_block(int fd, const uint8_t *block)
{
	static uint8_t in[BLOCK];
	off_t at = 0;

	while (pread(fd, in, BLOCK, at) == BLOCK && memcmp(in, block, BLOCK) != 0)
		at += BLOCK;
	assert_memory_equal(in, block, BLOCK);
	return at;
}

/*
 * Cut the pool's data behind the second block of the chunk that lies highest: as if
 * what follows were poisoned, loads raise SIGBUS.  Returns that chunk.
 */
static off_t data_size; /* of the pool, before that */

static int lose_most_of_a_chunk(const uint8_t *buf, int nr_chunks)
{
	off_t highest = 0;
	char data[PATH_MAX + 64];
	int fd, lost = 0;

	snprintf(data, sizeof(data), "%s/" PMIO_POOL_DATA, pool);
	fd = open(data, O_RDWR);
	assert_true(fd >= 0);
	for (int i = 0; i < nr_chunks; i++) {
		off_t at = find_block(fd, buf + i * CHUNK);

		lost = at > highest ? i : lost;
		highest = at > highest ? at : highest;
	}
	data_size = lseek(fd, 0, SEEK_END);
	assert_int_equal(ftruncate(fd, highest + 2 * BLOCK), 0);
	close(fd);
	return lost;
}

/* else the agent cannot be told to go: nobody maps a pool that is too short */
static void make_whole(void)
{
	char data[PATH_MAX + 64];

	snprintf(data, sizeof(data), "%s/" PMIO_POOL_DATA, pool);
	assert_int_equal(truncate(data, data_size), 0);
}

static void check_all_but(const uint8_t *is, const uint8_t *should, int lost)
{
	for (int i = 0; i < 4; i++)
		assert_memory_equal(is + i * CHUNK, should + i * CHUNK, i == lost ? 2 * BLOCK : CHUNK);
}

static void poison__is_an_error_of_that_block(void **state)
{
	uint8_t *buf = malloc(4 * CHUNK), *in = calloc(4, CHUNK);
	struct pmio_pool_stat before, after;
	struct pmio_file *f;
	int lost, fd;

	(void)state;
	/* cmocka has put its own handler over that of the connection made before the test */
	pmio_disconnect(&pm);
	assert_int_equal(pmio_connect(pool, &pm), 0);
	f = must_open(O_RDWR | O_CREAT);
	for (int i = 0; i < 4; i++)
		fill_pattern(buf + i * CHUNK, CHUNK, 100 + (unsigned)i);
	assert_int_equal(pmio_pwrite(f, buf, 4 * CHUNK, 0), 4 * CHUNK);
	assert_int_equal(pmio_stat_pool(pm, &before), 0);
	lost = lose_most_of_a_chunk(buf, 4);

	for (int i = 0; i < 4; i++) {
		size_t n = i == lost ? 2 * BLOCK : CHUNK;

		assert_int_equal(pmio_pread(f, in + i * CHUNK, n, i * CHUNK), n);
	}
	check_all_but(in, buf, lost);
	assert_int_equal(pmio_pread(f, in, 1, lost * CHUNK + 2 * BLOCK), -EIO);
	assert_int_equal(pmio_pread(f, in, 4 * CHUNK, 0), -EIO);
	assert_int_equal(pmio_drain(f), -EIO);
	assert_int_equal(pmio_stat_sums(pm, &after), 0);
	assert_int_equal(after.agent_pid, before.agent_pid);
	assert_true(after.dirty_bytes > 0);
	assert_int_equal(pmio_close(&f), -EIO);

	memset(in, 0, 4 * CHUNK);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0 && pread(fd, in, 4 * CHUNK, 0) > 0);
	close(fd);
	check_all_but(in, buf, lost);
	make_whole();
	free(buf);
	free(in);
}

static void agent_killed__program_goes_on(void **state)
{
	uint8_t *buf = malloc(4 * CHUNK), *in = malloc(4 * CHUNK);
	struct pmio_file *f = must_open(O_RDWR | O_CREAT);

	(void)state;
	fill_pattern(buf, 4 * CHUNK, 4);
	assert_int_equal(pmio_pwrite(f, buf, 2 * CHUNK + 9, 0), 2 * CHUNK + 9);
	kill_agent();
	assert_int_equal(pmio_pwrite(f, buf + 2 * CHUNK + 9, 2 * CHUNK - 9, 2 * CHUNK + 9), 2 * CHUNK - 9);
	kill_agent();
	assert_int_equal(pmio_pread(f, in, 4 * CHUNK, 0), 4 * CHUNK);
	assert_memory_equal(in, buf, 4 * CHUNK);
	assert_int_equal(pmio_close(&f), 0);
	assert_on_pfs(buf, 4 * CHUNK);
	free(buf);
	free(in);
}

/*
 * Two pages that a write copies from, one after the other.  A load from either stops in a
 * handler, in mid-write; that gives the page back and takes the other away, so each try
 * of the write stops twice.
 */
static struct {
	uint8_t *pages;
	struct pmio_file *f;
	unsigned nr, nr_replace; /* stops at the first page; in so many of them the agent is replaced */
	bool other_goes_on;	 /* a second thread finds the new agent before the write goes on */
} stop;

static void *read_one(void *arg)
{
	char c;

	(void)arg;
	pmio_pread(stop.f, &c, 1, 0);
	return NULL;
}

/* as another agent does when it starts; this one goes on, and knows what we had open */
static void replace_agent(void)
{
	pthread_t other;

	__atomic_add_fetch(&pm->view->super->epoch, 1, __ATOMIC_SEQ_CST);
	if (stop.other_goes_on && pthread_create(&other, NULL, read_one, NULL) == 0)
		pthread_join(other, NULL);
}

static void stopped(int sig, siginfo_t *info, void *context)
{
	uint8_t *at = info->si_addr, *second = stop.pages + BLOCK;
	bool is_first = at < second;

	(void)context;
	if (at < stop.pages || at >= second + BLOCK) {
		signal(sig, SIG_DFL);
		return;
	}
	if (is_first && stop.nr++ < stop.nr_replace)
		replace_agent();
	mprotect(is_first ? stop.pages : second, BLOCK, PROT_READ | PROT_WRITE);
	mprotect(is_first ? second : stop.pages, BLOCK, PROT_NONE);
}

/* what a write of the pages to two chunks returns while agents are replaced so often in its middle */
static ssize_t write_while_replaced(struct pmio_file *f, unsigned nr_replace, bool other_goes_on)
{
	struct sigaction sa = { .sa_sigaction = stopped, .sa_flags = SA_SIGINFO | SA_NODEFER }, before;
	struct pmio_piece p[2] = { { .off = 0, .len = BLOCK }, { .off = CHUNK, .len = BLOCK } };
	ssize_t n;

	stop.pages = mmap(NULL, 2 * BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(stop.pages, MAP_FAILED);
	fill_pattern(stop.pages, 2 * BLOCK, 21);
	p[0].buf = stop.pages;
	p[1].buf = stop.pages + BLOCK;
	stop.f = f;
	stop.nr = 0;
	stop.nr_replace = nr_replace;
	stop.other_goes_on = other_goes_on;
	assert_int_equal(sigaction(SIGSEGV, &sa, &before), 0);
	assert_int_equal(mprotect(stop.pages, 2 * BLOCK, PROT_NONE), 0);
	n = pmio_writex(f, p, 2);
	assert_int_equal(sigaction(SIGSEGV, &before, NULL), 0);
	munmap(stop.pages, 2 * BLOCK);
	return n;
}

static void check_written(struct pmio_file *f)
{
	uint8_t want[2 * BLOCK], have[2 * BLOCK];

	fill_pattern(want, 2 * BLOCK, 21);
	assert_int_equal(pmio_pread(f, have, BLOCK, 0), BLOCK);
	assert_int_equal(pmio_pread(f, have + BLOCK, BLOCK, CHUNK), BLOCK);
	assert_memory_equal(have, want, 2 * BLOCK);
}

static void agent_replaced__write_is_done_once_more(void **state)
{
	struct pmio_file *f = must_open(O_RDWR | O_CREAT);

	(void)state;
	assert_int_equal(write_while_replaced(f, 2, false), 2 * BLOCK);
	assert_int_equal(stop.nr, 3);
	check_written(f);
	assert_int_equal(pmio_close(&f), 0);
}

static void agent_replaced__again_and_again_is_an_error(void **state)
{
	struct pmio_file *f = must_open(O_RDWR | O_CREAT);

	(void)state;
	assert_int_equal(write_while_replaced(f, UINT_MAX, false), PMIO_EAGENT);
	assert_int_equal(pmio_pwrite(f, "x", 1, 0), 1); /* the handle is as good as before */
	assert_int_equal(pmio_close(&f), 0);
}

/* a thread in the middle of a write must not take the other thread's new agent for its own */
static void agent_replaced__another_thread_has_gone_on(void **state)
{
	struct pmio_file *f = must_open(O_RDWR | O_CREAT);
	uint64_t epoch;

	(void)state;
	assert_int_equal(pmio_pwrite(f, "x", 1, 0), 1);
	epoch = f->cache_epoch;
	assert_int_equal(write_while_replaced(f, 1, true), 2 * BLOCK);
	assert_int_not_equal(f->cache_epoch, epoch);
	assert_int_equal(stop.nr, 2);
	check_written(f);
	assert_int_equal(pmio_close(&f), 0);
}

static void agent_killed__the_next_one_drains(void **state)
{
	struct pmio_file *f = must_open(O_RDWR | O_CREAT);
	struct pmio_file_stat st;
	struct pmio *old = pm;
	uint32_t cursor;

	(void)state;
	assert_int_equal(pmio_pwrite(f, "promised", 8, 0), 8);
	kill_agent();
	/* as if this process died with it: another connection, the file not closed */
	assert_int_equal(pmio_connect(pool, &pm), 0);
	for (int i = 0; i < 1000; i++) {
		cursor = 0;
		assert_int_equal(pmio_stat_next(pm, &cursor, &st), 0);
		if (st.dirty_bytes == 0 && st.pfs_size == 8)
			break;
		usleep(5000);
	}
	assert_on_pfs((const uint8_t *)"promised", 8);
	pmio_disconnect(&old);
}

/* ---- without waiting ------------------------------------------------------------------- */

static ssize_t write_at_once(struct pmio_file *f, const void *buf, size_t len, off_t off, bool *raised)
{
	struct pmio_piece p = { .buf = (void *)buf, .len = len, .off = off };

	return client_writex_at_once(f, &p, 1, raised);
}

static ssize_t read_at_once(struct pmio_file *f, void *buf, size_t len, off_t off)
{
	struct pmio_piece p = { .buf = buf, .len = len, .off = off };

	return client_readx_at_once(f, &p, 1, 0);
}

static pid_t agent_process(void)
{
	struct pmio_pool_stat st;

	assert_int_equal(pmio_stat_pool(pm, &st), 0);
	return (pid_t)st.agent_pid;
}

/* as a signal to the whole job that has started it does; a call that waits for it ends, and later ones do not */
static void agent_stopped__calls_end_and_the_program_goes_on(void **state)
{
	struct pmio_file *f, *other;
	struct pmio_pool_stat st;
	struct stat pfs;
	char c = 'x';
	pid_t pid;

	(void)state;
	assert_int_equal(pmio_open(pm, path, O_RDWR | O_CREAT, 0666, &f), 0);
	assert_int_equal(pmio_pwrite(f, &c, 1, 0), 1);
	pid = agent_process();
	assert_int_equal(kill(pid, SIGSTOP), 0);
	/* in a frame that is known: that needs nobody */
	assert_int_equal(pmio_pwrite(f, &c, 1, 1), 1);
	assert_int_equal(pmio_pwrite(f, &c, 1, 5 << 20), PMIO_ESTUCK);
	assert_int_equal(pmio_stat_pool(pm, &st), PMIO_ESTUCK);
	assert_int_equal(kill(pid, SIGCONT), 0);
	assert_int_equal(pmio_pwrite(f, &c, 1, 5 << 20), 1);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(pmio_open(pm, root.path, O_RDONLY, 0, &other), -EISDIR); /* that takes no agent */
	assert_int_equal(kill(pid, SIGCONT), 0);
	assert_int_equal(pmio_stat_pool(pm, &st), 0);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(pmio_open(pm, path, O_RDWR, 0, &other), PMIO_ESTUCK); /* it will not */
	assert_int_equal(kill(pid, SIGCONT), 0);
	assert_int_equal(pmio_stat_pool(pm, &st), 0);
	assert_int_equal(st.nr_handles, 1);
	assert_int_equal(st.agent_pid, pid);
	assert_int_equal(pmio_close(&f), 0);
	assert_int_equal(stat(path, &pfs), 0);
	assert_int_equal(pfs.st_size, (5 << 20) + 1);
}

/* with another in its place the program goes on as ever */
static void agent_stopped__and_killed(void **state)
{
	struct pmio_file *f;
	struct stat pfs;
	char c = 'x';
	pid_t pid;

	(void)state;
	assert_int_equal(pmio_open(pm, path, O_RDWR | O_CREAT, 0666, &f), 0);
	assert_int_equal(pmio_pwrite(f, &c, 1, 0), 1);
	pid = agent_process();
	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(pmio_pwrite(f, &c, 1, 5 << 20), PMIO_ESTUCK);
	assert_int_equal(pmio_pool_kill_owner(pool, 60000), 0);
	assert_int_equal(pmio_pwrite(f, &c, 1, 7 << 20), 1);
	assert_true(agent_process() != pid);
	assert_int_equal(pmio_close(&f), 0);
	assert_int_equal(stat(path, &pfs), 0);
	assert_int_equal(pfs.st_size, (7 << 20) + 1);
}

static void at_once__only_in_frames_that_are_known(void **state)
{
	uint8_t *buf = malloc(2 * CHUNK), *in = malloc(2 * CHUNK);
	struct pmio_file *f = must_open(O_RDWR | O_CREAT);
	bool raised = false;

	(void)state;
	fill_pattern(buf, 2 * CHUNK, 6);
	assert_int_equal(write_at_once(f, buf, 100, CHUNK, &raised), -EAGAIN);
	assert_false(raised);
	assert_int_equal(write_at_once(f, buf, 100, 0, &raised), 100); /* of a new file the first is */
	assert_true(raised);
	raised = false;
	assert_int_equal(write_at_once(f, buf + 100, BLOCK, 100, &raised), BLOCK);
	assert_true(raised);
	raised = false;
	assert_int_equal(write_at_once(f, buf + 50, 100, 50, &raised), 100);
	assert_false(raised);
	assert_int_equal(read_at_once(f, in, CHUNK, 0), BLOCK + 100); /* up to the end of the file */
	assert_memory_equal(in, buf, BLOCK + 100);
	assert_int_equal(read_at_once(f, in, CHUNK, CHUNK), 0);
	assert_int_equal(pmio_close(&f), 0);
	assert_on_pfs(buf, BLOCK + 100);
	free(buf);
	free(in);
}

static void at_once__part_of_a_block_that_is_not_there(void **state)
{
	uint8_t *buf = malloc(CHUNK), in[16];
	struct pmio_pool_stat st;
	struct pmio_file *f;
	bool raised = false;

	(void)state;
	fill_pattern(buf, CHUNK, 7);
	put_on_pfs(buf, CHUNK);
	f = must_open(O_RDWR);
	assert_int_equal(pmio_pwrite(f, buf, BLOCK, 0), BLOCK); /* the frame is known, its other blocks are not valid */
	assert_int_equal(write_at_once(f, "x", 1, 2 * BLOCK, &raised), -EAGAIN);
	assert_int_equal(read_at_once(f, in, sizeof(in), 2 * BLOCK), -EAGAIN);
	assert_int_equal(pmio_stat_pool(pm, &st), 0);
	assert_int_equal(st.filled_bytes, 0);
	fill_pattern(buf + BLOCK, BLOCK, 8);
	assert_int_equal(write_at_once(f, buf + BLOCK, BLOCK, BLOCK, &raised), BLOCK); /* covers its block */
	assert_false(raised);
	assert_int_equal(pmio_close(&f), 0);
	assert_on_pfs(buf, CHUNK);
	free(buf);
}

/* what it has written of a call before the frame that is not known, it says: the file got longer */
static void at_once__part_of_a_call(void **state)
{
	const size_t far = 12 * CHUNK; /* chunks are claimed ahead */
	uint8_t *buf = calloc(1, far + 30);
	struct pmio_file *f = must_open(O_RDWR | O_CREAT);
	struct pmio_piece p[2] = { { .buf = buf + 10, .len = 20, .off = 10 },
				   { .buf = buf + far, .len = 30, .off = (off_t)far } };
	bool raised = false;
	off_t size;

	(void)state;
	fill_pattern(buf, 30, 9);
	fill_pattern(buf + far, 30, 10);
	assert_int_equal(pmio_pwrite(f, buf, 10, 0), 10);
	assert_int_equal(client_writex_at_once(f, p, 2, &raised), -EAGAIN);
	assert_true(raised);
	assert_int_equal(pmio_size(f, &size), 0);
	assert_int_equal(size, 30);
	assert_int_equal(client_writex(f, p, 2, &raised), 50);
	assert_int_equal(pmio_close(&f), 0);
	assert_on_pfs(buf, far + 30);
	free(buf);
}

/* the next agent may give the same chunk another frame */
static void at_once__not_after_the_agent_was_killed(void **state)
{
	uint8_t buf[2 * BLOCK];
	struct pmio_file *f = must_open(O_RDWR | O_CREAT), *g;
	bool raised = false;

	(void)state;
	fill_pattern(buf, sizeof(buf), 11);
	assert_int_equal(pmio_pwrite(f, buf, sizeof(buf), 0), sizeof(buf));
	kill_agent();
	g = must_open(O_RDWR); /* by the next agent */
	assert_int_equal(write_at_once(f, buf, 10, 0, &raised), -EAGAIN);
	assert_int_equal(read_at_once(f, buf, 10, 0), -EAGAIN);
	assert_int_equal(pmio_pwrite(f, buf, 10, 0), 10);
	assert_int_equal(write_at_once(f, buf, 10, 0, &raised), 10);
	assert_int_equal(pmio_close(&g), 0);
	assert_int_equal(pmio_close(&f), 0);
	assert_on_pfs(buf, sizeof(buf));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define SMALL(name) cmocka_unit_test_setup_teardown(name, set_up_small, tear_down)
	const struct CMUnitTest tests[] = {
		T(write__visible_to_another_handle_at_once),
		T(random__new_file),
		T(random__existing_file),
		SMALL(random__larger_than_the_pool),
		SMALL(write__full_pool_without_fallback),
		T(write__block_that_is_covered_reads_nothing),
		T(pieces__many_in_one_call),
		T(pieces__random_ones_against_a_model),
		T(hole__reads_zero_and_takes_no_frame),
		T(truncate__shrunk_data_do_not_come_back),
		T(open__errors),
		T(delete__in_the_current_folder),
		T(open__mode_and_umask),
		T(handles__only_what_they_were_opened_for),
		T(names__one_file_through_links),
		T(close__cached_file_is_not_read_again),
		T(stat__sums_are_for_who_asks),
		T(stat_id__open_held_and_unknown),
		T(open__by_a_name_of_a_descriptor),
		T(delete__open_file_goes_on),
		cmocka_unit_test_setup_teardown(slots__more_files_than_the_pool_knows, set_up_few_slots, tear_down),
		T(hold__stays_in_the_pool_until_asked),
		T(hold__changed_behind_our_back_is_reported),
		T(rename__held_file_can_be_drained),
		T(discard__spares_a_file_made_later),
		T(drain__beside_an_extending_write),
		SMALL(drain__beside_an_extending_write_in_a_full_pool),
		T(poison__is_an_error_of_that_block),
		T(agent_killed__program_goes_on),
		T(agent_killed__the_next_one_drains),
		T(agent_replaced__write_is_done_once_more),
		T(agent_replaced__again_and_again_is_an_error),
		T(agent_replaced__another_thread_has_gone_on),
		T(at_once__only_in_frames_that_are_known),
		T(at_once__part_of_a_block_that_is_not_there),
		T(at_once__part_of_a_call),
		T(at_once__not_after_the_agent_was_killed),
		cmocka_unit_test_setup_teardown(agent_stopped__calls_end_and_the_program_goes_on,
						set_up_impatient, tear_down),
		cmocka_unit_test_setup_teardown(agent_stopped__and_killed, set_up_impatient, tear_down),
		cmocka_unit_test_setup_teardown(descriptors__none_left, set_up_few_descriptors, tear_down),
	};

	cmocka_set_test_filter(getenv("PMIO_TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
