/*
 * target_session.c -- a target's known addresses, its authenticated sessions, and the registrations of its memory
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "fabric/target_session.h"
#include "fabric/target_state.h"

#define SESSIONS_MAX 65536

/* ---- addresses and sessions --------------------------------------------------------- */

struct addr *fabric_target_get_addr(struct pmio_fabric_target *t, const uint8_t *bytes, size_t len)
{
	uint8_t key[PMIO_FABRIC_ADDR_MAX] = { 0 };
	struct addr *a;

	if (len > sizeof(key))
		return NULL;
	memcpy(key, bytes, len);
	HASH_FIND(hh, t->addrs, key, sizeof(key), a);
	if (a) {
		a->refs++;
		return a;
	}
	a = calloc(1, sizeof(*a));
	if (!a || fabric_ep_add_addr(&t->ep, bytes, len, &a->fi) < 0) {
		free(a);
		return NULL;
	}
	memcpy(a->bytes, key, sizeof(key));
	a->refs = 1;
	HASH_ADD(hh, t->addrs, bytes, sizeof(a->bytes), a);
	return a;
}

void fabric_target_put_addr(struct pmio_fabric_target *t, struct addr *a)
{
	if (!a || --a->refs)
		return;
	fi_av_remove(t->ep.av, &a->fi, 1, 0);
	HASH_DEL(t->addrs, a);
	free(a);
}

/* an address without its port */
static void ip_of(const void *sockaddr, uint8_t ip[16])
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} at;

	memcpy(&at, sockaddr, sizeof(at));
	memset(ip, 0, 16);
	if (at.sa.sa_family == AF_INET)
		memcpy(ip, &at.in.sin_addr, sizeof(at.in.sin_addr));
	else if (at.sa.sa_family == AF_INET6)
		memcpy(ip, &at.in6.sin6_addr, sizeof(at.in6.sin6_addr));
}

static struct host *find_host(struct pmio_fabric_target *t, const void *sockaddr)
{
	uint8_t ip[16];
	struct host *h;

	ip_of(sockaddr, ip);
	HASH_FIND(hh, t->hosts, ip, sizeof(ip), h);
	return h;
}

static void add_to_host(struct pmio_fabric_target *t, struct addr *a)
{
	struct host *h = find_host(t, a->bytes);

	if (!h) {
		h = calloc(1, sizeof(*h));
		if (!h)
			return; /* then the initiator is a stranger */
		ip_of(a->bytes, h->ip);
		HASH_ADD(hh, t->hosts, ip, sizeof(h->ip), h);
	}
	h->nr_addrs++;
	a->host = h;
}

static void leave_host(struct pmio_fabric_target *t, struct addr *a)
{
	struct host *h = a->host;

	a->host = NULL;
	if (!h || --h->nr_addrs)
		return;
	HASH_DEL(t->hosts, h);
	free(h);
}

bool fabric_target_is_known(void *arg, const struct sockaddr *peer)
{
	return find_host(arg, peer) != NULL;
}

void fabric_target_drop_region(struct pmio_fabric_target *t, struct region *r)
{
	if (r->nr_sessions || r == t->regions)
		return;
	LL_DELETE(t->regions, r);
	fi_close(&r->mr->fid);
	free(r);
}

void fabric_target_forget_ended(struct pmio_fabric_target *t)
{
	uint64_t now = fabric_now_ms();

	while (t->ended && t->ended->until_ms < now) {
		struct fabric_session *s = t->ended;

		DL_DELETE(t->ended, s);
		HASH_DEL(t->sessions, s);
		free(s);
	}
}

/* an authenticated session; NULL also for one that has ended */
struct fabric_session *fabric_target_find_session(struct pmio_fabric_target *t, uint64_t id)
{
	struct fabric_session *s;

	HASH_FIND(hh, t->sessions, &id, sizeof(id), s);
	return s && s->addr ? s : NULL;
}

/* it is remembered until its proof expires, so that the proof cannot be replayed */
void fabric_target_end_session(struct pmio_fabric_target *t, struct fabric_session *s)
{
	if (--s->addr->nr_sessions == 0)
		leave_host(t, s->addr);
	fabric_target_put_addr(t, s->addr);
	s->region->nr_sessions--;
	fabric_target_drop_region(t, s->region);
	s->addr = NULL;
	s->region = NULL;
	DL_APPEND(t->ended, s);
	atomic_fetch_sub(&t->nr_proven, 1);
	fabric_target_forget_ended(t);
}

/* the proof was valid: make the session */
struct fabric_session *fabric_target_begin_session(struct pmio_fabric_target *t, const struct fabric_proof_msg *m)
{
	struct fabric_session *s;

	fabric_target_forget_ended(t);
	if (atomic_load(&t->nr_proven) >= SESSIONS_MAX) {
		if (!t->warned_full)
			pmio_err("fabric: more than %u sessions: refusing others", SESSIONS_MAX);
		t->warned_full = true;
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (s)
		s->addr = fabric_target_get_addr(t, m->addr, m->addr_len);
	if (!s || !s->addr) {
		free(s);
		return NULL;
	}
	s->id = m->hdr.session;
	s->until_ms = m->time + PROOF_MS(t);
	s->region = t->regions;
	s->region->nr_sessions++;
	if (s->addr->nr_sessions++ == 0)
		add_to_host(t, s->addr);
	HASH_ADD(hh, t->sessions, id, sizeof(s->id), s);
	atomic_fetch_add(&t->nr_proven, 1);
	return s;
}
