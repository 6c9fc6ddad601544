/*
 * log.h -- pmio's error messages
 *
 * The function that detects an error logs it once; callers pass the code on without a
 * message.  The library writes to standard error unless a handler is set; pmiod sets
 * one that writes its log file.  A line is one write(2), so lines of many ranks do not
 * mix.  Control characters, which file names may have, become \x1b (text.h).
 *
 * Threads: all functions may be called by any thread.
 */
#ifndef PMIO_CORE_LOG_H
#define PMIO_CORE_LOG_H

#include <stdint.h>

enum pmio_log_level {
	PMIO_LOG_NONE,
	PMIO_LOG_ERROR,
	PMIO_LOG_WARN,
	PMIO_LOG_INFO,
	PMIO_LOG_DEBUG,
};

typedef void (*pmio_log_fn)(enum pmio_log_level level, const char *line);

/* lines above this level are dropped; the default is PMIO_LOG_WARN */
void pmio_log_set_level(enum pmio_log_level level);
enum pmio_log_level pmio_log_get_level(void);

/* "none", "error", "warn", "info" or "debug" to a level; -EINVAL for others */
int pmio_log_parse_level(const char *name, enum pmio_log_level *level);
const char *pmio_log_level_name(enum pmio_log_level level);

/* fn gets each line, without newline; NULL restores standard error */
void pmio_log_set_handler(pmio_log_fn fn);

void pmio_log(enum pmio_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* rate limit for messages that unauthenticated peers can trigger; initialised with zeros */
struct pmio_note {
	uint64_t nr, reported; /* number of events in all, and up to the last line */
	uint64_t next_ms;  /* CLOCK_MONOTONIC: no line before this time */
};

/*
 * counts `more` events: returns the number to report now, which then counts as reported; 0: none,
 * as there are none or the last line was less than a minute ago.  One thread at a time for each
 * note.
 */
uint64_t pmio_note(struct pmio_note *n, uint64_t more);

#define pmio_err(...) pmio_log(PMIO_LOG_ERROR, __VA_ARGS__)
#define pmio_warn(...) pmio_log(PMIO_LOG_WARN, __VA_ARGS__)
#define pmio_info(...) pmio_log(PMIO_LOG_INFO, __VA_ARGS__)
#define pmio_dbg(...) pmio_log(PMIO_LOG_DEBUG, __VA_ARGS__)

#endif
