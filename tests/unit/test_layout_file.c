/*
 * test_layout_file.c -- lib/remote: the file that marks one as used on nodes: who finds it and when it goes, its locks,
 * and other users' files of its name
 */
#include "sites.h"

#include "other_user.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>

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

static const struct role roles[] = { { "find", role_find } };

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(find__not_before_its_writer_is_done),
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
	};

	if (argc == 4)
		return be_role(argv, roles, sizeof(roles) / sizeof(roles[0]));
	return sites_run("layout_file", tests);
}
