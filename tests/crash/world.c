#include "world.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>
#include <utlist.h>

#include "agent/agent.h"
#include "agent/close.h"
#include "agent/conn.h"
#include "agent/file.h"
#include "agent/file_seen.h"
#include "agent/idle.h"
#include "agent/ops.h"
#include "agent/recover.h"
#include "agent/state.h"
#include "agent/zero_reserve.h"
#include "catalog_model.h"
#include "client/client.h"
#include "core/error.h"
#include "disk.h"

#define FIRST_SOCK (1 << 22)
#define NR_CLIENTS 2
#define NR_FILES 4
#define NR_DEEDS 56 /* a bit for each of their values in 64 */
#define NEVER SIZE_MAX
#define OTHERS_SIZE 700
#define OTHERS_VALUE 63

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

static struct {
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

/* the test itself cannot go on */
static void must(bool ok)
{
	if (!ok)
		abort();
}

/* ---- flaws -------------------------------------------------------------------------- */

__attribute__((format(printf, 1, 2))) static void flaw(const char *fmt, ...)
{
	va_list args;

	if (world.flaw[0])
		return; /* what follows from it is of no interest */
	va_start(args, fmt);
	vsnprintf(world.flaw, sizeof(world.flaw), fmt, args);
	va_end(args);
}

/* nothing that happens here is an error, or surprises the agent */
static void take_line(enum pmio_log_level level, const char *line)
{
	if (getenv("WORLD_LOG"))
		fprintf(stderr, "# %s\n", line);
	if (level == PMIO_LOG_ERROR || strstr(line, "was changed on the file system"))
		flaw("logged: %s", line);
}

/* ---- threads and jobs ------------------------------------------------------------------ */

static enum thread act_as(enum thread thread)
{
	struct machine *m = world.machine;
	enum thread before = m->thread;

	m->thread = thread;
	disk_thread(m->disk, thread);
	return before;
}

void job_alive(struct job *job)
{
	(void)job;
}

void job_resting(struct job *job, bool resting)
{
	(void)job, (void)resting;
}

void workers_submit(struct workers *w, struct job *job)
{
	if (job->high_priority)
		DL_PREPEND(w->jobs, job);
	else
		DL_APPEND(w->jobs, job);
}

/* false: there is none */
static bool run_job(void)
{
	struct machine *m = world.machine;
	struct workers *w = &m->workers;
	struct job *job = w->jobs;
	enum thread before;

	if (!job)
		return false;
	DL_DELETE(w->jobs, job);
	before = act_as(WORKER + w->nr_running++);
	job->run(job);
	w->nr_running--;
	act_as(LOOP);
	job->done(m->agent, job);
	act_as(before);
	return true;
}

void world_idle(void)
{
	struct machine *m = world.machine;
	enum thread before;

	do {
		while (run_job())
			;
		before = act_as(LOOP);
		zero_reserve_more(m->agent);
		act_as(before);
	} while (m->workers.jobs);
}

/* ---- the agent ----------------------------------------------------------------------------- */

int world_map(int fd, struct pmio_pm **out)
{
	(void)fd;
	*out = pmio_pm_record_get(world.machine->pm);
	return 0;
}

static void start_agent(bool hold)
{
	static struct pmio_agent_config configs[2] = {
		{ .drain_threads = 1 }, { .drain_threads = 1, .recover_hold = true },
	};
	struct machine *m = world.machine;
	struct agent *a = calloc(1, sizeof(*a));
	int rc;

	assert(a);
	act_as(LOOP);
	a->config = &configs[hold];
	a->workers = &m->workers;
	a->dispatch = ops_dispatch;
	a->idle = files_idle;
	rc = pmio_pool_open(world.dir, &a->pool);
	if (rc < 0) {
		flaw("no pool: %s", pmio_strerror(rc));
		free(a);
		return;
	}
	m->agent = a;
	a->view = pmio_pool_view(a->pool);
	a->client_used = calloc(a->view->nr_clients, 1);
	rc = files_load(a);
	if (rc < 0)
		flaw("files_load: %s", pmio_strerror(rc));
	a->evict_not_before_ms = 0; /* nobody of before is there any more */
	act_as(CLIENT);
}

static void free_client(struct client *c)
{
	if (c->pm) {
		pmio_view_delete(&c->pm->view);
		free(c->pm);
	}
	*c = (struct client){ .pm = NULL };
}

/* it and its clients are gone from one moment to the next: only memory is freed */
static void kill_agent(struct machine *m)
{
	struct agent *a = m->agent;
	struct handle *h, *tmp;
	struct conn *c, *next;

	if (!a)
		return;
	disk_freeze(m->disk, true);
	pmio_pm_record_pause(m->pm, true);
	for (unsigned i = 0; i < NR_CLIENTS; i++)
		free_client(&m->client[i]);
	HASH_ITER(hh, a->handles, h, tmp) {
		HASH_DEL(a->handles, h);
		free(h);
	}
	HASH_ITER(hh, a->conns, c, next) {
		HASH_DEL(a->conns, c);
		conn_free(c);
	}
	m->workers = (struct workers){ .jobs = NULL };
	a->workers = NULL;
	files_free(a);
	pmio_pool_close(&a->pool);
	free(a->client_used);
	free(a);
	m->agent = NULL;
	pmio_pm_record_pause(m->pm, false);
	disk_freeze(m->disk, false);
}

static jmp_buf killed;

static void count_down(void *arg)
{
	if (--*(unsigned *)arg == 0)
		longjmp(killed, 1);
}

void world_kill_in(unsigned nr, void (*fn)(void), bool hold)
{
	static unsigned left;
	struct machine *m = world.machine;

	left = nr;
	pmio_pm_record_watch(m->pm, count_down, &left);
	if (setjmp(killed) == 0)
		fn();
	pmio_pm_record_watch(m->pm, NULL, NULL);
	kill_agent(m);
	start_agent(hold);
}

/* ---- messages --------------------------------------------------------------------------------- */

int world_send(int sock, const union pmio_any_msg *msg, int fd)
{
	struct client *c = &world.machine->client[sock - FIRST_SOCK];

	assert(sock >= FIRST_SOCK && !c->replied);
	memcpy(&c->reply, msg, msg->hdr.size);
	c->reply_fd = fd >= 0 ? disk_dup(fd) : -1;
	c->replied = true;
	return 0;
}

static int call(struct pmio *pm, union pmio_any_msg *msg, int send_fd, union pmio_any_msg *reply, int *fd)
{
	struct machine *m = world.machine;
	struct client *c = &m->client[pm->sock - FIRST_SOCK];
	enum thread before;

	msg->hdr.number = ++pm->number;
	assert(pmio_proto_check_request(msg, msg->hdr.size) == 0);
	before = act_as(LOOP);
	ops_dispatch(m->agent, c->conn, msg, send_fd >= 0 ? disk_dup(send_fd) : -1);
	while (!c->replied && run_job())
		;
	act_as(before);
	if (!c->replied) {
		/* what it waits for may be the very job that we are called from */
		world.gave_up = world.inside && !world.flaw[0];
		flaw("no answer to %s", pmio_op_name(msg->hdr.op));
		return PMIO_EAGENT;
	}
	c->replied = false;
	memcpy(reply, &c->reply, c->reply.hdr.size);
	if (fd)
		*fd = c->reply_fd;
	else if (c->reply_fd >= 0)
		disk_close(c->reply_fd);
	assert(pmio_proto_check_reply(reply, reply->hdr.size, (enum pmio_op)msg->hdr.op, pm->number) == 0);
	return reply->hdr.status;
}

/* in place of lib/client/connect.c */
int client_file_call(struct pmio_file *f, union pmio_any_msg *msg, union pmio_any_msg *reply, int *fd)
{
	msg->handle.handle = f->handle;
	return call(f->pm, msg, -1, reply, fd);
}

int client_pool_call(struct pmio *pm, union pmio_any_msg *msg, int fd, union pmio_any_msg *reply)
{
	return call(pm, msg, fd, reply, NULL);
}

int client_attach(struct pmio_file *f, union pmio_any_msg *msg, union pmio_any_msg *reply)
{
	int fd = -1, rc = call(f->pm, msg, f->pfs_fd, reply, &fd);

	if (rc < 0)
		return rc;
	if (f->pfs_fd < 0)
		f->pfs_fd = fd;
	f->handle = reply->open_reply.handle;
	f->slot = reply->open_reply.slot;
	f->dev = reply->open_reply.dev;
	f->ino = reply->open_reply.ino;
	f->cache_epoch = f->pm->epoch;
	DL_APPEND(f->pm->files, f);
	return 0;
}

int client_detach(struct pmio_file *f, union pmio_any_msg *msg, union pmio_any_msg *reply)
{
	int rc = client_file_call(f, msg, reply, NULL);

	DL_DELETE(f->pm->files, f);
	return rc;
}

void client_present_name(const struct pmio_file *f, char *name)
{
	if (f->pfs_fd < 0 || pmio_pfs_name(f->pfs_fd, name) < 0)
		snprintf(name, PATH_MAX, "%s", f->path);
}

int client_check_epoch(struct pmio_file *f, uint64_t *epoch)
{
	*epoch = f->pm->epoch;
	return 0;
}

static struct pmio *connect_client(unsigned i)
{
	struct machine *m = world.machine;
	struct client *c = &m->client[i];
	union pmio_any_msg msg, reply;
	int rc;

	if (c->pm)
		return c->pm;
	c->pm = calloc(1, sizeof(*c->pm));
	c->conn = calloc(1, sizeof(*c->conn));
	assert(c->pm && c->conn);
	c->conn->id = ++m->agent->next_conn;
	c->conn->sock = c->pm->sock = FIRST_SOCK + (int)i;
	c->pm->pid = getpid();
	c->conn->client = c->conn->pid_fd = -1;
	HASH_ADD(hh, m->agent->conns, id, sizeof(c->conn->id), c->conn);
	pthread_mutex_init(&c->pm->lock, NULL);
	pthread_mutex_init(&c->pm->intent_lock, NULL);
	pmio_proto_request(&msg, PMIO_OP_HELLO, 0);
	rc = call(c->pm, &msg, -1, &reply, NULL);
	must(rc == 0 && pmio_view_new(pmio_pm_record_get(m->pm), "world", &c->pm->view) == 0);
	c->pm->client = reply.hello_reply.client;
	c->pm->epoch = reply.hello_reply.epoch;
	return c->pm;
}

/* ---- the life of a machine ---------------------------------------------------------------------- */

static struct machine *new_machine(struct pmio_pm *pm, struct disk *disk, struct catalog_model *catalog)
{
	struct machine *m = calloc(1, sizeof(*m));

	assert(m);
	m->pm = pm;
	m->disk = disk;
	m->catalog = catalog;
	return m;
}

static void use_machine(struct machine *m)
{
	world.machine = m;
	disk_use(m ? m->disk : NULL);
	catalog_model_use(m ? m->catalog : NULL);
}

static void free_machine(struct machine *m)
{
	kill_agent(m);
	disk_delete(&m->disk);
	catalog_model_delete(&m->catalog);
	pmio_pm_unmap(&m->pm);
	free(m);
}

static void make_file(const char *name, size_t size)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", world.dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	must(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	close(fd);
}

void world_begin(const struct world_params *p)
{
	const struct pmio_view_params view = {
		.chunk_size = WORLD_CHUNK, .nr_slots = p->nr_slots, .nr_clients = NR_CLIENTS,
	};
	size_t size = (2u << 20) + (size_t)p->nr_frames * WORLD_CHUNK;
	struct pmio_pm *pm = pmio_pm_record_new(size);
	static unsigned nr_worlds;

	memset(&world, 0, sizeof(world));
	world.params = *p;
	disk_tell_births(nr_worlds++ & 1);
	must(pm && pmio_view_format(pm, &view) == 0);
	/* its lock and checks want a real one */
	snprintf(world.dir, sizeof(world.dir), "/tmp/pmio-crash.XXXXXX");
	must(mkdtemp(world.dir) != NULL);
	make_file("data", size);
	pmio_log_set_handler(take_line);
	pmio_log_set_level(PMIO_LOG_INFO);
	use_machine(new_machine(pm, disk_new(pm), catalog_model_new(pm, p->nr_slots)));
}

void world_end(void)
{
	char path[128];

	free_machine(world.machine);
	use_machine(NULL);
	snprintf(path, sizeof(path), "%s/data", world.dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/lock", world.dir);
	unlink(path);
	rmdir(world.dir);
	pmio_log_set_handler(NULL);
}

static unsigned file_of(const char *path)
{
	for (unsigned i = 0; i < world.nr_files; i++)
		if (strcmp(world.path[i], path) == 0)
			return i;
	assert(world.nr_files < NR_FILES);
	snprintf(world.path[world.nr_files], sizeof(world.path[0]), "%s", path);
	world.initial[world.nr_files] = NEVER;
	return world.nr_files++;
}

void world_put(const char *path, size_t len)
{
	unsigned file = file_of(path);

	world.initial[file] = len;
	disk_put(world.machine->disk, path, len, (uint8_t)INITIAL(file));
}

static void start_recording(struct machine *m)
{
	pmio_pm_record_reset(m->pm);
	disk_reset(m->disk);
	catalog_model_reset(m->catalog);
}

void world_start(void)
{
	start_agent(false);
	assert(world.machine->agent);
	start_recording(world.machine);
}

/* ---- deeds -------------------------------------------------------------------------------------- */

static struct deed *begin(struct deed d)
{
	assert(world.nr_deeds < NR_DEEDS);
	d.start = pmio_pm_record_count(world.machine->pm);
	d.end = NEVER;
	world.deeds[world.nr_deeds] = d;
	return &world.deeds[world.nr_deeds++];
}

static void returned(struct deed *d, ssize_t rc)
{
	if (d && (d->kind != WRITE || !world.late))
		d->end = pmio_pm_record_count(world.machine->pm);
	if (rc < 0)
		flaw("deed %d of %s: %s", d ? (int)(d - world.deeds) : -1, d ? world.path[d->file] : "no name",
		     pmio_strerror((int)rc));
}

struct pmio_file *world_open(unsigned client, const char *path, uint32_t flags)
{
	struct client_open how = { .flags = flags, .mode = 0644 };
	enum thread before = act_as(client);
	struct pmio *pm = connect_client(client);
	struct deed *d = NULL;
	struct pmio_file *f;
	struct stat st;
	int rc;

	if ((flags & PMIO_OPEN_CREATE) && !disk_look(world.machine->disk, path, &st))
		d = begin((struct deed){ .kind = MAKE, .file = file_of(path) });
	rc = client_open(pm, path, &how, &f);
	if (d)
		returned(d, rc);
	else if (rc < 0)
		flaw("open %s: %s", path, pmio_strerror(rc));
	act_as(before);
	return f;
}

/* a sync or close returned: writes that found no room in the pool are promised, too */
static void synced(unsigned file)
{
	for (unsigned i = 0; i < world.nr_deeds && world.late; i++) {
		struct deed *d = &world.deeds[i];

		if (d->file == file && d->kind == WRITE && d->end == NEVER)
			d->end = pmio_pm_record_count(world.machine->pm);
	}
}

void world_promise_late(void)
{
	world.late = true;
}

static bool is_open(unsigned file)
{
	const struct handle *h = world.machine->agent->handles;

	while (h && strcmp(h->file->path, world.path[file]) != 0)
		h = h->hh.next;
	return h;
}

/*
 * Its name leads to it.  A file whose name is gone, or another's by now, lives on for
 * those that have it open, but nothing of it may be left by a cut: what is done to it
 * is no deed.
 */
static bool is_named(const struct pmio_file *f)
{
	struct stat st;

	return disk_look(world.machine->disk, f->path, &st) && st.st_ino == f->ino;
}

static void close_with(struct pmio_file **f, int (*fn)(struct pmio_file **f))
{
	enum thread before = act_as((*f)->pm->sock - FIRST_SOCK);
	unsigned file = file_of((*f)->path);
	bool named = is_named(*f);
	int rc = fn(f);

	if (rc < 0)
		flaw("close: %s", pmio_strerror(rc));
	if (named && !is_open(file)) /* it was the last close */
		synced(file);
	act_as(before);
}

void world_close(struct pmio_file **f)
{
	close_with(f, pmio_close);
}

void world_discard(struct pmio_file **f)
{
	struct deed *d = is_named(*f) ? begin((struct deed){ .kind = DELETE, .file = file_of((*f)->path) }) : NULL;

	close_with(f, pmio_close_discard);
	returned(d, 0);
}

void world_write(struct pmio_file *f, uint64_t off, size_t len)
{
	struct deed *d = is_named(f) ? begin((struct deed){
		.kind = WRITE, .file = file_of(f->path), .off = off, .len = len }) : NULL;
	enum thread before = act_as(f->pm->sock - FIRST_SOCK);
	uint8_t *buf = malloc(len);

	assert(buf);
	memset(buf, d ? VALUE((int)(d - world.deeds)) : UNNAMED, len);
	returned(d, pmio_pwrite(f, buf, len, (off_t)off));
	free(buf);
	act_as(before);
}

void world_truncate(struct pmio_file *f, uint64_t size)
{
	struct deed *d = is_named(f) ? begin((struct deed){ .kind = CUT, .file = file_of(f->path), .off = size })
				     : NULL;
	enum thread before = act_as(f->pm->sock - FIRST_SOCK);

	returned(d, pmio_truncate(f, (off_t)size));
	act_as(before);
}

void world_grow(struct pmio_file *f, uint64_t size)
{
	struct deed *d = is_named(f) ? begin((struct deed){ .kind = CUT, .file = file_of(f->path), .off = size })
				     : NULL;
	enum thread before = act_as(f->pm->sock - FIRST_SOCK);
	uint64_t now = size;

	returned(d, client_grow(f, &now, 0));
	if (now != size)
		flaw("grow: the size is %" PRIu64 ", not %" PRIu64, now, size);
	act_as(before);
}

static void do_with(struct pmio_file *f, const char *what, int (*fn)(struct pmio_file *f))
{
	enum thread before = act_as(f->pm->sock - FIRST_SOCK);
	int rc = fn(f);

	if (rc < 0)
		flaw("%s: %s", what, pmio_strerror(rc));
	if (is_named(f))
		synced(file_of(f->path));
	act_as(before);
}

void world_sync(struct pmio_file *f)
{
	do_with(f, "sync", pmio_sync);
}

void world_drain(struct pmio_file *f)
{
	do_with(f, "drain", pmio_drain);
}

static bool is_known(const char *path)
{
	struct file *f = world.machine->agent->files;

	while (f && strcmp(f->path, path) != 0)
		f = f->hh.next;
	return f;
}

bool world_has(const char *path)
{
	struct stat st;

	return disk_look(world.machine->disk, path, &st);
}

static bool anybody_has(const char *path)
{
	const struct pmio_file *f;

	for (size_t i = 0; i < sizeof(world.machine->client) / sizeof(world.machine->client[0]); i++) {
		const struct pmio *pm = world.machine->client[i].pm;

		for (f = pm ? pm->files : NULL; f; f = f->next) {
			if (strcmp(f->path, path) == 0)
				return true;
		}
	}
	return false;
}

void world_delete(unsigned client, const char *path)
{
	bool known = is_known(path);
	struct deed *d = begin((struct deed){ .kind = DELETE, .file = file_of(path), .in_use = anybody_has(path) });
	enum thread before = act_as(client);

	returned(d, pmio_delete(connect_client(client), path));
	if (!known)
		d->end = NEVER; /* none of the agent's business: it may come back, but whole */
	act_as(before);
}

static void hook(const char *call_name)
{
	void (*fn)(void) = world.during.fn;
	enum thread before;

	if (!fn || strcmp(call_name, world.during.call) != 0 || --world.during.nth > 0)
		return;
	world.during.fn = NULL;
	before = world.machine->thread;
	world.inside = true;
	fn();
	world.inside = false;
	act_as(before);
}

bool world_gave_up(void)
{
	return world.gave_up;
}

void world_during(const char *call_name, unsigned nth, void (*fn)(void))
{
	world.during.call = call_name;
	world.during.nth = nth;
	world.during.fn = fn;
	disk_set_hook(hook);
}

/* ---- what a file may be after a cut ---------------------------------------------------------------- */

/* of those deeds that had not returned and are done whole or not at all, which are done: a bit each */
struct outcome {
	size_t cut;
	unsigned done;
};

enum effect { NOT_DONE, IN_PART, DONE };

static bool is_whole_or_not(const struct deed *d)
{
	return d->kind == CUT || d->kind == DELETE;
}

static enum effect effect(const struct deed *d, const struct outcome *o, unsigned *nth)
{
	if (d->start >= o->cut)
		return NOT_DONE;
	if (d->end <= o->cut)
		return DONE;
	if (is_whole_or_not(d))
		return o->done >> (*nth)++ & 1 ? DONE : NOT_DONE;
	return IN_PART;
}

static unsigned nr_outcomes(unsigned file, size_t cut)
{
	unsigned nr = 1;

	for (unsigned i = 0; i < world.nr_deeds; i++) {
		const struct deed *d = &world.deeds[i];

		if (d->file == file && is_whole_or_not(d) && d->start < cut && d->end > cut)
			nr *= 2;
	}
	return nr;
}

struct expected {
	uint64_t least, most; /* bytes */
	bool may_be, must_be; /* there */
};

static struct expected expect_size(unsigned file, const struct outcome *o)
{
	bool there = world.initial[file] != NEVER;
	struct expected x = { .may_be = there, .must_be = there };
	unsigned nth = 0;

	if (there)
		x.least = x.most = world.initial[file];
	for (unsigned i = 0; i < world.nr_deeds; i++) {
		const struct deed *d = &world.deeds[i];
		enum effect e = d->file == file ? effect(d, o, &nth) : NOT_DONE;
		uint64_t end = d->off + d->len;

		if (e == NOT_DONE)
			continue;
		if (d->kind == WRITE) {
			if (e == DONE && x.least < end)
				x.least = end;
			if (x.most < end)
				x.most = end;
		} else if (d->kind == CUT) {
			x.least = x.most = d->off;
		} else if (d->kind == DELETE || e == DONE || !x.may_be) { /* else the old one's going was lost */
			x = (struct expected){ .may_be = d->kind == MAKE,
					       .must_be = d->kind == MAKE && e == DONE };
		}
	}
	return x;
}

/* what the byte at off may be: a bit for each value; *end: the same up to there */
static uint64_t expect_byte(unsigned file, const struct outcome *o, uint64_t off, uint64_t *end)
{
	bool there = world.initial[file] != NEVER;
	uint64_t values = 1;
	unsigned nth = 0;

#define UP_TO(n) (*end = (n) > off && (n) < *end ? (n) : *end)
	if (world.initial[file] != NEVER) {
		if (off < world.initial[file])
			values = 1ULL << INITIAL(file);
		UP_TO(world.initial[file]);
	}
	for (unsigned i = 0; i < world.nr_deeds; i++) {
		const struct deed *d = &world.deeds[i];
		enum effect e = d->file == file ? effect(d, o, &nth) : NOT_DONE;

		if (e == NOT_DONE)
			continue;
		UP_TO(d->off);
		UP_TO(d->off + d->len);
		if (d->kind == DELETE || (d->kind == MAKE && (e == DONE || !there))) {
			there = d->kind == MAKE;
			values = 1;
		} else if (d->kind == CUT) {
			if (off >= d->off)
				values = 1;
		} else if (d->kind == WRITE && off >= d->off && off < d->off + d->len) {
			values = 1ULL << VALUE(i) | (e == DONE ? 0 : values);
		}
	}
#undef UP_TO
	return values;
}

static bool check_bytes(unsigned file, const struct outcome *o, const uint8_t *bytes, uint64_t size,
			char *why, size_t len)
{
	for (uint64_t off = 0, end; off < size; off = end) {
		uint64_t values, at = off;

		end = size;
		values = expect_byte(file, o, off, &end);
		while (at < end && bytes[at] < 64 && (values >> bytes[at] & 1))
			at++;
		if (at == end)
			continue;
		snprintf(why, len, "byte %llu is %u, not one of %#llx", (unsigned long long)at, bytes[at],
			 (unsigned long long)values);
		return false;
	}
	return true;
}

static bool check_outcome(unsigned file, const struct outcome *o, const uint8_t *bytes, uint64_t size,
			  char *why, size_t len)
{
	struct expected x = expect_size(file, o);

	if (!bytes) {
		snprintf(why, len, "it is not there");
		return !x.must_be;
	}
	if (!x.may_be) {
		snprintf(why, len, "it is there");
		return false;
	}
	if (size < x.least || size > x.most) {
		snprintf(why, len, "its size is %llu, not %llu..%llu", (unsigned long long)size,
			 (unsigned long long)x.least, (unsigned long long)x.most);
		return false;
	}
	return check_bytes(file, o, bytes, size, why, len);
}

/* bytes: NULL: the file is not there */
static void check_file(unsigned file, size_t cut, const uint8_t *bytes, uint64_t size, const char *where)
{
	struct outcome o = { .cut = cut };
	char why[400];
	size_t n = 0;

	for (unsigned nr = nr_outcomes(file, cut); o.done < nr; o.done++) {
		if (check_outcome(file, &o, bytes, size, why + n, sizeof(why) - n))
			return;
		if (o.done + 1 < nr && n < sizeof(why) / 2)
			n = strlen(strcat(why, ", or "));
	}
	flaw("%s, %s: %s", world.path[file], where, why);
}

static void check_disk(const struct disk *disk, size_t cut, const char *where)
{
	struct stat st = { .st_size = 0 };

	for (unsigned i = 0; i < world.nr_files; i++) {
		const uint8_t *bytes = disk_look(disk, world.path[i], &st);

		check_file(i, cut, bytes, bytes ? (uint64_t)st.st_size : 0, where);
	}
}

static void check_read(struct pmio_file *f, size_t cut)
{
	off_t size = 0;
	uint8_t *bytes;
	ssize_t n;

	pmio_size(f, &size);
	bytes = malloc((size_t)size + 1);
	assert(bytes);
	n = pmio_pread(f, bytes, (size_t)size + 1, 0);
	if (n != size)
		flaw("%s: read %zd of %lld bytes", f->path, n, (long long)size);
	else
		check_file(file_of(f->path), cut, bytes, (uint64_t)size, "read");
	free(bytes);
}

void world_read(struct pmio_file *f)
{
	enum thread before = act_as(f->pm->sock - FIRST_SOCK);

	check_read(f, pmio_pm_record_count(world.machine->pm));
	act_as(before);
}

/* ---- looking at what a cut has left ------------------------------------------------------------------ */

struct chooser {
	uint64_t bits;	 /* if there are few choices */
	bool drawn;	 /* else */
	uint64_t random;
};

static bool survives(void *arg)
{
	struct chooser *c = arg;
	bool bit;

	if (!c->drawn) {
		bit = c->bits & 1;
		c->bits >>= 1;
		return bit;
	}
	c->random ^= c->random << 13;
	c->random ^= c->random >> 7;
	c->random ^= c->random << 17;
	return c->random >> 40 & 1;
}

static bool never_survives(void *arg)
{
	(void)arg;
	return false;
}

static void read_all(size_t cut)
{
	struct stat st;

	for (unsigned i = 0; i < world.nr_files && !world.flaw[0]; i++) {
		struct pmio_file *f;

		if (!disk_look(world.machine->disk, world.path[i], &st))
			continue;
		f = world_open(0, world.path[i], PMIO_OPEN_READ);
		if (!f)
			return;
		check_read(f, cut);
		world_close(&f);
	}
}

/* what waits, because that was asked for */
static void drain_all(void)
{
	struct agent *a = world.machine->agent;
	union pmio_any_msg msg, reply;
	struct file *f, *tmp;

	HASH_ITER(hh, a->files, f, tmp) {
		int rc;

		if (f->state == PMIO_FILE_CLEAN)
			continue;
		pmio_proto_request(&msg, PMIO_OP_DRAIN, 0);
		msg.drain.slot = f->slot;
		msg.drain.generation = pmio_pm_load64(&a->view->slots[f->slot].generation);
		rc = call(connect_client(0), &msg, -1, &reply, NULL);
		if (rc < 0)
			flaw("drain of slot %u: %s", msg.drain.slot, pmio_strerror(rc));
	}
}

/* what the catalog calls clean would survive another cut, and be taken for the same */
static void check_durable(size_t cut)
{
	struct machine *m = world.machine;
	struct disk *after = disk_cut(m->disk, pmio_pm_record_count(m->pm), never_survives, NULL, m->pm);
	struct stat st;

	check_disk(after, cut, "durable");
	for (struct file *f = m->agent->files; f; f = f->hh.next) {
		if (f->state != PMIO_FILE_CLEAN)
			flaw("%s: not clean, but state %d, error %d", f->path, (int)f->state, f->error);
		else if (!files_is_stale(f) && (!disk_look(after, f->path, &st) || !files_same_as_seen(f, &st)))
			flaw("%s: clean, but not durable", f->path);
	}
	disk_delete(&after);
}

static void check_frames(void)
{
	struct agent *a = world.machine->agent;
	uint64_t nr = pmio_pool_frames_free(a->pool);

	for (struct file *f = a->files; f; f = f->hh.next)
		nr += HASH_COUNT(f->chunks) - f->nr_pfs_chunks;
	if (nr != a->view->nr_frames)
		flaw("%llu frames, not %llu", (unsigned long long)nr, (unsigned long long)a->view->nr_frames);
}

/*
 * A file that others have open while it is deleted may change until the power goes, so that nothing
 * tells it from a later one with its inode's number: known, and left (design.md).
 */
static bool may_be_taken_for_it(unsigned file, size_t cut)
{
	for (unsigned i = 0; i < world.nr_deeds; i++) {
		const struct deed *d = &world.deeds[i];

		if (d->kind == DELETE && d->file == file && d->in_use && d->start <= cut && d->end > cut)
			return true;
	}
	return false;
}

/* somebody makes other files of the names that are free: they are none of ours */
static unsigned put_others(bool put, size_t cut)
{
	struct stat st;
	unsigned put_there = 0;

	for (unsigned i = 0; put && i < world.nr_files; i++) {
		if (disk_look(world.machine->disk, world.path[i], &st) || may_be_taken_for_it(i, cut))
			continue;
		disk_put(world.machine->disk, world.path[i], OTHERS_SIZE, OTHERS_VALUE);
		put_there |= 1u << i;
	}
	return put_there;
}

/* they are as they were; and then they go, for what follows */
static void take_others(unsigned put_there)
{
	int dir = disk_open(DISK_DIR, O_RDONLY);
	struct stat st;

	for (unsigned i = 0; i < world.nr_files; i++) {
		const uint8_t *bytes = disk_look(world.machine->disk, world.path[i], &st);

		if (!(put_there >> i & 1))
			continue;
		if (!bytes || st.st_size != OTHERS_SIZE || bytes[0] != OTHERS_VALUE)
			flaw("%s: a file of somebody else was changed", world.path[i]);
		else
			disk_unlink(world.path[i]);
	}
	disk_fsync(dir);
	disk_close(dir);
}

static void look_after(size_t cut, bool hold, bool with_others)
{
	unsigned others = put_others(with_others, cut);

	start_agent(hold);
	if (world.flaw[0])
		return;
	world_idle();
	if (hold && !others && world.params.nr_slots >= world.nr_files) /* for what waits makes no room */
		read_all(cut);
	drain_all();
	world_idle();
	if (others)
		take_others(others);
	check_disk(world.machine->disk, cut, "drained");
	check_durable(cut);
	read_all(cut);
	world_idle();
	check_frames();
}

struct looker {
	const struct world_limits *limits;
	struct machine *m;
	unsigned depth;
	size_t first_cut, last_cut; /* depth > 0: the promises are those of first_cut */
	unsigned nr_choices;	    /* at last_cut */
	unsigned long every; /* looked at is one of so many images */
	unsigned long nr_looks;
	uint64_t random;
	unsigned long *nr;
};

static int look_at_image(const void *image, size_t size, size_t cut, void *arg);

static void look_nested(struct looker *l, struct machine *m, size_t cut)
{
	struct world_limits few = { .images = 2, .variants = 2, .seed = l->limits->seed };
	size_t cuts = pmio_pm_record_count(m->pm);
	struct looker inner = { .limits = &few, .m = m, .depth = 1, .first_cut = cut,
				.every = cuts / 25 + 1, .random = *l->nr, .nr = l->nr };

	if (l->depth > 0 || l->limits->nested == 0 || ++l->nr_looks % l->limits->nested)
		return;
	pmio_pm_record_images(m->pm, few.images, few.seed, look_at_image, &inner);
}

static void look_at_variant(struct looker *l, const void *image, size_t cut, struct chooser *c)
{
	size_t promised = l->depth ? l->first_cut : cut;
	struct pmio_pm *pm = pmio_pm_record_like(l->m->pm, image);
	struct machine *m = new_machine(pm, disk_cut(l->m->disk, cut, survives, c, pm),
					catalog_model_cut(l->m->catalog, cut, pm));
	bool with_others;

	use_machine(m);
	++*l->nr;
	with_others = l->depth == 0 && *l->nr % 3 == 0;
	look_after(promised, *l->nr % 4 == 0, with_others);
	kill_agent(m);
	if (!world.flaw[0] && !with_others)
		look_nested(l, m, promised);
	free_machine(m);
	use_machine(l->m);
}

static int look_at_image(const void *image, size_t size, size_t cut, void *arg)
{
	struct looker *l = arg;
	unsigned variants = l->limits->variants;
	bool few;

	(void)size;
	l->random = l->random * 6364136223846793005ULL + 1442695040888963407ULL;
	if ((l->random >> 33) % l->every)
		return 0;
	if (cut != l->last_cut)
		l->nr_choices = disk_choices(l->m->disk, cut);
	l->last_cut = cut;
	few = l->nr_choices < 16 && 1u << l->nr_choices <= variants;
	if (few)
		variants = 1u << l->nr_choices;
	for (unsigned i = 0; i < variants && !world.flaw[0]; i++) {
		struct chooser c = { .bits = i == 1 && !few ? ~0ULL : i, .drawn = i > 1 && !few };

		c.random = l->limits->seed * 0x9e3779b97f4a7c15ULL + cut * 64 + i + 1;
		look_at_variant(l, image, cut, &c);
		if (world.flaw[0] && l->depth == 0) {
			size_t n = strlen(world.flaw);

			snprintf(world.flaw + n, sizeof(world.flaw) - n, " (cut %zu, look %lu)", cut, *l->nr);
		}
	}
	return world.flaw[0] != '\0';
}

static int count_image(const void *image, size_t size, size_t cut, void *arg)
{
	(void)image, (void)size, (void)cut;
	++*(unsigned long *)arg;
	return 0;
}

static void show_deeds(void)
{
	static const char *const kinds[] = { "write", "cut", "make", "delete" };

	for (unsigned i = 0; i < world.nr_deeds; i++) {
		const struct deed *d = &world.deeds[i];

		fprintf(stderr, "# deed %u: %s %s %llu %llu, operations %zu to %zd\n", i, kinds[d->kind],
			world.path[d->file], (unsigned long long)d->off, (unsigned long long)d->len,
			d->start, (ssize_t)d->end);
	}
}

const char *world_cut(const struct world_limits *limits, unsigned long *nr)
{
	struct looker l = { .limits = limits, .m = world.machine, .every = 1,
			    .random = limits->seed, .nr = nr };
	struct pmio_pm *pm = world.machine->pm;
	unsigned long images = 0;

	if (!world.flaw[0])
		world_idle();
	disk_set_hook(NULL);
	world.late = false; /* what looks does changes no promise */
	pmio_pm_record_mark(pm); /* a cut when all is over */
	kill_agent(world.machine);
	if (world.flaw[0])
		return world.flaw;
	pmio_pm_record_images(pm, limits->images, limits->seed, count_image, &images);
	if (images * limits->variants > limits->looks)
		l.every = (images * limits->variants + limits->looks - 1) / limits->looks;
	pmio_pm_record_images(pm, limits->images, limits->seed, look_at_image, &l);
	if (world.flaw[0] && getenv("WORLD_LOG"))
		show_deeds();
	return world.flaw[0] ? world.flaw : NULL;
}
