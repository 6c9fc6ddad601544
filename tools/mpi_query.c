/*
 * mpi_query.c -- properties of an MPI, found by loading it in a separate process
 *
 * An MPI is a large library, which may print, end the process, or load many others: none of that
 * should happen in this process.
 */
#include "config.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mpis.h"

#define PATIENCE 30 /* seconds */

/* ---- a child whose output is read ------------------------------------------------------------- */

typedef void child_fn(const void *arg, int out);

static int reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void become_quiet(int out)
{
	int null = open("/dev/null", O_RDWR);

	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 2) < 0 || dup2(out, 1) < 0)
		_exit(127);
	alarm(PATIENCE); /* survives an exec */
}

static int with_child(child_fn *child, const void *child_arg, mpi_line_fn *line, void *arg)
{
	int ends[2];
	size_t size = 0;
	char *text = NULL;
	pid_t pid;
	FILE *f;

	fflush(NULL);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		become_quiet(ends[1]);
		child(child_arg, 1);
		_exit(0); /* destructors of an MPI are not prepared for this */
	}
	close(ends[1]);
	f = pid < 0 ? NULL : fdopen(ends[0], "r");
	if (!f)
		close(ends[0]);
	while (f && getline(&text, &size, f) > 0) {
		text[strcspn(text, "\n")] = '\0';
		line(arg, text);
	}
	free(text);
	if (f)
		fclose(f);
	return pid < 0 ? -EAGAIN : reap(pid);
}

/* an audit library would be loaded into the command, and could print among the lines */
static void run_command(const void *arg, int out)
{
	const struct mpi_command *command = arg;

	(void)out;
	if (command->environment && putenv((char *)(uintptr_t)command->environment) != 0)
		_exit(127);
	unsetenv("LD_AUDIT");
	unsetenv("LD_SHOW_AUXV");
	unsetenv("LD_DEBUG");
	execv(command->argv[0], (char *const *)(uintptr_t)command->argv);
	_exit(127);
}

int mpi_read_lines(const struct mpi_command *command, mpi_line_fn *line, void *arg)
{
	return with_child(run_command, command, line, arg);
}

/* ---- an MPI ------------------------------------------------------------------------------------ */

/* "MPICH Version:	4.0.2" and more lines: "MPICH 4.0.2" */
static void shorten(char *version)
{
	char *out = version, *word, *rest;

	version[strcspn(version, "\n,")] = '\0';
	for (word = strtok_r(version, " \t", &rest); word; word = strtok_r(NULL, " \t", &rest)) {
		size_t len = strlen(word);

		if (strcmp(word, "Version:") == 0)
			continue;
		if (out > version)
			*out++ = ' ';
		memmove(out, word, len);
		out += len;
	}
	*out = '\0';
}

/* *arg: prefix of its file's name */
static int print_component(struct dl_phdr_info *info, size_t size, void *arg)
{
	const char *const *begin = arg;
	const char *base = strrchr(info->dlpi_name, '/');

	(void)size;
	if (!base || strncmp(base + 1, *begin, strlen(*begin)) != 0)
		return 0;
	printf("component %s\n", info->dlpi_name);
	return 1;
}

/*
 * MPI_T is available before MPI_Init: Open MPI then reads its parameters and loads the components that these
 * allow, from its folders.  So it does that itself, and nothing is reimplemented here.
 */
static void load_components(void *mpi)
{
	void *p = dlsym(mpi, "MPI_T_init_thread");
	int (*init)(int, int *), provided;

	memcpy(&init, &p, sizeof(init));
	if (init)
		(void)init(0, &provided);
}

/* an MPI that was built with the driver (adio/romio/mpich-tree) is linked to the libraries that it needs */
static void look_for_component(void *mpi, const struct mpi_family *family)
{
	const char *begin = "libpmio-driver-";

	if (dl_iterate_phdr(print_component, &begin) || !family->component)
		return;
	load_components(mpi);
	begin = family->component;
	dl_iterate_phdr(print_component, &begin);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void question(const void *arg, int out)
{
	static char version[16384]; /* enough for all MPIs */
	void *mpi = dlopen(arg, RTLD_LAZY | RTLD_GLOBAL), *p;
	const struct mpi_family *family;
	int (*ask)(char *, int *), len = 0;
	Dl_info info;

	(void)out;
	if (!mpi) {
		printf("error %s\n", dlerror());
		fflush(stdout);
		return;
	}
	p = dlsym(mpi, "MPI_Get_library_version");
	memcpy(&ask, &p, sizeof(ask));
	if (!ask || !dladdr(p, &info) || ask(version, &len) != 0) {
		printf("error %s does not report which MPI it is\n", (const char *)arg);
		fflush(stdout);
		return;
	}
	shorten(version);
	printf("file %s\nversion %s\n", info.dli_fname, version);
	family = mpi_family_of(base_name(arg), version);
	if (family)
		look_for_component(mpi, family);
	fflush(stdout);
}

static void keep(char **field, const char *value)
{
	free(*field);
	*field = strdup(value);
}

static void take_answer(void *arg, char *line)
{
	struct mpi_use *use = arg;
	char *value = strchr(line, ' ');

	if (!value)
		return; /* the MPI's own error message, or no family of pmio */
	*value++ = '\0';
	if (strcmp(line, "file") == 0)
		keep(&use->file, value);
	else if (strcmp(line, "version") == 0)
		keep(&use->version, value);
	else if (strcmp(line, "component") == 0)
		keep(&use->component, value);
	else if (strcmp(line, "error") == 0)
		keep(&use->why, value);
}

void mpi_ask(const char *name, struct mpi_use *out)
{
	int status = with_child(question, name, take_answer, out);

	if (out->version)
		out->family = mpi_family_of(base_name(name), out->version);
	else if (!out->why && asprintf(&out->why, "%s could not be asked (status %d)", name, status) < 0)
		out->why = NULL;
}
