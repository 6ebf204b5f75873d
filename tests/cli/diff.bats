#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify diff: what two guests share, differ in, or only one has.

FARM_GUESTS=2
load ../lib/farm

V=usr/share/vu

# files KIND: the paths of that kind, sorted
files() {
	jq -r --arg k "$1" 'select(.type == $k) | .path' <<<"$OUT" | sort
}

# The same, found out by looking at both trees with other tools.
oracle() {
	(cd "$G/g1" && find . -type f -printf '%P\n') | sort >"$STATE/a"
	(cd "$G/g2" && find . -type f -printf '%P\n') | sort >"$STATE/b"
	case $1 in
	a) comm -23 "$STATE/a" "$STATE/b" ;;
	b) comm -13 "$STATE/a" "$STATE/b" ;;
	*)
		comm -12 "$STATE/a" "$STATE/b" | while IFS= read -r f; do
			if [[ $G/g1/$f -ef $G/g2/$f ]]; then
				echo "shared $f"
			elif cmp -s "$G/g1/$f" "$G/g2/$f"; then
				echo "equal $f"
			else
				echo "different $f"
			fi
		done | sed -n "s/^$1 //p"
		;;
	esac
}

@test "all kinds, as cmp and stat see them; before and after a scan; read anew or not" {
	echo more >>"$G/g2/$V/f3"
	mkdir -p "$G/g1/usr/only/deep"
	echo x >"$G/g1/usr/only/deep/x"
	local when how kind
	for when in before after; do
		[[ $when == before ]] || vx 0 scan "$G/g1" "$G/g2"
		for how in '' --full; do
			vx 0 diff --json --list $how "$G/g1" "$G/g2"
			for kind in shared equal different a b; do
				files "$kind" >"$STATE/got"
				oracle "$kind" >"$STATE/wanted"
				same_text "$STATE/got" "$STATE/wanted" "$when $how $kind"
			done
			eq "$(sum_of different.files)" 3 "different files"
			eq "$(sum_of only_a.files)" "$(files a | wc -l)" "counted"
			eq "$(sum_of unknown.files)" 0 "unknown files"
			[[ $when$how != after ]] || (($(sum_of digests_recorded) > 0)) || die "the catalog was not asked"
			[[ $when$how != after--full ]] || eq "$(sum_of digests_recorded)" 0 "asked the catalog"
		done
	done
	(($(sum_of shared.files) > 100)) || die "hardly anything is shared"
}

@test "why equal files are not shared" {
	chmod 600 "$G/g2/$V/f1"
	chown 7 "$G/g2/$V/f2"
	setfattr -n user.vu -v other "$G/g2/$V/f3"
	ln "$G/g2/$V/f4" "$G/g2/var/f4"
	local f='.type == "equal"'
	vx 0 diff --json --only=equal "$G/g1" "$G/g2"
	eq "$(jq -r "select($f and .path == \"$V/f5\") | .skip" <<<"$OUT")" pending "before a scan"
	vx 0 scan "$G/g1" "$G/g2"
	vx 0 diff --json --only=equal g1 g2
	local path want
	while read -r path want; do
		eq "$(jq -r --arg p "$path" "select($f and .path == \$p) | .skip" <<<"$OUT")" "$want" "$path"
	done <<-END
		$V/f1 mode-differs
		$V/f2 owner-differs
		$V/f3 xattr-differs
		$V/f4 links-outside
		$V/late mtime-differs
		$V/empty empty
		usr/bin/setuid set-id
		etc/passwd excluded
	END
	eq "$(sum_of "equal_because[\"owner-differs\"]")" 1 "counted"
	eq "$(sum_of "equal_because.pending")" null "pending"
	vx 0 unmerge g2
	vx 0 diff --only=equal g1 g2
	has "$OUT" "^equal /$V/f5 \(.*\): pending"
	hasnt "$OUT" '^shared /'
}

@test "the catalog is not believed about a file that was written since" {
	vx 0 scan "$G/g1" "$G/g2"
	vx 0 diff --only=equal g1 g2
	has "$OUT" "^equal /$V/late "
	local was
	was=$(stat -c %y "$G/g1/$V/late")
	printf 'same bytes, ANOTHER mtime\n' >"$G/g1/$V/late"
	touch -d "$was" "$G/g1/$V/late"
	vx 0 diff --list g1 g2
	has "$OUT" "^different /$V/late "
}

@test "counts and ages for people; names that are hostile; without a catalog" {
	printf 'x' >"$G/g1/usr/share/a"$'\n'"<script>"
	vx 0 diff "$G/g1" "$G/g2"
	[[ ! -e $CAT ]] || die "it made a catalog"
	has "$OUT" '^equal +[0-9]+'
	has "$OUT" 'a: g1, last scanned never'
	vx 0 scan "$G/g1" "$G/g2"
	vx 0 diff -v g1 g2
	has "$OUT" '^shared +[0-9]+'
	has "$OUT" '^a /usr/share/a\\n<script> \(1 B\)$'
	has "$OUT" 'b: g2, last scanned 20'
	vx 0 diff --only=a g1 g2
	hasnt "$OUT" '^(shared|equal|different|b) /'
	vx 2 diff g1 g1
	vx 1 diff g1 "$G/nothing"
	vx 2 diff --only=none g1 g2
}

@test "a file where the other has a directory; links and mounts are not followed" {
	rm "$G/g2/$V/f1"
	mkdir "$G/g2/$V/f1"
	echo below >"$G/g2/$V/f1/below"
	mv "$G/g2/usr/share/own-2" "$G/g2/usr/share/own-1"
	ln -s /etc "$G/g1/usr/share/link"
	mkdir "$G/g2/usr/share/link" "$G/g1/usr/mnt" "$G/g2/usr/mnt"
	mount -t tmpfs none "$G/g1/usr/mnt"
	echo away >"$G/g1/usr/mnt/away"
	vx 0 diff --json --list "$G/g1" "$G/g2"
	umount "$G/g1/usr/mnt"
	eq "$(files different | paste -sd' ')" "etc/hostname usr/share/own-1 $V/f1 var/log/messages" different
	eq "$(files b)" "$V/f1/below" "only in b"
	eq "$(files a)" "" "only in a"
	eq "$(sum_of a.other_filesystems)" 1 "mounts"
}

@test "a tree deeper than a path can be, and one that cannot be read" {
	command -v python3 >/dev/null || skip "needs python3"
	python3 - "$G" <<-'END'
		import os, sys
		for g in ("g1", "g2"):
		    os.chdir(os.path.join(sys.argv[1], g, "usr"))
		    for i in range(600):
		        os.mkdir("d" * 20)
		        os.mkdir("z")
		        open("z/e", "w").write(g if i == 300 else "same")
		        os.chdir("d" * 20)
		    open("bottom", "w").write("equal")
	END
	vx 0 diff --json --list "$G/g1" "$G/g2"
	eq "$(files equal | grep -c '/bottom$')" 1 "the lowest file"
	eq "$(files different | grep -c '/e$')" 1 "the file in the middle"
	eq "$(files equal | grep -c '/e$')" 599 "equal files on the way"
	conf <<<$'[limits]\nmax_depth = 50'
	vx 3 diff "$G/g1" "$G/g2"
	has "$ERR" 'deeper than max_depth'
}
