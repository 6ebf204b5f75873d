#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# meson install: the configuration, units, profiles.

setup() {
	. "$BATS_TEST_DIRNAME/../lib/vunify.bash"
	command -v meson >/dev/null || skip "needs meson"
	vu_tmp
	export DESTDIR=$VU_DIR
}

teardown() {
	vu_fs_clean
}

install_it() {
	meson install -C "${VUNIFY%/*}" --no-rebuild >/dev/null
}

@test "the configuration is installed, and one that is there is kept" {
	install_it
	cmp "$VU_TOP/vunify.conf" "$DESTDIR/etc/vunify/vunify.conf"
	echo '# mine' >"$DESTDIR/etc/vunify/vunify.conf"
	install_it
	eq "$(cat "$DESTDIR/etc/vunify/vunify.conf")" '# mine' "the configuration"
}

@test "the snippet for needrestart is installed, and is perl" {
	command -v perl >/dev/null || skip "needs perl"
	install_it
	perl -ce "our %nrconf; $(<"$DESTDIR/etc/needrestart/conf.d/vunify.conf")"
}

@test "the units are right: systemd-analyze finds nothing, and they start the program that is installed" {
	command -v systemd-analyze >/dev/null || skip "needs systemd"
	install_it
	local units said
	units=$(find "$DESTDIR" -path '*/systemd/system' -type d)
	# the program and its pages are at their places below DESTDIR only
	said=$(SYSTEMD_UNIT_PATH=$units: systemd-analyze verify --man=no "$units"/*.service "$units"/*.socket "$units"/*.timer 2>&1 |
		grep -v 'is not executable: No such file or directory$' || :)
	eq "$said" "" "systemd-analyze"
	[[ -x $DESTDIR$(sed -n 's/^ExecStart=\([^ ]*\).*/\1/p' "$units/vunify-cowd.service") ]]
	grep -qx 'ListenSequentialPacket=/run/vunify/cowd-lxc.sock' "$units/vunify-cowd.socket"
}

@test "the units that run by themselves are hardened, alike, and off" {
	command -v systemd-analyze >/dev/null || skip "needs systemd"
	install_it
	local units u said
	units=$(find "$DESTDIR" -path '*/systemd/system' -type d)
	for u in recover remerge template verify; do
		said=$(systemd-analyze security --offline=yes --threshold=25 "$units/vunify-$u.service" 2>&1) ||
			die "vunify-$u.service: $(tail -n 1 <<<"$said")"
		# each path would be a mount of its own, and RestrictSUIDSGID= takes openat2(2) away
		hasnt "$(<"$units/vunify-$u.service")" '^(ReadWritePaths|ReadOnlyPaths|BindPaths|RestrictSUIDSGID|ProtectControlGroups)='
	done
	[[ -d $DESTDIR/etc/vunify/template.d ]]
	grep -q '^After=.*vunify-recover.service' "$units/systemd-nspawn@.service.d/vunify.conf"
	eq "$(find "$DESTDIR" -path '*.wants/*')" "" "enabled units"
}

@test "the profiles are installed, as the program prints them" {
	install_it
	local dir
	dir=$(dirname "$(find "$DESTDIR" -name seccomp-oci.json)")
	jq -e '.listenerPath == "/run/vunify/cowd.sock"' "$dir/seccomp-oci.json" >/dev/null
	"$VUNIFY" --config /dev/null cowd profile --format lxc | cmp - "$dir/seccomp-lxc"
}
