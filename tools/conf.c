/*
 * conf.c -- pmio conf: every setting, its value and where it came from
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "tools.h"

static const char *const type_names[] = {
	[PMIO_TYPE_STRING] = "string",
	[PMIO_TYPE_SIZE] = "size",
	[PMIO_TYPE_UINT] = "number",
	[PMIO_TYPE_CHOICE] = "choice",
};

static struct json_object *setting_json(const struct pmio_settings *s, enum pmio_setting which,
					const char *value)
{
	const struct pmio_setting_info *info = pmio_setting_info(which);
	struct json_object *o = json_object_new_object();

	tool_add_string(o, "name", info->name);
	if (info->type == PMIO_TYPE_SIZE || info->type == PMIO_TYPE_UINT)
		tool_add(o, "value", s->num[which]);
	else
		tool_add_string(o, "value", value);
	tool_add_string(o, "from", pmio_source_name(s->from[which]));
	tool_add_string(o, "type", type_names[info->type]);
	tool_add_string(o, "default", info->def);
	if (info->choices)
		tool_add_string(o, "choices", info->choices);
	if (info->max) {
		tool_add(o, "min", info->min);
		tool_add(o, "max", info->max);
	}
	tool_add_bool(o, "hint", info->hint);
	tool_add_string(o, "help", info->help);
	return o;
}

static void print_row(const struct pmio_settings *s, enum pmio_setting which, const char *value)
{
	const struct pmio_setting_info *info = pmio_setting_info(which);

	printf("%-16s ", info->name);
	tool_print_path(value);
	printf("%*s  (%s)\n%17s%s\n", (int)(strlen(value) < 16 ? 16 - strlen(value) : 0), "",
	       pmio_source_name(s->from[which]), "", info->help);
}

int tool_conf(struct tool *tool, int argc, char **argv)
{
	static const struct argp argp = {
		.doc = "show every setting: its name, its value, where that came from, what it is for",
	};
	struct json_object *settings = NULL;
	char dir[PATH_MAX];

	tool_parse(tool, &argp, NULL, argc, argv);
	if (tool_pool_dir(tool, dir) != TOOL_DONE)
		return TOOL_FAILED;
	if (tool->json)
		settings = json_object_new_array();
	for (int i = 0; i < PMIO_NR_SETTINGS; i++) {
		enum pmio_setting which = (enum pmio_setting)i;
		const char *value = which == PMIO_SET_POOL ? dir : tool->settings.str[i];

		if (settings)
			json_object_array_add(settings, setting_json(&tool->settings, which, value));
		else
			print_row(&tool->settings, which, value);
	}
	if (settings) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "settings", settings);
		tool_print_json(o);
	}
	return tool->bad_settings ? TOOL_FAILED : TOOL_DONE;
}
