# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Completion for vunify. Commands, options and choices come from the program: vunify --dump-options.

_vunify_words() {
	# $1: command or ""; options of it and of all commands, and its sub-commands or the commands
	"${COMP_WORDS[0]}" --dump-options 2>/dev/null | awk -F'\t' -v cmd="$1" '
		$1 == "option" && ($2 == "-" || $2 == cmd) {
			print "--" $4
			if ($3 != "-") print "-" $3
		}
		$1 == "command" && cmd == "" && $2 !~ / / { print $2 }
		$1 == "command" && cmd != "" && index($2, cmd " ") == 1 { print substr($2, length(cmd) + 2) }'
}

# Names of guests, for the commands that take them.
_vunify_guests() {
	case $1 in
	scan | remerge | status | df | doctor | run | unmerge | export | recover | diff | remove | clone | propagate | gc | verify | pages | mem | stale | 'guests set' | 'guests remove' | 'template add' | 'template remove' | 'ksm '*)
		"${COMP_WORDS[0]}" guests --columns=guest --no-legend 2>/dev/null
		;;
	esac
}

# The choices of an option, one a line; "-" if its value is free; nothing if it takes none.
_vunify_choices() {
	"${COMP_WORDS[0]}" --dump-options 2>/dev/null | awk -F'\t' -v opt="${1#--}" '
		$1 == "option" && $4 == opt && $5 != "-" {
			gsub(/\|/, "\n", $6); print $6; exit
		}'
}

_vunify() {
	local cur prev i cmd='' choices
	cur=${COMP_WORDS[COMP_CWORD]}
	prev=${COMP_WORDS[COMP_CWORD - 1]}
	COMPREPLY=()
	# "--mtime=ex" arrives as "--mtime" "=" "ex".
	if [[ $cur == '=' ]]; then
		cur=''
	elif [[ $prev == '=' ]]; then
		prev=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--*)
			# its value is no command
			if [[ ${COMP_WORDS[i + 1]} == '=' ]]; then
				((i += 2))
			elif [[ -n $(_vunify_choices "${COMP_WORDS[i]}") ]]; then
				((i += 1))
			fi
			;;
		-*) ;;
		*)
			if [[ -z $cmd ]]; then
				cmd=${COMP_WORDS[i]}
			elif [[ $cmd == guests || $cmd == cowd || $cmd == template || $cmd == ksm ]]; then
				cmd="$cmd ${COMP_WORDS[i]}"
			fi
			;;
		esac
	done
	if [[ $prev == --* ]]; then
		choices=$(_vunify_choices "$prev")
		if [[ $choices == - ]]; then
			compopt -o default
			return
		elif [[ -n $choices ]]; then
			mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$cur")
			return
		fi
	fi
	if [[ -z $cmd || $cmd == guests || $cmd == cowd || $cmd == template || $cmd == ksm || $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_vunify_words "$cmd")" -- "$cur")
	else
		mapfile -t COMPREPLY < <(compgen -W "$(_vunify_guests "$cmd")" -- "$cur")
	fi
	((${#COMPREPLY[@]})) || compopt -o default
}

complete -F _vunify vunify
