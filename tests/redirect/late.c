/*
 * late.c -- a program that writes when it is nearly over: late HOW FILE
 *
 *	atexit	in a handler that was there before any library of pmio, by write()
 *	stdio	the same by a stream, which the C library writes last of all
 *	threads	while another thread writes, too, and goes on
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fd;
static FILE *stream;
static const char *how;

static void late(void)
{
	if (strcmp(how, "atexit") == 0 && write(fd, "late\n", 5) != 5)
		_exit(3);
	if (strcmp(how, "stdio") == 0)
		fputs("late\n", stream);
}

static void *go_on(void *arg)
{
	for (;;)
		(void)!pwrite(fd, "x", 1, 100);
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t t;

	how = argv[1];
	if (argc != 3 || atexit(late) != 0)
		return 2;
	stream = fopen(argv[2], "w");
	if (!stream)
		return 1;
	fd = fileno(stream);
	if (strcmp(how, "threads") == 0 && pthread_create(&t, NULL, go_on, NULL) == 0)
		usleep(100000);
	else if (write(fd, "early\n", 6) != 6)
		return 1;
	return 0;
}
