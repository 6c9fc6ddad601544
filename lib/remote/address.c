/* which of a node's addresses others reach it by */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "remote/remote.h"

/* "10.1.0.0/16"; false: it is none */
static bool parse_network(const char *text, struct in_addr *net, uint32_t *mask)
{
	char address[INET_ADDRSTRLEN], *end;
	const char *slash = strchr(text, '/');
	unsigned long bits;

	if (!slash || (size_t)(slash - text) >= sizeof(address))
		return false;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = '\0';
	bits = strtoul(slash + 1, &end, 10);
	if (slash[1] == '\0' || *end != '\0' || bits > 32 || inet_pton(AF_INET, address, net) != 1)
		return false;
	*mask = bits ? htonl(~0U << (32 - bits)) : 0;
	return true;
}

static bool is_wanted(const struct ifaddrs *i, const char *setting)
{
	struct in_addr net, mine = ((const struct sockaddr_in *)i->ifa_addr)->sin_addr;
	uint32_t mask;

	if (*setting == '\0')
		return !(i->ifa_flags & IFF_LOOPBACK);
	if (parse_network(setting, &net, &mask))
		return (mine.s_addr & mask) == (net.s_addr & mask);
	return strcmp(i->ifa_name, setting) == 0;
}

int remote_address(const char *setting, char *address, size_t size)
{
	struct in6_addr parsed;
	struct ifaddrs *all, *i;
	int rc = -EADDRNOTAVAIL;

	if (inet_pton(AF_INET, setting, &parsed) == 1 || inet_pton(AF_INET6, setting, &parsed) == 1) {
		snprintf(address, size, "%s", setting);
		return 0;
	}
	if (getifaddrs(&all) < 0)
		return -errno;
	for (i = all; i && rc < 0; i = i->ifa_next) {
		if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || !(i->ifa_flags & IFF_UP) ||
		    !is_wanted(i, setting))
			continue;
		if (inet_ntop(AF_INET, &((struct sockaddr_in *)i->ifa_addr)->sin_addr, address,
			      (socklen_t)size))
			rc = 0;
	}
	freeifaddrs(all);
	if (rc < 0 && *setting == '\0') {
		snprintf(address, size, "127.0.0.1");
		rc = 0;
	}
	if (rc < 0)
		pmio_err("address \"%s\": no interface of this node has it", setting);
	return rc;
}
