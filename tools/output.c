/*
 * output.c -- how `pmio` shows sizes, JSON and errors
 */
#include "config.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uuid.h>

#include "core/log.h"
#include "core/text.h"
#include "tools.h"

/* per thread: to check whether the library has logged an error of this thread's call */
static _Thread_local unsigned nr_errors_logged;

/* ---- standard error: lines, and perhaps a status line below them ---- */

static pthread_mutex_t stderr_lock = PTHREAD_MUTEX_INITIALIZER;
static bool status_shown; /* under stderr_lock */

/* stderr_lock held */
static void clear_status(void)
{
	if (status_shown)
		fputs("\r\033[K", stderr);
	status_shown = false;
}

void tool_status_clear(void)
{
	pthread_mutex_lock(&stderr_lock);
	clear_status();
	fflush(stderr);
	pthread_mutex_unlock(&stderr_lock);
}

void tool_status_line(const char *fmt, ...)
{
	va_list ap;

	pthread_mutex_lock(&stderr_lock);
	clear_status();
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fflush(stderr);
	status_shown = true;
	pthread_mutex_unlock(&stderr_lock);
}

static void take_log_line(enum pmio_log_level level, const char *line)
{
	if (level == PMIO_LOG_ERROR)
		nr_errors_logged++;
	fflush(stdout); /* so that the two streams keep their order in one file */
	pthread_mutex_lock(&stderr_lock);
	clear_status();
	fprintf(stderr, "pmio: %s: %s\n", pmio_log_level_name(level), line);
	pthread_mutex_unlock(&stderr_lock);
}

void tool_log_init(void)
{
	pmio_log_set_handler(take_log_line);
}

int tool_failed(int rc, const char *fmt, ...)
{
	char what[PATH_MAX + 64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);

	if (nr_errors_logged == 0)
		pmio_err("%s: %s", what, pmio_strerror(rc));
	nr_errors_logged = 0;
	return TOOL_FAILED;
}

int tool_exit_of(size_t nr_done, size_t nr_failed)
{
	if (nr_failed == 0)
		return TOOL_DONE;
	return nr_done ? TOOL_PARTLY : TOOL_FAILED;
}

const char *tool_exit_word(int status)
{
	return status == TOOL_DONE ? "done" : status == TOOL_PARTLY ? "partly" : "failed";
}

char *tool_size(char buf[TOOL_SIZE_LEN], uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes;
	unsigned unit = 0;

	/* 1023.95 would be shown as 1024.0 */
	while (value >= 1023.95 && unit < 6) {
		value /= 1024;
		unit++;
	}
	snprintf(buf, TOOL_SIZE_LEN, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return buf;
}

char *tool_uuid(char buf[TOOL_UUID_LEN], const uint8_t uuid[16])
{
	uuid_unparse_lower(uuid, buf);
	return buf;
}

void tool_fprint_path(FILE *out, const char *path)
{
	size_t size = PMIO_PLAIN_SIZE(strlen(path));
	char *plain = malloc(size);

	if (plain)
		fputs(pmio_plain(plain, size, path), out);
	free(plain);
}

void tool_print_path(const char *path)
{
	tool_fprint_path(stdout, path);
}

/*
 * json-c does not escape control characters beyond ASCII; they occur in strings only.  A byte that
 * is not UTF-8 becomes the code that Python uses for it (os.fsencode).
 */
static void print_json(struct json_object *object, int flags)
{
	const char *s = json_object_to_json_string_ext(object, flags | JSON_C_TO_STRING_NOSLASHESCAPE);

	for (size_t len; *s; s += len) {
		bool control;

		len = pmio_char(s, &control);
		if (!control || *s == '\n')
			fwrite(s, 1, len, stdout);
		else
			printf("\\u%s%02x", len == 1 && *s != 0x7f ? "dc" : "00", (unsigned char)s[len - 1]);
	}
	putchar('\n');
}

void tool_print_json(struct json_object *object)
{
	print_json(object, JSON_C_TO_STRING_PRETTY);
	json_object_put(object);
}

void tool_print_event(struct json_object *object)
{
	print_json(object, JSON_C_TO_STRING_PLAIN);
	fflush(stdout);
	json_object_put(object);
}

void tool_add(struct json_object *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key, json_object_new_uint64(value));
}

void tool_add_string(struct json_object *object, const char *key, const char *value)
{
	json_object_object_add(object, key, json_object_new_string(value));
}

void tool_add_bool(struct json_object *object, const char *key, bool value)
{
	json_object_object_add(object, key, json_object_new_boolean(value));
}
