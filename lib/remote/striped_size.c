/*
 * striped_size.c -- the size of a striped file: its metadata server has it, and growers may have a larger one
 *
 * A write that makes the file longer tells the metadata server before it returns.  A node whose writes to its own pool do
 * so repeatedly registers once as a grower; from then on queries of the size also ask that node.  The size is the largest
 * in any of these slots.
 */
#include <errno.h>

#include "remote/striped_impl.h"

#define GROWER_AFTER 2u      /* writes that told the metadata server of a larger size; if relayed: 1 */
#define SETTLE_TRIES 1000    /* truncations during one append */

/* the targets that can become growers: those of nodes, as memory nodes have no writers of their own; but not the metadata server */
static uint64_t all_growers(const struct striped_file *s)
{
	uint32_t nr = s->layout.nr - s->layout.nr_memory;

	return nr < 2 ? 0 : nr < PMIO_GROWERS_MAX ? (1ULL << nr) - 2 : PMIO_GROWERS_ALL & ~PMIO_GROWERS_KNOWN;
}

/* does this node hold the byte before end, so that the size in its own slot is at least that? */
static bool ends_here(struct striped_file *s, uint64_t end)
{
	uint32_t holder;

	return s->own != REMOTE_NOBODY && striped_holder_of(s, (end - 1) >> s->chunk_shift, 1, false, &holder) == 0 && holder == s->own;
}

/*
 * must the metadata server be told?  grower: out: the bit that registers this node, so that later writes need not tell
 * it; 0: none
 */
static bool must_tell(struct striped_file *s, uint64_t end, bool raised, uint64_t *grower)
{
	uint64_t mine = s->own < PMIO_GROWERS_MAX ? 1ULL << s->own & all_growers(s) : 0;

	*grower = 0;
	pthread_mutex_lock(&s->lock);
	raised |= end > s->size;
	pthread_mutex_unlock(&s->lock);
	if (!raised || !mine || !ends_here(s, end))
		return raised;
	pthread_mutex_lock(&s->lock);
	raised = !s->is_grower;
	if (raised && (++s->nr_told >= GROWER_AFTER || s->layout.relays))
		*grower = mine;
	pthread_mutex_unlock(&s->lock);
	return raised;
}

int striped_tell_size(struct striped_file *s, uint64_t end, bool raised)
{
	struct pmio_file *mds;
	uint64_t now = end, grower;
	int rc;

	if (!must_tell(s, end, raised, &grower))
		return 0;
	rc = striped_get_control(s, 0, &mds);
	if (rc == 0)
		rc = client_grow(mds, &now, grower);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&s->lock);
	s->size = now;
	s->is_grower |= grower != 0;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

/* is the size at the metadata server, and nowhere else? */
static bool is_settled(const struct striped_file *s, const struct client_growth *g)
{
	return (g->growers & PMIO_GROWERS_KNOWN) && !(g->growers & all_growers(s));
}

/* g: that of the metadata server's slot; its size is raised to the largest of all growers */
static int ask_growers(struct striped_file *s, struct client_growth *g)
{
	uint64_t growers = all_growers(s) & (g->growers & PMIO_GROWERS_KNOWN ? g->growers : UINT64_MAX);
	int rc = 0;

	for (uint32_t i = 1; growers >> i && rc == 0; i++) {
		struct pmio_file *target;
		off_t size = 0;

		if (!(growers >> i & 1))
			continue;
		rc = striped_get_control(s, i, &target);
		if (rc == 0)
			rc = pmio_size(target, &size);
		if ((uint64_t)size > g->size)
			g->size = (uint64_t)size;
	}
	return rc;
}

/*
 * Bring the size that growers have to the metadata server, before a call that changes it there.  If they make it larger
 * again at once, that is the same as if they had done so after that call.
 */
static int settle(struct striped_file *s, struct pmio_file *mds)
{
	struct client_growth g;
	uint64_t size;
	int rc;

	if (!all_growers(s))
		return 0;
	for (int tries = 0; tries < SETTLE_TRIES; tries++) {
		rc = client_growth(mds, &g);
		if (rc < 0 || is_settled(s, &g))
			return rc;
		size = g.size;
		rc = ask_growers(s, &g);
		if (rc == 0 && g.size > size)
			rc = client_raise(mds, g.size, g.cuts);
		if (rc != -EAGAIN)
			return rc;
	}
	return -EIO;
}

/* ---- querying and changing it ------------------------------------------------------------------ */

int striped_size(struct pmio_file *f, off_t *size)
{
	struct striped_file *s = striped_of(f);
	struct client_growth g;
	struct pmio_file *mds;
	int rc = striped_get_control(s, 0, &mds);

	if (rc == 0)
		rc = client_growth(mds, &g);
	if (rc == 0)
		rc = ask_growers(s, &g);
	if (rc == 0)
		*size = (off_t)g.size;
	return rc;
}

int striped_grow(struct pmio_file *f, uint64_t *size, uint64_t growers)
{
	struct pmio_file *mds;
	int rc = striped_get_control(striped_of(f), 0, &mds);

	return rc < 0 ? rc : client_grow(mds, size, growers);
}

int striped_reserve(struct pmio_file *f, uint64_t len, bool settled, uint64_t *at)
{
	struct striped_file *s = striped_of(f);
	struct pmio_file *mds;
	int rc = striped_get_control(s, 0, &mds);

	(void)settled;
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&s->lock);
	s->nr_told = 0; /* appends have to go to the metadata server anyway */
	pthread_mutex_unlock(&s->lock);
	rc = client_reserve(mds, len, all_growers(s) == 0, at);
	if (rc != -EAGAIN)
		return rc;
	rc = settle(s, mds);
	return rc < 0 ? rc : client_reserve(mds, len, true, at);
}

/*
 * The metadata server last: when it has the new size, no other target has bytes beyond it.  It has to know a larger size
 * before; otherwise it would not cut off data that other targets have drained to the file system.
 *
 * It uses the same sessions as this process's writes: a truncation whose answer was lost must not be carried out after
 * writes that follow it.
 */
int striped_truncate(struct pmio_file *f, uint64_t size)
{
	struct striped_file *s = striped_of(f);
	struct pmio_file *mds;
	int rc = striped_get_control(s, 0, &mds);

	if (rc == 0)
		rc = settle(s, mds);
	for (uint32_t i = s->layout.nr; i-- > 0 && rc == 0;) {
		struct pmio_file *target;

		rc = striped_get_target(s, i, &target);
		if (rc == 0)
			rc = pmio_truncate(target, (off_t)size);
	}
	pthread_mutex_lock(&s->lock);
	s->size = 0;
	pthread_mutex_unlock(&s->lock);
	return rc;
}
