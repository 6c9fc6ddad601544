/*
 * kills.c -- processes die by SIGKILL at random moments; what was promised stays
 *
 *	kills DIR [--kills N] [--seed S] [--workers N]
 *
 * Workers use files in DIR through pmio, as ranks of a job do, and write into a
 * ledger in shared memory what they are about to do and what has returned.  The
 * driver kills a worker, the agent, both, or all at once, and starts the workers
 * anew.  A new worker first looks at what its predecessor left: what had returned
 * must be there, what was under way may be there in part, nothing else.  Workers
 * whose agent was killed go on; any error that they meet is one too many.
 *
 * Two kinds of files:
 *   shared    cells of CELL bytes, each written by one worker only; neighbours
 *             share blocks.  Version v of a cell has a pattern made from v.
 *   private   a worker's own: it appends records, cuts the file, removes it
 *
 * At the end the workers close their files, and the driver compares the plain
 * files with the ledger.  It is the reaper of the agents, so it knows them all,
 * also those that are only starting.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pmio.h"

#define WORKERS_MAX 8
#define SHARED_FILES 3
#define CELLS 40
#define CELL 90001	/* bytes; ends in mid-block */
#define RECORD 70001	/* bytes, of private files */
#define RECORDS_MAX 40
#define WORKER_LIMIT_S 60 /* for one operation */
#define EXIT_WRONG 3

/* version `done` has returned; if `begun` is another one, it is under way */
struct cell {
	uint32_t begun, done;
};

enum doing { NOTHING, APPEND, CUT, REMOVE };

/* a private file: `generation` of the name; 0 records and !exists: there is none */
struct private {
	uint32_t doing;
	uint32_t generation, nr;
	uint32_t target;	/* CUT: records that stay */
	uint32_t exists;
};

struct ledger {
	struct cell cells[SHARED_FILES][CELLS];
	struct private private[WORKERS_MAX];
	_Atomic int stop;
	_Atomic uint64_t operations;
};

static struct ledger *ledger;
static const char *dir;
static unsigned nr_workers = 3, nr_kills = 20;
static uint64_t seed = 1;
static uint8_t buf[CELL > RECORD ? CELL : RECORD];

static _Noreturn __attribute__((format(printf, 1, 2))) void fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "kills: process %d: ", (int)getpid());
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(EXIT_WRONG);
}

static void good(long rc, const char *what)
{
	if (rc < 0)
		fail("%s: %s", what, pmio_strerror((int)rc));
}

/* xorshift64: Marsaglia, "Xorshift RNGs", 2003 */
static uint64_t rng;

static unsigned draw(unsigned n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (unsigned)((rng >> 11) % n);
}

static void seed_rng(uint64_t s)
{
	rng = s * 0x9E3779B97F4A7C15u + 1;
	draw(2);
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
	snprintf(name, size, "%s/shared.%u", dir, file);
}

static void private_name(unsigned worker, char *name, size_t size)
{
	snprintf(name, size, "%s/private.%u", dir, worker);
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
		fail("read %s: %s", s->name, s->file ? pmio_strerror((int)n) : strerror(errno));
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
		fail("%s: %s", s->name, strerror(errno));
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
			fail("%s: cell %u, byte %zu of %d (%zu read): is %#x; version %u has %#x, and %u, "
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
				fail("%s, generation %u: record %u of %u, byte %zu (%zu read): is %#x, should "
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
			fail("%s: byte %zu of record %u, which was under way: is %#x", s->name, i, p->nr, buf[i]);
	}
}

static void check_private(const struct source *s, unsigned worker)
{
	const struct private *p = &ledger->private[worker];
	uint64_t size = size_of(s), whole = (uint64_t)p->nr * RECORD;
	bool was_cut = p->doing == CUT && size == (uint64_t)p->target * RECORD;

	if (p->doing == APPEND ? size < whole || size > whole + RECORD : size != whole && !was_cut)
		fail("%s: size is %llu; %u records are %llu (doing %u, to %u)", s->name,
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
	return draw(CELLS / nr_workers) * nr_workers + me;
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
	*(volatile uint32_t *)&ledger->private[me].doing = REMOVE;
	good(pmio_close(&own), "close");
	good(pmio_delete(pm, name), "delete");
	begin_generation();
}

static void step(void)
{
	struct private *p = &ledger->private[me];
	unsigned what = draw(100), file = draw(SHARED_FILES), nr = my_cell();

	if (what < 50) {
		write_cell(file, nr);
	} else if (what < 65) {
		look_at_cell(file, nr, false);
	} else if (what < 80 && p->nr < RECORDS_MAX) {
		append();
	} else if (what < 83) {
		look_at_own();
	} else if (what < 87) {
		cut(draw(p->nr + 1));
	} else if (what < 90) {
		remove_own();
	} else if (what < 93) {
		good(pmio_close(&own), "close");
		open_own();
	} else if (what < 96) {
		good(pmio_close(&shared[file]), "close");
		open_shared(file);
	} else if (what < 98) {
		good(pmio_drain(shared[file]), "drain");
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
		fail("%s is gone: %s", name, strerror(errno));
	open_own();
	look_at_own();
	if (p->doing != NOTHING)
		remove_own();
}

static void look_back(void)
{
	for (unsigned file = 0; file < SHARED_FILES; file++) {
		open_shared(file);
		for (unsigned nr = me; nr < CELLS / nr_workers * nr_workers; nr += nr_workers) {
			const struct cell *c = &ledger->cells[file][nr];
			bool in_flight = c->begun != c->done;

			look_at_cell(file, nr, in_flight);
			if (in_flight)
				write_cell(file, nr);
		}
	}
	look_back_at_own();
}

static _Noreturn void work(unsigned worker, unsigned life)
{
	me = worker;
	seed_rng(seed * 1000003 + worker * 1009 + life);
	alarm(WORKER_LIMIT_S);
	good(pmio_connect(NULL, &pm), "connect");
	look_back();
	while (!atomic_load(&ledger->stop)) {
		alarm(WORKER_LIMIT_S);
		step();
		atomic_fetch_add(&ledger->operations, 1);
	}
	for (unsigned file = 0; file < SHARED_FILES; file++)
		good(pmio_close(&shared[file]), "close");
	good(pmio_close(&own), "close");
	pmio_disconnect(&pm);
	exit(EXIT_SUCCESS);
}

/* ---- the driver ------------------------------------------------------------------------------ */

static pid_t workers[WORKERS_MAX];
static unsigned lives;

static void start_worker(unsigned worker)
{
	pid_t pid = fork();

	if (pid < 0)
		fail("fork: %s", strerror(errno));
	lives++;
	if (pid == 0)
		work(worker, lives);
	workers[worker] = pid;
}

static _Noreturn void give_up(void)
{
	for (unsigned w = 0; w < nr_workers; w++) {
		if (workers[w] > 0)
			kill(workers[w], SIGKILL);
	}
	exit(EXIT_FAILURE);
}

/* wait for a worker; was it killed by us, or has it ended as it should? */
static void reap_worker(unsigned worker, bool killed)
{
	int status;

	if (waitpid(workers[worker], &status, 0) < 0)
		fail("waitpid: %s", strerror(errno));
	workers[worker] = 0;
	if (WIFSIGNALED(status) ? killed && WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0)
		return;
	fprintf(stderr, "kills: worker %u ended with %s %d\n", worker,
		WIFSIGNALED(status) ? "signal" : "status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	give_up();
}

static void kill_worker(unsigned worker)
{
	kill(workers[worker], SIGKILL);
}

static bool is_agent(pid_t pid)
{
	char path[64], name[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (!fgets(name, sizeof(name), f))
		name[0] = '\0';
	fclose(f);
	return strcmp(name, "pmiod\n") == 0;
}

/* kill the agents among the children of a process, and below them */
static unsigned kill_agents_below(pid_t parent)
{
	char path[64];
	unsigned nr = 0;
	int pid;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)parent, (int)parent);
	f = fopen(path, "re");
	if (!f)
		return 0; /* it has just ended, and what it had is ours now */
	while (fscanf(f, "%d", &pid) == 1) {
		if (is_agent(pid)) {
			nr += kill_agents_below(pid);
			nr += kill(pid, SIGKILL) == 0;
		}
	}
	fclose(f);
	return nr;
}

/* an agent is our child when who started it has ended, or it has let go of that one */
static unsigned kill_agents(void)
{
	unsigned nr = kill_agents_below(getpid());

	for (unsigned w = 0; w < nr_workers; w++)
		nr += kill_agents_below(workers[w]);
	return nr;
}

/* take what has ended: agents, which we may have killed; workers should be there */
static void look_around(void)
{
	siginfo_t info = { .si_pid = 0 };

	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid) {
		for (unsigned w = 0; w < nr_workers; w++) {
			if (workers[w] == info.si_pid)
				reap_worker(w, false);
			if (workers[w] == 0) {
				fprintf(stderr, "kills: worker %u has left\n", w);
				give_up();
			}
		}
		waitpid(info.si_pid, NULL, 0);
		info.si_pid = 0;
	}
}

static void nap(unsigned ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&ts, NULL);
}

/* returns how many processes it killed */
static unsigned kill_some(void)
{
	unsigned what = draw(10), first = draw(nr_workers), nr = 1, killed = 0;

	if (what >= 7 || (what >= 3 && draw(2)))
		killed += kill_agents();
	if (what >= 3 && what < 7) /* the agent alone: nobody else may notice */
		return killed;
	if (what == 9)
		nr = nr_workers;
	for (unsigned i = 0; i < nr; i++)
		kill_worker((first + i) % nr_workers);
	for (unsigned i = 0; i < nr; i++) {
		reap_worker((first + i) % nr_workers, true);
		killed++;
	}
	for (unsigned i = 0; i < nr; i++)
		start_worker((first + i) % nr_workers);
	return killed;
}

static void compare_plain_files(void)
{
	char name[512];

	for (unsigned file = 0; file < SHARED_FILES; file++) {
		struct source s = { .name = name };

		shared_name(file, name, sizeof(name));
		s.fd = open(name, O_RDONLY | O_CLOEXEC);
		if (s.fd < 0)
			fail("%s: %s", name, strerror(errno));
		for (unsigned nr = 0; nr < CELLS; nr++)
			check_cell(&s, file, nr, false);
		close(s.fd);
	}
	for (unsigned w = 0; w < nr_workers; w++) {
		struct source s = { .name = name };

		private_name(w, name, sizeof(name));
		s.fd = open(name, O_RDONLY | O_CLOEXEC);
		if (s.fd < 0)
			fail("%s: %s", name, strerror(errno));
		check_private(&s, w);
		close(s.fd);
	}
}

static void arguments(int argc, char **argv)
{
	dir = argc > 1 ? argv[1] : NULL;
	for (int i = 2; i + 1 < argc; i += 2) {
		unsigned long n = strtoul(argv[i + 1], NULL, 0);

		if (!strcmp(argv[i], "--kills"))
			nr_kills = (unsigned)n;
		else if (!strcmp(argv[i], "--seed"))
			seed = n;
		else if (!strcmp(argv[i], "--workers"))
			nr_workers = (unsigned)n;
		else
			dir = NULL;
	}
	if (!dir || nr_workers < 1 || nr_workers > WORKERS_MAX) {
		fputs("usage: kills DIR [--kills N] [--seed S] [--workers N]\n", stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	unsigned killed = 0;

	arguments(argc, argv);
	ledger = mmap(NULL, sizeof(*ledger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ledger == MAP_FAILED || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		fail("%s", strerror(errno));
	for (unsigned w = 0; w < nr_workers; w++)
		start_worker(w);
	seed_rng(seed);
	while (killed < nr_kills) {
		/* mostly in full run, at times while they still start or recover */
		nap(draw(4) ? 20 + draw(120) : draw(20));
		look_around();
		killed += kill_some();
	}
	nap(200);
	look_around();
	atomic_store(&ledger->stop, 1);
	for (unsigned w = 0; w < nr_workers; w++)
		reap_worker(w, false);
	compare_plain_files();
	printf("%u kills, %u lives of workers, %llu operations in full\n", killed, lives,
	       (unsigned long long)atomic_load(&ledger->operations));
	return 0;
}
