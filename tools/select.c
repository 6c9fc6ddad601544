#include "select.h"

#include <errno.h>
#include <fnmatch.h>
#include <fts.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <uthash.h>

#include "core/log.h"
#include "core/path.h"
#include "proto/proto.h"

static bool is_pattern(const char *arg)
{
	return strpbrk(arg, "*?[") != NULL;
}

/* ---- on the file system --------------------------------------------------------- */

struct listed_file {
	struct {
		uint64_t dev, ino;
	} key;
	UT_hash_handle hh;
};

struct walk {
	struct transfer_run *t;
	struct listed_file *known; /* hash of the files that have been added */
};

static void no_memory(struct walk *w, const char *path)
{
	tool_failed(-ENOMEM, "%s", path);
	transfer_refuse(w->t, path, -ENOMEM);
}

static void add_file(struct walk *w, const char *path, const struct stat *st)
{
	struct listed_file *k = calloc(1, sizeof(*k)), *twin;
	struct transfer_file *f;

	if (!k) {
		no_memory(w, path);
		return;
	}
	k->key.dev = st->st_dev;
	k->key.ino = st->st_ino;
	HASH_FIND(hh, w->known, &k->key, sizeof(k->key), twin);
	if (twin) {
		free(k);
		return;
	}
	HASH_ADD(hh, w->known, key, sizeof(k->key), k);
	f = transfer_add(w->t, path);
	if (!f) {
		no_memory(w, path);
		return;
	}
	f->size = (uint64_t)st->st_size;
	f->bytes = f->size;
}

/* by name, but links last: a file within the tree gets its own name */
static int by_name(const FTSENT **a, const FTSENT **b)
{
	bool link_a = (*a)->fts_info == FTS_SL, link_b = (*b)->fts_info == FTS_SL;

	return link_a != link_b ? link_a - link_b : strcmp((*a)->fts_name, (*b)->fts_name);
}

/* links to files are followed; those to directories are not, as they may lead anywhere */
static void add_tree(struct walk *w, const char *dir)
{
	char *const roots[] = { (char *)(uintptr_t)dir, NULL };
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, by_name);
	struct stat st;
	FTSENT *e;

	if (!fts) {
		int rc = -errno;

		tool_failed(rc, "%s", dir);
		transfer_refuse(w->t, dir, rc);
		return;
	}
	while ((e = fts_read(fts)) != NULL) {
		if (e->fts_info == FTS_F) {
			add_file(w, e->fts_path, e->fts_statp);
		} else if (e->fts_info == FTS_SL) {
			if (stat(e->fts_path, &st) == 0 && S_ISREG(st.st_mode))
				add_file(w, e->fts_path, &st);
		} else if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR || e->fts_info == FTS_NS) {
			tool_failed(-e->fts_errno, "%s", e->fts_path);
			transfer_refuse(w->t, e->fts_path, -e->fts_errno);
		}
	}
	fts_close(fts);
}

static int add_path(struct walk *w, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		add_tree(w, path);
	else if (S_ISREG(st.st_mode))
		add_file(w, path, &st);
	else
		return -EINVAL;
	return 0;
}

static int add_matches(struct walk *w, const char *pattern)
{
	glob_t found;
	int rc = glob(pattern, GLOB_NOSORT, NULL, &found);

	if (rc)
		return rc == GLOB_NOMATCH ? -ENOENT : rc == GLOB_NOSPACE ? -ENOMEM : -EIO;
	/* of the matches, only files and directories are selected */
	for (size_t i = 0; i < found.gl_pathc; i++)
		add_path(w, found.gl_pathv[i]);
	globfree(&found);
	return 0;
}

void select_on_pfs(struct transfer_run *t, const struct tool_args *args)
{
	struct walk w = { .t = t };
	struct listed_file *k, *tmp;

	for (size_t i = 0; i < args->nr; i++) {
		char path[PATH_MAX];
		int rc = pmio_absolute(args->v[i], path, sizeof(path));

		if (rc == 0)
			rc = add_path(&w, path);
		if (rc == -ENOENT && is_pattern(args->v[i]))
			rc = add_matches(&w, path);
		if (rc < 0) {
			if (rc == -EINVAL)
				pmio_err("%s: neither a file nor a directory", args->v[i]);
			tool_failed(rc, "%s", args->v[i]);
			transfer_refuse(t, args->v[i], rc);
		}
	}
	HASH_ITER(hh, w.known, k, tmp) {
		HASH_DEL(w.known, k);
		free(k);
	}
}

/* ---- in the pool ------------------------------------------------------------------ */

struct selector {
	const char *arg;
	char *path;	/* owned; absolute */
	char *real;	/* owned; without symbolic links; NULL: there is no such file */
	struct stat st;	/* if there is a file */
	bool matched;
};

static bool lies_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	while (n > 1 && dir[n - 1] == '/')
		n--;
	return strncmp(path, dir, n) == 0 && (path[n] == '/' || n == 1);
}

/* names in the pool have no symbolic links */
static bool is_below(const struct selector *s, const struct pmio_file_stat *st)
{
	return lies_below(st->path, s->path) || lies_below(st->path, s->real);
}

/* exact: the argument names this file itself */
static bool matches(const struct selector *s, const struct pmio_file_stat *st, bool *exact)
{
	bool is_named = strcmp(s->path, st->path) == 0 || (s->real && strcmp(s->real, st->path) == 0);

	*exact = s->real && !S_ISDIR(s->st.st_mode) ? s->st.st_dev == st->dev && s->st.st_ino == st->ino : is_named;
	if (*exact)
		return true;
	/* an earlier file of that name: if data of it wait, it must not be skipped */
	if (is_named && tool_is_pending(st))
		return true;
	if (s->real)
		return S_ISDIR(s->st.st_mode) && is_below(s, st);
	return is_pattern(s->arg) && fnmatch(s->path, st->path, FNM_PATHNAME | FNM_LEADING_DIR) == 0;
}

static int take(struct transfer_run *t, const struct pmio_file_stat *st, const char *path, bool is_here)
{
	struct transfer_file *f = transfer_add(t, path);

	if (!f)
		return tool_failed(-ENOMEM, "%s", path), -ENOMEM;
	f->size = st->size;
	f->pending = tool_is_pending(st);
	f->bytes = st->dirty_bytes;
	f->before = st->drained_bytes;
	f->slot = st->entry.slot;
	f->entry = st->entry;
	f->is_here = is_here;
	return 0;
}

static int consider(struct transfer_run *t, const struct pmio_file_stat *st, struct selector *s,
		    size_t nr, bool waiting_only)
{
	bool wanted = nr == 0 && (tool_is_pending(st) || !waiting_only);
	const char *path = st->path;
	bool is_here = false;

	for (size_t i = 0; i < nr; i++) {
		bool exact;

		if (!matches(&s[i], st, &exact))
			continue;
		s[i].matched = true;
		wanted |= exact || tool_is_pending(st) || !waiting_only;
		if (exact && s[i].real) { /* it may have been renamed */
			path = s[i].path;
			is_here = true;
		}
	}
	return wanted ? take(t, st, path, is_here) : 0;
}

static int make_selectors(const struct tool_args *args, struct selector *s)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < args->nr; i++) {
		int rc = pmio_absolute(args->v[i], path, sizeof(path));

		if (rc < 0)
			return tool_failed(rc, "%s", args->v[i]), rc;
		s[i].arg = args->v[i];
		s[i].path = strdup(path);
		s[i].real = realpath(path, NULL);
		if (s[i].real && stat(s[i].real, &s[i].st) < 0) {
			free(s[i].real);
			s[i].real = NULL;
		}
		if (!s[i].path)
			return tool_failed(-ENOMEM, "%s", path), -ENOMEM;
	}
	return 0;
}

int select_in_pool(struct transfer_run *t, struct pmio *pm, const struct tool_args *args,
		   bool waiting_only)
{
	struct selector *s = calloc(args->nr + 1, sizeof(*s));
	struct pmio_file_stat st;
	uint32_t cursor = 0;
	int rc = s ? make_selectors(args, s) : -ENOMEM;

	while (rc == 0) {
		rc = pmio_stat_next(pm, &cursor, &st);
		if (rc == 0)
			rc = consider(t, &st, s, args->nr, waiting_only);
	}
	for (size_t i = 0; i < args->nr && rc == -ENOENT; i++) {
		if (s[i].matched || s[i].real)
			continue;
		pmio_err("%s: %s", s[i].arg, "not in the pool");
		tool_failed(-ENOENT, "%s", s[i].arg);
		transfer_refuse(t, s[i].arg, -ENOENT);
	}
	for (size_t i = 0; s && i < args->nr; i++) {
		free(s[i].path);
		free(s[i].real);
	}
	free(s);
	return rc == -ENOENT ? 0 : rc;
}
