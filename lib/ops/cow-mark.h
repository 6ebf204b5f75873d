/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which guests have copy-on-write now: a file in the lock directory for each, which everybody who answers the
 * guest's calls holds a shared lock of (flock(2)), so it goes with the last of them, whatever ends them.
 */
#pragma once

#include <stddef.h>

#define VU_COW_MARK_TEXT 64

/*
 * Marks the guest with this root: how is a word for people ("vunify run"). Returns the descriptor, or a
 * negative errno.
 */
int vu_cow_mark_take(const char *dir, const char *root, const char *how);

/*
 * Is it marked? Returns 1, with how (VU_COW_MARK_TEXT bytes) as the last one said it; 0; or a negative errno.
 */
int vu_cow_mark_look(const char *dir, const char *root, char *how);
