#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later

bats_require_minimum_version 1.5.0
# Help, man page, completion and behaviour say the same.

setup() {
	TOP=${VU_TOP:-$BATS_TEST_DIRNAME/../..}
	V=${VUNIFY:-$TOP/build/vunify}
	data=$("$V" --dump-options)
}

# Commands without subs of their own.
leaves() {
	printf '%s\n' "$data" | awk -F'\t' '$1 == "command" && $3 !~ /^\[.*\|/ { print $2 }'
}

page() {
	"$TOP/contrib/man/gen-options" "$V" <"$TOP/contrib/man/vunify.8.scd"
}

@test "--help lists every command, and each has help of its own" {
	run -0 "$V" --help
	top=$output
	while read -r cmd; do
		[[ $top == *"  ${cmd%% *} "* ]]
		# shellcheck disable=SC2086
		run -0 "$V" $cmd --help
		[[ $output == "Usage: vunify $cmd"* ]]
		help=$output
		# shellcheck disable=SC2086
		run -0 "$V" help $cmd
		[[ $output == "$help" ]]
	done < <(leaves)
}

@test "every option of the data is shown by --help, and the other way round" {
	while read -r cmd; do
		# shellcheck disable=SC2086
		shown=$("$V" $cmd --help | grep -oE '^ +(-.,)? *--[a-z-]+' | grep -oE -- '--[a-z-]+' | sort)
		known=$(printf '%s\n' "$data" |
			awk -F'\t' -v c="$cmd" '$1 == "option" && ($2 == "-" || $2 == c) { print "--" $4 }' | sort)
		[[ -n $known && $shown == "$known" ]]
	done < <(leaves)
}

@test "the man page has every command and option, and no other" {
	man=$(page)
	[[ $man != *@* ]]
	for kind in command option; do
		if [[ $kind == option ]]; then
			known=$(printf '%s\n' "$data" | awk -F'\t' '$1 == "option" { print "--" $4 }' | sort -u)
			shown=$(printf '%s\n' "$man" | grep -oE '^(\*-.\*, )?\*--[a-z-]+' | grep -oE -- '--[a-z-]+' | sort -u)
		else
			known=$(printf '%s\n' "$data" | awk -F'\t' '$1 == "command" { print $2 }' | sort)
			shown=$(printf '%s\n' "$man" | sed -n 's/^## vunify \([a-z]*\( \(list\|add\|remove\|set\|run\|profile\|serve\|answer\|status\|attach\|detach\)\)\{0,1\}\).*/\1/p' | sort)
		fi
		[[ -n $known && $shown == "$known" ]]
	done
}

@test "the man page has every exit status of --help" {
	man=$(page)
	run -0 "$V" --help
	n=0
	while read -r code text; do
		[[ $man == *"*$code*"$'\n\t'"$text."* ]]
		n=$((n + 1))
	done < <(printf '%s\n' "$output" | sed -n '/^Exit status:/,/^$/p' | grep -E '^ +[0-9]')
	((n >= 11))
}

@test "scdoc accepts the pages" {
	command -v scdoc >/dev/null || skip "needs scdoc"
	page | scdoc >/dev/null
	scdoc <"$TOP/contrib/man/vunify.conf.5.scd" >/dev/null
}

@test "every key of the shipped configuration is in vunify.conf(5), and the other way round" {
	known=$(sed -n 's/^#\([a-z_]*\) =.*/\1/p' "$TOP/vunify.conf" | sort -u)
	shown=$(grep -oE '^\*[a-z_\\]+\* =' "$TOP/contrib/man/vunify.conf.5.scd" | tr -d '*\\ =' | sort -u)
	[[ -n $known && $shown == "$known" ]]
}

@test "every option of the data is known to the parser" {
	while IFS=$'\t' read -r _ cmd _ name arg choices _; do
		[[ $cmd != - ]] || cmd=status
		value=()
		[[ $arg == - ]] || value=("${choices%%|*}")
		[[ ${value[0]-} != - ]] || value=(1)
		# shellcheck disable=SC2086
		run -0 "$V" $cmd "--$name" "${value[@]}" --help
	done < <(printf '%s\n' "$data" | grep '^option')
}

@test "--version" {
	run -0 "$V" --version
	[[ $output =~ ^vunify\ [0-9]+\.[0-9]+ ]]
}

@test "completion knows commands, options and choices" {
	PATH=$(dirname "$V"):$PATH
	# shellcheck disable=SC1091
	. "$TOP/contrib/completion/vunify.bash"
	COMP_WORDS=("$V" sc) COMP_CWORD=1
	_vunify
	[[ ${COMPREPLY[*]} == scan ]]
	COMP_WORDS=("$V" scan --mt) COMP_CWORD=2
	_vunify
	[[ ${COMPREPLY[*]} == --mtime ]]
	COMP_WORDS=("$V" scan --mtime '=' ig) COMP_CWORD=4
	_vunify
	[[ ${COMPREPLY[*]} == ignore ]]
	COMP_WORDS=("$V" guests re) COMP_CWORD=2
	_vunify
	[[ ${COMPREPLY[*]} == remove ]]
}

@test "completion: the value of an option is no command, and guests have names" {
	PATH=$(dirname "$V"):$PATH
	# shellcheck disable=SC1091
	. "$TOP/contrib/completion/vunify.bash"
	COMP_WORDS=("$V" --catalog /tmp/x sc) COMP_CWORD=3
	_vunify
	[[ ${COMPREPLY[*]} == scan ]]
	COMP_WORDS=("$V" --catalog '=' /tmp/x sc) COMP_CWORD=4
	_vunify
	[[ ${COMPREPLY[*]} == scan ]]
	_vunify_guests() {
		[[ $1 == unmerge ]] && printf '%s\n' web1 web2 db
	}
	COMP_WORDS=("$V" unmerge we) COMP_CWORD=2
	_vunify
	[[ ${COMPREPLY[*]} == 'web1 web2' ]]
}
