#!/bin/bash
# mutants.sh -- each flush and fence left out in turn: a crash test must find fault, or
# mutants.txt say why none can; TAP, one line for each
#
# mutants.sh                         of the frames' protocol: quick
# mutants.sh --all                   of agent, clients and pool as well, and syncs of the file system
# mutants.sh --all PART-OF-A-NAME    only these
. "${top_srcdir:-.}/tests/env.sh"

list=$top_srcdir/tests/crash/mutants.txt
: >"$T/out"
programs=test_crash_frame
[ "${1-}" = --all ] && programs="$programs test_crash_world" && shift
for program in $programs; do
	"$top_builddir/tests/crash/$program" --mutants ${1:+"$1"} >>"$T/out" 2>"$T/err" || {
		echo "Bail out! $program --mutants: exit status $?"
		cat "$T/err"
		exit 99
	}
done

# one of the programs must miss it; an entry of the list must be needed, and name what there is
awk -F '\t' -v part="${1-}" '
	FNR == NR {
		if ($0 !~ /^(#|$)/) {
			i = index($0, ": ")
			why[substr($0, 1, i - 1)] = substr($0, i + 2)
		}
		next
	}
	{ split($1, word, " "); compiled[word[1]] = 1 }
	!($1 in said) { name[++nr] = $1; said[$1] = "unreached" }
	$2 == "caught" && said[$1] != "caught" { said[$1] = $2; how[$1] = $3 }
	$2 == "survived" && said[$1] == "unreached" { said[$1] = $2 }
	function result(good, text) {
		if (!good)
			bad = 1
		printf "%s %d - %s\n", good ? "ok" : "not ok", ++n, text
	}
	END {
		for (w in why) {
			split(w, word, " ")
			if (!(w in said) && (word[1] in compiled) && (part == "" || index(w, part)))
				gone[++nr_gone] = w
		}
		print "1.." nr + nr_gone
		for (i = 1; i <= nr; i++) {
			s = name[i]
			if (s in why)
				result(said[s] != "caught", s ": " (said[s] == "caught" ? \
					"listed, but missed: " how[s] : "redundant: " why[s]))
			else
				result(said[s] == "caught", s ": " (said[s] == "caught" ? how[s] : said[s]))
		}
		for (i = 1; i <= nr_gone; i++)
			result(0, gone[i] ": listed, but not in the code")
		exit bad
	}' "$list" "$T/out"
