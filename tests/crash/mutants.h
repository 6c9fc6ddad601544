/*
 * mutants.h -- are the crash tests able to fail?  each flush and fence left out
 */
#ifndef PMIO_TESTS_CRASH_MUTANTS_H
#define PMIO_TESTS_CRASH_MUTANTS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * crash_mutants -- leave out each flush and each fence that the program has, in turn
 *
 * only    NULL, or a part of a site's name: the others are passed over
 * finds   runs the tests; true: one of them found fault; why: what it said
 *
 * Prints a line for each: its name ("lib/pool/frame.c pmio_frame_free flush 1"),
 * a tab, and "caught", "survived" or "unreached" (no test came there), and what
 * the test said.  mutants.sh compares them with mutants.txt.
 */
void crash_mutants(const char *only, bool (*finds)(char *why, size_t len));

#endif
