/*
 * run_report.c -- pmio run --report: how many bytes went where, the time saved, and pending data
 *
 * The time saved is an estimate: the time that the redirected calls took, compared with the time that their bytes would
 * have taken at the speed of the file system in the agent's own drains and fills.  pmio-run(1) has the details.
 */
#include "config.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "redirect/pool_ops.h"
#include "run.h"

#define SAMPLE_ENOUGH (64u << 20) /* bytes whose speed is representative of any number of bytes */
#define SAMPLE_PART 10		  /* fewer say something of that many times their number */

/* counts begin again with another agent */
static uint64_t since(uint64_t before, uint64_t now)
{
	return now >= before ? now - before : now;
}

/* ---- pending data ------------------------------------------------------------------------- */

static uint64_t tell_waiting(struct pmio *pm)
{
	struct pmio_file_stat *st = malloc(sizeof(*st));
	uint64_t nr = 0, bytes = 0, failed = 0;
	uint32_t cursor = 0;

	while (st && pmio_stat_next(pm, &cursor, st) == 0) {
		if (!tool_is_pending(st))
			continue;
		nr++;
		bytes += st->dirty_bytes;
		failed += st->error != 0;
	}
	free(st);
	if (nr)
		fprintf(stderr, "report: %llu files with %s wait in the pool%s: `pmio ls` lists them, `pmio drain` writes them to the file system\n",
			(unsigned long long)nr, TOOL_SIZE(bytes), failed ? ", some because their drain failed" : "");
	else
		fprintf(stderr, "report: all data are on the file system\n");
	return bytes;
}

/* ---- time saved ---------------------------------------------------------------------------- */

/* bytes that redirected calls read or wrote, and the file system's speed with such */
struct traffic {
	uint64_t bytes;
	double speed; /* bytes per second; 0: not known */
};

struct sample {
	uint64_t bytes, ns;
};

static double speed_of(struct sample s, uint64_t bytes)
{
	if (s.ns == 0 || s.bytes == 0 || (s.bytes < SAMPLE_ENOUGH && s.bytes < bytes / SAMPLE_PART))
		return 0;
	return (double)s.bytes * 1e9 / (double)s.ns;
}

/* in this run or, if that is not significant, since the agent's start */
static struct traffic estimate(uint64_t bytes, struct sample before, struct sample now)
{
	struct sample run = { since(before.bytes, now.bytes), since(before.ns, now.ns) };
	struct traffic p = { bytes, speed_of(run, bytes) };

	if (p.speed == 0)
		p.speed = speed_of(now, bytes);
	return p;
}

static double seconds(const struct traffic *p)
{
	return p->speed > 0 ? (double)p->bytes / p->speed : 0;
}

static bool is_known(const struct traffic *p)
{
	return p->bytes == 0 || p->speed > 0;
}

static void tell_part(const struct traffic *p, const char *what)
{
	fprintf(stderr, "%s %s at ", TOOL_SIZE(p->bytes), what);
	if (p->speed > 0)
		fprintf(stderr, "%s/s", TOOL_SIZE((uint64_t)p->speed));
	else
		fprintf(stderr, "an unknown speed");
}

static void tell_plain(double calls, const struct traffic *written, const struct traffic *read)
{
	fprintf(stderr, "report: redirected calls took %.3f s; the file system would have taken %s%.3f s: ", calls,
		is_known(written) && is_known(read) ? "" : "at least ", seconds(written) + seconds(read));
	tell_part(written, "written");
	fprintf(stderr, ", ");
	tell_part(read, "read");
	fprintf(stderr, "\n");
}

/* waiting: bytes that a drain has yet to write */
static void tell_saved(double calls, const struct traffic *written, const struct traffic *read, uint64_t waiting)
{
	double saved = seconds(written) + seconds(read) - calls;
	bool all = is_known(written) && is_known(read);

	if (written->bytes == 0 && read->bytes == 0) {
		fprintf(stderr, "report: time saved: none, as no redirected call read or wrote\n");
		return;
	}
	tell_plain(calls, written, read);
	if (saved <= 0 && !all) {
		fprintf(stderr, "report: time saved: unknown, as too little was drained or filled to measure the file system\n");
		return;
	}
	if (saved <= 0) {
		fprintf(stderr, "report: time saved: none, the calls took %.3f s more\n", -saved);
		return;
	}
	fprintf(stderr, "report: time saved: %s %.3f s", all ? "about" : "at least", saved);
	if (waiting && written->speed > 0)
		fprintf(stderr, "; a drain of what waits will take %.3f s", (double)waiting / written->speed);
	fprintf(stderr, "\n");
}

static bool read_times(const char *file, struct redirect_times *t)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	bool whole = fd >= 0 && read(fd, t, sizeof(*t)) == (ssize_t)sizeof(*t);

	if (fd >= 0)
		close(fd);
	return whole;
}

/* a rate limit of drains is not the speed of the file system */
static struct sample drains(const struct pmio_pool_stat *st, bool limited)
{
	return limited ? (struct sample){ 0, 0 } : (struct sample){ st->drained_bytes, st->drain_ns };
}

static struct sample fills(const struct pmio_pool_stat *st)
{
	return (struct sample){ st->filled_bytes, st->fill_ns };
}

/* ---- all of it --------------------------------------------------------------------------------- */

static void tell_bytes(const struct pmio_pool_stat *before, const struct pmio_pool_stat *now)
{
	const struct pmio_counts_df *a = &before->counts, *b = &now->counts;
	uint64_t past_read = since(a->pfs_read, b->pfs_read), past_written = since(a->pfs_written, b->pfs_written);

	fprintf(stderr, "report: programs wrote %s to PMEM, and read %s from it\n", TOOL_SIZE(since(a->written, b->written) - past_written),
		TOOL_SIZE(since(a->read, b->read) - past_read));
	fprintf(stderr, "report: %s were written to the file system, and %s read from it\n",
		TOOL_SIZE(since(before->drained_bytes, now->drained_bytes) + past_written),
		TOOL_SIZE(since(before->filled_bytes, now->filled_bytes) + past_read));
}

void run_report_tell(struct pmio *pm, const struct pmio_pool_stat *before, const char *times_file)
{
	bool limited;
	struct pmio_pool_stat now;
	struct redirect_times t;
	struct traffic written, read;
	uint64_t waiting;

	if (pmio_stat_sums(pm, &now) < 0)
		return;
	tell_bytes(before, &now);
	waiting = tell_waiting(pm);
	if (!read_times(times_file, &t))
		return;
	limited = now.paused || now.drain_rate_limit || before->paused || before->drain_rate_limit;
	written = estimate(t.written, drains(before, limited), drains(&now, limited));
	read = estimate(t.read, fills(before), fills(&now));
	tell_saved((double)t.ns / 1e9, &written, &read, waiting);
}
