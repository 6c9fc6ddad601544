/*
 * lsan.h -- for programs that use libfabric: what LeakSanitizer does not report
 */
#ifndef PMIO_TESTS_UNIT_LSAN_H
#define PMIO_TESTS_UNIT_LSAN_H

/* libfabric's `net` keeps what it had of connections that end with their endpoint */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libfabric.so";
}

const char *__lsan_default_options(void);
const char *__lsan_default_options(void)
{
	return "print_suppressions=0";
}

#endif
