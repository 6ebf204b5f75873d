# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# A vunify with one safeguard taken out, or one part that does harm (lib/base/sabotage.h). Needs STATE, a directory.

# sabotaged KIND: a vunify with that taken out, made of the objects of the build and of the few that are
# compiled anew; sets VUNIFY.
sabotaged() {
	local dir=$STATE/sabotaged build=${VU_BUILD:-$VU_TOP/build} file command objects=() link
	mkdir "$dir"
	while read -r file; do
		command=$(jq -r --arg f "/$file" '[.[] | select(.file | endswith($f)) | .command][0]' \
			"$build/compile_commands.json")
		command=${command/ -o */} objects+=("$dir/${file##*/}.o")
		(cd "$build" && eval "$command -DVU_SABOTAGE=$1 -o '$dir/${file##*/}.o' -c '$VU_TOP/$file'") || return
	done < <(cd "$VU_TOP" && grep -rl --include='*.c' sabotage.h lib)
	((${#objects[@]} >= 4)) || die "few files know of sabotage: ${objects[*]}" || return
	# Found before those in the libraries, they are what is taken.
	link=$(ninja -C "$build" -t commands vunify | tail -n 1)
	[[ $link == *" -o vunify "* ]] || die "cannot tell how vunify is linked: $link" || return
	(cd "$build" && eval "${link/ -o vunify / -o \'$dir/vunify\' ${objects[*]} }") || return
	VUNIFY=$dir/vunify
}
