/*
 * mpi_info.c -- pmio mpi-info: the installed MPIs, and the adapters for their programs
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "mpis.h"
#include "tools.h"

/* ---- the launcher: that of another MPI starts N programs of one rank each, without an error ----------- */

struct launcher {
	char *path;   /* allocated; NULL: there is none */
	char *says;   /* allocated; NULL: nothing known */
	bool openmpi; /* otherwise of MPICH or an MPI derived from it */
};

/* "mpirun (Open MPI) 4.1.4"; or "HYDRA build details:", and in a later line "Version: 4.0.2" */
static void take_version(void *arg, char *line)
{
	struct launcher *l = arg;
	char *version = strstr(line, "Version:");

	if (!l->says && strstr(line, "Open MPI")) {
		l->openmpi = true;
		l->says = strdup(line);
	} else if (!l->says && strncmp(line, "HYDRA", 5) == 0) {
		l->says = strdup("Hydra");
	} else if (l->says && !l->openmpi && version && strcmp(l->says, "Hydra") == 0) {
		version += strlen("Version:");
		free(l->says);
		if (asprintf(&l->says, "Hydra %s", version + strspn(version, " \t")) < 0)
			l->says = NULL;
	}
}

static void find_launcher(struct launcher *l)
{
	struct mpi_command command = { { NULL, "--version", NULL }, NULL };

	memset(l, 0, sizeof(*l));
	l->path = mpi_find_program("mpirun");
	if (!l->path)
		l->path = mpi_find_program("mpiexec");
	command.argv[0] = l->path;
	if (l->path)
		(void)mpi_read_lines(&command, take_version, l);
}

static void free_launcher(struct launcher *l)
{
	free(l->path);
	free(l->says);
}

static bool is_of_another(const struct launcher *l, const struct mpi_use *use)
{
	return l->says && use->version && l->openmpi != (strstr(use->version, "Open MPI") != NULL);
}

/* ---- for programs -------------------------------------------------------------------------------------- */

static void add_if(struct json_object *o, const char *key, const char *value)
{
	if (value)
		tool_add_string(o, key, value);
}

static const char *const by_names[] = {
	[MPI_BY_NOTHING] = "nothing",
	[MPI_BY_COMPONENT] = "component",
	[MPI_BY_LIBRARY] = "library",
};

static struct json_object *use_json(const struct mpi_use *use, const char *family)
{
	struct json_object *o = json_object_new_object();

	add_if(o, "family", use->family ? use->family->name : family);
	add_if(o, "mpi", use->version);
	add_if(o, "file", use->file);
	tool_add_string(o, "by", by_names[use->by]);
	add_if(o, "component", use->component);
	add_if(o, "library", use->library);
	tool_add_bool(o, "preload", use->by == MPI_BY_LIBRARY && !use->loaded);
	add_if(o, "why", use->why);
	return o;
}

static struct json_object *launcher_json(const struct launcher *l)
{
	struct json_object *o = json_object_new_object();

	tool_add_string(o, "path", l->path);
	add_if(o, "says", l->says);
	return o;
}

/* ---- for people ------------------------------------------------------------------------------------------ */

static void print_use(const char *what, const struct mpi_use *use)
{
	printf("%-9s", what);
	if (use->version) {
		printf("%s, %s ", use->version, use->linked ? "linked to" : "found in");
		tool_print_path(use->file);
		printf("\n%9s", "");
	}
	if (use->by == MPI_BY_COMPONENT) {
		printf("served by its component ");
		tool_print_path(use->component);
		printf(": nothing to preload");
	} else if (use->by == MPI_BY_LIBRARY) {
		printf("served by the library %s: %s", use->family->library, use->loaded ? "already loaded" : "pmio run --mpi -- PROGRAM");
	} else {
		printf("not served: ");
		tool_print_path(use->why ? use->why : "no memory");
	}
	putchar('\n');
	if (use->by != MPI_BY_NOTHING && use->why)
		printf("%9s%s\n", "", use->why);
}

static void print_launcher(const struct launcher *l)
{
	if (!l->path)
		return;
	printf("%-9s", "launcher");
	tool_print_path(l->path);
	printf(": ");
	tool_print_path(l->says ? l->says : "unknown");
	putchar('\n');
}

/* ---- the command -------------------------------------------------------------------------------------------- */

static int show_program(const struct tool *tool, const char *name)
{
	char *path = mpi_find_program(name);
	struct launcher l;
	struct mpi_use use;
	int status;

	if (!path)
		return tool_failed(-errno, "%s", name);
	mpi_of_program(path, NULL, &use);
	find_launcher(&l);
	if (tool->json) {
		struct json_object *o = use_json(&use, NULL);

		tool_add_string(o, "program", path);
		if (l.path)
			json_object_object_add(o, "launcher", launcher_json(&l));
		tool_print_json(o);
	} else {
		print_use("program", &use);
		if (is_of_another(&l, &use)) {
			print_launcher(&l);
			printf("%9sit belongs to another MPI: it would start each process of this program as a job of its own\n", "");
		}
	}
	status = use.by == MPI_BY_NOTHING ? TOOL_FAILED : TOOL_DONE;
	mpi_use_free(&use);
	free_launcher(&l);
	free(path);
	return status;
}

static int show_all(const struct tool *tool)
{
	struct json_object *all = tool->json ? json_object_new_array() : NULL, *o;
	size_t nr_served = 0;
	struct launcher l;

	for (const struct mpi_family *f = mpi_families; f->name; f++) {
		struct mpi_use use;

		mpi_of_family(f, &use);
		nr_served += use.by != MPI_BY_NOTHING;
		if (all)
			json_object_array_add(all, use_json(&use, f->name));
		else
			print_use(f->name, &use);
		mpi_use_free(&use);
	}
	find_launcher(&l);
	if (all) {
		o = json_object_new_object();
		json_object_object_add(o, "mpis", all);
		if (l.path)
			json_object_object_add(o, "launcher", launcher_json(&l));
		tool_print_json(o);
	} else {
		print_launcher(&l);
	}
	free_launcher(&l);
	return nr_served ? TOOL_DONE : TOOL_FAILED;
}

int tool_mpi_info(struct tool *tool, int argc, char **argv)
{
	static const struct argp argp = {
		.parser = tool_parse_args,
		.args_doc = "[PROGRAM]",
		.doc = "show the installed MPIs, or the MPI of PROGRAM, and how their programs can use pmem: names, or why they cannot",
	};
	struct tool_args args = { 0 };

	tool_parse(tool, &argp, &args, argc, argv);
	if (args.nr > 1) {
		pmio_err("mpi-info: only one PROGRAM may be given");
		return TOOL_USAGE;
	}
	return args.nr ? show_program(tool, args.v[0]) : show_all(tool);
}
