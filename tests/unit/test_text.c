/* text: what may be in names, and what is shown of it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "core/fnv.h"
#include "core/log.h"
#include "core/text.h"

static void plain__control_characters(void **state)
{
	static const struct {
		const char *text, *shown;
	} tries[] = {
		{ "", "" },
		{ "/pfs/out.h5 ~^\\", "/pfs/out.h5 ~^\\" },
		{ "a\nb\tc\x1b[0m\x7f\x01", "a\\x0ab\\x09c\\x1b[0m\\x7f\\x01" },
		/* Latin-1's, in UTF-8 and alone */
		{ "\xc2\x80\xc2\x9f|\x80\x9f", "\\xc2\\x80\\xc2\\x9f|\\x80\\x9f" },
		/* other characters, of two, three, four bytes, and what is none */
		{ "\xc2\xa0\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc2\xa0\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ "\xe4\xff\xc2", "\xe4\xff\xc2" },
		{ "\xe2\x82", "\xe2\\x82" },
		{ "\xf0\x9f\x98\n", "\xf0\\x9f\\x98\\x0a" },
	};
	char out[64];

	(void)state;
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++)
		assert_string_equal(pmio_plain(out, sizeof(out), tries[i].text), tries[i].shown);
}

static void plain__room(void **state)
{
	char out[16];

	(void)state;
	memset(out, 'x', sizeof(out));
	assert_string_equal(pmio_plain(out, 1, "abc"), "");
	assert_string_equal(pmio_plain(out, 3, "abc"), "ab");
	assert_string_equal(pmio_plain(out, 5, "\033\033"), "\\x1b");
	assert_string_equal(pmio_plain(out, 4, "\033"), "");
	assert_string_equal(pmio_plain(out, 3, "\xe2\x82\xac"), "");
	assert_string_equal(pmio_plain(out, PMIO_PLAIN_SIZE(2), "\n\n"), "\\x0a\\x0a");
	assert_int_equal(out[9], 'x');
}

static char logged[8192];

static void keep_line(enum pmio_log_level level, const char *line)
{
	(void)level;
	snprintf(logged, sizeof(logged), "%s", line);
}

static void log__is_one_line(void **state)
{
	char long_name[2000];

	(void)state;
	pmio_log_set_handler(keep_line);
	pmio_err("%s", "odd\nT pmiod[1]: error: \033c");
	assert_string_equal(logged, "odd\\x0aT pmiod[1]: error: \\x1bc");
	memset(long_name, '\n', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	pmio_err("%s", long_name);
	assert_null(strchr(logged, '\n'));
	assert_int_equal(strlen(logged), 4 * 1023);
	pmio_log_set_handler(NULL);
}

static void odd_option__names_only(void **state)
{
	char *good[] = { "pmio", "-\033", "--pool=\033", "stat", "\033", "--", "--\033", NULL };
	char *bad[] = { "pmio", "stat", "--q\033iet=1", "--", NULL };
	char *high[] = { "pmio", "--\xc2\x9b", NULL };

	(void)state;
	assert_null(pmio_odd_option(7, good));
	assert_ptr_equal(pmio_odd_option(4, bad), bad[2]);
	assert_ptr_equal(pmio_odd_option(2, high), high[1]);
}

/* the published hash of "foobar": other versions of pmio find a file's data on memory nodes by the same one */
static void fnv__known_value(void **state)
{
	(void)state;
	assert_int_equal(pmio_fnv(PMIO_FNV_INIT, "foobar"), 0xbf9cf968u);
	assert_int_equal(pmio_fnv(pmio_fnv(PMIO_FNV_INIT, "foo"), "bar"), 0xbf9cf968u);
	assert_int_equal(pmio_fnv(PMIO_FNV_INIT, ""), PMIO_FNV_INIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain__control_characters),
		cmocka_unit_test(plain__room),
		cmocka_unit_test(log__is_one_line),
		cmocka_unit_test(odd_option__names_only),
		cmocka_unit_test(fnv__known_value),
	};

	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
