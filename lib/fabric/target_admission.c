/*
 * target_admission.c -- messages of initiators to a target: authentication, refusals, and calls of authenticated
 * ones
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "fabric/target_admission.h"
#include "fabric/target_send.h"
#include "fabric/target_session.h"
#include "fabric/target_state.h"

/* ---- messages from initiators ------------------------------------------------------------------------ */

/* a probe, "are you still the same target?": the epoch answers it, and the status tells whether the session is known */
static void take_probe(struct pmio_fabric_target *t, const struct fabric_hello_msg *m, fi_addr_t from)
{
	struct fabric_session *s = fabric_target_find_session(t, m->hdr.session);
	struct fabric_challenge_msg *c;
	struct out *o = fabric_target_new_out(m->hdr.session, FABRIC_CHALLENGE, m->hdr.number, sizeof(*c));

	if (!o)
		return;
	c = (struct fabric_challenge_msg *)&o->hdr;
	c->epoch = t->epoch;
	c->hdr.status = s ? 0 : -ENOTCONN;
	if (s)
		fabric_target_send_out(t, o);
	else
		fabric_target_send_to_stranger(t, o, fabric_target_get_addr(t, m->addr, m->addr_len), from);
}

static void take_hello(struct pmio_fabric_target *t, const struct fabric_hello_msg *m, fi_addr_t from)
{
	struct fabric_ticket ticket = { .time = fabric_now_ms(), .epoch = t->epoch, .addr_len = m->addr_len };
	struct fabric_challenge_msg *c;
	struct out *o = fabric_target_new_out(0, FABRIC_CHALLENGE, m->hdr.number, sizeof(*c));

	if (!o)
		return;
	memcpy(ticket.initiator_nonce, m->nonce, NONCE_SIZE);
	memcpy(ticket.addr, m->addr, m->addr_len);
	c = (struct fabric_challenge_msg *)&o->hdr;
	fabric_make_challenge(t->secret, &ticket, c->nonce, &c->hdr.session);
	c->epoch = t->epoch;
	c->time = ticket.time;
	c->munge = t->munge.policy;
	fabric_target_send_to_stranger(t, o, fabric_target_get_addr(t, m->addr, m->addr_len), from);
}

/* status: -EACCES: it does not know the key; -EPERM: it does not belong to this user, because of why */
static void refuse(struct pmio_fabric_target *t, const struct fabric_proof_msg *m, struct out *o, int status,
		   const char *why)
{
	uint64_t nr = pmio_note(status == -EACCES ? &t->no_key : &t->no_user, 1);
	struct addr *a = fabric_target_get_addr(t, m->addr, m->addr_len);

	if (nr && status == -EACCES)
		pmio_warn("fabric: refused %llu peers without the key", (unsigned long long)nr);
	else if (nr)
		pmio_warn("fabric: refused %llu peers, the last one because of munge: %s", (unsigned long long)nr, why);
	atomic_fetch_add(&t->nr_no_key, 1);
	o->hdr.status = status;
	fabric_target_send_to_stranger(t, o, a, a ? a->fi : FI_ADDR_NOTAVAIL); /* the challenge reached that address */
}

/* XXX this thread waits for the daemon, for about a millisecond */
static bool is_our_user(struct pmio_fabric_target *t, const struct fabric_proof_msg *m, const char **why)
{
	int rc = -ENODATA;

	*why = "no credential";
	if (t->munge.policy == MUNGE_OFF)
		return true;
	if (m->credential_len)
		rc = fabric_munge_check(&t->munge, m->mac, m->credential, m->credential_len, why);
	return rc == 0 || (rc == -ENODATA && t->munge.policy == MUNGE_AUTO);
}

/* is it the answer to a recent challenge of this target?  Then fill in the transcript */
static bool fits(struct pmio_fabric_target *t, const struct fabric_proof_msg *m, struct fabric_transcript *transcript)
{
	struct fabric_ticket ticket = { .time = m->time, .epoch = t->epoch, .addr_len = m->addr_len };
	uint64_t now = fabric_now_ms();

	if (m->time > now || now - m->time > PROOF_MS(t))
		return false;
	memcpy(ticket.initiator_nonce, m->nonce, NONCE_SIZE);
	memcpy(ticket.addr, m->addr, m->addr_len);
	memset(transcript, 0, sizeof(*transcript));
	fabric_make_challenge(t->secret, &ticket, transcript->target_nonce, &transcript->session);
	memcpy(transcript->initiator_nonce, m->nonce, NONCE_SIZE);
	memcpy(transcript->addr, m->addr, m->addr_len);
	transcript->epoch = t->epoch;
	transcript->munge = t->munge.policy | (m->credential_len ? SENT_CREDENTIAL : 0);
	return transcript->session == m->hdr.session;
}

/* NULL: there is no session; the answer has the reason */
static struct fabric_session *check_proof(struct pmio_fabric_target *t, const struct fabric_proof_msg *m,
				   const struct fabric_transcript *transcript, struct out *o)
{
	struct fabric_session *s = NULL;
	const char *why;

	if (!fabric_mac_is_good(t->key, FABRIC_PROOF, transcript, m->mac))
		refuse(t, m, o, -EACCES, NULL);
	else if (!is_our_user(t, m, &why))
		refuse(t, m, o, -EPERM, why);
	else if ((s = fabric_target_begin_session(t, m)) == NULL)
		free(o);
	return s;
}

static void take_proof(struct pmio_fabric_target *t, const struct fabric_proof_msg *m)
{
	struct fabric_transcript transcript;
	struct fabric_welcome_msg *w;
	struct fabric_session *s;
	struct out *o;

	if (!fits(t, m, &transcript))
		return;
	HASH_FIND(hh, t->sessions, &m->hdr.session, sizeof(m->hdr.session), s);
	if (s)
		return; /* a repetition */
	o = fabric_target_new_out(m->hdr.session, FABRIC_WELCOME, m->hdr.number, sizeof(*w));
	if (!o)
		return;
	s = check_proof(t, m, &transcript, o);
	if (!s)
		return;
	w = (struct fabric_welcome_msg *)&o->hdr;
	w->key = transcript.key = s->region->key;
	w->base = transcript.base = t->base;
	w->len = transcript.len = t->len;
	fabric_mac(t->key, FABRIC_WELCOME, &transcript, w->mac);
	fabric_target_send_out(t, o);
}

static void take_call(struct pmio_fabric_target *t, const struct fabric_hdr_msg *m)
{
	struct pmio_fabric_call *call;
	struct fabric_session *s;

	fabric_target_take_endings(t);
	s = fabric_target_find_session(t, m->session);
	if (!s)
		return;
	call = malloc(sizeof(*call));
	if (!call)
		return; /* as if the message had been lost */
	call->target = t;
	call->session = s->id;
	call->number = m->number;
	pthread_mutex_lock(&t->lock);
	t->refs++;
	pthread_mutex_unlock(&t->lock);
	t->handler(call, m + 1, m->len, t->arg);
	fabric_target_drop_room(t);
}

static void take_bye(struct pmio_fabric_target *t, const struct fabric_hdr_msg *m)
{
	struct fabric_session *s = fabric_target_find_session(t, m->session);

	if (s)
		fabric_target_end_session(t, s);
}

/* from: FI_ADDR_NOTAVAIL: not known */
void fabric_target_take(struct pmio_fabric_target *t, const void *msg, size_t len, fi_addr_t from)
{
	const struct fabric_hdr_msg *h = msg;

	if (!fabric_msg_is_good(msg, len))
		return;
	switch (h->type) {
	case FABRIC_HELLO:
		if (h->session)
			take_probe(t, msg, from);
		else
			take_hello(t, msg, from);
		break;
	case FABRIC_PROOF:
		take_proof(t, msg);
		break;
	case FABRIC_CALL:
		take_call(t, msg);
		break;
	case FABRIC_BYE:
		take_bye(t, msg);
		break;
	}
}
