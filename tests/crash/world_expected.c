/* what the files of a world may be after a cut, by its deeds */
#include "world_impl.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* of those deeds that had not returned and are done whole or not at all, which are done: a bit each */
struct outcome {
	size_t cut;
	unsigned done;
};

enum effect { NOT_DONE, IN_PART, DONE };

static bool is_whole_or_not(const struct deed *d)
{
	return d->kind == CUT || d->kind == DELETE;
}

static enum effect effect(const struct deed *d, const struct outcome *o, unsigned *nth)
{
	if (d->start >= o->cut)
		return NOT_DONE;
	if (d->end <= o->cut)
		return DONE;
	if (is_whole_or_not(d))
		return o->done >> (*nth)++ & 1 ? DONE : NOT_DONE;
	return IN_PART;
}

static unsigned nr_outcomes(unsigned file, size_t cut)
{
	unsigned nr = 1;

	for (unsigned i = 0; i < world.nr_deeds; i++) {
		const struct deed *d = &world.deeds[i];

		if (d->file == file && is_whole_or_not(d) && d->start < cut && d->end > cut)
			nr *= 2;
	}
	return nr;
}

struct expected {
	uint64_t least, most; /* bytes */
	bool may_be, must_be; /* there */
};

static struct expected expect_size(unsigned file, const struct outcome *o)
{
	bool there = world.initial[file] != NEVER;
	struct expected x = { .may_be = there, .must_be = there };
	unsigned nth = 0;

	if (there)
		x.least = x.most = world.initial[file];
	for (unsigned i = 0; i < world.nr_deeds; i++) {
		const struct deed *d = &world.deeds[i];
		enum effect e = d->file == file ? effect(d, o, &nth) : NOT_DONE;
		uint64_t end = d->off + d->len;

		if (e == NOT_DONE)
			continue;
		if (d->kind == WRITE) {
			if (e == DONE && x.least < end)
				x.least = end;
			if (x.most < end)
				x.most = end;
		} else if (d->kind == CUT) {
			x.least = x.most = d->off;
		} else if (d->kind == DELETE || e == DONE || !x.may_be) { /* else the old one's going was lost */
			x = (struct expected){ .may_be = d->kind == MAKE,
					       .must_be = d->kind == MAKE && e == DONE };
		}
	}
	return x;
}

/* what the byte at off may be: a bit for each value; *end: the same up to there */
static uint64_t expect_byte(unsigned file, const struct outcome *o, uint64_t off, uint64_t *end)
{
	bool there = world.initial[file] != NEVER;
	uint64_t values = 1;
	unsigned nth = 0;

#define UP_TO(n) (*end = (n) > off && (n) < *end ? (n) : *end)
	if (world.initial[file] != NEVER) {
		if (off < world.initial[file])
			values = 1ULL << INITIAL(file);
		UP_TO(world.initial[file]);
	}
	for (unsigned i = 0; i < world.nr_deeds; i++) {
		const struct deed *d = &world.deeds[i];
		enum effect e = d->file == file ? effect(d, o, &nth) : NOT_DONE;

		if (e == NOT_DONE)
			continue;
		UP_TO(d->off);
		UP_TO(d->off + d->len);
		if (d->kind == DELETE || (d->kind == MAKE && (e == DONE || !there))) {
			there = d->kind == MAKE;
			values = 1;
		} else if (d->kind == CUT) {
			if (off >= d->off)
				values = 1;
		} else if (d->kind == WRITE && off >= d->off && off < d->off + d->len) {
			values = 1ULL << VALUE(i) | (e == DONE ? 0 : values);
		}
	}
#undef UP_TO
	return values;
}

static bool check_bytes(unsigned file, const struct outcome *o, const uint8_t *bytes, uint64_t size,
			char *why, size_t len)
{
	for (uint64_t off = 0, end; off < size; off = end) {
		uint64_t values, at = off;

		end = size;
		values = expect_byte(file, o, off, &end);
		while (at < end && bytes[at] < 64 && (values >> bytes[at] & 1))
			at++;
		if (at == end)
			continue;
		snprintf(why, len, "byte %llu is %u, not one of %#llx", (unsigned long long)at, bytes[at],
			 (unsigned long long)values);
		return false;
	}
	return true;
}

static bool check_outcome(unsigned file, const struct outcome *o, const uint8_t *bytes, uint64_t size,
			  char *why, size_t len)
{
	struct expected x = expect_size(file, o);

	if (!bytes) {
		snprintf(why, len, "it is not there");
		return !x.must_be;
	}
	if (!x.may_be) {
		snprintf(why, len, "it is there");
		return false;
	}
	if (size < x.least || size > x.most) {
		snprintf(why, len, "its size is %llu, not %llu..%llu", (unsigned long long)size,
			 (unsigned long long)x.least, (unsigned long long)x.most);
		return false;
	}
	return check_bytes(file, o, bytes, size, why, len);
}

/* bytes: NULL: the file is not there */
static void check_file(unsigned file, size_t cut, const uint8_t *bytes, uint64_t size, const char *where)
{
	struct outcome o = { .cut = cut };
	char why[400];
	size_t n = 0;

	for (unsigned nr = nr_outcomes(file, cut); o.done < nr; o.done++) {
		if (check_outcome(file, &o, bytes, size, why + n, sizeof(why) - n))
			return;
		if (o.done + 1 < nr && n < sizeof(why) / 2)
			n = strlen(strcat(why, ", or "));
	}
	flaw("%s, %s: %s", world.path[file], where, why);
}

void check_disk(const struct disk *disk, size_t cut, const char *where)
{
	struct stat st = { .st_size = 0 };

	for (unsigned i = 0; i < world.nr_files; i++) {
		const uint8_t *bytes = disk_look(disk, world.path[i], &st);

		check_file(i, cut, bytes, bytes ? (uint64_t)st.st_size : 0, where);
	}
}

void check_read(struct pmio_file *f, size_t cut)
{
	off_t size = 0;
	uint8_t *bytes;
	ssize_t n;

	pmio_size(f, &size);
	bytes = malloc((size_t)size + 1);
	assert(bytes);
	n = pmio_pread(f, bytes, (size_t)size + 1, 0);
	if (n != size)
		flaw("%s: read %zd of %lld bytes", f->path, n, (long long)size);
	else
		check_file(file_of(f->path), cut, bytes, (uint64_t)size, "read");
	free(bytes);
}
