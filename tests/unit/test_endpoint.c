/*
 * test_endpoint.c -- lib/remote: endpoint descriptors, lists of them, and addresses
 */
#include "sites.h"

#include "other_user.h"

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

static int make_folder(void **state)
{
	(void)state;
	return make_root() ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	scratch_fini(&root);
	return 0;
}

int main(void)
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
	};

	return scratch_run_with("endpoint", tests, make_folder, remove_folder);
}
