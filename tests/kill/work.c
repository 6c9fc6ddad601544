/*
 * work.c -- see work.h
 */
#include "work.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pmio.h"

#define SHARED_FILES 3
#define CELLS 40
#define CELL 90001	/* bytes; ends in mid-block */
#define RECORD 70001	/* bytes, of private files */
#define RECORDS_MAX 40
#define WORKER_LIMIT_S 60 /* for one operation */

/* version `done` has returned; if `begun` is another one, it is under way; `drained` is on the PFS */
struct cell {
	uint32_t begun, done, drained;
};

enum doing { NOTHING, APPEND, CUT, REMOVE };

/* a private file: `generation` of the name; 0 records and !exists: there is none */
struct private {
	uint32_t doing;
	uint32_t generation, nr;
	uint32_t target;	/* CUT: records that stay */
	uint32_t exists;
	uint32_t kept;		/* records that are on the PFS */
};

struct ledger {
	struct cell cells[SHARED_FILES][CELLS];
	struct private private[WORKERS_MAX];
	_Atomic uint64_t operations;
};

static struct ledger *ledger;
static _Atomic int *stop; /* not in the ledger: it is of this run alone */
static struct work work;
static uint8_t buf[CELL > RECORD ? CELL : RECORD];

void work_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "process %d: ", (int)getpid());
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(EXIT_WRONG);
}

static void good(long rc, const char *what)
{
	if (rc < 0)
		work_fail("%s: %s", what, pmio_strerror((int)rc));
}

static uint64_t rng;

unsigned work_draw(unsigned n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (unsigned)((rng >> 11) % n);
}

void work_seed_rng(uint64_t s)
{
	rng = s * 0x9E3779B97F4A7C15u + 1;
	work_draw(2);
}

static uint8_t pattern(uint64_t id, uint32_t version, size_t i)
{
	uint64_t x = (id << 32 | version) * 0x9E3779B97F4A7C15u + i / 8 * 0xBF58476D1CE4E5B9u;

	return version ? (uint8_t)((x ^ x >> 29) >> (8 * (i % 8))) : 0;
}

static uint64_t cell_id(unsigned file, unsigned cell)
{
	return file * CELLS + cell;
}

static uint64_t private_id(unsigned worker, unsigned record)
{
	return (1 + worker) * 1000 + record;
}

static void shared_name(unsigned file, char *name, size_t size)
{
	snprintf(name, size, "%s/shared.%u", work.dir, file);
}

static void private_name(unsigned worker, char *name, size_t size)
{
	snprintf(name, size, "%s/private.%u", work.dir, worker);
}

/* ---- looking: the same through pmio and in plain files ----------------------------- */

struct source {
	struct pmio_file *file;
	int fd;	/* if file is NULL */
	const char *name;
};

static size_t read_at(const struct source *s, size_t len, uint64_t off)
{
	ssize_t n = s->file ? pmio_pread(s->file, buf, len, (off_t)off) : pread(s->fd, buf, len, (off_t)off);

	if (n < 0)
		work_fail("read %s: %s", s->name, s->file ? pmio_strerror((int)n) : strerror(errno));
	return (size_t)n;
}

static uint64_t size_of(const struct source *s)
{
	struct stat st;
	off_t size = 0;

	if (s->file) {
		good(pmio_size(s->file, &size), s->name);
		return (uint64_t)size;
	}
	if (fstat(s->fd, &st) < 0)
		work_fail("%s: %s", s->name, strerror(errno));
	return (uint64_t)st.st_size;
}

/* what is behind the file's end counts as zeros: nobody may have written there yet */
static void check_cell(const struct source *s, unsigned file, unsigned nr, bool in_flight)
{
	const struct cell *c = &ledger->cells[file][nr];
	uint64_t id = cell_id(file, nr);
	size_t n = read_at(s, CELL, (uint64_t)nr * CELL);

	memset(buf + n, 0, CELL - n);
	for (size_t i = 0; i < CELL; i++) {
		uint8_t old = pattern(id, c->done, i), new = pattern(id, c->begun, i);

		if (buf[i] != old && !(in_flight && buf[i] == new))
			work_fail("%s: cell %u, byte %zu of %d (%zu read): is %#x; version %u has %#x, and %u, "
			     "which was %s, %#x", s->name, nr, i, CELL, n, buf[i], c->done, old, c->begun,
			     in_flight ? "under way" : "not", new);
	}
}

static void check_records(const struct source *s, unsigned worker, unsigned nr)
{
	const struct private *p = &ledger->private[worker];

	for (unsigned r = 0; r < nr; r++) {
		size_t n = read_at(s, RECORD, (uint64_t)r * RECORD);

		for (size_t i = 0; i < RECORD; i++) {
			uint8_t want = pattern(private_id(worker, r), p->generation, i);

			if (i >= n || buf[i] != want)
				work_fail("%s, generation %u: record %u of %u, byte %zu (%zu read): is %#x, should "
				     "be %#x", s->name, p->generation, r, nr, i, n, i < n ? buf[i] : 0, want);
		}
	}
}

/* of a record that was being appended: bytes of it, or zeros */
static void check_half_record(const struct source *s, unsigned worker)
{
	const struct private *p = &ledger->private[worker];
	size_t n = read_at(s, RECORD, (uint64_t)p->nr * RECORD);

	for (size_t i = 0; i < n; i++) {
		if (buf[i] && buf[i] != pattern(private_id(worker, p->nr), p->generation, i))
			work_fail("%s: byte %zu of record %u, which was under way: is %#x", s->name, i, p->nr, buf[i]);
	}
}

static void check_private(const struct source *s, unsigned worker)
{
	const struct private *p = &ledger->private[worker];
	uint64_t size = size_of(s), whole = (uint64_t)p->nr * RECORD;
	bool was_cut = p->doing == CUT && size == (uint64_t)p->target * RECORD;

	if (p->doing == APPEND ? size < whole || size > whole + RECORD : size != whole && !was_cut)
		work_fail("%s: size is %llu; %u records are %llu (doing %u, to %u)", s->name,
		     (unsigned long long)size, p->nr, (unsigned long long)whole, p->doing, p->target);
	check_records(s, worker, was_cut ? p->target : p->nr);
	if (p->doing == APPEND)
		check_half_record(s, worker);
}

/* ---- a worker ---------------------------------------------------------------------------- */

static struct pmio *pm;
static struct pmio_file *shared[SHARED_FILES], *own;
static unsigned me;

static void open_shared(unsigned file)
{
	char name[512];

	shared_name(file, name, sizeof(name));
	good(pmio_open(pm, name, O_RDWR | O_CREAT, 0644, &shared[file]), "open");
}

static void open_own(void)
{
	struct private *p = &ledger->private[me];
	char name[512];

	private_name(me, name, sizeof(name));
	good(pmio_open(pm, name, O_RDWR | O_CREAT, 0644, &own), "open");
	p->exists = 1;
}

static unsigned my_cell(void)
{
	return work_draw(CELLS / work.nr_workers) * work.nr_workers + me;
}

static void write_cell(unsigned file, unsigned nr)
{
	struct cell *c = &ledger->cells[file][nr];
	uint32_t version = c->begun + 1;

	for (size_t i = 0; i < CELL; i++)
		buf[i] = pattern(cell_id(file, nr), version, i);
	*(volatile uint32_t *)&c->begun = version;
	good(pmio_pwrite(shared[file], buf, CELL, (off_t)nr * CELL), "write");
	*(volatile uint32_t *)&c->done = version;
}

static void look_at_cell(unsigned file, unsigned nr, bool in_flight)
{
	struct source s = { .file = shared[file], .name = "shared file" };

	check_cell(&s, file, nr, in_flight);
}

static void look_at_own(void)
{
	struct source s = { .file = own, .name = "private file" };

	check_private(&s, me);
}

static void append(void)
{
	struct private *p = &ledger->private[me];

	for (size_t i = 0; i < RECORD; i++)
		buf[i] = pattern(private_id(me, p->nr), p->generation, i);
	*(volatile uint32_t *)&p->doing = APPEND;
	good(pmio_pwrite(own, buf, RECORD, (off_t)p->nr * RECORD), "append");
	*(volatile uint32_t *)&p->nr = p->nr + 1;
	*(volatile uint32_t *)&p->doing = NOTHING;
}

static void cut(unsigned nr)
{
	struct private *p = &ledger->private[me];

	p->target = nr;
	if (p->kept > nr)
		*(volatile uint32_t *)&p->kept = nr;
	*(volatile uint32_t *)&p->doing = CUT;
	good(pmio_truncate(own, (off_t)nr * RECORD), "truncate");
	*(volatile uint32_t *)&p->nr = nr;
	*(volatile uint32_t *)&p->doing = NOTHING;
}

static void begin_generation(void)
{
	struct private *p = &ledger->private[me];

	p->exists = 0;
	p->nr = 0;
	*(volatile uint32_t *)&p->generation = p->generation + 1;
	*(volatile uint32_t *)&p->doing = NOTHING;
	open_own();
}

static void remove_own(void)
{
	char name[512];

	private_name(me, name, sizeof(name));
	*(volatile uint32_t *)&ledger->private[me].kept = 0;
	*(volatile uint32_t *)&ledger->private[me].doing = REMOVE;
	good(pmio_close(&own), "close");
	good(pmio_delete(pm, name), "delete");
	begin_generation();
}

/* nobody else has it open, so it is drained */
static void close_own(void)
{
	good(pmio_close(&own), "close");
	*(volatile uint32_t *)&ledger->private[me].kept = ledger->private[me].nr;
}

static void drain_shared(unsigned file)
{
	good(pmio_drain(shared[file]), "drain");
	for (unsigned nr = me; nr < CELLS / work.nr_workers * work.nr_workers; nr += work.nr_workers) {
		struct cell *c = &ledger->cells[file][nr];

		*(volatile uint32_t *)&c->drained = c->done;
	}
}

static void step(void)
{
	struct private *p = &ledger->private[me];
	unsigned what = work_draw(100), file = work_draw(SHARED_FILES), nr = my_cell();

	if (what < 50) {
		write_cell(file, nr);
	} else if (what < 65) {
		look_at_cell(file, nr, false);
	} else if (what < 80 && p->nr < RECORDS_MAX) {
		append();
	} else if (what < 83) {
		look_at_own();
	} else if (what < 87) {
		cut(work_draw(p->nr + 1));
	} else if (what < 90) {
		remove_own();
	} else if (what < 93) {
		close_own();
		open_own();
	} else if (what < 96) {
		good(pmio_close(&shared[file]), "close");
		open_shared(file);
	} else if (what < 98) {
		drain_shared(file);
	} else {
		good(pmio_sync(shared[file]), "sync");
	}
}

/* a predecessor that died while it removed or made the file may have left either */
static void look_back_at_own(void)
{
	struct private *p = &ledger->private[me];
	struct stat st;
	char name[512];

	private_name(me, name, sizeof(name));
	if (p->doing == REMOVE || (p->nr == 0 && p->doing == NOTHING)) {
		int rc = stat(name, &st) < 0 ? -ENOENT : pmio_delete(pm, name);

		if (rc != -ENOENT)
			good(rc, "delete");
		begin_generation();
		return;
	}
	if (stat(name, &st) < 0)
		work_fail("%s is gone: %s", name, strerror(errno));
	open_own();
	look_at_own();
	if (p->doing != NOTHING)
		remove_own();
}

static void look_back(void)
{
	for (unsigned file = 0; file < SHARED_FILES; file++) {
		open_shared(file);
		for (unsigned nr = me; nr < CELLS / work.nr_workers * work.nr_workers; nr += work.nr_workers) {
			const struct cell *c = &ledger->cells[file][nr];
			bool in_flight = c->begun != c->done;

			look_at_cell(file, nr, in_flight);
			if (in_flight)
				write_cell(file, nr);
		}
	}
	look_back_at_own();
}

static _Noreturn void live(unsigned worker, unsigned life)
{
	me = worker;
	work_seed_rng(work.seed * 1000003 + worker * 1009 + life);
	alarm(WORKER_LIMIT_S);
	good(pmio_connect(NULL, &pm), "connect");
	look_back();
	while (!atomic_load(stop)) {
		alarm(WORKER_LIMIT_S);
		step();
		atomic_fetch_add(&ledger->operations, 1);
	}
	for (unsigned file = 0; file < SHARED_FILES; file++)
		good(pmio_close(&shared[file]), "close");
	close_own();
	pmio_disconnect(&pm);
	exit(EXIT_SUCCESS);
}

/* ---- plain files --------------------------------------------------------------------------- */

/* the machine went down: what a cell had on the PFS, or what a drain has begun to put there */
static void check_durable_cell(const struct source *s, unsigned file, unsigned nr)
{
	const struct cell *c = &ledger->cells[file][nr];
	size_t n;

	if (c->drained == 0)
		return;
	n = read_at(s, CELL, (uint64_t)nr * CELL);
	for (size_t i = 0; i < CELL; i++) {
		uint32_t v = c->drained;

		while (v <= c->begun && (i >= n || buf[i] != pattern(cell_id(file, nr), v, i)))
			v++;
		if (v > c->begun)
			work_fail("%s: cell %u, byte %zu of %d (%zu there): is %#x; version %u, which is %#x, was "
				  "drained, up to %u begun", s->name, nr, i, CELL, n, i < n ? buf[i] : 0, c->drained,
				  pattern(cell_id(file, nr), c->drained, i), c->begun);
	}
}

/* false: there is no such file */
static bool open_plain(struct source *s)
{
	s->fd = open(s->name, O_RDONLY | O_CLOEXEC);
	if (s->fd < 0 && errno != ENOENT)
		work_fail("%s: %s", s->name, strerror(errno));
	return s->fd >= 0;
}

static bool none_there_yet(unsigned file, enum work_state state)
{
	for (unsigned nr = 0; nr < CELLS; nr++) {
		const struct cell *c = &ledger->cells[file][nr];

		if (state == WORK_DURABLE ? c->drained : c->done)
			return false;
	}
	return true;
}

static void compare_shared(unsigned file, enum work_state state)
{
	char name[512];
	struct source s = { .name = name };

	shared_name(file, name, sizeof(name));
	if (!open_plain(&s)) {
		if (state == WORK_CLOSED || !none_there_yet(file, state))
			work_fail("%s is not there", name);
		return;
	}
	for (unsigned nr = 0; nr < CELLS; nr++) {
		const struct cell *c = &ledger->cells[file][nr];

		if (state == WORK_DURABLE)
			check_durable_cell(&s, file, nr);
		else
			check_cell(&s, file, nr, state == WORK_DRAINED && c->begun != c->done);
	}
	close(s.fd);
}

static void check_durable_private(const struct source *s, unsigned worker)
{
	const struct private *p = &ledger->private[worker];
	uint64_t size = size_of(s);

	if (p->kept == p->nr && p->doing == NOTHING && size != (uint64_t)p->nr * RECORD)
		work_fail("%s: size is %llu; it was closed with %u records, which are %llu", s->name,
			  (unsigned long long)size, p->nr, (unsigned long long)p->nr * RECORD);
	check_records(s, worker, p->kept);
}

static void compare_private(unsigned worker, enum work_state state)
{
	const struct private *p = &ledger->private[worker];
	char name[512];
	struct source s = { .name = name };
	bool nothing_promised = state == WORK_DURABLE ? p->kept == 0 : state == WORK_DRAINED &&
				(p->doing == REMOVE || (p->nr == 0 && p->doing == NOTHING));

	if (nothing_promised)
		return;
	private_name(worker, name, sizeof(name));
	if (!open_plain(&s))
		work_fail("%s is not there: %u records, %u of them on the file system", name, p->nr, p->kept);
	if (state == WORK_DURABLE)
		check_durable_private(&s, worker);
	else
		check_private(&s, worker);
	close(s.fd);
}

void work_compare_plain(enum work_state state)
{
	for (unsigned file = 0; file < SHARED_FILES; file++)
		compare_shared(file, state);
	for (unsigned w = 0; w < work.nr_workers; w++)
		compare_private(w, state);
}

/* ---- all of them ------------------------------------------------------------------------------- */

/* a new one is written to its end, so that no later store needs the file system's metadata */
static int open_ledger(const char *path)
{
	static const struct ledger empty;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		work_fail("%s: %s", path, strerror(errno));
	if (st.st_size == 0 && (pwrite(fd, &empty, sizeof(empty), 0) != sizeof(empty) || fsync(fd) < 0))
		work_fail("%s: %s", path, strerror(errno));
	return fd;
}

static void *map_shared(int fd, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, fd < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		work_fail("mmap: %s", strerror(errno));
	return p;
}

void work_init(const struct work *w)
{
	int fd = w->ledger ? open_ledger(w->ledger) : -1;

	work = *w;
	ledger = map_shared(fd, sizeof(*ledger));
	stop = map_shared(-1, sizeof(*stop));
	if (fd >= 0)
		close(fd);
}

pid_t work_start(unsigned worker, unsigned life)
{
	pid_t pid = fork();

	if (pid < 0)
		work_fail("fork: %s", strerror(errno));
	if (pid == 0)
		live(worker, life);
	return pid;
}

uint64_t work_operations(void)
{
	return atomic_load(&ledger->operations);
}

void work_stop(void)
{
	atomic_store(stop, 1);
}
