# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034 # the variables are for the caller
# The build with address and undefined-behaviour sanitizers, in which the fuzzers are too: one for all,
# for each costs a minute of a processor. By clang, which alone can build fuzzers.
#
#   vu_san_build             its directory
#   vu_san_cc                its compiler
#   vu_san_options           options of meson setup

vu_san_build=build-san
vu_san_cc=clang
# -O2 takes twice as long to compile, and the tests run no faster.
vu_san_options=(-Dfuzz=true -Doptimization=1 '-Db_sanitize=address,undefined' -Db_lundef=false)
