/*
 * target.c -- pmio target: the memory nodes that the setting `targets` names
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/text.h"
#include "remote/remote.h"
#include "remote/wire.h"
#include "tools.h"

/* an endpoint descriptor's text, safe to print, on the caller's stack */
#define PLAIN(text) pmio_plain((char[PMIO_PLAIN_SIZE(sizeof(((struct remote_endpoint *)0)->host))]){ 0 }, \
			       PMIO_PLAIN_SIZE(sizeof(((struct remote_endpoint *)0)->host)), (text))

static int load(const struct tool *tool, struct remote_endpoint **endpoints, uint32_t *nr)
{
	int rc = remote_targets_load(tool->settings.str[PMIO_SET_TARGETS], endpoints, nr);

	if (rc == -EINVAL)
		fprintf(stderr, "pmio: target: the setting targets names no memory node (see pmio(7))\n");
	return rc < 0 ? TOOL_FAILED : TOOL_DONE;
}

static int list(struct tool *tool, int argc, char **argv)
{
	static const struct argp argp = { .doc = "list the memory nodes, without contacting them" };
	struct json_object *all;
	struct remote_endpoint *endpoints;
	char uuid[TOOL_UUID_LEN];
	uint32_t nr;
	int status;

	tool_parse(tool, &argp, NULL, argc, argv);
	status = load(tool, &endpoints, &nr);
	if (status != TOOL_DONE)
		return status;
	all = json_object_new_array();
	for (uint32_t i = 0; i < nr; i++) {
		struct json_object *o = json_object_new_object();

		tool_uuid(uuid, endpoints[i].uuid);
		tool_add_string(o, "host", endpoints[i].host);
		tool_add_string(o, "provider", endpoints[i].fabric.provider);
		tool_add_string(o, "pool", uuid);
		json_object_array_add(all, o);
		if (!tool->json)
			printf("%-20s %-12s %s\n", PLAIN(endpoints[i].host), PLAIN(endpoints[i].fabric.provider), uuid);
	}
	free(endpoints);
	if (tool->json)
		tool_print_json(all);
	else
		json_object_put(all);
	return TOOL_DONE;
}

static struct json_object *to_json(const char *host, const struct remote_stat_answer_msg *st)
{
	struct json_object *o = json_object_new_object();

	tool_add_string(o, "host", host);
	tool_add_bool(o, "reached", st != NULL);
	if (!st)
		return o;
	tool_add(o, "size", st->nr_frames * st->chunk_size);
	tool_add(o, "free", st->nr_frames_free * st->chunk_size);
	tool_add(o, "dirty", st->dirty_bytes);
	tool_add(o, "drained", st->drained_bytes);
	tool_add(o, "files", st->nr_files);
	tool_add(o, "sessions", st->nr_sessions);
	tool_add(o, "refused_proofs", st->nr_refused_proofs);
	tool_add(o, "refused_accesses", st->nr_refused_accesses);
	tool_add(o, "pid", st->pid);
	return o;
}

static void print_row(const char *host, const struct remote_stat_answer_msg *st)
{
	if (st)
		printf("%-20s %10s %10s %10s %10s %7u %8u %8llu\n", PLAIN(host), TOOL_SIZE(st->nr_frames * st->chunk_size),
		       TOOL_SIZE(st->nr_frames_free * st->chunk_size), TOOL_SIZE(st->dirty_bytes),
		       TOOL_SIZE(st->drained_bytes), (unsigned)st->nr_files, st->nr_sessions,
		       (unsigned long long)(st->nr_refused_proofs + st->nr_refused_accesses));
	else
		printf("%-20s unreachable\n", PLAIN(host));
}

static int stat_all(struct tool *tool, int argc, char **argv)
{
	static const struct argp argp = { .doc = "query the state of each memory node" };
	struct remote_stat_answer_msg st;
	struct json_object *all;
	struct remote_endpoint *endpoints;
	uint32_t nr, nr_reached = 0;
	int status;

	tool_parse(tool, &argp, NULL, argc, argv);
	status = load(tool, &endpoints, &nr);
	if (status != TOOL_DONE)
		return status;
	all = json_object_new_array();
	if (!tool->json && !tool->quiet)
		printf("%-20s %10s %10s %10s %10s %7s %8s %8s\n", "HOST", "SIZE", "FREE", "DIRTY", "DRAINED", "FILES",
		       "SESSIONS", "REFUSED");
	for (uint32_t i = 0; i < nr; i++) {
		bool reached = remote_stat(&tool->settings, &endpoints[i], &st) == 0;

		nr_reached += reached;
		json_object_array_add(all, to_json(endpoints[i].host, reached ? &st : NULL));
		if (!tool->json)
			print_row(endpoints[i].host, reached ? &st : NULL);
	}
	if (tool->json)
		tool_print_json(all);
	else
		json_object_put(all);
	free(endpoints);
	remote_disconnect_all();
	return tool_exit_of(nr_reached, nr - nr_reached);
}

int tool_target(struct tool *tool, int argc, char **argv)
{
	static const struct tool_command commands[] = {
		{ "list", list, "list the memory nodes" },
		{ "stat", stat_all, "how much each holds" },
		{ NULL, NULL, NULL },
	};

	return tool_dispatch(tool, "target", commands, argc, argv);
}
