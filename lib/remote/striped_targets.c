/*
 * striped_targets.c -- the targets of a striped file: the file is opened at each when it is first needed there
 *
 * Bytes go directly to the target that holds them, and so do truncations and locks, which must not overtake them, or be
 * overtaken.  If several processes of this node have the file, other calls (sizes, claims, shared pointers) go through
 * this node's target, so that there is one session for each node, and not for each process, with the metadata server and
 * the claim servers.
 */
#include <errno.h>
#include <string.h>

#include "core/backoff.h"
#include "remote/striped_impl.h"

#define BUSY_WAIT_MS 20000
#define STRIPED_ASK_MAX 64 /* bytes of a message */
_Static_assert(sizeof(struct remote_claim_msg) <= STRIPED_ASK_MAX && sizeof(struct remote_pointer_msg) <= STRIPED_ASK_MAX, "what is asked");

bool striped_is_shared(const struct striped_file *s)
{
	return s->layout.nr > 1;
}

/*
 * -EBUSY: a process has it open as a file of that node alone, perhaps only until it notices the processes of other
 * nodes
 */
static int try_target(struct striped_file *s, uint32_t i, enum striped_use use, const struct client_open *how, struct pmio_file **out)
{
	struct pmio_backoff b = PMIO_BACKOFF(10, BUSY_WAIT_MS, BUSY_WAIT_MS);
	int rc;

	do {
		if (i == s->own)
			rc = client_open(s->pm, s->f.path, how, out);
		else if (use == STRIPED_CONTROL)
			rc = remote_open_relayed(s->settings, &s->layout, s->own, i, s->f.path, how, out);
		else
			rc = remote_open(s->settings, &s->layout.endpoints[i], s->f.path, how, out);
	} while (rc == -EBUSY && pmio_backoff_sleep(&b));
	return rc;
}

static int open_target(struct striped_file *s, uint32_t i, enum striped_use use, struct pmio_file **out)
{
	struct client_open how = { .flags = s->f.flags, .quiet = true };
	int rc;

	if (i == s->own && s->fd >= 0) {
		how.by_fd = true;
		how.fd = s->fd;
	}
	if (striped_is_shared(s))
		how.flags |= PMIO_OPEN_SHARED | (i ? 0 : PMIO_OPEN_MDS | (s->layout.began ? PMIO_OPEN_BEGINS : 0));
	rc = try_target(s, i, use, &how, out);
	if (rc == 0 && s->f.ino && (*out)->ino != s->f.ino) {
		pmio_err("open %s: node %s sees another file under this path", s->f.path, s->layout.endpoints[i].host);
		pmio_close(out);
		rc = -ESTALE;
	}
	if (rc < 0)
		pmio_err("open %s at node %s: %s", s->f.path, s->layout.endpoints[i].host, pmio_strerror(rc));
	return rc;
}

bool striped_is_lost(struct striped_file *s)
{
	struct node *n = s->joined && node_forgot_any() ? node_get(s->settings, &s->layout.endpoints[0]) : NULL;

	return n && !node_is_member(n, s->layout.number);
}

/* are calls to that target that move no data relayed by this node's target? */
static bool is_relayed(const struct striped_file *s, uint32_t i)
{
	return s->layout.relays && s->own != REMOTE_NOBODY && i != s->own;
}

/* lock held */
static struct pmio_file *opened(const struct striped_target *t, enum striped_use use)
{
	return t->file[use] ? t->file[use] : use == STRIPED_CONTROL ? t->file[STRIPED_DATA] : NULL;
}

static int get_target(struct striped_file *s, uint32_t i, enum striped_use use, struct pmio_file **out)
{
	struct striped_target *t = &s->targets[i];
	struct pmio_file *f;
	int rc;

	*out = NULL;
	if (striped_is_lost(s))
		return -EIO;
	pthread_mutex_lock(&s->lock);
	while (t->opening[use])
		pthread_cond_wait(&s->opened, &s->lock);
	*out = opened(t, use);
	t->opening[use] = !*out;
	pthread_mutex_unlock(&s->lock);
	if (*out)
		return 0;
	rc = open_target(s, i, use, &f);
	pthread_mutex_lock(&s->lock);
	t->opening[use] = false;
	*out = t->file[use] = rc == 0 ? f : NULL;
	pthread_cond_broadcast(&s->opened);
	pthread_mutex_unlock(&s->lock);
	return rc;
}

int striped_get_target(struct striped_file *s, uint32_t i, struct pmio_file **out)
{
	return get_target(s, i, STRIPED_DATA, out);
}

int striped_get_control(struct striped_file *s, uint32_t i, struct pmio_file **out)
{
	return get_target(s, i, is_relayed(s, i) ? STRIPED_CONTROL : STRIPED_DATA, out);
}

struct pmio_file *striped_opened(struct striped_file *s, uint32_t i)
{
	struct pmio_file *f;

	pthread_mutex_lock(&s->lock);
	f = s->targets[i].file[STRIPED_DATA];
	f = f ? f : s->targets[i].file[STRIPED_CONTROL];
	pthread_mutex_unlock(&s->lock);
	return f;
}

/*
 * -EHOSTUNREACH: it cannot be reached; -EIO: the same, but a call that it has received already might still move a
 * pointer
 */
static int reach(struct node *n, enum remote_op op)
{
	uint64_t generation;

	if (!n)
		return -EHOSTUNREACH;
	if (node_enter(n, &generation) < 0)
		return op == REMOTE_POINTER && !node_has_ended(n) ? -EIO : -EHOSTUNREACH;
	node_leave(n, 0);
	return 0;
}

/* through this node's target; -EHOSTUNREACH: that cannot be reached, and the other target may be asked directly */
static int ask_by_relay(struct striped_file *s, uint32_t i, const void *msg, size_t len, enum remote_op op, void *answer, size_t room,
			size_t *answer_len)
{
	union {
		struct remote_relay_msg relay;
		uint8_t bytes[sizeof(struct remote_relay_msg) + STRIPED_ASK_MAX];
	} u;
	struct node *n = node_get(s->settings, &s->layout.endpoints[s->own]);
	struct node *to = node_get(s->settings, &s->layout.endpoints[i]);
	int rc = to ? reach(n, op) : -ENOMEM;

	if (rc < 0)
		return rc;
	memcpy(u.relay.msg, msg, len);
	node_relay_message(&u.relay, s->layout.id, to, op);
	rc = node_ask(n, &u, sizeof(u.relay) + len, REMOTE_RELAY, answer, room, answer_len);
	/* not for a pointer: it is unknown whether it was moved */
	return rc == -EIO && op != REMOTE_POINTER && reach(n, op) < 0 ? -EHOSTUNREACH : rc;
}

/* this node's target logs why it cannot reach another one; log it here as well, once per loss */
static void say_asked(struct striped_file *s, uint32_t i, int rc)
{
	struct striped_target *t = &s->targets[i];
	bool warn;

	pthread_mutex_lock(&s->lock);
	warn = rc == -EIO && !t->warned;
	t->warned = rc == -EIO;
	pthread_mutex_unlock(&s->lock);
	if (warn)
		pmio_err("%s: this node's target cannot query node %s (see target.log in this node's pool)", s->f.path,
			 s->layout.endpoints[i].host);
}

int striped_ask(struct striped_file *s, uint32_t i, void *msg, size_t len, enum remote_op op, void *answer, size_t answer_len)
{
	int rc = -EHOSTUNREACH;
	struct node *n;
	size_t got = 0;

	if (is_relayed(s, i)) {
		rc = ask_by_relay(s, i, msg, len, op, answer, answer_len, &got);
		say_asked(s, i, rc);
	}
	if (rc == -EHOSTUNREACH) {
		n = node_get(s->settings, &s->layout.endpoints[i]);
		rc = n ? node_ask(n, msg, len, op, answer, answer_len, &got) : -ENOMEM;
	}
	return rc == 0 && got != answer_len ? PMIO_EPROTO : rc;
}
