/*
 * world_impl.h -- the parts of a world: world.c runs it, world_expected.c knows what its files may be, world_cut.c cuts its power
 */
#ifndef PMIO_TESTS_CRASH_WORLD_IMPL_H
#define PMIO_TESTS_CRASH_WORLD_IMPL_H

#include "world.h"

#include <stddef.h>

#include "agent/agent.h"
#include "agent/conn.h"
#include "agent/file.h"
#include "agent/state.h"
#include "catalog_model.h"
#include "client/client.h"
#include "disk.h"

#define FIRST_SOCK (1 << 22)
#define NR_CLIENTS 2
#define NR_FILES 4
#define NR_DEEDS 56 /* a bit for each of their values in 64 */
#define NEVER SIZE_MAX

/* the thread that acts: a fence waits for the flushes of its own thread */
enum thread { CLIENT, LOOP = NR_CLIENTS, WORKER };

struct workers {
	struct job *jobs; /* oldest first */
	unsigned nr_running;
};

struct deed {
	enum { WRITE, CUT, MAKE, DELETE } kind;
	unsigned file;
	uint64_t off, len; /* CUT: off is the new size */
	size_t start, end; /* operations recorded when it began and returned */
	bool in_use;	   /* DELETE: some client had it open */
};

/* what the bytes are: of a file that was there, and of the write that is deed i; 0 of nothing */
#define INITIAL(file) (1 + (file))
#define VALUE(i) (1 + NR_FILES + (i))
#define UNNAMED 0xee /* is in no file that has a name */

struct client {
	struct conn *conn;
	struct pmio *pm; /* NULL: not used yet */
	union pmio_any_msg reply;
	int reply_fd;
	bool replied;
};

/* what lives until the power goes */
struct machine {
	struct pmio_pm *pm;
	struct disk *disk;
	struct catalog_model *catalog;
	struct agent *agent;
	struct workers workers;
	struct client client[NR_CLIENTS];
	enum thread thread;
};

extern struct world {
	struct world_params params;
	char dir[64];
	struct machine *machine; /* the running one */
	/* the history that promises come from */
	char path[NR_FILES][64];
	size_t initial[NR_FILES]; /* bytes at the start; NEVER: not there */
	unsigned nr_files;
	struct deed deeds[NR_DEEDS];
	unsigned nr_deeds;
	bool late; /* writes are promised by the next sync */
	struct {
		const char *call;
		unsigned nth;
		void (*fn)(void);
	} during;
	bool inside;	/* of what others do during a call */
	bool gave_up;
	char flaw[512];
} world;

/* what is wrong; the first is kept */
__attribute__((format(printf, 1, 2))) void flaw(const char *fmt, ...);

/* ---- machines, agents, messages (world.c) ---------------------------------------------- */

int call(struct pmio *pm, union pmio_any_msg *msg, int send_fd, union pmio_any_msg *reply, int *fd);
struct pmio *connect_client(unsigned i);
unsigned file_of(const char *path);
void free_machine(struct machine *m);
void kill_agent(struct machine *m);
struct machine *new_machine(struct pmio_pm *pm, struct disk *disk, struct catalog_model *catalog);
void start_agent(bool hold);
void use_machine(struct machine *m);

/* ---- what a file may be after a cut (world_expected.c) --------------------------------- */

void check_disk(const struct disk *disk, size_t cut, const char *where);
void check_read(struct pmio_file *f, size_t cut);

#endif
