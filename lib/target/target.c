/*
 * target.c -- the target: it serves this node's pool to processes of other nodes
 *
 * Threads:
 *
 *   lib/fabric's  receives calls; carries out those that only need memory, makes jobs of the others
 *   workers		do the jobs; as many as there are jobs that wait for something (daemon/workers.h)
 *   the first one	watches liveness sockets and long jobs, and ends the target
 *
 * One of the workers permanently runs the keeper's job, which checks whether layout files of lost processes have been
 * removed; a few run the jobs of watch.c.
 *
 * Memberships (layouts.h) belong to a process, for as long as it lives.  Open files, locks and calls belong to its
 * session, of which it has one at a time.  A session ends with the next one, with the process, or when its
 * liveness socket is silent: the network may be interrupted, or the host has stopped.  Then its files are closed, but
 * the state of the process is unknown:
 *
 *   the socket ends	the kernel there has closed it: the process is dead
 *   ... is reset	there is no such connection at its host, which was restarted: the process is dead
 *   ... is silent	not known.  The socket stays for as long as TCP sends probes (some 2 hours); its end
 *			shows that the process has died meanwhile, when its host can be reached again
 *   ... has timed out	not known, until a session of the process comes, or a user removes the layout files
 *			of its layout sessions
 *
 * The first sessions have connections of their own to the agent (links), so none waits for another one's drain;
 * with more sessions than LINKS_MAX some share one.  When such a connection is closed the agent closes the
 * files.
 *
 * Everything is under one lock, `lock`, which is not held while a job runs.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "daemon/daemon.h"
#include "core/error.h"
#include "target/target_impl.h"

#define LINKS_MAX 256	       /* of the 1024 clients that an agent accepts */
#define FDS_LINK 2
#define FDS_EACH 2	       /* a session's liveness socket, and its process's connection in libfabric */
#define FDS_OTHER 2048	       /* links, unidentified connections, files for which the pool has no room, and others */
#define TICK_MS 250
#define LEAVE_MS 2000	       /* for sessions to end, after a signal */
#define LOG_FILE "target.log"
#define IDLE_MAX 128	       /* workers that are kept: as many calls have bounce buffers */
#define STACK_SIZE (512u << 10) /* bytes, of a worker; there may be many */
#define WATCHED_MAX 16	       /* closed files that are drained at a time (watch.c); and so many more, if those hang */

/* lock held */
static void tick(struct server *s)
{
	uint64_t now = pmio_now_ms();

	target_jobs_look(s, now);
	target_liveness_look(s, now);
	relays_look(s->relays, s->workers, now);
	if (s->processes || watches_count(s->watches))
		s->busy_ms = now;
}

static bool is_unwanted(const struct server *s)
{
	struct stat st;

	return fstatat(s->dir_fd, REMOTE_ENDPOINT_FILE, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_ino != s->endpoint_ino;
}

static bool is_idle(const struct server *s)
{
	uint64_t limit = s->settings.num[PMIO_SET_IDLE_TIMEOUT] * 1000;

	return !s->config->stay && limit && pmio_now_ms() - s->busy_ms >= limit;
}

static int loop(struct server *s)
{
	struct epoll_event ev[32];
	uint64_t leave_ms = UINT64_MAX;

	s->busy_ms = pmio_now_ms();
	for (;;) {
		int n = epoll_wait(s->epoll_fd, ev, 32, TICK_MS);

		if (n < 0 && errno != EINTR)
			return -errno;
		pthread_mutex_lock(&s->lock);
		for (int i = 0; i < n; i++) {
			if (ev[i].data.u64 == ID_LISTEN)
				target_accept_liveness(s);
			else if (ev[i].data.u64 == ID_SIGNAL)
				leave_ms = leave_ms == UINT64_MAX ? pmio_now_ms() + LEAVE_MS : 0;
			else
				target_take_event(s, ev[i].data.u64);
		}
		tick(s);
		if (leave_ms == UINT64_MAX && is_unwanted(s))
			leave_ms = pmio_now_ms() + LEAVE_MS;
		n = leave_ms != UINT64_MAX && (!s->sessions || pmio_now_ms() >= leave_ms);
		if (n || is_idle(s)) {
			pmio_info("target: exiting: %s", n ? "as requested" : "idle");
			pthread_mutex_unlock(&s->lock);
			return 0;
		}
		pthread_mutex_unlock(&s->lock);
		if (leave_ms != UINT64_MAX) { /* the signal is not read: once is enough */
			struct signalfd_siginfo info;

			if (read(s->signal_fd, &info, sizeof(info)) < 0 && errno != EAGAIN)
				return -errno;
		}
	}
}

/* ---- set-up ------------------------------------------------------------------------------------------ */

static int find_address(const struct server *s, char *address, size_t size, char *service, size_t service_size)
{
	char name[NI_MAXHOST] = "";
	int rc = 0;

	*service = '\0';
	if (s->config->listen)
		rc = remote_split_listen(s->config->listen, name, sizeof(name), service, service_size);
	return rc < 0 ? rc : remote_address(*name ? name : s->settings.str[PMIO_SET_ADDRESS], address, size);
}

static int lock_pool(struct server *s)
{
	s->lock_fd = openat(s->dir_fd, REMOTE_LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->lock_fd < 0)
		return -errno;
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	/* for a process that may have to kill this one */
	if (ftruncate(s->lock_fd, 0) < 0 || dprintf(s->lock_fd, "%d\n", (int)getpid()) < 0)
		pmio_dbg("target: lock: %s", strerror(errno));
	if (unlinkat(s->dir_fd, REMOTE_ENDPOINT_FILE, 0) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

/* listen at the target's address, for the liveness sockets */
static int listen_at(struct server *s, const char *address, const char *service)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} at;
	socklen_t len = sizeof(at.in);
	int on = 1;

	memset(&at, 0, sizeof(at));
	if (inet_pton(AF_INET, address, &at.in.sin_addr) == 1) {
		at.in.sin_family = AF_INET;
	} else if (inet_pton(AF_INET6, address, &at.in6.sin6_addr) == 1) {
		at.in6.sin6_family = AF_INET6;
		len = sizeof(at.in6);
	} else {
		return -EINVAL;
	}
	s->listen_fd = socket(at.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* the port after the fabric's, so that processes with an earlier endpoint descriptor find it */
	if (*service)
		at.in.sin_port = htons((uint16_t)(atoi(service) + 1)); /* at the same offset in both */
	if (s->listen_fd >= 0)
		setsockopt(s->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (s->listen_fd < 0 || bind(s->listen_fd, &at.sa, len) < 0 || listen(s->listen_fd, SOMAXCONN) < 0 ||
	    getsockname(s->listen_fd, &at.sa, &len) < 0)
		return -errno;
	s->port = s->endpoint.liveness = ntohs(at.in.sin_port);
	return pmio_daemon_watch(s->epoll_fd, s->listen_fd, ID_LISTEN);
}

/* the key of the previous target, so that its clients find this one; otherwise a new one */
static int take_key(struct server *s)
{
	int rc = s->config->endpoint_file ? remote_endpoint_keep_key(s->config->endpoint_file, &s->endpoint) : -ENOENT;

	return rc == -ENOENT ? pmio_fabric_new_key(s->endpoint.key) : rc;
}

static int advertise(struct server *s, const char *address, const char *service)
{
	struct pmio_fabric_config c = {
		.provider = s->settings.str[PMIO_SET_PROVIDER], .address = address,
		.service = *service ? service : NULL, .key = s->endpoint.key,
		.timeout_ms = (unsigned)s->settings.num[PMIO_SET_TIMEOUT] * 1000, .munge = s->settings.str[PMIO_SET_MUNGE],
	};
	size_t size = NR_BUFFERS * (size_t)REMOTE_BUFFER_SIZE;
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int rc;

	if (p == MAP_FAILED)
		return -errno;
	s->memory = p;
	rc = pmio_fabric_target_new(&c, p, size, target_take_call, s, &s->target);
	if (rc == 0)
		pmio_fabric_target_endpoint(s->target, &s->endpoint.fabric);
	return rc;
}

static int catch_signals(struct server *s)
{
	s->signal_fd = pmio_daemon_signals();
	return s->signal_fd < 0 ? s->signal_fd : pmio_daemon_watch(s->epoll_fd, s->signal_fd, ID_SIGNAL);
}

/*
 * the endpoint descriptor needs the pool's uuid and chunk size: ask its agent, which also recovers the pool after a
 * crash
 */
static int look_at_pool(struct server *s)
{
	struct pmio *pm;
	int rc = client_connect(&s->settings, NULL, false, false, &pm);

	if (rc < 0)
		return rc;
	pmio_pool_uuid(pm, s->endpoint.uuid);
	s->endpoint.chunk_size = pm->view->chunk_size;
	pmio_disconnect(&pm);
	return 0;
}

/* signals are caught: the threads do not get them */
static int start_workers(struct server *s)
{
	static const struct workers_config c = {
		.daemon = "target", .nr_bulk = WATCHED_MAX, .nr_stuck = WATCHED_MAX, .nr_idle = IDLE_MAX, .stack_size = STACK_SIZE,
	};
	int rc = workers_new(&c, &s->workers);

	if (rc < 0)
		return rc;
	s->watches = watches_new(s->workers, &s->settings, s->endpoint.uuid, target_layout_active, s);
	s->relays = relays_new(&s->settings, s->endpoint.uuid);
	return s->watches && s->relays ? 0 : -ENOMEM;
}

static int set_up(struct server *s)
{
	struct stat st;
	const struct remote_target_config *c = s->config;
	char address[INET6_ADDRSTRLEN], service[8] = "";
	int rc = look_at_pool(s);

	if (rc < 0)
		return rc; /* it was logged */
	s->dir_fd = open(c->pool_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	rc = s->dir_fd < 0 ? -errno : lock_pool(s);
	if (rc == 0)
		rc = find_address(s, address, sizeof(address), service, sizeof(service));
	if (rc == 0 && gethostname(s->endpoint.host, sizeof(s->endpoint.host) - 1) < 0)
		rc = -errno;
	if (rc == 0) {
		s->log_fd = pmio_daemon_open_log("target", c->log_file, s->dir_fd, LOG_FILE, c->foreground);
		s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
		rc = s->epoll_fd < 0 ? -errno : catch_signals(s);
	}
	if (rc == 0)
		rc = start_workers(s);
	if (rc == 0)
		rc = listen_at(s, address, service);
	if (rc == 0)
		rc = take_key(s);
	if (rc == 0)
		rc = advertise(s, address, service);
	if (rc == 0 && c->endpoint_file)
		rc = remote_endpoint_save(AT_FDCWD, c->endpoint_file, &s->endpoint);
	if (rc == 0)
		rc = remote_endpoint_save(s->dir_fd, REMOTE_ENDPOINT_FILE, &s->endpoint);
	if (rc == 0 && fstatat(s->dir_fd, REMOTE_ENDPOINT_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0)
		s->endpoint_ino = st.st_ino;
	if (rc < 0)
		pmio_err("target for %s: %s", c->pool_dir, pmio_strerror(rc));
	return rc;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* the remaining sessions lose their connections, and the agent closes their files */
static void tear_down(struct server *s)
{
	struct workers *w = s->workers; /* s keeps it, for the jobs that still run */

	if (s->endpoint.chunk_size && s->lock_fd >= 0)
		unlinkat(s->dir_fd, REMOTE_ENDPOINT_FILE, 0);
	pmio_fabric_target_delete(&s->target);
	workers_delete(&w, 0); /* no further job is begun */
	close_fd(&s->listen_fd);
	close_fd(&s->signal_fd);
	close_fd(&s->epoll_fd);
	/* the settings are not freed: watches may be about to connect */
}

/* raise the limit of descriptors, and derive the limits of sessions from it */
static void limit_sessions(struct server *s)
{
	struct rlimit r = { 0, 0 };
	rlim_t all = (rlim_t)SESSIONS_MAX * FDS_EACH + FDS_OTHER, other;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &r) < 0)
			pmio_warn("target: limit of descriptors: %s", strerror(errno));
	}
	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < all)
		all = r.rlim_cur;
	/* if there are few, sessions get half of them */
	other = all / 2 < FDS_OTHER ? all / 2 : FDS_OTHER;
	s->sessions_max = (unsigned)((all - other) / FDS_EACH);
	s->links_max = other / 4 / FDS_LINK < LINKS_MAX ? (unsigned)(other / 4 / FDS_LINK) : LINKS_MAX;
	s->links_max += s->links_max == 0;
	s->pending_max = (unsigned)(other / 4);
	s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int serve(struct pmio_daemon *d, void *arg)
{
	const struct remote_target_config *c = arg;
	struct server *s = calloc(1, sizeof(*s)); /* never freed: workers may be in a call up to the very end */
	int rc;

	if (!s)
		return -ENOMEM;
	s->config = c;
	s->dir_fd = s->lock_fd = s->log_fd = s->epoll_fd = s->signal_fd = s->listen_fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	umask(0); /* the modes of new files come from clients */
	s->layouts = layouts_new();
	rc = s->layouts ? pmio_settings_copy(&s->settings, c->settings) : -ENOMEM;
	limit_sessions(s);
	if (rc == 0)
		rc = set_up(s);
	pmio_daemon_ready(d, rc);
	if (rc == 0) {
		pmio_daemon_is_up(c->foreground, s->log_fd);
		pmio_info("target: serving %s as %s", c->pool_dir, s->endpoint.host);
		if (s->settings.num[PMIO_SET_MUNGE] == PMIO_MUNGE_AUTO && !pmio_fabric_target_has_munge(s->target))
			pmio_warn("target: munge=auto, but MUNGE does not work here: anyone who has the key is accepted");
		if (c->endpoint_file)
			target_watch_known(s);
		rc = loop(s);
	}
	tear_down(s);
	pmio_daemon_log(-1);
	/* the end of the process ends threads that wait for a file system, and frees the lock */
	fflush(NULL);
	_exit(rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}

int remote_target_run(const struct remote_target_config *config)
{
	struct remote_target_config c = *config;
	struct pmio_daemon d = { .foreground = c.foreground, .ready_fd = c.ready_fd };

	return pmio_daemon_run(&d, serve, &c);
}
