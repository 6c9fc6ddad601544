/*
 * recovery.h -- read-only recovery of a pool that no agent has, also a damaged one
 *
 * Nothing is mapped: only bytes that cannot be read from the media, or were cut off,
 * are missing.  Damage is detected where possible: in the superblock by its checksum,
 * or by comparing its fields with the rest; in the catalog by libpmemobj; in slots and
 * frame headers by invalid values.  These and the data have no checksums: a wrong bit
 * that gives a valid value is not detected.
 *
 * Threads: one.
 */
#ifndef PMIO_POOL_RECOVERY_H
#define PMIO_POOL_RECOVERY_H

#include "pool/pool.h"

struct pmio_recovery;

struct pmio_recovery_file {
	char path[PATH_MAX];	/* empty: its name is lost */
	uint32_t slot;
	uint32_t state;		/* enum pmio_file_state; PMIO_FILE_OPEN if it is not known */
	uint32_t mode;		/* permission bits; 0: not known */
	int32_t error;		/* errno of a failed drain, else 0 */
	uint64_t size;		/* bytes */
	bool size_known;	/* otherwise size is the end of the pool's data */
	bool pfs_known;		/* pfs_size and mtime are */
	uint64_t pfs_size;	/* bytes: beyond it the file is zero where the pool has no data */
	int64_t mtime_s, mtime_ns; /* of the file on the file system */
	uint64_t ino;		/* of that file; 0: not known */
	uint64_t dirty_bytes;	/* whole blocks that exist only here */
	bool pending;		/* it has data that are not on the file system */
	bool doubtful;		/* a piece may be missing without a trace in the result */
};

/*
 * pmio_recovery_open -- lock the pool, if possible, and look at all of it
 *
 * Returns 0, also for a damaged pool; -EBUSY (an agent has it), PMIO_ENOTPOOL,
 * PMIO_EVERSION, PMIO_EDAMAGED (the layout cannot be determined), or as
 * pmio_pool_open(); logged.
 */
int pmio_recovery_open(const char *dir, struct pmio_recovery **out);
void pmio_recovery_close(struct pmio_recovery **recovery); /* takes a pointer to NULL */

/* number of problems found in the pool; each was logged as an error */
uint64_t pmio_recovery_problems(const struct pmio_recovery *s);

/* the next file at or after slot *cursor, which moves past it; -ENOENT: there is none */
int pmio_recovery_next(const struct pmio_recovery *s, uint32_t *cursor, struct pmio_recovery_file *file);

struct pmio_recovery_target {
	int fd;		/* an empty file, for writing */
	int base;	/* the file on the file system, for reading; -1: not available */
	/* bytes from..to, both included, could not be read; they are holes, or doubtful */
	void (*lost)(uint64_t from, uint64_t to, const char *why, void *arg);
	void (*progress)(uint64_t bytes, void *arg); /* this number of additional dirty bytes was written */
	void *arg;
};

/*
 * pmio_recovery_copy -- write a file, including the data of the pool
 *
 * Dirty blocks, and without a base all other valid blocks, are taken from the pool;
 * the rest from the base.  Durable when it returns 0.
 * Returns 0, also if something was lost, or -errno of fd or base; not logged.
 */
int pmio_recovery_copy(const struct pmio_recovery *s, const struct pmio_recovery_file *file,
		      const struct pmio_recovery_target *target);

#endif
