/* hints.c -- pmio's hints, "pmem_" and a setting's name */
#include "engine.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HINT_PREFIX "pmem_"

/* a program that opens thousands of files gets each message once per process; each time if the list is full */
static bool first_time(const char *key, const char *value)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static char seen[32][MPI_MAX_INFO_KEY + MPI_MAX_INFO_VAL + 2]; /* under lock */
	const size_t nr = sizeof(seen) / sizeof(seen[0]);
	char hint[sizeof(seen[0])];
	size_t i = 0;
	bool first;

	snprintf(hint, sizeof(hint), "%s=%s", key, value);
	pthread_mutex_lock(&lock);
	while (i < nr && *seen[i] && strcmp(seen[i], hint) != 0)
		i++;
	first = i == nr || !*seen[i];
	if (i < nr)
		memcpy(seen[i], hint, sizeof(hint));
	pthread_mutex_unlock(&lock);
	return first;
}

static void take_hint(struct pmio_settings *s, const char *key, const char *value, bool aloud)
{
	enum pmio_setting which = pmio_setting_find(key + strlen(HINT_PREFIX));

	if (which == PMIO_NR_SETTINGS) {
		if (first_time(key, "") && aloud)
			pmio_warn("hint %s is not known (see pmio(7))", key);
	} else if (!pmio_setting_info(which)->hint) {
		if (first_time(key, "") && aloud)
			pmio_warn("hint %s: this cannot be set for one file; use --mca io_%s or the "
				  "environment (see pmio(7))", key, key);
	} else if (pmio_setting_valid(which, value) || (first_time(key, value) && aloud)) {
		pmio_settings_set(s, which, value, PMIO_FROM_HINT);
	}
}

void engine_take_hints(struct pmio_settings *s, MPI_Info info, bool aloud)
{
	char key[MPI_MAX_INFO_KEY + 1], value[MPI_MAX_INFO_VAL + 1];
	int nr = 0, flag;

	if (info == MPI_INFO_NULL || PMPI_Info_get_nkeys(info, &nr) != MPI_SUCCESS)
		return;
	for (int i = 0; i < nr; i++) {
		if (PMPI_Info_get_nthkey(info, i, key) != MPI_SUCCESS ||
		    strncmp(key, HINT_PREFIX, strlen(HINT_PREFIX)) != 0)
			continue;
		PMPI_Info_get(info, key, MPI_MAX_INFO_VAL, value, &flag);
		if (flag)
			take_hint(s, key, value, aloud);
	}
}

void engine_show_hints(const struct pmio_settings *s, MPI_Info info)
{
	char key[64], dir[PATH_MAX], *value;

	for (int i = 0; i < PMIO_NR_SETTINGS; i++) {
		const struct pmio_setting_info *si = pmio_setting_info((enum pmio_setting)i);

		value = s->str[i];
		if (i == PMIO_SET_POOL && pmio_settings_pool_dir(s, dir, sizeof(dir)) == 0)
			value = dir; /* if unset, there is still a pool */
		/* MPI has no room for longer values */
		if (!si->hint || *value == '\0' || strlen(value) > MPI_MAX_INFO_VAL - 1)
			continue;
		snprintf(key, sizeof(key), HINT_PREFIX "%s", si->name);
		PMPI_Info_set(info, key, value);
	}
	/* a write that has returned is visible to all ranks: HDF5 1.14 checks that by this name */
	PMPI_Info_set(info, "romio_visibility_immediate", "true");
}

static void drop_hint(MPI_Info info, MPI_Info *copy, const char *key)
{
	if (*copy == info)
		PMPI_Info_dup(info, copy);
	PMPI_Info_delete(*copy, key);
}

/* a cb_config_list of "*", "*:*" and "*:N" only, N > 0 */
static bool names_no_host(const char *list)
{
	do {
		if (*list++ != '*')
			return false;
		if (list[0] == ':' && list[1] == '*')
			list += 2;
		else if (list[0] == ':' && strtol(list + 1, NULL, 10) > 0)
			list += 1 + strspn(list + 1, "0123456789");
	} while (*list++ == ',');
	return list[-1] == '\0';
}

/*
 * Hints with which ROMIO aborts the program: numbers, which it does not check (a buffer of
 * -5 bytes), and a cb_config_list that names hosts, as none of them may be in the job; it has no effect here
 * in any case.
 */
MPI_Info engine_good_hints(MPI_Info info)
{
	static const char *const sizes[] = { "cb_buffer_size", "ind_rd_buffer_size",
					     "ind_wr_buffer_size", "cb_nodes" };
	char value[MPI_MAX_INFO_VAL + 1];
	MPI_Info copy = info;
	int flag;

	if (info == MPI_INFO_NULL)
		return info;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		PMPI_Info_get(info, sizes[i], MPI_MAX_INFO_VAL, value, &flag);
		if (!flag || atoi(value) > 0)
			continue;
		pmio_warn("hint %s: \"%s\" is not a number above 0; ignored", sizes[i], value);
		drop_hint(info, &copy, sizes[i]);
	}
	PMPI_Info_get(info, "cb_config_list", MPI_MAX_INFO_VAL, value, &flag);
	if (flag && !names_no_host(value))
		drop_hint(info, &copy, "cb_config_list");
	return copy;
}
