/*
 * fuzz_directives.c -- any text as a job's script: slurm/pmio_directives.lua and job_submit.lua, by libFuzzer
 *
 * They run in Slurm's Lua, in slurmctld.  Whatever a user writes, they end soon, raise no error, say what is wrong in a
 * short line without control characters, and what they take is within what the code behind them relies on
 * (fuzz_directives.lua).  Each line of Lua that runs is a counter of libFuzzer's, so that it finds new ways.
 */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define NR_COUNTERS (1 << 11)
#define STEPS_MAX 20000000 /* of Lua; what it does in C is up to libFuzzer's -timeout */

/* of lines: job_submit.lua's are from 1000 on; libFuzzer looks at what is in this section */
__attribute__((section("__libfuzzer_extra_counters"), used)) static uint8_t counters[NR_COUNTERS];

static lua_State *lua;
static int steps;

static void hook(lua_State *l, lua_Debug *ar)
{
	if (ar->event == LUA_HOOKLINE) {
		counters[ar->currentline % NR_COUNTERS]++;
		return;
	}
	steps += 1000;
	if (steps > STEPS_MAX)
		luaL_error(l, "it has no end");
}

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, lua_tostring(lua, -1));
	abort();
}

static void start(void)
{
	const char *folder = getenv("FUZZ_LUA"), *tests = getenv("FUZZ_DIRECTIVES");

	if (!folder || !tests) {
		fputs("FUZZ_LUA: a folder with slurm/'s files and pmio-slurm.conf; FUZZ_DIRECTIVES: fuzz_directives.lua\n", stderr);
		exit(1);
	}
	lua = luaL_newstate();
	luaL_openlibs(lua);
	lua_pushstring(lua, folder);
	lua_setglobal(lua, "FOLDER");
	if (luaL_dofile(lua, tests) || !lua_isfunction(lua, -1))
		die(tests);
	lua_sethook(lua, hook, LUA_MASKLINE | LUA_MASKCOUNT, 1000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!lua)
		start();
	steps = 0;
	lua_pushvalue(lua, -1);
	lua_pushlstring(lua, (const char *)data, size);
	if (lua_pcall(lua, 1, 0, 0))
		die("the script above");
	return 0;
}
