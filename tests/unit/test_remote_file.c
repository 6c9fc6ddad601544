/*
 * test_remote_file.c -- lib/remote: a file in the pool of another node
 */
#include "sites.h"

#include <pthread.h>

/* a message's worth and less, more than one, more than a bounce buffer, more than all bounce buffers of a session */
static void write_and_read(const char *name)
{
	const size_t sizes[] = {
		1, 13, 4096, REMOTE_INLINE_MAX - 16, REMOTE_INLINE_MAX - 15, REMOTE_ANSWER_MAX, REMOTE_ANSWER_MAX + 1, 65537,
		REMOTE_BUFFER_SIZE, REMOTE_BUFFER_SIZE + 1, CHUNK - 1, CHUNK, CHUNK + 5, (7 << 20) + 13,
	};
	struct pmio_file *f, *there;

	name_file(name);
	f = open_at(1, RW | PMIO_OPEN_CREATE);
	assert_int_equal(pmio_open(sites[1].pm, path, O_RDWR, 0, &there), 0);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint8_t *out = malloc(sizes[i]), *in = calloc(1, sizes[i]);
		off_t off = (off_t)(i * 1000 + 77);

		assert_true(out && in);
		fill_pattern(out, sizes[i], (unsigned)i);
		assert_int_equal(pmio_pwrite(f, out, sizes[i], off), sizes[i]);
		assert_int_equal(pmio_pread(f, in, sizes[i], off), sizes[i]);
		assert_memory_equal(in, out, sizes[i]);
		memset(in, 0, sizes[i]);
		assert_int_equal(pmio_pread(there, in, sizes[i], off), sizes[i]);
		assert_memory_equal(in, out, sizes[i]);
		free(out);
		free(in);
	}
	assert_int_equal(pmio_close(&there), 0);
	assert_int_equal(pmio_close(&f), 0);
	assert_null(f);
}

static void file__what_was_written_is_read(void **state)
{
	(void)state;
	write_and_read("sizes");
}

static void file__what_was_written_is_read_by_buffers(void **state)
{
	(void)state;
	file_always_buffers = true;
	write_and_read("sizes by buffers");
	file_always_buffers = false;
}

/* large ones, and small ones among them, more than a buffer has pieces for; at odd places, so that parts end within them */
static void write_and_read_large(const char *name)
{
	enum { NR = 420, LARGE = 200001, EACH = 10 };
	const size_t size = NR / EACH * (LARGE + 1000);
	struct pmio_piece *p = calloc(NR, sizeof(*p));
	uint8_t *out = malloc(size), *in = calloc(1, size), *whole = calloc(1, size);
	size_t at = 0, sum = 0;
	struct pmio_file *f;

	assert_true(p && out && in && whole);
	name_file(name);
	fill_pattern(out, size, 9);
	for (size_t i = 0; i < NR; i++) {
		size_t len = i % EACH == 0 ? LARGE : i % EACH == 1 ? 0 : 77;

		p[i] = (struct pmio_piece){ (off_t)at, out + sum, len };
		memcpy(whole + at, out + sum, len);
		at += len + 3;
		sum += len;
	}
	f = open_at(1, RW | PMIO_OPEN_CREATE);
	assert_int_equal(pmio_truncate(f, (off_t)size), 0);
	assert_int_equal(pmio_writex(f, p, NR), sum);
	for (size_t i = 0; i < NR; i++)
		p[i].buf = in + ((uint8_t *)p[i].buf - out);
	assert_int_equal(pmio_readx(f, p, NR), sum);
	assert_memory_equal(in, out, sum);
	assert_int_equal(pmio_close(&f), 0);
	assert_on_pfs(whole, size);
	free(p);
	free(out);
	free(in);
	free(whole);
}

static void file__large_pieces(void **state)
{
	(void)state;
	write_and_read_large("large");
	file_always_buffers = true;
	write_and_read_large("large by buffers");
	file_always_buffers = false;
}

/* more than a message's list takes, and than a bounce buffer's; in no order */
static void file__many_pieces(void **state)
{
	enum { NR = 20000, LEN = 37, STEP = 61 };
	struct pmio_piece *p = calloc(NR, sizeof(*p));
	uint8_t *out = malloc(NR * LEN), *in = calloc(NR, LEN), *whole = calloc(NR, STEP);
	struct pmio_file *f;

	(void)state;
	assert_true(p && out && in && whole);
	name_file("pieces");
	fill_pattern(out, NR * LEN, 3);
	for (size_t i = 0; i < NR; i++) {
		size_t at = i * 7919 % NR;

		p[i] = (struct pmio_piece){ (off_t)(at * STEP), out + at * LEN, i % 10 == 9 ? 0 : LEN };
		memcpy(whole + at * STEP, p[i].buf, p[i].len);
	}
	f = open_at(1, RW | PMIO_OPEN_CREATE);
	assert_int_equal(pmio_truncate(f, NR * STEP), 0);
	assert_int_equal(pmio_writex(f, p, 300), 270 * LEN);
	assert_int_equal(pmio_writex(f, p, NR), NR / 10 * 9 * LEN);
	for (size_t i = 0; i < NR; i++)
		p[i].buf = in + ((uint8_t *)p[i].buf - out);
	assert_int_equal(pmio_readx(f, p, NR), NR / 10 * 9 * LEN);
	for (size_t i = 0; i < NR; i++)
		assert_memory_equal(p[i].buf, out + ((uint8_t *)p[i].buf - in), p[i].len);
	assert_int_equal(pmio_close(&f), 0);
	assert_on_pfs(whole, NR * STEP);
	free(p);
	free(out);
	free(in);
	free(whole);
}

static void file__sizes_and_holes(void **state)
{
	struct pmio_file *f;
	uint8_t buf[100], *whole = calloc(1, 3 << 20);
	off_t size;

	(void)state;
	assert_non_null(whole);
	name_file("holes");
	f = open_at(1, RW | PMIO_OPEN_CREATE);
	assert_int_equal(pmio_size(f, &size), 0);
	assert_int_equal(size, 0);
	assert_int_equal(pmio_pread(f, buf, sizeof(buf), 0), 0);
	memset(whole + 2500000, 'x', 50);
	assert_int_equal(pmio_pwrite(f, whole + 2500000, 50, 2500000), 50);
	assert_int_equal(pmio_size(f, &size), 0);
	assert_int_equal(size, 2500050);
	memset(buf, 1, sizeof(buf));
	assert_int_equal(pmio_pread(f, buf, sizeof(buf), 2500000 - 30), 80);
	assert_memory_equal(buf, whole + 2500000 - 30, 80);
	assert_int_equal(pmio_pread(f, buf, sizeof(buf), 1000000), 100);
	assert_memory_equal(buf, whole, 100);
	/* what was cut off does not come back */
	assert_int_equal(pmio_truncate(f, 2500010), 0);
	memset(whole + 2500010, 0, 40);
	assert_int_equal(pmio_truncate(f, 3 << 20), 0);
	assert_int_equal(pmio_pread(f, buf, 50, 2500000), 50);
	assert_memory_equal(buf, whole + 2500000, 50);
	assert_int_equal(pmio_sync(f), 0);
	assert_int_equal(pmio_drain(f), 0);
	assert_on_pfs(whole, 3 << 20);
	assert_int_equal(pmio_pwrite(f, "end", 3, (3 << 20) - 3), 3);
	memcpy(whole + (3 << 20) - 3, "end", 3);
	assert_int_equal(pmio_close(&f), 0);
	assert_on_pfs(whole, 3 << 20);
	free(whole);
}

static void file__opens_that_fail(void **state)
{
	struct client_open how = { .flags = PMIO_OPEN_READ };
	struct pmio_file *f, *g;
	char buf[4];

	(void)state;
	name_file("fails");
	scratch_catch_log();
	assert_int_equal(remote_open(settings, &sites[1].endpoint, path, &how, &f), -ENOENT);
	assert_null(f);
	assert_logged_once();
	f = open_at(1, RW | PMIO_OPEN_CREATE | PMIO_OPEN_EXCL);
	how.flags = RW | PMIO_OPEN_CREATE | PMIO_OPEN_EXCL;
	assert_int_equal(remote_open(settings, &sites[1].endpoint, path, &how, &g), -EEXIST);
	how.flags = PMIO_OPEN_READ;
	assert_int_equal(remote_open(settings, &sites[1].endpoint, root.path, &how, &g), -EISDIR);
	assert_null(g);
	assert_int_equal(scratch_nr_errors, 3);
	g = open_at(1, PMIO_OPEN_READ);
	assert_int_equal(pmio_pwrite(g, "no", 2, 0), -EBADF);
	assert_int_equal(pmio_close(&g), 0);
	assert_int_equal(pmio_pwrite(f, "yes", 3, 0), 3);
	assert_int_equal(remote_delete(settings, &sites[1].endpoint, path), 0);
	assert_false(exists(path));
	assert_int_equal(pmio_pread(f, buf, 4, 0), 3); /* open handles keep it */
	assert_memory_equal(buf, "yes", 3);
	assert_int_equal(pmio_close(&f), 0);
	scratch_catch_log();
	assert_int_equal(remote_delete(settings, &sites[1].endpoint, path), -ENOENT);
	assert_int_equal(scratch_nr_errors, 0); /* a deletion on all nodes expects it */
	pmio_log_set_handler(NULL);
}

static void file__threads_share_it(void **state)
{
	(void)state;
	name_file("threads");
	let_threads_share(open_at(1, RW | PMIO_OPEN_CREATE));
	file_always_buffers = true;
	name_file("threads by buffers");
	let_threads_share(open_at(1, RW | PMIO_OPEN_CREATE));
	file_always_buffers = false;
}

/* with a lock it holds; is killed */
static int role_hold(void)
{
	struct client_open how = { .flags = RW };
	struct pmio_file *f;

	if (remote_open(settings, &sites[1].endpoint, path, &how, &f) < 0 || client_lock(f) < 0 ||
	    pmio_pwrite(f, "held", 4, 0) != 4)
		return 1;
	say(0);
	pause();
	return 1;
}

static void *lock_it(void *arg)
{
	return (void *)(intptr_t)client_lock(arg);
}

/* its lock goes, its file is closed: the last one here drains it */
static void file__its_process_is_killed(void **state)
{
	struct pmio_file *f;
	unsigned before;
	pthread_t t;
	void *rc;
	pid_t pid;
	int out;

	(void)state;
	name_file("held");
	f = open_at(1, RW | PMIO_OPEN_CREATE);
	assert_int_equal(client_lock(f), 0);
	client_unlock(f);
	before = sessions_of(1);
	pid = start_role(&out, "hold", path);
	assert_int_equal(hear(out), 0);
	assert_int_equal(sessions_of(1), before + 1);
	assert_int_equal(pthread_create(&t, NULL, lock_it, f), 0);
	usleep(100000); /* it waits all the time */
	assert_int_equal(pthread_tryjoin_np(t, &rc), EBUSY);
	end_role(pid, out);
	pthread_join(t, &rc);
	assert_null(rc);
	client_unlock(f);
	await(sessions_of(1) == before);
	assert_int_equal(pmio_close(&f), 0);
	assert_on_pfs((const uint8_t *)"held", 4);
}

static const struct role roles[] = { { "hold", role_hold } };

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(file__what_was_written_is_read),
		cmocka_unit_test(file__what_was_written_is_read_by_buffers),
		cmocka_unit_test(file__large_pieces),
		cmocka_unit_test(file__many_pieces),
		cmocka_unit_test(file__sizes_and_holes),
		cmocka_unit_test(file__opens_that_fail),
		cmocka_unit_test(file__threads_share_it),
		cmocka_unit_test(file__its_process_is_killed),
	};

	if (argc == 4)
		return be_role(argv, roles, sizeof(roles) / sizeof(roles[0]));
	return sites_run("remote_file", tests);
}
