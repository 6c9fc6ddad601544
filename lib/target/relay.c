/*
 * relay.c -- calls at other targets for the processes of this node
 *
 * Without this, each process of a node would need a session with the metadata server of a file that they have open
 * together, and with its claim servers; with many processes on each of many nodes these would have more sessions than
 * descriptors.  So the processes ask their own node's target, which is a client of the others like any process, and whose
 * memberships, liveness and reconnection are those of lib/remote, too.  The handles of a process that ends are closed here
 * at the end of its session; if this target ends, the others close the files that it had open, and the processes of its
 * node call the other targets directly.
 *
 * A file that several of them open is open at the other target once.  Its bytes, locks and truncations are not relayed: a
 * process's own sessions keep these in order.
 *
 * A session keeps the other target running.  So sessions that are not needed are ended: otherwise two targets would
 * keep each other running forever.  No other part of a target has sessions with other targets.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/clock.h"
#include "core/error.h"
#include "remote/remote.h"
#include "target/relay.h"

#define UNUSED_MS 1000 /* then the sessions end */

/*
 * Writes of some handles have made the file longer while the message about earlier ones was under way: one message carries
 * the largest size.  It begins after all of these writes, so none of them is lost if the file is truncated meanwhile
 */
struct round {
	uint64_t size, growers;
	unsigned users;		/* threads that wait for it */
	bool done;
	int rc;
};

/* a file that is open at another target */
struct relayed {
	struct relayed *prev, *next;
	/* the key: */
	uint8_t layout[REMOTE_LAYOUT_ID], target[16]; /* the layout session, and the other pool's uuid */
	uint32_t flags;
	/* under relays.lock: */
	struct pmio_file *file; /* NULL: it is being opened */
	unsigned users;		/* handles, and threads that wait for the open */
	bool failed;		/* the open has failed, with rc */
	int rc;
	bool discard;		/* a handle was closed with PMIO_CLOSE_DISCARD */
	uint64_t growers;	/* bits that were set at the other target */
	bool growing;		/* a message about a size is under way */
	struct round *round;	/* the next message; NULL: not needed yet */
};

struct relays {
	struct job job;		/* first; ends the sessions */
	const struct pmio_settings *settings;
	uint8_t own[16];	/* this pool's uuid */
	pthread_mutex_t lock;	/* of all below; not held during calls to targets */
	pthread_cond_t changed;
	struct relayed *files;
	unsigned nr_calls;	/* under way */
	bool ending;		/* the sessions are being ended */
	bool used;		/* there may be sessions */
	uint64_t used_ms;	/* when they were last used */
};

struct relays *relays_new(const struct pmio_settings *settings, const uint8_t own[16])
{
	struct relays *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->settings = settings;
	memcpy(r->own, own, sizeof(r->own));
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->changed, NULL);
	return r;
}

/* ---- sessions with other targets ---------------------------------------------------------------- */

/* lock held: from now on sessions are needed */
static void begin_call(struct relays *r)
{
	while (r->ending)
		pthread_cond_wait(&r->changed, &r->lock);
	r->nr_calls++;
	r->used = true;
}

/* lock held */
static void end_call(struct relays *r)
{
	r->nr_calls--;
	r->used_ms = pmio_now_ms();
}

static void end_sessions(struct job *job)
{
	struct relays *r = (struct relays *)job;

	remote_disconnect_all();
	pthread_mutex_lock(&r->lock);
	r->ending = false;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

void relays_look(struct relays *r, struct workers *w, uint64_t now)
{
	bool end;

	pthread_mutex_lock(&r->lock);
	end = r->used && !r->ending && !r->files && !r->nr_calls && now - r->used_ms >= UNUSED_MS;
	if (end) {
		r->ending = true;
		r->used = false;
	}
	pthread_mutex_unlock(&r->lock);
	if (!end)
		return;
	r->job = (struct job){ .run = end_sessions };
	workers_submit(w, &r->job);
}

/* ---- messages ------------------------------------------------------------------------------------ */

static bool ends(const char *text, size_t room)
{
	return memchr(text, '\0', room) != NULL;
}

/* is it a message for another target? */
static bool is_valid(const struct relays *r, const struct remote_relay_msg *m, size_t len, enum remote_op op)
{
	const struct remote_hdr_msg *h = (const struct remote_hdr_msg *)m->msg;

	return len >= sizeof(*m) + sizeof(*h) && h->version == REMOTE_VERSION && h->op == op && !h->handle &&
	       m->to.fabric.addr_len <= PMIO_FABRIC_ADDR_MAX && ends(m->to.fabric.provider, sizeof(m->to.fabric.provider)) &&
	       ends(m->to.host, sizeof(m->to.host)) && memcmp(m->to.uuid, r->own, sizeof(r->own)) != 0;
}

/* it must not begin a layout session, which would belong to this process */
static bool is_claim(const struct relays *r, const struct remote_relay_msg *m, size_t len)
{
	return is_valid(r, m, len, REMOTE_CLAIM) && len == sizeof(*m) + sizeof(struct remote_claim_msg) &&
	       !((const struct remote_claim_msg *)m->msg)->create;
}

static bool is_pointer(const struct relays *r, const struct remote_relay_msg *m, size_t len)
{
	return is_valid(r, m, len, REMOTE_POINTER) && len == sizeof(*m) + sizeof(struct remote_pointer_msg);
}

int relays_pass_on(struct relays *r, struct remote_relay_msg *m, size_t len, void *answer, size_t room, size_t *answer_len)
{
	bool news = is_valid(r, m, len, REMOTE_HELLO);
	int rc;

	if (!news && !is_claim(r, m, len) && !is_pointer(r, m, len))
		return PMIO_EPROTO;
	pthread_mutex_lock(&r->lock);
	begin_call(r);
	pthread_mutex_unlock(&r->lock);
	rc = news ? remote_note_endpoint(r->settings, &m->to)
		  : remote_pass_on(r->settings, &m->to, m->msg, len - sizeof(*m), answer, room, answer_len);
	pthread_mutex_lock(&r->lock);
	end_call(r);
	pthread_mutex_unlock(&r->lock);
	return rc;
}

/* ---- files --------------------------------------------------------------------------------------- */

/* lock held */
static struct relayed *find(struct relays *r, const struct remote_relay_msg *m, uint32_t flags)
{
	struct relayed *f;

	DL_FOREACH(r->files, f) {
		if (f->flags == flags && !f->failed && memcmp(f->layout, m->layout, sizeof(f->layout)) == 0 &&
		    memcmp(f->target, m->to.uuid, sizeof(f->target)) == 0)
			break;
	}
	return f;
}

/* lock held: from now on it is not found any more */
static void forget(struct relays *r, struct relayed *f)
{
	DL_DELETE(r->files, f);
	free(f);
}

/* lock held, which is released meanwhile */
static int open_first(struct relays *r, struct relayed *f, const struct remote_relay_msg *m)
{
	const struct remote_open_msg *o = (const struct remote_open_msg *)m->msg;
	struct client_open how = { .flags = f->flags, .mode = o->mode & 07777, .quiet = true };
	struct pmio_file *file = NULL;
	int rc;

	begin_call(r);
	pthread_mutex_unlock(&r->lock);
	rc = remote_open(r->settings, &m->to, o->path, &how, &file);
	pthread_mutex_lock(&r->lock);
	end_call(r);
	f->file = file;
	f->failed = rc < 0;
	f->rc = rc;
	pthread_cond_broadcast(&r->changed);
	return rc;
}

int relays_open(struct relays *r, const struct remote_relay_msg *m, size_t len, struct relayed **out)
{
	const struct remote_open_msg *o = (const struct remote_open_msg *)m->msg;
	size_t room = len - sizeof(*m) - sizeof(*o);
	struct relayed *f;
	int rc;

	if (len <= sizeof(*m) + sizeof(*o) || !is_valid(r, m, len, REMOTE_OPEN) || (o->flags & ~PMIO_OPEN_ALL) ||
	    (o->flags & (PMIO_OPEN_CREATE | PMIO_OPEN_EXCL)) || room > PATH_MAX || *o->path != '/' || memchr(o->path, '\0', room) != o->path + room - 1)
		return PMIO_EPROTO;
	pthread_mutex_lock(&r->lock);
	f = find(r, m, o->flags);
	if (f) {
		f->users++;
		while (!f->file && !f->failed)
			pthread_cond_wait(&r->changed, &r->lock);
		rc = f->rc;
		if (rc == 0) { /* the OPEN was not passed on, so its endpoint descriptor, which may be newer, is recorded here */
			pthread_mutex_unlock(&r->lock);
			remote_note_endpoint(r->settings, &m->to);
			pthread_mutex_lock(&r->lock);
		}
	} else {
		f = calloc(1, sizeof(*f));
		rc = f ? 0 : -ENOMEM;
		if (f) {
			memcpy(f->layout, m->layout, sizeof(f->layout));
			memcpy(f->target, m->to.uuid, sizeof(f->target));
			f->flags = o->flags;
			f->users = 1;
			DL_APPEND(r->files, f);
			rc = open_first(r, f, m);
		}
	}
	if (rc < 0 && f && --f->users == 0)
		forget(r, f);
	pthread_mutex_unlock(&r->lock);
	*out = rc == 0 ? f : NULL;
	return rc;
}

struct pmio_file *relays_file(struct relayed *f)
{
	return f->file; /* does not change while there is a handle */
}

int relays_close(struct relays *r, struct relayed *f, uint32_t flags)
{
	struct pmio_file *file = f->file;
	bool discard;
	int rc;

	pthread_mutex_lock(&r->lock);
	f->discard |= (flags & PMIO_CLOSE_DISCARD) != 0;
	discard = f->discard;
	if (--f->users > 0) {
		pthread_mutex_unlock(&r->lock);
		return 0;
	}
	forget(r, f);
	begin_call(r);
	pthread_mutex_unlock(&r->lock);
	rc = discard ? pmio_close_discard(&file) : pmio_close(&file);
	pthread_mutex_lock(&r->lock);
	end_call(r);
	pthread_mutex_unlock(&r->lock);
	return rc;
}

/* lock held, which is released meanwhile; from now on further sizes go into the next round */
static void run_round(struct relays *r, struct relayed *f, struct round *round)
{
	int rc;

	f->round = NULL;
	f->growing = true;
	pthread_mutex_unlock(&r->lock);
	rc = client_grow(f->file, &round->size, round->growers);
	pthread_mutex_lock(&r->lock);
	if (rc == 0)
		f->growers |= round->growers;
	f->growing = false;
	round->rc = rc;
	round->done = true;
	pthread_cond_broadcast(&r->changed);
}

int relays_grow(struct relays *r, struct relayed *f, uint64_t *size, uint64_t growers)
{
	struct round *round;
	int rc = 0;

	pthread_mutex_lock(&r->lock);
	/* registered already: queries of the size include this node */
	if (growers && (f->growers & growers) == growers)
		goto out;
	round = f->round ? f->round : calloc(1, sizeof(*round));
	rc = -ENOMEM;
	if (!round)
		goto out;
	f->round = round;
	round->users++;
	round->growers |= growers;
	if (round->size < *size)
		round->size = *size;
	while (!round->done) {
		if (f->growing)
			pthread_cond_wait(&r->changed, &r->lock);
		else
			run_round(r, f, round);
	}
	*size = round->size;
	rc = round->rc;
	if (--round->users == 0)
		free(round);
out:
	pthread_mutex_unlock(&r->lock);
	return rc;
}
