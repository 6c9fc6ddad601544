/*
 * test_remote.c -- lib/remote: files in the pools of other nodes, which are pools of this machine
 */
#include "sites.h"

#include <pthread.h>

/* ---- cards -------------------------------------------------------------------------------- */

static struct remote_card some_card(void)
{
	struct remote_card c;
	uint32_t seed = 5;

	memset(&c, 0, sizeof(c));
	strcpy(c.fabric.provider, "tcp;ofi_rxm");
	c.fabric.epoch = 0xf123456789abcdefULL;
	c.fabric.addr_len = PMIO_FABRIC_ADDR_MAX;
	for (size_t i = 0; i < sizeof(c.fabric.addr); i++)
		c.fabric.addr[i] = (uint8_t)next_random(&seed);
	for (size_t i = 0; i < sizeof(c.key); i++)
		c.key[i] = (uint8_t)next_random(&seed);
	for (size_t i = 0; i < sizeof(c.uuid); i++)
		c.uuid[i] = (uint8_t)next_random(&seed);
	c.chunk_size = 64ULL << 20;
	c.lifeline = 65535;
	memset(c.host, 'n', sizeof(c.host) - 1);
	return c;
}

static void card__comes_back_as_saved(void **state)
{
	struct remote_card c = some_card(), back;
	struct stat st;

	(void)state;
	name_file("card");
	put_text(path, "whatever there was", 0644);
	assert_int_equal(remote_card_save(AT_FDCWD, path, &c), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(remote_card_load(AT_FDCWD, path, &back), 0);
	assert_memory_equal(&back, &c, sizeof(c));
}

static void card__others_could_know_it(void **state)
{
	struct remote_card c = some_card();
	const char *link = scratch_file(&root, "link"), *fifo = scratch_file(&root, "fifo");

	(void)state;
	name_file("card");
	assert_int_equal(remote_card_load(AT_FDCWD, "no-such-file", &c), -ENOENT);
	assert_int_equal(remote_card_save(AT_FDCWD, path, &c), 0);
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(remote_card_load(AT_FDCWD, path, &c), -EPERM);
	assert_int_equal(chmod(path, 0602), 0);
	assert_int_equal(remote_card_load(AT_FDCWD, path, &c), -EPERM);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(symlink(path, link), 0);
	assert_int_equal(remote_card_load(AT_FDCWD, link, &c), -ELOOP);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(remote_card_load(AT_FDCWD, fifo, &c), -EPERM);
	assert_int_equal(remote_card_load(AT_FDCWD, root.path, &c), -EPERM);
}

/* each line left out, and each made nonsense of */
static void card__bad_contents(void **state)
{
	struct remote_card c = some_card(), back;
	char *text, *bad;

	(void)state;
	name_file("card");
	assert_int_equal(remote_card_save(AT_FDCWD, path, &c), 0);
	text = get_text(path, NULL);
	bad = malloc(strlen(text) + 64);
	assert_non_null(bad);
	for (char *line = strchr(text, '\n') + 1; *line; line = strchr(line, '\n') + 1) {
		size_t before = (size_t)(line - text), name = strcspn(line, "=");

		strncpy(bad, text, before);
		strcpy(bad + before, strchr(line, '\n') + 1);
		put_text(path, bad, 0600);
		assert_int_equal(remote_card_load(AT_FDCWD, path, &back), PMIO_EPROTO);
		if (strncmp(line, "host", 4) == 0 || strncmp(line, "provider", 8) == 0)
			continue; /* any text is one */
		sprintf(bad + before, "%.*s= x%s", (int)name, line, line + name + 2);
		put_text(path, bad, 0600);
		assert_int_equal(remote_card_load(AT_FDCWD, path, &back), PMIO_EPROTO);
	}
	put_text(path, "", 0600);
	assert_int_equal(remote_card_load(AT_FDCWD, path, &back), PMIO_EPROTO);
	memset(bad, '[', strlen(text));
	put_text(path, bad, 0600);
	assert_int_equal(remote_card_load(AT_FDCWD, path, &back), PMIO_EPROTO);
	free(text);
	free(bad);
}

static void listen__address_and_port(void **state)
{
	static const struct {
		const char *listen, *address, *service; /* address NULL: refused */
	} tries[] = {
		{ "10.1.0.7", "10.1.0.7", "" },	      { "10.1.0.7:7000", "10.1.0.7", "7000" },
		{ ":7000", "", "7000" },	      { "mem7.site:7000", "mem7.site", "7000" },
		{ "fd00::7", "fd00::7", "" },	      { "[fd00::7]:7000", "fd00::7", "7000" },
		{ "[fd00::7]", "fd00::7", "" },	      { "10.1.0.0/16:65534", "10.1.0.0/16", "65534" },
		{ "10.1.0.7:", NULL, NULL },	      { "10.1.0.7:0", NULL, NULL },
		{ "10.1.0.7:65535", NULL, NULL },     { "10.1.0.7:http", NULL, NULL },
		{ "[fd00::7", NULL, NULL },	      { "[fd00::7]7000", NULL, NULL },
	};
	char address[64], service[8];

	(void)state;
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		int rc = remote_split_listen(tries[i].listen, address, sizeof(address), service, sizeof(service));

		assert_int_equal(rc, tries[i].address ? 0 : -EINVAL);
		if (rc == 0) {
			assert_string_equal(address, tries[i].address);
			assert_string_equal(service, tries[i].service);
		}
	}
	assert_int_equal(remote_split_listen("10.1.0.7", address, 8, service, sizeof(service)), -EINVAL);
}

static void address__by_name(void **state)
{
	char address[64];

	(void)state;
	assert_int_equal(remote_address("localhost", address, sizeof(address)), 0);
	assert_true(strcmp(address, "127.0.0.1") == 0 || strcmp(address, "::1") == 0);
	assert_int_equal(remote_address("lo", address, sizeof(address)), 0);
	assert_string_equal(address, "127.0.0.1");
	assert_int_equal(remote_address("no-such-host.invalid", address, sizeof(address)), -EADDRNOTAVAIL);
}

static void targets__each_card_counts(void **state)
{
	struct remote_card c = some_card(), *cards;
	const char *a = scratch_file(&root, "a"), *b = scratch_file(&root, "b");
	char list[PATH_MAX];
	uint32_t nr;

	(void)state;
	assert_int_equal(remote_card_save(AT_FDCWD, a, &c), 0);
	c.lifeline = 7;
	assert_int_equal(remote_card_save(AT_FDCWD, b, &c), 0);
	snprintf(list, sizeof(list), "%s,%s", a, b);
	assert_int_equal(remote_targets_load(list, &cards, &nr), 0);
	assert_int_equal(nr, 2);
	assert_int_equal(cards[0].lifeline, 65535);
	assert_int_equal(cards[1].lifeline, 7);
	free(cards);
	scratch_catch_log();
	assert_int_equal(remote_targets_load(",", &cards, &nr), -EINVAL);
	unlink(a);
	assert_int_equal(remote_targets_load(list, &cards, &nr), -ENOENT);
	assert_null(cards);
	assert_logged_once();
	pmio_log_set_handler(NULL);
}

/* ---- files ----------------------------------------------------------------------------------- */

static struct pmio_file *open_at(unsigned site, uint32_t flags)
{
	struct client_open how = { .flags = flags, .mode = 0644 };
	struct pmio_file *f;

	assert_int_equal(remote_open(settings, &sites[site].card, path, &how, &f), 0);
	return f;
}

#define RW (PMIO_OPEN_READ | PMIO_OPEN_WRITE)

/* a message's worth and less, more than one, more than a slot, more than all slots of a session */
static void file__what_was_written_is_read(void **state)
{
	const size_t sizes[] = { 1, 13, 4096, 8144 - 16, 8144 - 15, 8192, 65537, CHUNK - 1, CHUNK, CHUNK + 5, (7 << 20) + 13 };
	struct pmio_file *f, *there;

	(void)state;
	name_file("sizes");
	f = open_at(1, RW | PMIO_OPEN_CREATE);
	assert_int_equal(pmio_open(sites[1].pm, path, O_RDWR, 0, &there), 0);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint8_t *out = malloc(sizes[i]), *in = calloc(1, sizes[i]);
		off_t off = (off_t)(i * 1000 + 77);

		assert_true(out && in);
		fill_pattern(out, sizes[i], (unsigned)i);
		assert_int_equal(pmio_pwrite(f, out, sizes[i], off), sizes[i]);
		assert_int_equal(pmio_pread(f, in, sizes[i], off), sizes[i]);
		assert_memory_equal(in, out, sizes[i]);
		memset(in, 0, sizes[i]);
		assert_int_equal(pmio_pread(there, in, sizes[i], off), sizes[i]);
		assert_memory_equal(in, out, sizes[i]);
		free(out);
		free(in);
	}
	assert_int_equal(pmio_close(&there), 0);
	assert_int_equal(pmio_close(&f), 0);
	assert_null(f);
}

/* more than a message's list takes, and than a slot's; in no order */
static void file__many_pieces(void **state)
{
	enum { NR = 20000, LEN = 37, STEP = 61 };
	struct pmio_piece *p = calloc(NR, sizeof(*p));
	uint8_t *out = malloc(NR * LEN), *in = calloc(NR, LEN), *whole = calloc(NR, STEP);
	struct pmio_file *f;

	(void)state;
	assert_true(p && out && in && whole);
	name_file("pieces");
	fill_pattern(out, NR * LEN, 3);
	for (size_t i = 0; i < NR; i++) {
		size_t at = i * 7919 % NR;

		p[i] = (struct pmio_piece){ (off_t)(at * STEP), out + at * LEN, i % 10 == 9 ? 0 : LEN };
		memcpy(whole + at * STEP, p[i].buf, p[i].len);
	}
	f = open_at(1, RW | PMIO_OPEN_CREATE);
	assert_int_equal(pmio_truncate(f, NR * STEP), 0);
	assert_int_equal(pmio_writex(f, p, 300), 270 * LEN);
	assert_int_equal(pmio_writex(f, p, NR), NR / 10 * 9 * LEN);
	for (size_t i = 0; i < NR; i++)
		p[i].buf = in + ((uint8_t *)p[i].buf - out);
	assert_int_equal(pmio_readx(f, p, NR), NR / 10 * 9 * LEN);
	for (size_t i = 0; i < NR; i++)
		assert_memory_equal(p[i].buf, out + ((uint8_t *)p[i].buf - in), p[i].len);
	assert_int_equal(pmio_close(&f), 0);
	assert_on_pfs(whole, NR * STEP);
	free(p);
	free(out);
	free(in);
	free(whole);
}

static void file__sizes_and_holes(void **state)
{
	struct pmio_file *f;
	uint8_t buf[100], *whole = calloc(1, 3 << 20);
	off_t size;

	(void)state;
	assert_non_null(whole);
	name_file("holes");
	f = open_at(1, RW | PMIO_OPEN_CREATE);
	assert_int_equal(pmio_size(f, &size), 0);
	assert_int_equal(size, 0);
	assert_int_equal(pmio_pread(f, buf, sizeof(buf), 0), 0);
	memset(whole + 2500000, 'x', 50);
	assert_int_equal(pmio_pwrite(f, whole + 2500000, 50, 2500000), 50);
	assert_int_equal(pmio_size(f, &size), 0);
	assert_int_equal(size, 2500050);
	memset(buf, 1, sizeof(buf));
	assert_int_equal(pmio_pread(f, buf, sizeof(buf), 2500000 - 30), 80);
	assert_memory_equal(buf, whole + 2500000 - 30, 80);
	assert_int_equal(pmio_pread(f, buf, sizeof(buf), 1000000), 100);
	assert_memory_equal(buf, whole, 100);
	/* what was cut off does not come back */
	assert_int_equal(pmio_truncate(f, 2500010), 0);
	memset(whole + 2500010, 0, 40);
	assert_int_equal(pmio_truncate(f, 3 << 20), 0);
	assert_int_equal(pmio_pread(f, buf, 50, 2500000), 50);
	assert_memory_equal(buf, whole + 2500000, 50);
	assert_int_equal(pmio_sync(f), 0);
	assert_int_equal(pmio_drain(f), 0);
	assert_on_pfs(whole, 3 << 20);
	assert_int_equal(pmio_pwrite(f, "end", 3, (3 << 20) - 3), 3);
	memcpy(whole + (3 << 20) - 3, "end", 3);
	assert_int_equal(pmio_close(&f), 0);
	assert_on_pfs(whole, 3 << 20);
	free(whole);
}

static void file__opens_that_fail(void **state)
{
	struct client_open how = { .flags = PMIO_OPEN_READ };
	struct pmio_file *f, *g;
	char buf[4];

	(void)state;
	name_file("fails");
	scratch_catch_log();
	assert_int_equal(remote_open(settings, &sites[1].card, path, &how, &f), -ENOENT);
	assert_null(f);
	assert_logged_once();
	f = open_at(1, RW | PMIO_OPEN_CREATE | PMIO_OPEN_EXCL);
	how.flags = RW | PMIO_OPEN_CREATE | PMIO_OPEN_EXCL;
	assert_int_equal(remote_open(settings, &sites[1].card, path, &how, &g), -EEXIST);
	how.flags = PMIO_OPEN_READ;
	assert_int_equal(remote_open(settings, &sites[1].card, root.path, &how, &g), -EISDIR);
	assert_null(g);
	assert_int_equal(scratch_nr_errors, 3);
	g = open_at(1, PMIO_OPEN_READ);
	assert_int_equal(pmio_pwrite(g, "no", 2, 0), -EBADF);
	assert_int_equal(pmio_close(&g), 0);
	assert_int_equal(pmio_pwrite(f, "yes", 3, 0), 3);
	assert_int_equal(remote_delete(settings, &sites[1].card, path), 0);
	assert_false(exists(path));
	assert_int_equal(pmio_pread(f, buf, 4, 0), 3); /* open handles keep it */
	assert_memory_equal(buf, "yes", 3);
	assert_int_equal(pmio_close(&f), 0);
	scratch_catch_log();
	assert_int_equal(remote_delete(settings, &sites[1].card, path), -ENOENT);
	assert_int_equal(scratch_nr_errors, 0); /* who deletes on all nodes expects it */
	pmio_log_set_handler(NULL);
}

/* more of them than the session has slots */
enum { THREADS = 6, PART = 3 << 20 };
static struct pmio_file *shared;

static void *use_part(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;
	uint8_t *model = calloc(1, PART), *buf = malloc(PART);
	uint32_t seed = me;
	intptr_t bad = 0;

	for (int i = 0; i < 60; i++) {
		size_t off = next_random(&seed) % PART, len = 1 + next_random(&seed) % (i % 4 ? 9000 : PART);
		off_t at = (off_t)(me * PART + off);

		if (len > PART - off)
			len = PART - off;
		fill_pattern(buf, len, seed);
		memcpy(model + off, buf, len);
		bad += pmio_pwrite(shared, buf, len, at) != (ssize_t)len;
		memset(buf, 0, len);
		bad += pmio_pread(shared, buf, len, at) != (ssize_t)len || memcmp(buf, model + off, len) != 0;
	}
	free(model);
	free(buf);
	return (void *)bad;
}

static void let_threads_share(struct pmio_file *f)
{
	pthread_t t[THREADS];
	void *bad;

	shared = f;
	assert_int_equal(pmio_truncate(shared, THREADS * PART), 0);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, use_part, (void *)(uintptr_t)i), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(t[i], &bad);
		assert_null(bad);
	}
	assert_int_equal(pmio_close(&shared), 0);
}

static void file__threads_share_it(void **state)
{
	(void)state;
	name_file("threads");
	let_threads_share(open_at(1, RW | PMIO_OPEN_CREATE));
}

/* with a lock it holds; is killed */
static int role_hold(void)
{
	struct client_open how = { .flags = RW };
	struct pmio_file *f;

	if (remote_open(settings, &sites[1].card, path, &how, &f) < 0 || client_lock(f) < 0 ||
	    pmio_pwrite(f, "held", 4, 0) != 4)
		return 1;
	say(0);
	pause();
	return 1;
}

static void *lock_it(void *arg)
{
	return (void *)(intptr_t)client_lock(arg);
}

/* its lock goes, its file is closed: the last one here drains it */
static void file__its_process_is_killed(void **state)
{
	struct pmio_file *f;
	unsigned before;
	pthread_t t;
	void *rc;
	pid_t pid;
	int out;

	(void)state;
	name_file("held");
	f = open_at(1, RW | PMIO_OPEN_CREATE);
	assert_int_equal(client_lock(f), 0);
	client_unlock(f);
	before = sessions_of(1);
	pid = start_role(&out, "hold", path);
	assert_int_equal(hear(out), 0);
	assert_int_equal(sessions_of(1), before + 1);
	assert_int_equal(pthread_create(&t, NULL, lock_it, f), 0);
	usleep(100000);
	assert_int_equal(pthread_tryjoin_np(t, &rc), EBUSY);
	end_role(pid, out);
	pthread_join(t, &rc);
	assert_null(rc);
	client_unlock(f);
	await(sessions_of(1) == before);
	assert_int_equal(pmio_close(&f), 0);
	assert_on_pfs((const uint8_t *)"held", 4);
}

/* ---- files of several nodes ---------------------------------------------------------------------- */

static struct remote_use use_of_all(enum pmio_placement placement)
{
	struct remote_use u = { .placement = placement, .nr = placement == PMIO_PLACE_SINGLE ? 1 : SITES };

	u.cards = calloc(u.nr, sizeof(*u.cards));
	assert_non_null(u.cards);
	for (uint32_t i = 0; i < u.nr; i++)
		u.cards[i] = sites[(i + 1) % SITES].card; /* its home is not here */
	return u;
}

static uint64_t drained_by(unsigned site)
{
	struct remote_stat_answer_msg st;

	assert_int_equal(remote_stat(settings, &sites[site].card, &st), 0);
	return st.drained_bytes;
}

/* random requests by three handles against a model: of two nodes, and of a process that has no pool */
static void span_io(struct pmio_file *const f[3], uint8_t *model, size_t max, uint32_t seed)
{
	uint8_t *buf = malloc(max);
	size_t size = 0;
	off_t seen;

	assert_non_null(buf);
	for (int i = 0; i < 120; i++) {
		struct pmio_file *h = f[next_random(&seed) % 3];
		size_t off = next_random(&seed) % max, len = 1 + next_random(&seed) % (i % 3 ? 9000 : 3 * CHUNK);
		size_t there;

		if (len > max - off)
			len = max - off;
		there = off >= size ? 0 : len < size - off ? len : size - off;
		if (i % 2 == 0) {
			fill_pattern(buf, len, seed);
			memcpy(model + off, buf, len);
			size = off + len > size ? off + len : size;
			assert_int_equal(pmio_pwrite(h, buf, len, (off_t)off), len);
		} else {
			assert_int_equal(pmio_pread(h, buf, len, (off_t)off), there);
			assert_memory_equal(buf, model + off, there);
		}
		if (i == 77) {
			size /= 2;
			memset(model + size, 0, max - size);
			assert_int_equal(pmio_truncate(h, (off_t)size), 0);
		}
		assert_int_equal(pmio_size(f[next_random(&seed) % 3], &seen), 0);
		assert_int_equal(seen, size);
	}
	assert_int_equal(pmio_truncate(f[0], (off_t)max), 0);
	free(buf);
}

static void begin_use(struct remote_use *use)
{
	put_text(path, "", 0644);
	assert_int_equal(remote_use_begin(settings, path, use), 0);
	for (unsigned i = 0; i < use->nr; i++)
		assert_int_equal(remote_use_serve(settings, &use->cards[i], use), 0);
}

/* where: a bit for each site that then has had pieces of it */
static void span_with(enum pmio_placement placement, const char *name, unsigned where)
{
	enum { MAX = 14 << 20 };
	struct client_open how = { .flags = RW };
	struct remote_use use = use_of_all(placement);
	uint8_t *model = calloc(1, MAX);
	uint64_t before[SITES];
	struct pmio_file *f[3];

	assert_non_null(model);
	name_file(name);
	for (unsigned i = 0; i < SITES; i++)
		before[i] = drained_by(i);
	begin_use(&use);
	assert_int_equal(remote_span_open(sites[0].pm, settings, path, &how, &use, true, &f[0]), 0);
	assert_int_equal(remote_span_open(sites[1].pm, settings, path, &how, &use, false, &f[1]), 0);
	assert_int_equal(remote_span_open(NULL, settings, path, &how, &use, false, &f[2]), 0);
	assert_memory_equal(remote_use_of(f[2])->id, use.id, sizeof(use.id));
	span_io(f, model, MAX, placement);
	assert_int_equal(pmio_sync(f[1]), 0);
	assert_int_equal(pmio_close(&f[2]), 0);
	assert_int_equal(pmio_close(&f[1]), 0);
	assert_int_equal(pmio_close(&f[0]), 0);
	assert_on_pfs(model, MAX);
	for (unsigned i = 0; i < SITES; i++)
		assert_int_equal(drained_by(i) > before[i], where >> i & 1);
	remote_use_fini(&use);
	free(model);
}

static void span__striped(void **state)
{
	(void)state;
	span_with(PMIO_PLACE_STRIPED, "striped", 7);
}

/* the process without a pool leaves its pieces to the one that it asks, the second site's */
static void span__local(void **state)
{
	(void)state;
	span_with(PMIO_PLACE_LOCAL, "local", 3);
}

static void span__single(void **state)
{
	(void)state;
	span_with(PMIO_PLACE_SINGLE, "single", 2);
}

static void span__threads_share_it(void **state)
{
	static const enum pmio_placement placements[] = { PMIO_PLACE_STRIPED, PMIO_PLACE_LOCAL };
	struct client_open how = { .flags = RW };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct remote_use use = use_of_all(placements[i]);
		struct pmio_file *f;

		name_file(i ? "local threads" : "striped threads");
		begin_use(&use);
		assert_int_equal(remote_span_open(sites[0].pm, settings, path, &how, &use, true, &f), 0);
		let_threads_share(f);
		remote_use_fini(&use);
	}
}

/* an owner's file that is not whole yet; what its writer found when he was done */
struct writer {
	int fd;
	struct stat st;
};

static void *be_slow(void *arg)
{
	struct writer *w = arg;

	sleep(3); /* longer than one is waited for that nobody has locked */
	if (fstat(w->fd, &w->st) < 0)
		w->st.st_nlink = 99;
	close(w->fd);
	return NULL;
}

static void find__not_before_its_writer_is_done(void **state)
{
	char owner[PATH_MAX + 32];
	struct remote_use use;
	pthread_t thread;
	struct writer w;
	struct stat st;

	(void)state;
	name_file("slow");
	w.fd = open(path, O_CREAT | O_WRONLY, 0644);
	assert_int_equal(fstat(w.fd, &st), 0);
	close(w.fd);
	snprintf(owner, sizeof(owner), "%s/.pmio-owner.%" PRIu64, root.path, (uint64_t)st.st_ino);
	w.fd = open(owner, O_CREAT | O_EXCL | O_RDWR, 0600);
	assert_true(w.fd >= 0);
	assert_int_equal(flock(w.fd, LOCK_EX), 0);
	assert_int_equal(pthread_create(&thread, NULL, be_slow, &w), 0);
	/* he has died without a word: it is removed */
	assert_int_equal(remote_use_find(settings, path, &use), -ENOENT);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(w.st.st_nlink, 1);
	assert_false(exists(owner));
}

/* ---- failure ---------------------------------------------------------------------------------------- */

static void open__with_another_key(void **state)
{
	struct client_open how = { .flags = RW | PMIO_OPEN_CREATE, .mode = 0644 };
	struct remote_card wrong;
	struct pmio_file *f, *good;
	unsigned before = sessions_of(1);

	(void)state;
	name_file("key");
	good = open_at(1, RW | PMIO_OPEN_CREATE);
	wrong = sites[1].card;
	wrong.key[31] ^= 1;
	memset(wrong.uuid, 0, sizeof(wrong.uuid)); /* or the session that is there would do */
	scratch_catch_log();
	for (int i = 0; i < 3; i++)
		assert_int_equal(remote_open(settings, &wrong, path, &how, &f), -EACCES);
	assert_null(f);
	pmio_log_set_handler(NULL);
	assert_int_equal(pmio_pwrite(good, "good", 4, 0), 4);
	assert_int_equal(sessions_of(1), before);
	assert_int_equal(pmio_close(&good), 0);
}

/* what was written is there; the handle goes on when somebody has started another */
static void target_killed__error_and_then_another(void **state)
{
	struct pmio_file *f, *g;
	char buf[8] = "";

	(void)state;
	name_file("killed");
	f = open_at(1, RW | PMIO_OPEN_CREATE);
	g = open_at(1, RW);
	assert_int_equal(pmio_pwrite(f, "before", 6, 0), 6);
	kill_target(1);
	scratch_catch_log();
	assert_int_equal(pmio_pwrite(f, "lost", 4, 0), -EIO);
	assert_int_equal(pmio_pread(f, buf, 4, 0), -EIO);
	assert_true(scratch_nr_errors > 0);
	/* a close says that nothing is known of it */
	assert_int_equal(pmio_close(&g), -EIO);
	pmio_log_set_handler(NULL);
	assert_int_equal(remote_offer(sites[1].pm, &sites[1].card), 0);
	assert_int_equal(pmio_pread(f, buf, 8, 0), 6);
	assert_memory_equal(buf, "before", 6);
	assert_int_equal(pmio_pwrite(f, "after", 5, 6), 5);
	assert_int_equal(pmio_close(&f), 0);
	assert_on_pfs((const uint8_t *)"beforeafter", 11);
}

/* a large write is under way */
static void *write_on(void *arg)
{
	static uint8_t buf[8 << 20];

	while (pmio_pwrite(arg, buf, sizeof(buf), 0) == sizeof(buf))
		;
	return NULL;
}

static void target_killed__in_mid_write(void **state)
{
	struct pmio_file *f;
	off_t size;
	pthread_t t;

	(void)state;
	name_file("mid");
	f = open_at(2, RW | PMIO_OPEN_CREATE);
	assert_int_equal(pmio_pwrite(f, "", 1, (8 << 20) - 1), 1); /* however far the first write comes */
	scratch_catch_log();
	assert_int_equal(pthread_create(&t, NULL, write_on, f), 0);
	usleep(200000);
	kill_target(2);
	pthread_join(t, NULL); /* or the test hangs */
	pmio_log_set_handler(NULL);
	assert_int_equal(remote_offer(sites[2].pm, &sites[2].card), 0);
	assert_int_equal(pmio_size(f, &size), 0);
	assert_int_equal(size, 8 << 20);
	assert_int_equal(pmio_close(&f), 0);
}

/* the target starts another and goes on */
static void agent_killed__target_goes_on(void **state)
{
	struct pmio_file *f;
	char buf[8] = "";

	(void)state;
	name_file("agent");
	f = open_at(1, RW | PMIO_OPEN_CREATE);
	assert_int_equal(pmio_pwrite(f, "before", 6, 0), 6);
	kill(agent_of(1), SIGKILL);
	assert_int_equal(pmio_pwrite(f, "after", 5, 2 << 20), 5);
	assert_int_equal(pmio_pread(f, buf, 6, 0), 6);
	assert_memory_equal(buf, "before", 6);
	assert_int_equal(pmio_close(&f), 0);
}

static void continue_later(pid_t pid, unsigned ms)
{
	if (fork() == 0) {
		usleep(ms * 1000);
		kill(pid, SIGCONT);
		_exit(0);
	}
}

static void target_stopped_for_a_while__costs_time_only(void **state)
{
	uint8_t *buf = malloc(3 << 20), *back = malloc(3 << 20);
	pid_t pid = target_of(1);
	struct pmio_file *f;

	(void)state;
	assert_true(buf && back);
	name_file("stopped");
	fill_pattern(buf, 3 << 20, 8);
	f = open_at(1, RW | PMIO_OPEN_CREATE);
	scratch_catch_log();
	kill(pid, SIGSTOP);
	continue_later(pid, 1000);
	assert_int_equal(pmio_pwrite(f, buf, 3 << 20, 5), 3 << 20);
	kill(pid, SIGSTOP);
	continue_later(pid, 1000);
	assert_int_equal(pmio_pread(f, back, 3 << 20, 5), 3 << 20);
	assert_memory_equal(back, buf, 3 << 20);
	assert_int_equal(scratch_nr_errors, 0);
	pmio_log_set_handler(NULL);
	wait(NULL);
	wait(NULL);
	assert_int_equal(pmio_close(&f), 0);
	free(buf);
	free(back);
}

static int pause_drains(const char *pool, bool pause)
{
	struct pmio *admin;
	int rc = pmio_attach(pool, &admin);

	if (rc == 0) {
		rc = pmio_pause_drains(admin, pause);
		pmio_disconnect(&admin);
	}
	return rc;
}

/* a thread */
static void *resume_later(void *pool)
{
	usleep((useconds_t)(atoi(TIMEOUT_S) + 2) * 1000000);
	pause_drains(pool, false);
	return NULL;
}

/* for longer than the timeout, and the target answers all the same */
static void drain_waits_for_long__costs_time_only(void **state)
{
	const char *pool = pmio_pool_path(sites[1].pm);
	pthread_t thread;
	struct pmio_file *f;

	(void)state;
	name_file("slow");
	f = open_at(1, RW | PMIO_OPEN_CREATE);
	assert_int_equal(pmio_pwrite(f, "slow", 4, 0), 4);
	scratch_catch_log();
	assert_int_equal(pause_drains(pool, true), 0);
	assert_int_equal(pthread_create(&thread, NULL, resume_later, (void *)(uintptr_t)pool), 0);
	assert_int_equal(pmio_drain(f), 0);
	assert_int_equal(scratch_nr_errors, 0);
	pmio_log_set_handler(NULL);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_on_pfs((const uint8_t *)"slow", 4);
	assert_int_equal(pmio_close(&f), 0);
}

/* the target's calls to it end, and ours with them; nothing is lost */
static void agent_stopped_for_long__is_an_error(void **state)
{
	pid_t pid = agent_of(1);
	struct pmio_file *f;

	(void)state;
	name_file("stopped for long");
	f = open_at(1, RW | PMIO_OPEN_CREATE);
	assert_int_equal(pmio_pwrite(f, "data", 4, 0), 4);
	kill(pid, SIGSTOP);
	scratch_catch_log();
	assert_true(pmio_drain(f) < 0);
	pmio_log_set_handler(NULL);
	kill(pid, SIGCONT);
	assert_int_equal(pmio_drain(f), 0);
	assert_on_pfs((const uint8_t *)"data", 4);
	assert_int_equal(pmio_close(&f), 0);
}

/* ---- roles ------------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	int (*run)(void);
} roles[] = {
	{ "hold", role_hold },
};

static int be(char **argv)
{
	snprintf(path, sizeof(path), "%s", argv[3]);
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		if (strcmp(argv[1], roles[i].name) == 0)
			return take_sites(argv[2]) < 0 ? 1 : roles[i].run();
	}
	return 1;
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(card__comes_back_as_saved),
		cmocka_unit_test(card__others_could_know_it),
		cmocka_unit_test(card__bad_contents),
		cmocka_unit_test(listen__address_and_port),
		cmocka_unit_test(address__by_name),
		cmocka_unit_test(targets__each_card_counts),
		cmocka_unit_test(file__what_was_written_is_read),
		cmocka_unit_test(file__many_pieces),
		cmocka_unit_test(file__sizes_and_holes),
		cmocka_unit_test(file__opens_that_fail),
		cmocka_unit_test(file__threads_share_it),
		cmocka_unit_test(file__its_process_is_killed),
		cmocka_unit_test(span__striped),
		cmocka_unit_test(span__local),
		cmocka_unit_test(span__single),
		cmocka_unit_test(span__threads_share_it),
		cmocka_unit_test(find__not_before_its_writer_is_done),
		cmocka_unit_test(open__with_another_key),
		cmocka_unit_test(target_killed__error_and_then_another),
		cmocka_unit_test(target_killed__in_mid_write),
		cmocka_unit_test(agent_killed__target_goes_on),
		cmocka_unit_test(target_stopped_for_a_while__costs_time_only),
		cmocka_unit_test(drain_waits_for_long__costs_time_only),
		cmocka_unit_test(agent_stopped_for_long__is_an_error),
	};

	if (argc == 4)
		return be(argv);
	cmocka_set_test_filter(getenv("PMIO_TEST_FILTER"));
	return cmocka_run_group_tests_name("remote", tests, start_sites, stop_sites);
}
