/*
 * munge.c -- which user an initiator belongs to
 *
 * The session's key shows only that a peer was given it; a credential of MUNGE shows
 * the peer's user, vouched for by a daemon on its host that both hosts trust.  Its
 * payload is the proof of one handshake, so it cannot be used for anything else, and
 * only this user can decode it.
 *
 * libmunge is loaded when it is first needed, as libfabric is.
 */
#include <dlfcn.h>
#include <errno.h>
#include <munge.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fabric/fabric_impl.h"

#define LIBRARY "libmunge.so.2"

static struct {
	__typeof__(munge_ctx_create) *ctx_create;
	__typeof__(munge_ctx_destroy) *ctx_destroy;
	__typeof__(munge_ctx_set) *ctx_set;
	__typeof__(munge_encode) *encode;
	__typeof__(munge_decode) *decode;
	__typeof__(munge_strerror) *strerror;
} lib;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool loaded;

static void load(void)
{
	void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (!handle)
		return;
	lib.ctx_create = (__typeof__(lib.ctx_create))dlsym(handle, "munge_ctx_create");
	lib.ctx_destroy = (__typeof__(lib.ctx_destroy))dlsym(handle, "munge_ctx_destroy");
	lib.ctx_set = (__typeof__(lib.ctx_set))dlsym(handle, "munge_ctx_set");
	lib.encode = (__typeof__(lib.encode))dlsym(handle, "munge_encode");
	lib.decode = (__typeof__(lib.decode))dlsym(handle, "munge_decode");
	lib.strerror = (__typeof__(lib.strerror))dlsym(handle, "munge_strerror");
	loaded = lib.ctx_create && lib.ctx_destroy && lib.ctx_set && lib.encode && lib.decode && lib.strerror;
}

/* ---- without SIGPIPE, which libmunge gets from a daemon that ends -------------------------- */

struct sigpipe {
	sigset_t before;
	bool was_pending;
};

static void block_sigpipe(struct sigpipe *q)
{
	sigset_t pipe, pending;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	sigpending(&pending);
	q->was_pending = sigismember(&pending, SIGPIPE) == 1;
	pthread_sigmask(SIG_BLOCK, &pipe, &q->before);
}

static void unblock_sigpipe(const struct sigpipe *q)
{
	const struct timespec at_once = { 0 };
	sigset_t pipe;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	if (!q->was_pending) {
		while (sigtimedwait(&pipe, NULL, &at_once) < 0 && errno == EINTR)
			;
	}
	pthread_sigmask(SIG_SETMASK, &q->before, NULL);
}

/* ---- credentials ------------------------------------------------------------------------------ */

static munge_ctx_t new_ctx(const struct fabric_munge *m)
{
	munge_ctx_t ctx = lib.ctx_create();
	bool good = ctx != NULL;

	if (good && m->socket)
		good = lib.ctx_set(ctx, MUNGE_OPT_SOCKET, m->socket) == EMUNGE_SUCCESS;
	if (good)
		good = lib.ctx_set(ctx, MUNGE_OPT_UID_RESTRICTION, geteuid()) == EMUNGE_SUCCESS;
	if (good)
		return ctx;
	if (ctx)
		lib.ctx_destroy(ctx);
	return NULL;
}

ssize_t fabric_munge_encode(const struct fabric_munge *m, const uint8_t mac[MAC_SIZE],
			    char credential[CREDENTIAL_MAX], const char **why)
{
	munge_ctx_t ctx = new_ctx(m);
	char *made = NULL;
	munge_err_t rc = EMUNGE_NO_MEMORY;
	struct sigpipe q;
	size_t len;

	if (ctx) {
		block_sigpipe(&q);
		rc = lib.encode(&made, ctx, mac, MAC_SIZE);
		unblock_sigpipe(&q);
		lib.ctx_destroy(ctx);
	}
	len = made ? strlen(made) : 0;
	if (rc == EMUNGE_SUCCESS && len > CREDENTIAL_MAX)
		rc = EMUNGE_OVERFLOW;
	if (rc == EMUNGE_SUCCESS)
		memcpy(credential, made, len);
	free(made);
	*why = lib.strerror(rc);
	return rc == EMUNGE_SUCCESS ? (ssize_t)len : -EIO;
}

/* the daemon's verdict: does the credential belong to a user without access, or does it prove nothing? */
static int judge(munge_err_t rc, const char **why)
{
	*why = lib.strerror(rc);
	switch (rc) {
	case EMUNGE_SUCCESS:
		return 0;
	case EMUNGE_CRED_REPLAYED:
	case EMUNGE_CRED_UNAUTHORIZED:
		return -EACCES;
	default:
		return -ENODATA;
	}
}

int fabric_munge_check(const struct fabric_munge *m, const uint8_t mac[MAC_SIZE], const char *credential,
		       size_t len, const char **why)
{
	char copy[CREDENTIAL_MAX + 1] = { 0 };
	munge_ctx_t ctx = new_ctx(m);
	munge_err_t status = EMUNGE_NO_MEMORY;
	void *payload = NULL;
	int payload_len = 0, rc;
	uid_t uid = (uid_t)-1;
	gid_t gid;
	struct sigpipe q;

	memcpy(copy, credential, len);
	if (ctx) {
		block_sigpipe(&q);
		status = lib.decode(copy, ctx, &payload, &payload_len, &uid, &gid);
		unblock_sigpipe(&q);
		lib.ctx_destroy(ctx);
	}
	rc = judge(status, why);
	if (rc == 0 && uid != geteuid()) {
		*why = "another user's";
		rc = -EACCES;
	} else if (rc == 0 && (payload_len != MAC_SIZE || memcmp(payload, mac, MAC_SIZE) != 0)) {
		*why = "made for something else";
		rc = -EACCES;
	}
	free(payload);
	return rc;
}

/* ---- is it available? ------------------------------------------------------------------------------------ */

/* is there a daemon that makes credentials and accepts its own? */
static bool works(const struct fabric_munge *m, const char **why)
{
	uint8_t mac[MAC_SIZE];
	char credential[CREDENTIAL_MAX];
	ssize_t len;

	pthread_once(&once, load);
	*why = "cannot load " LIBRARY;
	if (!loaded || pmio_fabric_random(mac, sizeof(mac)) < 0)
		return false;
	len = fabric_munge_encode(m, mac, credential, why);
	return len > 0 && fabric_munge_check(m, mac, credential, (size_t)len, why) == 0;
}

int fabric_munge_init(struct fabric_munge *m, const struct pmio_fabric_config *config)
{
	const char *wanted = config->munge ? config->munge : "off", *why;

	m->socket = NULL;
	if (strcmp(wanted, "off") == 0) {
		m->policy = MUNGE_OFF;
		return 0;
	}
	if (strcmp(wanted, "auto") != 0 && strcmp(wanted, "require") != 0) {
		pmio_err("fabric: munge: %s: not auto, off or require", wanted);
		return -EINVAL;
	}
	m->policy = wanted[0] == 'a' ? MUNGE_AUTO : MUNGE_REQUIRE;
	if (config->munge_socket) {
		m->socket = strdup(config->munge_socket);
		if (!m->socket)
			return -ENOMEM;
	}
	if (works(m, &why))
		return 0;
	if (m->policy == MUNGE_REQUIRE) {
		pmio_err("fabric: munge is required, and does not work here: %s", why);
		return -ENOSYS;
	}
	pmio_dbg("fabric: munge is not used: %s", why);
	m->policy = MUNGE_OFF;
	return 0;
}

void fabric_munge_fini(struct fabric_munge *m)
{
	free(m->socket);
	m->socket = NULL;
}
