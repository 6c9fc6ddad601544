/* fds.h -- moving a library's descriptors out of the range that programs use */
#ifndef PMIO_CORE_FDS_H
#define PMIO_CORE_FDS_H

#include <stdio.h>

#define PMIO_FD_NAME_LEN 40

/*
 * pmio_fd_name -- a name that leads to the file of a descriptor, whatever has become of its own name
 *
 * For calls that take no descriptor, or none of O_PATH, and to open the file once more.  Returns buf.
 */
static inline const char *pmio_fd_name(char buf[PMIO_FD_NAME_LEN], int fd)
{
	snprintf(buf, PMIO_FD_NAME_LEN, "/proc/self/fd/%d", fd);
	return buf;
}

/*
 * pmio_fd_copy_high -- a copy of a descriptor, with a number that programs do not expect; close-on-exec
 *
 * Programs expect the lowest free number from open(2), and some close all numbers below 10, or 256, without having
 * opened them.  So the copy is at 512 or above; if the limit of descriptors (ulimit -n) is lower, in its last quarter; if
 * no number is free there, at any number above 2.  Returns it or -errno.
 */
int pmio_fd_copy_high(int fd);

/* the same, and fd is closed; fd itself if no other number is free.  fd is close-on-exec, and not negative */
int pmio_fd_move_high(int fd);

#endif
