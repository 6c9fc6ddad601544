#include "proto/proto.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/error.h"

static const struct {
	const char *name;
	size_t request, reply;
} ops[PMIO_NR_OPS] = {
	[PMIO_OP_HELLO] = { "HELLO", sizeof(struct pmio_hello_msg), sizeof(struct pmio_hello_reply_msg) },
	[PMIO_OP_OPEN] = { "OPEN", sizeof(struct pmio_open_msg), sizeof(struct pmio_open_reply_msg) },
	[PMIO_OP_CLAIM] = { "CLAIM", sizeof(struct pmio_claim_msg), sizeof(struct pmio_claim_reply_msg) },
	[PMIO_OP_FILL] = { "FILL", sizeof(struct pmio_fill_msg), sizeof(struct pmio_reply_msg) },
	[PMIO_OP_SYNC] = { "SYNC", sizeof(struct pmio_handle_msg), sizeof(struct pmio_reply_msg) },
	[PMIO_OP_SIZE] = { "SIZE", sizeof(struct pmio_handle_msg), sizeof(struct pmio_size_reply_msg) },
	[PMIO_OP_TRUNCATE] = { "TRUNCATE", sizeof(struct pmio_truncate_msg), sizeof(struct pmio_reply_msg) },
	[PMIO_OP_RAISE] = { "RAISE", sizeof(struct pmio_raise_msg), sizeof(struct pmio_reply_msg) },
	[PMIO_OP_DRAIN] = { "DRAIN", sizeof(struct pmio_drain_msg), sizeof(struct pmio_reply_msg) },
	[PMIO_OP_CLOSE] = { "CLOSE", sizeof(struct pmio_close_msg), sizeof(struct pmio_reply_msg) },
	[PMIO_OP_REMOVE] = { "REMOVE", sizeof(struct pmio_remove_msg), sizeof(struct pmio_reply_msg) },
	[PMIO_OP_REMOVED] = { "REMOVED", sizeof(struct pmio_removed_msg), sizeof(struct pmio_reply_msg) },
	[PMIO_OP_STAT] = { "STAT", sizeof(struct pmio_stat_msg), sizeof(struct pmio_stat_reply_msg) },
	[PMIO_OP_STAT_FILE] = { "STAT_FILE", sizeof(struct pmio_stat_file_msg),
				sizeof(struct pmio_stat_file_reply_msg) },
	[PMIO_OP_STAT_ID] = { "STAT_ID", sizeof(struct pmio_stat_id_msg), sizeof(struct pmio_stat_id_reply_msg) },
	[PMIO_OP_SHUTDOWN] = { "SHUTDOWN", sizeof(struct pmio_shutdown_msg), sizeof(struct pmio_reply_msg) },
	[PMIO_OP_STAGE] = { "STAGE", sizeof(struct pmio_stage_msg), sizeof(struct pmio_reply_msg) },
	[PMIO_OP_MAP] = { "MAP", sizeof(struct pmio_map_msg), sizeof(struct pmio_reply_msg) },
	[PMIO_OP_THROTTLE] = { "THROTTLE", sizeof(struct pmio_throttle_msg), sizeof(struct pmio_reply_msg) },
	[PMIO_OP_FORGET] = { "FORGET", sizeof(struct pmio_forget_msg), sizeof(struct pmio_reply_msg) },
};

const char *pmio_op_name(unsigned op)
{
	return op < PMIO_NR_OPS && ops[op].name ? ops[op].name : "?";
}

size_t pmio_op_request_size(unsigned op)
{
	return op < PMIO_NR_OPS ? ops[op].request : 0;
}

size_t pmio_op_reply_size(unsigned op)
{
	return op < PMIO_NR_OPS ? ops[op].reply : 0;
}

void pmio_proto_request(union pmio_any_msg *msg, enum pmio_op op, uint64_t number)
{
	memset(msg, 0, ops[op].request);
	msg->hdr.size = (uint32_t)ops[op].request;
	msg->hdr.op = (uint16_t)op;
	msg->hdr.version = PMIO_PROTO_VERSION;
	msg->hdr.number = number;
}

void pmio_proto_reply(union pmio_any_msg *msg, const struct pmio_hdr_msg *req, int status)
{
	struct pmio_hdr_msg hdr = *req;

	memset(msg, 0, ops[hdr.op].reply);
	msg->hdr.size = (uint32_t)ops[hdr.op].reply;
	msg->hdr.op = hdr.op;
	msg->hdr.version = PMIO_PROTO_VERSION;
	msg->hdr.number = hdr.number;
	msg->hdr.status = status;
}

static int check_path(const char *path)
{
	return *path == '/' && memchr(path, '\0', PATH_MAX) ? 0 : PMIO_EPROTO;
}

static int check_fields(const union pmio_any_msg *msg)
{
	switch (msg->hdr.op) {
	case PMIO_OP_OPEN:
		if (msg->open.flags & ~PMIO_OPEN_ALL)
			return PMIO_EPROTO;
		if (!(msg->open.flags & (PMIO_OPEN_READ | PMIO_OPEN_WRITE)))
			return PMIO_EPROTO;
		if (msg->open.map_lock >= PMIO_MAP_LOCKS)
			return PMIO_EPROTO;
		return check_path(msg->open.path);
	case PMIO_OP_MAP:
		return msg->map.how & ~PMIO_MAP_ALL || msg->map.lock >= PMIO_MAP_LOCKS ? PMIO_EPROTO : 0;
	case PMIO_OP_CLAIM:
		if (msg->claim.nr < 1 || msg->claim.nr > PMIO_CLAIM_MAX || msg->claim.how > PMIO_CLAIM_ALL ||
		    msg->claim.wanted > msg->claim.nr || msg->claim.needed < 1 ||
		    msg->claim.needed > msg->claim.wanted)
			return PMIO_EPROTO;
		return msg->claim.first > INT64_MAX - PMIO_CLAIM_MAX ? PMIO_EPROTO : 0;
	case PMIO_OP_STAGE:
		if (msg->stage.nr < 1 || msg->stage.nr > PMIO_STAGE_MAX || msg->stage.step < 1)
			return PMIO_EPROTO;
		return msg->stage.first > INT64_MAX - (uint64_t)PMIO_STAGE_MAX * msg->stage.step ? PMIO_EPROTO : 0;
	case PMIO_OP_THROTTLE:
		if (msg->throttle.what & ~PMIO_THROTTLE_ALL || __builtin_popcount(msg->throttle.what) != 1)
			return PMIO_EPROTO;
		return msg->throttle.rate > INT64_MAX ? PMIO_EPROTO : 0;
	case PMIO_OP_FILL:
		return msg->fill.blocks[0] | msg->fill.blocks[1] | msg->fill.blocks[2] | msg->fill.blocks[3]
			       ? 0
			       : PMIO_EPROTO;
	case PMIO_OP_TRUNCATE:
		return msg->truncate.size > INT64_MAX ? PMIO_EPROTO : 0;
	case PMIO_OP_RAISE:
		return msg->raise.size > INT64_MAX ? PMIO_EPROTO : 0;
	case PMIO_OP_STAT:
		return msg->stat.sums > 1 ? PMIO_EPROTO : 0;
	case PMIO_OP_DRAIN:
		return msg->drain.flags & ~PMIO_DRAIN_ALL ? PMIO_EPROTO : 0;
	case PMIO_OP_REMOVE:
		return msg->remove.is_last > 1 ? PMIO_EPROTO : check_path(msg->remove.path);
	case PMIO_OP_REMOVED:
		return msg->removed.status > 0 ? PMIO_EPROTO : 0;
	default:
		return 0;
	}
}

int pmio_proto_check_request(const union pmio_any_msg *msg, size_t len)
{
	if (len < sizeof(msg->hdr) || msg->hdr.size != len)
		return PMIO_EPROTO;
	if (msg->hdr.version != PMIO_PROTO_VERSION)
		return PMIO_EVERSION;
	if (len != pmio_op_request_size(msg->hdr.op))
		return PMIO_EPROTO;
	return check_fields(msg);
}

int pmio_proto_check_reply(const union pmio_any_msg *msg, size_t len, enum pmio_op op,
			   uint64_t number)
{
	if (len < sizeof(msg->hdr) || msg->hdr.size != len)
		return PMIO_EPROTO;
	if (msg->hdr.version != PMIO_PROTO_VERSION)
		return PMIO_EVERSION;
	if (msg->hdr.op != op || len != pmio_op_reply_size(op) || msg->hdr.number != number ||
	    msg->hdr.status > 0)
		return PMIO_EPROTO;
	return 0;
}

int pmio_proto_send(int sock, const union pmio_any_msg *msg, int fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { (void *)(uintptr_t)msg, msg->hdr.size };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (fd >= 0) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		mh.msg_control = control.buf;
		mh.msg_controllen = sizeof(control.buf);
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	do
		n = sendmsg(sock, &mh, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* take the received descriptors; the first is kept, others are closed: a correct peer sends only one */
static int take_fd(struct msghdr *mh)
{
	int kept = -1;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t nr;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		nr = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < nr; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (kept < 0)
				kept = fd;
			else
				close(fd);
		}
	}
	return kept;
}

ssize_t pmio_proto_recv(int sock, union pmio_any_msg *msg, int *fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(4 * sizeof(int))];
	} control;
	struct iovec iov = { msg, sizeof(*msg) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;
	int got;

	if (fd)
		*fd = -1;
	mh.msg_control = control.buf;
	mh.msg_controllen = sizeof(control.buf);
	do
		n = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;

	got = take_fd(&mh);
	if (got < 0 && (mh.msg_flags & MSG_CTRUNC))
		got = PMIO_FD_LOST;
	if (fd)
		*fd = got;
	else if (got >= 0)
		close(got);
	return mh.msg_flags & MSG_TRUNC ? (ssize_t)sizeof(*msg) + 1 : n;
}

bool pmio_proto_soon(int fd, const struct pmio_spin *spin)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t until = spin->ns ? pmio_now_ns() + spin->ns : 0;

	while (spin->ns && poll(&p, 1, 0) <= 0) {
		if (pmio_now_ns() >= until)
			return false;
		sched_yield();
	}
	return spin->ns != 0;
}

void pmio_proto_address(int dir_fd, struct sockaddr_un *addr)
{
	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_UNIX;
	snprintf(addr->sun_path, sizeof(addr->sun_path), "/proc/self/fd/%d/%s", dir_fd,
		 PMIO_SOCKET_NAME);
}
