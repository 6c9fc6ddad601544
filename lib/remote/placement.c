/*
 * placement.c -- which target of a file holds a chunk (setting `placement`)
 *
 * A policy is chosen when the layout session begins, and is in the layout file.  The holder follows from the chunk's number (striped), or is asked for at the chunk's claim server (local: the node
 * that touches it first; claims).  An answer is final while the file is in use, so each is asked for once.
 */
#include <errno.h>
#include <stdlib.h>

#include "client/admin.h"
#include "remote/striped_impl.h"

#define TURNS_MAX 4	 /* windows that are asked for at a time, to find one that no node has */
#define CLAIM_WINDOW 16u /* chunks that one target answers for in a row */

/* ---- the policy ------------------------------------------------------------------------- */

/* otherwise the chunks' bounds would differ */
static bool chunks_are_alike(const struct remote_layout *layout)
{
	for (uint32_t i = 1; i < layout->nr; i++) {
		if (layout->endpoints[i].chunk_size != layout->endpoints[0].chunk_size)
			return false;
	}
	return true;
}

/* pieces on several nodes would be drained at different times; a held file has to stay together */
enum pmio_placement placement_choose(const struct pmio_settings *s, const struct remote_layout *layout)
{
	enum pmio_placement p = (enum pmio_placement)s->num[PMIO_SET_PLACEMENT];

	if (!chunks_are_alike(layout) || s->num[PMIO_SET_DRAIN] != PMIO_DRAIN_CLOSE)
		return PMIO_PLACE_SINGLE;
	return p == PMIO_PLACE_AUTO ? PMIO_PLACE_LOCAL : p;
}

/* as placement_choose(); but with drain=async or aggregate each memory node drains its own pieces, later */
enum pmio_placement placement_choose_on_memory(const struct pmio_settings *s, const struct remote_layout *layout)
{
	if (layout->nr == 1 || !chunks_are_alike(layout) || s->num[PMIO_SET_DRAIN] == PMIO_DRAIN_HOLD)
		return PMIO_PLACE_SINGLE;
	return PMIO_PLACE_STRIPED;
}

bool remote_placement_has_claims(const struct remote_layout *layout)
{
	return layout->placement == PMIO_PLACE_LOCAL;
}

/* ---- claims ----------------------------------------------------------------------------- */

/* lock held, as for wanted_ahead() */
static int add_claim(struct striped_file *s, uint64_t chunk, uint32_t holder)
{
	struct claimed *c = pmio_u64map_get(&s->claims, sizeof(*c), chunk);

	if (!c)
		return -ENOMEM;
	c->holder = holder;
	return 0;
}

/* grows while requests move forward: the last answer covered up to CLAIM_WINDOW chunks after next_write */
static uint32_t wanted_ahead(struct striped_file *s, uint64_t chunk, uint64_t needed)
{
	bool forward = chunk >= s->next_write && chunk - s->next_write <= CLAIM_WINDOW;

	s->ahead = !forward ? 0 : s->ahead ? s->ahead * 2 : 1;
	if (s->ahead > CLAIM_WINDOW)
		s->ahead = CLAIM_WINDOW;
	s->next_write = chunk + needed;
	return s->ahead;
}

/* less than one frame in 16 is free: untouched chunks go to a memory node */
static bool pool_is_full(struct striped_file *s)
{
	struct pmio_pool_stat st;

	return s->pm && pmio_stat_pool(s->pm, &st) == 0 && st.nr_frames_free <= st.nr_frames / 16;
}

/* the target that is to hold untouched chunks; server: the claim server, which is asked */
static uint32_t wanted_holder(struct striped_file *s, uint64_t chunk, uint32_t server)
{
	uint32_t nr_nodes = s->layout.nr - s->layout.nr_memory;

	if (s->layout.nr_memory && (s->own >= nr_nodes || pool_is_full(s)))
		return nr_nodes + (uint32_t)(chunk / CLAIM_WINDOW % s->layout.nr_memory);
	return s->own == REMOTE_NOBODY ? server : s->own;
}

/* record the target's answer for the chunks from the first one on; lock held */
static int add_answer(struct striped_file *s, const struct remote_claim_msg *m, const struct remote_claim_answer_msg *a)
{
	int rc = 0;

	for (uint32_t i = 0; i < m->nr && rc == 0; i++) {
		if (a->holder[i] == REMOTE_NOBODY)
			continue;
		if (a->holder[i] >= s->layout.nr)
			rc = PMIO_EPROTO;
		else
			rc = add_claim(s, m->first + i, a->holder[i]);
	}
	return rc;
}

/*
 * needed: number of chunks of the request from this one on.  Two threads may ask for the same chunk: they get the same
 * answer
 */
static int ask_holder(struct striped_file *s, uint64_t chunk, uint64_t needed, uint64_t wanted, uint32_t *holder)
{
	uint32_t server = (uint32_t)(chunk / CLAIM_WINDOW % s->layout.nr);
	struct remote_claim_answer_msg a;
	struct remote_claim_msg m = {
		.first = chunk, .nr = CLAIM_WINDOW - (uint32_t)(chunk % CLAIM_WINDOW),
		.holder = wanted_holder(s, chunk, server),
	};
	int rc;

	wanted += needed;
	memcpy(m.layout, s->layout.id, sizeof(m.layout));
	m.wanted = wanted < m.nr ? (uint32_t)wanted : m.nr;
	rc = striped_ask(s, server, &m, sizeof(m), REMOTE_CLAIM, &a, sizeof(a));
	if (rc == -ENOENT) {
		pmio_err("%s: node %s was restarted and no longer knows which nodes hold the data", s->f.path,
			 s->layout.endpoints[server].host);
		rc = -EIO;
	}
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&s->lock);
	rc = add_answer(s, &m, &a);
	pthread_mutex_unlock(&s->lock);
	*holder = a.holder[0];
	return rc < 0 ? rc : a.holder[0] == REMOTE_NOBODY ? PMIO_EPROTO : 0;
}

static bool find_claim(struct striped_file *s, uint64_t chunk, uint32_t *holder)
{
	struct claimed *c;

	pthread_mutex_lock(&s->lock);
	c = pmio_u64map_find(&s->claims, sizeof(*c), chunk);
	if (c)
		*holder = c->holder;
	pthread_mutex_unlock(&s->lock);
	return c != NULL;
}

/*
 * The chunk of a request with gaps belongs to another node: other nodes probably write the gaps.  The node that claims
 * a chunk first has its own data in its own pool, so it would be faster than the others from then on, and would claim
 * all further chunks as well: one node would get the whole file, and its ranks would wait for the others.  So claim one
 * of the next windows as a whole.  Their holders would have to be asked for anyway.
 */
static void take_turn(struct striped_file *s, uint64_t chunk)
{
	uint64_t first = chunk / CLAIM_WINDOW * CLAIM_WINDOW;
	uint32_t holder;
	int rc = 0; /* errors are not returned: a request that uses those chunks will report them */

	for (unsigned i = 0; i < TURNS_MAX && rc == 0; i++) {
		first += CLAIM_WINDOW;
		if (!find_claim(s, first, &holder))
			rc = ask_holder(s, first, CLAIM_WINDOW, 0, &holder);
		if (rc == 0 && holder == s->own)
			break;
	}
}

int striped_holder_of(struct striped_file *s, uint64_t chunk, uint64_t needed, bool gaps, uint32_t *holder)
{
	int rc;

	struct claimed *c;
	uint64_t ahead = 0;
	bool known;

	if (!remote_placement_has_claims(&s->layout)) {
		*holder = (uint32_t)(chunk % s->layout.nr);
		return 0;
	}
	pthread_mutex_lock(&s->lock);
	c = pmio_u64map_find(&s->claims, sizeof(*c), chunk);
	known = c != NULL;
	if (known)
		*holder = c->holder;
	else
		ahead = wanted_ahead(s, chunk, needed);
	pthread_mutex_unlock(&s->lock);
	rc = known ? 0 : ask_holder(s, chunk, needed, ahead, holder);
	if (rc == 0 && !known && gaps && s->own != REMOTE_NOBODY && *holder != s->own)
		take_turn(s, chunk);
	return rc;
}
