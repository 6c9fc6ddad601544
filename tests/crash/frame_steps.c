#include "frame_steps.h"

const unsigned blocks[2] = {3, 200};

void mark(struct test *t, unsigned i)
{
	t->mark[i] = pmio_pm_record_count(t->pm);
}

bool past(const struct test *t, size_t cut, unsigned i)
{
	return cut >= t->mark[i];
}

/* ---- the functions of frame.h ------------------------------------------------------ */

void by(struct test *t, enum who who)
{
	pmio_pm_record_thread(t->pm, who);
}

struct pmio_mask used(const struct test *t)
{
	struct pmio_mask m = {{0}};

	for (unsigned i = 0; i < 2; i++)
		if (t->use & 1u << i)
			pmio_mask_set_range(&m, blocks[i], blocks[i]);
	return m;
}

uint8_t *bytes(const struct pmio_view *v, unsigned b)
{
	return pmio_view_frame(v, FRAME) + b * BLOCK;
}

void put_one(struct test *t, unsigned b, char what)
{
	uint8_t buf[BLOCK];

	memset(buf, what, sizeof(buf));
	pmio_pm_copy(t->v->pm, bytes(t->v, b), buf, sizeof(buf));
}

void put(struct test *t, char what)
{
	for (unsigned i = 0; i < 2; i++)
		if (t->use & 1u << i)
			put_one(t, blocks[i], what);
}

void fence(struct test *t)
{
	pmio_pm_fence(t->pm);
}

int write_begin(struct test *t)
{
	struct pmio_mask m = used(t);

	by(t, CLIENT);
	return pmio_frame_write_begin(t->v, FRAME, &m);
}

void write_end(struct test *t)
{
	struct pmio_mask m = used(t);

	by(t, CLIENT);
	pmio_frame_write_end(t->v, FRAME, &m);
}

void drain_begin(struct test *t)
{
	struct pmio_mask m = used(t), taken;

	by(t, AGENT);
	pmio_frame_drain_begin(t->v, FRAME, &taken);
	assert_memory_equal(&taken, &m, sizeof(m));
}

void drain_end(struct test *t, bool ok)
{
	struct pmio_mask m = used(t);

	by(t, AGENT);
	pmio_frame_drain_end(t->v, FRAME, &m, ok);
}

void fill_begin(struct test *t)
{
	struct pmio_mask m = used(t), todo, busy;

	by(t, AGENT);
	pmio_frame_fill_begin(t->v, FRAME, &m, &todo, &busy);
	assert_memory_equal(&todo, &m, sizeof(m));
}

void fill_end(struct test *t)
{
	struct pmio_mask m = used(t);

	by(t, AGENT);
	pmio_frame_fill_end(t->v, FRAME, &m, true);
}

/* ---- looking ------------------------------------------------------------------ */

bool is_set(const uint64_t *map, unsigned b)
{
	return map[b / 64] >> b % 64 & 1;
}

bool valid(const struct test *t, unsigned b)
{
	return is_set(t->re->headers[FRAME].valid, b);
}

bool dirty(const struct test *t, unsigned b)
{
	return is_set(t->re->headers[FRAME].dirty, b);
}

/* every word of the block is one or the other */
bool holds(const struct test *t, unsigned b, char one_of, char or_of)
{
	const uint8_t *p = bytes(t->re, b);

	for (unsigned w = 0; w < BLOCK; w += 8) {
		bool first = true, second = true;

		for (unsigned i = w; i < w + 8; i++) {
			first = first && p[i] == one_of;
			second = second && p[i] == or_of;
		}
		if (!first && !second)
			return false;
	}
	return true;
}

/* dirty with these bytes */
bool kept(const struct test *t, unsigned b, char what)
{
	return valid(t, b) && dirty(t, b) && holds(t, b, what, what);
}

bool empty(const struct test *t, unsigned b)
{
	return !valid(t, b) && !dirty(t, b);
}
