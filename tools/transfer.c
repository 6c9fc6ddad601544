#include "transfer.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <utlist.h>

#define LOOK_EVERY 0.1	/* seconds between looks for ended files */
#define ASK_SHARE 20	/* queries take at most 1/ASK_SHARE of the agent's time */

/* shared by the threads of one transfer */
struct crew {
	struct transfer_run *t;
	const char *pool;
	atomic_size_t next;		/* index of the next file to take */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned nr_running;		/* under lock */
	struct transfer_file *ended, **ended_tail; /* under lock */
};

struct transfer_file *transfer_add(struct transfer_run *t, const char *path)
{
	struct transfer_file *f;

	if (t->nr == t->room) {
		size_t room = t->room ? t->room * 2 : 64;

		f = realloc(t->files, room * sizeof(*f));
		if (!f)
			return NULL;
		t->files = f;
		t->room = room;
	}
	f = &t->files[t->nr];
	memset(f, 0, sizeof(*f));
	f->slot = -1;
	f->path = strdup(path);
	if (!f->path)
		return NULL;
	t->nr++;
	return f;
}

void transfer_refuse(struct transfer_run *t, const char *what, int rc)
{
	struct transfer_refused *r = calloc(1, sizeof(*r));

	if (!r || !(r->what = strdup(what)))
		exit(tool_failed(-ENOMEM, "%s", what));
	r->rc = rc;
	LL_PREPEND(t->refused, r);
}

static unsigned parse_jobs(const char *arg, struct argp_state *state)
{
	char *end;
	unsigned long n = strtoul(arg, &end, 10);

	if (!isdigit((unsigned char)*arg) || *end != '\0' || n < 1 || n > TRANSFER_JOBS_MAX)
		argp_error(state, "--jobs: \"%s\" is not a number of 1 to %d", TOOL_PLAIN(arg), TRANSFER_JOBS_MAX);
	return (unsigned)n;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct transfer_args *args = state->input;

	switch (key) {
	case 'J':
		args->nr_jobs = parse_jobs(arg, state);
		return 0;
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &args->paths;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option options[] = {
	{ "jobs", 'J', "N", 0, "Files at a time (default: 4)", 0 },
	{ 0 },
};
static const struct argp paths_argp = { .parser = tool_parse_args };
static const struct argp_child children[] = { { &paths_argp, 0, NULL, 0 }, { 0 } };

const struct argp transfer_argp = { .options = options, .parser = parse, .children = children };

/* ---- the threads ---------------------------------------------------------------- */

static void hand_over(struct crew *crew, struct transfer_file *f)
{
	pthread_mutex_lock(&crew->lock);
	*crew->ended_tail = f;
	crew->ended_tail = &f->next_ended;
	pthread_cond_signal(&crew->changed);
	pthread_mutex_unlock(&crew->lock);
}

static void *work(void *arg)
{
	struct crew *crew = arg;
	struct transfer_run *t = crew->t;
	struct pmio *pm = NULL;
	int rc = pmio_connect(crew->pool, &pm);
	size_t i;

	while ((i = atomic_fetch_add(&crew->next, 1)) < t->nr) {
		struct transfer_file *f = &t->files[i];

		f->rc = rc < 0 ? rc : t->move(pm, f);
		hand_over(crew, f);
	}
	/*
	 * disconnecting closes the files kept open: not before the other threads have finished, which need their frames
	 * kept
	 */
	pthread_mutex_lock(&crew->lock);
	crew->nr_running--;
	pthread_cond_broadcast(&crew->changed);
	while (crew->nr_running > 0)
		pthread_cond_wait(&crew->changed, &crew->lock);
	pthread_mutex_unlock(&crew->lock);
	pmio_disconnect(&pm);
	return NULL;
}

/* ---- the calling thread ---------------------------------------------------------- */

static struct transfer_file *await_ended(struct crew *crew, bool *running)
{
	struct transfer_file *ended;
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += (long)(LOOK_EVERY * 1e9);
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&crew->lock);
	if (crew->nr_running > 0 && !crew->ended)
		pthread_cond_timedwait(&crew->changed, &crew->lock, &until);
	*running = crew->nr_running > 0;
	ended = crew->ended;
	crew->ended = NULL;
	crew->ended_tail = &crew->ended;
	pthread_mutex_unlock(&crew->lock);
	return ended;
}

static bool is_told(const struct transfer_run *t, const struct transfer_file *f)
{
	return f->pending || !t->moved_only;
}

static void report(struct transfer_run *t, struct tool_progress *p, struct transfer_file *f)
{
	if (f->rc == 0)
		f->moved = f->bytes;
	if (!is_told(t, f)) {
		if (f->rc == 0)
			return;
		p->nr_files++;
	}
	tool_progress_file(p, f->path, f->moved, f->rc);
	if (f->rc == 0 && !t->tool->json && !t->tool->quiet) {
		if (p->bar)
			tool_status_clear();
		printf("%s ", t->done_word);
		tool_print_path(f->path);
		putchar('\n');
		fflush(stdout);
	}
}

static void ask(struct transfer_run *t, struct pmio *pm, struct transfer_file *f)
{
	int64_t slot = f->slot;
	uint32_t cursor = (uint32_t)slot;
	struct pmio_file_stat st;
	uint64_t now;

	if (slot < 0 && f->told)
		f->moved = f->told < f->bytes ? (uint64_t)f->told : (uint64_t)f->bytes;
	if (slot < 0 || pmio_stat_next(pm, &cursor, &st) < 0 || st.entry.slot != slot)
		return;
	now = t->counter(&st);
	f->moved = now > f->before ? now - f->before : 0;
	if (f->moved > f->bytes)
		f->moved = f->bytes;
}

static void sum_up(const struct transfer_run *t, struct tool_progress *p)
{
	p->bytes = p->bytes_done = 0;
	for (size_t i = 0; i < t->nr; i++) {
		p->bytes += t->files[i].bytes;
		p->bytes_done += t->files[i].moved;
	}
}

static void look_on(struct crew *crew, struct pmio *pm, struct tool_progress *p)
{
	struct transfer_run *t = crew->t;
	double ask_next = tool_now() + LOOK_EVERY;
	bool running = true;

	while (running) {
		struct transfer_file *ended = await_ended(crew, &running);
		double now = tool_now();

		for (; ended; ended = ended->next_ended)
			report(t, p, ended);
		if (now >= ask_next && running && (p->bar || t->tool->json)) {
			size_t taken = atomic_load(&crew->next);

			for (size_t i = 0; i < taken && i < t->nr; i++)
				ask(t, pm, &t->files[i]);
			/* for a large file the agent has to look at all frames */
			ask_next = tool_now() + (tool_now() - now) * ASK_SHARE;
		}
		sum_up(t, p);
		tool_progress_show(p);
	}
}

static void print_sum(const struct transfer_run *t, const struct tool_progress *p)
{
	double seconds = tool_now() - p->start;

	if (t->nr == 0 || t->tool->json || t->tool->quiet)
		return;
	printf("%s: %zu of %zu files, %s in %.1f s", t->command, p->nr_done, p->nr_files,
	       TOOL_SIZE(p->bytes_done), seconds);
	if (p->bytes_done)
		printf(", %s/s", TOOL_SIZE((uint64_t)((double)p->bytes_done / seconds)));
	putchar('\n');
}

void transfer_free(struct transfer_run *t)
{
	struct transfer_refused *r, *tmp;

	LL_FOREACH_SAFE(t->refused, r, tmp) {
		free(r->what);
		free(r);
	}
	for (size_t i = 0; i < t->nr; i++)
		free(t->files[i].path);
	free(t->files);
}

int transfer_run(struct transfer_run *t, struct pmio *pm)
{
	struct crew crew = { .t = t, .pool = pmio_pool_path(pm), .lock = PTHREAD_MUTEX_INITIALIZER,
			     .changed = PTHREAD_COND_INITIALIZER };
	struct tool_progress p = { .tool = t->tool, .command = t->command };
	unsigned nr = t->nr_jobs < t->nr ? t->nr_jobs : (unsigned)t->nr;
	pthread_t threads[TRANSFER_JOBS_MAX];
	struct transfer_refused *r;
	int rc = 0, status;

	LL_COUNT(t->refused, r, p.nr_files);
	for (size_t i = 0; i < t->nr; i++)
		p.nr_files += is_told(t, &t->files[i]);
	sum_up(t, &p);
	tool_progress_start(&p, crew.pool);
	LL_FOREACH(t->refused, r)
		tool_progress_file(&p, r->what, 0, r->rc);
	crew.ended_tail = &crew.ended;
	/* threads that started first wait for this before they end */
	pthread_mutex_lock(&crew.lock);
	for (unsigned i = 0; i < nr && rc == 0; i++) {
		rc = -pthread_create(&threads[i], NULL, work, &crew);
		crew.nr_running += rc == 0;
	}
	nr = crew.nr_running;
	pthread_mutex_unlock(&crew.lock);
	if (nr == 0 && t->nr) {
		transfer_free(t);
		return tool_failed(rc, "threads");
	}
	look_on(&crew, pm, &p);
	for (unsigned i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; i < t->nr && t->end; i++)
		t->end(&t->files[i]);
	status = tool_progress_end(&p);
	print_sum(t, &p);
	transfer_free(t);
	return status;
}
