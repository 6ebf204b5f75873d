#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# meson install.

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
