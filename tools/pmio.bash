# pmio -- bash completion for the command pmio                      -*- shell-script -*-
#
# Commands and options are asked of pmio itself (--help), so that they are those of the
# one that is installed.  No agent is started: which files a pool knows is shown by an
# agent that runs, or, to `pmio recover`, by the pool.

# what stands before the word to be completed: $_pmio_cmd the program, $_pmio_commands its
# command ("pool create"), $_pmio_pool the option --pool
_pmio_parse() {
	local i word last=''
	_pmio_commands='' _pmio_pool=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $last in
		--pool | -p)
			[ "$word" = = ] && continue
			_pmio_pool=(--pool="$word")
			last=''
			continue
			;;
		esac
		last=$word
		case $word in
		-* | =) continue ;;
		esac
		case $_pmio_commands in
		'') _pmio_commands=$word ;;
		pool | agent | target) _pmio_commands="$_pmio_commands $word" ;;
		esac
	done
}

_pmio_help() {
	# shellcheck disable=SC2086
	"$_pmio_cmd" $_pmio_commands --help 2>/dev/null
}

_pmio_subcommands() { _pmio_help | sed -n '/^Commands/,/^$/s/^  \([a-z][a-z-]*\) .*/\1/p'; }
_pmio_options() { _pmio_help | grep -oE -- '(^|[ ,])--[a-z][a-z-]*=?' | tr -d ' ,' | sort -u; }

# the paths in what pmio printed as JSON; those with quotes or backslashes are left out
_pmio_paths() { sed -n 's/^ *"path": *"\([^"\\]*\)",\{0,1\}$/\1/p'; }

_pmio_files() {
	if "$_pmio_cmd" agent status "${_pmio_pool[@]}" >/dev/null 2>&1; then
		"$_pmio_cmd" ls "${_pmio_pool[@]}" --json 2>/dev/null | _pmio_paths
	elif [ "$_pmio_commands" = recover ]; then
		"$_pmio_cmd" recover "${_pmio_pool[@]}" --dry-run --json 2>/dev/null | _pmio_paths
	fi
}

_pmio_pools() { "$_pmio_cmd" pool list --json 2>/dev/null | sed -n 's/^ *"pool": *"\([^"\\]*\)",\{0,1\}$/\1/p'; }

# offer the lines of $2 that begin with $1; blanks in them are kept
_pmio_offer() {
	local line
	while IFS= read -r line; do
		[ -n "$line" ] && [[ $line == "$1"* ]] && COMPREPLY+=("$line")
	done <<<"$2"
}

_pmio_offer_dirs() { _pmio_offer "$1" "$(compgen -d -- "$1")"; }
_pmio_offer_paths() { _pmio_offer "$1" "$(compgen -f -- "$1")"; }

# the value of an option; 1: it has none
_pmio_value() {
	case $1 in
	--pool | -p) _pmio_offer "$2" "$(_pmio_pools)" && _pmio_offer_dirs "$2" ;;
	--to | -t) _pmio_offer_paths "$2" ;;
	--source) _pmio_offer_dirs "$2" ;;
	--size | -s | --chunk-size | -c | --jobs | -J | --count | --options | -o) ;;
	*) return 1 ;;
	esac
	compopt -o filenames 2>/dev/null
	return 0
}

_pmio_argument() {
	case $_pmio_commands in
	'' | pool | agent | target) _pmio_offer "$1" "$(_pmio_subcommands)" ;;
	'pool '*)
		compopt -o filenames 2>/dev/null
		_pmio_offer "$1" "$(_pmio_pools)"
		_pmio_offer_dirs "$1"
		;;
	mount | unmount)
		compopt -o filenames 2>/dev/null
		_pmio_offer_dirs "$1"
		;;
	stage-in | mpi-info | run)
		compopt -o filenames 2>/dev/null
		_pmio_offer_paths "$1"
		;;
	stat | drain | stage-out | rm | forget | recover)
		compopt -o filenames 2>/dev/null
		_pmio_offer "$1" "$(_pmio_files)"
		;;
	esac
}

_pmio() {
	local _pmio_cmd=$1 _pmio_commands _pmio_pool cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local IFS=$' \t\n'
	COMPREPLY=()
	_pmio_parse
	# "--pool=x" comes as three words
	if [ "$cur" = = ]; then
		cur=''
	elif [ "$prev" = = ] && ((COMP_CWORD > 1)); then
		prev=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	_pmio_value "$prev" "$cur" && return
	case $cur in
	-*)
		_pmio_offer "$cur" "$(_pmio_options)"
		[[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
		;;
	*) _pmio_argument "$cur" ;;
	esac
	return 0
}

complete -F _pmio pmio
