/*
 * settings.h -- the table of all settings
 *
 * Each setting is defined once, in settings.c: name, type, bounds, default, help.  The
 * ways to set it follow from the name, here for `drain`, highest priority first:
 *
 *	MPI_Info hint         pmem_drain
 *	Open MPI parameter    --mca io_pmem_drain
 *	environment           PMIO_DRAIN
 *	configuration file    drain = close     ($PMIO_CONF, else
 *	                      ~/.config/pmio/pmio.conf, else /etc/pmio/pmio.conf)
 *	default
 *
 * Threads: a struct pmio_settings belongs to the thread that made it.
 */
#ifndef PMIO_CORE_SETTINGS_H
#define PMIO_CORE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pmio_setting {
	PMIO_SET_POOL,
	PMIO_SET_POOL_SIZE,
	PMIO_SET_CHUNK_SIZE,
	PMIO_SET_PATHS,
	PMIO_SET_DRAIN,
	PMIO_SET_DRAIN_EARLY,
	PMIO_SET_DRAIN_SYNC,
	PMIO_SET_SYNC,
	PMIO_SET_CACHE,
	PMIO_SET_FALLBACK,
	PMIO_SET_VERIFY,
	PMIO_SET_RECOVER,
	PMIO_SET_DRAIN_THREADS,
	PMIO_SET_DRAIN_RATE,
	PMIO_SET_AGENT,
	PMIO_SET_IDLE_TIMEOUT,
	PMIO_SET_ADDRESS,
	PMIO_SET_PROVIDER,
	PMIO_SET_TIMEOUT,
	PMIO_SET_PLACEMENT,
	PMIO_SET_TARGETS,
	PMIO_SET_COLLECTIVE,
	PMIO_SET_COLLECTIVE_ORDER,
	PMIO_SET_OWNER,
	PMIO_SET_MUNGE,
	PMIO_SET_LOG,
	PMIO_NR_SETTINGS,
};

enum pmio_setting_type { PMIO_TYPE_STRING, PMIO_TYPE_SIZE, PMIO_TYPE_UINT, PMIO_TYPE_CHOICE };

/* the source of a value; a later one overrides an earlier one */
enum pmio_source {
	PMIO_FROM_DEFAULT,
	PMIO_FROM_FILE,
	PMIO_FROM_ENVIRONMENT,
	PMIO_FROM_MCA,
	PMIO_FROM_HINT,
	PMIO_FROM_COMMAND_LINE,
};

struct pmio_setting_info {
	const char *name;	/* "drain_threads" */
	enum pmio_setting_type type;
	const char *choices;	/* PMIO_TYPE_CHOICE: "close|async|hold" */
	uint64_t min, max;	/* numbers: bounds, both included; sizes in bytes */
	const char *def;	/* the default, as a user would write it; "" is unset */
	bool hint;		/* may be given as an MPI_Info hint, for each file */
	const char *help;	/* one line */
};

enum pmio_drain { PMIO_DRAIN_CLOSE, PMIO_DRAIN_ASYNC, PMIO_DRAIN_HOLD, PMIO_DRAIN_AGGREGATE };
enum pmio_drain_sync { PMIO_DRAIN_SYNC_AUTO, PMIO_DRAIN_SYNC_CLOSE, PMIO_DRAIN_SYNC_LATER };
enum pmio_sync { PMIO_SYNC_AUTO, PMIO_SYNC_POOL, PMIO_SYNC_DRAIN };
enum pmio_recover { PMIO_RECOVER_DRAIN, PMIO_RECOVER_HOLD };
enum pmio_placement { PMIO_PLACE_AUTO, PMIO_PLACE_LOCAL, PMIO_PLACE_STRIPED, PMIO_PLACE_REMOTE, PMIO_PLACE_SINGLE };
enum pmio_collective { PMIO_COLLECTIVE_AUTO, PMIO_COLLECTIVE_DIRECT, PMIO_COLLECTIVE_AGGREGATE };
enum pmio_collective_order { PMIO_ORDER_ON, PMIO_ORDER_OFF };
enum pmio_owner { PMIO_OWNER_AUTO, PMIO_OWNER_ALWAYS, PMIO_OWNER_NEVER };
enum pmio_munge { PMIO_MUNGE_AUTO, PMIO_MUNGE_OFF, PMIO_MUNGE_REQUIRE };
enum pmio_cache { PMIO_CACHE_KEEP, PMIO_CACHE_DROP };

struct pmio_settings {
	char *str[PMIO_NR_SETTINGS];	/* owned; as given */
	uint64_t num[PMIO_NR_SETTINGS];	/* sizes, numbers; choices: their index */
	enum pmio_source from[PMIO_NR_SETTINGS];
};

const struct pmio_setting_info *pmio_setting_info(enum pmio_setting which);
/* by its name; PMIO_NR_SETTINGS if there is none */
enum pmio_setting pmio_setting_find(const char *name);
/* "PMIO_DRAIN_THREADS"; size: 64 is enough */
void pmio_setting_variable(enum pmio_setting which, char *name, size_t size);
const char *pmio_source_name(enum pmio_source from);

/*
 * pmio_settings_init -- defaults, configuration file, environment
 *
 * An invalid value is logged with the valid range, and the value before it stays.
 * Returns 0, -ENOMEM, or -EINVAL if a value was invalid (s is usable nevertheless).
 */
int pmio_settings_init(struct pmio_settings *s);
void pmio_settings_fini(struct pmio_settings *s);
int pmio_settings_copy(struct pmio_settings *dst, const struct pmio_settings *src);

/* set one from a string; 0, -ENOMEM, or -EINVAL (logged with the valid range; s unchanged) */
int pmio_settings_set(struct pmio_settings *s, enum pmio_setting which, const char *value,
		      enum pmio_source from);

/*
 * pmio_settings_fix_agent -- resolve a relative path in `agent` from the current working directory
 *
 * For processes that change it, or start others that do.  Returns 0 or an error, not logged.
 */
int pmio_settings_fix_agent(struct pmio_settings *s);

/* would pmio_settings_set() accept it?  Nothing is logged */
bool pmio_setting_valid(enum pmio_setting which, const char *value);

/* "4096", "64KiB", "1.5 GB", "2T" (binary) to bytes; -EINVAL, -ERANGE */
int pmio_parse_size(const char *text, uint64_t *bytes);

/*
 * pmio_settings_path_selected -- does the setting `paths` select this plain name?
 *
 * name   absolute; patterns are fnmatch(3)'s, separated by ':'; a star matches
 *        slashes, too
 */
bool pmio_settings_path_selected(const struct pmio_settings *s, const char *name);

/* the directory of the pool in use, absolute; "" in the setting is the default pool.  0 or -ENAMETOOLONG */
int pmio_settings_pool_dir(const struct pmio_settings *s, char *dir, size_t size);

/*
 * the default pool's directory, which may be missing: /dev/shm/pmio-UID, or the one made in its place.  0 or
 * -ENAMETOOLONG
 */
int pmio_default_pool(char *dir, size_t size);
/*
 * the same, and make it if it is missing
 *
 * If another user has that name, dir is a new directory beside it (logged), which pmio_default_pool() finds from
 * then on.  Returns 0 or -errno.
 */
int pmio_default_pool_make(char *dir, size_t size);

#endif
