/* agent.c -- set-up, detaching, the loop, and the end of the agent */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uthash.h>
#include <utlist.h>

#include "agent/agent.h"
#include "agent/background.h"
#include "agent/close.h"
#include "agent/conn.h"
#include "agent/drain.h"
#include "agent/file.h"
#include "agent/idle.h"
#include "agent/mappings.h"
#include "agent/marks.h"
#include "agent/name_survey.h"
#include "agent/ops.h"
#include "agent/orphan.h"
#include "agent/pfs_fd.h"
#include "agent/recover.h"
#include "agent/reply.h"
#include "agent/request.h"
#include "agent/state.h"
#include "agent/syncs.h"
#include "agent/throttle.h"
#include "agent/zero_reserve.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/log.h"
#include "daemon/daemon.h"

#define LOG_FILE "agent.log"
#define STACK_SIZE (256u << 10) /* bytes, of a worker */
#define STUCK_MAX 512 /* drains and fills that hang; with more, those of other devices only */
#define LEAVE_LIMIT_MS 2000 /* at exit: how long to wait for calls to file systems */
#define CLIENTS_LIMIT_MS 2000 /* for clients to end, which got the same signal */

#define ID_SIGNAL (UINT64_MAX - 1)
#define ID_WORKERS (UINT64_MAX - 2)

/* ---- the pool --------------------------------------------------------------------- */

static int open_pool(const struct pmio_agent_config *cfg, struct pmio_pool **pool)
{
	struct pmio_pool_params params = { .size = cfg->pool_size, .chunk_size = cfg->chunk_size };
	int rc = pmio_pool_vacant(cfg->pool_dir, LOG_FILE);

	if (rc == 1 || (rc == -ENOENT && cfg->make_dir)) {
		if (cfg->size_is_default)
			params.size = pmio_pool_default_size(cfg->pool_dir, params.size);
		rc = pmio_pool_check_dir(cfg->pool_dir, rc == 1, NULL);
		if (rc == 0 || rc == -ENOENT)
			rc = pmio_pool_create(cfg->pool_dir, &params);
		if (rc < 0 && rc != -EEXIST)
			return rc;
		if (cfg->make_dir && rc == 0)
			pmio_warn("created a pool of %llu MiB in %s: its contents do not survive a reboot "
				  "(see PMIO_POOL in pmio(7))",
				  (unsigned long long)(params.size >> 20), cfg->pool_dir);
	}
	return pmio_pool_open(cfg->pool_dir, pool);
}

/* ---- set-up ------------------------------------------------------------------------ */

static int catch_signals(struct agent *a)
{
	a->signal_fd = pmio_daemon_signals();
	return a->signal_fd < 0 ? a->signal_fd : pmio_daemon_watch(a->epoll_fd, a->signal_fd, ID_SIGNAL);
}

static int start_workers(struct agent *a)
{
	const struct workers_config c = {
		.daemon = "agent", .nr_bulk = a->config->drain_threads,
		.most_bulk = a->config->drain_threads * DRAIN_DEPTH, .nr_stuck = STUCK_MAX,
		.nr_idle = a->config->drain_threads + 1, .stack_size = STACK_SIZE,
	};

	return workers_new(&c, &a->workers);
}

static int set_up(struct agent *a)
{
	int rc = open_pool(a->config, &a->pool);

	if (rc < 0)
		return rc;
	a->view = pmio_pool_view(a->pool);
	a->dispatch = ops_dispatch;
	a->idle = files_idle;
	a->log_fd = pmio_daemon_open_log("agent", a->config->log_file, pmio_pool_dir_fd(a->pool), LOG_FILE, a->config->foreground);
	a->client_used = calloc(a->view->nr_clients, 1);
	if (!a->client_used)
		return -ENOMEM;
	a->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	rc = a->epoll_fd < 0 ? -errno : catch_signals(a);
	if (rc == 0)
		rc = start_workers(a);
	if (rc == 0)
		rc = pmio_daemon_watch(a->epoll_fd, workers_event_fd(a->workers), ID_WORKERS);
	if (rc == 0)
		rc = files_load(a);
	if (rc == 0)
		rc = conn_listen(a);
	if (rc < 0)
		pmio_err("agent for %s: %s", a->config->pool_dir, pmio_strerror(rc));
	return rc;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/*
 * the client that requested the shutdown is answered when the pool is free for other agents, or when it is known that it
 * will not be yet
 */
static void answer_shutdown(struct agent *a, int status)
{
	if (a->shutdown)
		request_finish(a, a->shutdown, status);
	a->shutdown = NULL;
}

static void drop_deferred(struct request **list)
{
	struct request *r, *next;

	DL_FOREACH_SAFE(*list, r, next) {
		DL_DELETE(*list, r);
		if (r->fd >= 0)
			close(r->fd);
		free(r);
	}
}

static void drop_connections(struct agent *a)
{
	struct conn *c, *tmp;

	HASH_ITER(hh, a->conns, c, tmp) {
		HASH_DEL(a->conns, c);
		conn_free(c); /* a client that waits for an answer asks the next agent */
	}
	drop_deferred(&a->late);
	drop_deferred(&a->no_fds);
	drop_deferred(&a->after_removals);
}

/*
 * Some threads are in calls to a file system that hangs.  One may be writing from
 * a frame, so the next agent must not get the pool yet: its lock is released with the
 * last thread, which ends as soon as the kernel lets it.
 */
static void leave_threads(struct agent *a)
{
	pmio_err("agent: exiting, but calls to a file system hang; the pool stays locked until they return");
	answer_shutdown(a, -EINPROGRESS);
	drop_connections(a);
	_exit(EXIT_FAILURE);
}

static void tear_down(struct agent *a)
{
	if (a->listen_fd >= 0)
		unlinkat(pmio_pool_dir_fd(a->pool), PMIO_SOCKET_NAME, 0);
	close_fd(&a->listen_fd);
	drain_stop_all(a);
	if (!workers_delete(&a->workers, LEAVE_LIMIT_MS))
		leave_threads(a);
	files_free(a);
	pmio_pool_close(&a->pool);
	answer_shutdown(a, a->shutdown_status);
	drop_connections(a);
	close_fd(&a->epoll_fd);
	close_fd(&a->signal_fd);
	free(a->client_used);
}

/* ---- the loop ------------------------------------------------------------------------ */

static const struct file *find_failed(const struct agent *a)
{
	for (struct file *f = a->files; f; f = f->hh.next) {
		if (f->nr_handles == 0 && f->state == PMIO_FILE_FAILED)
			return f;
	}
	return NULL;
}

static bool has_batches(const struct agent *a)
{
	return a->syncs.list || a->marks.list;
}

static bool is_clean(const struct agent *a)
{
	if (a->nr_jobs || has_batches(a))
		return false;
	for (struct file *f = a->files; f; f = f->hh.next) {
		if (f->state != PMIO_FILE_CLEAN)
			return false;
	}
	return true;
}

static void start_leaving(struct agent *a)
{
	struct file *f, *tmp;

	HASH_ITER(hh, a->files, f, tmp) {
		if (f->nr_handles == 0 && f->state == PMIO_FILE_FAILED) {
			file_event(f, FILE_DRAIN_WANTED);
			files_idle(a, f);
		}
	}
}

/* shutdown requested, and no drain is running: exit, or stay if data could not be drained */
static void finish_draining(struct agent *a)
{
	const struct file *failed = find_failed(a);

	/* after a signal, programs that still run continue with the next agent, which tries again */
	if (!failed || (a->clients_until_ns && conn_count_clients(a))) {
		a->state = AGENT_LEAVING;
		return;
	}
	a->state = AGENT_RUNNING;
	a->clients_until_ns = 0;
	requests_retry(a, &a->late);
	answer_shutdown(a, failed->error ? -failed->error : -EIO);
}

/*
 * The end of a job step sends SIGTERM to all its processes, and some time later
 * SIGKILL: programs that end now leave files that can still be drained.
 */
static void take_signal(struct agent *a)
{
	struct signalfd_siginfo info;

	if (read(a->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	pmio_info("agent: signal %u", info.ssi_signo);
	if (a->state != AGENT_RUNNING || atomic_load(&a->throttle.paused)) {
		a->state = AGENT_LEAVING;
		return;
	}
	a->state = AGENT_DRAINING;
	a->clients_until_ns = pmio_now_ns() + CLIENTS_LIMIT_MS * 1000000ULL;
}

/* milliseconds for which to wait for clients that were told to end */
static int clients_wait_ms(const struct agent *a)
{
	uint64_t now = pmio_now_ns();

	if (!conn_count_clients(a) || now >= a->clients_until_ns)
		return 0;
	return (int)((a->clients_until_ns - now) / 1000000) + 1;
}

static void remove_dead(struct agent *a)
{
	struct conn *c, *tmp;

	HASH_ITER(hh, a->conns, c, tmp) {
		if (c->dead)
			conn_remove(a, c);
	}
}

static int sooner(int ms, int other_ms)
{
	return ms < 0 || (other_ms >= 0 && other_ms < ms) ? other_ms : ms;
}

/* milliseconds until the next batch of work for many files */
static int batch_wait_ms(const struct agent *a)
{
	return sooner(syncs_wait_ms(a), marks_wait_ms(a));
}

/* no client needs the agent: the wait for an event may time out */
static bool is_idle(const struct agent *a)
{
	return a->state == AGENT_RUNNING && !conn_count_clients(a) && is_clean(a);
}

/* milliseconds to wait for events; -1: no limit */
static int next_timeout(struct agent *a)
{
	uint64_t now;

	if (a->state == AGENT_DRAINING && a->nr_jobs)
		return -1;
	if (a->state == AGENT_DRAINING)
		return has_batches(a) ? batch_wait_ms(a) : clients_wait_ms(a);
	now = pmio_now_ms();
	if (conn_count_clients(a) || !is_clean(a)) {
		a->last_busy_ms = now;
		return sooner(sooner(background_wait_ms(a), survey_wait_ms(a)), sooner(sooner(orphan_wait_ms(a), maps_wait_ms(a)), batch_wait_ms(a)));
	}
	if (a->orphaned)
		return 0; /* no client can reach this agent any more */
	if (a->config->idle_timeout_s == 0)
		return -1;
	return agent_until_ms(a->last_busy_ms + (uint64_t)a->config->idle_timeout_s * 1000);
}

/* true: a client may have received an answer */
static bool handle_event(struct agent *a, uint64_t id)
{
	bool zeroing = a->zero_reserve.running;
	struct conn *c;

	if (id == ID_LISTEN) {
		while (conn_accept(a) == 0)
			;
	} else if (id == ID_SIGNAL) {
		take_signal(a);
	} else if (id == ID_WORKERS) {
		workers_reap(a->workers, a);
		return !zeroing || a->zero_reserve.running;
	} else {
		c = agent_conn(a, id);
		if (c)
			conn_readable(a, c);
	}
	return true;
}

#define EVENTS_MAX 64

/* after an answer the loop polls briefly: the client often sends its next request at once */
static int await_events(struct agent *a, struct epoll_event *events, int timeout, uint64_t answered_ns)
{
	uint64_t since = pmio_now_ns() - answered_ns;
	struct pmio_spin rest = { .ns = since < a->spin.ns ? a->spin.ns - since : 0 };

	if (timeout != 0 && pmio_proto_soon(a->epoll_fd, &rest))
		timeout = 0;
	return epoll_wait(a->epoll_fd, events, EVENTS_MAX, timeout);
}

static int loop(struct agent *a)
{
	struct epoll_event events[EVENTS_MAX];
	uint64_t answered_ns = 0, now; /* when the last answer was sent */
	int n;

	while (a->state != AGENT_LEAVING) {
		enum agent_state before = a->state;
		int timeout = next_timeout(a);
		bool answers = false;

		n = await_events(a, events, timeout, answered_ns);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0 && timeout >= 0 && is_idle(a)) {
			orphan_leave(a);
			pmio_info("agent: idle, leaving");
			break;
		}
		now = pmio_now_ns();
		for (int i = 0; i < n && a->state != AGENT_LEAVING; i++)
			answers |= handle_event(a, events[i].data.u64);
		if (answers) {
			pmio_spin_learn(&a->spin, now - answered_ns);
			answered_ns = pmio_now_ns();
		}
		remove_dead(a);
		if (a->fd_closed)
			requests_retry(a, &a->no_fds);
		a->fd_closed = false;
		background_look(a);
		survey_look(a);
		orphan_look(a);
		maps_look(a);
		marks_look(a);
		syncs_look(a);
		zero_reserve_more(a);
		if (before == AGENT_RUNNING && a->state == AGENT_DRAINING)
			start_leaving(a);
		if (a->state == AGENT_DRAINING && a->nr_jobs == 0 && !has_batches(a) && clients_wait_ms(a) == 0)
			finish_draining(a);
	}
	return 0;
}

/* ---- detaching ------------------------------------------------------------------------- */

static int serve(struct pmio_daemon *d, void *arg)
{
	const struct pmio_agent_config *cfg = arg;
	struct agent a = {
		.config = cfg, .spin.max_ns = PMIO_SPIN_REQUEST_NS, .epoll_fd = -1, .listen_fd = -1, .signal_fd = -1, .log_fd = -1,
	};
	int rc;

	throttle_init(&a.throttle, cfg->drain_rate);
	pfs_limit_fds(cfg->drain_threads);
	umask(0); /* the modes of new files come from clients */
	a.started_ms = a.last_busy_ms = pmio_now_ms();
	rc = set_up(&a);
	pmio_daemon_ready(d, rc);
	if (rc == 0) {
		pmio_daemon_is_up(cfg->foreground, a.log_fd);
		pmio_info("agent: serving %s", cfg->pool_dir);
		rc = loop(&a);
	}
	tear_down(&a);
	pmio_daemon_log(-1);
	close_fd(&a.log_fd);
	return rc;
}

int pmio_agent_run(const struct pmio_agent_config *config)
{
	struct pmio_agent_config cfg = *config;
	struct pmio_daemon d = { .foreground = cfg.foreground, .ready_fd = cfg.ready_fd };

	return pmio_daemon_run(&d, serve, &cfg);
}
