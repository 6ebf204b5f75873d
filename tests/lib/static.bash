# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# For the static analysers of tests/lint.
#
#   static_files [DIR...]        the .c files of these directories (default: all of lib, db and cmd), but for
#                                *.bpf.c: programs for the kernel, which its verifier looks at
#   static_unknown TOOL LOG      the findings in LOG that tests/lint/static-known does not name
#   static_stale TOOL LOG        the lines of static-known that nothing in LOG was found for (all files)
#
# A line of static-known: TOOL CHECK FILE REASON...

known=tests/lint/static-known

static_files() {
	(($#)) || set -- lib db cmd
	find "$@" -name '*.c' ! -name '*.bpf.c' | sort
}

# FILE CHECK<TAB>LINE of each finding, without what stands before lib/, db/ or cmd/.
static_findings() {
	sed -nE 's,^(.*/)?((lib|db|cmd)/[^:]+):([0-9]+):([0-9]+): (warning|error): (.*) \[-?([^]]+)\]$,\2 \8\t\2:\4: \7 [\8],p' \
		"$1" | sort -u
}

static_unknown() {
	static_findings "$2" | awk -F'\t' -v tool="$1" '
		NR == FNR { split($0, w, " "); if (w[1] == tool) ok[w[3] " " w[2]] = 1; next }
		!($1 in ok) { print $2 }' "$known" -
}

static_stale() {
	static_findings "$2" | awk -F'\t' -v tool="$1" '
		NR != FNR { split($0, w, " "); if (w[1] == tool && !(w[3] " " w[2] in found)) print "# known, but not found any more: " $0; next }
		{ found[$1] = 1 }' - "$known"
}
