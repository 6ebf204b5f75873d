# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# For a bats file whose every test has guests of its own: loaded at its top, this is its set-up.
#
#   load ../lib/farm
#
# Each test gets a fresh copy of FARM_GUESTS (3) small guests on ext4. See vunify.bash for the rest.

# shellcheck source=tests/lib/vunify.bash
. "${BATS_TEST_DIRNAME:?}/../lib/vunify.bash"

setup_file() {
	farm_template "${FARM_GUESTS:-3}"
}

setup() {
	farm
}

teardown() {
	farm_down
}

teardown_file() {
	vu_fs_clean
}
