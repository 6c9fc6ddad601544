#include "catalog_model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pmio.h"

struct change {
	size_t at; /* operations that pm had recorded before */
	uint32_t slot;
	struct pmio_pool_file file;
};

struct catalog_model {
	struct pmio_pm *pm;
	uint32_t nr_slots;
	struct pmio_pool_file *start, *now; /* by slot */
	struct change *changes;
	size_t nr_changes, room;
};

static struct catalog_model *model;

/* ---- the model ------------------------------------------------------------------- */

struct catalog_model *catalog_model_new(struct pmio_pm *pm, uint32_t nr_slots)
{
	struct catalog_model *m = calloc(1, sizeof(*m));

	assert(m);
	m->pm = pm;
	m->nr_slots = nr_slots;
	m->start = calloc(nr_slots, sizeof(*m->start));
	m->now = calloc(nr_slots, sizeof(*m->now));
	assert(m->start && m->now);
	return m;
}

void catalog_model_delete(struct catalog_model **m)
{
	if (!*m)
		return;
	free((*m)->start);
	free((*m)->now);
	free((*m)->changes);
	free(*m);
	*m = NULL;
}

void catalog_model_use(struct catalog_model *m)
{
	model = m;
}

void catalog_model_reset(struct catalog_model *m)
{
	memcpy(m->start, m->now, m->nr_slots * sizeof(*m->start));
	m->nr_changes = 0;
}

struct catalog_model *catalog_model_cut(const struct catalog_model *m, size_t cut, struct pmio_pm *pm)
{
	struct catalog_model *after = catalog_model_new(pm, m->nr_slots);

	memcpy(after->now, m->start, m->nr_slots * sizeof(*m->start));
	for (size_t i = 0; i < m->nr_changes && m->changes[i].at < cut; i++)
		after->now[m->changes[i].slot] = m->changes[i].file;
	catalog_model_reset(after);
	return after;
}

static int change(struct catalog_model *m, uint32_t slot, const struct pmio_pool_file *file)
{
	if (m->nr_changes == m->room) {
		m->room = m->room ? 2 * m->room : 32;
		m->changes = realloc(m->changes, m->room * sizeof(*m->changes));
		assert(m->changes);
	}
	m->changes[m->nr_changes++] =
		(struct change){ .at = pmio_pm_record_count(m->pm), .slot = slot, .file = *file };
	pmio_pm_record_mark(m->pm);
	m->now[slot] = *file;
	return 0;
}

/* ---- catalog.h ---------------------------------------------------------------------- */

struct pmio_catalog {
	struct catalog_model *m;
};

int pmio_catalog_open(int dir_fd, const char *dir, const uint8_t uuid[16], uint32_t nr_slots,
		      enum pmio_catalog_mode mode, struct pmio_catalog **out)
{
	(void)dir_fd, (void)dir, (void)uuid, (void)mode;
	assert(nr_slots == model->nr_slots);
	*out = calloc(1, sizeof(**out));
	assert(*out);
	(*out)->m = model;
	return 0;
}

void pmio_catalog_close(struct pmio_catalog **cat)
{
	free(*cat);
	*cat = NULL;
}

int pmio_catalog_check(int dir_fd, const char *dir, uint32_t nr_slots)
{
	(void)dir_fd, (void)dir, (void)nr_slots;
	return 0;
}

int pmio_catalog_state(const struct pmio_catalog *cat, uint32_t slot, uint64_t *generation)
{
	assert(slot < cat->m->nr_slots);
	*generation = cat->m->now[slot].generation;
	return (int)cat->m->now[slot].state;
}

uint32_t pmio_catalog_flags(const struct pmio_catalog *cat, uint32_t slot)
{
	assert(slot < cat->m->nr_slots);
	return cat->m->now[slot].flags;
}

int pmio_catalog_get(const struct pmio_catalog *cat, uint32_t slot, struct pmio_pool_file *file)
{
	assert(slot < cat->m->nr_slots);
	if (cat->m->now[slot].state == PMIO_FILE_NONE)
		return -ENOENT;
	*file = cat->m->now[slot];
	return 0;
}

int pmio_catalog_set(struct pmio_catalog *cat, uint32_t slot, const struct pmio_pool_file *file)
{
	assert(slot < cat->m->nr_slots && file->state != PMIO_FILE_NONE && file->path[0]);
	return change(cat->m, slot, file);
}

int pmio_catalog_clear(struct pmio_catalog *cat, uint32_t slot)
{
	struct pmio_pool_file none = { .state = PMIO_FILE_NONE };

	assert(slot < cat->m->nr_slots);
	return change(cat->m, slot, &none);
}
