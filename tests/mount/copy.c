/* copy.c -- copy FROM TO; or copy -l FILE: wait for a lock on the whole file and say so */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int failed(const char *what)
{
	printf("%s: %s\n", what, strerror(errno));
	return 1;
}

static int lock(const char *path)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open(path, O_RDWR);

	if (fd < 0 || fcntl(fd, F_SETLKW, &fl) < 0)
		return failed(path);
	puts("locked");
	return 0;
}

int main(int argc, char **argv)
{
	static char buf[12345];
	int from, to;
	ssize_t n;

	if (argc != 3)
		return 2;
	if (strcmp(argv[1], "-l") == 0)
		return lock(argv[2]);
	from = open(argv[1], O_RDONLY);
	to = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (from < 0 || to < 0)
		return failed("open");
	while ((n = read(from, buf, sizeof(buf))) > 0) {
		if (write(to, buf, (size_t)n) != n)
			return failed("write");
	}
	return n < 0 || close(to) < 0 ? failed("close") : 0;
}
