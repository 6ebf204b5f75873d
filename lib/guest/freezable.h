/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which cgroups (v2) hold the processes of guests, and may one freeze them? A guest may be frozen where
 * its processes are in cgroups whose subtrees hold nobody else: no process of the host (this one
 * included) and none of another guest. Looks at /proc and at the cgroup2 mount; changes nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "guest/procs.h"

struct vu_freezable {
	int *dirs;	  /* owned: open directories of the cgroups to be frozen */
	size_t n;	  /* of them */
	size_t n_running; /* guests with processes */
	bool all;	  /* these are all of them */
	size_t root;	  /* unless all: a guest that cannot be frozen, */
	pid_t pid;	  /* a process of it, */
	const char *why;  /* and why (static text) */
};

/*
 * Looks at the processes of all roots now. Returns 0, or a negative errno; then nobody may be frozen.
 * vu_freezable_done frees what ret owns, and accepts a zeroed one.
 */
int vu_freezable_look(const struct vu_procs_root *roots, size_t n, struct vu_freezable *ret);
void vu_freezable_done(struct vu_freezable *f);
