/*
 * text.h -- file names, and text from other sources, in output for people
 *
 * A name may have any character but a slash and 0: it could begin a line of its own in a log, or
 * control a terminal.
 */
#ifndef PMIO_CORE_TEXT_H
#define PMIO_CORE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * length of the UTF-8 character at the start of s, which is not empty; 1 if it is invalid; *control: is it a control
 * character?
 */
size_t pmio_char(const char *s, bool *control);

/* room for any text of len bytes */
#define PMIO_PLAIN_SIZE(len) (4 * (len) + 1)

/*
 * pmio_plain -- text with its control characters as \x1b
 *
 * These are ASCII's, with newline, tab and DEL, and the 32 above 0x7f, as in Latin-1 or in UTF-8.
 * Text without room is cut off after a whole character.  Returns out.
 */
char *pmio_plain(char *out, size_t size, const char *text);

/*
 * the first option before "--" whose name contains control characters; NULL: there is none.  The C library would print it
 * unchanged
 */
const char *pmio_odd_option(int argc, char *const *argv);

/* is it excluded by this list, in Open MPI's syntax: "ompio,romio321" or "^pmem"? */
bool pmio_leaves_out(const char *list, const char *name);

#endif
