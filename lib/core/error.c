#include "config.h"

#include "core/error.h"

#include <errno.h>
#include <string.h>

const char *pmio_strerror(int code)
{
	const char *s;

	switch (code) {
	case 0:
		return "success";
	case -EMFILE: /* the limit of the program or of the agent */
		return "Too many open files (ulimit -n)";
	case PMIO_ENOTPOOL:
		return "not a pmio pool";
	case PMIO_EVERSION:
		return "made by another version of pmio";
	case PMIO_EDAMAGED:
		return "the pool is damaged";
	case PMIO_EAGENT:
		return "the agent (pmiod) cannot be started or reached";
	case PMIO_EPROTO:
		return "invalid message between agent and client";
	case PMIO_ECHANGED:
		return "the file was changed on the file system while data for it wait in the pool: "
		       "`pmio drain --force` overwrites the file with them, `pmio forget` discards them";
	case PMIO_EGONE:
		return "the file was removed on the file system, or truncated there, and the pool holds data of it: "
		       "`pmio forget` discards them";
	case PMIO_EOTHER:
		return "another pool has the file in use, or holds data for it";
	case PMIO_ESTUCK:
		return "the agent (pmiod) is stopped or does not answer";
	default:
		break;
	}
	s = code < 0 && code > PMIO_ENOTPOOL ? strerrordesc_np(-code) : NULL;
	return s ? s : "unknown error";
}

const char *pmio_version(void)
{
	return PACKAGE_VERSION;
}
