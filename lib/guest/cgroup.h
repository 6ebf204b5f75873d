/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In which control group a process is, and what that says: the unit of systemd, and what its memory is
 * charged. Reads /proc and the cgroup mounts; changes nothing. A guest chooses the names of the cgroups that
 * are given to it, but never a newline in them. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/procs.h"

#define VU_CGROUP_UNIT_MAX 256 /* bytes of a unit's name, with the NUL; systemd's own limit */

/*
 * The path ("/a/b") of a process' cgroup (task_fd: its directory in /proc) in the hierarchy: "" is cgroup v2,
 * "memory" and "name=systemd" are of v1. "/" where there is none, or it cannot be told. NULL if the process has
 * ended, or without memory (errno says which). The caller owns it.
 */
char *vu_cgroup_path(int task_fd, const char *hierarchy);

/* Opens the top of cgroup v2: alone, or beside v1. The caller closes it. -ENOENT: there is none. */
int vu_cgroup_open_top(void);

/*
 * The longest path above (or at) both, of paths as above: written over a.
 */
void vu_cgroup_common(char *a, const char *b);

/* Is the path at or below another one? */
bool vu_cgroup_is_below(const char *path, const char *above);

/*
 * The innermost unit of systemd that a path leads into ("nginx.service"). False if there is none, or its name
 * is none that systemd takes. Slices count not: nothing runs in them.
 */
bool vu_cgroup_unit(const char *path, char unit[VU_CGROUP_UNIT_MAX]);

/* What a guest's cgroups are charged: who touches a page first pays for it. In bytes. */
struct vu_charge {
	bool known; /* its processes are in cgroups of its own, and the kernel counts memory there */
	uint64_t all;	 /* of all kinds */
	uint64_t file;	 /* page cache */
	uint64_t mapped; /* of that, what is mapped, by whomever */
	uint64_t anon;
};

/*
 * What each of the roots is charged; ret has n elements. Where processes of others are in its cgroups too, it is
 * not known. Returns 0, -ENOMEM, or what vu_procs_each gives.
 */
int vu_cgroup_charges(const struct vu_procs_root *roots, size_t n, struct vu_charge *ret);
