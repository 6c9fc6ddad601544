#include "target/use.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

struct claim {
	uint64_t chunk; /* key */
	uint32_t holder;
	UT_hash_handle hh;
};

#define POINTERS_MAX 65536 /* of a use: one for each collective open */

struct pointer {
	uint64_t id; /* key */
	uint64_t pos;
	UT_hash_handle hh;
};

struct use {
	uint8_t id[REMOTE_USE_ID]; /* key */
	char *owner;		/* owned; NULL: not here, or removed */
	bool keep;
	unsigned joined;	/* times */
	unsigned nr_members;
	struct claim *claims;
	struct pointer *pointers;
	UT_hash_handle hh;
};

/* of a process: one for each join, and one for a use that it created */
struct member {
	struct use *use;
	uint64_t number; /* 0: the process has created the use, not joined it */
	struct member *prev, *next;
};

struct uses {
	struct use *hash;
};

struct uses *uses_new(void)
{
	return calloc(1, sizeof(struct uses));
}

static struct use *find(struct uses *u, const uint8_t id[REMOTE_USE_ID])
{
	struct use *use;

	HASH_FIND(hh, u->hash, id, REMOTE_USE_ID, use);
	return use;
}

static struct use *add(struct uses *u, const uint8_t id[REMOTE_USE_ID])
{
	struct use *use = calloc(1, sizeof(*use));

	if (!use)
		return NULL;
	memcpy(use->id, id, REMOTE_USE_ID);
	HASH_ADD(hh, u->hash, id, REMOTE_USE_ID, use);
	return use;
}

static void free_use(struct uses *u, struct use *use)
{
	struct claim *c, *next;
	struct pointer *p, *q;

	HASH_ITER(hh, use->pointers, p, q) {
		HASH_DEL(use->pointers, p);
		free(p);
	}
	HASH_ITER(hh, use->claims, c, next) {
		HASH_DEL(use->claims, c);
		free(c);
	}
	HASH_DEL(u->hash, use);
	free(use->owner);
	free(use);
}

static struct member *find_member(struct member *list, const struct use *use, uint64_t number)
{
	struct member *m;

	DL_FOREACH(list, m) {
		if (m->use == use && m->number == number)
			break;
	}
	return m;
}

static struct member *get_member(struct member **list, struct use *use, uint64_t number)
{
	struct member *m = find_member(*list, use, number);

	if (m)
		return m;
	m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	m->use = use;
	m->number = number;
	use->nr_members++;
	use->joined += number != 0;
	DL_APPEND(*list, m);
	return m;
}

static void put_use(struct uses *u, struct use *use)
{
	if (use->nr_members == 0)
		free_use(u, use);
}

int uses_create(struct uses *u, struct member **process, const uint8_t id[REMOTE_USE_ID])
{
	struct use *use = find(u, id);

	if (!use)
		use = add(u, id);
	if (!use)
		return -ENOMEM;
	if (get_member(process, use, 0))
		return 0;
	put_use(u, use);
	return -ENOMEM;
}

int uses_join(struct uses *u, struct member **process, const uint8_t id[REMOTE_USE_ID], uint64_t number,
	      const char *owner)
{
	struct use *use = find(u, id);

	if (!owner && (!use || use->joined == 0))
		return -ENOENT;
	if (!use)
		use = add(u, id);
	if (!use)
		return -ENOMEM;
	if (owner && !use->owner)
		use->owner = strdup(owner);
	if ((!owner || use->owner) && get_member(process, use, number))
		return 0;
	put_use(u, use);
	return -ENOMEM;
}

bool uses_active(struct uses *u, const uint8_t id[REMOTE_USE_ID])
{
	const struct use *use = find(u, id);

	return use && use->joined;
}

/* returns the layout file, if it is to be removed */
static char *drop_member(struct uses *u, struct member **process, struct member *m, bool *kept)
{
	struct use *use = m->use;
	char *owner = NULL;

	if (m->number && --use->joined == 0) {
		owner = use->owner;
		use->owner = NULL;
	}
	*kept = use->keep;
	DL_DELETE(*process, m);
	free(m);
	use->nr_members--;
	put_use(u, use);
	return owner;
}

int uses_leave(struct uses *u, struct member **process, const uint8_t id[REMOTE_USE_ID], uint64_t number, bool keep,
	       char **owner, bool *kept)
{
	struct use *use = find(u, id);
	struct member *m = use && number ? find_member(*process, use, number) : NULL;

	*owner = NULL;
	if (!m)
		return -ENOENT;
	use->keep |= keep;
	/* holders of chunks are kept until the process ends: it may open the file again in this use */
	if (!find_member(*process, use, 0) && !get_member(process, use, 0))
		return -ENOMEM;
	*owner = drop_member(u, process, m, kept);
	return 0;
}

char *uses_end(struct uses *u, struct member **process, uint8_t id[REMOTE_USE_ID], bool *kept)
{
	char *owner = NULL;

	while (*process && !owner) {
		memcpy(id, (*process)->use->id, REMOTE_USE_ID);
		owner = drop_member(u, process, *process, kept);
	}
	return owner;
}

const char *uses_joined(const struct member *process, unsigned at, uint8_t id[REMOTE_USE_ID], bool *joined)
{
	const struct member *m;

	*joined = false;
	DL_FOREACH(process, m) {
		if (!m->number || at--)
			continue;
		*joined = true;
		memcpy(id, m->use->id, REMOTE_USE_ID);
		return m->use->owner;
	}
	return NULL;
}

void uses_forget(struct uses *u, struct member **process, const uint8_t id[REMOTE_USE_ID])
{
	struct member *m, *next;
	bool kept;

	DL_FOREACH_SAFE(*process, m, next) {
		if (memcmp(m->use->id, id, REMOTE_USE_ID) == 0)
			free(drop_member(u, process, m, &kept));
	}
}

int uses_claim(struct uses *u, const uint8_t id[REMOTE_USE_ID], uint64_t first, uint32_t nr, uint32_t wanted, uint32_t holder,
	       uint32_t *holders)
{
	struct use *use = find(u, id);

	if (!use)
		return -ENOENT;
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t chunk = first + i;
		struct claim *c;

		HASH_FIND(hh, use->claims, &chunk, sizeof(chunk), c);
		if (!c && i < wanted) {
			c = calloc(1, sizeof(*c));
			if (!c)
				return -ENOMEM;
			c->chunk = chunk;
			c->holder = holder;
			HASH_ADD(hh, use->claims, chunk, sizeof(c->chunk), c);
		}
		holders[i] = c ? c->holder : REMOTE_NOBODY;
	}
	return 0;
}

static int get_pointer(struct use *use, uint64_t id, struct pointer **out)
{
	struct pointer *p;

	HASH_FIND(hh, use->pointers, &id, sizeof(id), p);
	if (!p) {
		if (HASH_COUNT(use->pointers) >= POINTERS_MAX)
			return -ENOSPC;
		p = calloc(1, sizeof(*p));
		if (!p)
			return -ENOMEM;
		p->id = id;
		HASH_ADD(hh, use->pointers, id, sizeof(p->id), p);
	}
	*out = p;
	return 0;
}

int uses_pointer(struct uses *u, const uint8_t id[REMOTE_USE_ID], uint64_t pointer, enum remote_pointer_how how, uint64_t value,
		 uint64_t *was)
{
	struct use *use = find(u, id);
	struct pointer *p;
	int rc = use ? get_pointer(use, pointer, &p) : -ENOENT;

	if (rc < 0)
		return rc;
	*was = p->pos;
	if (how == REMOTE_POINTER_END) {
		HASH_DEL(use->pointers, p);
		free(p);
	} else {
		p->pos = how == REMOTE_POINTER_ADD ? p->pos + value : value;
	}
	return 0;
}
