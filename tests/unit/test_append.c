/*
 * test_append.c -- appends by several processes, of which some die
 */
#include "with_agent.h"

#include <stdatomic.h>
#include <sys/wait.h>

enum { RECORD = 100, WRITERS = 4 };
static atomic_bool *last_may; /* shared with the writers, if not NULL: each waits for it with its last record */

/* record i of writer w: its letter, and its number among them, in letters as well, for no byte of it is zero */
static void make_record(char r[RECORD], unsigned w, unsigned i)
{
	char number[16];

	memset(r, (int)('a' + w), RECORD);
	snprintf(number, sizeof(number), "%08u", i);
	memcpy(r + 1, number, 8);
}

/* in a process of its own */
static void append_records(unsigned w, unsigned nr)
{
	struct pmio_file *f;
	char r[RECORD];
	off_t at = -1;

	if (pmio_connect(pool, &pm) < 0 || pmio_open(pm, path, O_WRONLY | O_APPEND, 0, &f) < 0)
		_exit(2);
	for (unsigned i = 0; i < nr; i++) {
		while (last_may && i == nr - 1 && !atomic_load(last_may))
			usleep(1000);
		make_record(r, w, i);
		if (pmio_append(f, r, RECORD, &at) != RECORD || at % RECORD)
			_exit(3);
	}
	_exit(pmio_close(&f) == 0 ? 0 : 4);
}

static void start_writers(pid_t pid[WRITERS], unsigned nr)
{
	for (unsigned w = 0; w < WRITERS; w++) {
		pid[w] = fork();
		if (pid[w] == 0)
			append_records(w, nr);
	}
}

/* looks at whole records from *at on; counts those of each writer, which are in its order, and those with zeros */
static void check_records(struct pmio_file *f, off_t *at, unsigned next[WRITERS], unsigned *torn)
{
	static char buf[1024 * RECORD];
	char r[RECORD];
	ssize_t n;

	while ((n = pmio_pread(f, buf, sizeof(buf), *at)) >= RECORD) {
		for (char *p = buf; p + RECORD <= buf + n; p += RECORD, *at += RECORD) {
			unsigned w = *p ? (unsigned)(*p - 'a') : WRITERS, i = 0;

			if (w < WRITERS && sscanf(p + 1, "%8u", &i) == 1)
				make_record(r, w, i);
			if (w < WRITERS && memcmp(r, p, RECORD) == 0) {
				assert_int_equal(i, next[w]);
				next[w] = i + 1;
				continue;
			}
			(*torn)++;
			for (int j = 0; j < RECORD; j++) /* what is not there yet is zero, and never another's */
				assert_true(p[j] == 0 || (w < WRITERS && (p[j] == 'a' + (int)w || (p[j] >= '0' && p[j] <= '9'))));
		}
	}
	assert_true(n >= 0);
}

static void append__nobody_s_bytes_are_another_s(void **state)
{
	enum { EACH = 3000 };
	struct pmio_file *f;
	pid_t pid[WRITERS];
	unsigned next[WRITERS] = { 0 }, torn = 0, early = 0;
	off_t at = 0, size;
	int status;

	(void)state;
	assert_int_equal(pmio_open(pm, path, O_RDWR | O_CREAT, 0644, &f), 0);
	start_writers(pid, EACH);
	for (unsigned w = 0; w < WRITERS; w++) {
		unsigned seen[WRITERS];

		/* a reader in between: bytes that are not there yet are zeros */
		while (waitpid(pid[w], &status, WNOHANG) == 0) {
			off_t from = 0;

			memset(seen, 0, sizeof(seen));
			assert_int_equal(pmio_size(f, &size), 0);
			from = size > 50 * RECORD ? size - size % RECORD - 50 * RECORD : 0;
			for (char c[RECORD]; from + RECORD <= size; from += RECORD, early++) {
				char letter = 0;

				assert_int_equal(pmio_pread(f, c, RECORD, from), RECORD);
				for (int j = 0; j < RECORD; j++) {
					if (c[j] < 'a')
						continue;
					assert_true(!letter || c[j] == letter);
					letter = c[j];
				}
			}
		}
		assert_int_equal(status, 0);
	}
	check_records(f, &at, next, &torn);
	assert_int_equal(torn, 0);
	assert_int_equal(at, (off_t)WRITERS * EACH * RECORD);
	for (unsigned w = 0; w < WRITERS; w++)
		assert_int_equal(next[w], EACH);
	assert_true(early > 0);
	assert_int_equal(pmio_size(f, &size), 0);
	assert_int_equal(size, at);
	assert_int_equal(pmio_close(&f), 0);
}

/* beside writes that make the file longer: an append begins behind those that have returned */
static void append__behind_what_is_there(void **state)
{
	struct pmio_file *f, *g;
	char buf[16] = "";
	off_t at;

	(void)state;
	assert_int_equal(pmio_open(pm, path, O_RDWR | O_CREAT, 0644, &f), 0);
	assert_int_equal(pmio_open(pm, path, O_RDONLY, 0, &g), 0);
	assert_int_equal(pmio_append(f, "abc", 3, &at), 3);
	assert_int_equal(at, 0);
	assert_int_equal(pmio_pwrite(f, "x", 1, (3 << 20) + 5), 1);
	assert_int_equal(pmio_append(f, "def", 3, NULL), 3);
	assert_int_equal(pmio_append(f, "", 0, &at), 0);
	assert_int_equal(at, (3 << 20) + 9);
	assert_int_equal(pmio_pread(g, buf, sizeof(buf), (3 << 20) + 4), 5);
	assert_memory_equal(buf, "\0xdef", 5);
	assert_int_equal(pmio_truncate(f, 2), 0);
	assert_int_equal(pmio_append(f, "g", 1, &at), 1);
	assert_int_equal(at, 2);
	assert_int_equal(pmio_append(g, "h", 1, &at), -EBADF);
	assert_int_equal(pmio_truncate(f, INT64_MAX - 1), 0);
	scratch_catch_log();
	assert_int_equal(pmio_append(f, "ij", 2, &at), -EFBIG);
	assert_logged_once();
	pmio_log_set_handler(NULL);
	assert_int_equal(pmio_truncate(f, 3), 0);
	assert_int_equal(pmio_close(&g), 0);
	assert_int_equal(pmio_close(&f), 0);
}

/* one dies at any moment: of its last record there may be zeros; those of the others are whole */
static void append__writers_die(void **state)
{
	enum { EACH = 2000 };

	(void)state;
	for (unsigned round = 0; round < 5; round++) {
		unsigned next[WRITERS] = { 0 }, torn = 0, whole = 0;
		struct pmio_file *f;
		pid_t pid[WRITERS];
		off_t at = 0;
		int status;

		assert_int_equal(pmio_open(pm, path, O_RDWR | O_CREAT | O_TRUNC, 0644, &f), 0);
		start_writers(pid, EACH);
		do
			assert_int_equal(pmio_size(f, &at), 0);
		while (at < (off_t)(round + 1) * 500 * RECORD);
		at = 0;
		kill(pid[0], SIGKILL);
		kill(pid[1], SIGKILL);
		for (unsigned w = 0; w < WRITERS; w++) {
			assert_int_equal(waitpid(pid[w], &status, 0), pid[w]);
			assert_true(w < 2 || status == 0);
		}
		check_records(f, &at, next, &torn);
		for (unsigned w = 0; w < WRITERS; w++)
			whole += next[w];
		assert_int_equal(next[2], EACH);
		assert_int_equal(next[3], EACH);
		assert_true(torn <= 2);
		assert_int_equal(at, (off_t)(whole + torn) * RECORD);
		assert_int_equal(pmio_close(&f), 0);
	}
}

/* what was reserved with one agent is so with the next: nothing is there twice, and nothing is missing */
static void append__agent_dies(void **state)
{
	enum { EACH = 40000, KILLS = 3 };
	unsigned next[WRITERS] = { 0 }, torn = 0;
	struct pmio_file *f;
	pid_t pid[WRITERS];
	off_t at = 0;
	int status;

	(void)state;
	last_may = mmap(NULL, sizeof(*last_may), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(last_may, MAP_FAILED);
	assert_int_equal(pmio_open(pm, path, O_RDWR | O_CREAT, 0644, &f), 0);
	start_writers(pid, EACH);
	for (int i = 0; i < KILLS; i++) {
		do
			assert_int_equal(pmio_size(f, &at), 0);
		while (at < (off_t)WRITERS * EACH * RECORD / (KILLS + 1) * i);
		agent_process(); /* the writers may have needed no other yet */
		kill_agent();
	}
	atomic_store(last_may, true);
	for (unsigned w = 0; w < WRITERS; w++) {
		assert_int_equal(waitpid(pid[w], &status, 0), pid[w]);
		assert_int_equal(status, 0);
	}
	at = 0;
	check_records(f, &at, next, &torn);
	assert_int_equal(torn, 0);
	assert_int_equal(at, (off_t)WRITERS * EACH * RECORD);
	assert_int_equal(pmio_close(&f), 0);
	munmap(last_may, sizeof(*last_may));
	last_may = NULL;
}

int main(void)
{
	struct CMUnitTest tests[] = {
		WITH_AGENT(append__nobody_s_bytes_are_another_s),
		WITH_AGENT(append__behind_what_is_there),
		WITH_AGENT(append__writers_die),
		WITH_AGENT(append__agent_dies),
	};

	return scratch_run("append", tests);
}
