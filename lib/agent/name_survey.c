/*
 * name_survey.c -- periodic check of the names of files that have pending data and are not open
 *
 * They may be renamed or removed without the agent's knowledge.  So from time to time a worker checks
 * them: the data of a file that has lost its last name are discarded or, if it is held, it is reported
 * as gone.  This is decided at the second check, as a process that has replaced a file by another one
 * tells the agent afterwards (pmio_rename).  And the catalog gets the current name of each file, by
 * which it is found after a crash.
 *
 * One survey runs at a time: if the file system hangs, so does the survey.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/batch.h"
#include "agent/file.h"
#include "agent/idle.h"
#include "agent/name_survey.h"
#include "agent/pfs_fd.h"
#include "agent/pfs_lookup.h"
#include "agent/state.h"
#include "core/clock.h"

#define EVERY_MS 1000
#define SHARE 20     /* it takes at most 1/SHARE of a worker's time */
#define FILES_MAX 4096 /* at a time */

/* ---- in a worker ---------------------------------------------------------------- */

/* a file may have lost the known name and still have others */
static void find_name(struct batch_item *i)
{
	int fd;

	if (pmio_pfs_name(i->pfs->fd, i->look->path) == 0) {
		i->survey.named = true;
		return;
	}
	if (pmio_pfs_find(i->look->path, &i->look->id, O_RDONLY, &fd, i->look->path) == 0) {
		i->survey.named = true;
		close(fd);
	}
}

static void look_at(struct batch_item *i)
{
	struct stat st;

	if (!i->pfs) {
		pfs_look_run(i->look);
		i->survey.nameless = i->look->nameless;
		i->survey.named = i->look->rc == 0 && !i->survey.nameless;
		return;
	}
	if (fstat(i->pfs->fd, &st) < 0)
		return;
	i->survey.nameless = pmio_pfs_is_nameless(i->pfs->fd, &st);
	if (!i->survey.nameless)
		find_name(i);
}

static void run(struct job *job)
{
	struct batch *b = (struct batch *)job;

	for (size_t i = 0; i < b->nr; i++)
		look_at(&b->items[i]);
}

/* ---- in the loop ------------------------------------------------------------------ */

static bool is_wanted(const struct file *f)
{
	return f->nr_handles == 0 && f->nr_jobs == 0 && !file_is_gone(f) && f->state != PMIO_FILE_CLEAN;
}

static int finish(struct agent *a, struct batch_item *i)
{
	struct file *f = batch_file(a, i);

	if (!f || !is_wanted(f))
		return 0;
	if (!i->pfs && i->look->pfs && !pfs_fd_is_high(i->look->pfs->fd) && (i->look->st.st_dev == f->key.dev || files_adopt_device(a, f, &i->look->st)))
		files_adopt_pfs(a, f, &i->look->pfs);
	if (i->survey.nameless && f->seen_nameless) {
		files_lost_name(a, f);
		return 0;
	}
	if (i->survey.named && (!i->pfs || f->sees_names))
		files_adopt_name(a, f, i->look->path);
	f->seen_nameless = i->survey.nameless;
	return 0;
}

static bool has_wanted(const struct agent *a)
{
	const struct file *f = a->files;

	while (f && !is_wanted(f))
		f = f->hh.next;
	return f;
}

static bool take(struct agent *a, struct file *f, struct batch_item *i)
{
	(void)a;
	if (!is_wanted(f) || (i->look = pfs_look_new(f)) == NULL)
		return false;
	i->pfs = f->pfs ? pfs_get(f->pfs) : NULL;
	return true;
}

static void ended(struct agent *a, const struct batch *b)
{
	uint64_t now = pmio_now_ms();

	a->next_survey_ms = now + EVERY_MS + (now - b->start_ms) * SHARE;
	a->surveying = false;
}

static const struct batch_kind kind = {
	.job = JOB_CALL, .max = FILES_MAX, .idle = true, .take = take, .run = run, .finish = finish, .ended = ended,
};

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
	if (a->survey_hurries)
		hurry(a);
	a->survey_hurries = false;
	if (survey_wait_ms(a) != 0)
		return;
	a->survey_wanted = has_wanted(a);
	a->next_survey_ms = pmio_now_ms() + EVERY_MS; /* limits the rate: closes request surveys, and a survey visits all files */
	if (a->survey_wanted)
		a->surveying = batch_all(a, &kind);
}
