/*
 * fuzz_messages.c -- any bytes as a message: libFuzzer target
 *
 * What pmio_proto_check_request() and _check_reply() let pass must be safe to
 * look at: paths end and are absolute, counts are within their arrays.
 */
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "proto/proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(int good)
{
	if (!good)
		abort();
}

static void look_at_request(const union pmio_any_msg *m)
{
	switch (m->hdr.op) {
	case PMIO_OP_OPEN:
		need(strnlen(m->open.path, PATH_MAX) < PATH_MAX && m->open.path[0] == '/');
		need(m->open.flags & (PMIO_OPEN_READ | PMIO_OPEN_WRITE));
		break;
	case PMIO_OP_REMOVE:
		need(strnlen(m->remove.path, PATH_MAX) < PATH_MAX && m->remove.path[0] == '/');
		break;
	case PMIO_OP_DRAIN:
		need((m->drain.flags & ~PMIO_DRAIN_ALL) == 0);
		break;
	case PMIO_OP_CLAIM:
		need(m->claim.nr >= 1 && m->claim.nr <= PMIO_CLAIM_MAX);
		need(m->claim.wanted <= m->claim.nr && m->claim.needed <= m->claim.wanted);
		need(m->claim.first + m->claim.nr >= m->claim.first);
		break;
	case PMIO_OP_FILL:
		need((m->fill.blocks[0] | m->fill.blocks[1] | m->fill.blocks[2] | m->fill.blocks[3]) != 0);
		break;
	case PMIO_OP_TRUNCATE:
		need((int64_t)m->truncate.size >= 0);
		break;
	default:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static union pmio_any_msg m;
	size_t len = size < sizeof(m) ? size : sizeof(m);

	memset(&m, 0xa5, sizeof(m)); /* what a shorter message leaves behind */
	memcpy(&m, data, len);
	for (int fixed = 0; fixed < 2; fixed++) {
		if (pmio_proto_check_request(&m, size) == 0) {
			need(pmio_op_request_size(m.hdr.op) == size);
			look_at_request(&m);
		}
		if (pmio_proto_check_reply(&m, size, (enum pmio_op)(m.hdr.op % PMIO_NR_OPS), m.hdr.number) == 0)
			need(m.hdr.status <= 0 && pmio_op_reply_size(m.hdr.op) == size);
		/* the second time with a header that fits, so that the fields are reached */
		m.hdr.op %= PMIO_NR_OPS;
		m.hdr.version = PMIO_PROTO_VERSION;
		size = pmio_op_request_size(m.hdr.op);
		m.hdr.size = (uint32_t)size;
	}
	return 0;
}
