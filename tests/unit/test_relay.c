/*
 * test_relay.c -- lib/target/relay.c: calls that a node's target makes at others for the node's processes
 *
 * The node is sites[NODE]; the file's metadata server is sites[MDS].  Its processes are this one and roles.
 */
#include "sites.h"

#include <pthread.h>

enum { NODE = 0, MDS = 1, THIRD = 2, NEIGHBOURS = 4, GROWTHS = 60 };
#define RANK "PMIO_TEST_RANK"

static struct remote_layout layout;

static void begin(const char *name, enum pmio_placement placement)
{
	name_file(name);
	put_text(path, "", 0644);
	layout = layout_of_sites(placement, MDS, SITES);
	assert_int_equal(remote_layout_begin(settings, path, &layout), 0);
	for (unsigned i = 0; i < layout.nr; i++)
		assert_int_equal(remote_layout_serve(settings, &layout.endpoints[i], &layout), 0);
}

static struct pmio_file *open_at_node(bool joined)
{
	struct client_open how = { .flags = RW };
	struct pmio_file *f;

	assert_int_equal(remote_striped_open(sites[NODE].pm, settings, path, &how, &layout, joined, &f), 0);
	return f;
}

static void end(struct pmio_file **f)
{
	assert_int_equal(pmio_close(f), 0);
	remote_layout_fini(&layout);
}

static bool is_on_pfs(const uint8_t *want, size_t len)
{
	size_t have_len;
	char *have = get_text(path, &have_len);
	bool same = have_len == len && memcmp(have, want, len) == 0;

	free(have);
	return same;
}

/* ---- roles: other processes of the node -------------------------------------------------------- */

static struct pmio_file *open_in_role(void)
{
	struct client_open how = { .flags = RW };
	char name[PATH_MAX];
	struct pmio_file *f;
	FILE *id;

	layout = layout_of_sites(PMIO_PLACE_LOCAL, MDS, SITES);
	snprintf(name, sizeof(name), "%s/layout", root.path);
	id = fopen(name, "r");
	if (!id || fread(layout.id, sizeof(layout.id), 1, id) != 1 || pmio_connect(sites[NODE].pool, &sites[NODE].pm) < 0)
		return NULL;
	fclose(id);
	return remote_striped_open(sites[NODE].pm, settings, path, &how, &layout, false, &f) < 0 ? NULL : f;
}

/* start one that opens the file of this test */
static pid_t start_neighbour(int *out, const char *role, unsigned rank)
{
	char name[PATH_MAX], text[16];
	FILE *id;

	snprintf(name, sizeof(name), "%s/layout", root.path);
	id = fopen(name, "w");
	assert_non_null(id);
	assert_int_equal(fwrite(layout.id, sizeof(layout.id), 1, id), 1);
	assert_int_equal(fclose(id), 0);
	snprintf(text, sizeof(text), "%u", rank);
	setenv(RANK, text, 1);
	return start_role(out, role, path);
}

/* writes a chunk, which makes the file longer, says so, and waits to be ended */
static int role_write(void)
{
	uint8_t *chunk = malloc(CHUNK);
	struct pmio_file *f = open_in_role();
	unsigned rank = (unsigned)atoi(getenv(RANK));

	if (!f || !chunk)
		return 1;
	fill_pattern(chunk, CHUNK, rank);
	say(pmio_pwrite(f, chunk, CHUNK, (off_t)rank * CHUNK) == CHUNK ? 0 : -1);
	pause();
	return 0;
}

/* the same, and ends by itself */
static int role_close(void)
{
	uint8_t byte = 'r';
	struct pmio_file *f = open_in_role();
	int rc;

	if (!f)
		return 1;
	rc = pmio_pwrite(f, &byte, 1, atoi(getenv(RANK))) == 1 ? 0 : -1;
	say(rc < 0 ? rc : pmio_close(&f));
	remote_disconnect_all();
	pmio_disconnect(&sites[NODE].pm);
	return 0;
}

static int role_lock(void)
{
	struct pmio_file *f = open_in_role();

	if (!f)
		return 1;
	say(client_lock(f));
	pause();
	return 0;
}

/* ---- tests ----------------------------------------------------------------------------------------- */

static void neighbours__one_session_with_each_target(void **state)
{
	uint8_t *all = malloc((NEIGHBOURS + 1) * CHUNK);
	const unsigned before = sessions_of(MDS), before_third = sessions_of(THIRD);
	struct pmio_file *f;
	pid_t pid[NEIGHBOURS];
	int out[NEIGHBOURS];
	off_t size;

	(void)state;
	assert_non_null(all);
	begin("neighbours", PMIO_PLACE_LOCAL);
	f = open_at_node(true);
	for (unsigned i = 0; i <= NEIGHBOURS; i++)
		fill_pattern(all + (size_t)i * CHUNK, CHUNK, i);
	assert_int_equal(pmio_pwrite(f, all, CHUNK, 0), CHUNK);
	for (unsigned i = 0; i < NEIGHBOURS; i++)
		pid[i] = start_neighbour(&out[i], "write", i + 1);
	for (unsigned i = 0; i < NEIGHBOURS; i++)
		assert_int_equal(hear(out[i]), 0);
	assert_int_equal(pmio_size(f, &size), 0);
	assert_int_equal(size, (NEIGHBOURS + 1) * CHUNK);
	/* this process has sessions of its own, by which it asks; the node has one more */
	assert_int_equal(sessions_of(MDS), before + 1);
	assert_true(sessions_of(THIRD) <= before_third + 1);
	for (unsigned i = 0; i < NEIGHBOURS; i++)
		end_role(pid[i], out[i]);
	assert_int_equal(pmio_size(f, &size), 0);
	assert_int_equal(size, (NEIGHBOURS + 1) * CHUNK);
	end(&f);
	/* not at once, if the agent has not noticed yet that these have ended */
	await(is_on_pfs(all, (NEIGHBOURS + 1) * CHUNK));
	/* or two targets would keep each other running */
	await(sessions_of(MDS) == before && sessions_of(THIRD) == before_third);
	free(all);
}

/* what they share is closed with the last of them */
static void neighbours__close_one_after_the_other(void **state)
{
	struct pmio_file *f;
	pid_t pid;
	int out;

	(void)state;
	begin("close", PMIO_PLACE_LOCAL);
	f = open_at_node(true);
	for (unsigned i = 0; i < 3; i++) {
		pid = start_neighbour(&out, "close", i);
		assert_int_equal(hear(out), 0);
		assert_int_equal(hear(out), INT32_MIN);
		end_role(pid, out);
	}
	assert_int_equal(pmio_pwrite(f, "me", 2, 3), 2);
	end(&f);
	assert_on_pfs((const uint8_t *)"rrrme", 5);
}

/* by the process's own sessions, as its writes */
static void lock__of_a_neighbour(void **state)
{
	struct client_open how = { .flags = RW };
	struct pmio_file *f, *there, *local;
	pid_t pid;
	int out;

	(void)state;
	begin("lock", PMIO_PLACE_LOCAL);
	f = open_at_node(true);
	assert_int_equal(remote_striped_open(sites[MDS].pm, settings, path, &how, &layout, false, &there), 0);
	assert_int_equal(striped_get_target(striped_of(there), 0, &local), 0);
	pid = start_neighbour(&out, "lock", 0);
	assert_int_equal(hear(out), 0);
	assert_int_equal(client_try_lock(local), -EAGAIN);
	end_role(pid, out);
	assert_int_equal(client_lock(f), 0);
	assert_int_equal(client_try_lock(local), -EAGAIN);
	client_unlock(f);
	assert_int_equal(client_try_lock(local), 0);
	client_unlock(local);
	assert_int_equal(pmio_close(&there), 0);
	end(&f);
}

static void discard__by_one_of_them(void **state)
{
	struct pmio_file *f, *g;

	(void)state;
	begin("discard", PMIO_PLACE_LOCAL);
	f = open_at_node(true);
	g = open_at_node(false);
	assert_int_equal(pmio_pwrite(g, "gone", 4, 0), 4);
	assert_int_equal(pmio_close_discard(&g), 0);
	assert_int_equal(pmio_close_discard(&f), 0);
	remote_layout_fini(&layout);
	assert_false(exists(path)); /* as by MPI_MODE_DELETE_ON_CLOSE */
}

/* each write makes the file longer, if no other one has: another node knows it when it returns */
struct grower {
	pthread_t thread;
	struct pmio_file *f, *there;
	unsigned rank, nr_bad;
};

static void *grow(void *arg)
{
	struct grower *g = arg;

	for (unsigned i = 0; i < GROWTHS; i++) {
		off_t at = (off_t)(i * NEIGHBOURS + g->rank) * 1000, size;

		g->nr_bad += pmio_pwrite(g->f, "grow", 4, at) != 4 || pmio_size(g->there, &size) != 0 || size < at + 4;
	}
	return NULL;
}

static void growth__of_several_at_once(void **state)
{
	struct client_open how = { .flags = RW };
	struct grower g[NEIGHBOURS];
	struct pmio_file *there;
	off_t size;

	(void)state;
	begin("growth", PMIO_PLACE_STRIPED);
	assert_int_equal(remote_striped_open(sites[MDS].pm, settings, path, &how, &layout, true, &there), 0);
	for (unsigned i = 0; i < NEIGHBOURS; i++)
		g[i] = (struct grower){ .f = open_at_node(false), .there = there, .rank = i };
	for (unsigned i = 0; i < NEIGHBOURS; i++)
		assert_int_equal(pthread_create(&g[i].thread, NULL, grow, &g[i]), 0);
	for (unsigned i = 0; i < NEIGHBOURS; i++) {
		assert_int_equal(pthread_join(g[i].thread, NULL), 0);
		assert_int_equal(g[i].nr_bad, 0);
	}
	assert_int_equal(pmio_truncate(there, 10), 0);
	assert_int_equal(pmio_pwrite(g[1].f, "again", 5, 100), 5); /* less than what was told before */
	assert_int_equal(pmio_size(there, &size), 0);
	assert_int_equal(size, 105);
	for (unsigned i = 0; i < NEIGHBOURS; i++)
		assert_int_equal(pmio_close(&g[i].f), 0);
	end(&there);
}

/* without the node's own target, the file is used at the others themselves */
static void own_target_killed__goes_on_without_it(void **state)
{
	struct pmio_file *f;
	uint64_t was;
	off_t size;

	(void)state;
	begin("own", PMIO_PLACE_STRIPED);
	f = open_at_node(true);
	assert_int_equal(pmio_pwrite(f, "first", 5, CHUNK), 5);
	assert_int_equal(remote_striped_pointer(f, 7, REMOTE_POINTER_SET, 3, &was), 0);
	scratch_catch_log();
	kill_target(NODE);
	assert_int_equal(pmio_size(f, &size), 0);
	assert_int_equal(size, CHUNK + 5);
	pmio_log_set_handler(NULL);
	assert_int_equal(pmio_pwrite(f, "second", 6, CHUNK + 5), 6);
	assert_int_equal(remote_striped_pointer(f, 7, REMOTE_POINTER_ADD, 1, &was), 0);
	assert_int_equal(was, 3);
	assert_int_equal(pmio_truncate(f, 2), 0);
	assert_int_equal(pmio_pwrite(f, "ok", 2, 0), 2);
	assert_int_equal(client_lock(f), 0);
	client_unlock(f);
	end(&f);
	assert_on_pfs((const uint8_t *)"ok", 2);
	assert_int_equal(remote_advertise(sites[NODE].pm, &sites[NODE].endpoint), 0);
}

/* and with the next one it is relayed again */
static void own_target_killed__the_next_file_is_relayed(void **state)
{
	const unsigned before = sessions_of(MDS);
	struct pmio_file *f;

	(void)state;
	begin("next", PMIO_PLACE_LOCAL);
	f = open_at_node(true);
	assert_int_equal(pmio_pwrite(f, "x", 1, 0), 1);
	assert_int_equal(sessions_of(MDS), before + 1);
	end(&f);
	await(sessions_of(MDS) == before);
}

/* when the metadata server opens the file once more, it does not know the growers */
static void own_target_killed__growers_are_asked(void **state)
{
	struct pmio_id_stat st;
	struct pmio_file *f;
	off_t size;
	int fd;

	(void)state;
	begin("growers", PMIO_PLACE_STRIPED);
	f = open_at_node(true);
	assert_int_equal(pmio_pwrite(f, "x", 1, (SITES - 1) * CHUNK), 1); /* in this node's pool: it is a grower from now on */
	assert_int_equal(pmio_pwrite(f, "longer", 6, (SITES - 1) * CHUNK + 1), 6);
	scratch_catch_log();
	kill_target(NODE);
	fd = open(path, O_PATH | O_CLOEXEC);
	await(pmio_stat_id(sites[MDS].pm, fd, &st) == -ENOENT); /* its slot, where they are, has been freed */
	close(fd);
	assert_int_equal(pmio_pwrite(f, "a", 1, 0), 1);
	assert_int_equal(pmio_size(f, &size), 0);
	assert_int_equal(size, (SITES - 1) * CHUNK + 7);
	pmio_log_set_handler(NULL);
	end(&f);
	assert_int_equal(remote_advertise(sites[NODE].pm, &sites[NODE].endpoint), 0);
}

/* the reason is in the log of the node's target, but this process says something, too */
static void other_target_killed__is_said(void **state)
{
	struct pmio_file *f;
	uint64_t was;
	off_t size;

	(void)state;
	begin("other", PMIO_PLACE_LOCAL);
	f = open_at_node(true);
	assert_int_equal(pmio_pwrite(f, "x", 1, 0), 1);
	kill_target(MDS);
	scratch_catch_log();
	assert_int_equal(pmio_size(f, &size), -EIO);
	assert_true(scratch_nr_errors > 0);
	assert_non_null(strstr(scratch_last_error, "target.log"));
	scratch_nr_errors = 0;
	assert_int_equal(remote_striped_pointer(f, 7, REMOTE_POINTER_ADD, 1, &was), -EIO);
	assert_int_equal(remote_striped_pointer(f, 7, REMOTE_POINTER_ADD, 1, &was), -EIO);
	assert_int_equal(scratch_nr_errors, 1);
	assert_non_null(strstr(scratch_last_error, "target.log"));
	/* this process learns where it is now, and tells its node's target */
	assert_int_equal(remote_advertise(sites[MDS].pm, &sites[MDS].endpoint), 0);
	await(pmio_size(f, &size) == 0);
	pmio_log_set_handler(NULL);
	assert_int_equal(size, 1);
	end(&f);
	assert_on_pfs((const uint8_t *)"x", 1);
}

/* what must stay in order with the process's own reads and writes does not go by it */
static void own_target_stopped__truncations_and_locks_go_on(void **state)
{
	struct pmio_file *f;
	pid_t pid = target_of(NODE);
	off_t size = 0;

	(void)state;
	begin("order", PMIO_PLACE_STRIPED);
	f = open_at_node(true);
	assert_int_equal(pmio_pwrite(f, "first", 5, 0), 5);
	kill(pid, SIGSTOP);
	assert_int_equal(client_lock(f), 0);
	assert_int_equal(pmio_truncate(mds_of(f), 2), 0); /* the last step of one */
	client_unlock(f);
	kill(pid, SIGCONT);
	assert_int_equal(pmio_pwrite(f, "second", 6, 2), 6);
	assert_int_equal(pmio_size(f, &size), 0);
	assert_int_equal(size, 8);
	end(&f);
	assert_on_pfs((const uint8_t *)"fisecond", 8);
}

/* what it has got and not carried out keeps nothing open at the other target */
static void own_target_stopped__close_is_complete(void **state)
{
	struct pmio_file *f;
	pid_t pid = target_of(NODE);
	off_t size;

	(void)state;
	begin("complete", PMIO_PLACE_STRIPED);
	f = open_at_node(true);
	scratch_catch_log();
	kill(pid, SIGSTOP);
	pmio_size(f, &size);
	kill(pid, SIGCONT);
	await(pmio_size(f, &size) == 0);
	pmio_log_set_handler(NULL);
	assert_int_equal(pmio_pwrite(f, "all of it", 9, 0), 9);
	end(&f);
	assert_on_pfs((const uint8_t *)"all of it", 9);
}

/* without the file's calls having failed before */
static void other_target_restarted__close_knows_it(void **state)
{
	struct pmio_file *f;

	(void)state;
	begin("told", PMIO_PLACE_LOCAL);
	f = open_at_node(true);
	assert_int_equal(pmio_pwrite(f, "x", 1, 0), 1);
	scratch_catch_log();
	kill_target(MDS);
	assert_int_equal(remote_advertise(sites[MDS].pm, &sites[MDS].endpoint), 0);
	assert_int_equal(pmio_close(&f), 0);
	pmio_log_set_handler(NULL);
	remote_layout_fini(&layout);
	assert_on_pfs((const uint8_t *)"x", 1);
}

/* who opens it with the new descriptor shares what is open there by the old one */
static void other_target_restarted__open_says_so(void **state)
{
	struct pmio_file *f, *g;
	off_t size;

	(void)state;
	begin("says", PMIO_PLACE_LOCAL);
	f = open_at_node(true);
	assert_int_equal(pmio_pwrite(f, "x", 1, 0), 1);
	scratch_catch_log();
	kill_target(MDS);
	assert_int_equal(remote_advertise(sites[MDS].pm, &sites[MDS].endpoint), 0);
	layout.endpoints[0] = sites[MDS].endpoint;
	g = open_at_node(false);
	assert_int_equal(pmio_size(g, &size), 0);
	assert_int_equal(size, 1);
	pmio_log_set_handler(NULL);
	assert_int_equal(pmio_close(&g), 0);
	end(&f);
}

/* a descriptor that was refused is not passed on */
static void descriptor__of_a_leftover(void **state)
{
	struct remote_endpoint old = sites[MDS].endpoint;
	struct pmio_file *f;
	struct node *n;
	uint64_t generation;

	(void)state;
	await(sessions_of(MDS) == 1); /* so this node's target has none there */
	old.fabric.epoch++;
	old.liveness = 1;
	n = node_get(settings, &old);
	assert_non_null(n);
	assert_int_equal(node_enter(n, &generation), 0); /* by the session that there is */
	node_leave(n, 0);
	begin("leftover", PMIO_PLACE_STRIPED);
	f = open_at_node(true);
	end(&f);
}

static void *go_on(void *arg)
{
	sleep(1);
	kill(*(pid_t *)arg, SIGCONT);
	return NULL;
}

/* nor does another one: what comes after a truncation that failed is done after it, if that is done at all */
static void other_target_stopped__truncates_nothing_late(void **state)
{
	struct pmio_file *f;
	pid_t pid = target_of(THIRD);
	char have[6] = "";
	pthread_t thread;

	(void)state;
	begin("order", PMIO_PLACE_STRIPED);
	f = open_at_node(true);
	assert_int_equal(pmio_truncate(f, CHUNK + 5), 0);
	assert_int_equal(pmio_pwrite(f, "first", 5, CHUNK), 5); /* there */
	scratch_catch_log();
	kill(pid, SIGSTOP);
	assert_int_equal(pmio_truncate(f, CHUNK + 2), -EIO);
	assert_int_equal(pthread_create(&thread, NULL, go_on, &pid), 0);
	await(pmio_pwrite(f, "second", 6, CHUNK + 2) == 6);
	assert_int_equal(pthread_join(thread, NULL), 0);
	pmio_log_set_handler(NULL);
	sleep(1); /* nothing comes late */
	assert_int_equal(pmio_pread(f, have, 6, CHUNK + 2), 6);
	assert_memory_equal(have, "second", 6);
	end(&f);
}

/* ---- messages that are not valid ------------------------------------------------------------------- */

union relay {
	struct remote_relay_msg m;
	uint8_t bytes[sizeof(struct remote_relay_msg) + sizeof(struct remote_open_msg) + PATH_MAX];
};

static void fill_open(union relay *u, const char *name, uint32_t flags)
{
	struct remote_open_msg *o = (struct remote_open_msg *)u->m.msg;

	memset(u, 0, sizeof(*u));
	node_relay_message(&u->m, layout.id, node_get(settings, &sites[MDS].endpoint), REMOTE_OPEN);
	o->flags = flags;
	strcpy(o->path, name);
}

/* the last so many bytes of the name are not sent */
static int send_open(union relay *u, size_t less)
{
	struct remote_open_msg *o = (struct remote_open_msg *)u->m.msg;
	struct remote_open_answer_msg a;
	size_t len = (size_t)((uint8_t *)o->path - u->bytes) + strlen(o->path) + 1 - less, got;

	return node_ask(node_get(settings, &sites[NODE].endpoint), u, len, REMOTE_RELAY, &a, sizeof(a), &got);
}

static void message__not_valid(void **state)
{
	struct remote_hdr_msg *h;
	union relay u;
	size_t got;

	(void)state;
	begin("message", PMIO_PLACE_LOCAL);
	h = (struct remote_hdr_msg *)u.m.msg;
	fill_open(&u, path, RW);
	assert_int_equal(send_open(&u, 1), PMIO_EPROTO);
	fill_open(&u, "relative", RW);
	assert_int_equal(send_open(&u, 0), PMIO_EPROTO);
	fill_open(&u, path, RW | PMIO_OPEN_CREATE);
	assert_int_equal(send_open(&u, 0), PMIO_EPROTO);
	fill_open(&u, path, 1u << 31);
	assert_int_equal(send_open(&u, 0), PMIO_EPROTO);
	fill_open(&u, path, RW);
	u.m.to = sites[NODE].endpoint; /* itself */
	assert_int_equal(send_open(&u, 0), PMIO_EPROTO);
	fill_open(&u, path, RW);
	u.m.to.fabric.addr_len = PMIO_FABRIC_ADDR_MAX + 1;
	assert_int_equal(send_open(&u, 0), PMIO_EPROTO);
	fill_open(&u, path, RW);
	memset(u.m.to.host, 'x', sizeof(u.m.to.host));
	assert_int_equal(send_open(&u, 0), PMIO_EPROTO);
	fill_open(&u, path, RW);
	memset(u.m.to.fabric.provider, 'x', sizeof(u.m.to.fabric.provider));
	assert_int_equal(send_open(&u, 0), PMIO_EPROTO);
	fill_open(&u, path, RW);
	h->version++;
	assert_int_equal(send_open(&u, 0), PMIO_EPROTO);
	/* calls that are not relayed, and lengths that are not theirs */
	for (int op = REMOTE_WAIT; op < REMOTE_NR_OPS; op++) {
		fill_open(&u, path, RW);
		h->op = (uint16_t)op;
		if (op != REMOTE_OPEN)
			assert_int_equal(send_open(&u, 0), PMIO_EPROTO);
	}
	assert_int_equal(node_ask(node_get(settings, &sites[NODE].endpoint), &u, sizeof(u.m), REMOTE_RELAY, NULL, 0, &got), PMIO_EPROTO);
	fill_open(&u, "/no/such/file", RW);
	assert_int_equal(send_open(&u, 0), -ENOENT);
	assert_int_equal(remote_layout_leave(settings, &layout, REMOTE_KEEP_NOT), 0);
	remote_layout_fini(&layout);
}

static const struct role roles[] = { { "write", role_write }, { "close", role_close }, { "lock", role_lock } };

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(neighbours__one_session_with_each_target),
		cmocka_unit_test(neighbours__close_one_after_the_other),
		cmocka_unit_test(lock__of_a_neighbour),
		cmocka_unit_test(discard__by_one_of_them),
		cmocka_unit_test(growth__of_several_at_once),
		cmocka_unit_test(message__not_valid),
		cmocka_unit_test(own_target_killed__goes_on_without_it),
		cmocka_unit_test(own_target_killed__the_next_file_is_relayed),
		cmocka_unit_test(own_target_killed__growers_are_asked),
		cmocka_unit_test(other_target_killed__is_said),
		cmocka_unit_test(own_target_stopped__truncations_and_locks_go_on),
		cmocka_unit_test(own_target_stopped__close_is_complete),
		cmocka_unit_test(other_target_stopped__truncates_nothing_late),
		cmocka_unit_test(other_target_restarted__close_knows_it),
		cmocka_unit_test(other_target_restarted__open_says_so),
		cmocka_unit_test(descriptor__of_a_leftover),
	};

	relays = true;
	if (argc == 4)
		return be_role(argv, roles, sizeof(roles) / sizeof(roles[0]));
	return sites_run("relay", tests);
}
