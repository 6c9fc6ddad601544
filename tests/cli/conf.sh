#!/bin/bash
# pmio conf: where values come from, and that the manual has the same table
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
plan 7

# no agent is started here, and the default pool must not be touched at the end
trap 'rm -rf "$T"' EXIT
pool=$PMIO_POOL
unset PMIO_POOL PMIO_POOL_SIZE PMIO_IDLE_TIMEOUT PMIO_AGENT
value() { echo "[s for s in o['settings'] if s['name'] == '$1'][0]"; }

defaults() {
	expect 0 "$PMIO" conf --json && silent &&
		json "all(s['from'] == 'default' for s in o['settings']) and len(o['settings']) >= 10" &&
		json "$(value pool)['value'] == '/dev/shm/pmio-$(id -u)'" &&
		json "$(value drain)['value'] == 'close'" &&
		json "$(value idle_timeout)['value'] == 60"
}
check "defaults" defaults

order() {
	printf '[pmio]\n# a comment\ndrain = hold\nidle_timeout = 7\npool = /from/file\n' >"$T/conf"
	export PMIO_CONF=$T/conf
	PMIO_IDLE_TIMEOUT=8 expect 0 "$PMIO" conf --json --pool=/from/option && silent &&
		json "$(value drain)['value'] == 'hold' and $(value drain)['from'] == 'configuration file'" &&
		json "$(value idle_timeout)['value'] == 8 and $(value idle_timeout)['from'] == 'environment'" &&
		json "$(value pool)['value'] == '/from/option' and $(value pool)['from'] == 'command line'" &&
		json "$(value cache)['from'] == 'default'" &&
		expect 0 "$PMIO" conf && says '^drain +hold +\(configuration file\)' &&
		says '^pool +/from/file +\(configuration file\)'
}
check "command line, environment, file, default" order

home_file() {
	mkdir -p "$T/home/.config/pmio" && echo 'cache = drop' >"$T/home/.config/pmio/pmio.conf" &&
		unset PMIO_CONF && HOME=$T/home expect 0 "$PMIO" conf --json &&
		json "$(value cache)['value'] == 'drop' and $(value cache)['from'] == 'configuration file'"
}
check "the file in the home folder" home_file
export PMIO_CONF=/dev/null

bad_values() {
	local setting bad
	while read -r setting bad; do
		env "$setting=$bad" timeout 20 "$PMIO" conf --json >"$OUT" 2>"$ERR"
		[ $? = 1 ] && one_line "\"$bad\" is not" && json "all(s['from'] == 'default' for s in o['settings'])" &&
			env PMIO_POOL="$pool" "$setting=$bad" timeout 20 "$FILEIO" "$PFS/never" >"$OUT" 2>"$ERR"
		[ $? = 1 ] && one_line "\"$bad\" is not" && [ ! -e "$PFS/never" ] || return 1
	done <<-'END'
		PMIO_DRAIN later
		PMIO_CACHE 1
		PMIO_FALLBACK closes
		PMIO_DRAIN_THREADS 0
		PMIO_DRAIN_THREADS 65
		PMIO_IDLE_TIMEOUT -1
		PMIO_IDLE_TIMEOUT 1m
		PMIO_POOL_SIZE 1KiB
		PMIO_CHUNK_SIZE 1TiB
		PMIO_LOG loud
	END
}
check "bad values: one line with what would be valid, nothing is done" bad_values

bad_file() {
	echo 'drian = hold' >"$T/conf" && PMIO_CONF=$T/conf expect 1 "$PMIO" conf &&
		one_line "$T/conf: unknown setting \"drian\"" &&
		echo 'drain' >"$T/conf" && PMIO_CONF=$T/conf expect 1 "$PMIO" conf && one_line "$T/conf.*line 1" &&
		PMIO_CONF=$T/none expect 1 "$PMIO" conf && one_line "$T/none"
}
check "bad configuration files" bad_file

manual() {
	expect 0 "$PMIO" conf --json && python3 - "$OUT" "$top_srcdir/doc/man/pmio.7" "$top_srcdir/doc/settings.md" <<-'END'
	import json, re, sys
	units = ["", "KiB", "MiB", "GiB", "TiB", "PiB"]
	def size(n):
	    u = 0
	    while n >= 1024 and n % 1024 == 0:
	        n, u = n // 1024, u + 1
	    return "%d%s" % (n, units[u])
	def entry(s):
	    show = size if s["type"] == "size" else str
	    if "choices" in s:
	        what = s["choices"].replace("|", " | ")
	    elif "max" in s:
	        what = show(s["min"]) + " to " + show(s["max"])
	    else:
	        what = ""
	    default = re.sub(r"^/.*/", "SBINDIR/", s["default"])
	    return ".It Va %s Pq %s%s%s" % (s["name"], what + " ; " if what else "", "default: " + default if default else "no default",
	                                       " ; hint" if s["hint"] else "")
	page = open(sys.argv[2]).read()
	page = page[page.index(".Sh SETTINGS"):page.index(".Sh ENVIRONMENT")]
	words = " ".join(page.split())
	settings = json.load(open(sys.argv[1]))["settings"]
	bad = 0
	for s in settings:
	    want = " ".join((entry(s) + " " + s["help"]).split())
	    if want not in words:
	        print("not in pmio(7): " + want)
	        bad = 1
	named = re.findall(r"^\.It Va (\S+) Pq", page, re.M)
	if named != [s["name"] for s in settings]:
	    print("pmio(7) has", named)
	    bad = 1
	page = open(sys.argv[3]).read()
	for s in settings:
	    if "`%s`" % s["name"] not in page:
	        print("not in doc/settings.md: " + s["name"])
	        bad = 1
	sys.exit(bad)
	END
}
check "the table in pmio(7) is that of pmio conf" manual

# each page, except for what mandoc says of pages that are not installed yet
lint() {
	command -v mandoc >/dev/null || { echo "no mandoc"; return 77; }
	local page bad=0
	for page in $(cd "$top_srcdir/doc/man" && ls); do
		# sections ERRORS are wanted outside of 2, 3, 4, 9 too
		mandoc -Tlint -Wwarning "$top_srcdir/doc/man/$page" 2>/dev/null |
			grep -v 'unexpected section: Sh ERRORS' && bad=1
		grep -q '^\.Sh EXAMPLES' "$top_srcdir/doc/man/$page" &&
			grep -q '^\.Sh ERRORS' "$top_srcdir/doc/man/$page" || { echo "$page: a section is missing"; bad=1; }
	done
	return $bad
}
check "manual pages are clean" lint

exit $tap_failed
