#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"

#define BAR_EVERY 0.1	/* seconds */
#define EVENT_EVERY 1.0
#define RATE_EVERY 0.5	/* seconds between samples */
#define BAR_MIN 6	/* columns */
#define BAR_MAX 40
#define TEXT_WIDTH 59	/* columns for the longest text beside the bar and the name */

double tool_now(void)
{
	return (double)pmio_now_ns() / 1e9;
}

/* a moving average, in which recent samples count most */
static void measure(struct tool_progress *p)
{
	double now = tool_now(), seconds = now - p->rate_since, current;

	if (seconds < (p->rate > 0 ? RATE_EVERY : 0.01))
		return;
	current = (double)(p->bytes_done - p->rate_bytes) / seconds;
	p->rate = p->rate > 0 ? 0.7 * p->rate + 0.3 * current : current;
	p->rate_since = now;
	p->rate_bytes = p->bytes_done;
}

/* -1: not known */
static double seconds_left(const struct tool_progress *p)
{
	uint64_t left = p->bytes > p->bytes_done ? p->bytes - p->bytes_done : 0;

	if (left == 0)
		return 0;
	return p->rate > 0 ? (double)left / p->rate : -1;
}

/* ---- the bar ------------------------------------------------------------------- */

static unsigned columns(void)
{
	struct winsize ws;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col >= 20 ? ws.ws_col : 80;
}

/* whole percents; 100 only when everything is done */
static unsigned percent(const struct tool_progress *p)
{
	if (p->bytes_done >= p->bytes)
		return 100;
	return (unsigned)((double)p->bytes_done / (double)p->bytes * 100);
}

static void format_left(char *buf, size_t size, double seconds)
{
	unsigned long s = (unsigned long)(seconds + 0.5);

	if (seconds < 0 || seconds > 359999)
		snprintf(buf, size, "-:--:--");
	else
		snprintf(buf, size, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
}

static void draw(const struct tool_progress *p)
{
	char left[32], name[64], text[160], bar[BAR_MAX + 1], line[512];
	char done[TOOL_SIZE_LEN], all[TOOL_SIZE_LEN];
	unsigned width = columns(), filled, room = BAR_MIN;

	snprintf(name, sizeof(name), "%s", p->command);
	if (p->nr_files > 1)
		snprintf(name, sizeof(name), "%s %zu/%zu", p->command, p->nr_done + p->nr_failed,
			 p->nr_files);
	format_left(left, sizeof(left), seconds_left(p));
	snprintf(text, sizeof(text), "%3u%% %10s of %s %10s/s %s left", percent(p),
		 tool_size(done, p->bytes_done < p->bytes ? p->bytes_done : p->bytes),
		 tool_size(all, p->bytes), TOOL_SIZE((uint64_t)p->rate), left);
	if (width > strlen(name) + TEXT_WIDTH + BAR_MIN)
		room = width - (unsigned)strlen(name) - TEXT_WIDTH;
	if (room > BAR_MAX)
		room = BAR_MAX;
	filled = room * percent(p) / 100;
	memset(bar, '#', filled);
	memset(bar + filled, '.', room - filled);
	bar[room] = '\0';
	/* a wrapped line could not be erased again */
	snprintf(line, width < sizeof(line) ? width : sizeof(line), "%s [%s] %s", name, bar, text);
	tool_status_line("%s", line);
}

/* ---- events -------------------------------------------------------------------- */

static struct json_object *event(const struct tool_progress *p, const char *name)
{
	struct json_object *o = json_object_new_object();

	tool_add_string(o, "event", name);
	tool_add_string(o, "command", p->command);
	return o;
}

static void add_numbers(struct json_object *o, const struct tool_progress *p)
{
	tool_add(o, "files", p->nr_files);
	tool_add(o, "files_done", p->nr_done);
	tool_add(o, "files_failed", p->nr_failed);
	tool_add(o, "bytes", p->bytes);
	tool_add(o, "bytes_done", p->bytes_done);
}

static void print_progress(const struct tool_progress *p)
{
	struct json_object *o = event(p, "progress");
	double left = seconds_left(p);

	add_numbers(o, p);
	tool_add(o, "rate", (uint64_t)p->rate);
	json_object_object_add(o, "seconds_left", left < 0 ? NULL : json_object_new_double(left));
	tool_print_event(o);
}

/* ---- all ----------------------------------------------------------------------- */

void tool_progress_start(struct tool_progress *p, const char *pool)
{
	p->bar = !p->tool->json && !p->tool->quiet && isatty(STDERR_FILENO);
	p->start = p->shown = p->rate_since = tool_now();
	if (p->tool->json) {
		struct json_object *o = event(p, "start");

		if (pool)
			tool_add_string(o, "pool", pool);
		tool_add(o, "files", p->nr_files);
		tool_add(o, "bytes", p->bytes);
		tool_print_event(o);
	}
}

void tool_progress_show(struct tool_progress *p)
{
	double now = tool_now();

	if (now - p->shown < (p->tool->json ? EVENT_EVERY : BAR_EVERY))
		return;
	p->shown = now;
	measure(p);
	if (p->bar)
		draw(p);
	else if (p->tool->json)
		print_progress(p);
}

void tool_progress_file(struct tool_progress *p, const char *path, uint64_t bytes, int rc)
{
	struct json_object *o;

	if (rc < 0)
		p->nr_failed++;
	else
		p->nr_done++;
	if (!p->tool->json)
		return;
	o = event(p, rc < 0 ? "error" : "file");
	tool_add_string(o, "path", path);
	if (rc < 0)
		tool_add_string(o, "error", pmio_strerror(rc));
	tool_add(o, "bytes", bytes);
	tool_print_event(o);
}

int tool_progress_end(struct tool_progress *p)
{
	int status = p->partly ? TOOL_PARTLY : tool_exit_of(p->nr_done, p->nr_failed);
	double seconds = tool_now() - p->start;

	measure(p);
	if (p->bar) {
		draw(p); /* so that a short transfer is visible at all */
		tool_status_clear();
	}
	if (p->tool->json) {
		struct json_object *o;

		print_progress(p);
		o = event(p, "done");
		tool_add_string(o, "status", tool_exit_word(status));
		add_numbers(o, p);
		json_object_object_add(o, "seconds", json_object_new_double(seconds));
		tool_print_event(o);
	}
	return status;
}
