#include "remote/use.h"

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

struct use {
	uint8_t id[USE_ID_SIZE]; /* key */
	char *owner;		/* owned; NULL: not here, or removed */
	bool keep;
	unsigned joined;	/* times */
	unsigned nr_members;
	struct claim *claims;
	UT_hash_handle hh;
};

struct member {
	struct use *use;
	unsigned joined; /* times */
	struct member *prev, *next;
};

struct uses {
	struct use *hash;
};

struct uses *uses_new(void)
{
	return calloc(1, sizeof(struct uses));
}

static struct use *find(struct uses *u, const uint8_t id[USE_ID_SIZE])
{
	struct use *use;

	HASH_FIND(hh, u->hash, id, USE_ID_SIZE, use);
	return use;
}

static struct use *add(struct uses *u, const uint8_t id[USE_ID_SIZE])
{
	struct use *use = calloc(1, sizeof(*use));

	if (!use)
		return NULL;
	memcpy(use->id, id, USE_ID_SIZE);
	HASH_ADD(hh, u->hash, id, USE_ID_SIZE, use);
	return use;
}

static void free_use(struct uses *u, struct use *use)
{
	struct claim *c, *next;

	HASH_ITER(hh, use->claims, c, next) {
		HASH_DEL(use->claims, c);
		free(c);
	}
	HASH_DEL(u->hash, use);
	free(use->owner);
	free(use);
}

static struct member *find_member(struct member *list, const struct use *use)
{
	struct member *m;

	DL_FOREACH(list, m) {
		if (m->use == use)
			break;
	}
	return m;
}

static struct member *get_member(struct member **list, struct use *use)
{
	struct member *m = find_member(*list, use);

	if (m)
		return m;
	m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	m->use = use;
	use->nr_members++;
	DL_APPEND(*list, m);
	return m;
}

int uses_create(struct uses *u, struct member **session, const uint8_t id[USE_ID_SIZE])
{
	struct use *use = find(u, id);

	if (!use)
		use = add(u, id);
	if (!use)
		return -ENOMEM;
	if (get_member(session, use))
		return 0;
	if (use->nr_members == 0)
		free_use(u, use);
	return -ENOMEM;
}

int uses_join(struct uses *u, struct member **session, const uint8_t id[USE_ID_SIZE], const char *owner)
{
	struct use *use = find(u, id);
	struct member *m;

	if (!owner && (!use || use->joined == 0))
		return -ENOENT;
	if (!use)
		use = add(u, id);
	m = use ? get_member(session, use) : NULL;
	if (m && owner && !use->owner)
		use->owner = strdup(owner);
	if (!m || (owner && !use->owner)) {
		if (use && use->nr_members == 0)
			free_use(u, use);
		return -ENOMEM;
	}
	m->joined++;
	use->joined++;
	return 0;
}

void uses_inherit(struct member **to, struct member **from)
{
	DL_CONCAT(*to, *from);
	*from = NULL;
}

bool uses_active(struct uses *u, const uint8_t id[USE_ID_SIZE])
{
	const struct use *use = find(u, id);

	return use && use->joined;
}

/* the owner's file, if it is time for it */
static char *let_go(struct use *use, unsigned times, bool *kept)
{
	char *owner = NULL;

	use->joined -= times;
	if (use->joined == 0 && times) {
		owner = use->owner;
		use->owner = NULL;
	}
	*kept = use->keep;
	return owner;
}

int uses_leave(struct uses *u, struct member **session, const uint8_t id[USE_ID_SIZE], bool keep, char **owner,
	       bool *kept)
{
	struct use *use = find(u, id);
	struct member *m = use ? find_member(*session, use) : NULL;

	*owner = NULL;
	if (!m || m->joined == 0)
		return -ENOENT;
	use->keep |= keep;
	m->joined--;
	*owner = let_go(use, 1, kept);
	return 0;
}

char *uses_end(struct uses *u, struct member **session, uint8_t id[USE_ID_SIZE], bool *kept)
{
	char *owner = NULL;

	while (*session && !owner) {
		struct member *m = *session;
		struct use *use = m->use;

		memcpy(id, use->id, USE_ID_SIZE);
		owner = let_go(use, m->joined, kept);
		DL_DELETE(*session, m);
		free(m);
		if (--use->nr_members == 0)
			free_use(u, use);
	}
	return owner;
}

int uses_claim(struct uses *u, const uint8_t id[USE_ID_SIZE], uint64_t first, uint32_t nr, uint32_t wanted, uint32_t holder,
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
		holders[i] = c ? c->holder : USE_NOBODY;
	}
	return 0;
}
