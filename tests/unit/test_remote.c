/*
 * test_remote.c -- lib/remote: files in the pools of other nodes, which are pools of this machine
 */
#include "sites.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/* ---- endpoint descriptors -------------------------------------------------------------------------------- */

static struct remote_endpoint some_endpoint(void)
{
	struct remote_endpoint c;
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
	c.liveness = 65535;
	memset(c.host, 'n', sizeof(c.host) - 1);
	return c;
}

static void endpoint__comes_back_as_saved(void **state)
{
	struct remote_endpoint c = some_endpoint(), back;
	struct stat st;

	(void)state;
	name_file("card");
	put_text(path, "whatever there was", 0644);
	assert_int_equal(remote_endpoint_save(AT_FDCWD, path, &c), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(remote_endpoint_load(AT_FDCWD, path, &back), 0);
	assert_memory_equal(&back, &c, sizeof(c));
}

static void endpoint__others_could_know_it(void **state)
{
	struct remote_endpoint c = some_endpoint();
	const char *link = scratch_file(&root, "link"), *fifo = scratch_file(&root, "fifo");

	(void)state;
	name_file("card");
	assert_int_equal(remote_endpoint_load(AT_FDCWD, "no-such-file", &c), -ENOENT);
	assert_int_equal(remote_endpoint_save(AT_FDCWD, path, &c), 0);
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(remote_endpoint_load(AT_FDCWD, path, &c), -EPERM);
	assert_int_equal(chmod(path, 0602), 0);
	assert_int_equal(remote_endpoint_load(AT_FDCWD, path, &c), -EPERM);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(symlink(path, link), 0);
	assert_int_equal(remote_endpoint_load(AT_FDCWD, link, &c), -ELOOP);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(remote_endpoint_load(AT_FDCWD, fifo, &c), -EPERM);
	assert_int_equal(remote_endpoint_load(AT_FDCWD, root.path, &c), -EPERM);
}

/* each line left out, and each made nonsense of */
static void endpoint__bad_contents(void **state)
{
	static const char *const numbers[] = { "", "-1", "65536", "0x10", "1 2", "18446744073709551617" };
	struct remote_endpoint c = some_endpoint(), back;
	char *text, *bad;

	(void)state;
	name_file("card");
	assert_int_equal(remote_endpoint_save(AT_FDCWD, path, &c), 0);
	text = get_text(path, NULL);
	bad = malloc(strlen(text) + 64);
	assert_non_null(bad);
	for (char *line = strchr(text, '\n') + 1; *line; line = strchr(line, '\n') + 1) {
		size_t before = (size_t)(line - text), name = strcspn(line, "=");

		strncpy(bad, text, before);
		strcpy(bad + before, strchr(line, '\n') + 1);
		put_text(path, bad, 0600);
		assert_int_equal(remote_endpoint_load(AT_FDCWD, path, &back), PMIO_EPROTO);
		if (strncmp(line, "host", 4) == 0 || strncmp(line, "provider", 8) == 0)
			continue; /* any text is one */
		sprintf(bad + before, "%.*s= x%s", (int)name, line, line + name + 2);
		put_text(path, bad, 0600);
		assert_int_equal(remote_endpoint_load(AT_FDCWD, path, &back), PMIO_EPROTO);
	}
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		char *line = strstr(text, "\nlifeline") + 1;

		sprintf(bad, "%.*slifeline = %s\n", (int)(line - text), text, numbers[i]);
		put_text(path, bad, 0600);
		assert_int_equal(remote_endpoint_load(AT_FDCWD, path, &back), PMIO_EPROTO);
	}
	put_text(path, "", 0600);
	assert_int_equal(remote_endpoint_load(AT_FDCWD, path, &back), PMIO_EPROTO);
	memset(bad, '[', strlen(text));
	put_text(path, bad, 0600);
	assert_int_equal(remote_endpoint_load(AT_FDCWD, path, &back), PMIO_EPROTO);
	free(text);
	free(bad);
}

/* ---- another user, in a folder where all may make files ---------------------------------------- */

#define STRANGER 65534
#define SOMEBODY 65533 /* whose endpoint descriptor it is */

/* false: we cannot be several users */
static bool have_shared_folder(void)
{
	const char *folder = scratch_file(&root, "shared");

	return geteuid() == 0 && (mkdir(folder, 0700) == 0 || errno == EEXIST) && chmod(folder, 01777) == 0 &&
	       chmod(root.path, 0711) == 0;
}

static void give_to_stranger(const char *name)
{
	assert_int_equal(chown(name, STRANGER, STRANGER), 0);
}

/* whoever is first to have a file of the name that is used on the way */
static void endpoint__stranger_has_made_its_file(void **state)
{
	struct remote_endpoint c = some_endpoint(), back;
	char trap[PATH_MAX + 32], digits[8];
	int rc, load_rc;
	char *text;

	(void)state;
	if (!have_shared_folder())
		SKIP("needs root, to be two users");
	name_file("shared/trapped");
	snprintf(trap, sizeof(trap), "%s.%d", path, (int)getpid());
	put_text(trap, "", 0666);
	give_to_stranger(trap);
	assert_int_equal(seteuid(SOMEBODY), 0);
	rc = remote_endpoint_save(AT_FDCWD, path, &c);
	load_rc = remote_endpoint_load(AT_FDCWD, path, &back);
	assert_int_equal(seteuid(0), 0);
	text = get_text(trap, NULL);
	snprintf(digits, sizeof(digits), "%02x%02x%02x", c.key[0], c.key[1], c.key[2]);
	assert_null(strstr(text, digits));
	assert_int_equal(rc, 0);
	assert_int_equal(load_rc, 0);
	assert_memory_equal(back.key, c.key, sizeof(c.key));
	free(text);
}

static void endpoint__its_name_is_a_strangers(void **state)
{
	struct remote_endpoint c = some_endpoint(), old = some_endpoint();
	int save_rc, keep_rc;

	(void)state;
	if (!have_shared_folder())
		SKIP("needs root, to be two users");
	name_file("shared/taken");
	assert_int_equal(remote_endpoint_save(AT_FDCWD, path, &old), 0);
	give_to_stranger(path);
	memset(c.key, 1, sizeof(c.key));
	scratch_catch_log();
	assert_int_equal(seteuid(SOMEBODY), 0);
	keep_rc = remote_endpoint_keep_key(path, &c);
	save_rc = remote_endpoint_save(AT_FDCWD, path, &c);
	assert_int_equal(seteuid(0), 0);
	pmio_log_set_handler(NULL);
	assert_int_equal(keep_rc, -ENOENT);
	assert_int_equal(c.key[0], 1);
	assert_int_equal(save_rc, -EPERM);
	assert_logged_once();
	assert_non_null(strstr(scratch_last_error, "user 65534"));
}

static void endpoint__key_is_kept_unless_others_could_read_it(void **state)
{
	static const mode_t open[] = { 0640, 0604, 0620, 0602 };
	struct remote_endpoint old = some_endpoint(), c = some_endpoint();

	(void)state;
	name_file("kept");
	memset(c.key, 1, sizeof(c.key));
	assert_int_equal(remote_endpoint_keep_key(path, &c), -ENOENT);
	assert_int_equal(remote_endpoint_save(AT_FDCWD, path, &old), 0);
	scratch_catch_log();
	for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
		assert_int_equal(chmod(path, open[i]), 0);
		assert_int_equal(remote_endpoint_keep_key(path, &c), -ENOENT);
		assert_int_equal(c.key[0], 1);
	}
	pmio_log_set_handler(NULL);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(remote_endpoint_keep_key(path, &c), 0);
	assert_memory_equal(c.key, old.key, sizeof(c.key));
	put_text(path, "nonsense", 0600);
	assert_int_equal(remote_endpoint_keep_key(path, &c), PMIO_EPROTO);
}

/* a save that fails leaves nothing, and what was there */
static void endpoint__cannot_be_made(void **state)
{
	struct remote_endpoint c = some_endpoint();
	const char *folder = scratch_file(&root, "no-card");
	char long_name[PATH_MAX + 8];
	struct dirent *e;
	unsigned nr = 0;
	DIR *d;

	(void)state;
	assert_int_equal(mkdir(folder, 0700), 0);
	name_file("no-card/card");
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(remote_endpoint_save(AT_FDCWD, path, &c), -EISDIR);
	d = opendir(folder);
	assert_non_null(d);
	while ((e = readdir(d)) != NULL)
		nr += e->d_name[0] != '.';
	closedir(d);
	assert_int_equal(nr, 1);
	assert_int_equal(remote_endpoint_save(AT_FDCWD, "/no/such/folder/card", &c), -ENOENT);
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	assert_int_equal(remote_endpoint_save(AT_FDCWD, long_name, &c), -ENAMETOOLONG);
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

static void targets__each_endpoint_counts(void **state)
{
	struct remote_endpoint c = some_endpoint(), *endpoints;
	const char *a = scratch_file(&root, "a"), *b = scratch_file(&root, "b");
	char list[PATH_MAX];
	uint32_t nr;

	(void)state;
	assert_int_equal(remote_endpoint_save(AT_FDCWD, a, &c), 0);
	c.liveness = 7;
	assert_int_equal(remote_endpoint_save(AT_FDCWD, b, &c), 0);
	snprintf(list, sizeof(list), "%s,%s", a, b);
	assert_int_equal(remote_targets_load(list, &endpoints, &nr), 0);
	assert_int_equal(nr, 2);
	assert_int_equal(endpoints[0].liveness, 65535);
	assert_int_equal(endpoints[1].liveness, 7);
	free(endpoints);
	scratch_catch_log();
	assert_int_equal(remote_targets_load(",", &endpoints, &nr), -EINVAL);
	unlink(a);
	assert_int_equal(remote_targets_load(list, &endpoints, &nr), -ENOENT);
	assert_null(endpoints);
	assert_logged_once();
	pmio_log_set_handler(NULL);
}

/* ---- files ----------------------------------------------------------------------------------- */

static struct pmio_file *open_at(unsigned site, uint32_t flags)
{
	struct client_open how = { .flags = flags, .mode = 0644 };
	struct pmio_file *f;

	assert_int_equal(remote_open(settings, &sites[site].endpoint, path, &how, &f), 0);
	return f;
}

#define RW (PMIO_OPEN_READ | PMIO_OPEN_WRITE)

/* a message's worth and less, more than one, more than a bounce buffer, more than all bounce buffers of a session */
static void write_and_read(const char *name)
{
	const size_t sizes[] = {
		1, 13, 4096, REMOTE_INLINE_MAX - 16, REMOTE_INLINE_MAX - 15, REMOTE_ANSWER_MAX, REMOTE_ANSWER_MAX + 1, 65537,
		REMOTE_BUFFER_SIZE, REMOTE_BUFFER_SIZE + 1, CHUNK - 1, CHUNK, CHUNK + 5, (7 << 20) + 13,
	};
	struct pmio_file *f, *there;

	name_file(name);
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

static void file__what_was_written_is_read(void **state)
{
	(void)state;
	write_and_read("sizes");
}

static void file__what_was_written_is_read_by_buffers(void **state)
{
	(void)state;
	file_always_buffers = true;
	write_and_read("sizes by buffers");
	file_always_buffers = false;
}

/* large ones, and small ones among them, more than a buffer has pieces for; at odd places, so that parts end within them */
static void write_and_read_large(const char *name)
{
	enum { NR = 420, LARGE = 200001, EACH = 10 };
	const size_t size = NR / EACH * (LARGE + 1000);
	struct pmio_piece *p = calloc(NR, sizeof(*p));
	uint8_t *out = malloc(size), *in = calloc(1, size), *whole = calloc(1, size);
	size_t at = 0, sum = 0;
	struct pmio_file *f;

	assert_true(p && out && in && whole);
	name_file(name);
	fill_pattern(out, size, 9);
	for (size_t i = 0; i < NR; i++) {
		size_t len = i % EACH == 0 ? LARGE : i % EACH == 1 ? 0 : 77;

		p[i] = (struct pmio_piece){ (off_t)at, out + sum, len };
		memcpy(whole + at, out + sum, len);
		at += len + 3;
		sum += len;
	}
	f = open_at(1, RW | PMIO_OPEN_CREATE);
	assert_int_equal(pmio_truncate(f, (off_t)size), 0);
	assert_int_equal(pmio_writex(f, p, NR), sum);
	for (size_t i = 0; i < NR; i++)
		p[i].buf = in + ((uint8_t *)p[i].buf - out);
	assert_int_equal(pmio_readx(f, p, NR), sum);
	assert_memory_equal(in, out, sum);
	assert_int_equal(pmio_close(&f), 0);
	assert_on_pfs(whole, size);
	free(p);
	free(out);
	free(in);
	free(whole);
}

static void file__large_pieces(void **state)
{
	(void)state;
	write_and_read_large("large");
	file_always_buffers = true;
	write_and_read_large("large by buffers");
	file_always_buffers = false;
}

/* more than a message's list takes, and than a bounce buffer's; in no order */
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
	assert_int_equal(remote_open(settings, &sites[1].endpoint, path, &how, &f), -ENOENT);
	assert_null(f);
	assert_logged_once();
	f = open_at(1, RW | PMIO_OPEN_CREATE | PMIO_OPEN_EXCL);
	how.flags = RW | PMIO_OPEN_CREATE | PMIO_OPEN_EXCL;
	assert_int_equal(remote_open(settings, &sites[1].endpoint, path, &how, &g), -EEXIST);
	how.flags = PMIO_OPEN_READ;
	assert_int_equal(remote_open(settings, &sites[1].endpoint, root.path, &how, &g), -EISDIR);
	assert_null(g);
	assert_int_equal(scratch_nr_errors, 3);
	g = open_at(1, PMIO_OPEN_READ);
	assert_int_equal(pmio_pwrite(g, "no", 2, 0), -EBADF);
	assert_int_equal(pmio_close(&g), 0);
	assert_int_equal(pmio_pwrite(f, "yes", 3, 0), 3);
	assert_int_equal(remote_delete(settings, &sites[1].endpoint, path), 0);
	assert_false(exists(path));
	assert_int_equal(pmio_pread(f, buf, 4, 0), 3); /* open handles keep it */
	assert_memory_equal(buf, "yes", 3);
	assert_int_equal(pmio_close(&f), 0);
	scratch_catch_log();
	assert_int_equal(remote_delete(settings, &sites[1].endpoint, path), -ENOENT);
	assert_int_equal(scratch_nr_errors, 0); /* a deletion on all nodes expects it */
	pmio_log_set_handler(NULL);
}

/* more of them than the session has bounce buffers */
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
	file_always_buffers = true;
	name_file("threads by buffers");
	let_threads_share(open_at(1, RW | PMIO_OPEN_CREATE));
	file_always_buffers = false;
}

/* with a lock it holds; is killed */
static int role_hold(void)
{
	struct client_open how = { .flags = RW };
	struct pmio_file *f;

	if (remote_open(settings, &sites[1].endpoint, path, &how, &f) < 0 || client_lock(f) < 0 ||
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

/* its metadata server is not here */
static struct remote_layout layout_of_all(enum pmio_placement placement)
{
	return layout_of_sites(placement, 1, placement == PMIO_PLACE_SINGLE ? 1 : SITES);
}

static uint64_t drained_by(unsigned site)
{
	struct remote_stat_answer_msg st;

	assert_int_equal(remote_stat(settings, &sites[site].endpoint, &st), 0);
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

static void begin_layout(struct remote_layout *layout)
{
	put_text(path, "", 0644);
	assert_int_equal(remote_layout_begin(settings, path, layout), 0);
	for (unsigned i = 0; i < layout->nr; i++)
		assert_int_equal(remote_layout_serve(settings, &layout->endpoints[i], layout), 0);
}

/* where: a bit for each site that then has had pieces of it */
static void striped_with(enum pmio_placement placement, const char *name, unsigned where)
{
	enum { MAX = 14 << 20 };
	struct client_open how = { .flags = RW };
	struct remote_layout layout = layout_of_all(placement);
	uint8_t *model = calloc(1, MAX);
	uint64_t before[SITES];
	struct pmio_file *f[3];

	assert_non_null(model);
	name_file(name);
	for (unsigned i = 0; i < SITES; i++)
		before[i] = drained_by(i);
	begin_layout(&layout);
	assert_int_equal(remote_striped_open(sites[0].pm, settings, path, &how, &layout, true, &f[0]), 0);
	assert_int_equal(remote_striped_open(sites[1].pm, settings, path, &how, &layout, false, &f[1]), 0);
	assert_int_equal(remote_striped_open(NULL, settings, path, &how, &layout, false, &f[2]), 0);
	assert_memory_equal(remote_layout_of(f[2])->id, layout.id, sizeof(layout.id));
	span_io(f, model, MAX, placement);
	assert_int_equal(pmio_sync(f[1]), 0);
	assert_int_equal(pmio_close(&f[2]), 0);
	assert_int_equal(pmio_close(&f[1]), 0);
	assert_int_equal(pmio_close(&f[0]), 0);
	assert_on_pfs(model, MAX);
	for (unsigned i = 0; i < SITES; i++)
		assert_int_equal(drained_by(i) > before[i], where >> i & 1);
	remote_layout_fini(&layout);
	free(model);
}

static void striped__striped(void **state)
{
	(void)state;
	striped_with(PMIO_PLACE_STRIPED, "striped", 7);
}

/* the process without a pool leaves its pieces to the one that it asks, the second site's */
static void striped__local(void **state)
{
	(void)state;
	striped_with(PMIO_PLACE_LOCAL, "local", 3);
}

/* 7 bytes at two places of a chunk; gap: between them */
static void put_two(struct pmio_file *f, uint64_t chunk, off_t gap)
{
	const struct pmio_piece p[] = {
		{ (off_t)chunk * CHUNK, (uint8_t[]){ "before" }, 7 }, { (off_t)chunk * CHUNK + 7 + gap, (uint8_t[]){ "behind" }, 7 },
	};

	assert_int_equal(pmio_writex(f, p, 2), 14);
}

/* the second node writes into a chunk of the first; then the first to the next windows: where are those bytes? */
static void share_chunks(const char *name, off_t gap, bool turns)
{
	struct client_open how = { .flags = RW };
	struct remote_layout layout = layout_of_all(PMIO_PLACE_LOCAL);
	uint64_t before[2];
	struct pmio_file *f[2];

	name_file(name);
	before[0] = drained_by(0);
	before[1] = drained_by(1);
	begin_layout(&layout);
	assert_int_equal(remote_striped_open(sites[0].pm, settings, path, &how, &layout, true, &f[0]), 0);
	assert_int_equal(remote_striped_open(sites[1].pm, settings, path, &how, &layout, false, &f[1]), 0);
	put_two(f[0], 0, gap);
	put_two(f[1], 0, gap);
	put_two(f[0], 16, gap); /* the second one's turn; the first one sees that it is, and takes the next one */
	put_two(f[1], 16, gap);
	put_two(f[1], 0, gap);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pmio_close(&f[1 - i]), 0);
	assert_int_equal(drained_by(1) > before[1], turns);
	assert_true(drained_by(0) > before[0]);
	remote_layout_fini(&layout);
}

/* by bytes of the first node only: without turns it has all chunks, with them those of every other window */
static void striped__turns_if_there_are_gaps(void **state)
{
	(void)state;
	share_chunks("with gaps", 100, true);
	share_chunks("without gaps", 0, false);
}

static void striped__single(void **state)
{
	(void)state;
	striped_with(PMIO_PLACE_SINGLE, "single", 2);
}

static void striped__threads_share_it(void **state)
{
	static const enum pmio_placement placements[] = { PMIO_PLACE_STRIPED, PMIO_PLACE_LOCAL };
	struct client_open how = { .flags = RW };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct remote_layout layout = layout_of_all(placements[i]);
		struct pmio_file *f;

		name_file(i ? "local threads" : "striped threads");
		begin_layout(&layout);
		assert_int_equal(remote_striped_open(sites[0].pm, settings, path, &how, &layout, true, &f), 0);
		let_threads_share(f);
		remote_layout_fini(&layout);
	}
}

/* the process's handles share each pointer; one that has ended is at 0 again, and other numbers are others */
static void striped__shared_pointers(void **state)
{
	const uint64_t a = 0x123456789abcdef0, b = 1;
	struct client_open how = { .flags = RW };
	struct remote_layout layout = layout_of_all(PMIO_PLACE_STRIPED);
	struct pmio_file *f[2];
	uint64_t was = 99;

	(void)state;
	name_file("pointers");
	begin_layout(&layout);
	assert_int_equal(remote_striped_open(sites[0].pm, settings, path, &how, &layout, true, &f[0]), 0);
	assert_int_equal(remote_striped_open(sites[1].pm, settings, path, &how, &layout, false, &f[1]), 0);
	for (uint64_t i = 0; i < 10; i++) {
		assert_int_equal(remote_striped_pointer(f[i % 2], a, REMOTE_POINTER_ADD, 1ull << 33, &was), 0);
		assert_int_equal(was, i << 33);
	}
	assert_int_equal(remote_striped_pointer(f[0], b, REMOTE_POINTER_ADD, 7, &was), 0);
	assert_int_equal(was, 0);
	assert_int_equal(remote_striped_pointer(f[1], a, REMOTE_POINTER_SET, 3, &was), 0);
	assert_int_equal(was, 10ull << 33);
	assert_int_equal(remote_striped_pointer(f[0], a, REMOTE_POINTER_END, 0, &was), 0);
	assert_int_equal(was, 3);
	assert_int_equal(remote_striped_pointer(f[1], a, REMOTE_POINTER_ADD, 0, &was), 0);
	assert_int_equal(was, 0);
	assert_int_equal(remote_striped_pointer(f[1], b, REMOTE_POINTER_ADD, 0, &was), 0);
	assert_int_equal(was, 7);
	assert_int_equal(remote_striped_pointer(f[1], b, (enum remote_pointer_how)99, 0, &was), PMIO_EPROTO);
	assert_int_equal(pmio_close(&f[1]), 0);
	assert_int_equal(pmio_close(&f[0]), 0);
	remote_layout_fini(&layout);
}

/* ---- appends, by processes of all nodes ------------------------------------------------------------ */

#define APPENDS 200
#define RECORD 37

struct appender {
	struct pmio_file *f;
	char name;
};

static void *append_records(void *arg)
{
	const struct appender *a = arg;
	char record[RECORD];
	intptr_t bad = 0;

	memset(record, a->name, sizeof(record));
	for (int i = 0; i < APPENDS; i++) {
		off_t at = -1;

		bad += pmio_append(a->f, record, sizeof(record), &at) != sizeof(record) || at % RECORD;
	}
	return (void *)bad;
}

/* f: owned by this.  The records of all are there, and none has lost a byte to another */
static void append_and_look(struct pmio_file *const f[SITES])
{
	struct appender a[SITES];
	pthread_t t[SITES];
	unsigned count[SITES] = { 0 };
	char *all = calloc(SITES * APPENDS, RECORD);
	off_t size, at = -1;

	assert_non_null(all);
	for (int i = 0; i < SITES; i++) {
		a[i] = (struct appender){ f[i], (char)('a' + i) };
		assert_int_equal(pthread_create(&t[i], NULL, append_records, &a[i]), 0);
	}
	for (int i = 0; i < SITES; i++) {
		void *bad;

		pthread_join(t[i], &bad);
		assert_int_equal((intptr_t)bad, 0);
	}
	assert_int_equal(pmio_size(f[2], &size), 0);
	assert_int_equal(size, SITES * APPENDS * RECORD);
	assert_int_equal(pmio_append(f[1], "", 0, &at), 0);
	assert_int_equal(at, size);
	assert_int_equal(pmio_pread(f[0], all, (size_t)size, 0), size);
	for (int i = 0; i < SITES * APPENDS; i++) {
		const char *record = all + i * RECORD;

		assert_true(*record >= 'a' && *record < 'a' + SITES);
		count[*record - 'a']++;
		for (int k = 1; k < RECORD; k++)
			assert_int_equal(record[k], *record);
	}
	for (int i = 0; i < SITES; i++)
		assert_int_equal(count[i], APPENDS);
	free(all);
}

static void append_in(enum pmio_placement placement, const char *name)
{
	struct client_open how = { .flags = RW };
	struct remote_layout layout = layout_of_all(placement);
	struct pmio_file *f[SITES];

	name_file(name);
	begin_layout(&layout);
	for (int i = 0; i < SITES; i++)
		assert_int_equal(remote_striped_open(sites[i].pm, settings, path, &how, &layout, i == 0, &f[i]), 0);
	append_and_look(f);
	for (int i = SITES; i-- > 0;)
		assert_int_equal(pmio_close(&f[i]), 0);
	remote_layout_fini(&layout);
}

static void striped__appends(void **state)
{
	(void)state;
	append_in(PMIO_PLACE_STRIPED, "append-striped");
	append_in(PMIO_PLACE_LOCAL, "append-local");
}

/* one by the pool, the others by its target */
static void file__appends(void **state)
{
	struct pmio_file *f[SITES];

	(void)state;
	name_file("append");
	assert_int_equal(pmio_open(sites[1].pm, path, O_RDWR | O_CREAT, 0644, &f[0]), 0);
	f[1] = open_at(1, RW);
	f[2] = open_at(1, RW);
	append_and_look(f);
	for (int i = SITES; i-- > 0;)
		assert_int_equal(pmio_close(&f[i]), 0);
	f[0] = open_at(1, PMIO_OPEN_READ);
	assert_int_equal(pmio_append(f[0], "x", 1, NULL), -EBADF);
	assert_int_equal(pmio_close(&f[0]), 0);
}

/* a layout file that is not whole yet; what its writer found when he was done */
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
	char layout_file[PATH_MAX + 32];
	struct remote_layout layout;
	pthread_t thread;
	struct writer w;
	struct stat st;

	(void)state;
	name_file("slow");
	w.fd = open(path, O_CREAT | O_WRONLY, 0644);
	assert_int_equal(fstat(w.fd, &st), 0);
	close(w.fd);
	snprintf(layout_file, sizeof(layout_file), "%s/.pmio-owner.%" PRIu64, root.path, (uint64_t)st.st_ino);
	w.fd = open(layout_file, O_CREAT | O_EXCL | O_RDWR, 0600);
	assert_true(w.fd >= 0);
	assert_int_equal(flock(w.fd, LOCK_EX), 0);
	assert_int_equal(pthread_create(&thread, NULL, be_slow, &w), 0);
	/* the writer has died and left it incomplete: it is removed */
	assert_int_equal(remote_layout_find(settings, path, &layout), -ENOENT);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(w.st.st_nlink, 1);
	assert_false(exists(layout_file));
}

/* ---- failure ---------------------------------------------------------------------------------------- */

static void open__with_another_key(void **state)
{
	struct client_open how = { .flags = RW | PMIO_OPEN_CREATE, .mode = 0644 };
	struct remote_endpoint wrong;
	struct pmio_file *f, *good;
	unsigned before = sessions_of(1);

	(void)state;
	name_file("key");
	good = open_at(1, RW | PMIO_OPEN_CREATE);
	wrong = sites[1].endpoint;
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
	assert_int_equal(remote_advertise(sites[1].pm, &sites[1].endpoint), 0);
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
	assert_int_equal(remote_advertise(sites[2].pm, &sites[2].endpoint), 0);
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

/* stopped it is some time after it has been told to: all of its threads */
static bool is_stopped(pid_t pid)
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

static void stop_process(pid_t pid)
{
	kill(pid, SIGSTOP);
	await(is_stopped(pid));
}

/* ---- processes and their sessions ------------------------------------------------------------------- */

/* a process of another node, taken apart: what it says to site 1 */
struct peer {
	uint8_t process[16];
	uint64_t attempt;
	struct pmio_fabric_peer *fabric;
	struct remote_hello_answer_msg hello;
	int liveness;
};

static struct pmio_fabric_initiator *new_port(void)
{
	const struct remote_endpoint *endpoint = &sites[1].endpoint;
	struct pmio_fabric_config c = { .provider = endpoint->fabric.provider, .address = "127.0.0.1", .key = endpoint->key,
					.timeout_ms = (unsigned)atoi(TIMEOUT_S) * 1000 };
	struct pmio_fabric_initiator *port;

	assert_int_equal(pmio_fabric_initiator_new(&c, &port), 0);
	return port;
}

static int peer_ask(struct peer *p, void *msg, size_t len, enum remote_op op, void *answer, size_t room)
{
	uint64_t ticket[64];
	struct remote_hdr_msg *h = msg;
	struct pmio_fabric_exchange x = { .request = msg, .request_len = len, .answer = room ? answer : ticket,
					  .answer_room = room ? room : sizeof(ticket) };

	h->version = REMOTE_VERSION;
	h->op = (uint16_t)op;
	h->session = op == REMOTE_HELLO ? 0 : p->hello.session;
	return pmio_fabric_call(p->fabric, &x);
}

static int peer_hello(struct peer *p, uint64_t attempt)
{
	struct remote_hello_msg m = { .attempt = attempt, .pid = 7, .buffers = 1, .host = "elsewhere" };
	struct remote_hello_answer_msg a;
	int rc;

	memcpy(m.process, p->process, sizeof(m.process));
	rc = peer_ask(p, &m, sizeof(m), REMOTE_HELLO, &a, sizeof(a));
	if (rc == 0)
		p->hello = a;
	return rc;
}

static void peer_show(struct peer *p)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(p->hello.liveness),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct timeval limit = { .tv_sec = PATIENCE_MS / 1000 };
	uint8_t ack = 0;

	p->liveness = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(p->liveness >= 0);
	setsockopt(p->liveness, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	assert_int_equal(connect(p->liveness, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(write(p->liveness, &p->hello.session, 8), 8);
	assert_int_equal(read(p->liveness, &ack, 1), 1);
	assert_int_equal(ack, REMOTE_LIVENESS_ACK);
}

static struct peer peer_come(struct pmio_fabric_initiator *port)
{
	struct peer p = { .liveness = -1 };

	assert_int_equal(pmio_fabric_random(p.process, sizeof(p.process)), 0);
	assert_int_equal(pmio_fabric_connect(port, &sites[1].endpoint.fabric, NULL, &p.fabric), 0);
	assert_int_equal(peer_hello(&p, ++p.attempt), 0);
	peer_show(&p);
	return p;
}

static void peer_go(struct peer *p)
{
	if (p->liveness >= 0)
		close(p->liveness);
	pmio_fabric_disconnect(&p->fabric);
}

/* the same process, in another session */
static struct peer peer_again(struct pmio_fabric_initiator *port, const struct peer *p, uint64_t attempt)
{
	struct peer q = *p;

	q.liveness = -1;
	q.attempt = attempt;
	assert_int_equal(pmio_fabric_connect(port, &sites[1].endpoint.fabric, NULL, &q.fabric), 0);
	return q;
}

static int peer_join(struct peer *p, enum remote_op op, uint64_t number, const char *layout_file)
{
	union {
		struct remote_join_msg m;
		uint8_t bytes[sizeof(struct remote_join_msg) + PATH_MAX];
	} u;

	memset(&u, 0, sizeof(u));
	memset(u.m.layout, 0x77, sizeof(u.m.layout));
	u.m.number = number;
	u.m.create = layout_file != NULL;
	if (layout_file)
		strcpy(u.m.path, layout_file);
	return peer_ask(p, &u, sizeof(u.m) + (layout_file ? strlen(layout_file) + 1 : 0), op, NULL, 0);
}

/* the answer to a HELLO was lost: it is said again, and the one before finds nobody */
static void hello__said_twice(void **state)
{
	struct pmio_fabric_initiator *port = new_port();
	struct peer p = peer_come(port), q = peer_again(port, &p, 2), r = peer_again(port, &p, 3);
	char none[PATH_MAX + 32];

	(void)state;
	snprintf(none, sizeof(none), "%s/.pmio-owner.none", root.path);
	assert_int_equal(peer_join(&p, REMOTE_JOIN, 1, none), 0);
	assert_int_equal(peer_join(&p, REMOTE_JOIN, 1, none), 0);
	assert_int_equal(peer_hello(&q, 2), 0);
	assert_int_equal(q.hello.vital, p.hello.session);
	assert_int_equal(peer_hello(&r, 3), 0);
	assert_int_equal(r.hello.vital, p.hello.session);
	assert_true(peer_join(&p, REMOTE_JOIN, 2, NULL) < 0);
	assert_true(peer_join(&q, REMOTE_JOIN, 2, NULL) < 0);
	assert_int_equal(peer_hello(&r, 2), -ESTALE); /* it was on its way for long */
	peer_show(&r);
	close(p.liveness); /* the target does not look at it any more */
	p.liveness = -1;
	usleep(300000);
	/* joined once, however often that was said */
	assert_int_equal(peer_join(&r, REMOTE_JOIN, 2, NULL), 0);
	assert_int_equal(peer_join(&r, REMOTE_LEAVE, 2, NULL), 1);
	assert_int_equal(peer_join(&r, REMOTE_LEAVE, 1, NULL), 0);
	assert_int_equal(peer_join(&r, REMOTE_LEAVE, 1, NULL), -ENOENT);
	assert_int_equal(peer_join(&r, REMOTE_JOIN, 3, NULL), -ENOENT);
	pmio_fabric_disconnect(&p.fabric);
	pmio_fabric_disconnect(&q.fabric);
	peer_go(&r);
	pmio_fabric_initiator_delete(&port);
}

/* an earlier session's liveness socket, as long as the target has no later one: its end is the process's */
static void liveness__ends_before_another_is_shown(void **state)
{
	struct pmio_fabric_initiator *port = new_port();
	struct peer p = peer_come(port), q = peer_again(port, &p, 2);
	unsigned before = sessions_of(1);

	(void)state;
	assert_int_equal(peer_hello(&q, 2), 0);
	assert_int_equal(sessions_of(1), before);
	close(p.liveness);
	p.liveness = -1;
	await(sessions_of(1) == before - 1);
	pmio_fabric_disconnect(&p.fabric);
	peer_go(&q);
	pmio_fabric_initiator_delete(&port);
}

struct opening {
	struct peer p;
	int rc;
};

static int peer_open(struct peer *p, const char *name, uint64_t *handle)
{
	union {
		struct remote_open_msg m;
		uint8_t bytes[sizeof(struct remote_open_msg) + PATH_MAX];
	} u;
	struct remote_open_answer_msg a = { 0 };
	int rc;

	memset(&u.m, 0, sizeof(u.m));
	u.m.flags = RW;
	strcpy(u.m.path, name);
	rc = peer_ask(p, &u, sizeof(u.m) + strlen(name) + 1, REMOTE_OPEN, &a, sizeof(a));
	*handle = a.handle;
	return rc;
}

static void *open_it(void *arg)
{
	struct opening *o = arg;
	uint64_t handle;

	o->rc = peer_open(&o->p, path, &handle);
	return NULL;
}

static void *say_hello(void *arg)
{
	struct opening *o = arg;

	o->rc = peer_hello(&o->p, o->p.attempt);
	return NULL;
}

/* the agent stands still, and the clients that wait for it come again and again: others are answered, and in the end he is */
static void agent_stopped__others_are_answered(void **state)
{
	struct pmio_fabric_initiator *port = new_port(), *ports[4];
	struct opening first = { .p = peer_come(port) }, again[4];
	pid_t agent = agent_of(1);
	pthread_t t, more[4];
	struct peer other;
	char none[PATH_MAX + 32];

	(void)state;
	name_file("stands");
	put_text(path, "x", 0644);
	snprintf(none, sizeof(none), "%s/.pmio-owner.none", root.path);
	stop_process(agent);
	assert_int_equal(pthread_create(&t, NULL, open_it, &first), 0);
	usleep(300000);
	for (unsigned i = 0; i < 4; i++) {
		ports[i] = new_port();
		again[i].p = peer_again(ports[i], &first.p, i + 2);
		assert_int_equal(pthread_create(&more[i], NULL, say_hello, &again[i]), 0);
		usleep(100000);
	}
	other = peer_come(port);
	assert_int_equal(peer_join(&other, REMOTE_JOIN, 1, none), 0);
	assert_int_equal(peer_join(&other, REMOTE_LEAVE, 1, NULL), 0);
	kill(agent, SIGCONT);
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(more[i], NULL);
		/* only the last one counts */
		assert_int_equal(again[i].rc == 0, i == 3);
	}
	pthread_join(t, NULL);
	peer_go(&other);
	for (unsigned i = 0; i < 4; i++) {
		pmio_fabric_disconnect(&again[i].p.fabric);
		pmio_fabric_initiator_delete(&ports[i]);
	}
	peer_go(&first.p);
	pmio_fabric_initiator_delete(&port);
}

enum { PEERS = 2000, PORTS = 250 };

static size_t stat_size(const char *name)
{
	struct stat st;

	return stat(name, &st) == 0 ? (size_t)st.st_size : 0;
}

static void peer_write(struct peer *p, uint64_t handle, uint32_t i)
{
	struct {
		struct remote_io_msg m;
		struct remote_desc desc;
		uint32_t data;
	} w = { .m = { .hdr = { .handle = handle }, .buffer = REMOTE_NO_BUFFER, .nr = 1, .len = sizeof(i) },
		.desc = { i * sizeof(i), sizeof(i) }, .data = i };
	struct remote_write_answer_msg a;

	assert_int_equal(peer_ask(p, &w, offsetof(__typeof__(w), data) + sizeof(i), REMOTE_WRITE, &a, sizeof(a)), 0);
}

/* more than an agent has records of clients, and than the target's first limit of descriptors: each has the file open */
static void sessions__two_thousand(void **state)
{
	struct rlimit before, all;
	struct pmio_fabric_initiator *ports[PORTS];
	struct peer *p = calloc(PEERS, sizeof(*p));
	uint64_t *handles = calloc(PEERS, sizeof(*handles));
	uint32_t *model = calloc(PEERS, sizeof(*model));
	unsigned sessions, now;

	(void)state;
	assert_true(p && handles && model);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	if (before.rlim_max < 8192)
		skip();
	all = before;
	all.rlim_cur = all.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
	name_file("many");
	put_text(path, "", 0644);
	sessions = sessions_of(1);
	for (unsigned i = 0; i < PORTS; i++)
		ports[i] = new_port();
	for (uint32_t i = 0; i < PEERS; i++) {
		p[i] = peer_come(ports[i % PORTS]);
		assert_int_equal(peer_open(&p[i], path, &handles[i]), 0);
		model[i] = i;
	}
	/* one of an earlier test's may end meanwhile */
	now = sessions_of(1);
	assert_true(now >= PEERS && now <= sessions + PEERS);
	for (uint32_t i = 0; i < PEERS; i++)
		peer_write(&p[i], handles[i], i);
	for (unsigned i = 0; i < PEERS; i++)
		peer_go(&p[i]);
	for (unsigned i = 0; i < PORTS; i++)
		pmio_fabric_initiator_delete(&ports[i]);
	await(sessions_of(1) <= sessions);
	/* nobody has closed it but the target: the last of them drains it */
	await(stat_size(path) == PEERS * sizeof(*model));
	assert_on_pfs((uint8_t *)model, PEERS * sizeof(*model));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	free(p);
	free(handles);
	free(model);
}

/* more than there could be threads for */
static void watch__many_files(void **state)
{
	pid_t agent = agent_of(1);

	(void)state;
	stop_process(agent);
	for (unsigned i = 0; i < 1500; i++) {
		char name[32];

		snprintf(name, sizeof(name), "watched.%u", i);
		name_file(name);
		assert_int_equal(remote_watch(settings, &sites[1].endpoint, path), 0);
	}
	kill(agent, SIGCONT);
}

/* ---- a layout session outlives sessions -------------------------------------------------------------- */

static struct pmio_file *open_used(struct remote_layout *layout, const char *name, char layout_file[PATH_MAX + 32])
{
	struct client_open how = { .flags = RW };
	struct pmio_file *f;
	struct stat st;

	name_file(name);
	put_text(path, "old", 0644);
	assert_int_equal(stat(path, &st), 0);
	snprintf(layout_file, PATH_MAX + 32, "%s/.pmio-owner.%" PRIu64, root.path, (uint64_t)st.st_ino);
	*layout = layout_of_all(PMIO_PLACE_SINGLE);
	assert_int_equal(remote_layout_begin(settings, path, layout), 0);
	assert_int_equal(remote_striped_open(sites[0].pm, settings, path, &how, layout, true, &f), 0);
	assert_int_equal(pmio_pwrite(f, "new", 3, 0), 3);
	assert_true(exists(layout_file));
	return f;
}

/* what another process finds: the first byte, or an error */
static int role_find(void)
{
	struct client_open how = { .flags = PMIO_OPEN_READ };
	struct remote_layout layout;
	struct pmio_file *f;
	unsigned char c = 0;
	int rc = remote_layout_find(settings, path, &layout);

	if (rc == 0)
		rc = remote_striped_open(NULL, settings, path, &how, &layout, true, &f);
	if (rc == 0) {
		rc = pmio_pread(f, &c, 1, 0) == 1 ? c : -EIO;
		pmio_close(&f);
	}
	remote_layout_fini(&layout);
	say(rc);
	return 0;
}

static int found_by_another(void)
{
	int out, rc;
	pid_t pid = start_role(&out, "find", path);

	rc = hear(out);
	waitpid(pid, NULL, 0);
	close(out);
	return rc;
}

static void use__target_stopped_for_longer_than_the_timeout(void **state)
{
	pid_t pid = target_of(1);
	char layout_file[PATH_MAX + 32];
	struct remote_layout layout;
	struct pmio_file *f = open_used(&layout, "lost", layout_file);

	(void)state;
	scratch_catch_log();
	stop_process(pid);
	assert_int_equal(pmio_pwrite(f, "xxx", 3, 0), -EIO);
	assert_true(scratch_nr_errors > 0);
	assert_int_equal(pmio_pwrite(f, "yyy", 3, 0), -EIO);
	kill(pid, SIGCONT);
	/* the target has seen all that this process has closed, whatever it was */
	await(pmio_pwrite(f, "now", 3, 0) == 3);
	usleep(500000);
	pmio_log_set_handler(NULL);
	assert_true(exists(layout_file));
	assert_int_equal(found_by_another(), 'n');
	assert_int_equal(pmio_pwrite(f, "end", 3, 0), 3);
	assert_int_equal(pmio_close(&f), 0);
	assert_on_pfs((const uint8_t *)"end", 3);
	assert_false(exists(layout_file));
	remote_layout_fini(&layout);
}

/* it knows of no process: one that has the file open says so before others take it over */
static void use__target_started_anew(void **state)
{
	char layout_file[PATH_MAX + 32];
	struct remote_layout layout;
	struct pmio_file *f = open_used(&layout, "anew", layout_file);

	(void)state;
	scratch_catch_log();
	kill_target(1);
	assert_int_equal(pmio_pwrite(f, "xxx", 3, 0), -EIO);
	pmio_log_set_handler(NULL);
	assert_int_equal(remote_advertise(sites[1].pm, &sites[1].endpoint), 0);
	assert_int_equal(pmio_pwrite(f, "now", 3, 0), 3);
	assert_int_equal(found_by_another(), 'n');
	assert_true(exists(layout_file));
	assert_int_equal(pmio_close(&f), 0);
	assert_false(exists(layout_file));
	remote_layout_fini(&layout);
}

/* others have taken it for left over: what has it open does not go on beside them */
static void use__taken_over_meanwhile(void **state)
{
	char layout_file[PATH_MAX + 32];
	struct remote_layout layout;
	struct pmio_file *f = open_used(&layout, "taken", layout_file);

	(void)state;
	scratch_catch_log();
	kill_target(1);
	assert_int_equal(found_by_another(), -ENOENT);
	assert_false(exists(layout_file));
	assert_int_equal(remote_advertise(sites[1].pm, &sites[1].endpoint), 0);
	assert_int_equal(pmio_pwrite(f, "xxx", 3, 0), -EIO);
	assert_int_equal(pmio_pwrite(f, "yyy", 3, 0), -EIO);
	assert_int_equal(pmio_close(&f), -EIO);
	assert_true(scratch_nr_errors > 0);
	pmio_log_set_handler(NULL);
	remote_layout_fini(&layout);
}

/* ---- locks ------------------------------------------------------------------------------------------- */

static bool no_flock;

/* in place of the C library's */
int flock(int fd, int how)
{
	if (no_flock) {
		errno = ENOSYS;
		return -1;
	}
	return (int)syscall(SYS_flock, fd, how);
}

static unsigned nr_synced[2]; /* folders, others */

/* in place of the C library's */
int fsync(int fd)
{
	struct stat st;

	if (fstat(fd, &st) == 0)
		nr_synced[!S_ISDIR(st.st_mode)]++;
	return (int)syscall(SYS_fsync, fd);
}

/* the power may go when the call has returned */
static void use__layout_file_is_durable(void **state)
{
	struct remote_layout layout = layout_of_all(PMIO_PLACE_SINGLE);

	(void)state;
	name_file("durable");
	put_text(path, "", 0644);
	nr_synced[0] = nr_synced[1] = 0;
	assert_int_equal(remote_layout_begin(settings, path, &layout), 0);
	assert_true(nr_synced[0] >= 1 && nr_synced[1] >= 1);
	nr_synced[1] = 0;
	assert_int_equal(remote_layout_file_mark(path, layout.id, 0), 0);
	assert_int_equal(nr_synced[1], 1);
	remote_layout_file_drained(path, layout.endpoints[0].uuid, NULL, NULL);
	assert_int_equal(nr_synced[1], 2);
	assert_int_equal(remote_layout_leave(settings, &layout, REMOTE_KEEP_NOT), 0);
	remote_layout_fini(&layout);
}

static void use__file_system_without_locks(void **state)
{
	struct remote_layout layout = layout_of_all(PMIO_PLACE_SINGLE), other;
	char layout_file[PATH_MAX + 32];
	struct stat st;

	(void)state;
	name_file("nolocks");
	put_text(path, "", 0644);
	assert_int_equal(stat(path, &st), 0);
	snprintf(layout_file, sizeof(layout_file), "%s/.pmio-owner.%" PRIu64, root.path, (uint64_t)st.st_ino);
	scratch_catch_log();
	no_flock = true;
	assert_int_equal(remote_layout_begin(settings, path, &layout), -ENOLCK);
	assert_false(exists(layout_file));
	/* one that is left over stays */
	put_text(layout_file, "rubbish", 0600);
	assert_int_equal(remote_layout_find(settings, path, &other), -ENOLCK);
	assert_true(exists(layout_file));
	no_flock = false;
	assert_true(scratch_nr_errors > 0);
	pmio_log_set_handler(NULL);
	assert_int_equal(remote_layout_find(settings, path, &other), -ENOENT);
	assert_false(exists(layout_file));
	remote_layout_fini(&layout);
}

/* ---- marks of another user's ---------------------------------------------------------------------------- */

/* the data file, and the mark's name; false: we cannot be several users */
static bool shared_file(const char *name, mode_t mode, char layout_file[PATH_MAX + 64])
{
	struct stat st;

	if (!have_shared_folder())
		return false;
	name_file(name);
	put_text(path, "", mode);
	assert_int_equal(stat(path, &st), 0);
	snprintf(layout_file, PATH_MAX + 64, "%s/shared/.pmio-owner.%" PRIu64, root.path, (uint64_t)st.st_ino);
	return true;
}

static void strangers_mark(const char *layout_file)
{
	put_text(layout_file, "rubbish", 0644);
	give_to_stranger(layout_file);
}

/* he cannot write the file, so he has nothing to do with it */
static void mark__of_who_cannot_write_the_file(void **state)
{
	struct remote_layout layout = layout_of_all(PMIO_PLACE_SINGLE), other;
	char layout_file[PATH_MAX + 64], second[PATH_MAX + 80];

	(void)state;
	if (!shared_file("shared/squatted", 0644, layout_file))
		SKIP("needs root, to be two users");
	snprintf(second, sizeof(second), "%s.%u", layout_file, (unsigned)geteuid());
	strangers_mark(layout_file);
	assert_int_equal(remote_layout_find(settings, path, &other), -ENOENT);
	assert_int_equal(remote_layout_begin(settings, path, &layout), 0);
	assert_true(exists(second));
	assert_int_equal(remote_layout_find(settings, path, &other), 0);
	assert_memory_equal(other.id, layout.id, sizeof(layout.id));
	assert_int_equal(remote_layout_leave(settings, &other, REMOTE_KEEP_NOT), 1);
	remote_layout_fini(&other);
	/* it has gone, but the layout session goes on */
	assert_int_equal(unlink(layout_file), 0);
	assert_int_equal(remote_layout_find(settings, path, &other), 0);
	assert_memory_equal(other.id, layout.id, sizeof(layout.id));
	assert_int_equal(remote_layout_leave(settings, &other, REMOTE_KEEP_NOT), 1);
	remote_layout_fini(&other);
	/* and comes again: what is told of the file goes to the right mark */
	strangers_mark(layout_file);
	assert_int_equal(remote_layout_file_mark(path, layout.id, 0), 0);
	remote_layout_file_drained(path, layout.endpoints[0].uuid, NULL, NULL);
	await(!exists(second));
	assert_int_equal(remote_layout_leave(settings, &layout, REMOTE_KEEP_NOT), 0);
	assert_true(exists(layout_file));
	remote_layout_fini(&layout);
}

static void mark__of_who_can_write_the_file(void **state)
{
	struct remote_layout other;
	char layout_file[PATH_MAX + 64];

	(void)state;
	if (!shared_file("shared/common", 0666, layout_file))
		SKIP("needs root, to be two users");
	strangers_mark(layout_file);
	scratch_catch_log();
	assert_int_equal(remote_layout_find(settings, path, &other), -EBUSY);
	pmio_log_set_handler(NULL);
	assert_non_null(strstr(scratch_last_error, "user 65534"));
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(remote_layout_find(settings, path, &other), -ENOENT);
	/* of a third user's file: neither he nor we can write it, then he can */
	assert_int_equal(chown(path, SOMEBODY, SOMEBODY), 0);
	assert_int_equal(remote_layout_find(settings, path, &other), -ENOENT);
	assert_int_equal(chown(path, STRANGER, STRANGER), 0);
	scratch_catch_log();
	assert_int_equal(remote_layout_find(settings, path, &other), -EBUSY);
	pmio_log_set_handler(NULL);
}

/* both names may be taken: then it is refused, and said by whom */
static void mark__strangers_have_both_names(void **state)
{
	struct remote_layout layout = layout_of_all(PMIO_PLACE_SINGLE), other;
	char layout_file[PATH_MAX + 64];

	(void)state;
	if (!shared_file("shared/both", 0644, layout_file))
		SKIP("needs root, to be two users");
	strangers_mark(layout_file);
	sprintf(layout_file + strlen(layout_file), ".%u", (unsigned)geteuid());
	strangers_mark(layout_file);
	scratch_catch_log();
	assert_int_equal(remote_layout_find(settings, path, &other), -EBUSY);
	assert_int_equal(remote_layout_begin(settings, path, &layout), -EEXIST);
	pmio_log_set_handler(NULL);
	assert_non_null(strstr(scratch_last_error, "user 65534"));
	remote_layout_fini(&layout);
}

/* a process that has the lock on a file, and keeps it */
static pid_t hold_lock(const char *name)
{
	int fds[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int fd = open(name, O_RDONLY);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (fd < 0 || syscall(SYS_flock, fd, LOCK_EX) < 0 || write(fds[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], &c, 1), 1);
	close(fds[0]);
	return pid;
}

static void end_lock(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void *tell_drained(void *arg)
{
	static const uint8_t uuid[16], id[REMOTE_LAYOUT_ID];

	remote_layout_file_drained(path, uuid, NULL, NULL);
	(void)remote_layout_file_mark(path, id, 0);
	atomic_store((atomic_bool *)arg, true);
	return NULL;
}

/* whoever may make the file may also lock it: nobody waits for that */
static void lock__strangers_hold_nobody_up(void **state)
{
	char layout_file[PATH_MAX + 64];
	atomic_bool done = false;
	pthread_t t;
	pid_t pid;

	(void)state;
	if (!shared_file("shared/locked", 0666, layout_file))
		SKIP("needs root, to be two users");
	strangers_mark(layout_file);
	pid = hold_lock(layout_file);
	scratch_catch_log();
	assert_int_equal(pthread_create(&t, NULL, tell_drained, &done), 0);
	for (int i = 0; i < 1500 && !atomic_load(&done); i++)
		usleep(10000);
	pmio_log_set_handler(NULL);
	if (!atomic_load(&done)) {
		end_lock(pid);
		pthread_join(t, NULL);
		fail_msg("it waits for another user's lock");
	}
	pthread_join(t, NULL);
	end_lock(pid);
}

/* one of our own that is stopped has it */
static void lock__own_is_not_waited_for_without_end(void **state)
{
	struct remote_layout layout = layout_of_all(PMIO_PLACE_SINGLE);
	unsigned before = layout_file_lock_ms;
	char layout_file[PATH_MAX + 64];
	struct stat st;
	pid_t pid;

	(void)state;
	name_file("held-lock");
	put_text(path, "", 0644);
	assert_int_equal(stat(path, &st), 0);
	snprintf(layout_file, sizeof(layout_file), "%s/.pmio-owner.%" PRIu64, root.path, (uint64_t)st.st_ino);
	assert_int_equal(remote_layout_begin(settings, path, &layout), 0);
	pid = hold_lock(layout_file);
	layout_file_lock_ms = 200;
	scratch_catch_log();
	assert_int_equal(remote_layout_file_mark(path, layout.id, 0), -ETIMEDOUT);
	pmio_log_set_handler(NULL);
	layout_file_lock_ms = before;
	assert_logged_once();
	assert_non_null(strstr(scratch_last_error, "has held its lock for too long"));
	end_lock(pid);
	assert_int_equal(remote_layout_file_mark(path, layout.id, 0), 0);
	remote_layout_file_drained(path, layout.endpoints[0].uuid, NULL, NULL);
	assert_int_equal(remote_layout_leave(settings, &layout, REMOTE_KEEP_NOT), 0);
	remote_layout_fini(&layout);
}

/* ---- one node that does not answer, and others that do ------------------------------------------------- */

struct slow {
	struct pmio_file *f;
	uint8_t *chunk;
	atomic_bool done;
};

static void *write_to_dead(void *arg)
{
	struct slow *w = arg;
	ssize_t n = pmio_pwrite(w->f, w->chunk, CHUNK, CHUNK); /* the second in the list */

	atomic_store(&w->done, true);
	return (void *)(intptr_t)n;
}

/* the next window's claim server does not answer: the request at hand does not need it */
static void striped__turn_at_a_dead_node(void **state)
{
	struct client_open how = { .flags = RW };
	struct remote_layout layout = layout_of_all(PMIO_PLACE_LOCAL);
	pid_t pid = target_of(2); /* the second one in the list */
	struct pmio_file *f[2];

	(void)state;
	name_file("dead-turn");
	begin_layout(&layout);
	assert_int_equal(remote_striped_open(sites[0].pm, settings, path, &how, &layout, true, &f[0]), 0);
	assert_int_equal(remote_striped_open(sites[1].pm, settings, path, &how, &layout, false, &f[1]), 0);
	put_two(f[0], 0, 100);
	scratch_catch_log();
	stop_process(pid);
	put_two(f[1], 0, 100);
	assert_true(scratch_nr_errors > 0); /* it was asked */
	kill(pid, SIGCONT);
	pmio_log_set_handler(NULL);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pmio_close(&f[1 - i]), 0);
	remote_layout_fini(&layout);
}

static void striped__dead_node_keeps_nobody_waiting(void **state)
{
	struct client_open how = { .flags = RW };
	struct remote_layout layout = layout_of_all(PMIO_PLACE_STRIPED);
	struct slow w = { .chunk = calloc(1, CHUNK) };
	pid_t pid = target_of(2);
	bool meanwhile = false;
	pthread_t t;
	void *n;

	(void)state;
	assert_non_null(w.chunk);
	name_file("one-dead");
	put_text(path, "", 0644);
	assert_int_equal(remote_layout_begin(settings, path, &layout), 0);
	assert_int_equal(remote_striped_open(NULL, settings, path, &how, &layout, true, &w.f), 0);
	assert_int_equal(pmio_pwrite(w.f, "live", 4, 0), 4);
	scratch_catch_log();
	stop_process(pid);
	assert_int_equal(pthread_create(&t, NULL, write_to_dead, &w), 0);
	usleep(300000);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(pmio_pwrite(w.f, "live", 4, i), 4);
		meanwhile |= !atomic_load(&w.done);
	}
	assert_true(meanwhile);
	pthread_join(t, &n);
	assert_int_equal((intptr_t)n, -EIO);
	kill(pid, SIGCONT);
	await(pmio_pwrite(w.f, "back", 4, CHUNK) == 4);
	/* now it is open there: what is on its way there takes buffers, but not all of them; and not for ever */
	stop_process(pid);
	for (int i = 0; i < 3; i++) {
		atomic_store(&w.done, false);
		assert_int_equal(pthread_create(&t, NULL, write_to_dead, &w), 0);
		usleep(300000);
		assert_int_equal(pmio_pwrite(w.f, w.chunk, CHUNK, 0), CHUNK);
		assert_int_equal(pmio_pread(w.f, w.chunk, CHUNK, 0), CHUNK);
		if (i == 0)
			assert_false(atomic_load(&w.done));
		pthread_join(t, &n);
		assert_int_equal((intptr_t)n, -EIO);
		usleep(1200000); /* else the next one fails without a try */
	}
	kill(pid, SIGCONT);
	pmio_log_set_handler(NULL);
	await(pmio_pwrite(w.f, w.chunk, CHUNK, CHUNK) == CHUNK);
	assert_int_equal(pmio_close(&w.f), 0);
	remote_layout_fini(&layout);
	free(w.chunk);
}

/* ---- roles ------------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	int (*run)(void);
} roles[] = {
	{ "hold", role_hold },
	{ "find", role_find },
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

static rlim_t limit_of_descriptors(void)
{
	struct rlimit r;

	return getrlimit(RLIMIT_NOFILE, &r) == 0 ? r.rlim_max : 256;
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(endpoint__comes_back_as_saved),
		cmocka_unit_test(endpoint__others_could_know_it),
		cmocka_unit_test(endpoint__bad_contents),
		cmocka_unit_test(endpoint__stranger_has_made_its_file),
		cmocka_unit_test(endpoint__its_name_is_a_strangers),
		cmocka_unit_test(endpoint__key_is_kept_unless_others_could_read_it),
		cmocka_unit_test(endpoint__cannot_be_made),
		cmocka_unit_test(listen__address_and_port),
		cmocka_unit_test(address__by_name),
		cmocka_unit_test(targets__each_endpoint_counts),
		cmocka_unit_test(file__what_was_written_is_read),
		cmocka_unit_test(file__what_was_written_is_read_by_buffers),
		cmocka_unit_test(file__large_pieces),
		cmocka_unit_test(file__many_pieces),
		cmocka_unit_test(file__sizes_and_holes),
		cmocka_unit_test(file__opens_that_fail),
		cmocka_unit_test(file__threads_share_it),
		cmocka_unit_test(file__its_process_is_killed),
		cmocka_unit_test(striped__striped),
		cmocka_unit_test(striped__local),
		cmocka_unit_test(striped__turns_if_there_are_gaps),
		cmocka_unit_test(striped__single),
		cmocka_unit_test(striped__threads_share_it),
		cmocka_unit_test(striped__shared_pointers),
		cmocka_unit_test(file__appends),
		cmocka_unit_test(striped__appends),
		cmocka_unit_test(find__not_before_its_writer_is_done),
		cmocka_unit_test(open__with_another_key),
		cmocka_unit_test(target_killed__error_and_then_another),
		cmocka_unit_test(target_killed__in_mid_write),
		cmocka_unit_test(agent_killed__target_goes_on),
		cmocka_unit_test(target_stopped_for_a_while__costs_time_only),
		cmocka_unit_test(drain_waits_for_long__costs_time_only),
		cmocka_unit_test(agent_stopped_for_long__is_an_error),
		cmocka_unit_test(hello__said_twice),
		cmocka_unit_test(liveness__ends_before_another_is_shown),
		cmocka_unit_test(agent_stopped__others_are_answered),
		cmocka_unit_test(sessions__two_thousand),
		cmocka_unit_test(watch__many_files),
		cmocka_unit_test(use__target_stopped_for_longer_than_the_timeout),
		cmocka_unit_test(use__target_started_anew),
		cmocka_unit_test(use__taken_over_meanwhile),
		cmocka_unit_test(use__layout_file_is_durable),
		cmocka_unit_test(use__file_system_without_locks),
		cmocka_unit_test(mark__of_who_cannot_write_the_file),
		cmocka_unit_test(mark__of_who_can_write_the_file),
		cmocka_unit_test(mark__strangers_have_both_names),
		cmocka_unit_test(lock__strangers_hold_nobody_up),
		cmocka_unit_test(lock__own_is_not_waited_for_without_end),
		cmocka_unit_test(striped__turn_at_a_dead_node),
		cmocka_unit_test(striped__dead_node_keeps_nobody_waiting),
		test_relayed(striped__striped),
		test_relayed(striped__local),
		test_relayed(striped__turns_if_there_are_gaps),
		test_relayed(striped__threads_share_it),
		test_relayed(striped__shared_pointers),
		test_relayed(striped__appends),
		test_relayed(striped__turn_at_a_dead_node),
		test_relayed(striped__dead_node_keeps_nobody_waiting),
	};
	const struct rlimit few = { 256, limit_of_descriptors() };

	setrlimit(RLIMIT_NOFILE, &few); /* targets that are started here have to see to more */
	if (argc == 4)
		return be(argv);
	scratch_tests = tests;
	scratch_nr_tests = sizeof(tests) / sizeof(tests[0]);
	cmocka_set_test_filter(getenv("PMIO_TEST_FILTER"));
	return cmocka_run_group_tests_name("remote", tests, start_sites, stop_sites);
}
