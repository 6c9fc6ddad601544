#include "core/settings.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "core/path.h"
#include "core/pattern.h"

#define KIB (1ULL << 10)
#define MIB (1ULL << 20)
#define GIB (1ULL << 30)
#define TIB (1ULL << 40)

static const struct pmio_setting_info table[PMIO_NR_SETTINGS] = {
	[PMIO_SET_POOL] = {
		"pool", PMIO_TYPE_STRING, NULL, 0, 0, "", true,
		"directory of the pool; default: /dev/shm/pmio-UID, created if missing" },
	[PMIO_SET_POOL_SIZE] = {
		"pool_size", PMIO_TYPE_SIZE, NULL, 8 * MIB, 1024 * TIB, "1GiB", false,
		"size of a pool that is created without an explicit size" },
	[PMIO_SET_CHUNK_SIZE] = {
		"chunk_size", PMIO_TYPE_SIZE, NULL, 16 * KIB, 64 * MIB, "1MiB", false,
		"size of a frame in a new pool, a power of two" },
	[PMIO_SET_PATHS] = {
		"paths", PMIO_TYPE_STRING, NULL, 0, 0, "", false,
		"files that are handled without a prefix: patterns of absolute paths, separated by ':'" },
	[PMIO_SET_DRAIN] = {
		"drain", PMIO_TYPE_CHOICE, "close|async|hold|aggregate", 0, 0, "close", true,
		"when a file is drained to the file system: close: before the last close returns; async: after it; hold: only by `pmio drain`; aggregate: by memory nodes after the job has ended" },
	[PMIO_SET_DRAIN_EARLY] = {
		"drain_early", PMIO_TYPE_CHOICE, "off|on", 0, 0, "off", true,
		"whether full chunks are drained before the last close" },
	[PMIO_SET_DRAIN_SYNC] = {
		"drain_sync", PMIO_TYPE_CHOICE, "auto|close|later", 0, 0, "auto", true,
		"when a new or small file is durable on the file system: close: when open and close return; later: shortly afterwards; auto: later on ext4, XFS, btrfs and F2FS, else close" },
	[PMIO_SET_SYNC] = {
		"sync", PMIO_TYPE_CHOICE, "auto|pool|drain", 0, 0, "auto", true,
		"where data are when MPI_File_sync returns: pool: in the pool; drain: also on the file system; auto: drain for files selected by `paths`, else pool" },
	[PMIO_SET_CACHE] = {
		"cache", PMIO_TYPE_CHOICE, "keep|drop", 0, 0, "keep", true,
		"whether the pool keeps a file's clean chunks after its last close" },
	[PMIO_SET_FALLBACK] = {
		"fallback", PMIO_TYPE_CHOICE, "pfs|error", 0, 0, "pfs", true,
		"what to do when the pool is full: pfs: use the file system for that chunk; error: fail" },
	[PMIO_SET_VERIFY] = {
		"verify", PMIO_TYPE_CHOICE, "none|drain", 0, 0, "none", true,
		"drain: read back the drained data and compare checksums" },
	[PMIO_SET_RECOVER] = {
		"recover", PMIO_TYPE_CHOICE, "drain|hold", 0, 0, "drain", false,
		"what a new agent does with data that a crash left in the pool: drain them, or hold them for `pmio drain`" },
	[PMIO_SET_DRAIN_THREADS] = {
		"drain_threads", PMIO_TYPE_UINT, NULL, 1, 64, "2", false,
		"number of concurrent drains and fills of an agent; up to 16 times as many while they mostly wait for the file system" },
	[PMIO_SET_DRAIN_RATE] = {
		"drain_rate", PMIO_TYPE_SIZE, NULL, 0, 1024 * TIB, "0", false,
		"bytes per second that all drains of an agent may write; 0: no limit" },
	[PMIO_SET_AGENT] = {
		"agent", PMIO_TYPE_STRING, NULL, 0, 0, PMIO_SBINDIR "/pmiod", false,
		"program of the agent, started if none is running" },
	[PMIO_SET_IDLE_TIMEOUT] = {
		"idle_timeout", PMIO_TYPE_UINT, NULL, 0, 7 * 86400, "60", false,
		"seconds after which an agent with neither clients nor dirty data exits; 0: never" },
	[PMIO_SET_ADDRESS] = {
		"address", PMIO_TYPE_STRING, NULL, 0, 0, "", false,
		"how other nodes reach this one: an IP address, a network (10.1.0.0/16), an interface or a host name; default: the first interface that is not the loopback" },
	[PMIO_SET_PROVIDER] = {
		"provider", PMIO_TYPE_STRING, NULL, 0, 0, "", false,
		"provider of libfabric; default: the first available of net (not in libfabric 2), tcp, tcp;ofi_rxm" },
	[PMIO_SET_TIMEOUT] = {
		"timeout", PMIO_TYPE_UINT, NULL, 1, 3600, "10", false,
		"seconds after which a node that does not answer is considered lost, and calls to a stopped agent fail" },
	[PMIO_SET_PLACEMENT] = {
		"placement", PMIO_TYPE_CHOICE, "auto|local|striped|remote|single", 0, 0, "auto", true,
		"which node stores a chunk of a file: local: the first one to access it; striped: round-robin; remote: memory nodes; single: one node for all; auto: local, and memory nodes when its pool is full" },
	[PMIO_SET_TARGETS] = {
		"targets", PMIO_TYPE_STRING, NULL, 0, 0, "", false,
		"memory nodes: the files with endpoint descriptors that `pmiod --target --card` has written, separated by ','" },
	[PMIO_SET_COLLECTIVE] = {
		"collective", PMIO_TYPE_CHOICE, "auto|direct|aggregate", 0, 0, "auto", true,
		"how small pieces of collective calls reach other nodes: direct: through the targets; aggregate: by MPI, through ranks there; auto: depending on the file view" },
	[PMIO_SET_COLLECTIVE_ORDER] = {
		"collective_order", PMIO_TYPE_CHOICE, "on|off", 0, 0, "on", true,
		"whether collective calls start together, so that each one sees, and can overwrite, what earlier ones wrote" },
	[PMIO_SET_OWNER] = {
		"owner", PMIO_TYPE_CHOICE, "auto|always|never", 0, 0, "auto", true,
		"whether a file that is open on one node is marked so that other nodes can join it; auto: in jobs on several nodes" },
	[PMIO_SET_MUNGE] = {
		"munge", PMIO_TYPE_CHOICE, "auto|off|require", 0, 0, "auto", false,
		"whether processes prove their user to other nodes with MUNGE; auto: where MUNGE runs; require: reject peers without such a proof" },
	[PMIO_SET_LOG] = {
		"log", PMIO_TYPE_CHOICE, "none|error|warn|info|debug", 0, 0, "warn", false,
		"lowest severity that is logged: to standard error, by the agent to its log file" },
};

static const char *const source_names[] = {
	[PMIO_FROM_DEFAULT] = "default",
	[PMIO_FROM_FILE] = "configuration file",
	[PMIO_FROM_ENVIRONMENT] = "environment",
	[PMIO_FROM_MCA] = "Open MPI parameter",
	[PMIO_FROM_HINT] = "hint",
	[PMIO_FROM_COMMAND_LINE] = "command line",
};

const struct pmio_setting_info *pmio_setting_info(enum pmio_setting which)
{
	return &table[which];
}

enum pmio_setting pmio_setting_find(const char *name)
{
	int i;

	for (i = 0; i < PMIO_NR_SETTINGS; i++) {
		if (strcmp(table[i].name, name) == 0)
			break;
	}
	return (enum pmio_setting)i;
}

const char *pmio_source_name(enum pmio_source from)
{
	return source_names[from];
}

/* KiB, K, kib, ... to a factor; 0 if it is not a unit.  All are binary, as dd's K, M, G, but also KB, MB, ... */
static double unit_factor(const char *unit)
{
	static const char letters[] = "kmgtpe";
	const char *p;
	int power;

	if (*unit == '\0' || strcasecmp(unit, "b") == 0)
		return 1;
	p = strchr(letters, tolower((unsigned char)*unit));
	if (!p || *p == '\0')
		return 0;
	power = (int)(p - letters) + 1;
	if (unit[1] == '\0' || strcasecmp(unit + 1, "ib") == 0)
		return ldexp(1, 10 * power);
	if (strcasecmp(unit + 1, "b") == 0)
		return pow(1000, power);
	return 0;
}

/* digits only: exact, unlike a double */
static int parse_whole(const char *text, double factor, uint64_t *bytes)
{
	unsigned long long number;

	errno = 0;
	number = strtoull(text, NULL, 10);
	if (errno == ERANGE || (double)number * factor >= ldexp(1, 63))
		return -ERANGE;
	*bytes = number * (uint64_t)factor;
	return 0;
}

int pmio_parse_size(const char *text, uint64_t *bytes)
{
	double number, factor;
	char *end;
	bool whole;

	while (isspace((unsigned char)*text))
		text++;
	/* strtod also takes "inf", "nan", signs and hexadecimal numbers */
	if (!isdigit((unsigned char)*text) || strncasecmp(text, "0x", 2) == 0)
		return -EINVAL;
	number = strtod(text, &end);
	whole = end == text + strspn(text, "0123456789");
	while (isspace((unsigned char)*end))
		end++;
	factor = unit_factor(end);
	if (factor == 0)
		return -EINVAL;
	if (whole)
		return parse_whole(text, factor, bytes);
	if (number != floor(number) && factor == 1) /* a fraction of a byte */
		return -EINVAL;
	number = ceil(number * factor);
	if (!(number < ldexp(1, 63)))
		return -ERANGE;
	*bytes = (uint64_t)number;
	return 0;
}

/* the index of value in "a|b|c", or -EINVAL */
static int find_choice(const char *choices, const char *value)
{
	size_t len = strlen(value);
	int i = 0;

	for (const char *p = choices; p; i++) {
		const char *bar = strchr(p, '|');
		size_t n = bar ? (size_t)(bar - p) : strlen(p);

		if (n == len && strncasecmp(p, value, n) == 0)
			return i;
		p = bar ? bar + 1 : NULL;
	}
	return -EINVAL;
}

static int parse_uint(const char *value, uint64_t *num)
{
	char *end;

	if (!isdigit((unsigned char)*value))
		return -EINVAL;
	errno = 0;
	*num = strtoull(value, &end, 10);
	return errno || *end ? -EINVAL : 0;
}

static void complain(const struct pmio_setting_info *info, const char *value, enum pmio_source from)
{
	switch (info->type) {
	case PMIO_TYPE_CHOICE:
		pmio_err("%s (%s): \"%s\" is not one of %s", info->name, pmio_source_name(from), value,
			 info->choices);
		break;
	case PMIO_TYPE_SIZE:
		pmio_err("%s (%s): \"%s\" is not a size of %llu to %llu bytes (units: KiB, MiB, GiB, "
			 "TiB, KB, ...)", info->name, pmio_source_name(from), value,
			 (unsigned long long)info->min, (unsigned long long)info->max);
		break;
	case PMIO_TYPE_UINT:
		pmio_err("%s (%s): \"%s\" is not a number of %llu to %llu", info->name,
			 pmio_source_name(from), value, (unsigned long long)info->min,
			 (unsigned long long)info->max);
		break;
	case PMIO_TYPE_STRING:
		pmio_err("%s (%s): \"%s\" is too long", info->name, pmio_source_name(from), value);
		break;
	}
}

static int parse_value(const struct pmio_setting_info *info, const char *value, uint64_t *num)
{
	int rc = 0;

	switch (info->type) {
	case PMIO_TYPE_CHOICE:
		rc = find_choice(info->choices, value);
		*num = rc < 0 ? 0 : (uint64_t)rc;
		return rc < 0 ? rc : 0;
	case PMIO_TYPE_STRING:
		*num = 0;
		return strlen(value) < PATH_MAX ? 0 : -EINVAL;
	case PMIO_TYPE_SIZE:
		rc = pmio_parse_size(value, num);
		break;
	case PMIO_TYPE_UINT:
		rc = parse_uint(value, num);
		break;
	}
	return rc < 0 || *num < info->min || *num > info->max ? -EINVAL : 0;
}

int pmio_settings_set(struct pmio_settings *s, enum pmio_setting which, const char *value,
		      enum pmio_source from)
{
	const struct pmio_setting_info *info = &table[which];
	uint64_t num = 0;
	char *copy;

	if (parse_value(info, value, &num) < 0) {
		complain(info, value, from);
		return -EINVAL;
	}
	copy = strdup(value);
	if (!copy)
		return -ENOMEM;
	free(s->str[which]);
	s->str[which] = copy;
	s->num[which] = num;
	s->from[which] = from;
	return 0;
}

bool pmio_setting_valid(enum pmio_setting which, const char *value)
{
	uint64_t num;

	return parse_value(&table[which], value, &num) == 0;
}

struct file_state {
	struct pmio_settings *s;
	const char *path;
	int rc;
};

/*
 * inih's callback: 1 is success; with 0 ini_parse() would return the line number, but the message here is more specific
 */
static int take_line(void *arg, const char *section, const char *name, const char *value)
{
	struct file_state *st = arg;
	enum pmio_setting which = pmio_setting_find(name);
	int rc;

	if (*section != '\0' && strcmp(section, "pmio") != 0)
		return 1;
	if (which == PMIO_NR_SETTINGS) {
		pmio_err("%s: unknown setting \"%s\"", st->path, name);
		st->rc = -EINVAL;
		return 1;
	}
	rc = pmio_settings_set(st->s, which, value, PMIO_FROM_FILE);
	if (rc < 0)
		st->rc = rc;
	return 1;
}

/* the configuration file to read: it must exist if PMIO_CONF names it */
static const char *conf_path(char *buf, size_t size, bool *named)
{
	/* the user who starts a program that runs with other rights must not choose for it */
	const char *conf = secure_getenv("PMIO_CONF"), *home = secure_getenv("HOME");

	*named = conf && *conf;
	if (*named)
		return conf;
	if (home && snprintf(buf, size, "%s/.config/pmio/pmio.conf", home) < (int)size &&
	    access(buf, R_OK) == 0)
		return buf;
	snprintf(buf, size, "%s/pmio/pmio.conf", PMIO_SYSCONFDIR);
	if (access(buf, R_OK) != 0)
		snprintf(buf, size, "/etc/pmio/pmio.conf");
	return buf;
}

static int read_conf(struct pmio_settings *s)
{
	char buf[PATH_MAX];
	struct file_state st = { .s = s };
	bool named;
	int rc;

	st.path = conf_path(buf, sizeof(buf), &named);
	if (!named && access(st.path, F_OK) != 0)
		return 0;
	rc = ini_parse(st.path, take_line, &st);
	if (rc == -1) {
		pmio_err("configuration file %s: cannot be read", st.path);
		return -EINVAL;
	}
	if (rc > 0) {
		pmio_err("configuration file %s: line %d: not \"name = value\", or longer than 190 characters", st.path, rc);
		return -EINVAL;
	}
	return st.rc;
}

void pmio_setting_variable(enum pmio_setting which, char *name, size_t size)
{
	snprintf(name, size, "PMIO_%s", table[which].name);
	for (char *p = name; *p; p++)
		*p = (char)toupper((unsigned char)*p);
}

static int read_environment(struct pmio_settings *s)
{
	int result = 0;

	for (int i = 0; i < PMIO_NR_SETTINGS; i++) {
		char var[64];
		const char *value;

		pmio_setting_variable((enum pmio_setting)i, var, sizeof(var));
		value = secure_getenv(var);
		if (value && *value) {
			int rc = pmio_settings_set(s, (enum pmio_setting)i, value, PMIO_FROM_ENVIRONMENT);

			if (rc < 0)
				result = rc;
		}
	}
	return result;
}

int pmio_settings_init(struct pmio_settings *s)
{
	int rc, result = 0;

	memset(s, 0, sizeof(*s));
	for (int i = 0; i < PMIO_NR_SETTINGS; i++) {
		rc = pmio_settings_set(s, (enum pmio_setting)i, table[i].def, PMIO_FROM_DEFAULT);
		if (rc < 0)
			return rc;
	}
	rc = read_conf(s);
	if (rc < 0)
		result = rc;
	rc = read_environment(s);
	if (rc < 0)
		result = rc;
	return result;
}

void pmio_settings_fini(struct pmio_settings *s)
{
	for (int i = 0; i < PMIO_NR_SETTINGS; i++) {
		free(s->str[i]);
		s->str[i] = NULL;
	}
}

int pmio_settings_copy(struct pmio_settings *dst, const struct pmio_settings *src)
{
	*dst = *src;
	for (int i = 0; i < PMIO_NR_SETTINGS; i++)
		dst->str[i] = NULL;
	for (int i = 0; i < PMIO_NR_SETTINGS; i++) {
		dst->str[i] = strdup(src->str[i]);
		if (!dst->str[i]) {
			pmio_settings_fini(dst);
			return -ENOMEM;
		}
	}
	return 0;
}

int pmio_settings_pool_dir(const struct pmio_settings *s, char *dir, size_t size)
{
	const char *set = s->str[PMIO_SET_POOL];

	return *set ? pmio_absolute(set, dir, size) : pmio_default_pool(dir, size);
}

bool pmio_settings_path_selected(const struct pmio_settings *s, const char *name)
{
	return pmio_pattern_selects(s->str[PMIO_SET_PATHS], name);
}

int pmio_settings_fix_agent(struct pmio_settings *s)
{
	const char *program = s->str[PMIO_SET_AGENT];
	char absolute[PATH_MAX];
	int rc;

	if (*program == '/' || !strchr(program, '/'))
		return 0;
	rc = pmio_absolute(program, absolute, sizeof(absolute));
	return rc < 0 ? rc : pmio_settings_set(s, PMIO_SET_AGENT, absolute, PMIO_FROM_COMMAND_LINE);
}
