#include "core/fds.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#define HIGH 512
#define LOW 3

static int first_high(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0 || lim.rlim_cur >= 2 * HIGH)
		return HIGH;
	return (int)(lim.rlim_cur - lim.rlim_cur / 4);
}

int pmio_fd_copy_high(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, first_high());

	if (copy < 0 && (errno == EMFILE || errno == EINVAL))
		copy = fcntl(fd, F_DUPFD_CLOEXEC, LOW);
	return copy < 0 ? -errno : copy;
}

int pmio_fd_move_high(int fd)
{
	int high = pmio_fd_copy_high(fd);

	if (high < 0)
		return fd;
	close(fd);
	return high;
}
