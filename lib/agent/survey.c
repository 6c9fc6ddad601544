/*
 * survey.c -- what has become of files whose data wait while no program has them open?
 *
 * They may be renamed or removed without the agent's knowledge.  So from time to time a
 * worker looks: a file that has lost its last name is given up or, if it is held, reported
 * as gone.  That is decided by the second look: who has replaced a file by another one tells the agent
 * afterwards (pmio_rename).  And the catalog gets the current name of each file, by which it is found after a
 * crash.
 *
 * One survey runs at a time: if the file system hangs, so does the survey.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/agent_impl.h"

#define EVERY_MS 1000
#define SHARE 20     /* it takes at most 1/SHARE of a worker's time */
#define FILES_MAX 4096 /* at a time */

struct item {
	uint32_t slot;
	uint64_t generation;
	struct pfs_fd *pfs;	/* held; NULL: look opens it */
	struct pfs_look *look;	/* owned */
	bool nameless, named;
};

struct survey {
	struct job job;		/* first */
	uint64_t start_ms;
	size_t nr;
	struct item items[];
};

/* ---- in a worker ---------------------------------------------------------------- */

/* a file may have lost the known one of several names */
static void find_name(struct item *i)
{
	int fd;

	if (pmio_pfs_name(i->pfs->fd, i->look->path) == 0) {
		i->named = true;
		return;
	}
	if (pmio_pfs_find(i->look->path, &i->look->id, O_RDONLY, &fd, i->look->path) == 0) {
		i->named = true;
		close(fd);
	}
}

static void look_at(struct item *i)
{
	struct stat st;

	if (!i->pfs) {
		pfs_look_run(i->look);
		i->nameless = i->look->nameless;
		i->named = i->look->rc == 0 && !i->nameless;
		return;
	}
	if (fstat(i->pfs->fd, &st) < 0)
		return;
	i->nameless = pmio_pfs_is_nameless(i->pfs->fd, &st);
	if (!i->nameless)
		find_name(i);
}

static void run(struct job *job)
{
	struct survey *s = (struct survey *)job;

	for (size_t i = 0; i < s->nr; i++)
		look_at(&s->items[i]);
}

/* ---- in the loop ------------------------------------------------------------------ */

static bool is_wanted(const struct file *f)
{
	return f->nr_handles == 0 && f->nr_jobs == 0 && !file_is_gone(f) && f->state != PMIO_FILE_CLEAN;
}

static void apply(struct agent *a, struct item *i)
{
	struct file *f = a->by_slot[i->slot];

	if (!f || !is_wanted(f) || pmio_pm_load64(&a->view->slots[i->slot].generation) != i->generation)
		return;
	if (!i->pfs && i->look->pfs && !pfs_fd_is_high(i->look->pfs->fd) && (i->look->st.st_dev == f->key.dev || files_adopt_device(a, f, &i->look->st)))
		files_adopt_pfs(a, f, &i->look->pfs);
	if (i->nameless && f->seen_nameless) {
		files_lost_name(a, f);
		return;
	}
	if (i->named && (!i->pfs || f->sees_names))
		files_adopt_name(a, f, i->look->path);
	f->seen_nameless = i->nameless;
}

static void done(void *agent, struct job *job)
{
	struct agent *a = agent;
	struct survey *s = (struct survey *)job;
	uint64_t now = pmio_now_ms();

	for (size_t i = 0; i < s->nr; i++) {
		apply(a, &s->items[i]);
		pfs_put(a, &s->items[i].pfs);
		pfs_look_delete(a, &s->items[i].look);
	}
	a->next_survey_ms = now + EVERY_MS + (now - s->start_ms) * SHARE;
	a->surveying = false;
	free(s);
}

static size_t count(const struct agent *a)
{
	size_t nr = 0;

	for (const struct file *f = a->files; f && nr < FILES_MAX; f = f->hh.next)
		nr += is_wanted(f);
	return nr;
}

static void start(struct agent *a, size_t nr)
{
	struct survey *s = calloc(1, sizeof(*s) + nr * sizeof(s->items[0]));

	a->next_survey_ms = pmio_now_ms() + EVERY_MS;
	if (!s)
		return;
	for (struct file *f = a->files; f && s->nr < nr; f = f->hh.next) {
		struct item *i = &s->items[s->nr];

		if (!is_wanted(f) || (i->look = pfs_look_new(f)) == NULL)
			continue;
		i->slot = f->slot;
		i->generation = pmio_pm_load64(&a->view->slots[f->slot].generation);
		i->pfs = f->pfs ? pfs_get(f->pfs) : NULL;
		s->nr++;
	}
	s->start_ms = pmio_now_ms();
	s->job.kind = JOB_CALL;
	s->job.run = run;
	s->job.done = done;
	a->surveying = true;
	workers_submit(a->workers, &s->job);
}

int survey_wait_ms(const struct agent *a)
{
	if (!a->survey_wanted || a->surveying)
		return -1;
	return agent_until_ms(a->next_survey_ms);
}

static void hurry(struct agent *a)
{
	uint64_t soon = pmio_now_ms() + EVERY_MS / 10;

	if (a->survey_wanted && !a->surveying && a->next_survey_ms > soon)
		a->next_survey_ms = soon;
}

void survey_look(struct agent *a)
{
	size_t nr;

	if (a->survey_hurries)
		hurry(a);
	a->survey_hurries = false;
	if (survey_wait_ms(a) != 0)
		return;
	nr = count(a);
	a->survey_wanted = nr > 0;
	if (nr)
		start(a, nr);
	else /* each close asks for a survey, and each survey looks at all files */
		a->next_survey_ms = pmio_now_ms() + EVERY_MS;
}
