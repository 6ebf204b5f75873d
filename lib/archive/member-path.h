/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names of members of archives: which are taken, and what they come to. Pure. Any thread.
 */
#pragma once

#include <stdint.h>

#define VU_MEMBER_PATH_MAX 4095

/*
 * Writes the path that a member's name comes to: relative to the root, "" for the root itself, without
 * empty and "." components; ret has VU_MEMBER_PATH_MAX + 1 bytes. Returns NULL, or what is wrong with it
 * (static): it is absolute, has "..", or is longer or deeper than allowed.
 */
const char *vu_member_path(const char *name, uint32_t max_depth, char *ret);
