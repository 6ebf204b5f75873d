#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify owners: which guests hold a content.

load ../lib/farm

V=usr/share/vu

# owners CODE OPERAND...: with --json
owners() {
	vx "$1" owners --json "${@:2}"
}

# names: "unified g1:path" of each
names() {
	jq -r 'select(.type == "owner") | (if .unified then "unified " else "private " end) + .guest + ":" + .path' <<<"$OUT" | sort
}

held() {
	eq "$(names)" "$(printf '%s\n' "$@" | sort)" "${FUNCNAME[1]}"
}

digest() {
	sha256sum "$1" | cut -d' ' -f1
}

@test "by a file of a guest, of the host, and by its digest: unified and private names" {
	printf x >"$G/g2/$V/f1"
	cp "$G/g1/$V/f1" "$G/g3/usr/share/copy"
	vx 0 scan "$G"/g?
	local all=("unified g1:$V/f1" "unified g3:$V/f1" "private g3:usr/share/copy") what d
	cp "$G/g1/$V/f1" "$STATE/f1"
	d=$(digest "$STATE/f1")
	for what in "g1:/$V/f1" "$G/g3/usr/share/copy" "$STATE/f1" "$d" "sha256:$d" "${d^^}"; do
		owners 0 "$what"
		held "${all[@]}"
		eq "$(sum_of sha256)" "\"$d\"" "$what"
		eq "$(sum_of size)" "$(stat -c %s "$STATE/f1")" "size by $what"
	done
	owners 0 --full "$d"
	held "${all[@]}"
	vx 0 owners "$d"
	has "$OUT" "^unified g1:/$V/f1$"
	has "$OUT" '2 of 3 guests hold it by 3 names \(2 unified, 1 private\)'
}

@test "a file that no scan had to read" {
	vx 0 scan "$G"/g?
	# nobody has one of its size
	seq 1 1234 >"$G/g2/usr/share/alone"
	vx 0 scan "$G"/g?
	owners 0 "g2:usr/share/alone"
	held "private g2:usr/share/alone"
	owners 3 "$(digest "$G/g2/usr/share/alone")"
	held
	has "$OUT" 'never read'
	(($(sum_of unread) > 0)) || die "unread: $OUT"
	owners 0 --full "$(digest "$G/g2/usr/share/alone")"
	held "private g2:usr/share/alone"
	owners 0 "$(printf 'nobody has this' | sha256sum | cut -d' ' -f1)" --full
	held
	eq "$(sum_of unread)" 0 "unread"
}

@test "what was recorded and is not so any more, what came since, and excluded places" {
	vx 0 scan "$G"/g?
	local d
	d=$(digest "$G/g1/$V/f1")
	vx 0 unmerge g2
	printf 'other content!\n' >"$G/g2/$V/f1"
	chattr -i "$G/g3/$V/f1"
	rm "$G/g3/$V/f1"
	mkdir -p "$G/g3/usr/new" "$G/g1/srv"
	printf 'common file 1\n' | tee "$G/g3/usr/new/f" >"$G/g1/srv/f"
	owners 0 "$d"
	held "unified g1:$V/f1"
	eq "$(jq -r 'select(.type == "summary") | [.guests[] | .outdated] | @csv' <<<"$OUT")" 0,0,1 outdated
	owners 0 --full "$d"
	held "unified g1:$V/f1" "private g1:srv/f" "private g3:usr/new/f"
}

@test "guests of which too little is known are told" {
	vx 0 scan "$G"/g1 "$G"/g2
	vx 0 guests add "$G/g3"
	owners 3 "g1:$V/f1"
	has "$OUT" '"guest": ?"g3".*never scanned'
	vx 0 scan
	owners 0 "g1:$V/f1"
	echo 'Package: new' >"$G/g2/var/lib/dpkg/status"
	vx 3 owners "g1:$V/f1"
	has "$ERR" 'g2: its packages have changed'
	vx 0 owners --full "g1:$V/f1"
	rm -rf "$G/g3/usr/share/own-3"
	mv "$G/g3" "$G/away"
	vx 3 owners "g1:$V/f1"
	has "$ERR" 'g3.*is not there'
}

@test "operands that make no sense; hostile names; links of a guest are not followed" {
	vx 10 owners /etc/passwd
	printf 'secret' >"$STATE/secret"
	ln -s "$STATE/secret" "$G/g1/usr/share/link"
	cp "$G/g1/$V/f1" "$G/g1/usr/share/a"$'\n'"<script>"
	vx 0 scan "$G"/g?
	vx 1 owners "$STATE/nothing"
	vx 1 owners "g1:nothing"
	vx 2 owners "g1:usr/share"
	vx 2 owners "g1:usr/share/link"
	vx 1 owners "g1:../g2/$V/f1"
	vx 2 owners /dev/zero
	vx 2 owners
	vx 0 owners "g1:$V/f1"
	has "$OUT" '^private g1:/usr/share/a\\n<script>$'
}

@test "private copies that unmerge made" {
	vx 0 scan "$G"/g?
	vx 0 unmerge g2
	owners 0 "g1:$V/f1"
	held "unified g1:$V/f1" "private g2:$V/f1" "unified g3:$V/f1"
}
