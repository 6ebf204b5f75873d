#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# vunify remerge behind real package managers: three copies of a real guest share all their files, a package of which two
# versions are built here too. A guest upgrades it by its own dpkg, under vunify run, and remerge puts together what is
# equal: the files that both versions have in common at once, the others when other guests follow, and all of them with the
# objects of before when it is downgraded. The tests follow each other on the same guests.

# shellcheck source=tests/lib/vunify.bash
. "$BATS_TEST_DIRNAME/../lib/vunify.bash"

VX_SECONDS=300
N=120 # files of the package; every third differs between its versions

setup_file() {
	local rc=0
	export REAL_WHY='' REAL_MNT='' REAL_STATE=''
	[[ $(id -u) == 0 ]] || REAL_WHY="needs root"
	command -v dpkg-deb >/dev/null || REAL_WHY="needs dpkg-deb"
	[[ -z $REAL_WHY ]] || return 0
	"$VU_TOP/tests/lib/make-guests" -m -C 2>"$BATS_FILE_TMPDIR/why" || rc=$?
	((rc != 77)) || REAL_WHY=$(tail -n 1 "$BATS_FILE_TMPDIR/why")
	((rc == 0 || rc == 77)) || { cat "$BATS_FILE_TMPDIR/why" >&2 && return 1; }
	[[ -z $REAL_WHY ]] || return 0
	if ! vu_fs_make ext4 1200; then
		REAL_WHY=$VU_FS_WHY
		return 0
	fi
	vu_tmp
	REAL_MNT=$VU_MNT REAL_STATE=$VU_DIR
}

setup() {
	[[ -z $REAL_WHY ]] || skip "$REAL_WHY"
	MNT=$REAL_MNT STATE=$REAL_STATE
	G=$MNT/guests CONF=$STATE/vunify.conf CAT=$STATE/catalog.db
}

teardown_file() {
	vu_fs_clean
}

# make_deb VERSION: a package with files that are the same in each version, and files that are not.
make_deb() {
	local v=$1 d=$STATE/deb-$1 i
	mkdir -p "$d/DEBIAN" "$d/usr/share/vu-demo/more" "$d/usr/bin"
	printf 'Package: vu-demo\nVersion: %s\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: demo\n' \
		"$v" >"$d/DEBIAN/control"
	for ((i = 0; i < N; i++)); do
		{ seq "$i" $((i + 900)) && ((i % 3 == 0)) && echo "version $v" || :; } >"$d/usr/share/vu-demo/f$i"
	done
	printf '#!/bin/sh\necho %s\n' "$v" >"$d/usr/bin/vu-demo"
	chmod 755 "$d/usr/bin/vu-demo"
	ln "$d/usr/share/vu-demo/f1" "$d/usr/share/vu-demo/more/f1"
	# As a build of the same source on another day: times are those of the last change of the file.
	find "$d/usr" -exec touch -h -d @1600000000 {} +
	SOURCE_DATE_EPOCH=1600000000 dpkg-deb --root-owner-group -Znone -b "$d" "$STATE/vu-demo_$v.deb" >/dev/null
}

DPKG='export DEBIAN_FRONTEND=noninteractive LC_ALL=C; cd /; dpkg -i /root/vu-demo_'

# in_guest GUEST VERSION: by the guest's dpkg, with copy-on-write.
in_guest() {
	cp "$STATE/vu-demo_$2.deb" "$G/$1/root/"
	vx 0 run "$1" -- sh -ec "$DPKG$2.deb"
	eq "$(chroot "$G/$1" vu-demo)" "$2" "what runs in $1"
	vx 0 run "$1" -- sh -ec 'dpkg --verify vu-demo; dpkg --audit'
	eq "$OUT$ERR" "" "what dpkg finds"
}

# inodes GUEST: of the package's files
inodes() {
	(cd "$G/$1" && find usr/share/vu-demo usr/bin/vu-demo -type f -printf '%p %i\n' | sort)
}

shared() {
	local g
	for g in "${@:2}"; do
		same_text <(inodes "$1") <(inodes "$g") "inodes of $1 and $g"
	done
	is_object "$G/$1/usr/share/vu-demo/f0"
	is_object "$G/$1/usr/bin/vu-demo"
}

others_same() {
	say_manifest "$@" >"$STATE/after"
	same_text "$STATE/before" "$STATE/after" "seen from inside"
	"$VU_TOP/tests/lib/pool-check" "$MNT"
}

@test "three guests share a package" {
	local g
	"$VU_TOP/tests/lib/make-guests" -m -r -n 3 "$G"
	make_deb 1
	make_deb 2
	for g in g01 g02 g03; do
		cp "$STATE/vu-demo_1.deb" "$G/$g/root/"
		"$VU_TOP/tests/lib/plain-run" "$G/$g" sh -ec "${DPKG}1.deb" >"$STATE/plain" 2>&1 </dev/null 3>&- ||
			die "dpkg in $g: $(tail -n 3 "$STATE/plain")"
	done
	conf <<<$'[policy]\nmin_size = 1\nunify_setid = yes'
	vx 0 scan "$G"/g0?
	shared g01 g02 g03
	inodes g01 >"$STATE/version-1"
	eq "$(wc -l <"$STATE/version-1")" $((N + 2)) "files of the package"
	vx 0 remerge
	has "$OUT" '^0 files were unified'
	has "$OUT" '^0 files had come apart'
}

@test "the first guest is upgraded: what both versions have is unified again, what differs is not" {
	say_manifest "$G/g02" "$G/g03" >"$STATE/before"
	in_guest g01 2
	vx 0 remerge --json
	inodes g01 >"$STATE/first"
	eq "$(comm -12 "$STATE/version-1" "$STATE/first" | wc -l)" $((N - N / 3 + 1)) "files with their old objects"
	is_private "$G/g01/usr/share/vu-demo/f3"
	is_private "$G/g01/usr/bin/vu-demo"
	same "$G/g01/usr/share/vu-demo/f1" "$G/g01/usr/share/vu-demo/more/f1"
	((10#$(sum_of 'guests[0].again') >= N - N / 3 + 1)) || die "again: $(sum_of 'guests[0].again')"
	((10#$(sum_of 'guests[0].broken_skips.unique') >= N / 3 + 1)) || die "stay: $(sum_of 'guests[0].broken_skips')"
	eq "$(sum_of 'guests[1].broken + .guests[2].broken')" 0 "broken in the others"
	others_same "$G/g02" "$G/g03"
}

@test "the others follow one by one, and join the first one's files" {
	in_guest g02 2
	vx 0 remerge g01 g02
	shared g01 g02
	in_guest g03 2
	vx 0 remerge g03
	shared g01 g02 g03
	inodes g01 >"$STATE/version-2"
	"$VU_TOP/tests/lib/pool-check" "$MNT"
}

@test "downgraded, the first guest alone has no one to share with; then all of them are one again" {
	in_guest g01 1
	vx 0 remerge
	eq "$(comm -12 "$STATE/version-2" <(inodes g01) | wc -l)" $((N - N / 3 + 1)) "files that both versions have"
	in_guest g02 1
	in_guest g03 1
	vx 0 remerge
	shared g01 g02 g03
}

@test "an upgrade that is taken back: the files are names of the old objects again" {
	inodes g02 >"$STATE/version-1"
	say_manifest "$G/g02" "$G/g03" >"$STATE/before"
	in_guest g01 2
	vx 0 remerge
	is_private "$G/g01/usr/share/vu-demo/f3"
	in_guest g01 1
	vx 0 remerge --json
	same_text "$STATE/version-1" <(inodes g01) "the old objects"
	eq "$(sum_of 'guests[0].skips["pending"]')" null "what could not be unified"
	others_same "$G/g02" "$G/g03"
}

@test "the other guests upgrade first, the first one later" {
	in_guest g02 2
	in_guest g03 2
	vx 0 remerge
	shared g02 g03
	same_text "$STATE/version-1" <(inodes g01) "the first one has what it had"
	in_guest g01 2
	vx 0 remerge
	shared g02 g03 g01
}

@test "a real package is installed again: all its files are names of their objects again" {
	local deb
	deb=$(find "${VU_TEST_CACHE:-/var/cache/vunify-tests}/packages" -name 'coreutils_*.deb' | head -n 1)
	[[ -n $deb ]] || skip "coreutils is not in the cache"
	cp "$deb" "$G/g01/root/coreutils.deb"
	(cd "$G/g01" && find usr bin -xdev -type f -printf '%p %i\n' | sort) >"$STATE/inodes-a"
	vx 0 run g01 -- sh -ec 'export LC_ALL=C; cd /; dpkg -i /root/coreutils.deb'
	(cd "$G/g01" && find usr bin -xdev -type f -printf '%p %i\n' | sort) >"$STATE/inodes-b"
	(($(comm -13 "$STATE/inodes-a" "$STATE/inodes-b" | wc -l) > 100)) || die "dpkg has replaced nothing"
	vx 0 remerge --json
	(($(sum_of 'guests[0].again') > 100)) || die "again: $(sum_of 'guests[0].again')"
	(cd "$G/g01" && find usr bin -xdev -type f -printf '%p %i\n' | sort) >"$STATE/inodes-b"
	same_text "$STATE/inodes-a" "$STATE/inodes-b" "inodes"
	echo "# $(sum_of 'guests[0].again') files of coreutils are the old objects again" >&3
}
