/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which files of some file systems processes have mapped or open: what is removed while it is in use stays in memory
 * until then. A table in memory that a child, who fills it, shares with its parent (base/watched.h); of bounded size.
 * Asks no file system but those. Each side is one thread.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mem/replaced.h"

#define VU_INUSE_MAX ((size_t)1 << 20) /* files */

struct vu_inuse;

/* NULL without memory. fs is borrowed. */
struct vu_inuse *vu_inuse_new(const struct vu_replaced_fs *fs, size_t n_fs);
struct vu_inuse *vu_inuse_free(struct vu_inuse *u);
void vu_inuse_clear(struct vu_inuse *u);

/* Changes while something is added; shared. Whoever adds sets the guest at hand. */
const _Atomic uint64_t *vu_inuse_progress(const struct vu_inuse *u);
void vu_inuse_begin(struct vu_inuse *u, size_t guest);
size_t vu_inuse_guest_at_hand(const struct vu_inuse *u);

/* Adds what a process (task_fd: the directory of a thread of it) has. Returns 0, -ENOMEM or -EMFILE. */
int vu_inuse_add(struct vu_inuse *u, int task_fd);

/* dev: st_dev. Where there was no room for all, true. */
bool vu_inuse_has(const struct vu_inuse *u, uint64_t dev, uint64_t ino);
