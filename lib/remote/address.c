/* address.c -- choosing the address by which other nodes reach a node */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/log.h"
#include "remote/remote.h"

/* parse "10.1.0.0/16"; false: it is not a network */
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

static bool is_loopback(const struct addrinfo *a)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)a->ai_addr;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)a->ai_addr;

	return a->ai_family == AF_INET ? ntohl(in->sin_addr.s_addr) >> 24 == 127 : IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

/* resolve a host name, which often has a loopback address in /etc/hosts, too; -ENOENT: it is not a host name */
static int resolve(const char *name, char *address, size_t size)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *all, *a, *best = NULL;
	int rc = 0;

	if (getaddrinfo(name, NULL, &hints, &all) != 0)
		return -ENOENT;
	for (a = all; a; a = a->ai_next) {
		if ((a->ai_family == AF_INET || a->ai_family == AF_INET6) && (!best || (is_loopback(best) && !is_loopback(a))))
			best = a;
	}
	if (!best || getnameinfo(best->ai_addr, best->ai_addrlen, address, (socklen_t)size, NULL, 0, NI_NUMERICHOST) != 0)
		rc = -ENOENT;
	else if (is_loopback(best) && strcmp(name, "localhost") != 0)
		pmio_warn("address \"%s\" is %s, which other nodes cannot reach", name, address);
	freeaddrinfo(all);
	return rc;
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
		rc = resolve(setting, address, size);
	if (rc < 0) {
		pmio_err("address \"%s\": matches no interface of this node and no host name", setting);
		rc = -EADDRNOTAVAIL;
	}
	return rc;
}

int remote_split_listen(const char *listen, char *address, size_t size, char *service, size_t service_size)
{
	const char *colon = strrchr(listen, ':'), *start = listen, *end, *port = NULL;

	if (*listen == '[') {
		start++;
		end = strchr(start, ']');
		if (!end || (end[1] != '\0' && end[1] != ':'))
			return -EINVAL;
		port = end[1] ? end + 2 : NULL;
	} else if (colon && strchr(listen, ':') == colon) {
		end = colon;
		port = colon + 1;
	} else { /* with several colons (an IPv6 address) none of them begins a port */
		end = listen + strlen(listen);
	}
	if ((size_t)(end - start) >= size)
		return -EINVAL;
	if (port && (!*port || strspn(port, "0123456789") != strlen(port) || strlen(port) > 5 || atoi(port) < 1 || atoi(port) > 65534))
		return -EINVAL;
	memcpy(address, start, (size_t)(end - start));
	address[end - start] = '\0';
	snprintf(service, service_size, "%s", port ? port : "");
	return 0;
}
