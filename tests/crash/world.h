/*
 * world.h -- an agent, its clients and a file system in one process, and power cuts
 *
 * The agent's loop, its workers and the clients are the real code, run by one
 * thread: a client's request is served at once, and the jobs that it needs are run
 * until it is answered; other jobs wait until somebody needs them.  All stores go
 * to a recorder (pm_record.c), calls to the file system to a model (disk.h), and the
 * catalog is one, too (catalog_model.h).
 *
 * What the clients do is noted as deeds; after a cut the next agent opens the pool,
 * drains, and each file must be what the deeds that had returned have made of it.
 */
#ifndef PMIO_TESTS_CRASH_WORLD_H
#define PMIO_TESTS_CRASH_WORLD_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>

#include "pm/pm.h"

struct pmio_file;
union pmio_any_msg;

#define WORLD_CHUNK 65536u
#define WORLD_BLOCK 256u

struct world_params {
	unsigned nr_frames, nr_slots;
};

/* the world that the functions below act in; one at a time */
void world_begin(const struct world_params *p);
void world_end(void);

/* before world_record(): a file with len bytes of its own */
void world_put(const char *path, size_t len);
/* an agent, and who is there is durable: from now on power cuts are looked at */
void world_start(void);
/* let the agent do all that it has to */
void world_idle(void);

/* ---- what clients do; client 0 or 1 --------------------------------------------------- */

/* PMIO_OPEN_*; NULL: it could not be opened */
struct pmio_file *world_open(unsigned client, const char *path, uint32_t flags);
void world_close(struct pmio_file **f);
void world_discard(struct pmio_file **f);
void world_write(struct pmio_file *f, uint64_t off, size_t len);
void world_truncate(struct pmio_file *f, uint64_t size);
/* for a file of several nodes, at its metadata server; larger than it is */
void world_grow(struct pmio_file *f, uint64_t size);
void world_sync(struct pmio_file *f);
void world_drain(struct pmio_file *f);
bool world_has(const char *path); /* the file system does */
void world_delete(unsigned client, const char *path);
/* all of the file is as it should be now */
void world_read(struct pmio_file *f);

/* a write may find no room in the pool: it is durable when the file was synced or closed */
void world_promise_late(void);

/* while call (of disk.h) number nth from now is made, others do this; once */
void world_during(const char *call, unsigned nth, void (*fn)(void));

/* what others did then had to wait for that call's job, which this world cannot do: the flaw is none */
bool world_gave_up(void);

/*
 * world_kill_in -- in fn, when the nr-th operation from now has been recorded, agent and
 * clients are killed; another agent starts
 *
 * hold   what waits is not drained by it
 */
void world_kill_in(unsigned nr, void (*fn)(void), bool hold);

/* ---- power cuts ------------------------------------------------------------------------- */

struct world_limits {
	unsigned images;   /* of the pool, for one cut */
	unsigned variants; /* of the file system, for one image */
	unsigned looks;	   /* of more than so many, that many are drawn, or a few more */
	unsigned nested;   /* in each so many recoveries the power goes once more; 0: in none */
	uint64_t seed;
};

/* ends the agent, and looks at what cuts could leave: what is wrong, or NULL; *nr: grows by the looks */
const char *world_cut(const struct world_limits *limits, unsigned long *nr);

/* ---- for calls.h ---------------------------------------------------------------------------- */

struct pmio_pm;
int world_map(int fd, struct pmio_pm **out);
int world_send(int sock, const union pmio_any_msg *msg, int fd);

#endif
