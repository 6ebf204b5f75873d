# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Guests with packages, as dpkg would write them down, and a template among them. Loaded after farm.bash.
#
#   packaged VERSION [G...]   the package "vu" of that version owns usr/share/vu/*, "tool" 1 usr/bin/tool
#   rewrite FILE [WORD]       gives it another content and mtime, as a tool does it: a new file, renamed over it

TOOL=usr/bin/tool

packaged() {
	local version=$1 g
	shift
	(($#)) || set -- "$G"/g?
	for g in "$@"; do
		mkdir -p "$g/var/lib/dpkg/info"
		{
			printf 'Package: vu\nStatus: install ok installed\nArchitecture: all\nVersion: %s\n\n' "$version"
			printf 'Package: tool\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n'
		} >"$g/var/lib/dpkg/status"
		{
			printf '/.\n/usr\n/usr/share\n/usr/share/vu\n'
			(cd "$g" && find usr/share/vu -name __pycache__ -prune -o -type f -printf '/%p\n' | sort)
		} >"$g/var/lib/dpkg/info/vu.list"
		printf '/.\n/usr\n/usr/bin\n/usr/bin/tool\n' >"$g/var/lib/dpkg/info/tool.list"
		[[ -e $g/$TOOL ]] || {
			seq 1 3000 >"$g/$TOOL"
			chmod 755 "$g/$TOOL"
			touch -d @1600000000.123456789 "$g/$TOOL"
		}
	done
}

rewrite() {
	local f=$1 word=${2:-rewritten} new
	new=$(mktemp "${f%/*}/.new.XXXXXX") || return
	{
		cat "$f"
		printf '%s\n' "$word"
	} >"$new" || return
	chmod --reference="$f" "$new"
	chown --reference="$f" "$new"
	getfattr -d -m - --absolute-names "$f" 2>/dev/null | sed "s|^# file: .*|# file: $new|" | setfattr --restore=- 2>/dev/null || :
	touch -d @1650000000.5 "$new"
	if flagged "$f"; then
		vu unmerge -q "$f" || return
	fi
	mv "$new" "$f"
}
