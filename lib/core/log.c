#include "core/clock.h"
#include "core/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/text.h"

#define LINE_MAX_LEN 1024
#define NOTE_MS 60000 /* between two lines of one kind */

static _Atomic int current_level = PMIO_LOG_WARN;
static _Atomic(pmio_log_fn) handler;

static const char *const level_names[] = {
	[PMIO_LOG_NONE] = "none",   [PMIO_LOG_ERROR] = "error",
	[PMIO_LOG_WARN] = "warn",   [PMIO_LOG_INFO] = "info",
	[PMIO_LOG_DEBUG] = "debug",
};

#define NR_LEVELS (sizeof(level_names) / sizeof(level_names[0]))

void pmio_log_set_level(enum pmio_log_level level)
{
	atomic_store(&current_level, level);
}

enum pmio_log_level pmio_log_get_level(void)
{
	return (enum pmio_log_level)atomic_load(&current_level);
}

int pmio_log_parse_level(const char *name, enum pmio_log_level *level)
{
	for (size_t i = 0; i < NR_LEVELS; i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*level = (enum pmio_log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *pmio_log_level_name(enum pmio_log_level level)
{
	return (size_t)level < NR_LEVELS ? level_names[level] : "?";
}

void pmio_log_set_handler(pmio_log_fn fn)
{
	atomic_store(&handler, fn);
}

static void write_stderr(enum pmio_log_level level, const char *line)
{
	char out[PMIO_PLAIN_SIZE(LINE_MAX_LEN) + 32];
	int n = snprintf(out, sizeof(out), "pmio: %s: %s\n",
			 pmio_log_level_name(level), line);

	if (n > (int)sizeof(out) - 1)
		n = (int)sizeof(out) - 1;
	if (write(STDERR_FILENO, out, (size_t)n) < 0)
		return; /* there is nowhere left to report it */
}

void pmio_log(enum pmio_log_level level, const char *fmt, ...)
{
	char line[LINE_MAX_LEN], plain[PMIO_PLAIN_SIZE(LINE_MAX_LEN)];
	int saved = errno;
	pmio_log_fn fn;
	va_list ap;

	if ((int)level > atomic_load(&current_level))
		return;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);

	fn = atomic_load(&handler);
	(fn ? fn : write_stderr)(level, pmio_plain(plain, sizeof(plain), line));
	errno = saved;
}

uint64_t pmio_note(struct pmio_note *n, uint64_t more)
{
	uint64_t now_ms = pmio_now_ms(), nr;

	n->nr += more;
	nr = n->nr - n->reported;
	if (nr == 0 || (n->next_ms && now_ms < n->next_ms))
		return 0;
	n->next_ms = now_ms + NOTE_MS;
	n->reported = n->nr;
	return nr;
}
