/*
 * fork.c -- a program that makes children while it has files open: children that end
 * at once, that run other programs, that outlive the file; the parent goes on
 */
#include "util.h"
#include <spawn.h>
#include <sys/wait.h>

#define LEN (300000 + 77) /* some blocks of more than one chunk, with the offsets below */

extern char **environ;

static unsigned char buf[LEN];

static MPI_Offset at(int r, int round)
{
	return ((MPI_Offset)round * np + r) * LEN;
}

static void write_part(MPI_File fh, int round)
{
	pat_fill(buf, LEN, (uint64_t)at(me, round), 1);
	mpi(MPI_File_write_at(fh, at(me, round), buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
}

static void read_parts(MPI_File fh, int rounds)
{
	barrier();
	for (int i = 0; i <= rounds; i++) {
		int from = (me + 1 + i) % np;

		memset(buf, 0, LEN);
		mpi(MPI_File_read_at(fh, at(from, i), buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
		check_pat(buf, LEN, (uint64_t)at(from, i), 1, "with children about");
	}
	barrier();
}

static void must_end(pid_t pid, int want, const char *what)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		check(errno == EINTR, "waitpid: %s", strerror(errno));
	check(WIFEXITED(status) && WEXITSTATUS(status) == want, "%s: status %#x", what, (unsigned)status);
}

static void ends_at_once(void)
{
	pid_t pid = fork();

	check(pid >= 0, "fork: %s", strerror(errno));
	if (pid == 0)
		_exit(7);
	must_end(pid, 7, "a child that ends at once");
}

static void runs_a_program(void)
{
	char *argv[] = { (char *)"sh", (char *)"-c", (char *)"exit 5", NULL };
	pid_t pid = fork();

	check(pid >= 0, "fork: %s", strerror(errno));
	if (pid == 0) {
		execv("/bin/sh", argv);
		_exit(99);
	}
	must_end(pid, 5, "a child that runs a program");
	check(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ) == 0, "posix_spawn fails");
	must_end(pid, 5, "a program that is spawned");
	check_int(system("exit 3"), 3 << 8, "status of system()");
}

/* has copies of all that the parent has until *end is closed */
static pid_t lives_on(int *end)
{
	int fd[2];
	pid_t pid;
	char c;

	check(!pipe2(fd, O_CLOEXEC), "pipe: %s", strerror(errno));
	pid = fork();
	check(pid >= 0, "fork: %s", strerror(errno));
	if (pid == 0) {
		close(fd[1]);
		while (read(fd[0], &c, 1) < 0 && errno == EINTR)
			;
		_exit(0);
	}
	close(fd[0]);
	*end = fd[1];
	return pid;
}

/* descriptors that a program run by exec would inherit, as bits */
static void inherited(unsigned char *set, int nr)
{
	for (int fd = 0; fd < nr; fd++) {
		int flags = fcntl(fd, F_GETFD);

		set[fd] = flags >= 0 && !(flags & FD_CLOEXEC);
	}
}

static void nothing_is_inherited(void)
{
	enum { FDS = 1024 };
	static unsigned char before[FDS], after[FDS];
	MPI_File fh;

	inherited(before, FDS);
	fh = open_file(MPI_COMM_SELF, name(".%d", me), RDWR_NEW);
	mpi(MPI_File_set_atomicity(fh, 1));
	write_part(fh, 0);
	inherited(after, FDS);
	for (int fd = 0; fd < FDS; fd++)
		check(before[fd] || !after[fd], "descriptor %d would be inherited", fd);
	mpi(MPI_File_close(&fh));
	mpi(MPI_File_delete(name(".%d", me), MPI_INFO_NULL));
}

int main(int argc, char **argv)
{
	unsigned char *all;
	MPI_File fh;
	size_t len;
	int end;
	pid_t child;

	test_init(&argc, &argv);
	barrier();
	if (ours)
		nothing_is_inherited();
	fh = open_file(MPI_COMM_WORLD, base, RDWR_NEW);
	write_part(fh, 0);
	ends_at_once();
	read_parts(fh, 0);
	write_part(fh, 1);
	runs_a_program();
	read_parts(fh, 1);
	child = lives_on(&end);
	write_part(fh, 2);
	read_parts(fh, 2);
	mpi(MPI_File_close(&fh)); /* and is drained, whatever the child holds */
	if (me == 0) {
		all = slurp(base, &len);
		check_int((long long)len, at(0, 3), "size after close");
		check_pat(all, len, 0, 1, "after close");
		free(all);
	}
	barrier();
	fh = open_file(MPI_COMM_WORLD, base, MPI_MODE_RDWR);
	read_parts(fh, 2);
	close(end);
	must_end(child, 0, "a child that outlives the file");
	write_part(fh, 3);
	read_parts(fh, 3);
	mpi(MPI_File_close(&fh));
	return test_end();
}
