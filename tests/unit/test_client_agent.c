/*
 * test_client_agent.c -- libpmio while its agent dies, is replaced or is stopped, and calls that wait for no agent
 */
#include "with_agent.h"

#include <pthread.h>

#include "pool/pool.h"

static int set_up_impatient(void **state)
{
	setenv("PMIO_TIMEOUT", "2", 1);
	return set_up(state);
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
	agent_process(); /* the write may have needed none */
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
	struct CMUnitTest tests[] = {
		WITH_AGENT(poison__is_an_error_of_that_block),
		WITH_AGENT(agent_killed__program_goes_on),
		WITH_AGENT(agent_killed__the_next_one_drains),
		WITH_AGENT(agent_replaced__write_is_done_once_more),
		WITH_AGENT(agent_replaced__again_and_again_is_an_error),
		WITH_AGENT(agent_replaced__another_thread_has_gone_on),
		WITH_AGENT(at_once__only_in_frames_that_are_known),
		WITH_AGENT(at_once__part_of_a_block_that_is_not_there),
		WITH_AGENT(at_once__part_of_a_call),
		WITH_AGENT(at_once__not_after_the_agent_was_killed),
		cmocka_unit_test_setup_teardown(agent_stopped__calls_end_and_the_program_goes_on,
						set_up_impatient, tear_down),
		cmocka_unit_test_setup_teardown(agent_stopped__and_killed, set_up_impatient, tear_down),
	};

	return scratch_run("client_agent", tests);
}
