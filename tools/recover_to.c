#include "config.h"

#include "recover_to.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "core/path.h"
#include "pfs/pfs.h"
#include "pool/recovery.h"
#include "progress.h"

#define PART ".pmio-part"	/* while the file is written */
#define PARTIAL ".pmio-partial" /* if data of it are lost */
#define COMPARE_PIECE (1u << 20)

/* ---- which files ------------------------------------------------------------------ */

struct chosen {
	uint32_t *slots; /* owned; a pool may have a million files, with long paths */
	size_t nr, room;
	uint64_t bytes;
	size_t nr_unknown; /* arguments that match nothing */
};

static bool is_meant(const struct pmio_recovery_file *f, const char *arg, bool *exact)
{
	char path[PATH_MAX], slot[32];
	size_t n;

	snprintf(slot, sizeof(slot), "slot-%u", f->slot);
	*exact = f->path[0] == '\0' && strcmp(arg, slot) == 0;
	if (*exact || f->path[0] == '\0' || pmio_absolute(arg, path, sizeof(path)) < 0)
		return *exact;
	*exact = strcmp(path, f->path) == 0;
	for (n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
		path[n - 1] = '\0';
	if (*exact || (strncmp(path, f->path, n) == 0 && (f->path[n] == '/' || n == 1)))
		return true;
	return fnmatch(path, f->path, FNM_PATHNAME | FNM_LEADING_DIR) == 0;
}

static bool wanted(const struct pmio_recovery_file *f, const struct tool_args *args, bool *matched)
{
	bool wants = args->nr == 0 && f->pending;

	for (size_t i = 0; i < args->nr; i++) {
		bool exact;

		if (!is_meant(f, args->v[i], &exact))
			continue;
		matched[i] = true;
		wants |= exact || f->pending;
	}
	return wants;
}

static int add(struct chosen *c, const struct pmio_recovery_file *f)
{
	size_t room = c->nr < c->room ? c->room : c->room ? c->room * 2 : 64;
	uint32_t *more = room > c->room ? reallocarray(c->slots, room, sizeof(*c->slots)) : c->slots;

	if (!more)
		return -ENOMEM;
	c->slots = more;
	c->room = room;
	c->slots[c->nr++] = f->slot;
	c->bytes += f->dirty_bytes;
	return 0;
}

static void get_chosen(const struct pmio_recovery *s, const struct chosen *c, size_t i, struct pmio_recovery_file *f)
{
	uint32_t cursor = c->slots[i];

	pmio_recovery_next(s, &cursor, f);
}

static int choose(const struct pmio_recovery *s, const struct tool_args *args, struct chosen *c)
{
	bool *matched = calloc(args->nr + 1, sizeof(*matched));
	struct pmio_recovery_file f;
	uint32_t cursor = 0;
	int rc = matched ? 0 : -ENOMEM;

	memset(c, 0, sizeof(*c));
	while (rc == 0 && pmio_recovery_next(s, &cursor, &f) == 0) {
		if (wanted(&f, args, matched))
			rc = add(c, &f);
	}
	for (size_t i = 0; i < args->nr && rc == 0; i++) {
		if (matched[i])
			continue;
		pmio_err("%s: not in the pool", args->v[i]);
		c->nr_unknown++;
	}
	free(matched);
	return rc < 0 ? tool_failed(rc, "files of the pool"), rc : 0;
}

/* ---- list ---------------------------------------------------------------------------- */

/* a name that the user may pass as an argument */
static void name_file(const struct pmio_recovery_file *f, char name[PATH_MAX])
{
	if (f->path[0])
		memcpy(name, f->path, PATH_MAX);
	else
		snprintf(name, PATH_MAX, "slot-%u", f->slot);
}

static void list_json(const char *dir, const struct pmio_recovery *s, const struct chosen *c)
{
	struct json_object *o = json_object_new_object(), *files = json_object_new_array();

	tool_add_string(o, "pool", dir);
	tool_add(o, "problems", pmio_recovery_problems(s));
	for (size_t i = 0; i < c->nr; i++) {
		struct json_object *file = json_object_new_object();
		struct pmio_recovery_file f;
		char name[PATH_MAX];

		get_chosen(s, c, i, &f);
		name_file(&f, name);
		tool_add_string(file, "path", name);
		tool_add_bool(file, "name_lost", f.path[0] == '\0');
		tool_add(file, "size", f.size);
		tool_add(file, "dirty", f.dirty_bytes);
		json_object_array_add(files, file);
	}
	json_object_object_add(o, "files", files);
	tool_print_json(o);
}

static void list(const struct tool *tool, const struct pmio_recovery *s, const struct chosen *c)
{
	if (!tool->quiet)
		printf("%10s %10s  %s\n", "SIZE", "DIRTY", "PATH");
	for (size_t i = 0; i < c->nr; i++) {
		struct pmio_recovery_file f;
		char name[PATH_MAX];

		get_chosen(s, c, i, &f);
		name_file(&f, name);
		printf("%10s %10s  ", TOOL_SIZE(f.size), TOOL_SIZE(f.dirty_bytes));
		tool_print_path(name);
		putchar('\n');
	}
}

int tool_recover_list(const struct tool *tool, const char *dir, const struct tool_args *paths)
{
	struct pmio_recovery *s;
	struct chosen c;
	int rc = pmio_recovery_open(dir, &s);
	int status = TOOL_DONE;

	if (rc < 0)
		return tool_failed(rc, "pool %s", dir);
	if (choose(s, paths, &c) < 0)
		status = TOOL_FAILED;
	else if (tool->json)
		list_json(dir, s, &c);
	else
		list(tool, s, &c);
	if (status == TOOL_DONE && (c.nr_unknown || pmio_recovery_problems(s)))
		status = c.nr ? TOOL_PARTLY : TOOL_FAILED;
	pmio_recovery_close(&s);
	free(c.slots);
	return status;
}

/* ---- where to ------------------------------------------------------------------------- */

static bool leads_upwards(const char *path)
{
	size_t n = strlen(path);

	return strstr(path, "/../") != NULL || (n >= 3 && strcmp(path + n - 3, "/..") == 0);
}

/* a file with a lost or invalid name is named by its slot */
static int target_name(const struct pmio_recovery_file *f, const char *to, bool is_dir, char out[PATH_MAX])
{
	/* leave room for the longest suffix */
	size_t room = PATH_MAX - sizeof(PARTIAL);
	int n, len = (int)strlen(to);

	while (len > 0 && to[len - 1] == '/')
		len--;
	if (!is_dir)
		n = snprintf(out, room, "%s", to);
	else if (f->path[0] && !leads_upwards(f->path))
		n = snprintf(out, room, "%.*s%s", len, to, f->path);
	else
		n = snprintf(out, room, "%.*s/slot-%u", len, to, f->slot);
	return n < (int)room ? 0 : -ENAMETOOLONG;
}

static int make_parents(const char *path)
{
	char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%s", path);
	for (char *p = strchr(dir + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (mkdir(dir, 0700) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return 0;
}

/* ---- one file -------------------------------------------------------------------------- */

struct saving {
	const struct tool *tool;
	struct tool_progress *p;
	char name[PATH_MAX];	/* in messages */
	uint64_t before;	/* bytes that were done before it began */
	bool incomplete;
};

static void take_lost(uint64_t from, uint64_t to, const char *why, void *arg)
{
	struct saving *sv = arg;

	sv->incomplete = true;
	pmio_err("%s: bytes %llu to %llu: %s", sv->name, (unsigned long long)from, (unsigned long long)to, why);
	if (sv->tool->json) {
		struct json_object *o = json_object_new_object();

		tool_add_string(o, "event", "lost");
		tool_add_string(o, "command", sv->p->command);
		tool_add_string(o, "path", sv->name);
		tool_add(o, "from", from);
		tool_add(o, "to", to);
		tool_add_string(o, "why", why);
		tool_print_event(o);
	}
}

static void take_progress(uint64_t bytes, void *arg)
{
	struct saving *sv = arg;

	sv->p->bytes_done += bytes;
	tool_progress_show(sv->p);
}

/* open the file on the file system, if the pool's data belong to it; otherwise -1 */
static int open_base(const struct pmio_recovery_file *f, struct saving *sv)
{
	int fd = f->path[0] ? open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (!f->pfs_known && st.st_ino != f->ino)) {
		close(fd);
		return -1;
	}
	if (f->pfs_known && ((uint64_t)st.st_size != f->pfs_size || st.st_mtim.tv_sec != f->mtime_s ||
			     st.st_mtim.tv_nsec != f->mtime_ns)) {
		pmio_err("%s: was changed on the file system: bytes that are not in the pool are taken from the changed file",
			 sv->name);
		sv->incomplete = true;
	}
	return fd;
}

static int same_bytes(int a, int b)
{
	uint8_t *x = malloc(COMPARE_PIECE), *y = malloc(COMPARE_PIECE);
	ssize_t n = -1, m = -1;
	off_t at = 0;

	while (x && y) {
		n = pread(a, x, COMPARE_PIECE, at);
		m = pread(b, y, COMPARE_PIECE, at);
		if (n != m || n <= 0 || memcmp(x, y, (size_t)n) != 0)
			break;
		at += n;
	}
	free(x);
	free(y);
	return n == 0 && m == 0;
}

/* perhaps from an earlier run; an existing file is never replaced */
static int keep_existing(int fd, const char *part, const char *name)
{
	int there = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	bool same = there >= 0 && same_bytes(fd, there);

	if (there >= 0)
		close(there);
	unlink(part);
	if (same)
		return 0;
	pmio_err("%s: exists already, with different contents", name);
	return -EEXIST;
}

static int put_in_place(int fd, const char *part, char name[PATH_MAX], bool incomplete)
{
	if (incomplete)
		strcat(name, PARTIAL); /* target_name() has left room */
	if (incomplete ? rename(part, name) == 0 : renameat2(AT_FDCWD, part, AT_FDCWD, name, RENAME_NOREPLACE) == 0)
		return pmio_pfs_sync_name(name, -1);
	if (!incomplete && errno == EEXIST)
		return keep_existing(fd, part, name);
	/* some file systems cannot do it */
	if (!incomplete && errno == EINVAL && link(part, name) == 0 && unlink(part) == 0)
		return pmio_pfs_sync_name(name, -1);
	return errno == EEXIST ? keep_existing(fd, part, name) : -errno;
}

static int save(const struct pmio_recovery *s, const struct pmio_recovery_file *f, struct saving *sv,
		char name[PATH_MAX])
{
	struct pmio_recovery_target t = { .lost = take_lost, .progress = take_progress, .arg = sv };
	char part[PATH_MAX];
	int rc;

	snprintf(part, sizeof(part), "%s", name);
	strcat(part, PART); /* shorter than PARTIAL */
	t.fd = open(part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (t.fd < 0)
		return -errno;
	t.base = open_base(f, sv);
	rc = pmio_recovery_copy(s, f, &t);
	if (rc == 0 && f->mode && fchmod(t.fd, f->mode & 0777) < 0)
		rc = -errno;
	if (rc == 0)
		rc = put_in_place(t.fd, part, name, sv->incomplete);
	else
		unlink(part);
	if (t.base >= 0)
		close(t.base);
	close(t.fd);
	return rc;
}

static void save_one(const struct pmio_recovery *s, const struct pmio_recovery_file *f, const char *to, bool is_dir,
		     struct saving *sv)
{
	char name[PATH_MAX];
	int rc = target_name(f, to, is_dir, name);

	name_file(f, sv->name);
	sv->incomplete = false;
	sv->before = sv->p->bytes_done;
	if (rc == 0 && is_dir)
		rc = make_parents(name);
	if (rc == 0)
		rc = save(s, f, sv, name);
	if (rc < 0)
		tool_failed(rc, "%s", name);
	sv->p->bytes_done = sv->before + f->dirty_bytes;
	sv->p->partly |= rc == 0 && sv->incomplete;
	tool_progress_file(sv->p, sv->name, f->dirty_bytes, rc < 0 ? rc : sv->incomplete ? PMIO_EDAMAGED : 0);
	if (rc < 0 || sv->tool->json || sv->tool->quiet)
		return;
	if (sv->p->bar)
		tool_status_clear();
	printf("%s ", sv->incomplete ? "saved in part" : "saved");
	tool_print_path(sv->name);
	printf(" as ");
	tool_print_path(name);
	putchar('\n');
}

/* ---- all ---------------------------------------------------------------------------------- */

static int save_all(const struct tool *tool, const struct pmio_recovery *s, const struct chosen *c, const char *dir,
		    const char *to)
{
	struct tool_progress p = { .tool = tool, .command = "recover", .bytes = c->bytes,
				   .nr_files = c->nr + c->nr_unknown, .nr_failed = c->nr_unknown,
				   .partly = pmio_recovery_problems(s) && c->nr };
	struct saving sv = { .tool = tool, .p = &p };
	struct stat st;
	bool is_dir = (stat(to, &st) == 0 && S_ISDIR(st.st_mode)) || to[strlen(to) - 1] == '/';

	if (!is_dir && c->nr > 1) {
		pmio_err("--to %s: there are %zu files; make it a directory", to, c->nr);
		return TOOL_FAILED;
	}
	tool_progress_start(&p, dir);
	for (size_t i = 0; i < c->nr; i++) {
		struct pmio_recovery_file f;

		get_chosen(s, c, i, &f);
		save_one(s, &f, to, is_dir, &sv);
	}
	if (c->nr == 0 && c->nr_unknown == 0 && !tool->json && !tool->quiet)
		puts("recover: no data to recover");
	return tool_progress_end(&p);
}

int tool_recover_to(const struct tool *tool, const char *dir, const char *to, const struct tool_args *paths)
{
	struct pmio_recovery *s;
	struct chosen c;
	int status = TOOL_FAILED, rc = pmio_recovery_open(dir, &s);

	if (rc < 0)
		return tool_failed(rc, "pool %s", dir);
	if (choose(s, paths, &c) == 0)
		status = save_all(tool, s, &c, dir, to);
	if (c.nr == 0 && pmio_recovery_problems(s))
		status = TOOL_FAILED; /* it is not known whether there was anything */
	pmio_recovery_close(&s);
	free(c.slots);
	return status;
}
