#include "target/layouts.h"

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

#define POINTERS_MAX 65536 /* of a layout session: one for each collective open */

struct pointer {
	uint64_t id; /* key */
	uint64_t pos;
	UT_hash_handle hh;
};

struct layout {
	uint8_t id[REMOTE_LAYOUT_ID]; /* key */
	char *layout_file;	/* owned; NULL: this is not the metadata server, or it was removed */
	bool keep;
	unsigned joined;	/* memberships of processes that have joined, and not left */
	unsigned nr_memberships;
	struct claim *claims;
	struct pointer *pointers;
	UT_hash_handle hh;
};

/* of a process: one for each join, and one for a layout session that it created */
struct member {
	struct layout *layout;
	uint64_t number; /* 0: the process has created the layout session, not joined it */
	struct member *prev, *next;
};

struct layouts {
	struct layout *hash;
};

struct layouts *layouts_new(void)
{
	return calloc(1, sizeof(struct layouts));
}

static struct layout *find(struct layouts *all, const uint8_t id[REMOTE_LAYOUT_ID])
{
	struct layout *layout;

	HASH_FIND(hh, all->hash, id, REMOTE_LAYOUT_ID, layout);
	return layout;
}

static struct layout *add(struct layouts *all, const uint8_t id[REMOTE_LAYOUT_ID])
{
	struct layout *layout = calloc(1, sizeof(*layout));

	if (!layout)
		return NULL;
	memcpy(layout->id, id, REMOTE_LAYOUT_ID);
	HASH_ADD(hh, all->hash, id, REMOTE_LAYOUT_ID, layout);
	return layout;
}

static void free_layout(struct layouts *all, struct layout *layout)
{
	struct claim *c, *next;
	struct pointer *p, *q;

	HASH_ITER(hh, layout->pointers, p, q) {
		HASH_DEL(layout->pointers, p);
		free(p);
	}
	HASH_ITER(hh, layout->claims, c, next) {
		HASH_DEL(layout->claims, c);
		free(c);
	}
	HASH_DEL(all->hash, layout);
	free(layout->layout_file);
	free(layout);
}

static struct member *find_membership(struct member *list, const struct layout *layout, uint64_t number)
{
	struct member *m;

	DL_FOREACH(list, m) {
		if (m->layout == layout && m->number == number)
			break;
	}
	return m;
}

static struct member *get_membership(struct member **list, struct layout *layout, uint64_t number)
{
	struct member *m = find_membership(*list, layout, number);

	if (m)
		return m;
	m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	m->layout = layout;
	m->number = number;
	layout->nr_memberships++;
	layout->joined += number != 0;
	DL_APPEND(*list, m);
	return m;
}

static void put_layout(struct layouts *all, struct layout *layout)
{
	if (layout->nr_memberships == 0)
		free_layout(all, layout);
}

int layouts_create(struct layouts *all, struct member **memberships, const uint8_t id[REMOTE_LAYOUT_ID])
{
	struct layout *layout = find(all, id);

	if (!layout)
		layout = add(all, id);
	if (!layout)
		return -ENOMEM;
	if (get_membership(memberships, layout, 0))
		return 0;
	put_layout(all, layout);
	return -ENOMEM;
}

int layouts_join(struct layouts *all, struct member **memberships, const uint8_t id[REMOTE_LAYOUT_ID], uint64_t number,
		 const char *layout_file)
{
	struct layout *layout = find(all, id);

	if (!layout_file && (!layout || layout->joined == 0))
		return -ENOENT;
	if (!layout)
		layout = add(all, id);
	if (!layout)
		return -ENOMEM;
	if (layout_file && !layout->layout_file)
		layout->layout_file = strdup(layout_file);
	if ((!layout_file || layout->layout_file) && get_membership(memberships, layout, number))
		return 0;
	put_layout(all, layout);
	return -ENOMEM;
}

bool layouts_active(struct layouts *all, const uint8_t id[REMOTE_LAYOUT_ID])
{
	const struct layout *layout = find(all, id);

	return layout && layout->joined;
}

/* returns the layout file, if it is to be removed */
static char *drop_membership(struct layouts *all, struct member **memberships, struct member *m, bool *kept)
{
	struct layout *layout = m->layout;
	char *layout_file = NULL;

	if (m->number && --layout->joined == 0) {
		layout_file = layout->layout_file;
		layout->layout_file = NULL;
	}
	*kept = layout->keep;
	DL_DELETE(*memberships, m);
	free(m);
	layout->nr_memberships--;
	put_layout(all, layout);
	return layout_file;
}

int layouts_leave(struct layouts *all, struct member **memberships, const uint8_t id[REMOTE_LAYOUT_ID], uint64_t number, bool keep,
		  char **layout_file, bool *kept)
{
	struct layout *layout = find(all, id);
	struct member *m = layout && number ? find_membership(*memberships, layout, number) : NULL;

	*layout_file = NULL;
	if (!m)
		return -ENOENT;
	layout->keep |= keep;
	/* holders of chunks are kept until the process ends: it may open the file again in this layout session */
	if (!find_membership(*memberships, layout, 0) && !get_membership(memberships, layout, 0))
		return -ENOMEM;
	*layout_file = drop_membership(all, memberships, m, kept);
	return 0;
}

char *layouts_end(struct layouts *all, struct member **memberships, uint8_t id[REMOTE_LAYOUT_ID], bool *kept)
{
	char *layout_file = NULL;

	while (*memberships && !layout_file) {
		memcpy(id, (*memberships)->layout->id, REMOTE_LAYOUT_ID);
		layout_file = drop_membership(all, memberships, *memberships, kept);
	}
	return layout_file;
}

const char *layouts_joined(const struct member *memberships, unsigned at, uint8_t id[REMOTE_LAYOUT_ID], bool *joined)
{
	const struct member *m;

	*joined = false;
	DL_FOREACH(memberships, m) {
		if (!m->number || at--)
			continue;
		*joined = true;
		memcpy(id, m->layout->id, REMOTE_LAYOUT_ID);
		return m->layout->layout_file;
	}
	return NULL;
}

void layouts_forget(struct layouts *all, struct member **memberships, const uint8_t id[REMOTE_LAYOUT_ID])
{
	struct member *m, *next;
	bool kept;

	DL_FOREACH_SAFE(*memberships, m, next) {
		if (memcmp(m->layout->id, id, REMOTE_LAYOUT_ID) == 0)
			free(drop_membership(all, memberships, m, &kept));
	}
}

int layouts_claim(struct layouts *all, const uint8_t id[REMOTE_LAYOUT_ID], uint64_t first, uint32_t nr, uint32_t wanted, uint32_t holder,
		  uint32_t *holders)
{
	struct layout *layout = find(all, id);

	if (!layout)
		return -ENOENT;
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t chunk = first + i;
		struct claim *c;

		HASH_FIND(hh, layout->claims, &chunk, sizeof(chunk), c);
		if (!c && i < wanted) {
			c = calloc(1, sizeof(*c));
			if (!c)
				return -ENOMEM;
			c->chunk = chunk;
			c->holder = holder;
			HASH_ADD(hh, layout->claims, chunk, sizeof(c->chunk), c);
		}
		holders[i] = c ? c->holder : REMOTE_NOBODY;
	}
	return 0;
}

static int get_pointer(struct layout *layout, uint64_t id, struct pointer **out)
{
	struct pointer *p;

	HASH_FIND(hh, layout->pointers, &id, sizeof(id), p);
	if (!p) {
		if (HASH_COUNT(layout->pointers) >= POINTERS_MAX)
			return -ENOSPC;
		p = calloc(1, sizeof(*p));
		if (!p)
			return -ENOMEM;
		p->id = id;
		HASH_ADD(hh, layout->pointers, id, sizeof(p->id), p);
	}
	*out = p;
	return 0;
}

int layouts_pointer(struct layouts *all, const uint8_t id[REMOTE_LAYOUT_ID], uint64_t pointer, enum remote_pointer_how how, uint64_t value,
		    uint64_t *was)
{
	struct layout *layout = find(all, id);
	struct pointer *p;
	int rc = layout ? get_pointer(layout, pointer, &p) : -ENOENT;

	if (rc < 0)
		return rc;
	*was = p->pos;
	if (how == REMOTE_POINTER_END) {
		HASH_DEL(layout->pointers, p);
		free(p);
	} else {
		p->pos = how == REMOTE_POINTER_ADD ? p->pos + value : value;
	}
	return 0;
}
