/*
 * spank_pmem.c -- sbatch --pmem=SIZE: a pool for jobs without #PMEM lines; see pmio-slurm(7)
 *
 * plugstack.conf:	required DIR/spank_pmem.so pmem=/mnt/pmem
 *
 * The size reaches prolog and epilog as SPANK_PMIO_CAPACITY, in bytes (pmio_slurm/node.py makes the pool);
 * the tasks' environment gets PMIO_POOL, unless it has one: jobs with #PMEM lines do.
 */
#include <stdint.h>

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <slurm/spank.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SIZE_MIN (8.0 * (1 << 20))
#define TEXT_MAX 32

SPANK_PLUGIN(pmem, 1)

static char *wanted;		/* bytes, in decimal; NULL: no --pmem */
static const char *folder = "/mnt/pmem"; /* argument pmem= */

/* "1.5GiB", as #PMEM capacity= has it; 0: it is no size */
static double bytes_of(const char *text)
{
	static const char letters[] = "KMGTP";
	char *unit;
	double value;
	const char *letter;
	int power;

	if (*text < '0' || *text > '9' || strlen(text) > TEXT_MAX || strpbrk(text, "xXeE"))
		return 0;
	errno = 0;
	value = strtod(text, &unit);
	if (errno || !isfinite(value))
		return 0;
	if (*unit == '\0' || strcasecmp(unit, "b") == 0)
		return value;
	letter = strchr(letters, *unit & ~0x20);
	if (!letter || *letter == '\0')
		return 0;
	power = (int)(letter - letters) + 1;
	if (unit[1] == '\0' || strcasecmp(unit + 1, "ib") == 0)
		return ldexp(value, 10 * power);
	return strcasecmp(unit + 1, "b") == 0 ? value * pow(1000, power) : 0;
}

static int take_size(int val, const char *arg, int remote)
{
	double bytes = arg ? bytes_of(arg) : 0;
	char text[32];

	(void)val;
	(void)remote;
	if (bytes == 0) {
		slurm_error("--pmem: '%.80s' is not a size: a number and a unit, such as 1.5GiB", arg ? arg : "");
		return -1;
	}
	if (bytes < SIZE_MIN || bytes > 9e15) {
		slurm_error("--pmem: '%s': a pool has at least 8MiB, and less than 8PiB", arg);
		return -1;
	}
	snprintf(text, sizeof(text), "%.0f", ceil(bytes));
	free(wanted);
	wanted = strdup(text);
	return wanted ? 0 : -1;
}

static struct spank_option option = {
	"pmem", "SIZE", "persistent memory of each node for the job, as 100GiB (pmio-slurm(7))", 1, 0, take_size,
};

int slurm_spank_init(spank_t sp, int argc, char **argv)
{
	spank_context_t context = spank_context();

	for (int i = 0; i < argc; i++) {
		if (strncmp(argv[i], "pmem=", 5) == 0)
			folder = argv[i] + 5;
		else
			slurm_error("spank_pmem: unknown argument '%s' in plugstack.conf", argv[i]);
	}
	if (context == S_CTX_SLURMD || context == S_CTX_JOB_SCRIPT)
		return 0;
	return spank_option_register(sp, &option) == ESPANK_SUCCESS ? 0 : -1;
}

int slurm_spank_init_post_opt(spank_t sp, int argc, char **argv)
{
	spank_context_t context = spank_context();

	(void)argc;
	(void)argv;
	if (!wanted || (context != S_CTX_ALLOCATOR && context != S_CTX_LOCAL))
		return 0;
	if (spank_job_control_setenv(sp, "PMIO_CAPACITY", wanted, 1) == ESPANK_SUCCESS)
		return 0;
	slurm_error("--pmem: the job cannot be told");
	return -1;
}

/* in the step, as the user */
int slurm_spank_user_init(spank_t sp, int argc, char **argv)
{
	char pool[PATH_MAX];
	uint32_t id;

	(void)argc;
	(void)argv;
	if (!wanted || spank_getenv(sp, "PMIO_POOL", pool, sizeof(pool)) == ESPANK_SUCCESS)
		return 0;
	if (spank_get_item(sp, S_JOB_ID, &id) != ESPANK_SUCCESS)
		return -1;
	snprintf(pool, sizeof(pool), "%s/job.%u", folder, id);
	return spank_setenv(sp, "PMIO_POOL", pool, 1) == ESPANK_SUCCESS &&
			       spank_setenv(sp, "PMIO_IDLE_TIMEOUT", "0", 1) == ESPANK_SUCCESS
		       ? 0
		       : -1;
}
