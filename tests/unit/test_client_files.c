/*
 * test_client_files.c -- files that libpmio opens, closes, holds, renames and deletes
 */
#include "with_agent.h"

#include <pthread.h>
#include <sys/resource.h>

#include "pool/pool.h"

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

int main(void)
{
	struct CMUnitTest tests[] = {
		WITH_AGENT(open__errors),
		WITH_AGENT(delete__in_the_current_folder),
		WITH_AGENT(open__mode_and_umask),
		WITH_AGENT(handles__only_what_they_were_opened_for),
		WITH_AGENT(names__one_file_through_links),
		WITH_AGENT(close__cached_file_is_not_read_again),
		WITH_AGENT(stat__sums_are_for_who_asks),
		WITH_AGENT(stat_id__open_held_and_unknown),
		WITH_AGENT(open__by_a_name_of_a_descriptor),
		WITH_AGENT(delete__open_file_goes_on),
		cmocka_unit_test_setup_teardown(slots__more_files_than_the_pool_knows, set_up_few_slots, tear_down),
		WITH_AGENT(hold__stays_in_the_pool_until_asked),
		WITH_AGENT(hold__changed_behind_our_back_is_reported),
		WITH_AGENT(rename__held_file_can_be_drained),
		WITH_AGENT(discard__spares_a_file_made_later),
		WITH_AGENT(drain__beside_an_extending_write),
		IN_SMALL_POOL(drain__beside_an_extending_write_in_a_full_pool),
		cmocka_unit_test_setup_teardown(descriptors__none_left, set_up_few_descriptors, tear_down),
	};

	return scratch_run("client_files", tests);
}
