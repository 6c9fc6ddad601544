/* settings: the one table, its sources and what it refuses */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "core/settings.h"

static int nr_lines;
static char last_line[1024];

static void count_line(enum pmio_log_level level, const char *line)
{
	(void)level;
	nr_lines++;
	snprintf(last_line, sizeof(last_line), "%s", line);
}

static int set_up(void **state)
{
	(void)state;
	nr_lines = 0;
	pmio_log_set_handler(count_line);
	setenv("PMIO_CONF", "/dev/null", 1);
	for (int i = 0; i < PMIO_NR_SETTINGS; i++) {
		char var[64];
		size_t n = (size_t)snprintf(var, sizeof(var), "PMIO_%s",
					    pmio_setting_info((enum pmio_setting)i)->name);

		for (size_t j = 5; j < n; j++)
			var[j] = (char)(var[j] >= 'a' && var[j] <= 'z' ? var[j] - 32 : var[j]);
		unsetenv(var);
	}
	return 0;
}

static void parse_size__units(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{ "0", 0 },	       { "4096", 4096 },	  { "64KiB", 65536 },
		{ "64k", 65536 },      { "1GiB", 1ULL << 30 },	  { "1.5TiB", 3ULL << 39 },
		{ "1.5 TiB", 3ULL << 39 }, { "2GB", 2000000000 }, { "0.5MiB", 524288 },
		{ "1b", 1 },	       { " 7M", 7ULL << 20 },
		{ "9007199254740993", 9007199254740993 }, { "1e3", 1000 }, { "1.0001KiB", 1025 },
	};
	uint64_t bytes;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(pmio_parse_size(good[i].text, &bytes), 0);
		assert_int_equal(bytes, good[i].bytes);
	}
}

static void parse_size__refused(void **state)
{
	static const char *const bad[] = { "", "x", "-1", "1.5", "1X", "1 GiBs", "nan", "inf", "0x10",
					   "1,5GiB", "GiB", "+1" };
	uint64_t bytes = 77;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(pmio_parse_size(bad[i], &bytes), -EINVAL);
	assert_int_equal(pmio_parse_size("9EiB", &bytes), -ERANGE);
	assert_int_equal(pmio_parse_size("1e400", &bytes), -ERANGE);
	assert_int_equal(bytes, 77);
}

static void init__defaults(void **state)
{
	struct pmio_settings s;

	(void)state;
	assert_int_equal(pmio_settings_init(&s), 0);
	assert_int_equal(s.num[PMIO_SET_DRAIN], PMIO_DRAIN_CLOSE);
	assert_int_equal(s.num[PMIO_SET_POOL_SIZE], 1ULL << 30);
	assert_string_equal(s.str[PMIO_SET_POOL], "");
	for (int i = 0; i < PMIO_NR_SETTINGS; i++)
		assert_int_equal(s.from[i], PMIO_FROM_DEFAULT);
	pmio_settings_fini(&s);
}

static void init__file_then_environment(void **state)
{
	char path[] = "/tmp/pmio-conf.XXXXXX";
	int fd = mkstemp(path);
	struct pmio_settings s;

	(void)state;
	assert_true(dprintf(fd, "# a comment\n[pmio]\ndrain = hold\ncache=drop\nidle_timeout = 5\n") > 0);
	close(fd);
	setenv("PMIO_CONF", path, 1);
	setenv("PMIO_IDLE_TIMEOUT", "7", 1);

	assert_int_equal(pmio_settings_init(&s), 0);

	assert_int_equal(s.num[PMIO_SET_DRAIN], PMIO_DRAIN_HOLD);
	assert_int_equal(s.from[PMIO_SET_CACHE], PMIO_FROM_FILE);
	assert_int_equal(s.num[PMIO_SET_IDLE_TIMEOUT], 7);
	assert_int_equal(s.from[PMIO_SET_IDLE_TIMEOUT], PMIO_FROM_ENVIRONMENT);
	assert_int_equal(pmio_settings_set(&s, PMIO_SET_DRAIN, "close", PMIO_FROM_HINT), 0);
	assert_int_equal(s.num[PMIO_SET_DRAIN], PMIO_DRAIN_CLOSE);
	pmio_settings_fini(&s);
	unlink(path);
}

static void init__bad_file(void **state)
{
	char path[] = "/tmp/pmio-conf.XXXXXX";
	int fd = mkstemp(path);
	struct pmio_settings s;

	(void)state;
	assert_true(dprintf(fd, "drian = hold\n") > 0);
	close(fd);
	setenv("PMIO_CONF", path, 1);

	assert_int_equal(pmio_settings_init(&s), -EINVAL);

	assert_int_equal(nr_lines, 1);
	assert_non_null(strstr(last_line, "drian"));
	pmio_settings_fini(&s);
	unlink(path);
	setenv("PMIO_CONF", "/nonexistent/pmio.conf", 1);
	assert_int_equal(pmio_settings_init(&s), -EINVAL);
	assert_int_equal(nr_lines, 2);
	pmio_settings_fini(&s);
}

static void set__bad_values_name_the_range(void **state)
{
	struct pmio_settings s;

	(void)state;
	assert_int_equal(pmio_settings_init(&s), 0);
	assert_int_equal(pmio_settings_set(&s, PMIO_SET_DRAIN, "never", PMIO_FROM_HINT), -EINVAL);
	assert_non_null(strstr(last_line, "close|async|hold|aggregate"));
	assert_int_equal(pmio_settings_set(&s, PMIO_SET_DRAIN_THREADS, "65", PMIO_FROM_MCA), -EINVAL);
	assert_non_null(strstr(last_line, "1 to 64"));
	assert_int_equal(pmio_settings_set(&s, PMIO_SET_POOL_SIZE, "1KiB", PMIO_FROM_MCA), -EINVAL);
	assert_int_equal(s.num[PMIO_SET_DRAIN_THREADS], 2);
	assert_int_equal(nr_lines, 3);
	pmio_settings_fini(&s);
}

static void paths__patterns(void **state)
{
	struct pmio_settings s;

	(void)state;
	assert_int_equal(pmio_settings_init(&s), 0);
	assert_false(pmio_settings_path_selected(&s, "/scratch/a"));
	assert_int_equal(pmio_settings_set(&s, PMIO_SET_PATHS, "/scratch/*::/pfs/run?/out.h5", PMIO_FROM_MCA), 0);
	assert_true(pmio_settings_path_selected(&s, "/scratch/a"));
	assert_true(pmio_settings_path_selected(&s, "/scratch/deep/er/a"));
	assert_true(pmio_settings_path_selected(&s, "/pfs/run7/out.h5"));
	assert_false(pmio_settings_path_selected(&s, "/pfs/run77/out.h5"));
	assert_false(pmio_settings_path_selected(&s, "/home/scratch/a"));
	pmio_settings_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(parse_size__units, set_up),
		cmocka_unit_test_setup(parse_size__refused, set_up),
		cmocka_unit_test_setup(init__defaults, set_up),
		cmocka_unit_test_setup(init__file_then_environment, set_up),
		cmocka_unit_test_setup(init__bad_file, set_up),
		cmocka_unit_test_setup(set__bad_values_name_the_range, set_up),
		cmocka_unit_test_setup(paths__patterns, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
