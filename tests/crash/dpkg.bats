#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# A real dpkg in a real guest, while scans run. What it replaces may be unified, and immutable then: it
# fails as the manual says, and can be finished after unmerge. Its own database says whether a file is
# what it should be.

# shellcheck source=tests/lib/vunify.bash
. "$BATS_TEST_DIRNAME/../lib/vunify.bash"

ROUNDS=3
[[ ${VU_NIGHTLY:-} != 1 ]] || ROUNDS=100

teardown() {
	farm_down
}

teardown_file() {
	vu_fs_clean
}

# Version N of a package with 60 files, of which some change with every version.
make_package() {
	local d=$STATE/p$1 i
	mkdir -p "$d/DEBIAN" "$d/usr/share/vu-package" "$d/etc"
	printf '%s\n' 'Package: vu-package' "Version: $1" 'Architecture: all' \
		'Maintainer: nobody <nobody@example.org>' 'Description: files for a test' >"$d/DEBIAN/control"
	for ((i = 0; i < 60; i++)); do
		printf 'file %d of version %d\n' "$i" $((i % 3 ? $1 : 0)) >"$d/usr/share/vu-package/f$i"
	done
	printf 'of version %d\n' "$1" >"$d/etc/vu-package.conf"
	echo /etc/vu-package.conf >"$d/DEBIAN/conffiles"
	(cd "$d" && find usr etc -type f -exec md5sum {} + >DEBIAN/md5sums)
	dpkg-deb --root-owner-group -b "$d" "$STATE/v$1.deb" >/dev/null
}

in_guest() {
	DEBIAN_FRONTEND=noninteractive chroot "$@"
}

# Version N stands in the guest, says its dpkg, and every other package is whole.
is_installed() {
	local g=$1 out
	eq "$(in_guest "$g" dpkg-query -W -f '${Status} ${Version}' vu-package)" "install ok installed $2" "$g"
	out=$(in_guest "$g" dpkg -V vu-package 2>&1) || :
	eq "$out" '' "dpkg -V in $g"
	(cd "$g" && md5sum --quiet -c var/lib/dpkg/info/vu-package.md5sums) || die "md5sums in $g"
}

# A plain chroot is no wall: one admin owns both guests here.
scans() {
	while [[ ! -e $STATE/enough ]]; do
		vu scan -q --trust-guests "$G"/g01 "$G"/g02 </dev/null >>"$STATE/scans" 2>&1 3>&- 4>&- || echo "code $?" >>"$STATE/codes"
	done
}

stop_scans() {
	touch "$STATE/enough"
	wait "$SCANS" || :
	rm "$STATE/enough"
}

@test "I1 I2: dpkg in a guest while scans run" {
	local rc=0 i failed=0 g
	command -v dpkg-deb >/dev/null || skip "needs dpkg-deb"
	"$VU_TOP/tests/lib/make-guests" -C 2>"$BATS_TEST_TMPDIR/why" || rc=$?
	((rc != 77)) || skip "$(tail -n 1 "$BATS_TEST_TMPDIR/why")"
	((rc == 0)) || die "$(cat "$BATS_TEST_TMPDIR/why")"
	farm_on ext4 1500
	"$VU_TOP/tests/lib/make-guests" -m -n 2 "$G"
	for ((i = 1; i <= ROUNDS + 1; i++)); do
		make_package "$i"
		cp "$STATE/v$i.deb" "$G/g01/root/"
		cp "$STATE/v$i.deb" "$G/g02/root/"
	done
	for g in g01 g02; do
		in_guest "$G/$g" dpkg -i /root/v1.deb >/dev/null
		in_guest "$G/$g" dpkg -V >"$STATE/verify-$g" 2>&1 || :
	done
	vx 0 scan "$G"/g01 "$G"/g02
	is_object "$G/g01/usr/share/vu-package/f1"
	for ((i = 1; i <= ROUNDS; i++)); do
		scans &
		SCANS=$!
		rc=0
		in_guest "$G/g01" dpkg -i "/root/v$((i + 1)).deb" >"$STATE/dpkg" 2>&1 || rc=$?
		stop_scans
		# nobody else sees any of it
		is_installed "$G/g02" "$i"
		if ((rc)); then
			failed=$((failed + 1))
			grep -q 'Operation not permitted' "$STATE/dpkg" || die "dpkg: $(<"$STATE/dpkg")"
			vx 0 unmerge "$G/g01"
			in_guest "$G/g01" dpkg -i "/root/v$((i + 1)).deb" >"$STATE/dpkg" 2>&1 ||
				die "dpkg after unmerge: $(<"$STATE/dpkg")"
		fi
		is_installed "$G/g01" "$((i + 1))"
		vx 0 unmerge "$G/g02"
		in_guest "$G/g02" dpkg -i "/root/v$((i + 1)).deb" >/dev/null
		vx 0 scan "$G"/g01 "$G"/g02
		same "$G/g01/usr/share/vu-package/f1" "$G/g02/usr/share/vu-package/f1"
		"$VU_TOP/tests/lib/pool-check" "$MNT" >/dev/null
	done
	! grep -vE '^code (3|11)$' "$STATE/codes" 2>/dev/null || die "scans: $(tail "$STATE/scans")"
	for g in g01 g02; do
		in_guest "$G/$g" dpkg -V >"$STATE/verified" 2>&1 || :
		same_text "$STATE/verify-$g" "$STATE/verified" "dpkg -V of all packages in $g"
	done
	((failed)) || die "dpkg never met an immutable file"
	echo "# proof: dpkg in a guest while scans run | $ROUNDS | 0" >&3
	vx 0 unmerge
}
