/*
 * descriptor_file.c -- endpoint descriptors in files: how to find a target, and the key
 * that proves the right to use it
 *
 *	[target]
 *	host = n17
 *	provider = net
 *	epoch = 61c8864680b583eb
 *	address = 0200d431... bytes of the provider's, in hexadecimal digits
 *	key = ...			32 bytes
 *	pool = ...			the pool's uuid, 16 bytes
 *	chunk_size = 1048576
 *	lifeline = 40123		TCP port at that address
 */
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <inttypes.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/error.h"
#include "core/log.h"
#include "remote/remote_impl.h"

#define ENDPOINT_TEXT_MAX 4096
#define HEX_MAX 64 /* bytes: an address, a key, or an id */
_Static_assert(PMIO_FABRIC_ADDR_MAX <= HEX_MAX && PMIO_FABRIC_KEY_SIZE <= HEX_MAX && REMOTE_LAYOUT_ID <= HEX_MAX, "all that is written");

void remote_put_hex(FILE *out, const char *name, const uint8_t *bytes, size_t len)
{
	char text[2 * HEX_MAX + 1];

	fprintf(out, "%s = %s\n", name, sodium_bin2hex(text, sizeof(text), bytes, len < HEX_MAX ? len : HEX_MAX));
	sodium_memzero(text, sizeof(text)); /* it may be a key */
}

void remote_endpoint_write(FILE *out, const struct remote_endpoint *endpoint)
{
	fprintf(out, "[target]\nhost = %s\nprovider = %s\nepoch = %016" PRIx64 "\n", endpoint->host,
		endpoint->fabric.provider, endpoint->fabric.epoch);
	remote_put_hex(out, "address", endpoint->fabric.addr, endpoint->fabric.addr_len);
	remote_put_hex(out, "key", endpoint->key, sizeof(endpoint->key));
	remote_put_hex(out, "pool", endpoint->uuid, sizeof(endpoint->uuid));
	/*
	 * the same length with any port: the endpoint descriptor of a restarted target overwrites the old one in a layout
	 * file, in place
	 */
	fprintf(out, "chunk_size = %" PRIu64 "\nlifeline = %-5u\n", endpoint->chunk_size, endpoint->liveness);
}

/*
 * In a folder where others may also make files, a name that they can guess may already be a file of theirs.
 * So the name is random, the file is created here (O_EXCL), and no byte of the key goes to a file that
 * others may read.
 */
static int make_file(int dir_fd, const char *name, char *made, size_t size)
{
	struct stat st;
	uint64_t number;
	int fd, rc = pmio_fabric_random(&number, sizeof(number));

	if (rc < 0)
		return rc;
	if (snprintf(made, size, "%s.%016" PRIx64, name, number) >= (int)size)
		return -ENAMETOOLONG;
	fd = openat(dir_fd, made, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (fchmod(fd, 0600) < 0 || fstat(fd, &st) < 0)
		rc = -errno;
	else if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_nlink != 1 || (st.st_mode & 07777) != 0600)
		rc = -EPERM; /* a file system that ignores or makes up owners and modes */
	if (rc == 0)
		return fd;
	unlinkat(dir_fd, made, 0);
	close(fd);
	return rc;
}

/* fd is closed */
static int fill_file(int fd, const struct remote_endpoint *endpoint)
{
	FILE *out = fdopen(fd, "w");
	int rc;

	if (!out) {
		rc = -errno;
		close(fd);
		return rc;
	}
	remote_endpoint_write(out, endpoint);
	rc = fflush(out) == 0 && fsync(fd) == 0 ? 0 : -errno;
	if (fclose(out) != 0 && rc == 0)
		rc = -errno;
	return rc;
}

/* in a folder with the sticky bit another user's file cannot be replaced */
static void say_in_the_way(int dir_fd, const char *name)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_uid != geteuid())
		pmio_err("endpoint descriptor %s: the name is taken by a file of user %u", name, (unsigned)st.st_uid);
}

int remote_endpoint_save(int dir_fd, const char *name, const struct remote_endpoint *endpoint)
{
	char made[PATH_MAX];
	int rc, fd = make_file(dir_fd, name, made, sizeof(made));

	if (fd < 0)
		return fd;
	rc = fill_file(fd, endpoint);
	if (rc == 0 && renameat(dir_fd, made, dir_fd, name) < 0) {
		rc = -errno;
		say_in_the_way(dir_fd, name);
	}
	if (rc < 0)
		unlinkat(dir_fd, made, 0);
	return rc;
}

/* an even number of digits, for up to room bytes; false: too many, or none */
bool remote_get_hex(const char *text, uint8_t *bytes, size_t room, size_t *len)
{
	size_t n = strlen(text);

	if (n % 2 || n / 2 > room || strspn(text, "0123456789abcdef") != n)
		return false;
	return sodium_hex2bin(bytes, room, text, n, NULL, len, NULL) == 0;
}

bool remote_get_number(const char *text, int base, uint64_t most, uint64_t *number)
{
	/* strtoull also takes blanks, signs and an empty string */
	if (*text == '\0' || text[strspn(text, base == 16 ? "0123456789abcdef" : "0123456789")] != '\0')
		return false;
	errno = 0;
	*number = strtoull(text, NULL, base);
	return errno == 0 && *number <= most;
}

unsigned remote_endpoint_take(struct remote_endpoint *c, const char *name, const char *value)
{
	size_t len = 0;
	uint64_t number;

	if (strcmp(name, "host") == 0) {
		snprintf(c->host, sizeof(c->host), "%s", value);
		return 1;
	}
	if (strcmp(name, "provider") == 0) {
		snprintf(c->fabric.provider, sizeof(c->fabric.provider), "%s", value);
		return 2;
	}
	if (strcmp(name, "epoch") == 0)
		return remote_get_number(value, 16, UINT64_MAX, &c->fabric.epoch) ? 4 : 0;
	if (strcmp(name, "address") == 0) {
		if (!remote_get_hex(value, c->fabric.addr, sizeof(c->fabric.addr), &len))
			return 0;
		c->fabric.addr_len = (uint16_t)len;
		return 8;
	}
	if (strcmp(name, "key") == 0)
		return remote_get_hex(value, c->key, sizeof(c->key), &len) && len == sizeof(c->key) ? 16 : 0;
	if (strcmp(name, "pool") == 0)
		return remote_get_hex(value, c->uuid, sizeof(c->uuid), &len) && len == sizeof(c->uuid) ? 32 : 0;
	if (strcmp(name, "chunk_size") == 0)
		return remote_get_number(value, 10, UINT64_MAX, &c->chunk_size) && c->chunk_size ? 64 : 0;
	if (strcmp(name, "lifeline") == 0 && remote_get_number(value, 10, UINT16_MAX, &number)) {
		c->liveness = (uint16_t)number;
		return 128;
	}
	return 0;
}

struct parsed {
	struct remote_endpoint *endpoint;
	unsigned seen;
};

static int take(void *user, const char *section, const char *name, const char *value)
{
	struct parsed *p = user;

	if (strcmp(section, "target") == 0)
		p->seen |= remote_endpoint_take(p->endpoint, name, value);
	return 1;
}

int remote_endpoint_parse(const char *text, struct remote_endpoint *endpoint)
{
	struct parsed p = { .endpoint = endpoint };

	memset(endpoint, 0, sizeof(*endpoint));
	return ini_parse_string(text, take, &p) == 0 && p.seen == REMOTE_ENDPOINT_WHOLE ? 0 : PMIO_EPROTO;
}

int remote_targets_load(const char *setting, struct remote_endpoint **endpoints, uint32_t *nr)
{
	char *list = strdup(setting), *rest = NULL, *name;
	int rc = list ? 0 : -ENOMEM;

	*endpoints = NULL;
	*nr = 0;
	name = list ? strtok_r(list, ",", &rest) : NULL;
	for (; name && rc == 0; name = strtok_r(NULL, ",", &rest)) {
		struct remote_endpoint *more = reallocarray(*endpoints, *nr + 1, sizeof(*more));

		if (!more) {
			rc = -ENOMEM;
			break;
		}
		*endpoints = more;
		rc = remote_endpoint_load(AT_FDCWD, name, &more[*nr]);
		if (rc < 0)
			pmio_err("memory node %s: %s", name,
				 rc == -EPERM ? "it must be a file that only you can read" : pmio_strerror(rc));
		else
			++*nr;
	}
	free(list);
	if (rc == 0 && *nr == 0)
		rc = -EINVAL;
	if (rc < 0) {
		free(*endpoints);
		*endpoints = NULL;
		*nr = 0;
	}
	return rc;
}

int remote_endpoint_keep_key(const char *name, struct remote_endpoint *endpoint)
{
	struct remote_endpoint old;
	struct stat st;
	int rc = remote_endpoint_load(AT_FDCWD, name, &old);

	if (rc == 0)
		memcpy(endpoint->key, old.key, sizeof(old.key));
	explicit_bzero(&old, sizeof(old));
	if ((rc == -EPERM || rc == -EACCES) && lstat(name, &st) == 0 && S_ISREG(st.st_mode)) {
		if (st.st_uid != geteuid())
			pmio_warn("endpoint descriptor %s: it belongs to user %u: its key is not used", name, (unsigned)st.st_uid);
		else
			pmio_warn("endpoint descriptor %s: others could read or write it (mode %04o): created a new key; replace copies of "
				  "the old endpoint descriptor by this one", name, (unsigned)st.st_mode & 07777);
		rc = -ENOENT;
	}
	return rc;
}

int remote_endpoint_load(int dir_fd, const char *name, struct remote_endpoint *endpoint)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char text[ENDPOINT_TEXT_MAX];
	struct stat st;
	ssize_t n;
	int rc;

	memset(endpoint, 0, sizeof(*endpoint));
	if (fd < 0)
		return -errno;
	rc = fstat(fd, &st) < 0 ? -errno : 0;
	if (rc == 0 && (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077)))
		rc = -EPERM;
	n = rc == 0 ? read(fd, text, sizeof(text) - 1) : 0;
	if (n < 0)
		rc = -errno;
	close(fd);
	if (rc < 0)
		return rc;
	text[n] = '\0';
	rc = remote_endpoint_parse(text, endpoint);
	explicit_bzero(text, sizeof(text));
	return rc;
}
