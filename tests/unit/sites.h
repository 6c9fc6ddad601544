/*
 * sites.h -- for the tests of lib/remote: three nodes that are pools of this machine
 *
 * Each has an agent and a target of its own, on the loopback, and this process has a
 * connection to each.  What another process is to do is a role: this program started anew.
 */
#ifndef PMIO_TESTS_UNIT_SITES_H
#define PMIO_TESTS_UNIT_SITES_H

#include "lsan.h"
#include "scratch.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "client/admin.h"
#include "remote/remote_impl.h"
#include "remote/striped_impl.h"

enum { SITES = 3, CHUNK = 1 << 20 };
#define TIMEOUT_S "4"	    /* after so long a target is down, in these tests */
#define PATIENCE_MS 60000   /* for what is to happen in the end */

struct site {
	struct pmio *pm;
	struct remote_endpoint endpoint;
	char pool[PATH_MAX / 2 + 16];
};

static struct scratch root;
static struct site sites[SITES];
static const struct pmio_settings *settings; /* of the first one's */
static char path[PATH_MAX];		     /* of the test's file */
static bool relays;			     /* calls that move no data go by the node's target */

/* poll until cond is true; fails the test when that is never so */
#define await(cond) \
	do { \
		int waited_ms = 0; \
		for (; !(cond) && waited_ms < PATIENCE_MS; waited_ms += 10) \
			usleep(10000); \
		if (waited_ms >= PATIENCE_MS) \
			fail_msg("in vain: %s", #cond); \
	} while (0)

/* a file's list of targets: these sites, one after the other from that one on */
static inline struct remote_layout layout_of_sites(enum pmio_placement placement, unsigned first, uint32_t nr)
{
	struct remote_layout u = { .placement = placement, .nr = nr, .relays = relays };

	u.endpoints = calloc(u.nr, sizeof(*u.endpoints));
	assert_non_null(u.endpoints);
	for (uint32_t i = 0; i < u.nr; i++)
		u.endpoints[i] = sites[(first + i) % SITES].endpoint;
	return u;
}

/* its metadata server is not here */
static inline struct remote_layout layout_of_all(enum pmio_placement placement)
{
	return layout_of_sites(placement, 1, placement == PMIO_PLACE_SINGLE ? 1 : SITES);
}

/* a test once more, with calls that move no data relayed by the node's target */
#define test_relayed(f) { #f "_relayed", f, relay_calls, relay_no_calls, NULL }

static inline int relay_calls(void **state)
{
	(void)state;
	relays = true;
	return 0;
}

static inline int relay_no_calls(void **state)
{
	(void)state;
	relays = false;
	return 0;
}

/* ---- files ------------------------------------------------------------------------------ */

#define RW (PMIO_OPEN_READ | PMIO_OPEN_WRITE)

/* a file of this test's own in the scratch folder, which is the PFS */
static inline void name_file(const char *name)
{
	snprintf(path, sizeof(path), "%s", scratch_file(&root, name));
}

static inline bool exists(const char *name)
{
	return access(name, F_OK) == 0;
}

static inline void put_text(const char *name, const char *text, mode_t mode)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

/* owned by the caller; 0-terminated */
static inline char *get_text(const char *name, size_t *len)
{
	int fd = open(name, O_RDONLY);
	struct stat st;
	char *text;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	text = calloc(1, (size_t)st.st_size + 1);
	assert_non_null(text);
	assert_int_equal(read(fd, text, (size_t)st.st_size + 1), st.st_size);
	close(fd);
	if (len)
		*len = (size_t)st.st_size;
	return text;
}

static inline void assert_on_pfs(const uint8_t *want, size_t len)
{
	size_t have_len;
	char *have = get_text(path, &have_len);

	assert_int_equal(have_len, len);
	assert_memory_equal(have, want, len);
	free(have);
}

static inline uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 8;
}

static inline void fill_pattern(uint8_t *buf, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)((i * 2654435761u + seed * 40503u) >> 13);
}

/* ---- sites ------------------------------------------------------------------------------- */

/* the scratch folder */
static inline bool make_root(void)
{
	return scratch_init(&root, getenv("PMIO_TEST_DIR") ? getenv("PMIO_TEST_DIR") : "/dev/shm");
}

static inline int start_site(unsigned i)
{
	struct site *s = &sites[i];
	int rc;

	snprintf(s->pool, sizeof(s->pool), "%s/pool%u", root.path, i);
	if (mkdir(s->pool, 0700) < 0)
		return -errno;
	rc = pmio_connect(s->pool, &s->pm);
	return rc < 0 ? rc : remote_advertise(s->pm, &s->endpoint);
}

static inline void set_environment(void)
{
	char agent[PATH_MAX], absolute[PATH_MAX];

	snprintf(agent, sizeof(agent), "%s/pmiod", getenv("top_builddir") ? getenv("top_builddir") : ".");
	/* targets, which start agents too, have another working directory */
	setenv("PMIO_AGENT", realpath(agent, absolute) ? absolute : agent, 1);
	setenv("PMIO_CONF", "/dev/null", 1);
	setenv("PMIO_POOL_SIZE", "32MiB", 1);
	setenv("PMIO_IDLE_TIMEOUT", "20", 1);
	setenv("PMIO_ADDRESS", "127.0.0.1", 1);
	setenv("PMIO_TIMEOUT", TIMEOUT_S, 1);
	unsetenv("PMIO_POOL");
}

static inline int start_sites(void **state)
{
	(void)state;
	set_environment();
	if (!make_root())
		return -1;
	for (unsigned i = 0; i < SITES; i++) {
		if (start_site(i) < 0)
			return -1;
	}
	settings = &sites[0].pm->settings;
	return 0;
}

static inline bool is_locked(const struct site *s)
{
	char lock[PATH_MAX];
	int fd;
	bool locked;

	snprintf(lock, sizeof(lock), "%s/" REMOTE_LOCK_FILE, s->pool);
	fd = open(lock, O_RDONLY);
	locked = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0;
	if (fd >= 0)
		close(fd);
	return locked;
}

static inline pid_t target_of(unsigned i)
{
	struct remote_stat_answer_msg st;

	assert_int_equal(remote_stat(settings, &sites[i].endpoint, &st), 0);
	return (pid_t)st.pid;
}

static inline unsigned sessions_of(unsigned i)
{
	struct remote_stat_answer_msg st;

	assert_int_equal(remote_stat(settings, &sites[i].endpoint, &st), 0);
	return st.nr_sessions;
}

static inline pid_t agent_of(unsigned i)
{
	struct pmio_pool_stat st;

	assert_int_equal(pmio_stat_pool(sites[i].pm, &st), 0);
	return (pid_t)st.agent_pid;
}

/* stopped it is some time after it has been told to: all of its threads */
static inline bool is_stopped(pid_t pid)
{
	char name[64], text[512];
	bool all = true;
	struct dirent *d;
	DIR *tasks;

	snprintf(name, sizeof(name), "/proc/%d/task", (int)pid);
	tasks = opendir(name);
	while (tasks && (d = readdir(tasks)) != NULL) {
		FILE *f = NULL;

		if (*d->d_name != '.') {
			snprintf(name, sizeof(name), "/proc/%d/task/%.20s/stat", (int)pid, d->d_name);
			f = fopen(name, "r");
		}
		if (f && fgets(text, sizeof(text), f))
			all = all && strstr(text, ") T ");
		if (f)
			fclose(f);
	}
	if (tasks)
		closedir(tasks);
	return tasks && all;
}

static inline void stop_process(pid_t pid)
{
	kill(pid, SIGSTOP);
	await(is_stopped(pid));
}

static inline void kill_target(unsigned i)
{
	kill(target_of(i), SIGKILL);
	await(!is_locked(&sites[i]));
}

/* it leaves when it has no sessions; what a failed test has left is killed */
static inline void end_target(const struct site *s, pid_t pid)
{
	kill(pid, SIGCONT);
	kill(pid, SIGTERM);
	for (int i = 0; i < 1000 && is_locked(s); i++)
		usleep(10000);
	if (is_locked(s))
		kill(pid, SIGKILL);
}

static inline int stop_sites(void **state)
{
	pid_t targets[SITES] = { 0 };

	(void)state;
	for (unsigned i = 0; i < SITES; i++) {
		struct remote_stat_answer_msg st;

		if (settings && remote_stat(settings, &sites[i].endpoint, &st) == 0)
			targets[i] = (pid_t)st.pid;
	}
	remote_disconnect_all();
	for (unsigned i = 0; i < SITES; i++) {
		struct pmio *admin;

		if (targets[i])
			end_target(&sites[i], targets[i]);
		pmio_disconnect(&sites[i].pm);
		if (*sites[i].pool && pmio_attach(sites[i].pool, &admin) == 0) {
			pmio_shutdown(admin, true);
			pmio_disconnect(&admin);
		}
	}
	scratch_fini(&root);
	return 0;
}

/* ---- files at sites ------------------------------------------------------------------------- */

static inline struct pmio_file *open_at(unsigned site, uint32_t flags)
{
	struct client_open how = { .flags = flags, .mode = 0644 };
	struct pmio_file *f;

	assert_int_equal(remote_open(settings, &sites[site].endpoint, path, &how, &f), 0);
	return f;
}

static inline void begin_layout(struct remote_layout *layout)
{
	put_text(path, "", 0644);
	assert_int_equal(remote_layout_begin(settings, path, layout), 0);
	for (unsigned i = 0; i < layout->nr; i++)
		assert_int_equal(remote_layout_serve(settings, &layout->endpoints[i], layout), 0);
}

static inline struct pmio_file *mds_of(struct pmio_file *f)
{
	struct pmio_file *mds;

	assert_int_equal(striped_get_target(striped_of(f), 0, &mds), 0);
	return mds;
}

/* more of them than the session has bounce buffers */
enum { THREADS = 6, PART = 3 << 20 };
struct part {
	struct pmio_file *f;
	unsigned nr;
};

static inline void *use_part(void *arg)
{
	const struct part *part = arg;
	uint8_t *model = calloc(1, PART), *buf = malloc(PART);
	uint32_t seed = part->nr;
	intptr_t bad = 0;

	for (int i = 0; i < 60; i++) {
		size_t off = next_random(&seed) % PART, len = 1 + next_random(&seed) % (i % 4 ? 9000 : PART);
		off_t at = (off_t)(part->nr * PART + off);

		if (len > PART - off)
			len = PART - off;
		fill_pattern(buf, len, seed);
		memcpy(model + off, buf, len);
		bad += pmio_pwrite(part->f, buf, len, at) != (ssize_t)len;
		memset(buf, 0, len);
		bad += pmio_pread(part->f, buf, len, at) != (ssize_t)len || memcmp(buf, model + off, len) != 0;
	}
	free(model);
	free(buf);
	return (void *)bad;
}

/* f is closed by this */
static inline void let_threads_share(struct pmio_file *f)
{
	struct part parts[THREADS];
	pthread_t t[THREADS];
	void *bad;

	assert_int_equal(pmio_truncate(f, THREADS * PART), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		parts[i] = (struct part){ f, i };
		assert_int_equal(pthread_create(&t[i], NULL, use_part, &parts[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(t[i], &bad);
		assert_null(bad);
	}
	assert_int_equal(pmio_close(&f), 0);
}

/* ---- other processes ------------------------------------------------------------------------ */

/* start a role with the arguments (up to NULL); out: what it writes is read there */
static inline pid_t start_role(int *out, const char *role, const char *arg)
{
	char *argv[] = { (char *)"test", (char *)role, root.path, (char *)arg, NULL };
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fds[1], 3);
		if (fds[0] != 3)
			close(fds[0]);
		execv("/proc/self/exe", argv);
		_exit(127);
	}
	close(fds[1]);
	*out = fds[0];
	return pid;
}

/* in a role */
static inline void say(int word)
{
	if (write(3, &word, sizeof(word)) != sizeof(word))
		_exit(1);
}

/* what it said; INT32_MIN: it has ended */
static inline int hear(int out)
{
	int word;

	return read(out, &word, sizeof(word)) == sizeof(word) ? word : INT32_MIN;
}

static inline void end_role(pid_t pid, int out)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(out);
}

/* in a role: what the test has set up */
static inline int take_sites(const char *folder)
{
	static struct pmio_settings mine;

	snprintf(root.path, sizeof(root.path), "%s", folder);
	pmio_settings_init(&mine);
	settings = &mine;
	for (unsigned i = 0; i < SITES; i++) {
		char endpoint[PATH_MAX];
		int rc;

		snprintf(sites[i].pool, sizeof(sites[i].pool), "%s/pool%u", root.path, i);
		snprintf(endpoint, sizeof(endpoint), "%s/" REMOTE_ENDPOINT_FILE, sites[i].pool);
		rc = remote_endpoint_load(AT_FDCWD, endpoint, &sites[i].endpoint);
		if (rc < 0)
			return rc;
	}
	return 0;
}

struct role {
	const char *name;
	int (*run)(void);
};

/* with the arguments that start_role() gives; the exit status */
static inline int be_role(char **argv, const struct role *roles, size_t nr)
{
	snprintf(path, sizeof(path), "%s", argv[3]);
	for (size_t i = 0; i < nr; i++) {
		if (strcmp(argv[1], roles[i].name) == 0)
			return take_sites(argv[2]) < 0 ? 1 : roles[i].run();
	}
	return 1;
}

#define sites_run(group, tests) scratch_run_with(group, tests, start_sites, stop_sites)

#endif
