/*
 * log.h -- where pmio says what is wrong
 *
 * Who finds out what is wrong logs it once; callers pass the code on in silence.
 * The library writes to standard error unless a handler is set; pmiod sets one
 * that writes its log file.  A line is one write(2), so lines of many ranks do
 * not mix.
 *
 * Threads: all functions may be called by any thread.
 */
#ifndef PMIO_CORE_LOG_H
#define PMIO_CORE_LOG_H

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

#define pmio_err(...) pmio_log(PMIO_LOG_ERROR, __VA_ARGS__)
#define pmio_warn(...) pmio_log(PMIO_LOG_WARN, __VA_ARGS__)
#define pmio_info(...) pmio_log(PMIO_LOG_INFO, __VA_ARGS__)
#define pmio_dbg(...) pmio_log(PMIO_LOG_DEBUG, __VA_ARGS__)

#endif
