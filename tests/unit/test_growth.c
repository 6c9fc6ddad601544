/*
 * test_growth.c -- a file of several nodes that one of them makes longer without telling its metadata server: who asks for the size
 * gets it, whatever dies or is truncated meanwhile
 */
#include "sites.h"

#define RECORD 1000
enum { GROWER, MDS, OTHER }; /* the sites, and who has the file open there */

static struct remote_layout use;
static struct pmio_file *f[SITES];

static void begin(const char *name)
{
	name_file(name);
	put_text(path, "", 0644);
	use = layout_of_sites(PMIO_PLACE_LOCAL, MDS, SITES);
	assert_int_equal(remote_layout_begin(settings, path, &use), 0);
	for (unsigned i = 0; i < use.nr; i++)
		assert_int_equal(remote_layout_serve(settings, &use.endpoints[i], &use), 0);
}

static void open_as(unsigned site, bool joined)
{
	struct client_open how = { .flags = RW };

	assert_int_equal(remote_striped_open(sites[site].pm, settings, path, &how, &use, joined, &f[site]), 0);
}

static void begin_and_open(const char *name)
{
	begin(name);
	for (unsigned i = 0; i < SITES; i++)
		open_as(i, i == GROWER);
}

static void end(void)
{
	for (unsigned i = SITES; i-- > 0;)
		assert_int_equal(pmio_close(&f[i]), 0);
	remote_layout_fini(&use);
}

static unsigned messages(unsigned site, enum remote_op op)
{
	return atomic_load(&node_get(settings, &sites[site].endpoint)->sent[op]);
}

static void fill_record(uint8_t record[RECORD], unsigned i)
{
	fill_pattern(record, RECORD, i + 1);
}

static void put_records(struct pmio_file *file, unsigned from, unsigned nr)
{
	uint8_t record[RECORD];

	for (unsigned i = from; i < from + nr; i++) {
		fill_record(record, i);
		assert_int_equal(pmio_pwrite(file, record, RECORD, (off_t)i * RECORD), RECORD);
	}
}

static void assert_size(struct pmio_file *file, off_t want)
{
	off_t size = -1;

	assert_int_equal(pmio_size(file, &size), 0);
	assert_int_equal(size, want);
}

static void assert_sizes(off_t want)
{
	for (unsigned i = 0; i < SITES; i++) {
		if (f[i])
			assert_size(f[i], want);
	}
}

/* the last one is read up to the end, as by a reader that does not know where that is */
static void assert_records(struct pmio_file *file, unsigned nr)
{
	uint8_t record[RECORD], buf[2 * RECORD];

	for (unsigned i = 0; i < nr; i++) {
		size_t len = i + 1 < nr ? RECORD : sizeof(buf);

		fill_record(record, i);
		assert_int_equal(pmio_pread(file, buf, len, (off_t)i * RECORD), RECORD);
		assert_memory_equal(buf, record, RECORD);
	}
}

static void assert_records_on_pfs(unsigned nr)
{
	uint8_t *all = malloc((size_t)nr * RECORD);

	assert_non_null(all);
	for (unsigned i = 0; i < nr; i++)
		fill_record(all + (size_t)i * RECORD, i);
	assert_on_pfs(all, (size_t)nr * RECORD);
	free(all);
}

/* ---- who sees it ------------------------------------------------------------------------------------ */

static void size__seen_by_all_at_once(void **state)
{
	unsigned before;

	(void)state;
	begin_and_open("seen");
	before = messages(MDS, REMOTE_GROW);
	for (unsigned i = 0; i < 20; i++) {
		put_records(f[GROWER], i, 1);
		assert_sizes((off_t)(i + 1) * RECORD);
		for (unsigned k = 0; k < SITES; k++)
			assert_records(f[k], i + 1);
	}
	assert_int_equal(messages(MDS, REMOTE_GROW) - before, 2);
	end();
	assert_records_on_pfs(20);
}

/* the chunk is the grower's: others send it their bytes, and tell the metadata server themselves */
static void size__others_write_there_too(void **state)
{
	(void)state;
	begin_and_open("others");
	put_records(f[GROWER], 0, 5);
	put_records(f[OTHER], 5, 3);
	assert_sizes(8 * RECORD);
	put_records(f[MDS], 8, 3);
	assert_sizes(11 * RECORD);
	put_records(f[GROWER], 11, 3);
	assert_sizes(14 * RECORD);
	for (unsigned k = 0; k < SITES; k++)
		assert_records(f[k], 14);
	end();
	assert_records_on_pfs(14);
}

/* two that grow: the size is the larger one */
static void size__two_growers(void **state)
{
	uint8_t byte = 1;

	(void)state;
	begin_and_open("two");
	for (unsigned i = 0; i < 6; i++) {
		put_records(f[GROWER], i, 1);
		/* the next chunk but one; its own */
		assert_int_equal(pmio_pwrite(f[OTHER], &byte, 1, 2 * CHUNK + (off_t)i), 1);
		assert_sizes(2 * CHUNK + (off_t)i + 1);
	}
	assert_int_equal(pmio_truncate(f[OTHER], 6 * RECORD), 0);
	assert_sizes(6 * RECORD);
	for (unsigned k = 0; k < SITES; k++)
		assert_records(f[k], 6);
	end();
	assert_records_on_pfs(6);
}

/* what is not known of the growers, as after the loss of its slot, is asked for */
static void size__mds_does_not_know_growers(void **state)
{
	struct pmio_slot_df *slot;
	off_t at;

	(void)state;
	begin_and_open("unknown");
	put_records(f[GROWER], 0, 5);
	slot = client_slot(mds_of(f[MDS]));
	assert_int_equal(slot->growers, PMIO_GROWERS_KNOWN | 1 << 2);
	pmio_pm_store64(sites[MDS].pm->view->pm, &slot->growers, 0);
	assert_sizes(5 * RECORD);
	put_records(f[GROWER], 5, 1);
	assert_sizes(6 * RECORD);
	assert_int_equal(pmio_append(f[OTHER], "x", 1, &at), 1);
	assert_int_equal(at, 6 * RECORD);
	end();
}

/* ---- other changes of the size ------------------------------------------------------------------------ */

static void truncate__while_it_grows(void **state)
{
	uint8_t buf[2 * RECORD];

	(void)state;
	begin_and_open("truncate");
	put_records(f[GROWER], 0, 5);
	assert_int_equal(pmio_truncate(f[MDS], 500), 0);
	assert_sizes(500);
	assert_int_equal(pmio_pwrite(f[GROWER], "end", 3, 697), 3);
	assert_sizes(700);
	assert_int_equal(pmio_pread(f[OTHER], buf, sizeof(buf), 0), 700);
	for (unsigned i = 500; i < 697; i++)
		assert_int_equal(buf[i], 0);
	/* upwards */
	assert_int_equal(pmio_truncate(f[OTHER], 3 * RECORD), 0);
	assert_sizes(3 * RECORD);
	assert_int_equal(pmio_pwrite(f[GROWER], "end", 3, 1500), 3);
	assert_sizes(3 * RECORD);
	assert_int_equal(pmio_truncate(f[GROWER], 0), 0);
	assert_sizes(0);
	put_records(f[GROWER], 0, 2);
	assert_sizes(2 * RECORD);
	/* what the grower has brought to the file system goes, too: the metadata server has a smaller size */
	assert_int_equal(pmio_drain(f[GROWER]), 0);
	assert_int_equal(pmio_truncate(f[MDS], RECORD), 0);
	assert_sizes(RECORD);
	end();
	assert_records_on_pfs(1);
}

/* the file's last bytes are none that anybody has written */
static void truncate__hole_at_the_end(void **state)
{
	char *text;
	size_t len;

	(void)state;
	begin_and_open("hole");
	put_records(f[GROWER], 0, 5);
	assert_int_equal(pmio_truncate(f[OTHER], 3 * CHUNK), 0);
	assert_sizes(3 * CHUNK);
	put_records(f[GROWER], 5, 1);
	assert_sizes(3 * CHUNK);
	end();
	text = get_text(path, &len);
	assert_int_equal(len, 3 * CHUNK);
	free(text);
}

static void append__after_growth(void **state)
{
	off_t at;

	(void)state;
	begin_and_open("append");
	put_records(f[GROWER], 0, 5);
	for (unsigned i = 0; i < SITES; i++) {
		assert_int_equal(pmio_append(f[i], "record", 6, &at), 6);
		assert_int_equal(at, 5 * RECORD + 6 * (off_t)i);
		assert_sizes(5 * RECORD + 6 * (off_t)i + 6);
	}
	put_records(f[GROWER], 6, 2);
	assert_int_equal(pmio_append(f[OTHER], "record", 6, &at), 6);
	assert_int_equal(at, 8 * RECORD);
	assert_int_equal(pmio_truncate(f[OTHER], 10), 0);
	assert_int_equal(pmio_append(f[MDS], "record", 6, &at), 6);
	assert_int_equal(at, 10);
	end();
}

/* a file that is only appended to has its size at the metadata server: an append costs no more messages */
static void append__alone(void **state)
{
	unsigned before;

	(void)state;
	begin_and_open("alone");
	before = messages(MDS, REMOTE_RESERVE);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(pmio_append(f[GROWER], "record", 6, NULL), 6);
	assert_int_equal(messages(MDS, REMOTE_RESERVE) - before, 10);
	assert_int_equal(client_slot(mds_of(f[MDS]))->growers, PMIO_GROWERS_KNOWN);
	end();
}

/* a size from before a truncation */
static void raise__not_after_a_truncation(void **state)
{
	struct client_growth g, now;
	struct pmio_file *reader;
	struct client_open how = { .flags = PMIO_OPEN_READ };
	uint64_t size = 1;

	(void)state;
	begin_and_open("raise");
	put_records(f[GROWER], 0, 5);
	assert_int_equal(client_growth(mds_of(f[OTHER]), &g), 0);
	assert_int_equal(pmio_truncate(f[OTHER], 100), 0);
	assert_int_equal(client_raise(mds_of(f[OTHER]), 5 * RECORD, g.cuts), -EAGAIN);
	assert_int_equal(client_raise(mds_of(f[MDS]), 5 * RECORD, g.cuts), -EAGAIN);
	assert_sizes(100);
	/* one to the size that the metadata server has */
	assert_int_equal(client_growth(mds_of(f[MDS]), &g), 0);
	assert_int_equal(pmio_truncate(f[OTHER], 100), 0);
	assert_int_equal(client_raise(mds_of(f[MDS]), 5 * RECORD, g.cuts), -EAGAIN);
	assert_int_equal(client_growth(mds_of(f[MDS]), &now), 0);
	assert_int_equal(client_raise(mds_of(f[OTHER]), 200, now.cuts), 0);
	assert_sizes(200);
	assert_int_equal(client_raise(mds_of(f[OTHER]), UINT64_MAX, now.cuts), PMIO_EPROTO);
	scratch_catch_log();
	assert_int_equal(client_grow(mds_of(f[OTHER]), &size, 1), PMIO_EPROTO);
	assert_int_equal(client_grow(mds_of(f[OTHER]), &size, PMIO_GROWERS_KNOWN), PMIO_EPROTO);
	pmio_log_set_handler(NULL);
	how.flags |= PMIO_OPEN_SHARED;
	assert_int_equal(remote_open(settings, &sites[MDS].endpoint, path, &how, &reader), 0);
	assert_int_equal(client_raise(reader, 300, now.cuts), -EBADF);
	assert_int_equal(pmio_close(&reader), 0);
	assert_sizes(200);
	/* files that are not in this node's pool, nor in one other, have no words of a slot */
	assert_int_equal(client_growth(f[OTHER], &g), -EOPNOTSUPP);
	assert_int_equal(client_raise(f[OTHER], 300, 0), -EOPNOTSUPP);
	end();
}

/* ---- what dies ---------------------------------------------------------------------------------------- */

/* a process of the grower's node: grows, then is killed */
static int role_grow(void)
{
	struct client_open how = { .flags = RW };
	struct pmio *pm;
	uint8_t record[RECORD];
	int rc = pmio_connect(sites[GROWER].pool, &pm);

	if (rc == 0)
		rc = remote_layout_find(settings, path, &use);
	if (rc == 0)
		rc = remote_striped_open(pm, settings, path, &how, &use, true, &f[GROWER]);
	for (unsigned i = 0; i < 8 && rc == 0; i++) {
		fill_record(record, i);
		rc = pmio_pwrite(f[GROWER], record, RECORD, (off_t)i * RECORD) == RECORD ? 0 : -EIO;
	}
	say(rc);
	pause();
	return 1;
}

static void process_killed__its_size_stays(void **state)
{
	pid_t pid;
	int out;

	(void)state;
	begin("killed");
	open_as(MDS, true);
	open_as(OTHER, false);
	pid = start_role(&out, "grow", path);
	assert_int_equal(hear(out), 0);
	end_role(pid, out);
	assert_sizes(8 * RECORD);
	assert_records(f[OTHER], 8);
	/* also when its agent has closed the file, which others' handles hide */
	usleep(300000);
	assert_sizes(8 * RECORD);
	assert_records(f[MDS], 8);
	end();
	assert_records_on_pfs(8);
}

/* the process that had asked for the size before is told of the loss, not of an old size */
static void target_killed__the_size_is_not_known(void **state)
{
	off_t size = 0;

	(void)state;
	begin_and_open("target");
	put_records(f[GROWER], 0, 5);
	assert_sizes(5 * RECORD);
	kill_target(GROWER);
	put_records(f[GROWER], 5, 1);
	assert_size(f[GROWER], 6 * RECORD);
	scratch_catch_log();
	assert_int_equal(pmio_size(f[MDS], &size), -EIO);
	assert_true(scratch_nr_errors > 0);
	assert_true(pmio_append(f[MDS], "x", 1, NULL) < 0);
	assert_true(pmio_truncate(f[MDS], 0) < 0);
	pmio_log_set_handler(NULL);
	assert_int_equal(remote_advertise(sites[GROWER].pm, &sites[GROWER].endpoint), 0);
	await(pmio_size(f[MDS], &size) == 0);
	assert_int_equal(size, 6 * RECORD);
	await(pmio_size(f[OTHER], &size) == 0);
	assert_int_equal(size, 6 * RECORD);
	end();
	assert_records_on_pfs(6);
}

static void agent_killed__the_next_one_has_the_size(void **state)
{
	(void)state;
	begin_and_open("agent");
	put_records(f[GROWER], 0, 5);
	kill(agent_of(GROWER), SIGKILL);
	assert_sizes(5 * RECORD);
	put_records(f[GROWER], 5, 1);
	assert_sizes(6 * RECORD);
	kill(agent_of(MDS), SIGKILL);
	assert_sizes(6 * RECORD);
	put_records(f[GROWER], 6, 1);
	assert_sizes(7 * RECORD);
	end();
	assert_records_on_pfs(7);
}

/* with its target go all handles of the file there, and with them its slot, and what it says of growers */
static void mds_lost__all_are_asked(void **state)
{
	struct pmio_pool_stat before, st;
	off_t size = 0;

	(void)state;
	assert_int_equal(pmio_stat_pool(sites[MDS].pm, &before), 0);
	begin("mds");
	open_as(GROWER, true);
	open_as(OTHER, false);
	put_records(f[GROWER], 0, 5);
	scratch_catch_log();
	kill_target(MDS);
	await(pmio_stat_pool(sites[MDS].pm, &st) == 0 && st.nr_files <= before.nr_files);
	assert_int_equal(remote_advertise(sites[MDS].pm, &sites[MDS].endpoint), 0);
	put_records(f[GROWER], 5, 1);
	await(pmio_size(f[OTHER], &size) == 0);
	pmio_log_set_handler(NULL);
	assert_int_equal(size, 6 * RECORD);
	put_records(f[GROWER], 6, 1);
	assert_sizes(7 * RECORD);
	assert_int_equal(pmio_truncate(f[OTHER], 4 * RECORD), 0);
	assert_sizes(4 * RECORD);
	put_records(f[GROWER], 4, 1);
	assert_sizes(5 * RECORD);
	end();
	assert_records_on_pfs(5);
}

static const struct role roles[] = { { "grow", role_grow } };

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(size__seen_by_all_at_once),
		cmocka_unit_test(size__others_write_there_too),
		cmocka_unit_test(size__two_growers),
		cmocka_unit_test(size__mds_does_not_know_growers),
		cmocka_unit_test(truncate__while_it_grows),
		cmocka_unit_test(truncate__hole_at_the_end),
		cmocka_unit_test(append__after_growth),
		cmocka_unit_test(append__alone),
		cmocka_unit_test(raise__not_after_a_truncation),
		cmocka_unit_test(process_killed__its_size_stays),
		cmocka_unit_test(target_killed__the_size_is_not_known),
		cmocka_unit_test(mds_lost__all_are_asked),
		/* all but those that count messages */
		test_relayed(size__others_write_there_too),
		test_relayed(size__two_growers),
		test_relayed(size__mds_does_not_know_growers),
		test_relayed(truncate__while_it_grows),
		test_relayed(truncate__hole_at_the_end),
		test_relayed(append__after_growth),
		test_relayed(raise__not_after_a_truncation),
		test_relayed(process_killed__its_size_stays),
		test_relayed(target_killed__the_size_is_not_known),
		test_relayed(mds_lost__all_are_asked),
		/* last: an agent whose clients knew another one keeps files */
		cmocka_unit_test(agent_killed__the_next_one_has_the_size),
		test_relayed(agent_killed__the_next_one_has_the_size),
	};

	if (argc == 4)
		return be_role(argv, roles, sizeof(roles) / sizeof(roles[0]));
	return sites_run("growth", tests);
}
