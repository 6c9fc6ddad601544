#include "world_impl.h"

#include <errno.h>
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

#include "agent/close.h"
#include "agent/idle.h"
#include "agent/ops.h"
#include "agent/recover.h"
#include "agent/zero_reserve.h"
#include "core/error.h"

struct world world;

/* the test itself cannot go on */
static void must(bool ok)
{
	if (!ok)
		abort();
}

/* ---- flaws -------------------------------------------------------------------------- */

__attribute__((format(printf, 1, 2))) void flaw(const char *fmt, ...)
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

void start_agent(bool hold)
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
void kill_agent(struct machine *m)
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

int call(struct pmio *pm, union pmio_any_msg *msg, int send_fd, union pmio_any_msg *reply, int *fd)
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

struct pmio *connect_client(unsigned i)
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

struct machine *new_machine(struct pmio_pm *pm, struct disk *disk, struct catalog_model *catalog)
{
	struct machine *m = calloc(1, sizeof(*m));

	assert(m);
	m->pm = pm;
	m->disk = disk;
	m->catalog = catalog;
	return m;
}

void use_machine(struct machine *m)
{
	world.machine = m;
	disk_use(m ? m->disk : NULL);
	catalog_model_use(m ? m->catalog : NULL);
}

void free_machine(struct machine *m)
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

unsigned file_of(const char *path)
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

void world_read(struct pmio_file *f)
{
	enum thread before = act_as(f->pm->sock - FIRST_SOCK);

	check_read(f, pmio_pm_record_count(world.machine->pm));
	act_as(before);
}
