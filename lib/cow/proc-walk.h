/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Walks a path part by part, as another process would: where it leads through a /proc, "self" and "thread-self" are
 * that process's, and magic links are followed. Part of cow/view.h, in whose root the calling thread is. Opens
 * O_PATH only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* openat2(2) with O_PATH and these flags and RESOLVE_*; tried anew where a rename came in between. An fd or errno. */
int vu_walk_open(int dir, const char *path, uint64_t flags, uint64_t resolve);

/* Is it in a /proc? */
bool vu_walk_is_proc(int fd);

/*
 * proc: the host's /proc. start: where a relative path begins; AT_FDCWD where it is absolute. Returns the fd or a
 * negative errno. ret_descriptor: set where the last part is a descriptor's link: to its number.
 */
int vu_walk(int proc, pid_t tid, int start, const char *text, bool follow, int *ret_descriptor);
