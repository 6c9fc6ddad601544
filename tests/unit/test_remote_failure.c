/*
 * test_remote_failure.c -- lib/remote: targets and agents that are killed or stopped while a file of theirs is open
 */
#include "sites.h"

#include <pthread.h>

static void open__with_another_key(void **state)
{
	struct client_open how = { .flags = RW | PMIO_OPEN_CREATE, .mode = 0644 };
	struct remote_endpoint wrong;
	struct pmio_file *f, *good;
	unsigned before = sessions_of(1);

	(void)state;
	name_file("key");
	good = open_at(1, RW | PMIO_OPEN_CREATE);
	wrong = sites[1].endpoint;
	wrong.key[31] ^= 1;
	memset(wrong.uuid, 0, sizeof(wrong.uuid)); /* or the session that is there would do */
	scratch_catch_log();
	for (int i = 0; i < 3; i++)
		assert_int_equal(remote_open(settings, &wrong, path, &how, &f), -EACCES);
	assert_null(f);
	pmio_log_set_handler(NULL);
	assert_int_equal(pmio_pwrite(good, "good", 4, 0), 4);
	assert_int_equal(sessions_of(1), before);
	assert_int_equal(pmio_close(&good), 0);
}

/* what was written is there; the handle goes on when somebody has started another */
static void target_killed__error_and_then_another(void **state)
{
	struct pmio_file *f, *g;
	char buf[8] = "";

	(void)state;
	name_file("killed");
	f = open_at(1, RW | PMIO_OPEN_CREATE);
	g = open_at(1, RW);
	assert_int_equal(pmio_pwrite(f, "before", 6, 0), 6);
	kill_target(1);
	scratch_catch_log();
	assert_int_equal(pmio_pwrite(f, "lost", 4, 0), -EIO);
	assert_int_equal(pmio_pread(f, buf, 4, 0), -EIO);
	assert_true(scratch_nr_errors > 0);
	/* a close says that nothing is known of it */
	assert_int_equal(pmio_close(&g), -EIO);
	pmio_log_set_handler(NULL);
	assert_int_equal(remote_advertise(sites[1].pm, &sites[1].endpoint), 0);
	assert_int_equal(pmio_pread(f, buf, 8, 0), 6);
	assert_memory_equal(buf, "before", 6);
	assert_int_equal(pmio_pwrite(f, "after", 5, 6), 5);
	assert_int_equal(pmio_close(&f), 0);
	assert_on_pfs((const uint8_t *)"beforeafter", 11);
}

/* a large write is under way */
static void *write_on(void *arg)
{
	static uint8_t buf[8 << 20];

	while (pmio_pwrite(arg, buf, sizeof(buf), 0) == sizeof(buf))
		;
	return NULL;
}

static void target_killed__in_mid_write(void **state)
{
	struct pmio_file *f;
	off_t size;
	pthread_t t;

	(void)state;
	name_file("mid");
	f = open_at(2, RW | PMIO_OPEN_CREATE);
	assert_int_equal(pmio_pwrite(f, "", 1, (8 << 20) - 1), 1); /* however far the first write comes */
	scratch_catch_log();
	assert_int_equal(pthread_create(&t, NULL, write_on, f), 0);
	usleep(200000); /* anywhere in it */
	kill_target(2);
	pthread_join(t, NULL); /* or the test hangs */
	pmio_log_set_handler(NULL);
	assert_int_equal(remote_advertise(sites[2].pm, &sites[2].endpoint), 0);
	assert_int_equal(pmio_size(f, &size), 0);
	assert_int_equal(size, 8 << 20);
	assert_int_equal(pmio_close(&f), 0);
}

/* the target starts another and goes on */
static void agent_killed__target_goes_on(void **state)
{
	struct pmio_file *f;
	char buf[8] = "";

	(void)state;
	name_file("agent");
	f = open_at(1, RW | PMIO_OPEN_CREATE);
	assert_int_equal(pmio_pwrite(f, "before", 6, 0), 6);
	kill(agent_of(1), SIGKILL);
	assert_int_equal(pmio_pwrite(f, "after", 5, 2 << 20), 5);
	assert_int_equal(pmio_pread(f, buf, 6, 0), 6);
	assert_memory_equal(buf, "before", 6);
	assert_int_equal(pmio_close(&f), 0);
}

static void continue_later(pid_t pid, unsigned ms)
{
	if (fork() == 0) {
		usleep(ms * 1000);
		kill(pid, SIGCONT);
		_exit(0);
	}
}

static void target_stopped_for_a_while__costs_time_only(void **state)
{
	uint8_t *buf = malloc(3 << 20), *back = malloc(3 << 20);
	pid_t pid = target_of(1);
	struct pmio_file *f;

	(void)state;
	assert_true(buf && back);
	name_file("stopped");
	fill_pattern(buf, 3 << 20, 8);
	f = open_at(1, RW | PMIO_OPEN_CREATE);
	scratch_catch_log();
	kill(pid, SIGSTOP);
	continue_later(pid, 1000);
	assert_int_equal(pmio_pwrite(f, buf, 3 << 20, 5), 3 << 20);
	kill(pid, SIGSTOP);
	continue_later(pid, 1000);
	assert_int_equal(pmio_pread(f, back, 3 << 20, 5), 3 << 20);
	assert_memory_equal(back, buf, 3 << 20);
	assert_int_equal(scratch_nr_errors, 0);
	pmio_log_set_handler(NULL);
	wait(NULL);
	wait(NULL);
	assert_int_equal(pmio_close(&f), 0);
	free(buf);
	free(back);
}

static int pause_drains(const char *pool, bool pause)
{
	struct pmio *admin;
	int rc = pmio_attach(pool, &admin);

	if (rc == 0) {
		rc = pmio_pause_drains(admin, pause);
		pmio_disconnect(&admin);
	}
	return rc;
}

/* a thread */
static void *resume_later(void *pool)
{
	usleep((useconds_t)(atoi(TIMEOUT_S) + 2) * 1000000);
	pause_drains(pool, false);
	return NULL;
}

/* for longer than the timeout, and the target answers all the same */
static void drain_waits_for_long__costs_time_only(void **state)
{
	const char *pool = pmio_pool_path(sites[1].pm);
	pthread_t thread;
	struct pmio_file *f;

	(void)state;
	name_file("slow");
	f = open_at(1, RW | PMIO_OPEN_CREATE);
	assert_int_equal(pmio_pwrite(f, "slow", 4, 0), 4);
	scratch_catch_log();
	assert_int_equal(pause_drains(pool, true), 0);
	assert_int_equal(pthread_create(&thread, NULL, resume_later, (void *)(uintptr_t)pool), 0);
	assert_int_equal(pmio_drain(f), 0);
	assert_int_equal(scratch_nr_errors, 0);
	pmio_log_set_handler(NULL);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_on_pfs((const uint8_t *)"slow", 4);
	assert_int_equal(pmio_close(&f), 0);
}

/* the target's calls to it end, and ours with them; nothing is lost */
static void agent_stopped_for_long__is_an_error(void **state)
{
	pid_t pid = agent_of(1);
	struct pmio_file *f;

	(void)state;
	name_file("stopped for long");
	f = open_at(1, RW | PMIO_OPEN_CREATE);
	assert_int_equal(pmio_pwrite(f, "data", 4, 0), 4);
	kill(pid, SIGSTOP);
	scratch_catch_log();
	assert_true(pmio_drain(f) < 0);
	pmio_log_set_handler(NULL);
	kill(pid, SIGCONT);
	assert_int_equal(pmio_drain(f), 0);
	assert_on_pfs((const uint8_t *)"data", 4);
	assert_int_equal(pmio_close(&f), 0);
}

int main(void)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(open__with_another_key),
		cmocka_unit_test(target_killed__error_and_then_another),
		cmocka_unit_test(target_killed__in_mid_write),
		cmocka_unit_test(agent_killed__target_goes_on),
		cmocka_unit_test(target_stopped_for_a_while__costs_time_only),
		cmocka_unit_test(drain_waits_for_long__costs_time_only),
		cmocka_unit_test(agent_stopped_for_long__is_an_error),
	};

	return sites_run("remote_failure", tests);
}
