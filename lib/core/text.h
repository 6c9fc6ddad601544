/*
 * text.h -- names of files, and what others say, in what people read
 *
 * A name may have any character but a slash and 0: it could begin a line of its own in a log, or
 * tell a terminal what to do.
 */
#ifndef PMIO_CORE_TEXT_H
#define PMIO_CORE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* bytes of the character of UTF-8 with which s begins, which is not empty; 1, if none does; and whether it is a control character */
size_t pmio_char(const char *s, bool *control);

/* so much room for the text of strlen(text) bytes, whatever is in it */
#define PMIO_PLAIN_SIZE(len) (4 * (len) + 1)

/*
 * pmio_plain -- text with its control characters as \x1b
 *
 * These are ASCII's, with newline, tab and DEL, and the 32 above 0x7f, as in Latin-1 or in UTF-8.
 * What has no room is cut off behind a whole character.  Returns out.
 */
char *pmio_plain(char *out, size_t size, const char *text);

/* an option, up to "--", whose name has control characters; NULL: there is none.  The C library would show it as it is */
const char *pmio_odd_option(int argc, char *const *argv);

/* is it left out by this list, as Open MPI takes them: "ompio,romio321" or "^pmem"? */
bool pmio_leaves_out(const char *list, const char *name);

#endif
